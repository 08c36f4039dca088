/* SPDX-License-Identifier: Apache-2.0 */
/* test_sender.c - shared buffers are sent on in order, all of them, or the stream says why. */
#include "io/sender.h"

#include "net/socket_options.h"
#include "net/tcp.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct rill_tcp one, other;
static struct rill_op send_op, recv_op;
static struct rill_borrow borrow;
static struct background sending, echoing, flushing, receiving;
static char bytes[1 << 22], buffer[1 << 22]; /* far more than sockets hold that are bounded */

static bool open_pair(int which, const struct sim_options *options,
                      const struct rill_runtime_options *runtime_options)
{
    if (!fixture_open(which, options, runtime_options))
        return false;
    fixture_pair(&one, &other);
    pattern_fill(bytes, 0, sizeof bytes);
    return true;
}

static void close_pair(void)
{
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    fixture_close();
}

static unsigned buffers_in_use(void)
{
    return fixture.runtime->reactor.buffers.in_use;
}

/* Borrows what the peer has sent, size bytes of it in one buffer. */
static void borrow_bytes(size_t size)
{
    expect_eq(await(rill_tcp_send_all(&one, &send_op, bytes, size)), size);
    expect_eq(await(rill_tcp_recv_borrowed(&other, &borrow)), size);
}

START_TEST(what_was_borrowed_is_sent_on_and_given_back)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    borrow_bytes(100);
    ck_assert_int_eq(await(rill_tcp_send_borrowed(&other, &borrow)), 100);
    ck_assert_ptr_null(borrow.data);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, 100)), 100);
    ck_assert(pattern_is(buffer, 0, 100));
    ck_assert_int_eq(await(rill_tcp_flush(&other)), 0);
    ck_assert_uint_eq(buffers_in_use(), 0);
    close_pair();
}
END_TEST

START_TEST(sending_on_is_ready_at_once)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    borrow_bytes(100);
    background_start(&sending, rill_tcp_send_borrowed(&other, &borrow));
    ck_assert_int_eq(background_end(&sending), 100);
    ck_assert_uint_eq(sending.polls, 1);
    close_pair();
}
END_TEST

START_TEST(bytes_may_leave_on_another_connection)
{
    struct rill_tcp third = {0}, fourth = {0};

    if (!open_pair(_i, NULL, NULL))
        return;
    fixture_pair(&third, &fourth);
    borrow_bytes(100);
    ck_assert_int_eq(await(rill_tcp_send_borrowed(&third, &borrow)), 100);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&fourth, &recv_op, buffer, 100)), 100);
    ck_assert(pattern_is(buffer, 0, 100));
    fixture_hang_up(&third);
    fixture_hang_up(&fourth);
    close_pair();
}
END_TEST

START_TEST(a_flush_without_anything_in_line_is_ready)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(await(rill_tcp_flush(&other)), 0);
    close_pair();
}
END_TEST

START_TEST(after_a_flush_other_sends_may_follow)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    borrow_bytes(100);
    ck_assert_int_eq(await(rill_tcp_send_borrowed(&other, &borrow)), 100);
    ck_assert_int_eq(await(rill_tcp_flush(&other)), 0);
    ck_assert_int_eq(await(rill_tcp_send_all(&other, &send_op, bytes + 100, 50)), 50);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, 150)), 150);
    ck_assert(pattern_is(buffer, 0, 150));
    close_pair();
}
END_TEST

/* The kernel says nothing of it then, and nothing else is on its way. */
START_TEST(a_flush_ends_at_once_although_the_kernel_has_taken_the_send_at_a_second_try)
{
    uint64_t first, count;
    int64_t began_ns;

    fixture_seeds(30, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = {.seed = seed, .submit_eagain_per_mille = 500};

        if (!open_pair(SIMULATED, &options, NULL))
            return;
        fixture.seed = seed;
        fixture.seeded = true;
        borrow_bytes(100);
        began_ns = sim_now(fixture.sim);
        expect_eq(await(rill_tcp_send_borrowed(&other, &borrow)), 100);
        expect_eq(await(rill_tcp_flush(&other)), 0);
        expect(sim_now(fixture.sim) - began_ns < RILL_MILLISECOND);
        close_pair();
    }
}
END_TEST

