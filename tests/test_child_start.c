/* SPDX-License-Identifier: Apache-2.0 */
/* test_child_start.c - a child gets what it was started with and nothing else, or there is none. */
#include "io/process.h"

#include "io/pipe.h"
#include "io/signals.h"
#include "tests/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct rill_pipe_write write_op;
static char text[100];

/* ---- what cannot be started ---- */

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

    if (!child_open_world())
        return;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    memset(huge, 'x', sizeof huge - 1);
    make_file("plain", "#!/bin/sh\n", 0600);
    make_file("script", "exit 3\n", 0700);
    make_file("orphan", "#!/nowhere/sh\n", 0700);

    ck_assert_int_eq(child_start(NULL, piped), -EINVAL);
    ck_assert_int_eq(child_start((const char *const[]){NULL}, piped), -EINVAL);
    ck_assert_int_eq(child_start(ARGUMENTS(""), piped), -ENOENT);
    ck_assert_int_eq(child_start(ARGUMENTS("no-such-program"), piped), -ENOENT);
    ck_assert_int_eq(child_start(ARGUMENTS("/no/such/program"), piped), -ENOENT);
    ck_assert_int_eq(child_start(ARGUMENTS("/dev/null/program"), piped), -ENOTDIR);
    ck_assert_int_eq(child_start(ARGUMENTS("/tmp"), piped), -EACCES);
    ck_assert_int_eq(child_start(ARGUMENTS(huge), piped), -ENAMETOOLONG);
    ck_assert_int_eq(child_start(ARGUMENTS("true", huge), piped), -E2BIG);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), nowhere), -ENOENT);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), no_directory), -ENOTDIR);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), closed), -EBADF);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), negative), -EBADF);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), wrong), -EINVAL);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), unknown), -EINVAL);
    snprintf(path, sizeof path, "%s/plain", directory);
    ck_assert_int_eq(child_start(ARGUMENTS(path), piped), -EACCES);
    snprintf(path, sizeof path, "%s/script", directory);
    ck_assert_int_eq(child_start(ARGUMENTS(path), piped), -ENOEXEC);
    snprintf(path, sizeof path, "%s/orphan", directory);
    ck_assert_int_eq(child_start(ARGUMENTS(path), piped), -ENOENT);

    ck_assert_int_eq(child.pid, 0);
    ck_assert_int_eq(child_close(), 0);
    remove_file("plain");
    remove_file("script");
    remove_file("orphan");
    ck_assert_int_eq(rmdir(directory), 0);
    child_close_world();
}
END_TEST

START_TEST(a_program_is_looked_for_in_each_directory_of_PATH)
{
    static char too_long[PATH_MAX], search_on[PATH_MAX + 10];
    char search[200];

    if (!child_open_world())
        return;
    ck_assert_ptr_nonnull(mkdtemp(directory));
    make_file("tool", "not to be run", 0600);
    snprintf(search, sizeof search, "/nowhere:/dev/null:%s:/bin:/usr/bin", directory);
    setenv("PATH", search, 1);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), PIPED_OUT), 0);
    ck_assert_int_eq(child_close() & ~SIGKILL, 0);
    ck_assert_int_eq(child_start(ARGUMENTS("tool"), PIPED_OUT),
                     -EACCES); /* more telling than that the rest had none */
    ck_assert_int_eq(child_start(ARGUMENTS("nothing"), PIPED_OUT), -ENOENT);
    make_file("true", "not to be run either", 0600); /* but the one behind it is */
    ck_assert_int_eq(child_start(ARGUMENTS("true"), PIPED_OUT), 0);
    ck_assert_int_eq(child_close() & ~SIGKILL, 0);
    remove_file("true");
    memset(too_long, 'x', sizeof too_long);
    snprintf(search_on, sizeof search_on, "%.*s:/bin", (int)sizeof too_long, too_long);
    setenv("PATH", search_on, 1);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), PIPED_OUT), 0);
    ck_assert_int_eq(child_close() & ~SIGKILL, 0);
    unsetenv("PATH");
    ck_assert_int_eq(child_start(ARGUMENTS("true"), PIPED_OUT), 0);
    ck_assert_int_eq(child_close() & ~SIGKILL, 0);
    setenv("PATH", "", 1); /* the current directory */
    ck_assert_int_eq(chdir("/bin"), 0);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), PIPED_OUT), 0);
    ck_assert_int_eq(child_close() & ~SIGKILL, 0);
    remove_file("tool");
    ck_assert_int_eq(rmdir(directory), 0);
    child_close_world();
}
END_TEST

