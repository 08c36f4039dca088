/* SPDX-License-Identifier: Apache-2.0 */
/* peer.c - a connection's other end, moved by the test instead of by a program. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct sim_peer {
    struct sim_link link; /* sim.peers */
    struct sim *sim;
    struct sim_object *object; /* NULL: closed */
    struct sim_event event;    /* it looks what it can do */
    char *out, *in;
    size_t out_size, out_sent, in_size, in_places;
    bool paused, shutting, closing, connected, ended;
    int error;
};

static void note_error(struct sim_peer *peer, int error)
{
    if (peer->error)
        return;
    peer->error = error;
    sim_trace(peer->sim, "a peer sees %s", strerrorname_np(-error));
}

static void read_all(struct sim_peer *peer)
{
    while (!peer->paused && !peer->ended) {
        int there = sim_stream_available(peer->object);

        if (there == SIM_WAIT)
            return;
        if (there < 0)
            note_error(peer, there);
        if (there == 0)
            peer->ended = true;
        if (there <= 0)
            return;
        if (peer->in_size + (size_t)there > peer->in_places) {
            peer->in_places = 2 * (peer->in_size + (size_t)there);
            peer->in = sim_grow(peer->in, peer->in_places);
        }
        sim_stream_get(peer->object, 0, peer->in + peer->in_size, (size_t)there);
        sim_stream_taken(peer->object, (size_t)there);
        peer->in_size += (size_t)there;
        sim_trace(peer->sim, "a peer reads %d bytes", there);
    }
}

static void send_all(struct sim_peer *peer)
{
    while (peer->out_sent < peer->out_size) {
        int room = sim_stream_room(peer->object);
        size_t size = peer->out_size - peer->out_sent;

        if (room == 0)
            return;
        if (room < 0) {
            note_error(peer, room);
            peer->out_sent = peer->out_size;
            return;
        }
        if (size > (size_t)room)
            size = (size_t)room;
        size = sim_shorten(peer->sim, size);
        sim_stream_put(peer->object, peer->out + peer->out_sent, size);
        sim_stream_push(peer->object, size);
        peer->out_sent += size;
        sim_trace(peer->sim, "a peer sends %zu bytes", size);
    }
}

static void let_go(struct sim_peer *peer)
{
    struct sim_object *object = peer->object;

    peer->object = NULL;
    object->peer = NULL;
    sim_event_disarm(peer->sim, &peer->event);
    sim_object_release(object);
}

static void peer_due(struct sim *sim, struct sim_event *event)
{
    struct sim_peer *peer = sim_container_of(event, struct sim_peer, event);
    struct sim_socket *socket = &peer->object->socket;

    (void)sim;
    if (socket->state == SIM_LISTENING || socket->state == SIM_CONNECTING)
        return;
    if (socket->state == SIM_CONNECTED)
        peer->connected = true;
    if (!peer->connected) {
        note_error(peer, socket->error ? -socket->error : -ENOTCONN);
        peer->out_sent = peer->out_size;
        return;
    }
    read_all(peer);
    send_all(peer);
    if (peer->out_sent < peer->out_size)
        return;
    if (peer->closing)
        let_go(peer);
    else if (peer->shutting)
        sim_stream_shut_out(peer->object);
}

void sim_peer_wake(struct sim_peer *peer)
{
    if (peer->object && !peer->event.place)
        sim_event_arm(peer->sim, &peer->event, peer->sim->now + sim_delay(peer->sim));
}

/* Takes over the reference to object. */
static struct sim_peer *create(struct sim *sim, struct sim_object *object)
{
    struct sim_peer *peer = sim_allocate(sizeof *peer);

    peer->sim = sim;
    peer->object = object;
    peer->event.fn = peer_due;
    object->peer = peer;
    sim_list_append(&sim->peers, &peer->link);
    return peer;
}

void sim_peers_finish(struct sim *sim)
{
    while (!sim_list_empty(&sim->peers)) {
        struct sim_peer *peer = sim_container_of(sim->peers.next, struct sim_peer, link);

        if (peer->object)
            let_go(peer);
        sim_list_remove(&peer->link);
        free(peer->out);
        free(peer->in);
        free(peer);
    }
}

struct sim_peer *sim_peer_connect(struct sim *sim, uint16_t port)
{
    struct sim_address to;
    struct sim_object *object;
    struct sim_peer *peer;

    sim_address_loopback(&to, AF_INET, port);
    sim_socket_create(sim, AF_INET, SOCK_STREAM, 0, &object);
    peer = create(sim, object);
    sim_trace(sim, "a peer connects to port %u", port);
    sim_connect_start(object, &to);
    sim_peer_wake(peer);
    return peer;
}

struct sim_peer *sim_peer_listen(struct sim *sim, uint16_t port, int backlog)
{
    struct sim_address at;
    struct sim_object *object;
    struct sim_peer *peer;

    sim_address_loopback(&at, AF_INET, port);
    sim_socket_create(sim, AF_INET, SOCK_STREAM, 0, &object);
    peer = create(sim, object);
    if (sim_socket_bind(object, &at) < 0 || sim_socket_listen(object, backlog) < 0)
        sim_fail(sim, "a peer cannot listen at port %u", port);
    return peer;
}

struct sim_peer *sim_peer_accept(struct sim_peer *listener)
{
    struct sim_object *object = listener->object ? sim_listener_take(listener->object) : NULL;
    struct sim_peer *peer;

    if (!object)
        return NULL;
    peer = create(listener->sim, object);
    sim_trace(listener->sim, "a peer accepts");
    sim_peer_wake(peer);
    return peer;
}

void sim_peer_send(struct sim_peer *peer, const void *bytes, size_t size)
{
    if (!size)
        return;
    peer->out = sim_grow(peer->out, peer->out_size + size);
    memcpy(peer->out + peer->out_size, bytes, size);
    peer->out_size += size;
    sim_peer_wake(peer);
}

void sim_peer_shutdown(struct sim_peer *peer)
{
    peer->shutting = true;
    sim_peer_wake(peer);
}

void sim_peer_close(struct sim_peer *peer)
{
    peer->closing = true;
    if (peer->object && peer->object->socket.state == SIM_LISTENING)
        let_go(peer);
    else
        sim_peer_wake(peer);
}

void sim_peer_reset(struct sim_peer *peer)
{
    if (!peer->object)
        return;
    sim_trace(peer->sim, "a peer resets its connection");
    sim_socket_linger_not(peer->object);
    let_go(peer);
}

void sim_peer_pause(struct sim_peer *peer, bool paused)
{
    peer->paused = paused;
    sim_peer_wake(peer);
}

size_t sim_peer_received(const struct sim_peer *peer, const void **bytes)
{
    if (bytes)
        *bytes = peer->in;
    return peer->in_size;
}

bool sim_peer_connected(const struct sim_peer *peer)
{
    return peer->connected;
}

bool sim_peer_ended(const struct sim_peer *peer)
{
    return peer->ended;
}

int sim_peer_error(const struct sim_peer *peer)
{
    return peer->error;
}
