/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_pipeline.c - messages in flight: what waits, what is told, what an error and a
 * cancel leave. */
#include "rdma/pipeline.h"

#include "tests/rdma/linked.h"
#include "tests/rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS = 4,
    MESSAGES = 100,
    SIZE = 1000,
    COST = SIZE + RILL_RDMA_MESSAGE_COST,
    LONG = 100000, /* stays in its slot until it is received */
};

static struct rill_rdma_pipeline pipeline;
static struct rill_rdma_pipeline_slot slots[SLOTS];
static struct rill_rdma_transfer received;
static struct background sending, draining;
static char message[LONG], buffer[LONG];
static int told, told_errors, told_of[MESSAGES];

static void on_sent(struct rill_rdma_pipeline *self, const struct rill_rdma_outgoing *outgoing,
                    int64_t result)
{
    expect(self == &pipeline);
    expect(outgoing->buffer == message);
    told++;
    told_errors += result < 0;
    expect(result < 0 || result == (int64_t)outgoing->size);
    told_of[outgoing->tag]++;
}

static void make_pipeline(void)
{
    told = told_errors = 0;
    memset(told_of, 0, sizeof told_of);
    rill_rdma_pipeline_init(&pipeline, &linked.client, slots, SLOTS, on_sent);
}

/* Of who is to see soon that the other side was cut. */
static const struct rill_rdma_connection_options watchful = {.silence_ns = RILL_SECOND / 2};

static bool open_pipeline(int which, const struct rill_rdma_connection_options *of_server)
{
    if (!linked_open(which, NULL, of_server))
        return false;
    make_pipeline();
    return true;
}

static int64_t give(size_t size, uint32_t tag)
{
    return await(rill_rdma_pipeline_send(&pipeline, message, size, tag));
}

static void expect_message(uint32_t tag)
{
    expect(await(rill_rdma_recv(&linked.server, &received, buffer, LONG, RILL_RDMA_ANY_TAG)) > 0);
    expect_eq(received.tag, tag);
}

/* ---- sending ---- */

START_TEST(short_messages_need_no_task_of_their_own)
{
    if (!open_pipeline(_i, NULL))
        return;
    for (uint32_t i = 0; i < MESSAGES; i++)
        expect_eq(give(8, i), 0);
    expect_eq(told, MESSAGES);
    expect_eq(pipeline.sent, MESSAGES);
    if (_i == OVER_TCP && !network()->is_verbs) /* others have room for a few only */
        expect_eq(pipeline.task.state, RILL_TASK_NEW);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    for (uint32_t i = 0; i < MESSAGES; i++)
        expect_message(i);
    linked_close();
}
END_TEST

START_TEST(a_send_waits_only_while_all_slots_are_occupied)
{
    if (!open_pipeline(_i, NULL))
        return;
    for (uint32_t i = 0; i < SLOTS; i++)
        expect_eq(give(LONG, i), 0);
    expect_eq(pipeline.in_flight, SLOTS);
    background_start(&sending, rill_rdma_pipeline_send(&pipeline, message, LONG, SLOTS));
    settle();
    expect(!rill_task_is_over(&sending.task));
    expect_message(0);
    expect_eq(background_end(&sending), 0);
    expect_eq(told, 1);
    background_start(&draining, rill_rdma_pipeline_drain(&pipeline));
    settle();
    expect(!rill_task_is_over(&draining.task));
    for (uint32_t i = 1; i <= SLOTS; i++)
        expect_message(i);
    expect_eq(background_end(&draining), 0);
    expect_eq(told, SLOTS + 1);
    expect_eq(told_errors, 0);
    expect(rill_task_is_over(&pipeline.task));
    linked_close();
}
END_TEST

START_TEST(messages_of_mixed_sizes_arrive_in_order_and_are_told_once)
{
    static struct background receiving;
    uint64_t random = 7;

    if (!open_pipeline(_i, NULL))
        return;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        background_start(
            &receiving, rill_rdma_recv(&linked.server, &received, buffer, LONG, RILL_RDMA_ANY_TAG));
        expect_eq(give(rig_random(&random, 2) ? 1 + rig_random(&random, 100) : LONG, i), 0);
        expect(background_end(&receiving) > 0);
        expect_eq(received.tag, i);
    }
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    for (uint32_t i = 0; i < MESSAGES; i++)
        expect_eq(told_of[i], 1);
    linked_close();
}
END_TEST