static void put_in_line(void)
{
    open_pair(SIMULATED, NULL, NULL);
    borrow_bytes(100);
    await(rill_tcp_send_borrowed(&other, &borrow));
}

static void overtake(void)
{
    put_in_line();
    await(rill_tcp_send(&other, &send_op, bytes, 50));
}

static void overtake_with_all(void)
{
    put_in_line();
    await(rill_tcp_send_all(&other, &send_op, bytes, 50));
}

static void overtake_with_parts(void)
{
    struct iovec part = {bytes, 50};
    struct rill_send_vectored send = {0};

    put_in_line();
    await(rill_tcp_send_all_vectored(&other, &send, &part, 1));
}

static void overtake_with_the_end(void)
{
    put_in_line();
    await(rill_tcp_finish_sending(&other, &send_op));
}

START_TEST(another_send_can_not_overtake_what_is_in_line)
{
    fixture_expect_panic(overtake, "await rill_tcp_flush");
    fixture_expect_panic(overtake_with_all, "await rill_tcp_flush");
    fixture_expect_panic(overtake_with_parts, "await rill_tcp_flush");
    fixture_expect_panic(overtake_with_the_end, "await rill_tcp_flush");
}
END_TEST

START_TEST(closing_sends_what_is_in_line)
{
    if (!open_pair(_i, NULL, NULL))
        return;
    borrow_bytes(100);
    ck_assert_int_eq(await(rill_tcp_send_borrowed(&other, &borrow)), 100);
    fixture_hang_up(&other);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, 200)), 100);
    ck_assert(pattern_is(buffer, 0, 100));
    close_pair();
}
END_TEST

enum { CHUNKS = 12 };

static struct rill_borrow chunks[CHUNKS];

/* Puts all in line in one poll, and is done with them. */
static enum rill_poll put_poll(struct rill_future *self, struct rill_task *task)
{
    for (int i = 0; i < CHUNKS; i++) {
        struct rill_future *put = rill_tcp_send_borrowed(&other, &chunks[i]);

        ck_assert_int_eq(put->poll(put, task), RILL_READY);
    }
    return rill_future_end(self, 0);
}

/* Each but the last goes out without a completion, so nothing but itself drives the line. */
START_TEST(a_line_that_nobody_waits_for_goes_out)
{
    struct rill_future put;

    if (!open_pair(_i, NULL, NULL))
        return;
    for (int i = 0; i < CHUNKS; i++) {
        expect_eq(await(rill_tcp_send_all(&one, &send_op, bytes, 100)), 100);
        expect_eq(await(rill_tcp_recv_borrowed(&other, &chunks[i])), 100);
    }
    background_start(&sending, rill_future_init(&put, put_poll));
    settle_until(other.sender.held == 0);
    ck_assert_int_eq(background_end(&sending), 0);
    ck_assert_uint_eq(buffers_in_use(), 0);
    close_pair();
}
END_TEST

/* Sends on whatever comes, until the peer has finished. */
struct echo {
    struct rill_future future;
    struct rill_borrow chunk;
    struct rill_tcp *tcp;
};

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv_borrowed(echo->tcp, &echo->chunk));
        if (echo->chunk.result <= 0)
            break;
        RILL_AWAIT(rill_tcp_send_borrowed(echo->tcp, &echo->chunk));
        if (echo->chunk.result < 0)
            break;
    }
    rill_borrow_give_back(&echo->chunk);
    RILL_RETURN(echo->chunk.result);
    RILL_END();
}

static struct rill_future *echo_on(struct echo *echo, struct rill_tcp *tcp)
{
    memset(echo, 0, sizeof *echo);
    echo->tcp = tcp;
    return rill_future_init(&echo->future, echo_poll);
}

static struct rill_future *echo_run(void)
{
    static struct echo echo;

    return echo_on(&echo, &other);
}

