/* SPDX-License-Identifier: Apache-2.0 */
/* broadcast.h - every message to every subscriber, who may be slow.
 *
 *     struct news RILL_BROADCAST(struct headline, 64);     // declares struct news
 *
 *     rill_broadcast_init(&paper->news);
 *     rill_broadcast_send(&paper->news, &headline);
 *     ...
 *     rill_broadcast_subscribe(&paper->news, &reader->subscription);
 *     for (;;) {
 *         RILL_AWAIT(rill_broadcast_receive(&paper->news, &reader->subscription, &reader->line));
 *         if (reader->subscription.result <= 0)
 *             break;
 *         if (reader->subscription.missed > 0)
 *             ...
 *     }
 *
 * The last messages are kept in a ring. Sending never waits: it overwrites the
 * oldest, and a subscriber who had not received that one is told how many it missed.
 * A subscription is a position in the ring and nothing else; there is no end of it
 * to be made. */
#ifndef RILL_RUNTIME_BROADCAST_H
#define RILL_RUNTIME_BROADCAST_H

#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The messages kept are those with the numbers sent - capacity to sent - 1. */
struct rill_broadcast {
    uint64_t sent;   /* messages so far */
    size_t capacity; /* messages that are kept */
    bool is_closed;

    /* private */
    size_t message_size;
    char *slots; /* borrowed: behind the broadcast as a rule */
    struct rill_line receivers;
};

/* The body of a struct for a broadcast that keeps so many messages of a type. */
#define RILL_BROADCAST(type, capacity)                                                             \
    {                                                                                              \
        struct rill_broadcast broadcast;                                                           \
        type slots[capacity];                                                                      \
    }

struct rill_subscription {
    union {
        int64_t result; /* 1, 0 or -ECANCELED */
        struct rill_future future;
    };
    uint64_t next;   /* the number of the message that it receives next */
    uint64_t missed; /* messages overwritten before the one received last */

    /* private */
    struct rill_broadcast *broadcast;
    void *message;
    struct rill_place_in_line place; /* in broadcast.receivers */
};

/* Makes an empty broadcast over slots, which it borrows as long as it is used. */
#define rill_broadcast_init(pointer)                                                               \
    rill_broadcast_init_(&(pointer)->broadcast, (pointer)->slots,                                  \
                         sizeof(pointer)->slots / sizeof *(pointer)->slots,                        \
                         sizeof *(pointer)->slots)

/* Ends it. Panics if a task still waits for a message. */
#define rill_broadcast_finish(pointer) rill_broadcast_finish_(&(pointer)->broadcast)

/* Sends a copy of *message to all. Returns 0, or -EPIPE if the broadcast is closed. */
#define rill_broadcast_send(pointer, message)                                                      \
    rill_broadcast_send_(&(pointer)->broadcast, 1 ? (message) : (pointer)->slots)

/* Closes it: nothing more can be sent; what is kept can still be received. */
#define rill_broadcast_close(pointer) rill_broadcast_close_(&(pointer)->broadcast)

/* Begins with the next message that will be sent. To begin with those that are kept,
 * set next to 0 afterwards: what is gone counts as missed. */
#define rill_broadcast_subscribe(pointer, subscription)                                            \
    rill_broadcast_subscribe_(&(pointer)->broadcast, (subscription))

/* Receives the subscription's next message into *message. The result is 1, with
 * subscription->missed set; or 0 if the broadcast is closed and all was received; or
 * -ECANCELED, and the message is still to be received. */
#define rill_broadcast_receive(pointer, subscription, message)                                     \
    rill_broadcast_receive_(&(pointer)->broadcast, (subscription), 1 ? (message) : (pointer)->slots)

/* private: what the macros above call once they have checked the type. */
void rill_broadcast_init_(struct rill_broadcast *broadcast, void *slots, size_t capacity,
                          size_t size);
void rill_broadcast_finish_(struct rill_broadcast *broadcast);
int rill_broadcast_send_(struct rill_broadcast *broadcast, const void *message);
void rill_broadcast_close_(struct rill_broadcast *broadcast);
void rill_broadcast_subscribe_(struct rill_broadcast *broadcast,
                               struct rill_subscription *subscription);
struct rill_future *rill_broadcast_receive_(struct rill_broadcast *broadcast,
                                            struct rill_subscription *subscription, void *message);

#ifdef __cplusplus
}
#endif
#endif
