/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_endpoint_begin.c - how an endpoint begins: it is opened, or accepted by a listener; and
 * what cannot begin. */
#include "rdma/active_message.h"
#include "rdma/listener.h"
#include "rdma/memory.h"
#include "rdma/rpc.h"
#include "rdma/tag.h"
#include "tests/rdma/lone.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- opening ---- */

/* A connection closes its endpoint by itself, whenever the peer goes. */
START_TEST(what_begins_when_the_endpoint_was_closed_ends_with_the_reason)
{
    lone_open();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    await(rill_rdma_ep_close(&lone.ep));
    expect_eq(await(lone_send()), -ECONNRESET);
    expect_eq(await(lone_recv_from()), -ECONNRESET);
    lone_close_rest();
}
END_TEST

START_TEST(every_call_of_opening_can_fail_and_leaves_nothing)
{
    static const char *const calls[] = {"config_read",   "config_modify",  "init",
                                        "worker_create", "worker_get_efd", "worker_get_address"};

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        fake_reset();
        fixture_open(SIMULATED, NULL, NULL);
        fake.failing = calls[i];
        fake.status = UCS_ERR_NO_RESOURCE;
        expect_eq(lone_open_rdma(), -EAGAIN);
        expect(strlen(lone.rdma.why.text) > 0);
        expect_eq(fake.contexts + fake.workers + fake.configs, 0);
        rill_rdma_close(&lone.rdma);
        fixture_close();
    }
    lone_open();
    lone_close();
    lone_open();
    fake.failing = "ep_create";
    fake.status = UCS_ERR_UNREACHABLE;
    struct rill_rdma_ep other = {0};

    expect_eq(rill_rdma_ep_open(&other, &lone.rdma, "address"), -EHOSTUNREACH);
    expect_eq(await(rill_rdma_ep_close(&other)), 0);
    lone_close();
}
END_TEST

/* The endpoint of a connection that is made anew is opened again by itself, which may fail, while
 * its user knows nothing of that and goes on. */
START_TEST(an_endpoint_that_could_not_be_opened_ends_its_operations_with_the_reason)
{
    struct rill_rdma_ep other = {0};
    struct rill_rdma_remote there = {0};
    struct rill_rdma_op used = {0};

    lone_open();
    expect_eq(rill_rdma_ep_open(&other, &lone.rdma, "address"), 0);
    expect_eq(await(rill_rdma_ep_abort(&other)), 0);
    fake.failing = "ep_create";
    fake.status = UCS_ERR_UNREACHABLE;
    expect_eq(rill_rdma_ep_open(&other, &lone.rdma, "address"), -EHOSTUNREACH);
    fake.failing = NULL;
    expect_eq(await(rill_rdma_tag_send(&other, &used, "hello", 5, 1)), -EHOSTUNREACH);
    expect_eq(await(rill_rdma_ep_flush(&other, &used)), -EHOSTUNREACH);
    expect_eq(rill_rdma_remote_open(&there, &other, 0, "key", 4), -EHOSTUNREACH);
    expect_eq(await(rill_rdma_ep_close(&other)), 0);
    expect_eq(rill_rdma_ep_open(&other, &lone.rdma, "address"), 0);
    expect_eq(other.error, 0);
    expect_eq(await(rill_rdma_ep_abort(&other)), 0);
    lone_close();
}
END_TEST

/* ---- accepting ---- */

static struct rill_rdma_listener listener;
static struct rill_rdma_accept accept_op, second_accept, third_accept;
static const struct rill_address nowhere = {.ip4.sin_family = AF_INET, .size = sizeof nowhere.ip4};

static ucs_status_t tell_nothing(ucp_conn_request_h connection_request,
                                 ucp_conn_request_attr_t *attributes)
{
    (void)connection_request;
    (void)attributes;
    return UCS_ERR_UNSUPPORTED;
}

