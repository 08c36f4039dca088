/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_hearing.c - a worker that became deaf to shared memory is found out, and one that is
 * not is left alone: with UCX itself, and peers that are killed. */
#include "rdma/hearing.h"

#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "rdma/server.h"
#include "rdma/tag.h"
#include "tests/rdma/duo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ADDRESS_MAX = 4096 }; /* bytes of the address of a worker */

/* For the peer that will be lost, and for those that are not. */
static const struct rill_rdma_connection_options watchful = {.silence_ns = 1 * RILL_SECOND};
static const struct rill_rdma_connection_options patient = {.silence_ns = 600 * RILL_SECOND};

static struct rill_rdma_hub left, right;
static struct rill_rdma_connection client, server, dialled, dialling, lost;
static struct rill_rdma_transfer sent, received, received_of_lost;
static struct rill_rdma_state_wait waiting;
static struct rill_rdma_am stranger;
static struct rill_rdma_op recv_op;
static struct background connecting, receiving, accepting;
static struct rill_address where;
static char buffer[64];

/* ---- the peer that is killed ---- */

static void *begin_pack(void *context, const void *bytes, size_t count)
{
    (void)context;
    (void)bytes;
    (void)count;
    return &client;
}

static size_t packed_size(void *state)
{
    (void)state;
    return 4000; /* more than go without a place of their own, and less than go in pieces */
}

/* UCX calls it when the message has got its place in the queue, and before that is full. */
static size_t pack(void *state, size_t offset, void *bytes, size_t size)
{
    (void)state;
    (void)offset;
    (void)bytes;
    raise(SIGKILL);
    return size;
}

static void end_pack(void *state)
{
    (void)state;
}

static void die_amid_sending(void)
{
    const ucp_generic_dt_ops_t ops = {
        .start_pack = begin_pack, .packed_size = packed_size, .pack = pack, .finish = end_pack};
    ucp_request_param_t param = {.op_attr_mask = UCP_OP_ATTR_FIELD_DATATYPE};

    expect_eq(ucp_dt_create_generic(&ops, NULL, &param.datatype), UCS_OK);
    ucp_tag_send_nbx(client.ep.ucp, "", 1, 7, &param);
    duo_turn_until(false);
}

/* What a peer is to do. */
enum role {
    STOPS,
    IS_KILLED,
    IS_KILLED_OF_SERVER, /* which is connected to by socket address */
};

/* Over shared memory, to what listens at a socket address. */
static void open_beside_tcp(struct rill_rdma *rdma)
{
    static const struct rill_rdma_setting setting = {"TLS", "sm,tcp,self"};

    expect_eq(rill_rdma_open(rdma, &(struct rill_rdma_options){.shared_memory = true,
                                                               .settings = &setting,
                                                               .setting_count = 1}),
              0);
}

static struct rill_future *connecting_to(const char *address, enum role role)
{
    struct rill_address socket;

    if (role != IS_KILLED_OF_SERVER)
        return rill_rdma_connect_worker(&client, &left, address, &watchful);
    memcpy(&socket, address, sizeof socket);
    return rill_rdma_connect(&client, &left, &socket, &watchful);
}

/* Connects to whose address comes through the pipe, says a word, waits for another, and is killed
 * as it sends, or stops before. */
static void be_peer(int pipe_fd, enum role role)
{
    static char address[ADDRESS_MAX];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(pipe_fd, address, sizeof address) <= 0 || !fixture_open(REAL, NULL, NULL))
        _exit(1);
    if (role == IS_KILLED_OF_SERVER)
        open_beside_tcp(&duo.left);
    else
        duo_open_worker(&duo.left, OVER_SHM);
    expect_eq(rill_rdma_hub_open(&left, &duo.left), 0);
    expect_eq(await(connecting_to(address, role)), 0);
    expect_eq(await(rill_rdma_send(&client, &sent, "before", 6, 1)), 6);
    expect(await(rill_rdma_recv(&client, &received, buffer, sizeof buffer, 1)) > 0);
    if (role != STOPS)
        die_amid_sending();
    raise(SIGSTOP);
    _exit(0);
}

/* It has to be there before this process opens a runtime. */
static pid_t fork_peer(enum role role, int *pipe_fd)
{
    int fds[2];
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(fds[1]);
        be_peer(fds[0], role);
    }
    close(fds[0]);
    *pipe_fd = fds[1];
    return pid;
}

static void tell_address(int pipe_fd)
{
    size_t size;
    const void *address = rill_rdma_address(&duo.right, &size);

    ck_assert_uint_le(size, ADDRESS_MAX);
    ck_assert_int_eq(write(pipe_fd, address, size), (ssize_t)size);
}

