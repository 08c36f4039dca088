/* SPDX-License-Identifier: Apache-2.0 */
/* epoll_echo.c - an echo server written by hand on epoll: one thread, level-triggered.
 *
 * A connection is read once for each event and answered at once. What the socket does
 * not take waits in memory, and until it has gone nothing more is read. Timeouts are a
 * list in the order of the last request: all have the same length, so the first of the
 * list is the next to end. */
#include "bench/peers/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS_MAX = 512 };

struct connection {
    int fd;
    char *pending; /* bytes that the socket did not take */
    size_t pending_size, pending_sent;
    int64_t heard_ms;
    TAILQ_ENTRY(connection) order; /* connections */
};

static TAILQ_HEAD(, connection) connections = TAILQ_HEAD_INITIALIZER(connections);
static struct peer peer;
static int epoll_fd;

static void drop(struct connection *connection)
{
    TAILQ_REMOVE(&connections, connection, order);
    close(connection->fd);
    free(connection->pending);
    free(connection);
}

static void watch(struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};

    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
}

/* Keeps what was not sent. Returns false without memory. */
static bool keep(struct connection *connection, const char *data, size_t size)
{
    size_t old = connection->pending_size;
    char *grown = realloc(connection->pending, old + size);

    if (!grown)
        return false;
    memcpy(grown + old, data, size);
    connection->pending = grown;
    connection->pending_size = old + size;
    if (old == 0)
        watch(connection, EPOLLOUT);
    return true;
}

/* Returns false if the connection is broken. */
static bool send_to(struct connection *connection, const char *data, size_t size)
{
    ssize_t sent = 0;

    if (connection->pending_size == 0) {
        sent = send(connection->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            sent = 0;
    }
    return (size_t)sent == size || keep(connection, data + sent, size - (size_t)sent);
}

static void flush(struct connection *connection)
{
    ssize_t sent = send(connection->fd, connection->pending + connection->pending_sent,
                        connection->pending_size - connection->pending_sent, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN)
            drop(connection);
        return;
    }
    connection->pending_sent += (size_t)sent;
    if (connection->pending_sent == connection->pending_size) {
        free(connection->pending);
        connection->pending = NULL;
        connection->pending_size = connection->pending_sent = 0;
        watch(connection, EPOLLIN);
    }
}

static void receive(struct connection *connection)
{
    static char buffer[PEER_CHUNK_SIZE];
    ssize_t length = recv(connection->fd, buffer, sizeof buffer, 0);

    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        drop(connection);
        return;
    }
    if (peer.timeout_ns > 0) {
        connection->heard_ms = peer_now_ms();
        TAILQ_REMOVE(&connections, connection, order);
        TAILQ_INSERT_TAIL(&connections, connection, order);
    }
    if (peer.broadcast) { /* who is broken is found by its own event */
        struct connection *other;

        TAILQ_FOREACH(other, &connections, order)
        (void)send_to(other, buffer, (size_t)length);
    } else if (!send_to(connection, buffer, (size_t)length)) {
        drop(connection);
    }
}

static void accept_all(void)
{
    int fd;

    while ((fd = accept4(peer.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = calloc(1, sizeof *connection);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

        if (!connection)
            peer_fail("epoll-echo", "connection", ENOMEM);
        connection->fd = fd;
        if (peer.timeout_ns > 0)
            connection->heard_ms = peer_now_ms();
        TAILQ_INSERT_TAIL(&connections, connection, order);
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        peer_fail("epoll-echo", "accept", errno);
}

/* Ends the connections that were silent for too long. Returns how many milliseconds
 * there are to the next, or -1 for ever. */
static int expire(void)
{
    int64_t limit_ms = peer.timeout_ns / 1000000, now_ms;

    if (limit_ms == 0 || TAILQ_EMPTY(&connections))
        return -1;
    now_ms = peer_now_ms();
    while (!TAILQ_EMPTY(&connections)) {
        struct connection *first = TAILQ_FIRST(&connections);

        if (first->heard_ms + limit_ms > now_ms)
            return (int)(first->heard_ms + limit_ms - now_ms);
        drop(first);
    }
    return -1;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];

    peer_start(&peer, "epoll-echo", "Echoes by a loop written by hand on epoll.",
               PEER_TIMEOUT | PEER_BROADCAST, argc, argv);
    fcntl(peer.listen_fd, F_SETFL, O_NONBLOCK);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event listening = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, peer.listen_fd, &listening) < 0)
        peer_fail("epoll-echo", "epoll", errno);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, expire());

        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;

            if (!connection)
                accept_all();
            else if (events[i].events & EPOLLOUT)
                flush(connection);
            else
                receive(connection);
        }
    }
}
