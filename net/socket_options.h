/* SPDX-License-Identifier: Apache-2.0 */
/* socket_options.h - the usual options of a socket.
 *
 * Each works on the descriptor of a connection (tcp->fd) and on that of a listener
 * (listener->fd), whose connections inherit it, or of a socket for datagrams (udp->fd). Each
 * returns 0 or the -errno of setsockopt(2): -EBADF, -ENOTSOCK, -ENOPROTOOPT, -EINVAL for a value
 * that the kernel does not accept. None waits. */
#ifndef RILL_NET_SOCKET_OPTIONS_H
#define RILL_NET_SOCKET_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sends small messages at once instead of collecting them (TCP_NODELAY, tcp(7)). */
int rill_socket_set_nodelay(int fd, bool on);

/* Probes a silent peer after idle_s seconds, every interval_s, and gives the
 * connection up after count probes without an answer (SO_KEEPALIVE). idle_s 0
 * turns it off. */
int rill_socket_set_keepalive(int fd, int idle_s, int interval_s, int count);

/* Gives a connection up where for limit_ns (rounded up to milliseconds; 0: any time) nothing that
 * was sent is taken by the other side's kernel: because it is gone, or because nobody reads there
 * and its receive buffer is full (TCP_USER_TIMEOUT, tcp(7)). The first operation that ends then
 * ends with -ETIMEDOUT; further ones as after the end of the connection: a send with -EPIPE, a
 * receive with 0. A peer that reads slowly says that it has room again when about half of its
 * buffer, of some 100 KB as a rule, is free: have a limit above the time that the slowest good one
 * takes for that. The kernel looks now and then, so it takes some tenths of a second longer. It
 * costs nothing while all is well. Only TCP: -EOPNOTSUPP of a unix socket. -EINVAL below 0 and
 * above 2^31 ms. */
int rill_socket_set_user_timeout(int fd, int64_t limit_ns);

/* Sets the sizes of the kernel's buffers in bytes (SO_SNDBUF, SO_RCVBUF, which
 * socket(7) doubles and caps); 0 leaves one as it is. */
int rill_socket_set_buffers(int fd, int send_size, int receive_size);

/* Lets several sockets listen at the same port, the kernel spreading connections
 * over them: one runtime for each core (SO_REUSEPORT). Before listening. */
int rill_socket_set_reuseport(int fd, bool on);

/* Chooses the congestion control by name, such as "cubic" (TCP_CONGESTION). */
int rill_socket_set_congestion(int fd, const char *name);

/* Lets closing discard what was not sent and reset the connection (SO_LINGER 0). */
int rill_socket_set_reset_on_close(int fd, bool on);

/* Lets the other side of a unix socket send descriptors along (net/descriptors.h), which it can as
 * long as nobody has said otherwise; else such a send of its is refused with EPERM (SO_PASSRIGHTS).
 * Does nothing before Linux 6.16: there they come, and are closed unreceived. */
int rill_socket_set_descriptors(int fd, bool on);

/* Sets any other option, as setsockopt(2) does. Of SO_LINGER, only a time of 0 is any good: with
 * another one closing holds up the runtime's thread, and all its tasks, for up to that time. */
int rill_socket_set_option(int fd, int level, int name, const void *value, size_t size);
int rill_socket_set_int(int fd, int level, int name, int value);

/* private: reads an option. */
int rill_socket_get_int(int fd, int level, int name, int *value);

/* private: a byte that was sent as urgent (MSG_OOB) comes in its place among the others, where it
 * would be lost otherwise (tcp(7), and unix sockets since Linux 5.15). Nor does it wake a receive
 * that finds nothing: the kernel gives what was woken in vain 128 times to a thread of its own, so
 * that a peer could have one for itself. */
int rill_socket_take_urgent(int fd);

#ifdef __cplusplus
}
#endif
#endif
