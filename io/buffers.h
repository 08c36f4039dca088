/* SPDX-License-Identifier: Apache-2.0 */
/* buffers.h - the buffers that all receives of a runtime share.
 *
 * A receive that brings its own buffer occupies it for as long as it waits; ten
 * thousand idle connections would hold ten thousand buffers. A ring of buffers is
 * given to the kernel instead (io_uring_register_buf_ring(3)); it takes one when
 * bytes arrive and says which. The reader uses it and gives it back.
 *
 * Invariant: each buffer is with the kernel (in the ring), in the chain of one
 * receiver, or borrowed by a reader; in_use counts the last two. */
#ifndef RILL_IO_BUFFERS_H
#define RILL_IO_BUFFERS_H

#include "io/kernel.h"
#include "runtime/list.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_BUFFERS_MAX = 32768, /* the kernel's limit */
    RILL_BUFFERS_GROUP = 0,
};

/* What is in a buffer that is not with the kernel. */
struct rill_buffer {
    uint32_t offset; /* of the first byte that was not read yet */
    uint32_t length; /* bytes from there on */
    uint32_t next;   /* the buffer behind it in its receiver's chain */
};

struct rill_buffers {
    unsigned count; /* a power of two */
    size_t size;    /* of each, in bytes */
    unsigned in_use;

    /* private */
    struct rill_kernel *kernel;
    struct io_uring *uring;
    struct io_uring_buf_ring *ring; /* NULL until the first receive needs it */
    struct rill_buffer *buffers;
    unsigned char *memory;
    struct rill_link starved; /* of rill_op.backlog: receives that wait for a buffer */
};

/* Says how many buffers of what size there will be. Allocates nothing yet. */
void rill_buffers_init(struct rill_buffers *buffers, struct rill_kernel *kernel,
                       struct io_uring *uring, unsigned count, size_t size);

/* Ends the ring and frees the memory. */
void rill_buffers_finish(struct rill_buffers *buffers);

/* Makes the buffers and gives them to the kernel, if that was not done. Returns 0,
 * -ENOMEM, or what the kernel says. */
int rill_buffers_ready(struct rill_buffers *buffers);

/* Notes that the kernel has put length bytes into buffer id. */
struct rill_buffer *rill_buffers_filled(struct rill_buffers *buffers, unsigned id, uint32_t length);

/* Gives buffer id back to the kernel. */
void rill_buffers_give_back(struct rill_buffers *buffers, unsigned id);

/* The bytes of buffer id that were not read yet. */
static inline void *rill_buffers_data(const struct rill_buffers *buffers, unsigned id)
{
    return buffers->memory + id * buffers->size + buffers->buffers[id].offset;
}

#ifdef __cplusplus
}
#endif
#endif
