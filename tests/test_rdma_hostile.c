/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_hostile.c - a peer that says whatever a seed makes it say, to a server that
 * serves an honest client meanwhile, and as a server of an honest client's.
 *
 * What is not defended against, as UCX cannot: bytes that are no address of a worker where
 * one is believed (rill_rdma_accept_worker), and messages with a tag of another's connection. */
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "rdma/tag.h"
#include "tests/fixture.h"
#include "tests/rdma/sim_ucx.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

enum {
    SERVICE = 3,
    METHOD = 7,
    ECHOES = 64,  /* connections of the server, one after the other */
    RAW = 4,      /* endpoints of the villain to the server */
    SAYINGS = 6,  /* messages of each on their way at once */
    ROUNDS = 20,  /* of the honest client */
    ACTIONS = 60, /* of the villain */
    SIZE = 9000,
};

static const struct rill_rdma_connection_options brisk = {
    .handshake_ns = 200 * RILL_MILLISECOND,
    .close_ns = 200 * RILL_MILLISECOND,
    .silence_ns = 400 * RILL_MILLISECOND,
    .window = 20000,
};

static uint64_t dice(uint64_t below)
{
    return sim_random(fixture.sim, below);
}

/* ---- three processes ---- */

struct node {
    struct rill_rdma rdma;
    struct rill_rdma_hub hub;
    struct rill_rdma_rpc rpc;
    struct rill_rdma_listener listener;
    struct rill_address address;
};

static struct node server, villain, honest;

static void open_node(struct node *node, const struct rill_ucx *ucx)
{
    const struct rill_rdma_options options = {.ucx = ucx, .bare_endpoints = true};
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};

    memset(node, 0, sizeof *node);
    expect_eq(rill_rdma_open(&node->rdma, &options), 0);
    node->rdma.client_id = dice(UINT64_MAX); /* from the seed */
    expect_eq(rill_rdma_hub_open(&node->hub, &node->rdma), 0);
    expect_eq(rill_rdma_rpc_open(&node->rpc, &node->rdma, SERVICE, 4), 0);
    expect_eq(rill_rdma_listen(&node->listener, &node->rdma, &any), 0);
    expect_eq(rill_rdma_listener_address(&node->listener, &node->address), 0);
}

static void close_node(struct node *node)
{
    rill_rdma_listener_close(&node->listener);
    rill_rdma_rpc_close(&node->rpc);
    expect_eq(node->hub.connections, 0);
    rill_rdma_hub_close(&node->hub);
    expect_eq(node->rdma.endpoints, 0);
    expect_eq(node->rdma.ops_in_flight, 0);
    expect_eq(node->rdma.source.pending, 0);
    rill_rdma_close(&node->rdma);
}

/* ---- the server ---- */

struct echo {
    struct rill_task task;
    struct rill_join join;
    struct rill_rdma_connection connection;
    struct rill_rdma_state_wait wait;
    struct rill_rdma_transfer recv, send;
    char bytes[SIZE];
};

static struct echo echoes[ECHOES];
static unsigned echo_count;

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_wait_for_connection(&echo->connection, &echo->wait));
    echo->recv.result = echo->wait.result;
    while (echo->recv.result >= 0) {
        RILL_AWAIT(
            rill_rdma_recv(&echo->connection, &echo->recv, echo->bytes, SIZE, RILL_RDMA_ANY_TAG));
        if (echo->recv.result < 0)
            break;
        RILL_AWAIT(rill_rdma_send(&echo->connection, &echo->send, echo->bytes,
                                  (size_t)echo->recv.result, echo->recv.tag));
        if (echo->send.result < 0)
            break;
    }
    RILL_AWAIT(rill_rdma_disconnect(&echo->connection));
    RILL_END();
}

static void serve(struct echo *echo, int error)
{
    expect(error == 0 || error == -EPROTO);
    if (error == 0)
        rill_task_spawn(&echo->task, echo_poll);
}

