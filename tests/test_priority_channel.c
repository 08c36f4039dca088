/* SPDX-License-Identifier: Apache-2.0 */
/* test_priority_channel.c - the urgent first, and nobody waits for ever. */
#include "runtime/priority_channel.h"
#include "tests/rig.h"

#include <errno.h>

enum { CAPACITY = 32 };

struct orders RILL_PRIORITY_CHANNEL(int64_t, CAPACITY);

static struct orders orders;
static struct rill_channel_op send_op;
static struct rill_priority_receive receive_ops[3];
static struct runner sender, receivers[3];
static int64_t received[3];

static void send(enum rill_priority priority, int64_t order)
{
    static int64_t message;

    message = order;
    runner_start(&sender, rill_priority_channel_send(&orders, &send_op, priority, &message), NULL);
    rig_settle();
}

static void start_receive(int i)
{
    runner_start(&receivers[i],
                 rill_priority_channel_receive(&orders, &receive_ops[i], &received[i]), NULL);
    rig_settle();
}

static int64_t next(void)
{
    start_receive(0);
    ck_assert(rill_task_is_over(&receivers[0].task));
    ck_assert_int_eq(receive_ops[0].result, 1);
    return received[0];
}

START_TEST(the_highest_priority_comes_first_and_each_in_order)
{
    rill_priority_channel_init(&orders);
    send(RILL_PRIORITY_LOW, 30);
    send(RILL_PRIORITY_NORMAL, 20);
    send(RILL_PRIORITY_HIGH, 10);
    send(RILL_PRIORITY_LOW, 31);
    send(RILL_PRIORITY_HIGH, 11);
    ck_assert_int_eq(next(), 10);
    ck_assert_int_eq(receive_ops[0].priority, RILL_PRIORITY_HIGH);
    ck_assert_int_eq(next(), 11);
    ck_assert_int_eq(next(), 20);
    ck_assert_int_eq(next(), 30);
    ck_assert_int_eq(next(), 31);
    ck_assert_int_eq(receive_ops[0].priority, RILL_PRIORITY_LOW);
    rill_priority_channel_finish(&orders);
}
END_TEST

/* A flood of urgent orders, with one of each other kind behind it. */
START_TEST(a_message_is_overtaken_only_so_often)
{
    int normal_at = 0, low_at = 0;

    rill_priority_channel_init(&orders);
    send(RILL_PRIORITY_LOW, 30);
    send(RILL_PRIORITY_NORMAL, 20);
    for (int i = 1; i <= 2 * RILL_PRIORITY_OVERTAKEN_MAX + 4; i++) {
        int64_t order;

        send(RILL_PRIORITY_HIGH, 10);
        order = next();
        if (order == 20)
            normal_at = i;
        if (order == 30)
            low_at = i;
    }
    ck_assert_int_eq(low_at, RILL_PRIORITY_OVERTAKEN_MAX + 1);
    ck_assert_int_eq(normal_at, RILL_PRIORITY_OVERTAKEN_MAX + 2);
    ck_assert_int_eq(next(), 10);
    ck_assert_int_eq(next(), 10);
    rill_priority_channel_finish(&orders);
}
END_TEST

/* The urgent ones that came when nothing else was there have overtaken nobody, and one that had
 * its turn leaves none to those behind it. */
START_TEST(each_message_waits_for_its_own_turn)
{
    rill_priority_channel_init(&orders);
    for (int i = 0; i < 2 * RILL_PRIORITY_OVERTAKEN_MAX; i++) {
        send(RILL_PRIORITY_HIGH, 10);
        ck_assert_int_eq(next(), 10);
    }
    for (int i = 0; i < 3; i++)
        send(RILL_PRIORITY_LOW, 30 + i);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < RILL_PRIORITY_OVERTAKEN_MAX; k++) {
            send(RILL_PRIORITY_HIGH, 10);
            ck_assert_int_lt(next(), 20);
        }
        send(RILL_PRIORITY_HIGH, 11);
        ck_assert_int_eq(next(), 30 + i);
    }
    for (int i = 0; i < 3; i++)
        ck_assert_int_lt(next(), 20);
    rill_priority_channel_finish(&orders);
}
END_TEST

