/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.h - the addresses of a name, looked up beside the loop.
 *
 * getaddrinfo(3) knows /etc/hosts, DNS and whatever else nsswitch.conf(5) names, and it
 * blocks, for half a minute if a name server is silent. It runs on threads that do
 * nothing else, so slow names keep nobody waiting but each other; a numeric address needs
 * none. */
#ifndef RILL_NET_RESOLVE_H
#define RILL_NET_RESOLVE_H

#include "net/address.h"
#include "runtime/future.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_RESOLVE_ADDRESSES_MAX = 16, /* of one name; further ones are left out */
    RILL_RESOLVE_LOOKUPS_MAX = 64,   /* at once, in the whole process: threads */
    RILL_RESOLVE_WAITING_MAX = 4096, /* that wait for one of these */
};

struct rill_resolve {
    union {
        int64_t result; /* how many addresses there are (> 0), or -errno */
        struct rill_future future;
    };
    struct rill_address addresses[RILL_RESOLVE_ADDRESSES_MAX];

    /* private */
    const char *host;
    uint16_t port;
    struct rill_future answer;  /* of the thread */
    struct rill_lookup *lookup; /* shared with the thread: see resolve.c */
};

/* Looks up the addresses of host, in the order in which RFC 6724 tries them, each
 * with the port. Those that this machine has no way to come last: connecting to one fails at once.
 * host is borrowed; it panics where that is NULL. The result is their number, or -errno:
 *   -ENOENT  no such name
 *   -EAGAIN  the name server does not answer, or too many look-ups wait for a thread
 *   -ENOMEM, -EMFILE, -EIO, or -ESHUTDOWN after rill_runtime_shutdown
 * Cancelling ends it at once. One that has no thread yet never gets one; otherwise the
 * thread's answer is thrown away when it comes. */
struct rill_future *rill_resolve(struct rill_resolve *resolve, const char *host, uint16_t port);

#ifdef __cplusplus
}
#endif
#endif
