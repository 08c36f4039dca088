/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_verbs.c - what only a device for verbs can show: a wire that loses everything, a
 * peer that is killed or stopped without a word, and what UCX does of itself then.
 *
 * tests/check_vm.sh makes such devices; elsewhere all of this is skipped. Endpoints are
 * opened by worker address, which works wherever there is a device. */
#include "rdma/endpoint_info.h"
#include "rdma/tag.h"
#include "runtime/timeout.h"
#include "tests/rdma/duo.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* How soon a loss is told with the settings of check_vm.sh; it takes 1 to 5 s as a rule. */
static const int64_t loss_max_ns = 30 * RILL_SECOND;

enum { LARGE = 4 << 20, ADDRESS_MAX = 4096 };

static struct rill_rdma_op send_op, recv_op, back_op, any_op;
static struct background sending, receiving, receiving_back, receiving_any;
static char buffer[LARGE], echoed[LARGE];

/* ---- which transport ---- */

static void expect_device(const struct rill_rdma_ep *ep, const char *device)
{
    char text[256];

    expect_eq(rill_rdma_ep_describe(ep, text, sizeof text), 0);
    ck_assert_msg(strstr(text, "_verbs/") && strstr(text, device), "%s", text);
}

START_TEST(the_endpoints_of_these_tests_are_of_the_device)
{
    if (!duo_open(_i, NULL))
        return;
    background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send_op, buffer, 100, 1));
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, buffer, 100, 1, 0)), 100);
    expect_eq(background_end(&sending), 100);
    expect_device(&duo.to_right, network()->left);
    expect_device(&duo.to_left, network()->right);
    duo_close();
}
END_TEST

START_TEST(a_device_is_preferred_to_tcp_without_any_setting)
{
    size_t size;

    if (!fixture_open(REAL, NULL, NULL))
        return;
    expect_eq(rill_rdma_open(&duo.left, &(struct rill_rdma_options){.bare_endpoints = true}), 0);
    expect_eq(rill_rdma_open(&duo.right, &(struct rill_rdma_options){.bare_endpoints = true}), 0);
    expect_eq(rill_rdma_ep_open(&duo.to_right, &duo.left, rill_rdma_address(&duo.right, &size)), 0);
    expect_device(&duo.to_right, "rxe");
    await(rill_rdma_ep_close(&duo.to_right));
    rill_rdma_close(&duo.left);
    rill_rdma_close(&duo.right);
    fixture_close();
}
END_TEST

/* ---- a peer in another process ---- */

static void exchange_addresses(int fd, const struct rill_rdma *own, char *other)
{
    size_t size;
    const void *address = rill_rdma_address(own, &size);

    ck_assert_uint_le(size, ADDRESS_MAX);
    ck_assert_int_eq(write(fd, address, size), (ssize_t)size);
    ck_assert_int_gt(read(fd, other, ADDRESS_MAX), 0);
}

/* What the tags of messages to the peer mean. */
enum { ECHO = 1, ECHOED = 2, NEVER_TAKEN = 3, NEVER_SENT = 4 };

/* The peer sends back what it gets, until it is killed. */
static void be_the_peer(int fd)
{
    static char address[ADDRESS_MAX];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!fixture_open(REAL, NULL, NULL))
        _exit(77);
    duo_open_worker(&duo.right, OVER_TCP);
    exchange_addresses(fd, &duo.right, address);
    expect_eq(rill_rdma_ep_open(&duo.to_left, &duo.right, address), 0);
    for (;;) {
        int64_t size = await(
            rill_rdma_tag_recv(&duo.right, &recv_op, buffer, LARGE, ECHO, RILL_RDMA_TAG_EXACT));

        expect(size >= 0);
        expect_eq(await(rill_rdma_tag_send(&duo.to_left, &send_op, buffer, (size_t)size, ECHOED)),
                  size);
    }
}

static void have_echoed(size_t size)
{
    pattern_fill(buffer, size, size);
    background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send_op, buffer, size, ECHO));
    expect_eq(
        await(rill_rdma_tag_recv(&duo.left, &recv_op, echoed, LARGE, ECHOED, RILL_RDMA_TAG_EXACT)),
        size);
    expect_eq(background_end(&sending), size);
    expect(pattern_is(echoed, size, size));
}

/* Makes the peer and exchanges messages with it. Without a long one its endpoint may not have
 * answered yet, and UCX would never notice its death (docs/guide/rdma_verbs.md). */
static bool meet_a_peer(pid_t *child)
{
    static char address[ADDRESS_MAX];
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    *child = fork();
    ck_assert_int_ge(*child, 0);
    if (*child == 0)
        be_the_peer(ends[1]);
    close(ends[1]); /* the other stays open: the fixture counts descriptors */
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    duo_open_worker(&duo.left, OVER_TCP);
    exchange_addresses(ends[0], &duo.left, address);
    expect_eq(rill_rdma_ep_open(&duo.to_right, &duo.left, address), 0);
    have_echoed(1);
    have_echoed(100000);
    return true;
}

