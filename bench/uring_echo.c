/* SPDX-License-Identifier: Apache-2.0 */
/* uring_echo.c - a TCP echo server written by hand on io_uring: the yardstick.
 *
 * There is no runtime here, only one loop around one ring, and it does nothing
 * but echo. What it gains by that is what rill may cost. How it is fast:
 *
 * - A turn is one io_uring_enter: it sends all answers, and then waits.
 * - One multishot accept, and one multishot receive for each connection, so
 *   that a request needs no submission of its own to be received.
 * - A send is tried once (MSG_DONTWAIT), so it is over when io_uring_enter has
 *   submitted it, and it posts a completion only when it has not sent all. A
 *   turn thus waits for requests, never for its own sends, and looks at one
 *   completion per request.
 * - The bytes that one connection sent in a turn are answered by one send.
 *
 * How it loses nothing: a buffer of the ring belongs to us from its receive
 * until the end of the next turn. A send that could not send all leaves the
 * rest in the connection's backlog, in memory of its own, and whatever arrives
 * later queues behind it. So a client that does not read holds no buffers, and
 * at BACKLOG_SIZE it is no longer received from. */
#include "bench/cli.h"
#include "bench/json.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    SQ_ENTRIES = 512,
    CQ_ENTRIES = 8192,
    /* The most submission entries that one connection needs in a turn. */
    STEP_ENTRIES = 4,
    CONNECTIONS_MAX = 1 << 20,
    BACKLOG_SIZE = 256 * 1024,
    VECTORS_MAX = 1024, /* IOV_MAX */
    ACCEPT_PAUSE_MS = 100,
    SPIN_NS = 50 * 1000,
    BUFFER_GROUP = 0,
    /* Buffers of a power of two would lie in the same few sets of the caches. */
    BUFFER_STAGGER = 64,
};

enum wait_policy {
    WAIT_SLEEP,
    WAIT_ADAPTIVE,
    WAIT_SPIN,
};

/* What a completion is of: the low bits of its user data. The fd of the
 * connection is above. */
enum operation {
    OPERATION_IGNORED,
    OPERATION_ACCEPT,
    OPERATION_PAUSE,
    OPERATION_SIGNAL,
    OPERATION_RECEIVE,
    OPERATION_SEND,
    OPERATION_SEND_BACKLOG,
    OPERATION_BITS = 3,
};

/* Ring buffers with received bytes, in their order. */
struct chain {
    uint16_t first, last;
    unsigned count;
};

struct block {
    char *data;
    size_t size, capacity;
};

/* Bytes of a connection are in `sending`, then `blocked`, then `backlog`, then
 * `received`, the oldest first. sending and blocked are never both filled. */
struct connection {
    bool listed;          /* in server.listed */
    bool receiving;       /* the multishot receive has not ended */
    bool cancelling;      /* it has been asked to */
    bool starved;         /* it ended because there were no buffers */
    bool ended;           /* the peer sends no more */
    bool broken;          /* the peer takes no more */
    bool send_failed;     /* the turn's send ended with send_result */
    bool sending_blocked; /* the kernel sends blocked, and reads its memory */
    int send_result;
    struct chain received;
    struct chain sending;
    struct block blocked;
    size_t blocked_sent;
    struct block backlog;
};

struct buffer {
    uint32_t size;
    uint16_t next;
};

struct statistics {
    uint64_t connections, requests, bytes, sends, blocked_sends, starved_receives, enters;
};

struct server {
    struct io_uring ring;
    int wait; /* enum wait_policy */
    int listen_fd;
    int signal_fd;
    bool accepting; /* an accept is in the ring, or a pause before the next */
    bool pausing;
    bool stopping;
    bool hurry; /* there is work without a completion that would announce it */

