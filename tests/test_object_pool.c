/* SPDX-License-Identifier: Apache-2.0 */
/* test_object_pool.c - never more objects than allowed, and none is lost. */
#include "runtime/executor.h"
#include "runtime/object_pool.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <string.h>

enum { MAX = 3, USERS = 6, OBJECTS = 64 };

/* An object takes a while to make and to end; the memory is this array. */
static struct object {
    struct rill_pooled pooled;
    struct rill_shielded_nap {
        struct rill_future future;
        struct rill_sleep sleep;
    } ending;
    bool exists, is_broken;
} objects[OBJECTS];

static int existing;
static int64_t making_ns, ending_ns;
static struct rill_object_pool pool;

static bool is_healthy(struct rill_pooled *pooled)
{
    return !rill_container_of(pooled, struct object, pooled)->is_broken;
}

/* Sleeps in spite of a cancel, as closing does. */
static enum rill_poll ending_poll(struct rill_future *self, struct rill_task *task)
{
    struct object *object = rill_container_of(self, struct object, ending.future);

    if (rill_poll_because(&object->ending.sleep.future, task, RILL_NOT_CANCELLED) == RILL_PENDING)
        return RILL_PENDING;
    ck_assert(object->exists);
    object->exists = false;
    existing--;
    return rill_future_end(self, 0);
}

static struct rill_future *end_object(struct rill_pooled *pooled)
{
    struct object *object = rill_container_of(pooled, struct object, pooled);

    rill_sleep(&object->ending.sleep, ending_ns);
    return rill_future_init(&object->ending.future, ending_poll);
}

static struct rill_object_pool_options options = {
    .max = MAX, .idle_ns = 10 * RILL_MILLISECOND, .is_healthy = is_healthy, .end = end_object};

struct making {
    struct rill_future future;
    struct rill_sleep sleep;
    struct rill_object_pool_take *take;
    int64_t error;
};

static enum rill_poll making_poll(struct rill_future *self, struct rill_task *task)
{
    struct making *making = rill_container_of(self, struct making, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&making->sleep, making_ns));
    if (making->sleep.result < 0 || making->error < 0)
        RILL_RETURN(making->sleep.result < 0 ? making->sleep.result : making->error);
    for (int i = 0; i < OBJECTS; i++) {
        if (objects[i].exists)
            continue;
        objects[i].exists = true;
        objects[i].is_broken = false;
        making->take->object = &objects[i].pooled;
        existing++;
        ck_assert_int_le(existing, MAX);
        RILL_RETURN(0);
    }
    RILL_RETURN(-ENOMEM);
    RILL_END();
}

static struct rill_future *make(struct making *making, struct rill_object_pool_take *take)
{
    making->take = take;
    return rill_future_init(&making->future, making_poll);
}

static struct rill_object_pool_take takes[USERS];
static struct making makings[USERS];
static struct runner runners[USERS];

static void open_pool(void)
{
    memset(objects, 0, sizeof objects);
    memset(makings, 0, sizeof makings);
    existing = 0;
    making_ns = ending_ns = 0;
    ck_assert_int_eq(rill_object_pool_init(&pool, &options), 0);
}

static void start(int i)
{
    runner_start(&runners[i], rill_object_pool_take(&pool, &takes[i], make(&makings[i], &takes[i])),
                 NULL);
    rig_settle();
}

static bool is_over(int i)
{
    return rill_task_is_over(&runners[i].task);
}

static void drain_pool(void)
{
    static struct rill_object_pool_care drain;
    static struct runner runner;

    runner_start(&runner, rill_object_pool_drain(&pool, &drain), NULL);
    ck_assert_int_eq(rig_finish(&runner.task), 0);
    ck_assert_int_eq(existing, 0);
    rill_object_pool_finish(&pool);
}

START_TEST(an_object_that_was_given_back_is_used_again_the_last_one_first)
{
    struct rill_pooled *last;

    open_pool();
    start(0);
    start(1);
    ck_assert_int_eq(takes[0].result, 0);
    ck_assert_int_eq(takes[1].result, 0);
    last = takes[0].object;
    rill_object_pool_give_back(&pool, takes[1].object);
    rill_object_pool_give_back(&pool, takes[0].object);
    start(2);
    ck_assert_int_eq(takes[2].result, 1);
    ck_assert_ptr_eq(takes[2].object, last);
    ck_assert_int_eq(existing, 2);
    rill_object_pool_give_back(&pool, takes[2].object);
    drain_pool();
}
END_TEST

