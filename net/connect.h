/* SPDX-License-Identifier: Apache-2.0 */
/* connect.h - opens a connection to an address, a URL, or a name and all its addresses.
 *
 *     RILL_AWAIT(rill_tcp_connect(&client->peer, &client->connect, "example.net", 7000));
 *     if (client->connect.result < 0)
 *         ...
 */
#ifndef RILL_NET_CONNECT_H
#define RILL_NET_CONNECT_H

#include "net/resolve.h"
#include "net/socket_file.h"
#include "net/tcp.h"
#include "net/url.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sets options of a socket (net/socket_options.h) that is to be connected to address. Both are
 * borrowed for the call, in which nothing is awaited. Returns 0, or the -errno with which this
 * attempt fails; more than 0 is a panic. */
typedef int rill_connect_setup_fn(int fd, const struct rill_address *address, void *context);

/* Large (2 KiB) and of use only until it is ready: a client that keeps many
 * connections can share one between connections that it opens in turn. */
struct rill_connect {
    union {
        int64_t result; /* 0 or -errno */
        struct rill_future future;
    };

    /* private */
    struct rill_tcp *tcp;
    struct rill_resolve resolve;
    struct rill_address local;    /* where it connects from, where its size is not 0 */
    struct rill_socket_file file; /* that was made there */
    rill_connect_setup_fn *set_up;
    void *context; /* of set_up */
    struct rill_op op, closing;
    int64_t count, next; /* addresses, and the one to be tried next */
    int fd;
};

/* Connects tcp, which is zeroed or closed (it panics where tcp is open), to host, a name or a
 * numeric address:
 * all its addresses are tried in turn. When it ends with 0, tcp owns a descriptor.
 * Otherwise it is the -errno of rill_resolve or of the last address that there is a way to:
 * -ECONNREFUSED (nobody listens there; also where the kernel has connected the socket to itself,
 * having chosen for it the same port of this machine), -EHOSTUNREACH, -ETIMEDOUT (after some two
 * minutes: use rill_timeout), -EMFILE; or, where there is a way to none, -ENETUNREACH,
 * -EADDRNOTAVAIL or -EAFNOSUPPORT. Cancelling closes what was opened. host and
 * tcp are borrowed; it panics where host is NULL. */
struct rill_future *rill_tcp_connect(struct rill_tcp *tcp, struct rill_connect *connect,
                                     const char *host, uint16_t port);

/* The same to where a URL points: the host of a tcp URL, or the path or name of a unix
 * URL; for a path there are also -ENOENT (no such file) and -EACCES. -EINVAL for another
 * scheme. url is borrowed. Where the backlog of a unix socket is full each connect that waits holds
 * a thread of the kernel's: put a limit to how many do. */
struct rill_future *rill_tcp_connect_url(struct rill_tcp *tcp, struct rill_connect *connect,
                                         const struct rill_url *url);

/* The same to one address, which is copied. */
struct rill_future *rill_tcp_connect_address(struct rill_tcp *tcp, struct rill_connect *connect,
                                             const struct rill_address *address);

/* The same from an address of this machine's; for its port 0 the kernel chooses one that is
 * free towards that peer. To one peer there are some 28,000 ports on each address, and each
 * rests for a while after its connection: who needs more has several addresses. Also
 * -EADDRNOTAVAIL (not this machine's, or no port is left) and -EADDRINUSE. From an address to
 * itself, port and all, it is a connection to itself. From the path of a unix socket a file is made
 * there, which is removed where connecting fails; that of a connection is the caller's to remove.
 * Both are copied. */
struct rill_future *rill_tcp_connect_from(struct rill_tcp *tcp, struct rill_connect *connect,
                                          const struct rill_address *local,
                                          const struct rill_address *address);

/* Has set_up called with each socket of a connect, before it is bound and connected: for options
 * that come too late afterwards. A receive buffer's size (rill_socket_set_buffers) limits what the
 * peer is told while connecting (tcp(7)); SO_BINDTODEVICE, SO_MARK and TCP_MAXSEG say how to reach
 * it. Where it fails, that address has failed, and the next one is tried. Called after one of the
 * above, before the await, and returns the same future:
 *
 *     rill_tcp_connect(&client->peer, &client->connect, "example.net", 7000);
 *     RILL_AWAIT(rill_connect_with(&client->connect, set_up, client));
 *
 * context is borrowed until the future is ready. */
struct rill_future *rill_connect_with(struct rill_connect *connect, rill_connect_setup_fn *set_up,
                                      void *context);

#ifdef __cplusplus
}
#endif
#endif
