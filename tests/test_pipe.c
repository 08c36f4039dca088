/* SPDX-License-Identifier: Apache-2.0 */
/* test_pipe.c - what goes into a pipe comes out of it, and its end is no signal. */
#include "io/pipe.h"

#include "io/file.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static char bytes[300000], buffer[300000];
static struct rill_pipe_write write_op;
static struct background writing;
static struct rill_file reader;
static struct rill_op op;
static int writer;

static bool open_pipe(void)
{
    int ends[2];

    if (!fixture_open(REAL, NULL, NULL))
        return false;
    pattern_fill(bytes, 0, sizeof bytes);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    rill_file_adopt(&reader, ends[0]);
    writer = ends[1];
    return true;
}

static void close_pipe(void)
{
    close(writer);
    ck_assert_int_eq(await(rill_file_close(&reader)), 0);
    fixture_close();
}

static bool is_pending(int number)
{
    sigset_t set;

    sigpending(&set);
    return sigismember(&set, number);
}

static bool is_blocked(int number)
{
    sigset_t set;

    sigprocmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, number);
}

/* Reads that many bytes, which have to be the next of the pattern. */
static void read_on(size_t *at, size_t size)
{
    while (size > 0) {
        int64_t read = await(rill_file_read(&reader, &op, buffer, size));

        expect(read > 0);
        expect(loaded_is(buffer, *at, (size_t)read));
        *at += (size_t)read;
        size -= (size_t)read;
    }
}

START_TEST(what_fits_is_written_at_once)
{
    size_t at = 0;

    if (!open_pipe())
        return;
    ck_assert_int_eq(await(rill_pipe_write_all(writer, &write_op, bytes, 1000)), 1000);
    ck_assert_uint_eq(write_op.written, 1000);
    ck_assert_int_eq(await(rill_pipe_write_all(writer, &write_op, bytes, 0)), 0);
    ck_assert_uint_eq(fixture.runtime->reactor.stats.submissions, 0);
    read_on(&at, 1000);
    close_pipe();
}
END_TEST

START_TEST(what_does_not_fit_waits_for_the_reader)
{
    size_t at = 0;

    if (!open_pipe())
        return;
    background_start(&writing, rill_pipe_write_all(writer, &write_op, bytes, sizeof bytes));
    settle();
    ck_assert(!rill_task_is_over(&writing.task));
    ck_assert_uint_eq(write_op.written, 65536);
    read_on(&at, sizeof bytes);
    ck_assert_int_eq(background_end(&writing), sizeof bytes);
    close_pipe();
}
END_TEST

START_TEST(a_write_to_a_full_pipe_waits_for_the_reader_too)
{
    size_t at = 0;

    if (!open_pipe())
        return;
    ck_assert_int_eq(await(rill_pipe_write_all(writer, &write_op, bytes, 65536)), 65536);
    background_start(&writing, rill_pipe_write_all(writer, &write_op, bytes + 65536, 10));
    settle();
    ck_assert(!rill_task_is_over(&writing.task));
    ck_assert_uint_eq(write_op.written, 0);
    read_on(&at, 65536);
    ck_assert_int_eq(background_end(&writing), 10);
    read_on(&at, 10);
    close_pipe();
}
END_TEST

START_TEST(a_reader_that_is_gone_is_EPIPE_and_no_signal)
{
    if (!open_pipe())
        return;
    ck_assert_int_eq(await(rill_file_close(&reader)), 0);
    ck_assert_int_eq(await(rill_pipe_write_all(writer, &write_op, bytes, 10)), -EPIPE);
    ck_assert_uint_eq(write_op.written, 0);
    ck_assert(!is_pending(SIGPIPE));
    ck_assert(!is_blocked(SIGPIPE));
    close_pipe();
}
END_TEST

START_TEST(a_reader_that_goes_away_is_EPIPE_and_no_signal)
{
    if (!open_pipe())
        return;
    background_start(&writing, rill_pipe_write_all(writer, &write_op, bytes, sizeof bytes));
    settle();
    ck_assert_int_eq(await(rill_file_close(&reader)), 0);
    ck_assert_int_eq(background_end(&writing), -EPIPE);
    ck_assert_uint_eq(write_op.written, 65536);
    ck_assert(!is_pending(SIGPIPE));
    close_pipe();
}
END_TEST

START_TEST(a_signal_that_the_program_has_blocked_stays_its_own)
{
    sigset_t set;

    if (!open_pipe())
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGPIPE);
    ck_assert_int_eq(await(rill_file_close(&reader)), 0);
    ck_assert_int_eq(await(rill_pipe_write_all(writer, &write_op, bytes, 10)), -EPIPE);
    ck_assert(is_pending(SIGPIPE));
    ck_assert(is_blocked(SIGPIPE));
    signal(SIGPIPE, SIG_IGN);
    close_pipe();
}
END_TEST

