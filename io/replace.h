/* SPDX-License-Identifier: Apache-2.0 */
/* replace.h - gives a file new contents, as a whole and durably.
 *
 *     RILL_AWAIT(rill_path_replace(&save->replace, "settings.json", text, size, 0644));
 *     if (save->replace.result < 0)
 *         ...
 *
 * Whoever opens the path finds the old contents or the new ones, never a part of them or
 * a mixture, also after a loss of power; once the result is 0, the new ones. To write into
 * the file itself promises nothing of this. What does is: a new file in the same directory
 * is written and synced, gets the old one's name, and then the directory is synced, as
 * names are its contents. */
#ifndef RILL_IO_REPLACE_H
#define RILL_IO_REPLACE_H

#include "io/file.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_REPLACE_PATH_MAX = 4096, /* bytes of a directory's path, with the zero behind */
    RILL_REPLACE_NAMES_MAX = 16,  /* names that are tried for the new file */
};

/* Zeroed at first; may be used again when it is over. Large (some 4.5 KiB): the path of the
 * directory is kept in it. */
struct rill_replace {
    union {
        int64_t result; /* 0 or -errno */
        struct rill_future future;
    };
    bool is_replaced; /* the path leads to the new contents: see below */

    /* private */
    const char *path;
    const char *name; /* its last part */
    const void *data;
    size_t size;
    mode_t mode;
    unsigned names_tried;
    int64_t error;
    struct rill_file directory, file;
    struct rill_op op;
    union {
        char folder[RILL_REPLACE_PATH_MAX];
        char temporary[48]; /* a name in it, needed when it is open */
    };
};

/* Makes size bytes of data the contents of path, with the permissions of mode that the
 * umask leaves, whether or not there was such a file. path and data are borrowed until it
 * is ready. The new file has nothing of the old one: its owner is the process, a symbolic
 * link at path is replaced and not followed, and who has the old file open keeps it. The
 * result is 0, and the new contents are durable; or
 *
 *   -ECANCELED     nothing has changed. A cancel that comes when the new file is written
 *                  and synced comes too late: the rest is done, and tells how it went.
 *   -ENOSPC, -EIO, -EDQUOT, ...  the new file could not be written, synced or closed
 *   -ENOENT, -ENOTDIR, -EACCES   the directory is not there, or may not be read or changed
 *   -EISDIR        path is that of a directory
 *   -ENAMETOOLONG  the path, or its last part
 *   -EEXIST        RILL_REPLACE_NAMES_MAX names for the new file were all taken
 *
 * After an error is_replaced tells which contents path leads to. They are the old ones,
 * for certain, unless all that failed was to sync the directory: then they are the new
 * ones, and a loss of power may still bring back the old.
 *
 * The new file is named ".rill-" and a number until it gets its name. It is removed when
 * something fails; it stays where the process or the machine ends in between, and where
 * the file system refuses to remove it. */
struct rill_future *rill_path_replace(struct rill_replace *replace, const char *path,
                                      const void *data, size_t size, mode_t mode);

#ifdef __cplusplus
}
#endif
#endif
