/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_rpc_client.c - calls, over a UCX that answers late, in any order, or never. */
#include "rdma/note.h"
#include "runtime/executor.h"
#include "runtime/timeout.h"
#include "tests/rdma/fake_rpc.h"
#include "tests/short_memory.h"

#include <errno.h>
#include <string.h>

enum { SIZE = 64, CALLS = 2, METHOD = 3 };

static struct rill_rdma_rpc_client client;
static struct rill_rdma_rpc_call call, calls[4];
static struct background calling, tasks[4], closing;
static char request[SIZE], reply[SIZE], replies[4][SIZE];

static void open_client(void)
{
    memset(&call, 0, sizeof call);
    memset(calls, 0, sizeof calls);
    memset(reply, 0, sizeof reply);
    fake_rpc_open();
    rill_rdma_rpc_client_init(&client, &fake_rpc.rpc, &fake_rpc.ep, CALLS);
}

static void close_client(void)
{
    rill_rdma_rpc_client_finish(&client);
    fake_rpc_close();
}

static struct rill_future *prepare(void)
{
    return rill_rdma_rpc_call(&client, &call, METHOD, request, SIZE, reply, SIZE);
}

/* A call that is sent and waits for its reply. */
static uint64_t start_sent(void)
{
    fake.mode = FAKE_AT_ONCE;
    background_start(&calling, prepare());
    fixture_turn();
    expect_eq(fake_rpc.rpc.waiting, 1);
    fake.mode = FAKE_LATER;
    return fake_last(RILL_RDMA_RPC_REQUEST)->id;
}

static void send_reply(uint64_t id, bool is_long)
{
    fake_message(RILL_RDMA_RPC_REPLY, id, 0, "pineapple", 9, is_long);
}

static bool has_reply(void)
{
    return call.is_answered && call.reply_size == 9 && memcmp(reply, "pineapple", 9) == 0;
}

static bool is_untouched(void)
{
    static const char zeros[SIZE];

    return memcmp(reply, zeros, SIZE) == 0;
}

static unsigned seen_cancels(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < fake_rpc.sent_count; i++)
        count += fake_rpc.sent[i].kind == RILL_RDMA_RPC_CANCEL;
    return count;
}

/* ---- replies ---- */

START_TEST(a_request_tells_its_method_and_where_to_reply)
{
    uint64_t id;

    open_client();
    id = start_sent();
    expect_eq(fake_rpc.sent_count, 1);
    expect_eq(fake_rpc.sent[0].code, METHOD);
    expect_eq(fake_rpc.sent[0].size, SIZE);
    expect(fake_rpc.sent[0].tells_ep);
    send_reply(id, false);
    expect_eq(background_end(&calling), 9);
    expect(has_reply());
    expect_eq(calling.polls, 2);
    expect_eq(fake_rpc.rpc.stats.calls, 1);
    expect_eq(fake_rpc.rpc.stats.replies, 1);
    close_client();
}
END_TEST

START_TEST(a_reply_that_overtakes_the_end_of_its_request_waits_for_that)
{
    open_client();
    background_start(&calling, prepare());
    settle();
    send_reply(fake_last(RILL_RDMA_RPC_REQUEST)->id, false);
    settle();
    expect(!rill_task_is_over(&calling.task));
    expect_eq(fake_rpc.rpc.waiting, 0);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&calling), 9);
    expect(has_reply());
    close_client();
}
END_TEST

START_TEST(a_long_request_whose_data_were_not_wanted_waits_for_its_reply)
{
    open_client();
    background_start(&calling, prepare());
    settle();
    fake_complete(fake_request(0), UCS_ERR_CANCELED, 0);
    settle();
    expect(!rill_task_is_over(&calling.task));
    fake_message(RILL_RDMA_RPC_REPLY, fake_last(RILL_RDMA_RPC_REQUEST)->id, (uint32_t)-ENOSYS, NULL,
                 0, false);
    expect_eq(background_end(&calling), -ENOSYS);
    expect(call.is_answered);
    close_client();
}
END_TEST

