/* SPDX-License-Identifier: Apache-2.0 */
/* test_executor.c - turns are fair and bounded, and wait exactly as long as they may. */
#include "runtime/executor.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct latch latch;
static struct runner runner;
static struct rill_sleep pause_;

/* A task that yields in each poll until it is stopped, and numbers its polls
 * together with its siblings. */
struct spinner {
    struct rill_task task;
    struct rill_task *wakes; /* in its next poll, or NULL */
    unsigned polls, last;    /* of its polls, among all */
    bool stopped;
};

static unsigned polls_of_all;

static enum rill_poll spinner_poll(struct rill_future *self, struct rill_task *task)
{
    struct spinner *spinner = rill_container_of(self, struct spinner, task.future);

    spinner->polls++;
    spinner->last = ++polls_of_all;
    if (spinner->stopped)
        return RILL_READY;
    if (spinner->wakes)
        rill_task_wake(spinner->wakes);
    rill_task_wake(task);
    return RILL_PENDING;
}

static void stop(struct spinner *spinners, size_t count)
{
    for (size_t i = 0; i < count; i++)
        spinners[i].stopped = true;
    rig_settle();
}

START_TEST(ready_tasks_are_polled_in_the_order_in_which_they_became_ready)
{
    enum { COUNT = 10 };
    struct spinner spinners[COUNT] = {{.polls = 0}};

    for (int i = 0; i < COUNT; i++)
        rill_task_spawn(&spinners[i].task, spinner_poll);
    for (unsigned round = 0; round < 20; round++) {
        rig_turn();
        for (unsigned i = 0; i < COUNT; i++) {
            ck_assert_uint_eq(spinners[i].polls, round + 1);
            ck_assert_uint_eq(spinners[i].last, round * COUNT + i + 1);
        }
    }
    stop(spinners, COUNT);
}
END_TEST

START_TEST(what_a_task_wakes_is_polled_in_the_same_turn_if_it_is_a_short_one)
{
    struct spinner spinner = {.wakes = &runner.task};

    rig.executor.polls_soon = RILL_TURN_POLLS_SOON;
    runner_start(&runner, latch_wait(&latch), NULL);
    rig_settle();
    rill_task_spawn(&spinner.task, spinner_poll);
    rig_turn();
    ck_assert_uint_eq(spinner.polls, 1);
    ck_assert_uint_eq(runner.polls, 2);
    rig_turn();
    ck_assert_uint_eq(spinner.polls, 2);
    ck_assert_uint_eq(runner.polls, 3);
    stop(&spinner, 1);
    latch_open(&latch, 0);
    rig_settle();
}
END_TEST

START_TEST(a_long_turn_polls_only_the_tasks_that_were_ready_when_it_began)
{
    struct spinner spinners[RILL_TURN_POLLS_SOON] = {{.wakes = &runner.task}};

    rig.executor.polls_soon = RILL_TURN_POLLS_SOON;
    runner_start(&runner, latch_wait(&latch), NULL);
    rig_settle();
    for (size_t i = 0; i < RIG_COUNT(spinners); i++)
        rill_task_spawn(&spinners[i].task, spinner_poll);
    rig_turn();
    ck_assert_uint_eq(runner.polls, 1);
    rig_turn();
    ck_assert_uint_eq(runner.polls, 2);
    stop(spinners, RIG_COUNT(spinners));
    latch_open(&latch, 0);
    rig_settle();
}
END_TEST

/* Two of them wake one another for ever. */
struct player {
    struct rill_task task;
    struct player *other;
    unsigned polls;
    bool stopped;
};

static enum rill_poll player_poll(struct rill_future *self, struct rill_task *task)
{
    struct player *player = rill_container_of(self, struct player, task.future);

    (void)task;
    player->polls++;
    rill_task_wake(&player->other->task);
    return player->stopped ? RILL_READY : RILL_PENDING;
}

