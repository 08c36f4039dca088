/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - how clients reach a listener, and how it takes them. */
#include "tests/sim/internal.h"

#include <errno.h>

static void fail(struct sim_object *client, int error)
{
    client->socket.state = SIM_IDLE;
    client->socket.error = error;
    sim_object_wake(client, ~0u);
}

/* Several listeners may share a port. */
static struct sim_object *find_listener(struct sim *sim, const struct sim_address *wanted)
{
    struct sim_object *found = NULL;
    uint64_t count = 0;

    for (struct sim_link *link = sim->bound.next; link != &sim->bound; link = link->next) {
        struct sim_object *object = sim_container_of(link, struct sim_object, socket.bound);

        if (object->kind != SIM_STREAM || object->socket.state != SIM_LISTENING ||
            !sim_address_serves(&object->socket.local, wanted))
            continue;
        if (!found || sim_random(sim, ++count + 1) == 0)
            found = object;
    }
    return found;
}

/* The kernel's queue holds one more than the backlog says. */
static bool is_full(const struct sim_object *listener)
{
    return listener->socket.queue_count > listener->socket.backlog;
}

/* Makes the other end of the connection, which waits in the listener's queue. */
static void enqueue(struct sim_object *listener, struct sim_object *client)
{
    struct sim_object *server = sim_object_create(client->sim, SIM_STREAM);

    server->socket.domain = listener->socket.domain;
    server->socket.type = listener->socket.type;
    server->socket.protocol = listener->socket.protocol;
    server->socket.local = client->socket.remote;
    server->socket.remote = client->socket.local;
    server->socket.state = client->socket.state = SIM_CONNECTED;
    server->socket.other = client;
    client->socket.other = server;
    sim_list_append(&listener->socket.queue, &server->socket.queued);
    listener->socket.queue_count++;
    sim_trace(client->sim, "fd %d waits to be accepted by fd %d", client->fd, listener->fd);
    sim_object_wake(listener, POLLIN | POLLRDNORM);
    sim_object_wake(client, POLLOUT | POLLWRNORM);
}

/* Its own question is the answer where nobody listens at the port that was chosen for it
 * (simultaneous open, RFC 9293). */
static void connect_to_itself(struct sim_object *client)
{
    client->socket.state = SIM_CONNECTED;
    client->socket.other = client;
    sim_trace(client->sim, "fd %d is connected to itself", client->fd);
    sim_object_wake(client, POLLOUT | POLLWRNORM);
}

static bool is_own_peer(const struct sim_socket *client)
{
    return client->domain != AF_UNIX && sim_address_serves(&client->local, &client->remote);
}

static void handshake_due(struct sim *sim, struct sim_event *event)
{
    struct sim_object *client = sim_container_of(event, struct sim_object, socket.handshake);
    struct sim_object *listener = find_listener(sim, &client->socket.remote);

    if (!listener && is_own_peer(&client->socket))
        connect_to_itself(client);
    else if (!listener)
        fail(client, ECONNREFUSED);
    else if (is_full(listener))
        sim_list_append(&listener->socket.crowd, &client->socket.queued);
    else
        enqueue(listener, client);
}

void sim_connect_init(struct sim_object *object)
{
    object->socket.handshake.fn = handshake_due;
    sim_list_init(&object->socket.queue);
    sim_list_init(&object->socket.crowd);
    sim_list_init(&object->socket.queued);
}

static int connect_local(struct sim_object *object, const struct sim_address *to)
{
    struct sim_place place;
    int result;

    if (sim_address_is_abstract(to))
        return 0;
    result = sim_disk_find(object->sim, NULL, sim_address_path(to), true, &place);
    return result < 0 ? result : S_ISSOCK(place.node->mode) ? 0 : -ECONNREFUSED;
}

int sim_connect_start(struct sim_object *object, const struct sim_address *to)
{
    struct sim *sim = object->sim;
    struct sim_socket *socket = &object->socket;
    int64_t latency;

    if (socket->state == SIM_CONNECTED)
        return -EISCONN;
    if (socket->state == SIM_CONNECTING)
        return -EALREADY;
    if (socket->state != SIM_IDLE)
        return -EINVAL;
    if ((to->any.sa_family == AF_UNIX) != (socket->domain == AF_UNIX))
        return -EAFNOSUPPORT;
    if (socket->domain == AF_UNIX) {
        int result = connect_local(object, to);

        if (result < 0)
            return result;
    }
    sim_socket_name(object);
    socket->remote = *to;
    socket->error = 0;
    socket->state = SIM_CONNECTING;
    latency = sim_latency(sim);
    if (latency > 0)
        sim_event_arm(sim, &socket->handshake, sim->now + latency);
    else
        handshake_due(sim, &socket->handshake);
    return 0;
}

