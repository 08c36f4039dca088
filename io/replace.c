/* SPDX-License-Identifier: Apache-2.0 */
#include "io/replace.h"

#include "io/path.h"
#include "io/reactor.h"
#include "runtime/executor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Whether a path with this last part can be that of a directory only. */
static bool is_of_directory(const char *name)
{
    return *name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Finds the last part of the path, and copies what is before it. Returns 0 or -errno. */
static int split_path(struct rill_replace *replace)
{
    const char *path = replace->path, *slash = strrchr(path, '/');
    size_t size = slash == path ? 1 : (size_t)(slash ? slash - path : 0);

    if (*path == '\0')
        return -ENOENT;
    replace->name = slash ? slash + 1 : path;
    if (is_of_directory(replace->name))
        return -EISDIR;
    if (size >= sizeof replace->folder)
        return -ENAMETOOLONG;
    memcpy(replace->folder, path, size);
    memcpy(replace->folder + size, slash ? "" : ".", slash ? 1 : 2);
    return 0;
}

/* Opens a new file in the directory. Its name is one that nobody else is likely to have
 * now, and O_EXCL finds out if somebody has. */
static struct rill_future *create_temporary(struct rill_replace *replace)
{
    struct rill_reactor *reactor = rill_reactor_here();

    snprintf(replace->temporary, sizeof replace->temporary, ".rill-%" PRIx64 "-%" PRIx64,
             (uint64_t)rill_now(), reactor->stats.submissions);
    rill_file_open(&replace->file, replace->temporary, O_WRONLY | O_CREAT | O_EXCL, replace->mode);
    replace->file.control.fd = replace->directory.fd;
    replace->names_tried++;
    return &replace->file.control.future;
}

/* What follows is so close to the end that to give up would only make it uncertain which
 * contents there are. */
static struct rill_future *shielded(struct rill_op *op)
{
    op->kind |= RILL_OP_SHIELDED;
    return &op->future;
}

static struct rill_future *rename_temporary(struct rill_replace *replace)
{
    static const struct rill_place name = {"rename a temporary file", NULL, 0};
    int directory = replace->directory.fd;

    rill_op_prepare(&replace->op, &name, IORING_OP_RENAMEAT, directory, replace->temporary,
                    (uint64_t)directory, (uint64_t)(uintptr_t)replace->name);
    return shielded(&replace->op);
}

static struct rill_future *sync_directory(struct rill_replace *replace)
{
    rill_file_sync(&replace->directory, &replace->op, false);
    return shielded(&replace->op);
}

/* A write that ends early without an error leaves a part, which must get no name. */
static int64_t error_of_write(const struct rill_replace *replace)
{
    if (replace->op.result < 0)
        return replace->op.result;
    return (uint64_t)replace->op.result == replace->size ? 0 : -EIO;
}

static enum rill_poll replace_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_replace *replace = rill_container_of(self, struct rill_replace, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* a bad path ends at once */
    replace->error = split_path(replace);
    if (replace->error < 0)
        RILL_RETURN(replace->error);
    RILL_AWAIT(rill_file_open(&replace->directory, replace->folder, O_RDONLY | O_DIRECTORY, 0));
    if (replace->directory.result < 0)
        RILL_RETURN(replace->directory.result);

    do {
        RILL_AWAIT(create_temporary(replace));
    } while (replace->file.result == -EEXIST && replace->names_tried < RILL_REPLACE_NAMES_MAX);
    replace->error = replace->file.result;
    if (replace->error < 0)
        goto close_directory;
    RILL_AWAIT(
        rill_file_write_all_at(&replace->file, &replace->op, replace->data, replace->size, 0));
    replace->error = error_of_write(replace);
    if (replace->error == 0) {
        RILL_AWAIT(rill_file_sync(&replace->file, &replace->op, false));
        replace->error = replace->op.result;
    }
    RILL_AWAIT(rill_file_close(&replace->file));
    if (replace->error == 0)
        replace->error = replace->file.result;

    if (replace->error == 0) {
        RILL_AWAIT(rename_temporary(replace));
        replace->error = replace->op.result;
        replace->is_replaced = replace->error == 0;
    }
    if (replace->is_replaced) {
        RILL_AWAIT(sync_directory(replace));
        replace->error = replace->op.result;
    } else {
        RILL_AWAIT(rill_path_clean_up(&replace->op, replace->directory.fd, replace->temporary));
    }
close_directory:
    RILL_AWAIT(rill_file_close(&replace->directory));
    RILL_RETURN(replace->error);
    RILL_END();
}

struct rill_future *rill_path_replace(struct rill_replace *replace, const char *path,
                                      const void *data, size_t size, mode_t mode)
{
    replace->path = path;
    replace->data = data;
    replace->size = size;
    replace->mode = mode;
    replace->names_tried = 0;
    replace->is_replaced = false;
    return rill_future_init(&replace->future, replace_poll);
}
