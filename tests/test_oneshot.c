/* SPDX-License-Identifier: Apache-2.0 */
/* test_oneshot.c - one message arrives once, or both sides know that it does not. */
#include "runtime/oneshot.h"
#include "runtime/timeout.h"
#include "tests/rig.h"

#include <errno.h>

struct answer RILL_ONESHOT(int64_t);

static struct answer answer;
static struct rill_oneshot_receive receive;
static struct runner runner;
static const int64_t forty_two = 42;

static void start(void)
{
    rill_oneshot_init(&answer);
    runner_start(&runner, rill_oneshot_receive(&answer, &receive), NULL);
    rig_settle();
}

static void expect_over(int64_t result)
{
    ck_assert(rill_task_is_over(&runner.task));
    ck_assert_int_eq(receive.result, result);
}

START_TEST(a_message_wakes_the_one_that_waits_for_it)
{
    start();
    ck_assert(!rill_task_is_over(&runner.task));
    rill_task_wake(&runner.task); /* for no reason */
    rig_settle();
    ck_assert(!rill_task_is_over(&runner.task));
    ck_assert_int_eq(rill_oneshot_send(&answer, &forty_two), 0);
    rig_settle();
    expect_over(1);
    ck_assert_int_eq(answer.value, 42);
}
END_TEST

START_TEST(a_message_that_was_sent_before_is_received_at_once)
{
    rill_oneshot_init(&answer);
    ck_assert_int_eq(rill_oneshot_send(&answer, &forty_two), 0);
    runner_start(&runner, rill_oneshot_receive(&answer, &receive), NULL);
    rig_settle();
    expect_over(1);
    ck_assert_uint_eq(runner.polls, 1);
}
END_TEST

START_TEST(a_sender_that_goes_without_sending_ends_the_receiver)
{
    start();
    rill_oneshot_close(&answer);
    rill_oneshot_close(&answer);
    rig_settle();
    expect_over(0);
}
END_TEST

START_TEST(a_receiver_that_goes_lets_the_sender_keep_the_message)
{
    rill_oneshot_init(&answer);
    rill_oneshot_close(&answer);
    ck_assert_int_eq(rill_oneshot_send(&answer, &forty_two), -EPIPE);
}
END_TEST

START_TEST(closing_after_the_message_was_sent_changes_nothing)
{
    start();
    ck_assert_int_eq(rill_oneshot_send(&answer, &forty_two), 0);
    rill_oneshot_close(&answer);
    rig_settle();
    expect_over(1);
}
END_TEST

/* In both orders. */
START_TEST(a_cancelled_receive_leaves_the_message_to_be_received_later)
{
    for (int message_first = 0; message_first < 2; message_first++) {
        start();
        if (message_first)
            ck_assert_int_eq(rill_oneshot_send(&answer, &forty_two), 0);
        rill_task_cancel(&runner.task);
        if (!message_first)
            ck_assert_int_eq(rill_oneshot_send(&answer, &forty_two), 0);
        rig_settle();
        expect_over(-ECANCELED);
        runner_start(&runner, rill_oneshot_receive(&answer, &receive), NULL);
        rig_settle();
        expect_over(1);
        ck_assert_int_eq(answer.value, 42);
    }
}
END_TEST

START_TEST(after_a_cancelled_receive_another_task_may_wait)
{
    struct rill_oneshot_receive again;
    struct runner other = {.polls = 0};

    start();
    rill_task_cancel(&runner.task);
    rig_settle();
    expect_over(-ECANCELED);
    runner_start(&other, rill_oneshot_receive(&answer, &again), NULL);
    rig_settle();
    ck_assert_int_eq(rill_oneshot_send(&answer, &forty_two), 0);
    rig_settle();
    ck_assert(rill_task_is_over(&other.task));
    ck_assert_int_eq(again.result, 1);
}
END_TEST

START_TEST(a_receive_can_have_a_time_limit)
{
    static struct rill_timeout timeout;

    rill_oneshot_init(&answer);
    runner_start(&runner,
                 rill_timeout(&timeout, RILL_SECOND, rill_oneshot_receive(&answer, &receive)),
                 NULL);
    rig_settle();
    rig_advance(2 * RILL_SECOND);
    expect_over(-ECANCELED);
    ck_assert_int_eq(timeout.result, -ETIMEDOUT);
    ck_assert_int_eq(rill_oneshot_send(&answer, &forty_two), 0); /* wakes nobody */
}
END_TEST

static void send_twice(void)
{
    rill_oneshot_init(&answer);
    rill_oneshot_send(&answer, &forty_two);
    rill_oneshot_send(&answer, &forty_two);
}

static void receive_twice(void)
{
    start();
    rill_oneshot_send(&answer, &forty_two);
    rig_settle();
    runner_start(&runner, rill_oneshot_receive(&answer, &receive), NULL);
    rig_settle();
}

static void wait_by_two(void)
{
    static struct rill_oneshot_receive second;
    static struct runner other;

    start();
    runner_start(&other, rill_oneshot_receive(&answer, &second), NULL);
    rig_settle();
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(send_twice), "a second message was sent");
    rig_expect_text(rig_abort_message(receive_twice), "received a second time");
    rig_expect_text(rig_abort_message(wait_by_two), "two tasks wait");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_message_wakes_the_one_that_waits_for_it,
        a_message_that_was_sent_before_is_received_at_once,
        a_sender_that_goes_without_sending_ends_the_receiver,
        a_receiver_that_goes_lets_the_sender_keep_the_message,
        closing_after_the_message_was_sent_changes_nothing,
        a_cancelled_receive_leaves_the_message_to_be_received_later,
        after_a_cancelled_receive_another_task_may_wait,
        a_receive_can_have_a_time_limit,
        wrong_use_panics,
    };

    return rig_main("oneshot", tests, RIG_COUNT(tests));
}
