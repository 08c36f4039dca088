/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_endpoint.c - endpoints of real processes: connecting, dying, being turned away. */
#include "rdma/endpoint_info.h"

#include "io/program.h"
#include "rdma/stream.h"
#include "rdma/tag.h"
#include "runtime/timeout.h"
#include "tests/rdma/duo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rill_rdma_op send_op, recv_op, any_op;
static struct background sending, receiving, receiving_any;
static char buffer[8 << 20];

/* ---- in one process ---- */

START_TEST(two_endpoints_connect_by_socket_address)
{
    struct rill_rdma_ep client = {0}, server = {0};
    struct rill_address of_client, of_server;
    char text[256];

    if (!duo_open(_i, NULL))
        return;
    duo_connect(&client, &server);
    background_start(&sending, rill_rdma_tag_send(&client, &send_op, "hello", 5, 1));
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, buffer, 100, 1, 0)), 5);
    expect_eq(background_end(&sending), 5);
    expect_eq(await(rill_rdma_ep_flush(&client, &send_op)), 0);

    expect_eq(rill_rdma_ep_addresses(&client, NULL, &of_server), 0);
    expect_eq(rill_rdma_ep_addresses(&server, &of_server, &of_client), 0);
    expect_eq(of_client.any.sa_family, AF_INET);
    expect_eq(rill_rdma_ep_addresses(&duo.to_left, NULL, &of_client), -ENOTCONN);
    expect_eq(rill_rdma_ep_describe(&client, text, sizeof text), 0);
    ck_assert_msg(strstr(text, network()->is_verbs ? network()->left : "tcp/") != NULL, "%s", text);

    background_start(&sending, rill_rdma_ep_close(&client));
    duo_turn_until(server.error == -ECONNRESET);
    expect_eq(await(rill_rdma_ep_close(&server)), -ECONNRESET);
    expect_eq(background_end(&sending), 0);
    duo_close();
}
END_TEST

START_TEST(a_worker_can_talk_to_itself)
{
    struct rill_rdma_ep self = {0};
    size_t size;

    if (!duo_open(_i, NULL))
        return;
    expect_eq(rill_rdma_ep_open(&self, &duo.left, rill_rdma_address(&duo.left, &size)), 0);
    expect_eq(await(rill_rdma_tag_send(&self, &send_op, "hello", 5, 1)), 5);
    expect_eq(await(rill_rdma_tag_recv(&duo.left, &recv_op, buffer, 100, 1, 0)), 5);
    expect_eq(await(rill_rdma_ep_close(&self)), 0);
    duo_close();
}
END_TEST

START_TEST(where_nobody_listens_operations_end_with_an_error)
{
    static struct rill_rdma_listener listener;
    struct rill_rdma_ep client = {0};
    struct rill_address address;
    int64_t result;

    if (!duo_open(_i, NULL))
        return;
    address = duo_listen(&listener, &duo.right);
    rill_rdma_listener_close(&listener);
    expect_eq(rill_rdma_ep_connect(&client, &duo.left, &address), 0);
    background_start(&receiving, rill_rdma_tag_recv_from(&client, &recv_op, buffer, 100, 1, 0));
    result = await(rill_rdma_tag_send(&client, &send_op, buffer, sizeof buffer, 1));
    expect_eq(background_end(&receiving), result);
    expect_eq(client.error, result);
    if (!duo_is_loss(result))
        fixture_fail(__FILE__, __LINE__, "where nobody listens: %s", strerror((int)-result));
    expect_eq(await(rill_rdma_ep_close(&client)), result);
    duo_close();
}
END_TEST

