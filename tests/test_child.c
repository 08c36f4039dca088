/* SPDX-License-Identifier: Apache-2.0 */
/* test_child.c - a child's end is told once, to whom it belongs, whatever is cancelled. */
#include "io/process.h"

#include "tests/child.h"
#include "tests/threads.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <unistd.h>

static struct background waiting;

/* ---- how it ends ---- */

START_TEST(the_result_is_the_exit_status)
{
    if (!child_open_world())
        return;
    expect_eq(child_start(ARGUMENTS("true"), PIPED_OUT), 0);
    ck_assert_int_gt(child.pid, 0);
    background_start(&waiting, rill_process_wait(&child));
    ck_assert_int_eq(background_end(&waiting), 0);
    ck_assert_uint_le(waiting.polls, 2); /* and no pause behind the end */
    child_close();
    expect_eq(child_start(ARGUMENTS("sh", "-c", "exit 42"), PIPED_OUT), 0);
    ck_assert_int_eq(child_wait(), W_EXITCODE(42, 0));
    ck_assert(!child.is_running);
    ck_assert_int_eq(child_wait(), W_EXITCODE(42, 0)); /* as often as one likes */
    child_close_world();
}
END_TEST

START_TEST(the_result_is_the_signal_that_has_ended_it)
{
    if (!child_open_world())
        return;
    child_start_idle();
    ck_assert_int_eq(rill_process_kill(&child, SIGUSR1), 0);
    ck_assert_int_eq(child_wait(), SIGUSR1);
    ck_assert(WIFSIGNALED((int)child.result) && WTERMSIG((int)child.result) == SIGUSR1);
    child_close();
    child_start_idle();
    ck_assert_int_eq(rill_process_kill(&child, SIGKILL), 0);
    ck_assert_int_eq(child_close(), SIGKILL);
    child_close_world();
}
END_TEST

START_TEST(a_signal_to_a_child_that_is_over_reaches_nobody)
{
    if (!child_open_world())
        return;
    child_start_idle();
    ck_assert_int_eq(rill_process_kill(&child, 9999), -EINVAL);
    ck_assert_int_eq(rill_process_kill(&child, 0), 0);
    rill_process_close_in(&child);
    ck_assert_int_eq(child_wait(), 0);
    ck_assert_int_eq(rill_process_kill(&child, SIGKILL), -ESRCH);
    child_close_world();
}
END_TEST

START_TEST(a_wait_that_is_cancelled_leaves_the_child_alone)
{
    if (!child_open_world())
        return;
    for (int turns = 0; turns < 5; turns++) {
        child_start_idle();
        background_start(&waiting, rill_process_wait(&child));
        for (int i = 0; i < turns; i++)
            fixture_turn();
        rill_task_cancel(&waiting.task);
        ck_assert_int_eq(background_end(&waiting), -ECANCELED);
        ck_assert(child.is_running);
        rill_process_close_in(&child);
        ck_assert_int_eq(child_wait(), 0);
        child_close();
    }
    child_close_world();
}
END_TEST

START_TEST(an_end_that_meets_a_cancel_is_not_lost)
{
    if (!child_open_world())
        return;
    for (int turns = 0; turns < 8; turns++) {
        int64_t result;

        child_start_idle();
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
        ck_assert_int_eq(child_wait(), 0);
        child_close();
    }
    child_close_world();
}
END_TEST

START_TEST(a_wait_that_is_polled_for_no_reason_goes_on)
{
    if (!child_open_world())
        return;
    child_start_idle();
    background_start(&waiting, rill_process_wait(&child));
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&waiting.task);
    }
    ck_assert(!rill_task_is_over(&waiting.task));
    rill_process_close_in(&child);
    ck_assert_int_eq(background_end(&waiting), 0);
    child_close_world();
}
END_TEST

static unsigned rounds;

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (rounds = 0; !rill_task_is_cancelled(task); rounds++)
        RILL_AWAIT(rill_process_wait(&child));
    RILL_END();
}

