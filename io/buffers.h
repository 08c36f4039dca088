/* SPDX-License-Identifier: Apache-2.0 */
/* buffers.h - the buffers that all receives of a runtime share.
 *
 * A receive that brings its own buffer occupies it for as long as it waits; ten
 * thousand idle connections would hold ten thousand buffers. A ring of buffers is
 * given to the kernel instead (io_uring_register_buf_ring(3)); it takes one when
 * bytes arrive and says which. The reader uses it and gives it back.
 *
 * There are few at first, so that the same warm memory is used again and again, and
 * twice as many each time that they did not suffice, up to a limit.
 *
 * Whoever is slow must not keep shared buffers from the others. Bytes that have to
 * wait are therefore moved into memory of their own (rill_buffers_detach); such a
 * private buffer has a number too, above those of the shared ones, and is freed
 * when it is given back. There are numbers for more slow peers than a process as a rule has
 * descriptors, as each has no more than one in line once many are in use (rill_buffers_are_many).
 * Where they ran out, buffers would stay shared, and slow peers would stop all others.
 *
 * Invariant: each shared buffer is with the kernel (in the ring), in the chain of
 * one receiver or sender, or borrowed by a reader; in_use counts all but the first. */
#ifndef RILL_IO_BUFFERS_H
#define RILL_IO_BUFFERS_H

#include "io/kernel.h"
#include "runtime/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_BUFFERS_MAX = 32768, /* the kernel's limit */
    RILL_BUFFERS_GROUP = 0,
    RILL_BUFFERS_FIRST = 256, /* made when the first receive needs them */
    RILL_BUFFERS_PRIVATE_MAX = 1 << 20,
    RILL_BUFFERS_PRIVATE_MANY = 16384, /* from so many on a stream has one in line to be sent */
    RILL_BUFFERS_SHARE = 16,           /* that one direction of one stream may hold else */
};

/* What is in a buffer that is not with the kernel. */
struct rill_buffer {
    uint32_t offset; /* of the first byte that was not read yet */
    uint32_t length; /* bytes from there on */
    uint32_t next;   /* the buffer behind it in its receiver's chain */
    bool is_lent;    /* its memory is somebody else's */
};

struct rill_buffers {
    unsigned limit; /* how many there may be, a power of two */
    unsigned count; /* how many there are */
    size_t size;    /* of each, in bytes */
    unsigned in_use;
    unsigned private_in_use;

    /* private */
    struct rill_kernel *kernel;
    struct io_uring *uring;
    struct io_uring_buf_ring *ring; /* NULL until the first receive needs it */
    struct rill_buffer *buffers;
    unsigned char *memory;
    unsigned char **private_memory; /* by number, from limit on */
    unsigned private_made;          /* numbers that were used so far */
    uint32_t private_free;          /* a number that is free again, chained by next, or 0 */
    struct rill_link starved;       /* of rill_op.queue: receives that wait for a buffer */
};

/* Says how many buffers of what size there may be. Allocates nothing yet. */
void rill_buffers_init(struct rill_buffers *buffers, struct rill_kernel *kernel,
                       struct io_uring *uring, unsigned limit, size_t size);

/* Frees the memory, when the io_uring has ended that the buffers were registered with. They are not
 * taken back from it: a child of fork(2) that ends its copy of a runtime would take them from its
 * parent, whose io_uring that is too. */
void rill_buffers_finish(struct rill_buffers *buffers);

/* Makes the buffers and gives them to the kernel, if that was not done. Where there is no memory
 * for as many as the limit says it is halved, down to RILL_BUFFERS_FIRST. Returns 0, -ENOMEM, or
 * what the kernel says. */
int rill_buffers_ready(struct rill_buffers *buffers);

/* Doubles the number of buffers, if the limit permits. Their memory was reserved at
 * the beginning, so it cannot fail. */
void rill_buffers_grow(struct rill_buffers *buffers);

/* Whether so many are in use that what nobody waits for should be detached. */
static inline bool rill_buffers_are_scarce(const struct rill_buffers *buffers)
{
    return buffers->in_use >= buffers->limit / 2;
}

/* Whether so much waits for slow peers that each should have no more than one in line. */
static inline bool rill_buffers_are_many(const struct rill_buffers *buffers)
{
    return buffers->private_in_use >= RILL_BUFFERS_PRIVATE_MANY;
}

/* Moves what is left in buffer id into memory of its own and gives the shared one
 * back. Returns the number of the private buffer; or id itself, if it is private
 * already or there is no memory. Pointers to its bytes are no longer valid. */
unsigned rill_buffers_detach(struct rill_buffers *buffers, unsigned id);

/* Makes a private buffer of memory that stays the caller's and that it keeps valid
 * until the buffer is given back. Returns its number, or -ENOMEM. */
int rill_buffers_lend(struct rill_buffers *buffers, const void *data, uint32_t length);

/* Notes that the kernel has put length bytes into buffer id. */
struct rill_buffer *rill_buffers_filled(struct rill_buffers *buffers, unsigned id, uint32_t length);

/* Gives buffer id back to the kernel. */
void rill_buffers_give_back(struct rill_buffers *buffers, unsigned id);

/* The bytes of buffer id that were not read yet. */
static inline void *rill_buffers_data(const struct rill_buffers *buffers, unsigned id)
{
    unsigned char *memory = id < buffers->limit ? buffers->memory + id * buffers->size
                                                : buffers->private_memory[id - buffers->limit];

    return memory + buffers->buffers[id].offset;
}

#ifdef __cplusplus
}
#endif
#endif