START_TEST(a_long_reply_is_fetched)
{
    open_client();
    for (int at_once = 0; at_once < 2; at_once++) {
        uint64_t id = start_sent();

        memset(reply, 0, sizeof reply);
        fake.mode = at_once ? FAKE_AT_ONCE : FAKE_LATER;
        send_reply(id, true);
        settle();
        if (!at_once) {
            expect(!rill_task_is_over(&calling.task));
            fake_complete(fake_request(0), UCS_OK, 9);
        }
        expect_eq(background_end(&calling), 9);
        expect(has_reply());
    }
    close_client();
}
END_TEST

START_TEST(a_reply_may_be_as_long_as_there_is_room_and_no_longer)
{
    open_client();
    for (size_t room = 8; room <= 9; room++) {
        fake.mode = FAKE_AT_ONCE;
        background_start(&calling,
                         rill_rdma_rpc_call(&client, &call, METHOD, request, SIZE, reply, room));
        fixture_turn();
        send_reply(fake_last(RILL_RDMA_RPC_REQUEST)->id, false);
        expect_eq(background_end(&calling), room < 9 ? -EMSGSIZE : 9);
        expect_eq(call.reply_size, 9);
        expect(room < 9 ? is_untouched() : has_reply());
    }
    close_client();
}
END_TEST

START_TEST(a_second_reply_and_one_to_nobody_are_late)
{
    uint64_t id;

    open_client();
    id = start_sent();
    send_reply(id - 1, false);
    send_reply(id + 1, true);
    send_reply(id + RILL_RDMA_RPC_BUCKETS, false); /* in the same list */
    settle();
    expect_eq(fake_rpc.rpc.stats.late, 3);
    send_reply(id, true);
    send_reply(id, false); /* while the first is to be fetched */
    settle();
    expect_eq(fake_rpc.rpc.stats.late, 4);
    expect(memcmp(reply, "pineapple", 9) == 0); /* the fake fetches at once, and tells later */
    fake_complete(fake_request(0), UCS_OK, 9);
    send_reply(id, false);
    expect_eq(background_end(&calling), 9);
    expect_eq(fake_rpc.rpc.stats.late, 5);
    close_client();
}
END_TEST

START_TEST(a_message_without_a_right_header_is_counted_and_dropped)
{
    static const struct {
        size_t at;
        unsigned char byte;
    } wrong[] = {{0, 'x'}, {3, 'x'}, {4, 2}, {5, 0}, {5, 4}, {5, 255}};
    unsigned char header[129];
    uint64_t id, malformed = 0;

    open_client();
    id = start_sent();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rill_rdma_rpc_pack(header, RILL_RDMA_RPC_REPLY, id, 0);
        header[wrong[i].at] = wrong[i].byte;
        fake_bring(FAKE_SERVICE, header, RILL_RDMA_RPC_HEADER_SIZE, "12", 2, 0, i % 2, NULL);
        malformed++;
    }
    memset(header, 0, sizeof header);
    rill_rdma_rpc_pack(header, RILL_RDMA_RPC_REPLY, id, 0);
    for (size_t size = 0; size <= sizeof header; size++) {
        if (size == RILL_RDMA_RPC_HEADER_SIZE)
            continue;
        fake_bring(FAKE_SERVICE, header, size, NULL, 0, 0, false, NULL);
        malformed++;
    }
    fake_message(RILL_RDMA_RPC_REPLY, id, 1, NULL, 0, false);
    fake_message(RILL_RDMA_RPC_REPLY, id, (uint32_t)-4096, NULL, 0, false);
    fake_message(RILL_RDMA_RPC_REPLY, id, (uint32_t)INT32_MIN, NULL, 0, false);
    malformed += 3;
    settle();
    expect_eq(fake_rpc.rpc.stats.malformed, malformed);
    expect(!rill_task_is_over(&calling.task));
    fake_message(RILL_RDMA_RPC_REPLY, id, (uint32_t)-4095, NULL, 0, false);
    expect_eq(background_end(&calling), -4095);
    close_client();
}
END_TEST