START_TEST(at_the_maximum_takers_wait_first_come_first_served)
{
    open_pool();
    for (int i = 0; i < USERS; i++)
        start(i);
    ck_assert(is_over(2) && !is_over(3) && !is_over(4));
    rill_object_pool_give_back(&pool, takes[0].object);
    rig_settle();
    ck_assert(is_over(3) && !is_over(4));
    ck_assert_int_eq(takes[3].result, 1);
    rill_object_pool_discard(&pool); /* the second one's, which ended by itself */
    rill_container_of(takes[1].object, struct object, pooled)->exists = false;
    existing--;
    rig_settle();
    ck_assert(is_over(4));
    ck_assert_int_eq(takes[4].result, 0);
    rill_object_pool_give_back(&pool, takes[2].object);
    rill_object_pool_give_back(&pool, takes[3].object);
    rig_settle();
    ck_assert_int_eq(takes[5].result, 1);
    rill_object_pool_give_back(&pool, takes[4].object);
    rill_object_pool_give_back(&pool, takes[5].object);
    drain_pool();
}
END_TEST

START_TEST(a_broken_object_is_ended_and_another_one_made)
{
    open_pool();
    start(0);
    rill_container_of(takes[0].object, struct object, pooled)->is_broken = true;
    rill_object_pool_give_back(&pool, takes[0].object);
    start(1);
    ck_assert(is_over(1));
    ck_assert_int_eq(takes[1].result, 0);
    ck_assert_int_eq(existing, 1);
    rill_object_pool_give_back(&pool, takes[1].object);
    drain_pool();
}
END_TEST

START_TEST(an_object_that_can_not_be_made_takes_no_place)
{
    open_pool();
    for (int i = 0; i < 10; i++) {
        makings[0].error = -ECONNREFUSED;
        start(0);
        ck_assert_int_eq(takes[0].result, -ECONNREFUSED);
        ck_assert_ptr_null(takes[0].object);
    }
    drain_pool();
}
END_TEST

START_TEST(cancelling_while_waiting_and_while_making_loses_no_place)
{
    open_pool();
    making_ns = RILL_SECOND;
    for (int i = 0; i < USERS; i++)
        start(i);
    for (int i = 0; i < USERS; i++)
        rill_task_cancel(&runners[i].task);
    rig_settle();
    for (int i = 0; i < USERS; i++)
        ck_assert_int_eq(takes[i].result, -ECANCELED);
    making_ns = 0;
    for (int i = 0; i < MAX; i++) {
        start(i);
        ck_assert_int_eq(takes[i].result, 0);
    }
    for (int i = 0; i < MAX; i++)
        rill_object_pool_give_back(&pool, takes[i].object);
    drain_pool();
}
END_TEST

START_TEST(objects_that_are_idle_too_long_are_ended)
{
    static struct rill_object_pool_care tend;
    static struct runner tender;

    open_pool();
    runner_start(&tender, rill_object_pool_tend(&pool, &tend), NULL);
    rig_settle();
    start(0);
    start(1);
    rill_object_pool_give_back(&pool, takes[0].object);
    rig_advance(6 * RILL_MILLISECOND);
    rill_object_pool_give_back(&pool, takes[1].object);
    rig_advance(5 * RILL_MILLISECOND);
    ck_assert_int_eq(existing, 1);
    start(2); /* is not idle any more */
    ck_assert_int_eq(takes[2].result, 1);
    rig_advance(20 * RILL_MILLISECOND);
    ck_assert_int_eq(existing, 1);
    rill_object_pool_give_back(&pool, takes[2].object);
    rig_advance(11 * RILL_MILLISECOND);
    ck_assert_int_eq(existing, 0);
    rill_task_cancel(&tender.task);
    rig_settle();
    ck_assert_int_eq(tend.result, -ECANCELED);
    drain_pool();
}
END_TEST

