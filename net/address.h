/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - an IPv4 or IPv6 address with its port, and its text. */
#ifndef RILL_NET_ADDRESS_H
#define RILL_NET_ADDRESS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535" and a zero */
    RILL_ADDRESS_TEXT_MAX = 72,
};

struct rill_address {
    union {
        struct sockaddr any;
        struct sockaddr_in ip4;
        struct sockaddr_in6 ip6;
    };
    socklen_t size; /* of the member in use */
};

/* Reads a numeric host ("127.0.0.1", "::1", "fe80::1%eth0"; no name is looked up).
 * Returns 0, or -EINVAL where it is none. */
int rill_address_parse(struct rill_address *address, const char *host, uint16_t port);

/* Writes "127.0.0.1:7000" or "[::1]:7000" into text, which holds
 * RILL_ADDRESS_TEXT_MAX bytes, and returns text. */
char *rill_address_format(const struct rill_address *address, char *text);

uint16_t rill_address_port(const struct rill_address *address);
void rill_address_set_port(struct rill_address *address, uint16_t port);

#ifdef __cplusplus
}
#endif
#endif