START_TEST(without_descriptors_left_it_is_EMFILE_and_leaves_nothing)
{
    struct rlimit limit;
    rlim_t usual;
    int started = 0, failed = 0;

    if (!child_open_world())
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    usual = limit.rlim_cur;
    for (rlim_t max = 4; max < 40; max++) {
        int error;

        limit.rlim_cur = max;
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        error = child_start(ARGUMENTS("/bin/true"),
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
            child_wait();
            started++;
        }
        child_close();
        expect_eq(fixture.runtime->reactor.fds_open, 0);
        expect_no_children();
    }
    ck_assert_int_gt(failed, 5);
    ck_assert_int_gt(started, 5);
    child_close_world();
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

    if (!child_open_world())
        return;
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    ck_assert_int_eq(child_start(ARGUMENTS("true"), PIPED_OUT), -EAGAIN);
    ck_assert(!child.is_running && !child.out.is_open);
    child_close_world();
}
END_TEST

/* ---- what it gets ---- */

START_TEST(pipes_lead_to_its_three_streams)
{
    if (!child_open_world())
        return;
    expect_eq(child_start(SHELL("read line; echo \"got $line\"; echo oops >&2"),
                          (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                        .out = RILL_PROCESS_PIPE,
                                                        .err = RILL_PROCESS_PIPE}),
              0);
    ck_assert_int_eq(await(rill_pipe_write_all(child.in, &write_op, "word\n", 5)), 5);
    ck_assert_str_eq(child_text(&child.out), "got word\n");
    ck_assert_str_eq(child_text(&child.err), "oops\n");
    ck_assert_int_eq(child_wait(), 0);
    child_close_world();
}
END_TEST

START_TEST(null_is_empty_and_takes_everything)
{
    if (!child_open_world())
        return;
    expect_eq(child_start(SHELL("cat; echo lost >&2; readlink /proc/$$/fd/0"),
                          (struct rill_process_options){.in = RILL_PROCESS_NULL,
                                                        .out = RILL_PROCESS_PIPE,
                                                        .err = RILL_PROCESS_NULL}),
              0);
    ck_assert_str_eq(child_text(&child.out), "/dev/null\n");
    ck_assert_int_eq(child_wait(), 0);
    child_close_world();
}
END_TEST

START_TEST(err_can_go_where_out_goes)
{
    const enum rill_process_stream kinds[] = {RILL_PROCESS_PIPE, RILL_PROCESS_FD,
                                              RILL_PROCESS_INHERIT};
    int ends[2], saved;

    if (!child_open_world())
        return;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    fflush(stdout);
    saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    for (size_t i = 0; i < 3; i++) {
        if (kinds[i] == RILL_PROCESS_INHERIT)
            dup2(ends[1], STDOUT_FILENO);
        expect_eq(child_start(SHELL("echo one; echo two >&2"),
                              (struct rill_process_options){.out = kinds[i],
                                                            .out_fd = ends[1],
                                                            .err = RILL_PROCESS_LIKE_OUT}),
                  0);
        dup2(saved, STDOUT_FILENO);
        ck_assert_int_eq(child_wait(), 0);
        memset(text, 0, sizeof text);
        ck_assert_int_gt(read(child.out.is_open ? child.out.fd : ends[0], text, 100), 0);
        ck_assert_str_eq(text, "one\ntwo\n");
        child_close();
    }
    close(ends[0]);
    close(ends[1]);
    close(saved);
    child_close_world();
}
END_TEST

