/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_op.c - operations and endpoints over a UCX that answers late, in any order,
 * within the call, wrongly, or never. */
#include "rdma/active_message.h"
#include "rdma/endpoint_info.h"
#include "rdma/listener.h"
#include "rdma/memory.h"
#include "rdma/rpc.h"
#include "rdma/stream.h"
#include "rdma/tag.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"
#include "tests/rdma/fake_ucx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum { SIZE = 64 };

static struct rill_rdma rdma;
static struct rill_rdma_ep ep;
static struct rill_rdma_op send_op, recv_op;
static struct background sending, receiving, closing;
static char sent[SIZE], received[SIZE];

static int open_rdma(void)
{
    static const struct rill_rdma_setting setting = {"TLS", "tcp"};

    return rill_rdma_open(&rdma, &(struct rill_rdma_options){
                                     .settings = &setting, .setting_count = 1, .ucx = &fake_ucx});
}

static void open_all(void)
{
    memset(&ep, 0, sizeof ep);
    memset(received, 0, sizeof received);
    fake_reset();
    fixture_open(SIMULATED, NULL, NULL);
    expect_eq(open_rdma(), 0);
    expect_eq(rill_rdma_ep_open(&ep, &rdma, "address"), 0);
}

static void close_rest(void)
{
    expect_eq(rdma.ops_in_flight, 0);
    expect_eq(rdma.source.pending, 0);
    expect_eq(rdma.endpoints, 0);
    rill_rdma_close(&rdma);
    expect_eq(fake.contexts + fake.workers + fake.eps + fake.configs + fake.requests, 0);
    fixture_close();
}

static void close_all(void)
{
    await(rill_rdma_ep_abort(&ep));
    close_rest();
}

static struct rill_future *tag_send(void)
{
    return rill_rdma_tag_send(&ep, &send_op, sent, SIZE, 1);
}

static struct rill_future *tag_recv(void)
{
    return rill_rdma_tag_recv(&rdma, &recv_op, received, SIZE, 1, RILL_RDMA_TAG_EXACT);
}

static struct rill_future *tag_recv_from(void)
{
    return rill_rdma_tag_recv_from(&ep, &recv_op, received, SIZE, 1, RILL_RDMA_TAG_EXACT);
}

static int64_t elapsed_since(int64_t began_ns)
{
    return sim_now(fixture.sim) - began_ns;
}

/* ---- how an operation ends ---- */

START_TEST(an_operation_that_is_over_at_once_takes_one_poll)
{
    open_all();
    fake.mode = FAKE_AT_ONCE;
    background_start(&sending, tag_send());
    expect_eq(background_end(&sending), SIZE);
    expect_eq(sending.polls, 1);
    background_start(&receiving, tag_recv()); /* its callback runs within the post */
    expect_eq(background_end(&receiving), SIZE);
    expect_eq(receiving.polls, 1);
    expect(pattern_is(received, 0, SIZE));
    expect_eq(recv_op.tag, 7);
    expect_eq(rdma.stats.posts, 2);
    expect_eq(rdma.stats.posts_inline, 2);
    close_all();
}
END_TEST

START_TEST(an_operation_that_is_over_later_takes_two_polls)
{
    open_all();
    background_start(&sending, tag_send());
    background_start(&receiving, tag_recv());
    settle();
    expect_eq(rdma.ops_in_flight, 2);
    expect_eq(rdma.source.pending, 2);
    fake_complete(fake_request(1), UCS_OK, 10);
    expect_eq(background_end(&receiving), 10);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&sending), SIZE);
    expect_eq(sending.polls, 2);
    expect_eq(receiving.polls, 2);
    close_all();
}
END_TEST

START_TEST(a_call_or_a_callback_that_fails_is_the_errno_of_its_status)
{
    open_all();
    fake.mode = FAKE_FAILS;
    fake.status = UCS_ERR_NO_MEMORY;
    expect_eq(await(tag_send()), -ENOMEM);
    expect_eq(await(tag_recv()), -ENOMEM);
    fake.mode = FAKE_LATER;
    background_start(&sending, tag_send());
    background_start(&receiving, tag_recv());
    settle();
    fake_complete(fake_request(0), UCS_ERR_ENDPOINT_TIMEOUT, 0);
    fake_complete(fake_request(1), UCS_ERR_MESSAGE_TRUNCATED, 1000);
    expect_eq(background_end(&sending), -ETIMEDOUT);
    expect_eq(background_end(&receiving), -EMSGSIZE);
    expect_eq(recv_op.length, 1000);
    close_all();
}
END_TEST

START_TEST(operations_end_in_whatever_order_they_are_answered)
{
    enum { MANY = 100 };
    static struct rill_rdma_op ops[MANY];
    static struct background tasks[MANY];
    static char buffers[MANY][SIZE];

    for (uint64_t seed = 1; seed <= 20; seed++) {
        bool is_answered[MANY] = {false};
        uint64_t state = seed;

        open_all();
        for (int i = 0; i < MANY; i++)
            background_start(
                &tasks[i], i % 2 ? rill_rdma_tag_send(&ep, &ops[i], buffers[i], (size_t)i % SIZE, 1)
                                 : rill_rdma_tag_recv(&rdma, &ops[i], buffers[i], SIZE, 1, 0));
        settle();
        for (int left = MANY; left > 0;) {
            unsigned number;

            state = state * 6364136223846793005u + 1442695040888963407u;
            number = (unsigned)(state >> 33) % MANY;
            if (is_answered[number])
                continue;
            is_answered[number] = true;
            left--;
            fake_complete(fake_request(number), UCS_OK, number % SIZE);
            if (state >> 60 < 8)
                settle();
        }
        for (int i = 0; i < MANY; i++) {
            expect_eq(background_end(&tasks[i]), i % SIZE);
            expect(i % 2 || pattern_is(buffers[i], 0, (size_t)i % SIZE));
        }
        close_all();
    }
}
END_TEST

