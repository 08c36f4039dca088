/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - a setting that changes, and a worker that goes by the latest. */
#include "runtime/watch.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"

#include <stdio.h>

struct setting RILL_WATCH(int);

static struct setting volume;

struct speaker {
    struct rill_task task;
    struct rill_watch watch;
};

static enum rill_poll speaker_poll(struct rill_future *self, struct rill_task *task)
{
    struct speaker *speaker = rill_container_of(self, struct speaker, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_watch_changed(&volume, &speaker->watch));
        if (speaker->watch.result <= 0)
            break;
        printf("the volume is %d, version %d\n", volume.value, (int)speaker->watch.seen);
    }
    printf("the volume will not change any more\n");
    RILL_END();
}

struct knob {
    struct rill_future future;
    struct speaker speaker;
    struct rill_scope scope;
    struct rill_sleep pause;
    int value;
};

static enum rill_poll knob_poll(struct rill_future *self, struct rill_task *task)
{
    struct knob *knob = rill_container_of(self, struct knob, future);

    RILL_BEGIN();
    rill_watch_init(&volume);
    rill_scope_init(&knob->scope, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&knob->scope, &knob->speaker.task, speaker_poll);
    for (knob->value = 1; knob->value <= 9; knob->value++) {
        rill_watch_set(&volume, &knob->value);
        if (knob->value % 3 == 0) /* three turns at once, then a rest */
            RILL_AWAIT(rill_sleep(&knob->pause, RILL_MILLISECOND));
    }
    rill_watch_close(&volume);
    RILL_AWAIT(rill_scope_join(&knob->scope)); /* if it is cancelled, so is the speaker */
    rill_watch_finish(&volume);
    RILL_END();
}

int main(void)
{
    static struct knob knob;

    return rill_main(rill_future_init(&knob.future, knob_poll));
}
