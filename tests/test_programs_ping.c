/* SPDX-License-Identifier: Apache-2.0 */
/* test_programs_ping.c - rill-ping measures good servers and says what is wrong with others. */
#include "tests/bad_server.h"
#include "tests/client.h"
#include "tests/json_reader.h"
#include "tests/programs.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct echo_server server;
static struct process ping;
static char url[URL_TEXT_MAX];

/* The program ends with 1, prints no result and tells why in one line. */
static void expect_failure(const char *why)
{
    int status = process_wait(&ping);

    ck_assert_msg(status == 1, "status %d: %s", status, ping.err.text);
    ck_assert_str_eq(ping.out.text, "");
    ck_assert_msg(strstr(ping.err.text, why) != NULL, "%s", ping.err.text);
    ck_assert_ptr_nonnull(strstr(ping.err.text, url));
    ck_assert_ptr_eq(strchr(ping.err.text, '\n') + 1, ping.err.text + ping.err.size);
}

/* The program ends with 0 and prints its result as JSON, and nothing else. */
static void expect_result(void)
{
    int status = process_wait(&ping);

    ck_assert_msg(status == 0, "status %d: %s", status, ping.err.text);
    ck_assert_str_eq(ping.err.text, "");
    ck_assert_msg(json_is_object(ping.out.text), "no JSON object: %s", ping.out.text);
    ck_assert_double_eq(json_number(ping.out.text, "errors"), 0);
}

/* Waits until so many of its connections have come to the server. */
static void wait_for_connections(unsigned before, unsigned count)
{
    echo_server_expect_descriptors(&server, before + count);
}

/* ---- good servers ---- */

START_TEST(every_size_and_depth_is_measured_without_errors)
{
    const char *const sizes[] = {"1", "64", "16k", "1m"};
    const char *const times[] = {"100ms", "100ms", "100ms", "1500ms"};
    const char *const depths[] = {"1", "16"};
    bool is_slow = getenv("TEST_SLOWNESS") != NULL; /* tests/check_vm.sh says so */
    double requests;

    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    for (int i = 0; i < 4; i++) {
        PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "3", "-s", sizes[i], "-d", depths[_i],
                      "-t", is_slow ? "3s" : times[i], "--warmup", "20ms", url);
        expect_result();
        requests = json_number(ping.out.text, "requests");
        ck_assert_double_gt(requests, 0);
        ck_assert_double_eq(json_number(ping.out.text, "connections"), 3);
        ck_assert_double_eq(json_number(ping.out.text, "depth"), _i ? 16 : 1);
        ck_assert_double_gt(json_number(ping.out.text, "requests_per_second"), 0);
        ck_assert_double_gt(json_number(ping.out.text, "latency_us.min"), 0);
        ck_assert_double_ge(json_number(ping.out.text, "latency_us.p50"),
                            json_number(ping.out.text, "latency_us.min"));
        ck_assert_double_ge(json_number(ping.out.text, "latency_us.p99"),
                            json_number(ping.out.text, "latency_us.p50"));
        ck_assert_double_ge(json_number(ping.out.text, "latency_us.max"),
                            json_number(ping.out.text, "latency_us.p999"));
    }
    ck_assert_double_eq(json_number(echo_server_stop(&server), "connections"), 12);
}
END_TEST

START_TEST(every_wait_policy_works_on_both_sides)
{
    const char *const policies[] = {"sleep", "adaptive", "spin"};

    ECHO_SERVER_START(&server, "--wait", policies[_i], "--spin", "20us");
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "--json", "--wait", policies[_i], "-c", "4", "-t",
                  "200ms", url);
    expect_result();
    ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    echo_server_stop(&server);
}
END_TEST

/* How many round trips one connection makes in a while whose both sides wait so. */
static double requests_with(const char *policy)
{
    ECHO_SERVER_START(&server, "--wait", policy);
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "--json", "--wait", policy, "-t", "300ms", url);
    expect_result();
    echo_server_stop(&server);
    return json_number(ping.out.text, "requests");
}

/* Who looks out keeps the other from answering. */
START_TEST(both_sides_may_share_a_processor)
{
    const char *const policies[] = {"adaptive", "spin"};
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0);
    ck_assert_double_gt(requests_with(policies[_i]), requests_with("sleep") / 20);
}
END_TEST

