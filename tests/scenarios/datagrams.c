/* SPDX-License-Identifier: Apache-2.0 */
/* datagrams.c - sockets that send to each other: what was sent is received as often as the
 * network has brought it, whoever is cancelled or has an error. */
#include "net/udp.h"
#include "runtime/timeout.h"
#include "tests/scenarios/scenario.h"

#include <errno.h>
#include <string.h>

enum { SOCKETS = 4, COUNT = 40, LONGEST = 1000, HEAD = 2 /* who, and which */ };

static struct party {
    struct rill_udp udp;
    struct rill_address address;
    bool lends; /* it receives by borrowing */

    /* Sends COUNT datagrams to whom the dice say. */
    struct rill_task speaker;
    struct rill_join speaker_join;
    struct rill_sleep pause;
    struct rill_datagram out;
    char out_bytes[LONGEST];
    int64_t said;

    /* Receives until it is cancelled. */
    struct rill_task listener;
    struct rill_join listener_join;
    struct rill_timeout limit;
    struct rill_sleep rest;
    struct rill_datagram in;
    struct rill_udp_borrow borrow;
    char in_bytes[LONGEST];
} parties[SOCKETS];

static int64_t sent, received;

static size_t size_of(int64_t who, int64_t which)
{
    return HEAD + (size_t)(who * COUNT + which) * 6;
}

static void make(char *bytes, int64_t who, int64_t which)
{
    pattern_fill(bytes, (uint64_t)which, size_of(who, which));
    bytes[0] = (char)who;
    bytes[1] = (char)which;
}

/* Of the kernel's, of which a socket knows nothing afterwards. */
static bool is_shortage(int64_t result)
{
    return result == -ENOMEM || result == -EAGAIN;
}

/* ---- speaking ---- */

static enum rill_poll speaker_poll(struct rill_future *self, struct rill_task *task)
{
    struct party *me = rill_container_of(self, struct party, speaker.future);

    RILL_BEGIN();
    for (; me->said < COUNT; me->said++) {
        if (dice(3) == 0)
            RILL_AWAIT(rill_sleep(&me->pause, dice_ns(200 * RILL_MICROSECOND)));
        make(me->out_bytes, me - parties, me->said);
        RILL_AWAIT(rill_udp_send(&me->udp, &me->out, me->out_bytes, size_of(me - parties, me->said),
                                 &parties[dice(SOCKETS)].address));
        if (me->out.result >= 0) {
            expect_eq(me->out.result, size_of(me - parties, me->said));
            sent++;
        } else {
            expect(me->out.result == -ECANCELED || is_shortage(me->out.result));
        }
    }
    RILL_END();
}

/* ---- listening ---- */

static void check(const char *bytes, int64_t size, const struct rill_address *from)
{
    char want[LONGEST];
    int64_t who = (unsigned char)bytes[0], which = (unsigned char)bytes[1];

    expect(who < SOCKETS && which < COUNT && which <= parties[who].said);
    expect_eq(size, size_of(who, which));
    make(want, who, which);
    expect(memcmp(bytes, want, (size_t)size) == 0);
    expect_eq(rill_address_port(from), rill_address_port(&parties[who].address));
}

static struct rill_future *receive(struct party *me)
{
    if (me->lends)
        return rill_udp_recv_borrowed(&me->udp, &me->borrow);
    return rill_udp_recv(&me->udp, &me->in, me->in_bytes, dice(4) ? LONGEST : LONGEST / 2);
}

static void note(struct party *me)
{
    int64_t result = me->lends ? me->borrow.result : me->in.result;

    if (result >= 0 && me->lends)
        check(me->borrow.data, result, &me->borrow.peer);
    else if (result >= 0)
        check(me->in_bytes, result, &me->in.peer);
    else
        expect(result == -ECANCELED || is_shortage(result) || result == -EMSGSIZE);
    received += result >= 0 || result == -EMSGSIZE;
    rill_udp_borrow_give_back(&me->borrow);
}

static enum rill_poll listener_poll(struct rill_future *self, struct rill_task *task)
{
    struct party *me = rill_container_of(self, struct party, listener.future);

    RILL_BEGIN();
    while (!rill_task_is_cancelled(task)) {
        RILL_AWAIT(rill_timeout(&me->limit, dice_ns(RILL_MILLISECOND), receive(me)));
        note(me);
        if (dice(8) == 0) /* and more comes than is read */
            RILL_AWAIT(rill_sleep(&me->rest, dice_ns(2 * RILL_MILLISECOND)));
    }
    RILL_END();
}

/* ---- one run ---- */

static int64_t missing(void)
{
    return sent + (int64_t)sim_datagrams_doubled(fixture.sim) -
           (int64_t)sim_datagrams_lost(fixture.sim) - received;
}

/* What is left in the sockets, once nothing is under way any more. */
static void receive_the_rest(void)
{
    settle();
    for (int i = 0; missing() > 0; i = (i + 1) % SOCKETS) {
        await(rill_timeout(&parties[i].limit, RILL_MILLISECOND, receive(&parties[i])));
        note(&parties[i]);
    }
    expect_eq(missing(), 0);
}

static void start(struct party *party)
{
    party->address = loopback(0);
    party->lends = dice(2) && fixture.runtime->reactor.buffers.size >= RILL_RECEIVER_HEAD;
    expect_eq(rill_udp_open(&party->udp, &party->address, NULL), 0);
    expect_eq(rill_udp_local_address(&party->udp, &party->address), 0);
    rill_task_spawn(&party->listener, listener_poll);
}

static void run(void)
{
    struct rill_task *victims[2 * SOCKETS];
    struct saboteur saboteur;

    memset(parties, 0, sizeof parties);
    sent = received = 0;
    for (int i = 0; i < SOCKETS; i++) {
        start(&parties[i]);
        victims[i] = &parties[i].listener;
        victims[SOCKETS + i] = &parties[i].speaker;
    }
    for (int i = 0; i < SOCKETS; i++)
        rill_task_spawn(&parties[i].speaker, speaker_poll);
    saboteur_start(&saboteur, victims, 2 * SOCKETS, (unsigned)dice(5), 5 * RILL_MILLISECOND);
    for (int i = 0; i < SOCKETS; i++)
        await(rill_task_join(&parties[i].speaker, &parties[i].speaker_join));
    saboteur_end(&saboteur);
    for (int i = 0; i < SOCKETS; i++) {
        rill_task_cancel(&parties[i].listener);
        await(rill_task_join(&parties[i].listener, &parties[i].listener_join));
    }
    receive_the_rest();
    scenario_count(SOCKETS * COUNT, (size_t)(sent - (int64_t)sim_datagrams_lost(fixture.sim)));
    for (int i = 0; i < SOCKETS; i++)
        expect_eq(await(rill_udp_close(&parties[i].udp)), 0);
}

const struct scenario scenario_datagrams = {"datagrams", run, 60};
