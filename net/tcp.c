/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tcp.h"

#include "io/reactor.h"
#include "io/reader.h"
#include "io/vectored.h"
#include "net/socket_address.h"
#include "net/socket_options.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

static const struct rill_place name_recv = {"receive", NULL, 0};
static const struct rill_place name_send = {"send", NULL, 0};

void rill_tcp_adopt(struct rill_tcp *tcp, int fd)
{
    rill_check(!tcp->is_open, "a connection was made of one that is open: close it first");
    memset(tcp, 0, sizeof *tcp);
    tcp->fd = fd;
    tcp->is_open = true;
}

void rill_tcp_adopt_foreign(struct rill_tcp *tcp, int fd)
{
    rill_tcp_adopt(tcp, fd);
    (void)rill_socket_take_urgent(fd); /* what is no socket will say so when it is used */
    rill_reactor_here()->fds_open++;
}

/* ---- receiving ---- */

/* A receive into the caller's memory from a connection that has received into
 * shared buffers: those bytes come first. The op never goes to the kernel. Nor does
 * a receive of no bytes, for which the kernel would wait until there are some. */
static enum rill_poll copy_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);
    struct rill_receiver *receiver = op->receiver;
    struct rill_buffers *buffers = &rill_reactor_here()->buffers;
    int64_t length;
    unsigned id;

    if (op->remaining == 0 && !rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    op->state = RILL_OP_IDLE;
    while (op->remaining > 0) {
        if (rill_receiver_take(receiver, op->fd, task, &id, &length) == RILL_PENDING) {
            op->state = RILL_OP_PREPARED;
            return RILL_PENDING;
        }
        if (length <= 0) /* at the end an exact receive is short */
            return rill_future_end(self, length == 0 ? (int64_t)op->transferred : length);

        struct rill_buffer *buffer = &buffers->buffers[id];
        uint32_t part =
            op->remaining < (uint64_t)length ? (uint32_t)op->remaining : (uint32_t)length;

        memcpy((void *)(uintptr_t)op->address, rill_buffers_data(buffers, id), part);
        op->address += part;
        op->transferred += part;
        op->remaining -= part;
        buffer->offset += part;
        buffer->length -= part;
        if (buffer->length > 0)
            rill_receiver_put_back(receiver, id);
        else
            rill_buffers_give_back(buffers, id);
        if (!(op->kind & RILL_OP_EXACT))
            break;
    }
    return rill_future_end(self, (int64_t)op->transferred);
}

struct rill_future *rill_tcp_recv(struct rill_tcp *tcp, struct rill_op *op, void *buffer,
                                  size_t size)
{
    rill_op_prepare(op, &name_recv, IORING_OP_RECV, rill_tcp_fd(tcp), buffer, size, 0);
    if (__builtin_expect(rill_tcp_receives_shared(tcp) || size == 0, 0)) {
        op->receiver = &tcp->receiver;
        op->future.poll = copy_poll;
    }
    return &op->future;
}

struct rill_future *rill_tcp_recv_exactly(struct rill_tcp *tcp, struct rill_op *op, void *buffer,
                                          size_t size)
{
    /* Without MSG_WAITALL: a receive that goes on in the kernel ends with the part that
     * it has when the connection is reset, and the error, which is told once, is gone. */
    rill_tcp_recv(tcp, op, buffer, size);
    op->kind = RILL_OP_EXACT;
    return &op->future;
}

static struct rill_future *read_tcp(void *tcp, struct rill_op *op, void *buffer, size_t size)
{
    return rill_tcp_recv((struct rill_tcp *)tcp, op, buffer, size);
}

void rill_tcp_reader_init(struct rill_reader *reader, struct rill_tcp *tcp, void *buffer,
                          size_t size)
{
    rill_reader_init(reader, read_tcp, tcp, buffer, size);
}