START_TEST(tasks_that_wake_one_another_for_ever_starve_neither_others_nor_the_driver)
{
    struct player players[2] = {{.other = &players[1]}, {.other = &players[0]}};
    struct spinner spinner = {.polls = 0};

    rig.executor.polls_soon = RILL_TURN_POLLS_SOON;
    rill_task_spawn(&players[0].task, player_poll);
    rill_task_spawn(&players[1].task, player_poll);
    rill_task_spawn(&spinner.task, spinner_poll);
    for (unsigned turn = 1; turn <= 10; turn++) {
        rig_turn();
        ck_assert_uint_eq(rig.driver.turns, turn);
        ck_assert_int_eq(rig.driver.until_ns, RILL_NO_WAIT);
        ck_assert_uint_eq(spinner.polls, turn);
        ck_assert_uint_eq(players[0].polls + players[1].polls + turn, turn * RILL_TURN_POLLS_SOON);
    }
    players[0].stopped = true;
    players[1].stopped = true;
    stop(&spinner, 1);
    ck_assert(rill_task_is_over(&players[0].task) && rill_task_is_over(&players[1].task));
}
END_TEST

START_TEST(a_turn_polls_no_more_than_its_bound)
{
    enum { COUNT = 2 * RILL_TURN_POLLS_MAX + 100 };
    static struct spinner spinners[COUNT];

    for (int i = 0; i < COUNT; i++) {
        spinners[i].stopped = true;
        rill_task_spawn(&spinners[i].task, spinner_poll);
    }
    rig_turn();
    ck_assert_uint_eq(polls_of_all, RILL_TURN_POLLS_MAX);
    ck_assert_uint_eq(rig.executor.polls, RILL_TURN_POLLS_MAX);
    ck_assert_int_eq(rig.driver.until_ns, RILL_NO_WAIT);
    rig_turn();
    ck_assert_uint_eq(polls_of_all, 2 * RILL_TURN_POLLS_MAX);
    rig_turn();
    ck_assert_uint_eq(polls_of_all, COUNT);
    ck_assert_uint_eq(rig.executor.turns, 3);
    ck_assert_uint_eq(rig.driver.turns, 3);
    for (int i = 0; i < COUNT; i++)
        ck_assert_uint_eq(spinners[i].last, (unsigned)i + 1);
}
END_TEST

static void open_latch(void *result)
{
    latch_open(&latch, *(int *)result);
}

START_TEST(a_task_that_yields_for_ever_starves_neither_timers_nor_the_driver)
{
    struct spinner spinner = {.polls = 0};
    struct runner sleeper = {.polls = 0};
    int result = 6;

    rill_task_spawn(&spinner.task, spinner_poll);
    runner_start(&sleeper, rill_sleep(&pause_, RILL_MILLISECOND), NULL);
    runner_start(&runner, latch_wait(&latch), NULL);
    manual_driver_call_at(&rig.driver, rig.driver.now_ns + RILL_MILLISECOND, open_latch, &result);
    for (int i = 0; i < 50; i++) {
        rig_turn();
        ck_assert_int_eq(rig.driver.until_ns, RILL_NO_WAIT);
        rig.driver.now_ns += 30 * RILL_MICROSECOND;
    }
    ck_assert(rill_task_is_over(&sleeper.task));
    ck_assert_int_eq(runner.task.future.result, 6);
    ck_assert_uint_eq(rig.driver.turns, 50);
    ck_assert_uint_eq(rig.driver.waits, 0);
    stop(&spinner, 1);
}
END_TEST

/* A future that always finds its result there, and pays for it. */
static enum rill_poll eager_poll(struct rill_future *self, struct rill_task *task)
{
    self->result = 1;
    return rill_budget_spend(&rig.executor, task) ? RILL_READY : RILL_PENDING;
}

struct greedy {
    struct rill_task task;
    struct rill_future eager;
    unsigned left, polls;
};

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    struct greedy *greedy = rill_container_of(self, struct greedy, task.future);

    greedy->polls++;
    RILL_BEGIN();
    for (; greedy->left > 0; greedy->left--)
        RILL_AWAIT(rill_future_init(&greedy->eager, eager_poll));
    RILL_END();
}