START_TEST(the_report_for_people_says_how_many_and_how_fast)
{
    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-c2", "-s100", "-d3", "-t100ms", url);
    ck_assert_int_eq(process_wait(&ping), 0);
    ck_assert_str_eq(ping.err.text, "");
    ck_assert_ptr_nonnull(
        strstr(ping.out.text, ": 2 connections, 100 bytes, 3 in flight on each\n"));
    ck_assert_ptr_nonnull(strstr(ping.out.text, "requests/s"));
    ck_assert_ptr_nonnull(strstr(ping.out.text, "latency p50 "));
    echo_server_stop(&server);
}
END_TEST

START_TEST(idle_connections_are_opened_and_send_nothing)
{
    const char *statistics;

    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "--idle", "-j", "-c", "100", "-t", "200ms", url);
    expect_result();
    ck_assert_double_eq(json_number(ping.out.text, "requests"), 0);
    statistics = echo_server_stop(&server);
    ck_assert_double_eq(json_number(statistics, "connections"), 100);
    ck_assert_double_eq(json_number(statistics, "messages"), 0);
    ck_assert_double_eq(json_number(statistics, "errors"), 0);
}
END_TEST

/* A rate far below what any machine can do: all requests are due in time, and sent. */
START_TEST(an_open_loop_sends_as_many_requests_as_are_due)
{
    const char *const rates[] = {"20", "2000"};
    double expected = _i ? 2000 * 0.5 : 20 * 0.5;
    bool is_fast = !UNDER_ASAN && !getenv("TEST_SLOWNESS");
    int attempts = 0;

    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    do { /* others may have the processors in the meantime */
        PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "7", "--rate", rates[_i], "-t", "500ms",
                      url);
        expect_result();
        ck_assert_double_le(json_number(ping.out.text, "requests"), expected * 1.5 + 2);
    } while (is_fast && json_number(ping.out.text, "requests") < expected * 0.5 && ++attempts < 5);
    ck_assert_int_lt(attempts, 5);
    ck_assert_double_ge(json_number(ping.out.text, "unsent"), 0);
    echo_server_stop(&server);
}
END_TEST

/* It asks for more than there can be: what was not sent is told, and the latencies
 * count from when it was due, so they grow with the time. */
START_TEST(an_overloaded_open_loop_hides_nothing)
{
    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "2", "--rate", "10000000", "-t", "300ms",
                  url);
    expect_result();
    ck_assert_double_gt(json_number(ping.out.text, "unsent"), 0);
    ck_assert_double_gt(json_number(ping.out.text, "latency_us.max"), 100e3);
    echo_server_stop(&server);
}
END_TEST

START_TEST(churn_opens_and_ends_a_connection_for_each_request)
{
    const char *statistics;
    double requests;

    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--churn", "-c", "5", "-s", _i ? "100k" : "64",
                  "-t", "300ms", url);
    expect_result();
    requests = json_number(ping.out.text, "requests");
    ck_assert_double_gt(requests, 0);
    statistics = echo_server_stop(&server);
    ck_assert_double_ge(json_number(statistics, "connections"), requests);
    ck_assert_double_eq(json_number(statistics, "errors"), 0);
}
END_TEST

START_TEST(a_broadcast_reaches_all_connections)
{
    const char *const times[] = {"300ms", "3s", "20s"}; /* the longer for a busy machine */
    int i = 0;

    ECHO_SERVER_START(&server, "--broadcast");
    url_of(server.port, url);
    do {
        PROCESS_START(&ping, "bin/rill-ping", "-j", "--broadcast", "-c", "20", "-s",
                      _i ? "5000" : "64", "-t", times[i], url);
        expect_result();
    } while (json_number(ping.out.text, "requests") < 20 && ++i < 3);
    ck_assert_double_ge(json_number(ping.out.text, "requests"), 20);
    echo_server_stop(&server);
}
END_TEST

START_TEST(requests_within_their_time_limit_are_echoed_and_a_silent_connection_is_closed)
{
    ECHO_SERVER_START(&server, "--timeout", _i ? "100ms" : "10s");
    url_of(server.port, url);
    if (_i) {
        PROCESS_START(&ping, "bin/rill-ping", "-j", "--rate", "1", "-c", "2", "-t", "30s", url);
        expect_failure("a connection broke: ");
    } else {
        PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "3", "-d", "2", "-t", "200ms", url);
        expect_result();
        ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    }
    echo_server_stop(&server);
}
END_TEST

