/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_endpoint_end.c - how an endpoint ends: it fails, is closed or aborted, while UCX tells
 * of it late or never. */
#include "rdma/active_message.h"
#include "rdma/endpoint_info.h"
#include "rdma/stream.h"
#include "rdma/tag.h"
#include "runtime/sleep.h"
#include "tests/rdma/lone.h"

#include <errno.h>
#include <string.h>

static int64_t elapsed_since(int64_t began_ns)
{
    return sim_now(fixture.sim) - began_ns;
}

/* ---- the end of an endpoint ---- */

START_TEST(a_failed_endpoint_ends_everything_on_it_and_nothing_else)
{
    static struct rill_rdma_op other_op;
    static struct background other;

    lone_open();
    background_start(&lone.sending, lone_send());
    background_start(&lone.receiving, lone_recv_from());
    background_start(&other, rill_rdma_tag_recv(&lone.rdma, &other_op, lone.sent, LONE_SIZE, 1, 0));
    settle();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(background_end(&lone.sending), -ECONNRESET);
    expect_eq(background_end(&lone.receiving), -ECONNRESET);
    expect_eq(lone.ep.error, -ECONNRESET);
    expect_eq(fake.forced, 1);
    expect_eq(lone.rdma.stats.endpoints_failed, 1);
    expect_eq(await(lone_send()), -ECONNRESET);
    expect_eq(await(lone_recv_from()), -ECONNRESET);
    expect_eq(fake.posted, 3);
    expect(!rill_task_is_over(&other.task));
    rill_task_cancel(&other.task);
    expect_eq(background_end(&other), -ECANCELED);
    expect_eq(await(rill_rdma_ep_close(&lone.ep)), -ECONNRESET);
    lone_close_rest();
}
END_TEST

START_TEST(an_endpoint_fails_once_and_for_the_first_reason)
{
    lone_open();
    fake.force_is_mute = true;
    background_start(&lone.sending, lone_send());
    settle();
    rill_rdma_ep_fail(&lone.ep, -ECONNRESET);
    rill_rdma_ep_fail(&lone.ep, -ETIMEDOUT);
    settle();
    expect(lone.ep.state == RILL_RDMA_EP_CUT);
    rill_rdma_ep_fail(&lone.ep, -ETIMEDOUT);
    expect_eq(background_end(&lone.sending), -ECONNRESET);
    rill_rdma_ep_fail(&lone.ep, -ETIMEDOUT);
    expect_eq(await(rill_rdma_ep_close(&lone.ep)), -ECONNRESET);
    rill_rdma_ep_fail(&lone.ep, -ETIMEDOUT);
    expect_eq(lone.ep.error, -ECONNRESET);
    expect_eq(lone.rdma.stats.endpoints_failed, 1);
    expect_eq(fake.forced, 1);
    lone_close_rest();
}
END_TEST

START_TEST(what_arrives_with_the_failure_or_right_after_it_is_still_delivered)
{
    for (unsigned delay = 0; delay < 3; delay++) {
        lone_open();
        background_start(&lone.receiving, lone_recv_from());
        settle();
        fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
        fake.delay = delay;
        fake_complete(fake_request(0), UCS_OK, LONE_SIZE);
        expect_eq(background_end(&lone.receiving), delay < 2 ? LONE_SIZE : -ECONNRESET);
        lone_close();
    }
}
END_TEST

START_TEST(who_was_cancelled_is_told_so_though_the_endpoint_fails)
{
    lone_open();
    fake.cancel_is_late = true;
    background_start(&lone.receiving, lone_recv_from());
    settle();
    rill_task_cancel(&lone.receiving.task);
    settle();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    settle();
    fake_complete(fake_request(0), UCS_ERR_CANCELED, 0);
    expect_eq(background_end(&lone.receiving), -ECANCELED);
    lone_close();
}
END_TEST

/* -ECANCELED would say that nothing was sent. */
START_TEST(a_cancelled_send_that_UCX_had_is_told_of_the_end_of_its_endpoint)
{
    for (int is_lost = 0; is_lost < 2; is_lost++) {
        lone_open();
        background_start(&lone.sending, lone_send());
        settle();
        rill_task_cancel(&lone.sending.task);
        settle();
        if (is_lost)
            fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
        else
            await(rill_rdma_ep_abort(&lone.ep));
        expect_eq(background_end(&lone.sending), is_lost ? -ECONNRESET : -ESHUTDOWN);
        lone_close();
    }
}
END_TEST

