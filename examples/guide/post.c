/* SPDX-License-Identifier: Apache-2.0 */
/* post.c - a thread of another library reports to a task. */
#include "io/program.h"
#include "io/remote.h"
#include "io/waker.h"

#include <pthread.h>
#include <stdio.h>

enum { READINGS = 3 };

struct reading {
    struct rill_post post;
    struct thermometer *thermometer;
    int degrees;
};

struct thermometer {
    struct rill_future future;
    pthread_t thread;
    struct rill_remote *remote;
    struct rill_waker done;
    struct reading readings[READINGS];
    int error;
};

/* On the thread: it knows nothing of tasks, and never waits for them. */
static void *measure(void *argument)
{
    struct thermometer *thermometer = argument;

    for (int i = 0; i < READINGS; i++) {
        thermometer->readings[i].degrees = 20 + i;
        rill_post(thermometer->remote, &thermometer->readings[i].post);
    }
    rill_waker_wake(&thermometer->done);
    return NULL;
}

/* On the runtime's thread, once for each reading, in their order. */
static void show(struct rill_post *post)
{
    struct reading *reading = rill_container_of(post, struct reading, post);

    printf("%d degrees\n", reading->degrees);
}

static int thermometer_open(struct thermometer *thermometer)
{
    int error = rill_remote_open(&thermometer->remote);

    for (int i = 0; i < READINGS; i++)
        rill_post_init(&thermometer->readings[i].post, show);
    if (!error)
        error = rill_waker_open(&thermometer->done);
    if (!error)
        error = -pthread_create(&thermometer->thread, NULL, measure, thermometer);
    return error;
}

static enum rill_poll thermometer_poll(struct rill_future *self, struct rill_task *task)
{
    struct thermometer *thermometer = rill_container_of(self, struct thermometer, future);

    RILL_BEGIN();
    thermometer->error = thermometer_open(thermometer);
    if (thermometer->error)
        goto close;
    RILL_AWAIT(rill_waker_wait(&thermometer->done));
    pthread_join(thermometer->thread, NULL);
    printf("the thread is done\n");
close:
    rill_waker_close(&thermometer->done);
    rill_remote_release(thermometer->remote);
    RILL_RETURN(thermometer->error);
    RILL_END();
}

int main(void)
{
    static struct thermometer thermometer;

    return rill_main(rill_future_init(&thermometer.future, thermometer_poll));
}
