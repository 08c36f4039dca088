/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_exchange.c - messages over a connection, in virtual time: who goes on when there is
 * credit again, what is counted, and what ends a transfer. */
#include "rdma/exchange.h"

#include "rdma/parcel.h"
#include "rdma/tag.h"
#include "rdma/wire.h"
#include "tests/rdma/sides.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG = 20000 }; /* stays with its sender until it is received */

static struct rill_rdma_connection *const left = &sides.left.connection, *const right =
                                                                             &sides.right
                                                                                  .connection;

/* Nothing but what is said of credit wakes anybody. */
static const struct rill_rdma_connection_options mute = {
    .handshake_ns = RILL_NEVER, .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER};
static const struct rill_rdma_connection_options narrow = {/* for one message at a time */
                                                           .handshake_ns = RILL_NEVER,
                                                           .close_ns = RILL_NEVER,
                                                           .silence_ns = RILL_NEVER,
                                                           .window = 1};
static struct background sending, receiving;
static char message[LONG], buffer[LONG];

static void open_with(const struct rill_rdma_connection_options *of_right)
{
    sides_open(NULL);
    sides_connect(&mute, of_right);
}

static void close_all(void)
{
    sides_disconnect();
    sides_close();
}

static int64_t receive(size_t size)
{
    return await(rill_rdma_recv(right, &sides.right.recv, buffer, size, RILL_RDMA_ANY_TAG));
}

/* ---- waiting for credit ---- */

enum { MANY = 3 * RILL_TASK_BUDGET };

static struct rill_rdma_transfer transfers[MANY];
static struct background sendings[MANY];

static void begin_sends(unsigned count, size_t size)
{
    for (unsigned i = 0; i < count; i++)
        background_start(&sendings[i], rill_rdma_send(left, &transfers[i], message, size, i));
    sides_pause(RILL_SECOND);
}

START_TEST(credit_wakes_the_first_that_waits_and_no_other)
{
    enum { COUNT = 10 };

    open_with(&narrow);
    begin_sends(COUNT, 100);
    for (unsigned i = 0; i + 1 < COUNT; i++) {
        expect(rill_task_is_over(&sendings[i].task));
        expect(!rill_task_is_over(&sendings[i + 1].task));
        expect_eq(sendings[COUNT - 1].polls, 1);
        expect_eq(receive(100), 100);
        expect_eq(sides.right.recv.tag, i);
        sides_pause(RILL_SECOND);
    }
    expect_eq(receive(100), 100);
    expect_eq(sendings[COUNT - 1].polls, 2);
    for (unsigned i = 0; i < COUNT; i++)
        expect_eq(background_end(&sendings[i]), 100);
    close_all();
}
END_TEST

static uint64_t poll_of_send;
static unsigned sends_of_poll, sends_of_poll_max;

static ucs_status_ptr_t count_by_polls(ucp_ep_h ep, const void *bytes, size_t size, ucp_tag_t tag,
                                       const ucp_request_param_t *param)
{
    uint64_t poll = fixture.runtime->executor.polls;

    if (poll != poll_of_send)
        sends_of_poll = 0;
    poll_of_send = poll;
    if (++sends_of_poll > sends_of_poll_max)
        sends_of_poll_max = sends_of_poll;
    return sides.sim.tag_send_nbx(ep, bytes, size, tag, param);
}

/* Each poll sends so many of those that wait, and the next task goes on with it. */
START_TEST(credit_for_more_than_one_poll_may_send_is_all_used)
{
    open_with(&narrow);
    sides.table.tag_send_nbx = count_by_polls;
    expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 7000, 1)), 7000);
    begin_sends(MANY, 0);
    expect(!rill_task_is_over(&sendings[0].task));
    left->credit.peer_window = UINT64_MAX; /* as if the other side had room for all */
    expect_eq(receive(7000), 7000);
    sides_pause(RILL_SECOND);
    for (unsigned i = 0; i < MANY; i++) {
        expect(rill_task_is_over(&sendings[i].task));
        expect_eq(background_end(&sendings[i]), 0);
    }
    ck_assert_uint_ge(sends_of_poll_max, RILL_TASK_BUDGET);
    ck_assert_uint_le(sends_of_poll_max, RILL_TASK_BUDGET + 1);
    close_all();
}
END_TEST

