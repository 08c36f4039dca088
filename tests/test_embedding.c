/* SPDX-License-Identifier: Apache-2.0 */
/* test_embedding.c - the descriptor is readable when there is something to do, and not
 * otherwise, so that another loop drives a runtime and sleeps. */
#include "io/embedding.h"

#include "io/bridge.h"
#include "io/readiness.h"
#include "io/waker.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { WAIT_MS = 10000 }; /* what never lasts so long */

static int fd;
static unsigned turns;
static struct background driven;

static bool open_embedded(void)
{
    static const struct rill_runtime_options options = {.embedded = true};

    if (!fixture_open(REAL, NULL, &options))
        return false;
    fd = rill_fd(fixture.runtime);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(rill_fd(fixture.runtime), fd);
    return true;
}

/* What is due at once is told by a timer of the kernel, which may take a moment. */
static bool is_readable(int timeout_ms)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int count = poll(&ready, 1, timeout_ms);

    ck_assert_int_ge(count, 0);
    return count == 1;
}

static void turn(void)
{
    turns++;
    ck_assert_int_eq(rill_turn(fixture.runtime, RILL_NO_WAIT), 0);
}

/* A loop of somebody else's, which turns the runtime when the descriptor says so. */
static int64_t drive(struct background *until)
{
    while (!rill_task_is_over(&until->task)) {
        ck_assert(is_readable(WAIT_MS));
        turn();
    }
    return until->task.future.result;
}

/* Turns until nothing is left to be done at once. */
static void rest(void)
{
    for (int left = 100; is_readable(0); left--) {
        ck_assert_int_gt(left, 0);
        turn();
    }
}

START_TEST(the_descriptor_is_readable_at_first_and_then_rests)
{
    if (!open_embedded())
        return;
    ck_assert(is_readable(WAIT_MS));
    turn();
    ck_assert(!is_readable(0));
    ck_assert_int_eq(rill_turn_timeout(fixture.runtime), RILL_NEVER);
    fixture_close();
}
END_TEST

START_TEST(a_timer_makes_it_readable_in_time_and_takes_few_turns)
{
    const int64_t sleep_ns = (getenv("TEST_UNDER_VALGRIND") ? 400 : 20) * RILL_MILLISECOND;
    struct rill_sleep sleep;
    int64_t begun_ns, timeout_ns;

    if (!open_embedded())
        return;
    background_start(&driven, rill_sleep(&sleep, sleep_ns));
    begun_ns = rill_now();
    turns = 0;
    turn();
    timeout_ns = rill_turn_timeout(fixture.runtime);
    ck_assert_int_gt(timeout_ns, 0);
    ck_assert_int_le(timeout_ns, sleep_ns + RILL_MILLISECOND);
    ck_assert_int_eq(drive(&driven), 0);
    ck_assert_int_ge(rill_now() - begun_ns, sleep_ns);
    ck_assert_uint_le(turns, 12); /* a timer moves down a level of the wheel at a time */
    rest();
    ck_assert_int_eq(rill_turn_timeout(fixture.runtime), RILL_NEVER);
    fixture_close();
}
END_TEST

static int64_t a_moment_ago(struct rill_driver *driver)
{
    return driver->ops->now(driver) - RILL_SECOND;
}

/* As where a virtual machine is held up, or a core is without ticks. */
START_TEST(a_coarse_clock_that_stands_still_delays_no_timer)
{
    struct rill_driver_ops ops;
    struct rill_driver *driver;
    struct rill_sleep sleep;

    if (!open_embedded())
        return;
    driver = fixture.runtime->executor.driver;
    ops = *driver->ops;
    ops.now_coarse = a_moment_ago;
    driver->ops = &ops;
    background_start(&driven, rill_sleep(&sleep, 20 * RILL_MILLISECOND));
    turns = 0;
    turn();
    ck_assert_int_eq(drive(&driven), 0);
    ck_assert_uint_le(turns, 12);
    fixture_close();
}
END_TEST