START_TEST(one_that_does_not_say_who_it_is_is_not_taken_for_the_one_before)
{
    struct rill_ucx table;

    lone_open();
    table = fake_ucx;
    lone.rdma.ucx = &table;
    expect_eq(rill_rdma_listen(&listener, &lone.rdma, &nowhere), 0);
    for (int is_mute = 0; is_mute < 2; is_mute++) {
        if (is_mute)
            table.conn_request_query = tell_nothing;
        fake_connect();
        expect_eq(await(rill_rdma_accept(&listener, &accept_op)), 0);
        expect_eq(accept_op.client_id, is_mute ? 0 : 42);
        expect_eq(accept_op.peer.size, 0);
        rill_rdma_reject(&accept_op);
    }
    rill_rdma_listener_close(&listener);
    await(rill_rdma_ep_abort(&lone.ep));
    lone.rdma.ucx = &fake_ucx;
    lone_close_rest();
}
END_TEST

START_TEST(connection_requests_wait_for_accepts_and_accepts_for_requests)
{
    static struct background accepting, second;
    struct rill_rdma_ep accepted = {0};

    lone_open();
    expect_eq(rill_rdma_listen(&listener, &lone.rdma, &nowhere), 0);
    background_start(&accepting, rill_rdma_accept(&listener, &accept_op));
    background_start(&second, rill_rdma_accept(&listener, &second_accept));
    settle();
    fake_connect();
    expect_eq(background_end(&accepting), 0);
    expect_eq(accept_op.client_id, 42);
    expect(!rill_task_is_over(&second.task));
    rill_task_cancel(&second.task); /* as the next request comes */
    fake_connect();
    expect_eq(background_end(&second), -ECANCELED);
    expect_eq(await(rill_rdma_accept(&listener, &second_accept)), 0);
    rill_rdma_reject(&second_accept);
    expect_eq(fake.rejected, 1);

    /* One is woken for a request and cancelled before it runs: the other one gets it. */
    background_start(&accepting, rill_rdma_accept(&listener, &second_accept));
    settle();
    background_start(&second, rill_rdma_accept(&listener, &third_accept));
    settle();
    fake_connect();
    while (listener.held_count == 0)
        rill_executor_wait(&fixture.runtime->executor, RILL_NO_WAIT);
    rill_task_cancel(&accepting.task);
    expect_eq(background_end(&second), 0);
    expect_eq(background_end(&accepting), -ECANCELED);
    rill_rdma_reject(&third_accept);

    expect_eq(rill_rdma_ep_adopt(&accepted, &accept_op), 0);
    expect_eq(await(rill_rdma_ep_close(&accepted)), 0);
    fake_connect();
    settle();
    rill_rdma_listener_close(&listener);
    rill_rdma_listener_close(&listener);
    expect_eq(fake.rejected, 3);
    lone_close();
}
END_TEST

