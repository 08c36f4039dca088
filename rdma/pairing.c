/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/pairing.h"

#include "rdma/connection.h"
#include "runtime/executor.h"

#include <string.h>

/* Where the number of a worker ends in its address: 8 random bytes behind the one of a version
 * (ucp_address_do_pack in address.c, UCX 1.13). */
enum { WORKER_NUMBER_END = 9 };

static bool is_same_worker(const void *one, const void *other)
{
    return one == other || memcmp(one, other, WORKER_NUMBER_END) == 0;
}

/* The first in line of those that connect to that worker, or NULL. */
static struct rill_rdma_connection *first_to(const struct rill_rdma_hub *hub, const void *worker)
{
    for (struct rill_link *link = hub->pairing.next; link != &hub->pairing; link = link->next) {
        struct rill_rdma_connection *connection =
            rill_container_of(link, struct rill_rdma_connection, pairing);

        if (is_same_worker(connection->target_worker, worker))
            return connection;
    }
    return NULL;
}

void rill_rdma_pairing_join(struct rill_rdma_connection *connection)
{
    rill_list_append(&connection->hub->pairing, &connection->pairing);
}

bool rill_rdma_pairing_is_first(const struct rill_rdma_connection *connection)
{
    return first_to(connection->hub, connection->target_worker) == connection;
}

void rill_rdma_pairing_leave(struct rill_rdma_connection *connection)
{
    struct rill_rdma_connection *next;

    if (!rill_link_is_linked(&connection->pairing))
        return;
    rill_link_remove(&connection->pairing);
    next = first_to(connection->hub, connection->target_worker);
    if (next)
        rill_task_wake(&next->keeper);
}

bool rill_rdma_pairing_has_to_be_heard(struct rill_rdma_connection *connection)
{
    int64_t now_ns = rill_now(), last_ns = rill_time_after(now_ns, RILL_RDMA_HELLO_NS);

    if (!connection->target_worker || connection->state != RILL_RDMA_CONNECTING ||
        connection->peer.has_greeted || connection->peer.refused || connection->ep.error)
        return false;
    if (connection->deadline_ns > last_ns)
        connection->deadline_ns = last_ns;
    return now_ns < connection->deadline_ns;
}
