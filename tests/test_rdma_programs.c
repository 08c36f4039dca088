/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_programs.c - rill-echo serves rdma:// beside tcp://, rill-ping measures it, and
 * rill-rdma-perf measures itself. */
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "tests/bad_server.h"
#include "tests/client.h"
#include "tests/json_reader.h"
#include "tests/programs.h"
#include "tests/rdma/duo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOO_LONG = (1 << 20) + 1 };

static struct echo_server server;
static struct process ping;
static char url[64];
static char message[TOO_LONG];

/* Starts rill-echo for both, and leaves the URL of rdma in url. */
#define SERVE(...)                                                                                 \
    serve((const char *const[]){"bin/rill-echo", "--json", LOOPBACK_URL, "rdma://127.0.0.1:0",     \
                                ##__VA_ARGS__, NULL})

static void serve(const char *const *argv)
{
    const char *address;

    setenv("UCX_NET_DEVICES", "lo", 1);
    echo_server_start(&server, NULL, argv);
    address = process_line(&server.process, "listening on rdma://", 0);
    snprintf(url, sizeof url, "rdma://%.*s", (int)strcspn(address, "\n"), address);
}

static uint16_t rdma_port(void)
{
    return (uint16_t)strtoul(strrchr(url, ':') + 1, NULL, 10);
}

static void expect_result(void)
{
    int status = process_wait(&ping);

    ck_assert_msg(status == 0, "status %d: %s", status, ping.err.text);
    ck_assert_str_eq(ping.err.text, "");
    ck_assert_msg(json_is_object(ping.out.text), "no JSON object: %s", ping.out.text);
    ck_assert_double_eq(json_number(ping.out.text, "errors"), 0);
}

static void expect_failure(int expected, const char *why)
{
    int status = process_wait(&ping);

    ck_assert_msg(status == expected, "status %d: %s", status, ping.err.text);
    ck_assert_msg(strstr(ping.err.text, why) != NULL, "%s", ping.err.text);
    ck_assert_ptr_eq(strchr(ping.err.text, '\n') + 1, ping.err.text + ping.err.size);
}

/* Ends the server, by which nothing of rdma is left, and returns what it printed. */
static const char *stop(void)
{
    const char *statistics = echo_server_stop(&server);

    ck_assert_double_eq(json_number(statistics, "rdma.sends_in_flight"), 0);
    ck_assert_double_eq(json_number(statistics, "rdma.receives_in_flight"), 0);
    ck_assert_double_eq(json_number(statistics, "rdma.worker.ops_in_flight"), 0);
    ck_assert_double_eq(json_number(statistics, "rdma.worker.endpoints"), 0);
    return statistics;
}

/* ---- good ones ---- */

START_TEST(tcp_and_rdma_are_served_at_once_from_one_loop)
{
    const char *statistics;
    double requests;
    int fd;

    SERVE();
    fd = client_connect(server.port);
    client_echo(fd, 1000, 1);
    PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "3", "-t", "200ms", url);
    client_echo(fd, 100000, 2);
    expect_result();
    client_echo(fd, 1000, 3);
    client_close(fd);
    requests = json_number(ping.out.text, "requests");
    ck_assert_double_gt(requests, 0);

    statistics = stop();
    ck_assert_double_eq(json_number(statistics, "connections"), 4);
    ck_assert_double_eq(json_number(statistics, "errors"), 0);
    ck_assert_double_ge(json_number(statistics, "rdma.messages_received"), requests);
    ck_assert_double_eq(json_number(statistics, "rdma.messages_received"),
                        json_number(statistics, "rdma.messages_sent"));
    ck_assert_double_eq(json_number(statistics, "rdma.bytes_sent"),
                        64 * json_number(statistics, "rdma.messages_sent"));
    ck_assert_double_eq(json_number(statistics, "rdma.connects"), 3);
    ck_assert_double_gt(json_number(statistics, "rdma.send_latency_us.p50"), 0);
    ck_assert_double_gt(json_number(statistics, "rdma.send_latency_us.histogram.0.count"), 0);
    ck_assert_double_gt(json_number(statistics, "rdma.waiting.progress_hits"), 0);
}
END_TEST

START_TEST(each_connection_is_told_of_at_the_end)
{
    const char *statistics;
    double received = 0;
    char path[64];

    SERVE();
    PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "3", "-t", "100ms", url);
    expect_result();
    statistics = stop();
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "rdma.connections.%d.messages_received", i);
        ck_assert_double_gt(json_number(statistics, path), 0);
        received += json_number(statistics, path);
        snprintf(path, sizeof path, "rdma.connections.%d.errors", i);
        ck_assert_double_eq(json_number(statistics, path), 0);
        snprintf(path, sizeof path, "rdma.connections.%d.send_latency_us.histogram.0.below", i);
        ck_assert_double_gt(json_number(statistics, path), 0);
    }
    ck_assert_double_eq(json_number(statistics, "rdma.messages_received"), received);
    ck_assert_ptr_nonnull(strstr(statistics, "\"peer\":\"127.0.0.1:"));
    ck_assert_ptr_nonnull(strstr(statistics, "\"transports\":\"tcp/lo"));
    ck_assert_ptr_nonnull(strstr(statistics, "\"ended\":\"closed\""));
}
END_TEST

