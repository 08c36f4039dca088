/* SPDX-License-Identifier: Apache-2.0 */
/* test_programs.c - the programs say what they do and what is wrong, and end when asked. */
#include "tests/client.h"
#include "tests/programs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct process process;

/* ---- examples/echo ---- */

START_TEST(the_example_echoes_every_byte_to_several_clients_at_once)
{
    enum { CLIENTS = 5 };
    int fds[CLIENTS];
    uint16_t port;

    PROCESS_START(&process, "examples/echo", LOOPBACK_URL);
    port = listening_port(&process, 0);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_connect(port);
    /* All have said half of it before the first one is answered to the end. */
    for (int i = 0; i < CLIENTS; i++)
        client_send(fds[i], 1000, (uint64_t)i);
    for (int i = CLIENTS - 1; i >= 0; i--)
        client_receive(fds[i], 1000, (uint64_t)i);
    for (int i = 0; i < CLIENTS; i++)
        client_echo(fds[i], 1 << 20, (uint64_t)i);
    for (int i = 0; i < CLIENTS; i++)
        client_close(fds[i]);
    process_signal(&process, SIGTERM);
    ck_assert_int_eq(process_wait(&process), 0);
    ck_assert_str_eq(process.err.text, "");
}
END_TEST

START_TEST(the_example_lets_its_clients_end_after_a_signal_and_exits_with_0)
{
    const int signals[] = {SIGINT, SIGTERM};
    uint16_t port;
    int fd;

    PROCESS_START(&process, "examples/echo", LOOPBACK_URL);
    port = listening_port(&process, 0);
    fd = client_connect(port);
    client_echo(fd, 100, 1);
    process_signal(&process, signals[_i]);
    while (!client_is_refused(port))
        sleep_ms(5);
    client_echo(fd, 100, 2); /* this one goes on for as long as the grace period */
    client_close(fd);
    ck_assert_int_eq(process_wait_within(&process, 4000), 0);
    ck_assert_str_eq(process.err.text, "");
}
END_TEST

/* ---- the command line ---- */

START_TEST(help_and_version_are_printed_on_stdout_and_exit_with_0)
{
    const char *const programs[] = {"bin/rill-echo", "bin/rill-ping"};

    PROCESS_START(&process, programs[_i], "--help");
    ck_assert_int_eq(process_wait(&process), 0);
    ck_assert_str_eq(process.err.text, "");
    ck_assert_ptr_nonnull(strstr(process.out.text, "Usage: rill-"));
    ck_assert_ptr_nonnull(strstr(process.out.text, "URL"));
    ck_assert_ptr_nonnull(strstr(process.out.text, "--json"));
    ck_assert_ptr_nonnull(strstr(process.out.text, "--version"));

    PROCESS_START(&process, programs[_i], "--version");
    ck_assert_int_eq(process_wait(&process), 0);
    ck_assert_str_eq(process.err.text, "");
    ck_assert_int_eq(strncmp(process.out.text, "rill-", 5), 0);
    ck_assert_ptr_eq(strchr(process.out.text, '\n') + 1, process.out.text + process.out.size);
}
END_TEST

/* Arguments, and a word that has to be in the one line on stderr. */
struct mistake {
    const char *argv[5];
    const char *word;
};

#define ECHO "bin/rill-echo"
#define PING "bin/rill-ping"

