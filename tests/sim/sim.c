/* SPDX-License-Identifier: Apache-2.0 */
/* sim.c - a world is made and ended, and its dice. */
#include "tests/sim/internal.h"

#include <stdlib.h>
#include <string.h>

void *sim_allocate(size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    if (!memory)
        abort();
    return memory;
}

void *sim_grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size ? size : 1);

    if (!grown)
        abort();
    return grown;
}

/* splitmix64, which spreads a small seed over the state of the generator. */
static uint64_t spread(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* xoshiro256**. The remainder's bias does not matter to us. */
uint64_t sim_random(struct sim *sim, uint64_t bound)
{
    uint64_t *s = sim->random;
    uint64_t result = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return bound ? result % bound : 0;
}

bool sim_chance(struct sim *sim, unsigned per_mille)
{
    return per_mille && sim_random(sim, 1000) < per_mille;
}

size_t sim_shorten(struct sim *sim, size_t size)
{
    if (size > 1 && sim_chance(sim, sim->options.short_per_mille))
        return 1 + (size_t)sim_random(sim, size - 1);
    return size;
}

int64_t sim_delay(struct sim *sim)
{
    if (sim->options.delay_max_ns <= 0 || sim_random(sim, 2))
        return 0;
    return (int64_t)sim_random(sim, (uint64_t)sim->options.delay_max_ns + 1);
}

int64_t sim_latency(struct sim *sim)
{
    const struct sim_options *options = &sim->options;

    if (options->latency_max_ns <= options->latency_min_ns)
        return options->latency_min_ns;
    return options->latency_min_ns +
           (int64_t)sim_random(sim, (uint64_t)(options->latency_max_ns - options->latency_min_ns));
}

/* A strength: often faint, now and then so strong that it dominates the run. */
static unsigned strength(uint64_t *state, unsigned strongest)
{
    uint64_t draw = spread(state);
    unsigned bound = draw % 4 == 0 ? strongest : draw % 4 == 1 ? strongest / 8 : strongest / 64;

    return 1 + (unsigned)(spread(state) % (bound + 1));
}

struct sim_options sim_options_hostile(uint64_t seed)
{
    static const size_t sizes[] = {16, 100, 1000, 4096, 65536, 262144};
    static const int64_t times[] = {1000, 10000, 100000, 1000000, 20000000};
    uint64_t state = seed ^ UINT64_C(0x5eed5eed5eed5eed);
    struct sim_options options = {
        .seed = seed,
        .socket_buffer_size = sizes[spread(&state) % 6],
        .delay_max_ns = times[spread(&state) % 5],
        .oversleep_max_ns = times[spread(&state) % 5],
        .shuffle = true,
        .short_per_mille = strength(&state, 900),
        .enobufs_per_mille = strength(&state, 100),
        .multishot_end_per_mille = strength(&state, 200),
        .accept_per_mille = strength(&state, 200),
        .connect_per_mille = strength(&state, 100),
        .reset_per_mille = strength(&state, 20),
        .datagram_per_mille = strength(&state, 300),
        .reset_untold_per_mille = strength(&state, 500),
        .file_per_mille = strength(&state, 100),
        .enomem_per_mille = strength(&state, 50),
        .cancel_lost_per_mille = strength(&state, 500),
        .cancel_eintr_per_mille = strength(&state, 500),
        .submit_eagain_per_mille = strength(&state, 100),
        .submit_ebusy_per_mille = strength(&state, 500),
        .enter_eintr_per_mille = strength(&state, 200),
        .overflow_per_mille = strength(&state, 200),
    };

    options.latency_min_ns = times[spread(&state) % 5] / 10;
    options.latency_max_ns = options.latency_min_ns + times[spread(&state) % 5];
    options.doubled_per_mille = strength(&state, 100);
    options.no_thread_per_mille = strength(&state, 50);
    options.cancel_missed_per_mille = strength(&state, 300);
    options.wake_up_ns = times[spread(&state) % 5];
    options.empty_buffer_per_mille = strength(&state, 300);
    return options;
}

static void default_size(size_t *size, size_t value)
{
    if (*size == 0)
        *size = value;
}

struct sim *sim_create(const struct sim_options *options)
{
    struct sim *sim = sim_allocate(sizeof *sim);
    uint64_t state = options->seed;

    sim->kernel.ops = &sim_kernel_ops;
    sim->options = *options;
    if (sim->options.fds_max == 0)
        sim->options.fds_max = 1024;
    if (sim->options.clock_step_ns == 0)
        sim->options.clock_step_ns = 1000;
    default_size(&sim->options.socket_buffer_size, 65536);
    default_size(&sim->options.datagrams_max, 64);
    default_size(&sim->options.disk_size_max, (size_t)1 << 30);
    default_size(&sim->options.trace_events, 256);
    for (int i = 0; i < 4; i++)
        sim->random[i] = spread(&state);
    sim->now = SIM_START_NS;
    sim->port_next = 32768;
    sim_list_init(&sim->calls);
    sim_list_init(&sim->rings);
    sim_list_init(&sim->ops);
    sim_list_init(&sim->objects);
    sim_list_init(&sim->bound);
    sim_list_init(&sim->datagrams);
    sim_list_init(&sim->peers);
    sim->fds = sim_allocate(sim->options.fds_max * sizeof *sim->fds);
    sim->trace_hash = UINT64_C(0xcbf29ce484222325);
    sim_trace_init(sim);
    sim_disk_init(sim);
    sim->foreign = sim_object_create(sim, SIM_FOREIGN);
    return sim;
}

void sim_destroy(struct sim *sim)
{
    bool leaks;

    if (!sim)
        return;
    leaks = sim->op_count || sim->fd_count || !sim_list_empty(&sim->rings);
    if (leaks && !sim->options.leaks_allowed) {
        for (unsigned i = 0; i < sim->options.fds_max; i++)
            if (sim->fds[i])
                fprintf(stderr, "sim: left open: fd %d\n", SIM_FD_FIRST + (int)i);
        sim_fail(sim, "%zu operations, %zu descriptors%s left", sim->op_count, sim->fd_count,
                 sim_list_empty(&sim->rings) ? "" : ", a ring");
    }
    while (!sim_list_empty(&sim->ops))
        sim_op_drop(sim_container_of(sim->ops.next, struct sim_op, link));
    while (!sim_list_empty(&sim->rings))
        sim_ring_destroy(sim_container_of(sim->rings.next, struct sim_ring, link));
    for (unsigned i = 0; i < sim->options.fds_max; i++)
        if (sim->fds[i])
            sim_fd_close(sim, SIM_FD_FIRST + (int)i);
    sim_peers_finish(sim);
    sim_datagrams_drop(sim, &sim->datagrams);
    sim_object_release(sim->foreign);
    sim_calls_finish(sim);
    sim_disk_finish(sim);
    free(sim->events);
    free(sim->fds);
    free(sim->trace);
    free(sim);
}

struct rill_kernel *sim_kernel(struct sim *sim)
{
    return &sim->kernel;
}

size_t sim_ops_in_flight(const struct sim *sim)
{
    return sim->op_count;
}

size_t sim_fds_open(const struct sim *sim)
{
    return sim->fd_count;
}

size_t sim_bad_fds(const struct sim *sim)
{
    return sim->bad_fds;
}

size_t sim_datagrams_lost(const struct sim *sim)
{
    return sim->datagrams_lost;
}

size_t sim_datagrams_doubled(const struct sim *sim)
{
    return sim->datagrams_doubled;
}

size_t sim_enters(const struct sim *sim)
{
    return sim->enters;
}

size_t sim_overflows(const struct sim *sim)
{
    return sim->overflows;
}

int64_t sim_now(const struct sim *sim)
{
    return sim->now;
}