START_TEST(one_message_at_the_most_waits_for_credit)
{
    const struct rill_rdma_connection_options small = {.window = 2 * COST};

    if (!open_pipeline(_i, &small))
        return;
    for (uint32_t i = 0; i < 3; i++)
        expect_eq(give(SIZE, i), 0);
    expect_eq(pipeline.in_flight, 1);
    background_start(&sending, rill_rdma_pipeline_send(&pipeline, message, SIZE, 3));
    settle();
    expect(!rill_task_is_over(&sending.task)); /* though there are slots */
    expect_eq(linked.client.metrics.credit_waits, 1);
    for (uint32_t i = 0; i < 2; i++)
        expect_message(i);
    expect_eq(background_end(&sending), 0);
    for (uint32_t i = 2; i < 4; i++)
        expect_message(i);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    linked_close();
}
END_TEST

/* Another task gets credit, and posts for the pipeline as well: it has room then, though
 * nothing of its own is over. */
START_TEST(room_that_another_sender_makes_is_seen)
{
    const struct rill_rdma_connection_options two = {.window = COST + RILL_RDMA_MESSAGE_COST +
                                                               RILL_RDMA_EAGER_SIZE};
    static struct rill_rdma_transfer other;
    static struct background sending_other;

    setenv("UCX_RNDV_THRESH", "8000", 1); /* else it is more where there is TCP alone */
    if (!open_pipeline(_i, &two))
        return;
    expect_eq(give(SIZE, 0), 0);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    expect_eq(give(LONG, 1), 0);
    background_start(&sending_other, rill_rdma_send(&linked.client, &other, message, SIZE, 2));
    settle();
    expect_eq(give(LONG, 3), 0);
    background_start(&sending, rill_rdma_pipeline_wait(&pipeline));
    settle();
    expect(!rill_task_is_over(&sending.task));
    expect_message(0);
    expect_message(1);
    expect_eq(background_end(&sending), 0);
    expect_message(2);
    expect_message(3);
    expect_eq(background_end(&sending_other), SIZE);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    linked_close();
}
END_TEST

START_TEST(waiting_for_room_promises_a_send_that_does_not_wait)
{
    if (!open_pipeline(_i, NULL))
        return;
    expect_eq(await(rill_rdma_pipeline_wait(&pipeline)), 0);
    for (uint32_t i = 0; i < SLOTS; i++)
        expect_eq(give(LONG, i), 0);
    background_start(&sending, rill_rdma_pipeline_wait(&pipeline));
    settle();
    expect(!rill_task_is_over(&sending.task));
    expect_message(0);
    expect_eq(background_end(&sending), 0);
    background_start(&sending, rill_rdma_pipeline_send(&pipeline, message, LONG, SLOTS));
    fixture_turn();
    expect(rill_task_is_over(&sending.task));
    for (uint32_t i = 1; i <= SLOTS; i++)
        expect_message(i);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    linked_close();
}
END_TEST

/* ---- batches ---- */

START_TEST(a_batch_is_sent_as_one_future)
{
    static struct rill_rdma_outgoing batch[MESSAGES];

    if (!open_pipeline(_i, NULL))
        return;
    for (uint32_t i = 0; i < MESSAGES; i++)
        batch[i] = (struct rill_rdma_outgoing){message, i % 3 ? 10 : LONG, i, NULL};
    expect_eq(await(rill_rdma_pipeline_send_all(&pipeline, batch, 0)), 0);
    background_start(&sending, rill_rdma_pipeline_send_all(&pipeline, batch, MESSAGES));
    for (uint32_t i = 0; i < MESSAGES; i++) {
        expect_message(i);
        expect(pipeline.in_flight <= SLOTS);
    }
    expect_eq(background_end(&sending), MESSAGES);
    expect_eq(pipeline.sent, MESSAGES);
    expect_eq(told, MESSAGES);
    linked_close();
}
END_TEST