START_TEST(a_completion_makes_it_readable)
{
    struct rill_tcp one = {0}, other = {0};
    struct rill_op send = {0}, recv = {0};
    char bytes[100] = "", got[100] = "";

    if (!open_embedded())
        return;
    fixture_pair(&one, &other);
    pattern_fill(bytes, 0, sizeof bytes);
    background_start(&driven, rill_tcp_recv_exactly(&other, &recv, got, sizeof got));
    rest();
    ck_assert_int_eq(write(one.fd, bytes, sizeof bytes), sizeof bytes); /* nothing of rill's */
    ck_assert(is_readable(WAIT_MS));
    turns = 0;
    ck_assert_int_eq(drive(&driven), sizeof bytes);
    ck_assert_uint_le(turns, 2);
    ck_assert(pattern_is(got, 0, sizeof got));
    rest();
    background_start(&driven, rill_tcp_send_all(&other, &send, bytes, sizeof bytes));
    turn(); /* for the task was spawned outside of one */
    ck_assert_int_eq(drive(&driven), sizeof bytes);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    rest();
    fixture_close();
}
END_TEST

/* Yields, and so is ready at once again and again. */
struct yielder {
    struct rill_future future;
    int i;
};

static enum rill_poll yielder_poll(struct rill_future *self, struct rill_task *task)
{
    struct yielder *yielder = rill_container_of(self, struct yielder, future);

    RILL_BEGIN();
    for (yielder->i = 0; yielder->i < 10; yielder->i++)
        RILL_YIELD();
    RILL_END();
}

START_TEST(a_task_that_yields_keeps_it_readable_and_lets_the_other_loop_run)
{
    struct yielder yielder;

    if (!open_embedded())
        return;
    background_start(&driven, rill_future_init(&yielder.future, yielder_poll));
    turns = 0;
    for (int i = 0; i < 10; i++) {
        turn();
        ck_assert_int_eq(rill_turn_timeout(fixture.runtime), RILL_NO_WAIT);
        ck_assert(is_readable(WAIT_MS));
    }
    turn();
    ck_assert(rill_task_is_over(&driven.task));
    rest();
    fixture_close();
}
END_TEST

static struct rill_waker waker;

static void *wake(void *unused)
{
    (void)unused;
    expect_eq(rill_waker_wake(&waker), 0);
    return NULL;
}

START_TEST(a_post_of_another_thread_makes_it_readable)
{
    if (!open_embedded())
        return;
    ck_assert_int_eq(rill_waker_open(&waker), 0);
    rest();
    for (int i = 0; i < 5; i++) {
        pthread_t thread;

        background_start(&driven, rill_waker_wait(&waker));
        turn();
        ck_assert(!is_readable(0));
        thread = thread_start(wake, NULL);
        ck_assert_int_eq(drive(&driven), 0);
        thread_join(thread);
        rest();
    }
    rill_waker_close(&waker);
    fixture_close();
}
END_TEST

static int counter_fd;

static void *count_up(void *unused)
{
    (void)unused;
    expect_eq(eventfd_write(counter_fd, 1), 0);
    return NULL;
}

/* The ring is woken from within the write to an eventfd, where the kernel signals no other. */
START_TEST(each_write_to_an_eventfd_makes_it_readable)
{
    struct rill_op wait = {0};
    eventfd_t count;

    if (!open_embedded())
        return;
    counter_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ck_assert_int_ge(counter_fd, 0);
    rest();
    for (int i = 0; i < 100; i++) {
        pthread_t thread;

        background_start(&driven, rill_fd_wait(counter_fd, &wait, POLLIN));
        turn();
        ck_assert(!is_readable(0));
        thread = thread_start(count_up, NULL);
        ck_assert_int_eq(drive(&driven), POLLIN);
        thread_join(thread);
        ck_assert_int_eq(eventfd_read(counter_fd, &count), 0);
        rest();
    }
    close(counter_fd);
    fixture_close();
}
END_TEST

/* That is a loop of the runtime's own, which knows nothing of the descriptor. */
START_TEST(what_comes_after_blocking_on_a_future_makes_it_readable)
{
    static struct rill_sleep pause, sleep;

    if (!open_embedded())
        return;
    ck_assert_int_eq(rill_waker_open(&waker), 0);
    rest();
    for (int i = 0; i < 2; i++) {
        background_start(&driven,
                         i ? rill_waker_wait(&waker) : rill_sleep(&sleep, 20 * RILL_MILLISECOND));
        ck_assert_int_eq(rill_block_on(fixture.runtime, rill_sleep(&pause, RILL_MILLISECOND)), 0);
        if (i)
            wake(NULL);
        ck_assert_int_eq(drive(&driven), 0);
        rest();
    }
    rill_waker_close(&waker);
    fixture_close();
}
END_TEST

/* What comes between the last look at the world and the sleep: this program has an
 * epoll_wait of its own, so that it can come exactly there. */
static void (*before_forgetting)(void);