/* Its descriptor was armed before there was anything to tell, and may stay silent. */
START_TEST(an_operation_that_is_posted_while_UCX_sleeps_is_looked_at_without_an_event)
{
    unsigned calls;

    open_all();
    settle();
    expect(rdma.source.asleep);
    calls = fake.progressed;
    background_start(&sending, tag_send());
    settle();
    ck_assert_uint_gt(fake.progressed, calls);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&sending), SIZE);
    close_all();
}
END_TEST

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task);

struct greedy {
    struct rill_future future;
    int rounds;
};

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    struct greedy *greedy = rill_container_of(self, struct greedy, future);

    RILL_BEGIN();
    for (greedy->rounds = 0; greedy->rounds < 1000; greedy->rounds++)
        RILL_AWAIT(tag_send());
    RILL_END();
}

START_TEST(a_task_whose_operations_are_always_over_at_once_lets_others_run)
{
    static struct greedy greedy;

    open_all();
    fake.mode = FAKE_AT_ONCE;
    background_start(&sending, rill_future_init(&greedy.future, greedy_poll));
    expect_eq(background_end(&sending), 0);
    expect_eq(greedy.rounds, 1000);
    ck_assert_uint_ge(sending.polls, 1000 / (RILL_TASK_BUDGET + 1));
    expect_eq(fake.posted, 0);
    expect_eq(rdma.stats.posts, 1000); /* none is posted twice */
    close_all();
}
END_TEST

/* ---- spurious polls, and tasks that hand over ---- */

START_TEST(a_spurious_poll_posts_nothing_twice)
{
    open_all();
    background_start(&sending, tag_send());
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&sending.task);
    }
    expect_eq(fake.posted, 1);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&sending), SIZE);
    close_all();
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
        return RILL_READY;
    poll = relay->future->poll(relay->future, task);
    if (poll == RILL_PENDING && relay->is_last)
        return RILL_PENDING;
    self->result = poll == RILL_PENDING ? -EAGAIN : relay->future->result;
    return RILL_READY;
}

START_TEST(an_operation_wakes_the_task_that_polled_it_last)
{
    static struct relay first, second;

    open_all();
    second.is_last = true;
    second.future = first.future = tag_recv();
    rill_task_spawn(&second.task, relay_poll);
    fixture_turn();
    second.is_last = false;
    first.is_last = true;
    rill_task_spawn(&first.task, relay_poll);
    fixture_turn();
    expect_eq(second.task.ops, 0);
    expect_eq(first.task.ops, 1);
    rill_task_wake(&second.task); /* takes it back, and ends: */
    second.is_last = true;
    fixture_turn();
    expect_eq(second.task.ops, 1);
    fake_complete(fake_request(0), UCS_OK, 3);
    settle();
    expect(rill_task_is_over(&second.task));
    expect_eq(second.task.future.result, 3);
    first.future = NULL;
    rill_task_wake(&first.task);
    settle();
    close_all();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(a_cancelled_receive_ends_within_the_cancel)
{
    open_all();
    background_start(&receiving, tag_recv());
    settle();
    rill_task_cancel(&receiving.task);
    fixture_turn();
    expect(rill_task_is_over(&receiving.task));
    expect_eq(background_end(&receiving), -ECANCELED);
    expect_eq(fake.cancelled, 1);
    close_all();
}
END_TEST

START_TEST(a_cancelled_receive_that_was_matched_gives_its_message)
{
    open_all();
    fake.cancel_is_late = true;
    background_start(&receiving, tag_recv());
    settle();
    rill_task_cancel(&receiving.task);
    settle();
    expect(!rill_task_is_over(&receiving.task));
    rill_task_cancel(&receiving.task); /* asks no second time */
    settle();
    expect_eq(fake.cancelled, 1);
    fake_complete(fake_request(0), UCS_OK, SIZE);
    expect_eq(background_end(&receiving), SIZE);
    expect(pattern_is(received, 0, SIZE));
    close_all();
}
END_TEST

START_TEST(a_receive_that_is_answered_and_cancelled_at_once_gives_its_message)
{
    for (int order = 0; order < 2; order++) {
        open_all();
        background_start(&receiving, tag_recv());
        settle();
        fake_complete(fake_request(0), UCS_OK, SIZE);
        for (int i = 0; i < 3 && order == 0; i++) /* the callback is called */
            rill_executor_wait(&fixture.runtime->executor, RILL_NO_WAIT);
        rill_task_cancel(&receiving.task);
        expect_eq(background_end(&receiving), order == 0 ? SIZE : -ECANCELED);
        close_all();
    }
}
END_TEST

START_TEST(a_cancelled_send_waits_until_UCX_lets_go)
{
    open_all();
    background_start(&sending, tag_send());
    settle();
    rill_task_cancel(&sending.task);
    settle();
    expect(!rill_task_is_over(&sending.task));
    expect_eq(fake.cancelled, 0);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&sending), SIZE);
    close_all();
}
END_TEST

