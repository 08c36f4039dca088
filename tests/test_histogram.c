/* SPDX-License-Identifier: Apache-2.0 */
/* test_histogram.c - percentiles are right within the promised error, extremes exactly. */
#include "bench/histogram.h"

#include "tests/limit.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 20000 };

static struct histogram histogram, other;
static uint64_t values[VALUES];
static uint64_t random_state;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Values of every order of magnitude are equally likely. */
static uint64_t random_value(void)
{
    return (random_bits() & HISTOGRAM_VALUE_MAX) >> random_bits() % HISTOGRAM_VALUE_BITS;
}

static int compare(const void *one, const void *another)
{
    const uint64_t *a = one, *b = another;

    return *a < *b ? -1 : *a > *b;
}

/* The smallest value that so many thousandths of a percent of the sorted ones do not
 * exceed. */
static uint64_t true_percentile(unsigned thousandths, size_t count)
{
    size_t rank = (thousandths * count + 99999) / 100000;

    return values[rank > 0 ? rank - 1 : 0];
}

START_TEST(an_empty_histogram_answers_with_zeros)
{
    histogram_reset(&histogram);
    ck_assert_uint_eq(histogram.count, 0);
    ck_assert_uint_eq(histogram_percentile(&histogram, 50), 0);
    ck_assert_uint_eq(histogram_percentile(&histogram, 100), 0);
    ck_assert_uint_eq(histogram_min(&histogram), 0);
    ck_assert_uint_eq(histogram_max(&histogram), 0);
    ck_assert_double_eq(histogram_mean(&histogram), 0);
}
END_TEST

START_TEST(a_zeroed_histogram_is_an_empty_one)
{
    memset(&histogram, 0, sizeof histogram);
    histogram_record(&histogram, 5);
    ck_assert_uint_eq(histogram_min(&histogram), 5);
    ck_assert_uint_eq(histogram_max(&histogram), 5);
}
END_TEST

START_TEST(a_single_value_is_every_percentile)
{
    const uint64_t single[] = {0, 1, 127, 128, 129, 255, 256, 1000003, HISTOGRAM_VALUE_MAX};

    histogram_reset(&histogram);
    histogram_record(&histogram, single[_i]);
    for (int half = 0; half <= 200; half++)
        ck_assert_uint_eq(histogram_percentile(&histogram, half / 2.0), single[_i]);
    ck_assert_uint_eq(histogram_min(&histogram), single[_i]);
    ck_assert_uint_eq(histogram_max(&histogram), single[_i]);
    ck_assert_double_eq(histogram_mean(&histogram), (double)single[_i]);
}
END_TEST

START_TEST(a_percentile_is_never_below_the_true_value_and_at_most_a_128th_above)
{
    const unsigned thousandths[] = {1,     100,   1000,  7000,  10000, 29000, 50000,
                                    57000, 90000, 99000, 99900, 99990, 99999};
    double sum = 0;

    random_state = 88172645463325252 + (uint64_t)_i;
    histogram_reset(&histogram);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = random_value();
        sum += (double)values[i];
        histogram_record(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof *values, compare);
    for (size_t i = 0; i < sizeof thousandths / sizeof thousandths[0]; i++) {
        uint64_t right = true_percentile(thousandths[i], VALUES);
        uint64_t told = histogram_percentile(&histogram, thousandths[i] / 1e3);

        ck_assert_uint_ge(told, right);
        ck_assert_uint_le(told, right + right / 128);
    }
    ck_assert_uint_eq(histogram_min(&histogram), values[0]);
    ck_assert_uint_eq(histogram_percentile(&histogram, 0), values[0]);
    ck_assert_uint_eq(histogram_max(&histogram), values[VALUES - 1]);
    ck_assert_uint_eq(histogram_percentile(&histogram, 100), values[VALUES - 1]);
    ck_assert_double_eq_tol(histogram_mean(&histogram), sum / VALUES, sum / VALUES * 1e-9);
    ck_assert_uint_eq(histogram.count, VALUES);
    ck_assert_uint_eq(histogram.overflow_count, 0);
}
END_TEST

START_TEST(values_around_every_power_of_two_are_within_the_error)
{
    for (unsigned bit = 0; bit < HISTOGRAM_VALUE_BITS; bit++) {
        for (int64_t around = -1; around <= 1; around++) {
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)around;

            /* A value above keeps the maximum from standing in for the bucket. */
            histogram_reset(&histogram);
            histogram_record(&histogram, value);
            histogram_record(&histogram, HISTOGRAM_VALUE_MAX);
            ck_assert_uint_ge(histogram_percentile(&histogram, 50), value);
            ck_assert_uint_le(histogram_percentile(&histogram, 50), value + value / 128);
        }
    }
}
END_TEST

