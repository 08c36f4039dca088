/* SPDX-License-Identifier: Apache-2.0 */
/* test_object_pool.c - no object and no permit is lost, whatever fails or is cancelled. */
#include "runtime/object_pool.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { MAX = 3, TAKERS = 6, OBJECTS = 16 };

/* A connection that only looks like one. */
struct connection {
    struct rill_pooled pooled;
    struct rill_future end; /* hangs up */
    struct rill_sleep hanging_up;
    int number;
    bool is_alive, is_broken, is_used;
};

static struct connection connections[OBJECTS]; /* the memory of all */
static int made, alive, alive_max;
static int64_t hang_up_ns;

static bool is_healthy(struct rill_pooled *pooled)
{
    return !rill_container_of(pooled, struct connection, pooled)->is_broken;
}

static enum rill_poll hang_up_poll(struct rill_future *self, struct rill_task *task)
{
    struct connection *connection = rill_container_of(self, struct connection, end);

    RILL_BEGIN();
    ck_assert(connection->is_alive && !connection->is_used);
    RILL_AWAIT(rill_sleep(&connection->hanging_up, hang_up_ns));
    connection->is_alive = false;
    alive--;
    RILL_END();
}

static struct rill_future *hang_up(struct rill_pooled *pooled)
{
    struct connection *connection = rill_container_of(pooled, struct connection, pooled);

    return rill_future_init(&connection->end, hang_up_poll);
}

static const struct rill_object_pool_options options = {
    .max = MAX, .idle_ns = RILL_SECOND, .is_healthy = is_healthy, .end = hang_up};

static struct rill_object_pool pool;

/* Takes a connection, and keeps it until the test says what to do with it. */
static struct taker {
    struct rill_task task;
    struct rill_object_pool_take take;
    struct rill_future make;
    struct latch dial; /* while it is being made */
    struct latch work; /* 0: give back, 1: it is no more, discard it, 2: it is broken, end it */
    struct connection *has;
} takers[TAKERS];

static struct rill_object_pool_care care;
static struct runner carer;

/* Puts a new connection into the memory of one that is no more. */
static struct connection *new_connection(void)
{
    int i = 0;

    while (connections[i].is_alive)
        ck_assert_int_lt(++i, OBJECTS);
    connections[i] = (struct connection){.number = ++made, .is_alive = true};
    alive++;
    if (alive > alive_max)
        alive_max = alive;
    return &connections[i];
}

static enum rill_poll make_poll(struct rill_future *self, struct rill_task *task)
{
    struct taker *taker = rill_container_of(self, struct taker, make);

    RILL_BEGIN();
    RILL_AWAIT(latch_wait(&taker->dial));
    if (taker->dial.result < 0)
        RILL_RETURN(taker->dial.result);
    taker->take.object = &new_connection()->pooled;
    RILL_END();
}

static enum rill_poll taker_poll(struct rill_future *self, struct rill_task *task)
{
    struct taker *taker = rill_container_of(self, struct taker, task.future);

    RILL_BEGIN();
    RILL_AWAIT(
        rill_object_pool_take(&pool, &taker->take, rill_future_init(&taker->make, make_poll)));
    if (taker->take.result < 0) {
        ck_assert_ptr_null(taker->take.object);
        RILL_RETURN(taker->take.result);
    }
    taker->has = rill_container_of(taker->take.object, struct connection, pooled);
    ck_assert(taker->has->is_alive && !taker->has->is_used);
    taker->has->is_used = true;
    RILL_AWAIT(latch_wait(&taker->work));
    taker->has->is_used = false;
    if (taker->work.result == 1) {
        taker->has->is_alive = false;
        alive--;
        rill_object_pool_discard(&pool);
    } else if (taker->work.result == 2) {
        RILL_AWAIT(rill_object_pool_end(&pool, &taker->take));
        ck_assert_int_eq(taker->take.result, 0);
        ck_assert_ptr_null(taker->take.object);
    } else {
        rill_object_pool_give_back(&pool, &taker->has->pooled);
    }
    taker->has = NULL;
    RILL_END();
}

static void start(int i)
{
    takers[i] = (struct taker){.has = NULL};
    rill_task_spawn(&takers[i].task, taker_poll);
    rig_settle();
}