/* Until the kernel has taken what it takes, and no more. */
static void settle_calm(void)
{
    for (int calm = 0; calm < 5;) {
        uint64_t before = fixture.runtime->reactor.stats.completions;

        settle();
        calm = fixture.runtime->reactor.stats.completions == before ? calm + 1 : 0;
    }
}

/* Fills the line and both sockets' buffers of a peer that does not read. */
static void fill_line(void)
{
    background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, sizeof bytes));
    background_start(&echoing, echo_run());
    settle_until(other.sender.held == RILL_BUFFERS_SHARE);
    settle_calm();
    expect(!rill_task_is_over(&echoing.task));
    expect(other.sender.held > 0);
}

/* What fill_line or another began to send comes back as it was, and both tasks end. */
static void expect_whole_echo(void)
{
    expect(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, sizeof buffer)) == sizeof buffer);
    expect(pattern_is(buffer, 0, sizeof buffer));
    expect(background_end(&sending) == sizeof bytes);
    expect(await(rill_tcp_finish_sending(&one, &send_op)) == 0);
    expect(background_end(&echoing) == 0);
}

static bool open_narrow_pair(int which, int size_in_reality)
{
    const struct sim_options options = {.seed = 3, .socket_buffer_size = 2048};
    const struct rill_runtime_options runtime_options = {.buffer_count = 64, .buffer_size = 512};

    if (!open_pair(which, &options, &runtime_options))
        return false;
    fixture_bound(&other, &one, size_in_reality);
    return true;
}

START_TEST(a_line_is_bounded_and_goes_on_when_the_peer_reads)
{
    if (!open_narrow_pair(_i, 65536)) /* four megabytes through a narrower window take minutes */
        return;
    fill_line();
    ck_assert_uint_le(other.sender.held, RILL_BUFFERS_SHARE);
    expect_whole_echo();
    ck_assert_ptr_null(other.sender.op.waiter); /* a task that is gone is not to be woken */
    close_pair();
}
END_TEST

START_TEST(a_peer_that_does_not_read_keeps_no_shared_buffer)
{
    const struct rill_buffers *buffers;

    if (!open_narrow_pair(_i, 4096))
        return;
    fill_line();
    buffers = &fixture.runtime->reactor.buffers;
    for (unsigned left = other.sender.held, id = other.sender.first; left > 0; left--) {
        ck_assert_uint_ge(id, buffers->limit);
        id = buffers->buffers[id].next;
    }
    rill_task_cancel(&echoing.task);
    ck_assert_int_eq(background_end(&echoing), -ECANCELED);
    rill_task_cancel(&sending.task);
    background_end(&sending);
    close_pair(); /* one goes first, so the line of the other breaks */
}
END_TEST

/* While it waits the bytes move into memory of their own, and others use the shared buffer. */
/* So many bytes wait in private memory already, for other peers that do not read. */
static void hold_private(unsigned count)
{
    struct rill_buffers *buffers = &fixture.runtime->reactor.buffers;

    expect_eq(rill_buffers_ready(buffers), 0);
    for (unsigned i = 0; i < count; i++)
        expect_eq(rill_buffers_lend(buffers, bytes, 1), buffers->limit + i);
}

static void let_private_go(void)
{
    struct rill_buffers *buffers = &fixture.runtime->reactor.buffers;

    while (buffers->private_in_use > 0) /* these alone are left */
        rill_buffers_give_back(buffers, buffers->limit + buffers->private_in_use - 1);
}

/* Or they would use up the private memory of all, and then keep shared buffers. */
START_TEST(where_many_peers_do_not_read_each_has_one_piece_in_line)
{
    const struct rill_buffers *buffers;

    if (!open_narrow_pair(_i, 4096))
        return;
    buffers = &fixture.runtime->reactor.buffers;
    hold_private(RILL_BUFFERS_PRIVATE_MANY);
    background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, sizeof bytes));
    background_start(&echoing, echo_run());
    settle_calm();
    ck_assert(!rill_task_is_over(&echoing.task));
    ck_assert_uint_eq(other.sender.held, 1);
    /* One is in line, one waits for room, and what has come meanwhile waits for its reader. */
    ck_assert_uint_eq(buffers->in_use + buffers->private_in_use - RILL_BUFFERS_PRIVATE_MANY,
                      2u + other.receiver.held);
    rill_task_cancel(&echoing.task);
    background_end(&echoing);
    rill_task_cancel(&sending.task);
    background_end(&sending);
    ck_assert_int_eq(rill_socket_set_reset_on_close(one.fd, true), 0);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    let_private_go();
    fixture_close();
}
END_TEST