START_TEST(what_UCX_never_lets_go_of_is_over_after_a_second_and_kept_from_it)
{
    int64_t began_ns;

    lone_open();
    fake.force_is_mute = true;
    fake.cancel_is_late = true;
    background_start(&lone.sending, lone_send());
    background_start(&lone.receiving, lone_recv_from());
    settle();
    began_ns = sim_now(fixture.sim);
    fake_fail_endpoint(0, UCS_ERR_ENDPOINT_TIMEOUT);
    expect_eq(background_end(&lone.sending), -ETIMEDOUT);
    expect_eq(background_end(&lone.receiving), -ETIMEDOUT);
    ck_assert_int_ge(elapsed_since(began_ns), RILL_RDMA_DRAIN_NS);
    ck_assert_int_le(elapsed_since(began_ns),
                     RILL_RDMA_DRAIN_NS + 2 * RILL_EVENT_SOURCE_SLEEP_MAX_NS);
    expect_eq(lone.rdma.stats.abandoned, 2);
    memset(&lone.send_op, 0xff, sizeof lone.send_op); /* nobody looks at these any more */
    memset(&lone.recv_op, 0xff, sizeof lone.recv_op);
    fake_complete(fake_request(0), UCS_OK, 0);
    settle();
    expect_eq(await(rill_rdma_ep_close(&lone.ep)), -ETIMEDOUT);
    memset(&lone.send_op, 0, sizeof lone.send_op);
    memset(&lone.recv_op, 0, sizeof lone.recv_op);
    lone_close_rest();
}
END_TEST

/* ---- closing ---- */

START_TEST(closing_flushes_and_ends_receives)
{
    lone_open();
    background_start(&lone.sending, lone_send());
    background_start(&lone.receiving, lone_recv_from());
    settle();
    background_start(&lone.closing, rill_rdma_ep_close(&lone.ep));
    expect_eq(background_end(&lone.receiving), -ESHUTDOWN);
    expect_eq(await(lone_recv_from()), -ESHUTDOWN);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    expect_eq(background_end(&lone.closing), 0);
    expect_eq(fake.forced, 0);
    expect_eq(await(rill_rdma_ep_close(&lone.ep)), 0);
    expect_eq(await(rill_rdma_ep_abort(&lone.ep)), 0);
    expect_eq(rill_rdma_ep_open(&lone.ep, &lone.rdma, "address"), 0);
    lone_close();
}
END_TEST

/* A flush of UCX does not wait for a rendezvous that the other side has not taken up. */
START_TEST(closing_waits_for_sends_that_the_flush_did_not_wait_for)
{
    lone_open();
    background_start(&lone.sending, lone_send());
    background_start(&lone.closing, rill_rdma_ep_close(&lone.ep));
    settle();
    expect_eq(fake.eps, 1);
    expect(!rill_task_is_over(&lone.closing.task));
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    expect_eq(background_end(&lone.closing), 0);
    expect_eq(fake.forced, 0);
    lone_close_rest();

    lone_open();
    background_start(&lone.sending, lone_send());
    background_start(&lone.closing, rill_rdma_ep_close(&lone.ep));
    settle();
    rill_task_cancel(&lone.closing.task);
    expect_eq(background_end(&lone.closing), -ECANCELED);
    expect_eq(background_end(&lone.sending), -ESHUTDOWN);
    expect_eq(fake.forced, 1);
    lone_close_rest();
}
END_TEST

START_TEST(closing_that_can_not_flush_forces)
{
    for (int is_late = 0; is_late < 2; is_late++) {
        lone_open();
        fake.failing = is_late ? NULL : "ep_flush_nbx";
        fake.status = UCS_ERR_CONNECTION_RESET;
        fake.flush_status = UCS_ERR_CONNECTION_RESET;
        background_start(&lone.sending, lone_send());
        settle();
        expect_eq(await(rill_rdma_ep_close(&lone.ep)), -ECONNRESET);
        expect_eq(background_end(&lone.sending), -ECONNRESET);
        expect_eq(fake.forced, 1);
        lone_close_rest();
    }
}
END_TEST

/* UCX cancels the flush by itself, and reports the endpoint only afterwards. */
START_TEST(closing_that_nobody_cancelled_does_not_say_so_where_the_peer_closes_too)
{
    lone_open();
    fake.flush_status = UCS_ERR_CANCELED;
    background_start(&lone.sending, lone_send());
    settle();
    expect_eq(await(rill_rdma_ep_close(&lone.ep)), -ECONNRESET);
    expect_eq(background_end(&lone.sending), -ECONNRESET);
    expect_eq(fake.forced, 1);
    lone_close_rest();
}
END_TEST

