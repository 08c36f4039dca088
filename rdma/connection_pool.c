/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/connection_pool.h"

#include "runtime/panic.h"

static struct rill_rdma_pooled *slot_of(struct rill_pooled *idle)
{
    return rill_container_of(idle, struct rill_rdma_pooled, idle);
}

static bool is_healthy(struct rill_pooled *idle)
{
    const struct rill_rdma_connection *connection = &slot_of(idle)->connection;

    return connection->state == RILL_RDMA_CONNECTED && !connection->ep.error;
}

static void spare(struct rill_rdma_pooled *slot)
{
    rill_list_append(&slot->pool->spare, &slot->spare);
}

static enum rill_poll end_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_pooled *slot = rill_container_of(self, struct rill_rdma_pooled, ending);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_disconnect(&slot->connection));
    spare(slot);
    RILL_END();
}

static struct rill_future *end(struct rill_pooled *idle)
{
    return rill_future_init(&slot_of(idle)->ending, end_poll);
}

void rill_rdma_connection_pool_init(struct rill_rdma_connection_pool *pool,
                                    const struct rill_rdma_connection_pool_options *options,
                                    struct rill_rdma_pooled *slots, size_t count)
{
    int error;

    *pool = (struct rill_rdma_connection_pool){.options = *options};
    pool->of_objects = (struct rill_object_pool_options){
        .max = count,
        .idle_ns = options->idle_ns ? options->idle_ns : RILL_RDMA_POOL_IDLE_NS,
        .is_healthy = is_healthy,
        .end = end,
    };
    error = rill_object_pool_init(&pool->objects, &pool->of_objects);
    rill_check(!error, "a pool of %zu connections that may be idle for %lld ns", count,
               (long long)options->idle_ns);
    rill_list_init(&pool->spare);
    for (size_t i = 0; i < count; i++) {
        slots[i] = (struct rill_rdma_pooled){.pool = pool};
        spare(&slots[i]);
    }
}

void rill_rdma_connection_pool_finish(struct rill_rdma_connection_pool *pool)
{
    rill_object_pool_finish(&pool->objects);
}

static struct rill_future *connect_slot(struct rill_rdma_pooled *slot)
{
    const struct rill_rdma_connection_pool_options *options = &slot->pool->options;

    if (options->address)
        return rill_rdma_connect(&slot->connection, options->hub, options->address,
                                 options->connection);
    return rill_rdma_connect_worker(&slot->connection, options->hub, options->worker,
                                    options->connection);
}

/* The object pool has room for one more, so there is a spare slot. */
static enum rill_poll connecting_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection_take *take =
        rill_container_of(self, struct rill_rdma_connection_take, connecting);

    RILL_BEGIN();
    take->slot =
        rill_container_of(rill_list_pop(&take->pool->spare), struct rill_rdma_pooled, spare);
    RILL_AWAIT(connect_slot(take->slot));
    if (take->slot->connection.result < 0) {
        spare(take->slot);
        RILL_RETURN(take->slot->connection.result);
    }
    take->take.object = &take->slot->idle;
    RILL_END();
}

static enum rill_poll take_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection_take *take =
        rill_container_of(self, struct rill_rdma_connection_take, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_object_pool_take(&take->pool->objects, &take->take,
                                     rill_future_init(&take->connecting, connecting_poll)));
    if (take->take.result >= 0)
        take->connection = &slot_of(take->take.object)->connection;
    RILL_RETURN(take->take.result);
    RILL_END();
}

struct rill_future *rill_rdma_connection_take(struct rill_rdma_connection_pool *pool,
                                              struct rill_rdma_connection_take *take)
{
    take->pool = pool;
    take->connection = NULL;
    return rill_future_init(&take->future, take_poll);
}

void rill_rdma_connection_give_back(struct rill_rdma_connection_pool *pool,
                                    struct rill_rdma_connection *connection)
{
    struct rill_rdma_pooled *slot =
        rill_container_of(connection, struct rill_rdma_pooled, connection);
    const struct rill_rdma_metrics *metrics = &connection->metrics;

    rill_check(slot->pool == pool, "a connection was given back to a pool that it is not of");
    rill_check(metrics->sends_in_flight + metrics->receives_in_flight == 0,
               "a connection was given back with %llu sends and %llu receives in flight",
               (unsigned long long)metrics->sends_in_flight,
               (unsigned long long)metrics->receives_in_flight);
    rill_object_pool_give_back(&pool->objects, &slot->idle);
}
