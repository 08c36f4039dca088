/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_rpc_server.c - requests are held, taken, cancelled and ended, over a fake UCX. */
#include "rdma/note.h"
#include "runtime/sleep.h"
#include "tests/rdma/fake_rpc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum { METHOD = 9 };

static struct rill_rdma_rpc_request request, second;
static struct rill_rdma_rpc_work work;
static struct rill_rdma_ep other;
static struct rill_sleep nap;
static struct background receiving, receiving_second, replying, working;
static char buffer[64];

static void open_server(void)
{
    memset(&request, 0, sizeof request);
    memset(&second, 0, sizeof second);
    memset(&other, 0, sizeof other);
    memset(buffer, 0, sizeof buffer);
    fake_rpc_open();
    fake.mode = FAKE_AT_ONCE;
}

static void close_server(void)
{
    fake_rpc_close();
}

static void ask(uint64_t id, bool is_long)
{
    fake_message(RILL_RDMA_RPC_REQUEST, id, METHOD, "apple", 5, is_long);
}

static void cancel(uint64_t id)
{
    fake_message(RILL_RDMA_RPC_CANCEL, id, 0, NULL, 0, false);
}

static void ask_through(int ep, uint64_t id, enum rill_rdma_rpc_kind kind)
{
    unsigned char header[RILL_RDMA_RPC_HEADER_SIZE];

    rill_rdma_rpc_pack(header, kind, id, METHOD);
    fake_bring(FAKE_SERVICE, header, sizeof header, NULL, 0, ep, false, NULL);
}

static struct rill_future *next_into(struct rill_rdma_rpc_request *into)
{
    return rill_rdma_rpc_recv(&fake_rpc.rpc, into);
}

/* Takes a request with that id. */
static void take(uint64_t id, bool is_long)
{
    ask(id, is_long);
    expect_eq(await(next_into(&request)), 5);
    expect_eq(request.method, METHOD);
    expect_eq(request.size, 5);
    expect(request.ep == &fake_rpc.ep);
    expect_eq(fake_rpc.rpc.taken, 1);
}

static void expect_reply(uint64_t id, int status, size_t size)
{
    expect_eq(fake_last(RILL_RDMA_RPC_REPLY)->id, id);
    expect_eq((int32_t)fake_last(RILL_RDMA_RPC_REPLY)->code, status);
    expect_eq(fake_last(RILL_RDMA_RPC_REPLY)->size, size);
}

/* ---- answering ---- */

START_TEST(a_request_is_replied_to_once_and_is_then_over)
{
    open_server();
    take(1, false);
    expect_eq(memcmp(request.data, "apple", 5), 0);
    expect_eq(await(rill_rdma_rpc_reply(&request, -ENOENT, request.data, request.size)), 5);
    expect_reply(1, -ENOENT, 5);
    expect_eq(fake_rpc.rpc.taken, 0);
    expect_eq(fake.am_data, 0);
    rill_rdma_rpc_refuse(&request, -EIO); /* is over */
    expect_eq(fake_rpc.sent_count, 1);
    expect(!rill_rdma_rpc_is_cancelled(&request));
    close_server();
}
END_TEST

START_TEST(a_request_that_is_refused_is_over_at_once)
{
    open_server();
    for (int is_long = 0; is_long < 2; is_long++) {
        take(1, is_long);
        expect_eq(!request.data, is_long);
        rill_rdma_rpc_refuse(&request, -EPERM);
        expect_reply(1, -EPERM, 0);
        expect_eq(fake_rpc.rpc.taken, 0);
        expect_eq(fake.am_data, 0);
    }
    close_server();
}
END_TEST

START_TEST(the_data_of_a_request_are_fetched_wherever_they_are)
{
    open_server();
    for (int is_long = 0; is_long < 2; is_long++) {
        memset(buffer, 0, sizeof buffer);
        take(1, is_long);
        expect_eq(await(rill_rdma_rpc_fetch(&request, buffer)), 5);
        expect_eq(memcmp(buffer, "apple", 5), 0);
        rill_rdma_rpc_refuse(&request, -EPERM);
    }
    ask_through(0, 2, RILL_RDMA_RPC_REQUEST);
    expect_eq(await(next_into(&request)), 0);
    expect(!request.data);
    expect_eq(await(rill_rdma_rpc_fetch(&request, NULL)), 0);
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, NULL, 0)), 0);
    expect_reply(2, 0, 0);
    close_server();
}
END_TEST