static struct {
    struct rill_task acceptor, usher, clerk; /* of connections, of strangers, of calls */
    struct rill_rdma_accept accept;
    struct rill_rdma_am stranger;
    struct rill_rdma_rpc_request request;
} serving;

static enum rill_poll acceptor_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_accept(&server.listener, &serving.accept));
        if (serving.accept.result < 0)
            break;
        if (echo_count < ECHOES) {
            struct echo *echo = &echoes[echo_count++];

            serve(echo, rill_rdma_adopt(&echo->connection, &server.hub, &serving.accept, &brisk));
        } else {
            rill_rdma_reject(&serving.accept);
        }
    }
    RILL_END();
}

static enum rill_poll usher_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_accept_worker(&server.hub, &serving.stranger));
        if (serving.stranger.result < 0)
            break;
        if (echo_count < ECHOES) {
            struct echo *echo = &echoes[echo_count++];

            serve(echo, rill_rdma_adopt_worker(&echo->connection, &server.hub, &serving.stranger,
                                               &brisk));
        } else {
            rill_rdma_am_release(&serving.stranger);
        }
    }
    RILL_END();
}

static enum rill_poll clerk_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_rpc_recv(&server.rpc, &serving.request));
        if (serving.request.result < 0)
            break;
        RILL_AWAIT(
            rill_rdma_rpc_reply(&serving.request, 0, serving.request.data, serving.request.size));
    }
    RILL_END();
}

static void stop(struct rill_task *task)
{
    struct rill_join join;

    rill_task_cancel(task);
    await(rill_task_join(task, &join));
}

/* ---- the honest client ---- */

static struct {
    struct rill_future future;
    struct rill_rdma_connection connection;
    struct rill_rdma_transfer send, recv;
    struct rill_rdma_rpc_client client;
    struct rill_rdma_rpc_call call;
    struct rill_sleep pause;
    unsigned round;
    size_t size;
    char bytes[SIZE], answer[SIZE];
} visit;

static enum rill_poll visit_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_connect(&visit.connection, &honest.hub, &server.address, &brisk));
    expect_eq(visit.connection.result, 0);
    rill_rdma_rpc_client_init(&visit.client, &honest.rpc, &visit.connection.ep, 1);
    for (visit.round = 0; visit.round < ROUNDS; visit.round++) {
        visit.size = (size_t)dice(SIZE);
        pattern_fill(visit.bytes, visit.round, visit.size);
        RILL_AWAIT(rill_rdma_send(&visit.connection, &visit.send, visit.bytes, visit.size, 1));
        expect_eq(visit.send.result, visit.size);
        RILL_AWAIT(rill_rdma_recv(&visit.connection, &visit.recv, visit.answer, SIZE, 1));
        expect_eq(visit.recv.result, visit.size);
        expect(pattern_is(visit.answer, visit.round, visit.size));
        RILL_AWAIT(rill_rdma_rpc_call(&visit.client, &visit.call, METHOD, visit.bytes,
                                      visit.size % 1000, visit.answer, SIZE));
        if (visit.call.result == -EBUSY) /* the villain's requests are many */
            expect(visit.call.is_answered);
        else
            expect_eq(visit.call.result, visit.size % 1000);
        RILL_AWAIT(rill_sleep(&visit.pause, (int64_t)dice(20 * RILL_MILLISECOND)));
    }
    rill_rdma_rpc_client_finish(&visit.client);
    RILL_AWAIT(rill_rdma_disconnect(&visit.connection));
    expect_eq(visit.connection.result, 0);
    RILL_END();
}

/* ---- the villain ---- */

struct saying {
    struct background sending;
    bool is_busy;
    struct rill_rdma_op op;
    unsigned char header[RILL_RDMA_AM_HEADER_MAX], data[SIZE];
};

static struct raw {
    struct rill_rdma_ep ep;
    const struct rill_rdma_connection *victim; /* the other side, or NULL */
    struct saying sayings[SAYINGS];
} raws[RAW], impostor;

