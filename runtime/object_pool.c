/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/object_pool.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

int rill_object_pool_init(struct rill_object_pool *pool,
                          const struct rill_object_pool_options *options)
{
    if (options->max == 0 || options->max > INT64_MAX || options->idle_ns < 0 || !options->end)
        return -EINVAL;
    *pool = (struct rill_object_pool){.options = options};
    rill_semaphore_init(&pool->permits, options->max);
    rill_list_init(&pool->idle);
    rill_notify_init(&pool->became_idle);
    return 0;
}

void rill_object_pool_finish(struct rill_object_pool *pool)
{
    rill_check(pool->idle_count == 0, "a pool was finished with %zu idle objects: drain it first",
               pool->idle_count);
    rill_check(pool->tending == 0, "a pool was finished while a task tends it");
    rill_semaphore_finish(&pool->permits);
}

static struct rill_pooled *remove_idle(struct rill_object_pool *pool, struct rill_link *link)
{
    rill_link_remove(link);
    pool->idle_count--;
    return rill_container_of(link, struct rill_pooled, link);
}

/* When an idle object will have been so for long enough. */
static int64_t due_ns(const struct rill_object_pool *pool, const struct rill_pooled *object)
{
    return rill_time_after(object->idle_since_ns, pool->options->idle_ns);
}

static int64_t next_due_ns(const struct rill_object_pool *pool)
{
    return due_ns(pool, rill_container_of(pool->idle.next, struct rill_pooled, link));
}

static bool is_good(const struct rill_object_pool *pool, struct rill_pooled *object)
{
    return due_ns(pool, object) > rill_now() &&
           (!pool->options->is_healthy || pool->options->is_healthy(object));
}

static enum rill_poll take_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_object_pool_take *take =
        rill_container_of(self, struct rill_object_pool_take, future);
    struct rill_object_pool *pool = take->pool;

    RILL_BEGIN();
    if (pool->is_draining) {
        RILL_SPEND_BUDGET();
        RILL_RETURN(-EPIPE);
    }
    RILL_AWAIT(rill_semaphore_acquire(&pool->permits, &take->acquire, 1));
    if (take->acquire.result < 0)
        RILL_RETURN(take->acquire.result);
    /* It may not have stood in line when the draining began: who has no budget left does not. */
    if (pool->is_drained) {
        rill_semaphore_release(&pool->permits, 1);
        RILL_RETURN(-EPIPE);
    }
    if (pool->idle_count > 0) {
        take->object = remove_idle(pool, pool->idle.prev);
        if (is_good(pool, take->object))
            RILL_RETURN(1);
        RILL_AWAIT(pool->options->end(take->object));
        take->object = NULL;
    }
    RILL_AWAIT(take->make);
    if (take->make->result < 0) {
        rill_semaphore_release(&pool->permits, 1);
        RILL_RETURN(take->make->result);
    }
    rill_check(take->object, "what makes an object for a pool ended well and made none");
    if (rill_task_is_cancelled(task)) {
        rill_object_pool_give_back(pool, take->object);
        take->object = NULL;
        RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

struct rill_future *rill_object_pool_take(struct rill_object_pool *pool,
                                          struct rill_object_pool_take *take,
                                          struct rill_future *make)
{
    rill_future_check_child(&take->future, make, "a take from a pool");
    take->pool = pool;
    take->make = make;
    take->object = NULL;
    return rill_future_init(&take->future, take_poll);
}

void rill_object_pool_give_back(struct rill_object_pool *pool, struct rill_pooled *object)
{
    rill_check(!rill_link_is_linked(&object->link), "an object was given back to its pool twice");
    object->idle_since_ns = rill_now();
    rill_list_append(&pool->idle, &object->link);
    pool->idle_count++;
    rill_notify_one(&pool->became_idle);
    rill_semaphore_release(&pool->permits, 1);
}

static enum rill_poll end_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_object_pool_take *take =
        rill_container_of(self, struct rill_object_pool_take, future);

    RILL_BEGIN();
    rill_check(take->object && !rill_link_is_linked(&take->object->link),
               "a take is to end an object that it does not have, or has given back");
    RILL_AWAIT(take->pool->options->end(take->object));
    take->object = NULL;
    rill_object_pool_discard(take->pool);
    RILL_END();
}

struct rill_future *rill_object_pool_end(struct rill_object_pool *pool,
                                         struct rill_object_pool_take *take)
{
    take->pool = pool;
    return rill_future_init(&take->future, end_poll);
}

void rill_object_pool_discard(struct rill_object_pool *pool)
{
    rill_semaphore_release(&pool->permits, 1);
}

static int64_t stop_tending(struct rill_object_pool *pool, int64_t result)
{
    pool->tending--;
    return result;
}

static enum rill_poll tend_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_object_pool_care *tend =
        rill_container_of(self, struct rill_object_pool_care, future);
    struct rill_object_pool *pool = tend->pool;

    RILL_BEGIN();
    pool->tending++;
    for (;;) {
        while (pool->idle_count == 0) {
            RILL_AWAIT(rill_notify_wait(&pool->became_idle, &tend->wait));
            if (tend->wait.result < 0)
                RILL_RETURN(stop_tending(pool, tend->wait.result));
        }
        RILL_AWAIT(rill_sleep_until(&tend->sleep, next_due_ns(pool)));
        if (tend->sleep.result < 0)
            RILL_RETURN(stop_tending(pool, tend->sleep.result));
        RILL_AWAIT(rill_semaphore_acquire(&pool->permits, &tend->acquire, 1));
        if (tend->acquire.result < 0)
            RILL_RETURN(stop_tending(pool, tend->acquire.result));
        /* Meanwhile it may have been taken. */
        if (pool->idle_count > 0 && next_due_ns(pool) <= rill_now())
            RILL_AWAIT(pool->options->end(remove_idle(pool, pool->idle.next)));
        rill_semaphore_release(&pool->permits, 1);
    }
    RILL_END();
}

static enum rill_poll drain_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_object_pool_care *drain =
        rill_container_of(self, struct rill_object_pool_care, future);
    struct rill_object_pool *pool = drain->pool;

    RILL_BEGIN();
    pool->is_draining = true;
    RILL_AWAIT(rill_semaphore_acquire(&pool->permits, &drain->acquire, pool->permits.limit));
    if (drain->acquire.result < 0)
        RILL_RETURN(drain->acquire.result);
    while (pool->idle_count > 0)
        RILL_AWAIT(pool->options->end(remove_idle(pool, pool->idle.next)));
    pool->is_drained = true;
    rill_semaphore_release(&pool->permits, pool->permits.limit);
    RILL_END();
}

struct rill_future *rill_object_pool_tend(struct rill_object_pool *pool,
                                          struct rill_object_pool_care *tend)
{
    tend->pool = pool;
    return rill_future_init(&tend->future, tend_poll);
}

struct rill_future *rill_object_pool_drain(struct rill_object_pool *pool,
                                           struct rill_object_pool_care *drain)
{
    drain->pool = pool;
    return rill_future_init(&drain->future, drain_poll);
}
