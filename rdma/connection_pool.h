/* SPDX-License-Identifier: Apache-2.0 */
/* connection_pool.h - connections to one address, made when they are needed and used again.
 *
 *     static struct rill_rdma_pooled slots[CONNECTIONS_MAX];
 *
 *     rill_rdma_connection_pool_init(&client->pool, &options, slots, CONNECTIONS_MAX);
 *     ...
 *     RILL_AWAIT(rill_rdma_connection_take(&client->pool, &query->take));
 *     if (query->take.result < 0)
 *         RILL_RETURN(query->take.result);
 *     ... messages over query->take.connection ...
 *     rill_rdma_connection_give_back(&client->pool, query->take.connection);
 *
 * It is an object pool (runtime/object_pool.h): the connection that was given back last is
 * taken first, one that was lost meanwhile, or idle for too long, is ended and replaced, and
 * who comes when all are in use waits, first come first served. */
#ifndef RILL_RDMA_CONNECTION_POOL_H
#define RILL_RDMA_CONNECTION_POOL_H

#include "rdma/connection.h"
#include "runtime/object_pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The default of idle_ns. */
#define RILL_RDMA_POOL_IDLE_NS (60 * RILL_SECOND)

struct rill_rdma_connection_pool_options {
    struct rill_rdma_hub *hub;
    const struct rill_address *address; /* that of rill_rdma_connect */
    const void *worker; /* or, where address is NULL, that of rill_rdma_connect_worker */
    const struct rill_rdma_connection_options *connection; /* or NULL; reconnects: none */
    /* What is idle for so long is ended. RILL_NEVER: nothing is. 0: RILL_RDMA_POOL_IDLE_NS. */
    int64_t idle_ns;
};

/* Memory for one connection of a pool. */
struct rill_rdma_pooled {
    struct rill_rdma_connection connection;

    /* private */
    struct rill_rdma_connection_pool *pool;
    struct rill_pooled idle;
    struct rill_link spare; /* rill_rdma_connection_pool.spare */
    struct rill_future ending;
};

/* Invariant: a slot is in spare, or its connection is in use, idle, being made or being
 * ended. */
struct rill_rdma_connection_pool {
    struct rill_object_pool objects; /* objects.idle_count: connections that are idle */

    /* private */
    struct rill_rdma_connection_pool_options options;
    struct rill_object_pool_options of_objects;
    struct rill_link spare; /* of rill_rdma_pooled.spare */
};

struct rill_rdma_connection_take {
    union {
        int64_t result; /* as rill_rdma_connection_take says */
        struct rill_future future;
    };
    struct rill_rdma_connection *connection; /* NULL unless the result is >= 0 */

    /* private */
    struct rill_rdma_connection_pool *pool;
    struct rill_rdma_pooled *slot;
    struct rill_object_pool_take take;
    struct rill_future connecting;
};

/* Makes a pool without connections, of which it will have count at the most. Borrows slots,
 * and all that options point to, as long as it is used; copies the options. Panics if count
 * is 0. */
void rill_rdma_connection_pool_init(struct rill_rdma_connection_pool *pool,
                                    const struct rill_rdma_connection_pool_options *options,
                                    struct rill_rdma_pooled *slots, size_t count);

/* Ends it. Panics if it was not drained. */
void rill_rdma_connection_pool_finish(struct rill_rdma_connection_pool *pool);

/* Takes a connection that is CONNECTED: an idle one, or a new one. The result is 1 for one
 * that was used before, 0 for a new one; or the -errno of rill_rdma_connect; or -EPIPE when
 * the pool is drained; or -ECANCELED. After an error none is taken. */
struct rill_future *rill_rdma_connection_take(struct rill_rdma_connection_pool *pool,
                                              struct rill_rdma_connection_take *take);

/* Gives a connection back that was taken, in whatever state it is: one that was lost, or that
 * either side has cut, is ended when it would be taken again. Panics if a send or a receive is
 * in flight on it. Messages that were not received are there for the next user: where that
 * must not be, rill_rdma_cut it first. */
void rill_rdma_connection_give_back(struct rill_rdma_connection_pool *pool,
                                    struct rill_rdma_connection *connection);

/* Disconnects what is idle for too long, until it is cancelled: rill_object_pool_tend. */
static inline struct rill_future *
rill_rdma_connection_pool_tend(struct rill_rdma_connection_pool *pool,
                               struct rill_object_pool_care *tend)
{
    return rill_object_pool_tend(&pool->objects, tend);
}

/* Refuses those that come from now on, waits for all that are in use, and disconnects all:
 * rill_object_pool_drain. */
static inline struct rill_future *
rill_rdma_connection_pool_drain(struct rill_rdma_connection_pool *pool,
                                struct rill_object_pool_care *drain)
{
    return rill_object_pool_drain(&pool->objects, drain);
}

#ifdef __cplusplus
}
#endif
#endif