START_TEST(a_timeout_ends_a_receive_and_is_late_for_a_send)
{
    struct rill_timeout timeout;

    open_all();
    expect_eq(await(rill_timeout(&timeout, RILL_SECOND, tag_recv())), -ETIMEDOUT);
    background_start(&sending, rill_timeout(&timeout, RILL_SECOND, tag_send()));
    settle();
    settle();
    expect(!rill_task_is_over(&sending.task));
    fake_complete(fake_request(1), UCS_OK, 0);
    expect_eq(background_end(&sending), SIZE);
    close_all();
}
END_TEST

/* UCX does not count all that it does. */
START_TEST(a_task_that_progress_has_woken_without_counting_it_goes_on_at_once)
{
    for (int is_late = 0; is_late < 2; is_late++) {
        int64_t began_ns;

        open_all();
        fake.progress_counts_nothing = true;
        background_start(&sending, rill_rdma_tag_send(&ep, &send_op, "hello", 5, 1));
        if (is_late)
            settle();
        else
            fixture_turn();
        began_ns = sim_now(fixture.sim);
        fake_complete(fake_request(0), UCS_OK, 5);
        expect_eq(background_end(&sending), 5);
        ck_assert_int_le(elapsed_since(began_ns), RILL_MILLISECOND);
        close_all();
    }
}
END_TEST

/* ---- the end of an endpoint ---- */

START_TEST(a_failed_endpoint_ends_everything_on_it_and_nothing_else)
{
    static struct rill_rdma_op other_op;
    static struct background other;

    open_all();
    background_start(&sending, tag_send());
    background_start(&receiving, tag_recv_from());
    background_start(&other, rill_rdma_tag_recv(&rdma, &other_op, sent, SIZE, 1, 0));
    settle();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(background_end(&sending), -ECONNRESET);
    expect_eq(background_end(&receiving), -ECONNRESET);
    expect_eq(ep.error, -ECONNRESET);
    expect_eq(fake.forced, 1);
    expect_eq(rdma.stats.endpoints_failed, 1);
    expect_eq(await(tag_send()), -ECONNRESET);
    expect_eq(await(tag_recv_from()), -ECONNRESET);
    expect_eq(fake.posted, 3);
    expect(!rill_task_is_over(&other.task));
    rill_task_cancel(&other.task);
    expect_eq(background_end(&other), -ECANCELED);
    expect_eq(await(rill_rdma_ep_close(&ep)), -ECONNRESET);
    close_rest();
}
END_TEST

START_TEST(what_arrives_with_the_failure_or_right_after_it_is_still_delivered)
{
    for (unsigned delay = 0; delay < 3; delay++) {
        open_all();
        background_start(&receiving, tag_recv_from());
        settle();
        fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
        fake.delay = delay;
        fake_complete(fake_request(0), UCS_OK, SIZE);
        expect_eq(background_end(&receiving), delay < 2 ? SIZE : -ECONNRESET);
        close_all();
    }
}
END_TEST

START_TEST(who_was_cancelled_is_told_so_though_the_endpoint_fails)
{
    open_all();
    fake.cancel_is_late = true;
    background_start(&receiving, tag_recv_from());
    settle();
    rill_task_cancel(&receiving.task);
    settle();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    settle();
    fake_complete(fake_request(0), UCS_ERR_CANCELED, 0);
    expect_eq(background_end(&receiving), -ECANCELED);
    close_all();
}
END_TEST

/* -ECANCELED would say that nothing was sent. */
START_TEST(a_cancelled_send_that_UCX_had_is_told_of_the_end_of_its_endpoint)
{
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        open_all();
        background_start(&sending, tag_send());
        settle();
        rill_task_cancel(&sending.task);
        settle();
        if (is_lost)
            fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
        else
            await(rill_rdma_ep_abort(&ep));
        expect_eq(background_end(&sending), is_lost ? -ECONNRESET : -ESHUTDOWN);
        close_all();
    }
}
END_TEST

START_TEST(what_UCX_never_lets_go_of_is_over_after_a_second_and_kept_from_it)
{
    int64_t began_ns;

    open_all();
    fake.force_is_mute = true;
    fake.cancel_is_late = true;
    background_start(&sending, tag_send());
    background_start(&receiving, tag_recv_from());
    settle();
    began_ns = sim_now(fixture.sim);
    fake_fail_endpoint(0, UCS_ERR_ENDPOINT_TIMEOUT);
    expect_eq(background_end(&sending), -ETIMEDOUT);
    expect_eq(background_end(&receiving), -ETIMEDOUT);
    ck_assert_int_ge(elapsed_since(began_ns), RILL_RDMA_DRAIN_NS);
    ck_assert_int_le(elapsed_since(began_ns),
                     RILL_RDMA_DRAIN_NS + 2 * RILL_EVENT_SOURCE_SLEEP_MAX_NS);
    expect_eq(rdma.stats.abandoned, 2);
    memset(&send_op, 0xff, sizeof send_op); /* nobody looks at these any more */
    memset(&recv_op, 0xff, sizeof recv_op);
    fake_complete(fake_request(0), UCS_OK, 0);
    settle();
    expect_eq(await(rill_rdma_ep_close(&ep)), -ETIMEDOUT);
    memset(&send_op, 0, sizeof send_op);
    memset(&recv_op, 0, sizeof recv_op);
    close_rest();
}
END_TEST

