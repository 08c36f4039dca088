/* SPDX-License-Identifier: Apache-2.0 */
/* test_signals.c - a signal is seen once, whether somebody waits for it yet or not. */
#include "io/signals.h"

#include "io/program.h"
#include "runtime/notify.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "tests/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct rill_signals signals;
static struct background waiting;

static bool open_signals(void)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    ck_assert_int_eq(rill_signals_open(&signals, (const int[]){SIGUSR1, SIGUSR2}, 2), 0);
    return true;
}

static void close_signals(void)
{
    rill_signals_close(&signals);
    fixture_close();
}

START_TEST(a_signal_that_came_before_is_there)
{
    if (!open_signals())
        return;
    raise(SIGUSR1);
    ck_assert_int_eq(await(rill_signals_next(&signals)), SIGUSR1);
    close_signals();
}
END_TEST

START_TEST(a_signal_wakes_who_waits_for_it)
{
    if (!open_signals())
        return;
    background_start(&waiting, rill_signals_next(&signals));
    settle();
    ck_assert(!rill_task_is_over(&waiting.task));
    kill(getpid(), SIGUSR2);
    ck_assert_int_eq(background_end(&waiting), SIGUSR2);
    close_signals();
}
END_TEST

START_TEST(two_signals_are_two_results_and_two_of_a_kind_are_one)
{
    if (!open_signals())
        return;
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR2);
    ck_assert_int_eq(await(rill_signals_next(&signals)), SIGUSR1); /* the lower number first */
    ck_assert_int_eq(await(rill_signals_next(&signals)), SIGUSR2);
    background_start(&waiting, rill_signals_next(&signals));
    settle();
    ck_assert(!rill_task_is_over(&waiting.task));
    rill_task_cancel(&waiting.task);
    ck_assert_int_eq(background_end(&waiting), -ECANCELED);
    close_signals();
}
END_TEST

/* Nobody else would, and closing would let it act. */
START_TEST(a_task_that_is_cancelled_gets_the_signal_that_has_come)
{
    if (!open_signals())
        return;
    for (int turns = 0; turns < 5; turns++) {
        background_start(&waiting, rill_signals_next(&signals));
        for (int i = 0; i < turns; i++)
            fixture_turn();
        raise(SIGUSR1);
        rill_task_cancel(&waiting.task);
        ck_assert_int_eq(background_end(&waiting), SIGUSR1);
    }
    close_signals();
}
END_TEST

START_TEST(the_loser_of_a_select_leaves_the_signal_for_the_next)
{
    static struct rill_select select;
    static struct rill_future *choices[2];
    static struct rill_notify notify;
    static struct rill_wait wait;

    if (!open_signals())
        return;
    rill_notify_init(&notify);
    background_start(&waiting,
                     rill_select(&select, RILL_FUTURES(choices, rill_notify_wait(&notify, &wait),
                                                       rill_signals_next(&signals))));
    settle();
    raise(SIGUSR1);
    while (signals.op.state != RILL_OP_ANSWERED) /* and its task waits for the next turn */
        rill_executor_wait(&fixture.runtime->executor, RILL_NO_WAIT);
    rill_notify_one(&notify);
    ck_assert_int_eq(background_end(&waiting), 0);
    ck_assert_int_eq(signals.result, -ECANCELED);
    ck_assert_int_eq(await(rill_signals_next(&signals)), SIGUSR1);
    close_signals();
}
END_TEST

START_TEST(a_signal_that_another_reader_took_is_waited_for_again)
{
    static struct rill_signals other;
    struct background second;

    if (!open_signals())
        return;
    ck_assert_int_eq(rill_signals_open(&other, (const int[]){SIGUSR1}, 1), 0);
    background_start(&waiting, rill_signals_next(&signals));
    background_start(&second, rill_signals_next(&other));
    settle();
    raise(SIGUSR1);
    settle_until(rill_task_is_over(&waiting.task) != rill_task_is_over(&second.task));
    raise(SIGUSR1);
    ck_assert_int_eq(background_end(&waiting), SIGUSR1);
    ck_assert_int_eq(background_end(&second), SIGUSR1);
    rill_signals_close(&other);
    close_signals();
}
END_TEST