START_TEST(a_reply_that_is_being_sent_is_waited_for)
{
    open_server();
    take(1, false);
    fake.mode = FAKE_LATER;
    background_start(&replying, rill_rdma_rpc_reply(&request, 0, "x", 1));
    settle();
    rill_task_cancel(&replying.task);
    cancel(1); /* changes nothing any more */
    settle();
    expect(!rill_task_is_over(&replying.task));
    expect_eq(fake.am_data, 1); /* lent until it is over */
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&replying), 1);
    expect_eq(fake.am_data, 0);
    expect_eq(fake_rpc.sent_count, 1);
    close_server();
}
END_TEST

START_TEST(a_reply_of_a_cancelled_task_refuses_the_request)
{
    open_server();
    take(1, false);
    background_start(&replying, rill_rdma_rpc_reply(&request, 0, "x", 1));
    rill_task_cancel(&replying.task);
    expect_eq(background_end(&replying), -ECANCELED);
    expect_reply(1, -ECANCELED, 0);
    expect_eq(fake_rpc.rpc.taken, 0);
    close_server();
}
END_TEST

static ucs_status_ptr_t (*send_of_fake)(ucp_ep_h, unsigned, const void *, size_t, const void *,
                                        size_t, const ucp_request_param_t *);

/* As where the memory of a long message cannot be registered: what has none goes out. */
static ucs_status_ptr_t send_nothing_but_headers(ucp_ep_h ep, unsigned id, const void *header,
                                                 size_t header_size, const void *data, size_t size,
                                                 const ucp_request_param_t *param)
{
    return size > 0 ? UCS_STATUS_PTR(UCS_ERR_NO_MEMORY)
                    : send_of_fake(ep, id, header, header_size, data, size, param);
}

START_TEST(a_reply_that_ucx_does_not_take_refuses_the_request)
{
    open_server();
    send_of_fake = fake_ucx.am_send_nbx;
    fake_ucx.am_send_nbx = send_nothing_but_headers;
    take(1, false);
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "x", 1)), -ENOMEM);
    expect_eq(fake_rpc.sent_count, 1);
    expect_reply(1, -ENOMEM, 0);
    expect_eq(fake_rpc.rpc.taken, 0);
    fake_ucx.am_send_nbx = send_of_fake;
    close_server();
}
END_TEST

/* ---- waiting for requests ---- */

START_TEST(requests_beyond_the_limit_are_refused)
{
    open_server();
    for (uint64_t id = 1; id <= FAKE_REQUESTS + 2; id++)
        ask(id, id % 2);
    settle();
    expect_eq(fake_rpc.rpc.held_count, FAKE_REQUESTS);
    expect_eq(fake_rpc.rpc.stats.requests, FAKE_REQUESTS);
    expect_eq(fake_rpc.rpc.stats.refused, 2);
    expect_eq(fake_rpc.sent_count, 2);
    expect_reply(FAKE_REQUESTS + 2, -EBUSY, 0);
    for (uint64_t id = 1; id <= FAKE_REQUESTS; id++) {
        expect_eq(await(next_into(&request)), 5);
        rill_rdma_rpc_refuse(&request, -EPERM);
        expect_reply(id, -EPERM, 0); /* in order */
    }
    close_server();
}
END_TEST

/* A refusal that is not told would leave its caller waiting for ever. */
START_TEST(a_refusal_for_which_there_is_no_room_ends_the_endpoint)
{
    open_server();
    fake.mode = FAKE_LATER;
    for (uint64_t id = 1; id <= FAKE_REQUESTS + RILL_RDMA_NOTES_MAX; id++)
        ask(id, false);
    settle();
    expect_eq(fake_rpc.ep.note_count, RILL_RDMA_NOTES_MAX);
    expect_eq(fake_rpc.ep.state, RILL_RDMA_EP_OPEN);
    ask(FAKE_REQUESTS + RILL_RDMA_NOTES_MAX + 1, false);
    settle();
    expect_eq(fake_rpc.rpc.stats.untold, 1);
    expect_eq(fake_rpc.ep.error, -ENOBUFS);
    close_server();
}
END_TEST

