/* SPDX-License-Identifier: Apache-2.0 */
/* test_event_source.c - an engine beside the ring loses no event and costs nothing while idle. */
#include "io/event_source.h"

#include "io/embedding.h"
#include "io/readiness.h"
#include "io/remote.h"
#include "runtime/notify.h"
#include "tests/fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An engine in which an event is a number that grows. */
struct engine {
    struct rill_event_source source;
    struct rill_notify happened;
    unsigned waiting;    /* events that progress has not seen */
    unsigned seen;       /* and those that it has */
    uint64_t seen_call;  /* the call of progress that saw the latest */
    unsigned refusals;   /* times that arming still says busy */
    bool is_armed;       /* the next event makes the descriptor readable */
    bool is_mute;        /* no event does */
    bool never_runs_dry; /* progress always does something */
    bool will_post;      /* the next progress does nothing but post an operation */
    void (*on_arm)(struct engine *engine);
    bool on_arm_done;
};

static struct engine engine, other_engine;

static void signal_fd(const struct engine *e)
{
    const uint64_t value = 1;

    if (fixture.sim)
        sim_counter_add(fixture.sim, e->source.fd, 1);
    else
        ck_assert_int_eq(write(e->source.fd, &value, sizeof value), sizeof value);
}

static void drain_fd(struct engine *e, bool was_signalled)
{
    uint64_t value;

    if (!was_signalled)
        return;
    if (fixture.sim)
        sim_counter_add(fixture.sim, e->source.fd, (uint64_t)-1);
    else
        ck_assert_int_eq(read(e->source.fd, &value, sizeof value), sizeof value);
}

/* Something happens in the engine. */
static void event(struct engine *e)
{
    e->waiting++;
    if (!e->is_armed || e->is_mute)
        return;
    e->is_armed = false;
    signal_fd(e);
}

static unsigned engine_progress(struct rill_event_source *source)
{
    struct engine *e = rill_container_of(source, struct engine, source);
    unsigned count = e->waiting;

    if (e->will_post) {
        e->will_post = false;
        e->waiting++;
        rill_event_source_touch(source);
        return 0;
    }
    e->waiting = 0;
    e->seen += count;
    if (count > 0) {
        e->seen_call = source->stats.progress_calls + 1;
        rill_notify_all(&e->happened);
    }
    return count + e->never_runs_dry;
}

static int engine_arm(struct rill_event_source *source)
{
    struct engine *e = rill_container_of(source, struct engine, source);

    if (e->waiting > 0)
        return -EBUSY;
    if (e->refusals > 0) {
        e->refusals--;
        return -EBUSY;
    }
    /* It was readable since it was armed last, if it is not any more. */
    drain_fd(e, source->stats.arms > 0 && !e->is_armed);
    e->is_armed = true;
    if (e->on_arm && !e->on_arm_done) {
        e->on_arm_done = true;
        e->on_arm(e);
    }
    return 0;
}

static const struct rill_event_source_ops engine_ops = {engine_progress, engine_arm, NULL};

static void engine_open(struct engine *e)
{
    memset(e, 0, sizeof *e);
    rill_notify_init(&e->happened);
    e->source.ops = &engine_ops;
    e->source.fd = fixture.sim ? sim_counter_create(fixture.sim) : eventfd(0, EFD_CLOEXEC);
    ck_assert_int_ge(e->source.fd, 0);
    rill_event_source_add(&e->source);
}

static void engine_close(struct engine *e)
{
    rill_event_source_remove(&e->source);
    if (fixture.sim)
        fixture.runtime->reactor.kernel->ops->close(fixture.runtime->reactor.kernel, e->source.fd);
    else
        close(e->source.fd);
}

/* A task that waits until the engine has seen so many events. */
struct watcher {
    struct rill_future future;
    struct rill_wait wait;
    struct engine *engine;
    unsigned want;
    uint64_t calls; /* of progress, until it went on */
};

static enum rill_poll watcher_poll(struct rill_future *self, struct rill_task *task)
{
    struct watcher *watcher = rill_container_of(self, struct watcher, future);

    RILL_BEGIN();
    watcher->engine->source.pending++;
    rill_event_source_touch(&watcher->engine->source);
    while (watcher->engine->seen < watcher->want && watcher->wait.result != -ECANCELED)
        RILL_AWAIT(rill_notify_wait(&watcher->engine->happened, &watcher->wait));
    watcher->engine->source.pending--;
    watcher->calls = watcher->engine->source.stats.progress_calls;
    RILL_RETURN(watcher->engine->seen);
    RILL_END();
}

static struct rill_future *seen(struct watcher *watcher, struct engine *e, unsigned want)
{
    memset(watcher, 0, sizeof *watcher);
    watcher->engine = e;
    watcher->want = want;
    return rill_future_init(&watcher->future, watcher_poll);
}

static struct watcher watcher;
static struct background watching, receiving;
static struct rill_sleep nap;
static struct rill_tcp one, other;
static struct rill_op op, recv_op;
static char bytes[64];

