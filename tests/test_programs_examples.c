/* SPDX-License-Identifier: Apache-2.0 */
/* test_programs_examples.c - each example does what its first lines say. */
#include "tests/bad_server.h"
#include "tests/client.h"
#include "tests/json_reader.h"
#include "tests/programs.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

START_TEST(hello_lets_two_tasks_take_turns)
{
    struct process hello = {0};

    PROCESS_START(&hello, "examples/hello");
    ck_assert_int_eq(process_wait(&hello), 0);
    ck_assert_str_eq(hello.out.text, "hello 1\nworld 1\nhello 2\nworld 2\nhello 3\nworld 3\n"
                                     "6 greetings\n");
    ck_assert_str_eq(hello.err.text, "");
}
END_TEST

START_TEST(cat_writes_files_one_after_the_other)
{
    char path[] = "/tmp/rill-cat-XXXXXX";
    int fd = mkstemp(path);
    struct process cat = {0};

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "a line\n", 7), 7);
    close(fd);
    PROCESS_START(&cat, "examples/cat", path, path);
    ck_assert_int_eq(process_wait(&cat), 0);
    ck_assert_str_eq(cat.out.text, "a line\na line\n");
    unlink(path);
}
END_TEST

START_TEST(cat_goes_on_after_a_file_that_is_not_there_and_says_so)
{
    struct process cat = {0};

    PROCESS_START(&cat, "examples/cat", "/nowhere/at/all", "/dev/null");
    ck_assert_int_eq(process_wait(&cat), 1);
    ck_assert_ptr_nonnull(strstr(cat.err.text, "/nowhere/at/all: No such file or directory"));
}
END_TEST

/* Asks the server at port and checks the answer. */
static void ask(uint16_t port, const char *line, const char *answer)
{
    struct process client = {0};
    char number[8];

    snprintf(number, sizeof number, "%u", port);
    PROCESS_START(&client, "examples/client", "127.0.0.1", number, line);
    ck_assert_int_eq(process_wait(&client), 0);
    ck_assert_str_eq(client.out.text, answer);
    ck_assert_str_eq(client.err.text, "");
}

START_TEST(lines_adds_up_what_its_clients_send)
{
    struct process lines = {0};
    uint16_t port;

    PROCESS_START(&lines, "examples/lines", LOOPBACK_URL);
    port = listening_port(&lines, 0);
    ask(port, "add 5", "5\n");
    ask(port, "add 37", "42\n");
    ask(port, "sum", "42\n");
    ask(port, "add 9223372036854775807", "too large\n");
    ask(port, "add -2", "40\n");
    ask(port, "quit", "");
    process_signal(&lines, SIGTERM);
    ck_assert_int_eq(process_wait(&lines), 0);
    ck_assert_str_eq(lines.err.text, "");
}
END_TEST

START_TEST(client_says_why_it_got_no_answer)
{
    struct process client = {0};

    PROCESS_START(&client, "examples/client", "127.0.0.1", "1", "sum");
    ck_assert_int_eq(process_wait(&client), 1);
    ck_assert_str_eq(client.err.text, "client: Connection refused\n");
}
END_TEST

START_TEST(client_wants_a_port_that_is_a_number_and_a_line_that_it_can_end)
{
    char long_line[1024];
    const char *wrong[][2] = {{"http", "sum"}, {"70000", "sum"}, {"0", "sum"},
                              {"", "sum"},     {"-1", "sum"},    {"1", long_line}};

    memset(long_line, 'x', sizeof long_line - 1);
    long_line[sizeof long_line - 1] = '\0';
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct process client = {0};

        PROCESS_START(&client, "examples/client", "127.0.0.1", wrong[i][0], wrong[i][1]);
        ck_assert_int_eq(process_wait(&client), 2);
        ck_assert_ptr_nonnull(strstr(client.err.text, "usage: client HOST PORT LINE"));
    }
}
END_TEST

START_TEST(client_waits_for_the_whole_line)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
    struct process client = {0};
    struct pollfd ends;
    char number[8], line[4];

    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(number, sizeof number, "%u", ntohs(address.sin_port));
    PROCESS_START(&client, "examples/client", "127.0.0.1", number, "sum");
    fd = accept(listener, NULL, NULL);
    ck_assert_int_eq(recv(fd, line, sizeof line, MSG_WAITALL), 4);
    ck_assert_int_eq(send(fd, "4", 1, MSG_NOSIGNAL), 1);
    ends = (struct pollfd){.fd = fd, .events = POLLIN};
    ck_assert_int_eq(poll(&ends, 1, 50), 0); /* it does not hang up */
    ck_assert_int_eq(send(fd, "2\n", 2, MSG_NOSIGNAL), 2);
    ck_assert_int_eq(process_wait(&client), 0);
    ck_assert_str_eq(client.out.text, "42\n");
    close(fd);
    close(listener);
}
END_TEST

