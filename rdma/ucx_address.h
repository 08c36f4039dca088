/* SPDX-License-Identifier: Apache-2.0 */
/* ucx_address.h - private: a socket address as UCX tells it, which is one without a size. */
#ifndef RILL_RDMA_UCX_ADDRESS_H
#define RILL_RDMA_UCX_ADDRESS_H

#include "net/address.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* private: reads it. The size is 0 where it is none of IP: UCX does not tell of all. */
static inline void rill_rdma_address_read(struct rill_address *address,
                                          const struct sockaddr_storage *told)
{
    memset(address, 0, sizeof *address);
    if (told->ss_family == AF_INET)
        address->size = sizeof address->ip4;
    else if (told->ss_family == AF_INET6)
        address->size = sizeof address->ip6;
    memcpy(&address->any, told, address->size);
}

#ifdef __cplusplus
}
#endif
#endif
