/* SPDX-License-Identifier: Apache-2.0 */
#include "net/socket_address.h"

#include "io/reactor.h"

int rill_socket_local_address(int fd, struct rill_address *address)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;

    address->size = sizeof address->local; /* the largest */
    return kernel->ops->getsockname(kernel, fd, &address->any, &address->size);
}

int rill_socket_peer_address(int fd, struct rill_address *address)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;

    address->size = sizeof address->local;
    return kernel->ops->getpeername(kernel, fd, &address->any, &address->size);
}