static enum rill_poll borrow_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_borrow *borrow = rill_container_of(self, struct rill_borrow, future);
    struct rill_tcp *tcp = borrow->tcp;

    if (!tcp->is_open)
        return rill_end_at_once(self, task, -EBADF);
    if (rill_receiver_take(&tcp->receiver, tcp->fd, task, &borrow->buffer, &borrow->result) ==
        RILL_PENDING)
        return RILL_PENDING;
    if (borrow->result > 0)
        borrow->data = rill_buffers_data(&rill_reactor_here()->buffers, borrow->buffer);
    return rill_future_end(self, borrow->result);
}

struct rill_future *rill_tcp_recv_borrowed(struct rill_tcp *tcp, struct rill_borrow *borrow)
{
    static const struct rill_place name = {"receive into a shared buffer", NULL, 0};

    rill_check(!borrow->data, "a receive would lose the buffer that is borrowed: give it back");
    rill_future_init(&borrow->future, borrow_poll);
    borrow->future.place = &name;
    borrow->tcp = tcp;
    return &borrow->future;
}

void rill_borrow_give_back(struct rill_borrow *borrow)
{
    if (!borrow->data)
        return;
    borrow->data = NULL;
    rill_buffers_give_back(&rill_reactor_here()->buffers, borrow->buffer);
}

/* ---- sending ---- */

static enum rill_poll forward_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_borrow *borrow = rill_container_of(self, struct rill_borrow, future);
    struct rill_tcp *tcp = borrow->tcp;

    if (!tcp->is_open)
        return rill_end_at_once(self, task, -EBADF);

    enum rill_poll poll =
        rill_sender_put(&tcp->sender, tcp->fd, task, &borrow->buffer, &borrow->result);

    if (poll == RILL_READY && borrow->result >= 0)
        borrow->data = NULL;
    else
        borrow->data = rill_buffers_data(&rill_reactor_here()->buffers, borrow->buffer);
    return poll == RILL_READY ? rill_future_end(self, borrow->result) : RILL_PENDING;
}

struct rill_future *rill_tcp_send_borrowed(struct rill_tcp *tcp, struct rill_borrow *borrow)
{
    static const struct rill_place name = {"send a shared buffer", NULL, 0};

    rill_check(borrow->data, "nothing is borrowed that could be sent");
    rill_future_init(&borrow->future, forward_poll);
    borrow->future.place = &name;
    borrow->tcp = tcp;
    return &borrow->future;
}

/* Before it is in line the buffer is not the sender's: a send that ends without
 * having been put in line takes it back. */
static enum rill_poll lasting_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_borrow *send = rill_container_of(self, struct rill_borrow, future);
    struct rill_buffers *buffers = &rill_reactor_here()->buffers;
    struct rill_tcp *tcp = send->tcp;

    if (rill_sender_put(&tcp->sender, tcp->fd, task, &send->buffer, &send->result) == RILL_PENDING)
        return RILL_PENDING;
    if (send->result < 0)
        rill_buffers_give_back(buffers, send->buffer);
    return rill_future_end(self, send->result);
}

static enum rill_poll lasting_start(struct rill_future *self, struct rill_task *task)
{
    struct rill_borrow *send = rill_container_of(self, struct rill_borrow, future);
    struct rill_buffers *buffers = &rill_reactor_here()->buffers;
    int64_t size = send->result;
    int64_t lent = !send->tcp->is_open                 ? -EBADF
                   : size > (int64_t)RILL_OP_CHUNK_MAX ? -EINVAL
                                                       : rill_buffers_ready(buffers);

    if (lent == 0)
        lent = rill_buffers_lend(buffers, send->data, (uint32_t)size);
    if (lent < 0 && !rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    send->data = NULL;
    if (lent < 0)
        return rill_future_end(self, lent);
    send->buffer = (unsigned)lent;
    self->poll = lasting_poll;
    return lasting_poll(self, task);
}

/* Nothing to send is sent at once. */
static enum rill_poll nothing_poll(struct rill_future *self, struct rill_task *task)
{
    return rill_end_at_once(self, task, 0);
}

struct rill_future *rill_tcp_send_lasting(struct rill_tcp *tcp, struct rill_borrow *send,
                                          const void *data, size_t size)
{
    static const struct rill_place name = {"send lasting bytes", NULL, 0};

    rill_check(!send->data, "a borrow that holds a buffer is used for another send");
    rill_future_init(&send->future, size > 0 ? lasting_start : nothing_poll);
    send->future.place = &name;
    send->tcp = tcp;
    if (size > 0)
        send->data = (void *)(uintptr_t)data;
    send->result = size < INT64_MAX ? (int64_t)size : INT64_MAX;
    return &send->future;
}

static enum rill_poll flush_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_tcp *tcp = rill_container_of(self, struct rill_tcp, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sender_flush(&tcp->sender));
    RILL_RETURN(tcp->sender.op.result);
    RILL_END();
}