START_TEST(a_number_that_is_no_signal_is_EINVAL_and_opens_nothing)
{
    if (!fixture_open(REAL, NULL, NULL))
        return;
    ck_assert_int_eq(rill_signals_open(&signals, (const int[]){SIGUSR1, 9999}, 2), -EINVAL);
    ck_assert_int_eq(rill_signals_open(&signals, (const int[]){-1}, 1), -EINVAL);
    rill_signals_close(&signals);
    fixture_close();
}
END_TEST

START_TEST(signals_that_find_no_descriptor_say_so_and_stay_as_they_were)
{
    struct rlimit limit, none;
    sigset_t set;
    int result;

    if (getenv("TEST_UNDER_VALGRIND"))
        return; /* valgrind keeps RLIMIT_NOFILE for itself */
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    result = rill_signals_open(&signals, (const int[]){SIGUSR1}, 1);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(result, -EMFILE);
    sigprocmask(SIG_BLOCK, NULL, &set);
    ck_assert(!sigismember(&set, SIGUSR1));
    rill_signals_close(&signals);
}
END_TEST

static volatile sig_atomic_t handled;

static void on_signal(int number)
{
    handled = number;
}

static void close_while_waiting(void)
{
    open_signals();
    background_start(&waiting, rill_signals_next(&signals));
    settle();
    rill_signals_close(&signals);
}

START_TEST(closing_while_a_task_waits_is_a_panic)
{
    if (!open_signals())
        return;
    close_signals();
    fixture_expect_panic(close_while_waiting, "signals were closed while a task waits");
}
END_TEST

static void wait_for_closed(void)
{
    open_signals();
    rill_signals_close(&signals);
    rill_signals_next(&signals);
}

/* Whoever has their descriptor's number now would be read from. */
START_TEST(waiting_for_those_that_are_closed_is_a_panic)
{
    if (!open_signals())
        return;
    close_signals();
    fixture_expect_panic(wait_for_closed, "signals are awaited that are not open");
}
END_TEST

static void open_twice(void)
{
    open_signals();
    rill_signals_open(&signals, (const int[]){SIGHUP}, 1);
}

/* The first would stay blocked, and nobody could read them any more. */
START_TEST(those_that_are_open_are_not_opened_again)
{
    if (!open_signals())
        return;
    close_signals();
    fixture_expect_panic(open_twice, "signals were opened that are open already");
}
END_TEST

START_TEST(closing_gives_the_signals_back_as_they_were)
{
    sigset_t before, after;

    if (!fixture_open(REAL, NULL, NULL))
        return;
    signal(SIGUSR1, on_signal);
    sigprocmask(SIG_BLOCK, NULL, &before);
    ck_assert_int_eq(rill_signals_open(&signals, (const int[]){SIGUSR1}, 1), 0);
    raise(SIGUSR1);
    ck_assert_int_eq(handled, 0);
    ck_assert_int_eq(await(rill_signals_next(&signals)), SIGUSR1);
    rill_signals_close(&signals);
    rill_signals_close(&signals); /* twice does nothing */
    raise(SIGUSR1);
    ck_assert_int_eq(handled, SIGUSR1);
    sigprocmask(SIG_BLOCK, NULL, &after);
    for (int number = 1; number < 32; number++)
        ck_assert_int_eq(sigismember(&before, number), sigismember(&after, number));
    fixture_close();
}
END_TEST

static bool is_blocked(int number)
{
    sigset_t set;

    sigprocmask(SIG_BLOCK, NULL, &set);
    return sigismember(&set, number);
}

/* A program's own signals are opened after those of rill_main, and closed after them. */
START_TEST(each_gives_back_what_it_took_and_nothing_else)
{
    struct rill_signals outer = {0}, inner = {0};

    if (!fixture_open(REAL, NULL, NULL))
        return;
    ck_assert_int_eq(rill_signals_open(&outer, (const int[]){SIGUSR1}, 1), 0);
    ck_assert_int_eq(rill_signals_open(&inner, (const int[]){SIGUSR1, SIGUSR2}, 2), 0);
    rill_signals_close(&outer);
    expect(is_blocked(SIGUSR2));
    rill_signals_close(&inner);
    expect(!is_blocked(SIGUSR1));
    expect(!is_blocked(SIGUSR2));
    fixture_close();
}
END_TEST

