/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/short_memory.h"

#include <stddef.h>
#include <stdlib.h>

bool memory_is_short;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_memalign(size_t alignment, size_t size);

/* Weak, as there are tests that have one of their own. */
__attribute__((weak)) void *aligned_alloc(size_t alignment, size_t size)
{
    return memory_is_short ? NULL : __libc_memalign(alignment, size);
}
#endif

bool memory_can_be_short(void)
{
    /* As others call it: not inlined, and redirected where valgrind does that. */
    void *(*volatile allocate)(size_t alignment, size_t size) = aligned_alloc;
    void *memory;

    memory_is_short = true;
    memory = allocate(64, 64);
    memory_is_short = false;
    free(memory);
    return !memory;
}
