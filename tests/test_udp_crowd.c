/* SPDX-License-Identifier: Apache-2.0 */
/* test_udp_crowd.c - many sockets and streams share a few buffers, and no datagram is lost. */
#include "net/udp.h"
#include "tests/fixture.h"

#include <errno.h>
#include <string.h>

enum {
    SOCKETS = 6,
    BUFFERS = 4,
    ROOM = 200,
    STEPS = 400,
    TURNS_MAX = 100000,
};

/* A socket over which nothing is lost, and what was sent to it. */
static struct receiver {
    struct rill_udp udp;
    struct rill_address address;
    struct rill_udp_borrow borrow;
    struct background receiving;
    bool is_receiving;
    unsigned sent, received; /* each datagram's size tells its number */
} receivers[SOCKETS];

static struct rill_udp client;
static struct rill_datagram datagram;
static char bytes[ROOM];
static bool is_hostile;
static uint64_t state;

static unsigned draw(unsigned bound)
{
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(state >> 33) % bound;
}

static size_t size_of(unsigned number)
{
    return number * 7 % 50; /* and some are empty */
}

static void open_receiver(struct receiver *receiver)
{
    char path[40];

    snprintf(path, sizeof path, "@rill-udp-crowd-%d", (int)(receiver - receivers));
    expect_eq(rill_address_set_path(&receiver->address, path), 0);
    expect_eq(rill_udp_open(&receiver->udp, &receiver->address, NULL), 0);
    receiver->sent = receiver->received = 0;
}

static void check_result(struct receiver *receiver, int64_t result)
{
    receiver->is_receiving = false;
    if (result == -ECANCELED || (is_hostile && result == -ENOMEM))
        return;
    expect_eq(result, size_of(receiver->received));
    expect(loaded_is(receiver->borrow.data, 0, (size_t)result));
    receiver->received++;
}

static void look(struct receiver *receiver)
{
    if (receiver->is_receiving && rill_task_is_over(&receiver->receiving.task))
        check_result(receiver, background_end(&receiver->receiving));
}

static void give_back(struct receiver *receiver)
{
    look(receiver);
    rill_udp_borrow_give_back(&receiver->borrow);
}

static void start(struct receiver *receiver)
{
    give_back(receiver);
    background_start(&receiver->receiving,
                     rill_udp_recv_borrowed(&receiver->udp, &receiver->borrow));
    receiver->is_receiving = true;
}

static void stop(struct receiver *receiver)
{
    if (!receiver->is_receiving)
        return;
    rill_task_cancel(&receiver->receiving.task);
    check_result(receiver, background_end(&receiver->receiving));
}

static void send_to(struct receiver *receiver)
{
    size_t size = size_of(receiver->sent);

    if (await(rill_udp_send(&client, &datagram, bytes, size, &receiver->address)) == (int64_t)size)
        receiver->sent++;
}

static void close_receiver(struct receiver *receiver)
{
    stop(receiver);
    expect_eq(await(rill_udp_close(&receiver->udp)), 0);
}

static void step(struct receiver *receiver)
{
    look(receiver);
    switch (draw(8)) {
    case 0:
    case 1:
    case 2:
        send_to(receiver);
        break;
    case 3:
    case 4:
        if (!receiver->is_receiving)
            start(receiver);
        break;
    case 5:
        give_back(receiver);
        break;
    case 6:
        if (draw(3) == 0)
            stop(receiver);
        break;
    default:
        if (draw(20) == 0) {
            close_receiver(receiver);
            open_receiver(receiver);
        }
    }
    for (unsigned turns = draw(3); turns > 0; turns--)
        fixture_turn();
}

/* What was sent and not received is there still. */
static void drain(struct receiver *receiver)
{
    stop(receiver);
    while (receiver->received < receiver->sent) {
        start(receiver);
        check_result(receiver, background_end(&receiver->receiving));
    }
    give_back(receiver);
}

static void run(int which, const struct sim_options *options)
{
    struct rill_address at_client;

    if (!fixture_open(which, options,
                      &(struct rill_runtime_options){
                          .buffer_count = BUFFERS,
                          .buffer_size = ROOM + RILL_RECEIVER_HEAD,
                      }))
        return;
    if (is_hostile)
        fixture_disturb(TURNS_MAX);
    pattern_fill(bytes, 0, sizeof bytes);
    expect_eq(rill_address_set_path(&at_client, "@rill-udp-crowd-client"), 0);
    expect_eq(rill_udp_open(&client, &at_client, NULL), 0);
    for (int i = 0; i < SOCKETS; i++)
        open_receiver(&receivers[i]);
    for (int i = 0; i < STEPS; i++)
        step(&receivers[draw(SOCKETS)]);
    for (int i = 0; i < SOCKETS; i++)
        give_back(&receivers[i]); /* all others may wait for it */
    for (int i = 0; i < SOCKETS; i++)
        stop(&receivers[i]);
    for (int i = 0; i < SOCKETS; i++)
        give_back(&receivers[i]);
    for (int i = 0; i < SOCKETS; i++)
        drain(&receivers[i]);
    for (int i = 0; i < SOCKETS; i++)
        close_receiver(&receivers[i]);
    expect_eq(await(rill_udp_close(&client)), 0);
    expect_eq(fixture.runtime->reactor.buffers.in_use, 0);
    expect_eq(fixture.runtime->reactor.buffers.private_in_use, 0);
    fixture_close();
}

START_TEST(no_datagram_is_lost_whoever_starves_is_cancelled_or_closed)
{
    uint64_t seed, count;

    fixture_seeds(_i == REAL ? 20 : 200, &seed, &count);
    for (; count > 0; seed++, count--) {
        struct sim_options options = sim_options_hostile(seed);

        fixture.seed = seed;
        fixture.seeded = true;
        state = seed;
        is_hostile = _i == SIMULATED;
        run(_i, &options);
    }
    fixture.seeded = false;
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {no_datagram_is_lost_whoever_starves_is_cancelled_or_closed, IN_BOTH},
    };

    return fixture_main("udp crowd", cases, sizeof cases / sizeof *cases);
}
