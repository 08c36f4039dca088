/* SPDX-License-Identifier: Apache-2.0 */
/* uring_loop.c - the turns of uring-echo: enter the kernel, drain completions, step. */
#include "bench/peers/uring_server.h"

#include <assert.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

struct io_uring_sqe *server_prepare(struct server *server)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&server->ring);

    assert(sqe != NULL); /* server_step makes room beforehand */
    return sqe;
}

void entry_mark(struct io_uring_sqe *sqe, enum operation operation, int fd)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)fd << OPERATION_BITS | operation);
}

/* ---- Completions: they note what happened, the step does the rest ---- */

static void complete_accept(struct server *server, const struct io_uring_cqe *cqe)
{
    if (!(cqe->flags & IORING_CQE_F_MORE))
        server->accepting = false;
    if (cqe->res >= 0 && (unsigned)cqe->res < server->connections_max) {
        server->statistics.connections++;
        if (cqe->res > server->fd_highest)
            server->fd_highest = cqe->res;
        connection_list(server, cqe->res);
    } else if (cqe->res >= 0) {
        close(cqe->res);
    } else if (cqe->res == -EMFILE || cqe->res == -ENFILE || cqe->res == -ENOBUFS ||
               cqe->res == -ENOMEM) {
        server->pausing = true; /* accepting again at once would fail again */
    } else if (cqe->res == -EINVAL || cqe->res == -EBADF || cqe->res == -EOPNOTSUPP) {
        fail("accept", -cqe->res);
    }
}

static void complete_receive(struct server *server, const struct io_uring_cqe *cqe, int fd)
{
    struct connection *connection = &server->connections[fd];

    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        connection->receiving = false;
        connection->cancelling = false;
    }
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);

        server->buffers_held++;
        if (cqe->res > 0) {
            server->buffers[id].size = (uint32_t)cqe->res;
            chain_append(server, &connection->received, id);
            server->statistics.requests++;
            server->statistics.bytes += (uint64_t)cqe->res;
        } else {
            buffer_return(server, id);
        }
    }
    if (cqe->res == 0) {
        connection->ended = true;
    } else if (cqe->res == -ENOBUFS) {
        connection->starved = true;
        server->statistics.starved_receives++;
    } else if (cqe->res < 0 && cqe->res != -ECANCELED && cqe->res != -EINTR &&
               cqe->res != -EAGAIN) {
        connection->ended = true;
        connection->broken = true;
    }
    connection_list(server, fd);
}

static void complete_send_blocked(struct server *server, const struct io_uring_cqe *cqe, int fd)
{
    struct connection *connection = &server->connections[fd];

    connection->sending_blocked = false;
    if (cqe->res >= 0)
        connection->blocked_sent += (size_t)cqe->res;
    else if (cqe->res != -EINTR && cqe->res != -EAGAIN)
        connection->broken = true;
    connection_list(server, fd);
}

static void complete(struct server *server, const struct io_uring_cqe *cqe)
{
    int fd = (int)(cqe->user_data >> OPERATION_BITS);

    switch (cqe->user_data & ((1u << OPERATION_BITS) - 1)) {
    case OPERATION_RECEIVE:
        complete_receive(server, cqe, fd);
        break;
    case OPERATION_SEND:
        server->connections[fd].send_failed = true;
        server->connections[fd].send_result = cqe->res;
        break;
    case OPERATION_SEND_BACKLOG:
        complete_send_blocked(server, cqe, fd);
        break;
    case OPERATION_ACCEPT:
        complete_accept(server, cqe);
        break;
    case OPERATION_PAUSE:
        server->accepting = false;
        server->pausing = false;
        break;
    case OPERATION_SIGNAL:
        server->stopping = true;
        break;
    default:
        break;
    }
}

/* ---- The loop ---- */

