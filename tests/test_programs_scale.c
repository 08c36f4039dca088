/* SPDX-License-Identifier: Apache-2.0 */
/* test_programs_scale.c - rill-echo with many connections: idle, busy, and more than it may have.
 */
#include "io/recheck.h"
#include "tests/client.h"
#include "tests/json_reader.h"
#include "tests/programs.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct echo_server server;

/* ---- idle ---- */

/* Waits until it has not run for a while: what has received is looked at again twice. */
static void wait_for_sleep(pid_t pid)
{
    enum { WHILE_MS = 3 * RILL_RECHECK_NS / RILL_MILLISECOND };
    int64_t deadline_ms = now_ms() + PROCESS_LIMIT_MS;
    struct process_activity before, after = process_activity(pid);

    do {
        before = after;
        sleep_ms(WHILE_MS);
        after = process_activity(pid);
    } while (before.slices != after.slices && now_ms() < deadline_ms);
}

static void expect_no_activity(pid_t pid, struct process_activity before)
{
    struct process_activity after = process_activity(pid);

    ck_assert_uint_eq(after.switches, before.switches);
    ck_assert_uint_eq(after.slices, before.slices);
    ck_assert_uint_eq(after.run_ns, before.run_ns);
}

/* One that makes no system call and takes no processor time was not woken: what
 * wakes a process shows in all three numbers. */
START_TEST(idle_connections_wake_nobody_whatever_the_wait_policy)
{
    static struct echo_server adaptive;
    struct process_activity server_before, adaptive_before;
    int fds[20];

    ECHO_SERVER_START(&server, "--wait", "sleep", "--grace", "1h");
    ECHO_SERVER_START(&adaptive, "--wait", "adaptive", "--grace", "1h");
    for (int i = 0; i < 20; i++) {
        fds[i] = client_connect(i % 2 ? server.port : adaptive.port);
        client_echo(fds[i], 1000, (uint64_t)i);
    }
    wait_for_sleep(server.process.pid);
    wait_for_sleep(adaptive.process.pid);
    server_before = process_activity(server.process.pid);
    adaptive_before = process_activity(adaptive.process.pid);
    sleep_ms(2000);
    expect_no_activity(server.process.pid, server_before);
    expect_no_activity(adaptive.process.pid, adaptive_before);
    for (int i = 0; i < 20; i++) {
        client_echo(fds[i], 1000, (uint64_t)i);
        client_close(fds[i]);
    }
    echo_server_stop(&server);
    echo_server_stop(&adaptive);
}
END_TEST

/* ---- memory ---- */

enum {
    FEW = 200,
    MANY = 2000,
    BYTES_PER_CONNECTION = 512,
    NOISE = 64 * 1024, /* a slab of the pool, which is the step in which it grows */
};

static int connections[MANY];

/* Brings the number of connections from one to another. Each new one has been
 * served once, so the server knows of it, and is idle then. */
static void connect_up_to(int from, int to)
{
    for (int i = from; i < to; i++) {
        connections[i] = client_connect(server.port);
        client_echo(connections[i], 1, (uint64_t)i);
    }
}

static void close_down_to(int from, int to)
{
    for (int i = to; i < from; i++)
        client_close(connections[i]);
    for (int i = to; i < from; i++)
        connections[i] = -1;
}

static bool may_open(rlim_t count)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max >= count;
}

/* Measured is Private_Dirty, which is what the process has written to and nobody
 * shares: its heap, its stack and its shared buffers. RSS also counts pages of libc
 * that come and go with what other programs do. The difference between two numbers
 * of connections leaves out what is there once, and few shared buffers, which the
 * first connections have all used, leave out those. */
