/* SPDX-License-Identifier: Apache-2.0 */
/* broadcast.c - headlines for everybody, and a reader who is away for too long. */
#include "runtime/broadcast.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"

#include <stdio.h>

struct news RILL_BROADCAST(int, 3);

static struct news news;

struct reader {
    struct rill_task task;
    const char *name;
    int64_t away_ns; /* after each headline */
    struct rill_subscription subscription;
    struct rill_sleep nap;
    int headline;
};

static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct reader *reader = rill_container_of(self, struct reader, task.future);

    RILL_BEGIN();
    rill_broadcast_subscribe(&news, &reader->subscription);
    for (;;) {
        RILL_AWAIT(rill_broadcast_receive(&news, &reader->subscription, &reader->headline));
        if (reader->subscription.result <= 0)
            break;
        printf("%s reads headline %d", reader->name, reader->headline);
        if (reader->subscription.missed > 0)
            printf(" and has missed %d", (int)reader->subscription.missed);
        printf("\n");
        if (reader->away_ns > 0)
            RILL_AWAIT(rill_sleep(&reader->nap, reader->away_ns));
    }
    printf("%s has read all there is\n", reader->name);
    RILL_END();
}

struct paper {
    struct rill_future future;
    struct reader anna, ben;
    struct rill_scope readers;
    struct rill_sleep pause;
    int headline;
};

static enum rill_poll paper_poll(struct rill_future *self, struct rill_task *task)
{
    struct paper *paper = rill_container_of(self, struct paper, future);

    RILL_BEGIN();
    rill_broadcast_init(&news);
    rill_scope_init(&paper->readers, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&paper->readers, &paper->anna.task, reader_poll);
    rill_scope_spawn(&paper->readers, &paper->ben.task, reader_poll);
    RILL_YIELD(); /* lets both subscribe */
    for (paper->headline = 1; paper->headline <= 5; paper->headline++) {
        rill_broadcast_send(&news, &paper->headline);
        RILL_AWAIT(rill_sleep(&paper->pause, 2 * RILL_MILLISECOND));
    }
    rill_broadcast_close(&news);
    RILL_AWAIT(rill_scope_join(&paper->readers)); /* if it is cancelled, so are they */
    rill_broadcast_finish(&news);
    RILL_END();
}

int main(void)
{
    static struct paper paper = {
        .anna = {.name = "Anna"},
        .ben = {.name = "Ben", .away_ns = 300 * RILL_MILLISECOND},
    };

    return rill_main(rill_future_init(&paper.future, paper_poll));
}
