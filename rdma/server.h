/* SPDX-License-Identifier: Apache-2.0 */
/* server.h - listens at a URL and gives each connection over UCX a task of its own, as
 * net/server.h does over TCP.
 *
 *     struct client {
 *         struct rill_task task;
 *         struct rill_rdma_connection peer;
 *         ...
 *     };
 *
 *     RILL_AWAIT(rill_rdma_serve(&program->server, &program->hub, "rdma://0.0.0.0:7000",
 *                                RILL_SERVICE(struct client, peer, client_poll)));
 */
#ifndef RILL_RDMA_SERVER_H
#define RILL_RDMA_SERVER_H

#include "net/url.h"
#include "rdma/connection.h"
#include "rdma/listener.h"
#include "runtime/scope.h"
#include "runtime/service.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed; then the fields up to connections_max may be set. It must not move while it serves. */
struct rill_rdma_server {
    union {
        int64_t result; /* why it ended: -ECANCELED, or the -errno of rill_rdma_serve */
        struct rill_future future;
    };
    FILE *announce; /* where "listening on rdma://127.0.0.1:7000" is printed, or NULL; why it
                     * cannot listen there goes to stderr then */
    struct rill_rdma_connection_options options; /* of its connections */
    struct rill_scope *scope; /* into which their tasks are spawned; NULL: they are detached */
    size_t connections_max;   /* tasks alive in the scope, which there has to be: who comes besides
                               * waits in the listener and the backlog, up to the handshake_ns
                               * of his options; 0: any number */
    const char *why;          /* it cannot listen: a sentence, or part of one */
    uint64_t accepted;        /* connections since it began */
    uint64_t failed;          /* that were accepted, and of which UCX could make no endpoint */
    struct rill_rdma_listener listener; /* open while it serves */

    /* private */
    struct rill_rdma *rdma;
    struct rill_rdma_hub *hub; /* NULL: bare endpoints are served */
    struct rill_url url;
    const char *text;
    struct rill_service service;
    struct rill_scope_room room;
    struct rill_rdma_accept accept;
    struct rill_service_pause pause;
    void *connection; /* the block of one that was accepted, until its task is spawned */
};

/* Listens at url, "rdma://host:port" with a numeric host, and for each connection spawns a task
 * of the service, whose connection is a struct rill_rdma_connection: a zeroed block with the
 * connection adopted, so that the task begins by waiting for it
 * (rill_rdma_wait_for_connection). The task disconnects and then ends. Serves until it is
 * cancelled, then closes the listener, which turns those away that nobody took; the connections
 * go on. Borrows the hub and the url. Errors: -EINVAL where the URL is wrong, those
 * of rill_rdma_listen, or -ENOTRECOVERABLE where the worker is deaf: its
 * connections have failed, and it is to be closed and opened anew (hearing.h); see server->why.
 * When descriptors are short, clients are refused and then wait in the backlog, as listener.h says;
 * those who are connected are served on. When memory is short the connection waits: the other side
 * for its answer, as long as its options.handshake_ns. So it does for room, if there is a
 * connections_max; where others fill the scope while the server accepts, and it is cancelled then,
 * it does not wait for room. */
struct rill_future *rill_rdma_serve(struct rill_rdma_server *server, struct rill_rdma_hub *hub,
                                    const char *url, struct rill_service service);

/* The same of bare endpoints: the service's connection is a struct rill_rdma_ep, the task closes
 * it (rill_rdma_ep_close), and server->options are not used. For peers that are any program of
 * UCX's. -EOPNOTSUPP where rdma was opened without bare_endpoints. */
struct rill_future *rill_rdma_serve_ep(struct rill_rdma_server *server, struct rill_rdma *rdma,
                                       const char *url, struct rill_service service);

#ifdef __cplusplus
}
#endif
#endif