static bool open_with(int which, const struct rill_runtime_options *options)
{
    if (!fixture_open(which, NULL, options))
        return false;
    engine_open(&engine);
    return true;
}

static void finish(void)
{
    engine_close(&engine);
    fixture_close();
}

static void event_later(struct sim *sim, void *e)
{
    (void)sim;
    event(e);
}

/* Has an event come in that many nanoseconds of virtual time. */
static void event_after(int64_t delay_ns)
{
    sim_at(fixture.sim, sim_now(fixture.sim) + delay_ns, event_later, &engine);
}

/* ---- waking ---- */

START_TEST(an_event_of_an_engine_wakes_a_task_as_one_of_the_kernel_does)
{
    for (unsigned policy = RILL_WAIT_SLEEP; policy <= RILL_WAIT_SPIN; policy++) {
        if (!open_with(_i, &(struct rill_runtime_options){
                               .wait_policy = (enum rill_wait_policy)policy, .spin_ns = 1000}))
            return;
        for (unsigned i = 1; i <= 100; i++) {
            background_start(&watching, seen(&watcher, &engine, i));
            if (i % 2)
                settle();
            event(&engine);
            ck_assert_int_eq(background_end(&watching), i);
        }
        finish();
    }
}
END_TEST

START_TEST(an_idle_source_costs_nothing)
{
    size_t enters, calls;

    open_with(SIMULATED, NULL);
    settle();
    ck_assert(engine.source.asleep);
    enters = sim_enters(fixture.sim);
    calls = engine.source.stats.progress_calls;
    await(rill_sleep(&nap, 3600 * RILL_SECOND));
    ck_assert_uint_le(sim_enters(fixture.sim) - enters, 12); /* one a level of the wheel */
    ck_assert_uint_eq(engine.source.stats.progress_calls, calls);
    ck_assert_uint_eq(engine.source.stats.arms, 1);
    finish();
}
END_TEST

/* What was pending may be given up while the source sleeps: nothing wakes it for that, and the
 * end of that sleep is no reason to stay awake. */
START_TEST(a_source_whose_last_operation_ended_while_it_slept_costs_nothing)
{
    size_t enters, calls;

    open_with(SIMULATED, NULL);
    background_start(&watching, seen(&watcher, &engine, 1));
    await(rill_sleep(&nap, RILL_EVENT_SOURCE_SLEEP_MAX_NS / 2));
    ck_assert(engine.source.asleep);
    rill_task_cancel(&watching.task);
    background_end(&watching);
    ck_assert(engine.source.asleep);
    ck_assert_uint_eq(engine.source.pending, 0);
    enters = sim_enters(fixture.sim);
    calls = engine.source.stats.progress_calls;
    await(rill_sleep(&nap, 3600 * RILL_SECOND));
    ck_assert_uint_le(sim_enters(fixture.sim) - enters, 12); /* one a level of the wheel */
    ck_assert_uint_eq(engine.source.stats.progress_calls, calls);
    finish();
}
END_TEST

START_TEST(traffic_on_the_ring_does_not_wake_a_source)
{
    size_t calls;

    if (!open_with(_i, NULL))
        return;
    fixture_pair(&one, &other);
    background_start(&receiving, rill_tcp_recv(&one, &recv_op, bytes, 1));
    settle();
    calls = engine.source.stats.progress_calls;
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "x", 1)), 1);
        ck_assert_int_eq(background_end(&receiving), 1);
        background_start(&receiving, rill_tcp_recv(&one, &recv_op, bytes, 1));
    }
    ck_assert_uint_eq(engine.source.stats.progress_calls, calls);
    ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "x", 1)), 1);
    ck_assert_int_eq(background_end(&receiving), 1);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    finish();
}
END_TEST

START_TEST(nor_does_it_shorten_the_sleep_of_one_with_operations_pending)
{
    uint64_t bounded;
    int64_t began_ns;

    open_with(SIMULATED, NULL);
    fixture_pair(&one, &other);
    background_start(&watching, seen(&watcher, &engine, 1));
    settle();
    bounded = engine.source.stats.sleeps_bounded;
    began_ns = sim_now(fixture.sim);
    for (int i = 0; i < 100; i++) {
        background_start(&receiving, rill_tcp_recv(&one, &recv_op, bytes, 1));
        ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "x", 1)), 1);
        ck_assert_int_eq(background_end(&receiving), 1);
    }
    ck_assert_int_le((int64_t)(engine.source.stats.sleeps_bounded - bounded),
                     1 + (sim_now(fixture.sim) - began_ns) /
                             (int64_t)RILL_EVENT_SOURCE_SLEEP_MAX_NS);
    event(&engine);
    ck_assert_int_eq(background_end(&watching), 1);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    finish();
}
END_TEST

/* ---- no event is lost ---- */

/* An event that comes after arming looked, and that the descriptor does not tell. */
static void slip_in(struct engine *e)
{
    e->waiting++;
}

START_TEST(what_comes_while_it_is_armed_is_found_by_progress_once_more)
{
    open_with(_i, NULL);
    engine.on_arm = slip_in;
    ck_assert_int_eq(await(seen(&watcher, &engine, 1)), 1);
    ck_assert_uint_eq(engine.source.stats.sleeps_bounded, 0);
    finish();
}
END_TEST

