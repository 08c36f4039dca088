/* SPDX-License-Identifier: Apache-2.0 */
/* test_program.c - what rill_main makes of signals, for futures that end and for one that
 * does not. */
#include "io/program.h"
#include "runtime/sleep.h"
#include "tests/programs.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sleeps for ever. Says on the pipe when it runs, and when it is cancelled. */
static struct sleeper {
    struct rill_future future;
    struct rill_sleep sleep;
    bool is_stubborn; /* it goes on though it is cancelled */
    bool was_cancelled;
    int says;
} sleeper;

static void say(const char *letter)
{
    ck_assert_int_eq(write(sleeper.says, letter, 1), 1);
}

static enum rill_poll sleeper_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    say("r");
    for (;;) {
        RILL_AWAIT(rill_sleep(&sleeper.sleep, 3600 * RILL_SECOND));
        if (!sleeper.was_cancelled)
            say("c");
        sleeper.was_cancelled = true;
        if (!sleeper.is_stubborn)
            RILL_RETURN(sleeper.sleep.result);
    }
    RILL_END();
}

/* Starts the sleeper as a program of its own. Returns what it says: a descriptor. */
static int start(pid_t *pid, bool is_stubborn)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    *pid = fork();
    if (*pid == 0) {
        signal(SIGINT, SIG_DFL); /* libcheck has handlers of its own */
        signal(SIGTERM, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sleeper.is_stubborn = is_stubborn;
        sleeper.says = fds[1];
        _exit(rill_main(rill_future_init(&sleeper.future, sleeper_poll)));
    }
    ck_assert_int_gt(*pid, 0);
    close(fds[1]);
    return fds[0];
}

static void expect_said(int fd, char letter)
{
    char said = 0;

    ck_assert_int_eq(read(fd, &said, 1), 1);
    ck_assert_int_eq(said, letter);
}

START_TEST(a_signal_cancels_the_future_and_is_no_error)
{
    int status, fd;
    pid_t pid;

    fd = start(&pid, false);
    expect_said(fd, 'r');
    kill(pid, _i ? SIGINT : SIGTERM);
    expect_said(fd, 'c');
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}
END_TEST

START_TEST(a_second_signal_ends_a_program_whose_future_does_not_end)
{
    int status, fd;
    pid_t pid;

    fd = start(&pid, true);
    expect_said(fd, 'r');
    kill(pid, SIGINT);
    expect_said(fd, 'c');
    kill(pid, _i ? SIGINT : SIGTERM);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == (_i ? SIGINT : SIGTERM));
    close(fd);
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {a_signal_cancels_the_future_and_is_no_error, 2},
        {a_second_signal_ends_a_program_whose_future_does_not_end, 2},
    };

    return programs_main("program", tests, sizeof tests / sizeof tests[0]);
}
