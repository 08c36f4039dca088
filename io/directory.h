/* SPDX-License-Identifier: Apache-2.0 */
/* directory.h - the names in a directory, one after the other.
 *
 *     RILL_AWAIT(rill_directory_open(&list->directory, "spool"));
 *     if (list->directory.result < 0)
 *         ...
 *     for (;;) {
 *         RILL_AWAIT(rill_directory_read(&list->directory));
 *         if (list->directory.result <= 0)
 *             break;
 *         puts(list->directory.name);
 *     }
 *     RILL_AWAIT(rill_directory_close(&list->directory));
 *
 * The ring has no operation that reads directories, so a thread of rill_workers_shared
 * does, many names at a time. */
#ifndef RILL_IO_DIRECTORY_H
#define RILL_IO_DIRECTORY_H

#include "io/blocking.h"
#include "io/file.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_DIRECTORY_BATCH_SIZE = 8192, /* bytes of names that are read at a time: some 250 */
};

/* An open directory. Zeroed before it is opened; for one task at a time.
 *
 * Invariant: the names from batch[begin] to batch[end] were read and not yet given out. */
struct rill_directory {
    union {
        int64_t result; /* of opening, reading or closing */
        struct rill_future future;
        struct rill_file file; /* the directory itself: for rill_file_sync and rill_file_stat */
    };

    /* What was read, valid until the next read or the close. */
    const char *name;
    uint8_t type; /* DT_REG, DT_DIR, ... (readdir(3)); or DT_UNKNOWN: ask rill_path_stat_link */

    /* private */
    struct rill_blocking blocking;
    size_t begin, end;
    uint64_t batch[RILL_DIRECTORY_BATCH_SIZE / sizeof(uint64_t)]; /* of struct dirent64 */
};

/* Opens the directory path, which is borrowed until it is ready. The result is 0, and a
 * descriptor is owned, to be closed by rill_directory_close; or -errno of openat(2). */
struct rill_future *rill_directory_open(struct rill_directory *directory, const char *path);

/* Reads the next name: in no order, and without "." and "..". The result is
 *
 *   1           name and type are set
 *   0           there are no more
 *   -ECANCELED  nothing was read, and nothing is lost
 *   -EAGAIN     too many wait for a thread, or the system permits none: try again later
 *   -ENOMEM, -EMFILE, -ENFILE, -ESHUTDOWN   as rill_blocking says
 *   -EIO, ...   of getdents64(2)
 *
 * What is added or removed while a directory is read may be there or not; all else is
 * read once. To remove what was read does not disturb. Most reads find their name there,
 * and do not wait. One that a thread has begun cannot be stopped: cancelling waits for its
 * end, and gives its result. */
struct rill_future *rill_directory_read(struct rill_directory *directory);

/* Closes it. It cannot be cancelled. One whose opening failed may be closed too: it does
 * nothing. */
struct rill_future *rill_directory_close(struct rill_directory *directory);

#ifdef __cplusplus
}
#endif
#endif
