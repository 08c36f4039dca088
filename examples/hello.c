/* SPDX-License-Identifier: Apache-2.0 */
/* hello.c - two tasks that take turns: the smallest complete program. */
#include "io/program.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>

struct greeter {
    struct rill_task task;
    struct rill_sleep pause;
    const char *word;
    int i;
};

static enum rill_poll greeter_poll(struct rill_future *self, struct rill_task *task)
{
    struct greeter *greeter = rill_container_of(self, struct greeter, task.future);

    RILL_BEGIN();
    for (greeter->i = 1; greeter->i <= 3; greeter->i++) {
        printf("%s %d\n", greeter->word, greeter->i);
        RILL_AWAIT(rill_sleep(&greeter->pause, 10 * RILL_MILLISECOND));
    }
    RILL_RETURN(greeter->i - 1);
    RILL_END();
}

struct hello {
    struct rill_future future;
    struct greeter a, b;
    struct rill_join join_a, join_b;
};

static enum rill_poll hello_poll(struct rill_future *self, struct rill_task *task)
{
    struct hello *hello = rill_container_of(self, struct hello, future);

    RILL_BEGIN();
    rill_task_spawn(&hello->a.task, greeter_poll);
    rill_task_spawn(&hello->b.task, greeter_poll);
    RILL_AWAIT(rill_task_join(&hello->a.task, &hello->join_a));
    RILL_AWAIT(rill_task_join(&hello->b.task, &hello->join_b));
    if (hello->join_a.result < 0 || hello->join_b.result < 0) /* a signal was faster */
        RILL_RETURN(-ECANCELED);
    printf("%d greetings\n", (int)(hello->join_a.result + hello->join_b.result));
    RILL_END();
}

int main(void)
{
    static struct hello hello = {.a = {.word = "hello"}, .b = {.word = "world"}};

    return rill_main(rill_future_init(&hello.future, hello_poll));
}
