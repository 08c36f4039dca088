/* SPDX-License-Identifier: Apache-2.0 */
/* test_blocking.c - a function that blocks runs elsewhere, and its result comes here. */
#include "io/blocking.h"

#include "runtime/select.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>

static struct rill_workers pool;
static struct rill_blocking one, other;
static struct background first, second;
static struct gate gate;
static int calls; /* atomic */
static pthread_t here;

static int64_t answer(void *argument)
{
    expect(!pthread_equal(pthread_self(), here));
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    return *(int64_t *)argument;
}

static int64_t held(void *argument)
{
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    gate_pass(&gate);
    return *(int64_t *)argument;
}

static bool open_pool(unsigned threads_max, size_t waiting_max)
{
    const struct rill_workers_options options = {.threads_max = threads_max,
                                                 .waiting_max = waiting_max};

    if (!fixture_open(REAL, NULL, NULL))
        return false;
    here = pthread_self();
    gate_init(&gate);
    rill_workers_init(&pool, &options);
    return true;
}

static void close_pool(void)
{
    rill_workers_finish(&pool);
    fixture_close();
}

static void until_called(int count)
{
    while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) < count)
        sched_yield();
}

static void until_idle(void)
{
    bool is_idle = false;

    while (!is_idle) {
        sched_yield();
        pthread_mutex_lock(&pool.lock);
        is_idle = pool.busy == 0 && pool.waiting_count == 0;
        pthread_mutex_unlock(&pool.lock);
    }
}

START_TEST(the_result_is_that_of_the_function)
{
    int64_t values[] = {42, 0, -ENOSPC};

    if (!open_pool(1, 0))
        return;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(await(rill_blocking(&one, &pool, answer, &values[i])), values[i]);
    ck_assert_int_eq(await(rill_blocking(&one, NULL, answer, &values[0])), 42);
    fixture.keeps_fds = true; /* the remote's, until the shared pool's thread lets go of it */
    close_pool();
}
END_TEST

START_TEST(other_tasks_run_while_a_function_blocks)
{
    int64_t value = 1;
    struct rill_sleep sleep;

    if (!open_pool(1, 0))
        return;
    background_start(&first, rill_blocking(&one, &pool, held, &value));
    ck_assert_int_eq(await(rill_sleep(&sleep, 1 * RILL_MILLISECOND)), 0);
    ck_assert(!rill_task_is_over(&first.task));
    gate_open(&gate);
    ck_assert_int_eq(background_end(&first), 1);
    ck_assert_uint_le(first.polls, 2);
    close_pool();
}
END_TEST

static bool is_taken;

/* Polls the call until another task does. */
static enum rill_poll give_poll(struct rill_future *self, struct rill_task *task)
{
    if (is_taken)
        return rill_future_end(self, 0);
    ck_assert_int_eq(one.future.poll(&one.future, task), RILL_PENDING);
    return RILL_PENDING;
}

START_TEST(a_call_that_is_handed_to_another_task_wakes_that)
{
    int64_t value = 42;
    struct rill_future give;

    if (!open_pool(1, 0))
        return;
    rill_blocking(&one, &pool, held, &value);
    background_start(&first, rill_future_init(&give, give_poll));
    settle();
    background_start(&second, &one.future);
    settle();
    is_taken = true;
    rill_task_wake(&first.task);
    ck_assert_int_eq(background_end(&first), 0); /* it may end: the call is not its own any more */
    gate_open(&gate);
    ck_assert_int_eq(background_end(&second), 42);
    close_pool();
}
END_TEST

START_TEST(one_that_has_not_begun_is_cancelled_at_once_and_never_called)
{
    int64_t values[] = {1, 2};

    if (!open_pool(1, 0))
        return;
    background_start(&first, rill_blocking(&one, &pool, held, &values[0]));
    fixture_turn();
    until_called(1);
    background_start(&second, rill_blocking(&other, &pool, answer, &values[1]));
    fixture_turn();
    rill_task_cancel(&second.task);
    ck_assert_int_eq(background_end(&second), -ECANCELED);
    gate_open(&gate);
    ck_assert_int_eq(background_end(&first), 1);
    ck_assert_int_eq(calls, 1);
    close_pool();
}
END_TEST

START_TEST(one_that_runs_is_waited_for_and_gives_its_result)
{
    int64_t value = 7;

    if (!open_pool(1, 0))
        return;
    background_start(&first, rill_blocking(&one, &pool, held, &value));
    fixture_turn();
    until_called(1);
    rill_task_cancel(&first.task);
    settle();
    ck_assert(!rill_task_is_over(&first.task));
    gate_open(&gate);
    ck_assert_int_eq(background_end(&first), 7);
    close_pool();
}
END_TEST

