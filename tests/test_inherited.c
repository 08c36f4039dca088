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
        ck_assert_int_eq(setenv(name, strcmp(value, "me") == 0 ? pid : value, 1), 0);
    else
        unsetenv(name);
}

static void tell(const char *pid, const char *count, const char *names)
{
    set("LISTEN_PID", pid);
    set("LISTEN_FDS", count);
    set("LISTEN_FDNAMES", names);
}

/* Makes descriptors 3 to 5 what they are not closed on exec. */
static void open_three(void)
{
    int fd = eventfd(0, 0);

    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(dup2(fd, RILL_INHERITED_FIRST + i), 0);
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
    open_three();
    tell("me", "3", "http:control:http");
    ck_assert_int_eq(rill_inherited_find("http"), 3);
    ck_assert_int_eq(rill_inherited_find("control"), 4);
    ck_assert_int_eq(rill_inherited_find("htt"), -ENOENT);
    ck_assert_int_eq(rill_inherited_find("https"), -ENOENT);
    ck_assert_int_eq(rill_inherited_find(""), -ENOENT);
    ck_assert_int_eq(rill_inherited_find("http:control"), -ENOENT);
    tell("me", "3", ":control:");
    ck_assert_int_eq(rill_inherited_find("control"), 4);
    ck_assert_int_eq(rill_inherited_find(""), 3);
    tell("me", "1", "http:control"); /* more names than descriptors, and fewer */
    ck_assert_int_eq(rill_inherited_find("control"), -ENOENT);
    tell("me", "3", "http");
    ck_assert_int_eq(rill_inherited_find("http"), 3);
    ck_assert_int_eq(rill_inherited_find("control"), -ENOENT);
    tell("me", "3", NULL);
    ck_assert_int_eq(rill_inherited_find("http"), -ENOENT);
    tell("1", "3", "http");
    ck_assert_int_eq(rill_inherited_find("http"), -ENOENT);
}
END_TEST

START_TEST(a_number_needs_no_environment)
{
    open_three();
    tell(NULL, NULL, NULL);
    ck_assert_int_eq(rill_inherited_find("5"), 5);
    close(5);
    ck_assert_int_eq(rill_inherited_find("5"), -EBADF);
    ck_assert_int_eq(rill_inherited_find("3x"), -ENOENT);
    ck_assert_int_eq(rill_inherited_find("-3"), -ENOENT);
    ck_assert_int_eq(rill_inherited_find("99999999999"), -ENOENT);
}
END_TEST

START_TEST(what_was_found_is_closed_on_exec)
{
    open_three();
    tell("me", "3", "a:b:c");
    ck_assert_int_eq(fcntl(4, F_GETFD), 0);
    ck_assert_int_eq(rill_inherited_find("b"), 4);
    ck_assert_int_eq(fcntl(4, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(3, F_GETFD), 0);
}
END_TEST

START_TEST(a_server_that_can_not_adopt_says_why)
{
    static const struct {
        const char *url, *says;
        int64_t result;
    } cases[] = {
        {"fd://", "descriptor is missing", -EINVAL},
        {"fd://http", "no descriptor of that name", -ENOENT},
        {"fd://500", "Bad file descriptor", -EBADF},
        {"fd://eventfd", "Socket operation on non-socket", -ENOTSOCK},
        {"fd://idle", "does not listen", -EINVAL},
        {"fd://datagrams", "Protocol wrong type", -EPROTOTYPE},
    };
    struct rill_server server = {.announce = NULL};
    int three[] = {eventfd(0, EFD_CLOEXEC), socket(AF_INET, SOCK_STREAM, 0),
                   socket(AF_INET, SOCK_DGRAM, 0)};

    for (int i = 0; i < 3; i++) /* out of the way first */
        three[i] = fcntl(three[i], F_DUPFD, 10);
    for (int i = 0; i < 3; i++)
        ck_assert_int_ge(dup2(three[i], RILL_INHERITED_FIRST + i), 0);
    tell("me", "3", "eventfd:idle:datagrams");
    if (!fixture_open(REAL, NULL, NULL))
        return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t result = await(rill_serve(
            &server, cases[i].url, (struct rill_service){.peer_size = sizeof(struct rill_tcp)}));

        expect_eq(result, cases[i].result);
        if (!strstr(server.why, cases[i].says))
            ck_abort_msg("%s: %s", cases[i].url, server.why);
        expect(!server.listener.is_open);
    }
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {the_environment_says_how_many_there_are_and_for_whom, IN_REAL},
        {a_name_is_that_of_the_first_that_has_it, IN_REAL},
        {a_number_needs_no_environment, IN_REAL},
        {what_was_found_is_closed_on_exec, IN_REAL},
        {a_server_that_can_not_adopt_says_why, IN_REAL},
    };

    return fixture_main("inherited", cases, sizeof cases / sizeof *cases);
}
