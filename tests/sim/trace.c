/* SPDX-License-Identifier: Apache-2.0 */
/* trace.c - remembers what happened last, and a hash of all that happened. */
#include "tests/sim/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_SIZE 104

struct sim_trace_event {
    int64_t when;
    char text[TEXT_SIZE];
};

void sim_trace_init(struct sim *sim)
{
    sim->trace = sim_allocate(sim->options.trace_events * sizeof *sim->trace);
}

/* FNV-1a. */
static uint64_t hash(uint64_t value, const void *bytes, size_t size)
{
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < size; i++)
        value = (value ^ byte[i]) * UINT64_C(0x100000001b3);
    return value;
}

void sim_trace(struct sim *sim, const char *format, ...)
{
    struct sim_trace_event *event = &sim->trace[sim->trace_count++ % sim->options.trace_events];
    va_list arguments;

    event->when = sim->now;
    va_start(arguments, format);
    vsnprintf(event->text, sizeof event->text, format, arguments);
    va_end(arguments);
    sim->trace_hash = hash(sim->trace_hash, &event->when, sizeof event->when);
    sim->trace_hash = hash(sim->trace_hash, event->text, strlen(event->text));
}

uint64_t sim_trace_hash(const struct sim *sim)
{
    return sim->trace_hash;
}

void sim_trace_print(const struct sim *sim, FILE *file, size_t last)
{
    size_t kept = sim->options.trace_events;
    size_t count = sim->trace_count < kept ? sim->trace_count : kept;

    if (last < count)
        count = last;
    for (size_t i = sim->trace_count - count; i < sim->trace_count; i++) {
        const struct sim_trace_event *event = &sim->trace[i % kept];

        fprintf(file, "%12.6f ms  %s\n", (double)(event->when - SIM_START_NS) / 1e6, event->text);
    }
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list arguments;

    sim_trace_print(sim, stderr, 60);
    sim_ops_print(sim, stderr, 20);
    fprintf(stderr, "sim: seed %" PRIu64 ": ", sim->options.seed);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}