static const struct mistake mistakes[] = {
    {{ECHO}, "URL is missing"},
    {{ECHO, "--jsn", LOOPBACK_URL}, "--json"},
    {{ECHO, "-x", LOOPBACK_URL}, "-x"},
    {{ECHO, "--wait", "quick", LOOPBACK_URL}, "sleep, adaptive or spin"},
    {{ECHO, "--grace=-1s", LOOPBACK_URL}, "--grace"},
    {{ECHO, "--buffers", "0", LOOPBACK_URL}, "--buffers"},
    {{ECHO, "--buffers", "3", LOOPBACK_URL}, "--buffers 3: want a power of two"},
    {{ECHO, "--unprotected", LOOPBACK_URL}, "over rdma:// only"},
    {{ECHO, "--buffer-size", "63", LOOPBACK_URL}, "--buffer-size"},
    {{ECHO, "--spin", "soon", LOOPBACK_URL}, "--spin"},
    {{ECHO, LOOPBACK_URL, "--congestion"}, "missing"},
    {{ECHO, "127.0.0.1:7000"}, "tcp://"},
    {{ECHO, "tcp://127.0.0.1"}, "port"},
    {{ECHO, "tcp://127.0.0.1:"}, "port"},
    {{ECHO, "tcp://127.0.0.1:65536"}, "port"},
    {{ECHO, "tcp://127.0.0.1:http"}, "port"},
    {{ECHO, "tcp://:7000"}, "host"},
    {{ECHO, "tcp://::1:7000"}, "[::1]"},
    {{ECHO, "tcp://[::1:7000"}, "bracket"},
    {{ECHO, "tcp://localhost:7000"}, "numeric"},
    {{ECHO, "udp://127.0.0.1:7000"}, "scheme"},
#if !RILL_HAVE_UCX
    {{ECHO, "rdma://127.0.0.1:7000"}, "libucx-dev"},
    {{PING, "rdma://127.0.0.1:7000"}, "libucx-dev"},
#endif
    {{ECHO, LOOPBACK_URL, "carrier-pigeon://127.0.0.1:1"}, "carrier-pigeon"},
    {{ECHO, ""}, "scheme"},
    {{ECHO, "tcp://127.0.0.1:1\n2"}, "port"},
    {{PING}, "URL is missing"},
    {{PING, "tcp://127.0.0.1:7000", "tcp://127.0.0.1:7001"}, "one URL"},
    {{PING, "--conections", "3", "tcp://127.0.0.1:7000"}, "--connections"},
    {{PING, "--connections", "0", "tcp://127.0.0.1:7000"}, "from 1"},
    {{PING, "--depth", "65537", "tcp://127.0.0.1:7000"}, "65536"},
    {{PING, "--size", "1q", "tcp://127.0.0.1:7000"}, "16k"},
    {{PING, "-s64m", "-d17", "tcp://127.0.0.1:7000"}, "1 GiB"},
    {{PING, "--seconds", "0", "tcp://127.0.0.1:7000"}, "--seconds"},
    {{PING, "udp://127.0.0.1:7000"}, "udp"},
    {{PING, "127.0.0.1:7000"}, "tcp://"},
    {{PING, "tcp://127.0.0.1:7000/path"}, "port"},
    {{PING, "tcp://127.0.0.1:1\n2"}, "port"},
};

START_TEST(a_mistake_in_the_command_line_is_one_line_on_stderr_and_exits_with_2)
{
    const struct mistake *mistake = &mistakes[_i];
    const char *name = strchr(mistake->argv[0], '/') + 1;
    const char *end;
    int status;

    process_start(&process, NULL, mistake->argv);
    status = process_wait(&process);
    ck_assert_msg(status == 2, "status %d: %s", status, process.err.text);
    ck_assert_str_eq(process.out.text, "");
    end = strchr(process.err.text, '\n');
    ck_assert_ptr_nonnull(end);
    ck_assert_msg(end + 1 == process.err.text + process.err.size, "more than one line: %s",
                  process.err.text);
    ck_assert_int_eq(strncmp(process.err.text, name, strlen(name)), 0);
    ck_assert_msg(strstr(process.err.text, mistake->word) != NULL, "%s", process.err.text);
}
END_TEST

START_TEST(more_URLs_than_rill_echo_takes_are_a_mistake)
{
    const char *argv[67] = {"bin/rill-echo"};

    for (int i = 1; i <= 65; i++)
        argv[i] = LOOPBACK_URL;
    process_start(&process, NULL, argv);
    ck_assert_int_eq(process_wait(&process), 2);
    ck_assert_ptr_nonnull(strstr(process.err.text, "at most 64 URL"));

    argv[65] = NULL;
    process_start(&process, NULL, argv);
    listening_port(&process, 63);
    process_signal(&process, SIGTERM);
    ck_assert_int_eq(process_wait(&process), 0);
}
END_TEST

/* ---- what the system refuses ---- */

START_TEST(a_port_that_is_taken_exits_with_1_and_says_so)
{
    struct process second;
    char url[URL_TEXT_MAX];

    PROCESS_START(&process, "bin/rill-echo", LOOPBACK_URL);
    url_of(listening_port(&process, 0), url);
    /* The listener that works is closed together with the one that does not. */
    PROCESS_START(&second, "bin/rill-echo", LOOPBACK_URL, url);
    ck_assert_int_eq(process_wait(&second), 1);
    ck_assert_ptr_nonnull(strstr(second.err.text, url));
    ck_assert_ptr_nonnull(strstr(second.err.text, "the port is taken"));

    PROCESS_START(&second, "examples/echo", url);
    ck_assert_int_eq(process_wait(&second), 1);
    ck_assert_ptr_nonnull(strstr(second.err.text, "the port is taken"));
    process_signal(&process, SIGTERM);
    ck_assert_int_eq(process_wait(&process), 0);
}
END_TEST

