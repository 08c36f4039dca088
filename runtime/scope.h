/* SPDX-License-Identifier: Apache-2.0 */
/* scope.h - a scope that tasks are spawned into and cannot outlive.
 *
 *     rill_scope_init(&copy->scope, RILL_SCOPE_TOGETHER);
 *     rill_scope_spawn(&copy->scope, &copy->reader.task, reader_poll);
 *     rill_scope_spawn(&copy->scope, &copy->writer.task, writer_poll);
 *     RILL_AWAIT(rill_scope_join(&copy->scope));
 *     RILL_RETURN(copy->scope.result);
 *
 * A scope lives in the struct of the future that awaits its end. Whoever leaves it
 * waits for its tasks, so they may use all that lives there as well. */
#ifndef RILL_RUNTIME_SCOPE_H
#define RILL_RUNTIME_SCOPE_H

#include "runtime/line.h"
#include "runtime/task.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the failure of one task means to the others. A task fails when its result is
 * an error other than -ECANCELED, which says only that it was asked to end. */
enum rill_scope_policy {
    RILL_SCOPE_INDEPENDENT, /* nothing: they go on */
    RILL_SCOPE_TOGETHER,    /* the first failure cancels them */
};

/* Invariant: while alive > 0 the scope is in executor.scopes, and is counted in
 * owner->ops if it has an owner. */
struct rill_scope {
    union {
        int64_t result; /* of rill_scope_join and rill_scope_wait */
        struct rill_future future;
    };
    size_t alive; /* tasks that were spawned into it and are not over */

    /* private */
    struct rill_link parked;  /* of rill_task.queue: its tasks that wait */
    struct rill_link entry;   /* executor.scopes */
    struct rill_task *owner;  /* which must not end before them, or NULL: not known yet */
    struct rill_task *waiter; /* woken when none is alive, or NULL */
    struct rill_line line;    /* of rill_scope_room.place */
    int64_t error;            /* of the first task that failed, or 0 */
    uint8_t policy;           /* enum rill_scope_policy */
    uint8_t reason : 2;       /* enum rill_cancel_reason: what its tasks are told */
    bool was_abandoned : 1;   /* by a cancelled join */
    bool was_cut_short : 1;   /* a task has ended with -ECANCELED */
};

/* Makes an empty scope, which owns nothing and allocates nothing. The running task,
 * if there is one, becomes its owner, up to the moment at which another one awaits
 * the scope's end. The owner outlives the scope: if it ends while tasks of the scope
 * are alive, or one is spawned after its end, that panics. */
void rill_scope_init(struct rill_scope *scope, enum rill_scope_policy policy);

/* Starts a task in the scope, as rill_task_spawn does: borrows it until it is over,
 * gives a block of rill_task_alloc back by itself then, and cannot fail. Any task
 * may call it, those of the scope too. In a scope that is cancelled the task starts
 * cancelled. It can be neither joined nor detached. */
void rill_scope_spawn(struct rill_scope *scope, struct rill_task *task, rill_poll_fn *poll);

/* Cancels all tasks of the scope, and those that are spawned into it from now on.
 * The first reason stays, but RILL_SHUTTING_DOWN replaces another one, as it does with a
 * task. It does not wait for them: rill_scope_join does. */
void rill_scope_cancel(struct rill_scope *scope, enum rill_cancel_reason reason);

/* Waits until no task of the scope is alive. The result is the error of the first
 * that failed, or 0. Cancelling it cancels the tasks, for the same reason, and waits
 * for them (and when the program ends, RILL_SHUTTING_DOWN, tells also those that were cancelled
 * before); the result is then -ECANCELED if none has failed and one was cut short.
 * Borrows the scope; one task waits for it at a time, and none of its own. What has
 * failed or was cancelled stays so until rill_scope_init. */
struct rill_future *rill_scope_join(struct rill_scope *scope);

/* The same, but cancelling it leaves the tasks alone: -ECANCELED, and the scope is
 * still to be joined. For waiting up to some moment (rill_timeout). */
struct rill_future *rill_scope_wait(struct rill_scope *scope);

/* Waiting for room. */
struct rill_scope_room {
    union {
        int64_t result; /* 0 or -errno */
        struct rill_future future;
    };

    /* private */
    struct rill_scope *scope;
    size_t max;
    struct rill_place_in_line place; /* in scope.line */
};

/* Waits until fewer than max tasks of the scope are alive, so that there is room for one more:
 *
 *     while (next_page(crawl)) {
 *         RILL_AWAIT(rill_scope_wait_for_room(&crawl->scope, &crawl->room, 16));
 *         if (crawl->room.result < 0) // cancelled: or all that is left would be spawned now
 *             break;
 *         rill_scope_spawn(&crawl->scope, ...);
 *     }
 *
 * The room is there until the task that waited awaits something else. Several may wait; of those
 * for whose max there is room the first goes first. A task of the scope may wait too, but takes
 * room itself.
 * Panics if max is 0. Borrows the scope. Cancelling it: -ECANCELED, and the next one looks. */
struct rill_future *rill_scope_wait_for_room(struct rill_scope *scope, struct rill_scope_room *room,
                                             size_t max);

/* private: called when a task of the scope has ended. */
void rill_scope_task_ended(struct rill_scope *scope, int64_t result);

/* private: a scope of this owner with tasks alive, or NULL. */
const struct rill_scope *rill_scope_of_owner(const struct rill_task *owner);

#ifdef __cplusplus
}
#endif
#endif