static void make_pool(void)
{
    hang_up_ns = 0;
    made = alive = alive_max = 0;
    for (int i = 0; i < OBJECTS; i++)
        connections[i] = (struct connection){.is_alive = false};
    ck_assert_int_eq(rill_object_pool_init(&pool, &options), 0);
}

/* Ends the dialing. */
static void answer(int i, int64_t result)
{
    latch_open(&takers[i].dial, result);
    rig_settle();
}

static void take(int i)
{
    start(i);
    answer(i, 0);
    ck_assert_ptr_nonnull(takers[i].has);
}

static void let_go(int i, int64_t how)
{
    latch_open(&takers[i].work, how);
    rig_settle();
    ck_assert(rill_task_is_over(&takers[i].task));
}

static void cancel(int i)
{
    rill_task_cancel(&takers[i].task);
    rig_settle();
}

static void expect_failed(int i, int64_t error)
{
    ck_assert(rill_task_is_over(&takers[i].task));
    ck_assert_int_eq(takers[i].task.future.result, error);
}

static void drain(void)
{
    runner_start(&carer, rill_object_pool_drain(&pool, &care), NULL);
    rig_finish(&carer.task);
    ck_assert_int_eq(care.result, 0);
    ck_assert_int_eq(alive, 0);
    ck_assert_int_le(alive_max, MAX);
    rill_object_pool_finish(&pool);
}

START_TEST(objects_are_made_on_demand_and_used_again_the_last_one_first)
{
    make_pool();
    take(0);
    take(1);
    ck_assert_int_eq(made, 2);
    ck_assert_int_eq(takers[0].take.result, 0);
    let_go(0, 0);
    let_go(1, 0);
    ck_assert_uint_eq(pool.idle_count, 2);
    start(2);
    ck_assert_int_eq(takers[2].take.result, 1);
    ck_assert_int_eq(takers[2].has->number, 2);
    ck_assert(!takers[2].dial.begun);
    let_go(2, 0);
    drain();
    ck_assert_int_eq(made, 2);
}
END_TEST

/* Its place is nobody's before that. */
START_TEST(a_broken_object_is_ended_and_then_gives_its_place_to_who_waits)
{
    make_pool();
    hang_up_ns = RILL_SECOND;
    for (int i = 0; i < MAX; i++)
        take(i);
    start(MAX);
    latch_open(&takers[0].work, 2);
    rig_settle();
    rig_advance(RILL_SECOND / 2);
    ck_assert(!rill_task_is_over(&takers[0].task) && !takers[MAX].dial.begun);
    rig_advance(RILL_SECOND);
    ck_assert(rill_task_is_over(&takers[0].task) && takers[MAX].dial.begun);
    ck_assert_int_eq(alive, MAX - 1);
    hang_up_ns = 0;
    answer(MAX, 0);
    for (int i = 1; i <= MAX; i++)
        let_go(i, 2);
    ck_assert_int_eq(alive, 0);
    drain();
}
END_TEST

START_TEST(where_as_many_as_may_be_are_in_use_the_next_waits_first_come_first_served)
{
    make_pool();
    for (int i = 0; i < MAX; i++)
        take(i);
    start(3);
    start(4);
    ck_assert(!takers[3].dial.begun && !takers[4].dial.begun);
    let_go(1, 0);
    ck_assert_ptr_nonnull(takers[3].has);
    ck_assert_ptr_null(takers[4].has);
    let_go(0, 1); /* that one was thrown away, so the next is made */
    ck_assert(takers[4].dial.begun);
    answer(4, 0);
    ck_assert_int_eq(takers[4].has->number, 4);
    let_go(2, 0);
    let_go(3, 0);
    let_go(4, 0);
    drain();
}
END_TEST

START_TEST(an_object_that_can_not_be_made_leaves_room_for_the_next)
{
    make_pool();
    take(0);
    take(1);
    start(2);
    start(3);
    answer(2, -ECONNREFUSED);
    expect_failed(2, -ECONNREFUSED);
    ck_assert(takers[3].dial.begun);
    answer(3, 0);
    for (int i = 0; i < 4; i++)
        if (i != 2)
            let_go(i, 0);
    drain();
}
END_TEST

