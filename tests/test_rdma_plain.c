/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_plain.c - a program that knows UCX and nothing of rill is the other side: the
 * client and server that UCX has as its example. */
#include "rdma/active_message.h"
#include "rdma/stream.h"
#include "rdma/tag.h"
#include "tests/limit.h"
#include "tests/rdma/duo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where libucx-dev has it. */
static const char source[] = "/usr/share/doc/libucx-dev/examples/ucp_client_server.c";

/* Linked in front of the example's closing, which has to wait for a word on its standard input, or
 * for the end of that: it closes by force as soon as it has done its part, and that may overtake
 * what it sent (rdma/endpoint.h). */
static const char gate[] =
    "#include <poll.h>\n"
    "#include <ucp/api/ucp.h>\n"
    "ucs_status_t __real_ucp_worker_create(ucp_context_h, const ucp_worker_params_t *,\n"
    "                                      ucp_worker_h *);\n"
    "ucs_status_ptr_t __real_ucp_ep_close_nbx(ucp_ep_h, const ucp_request_param_t *);\n"
    "static ucp_worker_h latest;\n"
    "ucs_status_t __wrap_ucp_worker_create(ucp_context_h context,\n"
    "                                      const ucp_worker_params_t *params,\n"
    "                                      ucp_worker_h *worker)\n"
    "{\n"
    "    ucs_status_t status = __real_ucp_worker_create(context, params, worker);\n"
    "    latest = *worker;\n"
    "    return status;\n"
    "}\n"
    "ucs_status_ptr_t __wrap_ucp_ep_close_nbx(ucp_ep_h ep, const ucp_request_param_t *param)\n"
    "{\n"
    "    struct pollfd word = {0, POLLIN, 0};\n"
    "    while (poll(&word, 1, 1) == 0)\n"
    "        while (ucp_worker_progress(latest))\n"
    "            ;\n"
    "    return __real_ucp_ep_close_nbx(ep, param);\n"
    "}\n";

enum { TAG = 0xcafe, AM_ID = 0, SIZE = 300000, TIMES = 7 };

static int program_fd = -1; /* the example, compiled; its file has no name any more */
static char buffer[SIZE];
static struct rill_rdma_op op;
static struct rill_rdma_inbox inbox;
static struct rill_rdma_am message;
static struct background receiving;

