/* SPDX-License-Identifier: Apache-2.0 */
/* wait_policy.h - the words of the option --wait, in the order of enum rill_wait_policy. */
#ifndef RILL_BENCH_WAIT_POLICY_H
#define RILL_BENCH_WAIT_POLICY_H

#include "io/reactor.h"

#include <stddef.h>

static const char *const wait_words[] = {"sleep", "adaptive", "spin", NULL};

#endif
