/* SPDX-License-Identifier: Apache-2.0 */
/* fd_queue.h - queues of descriptors that never need memory when one arrives.
 *
 * An accepted connection may come when nobody waits for it, and must not be lost
 * for want of memory. A process holds a descriptor once, so the queues of all
 * listeners are threaded through one table with an entry for each descriptor that
 * the process may have. The table is reserved address space: a page of it becomes
 * memory when a descriptor of its range is first queued. */
#ifndef RILL_IO_FD_QUEUE_H
#define RILL_IO_FD_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_fd_table {
    /* private */
    int *next;    /* by descriptor: the one behind it in its queue, or -1 */
    size_t count; /* entries of next */
};

/* First in, first out. Made by rill_fd_queue_init. */
struct rill_fd_queue {
    size_t count;

    /* private */
    int first, last; /* valid while count > 0 */
};

static inline void rill_fd_queue_init(struct rill_fd_queue *queue)
{
    queue->count = 0;
}

/* Reserves a table for as many descriptors as the process may open. Returns 0 or
 * -ENOMEM. */
int rill_fd_table_init(struct rill_fd_table *table);
void rill_fd_table_finish(struct rill_fd_table *table);

/* Puts fd, which is in no queue, at the end. Panics if the limit on descriptors
 * was raised and address space for the larger table is not to be had. */
void rill_fd_queue_push(struct rill_fd_table *table, struct rill_fd_queue *queue, int fd);

/* Takes the first descriptor out of a queue that is not empty. */
int rill_fd_queue_pop(struct rill_fd_table *table, struct rill_fd_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
