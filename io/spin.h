/* SPDX-License-Identifier: Apache-2.0 */
/* spin.h - how long adaptive waiting looks out before it sleeps.
 *
 * Looking out pays where what is awaited comes soon, and is a core's time for nothing
 * where it does not. What comes next is taken to be like what came before: each wait that a
 * longer look-out would have spared its sleep doubles the time, up to the user's, and each that
 * lasted longer than the user's halves it, down to none. So the reactor looks out where more
 * than half of its waits are short enough, and a server that is asked now and then sleeps at
 * once. The guest of a virtual machine polls so before it halts
 * (drivers/cpuidle/governors/haltpoll.c in Linux). */
#ifndef RILL_IO_SPIN_H
#define RILL_IO_SPIN_H

#include <stdint.h>

/* Of so many halves nothing is left. */
enum { RILL_SPIN_HALVINGS_MAX = 5 };

/* A zeroed one never looks out. It begins with all of max_ns. */
struct rill_spin {
    int64_t max_ns; /* the user's */

    /* private */
    unsigned halvings;
};

/* For how many nanoseconds to look out now. */
static inline int64_t rill_spin_ns(const struct rill_spin *spin)
{
    return spin->halvings < RILL_SPIN_HALVINGS_MAX ? spin->max_ns >> spin->halvings : 0;
}

/* Learns from a wait in which looking out found nothing, or that began without. */
static inline void rill_spin_learn(struct rill_spin *spin, int64_t waited_ns)
{
    if (waited_ns > spin->max_ns)
        spin->halvings += spin->halvings < RILL_SPIN_HALVINGS_MAX;
    else
        spin->halvings -= spin->halvings > 0;
}

#endif
