/* SPDX-License-Identifier: Apache-2.0 */
/* remote_call.c - two threads with a runtime each draw tickets, which the main thread's keeps. */
#include "io/remote_call.h"
#include "io/program.h"
#include "io/waker.h"
#include "runtime/shield.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { SHARDS = 2, TICKETS = 5 };

struct office {
    struct rill_future future;
    struct rill_remote *remote;
    struct rill_waker waker;
    struct rill_shield shield;
    int next_ticket; /* the main thread's alone: no lock */
    int started;
    int ended; /* atomic */
    int error;
    struct shard {
        struct rill_future future;
        struct office *office;
        pthread_t thread;
        struct rill_remote_call call;
        int drawn;
        int64_t last;
    } shards[SHARDS];
};

/* On the thread of the office. */
static int64_t draw_ticket(void *argument)
{
    struct shard *shard = argument;

    return ++shard->office->next_ticket;
}

static enum rill_poll shard_poll(struct rill_future *self, struct rill_task *task)
{
    struct shard *shard = rill_container_of(self, struct shard, future);

    RILL_BEGIN();
    while (shard->drawn < TICKETS) {
        RILL_AWAIT(rill_remote_call(&shard->call, shard->office->remote, draw_ticket, shard));
        if (shard->call.result < 0)
            RILL_RETURN(shard->call.result);
        if (shard->call.result > shard->last) /* each is greater than those before */
            shard->drawn++;
        shard->last = shard->call.result;
    }
    RILL_END();
}

static void *shard_main(void *argument)
{
    struct shard *shard = argument;
    struct rill_runtime *runtime;
    int64_t result = rill_runtime_create(&runtime, NULL);

    if (result == 0) {
        result = rill_block_on(runtime, rill_future_init(&shard->future, shard_poll));
        rill_runtime_destroy(runtime);
    }
    if (result < 0)
        fprintf(stderr, "shard: %s\n", strerror((int)-result));
    __atomic_add_fetch(&shard->office->ended, 1, __ATOMIC_RELEASE);
    rill_waker_wake(&shard->office->waker);
    return NULL;
}

static int open_office(struct office *office)
{
    int error = rill_remote_open(&office->remote);

    if (!error)
        error = rill_waker_open(&office->waker);
    while (!error && office->started < SHARDS) {
        struct shard *shard = &office->shards[office->started];

        shard->office = office;
        error = -pthread_create(&shard->thread, NULL, shard_main, shard);
        office->started += !error;
    }
    return error;
}

/* The office has to be there until all have drawn, also where it is asked to end. */
static enum rill_poll office_poll(struct rill_future *self, struct rill_task *task)
{
    struct office *office = rill_container_of(self, struct office, future);

    RILL_BEGIN();
    office->error = open_office(office);
    while (__atomic_load_n(&office->ended, __ATOMIC_ACQUIRE) < office->started)
        RILL_AWAIT(rill_shield(&office->shield, rill_waker_wait(&office->waker)));
    for (int i = 0; i < office->started; i++) {
        pthread_join(office->shards[i].thread, NULL);
        printf("shard %d has drawn %d tickets\n", i, office->shards[i].drawn);
    }
    printf("%d tickets in all\n", office->next_ticket);
    rill_waker_close(&office->waker);
    rill_remote_release(office->remote);
    RILL_RETURN(office->error);
    RILL_END();
}

int main(void)
{
    static struct office office;

    return rill_main(rill_future_init(&office.future, office_poll));
}
