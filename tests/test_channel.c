/* SPDX-License-Identifier: Apache-2.0 */
/* test_channel.c - each message arrives once and in order, or its sender knows better. */
#include "runtime/channel.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <string.h>

struct numbers RILL_CHANNEL(int64_t, 2);

enum { COUNT = 4 };

static struct numbers numbers;
static struct rill_channel_op ops[COUNT], other;
static struct runner runners[COUNT];
static int64_t sent[COUNT] = {10, 11, 12, 13}, received[COUNT];

static void start_send(int i)
{
    runner_start(&runners[i], rill_channel_send(&numbers, &ops[i], &sent[i]), NULL);
    rig_settle();
}

static void start_receive(int i)
{
    received[i] = -1;
    runner_start(&runners[i], rill_channel_receive(&numbers, &ops[i], &received[i]), NULL);
    rig_settle();
}

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

static void expect_over(int i, int64_t result)
{
    ck_assert(is_over(i));
    ck_assert_int_eq(ops[i].result, result);
}

static int64_t try_receive(void)
{
    int64_t number;

    return rill_channel_try_receive(&numbers, &number) == 1 ? number : -1;
}

START_TEST(messages_come_out_as_they_went_in)
{
    rill_channel_init(&numbers);
    start_send(0);
    start_send(1);
    expect_over(0, 0);
    expect_over(1, 0);
    ck_assert_uint_eq(numbers.channel.count, 2);
    start_receive(2);
    start_receive(3);
    expect_over(2, 1);
    expect_over(3, 1);
    ck_assert_int_eq(received[2], 10);
    ck_assert_int_eq(received[3], 11);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(a_full_channel_makes_senders_wait_first_come_first_served)
{
    rill_channel_init(&numbers);
    for (int i = 0; i < COUNT; i++)
        start_send(i);
    ck_assert(!is_over(2) && !is_over(3));
    ck_assert_int_eq(try_receive(), 10);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[0]), -EAGAIN); /* others are in line */
    rig_settle();
    ck_assert(is_over(2) && !is_over(3));
    ck_assert_int_eq(try_receive(), 11);
    rig_settle();
    ck_assert(is_over(3));
    ck_assert_int_eq(try_receive(), 12);
    ck_assert_int_eq(try_receive(), 13);
    ck_assert_int_eq(try_receive(), -1);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(an_empty_channel_makes_receivers_wait_first_come_first_served)
{
    rill_channel_init(&numbers);
    for (int i = 0; i < COUNT; i++)
        start_receive(i);
    for (int i = 0; i < COUNT; i++) {
        ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[i]), 0);
        ck_assert_int_eq(try_receive(), -1); /* it is the waiting one's */
        rig_settle();
        expect_over(i, 1);
        ck_assert_int_eq(received[i], sent[i]);
        ck_assert_uint_eq(runners[i].polls, 2);
        for (int k = i + 1; k < COUNT; k++)
            ck_assert(!is_over(k));
    }
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(a_cancelled_send_keeps_its_message)
{
    rill_channel_init(&numbers);
    for (int i = 0; i < COUNT; i++)
        start_send(i);
    rill_task_cancel(&runners[2].task);
    rig_settle();
    expect_over(2, -ECANCELED);
    ck_assert_int_eq(try_receive(), 10);
    rig_settle();
    expect_over(3, 0);
    ck_assert_int_eq(try_receive(), 11);
    ck_assert_int_eq(try_receive(), 13);
    rill_channel_finish(&numbers);
}
END_TEST

/* The message or the place comes first, then the cancel, then the task runs. */
START_TEST(who_is_cancelled_when_its_turn_has_come_lets_the_next_one_have_it)
{
    rill_channel_init(&numbers);
    start_receive(0);
    start_receive(1);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[2]), 0);
    rill_task_cancel(&runners[0].task);
    rig_settle();
    expect_over(0, -ECANCELED);
    expect_over(1, 1);
    ck_assert_int_eq(received[1], 12);

    for (int i = 0; i < COUNT; i++)
        start_send(i);
    ck_assert_int_eq(try_receive(), 10);
    rill_task_cancel(&runners[2].task);
    rig_settle();
    expect_over(2, -ECANCELED);
    expect_over(3, 0);
    ck_assert_int_eq(try_receive(), 11);
    ck_assert_int_eq(try_receive(), 13);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(a_task_cancelled_before_its_first_poll_takes_and_gives_nothing)
{
    rill_channel_init(&numbers);
    runner_start(&runners[0], rill_channel_send(&numbers, &ops[0], &sent[0]), NULL);
    rill_task_cancel(&runners[0].task);
    rig_settle();
    expect_over(0, -ECANCELED);
    ck_assert_uint_eq(numbers.channel.count, 0);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[1]), 0);
    runner_start(&runners[0], rill_channel_receive(&numbers, &ops[0], &received[0]), NULL);
    rill_task_cancel(&runners[0].task);
    rig_settle();
    expect_over(0, -ECANCELED);
    ck_assert_int_eq(try_receive(), 11);
}
END_TEST