/* There is no endpoint to tell it through. */
START_TEST(requests_beyond_the_limit_that_came_before_their_endpoint_are_dropped)
{
    open_server();
    for (uint64_t id = 1; id <= FAKE_REQUESTS + 2; id++)
        ask_through(1, id, RILL_RDMA_RPC_REQUEST);
    settle();
    expect_eq(fake_rpc.rpc.held_count, FAKE_REQUESTS);
    expect_eq(fake_rpc.rpc.stats.refused, 2);
    expect_eq(fake_rpc.rpc.stats.unanswerable, 2);
    expect_eq(fake_rpc.sent_count, 0);
    close_server();
}
END_TEST

START_TEST(a_service_that_closes_refuses_what_nobody_took)
{
    open_server();
    ask(1, false);
    ask(2, true);
    settle();
    rill_rdma_rpc_close(&fake_rpc.rpc);
    expect_eq(fake_rpc.sent_count, 2);
    expect_reply(2, -ESHUTDOWN, 0);
    expect_eq(fake.am_data, 0);
    ask(3, true); /* to a number without a service */
    settle();
    expect_eq(fake_rpc.sent_count, 2);
    close_server();
}
END_TEST

START_TEST(a_service_that_closes_refuses_what_came_before_its_endpoint_was_opened)
{
    open_server();
    ask_through(1, 1, RILL_RDMA_RPC_REQUEST);
    settle();
    expect_eq(rill_rdma_ep_open(&other, &fake_rpc.rdma, "other"), 0);
    rill_rdma_rpc_close(&fake_rpc.rpc);
    expect_eq(fake_rpc.sent_count, 1);
    expect_reply(1, -ESHUTDOWN, 0);
    await(rill_rdma_ep_close(&other));
    close_server();
}
END_TEST

START_TEST(a_service_that_stops_serves_what_has_come_and_refuses_the_rest)
{
    open_server();
    ask(1, false);
    fake_ucx.worker_progress(NULL);
    rill_rdma_rpc_stop(&fake_rpc.rpc);
    rill_rdma_rpc_stop(&fake_rpc.rpc);
    ask(2, false);
    fake_ucx.worker_progress(NULL);
    expect_reply(2, -ESHUTDOWN, 0);
    expect_eq(fake_rpc.rpc.stats.refused, 1);
    expect_eq(await(next_into(&request)), 5);
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "pear", 4)), 4);
    expect_reply(1, 0, 4);
    for (int i = 0; i < 2; i++)
        expect_eq(await(next_into(&request)), -ESHUTDOWN);
    rill_rdma_rpc_close(&fake_rpc.rpc);
    expect_eq(rill_rdma_rpc_open(&fake_rpc.rpc, &fake_rpc.rdma, FAKE_SERVICE, 2), 0);
    ask(3, false);
    expect_eq(await(next_into(&request)), 5); /* it is another one */
    rill_rdma_rpc_refuse(&request, -EPERM);
    close_server();
}
END_TEST

/* The second one looks first, while there is a request that is not its own. */
START_TEST(all_who_receive_end_when_a_service_stops)
{
    for (int has_request = 0; has_request < 2; has_request++) {
        open_server();
        background_start(&receiving, next_into(&request));
        background_start(&receiving_second, next_into(&second));
        settle();
        rill_task_wake(&receiving_second.task);
        if (has_request) {
            ask(1, false);
            fake_ucx.worker_progress(NULL);
        }
        rill_rdma_rpc_stop(&fake_rpc.rpc);
        settle();
        expect_eq(background_end(&receiving), has_request ? 5 : -ESHUTDOWN);
        expect_eq(background_end(&receiving_second), -ESHUTDOWN);
        rill_rdma_rpc_refuse(&request, -EPERM);
        close_server();
    }
}
END_TEST