START_TEST(a_send_that_is_given_up_lets_the_next_one_go_that_has_credit)
{
    static const struct rill_rdma_connection_options roomy = {
        .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER, .window = 1000};

    open_with(&roomy);
    expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 100, 1)), 100);
    background_start(&sendings[0], rill_rdma_send(left, &transfers[0], message, 900, 2));
    background_start(&sendings[1], rill_rdma_send(left, &transfers[1], message, 10, 3));
    sides_pause(RILL_SECOND);
    expect(!rill_task_is_over(&sendings[1].task)); /* behind the first, though it has credit */
    rill_task_cancel(&sendings[0].task);
    expect_eq(background_end(&sendings[0]), -ECANCELED);
    sides_pause(RILL_SECOND);
    expect(rill_task_is_over(&sendings[1].task));
    expect_eq(background_end(&sendings[1]), 10);
    close_all();
}
END_TEST

static int until_failure;

static ucs_status_ptr_t take_not_all(ucp_ep_h ep, const void *bytes, size_t size, ucp_tag_t tag,
                                     const ucp_request_param_t *param)
{
    if (until_failure-- == 0)
        return UCS_STATUS_PTR(UCS_ERR_NO_MEMORY);
    return sides.sim.tag_send_nbx(ep, bytes, size, tag, param);
}

/* Three wait for credit that is enough for two. */
START_TEST(a_send_that_ucx_did_not_take_gives_its_credit_to_the_next)
{
    static const struct rill_rdma_connection_options roomy = {
        .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER, .window = 1000};

    for (int failing = 0; failing < 2; failing++) {
        open_with(&roomy);
        expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 700, 1)), 700);
        begin_sends(3, 100);
        expect(!rill_task_is_over(&sendings[0].task));
        until_failure = failing;
        sides.table.tag_send_nbx = take_not_all;
        expect_eq(receive(700), 700);
        sides_pause(RILL_SECOND);
        for (int i = 0; i < 3; i++) {
            expect(rill_task_is_over(&sendings[i].task));
            expect_eq(background_end(&sendings[i]), i == failing ? -ENOMEM : 100);
        }
        close_all();
    }
}
END_TEST

START_TEST(an_empty_message_takes_its_turn_and_has_its_tag)
{
    size_t size;
    uint32_t tag;

    open_with(&narrow);
    begin_sends(3, 0);
    for (unsigned i = 0; i < 3; i++) {
        expect_eq(rill_task_is_over(&sendings[i].task), true);
        expect(i == 2 || !rill_task_is_over(&sendings[i + 1].task));
        expect(rill_rdma_probe(right, RILL_RDMA_ANY_TAG, &size, &tag));
        expect_eq(size, 0);
        expect_eq(tag, i);
        expect_eq(receive(0), 0);
        expect_eq(sides.right.recv.tag, i);
        sides_pause(RILL_SECOND);
        expect_eq(background_end(&sendings[i]), 0);
    }
    close_all();
}
END_TEST

/* ---- what is counted ---- */

static unsigned latencies_above(uint64_t ns)
{
    unsigned count = 0;

    for (int i = 0; i < RILL_RDMA_LATENCY_BUCKETS; i++)
        if (UINT64_C(1) << (i + RILL_RDMA_LATENCY_FIRST_BITS) > ns)
            count += (unsigned)left->metrics.send_latency[i];
    return count;
}

