/* SPDX-License-Identifier: Apache-2.0 */
/* pipe.h - writes into a pipe, and survives it when nobody reads any more.
 *
 * The kernel answers a write to a pipe without a reader with SIGPIPE, which ends the process. A
 * server cannot tell when the other end goes away, and may not want to ignore the signal for
 * all that it does. A send has MSG_NOSIGNAL for that; a write to a pipe has nothing, in the
 * ring neither (up to Linux 6.17). So this write is a system call of its own, made when the pipe
 * has room, with the signal blocked around it and taken out again. */
#ifndef RILL_IO_PIPE_H
#define RILL_IO_PIPE_H

#include "io/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed at first; may be used again when it is over. */
struct rill_pipe_write {
    union {
        int64_t result; /* size, or -errno */
        struct rill_future future;
    };
    size_t written; /* how many bytes have gone into the pipe, however it ended */

    /* private */
    struct rill_op op;
    int fd;
    const char *bytes;
    size_t size;
};

/* Writes size bytes into a pipe, both borrowed until it is ready. fd has to be in non-blocking
 * mode (O_NONBLOCK), or the thread would wait instead of the task. The result is size, or with
 * write->written bytes in the pipe:
 *   -EPIPE      nobody reads any more; no signal comes of it
 *   -ECANCELED  it was cancelled
 *   -EBADF, -ENOMEM */
struct rill_future *rill_pipe_write_all(int fd, struct rill_pipe_write *write, const void *bytes,
                                        size_t size);

#ifdef __cplusplus
}
#endif
#endif
