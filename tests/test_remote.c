/* SPDX-License-Identifier: Apache-2.0 */
/* test_remote.c - what other threads post is run once, on the runtime's thread, in order.
 *
 * Check's own assertions belong to the main thread: what others do uses expect. */
#include "io/remote.h"

#include "runtime/notify.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static struct rill_remote *remote;

/* A post that notes when it was run, and on which thread. */
struct note {
    struct rill_post post;
    int number;
};

static int numbers[1024];
static int run_count;
static pthread_t runner;
static struct rill_notify noted;
static struct rill_wait wait_for_note;

static void run_note(struct rill_post *post)
{
    struct note *note = rill_container_of(post, struct note, post);

    expect(pthread_equal(pthread_self(), runner));
    expect(!fixture.runtime->executor.running);
    numbers[run_count++] = note->number;
    rill_notify_all(&noted);
}

static struct note make_note(int number)
{
    return (struct note){.post = {.run = run_note}, .number = number};
}

static void begin_remote(void)
{
    runner = pthread_self();
    rill_notify_init(&noted);
    expect_eq(rill_remote_open(&remote), 0);
}

static bool open_remote(const struct rill_runtime_options *options)
{
    if (!fixture_open(REAL, NULL, options))
        return false;
    begin_remote();
    return true;
}

static void close_remote(void)
{
    rill_remote_release(remote);
    fixture_close();
}

static void expect_numbers(int count, ...)
{
    va_list wanted;

    expect_eq(run_count, count);
    va_start(wanted, count);
    for (int i = 0; i < count; i++)
        expect_eq(numbers[i], va_arg(wanted, int));
    va_end(wanted);
    run_count = 0;
}

static void post_note(struct note *note)
{
    expect_eq(rill_post(remote, &note->post), 0);
}

START_TEST(posts_are_run_in_the_next_turn_in_their_order)
{
    struct note notes[] = {make_note(1), make_note(2), make_note(3)};

    if (!open_remote(NULL))
        return;
    for (int i = 0; i < 3; i++)
        post_note(&notes[i]);
    ck_assert_int_eq(run_count, 0);
    fixture_turn();
    expect_numbers(3, 1, 2, 3);
    fixture_turn();
    expect_numbers(0);
    close_remote();
}
END_TEST

static void count_one(struct rill_post *post)
{
    (void)post;
    run_count++;
}

START_TEST(a_storm_of_posts_takes_its_turns_and_keeps_nothing_else_waiting)
{
    enum { COUNT = 3 * RILL_TURN_POSTS_MAX + 5 };
    static struct rill_post posts[COUNT];
    struct background sleeping;
    struct rill_sleep brief;

    if (!open_remote(NULL))
        return;
    for (int i = 0; i < COUNT; i++) {
        posts[i].run = count_one;
        expect_eq(rill_post(remote, &posts[i]), 0);
    }
    background_start(&sleeping, rill_sleep(&brief, 0));
    for (int turn = 1; turn <= 3; turn++) {
        fixture_turn();
        expect_eq(run_count, turn * RILL_TURN_POSTS_MAX);
        expect(rill_task_is_over(&sleeping.task));
    }
    fixture_turn();
    expect_eq(run_count, COUNT);
    background_end(&sleeping);
    close_remote();
}
END_TEST

START_TEST(a_runtime_does_not_sleep_over_the_rest_of_a_storm)
{
    enum { COUNT = 2 * RILL_TURN_POSTS_MAX };
    static struct rill_post posts[COUNT];
    struct note last = make_note(1);

    if (!open_remote(NULL))
        return;
    for (int i = 0; i < COUNT; i++) {
        posts[i].run = count_one;
        expect_eq(rill_post(remote, &posts[i]), 0);
    }
    post_note(&last);
    run_count = -COUNT; /* the last one's number is the first */
    await(rill_notify_wait(&noted, &wait_for_note));
    expect_numbers(1, 1);
    close_remote();
}
END_TEST