/* Sends text on a connection that stays open, and wants exactly this answer. */
static void exchange(int fd, const char *text, const char *answer)
{
    char received[256] = "";

    ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    if (answer[0] == '\0')
        return; /* recv(2) waits for a byte even where none is wanted */
    ck_assert_int_eq(recv(fd, received, strlen(answer), MSG_WAITALL), strlen(answer));
    ck_assert_str_eq(received, answer);
}

START_TEST(measure_answers_each_line_however_it_comes)
{
    struct process measure = {0};
    int fd;

    PROCESS_START(&measure, "examples/measure", LOOPBACK_URL);
    fd = client_connect(listening_port(&measure, 0));
    exchange(fd, "one\n\nthree", "3\n0\n");
    exchange(fd, " pieces\n", "12\n");
    client_close(fd);
    process_signal(&measure, SIGTERM);
    ck_assert_int_eq(process_wait(&measure), 0);
    ck_assert_str_eq(measure.err.text, "");
}
END_TEST

/* The load looks at each byte. */
START_TEST(proxy_passes_on_what_both_sides_send)
{
    static struct echo_server server;
    struct process proxy = {0}, ping = {0};
    char target[64], url[64];

    ECHO_SERVER_START(&server);
    PROCESS_START(&proxy, "examples/proxy", LOOPBACK_URL, url_of(server.port, target));
    PROCESS_START(&ping, "bin/rill-ping", "-j", "-c", "10", "-d", "8", "-s", _i ? "100k" : "64",
                  "-t", "300ms", url_of(listening_port(&proxy, 0), url));
    ck_assert_int_eq(process_wait(&ping), 0);
    ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    process_signal(&proxy, SIGTERM);
    ck_assert_int_eq(process_wait(&proxy), 0);
    ck_assert_str_eq(proxy.err.text, "");
    ck_assert_double_eq(json_number(echo_server_stop(&server), "errors"), 0);
}
END_TEST

START_TEST(proxy_passes_on_the_end_of_one_direction_before_that_of_the_other)
{
    struct process lines = {0}, proxy = {0};
    char target[64], answer[8] = "";
    int fd;

    PROCESS_START(&lines, "examples/lines", LOOPBACK_URL);
    PROCESS_START(&proxy, "examples/proxy", LOOPBACK_URL,
                  url_of(listening_port(&lines, 0), target));
    fd = client_connect(listening_port(&proxy, 0));
    ck_assert_int_eq(send(fd, "add 2\n", 6, MSG_NOSIGNAL), 6);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    ck_assert_int_eq(recv(fd, answer, 2, MSG_WAITALL), 2);
    ck_assert_str_eq(answer, "2\n");
    ck_assert_int_eq(recv(fd, answer, 1, 0), 0);
    client_close(fd);
    process_signal(&lines, SIGTERM);
    ck_assert_int_eq(process_wait(&lines), 0);
    process_signal(&proxy, SIGTERM);
    ck_assert_int_eq(process_wait(&proxy), 0);
}
END_TEST

START_TEST(proxy_hangs_up_where_nobody_listens)
{
    struct process proxy = {0};
    char target[64], byte;
    int fd;

    PROCESS_START(&proxy, "examples/proxy", LOOPBACK_URL, url_of(bad_server_absent(), target));
    fd = client_connect(listening_port(&proxy, 0));
    ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
    client_close(fd);
    process_signal(&proxy, SIGTERM);
    ck_assert_int_eq(process_wait(&proxy), 0);
}
END_TEST

START_TEST(proxy_wants_two_urls)
{
    const char *const wrong[] = {NULL, "gopher:/x"};
    struct process proxy = {0};

    PROCESS_START(&proxy, "examples/proxy", LOOPBACK_URL, wrong[_i]);
    ck_assert_int_eq(process_wait(&proxy), 2);
    ck_assert_ptr_nonnull(strstr(proxy.err.text, "proxy: "));
    ck_assert_str_eq(proxy.out.text, "");
}
END_TEST

START_TEST(kv_keeps_what_was_set_for_all_clients)
{
    struct process kv = {0};
    uint16_t port;

    PROCESS_START(&kv, "examples/kv", LOOPBACK_URL);
    port = listening_port(&kv, 0);
    ask(port, "get greeting", "none\n");
    ask(port, "set greeting hello, world", "ok\n");
    ask(port, "get greeting", "hello, world\n");
    ask(port, "set greeting bye", "ok\n");
    ask(port, "get greeting", "bye\n");
    ask(port, "get", "error: want a key of 1 to 31 bytes\n");
    ask(port, "put greeting hello", "error: want set KEY VALUE or get KEY\n");
    process_signal(&kv, SIGTERM);
    ck_assert_int_eq(process_wait(&kv), 0);
    ck_assert_str_eq(kv.err.text, "");
}
END_TEST

