/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/programs.h"

#include "tests/json_reader.h"
#include "tests/limit.h"

#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void echo_server_start(struct echo_server *server, const struct process_limits *limits,
                       const char *const *argv)
{
    process_start(&server->process, limits, argv);
    server->port = listening_port(&server->process, 0);
}

uint16_t listening_port(struct process *process, unsigned number)
{
    const char *line = process_line(process, "listening on tcp://", number);
    const char *colon = memrchr(line, ':', strcspn(line, "\n"));
    long port;

    ck_assert_ptr_nonnull(colon);
    port = strtol(colon + 1, NULL, 10);
    ck_assert(port > 0 && port <= UINT16_MAX);
    return (uint16_t)port;
}

char *url_of(uint16_t port, char *text)
{
    snprintf(text, URL_TEXT_MAX, "tcp://127.0.0.1:%u", port);
    return text;
}

void echo_server_expect_descriptors(const struct echo_server *server, unsigned count)
{
    int64_t deadline_ms = now_ms() + PROCESS_LIMIT_MS;

    while (process_descriptors(server->process.pid) != count && now_ms() < deadline_ms)
        sleep_ms(5);
    ck_assert_msg(process_descriptors(server->process.pid) == count,
                  "the server has %u descriptors, not %u:\n%s",
                  process_descriptors(server->process.pid), count,
                  process_describe_descriptors(server->process.pid));
}

const char *echo_server_stop(struct echo_server *server)
{
    struct process *process = &server->process;
    const char *object;
    int status;

    process_signal(process, SIGTERM);
    status = process_wait(process);
    ck_assert_msg(status == 0, "status %d: %s", status, process->err.text);
    ck_assert_str_eq(process->err.text, "");
    object = strchr(process->out.text, '{');
    ck_assert_ptr_nonnull(object);
    ck_assert_double_eq(json_number(object, "alive.tasks"), 0);
    ck_assert_double_eq(json_number(object, "alive.ops"), 0);
    ck_assert_double_eq(json_number(object, "alive.buffers"), 0);
    ck_assert_double_eq(json_number(object, "alive.fds"), 0);
    return object;
}

static bool io_uring_is_permitted(void)
{
    struct io_uring ring;
    int error = io_uring_queue_init(4, &ring, 0);

    if (error) {
        printf("skipped: io_uring is not permitted here (%s)\n", strerror(-error));
        return false;
    }
    io_uring_queue_exit(&ring);
    return true;
}

int programs_main(const char *name, const struct program_test *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(tcase, tests[i].test, 0, tests[i].times);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    if (!io_uring_is_permitted()) {
        srunner_free(runner);
        return 77;
    }
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
