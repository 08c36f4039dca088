/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/exchange.h"

#include "runtime/executor.h"

#include <errno.h>
#include <string.h>

enum {
    PERIOD = 65521, /* of the pattern: a prime, so that no size divides it */
    STRIDE = 7919,  /* between the beginnings of two connections */
};

/* Byte i of a connection's stream is pattern[(index * STRIDE + i) % PERIOD]; it is laid
 * out far enough beyond the period that any part to be sent is in one piece. */
static unsigned char pattern[PERIOD + EXCHANGE_CHUNK_MAX];

void exchange_make_pattern(void)
{
    uint32_t state = 1;

    for (size_t i = 0; i < sizeof pattern; i++) {
        if (i >= PERIOD) {
            pattern[i] = pattern[i - PERIOD];
        } else {
            state = state * 1664525 + 1013904223; /* Numerical Recipes' generator */
            pattern[i] = (unsigned char)(state >> 24);
        }
    }
}

const void *exchange_bytes(uint64_t index, uint64_t position)
{
    return pattern + (index * STRIDE + position) % PERIOD;
}

int exchange_check(const void *data, uint64_t index, uint64_t position, uint64_t size)
{
    const unsigned char *bytes = data;

    while (size > 0) {
        uint64_t part = size < EXCHANGE_CHUNK_MAX ? size : EXCHANGE_CHUNK_MAX;

        if (memcmp(bytes, exchange_bytes(index, position), part) != 0)
            return -EBADMSG;
        position += part;
        bytes += part;
        size -= part;
    }
    return 0;
}

/* The slowest answers are those that are not there yet when the time is up: a load without their
 * latencies would make a server look well that stalls at the end. */
void load_answered(struct load *load, int64_t began_ns)
{
    if (load->measuring)
        load->requests++;
    histogram_record(&load->latency, (uint64_t)(rill_now() - began_ns));
}

/* Nobody knows when they would have been answered: later than now, which tells something of those
 * that have waited for longer than the fastest answer took. There may be a great many of them, so
 * each that is recorded stands for as many as come before the next one, and the time of the first
 * of these, which is the longest, for that of all. */
void load_never_sent(struct load *load, uint64_t index, uint64_t begun)
{
    enum { PARTS = 1024 };
    uint64_t due, step;

    if (load->pace.interval_ns == 0)
        return;
    due = pace_due_on(&load->pace, index);
    step = due > begun ? (due - begun) / PARTS + 1 : 1;
    for (uint64_t request = begun; request < due; request += step) {
        uint64_t left = due - request;
        int64_t late_ns = rill_now() - pace_time_ns(&load->pace, index, request);

        if (late_ns < (int64_t)histogram_min(&load->latency))
            break;
        histogram_record_times(&load->latency, (uint64_t)late_ns, left < step ? left : step);
    }
}

/* Requests that may have begun by now. */
static uint64_t startable(const struct exchange *exchange)
{
    const struct load *load = exchange->load;
    uint64_t fitting = exchange->finished + load->depth, due;

    if (load->broadcast)
        return exchange->index == 0 ? load->deliveries / load->connections + 1 : 0;
    if (load->pace.interval_ns == 0)
        return fitting;
    due = pace_due_on(&load->pace, exchange->index);
    return due < fitting ? due : fitting;
}

/* Bytes that may be sent now: those of requests that may begin and are not sent. */
static uint64_t sendable(struct exchange *exchange)
{
    struct load *load = exchange->load;

    for (; !load->stopping && exchange->started < startable(exchange); exchange->started++) {
        exchange->times_ns[exchange->started % load->depth] =
            load->pace.interval_ns > 0
                ? pace_time_ns(&load->pace, exchange->index, exchange->started)
                : rill_now();
        load->messages++;
    }
    return exchange->started * load->size - exchange->sent;
}

/* Goes on sending: the pattern lasts, so what is put in line needs no waiting for.
 * Returns whether something changed, or -errno. */