START_TEST(a_path_that_can_not_be_used_exits_with_1_and_says_so)
{
    char directory[] = "/tmp/rill-programs-XXXXXX", url[64];

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(url, sizeof url, "unix://%s/a/b", directory);
    PROCESS_START(&process, "bin/rill-echo", url);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "there is no directory of that name"));
    PROCESS_START(&process, "bin/rill-ping", url);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "there is no such file"));

    snprintf(url, sizeof url, "unix://%s", directory);
    PROCESS_START(&process, "bin/rill-echo", url);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "there is a file of that name"));
    rmdir(directory);
}
END_TEST

START_TEST(an_address_of_another_machine_exits_with_1_and_says_so)
{
    PROCESS_START(&process, "bin/rill-echo", "tcp://192.0.2.1:0"); /* RFC 5737: nobody's */
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "none of this machine's"));
}
END_TEST

START_TEST(an_unknown_congestion_control_exits_with_1_and_says_so)
{
    PROCESS_START(&process, "bin/rill-echo", "--congestion", "hope", LOOPBACK_URL);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "congestion control"));
}
END_TEST

START_TEST(output_that_is_lost_exits_with_1_and_says_so)
{
    const char *const argvs[][4] = {
        {"bin/rill-echo", "--help"},
        {"bin/rill-ping", "--version"},
        {"bin/rill-micro", "-r1", "--only=await"},
    };
    const struct process_limits full = {.stdout_is_full = true};

    process_start(&process, &full, argvs[_i]);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "cannot write to stdout: No space left"));
}
END_TEST

START_TEST(without_io_uring_a_program_exits_with_1_and_says_what_to_do)
{
    const char *const argvs[][3] = {
        {"bin/rill-echo", LOOPBACK_URL},
        {"bin/rill-ping", "tcp://127.0.0.1:7000"},
        {"examples/echo", LOOPBACK_URL},
    };
    const struct process_limits forbidden = {.io_uring_errno = EPERM};
    const struct process_limits half_forbidden = {.enter_errno = EPERM};
    const struct process_limits absent = {.io_uring_errno = ENOSYS};

    process_start(&process, &forbidden, argvs[_i]);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_str_eq(process.out.text, "");
    ck_assert_ptr_nonnull(strstr(process.err.text, "io_uring is not permitted"));
    ck_assert_ptr_nonnull(strstr(process.err.text, "kernel.io_uring_disabled"));
    ck_assert_ptr_nonnull(strstr(process.err.text, "seccomp"));

    process_start(&process, &half_forbidden, argvs[_i]);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_str_eq(process.out.text, "");
    ck_assert_ptr_nonnull(strstr(process.err.text, "must allow io_uring_setup, io_uring_enter"));

    process_start(&process, &absent, argvs[_i]);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_str_eq(process.out.text, "");
    ck_assert_ptr_nonnull(strstr(process.err.text, "io_uring"));
    ck_assert_ptr_nonnull(strstr(process.err.text, "Linux 6.1"));
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {the_example_echoes_every_byte_to_several_clients_at_once, 1},
        {the_example_lets_its_clients_end_after_a_signal_and_exits_with_0, 2},
        {help_and_version_are_printed_on_stdout_and_exit_with_0, 2},
        {a_mistake_in_the_command_line_is_one_line_on_stderr_and_exits_with_2,
         sizeof mistakes / sizeof mistakes[0]},
        {more_URLs_than_rill_echo_takes_are_a_mistake, 1},
        {a_port_that_is_taken_exits_with_1_and_says_so, 1},
        {a_path_that_can_not_be_used_exits_with_1_and_says_so, 1},
        {an_address_of_another_machine_exits_with_1_and_says_so, 1},
        {an_unknown_congestion_control_exits_with_1_and_says_so, 1},
        {output_that_is_lost_exits_with_1_and_says_so, 3},
        {without_io_uring_a_program_exits_with_1_and_says_what_to_do, 3},
    };

    return programs_main("programs", tests, sizeof tests / sizeof tests[0]);
}