START_TEST(losing_a_select_leaves_the_message_in_the_channel)
{
    static struct rill_select select;
    static struct latch latch;
    struct rill_future *futures[2];

    rill_channel_init(&numbers);
    futures[0] = latch_wait(&latch);
    futures[1] = rill_channel_receive(&numbers, &ops[0], &received[0]);
    runner_start(&runners[0], rill_select(&select, futures, 2), NULL);
    rig_settle();
    latch_open(&latch, 7);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[0]), 0);
    rig_settle();
    ck_assert(is_over(0));
    ck_assert_int_eq(select.result, 0);
    ck_assert_int_eq(ops[0].result, -ECANCELED);
    ck_assert_int_eq(try_receive(), 10);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(a_closed_channel_refuses_messages_and_gives_out_what_is_in_it)
{
    rill_channel_init(&numbers);
    for (int i = 0; i < 3; i++)
        start_send(i);
    rill_channel_close(&numbers);
    rig_settle();
    expect_over(2, -EPIPE);
    start_send(3);
    expect_over(3, -EPIPE);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[0]), -EPIPE);
    start_receive(0);
    start_receive(1);
    start_receive(2);
    expect_over(0, 1);
    expect_over(1, 1);
    expect_over(2, 0);
    ck_assert_int_eq(received[0], 10);
    ck_assert_int_eq(received[1], 11);
    ck_assert_int_eq(rill_channel_try_receive(&numbers, &received[0]), 0);
    rill_channel_close(&numbers);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(closing_ends_all_that_wait_to_receive)
{
    rill_channel_init(&numbers);
    for (int i = 0; i < COUNT; i++)
        start_receive(i);
    rill_channel_close(&numbers);
    rig_settle();
    for (int i = 0; i < COUNT; i++)
        expect_over(i, 0);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(a_reserved_place_is_kept_free_and_sending_into_it_does_not_wait)
{
    rill_channel_init(&numbers);
    runner_start(&runners[0], rill_channel_reserve(&numbers, &ops[0]), NULL);
    rig_settle();
    expect_over(0, 0);
    start_send(1);
    start_send(2);
    expect_over(1, 0);
    ck_assert(!is_over(2));
    rill_channel_send_reserved(&numbers, &sent[0]);
    ck_assert_int_eq(try_receive(), 11);
    ck_assert_int_eq(try_receive(), 10);
    rig_settle();
    expect_over(2, 0);
    ck_assert_int_eq(try_receive(), 12);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(a_place_given_up_goes_to_the_next_in_line)
{
    rill_channel_init(&numbers);
    start_send(0);
    runner_start(&runners[1], rill_channel_reserve(&numbers, &other), NULL);
    rig_settle();
    start_send(2);
    ck_assert(!is_over(2));
    rill_channel_give_up(&numbers);
    rig_settle();
    expect_over(2, 0);
    ck_assert_int_eq(try_receive(), 10);
    ck_assert_int_eq(try_receive(), 12);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(a_reserved_place_outlives_closing)
{
    rill_channel_init(&numbers);
    runner_start(&runners[0], rill_channel_reserve(&numbers, &ops[0]), NULL);
    rig_settle();
    start_receive(1);
    start_receive(2);
    rill_channel_close(&numbers);
    rig_settle();
    ck_assert(!is_over(1) && !is_over(2));
    rill_channel_send_reserved(&numbers, &sent[0]);
    rig_settle();
    expect_over(1, 1);
    expect_over(2, 0);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(giving_up_the_last_place_of_a_closed_channel_ends_the_receivers)
{
    rill_channel_init(&numbers);
    runner_start(&runners[0], rill_channel_reserve(&numbers, &ops[0]), NULL);
    rig_settle();
    start_receive(1);
    start_receive(2);
    rill_channel_close(&numbers);
    rig_settle(); /* they have looked, and wait for what comes into that place */
    ck_assert(!is_over(1) && !is_over(2));
    rill_channel_give_up(&numbers);
    rig_settle();
    expect_over(1, 0);
    expect_over(2, 0);
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(trying_tells_of_a_channel_that_is_full_or_empty)
{
    int64_t number = -1;

    rill_channel_init(&numbers);
    ck_assert_int_eq(rill_channel_try_receive(&numbers, &number), -EAGAIN);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[0]), 0);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[1]), 0);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[2]), -EAGAIN);
    ck_assert_uint_eq(numbers.channel.count, 2);
    ck_assert_int_eq(try_receive(), 10);
    ck_assert_int_eq(try_receive(), 11);
    ck_assert_int_eq(rill_channel_try_receive(&numbers, &number), -EAGAIN);
    rill_channel_close(&numbers);
    ck_assert_int_eq(rill_channel_try_receive(&numbers, &number), 0);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[2]), -EPIPE);
    rill_channel_finish(&numbers);
}
END_TEST