START_TEST(an_idle_connection_takes_at_most_512_bytes_and_gives_them_back)
{
    size_t few, many;
    unsigned before;

    if (UNDER_ASAN || getenv("TEST_UNDER_VALGRIND") || !may_open(MANY + 100)) {
        printf("skipped: memory is another one here, or there are not enough descriptors\n");
        return;
    }
    ECHO_SERVER_START(&server, "--buffers", "16", "--grace", "1h");
    before = process_descriptors(server.process.pid);
    connect_up_to(0, FEW);
    few = process_dirty_bytes(server.process.pid);
    connect_up_to(FEW, MANY);
    many = process_dirty_bytes(server.process.pid);
    ck_assert_msg(many - few <= (size_t)(MANY - FEW) * BYTES_PER_CONNECTION,
                  "a connection takes %.1f bytes", (double)(many - few) / (MANY - FEW));
    for (int i = 0; i < 3; i++) {
        close_down_to(MANY, 0);
        echo_server_expect_descriptors(&server, before);
        connect_up_to(0, MANY);
        ck_assert_uint_le(process_dirty_bytes(server.process.pid), many + NOISE);
    }
    close_down_to(MANY, 0);
    echo_server_stop(&server);
}
END_TEST

/* ---- more than it may have ---- */

/* Closes the connections that have been answered, and returns how many they were. */
static unsigned close_answered(struct pollfd *fds, unsigned count, int wait_ms)
{
    unsigned answered = 0;

    if (poll(fds, count, wait_ms) <= 0)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        if (fds[i].fd < 0 || !fds[i].revents)
            continue;
        client_receive(fds[i].fd, 1, i);
        client_close(fds[i].fd);
        fds[i].fd = -1;
        answered++;
    }
    return answered;
}

START_TEST(a_server_out_of_descriptors_serves_everyone_as_others_leave)
{
    const struct process_limits limits = {.descriptors_max = 32};
    struct process_activity before, after;
    struct pollfd fds[100];
    unsigned served = 0;
    int64_t deadline_ms;

    if (getenv("TEST_UNDER_VALGRIND")) {
        printf("skipped: valgrind keeps RLIMIT_NOFILE for itself\n");
        return;
    }
    echo_server_start(&server, &limits,
                      (const char *const[]){"bin/rill-echo", "-j", LOOPBACK_URL, NULL});
    for (unsigned i = 0; i < 100; i++) {
        fds[i] = (struct pollfd){.fd = client_connect(server.port), .events = POLLIN};
        client_send(fds[i].fd, 1, i);
    }
    /* The first have all descriptors and the others wait, which is no work. */
    echo_server_expect_descriptors(&server, 32);
    sleep_ms(200);
    before = process_activity(server.process.pid);
    sleep_ms(500);
    after = process_activity(server.process.pid);
    ck_assert_uint_lt(after.run_ns - before.run_ns, 100000000);
    ck_assert_uint_lt(after.switches - before.switches, 50);

    deadline_ms = now_ms() + PROCESS_LIMIT_MS;
    while (served < 100 && now_ms() < deadline_ms)
        served += close_answered(fds, 100, 1000);
    ck_assert_uint_eq(served, 100);
    ck_assert_double_eq(json_number(echo_server_stop(&server), "connections"), 100);
}
END_TEST

/* ---- busy ---- */

START_TEST(two_hundred_busy_connections_make_no_error)
{
    struct process ping;
    char url[URL_TEXT_MAX];
    const char *statistics;

    ECHO_SERVER_START(&server, "--grace", "1h");
    PROCESS_START(&ping, "bin/rill-ping", "--json", "-c", "200", "-t", "2s",
                  url_of(server.port, url));
    ck_assert_int_eq(process_wait(&ping), 0);
    ck_assert_str_eq(ping.err.text, "");
    ck_assert_double_eq(json_number(ping.out.text, "errors"), 0);
    ck_assert_double_ge(json_number(ping.out.text, "requests"), 200);
    statistics = echo_server_stop(&server);
    ck_assert_double_eq(json_number(statistics, "connections"), 200);
    ck_assert_double_eq(json_number(statistics, "errors"), 0);
    ck_assert_double_ge(json_number(statistics, "bytes"),
                        64 * json_number(ping.out.text, "requests"));
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {idle_connections_wake_nobody_whatever_the_wait_policy, 1},
        {an_idle_connection_takes_at_most_512_bytes_and_gives_them_back, 1},
        {a_server_out_of_descriptors_serves_everyone_as_others_leave, 1},
        {two_hundred_busy_connections_make_no_error, 1},
    };

    return programs_main("programs_scale", tests, sizeof tests / sizeof tests[0]);
}
