/* SPDX-License-Identifier: Apache-2.0 */
/* test_rwlock.c - many readers or one writer, and nobody waits for ever. */
#include "runtime/rwlock.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>

enum { COUNT = 5 };

/* Locks, waits until it is let go, and unlocks. */
struct visitor {
    struct rill_task task;
    struct rill_rwlock_use use;
    struct latch latch;
    bool writes, is_in;
};

static struct rill_rwlock lock;
static struct visitor visitors[COUNT];

static enum rill_poll visitor_poll(struct rill_future *self, struct rill_task *task)
{
    struct visitor *visitor = rill_container_of(self, struct visitor, task.future);

    RILL_BEGIN();
    if (visitor->writes)
        RILL_AWAIT(rill_rwlock_write(&lock, &visitor->use));
    else
        RILL_AWAIT(rill_rwlock_read(&lock, &visitor->use));
    if (visitor->use.result < 0)
        RILL_RETURN(visitor->use.result);
    visitor->is_in = true;
    RILL_AWAIT(latch_wait(&visitor->latch));
    visitor->is_in = false;
    rill_rwlock_unlock(&lock, &visitor->use);
    RILL_END();
}

/* Spawns a visitor for each letter: r reads, w writes. */
static void start(const char *kinds)
{
    rill_rwlock_init(&lock);
    for (int i = 0; kinds[i]; i++) {
        visitors[i] = (struct visitor){.writes = kinds[i] == 'w'};
        rill_task_spawn(&visitors[i].task, visitor_poll);
    }
    rig_settle();
}

/* What the visitors do: i for in, o for over, - for waiting. */
static void expect(const char *states)
{
    for (int i = 0; states[i]; i++) {
        char state = rill_task_is_over(&visitors[i].task) ? 'o' : visitors[i].is_in ? 'i' : '-';

        ck_assert_msg(state == states[i], "visitor %d is '%c', not '%c'", i, state, states[i]);
    }
}

static void let_go(int i)
{
    latch_open(&visitors[i].latch, 0);
    rig_settle();
}

static void cancel(int i)
{
    rill_task_cancel(&visitors[i].task);
    rig_settle();
}