static void post_soon(struct engine *e)
{
    e->will_post = true;
}

START_TEST(what_progress_itself_has_posted_after_arming_is_looked_at_before_it_sleeps)
{
    open_with(_i, NULL);
    engine.on_arm = post_soon;
    ck_assert_int_eq(await(seen(&watcher, &engine, 1)), 1);
    ck_assert_uint_eq(engine.source.stats.sleeps_bounded, 0);
    finish();
}
END_TEST

/* Arm, then post, then wait: UCX stays silent for ever. */
START_TEST(an_operation_that_is_posted_to_a_sleeping_source_is_seen_at_once)
{
    open_with(_i, NULL);
    settle();
    ck_assert(engine.source.asleep);
    engine.is_mute = true;
    event(&engine);
    ck_assert_int_eq(await(seen(&watcher, &engine, 1)), 1);
    ck_assert_uint_eq(engine.source.stats.sleeps_bounded, 0);
    finish();
}
END_TEST

/* Whoever embeds the runtime may do so after its turn, and asks then for how long to wait. */
START_TEST(an_operation_that_is_posted_between_turns_is_seen_at_once)
{
    open_with(SIMULATED, NULL);
    settle();
    ck_assert(engine.source.asleep);
    ck_assert_int_eq(rill_turn_timeout(fixture.runtime), RILL_NEVER);
    engine.is_mute = true;
    event(&engine);
    rill_event_source_touch(&engine.source);
    ck_assert_int_eq(rill_turn_timeout(fixture.runtime), RILL_NO_WAIT);
    ck_assert_uint_eq(engine.seen, 1);
    finish();
}
END_TEST

START_TEST(an_event_that_the_descriptor_never_tells_is_found_while_operations_are_pending)
{
    int64_t began_ns;

    open_with(SIMULATED, NULL);
    background_start(&watching, seen(&watcher, &engine, 1));
    settle();
    ck_assert(engine.source.asleep);
    engine.is_mute = true;
    event(&engine);
    began_ns = sim_now(fixture.sim);
    ck_assert_int_eq(background_end(&watching), 1);
    ck_assert_int_le(sim_now(fixture.sim) - began_ns,
                     RILL_EVENT_SOURCE_SLEEP_MAX_NS + RILL_MILLISECOND);
    ck_assert_uint_ge(engine.source.stats.sleeps_bounded, 1);
    ck_assert_uint_eq(engine.source.stats.events_recovered, 1);
    finish();
}
END_TEST

START_TEST(such_an_event_is_found_while_the_ring_never_rests)
{
    int64_t began_ns;

    open_with(SIMULATED, NULL);
    fixture_pair(&one, &other);
    background_start(&watching, seen(&watcher, &engine, 1));
    settle();
    engine.is_mute = true;
    event(&engine);
    began_ns = sim_now(fixture.sim);
    while (!rill_task_is_over(&watching.task)) {
        background_start(&receiving, rill_tcp_recv(&one, &recv_op, bytes, 1));
        ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "x", 1)), 1);
        ck_assert_int_eq(background_end(&receiving), 1);
    }
    ck_assert_int_eq(background_end(&watching), 1);
    ck_assert_int_le(sim_now(fixture.sim) - began_ns,
                     RILL_EVENT_SOURCE_SLEEP_MAX_NS + RILL_MILLISECOND);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    finish();
}
END_TEST

/* ---- what is busy ---- */

START_TEST(a_source_that_can_not_be_armed_is_tried_again_a_few_times_and_then_slowly)
{
    enum { REFUSALS = 1000 };
    uint64_t calls;

    open_with(SIMULATED, NULL);
    engine.refusals = REFUSALS;
    background_start(&watching, seen(&watcher, &engine, 1));
    event_after(REFUSALS * RILL_EVENT_SOURCE_BACK_OFF_NS / 2);
    ck_assert_int_eq(background_end(&watching), 1);
    calls = engine.source.stats.progress_calls;
    ck_assert_uint_ge(engine.source.stats.back_offs, REFUSALS / 2 - 20);
    ck_assert_uint_le(engine.source.stats.back_offs, REFUSALS / 2 + 1);
    ck_assert_uint_le(calls, 2 * REFUSALS / 2 + 20);
    finish();
}
END_TEST

START_TEST(a_source_that_always_has_something_to_do_leaves_the_ring_its_turn)
{
    open_with(_i, NULL);
    engine.never_runs_dry = true;
    fixture_pair(&one, &other);
    background_start(&receiving, rill_tcp_recv(&one, &recv_op, bytes, 1));
    ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "x", 1)), 1);
    ck_assert_int_eq(background_end(&receiving), 1);
    await(rill_sleep(&nap, RILL_MILLISECOND));
    ck_assert_uint_eq(engine.source.stats.arms, 0);
    ck_assert_uint_ge(engine.source.stats.progress_calls, RILL_EVENT_SOURCE_CALLS_MAX);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    finish();
}
END_TEST

