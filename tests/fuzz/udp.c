/* SPDX-License-Identifier: Apache-2.0 */
/* udp.c - datagrams of any size and number to a socket that receives them in every way, cancelled
 * at any time.
 *
 * The model: what was received is one of those that were sent, whole; and all of them, where the
 * network has lost and doubled none. */
#include "net/udp.h"

#include "tests/fuzz/errand.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <string.h>

enum {
    SIZE = 2000,
    SHORT = 300, /* the room of some receives */
    SENDERS = 2,
    NUMBER_SIZE = 2, /* bytes of a datagram's number, which are its first */
    SENT_MAX = 1000,
};

static struct {
    struct rill_udp to, from[SENDERS];
    struct rill_address at;
    bool is_borrowing; /* all receives of a socket are in this way, or none */
    bool is_loose;

    struct errand receiving, sending;
    struct rill_datagram recv, send;
    struct rill_udp_borrow borrow;
    struct iovec parts[2], sent_parts[2];
    char buffer[SIZE], sent[SIZE];
    size_t room;

    size_t sizes[SENT_MAX], sent_count, posted_size;
    unsigned taken[SENT_MAX]; /* how often each was received */
    size_t received, truncated;
} it;

static void fill(char *bytes, size_t number, size_t size)
{
    pattern_fill(bytes, number * 31, size);
    bytes[0] = (char)(number & 0xff);
    bytes[1] = (char)(number >> 8);
}

/* The first part of datagram number, all of it if there was room. */
static void check_datagram(const char *bytes, size_t there, size_t size)
{
    size_t number = (unsigned char)bytes[0] | (size_t)(unsigned char)bytes[1] << 8;
    char wanted[SIZE];

    expect(number < it.sent_count + (it.sending.is_out ? 1 : 0));
    expect_eq(size, number < it.sent_count ? it.sizes[number] : it.posted_size);
    fill(wanted, number, size);
    expect(memcmp(bytes, wanted, there) == 0);
    expect(it.taken[number]++ == 0 || it.is_loose);
}

static void end_receive(void)
{
    int64_t result;

    if (!it.receiving.is_out)
        return;
    result = errand_end(&it.receiving);
    if (it.is_borrowing) {
        expect((result >= 0) == (it.borrow.data != NULL));
        if (result >= 0)
            check_datagram(it.borrow.data, (size_t)result, (size_t)result);
        rill_udp_borrow_give_back(&it.borrow);
    } else if (result >= 0) {
        check_datagram(it.buffer, (size_t)result, (size_t)result);
    } else if (result == -EMSGSIZE) {
        expect(it.recv.op.transferred > it.room);
        if (it.room >= NUMBER_SIZE)
            check_datagram(it.buffer, it.room, it.recv.op.transferred);
        else
            it.is_loose = true;
        it.truncated++;
    }
    it.received += result >= 0;
    expect(result >= 0 || result == -EMSGSIZE || result == -ECANCELED || it.is_loose);
}

static void begin_receive(struct input *input)
{
    it.room = input_byte(input) % 4 ? SIZE : (size_t)input_below(input, SHORT);
    if (it.is_borrowing) {
        errand_start(&it.receiving, rill_udp_recv_borrowed(&it.to, &it.borrow));
    } else if (input_byte(input) % 2) {
        it.parts[0] = (struct iovec){it.buffer, it.room / 2};
        it.parts[1] = (struct iovec){it.buffer + it.room / 2, it.room - it.room / 2};
        errand_start(&it.receiving, rill_udp_recv_vectored(&it.to, &it.recv, it.parts, 2));
    } else {
        errand_start(&it.receiving, rill_udp_recv(&it.to, &it.recv, it.buffer, it.room));
    }
}

static void end_send(void)
{
    int64_t result = errand_end(&it.sending);

    if (result >= 0) {
        expect_eq(result, it.posted_size);
        it.sizes[it.sent_count++] = it.posted_size;
    }
}

static void begin_send(struct input *input)
{
    struct rill_udp *from = &it.from[input_below(input, SENDERS)];
    size_t size = NUMBER_SIZE + (size_t)input_below(input, SIZE - NUMBER_SIZE + 1);

    if (it.sent_count == SENT_MAX)
        return;
    it.posted_size = size;
    fill(it.sent, it.sent_count, size);
    it.sent_parts[0] = (struct iovec){it.sent, size / 2};
    it.sent_parts[1] = (struct iovec){it.sent + size / 2, size - size / 2};
    errand_start(&it.sending, input_byte(input) % 2
                                  ? rill_udp_send_vectored(from, &it.send, it.sent_parts, 2, &it.at)
                                  : rill_udp_send(from, &it.send, it.sent, size, &it.at));
}

static void step(struct input *input)
{
    struct rill_sleep pause;

    if (errand_is_over(&it.receiving))
        end_receive();
    if (errand_is_over(&it.sending))
        end_send();
    switch (input_below(input, 9)) {
    case 0:
        await(rill_sleep(&pause, INT64_C(1000) << input_below(input, 18)));
        break;
    case 1:
        errand_cancel(&it.receiving);
        break;
    case 2:
        errand_cancel(&it.sending);
        break;
    case 3:
    case 4:
    case 5:
        if (!it.receiving.is_out)
            begin_receive(input);
        break;
    case 6:
        for (uint64_t count = input_below(input, 100); count > 0; count--) {
            end_send();
            begin_send(input);
        }
        break;
    default:
        if (!it.sending.is_out)
            begin_send(input);
        break;
    }
    fixture_turn();
}

static void drain(void)
{
    struct input none = {NULL, NULL};

    for (;;) {
        begin_receive(&none);
        settle();
        if (!errand_is_over(&it.receiving))
            break;
        end_receive();
    }
    errand_cancel(&it.receiving);
    end_receive();
}

static void open_world(struct input *input)
{
    uint64_t how = input_byte(input), seed = input_byte(input);
    struct sim_options options = {.seed = seed};

    if (how % 3 == 1)
        options = sim_options_troubled(seed);
    if (how % 3 == 2)
        options = sim_options_hostile(seed);
    it.is_loose = how % 3 == 2 || options.datagram_per_mille || options.doubled_per_mille;
    it.is_borrowing = how / 3 % 2;
    expect(fixture_open(SIMULATED, &options, NULL));
    it.at = loopback(0);
    expect_eq(rill_udp_open(&it.to, &it.at, NULL), 0);
    for (int i = 0; i < SENDERS; i++)
        expect_eq(rill_udp_open(&it.from[i], &it.at, NULL), 0);
    expect_eq(rill_udp_local_address(&it.to, &it.at), 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};

    memset(&it, 0, sizeof it);
    open_world(&input);
    while (input_has(&input))
        step(&input);
    errand_cancel(&it.receiving);
    end_receive();
    end_send();
    if (!it.is_loose) {
        drain();
        expect_eq(it.received + it.truncated + sim_datagrams_lost(fixture.sim), it.sent_count);
    }
    await(rill_udp_close(&it.to));
    for (int i = 0; i < SENDERS; i++)
        await(rill_udp_close(&it.from[i]));
    fixture_close();
    return 0;
}
