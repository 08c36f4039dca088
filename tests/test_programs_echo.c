/* SPDX-License-Identifier: Apache-2.0 */
/* test_programs_echo.c - rill-echo serves good clients, outlives bad ones, and ends when asked. */
#include "tests/client.h"
#include "tests/json_reader.h"
#include "tests/programs.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MIB = 1024 * 1024 };

static struct echo_server server;

/* One client comes, is served and goes. */
static void expect_service(void)
{
    int fd = client_connect(server.port);

    client_echo(fd, 10000, 42);
    client_finish_sending(fd);
    client_expect_end(fd);
    client_close(fd);
}

/* ---- serving ---- */

START_TEST(each_URL_is_announced_with_its_port_and_served)
{
    uint16_t ports[3];
    int fds[3], ip6 = socket(AF_INET6, SOCK_STREAM, 0);

    if (ip6 < 0) {
        printf("skipped: there is no IPv6 here\n");
        return;
    }
    close(ip6);
    echo_server_start(&server, NULL,
                      (const char *const[]){"bin/rill-echo", "-j", LOOPBACK_URL, "tcp://[::1]:0",
                                            "tcp://0.0.0.0:0", NULL});
    process_line(&server.process, "listening on tcp://127.0.0.1:", 0);
    process_line(&server.process, "listening on tcp://[::1]:", 0);
    process_line(&server.process, "listening on tcp://0.0.0.0:", 0);
    for (unsigned i = 0; i < 3; i++)
        ports[i] = listening_port(&server.process, i);
    for (int i = 0; i < 3; i++)
        fds[i] = client_connect_family(i == 1 ? AF_INET6 : AF_INET, ports[i]);
    for (int i = 0; i < 3; i++)
        client_echo(fds[i], 1000, (uint64_t)i);
    for (int i = 0; i < 3; i++)
        client_close(fds[i]);
    ck_assert_double_eq(json_number(echo_server_stop(&server), "connections"), 3);
}
END_TEST

/* As systemd starts a server: by the first client, and anew while others wait. */
START_TEST(a_socket_that_it_is_started_with_is_served_by_number_and_by_name)
{
    static const char *const urls[] = {"fd://3", "fd://echo"};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const struct process_limits given = {.socket_name = "echo", .socket_fd = listening};

    ck_assert_int_eq(bind(listening, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listening, 10), 0);
    ck_assert_int_eq(getsockname(listening, (struct sockaddr *)&address, &size), 0);
    for (int i = 0; i < 2; i++) {
        int early = client_connect(ntohs(address.sin_port));

        echo_server_start(&server, &given,
                          (const char *const[]){"bin/rill-echo", "--json", urls[i], NULL});
        ck_assert_uint_eq(server.port, ntohs(address.sin_port));
        client_echo(early, 1000, 1);
        client_close(early);
        expect_service();
        ck_assert_double_eq(json_number(echo_server_stop(&server), "connections"), 2);
    }
    close(listening);
}
END_TEST

START_TEST(every_byte_comes_back_be_it_one_or_16_MiB)
{
    const size_t sizes[] = {1, 64 * 1024, 16 * MIB};
    const char *statistics;
    int fd;

    ECHO_SERVER_START(&server);
    fd = client_connect(server.port);
    client_echo(fd, sizes[_i], 1);
    client_finish_sending(fd);
    client_expect_end(fd);
    client_close(fd);
    statistics = echo_server_stop(&server);
    ck_assert_double_eq(json_number(statistics, "bytes"), (double)sizes[_i]);
    ck_assert_double_eq(json_number(statistics, "connections"), 1);
    ck_assert_double_eq(json_number(statistics, "errors"), 0);
}
END_TEST

START_TEST(a_few_small_buffers_shared_by_many_lose_no_byte)
{
    int fds[20];

    ECHO_SERVER_START(&server, "--buffers", "2", "--buffer-size", "64");
    for (int i = 0; i < 20; i++)
        fds[i] = client_connect(server.port);
    for (int i = 0; i < 20; i++)
        client_send(fds[i], 20000, (uint64_t)i);
    for (int i = 0; i < 20; i++)
        client_receive(fds[i], 20000, (uint64_t)i);
    for (int i = 0; i < 20; i++)
        client_close(fds[i]);
    ck_assert_double_eq(json_number(echo_server_stop(&server), "bytes"), 20 * 20000);
}
END_TEST

