/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_backlog.c - more clients than a listener is given time for wait, and none is lost. */
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "rdma/listener.h"
#include "rdma/server.h"
#include "tests/rdma/duo.h"
#include "tests/rdma/fake_ucx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- with UCX itself: all clients of a process come at once ---- */

enum {
    CLIENTS = 1100,    /* more than are held, and than UCX by itself has room for */
    FDS = 6 * CLIENTS, /* of either process */
};

enum outcome { ALL_CONNECTED, NONE_CONNECTED, SOME_CONNECTED };

static struct client {
    struct rill_rdma_connection connection;
    struct background connecting;
} clients[CLIENTS];

static struct rill_rdma_hub hub;
static struct rill_rdma_listener listener;

/* Says how many were connected, and is killed, so that nobody asks what it leaves behind. */
static void be_clients(int fd)
{
    struct rill_address where;
    enum outcome outcome;
    int connected = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(fd, &where, sizeof where) != sizeof where || !fixture_open(REAL, NULL, NULL))
        _exit(255);
    duo_open_worker(&duo.left, OVER_TCP);
    expect_eq(rill_rdma_hub_open(&hub, &duo.left), 0);
    for (int i = 0; i < CLIENTS; i++)
        background_start(&clients[i].connecting,
                         rill_rdma_connect(&clients[i].connection, &hub, &where, NULL));
    for (int i = 0; i < CLIENTS; i++)
        connected += background_end(&clients[i].connecting) == 0;
    outcome = connected == CLIENTS ? ALL_CONNECTED
              : connected > 0      ? SOME_CONNECTED
                                   : NONE_CONNECTED;
    ck_assert_int_eq(write(fd, &outcome, sizeof outcome), sizeof outcome);
    raise(SIGKILL);
}

static bool has_fds(void)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < FDS)
        return false;
    if (limit.rlim_cur < FDS)
        limit.rlim_cur = FDS;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

struct visit {
    struct rill_task task;
    struct rill_rdma_connection peer;
    struct rill_rdma_state_wait wait;
    struct rill_rdma_transfer recv;
    char byte;
};

static enum rill_poll visit_poll(struct rill_future *self, struct rill_task *task)
{
    struct visit *visit = rill_container_of(self, struct visit, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_wait_for_connection(&visit->peer, &visit->wait));
    RILL_AWAIT(rill_rdma_recv(&visit->peer, &visit->recv, &visit->byte, 1, 1)); /* until it goes */
    RILL_AWAIT(rill_rdma_disconnect(&visit->peer));
    RILL_END();
}

/* They have to be there before this process opens a runtime, and are told the address. */
static pid_t fork_clients(int *fd)
{
    int fds[2];
    pid_t pid;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    ck_assert_int_eq(fcntl(fds[0], F_SETFL, 0), 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        close(fds[1]);
        be_clients(fds[0]);
    }
    close(fds[0]);
    *fd = fds[1];
    return pid;
}

static void tell_address(int fd, struct rill_address where)
{
    ck_assert_int_eq(write(fd, &where, sizeof where), (ssize_t)sizeof where);
}

static enum outcome wait_for_clients(int fd, pid_t pid)
{
    enum outcome outcome;
    ssize_t size;

    while ((size = read(fd, &outcome, sizeof outcome)) < 0)
        pass(RILL_MILLISECOND);
    ck_assert_int_eq(size, sizeof outcome);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    return outcome;
}

static void close_duo(int fd)
{
    rill_rdma_close(&duo.right);
    close(fd);
    fixture.keeps_fds = true; /* that was there before it began */
    fixture_close();
}

START_TEST(all_who_come_at_once_are_served)
{
    static struct rill_rdma_server server;
    struct rill_scope visits;
    struct rill_address where;
    struct background serving;
    int fd;
    pid_t pid;

    if (!has_fds())
        return;
    pid = fork_clients(&fd);
    if (!fixture_open(REAL, NULL, NULL))
        return;
    duo_open_worker(&duo.right, OVER_TCP);
    expect_eq(rill_rdma_hub_open(&hub, &duo.right), 0);
    rill_scope_init(&visits, RILL_SCOPE_INDEPENDENT);
    server.scope = &visits;
    background_start(&serving, rill_rdma_serve(&server, &hub, "rdma://127.0.0.1:0",
                                               RILL_SERVICE(struct visit, peer, visit_poll)));
    duo_turn_until(server.listener.is_open);
    expect_eq(rill_rdma_listener_address(&server.listener, &where), 0);
    tell_address(fd, where);
    expect_eq(wait_for_clients(fd, pid), ALL_CONNECTED);
    expect_eq(server.accepted, CLIENTS);
    expect_eq(server.listener.rejected, 0);
    rill_task_cancel(&serving.task);
    expect_eq(background_end(&serving), -ECANCELED);
    await(rill_scope_join(&visits));
    rill_rdma_hub_close(&hub);
    close_duo(fd);
}
END_TEST

/* Those whom UCX has not accepted yet among them. */
START_TEST(all_who_wait_are_told_when_it_closes)
{
    int fd;
    pid_t pid;

    if (!has_fds())
        return;
    pid = fork_clients(&fd);
    if (!fixture_open(REAL, NULL, NULL))
        return;
    duo_open_worker(&duo.right, OVER_TCP);
    tell_address(fd, duo_listen(&listener, &duo.right));
    duo_turn_until(listener.is_full);
    rill_rdma_listener_close(&listener);
    expect_eq(wait_for_clients(fd, pid), NONE_CONNECTED);
    expect(!listener.held);
    close_duo(fd);
}
END_TEST

/* ---- with the fake, which brings as many as the test says ---- */

static struct rill_rdma rdma;
static struct rill_rdma_accept accept_op;
static unsigned changes;
static bool listens;

