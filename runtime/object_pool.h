/* SPDX-License-Identifier: Apache-2.0 */
/* object_pool.h - things that are expensive to make and are used again: connections, say.
 *
 *     struct connection {
 *         struct rill_pooled pooled;
 *         struct rill_tcp    peer;
 *     };
 *     static const struct rill_object_pool_options options = {
 *         .max = 10, .idle_ns = 60 * RILL_SECOND, .is_healthy = is_open, .end = hang_up,
 *     };
 *
 *     RILL_AWAIT(rill_object_pool_take(&client->pool, &request->take,
 *                                      open_connection(&request->opening)));
 *     if (request->take.result < 0)
 *         RILL_RETURN(request->take.result);
 *     ... use request->take.object ...
 *     rill_object_pool_give_back(&client->pool, request->take.object);
 *     ... or, where it is broken:
 *     RILL_AWAIT(rill_object_pool_end(&client->pool, &request->take));
 *
 * The one that was given back last is taken first. */
#ifndef RILL_RUNTIME_OBJECT_POOL_H
#define RILL_RUNTIME_OBJECT_POOL_H

#include "runtime/notify.h"
#include "runtime/semaphore.h"
#include "runtime/sleep.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Embedded in what is pooled, zeroed at first. */
struct rill_pooled {
    /* private */
    struct rill_link link; /* rill_object_pool.idle */
    int64_t idle_since_ns;
};

struct rill_object_pool_options {
    size_t max;      /* objects that exist at once, at least 1, at most INT64_MAX */
    int64_t idle_ns; /* what is idle for so long is ended; RILL_NEVER: nothing is */

    /* Looks at an idle object before it is given out. NULL: all are healthy. */
    bool (*is_healthy)(struct rill_pooled *object);

    /* Prepares a future that ends the object and frees its memory, if it was allocated.
     * It lies in the object or elsewhere; the pool awaits it. It should not be one that
     * can be cancelled: closing is none. Its result is not looked at. One that frees the memory
     * in which it lies does so last, and says `return RILL_READY`: RILL_RETURN and RILL_END store
     * the result in it. */
    struct rill_future *(*end)(struct rill_pooled *object);
};

/* Invariant: there is a permit for each object in use, being made or being ended; who
 * was handed one takes an idle object before it makes another. So permits that are held
 * and idle objects that nobody was handed a permit for are never more than max. */
struct rill_object_pool {
    size_t idle_count; /* objects in idle */
    bool is_draining;

    /* private */
    bool is_drained; /* and no object is made any more */
    size_t tending;  /* futures that tend it */
    const struct rill_object_pool_options *options;
    struct rill_semaphore permits;
    struct rill_link idle; /* of rill_pooled.link, the longest idle first */
    struct rill_notify became_idle;
};

struct rill_object_pool_take {
    union {
        int64_t result; /* as rill_object_pool_take says, or rill_object_pool_end */
        struct rill_future future;
    };
    struct rill_pooled *object; /* set where the result is >= 0 */

    /* private */
    struct rill_object_pool *pool;
    struct rill_future *make;
    struct rill_acquire acquire;
};

/* Tending or draining a pool. */
struct rill_object_pool_care {
    union {
        int64_t result; /* 0 or -ECANCELED */
        struct rill_future future;
    };

    /* private */
    struct rill_object_pool *pool;
    struct rill_acquire acquire;
    struct rill_wait wait;
    struct rill_sleep sleep;
};

/* Makes an empty pool. Borrows options as long as it is used. Returns 0, or -EINVAL if
 * max or idle_ns is out of range or end missing. */
int rill_object_pool_init(struct rill_object_pool *pool,
                          const struct rill_object_pool_options *options);

/* Ends it. Panics if objects are left, or a task waits or tends it: drain it first. */
void rill_object_pool_finish(struct rill_object_pool *pool);

/* Takes the object that has become idle last, or makes one: if none is idle, or if that
 * one is not healthy or was idle for too long, and is ended. make, which is borrowed, is
 * begun only if it is needed; it sets take->object and ends with a result >= 0, or with an
 * error. Where max are in use it waits, first come first served. The result is 1 for an object that
 * was used before, 0 for a new one, -EPIPE when the pool is drained, -ECANCELED, or the error of
 * make. After an error none is taken: cancelling it cancels make, and what was made in spite of
 * that becomes idle. */
struct rill_future *rill_object_pool_take(struct rill_object_pool *pool,
                                          struct rill_object_pool_take *take,
                                          struct rill_future *make);

/* Gives an object back for others to use. Panics if it was given back already. */
void rill_object_pool_give_back(struct rill_object_pool *pool, struct rill_pooled *object);

/* Ends the object of a take, for one that is broken, by end of the options, and then gives its
 * place to others. take->object is NULL then, and the result 0. Cancelling it cancels end, if that
 * can be. Panics if take has none, or it was given back. */
struct rill_future *rill_object_pool_end(struct rill_object_pool *pool,
                                         struct rill_object_pool_take *take);

/* Says that an object that was taken is no more: the caller has ended it in a way of its own.
 * Panics if none is taken. */
void rill_object_pool_discard(struct rill_object_pool *pool);

/* Ends objects that are idle for too long, until it is cancelled: -ECANCELED, after the
 * object that it is about to end. For a task beside the others. */
struct rill_future *rill_object_pool_tend(struct rill_object_pool *pool,
                                          struct rill_object_pool_care *tend);

/* Refuses those that come from now on, waits for all that are in use, and ends all
 * objects. The result is 0; or -ECANCELED, and it has to be drained again. */
struct rill_future *rill_object_pool_drain(struct rill_object_pool *pool,
                                           struct rill_object_pool_care *drain);

#ifdef __cplusplus
}
#endif
#endif
