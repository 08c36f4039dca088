/* SPDX-License-Identifier: Apache-2.0 */
/* shutdown.c - a program that ends gracefully: no new work, a word to those who are at
 * work, some time for them, and then no more. */
#include "io/program.h"
#include "io/signals.h"
#include "runtime/any.h"
#include "runtime/scope.h"
#include "runtime/shield.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <stdio.h>

static const int64_t grace_ns = 200 * RILL_MILLISECOND;

enum { ARRIVAL, SIGNAL, STREAMS, JOBS = 3 };

/* A job is done in pieces of 20 ms each. */
struct job {
    struct rill_task task;
    struct rill_sleep piece, undo;
    struct rill_shield shield;
    int number, pieces;
    const bool *is_stopping; /* looked at between two pieces, or NULL */
};

struct service {
    struct rill_future future;
    struct rill_any any;
    struct rill_future *streams[STREAMS];
    struct rill_interval arrivals;
    struct rill_signals signals;
    struct rill_scope jobs;
    struct rill_timeout grace;
    bool is_stopping;
    struct job job[JOBS];
    int count;
};

static enum rill_poll job_poll(struct rill_future *self, struct rill_task *task)
{
    struct job *job = rill_container_of(self, struct job, task.future);

    RILL_BEGIN();
    while (job->pieces-- > 0) {
        RILL_AWAIT(rill_sleep(&job->piece, 20 * RILL_MILLISECOND));
        if (job->piece.result < 0)
            break;
        if (job->is_stopping && *job->is_stopping) {
            printf("job %d: stops between two pieces\n", job->number);
            RILL_RETURN(0);
        }
    }
    if (job->piece.result == 0) {
        printf("job %d: done\n", job->number);
    } else {
        RILL_AWAIT(rill_shield(&job->shield, rill_sleep(&job->undo, 5 * RILL_MILLISECOND)));
        printf("job %d: undone%s\n", job->number,
               rill_task_cancel_reason(task) == RILL_SHUTTING_DOWN ? ", because of the shutdown"
                                                                   : "");
    }
    RILL_RETURN(job->piece.result);
    RILL_END();
}

static void start_job(struct service *service)
{
    const struct job jobs[JOBS] = {
        {.number = 1, .pieces = 1000, .is_stopping = &service->is_stopping},
        {.number = 2, .pieces = 3},
        {.number = 3, .pieces = 1000},
    };
    struct job *job = &service->job[service->count];

    *job = jobs[service->count++];
    rill_scope_spawn(&service->jobs, &job->task, job_poll);
}

static enum rill_poll service_poll(struct rill_future *self, struct rill_task *task)
{
    struct service *service = rill_container_of(self, struct service, future);

    RILL_BEGIN();
    self->result = rill_signals_open(&service->signals, (const int[]){SIGUSR1}, 1);
    if (self->result < 0)
        RILL_RETURN(self->result);
    rill_scope_init(&service->jobs, RILL_SCOPE_INDEPENDENT);
    rill_interval_init(&service->arrivals, 10 * RILL_MILLISECOND);
    rill_any_init(&service->any, service->streams, STREAMS);
    service->streams[ARRIVAL] = rill_interval_tick(&service->arrivals);
    service->streams[SIGNAL] = rill_signals_next(&service->signals);
    for (;;) {
        RILL_AWAIT(rill_any_next(&service->any));
        if (service->any.result != ARRIVAL)
            break;
        start_job(service);
        if (service->count == JOBS)
            raise(SIGUSR1); /* as if the user had asked for it */
        else
            service->streams[ARRIVAL] = rill_interval_tick(&service->arrivals);
    }

    /* 1. No new work. */
    RILL_AWAIT(rill_any_drain(&service->any, RILL_SHUTTING_DOWN));
    rill_signals_close(&service->signals);
    printf("1. no new work\n");

    /* 2. Those who are at work are told. */
    service->is_stopping = true;
    printf("2. told\n");

    /* 3. They have some time. */
    RILL_AWAIT(rill_timeout(&service->grace, grace_ns, rill_scope_wait(&service->jobs)));
    printf("3. time is over, at work: %zu\n", service->jobs.alive);

    /* 4. Those who are left are cancelled, and clean up. */
    rill_scope_cancel(&service->jobs, RILL_SHUTTING_DOWN);
    RILL_AWAIT(rill_scope_join(&service->jobs));
    printf("4. drained, at work: %zu\n", service->jobs.alive);
    RILL_END();
}

int main(void)
{
    static struct service service;

    return rill_main(rill_future_init(&service.future, service_poll));
}