START_TEST(messages_their_bytes_and_how_long_they_took_are_counted)
{
    open_with(&mute);
    for (size_t size = 0; size < 5; size++) { /* at once */
        expect_eq(await(rill_rdma_send(left, &sides.left.send, message, size, 1)), size);
        expect_eq(receive(100), size);
    }
    sides_pause(100 * RILL_SECOND);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    sides_pause(10 * RILL_SECOND);
    expect_eq(receive(LONG), LONG);
    expect_eq(background_end(&sending), LONG);
    sides_pause(10 * RILL_SECOND); /* in which the transfer does nothing */
    expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 5, 1)), 5);
    expect_eq(left->metrics.messages_sent, 7);
    expect_eq(left->metrics.bytes_sent, 15 + LONG);
    expect_eq(latencies_above(0), 7);
    expect_eq(latencies_above(10 * RILL_SECOND), 1);
    expect_eq(latencies_above(20 * RILL_SECOND), 0);
    expect_eq(right->metrics.messages_received, 6);
    expect_eq(right->metrics.bytes_received, 10 + LONG);
    expect_eq(left->metrics.errors + right->metrics.errors, 0);
    close_all();
}
END_TEST

START_TEST(an_error_counts_unless_it_was_the_wish_of_a_side)
{
    open_with(&mute);
    background_start(&receiving, rill_rdma_recv(left, &sides.left.recv, buffer, 10, 1));
    sides_pause(RILL_SECOND);
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    expect_eq(left->metrics.errors, 0);
    expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 100, 1)), 100);
    expect_eq(receive(10), -EMSGSIZE);
    expect_eq(right->metrics.errors, 1);
    expect_eq(right->metrics.messages_received, 0);
    background_start(&receiving, rill_rdma_recv(left, &sides.left.recv, buffer, 10, 1));
    background_start(&sending, rill_rdma_disconnect(right));
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(left->metrics.errors, 0);
    expect_eq(await(rill_rdma_disconnect(left)), 0);
    expect_eq(background_end(&sending), 0);

    sides_connect(&mute, &mute);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    background_start(&receiving, rill_rdma_recv(left, &sides.left.recv, buffer, 10, 1));
    sides_pause(RILL_SECOND);
    rill_rdma_ep_fail(&left->ep, -ECONNRESET);
    expect_eq(background_end(&sending), -ECONNRESET);
    expect_eq(background_end(&receiving), -ECONNRESET);
    expect_eq(left->metrics.errors, 2);
    expect_eq(left->metrics.messages_sent, 0);
    sides_cut();
    sides_close();
}
END_TEST

static ucs_status_ptr_t keep_beats_back(ucp_ep_h ep, unsigned id, const void *header,
                                        size_t header_size, const void *bytes, size_t size,
                                        const ucp_request_param_t *param)
{
    struct rill_rdma_control control;

    expect(rill_rdma_control_read(&control, header, header_size));
    if (control.kind == RILL_RDMA_BEAT && ep == left->ep.ucp)
        return NULL;
    return sides.sim.am_send_nbx(ep, id, header, header_size, bytes, size, param);
}

START_TEST(a_message_is_a_sign_of_life)
{
    static const struct rill_rdma_connection_options watchful = {.silence_ns = 3 * RILL_SECOND};

    open_with(&watchful);
    sides.table.am_send_nbx = keep_beats_back;
    for (int i = 0; i < 20; i++) {
        expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 100, 1)), 100);
        expect_eq(receive(100), 100);
        sides_pause(RILL_SECOND / 2);
    }
    expect_eq(right->state, RILL_RDMA_CONNECTED);
    sides_pause(3 * RILL_SECOND);
    expect_eq(right->state, RILL_RDMA_FAILED);
    sides_cut();
    sides_close();
}
END_TEST

/* ---- beginning and end ---- */

START_TEST(a_side_that_disconnects_begins_no_send_and_no_receive_any_more)
{
    open_with(&mute);
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    sides_pause(RILL_SECOND);
    background_start(&receiving, rill_rdma_disconnect(left));
    sides_pause(RILL_SECOND);
    expect_eq(left->state, RILL_RDMA_CLOSING);
    expect_eq(await(rill_rdma_send(left, &transfers[0], message, 10, 2)), -ESHUTDOWN);
    expect_eq(await(rill_rdma_recv(left, &transfers[1], buffer, 10, 2)), -ESHUTDOWN);
    expect_eq(receive(LONG), LONG);
    expect_eq(background_end(&sending), LONG);
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    expect_eq(background_end(&receiving), 0);
    sides_close();
}
END_TEST

