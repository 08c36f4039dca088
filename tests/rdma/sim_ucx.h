/* SPDX-License-Identifier: Apache-2.0 */
/* sim_ucx.h - a network of UCX workers in one process, over the simulated kernel.
 *
 * It stands below rdma in the place of libucp (rdma/ucx.h). What fake_ucx.h does as a test
 * says, this one does as the seed of the world says: messages travel for a while, matched as
 * UCX matches them; operations end at once, later or in another order; calls fail; workers
 * cannot be armed, or do not tell; the other side falls silent, or dies, and that is
 * reported late or never. It ends the process where rill breaks a rule of UCX's.
 *
 * A context and its configuration are those of fake_ucx.h. */
#ifndef RILL_TESTS_RDMA_SIM_UCX_H
#define RILL_TESTS_RDMA_SIM_UCX_H

#include "rdma/ucx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From this size on a message stays with its sender until it is received. */
enum { SIM_UCX_EAGER_SIZE = 8000 };

/* How it behaves. All zero: no faults, everything at once and in order. */
struct sim_ucx_options {
    int64_t latency_max_ns; /* messages travel that long, in order for each endpoint */
    int64_t late_max_ns;    /* an operation ends that much later than it could */
    int64_t notice_max_ns;  /* until the end of the other side's endpoint is reported */
    bool deaths_are_silent; /* of a killed side nothing is reported: as over shared memory */
    bool pairs;             /* endpoints by worker address are told of the other's end */
    bool am_overtake;       /* active messages and tagged ones have no order between them */

    /* Faults, each in so many of a thousand cases. */
    unsigned late_per_mille;  /* an operation is not over at once though it could be */
    unsigned error_per_mille; /* a call fails */
    unsigned busy_per_mille;  /* a worker cannot be armed */
    unsigned deaf_per_mille;  /* the descriptor of a worker does not tell of an event */
    unsigned mute_per_mille;  /* what ends with its endpoint is never reported */
    unsigned loss_per_mille;  /* closing by force takes back what is on its way */
};

/* What the seed says. */
struct sim_ucx_options sim_ucx_options_hostile(void);

/* Begins; to be called in an open fixture. arrived, which may be NULL, is called with each
 * tagged message when it is in the memory of the receiver. Returns the table to be given to
 * rill_rdma_open. */
const struct rill_ucx *sim_ucx_begin(const struct sim_ucx_options *options,
                                     void (*arrived)(const void *bytes, size_t size));

/* Ends, and checks that nothing is left. */
void sim_ucx_end(void);

/* No message comes to a worker, or leaves it, for so long: its process is stopped. */
void sim_ucx_stop(ucp_worker_h worker, int64_t for_ns);

/* All that a worker has to do with others is over, and nobody reaches it for so long: its
 * process was killed, and another one began in its place. */
void sim_ucx_kill(ucp_worker_h worker, int64_t for_ns);

/* The number of tagged messages for an id (the upper half of the tag) that lie unreceived in
 * the memory of a worker, and their bytes. */
unsigned sim_ucx_unreceived(ucp_worker_h worker, uint32_t id, uint64_t *bytes);

#endif
