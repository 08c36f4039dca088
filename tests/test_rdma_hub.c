/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_hub.c - who is who among the connections of a worker, and what comes for those that
 * are no more. */
#include "rdma/hub.h"

#include "rdma/exchange.h"
#include "rdma/tag.h"
#include "tests/rdma/sides.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static struct rill_rdma_connection *const left = &sides.left.connection, *const right =
                                                                             &sides.right
                                                                                  .connection;
static struct rill_rdma_hub *const hub = &sides.right.hub;
static const struct rill_rdma_connection_options mute = {
    .handshake_ns = RILL_NEVER, .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER};
static struct background sending, ending;
static struct rill_rdma_ep stranger; /* of the left worker, to the right one */
static struct rill_rdma_op op;
static char message[20000];

static void open_stranger(void)
{
    size_t size;

    expect_eq(
        rill_rdma_ep_open(&stranger, &sides.left.rdma, rill_rdma_address(&sides.right.rdma, &size)),
        0);
}

static void say_to(uint32_t id, unsigned inbox, const void *data, size_t size)
{
    const struct rill_rdma_control control = rill_rdma_control_swap((struct rill_rdma_control){
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = RILL_RDMA_WIRE_VERSION,
        .kind = inbox == RILL_RDMA_CONTROL_ID ? RILL_RDMA_BEAT : RILL_RDMA_HELLO,
        .to = id,
        .from = 1,
    });

    expect_eq(await(rill_rdma_am_send(&stranger, &op, inbox, &control, sizeof control, data, size,
                                      RILL_RDMA_AM_EAGER)),
              size);
    sides_pause(10 * RILL_MILLISECOND);
}

/* With whatever else in its tag. */
static void send_to(uint32_t id)
{
    expect_eq(
        await(rill_rdma_tag_send(&stranger, &op, message, 10, (uint64_t)id << 32 | UINT32_MAX)),
        10);
    sides_pause(10 * RILL_MILLISECOND);
}

static unsigned unreceived(uint32_t id)
{
    uint64_t bytes;

    return sim_ucx_unreceived(sides.right.rdma.worker, id, &bytes);
}

/* ---- who is who ---- */

START_TEST(an_id_is_nobodys_that_is_or_was_lately_and_never_0)
{
    enum { ENDED = 3 };
    struct rill_rdma_connection other = {.id = 0};
    uint32_t first, id;

    sides_open(NULL);
    hub->last_id = UINT32_MAX - 1;
    sides_connect(&mute, &mute);
    expect_eq(right->id, UINT32_MAX);
    sides_disconnect();
    sides_connect(&mute, &mute);
    expect_eq(right->id, 1);
    sides_disconnect();
    first = hub->last_id = 1000;
    for (uint32_t i = 1; i <= ENDED; i++) {
        sides_connect(&mute, &mute);
        expect_eq(right->id, first + i);
        sides_disconnect();
    }
    sides_connect(&mute, &mute);
    id = right->id;
    expect_eq(id, first + ENDED + 1);
    for (uint32_t last_id = first; last_id <= id; last_id++) {
        hub->last_id = last_id;
        rill_rdma_hub_add(hub, &other);
        expect(other.id > id);
        rill_rdma_hub_remove(hub, &other);
    }
    sides_disconnect();
    sides_close();
}
END_TEST

/* A HELLO that asks for a reply names an endpoint of this side, which need be nobody's. */
START_TEST(a_hello_through_an_endpoint_that_is_no_connections_is_dropped)
{
    static struct rill_rdma_listener listener;
    const struct rill_rdma_control hello = rill_rdma_control_swap((struct rill_rdma_control){
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = RILL_RDMA_WIRE_VERSION,
        .kind = RILL_RDMA_HELLO,
        .from = 1,
    });
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    struct rill_address address;
    struct rill_rdma_accept accept;
    struct rill_rdma_ep plain = {0};

    sides_open(NULL);
    expect_eq(rill_rdma_listen(&listener, &sides.right.rdma, &any), 0);
    expect_eq(rill_rdma_listener_address(&listener, &address), 0);
    expect_eq(rill_rdma_ep_connect(&stranger, &sides.left.rdma, &address), 0);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(rill_rdma_ep_adopt(&plain, &accept), 0);
    expect_eq(await(rill_rdma_am_send(&stranger, &op, RILL_RDMA_CONTROL_ID, &hello, sizeof hello,
                                      NULL, 0, RILL_RDMA_AM_REPLY)),
              0);
    sides_pause(RILL_SECOND);
    expect_eq(hub->dropped, 1);
    await(rill_rdma_ep_abort(&stranger));
    await(rill_rdma_ep_abort(&plain));
    rill_rdma_listener_close(&listener);
    sides_close();
}
END_TEST