/* What it has to say is not to wait for calls that find nothing. */
START_TEST(a_task_that_was_woken_goes_on_before_progress_is_called_again)
{
    open_with(_i, NULL);
    engine.never_runs_dry = true;
    event(&engine);
    ck_assert_int_eq(await(seen(&watcher, &engine, 1)), 1);
    ck_assert_uint_eq(watcher.calls, engine.seen_call);
    engine.never_runs_dry = false;
    finish();
}
END_TEST

static enum rill_poll spin_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    while (!rill_task_is_cancelled(task))
        RILL_YIELD();
    RILL_END();
}

START_TEST(tasks_that_are_always_ready_leave_a_source_its_turn)
{
    static struct rill_future spin;
    static struct background spinning;

    open_with(_i, NULL);
    background_start(&spinning, rill_future_init(&spin, spin_poll));
    background_start(&watching, seen(&watcher, &engine, 1));
    for (int i = 0; i < 10; i++)
        fixture_turn();
    ck_assert_uint_eq(engine.source.stats.arms, 0);
    event(&engine);
    for (int i = 0; i < 3; i++)
        fixture_turn();
    ck_assert(rill_task_is_over(&watching.task));
    ck_assert_int_eq(background_end(&watching), 1);
    rill_task_cancel(&spinning.task);
    background_end(&spinning);
    finish();
}
END_TEST

/* ---- no more calls than needed ---- */

static int calls_left;

/* An event that comes while the reactor looks out. */
static unsigned late_progress(struct rill_event_source *source)
{
    if (calls_left > 0 && --calls_left == 0)
        event(&engine);
    return engine_progress(source);
}

static const struct rill_event_source_ops late_ops = {late_progress, engine_arm, NULL};

/* By a clock that goes on by that much at each look. */
static void open_by_clock(int64_t step_ns)
{
    const struct sim_options options = {.clock_step_ns = step_ns};

    fixture_open(SIMULATED, &options, NULL);
    engine_open(&engine);
}

START_TEST(an_event_that_comes_soon_is_found_before_it_is_armed)
{
    open_by_clock(RILL_EVENT_SOURCE_LOOK_NS / 200);
    engine.source.ops = &late_ops;
    calls_left = 190; /* many more than in a turn: they are short, and it has its time */
    ck_assert_int_eq(await(seen(&watcher, &engine, 1)), 1);
    ck_assert_uint_eq(engine.source.stats.arms, 0);
    finish();
}
END_TEST

START_TEST(looking_out_before_it_is_armed_has_its_time)
{
    open_by_clock(RILL_EVENT_SOURCE_LOOK_NS / 4);
    engine.source.ops = &late_ops;
    calls_left = RILL_EVENT_SOURCE_CALLS_MAX;
    ck_assert_int_eq(await(seen(&watcher, &engine, 1)), 1);
    ck_assert_uint_ge(engine.source.stats.arms, 1);
    finish();
}
END_TEST

START_TEST(what_is_to_be_submitted_does_not_wait_for_events_that_may_come_soon)
{
    int fd;

    open_by_clock(RILL_EVENT_SOURCE_LOOK_NS / 20);
    fd = sim_counter_create(fixture.sim);
    sim_counter_add(fixture.sim, fd, 1);
    background_start(&receiving, rill_fd_wait(fd, &recv_op, POLLIN));
    ck_assert_int_eq(background_end(&receiving), POLLIN);
    ck_assert_uint_le(engine.source.stats.progress_calls, 2); /* before and after arming */
    fixture.runtime->reactor.kernel->ops->close(fixture.runtime->reactor.kernel, fd);
    finish();
}
END_TEST

/* Has an event come while the source is asleep. Returns the calls of progress from then
 * until it is asleep again. */
static uint64_t calls_of_an_event(void)
{
    uint64_t calls;

    background_start(&watching, seen(&watcher, &engine, engine.seen + 1));
    settle();
    ck_assert(engine.source.asleep);
    calls = engine.source.stats.progress_calls;
    event(&engine);
    ck_assert_int_eq(background_end(&watching), engine.seen);
    settle();
    ck_assert(engine.source.asleep);
    return engine.source.stats.progress_calls - calls;
}

START_TEST(one_that_has_nothing_to_do_before_it_is_armed_is_asked_only_after_that)
{
    enum { LOOKS = 20 }; /* of which the last one is too late */
    uint64_t calls;

    open_by_clock(RILL_EVENT_SOURCE_LOOK_NS / LOOKS);
    calls = calls_of_an_event();
    for (int i = 0; i < RILL_EVENT_SOURCE_QUIET_AFTER; i++)
        calls_of_an_event();
    /* neither in the turn nor for what comes soon */
    ck_assert_uint_eq(calls_of_an_event(), calls - 1 - (LOOKS - 1));
    engine.on_arm = slip_in;
    ck_assert_int_eq(await(seen(&watcher, &engine, engine.seen + 1)), engine.seen);
    ck_assert_uint_eq(calls_of_an_event(), calls);
    finish();
}
END_TEST

