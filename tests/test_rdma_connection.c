/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_connection.c - connections between two workers of one process: how they begin,
 * what they carry, how they end. */
#include "rdma/connection.h"

#include "rdma/control.h"
#include "rdma/dial.h"
#include "rdma/exchange.h"
#include "rdma/parcel.h"
#include "rdma/tag.h"
#include "runtime/join_all.h"
#include "runtime/shield.h"
#include "tests/rdma/duo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static struct rill_rdma_hub left, right;
static struct rill_rdma_connection client, server;
static struct rill_rdma_listener listener;
static struct rill_rdma_transfer sent, received;
static struct rill_rdma_state_wait wait;
static struct background sending, receiving, connecting, ending;
static char buffer[64 << 20], message[64 << 20];

static void open_both_hubs(void)
{
    expect_eq(rill_rdma_hub_open(&left, &duo.left), 0);
    expect_eq(rill_rdma_hub_open(&right, &duo.right), 0);
}

/* For connections alone, unless the test has endpoints without one. */
static bool has_bare_endpoints;

static bool open_hubs(int which)
{
    duo.has_connections_alone = !has_bare_endpoints;
    if (!duo_open_workers(which, NULL))
        return false;
    open_both_hubs();
    return true;
}

static void close_hubs(void)
{
    expect_eq(left.connections + right.connections, 0);
    expect_eq(left.dropped + right.dropped, 0);
    rill_rdma_hub_close(&left);
    rill_rdma_hub_close(&right);
    duo_close();
}

/* Connects client to server, by socket address wherever that works. */
static void make_connection(int which, const struct rill_rdma_connection_options *of_client,
                            const struct rill_rdma_connection_options *of_server)
{
    if (duo_is_by_worker(which)) {
        struct rill_rdma_am stranger = {0};
        size_t size;

        background_start(&connecting,
                         rill_rdma_connect_worker(&client, &left,
                                                  rill_rdma_address(&duo.right, &size), of_client));
        expect(await(rill_rdma_accept_worker(&right, &stranger)) > 0);
        expect_eq(rill_rdma_adopt_worker(&server, &right, &stranger, of_server), 0);
    } else {
        struct rill_address address = duo_listen(&listener, &duo.right);
        struct rill_rdma_accept accept;

        background_start(&connecting, rill_rdma_connect(&client, &left, &address, of_client));
        expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
        expect_eq(rill_rdma_adopt(&server, &right, &accept, of_server), 0);
        rill_rdma_listener_close(&listener);
    }
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), 0);
    expect_eq(background_end(&connecting), 0);
    expect_eq(client.state, RILL_RDMA_CONNECTED);
}

static void open_connection(int which)
{
    make_connection(which, NULL, NULL);
}

static void disconnect_both(void)
{
    background_start(&ending, rill_rdma_disconnect(&client));
    expect_eq(await(rill_rdma_disconnect(&server)), 0);
    expect_eq(background_end(&ending), 0);
    expect_eq(client.state, RILL_RDMA_IDLE);
    expect_eq(server.state, RILL_RDMA_IDLE);
}

/* ---- beginning ---- */

START_TEST(both_sides_know_that_they_are_connected)
{
    if (!open_hubs(_i))
        return;
    open_connection(_i);
    expect_eq(client.peer.id, server.id);
    expect_eq(server.peer.id, client.id);
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(a_connection_by_worker_address_works_too)
{
    struct rill_rdma_am stranger = {0};
    size_t size;

    if (!open_hubs(_i))
        return;
    background_start(&connecting, rill_rdma_connect_worker(
                                      &client, &left, rill_rdma_address(&duo.right, &size), NULL));
    expect(await(rill_rdma_accept_worker(&right, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&server, &right, &stranger, NULL), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), 0);
    expect_eq(background_end(&connecting), 0);
    background_start(&sending, rill_rdma_send(&client, &sent, "hello", 5, 7));
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 100, 7)), 5);
    expect_eq(background_end(&sending), 5);
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(a_url_is_dialled)
{
    static struct rill_rdma_dial dial;
    struct rill_rdma_accept accept;
    char url[64];

    if (!open_hubs(_i))
        return;
    expect_eq(await(rill_rdma_dial(&client, &dial, &left, "rdma://127.0.0.1", NULL)), -EINVAL);
    expect(dial.why != NULL);
    expect_eq(await(rill_rdma_dial(&client, &dial, &left, "tcp://127.0.0.1:1", NULL)), -EINVAL);
    expect(strstr(dial.why, "rdma://") != NULL);
    background_start(&connecting,
                     rill_rdma_dial(&client, &dial, &left, "rdma://localhost:1", NULL));
    rill_task_cancel(&connecting.task);
    expect_eq(background_end(&connecting), -ECANCELED);
    ck_assert_str_eq(dial.why, strerror(ECANCELED));

    struct rill_address address = duo_listen(&listener, &duo.right);

    snprintf(url, sizeof url, "rdma://127.0.0.1:%d", rill_address_port(&address));
    background_start(&connecting, rill_rdma_dial(&client, &dial, &left, url, NULL));
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_adopt(&server, &right, &accept, NULL), 0);
    expect_eq(background_end(&connecting), 0);
    disconnect_both();
    rill_rdma_listener_close(&listener);
    expect_eq(await(rill_rdma_dial(&client, &dial, &left, url, NULL)), -ECONNREFUSED);
    ck_assert_str_eq(dial.why, "nobody listens there, or the server takes no more");
    expect_eq(client.state, RILL_RDMA_IDLE);
    close_hubs();
}
END_TEST

