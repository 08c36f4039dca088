/* SPDX-License-Identifier: Apache-2.0 */
/* micro.c - rill-micro: what the runtime itself costs, without any input or output. */
#include "bench/cli.h"
#include "bench/json.h"
#include "bench/micro_channels.h"
#include "io/runtime.h"
#include "runtime/notify.h"
#include "runtime/sleep.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    ROUNDS_MAX = 101,
    BATCH = 1000,        /* tasks at a time, where there are many */
    CROWD_MAX = 1000000, /* timers or tasks in the large cases */
};

static double now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Everything a benchmark works with: one block, so that memory plays no part. */
static struct {
    struct rill_runtime *runtime;
    struct rill_executor *executor;
    int64_t count; /* operations in a round */
} micro;

/* ---- yield ---- */

struct yielder {
    struct rill_task task;
    int64_t left;
};

static struct yielder yielders[BATCH];

static enum rill_poll yielder_poll(struct rill_future *self, struct rill_task *task)
{
    struct yielder *yielder = rill_container_of(self, struct yielder, task.future);

    RILL_BEGIN();
    while (yielder->left-- > 0)
        RILL_YIELD();
    RILL_END();
}

/* Runs until no task is left. */
static void run_all(void)
{
    while (micro.executor->tasks_alive > 0) {
        rill_executor_run(micro.executor);
        if (micro.executor->tasks_alive > 0)
            (void)rill_executor_wait(micro.executor, RILL_NO_WAIT);
    }
}

static void yield_with(int64_t tasks)
{
    for (int64_t i = 0; i < tasks; i++) {
        yielders[i].left = micro.count / tasks;
        rill_task_spawn(&yielders[i].task, yielder_poll);
        rill_task_detach(&yielders[i].task);
    }
    run_all();
}

static void yield_alone(void)
{
    yield_with(1);
}

static void yield_many(void)
{
    yield_with(BATCH);
}

/* ---- spawn and join ---- */

struct child {
    struct rill_task task;
    struct rill_join join;
};

static enum rill_poll child_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_RETURN(1);
    RILL_END();
}

struct parent {
    struct rill_future future;
    struct child *children[BATCH];
    int64_t batch, left, i;
};

static enum rill_poll parent_poll(struct rill_future *self, struct rill_task *task)
{
    struct parent *parent = rill_container_of(self, struct parent, future);

    RILL_BEGIN();
    for (; parent->left > 0; parent->left -= parent->batch) {
        for (int64_t i = 0; i < parent->batch; i++) {
            parent->children[i] = rill_task_alloc(sizeof(struct child));
            rill_task_spawn(&parent->children[i]->task, child_poll);
        }
        for (parent->i = 0; parent->i < parent->batch; parent->i++)
            RILL_AWAIT(rill_task_join(&parent->children[parent->i]->join,
                                      &parent->children[parent->i]->task));
    }
    RILL_END();
}

static void spawn_with(int64_t batch)
{
    static struct parent parent;

    parent.batch = batch;
    parent.left = micro.count;
    rill_block_on(micro.runtime, rill_future_init(&parent.future, parent_poll));
}

static void spawn_alone(void)
{
    spawn_with(1);
}

static void spawn_many(void)
{
    spawn_with(BATCH);
}

/* ---- wake ---- */

struct waiter {
    struct rill_task task;
    struct rill_notify *notify;
    struct rill_wait wait;
    int64_t left;
};

static enum rill_poll waiter_poll(struct rill_future *self, struct rill_task *task)
{
    struct waiter *waiter = rill_container_of(self, struct waiter, task.future);

    RILL_BEGIN();
    while (waiter->left-- > 0) {
        rill_notify_one(waiter->notify + 1);
        RILL_AWAIT(rill_notify_wait(waiter->notify, &waiter->wait));
    }
    rill_notify_one(waiter->notify + 1);
    RILL_END();
}

static enum rill_poll answerer_poll(struct rill_future *self, struct rill_task *task)
{
    struct waiter *waiter = rill_container_of(self, struct waiter, task.future);

    RILL_BEGIN();
    while (waiter->left-- > 0) {
        RILL_AWAIT(rill_notify_wait(waiter->notify + 1, &waiter->wait));
        rill_notify_one(waiter->notify);
    }
    RILL_END();
}