/* More than there could be numbers for in 16 bits. */
START_TEST(a_line_is_whole_however_many_bytes_wait_for_other_peers)
{
    if (!open_narrow_pair(_i, 65536))
        return;
    hold_private(70000);
    background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, sizeof bytes));
    background_start(&echoing, echo_run());
    settle_calm();
    ck_assert_uint_gt(fixture.runtime->reactor.buffers.private_in_use, 70000);
    expect_whole_echo();
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    let_private_go();
    fixture_close();
}
END_TEST

START_TEST(a_cancelled_wait_for_room_keeps_the_buffer_with_the_caller)
{
    static struct rill_borrow next;
    static char before[512];
    size_t size;

    if (!open_narrow_pair(_i, 4096))
        return;
    fill_line();
    rill_task_cancel(&echoing.task);
    ck_assert_int_eq(background_end(&echoing), -ECANCELED);
    ck_assert_int_gt(await(rill_tcp_recv_borrowed(&other, &borrow)), 0);
    size = (size_t)borrow.result;
    memcpy(before, borrow.data, size);
    background_start(&echoing, rill_tcp_send_borrowed(&other, &borrow));
    settle();
    rill_task_cancel(&echoing.task);
    ck_assert_int_eq(background_end(&echoing), -ECANCELED);
    for (int i = 0; i < 64; i++) {
        ck_assert_int_gt(await(rill_tcp_recv_borrowed(&other, &next)), 0);
        rill_borrow_give_back(&next);
    }
    ck_assert_mem_eq(borrow.data, before, size);
    rill_borrow_give_back(&borrow);
    rill_task_cancel(&sending.task);
    background_end(&sending);
    close_pair(); /* one goes first, so the line of the other breaks */
}
END_TEST

/* Behind the hole nothing follows that would look as if it were whole. */
static void expect_that_nothing_can_be_sent(int64_t error)
{
    static struct rill_send_vectored parts;
    struct iovec part = {bytes, 50};
    struct rill_borrow lasting = {0};

    ck_assert_int_eq(await(rill_tcp_send(&other, &send_op, bytes, 50)), error);
    ck_assert_int_eq(await(rill_tcp_send_all(&other, &send_op, bytes, 50)), error);
    ck_assert_uint_eq(send_op.transferred, 0);
    ck_assert_int_eq(await(rill_tcp_send_all_vectored(&other, &parts, &part, 1)), error);
    ck_assert_int_eq(await(rill_tcp_send_lasting(&other, &lasting, bytes, 50)), error);
    ck_assert_int_eq(await(rill_tcp_finish_sending(&other, &send_op)), error);
}

START_TEST(a_cancelled_flush_gives_up_what_was_not_sent)
{
    if (!open_narrow_pair(_i, 4096))
        return;
    fill_line();
    rill_task_cancel(&echoing.task);
    background_end(&echoing);
    rill_task_cancel(&sending.task);
    background_end(&sending);
    background_start(&flushing, rill_tcp_flush(&other));
    settle();
    ck_assert(!rill_task_is_over(&flushing.task));
    rill_task_cancel(&flushing.task);
    ck_assert_int_eq(background_end(&flushing), -ECANCELED);
    ck_assert_uint_eq(other.sender.held, 0);
    expect_that_nothing_can_be_sent(-ECANCELED);
    close_pair();
}
END_TEST

/* Fills the line, and gives it up in the same poll. */
struct hasty {
    struct rill_future future;
    struct rill_borrow chunks[RILL_BUFFERS_SHARE];
    struct rill_future *flush;
};

static enum rill_poll hasty_poll(struct rill_future *self, struct rill_task *task)
{
    struct hasty *hasty = rill_container_of(self, struct hasty, future);

