/* SPDX-License-Identifier: Apache-2.0 */
/* test_scenarios.c - the scenarios, each in as many worlds as time permits.
 *
 *     make sim SEEDS=100000 SEED=1 SCENARIO=echo */
#include "tests/scenarios/scenario.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* In fewer worlds chance decides how much is done. */
enum { SEEDS_MIN = 40 };

static double now_s(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool is_wanted(const struct scenario *scenario)
{
    const char *name = getenv("SIM_SCENARIO");

    return !name || !*name || strcmp(name, scenario->name) == 0;
}

START_TEST(nothing_is_lost_in_any_world)
{
    uint64_t first, count;

    fixture_seeds(600, &first, &count);
    for (size_t i = 0; scenarios[i]; i++) {
        double begin = now_s(), done;

        if (!is_wanted(scenarios[i]))
            continue;
        scenario_tally = (struct scenario_tally){0};
        for (uint64_t seed = first; seed < first + count; seed++)
            scenario_perform(scenarios[i], seed);
        done = 100.0 * (double)scenario_tally.done / (double)scenario_tally.wanted;
        printf("%-9s %8llu seeds, %8.0f a minute; done %.0f %%\n", scenarios[i]->name,
               (unsigned long long)count, (double)count * 60 / (now_s() - begin), done);
        expect(count < SEEDS_MIN || done >= scenarios[i]->done_min);
    }
}
END_TEST

START_TEST(a_seed_is_a_run)
{
    uint64_t first, count;

    fixture_seeds(16, &first, &count);
    if (count > 16)
        count = 16;
    for (size_t i = 0; scenarios[i]; i++) {
        if (!is_wanted(scenarios[i]))
            continue;
        for (uint64_t seed = first; seed < first + count; seed++) {
            uint64_t hash = scenario_perform(scenarios[i], seed);

            expect_eq(scenario_perform(scenarios[i], seed), hash);
        }
    }
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {nothing_is_lost_in_any_world, IN_SIMULATED},
        {a_seed_is_a_run, IN_SIMULATED},
    };

    return fixture_main("scenarios", cases, sizeof cases / sizeof *cases);
}
