/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_perf.c - rill-rdma-perf: what rill's messages cost beside UCX alone, in the tests of
 * ucx_perftest: tag_lat sends one to and fro, tag_bw a window of them one way.
 *
 * Two processes tell each other the addresses of their workers over a socket pair, and
 * then do everything else over UCX. A latency is half a round trip. */
#include "bench/cli.h"
#include "bench/json.h"
#include "bench/rdma_options.h"
#include "bench/wait_policy.h"
#include "io/runtime.h"
#include "rdma/connection.h"
#include "rdma/endpoint_info.h"
#include "rdma/exchange.h"
#include "rdma/memory.h"
#include "rdma/tag.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WINDOW_MAX = 1024,
    MESSAGE_MAX = 64 << 20,
    WORKER_ADDRESS_MAX = 4096,
    SAMPLES = 2048,     /* the latest round trips, whose percentiles are told: as many as
                           ucx_perftest keeps (TIMING_QUEUE_SIZE) */
    BATCH = 8,          /* round trips between two readings of the clock, */
    BATCH_BELOW = 2000, /* if one takes less than so many nanoseconds */
    DATA = 1,           /* a tag */
    DONE = 2,           /* the tag of the message after the last of a run in one direction */
};

enum layer { CONNECTION, UNPROTECTED, RAW };
static const char *const layer_words[] = {"connection", "unprotected", "raw", NULL};

enum test { TAG_LAT, TAG_BW };
static const char *const test_words[] = {"tag_lat", "tag_bw", NULL};

static struct {
    int test, layer, wait_policy;
    int64_t size, count, warmup, window, spin_ns;
    int64_t client_processor, server_processor; /* -1: any */
    struct transport transport;
    bool json;
} wanted = {
    .size = 8,
    .count = 100000,
    .warmup = 10000,
    .window = 32,
    .spin_ns = 50 * RILL_MICROSECOND,
    .client_processor = -1,
    .server_processor = -1,
};

/* ---- a message, with or without a connection ---- */

struct message {
    struct rill_rdma_transfer transfer;
    struct rill_rdma_op op;
};

/* One of the two processes. */
struct side {
    struct rill_future future;
    struct rill_rdma rdma;
    struct rill_rdma_hub hub;
    struct rill_rdma_connection connection;
    struct rill_rdma_ep ep; /* where there is no connection */
    struct rill_rdma_state_wait wait;
    struct rill_rdma_am stranger;
    struct message out, in;
    struct rill_rdma_memory out_memory, in_memory; /* as ucx_perftest has its buffers */
    char *out_buffer, *in_buffer;
    bool is_server;
    char peer[WORKER_ADDRESS_MAX];

    /* a run */
    struct rill_task runner; /* its own, as a server has one for each connection */
    struct rill_join runner_join;
    int64_t count, done, started;
    struct lane {
        struct rill_task task;
        struct message message;
        struct rill_join join;
    } lanes[WINDOW_MAX];
    int64_t lane; /* that is joined */
    int64_t batch;
    uint32_t samples[SAMPLES]; /* half round trips in tenths of a nanosecond */
    size_t sample_count;
    int64_t begin_ns, end_ns;
    int64_t error;
};

static struct side side;

static struct rill_future *send_message(struct message *message, const void *buffer, int64_t size,
                                        uint32_t tag)
{
    if (wanted.layer == RAW)
        return rill_rdma_tag_send(&side.ep, &message->op, buffer, (size_t)size, tag);
    return rill_rdma_send(&side.connection, &message->transfer, buffer, (size_t)size, tag);
}

static struct rill_future *recv_message(struct message *message, void *buffer, int64_t size,
                                        uint32_t tag)
{
    if (wanted.layer == RAW)
        return rill_rdma_tag_recv(&side.rdma, &message->op, buffer, (size_t)size, tag,
                                  RILL_RDMA_TAG_EXACT);
    return rill_rdma_recv(&side.connection, &message->transfer, buffer, (size_t)size, tag);
}

static int64_t result_of(const struct message *message)
{
    return wanted.layer == RAW ? message->op.result : message->transfer.result;
}

static int64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * RILL_SECOND + now.tv_nsec;
}

/* ---- to and fro ---- */

/* Over shared memory, reading the clock each time would be a tenth of what is measured. */
static int64_t batch_of(int64_t round_trips, int64_t duration_ns)
{
    return duration_ns / round_trips < BATCH_BELOW ? BATCH : 1;
}