    struct io_uring_buf_ring *buffer_ring;
    char *buffer_memory;
    struct buffer *buffers;
    unsigned buffer_count, buffer_size, buffer_stride;
    unsigned buffers_held;     /* not in the buffer ring */
    unsigned buffers_returned; /* in it, but the kernel has not been told */
    unsigned revived;          /* starved receives begun again in this turn */

    /* Gathering sends of this turn. Each has two buffers at least. */
    struct msghdr *messages;
    struct iovec *vectors;
    unsigned message_count, vector_count;

    /* Connections by fd, and those of them to look at in this turn. */
    struct connection *connections;
    unsigned connections_max;
    int fd_highest; /* of all connections that there were */
    int *listed, *listed_before;
    unsigned listed_count;

    struct statistics statistics;
};

static void fail(const char *what, int error) __attribute__((noreturn));

static void fail(const char *what, int error)
{
    fprintf(stderr, "uring-echo: %s: %s\n", what, strerror(error));
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL)
        fail("memory", ENOMEM);
    return memory;
}

/* ---- Buffers ---- */

static char *buffer_data(const struct server *server, unsigned id)
{
    return server->buffer_memory + (size_t)id * server->buffer_stride;
}

static void buffer_return(struct server *server, uint16_t id)
{
    io_uring_buf_ring_add(server->buffer_ring, buffer_data(server, id), server->buffer_size, id,
                          io_uring_buf_ring_mask(server->buffer_count),
                          (int)server->buffers_returned);
    server->buffers_returned++;
    server->buffers_held--;
}

static void chain_append(struct server *server, struct chain *chain, uint16_t id)
{
    if (chain->count++ == 0)
        chain->first = id;
    else
        server->buffers[chain->last].next = id;
    chain->last = id;
}

static uint16_t chain_take(struct server *server, struct chain *chain)
{
    uint16_t id = chain->first;

    chain->first = server->buffers[id].next;
    chain->count--;
    return id;
}

static void chain_return(struct server *server, struct chain *chain)
{
    while (chain->count > 0)
        buffer_return(server, chain_take(server, chain));
}

static void block_free(struct block *block)
{
    free(block->data);
    *block = (struct block){0};
}

/* Appends a copy of the bytes to block. Returns false without memory. */
static bool block_append(struct block *block, const char *data, size_t size)
{
    if (block->size + size > block->capacity) {
        size_t capacity = 2 * (block->size + size);
        char *grown = realloc(block->data, capacity);

        if (grown == NULL)
            return false;
        block->data = grown;
        block->capacity = capacity;
    }
    memcpy(block->data + block->size, data, size);
    block->size += size;
    return true;
}

/* ---- Connections ---- */

/* Has the connection looked at by the next step. */
static void list(struct server *server, int fd)
{
    struct connection *connection = &server->connections[fd];

    if (connection->listed)
        return;
    connection->listed = true;
    server->listed[server->listed_count++] = fd;
}

static struct io_uring_sqe *prepare(struct server *server)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&server->ring);

    assert(sqe != NULL); /* server_step makes room beforehand */
    return sqe;
}

static void mark(struct io_uring_sqe *sqe, enum operation operation, int fd)
{
    io_uring_sqe_set_data64(sqe, (uint64_t)fd << OPERATION_BITS | operation);
}

/* Moves the bytes of chain, but for the first skip, to the backlog. */
static void move_to_backlog(struct server *server, struct connection *connection,
                            struct chain *chain, size_t skip)
{
    while (chain->count > 0) {
        uint16_t id = chain_take(server, chain);
        size_t size = server->buffers[id].size;
        size_t skipped = skip < size ? skip : size;

        if (size > skipped && !connection->broken &&
            !block_append(&connection->backlog, buffer_data(server, id) + skipped, size - skipped))
            connection->broken = true;
        skip -= skipped;
        buffer_return(server, id);
    }
}