static int64_t drive_send(struct exchange *exchange, struct rill_task *task)
{
    struct rill_borrow *send = &exchange->send;

    if (!exchange->sending) {
        uint64_t size = sendable(exchange);

        if (size == 0)
            return false;
        rill_tcp_send_lasting(exchange->peer, send, exchange_bytes(exchange->index, exchange->sent),
                              size < EXCHANGE_CHUNK_MAX ? size : EXCHANGE_CHUNK_MAX);
        exchange->sending = true;
    }
    if (send->future.poll(&send->future, task) == RILL_PENDING)
        return false;
    exchange->sending = false;
    if (send->result < 0)
        return send->result;
    exchange->sent += (uint64_t)send->result;
    return true;
}

/* The sender waits for the last of those who receive. */
static void deliver(struct load *load)
{
    load->deliveries++;
    if (load->deliveries % load->connections == 0 && load->sender)
        rill_task_wake(load->sender);
}

/* Takes account of size bytes that came back. Returns 0 or -EBADMSG. */
static int64_t check(struct exchange *exchange, const void *data, uint64_t size)
{
    struct load *load = exchange->load;
    uint64_t stream = load->broadcast ? 0 : exchange->index;
    int error = exchange_check(data, stream, exchange->received, size);

    if (error)
        return error;
    exchange->received += size;
    load->heard++;
    for (; (exchange->finished + 1) * load->size <= exchange->received; exchange->finished++) {
        if (load->broadcast)
            deliver(load);
        load_answered(load, exchange->times_ns[exchange->finished % load->depth]);
    }
    return 0;
}

/* Goes on receiving. Returns whether something changed, or -errno. */
static int64_t drive_receive(struct exchange *exchange, struct rill_task *task)
{
    struct rill_borrow *chunk = &exchange->chunk;
    int64_t error;

    if (!exchange->receiving)
        rill_tcp_recv_borrowed(exchange->peer, chunk);
    exchange->receiving = true;
    if (chunk->future.poll(&chunk->future, task) == RILL_PENDING)
        return false;
    exchange->receiving = false;
    if (chunk->result <= 0)
        return chunk->result < 0 ? chunk->result : -ECONNRESET;
    error = check(exchange, chunk->data, (uint64_t)chunk->result);
    rill_borrow_give_back(chunk);
    return error ? error : true;
}

/* Before the exchange ends, what it started has to end. Both end at once when they
 * are cancelled: what is in line is left to closing. */
static void cancel_both(struct exchange *exchange, struct rill_task *task)
{
    if (exchange->sending)
        rill_poll_because(&exchange->send.future, task, RILL_CANCELLED);
    if (exchange->receiving) {
        rill_poll_because(&exchange->chunk.future, task, RILL_CANCELLED);
        rill_borrow_give_back(&exchange->chunk);
    }
}

static enum rill_poll finish(struct exchange *exchange, struct rill_task *task, int64_t result)
{
    cancel_both(exchange, task);
    exchange->result = result;
    return RILL_READY;
}

static enum rill_poll exchange_poll(struct rill_future *self, struct rill_task *task)
{
    struct exchange *exchange = rill_container_of(self, struct exchange, future);
    struct load *load = exchange->load;

    if (load->pace.interval_ns > 0)
        load->pace.tasks[exchange->index] = task;
    if (exchange->index == 0)
        load->sender = task;
    for (;;) {
        int64_t sent = drive_send(exchange, task);
        int64_t received = sent < 0 ? sent : drive_receive(exchange, task);

        if (received < 0)
            return finish(exchange, task, received);
        if (load->stopping &&
            exchange->finished == (load->broadcast ? load->messages : exchange->started)) {
            load_never_sent(load, exchange->index, exchange->started);
            return finish(exchange, task, 0);
        }
        if (!sent && !received)
            return RILL_PENDING;
    }
}

struct rill_future *exchange_run(struct exchange *exchange, struct load *load,
                                 struct rill_tcp *peer, uint64_t index, int64_t *times_ns)
{
    static const struct rill_place name = {"exchange", NULL, 0};

    memset(exchange, 0, sizeof *exchange);
    rill_future_init(&exchange->future, exchange_poll);
    exchange->future.place = &name;
    exchange->load = load;
    exchange->peer = peer;
    exchange->index = index;
    exchange->times_ns = times_ns;
    return &exchange->future;
}
