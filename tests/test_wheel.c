/* SPDX-License-Identifier: Apache-2.0 */
/* test_wheel.c - timers fire in time and in order, as in a model without any wheel. */
#include "runtime/wheel.h"
#include "tests/rig.h"

#include <stdlib.h>
#include <string.h>

enum { TIMERS = 200, TICK_NS = 1 << RILL_WHEEL_TICK_BITS };

/* A timer, the task that it wakes, and what the model knows about it. */
struct alarm {
    struct rill_task task;
    struct rill_timer timer;
    int64_t due_tick; /* the tick at which it has to fire */
    bool armed;       /* says the model */
    bool arms_again;  /* when it has fired, once */
    bool stopped;
};

static struct rill_wheel wheel;
static struct alarm alarms[TIMERS];
static size_t alarm_count;
static int64_t now_ns;
static uint64_t seed; /* of a random case, or 0 */

/* Those that fired, in order, since it was set to 0. */
static struct alarm *fired[2 * TIMERS];
static size_t fired_count;

/* A deadline's tick, or the next one for what has passed already. */
static int64_t due_tick(int64_t deadline_ns)
{
    int64_t tick = deadline_ns / TICK_NS + (deadline_ns % TICK_NS > 0);
    int64_t next = now_ns / TICK_NS + 1;

    return tick < next ? next : tick;
}

static void arm(struct alarm *alarm, int64_t deadline_ns)
{
    ck_assert(!rill_link_is_linked(&alarm->timer.slot));
    alarm->timer.deadline_ns = deadline_ns;
    alarm->timer.task = &alarm->task;
    alarm->due_tick = due_tick(deadline_ns);
    alarm->armed = true;
    rill_wheel_arm(&wheel, &alarm->timer);
}

static void disarm(struct alarm *alarm)
{
    rill_wheel_disarm(&wheel, &alarm->timer);
    alarm->armed = false;
    ck_assert(!rill_link_is_linked(&alarm->timer.slot));
}

/* Runs in a task of its own, which the timer wakes. */
static enum rill_poll alarm_poll(struct rill_future *self, struct rill_task *task)
{
    struct alarm *alarm = rill_container_of(self, struct alarm, task.future);

    (void)task;
    if (alarm->stopped)
        return RILL_READY;
    if (alarm->timer.task) {
        ck_assert_uint_lt(fired_count, RIG_COUNT(fired));
        fired[fired_count++] = alarm;
        alarm->timer.task = NULL;
    }
    if (alarm->arms_again) {
        alarm->arms_again = false;
        arm(alarm, now_ns + TICK_NS / 2);
    }
    return RILL_PENDING;
}

static void begin(int64_t at_ns, size_t count)
{
    now_ns = at_ns;
    rill_wheel_init(&wheel, now_ns);
    memset(alarms, 0, sizeof alarms);
    alarm_count = count;
    fired_count = 0;
    for (size_t i = 0; i < count; i++)
        rill_task_spawn(&alarms[i].task, alarm_poll);
    rig_settle();
}

static void end(void)
{
    for (size_t i = 0; i < alarm_count; i++) {
        disarm(&alarms[i]);
        alarms[i].stopped = true;
        rill_task_wake(&alarms[i].task);
    }
    rig_settle();
    ck_assert_uint_eq(wheel.armed, 0);
    ck_assert_int_eq(rill_wheel_next(&wheel), RILL_NEVER);
}

/* Fails the case, and names the seed, unless what the wheel does is right. */
static void expect(bool right, const char *what)
{
    if (!right)
        ck_abort_msg("seed %llu, at tick %lld: %s", (unsigned long long)seed,
                     (long long)(now_ns / TICK_NS), what);
}

/* Whether the next event that the wheel names is one that makes sense. */
static void check_next(void)
{
    int64_t next_ns = rill_wheel_next(&wheel);
    int64_t earliest = INT64_MAX;
    size_t armed = 0;

    for (size_t i = 0; i < alarm_count; i++) {
        armed += alarms[i].armed;
        if (alarms[i].armed && alarms[i].due_tick < earliest)
            earliest = alarms[i].due_tick;
    }
    expect(wheel.armed == armed, "the number of armed timers is wrong");
    if (earliest > INT64_MAX / TICK_NS) {
        if (armed == 0)
            expect(next_ns == RILL_NEVER, "an empty wheel has something to come");
        return;
    }
    expect(next_ns <= earliest * TICK_NS, "the next event is named too late");
    expect(rill_wheel_may_be_due(&wheel, next_ns), "at the next event nothing may be due");
    /* Or the executor would turn for nothing. */
    expect(next_ns / TICK_NS > now_ns / TICK_NS, "the next event has passed");
}

