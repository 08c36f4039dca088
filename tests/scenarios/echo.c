/* SPDX-License-Identifier: Apache-2.0 */
/* echo.c - an echo server under churn: every byte comes back once, or there is an error.
 *
 * A server, clients that are tasks of the same runtime, and peers that are moved by the
 * simulator. All of them send known bytes in random pieces; some finish, some close in
 * the middle, reset or vanish. */
#include "net/server.h"
#include "net/socket_options.h"
#include "runtime/timeout.h"
#include "tests/scenarios/scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLIENTS = 16,
    PEERS = 10,
    ECHOES_MAX = 512,
    TOTAL_MAX = 3000, /* bytes that one sends */
    PORT = 7000,
};

/* How a client or a peer goes. */
enum manner {
    FINISHES, /* says that it has finished, and waits for the rest */
    CLOSES,   /* in the middle */
    RESETS,
    IDLES, /* sends nothing, and waits */
    MANNERS,
};

/* The bytes of one client begin at a place of the pattern of their own. */
static uint64_t base_of(int number)
{
    return (uint64_t)number * 100003;
}

/* ---- the server ---- */

static struct rill_server server;
static size_t server_errors; /* connections that did not end with an end of stream */

struct echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op recv, send;
    struct rill_borrow borrow;
    enum { COPIES, BORROWS, SENDS_ON } manner;
    size_t place; /* in echoes */
    int64_t error;
    char buffer[300];
};

/* Those that are alive, to be cancelled. */
static struct echo *echoes[ECHOES_MAX];

static void enlist(struct echo *echo)
{
    for (size_t i = 0; i < ECHOES_MAX; i++)
        if (!echoes[i]) {
            echoes[i] = echo;
            echo->place = i;
            return;
        }
    expect(false);
}

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    enlist(echo);
    echo->manner = dice(3);
    for (;;) {
        if (echo->manner != COPIES) {
            RILL_AWAIT(rill_tcp_recv_borrowed(&echo->peer, &echo->borrow));
            echo->error = echo->borrow.result;
            if (echo->error <= 0)
                break;
            if (echo->manner == SENDS_ON) {
                RILL_AWAIT(rill_tcp_send_borrowed(&echo->peer, &echo->borrow));
                echo->send.result = echo->borrow.result;
            } else {
                RILL_AWAIT(rill_tcp_send_all(&echo->peer, &echo->send, echo->borrow.data,
                                             (size_t)echo->borrow.result));
            }
            rill_borrow_give_back(&echo->borrow);
        } else {
            RILL_AWAIT(
                rill_tcp_recv(&echo->peer, &echo->recv, echo->buffer, 1 + (size_t)dice(300)));
            echo->error = echo->recv.result;
            if (echo->error <= 0)
                break;
            RILL_AWAIT(rill_tcp_send_all(&echo->peer, &echo->send, echo->buffer,
                                         (size_t)echo->recv.result));
        }
        echo->error = echo->send.result;
        if (echo->error < 0)
            break;
    }
    RILL_AWAIT(rill_tcp_flush(&echo->peer));
    if (!rill_task_is_cancelled(task))
        expect(echo->error != -ECANCELED && echo->peer.result != -ECANCELED);
    if (echo->error < 0 || echo->peer.result < 0)
        server_errors++;
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    echoes[echo->place] = NULL;
    RILL_END();
}

/* ---- clients ---- */

static struct client {
    struct rill_task task;
    struct rill_join join;
    int number;
    enum manner manner;
    struct rill_tcp tcp;
    struct rill_connect *connect;
    struct rill_timeout timeout;
    struct rill_sleep pause;
    struct rill_future both, writer, reader; /* both: the other two at once */
    bool writer_done, reader_done, breaks_off;
    struct rill_op send, recv;
    struct rill_send_vectored vectored;
    struct iovec parts[3];
    size_t total, sent, size, received;
    char out[TOTAL_MAX], in[500];
} clients[CLIENTS];

static struct rill_connect connects[CLIENTS];

/* The next bytes in two parts, either of which may be empty, around an empty one. */
static void split(struct client *client)
{
    char *bytes = client->out + client->sent;
    size_t first = (size_t)dice(client->size + 1);

    client->parts[0] = (struct iovec){bytes, first};
    client->parts[1] = (struct iovec){bytes, 0};
    client->parts[2] = (struct iovec){bytes + first, client->size - first};
}

