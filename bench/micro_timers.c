/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/micro_timers.h"

#include "bench/micro_tasks.h"
#include "runtime/panic.h"
#include "runtime/sleep.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sleeper {
    struct rill_task task;
    struct rill_sleep sleep;
};

static struct rill_timer *crowd; /* MICRO_CROWD_MAX timers that stay armed */
static int64_t crowd_armed;
static struct rill_wheel *firing;

bool micro_timers_open(void)
{
    crowd = calloc(MICRO_CROWD_MAX, sizeof *crowd);
    return crowd;
}

void micro_timers_close(void)
{
    free(crowd);
}

/* ---- arming and cancelling ---- */

static uint64_t random_number(void)
{
    static uint64_t state = 1;

    state = state * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX generator */
    return state >> 33;
}

void micro_crowd_arm(struct rill_runtime *runtime, int64_t count)
{
    for (; crowd_armed < count; crowd_armed++) {
        crowd[crowd_armed].deadline_ns =
            rill_now() + 1000 * RILL_SECOND + (int64_t)(random_number() % (600 * RILL_SECOND));
        rill_wheel_arm(&runtime->executor.wheel, &crowd[crowd_armed]);
    }
}

void micro_crowd_disarm(struct rill_runtime *runtime)
{
    while (crowd_armed > 0)
        rill_wheel_disarm(&runtime->executor.wheel, &crowd[--crowd_armed]);
}

void micro_arm_and_cancel(struct rill_runtime *runtime, int64_t count)
{
    struct rill_wheel *wheel = &runtime->executor.wheel;
    struct rill_timer timer = {0};
    int64_t now = rill_now();

    for (int64_t i = 0; i < count; i++) {
        timer.deadline_ns = now + 5 * RILL_SECOND + (i & 1023) * RILL_MILLISECOND;
        rill_wheel_arm(wheel, &timer);
        rill_wheel_disarm(wheel, &timer);
    }
}

struct impatient {
    struct rill_future future;
    struct rill_sleep sleep;
    int64_t left;
};

static enum rill_poll impatient_poll(struct rill_future *self, struct rill_task *task)
{
    struct impatient *impatient = rill_container_of(self, struct impatient, future);

    RILL_BEGIN();
    while (impatient->left-- > 0) {
        struct rill_future *sleep = rill_sleep(
            &impatient->sleep, 5 * RILL_SECOND + (impatient->left & 1023) * RILL_MILLISECOND);

        if (sleep->poll(sleep, task) == RILL_PENDING)
            (void)rill_poll_because(sleep, task, RILL_CANCELLED);
    }
    RILL_END();
}

void micro_sleep_and_cancel(struct rill_runtime *runtime, int64_t count)
{
    static struct impatient impatient;

    impatient.left = count;
    rill_block_on(runtime, rill_future_init(&impatient.future, impatient_poll));
}

/* ---- tasks that sleep ---- */

static enum rill_poll sleeper_poll(struct rill_future *self, struct rill_task *task)
{
    struct sleeper *sleeper = rill_container_of(self, struct sleeper, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&sleeper->sleep, sleeper->sleep.timer.deadline_ns));
    RILL_END();
}

struct dormitory {
    struct rill_future future;
    struct rill_join join;
    struct sleeper *sleepers[MICRO_SLEEPERS_MAX];
    int64_t count, i;
};

static enum rill_poll dormitory_poll(struct rill_future *self, struct rill_task *task)
{
    struct dormitory *dormitory = rill_container_of(self, struct dormitory, future);

    RILL_BEGIN();
    for (int64_t i = 0; i < dormitory->count; i++) {
        struct sleeper *sleeper = rill_task_alloc(sizeof *sleeper);

        sleeper->sleep.timer.deadline_ns = (int64_t)(random_number() % (10 * RILL_MILLISECOND));
        rill_task_spawn(&sleeper->task, sleeper_poll);
        dormitory->sleepers[i] = sleeper;
    }
    for (dormitory->i = 0; dormitory->i < dormitory->count; dormitory->i++)
        RILL_AWAIT(rill_task_join(&dormitory->sleepers[dormitory->i]->task, &dormitory->join));
    RILL_END();
}

void micro_sleep_and_fire(struct rill_runtime *runtime, int64_t count)
{
    static struct dormitory dormitory;

    dormitory.count = count;
    rill_block_on(runtime, rill_future_init(&dormitory.future, dormitory_poll));
}

/* ---- firing alone ---- */

static struct sleeper idle; /* the task of all timers: woken again and again, polled once */

bool micro_firing_arm(int64_t count)
{
    firing = malloc(sizeof *firing);
    if (!firing)
        return false;
    rill_wheel_init(firing, 0);
    idle = (struct sleeper){0};
    rill_task_spawn(&idle.task, sleeper_poll);
    for (int64_t i = 0; i < count; i++) {
        crowd[i] = (struct rill_timer){
            .deadline_ns = (int64_t)(random_number() % (10 * RILL_SECOND)), .task = &idle.task};
        rill_wheel_arm(firing, &crowd[i]);
    }
    return true;
}

void micro_firing_run(void)
{
    for (int64_t ms = 0; ms <= 10000; ms++)
        rill_wheel_advance(firing, ms * RILL_MILLISECOND + RILL_MILLISECOND);
}

void micro_firing_end(struct rill_runtime *runtime, int64_t count)
{
    micro_run_all(runtime);
    memset(crowd, 0, (size_t)count * sizeof *crowd);
    free(firing);
    firing = NULL;
}

/* ---- memory ---- */

/* As the other programs count it: what the system sees, not what malloc gave. */
static double resident_bytes(void)
{
    char line[128]; /* the pages of the address space, those that are resident, and more */
    FILE *file = fopen("/proc/self/statm", "r");
    bool is_read = file && fgets(line, sizeof line, file);
    char *resident;

    rill_check(is_read, "/proc/self/statm cannot be read");
    fclose(file);
    (void)strtol(line, &resident, 10);
    return (double)strtol(resident, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

int micro_sleeping_task_bytes(int64_t count, double *bytes)
{
    double before;
    struct rill_runtime *runtime;
    struct rill_executor *executor;
    int error = rill_runtime_create(&runtime, NULL);

    if (error)
        return error;
    executor = &runtime->executor;
    malloc_trim(0); /* what is free but resident would be used again, and not be seen */
    before = resident_bytes();
    for (int64_t i = 0; i < count; i++) {
        struct sleeper *sleeper = rill_task_alloc(sizeof *sleeper);

        if (!sleeper)
            break;
        sleeper->sleep.timer.deadline_ns = RILL_SECOND * 1000;
        rill_task_spawn(&sleeper->task, sleeper_poll);
        rill_task_detach(&sleeper->task);
    }
    rill_executor_run(executor);
    *bytes = (resident_bytes() - before) / (double)executor->pool.in_use;
    rill_executor_cancel_all(executor, RILL_CANCELLED);
    micro_run_all(runtime);
    rill_runtime_destroy(runtime);
    return 0;
}