/* Moves the wheel on, and compares what fires with what the model says. */
static void advance(int64_t to_ns)
{
    int64_t now_tick = to_ns / TICK_NS;
    size_t expected = 0;

    ck_assert_int_ge(to_ns, now_ns);
    for (size_t i = 0; i < alarm_count; i++)
        expected += alarms[i].armed && alarms[i].due_tick <= now_tick;

    now_ns = to_ns;
    fired_count = 0;
    rill_wheel_advance(&wheel, now_ns);
    for (size_t i = 0; i < alarm_count; i++) {
        bool is_armed = alarms[i].armed && alarms[i].due_tick > now_tick;

        expect(rill_link_is_linked(&alarms[i].timer.slot) == is_armed,
               is_armed ? "a timer fired early" : "a timer did not fire");
        alarms[i].armed = is_armed;
    }
    rig_settle();
    expect(fired_count == expected, "a wake was lost");
    for (size_t i = 0; i < fired_count; i++) {
        if (fired[i]->timer.task) /* armed again, with another deadline */
            continue;
        expect(fired[i]->timer.deadline_ns <= now_ns, "a timer fired before its deadline");
        if (i > 0 && !fired[i - 1]->timer.task)
            expect(fired[i - 1]->due_tick <= fired[i]->due_tick, "timers fired out of order");
    }
}

START_TEST(an_empty_wheel_has_nothing_to_come)
{
    begin(12345, 1);
    ck_assert_int_eq(rill_wheel_next(&wheel), RILL_NEVER);
    advance(INT64_MAX / 2);
    ck_assert_int_eq(rill_wheel_next(&wheel), RILL_NEVER);
    arm(&alarms[0], now_ns + 1);
    disarm(&alarms[0]);
    ck_assert_int_eq(rill_wheel_next(&wheel), RILL_NEVER);
    end();
}
END_TEST

START_TEST(a_timer_never_fires_early_and_less_than_a_tick_late)
{
    static const int64_t delays[] = {1,
                                     TICK_NS - 1,
                                     TICK_NS,
                                     TICK_NS + 1,
                                     63 * TICK_NS,
                                     64 * TICK_NS,
                                     65 * TICK_NS,
                                     4096 * TICK_NS - 1,
                                     4096 * TICK_NS,
                                     RILL_SECOND,
                                     3600 * RILL_SECOND,
                                     86400 * RILL_SECOND * 365,
                                     86400 * RILL_SECOND * 36500};
    static const int64_t begins[] = {
        0, 1, TICK_NS - 1, TICK_NS, 64 * TICK_NS - 1, 4095LL * TICK_NS, 999 * RILL_SECOND + 7};

    for (size_t i = 0; i < RIG_COUNT(delays) * RIG_COUNT(begins); i++) {
        int64_t deadline_ns;
        int events = 0;

        begin(begins[i / RIG_COUNT(delays)], 1);
        deadline_ns = now_ns + delays[i % RIG_COUNT(delays)];
        arm(&alarms[0], deadline_ns);
        while (alarms[0].armed) {
            check_next();
            advance(rill_wheel_next(&wheel));
            ck_assert_int_le(++events, RILL_WHEEL_LEVELS + 1);
        }
        ck_assert_uint_eq(fired_count, 1);
        ck_assert_int_ge(now_ns, deadline_ns);
        ck_assert_int_lt(now_ns, deadline_ns + TICK_NS);
        end();
    }
}
END_TEST

START_TEST(timers_fire_in_the_order_of_their_ticks_however_far_the_clock_jumps)
{
    begin(5 * TICK_NS, 10);
    for (int i = 0; i < 10; i++) /* two, of them, on each of five levels */
        arm(&alarms[(i * 7) % 10], now_ns + ((int64_t)TICK_NS << (6 * (i / 2))) + i * TICK_NS);
    advance(now_ns + ((int64_t)TICK_NS << 40));
    ck_assert_uint_eq(fired_count, 10);
    for (int i = 0; i < 10; i++)
        ck_assert_ptr_eq(fired[i], &alarms[(i * 7) % 10]);
    end();
}
END_TEST