/* ---- looking out ---- */

START_TEST(looking_out_finds_an_event_without_a_system_call)
{
    size_t enters;

    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return;
    open_with(SIMULATED, &(struct rill_runtime_options){.wait_policy = RILL_WAIT_ADAPTIVE,
                                                        .spin_ns = RILL_MILLISECOND});
    background_start(&watching, seen(&watcher, &engine, 1));
    for (int i = 0; i < 3; i++)
        fixture_turn();
    engine.on_arm = slip_in; /* would be noticed */
    enters = sim_enters(fixture.sim);
    engine.waiting++;
    ck_assert_int_eq(background_end(&watching), 1);
    ck_assert_uint_eq(sim_enters(fixture.sim), enters);
    ck_assert_uint_eq(engine.source.stats.arms, 0);
    finish();
}
END_TEST

START_TEST(an_event_that_comes_while_looking_out_needs_no_arming)
{
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
        return;
    open_with(SIMULATED, &(struct rill_runtime_options){.wait_policy = RILL_WAIT_ADAPTIVE,
                                                        .spin_ns = RILL_MILLISECOND});
    engine.source.ops = &late_ops;
    calls_left = 200;
    ck_assert_int_eq(await(seen(&watcher, &engine, 1)), 1);
    ck_assert_uint_eq(engine.source.stats.arms, 0);
    ck_assert_uint_eq(fixture.runtime->reactor.stats.spins_hit, 1);
    ck_assert_uint_eq(fixture.runtime->reactor.stats.sleeps, 0);
    finish();
}
END_TEST

/* ---- lingering ---- */

/* What a task looks for in its poll. */
static unsigned looks, looks_left;
static int64_t lingered_ns;

static enum rill_poll linger_poll(struct rill_future *self, struct rill_task *task)
{
    const struct rill_reactor *reactor = rill_reactor_here();
    uint64_t calls = engine.source.stats.progress_calls;
    int64_t began_ns = rill_now();

    RILL_BEGIN();
    rill_event_source_touch(&engine.source);
    while (engine.seen == 0 && rill_reactor_linger(rill_reactor_here()))
        ;
    looks = (unsigned)(engine.source.stats.progress_calls - calls);
    looks_left = reactor->lingering_left;
    lingered_ns = rill_now() - began_ns;
    RILL_RETURN(engine.seen);
    RILL_END();
}

static struct rill_future lingering;

static struct rill_future *linger(void)
{
    return rill_future_init(&lingering, linger_poll);
}

static void open_to_linger(enum rill_wait_policy policy)
{
    const struct sim_options options = {.clock_step_ns = RILL_MICROSECOND};

    fixture_open(
        SIMULATED, &options,
        &(struct rill_runtime_options){.wait_policy = policy, .spin_ns = RILL_MILLISECOND});
    engine_open(&engine);
    engine.source.ops = &late_ops;
}

START_TEST(a_task_that_lingers_finds_an_event_within_its_poll_and_time_has_passed)
{
    for (unsigned policy = RILL_WAIT_ADAPTIVE; policy <= RILL_WAIT_SPIN; policy++) {
        open_to_linger((enum rill_wait_policy)policy);
        calls_left = 100;
        expect_eq(await(linger()), 1);
        expect_eq(looks, 100);
        expect_eq(looks + looks_left, RILL_LINGERING_MAX);
        ck_assert_int_gt(lingered_ns, 0);
        expect_eq(engine.source.stats.arms, 0);
        finish();
    }
}
END_TEST

/* It has just posted what it looks for. */
START_TEST(a_task_lingers_for_an_event_of_a_source_that_was_asleep)
{
    open_to_linger(RILL_WAIT_ADAPTIVE);
    settle();
    expect(engine.source.asleep);
    calls_left = 100;
    expect_eq(await(linger()), 1);
    expect_eq(looks, 100);
    finish();
}
END_TEST

START_TEST(a_task_lingers_only_where_its_turn_would_come_to_that)
{
    open_to_linger(RILL_WAIT_SLEEP);
    await(linger());
    expect_eq(looks, 0);
    finish();

    open_to_linger(RILL_WAIT_SPIN); /* others are ready */
    background_start(&watching, linger());
    background_start(&receiving, rill_sleep(&nap, 0));
    background_end(&watching);
    expect_eq(looks, 0);
    background_end(&receiving);
    finish();

    open_to_linger(RILL_WAIT_SPIN); /* something waits to be submitted */
    fixture_pair(&one, &other);
    background_start(&receiving, rill_tcp_recv(&one, &recv_op, bytes, sizeof bytes));
    await(linger());
    expect_eq(looks, 0);
    rill_task_cancel(&receiving.task);
    background_end(&receiving);
    await(rill_tcp_close(&one));
    await(rill_tcp_close(&other));
    finish();
}
END_TEST

static void do_nothing(struct rill_post *post)
{
    (void)post;
}

