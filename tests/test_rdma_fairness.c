/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_fairness.c - the same as test_fairness.c says, of messages and connections. */
#include "rdma/active_message.h"
#include "rdma/dial.h"
#include "rdma/exchange.h"
#include "rdma/listener.h"
#include "rdma/message.h"
#include "rdma/parcel.h"
#include "rdma/pipeline.h"
#include "rdma/rpc.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "rdma/server.h"
#include "rdma/stream.h"
#include "rdma/tag.h"
#include "tests/fairness.h"
#include "tests/rdma/linked.h"

#include <errno.h>

enum { INBOX = 40, SERVICE = 41 };

static struct rill_rdma_op op;
static struct rill_rdma_transfer transfer;
static struct rill_rdma_message message;
static struct rill_rdma_parcel parcel;
static struct rill_rdma_inbox inbox;
static struct rill_rdma_am active;
static struct rill_rdma_rpc rpc;
static struct rill_rdma_rpc_client client;
static struct rill_rdma_rpc_call call;
static struct rill_rdma_rpc_request request;
static struct rill_rdma_state_wait state_wait;
static struct rill_rdma_pipeline pipeline;
static struct rill_rdma_pipeline_slot slots[2];
static struct rill_rdma_connection never;
static struct rill_rdma_dial dial;
static struct rill_rdma_server server;
static char buffer[16];

static struct rill_future *send_one(void)
{
    return rill_rdma_send(&linked.client, &transfer, "abc", 3, 1);
}

static struct rill_future *receive(void)
{
    return rill_rdma_recv(&linked.server, &transfer, buffer, sizeof buffer, 1);
}

static struct rill_future *receive_tagged(void)
{
    return rill_rdma_tag_recv(linked.right.rdma, &op, buffer, sizeof buffer, 1, 1);
}

static struct rill_future *receive_message(void)
{
    return rill_rdma_message_recv(linked.right.rdma, &message, 1, UINT64_MAX, 100);
}

static struct rill_future *receive_parcel(void)
{
    return rill_rdma_parcel_recv(&linked.server, &parcel, 1, 100);
}

static struct rill_future *receive_active(void)
{
    return rill_rdma_am_recv(&inbox, &active);
}

static struct rill_future *receive_request(void)
{
    return rill_rdma_rpc_recv(&rpc, &request);
}

static struct rill_future *make_call(void)
{
    return rill_rdma_rpc_call(&client, &call, 1, NULL, 0, NULL, 0);
}

static struct rill_future *receive_stream(void)
{
    return rill_rdma_stream_recv(&linked.server.ep, &op, buffer, sizeof buffer);
}

static struct rill_future *wait_for_state(void)
{
    return rill_rdma_wait_for_state(&linked.client, &state_wait, 1u << RILL_RDMA_CONNECTED);
}

static struct rill_future *wait_for_connection(void)
{
    return rill_rdma_wait_for_connection(&linked.client, &state_wait);
}

static struct rill_future *wait_for_loss(void)
{
    return rill_rdma_wait_for_state(&linked.client, &state_wait, 1u << RILL_RDMA_FAILED);
}

static struct rill_future *wait_for_room(void)
{
    return rill_rdma_pipeline_wait(&pipeline);
}

static struct rill_future *send_through_pipeline(void)
{
    return rill_rdma_pipeline_send(&pipeline, "abc", 3, 1);
}

static struct rill_future *send_no_batch(void)
{
    return rill_rdma_pipeline_send_all(&pipeline, NULL, 0);
}

static struct rill_future *drain(void)
{
    return rill_rdma_pipeline_drain(&pipeline);
}

static void break_pipeline(void)
{
    pipeline.error = -EIO;
}

static struct rill_future *disconnect_none(void)
{
    return rill_rdma_disconnect(&never);
}

static struct rill_future *cut_none(void)
{
    return rill_rdma_cut(&never);
}

static struct rill_future *dial_strangely(void)
{
    return rill_rdma_dial(&never, &dial, &linked.left, "gopher://localhost", NULL);
}

static struct rill_future *serve_nowhere(void)
{
    static const struct rill_service service = {.peer_size = sizeof(struct rill_rdma_connection)};

    return rill_rdma_serve(&server, &linked.left, "gopher://localhost", service);
}

