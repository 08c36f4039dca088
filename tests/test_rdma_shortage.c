/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_shortage.c - where descriptors run out, UCX neither ends the process nor floods its
 * output, and there are connections again when there are descriptors again. */
#include "rdma/shortage.h"

#include "rdma/tag.h"
#include "tests/rdma/duo.h"
#include "tests/rdma/fake_ucx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIMIT = 200, CLIENTS = 20 };

static struct rill_rdma_listener listener;
static struct rill_address address;
static struct background sending;
static struct rill_rdma_op send_op, recv_op;

/* ---- a process with few descriptors ---- */

static int taken[LIMIT];
static int taken_count;

/* Returns whether that has an effect: valgrind keeps the limit for itself. */
static bool limit_fds(void)
{
    const struct rlimit limit = {LIMIT, LIMIT};

    if (getenv("TEST_UNDER_VALGRIND")) {
        puts("skipped: descriptors are not limited under valgrind");
        return false;
    }
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return true;
}

static void give_fds(int count)
{
    while (count-- > 0 && taken_count > 0)
        close(taken[--taken_count]);
}

static void leave_fds(int count)
{
    int fd;

    while ((fd = fcntl(duo.left.source.fd, F_DUPFD_CLOEXEC, 0)) >= 0)
        taken[taken_count++] = fd;
    expect(taken_count >= count);
    give_fds(count);
}

static int output_before, output;

static void keep_output(void)
{
    output_before = dup(STDOUT_FILENO);
    output = memfd_create("output", 0);
    ck_assert_int_ge(dup2(output, STDOUT_FILENO), 0);
}

static size_t size_of_output(void)
{
    struct stat status;

    ck_assert_int_eq(fstat(output, &status), 0);
    return (size_t)status.st_size;
}

/* Returns whether it works here. */
static bool open_duo(int which)
{
    if (!limit_fds())
        return false;
    keep_output();
    if (!duo_open_workers(which, NULL))
        return false;
    address = duo_listen(&listener, &duo.right);
    return true;
}

static void close_duo(void)
{
    rill_rdma_listener_close(&listener);
    duo_close();
    ck_assert_uint_lt(size_of_output(), 100000);
    ck_assert_int_ge(dup2(output_before, STDOUT_FILENO), 0);
}

/* ---- with UCX itself ---- */

static int64_t connect_left(struct rill_rdma_ep *client)
{
    return rill_rdma_ep_connect(client, &duo.left, &address);
}

/* Has a message come through a connection, which is one between these two, or says why not. */
static int64_t talk_once(void)
{
    struct rill_rdma_ep client = {0}, server = {0};
    struct rill_rdma_accept accept;
    struct background accepting;
    int64_t error = connect_left(&client);
    char byte;

    if (error)
        return error;
    background_start(&sending, rill_rdma_tag_send_sync(&client, &send_op, "", 1, 1));
    background_start(&accepting, rill_rdma_accept(&listener, &accept));
    duo_turn_until(rill_task_is_over(&accepting.task) || rill_task_is_over(&sending.task));
    if (!rill_task_is_over(&accepting.task))
        rill_task_cancel(&accepting.task);
    error = background_end(&accepting);
    if (error == 0)
        error = rill_rdma_ep_adopt(&server, &accept);
    if (error == 0)
        expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, &byte, 1, 1, 0)), 1);
    expect_eq(background_end(&sending), error ? -ECONNREFUSED : 1);
    background_start(&sending, rill_rdma_ep_close(&client));
    await(rill_rdma_ep_close(&server));
    background_end(&sending);
    return error;
}

START_TEST(with_any_number_of_descriptors_left_there_is_a_connection_or_an_error)
{
    unsigned connected = 0, none = 0;

    if (!open_duo(_i))
        return;
    for (int left = 0; left < 40; left++) {
        int64_t error;

        leave_fds(left);
        error = talk_once();
        expect(error == 0 || error == -EMFILE || error == -ECANCELED);
        connected += error == 0;
        none += error == -EMFILE;
        give_fds(LIMIT);
        duo_turn_until(!rill_link_is_linked(&listener.pausing.link));
    }
    ck_assert_uint_ge(none, RILL_RDMA_FDS_SPARE);
    ck_assert_uint_ge(connected, 10);
    expect_eq(talk_once(), 0);
    expect_eq(duo.left.young_count + duo.right.young_count, 0);
    close_duo();
}
END_TEST