/* What another thread posts after some looks. */
static unsigned posting_progress(struct rill_event_source *source)
{
    static struct rill_post post;

    if (calls_left > 0 && --calls_left == 0) {
        rill_post_init(&post, do_nothing);
        rill_post(fixture.runtime->reactor.remote, &post);
    }
    return engine_progress(source);
}

static const struct rill_event_source_ops posting_ops = {posting_progress, engine_arm, NULL};

START_TEST(it_lingers_no_longer_when_there_is_something_else)
{
    struct rill_remote *remote;

    open_to_linger(RILL_WAIT_SPIN);
    expect_eq(rill_remote_open(&remote), 0);
    engine.source.ops = &posting_ops;
    calls_left = 100;
    expect_eq(await(linger()), 0);
    expect_eq(looks, 100);
    rill_remote_release(remote);
    finish();

    open_to_linger(RILL_WAIT_SPIN); /* or when it has taken too long; events of others are no end */
    engine.never_runs_dry = true;
    expect_eq(await(linger()), 0);
    expect_eq(looks, RILL_LINGERING_MAX);
    expect_eq(looks_left, 0);
    finish();
}
END_TEST

static unsigned looks_of_a_turn(void)
{
    engine.seen = 0;
    fixture_turn();
    await(linger());
    return looks;
}

START_TEST(a_task_lingers_shortly_where_the_latest_have_found_nothing)
{
    open_to_linger(RILL_WAIT_SPIN);
    expect_eq(looks_of_a_turn(), RILL_LINGERING_MAX);
    expect_eq(looks_of_a_turn(), RILL_LINGERING_TRIAL);
    calls_left = RILL_LINGERING_TRIAL; /* some are of the turn */
    expect(looks_of_a_turn() < RILL_LINGERING_TRIAL);
    expect_eq(engine.seen, 1);
    expect_eq(looks_of_a_turn(), RILL_LINGERING_MAX);
    finish();
}
END_TEST

/* ---- the watch ---- */

static unsigned polls_asked;

static void count_polls(struct io_uring_sqe *sqe)
{
    polls_asked += sqe->opcode == IORING_OP_POLL_ADD;
}

START_TEST(there_is_one_watch_for_any_number_of_sleeps)
{
    if (!open_with(_i, NULL))
        return;
    polls_asked = 0;
    fixture_on_entry(count_polls);
    for (int i = 0; i < 50; i++) { /* each touch wakes it, each settling lets it sleep */
        rill_event_source_touch(&engine.source);
        settle();
        ck_assert(engine.source.asleep);
    }
    ck_assert_uint_ge(engine.source.stats.arms, 50);
    ck_assert_uint_eq(polls_asked, 1);
    event(&engine);
    settle_until(polls_asked == 2);
    ck_assert_uint_eq(engine.source.stats.wake_ups, 1);
    ck_assert_uint_eq(engine.source.stats.wake_ups_futile, 0);
    finish();
}
END_TEST

enum { ENTRIES = 4 };

static struct rill_op waits_ops[ENTRIES];
static struct background waits[ENTRIES];

/* The kernel takes nothing at the moment at which the queue is full and the watch is to be put
 * into it, in the next turn. */
static void fill_the_queue(void)
{
    struct rill_executor *executor;

    open_with(SIMULATED, &(struct rill_runtime_options){.sq_entries = ENTRIES,
                                                        .wait_policy = RILL_WAIT_SLEEP});
    executor = &fixture.runtime->executor;
    fixture_pair(&one, &other);
    settle();
    engine.is_armed = false;
    signal_fd(&engine); /* the watch ends, and the source has nothing to do */
    while (engine.source.watch.state != RILL_OP_IDLE)
        ck_assert_int_eq(rill_executor_wait(executor, sim_now(fixture.sim) + RILL_SECOND), 0);
    for (int i = 0; i < ENTRIES; i++)
        background_start(&waits[i], rill_fd_wait(one.fd, &waits_ops[i], POLLIN));
    rill_executor_run(executor);
    fixture_fail_enters(-EAGAIN, 1);
}

static void empty_the_queue(void)
{
    ck_assert_uint_eq(fixture.runtime->reactor.stats.queue_full, 1);
    ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "x", 1)), 1);
    for (int i = 0; i < ENTRIES; i++)
        background_end(&waits[i]);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
}

/* Whoever slept then would never hear of the event. */
START_TEST(a_source_whose_watch_finds_no_place_in_the_queue_does_not_sleep_without_it)
{
    int64_t began_ns;

    fill_the_queue();
    event_after(RILL_MILLISECOND);
    began_ns = sim_now(fixture.sim);
    while (engine.seen == 0)
        ck_assert_int_eq(
            rill_executor_wait(&fixture.runtime->executor, sim_now(fixture.sim) + RILL_SECOND), 0);
    ck_assert_int_le(sim_now(fixture.sim) - began_ns, 2 * RILL_MILLISECOND);
    empty_the_queue();
    finish();
}
END_TEST