/* ---- closing ---- */

START_TEST(closing_flushes_and_ends_receives)
{
    open_all();
    background_start(&sending, tag_send());
    background_start(&receiving, tag_recv_from());
    settle();
    background_start(&closing, rill_rdma_ep_close(&ep));
    expect_eq(background_end(&receiving), -ESHUTDOWN);
    expect_eq(await(tag_recv_from()), -ESHUTDOWN);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&sending), SIZE);
    expect_eq(background_end(&closing), 0);
    expect_eq(fake.forced, 0);
    expect_eq(await(rill_rdma_ep_close(&ep)), 0);
    expect_eq(await(rill_rdma_ep_abort(&ep)), 0);
    expect_eq(rill_rdma_ep_open(&ep, &rdma, "address"), 0);
    close_all();
}
END_TEST

/* A flush of UCX does not wait for a rendezvous that the other side has not taken up. */
START_TEST(closing_waits_for_sends_that_the_flush_did_not_wait_for)
{
    open_all();
    background_start(&sending, tag_send());
    background_start(&closing, rill_rdma_ep_close(&ep));
    settle();
    expect_eq(fake.eps, 1);
    expect(!rill_task_is_over(&closing.task));
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&sending), SIZE);
    expect_eq(background_end(&closing), 0);
    expect_eq(fake.forced, 0);
    close_rest();

    open_all();
    background_start(&sending, tag_send());
    background_start(&closing, rill_rdma_ep_close(&ep));
    settle();
    rill_task_cancel(&closing.task);
    expect_eq(background_end(&closing), -ECANCELED);
    expect_eq(background_end(&sending), -ESHUTDOWN);
    expect_eq(fake.forced, 1);
    close_rest();
}
END_TEST

START_TEST(closing_that_can_not_flush_forces)
{
    for (int is_late = 0; is_late < 2; is_late++) {
        open_all();
        fake.failing = is_late ? NULL : "ep_flush_nbx";
        fake.status = UCS_ERR_CONNECTION_RESET;
        fake.flush_status = UCS_ERR_CONNECTION_RESET;
        background_start(&sending, tag_send());
        settle();
        expect_eq(await(rill_rdma_ep_close(&ep)), -ECONNRESET);
        expect_eq(background_end(&sending), -ECONNRESET);
        expect_eq(fake.forced, 1);
        close_rest();
    }
}
END_TEST

START_TEST(a_peer_that_dies_while_it_is_closed_is_told)
{
    open_all();
    fake.flush_is_mute = true;
    background_start(&sending, tag_send());
    background_start(&closing, rill_rdma_ep_close(&ep));
    settle();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(background_end(&sending), -ECONNRESET);
    expect_eq(background_end(&closing), -ECONNRESET);
    expect_eq(fake.forced, 1);
    close_rest();
}
END_TEST

START_TEST(closing_that_is_cancelled_is_over_in_bounded_time_wherever_it_is)
{
    for (int where = 0; where < 4; where++) {
        int64_t began_ns;

        open_all();
        fake.flush_is_mute = where == 1;
        fake.close_is_mute = where >= 2;
        background_start(&sending, tag_send());
        settle();
        background_start(&closing, rill_rdma_ep_close(&ep));
        if (where >= 2)
            fake_complete(fake_request(0), UCS_OK, 0);
        if (where > 0)
            settle();
        began_ns = sim_now(fixture.sim);
        rill_task_cancel(&closing.task);
        expect_eq(background_end(&closing), where < 2 ? -ECANCELED : 0);
        ck_assert_int_le(elapsed_since(began_ns),
                         RILL_RDMA_DRAIN_NS + 2 * RILL_EVENT_SOURCE_SLEEP_MAX_NS);
        expect_eq(background_end(&sending), where < 2 ? -ESHUTDOWN : SIZE);
        expect_eq(fake.forced, where < 2);
        close_rest();
    }
}
END_TEST

START_TEST(aborting_does_not_wait_for_sends)
{
    open_all();
    background_start(&sending, tag_send());
    settle();
    expect_eq(await(rill_rdma_ep_abort(&ep)), 0);
    expect_eq(background_end(&sending), -ESHUTDOWN);
    expect_eq(fake.forced, 1);
    close_rest();
}
END_TEST

/* UCX may have given its endpoint back, or be about to. */
START_TEST(an_endpoint_that_is_about_to_end_is_not_asked_anything)
{
    for (int is_forced = 0; is_forced < 2; is_forced++) {
        char text[64];

        open_all();
        expect_eq(rill_rdma_ep_addresses(&ep, NULL, NULL), 0);
        fake.close_is_mute = true;
        background_start(&closing, is_forced ? rill_rdma_ep_abort(&ep) : rill_rdma_ep_close(&ep));
        for (int i = 0; i < 5; i++)
            fixture_turn();
        expect(ep.state == (is_forced ? RILL_RDMA_EP_CUT : RILL_RDMA_EP_CLOSING));
        expect_eq(rill_rdma_ep_addresses(&ep, NULL, NULL), -ENOTCONN);
        expect_eq(rill_rdma_ep_describe(&ep, text, sizeof text), -ENOTCONN);
        rill_task_cancel(&closing.task);
        background_end(&closing);
        close_rest();
    }
}
END_TEST