static int finish(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Has the compiler make path of the example and the gate. */
static bool run_compiler(const char *path)
{
    const char *compiler = getenv("CC");
    const char *const arguments[] = {compiler ? compiler : "cc",
                                     "-w",
                                     "-o",
                                     path,
                                     source,
                                     "-x",
                                     "c",
                                     "-",
                                     "-x",
                                     "none",
                                     "-Wl,--wrap=ucp_worker_create,--wrap=ucp_ep_close_nbx",
                                     "-lucp",
                                     "-lucs",
                                     NULL};
    FILE *input = tmpfile();
    int status = -1;
    pid_t child;

    if (!input)
        return false;
    fputs(gate, input);
    rewind(input);
    child = fork();
    if (child == 0) {
        dup2(fileno(input), STDIN_FILENO);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    fclose(input);
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* Returns false where there is no example, or it does not compile. */
static bool compile(void)
{
    char path[] = "/tmp/rill-plain-XXXXXX";
    int fd = mkstemp(path);

    if (fd < 0)
        return false;
    close(fd); /* a file that is open for writing cannot be run */
    if (access(source, R_OK) == 0 && run_compiler(path))
        program_fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    return program_fd >= 0;
}

/* What the example sends: letters in order, a NUL at the end. */
static bool is_theirs(const char *bytes, size_t size)
{
    for (size_t i = 0; i + 1 < size; i++)
        if (bytes[i] != (char)('A' + i % 26))
            return false;
    return bytes[size - 1] == '\0';
}

static bool is(const char *one, const char *other)
{
    return strcmp(one, other) == 0;
}

/* The example's server has room for one active message at a time. */
static int times(const char *kind)
{
    return is(kind, "am") ? 1 : TIMES;
}

/* Becomes the example. */
static void run(const char *kind, uint16_t port, bool as_client, size_t size)
{
    char port_text[16], size_text[16], times_text[16], path[32];
    const char *const arguments[] = {
        "example",   "-c",      kind, "-p",       port_text,
        "-s",        size_text, "-i", times_text, as_client ? "-a" : NULL,
        "127.0.0.1", NULL};

    snprintf(port_text, sizeof port_text, "%u", port);
    snprintf(size_text, sizeof size_text, "%zu", size);
    snprintf(times_text, sizeof times_text, "%d", times(kind));
    setenv("UCX_TLS", "tcp,self", 1);
    setenv("UCX_NET_DEVICES", "lo", 1);
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    /* Not fexecve, of whose system call valgrind does not know. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", program_fd);
    execv(path, (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Forks a process that hears on its standard input what is written to *word, and says on its
 * standard error what is read from *said. Returns 0 in it. It is to be made before UCX is opened
 * in this one. */
static pid_t fork_other(int *word, int *said)
{
    int words[2], sayings[2];
    pid_t child;

    ck_assert_int_eq(pipe2(words, O_CLOEXEC) | pipe2(sayings, O_CLOEXEC), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(words[0], STDIN_FILENO);
        dup2(sayings[1], STDERR_FILENO);
        close(words[1]);
        return 0;
    }
    close(words[0]);
    close(sayings[1]);
    *word = words[1];
    *said = sayings[0];
    return child;
}

static bool begin(struct rill_rdma *rdma)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    duo_open_worker(rdma, OVER_TCP);
    return true;
}

static int64_t receive_one(struct rill_rdma_ep *ep, const char *kind, size_t size)
{
    int64_t result;

    if (is(kind, "stream"))
        return await(rill_rdma_stream_recv_exactly(ep, &op, buffer, size));
    if (is(kind, "tag"))
        return await(rill_rdma_tag_recv_from(ep, &op, buffer, size, TAG, RILL_RDMA_TAG_EXACT));
    /* An inbox is nobody's in particular, and waits on if this client is lost. */
    background_start(&receiving, rill_rdma_am_recv(&inbox, &message));
    duo_turn_until(rill_task_is_over(&receiving.task) || ep->error != 0);
    rill_task_cancel(&receiving.task);
    result = background_end(&receiving);
    if (result >= 0)
        result = await(rill_rdma_am_fetch(&message, &op, buffer));
    rill_rdma_am_release(&message);
    return result;
}

/* ---- their client ---- */

/* One that begins before anybody listens would give up, so the port is its first word. */
static pid_t fork_client(int *word, int *said, const char *kind, size_t size)
{
    uint16_t port;
    pid_t child = fork_other(word, said);

    if (child > 0)
        return child;
    if (read(STDIN_FILENO, &port, sizeof port) != sizeof port)
        _exit(1);
    run(kind, port, true, size);
    return 0;
}

static void serve_a_plain_client(const char *kind, size_t size)
{
    static struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
    struct rill_rdma_ep peer = {0};
    struct rill_address address;
    int word, said;
    pid_t child = fork_client(&word, &said, kind, size);
    uint16_t port;

    if (!begin(&duo.right))
        return;
    address = duo_listen(&listener, &duo.right);
    port = rill_address_port(&address);
    expect_eq(rill_rdma_inbox_open(&inbox, &duo.right, AM_ID), 0);
    ck_assert_int_eq(write(word, &port, sizeof port), sizeof port);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(accept.client_id, 0);
    expect_eq(accept.peer.any.sa_family, AF_INET);
    expect_eq(rill_rdma_ep_adopt(&peer, &accept), 0);
    for (int i = 0; i < times(kind); i++) {
        memset(buffer, 0, size);
        expect_eq(receive_one(&peer, kind, size), size);
        expect(is_theirs(buffer, size));
    }
    ck_assert_int_eq(write(word, "x", 1), 1);
    rill_rdma_inbox_close(&inbox);
    await(rill_rdma_ep_close(&peer));
    rill_rdma_listener_close(&listener);
    rill_rdma_close(&duo.right);
    fixture_close();
    ck_assert_int_eq(finish(child), 0);
    close(word);
    close(said);
}

/* ---- their server ---- */

/* It takes a port that is free, and says which. */
static uint16_t port_of_server(int said)
{
    FILE *lines = fdopen(dup(said), "r");
    char line[200];
    unsigned port = 0;

    ck_assert_ptr_nonnull(lines);
    while (port == 0 && fgets(line, sizeof line, lines)) {
        const char *text = strstr(line, " port ");

        if (text && strstr(line, "is listening"))
            port = (unsigned)strtoul(text + strlen(" port "), NULL, 10);
    }
    fclose(lines);
    ck_assert_uint_gt(port, 0);
    return (uint16_t)port;
}

static void ask_a_plain_server(const char *kind, size_t size)
{
    struct rill_rdma_ep peer = {0};
    struct rill_address address;
    int word, said;
    pid_t child = fork_other(&word, &said);

    if (child == 0)
        run(kind, 0, false, size);
    address = duo_address(port_of_server(said));
    if (!begin(&duo.left))
        return;
    expect_eq(rill_rdma_ep_connect(&peer, &duo.left, &address), 0);
    for (int i = 0; i < times(kind); i++) {
        if (is(kind, "am"))
            expect_eq(await(rill_rdma_am_send(&peer, &op, AM_ID, NULL, 0, buffer, size, 0)), size);
        else if (is(kind, "stream"))
            expect_eq(await(rill_rdma_stream_send(&peer, &op, buffer, size)), size);
        else
            expect_eq(await(rill_rdma_tag_send_sync(&peer, &op, buffer, size, TAG)), size);
    }
    /* It closes when it has got all, without waiting for the other side: the end of the data's
     * connection may be seen before that of the one which tells of it. */
    ck_assert_int_eq(write(word, "x", 1), 1);
    duo_turn_until(peer.error != 0);
    expect(peer.error == -ECONNRESET || peer.error == -ETIMEDOUT);
    expect_eq(await(rill_rdma_ep_close(&peer)), peer.error);
    rill_rdma_close(&duo.left);
    fixture_close();
    kill(child, SIGKILL);
    finish(child);
    close(word);
    close(said);
}

/* The third is the longest that goes at once over TCP alone, as a single piece. */
static const size_t sizes[] = {16, 8000, RILL_RDMA_EAGER_SIZE_OF_TCP - 1, SIZE};
static const char *const kinds[] = {"tag", "stream", "am"};
enum { KINDS = sizeof kinds / sizeof *kinds };

START_TEST(a_plain_client_is_served_by_tag_stream_and_active_message)
{
    for (size_t i = 0; i < KINDS; i++)
        serve_a_plain_client(kinds[i], sizes[_i]);
}
END_TEST

START_TEST(a_plain_server_is_asked_by_tag_stream_and_active_message)
{
    for (size_t i = 0; i < KINDS; i++)
        ask_a_plain_server(kinds[i], sizes[_i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rdma plain");
    TCase *tcase = tcase_create("rdma plain");
    SRunner *runner = srunner_create(suite);
    int failed;

    if (network()->is_verbs) {
        puts("skipped: the example is run over TCP");
        return 77;
    }
    if (!compile()) {
        printf("skipped: %s is not there, or does not compile\n", source);
        return 77;
    }
    tcase_add_loop_test(tcase, a_plain_client_is_served_by_tag_stream_and_active_message, 0, 4);
    tcase_add_loop_test(tcase, a_plain_server_is_asked_by_tag_stream_and_active_message, 0, 4);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
