/* SPDX-License-Identifier: Apache-2.0 */
/* test_programs_interrupted.c - whoever presses Ctrl-C while an example runs sees it end well,
 * whatever it was about to do. The moments are those at which it enters the kernel for its
 * operations: it is stopped there (ptrace(2)), so that each is met, and the same ones each time. */
#include "tests/programs.h"

#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/ptrace.h> /* behind sys/ptrace.h, whose names it has too */

enum {
    MOMENTS_MIN = 2, /* of each example, and more of one that comes to them soon */
    BUDGET_MS = 50,
    /* Less than the time of grace, which a task that nobody cancels would use up. A machine
     * that is held up may take as long, but not each time. */
    END_LIMIT_MS = 4000,
    ATTEMPTS_MAX = 3,
    HANG_LIMIT_MS = 60000,
#ifdef __SANITIZE_ADDRESS__
    STEP = 4, /* between the examples that are run: it takes them long to begin */
#else
    STEP = 1,
#endif
};

/* Waits until the program stops. Returns false if it has ended, which is left to process_wait. */
static bool wait_for_stop(pid_t pid, int *status)
{
    siginfo_t info;

    ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT), 0);
    if (info.si_code != CLD_TRAPPED && info.si_code != CLD_STOPPED)
        return false;
    ck_assert_int_eq(waitpid(pid, status, 0), pid);
    return true;
}

/* It has stopped: because it enters the kernel for this call? */
static bool is_about_to(pid_t pid, long number)
{
    struct __ptrace_syscall_info info = {0}; /* valgrind does not know that it is written to */

    ck_assert_int_gt(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info), 0);
    return info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == (uint64_t)number;
}

/* Starts a program and lets it run until it enters the kernel for its operations for the
 * given time, counted from 0. Returns false if it has ended before. */
static bool run_up_to(struct process *program, const char *path, int moment)
{
    const struct process_limits limits = {.is_traced = true};
    int status, passed_on = 0;

    process_start(program, &limits, (const char *const[]){path, NULL});
    ck_assert(wait_for_stop(program->pid, &status));
    ck_assert_int_eq(
        ptrace(PTRACE_SETOPTIONS, program->pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
        0);
    for (;;) {
        ck_assert_int_eq(ptrace(PTRACE_SYSCALL, program->pid, NULL, passed_on), 0);
        if (!wait_for_stop(program->pid, &status))
            return false;
        passed_on = 0;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80))
            passed_on = WSTOPSIG(status); /* a signal of its own */
        else if (is_about_to(program->pid, __NR_io_uring_enter) && moment-- == 0)
            return true;
    }
}

/* How many temporary files and directories there are of an example. */
static size_t leftovers(const char *path)
{
    char pattern[PATH_MAX];
    glob_t found;
    size_t count;

    snprintf(pattern, sizeof pattern, "/tmp/rill-%s-*", strrchr(path, '/') + 1);
    count = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return count;
}

/* Where somebody else runs the same example, what is that one's goes soon. */
static void expect_leftovers(const char *path, int moment, size_t count)
{
    int64_t deadline_ms = now_ms() + END_LIMIT_MS;

    while (leftovers(path) > count && now_ms() < deadline_ms)
        sleep_ms(5);
    ck_assert_msg(leftovers(path) <= count, "%s, moment %d: something is left in /tmp", path,
                  moment);
}

/* Returns whether it took no longer than it should. */
static bool ends_well(struct process *program, const char *path, int moment, int number)
{
    int64_t begun_ms = now_ms();
    int status = process_wait_within(program, HANG_LIMIT_MS);

    /* Those that have a runtime of their own and no plans for signals die of them. */
    ck_assert_msg(status == 0 || status == -number, "%s, moment %d: status %d: %s", path, moment,
                  status, program->err.text);
    ck_assert_str_eq(program->err.text, "");
    return now_ms() - begun_ms < END_LIMIT_MS;
}

/* Returns false if the example is over before that moment. */
static bool interrupt(const char *path, int moment)
{
    int number = moment % 2 ? SIGINT : SIGTERM;
    size_t before = leftovers(path);

    for (int i = 0; i < ATTEMPTS_MAX; i++) {
        struct process program;
        bool is_in_time;

        if (!run_up_to(&program, path, moment)) {
            process_wait(&program);
            return false;
        }
        process_signal(&program, number);
        ck_assert_int_eq(ptrace(PTRACE_DETACH, program.pid, NULL, 0), 0);
        is_in_time = ends_well(&program, path, moment, number);
        expect_leftovers(path, moment, before);
        if (is_in_time)
            return true;
    }
    ck_abort_msg("%s, moment %d: it takes more than %d ms to end", path, moment, END_LIMIT_MS);
}

/* Those that end by themselves; the others are servers, and end in tests of their own. */
static const char *const patterns[] = {"examples/guide/*", "examples/hello",
                                       "examples/rdma_ping_pong", "examples/rdma_tags"};
static glob_t examples;

START_TEST(an_example_that_is_interrupted_ends_well)
{
    const char *path = strstr(examples.gl_pathv[_i * STEP], "examples/");
    int64_t begun_ms = now_ms();
    int moment = 0;

    while (interrupt(path, moment++) && (moment < MOMENTS_MIN || now_ms() < begun_ms + BUDGET_MS))
        ;
}
END_TEST

/* What comes late in it would be met too seldom: a loop that takes every error for a loss, and goes
 * on where a wait is ready at once, never ends. */
START_TEST(an_example_that_waits_for_a_restart_ends_well_at_every_moment)
{
    int moment = 0;

    while (interrupt("examples/guide/rdma_restart", moment))
        moment += STEP;
    ck_assert_int_gt(moment, 0);
}
END_TEST

/* Whether it is among the examples: some need a library that may not be there. */
static bool is_there(const char *path)
{
    for (size_t i = 0; i < examples.gl_pathc; i++)
        if (strstr(examples.gl_pathv[i], path))
            return true;
    return false;
}

/* In the build of which this program is, as build/tests/test_programs_interrupted. */
static void find_examples(const char *self)
{
    int length = (int)(strrchr(self, '/') - self);
    char pattern[PATH_MAX];

    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        snprintf(pattern, sizeof pattern, "%.*s/../%s", length, self, patterns[i]);
        glob(pattern, i ? GLOB_APPEND : 0, NULL, &examples);
    }
}

int main(int argc, char **argv)
{
    struct program_test tests[] = {
        {an_example_that_is_interrupted_ends_well, 0},
        {an_example_that_waits_for_a_restart_ends_well_at_every_moment, 1},
    };

    (void)argc;
    find_examples(argv[0]);
    tests[0].times = (int)(examples.gl_pathc / STEP);
    return programs_main("programs_interrupted", tests,
                         sizeof tests / sizeof tests[0] - !is_there("examples/guide/rdma_restart"));
}
