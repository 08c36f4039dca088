/* SPDX-License-Identifier: Apache-2.0 */
#include "io/vectored.h"

#include "io/reactor.h"

#include <errno.h>

static const struct rill_place name_read = {"read a file into several parts", NULL, 0};
static const struct rill_place name_write = {"write several parts to a file", NULL, 0};

struct rill_future *rill_file_read_vectored_at(struct rill_file *file, struct rill_op *op,
                                               const struct iovec *parts, size_t count,
                                               uint64_t offset)
{
    return rill_file_prepare_at(file, op, &name_read, IORING_OP_READV, parts, count, offset);
}

struct rill_future *rill_file_write_vectored_at(struct rill_file *file, struct rill_op *op,
                                                const struct iovec *parts, size_t count,
                                                uint64_t offset)
{
    return rill_file_prepare_at(file, op, &name_write, IORING_OP_WRITEV, parts, count, offset);
}

void rill_parts_skip(struct iovec **parts, size_t *count, size_t moved)
{
    while (*count > 0 && moved >= (*parts)->iov_len) {
        moved -= (*parts)->iov_len;
        (*parts)++;
        (*count)--;
    }
    if (*count > 0) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + moved;
        (*parts)->iov_len -= moved;
    }
}

static enum rill_poll write_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_write_vectored *write =
        rill_container_of(self, struct rill_write_vectored, op.future);
    struct rill_op *op = &write->op;

    for (;;) {
        if (rill_op_poll(self, task) == RILL_PENDING)
            return RILL_PENDING;
        if (op->result < 0)
            return RILL_READY;
        op->transferred += (uint64_t)op->result;
        if (op->offset != RILL_OFFSET_CURRENT)
            op->offset += (uint64_t)op->result;
        rill_parts_skip(&write->parts, &write->count, (size_t)op->result);
        if (write->count == 0)
            break;
        if (op->result == 0) { /* the file takes no more, and does not say why */
            op->result = -EIO;
            return RILL_READY;
        }
        rill_op_refill(op, write->parts, write->count);
    }
    op->result = (int64_t)op->transferred;
    return RILL_READY;
}

/* The op is prepared. */
static struct rill_future *write_all(struct rill_write_vectored *write, struct iovec *parts,
                                     size_t count)
{
    write->parts = parts;
    write->count = count;
    write->op.future.poll = write_poll;
    return &write->op.future;
}

struct rill_future *rill_file_write_all_vectored_at(struct rill_file *file,
                                                    struct rill_write_vectored *write,
                                                    struct iovec *parts, size_t count,
                                                    uint64_t offset)
{
    rill_file_write_vectored_at(file, &write->op, parts, count, offset);
    return write_all(write, parts, count);
}

struct rill_future *rill_file_write_all_vectored(struct rill_file *file,
                                                 struct rill_write_vectored *write,
                                                 struct iovec *parts, size_t count)
{
    rill_file_prepare(file, &write->op, &name_write, IORING_OP_WRITEV, parts, count,
                      RILL_OFFSET_CURRENT);
    return write_all(write, parts, count);
}
