/* SPDX-License-Identifier: Apache-2.0 */
/* vectored.h - reads and writes of bytes that lie in several places, each as one operation.
 *
 *     struct iovec parts[2]; // in a struct that survives the await
 *
 *     append->parts[0] = (struct iovec){&append->header, sizeof append->header};
 *     append->parts[1] = (struct iovec){append->record, append->size};
 *     RILL_AWAIT(rill_file_write_all_vectored(&append->log, &append->write, append->parts, 2));
 *     if (append->write.result < 0)
 *         ...
 *
 * Of count parts there are IOV_MAX (1024) at the most, or it is -EINVAL. The parts and
 * their array are borrowed until the future is ready. All else is as in io/file.h. */
#ifndef RILL_IO_VECTORED_H
#define RILL_IO_VECTORED_H

#include "io/file.h"

#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reads at an offset into the parts, in order (preadv(2)). The result is the number of
 * bytes, which may be less than there is room for, and 0 at the end of the file. */
struct rill_future *rill_file_read_vectored_at(struct rill_file *file, struct rill_op *op,
                                               const struct iovec *parts, size_t count,
                                               uint64_t offset);

/* Writes the parts, in order, at an offset (pwritev(2)). The result may be less. */
struct rill_future *rill_file_write_vectored_at(struct rill_file *file, struct rill_op *op,
                                                const struct iovec *parts, size_t count,
                                                uint64_t offset);

/* A write of all the bytes in several places. Zeroed at first; may be used again when it is over.
 */
struct rill_write_vectored {
    union {
        int64_t result; /* the number of bytes, or -errno */
        struct rill_op op;
    };

    /* private */
    struct iovec *parts; /* those that are left */
    size_t count;
};

/* Writes all bytes of the parts at an offset, or from where the file stands, moving on.
 * The array is changed as parts are written. The result is the number of bytes, or -errno
 * with write->op.transferred telling how many were written, as of rill_file_write_all. Appended to
 * a file that was opened with O_APPEND they are together, whoever else appends to it, unless the
 * file system writes only a part at first. */
struct rill_future *rill_file_write_all_vectored_at(struct rill_file *file,
                                                    struct rill_write_vectored *write,
                                                    struct iovec *parts, size_t count,
                                                    uint64_t offset);
struct rill_future *rill_file_write_all_vectored(struct rill_file *file,
                                                 struct rill_write_vectored *write,
                                                 struct iovec *parts, size_t count);

/* For those who move parts by operations of their own: takes the first moved bytes off
 * count parts, and those parts that are empty then. */
void rill_parts_skip(struct iovec **parts, size_t *count, size_t moved);

#ifdef __cplusplus
}
#endif
#endif