/* The one that was woken for it finds nothing, and nobody else is woken. */
START_TEST(a_request_that_is_withdrawn_from_a_service_that_stops_keeps_nobody)
{
    open_server();
    background_start(&receiving, next_into(&request));
    background_start(&receiving_second, next_into(&second));
    settle();
    ask(1, false);
    fake_ucx.worker_progress(NULL);
    rill_rdma_rpc_stop(&fake_rpc.rpc);
    cancel(1);
    fake_ucx.worker_progress(NULL);
    expect_eq(fake_rpc.rpc.held_count, 0);
    settle();
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(background_end(&receiving_second), -ESHUTDOWN);
    close_server();
}
END_TEST

START_TEST(several_tasks_receive_in_order)
{
    open_server();
    background_start(&receiving, next_into(&request));
    background_start(&receiving_second, next_into(&second));
    settle();
    ask(1, false);
    expect_eq(background_end(&receiving), 5);
    settle();
    expect(!rill_task_is_over(&receiving_second.task));
    ask(2, false);
    expect_eq(background_end(&receiving_second), 5);
    rill_rdma_rpc_refuse(&second, -EPERM);
    expect_reply(2, -EPERM, 0);
    rill_rdma_rpc_refuse(&request, -EPERM);
    expect_reply(1, -EPERM, 0);
    close_server();
}
END_TEST

START_TEST(who_comes_later_does_not_overtake)
{
    open_server();
    background_start(&receiving, next_into(&request));
    settle();
    background_start(&receiving_second, next_into(&second)); /* runs before the one that waits */
    ask(1, false);
    fake_ucx.worker_progress(NULL);
    expect_eq(background_end(&receiving), 5);
    rill_rdma_rpc_refuse(&request, -EPERM);
    rill_task_cancel(&receiving_second.task);
    expect_eq(background_end(&receiving_second), -ECANCELED);
    close_server();
}
END_TEST

START_TEST(a_receive_that_is_cancelled_leaves_the_request_to_the_next)
{
    for (int order = 0; order < 3; order++) {
        open_server();
        background_start(&receiving, next_into(&request));
        background_start(&receiving_second, next_into(&second));
        settle();
        if (order == 0)
            rill_task_cancel(&receiving.task);
        ask(1, false);
        fake_ucx.worker_progress(NULL);
        expect_eq(fake_rpc.rpc.held_count, 1);
        if (order == 1)
            rill_task_cancel(&receiving.task);
        if (order < 2) {
            expect_eq(background_end(&receiving), -ECANCELED);
            expect_eq(background_end(&receiving_second), 5);
            rill_rdma_rpc_refuse(&second, -EPERM);
        } else {
            fixture_turn();
            rill_task_cancel(&receiving.task); /* it has it */
            expect_eq(background_end(&receiving), 5);
            rill_rdma_rpc_refuse(&request, -EPERM);
            rill_task_cancel(&receiving_second.task);
            expect_eq(background_end(&receiving_second), -ECANCELED);
        }
        expect_reply(1, -EPERM, 0);
        close_server();
    }
}
END_TEST

START_TEST(a_spurious_poll_takes_nothing)
{
    open_server();
    background_start(&receiving, next_into(&request));
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&receiving.task);
    }
    expect_eq(fake_rpc.rdma.source.pending, 1);
    ask(1, false);
    expect_eq(background_end(&receiving), 5);
    expect_eq(fake_rpc.rdma.source.pending, 0);
    rill_rdma_rpc_refuse(&request, -EPERM);
    close_server();
}
END_TEST

/* ---- callers that leave ---- */

START_TEST(a_request_that_is_cancelled_before_it_is_taken_is_never_served)
{
    open_server();
    ask(1, false);
    ask(2, true);
    ask(3, false);
    cancel(1);
    cancel(2);
    cancel(2);
    cancel(4); /* nobody's */
    cancel(3 + RILL_RDMA_RPC_BUCKETS);
    settle();
    expect_eq(fake_rpc.rpc.held_count, 1);
    expect_eq(fake_rpc.rpc.stats.cancelled, 2);
    expect_eq(fake.am_data, 1);
    expect_eq(await(next_into(&request)), 5);
    rill_rdma_rpc_refuse(&request, -EPERM);
    expect_reply(3, -EPERM, 0);
    close_server();
}
END_TEST

