/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/threads.h"

#include "io/blocking.h"
#include "tests/fixture.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <unistd.h>

pthread_t thread_start(void *(*body)(void *argument), void *argument)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, body, argument), 0);
    return thread;
}

void thread_join(pthread_t thread)
{
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

void gate_init(struct gate *gate)
{
    sem_init(&gate->semaphore, 0, 0);
}

void gate_open(struct gate *gate)
{
    sem_post(&gate->semaphore);
}

void gate_pass(struct gate *gate)
{
    while (sem_wait(&gate->semaphore) < 0 && errno == EINTR)
        continue;
    sem_post(&gate->semaphore);
}

/* The job of a thread that is held. */
static struct held {
    struct rill_blocking blocking;
    struct background task;
} held[RILL_WORKERS_THREADS];
static struct gate way_out;

static int64_t pass_way_out(void *argument)
{
    (void)argument;
    gate_pass(&way_out);
    return 0;
}

void workers_hold(void)
{
    gate_init(&way_out);
    for (size_t i = 0; i < RILL_WORKERS_THREADS; i++)
        background_start(&held[i].task, rill_blocking(&held[i].blocking, NULL, pass_way_out, NULL));
}

void workers_let_go(void)
{
    gate_open(&way_out);
    for (size_t i = 0; i < RILL_WORKERS_THREADS; i++)
        ck_assert_int_eq(background_end(&held[i].task), 0);
}

void until_asleep(const struct rill_remote *remote)
{
    while (!rill_remote_is_asleep(remote))
        sched_yield();
}

unsigned rings(const struct rill_remote *remote)
{
    uint64_t count = 0;

    return read(remote->bell_fd, &count, sizeof count) < 0 ? 0 : (unsigned)count;
}

unsigned threads_scaled(unsigned count)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return count / 10 + 1;
#else
    return count;
#endif
}