START_TEST(a_batch_that_is_cancelled_waits_for_what_ucx_has_and_says_how_many_went_out)
{
    const struct rill_rdma_connection_options small = {.window = 2 * COST};
    static struct rill_rdma_outgoing batch[MESSAGES];

    if (!open_pipeline(_i, &small))
        return;
    for (uint32_t i = 0; i < MESSAGES; i++)
        batch[i] = (struct rill_rdma_outgoing){message, SIZE, i, NULL};
    background_start(&sending, rill_rdma_pipeline_send_all(&pipeline, batch, MESSAGES));
    settle();
    rill_task_cancel(&sending.task);
    expect_eq(background_end(&sending), -ECANCELED);
    expect_eq(pipeline.in_flight, 0);
    expect_eq(pipeline.sent, 2);
    expect_eq(told, 3);
    expect_eq(told_errors, 1);
    expect_message(0);
    expect_message(1);
    expect_eq(give(SIZE, 99), 0); /* it is as good as new */
    expect_message(99);
    linked_close();
}
END_TEST

/* ---- buffers of a pool ---- */

enum { BUFFERS = 8, BUFFER_SIZE = 128 << 10 };

static struct rill_rdma_buffer_pool buffers;

static void open_buffers(void)
{
    const struct rill_rdma_buffer_pool_options options = {
        .smallest = BUFFER_SIZE, .largest = BUFFER_SIZE, .bytes_max = BUFFERS * BUFFER_SIZE};

    expect_eq(rill_rdma_buffer_pool_init(&buffers, &duo.left, &options), 0);
    rill_rdma_pipeline_init(&pipeline, &linked.client, slots, SLOTS, NULL);
}

static void close_buffers(void)
{
    expect_eq(buffers.bytes_taken, 0);
    rill_rdma_buffer_pool_finish(&buffers);
    linked_close();
}

static struct rill_rdma_buffer *take_buffer(int value)
{
    struct rill_rdma_buffer *taken;

    expect_eq(rill_rdma_buffer_try_take(&buffers, LONG, &taken), 0);
    memset(taken->bytes, value, LONG);
    return taken;
}

START_TEST(a_buffer_that_it_owns_goes_back_when_it_was_sent)
{
    struct rill_rdma_buffer_take take;

    if (!linked_open(_i, NULL, NULL))
        return;
    open_buffers();
    for (int i = 0; i < MESSAGES; i++) {
        if (i >= SLOTS) {
            linked_receive(1, (uint32_t)(i - SLOTS));
            duo_turn_until(pipeline.in_flight < SLOTS);
        }
        expect(await(rill_rdma_buffer_take(&buffers, &take, LONG)) > 0);
        expect_eq(await(rill_rdma_pipeline_send_buffer(&pipeline, take.buffer, LONG, (uint32_t)i)),
                  0);
        expect(buffers.bytes_taken <= SLOTS * BUFFER_SIZE);
    }
    linked_receive(SLOTS, RILL_RDMA_ANY_TAG);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    close_buffers();
}
END_TEST

START_TEST(a_buffer_that_it_owns_goes_back_when_it_was_not_sent)
{
    if (!linked_open(_i, &watchful, &watchful))
        return;
    open_buffers();
    for (int i = 0; i < SLOTS; i++)
        expect_eq(await(rill_rdma_pipeline_send_buffer(&pipeline, take_buffer(i), LONG, 1)), 0);
    background_start(&sending, rill_rdma_pipeline_send_buffer(&pipeline, take_buffer(1), LONG, 1));
    settle();
    expect_eq(buffers.bytes_taken, (SLOTS + 1) * BUFFER_SIZE);
    rill_task_cancel(&sending.task);
    expect_eq(background_end(&sending), -ECANCELED);
    expect_eq(buffers.bytes_taken, SLOTS * BUFFER_SIZE);
    expect_eq(await(rill_rdma_cut(&linked.client)), 0);
    expect(await(rill_rdma_pipeline_send_buffer(&pipeline, take_buffer(1), LONG, 1)) < 0);
    expect(await(rill_rdma_pipeline_drain(&pipeline)) < 0);
    expect_eq(await(rill_rdma_pipeline_send_buffer(&pipeline, take_buffer(1), LONG, 1)), -ENOTCONN);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), -ENOTCONN);
    close_buffers();
}
END_TEST

