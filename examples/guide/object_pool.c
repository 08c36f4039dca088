/* SPDX-License-Identifier: Apache-2.0 */
/* object_pool.c - four requests share two connections to a database that is not there. */
#include "runtime/object_pool.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/shield.h"
#include "runtime/sleep.h"

#include <stdio.h>

enum { CONNECTIONS = 2, REQUESTS = 4 };

/* What a real one would need: a socket, and operations to open, use and close it. */
struct connection {
    struct rill_pooled pooled;
    struct rill_future closing;
    int number; /* 0: not connected */
};

static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct connection *connection = rill_container_of(self, struct connection, closing);

    RILL_BEGIN();
    printf("connection %d is closed\n", connection->number);
    connection->number = 0;
    RILL_END();
}

static struct rill_future *close_connection(struct rill_pooled *pooled)
{
    struct connection *connection = rill_container_of(pooled, struct connection, pooled);

    return rill_future_init(&connection->closing, close_poll);
}

static const struct rill_object_pool_options options = {
    .max = CONNECTIONS,
    .idle_ns = 60 * RILL_SECOND,
    .end = close_connection,
};

/* The pool bounds how many there are, so their memory can be an array. */
static struct connection connections[CONNECTIONS];
static struct rill_object_pool pool;

struct request {
    struct rill_task task;
    struct rill_object_pool_take take;
    struct rill_future connect;
    struct rill_sleep work;
    struct connection *connection;
    int number;
};

/* Prepares what rill_object_pool_take begins if there is no idle connection. */
static enum rill_poll connect_poll(struct rill_future *self, struct rill_task *task)
{
    struct request *request = rill_container_of(self, struct request, connect);
    static int connected;

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&request->work, RILL_MILLISECOND));
    if (request->work.result < 0)
        RILL_RETURN(request->work.result);
    for (request->connection = connections; request->connection->number;)
        request->connection++;
    request->connection->number = ++connected;
    request->take.object = &request->connection->pooled;
    RILL_END();
}

static enum rill_poll request_poll(struct rill_future *self, struct rill_task *task)
{
    struct request *request = rill_container_of(self, struct request, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_object_pool_take(&pool, &request->take,
                                     rill_future_init(&request->connect, connect_poll)));
    if (request->take.result < 0)
        RILL_RETURN(request->take.result);
    request->connection = rill_container_of(request->take.object, struct connection, pooled);
    printf("request %d has connection %d, %s\n", request->number, request->connection->number,
           request->take.result == 1 ? "used before" : "a new one");
    RILL_AWAIT(rill_sleep(&request->work, request->number * 50 * RILL_MILLISECOND));
    if (request->number == 1) /* the other side hung up */
        RILL_AWAIT(rill_object_pool_end(&pool, &request->take));
    else
        rill_object_pool_give_back(&pool, request->take.object);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct request requests[REQUESTS];
    struct rill_scope scope;
    struct rill_object_pool_care drain;
    struct rill_shield shield;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_object_pool_init(&pool, &options); /* fails for wrong options only */
    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    for (int i = 0; i < REQUESTS; i++) {
        program->requests[i].number = i + 1;
        rill_scope_spawn(&program->scope, &program->requests[i].task, request_poll);
    }
    RILL_AWAIT(rill_scope_join(&program->scope)); /* if it is cancelled, so are they */
    RILL_AWAIT(rill_shield(&program->shield, rill_object_pool_drain(&pool, &program->drain)));
    rill_object_pool_finish(&pool);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