START_TEST(a_request_that_can_not_be_sent_is_the_reason)
{
    open_client();
    fake.mode = FAKE_FAILS;
    fake.status = UCS_ERR_NO_MEMORY;
    expect_eq(await(prepare()), -ENOMEM);
    expect(!call.is_answered);
    fake.mode = FAKE_LATER;
    background_start(&calling, prepare());
    settle();
    fake_complete(fake_request(0), UCS_ERR_ENDPOINT_TIMEOUT, 0);
    expect_eq(background_end(&calling), -ETIMEDOUT);
    close_client();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(a_call_that_is_cancelled_before_it_starts_sends_nothing)
{
    open_client();
    background_start(&calling, prepare());
    rill_task_cancel(&calling.task);
    expect_eq(background_end(&calling), -ECANCELED);
    expect_eq(fake_rpc.sent_count, 0);
    expect_eq(fake_rpc.rpc.stats.calls, 0);
    close_client();
}
END_TEST

START_TEST(a_call_that_is_used_again_and_has_no_reply_tells_nothing_of_the_former_one)
{
    uint64_t id;

    open_client();
    id = start_sent();
    send_reply(id, false);
    expect_eq(background_end(&calling), 9);
    expect(has_reply());
    start_sent();
    rill_task_cancel(&calling.task);
    expect_eq(background_end(&calling), -ECANCELED);
    expect(!call.is_answered);
    expect_eq(call.reply_size, 0);
    close_client();
}
END_TEST

START_TEST(a_call_that_is_cancelled_tells_the_server_and_drops_the_late_reply)
{
    open_client();
    for (int is_long = 0; is_long < 2; is_long++) {
        uint64_t id = start_sent();

        fake.mode = FAKE_AT_ONCE;
        rill_task_cancel(&calling.task);
        expect_eq(background_end(&calling), -ECANCELED);
        expect(!call.is_answered);
        expect_eq(fake_last(RILL_RDMA_RPC_CANCEL)->id, id);
        expect(fake_last(RILL_RDMA_RPC_CANCEL)->tells_ep);
        send_reply(id, is_long);
        settle();
    }
    expect_eq(fake_rpc.rpc.stats.late, 2);
    expect_eq(seen_cancels(), 2);
    expect(is_untouched());
    close_client();
}
END_TEST

START_TEST(a_call_whose_request_is_moved_ends_when_that_is_over)
{
    open_client();
    background_start(&calling, prepare());
    settle();
    rill_task_cancel(&calling.task);
    settle();
    expect(!rill_task_is_over(&calling.task));
    expect_eq(seen_cancels(), 1);
    expect_eq(fake_rpc.ep.note_count, 1);
    send_reply(fake_rpc.sent[0].id, false);
    settle();
    expect_eq(fake_rpc.rpc.stats.late, 1);
    fake_complete(fake_request(0), UCS_ERR_CANCELED, 0);
    expect_eq(background_end(&calling), -ECANCELED);
    expect_eq(seen_cancels(), 1);
    fake_complete(fake_request(1), UCS_OK, 0); /* the news */
    settle();
    expect_eq(fake_rpc.ep.note_count, 0);
    close_client();
}
END_TEST

START_TEST(a_reply_that_came_before_the_cancel_is_the_result)
{
    open_client();
    uint64_t id = start_sent();

    send_reply(id, false);
    while (fake_rpc.rpc.waiting > 0) /* the callback was called, the task has not run */
        fake_ucx.worker_progress(NULL);
    rill_task_cancel(&calling.task);
    expect_eq(background_end(&calling), 9);
    expect(has_reply());
    expect_eq(seen_cancels(), 0);
    close_client();
}
END_TEST

START_TEST(a_reply_that_comes_after_the_cancel_is_late)
{
    open_client();
    uint64_t id = start_sent();

    rill_task_cancel(&calling.task);
    send_reply(id, false);
    fixture_turn();
    expect_eq(background_end(&calling), -ECANCELED);
    settle();
    expect_eq(fake_rpc.rpc.stats.late, 1);
    expect(is_untouched());
    close_client();
}
END_TEST

START_TEST(a_long_reply_that_is_not_fetched_yet_is_given_up)
{
    open_client();
    uint64_t id = start_sent();

    send_reply(id, true);
    while (fake_rpc.rpc.waiting > 0)
        fake_ucx.worker_progress(NULL);
    expect_eq(fake.am_data, 1);
    rill_task_cancel(&calling.task);
    expect_eq(background_end(&calling), -ECANCELED);
    expect_eq(fake.am_data, 0);
    expect(!call.is_answered);
    expect(is_untouched());
    expect_eq(seen_cancels(), 0); /* the server has done its part */
    close_client();
}
END_TEST

START_TEST(a_long_reply_that_is_being_fetched_is_waited_for)
{
    open_client();
    uint64_t id = start_sent();

    send_reply(id, true);
    settle();
    rill_task_cancel(&calling.task);
    settle();
    expect(!rill_task_is_over(&calling.task));
    fake_complete(fake_request(0), UCS_OK, 9);
    expect_eq(background_end(&calling), 9);
    expect(has_reply());
    close_client();
}
END_TEST

START_TEST(a_deadline_ends_a_call_and_is_told)
{
    struct rill_timeout limit;

    open_client();
    fake.mode = FAKE_AT_ONCE;
    expect_eq(await(rill_timeout(&limit, RILL_SECOND, prepare())), -ETIMEDOUT);
    expect_eq(fake_last(RILL_RDMA_RPC_CANCEL)->id, fake_rpc.sent[0].id);
    expect_eq(call.result, -ECANCELED);
    close_client();
}
END_TEST

/* UCX lets go of them when the endpoint is closed by force, or not even then. */
static void leave_notes(bool force_is_mute)
{
    open_client();
    for (int i = 0; i < RILL_RDMA_NOTES_MAX + 3; i++) {
        start_sent();
        rill_task_cancel(&calling.task);
        expect_eq(background_end(&calling), -ECANCELED);
    }
    expect_eq(fake_rpc.ep.note_count, RILL_RDMA_NOTES_MAX);
    expect_eq(fake_rpc.rpc.stats.untold, 3);
    fake_complete(fake_request(7), UCS_OK, 0);
    settle();
    expect_eq(fake_rpc.ep.note_count, RILL_RDMA_NOTES_MAX - 1);
    fake.force_is_mute = force_is_mute;
    close_client();
    expect_eq(fake_rpc.rdma.stats.abandoned, force_is_mute ? RILL_RDMA_NOTES_MAX - 1 : 0);
}

START_TEST(news_for_which_there_is_no_room_are_counted_and_end_with_their_endpoint)
{
    leave_notes(false);
    leave_notes(true);
}
END_TEST

static int tell(void)
{
    return rill_rdma_note_send(&fake_rpc.ep, 1, "x", 1, 0);
}

START_TEST(news_have_the_worker_looked_after_and_say_why_they_are_not_sent)
{
    open_client();
    fake.on_am = NULL; /* they are no calls */
    settle();
    fake_rpc.rdma.source.touched = false;
    expect_eq(tell(), 0);
    expect(fake_rpc.rdma.source.touched);
    for (int i = 1; i < RILL_RDMA_NOTES_MAX; i++)
        expect_eq(tell(), 0);
    expect_eq(tell(), -EBUSY);
    fake_complete(fake_request(7), UCS_OK, 0);
    settle();
    fake.failing = "am_send_nbx";
    fake.status = UCS_ERR_NO_MEMORY;
    expect_eq(tell(), -ENOMEM);
    expect_eq(fake_rpc.ep.note_count, RILL_RDMA_NOTES_MAX - 1);
    fake.failing = NULL;
    close_client();
}
END_TEST

START_TEST(news_for_which_there_is_no_memory_are_counted)
{
    static void *blocks[1 << 16];
    size_t count = 0;
    uint8_t size_class = 0;

    if (!memory_can_be_short())
        return;
    open_client();
    start_sent();
    memory_is_short = true;
    while (count < sizeof blocks / sizeof *blocks &&
           (blocks[count] = rill_pool_get(&rill_executor_here()->pool,
                                          sizeof(struct rill_rdma_note), &size_class)))
        count++;
    rill_task_cancel(&calling.task);
    expect_eq(background_end(&calling), -ECANCELED);
    memory_is_short = false;
    expect_eq(fake_rpc.ep.note_count, 0);
    expect_eq(fake_rpc.rpc.stats.untold, 1);
    while (count > 0)
        rill_pool_put(&rill_executor_here()->pool, blocks[--count], size_class);
    close_client();
}
END_TEST

/* ---- in line ---- */

static void start_many(void)
{
    for (int i = 0; i < 4; i++)
        background_start(&tasks[i], rill_rdma_rpc_call(&client, &calls[i], (uint32_t)i, NULL, 0,
                                                       replies[i], SIZE));
    settle();
}

START_TEST(a_further_call_waits_until_one_is_over)
{
    open_client();
    fake.mode = FAKE_AT_ONCE;
    start_many();
    expect_eq(fake_rpc.sent_count, CALLS);
    send_reply(fake_rpc.sent[1].id, false);
    expect_eq(background_end(&tasks[1]), 9);
    settle();
    expect_eq(fake_rpc.sent_count, CALLS + 1);
    expect_eq(fake_rpc.sent[2].code, 2); /* first come, first served */
    rill_task_cancel(&tasks[3].task);
    expect_eq(background_end(&tasks[3]), -ECANCELED);
    expect_eq(seen_cancels(), 0);
    rill_task_cancel(&tasks[0].task);
    expect_eq(background_end(&tasks[0]), -ECANCELED);
    send_reply(fake_rpc.sent[2].id, false);
    expect_eq(background_end(&tasks[2]), 9);
    expect_eq(fake_rpc.sent_count, CALLS + 2);
    close_client();
}
END_TEST

/* ---- the end of the endpoint ---- */

enum { WAITING, FETCHING, ANNOUNCED, UNTOLD, KINDS };

/* One call is being sent, one is further, and one is in line. */
static void fail_endpoint_with(int kind, bool force_is_mute)
{
    int64_t began_ns;

    open_client();
    background_start(&tasks[0],
                     rill_rdma_rpc_call(&client, &calls[0], 0, request, SIZE, replies[0], SIZE));
    settle();
    fake.mode = FAKE_AT_ONCE;
    for (int i = 1; i < 3; i++)
        background_start(&tasks[i],
                         rill_rdma_rpc_call(&client, &calls[i], 0, NULL, 0, replies[i], SIZE));
    settle();
    fake.mode = FAKE_LATER;
    if (kind != WAITING)
        send_reply(fake_rpc.sent[1].id, true);
    if (kind == FETCHING)
        settle();
    fake.force_is_mute = force_is_mute;
    began_ns = sim_now(fixture.sim);
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    if (kind == UNTOLD) /* the tasks run before the end is told to those who wait */
        fake_ucx.worker_progress(NULL);
    for (int i = 0; i < 3; i++)
        expect_eq(background_end(&tasks[i]), -ECONNRESET);
    expect(sim_now(fixture.sim) - began_ns <= RILL_RDMA_DRAIN_NS + RILL_SECOND);
    expect_eq(await(rill_rdma_rpc_call(&client, &calls[3], 0, NULL, 0, NULL, 0)), -ECONNRESET);
    expect_eq(fake.am_data, 0);
    expect_eq(seen_cancels(), 0);
    close_client();
}

START_TEST(an_endpoint_that_fails_ends_its_calls_wherever_they_are)
{
    for (int kind = 0; kind < KINDS; kind++) {
        fail_endpoint_with(kind, false);
        fail_endpoint_with(kind, true);
    }
}
END_TEST

START_TEST(nothing_is_told_through_an_endpoint_that_has_failed)
{
    open_client();
    start_sent();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    fake_ucx.worker_progress(NULL);
    rill_task_cancel(&calling.task);
    expect_eq(background_end(&calling), -ECANCELED);
    expect_eq(seen_cancels(), 0);
    expect_eq(fake_rpc.rpc.stats.untold, 1);
    close_client();
}
END_TEST

START_TEST(an_endpoint_that_is_closed_ends_its_calls_with_ESHUTDOWN)
{
    open_client();
    start_sent();
    background_start(&closing, rill_rdma_ep_close(&fake_rpc.ep));
    expect_eq(background_end(&calling), -ESHUTDOWN);
    expect_eq(background_end(&closing), 0);
    expect_eq(rill_rdma_ep_open(&fake_rpc.ep, &fake_rpc.rdma, "again"), 0);
    send_reply(start_sent(), false); /* the client goes on with the new one */
    expect_eq(background_end(&calling), 9);
    close_client();
}
END_TEST

START_TEST(an_endpoint_that_is_closed_ends_those_in_line_too)
{
    static struct rill_rdma_ep unopened;

    open_client();
    fake.mode = FAKE_AT_ONCE;
    start_many();
    await(rill_rdma_ep_abort(&fake_rpc.ep));
    for (int i = 0; i < 4; i++)
        expect_eq(background_end(&tasks[i]), -ESHUTDOWN);
    expect_eq(fake_rpc.sent_count, CALLS);
    expect_eq(await(prepare()), -ESHUTDOWN);
    client.ep = &unopened;
    expect_eq(await(prepare()), -ENOTCONN);
    close_client();
}
END_TEST

START_TEST(what_arrived_before_the_failure_is_delivered)
{
    open_client();
    send_reply(start_sent(), false);
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(background_end(&calling), 9);
    uint64_t late = fake_rpc.rpc.stats.late;

    expect_eq(late, 0);
    close_client();
}
END_TEST

START_TEST(what_arrives_in_the_progress_after_the_failure_is_delivered)
{
    open_client();
    uint64_t id = start_sent();

    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    fake_ucx.worker_progress(NULL);
    send_reply(id, false);
    expect_eq(background_end(&calling), 9);
    close_client();
}
END_TEST

/* ---- polls ---- */

START_TEST(a_spurious_poll_sends_nothing_twice)
{
    open_client();
    background_start(&calling, prepare());
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&calling.task);
    }
    expect_eq(fake_rpc.sent_count, 1);
    fake_complete(fake_request(0), UCS_OK, 0);
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&calling.task);
    }
    send_reply(fake_rpc.sent[0].id, true);
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&calling.task);
    }
    fake_complete(fake_request(1), UCS_OK, 9);
    expect_eq(background_end(&calling), 9);
    expect(has_reply());
    close_client();
}
END_TEST

