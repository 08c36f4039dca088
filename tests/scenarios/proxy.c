/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c - bytes go through a proxy and back: each arrives once and in order, or one of
 * those on its way has had an error. */
#include "net/socket_options.h"
#include "runtime/join_all.h"
#include "runtime/timeout.h"
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service.h"

#include <errno.h>
#include <string.h>

enum { CLIENTS = 4, TOTAL_MAX = 1500 };

static struct service target, proxy;
static size_t broken; /* connections of the proxy that did not end well */

/* One direction, to the end of the stream. */
struct pump {
    struct rill_future future;
    struct rill_tcp *from, *to;
    struct rill_op recv, send;
    char buffer[100];
};

static enum rill_poll pump_poll(struct rill_future *self, struct rill_task *task)
{
    struct pump *pump = rill_container_of(self, struct pump, future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv(pump->from, &pump->recv, pump->buffer, sizeof pump->buffer));
        if (pump->recv.result <= 0)
            break;
        RILL_AWAIT(
            rill_tcp_send_all(pump->to, &pump->send, pump->buffer, (size_t)pump->recv.result));
        if (pump->send.result < 0)
            RILL_RETURN(pump->send.result);
    }
    if (pump->recv.result < 0)
        RILL_RETURN(pump->recv.result);
    RILL_AWAIT(rill_tcp_finish_sending(pump->to, &pump->send));
    RILL_RETURN(pump->send.result);
    RILL_END();
}

static struct rill_future *pump(struct pump *pump, struct rill_tcp *from, struct rill_tcp *to)
{
    pump->from = from;
    pump->to = to;
    return rill_future_init(&pump->future, pump_poll);
}

struct relay {
    struct rill_task task;
    struct rill_tcp near, far;
    struct rill_connect connect;
    struct rill_timeout timeout;
    struct pump there, back;
    struct rill_join_all both;
    struct rill_future *pumps[2];
};

static enum rill_poll relay_poll(struct rill_future *self, struct rill_task *task)
{
    struct relay *relay = rill_container_of(self, struct relay, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_timeout(&relay->timeout, dice_ns(100 * RILL_MILLISECOND),
                            rill_tcp_connect(&relay->far, &relay->connect, "127.0.0.1", 7000)));
    if (relay->timeout.result < 0) {
        broken++;
    } else {
        relay->pumps[0] = pump(&relay->there, &relay->near, &relay->far);
        relay->pumps[1] = pump(&relay->back, &relay->far, &relay->near);
        RILL_AWAIT(rill_try_join_all(&relay->both, relay->pumps, 2));
        if (relay->both.result < 0)
            broken++;
        RILL_AWAIT(rill_tcp_close(&relay->far));
    }
    RILL_AWAIT(rill_tcp_close(&relay->near));
    RILL_END();
}

/* ---- clients ---- */

static struct client {
    struct rill_task task;
    struct rill_join join;
    struct rill_tcp tcp;
    struct rill_connect connect;
    struct rill_future writer, reader;
    struct rill_join_all both;
    struct rill_future *halves[2];
    struct rill_op send, recv;
    uint64_t base;
    size_t total, size, sent, received;
    char out[TOTAL_MAX], in[200];
} clients[CLIENTS];

static struct rill_task *victims[CLIENTS];
static struct saboteur saboteur;

static enum rill_poll writer_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, writer);

    RILL_BEGIN();
    pattern_fill(client->out, client->base, client->total);
    while (client->sent < client->total) {
        client->size = 1 + (size_t)dice(client->total - client->sent);
        RILL_AWAIT(
            rill_tcp_send(&client->tcp, &client->send, client->out + client->sent, client->size));
        if (client->send.result < 0)
            RILL_RETURN(client->send.result);
        client->sent += (size_t)client->send.result;
    }
    RILL_AWAIT(rill_tcp_finish_sending(&client->tcp, &client->send));
    RILL_RETURN(client->send.result);
    RILL_END();
}

static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, reader);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv(&client->tcp, &client->recv, client->in, sizeof client->in));
        if (client->recv.result <= 0)
            RILL_RETURN(client->recv.result);
        expect(
            pattern_is(client->in, client->base + client->received, (size_t)client->recv.result));
        client->received += (size_t)client->recv.result;
        expect(client->received <= client->sent);
    }
    RILL_END();
}

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_connect(&client->tcp, &client->connect, "127.0.0.1", 7001));
    if (client->connect.result < 0)
        RILL_RETURN(client->connect.result);
    client->halves[0] = rill_future_init(&client->writer, writer_poll);
    client->halves[1] = rill_future_init(&client->reader, reader_poll);
    RILL_AWAIT(rill_try_join_all(&client->both, client->halves, 2));
    if (client->both.result < 0 && dice(2))
        rill_socket_set_reset_on_close(client->tcp.fd, true);
    RILL_AWAIT(rill_tcp_close(&client->tcp));
    RILL_RETURN(client->both.result);
    RILL_END();
}

static void run(void)
{
    size_t short_changed = 0;

    broken = 0;
    memset(clients, 0, sizeof clients);
    service_start_echo(&target, "tcp://127.0.0.1:7000");
    service_start(&proxy, "tcp://127.0.0.1:7001", RILL_SERVICE(struct relay, near, relay_poll));
    for (size_t i = 0; i < CLIENTS; i++) {
        clients[i].base = i * 100003;
        clients[i].total = 1 + (size_t)dice(dice(2) ? 100 : TOTAL_MAX);
        victims[i] = &clients[i].task;
        rill_task_spawn(&clients[i].task, client_poll);
    }
    saboteur_start(&saboteur, victims, CLIENTS, dice(2) ? 3 : 0, 5 * RILL_MILLISECOND);
    saboteur_end(&saboteur);
    for (size_t i = 0; i < CLIENTS; i++) {
        if (await(rill_task_join(&clients[i].task, &clients[i].join)) == 0)
            short_changed += clients[i].received < clients[i].total;
        scenario_count(clients[i].total, clients[i].received);
    }
    /* A connection that the target or the proxy lost comes to an early end. */
    service_stop(&proxy);
    service_stop(&target);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    expect(short_changed <= broken + service_errors);
}

const struct scenario scenario_proxy = {"proxy", run, 25};