START_TEST(streams_that_lie_in_each_others_place_are_swapped)
{
    int out[2], err[2], saved_out, saved_err;

    if (!child_open_world())
        return;
    ck_assert_int_eq(pipe2(out, O_CLOEXEC) + pipe2(err, O_CLOEXEC), 0);
    fflush(stdout);
    saved_out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
    saved_err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    dup3(out[1], STDOUT_FILENO, O_CLOEXEC);
    dup3(err[1], STDERR_FILENO, O_CLOEXEC);
    expect_eq(child_start(SHELL("echo out; echo err >&2"),
                          (struct rill_process_options){.out = RILL_PROCESS_FD,
                                                        .out_fd = STDERR_FILENO,
                                                        .err = RILL_PROCESS_FD,
                                                        .err_fd = STDOUT_FILENO}),
              0);
    ck_assert_int_eq(child_wait(), 0);
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
    child_close_world();
}
END_TEST

START_TEST(a_parent_without_standard_streams_has_children_with_them)
{
    int saved[3];

    if (!child_open_world())
        return;
    fflush(stdout);
    for (int i = 0; i < 3; i++) {
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
        close(i);
    }
    expect_eq(child_start(SHELL("cat; echo err >&2"),
                          (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                        .out = RILL_PROCESS_PIPE,
                                                        .err = RILL_PROCESS_PIPE}),
              0);
    expect_eq(await(rill_pipe_write_all(child.in, &write_op, "in\n", 3)), 3);
    rill_process_close_in(&child);
    expect(strcmp(child_text(&child.out), "in\n") == 0);
    expect(strcmp(child_text(&child.err), "err\n") == 0);
    expect_eq(child_close(), 0);
    /* What is not there is not inherited: one of ours that has taken the number neither. */
    expect_eq(child_start(ARGUMENTS("ls", "/proc/self/fd"), PIPED_OUT), 0);
    expect(strcmp(child_text(&child.out), "0\n1\n") == 0);
    child_close();
    for (int i = 0; i < 3; i++) {
        dup2(saved[i], i);
        close(saved[i]);
    }
    child_close_world();
}
END_TEST

/* In a parent that has closed its standard input, 0 is the next that is given to anything. */
START_TEST(descriptor_0_is_closed_like_any_other)
{
    const struct rill_process_options options[] = {
        {.in = RILL_PROCESS_NULL},
        {.out = RILL_PROCESS_PIPE},
        {.err = RILL_PROCESS_PIPE},
        {.in = RILL_PROCESS_INHERIT}, /* 0 is the descriptor of the process itself */
    };
    int saved;

    if (!child_open_world())
        return;
    saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        close(STDIN_FILENO);
        expect_eq(child_start(ARGUMENTS("true"), options[i]), 0);
        expect_eq(child_wait(), 0);
        expect_eq(child_close(), 0);
        ck_assert_int_eq(fcntl(STDIN_FILENO, F_GETFD), -1);
    }
    dup2(saved, STDIN_FILENO);
    close(saved);
    expect_eq(child_start(ARGUMENTS("true"), (struct rill_process_options){.in = RILL_PROCESS_FD,
                                                                           .in_fd = STDIN_FILENO}),
              0);
    child_close_world();
}
END_TEST

