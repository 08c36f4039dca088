/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/wheel.h"

#include "runtime/task.h"
#include "runtime/time.h"

enum { SLOT_MASK = RILL_WHEEL_SLOTS - 1 };

/* The first tick that does not lie before deadline_ns. */
static int64_t tick_after(int64_t deadline_ns)
{
    int64_t tick = deadline_ns >> RILL_WHEEL_TICK_BITS;

    return deadline_ns & ((1 << RILL_WHEEL_TICK_BITS) - 1) ? tick + 1 : tick;
}

void rill_wheel_init(struct rill_wheel *wheel, int64_t now_ns)
{
    wheel->tick = now_ns >> RILL_WHEEL_TICK_BITS;
    wheel->soonest = RILL_NEVER;
    wheel->armed = 0;
    for (unsigned level = 0; level < RILL_WHEEL_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < RILL_WHEEL_SLOTS; slot++)
            rill_list_init(&wheel->slots[level][slot]);
    }
}

static int64_t time_of(int64_t tick)
{
    return tick > (RILL_NEVER >> RILL_WHEEL_TICK_BITS) ? RILL_NEVER : tick << RILL_WHEEL_TICK_BITS;
}

/* Puts a timer into the slot of its tick, which lies after the wheel's. */
static void place(struct rill_wheel *wheel, struct rill_timer *timer, int64_t tick)
{
    /* The highest bit in which the two differ decides on the level; all bits
     * above are equal, so the slot is unique within the level. */
    uint64_t differs = (uint64_t)(tick ^ wheel->tick);
    unsigned level = (63 - (unsigned)__builtin_clzll(differs)) / RILL_WHEEL_LEVEL_BITS;
    unsigned slot = (unsigned)(tick >> (level * RILL_WHEEL_LEVEL_BITS)) & SLOT_MASK;

    rill_list_append(&wheel->slots[level][slot], &timer->slot);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void rill_wheel_arm(struct rill_wheel *wheel, struct rill_timer *timer)
{
    int64_t tick = tick_after(timer->deadline_ns);

    if (tick <= wheel->tick)
        tick = wheel->tick + 1; /* in the past: at the next occasion */
    place(wheel, timer, tick);
    wheel->armed++;
    if (tick < wheel->soonest)
        wheel->soonest = tick;
}

/* Finds the slot that the wheel comes to first. The levels are in order of time:
 * whatever lies in a level is due before anything in a higher one. Returns the
 * slot's first tick, or RILL_NEVER. */
static int64_t next_slot(struct rill_wheel *wheel, struct rill_link **slot)
{
    for (unsigned level = 0; level < RILL_WHEEL_LEVELS; level++) {
        while (wheel->occupied[level]) {
            unsigned shift = level * RILL_WHEEL_LEVEL_BITS;
            unsigned first = (unsigned)__builtin_ctzll(wheel->occupied[level]);
            int64_t above = wheel->tick >> (shift + RILL_WHEEL_LEVEL_BITS);

            *slot = &wheel->slots[level][first];
            if (!rill_list_is_empty(*slot))
                return ((above << RILL_WHEEL_LEVEL_BITS) | first) << shift;
            wheel->occupied[level] &= ~(UINT64_C(1) << first);
        }
    }
    return RILL_NEVER;
}

void rill_wheel_advance(struct rill_wheel *wheel, int64_t now_ns)
{
    int64_t now_tick = now_ns >> RILL_WHEEL_TICK_BITS;
    struct rill_link *slot;
    int64_t tick = RILL_NEVER;

    while (wheel->armed > 0 && (tick = next_slot(wheel, &slot)) <= now_tick) {
        struct rill_link due;

        wheel->tick = tick;
        rill_list_take(&due, slot);
        while (!rill_list_is_empty(&due)) {
            struct rill_timer *timer =
                rill_container_of(rill_list_pop(&due), struct rill_timer, slot);
            int64_t timer_tick = tick_after(timer->deadline_ns);

            if (timer_tick > tick) {
                place(wheel, timer, timer_tick);
            } else {
                wheel->armed--;
                rill_task_wake(timer->task);
            }
        }
    }
    if (now_tick > wheel->tick)
        wheel->tick = now_tick;
    wheel->soonest = wheel->armed > 0 ? tick : RILL_NEVER;
}

int64_t rill_wheel_next(struct rill_wheel *wheel)
{
    struct rill_link *slot;
    int64_t next;

    if (wheel->armed == 0)
        return RILL_NEVER;
    next = next_slot(wheel, &slot);
    return time_of(next > wheel->soonest ? next : wheel->soonest);
}
