/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_embedded.c - a runtime that another loop drives hears of all that UCX has to do.
 *
 * A thread of UCX's takes connections, and tells its worker by a write to an eventfd. */
#include "tests/rdma/duo.h"

#include <poll.h>

enum { WAIT_MS = 10000, CONNECTIONS = 20 };

static const struct rill_runtime_options embedded = {.embedded = true};
static struct rill_rdma_listener listener; /* large */
static struct rill_rdma_accept taken;
static struct background accepting, closing[2];

/* A loop of somebody else's, which turns the runtime when the descriptor says so. */
static int64_t drive(struct background *until)
{
    struct pollfd ready = {.fd = rill_fd(fixture.runtime), .events = POLLIN};

    expect_eq(rill_turn(fixture.runtime, RILL_NO_WAIT), 0); /* what was started outside of one */
    while (!rill_task_is_over(&until->task)) {
        expect_eq(poll(&ready, 1, WAIT_MS * network()->slowness), 1);
        expect_eq(rill_turn(fixture.runtime, RILL_NO_WAIT), 0);
    }
    return until->task.future.result;
}

static void connect_once(const struct rill_address *address)
{
    background_start(&accepting, rill_rdma_accept(&listener, &taken));
    expect_eq(rill_rdma_ep_connect(&duo.to_right, &duo.left, address), 0);
    expect_eq(drive(&accepting), 0);
    expect_eq(rill_rdma_ep_adopt(&duo.to_left, &taken), 0);
    background_start(&closing[0], rill_rdma_ep_close(&duo.to_right));
    background_start(&closing[1], rill_rdma_ep_close(&duo.to_left));
    drive(&closing[0]);
    drive(&closing[1]);
}

START_TEST(each_connection_is_told_through_the_descriptor)
{
    struct rill_address address;

    if (!duo_open_workers(_i, &embedded))
        return;
    address = duo_listen(&listener, &duo.right);
    for (int i = 0; i < CONNECTIONS; i++)
        connect_once(&address);
    /* What comes just when a sleep has been long enough counts as recovered too, and on a slow
     * machine that is not rare. Of those that were lost each connection had one. */
    expect(duo.left.source.stats.events_recovered < CONNECTIONS / 2);
    expect(duo.right.source.stats.events_recovered < CONNECTIONS / 2);
    rill_rdma_listener_close(&listener);
    duo_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {each_connection_is_told_through_the_descriptor, IN_TCP | TCP_ITSELF | SOCKET_ADDRESSES},
    };

    return duo_main("rdma_embedded", cases, sizeof cases / sizeof *cases);
}