/* Ends what the last turn sent: it was all sent, unless a completion came. */
static void connection_settle(struct server *server, struct connection *connection)
{
    if (!connection->send_failed) {
        chain_return(server, &connection->sending);
        return;
    }

    int result = connection->send_result;
    connection->send_failed = false;
    if (result < 0 && result != -EAGAIN && result != -EINTR)
        connection->broken = true;
    move_to_backlog(server, connection, &connection->sending, result > 0 ? (size_t)result : 0);
    server->statistics.blocked_sends++;
}

/* Sends everything received. The sockets take part in no other send now. */
static void connection_send(struct server *server, struct connection *connection, int fd)
{
    struct io_uring_sqe *sqe = prepare(server);
    /* MSG_WAITALL makes a short send a failure, which posts a completion. */
    const int flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;

    if (connection->received.count == 1) {
        uint16_t id = connection->received.first;
        connection->sending = connection->received;
        connection->received.count = 0;
        io_uring_prep_send(sqe, fd, buffer_data(server, id), server->buffers[id].size, flags);
    } else {
        struct msghdr *message = &server->messages[server->message_count++];
        struct iovec *vectors = &server->vectors[server->vector_count];
        unsigned count = 0;

        while (connection->received.count > 0 && count < VECTORS_MAX) {
            uint16_t id = chain_take(server, &connection->received);
            vectors[count].iov_base = buffer_data(server, id);
            vectors[count].iov_len = server->buffers[id].size;
            count++;
            chain_append(server, &connection->sending, id);
        }
        server->vector_count += count;
        *message = (struct msghdr){.msg_iov = vectors, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, fd, message, flags);
    }
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    mark(sqe, OPERATION_SEND, fd);
    server->statistics.sends++;
    list(server, fd);
    if (connection->received.count > 0)
        server->hurry = true;
}

/* Sends the backlog's bytes, and waits for room in the socket: the slow way. */
static void connection_send_blocked(struct server *server, struct connection *connection, int fd)
{
    if (connection->blocked_sent == connection->blocked.size) {
        block_free(&connection->blocked);
        connection->blocked = connection->backlog;
        connection->blocked_sent = 0;
        connection->backlog = (struct block){0};
    }
    if (connection->blocked.size == 0)
        return;

    struct io_uring_sqe *sqe = prepare(server);
    io_uring_prep_send(sqe, fd, connection->blocked.data + connection->blocked_sent,
                       connection->blocked.size - connection->blocked_sent,
                       MSG_WAITALL | MSG_NOSIGNAL);
    mark(sqe, OPERATION_SEND_BACKLOG, fd);
    connection->sending_blocked = true;
    server->statistics.sends++;
}

static size_t connection_backlog(const struct connection *connection)
{
    return connection->backlog.size + connection->blocked.size - connection->blocked_sent;
}

