/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/buffer_pool.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <stdlib.h>

/* Memory of options.largest bytes. Buffers are cut off it one by one, as they are needed,
 * so that cutting a slab anew costs nothing. */
struct rill_rdma_slab {
    struct rill_rdma_memory memory;
    struct rill_rdma_key key;
    struct rill_rdma_buffer_pool *pool;
    struct rill_link all;  /* pool.slabs */
    struct rill_link link; /* pool.uncut or pool.partly_taken */
    unsigned class;        /* its buffers have options.smallest << class bytes */
    size_t cut, taken;     /* buffers */
    struct rill_rdma_buffer *idle;
    struct rill_rdma_buffer buffers[]; /* as many as it has of the smallest size */
};

/* ---- its memory ---- */

static bool is_power_of_two(size_t number)
{
    return number > 0 && (number & (number - 1)) == 0;
}

static size_t size_of_class(const struct rill_rdma_buffer_pool *pool, unsigned class)
{
    return pool->options.smallest << class;
}

/* The smallest size that holds so many bytes, which are at most options.largest. */
static unsigned class_of(const struct rill_rdma_buffer_pool *pool, size_t size)
{
    unsigned class = 0;

    while (size_of_class(pool, class) < size)
        class ++;
    return class;
}

int rill_rdma_buffer_pool_init(struct rill_rdma_buffer_pool *pool, struct rill_rdma *rdma,
                               const struct rill_rdma_buffer_pool_options *options)
{
    struct rill_rdma_buffer_pool_options mine = {0};

    if (options)
        mine = *options;
    if (mine.smallest == 0)
        mine.smallest = RILL_RDMA_BUFFER_SMALLEST;
    if (mine.largest == 0)
        mine.largest = RILL_RDMA_BUFFER_LARGEST;
    if (mine.bytes_max == 0)
        mine.bytes_max = RILL_RDMA_BUFFER_BYTES_MAX;
    if (!is_power_of_two(mine.smallest) || !is_power_of_two(mine.largest) || mine.smallest < 64 ||
        mine.largest < mine.smallest || mine.bytes_max < mine.largest ||
        mine.largest / mine.smallest >= (size_t)1 << (RILL_RDMA_BUFFER_CLASSES_MAX - 1))
        return -EINVAL;
    *pool = (struct rill_rdma_buffer_pool){.rdma = rdma, .options = mine};
    rill_list_init(&pool->slabs);
    rill_list_init(&pool->uncut);
    for (size_t i = 0; i < RILL_RDMA_BUFFER_CLASSES_MAX; i++)
        rill_list_init(&pool->partly_taken[i]);
    rill_line_init(&pool->line);
    return 0;
}

/* Returns 0, and then the slab is in pool->uncut, or -errno. */
static int make_slab(struct rill_rdma_buffer_pool *pool)
{
    size_t count = pool->options.largest / pool->options.smallest;
    struct rill_rdma_slab *slab = malloc(sizeof *slab + count * sizeof slab->buffers[0]);
    int error;

    if (!slab)
        return -ENOMEM;
    *slab = (struct rill_rdma_slab){.pool = pool};
    error = rill_rdma_memory_register(&slab->memory, pool->rdma, NULL, pool->options.largest);
    if (error)
        goto free_slab;
    error = rill_rdma_memory_pack(&slab->memory, &slab->key);
    if (error)
        goto release_memory;
    rill_list_append(&pool->slabs, &slab->all);
    rill_list_append(&pool->uncut, &slab->link);
    pool->bytes += pool->options.largest;
    return 0;

release_memory:
    rill_rdma_memory_release(&slab->memory);
free_slab:
    free(slab);
    return error;
}

static void release_slab(struct rill_rdma_slab *slab)
{
    rill_rdma_key_release(&slab->key);
    rill_rdma_memory_release(&slab->memory);
    rill_link_remove(&slab->all);
    rill_link_remove(&slab->link);
    slab->pool->bytes -= slab->pool->options.largest;
    free(slab);
}

size_t rill_rdma_buffer_pool_trim(struct rill_rdma_buffer_pool *pool)
{
    size_t before = pool->bytes;

    while (!rill_list_is_empty(&pool->uncut))
        release_slab(rill_container_of(pool->uncut.next, struct rill_rdma_slab, link));
    return before - pool->bytes;
}

void rill_rdma_buffer_pool_finish(struct rill_rdma_buffer_pool *pool)
{
    if (!pool->rdma)
        return;
    rill_line_finish(&pool->line, "a pool of buffers");
    rill_check(pool->bytes_taken == 0, "a pool of buffers was finished while %zu bytes are taken",
               pool->bytes_taken);
    rill_rdma_buffer_pool_trim(pool);
    pool->rdma = NULL;
}

static bool may_grow(const struct rill_rdma_buffer_pool *pool)
{
    return pool->options.bytes_max - pool->bytes >= pool->options.largest;
}

int rill_rdma_buffer_pool_reserve(struct rill_rdma_buffer_pool *pool, size_t bytes)
{
    int error = 0;

    if (bytes > pool->options.bytes_max)
        return -EINVAL;
    while (!error && pool->bytes < bytes && may_grow(pool))
        error = make_slab(pool);
    return error ? error : (pool->bytes < bytes ? -EINVAL : 0);
}

/* ---- cutting ---- */

/* Takes a buffer of a slab that has one left. */
static struct rill_rdma_buffer *take_from(struct rill_rdma_slab *slab)
{
    struct rill_rdma_buffer_pool *pool = slab->pool;
    size_t size = size_of_class(pool, slab->class);
    struct rill_rdma_buffer *buffer = slab->idle;

