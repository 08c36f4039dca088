/* SPDX-License-Identifier: Apache-2.0 */
/* udp.h - a socket for datagrams: UDP over IPv4 and IPv6, and unix sockets of that kind.
 *
 *     RILL_AWAIT(rill_udp_recv(&echo->udp, &echo->datagram, echo->bytes, sizeof echo->bytes));
 *     if (echo->datagram.result >= 0)
 *         RILL_AWAIT(rill_udp_send(&echo->udp, &echo->datagram, echo->bytes,
 *                                  (size_t)echo->datagram.result, &echo->datagram.peer));
 *
 * A datagram arrives whole or not at all, and may arrive twice, late or in another
 * order: that is the network's right, and the kernel's where nobody receives and the
 * socket's buffer is full. rill itself loses none: one that has arrived when a receive
 * is cancelled is its result, or there for the next receive.
 *
 * A function that returns a future prepares it and does nothing else; the operation
 * starts in the await. Any number of tasks may receive and send at the same time, each
 * with a struct rill_datagram of its own. Results are >= 0 or -errno. */
#ifndef RILL_NET_UDP_H
#define RILL_NET_UDP_H

#include "io/op.h"
#include "io/receiver.h"
#include "net/address.h"
#include "net/socket_file.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* The bytes that a datagram over IPv4 has at most: 65,535 less the headers of IP and
     * UDP. Over IPv6 there may be 20 more. Beyond some 1,400 a datagram goes in
     * fragments, of which none may be lost. */
    RILL_UDP_SIZE_MAX = 65507,
};

/* Zeroed, then opened or adopted, which panic where it is open. While it is not open, and from the
 * beginning of its close on it is not, whatever is done with it ends with -EBADF, but for closing,
 * which ends with 0. */
struct rill_udp {
    union {
        int64_t result; /* of closing: 0, or what close(2) says */
        struct rill_future future;
    };
    int fd;       /* valid while open */
    bool is_open; /* owns fd */

    /* private */
    bool has_peer;                /* not looked at for unix sockets */
    struct rill_address address;  /* as it was opened, or found */
    struct rill_socket_file file; /* that is removed at the end */
    struct rill_receiver receiver;
};

/* private: the descriptor, or -1 while there is none: its number may be another socket's. */
static inline int rill_udp_fd(const struct rill_udp *udp)
{
    return udp->is_open ? udp->fd : -1;
}

/* A zeroed field means the system's default. */
struct rill_udp_options {
    bool reuseport; /* several sockets may have the port, all with this option: each datagram
                     * comes to one of them, chosen by its sender's address, and one to a
                     * multicast group to each: a runtime for each core */
    bool reuseaddr; /* several programs may have the port, for multicast: to which of them other
                     * datagrams come is not said */
    bool ip6_only;  /* an IPv6 socket does not take IPv4 datagrams */
    bool broadcast; /* may send to broadcast addresses, which else is -EACCES */
    int send_size, receive_size;  /* of the kernel's buffers in bytes: rill_socket_set_buffers */
    int multicast_hops;           /* routers that multicast may pass, plus one [1] */
    unsigned multicast_interface; /* that it leaves by: an index (if_nametoindex(3)) */
    /* A unix socket has the sizes only: the others are passed over. */
};

/* Opens a socket that receives at address; port 0 picks a free one (see
 * rill_udp_local_address). A client opens one at "0.0.0.0" or "::" and port 0. A unix
 * socket makes a file at its path, which closing removes unless the path leads to another one by
 * then, such as a successor's; what is there already is left alone; an abstract name has no file.
 * Both are copied, and options may be NULL. It does not wait. Returns 0 or -errno: -EADDRINUSE when
 * the port is taken or the file exists, -ENOENT for a path in no directory, -EACCES for a port that
 * needs privilege, -EADDRNOTAVAIL for an address that is not this machine's, -EAFNOSUPPORT without
 * IPv6, -ENODEV for an unknown interface, -EMFILE. */
int rill_udp_open(struct rill_udp *udp, const struct rill_address *address,
                  const struct rill_udp_options *options);

/* Makes one of a socket that somebody else opened and bound, such as one that the program was
 * started with (net/inherited.h), which it takes over: closing closes the descriptor, but leaves
 * the file of a unix socket to those who made it. It must not be in non-blocking mode. It may have
 * a peer already. Returns 0; or -errno, and the descriptor is still the caller's: -EBADF,
 * -ENOTSOCK, -EPROTOTYPE for another kind of socket. */
int rill_udp_adopt(struct rill_udp *udp, int fd);

/* Chooses the only peer: sends without an address go to it, and nothing more comes
 * from others, but for what has come already. NULL: nobody any more. Nothing is sent, and it does
 * not wait. Where the peer's host says that nobody is there, this is told to one later receive or
 * send, with -ECONNREFUSED. The port stays the same with every peer and without one; an interface
 * that the socket was bound to (SO_BINDTODEVICE) has to be set again after a peer. Returns 0, or
 * -errno, and there is no peer then: -ENETUNREACH, -EAFNOSUPPORT; -EADDRINUSE where, after the
 * first peer of a socket that was opened at port 0, somebody else was faster to take the port,
 * without which nothing comes: the next call asks for it again. For a path -ENOENT and
 * -ECONNREFUSED, and the peer is who it was. */
int rill_udp_connect(struct rill_udp *udp, const struct rill_address *peer);

/* Reads the address that it receives at. Returns 0 or -errno: -EBADF where it is not open. */
int rill_udp_local_address(const struct rill_udp *udp, struct rill_address *address);