START_TEST(sends_that_wait_for_credit_when_their_side_disconnects_are_still_sent)
{
    enum { COUNT = 4 };

    open_with(&narrow);
    begin_sends(COUNT, 100);
    background_start(&receiving, rill_rdma_disconnect(left));
    sides_pause(RILL_SECOND);
    expect_eq(left->state, RILL_RDMA_CLOSING);
    expect(!rill_task_is_over(&sendings[1].task));
    for (unsigned i = 0; i < COUNT; i++) {
        expect_eq(receive(100), 100);
        expect_eq(background_end(&sendings[i]), 100);
    }
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    expect_eq(background_end(&receiving), 0);
    sides_close();
}
END_TEST

START_TEST(waiting_for_a_message_of_any_size_ends_with_the_connection)
{
    static struct rill_rdma_parcel parcel;

    open_with(&mute);
    background_start(&receiving, rill_rdma_parcel_recv(right, &parcel, RILL_RDMA_ANY_TAG, LONG));
    sides_pause(RILL_SECOND);
    background_start(&sending, rill_rdma_disconnect(left));
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(await(rill_rdma_disconnect(right)), 0);
    expect_eq(background_end(&sending), 0);
    sides_close();
}
END_TEST

START_TEST(waiting_for_a_message_of_any_size_costs_nothing)
{
    static struct rill_rdma_parcel parcel;
    uint64_t polls;
    size_t enters;

    open_with(&mute);
    background_start(&receiving, rill_rdma_parcel_recv(right, &parcel, RILL_RDMA_ANY_TAG, LONG));
    sides_pause(RILL_SECOND);
    polls = receiving.polls;
    enters = sim_enters(fixture.sim);
    sides_pause(10 * RILL_SECOND);
    expect_eq(receiving.polls, polls);
    expect(sim_enters(fixture.sim) - enters <
           10 * RILL_SECOND / RILL_EVENT_SOURCE_SLEEP_MAX_NS + 20);
    expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 100, 1)), 100);
    expect_eq(background_end(&receiving), 100);
    rill_rdma_parcel_give_back(&parcel);
    close_all();
}
END_TEST

/* From a size on they are with the sender, who is gone; and UCX would not tell. */
START_TEST(after_a_loss_only_those_messages_are_received_whose_bytes_are_here)
{
    static const struct sim_ucx_options silent = {
        .latency_max_ns = RILL_MILLISECOND, .pairs = true, .mute_per_mille = 1000};

    for (size_t size = RILL_RDMA_EAGER_SIZE - 1; size <= RILL_RDMA_EAGER_SIZE; size++) {
        bool is_here = size < RILL_RDMA_EAGER_SIZE;

        sides_open(&silent);
        sides_connect(&mute, &mute);
        background_start(&sending, rill_rdma_send(left, &sides.left.send, message, size, 1));
        sides_pause(RILL_SECOND);
        await(rill_rdma_cut(left));
        background_end(&sending);
        expect_eq(await(rill_rdma_wait_for_state(right, &sides.right.wait, 1u << RILL_RDMA_FAILED)),
                  RILL_RDMA_FAILED);
        expect_eq(receive(LONG), is_here ? (int64_t)size : right->error);
        sides_cut();
        sides_close();
    }
}
END_TEST

/* Of one that went in pieces the first may be here alone, and UCX would wait for the others. */
START_TEST(where_long_messages_go_at_once_too_they_are_not_received_after_a_loss)
{
    enum { LONGER = 2 * RILL_RDMA_EAGER_SIZE };
    static const struct sim_ucx_options silent = {
        .latency_max_ns = RILL_MILLISECOND, .pairs = true, .mute_per_mille = 1000};

    for (int is_lost = 0; is_lost < 2; is_lost++) {
        sides_open(is_lost ? &silent : NULL);
        sides.left.rdma.eager_size = LONGER;
        sides_connect(&mute, &mute);
        background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONGER - 1, 1));
        sides_pause(RILL_SECOND);
        if (is_lost) {
            await(rill_rdma_cut(left));
            background_end(&sending);
            expect_eq(
                await(rill_rdma_wait_for_state(right, &sides.right.wait, 1u << RILL_RDMA_FAILED)),
                RILL_RDMA_FAILED);
            expect(rill_rdma_probe(right, RILL_RDMA_ANY_TAG, NULL, NULL));
            expect_eq(receive(LONGER), right->error);
            sides_cut();
        } else {
            expect_eq(receive(LONGER), LONGER - 1);
            expect_eq(background_end(&sending), LONGER - 1);
            sides_disconnect();
        }
        sides_close();
    }
}
END_TEST

