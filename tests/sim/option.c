/* SPDX-License-Identifier: Apache-2.0 */
/* option.c - options of sockets: kept, and without effect but for a few. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

static bool is_known(int level, int name)
{
    static const struct {
        int level, name;
    } known[] = {
        {SOL_SOCKET, SO_REUSEADDR},
        {SOL_SOCKET, SO_REUSEPORT},
        {SOL_SOCKET, SO_KEEPALIVE},
        {SOL_SOCKET, SO_OOBINLINE},
        {SOL_SOCKET, SO_LINGER},
        {SOL_SOCKET, SO_RCVBUF},
        {SOL_SOCKET, SO_SNDBUF},
        {SOL_SOCKET, SO_BROADCAST},
        {SOL_SOCKET, SO_BUSY_POLL},
        {SOL_SOCKET, SO_INCOMING_CPU},
        {SOL_SOCKET, SO_RCVTIMEO},
        {SOL_SOCKET, SO_SNDTIMEO},
        {SOL_SOCKET, SO_PRIORITY},
        {SOL_SOCKET, SO_RCVLOWAT},
        {IPPROTO_TCP, TCP_NODELAY},
        {IPPROTO_TCP, TCP_CORK},
        {IPPROTO_TCP, TCP_KEEPIDLE},
        {IPPROTO_TCP, TCP_KEEPINTVL},
        {IPPROTO_TCP, TCP_KEEPCNT},
        {IPPROTO_TCP, TCP_QUICKACK},
        {IPPROTO_TCP, TCP_USER_TIMEOUT},
        {IPPROTO_TCP, TCP_DEFER_ACCEPT},
        {IPPROTO_TCP, TCP_FASTOPEN},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
        {IPPROTO_IPV6, IPV6_V6ONLY},
        {IPPROTO_IPV6, IPV6_MULTICAST_IF},
        {IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
        {IPPROTO_IP, IP_MULTICAST_IF},
        {IPPROTO_IP, IP_MULTICAST_TTL},
        {IPPROTO_IP, IP_TOS},
        {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].level == level && known[i].name == name)
            return true;
    return false;
}

static struct sim_socket_option *find_option(struct sim_object *object, int level, int name)
{
    for (unsigned i = 0; i < object->socket.option_count; i++)
        if (object->socket.options[i].level == level && object->socket.options[i].name == name)
            return &object->socket.options[i];
    return NULL;
}

int sim_socket_option(struct sim_object *object, int level, int name)
{
    const struct sim_socket_option *option = find_option(object, level, name);
    int value = 0;

    if (option)
        memcpy(&value, option->value, sizeof value);
    return value;
}

/* Was it asked to reset the connection when it is closed? */
bool sim_socket_lingers_not(struct sim_object *object)
{
    const struct sim_socket_option *option = find_option(object, SOL_SOCKET, SO_LINGER);
    struct linger linger;

    if (!option || option->size < sizeof linger)
        return false;
    memcpy(&linger, option->value, sizeof linger);
    return linger.l_onoff && linger.l_linger == 0;
}

void sim_socket_linger_not(struct sim_object *object)
{
    const struct linger linger = {.l_onoff = 1};
    struct sim_socket_option *option = &object->socket.options[0];

    object->socket.option_count = 1;
    option->level = SOL_SOCKET;
    option->name = SO_LINGER;
    option->size = sizeof linger;
    memcpy(option->value, &linger, sizeof linger);
}

/* Joining and leaving groups; the interface is not looked at. */
static bool is_membership(int level, int name, bool *joins)
{
    *joins = level == IPPROTO_IP ? name == IP_ADD_MEMBERSHIP : name == IPV6_JOIN_GROUP;
    return *joins || (level == IPPROTO_IP && name == IP_DROP_MEMBERSHIP) ||
           (level == IPPROTO_IPV6 && name == IPV6_LEAVE_GROUP);
}

int sim_call_setsockopt(struct rill_kernel *kernel, int fd, int level, int name, const void *value,
                        socklen_t size)
{
    struct sim_object *object;
    struct sim_socket_option *option;
    int result = sim_socket_find(kernel, fd, &object);
    bool joins;

    if (result < 0)
        return result;
    if ((level == IPPROTO_IP || level == IPPROTO_IPV6) && is_membership(level, name, &joins))
        return sim_datagram_group(object, value, size, joins);
    if (!is_known(level, name) || (level == IPPROTO_TCP && object->socket.domain == AF_UNIX))
        return level == IPPROTO_TCP && object->socket.domain == AF_UNIX ? -EOPNOTSUPP
                                                                        : -ENOPROTOOPT;
    if (size < sizeof(int) || size > sizeof option->value)
        return -EINVAL;
    option = find_option(object, level, name);
    if (!option) {
        if (object->socket.option_count == SIM_SOCKET_OPTIONS)
            return -ENOBUFS;
        option = &object->socket.options[object->socket.option_count++];
        option->level = level;
        option->name = name;
    }
    memcpy(option->value, value, size);
    option->size = size;
    return 0;
}

/* What the socket itself knows; returns false for all others. */
static bool own_option(struct sim_object *object, int level, int name, int *value)
{
    if (level != SOL_SOCKET)
        return false;
    switch (name) {
    case SO_ERROR:
        *value = object->socket.error;
        object->socket.error = 0;
        return true;
    case SO_TYPE:
        *value = object->socket.type;
        return true;
    case SO_DOMAIN:
        *value = object->socket.domain;
        return true;
    case SO_PROTOCOL:
        *value = object->socket.protocol;
        return true;
    case SO_ACCEPTCONN:
        *value = object->socket.state == SIM_LISTENING;
        return true;
    default:
        return false;
    }
}

int sim_call_getsockopt(struct rill_kernel *kernel, int fd, int level, int name, void *value,
                        socklen_t *size)
{
    struct sim_object *object;
    const struct sim_socket_option *option;
    char bytes[sizeof option->value] = {0};
    socklen_t have = sizeof(int);
    int number, result = sim_socket_find(kernel, fd, &object);

    if (result < 0)
        return result;
    option = find_option(object, level, name);
    if (own_option(object, level, name, &number)) {
        memcpy(bytes, &number, sizeof number);
    } else if (option) {
        memcpy(bytes, option->value, option->size);
        have = option->size;
    } else if (!is_known(level, name)) {
        return -ENOPROTOOPT;
    } else if (level == SOL_SOCKET && name == SO_LINGER) {
        have = sizeof(struct linger);
    }
    if (*size > have)
        *size = have;
    memcpy(value, bytes, *size);
    return 0;
}
