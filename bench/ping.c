/* SPDX-License-Identifier: Apache-2.0 */
/* ping.c - rill-ping: loads an echo server, checks every byte, and measures. */
#include "bench/ping.h"
#include "bench/descriptors.h"
#include "bench/rdma_load.h"
#include "net/socket_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int64_t connect_limit_ns = 10 * RILL_SECOND;
static const int64_t finish_limit_ns = 2 * RILL_SECOND; /* without any answer */

/* Nothing tells when a server has taken the last of the connections that will hear what
 * one of them says; who is taken later would wait for ever for what came before. */
static const int64_t gathering_ns = 500 * RILL_MILLISECOND;

/* ---- a connection ---- */

static uint64_t index_of(const struct client *client)
{
    return (uint64_t)(client - client->ping->clients);
}

static struct rill_future *client_connect(struct client *client)
{
    struct ping *ping = client->ping;

    return ping->is_rdma ? rdma_load_connect(index_of(client))
                         : rill_tcp_connect_url(&client->peer, &ping->connect, &ping->url);
}

/* What the client does until the end of the run. */
static struct rill_future *client_run(struct client *client)
{
    struct ping *ping = client->ping;
    uint64_t index = index_of(client);
    int64_t *times_ns = &ping->times_ns[ping->load.broadcast ? 0 : index * ping->load.depth];

    if (ping->churn)
        return churn_run(&client->churn, &ping->load, &ping->url, ping->congestion, index);
    if (ping->is_rdma)
        return rdma_load_run(index, times_ns);
    return exchange_run(&client->exchange, &ping->load, &client->peer, index, times_ns);
}

static struct rill_future *client_close(struct client *client)
{
    return client->ping->is_rdma ? rdma_load_close(index_of(client))
                                 : rill_tcp_close(&client->peer);
}

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, task.future);
    struct ping *ping = client->ping;

    RILL_BEGIN();
    client->running = client_run(client);
    RILL_AWAIT(client->running);
    self->result = client->running->result;
    if (self->result == -ECANCELED)
        ping->silent++;
    else if (self->result < 0 && ping->errors++ == 0)
        ping->first_error = self->result;
    RILL_AWAIT(client_close(client));
    RILL_RETURN(self->result);
    RILL_END();
}

static void client_connected(struct ping *ping, struct client *client)
{
    if (!ping->is_rdma)
        (void)rill_socket_set_nodelay(client->peer.fd, true);
    if (!ping->is_rdma && ping->congestion)
        (void)rill_socket_set_congestion(client->peer.fd, ping->congestion);
    ping->connected++;
}

/* ---- the run ---- */

/* Opens all connections, one after the other. */
static enum rill_poll connect_all_poll(struct rill_future *self, struct rill_task *task)
{
    struct ping *ping = rill_container_of(self, struct ping, future);

    RILL_BEGIN();
    if (ping->churn) /* they connect by themselves */
        RILL_RETURN(0);
    for (ping->next = 0; ping->next < ping->connections; ping->next++) {
        RILL_AWAIT(rill_timeout(&ping->timeout, connect_limit_ns,
                                client_connect(&ping->clients[ping->next])));
        if (ping->timeout.result < 0) {
            ping->phase = "cannot connect";
            RILL_RETURN(ping->timeout.result);
        }
        client_connected(ping, &ping->clients[ping->next]);
    }
    if (ping->load.broadcast)
        RILL_AWAIT(rill_sleep(&ping->sleep, gathering_ns));
    RILL_END();
}

/* For who measures the server meanwhile. */
static void mark(const struct ping *ping, const char *word)
{
    if (ping->marks) {
        puts(word);
        fflush(stdout);
    }
}

/* Where nothing was answered in the time, until something is, or nothing comes: a short measurement
 * may fall into a moment at which others have the processors. */
static bool has_measured(const struct ping *ping)
{
    int64_t late_ns = rill_now() - ping->begin_ns - ping->seconds_ns;

    if (late_ns < 0 && ping->errors == 0)
        return false;
    return ping->idle || ping->load.requests > 0 || ping->errors > 0 || late_ns >= finish_limit_ns;
}

/* Tells when to look next: each second, at the end of the time, and often from then on. */
static int64_t next_look(const struct ping *ping)
{
    int64_t end_ns = ping->begin_ns + ping->seconds_ns;

    if (rill_now() >= end_ns)
        return rill_now() + 10 * RILL_MILLISECOND;
    return ping->second.next_ns < end_ns ? ping->second.next_ns : end_ns;
}