START_TEST(one_that_is_never_accepted_times_out)
{
    const struct rill_rdma_connection_options options = {.handshake_ns = 50 * RILL_MILLISECOND};

    if (!open_hubs(_i))
        return;
    struct rill_address address = duo_listen(&listener, &duo.right);

    expect_eq(await(rill_rdma_connect(&client, &left, &address, &options)), -ETIMEDOUT);
    expect_eq(client.state, RILL_RDMA_IDLE);
    expect_eq(left.ended.failures, 1);
    rill_rdma_listener_close(&listener);
    close_hubs();
}
END_TEST

START_TEST(connecting_can_be_cancelled)
{
    if (!open_hubs(_i))
        return;
    struct rill_address address = duo_listen(&listener, &duo.right);

    background_start(&connecting, rill_rdma_connect(&client, &left, &address, NULL));
    settle();
    expect_eq(client.state, RILL_RDMA_CONNECTING);
    rill_task_cancel(&connecting.task);
    expect_eq(background_end(&connecting), -ECANCELED);
    expect_eq(client.state, RILL_RDMA_IDLE);
    rill_rdma_listener_close(&listener);
    close_hubs();
}
END_TEST

/* Its keeper has not seen that yet, and its state still says connected. */
START_TEST(who_waits_for_a_connection_that_has_just_failed_is_not_told_that_it_is_there)
{
    if (!open_hubs(_i))
        return;
    make_connection(_i, NULL, NULL);
    background_start(&connecting, rill_rdma_wait_for_connection(&client, &wait));
    rill_rdma_ep_fail(&client.ep, -ECONNRESET); /* which wakes it behind that */
    expect_eq(client.state, RILL_RDMA_CONNECTED);
    expect_eq(background_end(&connecting), -ECONNRESET);
    expect_eq(client.state, RILL_RDMA_FAILED);
    expect_eq(await(rill_rdma_disconnect(&client)), -ECONNRESET);
    await(rill_rdma_cut(&server));
    left.dropped = right.dropped = 0;
    close_hubs();
}
END_TEST

/* Neither of those that wait in line for the same worker has been answered. */
START_TEST(connecting_that_the_end_of_the_program_overtakes_is_no_success)
{
    static struct rill_shield shields[2];
    static struct background both[2];
    const struct rill_rdma_connection_options options = {.handshake_ns = 60 * RILL_SECOND};
    struct rill_rdma_connection *const connections[] = {&client, &server};
    size_t size;

    if (!open_hubs(_i))
        return;
    for (int i = 0; i < 2; i++)
        background_start(
            &both[i],
            rill_shield(&shields[i],
                        rill_rdma_connect_worker(connections[i], &left,
                                                 rill_rdma_address(&duo.right, &size), &options)));
    settle();
    rill_runtime_shutdown(fixture.runtime, 5 * RILL_SECOND);
    for (int i = 0; i < 2; i++) {
        expect(rill_task_is_over(&both[i].task));
        expect_eq(connections[i]->result, -ECANCELED);
        expect_eq(connections[i]->state, RILL_RDMA_IDLE);
    }
    close_hubs();
}
END_TEST

START_TEST(a_peer_that_says_no_hello_times_out)
{
    const struct rill_rdma_connection_options options = {.handshake_ns = 50 * RILL_MILLISECOND};
    struct rill_rdma_accept accept;
    struct rill_rdma_ep plain = {0};

    has_bare_endpoints = true;
    if (!open_hubs(_i))
        return;
    struct rill_address address = duo_listen(&listener, &duo.right);

    expect_eq(rill_rdma_ep_connect(&plain, &duo.left, &address), 0);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_adopt(&server, &right, &accept, &options), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), -ETIMEDOUT);
    expect_eq(server.state, RILL_RDMA_FAILED);
    expect_eq(await(rill_rdma_disconnect(&server)), -ETIMEDOUT);
    await(rill_rdma_ep_abort(&plain));
    rill_rdma_listener_close(&listener);
    close_hubs();
}
END_TEST

/* ---- what a peer should not say ---- */

static struct rill_rdma_op raw;

static void say(const struct rill_rdma_control *control, size_t size)
{
    struct rill_rdma_control swapped = rill_rdma_control_swap(*control);

    expect_eq(await(rill_rdma_am_send(&client.ep, &raw, RILL_RDMA_CONTROL_ID, &swapped, size, NULL,
                                      0, 0)),
              0);
}