START_TEST(a_flood_of_one_priority_keeps_no_place_from_another)
{
    rill_priority_channel_init(&orders);
    for (int i = 0; i < CAPACITY; i++)
        send(RILL_PRIORITY_LOW, i);
    send(RILL_PRIORITY_HIGH, 10);
    ck_assert(rill_task_is_over(&sender.task));
    send(RILL_PRIORITY_LOW, 99);
    ck_assert(!rill_task_is_over(&sender.task));
    ck_assert_int_eq(next(), 10);
    ck_assert(!rill_task_is_over(&sender.task));
    ck_assert_int_eq(next(), 0);
    rig_settle();
    ck_assert(rill_task_is_over(&sender.task));
    rill_priority_channel_close(&orders);
}
END_TEST

START_TEST(receivers_wait_first_come_first_served_for_any_priority)
{
    rill_priority_channel_init(&orders);
    for (int i = 0; i < 3; i++)
        start_receive(i);
    send(RILL_PRIORITY_LOW, 30);
    send(RILL_PRIORITY_HIGH, 10);
    send(RILL_PRIORITY_NORMAL, 20);
    ck_assert_int_eq(received[0], 30);
    ck_assert_int_eq(received[1], 10);
    ck_assert_int_eq(received[2], 20);
    rill_priority_channel_finish(&orders);
}
END_TEST

static void try_send(enum rill_priority priority, const int64_t *order)
{
    ck_assert_int_eq(rill_channel_try_send_(&orders.priority.levels[priority], order), 0);
}

/* The second message wakes nobody: the first in line has been woken. */
START_TEST(who_takes_a_message_lets_the_next_in_line_have_the_other)
{
    const int64_t sent[] = {20, 21};

    rill_priority_channel_init(&orders);
    start_receive(0);
    start_receive(1);
    for (int i = 0; i < 2; i++)
        try_send(RILL_PRIORITY_NORMAL, &sent[i]);
    rig_settle();
    ck_assert(rill_task_is_over(&receivers[0].task) && rill_task_is_over(&receivers[1].task));
    ck_assert_int_eq(received[0], 20);
    ck_assert_int_eq(received[1], 21);
    rill_priority_channel_finish(&orders);
}
END_TEST

/* It has looked in vain already when the last message is taken. */
START_TEST(who_takes_the_last_message_of_a_closed_channel_ends_those_who_wait)
{
    const int64_t sent = 20;

    rill_priority_channel_init(&orders);
    start_receive(0);
    start_receive(1);
    rill_task_wake(&receivers[1].task);
    try_send(RILL_PRIORITY_NORMAL, &sent);
    rill_priority_channel_close(&orders);
    rig_settle();
    ck_assert_int_eq(receive_ops[0].result, 1);
    ck_assert(rill_task_is_over(&receivers[1].task));
    ck_assert_int_eq(receive_ops[1].result, 0);
    rill_priority_channel_finish(&orders);
}
END_TEST

/* The newcomer is polled first: it is ready already when the one in line is woken. */
START_TEST(a_newcomer_does_not_overtake_one_in_line_that_was_woken)
{
    const int64_t sent[] = {20, 21};

    rill_priority_channel_init(&orders);
    start_receive(0);
    runner_start(&receivers[1],
                 rill_priority_channel_receive(&orders, &receive_ops[1], &received[1]), NULL);
    try_send(RILL_PRIORITY_NORMAL, &sent[0]);
    rig_settle();
    ck_assert(rill_task_is_over(&receivers[0].task) && !rill_task_is_over(&receivers[1].task));
    try_send(RILL_PRIORITY_NORMAL, &sent[1]);
    rig_settle();
    ck_assert_int_eq(received[0], 20);
    ck_assert_int_eq(received[1], 21);
    rill_priority_channel_finish(&orders);
}
END_TEST

static unsigned rounds;