static ucp_tag_message_h find_longer(ucp_worker_h worker, ucp_tag_t tag, ucp_tag_t mask, int remove,
                                     ucp_tag_recv_info_t *info)
{
    ucp_tag_message_h found = sides.sim.tag_probe_nb(worker, tag, mask, remove, info);

    if (found)
        info->length = 2 * RILL_RDMA_EAGER_SIZE - 1;
    return found;
}

/* The end came behind all its pieces; a loss did not. The simulated UCX makes no pieces, and the
 * case says that these are some. */
START_TEST(a_message_that_went_in_pieces_is_received_after_the_end_and_not_after_a_loss)
{
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        sides_open(NULL);
        sides.left.rdma.eager_size = 2 * RILL_RDMA_EAGER_SIZE;
        sides_connect(&mute, &mute);
        sides.table.tag_probe_nb = find_longer;
        background_start(&sending, rill_rdma_send(left, &sides.left.send, message, 100, 1));
        expect_eq(background_end(&sending), 100);
        sides_pause(RILL_SECOND);
        if (is_lost)
            rill_rdma_ep_fail(&right->ep, -ECONNRESET);
        background_start(&sending, is_lost ? rill_rdma_cut(left) : rill_rdma_disconnect(left));
        sides_pause(RILL_SECOND);
        expect_eq(right->state, is_lost ? RILL_RDMA_FAILED : RILL_RDMA_CLOSED);
        expect_eq(receive(100), is_lost ? -ECONNRESET : 100);
        expect_eq(await(rill_rdma_disconnect(right)), is_lost ? -ECONNRESET : 0);
        expect_eq(background_end(&sending), 0);
        sides_close();
    }
}
END_TEST

static ucp_tag_message_h find_shorter(ucp_worker_h worker, ucp_tag_t tag, ucp_tag_t mask,
                                      int remove, ucp_tag_recv_info_t *info)
{
    ucp_tag_message_h found = sides.sim.tag_probe_nb(worker, tag, mask, remove, info);

    if (found)
        info->length = 100;
    return found;
}

/* Its first piece is here, and the others never come: UCX does not end such a receive, whatever it
 * is asked for. As here one of a message whose sender is gone before it was fetched, which the case
 * says to be short. */
START_TEST(a_receive_of_a_message_that_is_torn_ends_with_its_connection)
{
    static const struct sim_ucx_options silent = {
        .latency_max_ns = RILL_MILLISECOND, .pairs = true, .mute_per_mille = 1000};
    static struct background answering, cutting;

    for (int is_ending = 0; is_ending < 2; is_ending++) {
        sides_open(&silent);
        sides_connect(&mute, &mute);
        sides.table.tag_probe_nb = find_shorter;
        background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
        background_start(&answering, rill_rdma_send(right, &sides.right.send, message, LONG, 1));
        sides_pause(RILL_SECOND);
        background_start(&cutting, rill_rdma_cut(left));
        rill_rdma_ep_fail(&right->ep, -ECONNRESET);
        sides_pause(is_ending ? RILL_RDMA_DRAIN_NS / 2 : 2 * RILL_RDMA_DRAIN_NS);
        expect_eq(right->ep.is_open, is_ending);
        expect_eq(sides.right.rdma.stats.abandoned, !is_ending); /* the send */
        expect_eq(receive(LONG), -ECONNRESET);
        expect_eq(sides.right.rdma.stats.abandoned, 2);
        expect(rill_list_is_empty(&sides.right.rdma.ops));
        expect_eq(background_end(&answering), -ECONNRESET);
        background_end(&sending);
        background_end(&cutting);
        await(rill_rdma_cut(right));
        sides_close();
    }
}
END_TEST