/* The client has lost interest. */
void sim_connect_stop(struct sim_object *object)
{
    sim_event_disarm(object->sim, &object->socket.handshake);
    sim_list_remove(&object->socket.queued);
}

int sim_attempt_connect(struct sim_op *op)
{
    struct sim_object *object = op->object;
    struct sim_options *options = &op->ring->sim->options;

    if (object->kind == SIM_DATAGRAM)
        return sim_datagram_connect(object, &op->address.any, op->address.size);
    if (object->kind != SIM_STREAM)
        return -ENOTSOCK;
    if (!op->tried) {
        int result = 0;

        if (object->socket.state == SIM_IDLE && sim_op_chance(op, options->connect_per_mille))
            return sim_random(op->ring->sim, 2) ? -ECONNREFUSED : -ETIMEDOUT;
        result = sim_connect_start(object, &op->address);
        if (result < 0)
            return result;
    }
    if (object->socket.state == SIM_CONNECTING)
        return sim_op_wait(op, POLLOUT | POLLWRNORM | POLLERR | POLLHUP);
    if (object->socket.error) {
        int error = object->socket.error;

        object->socket.error = 0;
        return -error;
    }
    return object->socket.state == SIM_CONNECTED ? 0 : -ECONNREFUSED;
}

/* ---- the listener's side ---- */

struct sim_object *sim_listener_take(struct sim_object *listener)
{
    struct sim_socket *socket = &listener->socket;
    struct sim_object *taken;

    if (sim_list_empty(&socket->queue))
        return NULL;
    taken = sim_container_of(socket->queue.next, struct sim_object, socket.queued);
    sim_list_remove(&taken->socket.queued);
    socket->queue_count--;
    if (!sim_list_empty(&socket->crowd)) {
        struct sim_object *client =
            sim_container_of(socket->crowd.next, struct sim_object, socket.queued);

        sim_list_remove(&client->socket.queued);
        enqueue(listener, client);
    }
    return taken;
}

void sim_listener_shut(struct sim_object *listener)
{
    struct sim_socket *socket = &listener->socket;

    if (socket->state != SIM_LISTENING)
        return;
    socket->state = SIM_SHUT;
    while (!sim_list_empty(&socket->crowd)) {
        struct sim_object *client =
            sim_container_of(socket->crowd.next, struct sim_object, socket.queued);

        sim_list_remove(&client->socket.queued);
        fail(client, ECONNREFUSED);
    }
    while (!sim_list_empty(&socket->queue)) {
        struct sim_object *server = sim_listener_take(listener);

        sim_stream_abort(server);
        sim_object_release(server);
    }
    sim_object_wake(listener, ~0u);
}

/* Those of accept(2) after which a listener goes on. */
static int accept_fault(struct sim_op *op)
{
    static const int errors[] = {
        ECONNABORTED, EINTR, EAGAIN,      EPROTO,     ENETDOWN, ENOPROTOOPT, EHOSTDOWN, ENONET,
        EHOSTUNREACH, EPERM, ENETUNREACH, EOPNOTSUPP, ENFILE,   ENOBUFS,     ENOMEM,
    };

    if (!sim_op_chance(op, op->ring->sim->options.accept_per_mille))
        return 0;
    if (sim_random(op->ring->sim, 2))
        return -EMFILE;
    return -errors[sim_random(op->ring->sim, sizeof errors / sizeof *errors)];
}

/* The kernel wants a free descriptor before it looks for a connection. */
static int accept_one(struct sim_op *op)
{
    struct sim *sim = op->ring->sim;
    struct sim_object *taken;
    int result = accept_fault(op);

    if (result < 0)
        return result;
    if (op->object->kind != SIM_STREAM)
        return op->object->kind == SIM_DATAGRAM ? -EOPNOTSUPP : -ENOTSOCK;
    if (op->object->socket.state != SIM_LISTENING)
        return -EINVAL;
    if (!sim_fd_left(sim))
        return -EMFILE;
    if (sim_now(sim) < sim->options.accept_forbidden_until_ns)
        return -EPERM;
    taken = sim_listener_take(op->object);
    if (!taken)
        return sim_op_wait(op, POLLIN | POLLRDNORM);
    sim_address_get(&taken->socket.remote, (void *)(uintptr_t)op->sqe.addr,
                    (socklen_t *)(uintptr_t)op->sqe.addr2);
    return sim_fd_open(sim, taken);
}

int sim_attempt_accept(struct sim_op *op)
{
    const unsigned known = SOCK_NONBLOCK | SOCK_CLOEXEC;

    if ((op->sqe.accept_flags & ~known) || (op->sqe.ioprio & ~IORING_ACCEPT_MULTISHOT) ||
        op->sqe.file_index)
        return -EINVAL;
    for (;;) {
        int result = accept_one(op);

        if (result < 0 || !(op->sqe.ioprio & IORING_ACCEPT_MULTISHOT) || !sim_op_more(op, result))
            return result;
    }
}