    for (size_t i = 0; !hasty->flush && i < RILL_BUFFERS_SHARE; i++) {
        struct rill_future *send = rill_tcp_send_borrowed(&other, &hasty->chunks[i]);

        expect(send->poll(send, task) == RILL_READY);
    }
    if (!hasty->flush)
        hasty->flush = rill_tcp_flush(&other);
    if (rill_poll_because(hasty->flush, task, RILL_CANCELLED) == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, hasty->flush->result);
}

START_TEST(a_flush_that_is_cancelled_before_the_peer_is_known_not_to_read_ends)
{
    static struct hasty hasty;
    struct rill_timeout timeout;

    if (!open_narrow_pair(_i, 4096))
        return;
    for (size_t i = 0; i < RILL_BUFFERS_SHARE; i++) {
        expect_eq(await(rill_tcp_send_all(&one, &send_op, bytes, 100)), 100);
        expect_eq(await(rill_tcp_recv_borrowed(&other, &hasty.chunks[i])), 100);
    }
    expect_eq(await(rill_timeout(&timeout, 20 * RILL_MILLISECOND,
                                 rill_tcp_send_all(&other, &send_op, bytes, sizeof bytes))),
              -ETIMEDOUT);
    rill_future_init(&hasty.future, hasty_poll);
    expect_eq(await(rill_timeout(&timeout, RILL_SECOND, &hasty.future)), -ECANCELED);
    expect_eq(other.sender.held, 0);
    close_pair();
}
END_TEST

START_TEST(a_reset_ends_the_line_and_every_later_send)
{
    if (!open_narrow_pair(_i, 4096))
        return;
    fill_line();
    rill_task_cancel(&sending.task);
    background_end(&sending);
    ck_assert_int_eq(rill_socket_set_reset_on_close(one.fd, true), 0);
    fixture_hang_up(&one);
    ck_assert_int_lt(background_end(&echoing), 0);
    ck_assert_int_lt(await(rill_tcp_flush(&other)), 0);
    ck_assert_int_lt(other.result, 0);
    fixture_hang_up(&other);
    ck_assert_int_eq(await(rill_tcp_flush(&other)), 0); /* of what is closed */
    close_pair();
}
END_TEST

/* When all shared buffers are in sends that ask for no completion, and everybody else
 * waits for a buffer, nothing but the end of those sends can wake the reactor. */
START_TEST(two_buffers_serve_many_echoes_to_the_last_byte)
{
    enum { CROWD = 8, SIZE = 1000 };
    static struct rill_tcp clients[CROWD], servers[CROWD];
    static struct echo echoes[CROWD];
    static struct background tasks[CROWD];
    static struct rill_op ops[CROWD];
    const struct rill_runtime_options runtime_options = {.buffer_count = 2, .buffer_size = 64};

    if (!fixture_open(_i, NULL, &runtime_options))
        return;
    pattern_fill(bytes, 0, SIZE);
    for (int i = 0; i < CROWD; i++) {
        fixture_pair(&clients[i], &servers[i]);
        background_start(&tasks[i], echo_on(&echoes[i], &servers[i]));
    }
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(await(rill_tcp_send_all(&clients[i], &ops[i], bytes, SIZE)), SIZE);
    for (int i = 0; i < CROWD; i++) {
        struct rill_timeout timeout;

        ck_assert_int_eq(
            await(rill_timeout(&timeout, 5 * RILL_SECOND,
                               rill_tcp_recv_exactly(&clients[i], &ops[i], buffer, SIZE))),
            SIZE);
        ck_assert(pattern_is(buffer, 0, SIZE));
    }
    for (int i = 0; i < CROWD; i++) {
        fixture_hang_up(&clients[i]);
        ck_assert_int_eq(background_end(&tasks[i]), 0);
        fixture_hang_up(&servers[i]);
    }
    fixture_close();
}
END_TEST

/* A send that asks for no completion, and had to wait for a place, was once submitted by the
 * call that then slept: nobody heard of its end. */
