/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/service.h"

#include "runtime/panic.h"
#include "runtime/pool.h"

#include <string.h>

static const int64_t memory_pause_ns = 10 * RILL_MILLISECOND;

void rill_service_check(const struct rill_service *service, size_t peer_size,
                        const struct rill_scope *scope, size_t connections_max)
{
    rill_check(service->size <= RILL_POOL_BLOCK_MAX,
               "a connection's struct has %zu bytes; a task from the runtime's free lists has %d "
               "at the most",
               service->size, RILL_POOL_BLOCK_MAX);
    rill_check(service->peer_size == peer_size,
               "the connection in the struct of a service has %zu bytes, and those of the server "
               "have %zu: it is another one's service",
               service->peer_size, peer_size);
    rill_check(scope || connections_max == 0,
               "a server has connections_max, but not the scope that counts them");
}

void *rill_service_take(const struct rill_service *service)
{
    char *block = rill_task_alloc(service->size);

    if (block && service->shared_offset > 0)
        memcpy(block + service->shared_offset, &service->shared, sizeof service->shared);
    return block;
}

struct rill_future *rill_service_wait(struct rill_service_pause *pause)
{
    return rill_shield(&pause->shield, rill_sleep(&pause->sleep, memory_pause_ns));
}

void rill_service_start(const struct rill_service *service, void *block, struct rill_scope *scope)
{
    struct rill_task *task = block;

    if (scope) {
        rill_scope_spawn(scope, task, service->poll);
    } else {
        rill_task_spawn(task, service->poll);
        rill_task_detach(task);
    }
}
