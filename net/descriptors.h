/* SPDX-License-Identifier: Apache-2.0 */
/* descriptors.h - bytes over a unix socket that take open descriptors along (SCM_RIGHTS, unix(7)).
 *
 *     RILL_AWAIT(rill_tcp_send_descriptors(&front->worker, &front->send, "c", 1, &client_fd, 1));
 *
 * and on the other side, as a rule another process,
 *
 *     RILL_AWAIT(rill_tcp_recv_descriptors(&worker->front, &worker->recv, &worker->kind, 1));
 *     if (worker->recv.count > 0)
 *         rill_tcp_adopt_foreign(&client->peer, rill_descriptors_take(&worker->recv));
 *
 * The other side gets descriptors of its own, for the same files and sockets, which stay open
 * until both have closed theirs. They come with the first of the bytes that they were sent with:
 * whoever receives those bytes in another way loses them, and the kernel closes them. One receive
 * brings the descriptors of one send at the most, maybe behind bytes of sends before; which bytes
 * they belong to is for the bytes to tell. A listener has to be told that clients may send some:
 * struct rill_listen_options. */
#ifndef RILL_NET_DESCRIPTORS_H
#define RILL_NET_DESCRIPTORS_H

#include "net/tcp.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_DESCRIPTORS_MAX = 16,          /* with one send or receive */
    RILL_DESCRIPTORS_CONTROL_SIZE = 80, /* of the control message that holds them (cmsg(3)) */
    RILL_DESCRIPTORS_BESIDE_SIZE = 56,  /* of those that tell who has sent, if somebody asked */
};

/* A send with descriptors. Zeroed at first; may be used again when it is over. */
struct rill_send_descriptors {
    union {
        int64_t result;                  /* the number of bytes, or -errno */
        struct rill_send_vectored bytes; /* bytes.op.transferred tells how many went before */
    };

    /* private */
    rill_poll_fn *poll; /* of bytes */
    struct iovec part;
    uint64_t control[RILL_DESCRIPTORS_CONTROL_SIZE / 8];
};

/* Sends all bytes of buffer, one at least, and with the first of them count descriptors, one at
 * least and RILL_DESCRIPTORS_MAX at the most. The result is size, or -errno: -EAFNOSUPPORT and
 * nothing was sent where it is no unix socket, -EPERM likewise where the other side wants no
 * descriptors, -EBADF for a descriptor that is not open,
 * -ETOOMANYREFS for too many that nobody has received yet, or those of rill_tcp_send_all. The
 * descriptors have gone if a byte has. They, and the buffer, are borrowed until it is over, and
 * stay the caller's; the array is copied. */
struct rill_future *rill_tcp_send_descriptors(struct rill_tcp *tcp,
                                              struct rill_send_descriptors *send,
                                              const void *buffer, size_t size, const int *fds,
                                              unsigned count);

/* A receive with descriptors: a zeroed one has none.
 *
 * Invariant: it owns fds[0] to fds[count - 1]. */
struct rill_recv_descriptors {
    union {
        int64_t result; /* the number of bytes, 0 at the end, or -errno */
        struct rill_op op;
    };
    unsigned count; /* descriptors that came and were not taken */
    bool is_cut;    /* there were more, which were closed: for want of room here, or as the process
                     * may not have so many */
    int fds[RILL_DESCRIPTORS_MAX];

    /* private */
    struct rill_future closing;
    struct msghdr message;
    struct iovec part;
    uint64_t control[(RILL_DESCRIPTORS_BESIDE_SIZE + RILL_DESCRIPTORS_CONTROL_SIZE) / 8];
};

/* Receives what is there, up to size bytes (one at least), and the descriptors that came with
 * them, closed on exec: see recv->count. The result is as of rill_tcp_recv. One that is cancelled
 * has received neither, or both and says so. recv owns the descriptors, and panics if it is to
 * receive again while it has some. Not for a connection that receives into borrowed buffers. */
struct rill_future *rill_tcp_recv_descriptors(struct rill_tcp *tcp,
                                              struct rill_recv_descriptors *recv, void *buffer,
                                              size_t size);

/* Takes the first of the descriptors, which is the caller's then: for rill_tcp_adopt_foreign, say,
 * or close(2). Panics if there is none. */
int rill_descriptors_take(struct rill_recv_descriptors *recv);

/* Closes the descriptors that were not taken; recv->result is then 0. It cannot be cancelled. */
struct rill_future *rill_descriptors_close(struct rill_recv_descriptors *recv);

#ifdef __cplusplus
}
#endif
#endif
