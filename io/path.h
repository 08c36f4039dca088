/* SPDX-License-Identifier: Apache-2.0 */
/* path.h - names in the file system: look at them, make, rename, link and remove them.
 *
 *     RILL_AWAIT(rill_path_rename(&spool->op, "job.part", "job", RENAME_NOREPLACE));
 *     if (spool->op.result < 0)
 *         ...
 *
 * A function that returns a future prepares it and does nothing else; the operation
 * starts in the await. Paths, relative to the working directory, and what is filled are
 * borrowed until the future is ready. The result is 0 or the -errno of the system call
 * named. Cancelling ends the future with -ECANCELED and nothing is changed, or with the
 * real result: what a kernel thread has begun runs to its end first. -EAGAIN: the kernel may
 * start no thread (io/op.h).
 *
 * None of this is durable, that is, certain to be there after a loss of power, before
 * the directory was synced: see rill_file_sync, and rill_path_replace (io/replace.h). */
#ifndef RILL_IO_PATH_H
#define RILL_IO_PATH_H

#include "io/op.h"

#include <linux/stat.h> /* struct statx, which <sys/stat.h> has with _GNU_SOURCE alone */
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fills *status (statx(2), STATX_BASIC_STATS) with what path leads to, or, not
 * following a last symbolic link, with what it is itself. */
struct rill_future *rill_path_stat(struct rill_op *op, const char *path, struct statx *status);
struct rill_future *rill_path_stat_link(struct rill_op *op, const char *path, struct statx *status);

/* Removes a name (unlink(2)), not one of a directory. The file goes with its last name,
 * as soon as nobody has it open. */
struct rill_future *rill_path_unlink(struct rill_op *op, const char *path);

/* private, for those who made the file: the same in a directory (or AT_FDCWD), and what stands in
 * the way of it does not leave the file there: it cannot be cancelled, and is done by the call
 * where the kernel may start no thread. */
struct rill_future *rill_path_clean_up(struct rill_op *op, int directory, const char *path);

/* Gives what is called from the name to, in one step (renameat2(2)). What had that name
 * loses it. flags is 0, RENAME_NOREPLACE (-EEXIST if the name is taken) or
 * RENAME_EXCHANGE (the two names are exchanged); they are in <linux/fs.h>, and in <stdio.h>
 * where _GNU_SOURCE is defined. -EXDEV: between two file systems. */
struct rill_future *rill_path_rename(struct rill_op *op, const char *from, const char *to,
                                     unsigned flags);

/* Makes a directory (mkdir(2)), with the permissions of mode that the umask leaves. */
struct rill_future *rill_path_mkdir(struct rill_op *op, const char *path, mode_t mode);

/* Removes a directory (rmdir(2)): -ENOTEMPTY unless it is empty. */
struct rill_future *rill_path_rmdir(struct rill_op *op, const char *path);

/* Makes path a symbolic link to target (symlink(2)), which need not be there and is
 * relative to the directory of path. */
struct rill_future *rill_path_symlink(struct rill_op *op, const char *target, const char *path);

/* Gives the file called from the name to as well (link(2)): -EEXIST if it is taken. */
struct rill_future *rill_path_link(struct rill_op *op, const char *from, const char *to);

#ifdef __cplusplus
}
#endif
#endif
