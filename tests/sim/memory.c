/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - the caller's memory: copied at submission or used at completion, as the kernel does.
 *
 * The kernel imports lists, names and addresses when it takes an entry over, so
 * these may go away then. The bytes themselves belong to the operation until
 * its completion, and are touched then even if none of them moved: a buffer
 * that was released too early is found in every run, not in unlucky ones. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void *pointer_of(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

int sim_prepare_buffer(struct sim_op *op)
{
    op->total = op->sqe.len;
    if (op->sqe.flags & IOSQE_BUFFER_SELECT)
        return 0;
    op->iov_one.iov_base = pointer_of(op->sqe.addr);
    op->iov_one.iov_len = op->sqe.len;
    op->iov = &op->iov_one;
    op->iov_count = 1;
    return op->sqe.len > INT_MAX ? -EINVAL : 0;
}

static int import(struct sim_op *op, const struct iovec *iov, size_t count)
{
    if (count > IOV_MAX)
        return op->message ? -EMSGSIZE : -EINVAL; /* of a message, by Linux 6.1, -EINVAL too */
    op->iov = sim_allocate(count * sizeof *iov);
    op->iov_count = count;
    for (size_t i = 0; i < count; i++) {
        op->iov[i] = iov[i];
        op->total += iov[i].iov_len;
    }
    return op->total > INT_MAX ? -EINVAL : 0;
}

int sim_prepare_vector(struct sim_op *op)
{
    if (op->sqe.flags & IOSQE_BUFFER_SELECT)
        return -EINVAL;
    return import(op, pointer_of(op->sqe.addr), op->sqe.len);
}

int sim_prepare_message(struct sim_op *op)
{
    op->message = pointer_of(op->sqe.addr);
    if (op->sqe.flags & IOSQE_BUFFER_SELECT) /* any other than this is not simulated */
        return op->sqe.opcode == IORING_OP_RECVMSG && op->sqe.ioprio & IORING_RECV_MULTISHOT
                   ? 0
                   : -EINVAL;
    if (op->sqe.opcode == IORING_OP_SENDMSG && op->message->msg_name) {
        int result = sim_address_set(&op->address, op->message->msg_name, op->message->msg_namelen);

        if (result < 0)
            return result;
    }
    return import(op, op->message->msg_iov, op->message->msg_iovlen);
}

int sim_prepare_address(struct sim_op *op)
{
    return sim_address_set(&op->address, pointer_of(op->sqe.addr), (size_t)op->sqe.addr2);
}

int sim_prepare_path(struct sim_op *op)
{
    op->path = strdup(pointer_of(op->sqe.addr));
    return op->path ? 0 : -ENOMEM;
}

int sim_prepare_paths(struct sim_op *op)
{
    op->path_to = strdup(pointer_of(op->sqe.addr2));
    return op->path_to ? sim_prepare_path(op) : -ENOMEM;
}

size_t sim_op_memory(const struct sim_op *op, size_t offset, size_t want, char **piece)
{
    for (size_t i = 0; i < op->iov_count; i++) {
        if (offset < op->iov[i].iov_len) {
            size_t size = op->iov[i].iov_len - offset;

            *piece = (char *)op->iov[i].iov_base + offset;
            return size < want ? size : want;
        }
        offset -= op->iov[i].iov_len;
    }
    return 0;
}

/* Fills the memory from its beginning; bytes that do not fit are dropped. */
void sim_op_scatter(const struct sim_op *op, const char *bytes, size_t size)
{
    size_t moved = 0;

    while (moved < size) {
        char *piece;
        size_t step = sim_op_memory(op, moved, size - moved, &piece);

        if (!step)
            return;
        memcpy(piece, bytes + moved, step);
        moved += step;
    }
}

void sim_op_touch(const struct sim_op *op)
{
    for (size_t i = 0; i < op->iov_count; i++) {
        const volatile char *bytes = op->iov[i].iov_base;

        if (op->iov[i].iov_len) {
            (void)bytes[0];
            (void)bytes[op->iov[i].iov_len - 1];
        }
    }
    if (op->message)
        (void)*(const volatile int *)&op->message->msg_flags;
}

void sim_op_forget(struct sim_op *op)
{
    if (op->iov != &op->iov_one)
        free(op->iov);
    free(op->path);
    free(op->path_to);
}
