/* SPDX-License-Identifier: Apache-2.0 */
/* test_process_run.c - a command's output is whole, or there is neither output nor command. */
#include "io/process_run.h"

#include "tests/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LARGE = 3 * 1000 * 1000 };

static struct rill_process_run run;
static struct rill_timeout timeout;
static struct background running;
static char bytes[LARGE];

#define COMMAND(...) (&(struct rill_process_options){.argv = ARGUMENTS(__VA_ARGS__)})
#define SCRIPT(script) (&(struct rill_process_options){.argv = SHELL(script)})

static bool open_world(void)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    pattern_fill(bytes, 0, sizeof bytes);
    return true;
}

static void close_world(void)
{
    rill_process_run_finish(&run);
    expect_no_children();
    fixture_close();
}

static int64_t run_it(const struct rill_process_options *options, const char *input, size_t limit)
{
    rill_process_run_finish(&run);
    return await(rill_process_run(&run, options, input, input ? strlen(input) : 0, limit));
}

/* What it had printed before it was ended is there. */
static void expect_ended(const char *out, const char *err)
{
    ck_assert_str_eq(run.out.data ? run.out.data : "", out);
    ck_assert_int_eq(run.out.result, (int64_t)strlen(out));
    ck_assert_str_eq(run.err.data ? run.err.data : "", err);
    ck_assert_int_eq(run.err.result, (int64_t)strlen(err));
    expect(!run.process.is_running);
    rill_process_run_finish(&run);
}

START_TEST(what_it_prints_is_there_with_its_status)
{
    if (!open_world())
        return;
    ck_assert_int_eq(run_it(SCRIPT("echo out; echo err >&2; exit 3"), NULL, 100), W_EXITCODE(3, 0));
    ck_assert_str_eq(run.out.data, "out\n");
    ck_assert_int_eq(run.out.result, 4);
    ck_assert_str_eq(run.err.data, "err\n");
    ck_assert_int_eq(run_it(SCRIPT("kill -KILL $$"), NULL, 100), SIGKILL);
    ck_assert_str_eq(run.out.data, "");
    close_world();
}
END_TEST

START_TEST(its_input_is_what_it_is_given)
{
    struct rill_process_options from_pipe = {.argv = ARGUMENTS("cat"), .in = RILL_PROCESS_FD};
    int ends[2];

    if (!open_world())
        return;
    ck_assert_int_eq(run_it(COMMAND("sort"), "b\na\n", 100), 0);
    ck_assert_str_eq(run.out.data, "a\nb\n");
    ck_assert_int_eq(run_it(COMMAND("cat"), "", 100), 0);
    ck_assert_str_eq(run.out.data, "");
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO); /* which is not for it */
    ck_assert_int_eq(run_it(SCRIPT("readlink /proc/$$/fd/0"), NULL, 100), 0);
    ck_assert_str_eq(run.out.data, "/dev/null\n");
    ck_assert_int_eq(write(ends[1], "piped", 5), 5);
    close(ends[1]);
    from_pipe.in_fd = ends[0];
    ck_assert_int_eq(run_it(&from_pipe, NULL, 100), 0);
    ck_assert_str_eq(run.out.data, "piped");
    ck_assert_int_eq(run_it(&from_pipe, "given", 100), 0); /* input goes before */
    ck_assert_str_eq(run.out.data, "given");
    close(ends[0]);
    close_world();
}
END_TEST

START_TEST(much_goes_in_and_out_at_the_same_time)
{
    if (!open_world())
        return;
    ck_assert_int_eq(await(rill_process_run(&run, SCRIPT("tee /dev/stderr"), bytes, LARGE, LARGE)),
                     0);
    ck_assert_int_eq(run.out.result, LARGE);
    ck_assert(pattern_is(run.out.data, 0, LARGE));
    ck_assert_int_eq(run.err.result, LARGE);
    ck_assert(pattern_is(run.err.data, 0, LARGE));
    close_world();
}
END_TEST

START_TEST(a_command_that_does_not_read_its_input_has_not_failed)
{
    if (!open_world())
        return;
    ck_assert_int_eq(await(rill_process_run(&run, SCRIPT("echo done"), bytes, LARGE, 100)), 0);
    ck_assert_str_eq(run.out.data, "done\n");
    rill_process_run_finish(&run);
    ck_assert_int_eq(await(rill_process_run(&run, COMMAND("head", "-c", "10"), bytes, LARGE, 10)),
                     0);
    ck_assert(pattern_is(run.out.data, 0, 10));
    close_world();
}
END_TEST

