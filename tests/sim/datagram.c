/* SPDX-License-Identifier: Apache-2.0 */
/* datagram.c - messages between UDP-like sockets, which may be lost or overtake each other. */
#include "tests/sim/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DATAGRAM_MAX 65507

static struct sim_object *find_receiver(struct sim *sim, const struct sim_address *from,
                                        const struct sim_address *to)
{
    for (struct sim_link *link = sim->bound.next; link != &sim->bound; link = link->next) {
        struct sim_object *object = sim_container_of(link, struct sim_object, socket.bound);

        if (object->kind == SIM_DATAGRAM && sim_address_serves(&object->socket.local, to) &&
            (!object->socket.remote.size || sim_address_serves(&object->socket.remote, from)))
            return object;
    }
    return NULL;
}

static void drop(struct sim *sim, struct sim_datagram *datagram)
{
    sim_event_disarm(sim, &datagram->event);
    sim_list_remove(&datagram->link);
    free(datagram);
}

void sim_datagrams_drop(struct sim *sim, struct sim_link *list)
{
    while (!sim_list_empty(list))
        drop(sim, sim_container_of(list->next, struct sim_datagram, link));
}

static void datagram_due(struct sim *sim, struct sim_event *event)
{
    struct sim_datagram *datagram = sim_container_of(event, struct sim_datagram, event);
    struct sim_object *object = find_receiver(sim, &datagram->from, &datagram->to);

    if (!object || object->socket.datagram_count >= sim->options.datagrams_max ||
        sim_chance(sim, sim->options.datagram_per_mille)) {
        sim_trace(sim, "a datagram of %zu bytes is lost", datagram->size);
        drop(sim, datagram);
        return;
    }
    sim_list_remove(&datagram->link);
    sim_list_append(&object->socket.datagrams, &datagram->link);
    object->socket.datagram_count++;
    sim_object_wake(object, POLLIN | POLLRDNORM);
}

/* A receiver never sees "any" as the sender's address. */
static void sender_name(struct sim_object *object, struct sim_address *from)
{
    uint16_t port = sim_address_port(&object->socket.local);
    struct in_addr any = {.s_addr = htonl(INADDR_ANY)};

    *from = object->socket.local;
    if ((from->any.sa_family == AF_INET && from->v4.sin_addr.s_addr == any.s_addr) ||
        (from->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&from->v6.sin6_addr)))
        sim_address_loopback(from, from->any.sa_family, port);
}

/* The memory is read piece by piece, as the stream's is. */
static struct sim_datagram *collect(struct sim_op *op)
{
    struct sim_datagram *datagram = sim_allocate(sizeof *datagram + op->total);

    while (datagram->size < op->total) {
        char *piece;
        size_t step = sim_op_memory(op, datagram->size, op->total - datagram->size, &piece);

        memcpy(datagram->bytes + datagram->size, piece, step);
        datagram->size += step;
    }
    return datagram;
}

int sim_datagram_send(struct sim_op *op)
{
    struct sim *sim = op->ring->sim;
    struct sim_socket *socket = &op->object->socket;
    const struct sim_address *to = op->address.size ? &op->address : &socket->remote;
    struct sim_datagram *datagram;
    struct sim_address from;

    if (socket->error) {
        int error = socket->error;

        socket->error = 0;
        return -error;
    }
    if (!to->size)
        return socket->domain == AF_UNIX ? -ENOTCONN : -EDESTADDRREQ;
    if (op->total > DATAGRAM_MAX)
        return -EMSGSIZE;
    sim_socket_name(op->object);
    sender_name(op->object, &from);
    if (!find_receiver(sim, &from, to)) {
        if (socket->domain == AF_UNIX)
            return -ECONNREFUSED;
        if (socket->remote.size)
            socket->error = ECONNREFUSED; /* the answer comes after this send */
        return (int)op->total;
    }
    datagram = collect(op);
    datagram->from = from;
    datagram->to = *to;
    datagram->event.fn = datagram_due;
    sim_list_append(&sim->datagrams, &datagram->link);
    sim_event_arm(sim, &datagram->event, sim->now + sim_latency(sim));
    return (int)op->total;
}

int sim_datagram_ready(struct sim_object *object)
{
    if (object->socket.error) {
        int error = object->socket.error;

        object->socket.error = 0;
        return -error;
    }
    return object->socket.datagram_count ? 1 : SIM_WAIT;
}

int sim_datagram_recv(struct sim_op *op)
{
    struct sim_socket *socket = &op->object->socket;
    struct sim_datagram *datagram =
        sim_container_of(socket->datagrams.next, struct sim_datagram, link);
    size_t size = datagram->size < op->total ? datagram->size : op->total;
    bool cut = op->total < datagram->size;

    sim_op_scatter(op, datagram->bytes, size);
    if (op->message) {
        sim_address_get(&datagram->from, op->message->msg_name, &op->message->msg_namelen);
        op->message->msg_controllen = 0;
        op->message->msg_flags = cut ? MSG_TRUNC : 0;
    }
    if (cut && (op->sqe.msg_flags & MSG_TRUNC))
        size = datagram->size;
    if (!(op->sqe.msg_flags & MSG_PEEK)) {
        socket->datagram_count--;
        drop(op->ring->sim, datagram);
    }
    return (int)size;
}

void sim_datagram_release(struct sim_object *object)
{
    sim_datagrams_drop(object->sim, &object->socket.datagrams);
}
