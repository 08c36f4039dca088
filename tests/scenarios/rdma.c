/* SPDX-License-Identifier: Apache-2.0 */
/* rdma.c - connections of two workers over a UCX that the seed makes: messages of several
 * tags both ways, received into buffers or as parcels, with cancels, disconnects, cuts, deaths
 * and new connections. Each message that is received was sent once, in order and whole, and
 * what a disconnect promises is true. */
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "rdma/keeper.h"
#include "rdma/parcel.h"
#include "runtime/select.h"
#include "tests/rdma/sim_ucx.h"
#include "tests/scenarios/rdma_fate.h"
#include "tests/scenarios/scenario.h"

#include <errno.h>
#include <string.h>

enum {
    NODES = 2,
    CLIENTS = 3,
    SERVERS = 5,
    PARTIES = CLIENTS + SERVERS,
    TAGS = 2, /* each with a sender and a receiver on either side */
    ROUNDS = 3,
    MESSAGES_MAX = 8192,
    SESSIONS_MAX = 1024,
    SHORTEST = 8,
    LONGEST = 12000,
};

/* ---- the model ---- */

/* One side of a connection from its hello to its end: an id of a node. */
struct session {
    const struct rill_rdma_hub *hub;
    uint32_t id, peer_id;
    uint32_t serials[TAGS]; /* of messages: that were begun; that the other side has next */
    uint32_t next[TAGS];
};

/* Invariant: is_received only if it was begun. */
struct message {
    uint32_t session, serial, tag;
    size_t size;
    int64_t result; /* of sending; -EINPROGRESS */
    bool has_arrived, is_received;
};

static struct session sessions[SESSIONS_MAX];
static struct message messages[MESSAGES_MAX];
static uint32_t session_count, message_count;

static uint32_t session_of(const struct rill_rdma_hub *hub, uint32_t id)
{
    uint32_t i = session_count;

    while (i > 0 && !(sessions[i - 1].hub == hub && sessions[i - 1].id == id))
        i--;
    if (i > 0)
        return i - 1;
    expect(session_count < SESSIONS_MAX);
    sessions[session_count] = (struct session){.hub = hub, .id = id};
    return session_count++;
}

/* It begins with its number and goes on with a pattern. */
static void compose(char *bytes, uint32_t number)
{
    memcpy(bytes, &number, sizeof number);
    pattern_fill(bytes + sizeof number, number, messages[number].size - sizeof number);
}

static void arrived(const void *bytes, size_t size)
{
    uint32_t number;

    if (size < SHORTEST)
        return; /* a BYE */
    memcpy(&number, bytes, sizeof number);
    expect(number < message_count);
    expect(!messages[number].has_arrived);
    expect(messages[number].result != -ECANCELED); /* that says that it was not sent */
    messages[number].has_arrived = true;
}

/* ---- nodes and parties ---- */

struct node {
    struct rill_rdma rdma;
    struct rill_rdma_hub hub;
    struct rill_rdma_listener listener;
    struct rill_address address;
    struct rill_rdma_accept accept;
    struct rill_rdma_am stranger;
    struct rill_task acceptor, usher; /* of socket addresses, and of worker addresses */
    struct rill_join acceptor_join, usher_join;
};

struct party;

struct sender {
    struct rill_task task;
    struct rill_join join;
    struct rill_rdma_transfer transfer;
    struct rill_rdma_state_wait wait;
    struct rill_sleep pause;
    struct iovec parts[3];
    struct party *party;
    unsigned left;
    uint32_t number;
    char bytes[LONGEST];
};

struct receiver {
    struct rill_task task;
    struct rill_join join;
    struct rill_rdma_transfer transfer;
    struct rill_rdma_parcel parcel;
    bool is_parcel; /* is received as one */
    struct rill_rdma_state_wait wait;
    struct rill_sleep pause;
    struct party *party;
    uint32_t tag, session;
    size_t size;
    char bytes[LONGEST];
};

/* One side of connections, one after the other. */
struct party {
    struct rill_task task;
    struct rill_join join;        /* by the scenario */
    struct rill_join talker_join; /* by the party */
    struct rill_shield shield;
    struct rill_sleep pause;
    struct rill_rdma_connection connection;
    struct rill_rdma_state_wait wait;
    struct node *node, *other;
    unsigned rounds;
    bool is_client, is_taken;
    struct rill_timeout timeout;
    int64_t begun_ns;
    uint32_t session; /* when it ends */
    int which;
    struct sender senders[TAGS];
    struct receiver receivers[TAGS];
};

