/* SPDX-License-Identifier: Apache-2.0 */
/* test_inherited.c - sockets that a program was started with are found, and only if they are
 * meant for it. */
#include "net/inherited.h"

#include "net/server.h"
#include "tests/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* NULL: not set. "me" is this process. */
static void set(const char *name, const char *value)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (value)
        expect_eq(setenv(name, strcmp(value, "me") == 0 ? pid : value, 1), 0);
    else
        unsetenv(name);
}

static void tell(const char *pid, const char *count, const char *names)
{
    set("LISTEN_PID", pid);
    set("LISTEN_FDS", count);
    set("LISTEN_FDNAMES", names);
}

static int before[3]; /* what was there, out of the way */

/* Has descriptors 3 to 5 be these until put_back. They may be Check's own, to which its assertions
 * write: in between there is only `expect`. */
static void put(const int *fds)
{
    for (int i = 0; i < 3; i++) {
        before[i] = fcntl(RILL_INHERITED_FIRST + i, F_DUPFD_CLOEXEC, 50);
        expect(dup2(fds[i], RILL_INHERITED_FIRST + i) >= 0);
    }
}

static void put_back(void)
{
    for (int i = 0; i < 3; i++) {
        close(RILL_INHERITED_FIRST + i);
        if (before[i] >= 0) {
            dup2(before[i], RILL_INHERITED_FIRST + i);
            close(before[i]);
        }
    }
}

/* Makes them what is not closed on exec. */
static void put_three(void)
{
    int low = eventfd(0, EFD_CLOEXEC), fd = fcntl(low, F_DUPFD_CLOEXEC, 60);

    close(low);
    put((const int[]){fd, fd, fd});
    close(fd);
}

START_TEST(the_environment_says_how_many_there_are_and_for_whom)
{
    static const struct {
        const char *pid, *fds;
        int count;
    } cases[] = {
        {"me", "1", 1},  {"me", "3", 3},          {"1", "3", 0},
        {NULL, "3", 0},  {"me", NULL, 0},         {"me", "", 0},
        {"me", "-1", 0}, {"me", "two", 0},        {"me", "2x", 0},
        {"me", "0", 0},  {"x", "2", 0},           {"me", "99999999999999999999", 0},
        {"me", " 2", 0}, {"me", "2147483647", 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tell(cases[i].pid, cases[i].fds, NULL);
        ck_assert_int_eq(rill_inherited_count(), cases[i].count);
    }
}
END_TEST

START_TEST(a_name_is_that_of_the_first_that_has_it)
{
    put_three();
    tell("me", "3", "http:control:http");
    expect_eq(rill_inherited_find("http"), 3);
    expect_eq(rill_inherited_find("control"), 4);
    expect_eq(rill_inherited_find("htt"), -ENOENT);
    expect_eq(rill_inherited_find("https"), -ENOENT);
    expect_eq(rill_inherited_find(""), -ENOENT);
    expect_eq(rill_inherited_find("http:control"), -ENOENT);
    put_back();
    put_three();
    tell("me", "3", ":control:");
    expect_eq(rill_inherited_find("control"), 4);
    expect_eq(rill_inherited_find(""), 3);
    put_back();
    put_three();
    tell("me", "1", "http:control"); /* more names than descriptors, and fewer */
    expect_eq(rill_inherited_find("control"), -ENOENT);
    tell("me", "3", "http");
    expect_eq(rill_inherited_find("http"), 3);
    expect_eq(rill_inherited_find("control"), -ENOENT);
    tell("me", "3", NULL);
    expect_eq(rill_inherited_find("http"), -ENOENT);
    tell("1", "3", "http");
    expect_eq(rill_inherited_find("http"), -ENOENT);
    put_back();
}
END_TEST

START_TEST(a_name_may_be_a_number)
{
    put_three();
    tell("me", "3", "5:443:3");
    expect_eq(rill_inherited_find("443"), 4);
    expect_eq(rill_inherited_find("5"), 3);
    expect_eq(rill_inherited_find("3"), 5);
    put_back();
    put_three();
    expect_eq(rill_inherited_find("4"), 4);
    put_back();
}
END_TEST

START_TEST(each_is_found_once)
{
    put_three();
    tell("me", "3", "http:control:http");
    expect_eq(rill_inherited_find("http"), 3);
    expect_eq(rill_inherited_find("http"), 5);
    expect_eq(rill_inherited_find("http"), -EBUSY);
    expect_eq(rill_inherited_find("3"), -EBUSY);
    expect_eq(rill_inherited_find("4"), 4);
    expect_eq(rill_inherited_find("control"), -EBUSY);
    put_back();
}
END_TEST

START_TEST(a_number_needs_no_environment)
{
    put_three();
    tell(NULL, NULL, NULL);
    expect_eq(rill_inherited_find("5"), 5);
    close(5);
    expect_eq(rill_inherited_find("5"), -EBADF);
    expect_eq(rill_inherited_find("3x"), -ENOENT);
    expect_eq(rill_inherited_find("-3"), -ENOENT);
    expect_eq(rill_inherited_find("99999999999"), -ENOENT);
    put_back();
}
END_TEST

START_TEST(what_was_found_is_closed_on_exec)
{
    put_three();
    tell("me", "3", "a:b:c");
    expect_eq(fcntl(4, F_GETFD), 0);
    expect_eq(rill_inherited_find("b"), 4);
    expect_eq(fcntl(4, F_GETFD), FD_CLOEXEC);
    expect_eq(fcntl(3, F_GETFD), 0);
    put_back();
}
END_TEST

static void expect_refusal(const char *url, int64_t result, const char *why)
{
    struct rill_server server = {.announce = NULL};
    const struct rill_service nothing = {.peer_size = sizeof(struct rill_tcp)};

    fixture.what = url;
    expect_eq(await(rill_serve(&server, url, nothing)), result);
    expect(server.why && strstr(server.why, why));
    expect(!server.listener.is_open);
}

static void expect_refusal_of(int fd, int64_t result, const char *why)
{
    char url[20];

    snprintf(url, sizeof url, "fd://%d", fd);
    expect_refusal(url, result, why);
    close(fd);
}

START_TEST(a_server_that_can_not_adopt_says_why)
{
    if (!fixture_open(REAL, NULL, NULL))
        return;
    tell("me", "1", "echo");
    expect_refusal("fd://", -EINVAL, "descriptor is missing");
    expect_refusal("fd://http", -ENOENT, "no descriptor of that name");
    expect_refusal("fd://500", -EBADF, "Bad file descriptor");
    expect_refusal_of(eventfd(0, EFD_CLOEXEC), -EBUSY, "in use by this program already");
    expect_refusal_of(eventfd(0, 0), -ENOTSOCK, "Socket operation on non-socket");
    expect_refusal_of(socket(AF_INET, SOCK_STREAM, 0), -EINVAL, "does not listen");
    expect_refusal_of(socket(AF_INET, SOCK_DGRAM, 0), -EPROTOTYPE, "Protocol wrong type");
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {the_environment_says_how_many_there_are_and_for_whom, IN_REAL},
        {a_name_is_that_of_the_first_that_has_it, IN_REAL},
        {a_name_may_be_a_number, IN_REAL},
        {each_is_found_once, IN_REAL},
        {a_number_needs_no_environment, IN_REAL},
        {what_was_found_is_closed_on_exec, IN_REAL},
        {a_server_that_can_not_adopt_says_why, IN_REAL},
    };

    return fixture_main("inherited", cases, sizeof cases / sizeof *cases);
}
