/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel_send.c - what a cancelled send says to have been sent was sent, and no more. */
#include "net/send_file.h"
#include "tests/cancel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- sending: what was said to be sent was sent, and no more ---- */

static void send_the_rest(uint64_t sent)
{
    expect(sent <= TOTAL);
    expect_eq(await(rill_tcp_send_all(&my.one, &my.rest_op, feeder.bytes + sent, TOTAL - sent)),
              TOTAL - sent);
    expect_eq(await(rill_tcp_finish_sending(&my.one, &my.rest_op)), 0);
    expect_eq(await(rill_task_join(&drainer.task, &drainer.join)), TOTAL);
    hang_up_both();
}

static struct rill_future *send_some(void)
{
    pattern_fill(feeder.bytes, 0, TOTAL);
    return rill_tcp_send(&my.one, &my.op, my.bytes, TOTAL);
}

static void after_send(int64_t result)
{
    expect(result > 0 || result == -ECANCELED);
    send_the_rest(result > 0 ? (uint64_t)result : 0);
}

static struct rill_future *send_all(void)
{
    pattern_fill(feeder.bytes, 0, TOTAL);
    return rill_tcp_send_all(&my.one, &my.op, my.bytes, TOTAL);
}

static void after_send_all(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    send_the_rest(my.op.transferred);
}

static struct rill_future *send_vectored(void)
{
    pattern_fill(feeder.bytes, 0, TOTAL);
    my.parts[0] = (struct iovec){my.bytes, 1};
    my.parts[1] = (struct iovec){my.bytes + 1, 1499};
    my.parts[2] = (struct iovec){my.bytes, 0};
    my.parts[3] = (struct iovec){my.bytes + 1500, 1500};
    my.parts[4] = (struct iovec){my.bytes, 0};
    return rill_tcp_send_all_vectored(&my.one, &my.vectored, my.parts, 5);
}

static void after_send_vectored(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    send_the_rest(my.vectored.op.transferred);
}

static struct rill_send_file sending_file;

static void start_with_file(void)
{
    start_drainer();
    memset(&sending_file, 0, sizeof sending_file);
    snprintf(my.path, sizeof my.path, "%s/file", fixture.sim ? "" : cancel_directory);
    expect_eq(await(rill_file_open(&my.file, my.path, O_CREAT | O_RDWR, 0600)), 0);
    expect_eq(await(rill_file_write_all_at(&my.file, &my.rest_op, my.bytes, TOTAL, 0)), TOTAL);
}

static struct rill_future *send_file(void)
{
    pattern_fill(feeder.bytes, 0, TOTAL);
    return rill_tcp_send_file(&my.one, &sending_file, &my.file, 0, TOTAL);
}

static void after_send_file(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    expect_eq(await(rill_file_close(&my.file)), 0);
    send_the_rest(sending_file.transferred);
}

static struct rill_future *finish_sending(void)
{
    return rill_tcp_finish_sending(&my.one, &my.op);
}

static void after_finish_sending(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    if (result < 0)
        expect_eq(await(rill_tcp_finish_sending(&my.one, &my.rest_op)), 0);
    expect_eq(await(rill_task_join(&drainer.task, &drainer.join)), 0);
    hang_up_both();
}

/* With a receive armed, bytes nobody reads, and a feeder that will be broken off. */
static struct rill_future *close_tcp(void)
{
    return rill_tcp_close(&my.one);
}

static void start_quiet_pair(void)
{
    fixture_pair(&my.one, &my.other);
    pattern_fill(my.bytes, 0, TOTAL);
    expect_eq(await(rill_tcp_send_all(&my.other, &my.op, my.bytes, 10)), 10);
    expect(await(rill_tcp_recv_borrowed(&my.one, &my.borrow)) > 0);
    rill_borrow_give_back(&my.borrow);
}

static void after_close_tcp(int64_t result)
{
    expect_eq(result, 0);
    expect(!my.one.is_open);
    hang_up_both();
}

/* ---- sending on what was borrowed ---- */

static void start_relay(void)
{
    start_feeder();
    rill_task_spawn(&drainer.task, drainer_poll);
    expect(await(recv_borrowed()) > 0);
    my.at = (size_t)my.borrow.result;
}

static struct rill_future *send_borrowed(void)
{
    return rill_tcp_send_borrowed(&my.one, &my.borrow);
}

static void after_send_borrowed(int64_t result)
{
    expect(result == (int64_t)my.at || result == -ECANCELED);
    expect_eq(my.borrow.data == NULL, result >= 0);
    if (result < 0)
        expect_eq(await(rill_tcp_send_all(&my.one, &my.op, my.borrow.data, my.at)), my.at);
    rill_borrow_give_back(&my.borrow);
    for (;;) { /* the rest goes the same way */
        int64_t size = await(rill_tcp_recv_borrowed(&my.one, &my.borrow));

        if (size == 0)
            break;
        my.at += (size_t)size;
        expect_eq(await(rill_tcp_send_borrowed(&my.one, &my.borrow)), size);
    }
    expect_eq(await(rill_tcp_flush(&my.one)), 0);
    expect_eq(await(rill_tcp_finish_sending(&my.one, &my.op)), 0);
    expect_eq(await(rill_task_join(&feeder.task, &feeder.join)), 0);
    expect_eq(await(rill_task_join(&drainer.task, &drainer.join)), TOTAL);
    hang_up_both();
}

static void start_relay_in_line(void)
{
    start_relay();
    expect_eq(await(send_borrowed()), my.at);
}

static struct rill_future *flush(void)
{
    return rill_tcp_flush(&my.one);
}

/* Cancelling gives up what was not sent, and with it the stream. */
static void after_flush(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    my.broken = true;
    fixture_hang_up(&my.one);
    await(rill_task_join(&feeder.task, &feeder.join));
    expect(await(rill_task_join(&drainer.task, &drainer.join)) <= (int64_t)my.at);
    expect(result < 0 || drainer.at <= my.at);
    fixture_hang_up(&my.other);
}

static const struct cancel_operation operations[] = {
    {"send", IN_BOTH, start_drainer, send_some, after_send, false},
    {"send_all", IN_BOTH, start_drainer, send_all, after_send_all, false},
    {"send_vectored", IN_BOTH, start_drainer, send_vectored, after_send_vectored, false},
    {"send_file", IN_BOTH, start_with_file, send_file, after_send_file, false},
    {"send_borrowed", IN_BOTH, start_relay, send_borrowed, after_send_borrowed, false},
    {"flush", IN_BOTH, start_relay_in_line, flush, after_flush, false},
    {"finish_sending", IN_BOTH, start_drainer, finish_sending, after_finish_sending, false},
    {"tcp_close", IN_BOTH, start_quiet_pair, close_tcp, after_close_tcp, false},
};

int main(void)
{
    return cancel_main("cancel_send", operations, sizeof operations / sizeof *operations, NULL,
                       NULL);
}
