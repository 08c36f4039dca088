/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel_wait.c - cancelled waits for time, tasks, notifications, descriptors and signals. */
#include "tests/cancel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* ---- time, tasks, notifications ---- */

static struct rill_future *sleep_a_while(void)
{
    return rill_sleep(&my.sleep, RILL_MILLISECOND);
}

static void after_sleep(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
}

static struct sleeper {
    struct rill_task task;
    struct rill_sleep sleep;
    struct rill_join join;
} sleeper;

static enum rill_poll sleeper_poll(struct rill_future *self, struct rill_task *task)
{
    struct sleeper *me = rill_container_of(self, struct sleeper, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&me->sleep, RILL_MILLISECOND));
    expect_eq(me->sleep.result, 0);
    my.notified = rill_notify_one(&my.notify);
    if (my.fds[0] && fixture.sim)
        sim_counter_add(fixture.sim, my.fds[0], 1);
    else if (my.fds[0])
        expect_eq(write(my.fds[1], "x", 1), 1);
    RILL_RETURN(42);
    RILL_END();
}

static void start_sleeper(void)
{
    rill_notify_init(&my.notify);
    rill_task_spawn(&sleeper.task, sleeper_poll);
}

static struct rill_future *join_sleeper(void)
{
    return rill_task_join(&sleeper.task, &my.join);
}

static void after_join(int64_t result)
{
    expect(result == 42 || result == -ECANCELED);
    if (result < 0)
        expect_eq(await(rill_task_join(&sleeper.task, &sleeper.join)), 42);
}

static struct rill_future *wait_for_notification(void)
{
    return rill_notify_wait(&my.notify, &my.wait);
}

static void after_notification(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    expect_eq(await(rill_task_join(&sleeper.task, &sleeper.join)), 42);
    expect(my.notified || result == -ECANCELED); /* a cancelled one would have passed it on */
}

/* ---- descriptors and signals ---- */

static void start_adder(void)
{
    if (fixture.sim)
        my.fds[0] = sim_counter_create(fixture.sim);
    else
        expect_eq(pipe(my.fds), 0);
    start_sleeper();
}

static struct rill_future *wait_for_fd(void)
{
    return rill_fd_wait(my.fds[0], &my.op, POLLIN);
}

static void after_fd_wait(int64_t result)
{
    struct rill_kernel *kernel = fixture.runtime->reactor.kernel;

    expect(result == -ECANCELED || (result > 0 && result & POLLIN));
    expect(await(rill_fd_wait(my.fds[0], &my.op, POLLIN)) & POLLIN);
    expect_eq(await(rill_task_join(&sleeper.task, &sleeper.join)), 42);
    expect_eq(kernel->ops->close(kernel, my.fds[0]), 0);
    if (!fixture.sim)
        close(my.fds[1]);
}

static void start_signal(void)
{
    expect_eq(rill_signals_open(&my.signals, (const int[]){SIGUSR1}, 1), 0);
    raise(SIGUSR1);
}

static struct rill_future *next_signal(void)
{
    return rill_signals_next(&my.signals);
}

static void after_signal(int64_t result)
{
    expect(result == SIGUSR1 || result == -ECANCELED);
    if (result < 0)
        expect_eq(await(rill_signals_next(&my.signals)), SIGUSR1);
    rill_signals_close(&my.signals);
}

static void reset(void)
{
    memset(&sleeper, 0, sizeof sleeper);
}

static const struct cancel_operation operations[] = {
    {"sleep", IN_BOTH, start_nothing, sleep_a_while, after_sleep, false},
    {"join", IN_BOTH, start_sleeper, join_sleeper, after_join, false},
    {"notify", IN_BOTH, start_sleeper, wait_for_notification, after_notification, false},
    {"fd_wait", IN_BOTH, start_adder, wait_for_fd, after_fd_wait, false},
    {"signals_next", IN_REAL, start_signal, next_signal, after_signal, false},
};

int main(void)
{
    return cancel_main("cancel_wait", operations, sizeof operations / sizeof *operations, reset,
                       NULL);
}