START_TEST(who_is_too_many_waits_until_another_client_is_gone)
{
    uint16_t ports[2];
    char byte;
    int fds[3];

    ECHO_SERVER_START(&server, LOOPBACK_URL, "--connections-max", "2");
    for (unsigned i = 0; i < 2; i++)
        ports[i] = listening_port(&server.process, i);
    for (int i = 0; i < 3; i++) {
        fds[i] = client_connect(ports[i % 2]);
        if (i < 2)
            client_echo(fds[i], 1, 1);
    }
    client_send(fds[2], 1, 7);
    for (uint64_t i = 0; i < 100; i++)
        client_echo(fds[i % 2], 1000, i);
    ck_assert_int_eq(recv(fds[2], &byte, 1, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
    client_close(fds[0]);
    client_receive(fds[2], 1, 7);
    client_echo(fds[1], 1000, 1);
    for (int i = 1; i < 3; i++)
        client_close(fds[i]);
    ck_assert_double_eq(json_number(echo_server_stop(&server), "connections"), 3);
}
END_TEST

/* ---- ending ---- */

START_TEST(without_connections_a_signal_ends_it_at_once)
{
    const int signals[] = {SIGTERM, SIGINT};

    ECHO_SERVER_START(&server, "--grace", "1h");
    expect_service();
    process_signal(&server.process, signals[_i]);
    ck_assert_int_eq(process_wait(&server.process), 0);
}
END_TEST

START_TEST(an_idle_connection_has_the_grace_period_and_no_longer)
{
    int64_t begin_ms, took_ms;
    int fd;

    ECHO_SERVER_START(&server, "--grace", "500ms");
    fd = client_connect(server.port);
    client_echo(fd, 1, 1);
    begin_ms = now_ms();
    echo_server_stop(&server);
    took_ms = now_ms() - begin_ms;
    ck_assert_int_ge(took_ms, 490);
    ck_assert_int_lt(took_ms, 10000);
    client_close(fd);
}
END_TEST

START_TEST(within_the_grace_period_connections_go_on_and_new_ones_are_refused)
{
    int fd;

    ECHO_SERVER_START(&server, "--grace", "1h");
    fd = client_connect(server.port);
    client_echo(fd, 1, 1);
    process_signal(&server.process, SIGTERM);
    while (!client_is_refused(server.port))
        sleep_ms(5);
    client_echo(fd, 1 * MIB, 2);
    client_close(fd);
    ck_assert_int_eq(process_wait(&server.process), 0);
    ck_assert_double_eq(json_number(strchr(server.process.out.text, '{'), "bytes"), 1 * MIB + 1);
}
END_TEST

START_TEST(a_second_signal_ends_it_within_the_grace_period)
{
    int fd, status;

    ECHO_SERVER_START(&server, "--grace", "1h");
    fd = client_connect(server.port);
    client_echo(fd, 1, 1);
    process_signal(&server.process, SIGTERM);
    while (!client_is_refused(server.port)) /* two equal signals at once are one */
        sleep_ms(5);
    process_signal(&server.process, SIGTERM);
    status = process_wait(&server.process);
    ck_assert_int_eq(status, -SIGTERM);
    client_close(fd);
}
END_TEST

START_TEST(without_a_grace_period_busy_connections_are_cut_off_and_nothing_is_left)
{
    int fds[50];

    ECHO_SERVER_START(&server, "--grace", "0");
    for (int i = 0; i < 50; i++) {
        fds[i] = client_connect(server.port);
        client_send(fds[i], 64 * 1024, (uint64_t)i);
    }
    ck_assert_double_le(json_number(echo_server_stop(&server), "connections"), 50);
    for (int i = 0; i < 50; i++)
        client_close(fds[i]);
}
END_TEST

/* ---- clients that do not behave ---- */

START_TEST(a_client_that_is_killed_while_it_sends_leaves_nothing)
{
    unsigned before;

    ECHO_SERVER_START(&server, "--grace", "1h");
    expect_service();
    before = process_descriptors(server.process.pid);
    for (int i = 0; i < 10; i++) {
        pid_t client = client_fork(server.port);

        sleep_ms(i); /* the deeper in the middle */
        client_kill(client);
    }
    echo_server_expect_descriptors(&server, before);
    expect_service();
    echo_server_stop(&server);
}
END_TEST

START_TEST(a_client_that_resets_its_connection_leaves_nothing)
{
    unsigned before;
    int fd;

    ECHO_SERVER_START(&server, "--grace", "1h");
    before = process_descriptors(server.process.pid);
    client_reset(client_connect(server.port));
    for (size_t size = 1; size <= 1 * MIB; size *= 4) {
        fd = client_connect(server.port);
        client_send(fd, size, size);
        client_reset(fd);
    }
    fd = client_connect(server.port);
    client_stuff(&fd, 1); /* the server is sending, and the reset ends that */
    client_reset(fd);
    expect_service();
    echo_server_expect_descriptors(&server, before);
    echo_server_stop(&server);
}
END_TEST

START_TEST(a_client_that_has_finished_sending_still_gets_its_echo_and_then_the_end)
{
    int fds[10];

    ECHO_SERVER_START(&server, "--grace", "1h");
    for (int i = 0; i < 10; i++) {
        fds[i] = client_connect(server.port);
        client_send(fds[i], 100000, (uint64_t)i);
        client_finish_sending(fds[i]);
    }
    for (int i = 0; i < 10; i++) {
        client_receive(fds[i], 100000, (uint64_t)i);
        client_expect_end(fds[i]);
        client_close(fds[i]);
    }
    ck_assert_double_eq(json_number(echo_server_stop(&server), "errors"), 0);
}
END_TEST

START_TEST(clients_that_say_nothing_or_vanish_at_once_leave_nothing)
{
    int silent[20];
    unsigned before;

    ECHO_SERVER_START(&server, "--grace", "1h");
    before = process_descriptors(server.process.pid);
    for (int i = 0; i < 20; i++) {
        silent[i] = client_connect(server.port);
        client_close(client_connect(server.port));
        client_reset(client_connect(server.port));
    }
    expect_service();
    for (int i = 0; i < 20; i++)
        client_close(silent[i]);
    echo_server_expect_descriptors(&server, before);
    echo_server_stop(&server);
}
END_TEST

/* Flow control: what they send stays in the sockets, however much it is. The server
 * grows by its shared buffers, of which there are 512 of 4 KiB here, and for each of
 * them by what it may hold in memory of its own while it is slow: the share of a
 * stream, 16 buffers, in either direction. The rest is what it touches for the first
 * time. */
START_TEST(clients_that_never_read_neither_grow_the_server_nor_stop_it)
{
    enum { BUFFER = 4096, SHARED = 512 * BUFFER, SHARE = 16 * BUFFER, REST = 256 * 1024 };
    int fds[4];
    size_t before;

    ECHO_SERVER_START(&server, "--grace", "100ms", "--buffers", "512", "--buffer-size", "4k");
    expect_service();
    before = process_dirty_bytes(server.process.pid);
    for (int i = 0; i < 4; i++) {
        fds[i] = client_connect(server.port);
        ck_assert_uint_gt(client_stuff(&fds[i], 1), 128 * 1024);
        expect_service();
    }
    if (!UNDER_ASAN)
        ck_assert_uint_le(process_dirty_bytes(server.process.pid),
                          before + SHARED + (size_t)4 * 2 * SHARE + REST);
    ck_assert_double_ge(json_number(echo_server_stop(&server), "connections"), 9);
    for (int i = 0; i < 4; i++)
        client_close(fds[i]);
}
END_TEST

/* What such a client sent fills buffers that all connections share. */
START_TEST(a_hundred_clients_that_never_read_do_not_stop_the_others)
{
    struct pollfd answer = {.events = POLLIN};
    int fds[100];

    ECHO_SERVER_START(&server, "--grace", "100ms");
    for (int i = 0; i < 100; i++)
        fds[i] = client_connect(server.port);
    client_stuff(fds, 100);
    answer.fd = client_connect(server.port);
    client_send(answer.fd, 1, 1);
    ck_assert_msg(poll(&answer, 1, 5000) == 1, "no answer while others do not read");
    client_receive(answer.fd, 1, 1);
    client_close(answer.fd);
    echo_server_stop(&server);
    for (int i = 0; i < 100; i++)
        client_close(fds[i]);
}
END_TEST

/* They may hold all of the few buffers that there are here, until they go. */
START_TEST(once_clients_that_never_read_are_gone_everyone_is_served)
{
    int fds[16], other;

    ECHO_SERVER_START(&server, "--grace", "1h", "--buffers", "64", "--buffer-size", "4k");
    for (int i = 0; i < 16; i++)
        fds[i] = client_connect(server.port);
    client_stuff(fds, 16);
    other = client_connect(server.port);
    client_send(other, 10000, 1);
    for (int i = 0; i < 16; i++)
        client_reset(fds[i]);
    client_receive(other, 10000, 1);
    client_close(other);
    expect_service();
    echo_server_stop(&server);
}
END_TEST

/* ---- all of them at once ---- */

enum manner {
    GOOD, /* sends, receives, finishes, sees the end */
    HALF_CLOSED,
    SILENT,
    VANISHING,
    RESETTING,
    NEVER_READING,
    KILLED,
    MANNERS
};

struct guest {
    enum manner manner;
    int fd, step;
    pid_t pid;
    uint64_t seed;
    size_t size;
};

static uint64_t random_state;

static unsigned random_below(unsigned limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(random_state >> 33) % limit;
}

static bool leave(struct guest *guest)
{
    client_close(guest->fd);
    return true;
}

/* Does the next thing that a client of its manner does. Returns whether it was the
 * last one. */
static bool guest_step(struct guest *guest)
{
    int step = guest->step++;

    if (step == 0 && guest->manner == KILLED) {
        guest->pid = client_fork(server.port);
        return false;
    }
    if (step == 0) {
        guest->fd = client_connect(server.port);
        return false;
    }
    switch (guest->manner) {
    case GOOD:
        if (step < 4)
            client_echo(guest->fd, guest->size, guest->seed + (unsigned)step);
        return step == 4 && leave(guest);
    case HALF_CLOSED:
        if (step == 1) { /* not more than the sockets take while nobody reads */
            client_send(guest->fd, guest->size % 30000 + 1, guest->seed);
            client_finish_sending(guest->fd);
            return false;
        }
        client_receive(guest->fd, guest->size % 30000 + 1, guest->seed);
        client_expect_end(guest->fd);
        return leave(guest);
    case SILENT:
        return step == 3 && leave(guest);
    case VANISHING:
        return leave(guest);
    case RESETTING:
        if (step == 1) {
            client_send(guest->fd, guest->size % 30000 + 1, guest->seed);
            return false;
        }
        client_reset(guest->fd);
        return true;
    case NEVER_READING:
        if (step == 1)
            client_send(guest->fd, 200000, guest->seed);
        return step == 3 && leave(guest);
    case KILLED:
        client_kill(guest->pid);
        return true;
    case MANNERS:
        break;
    }
    return true;
}

START_TEST(two_hundred_clients_of_all_kinds_in_any_order_leave_nothing)
{
    static struct guest guests[200];
    unsigned count = sizeof guests / sizeof guests[0], before;

    random_state = (uint64_t)_i + 1;
    /* More buffers than those that do not read can hold: that is tested above. */
    ECHO_SERVER_START(&server, "--grace", "1h", "--buffers", "8192", "--buffer-size", "4k");
    expect_service();
    before = process_descriptors(server.process.pid);
    for (unsigned i = 0; i < count; i++)
        guests[i] = (struct guest){
            .manner = i % 10 < MANNERS ? (enum manner)(i % 10) : GOOD,
            .seed = i,
            .size = (size_t)1 << random_below(18),
        };
    /* The first step of all comes first: they are there at the same time. */
    for (unsigned i = 0; i < count; i++)
        guest_step(&guests[i]);
    while (count > 0) {
        unsigned next = random_below(count);

        if (guest_step(&guests[next]))
            guests[next] = guests[--count];
    }
    expect_service();
    echo_server_expect_descriptors(&server, before);
    ck_assert_double_eq(json_number(echo_server_stop(&server), "connections"), 202);
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {each_URL_is_announced_with_its_port_and_served, 1},
        {a_socket_that_it_is_started_with_is_served_by_number_and_by_name, 1},
        {every_byte_comes_back_be_it_one_or_16_MiB, 3},
        {a_few_small_buffers_shared_by_many_lose_no_byte, 1},
        {who_is_too_many_waits_until_another_client_is_gone, 1},
        {without_connections_a_signal_ends_it_at_once, 2},
        {an_idle_connection_has_the_grace_period_and_no_longer, 1},
        {within_the_grace_period_connections_go_on_and_new_ones_are_refused, 1},
        {a_second_signal_ends_it_within_the_grace_period, 1},
        {without_a_grace_period_busy_connections_are_cut_off_and_nothing_is_left, 1},
        {a_client_that_is_killed_while_it_sends_leaves_nothing, 1},
        {a_client_that_resets_its_connection_leaves_nothing, 1},
        {a_client_that_has_finished_sending_still_gets_its_echo_and_then_the_end, 1},
        {clients_that_say_nothing_or_vanish_at_once_leave_nothing, 1},
        {clients_that_never_read_neither_grow_the_server_nor_stop_it, 1},
        {a_hundred_clients_that_never_read_do_not_stop_the_others, 1},
        {once_clients_that_never_read_are_gone_everyone_is_served, 1},
        {two_hundred_clients_of_all_kinds_in_any_order_leave_nothing, 3},
    };

    return programs_main("programs_echo", tests, sizeof tests / sizeof tests[0]);
}
