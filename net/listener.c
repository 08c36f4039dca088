/* SPDX-License-Identifier: Apache-2.0 */
#include "net/listener.h"

#include "io/path.h"
#include "io/reactor.h"
#include "net/socket_address.h"
#include "net/socket_options.h"
#include "runtime/executor.h"
#include "runtime/line.h"
#include "runtime/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { BACKLOG = 4096 };

/* What connections inherit from a listener of TCP. */
static int configure_connections(int fd, const struct rill_listen_options *options)
{
    int error = rill_socket_take_urgent(fd);

    if (!error && options->nodelay)
        error = rill_socket_set_nodelay(fd, true);
    if (!error && options->user_timeout_ns)
        error = rill_socket_set_user_timeout(fd, options->user_timeout_ns);
    if (!error && options->congestion)
        error = rill_socket_set_congestion(fd, options->congestion);
    return error;
}

/* What has to be set before the socket is bound. */
static int configure(int fd, const struct rill_address *address,
                     const struct rill_listen_options *options)
{
    /* A port whose old connections are still in TIME_WAIT can be listened at. */
    int error = rill_socket_set_int(fd, SOL_SOCKET, SO_REUSEADDR, true);

    if (!error && address->any.sa_family == AF_INET6)
        error = rill_socket_set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->ip6_only);
    if (address->any.sa_family == AF_UNIX)
        return error ? error : rill_socket_set_descriptors(fd, options->descriptors);
    if (!error && options->reuseport)
        error = rill_socket_set_reuseport(fd, true);
    return error ? error : configure_connections(fd, options);
}

/* What the kernel still puts into it would be lost, and the descriptor. */
static void check_closed(const struct rill_listener *listener)
{
    rill_check(!listener->is_open, "a listener was opened that is open already: close it first");
}

static void take_over(struct rill_listener *listener, int fd, int family, bool one_by_one)
{
    rill_reactor_here()->fds_open++;
    memset(listener, 0, sizeof *listener);
    listener->fd = fd;
    listener->is_open = true;
    listener->one_by_one = one_by_one;
    listener->is_unix = family == AF_UNIX;
    rill_fd_queue_init(&listener->held);
    rill_list_init(&listener->waiters);
}

int rill_listener_open(struct rill_listener *listener, const struct rill_address *address,
                       const struct rill_listen_options *options)
{
    static const struct rill_listen_options defaults;
    struct rill_kernel *kernel = rill_reactor_here()->kernel;
    struct rill_socket_file file;
    int fd, error;

    check_closed(listener);
    if (!options)
        options = &defaults;
    fd = kernel->ops->socket(kernel, address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    error = configure(fd, address, options);
    if (!error)
        error = kernel->ops->bind(kernel, fd, &address->any, address->size);
    if (error)
        goto close_fd;
    rill_socket_file_find(&file, address);
    error = kernel->ops->listen(kernel, fd, options->backlog ? options->backlog : BACKLOG);
    if (error)
        goto remove_file;
    take_over(listener, fd, address->any.sa_family, options->one_by_one);
    listener->address = *address;
    listener->file = file;
    return 0;

remove_file:
    if (rill_socket_file_is_there(&file, address))
        (void)kernel->ops->unlinkat(kernel, AT_FDCWD, address->local.sun_path, 0);
close_fd:
    kernel->ops->close(kernel, fd);
    return error;
}

int rill_listener_adopt(struct rill_listener *listener, int fd,
                        const struct rill_listen_options *options)
{
    static const struct rill_listen_options defaults;
    int type, listens, family, error = rill_socket_get_int(fd, SOL_SOCKET, SO_TYPE, &type);

    check_closed(listener);
    if (!error)
        error = rill_socket_get_int(fd, SOL_SOCKET, SO_DOMAIN, &family);
    if (!error)
        error = rill_socket_get_int(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens);
    if (error)
        return error;
    if (type != SOCK_STREAM || (family != AF_INET && family != AF_INET6 && family != AF_UNIX))
        return -EPROTOTYPE;
    if (!listens)
        return -EINVAL;
    if (!options)
        options = &defaults;
    error = family == AF_UNIX ? rill_socket_set_descriptors(fd, options->descriptors)
                              : configure_connections(fd, options);
    if (error)
        return error;
    take_over(listener, fd, family, options->one_by_one);
    return 0;
}

int rill_listener_address(const struct rill_listener *listener, struct rill_address *address)
{
    return rill_socket_local_address(listener->is_open ? listener->fd : -1, address);
}

/* ---- accepting ---- */

/* What the next attempt would meet as well: too few descriptors, too little memory, or a rule of
 * the system (-EPERM), which the kernel looks at before it looks whether anybody waits. */
static bool is_lasting(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM ||
           error == -EPERM;
}

/* A connection that broke off before it was accepted, as accept(2) lists them, a
 * signal, or our own withdrawing: the next one can be awaited at once. */
static bool is_passing(int error)
{
    return error == -ECONNABORTED || error == -EINTR || error == -EAGAIN || error == -EPROTO ||
           error == -ENETDOWN || error == -ENOPROTOOPT || error == -EHOSTDOWN || error == -ENONET ||
           error == -EHOSTUNREACH || error == -EOPNOTSUPP || error == -ENETUNREACH ||
           error == -ECANCELED;
}

static void wake_first(struct rill_listener *listener)
{
    if (!rill_list_is_empty(&listener->waiters))
        rill_task_wake(rill_container_of(listener->waiters.next, struct rill_accept, queue)->task);
}

static void accept_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    struct rill_listener *listener = rill_container_of(op, struct rill_listener, op);
    struct rill_reactor *reactor = rill_reactor_here();

    if (!(cqe_flags & IORING_CQE_F_MORE))
        op->state = RILL_OP_IDLE;
    if (answer >= 0) {
        reactor->fds_open++;
        rill_fd_queue_push(&reactor->fds, &listener->held, answer);
        listener->pause.length_ns = 0;
        if (listener->held.count >= RILL_LISTENER_HELD_MAX && op->state == RILL_OP_IN_KERNEL)
            rill_reactor_cancel(reactor, op);
    } else if (is_lasting(answer)) {
        listener->shortages++;
        rill_pause_begin(&listener->pause);
    } else if (!is_passing(answer)) {
        listener->error = answer;
    }
    if (op->waiter) { /* closing waits for the last completion */
        if (op->state == RILL_OP_IDLE)
            rill_task_wake(op->waiter);
        return;
    }
    wake_first(listener);
}

