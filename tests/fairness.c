/* SPDX-License-Identifier: Apache-2.0 */
/* fairness.c - a task that takes all it can get, and one beside it that counts its turns. */
#include "tests/fairness.h"

#include "runtime/executor.h"

#include <check.h>
#include <errno.h>

/* In one turn a share of them, and one that had its result already in the turn before. */
enum { TURNS = 10, ROUNDS = TURNS * (RILL_TASK_BUDGET + 1) + 1 };

/* What no future is ready with: the next one finds it in its place, and is not to be ready
 * before it has a result of its own. */
enum { STALE = 4711 };

/* Awaits futures one after the other, and does not mind how they end. */
struct looper {
    struct rill_task task;
    const struct fairness_loop *loop;
    struct rill_future *made;
    unsigned left;
    int64_t strange; /* a result that is not the expected one */
};

static enum rill_poll looper_poll(struct rill_future *self, struct rill_task *task)
{
    struct looper *looper = rill_container_of(self, struct looper, task.future);

    RILL_BEGIN();
    for (; looper->left > 0; looper->left--) {
        looper->made = looper->loop->make();
        RILL_AWAIT(looper->made);
        if (looper->made->result != looper->loop->result) {
            looper->strange = looper->made->result;
            break;
        }
        looper->made->result = STALE;
    }
    if (looper->loop->end)
        RILL_AWAIT(looper->loop->end());
    RILL_END();
}

/* Counts its own turns until the looper is over. */
struct bystander {
    struct rill_task task;
    const struct looper *looper;
    unsigned turns;
};

static enum rill_poll bystander_poll(struct rill_future *self, struct rill_task *task)
{
    struct bystander *bystander = rill_container_of(self, struct bystander, task.future);

    RILL_BEGIN();
    while (!rill_task_is_over(&bystander->looper->task)) {
        bystander->turns++;
        RILL_YIELD();
    }
    RILL_END();
}

static void check(const struct fairness_loop *loop, void (*turn)(void))
{
    struct looper looper = {.loop = loop, .left = ROUNDS};
    struct bystander bystander = {.looper = &looper};

    rill_task_spawn(&looper.task, looper_poll);
    rill_task_spawn(&bystander.task, bystander_poll);
    if (loop->result == -ECANCELED)
        rill_task_cancel(&looper.task);
    for (unsigned turns = 0; turns < ROUNDS && !rill_task_is_over(&bystander.task); turns++)
        turn();
    ck_assert_msg(looper.left == 0, "%s: %lld, %u rounds before the end", loop->what,
                  (long long)looper.strange, looper.left);
    ck_assert_msg(rill_task_is_over(&bystander.task), "%s: it does not end", loop->what);
    ck_assert_msg(bystander.turns >= TURNS, "%s: the bystander had %u turns", loop->what,
                  bystander.turns);
}

void fairness_check(const struct fairness_loop *loops, size_t count, void (*set_up)(void),
                    void (*tear_down)(void), void (*turn)(void))
{
    for (size_t i = 0; i < count; i++) {
        set_up();
        if (loops[i].prepare)
            loops[i].prepare();
        check(&loops[i], turn);
        tear_down();
    }
}