/* Two tasks wake each other in turn. */
static void ping_pong(void)
{
    static struct rill_notify notify[2];
    static struct waiter a, b;

    rill_notify_init(&notify[0]);
    rill_notify_init(&notify[1]);
    a.notify = b.notify = notify;
    a.left = b.left = micro.count / 2;
    rill_task_spawn(&b.task, answerer_poll);
    rill_task_spawn(&a.task, waiter_poll);
    run_all();
}

/* ---- channels ---- */

static void oneshot(void)
{
    micro_oneshot(micro.runtime, micro.count);
}

static void mpsc(void)
{
    micro_mpsc(micro.runtime, micro.count);
}

static void channel_switch(void)
{
    micro_switch(micro.runtime, micro.count);
}

/* ---- timers ---- */

static struct rill_timer *crowd; /* CROWD_MAX timers that stay armed */
static int64_t crowd_armed;

static uint64_t random_number(void)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
    return state >> 33;
}

static void crowd_arm(int64_t count)
{
    for (; crowd_armed < count; crowd_armed++) {
        crowd[crowd_armed].deadline_ns =
            rill_now() + 1000 * RILL_SECOND + (int64_t)(random_number() % (600 * RILL_SECOND));
        rill_wheel_arm(&micro.executor->wheel, &crowd[crowd_armed]);
    }
}

static void crowd_disarm(void)
{
    while (crowd_armed > 0)
        rill_wheel_disarm(&micro.executor->wheel, &crowd[--crowd_armed]);
}

/* As a timeout is used: armed, and cancelled before it fires. */
static void arm_and_cancel(void)
{
    struct rill_wheel *wheel = &micro.executor->wheel;
    struct rill_timer timer = {0};
    int64_t now = rill_now();

    for (int64_t i = 0; i < micro.count; i++) {
        timer.deadline_ns = now + 5 * RILL_SECOND + (i & 1023) * RILL_MILLISECOND;
        rill_wheel_arm(wheel, &timer);
        rill_wheel_disarm(wheel, &timer);
    }
}

/* ---- firing ---- */

struct sleeper {
    struct rill_task task;
    struct rill_sleep sleep;
};

static struct sleeper *sleepers;

static enum rill_poll sleeper_poll(struct rill_future *self, struct rill_task *task)
{
    struct sleeper *sleeper = rill_container_of(self, struct sleeper, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&sleeper->sleep, sleeper->sleep.timer.deadline_ns));
    RILL_END();
}

/* Tasks that sleep for up to 10 ms: spawning, arming, firing, waking and ending. */
static void sleep_and_fire(void)
{
    for (int64_t i = 0; i < micro.count; i++) {
        struct sleeper *sleeper = &sleepers[i];

        sleeper->sleep.timer.deadline_ns = (int64_t)(random_number() % (10 * RILL_MILLISECOND));
        rill_task_spawn(&sleeper->task, sleeper_poll);
        rill_task_detach(&sleeper->task);
    }
    run_all();
}

/* Firing alone: the wheel is moved over timers that were armed before. */
static double fire_cost(int64_t count)
{
    struct rill_wheel *wheel = malloc(sizeof *wheel);
    struct sleeper idle = {0};
    double begin;

    if (!wheel)
        return 0;
    rill_wheel_init(wheel, 0);
    rill_task_spawn(&idle.task, sleeper_poll); /* woken again and again, polled once */
    for (int64_t i = 0; i < count; i++) {
        crowd[i] = (struct rill_timer){
            .deadline_ns = (int64_t)(random_number() % (10 * RILL_SECOND)), .task = &idle.task};
        rill_wheel_arm(wheel, &crowd[i]);
    }
    begin = now_ns();
    for (int64_t ms = 0; ms <= 10000; ms++)
        rill_wheel_advance(wheel, ms * RILL_MILLISECOND + RILL_MILLISECOND);
    begin = now_ns() - begin;
    run_all();
    memset(crowd, 0, (size_t)count * sizeof *crowd);
    free(wheel);
    return begin / (double)count;
}

/* ---- memory ---- */

