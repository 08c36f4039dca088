/* SPDX-License-Identifier: Apache-2.0 */
/* wait.h - how the reactor enters the kernel: in passing, or to wait there until something
 * happens.
 *
 * Private to the reactor. What waits does so by the wait policy: it sleeps at once, or first looks
 * out without a system call (io/spin.h). It ends with a completion, a post of another thread,
 * an event of an event source, or its time; nobody tells it which, as the turn looks at all. */
#ifndef RILL_IO_WAIT_H
#define RILL_IO_WAIT_H

#include "io/reactor.h"

/* Enters the kernel: submits what is queued and, where until_ns is not RILL_NO_WAIT, sleeps until
 * there is a completion, or until then. Returns 0, also where the kernel took only a part or
 * a signal came, or the -errno of rill_kernel_ops.enter. */
int rill_reactor_enter(struct rill_reactor *reactor, int64_t until_ns);

/* Enters it only if that submits something, or fetches what is there. */
int rill_reactor_enter_in_passing(struct rill_reactor *reactor);

/* Submits what is queued and waits until something happens, or until then. Returns as
 * rill_reactor_enter does. */
int rill_reactor_wait(struct rill_reactor *reactor, int64_t until_ns);

/* Whether that would now sleep at once, without looking out. */
bool rill_reactor_sleeps_at_once(const struct rill_reactor *reactor);

static inline bool rill_reactor_has_completions(const struct rill_reactor *reactor)
{
    return io_uring_cq_ready(&reactor->ring) > 0;
}

/* Whether the kernel holds completions back, for want of places in the queue. */
static inline bool rill_reactor_has_overflowed(const struct rill_reactor *reactor)
{
    return IO_URING_READ_ONCE(*reactor->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW;
}

/* Whether the kernel has something for us that it hands over only when entered. */
static inline bool rill_reactor_is_wanted(const struct rill_reactor *reactor)
{
    unsigned flags = IO_URING_READ_ONCE(*reactor->ring.sq.kflags);

    return flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

/* Most runtimes have none, and pay this one look. */
static inline bool rill_reactor_has_sources(const struct rill_reactor *reactor)
{
    return __builtin_expect(!rill_list_is_empty(&reactor->sources), 0);
}

#endif
