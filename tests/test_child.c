/* SPDX-License-Identifier: Apache-2.0 */
/* test_child.c - a child gets what it was started with and nothing else, and leaves nothing. */
#include "io/process.h"

#include "io/pipe.h"
#include "io/program.h"
#include "io/signals.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct rill_process child;
static struct rill_pipe_write write_op;
static struct rill_op op;
static struct background waiting;
static char text[10000];

static bool open_world(void)
{
    return fixture_open(REAL, NULL, NULL);
}

static void expect_no_children(void)
{
    expect(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

static int64_t close_child(void)
{
    int64_t status = await(rill_process_close(&child, 0));

    expect(!child.is_running && !child.in_is_open && !child.out.is_open && !child.err.is_open);
    return status;
}

static void close_world(void)
{
    close_child();
    expect_no_children();
    fixture_close();
}

static int start(const char *const *argv, struct rill_process_options options)
{
    options.argv = argv;
    return rill_process_start(&child, &options);
}

#define START(...)                                                                                 \
    start(ARGUMENTS(__VA_ARGS__), (struct rill_process_options){.out = RILL_PROCESS_PIPE})
#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SHELL(script) ARGUMENTS("/bin/sh", "-c", script)

/* A child that does nothing, and ends when its standard input does. */
static void start_idle(void)
{
    expect_eq(start(ARGUMENTS("cat"), (struct rill_process_options){.in = RILL_PROCESS_PIPE}), 0);
}

/* All that comes out of a pipe, as a string. */
static const char *read_text(struct rill_file *file)
{
    size_t size = 0;
    int64_t more;

    memset(text, 0, sizeof text);
    while ((more = await(rill_file_read(file, &op, text + size, sizeof text - 1 - size))) > 0)
        size += (size_t)more;
    expect_eq(more, 0);
    return text;
}

static int64_t wait_for_child(void)
{
    return await(rill_process_wait(&child));
}

/* ---- how it ends ---- */

START_TEST(the_result_is_the_exit_status)
{
    if (!open_world())
        return;
    expect_eq(START("true"), 0);
    ck_assert_int_gt(child.pid, 0);
    ck_assert_int_eq(wait_for_child(), 0);
    close_child();
    expect_eq(START("sh", "-c", "exit 42"), 0);
    ck_assert_int_eq(wait_for_child(), W_EXITCODE(42, 0));
    ck_assert(!child.is_running);
    ck_assert_int_eq(wait_for_child(), W_EXITCODE(42, 0)); /* as often as one likes */
    close_world();
}
END_TEST

START_TEST(the_result_is_the_signal_that_has_ended_it)
{
    if (!open_world())
        return;
    start_idle();
    ck_assert_int_eq(rill_process_kill(&child, SIGUSR1), 0);
    ck_assert_int_eq(wait_for_child(), SIGUSR1);
    ck_assert(WIFSIGNALED((int)child.result) && WTERMSIG((int)child.result) == SIGUSR1);
    close_child();
    start_idle();
    ck_assert_int_eq(rill_process_kill(&child, SIGKILL), 0);
    ck_assert_int_eq(close_child(), SIGKILL);
    close_world();
}
END_TEST

START_TEST(a_signal_to_a_child_that_is_over_reaches_nobody)
{
    if (!open_world())
        return;
    start_idle();
    ck_assert_int_eq(rill_process_kill(&child, 9999), -EINVAL);
    ck_assert_int_eq(rill_process_kill(&child, 0), 0);
    rill_process_close_in(&child);
    ck_assert_int_eq(wait_for_child(), 0);
    ck_assert_int_eq(rill_process_kill(&child, SIGKILL), -ESRCH);
    close_world();
}
END_TEST

START_TEST(a_wait_that_is_cancelled_leaves_the_child_alone)
{
    if (!open_world())
        return;
    for (int turns = 0; turns < 5; turns++) {
        start_idle();
        background_start(&waiting, rill_process_wait(&child));
        for (int i = 0; i < turns; i++)
            fixture_turn();
        rill_task_cancel(&waiting.task);
        ck_assert_int_eq(background_end(&waiting), -ECANCELED);
        ck_assert(child.is_running);
        rill_process_close_in(&child);
        ck_assert_int_eq(wait_for_child(), 0);
        close_child();
    }
    close_world();
}
END_TEST

START_TEST(an_end_that_meets_a_cancel_is_not_lost)
{
    if (!open_world())
        return;
    for (int turns = 0; turns < 8; turns++) {
        int64_t result;

        start_idle();
        background_start(&waiting, rill_process_wait(&child));
        fixture_turn();
        rill_process_close_in(&child);
        for (int i = 0; i < turns; i++)
            fixture_turn();
        if (turns % 2)
            settle();
        rill_task_cancel(&waiting.task);
        result = background_end(&waiting);
        ck_assert(result == 0 || result == -ECANCELED);
        ck_assert(child.is_running == (result < 0));
        ck_assert_int_eq(wait_for_child(), 0);
        close_child();
    }
    close_world();
}
END_TEST

START_TEST(a_wait_that_is_polled_for_no_reason_goes_on)
{
    if (!open_world())
        return;
    start_idle();
    background_start(&waiting, rill_process_wait(&child));
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&waiting.task);
    }
    ck_assert(!rill_task_is_over(&waiting.task));
    rill_process_close_in(&child);
    ck_assert_int_eq(background_end(&waiting), 0);
    close_world();
}
END_TEST

