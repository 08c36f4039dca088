/* SPDX-License-Identifier: Apache-2.0 */
/* test_remote_call.c - what a task calls in another runtime runs there, and its result comes here.
 *
 * Check's own assertions belong to the main thread: what the keeper does uses expect. */
#include "io/remote_call.h"

#include "io/waker.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* Another thread with a runtime, which keeps a count. */
static struct keeper {
    pthread_t thread;
    struct rill_remote *remote;
    struct rill_waker end;
    struct gate is_open, is_called, may_go;
    int64_t count; /* its own */
    unsigned calls;
} keeper;

static struct rill_remote_call one, other;
static struct background first, second;

static void *keeper_main(void *argument)
{
    struct rill_runtime *runtime;

    (void)argument;
    expect_eq(rill_runtime_create(&runtime, NULL), 0);
    expect_eq(rill_remote_open(&keeper.remote), 0);
    expect_eq(rill_waker_open(&keeper.end), 0);
    gate_open(&keeper.is_open);
    expect_eq(rill_block_on(runtime, rill_waker_wait(&keeper.end)), 0);
    rill_waker_close(&keeper.end);
    rill_runtime_shutdown(runtime, 0);
    rill_runtime_destroy(runtime);
    return NULL;
}

static bool open_keeper(void)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    memset(&keeper, 0, sizeof keeper);
    gate_init(&keeper.is_open);
    gate_init(&keeper.is_called);
    gate_init(&keeper.may_go);
    keeper.thread = thread_start(keeper_main, NULL);
    gate_pass(&keeper.is_open);
    return true;
}

static void end_keeper(void)
{
    expect_eq(rill_waker_wake(&keeper.end), 0);
    thread_join(keeper.thread);
}

static void close_keeper(void)
{
    rill_remote_release(keeper.remote);
    fixture_close();
}

static int64_t add(void *argument)
{
    expect(pthread_equal(pthread_self(), keeper.thread));
    keeper.calls++;
    keeper.count += *(const int64_t *)argument;
    return keeper.count;
}

static int64_t find_no_room(void *argument)
{
    (void)argument;
    return -ENOSPC;
}

static int64_t wait_at_the_gate(void *argument)
{
    gate_open(&keeper.is_called);
    gate_pass(&keeper.may_go);
    return add(argument);
}

START_TEST(the_result_is_that_of_the_function)
{
    int64_t three = 3;

    if (!open_keeper())
        return;
    ck_assert_int_eq(await(rill_remote_call(&one, keeper.remote, add, &three)), 3);
    ck_assert_int_eq(await(rill_remote_call(&one, keeper.remote, add, &three)), 6);
    ck_assert_int_eq(await(rill_remote_call(&one, keeper.remote, find_no_room, NULL)), -ENOSPC);
    end_keeper();
    close_keeper();
}
END_TEST

START_TEST(a_runtime_that_sleeps_is_called_at_once)
{
    int64_t three = 3;

    if (!open_keeper())
        return;
    until_asleep(keeper.remote);
    ck_assert_int_eq(await(rill_remote_call(&one, keeper.remote, add, &three)), 3);
    end_keeper();
    close_keeper();
}
END_TEST

static int64_t next(void *argument)
{
    int64_t *number = argument;

    return ++*number;
}

START_TEST(a_runtime_may_call_itself)
{
    struct rill_remote *self;
    int64_t number = 0;

    if (!fixture_open(REAL, NULL, NULL))
        return;
    expect_eq(rill_remote_open(&self), 0);
    ck_assert_int_eq(await(rill_remote_call(&one, self, next, &number)), 1);
    rill_remote_release(self);
    fixture_close();
}
END_TEST

START_TEST(calls_are_made_in_the_order_in_which_they_were_awaited)
{
    int64_t three = 3, four = 4;

    if (!open_keeper())
        return;
    background_start(&first, rill_remote_call(&one, keeper.remote, add, &three));
    background_start(&second, rill_remote_call(&other, keeper.remote, add, &four));
    ck_assert_int_eq(background_end(&first), 3);
    ck_assert_int_eq(background_end(&second), 7);
    end_keeper();
    close_keeper();
}
END_TEST

START_TEST(what_was_cancelled_before_its_turn_is_not_called)
{
    int64_t three = 3, four = 4;

    if (!open_keeper())
        return;
    background_start(&first, rill_remote_call(&one, keeper.remote, wait_at_the_gate, &three));
    fixture_turn();
    gate_pass(&keeper.is_called);
    background_start(&second, rill_remote_call(&other, keeper.remote, add, &four));
    fixture_turn();
    rill_task_cancel(&first.task);
    rill_task_cancel(&second.task);
    fixture_turn();
    ck_assert(!rill_task_is_over(&second.task)); /* the call lies there still */
    gate_open(&keeper.may_go);
    ck_assert_int_eq(background_end(&first), 3); /* it had begun */
    ck_assert_int_eq(background_end(&second), -ECANCELED);
    end_keeper();
    ck_assert_uint_eq(keeper.calls, 1);
    close_keeper();
}
END_TEST

