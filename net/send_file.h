/* SPDX-License-Identifier: Apache-2.0 */
/* send_file.h - sends a part of a file over a connection.
 *
 *     RILL_AWAIT(rill_tcp_send_file(&answer->peer, &answer->send, &answer->file, 0, length));
 *     if (answer->send.result != (int64_t)length)
 *         ... // what was promised cannot be kept: close the connection
 *
 * A piece is read into memory of the runtime's, and sent, and so on. */
#ifndef RILL_NET_SEND_FILE_H
#define RILL_NET_SEND_FILE_H

#include "io/file.h"
#include "net/tcp.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_SEND_FILE_PIECE = 128 * 1024, /* bytes of memory that one has while it sends, at most */
};

/* Zeroed at first; may be used again when it is over. */
struct rill_send_file {
    union {
        int64_t result; /* the number of bytes, or -errno */
        struct rill_future future;
    };
    uint64_t transferred; /* bytes handed to the kernel to be sent, whatever the result is */

    /* private */
    struct rill_tcp *tcp;
    struct rill_file *file;
    uint64_t offset, size;
    struct rill_op op;
    void *piece; /* of the executor's pool, from the first poll to the end */
    uint8_t size_class;
};

/* Sends size bytes of a file from an offset on, or, with UINT64_MAX, all up to its end.
 * The connection and the file are borrowed until it is ready; nothing else may send on that
 * connection meanwhile, while others may read the same file. Of a pipe, a FIFO and a terminal the
 * offset is not looked at, as in io/file.h: what comes next is sent. The result is
 *
 *   size          all was sent
 *   less          the file ended before, as it was shorter or became so
 *   -ECANCELED, -ECONNRESET, -EPIPE, -ETIMEDOUT   as of rill_tcp_send_all
 *   -EIO, -EBADF, -EISDIR, -EINVAL, -ESPIPE, ...  as of rill_file_read_at
 *   -ENOMEM       there was no memory for a piece, and nothing was sent
 *
 * After an error transferred tells how many bytes had gone, as it does all the time. Of a pipe, up
 * to RILL_SEND_FILE_PIECE bytes behind these were taken out and are lost: where that matters, read
 * and send them in a loop of your own. A file that is written to meanwhile is sent as it is when
 * each piece is read. */
struct rill_future *rill_tcp_send_file(struct rill_tcp *tcp, struct rill_send_file *send,
                                       struct rill_file *file, uint64_t offset, uint64_t size);

#ifdef __cplusplus
}
#endif
#endif