static struct node nodes[NODES];
static struct party parties[PARTIES];
static bool is_ending;
static bool is_calm; /* a world in which nothing fails: then no disconnect does */

/* What happened in all worlds, for whoever looks with a debugger whether enough does. */
static struct {
    uint64_t connects, disconnects, messages;
} tally;

static struct rill_rdma_connection_options draw_options(bool is_client)
{
    static const uint64_t windows[] = {1, 700, 5000, 0, UINT64_MAX};

    if (is_calm)
        return (struct rill_rdma_connection_options){
            .handshake_ns = 1000 * RILL_SECOND,
            .close_ns = 1000 * RILL_SECOND,
            .silence_ns = RILL_NEVER,
            .window = windows[dice(5)],
        };
    return (struct rill_rdma_connection_options){
        .handshake_ns = (int64_t)(1 + dice(300)) * RILL_MILLISECOND,
        .close_ns = (int64_t)(1 + dice(1000)) * RILL_MILLISECOND,
        .silence_ns = (int64_t)(400 + dice(1000)) * RILL_MILLISECOND,
        .window = windows[dice(5)],
        .reconnects = is_client && dice(3) == 0 ? 3 : 0,
        .reconnects_after_end = is_client && dice(2) == 0,
        .reconnect_first_ns = 10 * RILL_MILLISECOND,
        .reconnect_max_ns = 100 * RILL_MILLISECOND,
    };
}

/* ---- sending ---- */

static uint32_t draw_size(void)
{
    switch (dice(4)) {
    case 0:
        return (uint32_t)(SIM_UCX_EAGER_SIZE - 4 + dice(8));
    case 1:
        return (uint32_t)(SIM_UCX_EAGER_SIZE + dice(LONGEST - SIM_UCX_EAGER_SIZE));
    default:
        return (uint32_t)(SHORTEST + dice(500));
    }
}

/* What lies unreceived at the other side is never above its window, but for one message; and
 * what was not sent costs nothing. */
static void check_credit(const struct rill_rdma_connection *connection, const struct node *other)
{
    uint64_t bytes, cost = 0, window = connection->credit.peer_window;
    unsigned count;

    if (connection->state != RILL_RDMA_CONNECTED || connection->ep.error)
        return;
    for (uint32_t i = 0; i < message_count; i++)
        if (sessions[messages[i].session].hub == connection->hub &&
            sessions[messages[i].session].id == connection->id &&
            (messages[i].result >= 0 || messages[i].result == -EINPROGRESS))
            cost += rill_rdma_cost(messages[i].size, SIM_UCX_EAGER_SIZE);
    expect(connection->credit.sent <= cost);
    if (window == 0)
        return;
    count = sim_ucx_unreceived(other->rdma.worker, connection->peer.id, &bytes);
    expect(count <= 1 || bytes + count * RILL_RDMA_MESSAGE_COST <= window);
}

static struct rill_future *begin_message(struct sender *sender)
{
    struct rill_rdma_connection *connection = &sender->party->connection;
    struct message *message = &messages[message_count];
    uint32_t i = session_of(connection->hub, connection->id);
    uint32_t tag = (uint32_t)(sender - sender->party->senders);

    expect(message_count < MESSAGES_MAX);
    sender->number = message_count++;
    sessions[i].peer_id = connection->peer.id;
    *message = (struct message){
        .session = i,
        .tag = tag,
        .serial = sessions[i].serials[tag]++,
        .size = draw_size(),
        .result = -EINPROGRESS,
    };
    compose(sender->bytes, sender->number);
    switch (dice(4)) {
    case 0:
        return rill_rdma_send_sync(connection, &sender->transfer, sender->bytes, message->size,
                                   tag);
    case 1: {
        size_t cut = 1 + dice(message->size - 1);

        sender->parts[0] = (struct iovec){sender->bytes, cut};
        sender->parts[1] = (struct iovec){sender->bytes + cut, message->size - cut};
        return rill_rdma_send_vectored(connection, &sender->transfer, sender->parts, 2, tag);
    }
    default:
        return rill_rdma_send(connection, &sender->transfer, sender->bytes, message->size, tag);
    }
}

static bool is_lost(const struct party *party)
{
    const struct rill_rdma_connection *connection = &party->connection;

    return connection->state != RILL_RDMA_CONNECTED || connection->ep.error;
}

