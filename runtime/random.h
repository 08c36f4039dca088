/* SPDX-License-Identifier: Apache-2.0 */
/* random.h - random numbers, for what many would otherwise do at the same moment or in the
 * same order: pauses before attempts, ids, the choice of a server. Not for keys: who has seen
 * one number can compute the next.
 *
 *     const struct server *server = &servers[rill_random() % count];
 *
 * Each runtime has a generator of its own, which the kernel seeds. */
#ifndef RILL_RUNTIME_RANDOM_H
#define RILL_RUNTIME_RANDOM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the next number of this thread's runtime, any of 2^64. Panics where there is no
 * runtime. No system call. SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom
 * number generators", 2014. */
uint64_t rill_random(void);

/* Begins the numbers that belong to seed, which may be any, in this thread's runtime: a test
 * that does so is the same every time. */
void rill_random_seed(uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
