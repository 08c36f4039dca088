/* SPDX-License-Identifier: Apache-2.0 */
/* tcp.h - a connection: receive, send, close.
 *
 * A connection comes from a listener (net/listener.h) or from connecting
 * (net/connect.h) and owns its descriptor until it is closed. One task may receive
 * and another one send at the same time; two may not do the same.
 *
 * A function that returns a future prepares it and does nothing else; the operation
 * starts in the await. Buffers are borrowed until the future is ready.
 * Results are >= 0 or -errno: -ECONNRESET and -EPIPE when the peer is gone,
 * -ETIMEDOUT when it is silent (tcp(7)), -ECANCELED. Nothing is lost by
 * cancelling: bytes that arrived are the result, or there for the next receive. */
#ifndef RILL_NET_TCP_H
#define RILL_NET_TCP_H

#include "io/op.h"
#include "io/receiver.h"
#include "io/sender.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_reader;

/* Zeroed, then given a descriptor by connecting or by rill_tcp_adopt. While it is not open, and
 * from the beginning of its close on it is not, whatever is done with it ends with -EBADF, but for
 * flushing and closing, and for receiving no bytes or lending none (rill_tcp_send_lasting), which
 * end with 0. */
struct rill_tcp {
    union {
        int64_t result; /* of flushing, releasing and closing */
        struct rill_future future;
    };
    int fd;       /* valid while open */
    bool is_open; /* owns fd */

    /* private */
    struct rill_receiver receiver;
    struct rill_sender sender;
};

/* private: the descriptor, or -1 while there is none: its number may be another connection's. */
static inline int rill_tcp_fd(const struct rill_tcp *tcp)
{
    return tcp->is_open ? tcp->fd : -1;
}

/* private: whether what comes goes into shared buffers. One that is closing only uses the op. */
static inline bool rill_tcp_receives_shared(const struct rill_tcp *tcp)
{
    return rill_receiver_is_active(&tcp->receiver) && tcp->is_open;
}

/* Makes a connection of the result of an accept, which it takes over. Panics where tcp is open. */
void rill_tcp_adopt(struct rill_tcp *tcp, int fd);

/* Makes a connection of any connected stream socket that rill did not open, such
 * as one of socketpair(2), which it takes over. It must not be in non-blocking
 * mode. Panics where tcp is open. */
void rill_tcp_adopt_foreign(struct rill_tcp *tcp, int fd);

/* Receives what is there, up to size bytes, into buffer. The result is their
 * number, or 0 when the peer has finished sending (or size is 0). */
struct rill_future *rill_tcp_recv(struct rill_tcp *tcp, struct rill_op *op, void *buffer,
                                  size_t size);

/* Receives exactly size bytes. The result is size, or less when the peer finished
 * before, or -errno with op->transferred telling how many bytes of the buffer are
 * filled. */
struct rill_future *rill_tcp_recv_exactly(struct rill_tcp *tcp, struct rill_op *op, void *buffer,
                                          size_t size);

/* Begins taking what comes apart, by lines, say (io/reader.h). Then receive by the reader only.
 * tcp and buffer are borrowed. */
void rill_tcp_reader_init(struct rill_reader *reader, struct rill_tcp *tcp, void *buffer,
                          size_t size);

/* Bytes that arrived, in a buffer of the runtime's: see rill_tcp_recv_borrowed. */
struct rill_borrow {
    union {
        int64_t result; /* the number of bytes, 0 at the end, or -errno */
        struct rill_future future;
    };
    void *data; /* NULL while nothing is borrowed */

    /* private */
    struct rill_tcp *tcp;
    unsigned buffer;
};

/* Receives into a buffer that all connections of the runtime share, so that one
 * which is idle holds none. When it ends with a result > 0, the buffer is the
 * caller's to read and change until rill_borrow_give_back; give it back soon, for
 * receives of all connections wait while none is left. Also -ENOMEM, where the
 * shared buffers could not be made. */
struct rill_future *rill_tcp_recv_borrowed(struct rill_tcp *tcp, struct rill_borrow *borrow);

/* Gives the buffer back. Does nothing if nothing is borrowed. */
void rill_borrow_give_back(struct rill_borrow *borrow);

/* Sends what was borrowed on and gives the buffer back by itself when it has gone:
 * the way to answer from what came without copying and without waiting. It is
 * ready as soon as the buffer is in line behind the ones before, so as a rule at
 * once; while RILL_BUFFERS_SHARE are in line, or one where very many peers do not
 * read, it waits for room. borrow->result is then the number of bytes and nothing
 * is borrowed any more, or it is the -errno of an earlier one that could not be
 * sent, or -ECANCELED, and the buffer is still borrowed. tcp may be another
 * connection than the one that it came from. */
struct rill_future *rill_tcp_send_borrowed(struct rill_tcp *tcp, struct rill_borrow *borrow);

