/* SPDX-License-Identifier: Apache-2.0 */
/* priority_channel.h - a channel whose urgent messages overtake the others.
 *
 *     struct orders RILL_PRIORITY_CHANNEL(struct order, 16);
 *
 *     rill_priority_channel_init(&shop->orders);
 *     RILL_AWAIT(rill_priority_channel_send(&shop->orders, &customer->send, RILL_PRIORITY_HIGH,
 *                                           &customer->order));
 *     ...
 *     RILL_AWAIT(rill_priority_channel_receive(&shop->orders, &clerk->receive, &clerk->order));
 *
 * Each priority has a channel of its own, with its own capacity and its own line of
 * senders, so that a flood of one kind keeps no place from another. The oldest
 * message of each priority is overtaken by at most RILL_PRIORITY_OVERTAKEN_MAX of a higher
 * one; then it is its turn. */
#ifndef RILL_RUNTIME_PRIORITY_CHANNEL_H
#define RILL_RUNTIME_PRIORITY_CHANNEL_H

#include "runtime/channel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum rill_priority {
    RILL_PRIORITY_HIGH,
    RILL_PRIORITY_NORMAL,
    RILL_PRIORITY_LOW,
    RILL_PRIORITIES,
};

enum {
    /* Messages received from a higher priority while one of a lower waits. */
    RILL_PRIORITY_OVERTAKEN_MAX = 8,
};

struct rill_priority_channel {
    struct rill_channel levels[RILL_PRIORITIES];

    /* private */
    unsigned overtaken[RILL_PRIORITIES]; /* how often the first message of each was */
};

/* The body of a struct for one of up to so many messages of each priority. */
#define RILL_PRIORITY_CHANNEL(type, capacity)                                                      \
    {                                                                                              \
        struct rill_priority_channel priority;                                                     \
        type slots[RILL_PRIORITIES][capacity];                                                     \
    }

struct rill_priority_receive {
    union {
        int64_t result; /* 1, 0 or -ECANCELED */
        struct rill_future future;
    };
    enum rill_priority priority; /* of the message, where the result is 1 */

    /* private */
    struct rill_priority_channel *channel;
    void *received;
    struct rill_place_in_line places[RILL_PRIORITIES]; /* in the receivers of each level */
};

/* Makes an empty channel over slots, which it borrows as long as it is used. */
#define rill_priority_channel_init(pointer)                                                        \
    rill_priority_channel_init_(&(pointer)->priority, (pointer)->slots,                            \
                                sizeof(pointer)->slots[0] / sizeof(pointer)->slots[0][0],          \
                                sizeof(pointer)->slots[0][0])

/* Ends it. Panics if a task still waits in it. */
#define rill_priority_channel_finish(pointer) rill_priority_channel_finish_(&(pointer)->priority)

/* Sends as rill_channel_send does, with a struct rill_channel_op, into the channel of
 * that priority. Panics if there is no such priority. */
#define rill_priority_channel_send(pointer, op, level, message)                                    \
    rill_channel_send_(rill_priority_channel_level_(&(pointer)->priority, (level)), (op),          \
                       1 ? (message) : (pointer)->slots[0])

/* Receives the next message into *message: the oldest of the highest priority, unless
 * a lower one was overtaken too often. The result is 1; or 0 if the channel is closed
 * and empty; or -ECANCELED, and all messages stay in it. */
#define rill_priority_channel_receive(pointer, op, message)                                        \
    rill_priority_channel_receive_(&(pointer)->priority, (op), 1 ? (message) : (pointer)->slots[0])

/* Closes it as rill_channel_close does, for all priorities. */
#define rill_priority_channel_close(pointer) rill_priority_channel_close_(&(pointer)->priority)

/* private: what the macros above call once they have checked the type. */
void rill_priority_channel_init_(struct rill_priority_channel *channel, void *slots,
                                 size_t capacity, size_t size);
void rill_priority_channel_finish_(struct rill_priority_channel *channel);
struct rill_channel *rill_priority_channel_level_(struct rill_priority_channel *channel,
                                                  enum rill_priority level);
struct rill_future *rill_priority_channel_receive_(struct rill_priority_channel *channel,
                                                   struct rill_priority_receive *op, void *message);
void rill_priority_channel_close_(struct rill_priority_channel *channel);

#ifdef __cplusplus
}
#endif
#endif
