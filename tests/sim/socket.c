/* SPDX-License-Identifier: Apache-2.0 */
/* socket.c - the system calls on sockets that never wait. */
#include "tests/sim/internal.h"

#include <errno.h>

static struct sim *sim_of(struct rill_kernel *kernel)
{
    return sim_container_of(kernel, struct sim, kernel);
}

static bool is_socket(const struct sim_object *object)
{
    return object->kind == SIM_STREAM || object->kind == SIM_DATAGRAM;
}

int sim_socket_find(struct rill_kernel *kernel, int fd, struct sim_object **object)
{
    struct sim *sim = sim_of(kernel);

    *object = sim_fd_object(sim, fd);
    if (!*object) {
        sim->bad_fds += fd >= 0; /* -1 is no closed one */
        return -EBADF;
    }
    return is_socket(*object) ? 0 : -ENOTSOCK;
}

int sim_socket_create(struct sim *sim, int domain, int type, int protocol,
                      struct sim_object **object)
{
    int kind = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (domain != AF_INET && domain != AF_INET6 && domain != AF_UNIX)
        return -EAFNOSUPPORT;
    if (kind != SOCK_STREAM && kind != SOCK_DGRAM)
        return -EPROTONOSUPPORT;
    *object = sim_object_create(sim, kind == SOCK_STREAM ? SIM_STREAM : SIM_DATAGRAM);
    (*object)->socket.domain = domain;
    (*object)->socket.type = kind;
    (*object)->socket.protocol = protocol;
    return 0;
}

int sim_call_socket(struct rill_kernel *kernel, int domain, int type, int protocol)
{
    struct sim *sim = sim_of(kernel);
    struct sim_object *object;
    int result = sim_socket_create(sim, domain, type, protocol, &object);

    if (result < 0)
        return result;
    result = sim_fd_open(sim, object);
    if (result < 0)
        sim_object_release(object);
    sim_trace(sim, "socket fd %d", result);
    return result;
}

/* ---- names ---- */

static bool clashes(struct sim_object *object, const struct sim_address *address)
{
    struct sim *sim = object->sim;

    for (struct sim_link *link = sim->bound.next; link != &sim->bound; link = link->next) {
        struct sim_object *other = sim_container_of(link, struct sim_object, socket.bound);

        if (other == object || other->kind != object->kind || other->socket.state == SIM_SHUT ||
            !sim_address_clash(&other->socket.local, address))
            continue;
        if (!sim_socket_option(other, SOL_SOCKET, SO_REUSEPORT) ||
            !sim_socket_option(object, SOL_SOCKET, SO_REUSEPORT))
            return true;
    }
    return false;
}

static int choose_port(struct sim_object *object, struct sim_address *address)
{
    struct sim *sim = object->sim;

    for (int i = 0; i < 28000; i++) {
        sim_address_set_port(address, sim->port_next);
        sim->port_next = sim->port_next < 60999 ? sim->port_next + 1 : 32768;
        if (!clashes(object, address)) {
            object->socket.port_chosen = true;
            return 0;
        }
    }
    return -EADDRINUSE;
}

/* A local socket's name is a file, which stays when the socket is closed. */
static int bind_path(struct sim_object *object, const struct sim_address *address)
{
    const char *path = sim_address_path(address);
    struct sim_place place;
    int result;

    if (sim_address_is_abstract(address))
        return clashes(object, address) ? -EADDRINUSE : 0;
    if (!*path)
        return -EINVAL;
    result = sim_disk_find(object->sim, NULL, path, false, &place);
    if (result == 0)
        return -EADDRINUSE;
    if (!place.parent)
        return result;
    sim_node_create(object->sim, place.parent, place.last, S_IFSOCK | 0755);
    return 0;
}

int sim_socket_bind(struct sim_object *object, const struct sim_address *address)
{
    struct sim_address wanted = *address;
    int result = 0;

    if (object->socket.local.size)
        return -EINVAL;
    if (address->any.sa_family != object->socket.domain)
        return address->any.sa_family == AF_UNIX || object->socket.domain == AF_UNIX
                   ? -EINVAL
                   : -EAFNOSUPPORT;
    if (object->socket.domain == AF_UNIX)
        result = bind_path(object, address);
    else if (sim_address_port(address) == 0)
        result = choose_port(object, &wanted);
    else if (clashes(object, address))
        result = -EADDRINUSE;
    if (result < 0)
        return result;
    object->socket.local = wanted;
    sim_list_append(&object->sim->bound, &object->socket.bound);
    return 0;
}

void sim_socket_unname(struct sim_object *object)
{
    struct sim_socket *socket = &object->socket;

    if (!socket->port_chosen)
        return;
    sim_list_remove(&socket->bound);
    socket->local.size = 0;
    socket->port_chosen = false;
}