static uint64_t extreme(void)
{
    static const uint64_t extremes[] = {0, 1, 255, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};

    return dice(3) ? extremes[dice(sizeof extremes / sizeof *extremes)] : dice(UINT64_MAX);
}

/* Something that a connection might believe. */
static size_t compose_control(const struct raw *raw, unsigned char *bytes)
{
    const struct rill_rdma_connection *victim = raw->victim;
    struct rill_rdma_control control = rill_rdma_control_swap((struct rill_rdma_control){
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = dice(8) ? RILL_RDMA_WIRE_VERSION : (uint8_t)extreme(),
        .kind = (uint8_t)(dice(8) ? RILL_RDMA_HELLO + dice(5) : extreme()),
        .to = victim && dice(8) ? victim->id : (uint32_t)extreme(),
        .from = victim && victim->peer.id && dice(8) ? victim->peer.id : 1 + (uint32_t)dice(9),
        .received = dice(2) ? 0 : extreme(),
        .window = extreme(),
        .eager_size = (uint32_t)extreme(),
        .beat_ms = dice(2) ? 0 : (uint32_t)extreme(),
        .reason = (int32_t)extreme(),
    });

    memcpy(bytes, &control, sizeof control);
    return sizeof control;
}

static size_t compose_rpc(unsigned char *bytes)
{
    rill_rdma_rpc_pack(bytes, (enum rill_rdma_rpc_kind)(1 + dice(4)), dice(2) ? dice(4) : extreme(),
                       (uint32_t)extreme());
    return RILL_RDMA_RPC_HEADER_SIZE;
}

/* Changes some bytes, or the size, of a header, or not. */
static size_t mutate(unsigned char *bytes, size_t size)
{
    for (uint64_t count = dice(4) ? 0 : 1 + dice(4); count > 0; count--)
        bytes[dice(RILL_RDMA_AM_HEADER_MAX)] = (unsigned char)dice(256);
    return dice(6) ? size : (size_t)dice(RILL_RDMA_AM_HEADER_MAX + 1);
}

static struct rill_future *say_active(struct raw *raw, struct saying *saying)
{
    size_t header_size, size = dice(3) ? 0 : (size_t)dice(2000);
    unsigned id = RILL_RDMA_CONTROL_ID;

    for (size_t i = 0; i < sizeof saying->header; i++)
        saying->header[i] = (unsigned char)dice(256);
    switch (dice(4)) {
    case 0:
        id = SERVICE;
        header_size = compose_rpc(saying->header);
        break;
    case 1: {
        size_t address_size;
        const void *address = rill_rdma_address(&villain.rdma, &address_size);

        id = RILL_RDMA_STRANGER_ID;
        header_size = compose_control(raw, saying->header);
        size = dice(3) ? address_size : 0; /* never a wrong one: UCX believes it */
        memcpy(saying->data, address, address_size);
        break;
    }
    default:
        header_size = compose_control(raw, saying->header);
        break;
    }
    header_size = mutate(saying->header, header_size);
    return rill_rdma_am_send(&raw->ep, &saying->op, id, saying->header, header_size, saying->data,
                             size, dice(2) ? RILL_RDMA_AM_REPLY : 0);
}

/* Messages of any kind and size to its own connection, those too that there is no credit for;
 * and to nobody. */
static struct rill_future *say_tagged(struct raw *raw, struct saying *saying)
{
    uint32_t id = raw->victim && dice(8) ? raw->victim->id : 0;
    uint64_t tag = (uint64_t)id << 32 | dice(4) << RILL_RDMA_USER_TAG_BITS | dice(3);
    size_t size = dice(3) ? (size_t)dice(100) : (size_t)dice(SIZE);

    if (dice(2))
        return rill_rdma_tag_send_sync(&raw->ep, &saying->op, saying->data, size, tag);
    return rill_rdma_tag_send(&raw->ep, &saying->op, saying->data, size, tag);
}

/* The right word at the right time, with credit and heartbeats as the seed says, so that it
 * is believed. */