START_TEST(a_unix_socket_is_measured_like_TCP)
{
    char directory[] = "/tmp/rill-ping-XXXXXX", path[64];
    struct process echo;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "unix://%s/socket", directory);
    PROCESS_START(&echo, "bin/rill-echo", path);
    process_line(&echo, "listening on unix://", 0);
    if (_i)
        PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "4", "-t", "200ms", path);
    else
        PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "4", "-t", "200ms", "--churn", path);
    expect_result();
    ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    process_signal(&echo, SIGTERM);
    ck_assert_int_eq(process_wait(&echo), 0);
    ck_assert_int_eq(rmdir(directory), 0); /* the socket's file is gone */
}
END_TEST

START_TEST(kinds_of_load_that_exclude_each_other_are_refused)
{
    static const struct {
        const char *options[2], *says;
    } cases[] = {
        {{"--churn", "--idle"}, "want one of them"},
        {{"--churn", "--broadcast"}, "want one of them"},
        {{"--rate=5", "--churn"}, "--rate: it goes with none of"},
        {{"--rate=5", "--idle"}, "--rate: it goes with none of"},
        {{"--churn", "--depth=2"}, "--churn: want --depth 1"},
        {{"--churn", "--size=2m"}, "--churn: want --depth 1"},
        {{"--broadcast", "--depth=2"}, "--broadcast: want --depth 1"},
    };

    PROCESS_START(&ping, "bin/rill-ping", "unix:///tmp/none", "--congestion", "cubic");
    ck_assert_int_eq(process_wait(&ping), 2);
    ck_assert_ptr_nonnull(strstr(ping.err.text, "--congestion: want tcp://"));

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PROCESS_START(&ping, "bin/rill-ping", "tcp://127.0.0.1:1", cases[i].options[0],
                      cases[i].options[1]);
        ck_assert_int_eq(process_wait(&ping), 2);
        ck_assert_msg(strstr(ping.err.text, cases[i].says) != NULL, "%s", ping.err.text);
    }
}
END_TEST

START_TEST(an_interrupt_ends_it_early_with_a_report)
{
    const char *const forms[] = {"--json", "--seconds=1h"};
    unsigned before;

    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    before = process_descriptors(server.process.pid);
    PROCESS_START(&ping, "bin/rill-ping", "-c", "5", "--seconds=1h", forms[_i], url);
    wait_for_connections(before, 5);
    sleep_ms(50);
    process_signal(&ping, _i ? SIGTERM : SIGINT);
    if (_i == 0) {
        expect_result();
        ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
        ck_assert_double_lt(json_number(ping.out.text, "seconds"), PROCESS_LIMIT_MS / 1e3);
    } else {
        ck_assert_int_eq(process_wait(&ping), 0);
        ck_assert_ptr_nonnull(strstr(ping.out.text, "requests/s"));
    }
    echo_server_stop(&server);
}
END_TEST

/* A listener whose backlog is full does not answer to those that come then. */
START_TEST(an_interrupt_ends_a_connect_that_hangs)
{
    uint16_t port;
    int listener = bad_server_listen(&port, 0), filler = client_connect(port);

    url_of(port, url);
    PROCESS_START(&ping, "bin/rill-ping", "--json", url);
    process_expect_watch(ping.pid, SIGINT);
    sleep_ms(300); /* for it to hang; if it does not yet, the signal waits for it */
    process_signal(&ping, SIGINT);
    ck_assert_int_eq(process_wait_within(&ping, 8000), 0);
    ck_assert(json_is_object(ping.out.text));
    ck_assert_double_eq(json_number(ping.out.text, "requests"), 0);
    client_close(filler);
    client_close(listener);
}
END_TEST

/* ---- others ---- */

START_TEST(a_port_at_which_nobody_listens_is_a_refused_connection)
{
    url_of(bad_server_absent(), url);
    PROCESS_START(&ping, "bin/rill-ping", "-c", "3", url);
    expect_failure("cannot connect: connection refused: no server listens there");
}
END_TEST

