/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - the operations on paths: opening, and what is done to names. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a directory descriptor stands for; NULL is the root. */
static int find_base(struct sim *sim, int fd, const char *path, struct sim_node **base)
{
    struct sim_object *object = NULL;

    *base = NULL;
    if (fd == AT_FDCWD || *path == '/')
        return 0;
    object = sim_fd_object(sim, fd);
    if (!object) {
        sim->bad_fds++;
        return -EBADF;
    }
    if (object->kind != SIM_REGULAR || !S_ISDIR(object->node->mode))
        return -ENOTDIR;
    *base = object->node;
    return 0;
}

static int find(struct sim_op *op, int fd, const char *path, bool follow, struct sim_place *place)
{
    struct sim_node *base = NULL;
    int result = sim_file_fault(op);

    *place = (struct sim_place){.last = ""};
    if (result == 0)
        result = find_base(op->ring->sim, fd, path, &base);
    return result < 0 ? result : sim_disk_find(op->ring->sim, base, path, follow, place);
}

static int open_existing(struct sim_op *op, struct sim_node *node)
{
    int flags = (int)op->sqe.open_flags;
    bool writes = (flags & O_ACCMODE) != O_RDONLY;

    if ((flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if (S_ISDIR(node->mode) && (writes || (flags & O_CREAT)))
        return -EISDIR;
    if (!S_ISDIR(node->mode) && ((flags & O_DIRECTORY) || op->path[strlen(op->path) - 1] == '/'))
        return -ENOTDIR;
    if (S_ISLNK(node->mode))
        return -ELOOP;
    if (S_ISSOCK(node->mode))
        return -ENXIO;
    return (flags & O_TRUNC) && writes ? sim_node_resize(op->ring->sim, node, 0) : 0;
}

int sim_attempt_openat(struct sim_op *op)
{
    int flags = (int)op->sqe.open_flags;
    bool follow = !(flags & O_NOFOLLOW) && !((flags & O_CREAT) && (flags & O_EXCL));
    struct sim_object *object;
    struct sim_place place;
    int result;

    if (!sim_fd_left(op->ring->sim))
        return -EMFILE;
    if (op->sqe.file_index)
        return -EINVAL;
    result = find(op, op->sqe.fd, op->path, follow, &place);
    if (result == -ENOENT && place.parent && (flags & O_CREAT)) {
        if (strchr(place.last, '/'))
            return -EISDIR;
        place.node = sim_node_create(op->ring->sim, place.parent, place.last,
                                     S_IFREG | (op->sqe.len & 07755));
    } else if (result < 0) {
        return result;
    } else {
        result = open_existing(op, place.node);
        if (result < 0)
            return result;
    }
    object = sim_object_create(op->ring->sim, SIM_REGULAR);
    object->node = place.node;
    object->node->refs++;
    object->open_flags = flags;
    result = sim_fd_open(op->ring->sim, object);
    sim_trace(op->ring->sim, "#%llu is fd %d, %.64s", (unsigned long long)op->id, result, op->path);
    return result;
}

static void describe(const struct sim_node *node, struct statx *stat)
{
    memset(stat, 0, sizeof *stat);
    stat->stx_mask = STATX_BASIC_STATS;
    stat->stx_mode = (uint16_t)node->mode;
    stat->stx_nlink = node->links;
    stat->stx_size = node->size;
    stat->stx_blksize = 4096;
    stat->stx_blocks = (node->size + 511) / 512;
    stat->stx_ino = node->number;
    stat->stx_mtime.tv_sec = node->modified_ns / 1000000000;
    stat->stx_mtime.tv_nsec = (uint32_t)(node->modified_ns % 1000000000);
    stat->stx_atime = stat->stx_ctime = stat->stx_mtime;
}

int sim_attempt_statx(struct sim_op *op)
{
    struct statx *stat = (struct statx *)(uintptr_t)op->sqe.addr2;
    struct sim_place place = {0};
    int result = sim_file_fault(op);

    if (result < 0)
        return result;
    if (!*op->path && (op->sqe.statx_flags & AT_EMPTY_PATH)) {
        struct sim_object *object = sim_fd_object(op->ring->sim, op->sqe.fd);

        if (!object) {
            op->ring->sim->bad_fds += op->sqe.fd >= 0; /* -1 is no closed one */
            return -EBADF;
        }
        place.node = object->node;
    } else {
        result =
            find(op, op->sqe.fd, op->path, !(op->sqe.statx_flags & AT_SYMLINK_NOFOLLOW), &place);
    }
    if (result < 0)
        return result;
    if (!place.node)
        return -EOPNOTSUPP; /* sockets are not described */
    describe(place.node, stat);
    return 0;
}

static int unlink_place(struct sim *sim, const struct sim_place *place, unsigned flags)
{
    if (!place->entry)
        return -EBUSY;
    if (flags & AT_REMOVEDIR) {
        if (!S_ISDIR(place->node->mode))
            return -ENOTDIR;
        if (!sim_list_empty(&place->node->entries))
            return -ENOTEMPTY;
    } else if (S_ISDIR(place->node->mode)) {
        return -EISDIR;
    }
    sim_entry_remove(sim, place->entry);
    return 0;
}

int sim_attempt_unlinkat(struct sim_op *op)
{
    struct sim_place place;
    int result = find(op, op->sqe.fd, op->path, false, &place);

    return result < 0 ? result : unlink_place(op->ring->sim, &place, op->sqe.unlink_flags);
}

/* There are none here. */
bool sim_call_is_terminal(struct rill_kernel *kernel, int fd)
{
    (void)kernel;
    (void)fd;
    return false;
}

/* Finds it itself: a last symbolic link is not followed. */
static int find_now(struct sim *sim, int directory, const char *path, struct sim_place *place)
{
    struct sim_node *base = NULL;
    int result = find_base(sim, directory, path, &base);

    *place = (struct sim_place){.last = ""};
    return result < 0 ? result : sim_disk_find(sim, base, path, false, place);
}

int sim_call_fstatat(struct rill_kernel *kernel, int directory, const char *path,
                     struct stat *status, int flags)
{
    struct sim_place place;
    int result;

    if (flags != AT_SYMLINK_NOFOLLOW)
        return -EINVAL; /* the others are not simulated */
    result = find_now(sim_container_of(kernel, struct sim, kernel), directory, path, &place);
    if (result < 0)
        return result;
    *status = (struct stat){
        .st_mode = place.node->mode,
        .st_ino = place.node->number,
        .st_nlink = place.node->links,
        .st_size = (off_t)place.node->size,
    };
    return 0;
}

int sim_call_unlinkat(struct rill_kernel *kernel, int directory, const char *path, int flags)
{
    struct sim *sim = sim_container_of(kernel, struct sim, kernel);
    struct sim_place place;
    int result = find_now(sim, directory, path, &place);

    if (result == 0)
        result = unlink_place(sim, &place, (unsigned)flags);
    sim_trace(sim, "unlinkat %.64s -> %d", path, result);
    return result;
}

/* May what is there be replaced by node? */
static int check_target(const struct sim_node *node, const struct sim_node *there)
{
    if (S_ISDIR(there->mode) && !S_ISDIR(node->mode))
        return -EISDIR;
    if (!S_ISDIR(there->mode) && S_ISDIR(node->mode))
        return -ENOTDIR;
    return sim_list_empty(&there->entries) ? 0 : -ENOTEMPTY;
}

static bool is_within(const struct sim_node *at, const struct sim_node *node)
{
    for (; at; at = at->parent)
        if (at == node)
            return true;
    return false;
}

/* Lets a name stand for another node. */
static void put(struct sim *sim, struct sim_place *place, struct sim_node *node)
{
    char *name = strdup(place->entry ? place->entry->name : place->last);

    if (place->entry)
        sim_entry_remove(sim, place->entry);
    sim_node_name(node, place->parent, name);
    free(name);
}

static void exchange(struct sim *sim, struct sim_place *one, struct sim_place *other)
{
    struct sim_node *node = one->node;

    node->refs++; /* it is without a name for a moment */
    put(sim, one, other->node);
    put(sim, other, node);
    if (S_ISDIR(one->node->mode))
        one->node->parent = other->parent;
    if (S_ISDIR(other->node->mode))
        other->node->parent = one->parent;
    sim_node_release(sim, node);
}

int sim_attempt_renameat(struct sim_op *op)
{
    unsigned flags = op->sqe.rename_flags;
    struct sim_place from, to;
    int result;

    if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
        return -EINVAL;
    result = find(op, op->sqe.fd, op->path, false, &from);
    if (result < 0)
        return result;
    result = find(op, (int)op->sqe.len, op->path_to, false, &to);
    if (result < 0 && !(result == -ENOENT && to.parent && flags != RENAME_EXCHANGE))
        return result;
    if (!from.entry || (to.node && !to.entry))
        return -EBUSY;
    if (is_within(to.parent, from.node)) /* a directory cannot move into itself */
        return -EINVAL;
    if (to.node && flags == RENAME_NOREPLACE)
        return -EEXIST;
    if (to.node && is_within(from.parent, to.node))
        return flags == RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    if (to.node == from.node)
        return 0;
    if (flags == RENAME_EXCHANGE) {
        exchange(op->ring->sim, &from, &to);
        return 0;
    }
    if (to.node) {
        result = check_target(from.node, to.node);
        if (result < 0)
            return result;
    }
    put(op->ring->sim, &to, from.node);
    sim_entry_remove(op->ring->sim, from.entry);
    if (S_ISDIR(from.node->mode))
        from.node->parent = to.parent;
    return 0;
}

/* Finds the place of a name that is not there yet. */
static int find_free(struct sim_op *op, int fd, const char *path, struct sim_place *place)
{
    int result = find(op, fd, path, false, place);

    if (place->node)
        return -EEXIST;
    return result == -ENOENT && place->parent ? 0 : result;
}

int sim_attempt_mkdirat(struct sim_op *op)
{
    struct sim_place place;
    int result = find_free(op, op->sqe.fd, op->path, &place);

    if (result < 0)
        return result;
    sim_node_create(op->ring->sim, place.parent, place.last, S_IFDIR | (op->sqe.len & 07755));
    return 0;
}

int sim_attempt_symlinkat(struct sim_op *op)
{
    struct sim_node *node;
    struct sim_place place;
    int result;

    if (!*op->path)
        return -ENOENT;
    result = find_free(op, op->sqe.fd, op->path_to, &place);
    if (result < 0)
        return result;
    if (strchr(place.last, '/'))
        return -ENOENT;
    node = sim_node_create(op->ring->sim, place.parent, place.last, S_IFLNK | 0777);
    node->bytes = strdup(op->path);
    return 0;
}

int sim_attempt_linkat(struct sim_op *op)
{
    struct sim_place from, to;
    int result;

    if (op->sqe.hardlink_flags)
        return -EINVAL; /* following and empty paths are not simulated */
    result = find(op, op->sqe.fd, op->path, false, &from);
    if (result < 0)
        return result;
    result = find_free(op, (int)op->sqe.len, op->path_to, &to);
    if (result < 0)
        return result;
    if (S_ISDIR(from.node->mode))
        return -EPERM;
    if (strchr(to.last, '/'))
        return -ENOENT;
    sim_node_name(from.node, to.parent, to.last);
    return 0;
}
