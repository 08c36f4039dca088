/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_hostile.c - a hostile world loses, invents and reorders nothing; a seed is a run.
 *
 * A small program of its own, written straight against the queues, survives all
 * faults at once: clients send a known sequence of bytes, servers check it, and
 * operations are cancelled at random. */
#include "tests/sim/world.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define CLIENTS 4
#define SERVERS 16
#define TOTAL 2500
#define STEPS_MAX 100000

enum kind {
    CONNECT,
    SEND,
    SHUT,
    ACCEPT,
    RECEIVE,
    CANCEL,
};

struct client {
    int fd;
    bool connected, busy, shut, done, broken;
    size_t sent;
    char bytes[512]; /* of the send in flight */
};

struct server {
    int fd;
    bool busy, done, ended;
    size_t received;
    unsigned client;
};

/* Check's own assertions write to a file each time, and there are millions. */
#define expect(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s", #condition);                                                        \
    } while (0)

struct run {
    struct world world;
    struct sockaddr_in address;
    struct client clients[CLIENTS];
    struct server servers[SERVERS];
    unsigned server_count;
    int listener;
    bool accepting, stopping;
    size_t ended_well;
};

static struct run run;

static uint64_t name(enum kind kind, unsigned index)
{
    return (uint64_t)kind << 8 | index;
}

static char pattern(unsigned client, size_t at)
{
    return at == 0 ? (char)client : (char)(at * 13 + at / 256 + client);
}

static uint64_t dice(uint64_t bound)
{
    return sim_random(run.world.sim, bound);
}

/* Entries that do not fit now are tried in the next step. */
static struct io_uring_sqe *entry(enum kind kind, unsigned index)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&run.world.ring);

    if (sqe)
        sqe->user_data = name(kind, index);
    return sqe;
}

static void close_fd(int fd)
{
    world_close_fd(&run.world, fd);
}

static bool is_passing(int result)
{
    return result == -ENOMEM || result == -ECANCELED || result == -EINTR;
}

/* ---- what is started ---- */

static void start_client(unsigned index)
{
    struct client *client = &run.clients[index];
    struct io_uring_sqe *sqe;
    size_t size = 1 + (size_t)dice(sizeof client->bytes);

    if (client->done || client->busy)
        return;
    if (client->broken || client->shut) {
        close_fd(client->fd);
        client->done = true;
        return;
    }
    if (client->fd < 0)
        client->fd = run.world.kernel->ops->socket(run.world.kernel, AF_INET, SOCK_STREAM, 0);
    sqe = entry(!client->connected ? CONNECT : client->sent < TOTAL ? SEND : SHUT, index);
    if (!sqe)
        return;
    client->busy = true;
    if (size > TOTAL - client->sent)
        size = TOTAL - client->sent;
    if (!client->connected) {
        io_uring_prep_connect(sqe, client->fd, (struct sockaddr *)&run.address, sizeof run.address);
    } else if (client->sent < TOTAL) {
        for (size_t i = 0; i < size; i++)
            client->bytes[i] = pattern(index, client->sent + i);
        io_uring_prep_send(sqe, client->fd, client->bytes, size, dice(2) ? MSG_WAITALL : 0);
    } else {
        io_uring_prep_shutdown(sqe, client->fd, SHUT_WR);
    }
}

static void start_server(unsigned index)
{
    struct server *server = &run.servers[index];
    struct io_uring_sqe *sqe;

    if (server->done || server->busy)
        return;
    if (server->ended) {
        close_fd(server->fd);
        server->done = true;
        return;
    }
    sqe = entry(RECEIVE, index);
    if (!sqe)
        return;
    server->busy = true;
    if (dice(2))
        io_uring_prep_recv_multishot(sqe, server->fd, NULL, 0, 0);
    else
        io_uring_prep_recv(sqe, server->fd, NULL, 0, 0);
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = WORLD_GROUP;
}

static void cancel_something(void)
{
    bool send = dice(2);
    unsigned index = (unsigned)dice(send ? CLIENTS : SERVERS);
    struct io_uring_sqe *sqe = entry(CANCEL, 0);

    if (sqe)
        io_uring_prep_cancel64(sqe, name(send ? SEND : RECEIVE, index), 0);
}

/* ---- what has ended ---- */

static void client_done(unsigned index, enum kind kind, int result)
{
    struct client *client = &run.clients[index];

    client->busy = false;
    /* Nobody cancels connecting: it was refused a thread, and the socket goes on without us. */
    if (is_passing(result) && !(kind == CONNECT && result == -ECANCELED))
        return;
    if (kind == CONNECT && result < 0) {
        expect(result == -ECONNREFUSED || result == -ETIMEDOUT || result == -ECONNRESET ||
               result == -ECANCELED);
        close_fd(client->fd);
        client->fd = -1;
    } else if (kind == CONNECT) {
        client->connected = true;
    } else if (kind == SEND && result < 0) {
        expect(result == -ECONNRESET || result == -EPIPE);
        client->broken = true;
    } else if (kind == SEND) {
        client->sent += (size_t)result;
    } else {
        expect(result == 0 || result == -ENOTCONN);
        client->shut = true;
        client->broken = result < 0;
    }
}

static void check_bytes(struct server *server, const char *bytes, size_t size)
{
    if (server->received == 0)
        server->client = (unsigned char)bytes[0];
    expect(server->client < CLIENTS);
    for (size_t i = 0; i < size; i++)
        expect(bytes[i] == pattern(server->client, server->received + i));
    server->received += size;
}