static enum rill_poll sender_poll(struct rill_future *self, struct rill_task *task)
{
    struct sender *sender = rill_container_of(self, struct sender, task.future);
    struct party *party = sender->party;

    RILL_BEGIN();
    for (; sender->left > 0 && !rill_task_is_cancelled(task); sender->left--) {
        if (is_lost(party)) {
            RILL_AWAIT(rill_rdma_wait_for_connection(&party->connection, &sender->wait));
            if (sender->wait.result < 0)
                break;
            if (is_lost(party)) {
                RILL_AWAIT(rill_sleep(&sender->pause, RILL_MILLISECOND));
                continue;
            }
        }
        RILL_AWAIT(begin_message(sender));
        messages[sender->number].result = sender->transfer.result;
        if (sender->transfer.result == -ECANCELED)
            expect(!messages[sender->number].has_arrived);
        memset(sender->bytes, 0xee, sizeof sender->bytes);
        if (sender->transfer.result >= 0)
            expect_eq(sender->transfer.result, messages[sender->number].size);
        check_credit(&party->connection, party->other);
        if (dice(2))
            RILL_AWAIT(rill_sleep(&sender->pause, dice_ns(5 * RILL_MILLISECOND)));
    }
    RILL_END();
}

/* ---- receiving ---- */

/* Takes note of the one that came. Those before it that were not received were not sent
 * either. */
static struct message *take_message(const struct receiver *receiver)
{
    const struct session *session = &sessions[receiver->session];
    struct message *message;
    struct session *from;
    uint32_t number;

    memcpy(&number, receiver->bytes, sizeof number);
    expect(number < message_count);
    message = &messages[number];
    from = &sessions[message->session];
    expect_eq(receiver->transfer.length, message->size);
    expect_eq(receiver->transfer.tag, message->tag);
    expect_eq(receiver->transfer.tag, receiver->tag);
    expect_eq(from->peer_id, session->id);
    expect(from->hub != session->hub);
    expect(!message->is_received);
    message->is_received = true;
    expect(message->serial >= from->next[message->tag]);
    for (uint32_t i = 0; i < number; i++)
        if (messages[i].session == message->session && messages[i].tag == message->tag &&
            messages[i].serial >= from->next[message->tag])
            expect(messages[i].result < 0 && messages[i].result != -EINPROGRESS);
    from->next[message->tag] = message->serial + 1;
    return message;
}

static void check_message(const struct receiver *receiver)
{
    const struct message *message = take_message(receiver);

    expect_eq(receiver->transfer.result, message->size);
    expect(pattern_is(receiver->bytes + sizeof(uint32_t), (uint64_t)(message - messages),
                      message->size - sizeof(uint32_t)));
    tally.messages++;
}

/* The other side has said that it sends no more: all that it has sent was received. */
static void check_all_received(const struct receiver *receiver)
{
    const struct session *session = &sessions[receiver->session];

    for (uint32_t i = 0; i < message_count; i++) {
        const struct message *message = &messages[i];
        const struct session *from = &sessions[message->session];

        if (from->hub != session->hub && from->peer_id == session->id &&
            message->tag == receiver->tag && message->result >= 0)
            expect(message->is_received);
    }
}

static struct rill_future *begin_receive(struct receiver *receiver)
{
    struct rill_rdma_connection *connection = &receiver->party->connection;

    if (connection->id > 0)
        receiver->session = session_of(connection->hub, connection->id);
    receiver->is_parcel = dice(4) == 0;
    if (receiver->is_parcel)
        return rill_rdma_parcel_recv(connection, &receiver->parcel, receiver->tag, LONGEST);
    receiver->size = dice(8) ? LONGEST : SHORTEST + dice(300);
    return rill_rdma_recv(connection, &receiver->transfer, receiver->bytes, receiver->size,
                          receiver->tag);
}

/* As if it had been received into the buffer. */
static void unpack(struct receiver *receiver)
{
    struct rill_rdma_parcel *parcel = &receiver->parcel;

    receiver->transfer.result = parcel->result;
    expect((parcel->result > 0) == (parcel->data != NULL));
    if (parcel->result < 0)
        return;
    receiver->transfer.length = (size_t)parcel->result;
    receiver->transfer.tag = parcel->tag;
    memcpy(receiver->bytes, parcel->data, receiver->transfer.length);
    rill_rdma_parcel_give_back(parcel);
}

