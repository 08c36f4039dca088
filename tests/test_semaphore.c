/* SPDX-License-Identifier: Apache-2.0 */
/* test_semaphore.c - a permit is available, held or handed over, and the line is fair. */
#include "runtime/select.h"
#include "runtime/semaphore.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4 };

static struct rill_semaphore semaphore;
static struct rill_acquire acquires[COUNT];
static struct runner runners[COUNT];

static void start(int i, size_t permits)
{
    runner_start(&runners[i], rill_semaphore_acquire(&semaphore, &acquires[i], permits), NULL);
    rig_settle();
}

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

static void expect_over(int i, int64_t result)
{
    ck_assert(is_over(i));
    ck_assert_int_eq(acquires[i].result, result);
}

static void cancel(int i)
{
    rill_task_cancel(&runners[i].task);
    rig_settle();
}

static void release(size_t permits)
{
    rill_semaphore_release(&semaphore, permits);
    rig_settle();
}

START_TEST(permits_that_are_there_are_acquired_at_once)
{
    rill_semaphore_init(&semaphore, 3);
    start(0, 1);
    start(1, 2);
    expect_over(0, 1);
    expect_over(1, 2);
    ck_assert_uint_eq(runners[1].polls, 1);
    ck_assert_uint_eq(semaphore.available, 0);
    ck_assert(!rill_semaphore_try_acquire(&semaphore, 1));
    release(3);
    ck_assert_uint_eq(semaphore.available, 3);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(who_waits_is_served_first_come_first_served_and_polled_only_then)
{
    rill_semaphore_init(&semaphore, 1);
    for (int i = 0; i < COUNT; i++)
        start(i, 1);
    for (int i = 0; i < COUNT; i++) {
        expect_over(i, 1);
        for (int k = i + 1; k < COUNT; k++)
            ck_assert(!is_over(k) && runners[k].polls == 1);
        release(1);
    }
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(many_permits_are_handed_to_all_that_they_are_enough_for_in_one_turn)
{
    rill_semaphore_init(&semaphore, 5);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 5));
    start(0, 1);
    start(1, 2);
    start(2, 1);
    start(3, 2);
    rill_semaphore_release(&semaphore, 5);
    rig_turn();
    expect_over(0, 1);
    expect_over(1, 2);
    expect_over(2, 1);
    ck_assert(!is_over(3));
    ck_assert_uint_eq(semaphore.available, 1);
    release(1);
    expect_over(3, 2);
    release(5);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(who_wants_many_is_not_overtaken_by_who_wants_few)
{
    rill_semaphore_init(&semaphore, 3);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 2));
    start(0, 3);
    start(1, 1);
    ck_assert(!is_over(0) && !is_over(1));
    ck_assert(!rill_semaphore_try_acquire(&semaphore, 1));
    release(1);
    ck_assert(!is_over(0) && !is_over(1));
    release(1);
    expect_over(0, 3);
    ck_assert(!is_over(1));
    release(3);
    expect_over(1, 1);
    release(1);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(a_cancelled_one_at_the_head_lets_all_behind_it_go_on)
{
    rill_semaphore_init(&semaphore, 3);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
    start(0, 3);
    start(1, 1);
    start(2, 1);
    start(3, 1);
    cancel(0);
    expect_over(0, -ECANCELED);
    expect_over(1, 1);
    expect_over(2, 1);
    ck_assert(!is_over(3));
    cancel(3);
    expect_over(3, -ECANCELED);
    release(3);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(permits_handed_to_a_cancelled_one_go_to_the_next)
{
    for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
        rill_semaphore_init(&semaphore, 2);
        ck_assert(rill_semaphore_try_acquire(&semaphore, 2));
        start(0, 2);
        start(1, 2);
        if (cancel_first)
            rill_task_cancel(&runners[0].task);
        rill_semaphore_release(&semaphore, 2);
        if (!cancel_first)
            rill_task_cancel(&runners[0].task);
        ck_assert_uint_eq(semaphore.available, 0);
        rig_settle();
        expect_over(0, -ECANCELED);
        expect_over(1, 2);
        ck_assert_uint_eq(semaphore.available, 0);
        release(2);
        rill_semaphore_finish(&semaphore);
    }
}
END_TEST