int epoll_wait(int epoll_fd, struct epoll_event *events, int count, int timeout_ms)
{
    void (*hook)(void) = before_forgetting;

    before_forgetting = NULL;
    if (hook)
        hook();
    /* cppcheck-suppress nullPointer; as epoll_wait(2) says */
    return epoll_pwait(epoll_fd, events, count, timeout_ms, NULL);
}

static struct rill_tcp near, far;

static void post_now(void)
{
    wake(NULL);
}

static void complete_now(void)
{
    expect_eq(write(far.fd, "x", 1), 1);
}

START_TEST(what_comes_while_signals_are_forgotten_is_not_forgotten)
{
    struct rill_op recv = {0};
    char got[1];

    if (!open_embedded())
        return;
    ck_assert_int_eq(rill_waker_open(&waker), 0);
    background_start(&driven, rill_waker_wait(&waker));
    rest();
    before_forgetting = post_now;
    turn();
    ck_assert_int_eq(drive(&driven), 0);

    fixture_pair(&near, &far);
    background_start(&driven, rill_tcp_recv(&near, &recv, got, 1));
    turn();
    rest();
    before_forgetting = complete_now;
    turn();
    ck_assert_int_eq(drive(&driven), 1);
    fixture_hang_up(&near);
    fixture_hang_up(&far);
    rill_waker_close(&waker);
    fixture_close();
}
END_TEST

START_TEST(a_turn_may_wait_itself)
{
    struct rill_sleep sleep;
    int64_t begun_ns;
    pthread_t thread;

    if (!open_embedded())
        return;
    begun_ns = rill_now();
    ck_assert_int_eq(rill_turn(fixture.runtime, 2 * RILL_MILLISECOND), 0);
    ck_assert_int_ge(rill_now() - begun_ns, 2 * RILL_MILLISECOND);

    background_start(&driven, rill_sleep(&sleep, 1 * RILL_MILLISECOND));
    while (!rill_task_is_over(&driven.task))
        ck_assert_int_eq(rill_turn(fixture.runtime, RILL_NEVER), 0);

    ck_assert_int_eq(rill_waker_open(&waker), 0);
    for (int i = 0; i < 3; i++) { /* after the bell was heard outside, and inside again */
        background_start(&driven, rill_waker_wait(&waker));
        turn();
        thread = thread_start(wake, NULL);
        while (!rill_task_is_over(&driven.task))
            ck_assert_int_eq(rill_turn(fixture.runtime, RILL_NEVER), 0);
        thread_join(thread);
        background_start(&driven, rill_waker_wait(&waker));
        turn();
        thread = thread_start(wake, NULL);
        ck_assert_int_eq(drive(&driven), 0);
        thread_join(thread);
    }
    rill_waker_close(&waker);
    fixture_close();
}
END_TEST

START_TEST(a_turn_with_a_negative_time_does_not_wait)
{
    const int64_t times_ns[] = {-1, -RILL_NEVER, INT64_MIN};
    struct rill_sleep sleep;

    if (!open_embedded())
        return;
    rest();
    background_start(&driven, rill_sleep(&sleep, RILL_NEVER));
    for (size_t i = 0; i < sizeof times_ns / sizeof *times_ns; i++)
        ck_assert_int_eq(rill_turn(fixture.runtime, times_ns[i]), 0);
    rill_task_cancel(&driven.task);
    turn();
    ck_assert_int_eq(drive(&driven), -ECANCELED);
    fixture_close();
}
END_TEST

START_TEST(a_turn_without_a_descriptor_works_too)
{
    struct rill_sleep sleep;

    if (!fixture_open(REAL, NULL, NULL))
        return;
    background_start(&driven, rill_sleep(&sleep, 1 * RILL_MILLISECOND));
    while (!rill_task_is_over(&driven.task))
        ck_assert_int_eq(rill_turn(fixture.runtime, rill_turn_timeout(fixture.runtime)), 0);
    fixture_close();
}
END_TEST

START_TEST(entries_that_the_kernel_did_not_take_are_due_at_once)
{
    struct rill_tcp one = {0}, other = {0};
    struct rill_op recv = {0};
    char got[10] = "";

    if (!open_embedded())
        return;
    fixture_pair(&one, &other);
    rest();
    background_start(&driven, rill_tcp_recv(&other, &recv, got, sizeof got));
    fixture_fail_enters(-EAGAIN, 2);
    turn();
    ck_assert_int_eq(rill_turn_timeout(fixture.runtime), RILL_NO_WAIT);
    ck_assert(is_readable(WAIT_MS));
    rest();
    ck_assert_int_eq(write(one.fd, "x", 1), 1);
    ck_assert_int_eq(drive(&driven), 1);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    fixture_close();
}
END_TEST

