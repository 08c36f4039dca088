/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/parcel.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_rdma_parcel_give_back(struct rill_rdma_parcel *parcel)
{
    rill_rdma_block_put(&parcel->block);
    parcel->data = NULL;
}

/* ---- waiting for one ---- */

static bool is_there(const struct rill_rdma_parcel *parcel, size_t *size, uint32_t *tag)
{
    return rill_rdma_probe(parcel->connection, parcel->want, size, tag);
}

/* UCX calls nobody when a message comes that no receive waits for. */
static unsigned look(struct rill_rdma_watcher *watcher)
{
    struct rill_rdma_parcel *parcel = rill_container_of(watcher, struct rill_rdma_parcel, look);

    if (!is_there(parcel, NULL, NULL))
        return 0;
    rill_task_wake(parcel->task);
    return 1;
}

/* It is woken by a message, or by another state of the connection. */
static void begin_wait(struct rill_rdma_parcel *parcel)
{
    parcel->look.look = look;
    rill_rdma_watch(parcel->connection->hub->rdma, &parcel->look);
    rill_notify_wait(&parcel->connection->changed, &parcel->wait);
}

static void end_wait(struct rill_rdma_parcel *parcel)
{
    if (!rill_link_is_linked(&parcel->look.link))
        return;
    rill_rdma_unwatch(parcel->connection->hub->rdma, &parcel->look);
    if (rill_link_is_linked(&parcel->wait.queue))
        rill_link_remove(&parcel->wait.queue);
}

static enum rill_poll end(struct rill_rdma_parcel *parcel, int64_t result)
{
    end_wait(parcel);
    parcel->future.awaits = NULL;
    return rill_future_end(&parcel->future, result);
}

/* ---- receiving it ---- */

static enum rill_poll receiving_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_parcel *parcel = rill_container_of(self, struct rill_rdma_parcel, future);
    struct rill_future *receive = &parcel->transfer.future;

    if (receive->poll(receive, task) == RILL_PENDING)
        return RILL_PENDING;
    if (parcel->transfer.result < 0)
        rill_rdma_parcel_give_back(parcel);
    else
        parcel->tag = parcel->transfer.tag;
    return end(parcel, parcel->transfer.result);
}

/* A receive that is posted now takes the message that was seen: the oldest that no receive
 * before it took. */
static enum rill_poll receive(struct rill_rdma_parcel *parcel, struct rill_task *task, size_t size)
{
    parcel->length = size;
    if (size > parcel->limit)
        return end(parcel, -EMSGSIZE);
    if (!rill_rdma_block_get(&parcel->block, size))
        return end(parcel, -ENOMEM);
    end_wait(parcel);
    parcel->data = parcel->block.data;
    parcel->future.awaits =
        rill_rdma_recv(parcel->connection, &parcel->transfer, parcel->data, size, parcel->want);
    parcel->future.poll = receiving_poll;
    return receiving_poll(&parcel->future, task);
}

static enum rill_poll waiting_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_parcel *parcel = rill_container_of(self, struct rill_rdma_parcel, future);
    const struct rill_rdma_connection *connection = parcel->connection;
    size_t size;

    parcel->task = task;
    if (rill_task_is_cancelled(task)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return end(parcel, -ECANCELED);
    }
    if (is_there(parcel, &size, &parcel->tag)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return receive(parcel, task, size);
    }
    if (connection->state != RILL_RDMA_CONNECTED || connection->ep.error) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return end(parcel, rill_rdma_connection_why(connection));
    }
    if (!rill_link_is_linked(&parcel->look.link))
        begin_wait(parcel);
    while (parcel->wait.future.poll(&parcel->wait.future, task) == RILL_READY)
        rill_notify_wait(&parcel->connection->changed, &parcel->wait); /* lost, and made anew */
    return RILL_PENDING;
}

struct rill_future *rill_rdma_parcel_recv(struct rill_rdma_connection *connection,
                                          struct rill_rdma_parcel *parcel, uint32_t tag,
                                          size_t limit)
{
    static const struct rill_place name = {"receive a message of any size", NULL, 0};

    rill_check(!parcel->data, "a parcel is received into one that was not given back");
    if (tag != RILL_RDMA_ANY_TAG)
        rill_rdma_tag_check(tag, name.function);
    rill_check(connection->hub, "%s: over a connection that was never made", name.function);
    rill_future_init(&parcel->future, waiting_poll);
    parcel->future.place = &name;
    parcel->connection = connection;
    parcel->want = tag;
    parcel->limit = limit;
    parcel->length = 0;
    parcel->look.link = (struct rill_link){0};
    return &parcel->future;
}
