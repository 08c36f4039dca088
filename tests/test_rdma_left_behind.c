/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_left_behind.c - what connections that have ended leave in UCX while its worker lives:
 * nothing, however many there were. */
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "tests/rdma/duo.h"
#include "tests/rdma/network.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 50, EAGER = 5000, LONG = 100000 };

static struct rill_rdma_hub left, right;
static struct rill_rdma_connection client, server;
static struct rill_rdma_listener listener;
static struct rill_rdma_state_wait wait;
static struct rill_rdma_transfer sent, received;
static struct background connecting, sending, ending;
static char message[LONG], buffer[LONG];

static bool open_hubs(int which)
{
    if (!duo_open_workers(which, NULL))
        return false;
    expect_eq(rill_rdma_hub_open(&left, &duo.left), 0);
    expect_eq(rill_rdma_hub_open(&right, &duo.right), 0);
    return true;
}

static void close_hubs(void)
{
    rill_rdma_hub_close(&left);
    rill_rdma_hub_close(&right);
    duo_close();
}

static void await_both(void)
{
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), 0);
    expect_eq(background_end(&connecting), 0);
}

static void connect_by_worker(struct rill_rdma_hub *to)
{
    struct rill_rdma_am stranger = {0};
    size_t size;

    background_start(&connecting, rill_rdma_connect_worker(
                                      &client, &left, rill_rdma_address(to->rdma, &size), NULL));
    expect(await(rill_rdma_accept_worker(to, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&server, to, &stranger, NULL), 0);
    await_both();
}

static void connect_by_socket(const struct rill_address *address)
{
    struct rill_rdma_accept accept;

    background_start(&connecting, rill_rdma_connect(&client, &left, address, NULL));
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_adopt(&server, &right, &accept, NULL), 0);
    await_both();
}

static void carry(struct rill_rdma_connection *from, struct rill_rdma_connection *to, int64_t size)
{
    background_start(&sending, rill_rdma_send(from, &sent, message, (size_t)size, 1));
    expect_eq(await(rill_rdma_recv(to, &received, buffer, sizeof buffer, 1)), size);
    expect_eq(background_end(&sending), size);
}

/* Carries messages in both directions, and leaves some unreceived. */
static void use_and_end(void)
{
    carry(&client, &server, EAGER);
    carry(&client, &server, LONG);
    carry(&server, &client, LONG);
    expect_eq(await(rill_rdma_send(&server, &sent, message, EAGER, 2)), EAGER);
    background_start(&ending, rill_rdma_disconnect(&client));
    duo_turn_until(server.state != RILL_RDMA_CONNECTED);
    expect_eq(await(rill_rdma_disconnect(&server)), 0);
    expect_eq(background_end(&ending), 0);
}

static size_t count_mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    size_t count = 0;
    int c;

    expect(maps != NULL);
    while ((c = fgetc(maps)) != EOF)
        count += c == '\n';
    fclose(maps);
    return count;
}

/* Of one that is not wanted; the other side has given it up before it hears of that, or after. */
static void turn_away(bool is_late)
{
    struct rill_rdma_am stranger = {0};
    size_t size;

    background_start(&connecting, rill_rdma_connect_worker(
                                      &client, &left, rill_rdma_address(&duo.right, &size), NULL));
    expect(await(rill_rdma_accept_worker(&right, &stranger)) > 0);
    rill_task_cancel(&connecting.task);
    if (is_late)
        expect_eq(background_end(&connecting), -ECANCELED);
    expect_eq(rill_rdma_adopt_worker(&server, &right, &stranger, NULL), 0);
    await(rill_rdma_cut(&server));
    if (!is_late)
        expect_eq(background_end(&connecting), -ECANCELED);
}

/* Ends as many first as UCX and malloc need to have all that they keep for the next one. To NULL:
 * that are turned away. */