/* All of these have one future. */
static struct rill_future *begin(struct rill_tcp *tcp, rill_poll_fn *poll)
{
    rill_check(!tcp->future.awaits,
               "a connection is flushed, released or closed while a task does that already");
    return rill_future_init(&tcp->future, poll);
}

struct rill_future *rill_tcp_flush(struct rill_tcp *tcp)
{
    return begin(tcp, flush_poll);
}

/* Bytes that are sent in another way would overtake those in line. */
static void check_order(const struct rill_tcp *tcp)
{
    rill_check(tcp->sender.held == 0, "borrowed buffers are still in line: await rill_tcp_flush");
}

static enum rill_poll broken_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);

    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    op->state = RILL_OP_IDLE;
    return rill_future_end(self, -(int64_t)op->remaining);
}

/* Behind bytes in line that were given up nothing may be sent any more: there would be a hole. */
static struct rill_future *unless_broken(const struct rill_tcp *tcp, struct rill_op *op)
{
    if (__builtin_expect(tcp->sender.error != 0, 0)) {
        op->remaining = (uint64_t)-tcp->sender.error;
        op->future.poll = broken_poll;
    }
    return &op->future;
}

struct rill_future *rill_tcp_send(struct rill_tcp *tcp, struct rill_op *op, const void *buffer,
                                  size_t size)
{
    check_order(tcp);
    rill_op_prepare(op, &name_send, IORING_OP_SEND, rill_tcp_fd(tcp), buffer, size, 0);
    op->op_flags = MSG_NOSIGNAL;
    return unless_broken(tcp, op);
}

struct rill_future *rill_tcp_send_all(struct rill_tcp *tcp, struct rill_op *op, const void *buffer,
                                      size_t size)
{
    check_order(tcp);
    rill_op_prepare(op, &name_send, IORING_OP_SEND, rill_tcp_fd(tcp), buffer, size, 0);
    /* Without MSG_WAITALL: the kernel gives a send that has waited 128 times (APOLL_MAX_RETRY in
     * io_uring/poll.c) to a thread, which blocks for as long as the peer does not read. */
    op->op_flags = MSG_NOSIGNAL;
    op->kind = RILL_OP_EXACT;
    return unless_broken(tcp, op);
}

static enum rill_poll vectored_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_send_vectored *send = rill_container_of(self, struct rill_send_vectored, op.future);

    for (;;) {
        if (rill_op_poll(self, task) == RILL_PENDING)
            return RILL_PENDING;
        if (send->result < 0)
            return RILL_READY;
        send->op.transferred += (uint64_t)send->result;
        rill_parts_skip(&send->message.msg_iov, &send->count, (size_t)send->result);
        if (send->count == 0)
            break;
        send->message.msg_iovlen = send->count < IOV_MAX ? send->count : IOV_MAX;
        /* What goes with the first byte (net/descriptors.h) has gone. */
        send->message.msg_control = NULL;
        send->message.msg_controllen = 0;
        rill_op_refill(&send->op, &send->message, 1);
    }
    send->result = (int64_t)send->op.transferred;
    return RILL_READY;
}

struct rill_future *rill_tcp_send_all_vectored(struct rill_tcp *tcp,
                                               struct rill_send_vectored *send, struct iovec *parts,
                                               size_t count)
{
    static const struct rill_place name = {"send several parts", NULL, 0};

    check_order(tcp);
    send->message = (struct msghdr){
        .msg_iov = parts,
        .msg_iovlen = count < IOV_MAX ? count : IOV_MAX,
    };
    send->count = count;
    rill_op_prepare(&send->op, &name, IORING_OP_SENDMSG, rill_tcp_fd(tcp), &send->message, 1, 0);
    send->op.op_flags = MSG_NOSIGNAL; /* as above */
    send->op.future.poll = vectored_poll;
    return unless_broken(tcp, &send->op);
}