START_TEST(waits_for_an_end_that_is_known_let_others_run)
{
    static struct rill_task greedy;
    struct rill_join join;

    if (!child_open_world())
        return;
    child_start_endless();
    ck_assert_int_eq(child_close(), SIGKILL);
    rill_task_spawn(&greedy, greedy_poll);
    fixture_turn();
    ck_assert_uint_eq(rounds, RILL_TASK_BUDGET);
    rill_task_cancel(&greedy);
    ck_assert_int_eq(await(rill_task_join(&greedy, &join)), 0);
    child_close_world();
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
    if (!child_open_world())
        return;
    fixture_on_entry(fail_polls);
    child_start_endless();
    polls_to_fail = 1;
    ck_assert_int_eq(child_wait(), -EBADF);
    ck_assert(child.is_running);
    polls_to_fail = 3;
    ck_assert_int_eq(child_close(), SIGKILL);
    child_close_world();
}
END_TEST

/* The child is asked to end, tells so, and does when it is given a line. */
START_TEST(a_wait_that_fails_does_not_shorten_the_grace)
{
    int ends[2], told[2];
    char text[8] = "";

    if (!child_open_world())
        return;
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(told, O_CLOEXEC), 0);
    ck_assert_int_eq(
        child_start(SHELL("trap 'echo asked >&2; read line; exit 7' TERM; echo ready; read line"),
                    (struct rill_process_options){.in = RILL_PROCESS_FD,
                                                  .in_fd = ends[0],
                                                  .out = RILL_PROCESS_PIPE,
                                                  .err = RILL_PROCESS_FD,
                                                  .err_fd = told[1]}),
        0);
    child_expect_ready();
    fixture_on_entry(fail_polls);
    polls_to_fail = 2;
    background_start(&waiting, rill_process_close(&child, 3600 * RILL_SECOND));
    settle();
    ck_assert_int_eq(read(told[0], text, sizeof text), 6);
    ck_assert_str_eq(text, "asked\n");
    ck_assert_int_eq(write(ends[1], "go\n", 3), 3);
    ck_assert_int_eq(background_end(&waiting), W_EXITCODE(7, 0));
    ck_assert_uint_eq(polls_to_fail, 0);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(told[i]);
    }
    child_close_world();
}
END_TEST

START_TEST(children_of_others_are_left_to_them)
{
    pid_t other;
    int status;

    if (!child_open_world())
        return;
    other = fork();
    if (other == 0)
        _exit(5);
    child_start_endless();
    ck_assert_int_eq(child_close(), SIGKILL);
    ck_assert_int_eq(waitpid(other, &status, 0), other);
    ck_assert_int_eq(WEXITSTATUS(status), 5);
    child_close_world();
}
END_TEST

START_TEST(an_end_that_somebody_else_has_taken_is_ECHILD)
{
    if (!child_open_world())
        return;
    child_start_idle();
    rill_process_close_in(&child);
    ck_assert_int_eq(waitpid(child.pid, NULL, 0), child.pid);
    ck_assert_int_eq(rill_process_kill(&child, SIGKILL), -ESRCH);
    ck_assert_int_eq(child_wait(), -ECHILD);
    ck_assert_int_eq(child_close(), -ECHILD);
    signal(SIGCHLD, SIG_IGN);
    child_start_idle();
    rill_process_close_in(&child);
    ck_assert_int_eq(child_wait(), -ECHILD);
    child_close_world();
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

    if (!child_open_world())
        return;
    child_start_idle();
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
    child_close();
    ck_assert_int_eq(waitpid(tracer, &status, 0), tracer);
    ck_assert_int_le(WEXITSTATUS(status), 1);
    close(to[0]);
    close(to[1]);
    close(from[0]);
    child_close_world();
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

static const struct rill_process_options echo = {
    .argv = ARGUMENTS("/bin/echo", "hello"),
    .in = RILL_PROCESS_NULL,
    .out = RILL_PROCESS_PIPE,
};

static enum rill_poll one_poll(struct rill_future *self, struct rill_task *task)
{
    struct one_of_many *one = rill_container_of(self, struct one_of_many, task.future);

    RILL_BEGIN();
    expect_eq(rill_process_start(&one->process, &echo), 0);
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

    if (!child_open_world())
        return;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < AT_ONCE; i++)
            rill_task_spawn(&many[i].task, one_poll);
        for (int i = 0; i < AT_ONCE; i++)
            expect_eq(await(rill_task_join(&many[i].task, &join)), 0);
        expect_no_children();
        expect_eq(fixture.runtime->reactor.fds_open, 0);
        if (round == 0)
            at_first = memory_in_use();
    }
    ck_assert_uint_eq(memory_in_use(), at_first);
    child_close_world();
}
END_TEST