    if (buffer) {
        slab->idle = buffer->next_idle;
    } else {
        buffer = &slab->buffers[slab->cut];
        buffer->bytes = (char *)slab->memory.address + slab->cut * size;
        buffer->size = size;
        buffer->slab = slab;
        slab->cut++;
    }
    buffer->is_taken = true;
    slab->taken++;
    pool->bytes_taken += size;
    if (slab->taken * size == pool->options.largest)
        rill_link_remove(&slab->link);
    return buffer;
}

/* Returns NULL where there is neither a buffer of that size nor an uncut slab. */
static struct rill_rdma_buffer *take(struct rill_rdma_buffer_pool *pool, unsigned class)
{
    struct rill_link *list = &pool->partly_taken[class];

    if (rill_list_is_empty(list)) {
        struct rill_rdma_slab *slab;

        if (rill_list_is_empty(&pool->uncut))
            return NULL;
        slab = rill_container_of(rill_list_pop_last(&pool->uncut), struct rill_rdma_slab, link);
        slab->class = class;
        slab->cut = 0;
        slab->idle = NULL;
        rill_list_append(list, &slab->link);
    }
    return take_from(rill_container_of(list->next, struct rill_rdma_slab, link));
}

/* The same, and a larger one rather than none. */
static struct rill_rdma_buffer *take_any(struct rill_rdma_buffer_pool *pool, unsigned class)
{
    struct rill_rdma_buffer *buffer = take(pool, class);

    while (!buffer && size_of_class(pool, class) < pool->options.largest)
        if (!rill_list_is_empty(&pool->partly_taken[++class]))
            buffer = take(pool, class);
    return buffer;
}

/* The fullest slabs come first, more or less: the others get a chance to become empty. */
static void put_back(struct rill_rdma_buffer *buffer)
{
    struct rill_rdma_slab *slab = buffer->slab;
    struct rill_rdma_buffer_pool *pool = slab->pool;
    bool was_full = !rill_link_is_linked(&slab->link);

    buffer->is_taken = false;
    buffer->next_idle = slab->idle;
    slab->idle = buffer;
    slab->taken--;
    pool->bytes_taken -= buffer->size;
    if (slab->taken == 0) {
        if (!was_full)
            rill_link_remove(&slab->link);
        rill_list_append(&pool->uncut, &slab->link);
    } else if (was_full) {
        rill_list_prepend(&pool->partly_taken[slab->class], &slab->link);
    }
}

/* ---- taking ---- */

int rill_rdma_buffer_try_take(struct rill_rdma_buffer_pool *pool, size_t size,
                              struct rill_rdma_buffer **buffer)
{
    int error = -EAGAIN;
    unsigned class;

    *buffer = NULL;
    if (size > pool->options.largest)
        return -EMSGSIZE;
    if (!rill_line_is_empty(&pool->line))
        return -EAGAIN;
    class = class_of(pool, size);
    *buffer = take(pool, class);
    if (!*buffer && may_grow(pool))
        error = make_slab(pool);
    if (!*buffer)
        *buffer = take_any(pool, class);
    return *buffer ? 0 : error;
}

/* Hands what is there to the first in line, and so on, until there is none for the next. */
static void hand_over(struct rill_rdma_buffer_pool *pool)
{
    struct rill_place_in_line *first;

    while ((first = rill_line_first(&pool->line))) {
        struct rill_rdma_buffer_take *next =
            rill_container_of(first, struct rill_rdma_buffer_take, place);

        next->buffer = take_any(pool, class_of(pool, next->size));
        if (!next->buffer)
            break;
        rill_line_serve_first(&pool->line);
    }
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_buffer_take *waiting =
        rill_container_of(self, struct rill_rdma_buffer_take, future);

    if (rill_task_is_cancelled(task)) {
        if (waiting->buffer)
            put_back(waiting->buffer);
        waiting->buffer = NULL;
        rill_line_leave(&waiting->place);
        hand_over(waiting->pool);
        return rill_future_end(self, -ECANCELED);
    }
    if (waiting->buffer)
        return rill_future_end(self, (int64_t)waiting->buffer->size);
    rill_line_stay(&waiting->place, task);
    return RILL_PENDING;
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_buffer_take *starting =
        rill_container_of(self, struct rill_rdma_buffer_take, future);
    int error;

    if (!rill_budget_spend(rill_executor_here(), task)) /* it may end at once */
        return RILL_PENDING;
    if (rill_task_is_cancelled(task))
        return rill_future_end(self, -ECANCELED);
    error = rill_rdma_buffer_try_take(starting->pool, starting->size, &starting->buffer);
    if (error == -EAGAIN) {
        rill_line_join(&starting->pool->line, &starting->place, task);
        self->poll = wait_poll;
        return RILL_PENDING;
    }
    return rill_future_end(self, error ? error : (int64_t)starting->buffer->size);
}

struct rill_future *rill_rdma_buffer_take(struct rill_rdma_buffer_pool *pool,
                                          struct rill_rdma_buffer_take *take, size_t size)
{
    static const struct rill_place name = {"take a registered buffer", NULL, 0};

    rill_future_init(&take->future, start_poll);
    take->future.place = &name;
    take->pool = pool;
    take->size = size;
    take->buffer = NULL;
    take->place.link.next = NULL;
    return &take->future;
}

void rill_rdma_buffer_give_back(struct rill_rdma_buffer *buffer)
{
    rill_check(buffer->is_taken, "a buffer was given back to its pool that is not taken");
    put_back(buffer);
    hand_over(buffer->slab->pool);
}

const struct rill_rdma_key *rill_rdma_buffer_key(const struct rill_rdma_buffer *buffer)
{
    return &buffer->slab->key;
}