START_TEST(work_for_a_request_is_cancelled_with_it)
{
    open_server();
    take(1, false);
    background_start(&working, rill_rdma_rpc_while_wanted(&request, &work,
                                                          rill_sleep(&nap, 1000 * RILL_SECOND)));
    settle();
    expect(!rill_rdma_rpc_is_cancelled(&request));
    cancel(1);
    expect_eq(background_end(&working), -ECANCELED);
    expect(rill_rdma_rpc_is_cancelled(&request));
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "late", 4)), -ECANCELED);
    expect_eq(fake_rpc.sent_count, 0);
    take(2, false); /* what is wanted is done */
    expect_eq(await(rill_rdma_rpc_while_wanted(&request, &work, rill_sleep(&nap, RILL_SECOND))), 0);
    cancel(2); /* while nobody works: it is told when somebody looks */
    settle();
    expect(rill_rdma_rpc_is_cancelled(&request));
    expect_eq(await(rill_rdma_rpc_while_wanted(&request, &work, rill_sleep(&nap, RILL_SECOND))),
              -ECANCELED);
    rill_rdma_rpc_refuse(&request, -EPERM);
    expect_eq(fake_rpc.sent_count, 0);
    close_server();
}
END_TEST

START_TEST(a_caller_can_not_cancel_or_repeat_what_another_asked)
{
    open_server();
    expect_eq(rill_rdma_ep_open(&other, &fake_rpc.rdma, "other"), 0);
    ask(1, false);
    ask_through(1, 1, RILL_RDMA_RPC_CANCEL);
    ask_through(-1, 1, RILL_RDMA_RPC_CANCEL);
    ask(1, true); /* its own, twice */
    settle();
    expect_eq(fake_rpc.rpc.stats.cancelled, 0);
    expect_eq(fake_rpc.rpc.stats.malformed, 1);
    ask_through(1, 1, RILL_RDMA_RPC_REQUEST);  /* the same id of another is another */
    ask_through(-1, 5, RILL_RDMA_RPC_REQUEST); /* from nobody */
    settle();
    expect_eq(fake_rpc.rpc.held_count, 2);
    expect_eq(fake_rpc.rpc.stats.malformed, 2);
    for (int i = 0; i < 2; i++) {
        expect_eq(await(next_into(&request)), i == 0 ? 5 : 0);
        rill_rdma_rpc_refuse(&request, -EPERM);
    }
    await(rill_rdma_ep_close(&other));
    close_server();
}
END_TEST

START_TEST(a_request_may_come_before_its_endpoint_is_opened)
{
    open_server();
    ask_through(1, 1, RILL_RDMA_RPC_REQUEST);
    ask_through(2, 2, RILL_RDMA_RPC_REQUEST); /* whose endpoint is never opened */
    settle();
    expect_eq(rill_rdma_ep_open(&other, &fake_rpc.rdma, "other"), 0);
    expect_eq(await(next_into(&request)), 0);
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "x", 1)), 1);
    expect_reply(1, 0, 1);
    background_start(&receiving, next_into(&request));
    settle();
    expect_eq(fake_rpc.rpc.stats.unanswerable, 1);
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    await(rill_rdma_ep_close(&other));
    close_server();
}
END_TEST

/* UCX gives the handle of who has died before there was an endpoint to them to the next one. */
START_TEST(a_request_of_one_that_went_is_not_served_for_who_connects_next)
{
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};

    open_server();
    ask_through(1, 1, RILL_RDMA_RPC_REQUEST);
    settle();
    expect_eq(rill_rdma_ep_connect(&other, &fake_rpc.rdma, &any), 0);
    background_start(&receiving, next_into(&request));
    settle();
    expect_eq(fake_rpc.rpc.stats.unanswerable, 1);
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    ask_through(1, 2, RILL_RDMA_RPC_REQUEST);
    expect_eq(await(next_into(&request)), 0);
    expect(request.ep == &other);
    rill_rdma_rpc_refuse(&request, -EPERM);
    await(rill_rdma_ep_close(&other));
    close_server();
}
END_TEST

