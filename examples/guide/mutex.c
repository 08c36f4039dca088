/* SPDX-License-Identifier: Apache-2.0 */
/* mutex.c - two transfers read a balance, think, and write it back. */
#include "runtime/mutex.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"

#include <stdio.h>

struct account {
    struct rill_mutex mutex;
    int balance;
};

struct transfer {
    struct rill_task task;
    struct rill_mutex_lock lock;
    struct rill_sleep thinking;
    struct account *account;
    const char *name;
    int amount, seen;
};

static enum rill_poll transfer_poll(struct rill_future *self, struct rill_task *task)
{
    struct transfer *transfer = rill_container_of(self, struct transfer, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_mutex_lock(&transfer->account->mutex, &transfer->lock));
    if (transfer->lock.result < 0)
        RILL_RETURN(transfer->lock.result);
    transfer->seen = transfer->account->balance;
    RILL_AWAIT(rill_sleep(&transfer->thinking, 10 * RILL_MILLISECOND)); /* a database, say */
    transfer->account->balance = transfer->seen + transfer->amount;
    printf("%s: %d and %d make %d\n", transfer->name, transfer->seen, transfer->amount,
           transfer->account->balance);
    rill_mutex_unlock(&transfer->account->mutex);
    RILL_END();
}

struct program {
    struct rill_future future;
    struct account account;
    struct transfer salary, rent;
    struct rill_scope scope;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_mutex_init(&program->account.mutex);
    program->account.balance = 100;
    program->salary =
        (struct transfer){.account = &program->account, .name = "salary", .amount = 50};
    program->rent = (struct transfer){.account = &program->account, .name = "rent", .amount = -30};
    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&program->scope, &program->salary.task, transfer_poll);
    rill_scope_spawn(&program->scope, &program->rent.task, transfer_poll);
    RILL_AWAIT(rill_scope_join(&program->scope)); /* if it is cancelled, so are they */
    rill_mutex_finish(&program->account.mutex);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
