/* SPDX-License-Identifier: Apache-2.0 */
/* in_cxx.cc - a program in C++17 that uses each macro of the public headers, compiled by
 * check_headers.sh. Where a function and a struct share a name, C++ wants the word struct. */
#include "io/bridge.h"
#include "io/program.h"
#include "io/workers.h"
#include "net/server.h"
#include "runtime/broadcast.h"
#include "runtime/channel.h"
#include "runtime/executor.h"
#include "runtime/oneshot.h"
#include "runtime/priority_channel.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "runtime/watch.h"

#include <cstdio>

struct numbers RILL_CHANNEL(int, 4);
struct urgent RILL_PRIORITY_CHANNEL(int, 4);
struct news RILL_BROADCAST(int, 4);
struct answer RILL_ONESHOT(int);
struct level RILL_WATCH(int);
RILL_BRIDGE_OF(orders, int);

static rill_workers pool = RILL_WORKERS_STATIC(pool, 2, 100);

struct session {
    rill_task task;
    rill_tcp peer;
    const int *number;
};

static rill_poll session_poll(rill_future *self, rill_task *task)
{
    session *session = rill_container_of(self, struct session, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_close(&session->peer));
    RILL_END();
}

struct program {
    rill_future future;
    rill_server server, local;
    struct rill_sleep sleep;
    struct rill_select select;
    rill_future *choices[3];
    rill_channel_op send, receive;
    rill_oneshot_receive asked;
    rill_subscription subscription;
    struct rill_watch watch;
    struct numbers numbers;
    struct urgent urgent;
    struct news news;
    struct answer answer;
    struct level level;
    int number;
};

static rill_poll program_poll(rill_future *self, rill_task *task)
{
    program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    RILL_YIELD();
    RILL_SPEND_BUDGET();
    program->number = 7;
    rill_channel_init(&program->numbers);
    RILL_AWAIT(rill_channel_send(&program->numbers, &program->send, &program->number));
    RILL_AWAIT(rill_channel_receive(&program->numbers, &program->receive, &program->number));
    rill_priority_channel_init(&program->urgent);
    rill_broadcast_init(&program->news);
    rill_broadcast_subscribe(&program->news, &program->subscription);
    rill_broadcast_send(&program->news, &program->number);
    RILL_AWAIT(rill_broadcast_receive(&program->news, &program->subscription, &program->number));
    rill_oneshot_init(&program->answer);
    rill_oneshot_send(&program->answer, &program->number);
    RILL_AWAIT(rill_oneshot_receive(&program->answer, &program->asked));
    rill_watch_init(&program->level);
    rill_watch_set(&program->level, &program->number);
    RILL_AWAIT(rill_watch_changed(&program->level, &program->watch));
    RILL_AWAIT(rill_select(&program->select,
                           RILL_FUTURES(program->choices,
                                        rill_serve(&program->server, "tcp://127.0.0.1:0",
                                                   RILL_SERVICE_WITH(struct session, peer, session_poll,
                                                                     number, &program->number)),
                                        rill_serve(&program->local, "unix://in_cxx.sock",
                                                   RILL_SERVICE(session, peer, session_poll)),
                                        rill_sleep(&program->sleep, RILL_MILLISECOND))));
    std::printf("%d: %d\n", (int)program->select.result, program->level.value);
    RILL_RETURN(program->select.result == 2 ? 0 : -EIO);
    RILL_END();
}

int main()
{
    static program program;

    return pool.threads_max == 2 ? rill_main(rill_future_init(&program.future, program_poll)) : 1;
}