static void take_in(struct rill_rdma_hub *hub, struct rill_rdma_connection *connection,
                    const struct rill_rdma_connection_options *options)
{
    expect(await(rill_rdma_accept_worker(hub, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(connection, hub, &stranger, options), 0);
    expect_eq(await(rill_rdma_wait_for_connection(connection, &waiting)), 0);
}

static void open_hubs(void)
{
    expect_eq(rill_rdma_hub_open(&left, &duo.left), 0);
    expect_eq(rill_rdma_hub_open(&right, &duo.right), 0);
}

/* One of this process, that lives. */
static void connect_left(void)
{
    size_t size;

    background_start(
        &connecting,
        rill_rdma_connect_worker(&client, &left, rill_rdma_address(&duo.right, &size), &patient));
    take_in(&right, &server, &patient);
    expect_eq(background_end(&connecting), 0);
}

/* And one that the right worker has made, and makes again when it is lost. */
static void connect_right(void)
{
    const struct rill_rdma_connection_options again = {.silence_ns = 600 * RILL_SECOND,
                                                       .reconnects = UINT32_MAX};
    size_t size;

    background_start(
        &connecting,
        rill_rdma_connect_worker(&dialled, &right, rill_rdma_address(&duo.left, &size), &again));
    take_in(&left, &dialling, &patient);
    expect_eq(background_end(&connecting), 0);
}

static void expect_message(struct rill_rdma_connection *connection, const char *word)
{
    expect_eq(await(rill_rdma_recv(connection, &received, buffer, sizeof buffer, 1)),
              (int64_t)strlen(word));
    ck_assert_mem_eq(buffer, word, strlen(word));
}

static void close_all(void)
{
    await(rill_rdma_disconnect(&client));
    left.dropped = right.dropped = 0;
    rill_rdma_hub_close(&left);
    duo_close();
}

/* With a peer that connects, and is lost as soon as it has heard of it. */
static bool lose_peer(enum role role, pid_t *peer)
{
    int pipe_fd;

    *peer = fork_peer(role, &pipe_fd);
    if (!duo_open_workers(OVER_SHM, NULL))
        return false;
    open_hubs();
    connect_left();
    connect_right();
    tell_address(pipe_fd);
    take_in(&right, &lost, &watchful);
    expect_message(&lost, "before");
    expect_eq(await(rill_rdma_send(&client, &sent, "kept", 4, 1)), 4);
    duo_turn_until(rill_rdma_probe(&server, 1, NULL, NULL));
    expect_eq(await(rill_rdma_send(&lost, &sent, "go", 2, 1)), 2);
    return true;
}

START_TEST(a_hole_is_found_and_a_worker_opened_anew_hears_again)
{
    pid_t peer;
    int status;

    if (!lose_peer(IS_KILLED, &peer))
        return;
    background_start(&receiving, rill_rdma_tag_recv(&duo.right, &recv_op, buffer, sizeof buffer,
                                                    UINT64_MAX, UINT64_MAX));
    background_start(&accepting, rill_rdma_accept_worker(&right, &stranger));
    expect_eq(await(rill_rdma_recv(&lost, &received_of_lost, buffer, sizeof buffer, 1)),
              -ETIMEDOUT);
    ck_assert_int_eq(waitpid(peer, &status, 0), peer);
    expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    duo_turn_until(duo.right.is_deaf);
    expect_eq(background_end(&receiving), -ENOTRECOVERABLE);
    expect_eq(background_end(&accepting), -ENOTRECOVERABLE);
    expect_message(&server, "kept");
    expect_eq(await(rill_rdma_recv(&server, &received, buffer, sizeof buffer, 1)),
              -ENOTRECOVERABLE);
    expect_eq(server.error, -ENOTRECOVERABLE);
    expect_eq(await(rill_rdma_disconnect(&server)), -ENOTRECOVERABLE);
    expect_eq(await(rill_rdma_disconnect(&lost)), -ETIMEDOUT);
    duo_turn_until(dialled.state == RILL_RDMA_FAILED); /* and makes no more attempts */
    expect_eq(await(rill_rdma_disconnect(&dialled)), -ENOTRECOVERABLE);
    await(rill_rdma_disconnect(&dialling));
    expect(!duo.left.is_deaf);
    await(rill_rdma_disconnect(&client));

    right.dropped = 0;
    rill_rdma_hub_close(&right);
    rill_rdma_close(&duo.right);
    duo_open_worker(&duo.right, OVER_SHM);
    expect_eq(rill_rdma_hub_open(&right, &duo.right), 0);
    connect_left();
    expect_eq(await(rill_rdma_send(&client, &sent, "anew", 4, 1)), 4);
    expect_message(&server, "anew");
    background_start(&connecting, rill_rdma_disconnect(&server));
    expect_eq(await(rill_rdma_disconnect(&client)), 0);
    background_end(&connecting);
    rill_rdma_hub_close(&right);
    close_all();
}
END_TEST

/* Its connection ends, and no other. The word of the worker to itself is heard at once. */
START_TEST(a_peer_that_stops_makes_nobody_deaf)
{
    pid_t peer;

    if (!lose_peer(STOPS, &peer))
        return;
    expect_eq(await(rill_rdma_recv(&lost, &received_of_lost, buffer, sizeof buffer, 1)),
              -ETIMEDOUT);
    expect(duo.right.hearing.speaker);
    duo_turn_until(duo.right.hearing.was_heard);
    expect(!duo.right.is_deaf);
    expect_message(&server, "kept");
    expect_eq(await(rill_rdma_disconnect(&lost)), -ETIMEDOUT);
    expect_eq(await(rill_rdma_send(&client, &sent, "more", 4, 1)), 4);
    expect_message(&server, "more");
    background_start(&connecting, rill_rdma_disconnect(&server));
    expect_eq(await(rill_rdma_disconnect(&client)), 0);
    background_end(&connecting);
    background_start(&connecting, rill_rdma_disconnect(&dialling));
    expect_eq(await(rill_rdma_disconnect(&dialled)), 0);
    background_end(&connecting);
    rill_rdma_hub_close(&right);
    close_all();
    kill(peer, SIGKILL);
    ck_assert_int_eq(waitpid(peer, NULL, 0), peer);
}
END_TEST

/* ---- a server that opens anew ---- */

struct visitor {
    struct rill_task task;
    struct rill_rdma_connection peer;
    struct rill_rdma_state_wait connected;
    struct rill_rdma_transfer recv, send;
    char buffer[64];
};

/* Sends back what it gets. */
static enum rill_poll visitor_poll(struct rill_future *self, struct rill_task *task)
{
    struct visitor *visitor = rill_container_of(self, struct visitor, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_wait_for_connection(&visitor->peer, &visitor->connected));
    while (visitor->connected.result == 0 && visitor->send.result >= 0) {
        RILL_AWAIT(rill_rdma_recv(&visitor->peer, &visitor->recv, visitor->buffer,
                                  sizeof visitor->buffer, RILL_RDMA_ANY_TAG));
        if (visitor->recv.result < 0)
            break;
        RILL_AWAIT(rill_rdma_send(&visitor->peer, &visitor->send, visitor->buffer,
                                  (size_t)visitor->recv.result, 1));
    }
    RILL_AWAIT(rill_rdma_disconnect(&visitor->peer));
    RILL_END();
}

static struct {
    struct rill_future future;
    struct rill_rdma_server server;
    struct rill_scope visitors;
    char url[64];
    int rounds;
} echo;

static struct rill_future *serve(void)
{
    echo.rounds++;
    open_beside_tcp(&duo.right);
    expect_eq(rill_rdma_hub_open(&right, &duo.right), 0);
    rill_scope_init(&echo.visitors, RILL_SCOPE_INDEPENDENT);
    echo.server.scope = &echo.visitors;
    echo.server.options = watchful;
    return rill_rdma_serve(&echo.server, &right, echo.url,
                           RILL_SERVICE(struct visitor, peer, visitor_poll));
}

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    do {
        RILL_AWAIT(serve());
        expect(echo.rounds != 1 || strstr(echo.server.why, "left a hole"));
        RILL_AWAIT(rill_scope_join(&echo.visitors));
        rill_rdma_close(&duo.right);
    } while (echo.server.result == -ENOTRECOVERABLE);
    RILL_RETURN(echo.server.result);
    RILL_END();
}

START_TEST(a_server_opens_anew_and_serves_on)
{
    const struct rill_rdma_connection_options again = {.silence_ns = 1 * RILL_SECOND,
                                                       .reconnects = 100};
    struct background serving;
    uint16_t port;
    int pipe_fd, port_fd;
    pid_t peer = fork_peer(IS_KILLED_OF_SERVER, &pipe_fd);

    (void)_i;
    if (!fixture_open(REAL, NULL, NULL))
        return;
    port = duo_reserve_port(&port_fd);
    where = duo_address(port);
    snprintf(echo.url, sizeof echo.url, "rdma://127.0.0.1:%u", (unsigned)port);
    background_start(&serving, rill_future_init(&echo.future, echo_poll));
    duo_turn_until(echo.server.listener.is_open);
    open_beside_tcp(&duo.left);
    expect_eq(rill_rdma_hub_open(&left, &duo.left), 0);
    expect_eq(await(rill_rdma_connect(&client, &left, &where, &again)), 0);
    ck_assert_int_eq(write(pipe_fd, &where, sizeof where), (ssize_t)sizeof where);
    while (waitpid(peer, NULL, WNOHANG) == 0)
        pass(RILL_MILLISECOND);

    /* The one that lives loses its connection, too, and gets it back. */
    duo_turn_until(echo.rounds == 2 && echo.server.listener.is_open);
    ck_assert_str_eq(echo.server.why ? echo.server.why : "", "");
    duo_turn_until(client.metrics.connects == 2);
    expect_eq(await(rill_rdma_send(&client, &sent, "anew", 4, 1)), 4);
    expect_message(&client, "anew");
    expect_eq(await(rill_rdma_disconnect(&client)), 0);
    rill_task_cancel(&serving.task);
    expect_eq(background_end(&serving), -ECANCELED);
    rill_rdma_close(&duo.left);
    close(port_fd);
    close(pipe_fd);
    fixture.keeps_fds = true; /* those two were there before it began */
    fixture_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_hole_is_found_and_a_worker_opened_anew_hears_again, IN_SHM},
        {a_peer_that_stops_makes_nobody_deaf, IN_SHM},
        {a_server_opens_anew_and_serves_on, IN_SHM},
    };

    return duo_main("rdma_hearing", cases, sizeof cases / sizeof *cases);
}