static enum rill_poll writer_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, writer);

    RILL_BEGIN();
    pattern_fill(client->out, base_of(client->number), client->total);
    while (client->sent < client->total) {
        client->size = 1 + (size_t)dice(dice(2) ? 50 : client->total);
        if (client->size > client->total - client->sent)
            client->size = client->total - client->sent;
        if (dice(3) == 0) {
            split(client);
            RILL_AWAIT(
                rill_tcp_send_all_vectored(&client->tcp, &client->vectored, client->parts, 3));
            client->send.result = client->vectored.result;
        } else if (dice(2)) {
            RILL_AWAIT(rill_tcp_send(&client->tcp, &client->send, client->out + client->sent,
                                     client->size));
        } else {
            RILL_AWAIT(rill_tcp_send_all(&client->tcp, &client->send, client->out + client->sent,
                                         client->size));
        }
        if (client->send.result < 0)
            RILL_RETURN(client->send.result);
        client->sent += (size_t)client->send.result;
        if (dice(4) == 0)
            RILL_AWAIT(rill_sleep(&client->pause, (int64_t)dice(300) * RILL_MICROSECOND));
    }
    if (client->manner != FINISHES)
        RILL_RETURN(-ECANCELED); /* goes, whatever the other half does */
    RILL_AWAIT(rill_tcp_finish_sending(&client->tcp, &client->send));
    RILL_RETURN(client->send.result);
    RILL_END();
}

static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, reader);

    RILL_BEGIN();
    for (;;) {
        if (dice(2))
            RILL_AWAIT(rill_tcp_recv(&client->tcp, &client->recv, client->in,
                                     1 + (size_t)dice(sizeof client->in)));
        else
            RILL_AWAIT(rill_tcp_recv_exactly(&client->tcp, &client->recv, client->in,
                                             1 + (size_t)dice(20)));
        if (client->recv.result <= 0)
            break;
        expect(pattern_is(client->in, base_of(client->number) + client->received,
                          (size_t)client->recv.result));
        client->received += (size_t)client->recv.result;
        expect(client->received <= client->total);
    }
    RILL_RETURN(client->recv.result);
    RILL_END();
}

static bool poll_half(struct client *client, struct rill_future *half, struct rill_task *task)
{
    enum rill_poll poll =
        client->breaks_off ? rill_poll_because(half, task, RILL_CANCELLED) : half->poll(half, task);

    if (poll == RILL_READY && half->result < 0)
        client->breaks_off = true;
    return poll == RILL_READY;
}

/* Waits for both halves; if one ends with an error the other is cancelled. */
static enum rill_poll both_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, both);

    for (int i = 0; i < 2; i++) { /* twice: each may break the other off */
        if (!client->writer_done)
            client->writer_done = poll_half(client, &client->writer, task);
        if (!client->reader_done)
            client->reader_done = poll_half(client, &client->reader, task);
    }
    return client->writer_done && client->reader_done ? RILL_READY : RILL_PENDING;
}

static struct rill_future *converse(struct client *client)
{
    rill_future_init(&client->writer, writer_poll);
    rill_future_init(&client->reader, reader_poll);
    return rill_future_init(&client->both, both_poll);
}

static struct rill_future *connect_client(struct client *client)
{
    client->connect = &connects[client->number];
    return rill_timeout(&client->timeout, (int64_t)dice(100) * RILL_MILLISECOND,
                        rill_tcp_connect(&client->tcp, client->connect, "127.0.0.1", PORT));
}

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&client->pause, (int64_t)dice(2000) * RILL_MICROSECOND));
    RILL_AWAIT(connect_client(client));
    expect_eq(client->tcp.is_open, client->timeout.result == 0);
    if (client->timeout.result < 0)
        RILL_RETURN(client->timeout.result);
    RILL_AWAIT(converse(client));
    if (client->manner == RESETS)
        rill_socket_set_reset_on_close(client->tcp.fd, true);
    RILL_AWAIT(rill_tcp_close(&client->tcp));
    RILL_RETURN(client->writer.result < 0 ? client->writer.result : client->reader.result);
    RILL_END();
}

/* ---- peers ---- */

static struct peer {
    struct sim_peer *peer;
    enum manner manner;
    size_t total;
} peers[PEERS];

static void peer_begins(struct sim *sim, void *argument)
{
    struct peer *peer = argument;

    peer->peer = sim_peer_connect(sim, PORT);
}

static void peer_sends(struct sim *sim, void *argument)
{
    struct peer *peer = argument;
    char bytes[TOTAL_MAX];

    (void)sim;
    pattern_fill(bytes, base_of(100 + (int)(peer - peers)), peer->total);
    sim_peer_send(peer->peer, bytes, peer->manner == IDLES ? 0 : peer->total);
    if (peer->manner == FINISHES)
        sim_peer_shutdown(peer->peer);
    if (peer->manner == CLOSES)
        sim_peer_close(peer->peer);
}

static void peer_breaks_off(struct sim *sim, void *argument)
{
    struct peer *peer = argument;

    (void)sim;
    if (peer->manner == RESETS)
        sim_peer_reset(peer->peer);
}