struct relay {
    struct rill_task task;
    struct rill_future *future;
    bool is_last;
};

/* Polls once and ends, or polls until it is ready. */
static enum rill_poll relay_poll(struct rill_future *self, struct rill_task *task)
{
    struct relay *relay = rill_container_of(self, struct relay, task.future);
    enum rill_poll poll;

    if (!relay->future)
        return RILL_PENDING;
    poll = relay->future->poll(relay->future, task);
    if (poll == RILL_PENDING)
        return RILL_PENDING;
    self->result = relay->future->result;
    return RILL_READY;
}

START_TEST(a_call_wakes_the_task_that_polled_it_last)
{
    static struct relay first, second;

    open_client();
    fake.mode = FAKE_AT_ONCE;
    first.future = prepare();
    rill_task_spawn(&first.task, relay_poll);
    rill_task_spawn(&second.task, relay_poll);
    fixture_turn();
    expect_eq(first.task.ops, 1);
    second.future = first.future;
    first.future = NULL;
    rill_task_wake(&second.task);
    fixture_turn();
    expect_eq(first.task.ops, 0);
    expect_eq(second.task.ops, 1);
    send_reply(fake_rpc.sent[0].id, false);
    settle();
    expect(rill_task_is_over(&second.task));
    expect_eq(second.task.future.result, 9);
    first.future = prepare(); /* to its end */
    rill_task_cancel(&first.task);
    settle();
    expect_eq(first.task.future.result, -ECANCELED);
    close_client();
}
END_TEST