START_TEST(a_source_whose_watch_finds_no_place_in_the_queue_can_be_removed)
{
    fill_the_queue();
    while (engine.source.watch.state == RILL_OP_IDLE)
        ck_assert_int_eq(
            rill_executor_wait(&fixture.runtime->executor, sim_now(fixture.sim) + RILL_SECOND), 0);
    ck_assert_int_eq(engine.source.watch.state, RILL_OP_QUEUED);
    rill_event_source_remove(&engine.source);
    ck_assert_int_eq(engine.source.watch.state, RILL_OP_IDLE);
    empty_the_queue();
    finish();
}
END_TEST

START_TEST(a_readable_descriptor_without_an_event_is_counted_as_futile)
{
    if (!open_with(_i, NULL))
        return;
    settle();
    engine.is_armed = false;
    signal_fd(&engine);
    settle_until(engine.source.stats.wake_ups_futile == 1);
    ck_assert_uint_eq(engine.source.stats.wake_ups, 1);
    ck_assert(engine.source.asleep);
    finish();
}
END_TEST

START_TEST(a_source_can_be_removed_awake_and_asleep_and_added_again)
{
    if (!open_with(_i, NULL))
        return;
    rill_event_source_remove(&engine.source);
    rill_event_source_remove(&engine.source);
    rill_event_source_add(&engine.source);
    settle();
    ck_assert_uint_eq(fixture.runtime->reactor.ops_in_flight, 1);
    rill_event_source_remove(&engine.source);
    ck_assert_uint_eq(fixture.runtime->reactor.ops_in_flight, 0);
    rill_event_source_add(&engine.source);
    event(&engine);
    ck_assert_int_eq(await(seen(&watcher, &engine, 1)), 1);
    finish();
}
END_TEST

static void close_source(struct rill_event_source *source)
{
    engine_close(rill_container_of(source, struct engine, source));
}

START_TEST(an_engine_that_knows_how_is_closed_with_its_runtime)
{
    static const struct rill_event_source_ops closing = {engine_progress, engine_arm, close_source};

    if (!open_with(_i, NULL))
        return;
    engine_open(&other_engine);
    engine.source.ops = other_engine.source.ops = &closing;
    settle();
    rill_runtime_destroy(fixture.runtime);
    expect(!rill_link_is_linked(&engine.source.sources));
    expect(!rill_link_is_linked(&other_engine.source.sources));
    sim_destroy(fixture.sim);
}
END_TEST

START_TEST(two_sources_are_waited_for_together)
{
    static struct watcher second;
    static struct background second_watching;

    if (!open_with(_i, NULL))
        return;
    engine_open(&other_engine);
    for (unsigned i = 1; i <= 20; i++) {
        background_start(&watching, seen(&watcher, &engine, i));
        background_start(&second_watching, seen(&second, &other_engine, i));
        settle();
        event(i % 2 ? &engine : &other_engine);
        settle();
        event(i % 2 ? &other_engine : &engine);
        ck_assert_int_eq(background_end(&watching), i);
        ck_assert_int_eq(background_end(&second_watching), i);
    }
    engine_close(&other_engine);
    finish();
}
END_TEST

START_TEST(a_source_is_not_passed_over_as_long_as_another_one_has_events)
{
    open_with(SIMULATED, NULL);
    engine_open(&other_engine);
    engine.source.quiet_count = RILL_EVENT_SOURCE_QUIET_AFTER;
    other_engine.never_runs_dry = true;
    event(&engine);
    for (int i = 0; i < 3; i++) {
        rill_executor_run(&fixture.runtime->executor);
        ck_assert_int_eq(rill_executor_wait(&fixture.runtime->executor, RILL_NEVER), 0);
    }
    ck_assert_uint_eq(engine.seen, 1);
    engine_close(&other_engine);
    finish();
}
END_TEST

/* ---- everything at once ---- */

START_TEST(no_event_is_lost_whatever_the_kernel_does)
{
    uint64_t seed, count;

    fixture_seeds(200, &seed, &count);
    for (; count > 0; seed++, count--) {
        struct sim_options options = sim_options_hostile(seed);
        unsigned expected = 0;

        fixture.seed = seed;
        fixture.seeded = true;
        fixture_open(SIMULATED, &options,
                     &(struct rill_runtime_options){.wait_policy = seed % 2 ? RILL_WAIT_SLEEP
                                                                            : RILL_WAIT_ADAPTIVE,
                                                    .sq_entries = 2,
                                                    .cq_entries = 2});
        engine_open(&engine);
        for (int i = 0; i < 30; i++) {
            if (sim_random(fixture.sim, 2))
                engine.source.quiet_count = RILL_EVENT_SOURCE_QUIET_AFTER;

            unsigned more = 1 + (unsigned)sim_random(fixture.sim, 3);

            engine.is_mute = sim_random(fixture.sim, 4) == 0;
            engine.refusals = (unsigned)sim_random(fixture.sim, 8);
            engine.on_arm = sim_random(fixture.sim, 2) ? slip_in : NULL;
            expected += more - (engine.on_arm != NULL);
            engine.on_arm_done = false;
            expected += engine.on_arm != NULL;
            for (unsigned k = engine.on_arm != NULL; k < more; k++)
                event_after(1 + (int64_t)sim_random(fixture.sim, 200) * RILL_MICROSECOND);
            expect_eq(await(seen(&watcher, &engine, expected)), expected);
            expect(!engine.on_arm || engine.on_arm_done);
        }
        engine_close(&engine);
        fixture_close();
    }
    fixture.seeded = false;
}
END_TEST

