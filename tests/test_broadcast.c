/* SPDX-License-Identifier: Apache-2.0 */
/* test_broadcast.c - all get every message, or are told how many they missed. */
#include "runtime/broadcast.h"
#include "runtime/watch.h"
#include "tests/rig.h"

#include <errno.h>

enum { READERS = 3, KEPT = 4 };

struct news RILL_BROADCAST(int64_t, KEPT);
struct setting RILL_WATCH(int64_t);

static struct news news;
static struct rill_subscription subscriptions[READERS];
static struct runner runners[READERS];
static int64_t messages[READERS];

static void start(int i)
{
    runner_start(&runners[i], rill_broadcast_receive(&news, &subscriptions[i], &messages[i]), NULL);
    rig_settle();
}

static void expect_message(int i, int64_t message, uint64_t missed)
{
    ck_assert(rill_task_is_over(&runners[i].task));
    ck_assert_int_eq(subscriptions[i].result, 1);
    ck_assert_int_eq(messages[i], message);
    ck_assert_uint_eq(subscriptions[i].missed, missed);
}

static void send(int64_t message)
{
    ck_assert_int_eq(rill_broadcast_send(&news, &message), 0);
}

static void open_news(void)
{
    rill_broadcast_init(&news);
    for (int i = 0; i < READERS; i++)
        rill_broadcast_subscribe(&news, &subscriptions[i]);
}

START_TEST(every_subscriber_gets_every_message)
{
    open_news();
    for (int64_t message = 1; message < 10; message++) {
        for (int i = 0; i < READERS; i++)
            start(i);
        send(message);
        rig_settle();
        for (int i = 0; i < READERS; i++)
            expect_message(i, message, 0);
    }
    rill_broadcast_finish(&news);
}
END_TEST

START_TEST(a_slow_subscriber_is_told_how_many_it_missed)
{
    open_news();
    for (int64_t message = 1; message <= 10; message++)
        send(message);
    start(0);
    expect_message(0, 7, 6);
    start(0);
    expect_message(0, 8, 0);
    send(11);
    send(12);
    send(13);
    start(0);
    expect_message(0, 10, 1);
}
END_TEST

START_TEST(one_that_subscribes_later_begins_with_the_next_message)
{
    open_news();
    send(1);
    rill_broadcast_subscribe(&news, &subscriptions[1]);
    send(2);
    start(1);
    expect_message(1, 2, 0);
    subscriptions[1].next = 0; /* or with all that is kept */
    start(1);
    expect_message(1, 1, 0);
}
END_TEST

START_TEST(a_closed_broadcast_gives_out_what_is_kept_and_ends)
{
    open_news();
    send(1);
    start(1);
    start(1);
    rill_broadcast_close(&news);
    rig_settle();
    ck_assert_int_eq(subscriptions[1].result, 0);
    start(0);
    expect_message(0, 1, 0);
    start(0);
    ck_assert_int_eq(subscriptions[0].result, 0);
    ck_assert_int_eq(rill_broadcast_send(&news, &messages[0]), -EPIPE);
}
END_TEST

/* In both orders. */
START_TEST(a_cancelled_receive_leaves_the_message_for_the_next)
{
    for (int message_first = 0; message_first < 2; message_first++) {
        open_news();
        start(0);
        if (message_first)
            send(5);
        rill_task_cancel(&runners[0].task);
        if (!message_first)
            send(5);
        rig_settle();
        ck_assert_int_eq(subscriptions[0].result, -ECANCELED);
        start(0);
        expect_message(0, 5, 0);
    }
}
END_TEST

static void share_a_subscription(void)
{
    open_news();
    start(0);
    runner_start(&runners[1], rill_broadcast_receive(&news, &subscriptions[0], &messages[0]), NULL);
}

static void finish_news_too_early(void)
{
    open_news();
    start(0);
    rill_broadcast_finish(&news);
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(share_a_subscription), "the same subscription");
    rig_expect_text(rig_abort_message(finish_news_too_early),
                    "a broadcast was finished while a task");
}
END_TEST