START_TEST(every_size_and_depth_comes_back_byte_by_byte)
{
    const char *const sizes[] = {"1", "64", "16k", "1m"};
    const char *const depths[] = {"1", "40"};

    SERVE();
    for (int i = 0; i < 4; i++) {
        PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "3", "-s", sizes[i], "-d", depths[_i],
                      "-t", "200ms", "--warmup", "20ms", url);
        expect_result();
        ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    }
    ck_assert_double_eq(json_number(stop(), "rdma.connects"), 12);
}
END_TEST

START_TEST(every_wait_policy_works_on_both_sides)
{
    const char *const policies[] = {"sleep", "adaptive", "spin"};

    SERVE("--wait", policies[_i]);
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--wait", policies[_i], "-c", "2", "-t", "300ms",
                  url);
    expect_result();
    ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    stop();
}
END_TEST

START_TEST(shared_memory_is_used_when_both_ask_for_it)
{
    SERVE("--shared-memory");
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--shared-memory", "-s", "10k", "-d", "4", "-t",
                  "200ms", url);
    expect_result();
    ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    stop();
}
END_TEST

START_TEST(long_messages_go_faster_when_both_ask_for_it)
{
    SERVE("--long-segments", "--shared-memory", "--single-copy");
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--long-segments", "--shared-memory",
                  "--single-copy", "-s", "1m", "-d", "4", "-t", "200ms", url);
    expect_result();
    ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    stop();
}
END_TEST

START_TEST(messages_of_some_kilobytes_go_at_once_over_tcp_alone)
{
    SERVE("--tcp-only");
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--tcp-only", "-s", "50k", "-d", "4", "-t", "200ms",
                  url);
    expect_result();
    ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    stop();
}
END_TEST

START_TEST(unprotected_connections_send_no_heartbeats)
{
    const char *statistics;

    SERVE("--unprotected");
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--unprotected", "-s", "4k", "-d", "100", "-t",
                  "300ms", url);
    expect_result();
    statistics = stop();
    ck_assert_double_eq(json_number(statistics, "rdma.beats_sent"), 0);
    ck_assert_double_eq(json_number(statistics, "rdma.beats_received"), 0);
    ck_assert_double_eq(json_number(statistics, "rdma.credit_waits"), 0);
}
END_TEST

START_TEST(an_open_loop_and_idle_connections_work_too)
{
    SERVE();
    if (_i)
        PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "5", "--rate", "500", "-t", "200ms", url);
    else
        PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "20", "--idle", "-t", "100ms", url);
    expect_result();
    ck_assert_double_eq(json_number(stop(), "rdma.connects"), _i ? 5 : 20);
}
END_TEST

START_TEST(rill_rdma_perf_measures_each_layer)
{
    const char *const layers[] = {"connection", "unprotected", "raw"};
    const char *const tests[] = {"tag_lat", "tag_bw"};

    setenv("UCX_NET_DEVICES", "lo", 1);
    for (int i = 0; i < 2; i++) {
        PROCESS_START(&ping, "bin/rill-rdma-perf", "-j", "--test", tests[i], "--layer", layers[_i],
                      "--size", "10k", "--count", "200", "--warmup", "10");
        ck_assert_int_eq(process_wait(&ping), 0);
        ck_assert_str_eq(ping.err.text, "");
        ck_assert_double_gt(
            json_number(ping.out.text, i == 0 ? "latency_us.p50" : "messages_per_second"), 0);
    }
}
END_TEST

START_TEST(who_kills_rill_rdma_perf_has_killed_both_of_its_processes)
{
    setenv("UCX_NET_DEVICES", "lo", 1);
    PROCESS_START(&ping, "bin/rill-rdma-perf", "--layer", "raw", "-n1000000000");
    while (process_activity(ping.pid).switches < 1000) /* messages go to and fro */
        sleep_ms(1);
    process_signal(&ping, SIGKILL);
    ck_assert_int_eq(process_wait(&ping), -SIGKILL); /* its output ends with the last that has it */
}
END_TEST

