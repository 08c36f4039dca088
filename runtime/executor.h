/* SPDX-License-Identifier: Apache-2.0 */
/* executor.h - polls the tasks that are ready, and lets the driver wait.
 *
 * A thread has at most one executor, and an executor belongs to the thread that
 * made it. */
#ifndef RILL_RUNTIME_EXECUTOR_H
#define RILL_RUNTIME_EXECUTOR_H

#include "runtime/driver.h"
#include "runtime/list.h"
#include "runtime/panic.h"
#include "runtime/pool.h"
#include "runtime/task.h"
#include "runtime/wheel.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* Polls in one turn before the driver is looked at again. */
    RILL_TURN_POLLS_MAX = 1024,
    /* Polls up to which a turn goes on with tasks that became ready in it. */
    RILL_TURN_POLLS_SOON = 64,
    /* Awaits that were ready at once, in one poll of a task, before it yields. */
    RILL_TASK_BUDGET = 128,
    /* Looks at the driver for what came while the thread was held up. */
    RILL_HELD_UP_TURNS_MAX = 8192,
};

/* How late a timer has to be for what came before it to be taken in first. */
#define RILL_HELD_UP_NS (10 * RILL_MILLISECOND)

/* Invariant: a task that is spawned and not over is in ready or yielded, or parked (here,
 * or in its scope), or running; ready_count is the length of ready and yielded; between two
 * turns nobody is in yielded. */
struct rill_executor {
    struct rill_driver *driver; /* borrowed */
    size_t tasks_alive;         /* spawned and not over */
    uint64_t turns, polls;      /* counted since the beginning */
    uint64_t spawns;            /* likewise */

    /* private */
    struct rill_link ready;   /* of rill_task.queue, first in first out */
    struct rill_link yielded; /* of rill_task.queue: woken while they ran, for the next turn */
    struct rill_link parked;  /* of rill_task.queue: those that wait, but for tasks of scopes */
    size_t ready_count;
    size_t polls_soon;         /* RILL_TURN_POLLS_SOON, or as a test wants it */
    struct rill_task *running; /* whose poll function is being run, or NULL */
    unsigned budget_left;      /* of the running task */
    uint16_t id;               /* what its tasks carry in executor_id */
    bool now_is_known;         /* the clock was read in this turn */
    unsigned waits_for_timer;  /* in a row, with the clock unread */
    int64_t now_ns;
    struct rill_wheel wheel;
    struct rill_pool pool;
    struct rill_link scopes; /* of rill_scope.entry: those with tasks alive */
    uint64_t random;         /* see runtime/random.h */
};

/* Makes the executor of this thread over a driver, which it borrows until it is
 * finished. Returns 0, or -EBUSY if the thread has one already. */
int rill_executor_init(struct rill_executor *executor, struct rill_driver *driver);

/* Ends it. Panics, after printing all of them, if tasks are alive. */
void rill_executor_finish(struct rill_executor *executor);

/* private: the executor of this thread, or NULL. */
extern __thread struct rill_executor *rill_executor_of_thread;

/* The executor of this thread. It panics where there is none. */
static inline struct rill_executor *rill_executor_here(void)
{
    rill_check(rill_executor_of_thread,
               "this thread has no runtime: there is one within rill_main, "
               "and after rill_runtime_create");
    return rill_executor_of_thread;
}

/* The first half of a turn: wakes the tasks whose time has come, then polls the tasks that
 * are ready, RILL_TURN_POLLS_MAX of them at the most. If they are few, the turn goes on with
 * tasks that these spawn and wake, up to RILL_TURN_POLLS_SOON polls in all. A task that was
 * woken while it ran, as one that yields, always waits for the next turn, so that the driver
 * has its turn before. */
void rill_executor_run(struct rill_executor *executor);

/* The second half: lets the driver pass operations down and results up, and wait:
 * until until_ns or the next timer at most, and not at all while a task is ready.
 * Returns 0 or the driver's -errno. */
int rill_executor_wait(struct rill_executor *executor, int64_t until_ns);

/* private: somebody else has waited, for a timer perhaps: the next run reads the clock in any
 * case. */
void rill_executor_was_waited_for(struct rill_executor *executor);

/* Turns until future, which may be any, is ready, as the root of a task of its
 * own. Returns its result. Other tasks run too and may be left alive. Panics if
 * the driver fails for good, and if a task calls it. */
int64_t rill_executor_block_on(struct rill_executor *executor, struct rill_future *future);

/* Cancels every task that is alive and was not cancelled yet; for RILL_SHUTTING_DOWN those too
 * that were cancelled for another reason. */
void rill_executor_cancel_all(struct rill_executor *executor, enum rill_cancel_reason reason);

/* Prints every task that is alive, as rill_task_print does. */
void rill_executor_print(const struct rill_executor *executor, FILE *out);

/* The time of this turn on the monotonic clock, in nanoseconds. The clock is read
 * at most once a turn; again only after a task has looked out for a message before it waits
 * (io/reactor.h), and where a sleep or a limit begins in a turn that has lasted so long that the
 * coarse clock has moved. */
int64_t rill_now(void);

/* private: the same for what begins now and ends after a while. Where the turn has lasted so
 * long that even the coarse clock has seen it, the clock is read anew. */
int64_t rill_now_of_beginning(void);

/* For a future that found its result there without waiting, be it an error, the end or
 * -ECANCELED: pays for it from the running task's budget. False means that the task has had its
 * share for now and was woken: the future answers RILL_PENDING and gives its result next time.
 * A poll that stays pending is not paid for: a crowd of such futures would use the budget up in
 * every turn, and those behind them in the same task would never end. */
static inline bool rill_budget_spend(struct rill_executor *executor, struct rill_task *task)
{
    if (__builtin_expect(executor->budget_left > 0, 1)) {
        executor->budget_left--;
        return true;
    }
    rill_task_wake(task);
    return false;
}

/* private: somebody waited within a turn, so that what rill_now has said is over. */
static inline void rill_executor_time_has_passed(struct rill_executor *executor)
{
    executor->now_is_known = false;
}

/* Ends such a future with its result, once the budget pays for it. */
static inline enum rill_poll rill_end_at_once(struct rill_future *self, struct rill_task *task,
                                              int64_t result)
{
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    return rill_future_end(self, result);
}

#ifdef __cplusplus
}
#endif
#endif
