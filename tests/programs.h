/* SPDX-License-Identifier: Apache-2.0 */
/* programs.h - rill-echo as the tests run it: started, checked to the end, stopped. */
#ifndef RILL_TESTS_PROGRAMS_H
#define RILL_TESTS_PROGRAMS_H

#include "tests/process.h"

#include <check.h>

#define LOOPBACK_URL "tcp://127.0.0.1:0"

struct echo_server {
    struct process process;
    uint16_t port;
};

/* Starts rill-echo --json at a free port of 127.0.0.1 with further options, and
 * waits until it listens. */
#define ECHO_SERVER_START(server, ...)                                                             \
    echo_server_start(                                                                             \
        server, NULL,                                                                              \
        (const char *const[]){"bin/rill-echo", "--json", LOOPBACK_URL, ##__VA_ARGS__, NULL})

void echo_server_start(struct echo_server *server, const struct process_limits *limits,
                       const char *const *argv);

/* Waits until the server has closed what its clients left: until it has as many
 * descriptors again as it had before they came. */
void echo_server_expect_descriptors(const struct echo_server *server, unsigned count);

/* Ends it by SIGTERM. It has to exit with 0, say nothing on stderr and close its
 * stdout with a JSON object by which no task, operation, shared buffer or descriptor
 * is left. Returns that object. */
const char *echo_server_stop(struct echo_server *server);

/* The port in the line "listening on tcp://...:PORT", counted from 0. */
uint16_t listening_port(struct process *process, unsigned number);

/* Writes "tcp://127.0.0.1:PORT". Returns text. */
enum { URL_TEXT_MAX = 32 };
char *url_of(uint16_t port, char *text);

/* Runs cases of a test file, each function with the numbers from 0 to times - 1.
 * Returns main's result: 77 where io_uring is not permitted. */
struct program_test {
    const TTest *test;
    int times;
};
int programs_main(const char *name, const struct program_test *tests, size_t count);

/* Memory and limits are other ones there. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif

#endif
