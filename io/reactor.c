/* SPDX-License-Identifier: Apache-2.0 */
#include "io/reactor.h"

#include "io/quiet.h"
#include "io/wait.h"
#include "runtime/panic.h"

#include <poll.h>

/* A completion finds its op by the entry's user_data: the op's address in the low
 * 48 bits (Linux gives no more to user space unless asked), and above it the
 * generation of the op's submission. A cancel names its target by the same value,
 * so one that comes late does not hit the op's next life. */
enum { GENERATION_SHIFT = 48 };

/* The user_data of the reactor's own requests, below any op's address. They are no
 * operations of anybody's and are not counted; the ring ends them when it is torn down. */
enum {
    OWN_CANCEL,   /* an error: the target's completion is what is waited for */
    OWN_BELL,     /* the poll that hears the remote's bell */
    OWN_RECANCEL, /* the timeout of rill_recancel */
    OWN_RECHECK,  /* the timeout of rill_recheck */
    OWN_LAST = OWN_RECHECK,
};

static uint64_t name_of(const struct rill_op *op)
{
    return (uint64_t)(uintptr_t)op | (uint64_t)op->generation << GENERATION_SHIFT;
}

static struct rill_op *op_named(uint64_t name)
{
    return (struct rill_op *)(uintptr_t)(name & ((UINT64_C(1) << GENERATION_SHIFT) - 1));
}

static struct rill_reactor *reactor_of(struct rill_driver *driver)
{
    return rill_container_of(driver, struct rill_reactor, driver);
}

/* ---- into the kernel ---- */

/* Returns a free submission entry, or NULL when the kernel takes no more now. */
static struct io_uring_sqe *get_entry(struct rill_reactor *reactor)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&reactor->ring);

    if (__builtin_expect(sqe != NULL, 1))
        return sqe;
    (void)rill_reactor_enter(reactor, RILL_NO_WAIT); /* a lasting failure shows in the turn */
    sqe = io_uring_get_sqe(&reactor->ring);
    if (!sqe)
        reactor->stats.queue_full++;
    return sqe;
}

/* What an entry has for its length. */
static uint32_t length_of(const struct rill_op *op)
{
    if (__builtin_expect(op->remaining < RILL_OP_CHUNK_MAX, 1))
        return (uint32_t)op->remaining;
    return op->kind & RILL_OP_LITERAL ? (uint32_t)op->remaining : (uint32_t)RILL_OP_CHUNK_MAX;
}

static bool submit_now(struct rill_reactor *reactor, struct rill_op *op)
{
    struct io_uring_sqe *sqe = get_entry(reactor);

    if (!sqe)
        return false;
    op->generation++;
    op->state = RILL_OP_IN_KERNEL;
    sqe->opcode = op->opcode;
    sqe->flags = op->sqe_flags;
    sqe->ioprio = op->ioprio;
    sqe->fd = op->fd;
    sqe->off = op->offset;
    sqe->addr = op->address;
    sqe->len = length_of(op);
    sqe->rw_flags = (int)op->op_flags;
    sqe->user_data = name_of(op);
    sqe->buf_group = RILL_BUFFERS_GROUP;
    sqe->personality = 0;
    sqe->file_index = 0;
    sqe->addr3 = 0;
    sqe->__pad2[0] = 0;
    reactor->stats.submissions++;
    if (op->sqe_flags & IOSQE_CQE_SKIP_SUCCESS)
        rill_quiet_note(reactor, op);
    return true;
}

static bool cancel_now(struct rill_reactor *reactor, struct rill_op *op)
{
    struct io_uring_sqe *sqe = get_entry(reactor);

    if (!sqe)
        return false;
    io_uring_prep_cancel64(sqe, name_of(op), 0);
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = OWN_CANCEL;
    reactor->stats.submissions++;
    reactor->stats.cancels++;
    rill_recancel_note(&reactor->recancel, op);
    return true;
}

void rill_reactor_submit(struct rill_reactor *reactor, struct rill_op *op)
{
    reactor->ops_in_flight++;
    if (rill_list_is_empty(&reactor->backlog) && submit_now(reactor, op))
        return;
    op->state = RILL_OP_QUEUED;
    rill_list_append(&reactor->backlog, &op->queue);
}

