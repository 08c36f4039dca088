/* SPDX-License-Identifier: Apache-2.0 */
#include "net/descriptors.h"

#include "io/reactor.h"
#include "net/socket_options.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <string.h>

_Static_assert(CMSG_SPACE(RILL_DESCRIPTORS_MAX * sizeof(int)) == RILL_DESCRIPTORS_CONTROL_SIZE,
               "room for so many descriptors, and no more");
_Static_assert(CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) ==
                   RILL_DESCRIPTORS_BESIDE_SIZE,
               "room for the credentials and the pidfd of who has sent");

/* ---- sending ---- */

/* Other sockets would send the bytes, and drop the descriptors without a word. */
static int check_domain(int fd)
{
    int domain = 0, error = rill_socket_get_int(fd, SOL_SOCKET, SO_DOMAIN, &domain);

    if (error)
        return error;
    return domain == AF_UNIX ? 0 : -EAFNOSUPPORT;
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_send_descriptors *send =
        rill_container_of(self, struct rill_send_descriptors, bytes.op.future);
    int error = rill_task_is_cancelled(task) ? 0 : check_domain(send->bytes.op.fd);

    if (error) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        send->bytes.op.state = RILL_OP_IDLE;
        return rill_future_end(self, error);
    }
    self->poll = send->poll;
    return self->poll(self, task);
}

static void write_control(struct rill_send_descriptors *send, const int *fds, unsigned count)
{
    struct msghdr *message = &send->bytes.message;
    struct cmsghdr *header;

    memset(send->control, 0, sizeof send->control);
    message->msg_control = send->control;
    message->msg_controllen = CMSG_SPACE(count * sizeof *fds);
    header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof *fds);
    memcpy(CMSG_DATA(header), fds, count * sizeof *fds);
}

struct rill_future *rill_tcp_send_descriptors(struct rill_tcp *tcp,
                                              struct rill_send_descriptors *send,
                                              const void *buffer, size_t size, const int *fds,
                                              unsigned count)
{
    static const struct rill_place name = {"send descriptors", NULL, 0};
    struct rill_future *future = &send->bytes.op.future;

    rill_check(size > 0, "descriptors are sent without a byte to take them along");
    rill_check(count > 0 && count <= RILL_DESCRIPTORS_MAX,
               "%u descriptors are sent at once; want 1 to %d", count, RILL_DESCRIPTORS_MAX);
    send->part = (struct iovec){.iov_base = (void *)(uintptr_t)buffer, .iov_len = size};
    rill_tcp_send_all_vectored(tcp, &send->bytes, &send->part, 1);
    write_control(send, fds, count);
    send->poll = future->poll;
    future->poll = start_poll;
    future->place = &name;
    return future;
}

/* ---- receiving ---- */

static void drop(int fd)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;

    (void)kernel->ops->close(kernel, fd);
}

/* Where nobody has asked who has sent, that room holds more of them than were promised. */
static void take_rights(struct rill_recv_descriptors *recv, const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (recv->count < RILL_DESCRIPTORS_MAX) {
            recv->fds[recv->count++] = fds[i];
        } else {
            recv->is_cut = true;
            drop(fds[i]);
        }
    }
}

/* A socket that somebody else opened, or its listener, may have SO_PASSCRED or SO_PASSPIDFD set.
 * The one takes room, and the other brings a descriptor that nobody knows of. */
static void take_in(struct rill_recv_descriptors *recv)
{
    enum { PIDFD = 4 }; /* SCM_PIDFD, since Linux 6.5 */
    struct msghdr *message = &recv->message;

    recv->is_cut = message->msg_flags & MSG_CTRUNC;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        const int *fds = (const int *)(const void *)CMSG_DATA(header);

        if (header->cmsg_level != SOL_SOCKET)
            continue;
        if (header->cmsg_type == SCM_RIGHTS)
            take_rights(recv, fds, (header->cmsg_len - CMSG_LEN(0)) / sizeof *fds);
        else if (header->cmsg_type == PIDFD && *fds >= 0)
            drop(*fds);
    }
    rill_reactor_here()->fds_open += recv->count;
}

static enum rill_poll recv_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_recv_descriptors *recv =
        rill_container_of(self, struct rill_recv_descriptors, op.future);

    if (rill_op_poll(self, task) == RILL_PENDING)
        return RILL_PENDING;
    if (recv->result >= 0)
        take_in(recv);
    return RILL_READY;
}

struct rill_future *rill_tcp_recv_descriptors(struct rill_tcp *tcp,
                                              struct rill_recv_descriptors *recv, void *buffer,
                                              size_t size)
{
    static const struct rill_place name = {"receive descriptors", NULL, 0};

    rill_check(size > 0, "descriptors are received without room for a byte");
    rill_check(recv->count == 0,
               "a receive would lose %u descriptors that came before: take or close them",
               recv->count);
    rill_check(!rill_tcp_receives_shared(tcp),
               "descriptors are received where shared buffers are, which drop them");
    recv->part = (struct iovec){.iov_base = buffer, .iov_len = size};
    recv->message = (struct msghdr){
        .msg_iov = &recv->part,
        .msg_iovlen = 1,
        .msg_control = recv->control,
        .msg_controllen = sizeof recv->control,
    };
    recv->is_cut = false;
    rill_op_prepare(&recv->op, &name, IORING_OP_RECVMSG, rill_tcp_fd(tcp), &recv->message, 1, 0);
    recv->op.op_flags = MSG_CMSG_CLOEXEC;
    recv->op.future.poll = recv_poll;
    return &recv->op.future;
}

/* ---- what came ---- */

static int pop(struct rill_recv_descriptors *recv)
{
    int fd = recv->fds[0];

    recv->count--;
    memmove(recv->fds, recv->fds + 1, recv->count * sizeof *recv->fds);
    return fd;
}

int rill_descriptors_take(struct rill_recv_descriptors *recv)
{
    rill_check(recv->count > 0, "there is no descriptor to be taken");
    rill_reactor_here()->fds_open--;
    return pop(recv);
}

static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_recv_descriptors *recv =
        rill_container_of(self, struct rill_recv_descriptors, closing);

    RILL_BEGIN();
    if (recv->count == 0)
        RILL_SPEND_BUDGET();
    while (recv->count > 0)
        RILL_AWAIT(rill_op_close(&recv->op, pop(recv)));
    recv->result = 0;
    RILL_END();
}

struct rill_future *rill_descriptors_close(struct rill_recv_descriptors *recv)
{
    return rill_future_init(&recv->closing, close_poll);
}
