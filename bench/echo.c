/* SPDX-License-Identifier: Apache-2.0 */
/* echo.c - rill-echo: serves any number of listeners from one loop and sends back
 * whatever comes. */
#include "bench/cli.h"
#include "bench/descriptors.h"
#include "bench/echo_counts.h"
#include "bench/json.h"
#include "bench/rdma_echo.h"
#include "bench/room.h"
#include "bench/wait_policy.h"
#include "io/runtime.h"
#include "io/signals.h"
#include "net/server.h"
#include "runtime/any.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LISTENERS_MAX = 64 };

static struct echo_counts total;

/* ---- a connection ---- */

struct echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_borrow chunk;
};

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    total.connections++;
    for (;;) {
        RILL_AWAIT(rill_tcp_recv_borrowed(&echo->peer, &echo->chunk));
        if (echo->chunk.result <= 0)
            break;
        total.messages++;
        total.bytes += (uint64_t)echo->chunk.result;
        RILL_AWAIT(rill_tcp_send_borrowed(&echo->peer, &echo->chunk));
        if (echo->chunk.result < 0)
            break;
    }
    rill_borrow_give_back(&echo->chunk);
    if (echo->chunk.result < 0)
        total.errors++;
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    RILL_END();
}

/* The same, with a limit for the silence before each request: a timer that is armed and
 * cancelled each time. */
struct timed_echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_borrow chunk;
    struct rill_timeout timeout;
};

static int64_t silence_max_ns;

static enum rill_poll timed_echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct timed_echo *echo = rill_container_of(self, struct timed_echo, task.future);

    RILL_BEGIN();
    total.connections++;
    for (;;) {
        RILL_AWAIT(rill_timeout(&echo->timeout, silence_max_ns,
                                rill_tcp_recv_borrowed(&echo->peer, &echo->chunk)));
        if (echo->timeout.result <= 0)
            break;
        total.messages++;
        total.bytes += (uint64_t)echo->chunk.result;
        RILL_AWAIT(rill_tcp_send_borrowed(&echo->peer, &echo->chunk));
        if (echo->chunk.result < 0)
            break;
    }
    rill_borrow_give_back(&echo->chunk);
    if (echo->chunk.result < 0 && echo->timeout.result != -ETIMEDOUT)
        total.errors++;
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    RILL_END();
}

/* ---- the program, which ends as docs/guide/shutdown.md describes ---- */

struct program {
    /* as the command line says */
    const char *urls[LISTENERS_MAX], *congestion;
    unsigned count;
    int wait_policy;
    int64_t spin_ns, grace_ns, buffer_count, buffer_size, connections_max;
    bool broadcast, json;
    struct rdma_echo_options rdma_options;

    struct rill_future future;
    struct rill_server servers[LISTENERS_MAX];
    struct rill_signals signals;
    struct rill_any any;
    struct rill_future *futures[LISTENERS_MAX + 1]; /* the servers, then the signals */
    bool is_rdma[LISTENERS_MAX];
    unsigned rdma_count;
    struct rill_scope connections;
    struct rill_service service;
    int64_t first; /* the index of the future that ended first */
};

static struct rill_future *serve(struct program *program, unsigned number)
{
    const char *url = program->urls[number];

    return program->is_rdma[number] ? rdma_echo_serve(number, url)
                                    : rill_serve(&program->servers[number], url, program->service);
}

/* Serves until a signal comes or a server fails, and accepts no more then. The
 * result is whether a server has failed; it has said why. */
static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_any_init(&program->any, program->futures, program->count + 1);
    for (unsigned i = 0; i < program->count; i++)
        program->futures[i] = serve(program, i);
    program->futures[program->count] = rill_signals_next(&program->signals);
    RILL_AWAIT(rill_any_next(&program->any));
    program->first = program->any.result;
    RILL_AWAIT(rill_any_drain(&program->any, RILL_SHUTTING_DOWN));
    RILL_RETURN(program->first < program->count);
    RILL_END();
}

