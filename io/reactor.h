/* SPDX-License-Identifier: Apache-2.0 */
/* reactor.h - moves ops to the kernel and their results back.
 *
 * It is the executor's driver over io_uring. A turn is, as a rule, one system call or none:
 * it submits everything that was queued and, where nothing is ready to run, waits. (More
 * where the submission queue is full, or where it looks out before it sleeps.)
 * Results are stored and their tasks woken; no task runs inside. */
#ifndef RILL_IO_REACTOR_H
#define RILL_IO_REACTOR_H

#include "io/buffers.h"
#include "io/event_source.h"
#include "io/fd_queue.h"
#include "io/kernel.h"
#include "io/op.h"
#include "io/recancel.h"
#include "io/recheck.h"
#include "io/remote.h"
#include "io/spin.h"
#include "runtime/executor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An offset that means "where the file stands", as in io_uring_prep_read(3). */
#define RILL_OFFSET_CURRENT UINT64_MAX

/* Looks in a turn before a task waits (rill_reactor_linger): some microseconds over shared memory,
 * and over TCP, where each is a system call, a tenth of a millisecond. And where the latest have
 * found nothing. */
enum { RILL_LINGERING_MAX = 256, RILL_LINGERING_TRIAL = 16 };

/* What to do when there is nothing to do. */
enum rill_wait_policy {
    RILL_WAIT_SLEEP,    /* sleep at once: the least CPU */
    RILL_WAIT_ADAPTIVE, /* look out without a system call as long as that pays, for spin_ns at the
                           most, then sleep (io/spin.h) */
    RILL_WAIT_SPIN,     /* never sleep: the least latency, a whole core; others on it get turns */
};

/* What the reactor has counted since it was made. */
struct rill_reactor_stats {
    uint64_t enters;             /* calls of io_uring_enter */
    uint64_t sleeps;             /* of those, the ones that might wait */
    uint64_t submissions;        /* entries handed to the kernel */
    uint64_t completions;        /* entries got back */
    uint64_t cancels;            /* cancel requests among the submissions */
    uint64_t queue_full;         /* submissions that had to wait for a place */
    uint64_t overflows;          /* drains after which the kernel still held completions */
    uint64_t spins_hit;          /* times that looking out found something */
    uint64_t spins_missed;       /* times that it did not, and the reactor slept */
    uint64_t buffers_starved;    /* receives that found the shared buffers exhausted */
    uint64_t receives_recovered; /* found by rill_recheck: the kernel had not told, or not yet */
};

/* Invariant: an op in backlog is QUEUED, or CANCELLING with its cancel still to
 * be submitted; every other op counted in ops_in_flight is in the kernel or starved. Of
 * those in quiet see io/quiet.h. */
struct rill_reactor {
    struct rill_driver driver;
    struct rill_kernel *kernel; /* borrowed */
    struct rill_reactor_stats stats;
    size_t ops_in_flight; /* submitted or queued, and not answered */
    size_t fds_open;      /* descriptors that rill opened or accepted, not yet closed */

    /* private */
    struct io_uring ring;
    struct rill_link backlog;   /* of rill_op.queue, first in first out */
    struct rill_link quiet;     /* of rill_op.queue: asked for no completion, as submitted */
    struct rill_link sources;   /* of rill_event_source.sources */
    bool in_hurry;              /* do not sleep in this turn */
    struct rill_remote *remote; /* held; what other threads post to, or NULL: nobody does */
    bool hears_bell;            /* a poll of remote.bell_fd is submitted */
    bool refuses_posts;         /* the runtime was shut down: no remote is made any more */
    struct rill_recheck recheck;
    struct rill_recancel recancel;
    struct rill_buffers buffers;
    struct rill_fd_table fds;
    enum rill_wait_policy wait_policy;
    struct rill_spin spin;   /* of the adaptive policy */
    bool lingering_pays;     /* the latest has found something */
    unsigned lingering_left; /* looks, in this turn */
};

struct rill_reactor_options {
    struct rill_kernel *kernel;
    unsigned sq_entries, cq_entries;
    bool pollable; /* rill_kernel_ops.setup */
    enum rill_wait_policy wait_policy;
    int64_t spin_ns;
    unsigned buffer_count;
    size_t buffer_size;
};

/* Sets up the ring. Every field of options must be set. Returns 0 or the -errno
 * of rill_kernel_ops.setup. */
int rill_reactor_init(struct rill_reactor *reactor, const struct rill_reactor_options *options);

/* Ends it. Panics if an op is in flight or an event source plugged in. */
void rill_reactor_finish(struct rill_reactor *reactor);

/* The reactor of this thread's runtime, which is its executor's driver. */
static inline struct rill_reactor *rill_reactor_here(void)
{
    return rill_container_of(rill_executor_here()->driver, struct rill_reactor, driver);
}

/* Reads the clock. rill_now has the time of the turn, which costs nothing. */
static inline int64_t rill_reactor_now(const struct rill_reactor *reactor)
{
    return reactor->kernel->ops->now(reactor->kernel);
}

/* Hands a PREPARED op to the kernel, or queues it until there is a place. */
void rill_reactor_submit(struct rill_reactor *reactor, struct rill_op *op);

/* Do not sleep in this turn: a task waits for an op that asked for no completion
 * (IOSQE_CQE_SKIP_SUCCESS with MSG_DONTWAIT), or more is to follow it. Such an op
 * is over when the call that submitted it returns; the reactor sees to it that its
 * complete function is called with the whole length if no completion came. */
static inline void rill_reactor_hurry(struct rill_reactor *reactor)
{
    reactor->in_hurry = true;
}

/* Looks out, for an event of an event source, within the poll of a task that is about to wait for
 * one: where the reactor would do so next, as nobody else has anything to do. What comes soon is
 * then found without the way through a turn. Returns true after an event, whose ever that is, and
 * false when the task had better wait: for there is something else, or it has taken too long. */
bool rill_reactor_linger(struct rill_reactor *reactor);

/* Waits for the end of an op that is in the kernel. Posts of other threads wait meanwhile, as
 * they are run between two polls of tasks, and a task may be running. */
void rill_reactor_await_end(struct rill_reactor *reactor, const struct rill_op *op);

/* Asks the kernel to let go of an op that is IN_KERNEL. The request is never
 * dropped: where there is no place for it, it waits for one. */
void rill_reactor_cancel(struct rill_reactor *reactor, struct rill_op *op);

/* Whether the kernel has said something about an op that was not taken out of the ring yet, or may
 * have: where more was submitted in this turn than the queue has room for, or by any system call of
 * a runtime that is embedded. */
bool rill_reactor_has_answer(const struct rill_reactor *reactor, const struct rill_op *op);

/* Takes back an op that is QUEUED or STARVED, which the kernel never saw. */
void rill_reactor_withdraw(struct rill_reactor *reactor, struct rill_op *op);

/* Lays aside an op that needs a shared buffer, until one is free; it is then
 * submitted, those that wait longest first. */
void rill_reactor_starve(struct rill_reactor *reactor, struct rill_op *op);

/* For another loop that waits instead: until when nothing is to be done unless a
 * completion or a post comes, until_ns at the latest; RILL_NO_WAIT if something is. If
 * not, the next post rings the bell of the remote. */
int64_t rill_reactor_rest(struct rill_reactor *reactor, int64_t until_ns);

#ifdef __cplusplus
}
#endif
#endif