/* Joins or leaves a multicast group on an interface, given by its index, or where that
 * is 0 on the one that the system chooses. What others on this machine have joined may
 * come too, as the group's port is what a socket is bound to. Closing leaves all groups.
 * Returns 0 or -errno: -EINVAL for no multicast address, -ENODEV for an unknown interface or
 * none that could be chosen, -EADDRINUSE when it is in the group already, -EADDRNOTAVAIL
 * when it is not, -ENOBUFS beyond igmp_max_memberships (20, ip(7)). */
int rill_udp_join(struct rill_udp *udp, const struct rill_address *group, unsigned interface);
int rill_udp_leave(struct rill_udp *udp, const struct rill_address *group, unsigned interface);

/* A datagram on its way in or out. Zeroed at first; it may be used again when that is over. */
struct rill_datagram {
    union {
        int64_t result; /* its size, 0 for an empty one, or -errno */
        struct rill_op op;
    };
    struct rill_address peer; /* who has sent it, or to whom; of size 0: a unix socket
                               * without a path, or whom the socket is connected to */

    /* private */
    struct msghdr message; /* read and written by the kernel */
    struct iovec part;
};

/* Receives one datagram into buffer, which is borrowed until it is ready, and tells
 * in datagram->peer who has sent it. The result is its size. One that is longer than size
 * ends with -EMSGSIZE: its beginning is in buffer, the rest is lost, and
 * datagram->op.transferred is its size. Other errors are of what was sent before, and do
 * no harm to the socket: -ECONNREFUSED and -EHOSTUNREACH where it is connected. */
struct rill_future *rill_udp_recv(struct rill_udp *udp, struct rill_datagram *datagram,
                                  void *buffer, size_t size);

/* The same into several places (IOV_MAX at the most, 1024, or it is -EINVAL, and no datagram is
 * lost). The parts and their array are borrowed. */
struct rill_future *rill_udp_recv_vectored(struct rill_udp *udp, struct rill_datagram *datagram,
                                           const struct iovec *parts, size_t count);

/* A datagram that arrived, in a buffer of the runtime's: see rill_udp_recv_borrowed. Zeroed at
 * first. */
struct rill_udp_borrow {
    union {
        int64_t result; /* its size, 0 for an empty one, or -errno */
        struct rill_future future;
    };
    void *data;               /* NULL while nothing is borrowed */
    size_t size;              /* as it was sent, also that of one that was too long */
    struct rill_address peer; /* who has sent it; of size 0: a unix socket without a path */

    /* private */
    struct rill_udp *udp;
    unsigned buffer;
};

/* Receives a datagram into a buffer that all sockets of the runtime share: for high rates,
 * as one receive stays in the kernel and brings one datagram after the other, and for many
 * sockets, as none that is silent holds a buffer. When it ends with a result >= 0, the buffer
 * is the caller's to read and change until rill_udp_borrow_give_back; give it back soon, for all
 * receives wait while none is left. Datagrams that come while nobody waits are kept, up to
 * RILL_RECEIVER_DATAGRAMS and what is then on its way; more wait in the socket. Errors are
 * those of rill_udp_recv, and nothing is borrowed then: -EMSGSIZE for one of more than the
 * runtime's buffer_size less RILL_RECEIVER_HEAD bytes (16,256, unless chosen otherwise), which is
 * lost; -EINVAL where buffers are smaller than that head, and -ENOMEM where they could not be made.
 * Cancelling leaves what has come for the next receive. One task at a time, and all receives
 * of the socket in this way. */
struct rill_future *rill_udp_recv_borrowed(struct rill_udp *udp, struct rill_udp_borrow *borrow);

/* Gives the buffer back. Does nothing if nothing is borrowed. */
void rill_udp_borrow_give_back(struct rill_udp_borrow *borrow);

/* Sends one datagram to an address, which is copied and may be datagram->peer itself,
 * or, where that is NULL, to whom the socket is connected to. data is borrowed until it is
 * ready, which means that it was handed to the network: if the socket's buffer is full
 * it waits for room (but see -EAGAIN). The result is size, or -errno and it was not sent:
 *   -EMSGSIZE      too long: RILL_UDP_SIZE_MAX
 *   -EDESTADDRREQ  no address, and not connected (a unix socket: -ENOTCONN)
 *   -ECONNREFUSED  connected, and an earlier one found nobody: it may be sent again
 *   -ENETUNREACH, -EHOSTUNREACH, -EACCES (see broadcast), -EPERM (a firewall),
 *   -EAFNOSUPPORT, -EINVAL (port 0), -ENOBUFS
 *   -ENOENT, -ECONNREFUSED  nobody receives at the path
 *   -EAGAIN        a unix socket whose receiver is behind: it loses none and takes no more
 *                  now. A connected one can be awaited by rill_fd_wait (io/readiness.h)
 * One that is cancelled was not sent. */
struct rill_future *rill_udp_send(struct rill_udp *udp, struct rill_datagram *datagram,
                                  const void *data, size_t size, const struct rill_address *to);

/* The same from several places (IOV_MAX at the most, 1024, or it is -EINVAL), which make one
 * datagram. The parts and their array are borrowed. */
struct rill_future *rill_udp_send_vectored(struct rill_udp *udp, struct rill_datagram *datagram,
                                           const struct iovec *parts, size_t count,
                                           const struct rill_address *to);

/* Withdraws a borrowed receive that is armed, removes a unix socket's file, and closes the
 * socket; datagrams that nobody received are dropped. Nothing else may be in flight on it. It
 * cannot be cancelled; one that is closed already, or was never open, is closed with 0. Panics
 * while another task closes it, or waits in a borrowed receive. */
struct rill_future *rill_udp_close(struct rill_udp *udp);

#ifdef __cplusplus
}
#endif
#endif
