/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/micro_tasks.h"

#include "runtime/notify.h"

enum { BATCH = 1000 }; /* tasks at a time, where there are many */

void micro_run_all(struct rill_runtime *runtime)
{
    struct rill_executor *executor = &runtime->executor;

    while (executor->tasks_alive > 0) {
        rill_executor_run(executor);
        if (executor->tasks_alive > 0)
            (void)rill_executor_wait(executor, RILL_NO_WAIT);
    }
}

/* ---- yield ---- */

struct yielder {
    struct rill_task task;
    int64_t left;
};

static struct yielder yielders[BATCH];

static enum rill_poll yielder_poll(struct rill_future *self, struct rill_task *task)
{
    struct yielder *yielder = rill_container_of(self, struct yielder, task.future);

    RILL_BEGIN();
    while (yielder->left-- > 0)
        RILL_YIELD();
    RILL_END();
}

static void yield_with(struct rill_runtime *runtime, int64_t tasks, int64_t count)
{
    for (int64_t i = 0; i < tasks; i++) {
        yielders[i].left = count / tasks;
        rill_task_spawn(&yielders[i].task, yielder_poll);
        rill_task_detach(&yielders[i].task);
    }
    micro_run_all(runtime);
}

void micro_yield_alone(struct rill_runtime *runtime, int64_t count)
{
    yield_with(runtime, 1, count);
}

void micro_yield(struct rill_runtime *runtime, int64_t count)
{
    yield_with(runtime, BATCH, count);
}

/* ---- spawn and join ---- */

struct child {
    struct rill_task task;
    struct rill_join join;
};

static enum rill_poll child_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_RETURN(1);
    RILL_END();
}

struct parent {
    struct rill_future future;
    struct child *children[BATCH];
    int64_t batch, left, i;
};

static enum rill_poll parent_poll(struct rill_future *self, struct rill_task *task)
{
    struct parent *parent = rill_container_of(self, struct parent, future);

    RILL_BEGIN();
    for (; parent->left > 0; parent->left -= parent->batch) {
        for (int64_t i = 0; i < parent->batch; i++) {
            parent->children[i] = rill_task_alloc(sizeof(struct child));
            rill_task_spawn(&parent->children[i]->task, child_poll);
        }
        for (parent->i = 0; parent->i < parent->batch; parent->i++)
            RILL_AWAIT(rill_task_join(&parent->children[parent->i]->task,
                                      &parent->children[parent->i]->join));
    }
    RILL_END();
}

static void spawn_with(struct rill_runtime *runtime, int64_t batch, int64_t count)
{
    static struct parent parent;

    parent.batch = batch;
    parent.left = count;
    rill_block_on(runtime, rill_future_init(&parent.future, parent_poll));
}

void micro_spawn_alone(struct rill_runtime *runtime, int64_t count)
{
    spawn_with(runtime, 1, count);
}

void micro_spawn(struct rill_runtime *runtime, int64_t count)
{
    spawn_with(runtime, BATCH, count);
}

/* ---- await ---- */

static enum rill_poll ready_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_RETURN(1);
    RILL_END();
}

struct awaiter {
    struct rill_future future, child;
    int64_t left;
};

static enum rill_poll awaiter_poll(struct rill_future *self, struct rill_task *task)
{
    struct awaiter *awaiter = rill_container_of(self, struct awaiter, future);

    RILL_BEGIN();
    while (awaiter->left-- > 0)
        RILL_AWAIT(rill_future_init(&awaiter->child, ready_poll));
    RILL_END();
}

void micro_await(struct rill_runtime *runtime, int64_t count)
{
    static struct awaiter awaiter;

    awaiter.left = count;
    rill_block_on(runtime, rill_future_init(&awaiter.future, awaiter_poll));
}

/* ---- wake ---- */

struct waiter {
    struct rill_task task;
    struct rill_notify *notify;
    struct rill_wait wait;
    int64_t left;
};

static enum rill_poll waiter_poll(struct rill_future *self, struct rill_task *task)
{
    struct waiter *waiter = rill_container_of(self, struct waiter, task.future);

    RILL_BEGIN();
    while (waiter->left-- > 0) {
        rill_notify_one(waiter->notify + 1);
        RILL_AWAIT(rill_notify_wait(waiter->notify, &waiter->wait));
    }
    rill_notify_one(waiter->notify + 1);
    RILL_END();
}

static enum rill_poll answerer_poll(struct rill_future *self, struct rill_task *task)
{
    struct waiter *waiter = rill_container_of(self, struct waiter, task.future);

    RILL_BEGIN();
    while (waiter->left-- > 0) {
        RILL_AWAIT(rill_notify_wait(waiter->notify + 1, &waiter->wait));
        rill_notify_one(waiter->notify);
    }
    RILL_END();
}

void micro_wake(struct rill_runtime *runtime, int64_t count)
{
    static struct rill_notify notify[2];
    static struct waiter a, b;

    rill_notify_init(&notify[0]);
    rill_notify_init(&notify[1]);
    a.notify = b.notify = notify;
    a.left = b.left = count / 2;
    rill_task_spawn(&b.task, answerer_poll);
    rill_task_spawn(&a.task, waiter_poll);
    micro_run_all(runtime);
}
