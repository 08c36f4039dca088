/* SPDX-License-Identifier: Apache-2.0 */
/* client.c - sends a line to a server and prints the answer, within five seconds. */
#include "io/program.h"
#include "net/connect.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct client {
    struct rill_future future;
    struct rill_tcp peer;
    struct rill_connect connect;
    struct rill_op send, recv;
    struct rill_timeout timeout;
    const char *host, *line;
    uint16_t port;
    size_t filled;
    char answer[4096];
};

/* One exchange, written as if it blocked. What it owns it releases, also when it
 * is cancelled in the middle: every await then ends, and closing still works. */
static enum rill_poll ask_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_connect(&client->peer, &client->connect, client->host, client->port));
    if (client->connect.result < 0)
        RILL_RETURN(client->connect.result);
    RILL_AWAIT(rill_tcp_send_all(&client->peer, &client->send, client->line, strlen(client->line)));
    client->recv.result = client->send.result;
    /* A line may arrive in pieces. */
    while (client->recv.result > 0 && client->filled < sizeof client->answer - 1 &&
           !memchr(client->answer, '\n', client->filled)) {
        RILL_AWAIT(rill_tcp_recv(&client->peer, &client->recv, client->answer + client->filled,
                                 sizeof client->answer - 1 - client->filled));
        if (client->recv.result > 0)
            client->filled += (size_t)client->recv.result;
    }
    RILL_AWAIT(rill_tcp_close(&client->peer));
    RILL_RETURN(client->recv.result);
    RILL_END();
}

/* Returns the port, or 0 if the text is none. */
static uint16_t read_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    return *end == '\0' && port <= UINT16_MAX ? (uint16_t)port : 0;
}

int main(int argc, char **argv)
{
    static struct client client;
    static char line[1024];
    uint16_t port = argc == 4 ? read_port(argv[2]) : 0;
    int status;

    if (port == 0 || snprintf(line, sizeof line, "%s\n", argv[3]) >= (int)sizeof line) {
        fprintf(stderr, "usage: client HOST PORT LINE, with a port of 1 to 65535 and a line of "
                        "up to 1022 bytes\n");
        return 2;
    }
    client.host = argv[1];
    client.port = port;
    client.line = line;
    status = rill_main(
        rill_timeout(&client.timeout, 5 * RILL_SECOND, rill_future_init(&client.future, ask_poll)));
    fputs(client.answer, stdout);
    return status;
}