static enum rill_poll fail_and_send_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_rdma_ep_fail(&left->ep, -ENETDOWN);
    expect_eq(left->state, RILL_RDMA_CONNECTED);
    RILL_AWAIT(rill_rdma_send(left, &sides.left.send, message, 10, 1));
    RILL_RETURN(sides.left.send.result);
    RILL_END();
}

START_TEST(a_send_is_told_of_a_failure_before_its_connection_knows)
{
    static struct rill_future fail_and_send;

    open_with(&mute);
    background_start(&sending, rill_future_init(&fail_and_send, fail_and_send_poll));
    expect_eq(background_end(&sending), -ENETDOWN);
    sides_cut();
    sides_close();
}
END_TEST

enum { LEFT = 2 * RILL_TASK_BUDGET };

static unsigned taken;

static enum rill_poll take_all_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    do {
        RILL_AWAIT(rill_rdma_recv(right, &sides.right.recv, buffer, 10, RILL_RDMA_ANY_TAG));
        taken += sides.right.recv.result == 10;
    } while (sides.right.recv.result >= 0);
    RILL_RETURN(sides.right.recv.result);
    RILL_END();
}

/* Each is there at once, and is no other for that its task has to let others run. */
START_TEST(more_messages_than_one_poll_may_take_are_received_after_a_loss)
{
    static struct rill_future take_all;

    open_with(&mute);
    for (int i = 0; i < LEFT; i++)
        expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 10, 1)), 10);
    sides_pause(RILL_SECOND);
    rill_rdma_ep_fail(&right->ep, -ECONNRESET);
    expect_eq(await(rill_rdma_wait_for_state(right, &sides.right.wait, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    taken = 0;
    background_start(&receiving, rill_future_init(&take_all, take_all_poll));
    expect_eq(background_end(&receiving), -ECONNRESET);
    expect_eq(taken, LEFT);
    sides_cut();
    sides_close();
}
END_TEST

static ucs_status_t find_no_way(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *ep)
{
    (void)worker;
    (void)params;
    (void)ep;
    return UCS_ERR_UNREACHABLE;
}

/* Messages of a stranger may name any connection, and none. */
START_TEST(a_connection_that_is_over_or_never_was_receives_nothing)
{
    struct rill_rdma_ep stranger = {0};
    struct rill_rdma_op op = {0};
    size_t size;

    open_with(&mute);
    sides_disconnect();
    expect_eq(
        rill_rdma_ep_open(&stranger, &sides.left.rdma, rill_rdma_address(&sides.right.rdma, &size)),
        0);
    expect_eq(await(rill_rdma_tag_send(&stranger, &op, message, 10,
                                       rill_rdma_tag_make(0, RILL_RDMA_KIND_DATA, 1))),
              10);
    sides_pause(RILL_SECOND);
    for (int never_was = 0; never_was < 2; never_was++) {
        expect(!rill_rdma_probe(right, RILL_RDMA_ANY_TAG, NULL, NULL));
        expect_eq(receive(100), -ENOTCONN);
        sides.table.ep_create = find_no_way;
        expect_eq(await(rill_rdma_connect_worker(right, &sides.right.hub,
                                                 rill_rdma_address(&sides.left.rdma, &size), NULL)),
                  -EHOSTUNREACH);
    }
    expect_eq(await(rill_rdma_tag_recv(&sides.right.rdma, &op, buffer, 100, 0, 0)), 10);
    await(rill_rdma_ep_abort(&stranger));
    sides_close();
}
END_TEST

START_TEST(a_transfer_that_is_cancelled_before_it_begins_ends_at_once)
{
    open_with(&mute);
    background_start(&receiving, rill_rdma_recv(left, &sides.left.recv, buffer, 10, 1));
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, 10, 1));
    rill_task_cancel(&receiving.task);
    rill_task_cancel(&sending.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    expect_eq(background_end(&sending), -ECANCELED);
    expect_eq(left->metrics.receives_in_flight + left->metrics.sends_in_flight, 0);
    expect(!rill_rdma_probe(right, RILL_RDMA_ANY_TAG, NULL, NULL));
    close_all();
}
END_TEST

START_TEST(a_receive_in_parts_ends_with_its_connection)
{
    const struct iovec parts[] = {{buffer, 10}, {buffer + 10, 10}};

    open_with(&mute);
    background_start(&receiving,
                     rill_rdma_recv_vectored(left, &sides.left.recv, parts, 2, RILL_RDMA_ANY_TAG));
    sides_pause(RILL_SECOND);
    rill_rdma_ep_fail(&left->ep, -ECONNRESET);
    expect_eq(background_end(&receiving), -ECONNRESET);
    sides_cut();
    sides_close();
}
END_TEST

START_TEST(the_length_of_a_receive_is_that_of_its_own_message)
{
    open_with(&mute);
    expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 100, 1)), 100);
    expect_eq(receive(10), -EMSGSIZE);
    expect_eq(sides.right.recv.length, 100);
    await(rill_rdma_cut(left));
    expect(receive(10) < 0);
    expect_eq(sides.right.recv.length, 0);
    sides_cut();
    sides_close();
}
END_TEST