static unsigned polls_to_fail;

static void fail_polls(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_POLL_ADD && polls_to_fail > 0) {
        polls_to_fail--;
        sqe->fd = -1;
    }
}

START_TEST(a_wait_that_fails_can_be_repeated_and_closing_repeats_it_by_itself)
{
    if (!open_world())
        return;
    fixture_on_entry(fail_polls);
    start_idle();
    polls_to_fail = 1;
    ck_assert_int_eq(wait_for_child(), -EBADF);
    ck_assert(child.is_running);
    polls_to_fail = 3;
    ck_assert_int_eq(close_child(), SIGKILL);
    close_world();
}
END_TEST

START_TEST(children_of_others_are_left_to_them)
{
    pid_t other;
    int status;

    if (!open_world())
        return;
    other = fork();
    if (other == 0)
        _exit(5);
    start_idle();
    ck_assert_int_eq(close_child(), SIGKILL);
    ck_assert_int_eq(waitpid(other, &status, 0), other);
    ck_assert_int_eq(WEXITSTATUS(status), 5);
    close_world();
}
END_TEST

START_TEST(an_end_that_somebody_else_has_taken_is_ECHILD)
{
    if (!open_world())
        return;
    start_idle();
    rill_process_close_in(&child);
    ck_assert_int_eq(waitpid(child.pid, NULL, 0), child.pid);
    ck_assert_int_eq(rill_process_kill(&child, SIGKILL), -ESRCH);
    ck_assert_int_eq(wait_for_child(), -ECHILD);
    ck_assert_int_eq(close_child(), -ECHILD);
    signal(SIGCHLD, SIG_IGN);
    start_idle();
    rill_process_close_in(&child);
    ck_assert_int_eq(wait_for_child(), -ECHILD);
    close_world();
}
END_TEST

/* Attaches to the child, says so, and lets go of its end only when it is told to. */
static void trace(pid_t traced, int told, int tell)
{
    char byte = 0;

    if (ptrace(PTRACE_SEIZE, traced, NULL, NULL) < 0)
        _exit(1);
    if (write(tell, "t", 1) != 1 || read(told, &byte, 1) != 1)
        _exit(2);
    _exit(waitpid(traced, NULL, 0) == traced ? 0 : 3);
}

START_TEST(an_end_that_a_debugger_holds_back_is_waited_for)
{
    int to[2], from[2], status;
    char byte;
    pid_t tracer;

    if (!open_world())
        return;
    start_idle();
    ck_assert_int_eq(pipe(to) + pipe(from), 0);
    tracer = fork();
    if (tracer == 0) {
        close(child.in);
        close(from[0]);
        trace(child.pid, to[0], from[1]);
    }
    close(from[1]);
    if (read(from[0], &byte, 1) == 1) { /* where that is permitted */
        rill_process_close_in(&child);
        background_start(&waiting, rill_process_wait(&child));
        settle();
        ck_assert(!rill_task_is_over(&waiting.task));
        ck_assert_uint_lt(waiting.polls, 100);
        ck_assert_int_eq(write(to[1], "x", 1), 1);
        ck_assert_int_eq(background_end(&waiting), 0);
    }
    close_child();
    ck_assert_int_eq(waitpid(tracer, &status, 0), tracer);
    ck_assert_int_le(WEXITSTATUS(status), 1);
    close(to[0]);
    close(to[1]);
    close(from[0]);
    close_world();
}
END_TEST

/* ---- what can not be started ---- */

static char directory[] = "/tmp/rill-child-XXXXXX";
static char path[100];

static void make_file(const char *name, const char *content, mode_t mode)
{
    int fd;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    close(fd);
}

static void remove_file(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", directory, name);
    ck_assert_int_eq(unlink(path), 0);
}