START_TEST(a_task_whose_futures_are_always_ready_yields_after_its_budget)
{
    struct greedy greedy = {.left = 10 * RILL_TASK_BUDGET};
    struct spinner spinner = {.polls = 0};

    rill_task_spawn(&greedy.task, greedy_poll);
    rill_task_spawn(&spinner.task, spinner_poll);
    for (unsigned i = 1; i <= 10; i++) {
        rig_turn();
        ck_assert_uint_eq(greedy.left, (10 - i) * RILL_TASK_BUDGET);
        ck_assert_uint_eq(greedy.polls, i);
        ck_assert_uint_eq(spinner.polls, i);
    }
    ck_assert(rill_task_is_over(&greedy.task));
    stop(&spinner, 1);
}
END_TEST

static enum rill_poll sleepy_poll(struct rill_future *self, struct rill_task *task)
{
    struct greedy *greedy = rill_container_of(self, struct greedy, task.future);

    greedy->polls++;
    RILL_BEGIN();
    for (; greedy->left > 0; greedy->left--)
        RILL_AWAIT(rill_sleep(&pause_, 0));
    RILL_END();
}

START_TEST(a_task_that_sleeps_for_0_yields_after_its_budget_too)
{
    struct greedy greedy = {.left = 3 * RILL_TASK_BUDGET};

    rill_task_spawn(&greedy.task, sleepy_poll);
    for (unsigned i = 1; i <= 3; i++) {
        rig_turn();
        ck_assert_uint_eq(greedy.left, (3 - i) * RILL_TASK_BUDGET);
    }
    ck_assert(rill_task_is_over(&greedy.task));
    ck_assert_uint_eq(rig.driver.waits, 0);
}
END_TEST

START_TEST(blocking_on_a_ready_future_never_comes_to_the_driver)
{
    latch_wait(&latch);
    latch_open(&latch, 55);
    ck_assert_int_eq(rill_executor_block_on(&rig.executor, &latch.future), 55);
    ck_assert_uint_eq(rig.driver.turns, 0);
}
END_TEST

START_TEST(blocking_returns_in_the_turn_in_which_its_future_is_ready)
{
    int result = 56;

    manual_driver_call_at(&rig.driver, rig.driver.now_ns + 5, open_latch, &result);
    ck_assert_int_eq(rill_executor_block_on(&rig.executor, latch_wait(&latch)), 56);
    ck_assert_uint_eq(rig.driver.turns, 1);
    ck_assert_uint_eq(rig.driver.waits, 1);
    ck_assert_uint_eq(rig.executor.turns, 2);
}
END_TEST

START_TEST(blocking_runs_the_other_tasks_and_may_leave_them_alive)
{
    struct spinner spinner = {.polls = 0};
    struct rill_sleep sleep;

    rill_task_spawn(&spinner.task, spinner_poll);
    runner_start(&runner, rill_sleep(&pause_, RILL_SECOND), NULL);
    rig.driver.now_ns += 1;
    ck_assert_int_eq(rill_executor_block_on(&rig.executor, rill_sleep(&sleep, 0)), 0);
    ck_assert_uint_eq(spinner.polls, 1);
    ck_assert_uint_eq(rig.executor.tasks_alive, 2);
    stop(&spinner, 1);
    ck_assert_int_eq(rig_finish(&runner.task), 0);
}
END_TEST

/* The thread may have done something else meanwhile. */
START_TEST(blocking_a_second_time_reads_the_clock_anew)
{
    struct rill_sleep sleep;
    int64_t begin_ns;

    ck_assert_int_eq(rill_executor_block_on(&rig.executor, rill_sleep(&sleep, 0)), 0);
    rig.driver.now_ns += 10 * RILL_SECOND;
    begin_ns = rig.driver.now_ns;
    ck_assert_int_eq(rill_executor_block_on(&rig.executor, rill_sleep(&sleep, RILL_SECOND)), 0);
    ck_assert_int_ge(rig.driver.now_ns - begin_ns, RILL_SECOND);
}
END_TEST