static void server_done(unsigned index, int result, unsigned flags)
{
    struct server *server = &run.servers[index];
    unsigned buffer = flags >> IORING_CQE_BUFFER_SHIFT;

    expect(server->busy);
    server->busy = flags & IORING_CQE_F_MORE;
    expect(result <= 0 || (flags & IORING_CQE_F_BUFFER)); /* at the end there may be one, too */
    if (result > 0)
        check_bytes(server, world_buffer(&run.world, buffer), (size_t)result);
    if (flags & IORING_CQE_F_BUFFER)
        world_provide(&run.world, buffer);
    if (result > 0)
        return;
    expect(!server->busy);
    if (is_passing(result) || result == -ENOBUFS)
        return;
    expect(result == 0 || result == -ECONNRESET || result == -EPIPE);
    server->ended = true;
    if (server->received == TOTAL)
        run.ended_well++;
}

static void accept_done(int result, unsigned flags)
{
    run.accepting = flags & IORING_CQE_F_MORE;
    if (result < 0) {
        /* The others end no listener. */
        expect(result != -EINVAL && result != -EBADF && result != -ENOTSOCK && result != -EFAULT);
        return;
    }
    expect(run.server_count < SERVERS);
    run.servers[run.server_count++].fd = result;
}

static void drain(void)
{
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe (&run.world.ring, head, cqe) {
        unsigned index = cqe->user_data & 255;

        count++;
        switch ((enum kind)(cqe->user_data >> 8)) {
        case CONNECT:
        case SEND:
        case SHUT:
            client_done(index, (enum kind)(cqe->user_data >> 8), cqe->res);
            break;
        case ACCEPT:
            accept_done(cqe->res, cqe->flags);
            break;
        case RECEIVE:
            server_done(index, cqe->res, cqe->flags);
            break;
        case CANCEL:
            expect(cqe->res == 0 || cqe->res == -ENOENT || cqe->res == -EALREADY);
            break;
        }
    }
    io_uring_cq_advance(&run.world.ring, count);
}

static void step(void)
{
    struct io_uring_sqe *sqe;

    if (!run.accepting && !run.stopping && (sqe = entry(ACCEPT, 0))) {
        io_uring_prep_multishot_accept(sqe, run.listener, NULL, NULL, 0);
        run.accepting = true;
    }
    if (run.accepting && run.stopping && (sqe = entry(CANCEL, 0)))
        io_uring_prep_cancel64(sqe, name(ACCEPT, 0), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        start_client(i);
    for (unsigned i = 0; i < run.server_count; i++)
        start_server(i);
    if (!run.stopping && dice(8) == 0)
        cancel_something();
    run.world.kernel->ops->enter(run.world.kernel, &run.world.ring,
                                 sim_now(run.world.sim) + 1000000);
    drain();
}

static bool all_done(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        if (!run.clients[i].done)
            return false;
    for (unsigned i = 0; i < run.server_count; i++)
        if (!run.servers[i].done)
            return false;
    return true;
}

/* Returns the hash of the trace. */
static uint64_t run_world(const struct sim_options *options)
{
    unsigned steps = 0, quiet = 0;
    uint16_t port;
    uint64_t hash;

    memset(&run, 0, sizeof run);
    expect(world_open_or_skip(&run.world, 0, options, 16));
    run.listener = world_listen(&run.world, &port);
    run.address = world_address(port);
    world_buffers(&run.world, 8, 5, 64);
    for (unsigned i = 0; i < CLIENTS; i++)
        run.clients[i].fd = -1;
    /* Connections can still come out of the backlog when all clients are done. */
    while (quiet < 100 || run.accepting) {
        step();
        quiet = all_done() ? quiet + 1 : 0;
        run.stopping = quiet >= 100;
        expect(++steps < STEPS_MAX);
    }
    while (sim_ops_in_flight(run.world.sim) || io_uring_sq_ready(&run.world.ring) ||
           io_uring_cq_ready(&run.world.ring) || !all_done()) {
        step();
        expect(++steps < STEPS_MAX);
    }
    ck_assert_uint_eq(sim_buffers_missing(run.world.sim, WORLD_GROUP), 0);
    ck_assert_uint_eq(sim_bad_fds(run.world.sim), 0);
    close_fd(run.listener);
    hash = sim_trace_hash(run.world.sim);
    world_close(&run.world);
    return hash;
}

START_TEST(without_faults_every_byte_arrives)
{
    const struct sim_options options = {.seed = 1};

    run_world(&options);
    ck_assert_uint_eq(run.ended_well, CLIENTS);
}
END_TEST

START_TEST(with_all_faults_bytes_arrive_in_order_or_not_at_all)
{
    size_t ended_well = 0;

    for (uint64_t seed = 0; seed < 500; seed++) {
        struct sim_options options = sim_options_hostile(seed);

        run_world(&options);
        ended_well += run.ended_well;
    }
    ck_assert_uint_gt(ended_well, 500);
}
END_TEST

START_TEST(without_resets_even_a_hostile_world_loses_nothing)
{
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct sim_options options = sim_options_hostile(seed);

        options.reset_per_mille = 0;
        run_world(&options);
        ck_assert_uint_eq(run.ended_well, CLIENTS);
    }
}
END_TEST

START_TEST(a_seed_is_a_run)
{
    uint64_t last = 0;

    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim_options options = sim_options_hostile(seed);
        uint64_t hash = run_world(&options);

        ck_assert_uint_eq(run_world(&options), hash);
        ck_assert_uint_ne(hash, last);
        last = hash;
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        without_faults_every_byte_arrives,
        with_all_faults_bytes_arrive_in_order_or_not_at_all,
        without_resets_even_a_hostile_world_loses_nothing,
        a_seed_is_a_run,
    };

    return world_main("sim_hostile", 1, tests, sizeof tests / sizeof *tests);
}