START_TEST(permits_handed_to_a_cancelled_one_are_available_where_nobody_waits)
{
    rill_semaphore_init(&semaphore, 2);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 2));
    start(0, 2);
    rill_semaphore_release(&semaphore, 2);
    cancel(0);
    expect_over(0, -ECANCELED);
    ck_assert_uint_eq(semaphore.available, 2);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(a_task_cancelled_before_its_first_poll_acquires_nothing)
{
    rill_semaphore_init(&semaphore, 1);
    runner_start(&runners[0], rill_semaphore_acquire(&semaphore, &acquires[0], 1), NULL);
    cancel(0);
    expect_over(0, -ECANCELED);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(polling_one_that_waits_for_no_reason_does_no_harm)
{
    rill_semaphore_init(&semaphore, 2);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
    start(0, 2);
    start(1, 1);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&runners[i % 2].task);
        rig_settle();
    }
    ck_assert(!is_over(0) && !is_over(1));
    release(1);
    expect_over(0, 2);
    release(2);
    expect_over(1, 1);
    release(1);
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(losing_a_select_leaves_the_permits_where_they_are)
{
    struct rill_select select;
    struct latch latch = {.drain_polls = 0};
    struct rill_future *futures[2];

    for (int handed = 0; handed < 2; handed++) {
        rill_semaphore_init(&semaphore, 1);
        ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
        futures[0] = latch_wait(&latch);
        futures[1] = rill_semaphore_acquire(&semaphore, &acquires[0], 1);
        runner_start(&runners[0], rill_select(&select, futures, 2), NULL);
        rig_settle();
        latch_open(&latch, 7);
        if (handed)
            rill_semaphore_release(&semaphore, 1);
        rig_settle();
        ck_assert_int_eq(runners[0].task.future.result, 0);
        ck_assert_int_eq(acquires[0].result, -ECANCELED);
        if (!handed)
            rill_semaphore_release(&semaphore, 1);
        ck_assert_uint_eq(semaphore.available, 1);
        rill_semaphore_finish(&semaphore);
    }
}
END_TEST

START_TEST(a_permit_that_comes_with_the_end_of_a_timeout_is_acquired_or_stays)
{
    struct rill_timeout timeout;

    for (int before = 0; before < 2; before++) {
        rill_semaphore_init(&semaphore, 1);
        ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
        runner_start(&runners[0],
                     rill_timeout(&timeout, RILL_MILLISECOND,
                                  rill_semaphore_acquire(&semaphore, &acquires[0], 1)),
                     NULL);
        rig_settle();
        if (before)
            rill_semaphore_release(&semaphore, 1);
        rig_advance(RILL_SECOND);
        if (!before)
            rill_semaphore_release(&semaphore, 1);
        ck_assert_int_eq(runners[0].task.future.result, before ? 1 : -ETIMEDOUT);
        ck_assert_uint_eq(semaphore.available, before ? 0 : 1);
        if (before)
            rill_semaphore_release(&semaphore, 1);
        rill_semaphore_finish(&semaphore);
    }
}
END_TEST

START_TEST(none_and_more_than_there_are_is_refused)
{
    rill_semaphore_init(&semaphore, 2);
    start(0, 0);
    start(1, 3);
    start(2, (size_t)-1);
    for (int i = 0; i < 3; i++)
        expect_over(i, -EINVAL);
    ck_assert(!rill_semaphore_try_acquire(&semaphore, 0));
    ck_assert(!rill_semaphore_try_acquire(&semaphore, 3));
    rill_semaphore_finish(&semaphore);
}
END_TEST

START_TEST(closing_ends_those_that_wait_and_not_those_that_were_served)
{
    rill_semaphore_init(&semaphore, 2);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 2));
    start(0, 1);
    start(1, 1);
    start(2, 2);
    rill_semaphore_release(&semaphore, 1);
    rill_semaphore_close(&semaphore);
    rill_semaphore_release(&semaphore, 1); /* nobody is handed it any more */
    rig_settle();
    expect_over(0, 1);
    expect_over(1, -EPIPE);
    expect_over(2, -EPIPE);
    start(3, 1);
    expect_over(3, -EPIPE);
    ck_assert(!rill_semaphore_try_acquire(&semaphore, 1));
    release(1);
    ck_assert_uint_eq(semaphore.available, 2);
    rill_semaphore_finish(&semaphore);
}
END_TEST