static void close_left(void)
{
    expect_eq(duo.left.ops_in_flight, 0);
    expect_eq(duo.left.source.pending, 0);
    expect_eq(duo.left.stats.abandoned, 0);
    rill_rdma_close(&duo.left);
    fixture_close();
}

/* A rendezvous that nobody answers, a receive that knows its peer and one that does not. */
static void start_all(void)
{
    background_start(&sending,
                     rill_rdma_tag_send(&duo.to_right, &send_op, buffer, LARGE, NEVER_TAKEN));
    background_start(&receiving, rill_rdma_tag_recv_from(&duo.to_right, &recv_op, echoed, 100,
                                                         NEVER_SENT, RILL_RDMA_TAG_EXACT));
    background_start(&receiving_any, rill_rdma_tag_recv(&duo.left, &any_op, echoed, 100, NEVER_SENT,
                                                        RILL_RDMA_TAG_EXACT));
}

/* All that is on the endpoint ends; what could come from others goes on. */
static void expect_loss(const char *what)
{
    int64_t began_ns = fixture_real_now(), result = background_end(&sending);

    expect_eq(background_end(&receiving), result);
    printf("%s was known after %lld ms: %s\n", what,
           (long long)((fixture_real_now() - began_ns) / RILL_MILLISECOND), strerror((int)-result));
    expect(duo_is_loss(result));
    ck_assert_int_le(fixture_real_now() - began_ns, loss_max_ns);
    expect(!rill_task_is_over(&receiving_any.task));
    rill_task_cancel(&receiving_any.task);
    expect_eq(background_end(&receiving_any), -ECANCELED);
    expect_eq(await(rill_rdma_ep_close(&duo.to_right)), result);
}

START_TEST(another_process_echoes_messages_of_any_size)
{
    pid_t child;

    if (!meet_a_peer(&child))
        return;
    for (size_t size = 1; size <= LARGE; size *= 4)
        have_echoed(size);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    await(rill_rdma_ep_abort(&duo.to_right));
    close_left();
}
END_TEST

START_TEST(everything_on_an_endpoint_ends_after_its_peer_was_killed)
{
    pid_t child;

    if (!meet_a_peer(&child))
        return;
    start_all();
    settle();
    kill(child, SIGKILL);
    expect_loss("a death");
    close_left();
    waitpid(child, NULL, 0);
}
END_TEST

/* The receive alone: nothing is sent whose loss would be noticed. */
START_TEST(a_receive_ends_after_its_peer_was_killed)
{
    int64_t began_ns, result;
    pid_t child;

    if (!meet_a_peer(&child))
        return;
    background_start(&receiving, rill_rdma_tag_recv_from(&duo.to_right, &recv_op, echoed, 100,
                                                         NEVER_SENT, RILL_RDMA_TAG_EXACT));
    settle();
    began_ns = fixture_real_now();
    kill(child, SIGKILL);
    result = background_end(&receiving);
    printf("a death was known after %lld ms, to a receive: %s\n",
           (long long)((fixture_real_now() - began_ns) / RILL_MILLISECOND), strerror((int)-result));
    expect(duo_is_loss(result));
    ck_assert_int_le(fixture_real_now() - began_ns, loss_max_ns);
    expect_eq(await(rill_rdma_ep_close(&duo.to_right)), result);
    close_left();
    waitpid(child, NULL, 0);
}
END_TEST

/* Over verbs there are completions that the descriptor does not tell of after arming worked:
 * see io/event_source.c. */
START_TEST(waiting_asleep_misses_no_event)
{
    enum { ECHOES = 400 };
    const struct rill_event_source_stats *stats = &duo.left.source.stats;
    struct rill_event_source_stats before;
    int64_t longest_ns = 0;
    pid_t child;

    if (!meet_a_peer(&child))
        return;
    before = *stats;
    for (size_t i = 0; i < ECHOES; i++) {
        int64_t began_ns = fixture_real_now(), took_ns;

        have_echoed(1 + i * i);
        took_ns = fixture_real_now() - began_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
    }
    printf("%d echoes: woken %llu times, %llu of %llu long sleeps found what had come before; the "
           "longest echo took %lld ms\n",
           ECHOES, (unsigned long long)(stats->wake_ups - before.wake_ups),
           (unsigned long long)(stats->events_recovered - before.events_recovered),
           (unsigned long long)(stats->sleeps_bounded - before.sleeps_bounded),
           (long long)(longest_ns / RILL_MILLISECOND));
    ck_assert_uint_ge(stats->wake_ups - before.wake_ups, ECHOES / 4);
    /* None, as a rule; five without the last look before sleep. */
    ck_assert_uint_le(stats->events_recovered - before.events_recovered, 2);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    await(rill_rdma_ep_abort(&duo.to_right));
    close_left();
}
END_TEST