/* ---- ends ---- */

START_TEST(a_signal_ends_the_server_within_its_grace_and_the_load_is_told)
{
    SERVE("--grace", "100ms");
    PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "4", "-d", "3", "-t", "1h", "--marks", url);
    process_line(&ping, "measuring", 0);
    sleep_ms(50);
    ck_assert_double_eq(json_number(stop(), "connections"), 4);
    expect_failure(1, "a connection broke: ");
}
END_TEST

START_TEST(an_interrupt_ends_the_load_with_a_report)
{
    SERVE();
    PROCESS_START(&ping, "bin/rill-ping", "-c", "4", "-t", "1h", "--marks", url);
    process_line(&ping, "measuring", 0);
    sleep_ms(50);
    process_signal(&ping, _i ? SIGTERM : SIGINT);
    ck_assert_int_eq(process_wait(&ping), 0);
    ck_assert_ptr_nonnull(strstr(ping.out.text, "requests/s"));
    ck_assert_double_eq(json_number(stop(), "errors"), 0);
}
END_TEST

START_TEST(a_load_that_is_killed_leaves_nothing_in_the_server)
{
    SERVE();
    PROCESS_START(&ping, "bin/rill-ping", "-c", "4", "-s", "100k", "-d", "4", "-t", "1h", "--marks",
                  url);
    process_line(&ping, "measuring", 0);
    process_kill(&ping);
    PROCESS_START(&ping, "bin/rill-ping", "-j", "-t", "100ms", url);
    expect_result();
    ck_assert_double_eq(json_number(stop(), "rdma.connects"), 5);
}
END_TEST

START_TEST(a_silent_connection_is_closed_after_its_time)
{
    SERVE("--timeout", "100ms");
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--rate", "1", "-t", "30s", url);
    expect_failure(1, "a connection broke: the server closed the connection");
    stop();
}
END_TEST

/* rill-ping does not send such messages, so this one is a client itself. */
START_TEST(a_message_that_is_too_long_ends_its_connection_with_a_word)
{
    static struct rill_rdma_hub hub;
    static struct rill_rdma_connection connection;
    static struct rill_rdma_transfer sent, received;
    struct background sending;
    struct rill_address address;

    SERVE();
    address = duo_address(rdma_port());
    if (!fixture_open(REAL, NULL, NULL))
        return;
    duo.has_connections_alone = true; /* as the server */
    duo_open_worker(&duo.left, OVER_TCP);
    expect_eq(rill_rdma_hub_open(&hub, &duo.left), 0);
    expect_eq(await(rill_rdma_connect(&connection, &hub, &address, NULL)), 0);
    background_start(&sending, rill_rdma_send(&connection, &sent, message, sizeof message, 7));
    expect_eq(await(rill_rdma_recv(&connection, &received, message, 1, RILL_RDMA_ANY_TAG)),
              -ESHUTDOWN);
    background_end(&sending);
    await(rill_rdma_disconnect(&connection));
    rill_rdma_hub_close(&hub);
    rill_rdma_close(&duo.left);
    fixture_close();
    process_signal(&server.process, SIGTERM);
    ck_assert_int_eq(process_wait(&server.process), 0);
    ck_assert_ptr_nonnull(strstr(server.process.err.text, "a message of 1048577 bytes came"));
}
END_TEST

/* ---- mistakes ---- */

START_TEST(nobody_there_is_told_in_a_line)
{
    setenv("UCX_NET_DEVICES", "lo", 1);
    snprintf(url, sizeof url, "rdma://127.0.0.1:%u", bad_server_absent());
    PROCESS_START(&ping, "bin/rill-ping", url);
    expect_failure(1, "cannot connect: connection refused: nobody listens there for rdma://");
}
END_TEST

/* It takes the connection and says nothing: what a connection waits for has a limit. */
START_TEST(a_black_hole_is_told_in_a_line)
{
    uint16_t port;
    int listener = bad_server_listen(&port, 10);

    setenv("UCX_NET_DEVICES", "lo", 1);
    snprintf(url, sizeof url, "rdma://127.0.0.1:%u", port);
    PROCESS_START(&ping, "bin/rill-ping", url);
    expect_failure(1, "cannot connect: no answer");
    client_close(listener);
}
END_TEST

START_TEST(a_port_that_is_taken_is_told_in_a_line)
{
    SERVE();
    PROCESS_START(&ping, "bin/rill-echo", url);
    expect_failure(1, "the port is taken");
    stop();
}
END_TEST

