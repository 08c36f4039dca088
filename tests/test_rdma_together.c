/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_together.c - connections by worker address that are made at the same time, or soon
 * after one that was given up. */
#include "rdma/exchange.h"
#include "runtime/timeout.h"
#include "tests/rdma/linked.h"

#include <errno.h>

enum { MANY = 50, SIZE = 20000 };

struct side {
    struct rill_rdma_connection connection;
    struct rill_rdma_transfer transfer;
    struct background work;
    char bytes[SIZE];
};

static struct side clients[MANY], servers[MANY];
static struct rill_rdma_am stranger;
static struct rill_timeout limits[MANY];

static const void *address_of(const struct rill_rdma *rdma)
{
    size_t size;

    return rill_rdma_address(rdma, &size);
}

static const void *right_address(void)
{
    return address_of(&duo.right);
}

/* Takes what comes from whom, so that it is one of them that waits for the others. */
static void accept_all(int count)
{
    for (int i = 0; i < count; i++) {
        expect(await(rill_rdma_accept_worker(&linked.right, &stranger)) > 0);
        expect_eq(rill_rdma_adopt_worker(&servers[i].connection, &linked.right, &stranger, NULL),
                  0);
    }
}

static void end_all(struct side *sides, int64_t result)
{
    for (int i = 0; i < MANY; i++)
        expect_eq(background_end(&sides[i].work), result);
}

/* Long messages are answered by UCX itself, through the endpoint that it takes for the other
 * side's. */
START_TEST(each_has_the_endpoint_of_its_own_other_side)
{
    if (!linked_open_hubs(_i))
        return;
    for (int i = 0; i < MANY; i++)
        background_start(
            &clients[i].work,
            rill_rdma_connect_worker(&clients[i].connection, &linked.left, right_address(), NULL));
    accept_all(MANY);
    end_all(clients, 0);
    for (int i = 0; i < MANY; i++) {
        background_start(&servers[i].work,
                         rill_rdma_recv(&servers[i].connection, &servers[i].transfer,
                                        servers[i].bytes, SIZE, 1));
        background_start(&clients[i].work,
                         rill_rdma_send(&clients[i].connection, &clients[i].transfer,
                                        clients[i].bytes, SIZE, 1));
    }
    end_all(clients, SIZE);
    end_all(servers, SIZE);
    /* One after the other: what is left of the others must not miss it. */
    for (int i = 0; i < MANY; i++) {
        struct rill_rdma_connection *other = NULL;

        for (int k = 0; k < MANY; k++)
            if (servers[k].connection.peer.id == clients[i].connection.id)
                other = &servers[k].connection;
        ck_assert_ptr_nonnull(other);
        background_start(&clients[i].work, rill_rdma_disconnect(&clients[i].connection));
        expect_eq(await(rill_rdma_disconnect(other)), 0);
        expect_eq(background_end(&clients[i].work), 0);
    }
    linked_close_hubs();
}
END_TEST

START_TEST(those_that_wait_for_others_end_in_time_and_when_they_are_cancelled)
{
    /* Not so brief that UCX is still connecting: see the pitfalls of docs/guide/rdma_endpoints.md.
     */
    const int64_t ms = network()->slowness * RILL_MILLISECOND;
    const struct rill_rdma_connection_options brief = {.handshake_ns = 200 * ms};

    if (!linked_open_hubs(_i))
        return;
    for (int i = 0; i < 3; i++)
        background_start(&clients[i].work,
                         rill_timeout(&limits[i], i == 1 ? 20 * ms : RILL_NEVER,
                                      rill_rdma_connect_worker(&clients[i].connection, &linked.left,
                                                               right_address(), &brief)));
    expect_eq(background_end(&clients[1].work), -ETIMEDOUT);
    expect(limits[1].has_expired);
    expect_eq(background_end(&clients[0].work), -ETIMEDOUT);
    expect_eq(background_end(&clients[2].work), -ETIMEDOUT);
    expect(!limits[2].has_expired);
    expect_eq(linked.left.connections, 0);
    expect(rill_list_is_empty(&linked.left.pairing)); /* or the next would wait for them */
    linked_close_hubs();
}
END_TEST

