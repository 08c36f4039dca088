/* SPDX-License-Identifier: Apache-2.0 */
/* channel.c - two cooks and a waiter: orders go through a counter with two places. */
#include "runtime/channel.h"
#include "io/program.h"
#include "runtime/scope.h"

#include <stdio.h>

struct dish {
    const char *cook;
    int number;
};

struct counter RILL_CHANNEL(struct dish, 2);

static struct counter counter;

struct cook {
    struct rill_task task;
    const char *name;
    struct rill_channel_op send;
    struct dish dish;
};

static enum rill_poll cook_poll(struct rill_future *self, struct rill_task *task)
{
    struct cook *cook = rill_container_of(self, struct cook, task.future);

    RILL_BEGIN();
    cook->dish.cook = cook->name;
    for (cook->dish.number = 1; cook->dish.number <= 3; cook->dish.number++) {
        RILL_AWAIT(rill_channel_send(&counter, &cook->send, &cook->dish));
        if (cook->send.result < 0)
            RILL_RETURN(cook->send.result);
        printf("%s has put dish %d on the counter\n", cook->name, cook->dish.number);
    }
    RILL_END();
}

struct restaurant {
    struct rill_future future;
    struct rill_scope kitchen;
    struct cook anna, ben;
    struct rill_channel_op receive;
    struct dish dish;
};

static enum rill_poll restaurant_poll(struct rill_future *self, struct rill_task *task)
{
    struct restaurant *here = rill_container_of(self, struct restaurant, future);

    RILL_BEGIN();
    rill_channel_init(&counter);
    rill_scope_init(&here->kitchen, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&here->kitchen, &here->anna.task, cook_poll);
    rill_scope_spawn(&here->kitchen, &here->ben.task, cook_poll);
    for (;;) {
        RILL_AWAIT(rill_channel_receive(&counter, &here->receive, &here->dish));
        if (here->receive.result <= 0)
            break;
        printf("  served: %s's dish %d\n", here->dish.cook, here->dish.number);
        if (here->kitchen.alive == 0)
            rill_channel_close(&counter);
    }
    RILL_AWAIT(rill_scope_join(&here->kitchen));
    rill_channel_finish(&counter);
    RILL_RETURN(here->kitchen.result);
    RILL_END();
}

int main(void)
{
    static struct restaurant restaurant = {.anna = {.name = "Anna"}, .ben = {.name = "Ben"}};

    return rill_main(rill_future_init(&restaurant.future, restaurant_poll));
}