/* The peer may be any program, whose pieces are shorter than those of connections. */
START_TEST(a_worker_for_connections_alone_has_no_bare_endpoints)
{
    static struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
    struct rill_rdma_ep client = {0}, refused = {0};
    struct rill_address address;
    size_t size;

    if (!duo_open_workers(_i, NULL))
        return;
    rill_rdma_close(&duo.right);
    duo.has_connections_alone = true;
    duo_open_worker(&duo.right, _i);
    address = duo_listen(&listener, &duo.right);
    expect_eq(rill_rdma_ep_open(&refused, &duo.right, rill_rdma_address(&duo.right, &size)),
              -EOPNOTSUPP);
    expect_eq(rill_rdma_ep_connect(&refused, &duo.right, &address), -EOPNOTSUPP);
    expect_eq(rill_rdma_ep_connect(&client, &duo.left, &address), 0);
    background_start(&sending, rill_rdma_tag_send(&client, &send_op, buffer, sizeof buffer, 1));
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_ep_adopt(&refused, &accept), -EOPNOTSUPP);
    expect_eq(background_end(&sending), -ECONNREFUSED); /* it was turned away */
    expect(!refused.is_open);
    expect(await(rill_rdma_ep_close(&client)) < 0);
    rill_rdma_listener_close(&listener);
    duo_close();
}
END_TEST

START_TEST(a_request_that_is_rejected_ends_the_operations_of_the_client)
{
    static struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
    struct rill_rdma_ep client = {0};
    struct rill_address address;
    int64_t result;

    if (!duo_open(_i, NULL))
        return;
    address = duo_listen(&listener, &duo.right);
    expect_eq(rill_rdma_ep_connect(&client, &duo.left, &address), 0);
    background_start(&sending, rill_rdma_tag_send(&client, &send_op, buffer, sizeof buffer, 1));
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    rill_rdma_reject(&accept);
    result = background_end(&sending);
    expect_eq(result, -ECONNREFUSED);
    await(rill_rdma_ep_close(&client));
    rill_rdma_listener_close(&listener);
    duo_close();
}
END_TEST

static int connect_silently(const struct rill_address *address)
{
    const struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    ck_assert_int_eq(connect(fd, &address->any, address->size), 0);
    return fd;
}

/* UCX would call a listener that is gone when their first bytes come. */
START_TEST(those_who_have_said_nothing_go_with_the_listener)
{
    enum { CLIENTS = 20 };
    static struct rill_rdma_listener listener;
    struct rill_rdma_ep client = {0};
    struct rill_rdma_accept accept;
    struct rill_rdma_ep server = {0};
    struct rill_address address;
    int fds[CLIENTS];
    size_t fds_before;
    char byte;

    if (!duo_open(_i, NULL))
        return;
    address = duo_listen(&listener, &duo.right);
    expect_eq(rill_rdma_ep_connect(&client, &duo.left, &address), 0);
    background_start(&sending, rill_rdma_tag_send(&client, &send_op, "hello", 5, 1));
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_ep_adopt(&server, &accept), 0);
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, buffer, 100, 1, 0)), 5);
    expect_eq(background_end(&sending), 5);
    expect_eq(await(rill_rdma_ep_flush(&client, &send_op)), 0);
    fds_before = fixture_count_fds();
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = connect_silently(&address);
    duo_turn_until(fixture_count_fds() == fds_before + 2 * CLIENTS); /* UCX has accepted them */
    rill_rdma_listener_close(&listener);
    expect_eq(fixture_count_fds(), fds_before + CLIENTS - 1);
    for (int i = 0; i < CLIENTS; i++) {
        expect(recv(fds[i], &byte, 1, 0) <= 0 && errno != EAGAIN);
        close(fds[i]);
    }
    /* who had connected before stays */
    background_start(&sending, rill_rdma_tag_send(&client, &send_op, "still", 5, 1));
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, buffer, 100, 1, 0)), 5);
    expect_eq(background_end(&sending), 5);
    background_start(&sending, rill_rdma_ep_close(&client));
    await(rill_rdma_ep_close(&server));
    background_end(&sending);
    duo_close();
}
END_TEST

/* Asked by a child, which ends by a signal if so: of its exit status valgrind makes one of its own,
 * as UCX's threads are not there to say what they have. */
static bool is_locked(int fd)
{
    int status;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

        if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
            kill(getpid(), SIGKILL);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status);
}