START_TEST(an_endpoint_names_each_of_its_transports_once)
{
    static const struct {
        const char *lanes, *text;
        size_t size;
    } cases[] = {
        {"", "", 64},
        {"#  lane[0]:  1:tcp/eth10.0 md[1]\n#  lane[1]:  2:tcp/eth1.0 md[1]\n",
         "tcp/eth10, tcp/eth1", 64},
        {"#  lane[0]:  1:tcp/eth1.0 md[1]\n#  lane[1]:  2:tcp/eth10.0 md[1]\n",
         "tcp/eth1, tcp/eth10", 64},
        {"# lane[0]: 1:xrc_verbs/a:1.0 md\n# lane[1]: 2:rc_verbs/a:1.0 md\n",
         "xrc_verbs/a:1, rc_verbs/a:1", 64},
        {"# lane[0]: 1:tcp/a.0 md\n# lane[1]: 2:tcp/b.0 md\n# lane[2]: 1:tcp/a.0 md\n",
         "tcp/a, tcp/b", 64},
        {"# lane[0]: 1:tcp/a.0 md\n# lane[1]: 2:tcp/b.0 md\n", "tcp/a, ", 8},
        {"# lane[0]: 1:tcp/a.0 md\n", "", 1},
        {"# lane[0]", "", 64},
        {"# lane[", "", 64},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = malloc(cases[i].size); /* of just that size: nothing is written behind it */

        open_all();
        fake.lanes = cases[i].lanes;
        expect_eq(rill_rdma_ep_describe(&ep, text, cases[i].size), 0);
        ck_assert_str_eq(text, cases[i].text);
        free(text);
        close_all();
    }
}
END_TEST

START_TEST(aborting_in_a_cancelled_task_is_aborting)
{
    open_all();
    background_start(&closing, rill_rdma_ep_abort(&ep));
    rill_task_cancel(&closing.task);
    expect_eq(background_end(&closing), 0);
    close_rest();
}
END_TEST

/* Bytes of the stream may come for an endpoint that UCX was told to close, and did not let go of
 * in time. UCX tells of it as long as it lives. */
static ucp_stream_poll_ep_t closed_one;

static ssize_t tell_of_closed_one(ucp_worker_h worker, ucp_stream_poll_ep_t *eps, size_t max,
                                  unsigned flags)
{
    (void)worker;
    (void)max;
    (void)flags;
    *eps = closed_one;
    return closed_one.ep != NULL;
}

static ucs_status_ptr_t no_bytes(ucp_ep_h of, size_t *size)
{
    (void)of;
    *size = 0;
    return NULL;
}

START_TEST(nothing_is_told_to_an_endpoint_that_UCX_did_not_let_go_of)
{
    static struct rill_rdma_ep other;
    struct rill_ucx table;

    open_all();
    table = fake_ucx;
    table.stream_worker_poll = tell_of_closed_one;
    table.stream_recv_data_nb = no_bytes;
    rdma.ucx = &table;
    expect_eq(rill_rdma_ep_open(&other, &rdma, "address"), 0);
    background_start(&receiving, rill_rdma_stream_recv(&ep, &recv_op, received, SIZE));
    closed_one = (ucp_stream_poll_ep_t){.ep = other.ucp, .user_data = &other};
    fake.close_is_mute = true;
    await(rill_rdma_ep_abort(&other));
    memset(&other, 0xff, sizeof other); /* nobody looks at it any more */
    settle();
    closed_one.ep = NULL;
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    fake.close_is_mute = false;
    await(rill_rdma_ep_abort(&ep));
    rdma.ucx = &fake_ucx;
    memset(&other, 0, sizeof other);
    close_rest();
}
END_TEST

/* It came together with the failure, and is there. */
START_TEST(data_that_came_with_a_message_are_there_though_its_endpoint_has_failed)
{
    static struct rill_rdma_inbox inbox;
    static struct rill_rdma_am message;

    open_all();
    expect_eq(rill_rdma_inbox_open(&inbox, &rdma, 3), 0);
    pattern_fill(sent, 0, SIZE);
    fake_bring(3, "header", 7, sent, SIZE, 0, false, NULL);
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(await(rill_rdma_am_recv(&inbox, &message)), SIZE);
    expect(message.ep == &ep && ep.error == -ECONNRESET);
    expect_eq(await(rill_rdma_am_fetch(&message, &recv_op, received)), SIZE);
    expect(pattern_is(received, 0, SIZE));
    rill_rdma_am_release(&message);
    rill_rdma_inbox_close(&inbox);
    close_all();
}
END_TEST

/* ---- opening ---- */