START_TEST(one_that_is_not_healthy_is_ended_and_replaced)
{
    make_pool();
    take(0);
    takers[0].has->is_broken = true;
    let_go(0, 0);
    start(1);
    ck_assert_int_eq(alive, 0);
    ck_assert(takers[1].dial.begun);
    answer(1, 0);
    ck_assert_int_eq(takers[1].take.result, 0);
    let_go(1, 0);
    drain();
    ck_assert_int_eq(made, 2);
}
END_TEST

START_TEST(one_that_was_idle_for_too_long_is_not_given_out)
{
    make_pool();
    take(0);
    let_go(0, 0);
    rig_advance(RILL_SECOND - 1);
    start(1);
    ck_assert_int_eq(takers[1].take.result, 1);
    let_go(1, 0);
    rig_advance(RILL_SECOND);
    start(2);
    ck_assert_int_eq(alive, 0);
    answer(2, 0);
    ck_assert_int_eq(takers[2].take.result, 0);
    let_go(2, 0);
    drain();
}
END_TEST

START_TEST(a_pool_that_is_tended_ends_what_was_idle_for_too_long)
{
    make_pool();
    runner_start(&carer, rill_object_pool_tend(&pool, &care), NULL);
    take(0);
    take(1);
    let_go(0, 0);
    rig_advance(RILL_SECOND / 2);
    let_go(1, 0);
    rig_advance(RILL_SECOND / 2 + 17 * RILL_MICROSECOND);
    ck_assert_int_eq(alive, 1);
    start(2); /* the one that is left */
    ck_assert_int_eq(takers[2].take.result, 1);
    rig_advance(2 * RILL_SECOND);
    let_go(2, 0);
    rig_advance(RILL_SECOND - 1);
    ck_assert_int_eq(alive, 1);
    rig_advance(17 * RILL_MICROSECOND);
    ck_assert_int_eq(alive, 0);
    rill_task_cancel(&carer.task);
    rig_settle();
    ck_assert_int_eq(care.result, -ECANCELED);
    drain();
}
END_TEST

START_TEST(a_pool_that_is_tended_keeps_what_was_used_in_between)
{
    make_pool();
    runner_start(&carer, rill_object_pool_tend(&pool, &care), NULL);
    take(0);
    let_go(0, 0);
    rig_advance(RILL_SECOND / 2);
    start(1);
    let_go(1, 0);
    rig_advance(RILL_SECOND / 2 + RILL_MILLISECOND);
    ck_assert_int_eq(alive, 1);
    rig_advance(RILL_SECOND / 2);
    ck_assert_int_eq(alive, 0);
    rill_task_cancel(&carer.task);
    rig_settle();
    drain();
}
END_TEST

START_TEST(a_cancelled_take_that_waits_gives_up_its_place)
{
    make_pool();
    for (int i = 0; i < MAX; i++)
        take(i);
    start(3);
    start(4);
    cancel(3);
    expect_failed(3, -ECANCELED);
    let_go(0, 0);
    ck_assert_ptr_nonnull(takers[4].has);
    for (int i = 1; i < 5; i++)
        if (i != 3)
            let_go(i, 0);
    drain();
}
END_TEST

START_TEST(a_take_that_is_cancelled_when_its_turn_has_come_leaves_the_object_to_the_next)
{
    for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
        make_pool();
        for (int i = 0; i < MAX; i++)
            take(i);
        start(3);
        start(4);
        if (cancel_first)
            rill_task_cancel(&takers[3].task);
        latch_open(&takers[0].work, 0);
        rig_turn();
        if (!cancel_first)
            rill_task_cancel(&takers[3].task);
        rig_settle();
        expect_failed(3, -ECANCELED);
        ck_assert_ptr_nonnull(takers[4].has);
        for (int i = 1; i < 5; i++)
            if (i != 3)
                let_go(i, 0);
        drain();
    }
}
END_TEST

START_TEST(cancelling_what_makes_an_object_leaves_room_for_the_next)
{
    make_pool();
    take(0);
    take(1);
    start(2);
    takers[2].dial.drain_polls = LATCH_BY_HAND;
    start(3);
    cancel(2);
    ck_assert(!rill_task_is_over(&takers[2].task) && !takers[3].dial.begun);
    latch_let_go(&takers[2].dial);
    rig_settle();
    expect_failed(2, -ECANCELED);
    answer(3, 0);
    ck_assert_ptr_nonnull(takers[3].has);
    for (int i = 0; i < 4; i++)
        if (i != 2)
            let_go(i, 0);
    drain();
}
END_TEST

