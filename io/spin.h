/* SPDX-License-Identifier: Apache-2.0 */
/* spin.h - how long adaptive waiting looks out before it sleeps.
 *
 * Looking out pays where what is awaited comes soon, and is a core's time for nothing
 * where it does not. What comes next is taken to be like what came before: the reactor looks
 * out where more than half of its waits were short enough for that, and a server that is asked
 * now and then sleeps at once.
 *
 * How long a wait would have been, a sleeper does not know. It is told of the end only once its
 * processor is awake, which takes tens of microseconds on a virtual machine, often longer than the
 * wait. And who is awaited may need the very processor: then he is soon done when the reactor
 * sleeps, and never while it looks out. So where a sleep was short, or too long by no more than a
 * slow waking up, the reactor looks out now and then, as a trial, and only those that find
 * something have it do so again. Without trials who has begun to sleep would go on for ever,
 * however soon its answers came, just where a sleep costs most.
 *
 * It looks out for the whole time or not at all: half of it would find nothing where a little more
 * is needed, and then be taken for a reason to sleep. The guest of a virtual machine, which knows
 * the lengths of its waits, lets the time grow and shrink (drivers/cpuidle/governors/haltpoll.c
 * in Linux). */
#ifndef RILL_IO_SPIN_H
#define RILL_IO_SPIN_H

#include <stdint.h>

enum {
    /* So many more waits that were too long than such as were short: then it sleeps at once. */
    RILL_SPIN_MISSES_MAX = 5,
    /* Sleeps that may have been short before a trial: one, and twice as many after each that found
     * nothing, as often as this. */
    RILL_SPIN_DOUBLINGS_MAX = 5,
    /* The waking up that is allowed for. */
    RILL_SPIN_WAKE_UP_NS = 200000,
};

/* A zeroed one never looks out. It begins with looking out. */
struct rill_spin {
    int64_t max_ns; /* the user's */

    /* private */
    uint8_t misses;    /* how many more were too long, RILL_SPIN_MISSES_MAX at the most */
    uint8_t doublings; /* of the sleeps before a trial */
    uint8_t rest;      /* how many of them are left */
};

/* For how many nanoseconds to look out now. */
static inline int64_t rill_spin_ns(const struct rill_spin *spin)
{
    return spin->misses < RILL_SPIN_MISSES_MAX || spin->rest == 0 ? spin->max_ns : 0;
}

/* Learns that looking out found what was awaited, and not at the first look: what was there by then
 * would have ended a sleep at once. */
static inline void rill_spin_hit(struct rill_spin *spin)
{
    if (spin->misses == 0)
        return;
    if (spin->misses == RILL_SPIN_MISSES_MAX && spin->doublings > 0)
        spin->doublings--;
    spin->misses--;
}

/* Learns that looking out for the whole time found nothing. */
static inline void rill_spin_missed(struct rill_spin *spin)
{
    if (spin->misses < RILL_SPIN_MISSES_MAX)
        spin->misses++;
    else if (spin->doublings < RILL_SPIN_DOUBLINGS_MAX)
        spin->doublings++;
    spin->rest = (uint8_t)(1 << spin->doublings);
}

/* Learns from a sleep without looking out, after which so much time had passed. */
static inline void rill_spin_slept(struct rill_spin *spin, int64_t waited_ns)
{
    if (waited_ns - spin->max_ns <= RILL_SPIN_WAKE_UP_NS && spin->rest > 0)
        spin->rest--;
}

#endif
