/* SPDX-License-Identifier: Apache-2.0 */
/* scenario.h - a small program of many tasks, run in a hostile world that a seed makes.
 *
 * A scenario starts its tasks, cancels some of them, waits for the end of all and checks
 * what has come of it; whatever it leaves open it draws from dice. Everything below it
 * is the production code over the simulated kernel. See docs/simulation.md. */
#ifndef RILL_TESTS_SCENARIO_H
#define RILL_TESTS_SCENARIO_H

#include "tests/fixture.h"

struct scenario {
    const char *name;
    void (*run)(void); /* within an open fixture */
    unsigned done_min; /* percent of the tally: well below what is usual over many seeds */
};

extern const struct scenario scenario_chat, scenario_datagrams, scenario_echo, scenario_pool,
    scenario_proxy, scenario_rdma, scenario_rpc, scenario_scopes;

/* Of the runs so far: what their tasks set out to do, be it lines, bytes or messages, and what
 * of that came about. A hostile world may keep them from some of it, but not from most. */
struct scenario_tally {
    uint64_t wanted, done;
};
extern struct scenario_tally scenario_tally;

static inline void scenario_count(size_t wanted, size_t done)
{
    scenario_tally.wanted += wanted;
    scenario_tally.done += done;
}

/* All of them, ending with NULL. */
extern const struct scenario *const scenarios[];

/* Makes the world of that seed, runs the scenario in it, and ends it: nothing may be
 * left. Returns the hash of all that happened in it. */
uint64_t scenario_perform(const struct scenario *scenario, uint64_t seed);

/* A number below bound from the world's generator. */
static inline uint64_t dice(uint64_t bound)
{
    return sim_random(fixture.sim, bound);
}

/* A duration below bound_ns. */
static inline int64_t dice_ns(int64_t bound_ns)
{
    return (int64_t)dice((uint64_t)bound_ns);
}

/* Cancels a task at a random moment of the next bound_ns: spawned by the scenario and
 * joined before it ends. */
struct saboteur {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    struct rill_task **victims; /* of which any may be NULL, or over */
    size_t victim_count;
    unsigned cancels_left;
    int64_t bound_ns; /* between two cancels */
};

void saboteur_start(struct saboteur *saboteur, struct rill_task **victims, size_t count,
                    unsigned cancels, int64_t bound_ns);
void saboteur_end(struct saboteur *saboteur);

#endif
