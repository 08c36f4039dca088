/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - the operations that move bytes through sockets. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <limits.h>

static struct sim_options *options_of(const struct sim_op *op)
{
    return &op->ring->sim->options;
}

static bool breaks(struct sim_op *op)
{
    if (op->object->socket.state != SIM_CONNECTED || op->object->socket.reset ||
        !sim_op_chance(op, options_of(op)->reset_per_mille))
        return false;
    sim_stream_abort(op->object);
    return true;
}

static unsigned flags_of(const struct sim_op *op)
{
    bool plain = op->sqe.opcode == IORING_OP_READ || op->sqe.opcode == IORING_OP_READV ||
                 op->sqe.opcode == IORING_OP_WRITE || op->sqe.opcode == IORING_OP_WRITEV;

    return plain ? 0 : op->sqe.msg_flags;
}

/* How often the kernel has an operation wait for its descriptor (APOLL_MAX_RETRY in
 * io_uring/poll.c) before it gives it to a thread of its own, which then blocks: nothing that a
 * peer may bring about. */
enum { WAITS_MAX = 128 };

/* What a transfer answers that has to wait, or ends, after a part of it. */
static int partial(struct sim_op *op, int result, unsigned mask)
{
    if (result == SIM_WAIT && !(flags_of(op) & MSG_DONTWAIT)) {
        op->waits += op->done > op->done_before;
        op->done_before = op->done;
        if (op->waits == WAITS_MAX)
            sim_fail(op->ring->sim, "#%llu %s fd %d has waited %d times, and goes to a thread",
                     (unsigned long long)op->id, sim_op_name(op), op->sqe.fd, WAITS_MAX);
        return sim_op_wait(op, mask);
    }
    if (op->done)
        return (int)op->done;
    return result == SIM_WAIT ? -EAGAIN : result;
}

/* ---- sending ---- */

static void put(struct sim_op *op, size_t size)
{
    size_t moved = 0;

    while (moved < size) {
        char *piece;
        size_t step = sim_op_memory(op, op->done + moved, size - moved, &piece);

        sim_stream_put(op->object, piece, step);
        moved += step;
    }
    sim_stream_push(op->object, size);
    op->done += size;
}

static int send_stream(struct sim_op *op)
{
    int error = sim_parcel_check(op);

    if (error)
        return error;
    breaks(op);
    while (op->done < op->total) {
        int room = sim_stream_room(op->object);
        size_t size = op->total - op->done;

        if (room <= 0)
            return partial(op, room ? room : SIM_WAIT, POLLOUT | POLLWRNORM | POLLERR | POLLHUP);
        if (size > (size_t)room)
            size = (size_t)room;
        size = sim_shorten(op->ring->sim, size);
        if (op->done == 0 || options_of(op)->linux_6_1) /* before 6.5 with each part anew */
            sim_parcel_send(op, size);
        put(op, size);
        if (!(flags_of(op) & MSG_WAITALL))
            break;
    }
    return (int)op->done;
}

int sim_attempt_send(struct sim_op *op)
{
    if (op->sqe.ioprio & ~IORING_RECVSEND_POLL_FIRST)
        return -EINVAL;
    if (op->object->kind == SIM_DATAGRAM) {
        int result = sim_datagram_send(op);

        return result == SIM_WAIT ? partial(op, SIM_WAIT, POLLOUT | POLLWRNORM) : result;
    }
    return op->object->kind == SIM_STREAM ? send_stream(op) : -ENOTSOCK;
}

/* ---- receiving ---- */

/* A buffer that was taken in an earlier part of a MSG_WAITALL stays. */
static int look_for_buffer(struct sim_op *op)
{
    size_t limit = op->sqe.len && !op->message ? op->sqe.len : INT_MAX;
    int result;

    if (!(op->sqe.flags & IOSQE_BUFFER_SELECT) || op->done)
        return 0;
    result = sim_buffer_look(op->ring, op->sqe.buf_group, &op->iov_one);
    if (result < 0)
        return result;
    if (op->iov_one.iov_len > limit)
        op->iov_one.iov_len = limit;
    op->total = op->iov_one.iov_len;
    op->iov = &op->iov_one;
    op->iov_count = 1;
    return 0;
}

static void take_buffer(struct sim_op *op)
{
    if ((op->sqe.flags & IOSQE_BUFFER_SELECT) && !(op->cqe_flags & IORING_CQE_F_BUFFER))
        op->cqe_flags |= IORING_CQE_F_BUFFER | sim_buffer_take(op->ring, op->sqe.buf_group)
                                                   << IORING_CQE_BUFFER_SHIFT;
}

static void get(struct sim_op *op, size_t size)
{
    size_t moved = 0;

    while (moved < size) {
        char *piece;
        size_t step = sim_op_memory(op, op->done + moved, size - moved, &piece);

        sim_stream_get(op->object, moved, piece, step);
        moved += step;
    }
    if (!(flags_of(op) & MSG_PEEK))
        sim_stream_taken(op->object, size);
    op->done += size;
}