/* The newcomer is polled first: it is ready already when the one in line is woken. */
START_TEST(a_newcomer_does_not_overtake_one_in_line_that_was_woken)
{
    rill_channel_init(&numbers);
    for (int i = 0; i < 3; i++)
        start_send(i);
    runner_start(&runners[3], rill_channel_send(&numbers, &ops[3], &sent[3]), NULL);
    ck_assert_int_eq(try_receive(), 10);
    rig_settle();
    ck_assert(is_over(2) && !is_over(3));
    ck_assert_int_eq(try_receive(), 11);
    ck_assert_int_eq(try_receive(), 12);
    rig_settle();
    ck_assert_int_eq(try_receive(), 13);

    start_receive(0);
    received[1] = -1;
    runner_start(&runners[1], rill_channel_receive(&numbers, &ops[1], &received[1]), NULL);
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[0]), 0);
    rig_settle();
    expect_over(0, 1);
    ck_assert(!is_over(1));
    ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[1]), 0);
    rig_settle();
    ck_assert_int_eq(received[0], 10);
    ck_assert_int_eq(received[1], 11);
    rill_channel_finish(&numbers);
}
END_TEST

static unsigned rounds;

/* There is always a message, so it never waits for one. */
static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (rounds = 0; rounds < 3 * RILL_TASK_BUDGET; rounds++) {
        ck_assert_int_eq(rill_channel_try_send(&numbers, &sent[0]), 0);
        RILL_AWAIT(rill_channel_receive(&numbers, &ops[0], &received[0]));
    }
    RILL_END();
}

START_TEST(a_loop_that_receives_what_is_there_lets_others_run)
{
    static struct rill_task task;

    rill_channel_init(&numbers);
    rill_task_spawn(&task, greedy_poll);
    rig_turn();
    ck_assert_uint_le(rounds, RILL_TASK_BUDGET);
    rig_settle();
    ck_assert(rill_task_is_over(&task));
    rill_channel_finish(&numbers);
}
END_TEST

START_TEST(a_loop_over_a_full_channel_lets_others_run)
{
    static struct rill_sleep nap;
    static struct runner sleeper;
    struct rill_channel *channel = &numbers.channel;

    rill_channel_init(&numbers);
    runner_start(&sleeper, rill_sleep(&nap, RILL_MILLISECOND), NULL);
    rig_turn();
    for (int i = 0; i < RILL_TASK_BUDGET; i++) { /* in one poll a task has only so many */
        runner_start(&runners[0], rill_channel_send(&numbers, &ops[0], &sent[0]), NULL);
        rig_settle();
        ck_assert_uint_eq(channel->count, 1);
        ck_assert_int_eq(try_receive(), 10);
    }
    rig_advance(RILL_SECOND);
    ck_assert(rill_task_is_over(&sleeper.task));
}
END_TEST

struct words RILL_CHANNEL(
    struct { char text[32]; }, 3);