START_TEST(the_end_of_an_endpoint_is_that_of_its_requests)
{
    open_server();
    take(1, true);
    ask(2, true);
    ask(3, false);
    background_start(&working, rill_rdma_rpc_while_wanted(&request, &work,
                                                          rill_sleep(&nap, 1000 * RILL_SECOND)));
    settle();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(background_end(&working), -ECANCELED);
    expect_eq(await(rill_rdma_rpc_fetch(&request, buffer)), -ECONNRESET);
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "x", 1)), -ECONNRESET);
    background_start(&receiving, next_into(&request));
    settle();
    expect_eq(fake_rpc.rpc.held_count, 0);
    expect_eq(fake_rpc.rpc.stats.cancelled, 2);
    expect_eq(fake.am_data, 0);
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    expect_eq(fake_rpc.sent_count, 0);
    close_server();
}
END_TEST

START_TEST(data_that_came_with_a_request_are_there_after_the_end_of_its_endpoint)
{
    open_server();
    take(1, false);
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    settle();
    expect(rill_rdma_rpc_is_cancelled(&request));
    expect_eq(await(rill_rdma_rpc_fetch(&request, buffer)), 5);
    expect(memcmp(buffer, "apple", 5) == 0);
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "x", 1)), -ECONNRESET);
    close_server();
}
END_TEST

START_TEST(an_endpoint_that_is_closed_while_a_request_is_held_is_not_used)
{
    open_server();
    take(1, false);
    ask(2, true);
    settle();
    expect_eq(await(rill_rdma_ep_close(&fake_rpc.ep)), 0);
    memset(&fake_rpc.ep, 0xff, sizeof fake_rpc.ep); /* it is its owner's again */
    expect(rill_rdma_rpc_is_cancelled(&request));
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "x", 1)), -ESHUTDOWN);
    rill_rdma_rpc_close(&fake_rpc.rpc);
    memset(&fake_rpc.ep, 0, sizeof fake_rpc.ep);
    close_server();
}
END_TEST

START_TEST(a_request_that_comes_while_its_endpoint_is_closed_is_not_served)
{
    struct background closing;

    open_server();
    fake.flush_is_mute = true;
    background_start(&closing, rill_rdma_ep_close(&fake_rpc.ep));
    settle();
    ask(1, true);
    settle();
    expect_eq(fake_rpc.rpc.held_count, 1);
    fake_complete(fake_request(fake.posted - 1), UCS_OK, 0);
    expect_eq(background_end(&closing), 0);
    memset(&fake_rpc.ep, 0xff, sizeof fake_rpc.ep); /* it is its owner's again */
    background_start(&receiving, next_into(&request));
    settle();
    for (size_t i = 0; i < sizeof fake_rpc.ep; i++)
        expect_eq(((unsigned char *)&fake_rpc.ep)[i], 0xff); /* and nobody writes into it */
    expect_eq(fake_rpc.rpc.held_count, 0);
    expect_eq(fake_rpc.rpc.stats.cancelled, 1);
    expect_eq(fake.am_data, 0);
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    memset(&fake_rpc.ep, 0, sizeof fake_rpc.ep);
    close_server();
}
END_TEST

/* ---- mistakes ---- */

static void receive_twice(void)
{
    open_server();
    take(1, false);
    next_into(&request);
}

static void reply_twice(void)
{
    open_server();
    take(1, false);
    await(rill_rdma_rpc_reply(&request, 0, NULL, 0));
    rill_rdma_rpc_reply(&request, 0, NULL, 0);
}

static void reply_with_nonsense(void)
{
    open_server();
    take(1, false);
    rill_rdma_rpc_reply(&request, 1, NULL, 0);
}

static void refuse_with_success(void)
{
    open_server();
    take(1, false);
    rill_rdma_rpc_refuse(&request, 0);
}

