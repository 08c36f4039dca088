/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel_datagram.c - a cancel loses no datagram: those that were sent have arrived, but for
 * those that the network lost, which the simulated one counts. */
#include "net/udp.h"
#include "tests/cancel.h"

#include <errno.h>
#include <string.h>

enum { COUNT = 12, SIZE = 200 };

/* Sends COUNT datagrams, each of which begins with its number, from its own socket. */
static struct {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    struct rill_datagram datagram;
    char bytes[SIZE];
} sender;

static struct {
    struct rill_udp one, other;
    struct rill_address at_one, at_other;
    struct rill_datagram datagram;
    struct rill_udp_borrow borrow;
    bool lends; /* its datagrams are received by borrowing */
    char bytes[SIZE];
    int64_t sent, received;
    unsigned times[COUNT]; /* that each was received */
} net;

static void reset(void)
{
    memset(&sender, 0, sizeof sender);
    memset(&net, 0, sizeof net);
}

static size_t size_of(int64_t number)
{
    return 1 + (size_t)number * 17 % (SIZE - 1);
}

static void make(char *into, int64_t number)
{
    pattern_fill(into, (uint64_t)number, size_of(number));
    into[0] = (char)number;
}

static enum rill_poll sender_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    while (net.sent < COUNT) {
        RILL_AWAIT(rill_sleep(&sender.pause, moment()));
        make(sender.bytes, net.sent);
        RILL_AWAIT(rill_udp_send(&net.other, &sender.datagram, sender.bytes, size_of(net.sent),
                                 &net.at_one));
        expect_eq(sender.datagram.result, size_of(net.sent));
        net.sent++;
    }
    RILL_END();
}

static void open_both(void)
{
    net.at_one = net.at_other = loopback(0);
    expect_eq(rill_udp_open(&net.one, &net.at_one, NULL), 0);
    expect_eq(rill_udp_open(&net.other, &net.at_other, NULL), 0);
    expect_eq(rill_udp_local_address(&net.one, &net.at_one), 0);
    expect_eq(rill_udp_local_address(&net.other, &net.at_other), 0);
}

static void start_sender(void)
{
    open_both();
    rill_task_spawn(&sender.task, sender_poll);
}

static void close_both(void)
{
    expect_eq(await(rill_udp_close(&net.one)), 0);
    expect_eq(await(rill_udp_close(&net.other)), 0);
}

/* One was received, which is whole and one of those that were sent. */
static void note(const char *bytes, int64_t size, const struct rill_address *from)
{
    char want[SIZE];
    int64_t number = (unsigned char)bytes[0];

    expect(number >= 0 && number < COUNT);
    expect_eq(size, size_of(number));
    make(want, number);
    expect(memcmp(bytes, want, (size_t)size) == 0);
    expect_eq(rill_address_port(from), rill_address_port(&net.at_other));
    net.received++;
    net.times[number]++;
}

static int64_t missing(void)
{
    int64_t lost = 0;

    if (fixture.sim)
        lost =
            (int64_t)sim_datagrams_lost(fixture.sim) - (int64_t)sim_datagrams_doubled(fixture.sim);
    return net.sent - lost - net.received;
}

static struct rill_future *recv_one(void)
{
    return rill_udp_recv(&net.one, &net.datagram, net.bytes, SIZE);
}

/* The runtimes of these tests have small buffers, into which not every datagram fits. */
static void note_borrowed(void)
{
    int64_t number = 0;

    while (number < COUNT && size_of(number) != net.borrow.size)
        number++;
    if (net.borrow.result == -EMSGSIZE) {
        expect(number < COUNT);
        expect(net.borrow.size + RILL_RECEIVER_HEAD > fixture.runtime->reactor.buffers.size);
        net.received++;
        net.times[number]++;
    } else if (net.borrow.result >= 0) {
        note(net.borrow.data, net.borrow.result, &net.borrow.peer);
    }
    rill_udp_borrow_give_back(&net.borrow);
}

static struct rill_future *receive(void)
{
    return net.lends ? rill_udp_recv_borrowed(&net.one, &net.borrow) : recv_one();
}

static void note_received(void)
{
    if (net.lends)
        note_borrowed();
    else
        note(net.bytes, net.datagram.result, &net.datagram.peer);
}

static void receive_and_note(void)
{
    expect(await(receive()) != -EINVAL);
    note_received();
}

static void check_that_all_came(void)
{
    unsigned more = 0;

    expect_eq(missing(), 0);
    for (int i = 0; i < COUNT; i++)
        more += net.times[i] > 1 ? net.times[i] - 1 : 0;
    expect(more <= (fixture.sim ? sim_datagrams_doubled(fixture.sim) : 0));
    expect_eq(await(rill_timeout(&my.timeout, RILL_MILLISECOND, receive())), -ETIMEDOUT);
    close_both();
}