static struct rill_future *greet(struct raw *raw, struct saying *saying,
                                 enum rill_rdma_control_kind kind)
{
    struct rill_rdma_control control = rill_rdma_control_swap((struct rill_rdma_control){
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = RILL_RDMA_WIRE_VERSION,
        .kind = (uint8_t)kind,
        .to = kind == RILL_RDMA_ACK ? raw->victim->id : 0,
        .from = 1 + (uint32_t)dice(9),
        .window = extreme(),
        .eager_size = (uint32_t)extreme(),
        .beat_ms = dice(2) ? 0 : (uint32_t)extreme(),
    });

    memcpy(saying->header, &control, sizeof control);
    return rill_rdma_am_send(&raw->ep, &saying->op, RILL_RDMA_CONTROL_ID, saying->header,
                             sizeof control, NULL, 0,
                             kind == RILL_RDMA_HELLO ? RILL_RDMA_AM_REPLY : 0);
}

static void say(struct saying *saying, struct rill_future *what)
{
    saying->is_busy = true;
    background_start(&saying->sending, what);
}

static void say_something(struct raw *raw)
{
    struct saying *saying = &raw->sayings[dice(SAYINGS)];

    if (saying->is_busy && !rill_task_is_over(&saying->sending.task))
        return;
    if (saying->is_busy)
        background_end(&saying->sending);
    say(saying, dice(3) ? say_active(raw, saying) : say_tagged(raw, saying));
}

static void hang_up(struct raw *raw)
{
    if (raw->ep.is_open)
        await(rill_rdma_ep_abort(&raw->ep));
    for (int i = 0; i < SAYINGS; i++)
        if (raw->sayings[i].is_busy)
            background_end(&raw->sayings[i].sending);
    memset(raw, 0, sizeof *raw);
}

/* The connection that the server made of an endpoint is the latest, once it is there. */
static void call_on_server(struct raw *raw)
{
    unsigned before = echo_count;
    struct rill_sleep pause;

    expect_eq(rill_rdma_ep_connect(&raw->ep, &villain.rdma, &server.address), 0);
    if (dice(4))
        say(&raw->sayings[0], greet(raw, &raw->sayings[0], RILL_RDMA_HELLO));
    await(rill_sleep(&pause, 50 * RILL_MILLISECOND));
    raw->victim = echo_count == before + 1 ? &echoes[before].connection : NULL;
}

static void check_invariants(void)
{
    for (unsigned i = 0; i < echo_count; i++) {
        const struct rill_rdma_credit *credit = &echoes[i].connection.credit;

        expect(credit->acknowledged <= credit->sent);
        expect(credit->told <= credit->received);
    }
}

static void act(void)
{
    struct raw *raw = &raws[dice(RAW)];
    struct rill_sleep pause;

    if (!raw->ep.is_open || raw->ep.error) {
        hang_up(raw);
        if (echo_count < ECHOES)
            call_on_server(raw);
    } else if (dice(12) == 0) {
        hang_up(raw);
    } else {
        say_something(raw);
    }
    if (dice(3) == 0)
        await(rill_sleep(&pause, (int64_t)dice(50 * RILL_MILLISECOND)));
}

/* ---- one world ---- */

static void begin(uint64_t seed)
{
    struct sim_options sim_options = {.seed = seed};
    const struct sim_ucx_options options = {
        .latency_max_ns = (int64_t)(seed % 3) * 100 * RILL_MICROSECOND,
        .late_max_ns = 100 * RILL_MICROSECOND,
        .late_per_mille = (unsigned)(seed % 2) * 300,
        .am_overtake = seed % 5 == 0,
    };
    const struct rill_ucx *ucx;

    fixture.seed = seed;
    expect(fixture_open(SIMULATED, &sim_options, NULL));
    ucx = sim_ucx_begin(&options, NULL);
    open_node(&server, ucx);
    open_node(&villain, ucx);
    open_node(&honest, ucx);
}