START_TEST(a_post_that_is_posted_twice_is_run_once_and_can_be_posted_again)
{
    struct note one = make_note(1), two = make_note(2);

    if (!open_remote(NULL))
        return;
    post_note(&one);
    post_note(&two);
    post_note(&one);
    fixture_turn();
    expect_numbers(2, 1, 2);
    post_note(&one);
    fixture_turn();
    expect_numbers(1, 1);
    close_remote();
}
END_TEST

static void run_and_post_again(struct rill_post *post)
{
    run_note(post);
    if (run_count < 3)
        expect_eq(rill_post(remote, post), 0);
}

START_TEST(a_post_that_posts_itself_is_run_in_the_next_turn)
{
    struct note note = make_note(1);

    if (!open_remote(NULL))
        return;
    note.post.run = run_and_post_again;
    post_note(&note);
    for (int i = 1; i <= 3; i++) {
        fixture_turn();
        ck_assert_int_eq(run_count, i);
    }
    fixture_turn();
    expect_numbers(3, 1, 1, 1);
    close_remote();
}
END_TEST

START_TEST(a_post_that_is_withdrawn_is_not_run)
{
    struct note notes[] = {make_note(0), make_note(1), make_note(2), make_note(3)};

    if (!open_remote(NULL))
        return;
    ck_assert(!rill_post_withdraw(remote, &notes[0].post));
    for (int i = 0; i < 4; i++)
        post_note(&notes[i]);
    ck_assert(rill_post_withdraw(remote, &notes[1].post));
    ck_assert(!rill_post_withdraw(remote, &notes[1].post));
    ck_assert(rill_post_withdraw(remote, &notes[3].post)); /* the last */
    post_note(&notes[1]);                                  /* behind the others now */
    fixture_turn();
    expect_numbers(3, 0, 2, 1);
    ck_assert(!rill_post_withdraw(remote, &notes[0].post));
    post_note(&notes[0]);
    ck_assert(rill_post_withdraw(remote, &notes[0].post)); /* the only one */
    post_note(&notes[3]);
    fixture_turn();
    expect_numbers(1, 3);
    close_remote();
}
END_TEST

/* They are the runtime's already, and no bell tells of them. */
START_TEST(posts_behind_one_that_is_withdrawn_are_run_at_once_and_in_their_order)
{
    struct note notes[] = {make_note(0), make_note(1), make_note(2)};

    if (!open_remote(NULL))
        return;
    post_note(&notes[0]);
    post_note(&notes[1]);
    ck_assert(rill_post_withdraw(remote, &notes[0].post));
    ck_assert_int_eq(await(rill_notify_wait(&noted, &wait_for_note)), 0);
    expect_numbers(1, 1);
    post_note(&notes[0]);
    post_note(&notes[1]);
    ck_assert(rill_post_withdraw(remote, &notes[0].post));
    post_note(&notes[2]);
    fixture_turn();
    expect_numbers(2, 1, 2);
    close_remote();
}
END_TEST

static void *post_when_asleep(void *note)
{
    until_asleep(remote);
    post_note(note);
    return NULL;
}

START_TEST(a_post_wakes_a_runtime_that_sleeps)
{
    static const enum rill_wait_policy policies[] = {RILL_WAIT_SLEEP, RILL_WAIT_ADAPTIVE};

    for (size_t i = 0; i < 2; i++) {
        struct rill_runtime_options options = {.wait_policy = policies[i]};
        struct note note = make_note(1);

        if (!open_remote(&options))
            return;
        for (int round = 0; round < 10; round++) {
            pthread_t thread = thread_start(post_when_asleep, &note);

            ck_assert_int_eq(await(rill_notify_wait(&noted, &wait_for_note)), 0);
            thread_join(thread);
            expect_numbers(1, 1);
        }
        close_remote();
    }
}
END_TEST