/* ---- a watched value ---- */

static struct setting setting;
static struct rill_watch watches[READERS];

static void start_watch(int i)
{
    runner_start(&runners[i], rill_watch_changed(&setting, &watches[i]), NULL);
    rig_settle();
}

static void expect_watch(int i, int64_t result)
{
    ck_assert(rill_task_is_over(&runners[i].task));
    ck_assert_int_eq(watches[i].result, result);
}

static void set(int64_t value)
{
    rill_watch_set(&setting, &value);
}

START_TEST(all_who_watch_are_told_of_a_change_once)
{
    rill_watch_init(&setting);
    for (int i = 0; i < READERS; i++)
        start_watch(i);
    set(1);
    set(2);
    rig_settle();
    for (int i = 0; i < READERS; i++) {
        expect_watch(i, 1);
        ck_assert_uint_eq(watches[i].seen, 2);
        start_watch(i);
        ck_assert(!rill_task_is_over(&runners[i].task));
    }
    ck_assert_int_eq(setting.value, 2);
    rill_watch_close(&setting);
    rig_settle();
    for (int i = 0; i < READERS; i++)
        expect_watch(i, 0);
    rill_watch_finish(&setting);
}
END_TEST

START_TEST(a_change_that_was_not_told_of_is_told_at_once)
{
    rill_watch_init(&setting);
    set(7);
    start_watch(0);
    expect_watch(0, 1);
    set(8);
    rill_watch_close(&setting);
    start_watch(0);
    expect_watch(0, 1);
    start_watch(0);
    expect_watch(0, 0);
}
END_TEST

START_TEST(a_cancelled_watch_is_told_of_the_change_next_time)
{
    for (int change_first = 0; change_first < 2; change_first++) {
        watches[0] = (struct rill_watch){.seen = 0};
        rill_watch_init(&setting);
        start_watch(0);
        if (change_first)
            set(1);
        rill_task_cancel(&runners[0].task);
        if (!change_first)
            set(1);
        rig_settle();
        expect_watch(0, -ECANCELED);
        start_watch(0);
        expect_watch(0, 1);
    }
}
END_TEST

static void set_after_closing(void)
{
    rill_watch_init(&setting);
    rill_watch_close(&setting);
    set(1);
}

static void set_after_finishing(void)
{
    rill_watch_init(&setting);
    rill_watch_finish(&setting);
    set(1);
}

static void finish_watch_too_early(void)
{
    rill_watch_init(&setting);
    start_watch(0);
    rill_watch_finish(&setting);
}

static void share_a_watch(void)
{
    rill_watch_init(&setting);
    start_watch(0);
    runner_start(&runners[1], rill_watch_changed(&setting, &watches[0]), NULL);
}

START_TEST(wrong_use_of_a_watched_value_panics)
{
    rig_expect_text(rig_abort_message(share_a_watch), "the same watch");
    rig_expect_text(rig_abort_message(set_after_closing), "set after it was closed");
    rig_expect_text(rig_abort_message(set_after_finishing), "set after it was closed");
    rig_expect_text(rig_abort_message(finish_watch_too_early),
                    "a watched value was finished while a task");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        every_subscriber_gets_every_message,
        a_slow_subscriber_is_told_how_many_it_missed,
        one_that_subscribes_later_begins_with_the_next_message,
        a_closed_broadcast_gives_out_what_is_kept_and_ends,
        a_cancelled_receive_leaves_the_message_for_the_next,
        wrong_use_panics,
        all_who_watch_are_told_of_a_change_once,
        a_change_that_was_not_told_of_is_told_at_once,
        a_cancelled_watch_is_told_of_the_change_next_time,
        wrong_use_of_a_watched_value_panics,
    };

    return rig_main("broadcast", tests, RIG_COUNT(tests));
}
