/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.c - a thread that knows no tasks sends work to two runtimes, which answer it. */
#include "io/bridge.h"
#include "io/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
            RILL_RETURN(cook->receive.result);
        cook->meal = (struct meal){cook->order.number, 3 + cook->order.number % 2};
        RILL_AWAIT(meals_send(&meals, &cook->send, &cook->meal));
        if (cook->send.result < 0)
            RILL_RETURN(cook->send.result);
    }
    RILL_END();
}

/* There is a kitchen less. Who waits for its meals is told by the end of the bridges. */
static void give_up(const char *why)
{
    fprintf(stderr, "no kitchen: %s\n", why);
    orders_close(&orders);
    meals_close(&meals);
}

static void *kitchen_main(void *unused)
{
    struct rill_runtime *runtime;
    struct cook cook;
    int64_t result = rill_runtime_create(&runtime, NULL);

    (void)unused;
    if (result < 0) {
        give_up(rill_runtime_explain((int)result));
        return NULL;
    }
    result = rill_block_on(runtime, rill_future_init(&cook.future, cook_poll));
    rill_runtime_destroy(runtime);
    if (result < 0 && result != -EPIPE) /* which the other kitchen has told already */
        give_up(strerror((int)-result));
    return NULL;
}

int main(void)
{
    static struct order order_places[4];
    static struct meal meal_places[4];
    pthread_t kitchens[KITCHENS];
    struct meal meal;
    int open = 0, ordered = 0, served = 0, sum = 0;

    orders_init(&orders, order_places, 4);
    meals_init(&meals, meal_places, 4);
    for (; open < KITCHENS; open++) {
        int error = pthread_create(&kitchens[open], NULL, kitchen_main, NULL);

        if (error) {
            give_up(strerror(error));
            break;
        }
    }

    while (served < ORDERS) {
        /* As many orders as there is place for, then wait for a meal. */
        struct order next = {ordered};

        if (ordered < ORDERS && orders_send_blocking(&orders, &next, RILL_NO_WAIT) == 0) {
            ordered++;
        } else if (meals_receive_blocking(&meals, &meal, RILL_NEVER) == 1) {
            served++;
            sum += meal.price;
        } else {
            break; /* the bridge is closed */
        }
    }
    orders_close(&orders);
    while (open > 0)
        pthread_join(kitchens[--open], NULL);
    printf("%d meals for %d\n", served, sum);
    orders_finish(&orders);
    meals_finish(&meals);
    return served == ORDERS ? 0 : 1;
}
