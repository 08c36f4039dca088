/* SPDX-License-Identifier: Apache-2.0 */
/* test_notify.c - notifications reach those who wait, in order, and none is lost. */
#include "runtime/notify.h"
#include "runtime/select.h"
#include "runtime/task.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 4 };

static struct rill_notify notify;
static struct rill_wait waits[COUNT];
static struct runner runners[COUNT];

static void start(int count)
{
    rill_notify_init(&notify);
    for (int i = 0; i < count; i++)
        runner_start(&runners[i], rill_notify_wait(&notify, &waits[i]), NULL);
    rig_settle();
}

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

START_TEST(without_a_notification_a_wait_is_pending)
{
    start(1);
    for (int i = 0; i < 5; i++) {
        rill_task_wake(&runners[0].task); /* for no reason */
        rig_advance(3600 * RILL_SECOND);
        ck_assert(!is_over(0));
    }
    ck_assert(rill_notify_one(&notify));
    rig_settle();
    ck_assert(is_over(0));
    ck_assert_int_eq(waits[0].result, 0);
}
END_TEST

START_TEST(notifying_one_wakes_the_one_that_waits_longest_and_polls_no_other)
{
    start(COUNT);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(rill_notify_one(&notify));
        rig_settle();
        for (int k = 0; k < COUNT; k++) {
            ck_assert_int_eq(is_over(k), k <= i);
            ck_assert_uint_eq(runners[k].polls, k <= i ? 2 : 1);
        }
    }
    ck_assert(!rill_notify_one(&notify));
}
END_TEST

START_TEST(notifying_all_wakes_all_that_wait)
{
    start(COUNT);
    rill_notify_all(&notify);
    ck_assert(rill_list_is_empty(&notify.waiters));
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert(is_over(i));
        ck_assert_int_eq(waits[i].result, 0);
        ck_assert_uint_eq(runners[i].polls, 2);
    }
    rill_notify_all(&notify);
}
END_TEST

START_TEST(a_notification_that_finds_nobody_waiting_is_over)
{
    rill_notify_init(&notify);
    ck_assert(!rill_notify_one(&notify));
    rill_notify_all(&notify);
    start(1);
    ck_assert(!is_over(0));
    rill_notify_one(&notify);
    rig_settle();
}
END_TEST

START_TEST(a_wait_begins_with_its_first_poll_and_not_with_its_constructor)
{
    rill_notify_init(&notify);
    runner_start(&runners[0], rill_notify_wait(&notify, &waits[0]), NULL);
    ck_assert(!rill_notify_one(&notify));
    rig_settle();
    ck_assert(!is_over(0));
    ck_assert(rill_notify_one(&notify));
    rig_settle();
}
END_TEST

START_TEST(a_cancelled_wait_leaves_the_queue_and_the_next_one_is_notified)
{
    start(3);
    rill_task_cancel(&runners[0].task);
    rig_settle();
    ck_assert_int_eq(waits[0].result, -ECANCELED);
    ck_assert(rill_notify_one(&notify));
    rig_settle();
    ck_assert(is_over(1));
    ck_assert(!is_over(2));
    ck_assert_int_eq(waits[1].result, 0);
    rill_notify_one(&notify);
    rig_settle();
}
END_TEST

START_TEST(a_cancelled_wait_further_back_notifies_nobody)
{
    start(3);
    rill_task_cancel(&runners[1].task);
    rig_settle();
    ck_assert_int_eq(waits[1].result, -ECANCELED);
    ck_assert(!is_over(0) && !is_over(2));
    rill_notify_one(&notify);
    rig_settle();
    ck_assert(is_over(0) && !is_over(2));
    rill_notify_one(&notify);
    rig_settle();
    ck_assert(is_over(2));
}
END_TEST

START_TEST(a_notification_for_a_wait_that_is_cancelled_goes_to_the_next)
{
    start(3);
    ck_assert(rill_notify_one(&notify));
    rill_task_cancel(&runners[0].task);
    rig_settle();
    ck_assert_int_eq(waits[0].result, -ECANCELED);
    ck_assert(is_over(1));
    ck_assert_int_eq(waits[1].result, 0);

    rill_task_cancel(&runners[2].task);
    ck_assert(rill_notify_one(&notify)); /* it is in the queue still */
    rig_settle();
    ck_assert_int_eq(waits[2].result, -ECANCELED);
}
END_TEST

START_TEST(a_notification_goes_past_all_that_are_cancelled)
{
    start(COUNT);
    for (int i = 0; i < COUNT - 1; i++)
        rill_task_cancel(&runners[i].task);
    ck_assert(rill_notify_one(&notify));
    rig_settle();
    for (int i = 0; i < COUNT; i++) {
        ck_assert(is_over(i));
        ck_assert_int_eq(waits[i].result, i < COUNT - 1 ? -ECANCELED : 0);
    }
}
END_TEST