static void print_statistics(const struct rill_runtime *runtime)
{
    const struct rill_reactor *reactor = &runtime->reactor;
    const struct rill_reactor_stats *stats = &reactor->stats;
    struct json json;

    json_begin(&json, stdout);
    json_unsigned(&json, "connections", total.connections);
    json_unsigned(&json, "messages", total.messages);
    json_unsigned(&json, "bytes", total.bytes);
    json_unsigned(&json, "errors", total.errors);
    json_open_object(&json, "alive");
    json_unsigned(&json, "tasks", runtime->executor.tasks_alive);
    json_unsigned(&json, "ops", reactor->ops_in_flight);
    json_unsigned(&json, "buffers", reactor->buffers.in_use + reactor->buffers.private_in_use);
    json_unsigned(&json, "fds", reactor->fds_open);
    json_close(&json);
    json_open_object(&json, "runtime");
    json_unsigned(&json, "turns", runtime->executor.turns);
    json_unsigned(&json, "polls", runtime->executor.polls);
    json_unsigned(&json, "enters", stats->enters);
    json_unsigned(&json, "sleeps", stats->sleeps);
    json_unsigned(&json, "submissions", stats->submissions);
    json_unsigned(&json, "completions", stats->completions);
    json_unsigned(&json, "cancels", stats->cancels);
    json_unsigned(&json, "queue_full", stats->queue_full);
    json_unsigned(&json, "overflows", stats->overflows);
    json_unsigned(&json, "spins_hit", stats->spins_hit);
    json_unsigned(&json, "spins_missed", stats->spins_missed);
    json_unsigned(&json, "buffers_starved", stats->buffers_starved);
    json_unsigned(&json, "receives_recovered", stats->receives_recovered);
    json_double(&json, "enters_per_message",
                total.messages ? (double)stats->enters / (double)total.messages : 0.0, 4);
    json_close(&json);
    rdma_echo_print(&json);
    json_end(&json);
}

/* ---- the command line ---- */

/* Reads one URL. Returns a sentence about what is wrong with it, or NULL. */
static const char *read_url(struct program *program, unsigned number)
{
    struct rill_address address;
    struct rill_url url;
    const char *why = NULL;

    if (rill_url_parse(&url, program->urls[number], &why) < 0)
        return why;
    if (strcmp(url.scheme, "fd") == 0)
        return NULL; /* the server will find out */
    if (strcmp(url.scheme, "rdma") != 0) {
        (void)rill_url_address(&url, &address, &why);
        return why;
    }
    if (rdma_absent)
        return rdma_absent;
    if (rill_address_parse(&address, url.host, url.port) < 0)
        return "the host is not a numeric address; want rdma://192.0.2.1:7000, or "
               "rdma://0.0.0.0:7000 for all of this machine's";
    program->is_rdma[number] = true;
    program->rdma_count++;
    return NULL;
}

/* Bad URLs are found before anything is opened. */
static void read_urls(const struct cli *cli, struct program *program)
{
    for (unsigned i = 0; i < program->count; i++) {
        const char *why = read_url(program, i);

        if (why)
            cli_fail(cli, "%s: %s", program->urls[i], why);
    }
}

/* Exits where two of the options, or one and a URL, do not go together. */
static void check_together(const struct cli *cli, const struct program *program)
{
    const struct rdma_echo_options *rdma = &program->rdma_options;

    if (program->broadcast && silence_max_ns > 0)
        cli_fail(cli, "--broadcast and --timeout: want one of them");
    if (program->broadcast && program->rdma_count > 0)
        cli_fail(cli, "--broadcast: it goes with tcp:// and unix:// only");
    transport_check(cli, &rdma->transport);
    if (program->buffer_count & (program->buffer_count - 1))
        cli_fail(cli, "--buffers %" PRId64 ": want a power of two from 1 to %d",
                 program->buffer_count, RILL_BUFFERS_MAX);
    if (program->rdma_count == 0)
        transport_check_unused(cli, &rdma->transport, rdma->is_unprotected);
}