/* Ports of a device for RDMA are others than those of TCP. */
START_TEST(a_socket_of_somebody_else_at_the_address_of_a_listener_is_left_alone)
{
    const struct timeval patience = {.tv_sec = 1};
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int theirs = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

    lone_open();
    ck_assert_int_eq(bind(theirs, (void *)&here, size), 0);
    ck_assert_int_eq(listen(theirs, 8), 0);
    ck_assert_int_eq(getsockname(theirs, (void *)&here, &size), 0);
    memcpy(&fake.listening_at, &here, sizeof here);
    expect_eq(rill_rdma_listen(&listener, &lone.rdma, &nowhere), 0);
    rill_rdma_listener_close(&listener);
    ck_assert_int_eq(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    ck_assert_int_eq(connect(client, (void *)&here, size), 0);
    close(client);
    close(theirs);
    lone_close();
}
END_TEST

START_TEST(a_listener_that_is_not_open_has_no_address)
{
    static struct rill_rdma_listener never;
    struct rill_address address;

    lone_open();
    expect_eq(rill_rdma_listener_address(&never, &address), -EBADF);
    expect_eq(rill_rdma_listen(&listener, &lone.rdma, &nowhere), 0);
    expect_eq(rill_rdma_listener_address(&listener, &address), 0);
    rill_rdma_listener_close(&listener);
    expect_eq(rill_rdma_listener_address(&listener, &address), -EBADF);
    fake.failing = "listener_create";
    fake.status = UCS_ERR_BUSY;
    expect_eq(rill_rdma_listen(&listener, &lone.rdma, &nowhere), -EBUSY);
    expect_eq(rill_rdma_listener_address(&listener, &address), -EBADF);
    fake.failing = NULL;
    lone_close();
}
END_TEST

/* ---- bad use ---- */

static void open_twice(void)
{
    lone_open();
    rill_rdma_ep_open(&lone.ep, &lone.rdma, "address");
}

/* It would go on to ask a worker that is gone. */
static void close_while_a_task_waits(void)
{
    static struct rill_rdma_inbox inbox;
    static struct rill_rdma_am message;

    lone_open();
    expect_eq(rill_rdma_inbox_open(&inbox, &lone.rdma, 3), 0);
    background_start(&lone.receiving, rill_rdma_am_recv(&inbox, &message));
    settle();
    await(rill_rdma_ep_abort(&lone.ep));
    rill_rdma_close(&lone.rdma);
}

static void adopt_too_late(void)
{
    static struct rill_rdma_ep adopted;

    lone_open();
    expect_eq(rill_rdma_listen(&listener, &lone.rdma, &nowhere), 0);
    fake_connect();
    expect_eq(await(rill_rdma_accept(&listener, &accept_op)), 0);
    rill_rdma_listener_close(&listener);
    rill_rdma_ep_adopt(&adopted, &accept_op);
}

/* UCX would be asked for something of nothing. */
static void listen_without_rdma(void)
{
    static struct rill_rdma never;

    rill_rdma_listen(&listener, &never, &nowhere);
}

static void open_an_inbox_without_rdma(void)
{
    static struct rill_rdma_inbox inbox;
    static struct rill_rdma never;

    rill_rdma_inbox_open(&inbox, &never, 3);
}

static void open_a_service_without_rdma(void)
{
    static struct rill_rdma_rpc rpc;
    static struct rill_rdma never;

    rill_rdma_rpc_open(&rpc, &never, 3, 1);
}

static void register_memory_without_rdma(void)
{
    static struct rill_rdma_memory memory;

    lone_open();
    await(rill_rdma_ep_abort(&lone.ep));
    rill_rdma_close(&lone.rdma);
    rill_rdma_memory_register(&memory, &lone.rdma, lone.sent, LONE_SIZE);
}

/* UCX itself would end the process, with an assertion about a region. */
static void close_with_memory(void)
{
    static struct rill_rdma_memory memory;

    lone_open();
    await(rill_rdma_ep_abort(&lone.ep));
    rill_rdma_memory_register(&memory, &lone.rdma, NULL, LONE_SIZE);
    rill_rdma_close(&lone.rdma);
}

static unsigned listeners_made;

static ucs_status_t count_listener(ucp_worker_h worker, const ucp_listener_params_t *params,
                                   ucp_listener_h *out)
{
    listeners_made++;
    return fake_ucx.listener_create(worker, params, out);
}

START_TEST(ucx_is_not_asked_to_listen_at_an_address_of_another_machine)
{
    struct rill_address address;

    lone_open();
    const struct rill_ucx *table = lone.rdma.ucx;
    struct rill_ucx counting = *table;

    counting.listener_create = count_listener;
    lone.rdma.ucx = &counting;
    expect_eq(rill_address_parse(&address, "192.0.2.1", 0), 0); /* of documents (RFC 5737) */
    expect_eq(rill_rdma_listen(&listener, &lone.rdma, &address), -EADDRNOTAVAIL);
    expect_eq(listeners_made, 0);
    expect(!listener.is_open);
    expect_eq(rill_address_parse(&address, "127.0.0.1", 0), 0);
    expect_eq(rill_rdma_listen(&listener, &lone.rdma, &address), 0);
    expect_eq(listeners_made, 1);
    rill_rdma_listener_close(&listener);
    lone.rdma.ucx = table;
    lone_close();
}
END_TEST

/* UCX's memory, of which it would say that it was not given back. */
static void close_with_message(void)
{
    static struct rill_rdma_inbox inbox;
    static struct rill_rdma_am message;

    lone_open();
    rill_rdma_inbox_open(&inbox, &lone.rdma, 3);
    fake_bring(3, "h", 1, lone.sent, LONE_SIZE, -1, false, NULL);
    await(rill_rdma_am_recv(&inbox, &message));
    await(rill_rdma_ep_abort(&lone.ep));
    rill_rdma_close(&lone.rdma);
}

START_TEST(what_nobody_took_is_given_back_when_the_rdma_is_closed)
{
    static struct rill_rdma_inbox inbox;
    static struct rill_rdma_rpc rpc;

    lone_open();
    expect_eq(rill_rdma_inbox_open(&inbox, &lone.rdma, 3), 0);
    expect_eq(rill_rdma_rpc_open(&rpc, &lone.rdma, 4, 1), 0);
    fake_bring(3, "h", 1, lone.sent, LONE_SIZE, -1, false, NULL);
    fake_bring(3, "h", 1, lone.sent, LONE_SIZE, -1, true, NULL);
    settle();
    expect_eq(inbox.held_count, 2);
    expect_eq(fake.am_data, 2);
    lone_close();
    expect_eq(fake.am_data, 0);
    expect(!inbox.is_open && !rpc.is_open);
    rill_rdma_inbox_close(&inbox); /* too late, which is no harm */
    rill_rdma_rpc_close(&rpc);
}
END_TEST

START_TEST(bad_use_is_a_panic)
{
    fixture_expect_panic(close_with_message, "rdma was closed with 1 messages not given back");
    fixture_expect_panic(close_while_a_task_waits, "rdma was closed while 1 tasks wait");
    fixture_expect_panic(close_with_memory, "rdma was closed with 1 memories registered");
    fixture_expect_panic(adopt_too_late, "whose listener was closed");
    fixture_expect_panic(listen_without_rdma, "of an rdma that is not open");
    fixture_expect_panic(open_an_inbox_without_rdma, "of an rdma that is not open");
    fixture_expect_panic(open_a_service_without_rdma, "of an rdma that is not open");
    fixture_expect_panic(register_memory_without_rdma, "of an rdma that is not open");
    fixture_expect_panic(open_twice, "an endpoint was opened that is open already");
}
END_TEST

START_TEST(a_worker_that_is_not_open_has_no_address_and_no_messages)
{
    static struct rill_rdma never;
    size_t size = 1;

    expect(!rill_rdma_address(&never, &size));
    expect_eq(size, 0);
    expect(!rill_rdma_tag_probe(&never, 1, RILL_RDMA_TAG_ANY, NULL, NULL));
    lone_open();
    expect(rill_rdma_address(&lone.rdma, &size));
    lone_close();
    expect(!rill_rdma_address(&lone.rdma, &size));
    expect_eq(size, 0);
    expect(!rill_rdma_tag_probe(&lone.rdma, 1, RILL_RDMA_TAG_ANY, NULL, NULL));
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {what_begins_when_the_endpoint_was_closed_ends_with_the_reason, IN_SIMULATED},
        {every_call_of_opening_can_fail_and_leaves_nothing, IN_SIMULATED},
        {an_endpoint_that_could_not_be_opened_ends_its_operations_with_the_reason, IN_SIMULATED},
        {one_that_does_not_say_who_it_is_is_not_taken_for_the_one_before, IN_SIMULATED},
        {connection_requests_wait_for_accepts_and_accepts_for_requests, IN_SIMULATED},
        {a_socket_of_somebody_else_at_the_address_of_a_listener_is_left_alone, IN_SIMULATED},
        {a_listener_that_is_not_open_has_no_address, IN_SIMULATED},
        {what_nobody_took_is_given_back_when_the_rdma_is_closed, IN_SIMULATED},
        {ucx_is_not_asked_to_listen_at_an_address_of_another_machine, IN_SIMULATED},
        {bad_use_is_a_panic, IN_SIMULATED},
        {a_worker_that_is_not_open_has_no_address_and_no_messages, IN_SIMULATED},
    };

    return fixture_main("rdma endpoint begin", cases, sizeof cases / sizeof *cases);
}