/* ---- mistakes ---- */

static void use_twice(void)
{
    open_client();
    start_sent();
    prepare();
}

static void finish_in_flight(void)
{
    open_client();
    start_sent();
    rill_rdma_rpc_client_finish(&client);
}

static void close_in_flight(void)
{
    open_client();
    start_sent();
    rill_rdma_rpc_close(&fake_rpc.rpc);
}

static void await_twice(void)
{
    open_client();
    fake.mode = FAKE_FAILS;
    fake.status = UCS_ERR_NO_MEMORY;
    await(prepare());
    await(&call.future);
}

START_TEST(a_mistake_is_said)
{
    fixture_expect_panic(use_twice, "a call is used while it is in flight");
    fixture_expect_panic(finish_in_flight, "permits are held");
    fixture_expect_panic(close_in_flight, "1 calls wait for their reply");
    fixture_expect_panic(await_twice, "a call was awaited that is over");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_request_tells_its_method_and_where_to_reply, IN_SIMULATED},
        {a_reply_that_overtakes_the_end_of_its_request_waits_for_that, IN_SIMULATED},
        {a_long_request_whose_data_were_not_wanted_waits_for_its_reply, IN_SIMULATED},
        {a_long_reply_is_fetched, IN_SIMULATED},
        {a_reply_may_be_as_long_as_there_is_room_and_no_longer, IN_SIMULATED},
        {a_second_reply_and_one_to_nobody_are_late, IN_SIMULATED},
        {a_message_without_a_right_header_is_counted_and_dropped, IN_SIMULATED},
        {a_request_that_can_not_be_sent_is_the_reason, IN_SIMULATED},
        {a_call_that_is_cancelled_before_it_starts_sends_nothing, IN_SIMULATED},
        {a_call_that_is_used_again_and_has_no_reply_tells_nothing_of_the_former_one, IN_SIMULATED},
        {a_call_that_is_cancelled_tells_the_server_and_drops_the_late_reply, IN_SIMULATED},
        {a_call_whose_request_is_moved_ends_when_that_is_over, IN_SIMULATED},
        {a_reply_that_came_before_the_cancel_is_the_result, IN_SIMULATED},
        {a_reply_that_comes_after_the_cancel_is_late, IN_SIMULATED},
        {a_long_reply_that_is_not_fetched_yet_is_given_up, IN_SIMULATED},
        {a_long_reply_that_is_being_fetched_is_waited_for, IN_SIMULATED},
        {a_deadline_ends_a_call_and_is_told, IN_SIMULATED},
        {news_have_the_worker_looked_after_and_say_why_they_are_not_sent, IN_SIMULATED},
        {news_for_which_there_is_no_memory_are_counted, IN_SIMULATED},
        {news_for_which_there_is_no_room_are_counted_and_end_with_their_endpoint, IN_SIMULATED},
        {a_further_call_waits_until_one_is_over, IN_SIMULATED},
        {an_endpoint_that_fails_ends_its_calls_wherever_they_are, IN_SIMULATED},
        {nothing_is_told_through_an_endpoint_that_has_failed, IN_SIMULATED},
        {an_endpoint_that_is_closed_ends_its_calls_with_ESHUTDOWN, IN_SIMULATED},
        {an_endpoint_that_is_closed_ends_those_in_line_too, IN_SIMULATED},
        {what_arrived_before_the_failure_is_delivered, IN_SIMULATED},
        {what_arrives_in_the_progress_after_the_failure_is_delivered, IN_SIMULATED},
        {a_spurious_poll_sends_nothing_twice, IN_SIMULATED},
        {a_call_wakes_the_task_that_polled_it_last, IN_SIMULATED},
        {a_mistake_is_said, IN_SIMULATED},
    };

    return fixture_main("rdma rpc client", cases, sizeof cases / sizeof *cases);
}
