/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/backoff.h"

#include "runtime/panic.h"
#include "runtime/random.h"

void rill_backoff_init(struct rill_backoff *backoff, int64_t first_ns, int64_t max_ns)
{
    rill_check(first_ns > 0 && first_ns <= max_ns,
               "a back-off from %lld to %lld ns: want 0 < first <= max", (long long)first_ns,
               (long long)max_ns);
    backoff->bound_ns = first_ns;
    backoff->first_ns = first_ns;
    backoff->max_ns = max_ns;
}

int64_t rill_backoff_next(struct rill_backoff *backoff)
{
    int64_t bound_ns = backoff->bound_ns;

    backoff->bound_ns = bound_ns <= backoff->max_ns / 2 ? bound_ns * 2 : backoff->max_ns;
    return (int64_t)(rill_random() % ((uint64_t)bound_ns + 1));
}