START_TEST(a_signal_that_another_still_has_open_stays_blocked)
{
    struct rill_signals first = {0}, second = {0}, third = {0};

    if (!fixture_open(REAL, NULL, NULL))
        return;
    ck_assert_int_eq(rill_signals_open(&first, (const int[]){SIGUSR1, SIGUSR1}, 2), 0);
    ck_assert_int_eq(rill_signals_open(&second, (const int[]){SIGUSR1}, 1), 0);
    rill_signals_close(&first);
    expect(is_blocked(SIGUSR1));
    ck_assert_int_eq(rill_signals_open(&third, (const int[]){SIGUSR1}, 1), 0);
    rill_signals_close(&second);
    expect(is_blocked(SIGUSR1));
    raise(SIGUSR1); /* which would end the process */
    ck_assert_int_eq(await(rill_signals_next(&third)), SIGUSR1);
    rill_signals_close(&third);
    expect(!is_blocked(SIGUSR1));
    fixture_close();
}
END_TEST

START_TEST(closing_what_was_never_opened_does_nothing)
{
    struct rill_signals never = {0};

    if (!fixture_open(REAL, NULL, NULL))
        return;
    rill_signals_close(&never);
    expect(fcntl(0, F_GETFD) >= 0 || errno != EBADF);
    fixture_close();
}
END_TEST

/* The main future of a program that is asked to end, by a signal or by nobody. */
struct ending {
    struct rill_future future;
    struct rill_sleep sleep;
    bool is_signalled;
    enum rill_cancel_reason reason;
};

static enum rill_poll ending_poll(struct rill_future *self, struct rill_task *task)
{
    struct ending *ending = rill_container_of(self, struct ending, future);

    RILL_BEGIN();
    if (ending->is_signalled)
        raise(SIGTERM);
    RILL_AWAIT(
        rill_sleep(&ending->sleep, ending->is_signalled ? 3600 * RILL_SECOND : RILL_MILLISECOND));
    ending->reason = rill_task_cancel_reason(task);
    RILL_RETURN(ending->sleep.result);
    RILL_END();
}

START_TEST(a_program_that_gets_a_signal_ends_because_of_a_shutdown)
{
    struct ending ending = {.is_signalled = false};

    if (!fixture_open(REAL, NULL, NULL))
        return;
    fixture_close(); /* a program has a runtime of its own */
    ck_assert_int_eq(rill_main(rill_future_init(&ending.future, ending_poll)), 0);
    ck_assert_int_eq(ending.sleep.result, 0);
    ck_assert_int_eq(ending.reason, RILL_NOT_CANCELLED);
    ending.is_signalled = true;
    ck_assert_int_eq(rill_main(rill_future_init(&ending.future, ending_poll)), 0);
    ck_assert_int_eq(ending.sleep.result, -ECANCELED);
    ck_assert_int_eq(ending.reason, RILL_SHUTTING_DOWN);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_signal_that_came_before_is_there, IN_REAL},
        {a_signal_wakes_who_waits_for_it, IN_REAL},
        {two_signals_are_two_results_and_two_of_a_kind_are_one, IN_REAL},
        {a_task_that_is_cancelled_gets_the_signal_that_has_come, IN_REAL},
        {the_loser_of_a_select_leaves_the_signal_for_the_next, IN_REAL},
        {a_signal_that_another_reader_took_is_waited_for_again, IN_REAL},
        {a_number_that_is_no_signal_is_EINVAL_and_opens_nothing, IN_REAL},
        {signals_that_find_no_descriptor_say_so_and_stay_as_they_were, IN_REAL},
        {each_gives_back_what_it_took_and_nothing_else, IN_REAL},
        {a_signal_that_another_still_has_open_stays_blocked, IN_REAL},
        {closing_what_was_never_opened_does_nothing, IN_REAL},
        {closing_while_a_task_waits_is_a_panic, IN_REAL},
        {waiting_for_those_that_are_closed_is_a_panic, IN_REAL},
        {those_that_are_open_are_not_opened_again, IN_REAL},
        {closing_gives_the_signals_back_as_they_were, IN_REAL},
        {a_program_that_gets_a_signal_ends_because_of_a_shutdown, IN_REAL},
    };

    return fixture_main("signals", cases, sizeof cases / sizeof *cases);
}