START_TEST(what_can_not_be_started_says_why_and_leaves_nothing)
{
    static char huge[3 << 20];
    const struct rill_process_options nowhere = {.directory = "/nowhere"},
                                      no_directory = {.directory = "/dev/null"},
                                      closed = {.out = RILL_PROCESS_FD, .out_fd = 500},
                                      negative = {.in = RILL_PROCESS_FD, .in_fd = -1},
                                      wrong = {.in = RILL_PROCESS_LIKE_OUT},
                                      unknown = {.err = (enum rill_process_stream)77},
                                      piped = {.in = RILL_PROCESS_PIPE, .out = RILL_PROCESS_PIPE};

    if (!open_world())
        return;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    memset(huge, 'x', sizeof huge - 1);
    make_file("plain", "#!/bin/sh\n", 0600);
    make_file("script", "exit 3\n", 0700);
    make_file("orphan", "#!/nowhere/sh\n", 0700);

    ck_assert_int_eq(start(NULL, piped), -EINVAL);
    ck_assert_int_eq(start((const char *const[]){NULL}, piped), -EINVAL);
    ck_assert_int_eq(start(ARGUMENTS(""), piped), -ENOENT);
    ck_assert_int_eq(start(ARGUMENTS("no-such-program"), piped), -ENOENT);
    ck_assert_int_eq(start(ARGUMENTS("/no/such/program"), piped), -ENOENT);
    ck_assert_int_eq(start(ARGUMENTS("/dev/null/program"), piped), -ENOTDIR);
    ck_assert_int_eq(start(ARGUMENTS("/tmp"), piped), -EACCES);
    ck_assert_int_eq(start(ARGUMENTS(huge), piped), -ENAMETOOLONG);
    ck_assert_int_eq(start(ARGUMENTS("true", huge), piped), -E2BIG);
    ck_assert_int_eq(start(ARGUMENTS("true"), nowhere), -ENOENT);
    ck_assert_int_eq(start(ARGUMENTS("true"), no_directory), -ENOTDIR);
    ck_assert_int_eq(start(ARGUMENTS("true"), closed), -EBADF);
    ck_assert_int_eq(start(ARGUMENTS("true"), negative), -EBADF);
    ck_assert_int_eq(start(ARGUMENTS("true"), wrong), -EINVAL);
    ck_assert_int_eq(start(ARGUMENTS("true"), unknown), -EINVAL);
    snprintf(path, sizeof path, "%s/plain", directory);
    ck_assert_int_eq(start(ARGUMENTS(path), piped), -EACCES);
    snprintf(path, sizeof path, "%s/script", directory);
    ck_assert_int_eq(start(ARGUMENTS(path), piped), -ENOEXEC);
    snprintf(path, sizeof path, "%s/orphan", directory);
    ck_assert_int_eq(start(ARGUMENTS(path), piped), -ENOENT);

    ck_assert_int_eq(child.pid, 0);
    ck_assert_int_eq(close_child(), 0);
    remove_file("plain");
    remove_file("script");
    remove_file("orphan");
    ck_assert_int_eq(rmdir(directory), 0);
    close_world();
}
END_TEST

START_TEST(a_program_is_looked_for_in_each_directory_of_PATH)
{
    char search[200];

    if (!open_world())
        return;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    make_file("tool", "not to be run", 0600);
    snprintf(search, sizeof search, "/nowhere:/dev/null:%s:/bin:/usr/bin", directory);
    setenv("PATH", search, 1);
    ck_assert_int_eq(START("true"), 0);
    ck_assert_int_eq(close_child() & ~SIGKILL, 0);
    ck_assert_int_eq(START("tool"), -EACCES); /* more telling than that the rest had none */
    ck_assert_int_eq(START("nothing"), -ENOENT);
    unsetenv("PATH");
    ck_assert_int_eq(START("true"), 0);
    ck_assert_int_eq(close_child() & ~SIGKILL, 0);
    setenv("PATH", "", 1); /* the current directory */
    ck_assert_int_eq(chdir("/bin"), 0);
    ck_assert_int_eq(START("true"), 0);
    ck_assert_int_eq(close_child() & ~SIGKILL, 0);
    remove_file("tool");
    ck_assert_int_eq(rmdir(directory), 0);
    close_world();
}
END_TEST

START_TEST(without_descriptors_left_it_is_EMFILE_and_leaves_nothing)
{
    struct rlimit limit;
    rlim_t usual;
    int started = 0, failed = 0;

    if (!open_world())
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    usual = limit.rlim_cur;
    for (rlim_t max = 4; max < 40; max++) {
        int error;

        limit.rlim_cur = max;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        error = start(ARGUMENTS("/bin/true"),
                      (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                    .out = RILL_PROCESS_PIPE,
                                                    .err = RILL_PROCESS_PIPE,
                                                    .environment = ARGUMENTS("A=B")});
        limit.rlim_cur = usual;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        if (error) {
            ck_assert_int_eq(error, -EMFILE);
            failed++;
        } else {
            wait_for_child();
            started++;
        }
        close_child();
        expect_eq(fixture.runtime->reactor.fds_open, 0);
        expect_no_children();
    }
    ck_assert_int_gt(failed, 5);
    ck_assert_int_gt(started, 5);
    close_world();
}
END_TEST

