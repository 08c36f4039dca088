/* SPDX-License-Identifier: Apache-2.0 */
#include "net/server.h"

#include "net/inherited.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>

/* Takes over the socket that an fd URL means. */
static int server_adopt(struct rill_server *server, const struct rill_listen_options *options)
{
    static const struct rill_address unknown;
    int fd = rill_inherited_find(server->url.path);
    int error = fd < 0 ? fd : rill_listener_adopt(&server->listener, fd, options);

    if (error == -ENOENT && fd < 0)
        server->why = "the program was started with no descriptor of that name";
    else if (error == -EBUSY && fd < 0)
        server->why = "the descriptor is in use by this program already";
    else if (error == -EINVAL)
        server->why = "the socket does not listen";
    else if (error)
        server->why = rill_address_explain_listen(&unknown, error);
    return error;
}

static int server_open(struct rill_server *server)
{
    struct rill_listen_options options = server->options;
    struct rill_address address;
    int error = rill_url_parse(&server->url, server->text, &server->why);

    if (error)
        return error;
    /* Whom it has no room for may be another process's. */
    options.one_by_one |= server->connections_max > 0;
    if (strcmp(server->url.scheme, "fd") == 0)
        return server_adopt(server, &options);
    error = rill_url_address(&server->url, &address, &server->why);
    if (error)
        return error;
    error = rill_listener_open(&server->listener, &address, &options);
    if (error)
        server->why = rill_address_explain_listen(&address, error);
    return error;
}

static void announce(struct rill_server *server)
{
    char text[RILL_ADDRESS_TEXT_MAX];
    struct rill_address address;

    if (server->result < 0) {
        fprintf(stderr, "%s: %s\n", server->text, server->why);
    } else if (rill_listener_address(&server->listener, &address) == 0) {
        fprintf(server->announce, "listening on %s://%s\n",
                address.any.sa_family == AF_UNIX ? "unix" : "tcp",
                rill_address_format(&address, text));
        fflush(server->announce);
    }
}

static void start_connection(struct rill_server *server)
{
    void *block = server->connection;

    rill_tcp_adopt(rill_service_peer(&server->service, block), (int)server->accept.result);
    rill_service_start(&server->service, block, server->scope);
    server->accepted++;
}

static struct rill_future *wait_for_room(struct rill_server *server)
{
    return rill_scope_wait_for_room(server->scope, &server->room, server->connections_max);
}

static enum rill_poll serve_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_server *server = rill_container_of(self, struct rill_server, future);

    RILL_BEGIN();
    /* Where it cannot listen it ends at once, which has to be paid for. */
    RILL_SPEND_BUDGET();
    server->result = server_open(server);
    if (server->announce)
        announce(server);
    if (server->result < 0)
        RILL_RETURN(server->result);

    for (;;) {
        if (server->connections_max > 0) /* where that is cancelled, so is accepting */
            RILL_AWAIT(wait_for_room(server));
        RILL_AWAIT(rill_tcp_accept(&server->listener, &server->accept));
        if (server->accept.result < 0)
            break;
        if (server->connections_max > 0) /* which others that spawn into the scope may have taken */
            RILL_AWAIT(wait_for_room(server));
        while (!(server->connection = rill_service_take(&server->service)))
            RILL_AWAIT(rill_service_wait(&server->pause));
        start_connection(server);
    }
    server->result = server->accept.result;
    /* Whose connection was accepted is served: nobody else has the socket, even where it goes on
     * listening for the next one who adopts it. */
    RILL_AWAIT(rill_listener_withdraw(&server->listener));
    while (server->listener.held.count > 0) {
        RILL_AWAIT(
            rill_shield(&server->shield, rill_tcp_accept(&server->listener, &server->accept)));
        while (!(server->connection = rill_service_take(&server->service)))
            RILL_AWAIT(rill_service_wait(&server->pause));
        start_connection(server);
    }
    RILL_AWAIT(rill_listener_close(&server->listener));
    RILL_RETURN(server->result);
    RILL_END();
}

struct rill_future *rill_serve(struct rill_server *server, const char *url,
                               struct rill_service service)
{
    rill_check(url, "a server was given NULL to listen at; want a URL, such as "
                    "tcp://127.0.0.1:7000");
    rill_service_check(&service, sizeof(struct rill_tcp), server->scope, server->connections_max);
    server->text = url;
    server->service = service;
    server->accepted = 0;
    server->why = NULL;
    return rill_future_init(&server->future, serve_poll);
}