START_TEST(a_wait_lasts_until_the_next_timer_or_the_moment_given)
{
    int64_t begin_ns = rig.driver.now_ns;

    runner_start(&runner, rill_sleep(&pause_, RILL_SECOND), NULL);
    rill_executor_run(&rig.executor);
    ck_assert_int_eq(rill_executor_wait(&rig.executor, begin_ns + 5), 0);
    ck_assert_int_eq(rig.driver.until_ns, begin_ns + 5);
    ck_assert_int_eq(rig.driver.now_ns, begin_ns + 5);
    rill_executor_run(&rig.executor);
    ck_assert_int_eq(rill_executor_wait(&rig.executor, RILL_NEVER), 0);
    ck_assert_int_gt(rig.driver.until_ns, begin_ns + 5);
    ck_assert_int_le(rig.driver.until_ns, begin_ns + RILL_SECOND + (1 << RILL_WHEEL_TICK_BITS));
    rig_finish(&runner.task);
}
END_TEST

static int64_t frozen_ns;

static int64_t now_frozen(struct rill_driver *driver)
{
    (void)driver;
    return frozen_ns;
}

START_TEST(a_timer_is_found_although_the_coarse_clock_stands_still)
{
    const struct rill_driver_ops *usual = rig.driver.driver.ops;
    struct rill_driver_ops ops = *usual;

    frozen_ns = rig.driver.now_ns;
    ops.now_coarse = now_frozen;
    rig.driver.driver.ops = &ops;
    runner_start(&runner, rill_sleep(&pause_, RILL_SECOND), NULL);
    rill_executor_run(&rig.executor);
    for (int i = 0; i < 1000 && !rill_task_is_over(&runner.task); i++) {
        ck_assert_int_eq(rill_executor_wait(&rig.executor, RILL_NEVER), 0);
        rill_executor_run(&rig.executor);
    }
    rig.driver.driver.ops = usual;
    ck_assert(rill_task_is_over(&runner.task));
}
END_TEST

START_TEST(a_wait_with_a_task_ready_does_not_wait)
{
    runner_start(&runner, latch_wait(&latch), NULL);
    ck_assert_int_eq(rill_executor_wait(&rig.executor, RILL_NEVER), 0);
    ck_assert_int_eq(rig.driver.until_ns, RILL_NO_WAIT);
    ck_assert_uint_eq(rig.driver.waits, 0);
    latch_open(&latch, 0);
    rig_settle();
}
END_TEST

struct clock_user {
    struct rill_task task;
    struct rill_sleep sleep;
    int rounds;
    int64_t seen_ns;
};

static enum rill_poll clock_user_poll(struct rill_future *self, struct rill_task *task)
{
    struct clock_user *user = rill_container_of(self, struct clock_user, task.future);

    RILL_BEGIN();
    for (; user->rounds > 0; user->rounds--) {
        user->seen_ns = rill_now();
        RILL_AWAIT(rill_sleep(&user->sleep, 30 * RILL_MICROSECOND));
    }
    RILL_END();
}

START_TEST(the_clock_is_read_at_most_once_a_turn_and_not_at_all_without_need)
{
    enum { COUNT = 50 };
    static struct clock_user users[COUNT];
    struct spinner spinner = {.polls = 0};
    unsigned reads;

    for (int i = 0; i < COUNT; i++) {
        users[i].rounds = 20;
        rill_task_spawn(&users[i].task, clock_user_poll);
    }
    while (rig.executor.tasks_alive > 0) {
        reads = rig.driver.clock_reads;
        rig_turn();
        ck_assert_uint_le(rig.driver.clock_reads - reads, 1);
        for (int i = 1; i < COUNT; i++)
            ck_assert_int_eq(users[i].seen_ns, users[0].seen_ns);
        rig.driver.now_ns += 20 * RILL_MICROSECOND;
    }
    rill_task_spawn(&spinner.task, spinner_poll);
    reads = rig.driver.clock_reads;
    for (int i = 0; i < 10; i++)
        rig_turn();
    ck_assert_uint_eq(rig.driver.clock_reads, reads);
    stop(&spinner, 1);
}
END_TEST

