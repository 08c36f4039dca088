/* SPDX-License-Identifier: Apache-2.0 */
#include "io/file.h"

#include "io/reactor.h"
#include "io/terminal.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const struct rill_place name_open = {"open a file", NULL, 0};
static const struct rill_place name_read = {"read a file", NULL, 0};
static const struct rill_place name_write = {"write a file", NULL, 0};
static const struct rill_place name_sync = {"sync a file", NULL, 0};
static const struct rill_place name_allocate = {"allocate room for a file", NULL, 0};
static const struct rill_place name_stat = {"stat a file", NULL, 0};

static void take_over(struct rill_file *file, int fd)
{
    struct rill_reactor *reactor = rill_reactor_here();

    file->fd = fd;
    file->is_open = true;
    file->is_terminal = reactor->kernel->ops->is_terminal(reactor->kernel, fd);
    reactor->fds_open++;
}

static void open_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    if (answer >= 0) {
        take_over(rill_container_of(op, struct rill_file, control), answer);
        answer = 0;
    }
    rill_op_complete(op, answer, cqe_flags);
}

struct rill_future *rill_file_open(struct rill_file *file, const char *path, int flags, mode_t mode)
{
    struct rill_op *op = &file->control;

    rill_check(!file->is_open, "a file was opened that is open already");
    rill_op_prepare(op, &name_open, IORING_OP_OPENAT, AT_FDCWD, path, mode, 0);
    op->op_flags = (uint32_t)(flags | O_CLOEXEC);
    op->complete = open_complete;
    return &op->future;
}

static enum rill_poll nothing_to_close(struct rill_future *self, struct rill_task *task)
{
    self->result = 0;
    return rill_budget_spend(rill_executor_here(), task) ? RILL_READY : RILL_PENDING;
}

/* From its beginning on the descriptor is not the file's any more. */
static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_file *file = rill_container_of(self, struct rill_file, control.future);

    file->is_open = false;
    return rill_op_poll(self, task);
}

struct rill_future *rill_file_close(struct rill_file *file)
{
    if (!file->is_open)
        return rill_future_init(&file->control.future, nothing_to_close);
    rill_op_close(&file->control, file->fd);
    file->control.future.poll = close_poll;
    return &file->control.future;
}

struct rill_future *rill_file_prepare(struct rill_file *file, struct rill_op *op,
                                      const struct rill_place *name, uint8_t opcode,
                                      const void *address, uint64_t length, uint64_t offset)
{
    rill_op_prepare(op, name, opcode, rill_file_fd(file), address, length, offset);
    if (file->is_terminal)
        rill_terminal_prepare(op);
    return &op->future;
}

struct rill_future *rill_file_prepare_at(struct rill_file *file, struct rill_op *op,
                                         const struct rill_place *name, uint8_t opcode,
                                         const void *address, uint64_t length, uint64_t offset)
{
    if (offset == RILL_OFFSET_CURRENT)
        offset--; /* which is as far out of range, and means nothing else */
    return rill_file_prepare(file, op, name, opcode, address, length, offset);
}

struct rill_future *rill_file_read_at(struct rill_file *file, struct rill_op *op, void *buffer,
                                      size_t size, uint64_t offset)
{
    return rill_file_prepare_at(file, op, &name_read, IORING_OP_READ, buffer, size, offset);
}

struct rill_future *rill_file_write_at(struct rill_file *file, struct rill_op *op,
                                       const void *buffer, size_t size, uint64_t offset)
{
    return rill_file_prepare_at(file, op, &name_write, IORING_OP_WRITE, buffer, size, offset);
}

struct rill_future *rill_file_write_all_at(struct rill_file *file, struct rill_op *op,
                                           const void *buffer, size_t size, uint64_t offset)
{
    rill_file_prepare_at(file, op, &name_write, IORING_OP_WRITE, buffer, size, offset);
    op->kind = RILL_OP_EXACT | RILL_OP_AT_OFFSET;
    return &op->future;
}

struct rill_future *rill_file_read(struct rill_file *file, struct rill_op *op, void *buffer,
                                   size_t size)
{
    return rill_file_prepare(file, op, &name_read, IORING_OP_READ, buffer, size,
                             RILL_OFFSET_CURRENT);
}