START_TEST(a_line_that_had_to_wait_for_a_place_in_the_queue_ends_at_once)
{
    const struct rill_runtime_options runtime_options = {.sq_entries = 2};
    static struct background readers[2];
    struct rill_tcp third = {0}, fourth = {0};
    struct rill_borrow send = {0};
    struct rill_op ops[2] = {0};
    struct rill_timeout timeout;
    char bytes_unsent[2];
    int64_t begun_ns;

    if (!open_pair(_i, NULL, &runtime_options))
        return;
    fixture_pair(&third, &fourth);
    background_start(&readers[0], rill_tcp_recv(&third, &ops[0], &bytes_unsent[0], 1));
    background_start(&readers[1], rill_tcp_recv(&fourth, &ops[1], &bytes_unsent[1], 1));
    background_start(&sending, rill_tcp_send_lasting(&other, &send, bytes, 100));
    background_start(&flushing, rill_timeout(&timeout, RILL_SECOND, rill_tcp_flush(&other)));
    begun_ns = rill_now();
    fixture_fail_enters(-EAGAIN, 2); /* of that which begins the send, and of the next turn */
    ck_assert_int_eq(background_end(&flushing), 0);
    ck_assert_int_lt(rill_now() - begun_ns, RILL_SECOND / 2);
    ck_assert_uint_eq(fixture.runtime->reactor.stats.queue_full, 2);
    ck_assert_int_eq(background_end(&sending), 100);
    for (int i = 0; i < 2; i++) {
        rill_task_cancel(&readers[i].task);
        ck_assert_int_eq(background_end(&readers[i]), -ECANCELED);
    }
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, 100)), 100);
    fixture_hang_up(&third);
    fixture_hang_up(&fourth);
    close_pair();
}
END_TEST

START_TEST(a_flush_that_is_cancelled_before_the_kernel_has_the_send_gives_it_up)
{
    const struct rill_runtime_options runtime_options = {.sq_entries = 2};
    static struct background readers[2];
    struct rill_tcp third = {0}, fourth = {0};
    struct rill_borrow send = {0};
    struct rill_op ops[2] = {0};
    struct rill_timeout timeout;
    char bytes_unsent[2];

    if (!open_pair(_i, NULL, &runtime_options))
        return;
    fixture_pair(&third, &fourth);
    fixture_fail_enters(-EAGAIN, 1000);
    background_start(&readers[0], rill_tcp_recv(&third, &ops[0], &bytes_unsent[0], 1));
    background_start(&readers[1], rill_tcp_recv(&fourth, &ops[1], &bytes_unsent[1], 1));
    background_start(&sending, rill_tcp_send_lasting(&other, &send, bytes, 100));
    background_start(&flushing, rill_tcp_flush(&other));
    fixture_turn();
    ck_assert_int_eq(other.sender.op.state, RILL_OP_QUEUED);
    rill_task_cancel(&flushing.task);
    fixture_turn();
    fixture_turn();
    ck_assert(rill_task_is_over(&flushing.task));
    ck_assert_uint_eq(other.sender.held, 0);
    fixture_fail_enters(0, 0);
    ck_assert_int_eq(background_end(&flushing), -ECANCELED);
    ck_assert_int_eq(background_end(&sending), 100); /* it was put in line */
    for (int i = 0; i < 2; i++) {
        rill_task_cancel(&readers[i].task);
        ck_assert_int_eq(background_end(&readers[i]), -ECANCELED);
    }
    ck_assert_int_eq(
        await(rill_timeout(&timeout, RILL_SECOND, rill_tcp_recv(&one, &recv_op, buffer, 100))),
        -ETIMEDOUT);
    fixture_hang_up(&third);
    fixture_hang_up(&fourth);
    close_pair();
}
END_TEST

/* ---- lasting bytes ---- */

