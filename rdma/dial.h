/* SPDX-License-Identifier: Apache-2.0 */
/* dial.h - connects to a name: "rdma://host:port".
 *
 *     RILL_AWAIT(rill_rdma_dial(&chat->connection, &chat->dial, &chat->hub,
 *                               "rdma://storage-1:7000", NULL));
 *     if (chat->dial.result < 0) {
 *         fprintf(stderr, "%s\n", chat->dial.why);
 */
#ifndef RILL_RDMA_DIAL_H
#define RILL_RDMA_DIAL_H

#include "net/resolve.h"
#include "net/url.h"
#include "rdma/connection.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_rdma_dial {
    union {
        int64_t result; /* 0 or -errno */
        struct rill_future future;
    };
    const char *why; /* a sentence, or part of one, where the result is not 0 */

    /* private */
    struct rill_rdma_connection *connection;
    struct rill_rdma_hub *hub;
    const struct rill_rdma_connection_options *options;
    const char *text;
    struct rill_url url;
    struct rill_resolve resolve;
    int64_t next; /* of resolve.addresses */
};

/* Connects to what listens at a URL, trying one after the other the addresses that the name
 * has; options.handshake_ns is for each of them. Borrows the URL, and the options, until it
 * is over, and the hub as rill_rdma_connect. The result is 0; -EINVAL for what is no rdma URL;
 * that of rill_resolve; or that of the last rill_rdma_connect. Cancelling takes everything back. */
struct rill_future *rill_rdma_dial(struct rill_rdma_connection *connection,
                                   struct rill_rdma_dial *dial, struct rill_rdma_hub *hub,
                                   const char *url,
                                   const struct rill_rdma_connection_options *options);

#ifdef __cplusplus
}
#endif
#endif