START_TEST(what_was_made_though_it_was_cancelled_is_there_for_the_next)
{
    make_pool();
    start(0);
    latch_open(&takers[0].dial, 0);
    cancel(0);
    expect_failed(0, -ECANCELED);
    ck_assert_int_eq(alive, 1);
    start(1);
    ck_assert_int_eq(takers[1].take.result, 1);
    let_go(1, 0);
    drain();
    ck_assert_int_eq(made, 1);
}
END_TEST

START_TEST(cancelling_while_a_broken_one_is_ended_waits_for_its_end)
{
    make_pool();
    take(0);
    takers[0].has->is_broken = true;
    let_go(0, 0);
    hang_up_ns = RILL_MILLISECOND;
    start(1);
    ck_assert_int_eq(alive, 1);
    cancel(1);
    expect_failed(1, -ECANCELED);
    ck_assert_int_eq(alive, 0);
    ck_assert(!takers[1].dial.begun);
    drain();
}
END_TEST

START_TEST(draining_waits_for_those_in_use_serves_who_waits_and_refuses_the_rest)
{
    make_pool();
    for (int i = 0; i < MAX; i++)
        take(i);
    start(3);
    runner_start(&carer, rill_object_pool_drain(&pool, &care), NULL);
    rig_settle();
    start(4);
    expect_failed(4, -EPIPE);
    let_go(0, 0);
    ck_assert_ptr_nonnull(takers[3].has);
    for (int i = 1; i < 4; i++) {
        ck_assert(!rill_task_is_over(&carer.task));
        let_go(i, 0);
    }
    ck_assert(rill_task_is_over(&carer.task));
    ck_assert_int_eq(care.result, 0);
    ck_assert_int_eq(alive, 0);
    rill_object_pool_finish(&pool);
}
END_TEST

/* Takes and gives back without ever waiting, until it is refused. */
static struct {
    struct rill_task task;
    struct rill_object_pool_take take;
    struct rill_future make;
    unsigned takes;
} greedy;

static enum rill_poll make_now_poll(struct rill_future *self, struct rill_task *task)
{
    (void)task;
    greedy.take.object = &new_connection()->pooled;
    return rill_future_end(self, 0);
}

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (greedy.takes = 0;; greedy.takes++) {
        RILL_AWAIT(rill_object_pool_take(&pool, &greedy.take,
                                         rill_future_init(&greedy.make, make_now_poll)));
        if (greedy.take.result < 0)
            RILL_RETURN(greedy.take.result);
        rill_object_pool_give_back(&pool, greedy.take.object);
    }
    RILL_END();
}

/* The task whose share of the turn was over had found the pool open, and is not in line. */
START_TEST(who_is_about_to_wait_when_a_pool_is_drained_gets_nothing_of_it)
{
    make_pool();
    rill_task_spawn(&greedy.task, greedy_poll);
    runner_start(&carer, rill_object_pool_drain(&pool, &care), NULL);
    rig_settle();
    ck_assert_uint_ge(greedy.takes, 100);
    ck_assert(rill_task_is_over(&greedy.task));
    ck_assert_int_eq(greedy.task.future.result, -EPIPE);
    ck_assert_int_eq(care.result, 0);
    ck_assert_int_eq(alive, 0);
    rill_object_pool_finish(&pool);
}
END_TEST

START_TEST(a_cancelled_drain_can_be_repeated)
{
    make_pool();
    take(0);
    runner_start(&carer, rill_object_pool_drain(&pool, &care), NULL);
    rig_settle();
    rill_task_cancel(&carer.task);
    rig_settle();
    ck_assert_int_eq(care.result, -ECANCELED);
    let_go(0, 0);
    start(1);
    expect_failed(1, -EPIPE);
    drain();
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
    struct rill_object_pool_options wrong[] = {options, options, options, options};

    wrong[0].max = 0;
    wrong[1].idle_ns = -1;
    wrong[2].end = NULL;
    wrong[3].max = SIZE_MAX; /* how many were drained could not be told from an error */
    for (size_t i = 0; i < RIG_COUNT(wrong); i++)
        ck_assert_int_eq(rill_object_pool_init(&pool, &wrong[i]), -EINVAL);
}
END_TEST