START_TEST(without_processes_left_it_is_EAGAIN_and_leaves_nothing)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_clone, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_PIDFD, 0, 1), /* LeakSanitizer clones too */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    if (!open_world())
        return;
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    ck_assert_int_eq(START("true"), -EAGAIN);
    ck_assert(!child.is_running && !child.out.is_open);
    close_world();
}
END_TEST

/* ---- what it gets ---- */

START_TEST(pipes_lead_to_its_three_streams)
{
    if (!open_world())
        return;
    expect_eq(start(SHELL("read line; echo \"got $line\"; echo oops >&2"),
                    (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                  .out = RILL_PROCESS_PIPE,
                                                  .err = RILL_PROCESS_PIPE}),
              0);
    ck_assert_int_eq(await(rill_pipe_write_all(&write_op, child.in, "word\n", 5)), 5);
    ck_assert_str_eq(read_text(&child.out), "got word\n");
    ck_assert_str_eq(read_text(&child.err), "oops\n");
    ck_assert_int_eq(wait_for_child(), 0);
    close_world();
}
END_TEST

START_TEST(null_is_empty_and_takes_everything)
{
    if (!open_world())
        return;
    expect_eq(start(SHELL("cat; echo lost >&2; readlink /proc/$$/fd/0"),
                    (struct rill_process_options){.in = RILL_PROCESS_NULL,
                                                  .out = RILL_PROCESS_PIPE,
                                                  .err = RILL_PROCESS_NULL}),
              0);
    ck_assert_str_eq(read_text(&child.out), "/dev/null\n");
    ck_assert_int_eq(wait_for_child(), 0);
    close_world();
}
END_TEST

START_TEST(err_can_go_where_out_goes)
{
    const enum rill_process_stream kinds[] = {RILL_PROCESS_PIPE, RILL_PROCESS_FD,
                                              RILL_PROCESS_INHERIT};
    int ends[2], saved;

    if (!open_world())
        return;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    fflush(stdout);
    saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    for (size_t i = 0; i < 3; i++) {
        if (kinds[i] == RILL_PROCESS_INHERIT)
            dup2(ends[1], STDOUT_FILENO);
        expect_eq(start(SHELL("echo one; echo two >&2"),
                        (struct rill_process_options){
                            .out = kinds[i], .out_fd = ends[1], .err = RILL_PROCESS_LIKE_OUT}),
                  0);
        dup2(saved, STDOUT_FILENO);
        ck_assert_int_eq(wait_for_child(), 0);
        memset(text, 0, sizeof text);
        ck_assert_int_gt(read(child.out.is_open ? child.out.fd : ends[0], text, 100), 0);
        ck_assert_str_eq(text, "one\ntwo\n");
        close_child();
    }
    close(ends[0]);
    close(ends[1]);
    close(saved);
    close_world();
}
END_TEST

START_TEST(streams_that_lie_in_each_others_place_are_swapped)
{
    int out[2], err[2], saved_out, saved_err;

    if (!open_world())
        return;
    ck_assert_int_eq(pipe2(out, O_CLOEXEC) + pipe2(err, O_CLOEXEC), 0);
    fflush(stdout);
    saved_out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    saved_err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    dup3(out[1], STDOUT_FILENO, O_CLOEXEC);
    dup3(err[1], STDERR_FILENO, O_CLOEXEC);
    expect_eq(start(SHELL("echo out; echo err >&2"),
                    (struct rill_process_options){.out = RILL_PROCESS_FD,
                                                  .out_fd = STDERR_FILENO,
                                                  .err = RILL_PROCESS_FD,
                                                  .err_fd = STDOUT_FILENO}),
              0);
    ck_assert_int_eq(wait_for_child(), 0);
    dup2(saved_out, STDOUT_FILENO);
    dup2(saved_err, STDERR_FILENO);
    ck_assert_int_eq(read(out[0], text, 100), 4);
    ck_assert_int_eq(memcmp(text, "err\n", 4), 0);
    ck_assert_int_eq(read(err[0], text, 100), 4);
    ck_assert_int_eq(memcmp(text, "out\n", 4), 0);
    close(saved_out);
    close(saved_err);
    for (int i = 0; i < 2; i++) {
        close(out[i]);
        close(err[i]);
    }
    close_world();
}
END_TEST

