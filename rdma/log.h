/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - private: listens to UCX's log, where it says what it tells nobody else: that it has
 * dropped a message (loss.h), and that it cannot accept a client (shortage.h). */
#ifndef RILL_RDMA_LOG_H
#define RILL_RDMA_LOG_H

#include "rdma/ucx.h"

#ifdef __cplusplus
extern "C" {
#endif

/* private: listens from now on, for the rest of the process. One that is to log nothing but what is
 * fatal (UCX_LOG_LEVEL) makes up its errors from then on as well, and prints none, as before.
 * Called for each worker, as its settings may have changed that, by one thread at a time. */
void rill_rdma_log_listen(const struct rill_ucx *ucx);

#ifdef __cplusplus
}
#endif
#endif
