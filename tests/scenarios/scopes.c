/* SPDX-License-Identifier: Apache-2.0 */
/* scopes.c - scopes within scopes, each with a limit of time, around tasks that sleep,
 * write files and talk to a server: leaving a scope leaves nothing of it behind. */
#include "io/file.h"
#include "net/connect.h"
#include "runtime/scope.h"
#include "runtime/shield.h"
#include "runtime/timeout.h"
#include "tests/scenarios/scenario.h"
#include "tests/scenarios/service.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { DEPTH = 3, WIDTH = 3, SIZE = 60 };

static struct service service;
static size_t alive; /* tasks of all scopes, by their own account */

/* What a task of a scope does at its leaves. */
struct worker {
    struct rill_task task;
    struct rill_sleep sleep;
    struct rill_tcp tcp;
    struct rill_connect connect;
    struct rill_file file;
    struct rill_shield shield;
    struct rill_op op;
    int64_t result;
    char bytes[SIZE], path[32];
};

/* A scope and the tasks in it; below DEPTH they open scopes of their own. */
struct nest {
    struct rill_task task;
    struct rill_scope scope;
    struct rill_timeout timeout;
    int depth;
};

static enum rill_poll sleeper_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    alive++;
    RILL_AWAIT(rill_sleep(&worker->sleep, dice_ns(20 * RILL_MILLISECOND)));
    alive--;
    RILL_RETURN(dice(6) == 0 ? -EIO : worker->sleep.result);
    RILL_END();
}

static enum rill_poll talker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    alive++;
    RILL_AWAIT(rill_tcp_connect(&worker->tcp, &worker->connect, "127.0.0.1", 7000));
    worker->result = worker->connect.result;
    if (worker->result == 0) {
        pattern_fill(worker->bytes, 0, SIZE);
        RILL_AWAIT(rill_tcp_send_all(&worker->tcp, &worker->op, worker->bytes, SIZE));
        if (worker->op.result == SIZE)
            RILL_AWAIT(rill_tcp_recv_exactly(&worker->tcp, &worker->op, worker->bytes, SIZE));
        worker->result = worker->op.result;
        expect(worker->result != SIZE || pattern_is(worker->bytes, 0, SIZE));
        RILL_AWAIT(rill_tcp_close(&worker->tcp));
    }
    alive--;
    scenario_count(1, worker->result == SIZE);
    RILL_RETURN(worker->result);
    RILL_END();
}

/* Writing is shielded: once the file is open, its content gets there. */
static enum rill_poll writer_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    alive++;
    snprintf(worker->path, sizeof worker->path, "/file-%u", (unsigned)dice(4));
    RILL_AWAIT(rill_file_open(&worker->file, worker->path, O_WRONLY | O_CREAT, 0600));
    worker->result = worker->file.control.result;
    if (worker->result >= 0) {
        pattern_fill(worker->bytes, 0, SIZE);
        RILL_AWAIT(rill_shield(&worker->shield, rill_file_write_all_at(&worker->file, &worker->op,
                                                                       worker->bytes, SIZE, 0)));
        worker->result = worker->op.result;
        expect(worker->result != -ECANCELED);
        RILL_AWAIT(rill_file_close(&worker->file));
    }
    alive--;
    scenario_count(1, worker->result == SIZE);
    RILL_RETURN(worker->result < 0 ? worker->result : 0);
    RILL_END();
}

static enum rill_poll nest_poll(struct rill_future *self, struct rill_task *task);

static void spawn_nest(struct rill_scope *scope, int depth)
{
    struct nest *nest = rill_task_alloc(sizeof *nest);

    if (!nest)
        return;
    nest->depth = depth;
    rill_scope_spawn(scope, &nest->task, nest_poll);
}

static void spawn_something(struct rill_scope *scope, int depth)
{
    static rill_poll_fn *const polls[] = {sleeper_poll, talker_poll, writer_poll};
    struct worker *worker;

    if (depth < DEPTH && dice(2)) {
        spawn_nest(scope, depth);
        return;
    }
    worker = rill_task_alloc(sizeof *worker);
    if (worker)
        rill_scope_spawn(scope, &worker->task, polls[dice(3)]);
}

static enum rill_poll nest_poll(struct rill_future *self, struct rill_task *task)
{
    struct nest *nest = rill_container_of(self, struct nest, task.future);

    RILL_BEGIN();
    alive++;
    rill_scope_init(&nest->scope, dice(2) ? RILL_SCOPE_TOGETHER : RILL_SCOPE_INDEPENDENT);
    for (int i = 0; i < WIDTH; i++)
        spawn_something(&nest->scope, nest->depth + 1);
    RILL_AWAIT(rill_timeout(&nest->timeout, dice_ns(40 * RILL_MILLISECOND),
                            rill_scope_join(&nest->scope)));
    expect_eq(nest->scope.alive, 0);
    alive--;
    RILL_RETURN(nest->timeout.result);
    RILL_END();
}

static void run(void)
{
    static struct rill_scope scope;
    static struct rill_timeout timeout;

    alive = 0;
    service_start_echo(&service, "tcp://127.0.0.1:7000");
    rill_scope_init(&scope, dice(2) ? RILL_SCOPE_TOGETHER : RILL_SCOPE_INDEPENDENT);
    for (int i = 0; i < WIDTH; i++)
        spawn_nest(&scope, 0);
    await(rill_timeout(&timeout, dice_ns(60 * RILL_MILLISECOND), rill_scope_join(&scope)));
    expect_eq(scope.alive, 0);
    expect_eq(alive, 0);
    service_stop(&service);
}

const struct scenario scenario_scopes = {"scopes", run, 45};
