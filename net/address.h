/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - an IPv4 or IPv6 address with its port, or the path of a unix socket, and its text. */
#ifndef RILL_NET_ADDRESS_H
#define RILL_NET_ADDRESS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* 107 characters of a path (unix(7)) and a zero; the longest other one is
     * "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535". */
    RILL_ADDRESS_TEXT_MAX = 108,
};

struct rill_address {
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
        struct sockaddr_un local;
    };
    socklen_t size; /* of the member in use */
};

/* Reads a numeric host ("127.0.0.1", "::1", "fe80::1%eth0"; no name is looked up).
 * Returns 0, or -EINVAL where it is none. */
int rill_address_parse(struct rill_address *address, const char *host, uint16_t port);

/* Makes the address of a unix socket. Returns 0, -EINVAL for an empty path, or
 * -ENAMETOOLONG for one of more than 107 characters. */
int rill_address_set_path(struct rill_address *address, const char *path);

/* Writes "127.0.0.1:7000", "[::1]:7000" or the path of a unix socket ("" where it
 * has none, as a client's) into text, which holds RILL_ADDRESS_TEXT_MAX bytes, and
 * returns text. */
char *rill_address_format(const struct rill_address *address, char *text);

/* The port; 0, and not to be changed, in the address of a unix socket. */
uint16_t rill_address_port(const struct rill_address *address);
void rill_address_set_port(struct rill_address *address, uint16_t port);

#ifdef __cplusplus
}
#endif
#endif
