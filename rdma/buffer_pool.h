/* SPDX-License-Identifier: Apache-2.0 */
/* buffer_pool.h - buffers in registered memory, to be taken and given back.
 *
 *     error = rill_rdma_buffer_pool_init(&server->buffers, &server->rdma, NULL);
 *     ...
 *     RILL_AWAIT(rill_rdma_buffer_take(&server->buffers, &answer->take, size));
 *     if (answer->take.result < 0)
 *         RILL_RETURN(answer->take.result);
 *     memcpy(answer->take.buffer->bytes, text, size);
 *     RILL_AWAIT(rill_rdma_send(&peer->connection, &answer->send, answer->take.buffer->bytes,
 *                               size, ANSWER));
 *     rill_rdma_buffer_give_back(answer->take.buffer);
 *
 * Registering memory with a device costs more than most messages, so it is done for slabs,
 * which are kept. A slab is cut into buffers of one size, a power of two; when all of them
 * have come back, it can be cut anew for another size. So there is no malloc and nothing is
 * registered once the pool has grown to what is needed, and bytes_max bounds that.
 *
 * Who wants a buffer when there is none waits. First come, first served, whatever the size:
 * one that needs a whole slab is not overtaken for ever by those that need a little. */
#ifndef RILL_RDMA_BUFFER_POOL_H
#define RILL_RDMA_BUFFER_POOL_H

#include "rdma/memory.h"
#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_slab;

enum {
    RILL_RDMA_BUFFER_CLASSES_MAX = 32, /* sizes of buffers in one pool */

    /* Defaults of the options, in bytes. */
    RILL_RDMA_BUFFER_SMALLEST = 4 << 10,
    RILL_RDMA_BUFFER_LARGEST = 1 << 20,
    RILL_RDMA_BUFFER_BYTES_MAX = 64 << 20,
};

/* A zeroed field means its default, in brackets. */
struct rill_rdma_buffer_pool_options {
    size_t smallest;  /* bytes of the smallest buffers, a power of two, at least 64 [4 KiB] */
    size_t largest;   /* of the largest, likewise; and of a slab [1 MiB] */
    size_t bytes_max; /* that are registered at once, at least `largest` [64 MiB] */
};

/* One that was taken, until it is given back. */
struct rill_rdma_buffer {
    void *bytes;
    size_t size; /* at least what was asked for */

    /* private */
    struct rill_rdma_slab *slab;
    struct rill_rdma_buffer *next_idle; /* of its slab */
    bool is_taken;
};

/* Invariant: while a task is in line, there is no slab that is not cut, no more may be
 * made, and no buffer that is large enough for the first in line is idle. A slab is in
 * `uncut` if none of its buffers is taken, on no list if all are, and else among the partly
 * taken ones of its size. */
struct rill_rdma_buffer_pool {
    size_t bytes;       /* registered */
    size_t bytes_taken; /* in buffers that are taken */

    /* private */
    struct rill_rdma *rdma; /* borrowed */
    struct rill_rdma_buffer_pool_options options;
    struct rill_link slabs;                                      /* of rill_rdma_slab.all */
    struct rill_link uncut;                                      /* of rill_rdma_slab.link */
    struct rill_link partly_taken[RILL_RDMA_BUFFER_CLASSES_MAX]; /* of rill_rdma_slab.link */
    struct rill_line line;                                       /* of those that want a buffer */
};

struct rill_rdma_buffer_take {
    union {
        int64_t result; /* as rill_rdma_buffer_take says */
        struct rill_future future;
    };
    struct rill_rdma_buffer *buffer; /* NULL unless the result is >= 0 */

    /* private */
    struct rill_rdma_buffer_pool *pool;
    size_t size;
    struct rill_place_in_line place; /* in pool.line, until it is handed a buffer */
};

/* Makes a pool, which borrows rdma as long as it is used and has no memory yet. Copies the
 * options, which may be NULL. Returns 0, or -EINVAL for sizes that do not fit together. */
int rill_rdma_buffer_pool_init(struct rill_rdma_buffer_pool *pool, struct rill_rdma *rdma,
                               const struct rill_rdma_buffer_pool_options *options);

/* Releases its memory; to be called before rdma is closed. Panics if a buffer is taken or
 * a task waits for one. Does nothing to a zeroed one. */
void rill_rdma_buffer_pool_finish(struct rill_rdma_buffer_pool *pool);

/* Registers memory ahead, so that none has to be when the work has begun: bytes in all,
 * rounded up to slabs. Returns 0, or -errno: -ENOMEM, -EINVAL for more than bytes_max. */
int rill_rdma_buffer_pool_reserve(struct rill_rdma_buffer_pool *pool, size_t bytes);

/* Releases the memory that no buffer is taken of. Returns how many bytes that was. */
size_t rill_rdma_buffer_pool_trim(struct rill_rdma_buffer_pool *pool);

/* Takes a buffer of at least size bytes, which then is the caller's until it is given back.
 * Its bytes are what the last one left in it. The result is its size; or -EMSGSIZE where
 * that is more than `largest`; or -ENOMEM, where memory for it cannot be had or not be
 * locked; or -ECANCELED: a buffer that it had been handed goes to the next in line. */
struct rill_future *rill_rdma_buffer_take(struct rill_rdma_buffer_pool *pool,
                                          struct rill_rdma_buffer_take *take, size_t size);

/* The same without waiting: stores it in *buffer and returns 0, or stores NULL and returns
 * -EAGAIN where it would have to wait, -EMSGSIZE or -ENOMEM. */
int rill_rdma_buffer_try_take(struct rill_rdma_buffer_pool *pool, size_t size,
                              struct rill_rdma_buffer **buffer);

/* Gives a buffer back, of which nothing may be in flight. Panics if it is not taken. */
void rill_rdma_buffer_give_back(struct rill_rdma_buffer *buffer);

/* What another side needs in order to write to a buffer and to read from it, together with
 * the address of its bytes (rill_rdma_remote_open). Lent until it is given back; all buffers
 * of a slab have the same. */
const struct rill_rdma_key *rill_rdma_buffer_key(const struct rill_rdma_buffer *buffer);

#ifdef __cplusplus
}
#endif
#endif
