/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_echo.c - the echo server of the examples, with clients, and without memory of them. */
#include "rdma/stream.h"
#include "tests/process.h"
#include "tests/rdma/duo.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { CLIENTS = 5, SIZE = 20000 };

static struct rill_rdma_ep peers[CLIENTS];
static struct rill_rdma_op sends[CLIENTS], recvs[CLIENTS];
static struct background sending[CLIENTS], receiving[CLIENTS];
static char sent[SIZE], received[CLIENTS][SIZE];

START_TEST(the_example_echoes_to_many_and_ends_with_clients_connected)
{
    static struct process server;
    struct rill_address address;

    network_export();
    PROCESS_START(&server, "examples/rdma_echo", "rdma://0.0.0.0:0");
    address = duo_address(
        (uint16_t)strtoul(process_line(&server, "listening on rdma://0.0.0.0:", 0), NULL, 10));
    if (!fixture_open(REAL, NULL, NULL))
        return;
    duo_open_worker(&duo.left, OVER_TCP);
    pattern_fill(sent, 0, SIZE);
    for (int i = 0; i < CLIENTS; i++)
        expect_eq(rill_rdma_ep_connect(&peers[i], &duo.left, &address), 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            background_start(&sending[i], rill_rdma_stream_send(&peers[i], &sends[i], sent, SIZE));
            background_start(&receiving[i], rill_rdma_stream_recv_exactly(&peers[i], &recvs[i],
                                                                          received[i], SIZE));
        }
        for (int i = 0; i < CLIENTS; i++) {
            expect_eq(background_end(&sending[i]), SIZE);
            expect_eq(background_end(&receiving[i]), SIZE);
            expect(pattern_is(received[i], 0, SIZE));
            memset(received[i], 0, SIZE);
        }
    }
    expect_eq(await(rill_rdma_ep_close(&peers[0])), 0);
    process_signal(&server, SIGTERM);
    for (int i = 1; i < CLIENTS; i++)
        expect(await(rill_rdma_stream_recv(&peers[i], &recvs[i], received[i], SIZE)) < 0);
    for (int i = 1; i < CLIENTS; i++)
        expect(await(rill_rdma_ep_close(&peers[i])) < 0);
    rill_rdma_close(&duo.left);
    fixture_close();
    ck_assert_int_eq(process_wait(&server), 0);
    ck_assert_str_eq(server.err.text, "");
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {the_example_echoes_to_many_and_ends_with_clients_connected, IN_TCP | SOCKET_ADDRESSES},
    };

    return duo_main("rdma echo", cases, sizeof cases / sizeof *cases);
}
