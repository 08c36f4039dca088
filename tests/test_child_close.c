/* SPDX-License-Identifier: Apache-2.0 */
/* test_child_close.c - closing a child ends it, well or by force, with those that it leads. */
#include "io/process.h"

#include "io/pipe.h"
#include "io/program.h"
#include "tests/child.h"
#include "tests/refusal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct background waiting;
static struct rill_op op;
static struct rill_pipe_write write_op;
static char text[100];

/* ---- closing ---- */

START_TEST(closing_ends_a_child_that_never_ends)
{
    if (!child_open_world())
        return;
    for (int turns = 0; turns < 4; turns++) {
        child_start_endless();
        for (int i = 0; i < turns; i++)
            fixture_turn();
        ck_assert_int_eq(child_close(), SIGKILL);
        expect_no_children();
    }
    child_close_world();
}
END_TEST

static unsigned polls_seen;

static void count_polls(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_POLL_ADD)
        polls_seen++;
}

START_TEST(closing_can_not_be_cancelled)
{
    if (!child_open_world())
        return;
    fixture_on_entry(count_polls);
    for (int64_t grace = 0; grace < 2; grace++) {
        expect_eq(child_start(SHELL("trap '' TERM; echo ready; while :; do kill -STOP $$; done"),
                              PIPED_OUT),
                  0);
        child_expect_ready();
        polls_seen = 0;
        background_start(&waiting, rill_process_close(&child, grace * 20 * RILL_MILLISECOND));
        rill_task_cancel(&waiting.task);
        ck_assert_int_eq(background_end(&waiting), SIGKILL);
        ck_assert_uint_eq(polls_seen, 1 + grace); /* it is waited for, not looked for */
        ck_assert(!child.is_running);
        ck_assert_int_eq(child_close(), SIGKILL);
    }
    child_close_world();
}
END_TEST

START_TEST(a_child_that_ends_well_within_its_grace_is_not_killed)
{
    if (!child_open_world())
        return;
    expect_eq(child_start(
                  SHELL("trap 'exit 7' TERM; echo ready; while :; do read line <&3; done 3<&0"),
                  (struct rill_process_options){.in = RILL_PROCESS_PIPE, .out = RILL_PROCESS_PIPE}),
              0);
    child_expect_ready();
    ck_assert_int_eq(await(rill_process_close(&child, 3600 * RILL_SECOND)), W_EXITCODE(7, 0));
    child_close_world();
}
END_TEST

START_TEST(a_child_that_is_stopped_goes_on_to_its_end)
{
    siginfo_t info;

    if (!child_open_world())
        return;
    expect_eq(child_start(SHELL("trap 'exit 7' TERM; kill -STOP $$; while :; do read line <&3; "
                                "done 3<&0"),
                          (struct rill_process_options){.in = RILL_PROCESS_PIPE}),
              0);
    ck_assert_int_eq(waitid(P_PID, (id_t)child.pid, &info, WSTOPPED), 0);
    ck_assert_int_eq(await(rill_process_close(&child, 3600 * RILL_SECOND)), W_EXITCODE(7, 0));
    child_close_world();
}
END_TEST

START_TEST(a_child_may_say_something_while_it_tidies_up)
{
    if (!child_open_world())
        return;
    expect_eq(child_start(SHELL("trap 'echo saving; echo saving >&2; exit 7' TERM; echo ready; "
                                "while :; do read line <&3; done 3<&0"),
                          (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                        .out = RILL_PROCESS_PIPE,
                                                        .err = RILL_PROCESS_PIPE}),
              0);
    child_expect_ready();
    ck_assert_int_eq(await(rill_process_close(&child, 3600 * RILL_SECOND)), W_EXITCODE(7, 0));
    child_close_world();
}
END_TEST

/* The shell starts a child of its own that holds a pipe, and ends by SIGTERM itself, which that
 * one ignores. */
