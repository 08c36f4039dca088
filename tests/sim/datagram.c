/* SPDX-License-Identifier: Apache-2.0 */
/* datagram.c - messages between sockets. Those of UDP may be lost, doubled or overtake each
 * other; those of unix sockets are there at once, and their senders wait for room. */
#include "tests/sim/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DATAGRAM_MAX 65507

static struct sim_object *socket_of(struct sim_link *bound)
{
    return sim_container_of(bound, struct sim_object, socket.bound);
}

/* Would it take what comes from the one address to the other? */
static bool takes(struct sim_object *object, const struct sim_address *from,
                  const struct sim_address *to)
{
    return object->kind == SIM_DATAGRAM && sim_address_serves(&object->socket.local, to) &&
           (!object->socket.remote.size || sim_address_serves(&object->socket.remote, from));
}

static struct sim_object *find_receiver(struct sim *sim, const struct sim_address *from,
                                        const struct sim_address *to)
{
    for (struct sim_link *link = sim->bound.next; link != &sim->bound; link = link->next)
        if (takes(socket_of(link), from, to))
            return socket_of(link);
    return NULL;
}

static int take_error(struct sim_socket *socket)
{
    int error = socket->error;

    socket->error = 0;
    return -error;
}

/* ---- groups ---- */

static bool is_group(const struct sim_address *address)
{
    if (address->any.sa_family == AF_INET)
        return IN_MULTICAST(ntohl(address->v4.sin_addr.s_addr));
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&address->v6.sin6_addr);
}

static struct sim_address *find_group(struct sim_socket *socket, const struct sim_address *group)
{
    struct sim_address host = *group;

    sim_address_set_port(&host, 0);
    for (unsigned i = 0; i < socket->group_count; i++)
        if (sim_address_serves(&socket->groups[i], &host))
            return &socket->groups[i];
    return NULL;
}

/* Both kinds of request begin with the group's address. */
int sim_datagram_group(struct sim_object *object, const void *request, size_t size, bool joins)
{
    struct sim_socket *socket = &object->socket;
    struct sim_address group = {.size = sizeof group.v4}, *member;

    if (size < sizeof(struct ip_mreq))
        return -EINVAL;
    if (size >= sizeof(struct ipv6_mreq)) {
        group.v6.sin6_family = AF_INET6;
        group.size = sizeof group.v6;
        memcpy(&group.v6.sin6_addr, request, sizeof group.v6.sin6_addr);
    } else {
        group.v4.sin_family = AF_INET;
        memcpy(&group.v4.sin_addr, request, sizeof group.v4.sin_addr);
    }
    if (!is_group(&group))
        return -EINVAL;
    member = find_group(socket, &group);
    if (joins && member)
        return -EADDRINUSE;
    if (!joins && !member)
        return -EADDRNOTAVAIL;
    if (!joins)
        *member = socket->groups[--socket->group_count];
    else if (socket->group_count < SIM_GROUPS)
        socket->groups[socket->group_count++] = group;
    else
        return -ENOBUFS;
    return 0;
}

/* ---- on its way ---- */

static struct sim_datagram *create(const struct sim_address *from, const struct sim_address *to,
                                   size_t size)
{
    struct sim_datagram *datagram = sim_allocate(sizeof *datagram + size);

    sim_list_init(&datagram->link);
    datagram->from = *from;
    datagram->to = *to;
    datagram->size = size;
    return datagram;
}

static struct sim_datagram *copy(const struct sim_datagram *other)
{
    struct sim_datagram *datagram = create(&other->from, &other->to, other->size);

