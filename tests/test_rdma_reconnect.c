/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_reconnect.c - what is left of a connection that was lost does nothing to the one
 * that is made in its place. */
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "rdma/stream.h"
#include "runtime/retry.h"
#include "tests/rdma/linked.h"

#include <errno.h>
#include <string.h>

/* A future that is polled once, and then only when the gate is open, whoever wakes it. */
struct gated {
    struct rill_future future;
    struct rill_future *child;
    bool has_begun, is_open;
};

static enum rill_poll gated_poll(struct rill_future *self, struct rill_task *task)
{
    struct gated *gated = rill_container_of(self, struct gated, future);

    if (gated->has_begun && !gated->is_open)
        return RILL_PENDING;
    gated->has_begun = true;
    if (gated->child->poll(gated->child, task) == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, gated->child->result);
}

static const struct rill_rdma_connection_options persistent = {
    .window = 1256,
    .reconnects = 3,
    .reconnect_first_ns = RILL_MILLISECOND,
    .reconnect_max_ns = RILL_MILLISECOND,
};

static struct rill_rdma_connection second;
static struct rill_rdma_am stranger;
static struct rill_rdma_state_wait wait_for;
static struct rill_rdma_transfer old, sent, received;
static struct background accepting, receiving, sending, ending;
static char message[1000], buffer[1000], old_buffer[1000];

/* Loses the connection of linked, and has the client connect anew, to second. */
static void lose_and_connect(void)
{
    background_start(&accepting, rill_rdma_accept_worker(&linked.right, &stranger));
    await(rill_rdma_cut(&linked.server));
    rill_rdma_ep_fail(&linked.client.ep, -ECONNRESET);
    expect(background_end(&accepting) > 0);
    expect_eq(rill_rdma_adopt_worker(&second, &linked.right, &stranger, NULL), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&second, &wait_for)), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&linked.client, &wait_for)), 0);
    expect_eq(linked.client.metrics.connects, 2);
}

static void close_all(void)
{
    background_start(&ending, rill_rdma_disconnect(&second));
    expect_eq(await(rill_rdma_disconnect(&linked.client)), 0);
    expect_eq(background_end(&ending), 0);
    linked_close_hubs();
}

START_TEST(a_message_of_the_lost_one_gives_no_credit_to_the_new_one)
{
    static struct gated gated;

    if (!linked_open(_i, &persistent, NULL))
        return;
    rill_future_init(&gated.future, gated_poll);
    gated.child = rill_rdma_recv(&linked.client, &old, old_buffer, sizeof old_buffer, 1);
    background_start(&receiving, &gated.future);
    expect_eq(await(rill_rdma_send(&linked.server, &sent, message, sizeof message, 1)), 1000);
    duo_turn_until(old.op.state == RILL_RDMA_OP_ANSWERED);
    lose_and_connect();
    gated.is_open = true;
    rill_task_wake(&receiving.task);
    expect_eq(background_end(&receiving), 1000);
    for (int i = 0; i < 3; i++) { /* as much as the window each time, so it is told of each */
        expect_eq(await(rill_rdma_send(&second, &sent, message, sizeof message, 1)), 1000);
        expect_eq(await(rill_rdma_recv(&linked.client, &received, buffer, sizeof buffer, 1)), 1000);
    }
    settle();
    expect_eq(second.state, RILL_RDMA_CONNECTED);
    close_all();
}
END_TEST

START_TEST(what_waited_for_credit_of_the_lost_one_is_not_sent_over_the_new_one)
{
    if (!linked_open(_i, &persistent, &persistent))
        return;
    expect_eq(await(rill_rdma_send(&linked.client, &sent, message, sizeof message, 1)), 1000);
    background_start(&sending, rill_rdma_send(&linked.client, &old, message, sizeof message, 2));
    settle();
    expect(!rill_task_is_over(&sending.task));
    lose_and_connect();
    expect_eq(background_end(&sending), -ENOTCONN);
    expect_eq(await(rill_rdma_send(&linked.client, &sent, message, sizeof message, 3)), 1000);
    expect_eq(await(rill_rdma_recv(&second, &received, buffer, sizeof buffer, RILL_RDMA_ANY_TAG)),
              1000);
    expect_eq(received.tag, 3);
    close_all();
}
END_TEST

/* UCX has one stream for each endpoint, and nothing of the old one is to be mixed with it. */
START_TEST(a_receive_of_the_stream_of_the_lost_one_takes_nothing_of_the_new_one)
{
    static struct gated gated;
    static struct rill_rdma_op stream_recv, stream_send;

    if (!linked_open(_i, &persistent, NULL))
        return;
    rill_future_init(&gated.future, gated_poll);
    gated.has_begun = false;
    gated.child = rill_rdma_stream_recv(&linked.client.ep, &stream_recv, buffer, 10);
    background_start(&receiving, &gated.future);
    settle();
    lose_and_connect();
    expect_eq(await(rill_rdma_stream_send(&second.ep, &stream_send, "hello", 5)), 5);
    settle();
    gated.is_open = true;
    rill_task_wake(&receiving.task);
    expect_eq(background_end(&receiving), -ENOTCONN);
    expect_eq(await(rill_rdma_stream_recv(&linked.client.ep, &stream_recv, buffer, 10)), 5);
    expect_eq(duo.left.stream_readers, 0);
    close_all();
}
END_TEST