static void fetch_twice(void)
{
    open_server();
    take(1, true);
    await(rill_rdma_rpc_fetch(&request, buffer));
    rill_rdma_rpc_fetch(&request, buffer);
}

static void close_taken(void)
{
    open_server();
    take(1, false);
    rill_rdma_rpc_close(&fake_rpc.rpc);
}

static void stop_what_is_closed(void)
{
    open_server();
    rill_rdma_rpc_close(&fake_rpc.rpc);
    rill_rdma_rpc_stop(&fake_rpc.rpc);
}

static void close_while_receiving(void)
{
    open_server();
    background_start(&receiving, next_into(&request));
    settle();
    rill_rdma_rpc_close(&fake_rpc.rpc);
}

START_TEST(a_mistake_is_said)
{
    fixture_expect_panic(receive_twice, "into one that was not ended");
    fixture_expect_panic(reply_twice, "a request is answered that is over");
    fixture_expect_panic(reply_with_nonsense, "status 1: want 0 or an -errno");
    fixture_expect_panic(refuse_with_success, "refused with status 0");
    fixture_expect_panic(fetch_twice, "fetched twice");
    fixture_expect_panic(close_taken, "1 requests not answered");
    fixture_expect_panic(stop_what_is_closed, "a service was stopped that is not open");
    fixture_expect_panic(close_while_receiving, "a service was finished while a task");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_request_is_replied_to_once_and_is_then_over, IN_SIMULATED},
        {a_request_that_is_refused_is_over_at_once, IN_SIMULATED},
        {the_data_of_a_request_are_fetched_wherever_they_are, IN_SIMULATED},
        {a_reply_that_is_being_sent_is_waited_for, IN_SIMULATED},
        {a_reply_of_a_cancelled_task_refuses_the_request, IN_SIMULATED},
        {a_reply_that_ucx_does_not_take_refuses_the_request, IN_SIMULATED},
        {requests_beyond_the_limit_are_refused, IN_SIMULATED},
        {a_refusal_for_which_there_is_no_room_ends_the_endpoint, IN_SIMULATED},
        {requests_beyond_the_limit_that_came_before_their_endpoint_are_dropped, IN_SIMULATED},
        {a_service_that_closes_refuses_what_nobody_took, IN_SIMULATED},
        {a_service_that_closes_refuses_what_came_before_its_endpoint_was_opened, IN_SIMULATED},
        {a_service_that_stops_serves_what_has_come_and_refuses_the_rest, IN_SIMULATED},
        {all_who_receive_end_when_a_service_stops, IN_SIMULATED},
        {a_request_that_is_withdrawn_from_a_service_that_stops_keeps_nobody, IN_SIMULATED},
        {several_tasks_receive_in_order, IN_SIMULATED},
        {who_comes_later_does_not_overtake, IN_SIMULATED},
        {a_receive_that_is_cancelled_leaves_the_request_to_the_next, IN_SIMULATED},
        {a_spurious_poll_takes_nothing, IN_SIMULATED},
        {a_request_that_is_cancelled_before_it_is_taken_is_never_served, IN_SIMULATED},
        {work_for_a_request_is_cancelled_with_it, IN_SIMULATED},
        {a_caller_can_not_cancel_or_repeat_what_another_asked, IN_SIMULATED},
        {a_request_may_come_before_its_endpoint_is_opened, IN_SIMULATED},
        {a_request_of_one_that_went_is_not_served_for_who_connects_next, IN_SIMULATED},
        {the_end_of_an_endpoint_is_that_of_its_requests, IN_SIMULATED},
        {data_that_came_with_a_request_are_there_after_the_end_of_its_endpoint, IN_SIMULATED},
        {an_endpoint_that_is_closed_while_a_request_is_held_is_not_used, IN_SIMULATED},
        {a_request_that_comes_while_its_endpoint_is_closed_is_not_served, IN_SIMULATED},
        {a_mistake_is_said, IN_SIMULATED},
    };

    return fixture_main("rdma rpc server", cases, sizeof cases / sizeof *cases);
}
