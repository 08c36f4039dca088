/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/cancel.h"

#include "tests/limit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cancel_world my;
char cancel_directory[] = "/tmp/rill-cancel-XXXXXX";

/* ---- a few tasks that take part ---- */

uint64_t dice(uint64_t bound)
{
    return fixture.sim ? sim_random(fixture.sim, bound) : (uint64_t)rand() % bound;
}

int64_t moment(void)
{
    return fixture.sim && dice(2) ? (int64_t)dice(200) * RILL_MICROSECOND : 0;
}

struct feeder feeder;

static enum rill_poll feeder_poll(struct rill_future *self, struct rill_task *task)
{
    struct feeder *feed = rill_container_of(self, struct feeder, task.future);

    RILL_BEGIN();
    pattern_fill(feed->bytes, 0, TOTAL);
    while (feed->at < TOTAL) {
        RILL_AWAIT(rill_sleep(&feed->pause, moment()));
        feed->size = 1 + (size_t)dice(700);
        if (feed->size > TOTAL - feed->at)
            feed->size = TOTAL - feed->at;
        RILL_AWAIT(rill_tcp_send_all(&my.other, &feed->op, feed->bytes + feed->at, feed->size));
        if (feed->op.result < 0 && my.broken)
            RILL_RETURN(0);
        expect_eq(feed->op.result, feed->size);
        feed->at += feed->size;
    }
    RILL_AWAIT(rill_tcp_finish_sending(&my.other, &feed->op));
    RILL_RETURN(feed->op.result);
    RILL_END();
}

struct drainer drainer;

enum rill_poll drainer_poll(struct rill_future *self, struct rill_task *task)
{
    struct drainer *drain = rill_container_of(self, struct drainer, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_sleep(&drain->pause, moment()));
        RILL_AWAIT(rill_tcp_recv(&my.other, &drain->op, drain->bytes, sizeof drain->bytes));
        expect(drain->op.result >= 0 || my.broken);
        if (drain->op.result <= 0)
            break;
        expect(pattern_is(drain->bytes, drain->at, (size_t)drain->op.result));
        drain->at += (size_t)drain->op.result;
    }
    RILL_RETURN((int64_t)drain->at);
    RILL_END();
}

void start_feeder(void)
{
    fixture_pair(&my.one, &my.other);
    rill_task_spawn(&feeder.task, feeder_poll);
}

void start_drainer(void)
{
    fixture_pair(&my.one, &my.other);
    pattern_fill(my.bytes, 0, TOTAL);
    rill_task_spawn(&drainer.task, drainer_poll);
}

void hang_up_both(void)
{
    fixture_hang_up(&my.one);
    fixture_hang_up(&my.other);
}

void came(const char *bytes, int64_t size)
{
    expect(size >= 0);
    expect(pattern_is(bytes, my.at, (size_t)size));
    my.at += (size_t)size;
}

void receive_the_rest(void)
{
    for (;;) {
        int64_t size = await(rill_tcp_recv(&my.one, &my.rest_op, my.bytes, sizeof my.bytes));

        if (size == 0)
            break;
        came(my.bytes, size);
    }
    expect_eq(my.at, TOTAL);
    expect_eq(await(rill_task_join(&feeder.task, &feeder.join)), 0);
    hang_up_both();
}

struct rill_future *recv_borrowed(void)
{
    return rill_tcp_recv_borrowed(&my.one, &my.borrow);
}

void start_nothing(void)
{
}

/* ---- the sweep ---- */

static const struct cancel_operation *operations;
static void (*reset)(void);

/* When the victim is cancelled: the step is a poll, a turn, or a tenth of the time
 * that it took undisturbed. */
enum when { NEVER, AT_POLL, AT_TURN, AT_TIME };

static struct victim {
    struct rill_task task;
    struct rill_join join;
    struct rill_future *future;
    int64_t cancel_at_poll;
    int64_t polls;
} victim;

static enum rill_poll victim_poll(struct rill_future *self, struct rill_task *task)
{
    struct victim *me = rill_container_of(self, struct victim, task.future);

    if (me->polls++ == me->cancel_at_poll)
        rill_task_cancel(task);
    RILL_BEGIN();
    RILL_AWAIT(me->future);
    RILL_RETURN(me->future->result);
    RILL_END();
}

