/* SPDX-License-Identifier: Apache-2.0 */
/* threads.c - an echo server on two threads at one port, stopped by the main thread, which
 * also tries it out. */
#include "io/bridge.h"
#include "io/program.h"
#include "net/connect.h"
#include "net/server.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SHARDS = 2, VISITS = 10 };

static char host[16], url[32];

/* Nothing is ever sent: closing it tells all shards to stop, also those that begin later. */
RILL_BRIDGE_OF(stops, char);
static struct stops stop;

struct echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op recv, send;
    char buffer[4096];
};

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    while (echo->send.result >= 0) {
        RILL_AWAIT(rill_tcp_recv(&echo->peer, &echo->recv, echo->buffer, sizeof echo->buffer));
        if (echo->recv.result <= 0)
            break;
        RILL_AWAIT(rill_tcp_send_all(&echo->peer, &echo->send, echo->buffer, echo->recv.result));
    }
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    RILL_END();
}

/* A thread with a runtime and a server of its own. */
struct shard {
    pthread_t thread;
    struct rill_server server;
    struct rill_bridge_op stopped;
    char nothing;
    struct rill_future *choices[2];
    struct rill_select select;
    int error;
};

static void *shard_main(void *argument)
{
    struct shard *shard = argument;
    struct rill_runtime *runtime;

    shard->error = rill_runtime_create(&runtime, NULL);
    if (shard->error) {
        fprintf(stderr, "no runtime: %s\n", rill_runtime_explain(shard->error));
        return NULL;
    }
    shard->server.options.reuseport = true;
    rill_block_on(
        runtime, rill_select(&shard->select,
                             RILL_FUTURES(shard->choices,
                                          rill_serve(&shard->server, url,
                                                     RILL_SERVICE(struct echo, peer, echo_poll)),
                                          stops_receive(&stop, &shard->stopped, &shard->nothing))));
    if (shard->stopped.result < 0) { /* nobody has told it to end */
        bool served = shard->server.result == -ECANCELED;

        shard->error = (int)(served ? shard->stopped.result : shard->server.result);
        fprintf(stderr, "%s: %s\n", url, strerror(-shard->error));
    }
    rill_runtime_shutdown(runtime, 5 * RILL_SECOND); /* what the connections have left */
    rill_runtime_destroy(runtime);
    return NULL;
}

struct program {
    struct rill_future future;
    struct shard shards[SHARDS];
    int started, visits, answers;
    struct rill_timeout timeout;
    struct rill_sleep sleep;
    struct rill_connect connect;
    struct rill_tcp peer;
    struct rill_op op;
    char text[5];
};

/* The main thread's. It starts the others here, where rill_main has blocked the signals, which
 * are inherited so: it alone gets them. Instead of the visits a server has
 * rill_sleep(..., RILL_NEVER), which a signal cancels. */
static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    for (; program->started < SHARDS; program->started++) {
        struct shard *shard = &program->shards[program->started];
        int error = pthread_create(&shard->thread, NULL, shard_main, shard);

        if (error)
            RILL_RETURN(-error);
    }
    for (; program->visits < VISITS; program->visits++) {
        do { /* until a shard listens */
            RILL_AWAIT(rill_sleep(&program->sleep, RILL_MILLISECOND));
            RILL_AWAIT(rill_tcp_connect(&program->peer, &program->connect, host, 7000));
        } while (program->connect.result == -ECONNREFUSED);
        if (program->connect.result < 0)
            RILL_RETURN(program->connect.result);
        RILL_AWAIT(rill_tcp_send_all(&program->peer, &program->op, "hello", 5));
        RILL_AWAIT(rill_tcp_recv_exactly(&program->peer, &program->op, program->text, 5));
        program->answers += program->op.result == 5;
        RILL_AWAIT(rill_tcp_close(&program->peer));
    }
    RILL_END();
}

int main(void)
{
    static struct program program;
    static char place;
    uint64_t accepted = 0;
    int status;

    /* 127.0.0.0/8 is this machine's: an address that no other process uses. */
    snprintf(host, sizeof host, "127.1.%d.%d", getpid() / 250 % 250, getpid() % 250 + 1);
    snprintf(url, sizeof url, "tcp://%s:7000", host);
    stops_init(&stop, &place, 1);
    status = rill_main(rill_timeout(&program.timeout, 10 * RILL_SECOND,
                                    rill_future_init(&program.future, program_poll)));
    stops_close(&stop);
    for (int i = 0; i < program.started; i++) {
        pthread_join(program.shards[i].thread, NULL);
        accepted += program.shards[i].server.accepted;
        if (program.shards[i].error)
            status = 1;
    }
    stops_finish(&stop);
    printf("%d visits, %d answers, %d connections\n", program.visits, program.answers,
           (int)accepted);
    return status;
}