START_TEST(nonsense_is_counted_and_dropped)
{
    struct rill_rdma_control control = {
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = RILL_RDMA_WIRE_VERSION,
        .kind = RILL_RDMA_BEAT,
    };
    struct rill_rdma_control nonsense;

    if (!open_hubs(_i))
        return;
    open_connection(_i);
    control.to = server.id;
    control.from = client.id;
    nonsense = control;
    say(&nonsense, sizeof nonsense - 1); /* too short */
    nonsense.magic++;
    say(&nonsense, sizeof nonsense);
    nonsense = control;
    nonsense.version++;
    say(&nonsense, sizeof nonsense);
    nonsense = control;
    nonsense.to++; /* nobody */
    say(&nonsense, sizeof nonsense);
    nonsense = control;
    nonsense.from++; /* somebody else */
    say(&nonsense, sizeof nonsense);
    nonsense = control;
    nonsense.kind = 99;
    say(&nonsense, sizeof nonsense);
    nonsense.kind = RILL_RDMA_HELLO; /* once more */
    say(&nonsense, sizeof nonsense);
    nonsense.kind = RILL_RDMA_REFUSE; /* too late */
    say(&nonsense, sizeof nonsense);
    duo_turn_until(right.dropped == 8);
    expect_eq(server.state, RILL_RDMA_CONNECTED);
    right.dropped = 0;
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(credit_that_was_never_given_ends_the_connection)
{
    struct rill_rdma_control control = {
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = RILL_RDMA_WIRE_VERSION,
        .kind = RILL_RDMA_BEAT,
        .received = UINT64_MAX,
    };

    if (!open_hubs(_i))
        return;
    open_connection(_i);
    control.to = server.id;
    control.from = client.id;
    say(&control, sizeof control);
    expect_eq(await(rill_rdma_wait_for_state(&server, &wait, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    expect_eq(server.error, -EPROTO);
    right.dropped = 0;
    expect_eq(await(rill_rdma_disconnect(&server)), -EPROTO);
    await(rill_rdma_cut(&client));
    close_hubs();
}
END_TEST

START_TEST(another_version_is_refused)
{
    struct rill_rdma_control hello = {
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = RILL_RDMA_WIRE_VERSION + 1,
        .kind = RILL_RDMA_HELLO,
        .from = 1,
    };
    struct rill_rdma_control swapped = rill_rdma_control_swap(hello);
    struct rill_rdma_accept accept;

    has_bare_endpoints = true;
    if (!open_hubs(_i))
        return;
    struct rill_address address = duo_listen(&listener, &duo.right);

    expect_eq(rill_rdma_ep_connect(&client.ep, &duo.left, &address), 0);
    background_start(&sending, rill_rdma_am_send(&client.ep, &raw, RILL_RDMA_CONTROL_ID, &swapped,
                                                 sizeof swapped, NULL, 0, RILL_RDMA_AM_REPLY));
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_adopt(&server, &right, &accept, NULL), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), -EPROTONOSUPPORT);
    expect_eq(background_end(&sending), 0);
    await(rill_rdma_disconnect(&server));
    duo_turn_until(left.dropped == 1); /* the refusal, which names a connection that is none */
    await(rill_rdma_ep_abort(&client.ep));
    left.dropped = 0;
    rill_rdma_listener_close(&listener);
    close_hubs();
}
END_TEST

/* A segment that is longer than its own would end the other side's process. */
static void expect_other_segments_are_refused(bool are_of_client)
{
    static struct rill_rdma_dial dial;
    struct rill_rdma_accept accept;
    char text[RILL_ADDRESS_TEXT_MAX], url[RILL_ADDRESS_TEXT_MAX + 8];

    if (!fixture_open(REAL, NULL, NULL))
        return;
    duo.has_connections_alone = are_of_client;
    duo_open_worker(&duo.left, OVER_TCP);
    duo.has_connections_alone = !are_of_client;
    duo_open_worker(&duo.right, OVER_TCP);
    open_both_hubs();
    struct rill_address address = duo_listen(&listener, &duo.right);

    snprintf(url, sizeof url, "rdma://%s", rill_address_format(&address, text));
    background_start(&connecting, rill_rdma_dial(&client, &dial, &left, url, NULL));
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_adopt(&server, &right, &accept, NULL), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), -EPROTOTYPE);
    expect_eq(background_end(&connecting), -EPROTOTYPE);
    expect(strstr(dial.why, "bare_endpoints") != NULL);
    await(rill_rdma_disconnect(&server));
    rill_rdma_listener_close(&listener);
    close_hubs();
}

START_TEST(a_server_of_bare_endpoints_is_refused_by_who_has_none)
{
    expect_other_segments_are_refused(true);
}
END_TEST

START_TEST(a_client_of_bare_endpoints_is_refused_by_who_has_none)
{
    expect_other_segments_are_refused(false);
}
END_TEST