static enum rill_poll receiver_poll(struct rill_future *self, struct rill_task *task)
{
    struct receiver *receiver = rill_container_of(self, struct receiver, task.future);
    struct party *party = receiver->party;

    RILL_BEGIN();
    while (!rill_task_is_cancelled(task)) {
        RILL_AWAIT(begin_receive(receiver));
        if (receiver->is_parcel)
            unpack(receiver);
        if (receiver->transfer.result >= 0)
            check_message(receiver);
        else if (receiver->transfer.result == -EMSGSIZE)
            take_message(receiver); /* its beginning is there */
        if (receiver->transfer.result == -ESHUTDOWN && party->connection.bye.came &&
            !party->connection.is_wanted_over)
            check_all_received(receiver);
        if (receiver->transfer.result < 0 && is_lost(party)) {
            if (receiver->transfer.result == -ESHUTDOWN &&
                !party->connection.options.reconnects_after_end)
                break;
            RILL_AWAIT(rill_rdma_wait_for_connection(&party->connection, &receiver->wait));
            if (receiver->wait.result < 0)
                break;
            RILL_AWAIT(rill_sleep(&receiver->pause, RILL_MILLISECOND));
        }
        if (dice(4) == 0)
            RILL_AWAIT(rill_sleep(&receiver->pause, dice_ns(20 * RILL_MILLISECOND)));
    }
    RILL_END();
}

/* ---- a conversation ---- */

static void start_talking(struct party *party)
{
    for (uint32_t i = 0; i < TAGS; i++) {
        memset(&party->senders[i], 0, sizeof party->senders[i]);
        memset(&party->receivers[i], 0, sizeof party->receivers[i]);
        party->senders[i].party = party;
        party->senders[i].left = (unsigned)dice(10);
        party->receivers[i].party = party;
        party->receivers[i].tag = i;
        rill_task_spawn(&party->senders[i].task, sender_poll);
        rill_task_spawn(&party->receivers[i].task, receiver_poll);
    }
}

static void note_session(struct party *party)
{
    const struct rill_rdma_connection *connection = &party->connection;

    party->begun_ns = rill_now();
    party->session =
        connection->id > 0 ? session_of(connection->hub, connection->id) : SESSIONS_MAX;
}

/* After a disconnect with 0 all that was sent has arrived. */
static void check_disconnect(struct party *party, bool is_cut)
{
    const struct rill_rdma_connection *connection = &party->connection;

    expect_eq(connection->state, RILL_RDMA_IDLE);
    if (is_calm)
        expect_eq(connection->result, 0);
    if (is_cut || connection->result != 0 || party->session == SESSIONS_MAX)
        return;
    tally.disconnects++;
    for (uint32_t i = 0; i < message_count; i++)
        if (messages[i].session == party->session && messages[i].result >= 0)
            expect(messages[i].has_arrived);
}

static struct rill_task *talker(struct party *party, int which)
{
    return which < TAGS ? &party->senders[which].task : &party->receivers[which - TAGS].task;
}

/* Death in the middle of a farewell is what is hardest. */
static void strike(struct sim *sim, void *node_)
{
    struct node *node = node_;

    (void)sim;
    if (node->rdma.is_open)
        sim_ucx_kill(node->rdma.worker, dice_ns(300 * RILL_MILLISECOND));
}

static void draw_fate(struct party *party)
{
    party->which = is_calm ? 1 : (int)dice(8);
    if (party->which > 4)
        sim_at(fixture.sim, sim_now(fixture.sim) + dice_ns(40 * RILL_MILLISECOND), strike,
               party->node);
}

/* Connected: talks for a while, and ends it, or waits until the other side does. */
static struct rill_future *wait_for_the_end(struct party *party)
{
    bool comes_back = party->connection.options.reconnects_after_end;
    const unsigned over = 1u << RILL_RDMA_CLOSED | 1u << RILL_RDMA_FAILED | 1u << RILL_RDMA_IDLE |
                          (comes_back ? 0 : 1u << RILL_RDMA_CLOSING);

    return rill_timeout(&party->timeout, dice_ns((comes_back ? 600 : 200) * RILL_MILLISECOND),
                        rill_rdma_wait_for_state(&party->connection, &party->wait, over));
}

static struct rill_future *begin_connect(struct party *party)
{
    struct rill_rdma_connection_options options = draw_options(true);
    size_t size;

