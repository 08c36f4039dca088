/* SPDX-License-Identifier: Apache-2.0 */
/* micro.c - rill-micro: what the runtime itself costs, without any input or output. */
#include "bench/cli.h"
#include "bench/json.h"
#include "bench/micro_channels.h"
#include "bench/micro_tasks.h"
#include "bench/micro_timers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS_MAX = 101 };

static struct rill_runtime *runtime;

static double now_ns(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;

    return difference < 0 ? -1 : difference > 0;
}

struct result {
    const char *key, *text, *unit;
    double median, min, max;
};

static struct result results[32];
static int result_count;
static int64_t rounds = 11;
static const char *only; /* the key of the one to measure, or NULL: all of them */
static int64_t only_count;

static bool is_wanted(const char *key)
{
    return !only || strcmp(only, key) == 0;
}

static void add(const char *key, const char *text, const char *unit, double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    results[result_count++] =
        (struct result){key, text, unit, values[count / 2], values[0], values[count - 1]};
}

/* Times run, which does count operations, over several rounds after one that does not
 * count. */
static void measure_by(clockid_t clock, const char *key, const char *text, int64_t count,
                       void (*run)(struct rill_runtime *runtime, int64_t count))
{
    double values[ROUNDS_MAX];

    if (!is_wanted(key))
        return;
    if (only_count > 0)
        count = only_count;
    run(runtime, count);
    for (int64_t i = 0; i < rounds; i++) {
        double begin = now_ns(clock);

        run(runtime, count);
        values[i] = (now_ns(clock) - begin) / (double)count;
    }
    add(key, text, "ns", values, rounds);
}

static void measure(const char *key, const char *text, int64_t count,
                    void (*run)(struct rill_runtime *runtime, int64_t count))
{
    measure_by(CLOCK_MONOTONIC, key, text, count, run);
}

static void measure_firing(int64_t count)
{
    double values[ROUNDS_MAX];

    if (!is_wanted("timer_fire"))
        return;
    for (int64_t i = 0; i < rounds; i++) {
        if (!micro_firing_arm(count))
            return;

        double begin = now_ns(CLOCK_MONOTONIC);

        micro_firing_run();
        values[i] = (now_ns(CLOCK_MONOTONIC) - begin) / (double)count;
        micro_firing_end(runtime, count);
    }
    add("timer_fire", "timer: fire, 100,000 within 10 s", "ns", values, rounds);
}

/* Timers, while others are armed. */
struct crowd {
    int64_t armed;
    const char *wheel_key, *wheel_text, *sleep_key, *sleep_text;
};

static const struct crowd crowds[] = {
    {0, "timer_0", "wheel: arm and disarm, no others armed", "sleep_cancel_0",
     "sleep: start and cancel, no others armed"},
    {100000, "timer_100k", "wheel: arm and disarm, 100,000 armed", "sleep_cancel_100k",
     "sleep: start and cancel, 100,000 armed"},
    {MICRO_CROWD_MAX, "timer_1m", "wheel: arm and disarm, 1,000,000 armed", "sleep_cancel_1m",
     "sleep: start and cancel, 1,000,000 armed"},
};

static void measure_timers(const struct crowd *crowd)
{
    if (is_wanted(crowd->wheel_key) || is_wanted(crowd->sleep_key))
        micro_crowd_arm(runtime, crowd->armed);
    measure(crowd->wheel_key, crowd->wheel_text, 1000000, micro_arm_and_cancel);
    measure(crowd->sleep_key, crowd->sleep_text, 1000000, micro_sleep_and_cancel);
}

