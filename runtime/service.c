/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/service.h"

#include "runtime/panic.h"
#include "runtime/pool.h"

#include <string.h>

static const int64_t memory_pause_ns = 10 * RILL_MILLISECOND;

void rill_service_check(const struct rill_service *service, size_t peer_size)
{
    rill_check(service->size <= RILL_POOL_BLOCK_MAX,
               "a connection's struct has %zu bytes; a task from the runtime's free lists has %d "
               "at the most",
               service->size, RILL_POOL_BLOCK_MAX);
    rill_check(service->peer_size == peer_size,
               "the connection in the struct of a service has %zu bytes, and those of the server "
               "have %zu: it is another one's service",
               service->peer_size, peer_size);
}

static void *take_block(const struct rill_service *service)
{
    char *block = rill_task_alloc(service->size);

    if (block && service->shared_offset > 0)
        memcpy(block + service->shared_offset, &service->shared, sizeof service->shared);
    return block;
}

static enum rill_poll alloc_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_service_alloc *alloc = rill_container_of(self, struct rill_service_alloc, future);

    RILL_BEGIN();
    while (!(alloc->block = take_block(alloc->service)))
        RILL_AWAIT(rill_shield(&alloc->shield, rill_sleep(&alloc->pause, memory_pause_ns)));
    RILL_END();
}

struct rill_future *rill_service_alloc(struct rill_service_alloc *alloc,
                                       const struct rill_service *service)
{
    alloc->service = service;
    return rill_future_init(&alloc->future, alloc_poll);
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
