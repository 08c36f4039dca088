/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sender.h"

#include "io/reactor.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <sys/socket.h>

static void send_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags);

static void wake_waiter(struct rill_sender *sender)
{
    struct rill_task *waiter = sender->op.waiter;

    sender->op.waiter = NULL;
    if (waiter)
        rill_task_wake(waiter);
}

/* Whether the peer's slowness is what the line waits for. */
static bool is_waiting(const struct rill_sender *sender)
{
    return !(sender->op.op_flags & MSG_DONTWAIT);
}

static bool has_room(const struct rill_sender *sender, const struct rill_buffers *buffers)
{
    return sender->held < (rill_buffers_are_many(buffers) ? 1 : RILL_BUFFERS_SHARE);
}

/* Moves all that is in line into private memory. */
static void detach_line(struct rill_sender *sender, struct rill_buffers *buffers)
{
    unsigned id = rill_buffers_detach(buffers, sender->first);

    sender->first = id;
    for (unsigned left = sender->held - 1u; left > 0; left--) {
        unsigned next = rill_buffers_detach(buffers, buffers->buffers[id].next);

        buffers->buffers[id].next = next;
        id = next;
    }
    sender->last = id;
}

/* Sends what is left of the first buffer. */
static void send_first(struct rill_sender *sender, bool wait)
{
    struct rill_reactor *reactor = rill_reactor_here();
    struct rill_op *op = &sender->op;

    if (wait)
        detach_line(sender, &reactor->buffers);
    rill_op_refill(op, rill_buffers_data(&reactor->buffers, sender->first),
                   reactor->buffers.buffers[sender->first].length);
    op->offset = 0;
    /* MSG_WAITALL makes a short send one that tells so. One that waits goes on by itself, as the
     * kernel gives what has waited 128 times to a thread that blocks (net/tcp.c). */
    op->op_flags = MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT | MSG_WAITALL);
    op->sqe_flags = wait ? 0 : IOSQE_CQE_SKIP_SUCCESS;
    rill_reactor_submit(reactor, op);
    if (sender->held > 1 || op->waiter)
        rill_reactor_hurry(reactor);
}

/* Makes the op ready for the first buffer of a line. */
static void prepare_send(struct rill_sender *sender, int fd)
{
    static const struct rill_place name = {"send shared buffers", NULL, 0};

    rill_op_prepare(&sender->op, &name, IORING_OP_SEND, fd, NULL, 0, 0);
    sender->op.waiter = NULL;
    sender->op.complete = send_complete;
}

static void give_back_first(struct rill_sender *sender)
{
    struct rill_buffers *buffers = &rill_reactor_here()->buffers;
    unsigned id = sender->first;

    sender->first = buffers->buffers[id].next;
    sender->held--;
    rill_buffers_give_back(buffers, id);
}

/* The stream has ended: what is in line is not sent any more. */
static void give_up(struct rill_sender *sender, int32_t error)
{
    sender->error = (int16_t)error;
    while (sender->held > 0)
        give_back_first(sender);
}

static void send_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    struct rill_sender *sender = rill_container_of(op, struct rill_sender, op);
    bool withdrawn = op->state == RILL_OP_CANCELLING;
    bool wait = answer == -EAGAIN; /* there is no room now */

    (void)cqe_flags;
    op->state = RILL_OP_IDLE;
    if (answer >= 0) {
        struct rill_buffer *buffer = &rill_reactor_here()->buffers.buffers[sender->first];

        buffer->offset += (uint32_t)answer;
        buffer->length -= (uint32_t)answer;
        wait = buffer->length > 0;
        if (!wait)
            give_back_first(sender);
    } else if (answer != -EAGAIN && answer != -EINTR) {
        /* What nobody has withdrawn was not even begun (rill_op_was_refused). */
        give_up(sender, answer == -ECANCELED && !withdrawn ? -EAGAIN : answer);
    }
    if (withdrawn && sender->held > 0)
        give_up(sender, -ECANCELED);
    if (sender->held > 0)
        send_first(sender, wait);
    /* One that flushes may have been cancelled before it was known that the peer does not read. */
    if (sender->held < RILL_BUFFERS_SHARE || wait)
        wake_waiter(sender);
}

enum rill_poll rill_sender_put(struct rill_sender *sender, int fd, struct rill_task *task,
                               unsigned *buffer, int64_t *result)
{
    struct rill_reactor *reactor = rill_reactor_here();
    struct rill_buffers *buffers = &reactor->buffers;

    if (sender->error || rill_task_is_cancelled(task)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        sender->op.waiter = NULL;
        *result = sender->error ? sender->error : -ECANCELED;
        return RILL_READY;
    }
    if (!has_room(sender, buffers)) {
        rill_check(!sender->op.waiter || sender->op.waiter == task,
                   "two tasks send on the same stream");
        sender->op.waiter = task;
        *buffer = rill_buffers_detach(buffers, *buffer);
        rill_reactor_hurry(reactor);
        return RILL_PENDING;
    }
    if (sender->held > 0 && is_waiting(sender))
        *buffer = rill_buffers_detach(buffers, *buffer);
    *result = buffers->buffers[*buffer].length;
    if (sender->held++ == 0)
        sender->first = *buffer;
    else
        buffers->buffers[sender->last].next = *buffer;
    sender->last = *buffer;
    if (sender->held == 1) {
        prepare_send(sender, fd);
        send_first(sender, false);
    } else {
        rill_reactor_hurry(reactor); /* this one is submitted when those before are over */
    }
    return RILL_READY;
}

static enum rill_poll flush_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);
    struct rill_sender *sender = rill_container_of(op, struct rill_sender, op);
    struct rill_reactor *reactor = rill_reactor_here();

    if (rill_task_is_cancelled(task) && sender->held > 0) {
        if (op->state == RILL_OP_QUEUED) {
            rill_reactor_withdraw(reactor, op);
            give_up(sender, -ECANCELED);
        } else if (op->state == RILL_OP_IN_KERNEL && is_waiting(sender)) {
            rill_reactor_cancel(reactor, op);
        }
    }
    if (sender->held > 0) {
        op->waiter = task;
        rill_reactor_hurry(reactor);
        return RILL_PENDING;
    }
    return rill_end_at_once(self, task, sender->error); /* there may have been nothing in line */
}

struct rill_future *rill_sender_flush(struct rill_sender *sender)
{
    /* The op may be in the kernel, which keeps no pointer to its future. */
    sender->op.future.poll = flush_poll;
    sender->op.future.awaits = NULL;
    return &sender->op.future;
}