/* Closing any descriptor of a file gives up the locks of its process. */
START_TEST(closing_a_listener_leaves_locks_on_files_alone)
{
    static struct rill_rdma_listener listener;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[] = "/tmp/rill-locked-XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    unlink(path);
    ck_assert_int_eq(fcntl(fd, F_SETLK, &lock), 0);
    if (!duo_open(_i, NULL))
        return;
    duo_listen(&listener, &duo.right);
    rill_rdma_listener_close(&listener);
    expect(is_locked(fd));
    duo_close();
    close(fd);
}
END_TEST

START_TEST(a_port_that_is_taken_is_an_error)
{
    static struct rill_rdma_listener listener, second;
    struct rill_address address;
    int error;

    if (!duo_open(_i, NULL))
        return;
    address = duo_listen(&listener, &duo.right);
    error = rill_rdma_listen(&second, &duo.left, &address);
    expect(error == -EADDRINUSE || error == -EBUSY);
    rill_rdma_listener_close(&listener);
    duo_close();
}
END_TEST

/* UCX itself says no more than that there was an error of input or output. */
START_TEST(an_address_of_another_machine_is_none_to_listen_at)
{
    static struct rill_rdma_listener listener;
    struct rill_address address;

    if (!duo_open(_i, NULL))
        return;
    expect_eq(rill_address_parse(&address, "192.0.2.1", 0), 0); /* of documents (RFC 5737) */
    expect_eq(rill_rdma_listen(&listener, &duo.right, &address), -EADDRNOTAVAIL);
    expect(!listener.is_open);
    duo_close();
}
END_TEST

START_TEST(the_address_of_a_unix_socket_is_none_for_ucx)
{
    static struct rill_rdma_listener listener;
    struct rill_rdma_ep client = {0};
    struct rill_address address;

    if (!duo_open(_i, NULL))
        return;
    expect_eq(rill_address_set_path(&address, "@rill"), 0);
    expect_eq(rill_rdma_listen(&listener, &duo.right, &address), -EINVAL);
    expect(!listener.is_open);
    expect_eq(rill_rdma_ep_connect(&client, &duo.left, &address), -EINVAL);
    expect(!client.is_open);
    duo_close();
}
END_TEST

START_TEST(connecting_and_closing_many_times_leaves_nothing)
{
    if (!duo_open(_i, NULL))
        return;
    for (int i = 0; i < 30; i++) {
        struct rill_rdma_ep client = {0}, server = {0};

        duo_connect(&client, &server);
        if (i % 3 == 1) {
            expect_eq(await(rill_rdma_stream_send(&client, &send_op, buffer, 100)), 100);
            expect_eq(await(rill_rdma_stream_recv_exactly(&server, &recv_op, buffer, 100)), 100);
        }
        background_start(&sending,
                         i % 2 ? rill_rdma_ep_close(&client) : rill_rdma_ep_abort(&client));
        await(i % 5 ? rill_rdma_ep_close(&server) : rill_rdma_ep_abort(&server));
        background_end(&sending);
    }
    expect_eq(duo.left.stats.abandoned + duo.right.stats.abandoned, 0);
    duo_close();
}
END_TEST

START_TEST(closing_waits_for_a_rendezvous_until_it_is_received)
{
    static struct background closing;

    if (!duo_open(_i, NULL))
        return;
    background_start(&sending,
                     rill_rdma_tag_send(&duo.to_right, &send_op, buffer, sizeof buffer / 2, 1));
    settle();
    background_start(&closing, rill_rdma_ep_close(&duo.to_right));
    settle();
    expect(!rill_task_is_over(&closing.task));
    expect(!rill_task_is_over(&sending.task));
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, buffer + sizeof buffer / 2,
                                       sizeof buffer / 2, 1, 0)),
              sizeof buffer / 2);
    expect_eq(background_end(&sending), sizeof buffer / 2);
    background_start(&receiving, rill_rdma_ep_close(&duo.to_left));
    expect_eq(background_end(&closing), 0);
    expect_eq(background_end(&receiving), 0);
    duo_close();
}
END_TEST

/* ---- in two ---- */

