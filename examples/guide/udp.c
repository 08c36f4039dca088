/* SPDX-License-Identifier: Apache-2.0 */
/* udp.c - a server that sends each datagram back to whom it came from, and a client that asks
 * again when no answer comes, as either way a datagram may be lost. */
#include "net/udp.h"
#include "io/program.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct server {
    struct rill_task task;
    struct rill_udp udp;
    struct rill_datagram datagram;
    char bytes[1400];
};

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(
            rill_udp_recv(&server->udp, &server->datagram, server->bytes, sizeof server->bytes));
        if (server->datagram.result == -ECANCELED)
            break;
        if (server->datagram.result < 0) /* of one datagram: the next one may be well */
            continue;
        RILL_AWAIT(rill_udp_send(&server->udp, &server->datagram, server->bytes,
                                 (size_t)server->datagram.result, &server->datagram.peer));
    }
    RILL_AWAIT(rill_udp_close(&server->udp));
    RILL_END();
}

/* Opens a socket at a free port, and tells in address which it is. Returns 0 or -errno. */
static int open_local(struct rill_udp *udp, struct rill_address *address)
{
    int error = rill_address_parse(address, "127.0.0.1", 0);

    if (!error)
        error = rill_udp_open(udp, address, NULL);
    return error ? error : rill_udp_local_address(udp, address);
}

struct client {
    struct rill_future future;
    struct server server;
    struct rill_join join;
    struct rill_udp udp;
    struct rill_address address;
    struct rill_datagram datagram;
    struct rill_timeout timeout;
    int error, word, attempt;
    char answer[4];
};

/* Starts the server, and connects to it. */
static int start(struct client *client)
{
    int error = open_local(&client->udp, &client->address);

    if (!error)
        error = open_local(&client->server.udp, &client->address);
    if (!error)
        error = rill_udp_connect(&client->udp, &client->address);
    if (!error)
        rill_task_spawn(&client->server.task, server_poll);
    return error;
}

static void print(const struct client *client)
{
    int size = (int)client->datagram.result;

    if (size >= 0)
        printf("%d bytes came back: \"%.*s\"\n", size, size, client->answer);
    else
        printf("%s: it had %d bytes\n", strerror(-size), (int)client->datagram.op.transferred);
}

static const char *const words[] = {"one", "two", "", "three"};

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, future);

    RILL_BEGIN();
    client->error = start(client);
    if (client->error) { /* closing one that is not open does no harm */
        RILL_AWAIT(rill_udp_close(&client->server.udp));
        RILL_AWAIT(rill_udp_close(&client->udp));
        RILL_RETURN(client->error);
    }
    for (client->word = 0; client->word < 4; client->word++) {
        for (client->attempt = 0; client->attempt < 5; client->attempt++) {
            RILL_AWAIT(rill_udp_send(&client->udp, &client->datagram, words[client->word],
                                     strlen(words[client->word]), NULL));
            RILL_AWAIT(rill_timeout(&client->timeout, RILL_SECOND,
                                    rill_udp_recv(&client->udp, &client->datagram, client->answer,
                                                  sizeof client->answer)));
            if (client->timeout.result != -ETIMEDOUT)
                break;
        }
        print(client);
    }
    rill_task_cancel(&client->server.task);
    RILL_AWAIT(rill_task_join(&client->server.task, &client->join));
    RILL_AWAIT(rill_udp_close(&client->udp));
    RILL_END();
}

int main(void)
{
    static struct client client;

    return rill_main(rill_future_init(&client.future, client_poll));
}