START_TEST(a_program_that_has_blocked_the_signal_finds_none_pending_of_a_write)
{
    sigset_t set;

    if (!open_pipe())
        return;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    sigprocmask(SIG_BLOCK, &set, NULL);
    ck_assert_int_eq(await(rill_file_close(&reader)), 0);
    ck_assert_int_eq(await(rill_pipe_write_all(writer, &write_op, bytes, 10)), -EPIPE);
    ck_assert(!is_pending(SIGPIPE));
    ck_assert(is_blocked(SIGPIPE));
    close_pipe();
}
END_TEST

START_TEST(a_program_that_ignores_the_signal_has_none_pending)
{
    if (!open_pipe())
        return;
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(await(rill_file_close(&reader)), 0);
    ck_assert_int_eq(await(rill_pipe_write_all(writer, &write_op, bytes, 10)), -EPIPE);
    signal(SIGPIPE, SIG_DFL); /* and would end us if one were */
    ck_assert(!is_pending(SIGPIPE));
    close_pipe();
}
END_TEST

START_TEST(a_cancelled_write_tells_how_much_is_in_the_pipe)
{
    if (!open_pipe())
        return;
    for (int turns = 0; turns < 6; turns++) {
        size_t at = 0;

        background_start(&writing, rill_pipe_write_all(writer, &write_op, bytes, sizeof bytes));
        for (int i = 0; i < turns; i++)
            fixture_turn();
        rill_task_cancel(&writing.task);
        ck_assert_int_eq(background_end(&writing), -ECANCELED);
        ck_assert_uint_eq(write_op.written, turns == 0 ? 0 : 65536);
        read_on(&at, write_op.written);
    }
    close_pipe();
}
END_TEST

START_TEST(a_write_that_is_polled_for_no_reason_goes_on_waiting)
{
    size_t at = 0;

    if (!open_pipe())
        return;
    background_start(&writing, rill_pipe_write_all(writer, &write_op, bytes, 100000));
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&writing.task);
    }
    ck_assert(!rill_task_is_over(&writing.task));
    read_on(&at, 100000);
    ck_assert_int_eq(background_end(&writing), 100000);
    close_pipe();
}
END_TEST

START_TEST(a_descriptor_that_is_none_is_EBADF)
{
    if (!open_pipe())
        return;
    ck_assert_int_eq(await(rill_pipe_write_all(-1, &write_op, bytes, 10)), -EBADF);
    ck_assert_int_eq(await(rill_pipe_write_all(-1, &write_op, bytes, 0)), -EBADF);
    close_pipe();
}
END_TEST

/* Writes that are ready at once, for ever. */
static struct rill_pipe_write other_write;
static unsigned rounds;

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (rounds = 0; !rill_task_is_cancelled(task); rounds++)
        RILL_AWAIT(rill_pipe_write_all(writer, &other_write, bytes, 0));
    RILL_END();
}

START_TEST(writes_that_never_wait_let_others_run)
{
    static struct rill_task greedy;
    struct rill_join join;

    if (!open_pipe())
        return;
    rill_task_spawn(&greedy, greedy_poll);
    fixture_turn();
    ck_assert_uint_eq(rounds, RILL_TASK_BUDGET);
    rill_task_cancel(&greedy);
    ck_assert_int_eq(await(rill_task_join(&greedy, &join)), 0);
    close_pipe();
}
END_TEST

static void write_again(void)
{
    rill_pipe_write_all(writer, &write_op, bytes, 1);
}

START_TEST(a_write_that_is_used_while_it_is_pending_panics)
{
    if (!open_pipe())
        return;
    background_start(&writing, rill_pipe_write_all(writer, &write_op, bytes, sizeof bytes));
    settle();
    fixture_expect_panic(write_again, "a write to a pipe is used while it is pending");
    rill_task_cancel(&writing.task);
    ck_assert_int_eq(background_end(&writing), -ECANCELED);
    close_pipe();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {what_fits_is_written_at_once, IN_REAL},
        {what_does_not_fit_waits_for_the_reader, IN_REAL},
        {a_write_to_a_full_pipe_waits_for_the_reader_too, IN_REAL},
        {a_reader_that_is_gone_is_EPIPE_and_no_signal, IN_REAL},
        {a_reader_that_goes_away_is_EPIPE_and_no_signal, IN_REAL},
        {a_signal_that_the_program_has_blocked_stays_its_own, IN_REAL},
        {a_program_that_has_blocked_the_signal_finds_none_pending_of_a_write, IN_REAL},
        {a_program_that_ignores_the_signal_has_none_pending, IN_REAL},
        {a_cancelled_write_tells_how_much_is_in_the_pipe, IN_REAL},
        {a_write_that_is_polled_for_no_reason_goes_on_waiting, IN_REAL},
        {a_descriptor_that_is_none_is_EBADF, IN_REAL},
        {writes_that_never_wait_let_others_run, IN_REAL},
        {a_write_that_is_used_while_it_is_pending_panics, IN_REAL},
    };

    return fixture_main("pipe", cases, sizeof cases / sizeof *cases);
}
