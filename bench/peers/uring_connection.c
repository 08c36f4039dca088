/* SPDX-License-Identifier: Apache-2.0 */
/* uring_connection.c - what a connection of uring-echo receives and sends. */
#include "bench/peers/uring_server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Buffers ---- */

static char *buffer_data(const struct server *server, unsigned id)
{
    return server->buffer_memory + (size_t)id * server->buffer_stride;
}

void buffer_return(struct server *server, uint16_t id)
{
    io_uring_buf_ring_add(server->buffer_ring, buffer_data(server, id), server->buffer_size, id,
                          io_uring_buf_ring_mask(server->buffer_count),
                          (int)server->buffers_returned);
    server->buffers_returned++;
    server->buffers_held--;
}

void chain_append(struct server *server, struct chain *chain, uint16_t id)
{
    if (chain->count++ == 0)
        chain->first = id;
    else
        server->buffers[chain->last].next = id;
    chain->last = id;
}

static uint16_t chain_take(struct server *server, struct chain *chain)
{
    uint16_t id = chain->first;

    chain->first = server->buffers[id].next;
    chain->count--;
    return id;
}

static void chain_return(struct server *server, struct chain *chain)
{
    while (chain->count > 0)
        buffer_return(server, chain_take(server, chain));
}

void block_free(struct block *block)
{
    free(block->data);
    *block = (struct block){0};
}

/* Appends a copy of the bytes to block. Returns false without memory. */
static bool block_append(struct block *block, const char *data, size_t size)
{
    if (block->size + size > block->capacity) {
        size_t capacity = 2 * (block->size + size);
        char *grown = realloc(block->data, capacity);

        if (grown == NULL)
            return false;
        block->data = grown;
        block->capacity = capacity;
    }
    memcpy(block->data + block->size, data, size);
    block->size += size;
    return true;
}

/* ---- Connections ---- */

void connection_list(struct server *server, int fd)
{
    struct connection *connection = &server->connections[fd];

    if (connection->listed)
        return;
    connection->listed = true;
    server->listed[server->listed_count++] = fd;
}

/* Moves the bytes of chain, but for the first skip, to the backlog. */
static void move_to_backlog(struct server *server, struct connection *connection,
                            struct chain *chain, size_t skip)
{
    while (chain->count > 0) {
        uint16_t id = chain_take(server, chain);
        size_t size = server->buffers[id].size;
        size_t skipped = skip < size ? skip : size;

        if (size > skipped && !connection->broken &&
            !block_append(&connection->backlog, buffer_data(server, id) + skipped, size - skipped))
            connection->broken = true;
        skip -= skipped;
        buffer_return(server, id);
    }
}

/* Ends what the last turn sent: it was all sent, unless a completion came. */
static void connection_settle(struct server *server, struct connection *connection)
{
    if (!connection->send_failed) {
        chain_return(server, &connection->sending);
        return;
    }

    int result = connection->send_result;
    connection->send_failed = false;
    if (result < 0 && result != -EAGAIN && result != -EINTR)
        connection->broken = true;
    move_to_backlog(server, connection, &connection->sending, result > 0 ? (size_t)result : 0);
    server->statistics.blocked_sends++;
}

/* Sends everything received. The sockets take part in no other send now. */
static void connection_send(struct server *server, struct connection *connection, int fd)
{
    struct io_uring_sqe *sqe = server_prepare(server);
    /* MSG_WAITALL makes a short send a failure, which posts a completion. */
    const int flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;

    if (connection->received.count == 1) {
        uint16_t id = connection->received.first;
        connection->sending = connection->received;
        connection->received.count = 0;
        io_uring_prep_send(sqe, fd, buffer_data(server, id), server->buffers[id].size, flags);
    } else {
        struct msghdr *message = &server->messages[server->message_count++];
        struct iovec *vectors = &server->vectors[server->vector_count];
        unsigned count = 0;

        while (connection->received.count > 0 && count < VECTORS_MAX) {
            uint16_t id = chain_take(server, &connection->received);
            vectors[count].iov_base = buffer_data(server, id);
            vectors[count].iov_len = server->buffers[id].size;
            count++;
            chain_append(server, &connection->sending, id);
        }
        server->vector_count += count;
        *message = (struct msghdr){.msg_iov = vectors, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, fd, message, flags);
    }
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry_mark(sqe, OPERATION_SEND, fd);
    server->statistics.sends++;
    connection_list(server, fd);
    if (connection->received.count > 0)
        server->hurry = true;
}