    memcpy(datagram->bytes, other->bytes, other->size);
    return datagram;
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

static bool is_full(struct sim_object *object)
{
    return object->socket.datagram_count >= object->sim->options.datagrams_max;
}

/* Takes the datagram over. */
static void deliver(struct sim_object *object, struct sim_datagram *datagram)
{
    sim_list_append(&object->socket.datagrams, &datagram->link);
    object->socket.datagram_count++;
    sim_object_wake(object, POLLIN | POLLRDNORM);
}

static void lose(struct sim *sim, const struct sim_datagram *datagram)
{
    sim->datagrams_lost++;
    sim_trace(sim, "a datagram of %zu bytes is lost", datagram->size);
}

static void arrive(struct sim *sim, const struct sim_datagram *datagram, struct sim_object *object)
{
    if (!object || is_full(object) || sim_chance(sim, sim->options.datagram_per_mille))
        lose(sim, datagram);
    else
        deliver(object, copy(datagram));
}

static void arrive_at_group(struct sim *sim, const struct sim_datagram *datagram)
{
    for (struct sim_link *link = sim->bound.next; link != &sim->bound; link = link->next) {
        struct sim_object *object = socket_of(link);

        if (takes(object, &datagram->from, &datagram->to) &&
            find_group(&object->socket, &datagram->to))
            arrive(sim, datagram, object);
    }
}

static void datagram_due(struct sim *sim, struct sim_event *event)
{
    struct sim_datagram *datagram = sim_container_of(event, struct sim_datagram, event);

    if (datagram->sender) {
        datagram->sender->socket.sending -= datagram->size;
        sim_object_wake(datagram->sender, POLLOUT | POLLWRNORM);
    }
    if (is_group(&datagram->to))
        arrive_at_group(sim, datagram);
    else
        arrive(sim, datagram, find_receiver(sim, &datagram->from, &datagram->to));
    drop(sim, datagram);
}

static void launch(struct sim *sim, struct sim_datagram *datagram)
{
    datagram->event.fn = datagram_due;
    sim_list_append(&sim->datagrams, &datagram->link);
    sim_event_arm(sim, &datagram->event, sim->now + sim_latency(sim));
}

/* ---- sending ---- */

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
static struct sim_datagram *collect(struct sim_op *op, const struct sim_address *from,
                                    const struct sim_address *to)
{
    struct sim_datagram *datagram = create(from, to, op->total);

    for (size_t moved = 0; moved < op->total;) {
        char *piece;
        size_t step = sim_op_memory(op, moved, op->total - moved, &piece);

        memcpy(datagram->bytes + moved, piece, step);
        moved += step;
    }
    return datagram;
}

bool sim_datagram_has_room(struct sim_object *object)
{
    struct sim_object *receiver;

    if (object->socket.domain == AF_UNIX) {
        receiver = find_receiver(object->sim, &object->socket.local, &object->socket.remote);
        return !receiver || !is_full(receiver);
    }
    return object->socket.sending < object->sim->options.socket_buffer_size;
}

/* Returns 0, or why nobody is found at a path. */
static int find_path(struct sim *sim, const struct sim_address *from, const struct sim_address *to,
                     struct sim_object **receiver)
{
    struct sim_place place;
    int result = sim_address_is_abstract(to)
                     ? 0
                     : sim_disk_find(sim, NULL, sim_address_path(to), true, &place);