START_TEST(buffers_of_a_batch_go_back_also_those_that_were_not_begun)
{
    static struct rill_rdma_outgoing batch[BUFFERS];

    if (!linked_open(_i, &watchful, &watchful))
        return;
    open_buffers();
    for (uint32_t i = 0; i < BUFFERS; i++) {
        struct rill_rdma_buffer *taken = take_buffer((int)i);

        batch[i] = (struct rill_rdma_outgoing){taken->bytes, LONG, i, taken};
    }
    background_start(&sending, rill_rdma_pipeline_send_all(&pipeline, batch, BUFFERS));
    settle();
    expect_message(0);
    expect_eq(await(rill_rdma_cut(&linked.client)), 0);
    expect(background_end(&sending) < 0);
    close_buffers();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(a_send_that_waits_for_room_can_be_cancelled_and_is_not_sent)
{
    if (!open_pipeline(_i, NULL))
        return;
    for (uint32_t i = 0; i < SLOTS; i++)
        expect_eq(give(LONG, i), 0);
    background_start(&sending, rill_rdma_pipeline_send(&pipeline, message, LONG, 50));
    settle();
    rill_task_cancel(&sending.task);
    expect_eq(background_end(&sending), -ECANCELED);
    expect_eq(told_of[50], 0);
    expect_eq(pipeline.in_flight, SLOTS);
    for (uint32_t i = 0; i < SLOTS; i++)
        expect_message(i);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    expect_eq(told, SLOTS);
    linked_close();
}
END_TEST

START_TEST(room_that_came_for_one_that_is_cancelled_is_there_for_the_next)
{
    if (!open_pipeline(_i, NULL))
        return;
    for (uint32_t i = 0; i < SLOTS; i++)
        expect_eq(give(LONG, i), 0);
    background_start(&sending, rill_rdma_pipeline_send(&pipeline, message, LONG, 50));
    settle();
    linked_receive(1, 0);
    rill_task_cancel(&sending.task); /* before or after it was woken: either is right */
    if (background_end(&sending) == 0)
        linked_receive(1, 1);
    duo_turn_until(pipeline.in_flight == SLOTS - 1);
    expect_eq(give(LONG, 51), 0);
    do
        expect(await(rill_rdma_recv(&linked.server, &received, buffer, LONG, RILL_RDMA_ANY_TAG)) >
               0);
    while (received.tag != 51);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    expect_eq(told_of[51], 1);
    linked_close();
}
END_TEST

START_TEST(a_cancelled_drain_takes_back_what_waits_for_credit)
{
    const struct rill_rdma_connection_options small = {.window = COST};

    if (!open_pipeline(_i, &small))
        return;
    for (uint32_t i = 0; i < 2; i++)
        expect_eq(give(SIZE, i), 0);
    background_start(&draining, rill_rdma_pipeline_drain(&pipeline));
    settle();
    expect(!rill_task_is_over(&draining.task));
    rill_task_cancel(&draining.task);
    expect_eq(background_end(&draining), -ECANCELED);
    expect_eq(told_of[1], 1);
    expect_eq(told_errors, 1);
    expect_eq(pipeline.in_flight, 0);
    linked_receive(1, 0);
    expect(!rill_rdma_probe(&linked.server, 1, NULL, NULL));
    linked_close();
}
END_TEST

START_TEST(a_cancelled_drain_waits_for_what_ucx_has)
{
    if (!open_pipeline(_i, NULL))
        return;
    expect_eq(give(LONG, 1), 0);
    background_start(&draining, rill_rdma_pipeline_drain(&pipeline));
    rill_task_cancel(&draining.task);
    settle();
    expect(!rill_task_is_over(&draining.task));
    expect_message(1);
    expect_eq(background_end(&draining), 0); /* it went out after all */
    linked_close();
}
END_TEST

/* ---- errors ---- */

START_TEST(a_message_that_can_not_begin_is_not_taken)
{
    if (!linked_open_hubs(_i))
        return;
    linked_close_hubs();
    if (!linked_open(_i, NULL, NULL))
        return;
    make_pipeline();
    expect_eq(await(rill_rdma_cut(&linked.client)), 0);
    expect_eq(give(8, 1), -ENOTCONN);
    expect_eq(give(8, 1), -ENOTCONN);
    expect_eq(told, 0);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), -ENOTCONN);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    linked_close();
}
END_TEST