START_TEST(long_segments_of_one_side_are_refused_over_shared_memory)
{
    struct rill_rdma_am stranger = {0};
    size_t size;

    if (!fixture_open(REAL, NULL, NULL))
        return;
    duo_open_worker(&duo.left, _i);
    duo.has_long_segments = true;
    duo_open_worker(&duo.right, _i);
    open_both_hubs();
    background_start(&connecting, rill_rdma_connect_worker(
                                      &client, &left, rill_rdma_address(&duo.right, &size), NULL));
    expect(await(rill_rdma_accept_worker(&right, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&server, &right, &stranger, NULL), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), -EPROTOTYPE);
    expect_eq(background_end(&connecting), -EPROTOTYPE);
    await(rill_rdma_disconnect(&server));
    close_hubs();
}
END_TEST

START_TEST(a_refusal_is_the_reason_though_the_endpoint_fails_with_it)
{
    const struct rill_rdma_control refusal = {
        .kind = RILL_RDMA_REFUSE, .from = 1, .reason = -EPROTONOSUPPORT};

    if (!open_hubs(_i))
        return;
    struct rill_address address = duo_listen(&listener, &duo.right);

    background_start(&connecting, rill_rdma_connect(&client, &left, &address, NULL));
    settle();
    expect(rill_rdma_control_hear(&client, &refusal));
    rill_rdma_ep_fail(&client.ep, -ECONNRESET);
    expect_eq(background_end(&connecting), -EPROTONOSUPPORT);
    rill_rdma_listener_close(&listener);
    close_hubs();
}
END_TEST

/* ---- messages ---- */

static void expect_all_sizes_arrive(int which)
{
    /* The largest one takes its time over an emulated device. */
    const struct rill_rdma_connection_options patient = {.bytes_per_second = 1000000};
    static const size_t sizes[] = {0,    1,     8,     100,   7999,    8000,
                                   8001, 59999, 60000, 65536, 1 << 20, sizeof buffer};

    if (!open_hubs(which))
        return;
    make_connection(which, &patient, &patient);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pattern_fill(message, i, sizes[i]);
        memset(buffer, 0, sizeof buffer);
        background_start(&sending, rill_rdma_send(&client, &sent, message, sizes[i], i));
        expect_eq(
            await(rill_rdma_recv(&server, &received, buffer, sizeof buffer, RILL_RDMA_ANY_TAG)),
            (int64_t)sizes[i]);
        expect_eq(received.tag, i);
        expect_eq(received.length, sizes[i]);
        expect(pattern_is(buffer, i, sizes[i]));
        expect_eq(background_end(&sending), (int64_t)sizes[i]);
    }
    expect_eq(client.metrics.messages_sent, sizeof sizes / sizeof *sizes);
    expect_eq(server.metrics.messages_received, sizeof sizes / sizeof *sizes);
    expect_eq(client.metrics.bytes_sent, server.metrics.bytes_received);
    disconnect_both();
    close_hubs();
}

START_TEST(messages_of_all_sizes_arrive_whole)
{
    expect_all_sizes_arrive(_i);
}
END_TEST

START_TEST(messages_of_all_sizes_arrive_in_long_segments)
{
    duo.has_long_segments = true;
    expect_all_sizes_arrive(_i);
}
END_TEST

START_TEST(messages_of_all_sizes_arrive_beside_bare_endpoints)
{
    has_bare_endpoints = true;
    expect_all_sizes_arrive(_i);
}
END_TEST

START_TEST(messages_of_all_sizes_arrive_in_long_segments_and_single_copies)
{
    duo.has_long_segments = duo.has_single_copy = true;
    expect_all_sizes_arrive(_i);
}
END_TEST

START_TEST(messages_of_all_sizes_arrive_over_tcp_alone)
{
    duo.is_tcp_only = true;
    expect_all_sizes_arrive(_i);
}
END_TEST