/* The device of a stopped process still answers for it. */
START_TEST(closing_towards_a_stopped_peer_can_be_cut_short)
{
    struct rill_timeout timeout;
    int64_t began_ns;
    pid_t child;

    if (!meet_a_peer(&child))
        return;
    kill(child, SIGSTOP);
    background_start(&sending,
                     rill_rdma_tag_send(&duo.to_right, &send_op, buffer, LARGE, NEVER_TAKEN));
    settle();
    began_ns = fixture_real_now();
    expect_eq(
        await(rill_timeout(&timeout, 100 * RILL_MILLISECOND, rill_rdma_ep_close(&duo.to_right))),
        -ETIMEDOUT);
    expect_eq(background_end(&sending), -ESHUTDOWN);
    ck_assert_int_le(fixture_real_now() - began_ns, 2 * RILL_RDMA_DRAIN_NS);
    close_left();
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
END_TEST

/* ---- a wire that is cut ---- */

static void exchange_one(void)
{
    background_start(&sending,
                     rill_rdma_tag_send(&duo.to_right, &send_op, buffer, LARGE / 4, ECHO));
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, echoed, LARGE / 4, ECHO,
                                       RILL_RDMA_TAG_EXACT)),
              LARGE / 4);
    expect_eq(background_end(&sending), LARGE / 4);
    background_start(&sending, rill_rdma_tag_send(&duo.to_left, &send_op, buffer, 100, ECHOED));
    expect_eq(
        await(rill_rdma_tag_recv(&duo.left, &recv_op, echoed, 100, ECHOED, RILL_RDMA_TAG_EXACT)),
        100);
    expect_eq(background_end(&sending), 100);
}

START_TEST(on_a_wire_that_loses_everything_all_ends_and_afterwards_all_works_again)
{
    int64_t began_ns, result;
    size_t size;

    if (!duo_open(_i, NULL))
        return;
    exchange_one();
    network_cut();
    start_all();
    background_start(&receiving_back, /* the other side only receives */
                     rill_rdma_tag_recv_from(&duo.to_left, &back_op, echoed, 100, NEVER_SENT,
                                             RILL_RDMA_TAG_EXACT));
    began_ns = fixture_real_now();
    expect_loss("a wire that loses everything");
    result = background_end(&receiving_back);
    printf("to the other side after %lld ms: %s\n",
           (long long)((fixture_real_now() - began_ns) / RILL_MILLISECOND), strerror((int)-result));
    expect(duo_is_loss(result));
    ck_assert_int_le(fixture_real_now() - began_ns, loss_max_ns);
    expect_eq(await(rill_rdma_ep_close(&duo.to_left)), result);
    network_mend();

    expect_eq(rill_rdma_ep_open(&duo.to_right, &duo.left, rill_rdma_address(&duo.right, &size)), 0);
    expect_eq(rill_rdma_ep_open(&duo.to_left, &duo.right, rill_rdma_address(&duo.left, &size)), 0);
    exchange_one();
    duo_close();
}
END_TEST

START_TEST(closing_over_a_wire_that_loses_everything_can_be_cut_short)
{
    struct rill_timeout timeout;
    int64_t began_ns;

    if (!duo_open(_i, NULL))
        return;
    exchange_one();
    network_cut();
    background_start(&sending,
                     rill_rdma_tag_send(&duo.to_right, &send_op, buffer, LARGE, NEVER_TAKEN));
    settle();
    began_ns = fixture_real_now();
    expect_eq(
        await(rill_timeout(&timeout, 100 * RILL_MILLISECOND, rill_rdma_ep_close(&duo.to_right))),
        -ETIMEDOUT);
    expect_eq(background_end(&sending), -ESHUTDOWN);
    ck_assert_int_le(fixture_real_now() - began_ns, 2 * RILL_RDMA_DRAIN_NS);
    await(rill_rdma_ep_abort(&duo.to_left));
    network_mend();
    rill_rdma_close(&duo.left);
    rill_rdma_close(&duo.right);
    fixture_close();
}
END_TEST

START_TEST(a_wire_that_loses_some_loses_no_message)
{
    if (!duo_open(_i, NULL))
        return;
    exchange_one();
    network_lose(2);
    for (int i = 0; i < 20; i++)
        exchange_one();
    network_mend();
    duo_close();
}
END_TEST

/* ---- what UCX does of itself ---- */