/* There is always a message, so it never waits for one. */
static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    static const int64_t sent = 20;

    RILL_BEGIN();
    for (rounds = 0; rounds < 3 * RILL_TASK_BUDGET; rounds++) {
        try_send(RILL_PRIORITY_NORMAL, &sent);
        RILL_AWAIT(rill_priority_channel_receive(&orders, &receive_ops[0], &received[0]));
    }
    RILL_END();
}

START_TEST(a_loop_that_receives_what_is_there_lets_others_run)
{
    static struct rill_task task;

    rill_priority_channel_init(&orders);
    rill_task_spawn(&task, greedy_poll);
    rig_turn();
    ck_assert_uint_le(rounds, RILL_TASK_BUDGET);
    rig_settle();
    ck_assert(rill_task_is_over(&task));
    rill_priority_channel_finish(&orders);
}
END_TEST

START_TEST(a_cancelled_receive_leaves_its_message_to_the_next_in_line)
{
    rill_priority_channel_init(&orders);
    start_receive(0);
    start_receive(1);
    rill_task_cancel(&receivers[0].task);
    send(RILL_PRIORITY_NORMAL, 20); /* wakes the first, which was cancelled */
    ck_assert_int_eq(receive_ops[0].result, -ECANCELED);
    ck_assert(rill_task_is_over(&receivers[1].task));
    ck_assert_int_eq(received[1], 20);
    rill_priority_channel_finish(&orders);
}
END_TEST

START_TEST(a_closed_channel_is_received_to_its_end)
{
    rill_priority_channel_init(&orders);
    send(RILL_PRIORITY_LOW, 30);
    send(RILL_PRIORITY_HIGH, 10);
    rill_priority_channel_close(&orders);
    send(RILL_PRIORITY_HIGH, 11);
    ck_assert_int_eq(send_op.result, -EPIPE);
    ck_assert_int_eq(next(), 10);
    ck_assert_int_eq(next(), 30);
    for (int i = 0; i < 3; i++) {
        start_receive(i);
        ck_assert_int_eq(receive_ops[i].result, 0);
    }
    rill_priority_channel_finish(&orders);
}
END_TEST

START_TEST(closing_ends_all_that_wait_in_any_order)
{
    uint64_t random = 1;

    for (int round = 0; round < 50; round++) {
        rill_priority_channel_init(&orders);
        for (int i = 0; i < 3; i++)
            start_receive(i);
        rill_priority_channel_close(&orders);
        rig_disturb(&random);
        rig_settle();
        for (int i = 0; i < 3; i++)
            ck_assert_int_eq(receive_ops[i].result, 0);
        rill_priority_channel_finish(&orders);
    }
}
END_TEST

static void send_with_no_priority(void)
{
    rill_priority_channel_init(&orders);
    send(RILL_PRIORITIES, 1);
}

static void finish_while_one_waits(void)
{
    rill_priority_channel_init(&orders);
    start_receive(0);
    rill_priority_channel_finish(&orders);
}

START_TEST(finishing_it_while_a_task_waits_panics)
{
    rig_expect_text(rig_abort_message(finish_while_one_waits),
                    "a channel was finished while a task (above) waits for it");
}
END_TEST

START_TEST(a_priority_that_there_is_not_panics)
{
    rig_expect_text(rig_abort_message(send_with_no_priority), "there is no priority 3");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        the_highest_priority_comes_first_and_each_in_order,
        a_message_is_overtaken_only_so_often,
        each_message_waits_for_its_own_turn,
        a_flood_of_one_priority_keeps_no_place_from_another,
        receivers_wait_first_come_first_served_for_any_priority,
        who_takes_a_message_lets_the_next_in_line_have_the_other,
        who_takes_the_last_message_of_a_closed_channel_ends_those_who_wait,
        a_newcomer_does_not_overtake_one_in_line_that_was_woken,
        a_loop_that_receives_what_is_there_lets_others_run,
        a_cancelled_receive_leaves_its_message_to_the_next_in_line,
        a_closed_channel_is_received_to_its_end,
        closing_ends_all_that_wait_in_any_order,
        finishing_it_while_a_task_waits_panics,
        a_priority_that_there_is_not_panics,
    };

    return rig_main("priority_channel", tests, RIG_COUNT(tests));
}
