/* SPDX-License-Identifier: Apache-2.0 */
/* short_memory.h - want of memory for the runtime's free lists, when a test wants it. */
#ifndef RILL_TESTS_SHORT_MEMORY_H
#define RILL_TESTS_SHORT_MEMORY_H

#include <stdbool.h>

/* While it is set there is no memory for new slabs (runtime/pool.h). */
extern bool memory_is_short;

/* Whether that has an effect: sanitizers and valgrind have an aligned_alloc of their own. */
bool memory_can_be_short(void);

#endif
