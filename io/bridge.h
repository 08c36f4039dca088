/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.h - a bounded queue of messages between threads, with or without a runtime.
 *
 *     RILL_BRIDGE_OF(orders, struct order);            // a type of bridge, once
 *
 *     static struct order places[100];                 // what may be on its way
 *     static struct orders orders;
 *     orders_init(&orders, places, 100);
 *
 *     RILL_AWAIT(orders_receive(&orders, &cook->receive, &cook->order));        // in a task
 *     if (cook->receive.result == 0)
 *         ...the bridge is closed and empty...
 *
 *     error = orders_send_blocking(&orders, &order, RILL_NEVER);          // in a thread
 *
 * Any number of tasks, of any runtimes, and of threads without one may send and receive.
 * Messages are copied. They leave in the order in which they came, so that what one sends
 * and one receives stays in order, and waiting is fair: first come, first served. While
 * nobody waits, sending and receiving take one short lock. */
#ifndef RILL_IO_BRIDGE_H
#define RILL_IO_BRIDGE_H

#include "io/remote.h"
#include "runtime/future.h"
#include "runtime/time.h"

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Invariant, under the lock: receivers wait only while no message is there, and senders
 * only while there is no place; neither while it is closed. */
struct rill_bridge {
    /* private */
    pthread_mutex_t lock; /* of everything below */
    char *messages;       /* borrowed: a ring of capacity messages */
    size_t message_size, capacity;
    size_t first, count;        /* the oldest message, and how many there are */
    struct rill_link senders;   /* of rill_bridge_waiter.queue, first in first out */
    struct rill_link receivers; /* of rill_bridge_waiter.queue, first in first out */
    bool is_closed;
};

/* private: one end that waits, a task or a thread. */
struct rill_bridge_waiter {
    struct rill_link queue;     /* bridge.senders or bridge.receivers, under its lock */
    void *message;              /* borrowed: to be sent, or where to put what is received */
    int result;                 /* set under the lock by who takes it off its list */
    struct rill_remote *remote; /* of the task's runtime, held; NULL: a thread */
    struct rill_post woken;     /* to the task */
    pthread_cond_t *wake;       /* of the thread */
};

/* A message on its way into or out of a bridge. */
struct rill_bridge_op {
    union {
        int64_t result; /* as the function that prepared it says */
        struct rill_future future;
    };

    /* private */
    struct rill_bridge *bridge;
    struct rill_bridge_waiter waiter;
    struct rill_task *task;
    bool is_send, is_woken;
};

/* Makes a bridge for up to capacity (> 0) messages of message_size bytes on their way, in
 * memory for as many, which it borrows until it is finished. */
void rill_bridge_init(struct rill_bridge *bridge, void *messages, size_t capacity,
                      size_t message_size);

/* Ends it: nobody may use it or wait any more. Messages that are still in it are given up:
 * receive them first if they own something. */
void rill_bridge_finish(struct rill_bridge *bridge);

/* Lets nothing more in. Sends end with -EPIPE, those that wait too; what is in it can
 * still be received, and then receives end with 0. Either side may close it, and twice
 * does nothing. Any thread. */
void rill_bridge_close(struct rill_bridge *bridge);

/* Sends the message, which is borrowed, once there is a place. The result is 0: it was taken
 * over; or else it was not: -EPIPE: the bridge is closed; -ECANCELED; or it would have
 * had to wait and could not: -ENOMEM, -EMFILE, -ENFILE, -ESHUTDOWN (after
 * rill_runtime_shutdown). */
struct rill_future *rill_bridge_send(struct rill_bridge *bridge, struct rill_bridge_op *send,
                                     const void *message);

/* Receives the oldest message into the memory of message, which is borrowed, once there is
 * one. The result is 1: a message was received; 0: the bridge is closed and empty; or, no
 * message having left the bridge, -errno as above. */
struct rill_future *rill_bridge_receive(struct rill_bridge *bridge, struct rill_bridge_op *receive,
                                        void *message);

/* The same for threads, which wait here for up to timeout_ns (RILL_NO_WAIT: only try;
 * RILL_NEVER: without a limit) and then get -ETIMEDOUT. They panic if they would have to
 * wait within a task, which would keep all others of its runtime waiting. pthread_cancel(3) has
 * no effect while they wait. */
int rill_bridge_send_blocking(struct rill_bridge *bridge, const void *message, int64_t timeout_ns);
int rill_bridge_receive_blocking(struct rill_bridge *bridge, void *message, int64_t timeout_ns);

/* Defines struct name, a bridge for messages of one type, and the functions above for it:
 * name_init, name_finish, name_close, name_send, name_receive, name_send_blocking and
 * name_receive_blocking. */
#define RILL_BRIDGE_OF(name, type)                                                                 \
    struct name {                                                                                  \
        struct rill_bridge bridge;                                                                 \
    };                                                                                             \
    RILL_BRIDGE_INLINE_ void name##_init(struct name *self_, type *messages_, size_t capacity_)    \
    {                                                                                              \
        rill_bridge_init(&self_->bridge, messages_, capacity_, sizeof *messages_);                 \
    }                                                                                              \
    RILL_BRIDGE_INLINE_ void name##_finish(struct name *self_)                                     \
    {                                                                                              \
        rill_bridge_finish(&self_->bridge);                                                        \
    }                                                                                              \
    RILL_BRIDGE_INLINE_ void name##_close(struct name *self_)                                      \
    {                                                                                              \
        rill_bridge_close(&self_->bridge);                                                         \
    }                                                                                              \
    RILL_BRIDGE_INLINE_ struct rill_future *name##_send(                                           \
        struct name *self_, struct rill_bridge_op *op_, const type *message_)                      \
    {                                                                                              \
        return rill_bridge_send(&self_->bridge, op_, message_);                                    \
    }                                                                                              \
    RILL_BRIDGE_INLINE_ struct rill_future *name##_receive(                                        \
        struct name *self_, struct rill_bridge_op *op_, type *message_)                            \
    {                                                                                              \
        return rill_bridge_receive(&self_->bridge, op_, message_);                                 \
    }                                                                                              \
    RILL_BRIDGE_INLINE_ int name##_send_blocking(struct name *self_, const type *message_,         \
                                                 int64_t timeout_ns_)                              \
    {                                                                                              \
        return rill_bridge_send_blocking(&self_->bridge, message_, timeout_ns_);                   \
    }                                                                                              \
    RILL_BRIDGE_INLINE_ int name##_receive_blocking(struct name *self_, type *message_,            \
                                                    int64_t timeout_ns_)                           \
    {                                                                                              \
        return rill_bridge_receive_blocking(&self_->bridge, message_, timeout_ns_);                \
    }                                                                                              \
    struct name

/* Not all of a type's functions need be used. */
#define RILL_BRIDGE_INLINE_ __attribute__((unused)) static inline

#ifdef __cplusplus
}
#endif
#endif