START_TEST(timers_of_one_tick_fire_in_the_order_in_which_they_were_armed)
{
    begin(0, 20);
    for (int i = 0; i < 20; i++)
        arm(&alarms[(i * 3) % 20], 100 * TICK_NS - i);
    advance(100 * TICK_NS);
    for (int i = 0; i < 20; i++)
        ck_assert_ptr_eq(fired[i], &alarms[(i * 3) % 20]);
    end();
}
END_TEST

START_TEST(a_deadline_that_has_passed_fires_at_the_next_tick)
{
    begin(1000 * TICK_NS + 77, 4);
    arm(&alarms[0], 0);
    arm(&alarms[1], now_ns);
    arm(&alarms[2], now_ns - 500 * TICK_NS);
    arm(&alarms[3], 1000 * TICK_NS);
    check_next();
    advance(now_ns); /* the same moment: not yet, or one could wake oneself for ever */
    ck_assert_uint_eq(fired_count, 0);
    advance(1001 * TICK_NS);
    ck_assert_uint_eq(fired_count, 4);
    end();
}
END_TEST

START_TEST(a_deadline_before_the_beginning_of_time_has_passed)
{
    begin(TICK_NS, 3);
    arm(&alarms[0], -1);
    arm(&alarms[1], -5 * TICK_NS - 3);
    arm(&alarms[2], INT64_MIN);
    advance(2 * TICK_NS);
    ck_assert_uint_eq(fired_count, 3);
    end();
}
END_TEST

START_TEST(the_farthest_deadlines_never_fire_and_can_be_disarmed)
{
    begin(RILL_SECOND, 3);
    arm(&alarms[0], INT64_MAX);
    arm(&alarms[1], INT64_MAX - TICK_NS);
    arm(&alarms[2], INT64_MAX - 1);
    for (int64_t to_ns = 2 * RILL_SECOND; to_ns < INT64_MAX / 2; to_ns *= 2) {
        check_next();
        ck_assert_int_gt(rill_wheel_next(&wheel), now_ns);
        advance(to_ns);
        ck_assert_uint_eq(fired_count, 0);
    }
    end();
}
END_TEST

START_TEST(a_timer_disarmed_before_its_tick_does_not_fire)
{
    begin(0, 3);
    for (int i = 0; i < 3; i++)
        arm(&alarms[i], 70 * TICK_NS);
    advance(69 * TICK_NS);
    disarm(&alarms[1]);
    disarm(&alarms[1]);
    ck_assert_uint_eq(wheel.armed, 2);
    advance(70 * TICK_NS);
    ck_assert_uint_eq(fired_count, 2);
    ck_assert_ptr_eq(fired[0], &alarms[0]);
    ck_assert_ptr_eq(fired[1], &alarms[2]);
    end();
}
END_TEST

START_TEST(disarming_a_timer_that_has_fired_does_nothing)
{
    begin(0, 2);
    arm(&alarms[0], 10 * TICK_NS);
    arm(&alarms[1], 20 * TICK_NS);
    advance(15 * TICK_NS);
    disarm(&alarms[0]);
    ck_assert_uint_eq(wheel.armed, 1);
    check_next();
    advance(20 * TICK_NS);
    ck_assert_uint_eq(fired_count, 1);
    end();
}
END_TEST

START_TEST(a_timer_armed_again_by_the_task_that_it_wakes_fires_again)
{
    begin(3, 1);
    for (int i = 1; i <= 1000; i++) {
        alarms[0].arms_again = i < 1000;
        if (i == 1)
            arm(&alarms[0], now_ns + 1);
        advance(rill_wheel_next(&wheel));
        ck_assert_uint_eq(fired_count, 1);
        ck_assert_int_eq(now_ns / TICK_NS, i);
    }
    end();
}
END_TEST

START_TEST(slots_left_behind_empty_do_not_confuse_what_comes_later)
{
    begin(0, 2);
    for (int64_t i = 1; i < 5000; i++) {
        /* One that is disarmed leaves its slot marked; the clock passes by. */
        arm(&alarms[0], now_ns + i * 3 * TICK_NS);
        disarm(&alarms[0]);
        arm(&alarms[1], now_ns + 100 * TICK_NS);
        advance(now_ns + (i % 130) * TICK_NS);
        check_next();
        disarm(&alarms[1]);
    }
    end();
}
END_TEST