/* ---- again ---- */

/* A call that waits for the connection first, and is an attempt of a retry. */
static struct again {
    struct rill_future future;
    struct rill_retry retry;
    struct rill_rdma_state_wait wait;
    struct rill_rdma_rpc_client client;
    struct rill_rdma_rpc_call call;
    char reply[16];
} again;

static enum rill_poll again_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_wait_for_connection(&linked.client, &again.wait));
    if (again.wait.result < 0)
        RILL_RETURN(again.wait.result);
    RILL_AWAIT(rill_rdma_rpc_call(&again.client, &again.call, 1, "hello", 5, again.reply,
                                  sizeof again.reply));
    RILL_RETURN(again.call.result);
    RILL_END();
}

static struct rill_future *attempt(struct rill_retry *retry)
{
    (void)retry;
    return rill_future_init(&again.future, again_poll);
}

/* What the server has answered is its last word. */
static bool is_worth(struct rill_retry *retry, int64_t error)
{
    (void)retry;
    (void)error;
    return !again.call.is_answered;
}

START_TEST(a_call_that_is_lost_with_its_connection_is_made_again_over_the_new_one)
{
    static const struct rill_retry_policy policy = {.attempts_max = 5,
                                                    .first_ns = RILL_MILLISECOND,
                                                    .max_ns = RILL_MILLISECOND,
                                                    .limit_ns = RILL_NEVER,
                                                    .is_worth = is_worth};
    static struct rill_rdma_rpc callers, servers;
    static struct rill_rdma_rpc_request request;

    if (!linked_open(_i, &persistent, NULL))
        return;
    expect_eq(rill_rdma_rpc_open(&callers, &duo.left, 1, 0), 0);
    expect_eq(rill_rdma_rpc_open(&servers, &duo.right, 1, 4), 0);
    rill_rdma_rpc_client_init(&again.client, &callers, &linked.client.ep, 4);
    background_start(&sending, rill_retry(&again.retry, &policy, attempt));
    expect_eq(await(rill_rdma_rpc_recv(&servers, &request)), 5);
    lose_and_connect();
    rill_rdma_rpc_refuse(&request, -EIO); /* nobody is told */
    expect_eq(await(rill_rdma_rpc_recv(&servers, &request)), 5);
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "HELLO", 5)), 5);
    expect_eq(background_end(&sending), 5);
    expect_eq(again.retry.attempts, 2);
    expect_eq(memcmp(again.reply, "HELLO", 5), 0);
    rill_rdma_rpc_client_finish(&again.client);
    rill_rdma_rpc_close(&callers);
    rill_rdma_rpc_close(&servers);
    close_all();
}
END_TEST

START_TEST(a_receive_that_is_awaited_late_is_in_flight_of_no_connection_that_ended)
{
    static struct gated gated;
    struct rill_rdma_metrics metrics;

    if (!linked_open(_i, NULL, NULL))
        return;
    rill_future_init(&gated.future, gated_poll);
    gated.child = rill_rdma_recv(&linked.client, &old, old_buffer, sizeof old_buffer, 1);
    background_start(&receiving, &gated.future);
    settle();
    rill_rdma_hub_metrics(&linked.left, &metrics);
    expect_eq(metrics.receives_in_flight, 1);
    await(rill_rdma_cut(&linked.client));
    rill_rdma_hub_metrics(&linked.left, &metrics);
    expect_eq(metrics.receives_in_flight, 0);
    gated.is_open = true;
    rill_task_wake(&receiving.task);
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(linked.client.metrics.receives_in_flight, 0);
    await(rill_rdma_disconnect(&linked.server));
    linked_close_hubs();
}
END_TEST

static void make_anew_too_early(void)
{
    static struct gated gated;
    size_t size;

    if (!linked_open(OVER_TCP, NULL, NULL))
        return;
    rill_future_init(&gated.future, gated_poll);
    gated.child = rill_rdma_recv(&linked.client, &old, old_buffer, sizeof old_buffer, 1);
    background_start(&receiving, &gated.future);
    await(rill_rdma_cut(&linked.client));
    rill_rdma_connect_worker(&linked.client, &linked.left, rill_rdma_address(&duo.right, &size),
                             NULL);
}

START_TEST(a_connection_is_not_made_anew_while_a_receive_is_not_over)
{
    fixture_expect_panic(make_anew_too_early, "0 sends and 1 receives");
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_message_of_the_lost_one_gives_no_credit_to_the_new_one, IN_TCP_AND_SHM},
        {what_waited_for_credit_of_the_lost_one_is_not_sent_over_the_new_one, IN_TCP_AND_SHM},
        {a_receive_of_the_stream_of_the_lost_one_takes_nothing_of_the_new_one, IN_TCP_AND_SHM},
        {a_call_that_is_lost_with_its_connection_is_made_again_over_the_new_one, IN_TCP_AND_SHM},
        {a_receive_that_is_awaited_late_is_in_flight_of_no_connection_that_ended, IN_TCP_AND_SHM},
        {a_connection_is_not_made_anew_while_a_receive_is_not_over, IN_TCP},
    };

    return duo_main("rdma reconnect", cases, sizeof cases / sizeof *cases);
}