START_TEST(no_other_descriptor_is_inherited)
{
    int forgotten;

    if (!child_open_world())
        return;
    forgotten = fcntl(STDERR_FILENO, F_DUPFD, 50); /* without close-on-exec */
    ck_assert_int_ge(forgotten, 50);
    expect_eq(child_start(ARGUMENTS("ls", "/proc/self/fd"), PIPED_OUT), 0);
    ck_assert_str_eq(child_text(&child.out), "0\n1\n2\n3\n"); /* the last one is ls's own */
    ck_assert_int_eq(fcntl(forgotten, F_GETFD), 0);           /* and ours is as it was */
    close(forgotten);
    child_close_world();
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
    const char *status;
    sigset_t set;

    if (!child_open_world())
        return;
    ck_assert_int_eq(rill_signals_open(&signals, (const int[]){SIGTERM, SIGINT}, 2), 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, on_signal);
    expect_eq(child_start(ARGUMENTS("cat", "/proc/self/status"), PIPED_OUT), 0);
    status = child_text(&child.out);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *line = strstr(status, lines[i]);

        ck_assert_ptr_nonnull(line);
        ck_assert_msg(strtoull(line + 7, NULL, 16) == 0, "%.30s", line);
    }
    /* Ours are as they were. */
    sigprocmask(SIG_BLOCK, NULL, &set);
    ck_assert(sigismember(&set, SIGTERM) && !sigismember(&set, SIGUSR2));
    ck_assert(signal(SIGPIPE, SIG_DFL) == SIG_IGN);
    ck_assert(signal(SIGUSR1, SIG_DFL) == on_signal);
    rill_signals_close(&signals);
    child_close_world();
}
END_TEST

START_TEST(environment_and_directory_are_what_is_asked_for)
{
    if (!child_open_world())
        return;
    setenv("RILL_TEST", "ours", 1);
    expect_eq(child_start(SHELL("echo $RILL_TEST $OTHER; pwd"), PIPED_OUT), 0);
    ck_assert_int_eq(strncmp(child_text(&child.out), "ours\n", 5), 0);
    child_close();
    expect_eq(child_start(SHELL("echo $RILL_TEST $OTHER; pwd"),
                          (struct rill_process_options){.environment = ARGUMENTS("OTHER=theirs"),
                                                        .directory = "/usr",
                                                        .out = RILL_PROCESS_PIPE}),
              0);
    ck_assert_str_eq(child_text(&child.out), "theirs\n/usr\n");
    child_close();
    expect_eq(
        child_start(ARGUMENTS("bin/true"), (struct rill_process_options){.directory = "/usr"}), 0);
    ck_assert_int_eq(child_wait(), 0);
    child_close_world();
}
END_TEST

START_TEST(a_group_and_a_session_of_its_own_are_made_before_it_begins)
{
    if (!child_open_world())
        return;
    child_start_idle();
    ck_assert_int_eq(getpgid(child.pid), getpgid(0));
    child_close();
    expect_eq(child_start(ARGUMENTS("cat"), (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                                          .new_group = true}),
              0);
    ck_assert_int_eq(getpgid(child.pid), child.pid);
    ck_assert_int_eq(getsid(child.pid), getsid(0));
    child_close();
    expect_eq(child_start(ARGUMENTS("cat"), (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                                          .new_session = true}),
              0);
    ck_assert_int_eq(getpgid(child.pid), child.pid);
    ck_assert_int_eq(getsid(child.pid), child.pid);
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR1), 0);
    ck_assert_int_eq(child_wait(), SIGUSR1);
    child_close_world();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {what_can_not_be_started_says_why_and_leaves_nothing, IN_REAL},
        {a_program_is_looked_for_in_each_directory_of_PATH, IN_REAL},
        {without_descriptors_left_it_is_EMFILE_and_leaves_nothing, IN_REAL},
        {without_processes_left_it_is_EAGAIN_and_leaves_nothing, IN_REAL},
        {pipes_lead_to_its_three_streams, IN_REAL},
        {null_is_empty_and_takes_everything, IN_REAL},
        {err_can_go_where_out_goes, IN_REAL},
        {streams_that_lie_in_each_others_place_are_swapped, IN_REAL},
        {a_parent_without_standard_streams_has_children_with_them, IN_REAL},
        {descriptor_0_is_closed_like_any_other, IN_REAL},
        {no_other_descriptor_is_inherited, IN_REAL},
        {signals_are_as_if_nobody_had_touched_them, IN_REAL},
        {environment_and_directory_are_what_is_asked_for, IN_REAL},
        {a_group_and_a_session_of_its_own_are_made_before_it_begins, IN_REAL},
    };

    if (no_children_here())
        return 77;
    return fixture_main("child_start", cases, sizeof cases / sizeof *cases);
}