START_TEST(a_task_that_is_cancelled_already_calls_nothing)
{
    int64_t three = 3;

    if (!open_keeper())
        return;
    background_start(&first, rill_remote_call(&one, keeper.remote, add, &three));
    rill_task_cancel(&first.task);
    ck_assert_int_eq(background_end(&first), -ECANCELED);
    end_keeper();
    ck_assert_uint_eq(keeper.calls, 0);
    close_keeper();
}
END_TEST

START_TEST(a_call_of_a_runtime_that_has_ended_is_ESHUTDOWN)
{
    int64_t three = 3;

    if (!open_keeper())
        return;
    end_keeper();
    ck_assert_int_eq(await(rill_remote_call(&one, keeper.remote, add, &three)), -ESHUTDOWN);
    close_keeper();
}
END_TEST

/* One that was accepted is made, however the runtime ends. */
START_TEST(a_call_while_the_runtime_ends_is_made_or_refused)
{
    unsigned rounds = threads_scaled(200);

    for (unsigned i = 0; i < rounds; i++) {
        int64_t count = 0, result, three = 3;

        if (!open_keeper())
            return;
        for (unsigned j = 0; j < i % 10; j++, count += 3)
            expect_eq(await(rill_remote_call(&one, keeper.remote, add, &three)), count + 3);
        expect_eq(rill_waker_wake(&keeper.end), 0);
        do {
            result = await(rill_remote_call(&one, keeper.remote, add, &three));
            if (result >= 0)
                expect_eq(result, count += 3);
        } while (result >= 0);
        expect_eq(result, -ESHUTDOWN);
        thread_join(keeper.thread);
        expect_eq(keeper.count, count);
        close_keeper();
    }
}
END_TEST

/* A thread with a runtime that calls the other one, and is called by it. */
static struct side {
    pthread_t thread, self; /* the same, known to either side from the beginning */
    struct rill_remote *remote;
    struct side *other;
    struct gate is_open;
    struct rill_future future;
    struct rill_remote_call call;
    int64_t made, answered; /* calls: by this side, and by its runtime */
} sides[2];

static int64_t answer_side(void *argument)
{
    struct side *side = argument;

    expect(pthread_equal(pthread_self(), side->other->self));
    return ++side->other->answered;
}

/* Until the other one has ended. */
static enum rill_poll side_poll(struct rill_future *self, struct rill_task *task)
{
    struct side *side = rill_container_of(self, struct side, future);

    RILL_BEGIN();
    while (side->made < threads_scaled(10000)) {
        RILL_AWAIT(rill_remote_call(&side->call, side->other->remote, answer_side, side));
        if (side->call.result < 0)
            break;
        expect_eq(side->call.result, ++side->made);
    }
    RILL_END();
}

static void *side_main(void *argument)
{
    struct side *side = argument;
    struct rill_runtime *runtime;

    expect_eq(rill_runtime_create(&runtime, NULL), 0);
    expect_eq(rill_remote_open(&side->remote), 0);
    side->self = pthread_self();
    gate_open(&side->is_open);
    gate_pass(&side->other->is_open);
    expect_eq(rill_block_on(runtime, rill_future_init(&side->future, side_poll)), 0);
    expect(side->call.result > 0 || side->call.result == -ESHUTDOWN);
    rill_runtime_shutdown(runtime, 0);
    rill_runtime_destroy(runtime);
    return NULL;
}

START_TEST(two_runtimes_call_each_other_to_the_end_of_either)
{
    for (int i = 0; i < 2; i++) {
        sides[i] = (struct side){.other = &sides[1 - i]};
        gate_init(&sides[i].is_open);
    }
    for (int i = 0; i < 2; i++)
        sides[i].thread = thread_start(side_main, &sides[i]);
    for (int i = 0; i < 2; i++)
        thread_join(sides[i].thread);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(sides[i].answered, sides[1 - i].made);
        rill_remote_release(sides[i].remote);
    }
}
END_TEST

START_TEST(it_is_named_where_a_task_waits)
{
    int64_t three = 3;
    char text[1000] = "";
    FILE *out = fmemopen(text, sizeof text, "w");

    if (!open_keeper())
        return;
    background_start(&first, rill_remote_call(&one, keeper.remote, wait_at_the_gate, &three));
    fixture_turn();
    rill_task_print(&first.task, out);
    fclose(out);
    ck_assert_ptr_nonnull(strstr(text, "call in another runtime"));
    gate_open(&keeper.may_go);
    ck_assert_int_eq(background_end(&first), 3);
    end_keeper();
    close_keeper();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {the_result_is_that_of_the_function, IN_REAL},
        {a_runtime_that_sleeps_is_called_at_once, IN_REAL},
        {a_runtime_may_call_itself, IN_REAL},
        {calls_are_made_in_the_order_in_which_they_were_awaited, IN_REAL},
        {what_was_cancelled_before_its_turn_is_not_called, IN_REAL},
        {a_task_that_is_cancelled_already_calls_nothing, IN_REAL},
        {a_call_of_a_runtime_that_has_ended_is_ESHUTDOWN, IN_REAL},
        {a_call_while_the_runtime_ends_is_made_or_refused, IN_REAL},
        {two_runtimes_call_each_other_to_the_end_of_either, IN_REAL},
        {it_is_named_where_a_task_waits, IN_REAL},
    };

    return fixture_main("remote_call", cases, sizeof cases / sizeof cases[0]);
}