START_TEST(a_parent_without_standard_streams_has_children_with_them)
{
    int saved[3];

    if (!open_world())
        return;
    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    expect_eq(
        start(SHELL("cat; echo err >&2"), (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                                        .out = RILL_PROCESS_PIPE,
                                                                        .err = RILL_PROCESS_PIPE}),
        0);
    expect_eq(await(rill_pipe_write_all(&write_op, child.in, "in\n", 3)), 3);
    rill_process_close_in(&child);
    expect(strcmp(read_text(&child.out), "in\n") == 0);
    expect(strcmp(read_text(&child.err), "err\n") == 0);
    expect_eq(close_child(), 0);
    /* What is not there is not inherited: one of ours that has taken the number neither. */
    expect_eq(start(ARGUMENTS("ls", "/proc/self/fd"),
                    (struct rill_process_options){.out = RILL_PROCESS_PIPE}),
              0);
    expect(strcmp(read_text(&child.out), "0\n1\n") == 0);
    close_child();
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    close_world();
}
END_TEST

START_TEST(no_other_descriptor_is_inherited)
{
    int forgotten;

    if (!open_world())
        return;
    forgotten = fcntl(STDERR_FILENO, F_DUPFD, 50); /* without close-on-exec */
    ck_assert_int_ge(forgotten, 50);
    expect_eq(START("ls", "/proc/self/fd"), 0);
    ck_assert_str_eq(read_text(&child.out), "0\n1\n2\n3\n"); /* the last one is ls's own */
    ck_assert_int_eq(fcntl(forgotten, F_GETFD), 0);          /* and ours is as it was */
    close(forgotten);
    close_world();
}
END_TEST

static void on_signal(int number)
{
    (void)number;
}

START_TEST(signals_are_as_if_nobody_had_touched_them)
{
    static const char *const lines[] = {"SigPnd:", "SigBlk:", "SigIgn:", "SigCgt:"};
    struct rill_signals signals = {0};
    sigset_t set;

    if (!open_world())
        return;
    ck_assert_int_eq(rill_signals_open(&signals, (const int[]){SIGTERM, SIGINT}, 2), 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, on_signal);
    expect_eq(START("cat", "/proc/self/status"), 0);
    read_text(&child.out);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *line = strstr(text, lines[i]);

        ck_assert_ptr_nonnull(line);
        ck_assert_msg(strtoull(line + 7, NULL, 16) == 0, "%.30s", line);
    }
    /* Ours are as they were. */
    sigprocmask(SIG_BLOCK, NULL, &set);
    ck_assert(sigismember(&set, SIGTERM) && !sigismember(&set, SIGUSR2));
    ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
    ck_assert(signal(SIGUSR1, SIG_DFL) == on_signal);
    rill_signals_close(&signals);
    close_world();
}
END_TEST

START_TEST(environment_and_directory_are_what_is_asked_for)
{
    if (!open_world())
        return;
    setenv("RILL_TEST", "ours", 1);
    expect_eq(start(SHELL("echo $RILL_TEST $OTHER; pwd"),
                    (struct rill_process_options){.out = RILL_PROCESS_PIPE}),
              0);
    ck_assert_ptr_eq(strstr(read_text(&child.out), "ours\n"), text);
    close_child();
    expect_eq(start(SHELL("echo $RILL_TEST $OTHER; pwd"),
                    (struct rill_process_options){.environment = ARGUMENTS("OTHER=theirs"),
                                                  .directory = "/usr",
                                                  .out = RILL_PROCESS_PIPE}),
              0);
    ck_assert_str_eq(read_text(&child.out), "theirs\n/usr\n");
    close_child();
    expect_eq(start(ARGUMENTS("bin/true"), (struct rill_process_options){.directory = "/usr"}), 0);
    ck_assert_int_eq(wait_for_child(), 0);
    close_world();
}
END_TEST

START_TEST(a_group_and_a_session_of_its_own_are_made_before_it_begins)
{
    if (!open_world())
        return;
    start_idle();
    ck_assert_int_eq(getpgid(child.pid), getpgid(0));
    close_child();
    expect_eq(start(ARGUMENTS("cat"),
                    (struct rill_process_options){.in = RILL_PROCESS_PIPE, .new_group = true}),
              0);
    ck_assert_int_eq(getpgid(child.pid), child.pid);
    ck_assert_int_eq(getsid(child.pid), getsid(0));
    close_child();
    expect_eq(start(ARGUMENTS("cat"), (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                                    .new_group = true,
                                                                    .new_session = true}),
              0);
    ck_assert_int_eq(getpgid(child.pid), child.pid);
    ck_assert_int_eq(getsid(child.pid), child.pid);
    close_world();
}
END_TEST

/* ---- closing ---- */

START_TEST(closing_ends_a_child_that_never_ends)
{
    if (!open_world())
        return;
    for (int turns = 0; turns < 4; turns++) {
        start_idle();
        for (int i = 0; i < turns; i++)
            fixture_turn();
        ck_assert_int_eq(close_child(), SIGKILL);
        expect_no_children();
    }
    close_world();
}
END_TEST

