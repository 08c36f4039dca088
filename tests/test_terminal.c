/* SPDX-License-Identifier: Apache-2.0 */
/* test_terminal.c - a terminal is read and written by tasks, and keeps nobody else waiting. */
#include "io/file.h"

#include "runtime/timeout.h"
#include "tests/fixture.h"
#include "tests/limit.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
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
                                     rill_task_join(&reading.task, &reading.join))),
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

/* ---- job control: a shell, its terminal, and a program that the shell has started ---- */

/* What a program is, whose exit status says whether it has read a key, or why not. */
enum job {
    PLAIN,       /* started by the shell */
    IN_A_SCRIPT, /* by one of its group, which waits for it */
    ORPHANED,    /* by one of its group, which is gone */
    IGNORING,    /* it ignores SIGTTIN */
    BLOCKING,    /* it blocks SIGTTIN */
};

static int orphan_says[2]; /* a pipe for the result: its parent is not told */

static void read_a_key(enum job job)
{
    sigset_t blocked;
    int64_t result;
    char key;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTTIN);
    if (job == IGNORING)
        expect(signal(SIGTTIN, SIG_IGN) != SIG_ERR);
    if (job == BLOCKING)
        expect(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0);
    expect(fixture_open(REAL, NULL, NULL));
    rill_file_adopt(&slave, dup(STDIN_FILENO));
    result = await(rill_file_read(&slave, &op, &key, 1));
    expect_eq(await(rill_file_close(&slave)), 0);
    fixture_close();
    if (job == ORPHANED)
        expect(write(orphan_says[1], &result, sizeof result) == sizeof result);
    _exit(result == 1 ? 0 : (int)-result);
}

/* Leaves the program with a parent that is of no use to it. */
static void outlive_the_parent(void)
{
    pid_t parent = getpid(), program = fork();

    expect(program >= 0);
    if (program > 0)
        _exit(0);
    while (getppid() == parent)
        sched_yield();
}

static pid_t start_job(enum job job)
{
    pid_t leader = fork(), program;
    int status;

    expect(leader >= 0);
    if (leader > 0) {
        setpgid(leader, leader); /* either may be the first */
        return leader;
    }
    setpgid(0, 0);
    if (job == ORPHANED)
        outlive_the_parent();
    program = job == IN_A_SCRIPT ? fork() : 0;
    expect(program >= 0);
    if (program == 0)
        read_a_key(job);
    while (waitpid(program, &status, 0) < 0)
        ;
    _exit(WEXITSTATUS(status));
}

/* Waits until the job is stopped by SIGTTIN (-SIGTTIN) or over (its exit status). */
static int job_status(pid_t leader)
{
    int status;

    expect(waitpid(leader, &status, WUNTRACED) == leader);
    return WIFSTOPPED(status) ? -WSTOPSIG(status) : WEXITSTATUS(status);
}

static void bring_to_the_foreground(pid_t group)
{
    expect(tcsetpgrp(STDIN_FILENO, group) == 0);
    expect(kill(-group, SIGCONT) == 0);
}

/* Runs body in a session of its own, with the terminal for its standard input, on which a
 * key was typed. */
static void be_a_shell(void (*body)(void))
{
    int status;
    pid_t shell;

    master = posix_openpt(O_RDWR | O_NOCTTY);
    expect(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    shell = fork();
    if (shell == 0) {
        alarm(CASE_LIMIT_S);
        expect(setsid() > 0);
        slave.fd = open(ptsname(master), O_RDWR);
        expect(slave.fd >= 0 && dup2(slave.fd, STDIN_FILENO) == STDIN_FILENO);
        expect(ioctl(STDIN_FILENO, TIOCSCTTY, 0) == 0);
        expect(signal(SIGTTOU, SIG_IGN) != SIG_ERR); /* it moves others to the foreground */
        expect(write(master, "k\n", 2) == 2);
        body();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(shell, &status, 0), shell);
    ck_assert_int_eq(status, 0);
    close(master);
}

static void stop_and_continue(enum job job)
{
    pid_t leader = start_job(job);

    expect_eq(job_status(leader), -SIGTTIN);
    expect(kill(-leader, SIGCONT) == 0); /* as by bg: it is where it was */
    expect_eq(job_status(leader), -SIGTTIN);
    bring_to_the_foreground(leader);
    expect_eq(job_status(leader), 0);
}

static void plain_job(void)
{
    stop_and_continue(PLAIN);
}

static void job_in_a_script(void)
{
    stop_and_continue(IN_A_SCRIPT);
}

static void jobs_that_cannot_be_stopped(void)
{
    int64_t result = 0;

    expect_eq(job_status(start_job(IGNORING)), EIO);
    expect_eq(job_status(start_job(BLOCKING)), EIO);
    expect(pipe(orphan_says) == 0);
    expect_eq(job_status(start_job(ORPHANED)), 0);
    expect(read(orphan_says[0], &result, sizeof result) == sizeof result);
    expect_eq(result, -EIO);
}

START_TEST(a_read_in_the_background_stops_the_program_until_it_is_in_the_foreground)
{
    if (getenv("TEST_UNDER_VALGRIND")) {
        printf("skipped: no signal but SIGSTOP stops a program that valgrind runs\n");
        return;
    }
    if (!fixture_open(_i, NULL, NULL)) /* it may not be there */
        return;
    fixture_close();
    be_a_shell(plain_job);
    be_a_shell(job_in_a_script);
}
END_TEST

START_TEST(a_read_in_the_background_that_may_not_stop_the_program_is_EIO)
{
    if (!fixture_open(_i, NULL, NULL))
        return;
    fixture_close();
    be_a_shell(jobs_that_cannot_be_stopped);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_terminal_that_takes_no_more_stops_the_task_and_no_others, IN_REAL},
        {a_read_that_is_cancelled_at_any_moment_ends_although_nobody_types, IN_REAL},
        {a_terminal_is_read_and_written_as_it_comes_whatever_the_offset, IN_REAL},
        {a_read_in_the_background_stops_the_program_until_it_is_in_the_foreground, IN_REAL},
        {a_read_in_the_background_that_may_not_stop_the_program_is_EIO, IN_REAL},
    };

    return fixture_main("terminal", cases, sizeof cases / sizeof *cases);
}
