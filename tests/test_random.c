/* SPDX-License-Identifier: Apache-2.0 */
/* test_random.c - each runtime draws numbers of its own, unless a seed says which. */
#include "runtime/random.h"
#include "tests/refusal.h"
#include "tests/rig.h"

#include <errno.h>
#include <sys/syscall.h>

START_TEST(a_seed_has_the_numbers_that_are_published_for_it)
{
    /* of the reference implementation: https://prng.di.unimi.it/splitmix64.c */
    const uint64_t numbers[] = {6457827717110365317u, 3203168211198807973u, 9817491932198370423u,
                                4593380528125082431u, 16408922859458223821u};

    for (int round = 0; round < 2; round++) {
        rill_random_seed(1234567);
        for (size_t i = 0; i < RIG_COUNT(numbers); i++)
            ck_assert(rill_random() == numbers[i]);
    }
}
END_TEST

static uint64_t first_of_a_runtime_made_at(int64_t now_ns)
{
    struct rill_executor executor;
    struct manual_driver driver;
    uint64_t number;

    manual_driver_init(&driver);
    driver.now_ns = now_ns;
    ck_assert_int_eq(rill_executor_init(&executor, &driver.driver), 0);
    number = rill_random();
    rill_executor_finish(&executor);
    return number;
}

static void expect_different_numbers(int64_t now_ns, int64_t later_ns)
{
    uint64_t first, second;

    rig_end();
    first = first_of_a_runtime_made_at(now_ns);
    second = first_of_a_runtime_made_at(later_ns);
    rig_start();
    ck_assert(first != second);
}

START_TEST(each_runtime_begins_elsewhere)
{
    expect_different_numbers(1, 1);
}
END_TEST

START_TEST(where_a_filter_refuses_the_kernel_s_numbers_the_time_makes_them_different)
{
    ck_assert_int_eq(refuse_system_call(__NR_getrandom, EPERM), 0);
    expect_different_numbers(1, 2);
}
END_TEST

static void draw_without_a_runtime(void)
{
    rig_end();
    rill_random();
}

START_TEST(without_a_runtime_there_are_none)
{
    rig_expect_text(rig_abort_message(draw_without_a_runtime), "this thread has no runtime");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_seed_has_the_numbers_that_are_published_for_it,
        each_runtime_begins_elsewhere,
        where_a_filter_refuses_the_kernel_s_numbers_the_time_makes_them_different,
        without_a_runtime_there_are_none,
    };

    return rig_main("random", tests, RIG_COUNT(tests));
}