/* Receives while there is room for what arrives. */
static void connection_receive(struct server *server, struct connection *connection, int fd)
{
    bool want =
        !connection->ended && !connection->broken && connection_backlog(connection) < BACKLOG_SIZE;

    if (connection->receiving && !want && !connection->cancelling) {
        struct io_uring_sqe *sqe = prepare(server);
        io_uring_prep_cancel64(sqe, (uint64_t)fd << OPERATION_BITS | OPERATION_RECEIVE, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        mark(sqe, OPERATION_IGNORED, fd);
        connection->cancelling = true;
    }
    if (!connection->receiving && want) {
        if (connection->starved) {
            /* Every answered request gives a buffer back within a turn, so the
             * turn must not wait, and each buffer serves one of the starved. */
            if (server->revived >= server->buffer_count - server->buffers_held) {
                server->hurry = true;
                list(server, fd);
                return;
            }
            server->revived++;
        }

        struct io_uring_sqe *sqe = prepare(server);
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUFFER_GROUP;
        mark(sqe, OPERATION_RECEIVE, fd);
        connection->receiving = true;
        connection->starved = false;
    }
}

static void connection_close(struct server *server, struct connection *connection, int fd)
{
    struct io_uring_sqe *sqe = prepare(server);

    assert(!connection->listed);
    block_free(&connection->blocked);
    block_free(&connection->backlog);
    *connection = (struct connection){0};
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    mark(sqe, OPERATION_IGNORED, fd);
}

/* Does everything that the last completions made possible. */
static void connection_step(struct server *server, int fd)
{
    struct connection *connection = &server->connections[fd];

    connection_settle(server, connection);
    if (connection->broken)
        chain_return(server, &connection->received);
    else if (connection->sending_blocked || connection_backlog(connection) > 0)
        move_to_backlog(server, connection, &connection->received, 0);
    else if (connection->received.count > 0)
        connection_send(server, connection, fd);
    if (!connection->sending_blocked && !connection->broken)
        connection_send_blocked(server, connection, fd);
    connection_receive(server, connection, fd);

    bool sent = connection->sending.count + connection->received.count == 0 &&
                !connection->sending_blocked &&
                (connection->broken || connection_backlog(connection) == 0);
    if ((connection->ended || connection->broken) && !connection->receiving && sent)
        connection_close(server, connection, fd);
    else if (connection->ended && connection->sending.count > 0)
        server->hurry = true; /* to close it: the send will post no completion */
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
        list(server, cqe->res);
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
    list(server, fd);
}

static void complete_send_blocked(struct server *server, const struct io_uring_cqe *cqe, int fd)
{
    struct connection *connection = &server->connections[fd];

    connection->sending_blocked = false;
    if (cqe->res >= 0)
        connection->blocked_sent += (size_t)cqe->res;
    else if (cqe->res != -EINTR && cqe->res != -EAGAIN)
        connection->broken = true;
    list(server, fd);
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
    struct io_uring_sqe *sqe = prepare(server);
    if (server->pausing) {
        io_uring_prep_timeout(sqe, &pause, 0, 0);
        mark(sqe, OPERATION_PAUSE, 0);
    } else {
        io_uring_prep_multishot_accept(sqe, server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        mark(sqe, OPERATION_ACCEPT, 0);
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
            list(server, listed[i]);
            server->hurry = true;
        }
    }
    if (make_room(server))
        server_accept(server);

    io_uring_buf_ring_advance(server->buffer_ring, (int)server->buffers_returned);
    server->buffers_returned = 0;
}

static void server_run(struct server *server)
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

/* ---- Beginning and end ---- */

/* Benchmarks want a congestion control that does not pace: bbr does, by timers,
 * even on the loopback interface. */
static void set_congestion(int fd, const char *name)
{
    const char *names[] = {name != NULL ? name : "cubic", "reno"};

    if (name != NULL && strcmp(name, "default") == 0)
        return;
    for (int i = 0; i < (name != NULL ? 1 : 2); i++)
        if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, names[i], (socklen_t)strlen(names[i])) == 0)
            return;
    if (name != NULL) {
        fprintf(stderr, "uring-echo: --congestion %s: %s\n", name,
                errno == ENOENT ? "the kernel does not have it" : strerror(errno));
        exit(1);
    }
}

/* Reads HOST:PORT, where HOST is an IPv4 address. */
static bool read_address(const char *text, struct sockaddr_in *address)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    char *end;

    if (colon == NULL || (size_t)(colon - text) >= sizeof host || colon[1] < '0' || colon[1] > '9')
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > 65535)
        return false;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

