/* SPDX-License-Identifier: Apache-2.0 */
/* libevent_echo.c - an echo server on libevent's buffered events.
 *
 * It does with a client that does not read as libevent's own sample does (le-proxy.c): when too
 * much waits to be sent nothing more is read until half of it has gone, and what waits when the
 * client has finished sending is sent before the end. */
#include "bench/peers/peer.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/queue.h>

enum { OUTPUT_MAX = 512 * 1024 };

struct connection {
    struct bufferevent *buffered;
    LIST_ENTRY(connection) link; /* connections */
};

static LIST_HEAD(, connection) connections = LIST_HEAD_INITIALIZER(connections);
static struct peer peer;

static void drop(struct connection *connection)
{
    LIST_REMOVE(connection, link);
    bufferevent_free(connection->buffered);
    free(connection);
}

static void on_read(struct bufferevent *buffered, void *context);
static void on_event(struct bufferevent *buffered, short what, void *context);

/* Half of what waited has gone. */
static void on_room(struct bufferevent *buffered, void *context)
{
    bufferevent_setcb(buffered, on_read, NULL, on_event, context);
    bufferevent_setwatermark(buffered, EV_WRITE, 0, 0);
    bufferevent_enable(buffered, EV_READ);
}

static void on_all_sent(struct bufferevent *buffered, void *context)
{
    (void)buffered;
    drop(context);
}

static void on_read(struct bufferevent *buffered, void *context)
{
    struct evbuffer *input = bufferevent_get_input(buffered);
    struct connection *other;

    if (!peer.broadcast) {
        struct evbuffer *output = bufferevent_get_output(buffered);

        evbuffer_add_buffer(output, input);
        if (evbuffer_get_length(output) >= OUTPUT_MAX) {
            bufferevent_setcb(buffered, on_read, on_room, on_event, context);
            bufferevent_setwatermark(buffered, EV_WRITE, OUTPUT_MAX / 2, 0);
            bufferevent_disable(buffered, EV_READ);
        }
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
    bool is_end = what & BEV_EVENT_EOF;

    if (is_end && evbuffer_get_length(bufferevent_get_output(buffered)) > 0) {
        bufferevent_setcb(buffered, NULL, on_all_sent, on_event, context);
        bufferevent_setwatermark(buffered, EV_WRITE, 0, 0);
    } else {
        drop(context);
    }
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