    if (dice(3))
        return rill_rdma_connect(&party->connection, &party->node->hub, &party->other->address,
                                 &options);
    return rill_rdma_connect_worker(&party->connection, &party->node->hub,
                                    rill_rdma_address(&party->other->rdma, &size), &options);
}

/* More than half of the time in which a cancelled party has to have left. */
static void check_time(const struct party *party, int64_t limit_ns)
{
    /* The clock jumps, for all that this knows twice. */
    if (!is_calm)
        expect(rill_now() - party->begun_ns < limit_ns + 25 * RILL_SECOND);
}

static enum rill_poll party_poll(struct rill_future *self, struct rill_task *task)
{
    struct party *party = rill_container_of(self, struct party, task.future);
    struct rill_rdma_connection *connection = &party->connection;

    RILL_BEGIN();
    do {
        if (party->is_client) {
            party->begun_ns = rill_now();
            RILL_AWAIT(begin_connect(party));
            check_time(party, connection->options.handshake_ns + RILL_RDMA_DRAIN_NS);
        } else {
            RILL_AWAIT(rill_rdma_wait_for_connection(connection, &party->wait));
            connection->result = party->wait.result;
        }
        if (connection->result == 0) {
            tally.connects++;
            start_talking(party);
            RILL_AWAIT(wait_for_the_end(party));
        } else {
            memset(party->senders, 0, sizeof party->senders);
            memset(party->receivers, 0, sizeof party->receivers);
        }
        note_session(party);
        draw_fate(party);
        if (party->which == 0)
            RILL_AWAIT(rill_rdma_cut(connection));
        else
            RILL_AWAIT(rill_rdma_disconnect(connection));
        check_time(party, connection->options.close_ns + 2 * RILL_RDMA_DRAIN_NS);
        check_disconnect(party, party->which == 0);
        for (party->which = 0; party->which < 2 * TAGS; party->which++)
            if (talker(party, party->which)->future.poll)
                RILL_AWAIT(rill_shield(&party->shield, rill_task_join(talker(party, party->which),
                                                                      &party->talker_join)));
        if (!rill_task_is_cancelled(task))
            RILL_AWAIT(rill_sleep(&party->pause, dice_ns(50 * RILL_MILLISECOND)));
    } while (party->is_client && --party->rounds > 0 && !rill_task_is_cancelled(task));
    RILL_END();
}

/* ---- accepting ---- */

static struct party *free_party(struct node *node)
{
    for (int i = CLIENTS; i < PARTIES; i++) {
        struct party *party = &parties[i];

        if (party->is_taken && !rill_task_is_over(&party->task))
            continue;
        party->is_taken = true;
        party->node = node;
        party->other = &nodes[node == &nodes[0]];
        return party;
    }
    return NULL;
}

static void serve(struct party *party, int error)
{
    if (error)
        party->is_taken = false;
    else
        rill_task_spawn(&party->task, party_poll);
}

static enum rill_poll acceptor_poll(struct rill_future *self, struct rill_task *task)
{
    struct node *node = rill_container_of(self, struct node, acceptor.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_accept(&node->listener, &node->accept));
        if (node->accept.result < 0)
            break;
        {
            struct rill_rdma_connection_options options = draw_options(false);
            struct party *party = is_ending ? NULL : free_party(node);

            if (party)
                serve(party,
                      rill_rdma_adopt(&party->connection, &node->hub, &node->accept, &options));
            else
                rill_rdma_reject(&node->accept);
        }
    }
    RILL_END();
}

static enum rill_poll usher_poll(struct rill_future *self, struct rill_task *task)
{
    struct node *node = rill_container_of(self, struct node, usher.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_accept_worker(&node->hub, &node->stranger));
        if (node->stranger.result < 0)
            break;
        {
            struct rill_rdma_connection_options options = draw_options(false);
            struct party *party = is_ending ? NULL : free_party(node);

            if (party)
                serve(party, rill_rdma_adopt_worker(&party->connection, &node->hub, &node->stranger,
                                                    &options));
            else
                rill_rdma_am_release(&node->stranger);
        }
    }
    RILL_END();
}

/* ---- a run ---- */

static struct rdma_fate fate;