static enum rill_poll turn_in_task(struct rill_future *self, struct rill_task *of)
{
    (void)self;
    (void)of;
    rill_turn(fixture.runtime, RILL_NO_WAIT);
    return RILL_READY;
}

static void turn_within_a_task(void)
{
    struct rill_future future;

    await(rill_future_init(&future, turn_in_task));
}

static void *turn_here(void *unused)
{
    (void)unused;
    rill_turn(fixture.runtime, RILL_NO_WAIT);
    return NULL;
}

static void turn_on_another_thread(void)
{
    thread_join(thread_start(turn_here, NULL));
}

static void ask_for_the_descriptor(void)
{
    rill_fd(fixture.runtime);
}

START_TEST(a_runtime_that_was_not_created_for_it_has_no_descriptor)
{
    if (!fixture_open(REAL, NULL, NULL))
        return;
    fixture_expect_panic(
        ask_for_the_descriptor,
        "rill_fd of a runtime that was created without rill_runtime_options.embedded");
    fixture_close();
}
END_TEST

START_TEST(misuse_panics)
{
    if (!open_embedded())
        return;
    fixture_expect_panic(turn_within_a_task, "a task takes a turn of the runtime that runs it");
    fixture_expect_panic(turn_on_another_thread, "a runtime was entered by another thread");
    fixture_close();
}
END_TEST

/* Values of a thread, timers and the other loop together: all arrive, and the number of
 * turns is that of events, not that of a loop that spins. */
RILL_BRIDGE_OF(numbers, unsigned);

static struct numbers bridge;
static unsigned places[8], values_sent;

static void *send_values(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < values_sent; i++)
        expect_eq(numbers_send_blocking(&bridge, &i, RILL_NEVER), 0);
    numbers_close(&bridge);
    return NULL;
}

struct taking {
    struct rill_future future;
    struct rill_bridge_op receive;
    struct rill_sleep sleep;
    unsigned value, count;
};

static enum rill_poll taking_poll(struct rill_future *self, struct rill_task *task)
{
    struct taking *taking = rill_container_of(self, struct taking, future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(numbers_receive(&bridge, &taking->receive, &taking->value));
        if (taking->receive.result == 0)
            RILL_RETURN(taking->count);
        ck_assert_uint_eq(taking->value, taking->count);
        taking->count++;
        if (taking->count % 100 == 0)
            RILL_AWAIT(rill_sleep(&taking->sleep, 20 * RILL_MICROSECOND));
    }
    RILL_END();
}

START_TEST(no_value_of_another_thread_is_missed)
{
    struct taking taking = {0};
    pthread_t thread;

    values_sent = threads_scaled(20000);
    if (!open_embedded())
        return;
    numbers_init(&bridge, places, 8);
    background_start(&driven, rill_future_init(&taking.future, taking_poll));
    turn();
    thread = thread_start(send_values, NULL);
    ck_assert_int_eq(drive(&driven), values_sent);
    thread_join(thread);
    numbers_finish(&bridge);
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {the_descriptor_is_readable_at_first_and_then_rests, IN_REAL},
        {a_timer_makes_it_readable_in_time_and_takes_few_turns, IN_REAL},
        {a_coarse_clock_that_stands_still_delays_no_timer, IN_REAL},
        {a_completion_makes_it_readable, IN_REAL},
        {a_task_that_yields_keeps_it_readable_and_lets_the_other_loop_run, IN_REAL},
        {a_post_of_another_thread_makes_it_readable, IN_REAL},
        {each_write_to_an_eventfd_makes_it_readable, IN_REAL},
        {what_comes_after_blocking_on_a_future_makes_it_readable, IN_REAL},
        {what_comes_while_signals_are_forgotten_is_not_forgotten, IN_REAL},
        {a_turn_may_wait_itself, IN_REAL},
        {a_turn_with_a_negative_time_does_not_wait, IN_REAL},
        {a_turn_without_a_descriptor_works_too, IN_REAL},
        {entries_that_the_kernel_did_not_take_are_due_at_once, IN_REAL},
        {a_runtime_that_was_not_created_for_it_has_no_descriptor, IN_REAL},
        {misuse_panics, IN_REAL},
        {no_value_of_another_thread_is_missed, IN_REAL},
    };

    return fixture_main("embedding", cases, sizeof cases / sizeof *cases);
}
