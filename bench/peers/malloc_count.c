/* SPDX-License-Identifier: Apache-2.0 */
/* malloc_count.c - a library to be preloaded: counts what a program allocates.
 *
 *     MALLOC_COUNT_FILE=counts LD_PRELOAD=malloc-count.so program
 *
 * The file then holds three 64-bit numbers, which can be read at any time while the
 * program runs: calls that allocate, calls that free, and bytes asked for. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* What the C library calls its own functions. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

struct counts {
    uint64_t allocations, frees, bytes;
};

static struct counts before_the_file, *counts = &before_the_file;

__attribute__((constructor)) static void map_file(void)
{
    const char *path = getenv("MALLOC_COUNT_FILE");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644) : -1;
    void *memory;

    if (fd < 0 || ftruncate(fd, sizeof *counts) < 0)
        return;
    memory = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory != MAP_FAILED)
        counts = memory;
}

static void count(size_t size)
{
    __atomic_fetch_add(&counts->allocations, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&counts->bytes, size, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    count(size);
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size)
{
    count(number * size);
    return __libc_calloc(number, size);
}

void *realloc(void *memory, size_t size)
{
    count(size);
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size);
void *memalign(size_t alignment, size_t size)
{
    count(size);
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    *memory = memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

void free(void *memory)
{
    if (memory)
        __atomic_fetch_add(&counts->frees, 1, __ATOMIC_RELAXED);
    __libc_free(memory);
}