static enum rill_poll cancel_all_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_executor_cancel_all(&rig.executor, RILL_CANCELLED);
    RILL_AWAIT(latch_wait(&latch));
    RILL_RETURN(latch.result);
    RILL_END();
}

/* Yields until it is cancelled, but not for ever. */
static enum rill_poll yielding_poll(struct rill_future *self, struct rill_task *task)
{
    static int yields;

    if (rill_task_is_cancelled(task) || yields++ == 10)
        return rill_future_end(self, rill_task_is_cancelled(task) ? -ECANCELED : 0);
    rill_task_wake(task);
    return RILL_PENDING;
}

/* ---- after the thread was held up ---- */

static const struct rill_driver_ops *usual;
static bool spawns;    /* each turn of the driver does, as by a post; or else it has a result */
static unsigned turns; /* of it */

static enum rill_poll nothing_poll(struct rill_future *self, struct rill_task *task)
{
    (void)task;
    return rill_future_end(self, 0);
}

static int never_idle_turn(struct rill_driver *driver, int64_t until_ns)
{
    if (++turns < 100000) {
        if (spawns) {
            struct rill_task *task = rill_task_alloc(sizeof *task);

            rill_task_spawn(task, nothing_poll);
            rill_task_detach(task);
        } else {
            driver->events++;
        }
    }
    return usual->turn(driver, until_ns);
}

/* Returns how many turns of the driver the first one of the executor then takes. */
static unsigned hold_up(void)
{
    struct rill_driver_ops ops = *rig.driver.driver.ops;
    struct clock_user user = {.rounds = 1};

    usual = rig.driver.driver.ops;
    ops.turn = never_idle_turn;
    rill_task_spawn(&user.task, clock_user_poll);
    rig_turn();
    rig.driver.now_ns += 2 * RILL_HELD_UP_NS;
    rig.driver.driver.ops = &ops;
    turns = 0;
    rill_executor_run(&rig.executor);
    rig.driver.driver.ops = usual;
    ck_assert(rill_task_is_over(&user.task));
    rig_settle();
    return turns;
}

START_TEST(what_came_while_the_thread_was_held_up_has_an_end)
{
    spawns = true;
    ck_assert_uint_le(hold_up(), 2);
    spawns = false;
    ck_assert_uint_eq(hold_up(), RILL_HELD_UP_TURNS_MAX);
}
END_TEST

START_TEST(cancelling_all_reaches_parked_queued_yielding_and_running_tasks_and_each_once)
{
    struct latch latches[4] = {{.drain_polls = 0}};
    struct runner parked = {.polls = 0}, draining = {.polls = 0};
    struct runner queued = {.polls = 0}, over = {.polls = 0};
    struct rill_task running = {.state = RILL_TASK_NEW}, yielding = {.state = RILL_TASK_NEW};

    latches[1].drain_polls = LATCH_BY_HAND;
    runner_start(&parked, latch_wait(&latches[0]), NULL);
    runner_start(&draining, latch_wait(&latches[1]), NULL);
    runner_start(&over, latch_wait(&latches[2]), NULL);
    latch_open(&latches[2], 7);
    rig_settle();

    rill_task_spawn(&yielding, yielding_poll);
    rill_task_spawn(&running, cancel_all_poll);
    runner_start(&queued, latch_wait(&latches[3]), NULL);
    rig_settle();
    ck_assert_int_eq(parked.task.future.result, -ECANCELED);
    ck_assert_uint_eq(parked.polls, 2);
    ck_assert_int_eq(queued.task.future.result, -ECANCELED);
    ck_assert_uint_eq(queued.polls, 1);
    ck_assert_int_eq(running.future.result, -ECANCELED);
    ck_assert_int_eq(yielding.future.result, -ECANCELED);
    ck_assert_int_eq(over.task.future.result, 7);
    ck_assert_uint_eq(draining.polls, 2);

    rill_executor_cancel_all(&rig.executor, RILL_CANCELLED);
    rig_settle();
    ck_assert_uint_eq(draining.polls, 2);
    latch_let_go(&latches[1]);
    rig_settle();
    ck_assert_int_eq(draining.task.future.result, -ECANCELED);
}
END_TEST

