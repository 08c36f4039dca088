/* SPDX-License-Identifier: Apache-2.0 */
/* sides.h - both sides of a connection over the simulated UCX, in virtual time.
 *
 *     sides_open(NULL);
 *     sides_connect(&options_of_left, NULL);
 *     ...
 *     sides_disconnect();
 *     sides_close(); */
#ifndef RILL_TESTS_RDMA_SIDES_H
#define RILL_TESTS_RDMA_SIDES_H

#include "tests/fixture.h"
#include "tests/rdma/side.h"
#include "tests/rdma/sim_ucx.h"

struct sides {
    struct side left, right; /* the one that connects, and the one that is connected to */
    struct rill_ucx table;   /* of both: a case may put calls of its own into it */
    struct rill_ucx sim;     /* what was there */
};

extern struct sides sides;

/* Opens the fixture and both sides. options may be NULL: messages travel for a millisecond at the
 * most, and an end is told to the other side. */
void sides_open(const struct sim_ucx_options *options);
void sides_close(void);

/* Connects, or takes what the other side connects with. Options may be NULL. */
struct rill_future *sides_connecting(const struct rill_rdma_connection_options *of_left);
void sides_adopt(const struct rill_rdma_connection_options *of_right);
void sides_connect(const struct rill_rdma_connection_options *of_left,
                   const struct rill_rdma_connection_options *of_right);

/* Loses the connection of left for that reason, cuts right's, and takes what left connects anew
 * with, until both are connected. */
void sides_lose_and_connect(int reason, const struct rill_rdma_connection_options *of_right);

/* Both at once, which has to work. */
void sides_disconnect(void);

/* Both by force. */
void sides_cut(void);

/* Lets virtual time pass. */
void sides_pause(int64_t for_ns);

#endif