/* The queue is full when the runtime wants to sleep, and the kernel takes nothing at first. */
START_TEST(a_runtime_without_a_place_for_its_bell_does_not_sleep_without_it)
{
    const struct rill_runtime_options options = {.sq_entries = 2};
    struct note note = make_note(1);
    struct background receiving[2];
    struct rill_op ops[2] = {0};
    struct rill_tcp ends[2] = {0};
    pthread_t thread;
    char byte;

    if (!fixture_open(REAL, NULL, &options))
        return;
    fixture_pair(&ends[0], &ends[1]);
    begin_remote(); /* it is the first sleep that puts the bell into the kernel */
    for (int i = 0; i < 2; i++)
        background_start(&receiving[i], rill_tcp_recv(&ends[i], &ops[i], &byte, 1));
    fixture_fail_enters(-EAGAIN, 1);
    thread = thread_start(post_when_asleep, &note);
    ck_assert_int_eq(await(rill_notify_wait(&noted, &wait_for_note)), 0);
    thread_join(thread);
    expect_numbers(1, 1);
    ck_assert_uint_eq(fixture.runtime->reactor.stats.queue_full, 1);
    for (int i = 0; i < 2; i++) {
        rill_task_cancel(&receiving[i].task);
        ck_assert_int_eq(background_end(&receiving[i]), -ECANCELED);
    }
    for (int i = 0; i < 2; i++)
        fixture_hang_up(&ends[i]);
    close_remote();
}
END_TEST

static void *post_at_once(void *note)
{
    post_note(note);
    return NULL;
}

START_TEST(a_runtime_that_never_sleeps_finds_a_post_without_the_bell)
{
    struct rill_runtime_options options = {.wait_policy = RILL_WAIT_SPIN};
    struct note note = make_note(1);
    pthread_t thread;

    if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || !open_remote(&options))
        return;
    thread = thread_start(post_at_once, &note);
    ck_assert_int_eq(await(rill_notify_wait(&noted, &wait_for_note)), 0);
    thread_join(thread);
    ck_assert_uint_eq(rings(remote), 0);
    close_remote();
}
END_TEST

static void *post_a_burst(void *argument)
{
    struct note *notes = argument;

    until_asleep(remote);
    for (int i = 0; i < 100; i++)
        post_note(&notes[i]);
    return NULL;
}

/* The runtime may wake in the middle of the burst and sleep again, once for each bell. */
START_TEST(only_who_posts_to_a_sleeping_runtime_rings_the_bell)
{
    static struct note notes[100];
    uint64_t sleeps_before;
    pthread_t thread;
    unsigned rung;

    if (!open_remote(NULL))
        return;
    for (int i = 0; i < 100; i++)
        notes[i] = make_note(i);
    for (int i = 0; i < 100; i++)
        post_note(&notes[i]);
    ck_assert_uint_eq(rings(remote), 0); /* it is awake: this is its thread */
    fixture_turn();
    run_count = 0;
    sleeps_before = fixture.runtime->reactor.stats.sleeps;
    thread = thread_start(post_a_burst, notes);
    while (run_count < 100)
        await(rill_notify_wait(&noted, &wait_for_note));
    thread_join(thread);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(numbers[i], i);
    rung = rings(remote);
    ck_assert_uint_ge(rung, 1);
    ck_assert_uint_le(rung, fixture.runtime->reactor.stats.sleeps - sleeps_before);
    close_remote();
}
END_TEST

START_TEST(a_runtime_that_nobody_posts_to_has_no_operation_and_no_descriptor)
{
    uint64_t submissions;

    if (!open_remote(NULL))
        return;
    ck_assert_ptr_nonnull(fixture.runtime->reactor.remote);
    ck_assert(!fixture.runtime->reactor.hears_bell); /* it has not slept yet */
    settle();
    ck_assert(fixture.runtime->reactor.hears_bell);
    ck_assert_uint_eq(fixture.runtime->reactor.ops_in_flight, 0);
    submissions = fixture.runtime->reactor.stats.submissions;
    settle();
    ck_assert_uint_eq(fixture.runtime->reactor.stats.submissions, submissions); /* one for ever */
    close_remote();

    if (!fixture_open(REAL, NULL, NULL))
        return;
    settle();
    ck_assert_ptr_null(fixture.runtime->reactor.remote);
    ck_assert_uint_eq(fixture.runtime->reactor.stats.submissions, 0);
    fixture_close();
}
END_TEST

static unsigned polls_ended;