void rill_reactor_cancel(struct rill_reactor *reactor, struct rill_op *op)
{
    op->state = RILL_OP_CANCELLING;
    if (rill_link_is_linked(&op->queue)) /* in recheck.heard */
        rill_link_remove(&op->queue);
    if (rill_list_is_empty(&reactor->backlog) && cancel_now(reactor, op))
        return;
    rill_list_append(&reactor->backlog, &op->queue);
}

void rill_reactor_withdraw(struct rill_reactor *reactor, struct rill_op *op)
{
    rill_link_remove(&op->queue);
    op->state = RILL_OP_IDLE;
    reactor->ops_in_flight--;
}

void rill_reactor_starve(struct rill_reactor *reactor, struct rill_op *op)
{
    reactor->ops_in_flight++;
    reactor->stats.buffers_starved++;
    op->state = RILL_OP_STARVED;
    rill_list_append(&reactor->buffers.starved, &op->queue);
}

/* Submits what had to wait for a place. */
static void submit_backlog(struct rill_reactor *reactor)
{
    while (!rill_list_is_empty(&reactor->backlog)) {
        struct rill_op *op = rill_container_of(reactor->backlog.next, struct rill_op, queue);
        bool done;

        rill_link_remove(&op->queue);
        done = op->state == RILL_OP_QUEUED ? submit_now(reactor, op) : cancel_now(reactor, op);
        if (!done) {
            rill_list_prepend(&reactor->backlog, &op->queue);
            return;
        }
        /* The turn that its sender has hurried may be over. */
        if (op->sqe_flags & IOSQE_CQE_SKIP_SUCCESS)
            reactor->in_hurry = true;
    }
}

/* Keeps a poll of the bell in the kernel, from the first sleep after somebody may post.
 * It is edge-triggered: each ring is a completion, and nobody has to read the eventfd. */
static void listen_to_bell(struct rill_reactor *reactor)
{
    struct io_uring_sqe *sqe;

    if (!reactor->remote || reactor->hears_bell)
        return;
    sqe = get_entry(reactor);
    if (!sqe) { /* try again in the next turn */
        reactor->in_hurry = true;
        return;
    }
    io_uring_prep_poll_multishot(sqe, reactor->remote->bell_fd, POLLIN);
    sqe->user_data = OWN_BELL;
    reactor->stats.submissions++;
    reactor->hears_bell = true;
}

/* Has a timeout in the kernel, which is told of by that name. */
static void time_own(struct rill_reactor *reactor, uint64_t name, struct __kernel_timespec *timeout,
                     bool *is_timed)
{
    struct io_uring_sqe *sqe = get_entry(reactor);

    if (!sqe) { /* try again in the next turn */
        reactor->in_hurry = true;
        return;
    }
    io_uring_prep_timeout(sqe, timeout, 0, 0);
    sqe->user_data = name;
    reactor->stats.submissions++;
    *is_timed = true;
}

/* Lets as many starved receives go on as there are buffers, the longest waiting
 * first, so that a busy connection does not keep the others from their share. */
static void feed_starved(struct rill_reactor *reactor)
{
    struct rill_buffers *buffers = &reactor->buffers;
    unsigned available;

    rill_buffers_grow(buffers);
    available = buffers->count - buffers->in_use;

    for (; available > 0 && !rill_list_is_empty(&buffers->starved); available--) {
        struct rill_op *op =
            rill_container_of(rill_list_pop(&buffers->starved), struct rill_op, queue);

        reactor->ops_in_flight--; /* submitting counts it again */
        rill_reactor_submit(reactor, op);
    }
}

/* ---- out of the kernel ---- */

static void complete_own(struct rill_reactor *reactor, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == OWN_BELL) /* it has woken us, which is all */
        reactor->hears_bell = cqe->flags & IORING_CQE_F_MORE;
    else if (cqe->user_data == OWN_CANCEL)
        rill_recancel_hear(&reactor->recancel, cqe->res);
    else if (cqe->user_data == OWN_RECANCEL)
        rill_recancel_begin(&reactor->recancel, &reactor->backlog);
    else if (cqe->user_data == OWN_RECHECK)
        rill_recheck_begin(&reactor->recheck);
}