START_TEST(one_that_is_over_and_cancelled_before_it_is_polled_gives_its_result)
{
    int64_t value = 7;

    if (!open_pool(1, 0))
        return;
    background_start(&first, rill_blocking(&one, &pool, answer, &value));
    fixture_turn();
    until_idle(); /* so it is over, and its post is on its way */
    rill_task_cancel(&first.task);
    ck_assert_int_eq(background_end(&first), 7);
    close_pool();
}
END_TEST

START_TEST(one_that_is_used_again_and_polled_for_no_reason_waits_for_its_own_call)
{
    int64_t values[] = {1, 2};

    if (!open_pool(1, 0))
        return;
    ck_assert_int_eq(await(rill_blocking(&one, &pool, answer, &values[0])), 1);
    background_start(&first, rill_blocking(&one, &pool, held, &values[1]));
    settle();
    rill_task_wake(&first.task);
    settle();
    ck_assert(!rill_task_is_over(&first.task));
    gate_open(&gate);
    ck_assert_int_eq(background_end(&first), 2);
    close_pool();
}
END_TEST

START_TEST(without_a_descriptor_for_the_bell_nothing_is_called)
{
    struct rlimit limit, none;
    int64_t value = 1, result;

    if (getenv("TEST_UNDER_VALGRIND"))
        return; /* valgrind keeps RLIMIT_NOFILE for itself */
    if (!open_pool(1, 0))
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    result = await(rill_blocking(&one, &pool, answer, &value));
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(result, -EMFILE);
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(await(rill_blocking(&one, &pool, answer, &value)), 1);
    close_pool();
}
END_TEST

START_TEST(one_that_is_cancelled_before_it_starts_is_not_called)
{
    int64_t value = 7;

    if (!open_pool(1, 0))
        return;
    background_start(&first, rill_blocking(&one, &pool, answer, &value));
    rill_task_cancel(&first.task);
    ck_assert_int_eq(background_end(&first), -ECANCELED);
    ck_assert_int_eq(calls, 0);
    close_pool();
}
END_TEST

START_TEST(a_full_line_is_EAGAIN_and_calls_nothing)
{
    static struct rill_blocking third;
    int64_t value = 3;

    if (!open_pool(1, 1))
        return;
    background_start(&first, rill_blocking(&one, &pool, held, &value));
    background_start(&second, rill_blocking(&other, &pool, held, &value));
    fixture_turn();
    ck_assert_int_eq(await(rill_blocking(&third, &pool, answer, &value)), -EAGAIN);
    gate_open(&gate);
    ck_assert_int_eq(background_end(&first), 3);
    ck_assert_int_eq(background_end(&second), 3);
    ck_assert_int_eq(calls, 2);
    close_pool();
}
END_TEST

START_TEST(a_pool_that_is_stuck_keeps_no_other_waiting)
{
    int64_t value = 5;

    if (!open_pool(1, 0))
        return;
    background_start(&first, rill_blocking(&one, &pool, held, &value));
    background_start(&second, rill_blocking(&other, &pool, held, &value));
    for (int i = 0; i < 10; i++) {
        struct rill_blocking elsewhere = {0};

        ck_assert_int_eq(await(rill_blocking(&elsewhere, NULL, answer, &value)), 5);
    }
    ck_assert(!rill_task_is_over(&first.task));
    gate_open(&gate);
    ck_assert_int_eq(background_end(&first), 5);
    ck_assert_int_eq(background_end(&second), 5);
    fixture.keeps_fds = true; /* the remote's, until the shared pool's thread lets go of it */
    close_pool();
}
END_TEST

START_TEST(a_timeout_ends_one_that_waits_and_waits_for_one_that_runs)
{
    struct rill_timeout timeout;
    int64_t value = 5;

    if (!open_pool(1, 0))
        return;
    background_start(&first, rill_blocking(&one, &pool, held, &value));
    fixture_turn();
    until_called(1);
    ck_assert_int_eq(await(rill_timeout(&timeout, 1, rill_blocking(&other, &pool, held, &value))),
                     -ETIMEDOUT);
    gate_open(&gate);
    ck_assert_int_eq(background_end(&first), 5);
    close_pool();
}
END_TEST

/* Many tasks of several runtimes, some of which are cancelled: each call has one result,
 * and each task that was not called one -ECANCELED. */
enum {
    RUNTIMES = 3,
    TASKS = 20,
};

