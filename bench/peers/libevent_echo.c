/* SPDX-License-Identifier: Apache-2.0 */
/* libevent_echo.c - an echo server on libevent's buffered events. */
#include "bench/peers/peer.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/queue.h>

struct connection {
    struct bufferevent *buffered;
    LIST_ENTRY(connection) link; /* connections */
};

static LIST_HEAD(, connection) connections = LIST_HEAD_INITIALIZER(connections);
static struct peer peer;

static void on_read(struct bufferevent *buffered, void *context)
{
    struct evbuffer *input = bufferevent_get_input(buffered);
    struct connection *other;

    (void)context;
    if (!peer.broadcast) {
        evbuffer_add_buffer(bufferevent_get_output(buffered), input);
        return;
    }
    size_t length = evbuffer_get_length(input);
    unsigned char *data = evbuffer_pullup(input, -1);
    LIST_FOREACH(other, &connections, link)
    bufferevent_write(other->buffered, data, length);
    evbuffer_drain(input, length);
}

/* The end, an error, or silence for too long. */
static void on_event(struct bufferevent *buffered, short what, void *context)
{
    struct connection *connection = context;

    (void)what;
    LIST_REMOVE(connection, link);
    bufferevent_free(buffered);
    free(connection);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int size, void *context)
{
    struct event_base *base = context;
    struct connection *connection = calloc(1, sizeof *connection);

    (void)listener;
    (void)address;
    (void)size;
    connection->buffered = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!connection->buffered)
        peer_fail("libevent-echo", "bufferevent_socket_new", ENOMEM);
    LIST_INSERT_HEAD(&connections, connection, link);
    bufferevent_setcb(connection->buffered, on_read, NULL, on_event, connection);
    if (peer.timeout_ns > 0) {
        struct timeval limit = {.tv_sec = peer.timeout_ns / 1000000000,
                                .tv_usec = peer.timeout_ns % 1000000000 / 1000};

        bufferevent_set_timeouts(connection->buffered, &limit, NULL);
    }
    bufferevent_enable(connection->buffered, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    struct event_base *base;

    peer_start(&peer, "libevent-echo", "Echoes on libevent.", PEER_TIMEOUT | PEER_BROADCAST, argc,
               argv);
    fcntl(peer.listen_fd, F_SETFL, O_NONBLOCK);
    base = event_base_new();
    if (!base ||
        !evconnlistener_new(base, on_accept, base, LEV_OPT_CLOSE_ON_EXEC, 0, peer.listen_fd))
        peer_fail("libevent-echo", "evconnlistener_new", errno);
    return event_base_dispatch(base);
}
