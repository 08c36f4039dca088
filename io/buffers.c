/* SPDX-License-Identifier: Apache-2.0 */
#include "io/buffers.h"

#include "runtime/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

void rill_buffers_init(struct rill_buffers *buffers, struct rill_kernel *kernel,
                       struct io_uring *uring, unsigned count, size_t size)
{
    *buffers =
        (struct rill_buffers){.count = count, .size = size, .kernel = kernel, .uring = uring};
    rill_list_init(&buffers->starved);
}

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void release(struct rill_buffers *buffers)
{
    if (buffers->ring)
        munmap(buffers->ring, buffers->count * sizeof(struct io_uring_buf));
    if (buffers->memory)
        munmap(buffers->memory, buffers->count * buffers->size);
    free(buffers->buffers);
    buffers->ring = NULL;
    buffers->memory = NULL;
    buffers->buffers = NULL;
}

void rill_buffers_finish(struct rill_buffers *buffers)
{
    rill_check(buffers->in_use == 0, "a runtime was ended with %u shared buffers in use",
               buffers->in_use);
    if (buffers->ring)
        buffers->kernel->ops->unregister_buffers(buffers->kernel, buffers->uring,
                                                 RILL_BUFFERS_GROUP);
    release(buffers);
}

/* Hands buffer id to the kernel at place after of the ring's tail. */
static void add(struct rill_buffers *buffers, unsigned id, int after)
{
    io_uring_buf_ring_add(buffers->ring, buffers->memory + id * buffers->size,
                          (unsigned)buffers->size, (unsigned short)id,
                          io_uring_buf_ring_mask(buffers->count), after);
}

int rill_buffers_ready(struct rill_buffers *buffers)
{
    if (__builtin_expect(buffers->ring != NULL, 1))
        return 0;

    buffers->ring = map(buffers->count * sizeof(struct io_uring_buf));
    buffers->memory = map(buffers->count * buffers->size);
    buffers->buffers = calloc(buffers->count, sizeof *buffers->buffers);
    if (!buffers->ring || !buffers->memory || !buffers->buffers) {
        release(buffers);
        return -ENOMEM;
    }

    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)buffers->ring,
        .ring_entries = buffers->count,
        .bgid = RILL_BUFFERS_GROUP,
    };
    int error;

    io_uring_buf_ring_init(buffers->ring);
    error = buffers->kernel->ops->register_buffers(buffers->kernel, buffers->uring, &reg);
    if (error) {
        release(buffers);
        return error;
    }
    for (unsigned id = 0; id < buffers->count; id++)
        add(buffers, id, (int)id);
    io_uring_buf_ring_advance(buffers->ring, (int)buffers->count);
    return 0;
}

struct rill_buffer *rill_buffers_filled(struct rill_buffers *buffers, unsigned id, uint32_t length)
{
    struct rill_buffer *buffer = &buffers->buffers[id];

    buffers->in_use++;
    buffer->offset = 0;
    buffer->length = length;
    return buffer;
}

void rill_buffers_give_back(struct rill_buffers *buffers, unsigned id)
{
    rill_check(buffers->in_use > 0, "a shared buffer was given back twice");
    buffers->in_use--;
    add(buffers, id, 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
}
