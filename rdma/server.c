/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/server.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>

static int find_address(struct rill_rdma_server *server, struct rill_address *address)
{
    int error = rill_url_parse(&server->url, server->text, &server->why);

    if (error)
        return error;
    if (strcmp(server->url.scheme, "rdma") == 0 &&
        rill_address_parse(address, server->url.host, server->url.port) == 0)
        return 0;
    server->why = "want rdma://host:port with a numeric host, such as rdma://192.0.2.1:7000, or "
                  "rdma://0.0.0.0:7000 for all of this machine's";
    return -EINVAL;
}

static const char *explain(int error, const struct rill_address *address)
{
    switch (error) {
    case -EIO:
        return "UCX cannot listen there, as it says";
    case -EMFILE:
        return "too few descriptors are left for UCX: raise the limit (ulimit -n)";
    default:
        return rill_address_explain_listen(address, error);
    }
}

static int server_listen(struct rill_rdma_server *server)
{
    char text[RILL_ADDRESS_TEXT_MAX];
    struct rill_address address;
    int error = find_address(server, &address);

    if (error)
        return error;
    if (!server->hub && !server->rdma->has_bare_endpoints) {
        server->why = "the worker was opened for connections alone, want bare_endpoints of "
                      "rill_rdma_options";
        return -EOPNOTSUPP;
    }
    error = rill_rdma_listen(&server->listener, server->rdma, &address);
    if (error) {
        server->why = explain(error, &address);
        return error;
    }
    if (server->announce && rill_rdma_listener_address(&server->listener, &address) == 0) {
        fprintf(server->announce, "listening on rdma://%s\n", rill_address_format(&address, text));
        fflush(server->announce);
    }
    return 0;
}

/* Takes the request over, whatever comes of it. */
static void start_connection(struct rill_rdma_server *server)
{
    void *block = server->connection;
    void *peer = rill_service_peer(&server->service, block);
    int error = server->hub ? rill_rdma_adopt(peer, server->hub, &server->accept, &server->options)
                            : rill_rdma_ep_adopt(peer, &server->accept);

    server->accepted++;
    if (error) {
        server->failed++;
        rill_task_free(block);
        return;
    }
    rill_service_start(&server->service, block, server->scope);
}

static void tell_deafness(struct rill_rdma_server *server)
{
    server->why =
        "a peer that was killed left a hole in the shared memory, behind which nothing is "
        "heard: it has to be opened anew";
    if (server->announce)
        fprintf(stderr, "%s: %s\n", server->text, server->why);
}

static struct rill_future *wait_for_room(struct rill_rdma_server *server)
{
    return rill_scope_wait_for_room(server->scope, &server->room, server->connections_max);
}

static enum rill_poll serve_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_server *server = rill_container_of(self, struct rill_rdma_server, future);

    RILL_BEGIN();
    /* Where it cannot listen it ends at once, which has to be paid for. */
    RILL_SPEND_BUDGET();
    server->result = server_listen(server);
    if (server->result < 0) {
        if (server->announce)
            fprintf(stderr, "%s: %s\n", server->text, server->why);
        RILL_RETURN(server->result);
    }
    for (;;) {
        if (server->connections_max > 0) /* where that is cancelled, so is accepting */
            RILL_AWAIT(wait_for_room(server));
        RILL_AWAIT(rill_rdma_accept(&server->listener, &server->accept));
        if (server->accept.result < 0)
            break;
        if (server->connections_max > 0) /* which others that spawn into the scope may have taken */
            RILL_AWAIT(wait_for_room(server));
        while (!(server->connection = rill_service_take(&server->service)))
            RILL_AWAIT(rill_service_wait(&server->pause));
        start_connection(server);
    }
    rill_rdma_listener_close(&server->listener);
    if (server->accept.result == -ENOTRECOVERABLE)
        tell_deafness(server);
    RILL_RETURN(server->accept.result);
    RILL_END();
}

static struct rill_future *prepare(struct rill_rdma_server *server, const char *url,
                                   struct rill_service service)
{
    server->text = url;
    server->service = service;
    server->accepted = 0;
    server->failed = 0;
    server->why = NULL;
    return rill_future_init(&server->future, serve_poll);
}

struct rill_future *rill_rdma_serve(struct rill_rdma_server *server, struct rill_rdma_hub *hub,
                                    const char *url, struct rill_service service)
{
    rill_service_check(&service, sizeof(struct rill_rdma_connection), server->scope,
                       server->connections_max);
    rill_check(hub->is_open, "a server of connections in a hub that is not open");
    server->hub = hub;
    server->rdma = hub->rdma;
    return prepare(server, url, service);
}

struct rill_future *rill_rdma_serve_ep(struct rill_rdma_server *server, struct rill_rdma *rdma,
                                       const char *url, struct rill_service service)
{
    rill_service_check(&service, sizeof(struct rill_rdma_ep), server->scope,
                       server->connections_max);
    server->hub = NULL;
    server->rdma = rdma;
    return prepare(server, url, service);
}