static void expect_printed(const char *one, const char *other)
{
    const char *at;
    char *text;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    expect(file != NULL);
    rill_executor_print(&fixture.runtime->executor, file);
    fclose(file);
    at = strstr(text, one);
    if (!at || !strstr(at, other))
        fixture_fail(__FILE__, __LINE__, "there is no '%s' with '%s' in:\n%s", one, other, text);
    free(text);
}

START_TEST(a_transfer_says_what_it_waits_for)
{
    open_with(&mute);
    background_start(&receiving, rill_rdma_recv(right, &sides.right.recv, buffer, 10, 2));
    sides_pause(RILL_SECOND);
    expect_printed("receive a message", "receive a tagged message");
    background_start(&sending, rill_rdma_send(left, &sides.left.send, message, LONG, 1));
    sides_pause(RILL_SECOND);
    expect_printed("send a message", "send a tagged message");
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    expect_eq(receive(LONG), LONG);
    expect_eq(background_end(&sending), LONG);
    close_all();
}
END_TEST

/* ---- tags ---- */

enum { NO_TAG = RILL_RDMA_USER_TAG_MAX + 6 }; /* tag 5, where its upper bits are lost */

static const struct iovec part = {message, 10};

static void send_with_no_tag(void)
{
    open_with(&mute);
    rill_rdma_send(left, &sides.left.send, message, 10, NO_TAG);
}

static void send_with_any_tag(void)
{
    open_with(&mute);
    rill_rdma_send(left, &sides.left.send, message, 10, RILL_RDMA_ANY_TAG);
}

static void send_sync_with_no_tag(void)
{
    open_with(&mute);
    rill_rdma_send_sync(left, &sides.left.send, message, 10, NO_TAG);
}

static void send_parts_with_no_tag(void)
{
    open_with(&mute);
    rill_rdma_send_vectored(left, &sides.left.send, &part, 1, NO_TAG);
}

static void receive_no_tag(void)
{
    open_with(&mute);
    rill_rdma_recv(right, &sides.right.recv, buffer, 10, NO_TAG);
}

static void receive_parts_of_no_tag(void)
{
    open_with(&mute);
    rill_rdma_recv_vectored(right, &sides.right.recv, &part, 1, NO_TAG);
}

static void receive_a_parcel_of_no_tag(void)
{
    struct rill_rdma_parcel parcel = {0};

    open_with(&mute);
    rill_rdma_parcel_recv(right, &parcel, NO_TAG, 10);
}

static void receive_any_tag_by_mask(void)
{
    open_with(&mute);
    rill_rdma_recv_masked(right, &sides.right.recv, buffer, 10, RILL_RDMA_ANY_TAG, 1);
}

static void receive_by_no_mask(void)
{
    open_with(&mute);
    rill_rdma_recv_masked(right, &sides.right.recv, buffer, 10, 5, NO_TAG);
}

static void probe_no_tag(void)
{
    open_with(&mute);
    rill_rdma_probe(right, NO_TAG, NULL, NULL);
}