static void expect_nothing_of_workers(struct rill_rdma_hub *to)
{
    size_t fds = 0, mappings = 0;

    for (int i = -COUNT; i < COUNT; i++) {
        if (i == 0) {
            fds = fixture_count_fds();
            mappings = count_mappings();
        }
        if (to) {
            connect_by_worker(to);
            use_and_end();
        } else {
            turn_away(i % 2 == 0);
        }
    }
    ck_assert_uint_lt(fixture_count_fds(), fds + COUNT / 2);
    /* UCX destroys a queue pair, which is mapped, when its device says that nothing uses it any
     * more (uct_rc_ep_cleanup_qp in rc_ep.c). An emulated one does not say so. */
    if (!network()->is_verbs)
        ck_assert_uint_lt(count_mappings(), mappings + COUNT / 2);
}

START_TEST(connections_by_worker_address_leave_neither_descriptors_nor_mappings)
{
    if (!open_hubs(_i))
        return;
    expect_nothing_of_workers(&right);
    close_hubs();
}
END_TEST

START_TEST(nor_do_those_of_a_worker_to_itself)
{
    if (!open_hubs(_i))
        return;
    expect_nothing_of_workers(&left);
    close_hubs();
}
END_TEST

/* UCX makes an endpoint for who has sent an active message, which nobody can close but by opening
 * one to the same side. Where the message is just released it stays. */
START_TEST(nor_do_those_that_are_adopted_only_to_be_cut)
{
    if (!open_hubs(_i))
        return;
    expect_nothing_of_workers(NULL);
    close_hubs();
}
END_TEST

/* Where malloc does not tell how much is in use, as under the sanitizers, there is nothing to be
 * seen. */
START_TEST(connections_by_socket_address_leave_no_memory)
{
    struct rill_address address;
    size_t used = 0;

    if (!open_hubs(_i))
        return;
    address = duo_listen(&listener, &duo.right);
    for (int i = -COUNT; i < COUNT; i++) {
        if (i == 0)
            used = mallinfo2().uordblks;
        connect_by_socket(&address);
        use_and_end();
    }
    ck_assert_uint_lt(mallinfo2().uordblks, used + (size_t)COUNT * 32);
    rill_rdma_listener_close(&listener);
    close_hubs();
}
END_TEST

START_TEST(what_was_sent_before_the_end_of_one_by_worker_address_is_received)
{
    if (!open_hubs(_i))
        return;
    connect_by_worker(&right);
    for (int i = 0; i < COUNT; i++) {
        memset(message, i, EAGER);
        expect_eq(await(rill_rdma_send(&client, &sent, message, EAGER, 1)), EAGER);
    }
    background_start(&ending, rill_rdma_disconnect(&client));
    expect_eq(background_end(&ending), 0);
    expect_eq(await(rill_rdma_wait_for_state(&server, &wait, 1u << RILL_RDMA_CLOSED)),
              RILL_RDMA_CLOSED);
    for (int i = 0; i < COUNT; i++) {
        expect_eq(await(rill_rdma_recv(&server, &received, buffer, EAGER, 1)), EAGER);
        expect(buffer[0] == i && buffer[EAGER - 1] == i);
    }
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, EAGER, 1)), -ESHUTDOWN);
    expect_eq(await(rill_rdma_disconnect(&server)), 0);
    close_hubs();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {connections_by_worker_address_leave_neither_descriptors_nor_mappings, IN_TCP_AND_SHM},
        {nor_do_those_of_a_worker_to_itself, IN_TCP_AND_SHM | LOOPBACK},
        {nor_do_those_that_are_adopted_only_to_be_cut, IN_TCP_AND_SHM},
        {connections_by_socket_address_leave_no_memory, IN_TCP | TCP_ITSELF},
        {what_was_sent_before_the_end_of_one_by_worker_address_is_received, IN_TCP_AND_SHM},
    };

    return duo_main("what connections leave behind", cases, sizeof cases / sizeof *cases);
}
