/* SPDX-License-Identifier: Apache-2.0 */
/* truncate.h - makes a file so long and no longer.
 *
 *     RILL_AWAIT(rill_file_truncate(&log->file, &log->truncate, log->valid_size));
 *     if (log->truncate.result < 0)
 *         ...
 *
 * The ring has an operation for it only since Linux 6.9, and ftruncate(2) may wait for the
 * disk and for who else writes to the file, so a thread of rill_workers_shared calls it. */
#ifndef RILL_IO_TRUNCATE_H
#define RILL_IO_TRUNCATE_H

#include "io/blocking.h"
#include "io/file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed at first; may be used again when it is over. */
struct rill_truncate {
    union {
        int64_t result; /* 0 or -errno */
        struct rill_future future;
        struct rill_blocking blocking;
    };

    /* private */
    const struct rill_file *file;
    uint64_t size;
};

/* Makes the file size bytes long: what is beyond is gone, and what is missing reads as
 * zeros. The file is borrowed, open for writing. The result is 0; or -ECANCELED and nothing
 * has changed, -EAGAIN, -ENOMEM, -EMFILE, -ENFILE or -ESHUTDOWN where rill_blocking found no
 * thread for it; or -errno of ftruncate(2). Cancelling takes it out of the line of those that
 * wait for a thread; one that runs is waited for, and its result given. */
struct rill_future *rill_file_truncate(struct rill_file *file, struct rill_truncate *truncate,
                                       uint64_t size);

#ifdef __cplusplus
}
#endif
#endif
