/* SPDX-License-Identifier: Apache-2.0 */
#include "net/server.h"

#include "runtime/executor.h"

#include <string.h>

static int server_listen(struct rill_server *server)
{
    char text[RILL_ADDRESS_TEXT_MAX];
    struct rill_address address;
    int error = rill_url_parse(&server->url, server->text, &server->why);

    if (error)
        return error;
    error = rill_url_address(&server->url, &address, &server->why);
    if (error)
        return error;
    error = rill_listener_open(&server->listener, &address, &server->options);
    if (error) {
        server->why = rill_listener_explain(error, &address);
        return error;
    }
    if (server->announce && rill_listener_address(&server->listener, &address) == 0) {
        fprintf(server->announce, "listening on %s://%s\n", server->url.scheme,
                rill_address_format(&address, text));
        fflush(server->announce);
    }
    return 0;
}

static void start_connection(struct rill_server *server)
{
    void *block = server->connection.block;

    rill_tcp_adopt(rill_service_peer(&server->service, block), (int)server->accept.result);
    rill_service_start(&server->service, block, server->scope);
    server->accepted++;
}

static enum rill_poll serve_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_server *server = rill_container_of(self, struct rill_server, future);

    RILL_BEGIN();
    if (!rill_budget_spend(rill_executor_here(),
                           task)) /* where it can not listen it ends at once */
        return RILL_PENDING;
    server->result = server_listen(server);
    if (server->result < 0) {
        if (server->announce)
            fprintf(stderr, "%s: %s\n", server->text, server->why);
        RILL_RETURN(server->result);
    }

    for (;;) {
        RILL_AWAIT(rill_tcp_accept(&server->listener, &server->accept));
        if (server->accept.result < 0)
            break;
        RILL_AWAIT(rill_service_alloc(&server->connection, &server->service));
        start_connection(server);
    }
    RILL_AWAIT(rill_listener_close(&server->listener));
    RILL_RETURN(server->accept.result);
    RILL_END();
}

struct rill_future *rill_serve(struct rill_server *server, const char *url,
                               struct rill_service service)
{
    rill_service_check(&service, sizeof(struct rill_tcp));
    server->text = url;
    server->service = service;
    server->accepted = 0;
    server->why = NULL;
    return rill_future_init(&server->future, serve_poll);
}