/* Puts bytes in line without copying them: constants, or memory that the caller
 * leaves valid and unchanged until rill_tcp_flush or rill_tcp_close is over. Ready
 * as soon as they are in line, as above. send->result is size, or -errno and
 * nothing is in line: that of an earlier send, -ECANCELED, -EINVAL for more than
 * RILL_OP_CHUNK_MAX bytes (1 GiB), -ENOMEM for more than RILL_BUFFERS_PRIVATE_MAX in
 * line in all. A borrow that is in use cannot be used here. */
struct rill_future *rill_tcp_send_lasting(struct rill_tcp *tcp, struct rill_borrow *send,
                                          const void *data, size_t size);

/* Waits until all that is in line was sent: tcp->result is 0, or the -errno that ended the
 * stream. To be awaited before sending in another way or finishing; closing does it by itself.
 * Cancelling it gives up what was not sent: -ECANCELED, if there was something. All further sends,
 * and finishing, end with that error then, whichever way they are: what they sent would follow a
 * hole, maybe in the middle of a message. Panics while another task flushes, releases or closes. */
struct rill_future *rill_tcp_flush(struct rill_tcp *tcp);

/* Sends up to size bytes; the result is how many the kernel took. This and the following also end
 * with the error of what was in line before, if that was not sent (see rill_tcp_flush). */
struct rill_future *rill_tcp_send(struct rill_tcp *tcp, struct rill_op *op, const void *buffer,
                                  size_t size);

/* Sends all bytes. The result is size, or -errno with op->transferred telling how
 * many were handed to the kernel before. */
struct rill_future *rill_tcp_send_all(struct rill_tcp *tcp, struct rill_op *op, const void *buffer,
                                      size_t size);

/* A send from several places. */
struct rill_send_vectored {
    union {
        int64_t result; /* the number of bytes, or -errno */
        struct rill_op op;
    };

    /* private */
    struct msghdr message;
    size_t count; /* parts that are left: all those of the message, and those behind them */
};

/* Sends all bytes of count parts, in order; IOV_MAX (1024) of them go out at a time. The parts and
 * their array are borrowed, and the array is changed as parts go out. The result is the number of
 * bytes, or -errno with send->op.transferred as above. */
struct rill_future *rill_tcp_send_all_vectored(struct rill_tcp *tcp,
                                               struct rill_send_vectored *send, struct iovec *parts,
                                               size_t count);

/* Finishes sending: the peer receives what is on its way and then 0. It never waits. The result is
 * 0, also where it was finished before; -ENOTCONN where the connection was reset or has ended;
 * the error of what was in line and was not sent (rill_tcp_flush); -EBADF; or -ECANCELED in a task
 * that is cancelled, and sending is not finished: closing is then what ends it. Panics where
 * something is in line (rill_tcp_flush). */
struct rill_future *rill_tcp_finish_sending(struct rill_tcp *tcp, struct rill_op *op);

/* Takes the descriptor out of the connection, for another library, another runtime or another
 * process: withdraws a borrowed receive that is armed, and waits until the kernel has let go of
 * it. tcp->result is the descriptor, which is the caller's from then on, and tcp is as one that
 * was never open. Or -errno, and tcp is open as before:
 *   -EBUSY      bytes have come that were not received: receive them first
 *   -ECANCELED  it was cancelled before it began; later a cancel changes nothing
 *   -EBADF      it is not open
 *   the error with which borrowed receives end
 * Nothing else may be in flight on it. Panics where borrowed buffers are in line (rill_tcp_flush).
 */
struct rill_future *rill_tcp_release(struct rill_tcp *tcp);

/* Closes the connection: waits until borrowed buffers that are in line were sent
 * (or, in a task that is cancelled, gives them up), withdraws a borrowed receive
 * that is armed, then closes the descriptor. Nothing else may be in flight on it. A socket that
 * somebody gave an SO_LINGER of some seconds makes this wait, and the runtime with all its tasks,
 * until everything was acknowledged or the time is over. tcp->result is
 * then 0 or what close(2) says. It cannot be cancelled; one that is closed already, or was never
 * open, is closed with 0. Panics while another task flushes, releases or closes it, or waits in a
 * borrowed receive, which nobody would end. */
struct rill_future *rill_tcp_close(struct rill_tcp *tcp);

/* Whether nothing has come on the connection that nobody has received, neither bytes nor its end
 * nor an error, and it is open: so that it may serve for another request, out of an object pool,
 * say (rill_object_pool_options.is_healthy). A peer can end it in the next moment all the same.
 * What a reader has read is for rill_reader_held to tell. It never waits. */
bool rill_tcp_is_idle(const struct rill_tcp *tcp);

/* Reads the address of this side or of the peer. Returns 0 or -errno: -EBADF where it is not open,
 * -ENOTCONN for the peer of a connection that was reset or has ended. */
int rill_tcp_local_address(const struct rill_tcp *tcp, struct rill_address *address);
int rill_tcp_peer_address(const struct rill_tcp *tcp, struct rill_address *address);

#ifdef __cplusplus
}
#endif
#endif