static void complete(struct rill_reactor *reactor, const struct io_uring_cqe *cqe)
{
    struct rill_op *op = op_named(cqe->user_data);

    if (__builtin_expect(cqe->user_data <= OWN_LAST, 0)) {
        complete_own(reactor, cqe);
        return;
    }
    rill_check(cqe->user_data == name_of(op), "a completion came for an operation that is over");
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        reactor->ops_in_flight--;
        /* One that was cancelled, or a quiet op that did not go well. */
        if (rill_link_is_linked(&op->queue))
            rill_link_remove(&op->queue);
    }
    op->complete(op, cqe->res, cqe->flags);
}

static void drain(struct rill_reactor *reactor)
{
    struct io_uring *ring = &reactor->ring;
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe (ring, head, cqe) {
        complete(reactor, cqe);
        count++;
    }
    io_uring_cq_advance(ring, count);
    reactor->stats.completions += count;
    reactor->driver.events += count;
    if (IO_URING_READ_ONCE(*ring->sq.kflags) & IORING_SQ_CQ_OVERFLOW)
        reactor->stats.overflows++;
}

bool rill_reactor_has_answer(const struct rill_reactor *reactor, const struct rill_op *op)
{
    const struct io_uring *ring = &reactor->ring;
    struct io_uring_cqe *cqe;
    unsigned head;

    io_uring_for_each_cqe (ring, head, cqe) {
        if (op_named(cqe->user_data) == op)
            return true;
    }
    return rill_reactor_has_overflowed(reactor);
}

/* Whether there is something to be done that no completion will announce. */
static bool may_not_sleep(const struct rill_reactor *reactor)
{
    /* What the kernel did not take, for want of memory, is offered again soon. */
    if (reactor->in_hurry || !rill_list_is_empty(&reactor->backlog))
        return true;
    if (rill_list_is_empty(&reactor->buffers.starved))
        return false;
    /* The end of a quiet send gives back the buffer that a starved receive needs. And
     * those that were let on may have found nothing, and left the buffers to others. */
    return !rill_list_is_empty(&reactor->quiet) || reactor->buffers.in_use < reactor->buffers.count;
}

static int reactor_turn(struct rill_driver *driver, int64_t until_ns)
{
    struct rill_reactor *reactor = reactor_of(driver);
    int error;

    reactor->lingering_left = reactor->lingering_pays ? RILL_LINGERING_MAX : RILL_LINGERING_TRIAL;
    submit_backlog(reactor);
    if (__builtin_expect(!rill_list_is_empty(&reactor->buffers.starved), 0))
        feed_starved(reactor);
    if (until_ns != RILL_NO_WAIT)
        listen_to_bell(reactor);
    if (__builtin_expect(rill_recheck_wants_timeout(&reactor->recheck), 0))
        time_own(reactor, OWN_RECHECK, &reactor->recheck.timeout, &reactor->recheck.is_timed);

    if (may_not_sleep(reactor))
        until_ns = RILL_NO_WAIT;
    if (rill_reactor_has_sources(reactor)) {
        bool rests_next = until_ns != RILL_NO_WAIT && !rill_reactor_has_completions(reactor) &&
                          rill_reactor_sleeps_at_once(reactor);

        /* It may have woken tasks, or had something submitted. */
        if (rill_event_sources_progress(reactor, rests_next) || may_not_sleep(reactor))
            until_ns = RILL_NO_WAIT;
    }
    reactor->in_hurry = false;

    if (until_ns != RILL_NO_WAIT && !rill_reactor_has_completions(reactor))
        error = rill_reactor_wait(reactor, until_ns);
    else
        error = rill_reactor_enter_in_passing(reactor);

    /* As it is now: a complete function that submits may enter the kernel again, and
     * what the kernel then says is not drained in this turn. */
    unsigned taken_over = *reactor->ring.sq.khead;
    bool has_overflowed = rill_reactor_has_overflowed(reactor);

    drain(reactor);
    if (!rill_list_is_empty(&reactor->quiet))
        rill_quiet_settle(reactor, taken_over, has_overflowed);
    if (__builtin_expect(rill_recheck_is_going_on(&reactor->recheck), 0))
        rill_recheck_go_on(reactor);
    if (__builtin_expect(rill_recancel_wants_timeout(&reactor->recancel), 0))
        time_own(reactor, OWN_RECANCEL, &reactor->recancel.timeout, &reactor->recancel.is_timed);
    if (reactor->remote)
        rill_remote_run(reactor->remote);
    return error;
}

