/* SPDX-License-Identifier: Apache-2.0 */
/* wheel.h - a hierarchical timer wheel: arming and disarming in constant time.
 *
 * Time is counted in ticks of 2^14 ns (16 us). Level 0 has a slot for each tick of
 * the block of 64, aligned, in which the wheel stands; level 1 one for each such block
 * in the block of 64 * 64 around it, and so on: a timer lies in the level of the
 * highest group of six bits in which its tick differs from the wheel's. When the
 * wheel comes to a slot of a higher level it spreads the timers there over the
 * levels below. A bit map a level names the slots in use. Those behind the wheel are
 * empty, so the lowest bit is the level's next event, found without walking.
 *
 * G. Varghese, T. Lauck: Hashed and Hierarchical Timing Wheels, SOSP 1987. */
#ifndef RILL_RUNTIME_WHEEL_H
#define RILL_RUNTIME_WHEEL_H

#include "runtime/list.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_task;

enum {
    RILL_WHEEL_TICK_BITS = 14,
    RILL_WHEEL_LEVEL_BITS = 6,
    RILL_WHEEL_SLOTS = 1 << RILL_WHEEL_LEVEL_BITS,
    RILL_WHEEL_LEVELS = 9, /* together more ticks than an int64_t of nanoseconds has */
};

/* A moment at which a task is to be woken. Embedded in the future that waits. */
struct rill_timer {
    struct rill_link slot;  /* rill_wheel.slots; linked while armed */
    int64_t deadline_ns;    /* on the monotonic clock */
    struct rill_task *task; /* borrowed while armed */
};

/* Invariant: a slot that holds a timer has its bit set in occupied. (The bit of
 * an empty slot may be set too: it is cleared when the wheel comes to look.) */
struct rill_wheel {
    /* private */
    int64_t tick;    /* the time that the wheel has come to */
    int64_t soonest; /* a tick before which no timer is due */
    size_t armed;
    uint64_t occupied[RILL_WHEEL_LEVELS];
    struct rill_link slots[RILL_WHEEL_LEVELS][RILL_WHEEL_SLOTS]; /* of rill_timer.slot */
};

/* Makes an empty wheel that stands at now_ns. */
void rill_wheel_init(struct rill_wheel *wheel, int64_t now_ns);

/* Arms a timer, whose deadline and task are set and which is not armed. Borrows
 * it until it fires or is disarmed. It never fires before its deadline, and less
 * than a tick after it if the wheel is moved on in time. */
void rill_wheel_arm(struct rill_wheel *wheel, struct rill_timer *timer);

/* Disarms a timer; does nothing if it is not armed. */
static inline void rill_wheel_disarm(struct rill_wheel *wheel, struct rill_timer *timer)
{
    if (!rill_link_is_linked(&timer->slot))
        return;
    rill_link_remove(&timer->slot);
    wheel->armed--;
}

/* Moves the wheel on to now_ns, disarming the timers whose time has come, in the
 * order of their ticks, and waking their tasks. */
void rill_wheel_advance(struct rill_wheel *wheel, int64_t now_ns);

/* Whether moving the wheel on to now_ns might find a timer: what is quick to tell. */
static inline bool rill_wheel_may_be_due(const struct rill_wheel *wheel, int64_t now_ns)
{
    return now_ns >> RILL_WHEEL_TICK_BITS >= wheel->soonest;
}

/* Returns when the wheel has to be moved on next: no later than the earliest
 * deadline's tick, RILL_NEVER where nothing is armed. */
int64_t rill_wheel_next(struct rill_wheel *wheel);

#ifdef __cplusplus
}
#endif
#endif