/* The child accepts one client and echoes its stream; it says on the pipe where. */
static void serve(int which, int pipe_fd)
{
    static struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
    struct rill_rdma_ep peer = {0};
    struct rill_address address;
    int64_t got = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!fixture_open(REAL, NULL, NULL))
        _exit(77);
    duo_open_worker(&duo.right, which);
    address = duo_listen(&listener, &duo.right);
    if (write(pipe_fd, &address, sizeof address) != sizeof address)
        _exit(1);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_ep_adopt(&peer, &accept), 0);
    while (got >= 0) {
        got = await(rill_rdma_stream_recv(&peer, &recv_op, buffer, sizeof buffer));
        if (got > 0)
            got = await(rill_rdma_stream_send(&peer, &send_op, buffer, (size_t)got));
    }
    expect_eq(await(rill_rdma_ep_close(&peer)), -ECONNRESET);
    rill_rdma_listener_close(&listener);
    rill_rdma_close(&duo.right);
    fixture_close();
    _exit(got == -ECONNRESET ? 0 : 1);
}

static pid_t start_server(int which, struct rill_address *address)
{
    int ends[2];
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        serve(which, ends[1]);
    close(ends[1]);
    if (read(ends[0], address, sizeof *address) != sizeof *address) {
        int status;

        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 77, "the server: %#x",
                      (unsigned)status);
        return -1;
    }
    close(ends[0]);
    return child;
}

static bool connect_to_server(pid_t *child, struct rill_rdma_ep *ep)
{
    struct rill_address address;

    *child = start_server(OVER_TCP, &address);
    if (*child < 0 || !fixture_open(REAL, NULL, NULL))
        return false;
    duo_open_worker(&duo.left, OVER_TCP);
    expect_eq(rill_rdma_ep_connect(ep, &duo.left, &address), 0);
    return true;
}

static void close_left(struct rill_rdma_ep *ep)
{
    await(rill_rdma_ep_close(ep));
    expect_eq(duo.left.ops_in_flight, 0);
    expect_eq(duo.left.source.pending, 0);
    rill_rdma_close(&duo.left);
    fixture_close();
}