static bool overflown(struct server *server)
{
    return (IO_URING_READ_ONCE(*server->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Looks at the rings, without system calls, until something is in the completion
 * queue or the kernel has work to do in io_uring_enter. Returns false when the
 * time is up. */
static bool spin(struct server *server)
{
    const unsigned work = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
    int64_t end_ns = server->wait == WAIT_ADAPTIVE ? now_ns() + SPIN_NS : INT64_MAX;

    for (;;) {
        for (int i = 0; i < 32; i++) {
            if (io_uring_cq_ready(&server->ring) > 0 ||
                (IO_URING_READ_ONCE(*server->ring.sq.kflags) & work))
                return true;
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#elif defined(__aarch64__)
            __asm__ volatile("yield");
#endif
        }
        if (end_ns != INT64_MAX && now_ns() >= end_ns)
            return false;
    }
}

static void enter(struct server *server, bool wait)
{
    int result = wait ? io_uring_submit_and_wait(&server->ring, 1)
                      : io_uring_submit_and_get_events(&server->ring);

    server->statistics.enters++;
    if (result == -EAGAIN || result == -EBUSY)
        server->hurry = true;
    else if (result < 0 && result != -EINTR)
        fail("io_uring_enter", -result);
}

/* Submits what the last step prepared, and waits for completions. */
static void server_enter(struct server *server)
{
    bool wait = !server->hurry;

    server->hurry = false;
    if (!wait || server->wait == WAIT_SLEEP) {
        enter(server, wait);
        return;
    }
    if (io_uring_sq_ready(&server->ring) > 0)
        enter(server, false);
    if (!spin(server))
        enter(server, true);
    else if (io_uring_cq_ready(&server->ring) == 0)
        enter(server, false);
}

static void server_drain(struct server *server)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe (&server->ring, head, cqe) {
        complete(server, cqe);
        count++;
    }
    io_uring_cq_advance(&server->ring, count);
}

static void server_accept(struct server *server)
{
    static struct __kernel_timespec pause = {.tv_nsec = ACCEPT_PAUSE_MS * 1000000LL};

    if (server->accepting)
        return;
    server->accepting = true;
    struct io_uring_sqe *sqe = server_prepare(server);
    if (server->pausing) {
        io_uring_prep_timeout(sqe, &pause, 0, 0);
        entry_mark(sqe, OPERATION_PAUSE, 0);
    } else {
        io_uring_prep_multishot_accept(sqe, server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        entry_mark(sqe, OPERATION_ACCEPT, 0);
    }
}

/* Makes room in the submission queue. Returns false where the kernel takes over
 * nothing before the completions have been drained. */
static bool make_room(struct server *server)
{
    if (io_uring_sq_space_left(&server->ring) >= STEP_ENTRIES)
        return true;
    server->statistics.enters++;
    int result = io_uring_submit(&server->ring);
    if (result < 0 && result != -EAGAIN && result != -EBUSY && result != -EINTR)
        fail("io_uring_enter", -result);
    return io_uring_sq_space_left(&server->ring) >= STEP_ENTRIES;
}

static void server_step(struct server *server)
{
    int *listed = server->listed;
    unsigned count = server->listed_count;

    server->listed = server->listed_before;
    server->listed_before = listed;
    server->listed_count = 0;
    server->message_count = 0;
    server->vector_count = 0;
    server->revived = 0;

    for (unsigned i = 0; i < count; i++) {
        server->connections[listed[i]].listed = false;
        if (make_room(server)) {
            connection_step(server, listed[i]);
        } else {
            connection_list(server, listed[i]);
            server->hurry = true;
        }
    }
    if (make_room(server))
        server_accept(server);

    io_uring_buf_ring_advance(server->buffer_ring, (int)server->buffers_returned);
    server->buffers_returned = 0;
}

void server_run(struct server *server)
{
    while (!server->stopping) {
        server_enter(server);
        server_drain(server);
        /* A step takes the sends of the last one for done. So all of them must
         * have been submitted, and all completions must have been seen. */
        if (io_uring_sq_ready(&server->ring) == 0 && !overflown(server))
            server_step(server);
        else
            server->hurry = true;
    }
}
