/* SPDX-License-Identifier: Apache-2.0 */
#include "net/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number of an interface that is given by name or by number, or 0. */
static unsigned zone_index(const char *zone)
{
    unsigned index = if_nametoindex(zone);
    char name[IF_NAMESIZE];
    char *end;

    if (index == 0 && isdigit((unsigned char)*zone)) {
        unsigned long number = strtoul(zone, &end, 10);

        if (!*end && number <= UINT32_MAX && if_indextoname((unsigned)number, name))
            index = (unsigned)number;
    }
    return index;
}

/* Reads an IPv6 address with an optional zone behind a percent sign. */
static int parse_ip6(struct rill_address *address, const char *host)
{
    char text[INET6_ADDRSTRLEN];
    const char *percent = strchrnul(host, '%');
    size_t length = (size_t)(percent - host);

    if (length >= sizeof text)
        return -EINVAL;
    memcpy(text, host, length);
    text[length] = '\0';
    if (inet_pton(AF_INET6, text, &address->ip6.sin6_addr) != 1)
        return -EINVAL;
    if (*percent) {
        address->ip6.sin6_scope_id = zone_index(percent + 1);
        if (address->ip6.sin6_scope_id == 0)
            return -EINVAL;
    }
    address->ip6.sin6_family = AF_INET6;
    address->size = sizeof address->ip6;
    return 0;
}

int rill_address_parse(struct rill_address *address, const char *host, uint16_t port)
{
    int error = 0;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &address->ip4.sin_addr) == 1) {
        address->ip4.sin_family = AF_INET;
        address->size = sizeof address->ip4;
    } else {
        error = parse_ip6(address, host);
    }
    if (!error)
        rill_address_set_port(address, port);
    return error;
}

int rill_address_set_path(struct rill_address *address, const char *path)
{
    size_t length = strlen(path);
    bool is_abstract = *path == '@';

    memset(address, 0, sizeof *address);
    if (length == 0 || (is_abstract && length == 1))
        return -EINVAL;
    if (length >= sizeof address->local.sun_path)
        return -ENAMETOOLONG;
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, path, length + 1);
    if (is_abstract)
        address->local.sun_path[0] = '\0';
    /* The zero behind a path belongs to it; one behind an abstract name would be part of it. */
    address->size =
        (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (is_abstract ? 0 : 1));
    return 0;
}

static size_t path_size(const struct rill_address *address)
{
    const size_t before = offsetof(struct sockaddr_un, sun_path);
    const size_t max = sizeof address->local.sun_path;
    size_t size = address->size > before ? address->size - before : 0;

    return size < max ? size : max; /* the kernel counts a zero that there is no room for */
}

bool rill_address_is_abstract(const struct rill_address *address)
{
    return address->any.sa_family == AF_UNIX && path_size(address) > 0 &&
           address->local.sun_path[0] == '\0';
}

/* The kernel may leave out the zero behind a path. */
static void format_path(const struct rill_address *address, char *text)
{
    snprintf(text, RILL_ADDRESS_TEXT_MAX, "%.*s", (int)path_size(address), address->local.sun_path);
}

static void format_name(const struct rill_address *address, char *text)
{
    size_t length = path_size(address);

    for (size_t i = 0; i < length; i++)
        text[i] = address->local.sun_path[i] ? address->local.sun_path[i] : '@';
    text[length] = '\0';
}

char *rill_address_format(const struct rill_address *address, char *text)
{
    char host[INET6_ADDRSTRLEN] = "?";
    unsigned port = rill_address_port(address);

    if (rill_address_is_abstract(address)) {
        format_name(address, text);
    } else if (address->any.sa_family == AF_UNIX) {
        format_path(address, text);
    } else if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->ip6.sin6_addr, host, sizeof host);
        if (address->ip6.sin6_scope_id)
            snprintf(text, RILL_ADDRESS_TEXT_MAX, "[%s%%%u]:%u", host, address->ip6.sin6_scope_id,
                     port);
        else
            snprintf(text, RILL_ADDRESS_TEXT_MAX, "[%s]:%u", host, port);
    } else {
        inet_ntop(AF_INET, &address->ip4.sin_addr, host, sizeof host);
        snprintf(text, RILL_ADDRESS_TEXT_MAX, "%s:%u", host, port);
    }
    return text;
}

/* The port lies at the same place in both kinds of address that have one. */
uint16_t rill_address_port(const struct rill_address *address)
{
    return address->any.sa_family == AF_UNIX ? 0 : ntohs(address->ip4.sin_port);
}

void rill_address_set_port(struct rill_address *address, uint16_t port)
{
    if (address->any.sa_family != AF_UNIX)
        address->ip4.sin_port = htons(port);
}

const char *rill_address_explain_listen(const struct rill_address *address, int error)
{
    bool is_unix = address->any.sa_family == AF_UNIX;

    switch (error) {
    case -EADDRINUSE:
    case -EBUSY:
        if (rill_address_is_abstract(address))
            return "a server has that name";
        if (is_unix)
            return "there is a file of that name: a server has it, or one that was killed left it "
                   "behind and it may be removed";
        return rill_address_port(address) == 0
                   ? "no port is free (net.ipv4.ip_local_port_range)"
                   : "the port is taken by another program (port 0 picks a free one)";
    case -EACCES:
        return is_unix ? "no permission to make a file there"
                       : "the port needs privilege (those from 1024 on do not)";
    case -EADDRNOTAVAIL:
        return "the address is none of this machine's";
    case -ENOENT:
        return is_unix ? "there is no directory of that name"
                       : "the kernel does not have this congestion control";
    default:
        return strerror(-error);
    }
}