START_TEST(lasting_bytes_leave_in_line_with_borrowed_ones)
{
    struct rill_borrow send = {0};

    if (!open_pair(_i, NULL, NULL))
        return;
    borrow_bytes(100);
    ck_assert_int_eq(await(rill_tcp_send_borrowed(&other, &borrow)), 100);
    ck_assert_int_eq(await(rill_tcp_send_lasting(&other, &send, bytes + 100, 50)), 50);
    ck_assert_int_eq(await(rill_tcp_send_lasting(&other, &send, bytes, 0)), 0);
    ck_assert_int_eq(await(rill_tcp_send_lasting(&other, &send, bytes + 150, 7)), 7);
    ck_assert_int_eq(await(rill_tcp_flush(&other)), 0);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, 157)), 157);
    ck_assert(pattern_is(buffer, 0, 157));
    ck_assert_uint_eq(fixture.runtime->reactor.buffers.private_in_use, 0);
    close_pair();
}
END_TEST

START_TEST(megabytes_of_lasting_bytes_go_out_whole)
{
    struct rill_borrow send = {0};

    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(await(rill_tcp_send_lasting(&other, &send, bytes, sizeof bytes)),
                     sizeof bytes);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, sizeof buffer)),
                     sizeof buffer);
    ck_assert(pattern_is(buffer, 0, sizeof buffer));
    close_pair();
}
END_TEST

START_TEST(more_than_a_gigabyte_at_once_is_EINVAL)
{
    struct rill_borrow send = {0};

    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(await(rill_tcp_send_lasting(&other, &send, bytes, RILL_OP_CHUNK_MAX + 1)),
                     -EINVAL);
    close_pair();
}
END_TEST

START_TEST(a_lasting_send_that_is_cancelled_while_it_waits_for_room_leaves_nothing)
{
    struct rill_borrow send = {0};

    if (!open_narrow_pair(_i, 4096))
        return;
    fill_line();
    rill_task_cancel(&echoing.task);
    background_end(&echoing);
    rill_task_cancel(&sending.task);
    background_end(&sending);
    while (other.sender.held < RILL_BUFFERS_SHARE)
        ck_assert_int_eq(await(rill_tcp_send_lasting(&other, &send, bytes, 3000)), 3000);
    background_start(&sending, rill_tcp_send_lasting(&other, &send, bytes, 10));
    settle();
    ck_assert(!rill_task_is_over(&sending.task));
    rill_task_cancel(&sending.task);
    ck_assert_int_eq(background_end(&sending), -ECANCELED);
    ck_assert_int_eq(rill_socket_set_reset_on_close(one.fd, true), 0);
    close_pair();
}
END_TEST

/* The point of it: a request and its answer take one enter. */
START_TEST(an_answer_costs_no_enter_of_its_own)
{
    enum { ROUNDS = 100 };
    uint64_t enters;

    if (!open_pair(_i, NULL, NULL))
        return;
    background_start(&echoing, echo_run());
    settle();
    enters = fixture.runtime->reactor.stats.enters;
    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(await(rill_tcp_send_all(&one, &send_op, bytes, 64)), 64);
        ck_assert_int_eq(await(rill_tcp_recv(&one, &recv_op, buffer, sizeof buffer)), 64);
    }
    /* The client's send and receive take two, the server's answer none. */
    ck_assert_uint_le(fixture.runtime->reactor.stats.enters - enters, 3 * ROUNDS);
    ck_assert_int_eq(await(rill_tcp_finish_sending(&one, &send_op)), 0);
    ck_assert_int_eq(background_end(&echoing), 0);
    close_pair();
}
END_TEST

/* Short sends, full queues, overflows, lost cancels, any order and delay. */
START_TEST(every_byte_comes_back_once_and_in_order_whatever_the_seed)
{
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = sim_options_troubled(seed);
        const struct rill_runtime_options runtime_options = {
            .sq_entries = 4u << seed % 4,
            .cq_entries = 16u << seed % 4,
            .buffer_count = 4u << seed % 5,
            .buffer_size = 64 + seed % 1000,
        };
        size_t size = 1 + (seed * 2654435761u) % 20000;

        if (!open_pair(SIMULATED, &options, &runtime_options))
            return;
        fixture.seed = seed;
        fixture.seeded = true;
        memset(buffer, 0, size);
        background_start(&echoing, echo_run());
        background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, size));
        expect_eq(await(rill_tcp_recv_exactly(&one, &recv_op, buffer, size)), size);
        expect(pattern_is(buffer, 0, size));
        expect_eq(background_end(&sending), size);
        expect_eq(await(rill_tcp_finish_sending(&one, &send_op)), 0);
        expect_eq(background_end(&echoing), 0);
        close_pair();
    }
}
END_TEST