/* Takes what is there again and again, and never waits. */
static struct {
    struct rill_task task;
    struct rill_acquire acquire;
    unsigned rounds;
} greedy;

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (greedy.rounds = 0; greedy.rounds < 10 * RILL_TASK_BUDGET; greedy.rounds++) {
        RILL_AWAIT(rill_semaphore_acquire(&semaphore, &greedy.acquire, 1));
        rill_semaphore_release(&semaphore, 1);
    }
    RILL_END();
}

START_TEST(a_loop_that_never_waits_lets_others_run)
{
    rill_semaphore_init(&semaphore, 1);
    rill_task_spawn(&greedy.task, greedy_poll);
    rig_turn();
    ck_assert_uint_eq(greedy.rounds, RILL_TASK_BUDGET);
    rig_finish(&greedy.task);
    rill_semaphore_finish(&semaphore);
}
END_TEST

static void release_too_many(void)
{
    rill_semaphore_init(&semaphore, 2);
    rill_semaphore_release(&semaphore, 1);
}

static void release_none(void)
{
    rill_semaphore_init(&semaphore, 2);
    rill_semaphore_release(&semaphore, 0);
}

static void make_without_permits(void)
{
    rill_semaphore_init(&semaphore, 0);
}

static void make_with_more_than_can_be_told(void)
{
    rill_semaphore_init(&semaphore, SIZE_MAX);
}

static void finish_while_held(void)
{
    rill_semaphore_init(&semaphore, 2);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
    rill_semaphore_finish(&semaphore);
}

static void finish_while_waited_for(void)
{
    rill_semaphore_init(&semaphore, 1);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
    start(0, 1);
    rill_semaphore_finish(&semaphore);
}

START_TEST(wrong_use_panics)
{
    const char *message;

    rig_expect_text(rig_abort_message(release_too_many),
                    "1 permits were given back to a semaphore of which 0 are held");
    rig_expect_text(rig_abort_message(release_none), "no permits were given back");
    rig_expect_text(rig_abort_message(make_without_permits), "a semaphore without permits");
    rig_expect_text(rig_abort_message(make_with_more_than_can_be_told),
                    "more than a result can tell");
    rig_expect_text(rig_abort_message(finish_while_held), "while 1 of its 2 permits are held");
    message = rig_abort_message(finish_while_waited_for);
    rig_expect_text(message, "a semaphore was finished while a task (above) waits for it");
    rig_expect_text(message, "acquire permits");
}
END_TEST

/* ---- at random ---- */

enum { PERMITS = 4, WORKERS = 7, ROUNDS = 12 };

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct worker {
    struct rill_task task;
    struct rill_acquire acquire;
    struct rill_sleep nap, work;
    struct rill_timeout timeout;
    struct rill_select select;
    struct rill_future *choices[2];
    size_t wanted, held;
    uint64_t ticket; /* of its await, while it waits, or 0 */
    int round;
} workers[WORKERS];

static uint64_t last_ticket, served, cancelled;

static bool is_in_line(const struct worker *worker)
{
    return worker->ticket && rill_link_is_linked(&worker->acquire.place.link);
}

static void expect_conservation(void)
{
    size_t held = 0;

    for (int i = 0; i < WORKERS; i++) {
        bool was_handed = workers[i].ticket && workers[i].acquire.future.place &&
                          !is_in_line(&workers[i]) && !rill_task_is_over(&workers[i].task);

        held += workers[i].held + (was_handed ? workers[i].wanted : 0);
    }
    ck_assert_msg(held + semaphore.available == PERMITS, "seed %llu: %zu held, %zu available",
                  rig.seed, held, semaphore.available);
}