static void receive_all_others(void)
{
    expect_eq(await(rill_task_join(&sender.task, &sender.join)), 0);
    settle(); /* whatever is under way has arrived, or is lost */
    while (missing() > 0)
        receive_and_note();
    check_that_all_came();
}

static void after_recv(int64_t result)
{
    expect(result > 0 || result == -ECANCELED || result == -ETIMEDOUT);
    if (net.datagram.result > 0)
        note(net.bytes, net.datagram.result, &net.datagram.peer);
    receive_all_others();
}

static struct rill_future *recv_with_timeout(void)
{
    return rill_timeout(&my.timeout, 100 * RILL_MICROSECOND, recv_one());
}

/* ---- receiving into shared buffers ---- */

static struct rill_future *recv_borrowed_one(void)
{
    net.lends = fixture.runtime->reactor.buffers.size >= RILL_RECEIVER_HEAD;
    return rill_udp_recv_borrowed(&net.one, &net.borrow);
}

static void after_recv_borrowed(int64_t result)
{
    expect(result > 0 || result == -ECANCELED || result == -ETIMEDOUT || result == -EMSGSIZE ||
           (result == -EINVAL && !net.lends));
    note_borrowed();
    receive_all_others();
}

static struct rill_future *recv_borrowed_with_timeout(void)
{
    return rill_timeout(&my.timeout, 100 * RILL_MICROSECOND, recv_borrowed_one());
}

static void start_sender_and_lend(void)
{
    start_sender();
    await(recv_borrowed_with_timeout());
    note_borrowed();
}

/* ---- sending: what was not said to be sent was not ---- */

static struct rill_future *send_one(void)
{
    make(sender.bytes, 5);
    return rill_udp_send(&net.other, &sender.datagram, sender.bytes, size_of(5), &net.at_one);
}

static void after_send(int64_t result)
{
    expect(result == (int64_t)size_of(5) || result == -ECANCELED);
    net.sent = result > 0;
    settle();
    while (missing() > 0)
        receive_and_note();
    check_that_all_came();
}

/* ---- closing ---- */

static struct rill_future *close_one(void)
{
    return rill_udp_close(&net.one);
}

static void after_close(int64_t result)
{
    expect_eq(result, 0);
    expect_eq(await(rill_task_join(&sender.task, &sender.join)), 0);
    close_both();
}

static const struct cancel_operation operations[] = {
    {"udp recv", IN_BOTH, start_sender, recv_one, after_recv, true},
    {"udp recv with timeout", IN_BOTH, start_sender, recv_with_timeout, after_recv, false},
    {"udp recv_borrowed", IN_BOTH, start_sender, recv_borrowed_one, after_recv_borrowed, true},
    {"udp recv_borrowed with timeout", IN_BOTH, start_sender, recv_borrowed_with_timeout,
     after_recv_borrowed, false},
    {"udp close after recv_borrowed", IN_BOTH, start_sender_and_lend, close_one, after_close,
     false},
    {"udp send", IN_BOTH, open_both, send_one, after_send, false},
    {"udp close", IN_BOTH, start_sender, close_one, after_close, false},
};

/* ---- both orders of a datagram and a cancel ---- */

START_TEST(a_datagram_and_a_cancel_at_the_same_moment_lose_nothing_whoever_wins)
{
    unsigned datagram_won[2] = {0}, cancel_won[2] = {0}; /* of either way to receive */
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = {
            .seed = seed,
            .shuffle = true,
            .delay_max_ns = 20 * RILL_MICROSECOND,
            .cancel_lost_per_mille = seed % 2 ? 300 : 0,
            .cancel_eintr_per_mille = 500,
        };
        struct background receiving;

        fixture.seed = seed;
        fixture.seeded = true;
        reset();
        expect(fixture_open(SIMULATED, &options, NULL));
        open_both();
        net.lends = seed / 2 % 2;
        background_start(&receiving, receive());
        settle();
        expect_eq(await(send_one()), size_of(5));
        rill_task_cancel(&receiving.task);
        if (background_end(&receiving) == -ECANCELED) {
            cancel_won[net.lends]++;
            receive_and_note();
        } else {
            datagram_won[net.lends]++;
            note_received();
        }
        expect_eq(net.received, 1);
        close_both();
        fixture_close();
    }
    if (count < 50)
        return;
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_gt(datagram_won[i], 0);
        ck_assert_uint_gt(cancel_won[i], 0);
    }
}
END_TEST

int main(void)
{
    return cancel_main("cancel_datagram", operations, sizeof operations / sizeof *operations, reset,
                       a_datagram_and_a_cancel_at_the_same_moment_lose_nothing_whoever_wins);
}
