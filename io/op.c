/* SPDX-License-Identifier: Apache-2.0 */
#include "io/op.h"

#include "io/reactor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>

void rill_op_refill(struct rill_op *op, const void *address, uint64_t length)
{
    op->address = (uint64_t)(uintptr_t)address;
    op->remaining = length;
    op->state = RILL_OP_PREPARED;
}

struct rill_future *rill_op_prepare(struct rill_op *op, const struct rill_place *name,
                                    uint8_t opcode, int fd, const void *address, uint64_t length,
                                    uint64_t offset)
{
    /* What the op says of itself is not to be believed where it was never zeroed. */
    rill_check(
        op->state <= RILL_OP_PREPARED,
        "an operation (%s) is used while it is in flight, or was not zeroed before its first "
        "use",
        name->function);
    rill_future_init(&op->future, rill_op_poll);
    op->future.place = name;
    op->transferred = 0;
    op->offset = offset;
    op->op_flags = 0;
    op->fd = fd;
    op->opcode = opcode;
    op->sqe_flags = 0;
    op->ioprio = 0;
    op->kind = 0;
    op->complete = rill_op_complete;
    rill_op_refill(op, address, length);
    return &op->future;
}

/* Whether nobody has cancelled what was cancelled. What the kernel can not do at once it leaves to
 * a thread, and where it may start none it cancels that. */
bool rill_op_was_refused(const struct rill_op *op, int32_t answer)
{
    return answer == -ECANCELED && op->state != RILL_OP_CANCELLING;
}

void rill_op_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    (void)cqe_flags;
    op->result = rill_op_was_refused(op, answer) ? -EAGAIN : answer;
    op->state = RILL_OP_ANSWERED;
    op->waiter->ops--;
    rill_task_wake(op->waiter);
}

static enum rill_poll over(struct rill_op *op, int64_t result)
{
    op->result = result;
    op->state = RILL_OP_IDLE;
    return RILL_READY;
}

static enum rill_poll start(struct rill_op *op, struct rill_task *task, bool cancelled)
{
    /* A loop that does not look at its results must not keep the others waiting. */
    if (cancelled)
        return rill_budget_spend(rill_executor_here(), task) ? over(op, -ECANCELED) : RILL_PENDING;
    op->waiter = task;
    task->ops++;
    rill_reactor_submit(rill_reactor_here(), op);
    return RILL_PENDING;
}

/* Whether a signal, of which the caller knows nothing, has interrupted it: one of ours, or the
 * kernel's own by which it cancels what waits on one of its threads. A system call turns the
 * errors by which the kernel tells itself so into -EINTR, or begins anew; io_uring hands them
 * out, as that of opening a FIFO, which waits for the other side. */
static bool was_interrupted(int64_t answer)
{
    enum { ERESTARTSYS = 512, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK = 516 };

    return answer == -EINTR || (answer <= -ERESTARTSYS && answer >= -ERESTARTNOHAND) ||
           answer == -ERESTART_RESTARTBLOCK;
}

/* The kernel has let go. Decides whether that was all of it. */
static enum rill_poll answered(struct rill_op *op, struct rill_task *task, bool cancelled)
{
    int64_t answer = op->result;

    op->state = RILL_OP_PREPARED;
    if (answer < 0 && was_interrupted(answer))
        return start(op, task, cancelled);
    if (answer < 0 || !(op->kind & RILL_OP_EXACT))
        return over(op, answer);
    if (answer == 0) /* the end of what is received; but what is written has no end */
        return over(op, op->opcode == IORING_OP_WRITE && op->remaining > 0
                            ? -EIO
                            : (int64_t)op->transferred);

    op->transferred += (uint64_t)answer;
    op->remaining -= (uint64_t)answer;
    if (op->remaining == 0)
        return over(op, (int64_t)op->transferred);
    op->address += (uint64_t)answer;
    if (op->kind & RILL_OP_AT_OFFSET)
        op->offset += (uint64_t)answer;
    return start(op, task, cancelled);
}

enum rill_poll rill_op_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);
    bool cancelled = rill_task_is_cancelled(task) && !(op->kind & RILL_OP_SHIELDED);

    switch ((enum rill_op_state)op->state) {
    case RILL_OP_IDLE:
        rill_panic("an operation (%s) was awaited that is over or was never prepared",
                   self->place ? self->place->function : "zeroed");
    case RILL_OP_PREPARED:
        return start(op, task, cancelled);
    case RILL_OP_ANSWERED:
        return answered(op, task, cancelled);
    case RILL_OP_QUEUED:
    case RILL_OP_STARVED:
        if (cancelled) {
            rill_reactor_withdraw(rill_reactor_here(), op);
            op->waiter->ops--;
            return over(op, -ECANCELED);
        }
        break;
    case RILL_OP_IN_KERNEL:
        if (cancelled)
            rill_reactor_cancel(rill_reactor_here(), op);
        break;
    case RILL_OP_CANCELLING:
        break;
    }
    if (op->waiter != task) { /* it was handed from one task to another while pending */
        op->waiter->ops--;
        task->ops++;
        op->waiter = task;
    }
    return RILL_PENDING;
}

/* Tells the reactor that the descriptor is gone. It is so when a signal interrupts the rest as
 * well (close(2)), and its number may be another's: nothing may be tried again. */
static void close_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    struct rill_reactor *reactor = rill_reactor_here();

    /* The one that the kernel has not even begun, for want of a thread, is done by the call. */
    if (rill_op_was_refused(op, answer))
        answer = reactor->kernel->ops->close(reactor->kernel, op->fd);
    reactor->fds_open--;
    rill_op_complete(op, was_interrupted(answer) ? 0 : answer, cqe_flags);
}

struct rill_future *rill_op_close(struct rill_op *op, int fd)
{
    static const struct rill_place name = {"close", NULL, 0};

    rill_op_prepare(op, &name, IORING_OP_CLOSE, fd, NULL, 0, 0);
    op->kind = RILL_OP_SHIELDED;
    op->complete = close_complete;
    return &op->future;
}