START_TEST(by_worker_address_without_descriptors_is_an_error)
{
    struct rill_rdma_ep ep = {0};
    size_t size;

    if (!open_duo(_i))
        return;
    leave_fds(3);
    expect_eq(rill_rdma_ep_open(&ep, &duo.left, rill_rdma_address(&duo.right, &size)), -EMFILE);
    expect(!ep.is_open);
    give_fds(LIMIT);
    expect_eq(rill_rdma_ep_open(&ep, &duo.left, rill_rdma_address(&duo.right, &size)), 0);
    await(rill_rdma_ep_abort(&ep));
    close_duo();
}
END_TEST

START_TEST(opening_without_descriptors_is_an_error)
{
    static struct rill_rdma third;
    static struct rill_rdma_listener second;

    if (!open_duo(_i))
        return;
    leave_fds(5);
    rill_address_set_port(&address, 0);
    expect_eq(rill_rdma_open(&third, NULL), -EMFILE);
    expect(strstr(third.why.text, "ulimit -n"));
    expect_eq(rill_rdma_listen(&second, &duo.left, &address), -EMFILE);
    rill_rdma_close(&third);
    give_fds(LIMIT);
    close_duo();
}
END_TEST

/* As in a container with a limit, and not as root, who has none. Then all is as it was: the leak
 * sanitizer starts a thread in the end, which looks at this process. */
static int open_without_a_thread(struct rill_rdma *rdma)
{
    const bool is_root = geteuid() == 0;
    struct rlimit before, none;
    int error;

    ck_assert_int_eq(getrlimit(RLIMIT_NPROC, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &none), 0);
    if (is_root)
        ck_assert_int_eq(setresuid(65534, 65534, 0), 0);
    error = rill_rdma_open(rdma, NULL);
    if (is_root)
        ck_assert_int_eq(setresuid(0, 0, 0), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NPROC, &before), 0);
    ck_assert_int_eq(prctl(PR_SET_DUMPABLE, 1), 0);
    return error;
}

START_TEST(opening_without_a_thread_is_an_error)
{
    struct rill_rdma rdma;

    (void)_i;
    if (!fixture_open(REAL, NULL, NULL))
        return;
    expect_eq(open_without_a_thread(&rdma), -EAGAIN);
    expect(strstr(rdma.why.text, "ulimit -u"));
    rill_rdma_close(&rdma);
    fixture_close();
}
END_TEST

START_TEST(one_that_found_no_thread_is_opened_when_there_is_one)
{
    struct rill_rdma rdma;

    (void)_i;
    fake_reset();
    expect(fixture_open(SIMULATED, NULL, NULL));
    fake.threads_are_short = true;
    expect_eq(rill_rdma_open(&rdma, &(struct rill_rdma_options){.ucx = &fake_ucx}), -EAGAIN);
    expect_eq(fake.configs + fake.contexts, 0);
    fake.threads_are_short = false;
    expect_eq(rill_rdma_open(&rdma, &(struct rill_rdma_options){.ucx = &fake_ucx}), 0);
    rill_rdma_close(&rdma);
    fixture_close();
}
END_TEST

/* A client is accepted by UCX's thread, whether or not anybody asks. */
START_TEST(clients_wait_in_the_backlog_until_there_are_descriptors)
{
    int clients[CLIENTS];
    size_t before;

    if (!open_duo(_i))
        return;
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    leave_fds(0);
    for (int i = 0; i < CLIENTS; i++)
        expect_eq(connect(clients[i], &address.any, address.size), 0);
    duo_turn_until(listener.shortages >= 6);
    before = size_of_output();
    duo_turn_until(listener.shortages >= 8);
    /* It looks whether there are descriptors by itself, and UCX does not have to complain. */
    ck_assert_uint_gt(before, 0);
    ck_assert_uint_eq(size_of_output(), before);
    expect_eq(connect_left(&duo.to_right), -EMFILE);
    give_fds(LIMIT);
    duo_turn_until(!rill_link_is_linked(&listener.pausing.link));
    expect_eq(talk_once(), 0);
    rill_rdma_listener_close(&listener);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    close_duo();
}
END_TEST

