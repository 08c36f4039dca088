/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_plain.c - a program that knows UCX and nothing of rill is the other side: the
 * client and server that UCX has as its example. */
#include "rdma/active_message.h"
#include "rdma/stream.h"
#include "rdma/tag.h"
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

enum { TAG = 0xcafe, AM_ID = 0, SIZE = 300000, TIMES = 7 };

static char program[64], buffer[SIZE];
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

static pid_t start(const char *const *arguments)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setenv("UCX_TLS", "tcp,self", 1);
    setenv("UCX_NET_DEVICES", "lo", 1);
    dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
    dup2(STDOUT_FILENO, STDERR_FILENO);
    execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Compiles the example. Returns false, saying so, where that cannot be done. */
static bool compile(void)
{
    const char *compiler = getenv("CC");
    const char *const arguments[] = {
        compiler ? compiler : "cc", "-w", "-o", program, source, "-lucp", "-lucs", NULL};

    snprintf(program, sizeof program, "/tmp/rill-plain-%d", (int)getpid());
    if (access(source, R_OK) == 0 && finish(start(arguments)) == 0)
        return true;
    printf("skipped: %s is not there, or does not compile\n", source);
    return false;
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

static pid_t run(const char *kind, uint16_t port, bool as_client, size_t size)
{
    char port_text[16], size_text[16], times_text[16];
    const char *const arguments[] = {
        program,     "-c",      kind, "-p",       port_text,
        "-s",        size_text, "-i", times_text, as_client ? "-a" : NULL,
        "127.0.0.1", NULL};

    snprintf(port_text, sizeof port_text, "%u", port);
    snprintf(size_text, sizeof size_text, "%zu", size);
    snprintf(times_text, sizeof times_text, "%d", times(kind));
    return start(arguments);
}

static bool begin(struct rill_rdma *rdma)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    duo_open_worker(rdma, OVER_TCP);
    return true;
}

/* Found without UCX, as processes are made before it is opened. */
static uint16_t free_port(void)
{
    struct sockaddr_in address = duo_address(0);
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (void *)&address, sizeof address), 0);
    ck_assert_int_eq(getsockname(fd, (void *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
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

/* The messages of one client. Returns whether all have come. */
static bool receive(struct rill_rdma_ep *ep, const char *kind, size_t size)
{
    for (int i = 0; i < times(kind); i++) {
        int64_t result;

        memset(buffer, 0, size);
        result = receive_one(ep, kind, size);
        if (result < 0 && duo_is_loss(ep->error))
            return false;
        expect_eq(result, size);
        expect(is_theirs(buffer, size));
    }
    return true;
}

/* A client that begins before anybody listens would give up; so it is started by a
 * process that waits for the word. */
static pid_t client_when(int *word, const char *kind, uint16_t port, size_t size)
{
    int ends[2];
    pid_t child;
    char byte;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child > 0) {
        close(ends[0]);
        *word = ends[1];
        return child;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        _exit(1);
    _exit(finish(run(kind, port, true, size)));
}

static bool serve_once(const char *kind, size_t size)
{
    static struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
    struct rill_rdma_ep peer = {0};
    uint16_t port = free_port();
    struct sockaddr_in address = duo_address(port);
    int word;
    pid_t child = client_when(&word, kind, port, size);
    bool has_all;

    if (!begin(&duo.right))
        return true;
    expect_eq(rill_rdma_listen(&listener, &duo.right, (void *)&address, sizeof address), 0);
    expect_eq(rill_rdma_inbox_open(&inbox, &duo.right, AM_ID), 0);
    ck_assert_int_eq(write(word, "x", 1), 1);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(accept.client_id, 0);
    expect_eq(accept.peer.ss_family, AF_INET);
    expect_eq(rill_rdma_ep_adopt(&peer, &accept), 0);
    has_all = receive(&peer, kind, size);
    rill_rdma_inbox_close(&inbox);
    await(rill_rdma_ep_close(&peer));
    rill_rdma_listener_close(&listener);
    rill_rdma_close(&duo.right);
    fixture_close();
    close(word);
    ck_assert_int_eq(finish(child), 0);
    return has_all;
}

/* The example's client waits for no answer before it closes, which may overtake what it sent
 * (rdma/endpoint.h) where this side is slow. Such a one is run again. */
static void serve_a_plain_client(const char *kind, size_t size)
{
    for (int tries = 1; !serve_once(kind, size); tries++)
        ck_assert_msg(tries < network()->slowness, "%s of %zu bytes: lost", kind, size);
}

static void ask_a_plain_server(const char *kind, size_t size)
{
    uint16_t port = free_port();
    struct sockaddr_in address = duo_address(port);
    struct rill_rdma_ep peer = {0};
    struct rill_sleep pause;
    pid_t child = run(kind, port, false, size);

    if (!begin(&duo.left))
        return;
    for (int tries = 0;; tries++) { /* it takes a while until it listens */
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int error = connect(fd, (void *)&address, sizeof address);

        close(fd);
        if (!error)
            break;
        expect(tries < 1000);
        await(rill_sleep(&pause, 10 * RILL_MILLISECOND));
    }
    expect_eq(rill_rdma_ep_connect(&peer, &duo.left, (void *)&address, sizeof address), 0);
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
    duo_turn_until(peer.error != 0);
    expect(peer.error == -ECONNRESET || peer.error == -ETIMEDOUT);
    expect_eq(await(rill_rdma_ep_close(&peer)), peer.error);
    rill_rdma_close(&duo.left);
    fixture_close();
    kill(child, SIGKILL);
    finish(child);
}

static const size_t sizes[] = {16, 8000, SIZE};
static const char *const kinds[] = {"tag", "stream", "am"};
enum { KINDS = sizeof kinds / sizeof *kinds };

START_TEST(a_plain_client_is_served_by_tag_stream_and_active_message)
{
    if (!compile())
        return;
    for (size_t i = 0; i < KINDS; i++)
        serve_a_plain_client(kinds[i], sizes[_i]);
    unlink(program);
}
END_TEST

START_TEST(a_plain_server_is_asked_by_tag_stream_and_active_message)
{
    if (!compile())
        return;
    for (size_t i = 0; i < KINDS; i++)
        ask_a_plain_server(kinds[i], sizes[_i]);
    unlink(program);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rdma plain");
    TCase *tcase = tcase_create("rdma plain");
    SRunner *runner = srunner_create(suite);
    int failed;

    if (network()->is_verbs) {
        puts("skipped: the example's client closes without an answer, and over verbs that "
             "overtakes what it sent");
        return 77;
    }
    tcase_add_loop_test(tcase, a_plain_client_is_served_by_tag_stream_and_active_message, 0, 3);
    tcase_add_loop_test(tcase, a_plain_server_is_asked_by_tag_stream_and_active_message, 0, 3);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
