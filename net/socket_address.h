/* SPDX-License-Identifier: Apache-2.0 */
/* socket_address.h - where a socket is, and who is at the other end. */
#ifndef RILL_NET_SOCKET_ADDRESS_H
#define RILL_NET_SOCKET_ADDRESS_H

#include "net/address.h"

#ifdef __cplusplus
extern "C" {
#endif

/* private: read the address of the socket's own side, and of its peer's. Return 0, or the -errno of
 * getsockname(2) and getpeername(2): -EBADF, -ENOTSOCK, and -ENOTCONN where there is no peer. */
int rill_socket_local_address(int fd, struct rill_address *address);
int rill_socket_peer_address(int fd, struct rill_address *address);

#ifdef __cplusplus
}
#endif
#endif
