/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_active_message.c - active messages wait in their inbox, and are answered. */
#include "rdma/active_message.h"

#include "runtime/timeout.h"
#include "tests/rdma/duo.h"
#include "tests/rdma/lone.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = {0, 1, 100, 7999, 8000, 8001, 64 << 10, 4 << 20};
enum { SIZES = sizeof sizes / sizeof *sizes, LARGEST = 4 << 20, REQUEST = 3, ANSWER = 65535 };

static struct rill_rdma_ep client, server;
static struct rill_rdma_inbox requests, answers;
static struct rill_rdma_am message, second;
static struct rill_rdma_op send_op, fetch_op;
static struct background sending, receiving, receiving_second;
static char *sent, *received;

static bool open_duo(int which)
{
    if (!duo_open(which, NULL))
        return false;
    sent = malloc(LARGEST);
    received = calloc(1, LARGEST);
    pattern_fill(sent, 0, LARGEST);
    expect_eq(rill_rdma_inbox_open(&requests, &duo.right, REQUEST), 0);
    expect_eq(rill_rdma_inbox_open(&answers, &duo.left, ANSWER), 0);
    return true;
}

static void close_duo(void)
{
    expect_eq(requests.dropped + answers.dropped, 0);
    rill_rdma_inbox_close(&requests);
    rill_rdma_inbox_close(&requests);
    rill_rdma_inbox_close(&answers);
    duo_close();
    free(sent);
    free(received);
}

static struct rill_future *am_send(size_t size, unsigned flags)
{
    return rill_rdma_am_send(&duo.to_right, &send_op, REQUEST, "header", 7, sent, size, flags);
}

START_TEST(a_message_of_any_size_comes_with_its_header)
{
    static const unsigned kinds[] = {0, RILL_RDMA_AM_EAGER, RILL_RDMA_AM_RENDEZVOUS};

    if (!open_duo(_i))
        return;
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t kind = 0; kind < 3; kind++) {
            background_start(&sending, am_send(sizes[i], kinds[kind]));
            expect_eq(await(rill_rdma_am_recv(&requests, &message)), sizes[i]);
            expect_eq(message.header_size, 7);
            ck_assert_str_eq(message.header, "header");
            expect(!message.ep);
            if (kind == 1 && sizes[i] > 0)
                expect(pattern_is(message.data, 0, sizes[i]));
            if (kind == 2 && sizes[i] > 0)
                expect(!message.data);
            memset(received, 0, sizes[i]);
            expect_eq(await(rill_rdma_am_fetch(&message, &fetch_op, received)), sizes[i]);
            expect(pattern_is(received, 0, sizes[i]));
            rill_rdma_am_release(&message);
            rill_rdma_am_release(&message);
            expect_eq(background_end(&sending), sizes[i]);
        }
    }
    close_duo();
}
END_TEST

START_TEST(messages_that_nobody_takes_wait_and_are_dropped_with_their_inbox)
{
    if (!open_duo(_i))
        return;
    for (int i = 0; i < 100; i++)
        expect_eq(await(am_send(100, 0)), 100);
    duo_turn_until(requests.held_count == 100);
    expect_eq(await(rill_rdma_am_recv(&requests, &message)), 100);
    expect(pattern_is(message.data, 0, 100));
    rill_rdma_am_release(&message);
    close_duo();
}
END_TEST

START_TEST(a_rendezvous_that_is_released_ends_its_sender)
{
    if (!open_duo(_i))
        return;
    background_start(&sending, am_send(LARGEST, 0));
    expect_eq(await(rill_rdma_am_recv(&requests, &message)), LARGEST);
    settle();
    expect(!rill_task_is_over(&sending.task));
    rill_rdma_am_release(&message);
    background_end(&sending);
    close_duo();
}
END_TEST