/* Sends the backlog's bytes, and waits for room in the socket: the slow way. */
static void connection_send_blocked(struct server *server, struct connection *connection, int fd)
{
    if (connection->blocked_sent == connection->blocked.size) {
        block_free(&connection->blocked);
        connection->blocked = connection->backlog;
        connection->blocked_sent = 0;
        connection->backlog = (struct block){0};
    }
    if (connection->blocked.size == 0)
        return;

    struct io_uring_sqe *sqe = server_prepare(server);
    io_uring_prep_send(sqe, fd, connection->blocked.data + connection->blocked_sent,
                       connection->blocked.size - connection->blocked_sent,
                       MSG_WAITALL | MSG_NOSIGNAL);
    entry_mark(sqe, OPERATION_SEND_BACKLOG, fd);
    connection->sending_blocked = true;
    server->statistics.sends++;
}

static size_t connection_backlog(const struct connection *connection)
{
    return connection->backlog.size + connection->blocked.size - connection->blocked_sent;
}

/* Receives while there is room for what arrives. */
static void connection_receive(struct server *server, struct connection *connection, int fd)
{
    bool want =
        !connection->ended && !connection->broken && connection_backlog(connection) < BACKLOG_SIZE;

    if (connection->receiving && !want && !connection->cancelling) {
        struct io_uring_sqe *sqe = server_prepare(server);
        io_uring_prep_cancel64(sqe, (uint64_t)fd << OPERATION_BITS | OPERATION_RECEIVE, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        entry_mark(sqe, OPERATION_IGNORED, fd);
        connection->cancelling = true;
    }
    if (!connection->receiving && want) {
        if (connection->starved) {
            /* Every answered request gives a buffer back within a turn, so the
             * turn must not wait, and each buffer serves one of the starved. */
            if (server->revived >= server->buffer_count - server->buffers_held) {
                server->hurry = true;
                connection_list(server, fd);
                return;
            }
            server->revived++;
        }

        struct io_uring_sqe *sqe = server_prepare(server);
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUFFER_GROUP;
        entry_mark(sqe, OPERATION_RECEIVE, fd);
        connection->receiving = true;
        connection->starved = false;
    }
}

static void connection_close(struct server *server, struct connection *connection, int fd)
{
    struct io_uring_sqe *sqe = server_prepare(server);

    assert(!connection->listed);
    block_free(&connection->blocked);
    block_free(&connection->backlog);
    *connection = (struct connection){0};
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry_mark(sqe, OPERATION_IGNORED, fd);
}

void connection_step(struct server *server, int fd)
{
    struct connection *connection = &server->connections[fd];

    connection_settle(server, connection);
    if (connection->broken)
        chain_return(server, &connection->received);
    else if (connection->sending_blocked || connection_backlog(connection) > 0)
        move_to_backlog(server, connection, &connection->received, 0);
    else if (connection->received.count > 0)
        connection_send(server, connection, fd);
    if (!connection->sending_blocked && !connection->broken)
        connection_send_blocked(server, connection, fd);
    connection_receive(server, connection, fd);

    bool sent = connection->sending.count + connection->received.count == 0 &&
                !connection->sending_blocked &&
                (connection->broken || connection_backlog(connection) == 0);
    if ((connection->ended || connection->broken) && !connection->receiving && sent)
        connection_close(server, connection, fd);
    else if (connection->ended && connection->sending.count > 0)
        server->hurry = true; /* to close it: the send will post no completion */
}
