/* SPDX-License-Identifier: Apache-2.0 */
/* test_panic.c - a panic says what, where, and in which task, and then aborts. */
#include "runtime/panic.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct latch latch;

enum { PANIC_LINE = __LINE__ + 4 };

static void panic_with_arguments(void)
{
    rill_panic("%d of %s", 7, "them");
}

START_TEST(a_panic_prints_its_place_and_its_message)
{
    char text[200];

    snprintf(text, sizeof text, "rill: %s:%d: 7 of them\n", __FILE__, PANIC_LINE);
    ck_assert_str_eq(rig_abort_message(panic_with_arguments), text);
}
END_TEST

static enum rill_poll panic_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(latch_wait(&latch));
    rill_check(latch.result == 0, "the latch was opened with %lld", (long long)latch.result);
    RILL_END();
}

static void panic_inside_a_task(void)
{
    struct rill_future future;
    struct runner runner = {.polls = 0}, other = {.polls = 0};
    struct latch of_other = {.drain_polls = 0};

    runner_start(&other, latch_wait(&of_other), NULL);
    runner_start(&runner, rill_future_init(&future, panic_poll), NULL);
    rig_turn();
    latch_open(&latch, 3);
    rig_turn();
}

START_TEST(a_panic_inside_a_task_prints_the_chain_of_its_futures_and_no_other)
{
    const char *message = rig_abort_message(panic_inside_a_task);

    rig_expect_text(message, "the latch was opened with 3\n");
    rig_expect_text(message, ", running\n  runner_poll at tests/rig.c:");
    rig_expect_text(message, "  panic_poll at tests/test_panic.c:");
    ck_assert_ptr_null(strstr(message, "parked"));
}
END_TEST

static void *panic_in_thread(void *nothing)
{
    rill_panic("no runtime here");
    return nothing;
}

static void panic_without_a_runtime(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, panic_in_thread, NULL) == 0)
        pthread_join(thread, NULL);
}

START_TEST(a_panic_needs_no_runtime)
{
    rig_expect_text(rig_abort_message(panic_without_a_runtime), "no runtime here\n");
}
END_TEST

START_TEST(a_check_that_holds_is_evaluated_once_and_says_nothing)
{
    int evaluated = 0;

    rill_check(++evaluated, "unreachable");
    ck_assert_int_eq(evaluated, 1);
    if (evaluated == 2)
        rill_check(false, "a check is a statement of its own");
    else
        evaluated = 3;
    ck_assert_int_eq(evaluated, 3);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_panic_prints_its_place_and_its_message,
        a_panic_inside_a_task_prints_the_chain_of_its_futures_and_no_other,
        a_panic_needs_no_runtime,
        a_check_that_holds_is_evaluated_once_and_says_nothing,
    };

    return rig_main("panic", tests, RIG_COUNT(tests));
}
