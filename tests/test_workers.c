/* SPDX-License-Identifier: Apache-2.0 */
/* test_workers.c - a pool runs each job once, in order, on no more threads than it may. */
#include "io/workers.h"

#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* A job that can be held at a gate, and that says how many ran at once. */
struct work {
    struct rill_job job;
    struct gate *gate; /* to pass before it ends, or NULL */
    int place;         /* in the order in which they began, from 1 on; atomic */
    bool is_over;      /* atomic */
};

static struct rill_workers pool;
static struct gate gate;
static int begun, at_once, most_at_once; /* atomic */
static pid_t noted_thread;               /* the one that has run the latest job */

static void run_work(struct rill_job *job)
{
    struct work *work = rill_container_of(job, struct work, job);
    int now = __atomic_add_fetch(&at_once, 1, __ATOMIC_SEQ_CST);
    int most = __atomic_load_n(&most_at_once, __ATOMIC_SEQ_CST);

    while (now > most && !__atomic_compare_exchange_n(&most_at_once, &most, now, false,
                                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        continue;
    __atomic_store_n(&work->place, __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST),
                     __ATOMIC_SEQ_CST);
    if (work->gate)
        gate_pass(work->gate);
    __atomic_sub_fetch(&at_once, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&work->is_over, true, __ATOMIC_SEQ_CST);
}

static struct work make_work(struct gate *held_at)
{
    return (struct work){.job.run = run_work, .gate = held_at};
}

static int submit(struct work *work)
{
    return rill_workers_submit(&pool, &work->job);
}

static void until_begun(int count)
{
    while (__atomic_load_n(&begun, __ATOMIC_SEQ_CST) < count)
        sched_yield();
}

static unsigned threads_now(void)
{
    unsigned threads;

    pthread_mutex_lock(&pool.lock);
    threads = pool.threads;
    pthread_mutex_unlock(&pool.lock);
    return threads;
}

/* Until all threads wait for work again. */
static void until_idle(void)
{
    pthread_mutex_lock(&pool.lock);
    while (pool.waiting_count > 0 || pool.busy > 0) {
        pthread_mutex_unlock(&pool.lock);
        sched_yield();
        pthread_mutex_lock(&pool.lock);
    }
    pthread_mutex_unlock(&pool.lock);
}

static void open_pool(const struct rill_workers_options *options)
{
    gate_init(&gate);
    rill_workers_init(&pool, options);
}

START_TEST(jobs_run_on_as_many_threads_as_there_may_be_and_then_in_line)
{
    const struct rill_workers_options options = {.threads_max = 2};
    struct work works[5];

    open_pool(&options);
    for (int i = 0; i < 5; i++) {
        works[i] = make_work(&gate);
        ck_assert_int_eq(submit(&works[i]), 0);
    }
    until_begun(2);
    ck_assert_uint_eq(threads_now(), 2);
    gate_open(&gate);
    rill_workers_finish(&pool);
    ck_assert_int_eq(begun, 5);
    ck_assert_int_eq(most_at_once, 2);
}
END_TEST

START_TEST(one_thread_runs_jobs_in_their_order)
{
    const struct rill_workers_options options = {.threads_max = 1};
    struct work works[20];

    open_pool(&options);
    for (int i = 0; i < 20; i++) {
        works[i] = make_work(i == 0 ? &gate : NULL);
        ck_assert_int_eq(submit(&works[i]), 0);
    }
    gate_open(&gate);
    rill_workers_finish(&pool);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(works[i].place, i + 1);
}
END_TEST

START_TEST(an_idle_thread_is_used_before_another_is_started)
{
    struct work work;

    open_pool(NULL);
    for (int i = 1; i <= 10; i++) {
        work = make_work(NULL);
        ck_assert_int_eq(submit(&work), 0);
        until_begun(i);
        until_idle();
        ck_assert_uint_eq(threads_now(), 1);
    }
    rill_workers_finish(&pool);
}
END_TEST

START_TEST(jobs_beyond_the_limit_of_the_line_are_refused)
{
    const struct rill_workers_options options = {.threads_max = 2, .waiting_max = 3};
    struct work works[6];

    open_pool(&options);
    for (int i = 0; i < 6; i++) {
        works[i] = make_work(&gate);
        ck_assert_int_eq(submit(&works[i]), i < 5 ? 0 : -EAGAIN);
    }
    until_begun(2);
    ck_assert_int_eq(submit(&works[5]), -EAGAIN);
    ck_assert(rill_workers_withdraw(&pool, &works[4].job));
    ck_assert_int_eq(submit(&works[5]), 0);
    gate_open(&gate);
    rill_workers_finish(&pool);
    ck_assert_int_eq(begun, 5);
    ck_assert(works[5].is_over && !works[4].is_over);
}
END_TEST

START_TEST(a_line_without_a_limit_refuses_none_whether_threads_are_idle_or_not)
{
    const struct rill_workers_options options = {.threads_max = 1, .waiting_max = SIZE_MAX};
    struct work works[3];

    open_pool(&options);
    for (int i = 0; i < 3; i++) {
        works[i] = make_work(i > 0 ? &gate : NULL);
        ck_assert_int_eq(submit(&works[i]), 0);
        if (i == 0)
            until_idle();
    }
    gate_open(&gate);
    rill_workers_finish(&pool);
    ck_assert(works[0].is_over && works[1].is_over && works[2].is_over);
}
END_TEST

START_TEST(a_job_can_be_withdrawn_until_it_runs)
{
    const struct rill_workers_options options = {.threads_max = 1};
    struct work works[3];

    open_pool(&options);
    for (int i = 0; i < 3; i++) {
        works[i] = make_work(&gate);
        ck_assert_int_eq(submit(&works[i]), 0);
    }
    until_begun(1);
    ck_assert(!rill_workers_withdraw(&pool, &works[0].job));
    ck_assert(rill_workers_withdraw(&pool, &works[1].job));
    ck_assert(!rill_workers_withdraw(&pool, &works[1].job));
    gate_open(&gate);
    rill_workers_finish(&pool);
    ck_assert(works[0].is_over && !works[1].is_over && works[2].is_over);
}
END_TEST

START_TEST(a_thread_without_work_ends_and_the_next_job_starts_one)
{
    const struct rill_workers_options options = {.idle_ns = 1};
    struct work work;

    open_pool(&options);
    for (int i = 1; i <= 20; i++) {
        work = make_work(NULL);
        ck_assert_int_eq(submit(&work), 0);
        until_begun(i);
        while (threads_now() > 0)
            sched_yield();
        ck_assert(work.is_over);
    }
    rill_workers_finish(&pool);
}
END_TEST

static void note_thread(struct rill_job *job)
{
    noted_thread = gettid();
    run_work(job);
}

/* One that left too early would be another now and then. */
START_TEST(a_thread_stays_for_as_long_as_it_may_be_idle)
{
    const struct rill_workers_options options = {.threads_max = 1, .idle_ns = 3600 * RILL_SECOND};
    pid_t usual = 0;

    (void)_i;
    open_pool(&options);
    for (int i = 0; i < 300; i++) {
        struct work work = make_work(NULL);

        work.job.run = note_thread;
        ck_assert_int_eq(submit(&work), 0);
        until_idle();
        if (i == 0)
            usual = noted_thread;
        ck_assert_int_eq(noted_thread, usual);
    }
    rill_workers_finish(&pool);
}
END_TEST

START_TEST(a_pool_that_was_never_used_ends_at_once)
{
    open_pool(NULL);
    rill_workers_finish(&pool);
}
END_TEST

static sigset_t mask_seen;

static void see_mask(struct rill_job *job)
{
    (void)job;
    pthread_sigmask(SIG_SETMASK, NULL, &mask_seen);
}

START_TEST(the_threads_have_all_signals_blocked_and_the_callers_mask_stays)
{
    struct rill_job job = {.run = see_mask};
    sigset_t before, after;

    open_pool(NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    ck_assert_int_eq(rill_workers_submit(&pool, &job), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    rill_workers_finish(&pool);
    ck_assert_int_eq(sigismember(&mask_seen, SIGINT), 1);
    ck_assert_int_eq(sigismember(&mask_seen, SIGUSR1), 1);
    for (int number = 1; number < 32; number++)
        ck_assert_int_eq(sigismember(&before, number), sigismember(&after, number));
}
END_TEST

enum {
    SUBMITTERS = 3,
    JOBS_EACH = 8, /* at a time */
};

static unsigned jobs_each, jobs_run; /* jobs_run: atomic */

static void *submit_many(void *unused)
{
    struct work works[JOBS_EACH];

    (void)unused;
    for (int i = 0; i < JOBS_EACH; i++)
        works[i].is_over = true;
    for (unsigned i = 0; i < jobs_each; i++) {
        struct work *work = &works[i % JOBS_EACH];

        while (!__atomic_load_n(&work->is_over, __ATOMIC_SEQ_CST))
            sched_yield();
        *work = make_work(NULL);
        expect_eq(submit(work), 0);
        if (i % 7 == 3 && rill_workers_withdraw(&pool, &work->job))
            run_work(&work->job);
        __atomic_fetch_add(&jobs_run, 1, __ATOMIC_SEQ_CST);
    }
    for (int i = 0; i < JOBS_EACH; i++)
        while (!__atomic_load_n(&works[i].is_over, __ATOMIC_SEQ_CST))
            sched_yield();
    return NULL;
}

/* Threads that give up after a nanosecond come and go all the time. */
START_TEST(no_job_of_many_threads_is_lost_or_run_twice)
{
    struct rill_workers_options options = {.threads_max = 3};

    jobs_each = threads_scaled(3000);
    for (int i = 0; i < 2; i++) {
        pthread_t threads[SUBMITTERS];

        options.idle_ns = i == 0 ? 1 : RILL_SECOND;
        begun = 0;
        jobs_run = 0;
        open_pool(&options);
        for (int k = 0; k < SUBMITTERS; k++)
            threads[k] = thread_start(submit_many, NULL);
        for (int k = 0; k < SUBMITTERS; k++)
            thread_join(threads[k]);
        rill_workers_finish(&pool);
        ck_assert_uint_eq(begun, SUBMITTERS * jobs_each);
        ck_assert_uint_eq(jobs_run, SUBMITTERS * jobs_each);
    }
}
END_TEST

/* ThreadSanitizer starts no threads in a child process. */
#ifndef __SANITIZE_THREAD__

static void run_on_shared_pool(void)
{
    struct work work = make_work(NULL);

    expect_eq(rill_workers_submit(rill_workers_shared(), &work.job), 0);
    while (!__atomic_load_n(&work.is_over, __ATOMIC_SEQ_CST))
        sched_yield();
}

/* The parent's thread, which it was taken to have, would never come for the job. */
START_TEST(in_a_child_process_the_pool_of_the_process_begins_anew)
{
    int status;
    pid_t child;

    for (int i = 0; i < 10; i++) {
        run_on_shared_pool();
        child = fork();
        if (child == 0) {
            alarm(20);
            run_on_shared_pool();
            _exit(0);
        }
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
    }
    run_on_shared_pool();
}
END_TEST

START_TEST(what_a_full_pool_was_given_is_not_run_in_a_child_process_too)
{
    static struct work works[RILL_WORKERS_THREADS + 2];
    int status;
    pid_t child;

    (void)_i;
    gate_init(&gate);
    for (size_t i = 0; i < RILL_WORKERS_THREADS + 2; i++) { /* two are in line */
        works[i] = make_work(&gate);
        ck_assert_int_eq(rill_workers_submit(rill_workers_shared(), &works[i].job), 0);
    }
    until_begun(RILL_WORKERS_THREADS);
    child = fork();
    if (child == 0) {
        alarm(20);
        gate_open(&gate);
        run_on_shared_pool();
        run_on_shared_pool();
        expect_eq(rill_workers_shared()->waiting_count, 0);
        _exit(begun == RILL_WORKERS_THREADS + 2 ? 0 : 1);
    }
    gate_open(&gate);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    until_begun(RILL_WORKERS_THREADS + 2);
}
END_TEST
#endif

int main(void)
{
    const struct fixture_case cases[] = {
        {jobs_run_on_as_many_threads_as_there_may_be_and_then_in_line, IN_REAL},
        {one_thread_runs_jobs_in_their_order, IN_REAL},
        {an_idle_thread_is_used_before_another_is_started, IN_REAL},
        {jobs_beyond_the_limit_of_the_line_are_refused, IN_REAL},
        {a_line_without_a_limit_refuses_none_whether_threads_are_idle_or_not, IN_REAL},
        {a_job_can_be_withdrawn_until_it_runs, IN_REAL},
        {a_thread_without_work_ends_and_the_next_job_starts_one, IN_REAL},
        {a_thread_stays_for_as_long_as_it_may_be_idle, IN_REAL},
        {a_pool_that_was_never_used_ends_at_once, IN_REAL},
        {the_threads_have_all_signals_blocked_and_the_callers_mask_stays, IN_REAL},
        {no_job_of_many_threads_is_lost_or_run_twice, IN_REAL},
#ifndef __SANITIZE_THREAD__
        {in_a_child_process_the_pool_of_the_process_begins_anew, IN_REAL},
        {what_a_full_pool_was_given_is_not_run_in_a_child_process_too, IN_REAL},
#endif
    };

    return fixture_main("workers", cases, sizeof cases / sizeof *cases);
}
