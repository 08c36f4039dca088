/* SPDX-License-Identifier: Apache-2.0 */
/* test_program.c - what rill_main makes of signals, for futures that end and for one that
 * does not, and of a runtime's options. */
#include "io/program.h"
#include "runtime/sleep.h"
#include "tests/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
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

/* What a program may find when it begins. In the background of a script without job control
 * SIGINT is ignored; who has blocked a signal, and forgot to unblock it, leaves that behind. */
enum { INHERITS_NOTHING, INHERITS_SIGNALS, INHERITANCES };

static void inherit(int inheritance)
{
    sigset_t set;

    signal(SIGINT, inheritance == INHERITS_SIGNALS ? SIG_IGN : SIG_DFL);
    signal(SIGTERM, SIG_DFL); /* libcheck has handlers of its own */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (inheritance == INHERITS_SIGNALS)
        sigprocmask(SIG_BLOCK, &set, NULL);
}

static bool is_as_inherited(void)
{
    struct sigaction action;
    sigset_t set;

    sigaction(SIGINT, NULL, &action);
    sigprocmask(SIG_BLOCK, NULL, &set);
    return action.sa_handler == SIG_IGN && !sigismember(&set, SIGINT) && sigismember(&set, SIGTERM);
}

/* Starts the sleeper as a program of its own. Returns what it says: a descriptor. */
static int start(pid_t *pid, bool is_stubborn, int inheritance)
{
    int fds[2];

    ck_assert_int_eq(pipe(fds), 0);
    *pid = fork();
    if (*pid == 0) {
        int status;

        inherit(inheritance);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sleeper.is_stubborn = is_stubborn;
        sleeper.says = fds[1];
        status = rill_main(rill_future_init(&sleeper.future, sleeper_poll));
        if (inheritance == INHERITS_SIGNALS)
            say(is_as_inherited() ? "i" : "o");
        _exit(status);
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
    int status, fd, inheritance = _i / 2;
    pid_t pid;

    fd = start(&pid, false, inheritance);
    expect_said(fd, 'r');
    kill(pid, _i % 2 ? SIGINT : SIGTERM);
    expect_said(fd, 'c');
    if (inheritance == INHERITS_SIGNALS)
        expect_said(fd, 'i');
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}
END_TEST

START_TEST(a_second_signal_ends_a_program_whose_future_does_not_end)
{
    int status, fd, second = _i % 2 ? SIGINT : SIGTERM;
    pid_t pid;

    fd = start(&pid, true, _i / 2);
    expect_said(fd, 'r');
    kill(pid, SIGINT);
    expect_said(fd, 'c');
    do { /* some of them come too soon */
        kill(pid, second);
        poll(NULL, 0, 10);
    } while (waitpid(pid, &status, WNOHANG) == 0);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == second);
    close(fd);
}
END_TEST

/* As timeout(1) sends them, to the process and then to its group. */
START_TEST(two_signals_at_once_are_one)
{
    int status, fd;
    pid_t pid;

    fd = start(&pid, false, _i);
    expect_said(fd, 'r');
    kill(pid, SIGSTOP);
    ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGINT);
    kill(pid, SIGTERM);
    kill(pid, SIGCONT);
    expect_said(fd, 'c');
    if (_i == INHERITS_SIGNALS)
        expect_said(fd, 'i');
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}
END_TEST

/* Ends at once with a result, and looks at the runtime. */
struct glance {
    struct rill_future future;
    size_t buffer_size;
    bool was_polled;
};

static enum rill_poll glance_poll(struct rill_future *self, struct rill_task *task)
{
    struct glance *glance = rill_container_of(self, struct glance, future);

    RILL_BEGIN();
    glance->was_polled = true;
    glance->buffer_size = rill_container_of(rill_executor_here(), struct rill_runtime, executor)
                              ->reactor.buffers.size;
    RILL_END();
}

/* The descriptor that signals are read from is closed before they are waited for. */
static enum rill_poll saboteur_poll(struct rill_future *self, struct rill_task *task)
{
    struct sleeper *saboteur = rill_container_of(self, struct sleeper, future);

    RILL_BEGIN();
    for (int fd = 3; fd < 100; fd++) {
        char path[32], name[32] = "";

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, name, sizeof name - 1) > 0 && strstr(name, "[signalfd]"))
            close(fd);
    }
    RILL_AWAIT(rill_sleep(&saboteur->sleep, 3600 * RILL_SECOND));
    RILL_RETURN(saboteur->sleep.result);
    RILL_END();
}

START_TEST(a_program_that_can_no_longer_wait_for_signals_fails)
{
    ck_assert_int_eq(rill_main(rill_future_init(&sleeper.future, saboteur_poll)), 1);
    ck_assert_int_eq(sleeper.sleep.result, -ECANCELED);
}
END_TEST