/* Waits for the end of the measurement, showing progress every second. */
static enum rill_poll measure_poll(struct rill_future *self, struct rill_task *task)
{
    struct ping *ping = rill_container_of(self, struct ping, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&ping->sleep, ping->warmup_ns));
    histogram_reset(&ping->load.latency);
    ping->load.measuring = true;
    ping->begin_ns = rill_now();
    mark(ping, "measuring");
    rill_interval_init(&ping->second, RILL_SECOND);
    while (!has_measured(ping)) {
        ping->second.next_ns = next_look(ping);
        RILL_AWAIT(rill_interval_tick(&ping->second));
        if (ping->second.sleep.result < 0)
            break;
        if (ping->progress)
            ping_print_progress(ping);
    }
    if (ping->progress)
        fputc('\n', stderr);
    ping->load.measuring = false;
    ping->end_ns = rill_now();
    mark(ping, "measured");
    RILL_END();
}

/* Closes the connections of a run that sent nothing, or lets the clients finish. */
static enum rill_poll finish_poll(struct rill_future *self, struct rill_task *task)
{
    struct ping *ping = rill_container_of(self, struct ping, future);

    RILL_BEGIN();
    if (ping->load.pace.task.state != RILL_TASK_NEW)
        RILL_AWAIT(rill_task_join(&ping->load.pace.task, &ping->pacing));
    for (ping->next = 0; ping->next < ping->connections; ping->next++) {
        if (ping->clients[ping->next].task.state == RILL_TASK_NEW)
            RILL_AWAIT(client_close(&ping->clients[ping->next]));
        else
            RILL_AWAIT(
                rill_task_join(&ping->clients[ping->next].task, &ping->clients[ping->next].join));
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_END();
}

static void start_clients(struct ping *ping)
{
    if (ping->idle)
        return;
    for (int64_t i = 0; i < ping->connections; i++)
        rill_task_spawn(&ping->clients[i].task, client_poll);
    if (ping->rate > 0)
        pace_start(&ping->load.pace);
}

/* Lets the clients finish what they have begun. Those that wait for nothing but the
 * next request have to be told. */
static void stop_clients(struct ping *ping)
{
    ping->load.stopping = true;
    pace_stop(&ping->load.pace);
    for (int64_t i = 0; i < ping->connections; i++)
        if (ping->clients[i].task.state != RILL_TASK_NEW)
            rill_task_wake(&ping->clients[i].task);
}

static void cancel_clients(struct ping *ping)
{
    for (int64_t i = 0; i < ping->connections; i++)
        if (ping->clients[i].task.state != RILL_TASK_NEW)
            rill_task_cancel(&ping->clients[i].task);
}

/* One phase of the run, which a signal ends early. */
struct phase {
    struct rill_future future;
    struct ping *ping;
    rill_poll_fn *run;
};

static enum rill_poll phase_poll(struct rill_future *self, struct rill_task *task)
{
    struct phase *phase = rill_container_of(self, struct phase, future);
    struct ping *ping = phase->ping;

    RILL_BEGIN();
    ping->choices[0] = rill_future_init(&ping->future, phase->run);
    ping->choices[1] = rill_signals_next(&ping->signals);
    RILL_AWAIT(rill_select(&ping->select, ping->choices, 2));
    if (ping->select.result == 1)
        ping->interrupted = true;
    RILL_RETURN(ping->future.result);
    RILL_END();
}

static int64_t run_phase(struct rill_runtime *runtime, struct ping *ping, rill_poll_fn *run)
{
    struct phase phase = {.ping = ping, .run = run};

    return rill_block_on(runtime, rill_future_init(&phase.future, phase_poll));
}

/* Runs all phases. Returns 0, or -errno with ping->phase set. */
static int64_t run(struct rill_runtime *runtime, struct ping *ping)
{
    struct rill_timeout limit;
    int64_t error = run_phase(runtime, ping, connect_all_poll);
    uint64_t heard;

    if (!error && !ping->interrupted) {
        start_clients(ping);
        run_phase(runtime, ping, measure_poll);
    }
    stop_clients(ping);
    do { /* as long as answers come */
        heard = ping->load.heard;
        rill_block_on(runtime, rill_timeout(&limit, finish_limit_ns,
                                            rill_future_init(&ping->future, finish_poll)));
    } while (limit.result == -ETIMEDOUT && ping->load.heard != heard && !ping->interrupted);
    if (limit.result == -ETIMEDOUT) { /* answers that do not come are not waited for */
        cancel_clients(ping);
        rill_block_on(runtime, rill_future_init(&ping->future, finish_poll));
    }
    if (!error && ping->errors > 0) {
        ping->phase = "a connection broke";
        error = ping->first_error;
    } else if (!error && !ping->idle && ping->load.requests == 0) {
        ping->phase = "no request was answered";
        error = -ETIMEDOUT;
    } else if (!error && ping->silent > 0) {
        /* What never comes is in no histogram, so what there is would look well. */
        ping->phase = "not every request was answered";
        error = -ETIMEDOUT;
    }
    return error;
}

/* Tries it beforehand: a connection that is left with another one measures something else. */
static int64_t try_congestion(const struct ping *ping)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 ? -errno : rill_socket_set_congestion(fd, ping->congestion);