static void open_node(struct node *node, const struct rill_ucx *ucx)
{
    const struct rill_rdma_options options = {.ucx = ucx};
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    unsigned attempts = 0;

    memset(node, 0, sizeof *node);
    while (rill_rdma_open(&node->rdma, &options) != 0)
        expect(++attempts < 1000);
    node->rdma.client_id = dice(4) ? dice(UINT64_MAX) : UINT32_MAX - dice(4);
    while (rill_rdma_hub_open(&node->hub, &node->rdma) != 0)
        expect(++attempts < 1000);
    while (rill_rdma_listen(&node->listener, &node->rdma, &any) != 0)
        expect(++attempts < 1000);
    expect_eq(rill_rdma_listener_address(&node->listener, &node->address), 0);
    rill_task_spawn(&node->acceptor, acceptor_poll);
    rill_task_spawn(&node->usher, usher_poll);
}

static void close_node(struct node *node)
{
    rill_rdma_listener_close(&node->listener);
    expect_eq(node->hub.connections, 0);
    expect_eq(node->rdma.endpoints, 0);
    expect_eq(node->rdma.ops_in_flight, 0);
    expect_eq(node->rdma.source.pending, 0);
    rill_rdma_hub_close(&node->hub);
    rill_rdma_close(&node->rdma);
}

static void start_client(struct party *party)
{
    party->is_client = true;
    party->rounds = 1 + (unsigned)dice(ROUNDS);
    party->node = &nodes[dice(NODES)];
    party->other = &nodes[party->node == &nodes[0]];
    rill_task_spawn(&party->task, party_poll);
}

static struct rill_task *victims[PARTIES * (1 + 2 * TAGS)];

/* Tasks that are alive: of the parties whose talkers were never started some are not. */
static struct saboteur_of_talkers {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    unsigned cancels;
} mischief;

static enum rill_poll mischief_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    RILL_BEGIN();
    for (; mischief.cancels > 0; mischief.cancels--) {
        RILL_AWAIT(rill_sleep(&mischief.pause, dice_ns(60 * RILL_MILLISECOND)));
        {
            struct rill_task *victim = victims[dice(sizeof victims / sizeof *victims)];

            if (victim->future.poll && !rill_task_is_over(victim))
                rill_task_cancel(victim);
        }
    }
    RILL_END();
}

static void run(void)
{
    struct sim_ucx_options options = sim_ucx_options_hostile();
    const struct rill_ucx *ucx;
    size_t count = 0;

    is_calm = fixture.seed % 4 == 1;
    options.pairs &= !is_calm; /* they may be told of the end of another */
    if (is_calm)
        options.error_per_mille = options.mute_per_mille = options.loss_per_mille = 0;
    ucx = sim_ucx_begin(&options, arrived);
    session_count = message_count = 0;
    is_ending = false;
    memset(parties, 0, sizeof parties);
    for (int i = 0; i < NODES; i++)
        open_node(&nodes[i], ucx);
    for (int i = 0; i < CLIENTS; i++)
        start_client(&parties[i]);
    for (int i = 0; i < PARTIES; i++) {
        victims[count++] = &parties[i].task;
        for (int k = 0; k < 2 * TAGS; k++)
            victims[count++] = talker(&parties[i], k);
    }
    fate = (struct rdma_fate){.nodes = {&nodes[0].rdma, &nodes[1].rdma}};
    fate.strokes = is_calm || dice(2) ? 0 : (unsigned)dice(4);
    rdma_fate_start(&fate);
    memset(&mischief, 0, sizeof mischief);
    mischief.cancels = is_calm || dice(2) ? 0 : (unsigned)dice(8);
    rill_task_spawn(&mischief.task, mischief_poll);
    rdma_fate_end(&fate);
    await(rill_task_join(&mischief.task, &mischief.join));
    for (int i = 0; i < CLIENTS; i++)
        await(rill_task_join(&parties[i].task, &parties[i].join));
    is_ending = true;
    for (int i = 0; i < NODES; i++) {
        rill_task_cancel(&nodes[i].acceptor);
        rill_task_cancel(&nodes[i].usher);
        await(rill_task_join(&nodes[i].acceptor, &nodes[i].acceptor_join));
        await(rill_task_join(&nodes[i].usher, &nodes[i].usher_join));
    }
    for (int i = CLIENTS; i < PARTIES; i++)
        if (parties[i].is_taken)
            await(rill_task_join(&parties[i].task, &parties[i].join));
    for (int i = 0; i < NODES; i++)
        close_node(&nodes[i]);
    for (size_t i = 0; i < message_count; i++)
        scenario_count(1, messages[i].has_arrived);
    sim_ucx_end();
}

const struct scenario scenario_rdma = {"rdma", run, 75};
