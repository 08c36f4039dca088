/* SPDX-License-Identifier: Apache-2.0 */
/* notify.c - two guests wait for dishes that a cook puts on a counter, until it closes. */
#include "runtime/notify.h"
#include "io/program.h"
#include "runtime/sleep.h"

#include <stdio.h>

/* The condition, and the queue of those who wait for it to change. */
struct counter {
    struct rill_notify changed;
    int dishes;
    bool is_closed;
};

struct guest {
    struct rill_task task;
    struct rill_wait wait;
    struct counter *counter;
    const char *name;
};

static enum rill_poll guest_poll(struct rill_future *self, struct rill_task *task)
{
    struct guest *guest = rill_container_of(self, struct guest, task.future);

    RILL_BEGIN();
    for (;;) {
        while (guest->counter->dishes == 0 && !guest->counter->is_closed) {
            RILL_AWAIT(rill_notify_wait(&guest->counter->changed, &guest->wait));
            if (guest->wait.result < 0) /* cancelled, and so would be every further wait */
                RILL_RETURN(guest->wait.result);
        }
        if (guest->counter->dishes == 0)
            break;
        guest->counter->dishes--;
        printf("%s takes a dish\n", guest->name);
    }
    printf("%s goes\n", guest->name);
    RILL_END();
}

struct cook {
    struct rill_future future;
    struct counter counter;
    struct guest ann, bob;
    struct rill_join join;
    struct rill_sleep work;
    int dish;
};

static enum rill_poll cook_poll(struct rill_future *self, struct rill_task *task)
{
    struct cook *cook = rill_container_of(self, struct cook, future);

    RILL_BEGIN();
    rill_notify_init(&cook->counter.changed);
    cook->ann = (struct guest){.counter = &cook->counter, .name = "Ann"};
    cook->bob = (struct guest){.counter = &cook->counter, .name = "Bob"};
    rill_task_spawn(&cook->ann.task, guest_poll);
    rill_task_spawn(&cook->bob.task, guest_poll);
    for (cook->dish = 0; cook->dish < 3; cook->dish++) {
        RILL_AWAIT(rill_sleep(&cook->work, 5 * RILL_MILLISECOND));
        cook->counter.dishes++;
        rill_notify_one(&cook->counter.changed);
    }
    cook->counter.is_closed = true;
    rill_notify_all(&cook->counter.changed);
    RILL_AWAIT(rill_task_join(&cook->ann.task, &cook->join));
    RILL_AWAIT(rill_task_join(&cook->bob.task, &cook->join));
    RILL_END();
}

int main(void)
{
    static struct cook cook;

    return rill_main(rill_future_init(&cook.future, cook_poll));
}
