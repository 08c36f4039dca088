/* SPDX-License-Identifier: Apache-2.0 */
/* parcel.c - descriptors on their way through a unix socket, with the bytes that take them along.
 *
 * As on Linux they come with the first byte of their send. A receive does not go on behind the
 * bytes of that send; whether it begins with bytes from before, chance decides. Who takes the
 * bytes in another way drops them. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PARCEL_MAX = 253 }; /* SCM_MAX_FD of the kernel */

struct sim_parcel {
    struct sim_link link; /* sim_pipe.parcels, `at` rises */
    uint64_t at;          /* of the stream: its first byte */
    size_t size;          /* bytes that were sent with it at once */
    unsigned count;
    struct sim_object *objects[PARCEL_MAX];
};

/* Finds the descriptors in a control message. Returns how many, 0 without one. */
static unsigned find_rights(const struct msghdr *message, const unsigned char **fds)
{
    struct cmsghdr *header = message ? CMSG_FIRSTHDR(message) : NULL;

    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return 0;
    *fds = CMSG_DATA(header);
    return (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
}

int sim_parcel_check(struct sim_op *op)
{
    const unsigned char *fds;
    unsigned count = find_rights(op->message, &fds);

    if (count > PARCEL_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, fds + i * sizeof fd, sizeof fd);
        if (!sim_fd_object(op->ring->sim, fd))
            return -EBADF;
    }
    return 0;
}

/* Puts the descriptors of op on the way, in front of its first size bytes. */
void sim_parcel_send(struct sim_op *op, size_t size)
{
    struct sim_object *other = op->object->socket.other;
    const unsigned char *fds;
    unsigned count = find_rights(op->message, &fds);
    struct sim_parcel *parcel;

    if (!count || !other || op->object->socket.domain != AF_UNIX)
        return;
    parcel = sim_allocate(sizeof *parcel);
    parcel->at = other->socket.in.taken + other->socket.in.size;
    parcel->size = size;
    parcel->count = count;
    for (unsigned i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, fds + i * sizeof fd, sizeof fd);
        parcel->objects[i] = sim_object_keep(sim_fd_object(op->ring->sim, fd));
    }
    sim_list_append(&other->socket.in.parcels, &parcel->link);
}

static struct sim_parcel *first_of(struct sim_pipe *pipe)
{
    return sim_list_empty(&pipe->parcels)
               ? NULL
               : sim_container_of(pipe->parcels.next, struct sim_parcel, link);
}

static void drop(struct sim_parcel *parcel, unsigned from)
{
    sim_list_remove(&parcel->link);
    for (unsigned i = from; i < parcel->count; i++)
        sim_object_release(parcel->objects[i]);
    free(parcel);
}

size_t sim_parcel_limit(struct sim_object *object, size_t size)
{
    struct sim_pipe *pipe = &object->socket.in;
    const struct sim_parcel *parcel = first_of(pipe);
    uint64_t end = pipe->taken + size;

    if (!parcel || end <= parcel->at)
        return size;
    if (pipe->taken < parcel->at && sim_random(object->sim, 2))
        return (size_t)(parcel->at - pipe->taken);
    return end > parcel->at + parcel->size ? (size_t)(parcel->at + parcel->size - pipe->taken)
                                           : size;
}

/* Gives what comes with the next size bytes, which are about to be taken, to op, or drops it. */
void sim_parcel_receive(struct sim_op *op, size_t size)
{
    struct sim *sim = op->ring->sim;
    struct sim_pipe *pipe = &op->object->socket.in;
    struct sim_parcel *parcel = first_of(pipe);
    struct msghdr *message = op->message;
    unsigned given = 0, room;
    struct cmsghdr *header;

    if (!parcel || !message || parcel->at >= pipe->taken + size)
        return;
    header = message->msg_controllen >= sizeof *header ? message->msg_control : NULL;
    room = header ? (unsigned)((message->msg_controllen - CMSG_LEN(0)) / sizeof(int)) : 0;
    for (; given < room && given < parcel->count && sim_fd_left(sim); given++) {
        int fd = sim_fd_open(sim, parcel->objects[given]);

        memcpy(CMSG_DATA(header) + given * sizeof fd, &fd, sizeof fd);
    }
    op->control_flags = given < parcel->count ? MSG_CTRUNC : 0;
    op->control_size = 0;
    if (given) {
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(given * sizeof(int));
        op->control_size = CMSG_SPACE(given * sizeof(int));
    }
    sim_trace(sim, "#%llu brings %u descriptors of %u", (unsigned long long)op->id, given,
              parcel->count);
    drop(parcel, given);
}

/* Forgets what came with bytes that were taken, or that will not arrive any more. */
void sim_parcels_trim(struct sim_object *object)
{
    struct sim_pipe *pipe = &object->socket.in;
    struct sim_link *link = pipe->parcels.next;

    while (link != &pipe->parcels) {
        struct sim_parcel *parcel = sim_container_of(link, struct sim_parcel, link);

        link = link->next;
        if (parcel->at < pipe->taken || parcel->at >= pipe->taken + pipe->size)
            drop(parcel, 0);
    }
}