START_TEST(a_receive_takes_the_tag_that_it_asked_for)
{
    static struct rill_rdma_transfer one, two;
    char of_one[8], of_two[8];
    size_t size;
    uint32_t tag;

    if (!open_hubs(_i))
        return;
    open_connection(_i);
    expect(!rill_rdma_probe(&server, RILL_RDMA_ANY_TAG, NULL, NULL));
    expect_eq(await(rill_rdma_send(&client, &one, "one", 3, 1)), 3);
    expect_eq(await(rill_rdma_send(&client, &two, "zwei", 4, RILL_RDMA_USER_TAG_MAX)), 4);
    duo_turn_until(rill_rdma_probe(&server, RILL_RDMA_USER_TAG_MAX, &size, &tag));
    expect_eq(size, 4);
    expect_eq(tag, RILL_RDMA_USER_TAG_MAX);
    expect_eq(await(rill_rdma_recv(&server, &two, of_two, 8, RILL_RDMA_USER_TAG_MAX)), 4);
    expect_eq(await(rill_rdma_recv_masked(&server, &one, of_one, 8, 0x11, 0xf)), 3);
    expect_eq(one.tag, 1);
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(a_message_in_parts_is_filled_into_parts)
{
    static const size_t sizes[] = {10, 3000, 300000};
    struct iovec out[3], in[2];

    if (!open_hubs(_i))
        return;
    open_connection(_i);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = sizes[i], third = size / 3;

        pattern_fill(message, i, size);
        memset(buffer, 0, size + 1);
        out[0] = (struct iovec){message, third};
        out[1] = (struct iovec){message + third, 0};
        out[2] = (struct iovec){message + third, size - third};
        in[0] = (struct iovec){buffer, size - third};
        in[1] = (struct iovec){buffer + size - third, third + 1};
        background_start(&sending, rill_rdma_send_vectored(&client, &sent, out, 3, 1));
        expect_eq(await(rill_rdma_recv_vectored(&server, &received, in, 2, 1)), (int64_t)size);
        expect_eq(background_end(&sending), (int64_t)size);
        expect(pattern_is(buffer, i, size));
        expect_eq(buffer[size], 0);
        expect_eq(received.length, size);
    }
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(a_message_that_does_not_fit_tells_its_size)
{
    if (!open_hubs(_i))
        return;
    open_connection(_i);
    background_start(&sending, rill_rdma_send(&client, &sent, message, 100000, 1));
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 10, 1)), -EMSGSIZE);
    expect_eq(received.length, 100000);
    expect_eq(background_end(&sending), 100000);
    expect_eq(server.credit.received, client.credit.sent);
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(a_cancelled_receive_loses_no_message)
{
    if (!open_hubs(_i))
        return;
    open_connection(_i);
    background_start(&receiving, rill_rdma_recv(&server, &received, buffer, 100, 1));
    settle();
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    expect_eq(await(rill_rdma_send(&client, &sent, "hello", 5, 1)), 5);
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 100, 1)), 5);
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(a_message_of_unknown_size_is_received)
{
    static const size_t sizes[] = {0, 1, 8000, 300000, 5 << 20};
    static struct rill_rdma_parcel parcel;

    if (!open_hubs(_i))
        return;
    open_connection(_i);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        bool is_early = i % 2;

        pattern_fill(message, i, sizes[i]);
        if (is_early) {
            background_start(&sending, rill_rdma_send(&client, &sent, message, sizes[i], i));
            settle();
        }
        background_start(&receiving,
                         rill_rdma_parcel_recv(&server, &parcel, RILL_RDMA_ANY_TAG, 8 << 20));
        settle();
        if (!is_early)
            background_start(&sending, rill_rdma_send(&client, &sent, message, sizes[i], i));
        expect_eq(background_end(&receiving), (int64_t)sizes[i]);
        expect_eq(background_end(&sending), (int64_t)sizes[i]);
        expect_eq(parcel.tag, i);
        expect(pattern_is(parcel.data, i, sizes[i]));
        rill_rdma_parcel_give_back(&parcel);
    }
    background_start(&sending, rill_rdma_send(&client, &sent, message, 1000, 1));
    expect_eq(await(rill_rdma_parcel_recv(&server, &parcel, 1, 999)), -EMSGSIZE);
    expect_eq(parcel.length, 1000);
    expect_eq(await(rill_rdma_parcel_recv(&server, &parcel, 1, 1000)), 1000); /* it was left */
    expect_eq(background_end(&sending), 1000);
    rill_rdma_parcel_give_back(&parcel);

    background_start(&receiving, rill_rdma_parcel_recv(&server, &parcel, 1, 1000));
    settle();
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    background_start(&receiving, rill_rdma_parcel_recv(&server, &parcel, 1, 1000));
    settle();
    background_start(&ending, rill_rdma_disconnect(&client));
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(await(rill_rdma_disconnect(&server)), 0);
    expect_eq(background_end(&ending), 0);
    close_hubs();
}
END_TEST

/* ---- credit ---- */

START_TEST(a_receiver_that_does_not_receive_stops_the_sender)
{
    const struct rill_rdma_connection_options small = {.window = 10 * 1256};
    static struct rill_rdma_transfer one_more;
    int count = 0;

    if (!open_hubs(_i))
        return;
    make_connection(_i, NULL, &small);
    for (; rill_rdma_credit_allows(&client.credit, 1256); count++) {
        memset(message, count, 1000);
        expect_eq(await(rill_rdma_send(&client, &sent, message, 1000, 1)), 1000);
    }
    expect_eq(count, 10);
    background_start(&sending, rill_rdma_send(&client, &one_more, message, 1000, 1));
    settle();
    expect(!rill_task_is_over(&sending.task));
    expect_eq(client.metrics.credit_waits, 1);
    for (int i = 0; i < 10; i++) {
        expect_eq(await(rill_rdma_recv(&server, &received, buffer, 1000, 1)), 1000);
        expect_eq(buffer[0], i);
    }
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 1000, 1)), 1000);
    expect_eq(background_end(&sending), 1000);
    disconnect_both();
    close_hubs();
}
END_TEST

