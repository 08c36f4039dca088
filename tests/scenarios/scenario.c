/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/scenarios/scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { TURNS_MAX = 1000000 }; /* a thousand times what a run takes */

const struct scenario *const scenarios[] = {
    &scenario_echo, &scenario_proxy,     &scenario_pool, &scenario_scopes,
    &scenario_chat, &scenario_datagrams,
#if RILL_HAVE_UCX
    &scenario_rdma, &scenario_rpc,
#endif
    NULL,
};

struct scenario_tally scenario_tally;

/* ---- allocations that fail ----
 *
 * The linker puts these before the functions by which the library gets memory while a
 * runtime runs; the simulator and the scenarios use others. */

static unsigned fails_per_mille;

void *__real_malloc(size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);

static bool allocation_fails(void)
{
    if (fails_per_mille == 0 || dice(1000) >= fails_per_mille)
        return false;
    sim_trace(fixture.sim, "an allocation fails");
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return allocation_fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (allocation_fails())
        return MAP_FAILED;
    return __real_mmap(address, size, protection, flags, fd, offset);
}

/* ---- a world ---- */

static void open_world(uint64_t seed)
{
    struct sim_options options = sim_options_hostile(seed);
    struct rill_runtime_options runtime = {
        .sq_entries = 4u << 2 * (seed % 4),
        .cq_entries = 16u << 2 * (seed % 4),
        .buffer_count = 2u << seed % 7,
        .buffer_size = seed % 3 ? 1000 : 64,
    };

    if (seed % 8 < 2) { /* looking out costs time, so let little pass */
        runtime.wait_policy = seed % 8 ? RILL_WAIT_SPIN : RILL_WAIT_ADAPTIVE;
        options.clock_step_ns = 20 * RILL_MICROSECOND;
        options.delay_max_ns = options.latency_max_ns = 200 * RILL_MICROSECOND;
        options.latency_min_ns = 0;
    }
    if (seed % 5 == 0)
        options.fds_max = 30; /* fewer than all need at once */
    if (seed % 6 == 0)
        options.cq_entries_max = 4;
    fixture.seed = seed;
    fixture.seeded = true;
    expect(fixture_open(SIMULATED, &options, &runtime));
    fixture_disturb(TURNS_MAX);
    fails_per_mille = seed % 4 == 0 ? 200 : 0;
}

uint64_t scenario_perform(const struct scenario *scenario, uint64_t seed)
{
    static char replay[100];
    uint64_t hash;

    snprintf(replay, sizeof replay, "make sim SCENARIO=%s", scenario->name);
    fixture.replay = replay;
    open_world(seed);
    scenario->run();
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    fails_per_mille = 0;
    hash = sim_trace_hash(fixture.sim);
    fixture_close();
    return hash;
}

/* ---- saboteurs ---- */

static enum rill_poll saboteur_poll(struct rill_future *self, struct rill_task *task)
{
    struct saboteur *saboteur = rill_container_of(self, struct saboteur, task.future);

    RILL_BEGIN();
    for (; saboteur->cancels_left > 0; saboteur->cancels_left--) {
        RILL_AWAIT(rill_sleep(&saboteur->pause, dice_ns(saboteur->bound_ns)));
        {
            struct rill_task *victim = saboteur->victims[dice(saboteur->victim_count)];

            if (victim)
                rill_task_cancel(victim);
        }
    }
    RILL_END();
}

void saboteur_start(struct saboteur *saboteur, struct rill_task **victims, size_t count,
                    unsigned cancels, int64_t bound_ns)
{
    *saboteur = (struct saboteur){
        .victims = victims, .victim_count = count, .cancels_left = cancels, .bound_ns = bound_ns};
    rill_task_spawn(&saboteur->task, saboteur_poll);
}

void saboteur_end(struct saboteur *saboteur)
{
    await(rill_task_join(&saboteur->task, &saboteur->join));
}
