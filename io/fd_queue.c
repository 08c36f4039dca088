/* SPDX-License-Identifier: Apache-2.0 */
#include "io/fd_queue.h"

#include "runtime/panic.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
    TABLE_MIN = 4096,
    TABLE_MAX = 1 << 20, /* of the first reservation: the kernel's default fs.nr_open */
};

int rill_fd_table_init(struct rill_fd_table *table)
{
    struct rlimit limit;
    size_t count = TABLE_MIN;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max > count)
        count = limit.rlim_max < TABLE_MAX ? limit.rlim_max : TABLE_MAX;

    void *memory = mmap(NULL, count * sizeof *table->next, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        return -ENOMEM;
    table->next = memory;
    table->count = count;
    return 0;
}

void rill_fd_table_finish(struct rill_fd_table *table)
{
    if (table->next)
        munmap(table->next, table->count * sizeof *table->next);
    *table = (struct rill_fd_table){0};
}

static void grow(struct rill_fd_table *table, size_t count)
{
    size_t larger = table->count;

    while (larger < count)
        larger *= 2;

    void *memory = mremap(table->next, table->count * sizeof *table->next,
                          larger * sizeof *table->next, MREMAP_MAYMOVE);

    rill_check(memory != MAP_FAILED, "no address space for a table of %zu descriptors", larger);
    table->next = memory;
    table->count = larger;
}

void rill_fd_queue_push(struct rill_fd_table *table, struct rill_fd_queue *queue, int fd)
{
    if ((size_t)fd >= table->count)
        grow(table, (size_t)fd + 1);
    table->next[fd] = -1;
    if (queue->count++ == 0)
        queue->first = fd;
    else
        table->next[queue->last] = fd;
    queue->last = fd;
}

int rill_fd_queue_pop(struct rill_fd_table *table, struct rill_fd_queue *queue)
{
    int fd = queue->first;

    queue->first = table->next[fd];
    queue->count--;
    return fd;
}