START_TEST(more_than_the_limit_is_EFBIG_and_the_end_of_the_command)
{
    if (!open_world())
        return;
    ck_assert_int_eq(run_it(SCRIPT("printf 1234567890"), NULL, 10), 0);
    ck_assert_str_eq(run.out.data, "1234567890");
    ck_assert_int_eq(run_it(SCRIPT("printf 1234567890; exec cat /dev/zero"), NULL, 10), -EFBIG);
    expect_ended("1234567890", "");
    ck_assert_int_eq(run_it(SCRIPT("exec >&-; printf 12345678901 >&2"), NULL, 10), -EFBIG);
    expect_ended("", "1234567890");
    ck_assert_int_eq(run_it(SCRIPT("exec yes"), NULL, 0), -EFBIG);
    expect_ended("", "");
    close_world();
}
END_TEST

START_TEST(streams_can_go_elsewhere)
{
    struct rill_process_options options = *SCRIPT("echo out; echo err >&2");
    char text[10] = "";
    int ends[2];

    if (!open_world())
        return;
    ck_assert_int_eq(run_it(SCRIPT("echo before; echo before >&2"), NULL, 100), 0);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    options.out = RILL_PROCESS_FD;
    options.out_fd = ends[1];
    options.err = RILL_PROCESS_NULL;
    ck_assert_int_eq(run_it(&options, NULL, 100), 0);
    ck_assert(!run.out.data && !run.err.data);
    ck_assert_int_eq(run.out.result, 0);
    ck_assert_int_eq(run.err.result, 0);
    ck_assert_int_eq(read(ends[0], text, sizeof text), 4);
    ck_assert_str_eq(text, "out\n");
    options.out = RILL_PROCESS_PIPE;
    options.err = RILL_PROCESS_LIKE_OUT;
    ck_assert_int_eq(run_it(&options, NULL, 100), 0);
    ck_assert_str_eq(run.out.data, "out\nerr\n");
    close(ends[0]);
    close(ends[1]);
    close_world();
}
END_TEST

START_TEST(what_can_not_be_started_says_why)
{
    if (!open_world())
        return;
    ck_assert_int_eq(run_it(COMMAND("no-such-program"), "input", 100), -ENOENT);
    expect_ended("", "");
    ck_assert_int_eq(run_it(COMMAND("true"), NULL, 100), 0);
    close_world();
}
END_TEST

START_TEST(a_command_that_never_ends_is_killed_when_its_time_is_over)
{
    static const char *const endless[] = {
        "exec cat /dev/zero >/dev/null",                             /* silent */
        "while :; do :; done",                                       /* busy */
        "trap '' TERM INT HUP; while :; do kill -STOP $$; done",     /* stubborn, and stopped */
        "exec >&-; exec cat /dev/zero >/dev/null",                   /* without its pipe */
        "cat /dev/zero 3>&1 >/dev/null & exit 0",                    /* only its child does not */
        "cat /dev/zero >/dev/null & cat /dev/zero >/dev/null; echo", /* both */
    };

    if (!open_world())
        return;
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        struct rill_process_options options = *SCRIPT(endless[i]);
        int ends[2];
        char byte;

        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        options.err = RILL_PROCESS_FD;
        options.err_fd = ends[1];
        ck_assert_int_eq(await(rill_timeout(&timeout, 20 * RILL_MILLISECOND,
                                            rill_process_run(&run, &options, NULL, 0, LARGE))),
                         -ETIMEDOUT);
        expect_ended("", "");
        close(ends[1]);
        ck_assert_int_eq(read(ends[0], &byte, 1), 0); /* nobody is left who could write */
        close(ends[0]);
    }
    close_world();
}
END_TEST

