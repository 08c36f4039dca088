/* SPDX-License-Identifier: Apache-2.0 */
/* test_waker.c - a wake of another thread ends a wait, this one or the next, once. */
#include "io/waker.h"

#include "runtime/notify.h"
#include "runtime/select.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>

static struct rill_waker waker;
static struct background waiting;

static bool open_waker(void)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    ck_assert_int_eq(rill_waker_open(&waker), 0);
    return true;
}

static void close_waker(void)
{
    rill_waker_close(&waker);
    rill_waker_close(&waker); /* twice does nothing */
    fixture_close();
}

static void *wake_when_asleep(void *unused)
{
    (void)unused;
    until_asleep(waker.remote);
    expect_eq(rill_waker_wake(&waker), 0);
    return NULL;
}

START_TEST(a_wake_ends_the_wait_of_a_runtime_that_sleeps)
{
    if (!open_waker())
        return;
    for (int i = 0; i < 3; i++) {
        pthread_t thread = thread_start(wake_when_asleep, NULL);

        ck_assert_int_eq(await(rill_waker_wait(&waker)), 0);
        thread_join(thread);
    }
    close_waker();
}
END_TEST

START_TEST(a_wake_that_finds_nobody_is_kept_and_several_are_one)
{
    if (!open_waker())
        return;
    for (int turns = 0; turns < 3; turns++) {
        for (int i = 0; i < 3; i++) {
            ck_assert_int_eq(rill_waker_wake(&waker), 0);
            for (int turn = 0; turn < turns; turn++)
                fixture_turn();
        }
        ck_assert_int_eq(await(rill_waker_wait(&waker)), 0);
        background_start(&waiting, rill_waker_wait(&waker));
        settle();
        ck_assert(!rill_task_is_over(&waiting.task));
        rill_waker_wake(&waker);
        ck_assert_int_eq(background_end(&waiting), 0);
    }
    close_waker();
}
END_TEST

START_TEST(a_cancelled_wait_leaves_the_wake_for_the_next)
{
    if (!open_waker())
        return;
    for (int turns = 0; turns < 4; turns++) {
        for (int wake_first = 0; wake_first < 2; wake_first++) {
            background_start(&waiting, rill_waker_wait(&waker));
            for (int i = 0; i < turns; i++)
                fixture_turn();
            if (wake_first)
                rill_waker_wake(&waker);
            rill_task_cancel(&waiting.task);
            if (!wake_first)
                rill_waker_wake(&waker);
            ck_assert_int_eq(background_end(&waiting), -ECANCELED);
            ck_assert_int_eq(await(rill_waker_wait(&waker)), 0);
        }
    }
    close_waker();
}
END_TEST

/* One that has begun, and one that has not: the sleep is over at once. */
START_TEST(the_loser_of_a_select_leaves_the_wake_for_the_next)
{
    static struct rill_select select;
    static struct rill_future *choices[2];
    static struct rill_notify notify;
    static struct rill_wait wait;
    static struct rill_sleep sleep;

    if (!open_waker())
        return;
    rill_notify_init(&notify);
    for (int has_begun = 0; has_begun < 2; has_begun++) {
        if (has_begun) {
            background_start(
                &waiting,
                rill_select(&select, RILL_FUTURES(choices, rill_notify_wait(&notify, &wait),
                                                  rill_waker_wait(&waker))));
            fixture_turn();
        }
        rill_waker_wake(&waker);
        fixture_turn(); /* which hands it over, and runs nobody after that */
        if (has_begun)
            rill_notify_one(&notify);
        else
            background_start(&waiting,
                             rill_select(&select, RILL_FUTURES(choices, rill_sleep(&sleep, 0),
                                                               rill_waker_wait(&waker))));
        ck_assert_int_eq(background_end(&waiting), 0);
        ck_assert_int_eq(waker.result, -ECANCELED);
        ck_assert_int_eq(await(rill_waker_wait(&waker)), 0);
    }
    close_waker();
}
END_TEST

static void come_too_late(struct rill_post *post)
{
    (void)post;
    ck_abort_msg("a waker that was closed is woken");
}

