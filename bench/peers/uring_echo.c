/* SPDX-License-Identifier: Apache-2.0 */
/* uring_echo.c - an echo server written by hand on io_uring: the yardstick.
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
#include "bench/peers/peer.h"
#include "bench/peers/uring_server.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

void fail(const char *what, int error)
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

    struct io_uring_sqe *sqe = server_prepare(server);
    io_uring_prep_poll_add(sqe, server->signal_fd, POLLIN);
    entry_mark(sqe, OPERATION_SIGNAL, 0);
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
    const char *url;
    const char *congestion = NULL;
    int64_t buffer_count = 1024, buffer_size = 16 * 1024;
    bool as_json = false;
    bool is_unix;

    const struct cli_option options[] = {
        CLI_CHOICE('w', "wait", &server.wait, policies,
                   "what to do with nothing to do: sleep, spin for 50 us and then sleep, or spin"),
        CLI_INTEGER(0, "buffers", &buffer_count, 1, 32768,
                    "receive buffers, shared by all connections; a power of two"),
        CLI_SIZE(0, "buffer-size", &buffer_size, 64, 1 << 20, "bytes of each"),
        CLI_STRING(0, "congestion", &congestion, "NAME", "congestion control, such as cubic"),
        CLI_FLAG(0, "json", &as_json, "print the statistics at exit as JSON"),
        CLI_END,
    };
    const struct cli_positional positionals[] = {
        CLI_ONE("URL", &url, "where to listen: tcp://127.0.0.1:7000, or unix:///run/echo.sock"),
        CLI_POSITIONAL_END,
    };
    const struct cli cli = {
        .program = "uring-echo",
        .positionals = positionals,
        .summary = "Echoes by a loop written straight on io_uring.",
        .options = options,
        .notes = "SIGINT and SIGTERM end it. In the statistics a request is what one receive\n"
                 "brought, which is several messages where the client has several in flight.",
    };

    cli_parse(&cli, argc, argv);
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
    server.listen_fd = peer_listen("uring-echo", url, congestion, &is_unix);
    server.hurry = true; /* the first step begins to accept */
    server_run(&server);
    int result = print_statistics(&server.statistics, as_json);
    server_finish(&server);
    return result < 0 ? 1 : 0;
}
