/* SPDX-License-Identifier: Apache-2.0 */
#include "io/path.h"

#include "io/reactor.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct rill_future *prepare_stat(struct rill_op *op, const char *path, int flags,
                                        struct statx *status)
{
    static const struct rill_place name = {"stat a path", NULL, 0};

    rill_op_prepare(op, &name, IORING_OP_STATX, AT_FDCWD, path, STATX_BASIC_STATS,
                    (uint64_t)(uintptr_t)status);
    op->op_flags = (uint32_t)flags;
    return &op->future;
}

struct rill_future *rill_path_stat(struct rill_op *op, const char *path, struct statx *status)
{
    return prepare_stat(op, path, 0, status);
}

struct rill_future *rill_path_stat_link(struct rill_op *op, const char *path, struct statx *status)
{
    return prepare_stat(op, path, AT_SYMLINK_NOFOLLOW, status);
}

struct rill_future *rill_path_unlink(struct rill_op *op, const char *path)
{
    static const struct rill_place name = {"unlink", NULL, 0};

    return rill_op_prepare(op, &name, IORING_OP_UNLINKAT, AT_FDCWD, path, 0, 0);
}

static void clean_up_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;

    if (rill_op_was_refused(op, answer))
        answer = kernel->ops->unlinkat(kernel, op->fd, (const char *)(uintptr_t)op->address, 0);
    rill_op_complete(op, answer, cqe_flags);
}

struct rill_future *rill_path_clean_up(struct rill_op *op, int directory, const char *path)
{
    static const struct rill_place name = {"remove a file", NULL, 0};

    rill_op_prepare(op, &name, IORING_OP_UNLINKAT, directory, path, 0, 0);
    op->kind = RILL_OP_SHIELDED;
    op->complete = clean_up_complete;
    return &op->future;
}

/* What has two paths takes the second one's directory where others have a length. */
static struct rill_future *prepare_two(struct rill_op *op, const struct rill_place *name,
                                       uint8_t opcode, const char *from, const char *to,
                                       unsigned flags)
{
    rill_op_prepare(op, name, opcode, AT_FDCWD, from, (uint32_t)AT_FDCWD, (uint64_t)(uintptr_t)to);
    op->op_flags = flags;
    op->kind = RILL_OP_LITERAL;
    return &op->future;
}

struct rill_future *rill_path_rename(struct rill_op *op, const char *from, const char *to,
                                     unsigned flags)
{
    static const struct rill_place name = {"rename", NULL, 0};

    return prepare_two(op, &name, IORING_OP_RENAMEAT, from, to, flags);
}

struct rill_future *rill_path_mkdir(struct rill_op *op, const char *path, mode_t mode)
{
    static const struct rill_place name = {"make a directory", NULL, 0};

    return rill_op_prepare(op, &name, IORING_OP_MKDIRAT, AT_FDCWD, path, mode, 0);
}

struct rill_future *rill_path_rmdir(struct rill_op *op, const char *path)
{
    static const struct rill_place name = {"remove a directory", NULL, 0};

    rill_op_prepare(op, &name, IORING_OP_UNLINKAT, AT_FDCWD, path, 0, 0);
    op->op_flags = AT_REMOVEDIR;
    return &op->future;
}

struct rill_future *rill_path_symlink(struct rill_op *op, const char *target, const char *path)
{
    static const struct rill_place name = {"make a symbolic link", NULL, 0};

    return rill_op_prepare(op, &name, IORING_OP_SYMLINKAT, AT_FDCWD, target, 0,
                           (uint64_t)(uintptr_t)path);
}

struct rill_future *rill_path_link(struct rill_op *op, const char *from, const char *to)
{
    static const struct rill_place name = {"link", NULL, 0};

    return prepare_two(op, &name, IORING_OP_LINKAT, from, to, 0);
}
