/* SPDX-License-Identifier: Apache-2.0 */
/* listener.h - a listening socket, and accepting from it.
 *
 * One multishot accept (io_uring_prep_multishot_accept(3)) stays in the kernel
 * while connections are awaited. One that arrives when nobody waits is kept for
 * the next accept; when RILL_LISTENER_HELD_MAX are kept the accept is withdrawn,
 * what was in the backlog at that moment is kept too, and later ones wait in it.
 * Of a listener with one_by_one an accept is in the kernel only while somebody
 * waits for a connection. All others stay in the backlog, for other processes
 * that listen there or for a successor.
 *
 * When the process or the system has no descriptor (or memory) left for a
 * connection, or a rule of the system forbids to accept it, the connection stays in
 * the backlog and accepting is tried again after a pause that grows from 1 ms to
 * 1 s: nothing spins and nobody is refused who can be served later. */
#ifndef RILL_NET_LISTENER_H
#define RILL_NET_LISTENER_H

#include "io/fd_queue.h"
#include "io/op.h"
#include "io/pause.h"
#include "net/address.h"
#include "net/socket_file.h"
#include "runtime/wheel.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { RILL_LISTENER_HELD_MAX = 64 };

struct rill_listen_options {
    int backlog;            /* connections that wait in the kernel [4096, capped by
                               net.core.somaxconn, listen(2)] */
    bool one_by_one;        /* none is taken out of the backlog before somebody awaits it */
    bool reuseport;         /* several sockets may listen at the same port */
    bool ip6_only;          /* an IPv6 socket does not take IPv4 connections */
    bool nodelay;           /* connections send small messages at once (TCP_NODELAY) */
    const char *congestion; /* connections' congestion control (TCP_CONGESTION) [the system's] */
    /* Connections are given up where nothing of what was sent is taken for so long, as of peers
     * that do not read: see rill_socket_set_user_timeout (TCP_USER_TIMEOUT) [0: they are not] */
    int64_t user_timeout_ns;
    /* A unix socket has none of the last five: they are passed over. */
    /* Of a unix socket: clients may send descriptors (net/descriptors.h). Elsewhere such a send is
     * refused, from Linux 6.16 on: else the kernel closes those that nobody wants in the thread
     * that reads the bytes, and a socket with a lingering time (SO_LINGER) stops it for that. */
    bool descriptors;
};

/* Zeroed, then opened or adopted, which panic where it is open.
 *
 * Invariant: op is in the kernel while armed; held counts accepted connections
 * that nobody has taken. */
struct rill_listener {
    union {
        int64_t result; /* of closing */
        struct rill_future future;
    };
    int fd;             /* valid while open */
    bool is_open;       /* owns fd */
    uint64_t shortages; /* times that accepting paused, most often for want of a descriptor */

    /* private */
    struct rill_op op;            /* the multishot accept, then closing */
    struct rill_address address;  /* as it was opened */
    struct rill_socket_file file; /* that is removed at the end */
    struct rill_fd_queue held;    /* accepted, in order */
    struct rill_link waiters;     /* of rill_accept.queue, first in first out */
    int error;                    /* that ended the accept for good, or 0 */
    struct rill_pause pause;      /* before whose end it is not to be armed */
    bool one_by_one;
    bool is_unix;
};

/* Opens a socket that listens at address; port 0 picks a free one (see
 * rill_listener_address). A unix socket makes a file at its path, which closing
 * removes unless the path leads to another one by then, such as a successor's; what is there
 * already is left alone; an abstract name has no file. options may be NULL.
 * It does not wait. Returns 0 or -errno: -EADDRINUSE when the port or name is taken or the file
 * exists, -ENOENT for a path in no directory, -EACCES for a port that needs privilege,
 * -EADDRNOTAVAIL for an address that is not this machine's, -EMFILE, -ENOENT for a congestion
 * control that the kernel does not have. */
int rill_listener_open(struct rill_listener *listener, const struct rill_address *address,
                       const struct rill_listen_options *options);

/* Makes a listener of a stream socket that somebody else opened and that listens already, such
 * as one that the program was started with (net/inherited.h), which it takes over: closing closes
 * the descriptor, but leaves the file of a unix socket, and the other descriptors of the socket, to
 * those who made them. Of the options, which may be NULL, one_by_one, nodelay,
 * congestion, user_timeout_ns and descriptors are set; the others are as they are. It may be in
 * non-blocking mode. Returns 0; or -errno, and the descriptor is still the caller's: -EBADF,
 * -ENOTSOCK, -EINVAL when it does not listen, -EPROTOTYPE for another kind of socket, -ENOENT as
 * above. */
int rill_listener_adopt(struct rill_listener *listener, int fd,
                        const struct rill_listen_options *options);

/* Leaves the file of a unix socket where it is when the listener is closed, as when the socket was
 * handed to another process (net/descriptors.h) that goes on with it: then the file is still that
 * of this socket. A successor that has made a file of its own keeps that anyway. Does nothing to
 * other sockets. */
void rill_listener_leave_file(struct rill_listener *listener);

/* The other side of that: has closing remove the file of a unix socket that was adopted, as of one
 * that was opened here, unless the path leads to another file by then. For a successor, when the
 * one before has left it the file: or the last of them leaves it, and where it is no server can
 * begin again. The path is the one that the socket was opened at; a relative one is looked for in
 * the working directory. Returns 0, also for other sockets, which have no file; -ENOENT where the
 * path leads to no socket; -ENAMETOOLONG for more than 107 characters; or -EBADF. */
int rill_listener_take_file(struct rill_listener *listener);

/* Reads the address it listens at. Returns 0 or -errno: -EBADF where it is not open. */
int rill_listener_address(const struct rill_listener *listener, struct rill_address *address);

/* Waiting for one connection. */
struct rill_accept {
    union {
        int64_t result; /* a descriptor, the caller's, for rill_tcp_adopt; or -errno */
        struct rill_future future;
    };

    /* private */
    struct rill_listener *listener;
    struct rill_link queue; /* rill_listener.waiters */
    struct rill_task *task;
    struct rill_timer pause;
};

/* Waits for the next connection. Several tasks may wait, and are served in order.
 * Cancelling loses none: one that has arrived is there for the next accept. Where none waits behind
 * it, cancelling one of a listener with one_by_one waits until the kernel accepts no more.
 * Errors that end a listener, such as -EINVAL after shutdown(2), come to all. -EBADF where it
 * is not open, as from the beginning of its close on. */
struct rill_future *rill_tcp_accept(struct rill_listener *listener, struct rill_accept *accept);

/* private, for servers: stops accepting, until the next accept. What was accepted is there for
 * that. No accept may be waiting. It cannot be cancelled. */
struct rill_future *rill_listener_withdraw(struct rill_listener *listener);

/* Stops listening: withdraws the accept, closes the connections that nobody took,
 * then removes a unix socket's file and closes the socket. No accept may be waiting. It cannot be
 * cancelled; a listener that is closed already, or was never open, is closed with 0. Panics while
 * another task closes it. */
struct rill_future *rill_listener_close(struct rill_listener *listener);

#ifdef __cplusplus
}
#endif
#endif