START_TEST(messages_of_any_size_are_copied_whole_around_the_end_of_the_ring)
{
    struct words words;

    rill_channel_init(&words);
    for (int i = 0; i < 10; i++) {
        __typeof__(words.slots[0]) in, out;

        snprintf(in.text, sizeof in.text, "the word number %d", i);
        ck_assert_int_eq(rill_channel_try_send(&words, &in), 0);
        ck_assert_int_eq(rill_channel_try_send(&words, &in), 0);
        for (int k = 0; k < 2; k++) {
            memset(&out, 0, sizeof out);
            ck_assert_int_eq(rill_channel_try_receive(&words, &out), 1);
            ck_assert_str_eq(out.text, in.text);
        }
    }
    rill_channel_finish(&words);
}
END_TEST

struct pairs RILL_CHANNEL(
    struct { int64_t words[2]; }, 2);

START_TEST(messages_of_two_words_are_copied_whole)
{
    struct pairs pairs;
    __typeof__(pairs.slots[0]) in = {.words = {1, 2}}, out = {.words = {0}};

    rill_channel_init(&pairs);
    ck_assert_int_eq(rill_channel_try_send(&pairs, &in), 0);
    ck_assert_int_eq(rill_channel_try_receive(&pairs, &out), 1);
    ck_assert_int_eq(out.words[0], 1);
    ck_assert_int_eq(out.words[1], 2);
    rill_channel_finish(&pairs);
}
END_TEST

static void finish_while_one_sends(void)
{
    rill_channel_init(&numbers);
    for (int i = 0; i < 3; i++)
        start_send(i);
    rill_channel_finish(&numbers);
}

static void finish_while_one_waits(void)
{
    rill_channel_init(&numbers);
    start_receive(0);
    rill_channel_finish(&numbers);
}

static void send_without_a_place(void)
{
    rill_channel_init(&numbers);
    rill_channel_send_reserved(&numbers, &sent[0]);
}

static void finish_with_a_place_reserved(void)
{
    rill_channel_init(&numbers);
    runner_start(&runners[0], rill_channel_reserve(&numbers, &ops[0]), NULL);
    rig_settle();
    rill_channel_finish(&numbers);
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(finish_while_one_waits),
                    "a channel was finished while a task (above) waits for it");
    rig_expect_text(rig_abort_message(finish_while_one_sends),
                    "a channel was finished while a task (above) waits for it");
    rig_expect_text(rig_abort_message(send_without_a_place), "no place is reserved");
    rig_expect_text(rig_abort_message(finish_with_a_place_reserved), "1 places reserved");
}
END_TEST

/* ---- random runs against a model ----
 *
 * Senders send numbered messages, each either for certain or not at all; receivers
 * are cancelled, select and try. In the end, what was sent is what was received, each
 * sender's messages in order. */
enum { SENDERS = 3, RECEIVERS = 3, EACH = 40 };

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct sender {
    struct rill_task task;
    struct rill_channel_op op;
    int64_t number, message; /* of this sender, and the one on its way */
    int64_t sent;            /* successfully, all below it */
    bool reserves;
} senders[SENDERS];

static struct receiver {
    struct rill_task task;
    struct rill_channel_op op;
    struct rill_sleep nap;
    struct rill_select select;
    struct rill_future *futures[2];
    int64_t message;
} receivers[RECEIVERS];

static int64_t seen[SENDERS];

static enum rill_poll sender_poll(struct rill_future *self, struct rill_task *task)
{
    struct sender *sender = rill_container_of(self, struct sender, task.future);

    RILL_BEGIN();
    while (sender->sent < EACH) {
        sender->message = sender->number * 1000 + sender->sent;
        sender->reserves = dice(3) == 0;
        if (sender->reserves)
            RILL_AWAIT(rill_channel_reserve(&numbers, &sender->op));
        else
            RILL_AWAIT(rill_channel_send(&numbers, &sender->op, &sender->message));
        if (sender->op.result < 0)
            RILL_RETURN(sender->op.result);
        if (sender->reserves && dice(4) == 0) {
            rill_channel_give_up(&numbers);
            continue;
        }
        if (sender->reserves)
            rill_channel_send_reserved(&numbers, &sender->message);
        sender->sent++;
    }
    RILL_END();
}

static void take_note(int64_t message)
{
    int64_t sender = message / 1000;

    ck_assert_int_lt(sender, SENDERS);
    ck_assert_int_eq(message % 1000, seen[sender]);
    seen[sender]++;
}

static enum rill_poll receiver_poll(struct rill_future *self, struct rill_task *task)
{
    struct receiver *receiver = rill_container_of(self, struct receiver, task.future);