/* Two futures, to be printed with the lines of their awaits. */
enum { INNER_LINE = __LINE__ + 5, OUTER_LINE = __LINE__ + 15 };

static enum rill_poll inner_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(latch_wait(&latch));
    RILL_END();
}

static enum rill_poll outer_poll(struct rill_future *self, struct rill_task *task)
{
    static struct rill_future inner;
    static struct rill_timeout timeout;

    RILL_BEGIN();
    RILL_AWAIT(rill_timeout(&timeout, RILL_SECOND, rill_future_init(&inner, inner_poll)));
    RILL_END();
}

START_TEST(printing_names_function_and_line_of_each_future_that_waits)
{
    struct rill_future outer;
    struct runner unborn = {.polls = 0};
    struct rill_sleep sleep;
    char *text = NULL, place[200];
    size_t size;
    FILE *out = open_memstream(&text, &size);

    ck_assert_ptr_nonnull(out);
    runner_start(&runner, rill_future_init(&outer, outer_poll), NULL);
    rig_settle();
    rill_task_cancel(&runner.task); /* queued, and marked */
    runner_start(&unborn, rill_sleep(&sleep, 0), NULL);
    rill_task_detach(&unborn.task);
    rill_executor_print(&rig.executor, out);
    fclose(out);

    rig_expect_text(text, "queued, cancelled\n");
    rig_expect_text(text, "  runner_poll at tests/rig.c:");
    snprintf(place, sizeof place,
             "  outer_poll at %s:%d\n  timeout\n  inner_poll at %s:%d\n  latch\n", __FILE__,
             OUTER_LINE, __FILE__, INNER_LINE);
    rig_expect_text(text, place);
    rig_expect_text(text, "queued, detached\n  has not begun\n");
    free(text);
    rig_settle();
}
END_TEST

START_TEST(a_thread_has_one_executor_at_most)
{
    struct rill_executor second;

    ck_assert_int_eq(rill_executor_init(&second, &rig.driver.driver), -EBUSY);
    ck_assert_ptr_eq(rill_executor_here(), &rig.executor);
}
END_TEST

static void *run_another_runtime(void *result)
{
    struct manual_driver driver;
    struct rill_executor executor;
    struct rill_sleep sleep;

    manual_driver_init(&driver);
    if (rill_executor_init(&executor, &driver.driver) < 0)
        return NULL;
    *(int64_t *)result =
        rill_executor_block_on(&executor, rill_sleep(&sleep, RILL_SECOND)) + driver.waits;
    rill_executor_finish(&executor);
    return NULL;
}

START_TEST(each_thread_can_have_an_executor_of_its_own)
{
    pthread_t threads[4];
    int64_t results[RIG_COUNT(threads)] = {0};

    for (size_t i = 0; i < RIG_COUNT(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, run_another_runtime, &results[i]), 0);
    ck_assert_int_eq(rill_executor_block_on(&rig.executor, rill_sleep(&pause_, RILL_SECOND)), 0);
    for (size_t i = 0; i < RIG_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_ge(results[i], 1);
    }
}
END_TEST

static void finish_with_a_live_task(void)
{
    struct rill_future outer;

    runner_start(&runner, rill_future_init(&outer, outer_poll), NULL);
    rig_turn();
    rill_executor_finish(&rig.executor);
}

START_TEST(ending_a_runtime_with_live_tasks_panics_and_names_them)
{
    const char *message = rig_abort_message(finish_with_a_live_task);

    rig_expect_text(message, "a runtime was ended with 1 tasks alive");
    rig_expect_text(message, "parked\n");
    rig_expect_text(message, "  outer_poll at ");
    rig_expect_text(message, "  inner_poll at ");
}
END_TEST

