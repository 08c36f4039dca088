/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/rdma_load.h"

#include "bench/rdma_echo.h"
#include "bench/rdma_options.h"
#include "net/resolve.h"
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "runtime/executor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages that are on their way out at once; each keeps a transfer busy until its bytes,
 * which are the pattern's, are not needed any more. */
enum { SENDS_MAX = 16 };

/* Invariant: the sends from sends_over to sends_begun, modulo SENDS_MAX, are not over, or
 * their end was not seen; started - finished requests are in flight, and
 * times_ns[request % depth] holds when each began. */
struct link {
    struct rill_future future;
    struct rill_rdma_connection connection;
    struct rill_rdma_transfer recv, sends[SENDS_MAX];
    bool is_sending[SENDS_MAX], is_receiving;
    uint64_t index;
    uint64_t sends_begun, sends_over, finished;
    int64_t *times_ns;
    char *answer; /* load->size bytes */
};

static struct {
    struct rill_rdma rdma;
    struct rill_rdma_hub hub;
    struct rill_rdma_connection_options connection;
    struct rill_resolve resolve;
    const struct rill_url *url;
    struct load *load;
    struct link *links;
    char *answers;
} shared;

/* ---- a request ---- */

/* Each begins somewhere else in the pattern, so that no answer passes for another. */
static uint64_t position_of(uint64_t request)
{
    return request * shared.load->size;
}

static uint32_t tag_of(uint64_t request)
{
    return (uint32_t)request & RILL_RDMA_USER_TAG_MAX;
}

/* Requests that may have begun by now: as in exchange.c. */
static uint64_t startable(const struct link *link)
{
    const struct load *load = shared.load;
    uint64_t fitting = link->finished + load->depth, due;

    if (load->stopping)
        return link->sends_begun;
    if (load->pace.interval_ns == 0)
        return fitting;
    due = pace_due_on(&load->pace, link->index);
    return due < fitting ? due : fitting;
}

static void begin_request(struct link *link)
{
    struct load *load = shared.load;
    uint64_t request = link->sends_begun++;

    link->times_ns[request % load->depth] =
        load->pace.interval_ns > 0 ? pace_time_ns(&load->pace, link->index, request) : rill_now();
    load->messages++;
    rill_rdma_send(&link->connection, &link->sends[request % SENDS_MAX],
                   exchange_bytes(link->index, position_of(request)), load->size, tag_of(request));
    link->is_sending[request % SENDS_MAX] = true;
}

/* Begins what may begin, and looks at what is on its way. Returns whether something
 * changed, or -errno. */
static int64_t drive_sends(struct link *link, struct rill_task *task)
{
    uint64_t begun = link->sends_begun, over = link->sends_over;

    while (link->sends_begun < startable(link) && link->sends_begun - link->sends_over < SENDS_MAX)
        begin_request(link);
    for (uint64_t i = link->sends_over; i < link->sends_begun; i++) {
        struct rill_rdma_transfer *send = &link->sends[i % SENDS_MAX];

        if (!link->is_sending[i % SENDS_MAX] ||
            send->future.poll(&send->future, task) == RILL_PENDING)
            continue;
        link->is_sending[i % SENDS_MAX] = false;
        if (send->result < 0)
            return send->result;
    }
    while (link->sends_over < link->sends_begun && !link->is_sending[link->sends_over % SENDS_MAX])
        link->sends_over++;
    return begun != link->sends_begun || over != link->sends_over;
}

/* Takes account of an answer. Returns true or -EBADMSG. */
static int64_t check(struct link *link)
{
    struct load *load = shared.load;
    uint64_t request = link->finished++;

    load->heard++;
    if (link->recv.tag != tag_of(request) || link->recv.result != load->size ||
        exchange_check(link->answer, link->index, position_of(request), load->size) < 0)
        return -EBADMSG;
    load_answered(load, link->times_ns[request % load->depth]);
    return true;
}

static int64_t drive_receive(struct link *link, struct rill_task *task)
{
    if (!link->is_receiving)
        rill_rdma_recv(&link->connection, &link->recv, link->answer, shared.load->size,
                       RILL_RDMA_ANY_TAG);
    link->is_receiving = true;
    if (link->recv.future.poll(&link->recv.future, task) == RILL_PENDING)
        return false;
    link->is_receiving = false;
    return link->recv.result < 0 ? link->recv.result : check(link);
}

/* ---- a run ---- */