enum { CHILDREN_OF_A_THREAD = 100 };

static const struct rill_process_options cat = {
    .argv = ARGUMENTS("cat"),
    .in = RILL_PROCESS_PIPE,
    .out = RILL_PROCESS_PIPE,
};

/* If a child of the other thread held the pipe of this one, the end would not be read. */
static enum rill_poll starter_poll(struct rill_future *self, struct rill_task *task)
{
    struct one_of_many *one = rill_container_of(self, struct one_of_many, task.future);

    RILL_BEGIN();
    for (one->started = 0; one->started < CHILDREN_OF_A_THREAD; one->started++) {
        expect_eq(rill_process_start(&one->process, &cat), 0);
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

    if (!child_open_world())
        return;
    for (int i = 0; i < 2; i++)
        threads[i] = thread_start(run_starter, &many[i]);
    for (int i = 0; i < 2; i++)
        thread_join(threads[i]);
    child_close_world();
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
    child_start_idle();
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
    if (!child_open_world())
        return;
    fixture_expect_panic(wait_for_nobody, "awaited that was not started");
    child_start_idle();
    fixture_expect_panic(start_again, "started again that was not closed");
    fixture_expect_panic(kill_no_group, "to the group of a process without one");
    background_start(&waiting, rill_process_wait(&child));
    settle();
    fixture_expect_panic(wait_again, "two tasks wait for the same process");
    fixture_expect_panic(close_under_a_wait, "closed while a task waits for it");
    fixture_expect_panic(release_under_a_wait, "released while a task waits for it");
    rill_process_close_in(&child);
    ck_assert_int_eq(background_end(&waiting), 0);
    child_close_world();
}
END_TEST

START_TEST(one_that_runs_or_has_a_pipe_open_is_not_started_again)
{
    static const struct rill_process_options each[] = {
        {.in = RILL_PROCESS_PIPE},
        {.out = RILL_PROCESS_PIPE},
        {.err = RILL_PROCESS_PIPE},
    };

    if (!child_open_world())
        return;
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(child_start(ARGUMENTS("/bin/true"), each[i]), 0);
        child_wait();
        fixture_expect_panic(start_again, "started again that was not closed");
        child_close();
    }
    ck_assert_int_eq(child_start(ARGUMENTS("/bin/sleep", "1000"), NOTHING_SPECIAL), 0);
    fixture_expect_panic(start_again, "started again that was not closed");
    child_close();
    child_close_world();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {the_result_is_the_exit_status, IN_REAL},
        {one_that_runs_or_has_a_pipe_open_is_not_started_again, IN_REAL},
        {the_result_is_the_signal_that_has_ended_it, IN_REAL},
        {a_signal_to_a_child_that_is_over_reaches_nobody, IN_REAL},
        {a_wait_that_is_cancelled_leaves_the_child_alone, IN_REAL},
        {an_end_that_meets_a_cancel_is_not_lost, IN_REAL},
        {a_wait_that_is_polled_for_no_reason_goes_on, IN_REAL},
        {waits_for_an_end_that_is_known_let_others_run, IN_REAL},
        {a_wait_that_fails_can_be_repeated_and_closing_repeats_it_by_itself, IN_REAL},
        {a_wait_that_fails_does_not_shorten_the_grace, IN_REAL},
        {children_of_others_are_left_to_them, IN_REAL},
        {an_end_that_somebody_else_has_taken_is_ECHILD, IN_REAL},
        {an_end_that_a_debugger_holds_back_is_waited_for, IN_REAL},
        {a_thousand_children_leave_nothing, IN_REAL},
        {threads_start_children_at_the_same_time, IN_REAL},
        {bad_use_panics, IN_REAL},
    };

    if (no_children_here())
        return 77;
    return fixture_main("child", cases, sizeof cases / sizeof *cases);
}
