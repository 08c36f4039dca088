/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c - which bucket a value belongs to, and the way back. */
#include "bench/histogram.h"

#include <string.h>

static unsigned bucket_of(uint64_t value_ns)
{
    if (value_ns < HISTOGRAM_STEPS)
        return (unsigned)value_ns;

    /* Shifted so far, the value keeps its highest bit and STEP_BITS below it. */
    unsigned shift = 63 - (unsigned)__builtin_clzll(value_ns) - HISTOGRAM_STEP_BITS;
    return shift * HISTOGRAM_STEPS + (unsigned)(value_ns >> shift);
}

/* The largest value that belongs to a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
    if (bucket < 2 * HISTOGRAM_STEPS)
        return bucket;

    unsigned shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t step = bucket % HISTOGRAM_STEPS + HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1;
}

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
    histogram_record_times(histogram, value_ns, 1);
}

void histogram_record_times(struct histogram *histogram, uint64_t value_ns, uint64_t times)
{
    if (times == 0)
        return;
    if (value_ns > HISTOGRAM_VALUE_MAX) {
        value_ns = HISTOGRAM_VALUE_MAX;
        histogram->overflow_count += times;
    }
    if (histogram->count == 0 || value_ns < histogram->min_ns)
        histogram->min_ns = value_ns;
    if (value_ns > histogram->max_ns)
        histogram->max_ns = value_ns;
    histogram->count += times;
    histogram->sum_ns += (double)value_ns * (double)times;
    histogram->buckets[bucket_of(value_ns)] += times;
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    if (other->count == 0)
        return;
    if (histogram->count == 0 || other->min_ns < histogram->min_ns)
        histogram->min_ns = other->min_ns;
    if (other->max_ns > histogram->max_ns)
        histogram->max_ns = other->max_ns;
    histogram->count += other->count;
    histogram->overflow_count += other->overflow_count;
    histogram->sum_ns += other->sum_ns;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += other->buckets[i];
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    if (histogram->count == 0)
        return 0;
    if (!(percent > 0))
        return histogram->min_ns;
    if (percent >= 100)
        return histogram->max_ns;

    /* The rank is rounded up: the value sought is the first one with at least
     * percent of all values at or below it. What the arithmetic errs by must not
     * count as a part of a rank: 7 % of 100 values are 7, not 7.000000000000001. */
    double exact = percent / 100 * (double)histogram->count * (1 - 1e-14);
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0)
        rank++;

    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t value_ns = bucket_top(i);
            return value_ns < histogram->max_ns ? value_ns : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}

uint64_t histogram_min(const struct histogram *histogram)
{
    return histogram->min_ns;
}

uint64_t histogram_max(const struct histogram *histogram)
{
    return histogram->max_ns;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum_ns / (double)histogram->count;
}
