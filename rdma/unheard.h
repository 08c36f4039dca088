/* SPDX-License-Identifier: Apache-2.0 */
/* unheard.h - clients whose connection UCX has accepted, and who have said nothing yet.
 *
 * UCX frees a listener although the sockets that it has accepted still point to it, and calls it
 * when their first bytes come (uct_tcp_sockcm_ep_server_invoke_conn_req_cb in tcp_sockcm_ep.c,
 * 1.13 and later): a server that was stopped while clients connected ended with a SIGSEGV. It has
 * no call for these sockets, so they are found among the descriptors of the process and shut down
 * while the listener is still there. UCX takes that for clients that have gone. */
#ifndef RILL_RDMA_UNHEARD_H
#define RILL_RDMA_UNHEARD_H

#include "net/address.h"
#include "rdma/rdma.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How long to wait for UCX, in a thread of its own, to let go of them. */
#define RILL_RDMA_UNHEARD_WAIT_NS (100 * RILL_MILLISECOND)

/* private: how many TCP sockets the process listens with. One more after UCX's listener was made is
 * UCX's. Where there is none, as with a device for RDMA, whose ports are others, the socket that
 * listens at the same address is not. */
size_t rill_rdma_count_listening(void);

/* private: the descriptor by which the process listens at an address, or -1. */
int rill_rdma_find_listening(const struct rill_address *at);

/* private: has nobody more come to the listener of UCX's at an address, ends those who have come
 * and not spoken, and has UCX hear the others. It blocks until that is done, which is a matter of
 * microseconds. Only for one that has a TCP socket. Does nothing without /proc, or
 * without a descriptor to spare. */
void rill_rdma_end_unheard(struct rill_rdma *rdma, const struct rill_address *at);

#ifdef __cplusplus
}
#endif
#endif
