/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - the operations on files that are open. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int sim_file_fault(struct sim_op *op)
{
    return sim_op_chance(op, op->ring->sim->options.file_per_mille) ? -EIO : 0;
}

static bool at_position(const struct sim_op *op)
{
    return op->sqe.off == UINT64_MAX;
}

static int check(struct sim_op *op, int forbidden, uint64_t *offset)
{
    *offset = at_position(op) ? op->object->position : op->sqe.off;
    if ((op->object->open_flags & O_ACCMODE) == forbidden)
        return -EBADF;
    if (S_ISDIR(op->object->node->mode))
        return -EISDIR;
    if ((op->sqe.flags & IOSQE_BUFFER_SELECT) || *offset > INT64_MAX)
        return -EINVAL;
    return sim_file_fault(op);
}

static int read_file(struct sim_op *op)
{
    const struct sim_node *node = op->object->node;
    uint64_t offset;
    size_t size = op->total;
    int result = check(op, O_WRONLY, &offset);

    if (result < 0)
        return result;
    if (size > INT64_MAX - offset)
        return -EINVAL;
    if (offset >= node->size || !size)
        return 0;
    if (size > node->size - offset)
        size = node->size - (size_t)offset;
    size = sim_shorten(op->ring->sim, size);
    sim_op_scatter(op, node->bytes + offset, size);
    if (at_position(op))
        op->object->position = offset + size;
    return (int)size;
}

static int write_file(struct sim_op *op)
{
    struct sim_node *node = op->object->node;
    uint64_t offset;
    size_t moved = 0, size = sim_shorten(op->ring->sim, op->total);
    int result = check(op, O_RDONLY, &offset);

    if (result < 0)
        return result == -EIO && sim_random(op->ring->sim, 2) ? -ENOSPC : result;
    if (op->object->open_flags & O_APPEND)
        offset = node->size;
    if (size && offset + size > node->size) {
        if (offset + size > op->ring->sim->options.disk_size_max)
            return -ENOSPC;
        result = sim_node_resize(op->ring->sim, node, (size_t)offset + size);
        if (result < 0)
            return result;
    }
    while (moved < size) {
        char *piece;
        size_t step = sim_op_memory(op, moved, size - moved, &piece);

        memcpy(node->bytes + offset + moved, piece, step);
        moved += step;
    }
    node->modified_ns = op->ring->sim->now;
    if (at_position(op))
        op->object->position = offset + size;
    return (int)size;
}

static int read_counter(struct sim_op *op)
{
    if (op->total < sizeof op->object->counter)
        return -EINVAL;
    if (!op->object->counter)
        return sim_op_wait(op, POLLIN);
    sim_op_scatter(op, (const char *)&op->object->counter, sizeof op->object->counter);
    op->object->counter = 0;
    return (int)sizeof op->object->counter;
}

int sim_attempt_read(struct sim_op *op)
{
    switch (op->object->kind) {
    case SIM_STREAM:
    case SIM_DATAGRAM:
        return sim_attempt_recv(op);
    case SIM_REGULAR:
        return read_file(op);
    case SIM_COUNTER:
        return read_counter(op);
    case SIM_FOREIGN:
        return sim_op_wait(op, POLLIN);
    }
    return -EINVAL;
}

int sim_attempt_write(struct sim_op *op)
{
    if (op->object->kind == SIM_STREAM || op->object->kind == SIM_DATAGRAM)
        return sim_attempt_send(op);
    if (op->object->kind == SIM_COUNTER) {
        uint64_t value = 0;
        char *piece;

        if (sim_op_memory(op, 0, sizeof value, &piece) < sizeof value)
            return -EINVAL;
        memcpy(&value, piece, sizeof value);
        op->object->counter += value;
        sim_object_wake(op->object, POLLIN | POLLRDNORM);
        return (int)sizeof value;
    }
    return op->object->kind == SIM_REGULAR ? write_file(op) : -EINVAL;
}

int sim_attempt_fsync(struct sim_op *op)
{
    int result = op->object->kind == SIM_REGULAR ? sim_file_fault(op) : -EINVAL;

    if (result == 0)
        sim_node_sync(op->ring->sim, op->object->node);
    return result;
}

/* Mode 0 alone, and as no room is kept, FALLOC_FL_KEEP_SIZE. */
int sim_attempt_fallocate(struct sim_op *op)
{
    uint64_t offset = op->sqe.off, size = op->sqe.addr;
    struct sim_node *node = op->object->node;
    int result;

    if (op->object->kind != SIM_REGULAR)
        return -ESPIPE;
    if (size == 0 || size > INT64_MAX || offset > INT64_MAX)
        return -EINVAL;
    if (op->sqe.len & ~(unsigned)FALLOC_FL_KEEP_SIZE)
        return -EOPNOTSUPP;
    if ((op->object->open_flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (size > INT64_MAX - offset)
        return -EFBIG;
    result = sim_file_fault(op);
    if (result < 0)
        return sim_random(op->ring->sim, 2) ? -ENOSPC : result;
    if (op->sqe.len || offset + size <= node->size)
        return 0;
    if (offset + size > op->ring->sim->options.disk_size_max)
        return -ENOSPC;
    return sim_node_resize(op->ring->sim, node, (size_t)(offset + size));
}