static enum rill_poll block_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_executor_block_on(&rig.executor, latch_wait(&latch));
    RILL_END();
}

static void block_inside_a_task(void)
{
    struct rill_future block;

    rill_executor_block_on(&rig.executor, rill_future_init(&block, block_poll));
}

START_TEST(a_task_that_blocks_its_thread_panics)
{
    rig_expect_text(rig_abort_message(block_inside_a_task), "a task blocks its own thread");
}
END_TEST

static void *use_the_runtime_of_another(void *way)
{
    if (*(int *)way == 0)
        rill_executor_block_on(&rig.executor, latch_wait(&latch));
    else if (*(int *)way == 1)
        rill_executor_finish(&rig.executor);
    else
        rill_now();
    return NULL;
}

static void use_in_a_thread(int way)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, use_the_runtime_of_another, &way) == 0)
        pthread_join(thread, NULL);
}

static void block_in_another_thread(void)
{
    use_in_a_thread(0);
}

static void finish_in_another_thread(void)
{
    use_in_a_thread(1);
}

static void look_at_the_clock_in_another_thread(void)
{
    use_in_a_thread(2);
}

START_TEST(using_a_runtime_in_another_thread_panics)
{
    rig_expect_text(rig_abort_message(block_in_another_thread), "entered by another thread");
    rig_expect_text(rig_abort_message(finish_in_another_thread), "ended by another thread");
    rig_expect_text(rig_abort_message(look_at_the_clock_in_another_thread),
                    "this thread has no runtime: there is one within rill_main");
}
END_TEST

static void block_over_a_broken_driver(void)
{
    rig.driver.error = -EIO;
    rill_executor_block_on(&rig.executor, latch_wait(&latch));
}

START_TEST(a_broken_driver_is_an_error_of_the_wait_and_a_panic_of_a_blocking_call)
{
    char text[100];

    snprintf(text, sizeof text, "the driver failed: error %d", EIO);
    rig_expect_text(rig_abort_message(block_over_a_broken_driver), text);
    rig.driver.error = -EIO;
    ck_assert_int_eq(rill_executor_wait(&rig.executor, RILL_NEVER), -EIO);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        ready_tasks_are_polled_in_the_order_in_which_they_became_ready,
        what_a_task_wakes_is_polled_in_the_same_turn_if_it_is_a_short_one,
        a_long_turn_polls_only_the_tasks_that_were_ready_when_it_began,
        tasks_that_wake_one_another_for_ever_starve_neither_others_nor_the_driver,
        a_turn_polls_no_more_than_its_bound,
        a_task_that_yields_for_ever_starves_neither_timers_nor_the_driver,
        a_task_whose_futures_are_always_ready_yields_after_its_budget,
        a_task_that_sleeps_for_0_yields_after_its_budget_too,
        blocking_on_a_ready_future_never_comes_to_the_driver,
        blocking_returns_in_the_turn_in_which_its_future_is_ready,
        blocking_runs_the_other_tasks_and_may_leave_them_alive,
        blocking_a_second_time_reads_the_clock_anew,
        a_wait_lasts_until_the_next_timer_or_the_moment_given,
        a_timer_is_found_although_the_coarse_clock_stands_still,
        a_wait_with_a_task_ready_does_not_wait,
        the_clock_is_read_at_most_once_a_turn_and_not_at_all_without_need,
        what_came_while_the_thread_was_held_up_has_an_end,
        cancelling_all_reaches_parked_queued_yielding_and_running_tasks_and_each_once,
        printing_names_function_and_line_of_each_future_that_waits,
        a_thread_has_one_executor_at_most,
        each_thread_can_have_an_executor_of_its_own,
        ending_a_runtime_with_live_tasks_panics_and_names_them,
        a_task_that_blocks_its_thread_panics,
        using_a_runtime_in_another_thread_panics,
        a_broken_driver_is_an_error_of_the_wait_and_a_panic_of_a_blocking_call,
    };

    return rig_main("executor", tests, RIG_COUNT(tests));
}