/* Bytes of memory for each of count tasks that sleep, everything included. */
static double sleeping_task_bytes(int64_t count)
{
    struct mallinfo2 before = mallinfo2(), after;
    struct rill_pool *pool = &micro.executor->pool;
    size_t in_use = pool->in_use;
    double bytes;

    for (int64_t i = 0; i < count; i++) {
        struct sleeper *sleeper = rill_task_alloc(sizeof *sleeper);

        if (!sleeper)
            break;
        sleeper->sleep.timer.deadline_ns = RILL_SECOND * 1000;
        rill_task_spawn(&sleeper->task, sleeper_poll);
        rill_task_detach(&sleeper->task);
    }
    rill_executor_run(micro.executor);
    after = mallinfo2();
    bytes = (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) /
            (double)(pool->in_use - in_use);
    rill_executor_cancel_all(micro.executor, RILL_CANCELLED);
    run_all();
    return bytes;
}

/* ---- the program ---- */

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

static void add(const char *key, const char *text, const char *unit, double *values, int64_t count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    results[result_count++] =
        (struct result){key, text, unit, values[count / 2], values[0], values[count - 1]};
}

/* Times run, which does micro.count operations, over several rounds after one that
 * does not count. */
static void measure(const char *key, const char *text, int64_t count, void (*run)(void))
{
    double values[ROUNDS_MAX];

    micro.count = count;
    run();
    for (int64_t i = 0; i < rounds; i++) {
        double begin = now_ns();

        run();
        values[i] = (now_ns() - begin) / (double)count;
    }
    add(key, text, "ns", values, rounds);
}

static void measure_all(void)
{
    double values[ROUNDS_MAX];

    measure("yield", "yield, 1000 tasks: a poll each", 1000000, yield_many);
    measure("yield_alone", "yield, 1 task: a whole turn of the loop each", 1000000, yield_alone);
    measure("spawn_join", "spawn and join, 1000 at a time", 1000000, spawn_many);
    measure("spawn_join_alone", "spawn and join, one at a time", 1000000, spawn_alone);
    measure("switch", "wake another task and wait, by a notification", 1000000, ping_pong);
    measure("oneshot", "oneshot: make, send, receive", 1000000, oneshot);
    measure("mpsc", "channel of 256: send and receive, a message", 1000000, mpsc);
    measure("channel_switch", "channels of 1: a message, a task switch", 1000000, channel_switch);
    measure("timer_0", "timer: arm and cancel, no others armed", 1000000, arm_and_cancel);
    crowd_arm(100000);
    measure("timer_100k", "timer: arm and cancel, 100,000 armed", 1000000, arm_and_cancel);
    crowd_arm(CROWD_MAX);
    measure("timer_1m", "timer: arm and cancel, 1,000,000 armed", 1000000, arm_and_cancel);
    crowd_disarm();
    for (int64_t i = 0; i < rounds; i++)
        values[i] = fire_cost(100000);
    add("timer_fire", "timer: fire, 100,000 within 10 s", "ns", values, rounds);
    measure("sleep", "a task that sleeps: spawn, arm, fire, end", 100000, sleep_and_fire);
    values[0] = sleeping_task_bytes(CROWD_MAX);
    add("sleeping_task", "a sleeping task, of 1,000,000", "bytes", values, 1);
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
        CLI_FLAG('j', "json", &json, "print the result as one JSON object"),
        CLI_END,
    };
    const struct cli cli = {
        .program = "rill-micro",
        .summary = "Measures what the runtime itself costs, without input or output.",
        .options = options,
    };

    cli_parse(&cli, argc, argv);
    error = rill_runtime_create(&micro.runtime, NULL);
    if (error) {
        fprintf(stderr, "rill-micro: %s\n", rill_runtime_explain(error));
        return 1;
    }
    micro.executor = &micro.runtime->executor;
    crowd = calloc(CROWD_MAX, sizeof *crowd);
    sleepers = calloc(100000, sizeof *sleepers);
    if (crowd && sleepers) {
        measure_all();
        if (json)
            print_json();
        else
            print_table();
    } else {
        fprintf(stderr, "rill-micro: no memory for %d timers\n", CROWD_MAX);
        error = 1;
    }
    free(sleepers);
    free(crowd);
    rill_runtime_destroy(micro.runtime);
    return error;
}