START_TEST(when_the_other_side_is_lost_all_are_told_and_the_first_error_is_kept)
{
    if (!linked_open(_i, &watchful, &watchful))
        return;
    make_pipeline();
    for (uint32_t i = 0; i < SLOTS; i++)
        expect_eq(give(LONG, i), 0);
    background_start(&sending, rill_rdma_pipeline_send(&pipeline, message, LONG, 50));
    settle();
    expect_eq(await(rill_rdma_cut(&linked.server)), 0);
    expect(background_end(&sending) < 0);
    expect_eq(pipeline.error, pipeline.result);
    expect(await(rill_rdma_pipeline_drain(&pipeline)) < 0);
    expect_eq(told, SLOTS);
    expect_eq(told_of[50], 0);
    expect(pipeline.sent < SLOTS);
    linked_close();
}
END_TEST

START_TEST(what_this_side_sends_before_it_disconnects_goes_out)
{
    static struct background ending;
    const struct rill_rdma_connection_options small = {.window = COST};

    if (!open_pipeline(_i, &small))
        return;
    for (uint32_t i = 0; i < 2; i++)
        expect_eq(give(SIZE, i), 0);
    background_start(&ending, rill_rdma_disconnect(&linked.client));
    settle();
    background_start(&sending, rill_rdma_pipeline_send(&pipeline, message, SIZE, 3));
    expect_message(0);
    expect_message(1);
    expect_eq(background_end(&sending), -ESHUTDOWN);
    expect_eq(await(rill_rdma_disconnect(&linked.server)), 0);
    expect_eq(background_end(&ending), 0);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), -ESHUTDOWN);
    expect_eq(pipeline.sent, 2);
    linked_close();
}
END_TEST

START_TEST(a_batch_ends_with_the_error_of_the_first_that_failed)
{
    static struct rill_rdma_outgoing batch[MESSAGES];

    if (!linked_open(_i, &watchful, &watchful))
        return;
    make_pipeline();
    for (uint32_t i = 0; i < MESSAGES; i++)
        batch[i] = (struct rill_rdma_outgoing){message, LONG, i, NULL};
    background_start(&sending, rill_rdma_pipeline_send_all(&pipeline, batch, MESSAGES));
    for (uint32_t i = 0; i < 10; i++)
        expect_message(i);
    expect_eq(await(rill_rdma_cut(&linked.server)), 0);
    expect(background_end(&sending) < 0);
    expect(pipeline.sent >= 9 && pipeline.sent <= 14);
    expect_eq(told - told_errors, pipeline.sent);
    linked_close();
}
END_TEST

/* ---- chance ---- */

/* Whatever is cancelled, each message that was taken is told once, and those that went out
 * arrive, in order. */