START_TEST(a_drained_pool_waits_for_what_is_in_use_and_refuses_the_rest)
{
    static struct rill_object_pool_care drain;
    static struct runner drainer;

    open_pool();
    start(0);
    runner_start(&drainer, rill_object_pool_drain(&pool, &drain), NULL);
    rig_settle();
    ck_assert(!rill_task_is_over(&drainer.task));
    start(1);
    ck_assert_int_eq(takes[1].result, -EPIPE);
    rill_object_pool_give_back(&pool, takes[0].object);
    rig_settle();
    ck_assert(rill_task_is_over(&drainer.task));
    ck_assert_int_eq(existing, 0);
    rill_object_pool_finish(&pool);
}
END_TEST

static void finish_with_objects(void)
{
    open_pool();
    start(0);
    rill_object_pool_give_back(&pool, takes[0].object);
    rill_object_pool_finish(&pool);
}

START_TEST(wrong_use_is_refused)
{
    struct rill_object_pool_options wrong = options;

    rig_expect_text(rig_abort_message(finish_with_objects), "with 1 idle objects");
    wrong.max = 0;
    ck_assert_int_eq(rill_object_pool_init(&pool, &wrong), -EINVAL);
    wrong = options;
    wrong.idle_ns = -1;
    ck_assert_int_eq(rill_object_pool_init(&pool, &wrong), -EINVAL);
    wrong = options;
    wrong.end = NULL;
    ck_assert_int_eq(rill_object_pool_init(&pool, &wrong), -EINVAL);
}
END_TEST

/* ---- random runs ---- */

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct user {
    struct rill_task task;
    struct rill_object_pool_take take;
    struct making making;
    struct rill_timeout timeout;
    struct rill_sleep work;
    struct object *object;
    int rounds;
} users[USERS];

static enum rill_poll user_poll(struct rill_future *self, struct rill_task *task)
{
    struct user *user = rill_container_of(self, struct user, task.future);

    RILL_BEGIN();
    for (; user->rounds > 0; user->rounds--) {
        user->making.error = dice(5) ? 0 : -ECONNREFUSED;
        RILL_AWAIT(rill_timeout(
            &user->timeout, (int64_t)dice(500) * RILL_MICROSECOND,
            rill_object_pool_take(&pool, &user->take, make(&user->making, &user->take))));
        if (user->take.result < 0)
            continue;
        user->object = rill_container_of(user->take.object, struct object, pooled);
        ck_assert(user->object->exists && !user->object->is_broken);
        RILL_AWAIT(rill_sleep(&user->work, (int64_t)dice(300) * RILL_MICROSECOND));
        if (dice(4) == 0) {
            user->object->exists = false;
            existing--;
            rill_object_pool_discard(&pool);
            continue;
        }
        rill_object_pool_give_back(&pool, user->take.object);
        user->object->is_broken = dice(4) == 0;
    }
    RILL_END();
}

START_TEST(no_object_is_lost_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(1500); seed++) {
        static struct rill_object_pool_care tend;
        static struct runner tender;

        dice_state = seed;
        open_pool();
        making_ns = ending_ns = 100 * RILL_MICROSECOND;
        options.idle_ns = (int64_t)dice(400) * RILL_MICROSECOND;
        runner_start(&tender, rill_object_pool_tend(&pool, &tend), NULL);
        for (int i = 0; i < USERS; i++) {
            users[i] = (struct user){.rounds = 12};
            rill_task_spawn(&users[i].task, user_poll);
        }
        for (int turns = 0; rig.executor.tasks_alive > 1; turns++) {
            ck_assert_int_lt(turns, 100000);
            rig.driver.now_ns += (int64_t)dice(50) * RILL_MICROSECOND;
            rig_disturb(&dice_state);
            rig_turn();
            if (dice(100) == 0)
                rill_task_cancel(&users[dice(USERS)].task);
        }
        rill_task_cancel(&tender.task);
        rig_finish(&tender.task);
        drain_pool();
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_object_that_was_given_back_is_used_again_the_last_one_first,
        at_the_maximum_takers_wait_first_come_first_served,
        a_broken_object_is_ended_and_another_one_made,
        an_object_that_can_not_be_made_takes_no_place,
        cancelling_while_waiting_and_while_making_loses_no_place,
        objects_that_are_idle_too_long_are_ended,
        a_drained_pool_waits_for_what_is_in_use_and_refuses_the_rest,
        wrong_use_is_refused,
        no_object_is_lost_whatever_is_cancelled,
    };

    return rig_main("object_pool", tests, RIG_COUNT(tests));
}