static int recv_stream(struct sim_op *op)
{
    breaks(op);
    while (op->done < op->total) {
        int there = sim_stream_available(op->object);
        size_t size = op->total - op->done;

        if (there == SIM_WAIT || there <= 0) {
            if (there != SIM_WAIT && sim_op_chance(op, options_of(op)->empty_buffer_per_mille))
                take_buffer(op);
            return partial(op, there, POLLIN | POLLRDNORM | POLLERR | POLLHUP);
        }
        if (size > (size_t)there)
            size = (size_t)there;
        take_buffer(op);
        size = sim_parcel_limit(op->object, sim_shorten(op->ring->sim, size));
        if (!(flags_of(op) & MSG_PEEK))
            sim_parcel_receive(op, size);
        get(op, size);
        if (!(flags_of(op) & MSG_WAITALL) || (flags_of(op) & MSG_PEEK))
            break;
    }
    return (int)op->done;
}

/* The end of the stream counts as something to read, before and after it was. */
static void hint_at_more(struct sim_op *op)
{
    if (op->object->kind == SIM_STREAM &&
        (op->object->socket.in.arrived || op->object->socket.ended))
        op->cqe_flags |= IORING_CQE_F_SOCK_NONEMPTY;
}

/* The kernel wants a buffer before it looks for bytes, so an empty ring is
 * -ENOBUFS even where there is nothing to receive, and where the stream ended. */
static int recv_one(struct sim_op *op)
{
    int result;

    if ((op->sqe.ioprio & IORING_RECVSEND_POLL_FIRST) && !op->tried &&
        !(sim_object_ready(op->object) & (POLLIN | POLLERR | POLLHUP)))
        return sim_op_wait(op, POLLIN | POLLRDNORM | POLLERR | POLLHUP);
    result = look_for_buffer(op);
    if (result < 0)
        return result;
    if (op->object->kind == SIM_DATAGRAM) {
        if (op->total < sim_datagram_overhead(op))
            return -EFAULT;
        result = sim_datagram_ready(op->object);
        if (result < 0)
            return partial(op, result, POLLIN | POLLRDNORM);
        take_buffer(op);
        return sim_datagram_recv(op);
    }
    result = recv_stream(op);
    if (result >= 0)
        hint_at_more(op);
    if (result >= 0 && op->message) {
        op->message->msg_namelen = 0;
        op->message->msg_controllen = op->control_size;
        op->message->msg_flags = op->control_flags;
    }
    return result;
}

/* A selected buffer that was not taken is not this operation's memory. */
static void leave_buffer(struct sim_op *op)
{
    if (!(op->sqe.flags & IOSQE_BUFFER_SELECT) || (op->cqe_flags & IORING_CQE_F_BUFFER))
        return;
    op->iov = NULL;
    op->iov_count = 0;
}

static bool is_valid(const struct sim_op *op)
{
    if (op->sqe.ioprio & ~(IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT))
        return false;
    if (!(op->sqe.ioprio & IORING_RECV_MULTISHOT))
        return true;
    return (op->sqe.flags & IOSQE_BUFFER_SELECT) && !(op->sqe.msg_flags & MSG_WAITALL) &&
           !(op->sqe.len && !op->message && options_of(op)->linux_6_1);
}

/* The kernel takes an empty datagram for the end of a stream. */
static bool is_last(const struct sim_op *op, int result)
{
    return result <= 0 || !(op->sqe.ioprio & IORING_RECV_MULTISHOT) ||
           (op->message && (size_t)result == sim_datagram_overhead(op));
}

int sim_attempt_recv(struct sim_op *op)
{
    if (op->object->kind != SIM_STREAM && op->object->kind != SIM_DATAGRAM)
        return -ENOTSOCK;
    if (!is_valid(op))
        return -EINVAL;
    if (op->is_deaf && op->object->socket.reset && !op->interrupted)
        return sim_op_wait(op, POLLIN);
    for (;;) {
        int result = recv_one(op);

        leave_buffer(op);
        if (is_last(op, result) || !sim_op_more(op, result))
            return result;
        op->done = 0;
        op->tried = true;
        op->is_deaf = sim_op_chance(op, options_of(op)->reset_untold_per_mille);
    }
}

int sim_socket_shutdown(struct sim_object *object, unsigned how)
{
    struct sim_socket *socket = &object->socket;

    if (object->kind != SIM_STREAM)
        return object->kind == SIM_DATAGRAM ? 0 : -ENOTSOCK;
    if (how > SHUT_RDWR)
        return -EINVAL;
    if (socket->state == SIM_LISTENING && how != SHUT_WR) {
        sim_listener_shut(object);
        return 0;
    }
    /* A connection that has ended in both directions is one no more. */
    if (socket->state != SIM_CONNECTED || socket->reset || (socket->ended && socket->shut_out))
        return -ENOTCONN;
    if (how != SHUT_RD)
        sim_stream_shut_out(object);
    if (how != SHUT_WR) {
        socket->shut_in = true;
        sim_object_wake(object, POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP);
    }
    return 0;
}

int sim_attempt_shutdown(struct sim_op *op)
{
    return sim_socket_shutdown(op->object, op->sqe.len);
}