/* The echo is cancelled at some moment; what it had put in line arrives when it is
 * closed in a task that is not. */
START_TEST(a_cancel_at_any_moment_loses_no_byte_that_was_in_line)
{
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = sim_options_troubled(seed);
        const struct rill_runtime_options runtime_options = {.buffer_count = 16,
                                                             .buffer_size = 256};
        size_t size = 1 + (seed * 2654435761u) % 5000;
        int64_t got;

        if (!open_pair(SIMULATED, &options, &runtime_options))
            return;
        fixture.seed = seed;
        fixture.seeded = true;
        background_start(&echoing, echo_run());
        background_start(&sending, rill_tcp_send_all(&one, &send_op, bytes, size));
        for (uint64_t turns = seed % 40; turns > 0; turns--)
            fixture_turn();
        rill_task_cancel(&echoing.task);
        background_end(&echoing);
        rill_task_cancel(&sending.task);
        background_end(&sending);
        background_start(&receiving, rill_tcp_recv_exactly(&one, &recv_op, buffer, sizeof buffer));
        expect_eq(await(rill_tcp_flush(&other)), 0);
        fixture_hang_up(&other);
        got = background_end(&receiving);
        expect(got >= 0 || got == -ECONNRESET); /* closing with bytes unread resets */
        expect(pattern_is(buffer, 0, recv_op.transferred));
        close_pair();
    }
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {what_was_borrowed_is_sent_on_and_given_back, IN_BOTH},
        {sending_on_is_ready_at_once, IN_BOTH},
        {bytes_may_leave_on_another_connection, IN_BOTH},
        {a_flush_without_anything_in_line_is_ready, IN_BOTH},
        {after_a_flush_other_sends_may_follow, IN_BOTH},
        {a_flush_ends_at_once_although_the_kernel_has_taken_the_send_at_a_second_try, IN_SIMULATED},
        {another_send_can_not_overtake_what_is_in_line, IN_SIMULATED},
        {closing_sends_what_is_in_line, IN_BOTH},
        {a_line_that_nobody_waits_for_goes_out, IN_BOTH},
        {a_line_is_bounded_and_goes_on_when_the_peer_reads, IN_BOTH},
        {a_peer_that_does_not_read_keeps_no_shared_buffer, IN_BOTH},
        {where_many_peers_do_not_read_each_has_one_piece_in_line, IN_BOTH},
        {a_line_is_whole_however_many_bytes_wait_for_other_peers, IN_BOTH},
        {a_cancelled_wait_for_room_keeps_the_buffer_with_the_caller, IN_BOTH},
        {a_cancelled_flush_gives_up_what_was_not_sent, IN_BOTH},
        {a_flush_that_is_cancelled_before_the_peer_is_known_not_to_read_ends, IN_BOTH},
        {a_reset_ends_the_line_and_every_later_send, IN_BOTH},
        {two_buffers_serve_many_echoes_to_the_last_byte, IN_BOTH},
        {a_line_that_had_to_wait_for_a_place_in_the_queue_ends_at_once, IN_BOTH},
        {a_flush_that_is_cancelled_before_the_kernel_has_the_send_gives_it_up, IN_SIMULATED},
        {lasting_bytes_leave_in_line_with_borrowed_ones, IN_BOTH},
        {megabytes_of_lasting_bytes_go_out_whole, IN_BOTH},
        {more_than_a_gigabyte_at_once_is_EINVAL, IN_BOTH},
        {a_lasting_send_that_is_cancelled_while_it_waits_for_room_leaves_nothing, IN_BOTH},
        {an_answer_costs_no_enter_of_its_own, IN_BOTH},
        {every_byte_comes_back_once_and_in_order_whatever_the_seed, IN_SIMULATED},
        {a_cancel_at_any_moment_loses_no_byte_that_was_in_line, IN_SIMULATED},
    };

    return fixture_main("sender", cases, sizeof cases / sizeof cases[0]);
}
