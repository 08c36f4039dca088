/* SPDX-License-Identifier: Apache-2.0 */
/* test_terminal.c - a terminal is read and written by tasks, and keeps nobody else waiting. */
#include "io/file.h"

#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static struct rill_file slave;
static struct rill_op op;
static int master;

/* Both ends of a terminal that takes any byte: the side of programs is adopted. */
static void open_terminal(void)
{
    struct termios raw;
    int fd;

    master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(master, 0);
    ck_assert_int_eq(grantpt(master) | unlockpt(master), 0);
    fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(tcgetattr(fd, &raw), 0);
    cfmakeraw(&raw);
    ck_assert_int_eq(tcsetattr(fd, TCSANOW, &raw), 0);
    rill_file_adopt(&slave, fd);
}

static void close_terminal(void)
{
    ck_assert_int_eq(await(rill_file_close(&slave)), 0);
    close(master);
}

/* One that is stopped (^S), or that nobody reads. */
START_TEST(a_terminal_that_takes_no_more_stops_the_task_and_no_others)
{
    enum { SIZE = 1 << 18 };
    static struct background writing;
    static char text[SIZE], piece[4096];
    struct rill_sleep pause;
    ssize_t got;

    if (!fixture_open(_i, NULL, NULL))
        return;
    for (int is_cancelled = 0; is_cancelled < 2; is_cancelled++) {
        size_t read_bytes = 0;

        open_terminal();
        background_start(&writing, rill_file_write_all(&slave, &op, text, SIZE));
        ck_assert_int_eq(await(rill_sleep(&pause, RILL_MILLISECOND)), 0);
        ck_assert(!rill_task_is_over(&writing.task));
        if (is_cancelled) {
            rill_task_cancel(&writing.task);
            ck_assert_int_eq(background_end(&writing), -ECANCELED);
            ck_assert_uint_lt(op.transferred, SIZE);
        } else {
            while (read_bytes < SIZE && (got = read(master, piece, sizeof piece)) > 0)
                read_bytes += (size_t)got;
            ck_assert_uint_eq(read_bytes, SIZE);
            ck_assert_int_eq(background_end(&writing), SIZE);
        }
        close_terminal();
    }
    fixture_close();
}
END_TEST

/* The kernel's thread may be anywhere between taking the read over and waiting for a key. */
START_TEST(a_read_that_is_cancelled_at_any_moment_ends_although_nobody_types)
{
    enum { READS = 100000, LATEST_NS = 20000 };
    const int64_t end = fixture_real_now() + 2 * RILL_SECOND;
    static struct background reading;
    static char key;

    if (!fixture_open(_i, NULL, NULL))
        return;
    open_terminal();
    for (int i = 0; i < READS && fixture_real_now() < end; i++) {
        int64_t moment = (int64_t)i * 7919 % LATEST_NS;
        struct rill_timeout limit;

        background_start(&reading, rill_file_read(&slave, &op, &key, 1));
        fixture_turn();
        for (moment += fixture_real_now(); fixture_real_now() < moment;)
            ;
        rill_task_cancel(&reading.task);
        expect_eq(await(rill_timeout(&limit, 20 * RILL_SECOND,
                                     rill_task_join(&reading.join, &reading.task))),
                  -ECANCELED);
    }
    /* Nobody reads any more, so a key is there for the next one. */
    ck_assert_int_eq(write(master, "k", 1), 1);
    ck_assert_int_eq(await(rill_file_read(&slave, &op, &key, 1)), 1);
    ck_assert_int_eq(key, 'k');
    close_terminal();
    fixture_close();
}
END_TEST

START_TEST(a_terminal_is_read_and_written_as_it_comes_whatever_the_offset)
{
    static char text[10];

    if (!fixture_open(_i, NULL, NULL))
        return;
    open_terminal();
    ck_assert_int_eq(await(rill_file_write_at(&slave, &op, "abc", 3, 7)), 3);
    ck_assert_int_eq(read(master, text, sizeof text), 3);
    ck_assert_int_eq(write(master, "abcd", 4), 4);
    ck_assert_int_eq(await(rill_file_read_at(&slave, &op, text, sizeof text, 7)), 4);
    close_terminal();
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_terminal_that_takes_no_more_stops_the_task_and_no_others, IN_REAL},
        {a_read_that_is_cancelled_at_any_moment_ends_although_nobody_types, IN_REAL},
        {a_terminal_is_read_and_written_as_it_comes_whatever_the_offset, IN_REAL},
    };

    return fixture_main("terminal", cases, sizeof cases / sizeof *cases);
}