static ucs_status_t note_listening(int fd, bool now)
{
    expect_eq(fd, listener.fd);
    listens = now;
    changes++;
    return UCS_OK;
}

static void open_fake(void)
{
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    static struct rill_ucx table;

    fake_reset();
    table = fake_ucx;
    table.set_listening = note_listening;
    expect(fixture_open(SIMULATED, NULL, NULL));
    expect_eq(
        rill_rdma_open(&rdma, &(struct rill_rdma_options){.ucx = &table, .bare_endpoints = true}),
        0);
    expect_eq(rill_rdma_listen(&listener, &rdma, &any), 0);
    listener.fd = 1000; /* the fake has no socket */
    listens = true;
    changes = 0;
}

static void close_fake(void)
{
    rill_rdma_listener_close(&listener);
    rill_rdma_close(&rdma);
    fixture_close();
}

static void come(unsigned count)
{
    while (count-- > 0)
        fake_connect();
    settle();
}

static void turn_away(unsigned count)
{
    while (count-- > 0) {
        expect_eq(await(rill_rdma_accept(&listener, &accept_op)), 0);
        rill_rdma_reject(&accept_op);
    }
}

START_TEST(when_many_wait_it_does_not_listen_until_half_were_taken)
{
    (void)_i;
    open_fake();
    come(RILL_RDMA_LISTENER_HELD_MANY - 1);
    expect(listens);
    come(1);
    expect(!listens);
    come(10); /* whom UCX had heard by then */
    turn_away(RILL_RDMA_LISTENER_HELD_MANY / 2 + 9);
    expect(!listens);
    turn_away(1);
    expect(listens);
    expect_eq(changes, 2);
    turn_away(RILL_RDMA_LISTENER_HELD_MANY / 2);
    come(1);
    expect_eq(changes, 2);
    expect_eq(listener.rejected, 0);
    close_fake();
}
END_TEST

static void run_short_of_fds(void)
{
    fake.fds_are_short = true;
    come(1); /* who is turned away */
    expect(!listens);
}

START_TEST(it_does_not_listen_while_there_is_one_reason_of_two)
{
    (void)_i;
    open_fake();
    come(RILL_RDMA_LISTENER_HELD_MANY);
    run_short_of_fds();
    fake.fds_are_short = false;
    pass(2 * RILL_SECOND);
    expect(!listens);
    turn_away(RILL_RDMA_LISTENER_HELD_MANY / 2);
    expect(listens);

    come(RILL_RDMA_LISTENER_HELD_MANY / 2);
    run_short_of_fds();
    turn_away(RILL_RDMA_LISTENER_HELD_MANY);
    expect(!listens);
    fake.fds_are_short = false;
    pass(2 * RILL_SECOND);
    expect(listens);
    expect_eq(rdma.source.pending, 0);
    expect_eq(listener.rejected, 2);
    close_fake();
}
END_TEST

/* UCX knows only how to turn away whom it has accepted. */
START_TEST(one_that_is_closed_while_many_wait_listens_to_all_of_them)
{
    (void)_i;
    open_fake();
    come(RILL_RDMA_LISTENER_HELD_MANY);
    expect(!listens);
    rill_rdma_listener_close(&listener);
    expect(listens);
    expect_eq(fake.rejected, RILL_RDMA_LISTENER_HELD_MANY);
    close_fake();
}
END_TEST

/* Or as the environment says. */
START_TEST(a_worker_has_room_for_as_many_sockets_as_there_may_be_descriptors)
{
    struct rlimit limit;

    (void)_i;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    open_fake();
    expect_eq(fake.sockets,
              limit.rlim_max < RILL_RDMA_SOCKETS_MAX ? limit.rlim_max : RILL_RDMA_SOCKETS_MAX);
    close_fake();
    ck_assert_int_eq(setenv("UCX_ASYNC_MAX_EVENTS", "100", 1), 0);
    open_fake();
    expect_eq(fake.sockets, 0);
    close_fake();
}
END_TEST

START_TEST(requests_beyond_the_limit_are_rejected_and_counted)
{
    (void)_i;
    open_fake();
    for (int i = 0; i < RILL_RDMA_LISTENER_HELD_MAX / RILL_RDMA_LISTENER_HELD_MANY; i++)
        come(RILL_RDMA_LISTENER_HELD_MANY);
    expect_eq(listener.rejected, 0);
    come(5);
    expect_eq(listener.rejected, 5);
    expect_eq(rdma.stats.requests_rejected, 5);
    turn_away(RILL_RDMA_LISTENER_HELD_MAX);
    come(RILL_RDMA_LISTENER_HELD_MANY); /* which begin anew where the memory ends */
    turn_away(RILL_RDMA_LISTENER_HELD_MANY);
    expect_eq(fake.rejected, RILL_RDMA_LISTENER_HELD_MAX + 5 + RILL_RDMA_LISTENER_HELD_MANY);
    close_fake();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {all_who_come_at_once_are_served, IN_TCP | TCP_ITSELF},
        {all_who_wait_are_told_when_it_closes, IN_TCP | TCP_ITSELF},
        {when_many_wait_it_does_not_listen_until_half_were_taken, IN_TCP | TCP_ITSELF},
        {it_does_not_listen_while_there_is_one_reason_of_two, IN_TCP | TCP_ITSELF},
        {one_that_is_closed_while_many_wait_listens_to_all_of_them, IN_TCP | TCP_ITSELF},
        {a_worker_has_room_for_as_many_sockets_as_there_may_be_descriptors, IN_TCP | TCP_ITSELF},
        {requests_beyond_the_limit_are_rejected_and_counted, IN_TCP | TCP_ITSELF},
    };

    return duo_main("rdma_backlog", cases, sizeof cases / sizeof *cases);
}