START_TEST(who_connects_to_another_worker_does_not_wait)
{
    if (!linked_open_hubs(_i))
        return;
    background_start(
        &clients[0].work,
        rill_rdma_connect_worker(&clients[0].connection, &linked.left, right_address(), NULL));
    background_start(&clients[1].work,
                     rill_rdma_connect_worker(&clients[1].connection, &linked.left,
                                              address_of(&duo.left), NULL));
    expect(await(rill_rdma_accept_worker(&linked.left, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&servers[1].connection, &linked.left, &stranger, NULL), 0);
    expect_eq(background_end(&clients[1].work), 0);
    expect(!rill_task_is_over(&clients[0].work.task));

    accept_all(1);
    expect_eq(background_end(&clients[0].work), 0);
    for (int i = 0; i < 2; i++) {
        background_start(&clients[i].work, rill_rdma_disconnect(&clients[i].connection));
        expect_eq(await(rill_rdma_disconnect(&servers[i].connection)), 0);
        expect_eq(background_end(&clients[i].work), 0);
    }
    linked_close_hubs();
}
END_TEST

/* Cuts whoever is heard of until the task is over. */
static void cut_strangers(const struct rill_task *until)
{
    struct rill_timeout patience;

    while (await(rill_timeout(&patience, 2 * RILL_MILLISECOND,
                              rill_rdma_accept_worker(&linked.right, &stranger))) > 0 ||
           !rill_task_is_over(until)) {
        if (patience.has_expired)
            continue;
        expect_eq(rill_rdma_adopt_worker(&linked.server, &linked.right, &stranger, NULL), 0);
        await(rill_rdma_cut(&linked.server));
    }
}

static void expect_good_connection(void)
{
    linked_connect(NULL, NULL);
    background_start(&servers[0].work, rill_rdma_recv(&linked.server, &servers[0].transfer,
                                                      servers[0].bytes, SIZE, 1));
    expect_eq(
        await(rill_rdma_send(&linked.client, &clients[0].transfer, clients[0].bytes, SIZE, 1)),
        SIZE);
    expect_eq(background_end(&servers[0].work), SIZE);
    background_start(&clients[0].work, rill_rdma_disconnect(&linked.client));
    expect_eq(await(rill_rdma_disconnect(&linked.server)), 0);
    expect_eq(background_end(&clients[0].work), 0);
}

START_TEST(one_that_is_cancelled_at_any_time_leaves_the_next_in_step)
{
    enum { TIMES = 30, STEP_NS = 20 * RILL_MICROSECOND };

    if (!linked_open_hubs(_i))
        return;
    expect_good_connection();
    for (int i = 0; i < TIMES; i++) {
        background_start(&clients[0].work,
                         rill_timeout(&limits[0], i * STEP_NS,
                                      rill_rdma_connect_worker(&linked.client, &linked.left,
                                                               right_address(), NULL)));
        cut_strangers(&clients[0].work.task);
        background_end(&clients[0].work);
        await(rill_rdma_cut(&linked.client));
        expect_good_connection();
    }
    linked_close_hubs();
}
END_TEST

/* Over verbs UCX 1.13 may end the process where an endpoint by worker address is aborted while it
 * connects (docs/guide/rdma_verbs.md). */
int main(void)
{
    const struct duo_case cases[] = {
        {each_has_the_endpoint_of_its_own_other_side, IN_TCP_AND_SHM},
        {who_connects_to_another_worker_does_not_wait, IN_TCP_AND_SHM | LOOPBACK},
        {one_that_is_cancelled_at_any_time_leaves_the_next_in_step, IN_TCP_AND_SHM | TCP_ITSELF},
        {those_that_wait_for_others_end_in_time_and_when_they_are_cancelled,
         IN_TCP_AND_SHM | TCP_ITSELF},
    };

    return duo_main("rdma together", cases, sizeof cases / sizeof *cases);
}