static int compare(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;

    return a < b ? -1 : a > b;
}

/* In microseconds. */
static double percentile(unsigned percent)
{
    size_t kept = SAMPLES / (size_t)side.batch, rank;
    size_t count = side.sample_count < kept ? side.sample_count : kept;

    if (count == 0)
        return 0;
    qsort(side.samples, count, sizeof side.samples[0], compare);
    rank = (count - 1) * percent / 100;
    return side.samples[rank] / 1e4;
}

static void count_round_trip(void)
{
    side.done++;
    if ((side.done & (side.batch - 1)) == 0) {
        int64_t now = clock_ns();

        side.samples[side.sample_count++ % (SAMPLES / (size_t)side.batch)] =
            (uint32_t)((now - side.end_ns) * 10 / (2 * side.batch));
        side.end_ns = now;
    }
}

static enum rill_poll latency_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    for (side.done = 0; side.done < side.count;) {
        if (side.is_server) {
            RILL_AWAIT(recv_message(&side.in, side.in_buffer, wanted.size, DATA));
            if (result_of(&side.in) < 0)
                RILL_RETURN(result_of(&side.in));
        }
        RILL_AWAIT(send_message(&side.out, side.out_buffer, wanted.size, DATA));
        if (result_of(&side.out) < 0)
            RILL_RETURN(result_of(&side.out));
        if (!side.is_server) {
            RILL_AWAIT(recv_message(&side.in, side.in_buffer, wanted.size, DATA));
            if (result_of(&side.in) < 0)
                RILL_RETURN(result_of(&side.in));
        }
        count_round_trip();
    }
    RILL_END();
}

/* ---- one way ---- */

/* A task for each message that may be on its way: it sends, or receives, the next one. */
static enum rill_poll lane_poll(struct rill_future *self, struct rill_task *task)
{
    struct lane *lane = rill_container_of(self, struct lane, task.future);

    RILL_BEGIN();
    while (side.started < side.count && !side.error) {
        side.started++;
        RILL_AWAIT(side.is_server
                       ? recv_message(&lane->message, side.in_buffer, wanted.size, DATA)
                       : send_message(&lane->message, side.out_buffer, wanted.size, DATA));
        if (result_of(&lane->message) < 0)
            side.error = result_of(&lane->message);
        else
            side.done++;
    }
    RILL_END();
}

static enum rill_poll bandwidth_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    side.done = side.started = 0;
    for (side.lane = 0; side.lane < wanted.window; side.lane++)
        rill_task_spawn(&side.lanes[side.lane].task, lane_poll);
    for (side.lane = 0; side.lane < wanted.window; side.lane++)
        RILL_AWAIT(rill_task_join(&side.lanes[side.lane].task, &side.lanes[side.lane].join));
    if (side.is_server)
        RILL_AWAIT(send_message(&side.out, side.out_buffer, 1, DONE));
    else
        RILL_AWAIT(recv_message(&side.in, side.in_buffer, 1, DONE));
    RILL_RETURN(side.error);
    RILL_END();
}

/* ---- both ---- */

static struct rill_future *run(int64_t count)
{
    side.count = count;
    side.done = 0;
    side.sample_count = 0;
    side.begin_ns = side.end_ns = clock_ns();
    rill_task_spawn(&side.runner, wanted.test == TAG_LAT ? latency_poll : bandwidth_poll);
    return rill_task_join(&side.runner, &side.runner_join);
}

static struct rill_future *begin(void)
{
    static const struct rill_rdma_connection_options unprotected = {.is_unprotected = true};

    return rill_rdma_connect_worker(&side.connection, &side.hub, side.peer,
                                    wanted.layer == UNPROTECTED ? &unprotected : NULL);
}

static int adopt(void)
{
    static const struct rill_rdma_connection_options unprotected = {.is_unprotected = true};

    return rill_rdma_adopt_worker(&side.connection, &side.hub, &side.stranger,
                                  wanted.layer == UNPROTECTED ? &unprotected : NULL);
}

