/* SPDX-License-Identifier: Apache-2.0 */
#include "io/workers.h"

#include "io/signal_mask.h"
#include "runtime/panic.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* ---- fork(2) ---- */

/* The pools for the whole process that have had a job. They are locked while the process is
 * copied, so that the child finds them in order. */
static struct rill_link used = {&used, &used};
static pthread_mutex_t used_lock = PTHREAD_MUTEX_INITIALIZER;

static struct rill_workers *used_of(struct rill_link *link)
{
    return rill_container_of(link, struct rill_workers, used);
}

static void lock_used(void)
{
    pthread_mutex_lock(&used_lock);
    for (struct rill_link *link = used.next; link != &used; link = link->next)
        pthread_mutex_lock(&used_of(link)->lock);
}

static void unlock_used(void)
{
    for (struct rill_link *link = used.next; link != &used; link = link->next)
        pthread_mutex_unlock(&used_of(link)->lock);
    pthread_mutex_unlock(&used_lock);
}

/* In the child, which has no thread but the one that called fork(2). */
static void begin_anew(void)
{
    for (struct rill_link *link = used.next; link != &used; link = link->next) {
        struct rill_workers *workers = used_of(link);

        pthread_cond_init(&workers->work, NULL); /* nobody waits here for either */
        pthread_cond_init(&workers->ended, NULL);
        while (!rill_list_is_empty(&workers->waiting))
            rill_list_pop(&workers->waiting);
        workers->waiting_count = 0;
        workers->threads = 0;
        workers->busy = 0;
        workers->has_ended_thread = false;
    }
    unlock_used();
}

static void watch_forks(void)
{
    (void)pthread_atfork(lock_used, unlock_used, begin_anew);
}

static void note_use(struct rill_workers *workers)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (!workers->is_static || __atomic_load_n(&workers->is_used, __ATOMIC_RELAXED))
        return;
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&used_lock);
    if (!workers->is_used)
        rill_list_append(&used, &workers->used);
    __atomic_store_n(&workers->is_used, true, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&used_lock);
}

/* ---- the pools ---- */

struct rill_workers *rill_workers_shared(void)
{
    static struct rill_workers shared =
        RILL_WORKERS_STATIC(shared, RILL_WORKERS_THREADS, RILL_WORKERS_WAITING);

    return &shared;
}

void rill_workers_init(struct rill_workers *workers, const struct rill_workers_options *options)
{
    static const struct rill_workers_options defaults;

    if (!options)
        options = &defaults;
    *workers = (struct rill_workers){
        .threads_max = options->threads_max ? options->threads_max : RILL_WORKERS_THREADS,
        .waiting_max = options->waiting_max ? options->waiting_max : RILL_WORKERS_WAITING,
        .idle_ns = options->idle_ns ? options->idle_ns : RILL_WORKERS_IDLE_NS,
    };
    rill_check(workers->idle_ns > 0, "threads that are idle for %lld ns: want more than 0",
               (long long)workers->idle_ns);
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    pthread_cond_init(&workers->ended, NULL);
    rill_list_init(&workers->waiting);
}

void rill_workers_finish(struct rill_workers *workers)
{
    rill_check(!workers->is_static, "a pool of threads for the whole process was finished");
    pthread_mutex_lock(&workers->lock);
    workers->is_ending = true;
    pthread_cond_broadcast(&workers->work);
    while (workers->threads > 0)
        pthread_cond_wait(&workers->ended, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    if (workers->has_ended_thread)
        pthread_join(workers->ended_thread, NULL);
    pthread_cond_destroy(&workers->ended);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
}

static struct rill_job *take(struct rill_workers *workers)
{
    workers->waiting_count--;
    return rill_container_of(rill_list_pop(&workers->waiting), struct rill_job, queue);
}

/* Waits for work, which somebody else may take first. Returns false when there has been
 * none for idle_ns. */
static bool wait_for_work(struct rill_workers *workers)
{
    struct timespec until;
    int64_t nanoseconds;
    int error;

    clock_gettime(CLOCK_MONOTONIC, &until);
    nanoseconds = until.tv_nsec + workers->idle_ns % RILL_SECOND;
    until.tv_sec += workers->idle_ns / RILL_SECOND + nanoseconds / RILL_SECOND;
    until.tv_nsec = nanoseconds % RILL_SECOND;
    error = pthread_cond_clockwait(&workers->work, &workers->lock, CLOCK_MONOTONIC, &until);
    return error != ETIMEDOUT;
}

/* Ends the calling thread's part, and gives up the lock. Each thread that ends joins the
 * one that ended before it, so that whoever finishes the pool has to join but one, and
 * then nothing is left of any. */
static void leave(struct rill_workers *workers)
{
    pthread_t before = workers->ended_thread;
    bool join_before = workers->has_ended_thread && !workers->is_static;

    workers->ended_thread = pthread_self();
    workers->has_ended_thread = true;
    if (workers->is_static)
        pthread_detach(workers->ended_thread);
    workers->threads--;
    if (workers->threads == 0)
        pthread_cond_signal(&workers->ended);
    pthread_mutex_unlock(&workers->lock);
    if (join_before)
        pthread_join(before, NULL);
}

static void *worker_main(void *argument)
{
    struct rill_workers *workers = argument;
    bool stay = true;

    pthread_mutex_lock(&workers->lock);
    for (;;) {
        while (!rill_list_is_empty(&workers->waiting)) {
            struct rill_job *job = take(workers);

            workers->busy++;
            pthread_mutex_unlock(&workers->lock);
            job->run(job);
            pthread_mutex_lock(&workers->lock);
            workers->busy--;
        }
        if (!stay || workers->is_ending)
            break;
        stay = wait_for_work(workers);
    }
    leave(workers);
    return NULL;
}

static void start_thread(struct rill_workers *workers)
{
    sigset_t before;
    pthread_t thread;

    rill_signal_mask_fill(&before);
    if (pthread_create(&thread, NULL, worker_main, workers) == 0)
        workers->threads++;
    rill_signal_mask_restore(&before);
}

static unsigned idle_threads(const struct rill_workers *workers)
{
    return workers->threads - workers->busy;
}

/* Whether a thread is about to take what would now be put in line. */
static bool has_free_thread(const struct rill_workers *workers)
{
    return workers->waiting_count < idle_threads(workers);
}

/* Whether none is, and as many wait beside those that threads are about to take as may. */
static bool is_full(const struct rill_workers *workers)
{
    return !has_free_thread(workers) &&
           workers->waiting_count - idle_threads(workers) >= workers->waiting_max;
}

int rill_workers_submit(struct rill_workers *workers, struct rill_job *job)
{
    int error = 0;

    note_use(workers);
    pthread_mutex_lock(&workers->lock);
    rill_check(!workers->is_ending, "a job was given to a pool of threads that has ended");
    if (!has_free_thread(workers) && workers->threads < workers->threads_max)
        start_thread(workers);
    if (workers->threads == 0 || is_full(workers)) {
        error = -EAGAIN;
    } else {
        workers->waiting_count++;
        rill_list_append(&workers->waiting, &job->queue);
        pthread_cond_signal(&workers->work);
    }
    pthread_mutex_unlock(&workers->lock);
    return error;
}

bool rill_workers_withdraw(struct rill_workers *workers, struct rill_job *job)
{
    bool was_waiting;

    pthread_mutex_lock(&workers->lock);
    was_waiting = rill_link_is_linked(&job->queue);
    if (was_waiting) {
        rill_link_remove(&job->queue);
        workers->waiting_count--;
    }
    pthread_mutex_unlock(&workers->lock);
    return was_waiting;
}
