/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pause.h"

#include "runtime/executor.h"

static const int64_t first_ns = 1 * RILL_MILLISECOND;
static const int64_t max_ns = 1 * RILL_SECOND;

void rill_pause_begin(struct rill_pause *pause)
{
    pause->length_ns = pause->length_ns ? 2 * pause->length_ns : first_ns;
    if (pause->length_ns > max_ns)
        pause->length_ns = max_ns;
    pause->end_ns = rill_now() + pause->length_ns;
}