/* A connection closes its endpoint by itself, whenever the peer goes. */
START_TEST(what_begins_when_the_endpoint_was_closed_ends_with_the_reason)
{
    open_all();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    await(rill_rdma_ep_close(&ep));
    expect_eq(await(tag_send()), -ECONNRESET);
    expect_eq(await(tag_recv_from()), -ECONNRESET);
    close_rest();
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
        expect_eq(open_rdma(), -EAGAIN);
        expect(strlen(rdma.why.text) > 0);
        expect_eq(fake.contexts + fake.workers + fake.configs, 0);
        rill_rdma_close(&rdma);
        fixture_close();
    }
    open_all();
    close_all();
    open_all();
    fake.failing = "ep_create";
    fake.status = UCS_ERR_UNREACHABLE;
    struct rill_rdma_ep other = {0};

    expect_eq(rill_rdma_ep_open(&other, &rdma, "address"), -EHOSTUNREACH);
    expect_eq(await(rill_rdma_ep_close(&other)), 0);
    close_all();
}
END_TEST

/* The endpoint of a connection that is made anew is opened again by itself, which may fail, while
 * its user knows nothing of that and goes on. */
START_TEST(an_endpoint_that_could_not_be_opened_ends_its_operations_with_the_reason)
{
    struct rill_rdma_ep other = {0};
    struct rill_rdma_remote there = {0};
    struct rill_rdma_op used = {0};

    open_all();
    expect_eq(rill_rdma_ep_open(&other, &rdma, "address"), 0);
    expect_eq(await(rill_rdma_ep_abort(&other)), 0);
    fake.failing = "ep_create";
    fake.status = UCS_ERR_UNREACHABLE;
    expect_eq(rill_rdma_ep_open(&other, &rdma, "address"), -EHOSTUNREACH);
    fake.failing = NULL;
    expect_eq(await(rill_rdma_tag_send(&other, &used, "hello", 5, 1)), -EHOSTUNREACH);
    expect_eq(await(rill_rdma_ep_flush(&other, &used)), -EHOSTUNREACH);
    expect_eq(rill_rdma_remote_open(&there, &other, 0, "key", 4), -EHOSTUNREACH);
    expect_eq(await(rill_rdma_ep_close(&other)), 0);
    expect_eq(rill_rdma_ep_open(&other, &rdma, "address"), 0);
    expect_eq(other.error, 0);
    expect_eq(await(rill_rdma_ep_abort(&other)), 0);
    close_all();
}
END_TEST

/* ---- accepting ---- */

static struct rill_rdma_listener listener;
static struct rill_rdma_accept accept_op, second_accept, third_accept;
static const struct rill_address nowhere = {.ip4.sin_family = AF_INET, .size = sizeof nowhere.ip4};

START_TEST(connection_requests_wait_for_accepts_and_accepts_for_requests)
{
    static struct background accepting, second;
    struct rill_rdma_ep accepted = {0};

    open_all();
    expect_eq(rill_rdma_listen(&listener, &rdma, &nowhere), 0);
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
    close_all();
}
END_TEST

/* Ports of a device for RDMA are others than those of TCP. */
START_TEST(a_socket_of_somebody_else_at_the_address_of_a_listener_is_left_alone)
{
    const struct timeval patience = {.tv_sec = 1};
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int theirs = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);

    open_all();
    ck_assert_int_eq(bind(theirs, (void *)&here, size), 0);
    ck_assert_int_eq(listen(theirs, 8), 0);
    ck_assert_int_eq(getsockname(theirs, (void *)&here, &size), 0);
    memcpy(&fake.listening_at, &here, sizeof here);
    expect_eq(rill_rdma_listen(&listener, &rdma, &nowhere), 0);
    rill_rdma_listener_close(&listener);
    ck_assert_int_eq(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience), 0);
    ck_assert_int_eq(connect(client, (void *)&here, size), 0);
    close(client);
    close(theirs);
    close_all();
}
END_TEST

START_TEST(requests_beyond_the_limit_are_rejected_and_counted)
{
    open_all();
    expect_eq(rill_rdma_listen(&listener, &rdma, &nowhere), 0);
    for (int i = 0; i < RILL_RDMA_LISTENER_HELD_MAX + 5; i++)
        fake_connect();
    settle();
    expect_eq(listener.rejected, 5);
    for (int i = 0; i < RILL_RDMA_LISTENER_HELD_MAX; i++) {
        expect_eq(await(rill_rdma_accept(&listener, &accept_op)), 0);
        rill_rdma_reject(&accept_op);
    }
    expect_eq(fake.rejected, RILL_RDMA_LISTENER_HELD_MAX + 5);
    rill_rdma_listener_close(&listener);
    close_all();
}
END_TEST

START_TEST(a_listener_that_is_not_open_has_no_address)
{
    static struct rill_rdma_listener never;
    struct rill_address address;

    open_all();
    expect_eq(rill_rdma_listener_address(&never, &address), -EBADF);
    expect_eq(rill_rdma_listen(&listener, &rdma, &nowhere), 0);
    expect_eq(rill_rdma_listener_address(&listener, &address), 0);
    rill_rdma_listener_close(&listener);
    expect_eq(rill_rdma_listener_address(&listener, &address), -EBADF);
    fake.failing = "listener_create";
    fake.status = UCS_ERR_BUSY;
    expect_eq(rill_rdma_listen(&listener, &rdma, &nowhere), -EBUSY);
    expect_eq(rill_rdma_listener_address(&listener, &address), -EBADF);
    fake.failing = NULL;
    close_all();
}
END_TEST

/* ---- everything at once ---- */

static uint64_t randoms;

static unsigned choose(unsigned bound)
{
    randoms = randoms * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(randoms >> 33) % bound;
}

enum { TASKS = 12, ROUNDS = 300 };