START_TEST(a_cancelled_receive_leaves_the_message_to_the_next)
{
    struct rill_timeout timeout;

    if (!open_duo(_i))
        return;
    expect_eq(
        await(rill_timeout(&timeout, RILL_MILLISECOND, rill_rdma_am_recv(&requests, &message))),
        -ETIMEDOUT);
    for (int i = 0; i < 100; i++) {
        int64_t result;

        background_start(&receiving, rill_rdma_am_recv(&requests, &message));
        fixture_turn();
        background_start(&sending, am_send(500, 0));
        for (int turns = i % 5; turns > 0; turns--)
            fixture_turn();
        rill_task_cancel(&receiving.task);
        result = background_end(&receiving);
        if (result == -ECANCELED)
            result = await(rill_rdma_am_recv(&requests, &message));
        expect_eq(result, 500);
        expect(pattern_is(message.data, 0, 500));
        rill_rdma_am_release(&message);
        expect_eq(background_end(&sending), 500);
    }
    expect_eq(requests.held_count, 0);
    close_duo();
}
END_TEST

START_TEST(several_tasks_are_served_in_order)
{
    if (!open_duo(_i))
        return;
    background_start(&receiving, rill_rdma_am_recv(&requests, &message));
    background_start(&receiving_second, rill_rdma_am_recv(&requests, &second));
    settle();
    expect_eq(await(am_send(1, 0)), 1);
    expect_eq(background_end(&receiving), 1);
    expect(!rill_task_is_over(&receiving_second.task));
    expect_eq(await(am_send(2, 0)), 2);
    expect_eq(background_end(&receiving_second), 2);
    rill_rdma_am_release(&message);
    rill_rdma_am_release(&second);
    close_duo();
}
END_TEST

START_TEST(a_request_is_answered_through_the_endpoint_that_it_came_by)
{
    if (!open_duo(_i))
        return;
    duo_connect(&client, &server);
    for (int i = 0; i < 10; i++) {
        background_start(&sending, rill_rdma_am_send(&client, &send_op, REQUEST, "?", 2, sent,
                                                     i % 2 ? 100 : 100000, RILL_RDMA_AM_REPLY));
        await(rill_rdma_am_recv(&requests, &message));
        expect(message.ep == &server);
        expect_eq(await(rill_rdma_am_fetch(&message, &fetch_op, received)), message.size);
        rill_rdma_am_release(&message);
        background_end(&sending);
        expect_eq(await(rill_rdma_am_send(&server, &send_op, ANSWER, "!", 2, NULL, 0, 0)), 0);
        expect_eq(await(rill_rdma_am_recv(&answers, &message)), 0);
        ck_assert_str_eq(message.header, "!");
        rill_rdma_am_release(&message);
    }
    background_start(&sending, rill_rdma_am_send(&client, &send_op, REQUEST, "?", 2, sent, 100,
                                                 RILL_RDMA_AM_REPLY));
    duo_turn_until(requests.held_count == 1);
    background_end(&sending);
    await(rill_rdma_ep_abort(&client));
    await(rill_rdma_ep_close(&server));
    expect_eq(await(rill_rdma_am_recv(&requests, &message)), 100); /* it arrived before */
    expect(!message.ep);
    rill_rdma_am_release(&message);
    close_duo();
}
END_TEST

/* UCX gives the handle of an endpoint that was closed to the next one. */
START_TEST(a_request_of_one_that_went_is_not_answered_to_the_next)
{
    ucp_ep_h old;
    size_t size;

    if (!open_duo(_i))
        return;
    duo_connect(&client, &server);
    background_start(&sending, rill_rdma_am_send(&client, &send_op, REQUEST, "?", 2, sent, 100,
                                                 RILL_RDMA_AM_REPLY));
    duo_turn_until(requests.held_count == 1);
    background_end(&sending);
    old = server.ucp;
    await(rill_rdma_ep_abort(&client));
    await(rill_rdma_ep_close(&server));
    expect_eq(rill_rdma_ep_open(&server, &duo.right, rill_rdma_address(&duo.left, &size)), 0);
    expect(server.ucp == old); /* or this shows nothing */
    expect_eq(await(rill_rdma_am_recv(&requests, &message)), 100);
    expect(!message.ep);
    rill_rdma_am_release(&message);
    await(rill_rdma_ep_abort(&server));
    close_duo();
}
END_TEST

