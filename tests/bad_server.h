/* SPDX-License-Identifier: Apache-2.0 */
/* bad_server.h - servers that do to their one client what no echo server should. */
#ifndef RILL_TESTS_BAD_SERVER_H
#define RILL_TESTS_BAD_SERVER_H

#include <stdint.h>
#include <sys/types.h>

enum bad_manner {
    BAD_CORRUPTS,      /* echoes, but for one byte, the one at .position */
    BAD_SWAPS,         /* echoes, with the first two bytes of a reception in each other's place */
    BAD_DUPLICATES,    /* echoes the last byte of a reception twice */
    BAD_OMITS,         /* echoes all but the last byte of a reception */
    BAD_CLOSES,        /* echoes .position bytes, then ends the connection */
    BAD_RESETS,        /* the same with RST */
    BAD_NEVER_ANSWERS, /* reads */
    BAD_NEVER_READS,
    BAD_FALLS_SILENT, /* echoes what comes before .position, then only reads */
};

struct bad_server {
    enum bad_manner manner;
    uint64_t position;
    uint16_t port; /* of 127.0.0.1, once started */

    /* private */
    pid_t pid;
};

/* Starts a process with the server, its manner and position being set. */
void bad_server_start(struct bad_server *server);
void bad_server_stop(struct bad_server *server);

/* Makes a listener of 127.0.0.1 with a port of its own, and a backlog. */
int bad_server_listen(uint16_t *port, int backlog);

/* Returns a port at which nobody listens. */
uint16_t bad_server_absent(void);

#endif