    *receiver = find_receiver(sim, from, to);
    return result < 0 ? result : *receiver ? 0 : -ECONNREFUSED;
}

static int send_local(struct sim_op *op, const struct sim_address *to)
{
    const struct sim_address *from = &op->object->socket.local;
    struct sim_object *receiver;
    int result = find_path(op->ring->sim, from, to, &receiver);

    if (result < 0)
        return result;
    if (is_full(receiver))
        return SIM_WAIT;
    deliver(receiver, collect(op, from, to));
    return (int)op->total;
}

static int send_far(struct sim_op *op, const struct sim_address *to)
{
    struct sim *sim = op->ring->sim;
    struct sim_socket *socket = &op->object->socket;
    struct sim_datagram *datagram;
    struct sim_address from;

    if (op->total > DATAGRAM_MAX)
        return -EMSGSIZE;
    sim_socket_name(op->object);
    sender_name(op->object, &from);
    if (!is_group(to) && !find_receiver(sim, &from, to)) {
        if (socket->remote.size) { /* the answer comes after this send */
            socket->error = ECONNREFUSED;
            sim_object_wake(op->object, POLLIN | POLLRDNORM | POLLERR);
        }
        return (int)op->total;
    }
    if (!sim_datagram_has_room(op->object))
        return SIM_WAIT;
    datagram = collect(op, &from, to);
    if (sim_chance(sim, sim->options.doubled_per_mille)) {
        sim->datagrams_doubled++;
        launch(sim, copy(datagram));
    }
    datagram->sender = op->object;
    socket->sending += datagram->size;
    launch(sim, datagram);
    return (int)op->total;
}

int sim_datagram_send(struct sim_op *op)
{
    struct sim_socket *socket = &op->object->socket;
    const struct sim_address *to = op->address.size ? &op->address : &socket->remote;

    if (socket->error)
        return take_error(socket);
    if (!to->size)
        return socket->domain == AF_UNIX ? -ENOTCONN : -EDESTADDRREQ;
    return socket->domain == AF_UNIX ? send_local(op, to) : send_far(op, to);
}

int sim_datagram_connect(struct sim_object *object, const struct sockaddr *to, socklen_t size)
{
    struct sim_address remote;
    struct sim_object *receiver;
    int result;

    if (to && size >= sizeof to->sa_family && to->sa_family == AF_UNSPEC) {
        object->socket.remote.size = 0;
        object->socket.from_loopback = false;
        sim_socket_unname(object);
        return 0;
    }
    result = sim_address_set(&remote, to, size);
    if (result == 0 && remote.any.sa_family != object->socket.domain)
        result = -EAFNOSUPPORT;
    if (result == 0 && object->socket.domain == AF_UNIX)
        result = find_path(object->sim, &object->socket.local, &remote, &receiver);
    if (result < 0)
        return result;
    if (object->socket.domain != AF_UNIX) {
        /* The address that a socket sends from stays with it from one peer to the next. */
        if (object->socket.from_loopback && !sim_address_is_loopback(&remote))
            return -EINVAL;
        object->socket.from_loopback = sim_address_is_loopback(&remote);
        sim_socket_name(object);
    }
    object->socket.remote = remote;
    return 0;
}

/* ---- receiving ---- */

int sim_datagram_ready(struct sim_object *object)
{
    if (object->socket.error)
        return take_error(&object->socket);
    return object->socket.datagram_count ? 1 : SIM_WAIT;
}

size_t sim_datagram_overhead(const struct sim_op *op)
{
    if (!op->message || !(op->sqe.flags & IOSQE_BUFFER_SELECT))
        return 0;
    return sizeof(struct io_uring_recvmsg_out) + op->message->msg_namelen +
           op->message->msg_controllen;
}

/* Into a shared buffer go a header, room for the name, and the bytes. */
static void fill_shared(struct sim_op *op, const struct sim_datagram *datagram, size_t size,
                        size_t told)
{
    char *buffer = op->iov_one.iov_base;
    struct io_uring_recvmsg_out out = {
        .namelen = op->message->msg_namelen,
        .payloadlen = (unsigned)told,
        .flags = size < datagram->size ? MSG_TRUNC : 0,
    };

    sim_address_get(&datagram->from, buffer + sizeof out, &out.namelen);
    memcpy(buffer, &out, sizeof out);
    memcpy(buffer + sim_datagram_overhead(op), datagram->bytes, size);
}

static void fill(struct sim_op *op, const struct sim_datagram *datagram, size_t size)
{
    sim_op_scatter(op, datagram->bytes, size);
    if (!op->message)
        return;
    if (datagram->from.size)
        sim_address_get(&datagram->from, op->message->msg_name, &op->message->msg_namelen);
    else
        op->message->msg_namelen = 0;
    op->message->msg_controllen = 0;
    op->message->msg_flags = size < datagram->size ? MSG_TRUNC : 0;
}

/* Whoever waits to send to a full unix socket waits at a socket of its own. */
static void wake_local_senders(struct sim *sim)
{
    for (struct sim_link *link = sim->objects.next; link != &sim->objects; link = link->next) {
        struct sim_object *object = sim_container_of(link, struct sim_object, link);

        if (object->kind == SIM_DATAGRAM && object->socket.domain == AF_UNIX)
            sim_object_wake(object, POLLOUT | POLLWRNORM);
    }
}

int sim_datagram_recv(struct sim_op *op)
{
    struct sim_socket *socket = &op->object->socket;
    struct sim_datagram *datagram =
        sim_container_of(socket->datagrams.next, struct sim_datagram, link);
    size_t overhead = sim_datagram_overhead(op), room = op->total - overhead;
    size_t size = datagram->size < room ? datagram->size : room;
    size_t told = op->sqe.msg_flags & MSG_TRUNC ? datagram->size : size;

    if (overhead)
        fill_shared(op, datagram, size, told);
    else
        fill(op, datagram, size);
    if (!(op->sqe.msg_flags & MSG_PEEK)) {
        socket->datagram_count--;
        drop(op->ring->sim, datagram);
        if (socket->domain == AF_UNIX)
            wake_local_senders(op->ring->sim);
    }
    return (int)(overhead ? overhead + size : told);
}

void sim_datagram_release(struct sim_object *object)
{
    struct sim *sim = object->sim;

    sim_datagrams_drop(sim, &object->socket.datagrams);
    for (struct sim_link *link = sim->datagrams.next; link != &sim->datagrams; link = link->next) {
        struct sim_datagram *datagram = sim_container_of(link, struct sim_datagram, link);

        if (datagram->sender == object)
            datagram->sender = NULL;
    }
    if (object->socket.domain == AF_UNIX)
        wake_local_senders(sim);
}
