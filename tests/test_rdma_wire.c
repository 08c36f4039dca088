/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_wire.c - connections over a wire between two devices, which loses some of what it
 * carries, or everything. tests/check_vm.sh makes one; elsewhere this is skipped. */
#include "rdma/exchange.h"
#include "rdma/rpc_client.h"
#include "tests/rdma/linked.h"

#include <errno.h>
#include <string.h>

/* How long the other side may be silent; and how soon that is told, in a machine that is busy
 * with other things as well. */
#define SILENCE_NS (1 * RILL_SECOND)
#define NOTICE_MAX_NS (10 * SILENCE_NS)

static const struct rill_rdma_connection_options watchful = {
    .silence_ns = SILENCE_NS,
    .bytes_per_second = 1000000,
    .close_ns = SILENCE_NS,
    .handshake_ns = 30 * RILL_SECOND,
};

enum { LARGE = 4 << 20, METHOD = 1 };

static struct rill_rdma_transfer send_large, send_sync, to_client, to_server;
static struct rill_rdma_state_wait wait;
static struct background sending, syncing, receiving, receiving_back, ending;
static char message[LARGE], buffer[LARGE];

static void exchange_with(struct rill_rdma_connection *server, size_t size)
{
    pattern_fill(message, size, size);
    background_start(&sending, rill_rdma_send(&linked.client, &to_server, message, size, 1));
    expect_eq(await(rill_rdma_recv(server, &to_client, buffer, LARGE, 1)), size);
    expect_eq(background_end(&sending), size);
    expect(pattern_is(buffer, size, size));
    background_start(&sending, rill_rdma_send(server, &to_client, buffer, size, 2));
    expect_eq(await(rill_rdma_recv(&linked.client, &to_server, message, LARGE, 2)), size);
    expect_eq(background_end(&sending), size);
    expect(pattern_is(message, size, size));
}

static void exchange(size_t size)
{
    exchange_with(&linked.server, size);
}

static bool open_over_wire(int which)
{
    if (!linked_open(which, &watchful, &watchful))
        return false;
    exchange(100);
    exchange(LARGE);
    return true;
}

