/* SPDX-License-Identifier: Apache-2.0 */
/* tcp.c - a connection whose peer sends, stops, half-closes and resets, and whose own side uses
 * every way to receive and to send, in any order, cancelled at any time.
 *
 * The model: what was received is the beginning of what the peer has sent, and what has come to
 * the peer that of what was sent here; all of it, where nothing ended the connection. */
#include "net/tcp.h"

#include "tests/fuzz/errand.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <string.h>

enum {
    SIZE = 70000, /* of one receive or send, at most: more than the kernel buffers */
    TOTAL_MAX = 4 * SIZE,
    PARTS = 3,
};

static char bytes_of_all[TOTAL_MAX + SIZE]; /* pattern(0) */

static struct {
    struct rill_tcp tcp;
    struct sim_peer *peer;
    struct errand receiving, sending;
    bool is_loose; /* faults, and a peer that is gone, may lose what is on its way */

    /* receiving */
    enum { RECV, RECV_EXACTLY, RECV_BORROWED } how_received;
    struct rill_op recv;
    struct rill_borrow borrow;
    char buffer[SIZE];
    uint64_t peer_sent, received;
    bool peer_has_finished;

    /* sending */
    enum { SEND, SEND_ALL, SEND_VECTORED, SEND_LASTING, SEND_BORROWED, FLUSH, FINISH } how_sent;
    struct rill_op send;
    struct rill_send_vectored vectored;
    struct iovec parts[PARTS];
    struct rill_borrow lasting, forwarded;
    uint64_t sent, checked;
    bool is_in_line; /* something may be */
    bool has_finished;
} it;

/* As a rule small, now and then more than fits. */
static size_t draw_size(struct input *input)
{
    return (size_t)input_below(input, input_below(input, 4) ? 300 : SIZE);
}

/* ---- receiving ---- */

static void take(const char *bytes, int64_t size)
{
    expect(it.received + (uint64_t)size <= it.peer_sent);
    expect(memcmp(bytes, bytes_of_all + it.received, (size_t)size) == 0);
    it.received += (uint64_t)size;
}

static void end_receive(void)
{
    int64_t result;

    if (!it.receiving.is_out)
        return;
    result = errand_end(&it.receiving);
    if (it.how_received == RECV_BORROWED) {
        expect((result > 0) == (it.borrow.data != NULL));
        if (result > 0)
            take(it.borrow.data, result);
    } else if (result > 0) {
        take(it.buffer, result);
    } else if (it.how_received == RECV_EXACTLY && result < 0) {
        take(it.buffer, (int64_t)it.recv.transferred);
    }
    expect(result > -4096);
}

static void begin_receive(struct input *input)
{
    size_t size = draw_size(input);

    end_receive();
    rill_borrow_give_back(&it.borrow);
    it.how_received = (unsigned)input_below(input, 3);
    if (it.how_received == RECV_BORROWED)
        errand_start(&it.receiving, rill_tcp_recv_borrowed(&it.tcp, &it.borrow));
    else
        errand_start(&it.receiving,
                     (it.how_received == RECV ? rill_tcp_recv : rill_tcp_recv_exactly)(
                         &it.tcp, &it.recv, it.buffer, size));
}

/* ---- sending ---- */

static void end_send(void)
{
    int64_t result;

    if (!it.sending.is_out)
        return;
    result = errand_end(&it.sending);
    expect(result > -4096);
    switch (it.how_sent) {
    case SEND:
        it.sent += result > 0 ? (uint64_t)result : 0;
        break;
    case SEND_ALL:
        it.sent += result >= 0 ? (uint64_t)result : it.send.transferred;
        break;
    case SEND_VECTORED:
        it.sent += result >= 0 ? (uint64_t)result : it.vectored.op.transferred;
        break;
    case SEND_BORROWED:
        expect((result >= 0) == (it.forwarded.data == NULL));
        rill_borrow_give_back(&it.forwarded);
        __attribute__((fallthrough));
    case SEND_LASTING:
        it.sent += result > 0 ? (uint64_t)result : 0;
        it.is_in_line |= result > 0;
        break;
    case FLUSH:
        it.is_in_line = false;
        it.has_finished |= result < 0; /* nobody knows what went out */
        it.is_loose |= result < 0;
        break;
    case FINISH:
        it.has_finished = true;
        break;
    }
}

static struct rill_future *prepare_send(size_t size)
{
    char *bytes = bytes_of_all + it.sent;
    size_t first = size / 3;

    switch (it.how_sent) {
    case SEND:
        return rill_tcp_send(&it.tcp, &it.send, bytes, size);
    case SEND_ALL:
        return rill_tcp_send_all(&it.tcp, &it.send, bytes, size);
    case SEND_VECTORED:
        it.parts[0] = (struct iovec){bytes, first};
        it.parts[1] = (struct iovec){bytes + first, 0};
        it.parts[2] = (struct iovec){bytes + first, size - first};
        return rill_tcp_send_all_vectored(&it.tcp, &it.vectored, it.parts, PARTS);
    case SEND_LASTING:
        return rill_tcp_send_lasting(&it.tcp, &it.lasting, bytes, size);
    case SEND_BORROWED: /* what came last, with other bytes in it */
        it.forwarded = it.borrow;
        it.borrow = (struct rill_borrow){.data = NULL};
        memcpy(it.forwarded.data, bytes, (size_t)it.forwarded.result);
        return rill_tcp_send_borrowed(&it.tcp, &it.forwarded);
    case FLUSH:
        return rill_tcp_flush(&it.tcp);
    case FINISH:
        return rill_tcp_finish_sending(&it.tcp, &it.send);
    }
    return NULL;
}