static void print(void)
{
    double seconds = (double)(side.end_ns - side.begin_ns) / RILL_SECOND;
    double rate = (double)side.count / seconds;
    char transports[256] = "";
    struct json json;

    rill_rdma_ep_describe(wanted.layer == RAW ? &side.ep : &side.connection.ep, transports,
                          sizeof transports);
    if (!wanted.json) {
        printf("%s, %" PRId64 " B, %s, %s: ", test_words[wanted.test], wanted.size,
               layer_words[wanted.layer], transports);
        if (wanted.test == TAG_LAT)
            printf("p50 %.3f us, average %.3f us\n", percentile(50), 1e6 / rate / 2);
        else
            printf("%.1f MB/s, %.0f messages/s\n", rate * (double)wanted.size / 1e6, rate);
        return;
    }
    json_begin(&json, stdout);
    json_string(&json, "test", test_words[wanted.test]);
    json_string(&json, "layer", layer_words[wanted.layer]);
    json_string(&json, "transports", transports);
    json_integer(&json, "size", wanted.size);
    json_integer(&json, "messages", side.count);
    if (wanted.test == TAG_LAT) {
        json_open_object(&json, "latency_us");
        json_double(&json, "p50", percentile(50), 4);
        json_double(&json, "p99", percentile(99), 4);
        json_double(&json, "average", 1e6 / rate / 2, 4);
        json_close(&json);
    } else {
        json_double(&json, "megabytes_per_second", rate * (double)wanted.size / 1e6, 2);
        json_double(&json, "messages_per_second", rate, 0);
    }
    json_end(&json);
}

static enum rill_poll side_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    if (wanted.layer == RAW) {
        side.error = rill_rdma_ep_open(&side.ep, &side.rdma, side.peer);
    } else if (side.is_server) {
        RILL_AWAIT(rill_rdma_accept_worker(&side.hub, &side.stranger));
        side.error = adopt();
    } else {
        RILL_AWAIT(begin());
        side.error = side.connection.result;
    }
    if (!side.error && wanted.layer != RAW) {
        RILL_AWAIT(rill_rdma_wait_for_connection(&side.connection, &side.wait));
        side.error = side.wait.result;
    }
    if (!side.error) {
        side.batch = 1;
        RILL_AWAIT(run(wanted.warmup));
        side.error = side.runner_join.result;
    }
    if (!side.error) {
        side.batch = batch_of(wanted.warmup, clock_ns() - side.begin_ns);
        RILL_AWAIT(run(wanted.count));
        side.error = side.runner_join.result;
        if (wanted.test == TAG_BW)
            side.end_ns = clock_ns();
        if (!side.error && side.is_server &&
            memcmp(side.in_buffer, side.out_buffer, (size_t)wanted.size) != 0)
            side.error = -EBADMSG;
    }
    if (!side.error && !side.is_server)
        print();
    if (wanted.layer == RAW)
        RILL_AWAIT(rill_rdma_ep_close(&side.ep));
    else
        RILL_AWAIT(rill_rdma_disconnect(&side.connection));
    RILL_RETURN(side.error);
    RILL_END();
}

/* ---- the processes ---- */

/* Returns false, having said why, where the process cannot run there. */
static bool pin(int64_t processor)
{
    cpu_set_t set;

    if (processor < 0)
        return true;
    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        return true;
    fprintf(stderr, "rill-rdma-perf: processor %" PRId64 ": %s\n", processor,
            errno == EINVAL ? "there is none of that number, or it may not be used here"
                            : strerror(errno));
    return false;
}

/* Gives the other process the address of this one's worker, and takes its. */
static int swap_addresses(int fd)
{
    size_t size;
    const void *address = rill_rdma_address(&side.rdma, &size);

    if (send(fd, address, size, MSG_NOSIGNAL) != (ssize_t)size ||
        recv(fd, side.peer, sizeof side.peer, 0) <= 0)
        return -ECONNRESET;
    return 0;
}

/* Every page is written: one that never was is read from the kernel's page of zeros, which
 * stays in the cache. */
static int open_buffer(struct rill_rdma_memory *memory, char **buffer)
{
    size_t size = (size_t)wanted.size + 1;
    int error = rill_rdma_memory_register(memory, &side.rdma, NULL, size);

    if (error)
        return error;
    *buffer = memory->address;
    memset(*buffer, 0, size);
    return 0;
}

