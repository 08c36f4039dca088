/* SPDX-License-Identifier: Apache-2.0 */
/* rwlock.c - two queries read a table, it is rebuilt, and two more read the new one. */
#include "runtime/rwlock.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"

#include <stdio.h>

struct table {
    struct rill_rwlock lock;
    int version;
};

struct visitor {
    struct rill_task task;
    struct rill_rwlock_use use;
    struct rill_sleep work;
    struct table *table;
    int number;
};

static enum rill_poll query_poll(struct rill_future *self, struct rill_task *task)
{
    struct visitor *query = rill_container_of(self, struct visitor, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rwlock_read(&query->table->lock, &query->use));
    if (query->use.result < 0)
        RILL_RETURN(query->use.result);
    printf("query %d reads version %d, readers: %zu\n", query->number, query->table->version,
           query->table->lock.readers);
    RILL_AWAIT(rill_sleep(&query->work, 10 * RILL_MILLISECOND));
    rill_rwlock_unlock(&query->table->lock, &query->use);
    RILL_END();
}

static enum rill_poll rebuild_poll(struct rill_future *self, struct rill_task *task)
{
    struct visitor *rebuild = rill_container_of(self, struct visitor, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rwlock_write(&rebuild->table->lock, &rebuild->use));
    if (rebuild->use.result < 0)
        RILL_RETURN(rebuild->use.result);
    printf("rebuilding, readers: %zu\n", rebuild->table->lock.readers);
    RILL_AWAIT(rill_sleep(&rebuild->work, 10 * RILL_MILLISECOND));
    rebuild->table->version++;
    rill_rwlock_downgrade(&rebuild->table->lock, &rebuild->use);
    printf("rebuilt, and checking with the others\n");
    RILL_AWAIT(rill_sleep(&rebuild->work, 10 * RILL_MILLISECOND));
    rill_rwlock_unlock(&rebuild->table->lock, &rebuild->use);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct table table;
    struct visitor visitors[5];
    struct rill_scope scope;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_rwlock_init(&program->table.lock);
    program->table.version = 1;
    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    for (int i = 0; i < 5; i++) {
        struct visitor *visitor = &program->visitors[i];

        visitor->table = &program->table;
        visitor->number = i < 2 ? i + 1 : i;
        rill_scope_spawn(&program->scope, &visitor->task, i == 2 ? rebuild_poll : query_poll);
    }
    RILL_AWAIT(rill_scope_join(&program->scope)); /* if it is cancelled, so are they */
    rill_rwlock_finish(&program->table.lock);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
