/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_rpc_connection.c - calls over connections, and what their end does to them. */
#include "rdma/connection.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "tests/rdma/duo.h"

#include <errno.h>
#include <string.h>

enum { SERVICE = 1, METHOD = 4, SIZE = 100000 };

static struct rill_rdma_hub left, right;
static struct rill_rdma_connection client, server;
static struct rill_rdma_state_wait wait;
static struct rill_rdma_rpc callers, servers;
static struct rill_rdma_rpc_client to_server, to_client;
static struct rill_rdma_rpc_call call;
static struct rill_rdma_rpc_request request;
static struct background calling, replying, ending, connecting;
static char sent[SIZE], received[SIZE];

static bool open_all(int which)
{
    if (!duo_open_workers(which, NULL))
        return false;
    expect_eq(rill_rdma_hub_open(&left, &duo.left), 0);
    expect_eq(rill_rdma_hub_open(&right, &duo.right), 0);
    expect_eq(rill_rdma_rpc_open(&callers, &duo.left, SERVICE, 4), 0);
    expect_eq(rill_rdma_rpc_open(&servers, &duo.right, SERVICE, 4), 0);
    rill_rdma_rpc_client_init(&to_server, &callers, &client.ep, 4);
    rill_rdma_rpc_client_init(&to_client, &servers, &server.ep, 4);
    pattern_fill(sent, 0, SIZE);
    return true;
}

/* A long request that the server holds keeps its connection from closing in peace. */
static void make_connection(void)
{
    static const struct rill_rdma_connection_options options = {
        .close_ns = 50 * RILL_MILLISECOND, .silence_ns = 400 * RILL_MILLISECOND};
    struct rill_rdma_am stranger = {0};
    size_t size;

    background_start(
        &connecting,
        rill_rdma_connect_worker(&client, &left, rill_rdma_address(&duo.right, &size), &options));
    expect(await(rill_rdma_accept_worker(&right, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&server, &right, &stranger, &options), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), 0);
    expect_eq(background_end(&connecting), 0);
}

static void disconnect_both(void)
{
    background_start(&ending, rill_rdma_disconnect(&client));
    await(rill_rdma_disconnect(&server));
    background_end(&ending);
}

static void close_all(void)
{
    rill_rdma_rpc_client_finish(&to_server);
    rill_rdma_rpc_client_finish(&to_client);
    rill_rdma_rpc_close(&callers);
    rill_rdma_rpc_close(&servers);
    rill_rdma_hub_close(&left);
    rill_rdma_hub_close(&right);
    duo_close();
}

static void exchange(struct rill_rdma_rpc_client *caller, struct rill_rdma_rpc *callee, size_t size)
{
    static char copy[SIZE];

    memset(received, 0, sizeof received);
    background_start(&calling,
                     rill_rdma_rpc_call(caller, &call, METHOD, sent, size, received, SIZE));
    expect_eq(await(rill_rdma_rpc_recv(callee, &request)), size);
    expect_eq(await(rill_rdma_rpc_fetch(&request, copy)), size);
    background_start(&replying, rill_rdma_rpc_reply(&request, 0, copy, size));
    expect_eq(background_end(&calling), size);
    expect_eq(background_end(&replying), size);
    expect(pattern_is(received, 0, size));
}

START_TEST(both_sides_of_a_connection_may_call)
{
    if (!open_all(_i))
        return;
    make_connection();
    for (int i = 0; i < 10; i++) {
        exchange(&to_server, &servers, 100);
        exchange(&to_client, &callers, SIZE);
        exchange(&to_server, &servers, SIZE);
    }
    disconnect_both();
    close_all();
}
END_TEST

START_TEST(the_end_of_a_connection_ends_calls_and_requests_at_both_sides)
{
    if (!open_all(_i))
        return;
    for (int i = 0; i < 8; i++) {
        size_t size = i % 2 ? 100 : SIZE;
        struct rill_rdma_connection *one = i & 2 ? &client : &server;

        make_connection();
        exchange(&to_server, &servers, 100); /* as before the last connection */
        background_start(&calling,
                         rill_rdma_rpc_call(&to_server, &call, METHOD, sent, size, received, SIZE));
        expect_eq(await(rill_rdma_rpc_recv(&servers, &request)), size);
        background_start(&ending, i & 4 ? rill_rdma_cut(one) : rill_rdma_disconnect(one));
        expect(background_end(&calling) < 0);
        expect(!call.is_answered);
        duo_turn_until(rill_rdma_rpc_is_cancelled(&request));
        rill_rdma_rpc_refuse(&request, -EIO);
        background_end(&ending);
        disconnect_both();
    }
    close_all();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {both_sides_of_a_connection_may_call, IN_TCP_AND_SHM},
        {the_end_of_a_connection_ends_calls_and_requests_at_both_sides, IN_TCP_AND_SHM},
    };

    return duo_main("rdma rpc connection", cases, sizeof cases / sizeof *cases);
}
