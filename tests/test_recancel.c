/* SPDX-License-Identifier: Apache-2.0 */
/* test_recancel.c - a cancel that the kernel does not carry out is repeated, for as long as it
 * takes and no more often than need be. */
#include "io/file.h"
#include "io/recancel.h"
#include "tests/fixture.h"

#include <errno.h>

/* A read that waits until something is counted. */
static struct rill_file counter;
static struct rill_op op;
static struct background reading;
static uint64_t value;

static struct rill_reactor *reactor(void)
{
    return &fixture.runtime->reactor;
}

static bool open_world(const struct sim_options *options)
{
    if (!fixture_open(SIMULATED, options, NULL))
        return false;
    rill_file_adopt(&counter, sim_counter_create(fixture.sim));
    return true;
}

static void close_world(void)
{
    expect_eq(await(rill_file_close(&counter)), 0);
    fixture_close();
}

static void pause_for(int64_t ns)
{
    struct rill_sleep sleep;

    expect_eq(await(rill_sleep(&sleep, ns)), 0);
}

static void read_and_cancel(void)
{
    background_start(&reading, rill_file_read(&counter, &op, &value, sizeof value));
    settle();
    rill_task_cancel(&reading.task);
}

static void end_well(void)
{
    sim_counter_add(fixture.sim, counter.fd, 1);
    expect_eq(background_end(&reading), sizeof value);
}

/* The end that nothing but a repeated cancel brings. */
START_TEST(a_cancel_that_misses_is_repeated_until_it_does_not)
{
    uint64_t first, count;

    fixture_seeds(100, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = {.seed = seed, .cancel_missed_per_mille = 800};

        fixture.seed = seed;
        fixture.seeded = true;
        if (!open_world(&options))
            return;
        read_and_cancel();
        expect_eq(background_end(&reading), -ECANCELED);
        close_world();
    }
}
END_TEST

/* As one that reads from a disk which does not answer: a cancel changes nothing. */
START_TEST(a_target_that_goes_on_is_cancelled_ten_times_a_second_and_ends_with_its_result)
{
    const struct sim_options options = {.cancel_missed_per_mille = 1000};
    uint64_t cancels;

    if (!open_world(&options))
        return;
    read_and_cancel();
    pause_for(RILL_SECOND);
    cancels = reactor()->stats.cancels;
    ck_assert_uint_le(cancels, 25); /* the first ones come faster */
    pause_for(100 * RILL_SECOND);
    cancels = reactor()->stats.cancels - cancels;
    ck_assert_uint_ge(cancels, 100 * RILL_SECOND / RILL_RECANCEL_MAX_NS - 10);
    ck_assert_uint_le(cancels, 100 * RILL_SECOND / RILL_RECANCEL_MAX_NS);
    end_well();
    close_world();
}
END_TEST

START_TEST(nothing_is_repeated_when_the_target_has_ended)
{
    const struct sim_options options = {.cancel_missed_per_mille = 1000};
    uint64_t submissions, cancels;

    if (!open_world(&options))
        return;
    read_and_cancel();
    pause_for(RILL_SECOND);
    end_well();
    settle(); /* the timeout that is in the ring ends, and is not renewed */
    cancels = reactor()->stats.cancels;
    submissions = reactor()->stats.submissions;
    pause_for(100 * RILL_SECOND);
    ck_assert_uint_eq(reactor()->stats.cancels, cancels);
    ck_assert_uint_eq(reactor()->stats.submissions, submissions);
    ck_assert_uint_eq(sim_ops_in_flight(fixture.sim), 0);
    close_world();
}
END_TEST

/* A target that ends a little after its cancel was answered is the rule on a kernel's thread:
 * many of them in a row must not slow down the one that is missed then. */
START_TEST(the_pause_is_short_again_for_the_next_one)
{
    const struct sim_options options = {
        .seed = 1,
        .cancel_lost_per_mille = 1000,
        .delay_max_ns = RILL_RECANCEL_FIRST_NS / 2,
    };

    if (!open_world(&options))
        return;
    for (int i = 0; i < 30; i++) {
        read_and_cancel();
        ck_assert_int_eq(background_end(&reading), -ECANCELED);
        pause_for(RILL_RECANCEL_MAX_NS);
        ck_assert_int_eq(reactor()->recancel.timeout.tv_nsec, RILL_RECANCEL_FIRST_NS);
    }
    close_world();
}
END_TEST

/* It ended on its own after the cancel was repeated, and before that was answered. */
START_TEST(the_pause_is_short_again_after_a_target_that_was_not_there_any_more)
{
    struct rill_recancel recancel;
    struct rill_link again;

    (void)_i;
    rill_list_init(&again);
    rill_recancel_init(&recancel);
    rill_recancel_note(&recancel, &op);
    rill_recancel_hear(&recancel, -EALREADY);
    ck_assert(rill_recancel_wants_timeout(&recancel));
    rill_recancel_begin(&recancel, &again);
    ck_assert_int_eq(recancel.timeout.tv_nsec, 2 * RILL_RECANCEL_FIRST_NS);
    rill_link_remove(&op.queue);
    rill_recancel_note(&recancel, &op);
    rill_link_remove(&op.queue);
    rill_recancel_hear(&recancel, -ENOENT);
    ck_assert(!rill_recancel_wants_timeout(&recancel));
    ck_assert_int_eq(recancel.timeout.tv_nsec, RILL_RECANCEL_FIRST_NS);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_cancel_that_misses_is_repeated_until_it_does_not, IN_SIMULATED},
        {a_target_that_goes_on_is_cancelled_ten_times_a_second_and_ends_with_its_result,
         IN_SIMULATED},
        {nothing_is_repeated_when_the_target_has_ended, IN_SIMULATED},
        {the_pause_is_short_again_for_the_next_one, IN_SIMULATED},
        {the_pause_is_short_again_after_a_target_that_was_not_there_any_more, IN_SIMULATED},
    };

    return fixture_main("recancel", cases, sizeof cases / sizeof *cases);
}
