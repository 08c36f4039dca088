/* SPDX-License-Identifier: Apache-2.0 */
/* rig.h - what a case of a runtime test has around it: an executor over a manual
 * driver, a task that runs any future, and a way to look at a panic. */
#ifndef RILL_TESTS_RIG_H
#define RILL_TESTS_RIG_H

#include "runtime/executor.h"
#include "tests/manual_driver.h"

#include <check.h>
#include <stdint.h>

#define RIG_COUNT(array) (sizeof(array) / sizeof *(array))

/* Fresh for each case. At its end no task may be alive, no block of the pool in
 * use and no timer armed. */
struct rig {
    struct manual_driver driver;
    struct rill_executor executor;
    unsigned long long seed; /* of one of many random runs, named by what fails, or 0 */
};
extern struct rig rig;

/* The main of a test program: runs each case, in a process of its own. */
int rig_main(const char *name, const TTest *const *tests, size_t count);

/* Makes the runtime, and ends it. rig_main calls them around each case. */
void rig_start(void);
void rig_end(void);

/* Returns count, or a part of it with sanitizers, and a small one under valgrind. */
unsigned rig_scaled(unsigned count);

/* The second half of a turn, which must not fail. */
void rig_wait(int64_t until_ns);

/* One turn of the executor that does not wait. What becomes ready in it runs in the next,
 * so that a case can step in between; unless it sets rig.executor.polls_soon. */
void rig_turn(void);

/* Turns until no task is ready, without waiting. */
void rig_settle(void);

/* Moves the clock and settles. */
void rig_advance(int64_t by_ns);

/* Turns, and waits, until a task is over. Returns its result. */
int64_t rig_finish(const struct rill_task *task);

/* Runs mistake in a process of its own, which has to abort. Returns what that
 * said on stderr, up to the next call. */
const char *rig_abort_message(void (*mistake)(void));

/* Fails the case unless text contains part. */
void rig_expect_text(const char *text, const char *part);

/* A pseudo-random number below bound, from a state that a test seeds. */
uint64_t rig_random(uint64_t *state, uint64_t bound);

/* What no task may mind: wakes some that wait, for no reason, lets those that are ready
 * run in another order, and changes how long a turn goes on with what becomes ready in it. */
void rig_disturb(uint64_t *random);

/* A task that awaits one future, and then another one if there is one. Its result
 * is that of the last. */
struct runner {
    struct rill_task task;
    struct rill_future *first, *then; /* borrowed; then may be NULL */
    unsigned polls;                   /* of the task */
};

/* Spawns it. The runner's task has to be over, or zeroed. */
void runner_start(struct runner *runner, struct rill_future *first, struct rill_future *then);

/* The poll function, for a runner whose task comes from rill_task_alloc. */
enum rill_poll runner_poll(struct rill_future *self, struct rill_task *task);

#endif