START_TEST(a_clock_that_goes_back_changes_nothing)
{
    begin(1000 * TICK_NS, 1);
    arm(&alarms[0], 1010 * TICK_NS);
    rill_wheel_advance(&wheel, 500 * TICK_NS);
    ck_assert_uint_eq(wheel.armed, 1);
    check_next();
    advance(1010 * TICK_NS);
    ck_assert_uint_eq(fired_count, 1);
    end();
}
END_TEST

/* A moment around the present or the future, near or far by the same chance. */
static int64_t random_deadline(uint64_t *random)
{
    unsigned bits = (unsigned)rig_random(random, 62);
    int64_t distance_ns = (int64_t)rig_random(random, UINT64_C(1) << bits);

    switch (rig_random(random, 12)) {
    case 0:
        return now_ns - (distance_ns < now_ns ? distance_ns : now_ns);
    case 1:
        return now_ns + 3600 * RILL_SECOND;
    case 2:
        return now_ns + 10 * 365 * 86400 * RILL_SECOND;
    case 3:
        return INT64_MAX - (int64_t)rig_random(random, 3);
    case 4: /* on a border between slots of some level */
        return ((now_ns >> (bits % 50)) + 1) << (bits % 50);
    case 5:
    case 6:
    case 7:
    case 8:
        return now_ns + (int64_t)rig_random(random, 300 * TICK_NS);
    default:
        return now_ns + distance_ns;
    }
}

static int64_t random_moment(uint64_t *random)
{
    int64_t next_ns = rill_wheel_next(&wheel);
    int64_t last_ns = INT64_MAX / 4; /* leaves room for all distances */
    int64_t to_ns;

    switch (rig_random(random, 8)) {
    case 0:
    case 1:
    case 2:
        to_ns = next_ns;
        break;
    case 3:
        to_ns = next_ns - 1;
        break;
    case 4:
        to_ns = now_ns + (int64_t)(rig_random(random, UINT64_C(1) << rig_random(random, 56)));
        break;
    case 5:
        to_ns = ((now_ns / TICK_NS >> 6) + 1) << 6 << RILL_WHEEL_TICK_BITS;
        break;
    default:
        to_ns = now_ns + (int64_t)rig_random(random, 200 * TICK_NS);
        break;
    }
    return to_ns < now_ns || to_ns > last_ns ? now_ns : to_ns;
}

static void run_seed(void)
{
    uint64_t random = seed * 7919 + 1;

    for (int i = 0; i < 10; i++)
        rig_random(&random, 2);
    begin((int64_t)rig_random(&random, UINT64_C(1) << (8 + rig_random(&random, 50))),
          1 + rig_random(&random, seed % 4 == 0 ? TIMERS : 12));
    for (int step = 0; step < 300; step++) {
        struct alarm *alarm = &alarms[rig_random(&random, alarm_count)];

        switch (rig_random(&random, 8)) {
        case 0:
            disarm(alarm);
            break;
        case 1:
        case 2:
            advance(random_moment(&random));
            break;
        case 3:
            alarm->arms_again = true;
            break;
        default:
            if (!alarm->armed)
                arm(alarm, random_deadline(&random));
            break;
        }
        check_next();
    }
    end();
}

/* TEST_SEED=n runs that one alone. */
START_TEST(random_timers_fire_as_in_the_model)
{
    const char *only = getenv("TEST_SEED");
    unsigned seeds = rig_scaled(600);

    if (only) {
        seed = strtoull(only, NULL, 0);
        run_seed();
        return;
    }
    for (seed = 1; seed <= seeds; seed++)
        run_seed();
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_empty_wheel_has_nothing_to_come,
        a_timer_never_fires_early_and_less_than_a_tick_late,
        timers_fire_in_the_order_of_their_ticks_however_far_the_clock_jumps,
        timers_of_one_tick_fire_in_the_order_in_which_they_were_armed,
        a_deadline_that_has_passed_fires_at_the_next_tick,
        a_deadline_before_the_beginning_of_time_has_passed,
        the_farthest_deadlines_never_fire_and_can_be_disarmed,
        a_timer_disarmed_before_its_tick_does_not_fire,
        disarming_a_timer_that_has_fired_does_nothing,
        a_timer_armed_again_by_the_task_that_it_wakes_fires_again,
        slots_left_behind_empty_do_not_confuse_what_comes_later,
        a_clock_that_goes_back_changes_nothing,
        random_timers_fire_as_in_the_model,
    };

    return rig_main("wheel", tests, RIG_COUNT(tests));
}