static void server_listen(struct server *server, struct sockaddr_in *address, const char *text,
                          const char *congestion)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    char host[INET_ADDRSTRLEN];

    if (fd < 0)
        fail("socket", errno);
    /* Accepted sockets inherit these. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
        fail("setsockopt", errno);
    set_congestion(fd, congestion);

    if (bind(fd, (struct sockaddr *)address, size) < 0 || listen(fd, 4096) < 0) {
        fprintf(stderr, "uring-echo: cannot listen on %s: %s\n", text,
                errno == EADDRINUSE ? "the port is taken" : strerror(errno));
        exit(1);
    }
    if (getsockname(fd, (struct sockaddr *)address, &size) < 0)
        fail("getsockname", errno);
    server->listen_fd = fd;
    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    printf("listening on tcp://%s:%u\n", host, (unsigned)ntohs(address->sin_port));
    fflush(stdout);
}

static void server_init_ring(struct server *server)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = CQ_ENTRIES,
    };

    /* Only who spins looks at the flag, and setting it costs something. */
    if (server->wait != WAIT_SLEEP)
        params.flags |= IORING_SETUP_TASKRUN_FLAG;
    int result = io_uring_queue_init_params(SQ_ENTRIES, &server->ring, &params);
    if (result < 0) {
        fprintf(stderr, "uring-echo: io_uring %s\n",
                result == -EPERM    ? "is not permitted here (seccomp or kernel.io_uring_disabled)"
                : result == -ENOSYS ? "is missing in this kernel"
                : result == -EINVAL ? "lacks IORING_SETUP_DEFER_TASKRUN: want Linux 6.1 or newer"
                                    : strerror(-result));
        exit(1);
    }
    result = io_uring_register_ring_fd(&server->ring);
    if (result < 0)
        fail("io_uring_register_ring_fd", -result);
}

static void server_init_buffers(struct server *server)
{
    size_t ring_size = server->buffer_count * sizeof(struct io_uring_buf);
    size_t memory_size = (size_t)server->buffer_count * server->buffer_stride;
    char *memory =
        mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *ring = mmap(NULL, ring_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED || ring == MAP_FAILED)
        fail("buffers", errno);
    server->buffer_memory = memory;
    server->buffer_ring = ring;
    server->buffers = allocate(server->buffer_count, sizeof *server->buffers);
    server->messages = allocate(server->buffer_count, sizeof *server->messages);
    server->vectors = allocate(server->buffer_count, sizeof *server->vectors);

    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)ring,
        .ring_entries = server->buffer_count,
        .bgid = BUFFER_GROUP,
    };
    int result = io_uring_register_buf_ring(&server->ring, &registration, 0);
    if (result < 0)
        fail("io_uring_register_buf_ring", -result);
    io_uring_buf_ring_init(server->buffer_ring);
    server->buffers_held = server->buffer_count;
    for (unsigned id = 0; id < server->buffer_count; id++)
        buffer_return(server, (uint16_t)id);
    io_uring_buf_ring_advance(server->buffer_ring, (int)server->buffers_returned);
    server->buffers_returned = 0;
}

static void server_init_connections(struct server *server)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        fail("getrlimit", errno);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    server->connections_max =
        limit.rlim_cur < CONNECTIONS_MAX ? (unsigned)limit.rlim_cur : CONNECTIONS_MAX;
    /* Much of this is never touched and so never exists. */
    server->connections = allocate(server->connections_max, sizeof *server->connections);
    server->listed = allocate(server->connections_max, sizeof *server->listed);
    server->listed_before = allocate(server->connections_max, sizeof *server->listed_before);
}

static void server_init_signals(struct server *server)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    server->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (server->signal_fd < 0)
        fail("signalfd", errno);

    struct io_uring_sqe *sqe = prepare(server);
    io_uring_prep_poll_add(sqe, server->signal_fd, POLLIN);
    mark(sqe, OPERATION_SIGNAL, 0);
}

static void server_finish(struct server *server)
{
    /* The kernel lets go of all memory before the ring is gone. */
    io_uring_queue_exit(&server->ring);
    for (int fd = 0; fd <= server->fd_highest; fd++) {
        block_free(&server->connections[fd].blocked);
        block_free(&server->connections[fd].backlog);
    }
    close(server->listen_fd);
    close(server->signal_fd);
    munmap(server->buffer_memory, (size_t)server->buffer_count * server->buffer_stride);
    munmap(server->buffer_ring, server->buffer_count * sizeof(struct io_uring_buf));
    free(server->buffers);
    free(server->messages);
    free(server->vectors);
    free(server->connections);
    free(server->listed);
    free(server->listed_before);
}