START_TEST(a_flush_that_nobody_cancelled_does_not_say_so_where_the_peer_closes)
{
    lone_open();
    fake.flush_status = UCS_ERR_CANCELED;
    expect_eq(await(rill_rdma_ep_flush(&lone.ep, &lone.send_op)), -ECONNRESET);
    fake.flush_status = UCS_OK;
    expect_eq(await(rill_rdma_ep_flush(&lone.ep, &lone.send_op)), 0);
    lone_close();
}
END_TEST

START_TEST(a_peer_that_dies_while_it_is_closed_is_told)
{
    lone_open();
    fake.flush_is_mute = true;
    background_start(&lone.sending, lone_send());
    background_start(&lone.closing, rill_rdma_ep_close(&lone.ep));
    settle();
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(background_end(&lone.sending), -ECONNRESET);
    expect_eq(background_end(&lone.closing), -ECONNRESET);
    expect_eq(fake.forced, 1);
    lone_close_rest();
}
END_TEST

START_TEST(closing_that_is_cancelled_is_over_in_bounded_time_wherever_it_is)
{
    for (int where = 0; where < 4; where++) {
        int64_t began_ns;

        lone_open();
        fake.flush_is_mute = where == 1;
        fake.close_is_mute = where >= 2;
        background_start(&lone.sending, lone_send());
        settle();
        background_start(&lone.closing, rill_rdma_ep_close(&lone.ep));
        if (where >= 2)
            fake_complete(fake_request(0), UCS_OK, 0);
        if (where > 0)
            settle();
        began_ns = sim_now(fixture.sim);
        rill_task_cancel(&lone.closing.task);
        expect_eq(background_end(&lone.closing), where < 2 ? -ECANCELED : 0);
        ck_assert_int_le(elapsed_since(began_ns),
                         RILL_RDMA_DRAIN_NS + 2 * RILL_EVENT_SOURCE_SLEEP_MAX_NS);
        expect_eq(background_end(&lone.sending), where < 2 ? -ESHUTDOWN : LONE_SIZE);
        expect_eq(fake.forced, where < 2);
        lone_close_rest();
    }
}
END_TEST

/* Only a task that is cancelled limits it: neither polls for no reason nor a send of a program that
 * ends do, which closing waits for. */
START_TEST(closing_waits_as_long_as_ucx_takes_where_it_is_not_cancelled)
{
    static struct rill_sleep pause;

    lone_open();
    fake.close_is_mute = true;
    background_start(&lone.sending, lone_send());
    settle();
    rill_task_cancel_because(&lone.sending.task, RILL_SHUTTING_DOWN);
    settle();
    background_start(&lone.closing, rill_rdma_ep_close(&lone.ep));
    await(rill_sleep(&pause, 2 * RILL_RDMA_LAST_OPS_NS));
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    for (int i = 0; i < 3; i++) {
        rill_task_wake(&lone.closing.task);
        await(rill_sleep(&pause, 2 * RILL_RDMA_DRAIN_NS));
        expect(!rill_task_is_over(&lone.closing.task));
    }
    rill_task_cancel(&lone.closing.task);
    expect_eq(background_end(&lone.closing), 0);
    lone_close_rest();
}
END_TEST

START_TEST(each_send_has_its_time_as_the_program_ends_and_no_more)
{
    static struct rill_sleep pause;
    int64_t began_ns;

    lone_open();
    for (int is_held_up = 0; is_held_up < 2; is_held_up++) {
        background_start(&lone.sending, lone_send());
        settle();
        rill_task_cancel_because(&lone.sending.task, RILL_SHUTTING_DOWN);
        began_ns = sim_now(fixture.sim);
        await(rill_sleep(&pause, RILL_RDMA_LAST_OPS_NS / 2));
        expect(!rill_task_is_over(&lone.sending.task));
        if (!is_held_up) {
            fake_complete(fake_request(0), UCS_OK, 0);
            expect_eq(background_end(&lone.sending), LONE_SIZE);
            await(rill_sleep(&pause, 2 * RILL_RDMA_LAST_OPS_NS));
            expect_eq(lone.ep.error, 0);
        }
    }
    expect_eq(background_end(&lone.sending), -ECANCELED);
    ck_assert_int_ge(elapsed_since(began_ns), RILL_RDMA_LAST_OPS_NS);
    ck_assert_int_le(elapsed_since(began_ns),
                     RILL_RDMA_LAST_OPS_NS + 2 * RILL_EVENT_SOURCE_SLEEP_MAX_NS);
    expect_eq(await(rill_rdma_ep_close(&lone.ep)), -ECANCELED);
    lone_close_rest();
}
END_TEST

