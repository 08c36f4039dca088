/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - listens at a URL and gives each connection a task of its own. */
#ifndef RILL_NET_SERVER_H
#define RILL_NET_SERVER_H

#include "net/listener.h"
#include "net/tcp.h"
#include "net/url.h"
#include "runtime/sleep.h"
#include "runtime/task.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is run for each connection: a struct whose first member is a task and
 * which has a struct rill_tcp, and the poll function of the task. */
struct rill_service {
    size_t size;       /* of the struct */
    size_t tcp_offset; /* of its connection */
    rill_poll_fn *poll;
};

/* The service whose connection is the member of that name of the struct type. In C++ too the
 * struct is a zeroed block: no constructor is run, and no destructor. */
#ifndef __cplusplus
#define RILL_SERVICE(type, member, poll_function)                                                  \
    ((struct rill_service){sizeof(type), offsetof(type, member), poll_function})
#else
#define RILL_SERVICE(type, member, poll_function)                                                  \
    (rill_service{sizeof(type), offsetof(type, member), poll_function})
#endif

/* Zeroed; then the fields up to options may be set. */
struct rill_server {
    union {
        int64_t result; /* why it ended: -ECANCELED, or the -errno of rill_serve */
        struct rill_future future;
    };
    FILE *announce; /* where "listening on tcp://127.0.0.1:7000" is printed, or NULL; why it can
                     * not listen there goes to stderr then */
    struct rill_listen_options options;
    const char *why;               /* with -EINVAL: what is wrong with the URL */
    uint64_t accepted;             /* connections since it began */
    struct rill_listener listener; /* open while it serves: rill_listener_address tells where */

    /* private */
    struct rill_url url;
    const char *text;
    struct rill_service service;
    struct rill_accept accept;
    struct rill_sleep pause;
    void *connection; /* accepted, and waiting for memory until its task is spawned */
};

/* Listens at url, "tcp://host:port" with a numeric host or "unix:///path", and for each connection
 * spawns a detached task of the service: a zeroed block of its size, with the
 * connection adopted. The task closes the connection and then ends. Serves until
 * it is cancelled, then closes the listener; the connections go on. Borrows the
 * url. Errors: -EINVAL (see server->why), or those of rill_listener_open. When
 * memory is short the connection waits and nothing is lost. */
struct rill_future *rill_serve(struct rill_server *server, const char *url,
                               struct rill_service service);

#ifdef __cplusplus
}
#endif
#endif
