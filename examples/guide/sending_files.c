/* SPDX-License-Identifier: Apache-2.0 */
/* sending_files.c - a server of files: a length, and so many bytes of a file behind it. */
#include "io/path.h"
#include "io/program.h"
#include "io/replace.h"
#include "net/connect.h"
#include "net/listener.h"
#include "net/send_file.h"
#include "runtime/scope.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char poem[] = "The woods are lovely, dark and deep,\nBut I have promises to keep.\n";

struct server {
    struct rill_task task;
    struct rill_listener listener;
    struct rill_accept accept;
    struct rill_tcp peer;
    struct rill_file file;
    struct statx status;
    struct rill_op op;
    uint32_t length;
    struct rill_send_file send;
};

/* Serves one peer. */
static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_accept(&server->listener, &server->accept));
    if (server->accept.result < 0)
        goto close_listener;
    rill_tcp_adopt(&server->peer, (int)server->accept.result);
    RILL_AWAIT(rill_file_open(&server->file, "poem", O_RDONLY, 0));
    if (server->file.result < 0)
        goto close_peer;
    /* Of the file that is open: what has its name may be another one by now. */
    RILL_AWAIT(rill_file_stat(&server->file, &server->op, &server->status));
    if (server->op.result < 0)
        goto close_file;

    server->length = htonl((uint32_t)server->status.stx_size);
    RILL_AWAIT(rill_tcp_send_all(&server->peer, &server->op, &server->length, 4));
    if (server->op.result < 0)
        goto close_file;
    RILL_AWAIT(rill_tcp_send_file(&server->peer, &server->send, &server->file, 0,
                                  server->status.stx_size));
    if (server->send.result != (int64_t)server->status.stx_size)
        printf("only %u bytes went\n", (unsigned)server->send.transferred);
close_file:
    RILL_AWAIT(rill_file_close(&server->file));
close_peer:
    RILL_AWAIT(rill_tcp_close(&server->peer)); /* so the peer sees an end that is too early */
close_listener:
    RILL_AWAIT(rill_listener_close(&server->listener));
    RILL_END();
}

/* Listens at a free port and starts the server. Returns the port, or -errno. */
static int server_start(struct server *server, struct rill_scope *scope)
{
    struct rill_address address;
    int error = rill_address_parse(&address, "127.0.0.1", 0);

    if (!error)
        error = rill_listener_open(&server->listener, &address, NULL);
    if (!error)
        error = rill_listener_address(&server->listener, &address);
    if (error)
        return error;
    rill_scope_spawn(scope, &server->task, server_poll);
    return rill_address_port(&address);
}

struct client {
    struct rill_future future;
    struct server server;
    struct rill_scope scope;
    struct rill_replace replace;
    struct rill_connect connect;
    struct rill_tcp peer;
    struct rill_op op;
    int port;
    uint32_t length;
    char text[200];
    char directory[32];
};

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, future);

    RILL_BEGIN();
    if (!mkdtemp(client->directory) || chdir(client->directory) < 0)
        RILL_RETURN(-errno);
    RILL_AWAIT(rill_path_replace(&client->replace, "poem", poem, strlen(poem), 0600));
    client->op.result = client->replace.result;
    if (client->op.result < 0)
        goto remove;
    rill_scope_init(&client->scope, RILL_SCOPE_TOGETHER);
    client->port = server_start(&client->server, &client->scope);
    client->op.result = client->port;
    if (client->port < 0)
        goto remove;
    RILL_AWAIT(
        rill_tcp_connect(&client->peer, &client->connect, "localhost", (uint16_t)client->port));
    client->op.result = client->connect.result;
    if (client->connect.result < 0)
        goto end_server;
    RILL_AWAIT(rill_tcp_recv_exactly(&client->peer, &client->op, &client->length, 4));
    RILL_AWAIT(
        rill_tcp_recv_exactly(&client->peer, &client->op, client->text, sizeof client->text));
    printf("%u bytes were promised and %d came:\n%s", (unsigned)ntohl(client->length),
           (int)client->op.result, client->text);
    RILL_AWAIT(rill_tcp_close(&client->peer));
end_server:
    rill_scope_cancel(&client->scope, RILL_CANCELLED); /* it may still wait for us */
    RILL_AWAIT(rill_scope_join(&client->scope));
remove:
    unlink("poem"); /* not awaited: it has to go even if all this was cancelled */
    rmdir(client->directory);
    RILL_RETURN(client->op.result);
    RILL_END();
}

int main(void)
{
    static struct client client = {.directory = "/tmp/rill-sending_files-XXXXXX"};

    return rill_main(rill_future_init(&client.future, client_poll));
}