static ucp_am_handler_param_t of_control;

static ucs_status_t keep_handler(ucp_worker_h worker, const ucp_am_handler_param_t *param)
{
    if (param->id == RILL_RDMA_CONTROL_ID)
        of_control = *param;
    return sides.sim.worker_set_am_recv_handler(worker, param);
}

/* UCX opens some of its own, and tells of one only where the sender has asked for it. */
START_TEST(a_hello_through_an_endpoint_that_nobody_has_opened_is_dropped)
{
    const struct rill_rdma_control hello = rill_rdma_control_swap((struct rill_rdma_control){
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = RILL_RDMA_WIRE_VERSION,
        .kind = RILL_RDMA_HELLO,
        .from = 1,
    });
    ucp_am_recv_param_t param;

    sides_open(NULL);
    rill_rdma_hub_close(hub);
    sides.table.worker_set_am_recv_handler = keep_handler;
    expect_eq(rill_rdma_hub_open(hub, &sides.right.rdma), 0);
    sides_connect(&mute, &mute);
    right->peer.has_greeted = false; /* as if it waited for one */
    for (int is_told = 0; is_told < 2; is_told++) {
        param.recv_attr = is_told ? UCP_AM_RECV_ATTR_FIELD_REPLY_EP : 0;
        param.reply_ep = is_told ? (ucp_ep_h)(void *)message : right->ep.ucp;
        expect_eq(of_control.cb(of_control.arg, &hello, sizeof hello, NULL, 0, &param), UCS_OK);
        expect(!right->peer.has_greeted);
        expect_eq(hub->dropped, 1 + is_told);
    }
    right->peer.has_greeted = true;
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(what_a_hub_has_counted_is_that_of_all_its_connections)
{
    struct rill_rdma_metrics metrics;

    sides_open(NULL);
    for (uint32_t i = 0; i < 2 * RILL_RDMA_HUB_BUCKETS; i++) { /* wherever it finds them */
        hub->last_id = i * (RILL_RDMA_HUB_BUCKETS + 1);
        sides_connect(&mute, &mute);
        rill_rdma_hub_metrics(hub, &metrics);
        expect_eq(metrics.connects, i + 1);
        sides_disconnect();
        rill_rdma_hub_metrics(hub, &metrics);
        expect_eq(metrics.connects, i + 1);
    }
    sides_close();
}
END_TEST

START_TEST(a_hub_that_was_never_open_has_counted_nothing_and_one_that_was_closed_all)
{
    static struct rill_rdma_hub never;
    struct rill_rdma_metrics metrics = {.connects = 1};

    rill_rdma_hub_metrics(&never, &metrics);
    expect_eq(metrics.connects, 0);
    sides_open(NULL);
    sides_connect(&mute, &mute);
    sides_disconnect();
    rill_rdma_hub_close(hub);
    rill_rdma_hub_metrics(hub, &metrics);
    expect_eq(metrics.connects, 1);
    sides_close();
}
END_TEST

/* ---- too late ---- */

START_TEST(what_comes_too_late_for_a_connection_is_thrown_away)
{
    enum { ENDED = 3 };
    static const struct sim_ucx_options unpaired = {.latency_max_ns = RILL_MILLISECOND};
    uint32_t ids[ENDED];

    sides_open(&unpaired); /* or the stranger would be told of the end of another */
    open_stranger();
    for (int i = 0; i < ENDED; i++) {
        sides_connect(&mute, &mute);
        ids[i] = right->id;
        sides_disconnect();
    }
    sides_connect(&mute, &mute);
    for (int i = 0; i < ENDED; i++) {
        say_to(ids[i], RILL_RDMA_CONTROL_ID, NULL, 0);
        send_to(ids[i]);
        expect_eq(unreceived(ids[i]), 1);
    }
    send_to(0); /* not of a connection's, and not the hub's to throw away */
    expect_eq(hub->dropped, 0);
    sides_disconnect(); /* it is found as others end, */
    for (int i = 1; i < RILL_RDMA_DEAD_MAX / RILL_RDMA_SWEPT_AT_AN_END; i++) {
        sides_connect(&mute, &mute);
        sides_disconnect();
    }
    for (int i = 0; i < ENDED; i++) {
        expect_eq(unreceived(ids[i]), 0);
        send_to(ids[i]);
    }
    expect_eq(hub->swept, ENDED);
    rill_rdma_hub_close(hub); /* and at the end of all */
    for (int i = 0; i < ENDED; i++)
        expect_eq(unreceived(ids[i]), 0);
    expect_eq(hub->swept, 2 * ENDED);
    expect_eq(unreceived(0), 1);
    await(rill_rdma_ep_abort(&stranger));
    sides_close();
}
END_TEST

static const struct rill_ucx *ucx;
static unsigned probes;

static ucp_tag_message_h count_probe(ucp_worker_h worker, ucp_tag_t tag, ucp_tag_t mask, int remove,
                                     ucp_tag_recv_info_t *info)
{
    probes++;
    return ucx->tag_probe_nb(worker, tag, mask, remove, info);
}

/* UCX looks at all that nobody has received each time that it is asked for something. */
START_TEST(the_end_of_a_connection_does_not_look_for_what_came_for_all_that_ended_before)
{
    struct rill_rdma_connection other = {.id = 0};
    struct rill_ucx counting;

    sides_open(NULL);
    ucx = hub->rdma->ucx;
    counting = *ucx;
    counting.tag_probe_nb = count_probe;
    hub->rdma->ucx = &counting;
    for (unsigned ended = 1; ended <= 2 * RILL_RDMA_DEAD_MAX; ended++) {
        rill_rdma_hub_add(hub, &other);
        rill_rdma_hub_remove(hub, &other);
        expect(probes <= ended * RILL_RDMA_SWEPT_AT_AN_END);
    }
    expect(probes > RILL_RDMA_DEAD_MAX);
    hub->rdma->ucx = ucx;
    sides_close();
}
END_TEST

START_TEST(what_comes_for_one_that_never_was_is_counted_as_nonsense)
{
    sides_open(NULL);
    open_stranger();
    say_to(0, RILL_RDMA_CONTROL_ID, NULL, 0);
    say_to(hub->last_id + 100, RILL_RDMA_CONTROL_ID, NULL, 0);
    expect_eq(hub->dropped, 2);
    await(rill_rdma_ep_abort(&stranger));
    sides_close();
}
END_TEST

/* Each costs a thousand, and the last as much as the window, so that the cost of all before it has
 * to be given back. */
START_TEST(all_that_is_thrown_away_at_once_gives_its_credit_back)
{
    enum { SIZE = 1000 - RILL_RDMA_MESSAGE_COST, WHOLE = 3000 - RILL_RDMA_MESSAGE_COST };
    static const struct rill_rdma_connection_options roomy = {
        .close_ns = RILL_NEVER, .silence_ns = RILL_NEVER, .window = 3000};
    static struct background waiting;

    sides_open(NULL);
    sides_connect(&mute, &roomy);
    for (int i = 0; i < 3; i++)
        expect_eq(await(rill_rdma_send(left, &sides.left.send, message, SIZE, 1)), SIZE);
    background_start(&waiting, rill_rdma_send(left, &sides.left.send, message, WHOLE, 1));
    background_start(&sending, rill_rdma_send(right, &sides.right.send, message, 20000, 1));
    sides_pause(RILL_SECOND);
    expect(!rill_task_is_over(&waiting.task));
    background_start(&ending, rill_rdma_disconnect(right));
    sides_pause(RILL_SECOND);
    expect_eq(right->state, RILL_RDMA_CLOSING); /* for its own message */
    expect(rill_task_is_over(&waiting.task));
    expect_eq(background_end(&waiting), WHOLE);
    expect_eq(await(rill_rdma_recv(left, &sides.left.recv, message, 20000, 1)), 20000);
    expect_eq(background_end(&sending), 20000);
    expect_eq(await(rill_rdma_disconnect(left)), 0);
    expect_eq(background_end(&ending), 0);
    sides_close();
}
END_TEST

START_TEST(of_strangers_only_so_many_are_kept)
{
    size_t size;
    const void *address;

    sides_open(NULL);
    open_stranger();
    address = rill_rdma_address(&sides.left.rdma, &size);
    for (int i = 0; i < RILL_RDMA_STRANGERS_MAX + 3; i++)
        say_to(0, RILL_RDMA_STRANGER_ID, address, size);
    expect_eq(hub->strangers.held_count, RILL_RDMA_STRANGERS_MAX);
    expect_eq(hub->strangers.dropped, 3);
    await(rill_rdma_ep_abort(&stranger));
    sides_close();
}
END_TEST

START_TEST(a_stranger_that_brings_more_than_an_address_is_dropped)
{
    static const char much[1000];

    sides_open(NULL);
    open_stranger();
    expect_eq(hub->strangers.size_max, RILL_RDMA_STRANGER_SIZE_MAX);
    hub->strangers.size_max = sizeof much - 1; /* as the messages here are short */
    say_to(0, RILL_RDMA_STRANGER_ID, much, sizeof much - 1);
    expect_eq(hub->strangers.held_count, 1);
    say_to(0, RILL_RDMA_STRANGER_ID, much, sizeof much);
    expect_eq(hub->strangers.held_count, 1);
    expect_eq(hub->strangers.dropped, 1);
    await(rill_rdma_ep_abort(&stranger));
    sides_close();
}
END_TEST

/* ---- its life ---- */

static unsigned until_failure;

static ucs_status_t refuse_handler(ucp_worker_h worker, const ucp_am_handler_param_t *param)
{
    return until_failure-- == 0 ? UCS_ERR_NO_MEMORY
                                : sides.sim.worker_set_am_recv_handler(worker, param);
}

START_TEST(a_hub_that_can_not_be_opened_leaves_nothing)
{
    sides_open(NULL);
    rill_rdma_hub_close(hub);
    sides.table.worker_set_am_recv_handler = refuse_handler;
    for (int i = 0; i < 2; i++) {
        until_failure = (unsigned)i;
        memset(hub, 0, sizeof *hub);
        expect_eq(rill_rdma_hub_open(hub, &sides.right.rdma), -ENOMEM);
        expect(!hub->is_open);
        expect(!hub->strangers.is_open);
    }
    expect_eq(rill_rdma_hub_open(hub, &sides.right.rdma), 0);
    sides_connect(&mute, &mute);
    sides_disconnect();
    sides_close();
}
END_TEST

START_TEST(a_hub_that_is_closed_hears_nothing_and_is_opened_again)
{
    sides_open(NULL);
    open_stranger();
    rill_rdma_hub_close(hub);
    rill_rdma_hub_close(hub); /* which does nothing */
    say_to(1, RILL_RDMA_CONTROL_ID, NULL, 0);
    expect_eq(hub->dropped, 0);
    expect_eq(rill_rdma_hub_open(hub, &sides.right.rdma), 0);
    say_to(1, RILL_RDMA_CONTROL_ID, NULL, 0);
    expect_eq(hub->dropped, 1);
    sides_connect(&mute, &mute);
    sides_disconnect();
    await(rill_rdma_ep_abort(&stranger));
    sides_close();
}
END_TEST

/* The other side of one by worker address does not hear that it was cut, and goes on sending. */
START_TEST(the_hub_that_is_opened_next_gives_none_of_the_ids_of_the_former_one)
{
    static const struct sim_ucx_options unpaired = {.latency_max_ns = RILL_MILLISECOND};
    uint32_t former;

    sides_open(&unpaired); /* or the stranger would be told of the end of another */
    open_stranger();
    sides_connect(&mute, &mute);
    former = right->id;
    sides_disconnect();
    for (int i = 0; i < 2; i++) { /* the same, and one of which nothing is left */
        rill_rdma_hub_close(hub);
        if (i == 1)
            memset(hub, 0, sizeof *hub);
        expect_eq(rill_rdma_hub_open(hub, &sides.right.rdma), 0);
        sides_connect(&mute, &mute);
        expect_eq(await(rill_rdma_tag_send(&stranger, &op, message, 10,
                                           rill_rdma_tag_make(former, RILL_RDMA_KIND_DATA, 1))),
                  10);
        sides_pause(10 * RILL_MILLISECOND);
        expect(!rill_rdma_probe(right, 1, NULL, NULL));
        sides_disconnect();
    }
    await(rill_rdma_ep_abort(&stranger));
    sides_close();
}
END_TEST

START_TEST(the_numbers_of_a_hub_are_its_own)
{
    static struct rill_rdma_hub second;
    struct rill_rdma_inbox inbox = {0};

    sides_open(NULL);
    expect_eq(rill_rdma_inbox_open(&inbox, &sides.right.rdma, RILL_RDMA_CONTROL_ID), -EADDRINUSE);
    expect_eq(rill_rdma_hub_open(&second, &sides.right.rdma), -EADDRINUSE);
    expect(!second.is_open);
    rill_rdma_hub_close(hub);
    expect_eq(rill_rdma_inbox_open(&inbox, &sides.right.rdma, RILL_RDMA_CONTROL_ID), 0);
    expect_eq(rill_rdma_hub_open(hub, &sides.right.rdma), -EADDRINUSE);
    expect(!hub->is_open);
    rill_rdma_inbox_close(&inbox);
    expect_eq(rill_rdma_hub_open(hub, &sides.right.rdma), 0);
    sides_connect(&mute, &mute);
    sides_disconnect();
    sides_close();
}
END_TEST

static void open_twice(void)
{
    sides_open(NULL);
    rill_rdma_hub_open(hub, &sides.right.rdma);
}

static void close_too_early(void)
{
    sides_open(NULL);
    sides_connect(&mute, &mute);
    rill_rdma_hub_close(hub);
}

START_TEST(a_hub_opened_twice_or_closed_with_connections_is_a_panic)
{
    fixture_expect_panic(open_twice, "a hub was opened that is open already");
    fixture_expect_panic(close_too_early, "a hub was closed with 1 connections open");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {an_id_is_nobodys_that_is_or_was_lately_and_never_0, IN_SIMULATED},
        {a_hello_through_an_endpoint_that_is_no_connections_is_dropped, IN_SIMULATED},
        {a_hello_through_an_endpoint_that_nobody_has_opened_is_dropped, IN_SIMULATED},
        {what_a_hub_has_counted_is_that_of_all_its_connections, IN_SIMULATED},
        {a_hub_that_was_never_open_has_counted_nothing_and_one_that_was_closed_all, IN_SIMULATED},
        {what_comes_too_late_for_a_connection_is_thrown_away, IN_SIMULATED},
        {the_end_of_a_connection_does_not_look_for_what_came_for_all_that_ended_before,
         IN_SIMULATED},
        {what_comes_for_one_that_never_was_is_counted_as_nonsense, IN_SIMULATED},
        {all_that_is_thrown_away_at_once_gives_its_credit_back, IN_SIMULATED},
        {of_strangers_only_so_many_are_kept, IN_SIMULATED},
        {a_stranger_that_brings_more_than_an_address_is_dropped, IN_SIMULATED},
        {a_hub_that_can_not_be_opened_leaves_nothing, IN_SIMULATED},
        {a_hub_that_is_closed_hears_nothing_and_is_opened_again, IN_SIMULATED},
        {the_hub_that_is_opened_next_gives_none_of_the_ids_of_the_former_one, IN_SIMULATED},
        {the_numbers_of_a_hub_are_its_own, IN_SIMULATED},
        {a_hub_opened_twice_or_closed_with_connections_is_a_panic, IN_SIMULATED},
    };

    return fixture_main("rdma hub", cases, sizeof cases / sizeof *cases);
}