/* ---- bad use ---- */

static void add_twice(void)
{
    open_with(SIMULATED, NULL);
    rill_event_source_add(&engine.source);
}

static void forget(void)
{
    open_with(SIMULATED, NULL);
    rill_runtime_destroy(fixture.runtime);
}

static int arm_fails(struct rill_event_source *source)
{
    (void)source;
    return -EIO;
}

static void break_arm(void)
{
    static const struct rill_event_source_ops broken = {engine_progress, arm_fails, NULL};

    open_with(SIMULATED, NULL);
    engine.source.ops = &broken;
    settle();
}

static void watch_nothing(void)
{
    open_with(SIMULATED, NULL);
    engine.source.fd = SIM_FD_FIRST + 99;
    settle();
}

START_TEST(bad_use_is_a_panic)
{
    fixture_expect_panic(add_twice, "an event source was added twice");
    fixture_expect_panic(forget, "a runtime was ended with an event source plugged in");
    fixture_expect_panic(break_arm, "an event source cannot be armed: error 5");
    fixture_expect_panic(watch_nothing,
                         "the descriptor of an event source cannot be watched: error 9");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {an_event_of_an_engine_wakes_a_task_as_one_of_the_kernel_does, IN_BOTH},
        {an_idle_source_costs_nothing, IN_SIMULATED},
        {a_source_whose_last_operation_ended_while_it_slept_costs_nothing, IN_SIMULATED},
        {traffic_on_the_ring_does_not_wake_a_source, IN_BOTH},
        {nor_does_it_shorten_the_sleep_of_one_with_operations_pending, IN_SIMULATED},
        {what_comes_while_it_is_armed_is_found_by_progress_once_more, IN_SIMULATED},
        {what_progress_itself_has_posted_after_arming_is_looked_at_before_it_sleeps, IN_SIMULATED},
        {an_operation_that_is_posted_to_a_sleeping_source_is_seen_at_once, IN_SIMULATED},
        {an_operation_that_is_posted_between_turns_is_seen_at_once, IN_SIMULATED},
        {an_event_that_the_descriptor_never_tells_is_found_while_operations_are_pending,
         IN_SIMULATED},
        {such_an_event_is_found_while_the_ring_never_rests, IN_SIMULATED},
        {a_source_that_can_not_be_armed_is_tried_again_a_few_times_and_then_slowly, IN_SIMULATED},
        {a_source_that_always_has_something_to_do_leaves_the_ring_its_turn, IN_SIMULATED},
        {a_task_that_was_woken_goes_on_before_progress_is_called_again, IN_SIMULATED},
        {tasks_that_are_always_ready_leave_a_source_its_turn, IN_SIMULATED},
        {an_event_that_comes_soon_is_found_before_it_is_armed, IN_SIMULATED},
        {looking_out_before_it_is_armed_has_its_time, IN_SIMULATED},
        {what_is_to_be_submitted_does_not_wait_for_events_that_may_come_soon, IN_SIMULATED},
        {one_that_has_nothing_to_do_before_it_is_armed_is_asked_only_after_that, IN_SIMULATED},
        {looking_out_finds_an_event_without_a_system_call, IN_SIMULATED},
        {an_event_that_comes_while_looking_out_needs_no_arming, IN_SIMULATED},
        {a_task_that_lingers_finds_an_event_within_its_poll_and_time_has_passed, IN_SIMULATED},
        {a_task_lingers_for_an_event_of_a_source_that_was_asleep, IN_SIMULATED},
        {a_task_lingers_only_where_its_turn_would_come_to_that, IN_SIMULATED},
        {it_lingers_no_longer_when_there_is_something_else, IN_SIMULATED},
        {a_task_lingers_shortly_where_the_latest_have_found_nothing, IN_SIMULATED},
        {there_is_one_watch_for_any_number_of_sleeps, IN_BOTH},
        {a_source_whose_watch_finds_no_place_in_the_queue_does_not_sleep_without_it, IN_SIMULATED},
        {a_source_whose_watch_finds_no_place_in_the_queue_can_be_removed, IN_SIMULATED},
        {a_readable_descriptor_without_an_event_is_counted_as_futile, IN_BOTH},
        {a_source_can_be_removed_awake_and_asleep_and_added_again, IN_BOTH},
        {an_engine_that_knows_how_is_closed_with_its_runtime, IN_BOTH},
        {two_sources_are_waited_for_together, IN_BOTH},
        {a_source_is_not_passed_over_as_long_as_another_one_has_events, IN_SIMULATED},
        {no_event_is_lost_whatever_the_kernel_does, IN_SIMULATED},
        {bad_use_is_a_panic, IN_SIMULATED},
    };

    return fixture_main("event source", cases, sizeof cases / sizeof *cases);
}