START_TEST(ranks_are_those_of_the_sorted_values)
{
    histogram_reset(&histogram);
    for (uint64_t value = 1; value <= 100; value++) /* each has a bucket of its own */
        histogram_record(&histogram, value);
    for (unsigned percent = 1; percent <= 100; percent++)
        ck_assert_uint_eq(histogram_percentile(&histogram, percent), percent);
    ck_assert_uint_eq(histogram_percentile(&histogram, 0.5), 1);
    ck_assert_uint_eq(histogram_percentile(&histogram, 50.5), 51);
    ck_assert_uint_eq(histogram_percentile(&histogram, 99.9), 100);
}
END_TEST

START_TEST(percents_outside_0_to_100_are_the_extremes)
{
    histogram_reset(&histogram);
    histogram_record(&histogram, 10);
    histogram_record(&histogram, 20);
    ck_assert_uint_eq(histogram_percentile(&histogram, -1), 10);
    ck_assert_uint_eq(histogram_percentile(&histogram, 101), 20);
    ck_assert_uint_eq(histogram_percentile(&histogram, (double)NAN), 10);
}
END_TEST

START_TEST(a_value_that_is_too_large_counts_as_the_largest_and_is_counted)
{
    histogram_reset(&histogram);
    histogram_record(&histogram, HISTOGRAM_VALUE_MAX);
    ck_assert_uint_eq(histogram.overflow_count, 0);
    histogram_record(&histogram, HISTOGRAM_VALUE_MAX + 1);
    histogram_record(&histogram, UINT64_MAX);
    ck_assert_uint_eq(histogram.count, 3);
    ck_assert_uint_eq(histogram.overflow_count, 2);
    ck_assert_uint_eq(histogram_max(&histogram), HISTOGRAM_VALUE_MAX);
    ck_assert_uint_eq(histogram_percentile(&histogram, 99), HISTOGRAM_VALUE_MAX);
}
END_TEST

/* Sums of the same values in another order differ by a little. */
static void expect_same(void)
{
    ck_assert_uint_eq(other.count, histogram.count);
    ck_assert_uint_eq(other.overflow_count, histogram.overflow_count);
    ck_assert_uint_eq(histogram_min(&other), histogram_min(&histogram));
    ck_assert_uint_eq(histogram_max(&other), histogram_max(&histogram));
    ck_assert_double_eq_tol(histogram_mean(&other), histogram_mean(&histogram),
                            histogram_mean(&histogram) * 1e-9);
    ck_assert_int_eq(memcmp(other.buckets, histogram.buckets, sizeof other.buckets), 0);
}

START_TEST(recording_a_value_several_times_at_once_is_the_same_as_one_by_one)
{
    random_state = 7;
    histogram_reset(&histogram);
    histogram_reset(&other);
    for (uint64_t times = 0; times < 100; times++) {
        uint64_t value = random_value() + (times % 10 == 3 ? HISTOGRAM_VALUE_MAX : 0);

        histogram_record_times(&histogram, value, times);
        for (uint64_t i = 0; i < times; i++)
            histogram_record(&other, value);
    }
    expect_same();
}
END_TEST

START_TEST(merging_is_the_same_as_recording_into_one)
{
    static struct histogram parts[3];

    random_state = 42;
    histogram_reset(&histogram);
    for (size_t i = 0; i < VALUES; i++) {
        uint64_t value = random_value() + (i % 100 == 0 ? HISTOGRAM_VALUE_MAX : 0);

        histogram_record(&histogram, value);
        histogram_record(&parts[i % 3], value);
    }
    histogram_reset(&other);
    for (int i = 0; i < 3; i++)
        histogram_merge(&other, &parts[i]);
    expect_same();
}
END_TEST

START_TEST(merging_an_empty_histogram_changes_nothing)
{
    histogram_reset(&histogram);
    histogram_reset(&other);
    histogram_merge(&histogram, &other);
    ck_assert_uint_eq(histogram.count, 0);
    ck_assert_uint_eq(histogram_min(&histogram), 0);

    histogram_record(&histogram, 7);
    histogram_merge(&histogram, &other);
    ck_assert_uint_eq(histogram_min(&histogram), 7);

    histogram_merge(&other, &histogram);
    ck_assert_uint_eq(histogram_min(&other), 7);
    ck_assert_uint_eq(other.count, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("histogram");
    TCase *tcase = tcase_create("histogram");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase, an_empty_histogram_answers_with_zeros);
    tcase_add_test(tcase, a_zeroed_histogram_is_an_empty_one);
    tcase_add_loop_test(tcase, a_single_value_is_every_percentile, 0, 9);
    tcase_add_loop_test(tcase, a_percentile_is_never_below_the_true_value_and_at_most_a_128th_above,
                        0, 5);
    tcase_add_test(tcase, values_around_every_power_of_two_are_within_the_error);
    tcase_add_test(tcase, ranks_are_those_of_the_sorted_values);
    tcase_add_test(tcase, percents_outside_0_to_100_are_the_extremes);
    tcase_add_test(tcase, a_value_that_is_too_large_counts_as_the_largest_and_is_counted);
    tcase_add_test(tcase, recording_a_value_several_times_at_once_is_the_same_as_one_by_one);
    tcase_add_test(tcase, merging_is_the_same_as_recording_into_one);
    tcase_add_test(tcase, merging_an_empty_histogram_changes_nothing);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