    if (error)
        fprintf(stderr, "rill-ping: %s: --congestion %s: %s\n", ping->text, ping->congestion,
                error == -ENOENT ? "the kernel does not have this congestion control"
                                 : strerror(-error));
    if (fd >= 0)
        close(fd);
    return error;
}

static int open_rdma(struct ping *ping)
{
    const struct rdma_load_options options = {
        .connections = ping->connections,
        .transport = ping->transport,
        .is_unprotected = ping->is_unprotected,
    };

    return rdma_load_open(&options, &ping->load, &ping->url);
}

static int run_and_report(struct rill_runtime *runtime, struct ping *ping)
{
    int64_t error;

    if (ping->congestion && try_congestion(ping) < 0)
        return 1;
    error = rill_signals_open(&ping->signals, (const int[]){SIGINT, SIGTERM}, 2);
    if (error) {
        ping->phase = "no signals";
    } else if (ping->is_rdma && open_rdma(ping) < 0) {
        /* After the signals: the thread that UCX starts leaves those alone that are blocked. */
        rill_signals_close(&ping->signals);
        return 1;
    } else {
        error = run(runtime, ping);
        rill_signals_close(&ping->signals);
    }
    if (error && !ping->interrupted) {
        fprintf(stderr, "rill-ping: %s: %s: %s\n", ping->text, ping->phase,
                ping_reason(ping, error));
        return 1;
    }
    if (ping->json)
        ping_print_json(runtime, ping);
    else
        ping_print_report(ping);
    return 0;
}

/* ---- running ---- */

/* Memory for all connections. Returns false without. */
static bool allocate(struct ping *ping)
{
    size_t connections = (size_t)ping->connections;

    ping->clients = calloc(connections, sizeof *ping->clients);
    ping->times_ns = calloc(connections * ping->load.depth, sizeof *ping->times_ns);
    ping->load.pace.tasks = calloc(connections, sizeof *ping->load.pace.tasks);
    if (!ping->clients || !ping->times_ns || !ping->load.pace.tasks)
        return false;
    for (size_t i = 0; i < connections; i++)
        ping->clients[i].ping = ping;
    return true;
}

static void prepare_load(struct ping *ping)
{
    struct load *load = &ping->load;

    load->size = (uint32_t)ping->size;
    load->depth = (uint32_t)ping->depth;
    load->connections = (uint64_t)ping->connections;
    load->pace.connections = (uint64_t)ping->connections;
    load->pace.interval_ns = ping->rate > 0 ? (double)RILL_SECOND / (double)ping->rate : 0;
    ping->progress = !ping->json && isatty(STDERR_FILENO);
    histogram_reset(&load->latency);
    exchange_make_pattern();
}

int main(int argc, char **argv)
{
    static struct ping ping = {
        .connections = 1,
        .size = 64,
        .depth = 1,
        .seconds_ns = 5 * RILL_SECOND,
        .wait_policy = RILL_WAIT_SLEEP,
    };
    struct rill_runtime_options options = {0};
    struct rill_runtime *runtime = NULL;
    int error, status = 1;

    ping_read_command_line(&ping, argc, argv);
    prepare_load(&ping);
    raise_descriptor_limit();
    if (!allocate(&ping)) {
        fprintf(stderr,
                "rill-ping: no memory for %" PRId64 " connections with %" PRId64
                " requests in flight\n",
                ping.connections, ping.depth);
        goto free_all;
    }
    options.wait_policy = (enum rill_wait_policy)ping.wait_policy;
    error = rill_runtime_create(&runtime, &options);
    if (error) {
        fprintf(stderr, "rill-ping: %s\n", rill_runtime_explain(error));
        goto free_all;
    }
    status = run_and_report(runtime, &ping);
    rill_runtime_destroy(runtime);
    if (ping.is_rdma)
        rdma_load_free();

free_all:
    free(ping.load.pace.tasks);
    free(ping.times_ns);
    free(ping.clients);
    return status;
}