void sim_socket_name(struct sim_object *object)
{
    struct sim_socket *socket = &object->socket;

    if (socket->local.size)
        return;
    sim_address_loopback(&socket->local, socket->domain, 0);
    choose_port(object, &socket->local);
    if (object->kind == SIM_DATAGRAM)
        sim_list_append(&object->sim->bound, &socket->bound);
}

int sim_call_bind(struct rill_kernel *kernel, int fd, const struct sockaddr *address,
                  socklen_t size)
{
    struct sim_address wanted;
    struct sim_object *object;
    int result = sim_socket_find(kernel, fd, &object);

    if (result == 0)
        result = sim_address_set(&wanted, address, size);
    if (result == 0)
        result = sim_socket_bind(object, &wanted);
    sim_trace(sim_of(kernel), "bind fd %d -> %d", fd, result);
    return result;
}

/* A stream's connect may wait, so it is for the ring. */
int sim_call_connect(struct rill_kernel *kernel, int fd, const struct sockaddr *address,
                     socklen_t size)
{
    struct sim_object *object;
    int result = sim_socket_find(kernel, fd, &object);

    if (result == 0)
        result = object->kind == SIM_DATAGRAM ? sim_datagram_connect(object, address, size)
                                              : -EOPNOTSUPP;
    sim_trace(sim_of(kernel), "connect fd %d -> %d", fd, result);
    return result;
}

int sim_socket_listen(struct sim_object *object, int backlog)
{
    struct sim_socket *socket = &object->socket;

    if (object->kind != SIM_STREAM)
        return -EOPNOTSUPP;
    if (socket->state != SIM_IDLE && socket->state != SIM_LISTENING)
        return -EINVAL;
    if (socket->domain == AF_UNIX && !socket->local.size)
        return -EINVAL;
    if (!socket->local.size) {
        struct sim_address any = {.size = 0};

        any.any.sa_family = (sa_family_t)socket->domain;
        any.size = socket->domain == AF_INET ? sizeof any.v4 : sizeof any.v6;
        sim_socket_bind(object, &any);
    }
    socket->state = SIM_LISTENING;
    socket->backlog = backlog < 0 || backlog > 4096 ? 4096 : (unsigned)backlog;
    return 0;
}

int sim_call_listen(struct rill_kernel *kernel, int fd, int backlog)
{
    struct sim_object *object;
    int result = sim_socket_find(kernel, fd, &object);

    if (result == 0)
        result = sim_socket_listen(object, backlog);
    sim_trace(sim_of(kernel), "listen fd %d -> %d", fd, result);
    return result;
}

int sim_call_getsockname(struct rill_kernel *kernel, int fd, struct sockaddr *address,
                         socklen_t *size)
{
    struct sim_object *object;
    int result = sim_socket_find(kernel, fd, &object);

    if (result == 0 && object->socket.local.size) {
        sim_address_get(&object->socket.local, address, size);
    } else if (result == 0) {
        struct sim_address none = {.size = 0};

        none.any.sa_family = (sa_family_t)object->socket.domain;
        none.size = object->socket.domain == AF_INET    ? sizeof none.v4
                    : object->socket.domain == AF_INET6 ? sizeof none.v6
                                                        : sizeof(sa_family_t);
        sim_address_get(&none, address, size);
    }
    return result;
}

int sim_call_getpeername(struct rill_kernel *kernel, int fd, struct sockaddr *address,
                         socklen_t *size)
{
    struct sim_object *object;
    int result = sim_socket_find(kernel, fd, &object);

    if (result < 0)
        return result;
    if (!object->socket.remote.size || object->socket.reset ||
        (object->kind == SIM_STREAM && object->socket.state != SIM_CONNECTED))
        return -ENOTCONN;
    sim_address_get(&object->socket.remote, address, size);
    return 0;
}

int sim_call_poll(struct rill_kernel *kernel, struct pollfd *fds, unsigned count)
{
    int ready = 0;

    for (unsigned i = 0; i < count; i++) {
        struct sim_object *object = sim_fd_object(sim_of(kernel), fds[i].fd);
        unsigned wanted = (unsigned)fds[i].events | POLLERR | POLLHUP;

        fds[i].revents = (short)(object ? sim_object_ready(object) & wanted : POLLNVAL);
        ready += fds[i].revents != 0;
    }
    return ready;
}

int sim_call_shutdown(struct rill_kernel *kernel, int fd, int how)
{
    struct sim_object *object;
    int result = sim_socket_find(kernel, fd, &object);

    if (result == 0)
        result = sim_socket_shutdown(object, (unsigned)how);
    sim_trace(sim_of(kernel), "shutdown fd %d -> %d", fd, result);
    return result;
}

int sim_call_close(struct rill_kernel *kernel, int fd)
{
    struct sim *sim = sim_of(kernel);
    int result = sim_fd_close(sim, fd);

    sim_trace(sim, "close fd %d -> %d", fd, result);
    return result;
}