static void expect_fairness(const struct worker *worker)
{
    for (int i = 0; i < WORKERS; i++)
        ck_assert_msg(!is_in_line(&workers[i]) || workers[i].ticket > worker->ticket,
                      "seed %llu: one was overtaken", rig.seed);
}

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    for (; worker->round < ROUNDS; worker->round++) {
        worker->wanted = 1 + dice(PERMITS);
        worker->ticket = ++last_ticket;
        if (dice(3) == 0) {
            RILL_AWAIT(
                rill_timeout(&worker->timeout, (int64_t)dice(60) * RILL_MICROSECOND,
                             rill_semaphore_acquire(&semaphore, &worker->acquire, worker->wanted)));
        } else if (dice(2)) {
            worker->choices[0] = rill_sleep(&worker->nap, (int64_t)dice(60) * RILL_MICROSECOND);
            worker->choices[1] =
                rill_semaphore_acquire(&semaphore, &worker->acquire, worker->wanted);
            RILL_AWAIT(rill_select(&worker->select, worker->choices, 2));
        } else {
            RILL_AWAIT(rill_semaphore_acquire(&semaphore, &worker->acquire, worker->wanted));
        }
        if (worker->acquire.result > 0) {
            ck_assert_int_eq(worker->acquire.result, (int64_t)worker->wanted);
            expect_fairness(worker);
            worker->ticket = 0;
            worker->held = worker->wanted;
            served++;
            RILL_AWAIT(rill_sleep(&worker->work, (int64_t)dice(40) * RILL_MICROSECOND));
            worker->held = 0;
            rill_semaphore_release(&semaphore, worker->wanted);
        } else {
            ck_assert_int_eq(worker->acquire.result, -ECANCELED);
            worker->ticket = 0;
            cancelled++;
        }
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

static void run(uint64_t seed)
{
    int done = 0;

    rig.seed = seed;
    dice_state = seed;
    rill_semaphore_init(&semaphore, PERMITS);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.round = 0};
        rill_task_spawn(&workers[i].task, worker_poll);
    }
    for (int turns = 0; done < WORKERS; turns++) {
        ck_assert_int_lt(turns, 100000);
        rig.driver.now_ns += (int64_t)dice(20000);
        rig_disturb(&dice_state);
        rig_turn();
        expect_conservation();
        if (dice(8) == 0) {
            struct worker *worker = &workers[dice(WORKERS)];

            if (!rill_task_is_over(&worker->task))
                rill_task_cancel(&worker->task);
        }
        done = 0;
        for (int i = 0; i < WORKERS; i++) {
            if (!rill_task_is_over(&workers[i].task))
                continue;
            if (workers[i].round == ROUNDS || workers[i].task.future.result == 0)
                done++;
            else if (++workers[i].round < ROUNDS)
                rill_task_spawn(&workers[i].task, worker_poll);
        }
    }
    ck_assert_uint_eq(semaphore.available, PERMITS);
    rill_semaphore_finish(&semaphore);
}

START_TEST(permits_are_conserved_and_nobody_is_overtaken_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(5000); seed++)
        run(seed);
    ck_assert_uint_gt(served, rig_scaled(1000));
    ck_assert_uint_gt(cancelled, rig_scaled(1000));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        permits_that_are_there_are_acquired_at_once,
        who_waits_is_served_first_come_first_served_and_polled_only_then,
        many_permits_are_handed_to_all_that_they_are_enough_for_in_one_turn,
        who_wants_many_is_not_overtaken_by_who_wants_few,
        a_cancelled_one_at_the_head_lets_all_behind_it_go_on,
        permits_handed_to_a_cancelled_one_go_to_the_next,
        permits_handed_to_a_cancelled_one_are_available_where_nobody_waits,
        a_task_cancelled_before_its_first_poll_acquires_nothing,
        polling_one_that_waits_for_no_reason_does_no_harm,
        losing_a_select_leaves_the_permits_where_they_are,
        a_permit_that_comes_with_the_end_of_a_timeout_is_acquired_or_stays,
        none_and_more_than_there_are_is_refused,
        closing_ends_those_that_wait_and_not_those_that_were_served,
        a_loop_that_never_waits_lets_others_run,
        wrong_use_panics,
        permits_are_conserved_and_nobody_is_overtaken_whatever_is_cancelled,
    };

    return rig_main("semaphore", tests, RIG_COUNT(tests));
}