START_TEST(another_process_echoes)
{
    struct rill_rdma_ep ep = {0};
    int status;
    pid_t child;

    if (!connect_to_server(&child, &ep))
        return;
    for (size_t size = 1; size <= sizeof buffer / 4; size *= 8) {
        pattern_fill(buffer, size, size);
        background_start(&sending, rill_rdma_stream_send(&ep, &send_op, buffer, size));
        expect_eq(
            await(rill_rdma_stream_recv_exactly(&ep, &recv_op, buffer + sizeof buffer / 2, size)),
            size);
        expect_eq(background_end(&sending), size);
        expect(pattern_is(buffer + sizeof buffer / 2, size, size));
    }
    expect_eq(await(rill_rdma_ep_close(&ep)), 0);
    close_left(&ep);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(everything_on_an_endpoint_ends_soon_after_its_peer_was_killed)
{
    struct rill_rdma_ep ep = {0};
    int64_t began_ns, result;
    pid_t child;

    if (!connect_to_server(&child, &ep))
        return;
    expect_eq(await(rill_rdma_stream_send(&ep, &send_op, "x", 1)), 1);
    expect_eq(await(rill_rdma_stream_recv(&ep, &recv_op, buffer, 1)), 1);
    /* A rendezvous that nobody answers, a receive that knows its peer and one that does not. */
    background_start(&sending, rill_rdma_tag_send(&ep, &send_op, buffer, sizeof buffer / 2, 1));
    background_start(&receiving, rill_rdma_tag_recv_from(&ep, &recv_op, buffer, 100, 1, 0));
    background_start(&receiving_any, rill_rdma_tag_recv(&duo.left, &any_op, buffer, 100, 1, 0));
    settle();
    began_ns = fixture_own_now();
    kill(child, SIGKILL);
    result = background_end(&sending);
    expect(duo_is_loss(result));
    expect_eq(background_end(&receiving), result);
    printf("the death was known after %lld us\n", (long long)(fixture_own_now() - began_ns) / 1000);
    ck_assert_int_le(fixture_own_now() - began_ns, network()->slowness * 2 * RILL_SECOND);
    expect(!rill_task_is_over(&receiving_any.task));
    rill_task_cancel(&receiving_any.task);
    expect_eq(background_end(&receiving_any), -ECANCELED);
    expect_eq(await(rill_rdma_ep_close(&ep)), result);
    expect_eq(duo.left.stats.abandoned, 0);
    close_left(&ep);
    waitpid(child, NULL, 0);
}
END_TEST

START_TEST(closing_an_endpoint_whose_peer_is_stopped_can_be_cut_short)
{
    struct rill_rdma_ep ep = {0};
    struct rill_timeout timeout;
    int64_t began_ns;
    pid_t child;

    if (!connect_to_server(&child, &ep))
        return;
    expect_eq(await(rill_rdma_stream_send(&ep, &send_op, "x", 1)), 1);
    expect_eq(await(rill_rdma_stream_recv(&ep, &recv_op, buffer, 1)), 1);
    kill(child, SIGSTOP);
    background_start(&sending, rill_rdma_tag_send(&ep, &send_op, buffer, sizeof buffer / 2, 1));
    settle();
    began_ns = fixture_own_now();
    expect_eq(await(rill_timeout(&timeout, 10 * RILL_MILLISECOND, rill_rdma_ep_close(&ep))),
              -ETIMEDOUT);
    expect(!ep.is_open);
    expect_eq(background_end(&sending), -ESHUTDOWN);
    ck_assert_int_le(fixture_own_now() - began_ns, network()->slowness * 2 * RILL_SECOND);
    close_left(&ep);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
END_TEST

enum { LONG = 1 << 20 }; /* bytes that stay with their sender */

/* As to a peer that is stopped: nobody ever takes it. */
START_TEST(a_send_that_nobody_takes_can_not_keep_the_program_from_ending)
{
    static struct rill_timeout timeout;
    int64_t began_ns;

    if (!duo_open(_i, NULL))
        return;
    background_start(&receiving,
                     rill_timeout(&timeout, RILL_MILLISECOND,
                                  rill_rdma_tag_send(&duo.to_right, &any_op, buffer, LONG, 1)));
    background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send_op, buffer, LONG, 1));
    for (int i = 0; i < 10; i++)
        settle();
    rill_task_cancel(&sending.task); /* neither this nor the time that is out ends them */
    for (int i = 0; i < 10; i++)
        settle();
    expect(!rill_task_is_over(&sending.task));
    expect(!rill_task_is_over(&receiving.task));
    began_ns = fixture_real_now();
    rill_task_cancel_because(&receiving.task, RILL_SHUTTING_DOWN);
    expect(background_end(&receiving) < 0);
    expect_eq(background_end(&sending), -ECANCELED);
    ck_assert_int_ge(fixture_real_now() - began_ns, RILL_RDMA_LAST_OPS_NS / 2); /* not at once */
    expect_eq(duo.to_right.error, -ECANCELED);
    expect_eq(await(rill_rdma_ep_close(&duo.to_right)), -ECANCELED);
    duo_close();
}
END_TEST

START_TEST(what_was_cancelled_before_can_not_keep_the_program_from_ending)
{
    if (!duo_open(_i, NULL))
        return;
    background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send_op, buffer, LONG, 1));
    for (int i = 0; i < 10; i++)
        settle();
    rill_task_cancel(&sending.task);
    for (int i = 0; i < 10; i++)
        settle();
    expect(!rill_task_is_over(&sending.task));
    rill_executor_cancel_all(&fixture.runtime->executor, RILL_SHUTTING_DOWN);
    expect_eq(background_end(&sending), -ECANCELED);
    expect_eq(await(rill_rdma_ep_close(&duo.to_right)), -ECANCELED);
    duo_close();
}
END_TEST

