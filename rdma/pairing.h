/* SPDX-License-Identifier: Apache-2.0 */
/* pairing.h - private: connections by worker address stay in step with the other side's.
 *
 * UCX pairs the endpoints of two workers by their order alone: the third one that this side opens
 * by the address of the other is paired with the third one there (ucp_ep_match.c, 1.13). The other
 * side opens one for each HELLO. Where a HELLO overtakes another, two connections have each other's
 * endpoints; where one never comes, all later ones have the wrong one. What UCX itself answers, to
 * a long or a synchronous message, then comes through the wrong endpoint, and is lost as soon as
 * that is closed. So one connects at a time to each worker; and who is given up meanwhile still
 * waits until the other side has heard of it, or for RILL_RDMA_HELLO_NS. */
#ifndef RILL_RDMA_PAIRING_H
#define RILL_RDMA_PAIRING_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_connection;

/* Stands at the end of the line of its hub, and goes on being first in it while it connects. */
void rill_rdma_pairing_join(struct rill_rdma_connection *connection);

/* Whether nobody before it in the line connects to the same worker. */
bool rill_rdma_pairing_is_first(const struct rill_rdma_connection *connection);

/* Lets the next one to the same worker have its attempt. Does nothing if it is not in line. */
void rill_rdma_pairing_leave(struct rill_rdma_connection *connection);

/* Whether this attempt, which is not wanted any more, goes on even so, as the other side may not
 * have heard of it. Sees to it that deadline_ns is RILL_RDMA_HELLO_NS from now at the most. */
bool rill_rdma_pairing_has_to_be_heard(struct rill_rdma_connection *connection);

#ifdef __cplusplus
}
#endif
#endif