static bool open_world(int which, uint64_t seed)
{
    static const struct rill_runtime_options runtimes[] = {
        {.buffer_count = 16, .buffer_size = 256},
        {.sq_entries = 4, .cq_entries = 8, .buffer_count = 2, .buffer_size = 64},
        {.sq_entries = 2, .cq_entries = 2, .buffer_count = 4, .buffer_size = 1024},
    };
    struct rill_runtime_options runtime = runtimes[seed % 3];
    struct sim_options options = sim_options_troubled(seed);

    runtime.wait_policy = (enum rill_wait_policy)(seed % 7 < 3 ? seed % 7 : RILL_WAIT_SLEEP);
    if (runtime.wait_policy != RILL_WAIT_SLEEP) { /* or looking out takes long */
        options.clock_step_ns = 20 * RILL_MICROSECOND;
        options.delay_max_ns = options.latency_max_ns = 200 * RILL_MICROSECOND;
        options.latency_min_ns = 0;
    }
    memset(&my, 0, sizeof my);
    memset(&feeder, 0, sizeof feeder);
    memset(&drainer, 0, sizeof drainer);
    if (reset)
        reset();
    memset(&victim, 0, sizeof victim);
    return fixture_open(which, &options, &runtime);
}

static void await_victim(const struct cancel_operation *operation)
{
    if (operation->endless && !rill_task_is_over(&victim.task)) {
        struct rill_sleep while_it_works;

        await(rill_sleep(&while_it_works, 2 * RILL_MILLISECOND));
        rill_task_cancel(&victim.task);
    }
    await(rill_task_join(&victim.task, &victim.join));
}

/* Runs the operation once, and returns how long it took. */
static int64_t run_once(const struct cancel_operation *operation, int which, uint64_t seed,
                        enum when when, int64_t step, int64_t duration, bool *cancelled)
{
    struct rill_sleep sleep;
    int64_t begin;

    fixture.seed = seed;
    fixture.seeded = true;
    fixture.what = operation->name;
    fixture.step = when * 100 + step;
    if (!open_world(which, seed))
        return -1;
    operation->start();
    victim.future = operation->prepare();
    victim.cancel_at_poll = when == AT_POLL ? step : -1;
    begin = rill_now();
    rill_task_spawn(&victim.task, victim_poll);
    for (int64_t turn = 0; when == AT_TURN && turn < step; turn++) {
        if (!rill_task_is_over(&victim.task))
            rill_task_wake(&victim.task); /* for no reason, which does no harm */
        fixture_turn();
    }
    if (when == AT_TIME)
        await(rill_sleep(&sleep, duration * step / 10));
    *cancelled = !rill_task_is_over(&victim.task) && when != NEVER && when != AT_POLL;
    if (*cancelled)
        rill_task_cancel(&victim.task);
    await_victim(operation);
    *cancelled |= when == AT_POLL && victim.polls > step;
    duration = rill_now() - begin;
    if (when == NEVER && !operation->endless)
        expect(victim.task.future.result != -ECANCELED);
    operation->after(victim.task.future.result);
    fixture_close();
    return duration;
}

static void sweep(const struct cancel_operation *operation, int which, uint64_t seed)
{
    bool cancelled = true;
    int64_t duration = run_once(operation, which, seed, NEVER, 0, 0, &cancelled);

    if (duration < 0)
        return;
    cancelled = true;
    for (int64_t step = 0; cancelled && step < 5; step++)
        run_once(operation, which, seed, AT_POLL, step, 0, &cancelled);
    cancelled = true;
    for (int64_t step = 0; cancelled && step < 8; step++)
        run_once(operation, which, seed, AT_TURN, step, 0, &cancelled);
    cancelled = true;
    for (int64_t step = 0; which == SIMULATED && cancelled && step < 12; step++)
        run_once(operation, which, seed, AT_TIME, step, duration, &cancelled);
}

START_TEST(whatever_is_cancelled_at_any_moment_ends_and_loses_nothing)
{
    const struct cancel_operation *operation = &operations[_i];
    uint64_t first, count;

    if (!(operation->worlds & IN_SIMULATED))
        return;
    fixture_seeds(100, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        sweep(operation, SIMULATED, seed);
}
END_TEST

START_TEST(and_so_it_is_on_the_real_ring)
{
    const struct cancel_operation *operation = &operations[_i];
    uint64_t first, count;

    if (!(operation->worlds & IN_REAL))
        return;
    fixture_seeds(3, &first, &count);
    expect(mkdtemp(cancel_directory) != NULL);
    for (uint64_t seed = first; seed < first + count && seed < first + 3; seed++)
        sweep(operation, REAL, seed);
    unlink(my.path);
    expect_eq(rmdir(cancel_directory), 0);
}
END_TEST

int cancel_main(const char *name, const struct cancel_operation *table, int count,
                void (*reset_tasks)(void), const TTest *more)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    operations = table;
    reset = reset_tasks;
    tcase_add_loop_test(tcase, whatever_is_cancelled_at_any_moment_ends_and_loses_nothing, 0,
                        count);
    tcase_add_loop_test(tcase, and_so_it_is_on_the_real_ring, 0, count);
    if (more)
        tcase_add_test(tcase, more);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
