/* SPDX-License-Identifier: Apache-2.0 */
/* test_http.c - examples/http.c beside clients that write their requests byte by byte. */
#include "tests/client.h"
#include "tests/programs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 64, HEAD_SIZE = 1024, BIG_SIZE = 5 << 20, HUGE_SIZE = 128 << 20 };

static char directory[] = "/tmp/rill-http-XXXXXX";
static struct process server;
static uint16_t port;

/* ---- the files ---- */

static const char *path_of(const char *name)
{
    static char path[PATH_SIZE];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(path_of(name), "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

static const unsigned char *big(void)
{
    static unsigned char bytes[BIG_SIZE];

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 31 + (i >> 8) + (i >> 16));
    return bytes;
}

static void remove_files(void)
{
    static const char *const names[] = {"index.html", "a file.txt", "x..y", "empty",
                                        "big",        "huge",       "pipe"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    rmdir(path_of("below"));
    ck_assert_int_eq(rmdir(directory), 0);
}

static void start(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    write_file("index.html", "<p>hello", 8);
    write_file("a file.txt", "spaces", 6);
    write_file("x..y", "dots", 4);
    write_file("empty", "", 0);
    ck_assert_int_eq(mkfifo(path_of("pipe"), 0600), 0);
    ck_assert_int_eq(mkdir(path_of("below"), 0700), 0);
    PROCESS_START(&server, "examples/http", directory, LOOPBACK_URL);
    port = listening_port(&server, 0);
}

/* Under AddressSanitizer it also looks for leaks. */
static void stop(void)
{
    process_signal(&server, SIGTERM);
    ck_assert_int_eq(process_wait(&server), 0);
    ck_assert_str_eq(server.err.text, "");
    remove_files();
}

/* ---- clients ---- */

static void say(int fd, const char *text)
{
    size_t size = strlen(text);

    ck_assert_int_eq(send(fd, text, size, MSG_NOSIGNAL), size);
}

static void ask(int fd, const char *target)
{
    say(fd, "GET ");
    say(fd, target);
    say(fd, " HTTP/1.1\r\nHost: here\r\n\r\n");
}

/* Receives the head of an answer, to the empty line, and returns its code and its length. */
static int hear_head(int fd, size_t *length)
{
    static char head[HEAD_SIZE];
    const char *field;
    size_t size = 0;

    do {
        ck_assert_uint_lt(size, sizeof head - 1);
        ck_assert_int_eq(recv(fd, head + size, 1, 0), 1);
        head[++size] = '\0';
    } while (size < 4 || strcmp(head + size - 4, "\r\n\r\n") != 0);
    ck_assert_int_eq(strncmp(head, "HTTP/1.1 ", 9), 0);
    field = strstr(head, "\r\nContent-Length: ");
    ck_assert_ptr_nonnull(field);
    *length = strtoul(field + strlen("\r\nContent-Length: "), NULL, 10);
    return (int)strtol(head + 9, NULL, 10);
}

static void hear_body(int fd, const void *body, size_t size)
{
    static unsigned char bytes[BIG_SIZE];

    ck_assert_uint_le(size, sizeof bytes);
    if (size > 0) /* of none, the kernel would wait for some */
        ck_assert_int_eq(recv(fd, bytes, size, MSG_WAITALL), size);
    ck_assert_mem_eq(bytes, body, size);
}

static void hear(int fd, const void *body, size_t size)
{
    size_t length;

    ck_assert_int_eq(hear_head(fd, &length), 200);
    ck_assert_uint_eq(length, size);
    hear_body(fd, body, size);
}

static void hear_refusal(int fd, int code, const char *reason)
{
    size_t length;

    ck_assert_int_eq(hear_head(fd, &length), code);
    ck_assert_uint_eq(length, strlen(reason));
    hear_body(fd, reason, length);
}

/* ---- what is served ---- */

START_TEST(files_are_served_as_they_are)
{
    int fd;

    start();
    write_file("big", big(), BIG_SIZE);
    fd = client_connect(port);
    ask(fd, "/");
    hear(fd, "<p>hello", 8);
    ask(fd, "/a%20file.txt?asked=now");
    hear(fd, "spaces", 6);
    ask(fd, "/big");
    hear(fd, big(), BIG_SIZE);
    ask(fd, "/empty");
    hear(fd, "", 0);
    ask(fd, "http://here/x..y");
    hear(fd, "dots", 4);
    client_close(fd);
    stop();
}
END_TEST

START_TEST(what_is_not_there_or_not_below_is_refused)
{
    static const struct {
        const char *target;
        int code;
        const char *reason;
    } refused[] = {
        {"/none", 404, "Not Found\n"},
        {"/below", 404, "Not Found\n"},
        {"/below/", 404, "Not Found\n"},
        {"/pipe", 404, "Not Found\n"},
        {"/empty/none", 404, "Not Found\n"},
        {"/..", 400, "Bad Request\n"},
        {"/../etc/passwd", 400, "Bad Request\n"},
        {"/below/../../etc/passwd", 400, "Bad Request\n"},
        {"/%2e%2E/etc/passwd", 400, "Bad Request\n"},
        {"/below/%2e%2e%2f..%2fetc/passwd", 400, "Bad Request\n"},
        {"/empty%00", 400, "Bad Request\n"},
        {"/empty%2", 400, "Bad Request\n"},
        {"/empty%g0", 400, "Bad Request\n"},
    };
    int fd;

    start();
    fd = client_connect(port);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        ask(fd, refused[i].target);
        hear_refusal(fd, refused[i].code, refused[i].reason);
    }
    ask(fd, "/");
    hear(fd, "<p>hello", 8);
    client_close(fd);
    stop();
}
END_TEST

START_TEST(a_target_may_fill_its_room_and_not_be_longer)
{
    char target[1024];
    int fd;

    start();
    fd = client_connect(port);
    memset(target, '/', sizeof target);
    target[sizeof target - 1] = '\0';
    ask(fd, target);
    hear(fd, "<p>hello", 8);
    say(fd, "GET /"); /* one more */
    say(fd, target);
    say(fd, " HTTP/1.1\r\n\r\n");
    hear_refusal(fd, 414, "URI Too Long\n");
    client_close(fd);
    stop();
}
END_TEST

/* ---- how it is asked for ---- */

START_TEST(requests_in_any_pieces_are_answered_in_their_order)
{
    static const char requests[] = "GET /a%20file.txt HTTP/1.1\r\nHost: here\r\n\r\n"
                                   "HEAD / HTTP/1.1\r\n\r\n"
                                   "GET /x..y HTTP/1.1\r\n\r\n";
    size_t length;
    int fd;

    start();
    fd = client_connect(port);
    for (size_t piece = 1; piece <= sizeof requests; piece = piece < 5 ? piece + 1 : piece * 3) {
        for (size_t at = 0; at < sizeof requests - 1; at += piece) {
            size_t left = sizeof requests - 1 - at, size = left < piece ? left : piece;

            ck_assert_int_eq(send(fd, requests + at, size, MSG_NOSIGNAL), size);
        }
        hear(fd, "spaces", 6);
        ck_assert_int_eq(hear_head(fd, &length), 200); /* and no body */
        ck_assert_uint_eq(length, 8);
        hear(fd, "dots", 4);
    }
    client_close(fd);
    stop();
}
END_TEST

START_TEST(bodies_are_passed_over)
{
    int fd;

    start();
    fd = client_connect(port);
    say(fd, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            "5\r\nGET /\r\n3\r\nabc\r\n0\r\n\r\n");
    hear_refusal(fd, 405, "Method Not Allowed\n");
    say(fd, "GET /x..y HTTP/1.1\r\nContent-Length: 9\r\n\r\nGET / HTT");
    hear(fd, "dots", 4);
    ask(fd, "/");
    hear(fd, "<p>hello", 8);
    client_close(fd);
    stop();
}
END_TEST

START_TEST(who_wants_no_more_is_hung_up_on)
{
    static const char *const last[] = {
        "GET /x..y HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "GET /x..y HTTP/1.0\r\n\r\n",
    };

    start();
    for (size_t i = 0; i < sizeof last / sizeof *last; i++) {
        int fd = client_connect(port);

        say(fd, last[i]);
        hear(fd, "dots", 4);
        client_expect_end(fd);
        client_close(fd);
    }
    stop();
}
END_TEST

START_TEST(what_is_no_request_is_answered_and_hung_up_on)
{
    static const char *const wrong[] = {"nonsense\r\n\r\n", "GET / FTP/1.1\r\n\r\n",
                                        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"};

    start();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int fd = client_connect(port);

        say(fd, wrong[i]);
        hear_refusal(fd, 400, "Bad Request\n");
        client_expect_end(fd);
        client_close(fd);
    }
    stop();
}
END_TEST

/* It has sent more than was read of it, and yet the answer reaches it. */
START_TEST(a_head_without_end_is_answered_and_hung_up_on)
{
    static char line[8 * 1024];
    int fd;

    start();
    fd = client_connect(port);
    say(fd, "GET / HTTP/1.1\r\nA: ");
    memset(line, 'a', sizeof line - 1);
    for (int i = 0; i < 20; i++)
        say(fd, line);
    hear_refusal(fd, 400, "Bad Request\n");
    client_expect_end(fd);
    client_close(fd);
    stop();
}
END_TEST

/* ---- what goes wrong ---- */

START_TEST(a_file_that_becomes_shorter_ends_the_connection)
{
    static char bytes[64 * 1024];
    size_t length, received = 0;
    ssize_t count;
    int fd;

    start();
    write_file("huge", "", 0);
    ck_assert_int_eq(truncate(path_of("huge"), HUGE_SIZE), 0); /* much more than sockets hold */
    fd = client_connect(port);
    ask(fd, "/huge");
    ck_assert_int_eq(hear_head(fd, &length), 200);
    ck_assert_uint_eq(length, HUGE_SIZE);
    ck_assert_int_eq(truncate(path_of("huge"), 1), 0);
    while ((count = recv(fd, bytes, sizeof bytes, 0)) > 0)
        received += (size_t)count;
    ck_assert_uint_lt(received, HUGE_SIZE);
    client_close(fd);
    stop();
}
END_TEST

START_TEST(a_client_that_goes_at_any_moment_leaves_nothing_behind)
{
    unsigned before;

    start();
    write_file("big", big(), BIG_SIZE);
    before = process_descriptors(server.pid);
    for (int moment = 0; moment < 4; moment++) {
        int fd = client_connect(port);
        char byte;

        if (moment == 1)
            say(fd, "GET /bi");
        if (moment > 1)
            ask(fd, "/big");
        if (moment > 2)
            ck_assert_int_eq(recv(fd, &byte, 1, 0), 1);
        if (moment % 2)
            client_reset(fd);
        else
            client_close(fd);
    }
    for (int64_t end_ms = now_ms() + CLIENT_LIMIT_MS; process_descriptors(server.pid) != before;) {
        ck_assert_int_lt(now_ms(), end_ms);
        sleep_ms(1);
    }
    stop();
}
END_TEST

START_TEST(without_descriptors_it_says_so_and_goes_on)
{
    enum { CLIENTS = 60, DESCRIPTORS = 40 };
    static const struct process_limits limits = {.descriptors_max = DESCRIPTORS};
    int fds[CLIENTS], fd;

    ck_assert_ptr_nonnull(mkdtemp(directory));
    write_file("index.html", "<p>hello", 8);
    process_start(&server, &limits,
                  (const char *const[]){"examples/http", directory, LOOPBACK_URL, NULL});
    port = listening_port(&server, 0);
    fd = client_connect(port);
    ask(fd, "/");
    hear(fd, "<p>hello", 8);
    for (int i = 0; i < CLIENTS; i++) /* some of them wait in the backlog */
        fds[i] = client_connect(port);
    while (process_descriptors(server.pid) < DESCRIPTORS)
        sleep_ms(1);
    ask(fd, "/");
    hear_refusal(fd, 503, "Service Unavailable\n");
    for (int i = 0; i < CLIENTS; i++)
        client_close(fds[i]);
    client_close(fd);
    fd = client_connect(port);
    ask(fd, "/");
    hear(fd, "<p>hello", 8);
    client_close(fd);
    stop();
}
END_TEST

START_TEST(a_wrong_directory_is_told_of)
{
    struct process process = {0};

    PROCESS_START(&process, "examples/http", "/nowhere", LOOPBACK_URL);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "/nowhere: No such file or directory"));
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {files_are_served_as_they_are, 1},
        {what_is_not_there_or_not_below_is_refused, 1},
        {a_target_may_fill_its_room_and_not_be_longer, 1},
        {requests_in_any_pieces_are_answered_in_their_order, 1},
        {bodies_are_passed_over, 1},
        {who_wants_no_more_is_hung_up_on, 1},
        {what_is_no_request_is_answered_and_hung_up_on, 1},
        {a_head_without_end_is_answered_and_hung_up_on, 1},
        {a_file_that_becomes_shorter_ends_the_connection, 1},
        {a_client_that_goes_at_any_moment_leaves_nothing_behind, 1},
        {without_descriptors_it_says_so_and_goes_on, 1},
        {a_wrong_directory_is_told_of, 1},
    };

    return programs_main("http", tests, sizeof tests / sizeof tests[0]);
}