START_TEST(a_listener_that_pauses_can_be_closed)
{
    int client;

    if (!open_duo(_i))
        return;
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    leave_fds(0);
    expect_eq(connect(client, &address.any, address.size), 0);
    duo_turn_until(listener.shortages >= 1);
    rill_rdma_listener_close(&listener);
    expect_eq(duo.right.source.pending, 0);
    give_fds(LIMIT);
    close(client);
    close_duo();
}
END_TEST

START_TEST(descriptors_are_counted_by_taking_them)
{
    ck_assert_int_eq(close_range(LIMIT, ~0u, 0), 0); /* such as a shell may have left behind */
    if (!limit_fds())
        return;
    for (int left = 1; left < 20; left++) {
        int fd;

        while ((fd = dup(STDERR_FILENO)) >= 0)
            taken[taken_count++] = fd;
        give_fds(left);
        expect(rill_rdma_take_fds((size_t)left));
        expect(!rill_rdma_take_fds((size_t)left + 1));
        expect(rill_ucx_library.has_fds((size_t)left));
        expect(!rill_ucx_library.has_fds((size_t)left + 1));
    }
    give_fds(LIMIT);
    expect(rill_rdma_take_fds(100));
}
END_TEST

/* ---- as the simulated UCX has it ---- */

START_TEST(a_request_for_which_there_are_no_descriptors_is_rejected)
{
    const struct rill_rdma_options options = {.ucx = &fake_ucx, .bare_endpoints = true};
    static struct rill_rdma_accept accept;
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    struct rill_rdma_ep ep = {0};
    static struct rill_rdma rdma;
    struct rill_sleep pause;

    fake_reset();
    expect(fixture_open(SIMULATED, NULL, NULL));
    expect_eq(rill_rdma_open(&rdma, &options), 0);
    expect_eq(rill_rdma_listen(&listener, &rdma, &any), 0);
    fake_connect();
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    fake.fds_are_short = true;
    expect_eq(rill_rdma_ep_adopt(&ep, &accept), -EMFILE);
    expect(!ep.is_open);
    expect_eq(fake.rejected, 1);
    expect_eq(fake.eps, 0);
    fake_connect();
    await(rill_sleep(&pause, 10 * RILL_SECOND));
    expect_eq(fake.rejected, 2);
    expect_eq(listener.rejected, 1);
    expect_eq(rdma.stats.requests_rejected, 1);
    expect(listener.shortages >= 5 && listener.shortages <= 30); /* 1 ms, 2 ms, ... 1 s, 1 s */
    fake.fds_are_short = false;
    await(rill_sleep(&pause, 2 * RILL_SECOND));
    expect_eq(rdma.source.pending, 0);
    fake_connect();
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_ep_adopt(&ep, &accept), 0);
    expect_eq(rdma.young_count, 1);
    await(rill_rdma_ep_abort(&ep));
    expect_eq(rdma.young_count, 0);
    rill_rdma_listener_close(&listener);
    rill_rdma_close(&rdma);
    fixture_close();
}
END_TEST

static int door, visitor; /* what UCX listens with, and somebody who has come and not spoken */

/* With a socket, as the real one. */
static ucs_status_t listen_with_socket(ucp_worker_h worker, const ucp_listener_params_t *params,
                                       ucp_listener_h *out)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;

    door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(door, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(door, 8), 0);
    ck_assert_int_eq(getsockname(door, (struct sockaddr *)&at, &size), 0);
    memcpy(&fake.listening_at, &at, sizeof at);
    return fake_ucx.listener_create(worker, params, out);
}

/* UCX takes him in. */
static unsigned progress_with_socket(ucp_worker_h worker)
{
    struct sockaddr_storage from;
    socklen_t size = sizeof from;

    if (visitor >= 0)
        close(accept4(door, (struct sockaddr *)&from, &size, SOCK_CLOEXEC));
    visitor = -1;
    return fake_ucx.worker_progress(worker);
}

static struct rill_rdma lone_rdma;