/* As when the completion queue is full: the kernel gives the poll up. */
static void end_first_poll(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_POLL_ADD && polls_ended++ == 0)
        sqe->len &= ~IORING_POLL_ADD_MULTI;
}

START_TEST(a_bell_whose_poll_the_kernel_has_ended_is_heard_again)
{
    struct note note = make_note(1);

    if (!open_remote(NULL))
        return;
    fixture_on_entry(end_first_poll);
    for (int i = 0; i < 4; i++) {
        pthread_t thread = thread_start(post_when_asleep, &note);

        ck_assert_int_eq(await(rill_notify_wait(&noted, &wait_for_note)), 0);
        thread_join(thread);
        expect_numbers(1, 1);
    }
    ck_assert_uint_eq(polls_ended, 2);
    close_remote();
}
END_TEST

/* ---- the end of a runtime ---- */

START_TEST(posts_that_were_accepted_are_run_when_the_runtime_is_destroyed)
{
    struct note one = make_note(1), two = make_note(2);

    if (!open_remote(NULL))
        return;
    post_note(&one);
    post_note(&two);
    fixture.keeps_fds = true; /* the remote's, which is still held */
    fixture_close();
    expect_numbers(2, 1, 2);
    ck_assert_int_eq(rill_post(remote, &one.post), -ESHUTDOWN);
    ck_assert_int_eq(rill_post(remote, &one.post), -ESHUTDOWN);
    expect_numbers(0);
    rill_remote_release(remote);
}
END_TEST

static struct background late;
static struct rill_sleep late_sleep;

static void spawn_late(struct rill_post *post)
{
    run_note(post);
    background_start(&late, rill_sleep(&late_sleep, 1 * RILL_MILLISECOND));
}

START_TEST(shutting_down_waits_for_what_the_last_posts_spawn)
{
    struct note note = make_note(1);

    if (!open_remote(NULL))
        return;
    note.post.run = spawn_late;
    post_note(&note);
    rill_runtime_shutdown(fixture.runtime, 1 * RILL_SECOND);
    expect_numbers(1, 1);
    ck_assert(rill_task_is_over(&late.task));
    ck_assert_int_eq(rill_post(remote, &note.post), -ESHUTDOWN);
    rill_remote_release(remote);
    ck_assert_int_eq(rill_remote_open(&remote), -ESHUTDOWN);
    fixture_close();
}
END_TEST

START_TEST(a_runtime_that_was_shut_down_makes_no_first_remote_either)
{
    struct rill_remote *first = NULL;

    if (!fixture_open(_i, NULL, NULL))
        return;
    rill_runtime_shutdown(fixture.runtime, 0);
    ck_assert_int_eq(rill_remote_open(&first), -ESHUTDOWN);
    ck_assert_ptr_null(first);
    fixture_close();
}
END_TEST

/* A post that says when it is its thread's again. */
struct numbered {
    struct rill_post post;
    unsigned poster, number;
    bool is_busy; /* atomic */
};

static bool is_busy(const struct numbered *numbered)
{
    return __atomic_load_n(&numbered->is_busy, __ATOMIC_ACQUIRE);
}

static int post_numbered(struct numbered *numbered, rill_post_fn *run)
{
    rill_post_init(&numbered->post, run);
    numbered->is_busy = true;
    return rill_post(remote, &numbered->post);
}

static void give_back(struct numbered *numbered)
{
    __atomic_store_n(&numbered->is_busy, false, __ATOMIC_RELEASE);
}

enum {
    ENDERS = 3,
    ENDER_POSTS = 4, /* at a time */
};

static unsigned accepted[ENDERS], ran;

static void count_run(struct rill_post *post)
{
    ran++;
    give_back(rill_container_of(post, struct numbered, post));
}

static void *post_until_refused(void *argument)
{
    static struct numbered posts[ENDERS][ENDER_POSTS];
    unsigned *count = argument;

    for (unsigned i = 0;; i = (i + 1) % ENDER_POSTS) {
        struct numbered *next = &posts[count - accepted][i];

        if (is_busy(next))
            continue;
        if (post_numbered(next, count_run) == -ESHUTDOWN) {
            next->is_busy = false;
            return NULL;
        }
        ++*count;
    }
}