START_TEST(readers_are_in_together_and_a_writer_is_alone)
{
    start("rrwrw");
    expect("ii---");
    ck_assert_uint_eq(lock.readers, 2);
    let_go(0);
    expect("oi---");
    let_go(1);
    expect("ooi--");
    ck_assert(lock.has_writer);
    let_go(2);
    expect("oooi-");
    let_go(3);
    expect("ooooi");
    let_go(4);
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(a_writer_that_waits_stops_the_readers_that_come_after_it)
{
    start("rwrr");
    expect("i---");
    let_go(0);
    expect("oi--");
    let_go(1);
    expect("ooii");
    let_go(2);
    let_go(3);
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(readers_behind_one_another_go_in_in_one_turn)
{
    start("wrrrw");
    expect("i----");
    latch_open(&visitors[0].latch, 0);
    rig_turn();
    rig_turn();
    expect("oiii-");
    for (int i = 1; i < 5; i++)
        let_go(i);
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(a_cancelled_writer_at_the_head_lets_the_readers_behind_it_in)
{
    start("rwrrw");
    cancel(1);
    expect("ioii-");
    ck_assert_int_eq(visitors[1].use.result, -ECANCELED);
    ck_assert_int_eq(visitors[1].use.held, RILL_RWLOCK_NONE);
    let_go(0);
    let_go(2);
    expect("oooi-");
    let_go(3);
    expect("ooooi");
    let_go(4);
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(a_cancelled_writer_lets_all_readers_behind_it_in_in_one_turn)
{
    start("rwrrr");
    rill_task_cancel(&visitors[1].task);
    rig_turn();
    rig_turn();
    expect("ioiii");
    for (int i = 0; i < 5; i++)
        latch_open(&visitors[i].latch, 0);
    rig_settle();
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(a_cancelled_writer_between_readers_lets_them_go_in_together)
{
    start("wrwr");
    cancel(2);
    let_go(0);
    expect("oioi");
    let_go(1);
    let_go(3);
    rill_rwlock_finish(&lock);
}
END_TEST

static unsigned wakes;

void __real_rill_task_wake(struct rill_task *task);
void __wrap_rill_task_wake(struct rill_task *task);

void __wrap_rill_task_wake(struct rill_task *task)
{
    wakes++;
    __real_rill_task_wake(task);
}

START_TEST(a_writer_cancelled_behind_a_woken_reader_lets_all_behind_it_in_in_one_turn)
{
    start("wrwrr");
    latch_open(&visitors[0].latch, 0);
    rill_task_cancel(&visitors[2].task); /* it looks before the reader that is woken does */
    rig_turn();
    rig_turn();
    expect("oioii");
    for (int i = 1; i < 5; i++)
        latch_open(&visitors[i].latch, 0);
    rig_settle();
    rill_rwlock_finish(&lock);
}
END_TEST

/* One more is for the latch, and one for whoever is first in line then. */
START_TEST(a_writer_that_leaves_wakes_those_who_can_go_in_and_not_the_crowd_behind_them)
{
    for (int k = 0; k < 2; k++) {
        start(k ? "wwrrr" : "wrwrr");
        wakes = 0;
        let_go(0);
        expect("oi---");
        ck_assert_uint_eq(wakes, 3);
        for (int i = 1; i < 5; i++)
            let_go(i);
        rill_rwlock_finish(&lock);
    }
}
END_TEST

/* They leave before any of those whom the first of them lets in has run. */
START_TEST(writers_who_give_up_together_let_each_reader_in_once)
{
    enum { CROWD = 200 };
    static struct visitor writers[CROWD], readers[CROWD];

    start("rw");
    for (int i = 0; i < CROWD; i++)
        rill_task_spawn(&readers[i].task, visitor_poll);
    rig_settle();
    for (int i = 0; i < CROWD; i++) {
        writers[i].writes = true;
        rill_task_spawn(&writers[i].task, visitor_poll);
    }
    rig_settle();
    rill_task_cancel(&visitors[1].task);
    for (int i = 0; i < CROWD; i++)
        rill_task_cancel(&writers[i].task);
    wakes = 0;
    rig_settle();
    ck_assert(readers[CROWD - 1].is_in);
    ck_assert_uint_le(wakes, 3 * CROWD);
    for (int i = 0; i < CROWD; i++)
        latch_open(&readers[i].latch, 0);
    let_go(0);
    expect("oo");
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(one_cancelled_when_its_turn_has_come_lets_the_next_one_have_it)
{
    for (int k = 0; k < 2; k++) {
        start(k ? "wwrr" : "wrwr");
        latch_open(&visitors[0].latch, 0);
        rig_turn(); /* the second was woken */
        cancel(1);
        expect(k ? "ooii" : "ooi-");
        for (int i = 2; i < 4; i++)
            let_go(i);
        rill_rwlock_finish(&lock);
    }
}
END_TEST

START_TEST(polling_those_that_wait_for_no_reason_does_no_harm)
{
    start("rwr");
    for (int i = 0; i < 6; i++) {
        rill_task_wake(&visitors[i % 3].task);
        rig_settle();
        expect("i--");
    }
    for (int i = 0; i < 3; i++)
        let_go(i);
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(a_task_cancelled_before_its_first_poll_does_not_lock)
{
    rill_rwlock_init(&lock);
    visitors[0] = (struct visitor){.writes = true};
    rill_task_spawn(&visitors[0].task, visitor_poll);
    cancel(0);
    ck_assert_int_eq(visitors[0].task.future.result, -ECANCELED);
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(a_writer_that_becomes_a_reader_lets_other_readers_in_and_no_writer)
{
    start("wrrw");
    rill_rwlock_downgrade(&lock, &visitors[0].use);
    rig_settle();
    expect("iii-");
    ck_assert_uint_eq(lock.readers, 3);
    let_go(0);
    let_go(1);
    expect("ooi-");
    let_go(2);
    expect("oooi");
    let_go(3);
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(trying_locks_what_is_free_where_nobody_is_in_line)
{
    struct rill_rwlock_use use = {.held = RILL_RWLOCK_NONE}, other = {.held = RILL_RWLOCK_NONE};

    start("");
    ck_assert(rill_rwlock_try_read(&lock, &use));
    ck_assert(rill_rwlock_try_read(&lock, &other));
    rill_rwlock_unlock(&lock, &other);
    ck_assert(!rill_rwlock_try_write(&lock, &other));
    rill_rwlock_unlock(&lock, &use);
    ck_assert(rill_rwlock_try_write(&lock, &use));
    ck_assert(!rill_rwlock_try_read(&lock, &other));
    ck_assert(!rill_rwlock_try_write(&lock, &other));
    rill_rwlock_unlock(&lock, &use);

    start("rw");
    ck_assert(!rill_rwlock_try_read(&lock, &use)); /* a writer is in line */
    let_go(0);
    let_go(1);
    rill_rwlock_finish(&lock);
}
END_TEST

START_TEST(the_loser_of_a_select_does_not_hold_it)
{
    struct rill_select select;
    struct rill_rwlock_use use = {.held = RILL_RWLOCK_NONE};
    struct latch latch = {.drain_polls = 0};
    struct rill_future *futures[2];
    struct runner runner = {.polls = 0};

    start("w");
    futures[0] = latch_wait(&latch);
    futures[1] = rill_rwlock_write(&lock, &use);
    runner_start(&runner, rill_select(&select, futures, 2), NULL);
    rig_settle();
    latch_open(&visitors[0].latch, 0);
    rig_turn();
    latch_open(&latch, 0);
    rig_settle();
    ck_assert_int_eq(use.result, -ECANCELED);
    ck_assert_int_eq(use.held, RILL_RWLOCK_NONE);
    rill_rwlock_finish(&lock);
}
END_TEST

static struct rill_rwlock_use wrong;

static void unlock_what_is_not_held(void)
{
    start("r");
    rill_rwlock_unlock(&lock, &wrong);
}

static void unlock_twice(void)
{
    start("r");
    rill_rwlock_unlock(&lock, &visitors[0].use);
    rill_rwlock_unlock(&lock, &visitors[0].use);
}

static void unlock_another_lock(void)
{
    struct rill_rwlock another;

    start("r");
    rill_rwlock_init(&another);
    rill_rwlock_unlock(&another, &visitors[0].use);
}

static void lock_twice(void)
{
    start("r");
    rill_rwlock_read(&lock, &visitors[0].use);
}

static void try_twice(void)
{
    start("r");
    rill_rwlock_try_read(&lock, &visitors[0].use);
}

static void wait_twice(void)
{
    start("wr");
    rill_rwlock_read(&lock, &visitors[1].use);
}

static void downgrade_a_reader(void)
{
    start("r");
    rill_rwlock_downgrade(&lock, &visitors[0].use);
}

static void finish_while_held(void)
{
    start("r");
    rill_rwlock_finish(&lock);
}

static void finish_while_written(void)
{
    start("w");
    rill_rwlock_finish(&lock);
}

static void finish_while_waited_for(void)
{
    start("wr");
    latch_open(&visitors[0].latch, 0);
    rig_turn();
    rill_rwlock_finish(&lock);
}

static enum rill_poll keep_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_rwlock_read(&lock, &wrong));
    RILL_END();
}

static void end_while_holding(void)
{
    static struct rill_task task;

    start("");
    rill_task_spawn(&task, keep_poll);
    rig_settle();
}

static enum rill_poll try_and_keep_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    rill_rwlock_try_write(&lock, &wrong);
    RILL_END();
}

static void end_while_holding_what_was_free(void)
{
    static struct rill_task task;

    start("");
    rill_task_spawn(&task, try_and_keep_poll);
    rig_settle();
}

START_TEST(wrong_use_panics)
{
    rig_expect_text(rig_abort_message(unlock_what_is_not_held), "by a use that does not hold it");
    rig_expect_text(rig_abort_message(unlock_twice), "by a use that does not hold it");
    rig_expect_text(rig_abort_message(unlock_another_lock), "by a use that does not hold it");
    rig_expect_text(rig_abort_message(lock_twice), "by a use that holds it already");
    rig_expect_text(rig_abort_message(try_twice), "by a use that holds it already");
    rig_expect_text(rig_abort_message(wait_twice), "by a use that waits");
    rig_expect_text(rig_abort_message(downgrade_a_reader), "only a writer can become a reader");
    rig_expect_text(rig_abort_message(finish_while_held), "while it is held for reading");
    rig_expect_text(rig_abort_message(finish_while_written), "while it is held for writing");
    rig_expect_text(rig_abort_message(finish_while_waited_for),
                    "a rwlock was finished while a task (above) waits for it");
    rig_expect_text(rig_abort_message(end_while_holding),
                    "a task ended with 1 of its operations in flight, locks held");
    rig_expect_text(rig_abort_message(end_while_holding_what_was_free),
                    "a task ended with 1 of its operations in flight, locks held");
}
END_TEST

/* ---- at random ---- */

enum { WORKERS = 7, ROUNDS = 10 };

static uint64_t dice_state;

static uint64_t dice(uint64_t bound)
{
    return rig_random(&dice_state, bound);
}

static struct worker {
    struct rill_task task;
    struct rill_rwlock_use use;
    struct rill_sleep nap, work;
    struct rill_select select;
    struct rill_future *choices[2];
    uint64_t ticket; /* of its await, while it waits, or 0 */
    bool writes;
    int round;
} workers[WORKERS];

static int readers_in, writers_in;
static uint64_t last_ticket, together, served, cancelled;

static struct rill_future *worker_lock(struct worker *worker)
{
    worker->writes = dice(3) == 0;
    worker->ticket = ++last_ticket;
    return worker->writes ? rill_rwlock_write(&lock, &worker->use)
                          : rill_rwlock_read(&lock, &worker->use);
}

static void go_in(struct worker *worker)
{
    for (int i = 0; i < WORKERS; i++)
        ck_assert_msg(!workers[i].ticket || !rill_link_is_linked(&workers[i].use.place.link) ||
                          workers[i].ticket > worker->ticket,
                      "seed %llu: one was overtaken", rig.seed);
    worker->ticket = 0;
    *(worker->writes ? &writers_in : &readers_in) += 1;
    ck_assert_msg(writers_in == 0 || (writers_in == 1 && readers_in == 0),
                  "seed %llu: %d writers and %d readers", rig.seed, writers_in, readers_in);
    served++;
    together += readers_in > 1;
}

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    for (; worker->round < ROUNDS; worker->round++) {
        if (dice(2)) {
            worker->choices[0] = rill_sleep(&worker->nap, (int64_t)dice(60) * RILL_MICROSECOND);
            worker->choices[1] = worker_lock(worker);
            RILL_AWAIT(rill_select(&worker->select, worker->choices, 2));
        } else {
            RILL_AWAIT(worker_lock(worker));
        }
        if (worker->use.result == 0) {
            go_in(worker);
            RILL_AWAIT(rill_sleep(&worker->work, (int64_t)dice(40) * RILL_MICROSECOND));
            if (worker->writes && dice(2)) {
                worker->writes = false;
                writers_in--;
                readers_in++;
                rill_rwlock_downgrade(&lock, &worker->use);
                RILL_AWAIT(rill_sleep(&worker->work, (int64_t)dice(40) * RILL_MICROSECOND));
            }
            *(worker->writes ? &writers_in : &readers_in) -= 1;
            rill_rwlock_unlock(&lock, &worker->use);
        } else {
            ck_assert_int_eq(worker->use.result, -ECANCELED);
            worker->ticket = 0;
            cancelled++;
        }
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

/* Nobody who could go in may sleep: with no task ready, the first in line is kept out. */
static void expect_progress(void)
{
    struct rill_place_in_line *first = rill_line_first(&lock.line);
    bool writes;

    if (rig.executor.ready_count > 0 || !first)
        return;
    writes = rill_container_of(first, struct rill_rwlock_use, place)->wanted == RILL_RWLOCK_WRITE;
    ck_assert_msg(lock.has_writer || (writes && lock.readers > 0),
                  "seed %llu: one sleeps that could go in", rig.seed);
}

static void run(uint64_t seed)
{
    rig.seed = seed;
    dice_state = seed;
    rill_rwlock_init(&lock);
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.round = 0};
        rill_task_spawn(&workers[i].task, worker_poll);
    }
    for (int turns = 0; rig.executor.tasks_alive > 0; turns++) {
        ck_assert_int_lt(turns, 100000);
        expect_progress();
        rig.driver.now_ns += (int64_t)dice(20000);
        if (dice(2))
            rig_disturb(&dice_state);
        rig_turn();
        if (dice(12) == 0)
            rill_task_cancel(&workers[dice(WORKERS)].task);
        for (int i = 0; i < WORKERS; i++)
            if (rill_task_is_over(&workers[i].task) && ++workers[i].round < ROUNDS)
                rill_task_spawn(&workers[i].task, worker_poll);
    }
    ck_assert_int_eq(readers_in + writers_in, 0);
    rill_rwlock_finish(&lock);
}

START_TEST(readers_share_and_writers_are_alone_and_nobody_overtakes_whatever_is_cancelled)
{
    for (uint64_t seed = 1; seed <= rig_scaled(5000); seed++)
        run(seed);
    ck_assert_uint_gt(served, rig_scaled(1000));
    ck_assert_uint_gt(together, rig_scaled(1000));
    ck_assert_uint_gt(cancelled, rig_scaled(1000));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        readers_are_in_together_and_a_writer_is_alone,
        a_writer_that_waits_stops_the_readers_that_come_after_it,
        readers_behind_one_another_go_in_in_one_turn,
        a_cancelled_writer_at_the_head_lets_the_readers_behind_it_in,
        a_cancelled_writer_lets_all_readers_behind_it_in_in_one_turn,
        a_cancelled_writer_between_readers_lets_them_go_in_together,
        a_writer_cancelled_behind_a_woken_reader_lets_all_behind_it_in_in_one_turn,
        a_writer_that_leaves_wakes_those_who_can_go_in_and_not_the_crowd_behind_them,
        writers_who_give_up_together_let_each_reader_in_once,
        one_cancelled_when_its_turn_has_come_lets_the_next_one_have_it,
        polling_those_that_wait_for_no_reason_does_no_harm,
        a_task_cancelled_before_its_first_poll_does_not_lock,
        a_writer_that_becomes_a_reader_lets_other_readers_in_and_no_writer,
        trying_locks_what_is_free_where_nobody_is_in_line,
        the_loser_of_a_select_does_not_hold_it,
        wrong_use_panics,
        readers_share_and_writers_are_alone_and_nobody_overtakes_whatever_is_cancelled,
    };

    return rig_main("rwlock", tests, RIG_COUNT(tests));
}
