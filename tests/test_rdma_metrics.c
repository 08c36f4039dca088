/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_metrics.c - latencies are counted in the right bucket, and percentiles come out. */
#include "rdma/metrics.h"

#include "tests/fixture.h"

static struct rill_rdma_metrics metrics;

/* The bucket that counts a latency, found by counting it. */
static int bucket_of(int64_t ns)
{
    metrics = (struct rill_rdma_metrics){0};
    rill_rdma_metrics_latency(&metrics, ns);
    for (int i = 0; i < RILL_RDMA_LATENCY_BUCKETS; i++)
        if (metrics.send_latency[i])
            return i;
    return -1;
}

START_TEST(a_bucket_begins_where_the_one_before_it_ends)
{
    expect_eq(bucket_of(-1), 0);
    expect_eq(bucket_of(0), 0);
    expect_eq(bucket_of(255), 0);
    for (int i = 1; i < RILL_RDMA_LATENCY_BUCKETS; i++) {
        int64_t first = INT64_C(1) << (i + RILL_RDMA_LATENCY_FIRST_BITS - 1);

        expect_eq(bucket_of(first - 1), i - 1);
        expect_eq(bucket_of(first), i);
    }
    expect_eq(bucket_of(INT64_MAX), RILL_RDMA_LATENCY_BUCKETS - 1);
}
END_TEST

START_TEST(a_percentile_is_the_end_of_the_bucket_that_it_lies_in)
{
    metrics = (struct rill_rdma_metrics){0};
    expect_eq(rill_rdma_metrics_percentile(&metrics, 50), 0);
    for (int i = 0; i < 99; i++)
        rill_rdma_metrics_latency(&metrics, 1000);
    rill_rdma_metrics_latency(&metrics, 5000);
    expect_eq(rill_rdma_metrics_percentile(&metrics, 0), 1024);
    expect_eq(rill_rdma_metrics_percentile(&metrics, 99), 1024);
    expect_eq(rill_rdma_metrics_percentile(&metrics, 99.5), 8192);
    expect_eq(rill_rdma_metrics_percentile(&metrics, 100), 8192);
}
END_TEST

START_TEST(what_two_have_counted_is_added)
{
    struct rill_rdma_metrics other = {.messages_sent = 1, .bytes_received = 2, .failures = 3};

    metrics = (struct rill_rdma_metrics){.messages_sent = 10, .bytes_received = 20, .failures = 30};
    rill_rdma_metrics_latency(&metrics, 1);
    rill_rdma_metrics_latency(&other, 1);
    rill_rdma_metrics_add(&metrics, &other);
    expect_eq(metrics.messages_sent, 11);
    expect_eq(metrics.bytes_received, 22);
    expect_eq(metrics.failures, 33);
    expect_eq(metrics.send_latency[0], 2);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_bucket_begins_where_the_one_before_it_ends, IN_SIMULATED},
        {a_percentile_is_the_end_of_the_bucket_that_it_lies_in, IN_SIMULATED},
        {what_two_have_counted_is_added, IN_SIMULATED},
    };

    return fixture_main("rdma metrics", cases, sizeof cases / sizeof *cases);
}
