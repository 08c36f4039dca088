/* SPDX-License-Identifier: Apache-2.0 */
/* uring_server.h - the state of the echo server that is written by hand on io_uring, and
 * what its three files know of each other: see uring_echo.c. */
#ifndef RILL_BENCH_PEERS_URING_SERVER_H
#define RILL_BENCH_PEERS_URING_SERVER_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    SQ_ENTRIES = 512,
    CQ_ENTRIES = 8192,
    /* The most submission entries that one connection needs in a turn. */
    STEP_ENTRIES = 4,
    CONNECTIONS_MAX = 1 << 20,
    BACKLOG_SIZE = 256 * 1024,
    VECTORS_MAX = 1024, /* IOV_MAX */
    ACCEPT_PAUSE_MS = 100,
    SPIN_NS = 50 * 1000,
    BUFFER_GROUP = 0,
    /* Buffers of a power of two would lie in the same few sets of the caches. */
    BUFFER_STAGGER = 64,
};

enum wait_policy {
    WAIT_SLEEP,
    WAIT_ADAPTIVE,
    WAIT_SPIN,
};

/* What a completion is of: the low bits of its user data. The fd of the
 * connection is above. */
enum operation {
    OPERATION_IGNORED,
    OPERATION_ACCEPT,
    OPERATION_PAUSE,
    OPERATION_SIGNAL,
    OPERATION_RECEIVE,
    OPERATION_SEND,
    OPERATION_SEND_BACKLOG,
    OPERATION_BITS = 3,
};

/* Ring buffers with received bytes, in their order. */
struct chain {
    uint16_t first, last;
    unsigned count;
};

struct block {
    char *data;
    size_t size, capacity;
};

/* Bytes of a connection are in `sending`, then `blocked`, then `backlog`, then
 * `received`, the oldest first. sending and blocked are never both filled. */
struct connection {
    bool listed;          /* in server.listed */
    bool receiving;       /* the multishot receive has not ended */
    bool cancelling;      /* it has been asked to */
    bool starved;         /* it ended because there were no buffers */
    bool ended;           /* the peer sends no more */
    bool broken;          /* the peer takes no more */
    bool send_failed;     /* the turn's send ended with send_result */
    bool sending_blocked; /* the kernel sends blocked, and reads its memory */
    int send_result;
    struct chain received;
    struct chain sending;
    struct block blocked;
    size_t blocked_sent;
    struct block backlog;
};

struct buffer {
    uint32_t size;
    uint16_t next;
};

struct statistics {
    uint64_t connections, requests, bytes, sends, blocked_sends, starved_receives, enters;
};

struct server {
    struct io_uring ring;
    int wait; /* enum wait_policy */
    int listen_fd;
    int signal_fd;
    bool accepting; /* an accept is in the ring, or a pause before the next */
    bool pausing;
    bool stopping;
    bool hurry; /* there is work without a completion that would announce it */

    struct io_uring_buf_ring *buffer_ring;
    char *buffer_memory;
    struct buffer *buffers;
    unsigned buffer_count, buffer_size, buffer_stride;
    unsigned buffers_held;     /* not in the buffer ring */
    unsigned buffers_returned; /* in it, but the kernel has not been told */
    unsigned revived;          /* starved receives begun again in this turn */

    /* Gathering sends of this turn. Each has two buffers at least. */
    struct msghdr *messages;
    struct iovec *vectors;
    unsigned message_count, vector_count;

    /* Connections by fd, and those of them to look at in this turn. */
    struct connection *connections;
    unsigned connections_max;
    int fd_highest; /* of all connections that there were */
    int *listed, *listed_before;
    unsigned listed_count;

    struct statistics statistics;
};

/* ---- uring_connection.c ---- */

/* Puts a buffer back into the ring. The kernel is told at the end of the turn. */
void buffer_return(struct server *server, uint16_t id);

void chain_append(struct server *server, struct chain *chain, uint16_t id);
void block_free(struct block *block);

/* Has the connection looked at by the next step. */
void connection_list(struct server *server, int fd);

/* Does everything that the last completions made possible. */
void connection_step(struct server *server, int fd);

/* ---- uring_loop.c ---- */

/* Returns a submission entry, for which there has to be room. */
struct io_uring_sqe *server_prepare(struct server *server);

/* Says what an entry's completion will be of. */
void entry_mark(struct io_uring_sqe *sqe, enum operation operation, int fd);

/* Echoes until a signal comes. */
void server_run(struct server *server);

/* ---- uring_echo.c ---- */

void fail(const char *what, int error) __attribute__((noreturn));

#endif
