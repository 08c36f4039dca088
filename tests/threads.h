/* SPDX-License-Identifier: Apache-2.0 */
/* threads.h - threads of a test, and the moments that they wait for without sleeping. */
#ifndef RILL_TESTS_THREADS_H
#define RILL_TESTS_THREADS_H

#include "io/remote.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

/* Starts a thread, which has to work, and waits for its end. */
pthread_t thread_start(void *(*body)(void *argument), void *argument);
void thread_join(pthread_t thread);

/* A door that stays open once it is opened, between any two threads. */
struct gate {
    sem_t semaphore;
};

void gate_init(struct gate *gate);
void gate_open(struct gate *gate);
void gate_pass(struct gate *gate);

/* Gives each thread of the usual pool something that lasts until they are let go. */
void workers_hold(void);
void workers_let_go(void);

/* Returns when the runtime has nothing to do and sleeps, or is just about to: from then
 * on a post has to ring its bell. Called by another thread than the runtime's. */
void until_asleep(const struct rill_remote *remote);

/* How often the bell was rung since the last call. Takes the rings away from the poll
 * that hears them, which does it no harm. */
unsigned rings(const struct rill_remote *remote);

/* Returns count, or less of it where each step is slow: under a sanitizer. */
unsigned threads_scaled(unsigned count);

#endif