START_TEST(a_group_is_ended_with_its_leader)
{
    int ends[2];

    if (!child_open_world())
        return;
    for (int64_t grace = 0; grace < 2; grace++) {
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        expect_eq(
            child_start(
                SHELL("exec 3<&0; (trap '' TERM; echo ready; exec cat <&3 >/dev/null) & exec cat"),
                (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                              .out = RILL_PROCESS_PIPE,
                                              .err = RILL_PROCESS_FD,
                                              .err_fd = ends[1],
                                              .new_group = true}),
            0);
        close(ends[1]);
        child_expect_ready();
        child.in_is_open = false; /* it stays open, so nothing ends by that */
        await(rill_process_close(&child, grace * 3600 * RILL_SECOND));
        ck_assert_int_eq(read(ends[0], text, 1), 0); /* nobody is left who could write */
        close(child.in);
        fixture.runtime->reactor.fds_open--;
        close(ends[0]);
    }
    child_close_world();
}
END_TEST

/* What it has left in the background holds a pipe, and would for ever. */
START_TEST(what_a_child_leaves_behind_ends_with_it_where_that_is_asked_for)
{
    int ends[2], error;
    char byte;

    if (!child_open_world())
        return;
    for (int in_session = 0; in_session < 2; in_session++) {
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        error = child_start(SHELL("exec 3<&0; cat <&3 & exit 7"),
                            (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                          .out = RILL_PROCESS_FD,
                                                          .out_fd = ends[1],
                                                          .new_group = !in_session,
                                                          .new_session = in_session,
                                                          .ends_group = true});
        ck_assert_int_eq(error, 0);
        close(ends[1]);
        ck_assert_int_eq(child_wait(), W_EXITCODE(7, 0));
        ck_assert_int_eq(read(ends[0], &byte, 1), 0);
        close(ends[0]);
        child_close();
    }
    child_close_world();
}
END_TEST

START_TEST(there_has_to_be_a_group_that_is_to_end)
{
    if (!child_open_world())
        return;
    ck_assert_int_eq(
        child_start(ARGUMENTS("/bin/true"), (struct rill_process_options){.ends_group = true}),
        -EINVAL);
    child_close_world();
}
END_TEST

/* A shell that has become cat, and another cat that it has started. */
static void start_group(void)
{
    expect_eq(child_start(SHELL("exec 3<&0; cat <&3 & echo ready; exec cat"),
                          (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                        .out = RILL_PROCESS_PIPE,
                                                        .new_group = true}),
              0);
    child_expect_ready();
}

START_TEST(a_signal_to_the_group_reaches_all_of_it)
{
    if (!child_open_world())
        return;
    start_group();
    ck_assert_int_eq(rill_process_kill_group(&child, 9999), -EINVAL);
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), 0);
    ck_assert_str_eq(child_text(&child.out), ""); /* the end, as both are gone */
    ck_assert_int_eq(child_wait(), SIGUSR2);
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), -ESRCH);
    child_close_world();
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

    if (!child_open_world())
        return;
    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
    start_group();
    ck_assert_int_eq(rill_process_kill_group(&child, 9999), -EINVAL);
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), 0);
    ck_assert_str_eq(child_text(&child.out), "");
    ck_assert_int_eq(waitpid(child.pid, NULL, 0), child.pid); /* its number may be another's now */
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), -ESRCH);
    ck_assert_int_eq(child_close(), -ECHILD);
    child_close_world();
}
END_TEST

static void expect_signals_where_pidfds_send_none(int error)
{
    if (!child_open_world())
        return;
    expect_eq(refuse_system_call(__NR_pidfd_send_signal, error), 0);
    child_start_endless();
    ck_assert_int_eq(child_close(), SIGKILL);
    start_group();
    ck_assert_int_eq(rill_process_kill(&child, 9999), -EINVAL);
    ck_assert_int_eq(rill_process_kill_group(&child, 9999), -EINVAL);
    ck_assert_int_eq(rill_process_kill_group(&child, SIGUSR2), 0);
    ck_assert_str_eq(child_text(&child.out), "");
    ck_assert_int_eq(waitpid(child.pid, NULL, 0), child.pid); /* its number may be another's now */
    ck_assert_int_eq(rill_process_kill(&child, SIGUSR2), -ESRCH);
    ck_assert_int_eq(child_close(), -ECHILD);
    child_close_world();
}

START_TEST(a_child_is_reached_where_a_filter_refuses_signals_by_pidfd)
{
    expect_signals_where_pidfds_send_none(EPERM);
}
END_TEST

START_TEST(a_child_is_reached_where_nobody_knows_signals_by_pidfd)
{
    expect_signals_where_pidfds_send_none(ENOSYS);
}
END_TEST