START_TEST(aborting_does_not_wait_for_sends)
{
    lone_open();
    background_start(&lone.sending, lone_send());
    settle();
    expect_eq(await(rill_rdma_ep_abort(&lone.ep)), 0);
    expect_eq(background_end(&lone.sending), -ESHUTDOWN);
    expect_eq(fake.forced, 1);
    lone_close_rest();
}
END_TEST

/* UCX may have given its endpoint back, or be about to. */
START_TEST(an_endpoint_that_is_about_to_end_is_not_asked_anything)
{
    for (int is_forced = 0; is_forced < 2; is_forced++) {
        char text[64];

        lone_open();
        expect_eq(rill_rdma_ep_addresses(&lone.ep, NULL, NULL), 0);
        fake.close_is_mute = true;
        background_start(&lone.closing,
                         is_forced ? rill_rdma_ep_abort(&lone.ep) : rill_rdma_ep_close(&lone.ep));
        for (int i = 0; i < 5; i++)
            fixture_turn();
        expect(lone.ep.state == (is_forced ? RILL_RDMA_EP_CUT : RILL_RDMA_EP_CLOSING));
        expect_eq(rill_rdma_ep_addresses(&lone.ep, NULL, NULL), -ENOTCONN);
        expect_eq(rill_rdma_ep_describe(&lone.ep, text, sizeof text), -ENOTCONN);
        rill_task_cancel(&lone.closing.task);
        background_end(&lone.closing);
        lone_close_rest();
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

        lone_open();
        fake.lanes = cases[i].lanes;
        expect_eq(rill_rdma_ep_describe(&lone.ep, text, cases[i].size), 0);
        ck_assert_str_eq(text, cases[i].text);
        free(text);
        lone_close();
    }
}
END_TEST

START_TEST(aborting_in_a_cancelled_task_is_aborting)
{
    lone_open();
    background_start(&lone.closing, rill_rdma_ep_abort(&lone.ep));
    rill_task_cancel(&lone.closing.task);
    expect_eq(background_end(&lone.closing), 0);
    lone_close_rest();
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

    lone_open();
    table = fake_ucx;
    table.stream_worker_poll = tell_of_closed_one;
    table.stream_recv_data_nb = no_bytes;
    lone.rdma.ucx = &table;
    expect_eq(rill_rdma_ep_open(&other, &lone.rdma, "address"), 0);
    background_start(&lone.receiving,
                     rill_rdma_stream_recv(&lone.ep, &lone.recv_op, lone.received, LONE_SIZE));
    closed_one = (ucp_stream_poll_ep_t){.ep = other.ucp, .user_data = &other};
    fake.close_is_mute = true;
    await(rill_rdma_ep_abort(&other));
    memset(&other, 0xff, sizeof other); /* nobody looks at it any more */
    settle();
    closed_one.ep = NULL;
    rill_task_cancel(&lone.receiving.task);
    expect_eq(background_end(&lone.receiving), -ECANCELED);
    fake.close_is_mute = false;
    await(rill_rdma_ep_abort(&lone.ep));
    lone.rdma.ucx = &fake_ucx;
    memset(&other, 0, sizeof other);
    lone_close_rest();
}
END_TEST

static struct {
    char bytes[LONE_SIZE];
    unsigned lent, released;
} unread;

static ucs_status_ptr_t lend_bytes(ucp_ep_h of, size_t *size)
{
    (void)of;
    if (unread.lent > 0)
        return NULL;
    unread.lent++;
    *size = sizeof unread.bytes;
    return unread.bytes;
}

static void take_bytes_back(ucp_ep_h of, void *data)
{
    (void)of;
    expect(data == unread.bytes);
    unread.released++;
}

static ssize_t tell_of_none(ucp_worker_h worker, ucp_stream_poll_ep_t *eps, size_t max,
                            unsigned flags)
{
    (void)worker;
    (void)eps;
    (void)max;
    (void)flags;
    return 0;
}

/* They are memory of UCX's, which is gone with its endpoint. */
START_TEST(bytes_of_a_stream_that_were_read_in_part_are_given_back_at_the_end_and_not_read_after_it)
{
    struct rill_ucx table;

    lone_open();
    table = fake_ucx;
    table.stream_worker_poll = tell_of_none;
    table.stream_recv_data_nb = lend_bytes;
    table.stream_data_release = take_bytes_back;
    lone.rdma.ucx = &table;
    unread.lent = unread.released = 0;
    expect_eq(await(rill_rdma_stream_recv(&lone.ep, &lone.recv_op, lone.received, 1)), 1);
    expect_eq(unread.released, 0);
    await(rill_rdma_ep_abort(&lone.ep));
    expect_eq(unread.released, 1);
    expect_eq(await(rill_rdma_stream_recv(&lone.ep, &lone.recv_op, lone.received, 1)), -ESHUTDOWN);
    expect_eq(unread.released, 1);
    lone.rdma.ucx = &fake_ucx;
    lone_close_rest();
}
END_TEST

