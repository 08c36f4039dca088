/* SPDX-License-Identifier: Apache-2.0 */
/* socket_file.h - the file of a unix socket, which is removed by who made it and nobody else. */
#ifndef RILL_NET_SOCKET_FILE_H
#define RILL_NET_SOCKET_FILE_H

#include "net/address.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* private, all of this. Which file it is: no other has these numbers while the socket is open. */
struct rill_socket_file {
    uint64_t device, number; /* of the file on it; 0: there is no file */
};

/* Finds the file of a socket that is bound to the address. An address that is no path has none. */
void rill_socket_file_find(struct rill_socket_file *file, const struct rill_address *address);

/* Whether the path still leads to it, and not to nothing or to what somebody else has put there: a
 * successor's socket, or another file where the path is relative and the working directory another
 * one. */
bool rill_socket_file_is_there(const struct rill_socket_file *file,
                               const struct rill_address *address);

#ifdef __cplusplus
}
#endif
#endif
