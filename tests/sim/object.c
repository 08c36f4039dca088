/* SPDX-License-Identifier: Apache-2.0 */
/* object.c - descriptors, what they refer to, and who waits for that. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>

struct sim_object *sim_object_create(struct sim *sim, enum sim_kind kind)
{
    struct sim_object *object = sim_allocate(sizeof *object);

    object->sim = sim;
    object->kind = kind;
    object->refs = 1;
    object->fd = -1;
    sim_list_init(&object->waiters);
    sim_list_append(&sim->objects, &object->link);
    sim_list_init(&object->socket.bound);
    sim_list_init(&object->socket.datagrams);
    sim_stream_init(object);
    sim_connect_init(object);
    return object;
}

struct sim_object *sim_object_keep(struct sim_object *object)
{
    object->refs++;
    return object;
}

void sim_object_release(struct sim_object *object)
{
    struct sim *sim = object->sim;

    if (--object->refs)
        return;
    if (object->kind == SIM_STREAM) {
        sim_listener_shut(object);
        sim_connect_stop(object);
        sim_stream_release(object);
    }
    if (object->kind == SIM_DATAGRAM)
        sim_datagram_release(object);
    if (object->node)
        sim_node_release(sim, object->node);
    sim_list_remove(&object->socket.bound);
    sim_list_remove(&object->link);
    free(object);
}

/* Everybody who waits for any of this looks again, each in its own time. */
void sim_object_wake(struct sim_object *object, unsigned mask)
{
    struct sim_link *link = object->waiters.next;

    while (link != &object->waiters) {
        struct sim_op *op = sim_container_of(link, struct sim_op, waiting);

        link = link->next;
        if (!(op->wait & mask))
            continue;
        op->state = SIM_OP_SCHEDULED;
        sim_op_schedule(op, sim_delay(object->sim));
    }
    if (object->peer)
        sim_peer_wake(object->peer);
}

static unsigned datagram_ready(struct sim_object *object)
{
    return (object->socket.datagram_count ? POLLIN | POLLRDNORM : 0) |
           (object->socket.error ? POLLIN | POLLERR : 0) |
           (sim_datagram_has_room(object) ? POLLOUT | POLLWRNORM : 0);
}

unsigned sim_object_ready(struct sim_object *object)
{
    switch (object->kind) {
    case SIM_STREAM:
        return sim_stream_ready(object);
    case SIM_DATAGRAM:
        return datagram_ready(object);
    case SIM_REGULAR:
        return POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
    case SIM_COUNTER:
        return (object->counter ? POLLIN | POLLRDNORM : 0) | POLLOUT | POLLWRNORM;
    case SIM_FOREIGN:
        return 0;
    }
    return 0;
}

/* ---- descriptors: the lowest free one first, so that a number which is used
 * after its close soon means something else ---- */

bool sim_fd_left(const struct sim *sim)
{
    return sim->fd_count < sim->options.fds_max;
}

int sim_fd_open(struct sim *sim, struct sim_object *object)
{
    for (unsigned i = 0; i < sim->options.fds_max; i++) {
        if (sim->fds[i])
            continue;
        sim->fds[i] = object;
        sim->fd_count++;
        object->fd = SIM_FD_FIRST + (int)i;
        return object->fd;
    }
    return -EMFILE;
}

struct sim_object *sim_fd_object(struct sim *sim, int fd)
{
    if (fd < SIM_FD_FIRST || (unsigned)(fd - SIM_FD_FIRST) >= sim->options.fds_max)
        return NULL;
    return sim->fds[fd - SIM_FD_FIRST];
}

int sim_fd_close(struct sim *sim, int fd)
{
    struct sim_object *object = sim_fd_object(sim, fd);

    if (!object) {
        sim->bad_fds++;
        return -EBADF;
    }
    sim->fds[fd - SIM_FD_FIRST] = NULL;
    sim->fd_count--;
    sim_object_release(object);
    return 0;
}

int sim_attempt_close(struct sim_op *op)
{
    return sim_fd_close(op->ring->sim, op->sqe.fd);
}

/* ---- counters ---- */

int sim_counter_create(struct sim *sim)
{
    struct sim_object *object = sim_object_create(sim, SIM_COUNTER);
    int fd = sim_fd_open(sim, object);

    if (fd < 0)
        sim_object_release(object);
    return fd;
}

void sim_counter_add(struct sim *sim, int fd, uint64_t value)
{
    struct sim_object *object = sim_fd_object(sim, fd);

    if (!object || object->kind != SIM_COUNTER)
        sim_fail(sim, "fd %d is no counter", fd);
    object->counter += value;
    sim_trace(sim, "counter fd %d + %llu", fd, (unsigned long long)value);
    sim_object_wake(object, POLLIN | POLLRDNORM);
}