struct rill_future *rill_file_write(struct rill_file *file, struct rill_op *op, const void *buffer,
                                    size_t size)
{
    return rill_file_prepare(file, op, &name_write, IORING_OP_WRITE, buffer, size,
                             RILL_OFFSET_CURRENT);
}

struct rill_future *rill_file_write_all(struct rill_file *file, struct rill_op *op,
                                        const void *buffer, size_t size)
{
    rill_file_write(file, op, buffer, size);
    op->kind = RILL_OP_EXACT;
    return &op->future;
}

struct rill_future *rill_file_sync(struct rill_file *file, struct rill_op *op, bool data_only)
{
    rill_op_prepare(op, &name_sync, IORING_OP_FSYNC, rill_file_fd(file), NULL, 0, 0);
    op->op_flags = data_only ? IORING_FSYNC_DATASYNC : 0;
    return &op->future;
}

struct rill_future *rill_file_allocate(struct rill_file *file, struct rill_op *op, int mode,
                                       uint64_t offset, uint64_t size)
{
    /* The entry has the mode where others have the length, and the length for an address. */
    rill_op_prepare(op, &name_allocate, IORING_OP_FALLOCATE, rill_file_fd(file), NULL,
                    (uint32_t)mode, offset);
    op->address = size;
    op->kind = RILL_OP_LITERAL;
    return &op->future;
}

struct rill_future *rill_file_stat(struct rill_file *file, struct rill_op *op, struct statx *status)
{
    rill_op_prepare(op, &name_stat, IORING_OP_STATX, rill_file_fd(file), "", STATX_BASIC_STATS,
                    (uint64_t)(uintptr_t)status);
    op->op_flags = AT_EMPTY_PATH;
    return &op->future;
}

/* Makes room for at least one more byte than there are, and for the zero byte.
 * Returns 0 or -errno. */
static int make_room(struct rill_read_to_end *read)
{
    enum { FIRST_CAPACITY = 16 * 1024 };
    size_t capacity = read->capacity;
    char *data;

    if (read->size + 1 < capacity)
        return 0;
    /* One byte beyond the limit, so that a file of just that size is seen to end. */
    capacity = capacity < FIRST_CAPACITY ? FIRST_CAPACITY : capacity * 2;
    if (capacity > read->limit + 2)
        capacity = read->limit + 2;
    data = realloc(read->data, capacity);
    if (!data)
        return -ENOMEM;
    read->data = data;
    read->capacity = capacity;
    return 0;
}

static int64_t give_up(struct rill_read_to_end *read, int64_t error)
{
    if (!read->keeps) {
        free(read->data);
        read->data = NULL;
    }
    return error;
}

static enum rill_poll read_to_end_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_read_to_end *read = rill_container_of(self, struct rill_read_to_end, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* without memory it ends at once */
    for (;;) {
        read->result = make_room(read);
        if (read->result < 0)
            RILL_RETURN(give_up(read, read->result));
        RILL_AWAIT(rill_file_read(read->file, &read->op, read->data + read->size,
                                  read->capacity - read->size - 1));
        if (read->op.result < 0)
            RILL_RETURN(give_up(read, read->op.result));
        if (read->op.result == 0)
            break;
        read->size += (size_t)read->op.result;
        if (read->size > read->limit)
            RILL_RETURN(give_up(read, -EFBIG));
    }
    read->data[read->size] = '\0';
    RILL_RETURN((int64_t)read->size);
    RILL_END();
}

struct rill_future *rill_file_read_to_end(struct rill_file *file, struct rill_read_to_end *read,
                                          size_t limit)
{
    read->data = NULL;
    read->file = file;
    read->size = 0;
    read->capacity = 0;
    read->keeps = false;
    read->limit = limit < SSIZE_MAX - 2 ? limit : SSIZE_MAX - 2;
    return rill_future_init(&read->future, read_to_end_poll);
}

void rill_file_adopt(struct rill_file *file, int fd)
{
    rill_check(!file->is_open, "a file was made of one that is open: close it first");
    memset(file, 0, sizeof *file);
    take_over(file, fd);
}

int rill_file_release(struct rill_file *file)
{
    if (!file->is_open)
        return -EBADF;
    file->is_open = false;
    rill_reactor_here()->fds_open--;
    return file->fd;
}
