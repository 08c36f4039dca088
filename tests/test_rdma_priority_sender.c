/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_priority_sender.c - the urgent go first, the others go too, and whatever happens
 * each message is told of once. */
#include "rdma/priority_sender.h"

#include "tests/rdma/linked.h"

#include <errno.h>
#include <string.h>

enum { SLOTS = 4, PLACES = 16, SIZE = 1000, COST = SIZE + RILL_RDMA_MESSAGE_COST, TAGS = 200 };

static struct outbox RILL_PRIORITY_CHANNEL(struct rill_rdma_outgoing, PLACES) outbox;
static struct rill_rdma_pipeline pipeline;
static struct rill_rdma_pipeline_slot slots[SLOTS];
static struct rill_rdma_priority_sender sender;
static struct rill_channel_op putting_op;
static struct background sending, putting;
static struct rill_rdma_transfer received;
static char message[SIZE], buffer[SIZE];
static int sent_of[TAGS], failed_of[TAGS], told;

static void on_sent(struct rill_rdma_pipeline *self, const struct rill_rdma_outgoing *outgoing,
                    int64_t result)
{
    expect(self == &pipeline);
    expect(outgoing->buffer == message);
    told++;
    if (result < 0)
        failed_of[outgoing->tag]++;
    else
        sent_of[outgoing->tag]++;
}

/* One message is on its way at a time. */
static bool open_sender(int which)
{
    const struct rill_rdma_connection_options small = {.window = COST};

    if (!linked_open(which, NULL, &small))
        return false;
    memset(sent_of, 0, sizeof sent_of);
    memset(failed_of, 0, sizeof failed_of);
    told = 0;
    rill_priority_channel_init(&outbox);
    rill_rdma_pipeline_init(&pipeline, &linked.client, slots, SLOTS, on_sent);
    background_start(&sending, rill_rdma_send_by_priority(&sender, &pipeline, &outbox.priority));
    settle();
    return true;
}

static void close_sender(int64_t result)
{
    rill_priority_channel_close(&outbox);
    expect_eq(background_end(&sending), result);
    expect_eq(pipeline.in_flight, 0);
    rill_priority_channel_finish(&outbox);
    linked_close();
}

static void put(enum rill_priority priority, uint32_t tag)
{
    struct rill_rdma_outgoing outgoing = {message, SIZE, tag, NULL};

    expect_eq(await(rill_priority_channel_send(&outbox, &putting_op, priority, &outgoing)), 0);
}

static uint32_t next_tag(void)
{
    expect_eq(await(rill_rdma_recv(&linked.server, &received, buffer, SIZE, RILL_RDMA_ANY_TAG)),
              SIZE);
    return received.tag;
}

START_TEST(messages_of_one_priority_go_in_order)
{
    if (!open_sender(_i))
        return;
    for (uint32_t i = 0; i < 100; i++) {
        put(RILL_PRIORITY_NORMAL, i);
        if (i >= 10)
            expect_eq(next_tag(), i - 10);
    }
    for (uint32_t i = 90; i < 100; i++)
        expect_eq(next_tag(), i);
    close_sender(0);
    for (uint32_t i = 0; i < 100; i++)
        expect_eq(sent_of[i], 1);
}
END_TEST

START_TEST(an_urgent_message_is_behind_one_that_waits_for_credit_and_no_more)
{
    if (!open_sender(_i))
        return;
    for (uint32_t i = 0; i < 10; i++)
        put(RILL_PRIORITY_LOW, i);
    settle();
    put(RILL_PRIORITY_HIGH, 100);
    put(RILL_PRIORITY_NORMAL, 50);
    expect_eq(next_tag(), 0);
    expect_eq(next_tag(), 1);
    expect_eq(next_tag(), 100);
    expect_eq(next_tag(), 50);
    for (uint32_t i = 2; i < 10; i++)
        expect_eq(next_tag(), i);
    close_sender(0);
}
END_TEST