START_TEST(what_runs_on_in_the_background_is_waited_for_while_it_holds_a_pipe)
{
    char directory[] = "/tmp/rill-run-XXXXXX", gate[50], script[200];
    int fd;

    if (!open_world())
        return;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(gate, sizeof gate, "%s/gate", directory);
    snprintf(script, sizeof script, "mkfifo %s; (read line < %s; echo late) & exit 5", gate, gate);
    background_start(&running, rill_process_run(&run, SCRIPT(script), NULL, 0, 100));
    do {
        settle();
        fd = open(gate, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    } while (fd < 0);
    settle();
    ck_assert(!rill_task_is_over(&running.task));
    ck_assert_int_eq(write(fd, "\n", 1), 1);
    close(fd);
    ck_assert_int_eq(background_end(&running), W_EXITCODE(5, 0));
    ck_assert_str_eq(run.out.data, "late\n");
    unlink(gate);
    rmdir(directory);
    close_world();
}
END_TEST

/* Why it hangs is often the last that it has said. */
START_TEST(what_a_run_has_printed_is_there_though_it_was_cancelled)
{
    if (!open_world())
        return;
    background_start(&running, rill_process_run(&run,
                                                SCRIPT("echo waiting; echo for what >&2; exec cat "
                                                       "/dev/zero >/dev/null"),
                                                NULL, 0, 100));
    while (run.out.size < 8 || run.err.size < 9)
        settle();
    rill_task_cancel(&running.task);
    ck_assert_int_eq(background_end(&running), -ECANCELED);
    expect_ended("waiting\n", "for what\n");
    close_world();
}
END_TEST

START_TEST(a_run_that_is_cancelled_before_it_begins_starts_nothing)
{
    if (!open_world())
        return;
    background_start(&running, rill_process_run(&run, COMMAND("no-such-program"), NULL, 0, 100));
    rill_task_cancel(&running.task);
    ck_assert_int_eq(background_end(&running), -ECANCELED);
    ck_assert_int_eq(run.process.pid, 0);
    close_world();
}
END_TEST

static const struct rill_process_options nothing = {.argv = ARGUMENTS("no-such-program")};
static struct rill_process_run greedy_run;
static unsigned rounds;

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (rounds = 0; !rill_task_is_cancelled(task); rounds++)
        RILL_AWAIT(rill_process_run(&greedy_run, &nothing, NULL, 0, 0));
    RILL_END();
}

START_TEST(runs_that_fail_at_once_let_others_run)
{
    static struct rill_task greedy;
    struct rill_join join;

    if (!open_world())
        return;
    rill_task_spawn(&greedy, greedy_poll);
    fixture_turn();
    ck_assert_uint_eq(rounds, RILL_TASK_BUDGET);
    rill_task_cancel(&greedy);
    ck_assert_int_eq(await(rill_task_join(&greedy, &join)), 0);
    close_world();
}
END_TEST

START_TEST(without_memory_it_is_ENOMEM_and_the_end_of_the_command)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which take terabytes */
    struct rlimit limit, usual;
    char pages[100] = "";
    FILE *file;

    if (!open_world())
        return;
    file = fopen("/proc/self/statm", "re");
    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(pages, sizeof pages, file));
    fclose(file);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &usual), 0);
    limit = usual;
    limit.rlim_cur = strtoul(pages, NULL, 10) * (rlim_t)sysconf(_SC_PAGESIZE) + (16 << 20);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    ck_assert_int_eq(await(rill_process_run(&run, COMMAND("cat", "/dev/zero"), NULL, 0, SIZE_MAX)),
                     -ENOMEM);
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &usual), 0);
    ck_assert_int_gt(run.out.result, 0);
    ck_assert_int_eq(run.out.data[run.out.result], 0);
    close_world();
#endif
}
END_TEST

static void run_again(void)
{
    rill_process_run(&run, COMMAND("true"), NULL, 0, 0);
}

START_TEST(bad_use_panics)
{
    if (!open_world())
        return;
    ck_assert_int_eq(run_it(SCRIPT("echo"), NULL, 100), 0);
    fixture_expect_panic(run_again, "used again before it was finished");
    rill_process_run_finish(&run);
    background_start(&running,
                     rill_process_run(&run, COMMAND("tail", "-f", "/dev/null"), NULL, 0, 100));
    settle();
    fixture_expect_panic(run_again, "used while it is pending");
    rill_task_cancel(&running.task);
    ck_assert_int_eq(background_end(&running), -ECANCELED);
    close_world();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {what_it_prints_is_there_with_its_status, IN_REAL},
        {its_input_is_what_it_is_given, IN_REAL},
        {much_goes_in_and_out_at_the_same_time, IN_REAL},
        {a_command_that_does_not_read_its_input_has_not_failed, IN_REAL},
        {more_than_the_limit_is_EFBIG_and_the_end_of_the_command, IN_REAL},
        {what_a_run_has_printed_is_there_though_it_was_cancelled, IN_REAL},
        {streams_can_go_elsewhere, IN_REAL},
        {what_can_not_be_started_says_why, IN_REAL},
        {a_command_that_never_ends_is_killed_when_its_time_is_over, IN_REAL},
        {what_runs_on_in_the_background_is_waited_for_while_it_holds_a_pipe, IN_REAL},
        {a_run_that_is_cancelled_before_it_begins_starts_nothing, IN_REAL},
        {runs_that_fail_at_once_let_others_run, IN_REAL},
        {without_memory_it_is_ENOMEM_and_the_end_of_the_command, IN_REAL},
        {bad_use_panics, IN_REAL},
    };

    if (no_children_here())
        return 77;
    return fixture_main("process_run", cases, sizeof cases / sizeof *cases);
}
