/* SPDX-License-Identifier: Apache-2.0 */
/* task.h - a task is a future that the executor polls, beside the other tasks.
 *
 * Spawning hands it to the executor of this thread, which polls it until
 * it is over. A task's memory is either its caller's (a field, a static, a stack
 * that outlives it) or a block of the runtime's free lists:
 *
 *     struct echo *echo = rill_task_alloc(sizeof *echo);      // task is its first member
 *     rill_tcp_adopt(&echo->peer, fd);
 *     rill_task_spawn(&echo->task, echo_poll);
 *     rill_task_detach(&echo->task);                          // frees itself at its end
 *
 * A task that is a part of something else is spawned into a scope (runtime/scope.h).
 *
 * All functions belong to the thread of the runtime and panic elsewhere. */
#ifndef RILL_RUNTIME_TASK_H
#define RILL_RUNTIME_TASK_H

#include "runtime/future.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rill_task_state {
    RILL_TASK_NEW,     /* not spawned; a zeroed task. Spawning makes it QUEUED. */
    RILL_TASK_QUEUED,  /* in executor.ready or .yielded. Being polled makes it RUNNING. */
    RILL_TASK_RUNNING, /* in its poll function. Becomes PARKED, OVER, or WOKEN by a wake. */
    RILL_TASK_WOKEN,   /* woken while in its poll function. Becomes QUEUED, or OVER. */
    RILL_TASK_PARKED,  /* in executor.parked or its scope's. A wake makes it QUEUED. */
    RILL_TASK_OVER,    /* its result is there; on no list. */
    RILL_TASK_GONE,    /* its block was given back, and may be another task's next. */
};

/* Why something was asked to end. */
enum rill_cancel_reason {
    RILL_NOT_CANCELLED, /* it was not */
    RILL_CANCELLED,     /* its result is not wanted any more */
    RILL_TIMED_OUT,     /* it has had its time */
    RILL_SHUTTING_DOWN, /* the program is about to end */
};

struct rill_task {
    struct rill_future future;

    /* private */
    struct rill_link queue; /* executor.ready, .yielded or .parked, or scope.parked */
    union {
        struct rill_task *joiner; /* woken at the end, or NULL */
        struct rill_scope *scope; /* told of the end, if in_scope */
    };
    uint8_t state;      /* enum rill_task_state */
    uint8_t below;      /* of what is being polled: 0, or 1 + reason below a combinator */
    uint8_t size_class; /* of the block that holds it, if pooled */
    uint8_t reason : 2; /* enum rill_cancel_reason, of the task as a whole */
    bool detached : 1;
    bool pooled : 1;
    bool in_scope : 1;
    uint16_t executor_id; /* whose it is */
    uint16_t ops;         /* what may still write into its memory: operations, scopes, futures of an
                           * any; and locks held */
};

static_assert(sizeof(struct rill_task) <= 64, "a task header is at most one cache line");

/* Returns a zeroed block of size bytes from the runtime's free lists for a struct
 * whose first member is its task, or NULL where there is no memory (or size is
 * above RILL_POOL_BLOCK_MAX). The caller owns it until it spawns the task; it is
 * given back when the task is over and was joined or is detached. */
void *rill_task_alloc(size_t size);

/* Gives back a block of rill_task_alloc whose task was never spawned. */
void rill_task_free(void *block);

/* Starts a task: the executor polls it with poll, in the order of spawning, never within
 * this call. Borrows the task until it is over. The task must be zeroed, or over. It cannot
 * fail. */
void rill_task_spawn(struct rill_task *task, rill_poll_fn *poll);

/* Says that nobody will join the task. At its end a block of rill_task_alloc is
 * given back; memory of the caller's may be reused once rill_task_is_over. */
void rill_task_detach(struct rill_task *task);

/* Asks the task to end. It is polled soon; what it awaits ends with -ECANCELED
 * (or with the real result where that won the race) once the kernel has let go
 * of it, and so does everything that it awaits later, except closing and what is
 * shielded. The task then runs its own clean-up. Does nothing to a task that is
 * over. A task may cancel itself. */
void rill_task_cancel(struct rill_task *task);

/* The same for a reason, which the task can look at. The first reason stays, but
 * RILL_SHUTTING_DOWN replaces another one: what may take its time otherwise has to
 * hurry then. */
void rill_task_cancel_because(struct rill_task *task, enum rill_cancel_reason reason);

/* Lets the task be polled again: one poll for any number of wakes before it.
 * Does nothing to a task that is over. */
void rill_task_wake(struct rill_task *task);

static inline bool rill_task_is_over(const struct rill_task *task)
{
    return task->state == RILL_TASK_OVER;
}

/* Returns why what is being polled should end: for the reason of the innermost
 * combinator around it that has one to give (a timeout's, a select's; there is none
 * within a shield), or else for the task's. Ask it where you are polled. */
static inline enum rill_cancel_reason rill_task_cancel_reason(const struct rill_task *task)
{
    return (enum rill_cancel_reason)(task->below ? task->below - 1 : task->reason);
}

/* Returns whether what is being polled should end. A future that waits by its own
 * means looks at this each time it is polled. */
static inline bool rill_task_is_cancelled(const struct rill_task *task)
{
    return rill_task_cancel_reason(task) != RILL_NOT_CANCELLED;
}

/* Polls child, and all below it, as asked to end for that reason, whatever was asked
 * of the task: how combinators cancel a part of it. RILL_NOT_CANCELLED shields it. */
static inline enum rill_poll rill_poll_because(struct rill_future *child, struct rill_task *task,
                                               enum rill_cancel_reason reason)
{
    uint8_t outer = task->below;
    enum rill_poll poll;

    task->below = (uint8_t)(1 + reason);
    poll = child->poll(child, task);
    task->below = outer;
    return poll;
}

/* Waits for the end of another task. */
struct rill_join {
    union {
        int64_t result; /* the task's result, or -ECANCELED */
        struct rill_future future;
    };

    /* private */
    struct rill_task *target;
};

/* Waits until task is over; join.result is then its result, and a block of
 * rill_task_alloc is given back. One joiner a task. Cancelling it leaves the
 * task as it is, running or over by a cancel as well: with -ECANCELED it is
 * still to be joined or detached. Any other result has won, as ever. */
struct rill_future *rill_task_join(struct rill_task *task, struct rill_join *join);

/* Prints the task's state and the chain of futures that it waits for, a line each with its place
 * in the source; of those that a select or the like waits for, the first that is pending. */
void rill_task_print(const struct rill_task *task, FILE *out);

/* private: called by the executor when a task's future is ready. */
void rill_task_finish(struct rill_task *task);

#ifdef __cplusplus
}
#endif
#endif
