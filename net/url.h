/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - where to listen or connect: "tcp://host:port", "unix:///path", "unix://@name",
 * "fd://name". */
#ifndef RILL_NET_URL_H
#define RILL_NET_URL_H

#include "net/address.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_URL_SCHEME_MAX = 16, /* with the zero behind it */
    RILL_URL_HOST_MAX = 254,  /* 253 characters of a DNS name (RFC 1035) and a zero */
    RILL_URL_PATH_MAX = 108,  /* 107 characters, as unix(7) allows, and a zero */
};

struct rill_url {
    char scheme[RILL_URL_SCHEME_MAX]; /* in lower case */
    char host[RILL_URL_HOST_MAX];     /* a name or an address, without brackets */
    uint16_t port;
    char path[RILL_URL_PATH_MAX]; /* of a unix URL, or the name of an fd URL, which have no host
                                   * and no port */
};

/* Reads "scheme://host:port", where an IPv6 address stands in brackets, or
 * "unix://path", whose path is relative to the working directory unless it begins
 * with a slash ("unix:///run/echo.sock"), and an abstract name if it begins with @
 * ("unix://@echo", rill_address_set_path), or "fd://name", a descriptor that the program was
 * started with (net/inherited.h). Returns 0, or -EINVAL with a sentence in
 * *why that says what is wrong and what would be right. Panics where text is NULL. */
int rill_url_parse(struct rill_url *url, const char *text, const char **why);

/* Makes the address of a tcp URL with a numeric host, or of a unix URL. Returns 0,
 * or -EINVAL with a sentence in *why as above. */
int rill_url_address(const struct rill_url *url, struct rill_address *address, const char **why);

#ifdef __cplusplus
}
#endif
#endif