void rill_reactor_await_end(struct rill_reactor *reactor, const struct rill_op *op)
{
    struct rill_remote *remote = reactor->remote;

    reactor->remote = NULL;
    while (op->state != RILL_OP_IDLE) {
        int error = reactor_turn(&reactor->driver, RILL_NEVER);

        rill_check(!error, "the driver failed: error %d", -error);
    }
    reactor->remote = remote;
}

int64_t rill_reactor_rest(struct rill_reactor *reactor, int64_t until_ns)
{
    if (may_not_sleep(reactor) || rill_reactor_has_completions(reactor) ||
        rill_reactor_is_wanted(reactor))
        return RILL_NO_WAIT;
    /* The timeout is submitted before a sleep of our own, and what came since has none. */
    if (rill_recheck_wants_timeout(&reactor->recheck))
        return RILL_NO_WAIT;
    if (rill_reactor_has_sources(reactor))
        until_ns = rill_event_sources_rest(reactor, until_ns);
    if (io_uring_sq_ready(&reactor->ring) > 0)
        return RILL_NO_WAIT;
    if (reactor->remote && !rill_remote_fall_asleep(reactor->remote))
        return RILL_NO_WAIT;
    return until_ns;
}

static int64_t reactor_now(struct rill_driver *driver)
{
    return rill_reactor_now(reactor_of(driver));
}

static int64_t reactor_now_coarse(struct rill_driver *driver)
{
    struct rill_kernel *kernel = reactor_of(driver)->kernel;

    return kernel->ops->now_coarse(kernel);
}

/* ---- its life ---- */

int rill_reactor_init(struct rill_reactor *reactor, const struct rill_reactor_options *options)
{
    static const struct rill_driver_ops ops = {reactor_turn, reactor_now, reactor_now_coarse};
    int error;

    *reactor = (struct rill_reactor){
        .driver = {.ops = &ops},
        .kernel = options->kernel,
        .wait_policy = options->wait_policy,
        .spin = {.max_ns = options->spin_ns},
        .lingering_pays = true,
        .lingering_left = RILL_LINGERING_MAX,
    };
    rill_list_init(&reactor->backlog);
    rill_list_init(&reactor->quiet);
    rill_recheck_init(&reactor->recheck);
    rill_recancel_init(&reactor->recancel);
    rill_list_init(&reactor->sources);
    error = rill_fd_table_init(&reactor->fds);
    if (error)
        return error;
    error = reactor->kernel->ops->setup(reactor->kernel, &reactor->ring, options->sq_entries,
                                        options->cq_entries, options->pollable);
    if (error) {
        rill_fd_table_finish(&reactor->fds);
        return error;
    }
    rill_buffers_init(&reactor->buffers, reactor->kernel, &reactor->ring, options->buffer_count,
                      options->buffer_size);
    return 0;
}

void rill_reactor_finish(struct rill_reactor *reactor)
{
    rill_check(reactor->ops_in_flight == 0,
               "a runtime was ended with %zu operations in flight: a listener, or a connection or "
               "socket that lends buffers, was not closed",
               reactor->ops_in_flight);
    rill_check(rill_list_is_empty(&reactor->sources),
               "a runtime was ended with an event source plugged in");
    reactor->kernel->ops->teardown(reactor->kernel, &reactor->ring);
    rill_buffers_finish(&reactor->buffers);
    rill_remote_release(reactor->remote);
    rill_fd_table_finish(&reactor->fds);
}
