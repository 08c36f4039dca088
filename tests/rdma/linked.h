/* SPDX-License-Identifier: Apache-2.0 */
/* linked.h - the workers of duo.h with a connection between them.
 *
 *     if (!linked_open(_i, NULL, NULL))
 *         return;
 *     background_start(&sending, rill_rdma_send(&linked.client, &send, "hello", 5, 1));
 *     expect_eq(await(rill_rdma_recv(&linked.server, &recv, buffer, 100, 1)), 5);
 *     ...
 *     linked_close(); */
#ifndef RILL_TESTS_RDMA_LINKED_H
#define RILL_TESTS_RDMA_LINKED_H

#include "rdma/exchange.h"
#include "tests/rdma/duo.h"

struct linked {
    struct rill_rdma_hub left, right;
    struct rill_rdma_connection client, server; /* of left, of right */
};

extern struct linked linked;

/* Opens the workers and their hubs. Returns false, saying so, where io_uring is not
 * permitted. */
bool linked_open_hubs(int which);
void linked_close_hubs(void);

/* The same with a connection. Options may be NULL. */
bool linked_open(int which, const struct rill_rdma_connection_options *of_client,
                 const struct rill_rdma_connection_options *of_server);

/* Connects client to server. */
void linked_connect(const struct rill_rdma_connection_options *of_client,
                    const struct rill_rdma_connection_options *of_server);

/* Disconnects what is connected, both sides at once, and closes everything. */
void linked_close(void);

/* Takes count messages of a tag, or of RILL_RDMA_ANY_TAG, at the server, and throws them
 * away. */
void linked_receive(int count, uint32_t tag);

#endif
