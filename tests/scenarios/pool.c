/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - a few connections shared by many users, who try again when one fails: never
 * more connections than allowed, each answer to its own question, and none left. */
#include "net/connect.h"
#include "runtime/object_pool.h"
#include "runtime/retry.h"
#include "runtime/timeout.h"
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service.h"

#include <errno.h>
#include <string.h>

enum { USERS = 6, CONNECTIONS = 3, QUESTIONS = 4, SIZE = 40 };

static struct service service;
static struct rill_object_pool pool;
static struct rill_object_pool_care tending, draining;

struct connection {
    struct rill_pooled pooled;
    struct rill_tcp tcp;
    struct rill_future ending;
    bool is_in_use;
};

/* As many as the pool allows, each free or taken. */
static struct connection blocks[CONNECTIONS];
static bool is_taken[CONNECTIONS];
static size_t connections;

static enum rill_poll ending_poll(struct rill_future *self, struct rill_task *task)
{
    struct connection *connection = rill_container_of(self, struct connection, ending);

    RILL_BEGIN();
    expect(!connection->is_in_use);
    RILL_AWAIT(rill_tcp_close(&connection->tcp));
    is_taken[connection - blocks] = false;
    connections--;
    RILL_END();
}

static struct rill_future *end_connection(struct rill_pooled *pooled)
{
    struct connection *connection = rill_container_of(pooled, struct connection, pooled);

    return rill_future_init(&connection->ending, ending_poll);
}

static bool is_healthy(struct rill_pooled *pooled)
{
    (void)pooled;
    return dice(8) > 0;
}

static const struct rill_object_pool_options options = {
    .max = CONNECTIONS,
    .idle_ns = 20 * RILL_MILLISECOND,
    .is_healthy = is_healthy,
    .end = end_connection,
};

static struct user {
    struct rill_task task;
    struct rill_join join;
    struct rill_object_pool_take take;
    struct rill_future making, asking;
    struct rill_connect connect;
    struct rill_tcp made;
    struct rill_retry retry;
    struct rill_retry_policy policy;
    struct rill_timeout timeout;
    struct connection *connection;
    struct rill_op send, recv;
    int64_t result;
    int questions;
    uint64_t base;
    char out[SIZE], in[SIZE];
} users[USERS];

static enum rill_poll making_poll(struct rill_future *self, struct rill_task *task)
{
    struct user *user = rill_container_of(self, struct user, making);

    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_connect(&user->made, &user->connect, "127.0.0.1", 7000));
    if (user->connect.result < 0)
        RILL_RETURN(user->connect.result);
    for (size_t i = 0; i < CONNECTIONS; i++) {
        if (is_taken[i])
            continue;
        is_taken[i] = true;
        blocks[i] = (struct connection){.tcp = user->made};
        user->made.is_open = false; /* it lives there now */
        user->take.object = &blocks[i].pooled;
        connections++;
        RILL_RETURN(0);
    }
    expect(false); /* more than the pool allows */
    RILL_END();
}

/* One attempt: take a connection, ask, and give it back or end it. */
static enum rill_poll asking_poll(struct rill_future *self, struct rill_task *task)
{
    struct user *user = rill_container_of(self, struct user, asking);

    RILL_BEGIN();
    RILL_AWAIT(
        rill_object_pool_take(&pool, &user->take, rill_future_init(&user->making, making_poll)));
    if (user->take.result < 0)
        RILL_RETURN(user->take.result);
    user->connection = rill_container_of(user->take.object, struct connection, pooled);
    expect(!user->connection->is_in_use);
    user->connection->is_in_use = true;
    user->base += SIZE;
    pattern_fill(user->out, user->base, SIZE);
    RILL_AWAIT(rill_tcp_send_all(&user->connection->tcp, &user->send, user->out, SIZE));
    user->result = user->send.result;
    if (user->result == SIZE) {
        RILL_AWAIT(rill_tcp_recv_exactly(&user->connection->tcp, &user->recv, user->in, SIZE));
        user->result = user->recv.result;
    }
    user->connection->is_in_use = false;
    if (user->result == SIZE) {
        expect(pattern_is(user->in, user->base, SIZE));
        rill_object_pool_give_back(&pool, user->take.object);
        RILL_RETURN(0);
    }
    RILL_AWAIT(rill_object_pool_end(&pool, &user->take)); /* half an answer may still come */
    RILL_RETURN(user->result < 0 ? user->result : -EIO);
    RILL_END();
}

static struct rill_future *ask(struct rill_retry *retry)
{
    struct user *user = rill_container_of(retry, struct user, retry);

    return rill_future_init(&user->asking, asking_poll);
}

static enum rill_poll user_poll(struct rill_future *self, struct rill_task *task)
{
    struct user *user = rill_container_of(self, struct user, task.future);

    RILL_BEGIN();
    for (; user->questions > 0; user->questions--) {
        RILL_AWAIT(rill_timeout(&user->timeout, dice_ns(RILL_SECOND),
                                rill_retry(&user->retry, &user->policy, ask)));
        scenario_count(1, user->timeout.result == 0);
    }
    RILL_END();
}

static struct rill_task *victims[USERS];
static struct saboteur saboteur;

static void run(void)
{
    struct background tender;

    memset(users, 0, sizeof users);
    memset(is_taken, 0, sizeof is_taken);
    connections = 0;
    service_start_echo(&service, "tcp://127.0.0.1:7000");
    expect_eq(rill_object_pool_init(&pool, &options), 0);
    background_start(&tender, rill_object_pool_tend(&pool, &tending));
    for (size_t i = 0; i < USERS; i++) {
        users[i].questions = QUESTIONS;
        users[i].base = i * 100003;
        users[i].policy = (struct rill_retry_policy){.attempts_max = 3,
                                                     .first_ns = RILL_MILLISECOND,
                                                     .max_ns = 20 * RILL_MILLISECOND,
                                                     .limit_ns = RILL_NEVER};
        victims[i] = &users[i].task;
        rill_task_spawn(&users[i].task, user_poll);
    }
    saboteur_start(&saboteur, victims, USERS, (unsigned)dice(4), 10 * RILL_MILLISECOND);
    saboteur_end(&saboteur);
    for (size_t i = 0; i < USERS; i++)
        await(rill_task_join(&users[i].task, &users[i].join));
    rill_task_cancel(&tender.task);
    background_end(&tender);
    expect_eq(await(rill_object_pool_drain(&pool, &draining)), 0);
    rill_object_pool_finish(&pool);
    expect_eq(connections, 0);
    service_stop(&service);
}

const struct scenario scenario_pool = {"pool", run, 60};
