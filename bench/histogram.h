/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h - counts latencies in log-linear buckets of fixed memory.
 *
 * Values are nanoseconds. Below HISTOGRAM_STEPS each value has a bucket of its
 * own; above, every power of two is cut into HISTOGRAM_STEPS equal buckets. So
 * a percentile is never below the true value and at most 1/128 (0.8 %) above
 * it, from 1 ns to more than an hour, and recording is a shift and an add. */
#ifndef RILL_BENCH_HISTOGRAM_H
#define RILL_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 7
#define HISTOGRAM_STEPS (1u << HISTOGRAM_STEP_BITS)

/* Values have at most this many bits: 2^42 ns are 73 minutes. */
#define HISTOGRAM_VALUE_BITS 42
#define HISTOGRAM_VALUE_MAX ((UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1)

#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) * HISTOGRAM_STEPS)

/* 36 KiB. The buckets add up to count; overflows are in the last bucket. A
 * zeroed histogram is an empty one. */
struct histogram {
    /* How many values were recorded, and how many of them were above
     * HISTOGRAM_VALUE_MAX and taken for it. */
    uint64_t count;
    uint64_t overflow_count;

    /* private */
    uint64_t min_ns;
    uint64_t max_ns;
    double sum_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Makes histogram empty. */
void histogram_reset(struct histogram *histogram);

/* Counts one value. A value above HISTOGRAM_VALUE_MAX counts as
 * HISTOGRAM_VALUE_MAX, and in overflow_count. Constant time, no allocation. */
void histogram_record(struct histogram *histogram, uint64_t value_ns);

/* The same as recording a value so many times. */
void histogram_record_times(struct histogram *histogram, uint64_t value_ns, uint64_t times);

/* Adds everything that other counted to histogram. Borrows other for the call. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* Returns the value in nanoseconds that percent (0 to 100) of the values do not
 * exceed: 50 is the median, 0 the minimum, 100 the maximum, both exact. 0 when
 * empty. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* The smallest value, the largest value and the mean, in nanoseconds, exact but
 * for overflows. 0 when empty. */
uint64_t histogram_min(const struct histogram *histogram);
uint64_t histogram_max(const struct histogram *histogram);
double histogram_mean(const struct histogram *histogram);

#endif