enum { SENDERS = 32, EACH = 2000 };

static struct sender {
    struct rill_task task;
    struct rill_rdma_transfer transfer;
    int sent;
} senders[SENDERS];

/* The messages of each sender are numbered. */
static enum rill_poll sender_poll(struct rill_future *self, struct rill_task *task)
{
    struct sender *sender = rill_container_of(self, struct sender, task.future);

    RILL_BEGIN();
    for (sender->sent = 0; sender->sent < EACH; sender->sent++) {
        RILL_AWAIT(rill_rdma_send(&client, &sender->transfer, &sender->sent, sizeof sender->sent,
                                  (uint32_t)(sender - senders)));
        if (sender->transfer.result < 0)
            RILL_RETURN(sender->transfer.result);
    }
    RILL_RETURN(0);
    RILL_END();
}

/* Whoever sends while others wait for credit goes to the end of their queue. If each of them
 * woke only the next, the queue would never be empty again, and each message take a turn. */
START_TEST(senders_that_wait_for_credit_once_do_not_wait_for_ever)
{
    static struct rill_join ends[SENDERS];
    int next[SENDERS] = {0};

    if (!open_hubs(_i))
        return;
    open_connection(_i);
    for (int i = 0; i < SENDERS; i++)
        rill_task_spawn(&senders[i].task, sender_poll);
    for (int i = 0; i < SENDERS * EACH; i++) {
        int number;

        expect_eq(
            await(rill_rdma_recv(&server, &received, &number, sizeof number, RILL_RDMA_ANY_TAG)),
            sizeof number);
        expect_eq(number, next[received.tag]++);
    }
    for (int i = 0; i < SENDERS; i++)
        expect_eq(await(rill_task_join(&senders[i].task, &ends[i])), 0);
    expect(client.metrics.credit_waits > 0);
    expect(client.metrics.credit_waits < SENDERS * EACH / 10);
    disconnect_both();
    close_hubs();
}
END_TEST

/* The one that is given up leaves room for the one behind it, in the same task. */
START_TEST(a_send_that_is_given_up_cancels_no_other)
{
    const struct rill_rdma_connection_options small = {.window = 1256 + 257};
    static struct rill_rdma_transfer two, three;
    static struct rill_timeout timeout;
    static struct rill_join_all all;
    struct rill_future *both[2];

    if (!open_hubs(_i))
        return;
    make_connection(_i, NULL, &small);
    expect_eq(await(rill_rdma_send(&client, &sent, message, 1000, 1)), 1000);
    both[0] = rill_timeout(&timeout, 10 * RILL_MILLISECOND,
                           rill_rdma_send(&client, &two, message, 1000, 2));
    both[1] = rill_rdma_send(&client, &three, "x", 1, 3);
    expect_eq(await(rill_join_all(&all, both, 2)), -ETIMEDOUT);
    expect_eq(three.result, 1);
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 1000, 1)), 1000);
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 1000, RILL_RDMA_ANY_TAG)), 1);
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(a_shielded_send_of_a_cancelled_task_is_posted_by_another)
{
    const struct rill_rdma_connection_options small = {.window = 2 * 1256};
    static struct rill_rdma_transfer two, three;
    static struct background sending_two, sending_three;
    static struct rill_shield shield;

    if (!open_hubs(_i))
        return;
    make_connection(_i, NULL, &small);
    expect_eq(await(rill_rdma_send(&client, &sent, message, 2 * 1256 - 256, 1)), 2 * 1256 - 256);
    background_start(&sending_two, rill_rdma_send(&client, &two, message, 1000, 2));
    settle();
    background_start(&sending_three,
                     rill_shield(&shield, rill_rdma_send(&client, &three, "bye", 3, 3)));
    rill_task_cancel(&sending_three.task);
    settle();
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, sizeof buffer, 1)), 2 * 1256 - 256);
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, sizeof buffer, 2)), 1000);
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, sizeof buffer, 3)), 3);
    expect_eq(background_end(&sending_two), 1000);
    expect_eq(background_end(&sending_three), 3);
    disconnect_both();
    close_hubs();
}
END_TEST

static void use_while_it_waits(void)
{
    const struct rill_rdma_connection_options small = {.window = 1256};
    static struct rill_rdma_transfer two;

    if (!open_hubs(OVER_TCP))
        return;
    make_connection(OVER_TCP, NULL, &small);
    expect_eq(await(rill_rdma_send(&client, &sent, message, 1000, 1)), 1000);
    background_start(&sending, rill_rdma_send(&client, &two, message, 1000, 2));
    settle();
    rill_rdma_send(&client, &two, message, 1000, 2);
}

START_TEST(a_transfer_that_waits_for_credit_is_in_use)
{
    fixture_expect_panic(use_while_it_waits, "by a transfer that waits for credit");
}
END_TEST