/* It came together with the failure, and is there. */
START_TEST(data_that_came_with_a_message_are_there_though_its_endpoint_has_failed)
{
    static struct rill_rdma_inbox inbox;
    static struct rill_rdma_am message;

    lone_open();
    expect_eq(rill_rdma_inbox_open(&inbox, &lone.rdma, 3), 0);
    pattern_fill(lone.sent, 0, LONE_SIZE);
    fake_bring(3, "header", 7, lone.sent, LONE_SIZE, 0, false, NULL);
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(await(rill_rdma_am_recv(&inbox, &message)), LONE_SIZE);
    expect(message.ep == &lone.ep && lone.ep.error == -ECONNRESET);
    expect_eq(await(rill_rdma_am_fetch(&message, &lone.recv_op, lone.received)), LONE_SIZE);
    expect(pattern_is(lone.received, 0, LONE_SIZE));
    rill_rdma_am_release(&message);
    rill_rdma_inbox_close(&inbox);
    lone_close();
}
END_TEST

/* UCX does not know that it is of this endpoint. */
START_TEST(a_fetch_of_long_data_ends_with_the_endpoint_of_their_sender)
{
    static struct rill_rdma_inbox inbox;
    static struct rill_rdma_am message;

    lone_open();
    expect_eq(rill_rdma_inbox_open(&inbox, &lone.rdma, 3), 0);
    fake_bring(3, "header", 7, lone.sent, LONE_SIZE, 0, true, NULL);
    expect_eq(await(rill_rdma_am_recv(&inbox, &message)), LONE_SIZE);
    background_start(&lone.receiving, rill_rdma_am_fetch(&message, &lone.recv_op, lone.received));
    settle();
    expect(!rill_task_is_over(&lone.receiving.task));
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(background_end(&lone.receiving), -ECONNRESET);
    rill_rdma_am_release(&message);
    rill_rdma_inbox_close(&inbox);
    lone_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_failed_endpoint_ends_everything_on_it_and_nothing_else, IN_SIMULATED},
        {an_endpoint_fails_once_and_for_the_first_reason, IN_SIMULATED},
        {what_arrives_with_the_failure_or_right_after_it_is_still_delivered, IN_SIMULATED},
        {who_was_cancelled_is_told_so_though_the_endpoint_fails, IN_SIMULATED},
        {a_cancelled_send_that_UCX_had_is_told_of_the_end_of_its_endpoint, IN_SIMULATED},
        {what_UCX_never_lets_go_of_is_over_after_a_second_and_kept_from_it, IN_SIMULATED},
        {closing_flushes_and_ends_receives, IN_SIMULATED},
        {closing_waits_for_sends_that_the_flush_did_not_wait_for, IN_SIMULATED},
        {closing_that_can_not_flush_forces, IN_SIMULATED},
        {closing_that_nobody_cancelled_does_not_say_so_where_the_peer_closes_too, IN_SIMULATED},
        {a_flush_that_nobody_cancelled_does_not_say_so_where_the_peer_closes, IN_SIMULATED},
        {a_peer_that_dies_while_it_is_closed_is_told, IN_SIMULATED},
        {closing_that_is_cancelled_is_over_in_bounded_time_wherever_it_is, IN_SIMULATED},
        {closing_waits_as_long_as_ucx_takes_where_it_is_not_cancelled, IN_SIMULATED},
        {each_send_has_its_time_as_the_program_ends_and_no_more, IN_SIMULATED},
        {aborting_does_not_wait_for_sends, IN_SIMULATED},
        {an_endpoint_that_is_about_to_end_is_not_asked_anything, IN_SIMULATED},
        {an_endpoint_names_each_of_its_transports_once, IN_SIMULATED},
        {aborting_in_a_cancelled_task_is_aborting, IN_SIMULATED},
        {nothing_is_told_to_an_endpoint_that_UCX_did_not_let_go_of, IN_SIMULATED},
        {bytes_of_a_stream_that_were_read_in_part_are_given_back_at_the_end_and_not_read_after_it,
         IN_SIMULATED},
        {data_that_came_with_a_message_are_there_though_its_endpoint_has_failed, IN_SIMULATED},
        {a_fetch_of_long_data_ends_with_the_endpoint_of_their_sender, IN_SIMULATED},
    };

    return fixture_main("rdma endpoint end", cases, sizeof cases / sizeof *cases);
}