static void open_door(void)
{
    static struct rill_ucx table;
    const struct rill_rdma_options options = {.ucx = &table, .bare_endpoints = true};
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};

    fake_reset();
    table = fake_ucx;
    table.listener_create = listen_with_socket;
    table.worker_progress = progress_with_socket;
    visitor = -1;
    expect(fixture_open(SIMULATED, NULL, NULL));
    expect_eq(rill_rdma_open(&lone_rdma, &options), 0);
    expect_eq(rill_rdma_listen(&listener, &lone_rdma, &any), 0);
    expect_eq(listener.fd, door);
    settle();
    visitor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(
        connect(visitor, (struct sockaddr *)&fake.listening_at, sizeof(struct sockaddr_in)), 0);
}

static void close_door(void)
{
    int client = visitor;

    rill_rdma_listener_close(&listener);
    expect_eq(visitor, -1); /* he was heard */
    close(client);
    close(door);
}

START_TEST(a_listener_that_is_closed_does_not_pause_for_who_comes_meanwhile)
{
    open_door();
    fake.fds_are_short = true;
    fake_connect();
    close_door();
    expect_eq(fake.rejected, 1);
    expect_eq(lone_rdma.source.pending, 0);
    rill_rdma_close(&lone_rdma);
    fixture_close();
}
END_TEST

/* UCX was asked to tell of the next event, and then to make progress: it may owe nothing more. */
START_TEST(who_was_asleep_looks_again_when_closing_a_listener_has_made_progress)
{
    unsigned progressed;

    open_door();
    close_door();
    progressed = fake.progressed;
    fixture_turn();
    expect(fake.progressed > progressed);
    rill_rdma_close(&lone_rdma);
    fixture_close();
}
END_TEST

static size_t asked_for;

static bool note_what_is_asked_for(size_t count)
{
    asked_for = count;
    return true;
}

START_TEST(endpoints_that_were_made_lately_have_a_claim_to_descriptors)
{
    enum { EPS = 5 };
    struct rill_ucx table;
    const struct rill_rdma_options options = {.ucx = &table, .bare_endpoints = true};
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    static struct rill_rdma_ep eps[EPS];
    static struct rill_rdma rdma;
    struct rill_sleep pause;

    fake_reset();
    table = fake_ucx;
    table.has_fds = note_what_is_asked_for;
    expect(fixture_open(SIMULATED, NULL, NULL));
    expect_eq(rill_rdma_open(&rdma, &options), 0);
    for (size_t i = 0; i < EPS; i++) {
        if (i == EPS - 1)
            await(rill_sleep(&pause, RILL_RDMA_YOUNG_NS));
        expect_eq(rill_rdma_ep_connect(&eps[i], &rdma, &any), 0);
        expect_eq(asked_for,
                  RILL_RDMA_FDS_SPARE + RILL_RDMA_FDS_OF_EP * (i == EPS - 1 ? 1 : 1 + i));
    }
    for (size_t i = 0; i < EPS; i++)
        await(rill_rdma_ep_abort(&eps[i]));
    expect_eq(rdma.young_count, 0);
    rill_rdma_close(&rdma);
    fixture_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {with_any_number_of_descriptors_left_there_is_a_connection_or_an_error,
         IN_TCP | TCP_ITSELF},
        {by_worker_address_without_descriptors_is_an_error, IN_TCP | TCP_ITSELF},
        {opening_without_descriptors_is_an_error, IN_TCP | TCP_ITSELF},
        {opening_without_a_thread_is_an_error, IN_TCP | TCP_ITSELF},
        {one_that_found_no_thread_is_opened_when_there_is_one, IN_TCP | TCP_ITSELF},
        {clients_wait_in_the_backlog_until_there_are_descriptors, IN_TCP | TCP_ITSELF},
        {a_listener_that_pauses_can_be_closed, IN_TCP | TCP_ITSELF},
        {descriptors_are_counted_by_taking_them, IN_TCP | TCP_ITSELF},
        {a_request_for_which_there_are_no_descriptors_is_rejected, IN_TCP | TCP_ITSELF},
        {a_listener_that_is_closed_does_not_pause_for_who_comes_meanwhile, IN_TCP | TCP_ITSELF},
        {who_was_asleep_looks_again_when_closing_a_listener_has_made_progress, IN_TCP | TCP_ITSELF},
        {endpoints_that_were_made_lately_have_a_claim_to_descriptors, IN_TCP | TCP_ITSELF},
    };

    return duo_main("rdma_shortage", cases, sizeof cases / sizeof *cases);
}