static int open_all(void)
{
    struct rill_rdma_options options = rdma_options_of(&wanted.transport);
    int error;

    options.bare_endpoints = wanted.layer == RAW;
    error = rill_rdma_open(&side.rdma, &options);

    if (error) {
        fprintf(stderr, "rill-rdma-perf: no rdma: %s\n", side.rdma.why.text);
        return error;
    }
    error = wanted.layer == RAW ? 0 : rill_rdma_hub_open(&side.hub, &side.rdma);
    if (!error)
        error = open_buffer(&side.out_memory, &side.out_buffer);
    if (!error)
        error = open_buffer(&side.in_memory, &side.in_buffer);
    for (int64_t i = 0; !error && i < wanted.size; i++)
        side.out_buffer[i] = (char)(i * 31 + 1);
    return error;
}

/* Returns the exit status of one process. */
static int be_a_side(int fd, bool is_server)
{
    const struct rill_runtime_options options = {
        .wait_policy = (enum rill_wait_policy)wanted.wait_policy,
        .spin_ns = wanted.spin_ns,
    };
    struct rill_runtime *runtime;
    int error;

    side.is_server = is_server;
    if (!pin(is_server ? wanted.server_processor : wanted.client_processor))
        return 1;
    error = rill_runtime_create(&runtime, &options);
    if (error) {
        fprintf(stderr, "rill-rdma-perf: %s\n", rill_runtime_explain(error));
        return 1;
    }
    error = open_all();
    if (!error)
        error = swap_addresses(fd);
    if (!error)
        error = (int)rill_block_on(runtime, rill_future_init(&side.future, side_poll));
    if (error)
        fprintf(stderr, "rill-rdma-perf: the %s: %s, after %" PRId64 " messages\n",
                is_server ? "server" : "client", strerror(-error), side.done);
    rill_rdma_memory_release(&side.in_memory);
    rill_rdma_memory_release(&side.out_memory);
    rill_runtime_destroy(runtime);
    return error ? 1 : 0;
}

int main(int argc, char **argv)
{
    const struct cli_option options[] = {
        CLI_CHOICE('t', "test", &wanted.test, test_words, "what is measured"),
        CLI_CHOICE('l', "layer", &wanted.layer, layer_words,
                   "over a connection, one without heartbeats and credit, or a bare endpoint"),
        CLI_SIZE('s', "size", &wanted.size, 1, MESSAGE_MAX, "bytes in a message"),
        CLI_INTEGER('n', "count", &wanted.count, 1, INT64_C(1000000000), "messages to send"),
        CLI_INTEGER(0, "warmup", &wanted.warmup, 1, INT64_C(1000000000), "and before these"),
        CLI_INTEGER('O', "window", &wanted.window, 1, WINDOW_MAX, "on their way in tag_bw"),
        CLI_CHOICE('w', "wait", &wanted.wait_policy, wait_words,
                   "what to do when there is nothing to do"),
        CLI_DURATION(0, "spin", &wanted.spin_ns, 1, RILL_SECOND,
                     "how long adaptive waiting looks out, at the most"),
        CLI_INTEGER(0, "client-processor", &wanted.client_processor, -1, 1023,
                    "where the sender runs, -1 anywhere"),
        CLI_INTEGER(0, "server-processor", &wanted.server_processor, -1, 1023,
                    "where the other side runs"),
        CLI_TRANSPORT(&wanted.transport),
        CLI_FLAG('j', "json", &wanted.json, "print the result as one JSON object"),
        CLI_END,
    };
    const struct cli cli = {
        .program = "rill-rdma-perf",
        .summary = "Measures messages over UCX between two processes, as ucx_perftest does.",
        .options = options,
    };
    int fds[2], status, other;
    pid_t client = getpid(), server;

    cli_parse(&cli, argc, argv);
    transport_check(&cli, &wanted.transport);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0) {
        fprintf(stderr, "rill-rdma-perf: no socket pair: %s\n", strerror(errno));
        return 1;
    }
    server = fork(); /* before anything of UCX */
    if (server < 0) {
        fprintf(stderr, "rill-rdma-perf: no second process: %s\n", strerror(errno));
        return 1;
    }
    /* A bare endpoint does not notice that its peer is gone, and would look out for ever. */
    if (server == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != client))
        return 1;
    close(fds[server == 0]);
    status = be_a_side(fds[server != 0], server == 0);
    close(fds[server != 0]);
    if (server == 0)
        return status;
    if (waitpid(server, &other, 0) < 0 || !WIFEXITED(other) || WEXITSTATUS(other) != 0)
        status = 1;
    return status;
}