static unsigned rounds;

static int64_t count_call(void *argument)
{
    ++*(int *)argument;
    return 1;
}

struct caller {
    struct rill_task task;
    struct rill_blocking blocking;
    int called;
};

static enum rill_poll caller_poll(struct rill_future *self, struct rill_task *task)
{
    struct caller *caller = rill_container_of(self, struct caller, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_blocking(&caller->blocking, &pool, count_call, &caller->called));
    RILL_RETURN(caller->blocking.result);
    RILL_END();
}

static void *call_many(void *unused)
{
    const struct rill_runtime_options options = {.kernel = fixture_kernel()};
    struct rill_runtime *runtime;

    (void)unused;
    expect_eq(rill_runtime_create(&runtime, &options), 0);
    for (unsigned round = 0; round < rounds; round++) {
        struct caller callers[TASKS] = {0};

        for (int i = 0; i < TASKS; i++)
            rill_task_spawn(&callers[i].task, caller_poll);
        for (unsigned turns = 0; turns < round % 4; turns++)
            expect_eq(rill_turn(runtime, RILL_NO_WAIT), 0);
        for (unsigned i = round % 3; i < TASKS; i += 3)
            rill_task_cancel(&callers[i].task);
        while (runtime->executor.tasks_alive > 0)
            expect_eq(rill_turn(runtime, RILL_NEVER), 0);
        for (int i = 0; i < TASKS; i++)
            expect_eq(callers[i].blocking.result, callers[i].called ? 1 : -ECANCELED);
    }
    rill_runtime_destroy(runtime);
    return NULL;
}

START_TEST(no_call_of_many_runtimes_is_lost_doubled_or_cancelled_in_vain)
{
    pthread_t threads[RUNTIMES];

    rounds = threads_scaled(500);
    if (!open_pool(3, 0))
        return;
    for (int i = 0; i < RUNTIMES; i++)
        threads[i] = thread_start(call_many, NULL);
    for (int i = 0; i < RUNTIMES; i++)
        thread_join(threads[i]);
    close_pool();
}
END_TEST

static void await_again(void)
{
    (void)await(&one.future);
}

static void call_nothing(void)
{
    rill_blocking(&one, &pool, NULL, NULL);
}

static void use_twice(void)
{
    static int64_t value;

    if (!open_pool(1, 0))
        return;
    background_start(&first, rill_blocking(&one, &pool, answer, &value));
    fixture_turn();
    rill_blocking(&one, &pool, answer, &value);
}

START_TEST(one_that_waits_or_runs_and_is_used_again_panics)
{
    if (!open_pool(1, 0)) /* only to see whether it can be */
        return;
    close_pool();
    fixture_expect_panic(use_twice, "is used while that waits or runs");
}
END_TEST

START_TEST(one_that_is_over_and_is_awaited_again_panics)
{
    int64_t value = 42;

    if (!open_pool(1, 0))
        return;
    ck_assert_int_eq(await(rill_blocking(&one, &pool, answer, &value)), 42);
    fixture_expect_panic(await_again, "was awaited again after it had ended");
    fixture_expect_panic(call_nothing, "a thread was given NULL to call");
    close_pool();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {the_result_is_that_of_the_function, IN_REAL},
        {other_tasks_run_while_a_function_blocks, IN_REAL},
        {a_call_that_is_handed_to_another_task_wakes_that, IN_REAL},
        {one_that_has_not_begun_is_cancelled_at_once_and_never_called, IN_REAL},
        {one_that_runs_is_waited_for_and_gives_its_result, IN_REAL},
        {one_that_is_over_and_cancelled_before_it_is_polled_gives_its_result, IN_REAL},
        {one_that_is_cancelled_before_it_starts_is_not_called, IN_REAL},
        {one_that_is_used_again_and_polled_for_no_reason_waits_for_its_own_call, IN_REAL},
        {without_a_descriptor_for_the_bell_nothing_is_called, IN_REAL},
        {a_full_line_is_EAGAIN_and_calls_nothing, IN_REAL},
        {a_pool_that_is_stuck_keeps_no_other_waiting, IN_REAL},
        {a_timeout_ends_one_that_waits_and_waits_for_one_that_runs, IN_REAL},
        {one_that_is_over_and_is_awaited_again_panics, IN_REAL},
        {one_that_waits_or_runs_and_is_used_again_panics, IN_REAL},
        {no_call_of_many_runtimes_is_lost_doubled_or_cancelled_in_vain, IN_REAL},
    };

    return fixture_main("blocking", cases, sizeof cases / sizeof *cases);
}
