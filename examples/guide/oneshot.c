/* SPDX-License-Identifier: Apache-2.0 */
/* oneshot.c - questions with a place for the answer in them. */
#include "runtime/oneshot.h"
#include "io/program.h"
#include "runtime/channel.h"
#include "runtime/scope.h"

#include <stdio.h>

struct answer RILL_ONESHOT(int);

struct question {
    int number;
    struct answer answer;
};

struct desk RILL_CHANNEL(struct question *, 4);

static struct desk desk;

struct clerk {
    struct rill_task task;
    struct rill_channel_op receive;
    struct question *question;
};

/* Squares numbers, but not negative ones: those get no answer. */
static enum rill_poll clerk_poll(struct rill_future *self, struct rill_task *task)
{
    struct clerk *clerk = rill_container_of(self, struct clerk, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_channel_receive(&desk, &clerk->receive, &clerk->question));
        if (clerk->receive.result <= 0)
            break;
        if (clerk->question->number < 0) {
            rill_oneshot_close(&clerk->question->answer);
        } else {
            int square = clerk->question->number * clerk->question->number;

            rill_oneshot_send(&clerk->question->answer, &square);
        }
    }
    RILL_END();
}

struct visitor {
    struct rill_future future;
    struct clerk clerk;
    struct rill_scope scope;
    struct question question, *ask;
    struct rill_channel_op send;
    struct rill_oneshot_receive receive;
};

static enum rill_poll visitor_poll(struct rill_future *self, struct rill_task *task)
{
    struct visitor *visitor = rill_container_of(self, struct visitor, future);

    RILL_BEGIN();
    rill_channel_init(&desk);
    rill_scope_init(&visitor->scope, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&visitor->scope, &visitor->clerk.task, clerk_poll);
    visitor->ask = &visitor->question;
    for (visitor->question.number = 3; visitor->question.number > -2;
         visitor->question.number -= 2) {
        rill_oneshot_init(&visitor->question.answer);
        RILL_AWAIT(rill_channel_send(&desk, &visitor->send, &visitor->ask));
        RILL_AWAIT(rill_oneshot_receive(&visitor->question.answer, &visitor->receive));
        if (visitor->receive.result == 1)
            printf("%d squared is %d\n", visitor->question.number, visitor->question.answer.value);
        else
            printf("there is no answer for %d\n", visitor->question.number);
    }
    rill_channel_close(&desk);
    RILL_AWAIT(rill_scope_join(&visitor->scope)); /* if it is cancelled, so is the clerk */
    rill_channel_finish(&desk);
    RILL_END();
}

int main(void)
{
    static struct visitor visitor;

    return rill_main(rill_future_init(&visitor.future, visitor_poll));
}
