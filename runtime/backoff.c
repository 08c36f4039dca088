/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/backoff.h"

#include "runtime/panic.h"

void rill_backoff_init(struct rill_backoff *backoff, int64_t first_ns, int64_t max_ns,
                       uint64_t *random)
{
    rill_check(first_ns > 0 && first_ns <= max_ns,
               "a back-off from %lld to %lld ns: want 0 < first <= max", (long long)first_ns,
               (long long)max_ns);
    backoff->bound_ns = first_ns;
    backoff->first_ns = first_ns;
    backoff->max_ns = max_ns;
    backoff->random = random;
}

/* SplitMix64 (Steele, Lea and Flood, 2014): any seed does, zero too. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

int64_t rill_backoff_next(struct rill_backoff *backoff)
{
    int64_t bound_ns = backoff->bound_ns;

    backoff->bound_ns = bound_ns <= backoff->max_ns / 2 ? bound_ns * 2 : backoff->max_ns;
    return (int64_t)(next_random(backoff->random) % ((uint64_t)bound_ns + 1));
}
