/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c - bytes, their end and resets on their way between two TCP-like sockets.
 *
 * What one side sends becomes a segment in the pipe into the other side, arrives
 * after its latency, in order, and can be read from then on. The pipe is
 * bounded, counting the bytes under way too.
 *
 * As on Linux, a socket that is closed with unread bytes resets the connection,
 * and bytes for a socket that is gone are answered with a reset: the first send
 * after the other side has closed succeeds, later ones are -EPIPE. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static void arrive(struct sim_object *object, enum sim_segment_kind kind, size_t size)
{
    struct sim_socket *socket = &object->socket;

    switch (kind) {
    case SIM_BYTES:
        socket->in.arrived += size;
        if (socket->reset)
            return;
        sim_object_wake(object, POLLIN | POLLRDNORM);
        return;
    case SIM_END:
        socket->ended = true;
        sim_trace(object->sim, "end of stream reaches fd %d", object->fd);
        sim_object_wake(object, POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP);
        return;
    case SIM_RESET:
        if (socket->reset)
            return;
        socket->reset = true;
        /* Linux tells who has read the end of the stream only that there is
         * nobody to send to any more. */
        socket->error = socket->ended ? EPIPE : ECONNRESET;
        sim_trace(object->sim, "reset reaches fd %d", object->fd);
        sim_object_wake(object, ~0u);
        return;
    }
}

static void arm_first(struct sim_object *object)
{
    struct sim_pipe *pipe = &object->socket.in;

    if (!sim_list_empty(&pipe->segments))
        sim_event_arm(object->sim, &pipe->event,
                      sim_container_of(pipe->segments.next, struct sim_segment, link)->when);
}

static void segment_due(struct sim *sim, struct sim_event *event)
{
    struct sim_object *object = sim_container_of(event, struct sim_object, socket.in.event);
    struct sim_segment *segment =
        sim_container_of(object->socket.in.segments.next, struct sim_segment, link);

    (void)sim;
    sim_list_remove(&segment->link);
    arm_first(object);
    arrive(object, segment->kind, segment->size);
    free(segment);
}

/* Sends something into object. Where nothing delays it, it is there at once, as
 * on the real loopback. */
static void post(struct sim_object *object, enum sim_segment_kind kind, size_t size)
{
    struct sim *sim = object->sim;
    struct sim_pipe *pipe = &object->socket.in;
    int64_t when = sim->now + sim_latency(sim);
    bool first = sim_list_empty(&pipe->segments);
    struct sim_segment *segment;

    if (first && when <= sim->now) {
        arrive(object, kind, size);
        return;
    }
    segment = sim_allocate(sizeof *segment);
    if (!first) {
        int64_t last = sim_container_of(pipe->segments.previous, struct sim_segment, link)->when;

        when = when > last ? when : last;
    }
    segment->kind = kind;
    segment->size = size;
    segment->when = when;
    sim_list_append(&pipe->segments, &segment->link);
    if (first)
        arm_first(object);
}

void sim_stream_init(struct sim_object *object)
{
    struct sim_pipe *pipe = &object->socket.in;

    pipe->capacity = object->sim->options.socket_buffer_size;
    pipe->event.fn = segment_due;
    sim_list_init(&pipe->segments);
    sim_list_init(&pipe->parcels);
}

static void drop_segments(struct sim_object *object)
{
    struct sim_pipe *pipe = &object->socket.in;

    sim_event_disarm(object->sim, &pipe->event);
    while (!sim_list_empty(&pipe->segments)) {
        struct sim_segment *segment =
            sim_container_of(pipe->segments.next, struct sim_segment, link);

        sim_list_remove(&segment->link);
        free(segment);
    }
    pipe->size = pipe->arrived;
    sim_parcels_trim(object);
}

/* ---- sending ---- */

int sim_stream_room(struct sim_object *object)
{
    struct sim_socket *socket = &object->socket;
    size_t room;

    if (socket->state == SIM_CONNECTING)
        return 0;
    if (socket->error) {
        int error = socket->error;

        socket->error = 0;
        return -error;
    }
    if (socket->state != SIM_CONNECTED)
        return socket->domain == AF_UNIX ? -ENOTCONN : -EPIPE;
    if (socket->shut_out || socket->reset)
        return -EPIPE;
    if (!socket->other)
        return socket->domain == AF_UNIX ? -EPIPE : INT_MAX;
    room = socket->other->socket.in.capacity - socket->other->socket.in.size;
    return room < INT_MAX ? (int)room : INT_MAX;
}

