/* SPDX-License-Identifier: Apache-2.0 */
/* inherited.h - sockets that a program was started with.
 *
 * Who starts a server, systemd for example (systemd.socket(5), sd_listen_fds(3)), may open its
 * socket before: then the server can be started by its first client and started anew without
 * refusing anybody, and needs no privilege for its port. The sockets are the descriptors from 3
 * on, and the environment tells of them: LISTEN_PID for which process, LISTEN_FDS how many, and
 * LISTEN_FDNAMES their names, with colons between.
 *
 *     fd = rill_inherited_find("http");                  // FileDescriptorName=http
 *     if (fd >= 0)
 *         error = rill_listener_adopt(&listener, fd, NULL);
 *
 * A server does both for the URL "fd://http" (net/server.h). A socket for datagrams is adopted by
 * rill_udp_adopt (net/udp.h). */
#ifndef RILL_NET_INHERITED_H
#define RILL_NET_INHERITED_H

#ifdef __cplusplus
extern "C" {
#endif

enum { RILL_INHERITED_FIRST = 3 }; /* descriptor */

/* How many sockets the environment says this process was given; 0 where it says nothing, or means
 * another process. */
int rill_inherited_count(void);

/* Finds a descriptor by its name, the first of that name that was not found yet, or, where none has
 * it, by its number, "3", which the environment need not tell of. Returns it, closed on exec from
 * now on and the caller's to close, or -errno: -ENOENT when nothing of that name was given, -EBADF
 * when no descriptor has that number, -EBUSY when it was found before or is one of this program's
 * own, which shows by its being closed on exec already. */
int rill_inherited_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
