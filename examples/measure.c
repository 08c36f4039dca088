/* SPDX-License-Identifier: Apache-2.0 */
/* measure.c - a server that answers every line with its length, and hangs up on a client
 * that is silent, or does not read its answers, for a minute. */
#include "io/program.h"
#include "net/server.h"
#include "runtime/timeout.h"

#include <inttypes.h>
#include <string.h>

static const int64_t patience_ns = 60 * RILL_SECOND;

struct measure {
    struct rill_task task; /* always first */
    struct rill_tcp peer;
    struct rill_op recv, send;
    struct rill_timeout timeout;
    char text[1024], answer[24];
    int64_t at, length; /* how far text was read, and the line so far */
};

/* Reads on in what was received. Returns whether a line has ended, with its length in answer. */
static bool answer_line(struct measure *measure)
{
    while (measure->at < measure->recv.result) {
        if (measure->text[measure->at++] == '\n') {
            snprintf(measure->answer, sizeof measure->answer, "%" PRId64 "\n", measure->length);
            measure->length = 0;
            return true;
        }
        measure->length++;
    }
    return false;
}

static enum rill_poll measure_poll(struct rill_future *self, struct rill_task *task)
{
    struct measure *measure = rill_container_of(self, struct measure, task.future);

    RILL_BEGIN();
    while (measure->send.result >= 0) {
        RILL_AWAIT(rill_timeout(
            &measure->timeout, patience_ns,
            rill_tcp_recv(&measure->peer, &measure->recv, measure->text, sizeof measure->text)));
        if (measure->timeout.result <= 0) /* the end, an error, or -ETIMEDOUT */
            break;
        measure->at = 0;
        while (measure->send.result >= 0 && answer_line(measure))
            RILL_AWAIT(rill_timeout(&measure->timeout, patience_ns,
                                    rill_tcp_send_all(&measure->peer, &measure->send,
                                                      measure->answer, strlen(measure->answer))));
    }
    RILL_AWAIT(rill_tcp_close(&measure->peer));
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct rill_server server;
    const char *url = argc > 1 ? argv[1] : "tcp://127.0.0.1:7000";

    server.announce = stdout;
    server.options.nodelay = true; /* small answers are sent at once */
    return rill_main(rill_serve(&server, url, RILL_SERVICE(struct measure, peer, measure_poll)));
}
