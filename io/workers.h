/* SPDX-License-Identifier: Apache-2.0 */
/* workers.h - a pool of threads for what blocks, shared by any number of runtimes.
 *
 * Threads are started when there is work and none is idle, up to a limit, and end when
 * they have had none for a while. Work beyond the limit waits in line. Each kind of work
 * that may be slow has a pool of its own, so that it keeps no other waiting: look-ups of
 * names that are stuck take all threads of theirs, and the files go on.
 *
 * A child process made by fork(2) has none of the threads. In it the pools that live as long as the
 * process begin anew, without the jobs of the parent's runtimes; the others it must not use.
 *
 * The shared library stays in memory when a plugin that is linked with it is unloaded, as idle
 * threads return into it. One that has librill.a in itself is linked with -Wl,-z,nodelete as well.
 *
 * This is the pool itself. To await what runs in it there is "io/blocking.h". All
 * functions belong to any thread. */
#ifndef RILL_IO_WORKERS_H
#define RILL_IO_WORKERS_H

#include "runtime/list.h"
#include "runtime/time.h"

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_WORKERS_THREADS = 16,    /* of the process's shared pool, and of one by default */
    RILL_WORKERS_WAITING = 65536, /* likewise, the jobs in line */
};

/* How long a thread without work stays, by default. */
#define RILL_WORKERS_IDLE_NS (10 * RILL_SECOND)

struct rill_job;

/* Called once, on a thread of the pool, which does not touch the job again. */
typedef void rill_job_fn(struct rill_job *job);

struct rill_job {
    rill_job_fn *run;

    /* private */
    struct rill_link queue; /* workers.waiting */
};

/* Invariant: a job waits for no thread that could be started: waiting_count is at most
 * threads - busy, or threads is threads_max (or the system permits no more). */
struct rill_workers {
    /* private */
    pthread_mutex_t lock;     /* of everything below */
    pthread_cond_t work;      /* a job waits, or the pool ends */
    pthread_cond_t ended;     /* the last thread has ended */
    struct rill_link waiting; /* of rill_job.queue, first in first out */
    size_t waiting_count, waiting_max;
    unsigned threads, busy, threads_max;
    int64_t idle_ns;
    bool is_static; /* never finished, so nobody joins its threads */
    bool is_ending;
    bool has_ended_thread;
    pthread_t ended_thread; /* the latest to end, which has joined the one before */
    struct rill_link used;  /* workers.c: used, if is_static, once it has had a job */
    bool is_used;           /* atomic: it is there */
};

/* A zeroed field means its default. */
struct rill_workers_options {
    unsigned threads_max; /* [RILL_WORKERS_THREADS] */
    size_t waiting_max;   /* [RILL_WORKERS_WAITING] */
    int64_t idle_ns;      /* [RILL_WORKERS_IDLE_NS] */
};

/* Initializes a pool that lives as long as the process:
 *     static struct rill_workers names = RILL_WORKERS_STATIC(names, 8, 1000); */
#define RILL_WORKERS_STATIC(self, most_threads, most_waiting)                                      \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER,             \
            {&(self).waiting, &(self).waiting}, /* waiting_count: */ 0, (most_waiting),            \
            /* threads, busy: */ 0, 0, (most_threads), RILL_WORKERS_IDLE_NS,                       \
            /* is_static: */ true, false, false, 0, {0, 0}, false                                  \
    }

/* The pool that the whole process shares, for work that takes milliseconds: files, a
 * compression, a call into a library that blocks. It never ends. */
struct rill_workers *rill_workers_shared(void);

/* Makes a pool without a thread. options may be NULL. */
void rill_workers_init(struct rill_workers *workers, const struct rill_workers_options *options);

/* Ends it, having run all its jobs and waited for its threads. */
void rill_workers_finish(struct rill_workers *workers);

/* Puts a job in line, which is borrowed until it is run or withdrawn. The threads have
 * all signals blocked but faults (SIGSEGV, ...). Returns 0, or -EAGAIN: waiting_max jobs are in
 * line, or there is no thread and the system permits none. */
int rill_workers_submit(struct rill_workers *workers, struct rill_job *job);

/* Takes a job out of the line. Returns whether it was there: otherwise it runs, or has. */
bool rill_workers_withdraw(struct rill_workers *workers, struct rill_job *job);

#ifdef __cplusplus
}
#endif
#endif