START_TEST(segments_that_differ_are_told_in_a_line)
{
    SERVE();
    setenv("UCX_TCP_RX_SEG_SIZE", "96K", 1);
    PROCESS_START(&ping, "bin/rill-ping", url);
    expect_failure(1, "segments of the two sides differ");
    stop();
}
END_TEST

START_TEST(a_processor_that_is_not_there_is_told_in_a_line)
{
    PROCESS_START(&ping, "bin/rill-rdma-perf", "--client-processor=1023", "-n1");
    ck_assert_int_eq(process_wait(&ping), 1);
    ck_assert_str_eq(ping.out.text, "");
    ck_assert_ptr_nonnull(strstr(ping.err.text, "processor 1023: "));
}
END_TEST

static const struct {
    const char *argv[4], *word;
} mistakes[] = {
    {{"bin/rill-echo", "rdma://localhost:7000"}, "numeric"},
    {{"bin/rill-echo", "rdma://127.0.0.1"}, "port"},
    {{"bin/rill-echo", "--broadcast", "rdma://127.0.0.1:0"}, "--broadcast"},
    {{"bin/rill-ping", "rdma://127.0.0.1"}, "port"},
    {{"bin/rill-ping", "--size=2m", "rdma://127.0.0.1:1"}, "--size"},
    {{"bin/rill-ping", "--churn", "rdma://127.0.0.1:1"}, "not over rdma://"},
    {{"bin/rill-ping", "--broadcast", "rdma://127.0.0.1:1"}, "not over rdma://"},
    {{"bin/rill-ping", "--unprotected", "tcp://127.0.0.1:1"}, "over rdma:// only"},
    {{"bin/rill-ping", "--shared-memory", "tcp://127.0.0.1:1"}, "over rdma:// only"},
    {{"bin/rill-ping", "--long-segments", "tcp://127.0.0.1:1"}, "over rdma:// only"},
    {{"bin/rill-ping", "--tcp-only", "tcp://127.0.0.1:1"}, "over rdma:// only"},
    {{"bin/rill-echo", "--tcp-only", "tcp://127.0.0.1:0"}, "over rdma:// only"},
    {{"bin/rill-ping", "--tcp-only", "--shared-memory", "rdma://127.0.0.1:1"}, "not with"},
    {{"bin/rill-echo", "--tcp-only", "--shared-memory", "rdma://127.0.0.1:0"}, "not with"},
    {{"bin/rill-ping", "--single-copy", "rdma://127.0.0.1:1"}, "want --shared-memory"},
    {{"bin/rill-echo", "--single-copy", "rdma://127.0.0.1:1"}, "want --shared-memory"},
    {{"bin/rill-ping", "--long-segments", "rdma://127.0.0.1:1"}, "want --shared-memory"},
    {{"bin/rill-rdma-perf", "--single-copy"}, "want --shared-memory"},
};

START_TEST(a_mistake_is_told_in_a_line_and_exits_with_2)
{
    process_start(&ping, NULL, mistakes[_i].argv);
    expect_failure(2, mistakes[_i].word);
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {tcp_and_rdma_are_served_at_once_from_one_loop, 1},
        {each_connection_is_told_of_at_the_end, 1},
        {every_size_and_depth_comes_back_byte_by_byte, 2},
        {every_wait_policy_works_on_both_sides, 3},
        {shared_memory_is_used_when_both_ask_for_it, 1},
        {long_messages_go_faster_when_both_ask_for_it, 1},
        {messages_of_some_kilobytes_go_at_once_over_tcp_alone, 1},
        {unprotected_connections_send_no_heartbeats, 1},
        {an_open_loop_and_idle_connections_work_too, 2},
        {rill_rdma_perf_measures_each_layer, 3},
        {who_kills_rill_rdma_perf_has_killed_both_of_its_processes, 1},
        {a_signal_ends_the_server_within_its_grace_and_the_load_is_told, 1},
        {an_interrupt_ends_the_load_with_a_report, 2},
        {a_load_that_is_killed_leaves_nothing_in_the_server, 1},
        {a_silent_connection_is_closed_after_its_time, 1},
        {a_message_that_is_too_long_ends_its_connection_with_a_word, 1},
        {nobody_there_is_told_in_a_line, 1},
        {a_black_hole_is_told_in_a_line, 1},
        {a_port_that_is_taken_is_told_in_a_line, 1},
        {segments_that_differ_are_told_in_a_line, 1},
        {a_processor_that_is_not_there_is_told_in_a_line, 1},
        {a_mistake_is_told_in_a_line_and_exits_with_2, sizeof mistakes / sizeof *mistakes},
    };

    return programs_main("rdma programs", tests, sizeof tests / sizeof *tests);
}
