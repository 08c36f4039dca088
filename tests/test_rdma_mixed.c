/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_mixed.c - TCP and RDMA in one loop, both under load: neither starves the other. */
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "tests/rdma/duo.h"

#include <stdlib.h>
#include <string.h>

enum {
    PAIRS = 8,     /* of each kind, each with a message on its way */
    ROUNDS = 2000, /* that the slower kind is to make with each of them, at the least */
    SAMPLES = 1 << 17,
    SIZE = 64,
};

/* What one kind of traffic took: not in time of the turn, which would hide what a turn costs. */
struct record {
    const char *name;
    size_t count;
    int64_t ns[SAMPLES];
};

static struct record of_tcp = {.name = "tcp"}, of_rdma = {.name = "rdma"};

static bool is_enough(void)
{
    return of_tcp.count >= PAIRS * ROUNDS && of_rdma.count >= PAIRS * ROUNDS;
}

static void record(struct record *record, int64_t began_ns)
{
    if (record->count < SAMPLES)
        record->ns[record->count] = fixture_own_now() - began_ns;
    record->count++;
}

static int by_length(const void *one, const void *other)
{
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;

    return (a > b) - (a < b);
}

static int64_t report(struct record *record)
{
    size_t count = record->count < SAMPLES ? record->count : SAMPLES;

    qsort(record->ns, count, sizeof *record->ns, by_length);
    printf("%s: %zu round trips, p50 %lld us, p99 %lld us, longest %lld us\n", record->name,
           record->count, (long long)record->ns[count / 2] / 1000,
           (long long)record->ns[count * 99 / 100] / 1000, (long long)record->ns[count - 1] / 1000);
    return record->ns[count * 99 / 100];
}

/* ---- tcp ---- */

struct tcp_ping {
    struct rill_future future;
    struct background background, echoing;
    struct rill_tcp one, other;
    struct rill_op send, recv, echo_send, echo_recv;
    struct rill_future echo;
    char bytes[SIZE], echoed[SIZE];
    int64_t began_ns;
};

static struct tcp_ping tcp_pings[PAIRS];

static enum rill_poll tcp_echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct tcp_ping *ping = rill_container_of(self, struct tcp_ping, echo);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv_exactly(&ping->other, &ping->echo_recv, ping->echoed, SIZE));
        if (ping->echo_recv.result <= 0)
            break;
        RILL_AWAIT(rill_tcp_send_all(&ping->other, &ping->echo_send, ping->echoed, SIZE));
    }
    RILL_AWAIT(rill_tcp_close(&ping->other));
    RILL_END();
}

static enum rill_poll tcp_ping_poll(struct rill_future *self, struct rill_task *task)
{
    struct tcp_ping *ping = rill_container_of(self, struct tcp_ping, future);

    RILL_BEGIN();
    while (!is_enough()) {
        ping->began_ns = fixture_own_now();
        RILL_AWAIT(rill_tcp_send_all(&ping->one, &ping->send, ping->bytes, SIZE));
        RILL_AWAIT(rill_tcp_recv_exactly(&ping->one, &ping->recv, ping->bytes, SIZE));
        if (ping->recv.result != SIZE)
            RILL_RETURN(-1);
        record(&of_tcp, ping->began_ns);
    }
    RILL_AWAIT(rill_tcp_close(&ping->one));
    RILL_END();
}

/* ---- rdma ---- */

struct rdma_ping {
    struct rill_future future, echo;
    struct background background, echoing;
    struct rill_rdma_transfer send, recv, echo_send, echo_recv;
    char bytes[SIZE], answer[SIZE], echoed[SIZE];
    uint32_t tag; /* its own */
    int64_t began_ns;
};

static struct rdma_ping rdma_pings[PAIRS];
static struct rill_rdma_hub left, right;
static struct rill_rdma_connection client, server;

static enum rill_poll rdma_echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct rdma_ping *ping = rill_container_of(self, struct rdma_ping, echo);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_recv(&server, &ping->echo_recv, ping->echoed, SIZE, ping->tag));
        if (ping->echo_recv.result < 0)
            break;
        RILL_AWAIT(rill_rdma_send(&server, &ping->echo_send, ping->echoed, SIZE, ping->tag));
    }
    RILL_END();
}

static enum rill_poll rdma_ping_poll(struct rill_future *self, struct rill_task *task)
{
    struct rdma_ping *ping = rill_container_of(self, struct rdma_ping, future);

    RILL_BEGIN();
    while (!is_enough()) {
        ping->began_ns = fixture_own_now();
        RILL_AWAIT(rill_rdma_send(&client, &ping->send, ping->bytes, SIZE, ping->tag));
        RILL_AWAIT(rill_rdma_recv(&client, &ping->recv, ping->answer, SIZE, ping->tag));
        if (ping->recv.result != SIZE)
            RILL_RETURN(-1);
        record(&of_rdma, ping->began_ns);
    }
    RILL_END();
}

static void open_connection(void)
{
    struct rill_rdma_am stranger = {0};
    struct rill_rdma_state_wait wait;
    struct background connecting;
    size_t size;

    expect_eq(rill_rdma_hub_open(&left, &duo.left), 0);
    expect_eq(rill_rdma_hub_open(&right, &duo.right), 0);
    background_start(&connecting, rill_rdma_connect_worker(
                                      &client, &left, rill_rdma_address(&duo.right, &size), NULL));
    expect(await(rill_rdma_accept_worker(&right, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&server, &right, &stranger, NULL), 0);
    expect_eq(background_end(&connecting), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), 0);
}

START_TEST(neither_tcp_nor_rdma_starves_the_other)
{
    struct background closing;
    int64_t tcp_ns, rdma_ns;

    if (!duo_open_workers(_i, NULL))
        return;
    open_connection();
    for (uint32_t i = 0; i < PAIRS; i++) {
        struct tcp_ping *tcp = &tcp_pings[i];
        struct rdma_ping *rdma = &rdma_pings[i];

        fixture_pair(&tcp->one, &tcp->other);
        background_start(&tcp->echoing, rill_future_init(&tcp->echo, tcp_echo_poll));
        background_start(&tcp->background, rill_future_init(&tcp->future, tcp_ping_poll));
        rdma->tag = i;
        background_start(&rdma->echoing, rill_future_init(&rdma->echo, rdma_echo_poll));
        background_start(&rdma->background, rill_future_init(&rdma->future, rdma_ping_poll));
    }
    for (int i = 0; i < PAIRS; i++) {
        expect_eq(background_end(&tcp_pings[i].background), 0);
        expect_eq(background_end(&tcp_pings[i].echoing), 0);
        expect_eq(background_end(&rdma_pings[i].background), 0);
    }
    tcp_ns = report(&of_tcp);
    rdma_ns = report(&of_rdma);
    /* Milliseconds would do. */
    ck_assert_int_le(tcp_ns, RILL_SECOND / 10);
    ck_assert_int_le(rdma_ns, RILL_SECOND / 10);
    background_start(&closing, rill_rdma_disconnect(&client));
    expect_eq(await(rill_rdma_disconnect(&server)), 0);
    expect_eq(background_end(&closing), 0);
    for (int i = 0; i < PAIRS; i++)
        background_end(&rdma_pings[i].echoing);
    rill_rdma_hub_close(&left);
    rill_rdma_hub_close(&right);
    duo_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {neither_tcp_nor_rdma_starves_the_other, IN_TCP_AND_SHM},
    };

    return duo_main("rdma beside tcp", cases, sizeof cases / sizeof *cases);
}