/* A program that sends to itself what it never receives. */
static struct {
    struct rill_future future;
    struct rill_rdma rdma;
    struct rill_rdma_ep ep;
    struct rill_rdma_op op;
    struct rill_timeout timeout;
} program;

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    size_t size;

    RILL_BEGIN();
    expect_eq(rill_rdma_open(&program.rdma, &(struct rill_rdma_options){.bare_endpoints = true}),
              0);
    expect_eq(
        rill_rdma_ep_open(&program.ep, &program.rdma, rill_rdma_address(&program.rdma, &size)), 0);
    raise(SIGTERM);
    RILL_AWAIT(rill_timeout(&program.timeout, RILL_MILLISECOND,
                            rill_rdma_tag_send(&program.ep, &program.op, buffer, LONG, 1)));
    RILL_AWAIT(rill_rdma_ep_close(&program.ep));
    rill_rdma_close(&program.rdma);
    RILL_RETURN(0);
    RILL_END();
}

START_TEST(a_program_whose_own_future_sends_what_nobody_takes_ends)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGTERM, SIG_DFL); /* libcheck has a handler of its own */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("UCX_TLS", "tcp", 1);
        _exit(rill_main(rill_future_init(&program.future, program_poll)));
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(sends_that_are_over_in_time_are_not_given_up_as_the_program_ends)
{
    struct rill_sleep pause;

    if (!duo_open(_i, NULL))
        return;
    background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send_op, buffer, LONG, 1));
    settle();
    rill_task_cancel_because(&sending.task, RILL_SHUTTING_DOWN);
    settle();
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, buffer + LONG, LONG, 1,
                                       RILL_RDMA_TAG_EXACT)),
              LONG);
    expect_eq(background_end(&sending), LONG);
    await(rill_sleep(&pause, RILL_RDMA_LAST_OPS_NS + RILL_SECOND / 10));
    expect_eq(duo.to_right.error, 0);
    duo_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {two_endpoints_connect_by_socket_address, IN_TCP | SOCKET_ADDRESSES},
        {a_worker_can_talk_to_itself, IN_TCP_AND_SHM | LOOPBACK},
        {where_nobody_listens_operations_end_with_an_error, IN_TCP | SOCKET_ADDRESSES},
        {a_worker_for_connections_alone_has_no_bare_endpoints, IN_TCP | SOCKET_ADDRESSES},
        {a_request_that_is_rejected_ends_the_operations_of_the_client, IN_TCP | SOCKET_ADDRESSES},
        {closing_a_listener_leaves_locks_on_files_alone, IN_TCP | TCP_ITSELF},
        {those_who_have_said_nothing_go_with_the_listener, IN_TCP | TCP_ITSELF},
        {a_port_that_is_taken_is_an_error, IN_TCP | SOCKET_ADDRESSES},
        {an_address_of_another_machine_is_none_to_listen_at, IN_TCP | SOCKET_ADDRESSES},
        {the_address_of_a_unix_socket_is_none_for_ucx, IN_TCP | SOCKET_ADDRESSES},
        {connecting_and_closing_many_times_leaves_nothing, IN_TCP | SOCKET_ADDRESSES},
        {closing_waits_for_a_rendezvous_until_it_is_received, IN_TCP_AND_SHM},
        {a_send_that_nobody_takes_can_not_keep_the_program_from_ending, IN_TCP_AND_SHM},
        {what_was_cancelled_before_can_not_keep_the_program_from_ending, IN_TCP_AND_SHM},
        {a_program_whose_own_future_sends_what_nobody_takes_ends, IN_TCP | TCP_ITSELF},
        {sends_that_are_over_in_time_are_not_given_up_as_the_program_ends, IN_TCP_AND_SHM},
        {another_process_echoes, IN_TCP | SOCKET_ADDRESSES},
        {everything_on_an_endpoint_ends_soon_after_its_peer_was_killed, IN_TCP | SOCKET_ADDRESSES},
        {closing_an_endpoint_whose_peer_is_stopped_can_be_cut_short, IN_TCP | SOCKET_ADDRESSES},
    };

    return duo_main("rdma endpoint", cases, sizeof cases / sizeof *cases);
}