START_TEST(a_send_that_waits_for_credit_can_be_cancelled)
{
    const struct rill_rdma_connection_options small = {.window = 1256};
    static struct rill_rdma_transfer two, three;
    static struct background sending_two, sending_three;

    if (!open_hubs(_i))
        return;
    make_connection(_i, NULL, &small);
    expect_eq(await(rill_rdma_send(&client, &sent, message, 1000, 1)), 1000);
    background_start(&sending_two, rill_rdma_send(&client, &two, message, 1000, 2));
    background_start(&sending_three, rill_rdma_send(&client, &three, "x", 1, 3));
    settle();
    rill_task_cancel(&sending_two.task);
    expect_eq(background_end(&sending_two), -ECANCELED);
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 1000, 1)), 1000);
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 1000, RILL_RDMA_ANY_TAG)), 1);
    expect_eq(received.tag, 3);
    expect_eq(background_end(&sending_three), 1);
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(a_message_larger_than_the_window_goes_alone)
{
    const struct rill_rdma_connection_options small = {.window = 100};

    if (!open_hubs(_i))
        return;
    make_connection(_i, &small, &small);
    for (int i = 0; i < 3; i++) {
        background_start(&sending, rill_rdma_send(&client, &sent, message, 50000, 1));
        expect_eq(await(rill_rdma_recv(&server, &received, buffer, sizeof buffer, 1)), 50000);
        expect_eq(background_end(&sending), 50000);
    }
    disconnect_both();
    close_hubs();
}
END_TEST

/* ---- the end ---- */

START_TEST(what_was_sent_before_disconnecting_is_received)
{
    enum { COUNT = 20 };

    if (!open_hubs(_i))
        return;
    open_connection(_i);
    for (int i = 0; i < COUNT; i++) {
        memset(message, i, 500);
        expect_eq(await(rill_rdma_send(&client, &sent, message, 500, 1)), 500);
    }
    background_start(&ending, rill_rdma_disconnect(&client));
    expect_eq(await(rill_rdma_wait_for_state(&server, &wait,
                                             1u << RILL_RDMA_CLOSING | 1u << RILL_RDMA_CLOSED)),
              server.state);
    expect_eq(background_end(&ending), 0);
    for (int i = 0; i < COUNT; i++) {
        expect_eq(await(rill_rdma_recv(&server, &received, buffer, 500, 1)), 500);
        expect_eq(buffer[0], i);
    }
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, 500, 1)), -ESHUTDOWN);
    expect_eq(await(rill_rdma_send(&server, &sent, buffer, 500, 1)), -ESHUTDOWN);
    expect_eq(await(rill_rdma_disconnect(&server)), 0);
    expect_eq(right.swept, 0);
    close_hubs();
}
END_TEST

START_TEST(a_receive_that_waits_ends_when_the_other_side_disconnects)
{
    if (!open_hubs(_i))
        return;
    open_connection(_i);
    background_start(&receiving, rill_rdma_recv(&server, &received, buffer, 500, 1));
    settle();
    background_start(&ending, rill_rdma_disconnect(&client));
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(background_end(&ending), 0);
    expect_eq(await(rill_rdma_disconnect(&server)), 0);
    close_hubs();
}
END_TEST

START_TEST(sends_that_nobody_will_receive_do_not_hold_up_the_end)
{
    if (!open_hubs(_i))
        return;
    open_connection(_i);
    background_start(&sending, rill_rdma_send(&client, &sent, message, sizeof message, 1));
    settle();
    expect(!rill_task_is_over(&sending.task));
    disconnect_both();
    expect(background_end(&sending) >= -4095);
    expect_eq(right.swept, 1);
    close_hubs();
}
END_TEST