START_TEST(closing_can_not_be_cancelled)
{
    if (!open_world())
        return;
    for (int64_t grace = 0; grace < 2; grace++) {
        expect_eq(start(SHELL("trap '' TERM; echo ready; while :; do kill -STOP $$; done"),
                        (struct rill_process_options){.out = RILL_PROCESS_PIPE}),
                  0);
        ck_assert_int_eq(await(rill_file_read(&child.out, &op, text, 6)), 6);
        background_start(&waiting, rill_process_close(&child, grace * 20 * RILL_MILLISECOND));
        rill_task_cancel(&waiting.task);
        ck_assert_int_eq(background_end(&waiting), SIGKILL);
        ck_assert(!child.is_running);
        ck_assert_int_eq(close_child(), SIGKILL);
    }
    close_world();
}
END_TEST

START_TEST(a_child_that_ends_well_within_its_grace_is_not_killed)
{
    if (!open_world())
        return;
    expect_eq(
        start(SHELL("trap 'exit 7' TERM; echo ready; while :; do read line <&3; done 3<&0"),
              (struct rill_process_options){.in = RILL_PROCESS_PIPE, .out = RILL_PROCESS_PIPE}),
        0);
    ck_assert_int_eq(await(rill_file_read(&child.out, &op, text, 6)), 6);
    ck_assert_int_eq(await(rill_process_close(&child, 3600 * RILL_SECOND)), W_EXITCODE(7, 0));
    close_world();
}
END_TEST

/* The shell starts a child of its own that holds a pipe, and ends by SIGTERM itself, which that
 * one ignores. */
START_TEST(a_group_is_ended_with_its_leader)
{
    int ends[2];

    if (!open_world())
        return;
    for (int64_t grace = 0; grace < 2; grace++) {
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        expect_eq(
            start(
                SHELL("exec 3<&0; (trap '' TERM; echo ready; exec cat <&3 >/dev/null) & exec cat"),
                (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                              .out = RILL_PROCESS_PIPE,
                                              .err = RILL_PROCESS_FD,
                                              .err_fd = ends[1],
                                              .new_group = true}),
            0);
        close(ends[1]);
        ck_assert_int_eq(await(rill_file_read(&child.out, &op, text, 6)), 6);
        child.in_is_open = false; /* it stays open, so nothing ends by that */
        await(rill_process_close(&child, grace * 3600 * RILL_SECOND));
        ck_assert_int_eq(read(ends[0], text, 1), 0); /* nobody is left who could write */
        close(child.in);
        fixture.runtime->reactor.fds_open--;
        close(ends[0]);
    }
    close_world();
}
END_TEST

/* A shell that has become cat, and another cat that it has started. */
static void start_group(void)
{
    expect_eq(start(SHELL("exec 3<&0; cat <&3 & echo ready; exec cat"),
                    (struct rill_process_options){
                        .in = RILL_PROCESS_PIPE, .out = RILL_PROCESS_PIPE, .new_group = true}),
              0);
    expect_eq(await(rill_file_read(&child.out, &op, text, 6)), 6);
}

START_TEST(a_signal_to_the_group_reaches_all_of_it)
{
    if (!open_world())
        return;
    start_group();
    ck_assert_int_eq(rill_process_kill_group(&child, 9999), -EINVAL);
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), 0);
    ck_assert_str_eq(read_text(&child.out), ""); /* the end, as both are gone */
    ck_assert_int_eq(wait_for_child(), SIGUSR2);
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), -ESRCH);
    close_world();
}
END_TEST

/* As before Linux 6.9. */
START_TEST(a_group_is_reached_where_pidfds_know_no_groups)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_pidfd_send_signal, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

    if (!open_world())
        return;
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    start_group();
    ck_assert_int_eq(rill_process_kill_group(&child, 9999), -EINVAL);
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), 0);
    ck_assert_str_eq(read_text(&child.out), "");
    ck_assert_int_eq(waitpid(child.pid, NULL, 0), child.pid); /* its number may be another's now */
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), -ESRCH);
    ck_assert_int_eq(close_child(), -ECHILD);
    close_world();
}
END_TEST

START_TEST(a_child_that_closes_its_pipes_lives_on)
{
    if (!open_world())
        return;
    expect_eq(start(SHELL("exec 3<&0 0</dev/null >&- 2>&-; read line <&3; exit 9"),
                    (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                  .out = RILL_PROCESS_PIPE,
                                                  .err = RILL_PROCESS_PIPE}),
              0);
    ck_assert_str_eq(read_text(&child.out), "");
    ck_assert_str_eq(read_text(&child.err), "");
    background_start(&waiting, rill_process_wait(&child));
    settle();
    ck_assert(!rill_task_is_over(&waiting.task));
    ck_assert_int_eq(await(rill_pipe_write_all(&write_op, child.in, "go\n", 3)), 3);
    ck_assert_int_eq(background_end(&waiting), W_EXITCODE(9, 0));
    close_world();
}
END_TEST