/* Whether operations are in flight whose memory is needed. */
static bool is_busy(const struct link *link)
{
    bool is_busy = link->is_receiving;

    for (int i = 0; i < SENDS_MAX; i++)
        is_busy |= link->is_sending[i];
    return is_busy;
}

static void drain(struct link *link, struct rill_task *task)
{
    struct rill_future *recv = &link->recv.future;

    if (link->is_receiving)
        link->is_receiving = recv->poll(recv, task) == RILL_PENDING;
    for (int i = 0; i < SENDS_MAX; i++) {
        struct rill_future *send = &link->sends[i].future;

        if (link->is_sending[i])
            link->is_sending[i] = send->poll(send, task) == RILL_PENDING;
    }
}

/* After a mistake the connection is cut, which ends what is in flight on it. */
static enum rill_poll cutting_poll(struct rill_future *self, struct rill_task *task)
{
    struct link *link = rill_container_of(self, struct link, future);

    if (self->awaits && self->awaits->poll(self->awaits, task) == RILL_PENDING)
        return RILL_PENDING;
    self->awaits = NULL;
    drain(link, task);
    return is_busy(link) ? RILL_PENDING : rill_future_end(self, self->result);
}

static enum rill_poll run_poll(struct rill_future *self, struct rill_task *task)
{
    struct link *link = rill_container_of(self, struct link, future);
    int64_t sent, received;

    shared.load->pace.tasks[link->index] = task;
    do {
        sent = drive_sends(link, task);
        received = sent < 0 ? sent : 0;
        if (sent >= 0 && link->finished < link->sends_begun)
            received = drive_receive(link, task);
    } while (received > 0 || (received == 0 && sent > 0));

    if (received >= 0 && rill_task_is_cancelled(task))
        received = -ECANCELED;
    if (received < 0) {
        self->result = received;
        self->poll = cutting_poll;
        self->awaits = rill_rdma_cut(&link->connection);
        return cutting_poll(self, task);
    }
    if (!shared.load->stopping || is_busy(link) || link->finished < link->sends_begun)
        return RILL_PENDING;
    load_never_sent(shared.load, link->index, link->sends_begun);
    return rill_future_end(self, 0);
}

struct rill_future *rdma_load_run(uint64_t index, int64_t *times_ns)
{
    struct link *link = &shared.links[index];

    link->index = index;
    link->times_ns = times_ns;
    link->answer = shared.answers + index * shared.load->size;
    return rill_future_init(&link->future, run_poll);
}

/* ---- its beginning and its end ---- */

static enum rill_poll connect_poll(struct rill_future *self, struct rill_task *task)
{
    struct link *link = rill_container_of(self, struct link, future);

    RILL_BEGIN();
    if (shared.resolve.result <= 0)
        RILL_AWAIT(rill_resolve(&shared.resolve, shared.url->host, shared.url->port));
    if (shared.resolve.result < 0)
        RILL_RETURN(shared.resolve.result);
    RILL_AWAIT(rill_rdma_connect(&link->connection, &shared.hub, &shared.resolve.addresses[0],
                                 &shared.connection));
    RILL_RETURN(link->connection.result);
    RILL_END();
}

struct rill_future *rdma_load_connect(uint64_t index)
{
    return rill_future_init(&shared.links[index].future, connect_poll);
}

struct rill_future *rdma_load_close(uint64_t index)
{
    return rill_rdma_disconnect(&shared.links[index].connection);
}

int rdma_load_open(const struct rdma_load_options *options, struct load *load,
                   const struct rill_url *url)
{
    const struct rill_rdma_options rdma_options = rdma_options_of(&options->transport);
    size_t connections = (size_t)options->connections;
    int error = rill_rdma_open(&shared.rdma, &rdma_options);

    if (error) {
        fprintf(stderr, "rill-ping: no rdma: %s\n", shared.rdma.why.text);
        return error;
    }
    if (shared.rdma.remark.text[0])
        fprintf(stderr, "rill-ping: %s\n", shared.rdma.remark.text);
    error = rill_rdma_hub_open(&shared.hub, &shared.rdma);
    shared.links = calloc(connections, sizeof *shared.links);
    shared.answers = calloc(connections, load->size);
    if (!error && (!shared.links || !shared.answers))
        error = -ENOMEM;
    if (error)
        fprintf(stderr, "rill-ping: no rdma: %s\n", strerror(-error));
    shared.connection.is_unprotected = options->is_unprotected;
    shared.load = load;
    shared.url = url;
    return error;
}

void rdma_load_free(void)
{
    free(shared.links);
    free(shared.answers);
}
