/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - listens at a URL and gives each connection a task of its own. */
#ifndef RILL_NET_SERVER_H
#define RILL_NET_SERVER_H

#include "net/listener.h"
#include "net/tcp.h"
#include "net/url.h"
#include "runtime/service.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed; then the fields up to connections_max may be set. */
struct rill_server {
    union {
        int64_t result; /* why it ended: -ECANCELED, or the -errno of rill_serve */
        struct rill_future future;
    };
    FILE *announce; /* where "listening on tcp://127.0.0.1:7000" is printed, or NULL; why it
                     * cannot listen there goes to stderr then */
    struct rill_listen_options options;
    struct rill_scope *scope;      /* into which the tasks are spawned; NULL: they are detached */
    size_t connections_max;        /* tasks alive in the scope, which there has to be: further
                                    * connections wait in the backlog; 0: as many as there are
                                    * descriptors */
    const char *why;               /* it cannot listen: a sentence, or part of one */
    uint64_t accepted;             /* connections since it began */
    struct rill_listener listener; /* open while it serves: rill_listener_address tells where */

    /* private */
    struct rill_url url;
    const char *text;
    struct rill_service service;
    struct rill_scope_room room;
    struct rill_accept accept;
    struct rill_shield shield;
    struct rill_service_pause pause;
    void *connection; /* the block of one that was accepted, until its task is spawned */
};

/* Listens at url, "tcp://host:port" with a numeric host, "unix:///path" or "unix://@name", or with
 * the socket of "fd://name" that the program was started with (net/inherited.h). For each
 * connection it spawns a task of the service, whose connection is a struct rill_tcp: a zeroed block
 * with the connection adopted. The task closes the connection and then ends. Serves until it is
 * cancelled, then stops accepting, gives those who were accepted by then their tasks too, and
 * closes the listener; the connections go on. Borrows the url, and panics where it is NULL. Errors:
 * -EINVAL where the URL is wrong, or those of rill_listener_open or rill_listener_adopt; see
 * server->why. A connection that was accepted waits, and is not lost, while memory is short, or
 * where others have filled the scope since; a server that is cancelled then does not wait for room
 * any more. */
struct rill_future *rill_serve(struct rill_server *server, const char *url,
                               struct rill_service service);

#ifdef __cplusplus
}
#endif
#endif
