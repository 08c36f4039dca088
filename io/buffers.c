/* SPDX-License-Identifier: Apache-2.0 */
#include "io/buffers.h"

#include "runtime/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void rill_buffers_init(struct rill_buffers *buffers, struct rill_kernel *kernel,
                       struct io_uring *uring, unsigned limit, size_t size)
{
    *buffers =
        (struct rill_buffers){.limit = limit, .size = size, .kernel = kernel, .uring = uring};
    rill_list_init(&buffers->starved);
}

/* Address space, of which a page becomes memory when it is first used. */
static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void unmap(void *memory, size_t size)
{
    if (memory)
        munmap(memory, size);
}

static size_t numbers(const struct rill_buffers *buffers)
{
    return (size_t)buffers->limit + RILL_BUFFERS_PRIVATE_MAX;
}

static void release(struct rill_buffers *buffers)
{
    unmap(buffers->ring, buffers->limit * sizeof(struct io_uring_buf));
    unmap(buffers->memory, buffers->limit * buffers->size);
    unmap(buffers->buffers, numbers(buffers) * sizeof *buffers->buffers);
    unmap(buffers->private_memory, RILL_BUFFERS_PRIVATE_MAX * sizeof *buffers->private_memory);
    buffers->ring = NULL;
    buffers->memory = NULL;
    buffers->buffers = NULL;
    buffers->private_memory = NULL;
}

void rill_buffers_finish(struct rill_buffers *buffers)
{
    rill_check(buffers->in_use + buffers->private_in_use == 0,
               "a runtime was ended with %u shared buffers in use: give back what was borrowed",
               buffers->in_use + buffers->private_in_use);
    release(buffers);
}

/* Hands buffer id to the kernel at place after of the ring's tail. */
static void add(struct rill_buffers *buffers, unsigned id, int after)
{
    io_uring_buf_ring_add(buffers->ring, buffers->memory + id * buffers->size,
                          (unsigned)buffers->size, (unsigned short)id,
                          io_uring_buf_ring_mask(buffers->limit), after);
}

/* Gives the kernel buffers until there are count of them. */
static void make(struct rill_buffers *buffers, unsigned count)
{
    unsigned before = buffers->count;

    for (unsigned id = before; id < count; id++)
        add(buffers, id, (int)(id - before));
    io_uring_buf_ring_advance(buffers->ring, (int)(count - before));
    buffers->count = count;
}

void rill_buffers_grow(struct rill_buffers *buffers)
{
    if (buffers->count < buffers->limit)
        make(buffers, 2 * buffers->count);
}

/* For as many as the limit says. Returns 0, -ENOMEM, or what the kernel says. */
static int map_and_register(struct rill_buffers *buffers)
{
    int error = -ENOMEM;

    buffers->ring = map(buffers->limit * sizeof(struct io_uring_buf));
    buffers->memory = map(buffers->limit * buffers->size);
    buffers->buffers = map(numbers(buffers) * sizeof *buffers->buffers);
    buffers->private_memory = map(RILL_BUFFERS_PRIVATE_MAX * sizeof *buffers->private_memory);
    if (buffers->ring && buffers->memory && buffers->buffers && buffers->private_memory) {
        struct io_uring_buf_reg reg = {
            .ring_addr = (uint64_t)(uintptr_t)buffers->ring,
            .ring_entries = buffers->limit,
            .bgid = RILL_BUFFERS_GROUP,
        };

        io_uring_buf_ring_init(buffers->ring);
        error = buffers->kernel->ops->register_buffers(buffers->kernel, buffers->uring, &reg);
    }
    if (error)
        release(buffers);
    return error;
}

/* Where memory is limited (RLIMIT_AS, RLIMIT_MEMLOCK) there are fewer of them. */
int rill_buffers_ready(struct rill_buffers *buffers)
{
    int error;

    if (__builtin_expect(buffers->ring != NULL, 1))
        return 0;
    while ((error = map_and_register(buffers)) == -ENOMEM && buffers->limit > RILL_BUFFERS_FIRST)
        buffers->limit /= 2;
    if (error)
        return error;
    make(buffers, buffers->limit < RILL_BUFFERS_FIRST ? buffers->limit : RILL_BUFFERS_FIRST);
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

/* Returns a number for a private buffer, or 0, which is a shared one's. */
static unsigned private_number(struct rill_buffers *buffers)
{
    unsigned id = buffers->private_free;

    if (id)
        buffers->private_free = buffers->buffers[id].next;
    else if (buffers->private_made < RILL_BUFFERS_PRIVATE_MAX)
        id = buffers->limit + buffers->private_made++;
    return id;
}

static void private_free(struct rill_buffers *buffers, unsigned id)
{
    if (!buffers->buffers[id].is_lent)
        free(buffers->private_memory[id - buffers->limit]);
    buffers->buffers[id].next = buffers->private_free;
    buffers->private_free = id;
    buffers->private_in_use--;
}

unsigned rill_buffers_detach(struct rill_buffers *buffers, unsigned id)
{
    const struct rill_buffer *shared = &buffers->buffers[id];
    unsigned char *memory;
    unsigned own;

    if (id >= buffers->limit)
        return id;
    memory = malloc(shared->length);
    if (!memory)
        return id;
    own = private_number(buffers);
    if (!own) {
        free(memory);
        return id;
    }
    memcpy(memory, rill_buffers_data(buffers, id), shared->length);
    buffers->private_memory[own - buffers->limit] = memory;
    buffers->buffers[own] = (struct rill_buffer){.length = shared->length, .next = shared->next};
    buffers->private_in_use++;
    rill_buffers_give_back(buffers, id);
    return own;
}

int rill_buffers_lend(struct rill_buffers *buffers, const void *data, uint32_t length)
{
    unsigned id = private_number(buffers);

    if (!id)
        return -ENOMEM;
    buffers->private_memory[id - buffers->limit] = (unsigned char *)(uintptr_t)data;
    buffers->buffers[id] = (struct rill_buffer){.length = length, .is_lent = true};
    buffers->private_in_use++;
    return (int)id;
}

void rill_buffers_give_back(struct rill_buffers *buffers, unsigned id)
{
    if (__builtin_expect(id >= buffers->limit, 0)) {
        private_free(buffers, id);
        return;
    }
    rill_check(buffers->in_use > 0, "a shared buffer was given back twice");
    buffers->in_use--;
    add(buffers, id, 0);
    io_uring_buf_ring_advance(buffers->ring, 1);
}