START_TEST(closing_takes_a_wake_along_that_was_on_its_way)
{
    if (!open_waker())
        return;
    rill_waker_wake(&waker);
    rill_waker_close(&waker);
    waker.post.run = come_too_late; /* the memory may be another's */
    fixture_turn();
    fixture_close();
}
END_TEST

START_TEST(a_waker_that_is_opened_again_knows_no_wake_of_before)
{
    if (!open_waker())
        return;
    rill_waker_wake(&waker);
    fixture_turn();
    rill_waker_close(&waker);
    ck_assert_int_eq(rill_waker_open(&waker), 0);
    background_start(&waiting, rill_waker_wait(&waker));
    fixture_turn();
    ck_assert(!rill_task_is_over(&waiting.task));
    rill_waker_wake(&waker);
    ck_assert_int_eq(background_end(&waiting), 0);
    close_waker();
}
END_TEST

/* A thread and a task that count up in turns: a wake that gets lost ends it. */
static unsigned counter, rounds; /* counter: atomic, odd when it is the task's turn */
static sem_t thread_may;

static void *count_with_the_task(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < rounds; i++) {
        __atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED);
        expect_eq(rill_waker_wake(&waker), 0);
        while (sem_wait(&thread_may) < 0)
            continue;
    }
    return NULL;
}

struct counting {
    struct rill_future future;
    unsigned seen;
};

static enum rill_poll counting_poll(struct rill_future *self, struct rill_task *task)
{
    struct counting *counting = rill_container_of(self, struct counting, future);

    RILL_BEGIN();
    for (counting->seen = 0; counting->seen < rounds; counting->seen++) {
        RILL_AWAIT(rill_waker_wait(&waker));
        /* What was stored before the wake is seen, though no order but the wake's is kept. */
        ck_assert_uint_eq(__atomic_load_n(&counter, __ATOMIC_RELAXED), counting->seen + 1);
        sem_post(&thread_may);
    }
    RILL_END();
}

START_TEST(no_wake_is_lost_in_many_rounds)
{
    struct counting counting;
    pthread_t thread;

    rounds = threads_scaled(20000);
    if (!open_waker())
        return;
    sem_init(&thread_may, 0, 0);
    thread = thread_start(count_with_the_task, NULL);
    ck_assert_int_eq(await(rill_future_init(&counting.future, counting_poll)), 0);
    thread_join(thread);
    close_waker();
}
END_TEST

static void wait_unopened(void)
{
    static struct rill_waker unopened;

    rill_waker_wait(&unopened);
}

static void wait_twice(void)
{
    await(rill_waker_wait(&waker));
}

static void close_awaited(void)
{
    rill_waker_close(&waker);
}

static void wake_closed(void)
{
    rill_waker_close(&waker);
    rill_waker_wake(&waker);
}

START_TEST(misuse_panics)
{
    if (!open_waker())
        return;
    fixture_expect_panic(wait_unopened, "a waker was awaited that is not open");
    fixture_expect_panic(wake_closed, "a waker was woken that is not open");
    background_start(&waiting, rill_waker_wait(&waker));
    fixture_turn();
    fixture_expect_panic(wait_twice, "two tasks wait for the same waker");
    fixture_expect_panic(close_awaited, "a waker was closed while a task waits for it");
    rill_waker_wake(&waker);
    ck_assert_int_eq(background_end(&waiting), 0);
    close_waker();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_wake_ends_the_wait_of_a_runtime_that_sleeps, IN_REAL},
        {a_wake_that_finds_nobody_is_kept_and_several_are_one, IN_REAL},
        {a_cancelled_wait_leaves_the_wake_for_the_next, IN_REAL},
        {the_loser_of_a_select_leaves_the_wake_for_the_next, IN_REAL},
        {closing_takes_a_wake_along_that_was_on_its_way, IN_REAL},
        {a_waker_that_is_opened_again_knows_no_wake_of_before, IN_REAL},
        {no_wake_is_lost_in_many_rounds, IN_REAL},
        {misuse_panics, IN_REAL},
    };

    return fixture_main("waker", cases, sizeof cases / sizeof *cases);
}