START_TEST(whatever_was_accepted_while_a_runtime_ends_was_run)
{
    for (unsigned round = 0; round < threads_scaled(200); round++) {
        pthread_t threads[ENDERS];
        unsigned wanted = 0;

        if (!open_remote(NULL))
            return;
        for (int i = 0; i < ENDERS; i++)
            threads[i] = thread_start(post_until_refused, &accepted[i]);
        for (unsigned turns = 0; turns < round % 10; turns++)
            fixture_turn();
        fixture.keeps_fds = true; /* the remote's, which the threads still use */
        fixture_close();
        for (int i = 0; i < ENDERS; i++) {
            thread_join(threads[i]);
            wanted += accepted[i];
        }
        ck_assert_uint_eq(ran, wanted);
        rill_remote_release(remote);
    }
}
END_TEST

/* ---- signals ---- */

static struct note signal_note;

/* The analyzer cannot know that rill_post makes no call but write(2).
 * NOLINTBEGIN(bugprone-signal-handler,cert-sig30-c) */
static void on_signal(int number)
{
    (void)number;
    (void)rill_post(remote, &signal_note.post);
}
/* NOLINTEND(bugprone-signal-handler,cert-sig30-c) */

static void *signal_when_asleep(void *unused)
{
    (void)unused;
    until_asleep(remote);
    pthread_kill(runner, SIGUSR1);
    return NULL;
}

START_TEST(a_signal_handler_may_post_even_on_the_runtimes_thread)
{
    pthread_t thread;

    if (!open_remote(NULL))
        return;
    signal_note = make_note(1);
    signal(SIGUSR1, on_signal);
    thread = thread_start(signal_when_asleep, NULL);
    ck_assert_int_eq(await(rill_notify_wait(&noted, &wait_for_note)), 0);
    thread_join(thread);
    expect_numbers(1, 1);
    close_remote();
}
END_TEST

/* ---- many threads ---- */

enum {
    POSTERS = 4,
    POSTS_EACH = 32, /* at a time */
};

static unsigned arrived[POSTERS], posts_each;
static struct rill_notify all_arrived;

static void arrive(struct rill_post *post)
{
    struct numbered *numbered = rill_container_of(post, struct numbered, post);

    expect_eq(numbered->number, arrived[numbered->poster]);
    arrived[numbered->poster]++;
    give_back(numbered);
    for (int i = 0; i < POSTERS; i++)
        if (arrived[i] < posts_each)
            return;
    rill_notify_all(&all_arrived);
}

static void *post_many(void *argument)
{
    struct numbered ring[POSTS_EACH] = {0};
    unsigned poster = (unsigned)((unsigned *)argument - arrived);

    for (unsigned i = 0; i < posts_each; i++) {
        struct numbered *next = &ring[i % POSTS_EACH];

        while (is_busy(next))
            sched_yield();
        next->poster = poster;
        next->number = i;
        expect_eq(post_numbered(next, arrive), 0);
    }
    for (int i = 0; i < POSTS_EACH; i++)
        while (is_busy(&ring[i]))
            sched_yield();
    return NULL;
}

START_TEST(no_post_of_many_threads_is_lost_doubled_or_overtaken)
{
    pthread_t threads[POSTERS];

    posts_each = threads_scaled(100000);
    if (!open_remote(NULL))
        return;
    rill_notify_init(&all_arrived);
    for (int i = 0; i < POSTERS; i++)
        threads[i] = thread_start(post_many, &arrived[i]);
    await(rill_notify_wait(&all_arrived, &wait_for_note));
    for (int i = 0; i < POSTERS; i++) {
        thread_join(threads[i]);
        ck_assert_uint_eq(arrived[i], posts_each);
    }
    close_remote();
}
END_TEST

/* ---- mistakes ---- */

static struct background parked;
static struct rill_wait never;

static void *wake_from_here(void *task)
{
    rill_task_wake(task);
    return NULL;
}