static void start_peers(void)
{
    for (int i = 0; i < PEERS; i++) {
        int64_t when = sim_now(fixture.sim) + (int64_t)dice(5000) * RILL_MICROSECOND;

        peers[i].manner = (enum manner)dice(MANNERS);
        peers[i].total = 1 + (size_t)dice(TOTAL_MAX);
        sim_at(fixture.sim, when, peer_begins, &peers[i]);
        sim_at(fixture.sim, when + 1 + (int64_t)dice(5000) * RILL_MICROSECOND, peer_sends,
               &peers[i]);
        sim_at(fixture.sim, when + 5 * RILL_MILLISECOND, peer_breaks_off, &peers[i]);
    }
}

/* ---- one run ---- */

static struct chaos {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    unsigned cancels_left;
    bool stops_the_server;
    struct background *serving;
} chaos;

static enum rill_poll chaos_poll(struct rill_future *self, struct rill_task *task)
{
    struct chaos *me = rill_container_of(self, struct chaos, task.future);

    RILL_BEGIN();
    for (; me->cancels_left > 0; me->cancels_left--) {
        RILL_AWAIT(rill_sleep(&me->pause, (int64_t)dice(3000) * RILL_MICROSECOND));
        {
            size_t victim = (size_t)dice(2 * CLIENTS);

            if (victim < CLIENTS)
                rill_task_cancel(&clients[victim].task);
            else if (echoes[victim - CLIENTS])
                rill_task_cancel(&echoes[victim - CLIENTS]->task);
        }
    }
    if (me->stops_the_server)
        rill_task_cancel(&me->serving->task);
    RILL_END();
}

static void start_clients(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].number = i;
        clients[i].manner = (enum manner)dice(dice(2) ? MANNERS - 1 : 1);
        clients[i].total = 1 + (size_t)dice(dice(3) ? 200 : TOTAL_MAX);
        rill_task_spawn(&clients[i].task, client_poll);
    }
}

/* Waits for the clients. Returns how many had no error of their own and yet did
 * not get all of their bytes back. */
static size_t count_short_changed(void)
{
    size_t count = 0;

    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];

        if (await(rill_task_join(&client->task, &client->join)) == 0)
            count += client->received < client->total;
        scenario_count(client->total, client->received);
    }
    return count;
}

/* A peer that has finished comes to an end, and no peer got a wrong byte. */
static size_t count_short_changed_peers(void)
{
    size_t count = 0;

    for (int i = 0; i < PEERS; i++) {
        struct peer *peer = &peers[i];
        struct rill_sleep pause;
        const void *bytes;
        size_t size;

        while (!peer->peer)
            await(rill_sleep(&pause, 5 * RILL_MILLISECOND));
        for (int wait = 0;
             peer->manner == FINISHES && !sim_peer_ended(peer->peer) && !sim_peer_error(peer->peer);
             wait++) {
            expect(wait < 10000);
            await(rill_sleep(&pause, 10 * RILL_MILLISECOND));
        }
        size = sim_peer_received(peer->peer, &bytes);
        expect(size <= peer->total);
        expect(pattern_is(bytes, base_of(100 + i), size));
        if (peer->manner == FINISHES && !sim_peer_error(peer->peer))
            count += size < peer->total;
    }
    return count;
}

static void forget(void)
{
    memset(&server, 0, sizeof server);
    memset(echoes, 0, sizeof echoes);
    memset(clients, 0, sizeof clients);
    memset(connects, 0, sizeof connects);
    memset(peers, 0, sizeof peers);
    memset(&chaos, 0, sizeof chaos);
    server_errors = 0;
}

static void run(void)
{
    struct background serving;
    size_t short_changed;

    forget();
    background_start(&serving, rill_serve(&server, "tcp://127.0.0.1:7000",
                                          RILL_SERVICE(struct echo, peer, echo_poll)));
    fixture_turn();
    start_clients();
    start_peers();
    chaos.cancels_left = dice(3) ? (unsigned)dice(30) : 0;
    chaos.stops_the_server = dice(10) == 0;
    chaos.serving = &serving;
    rill_task_spawn(&chaos.task, chaos_poll);
    short_changed = count_short_changed();
    await(rill_task_join(&chaos.task, &chaos.join));
    short_changed += count_short_changed_peers();
    expect(short_changed <= server_errors || chaos.stops_the_server);
    rill_task_cancel(&serving.task);
    expect_eq(background_end(&serving), -ECANCELED);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    for (size_t i = 0; i < ECHOES_MAX; i++)
        expect(!echoes[i]);
}

const struct scenario scenario_echo = {"echo", run, 25};