static void begin_send(struct input *input)
{
    size_t size = draw_size(input);

    end_send();
    it.how_sent = (unsigned)input_below(input, FINISH + 1);
    if (it.how_sent == SEND_BORROWED && (it.receiving.is_out || !it.borrow.data))
        it.how_sent = SEND_LASTING;
    if (it.is_in_line && it.how_sent != SEND_LASTING && it.how_sent != SEND_BORROWED)
        it.how_sent = FLUSH;
    if (it.has_finished || it.sent > TOTAL_MAX)
        return;
    errand_start(&it.sending, prepare_send(size));
}

/* ---- the peer, and the rest ---- */

static void move_peer(struct input *input)
{
    size_t size = draw_size(input);

    switch (input_below(input, 16)) {
    case 0:
        sim_peer_shutdown(it.peer);
        it.peer_has_finished = true;
        break;
    case 1:
        sim_peer_close(it.peer);
        it.peer_has_finished = it.is_loose = true;
        break;
    case 2:
        sim_peer_reset(it.peer);
        it.peer_has_finished = it.is_loose = true;
        break;
    case 3:
    case 4:
        sim_peer_pause(it.peer, input_byte(input) % 2);
        break;
    default:
        if (it.peer_has_finished || it.peer_sent > TOTAL_MAX)
            break;
        sim_peer_send(it.peer, bytes_of_all + it.peer_sent, size);
        it.peer_sent += size;
        break;
    }
}

/* Out of the connection, and into it again. */
static void release(void)
{
    int64_t fd;

    if (it.receiving.is_out || it.sending.is_out || it.is_in_line || !it.tcp.is_open)
        return;
    fd = await(rill_tcp_release(&it.tcp));
    if (fd >= 0)
        rill_tcp_adopt_foreign(&it.tcp, (int)fd);
}

static void step(struct input *input)
{
    struct rill_sleep pause;

    switch (input_below(input, 8)) {
    case 0:
        await(rill_sleep(&pause, INT64_C(1000) << input_below(input, 20)));
        break;
    case 1:
    case 2:
        if (!it.receiving.is_out || errand_is_over(&it.receiving))
            begin_receive(input);
        break;
    case 3:
    case 4:
        if (!it.sending.is_out || errand_is_over(&it.sending))
            begin_send(input);
        break;
    case 5:
        errand_cancel(input_byte(input) % 2 ? &it.sending : &it.receiving);
        break;
    case 6:
        if (errand_is_over(&it.receiving))
            end_receive();
        if (errand_is_over(&it.sending))
            end_send();
        release();
        break;
    default:
        move_peer(input);
        break;
    }
    fixture_turn();
}

static void check_peer(void)
{
    const void *bytes;
    size_t size = sim_peer_received(it.peer, &bytes);

    expect(size <= it.sent + (it.sending.is_out ? SIZE : 0));
    if (size > it.checked)
        expect(memcmp((const char *)bytes + it.checked, bytes_of_all + it.checked,
                      size - it.checked) == 0);
    it.checked = size;
}

/* What has not come yet comes now, and then the end. */
static void drain(void)
{
    int64_t result;

    sim_peer_shutdown(it.peer);
    do {
        result = await(rill_tcp_recv(&it.tcp, &it.recv, it.buffer, SIZE));
        if (result > 0)
            take(it.buffer, result);
    } while (result > 0);
    if (!it.is_loose) {
        expect_eq(result, 0);
        expect_eq(it.received, it.peer_sent);
    }
}

static void end(void)
{
    const void *bytes;

    errand_cancel(&it.receiving);
    end_receive();
    rill_borrow_give_back(&it.borrow);
    sim_peer_pause(it.peer, false);
    end_send();
    drain();
    await(rill_tcp_close(&it.tcp));
    settle();
    check_peer();
    if (!it.is_loose)
        expect_eq(sim_peer_received(it.peer, &bytes), it.sent);
}

static struct sim_options draw_options(struct input *input)
{
    uint64_t how = input_byte(input), seed = input_byte(input);
    struct sim_options options = {.seed = seed};

    it.is_loose = how % 3 == 2;
    if (how % 3 == 1)
        options = sim_options_troubled(seed);
    if (how % 3 == 2)
        options = sim_options_hostile(seed);
    options.reset_untold_per_mille = 0; /* io/recheck.h finds those that come with bytes only */
    return options;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};
    struct sim_options options;
    struct rill_listener listener = {0};
    struct rill_accept accept;
    uint16_t port;

    if (bytes_of_all[1] == 0)
        pattern_fill(bytes_of_all, 0, sizeof bytes_of_all);
    memset(&it, 0, sizeof it);
    options = draw_options(&input);
    expect(fixture_open(SIMULATED, &options, NULL));
    port = fixture_listen(&listener, NULL);
    it.peer = sim_peer_connect(fixture.sim, port);
    while (await(rill_tcp_accept(&listener, &accept)) < 0)
        if (sim_peer_error(it.peer) || sim_peer_ended(it.peer)) /* reset before it was accepted */
            it.peer = sim_peer_connect(fixture.sim, port);
    rill_tcp_adopt(&it.tcp, (int)accept.result);
    while (input_has(&input)) {
        step(&input);
        check_peer();
    }
    end();
    await(rill_listener_close(&listener));
    fixture_close();
    return 0;
}