static void *detach_from_here(void *task)
{
    rill_task_detach(task);
    return NULL;
}

static void *withdraw_from_here(void *post)
{
    rill_post_withdraw(remote, post);
    return NULL;
}

static void *destroy_from_here(void *runtime)
{
    rill_runtime_destroy(runtime);
    return NULL;
}

static void *shut_down_from_here(void *runtime)
{
    rill_runtime_shutdown(runtime, 0);
    return NULL;
}

static void *join_from_here(void *task)
{
    const struct rill_runtime_options options = {.kernel = fixture_kernel()};
    struct rill_runtime *runtime;
    struct rill_join join;

    if (rill_runtime_create(&runtime, &options) == 0)
        rill_block_on(runtime, rill_task_join(task, &join));
    return NULL;
}

static void *(*mistake)(void *argument);
static void *mistake_with;

static void make_mistake(void)
{
    thread_join(thread_start(mistake, mistake_with));
}

static void expect_panic(void *(*body)(void *argument), void *argument, const char *text)
{
    mistake = body;
    mistake_with = argument;
    fixture_expect_panic(make_mistake, text);
}

START_TEST(what_belongs_to_the_runtimes_thread_panics_on_another)
{
    struct note note = make_note(1);

    if (!open_remote(NULL))
        return;
    background_start(&parked, rill_notify_wait(&noted, &never));
    fixture_turn();
    expect_panic(wake_from_here, &parked.task,
                 "a task was woken by a thread that it does not belong to");
    expect_panic(join_from_here, &parked.task,
                 "a task was joined by a thread that it does not belong to");
    expect_panic(detach_from_here, &parked.task,
                 "a task was detached by a thread that it does not belong to");
    expect_panic(withdraw_from_here, &note.post,
                 "the posts of a runtime were taken by a thread that it does not belong to");
    expect_panic(destroy_from_here, fixture.runtime, "a runtime was ended by another thread");
    expect_panic(shut_down_from_here, fixture.runtime, "a runtime was shut down by another thread");
    rill_notify_all(&noted);
    ck_assert_int_eq(background_end(&parked), 0);
    close_remote();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {posts_are_run_in_the_next_turn_in_their_order, IN_REAL},
        {a_storm_of_posts_takes_its_turns_and_keeps_nothing_else_waiting, IN_REAL},
        {a_runtime_does_not_sleep_over_the_rest_of_a_storm, IN_REAL},
        {a_runtime_that_was_shut_down_makes_no_first_remote_either, IN_BOTH},
        {a_post_that_is_posted_twice_is_run_once_and_can_be_posted_again, IN_REAL},
        {a_post_that_posts_itself_is_run_in_the_next_turn, IN_REAL},
        {a_post_that_is_withdrawn_is_not_run, IN_REAL},
        {posts_behind_one_that_is_withdrawn_are_run_at_once_and_in_their_order, IN_REAL},
        {a_post_wakes_a_runtime_that_sleeps, IN_REAL},
        {a_runtime_without_a_place_for_its_bell_does_not_sleep_without_it, IN_REAL},
        {a_runtime_that_never_sleeps_finds_a_post_without_the_bell, IN_REAL},
        {only_who_posts_to_a_sleeping_runtime_rings_the_bell, IN_REAL},
        {a_runtime_that_nobody_posts_to_has_no_operation_and_no_descriptor, IN_REAL},
        {a_bell_whose_poll_the_kernel_has_ended_is_heard_again, IN_REAL},
        {posts_that_were_accepted_are_run_when_the_runtime_is_destroyed, IN_REAL},
        {shutting_down_waits_for_what_the_last_posts_spawn, IN_REAL},
        {whatever_was_accepted_while_a_runtime_ends_was_run, IN_REAL},
        {a_signal_handler_may_post_even_on_the_runtimes_thread, IN_REAL},
        {no_post_of_many_threads_is_lost_doubled_or_overtaken, IN_REAL},
        {what_belongs_to_the_runtimes_thread_panics_on_another, IN_REAL},
    };

    return fixture_main("remote", cases, sizeof cases / sizeof *cases);
}