START_TEST(a_released_child_is_the_callers)
{
    siginfo_t info;
    int pidfd;

    if (!open_world())
        return;
    start_idle();
    pidfd = rill_process_release(&child);
    ck_assert_int_eq(await(rill_process_close(&child, 0)), 0); /* which ends its input */
    ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
    ck_assert_int_eq(info.si_code, CLD_EXITED);
    close(pidfd);
    close_world();
}
END_TEST

/* ---- many ---- */

enum { AT_ONCE = 50, ROUNDS = 20 };

static struct one_of_many {
    struct rill_task task;
    struct rill_process process;
    struct rill_op op;
    char text[10];
    unsigned started;
} many[AT_ONCE];

static enum rill_poll one_poll(struct rill_future *self, struct rill_task *task)
{
    struct one_of_many *one = rill_container_of(self, struct one_of_many, task.future);
    const struct rill_process_options options = {
        .argv = ARGUMENTS("/bin/echo", "hello"),
        .in = RILL_PROCESS_NULL,
        .out = RILL_PROCESS_PIPE,
    };

    RILL_BEGIN();
    expect_eq(rill_process_start(&one->process, &options), 0);
    RILL_AWAIT(rill_file_read(&one->process.out, &one->op, one->text, sizeof one->text));
    expect_eq(one->op.result, 6);
    RILL_AWAIT(rill_process_wait(&one->process));
    expect_eq(one->process.result, 0);
    RILL_AWAIT(rill_process_close(&one->process, 0));
    RILL_RETURN(one->process.result);
    RILL_END();
}

static size_t memory_in_use(void)
{
    return mallinfo2().uordblks;
}

START_TEST(a_thousand_children_leave_nothing)
{
    struct rill_join join;
    size_t at_first = 0;

    if (!open_world())
        return;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < AT_ONCE; i++)
            rill_task_spawn(&many[i].task, one_poll);
        for (int i = 0; i < AT_ONCE; i++)
            expect_eq(await(rill_task_join(&join, &many[i].task)), 0);
        expect_no_children();
        expect_eq(fixture.runtime->reactor.fds_open, 0);
        if (round == 0)
            at_first = memory_in_use();
    }
    ck_assert_uint_eq(memory_in_use(), at_first);
    close_world();
}
END_TEST

/* ---- with all the rest ---- */

/* A program whose child ends only if it is asked to. */
static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    expect_eq(start(SHELL("echo ready; exec tail -f /dev/null"),
                    (struct rill_process_options){.out = RILL_PROCESS_PIPE}),
              0);
    RILL_AWAIT(rill_file_read(&child.out, &op, text, 6));
    kill(getpid(), SIGTERM);
    RILL_AWAIT(rill_process_wait(&child));
    expect_eq(child.result, -ECANCELED);
    expect_eq(rill_task_cancel_reason(task), RILL_SHUTTING_DOWN);
    RILL_AWAIT(rill_process_close(&child, 3600 * RILL_SECOND));
    RILL_RETURN(child.result);
    RILL_END();
}

START_TEST(a_program_that_is_asked_to_end_asks_its_child)
{
    struct rill_future program;

    if (!open_world())
        return;
    fixture_close(); /* a program has a runtime of its own */
    ck_assert_int_eq(rill_main(rill_future_init(&program, program_poll)), 0);
    ck_assert_int_eq(child.result, SIGTERM); /* which is blocked here, but not there */
    expect_no_children();
}
END_TEST

enum { CHILDREN_OF_A_THREAD = 100 };

/* If a child of the other thread held the pipe of this one, the end would not be read. */
static enum rill_poll starter_poll(struct rill_future *self, struct rill_task *task)
{
    struct one_of_many *one = rill_container_of(self, struct one_of_many, task.future);
    const struct rill_process_options options = {
        .argv = ARGUMENTS("cat"),
        .in = RILL_PROCESS_PIPE,
        .out = RILL_PROCESS_PIPE,
    };

    RILL_BEGIN();
    for (one->started = 0; one->started < CHILDREN_OF_A_THREAD; one->started++) {
        expect_eq(rill_process_start(&one->process, &options), 0);
        rill_process_close_in(&one->process);
        RILL_AWAIT(rill_file_read(&one->process.out, &one->op, one->text, sizeof one->text));
        expect_eq(one->op.result, 0);
        RILL_AWAIT(rill_process_wait(&one->process));
        expect_eq(one->process.result, 0);
        RILL_AWAIT(rill_process_close(&one->process, 0));
    }
    RILL_END();
}

