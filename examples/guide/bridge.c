/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.c - a thread that knows no tasks sends work to two runtimes, which answer it. */
#include "io/bridge.h"
#include "io/runtime.h"

#include <stdio.h>

enum {
    KITCHENS = 2,
    ORDERS = 10,
};

struct order {
    int number;
};

struct meal {
    int number, price;
};

RILL_BRIDGE_OF(orders, struct order);
RILL_BRIDGE_OF(meals, struct meal);

static struct orders orders;
static struct meals meals;

/* A task, in a runtime and a thread of its own. */
struct cook {
    struct rill_future future;
    struct rill_bridge_op receive, send;
    struct order order;
    struct meal meal;
};

static enum rill_poll cook_poll(struct rill_future *self, struct rill_task *task)
{
    struct cook *cook = rill_container_of(self, struct cook, future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(orders_receive(&orders, &cook->receive, &cook->order));
        if (cook->receive.result <= 0) /* 0: the bridge is closed, and all orders are taken */
            break;
        cook->meal = (struct meal){cook->order.number, 3 + cook->order.number % 2};
        RILL_AWAIT(meals_send(&meals, &cook->send, &cook->meal));
    }
    RILL_END();
}

static void *kitchen_main(void *unused)
{
    struct rill_runtime *runtime;
    struct cook cook;

    (void)unused;
    if (rill_runtime_create(&runtime, NULL) < 0)
        return NULL;
    rill_block_on(runtime, rill_future_init(&cook.future, cook_poll));
    rill_runtime_destroy(runtime);
    return NULL;
}

int main(void)
{
    static struct order order_places[4];
    static struct meal meal_places[4];
    pthread_t kitchens[KITCHENS];
    struct meal meal;
    int ordered = 0, served = 0, sum = 0;

    orders_init(&orders, order_places, 4);
    meals_init(&meals, meal_places, 4);
    for (int i = 0; i < KITCHENS; i++)
        pthread_create(&kitchens[i], NULL, kitchen_main, NULL);

    while (served < ORDERS) {
        /* As many orders as there is place for, then wait for a meal. */
        struct order next = {ordered};

        if (ordered < ORDERS && orders_send_blocking(&orders, &next, RILL_NO_WAIT) == 0) {
            ordered++;
        } else if (meals_receive_blocking(&meals, &meal, RILL_NEVER) == 1) {
            served++;
            sum += meal.price;
        }
    }
    orders_close(&orders);
    for (int i = 0; i < KITCHENS; i++)
        pthread_join(kitchens[i], NULL);
    printf("%d meals for %d\n", served, sum);
    orders_finish(&orders);
    meals_finish(&meals);
    return 0;
}