START_TEST(cutting_is_seen_by_the_other_side_as_a_loss)
{
    if (!open_hubs(_i))
        return;
    open_connection(_i);
    background_start(&receiving, rill_rdma_recv(&server, &received, buffer, 500, 1));
    settle();
    expect_eq(await(rill_rdma_cut(&client)), 0);
    expect(background_end(&receiving) < 0);
    expect_eq(await(rill_rdma_wait_for_state(&server, &wait, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    expect(await(rill_rdma_disconnect(&server)) < 0);
    close_hubs();
}
END_TEST

START_TEST(disconnecting_in_a_cancelled_task_is_quick)
{
    const struct rill_rdma_connection_options slow = {.close_ns = 3600 * RILL_SECOND};

    if (!open_hubs(_i))
        return;
    make_connection(_i, &slow, &slow);
    background_start(&ending, rill_rdma_disconnect(&client));
    rill_task_cancel(&ending.task);
    expect_eq(background_end(&ending), -ECANCELED);
    await(rill_rdma_cut(&server));
    close_hubs();
}
END_TEST

START_TEST(times_without_end_are_no_limits)
{
    const struct rill_rdma_connection_options patient = {
        .handshake_ns = RILL_NEVER, .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER - 1};

    if (!open_hubs(_i))
        return;
    make_connection(_i, &patient, &patient);
    settle();
    expect_eq(client.metrics.beats_sent, 0);
    disconnect_both();
    close_hubs();
}
END_TEST

START_TEST(many_connections_leave_nothing)
{
    if (!open_hubs(_i))
        return;
    const int count = 1000 / network()->slowness;

    for (int i = 0; i < count; i++) {
        open_connection(_i);
        expect_eq(await(rill_rdma_send(&client, &sent, "unread", 6, 1)), 6);
        background_start(&ending, rill_rdma_disconnect(&client));
        duo_turn_until(server.state != RILL_RDMA_CONNECTED);
        expect_eq(await(rill_rdma_disconnect(&server)), 0);
        expect_eq(background_end(&ending), 0);
    }
    expect_eq(right.swept, count);
    expect_eq(left.ended.connects, count);
    close_hubs();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {both_sides_know_that_they_are_connected, IN_TCP_AND_SHM},
        {a_connection_by_worker_address_works_too, IN_TCP},
        {a_url_is_dialled, IN_TCP | TCP_ITSELF},
        {one_that_is_never_accepted_times_out, IN_TCP | SOCKET_ADDRESSES},
        {connecting_can_be_cancelled, IN_TCP | SOCKET_ADDRESSES},
        {connecting_that_the_end_of_the_program_overtakes_is_no_success, IN_TCP_AND_SHM},
        {who_waits_for_a_connection_that_has_just_failed_is_not_told_that_it_is_there,
         IN_TCP_AND_SHM},
        {a_peer_that_says_no_hello_times_out, IN_TCP | SOCKET_ADDRESSES},
        {nonsense_is_counted_and_dropped, IN_TCP_AND_SHM},
        {credit_that_was_never_given_ends_the_connection, IN_TCP_AND_SHM},
        {another_version_is_refused, IN_TCP | SOCKET_ADDRESSES},
        {a_server_of_bare_endpoints_is_refused_by_who_has_none, IN_TCP | SOCKET_ADDRESSES},
        {a_client_of_bare_endpoints_is_refused_by_who_has_none, IN_TCP | SOCKET_ADDRESSES},
        {a_refusal_is_the_reason_though_the_endpoint_fails_with_it, IN_TCP | SOCKET_ADDRESSES},
        {messages_of_all_sizes_arrive_whole, IN_TCP_AND_SHM},
        {long_segments_of_one_side_are_refused_over_shared_memory, IN_SHM},
        {messages_of_all_sizes_arrive_in_long_segments, IN_TCP_AND_SHM | TCP_ITSELF},
        {messages_of_all_sizes_arrive_beside_bare_endpoints, IN_TCP | TCP_ITSELF},
        {messages_of_all_sizes_arrive_in_long_segments_and_single_copies,
         IN_TCP_AND_SHM | TCP_ITSELF},
        {messages_of_all_sizes_arrive_over_tcp_alone, IN_TCP | TCP_ITSELF},
        {a_receive_takes_the_tag_that_it_asked_for, IN_TCP_AND_SHM},
        {a_message_in_parts_is_filled_into_parts, IN_TCP_AND_SHM},
        {a_message_that_does_not_fit_tells_its_size, IN_TCP_AND_SHM},
        {a_cancelled_receive_loses_no_message, IN_TCP_AND_SHM},
        {a_message_of_unknown_size_is_received, IN_TCP_AND_SHM},
        {a_receiver_that_does_not_receive_stops_the_sender, IN_TCP_AND_SHM},
        {senders_that_wait_for_credit_once_do_not_wait_for_ever, IN_TCP | TCP_ITSELF},
        {a_send_that_is_given_up_cancels_no_other, IN_TCP_AND_SHM},
        {a_shielded_send_of_a_cancelled_task_is_posted_by_another, IN_TCP_AND_SHM},
        {a_transfer_that_waits_for_credit_is_in_use, IN_TCP | TCP_ITSELF},
        {a_send_that_waits_for_credit_can_be_cancelled, IN_TCP_AND_SHM},
        {a_message_larger_than_the_window_goes_alone, IN_TCP_AND_SHM},
        {what_was_sent_before_disconnecting_is_received, IN_TCP_AND_SHM},
        {a_receive_that_waits_ends_when_the_other_side_disconnects, IN_TCP_AND_SHM},
        {sends_that_nobody_will_receive_do_not_hold_up_the_end, IN_TCP_AND_SHM},
        {cutting_is_seen_by_the_other_side_as_a_loss, IN_TCP},
        {disconnecting_in_a_cancelled_task_is_quick, IN_TCP_AND_SHM},
        {times_without_end_are_no_limits, IN_TCP_AND_SHM},
        {many_connections_leave_nothing, IN_TCP_AND_SHM},
    };

    return duo_main("rdma connections", cases, sizeof cases / sizeof *cases);
}
