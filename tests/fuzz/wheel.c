/* SPDX-License-Identifier: Apache-2.0 */
/* wheel.c - timers are armed, disarmed and fire, beside a model that is a list of deadlines. */
#include "runtime/wheel.h"

#include "runtime/time.h"
#include "tests/fuzz/input.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <string.h>

enum { TIMERS = 12 };

static struct rill_wheel wheel;
static struct rill_timer timers[TIMERS];
static bool is_armed[TIMERS];
static int64_t due[TIMERS]; /* ticks */
static int64_t now_ns;

/* Bits of any height: every level of the wheel has its timers. */
static int64_t draw_time(struct input *input, int64_t from_ns)
{
    int64_t by_ns = (int64_t)(input_extreme(input) >> 1 & INT64_MAX);

    return by_ns > INT64_MAX - from_ns ? INT64_MAX : from_ns + by_ns;
}

static int64_t tick_of(int64_t time_ns)
{
    return time_ns >> RILL_WHEEL_TICK_BITS;
}

/* The tick with which a deadline comes; the next one, where that is over. */
static int64_t due_tick(int64_t deadline_ns)
{
    int64_t tick = tick_of(deadline_ns) + (deadline_ns % (1 << RILL_WHEEL_TICK_BITS) > 0);

    return tick > tick_of(now_ns) ? tick : tick_of(now_ns) + 1;
}

static void check(void)
{
    int64_t soonest = INT64_MAX;
    size_t count = 0;

    for (int i = 0; i < TIMERS; i++) {
        bool is_linked = rill_link_is_linked(&timers[i].slot);

        ck_assert(is_armed[i] || !is_linked);
        if (!is_armed[i])
            continue;
        ck_assert(is_linked == (due[i] > tick_of(now_ns)));
        is_armed[i] = is_linked;
        count += is_linked;
        if (is_linked && due[i] < soonest)
            soonest = due[i];
    }
    ck_assert_uint_eq(wheel.armed, count);
    if (count == 0)
        ck_assert_int_eq(rill_wheel_next(&wheel), RILL_NEVER);
    else if (soonest < tick_of(INT64_MAX))
        ck_assert_int_le(tick_of(rill_wheel_next(&wheel)), soonest);
}

static void step(struct input *input, struct rill_task *task)
{
    uint64_t i = input_below(input, TIMERS);

    switch (input_below(input, 4)) {
    case 0:
    case 1:
        if (is_armed[i])
            break;
        timers[i].deadline_ns =
            input_byte(input) % 8 ? draw_time(input, now_ns) : (int64_t)(input_extreme(input) >> 1);
        timers[i].task = task;
        due[i] = due_tick(timers[i].deadline_ns);
        rill_wheel_arm(&wheel, &timers[i]);
        is_armed[i] = true;
        break;
    case 2:
        rill_wheel_disarm(&wheel, &timers[i]);
        is_armed[i] = false;
        break;
    default:
        if (input_byte(input) % 2) {
            int64_t next_ns = rill_wheel_next(&wheel);

            if (next_ns != RILL_NEVER && next_ns > now_ns)
                now_ns = next_ns;
        } else {
            now_ns = draw_time(input, now_ns);
        }
        rill_wheel_advance(&wheel, now_ns);
        break;
    }
    check();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};
    struct runner woken = {.polls = 0};
    struct latch latch = {.polls = 0};

    memset(timers, 0, sizeof timers);
    memset(is_armed, 0, sizeof is_armed);
    rig_start();
    runner_start(&woken, latch_wait(&latch), NULL);
    now_ns = (int64_t)(input_extreme(&input) >> 1);
    rill_wheel_init(&wheel, now_ns);
    while (input_has(&input))
        step(&input, &woken.task);
    latch_open(&latch, 0);
    rig_finish(&woken.task);
    rig_end();
    return 0;
}
