/* SPDX-License-Identifier: Apache-2.0 */
/* file.h - files: open, read, write, sync, stat and close, awaited like sockets.
 *
 *     RILL_AWAIT(rill_file_open(&copy->file, "notes.txt", O_RDONLY, 0));
 *     if (copy->file.result < 0)
 *         ...
 *     RILL_AWAIT(rill_file_read_at(&copy->file, &copy->op, copy->page, 4096, 0));
 *
 * A function that returns a future prepares it and does nothing else; the operation
 * starts in the await. Buffers and paths are borrowed until the future
 * is ready. Results are >= 0 or the -errno of the system call named. Cancelling
 * ends the future with -ECANCELED, or with the real result: a file operation that
 * a kernel thread has begun runs to its end first. -EAGAIN: the kernel may start no thread
 * (io/op.h). */
#ifndef RILL_IO_FILE_H
#define RILL_IO_FILE_H

#include "io/op.h"

#include <fcntl.h>
#include <linux/stat.h> /* struct statx, which <sys/stat.h> has with _GNU_SOURCE alone */
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An open file. Zeroed before it is opened. Different ops may read and write it
 * at offsets at the same time; opening, closing and the streaming functions,
 * which move its position, are for one at a time. While it is not open, whatever is done
 * with it ends with -EBADF, but for closing, which ends with 0. */
struct rill_file {
    union {
        int64_t result; /* of opening or closing: 0 or -errno */
        struct rill_op control;
    };
    int fd;       /* valid while open */
    bool is_open; /* owns fd */

    /* private */
    bool is_terminal;
};

/* private: rill_op_prepare for what moves bytes. */
struct rill_future *rill_file_prepare(struct rill_file *file, struct rill_op *op,
                                      const struct rill_place *name, uint8_t opcode,
                                      const void *address, uint64_t length, uint64_t offset);

/* private: the same at an offset that was given, of which none is RILL_OFFSET_CURRENT. */
struct rill_future *rill_file_prepare_at(struct rill_file *file, struct rill_op *op,
                                         const struct rill_place *name, uint8_t opcode,
                                         const void *address, uint64_t length, uint64_t offset);

/* private: the descriptor, or -1 while there is none: its number may be another file's. */
static inline int rill_file_fd(const struct rill_file *file)
{
    return file->is_open ? file->fd : -1;
}

/* Opens path, relative to the working directory, with the flags and mode of
 * openat(2) (O_CLOEXEC is added). When it ends with 0 the file owns a descriptor,
 * to be closed by rill_file_close. Panics where it is open already.
 *
 * Opening a FIFO for reading or for writing alone may wait for the other side, as openat(2)
 * does, or not, as with O_NONBLOCK, where the kernel knows the name already: then a read is at
 * the end (0) while nobody writes, and opening for writing is -ENXIO while nobody reads. With
 * O_RDWR it never waits, and a read does, until something was written (fifo(7)). An open that waits
 * holds one of the threads, four for each processor, to which the kernel leaves what it cannot do
 * at once with files: as many of them hold up all other opens, syncs, renames and the like. */
struct rill_future *rill_file_open(struct rill_file *file, const char *path, int flags,
                                   mode_t mode);

/* Closes the file. Nothing may be in flight on it. It cannot be cancelled. The last close of a
 * large file that was unlinked frees its blocks in the thread of the runtime, some 40 ms a GiB. A
 * file whose opening failed may be closed too: it does nothing. */
struct rill_future *rill_file_close(struct rill_file *file);

/* Reads up to size bytes at an offset (pread(2)). The result is the number of
 * bytes, 0 at the end of the file; -EINVAL for an offset above INT64_MAX, also when writing.
 *
 * Pipes, FIFOs and terminals have no offsets. The system call refuses them with -ESPIPE, but
 * io_uring does not look at the offset, and moves what comes next: so do all functions that take
 * one. A socket is -ESPIPE, unless the offset is 0. */
struct rill_future *rill_file_read_at(struct rill_file *file, struct rill_op *op, void *buffer,
                                      size_t size, uint64_t offset);