/* A load by another congestion control than was asked for would measure something else. */
START_TEST(a_congestion_control_that_cannot_be_had_is_an_error)
{
    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-t", "1h", "--congestion", "pigeons", url,
                  _i ? "--churn" : "--json");
    expect_failure("--congestion pigeons: the kernel does not have this congestion control");
    echo_server_stop(&server);
}
END_TEST

START_TEST(a_wrong_byte_is_found_wherever_it_is)
{
    const uint64_t positions[] = {0, 64, 70000};
    struct bad_server bad = {.manner = BAD_CORRUPTS, .position = positions[_i]};

    bad_server_start(&bad);
    url_of(bad.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-s", _i < 2 ? "64" : "16k", "-d", "8", "-t", "1h", url);
    expect_failure("a connection broke: a byte came back that was not sent");
    bad_server_stop(&bad);
}
END_TEST

/* One request at a time; in a churn each connection has one. */
START_TEST(bytes_that_are_swapped_or_twice_there_or_missing_are_found)
{
    const struct {
        enum bad_manner manner;
        const char *time, *mode, *why;
    } cases[] = {
        {BAD_SWAPS, "1h", "--json", "a byte came back that was not sent"},
        {BAD_SWAPS, "1h", "--churn", "a byte came back that was not sent"},
        {BAD_SWAPS, "1h", "--rate=100", "a byte came back that was not sent"},
        {BAD_DUPLICATES, "1h", "--json", "a byte came back that was not sent"},
        {BAD_DUPLICATES, "1h", "--churn", "a byte came back that was not sent"},
        {BAD_DUPLICATES, "1h", "--rate=100", "a byte came back that was not sent"},
        {BAD_OMITS, "10ms", "--json", "no request was answered"},
        {BAD_OMITS, "10ms", "--churn", "no request was answered"},
        {BAD_OMITS, "1h", "--depth=2", "a byte came back that was not sent"},
    };
    struct bad_server bad = {.manner = cases[_i].manner};

    bad_server_start(&bad);
    url_of(bad.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-t", cases[_i].time, cases[_i].mode, url);
    expect_failure(cases[_i].why);
    bad_server_stop(&bad);
}
END_TEST

START_TEST(a_server_that_ends_the_connection_early_is_an_error)
{
    const struct bad_server manners[] = {
        {.manner = BAD_CLOSES, .position = 0},
        {.manner = BAD_CLOSES, .position = 100},
        {.manner = BAD_RESETS, .position = 1000},
    };
    struct bad_server bad = manners[_i];

    bad_server_start(&bad);
    url_of(bad.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-d", "4", "-t", "1h", url);
    expect_failure("a connection broke: ");
    bad_server_stop(&bad);
}
END_TEST

START_TEST(a_server_that_is_killed_is_an_error)
{
    unsigned before;

    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    before = process_descriptors(server.process.pid);
    PROCESS_START(&ping, "bin/rill-ping", "-c", "10", "-d", "4", "-t", "1h", url);
    wait_for_connections(before, 10);
    sleep_ms(20);
    process_kill(&server.process);
    expect_failure("a connection broke: ");
}
END_TEST

/* It ends by itself, with or without a failure, and not by a panic. */
START_TEST(a_server_that_never_answers_is_not_waited_for_for_ever)
{
    struct bad_server bad = {.manner = _i ? BAD_NEVER_READS : BAD_NEVER_ANSWERS};
    int status;

    bad_server_start(&bad);
    url_of(bad.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-s", "1m", "-d", "16", "-t", "100ms", url);
    status = process_wait_within(&ping, 12000);
    ck_assert_msg(status == 0 || status == 1, "status %d: %s", status, ping.err.text);
    bad_server_stop(&bad);
}
END_TEST

START_TEST(an_answer_that_comes_after_the_time_is_waited_for_where_there_was_none)
{
    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    process_signal(&server.process, SIGSTOP);
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--marks", "-t", "1ms", url);
    process_line(&ping, "measuring", 0);
    sleep_ms(50);
    process_signal(&server.process, SIGCONT);
    ck_assert_int_eq(process_wait(&ping), 0);
    ck_assert_ptr_nonnull(strstr(ping.out.text, "measured\n{"));
    echo_server_stop(&server);
}
END_TEST

/* A server that stalls at the end would look well without it. */
START_TEST(the_latency_of_what_is_on_its_way_at_the_end_counts)
{
    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--marks", "--warmup", "0", "-t", "1h", "--rate",
                  _i ? "5000" : "0", url);
    process_line(&ping, "measuring", 0);
    process_signal(&server.process, SIGSTOP);
    sleep_ms(100);
    process_signal(&ping, SIGINT);
    process_line(&ping, "measured", 0);
    process_signal(&server.process, SIGCONT);
    ck_assert_int_eq(process_wait(&ping), 0);
    ck_assert_double_ge(json_number(strchr(ping.out.text, '{'), "latency_us.max"), 10e3);
    echo_server_stop(&server);
}
END_TEST

/* Of the requests of that time one is on its way, and hundreds were due behind it. They are most of
 * all: were they left out, even the median would look well. */
START_TEST(the_latency_of_what_was_due_and_is_not_sent_by_the_end_counts)
{
    const char *result;

    ECHO_SERVER_START(&server);
    url_of(server.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-j", "--marks", "--warmup", "0", "-t", "1h", "--rate",
                  "5000", url);
    process_line(&ping, "measuring", 0);
    sleep_ms(20); /* for some that are answered at once */
    process_signal(&server.process, SIGSTOP);
    sleep_ms(300);
    process_signal(&ping, SIGINT);
    process_line(&ping, "measured", 0);
    process_signal(&server.process, SIGCONT);
    ck_assert_int_eq(process_wait(&ping), 0);
    result = strchr(ping.out.text, '{');
    ck_assert_double_gt(json_number(result, "unsent"), 500);
    ck_assert_double_ge(json_number(result, "latency_us.p50"), 50e3);
    ck_assert_double_ge(json_number(result, "latency_us.max"), 250e3);
    echo_server_stop(&server);
}
END_TEST

/* What never comes is in no histogram: without a failure the figures would look well. */
START_TEST(a_server_that_falls_silent_is_an_error)
{
    struct bad_server bad = {.manner = BAD_FALLS_SILENT, .position = 6400};

    bad_server_start(&bad);
    url_of(bad.port, url);
    PROCESS_START(&ping, "bin/rill-ping", "-t", "300ms", "--rate", _i ? "5000" : "0", url);
    expect_failure("not every request was answered");
    bad_server_stop(&bad);
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {every_size_and_depth_is_measured_without_errors, 2},
        {every_wait_policy_works_on_both_sides, 3},
        {both_sides_may_share_a_processor, 2},
        {the_report_for_people_says_how_many_and_how_fast, 1},
        {idle_connections_are_opened_and_send_nothing, 1},
        {an_open_loop_sends_as_many_requests_as_are_due, 2},
        {an_overloaded_open_loop_hides_nothing, 1},
        {churn_opens_and_ends_a_connection_for_each_request, 2},
        {a_broadcast_reaches_all_connections, 2},
        {requests_within_their_time_limit_are_echoed_and_a_silent_connection_is_closed, 2},
        {a_unix_socket_is_measured_like_TCP, 2},
        {kinds_of_load_that_exclude_each_other_are_refused, 1},
        {an_interrupt_ends_it_early_with_a_report, 2},
        {an_interrupt_ends_a_connect_that_hangs, 1},
        {a_port_at_which_nobody_listens_is_a_refused_connection, 1},
        {a_congestion_control_that_cannot_be_had_is_an_error, 2},
        {a_wrong_byte_is_found_wherever_it_is, 3},
        {bytes_that_are_swapped_or_twice_there_or_missing_are_found, 9},
        {a_server_that_ends_the_connection_early_is_an_error, 3},
        {a_server_that_is_killed_is_an_error, 1},
        {a_server_that_never_answers_is_not_waited_for_for_ever, 2},
        {an_answer_that_comes_after_the_time_is_waited_for_where_there_was_none, 1},
        {the_latency_of_what_is_on_its_way_at_the_end_counts, 2},
        {the_latency_of_what_was_due_and_is_not_sent_by_the_end_counts, 1},
        {a_server_that_falls_silent_is_an_error, 2},
    };

    return programs_main("programs_ping", tests, sizeof tests / sizeof tests[0]);
}