static void give_back_twice(void)
{
    make_pool();
    take(0);
    take(1);
    rill_object_pool_give_back(&pool, &takers[0].has->pooled);
    rill_object_pool_give_back(&pool, &takers[0].has->pooled);
}

static void end_what_it_has_given_back(void)
{
    make_pool();
    take(0);
    let_go(0, 0);
    runner_start(&carer, rill_object_pool_end(&pool, &takers[0].take), NULL);
    rig_settle();
}

static void end_what_it_does_not_have(void)
{
    static struct rill_object_pool_take nothing;

    make_pool();
    runner_start(&carer, rill_object_pool_end(&pool, &nothing), NULL);
    rig_settle();
}

static void discard_what_nobody_has(void)
{
    make_pool();
    rill_object_pool_discard(&pool);
}

static void finish_while_in_use(void)
{
    make_pool();
    take(0);
    rill_object_pool_finish(&pool);
}

static void finish_with_idle_ones(void)
{
    make_pool();
    take(0);
    let_go(0, 0);
    rill_object_pool_finish(&pool);
}

static void finish_while_tended(void)
{
    static struct rill_object_pool_care tend;

    make_pool();
    runner_start(&carer, rill_object_pool_tend(&pool, &tend), NULL);
    rig_settle();
    rill_object_pool_finish(&pool);
}

/* It sleeps until the object is idle for too long, which somebody else has ended by then. */
static void finish_while_tended_and_asleep(void)
{
    static struct rill_object_pool_care tend;
    static struct runner tending;

    make_pool();
    runner_start(&tending, rill_object_pool_tend(&pool, &tend), NULL);
    take(0);
    let_go(0, 0);
    drain();
}

static enum rill_poll make_nothing_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_END();
}

static void make_nothing(void)
{
    static struct rill_future nothing;

    make_pool();
    runner_start(&carer,
                 rill_object_pool_take(&pool, &takers[0].take,
                                       rill_future_init(&nothing, make_nothing_poll)),
                 NULL);
    rig_settle();
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(give_back_twice), "was given back to its pool twice");
    rig_expect_text(rig_abort_message(end_what_it_has_given_back), "or has given back");
    rig_expect_text(rig_abort_message(end_what_it_does_not_have), "that it does not have");
    rig_expect_text(rig_abort_message(discard_what_nobody_has), "of which 0 are held");
    rig_expect_text(rig_abort_message(finish_while_in_use), "while 1 of its 3 permits are held");
    rig_expect_text(rig_abort_message(finish_with_idle_ones), "with 1 idle objects");
    rig_expect_text(rig_abort_message(finish_while_tended), "while a task tends it");
    rig_expect_text(rig_abort_message(finish_while_tended_and_asleep), "while a task tends it");
    rig_expect_text(rig_abort_message(make_nothing), "ended well and made none");
}
END_TEST

/* ---- at random ---- */

enum { WORKERS = 6, ROUNDS = 10 };

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct worker {
    struct rill_task task;
    struct rill_object_pool_take take;
    struct rill_future make;
    struct rill_sleep dialing, nap, work;
    struct rill_select select;
    struct rill_future *choices[2];
    struct connection *has;
    int round;
} workers[WORKERS];

static uint64_t all_taken, all_reused, all_cancelled, all_failed;

static enum rill_poll random_make_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, make);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&worker->dialing, (int64_t)dice(60) * RILL_MICROSECOND));
    if (worker->dialing.result < 0)
        RILL_RETURN(worker->dialing.result);
    if (dice(5) == 0)
        RILL_RETURN(-ECONNREFUSED);
    worker->take.object = &new_connection()->pooled;
    RILL_END();
}

