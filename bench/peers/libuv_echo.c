/* SPDX-License-Identifier: Apache-2.0 */
/* libuv_echo.c - an echo server on libuv.
 *
 * One read buffer for all, since what was read is answered in the callback:
 * uv_try_write as a rule, and uv_write with a copy of what the socket did not take. Until that
 * has gone nothing more is read, nor the end, which would close it with what waits. */
#include "bench/peers/peer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <uv.h>

enum { BACKLOG = 4096 };

struct connection {
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } handle;
    uv_timer_t timer;
    int handles_open;
    LIST_ENTRY(connection) link; /* connections */
};

struct rest {
    uv_write_t write;
    uv_buf_t buffer;
};

static LIST_HEAD(, connection) connections = LIST_HEAD_INITIALIZER(connections);
static struct peer peer;
static uv_loop_t loop;

static void check(const char *what, int status)
{
    if (status < 0)
        peer_fail("libuv-echo", what, -status);
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;

    if (--connection->handles_open == 0)
        free(connection);
}

static void hang_up(struct connection *connection)
{
    if (uv_is_closing((uv_handle_t *)&connection->handle.stream))
        return;
    LIST_REMOVE(connection, link);
    uv_close((uv_handle_t *)&connection->handle.stream, on_closed);
    if (peer.timeout_ns > 0)
        uv_close((uv_handle_t *)&connection->timer, on_closed);
}

static void on_timeout(uv_timer_t *timer)
{
    hang_up(timer->data);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    static char memory[PEER_CHUNK_SIZE];

    (void)handle;
    (void)suggested;
    *buffer = uv_buf_init(memory, sizeof memory);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer);

/* In a broadcast several may wait, and reading goes on when the last of them has gone. */
static void on_written(uv_write_t *write, int status)
{
    struct rest *rest = (struct rest *)write;
    uv_stream_t *stream = write->handle;

    if (status < 0)
        hang_up(stream->data);
    else if (uv_stream_get_write_queue_size(stream) == 0 && !uv_is_closing((uv_handle_t *)stream))
        uv_read_start(stream, on_alloc, on_read);
    free(rest->buffer.base);
    free(rest);
}

static void send_to(struct connection *connection, char *data, size_t size)
{
    uv_buf_t buffer = uv_buf_init(data, (unsigned)size);
    int sent = uv_try_write(&connection->handle.stream, &buffer, 1);
    struct rest *rest;

    if (sent == (int)size)
        return;
    if (sent < 0 && sent != UV_EAGAIN) {
        hang_up(connection);
        return;
    }
    if (sent < 0)
        sent = 0;
    rest = malloc(sizeof *rest);
    rest->buffer = uv_buf_init(malloc(size - (size_t)sent), (unsigned)(size - (size_t)sent));
    memcpy(rest->buffer.base, data + sent, rest->buffer.len);
    uv_read_stop(&connection->handle.stream);
    uv_write(&rest->write, &connection->handle.stream, &rest->buffer, 1, on_written);
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buffer)
{
    struct connection *connection = stream->data;

    if (length < 0) {
        hang_up(connection);
        return;
    }
    if (length == 0)
        return;
    if (peer.timeout_ns > 0)
        uv_timer_again(&connection->timer);
    if (peer.broadcast) {
        struct connection *other, *next;

        for (other = LIST_FIRST(&connections); other; other = next) {
            next = LIST_NEXT(other, link);
            send_to(other, buffer->base, (size_t)length);
        }
    } else {
        send_to(connection, buffer->base, (size_t)length);
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    struct connection *connection = calloc(1, sizeof *connection);

    check("listen", status);
    if (peer.is_unix)
        uv_pipe_init(&loop, &connection->handle.pipe, 0);
    else
        uv_tcp_init(&loop, &connection->handle.tcp);
    connection->handle.stream.data = connection;
    connection->handles_open = 1;
    LIST_INSERT_HEAD(&connections, connection, link);
    if (peer.timeout_ns > 0) {
        uint64_t limit_ms = (uint64_t)peer.timeout_ns / 1000000;

        uv_timer_init(&loop, &connection->timer);
        connection->timer.data = connection;
        connection->handles_open = 2;
        uv_timer_start(&connection->timer, on_timeout, limit_ms, limit_ms);
    }
    if (uv_accept(server, &connection->handle.stream) < 0 ||
        uv_read_start(&connection->handle.stream, on_alloc, on_read) < 0)
        hang_up(connection);
}

int main(int argc, char **argv)
{
    static union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } server;

    peer_start(&peer, "libuv-echo", "Echoes on libuv.", PEER_TIMEOUT | PEER_BROADCAST, argc, argv);
    check("loop", uv_loop_init(&loop));
    if (peer.is_unix) {
        uv_pipe_init(&loop, &server.pipe, 0);
        check("open", uv_pipe_open(&server.pipe, peer.listen_fd));
    } else {
        uv_tcp_init(&loop, &server.tcp);
        check("open", uv_tcp_open(&server.tcp, peer.listen_fd));
    }
    check("listen", uv_listen(&server.stream, BACKLOG, on_connection));
    return uv_run(&loop, UV_RUN_DEFAULT);
}