START_TEST(a_tag_of_more_than_28_bits_is_a_panic)
{
    fixture_expect_panic(send_with_no_tag, "send a message: 0x10000005 is no tag");
    fixture_expect_panic(send_with_any_tag, "send a message: 0xffffffff is no tag");
    fixture_expect_panic(send_sync_with_no_tag, "send a message: 0x10000005 is no tag");
    fixture_expect_panic(send_parts_with_no_tag, "send a message: 0x10000005 is no tag");
    fixture_expect_panic(receive_no_tag, "receive a message: 0x10000005 is no tag");
    fixture_expect_panic(receive_parts_of_no_tag, "receive a message: 0x10000005 is no tag");
    fixture_expect_panic(receive_a_parcel_of_no_tag, "of any size: 0x10000005 is no tag");
    fixture_expect_panic(receive_any_tag_by_mask, "receive a message: 0xffffffff is no tag");
    fixture_expect_panic(receive_by_no_mask, "receive a message: 0x10000005 is no mask");
    fixture_expect_panic(probe_no_tag, "probe for a message: 0x10000005 is no tag");
}
END_TEST

START_TEST(a_mask_of_all_ones_means_the_whole_tag)
{
    open_with(&mute);
    expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 10, 0x1234567)), 10);
    expect_eq(await(rill_rdma_send(left, &sides.left.send, message, 20, RILL_RDMA_USER_TAG_MAX)),
              20);
    expect_eq(await(rill_rdma_recv_masked(right, &sides.right.recv, buffer, LONG,
                                          RILL_RDMA_USER_TAG_MAX, UINT32_MAX)),
              20);
    expect_eq(await(rill_rdma_recv_masked(right, &sides.right.recv, buffer, LONG, 0x7, 0xf)), 10);
    close_all();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {credit_wakes_the_first_that_waits_and_no_other, IN_SIMULATED},
        {credit_for_more_than_one_poll_may_send_is_all_used, IN_SIMULATED},
        {a_send_that_is_given_up_lets_the_next_one_go_that_has_credit, IN_SIMULATED},
        {a_send_that_ucx_did_not_take_gives_its_credit_to_the_next, IN_SIMULATED},
        {an_empty_message_takes_its_turn_and_has_its_tag, IN_SIMULATED},
        {messages_their_bytes_and_how_long_they_took_are_counted, IN_SIMULATED},
        {an_error_counts_unless_it_was_the_wish_of_a_side, IN_SIMULATED},
        {a_message_is_a_sign_of_life, IN_SIMULATED},
        {a_side_that_disconnects_begins_no_send_and_no_receive_any_more, IN_SIMULATED},
        {sends_that_wait_for_credit_when_their_side_disconnects_are_still_sent, IN_SIMULATED},
        {waiting_for_a_message_of_any_size_costs_nothing, IN_SIMULATED},
        {waiting_for_a_message_of_any_size_ends_with_the_connection, IN_SIMULATED},
        {after_a_loss_only_those_messages_are_received_whose_bytes_are_here, IN_SIMULATED},
        {where_long_messages_go_at_once_too_they_are_not_received_after_a_loss, IN_SIMULATED},
        {a_message_that_went_in_pieces_is_received_after_the_end_and_not_after_a_loss,
         IN_SIMULATED},
        {a_receive_of_a_message_that_is_torn_ends_with_its_connection, IN_SIMULATED},
        {more_messages_than_one_poll_may_take_are_received_after_a_loss, IN_SIMULATED},
        {a_send_is_told_of_a_failure_before_its_connection_knows, IN_SIMULATED},
        {a_connection_that_is_over_or_never_was_receives_nothing, IN_SIMULATED},
        {a_transfer_that_is_cancelled_before_it_begins_ends_at_once, IN_SIMULATED},
        {a_receive_in_parts_ends_with_its_connection, IN_SIMULATED},
        {the_length_of_a_receive_is_that_of_its_own_message, IN_SIMULATED},
        {a_transfer_says_what_it_waits_for, IN_SIMULATED},
        {a_tag_of_more_than_28_bits_is_a_panic, IN_SIMULATED},
        {a_mask_of_all_ones_means_the_whole_tag, IN_SIMULATED},
    };

    return fixture_main("rdma exchange", cases, sizeof cases / sizeof *cases);
}