static struct rill_future *random_take(struct worker *worker)
{
    return rill_object_pool_take(&pool, &worker->take,
                                 rill_future_init(&worker->make, random_make_poll));
}

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    for (; worker->round < ROUNDS; worker->round++) {
        if (dice(2)) {
            worker->choices[0] = rill_sleep(&worker->nap, (int64_t)dice(100) * RILL_MICROSECOND);
            worker->choices[1] = random_take(worker);
            RILL_AWAIT(rill_select(&worker->select, worker->choices, 2));
        } else {
            RILL_AWAIT(random_take(worker));
        }
        if (worker->take.result >= 0) {
            all_taken++;
            all_reused += worker->take.result == 1;
            worker->has = rill_container_of(worker->take.object, struct connection, pooled);
            ck_assert_msg(worker->has->is_alive && !worker->has->is_used,
                          "seed %llu: a connection is used by two", rig.seed);
            worker->has->is_used = true;
            RILL_AWAIT(rill_sleep(&worker->work, (int64_t)dice(60) * RILL_MICROSECOND));
            worker->has->is_used = false;
            worker->has->is_broken = dice(5) == 0;
            if (dice(6) == 0) {
                worker->has->is_alive = false;
                alive--;
                rill_object_pool_discard(&pool);
            } else if (dice(6) == 0) {
                RILL_AWAIT(rill_object_pool_end(&pool, &worker->take));
            } else {
                rill_object_pool_give_back(&pool, &worker->has->pooled);
            }
        } else {
            all_cancelled += worker->take.result == -ECANCELED;
            all_failed += worker->take.result == -ECONNREFUSED;
        }
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

static void run(uint64_t seed)
{
    struct rill_object_pool_options short_lived = options;

    rig.seed = seed;
    dice_state = seed;
    make_pool();
    short_lived.idle_ns = 50 * RILL_MICROSECOND;
    ck_assert_int_eq(rill_object_pool_init(&pool, &short_lived), 0);
    hang_up_ns = 20 * RILL_MICROSECOND;
    runner_start(&carer, rill_object_pool_tend(&pool, &care), NULL);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.round = 0};
        rill_task_spawn(&workers[i].task, worker_poll);
    }
    for (int turns = 0; rig.executor.tasks_alive > 1; turns++) {
        ck_assert_int_lt(turns, 100000);
        rig.driver.now_ns += (int64_t)dice(20000);
        rig_disturb(&dice_state);
        rig_turn();
        if (dice(12) == 0)
            rill_task_cancel(&workers[dice(WORKERS)].task);
        for (int i = 0; i < WORKERS; i++)
            if (rill_task_is_over(&workers[i].task) && ++workers[i].round < ROUNDS)
                rill_task_spawn(&workers[i].task, worker_poll);
    }
    rill_task_cancel(&carer.task);
    rig_finish(&carer.task);
    ck_assert_uint_eq(pool.permits.available, MAX);
    ck_assert_int_eq((int)pool.idle_count, alive);
    drain();
}

START_TEST(objects_and_permits_are_conserved_whatever_fails_or_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(5000); seed++)
        run(seed);
    ck_assert_uint_gt(all_taken, rig_scaled(1000));
    ck_assert_uint_gt(all_reused, rig_scaled(1000));
    ck_assert_uint_gt(all_cancelled, rig_scaled(1000));
    ck_assert_uint_gt(all_failed, rig_scaled(1000));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        objects_are_made_on_demand_and_used_again_the_last_one_first,
        a_broken_object_is_ended_and_then_gives_its_place_to_who_waits,
        where_as_many_as_may_be_are_in_use_the_next_waits_first_come_first_served,
        an_object_that_can_not_be_made_leaves_room_for_the_next,
        one_that_is_not_healthy_is_ended_and_replaced,
        one_that_was_idle_for_too_long_is_not_given_out,
        a_pool_that_is_tended_ends_what_was_idle_for_too_long,
        a_pool_that_is_tended_keeps_what_was_used_in_between,
        a_cancelled_take_that_waits_gives_up_its_place,
        a_take_that_is_cancelled_when_its_turn_has_come_leaves_the_object_to_the_next,
        cancelling_what_makes_an_object_leaves_room_for_the_next,
        what_was_made_though_it_was_cancelled_is_there_for_the_next,
        cancelling_while_a_broken_one_is_ended_waits_for_its_end,
        draining_waits_for_those_in_use_serves_who_waits_and_refuses_the_rest,
        who_is_about_to_wait_when_a_pool_is_drained_gets_nothing_of_it,
        a_cancelled_drain_can_be_repeated,
        options_out_of_range_are_refused,
        wrong_use_panics,
        objects_and_permits_are_conserved_whatever_fails_or_is_cancelled,
    };

    return rig_main("object_pool", tests, RIG_COUNT(tests));
}