/* Nor is that of one that went before this side had an endpoint to it. */
START_TEST(a_message_that_came_before_all_endpoints_is_not_of_one_by_socket_address)
{
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};

    lone_open();
    expect_eq(rill_rdma_inbox_open(&requests, &lone.rdma, REQUEST), 0);
    for (unsigned i = 1; i <= 2; i++) {
        fake_bring(REQUEST, "?", 2, NULL, 0, (int)i, false, NULL); /* the next to be opened */
        settle();
        expect_eq(i == 1 ? rill_rdma_ep_connect(&server, &lone.rdma, &any)
                         : rill_rdma_ep_open(&server, &lone.rdma, "address"),
                  0);
        expect_eq(await(rill_rdma_am_recv(&requests, &message)), 0);
        expect(message.ep == (i == 1 ? NULL : &server));
        rill_rdma_am_release(&message);
        await(rill_rdma_ep_abort(&server));
    }
    rill_rdma_inbox_close(&requests);
    lone_close();
}
END_TEST

START_TEST(data_whose_sender_went_before_they_were_fetched_are_a_loss)
{
    if (!open_duo(_i))
        return;
    duo_connect(&client, &server);
    background_start(&sending, rill_rdma_am_send(&client, &send_op, REQUEST, "?", 2, sent, LARGEST,
                                                 RILL_RDMA_AM_REPLY));
    expect_eq(await(rill_rdma_am_recv(&requests, &message)), LARGEST);
    expect(message.ep == &server && !message.data);
    await(rill_rdma_ep_abort(&client));
    expect_eq(background_end(&sending), -ESHUTDOWN);
    await(rill_rdma_ep_abort(&server));
    expect(duo_is_loss(await(rill_rdma_am_fetch(&message, &fetch_op, received))));
    rill_rdma_am_release(&message);
    close_duo();
}
END_TEST

START_TEST(a_number_out_of_range_is_EINVAL)
{
    struct rill_rdma_inbox inbox = {0};

    if (!open_duo(_i))
        return;
    expect_eq(rill_rdma_inbox_open(&inbox, &duo.left, RILL_RDMA_AM_IDS), -EINVAL);
    rill_rdma_inbox_close(&inbox);
    close_duo();
}
END_TEST

START_TEST(a_number_that_somebody_has_is_EADDRINUSE)
{
    struct rill_rdma_inbox one = {0}, other = {0};

    if (!open_duo(_i))
        return;
    expect_eq(rill_rdma_inbox_open(&one, &duo.left, 5), 0);
    expect_eq(rill_rdma_inbox_open(&other, &duo.left, 5), -EADDRINUSE);
    expect(!other.is_open);
    expect_eq(rill_rdma_inbox_open(&other, &duo.left, 6), 0);
    rill_rdma_inbox_close(&one);
    expect_eq(rill_rdma_inbox_open(&one, &duo.left, 5), 0);
    rill_rdma_inbox_close(&one);
    rill_rdma_inbox_close(&other);
    close_duo();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_message_of_any_size_comes_with_its_header, IN_TCP_AND_SHM},
        {messages_that_nobody_takes_wait_and_are_dropped_with_their_inbox, IN_TCP_AND_SHM},
        {a_rendezvous_that_is_released_ends_its_sender, IN_TCP_AND_SHM},
        {a_cancelled_receive_leaves_the_message_to_the_next, IN_TCP_AND_SHM},
        {several_tasks_are_served_in_order, IN_TCP_AND_SHM},
        {a_request_is_answered_through_the_endpoint_that_it_came_by, IN_TCP},
        {a_request_of_one_that_went_is_not_answered_to_the_next, IN_TCP | TCP_ITSELF},
        {a_message_that_came_before_all_endpoints_is_not_of_one_by_socket_address,
         IN_TCP | TCP_ITSELF},
        {data_whose_sender_went_before_they_were_fetched_are_a_loss, IN_TCP},
        {a_number_out_of_range_is_EINVAL, IN_TCP},
        {a_number_that_somebody_has_is_EADDRINUSE, IN_TCP},
    };

    return duo_main("rdma active message", cases, sizeof cases / sizeof *cases);
}