/* Shows what a process has said on its standard error. Returns whether rill ended it. */
static bool has_panicked(int said)
{
    char text[65536];
    ssize_t size = pread(said, text, sizeof text - 1, 0);

    ck_assert_int_ge(size, 0);
    text[size] = '\0';
    fputs(text, stderr);
    close(said);
    return strstr(text, "rill: ");
}

/* Runs fn in a process of its own. Says what became of that, which UCX decides: it goes
 * well, or UCX ends the process. It is not to hang, nor may rill end it. */
static void expect_an_end(void (*fn)(void), const char *what)
{
    int status, said = memfd_create("standard error", MFD_CLOEXEC);
    bool panicked;
    pid_t child;

    ck_assert_int_ge(said, 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(said, STDERR_FILENO);
        setvbuf(stdout, NULL, _IOLBF, 0);
        alarm((unsigned)(loss_max_ns / RILL_SECOND));
        fn();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    panicked = has_panicked(said);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !panicked)
        printf("%s: UCX ended the process\n", what);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        printf("%s: everything ended with an error\n", what);
    else
        ck_abort_msg("%s: the process ended with status %#x", what, (unsigned)status);
}

static void set_link_down(void)
{
    if (!duo_open(OVER_TCP, NULL))
        _exit(0);
    exchange_one();
    network_run(network()->is_wire ? "ip link set wire0 down" : "ip link set rdma0 down");
    start_all();
    expect_loss("a link that is down");
    await(rill_rdma_ep_abort(&duo.to_left));
    rill_rdma_close(&duo.left);
    rill_rdma_close(&duo.right);
}

START_TEST(a_link_that_is_set_down_hangs_nobody)
{
    expect_an_end(set_link_down, "a link that is down");
    if (network()->is_wire) /* its route went with it */
        network_run("ip link set wire0 up && ip route replace 10.77.0.0/24 dev wire0 table 100");
    else
        network_run("ip link set rdma0 up");
}
END_TEST

static void abort_while_connecting(void)
{
    if (!duo_open(OVER_TCP, NULL))
        _exit(0);
    background_start(&sending,
                     rill_rdma_tag_send(&duo.to_right, &send_op, buffer, LARGE, NEVER_TAKEN));
    fixture_turn();
    await(rill_rdma_ep_abort(&duo.to_right));
    await(rill_rdma_ep_abort(&duo.to_left));
    expect(background_end(&sending) < 0);
    rill_rdma_close(&duo.left);
    rill_rdma_close(&duo.right);
}

START_TEST(an_endpoint_that_is_aborted_while_it_connects_hangs_nobody)
{
    expect_an_end(abort_while_connecting, "aborted while it connects");
}
END_TEST

static void connect_to_nobody(void)
{
    if (!duo_open_workers(OVER_TCP, NULL))
        _exit(0);
    size_t size;

    network_cut();
    expect_eq(rill_rdma_ep_open(&duo.to_right, &duo.left, rill_rdma_address(&duo.right, &size)), 0);
    start_all();
    expect_loss("a wire that was cut before");
    rill_rdma_close(&duo.left);
    rill_rdma_close(&duo.right);
}

START_TEST(connecting_over_a_wire_that_loses_everything_hangs_nobody)
{
    expect_an_end(connect_to_nobody, "connecting over a wire that loses everything");
    network_mend();
}
END_TEST

/* The last one sets the link down, so it is to be the last. */
int main(void)
{
    const struct duo_case cases[] = {
        {the_endpoints_of_these_tests_are_of_the_device, IN_TCP},
        {a_device_is_preferred_to_tcp_without_any_setting, IN_TCP | LOOPBACK},
        {another_process_echoes_messages_of_any_size, IN_TCP},
        {waiting_asleep_misses_no_event, IN_TCP},
        {everything_on_an_endpoint_ends_after_its_peer_was_killed, IN_TCP},
        {a_receive_ends_after_its_peer_was_killed, IN_TCP},
        {closing_towards_a_stopped_peer_can_be_cut_short, IN_TCP},
        {on_a_wire_that_loses_everything_all_ends_and_afterwards_all_works_again, IN_TCP | WIRE},
        {closing_over_a_wire_that_loses_everything_can_be_cut_short, IN_TCP | WIRE},
        {a_wire_that_loses_some_loses_no_message, IN_TCP | WIRE},
        {an_endpoint_that_is_aborted_while_it_connects_hangs_nobody, IN_TCP},
        {connecting_over_a_wire_that_loses_everything_hangs_nobody, IN_TCP | WIRE},
        {a_link_that_is_set_down_hangs_nobody, IN_TCP},
    };

    if (!network()->is_verbs) {
        puts("skipped: no device for verbs; make check-vm has some");
        return 77;
    }
    return duo_main("rdma verbs", cases, sizeof cases / sizeof *cases);
}