static void measure_steps(void)
{
    measure("await", "await a future that is ready", 1000000, micro_await);
    measure("yield", "yield, 1000 tasks: a poll each", 1000000, micro_yield);
    measure("yield_alone", "yield, 1 task: a whole turn of the loop each", 1000000,
            micro_yield_alone);
    measure("spawn_join", "spawn and join, 1000 at a time", 1000000, micro_spawn);
    measure("spawn_join_alone", "spawn and join, one at a time", 1000000, micro_spawn_alone);
    measure("switch", "wake another task and wait, by a notification", 1000000, micro_wake);
    measure("oneshot", "oneshot: make, send, receive", 1000000, micro_oneshot);
    measure("mpsc", "channel of 256: send and receive, a message", 1000000, micro_mpsc);
    measure("channel_switch", "channels of 1: a message, a task switch", 1000000, micro_switch);
    for (int i = 0; i < (int)(sizeof crowds / sizeof *crowds); i++)
        measure_timers(&crowds[i]);
    micro_crowd_disarm(runtime);
    measure_firing(100000);
    /* Most of a round is waiting, which is nobody's cost. */
    measure_by(CLOCK_PROCESS_CPUTIME_ID, "sleep",
               "a task that sleeps: spawn, arm, fire, join; CPU time", MICRO_SLEEPERS_MAX,
               micro_sleep_and_fire);
}

static int measure_memory(void)
{
    double bytes;
    int error;

    if (!is_wanted("sleeping_task"))
        return 0;
    error = micro_sleeping_task_bytes(MICRO_CROWD_MAX, &bytes);
    if (!error)
        add("sleeping_task", "a sleeping task, of 1,000,000", "bytes", &bytes, 1);
    return error;
}

/* Measures what is wanted; returns 0 or -errno of a runtime that was refused. */
static int measure_all(void)
{
    int error = rill_runtime_create(&runtime, NULL);

    if (error)
        return error;
    measure_steps();
    rill_runtime_destroy(runtime);
    return measure_memory();
}

static void print_json(void)
{
    struct json json;

    json_begin(&json, stdout);
    json_integer(&json, "rounds", rounds);
    for (int i = 0; i < result_count; i++) {
        json_open_object(&json, results[i].key);
        json_string(&json, "unit", results[i].unit);
        json_double(&json, "median", results[i].median, 2);
        json_double(&json, "min", results[i].min, 2);
        json_double(&json, "max", results[i].max, 2);
        json_close(&json);
    }
    json_end(&json);
}

static void print_table(void)
{
    printf("%-50s %10s %10s %10s\n", "", "median", "min", "max");
    for (int i = 0; i < result_count; i++)
        printf("%-50s %10.1f %10.1f %10.1f %s\n", results[i].text, results[i].median,
               results[i].min, results[i].max, results[i].unit);
    printf("%" PRId64 " rounds each, in one thread, without input or output.\n", rounds);
}

int main(int argc, char **argv)
{
    bool json = false;
    int error;
    const struct cli_option options[] = {
        CLI_INTEGER('r', "rounds", &rounds, 1, ROUNDS_MAX, "rounds of each measurement"),
        CLI_STRING(0, "only", &only, "KEY", "the one to measure, by its key in the JSON object"),
        CLI_INTEGER(0, "count", &only_count, 0, 100000,
                    "operations in a round, with --only; 0 as many as usual"),
        CLI_FLAG('j', "json", &json, "print the result as one JSON object"),
        CLI_END,
    };
    const struct cli cli = {
        .program = "rill-micro",
        .summary = "Measures what the runtime itself costs, without input or output.",
        .options = options,
    };

    cli_parse(&cli, argc, argv);
    if (only_count > 0 && !only)
        cli_fail(&cli, "--count: want --only too: each measurement has its own count");
    if (!micro_timers_open()) {
        fprintf(stderr, "rill-micro: no memory for %d timers\n", MICRO_CROWD_MAX);
        return 1;
    }
    error = measure_all();
    micro_timers_close();
    if (error) {
        fprintf(stderr, "rill-micro: %s\n", rill_runtime_explain(error));
        return 1;
    }
    if (result_count == 0)
        cli_fail(&cli, "--only %s: there is no such measurement, --json shows their keys", only);
    if (json)
        print_json();
    else
        print_table();
    return 0;
}