static void random_run(int which, uint64_t seed)
{
    const struct rill_rdma_connection_options small = {.window = 3 * COST};
    static struct background receiving;
    uint64_t random = seed;
    bool is_sending = false, is_receiving = false;
    uint32_t next = 0;
    int taken = 0, arrived = 0;
    int64_t last = -1;

    if (!open_pipeline(which, &small))
        return;
    while (next < MESSAGES || is_sending) {
        if (!is_sending) {
            background_start(&sending,
                             rill_rdma_pipeline_send(&pipeline, message,
                                                     rig_random(&random, 2) ? SIZE : LONG, next++));
            is_sending = true;
        } else if (rig_random(&random, 8) == 0) {
            rill_task_cancel(&sending.task);
        }
        if (!is_receiving && rig_random(&random, 2)) {
            background_start(&receiving, rill_rdma_recv(&linked.server, &received, buffer, LONG,
                                                        RILL_RDMA_ANY_TAG));
            is_receiving = true;
        }
        fixture_turn();
        if (is_sending && rill_task_is_over(&sending.task)) {
            is_sending = false;
            if (background_end(&sending) == 0)
                taken++;
        }
        if (is_receiving && rill_task_is_over(&receiving.task)) {
            is_receiving = false;
            expect(background_end(&receiving) > 0);
            expect((int64_t)received.tag > last);
            last = received.tag;
            arrived++;
        }
    }
    background_start(&draining, rill_rdma_pipeline_drain(&pipeline));
    if (is_receiving && arrived < taken) {
        expect(background_end(&receiving) > 0);
        arrived++;
        is_receiving = false;
    }
    for (; arrived < taken; arrived++)
        linked_receive(1, RILL_RDMA_ANY_TAG);
    expect_eq(background_end(&draining), 0);
    expect_eq(told, taken);
    expect_eq(told_errors, 0);
    if (is_receiving) {
        rill_task_cancel(&receiving.task);
        expect_eq(background_end(&receiving), -ECANCELED);
    }
    expect(!rill_rdma_probe(&linked.server, RILL_RDMA_ANY_TAG, NULL, NULL));
    linked_close();
}

START_TEST(random_cancels_lose_nothing)
{
    uint64_t first, count;

    fixture_seeds(4, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        random_run(_i, seed);
}
END_TEST

/* ---- bad use ---- */

static void use_by_two(void)
{
    static struct background other;

    if (!open_pipeline(OVER_SHM, NULL))
        return;
    for (uint32_t i = 0; i < SLOTS; i++)
        give(LONG, i);
    background_start(&sending, rill_rdma_pipeline_send(&pipeline, message, LONG, 1));
    settle();
    background_start(&other, rill_rdma_pipeline_send(&pipeline, message, LONG, 2));
}

START_TEST(a_second_task_that_sends_panics)
{
    fixture_expect_panic(use_by_two,
                         "send through a pipeline: another task waits in this pipeline");
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {short_messages_need_no_task_of_their_own, IN_TCP_AND_SHM},
        {a_send_waits_only_while_all_slots_are_occupied, IN_TCP_AND_SHM},
        {messages_of_mixed_sizes_arrive_in_order_and_are_told_once, IN_TCP_AND_SHM},
        {one_message_at_the_most_waits_for_credit, IN_TCP_AND_SHM},
        {room_that_another_sender_makes_is_seen, IN_TCP_AND_SHM},
        {waiting_for_room_promises_a_send_that_does_not_wait, IN_TCP_AND_SHM},
        {a_batch_is_sent_as_one_future, IN_TCP_AND_SHM},
        {a_batch_that_is_cancelled_waits_for_what_ucx_has_and_says_how_many_went_out,
         IN_TCP_AND_SHM},
        {a_buffer_that_it_owns_goes_back_when_it_was_sent, IN_TCP_AND_SHM},
        {a_buffer_that_it_owns_goes_back_when_it_was_not_sent, IN_TCP},
        {buffers_of_a_batch_go_back_also_those_that_were_not_begun, IN_TCP},
        {a_send_that_waits_for_room_can_be_cancelled_and_is_not_sent, IN_TCP_AND_SHM},
        {room_that_came_for_one_that_is_cancelled_is_there_for_the_next, IN_TCP_AND_SHM},
        {a_cancelled_drain_takes_back_what_waits_for_credit, IN_TCP_AND_SHM},
        {a_cancelled_drain_waits_for_what_ucx_has, IN_TCP_AND_SHM},
        {a_message_that_can_not_begin_is_not_taken, IN_TCP},
        {when_the_other_side_is_lost_all_are_told_and_the_first_error_is_kept, IN_TCP},
        {what_this_side_sends_before_it_disconnects_goes_out, IN_TCP_AND_SHM},
        {a_batch_ends_with_the_error_of_the_first_that_failed, IN_TCP},
        {random_cancels_lose_nothing, IN_TCP_AND_SHM},
        {a_second_task_that_sends_panics, IN_TCP},
    };

    return duo_main("rdma pipeline", cases, sizeof cases / sizeof *cases);
}