static void arm(struct rill_listener *listener)
{
    static const struct rill_place name = {"accept connections", NULL, 0};
    struct rill_op *op = &listener->op;

    rill_op_prepare(op, &name, IORING_OP_ACCEPT, listener->fd, NULL, 0, 0);
    op->op_flags = SOCK_CLOEXEC;
    op->ioprio = listener->one_by_one ? 0 : IORING_ACCEPT_MULTISHOT;
    op->waiter = NULL;
    op->complete = accept_complete;
    rill_reactor_submit(rill_reactor_here(), op);
}

/* Leaves the queue, if it was in it, and lets the next one look too: what woke
 * this one may be enough for both. */
static enum rill_poll leave(struct rill_accept *accept, int64_t result)
{
    struct rill_listener *listener = accept->listener;

    rill_wheel_disarm(&rill_executor_here()->wheel, &accept->pause);
    if (rill_link_is_linked(&accept->queue))
        rill_link_remove(&accept->queue);
    wake_first(listener);
    return rill_future_end(&accept->future, result);
}

/* Takes the accept back from the kernel. Returns whether that is done: it wakes who is first in the
 * queue, or the waiter of the op. */
static bool take_back(struct rill_listener *listener)
{
    struct rill_reactor *reactor = rill_reactor_here();
    struct rill_op *op = &listener->op;

    if (op->state == RILL_OP_QUEUED)
        rill_reactor_withdraw(reactor, op);
    if (op->state == RILL_OP_IN_KERNEL)
        rill_reactor_cancel(reactor, op);
    return op->state == RILL_OP_IDLE;
}

static bool is_alone(const struct rill_accept *accept)
{
    const struct rill_link *waiters = &accept->listener->waiters;

    return waiters->next == &accept->queue && waiters->prev == &accept->queue;
}

/* Takes a connection out of those that are kept. One over a unix socket inherits next to nothing
 * from its listener. */
static int take_held(struct rill_listener *listener)
{
    int fd = rill_fd_queue_pop(&rill_reactor_here()->fds, &listener->held);

    if (listener->is_unix)
        (void)rill_socket_take_urgent(fd);
    return fd;
}

