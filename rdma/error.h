/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - what UCX says went wrong, as an -errno.
 *
 * A ucs_status_t looks like an -errno and is none: UCS_ERR_NO_MEMORY is -4, which as
 * an errno is EINTR. So each is translated where it enters, and nowhere else. */
#ifndef RILL_RDMA_ERROR_H
#define RILL_RDMA_ERROR_H

#include <ucs/type/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns 0 for UCS_OK and the -errno for every other status. Those that mean the
 * loss of a peer are
 *   -ECONNRESET    the peer closed
 *   -ECONNREFUSED  it rejected the connection
 *   -ENOTCONN      nobody listens there
 *   -ETIMEDOUT     it does not answer, its process is gone, or it closed and did not wait
 *                  for this side to hear of it
 *   -EHOSTUNREACH  no transport leads there
 *   -ENETDOWN      a link failed
 *   -ECONNABORTED  the endpoint failed for another reason
 * (and, of rill's own, -ENOBUFS and -ENOTRECOVERABLE where everything of a worker fails: loss.h)
 * and a message that does not fit is -EMSGSIZE. A status that no version of UCX had
 * when this was written is -EIO. */
int rill_rdma_errno(ucs_status_t status);

#ifdef __cplusplus
}
#endif
#endif