/* Waits until a side knows of the loss. */
static void expect_failure(struct rill_rdma_connection *connection, const char *whose,
                           int64_t began_ns)
{
    expect_eq(await(rill_rdma_wait_for_state(connection, &wait, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    printf("%s side knows after %lld ms: %s\n", whose,
           (long long)((fixture_real_now() - began_ns) / RILL_MILLISECOND),
           strerror(-connection->error));
    expect(duo_is_loss(connection->error));
    ck_assert_int_le(fixture_real_now() - began_ns, NOTICE_MAX_NS);
}

static void end_both(int64_t began_ns)
{
    background_start(&ending, rill_rdma_disconnect(&linked.client));
    expect(await(rill_rdma_disconnect(&linked.server)) < 0);
    expect(background_end(&ending) < 0);
    ck_assert_int_le(fixture_real_now() - began_ns, 2 * NOTICE_MAX_NS);
}

START_TEST(all_that_is_pending_ends_at_both_sides_of_a_wire_that_is_cut)
{
    int64_t began_ns;

    if (!open_over_wire(_i))
        return;
    background_start(&sending,
                     rill_rdma_send(&linked.client, &send_large, message, LARGE, 3)); /* is kept */
    background_start(&syncing, rill_rdma_send_sync(&linked.client, &send_sync, message, 1, 4));
    background_start(&receiving, rill_rdma_recv(&linked.client, &to_client, buffer, 100, 5));
    background_start(&receiving_back, rill_rdma_recv(&linked.server, &to_server, buffer, 100, 5));
    settle();
    network_cut();
    began_ns = fixture_real_now();
    expect_failure(&linked.client, "one", began_ns);
    expect_failure(&linked.server, "the other", began_ns);
    expect_eq(background_end(&sending), linked.client.error);
    expect_eq(background_end(&syncing), linked.client.error);
    expect_eq(background_end(&receiving), linked.client.error);
    expect_eq(background_end(&receiving_back), linked.server.error);
    ck_assert_int_le(fixture_real_now() - began_ns, NOTICE_MAX_NS + RILL_RDMA_DRAIN_NS);
    end_both(began_ns);

    network_mend();
    linked_connect(&watchful, &watchful);
    exchange(LARGE);
    linked_close();
}
END_TEST

START_TEST(a_connection_that_says_nothing_notices_that_its_wire_is_cut)
{
    int64_t began_ns;

    if (!open_over_wire(_i))
        return;
    network_cut();
    began_ns = fixture_real_now();
    expect_failure(&linked.server, "one", began_ns);
    expect_failure(&linked.client, "the other", began_ns);
    end_both(began_ns);
    network_mend();
    linked_close();
}
END_TEST

START_TEST(disconnecting_over_a_wire_that_is_cut_ends)
{
    int64_t began_ns;

    if (!open_over_wire(_i))
        return;
    network_cut();
    began_ns = fixture_real_now();
    end_both(began_ns);
    network_mend();
    linked_close();
}
END_TEST

/* Connections that the other side accepts: attempts that were given up may still come. */
static struct rill_rdma_connection accepted[8];

/* Accepts until the client is connected, and returns the one that it is connected with. */
static struct rill_rdma_connection *accept_until_connected(void)
{
    static struct rill_timeout limit;
    static struct rill_rdma_am stranger;
    struct rill_rdma_connection *found = NULL;
    size_t count = 0;

    while (linked.client.state != RILL_RDMA_CONNECTED) {
        if (await(rill_timeout(&limit, 100 * RILL_MILLISECOND,
                               rill_rdma_accept_worker(&linked.right, &stranger))) < 0)
            continue;
        ck_assert_uint_lt(count, sizeof accepted / sizeof *accepted);
        expect_eq(rill_rdma_adopt_worker(&accepted[count++], &linked.right, &stranger, &watchful),
                  0);
    }
    for (size_t i = 0; i < count; i++) {
        if (accepted[i].id == linked.client.peer.id)
            found = &accepted[i];
    }
    expect(found);
    return found;
}

START_TEST(a_connection_is_made_anew_when_its_wire_is_mended)
{
    static struct rill_sleep pause;
    struct rill_rdma_connection_options persistent = watchful;
    struct rill_rdma_connection *server;
    int64_t began_ns;

    if (strstr(network()->tls, "rc_v")) {
        puts("skipped: UCX ends a process that connects by worker address over such a wire");
        return;
    }
    persistent.handshake_ns = 2 * SILENCE_NS;
    persistent.reconnects = 1000;
    persistent.reconnect_first_ns = 100 * RILL_MILLISECOND;
    persistent.reconnect_max_ns = 200 * RILL_MILLISECOND;
    if (!linked_open(_i, &persistent, &watchful))
        return;
    exchange(LARGE);
    network_cut();
    began_ns = fixture_real_now();
    expect_failure(&linked.server, "one", began_ns);
    expect(await(rill_rdma_disconnect(&linked.server)) < 0);
    while (linked.client.attempts < 2) /* one in vain */
        await(rill_sleep(&pause, 10 * RILL_MILLISECOND));
    network_mend();
    server = accept_until_connected();
    printf("connected anew after %u failures\n", (unsigned)linked.client.metrics.failures);
    exchange_with(server, LARGE);
    background_start(&ending, rill_rdma_disconnect(&linked.client));
    for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++)
        await(rill_rdma_disconnect(&accepted[i]));
    expect_eq(background_end(&ending), 0);
    linked_close_hubs();
}
END_TEST

START_TEST(a_wire_that_loses_some_loses_no_message_of_a_connection)
{
    static const size_t sizes[] = {1, 100, 7999, 8000, 100000};

    if (!open_over_wire(_i))
        return;
    network_lose(2);
    for (size_t i = 0; i < 100; i++)
        exchange(sizes[i % 5] + i);
    network_mend();
    expect_eq(linked.client.state, RILL_RDMA_CONNECTED);
    expect_eq(linked.server.state, RILL_RDMA_CONNECTED);
    linked_close();
}
END_TEST

START_TEST(a_call_over_a_wire_that_is_cut_ends)
{
    static struct rill_rdma_rpc callers, servers;
    static struct rill_rdma_rpc_client to_callee;
    static struct rill_rdma_rpc_call call;
    static struct background calling;
    int64_t began_ns;

    if (!open_over_wire(_i))
        return;
    expect_eq(rill_rdma_rpc_open(&callers, &duo.left, 1, 4), 0);
    expect_eq(rill_rdma_rpc_open(&servers, &duo.right, 1, 4), 0);
    rill_rdma_rpc_client_init(&to_callee, &callers, &linked.client.ep, 4);
    background_start(&calling,
                     rill_rdma_rpc_call(&to_callee, &call, METHOD, message, 100000, buffer, LARGE));
    settle();
    network_cut();
    began_ns = fixture_real_now();
    expect(background_end(&calling) < 0);
    ck_assert_int_le(fixture_real_now() - began_ns, NOTICE_MAX_NS);
    end_both(began_ns);
    network_mend();
    rill_rdma_rpc_client_finish(&to_callee);
    rill_rdma_rpc_close(&callers);
    rill_rdma_rpc_close(&servers);
    linked_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {all_that_is_pending_ends_at_both_sides_of_a_wire_that_is_cut, IN_TCP | WIRE},
        {a_connection_that_says_nothing_notices_that_its_wire_is_cut, IN_TCP | WIRE},
        {disconnecting_over_a_wire_that_is_cut_ends, IN_TCP | WIRE},
        {a_connection_is_made_anew_when_its_wire_is_mended, IN_TCP | WIRE},
        {a_wire_that_loses_some_loses_no_message_of_a_connection, IN_TCP | WIRE},
        {a_call_over_a_wire_that_is_cut_ends, IN_TCP | WIRE},
    };

    return duo_main("rdma wire", cases, sizeof cases / sizeof *cases);
}