START_TEST(urgent_messages_without_end_do_not_starve_the_others)
{
    int before = 0;

    if (!open_sender(_i))
        return;
    for (uint32_t i = 0; i < 3; i++)
        put(RILL_PRIORITY_HIGH, i);
    settle();
    put(RILL_PRIORITY_LOW, 199);
    for (uint32_t i = 3; i < 30; i++) {
        put(RILL_PRIORITY_HIGH, i);
        if (sent_of[199])
            break;
        before++;
        next_tag();
    }
    expect(before <= RILL_PRIORITY_OVERTAKEN_MAX + 3);
    rill_priority_channel_close(&outbox);
    while (!rill_task_is_over(&sending.task))
        next_tag();
    close_sender(0);
}
END_TEST

START_TEST(what_is_in_the_channel_when_it_is_closed_is_sent)
{
    if (!open_sender(_i))
        return;
    for (uint32_t i = 0; i < 10; i++)
        put((enum rill_priority)(i % RILL_PRIORITIES), i);
    rill_priority_channel_close(&outbox);
    for (uint32_t i = 0; i < 10; i++)
        next_tag();
    close_sender(0);
    expect_eq(told, 10);
    expect_eq(pipeline.sent, 10);
}
END_TEST

/* Everything that went into the channel was told of once. */
static void expect_told_once(uint32_t count)
{
    expect_eq(told, count);
    for (uint32_t i = 0; i < count; i++)
        expect_eq(sent_of[i] + failed_of[i], 1);
}

START_TEST(cancelled_it_tells_of_what_was_not_sent)
{
    if (!open_sender(_i))
        return;
    for (uint32_t i = 0; i < 10; i++)
        put((enum rill_priority)(i % RILL_PRIORITIES), i);
    settle();
    rill_task_cancel(&sending.task);
    close_sender(-ECANCELED);
    expect_told_once(10);
    expect_eq(pipeline.sent, 1);
}
END_TEST

START_TEST(cancelled_before_it_began_it_refuses_all)
{
    struct rill_rdma_outgoing outgoing = {message, SIZE, 0, NULL};

    if (!linked_open(_i, NULL, NULL))
        return;
    told = 0;
    memset(failed_of, 0, sizeof failed_of);
    rill_priority_channel_init(&outbox);
    rill_rdma_pipeline_init(&pipeline, &linked.client, slots, SLOTS, on_sent);
    put(RILL_PRIORITY_LOW, 0);
    background_start(&sending, rill_rdma_send_by_priority(&sender, &pipeline, &outbox.priority));
    rill_task_cancel(&sending.task);
    settle();
    expect_eq(await(rill_priority_channel_send(&outbox, &putting_op, RILL_PRIORITY_LOW, &outgoing)),
              -EPIPE);
    close_sender(-ECANCELED);
    expect_told_once(1);
}
END_TEST

START_TEST(when_the_other_side_is_lost_those_that_send_are_told)
{
    struct rill_rdma_outgoing outgoing = {message, SIZE, 0, NULL};

    if (!open_sender(_i))
        return;
    for (uint32_t i = 0; i < PLACES + 2; i++)
        put(RILL_PRIORITY_LOW, i);
    background_start(
        &putting, rill_priority_channel_send(&outbox, &putting_op, RILL_PRIORITY_LOW, &outgoing));
    settle();
    expect(!rill_task_is_over(&putting.task));
    expect_eq(await(rill_rdma_cut(&linked.server)), 0);
    expect_eq(background_end(&putting), -EPIPE);
    expect(background_end(&sending) < 0);
    rill_priority_channel_finish(&outbox);
    expect_told_once(PLACES + 2);
    linked_close();
}
END_TEST

/* It does not take up the outbox first, into which nobody may ever send again. */
START_TEST(one_that_waits_for_credit_ends_with_the_connection)
{
    if (!open_sender(_i))
        return;
    put(RILL_PRIORITY_LOW, 0);
    put(RILL_PRIORITY_LOW, 1);
    settle();
    expect_eq(await(rill_rdma_cut(&linked.server)), 0);
    expect(background_end(&sending) < 0);
    rill_priority_channel_finish(&outbox);
    expect_told_once(2);
    linked_close();
}
END_TEST