void sim_stream_put(struct sim_object *object, const char *bytes, size_t size)
{
    struct sim_pipe *pipe = object->socket.other ? &object->socket.other->socket.in : NULL;
    size_t at, first;

    if (!pipe || !size)
        return;
    if (!pipe->bytes)
        pipe->bytes = sim_allocate(pipe->capacity);
    at = (pipe->start + pipe->size) % pipe->capacity;
    first = pipe->capacity - at < size ? pipe->capacity - at : size;
    memcpy(pipe->bytes + at, bytes, first);
    memcpy(pipe->bytes, bytes + first, size - first);
    pipe->size += size;
}

void sim_stream_push(struct sim_object *object, size_t size)
{
    if (object->socket.other)
        post(object->socket.other, SIM_BYTES, size);
    else
        post(object, SIM_RESET, 0);
}

void sim_stream_shut_out(struct sim_object *object)
{
    struct sim_socket *socket = &object->socket;

    if (socket->shut_out)
        return;
    socket->shut_out = true;
    if (socket->other && !socket->reset)
        post(socket->other, SIM_END, 0);
    sim_object_wake(object, POLLOUT | POLLWRNORM | POLLHUP);
}

/* ---- receiving ---- */

int sim_stream_available(struct sim_object *object)
{
    struct sim_socket *socket = &object->socket;

    if (socket->in.arrived)
        return socket->in.arrived < INT_MAX ? (int)socket->in.arrived : INT_MAX;
    if (socket->ended)
        return 0;
    if (socket->error) {
        int error = socket->error;

        socket->error = 0;
        return -error;
    }
    if (socket->shut_in || socket->reset)
        return 0;
    if (socket->state == SIM_CONNECTED || socket->state == SIM_CONNECTING)
        return SIM_WAIT;
    return -ENOTCONN;
}

void sim_stream_get(struct sim_object *object, size_t offset, char *bytes, size_t size)
{
    const struct sim_pipe *pipe = &object->socket.in;
    size_t at = (pipe->start + offset) % pipe->capacity;
    size_t first = pipe->capacity - at < size ? pipe->capacity - at : size;

    memcpy(bytes, pipe->bytes + at, first);
    memcpy(bytes + first, pipe->bytes, size - first);
}

void sim_stream_taken(struct sim_object *object, size_t size)
{
    struct sim_pipe *pipe = &object->socket.in;

    pipe->start = (pipe->start + size) % pipe->capacity;
    pipe->arrived -= size;
    pipe->size -= size;
    pipe->taken += size;
    sim_parcels_trim(object);
    if (object->socket.other && size)
        sim_object_wake(object->socket.other, POLLOUT | POLLWRNORM);
}

unsigned sim_stream_ready(struct sim_object *object)
{
    const struct sim_socket *socket = &object->socket;
    unsigned ready = 0;

    if (socket->state == SIM_LISTENING)
        return socket->queue_count ? POLLIN | POLLRDNORM : 0;
    if (socket->state != SIM_CONNECTED)
        return (socket->error ? POLLERR : 0) |
               (socket->state == SIM_CONNECTING ? 0 : POLLOUT | POLLWRNORM | POLLHUP);
    if (socket->in.arrived || socket->ended || socket->shut_in || socket->reset)
        ready |= POLLIN | POLLRDNORM;
    if (socket->ended || socket->shut_in || socket->reset)
        ready |= POLLRDHUP;
    if (socket->error)
        ready |= POLLERR;
    if (socket->reset || (socket->ended && socket->shut_out))
        ready |= POLLHUP;
    if (!socket->other || socket->shut_out || socket->reset ||
        socket->other->socket.in.size < socket->other->socket.in.capacity)
        ready |= POLLOUT | POLLWRNORM;
    return ready;
}

/* ---- the end ---- */

void sim_stream_abort(struct sim_object *object)
{
    struct sim_object *other = object->socket.other;

    sim_trace(object->sim, "the connection of fd %d breaks", object->fd);
    drop_segments(object);
    arrive(object, SIM_RESET, 0);
    if (other) {
        drop_segments(other);
        arrive(other, SIM_RESET, 0);
    }
}

void sim_stream_release(struct sim_object *object)
{
    struct sim_socket *socket = &object->socket;
    struct sim_object *other = socket->other;

    if (other) {
        bool unread = socket->in.arrived || sim_socket_lingers_not(object);
        bool under_way = socket->in.size > socket->in.arrived;

        other->socket.other = NULL;
        if (!unread && !socket->shut_out && !socket->reset)
            post(other, SIM_END, 0);
        if (unread || under_way)
            post(other, SIM_RESET, 0);
        /* Whoever waits for room finds out that nobody makes any. */
        sim_object_wake(other, POLLOUT | POLLWRNORM);
    }
    drop_segments(object);
    socket->in.size = 0;
    sim_parcels_trim(object);
    free(socket->in.bytes);
}