START_TEST(a_notification_for_all_is_not_passed_on)
{
    start(2);
    rill_notify_all(&notify);
    rill_task_cancel(&runners[0].task);
    runner_start(&runners[2], rill_notify_wait(&notify, &waits[2]), NULL);
    rill_list_prepend(&rig.executor.ready, rill_list_pop_last(&rig.executor.ready));
    rig_settle();
    ck_assert_int_eq(waits[0].result, -ECANCELED);
    ck_assert_int_eq(waits[1].result, 0);
    ck_assert(!is_over(2));
    rill_notify_one(&notify);
    rig_settle();
}
END_TEST

START_TEST(a_wait_in_a_cancelled_task_does_not_begin)
{
    rill_notify_init(&notify);
    runner_start(&runners[0], rill_notify_wait(&notify, &waits[0]), NULL);
    rill_task_cancel(&runners[0].task);
    rig_settle();
    ck_assert_int_eq(waits[0].result, -ECANCELED);
    ck_assert(rill_list_is_empty(&notify.waiters));
}
END_TEST

START_TEST(a_loser_of_a_select_swallows_no_notification)
{
    struct rill_select select;
    struct latch latch = {.drain_polls = 0};
    struct rill_future *futures[2];

    start(0);
    futures[0] = latch_wait(&latch);
    futures[1] = rill_notify_wait(&notify, &waits[0]);
    runner_start(&runners[0], rill_select(&select, futures, 2), NULL);
    rig_settle();
    runner_start(&runners[1], rill_notify_wait(&notify, &waits[1]), NULL);
    rig_settle();
    latch_open(&latch, 1);
    ck_assert(rill_notify_one(&notify));
    rig_settle();
    ck_assert_int_eq(runners[0].task.future.result, 0);
    ck_assert_int_eq(waits[0].result, -ECANCELED);
    ck_assert(is_over(1));
    ck_assert_int_eq(waits[1].result, 0);
}
END_TEST

/* A task that waits again as soon as it was notified. */
struct again {
    struct rill_task task;
    struct rill_wait wait;
    unsigned notified;
};

static enum rill_poll again_poll(struct rill_future *self, struct rill_task *task)
{
    struct again *again = rill_container_of(self, struct again, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_notify_wait(&notify, &again->wait));
        if (again->wait.result < 0)
            break;
        again->notified++;
    }
    RILL_END();
}

START_TEST(tasks_that_wait_again_take_turns_and_all_are_notified_once_each_time)
{
    struct again tasks[3] = {{.notified = 0}};

    rill_notify_init(&notify);
    for (size_t i = 0; i < RIG_COUNT(tasks); i++)
        rill_task_spawn(&tasks[i].task, again_poll);
    rig_settle();
    for (unsigned i = 0; i < 30; i++) {
        ck_assert(rill_notify_one(&notify));
        rig_settle();
        ck_assert_uint_eq(tasks[i % 3].notified, i / 3 + 1);
    }
    for (unsigned i = 0; i < 5; i++) {
        rill_notify_all(&notify);
        rig_settle();
    }
    for (size_t i = 0; i < RIG_COUNT(tasks); i++)
        ck_assert_uint_eq(tasks[i].notified, 15);
    rill_executor_cancel_all(&rig.executor, RILL_CANCELLED);
    rig_settle();
}
END_TEST

/* A zeroed one, in each way of use. */
static struct rill_notify zeroed;

static void wait_for_zeroed(void)
{
    runner_start(&runners[0], rill_notify_wait(&zeroed, &waits[0]), NULL);
    rig_turn();
}

static void notify_one_of_zeroed(void)
{
    rill_notify_one(&zeroed);
}

static void notify_all_of_zeroed(void)
{
    rill_notify_all(&zeroed);
}

START_TEST(a_zeroed_one_is_not_an_empty_one_and_panics)
{
    static void (*const uses[])(void) = {wait_for_zeroed, notify_one_of_zeroed,
                                         notify_all_of_zeroed};

    for (size_t i = 0; i < RIG_COUNT(uses); i++)
        rig_expect_text(rig_abort_message(uses[i]), "is used without rill_notify_init");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        without_a_notification_a_wait_is_pending,
        notifying_one_wakes_the_one_that_waits_longest_and_polls_no_other,
        notifying_all_wakes_all_that_wait,
        a_notification_that_finds_nobody_waiting_is_over,
        a_wait_begins_with_its_first_poll_and_not_with_its_constructor,
        a_cancelled_wait_leaves_the_queue_and_the_next_one_is_notified,
        a_cancelled_wait_further_back_notifies_nobody,
        a_notification_for_a_wait_that_is_cancelled_goes_to_the_next,
        a_notification_goes_past_all_that_are_cancelled,
        a_notification_for_all_is_not_passed_on,
        a_wait_in_a_cancelled_task_does_not_begin,
        a_loser_of_a_select_swallows_no_notification,
        tasks_that_wait_again_take_turns_and_all_are_notified_once_each_time,
        a_zeroed_one_is_not_an_empty_one_and_panics,
    };

    return rig_main("notify", tests, RIG_COUNT(tests));
}