/* Posts, answers, cancels, fails and closes in any order; then everything has to end, and
 * nothing may be left or touched. */
START_TEST(whatever_happens_in_whatever_order_everything_ends)
{
    static struct rill_rdma_op ops[TASKS];
    static struct background tasks[TASKS];
    static char buffers[TASKS][SIZE];
    uint64_t seed, count;

    fixture_seeds(300, &seed, &count);
    for (; count > 0; seed++, count--) {
        bool is_closing = false;

        fixture.seed = seed;
        fixture.seeded = true;
        randoms = seed;
        memset(tasks, 0, sizeof tasks);
        memset(ops, 0, sizeof ops);
        open_all();
        fake.force_is_mute = choose(8) == 0;
        fake.close_is_mute = choose(8) == 0;
        fake.flush_is_mute = choose(8) == 0;
        for (int round = 0; round < ROUNDS; round++) {
            unsigned i = choose(TASKS);
            bool is_idle = !tasks[i].future || rill_task_is_over(&tasks[i].task);

            fixture.step = round;
            fake.mode = (enum fake_mode)(choose(4) ? FAKE_LATER : choose(3));
            fake.status = UCS_ERR_NO_RESOURCE;
            fake.cancel_is_late = choose(3) == 0;
            switch (choose(is_closing ? 5 : 60)) {
            case 0:
            case 1:
            case 2:
                if (!is_idle)
                    rill_task_cancel(&tasks[i].task);
                break;
            case 3:
                if (!is_idle && fake_in_flight() > 0 && ops[i].request)
                    fake_complete(ops[i].request, choose(5) ? UCS_OK : UCS_ERR_IO_ERROR,
                                  choose(SIZE));
                break;
            case 4:
                fake.arm_is_busy = choose(10) == 0;
                fixture_turn();
                break;
            case 5:
                if (choose(20) == 0)
                    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
                break;
            case 6:
                if (choose(20) == 0) {
                    background_start(&closing,
                                     choose(2) ? rill_rdma_ep_close(&ep) : rill_rdma_ep_abort(&ep));
                    is_closing = true;
                }
                break;
            default:
                if (is_idle && choose(2))
                    background_start(
                        &tasks[i],
                        choose(2) ? rill_rdma_tag_send(&ep, &ops[i], buffers[i], SIZE, 1)
                                  : rill_rdma_tag_recv_from(&ep, &ops[i], buffers[i], SIZE, 1, 0));
                else if (choose(3) == 0)
                    fixture_turn();
                break;
            }
        }
        fake.arm_is_busy = false;
        if (!is_closing)
            background_start(&closing, rill_rdma_ep_close(&ep));
        rill_task_cancel(&closing.task);
        background_end(&closing);
        for (int i = 0; i < TASKS; i++)
            if (tasks[i].future)
                background_end(&tasks[i]);
        close_rest();
    }
    fixture.seeded = false;
}
END_TEST

/* ---- bad use ---- */

static void use_twice(void)
{
    open_all();
    background_start(&sending, tag_send());
    settle();
    tag_send();
}

static void await_what_is_over(void)
{
    open_all();
    fake.mode = FAKE_AT_ONCE;
    await(tag_send());
    await(&send_op.future);
}

static void use_an_endpoint_that_was_never_open(void)
{
    struct rill_rdma_ep never = {.rdma = &rdma};

    open_all();
    await(rill_rdma_tag_send(&never, &send_op, sent, SIZE, 1));
}

static void open_twice(void)
{
    open_all();
    rill_rdma_ep_open(&ep, &rdma, "address");
}

static enum rill_poll leaver_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_future *future = tag_send();

    (void)self;
    future->poll(future, task);
    return RILL_READY;
}

static void leave_it_in_flight(void)
{
    static struct rill_task task;

    open_all();
    rill_task_spawn(&task, leaver_poll);
    settle();
}

/* It would go on to ask a worker that is gone. */
static void close_while_a_task_waits(void)
{
    static struct rill_rdma_inbox inbox;
    static struct rill_rdma_am message;

    open_all();
    expect_eq(rill_rdma_inbox_open(&inbox, &rdma, 3), 0);
    background_start(&receiving, rill_rdma_am_recv(&inbox, &message));
    settle();
    await(rill_rdma_ep_abort(&ep));
    rill_rdma_close(&rdma);
}

static void adopt_too_late(void)
{
    static struct rill_rdma_ep adopted;

    open_all();
    expect_eq(rill_rdma_listen(&listener, &rdma, &nowhere), 0);
    fake_connect();
    expect_eq(await(rill_rdma_accept(&listener, &accept_op)), 0);
    rill_rdma_listener_close(&listener);
    rill_rdma_ep_adopt(&adopted, &accept_op);
}

/* The rdma as it is here: zeroed. */
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

    open_all();
    await(rill_rdma_ep_abort(&ep));
    rill_rdma_close(&rdma);
    rill_rdma_memory_register(&memory, &rdma, sent, SIZE);
}

