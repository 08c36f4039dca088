/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h - what the echo servers written in C have in common: a command line and a
 * listening socket. What they do with the socket is each one's own.
 *
 *     epoll-echo URL [--congestion NAME] [--timeout TIME] [--broadcast]
 *
 * prints "listening on URL" once it can be connected to, with the port that it got. */
#ifndef RILL_BENCH_PEERS_PEER_H
#define RILL_BENCH_PEERS_PEER_H

#include <stdbool.h>
#include <stdint.h>

enum { PEER_CHUNK_SIZE = 16 * 1024 }; /* what a server receives at once, like rill-echo */

/* What was asked for on the command line. */
struct peer {
    int listen_fd;      /* blocking; TCP_NODELAY and the congestion control are inherited */
    bool is_unix;       /* a unix socket, not TCP */
    int64_t timeout_ns; /* a connection that is silent for so long is closed; 0: never */
    bool broadcast;     /* what one connection sends goes to all of them */
};

/* What a server can do besides echoing. */
enum peer_ability {
    PEER_TIMEOUT = 1,
    PEER_BROADCAST = 2,
};

/* Reads the command line and opens the listener, or exits with a line on stderr. */
void peer_start(struct peer *peer, const char *program, const char *summary, unsigned abilities,
                int argc, char **argv);

/* Opens a listening socket at a URL and says so on stdout, or exits with a line on
 * stderr. congestion may be NULL: the system's. Returns the descriptor. */
int peer_listen(const char *program, const char *url_text, const char *congestion, bool *is_unix);

/* The monotonic clock in milliseconds. */
int64_t peer_now_ms(void);

/* Exits with "program: what: the text of error". */
void peer_fail(const char *program, const char *what, int error) __attribute__((noreturn));

#endif
