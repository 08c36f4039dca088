/* SPDX-License-Identifier: Apache-2.0 */
/* address.h - an IPv4 or IPv6 address with its port, or the path or abstract name of a unix
 * socket, and its text. */
#ifndef RILL_NET_ADDRESS_H
#define RILL_NET_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* 108 characters of a unix socket's path or name (unix(7)) and a zero; the longest other
     * one is "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%4294967295]:65535". */
    RILL_ADDRESS_TEXT_MAX = 109,
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

/* Makes the address of a unix socket. A path that begins with @ is an abstract name (unix(7)),
 * which belongs to the network namespace: no file is made for it, it is free as soon as its
 * socket is closed, however that comes about, and nobody's permissions are looked at. A file of
 * such a name is "./@name". Returns 0, -EINVAL for an empty path or name, or -ENAMETOOLONG for
 * more than 107 characters. */
int rill_address_set_path(struct rill_address *address, const char *path);

/* Whether it is the abstract name of a unix socket. */
bool rill_address_is_abstract(const struct rill_address *address);

/* Writes "127.0.0.1:7000", "[::1]:7000", the path of a unix socket ("" where it has none, as a
 * client's) or its abstract name, "@name" (in which a zero that somebody put there is an @ too),
 * into text, which holds RILL_ADDRESS_TEXT_MAX bytes, and returns text. */
char *rill_address_format(const struct rill_address *address, char *text);

/* The port; 0, and not to be changed, in the address of a unix socket. */
uint16_t rill_address_port(const struct rill_address *address);
void rill_address_set_port(struct rill_address *address, uint16_t port);

/* A sentence, or part of one, about an error with which listening at the address ended
 * (rill_listener_open, rill_rdma_listen); it may be strerror's, which the next call of that
 * changes. */
const char *rill_address_explain_listen(const struct rill_address *address, int error);

#ifdef __cplusplus
}
#endif
#endif
