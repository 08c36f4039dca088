/* SPDX-License-Identifier: Apache-2.0 */
/* url.h - where to listen or connect: "tcp://host:port". */
#ifndef RILL_NET_URL_H
#define RILL_NET_URL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_URL_SCHEME_MAX = 16, /* with the zero behind it */
    RILL_URL_HOST_MAX = 254,  /* 253 characters of a DNS name (RFC 1035) and a zero */
};

struct rill_url {
    char scheme[RILL_URL_SCHEME_MAX]; /* in lower case */
    char host[RILL_URL_HOST_MAX];     /* a name or an address, without brackets */
    uint16_t port;
};

/* Reads "scheme://host:port"; an IPv6 address stands in brackets. Returns 0, or
 * -EINVAL with a sentence in *why that says what is wrong and what would be right. */
int rill_url_parse(struct rill_url *url, const char *text, const char **why);

#ifdef __cplusplus
}
#endif
#endif
