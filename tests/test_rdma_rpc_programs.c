/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_rpc_programs.c - callers and servers in processes of their own, some of which
 * are killed. */
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "runtime/timeout.h"
#include "tests/process.h"
#include "tests/rdma/duo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICE = 1, SUM = 0, CLIENTS = 5, NUMBERS = 8192 /* as of the example */, MANY = 32 };

static struct rill_rdma_rpc rpc;
static struct rill_rdma_rpc_client client;
static struct rill_rdma_rpc_call call;
static struct rill_rdma_ep peer;
static struct background calling;
static int64_t numbers[NUMBERS], answer;

static uint16_t start_server(struct process *server)
{
    PROCESS_START(server, "examples/rdma_rpc", "rdma://0.0.0.0:0");
    return (uint16_t)strtoul(process_line(server, "listening on rdma://0.0.0.0:", 0), NULL, 10);
}

static void stop_server(struct process *server)
{
    process_signal(server, SIGTERM);
    ck_assert_int_eq(process_wait(server), 0);
    ck_assert_str_eq(server->err.text, "");
}

START_TEST(the_example_calculates_for_others)
{
    static struct process server;
    static struct process clients[CLIENTS];
    static const char *const asked[CLIENTS][3] = {
        {"sum", "1", "2"}, {"max", "4", "-9"}, {"nonsense", "1", "2"}, {"sum"}, {"max", "7"}};
    static const char *const said[CLIENTS] = {"3\n", "4\n", "", "", "7\n"};
    char port[8];

    setenv("UCX_NET_DEVICES", "lo", 1);
    snprintf(port, sizeof port, "%u", start_server(&server));
    for (int i = 0; i < CLIENTS; i++)
        PROCESS_START(&clients[i], "examples/rdma_rpc", "127.0.0.1", port, asked[i][0], asked[i][1],
                      asked[i][1] ? asked[i][2] : NULL);
    for (int i = 0; i < CLIENTS; i++) {
        ck_assert_int_eq(process_wait(&clients[i]), said[i][0] ? 0 : 1);
        ck_assert_str_eq(clients[i].out.text, said[i]);
    }
    ck_assert_ptr_nonnull(strstr(clients[2].err.text, "the server says: Function not implemented"));
    ck_assert_ptr_nonnull(strstr(clients[3].err.text, "the server says: Invalid argument"));
    stop_server(&server);
}
END_TEST

static bool open_client(struct process *server)
{
    struct rill_address address;

    setenv("UCX_NET_DEVICES", "lo", 1);
    address = duo_address(start_server(server));
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    duo_open_worker(&duo.left, OVER_TCP);
    expect_eq(rill_rdma_rpc_open(&rpc, &duo.left, SERVICE, 0), 0);
    expect_eq(rill_rdma_ep_connect(&peer, &duo.left, &address), 0);
    rill_rdma_rpc_client_init(&client, &rpc, &peer, MANY);
    return true;
}

static void close_client(void)
{
    rill_rdma_rpc_client_finish(&client);
    rill_rdma_rpc_close(&rpc);
    await(rill_rdma_ep_close(&peer));
    rill_rdma_close(&duo.left);
    fixture.keeps_fds = true; /* those to the other process */
    fixture_close();
}

static struct rill_future *sum(size_t count)
{
    return rill_rdma_rpc_call(&client, &call, SUM, numbers, count * sizeof *numbers, &answer,
                              sizeof answer);
}

START_TEST(a_server_that_is_killed_ends_the_calls_that_it_has)
{
    static const size_t counts[] = {1, NUMBERS}; /* one goes with its message, one is fetched */

    for (int i = 0; i < 2; i++) {
        static struct process server;

        memset(&server, 0, sizeof server);
        if (!open_client(&server))
            return;
        for (int k = 0; k < NUMBERS; k++)
            numbers[k] = k;
        expect_eq(await(sum(NUMBERS)), sizeof answer);
        expect_eq(answer, NUMBERS * (NUMBERS - 1) / 2);
        process_signal(&server, SIGSTOP);
        background_start(&calling, sum(counts[i]));
        settle();
        expect(!rill_task_is_over(&calling.task));
        process_signal(&server, SIGKILL);
        expect(background_end(&calling) < 0);
        expect(!call.is_answered);
        expect(peer.error < 0);
        expect_eq(call.result, peer.error);
        close_client();
        process_kill(&server);
    }
}
END_TEST

