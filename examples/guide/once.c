/* SPDX-License-Identifier: Apache-2.0 */
/* once.c - three requests need a table that is loaded when the first one comes. */
#include "runtime/once.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct table {
    struct rill_once loaded;
    int attempts;
};

/* Loads the table; the disk has a bad day, and the first attempt fails. */
struct load {
    struct rill_future future;
    struct rill_sleep disk;
    struct table *table;
};

static enum rill_poll load_poll(struct rill_future *self, struct rill_task *task)
{
    struct load *load = rill_container_of(self, struct load, future);

    RILL_BEGIN();
    printf("loading, attempt %d\n", ++load->table->attempts);
    RILL_AWAIT(rill_sleep(&load->disk, 10 * RILL_MILLISECOND));
    RILL_RETURN(load->table->attempts == 1 ? -EIO : 0);
    RILL_END();
}

static struct rill_future *load(struct load *load, struct table *table)
{
    load->table = table;
    return rill_future_init(&load->future, load_poll);
}

struct request {
    struct rill_task task;
    struct rill_once_run once;
    struct load load;
    struct table *table;
    int number;
};

static enum rill_poll request_poll(struct rill_future *self, struct rill_task *task)
{
    struct request *request = rill_container_of(self, struct request, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_once_run(&request->table->loaded, &request->once,
                             load(&request->load, request->table)));
    if (request->once.result < 0)
        printf("request %d: %s\n", request->number, strerror((int)-request->once.result));
    else
        printf("request %d: the table is there%s\n", request->number,
               request->once.was_first ? ", I have loaded it" : "");
    RILL_END();
}

struct program {
    struct rill_future future;
    struct table table;
    struct request requests[3];
    struct rill_scope scope;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_once_init(&program->table.loaded);
    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    for (int i = 0; i < 3; i++) {
        program->requests[i].table = &program->table;
        program->requests[i].number = i + 1;
        rill_scope_spawn(&program->scope, &program->requests[i].task, request_poll);
    }
    RILL_AWAIT(rill_scope_join(&program->scope)); /* if it is cancelled, so are they */
    rill_once_finish(&program->table.loaded);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