/* This program as a child that goes over to its parent's group, and waits there. */
static int leave_group(void)
{
    if (setpgid(0, getpgid(getppid())) < 0 || puts("ready") < 0 || fflush(stdout) != 0)
        return EXIT_FAILURE;
    for (;;)
        pause();
}

START_TEST(a_leader_that_has_left_its_group_is_ended_all_the_same)
{
    if (!child_open_world())
        return;
    for (int64_t grace = 0; grace < 2; grace++) {
        expect_eq(
            child_start(ARGUMENTS("/proc/self/exe", "leave"),
                        (struct rill_process_options){.out = RILL_PROCESS_PIPE, .new_group = true}),
            0);
        child_expect_ready();
        ck_assert_int_eq(await(rill_process_close(&child, grace * 3600 * RILL_SECOND)),
                         grace ? SIGTERM : SIGKILL);
    }
    child_close_world();
}
END_TEST

START_TEST(a_child_that_closes_its_pipes_lives_on)
{
    if (!child_open_world())
        return;
    expect_eq(child_start(SHELL("exec 3<&0 0</dev/null >&- 2>&-; read line <&3; exit 9"),
                          (struct rill_process_options){.in = RILL_PROCESS_PIPE,
                                                        .out = RILL_PROCESS_PIPE,
                                                        .err = RILL_PROCESS_PIPE}),
              0);
    ck_assert_str_eq(child_text(&child.out), "");
    ck_assert_str_eq(child_text(&child.err), "");
    background_start(&waiting, rill_process_wait(&child));
    settle();
    ck_assert(!rill_task_is_over(&waiting.task));
    ck_assert_int_eq(await(rill_pipe_write_all(child.in, &write_op, "go\n", 3)), 3);
    ck_assert_int_eq(background_end(&waiting), W_EXITCODE(9, 0));
    child_close_world();
}
END_TEST

START_TEST(a_released_child_is_the_callers)
{
    siginfo_t info;
    int pidfd;

    if (!child_open_world())
        return;
    child_start_idle();
    pidfd = rill_process_release(&child);
    ck_assert_int_eq(await(rill_process_close(&child, 0)), 0); /* which ends its input */
    ck_assert_int_eq(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
    ck_assert_int_eq(info.si_code, CLD_EXITED);
    close(pidfd);
    child_close_world();
}
END_TEST

/* ---- a program that ends ---- */

/* A program whose child ends only if it is asked to. */
static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    expect_eq(child_start(SHELL("echo ready; exec tail -f /dev/null"), PIPED_OUT), 0);
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

    if (!child_open_world())
        return;
    fixture_close(); /* a program has a runtime of its own */
    ck_assert_int_eq(rill_main(rill_future_init(&program, program_poll)), 0);
    ck_assert_int_eq(child.result, SIGTERM); /* which is blocked here, but not there */
    expect_no_children();
}
END_TEST

int main(int argc, char **argv)
{
    const struct fixture_case cases[] = {
        {closing_ends_a_child_that_never_ends, IN_REAL},
        {closing_can_not_be_cancelled, IN_REAL},
        {a_child_that_ends_well_within_its_grace_is_not_killed, IN_REAL},
        {a_child_that_is_stopped_goes_on_to_its_end, IN_REAL},
        {a_child_may_say_something_while_it_tidies_up, IN_REAL},
        {a_group_is_ended_with_its_leader, IN_REAL},
        {what_a_child_leaves_behind_ends_with_it_where_that_is_asked_for, IN_REAL},
        {there_has_to_be_a_group_that_is_to_end, IN_REAL},
        {a_signal_to_the_group_reaches_all_of_it, IN_REAL},
        {a_group_is_reached_where_pidfds_know_no_groups, IN_REAL},
        {a_child_is_reached_where_a_filter_refuses_signals_by_pidfd, IN_REAL},
        {a_child_is_reached_where_nobody_knows_signals_by_pidfd, IN_REAL},
        {a_leader_that_has_left_its_group_is_ended_all_the_same, IN_REAL},
        {a_child_that_closes_its_pipes_lives_on, IN_REAL},
        {a_released_child_is_the_callers, IN_REAL},
        {a_program_that_is_asked_to_end_asks_its_child, IN_REAL},
    };

    if (argc > 1 && strcmp(argv[1], "leave") == 0)
        return leave_group();
    if (no_children_here())
        return 77;
    return fixture_main("child_close", cases, sizeof cases / sizeof *cases);
}
