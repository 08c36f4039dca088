/* SPDX-License-Identifier: Apache-2.0 */
/* lines.c - a server with a protocol of its own: one command a line, answered by a
 * line. "add N" adds to a sum that all clients share, "sum" asks for it, "quit"
 * ends the connection; so does a minute without a whole line, or in which an answer is not read. */
#include "io/program.h"
#include "net/server.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_SIZE = 256 };

static const int64_t patience_ns = 60 * RILL_SECOND;

/* A future of our own: reads until a whole line is there. That of the library is in io/reader.h. */
struct read_line {
    struct rill_future future; /* its result: the length, 0 at the end, or -errno */
    struct rill_tcp *peer;
    struct rill_op recv;
    size_t filled, used;
    char text[LINE_MAX_SIZE];
};

/* Drops the line before, then ends the next one with a zero if it is all there. */
static bool take_line(struct read_line *line)
{
    char *end;

    memmove(line->text, line->text + line->used, line->filled - line->used);
    line->filled -= line->used;
    line->used = 0;
    end = memchr(line->text, '\n', line->filled);
    if (!end)
        return false;
    *end = '\0';
    line->used = (size_t)(end - line->text) + 1;
    return true;
}

static enum rill_poll read_line_poll(struct rill_future *self, struct rill_task *task)
{
    struct read_line *line = rill_container_of(self, struct read_line, future);

    RILL_BEGIN();
    while (!take_line(line)) {
        if (line->filled == sizeof line->text)
            RILL_RETURN(-EMSGSIZE);
        RILL_AWAIT(rill_tcp_recv(line->peer, &line->recv, line->text + line->filled,
                                 sizeof line->text - line->filled));
        if (line->recv.result <= 0)
            RILL_RETURN(line->recv.result);
        line->filled += (size_t)line->recv.result;
    }
    RILL_RETURN((int64_t)line->used);
    RILL_END();
}

static struct rill_future *read_line(struct read_line *line, struct rill_tcp *peer)
{
    line->peer = peer;
    return rill_future_init(&line->future, read_line_poll);
}

struct session {
    struct rill_task task;
    struct rill_tcp peer;
    int64_t *sum; /* of all clients; one thread, so no lock */
    struct read_line line;
    struct rill_timeout timeout;
    struct rill_op send;
    char answer[LINE_MAX_SIZE];
};

/* Carries out a command. Returns whether the session goes on. */
static bool answer(struct session *session)
{
    const char *text = session->line.text;
    int64_t grown;

    if (strncmp(text, "add ", 4) == 0) {
        if (__builtin_add_overflow(*session->sum, strtoll(text + 4, NULL, 10), &grown)) {
            snprintf(session->answer, sizeof session->answer, "too large\n");
            return true;
        }
        *session->sum = grown;
    } else if (strncmp(text, "sum", 3) != 0) {
        return false;
    }
    snprintf(session->answer, sizeof session->answer, "%" PRId64 "\n", *session->sum);
    return true;
}

static enum rill_poll session_poll(struct rill_future *self, struct rill_task *task)
{
    struct session *session = rill_container_of(self, struct session, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_timeout(&session->timeout, patience_ns,
                                read_line(&session->line, &session->peer)));
        if (session->timeout.result <= 0 || !answer(session))
            break;
        RILL_AWAIT(rill_timeout(&session->timeout, patience_ns,
                                rill_tcp_send_all(&session->peer, &session->send, session->answer,
                                                  strlen(session->answer))));
        if (session->timeout.result < 0)
            break;
    }
    RILL_AWAIT(rill_tcp_close(&session->peer));
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct rill_server server;
    static int64_t sum;
    const char *url = argc > 1 ? argv[1] : "tcp://127.0.0.1:7000";

    server.announce = stdout;
    server.options.nodelay = true; /* answers do not wait for one another */
    return rill_main(
        rill_serve(&server, url, RILL_SERVICE_WITH(struct session, peer, session_poll, sum, &sum)));
}
