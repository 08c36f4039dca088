/* SPDX-License-Identifier: Apache-2.0 */
/* test_scope_growth.c - what is done for a scope costs no more where many wait for room in it: the
 * links that are looked at are counted. */
#include "runtime/executor.h"
#include "runtime/scope.h"
#include "tests/latch.h"
#include "tests/rig.h"

/* The scope's own code, which counts the steps that it takes over lists. */
static size_t steps;

static inline void *step(void *link)
{
    steps++;
    return link;
}

#undef rill_container_of
#define rill_container_of(pointer, type, member)                                                   \
    ((type *)(void *)((char *)step(pointer) - offsetof(type, member)))
#include "runtime/scope.c" // NOLINT(bugprone-suspicious-include)

enum { CROWD = 500 };

static struct rill_scope crowded;
static struct rill_scope_room rooms[CROWD];
static struct runner waiters[CROWD], inside;
static struct latch latch;

/* One task is in the scope, and a crowd waits for it to end. */
static void fill(void)
{
    rill_scope_init(&crowded, RILL_SCOPE_INDEPENDENT);
    inside.first = latch_wait(&latch);
    rill_scope_spawn(&crowded, &inside.task, runner_poll);
    for (int i = 0; i < CROWD; i++)
        runner_start(&waiters[i], rill_scope_wait_for_room(&crowded, &rooms[i], 1), NULL);
    rig_settle();
}

START_TEST(who_comes_to_a_full_scope_does_not_look_at_all_who_wait)
{
    steps = 0;
    fill();
    ck_assert_uint_le(steps, 10 * CROWD);
    latch_open(&latch, 0);
    rig_settle();
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(rooms[i].result, 0);
}
END_TEST

START_TEST(who_gives_up_waiting_for_room_does_not_look_at_all_who_wait)
{
    fill();
    steps = 0;
    for (int i = 0; i < CROWD; i++)
        rill_task_cancel(&waiters[i].task);
    rig_settle();
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(rooms[i].result, -ECANCELED);
    ck_assert_uint_le(steps, 10 * CROWD);
    latch_open(&latch, 0);
    rig_settle();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        who_comes_to_a_full_scope_does_not_look_at_all_who_wait,
        who_gives_up_waiting_for_room_does_not_look_at_all_who_wait,
    };

    return rig_main("scope_growth", tests, RIG_COUNT(tests));
}