static void *run_starter(void *argument)
{
    struct one_of_many *one = (struct one_of_many *)argument;
    struct rill_runtime *runtime;

    expect_eq(rill_runtime_create(&runtime, NULL), 0);
    expect_eq(rill_block_on(runtime, rill_future_init(&one->task.future, starter_poll)), 0);
    rill_runtime_destroy(runtime);
    return NULL;
}

START_TEST(threads_start_children_at_the_same_time)
{
    pthread_t threads[2];

    if (!open_world())
        return;
    for (int i = 0; i < 2; i++)
        threads[i] = thread_start(run_starter, &many[i]);
    for (int i = 0; i < 2; i++)
        thread_join(threads[i]);
    close_world();
}
END_TEST

/* ---- bad use ---- */

static void wait_for_nobody(void)
{
    static struct rill_process never;

    rill_process_wait(&never);
}

static void start_again(void)
{
    start_idle();
}

static void wait_again(void)
{
    rill_process_wait(&child);
}

static void close_under_a_wait(void)
{
    rill_process_close(&child, 0);
}

static void release_under_a_wait(void)
{
    rill_process_release(&child);
}

static void kill_no_group(void)
{
    rill_process_kill_group(&child, SIGKILL);
}

START_TEST(bad_use_panics)
{
    if (!open_world())
        return;
    fixture_expect_panic(wait_for_nobody, "awaited that was not started");
    start_idle();
    fixture_expect_panic(start_again, "started again that was not closed");
    fixture_expect_panic(kill_no_group, "to the group of a process without one");
    background_start(&waiting, rill_process_wait(&child));
    settle();
    fixture_expect_panic(wait_again, "two tasks wait for the same process");
    fixture_expect_panic(close_under_a_wait, "closed while a task waits for it");
    fixture_expect_panic(release_under_a_wait, "released while a task waits for it");
    rill_process_close_in(&child);
    ck_assert_int_eq(background_end(&waiting), 0);
    close_world();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {the_result_is_the_exit_status, IN_REAL},
        {the_result_is_the_signal_that_has_ended_it, IN_REAL},
        {a_signal_to_a_child_that_is_over_reaches_nobody, IN_REAL},
        {a_wait_that_is_cancelled_leaves_the_child_alone, IN_REAL},
        {an_end_that_meets_a_cancel_is_not_lost, IN_REAL},
        {a_wait_that_is_polled_for_no_reason_goes_on, IN_REAL},
        {a_wait_that_fails_can_be_repeated_and_closing_repeats_it_by_itself, IN_REAL},
        {children_of_others_are_left_to_them, IN_REAL},
        {an_end_that_somebody_else_has_taken_is_ECHILD, IN_REAL},
        {an_end_that_a_debugger_holds_back_is_waited_for, IN_REAL},
        {what_can_not_be_started_says_why_and_leaves_nothing, IN_REAL},
        {a_program_is_looked_for_in_each_directory_of_PATH, IN_REAL},
        {without_descriptors_left_it_is_EMFILE_and_leaves_nothing, IN_REAL},
        {without_processes_left_it_is_EAGAIN_and_leaves_nothing, IN_REAL},
        {pipes_lead_to_its_three_streams, IN_REAL},
        {null_is_empty_and_takes_everything, IN_REAL},
        {err_can_go_where_out_goes, IN_REAL},
        {streams_that_lie_in_each_others_place_are_swapped, IN_REAL},
        {a_parent_without_standard_streams_has_children_with_them, IN_REAL},
        {no_other_descriptor_is_inherited, IN_REAL},
        {signals_are_as_if_nobody_had_touched_them, IN_REAL},
        {environment_and_directory_are_what_is_asked_for, IN_REAL},
        {a_group_and_a_session_of_its_own_are_made_before_it_begins, IN_REAL},
        {closing_ends_a_child_that_never_ends, IN_REAL},
        {closing_can_not_be_cancelled, IN_REAL},
        {a_child_that_ends_well_within_its_grace_is_not_killed, IN_REAL},
        {a_group_is_ended_with_its_leader, IN_REAL},
        {a_signal_to_the_group_reaches_all_of_it, IN_REAL},
        {a_group_is_reached_where_pidfds_know_no_groups, IN_REAL},
        {a_child_that_closes_its_pipes_lives_on, IN_REAL},
        {a_released_child_is_the_callers, IN_REAL},
        {a_thousand_children_leave_nothing, IN_REAL},
        {a_program_that_is_asked_to_end_asks_its_child, IN_REAL},
        {threads_start_children_at_the_same_time, IN_REAL},
        {bad_use_panics, IN_REAL},
    };

    if (getenv("TEST_UNDER_VALGRIND")) {
        printf("skipped: valgrind runs the child on a copy of the memory, and knows no pidfd\n");
        return 77;
    }
    return fixture_main("child", cases, sizeof cases / sizeof *cases);
}