/* Writes up to size bytes at an offset (pwrite(2)). The result may be less. As with
 * write(2), writing to a pipe that nobody reads any more ends the process by SIGPIPE, or
 * is -EPIPE where the program ignores or blocks that signal: rill does neither. */
struct rill_future *rill_file_write_at(struct rill_file *file, struct rill_op *op,
                                       const void *buffer, size_t size, uint64_t offset);

/* Writes all of the bytes at an offset. The result is size, or -errno with
 * op->transferred telling how many were written. -EIO, beside what write(2) says: the file takes no
 * more, and does not say why. */
struct rill_future *rill_file_write_all_at(struct rill_file *file, struct rill_op *op,
                                           const void *buffer, size_t size, uint64_t offset);

/* The same from where the file stands, moving on: for streams, pipes, terminals
 * and logs opened with O_APPEND. Writing to a pipe that nobody reads any more sends
 * SIGPIPE, as write(2) does; where that is ignored the result is -EPIPE. io/pipe.h
 * writes without the signal.
 *
 * A program that reads its terminal in the background (`program &`) is stopped by SIGTTIN, with
 * all of its process group, until it is in the foreground: not at once as by read(2), but when
 * there is something to be read. Where that signal is ignored, or the calling thread blocks it,
 * or there is no shell above the program that could continue it, the result is -EIO, and the
 * next read may work. Output is never stopped (stty tostop). */
struct rill_future *rill_file_read(struct rill_file *file, struct rill_op *op, void *buffer,
                                   size_t size);
struct rill_future *rill_file_write(struct rill_file *file, struct rill_op *op, const void *buffer,
                                    size_t size);
struct rill_future *rill_file_write_all(struct rill_file *file, struct rill_op *op,
                                        const void *buffer, size_t size);

/* Makes what was written durable (fsync(2)), or, with data_only, all but the
 * times (fdatasync(2)). */
struct rill_future *rill_file_sync(struct rill_file *file, struct rill_op *op, bool data_only);

/* Makes sure of room on the disk for size bytes from an offset on (fallocate(2)), so that
 * writing them does not end with -ENOSPC. With mode 0 the file becomes that long, if it was
 * shorter, and what was not there reads as zeros; FALLOC_FL_KEEP_SIZE and the other modes
 * are in <fcntl.h> where _GNU_SOURCE is defined. -EOPNOTSUPP: the file system cannot.
 * See io/truncate.h for the way back. */
struct rill_future *rill_file_allocate(struct rill_file *file, struct rill_op *op, int mode,
                                       uint64_t offset, uint64_t size);

/* Fills *status (statx(2), STATX_BASIC_STATS), which is borrowed. */
struct rill_future *rill_file_stat(struct rill_file *file, struct rill_op *op,
                                   struct statx *status);

/* The contents of a file from where it stands to its end. */
struct rill_read_to_end {
    union {
        int64_t result; /* the number of bytes, or -errno */
        struct rill_future future;
    };
    char *data; /* result bytes and a zero byte behind them; the caller's, to free(3) */

    /* private */
    struct rill_file *file;
    struct rill_op op;
    size_t size, capacity, limit;
    bool keeps; /* what it has read also where it fails, for process_run.c */
};

/* Reads until the end of the file into memory that it allocates. When it ends
 * well, data is the caller's, to be released by free(3); otherwise data is NULL. A
 * file of more than limit bytes is -EFBIG, and no memory is -ENOMEM. */
struct rill_future *rill_file_read_to_end(struct rill_file *file, struct rill_read_to_end *read,
                                          size_t limit);

/* Makes a file of a descriptor that the caller opened: standard input, a pipe. It
 * takes the descriptor over: closing the file closes it. It must not be in
 * non-blocking mode. Panics where the file is open already. */
void rill_file_adopt(struct rill_file *file, int fd);

/* Returns the descriptor to the caller, who then has to close it, or -EBADF where the file is
 * not open. Nothing may be in flight. */
int rill_file_release(struct rill_file *file);

#ifdef __cplusplus
}
#endif
#endif
