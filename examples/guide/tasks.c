/* SPDX-License-Identifier: Apache-2.0 */
/* tasks.c - three ways to own a task: as a field, as a block of the runtime, not at all. */
#include "io/program.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    struct rill_task task; /* always first in what rill_task_alloc returns */
    struct rill_sleep nap;
    const char *name;
    int64_t nap_ns;
};

static enum rill_poll worker_poll(struct rill_future *self, struct rill_task *task)
{
    struct worker *worker = rill_container_of(self, struct worker, task.future);

    RILL_BEGIN();
    printf("%s begins\n", worker->name);
    RILL_AWAIT(rill_sleep(&worker->nap, worker->nap_ns));
    printf("%s ends\n", worker->name);
    RILL_RETURN(worker->nap.result);
    RILL_END();
}

/* Starts a worker in a block of the runtime. Returns NULL where there is no memory. */
static struct worker *worker_start(const char *name, int64_t nap_ns)
{
    struct worker *worker = rill_task_alloc(sizeof *worker); /* zeroed */

    if (!worker)
        return NULL;
    worker->name = name;
    worker->nap_ns = nap_ns;
    rill_task_spawn(&worker->task, worker_poll);
    return worker;
}

/* Prints where a task waits, without its address, which is another one each time. */
static void print(const struct rill_task *task)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return;
    rill_task_print(task, out);
    if (fclose(out) == 0) /* else there was no memory for the text */
        printf("a task%s", strchr(text, ','));
    free(text);
}

struct boss {
    struct rill_future future;
    struct worker field, *block;
    struct rill_join join;
};

static enum rill_poll boss_poll(struct rill_future *self, struct rill_task *task)
{
    struct boss *boss = rill_container_of(self, struct boss, future);

    RILL_BEGIN();
    boss->block = worker_start("the block", 3600 * RILL_SECOND);
    if (!boss->block)
        RILL_RETURN(-ENOMEM);
    boss->field.name = "the field";
    rill_task_spawn(&boss->field.task, worker_poll);
    {
        struct worker *alone = worker_start("the one alone", 100 * RILL_MILLISECOND);

        if (alone)
            rill_task_detach(&alone->task); /* not to be touched from here on */
    }
    RILL_AWAIT(rill_task_join(&boss->field.task, &boss->join));
    printf("joined: %s\n", boss->join.result == 0 ? "well" : "cancelled");
    print(&boss->block->task);
    rill_task_cancel(&boss->block->task);
    RILL_AWAIT(rill_task_join(&boss->block->task, &boss->join)); /* which gives the block back */
    printf("joined: %s\n", boss->join.result == 0 ? "well" : "cancelled");
    RILL_END();
}

int main(void)
{
    static struct boss boss;

    return rill_main(rill_future_init(&boss.future, boss_poll));
}