/* Exits where something is wrong with it. */
static void read_command_line(struct program *program, int argc, char **argv)
{
    struct rdma_echo_options *rdma = &program->rdma_options;
    const struct cli_option options[] = {
        CLI_CHOICE('w', "wait", &program->wait_policy, wait_words,
                   "what to do when there is nothing to do"),
        CLI_DURATION(0, "spin", &program->spin_ns, 1, RILL_SECOND,
                     "how long adaptive waiting looks out, at the most"),
        CLI_DURATION(0, "grace", &program->grace_ns, 0, 3600 * RILL_SECOND,
                     "how long connections may take to end after a signal"),
        CLI_INTEGER(0, "buffers", &program->buffer_count, 1, RILL_BUFFERS_MAX,
                    "shared receive buffers, at most, a power of two"),
        CLI_SIZE(0, "buffer-size", &program->buffer_size, 64, 1 << 20, "the size of each"),
        CLI_STRING(0, "congestion", &program->congestion, "NAME",
                   "congestion control, such as cubic"),
        CLI_INTEGER(0, "connections-max", &program->connections_max, 0, 10000000,
                    "serve so many at a time, of all URLs together; others wait; 0 any number"),
        CLI_DURATION(0, "timeout", &silence_max_ns, 0, 86400 * RILL_SECOND,
                     "close a connection that is silent for so long, 0 never"),
        CLI_FLAG(0, "broadcast", &program->broadcast,
                 "send what one connection sends to all connections of all URLs"),
        CLI_TRANSPORT(&rdma->transport),
        CLI_FLAG(0, "unprotected", &rdma->is_unprotected,
                 "rdma:// with neither heartbeats nor limits for what nobody has received"),
        CLI_FLAG('j', "json", &program->json, "print statistics at the end as one JSON object"),
        CLI_END,
    };
    const struct cli_positional positionals[] = {
        CLI_MANY("URL", program->urls, 1, LISTENERS_MAX, &program->count,
                 "where to listen, such as tcp://127.0.0.1:7000 (port 0 picks a free one), "
                 "unix:///run/echo.sock or rdma://127.0.0.1:7001"),
        CLI_POSITIONAL_END,
    };
    const struct cli cli = {
        .program = "rill-echo",
        .summary = "Sends back whatever it receives, to any number of connections.",
        .options = options,
        .positionals = positionals,
    };

    cli_parse(&cli, argc, argv);
    read_urls(&cli, program);
    check_together(&cli, program);
}

/* ---- running ---- */

/* What all servers are told. */
static void configure(struct program *program)
{
    struct rdma_echo_options *rdma = &program->rdma_options;

    rill_scope_init(&program->connections, RILL_SCOPE_INDEPENDENT);
    rdma->silence_max_ns = silence_max_ns;
    rdma->connections_max = (size_t)program->connections_max;
    if (rdma->connections_max > 0)
        rdma->scope = &program->connections;
    for (unsigned i = 0; i < program->count; i++) {
        struct rill_server *server = &program->servers[i];

        server->announce = stdout;
        server->options.nodelay = true;
        server->options.congestion = program->congestion;
        server->scope = rdma->scope;
        server->connections_max = rdma->connections_max;
    }
    program->service = program->broadcast   ? room_open(&total)
                       : silence_max_ns > 0 ? RILL_SERVICE(struct timed_echo, peer, timed_echo_poll)
                                            : RILL_SERVICE(struct echo, peer, echo_poll);
}

/* Runs the servers to their end. Returns the exit status. */
static int run(struct rill_runtime *runtime, struct program *program)
{
    bool failed;
    int error = rill_signals_open(&program->signals, (const int[]){SIGINT, SIGTERM}, 2);

    if (error) {
        fprintf(stderr, "rill-echo: no signals: %s\n", strerror(-error));
        return 1;
    }
    /* The thread that UCX starts leaves the signals alone that are blocked already. */
    if (program->rdma_count > 0 && rdma_echo_open(&program->rdma_options, &total) < 0)
        return 1;
    failed = rill_block_on(runtime, rill_future_init(&program->future, program_poll)) != 0;
    rill_signals_close(&program->signals); /* a second signal ends it at once */
    /* The connections end when their peers do, up to the deadline, and are cancelled
     * and drained then. */
    rill_runtime_shutdown(runtime, failed ? 0 : program->grace_ns);
    rdma_echo_close();
    if (failed)
        return 1;
    if (program->json)
        print_statistics(runtime);
    return 0;
}

int main(int argc, char **argv)
{
    static struct program program = {
        .wait_policy = RILL_WAIT_SLEEP,
        .spin_ns = 50 * RILL_MICROSECOND,
        .grace_ns = 2 * RILL_SECOND,
        .buffer_count = 4096,
        .buffer_size = 16 * 1024,
    };
    struct rill_runtime_options options;
    struct rill_runtime *runtime;
    int error, status;

    read_command_line(&program, argc, argv);
    raise_descriptor_limit();
    options = (struct rill_runtime_options){
        .wait_policy = (enum rill_wait_policy)program.wait_policy,
        .spin_ns = program.spin_ns,
        .buffer_count = (unsigned)program.buffer_count,
        .buffer_size = (size_t)program.buffer_size,
    };
    error = rill_runtime_create(&runtime, &options);
    if (error) {
        fprintf(stderr, "rill-echo: %s\n", rill_runtime_explain(error));
        return 1;
    }
    configure(&program);
    status = run(runtime, &program);
    if (program.broadcast)
        room_close();
    rill_runtime_destroy(runtime);
    return status;
}
