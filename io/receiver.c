/* SPDX-License-Identifier: Apache-2.0 */
#include "io/receiver.h"

#include "io/reactor.h"
#include "io/recheck.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

static struct rill_receiver *receiver_of(struct rill_op *op)
{
    return rill_container_of(op, struct rill_receiver, op);
}

static void wake_reader(struct rill_receiver *receiver)
{
    struct rill_task *reader = receiver->op.waiter;

    receiver->op.waiter = NULL;
    if (reader)
        rill_task_wake(reader);
}

static inline void chain(struct rill_receiver *receiver, struct rill_buffers *buffers, unsigned id,
                         uint32_t length, unsigned share)
{
    bool is_more_than_its_share = receiver->held >= share;

    rill_buffers_filled(buffers, id, length);
    if (is_more_than_its_share || (rill_buffers_are_scarce(buffers) && !receiver->op.waiter))
        id = rill_buffers_detach(buffers, id);
    if (receiver->held == 0)
        receiver->first = id;
    else
        buffers->buffers[receiver->last].next = id;
    receiver->last = id;
    receiver->held++;
}

/* Whether so much has come that the rest should wait in the socket: more than the
 * share, or anything at all that is not read at once while others go short. */
static bool is_ahead(const struct rill_receiver *receiver, const struct rill_buffers *buffers,
                     unsigned share)
{
    return receiver->held >= share || (receiver->held > 1 && rill_buffers_are_scarce(buffers));
}

/* Chains the buffer that came with a completion, if there is one. */
static inline void take_in(struct rill_receiver *receiver, struct rill_buffers *buffers,
                           int32_t answer, uint32_t cqe_flags, unsigned share)
{
    unsigned id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;

    if (!(cqe_flags & IORING_CQE_F_BUFFER))
        return;
    if (answer > 0) {
        chain(receiver, buffers, id, (uint32_t)answer, share);
    } else { /* a buffer was picked and then nothing put into it */
        rill_buffers_filled(buffers, id, 0);
        rill_buffers_give_back(buffers, id);
    }
}

/* Whether it is an error, and not what happens to a receive that is withdrawn, interrupted
 * by a signal, or finds no buffer. */
static bool is_error(int32_t answer)
{
    return answer < 0 && answer != -ECANCELED && answer != -EINTR && answer != -ENOBUFS;
}

static void stream_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    struct rill_receiver *receiver = receiver_of(op);
    struct rill_reactor *reactor = rill_reactor_here();
    bool withdrawn = op->state == RILL_OP_CANCELLING;

    take_in(receiver, &reactor->buffers, answer, cqe_flags, RILL_BUFFERS_SHARE);
    if (!(cqe_flags & IORING_CQE_F_MORE)) {
        op->state = RILL_OP_IDLE;
        if (!op->ioprio && answer < (int64_t)reactor->buffers.size)
            receiver->singly = false; /* that was all there was */
        if (answer == -ENOBUFS && op->waiter && !withdrawn) {
            rill_reactor_starve(reactor, op);
            return;
        }
        /* After a cancel, a signal or too many bytes at once there may be more to
         * come: the next one who waits arms it again. */
        if (answer == 0 || is_error(answer)) {
            receiver->ended = true;
            receiver->end = (int16_t)answer;
        }
    } else if (!withdrawn && is_ahead(receiver, &reactor->buffers, RILL_BUFFERS_SHARE)) {
        receiver->singly = true;
        rill_reactor_cancel(reactor, op);
    } else if (!withdrawn) {
        rill_recheck_note(&reactor->recheck, receiver);
    }
    wake_reader(receiver);
}

/* An empty datagram ends the receive as the end of a stream does, with its buffer. */
static void datagram_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    struct rill_receiver *receiver = receiver_of(op);
    struct rill_reactor *reactor = rill_reactor_here();
    bool withdrawn = op->state == RILL_OP_CANCELLING;

    take_in(receiver, &reactor->buffers, answer, cqe_flags, RILL_RECEIVER_DATAGRAMS);
    if (!(cqe_flags & IORING_CQE_F_MORE)) {
        op->state = RILL_OP_IDLE;
        if (answer == -ENOBUFS && op->waiter && !withdrawn) {
            rill_reactor_starve(reactor, op);
            return;
        }
        if (is_error(answer)) {
            receiver->ended = true;
            receiver->end = (int16_t)answer;
        }
    } else if (!withdrawn && is_ahead(receiver, &reactor->buffers, RILL_RECEIVER_DATAGRAMS)) {
        rill_reactor_cancel(reactor, op);
    }
    wake_reader(receiver);
}

