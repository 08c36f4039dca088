/* SPDX-License-Identifier: Apache-2.0 */
/* priority_channel.c - a surgery: the urgent first, and nobody waits for ever. */
#include "runtime/priority_channel.h"
#include "io/program.h"
#include "runtime/task.h"

#include <stdio.h>

struct patients RILL_PRIORITY_CHANNEL(const char *, 16);

static struct patients patients;

struct surgery {
    struct rill_future future;
    struct rill_channel_op send;
    struct rill_priority_receive receive;
    const char *patient;
    int i;
};

static enum rill_poll surgery_poll(struct rill_future *self, struct rill_task *task)
{
    struct surgery *surgery = rill_container_of(self, struct surgery, future);

    RILL_BEGIN();
    rill_priority_channel_init(&patients);
    surgery->patient = "a check-up";
    RILL_AWAIT(rill_priority_channel_send(&patients, &surgery->send, RILL_PRIORITY_LOW,
                                          &surgery->patient));
    surgery->patient = "a cold";
    RILL_AWAIT(rill_priority_channel_send(&patients, &surgery->send, RILL_PRIORITY_NORMAL,
                                          &surgery->patient));
    for (surgery->i = 0; surgery->i < 10; surgery->i++) {
        surgery->patient = "an emergency";
        RILL_AWAIT(rill_priority_channel_send(&patients, &surgery->send, RILL_PRIORITY_HIGH,
                                              &surgery->patient));
    }
    rill_priority_channel_close(&patients);
    for (surgery->i = 1;; surgery->i++) {
        RILL_AWAIT(rill_priority_channel_receive(&patients, &surgery->receive, &surgery->patient));
        if (surgery->receive.result <= 0)
            break;
        printf("%2d %s\n", surgery->i, surgery->patient);
    }
    rill_priority_channel_finish(&patients);
    RILL_END();
}

int main(void)
{
    static struct surgery surgery;

    return rill_main(rill_future_init(&surgery.future, surgery_poll));
}
