/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint_info.h - what UCX knows of an endpoint: its addresses and its transports. */
#ifndef RILL_RDMA_ENDPOINT_INFO_H
#define RILL_RDMA_ENDPOINT_INFO_H

#include "net/address.h"
#include "rdma/endpoint.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads the socket addresses of both sides, where it was connected or accepted by one. Either may
 * be NULL; the size of one that is none of IP is 0. Returns 0; or -ENOTCONN where it was connected
 * in another way or is not yet, and of an endpoint that is not open or about to end. */
int rill_rdma_ep_addresses(const struct rill_rdma_ep *ep, struct rill_address *local,
                           struct rill_address *remote);

/* Writes which transports the endpoint uses at this moment, as "tcp/eth0" or
 * "rc_verbs/mlx5_0:1, ud_verbs/mlx5_0:1", with its end cut off where size is too small.
 * Returns 0; -ENOTCONN of an endpoint that is not open or about to end; or -ENOMEM. UCX begins with
 * one transport and goes over to others when it is connected. */
int rill_rdma_ep_describe(const struct rill_rdma_ep *ep, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