static void prepare(struct rill_receiver *receiver, int fd)
{
    static const struct rill_place name = {"receive into shared buffers", NULL, 0};
    /* All that the kernel wants to know is how large an address may be, and it writes nothing
     * into it. */
    static const struct msghdr shape = {
        .msg_namelen = RILL_RECEIVER_HEAD - sizeof(struct io_uring_recvmsg_out),
    };
    struct rill_op *op = &receiver->op;

    if (receiver->has_datagrams) {
        rill_op_prepare(op, &name, IORING_OP_RECVMSG, fd, &shape, 1, 0);
        op->op_flags = MSG_TRUNC;
        op->complete = datagram_complete;
    } else {
        rill_op_prepare(op, &name, IORING_OP_RECV, fd, NULL, 0, 0);
        op->complete = stream_complete;
    }
    op->ioprio = receiver->singly ? 0 : IORING_RECV_MULTISHOT;
    op->sqe_flags = IOSQE_BUFFER_SELECT;
}

static int arm(struct rill_receiver *receiver, int fd)
{
    struct rill_reactor *reactor = rill_reactor_here();
    struct rill_op *op = &receiver->op;
    int error = rill_buffers_ready(&reactor->buffers);

    if (!error && receiver->has_datagrams && reactor->buffers.size < RILL_RECEIVER_HEAD)
        error = -EINVAL;
    if (error)
        return error;
    prepare(receiver, fd);
    if (rill_list_is_empty(&reactor->buffers.starved))
        rill_reactor_submit(reactor, op);
    else
        rill_reactor_starve(reactor, op); /* behind those that wait for a buffer already */
    return 0;
}

enum rill_poll rill_receiver_take(struct rill_receiver *receiver, int fd, struct rill_task *task,
                                  unsigned *buffer, int64_t *length)
{
    struct rill_executor *executor = rill_executor_here();
    struct rill_buffers *buffers = &rill_reactor_here()->buffers;

    if (rill_task_is_cancelled(task)) {
        if (!rill_budget_spend(executor, task))
            return RILL_PENDING;
        receiver->op.waiter = NULL;
        *length = -ECANCELED;
        return RILL_READY;
    }
    if (receiver->held > 0) {
        if (!rill_budget_spend(executor, task))
            return RILL_PENDING;
        receiver->held--;
        *buffer = receiver->first;
        *length = buffers->buffers[receiver->first].length;
        receiver->first = buffers->buffers[receiver->first].next;
        return RILL_READY;
    }
    if (receiver->ended) {
        if (!rill_budget_spend(executor, task))
            return RILL_PENDING;
        *length = receiver->end;
        receiver->ended = !receiver->has_datagrams;
        return RILL_READY;
    }
    rill_check(!receiver->op.waiter || receiver->op.waiter == task,
               "two tasks receive from the same stream");
    receiver->op.waiter = task;
    if (receiver->op.state == RILL_OP_IDLE) {
        int error = arm(receiver, fd);

        if (error) {
            if (!rill_budget_spend(executor, task))
                return RILL_PENDING;
            receiver->op.waiter = NULL;
            *length = error;
            return RILL_READY;
        }
    }
    return RILL_PENDING;
}

void rill_receiver_put_back(struct rill_receiver *receiver, unsigned buffer)
{
    struct rill_buffers *buffers = &rill_reactor_here()->buffers;

    buffers->buffers[buffer].next = receiver->first;
    receiver->first = buffer;
    if (receiver->held++ == 0)
        receiver->last = buffer;
}

/* Whether the kernel has let go of the receive; if not, task is woken when it has. */
static bool withdraw(struct rill_op *op, struct rill_task *task)
{
    struct rill_reactor *reactor = rill_reactor_here();

    rill_check(
        !op->waiter || op->waiter == task,
        "a connection or socket is closed, or released, while another task receives from it");
    if (op->state == RILL_OP_QUEUED || op->state == RILL_OP_STARVED)
        rill_reactor_withdraw(reactor, op);
    if (op->state == RILL_OP_IN_KERNEL)
        rill_reactor_cancel(reactor, op);
    op->waiter = op->state == RILL_OP_CANCELLING ? task : NULL;
    return !op->waiter;
}

static enum rill_poll withdraw_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);

    return withdraw(op, task) ? rill_future_end(self, 0) : RILL_PENDING;
}

static enum rill_poll stop_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);
    struct rill_receiver *receiver = receiver_of(op);
    struct rill_buffers *buffers = &rill_reactor_here()->buffers;

    if (!withdraw(op, task))
        return RILL_PENDING;
    while (receiver->held > 0) {
        unsigned id = receiver->first;

        receiver->first = buffers->buffers[id].next;
        receiver->held--;
        rill_buffers_give_back(buffers, id);
    }
    receiver->ended = false;
    return rill_future_end(self, 0);
}

/* The op may be in the kernel, which keeps no pointer to its future. */
static struct rill_future *begin(struct rill_receiver *receiver, rill_poll_fn *poll)
{
    static const struct rill_place name = {"stop receiving", NULL, 0};

    receiver->op.future.poll = poll;
    receiver->op.future.awaits = NULL;
    receiver->op.future.place = &name;
    return &receiver->op.future;
}

struct rill_future *rill_receiver_withdraw(struct rill_receiver *receiver)
{
    return begin(receiver, withdraw_poll);
}

struct rill_future *rill_receiver_stop(struct rill_receiver *receiver)
{
    return begin(receiver, stop_poll);
}