START_TEST(a_message_that_comes_after_the_connection_has_ended_is_told_of)
{
    if (!open_sender(_i))
        return;
    expect_eq(await(rill_rdma_cut(&linked.client)), 0);
    put(RILL_PRIORITY_LOW, 0);
    close_sender(-ENOTCONN);
    expect_told_once(1);
}
END_TEST

START_TEST(a_place_that_was_reserved_is_waited_for_and_its_message_told_of)
{
    struct rill_rdma_outgoing outgoing = {message, SIZE, 0, NULL};

    if (!open_sender(_i))
        return;
    expect_eq(await(rill_channel_reserve_(&outbox.priority.levels[1], &putting_op)), 0);
    rill_task_cancel(&sending.task);
    settle();
    expect(!rill_task_is_over(&sending.task));
    rill_channel_send_reserved_(&outbox.priority.levels[1], &outgoing);
    close_sender(-ECANCELED);
    expect_told_once(1);
}
END_TEST

START_TEST(buffers_that_messages_own_go_back_sent_or_not)
{
    static struct rill_rdma_buffer_pool buffers;

    if (!open_sender(_i))
        return;
    pipeline.on_sent = NULL;
    expect_eq(rill_rdma_buffer_pool_init(&buffers, &duo.left, NULL), 0);
    for (uint32_t i = 0; i < 10; i++) {
        struct rill_rdma_buffer *taken;
        struct rill_rdma_outgoing outgoing = {.size = SIZE, .tag = i};

        expect_eq(rill_rdma_buffer_try_take(&buffers, SIZE, &taken), 0);
        memset(taken->bytes, 1, SIZE);
        outgoing.buffer = taken->bytes;
        outgoing.owned = taken;
        expect_eq(
            await(rill_priority_channel_send(&outbox, &putting_op, RILL_PRIORITY_LOW, &outgoing)),
            0);
    }
    for (uint32_t i = 0; i < 3; i++)
        expect_eq(next_tag(), i);
    expect(buffers.bytes_taken > 0);
    if (_i == OVER_TCP) {
        rill_task_cancel(&sending.task);
        expect_eq(background_end(&sending), -ECANCELED);
    } else {
        expect_eq(await(rill_rdma_cut(&linked.client)), 0);
        expect(background_end(&sending) < 0);
    }
    expect_eq(buffers.bytes_taken, 0);
    rill_rdma_buffer_pool_finish(&buffers);
    rill_priority_channel_finish(&outbox);
    linked_close();
}
END_TEST

static void wrong_channel(void)
{
    static struct numbers RILL_PRIORITY_CHANNEL(int, 1) numbers;

    if (!linked_open(OVER_TCP, NULL, NULL))
        return;
    rill_priority_channel_init(&numbers);
    rill_rdma_send_by_priority(&sender, &pipeline, &numbers.priority);
}

START_TEST(a_channel_of_other_messages_panics)
{
    fixture_expect_panic(wrong_channel, "a channel of messages of 4 bytes is no outbox");
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {messages_of_one_priority_go_in_order, IN_TCP_AND_SHM},
        {an_urgent_message_is_behind_one_that_waits_for_credit_and_no_more, IN_TCP_AND_SHM},
        {urgent_messages_without_end_do_not_starve_the_others, IN_TCP_AND_SHM},
        {what_is_in_the_channel_when_it_is_closed_is_sent, IN_TCP_AND_SHM},
        {cancelled_it_tells_of_what_was_not_sent, IN_TCP_AND_SHM},
        {cancelled_before_it_began_it_refuses_all, IN_TCP_AND_SHM},
        {when_the_other_side_is_lost_those_that_send_are_told, IN_TCP},
        {one_that_waits_for_credit_ends_with_the_connection, IN_TCP},
        {a_message_that_comes_after_the_connection_has_ended_is_told_of, IN_TCP},
        {a_place_that_was_reserved_is_waited_for_and_its_message_told_of, IN_TCP_AND_SHM},
        {buffers_that_messages_own_go_back_sent_or_not, IN_TCP_AND_SHM},
        {a_channel_of_other_messages_panics, IN_TCP},
    };

    return duo_main("rdma priority sender", cases, sizeof cases / sizeof *cases);
}