START_TEST(a_program_has_a_runtime_of_the_options_that_it_names)
{
    struct rill_runtime_options options = {.buffer_size = 1024};
    struct glance glance = {0};

    ck_assert_int_eq(rill_main_with(&options, rill_future_init(&glance.future, glance_poll)), 0);
    ck_assert_uint_eq(glance.buffer_size, 1024);
    ck_assert_int_eq(rill_main_with(NULL, rill_future_init(&glance.future, glance_poll)), 0);
    ck_assert_uint_gt(glance.buffer_size, 1024);
}
END_TEST

START_TEST(a_program_with_options_that_can_not_be_fails_before_its_future_begins)
{
    struct rill_runtime_options options = {.buffer_count = 3};
    struct glance glance = {0};

    ck_assert_int_eq(rill_main_with(&options, rill_future_init(&glance.future, glance_poll)), 1);
    ck_assert(!glance.was_polled);
}
END_TEST

START_TEST(a_program_that_no_signal_ends_leaves_them_as_they_were)
{
    struct glance glance = {0};

    inherit(INHERITS_SIGNALS);
    ck_assert_int_eq(rill_main(rill_future_init(&glance.future, glance_poll)), 0);
    ck_assert(is_as_inherited());
}
END_TEST

/* Ends with a result after a while, and leaves a task behind. */
static struct leaver {
    struct rill_future future;
    struct rill_sleep sleep;
    struct rill_task task;
    int64_t result;
    int signal; /* which comes in the last moment */
    bool has_task, has_left_none;
} leaver;

static enum rill_poll left_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&sleeper.sleep, 20 * RILL_MILLISECOND));
    leaver.has_left_none = sleeper.sleep.result == 0;
    RILL_END();
}

static enum rill_poll leaver_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    if (leaver.has_task)
        rill_task_spawn(&leaver.task, left_poll);
    RILL_AWAIT(rill_sleep(&leaver.sleep, RILL_MILLISECOND));
    if (leaver.signal)
        raise(leaver.signal);
    RILL_RETURN(leaver.result);
    RILL_END();
}

static int run_leaver(void)
{
    inherit(INHERITS_NOTHING);
    return rill_main(rill_future_init(&leaver.future, leaver_poll));
}

/* Says on the pipe what its first three descriptors are: n the null device, x something else. */
static enum rill_poll streams_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    (void)task;
    for (int fd = 0; fd < 3; fd++) {
        struct stat status;

        say(fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3)
                ? "n"
                : "x");
    }
    return RILL_READY;
}

/* The next to be opened, the ring or a connection, would get what is printed. */
START_TEST(a_standard_stream_that_is_closed_is_the_null_device)
{
    int closed = _i, fds[2], status;
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        struct rill_future future = {0};

        sleeper.says = fcntl(fds[1], F_DUPFD, 100);
        close_range(3, 99, 0);
        for (int fd = 0; fd < 3; fd++)
            if (closed & 1 << fd)
                close(fd);
        _exit(rill_main(rill_future_init(&future, streams_poll)));
    }
    close(fds[1]);
    for (int fd = 0; fd < 3; fd++) {
        char letter = 0;

        ck_assert_int_eq(read(fds[0], &letter, 1), 1);
        if (closed & 1 << fd)
            ck_assert_int_eq(letter, 'n');
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fds[0]);
}
END_TEST

START_TEST(a_program_whose_future_fails_fails)
{
    leaver.result = 7;
    ck_assert_int_eq(run_leaver(), 0);
    leaver.result = -EIO;
    ck_assert_int_eq(run_leaver(), 1);
}
END_TEST

START_TEST(tasks_that_are_left_end_by_themselves_when_the_future_has_ended)
{
    leaver.has_task = true;
    ck_assert_int_eq(run_leaver(), 0);
    ck_assert(leaver.has_left_none);
}
END_TEST

START_TEST(a_signal_that_comes_as_the_future_ends_does_not_end_the_process)
{
    leaver.has_task = true;
    leaver.signal = SIGTERM;
    ck_assert_int_eq(run_leaver(), 0);
    ck_assert(leaver.has_left_none);
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {a_signal_cancels_the_future_and_is_no_error, 2 * INHERITANCES},
        {a_second_signal_ends_a_program_whose_future_does_not_end, 2 * INHERITANCES},
        {two_signals_at_once_are_one, INHERITANCES},
        {a_program_that_no_signal_ends_leaves_them_as_they_were, 1},
        {a_standard_stream_that_is_closed_is_the_null_device, 8},
        {a_program_whose_future_fails_fails, 1},
        {tasks_that_are_left_end_by_themselves_when_the_future_has_ended, 1},
        {a_signal_that_comes_as_the_future_ends_does_not_end_the_process, 1},
        {a_program_that_can_no_longer_wait_for_signals_fails, 1},
        {a_program_has_a_runtime_of_the_options_that_it_names, 1},
        {a_program_with_options_that_can_not_be_fails_before_its_future_begins, 1},
    };

    return programs_main("program", tests, sizeof tests / sizeof tests[0]);
}