static enum rill_poll accept_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_accept *accept = rill_container_of(self, struct rill_accept, future);
    struct rill_listener *listener = accept->listener;
    struct rill_executor *executor = rill_executor_here();

    if (!listener->is_open)
        return rill_end_at_once(self, task, -EBADF);
    if (rill_task_is_cancelled(task)) {
        accept->task = task;
        if (listener->one_by_one && is_alone(accept) && !take_back(listener))
            return RILL_PENDING;
        if (!rill_budget_spend(executor, task))
            return RILL_PENDING;
        return leave(accept, -ECANCELED);
    }
    if (!rill_link_is_linked(&accept->queue)) {
        rill_line_check_link(&listener->waiters, &accept->queue);
        rill_list_append(&listener->waiters, &accept->queue);
    }
    accept->task = task;
    if (listener->waiters.next != &accept->queue)
        return RILL_PENDING; /* it is woken when it is the first */

    if (listener->held.count > 0) {
        if (!rill_budget_spend(executor, task))
            return RILL_PENDING;
        return leave(accept, take_held(listener));
    }
    if (listener->error) {
        if (!rill_budget_spend(executor, task))
            return RILL_PENDING;
        return leave(accept, listener->error);
    }
    if (listener->op.state != RILL_OP_IDLE)
        return RILL_PENDING;

    if (listener->pause.length_ns > 0 && rill_now() < listener->pause.end_ns) {
        if (!rill_link_is_linked(&accept->pause.slot)) {
            accept->pause.deadline_ns = listener->pause.end_ns;
            rill_wheel_arm(&executor->wheel, &accept->pause);
        }
        accept->pause.task = task;
        return RILL_PENDING;
    }
    arm(listener);
    return RILL_PENDING;
}

struct rill_future *rill_tcp_accept(struct rill_listener *listener, struct rill_accept *accept)
{
    static const struct rill_place name = {"accept", NULL, 0};

    rill_future_init(&accept->future, accept_poll);
    accept->future.place = &name;
    accept->listener = listener;
    accept->queue = (struct rill_link){0};
    accept->pause = (struct rill_timer){0};
    return &accept->future;
}

/* ---- closing ---- */

void rill_listener_leave_file(struct rill_listener *listener)
{
    listener->file = (struct rill_socket_file){0};
}

int rill_listener_take_file(struct rill_listener *listener)
{
    struct rill_address address;
    int error = rill_listener_address(listener, &address);

    if (error)
        return error;
    if (address.any.sa_family != AF_UNIX || rill_address_is_abstract(&address))
        return 0;
    if (!memchr(address.local.sun_path, '\0', sizeof address.local.sun_path))
        return -ENAMETOOLONG;
    rill_socket_file_find(&listener->file, &address);
    listener->address = address;
    return listener->file.number ? 0 : -ENOENT;
}

static enum rill_poll withdraw_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);

    op->waiter = task;
    return take_back(rill_container_of(op, struct rill_listener, op)) ? RILL_READY : RILL_PENDING;
}

struct rill_future *rill_listener_withdraw(struct rill_listener *listener)
{
    rill_check(rill_list_is_empty(&listener->waiters), "a listener is closed while a task accepts");
    listener->op.future.poll = withdraw_poll;
    return &listener->op.future;
}

static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_listener *listener = rill_container_of(self, struct rill_listener, future);

    RILL_BEGIN();
    if (!listener->is_open) {
        RILL_SPEND_BUDGET();
        RILL_RETURN(0);
    }
    listener->is_open = false; /* no accept begins meanwhile, with the op that is used here */
    RILL_AWAIT(rill_listener_withdraw(listener));
    while (listener->held.count > 0)
        RILL_AWAIT(rill_op_close(&listener->op,
                                 rill_fd_queue_pop(&rill_reactor_here()->fds, &listener->held)));
    /* Clients find a unix socket by its file, so that goes before the socket does. */
    if (rill_socket_file_is_there(&listener->file, &listener->address))
        RILL_AWAIT(rill_path_clean_up(&listener->op, AT_FDCWD, listener->address.local.sun_path));
    RILL_AWAIT(rill_op_close(&listener->op, listener->fd));
    RILL_RETURN(listener->op.result);
    RILL_END();
}

struct rill_future *rill_listener_close(struct rill_listener *listener)
{
    rill_check(!listener->future.awaits, "a listener is closed while a task closes it");
    return rill_future_init(&listener->future, close_poll);
}