    RILL_BEGIN();
    for (;;) {
        if (dice(2)) {
            receiver->futures[0] = rill_sleep(&receiver->nap, (int64_t)dice(100));
            receiver->futures[1] =
                rill_channel_receive(&numbers, &receiver->op, &receiver->message);
            if (dice(2)) { /* what is ready first wins */
                struct rill_future *swap = receiver->futures[0];

                receiver->futures[0] = receiver->futures[1];
                receiver->futures[1] = swap;
            }
            RILL_AWAIT(rill_select(&receiver->select, receiver->futures, 2));
        } else {
            RILL_AWAIT(rill_channel_receive(&numbers, &receiver->op, &receiver->message));
        }
        if (receiver->op.result == 1)
            take_note(receiver->message);
        if (receiver->op.result == 0 || rill_task_is_cancelled(task))
            RILL_RETURN(receiver->op.result);
    }
    RILL_END();
}

static void run(uint64_t seed)
{
    bool all_sent = false;

    dice_state = seed;
    rill_channel_init(&numbers);
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.number = i};
        seen[i] = 0;
        rill_task_spawn(&senders[i].task, sender_poll);
    }
    for (int i = 0; i < RECEIVERS; i++) {
        receivers[i] = (struct receiver){.message = -1};
        rill_task_spawn(&receivers[i].task, receiver_poll);
    }
    while (!all_sent) {
        rig.driver.now_ns += (int64_t)dice(50000);
        rig_disturb(&dice_state);
        rig_turn();
        if (dice(20) == 0)
            rill_task_cancel(&senders[dice(SENDERS)].task);
        if (dice(20) == 0)
            rill_task_cancel(&receivers[dice(RECEIVERS)].task);
        all_sent = true;
        for (int i = 0; i < SENDERS; i++) {
            if (rill_task_is_over(&senders[i].task) && senders[i].sent < EACH)
                rill_task_spawn(&senders[i].task, sender_poll);
            all_sent = all_sent && senders[i].sent == EACH;
        }
        for (int i = 0; i < RECEIVERS; i++)
            if (rill_task_is_over(&receivers[i].task))
                rill_task_spawn(&receivers[i].task, receiver_poll);
    }
    rill_channel_close(&numbers);
    for (int i = 0; rig.executor.tasks_alive > 0; i++) {
        ck_assert_int_lt(i, 10000);
        rig.driver.now_ns += (int64_t)dice(50000);
        rig_disturb(&dice_state);
        rig_turn();
    }
    for (int64_t message; rill_channel_try_receive(&numbers, &message) == 1;)
        take_note(message); /* the receivers were all cancelled */
    for (int i = 0; i < SENDERS; i++)
        ck_assert_int_eq(seen[i], EACH);
    rill_channel_finish(&numbers);
}

START_TEST(every_message_arrives_once_and_in_order_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(2000); seed++)
        run(seed);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        messages_come_out_as_they_went_in,
        a_full_channel_makes_senders_wait_first_come_first_served,
        an_empty_channel_makes_receivers_wait_first_come_first_served,
        a_cancelled_send_keeps_its_message,
        who_is_cancelled_when_its_turn_has_come_lets_the_next_one_have_it,
        a_task_cancelled_before_its_first_poll_takes_and_gives_nothing,
        losing_a_select_leaves_the_message_in_the_channel,
        a_closed_channel_refuses_messages_and_gives_out_what_is_in_it,
        closing_ends_all_that_wait_to_receive,
        a_reserved_place_is_kept_free_and_sending_into_it_does_not_wait,
        a_place_given_up_goes_to_the_next_in_line,
        a_reserved_place_outlives_closing,
        giving_up_the_last_place_of_a_closed_channel_ends_the_receivers,
        trying_tells_of_a_channel_that_is_full_or_empty,
        a_newcomer_does_not_overtake_one_in_line_that_was_woken,
        a_loop_that_receives_what_is_there_lets_others_run,
        a_loop_over_a_full_channel_lets_others_run,
        messages_of_any_size_are_copied_whole_around_the_end_of_the_ring,
        messages_of_two_words_are_copied_whole,
        wrong_use_panics,
        every_message_arrives_once_and_in_order_whatever_is_cancelled,
    };

    return rig_main("channel", tests, RIG_COUNT(tests));
}