START_TEST(a_server_that_shuts_down_ends_the_calls_of_those_who_stay)
{
    static struct process server;

    if (!open_client(&server))
        return;
    expect_eq(await(sum(2)), sizeof answer);
    stop_server(&server);
    expect(await(sum(2)) < 0);
    expect(!call.is_answered || call.result == -ESHUTDOWN || call.result == -ECANCELED);
    close_client();
}
END_TEST

/* More than it has workers: the others wait there when it is asked to end. */
START_TEST(a_server_that_shuts_down_answers_what_has_come)
{
    static struct rill_rdma_rpc_call calls[MANY];
    static struct background callers[MANY];
    static int64_t answers[MANY];
    static struct process server;

    if (!open_client(&server))
        return;
    expect_eq(await(sum(2)), sizeof answer);
    for (int i = 0; i < MANY; i++)
        background_start(&callers[i],
                         rill_rdma_rpc_call(&client, &calls[i], SUM, numbers, sizeof numbers,
                                            &answers[i], sizeof answers[i]));
    /* What is fetched of the first goes over the wire behind the news of all of them. */
    expect_eq(background_end(&callers[0]), sizeof answers[0]);
    process_signal(&server, SIGTERM);
    for (int i = 1; i < MANY; i++)
        expect_eq(background_end(&callers[i]), sizeof answers[i]);
    close_client();
    expect_eq(process_wait(&server), 0);
}
END_TEST

START_TEST(a_caller_that_is_killed_is_no_longer_worked_for)
{
    static struct process caller;
    static struct rill_rdma_listener listener;
    struct rill_rdma_rpc_request request = {0};
    struct rill_rdma_accept accept;
    struct rill_address address;
    struct rill_timeout limit;
    char port[8];

    setenv("UCX_NET_DEVICES", "lo", 1);
    if (!fixture_open(REAL, NULL, NULL))
        return;
    duo_open_worker(&duo.left, OVER_TCP);
    expect_eq(rill_rdma_rpc_open(&rpc, &duo.left, SERVICE, 4), 0);
    address = duo_listen(&listener, &duo.left);
    snprintf(port, sizeof port, "%u", rill_address_port(&address));
    PROCESS_START(&caller, "examples/rdma_rpc", "127.0.0.1", port, "sum", "1");
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_ep_adopt(&peer, &accept), 0);
    expect_eq(await(rill_timeout(&limit, 5 * RILL_SECOND, rill_rdma_rpc_recv(&rpc, &request))), 8);
    expect(!rill_rdma_rpc_is_cancelled(&request));
    process_signal(&caller, SIGKILL);
    duo_turn_until(rill_rdma_rpc_is_cancelled(&request));
    expect(await(rill_rdma_rpc_reply(&request, 0, "12345678", 8)) < 0);
    process_kill(&caller);
    rill_rdma_listener_close(&listener);
    rill_rdma_rpc_client_init(&client, &rpc, &peer, 1);
    close_client();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {the_example_calculates_for_others, IN_TCP},
        {a_server_that_is_killed_ends_the_calls_that_it_has, IN_TCP},
        {a_server_that_shuts_down_ends_the_calls_of_those_who_stay, IN_TCP},
        {a_server_that_shuts_down_answers_what_has_come, IN_TCP},
        {a_caller_that_is_killed_is_no_longer_worked_for, IN_TCP},
    };

    return duo_main("rdma rpc programs", cases, sizeof cases / sizeof *cases);
}
