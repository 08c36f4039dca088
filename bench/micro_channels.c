/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/micro_channels.h"

#include "runtime/channel.h"
#include "runtime/oneshot.h"

enum { CAPACITY = 256 };

struct wide RILL_CHANNEL(int64_t, CAPACITY);
struct narrow RILL_CHANNEL(int64_t, 1);
struct once RILL_ONESHOT(int64_t);

/* ---- oneshot ---- */

struct asker {
    struct rill_future future;
    struct once once;
    struct rill_oneshot_receive receive;
    int64_t left, sum;
};

static enum rill_poll asker_poll(struct rill_future *self, struct rill_task *task)
{
    struct asker *asker = rill_container_of(self, struct asker, future);

    RILL_BEGIN();
    while (asker->left-- > 0) {
        rill_oneshot_init(&asker->once);
        rill_oneshot_send(&asker->once, &asker->left);
        RILL_AWAIT(rill_oneshot_receive(&asker->once, &asker->receive));
        asker->sum += asker->once.value;
    }
    RILL_END();
}

void micro_oneshot(struct rill_runtime *runtime, int64_t count)
{
    static struct asker asker;

    asker.left = count;
    rill_block_on(runtime, rill_future_init(&asker.future, asker_poll));
}

/* ---- many messages a turn ---- */

static struct wide wide;

struct end {
    struct rill_task task;
    struct rill_join join;
    struct rill_channel_op op;
    int64_t left, message, sum;
};

static enum rill_poll producer_poll(struct rill_future *self, struct rill_task *task)
{
    struct end *end = rill_container_of(self, struct end, task.future);

    RILL_BEGIN();
    while (end->left-- > 0)
        RILL_AWAIT(rill_channel_send(&wide, &end->op, &end->left));
    rill_channel_close(&wide);
    RILL_END();
}

static enum rill_poll consumer_poll(struct rill_future *self, struct rill_task *task)
{
    struct end *end = rill_container_of(self, struct end, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_channel_receive(&wide, &end->op, &end->message));
        if (end->op.result <= 0)
            break;
        end->sum += end->message;
    }
    RILL_END();
}

void micro_mpsc(struct rill_runtime *runtime, int64_t count)
{
    static struct end producer, consumer;

    rill_channel_init(&wide);
    producer.left = count;
    rill_task_spawn(&producer.task, producer_poll);
    rill_task_spawn(&consumer.task, consumer_poll);
    rill_block_on(runtime, rill_task_join(&consumer.task, &consumer.join));
    rill_block_on(runtime, rill_task_join(&producer.task, &producer.join));
}

/* ---- a switch for each ---- */

static struct narrow there, back;

static enum rill_poll caller_poll(struct rill_future *self, struct rill_task *task)
{
    struct end *end = rill_container_of(self, struct end, task.future);

    RILL_BEGIN();
    while (end->left-- > 0) {
        RILL_AWAIT(rill_channel_send(&there, &end->op, &end->left));
        RILL_AWAIT(rill_channel_receive(&back, &end->op, &end->message));
    }
    rill_channel_close(&there);
    RILL_END();
}

static enum rill_poll answerer_poll(struct rill_future *self, struct rill_task *task)
{
    struct end *end = rill_container_of(self, struct end, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_channel_receive(&there, &end->op, &end->message));
        if (end->op.result <= 0)
            break;
        RILL_AWAIT(rill_channel_send(&back, &end->op, &end->message));
    }
    RILL_END();
}

void micro_switch(struct rill_runtime *runtime, int64_t count)
{
    static struct end caller, answerer;

    rill_channel_init(&there);
    rill_channel_init(&back);
    caller.left = count / 2;
    rill_task_spawn(&answerer.task, answerer_poll);
    rill_task_spawn(&caller.task, caller_poll);
    rill_block_on(runtime, rill_task_join(&caller.task, &caller.join));
    rill_block_on(runtime, rill_task_join(&answerer.task, &answerer.join));
}