START_TEST(kv_answers_lines_that_come_in_pieces_together_or_too_long)
{
    struct process kv = {0};
    char line[1000];
    int fd;

    PROCESS_START(&kv, "examples/kv", LOOPBACK_URL);
    fd = client_connect(listening_port(&kv, 0));
    exchange(fd, "set a 1\nset b 2\nget a\nget", "ok\nok\n1\n");
    exchange(fd, " b\n", "2\n");
    memset(line, 'x', sizeof line - 1);
    line[sizeof line - 1] = '\0';
    exchange(fd, line, "");
    exchange(fd, "\nget a\n", "error: the line is too long\n1\n");
    client_close(fd);
    process_signal(&kv, SIGTERM);
    ck_assert_int_eq(process_wait(&kv), 0);
}
END_TEST

START_TEST(kv_hangs_up_on_clients_that_wait_when_it_stops)
{
    struct process kv = {0};
    int fd;

    PROCESS_START(&kv, "examples/kv", LOOPBACK_URL);
    fd = client_connect(listening_port(&kv, 0));
    exchange(fd, "set a 1\nget", "ok\n");
    process_signal(&kv, SIGTERM);
    /* Not after the time of grace, which is five seconds. */
    ck_assert_int_eq(process_wait_within(&kv, 3000), 0);
    client_expect_end(fd);
    client_close(fd);
}
END_TEST

/* It says what it has not got, and ends: it neither waits for ever nor panics. One of several
 * threads may not be missed: the others have done its part by then. */
static void expect_to_do_without(const char *path, const struct process_limits *limits)
{
    struct process program = {0};
    int status;

    process_start(&program, limits, (const char *const[]){path, NULL});
    status = process_wait_within(&program, 5000);
    ck_assert_msg(status == 0 || status == 1, "%s: status %d: %s", path, status, program.err.text);
    ck_assert(status == 0 || program.err.text[0] != '\0');
    ck_assert_ptr_null(strstr(program.err.text, "not permitted"));
}

static const char *const needy[] = {"examples/guide/bridge", "examples/guide/post",
                                    "examples/guide/descriptors", "examples/guide/embedding"};

START_TEST(with_few_descriptors_an_example_says_so)
{
    if (getenv("TEST_UNDER_VALGRIND")) {
        printf("skipped: valgrind keeps RLIMIT_NOFILE for itself\n");
        return;
    }
    for (unsigned max = 4; max < 12; max++)
        expect_to_do_without(needy[_i], &(struct process_limits){.descriptors_max = max});
}
END_TEST

START_TEST(without_a_thread_an_example_says_so)
{
    expect_to_do_without(needy[_i], &(struct process_limits){.threads_errno = EAGAIN});
}
END_TEST

START_TEST(without_io_uring_an_example_says_so)
{
    expect_to_do_without(needy[_i], &(struct process_limits){.io_uring_errno = ENOSYS});
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {hello_lets_two_tasks_take_turns, 1},
        {cat_writes_files_one_after_the_other, 1},
        {cat_goes_on_after_a_file_that_is_not_there_and_says_so, 1},
        {lines_adds_up_what_its_clients_send, 1},
        {client_says_why_it_got_no_answer, 1},
        {client_wants_a_port_that_is_a_number_and_a_line_that_it_can_end, 1},
        {client_waits_for_the_whole_line, 1},
        {measure_answers_each_line_however_it_comes, 1},
        {proxy_passes_on_what_both_sides_send, 2},
        {proxy_passes_on_the_end_of_one_direction_before_that_of_the_other, 1},
        {proxy_hangs_up_where_nobody_listens, 1},
        {proxy_wants_two_urls, 2},
        {kv_keeps_what_was_set_for_all_clients, 1},
        {kv_answers_lines_that_come_in_pieces_together_or_too_long, 1},
        {kv_hangs_up_on_clients_that_wait_when_it_stops, 1},
        {with_few_descriptors_an_example_says_so, sizeof needy / sizeof needy[0]},
        {without_a_thread_an_example_says_so, sizeof needy / sizeof needy[0]},
        {without_io_uring_an_example_says_so, sizeof needy / sizeof needy[0]},
    };

    return programs_main("programs_examples", tests, sizeof tests / sizeof tests[0]);
}