static void set_up(void)
{
    rill_rdma_pipeline_init(&pipeline, &linked.client, slots, 2, NULL);
    expect_eq(rill_rdma_inbox_open(&inbox, linked.right.rdma, INBOX), 0);
    expect_eq(rill_rdma_rpc_open(&rpc, linked.right.rdma, SERVICE, 4), 0);
    rill_rdma_rpc_client_init(&client, &rpc, &linked.server.ep, 4);
}

/* Of the connection nothing may be in flight. */
static void tear_down(void)
{
    expect_eq(linked.client.metrics.sends_in_flight, 0);
    expect_eq(linked.server.metrics.receives_in_flight, 0);
    rill_rdma_rpc_client_finish(&client);
    rill_rdma_rpc_close(&rpc);
    rill_rdma_inbox_close(&inbox);
    pipeline.error = 0;
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
}

static const struct fairness_loop loops[] = {
    {"a cancelled send", send_one, -ECANCELED, NULL, NULL},
    {"a cancelled receive", receive, -ECANCELED, NULL, NULL},
    {"a cancelled receive by tag", receive_tagged, -ECANCELED, NULL, NULL},
    {"a cancelled receive of a message", receive_message, -ECANCELED, NULL, NULL},
    {"a cancelled receive of a parcel", receive_parcel, -ECANCELED, NULL, NULL},
    {"a cancelled receive of an active message", receive_active, -ECANCELED, NULL, NULL},
    {"a cancelled receive of a request", receive_request, -ECANCELED, NULL, NULL},
    {"a cancelled call", make_call, -ECANCELED, NULL, NULL},
    {"a cancelled receive from a stream", receive_stream, -ECANCELED, NULL, NULL},
    {"a wait for the state that is", wait_for_state, RILL_RDMA_CONNECTED, NULL, NULL},
    {"a wait for the connection that is", wait_for_connection, 0, NULL, NULL},
    {"a cancelled wait for a state", wait_for_loss, -ECANCELED, NULL, NULL},
    {"a wait for room in a pipeline", wait_for_room, 0, NULL, NULL},
    {"a cancelled wait for room in a pipeline", wait_for_room, -ECANCELED, NULL, NULL},
    {"a cancelled send through a pipeline", send_through_pipeline, -ECANCELED, NULL, NULL},
    {"a send through a broken pipeline", send_through_pipeline, -EIO, break_pipeline, NULL},
    {"a batch of nothing", send_no_batch, 0, NULL, NULL},
    {"a drain of an empty pipeline", drain, 0, NULL, NULL},
    {"a disconnect of no connection", disconnect_none, 0, NULL, NULL},
    {"a cut of no connection", cut_none, 0, NULL, NULL},
    {"a server at no address", serve_nowhere, -EINVAL, NULL, NULL},
    {"a dial of no address", dial_strangely, -EINVAL, NULL, NULL},
};

START_TEST(a_loop_over_what_is_ready_at_once_lets_others_run_whatever_it_is_ready_with)
{
    if (!linked_open(_i, NULL, NULL))
        return;
    fairness_check(loops, sizeof loops / sizeof *loops, set_up, tear_down, fixture_turn);
    linked_close();
}
END_TEST

/* ---- without a connection ---- */

static struct rill_rdma_listener listener;
static struct rill_rdma_accept accepting;

static struct rill_future *accept_endpoint(void)
{
    return rill_rdma_accept(&listener, &accepting);
}

static struct rill_future *close_closed(void)
{
    return rill_rdma_ep_close(&duo.to_left);
}

static void listen_somewhere(void)
{
    duo_listen(&listener, &duo.right);
}

static void stop_listening(void)
{
    rill_rdma_listener_close(&listener);
}

static const struct fairness_loop unconnected_loops[] = {
    {"a cancelled accept", accept_endpoint, -ECANCELED, NULL, NULL},
    {"a close of an endpoint that is closed", close_closed, 0, NULL, NULL},
};

START_TEST(a_loop_over_accepts_and_closes_lets_others_run)
{
    if (!duo_open_workers(_i, NULL))
        return;
    fairness_check(unconnected_loops, sizeof unconnected_loops / sizeof *unconnected_loops,
                   listen_somewhere, stop_listening, fixture_turn);
    duo_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_loop_over_what_is_ready_at_once_lets_others_run_whatever_it_is_ready_with,
         IN_TCP_AND_SHM},
        {a_loop_over_accepts_and_closes_lets_others_run, IN_TCP | SOCKET_ADDRESSES},
    };

    return duo_main("rdma fairness", cases, sizeof cases / sizeof *cases);
}
