/* SPDX-License-Identifier: Apache-2.0 */
/* address.c - IPv4, IPv6 and local addresses, and which of them mean the same. */
#include "tests/sim/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

int sim_address_set(struct sim_address *address, const void *from, size_t size)
{
    memset(address, 0, sizeof *address);
    if (!from)
        return -EFAULT;
    if (size < sizeof(sa_family_t) || size > sizeof address->storage)
        return -EINVAL;
    memcpy(&address->storage, from, size);
    address->size = (socklen_t)size;
    switch (address->any.sa_family) {
    case AF_INET:
        return size < sizeof address->v4 ? -EINVAL : 0;
    case AF_INET6:
        return size < sizeof address->v6 ? -EINVAL : 0;
    case AF_UNIX:
        return size > sizeof address->local ? -EINVAL : 0;
    default:
        return -EAFNOSUPPORT;
    }
}

void sim_address_loopback(struct sim_address *address, int domain, uint16_t port)
{
    memset(address, 0, sizeof *address);
    address->any.sa_family = (sa_family_t)domain;
    if (domain == AF_INET6) {
        address->v6.sin6_addr = in6addr_loopback;
        address->size = sizeof address->v6;
    } else if (domain == AF_INET) {
        address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->size = sizeof address->v4;
    } else {
        address->size = sizeof(sa_family_t);
    }
    sim_address_set_port(address, port);
}

/* Gives the true size, and as many bytes as fit, like the kernel. */
void sim_address_get(const struct sim_address *address, void *to, socklen_t *size)
{
    if (!to || !size)
        return;
    memcpy(to, &address->storage, *size < address->size ? *size : address->size);
    *size = address->size;
}

uint16_t sim_address_port(const struct sim_address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohs(address->v4.sin_port);
    if (address->any.sa_family == AF_INET6)
        return ntohs(address->v6.sin6_port);
    return 0;
}

void sim_address_set_port(struct sim_address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons(port);
    else if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons(port);
}

/* A name in a space of its own, in which zeros mean nothing. */
bool sim_address_is_abstract(const struct sim_address *address)
{
    return address->any.sa_family == AF_UNIX && address->size > sizeof(sa_family_t) &&
           address->local.sun_path[0] == '\0';
}

static bool same_name(const struct sim_address *one, const struct sim_address *other)
{
    return sim_address_is_abstract(one) && one->size == other->size &&
           memcmp(&one->local, &other->local, one->size) == 0;
}

/* "" for an address without a path. */
const char *sim_address_path(const struct sim_address *address)
{
    return address->any.sa_family == AF_UNIX && address->size > sizeof(sa_family_t)
               ? address->local.sun_path
               : "";
}

/* Both families as one: the bytes of an IPv4 address are mapped into IPv6. */
static struct in6_addr host(const struct sim_address *address)
{
    struct in6_addr host6 = {{{0}}};

    if (address->any.sa_family == AF_INET6)
        return address->v6.sin6_addr;
    host6.s6_addr[10] = host6.s6_addr[11] = 0xff;
    memcpy(&host6.s6_addr[12], &address->v4.sin_addr, 4);
    return host6;
}

static bool is_any(const struct sim_address *address)
{
    if (address->any.sa_family == AF_INET)
        return address->v4.sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

bool sim_address_is_loopback(const struct sim_address *address)
{
    if (is_any(address))
        return true;
    if (address->any.sa_family == AF_INET)
        return ntohl(address->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&address->v6.sin6_addr);
}

static bool same_host(const struct sim_address *one, const struct sim_address *other)
{
    struct in6_addr one_host = host(one), other_host = host(other);

    return memcmp(&one_host, &other_host, sizeof one_host) == 0;
}

/* Does who is bound to the one serve clients who want the other? */
bool sim_address_serves(const struct sim_address *bound, const struct sim_address *wanted)
{
    bool local = bound->any.sa_family == AF_UNIX;

    if (local != (wanted->any.sa_family == AF_UNIX))
        return false;
    if (local && (sim_address_is_abstract(bound) || sim_address_is_abstract(wanted)))
        return same_name(bound, wanted);
    if (local)
        return strncmp(sim_address_path(bound), sim_address_path(wanted),
                       sizeof bound->local.sun_path) == 0;
    if (sim_address_port(bound) != sim_address_port(wanted))
        return false;
    if (bound->any.sa_family == AF_INET && wanted->any.sa_family == AF_INET6 &&
        !IN6_IS_ADDR_V4MAPPED(&wanted->v6.sin6_addr))
        return is_any(wanted); /* "any" as a destination is the own host */
    return is_any(bound) || is_any(wanted) || same_host(bound, wanted);
}

/* May both not be bound at the same time? */
bool sim_address_clash(const struct sim_address *one, const struct sim_address *other)
{
    if (one->any.sa_family == AF_UNIX || other->any.sa_family == AF_UNIX)
        return same_name(one, other); /* of a path, its file tells */
    if (sim_address_port(one) != sim_address_port(other))
        return false;
    if (one->any.sa_family != other->any.sa_family && !is_any(one) && !is_any(other))
        return same_host(one, other);
    return is_any(one) || is_any(other) || same_host(one, other);
}