static void end(void)
{
    close_node(&honest);
    close_node(&villain);
    close_node(&server);
    sim_ucx_end();
    fixture_close();
}

/* What a connection may end with, whatever the other side does. */
static bool is_an_end(const struct rill_rdma_connection *connection)
{
    static const int ends[] = {-ESHUTDOWN, -ECONNRESET, -ETIMEDOUT, -EPROTO, -EPROTONOSUPPORT};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (connection->error == ends[i])
            return true;
    return connection->peer.refused == connection->error; /* the other side's own words */
}

static void trouble_a_server(uint64_t seed)
{
    static struct background visiting;

    begin(seed);
    memset(echoes, 0, sizeof echoes);
    memset(&visit, 0, sizeof visit);
    memset(&serving, 0, sizeof serving);
    echo_count = 0;
    rill_task_spawn(&serving.acceptor, acceptor_poll);
    rill_task_spawn(&serving.usher, usher_poll);
    rill_task_spawn(&serving.clerk, clerk_poll);
    background_start(&visiting, rill_future_init(&visit.future, visit_poll));
    for (int i = 0; i < ACTIONS; i++) {
        act();
        check_invariants();
    }
    background_end(&visiting);
    for (int i = 0; i < RAW; i++)
        hang_up(&raws[i]);
    stop(&serving.acceptor);
    stop(&serving.usher);
    stop(&serving.clerk);
    for (unsigned i = 0; i < echo_count; i++)
        if (echoes[i].task.future.poll) {
            await(rill_task_join(&echoes[i].task, &echoes[i].join));
            expect(is_an_end(&echoes[i].connection));
        }
    end();
}

START_TEST(a_server_survives_whatever_it_is_told_and_serves_others)
{
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        trouble_a_server(seed);
}
END_TEST

/* ---- a server that is the villain ---- */

static void trouble_a_client(uint64_t seed)
{
    static struct rill_rdma_connection client;
    static struct rill_rdma_transfer send, recv;
    static struct rill_rdma_accept accept;
    static struct background connecting, sending;
    static char bytes[SIZE];
    struct rill_sleep pause;

    begin(seed);
    memset(&client, 0, sizeof client);
    memset(&impostor, 0, sizeof impostor);
    background_start(&connecting,
                     rill_rdma_connect(&client, &honest.hub, &villain.address, &brisk));
    expect_eq(await(rill_rdma_accept(&villain.listener, &accept)), 0);
    expect_eq(rill_rdma_ep_adopt(&impostor.ep, &accept), 0);
    impostor.victim = &client;
    if (dice(4))
        say(&impostor.sayings[0], greet(&impostor, &impostor.sayings[0], RILL_RDMA_ACK));
    for (int i = 0; i < ACTIONS && !impostor.ep.error; i++) {
        say_something(&impostor);
        if (client.state == RILL_RDMA_CONNECTED &&
            (!sending.task.future.poll || rill_task_is_over(&sending.task)))
            background_start(&sending,
                             rill_rdma_send(&client, &send, bytes, (size_t)dice(SIZE), 1));
        await(rill_sleep(&pause, (int64_t)dice(30 * RILL_MILLISECOND)));
    }
    if (background_end(&connecting) == 0) {
        while (await(rill_rdma_recv(&client, &recv, bytes, SIZE, RILL_RDMA_ANY_TAG)) >= 0)
            ;
        await(rill_rdma_disconnect(&client));
    }
    expect_eq(client.state, RILL_RDMA_IDLE);
    expect(is_an_end(&client));
    if (sending.task.future.poll)
        background_end(&sending);
    memset(&sending, 0, sizeof sending);
    hang_up(&impostor);
    end();
}

START_TEST(a_client_survives_whatever_its_server_says)
{
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        trouble_a_client(seed);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_server_survives_whatever_it_is_told_and_serves_others, IN_SIMULATED},
        {a_client_survives_whatever_its_server_says, IN_SIMULATED},
    };

    return fixture_main("rdma hostile", cases, sizeof cases / sizeof *cases);
}