static int print_statistics(const struct statistics *statistics, bool as_json)
{
    struct json json;

    if (!as_json) {
        printf("%" PRIu64 " connections, %" PRIu64 " requests, %" PRIu64 " bytes, %" PRIu64
               " io_uring_enter\n",
               statistics->connections, statistics->requests, statistics->bytes,
               statistics->enters);
        return fflush(stdout) == 0 ? 0 : -EIO;
    }
    json_begin(&json, stdout);
    json_unsigned(&json, "connections", statistics->connections);
    json_unsigned(&json, "requests", statistics->requests);
    json_unsigned(&json, "bytes", statistics->bytes);
    json_unsigned(&json, "sends", statistics->sends);
    json_unsigned(&json, "blocked_sends", statistics->blocked_sends);
    json_unsigned(&json, "starved_receives", statistics->starved_receives);
    json_unsigned(&json, "enters", statistics->enters);
    return json_end(&json);
}

int main(int argc, char **argv)
{
    static struct server server;
    static const char *const policies[] = {"sleep", "adaptive", "spin", NULL};
    const char *listen_text = "127.0.0.1:7000";
    const char *congestion = NULL;
    int64_t buffer_count = 1024, buffer_size = 16 * 1024;
    bool as_json = false;
    struct sockaddr_in address;

    const struct cli_option options[] = {
        CLI_STRING('l', "listen", &listen_text, "HOST:PORT",
                   "IPv4 address to listen on; port 0 is a free one"),
        CLI_CHOICE('w', "wait", &server.wait, policies,
                   "what to do with nothing to do: sleep, spin for 50 us and then sleep, or spin"),
        CLI_INTEGER(0, "buffers", &buffer_count, 1, 32768,
                    "receive buffers, shared by all connections; a power of two"),
        CLI_SIZE(0, "buffer-size", &buffer_size, 64, 1 << 20, "bytes of each"),
        CLI_STRING(0, "congestion", &congestion, "NAME",
                   "TCP congestion control, or default for the machine's [cubic, else reno]"),
        CLI_FLAG(0, "json", &as_json, "print the statistics at exit as JSON"),
        CLI_END,
    };
    const struct cli cli = {
        .program = "uring-echo",
        .summary = "Echoes TCP connections by a loop written straight on io_uring.",
        .options = options,
        .notes = "SIGINT and SIGTERM end it. In the statistics a request is what one receive\n"
                 "brought, which is several messages where the client has several in flight.",
    };

    cli_parse(&cli, argc, argv);
    if (!read_address(listen_text, &address))
        cli_fail(&cli, "--listen %s: want an IPv4 address and a port, such as 127.0.0.1:7000",
                 listen_text);
    if ((buffer_count & (buffer_count - 1)) != 0)
        cli_fail(&cli, "--buffers %" PRId64 ": want a power of two from 1 to 32768", buffer_count);
    server.buffer_count = (unsigned)buffer_count;
    server.buffer_size = (unsigned)buffer_size;
    server.buffer_stride = server.buffer_size + BUFFER_STAGGER;
    /* Spinning on the only processor keeps the peer from running. */
    if (sysconf(_SC_NPROCESSORS_ONLN) == 1)
        server.wait = WAIT_SLEEP;

    server_init_connections(&server);
    server_init_ring(&server);
    server_init_buffers(&server);
    server_init_signals(&server);
    server_listen(&server, &address, listen_text, congestion);
    server.hurry = true; /* the first step begins to accept */
    server_run(&server);
    int result = print_statistics(&server.statistics, as_json);
    server_finish(&server);
    return result < 0 ? 1 : 0;
}