/* ---- the end ---- */

/* By the call itself, which never waits. The ring gives its IORING_OP_SHUTDOWN to a
 * thread of the kernel's in any case, which costs more than the end of the stream. */
static enum rill_poll finish_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);
    struct rill_kernel *kernel = rill_reactor_here()->kernel;

    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    op->state = RILL_OP_IDLE;
    if (rill_task_is_cancelled(task))
        return rill_future_end(self, -ECANCELED);
    return rill_future_end(self, kernel->ops->shutdown(kernel, op->fd, SHUT_WR));
}

struct rill_future *rill_tcp_finish_sending(struct rill_tcp *tcp, struct rill_op *op)
{
    static const struct rill_place name = {"finish sending", NULL, 0};

    check_order(tcp);
    rill_op_prepare(op, &name, IORING_OP_NOP, rill_tcp_fd(tcp), NULL, 0, 0);
    op->future.poll = finish_poll;
    return unless_broken(tcp, op);
}

static enum rill_poll release_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_tcp *tcp = rill_container_of(self, struct rill_tcp, future);
    const struct rill_receiver *receiver = &tcp->receiver;

    RILL_BEGIN();
    if (!tcp->is_open || rill_task_is_cancelled(task)) {
        RILL_SPEND_BUDGET();
        RILL_RETURN(tcp->is_open ? -ECANCELED : -EBADF);
    }
    RILL_AWAIT(rill_receiver_withdraw(&tcp->receiver));
    if (receiver->held > 0)
        RILL_RETURN(-EBUSY);
    if (receiver->ended && receiver->end < 0)
        RILL_RETURN(receiver->end);
    tcp->is_open = false;
    tcp->sender.error = 0;
    tcp->receiver = (struct rill_receiver){.held = 0};
    rill_reactor_here()->fds_open--;
    RILL_RETURN(tcp->fd);
    RILL_END();
}

struct rill_future *rill_tcp_release(struct rill_tcp *tcp)
{
    check_order(tcp);
    return begin(tcp, release_poll);
}

static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_tcp *tcp = rill_container_of(self, struct rill_tcp, future);

    RILL_BEGIN();
    if (!tcp->is_open) {
        RILL_SPEND_BUDGET();
        RILL_RETURN(0);
    }
    /* From here on: the number may be another's before the close is over. */
    tcp->is_open = false;
    RILL_AWAIT(rill_sender_flush(&tcp->sender));
    RILL_AWAIT(rill_receiver_stop(&tcp->receiver));
    RILL_AWAIT(rill_op_close(&tcp->receiver.op, tcp->fd));
    tcp->sender.error = 0; /* which was that of the stream */
    RILL_RETURN(tcp->receiver.op.result);
    RILL_END();
}

struct rill_future *rill_tcp_close(struct rill_tcp *tcp)
{
    return begin(tcp, close_poll);
}

bool rill_tcp_is_idle(const struct rill_tcp *tcp)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;
    struct pollfd descriptor = {.fd = tcp->fd, .events = POLLIN | POLLRDHUP};

    if (!tcp->is_open || tcp->receiver.held > 0 || tcp->receiver.ended)
        return false;
    if (kernel->ops->poll(kernel, &descriptor, 1) != 0)
        return false;
    return tcp->receiver.op.state == RILL_OP_IDLE ||
           !rill_reactor_has_answer(rill_reactor_here(), &tcp->receiver.op);
}

/* ---- addresses ---- */

int rill_tcp_local_address(const struct rill_tcp *tcp, struct rill_address *address)
{
    return rill_socket_local_address(rill_tcp_fd(tcp), address);
}

int rill_tcp_peer_address(const struct rill_tcp *tcp, struct rill_address *address)
{
    return rill_socket_peer_address(rill_tcp_fd(tcp), address);
}
