/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/random.h"

#include "runtime/executor.h"

uint64_t rill_random(void)
{
    uint64_t z = rill_executor_here()->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void rill_random_seed(uint64_t seed)
{
    rill_executor_here()->random = seed;
}