START_TEST(bad_use_is_a_panic)
{
    fixture_expect_panic(close_while_a_task_waits, "rdma was closed while 1 tasks wait");
    fixture_expect_panic(adopt_too_late, "whose listener was closed");
    fixture_expect_panic(listen_without_rdma, "of an rdma that is not open");
    fixture_expect_panic(open_an_inbox_without_rdma, "of an rdma that is not open");
    fixture_expect_panic(open_a_service_without_rdma, "of an rdma that is not open");
    fixture_expect_panic(register_memory_without_rdma, "of an rdma that is not open");
    fixture_expect_panic(use_twice, "(send a tagged message) is used while it is in flight");
    fixture_expect_panic(await_what_is_over, "was awaited that is over or was never prepared");
    fixture_expect_panic(use_an_endpoint_that_was_never_open, "its endpoint is not open");
    fixture_expect_panic(open_twice, "an endpoint was opened that is open already");
    fixture_expect_panic(leave_it_in_flight, "a task ended with 1 of its operations in flight");
}
END_TEST

START_TEST(a_worker_that_is_not_open_has_no_address_and_no_messages)
{
    static struct rill_rdma never;
    size_t size = 1;

    expect(!rill_rdma_address(&never, &size));
    expect_eq(size, 0);
    expect(!rill_rdma_tag_probe(&never, 1, RILL_RDMA_TAG_ANY, NULL, NULL));
    open_all();
    expect(rill_rdma_address(&rdma, &size));
    close_all();
    expect(!rill_rdma_address(&rdma, &size));
    expect_eq(size, 0);
    expect(!rill_rdma_tag_probe(&rdma, 1, RILL_RDMA_TAG_ANY, NULL, NULL));
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {an_operation_that_is_over_at_once_takes_one_poll, IN_SIMULATED},
        {an_operation_that_is_over_later_takes_two_polls, IN_SIMULATED},
        {a_call_or_a_callback_that_fails_is_the_errno_of_its_status, IN_SIMULATED},
        {operations_end_in_whatever_order_they_are_answered, IN_SIMULATED},
        {an_operation_that_is_posted_while_UCX_sleeps_is_looked_at_without_an_event, IN_SIMULATED},
        {a_task_whose_operations_are_always_over_at_once_lets_others_run, IN_SIMULATED},
        {a_spurious_poll_posts_nothing_twice, IN_SIMULATED},
        {an_operation_wakes_the_task_that_polled_it_last, IN_SIMULATED},
        {a_cancelled_receive_ends_within_the_cancel, IN_SIMULATED},
        {a_cancelled_receive_that_was_matched_gives_its_message, IN_SIMULATED},
        {a_receive_that_is_answered_and_cancelled_at_once_gives_its_message, IN_SIMULATED},
        {a_cancelled_send_waits_until_UCX_lets_go, IN_SIMULATED},
        {a_timeout_ends_a_receive_and_is_late_for_a_send, IN_SIMULATED},
        {a_task_that_progress_has_woken_without_counting_it_goes_on_at_once, IN_SIMULATED},
        {a_failed_endpoint_ends_everything_on_it_and_nothing_else, IN_SIMULATED},
        {what_arrives_with_the_failure_or_right_after_it_is_still_delivered, IN_SIMULATED},
        {who_was_cancelled_is_told_so_though_the_endpoint_fails, IN_SIMULATED},
        {a_cancelled_send_that_UCX_had_is_told_of_the_end_of_its_endpoint, IN_SIMULATED},
        {what_UCX_never_lets_go_of_is_over_after_a_second_and_kept_from_it, IN_SIMULATED},
        {closing_flushes_and_ends_receives, IN_SIMULATED},
        {closing_waits_for_sends_that_the_flush_did_not_wait_for, IN_SIMULATED},
        {closing_that_can_not_flush_forces, IN_SIMULATED},
        {a_peer_that_dies_while_it_is_closed_is_told, IN_SIMULATED},
        {closing_that_is_cancelled_is_over_in_bounded_time_wherever_it_is, IN_SIMULATED},
        {aborting_does_not_wait_for_sends, IN_SIMULATED},
        {nothing_is_told_to_an_endpoint_that_UCX_did_not_let_go_of, IN_SIMULATED},
        {an_endpoint_names_each_of_its_transports_once, IN_SIMULATED},
        {aborting_in_a_cancelled_task_is_aborting, IN_SIMULATED},
        {data_that_came_with_a_message_are_there_though_its_endpoint_has_failed, IN_SIMULATED},
        {an_endpoint_that_is_about_to_end_is_not_asked_anything, IN_SIMULATED},
        {what_begins_when_the_endpoint_was_closed_ends_with_the_reason, IN_SIMULATED},
        {every_call_of_opening_can_fail_and_leaves_nothing, IN_SIMULATED},
        {an_endpoint_that_could_not_be_opened_ends_its_operations_with_the_reason, IN_SIMULATED},
        {connection_requests_wait_for_accepts_and_accepts_for_requests, IN_SIMULATED},
        {a_socket_of_somebody_else_at_the_address_of_a_listener_is_left_alone, IN_SIMULATED},
        {requests_beyond_the_limit_are_rejected_and_counted, IN_SIMULATED},
        {a_listener_that_is_not_open_has_no_address, IN_SIMULATED},
        {whatever_happens_in_whatever_order_everything_ends, IN_SIMULATED},
        {bad_use_is_a_panic, IN_SIMULATED},
        {a_worker_that_is_not_open_has_no_address_and_no_messages, IN_SIMULATED},
    };

    return fixture_main("rdma op", cases, sizeof cases / sizeof *cases);
}
