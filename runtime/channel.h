/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h - a bounded queue of messages between tasks.
 *
 *     struct inbox RILL_CHANNEL(struct message, 16);       // declares struct inbox
 *
 *     rill_channel_init(&chat->inbox);
 *     ...
 *     RILL_AWAIT(rill_channel_send(&chat->inbox, &chat->send, &message));
 *     ...
 *     for (;;) {
 *         RILL_AWAIT(rill_channel_receive(&chat->inbox, &chat->receive, &chat->message));
 *         if (chat->receive.result <= 0)
 *             break;
 *         ...
 *     }
 *
 * Messages are copied in and out. Any number of tasks may send and receive; each
 * message goes to one of them. A full channel makes its senders wait, first come
 * first served; so a slow receiver slows them down and nothing grows.
 *
 * Tasks of one runtime. Between threads there is io/bridge.h. */
#ifndef RILL_RUNTIME_CHANNEL_H
#define RILL_RUNTIME_CHANNEL_H

#include "runtime/future.h"
#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Invariant: count + reserved <= capacity. If a message can be received, or a place
 * be taken, then the first in the line for it has been woken. */
struct rill_channel {
    size_t count;    /* messages in it */
    size_t reserved; /* places kept free for rill_channel_send_reserved */
    size_t capacity; /* messages that it holds at most */
    bool is_closed;

    /* private */
    size_t message_size; /* bytes */
    size_t first;        /* slot of the oldest message */
    char *slots;         /* borrowed: behind the channel as a rule */
    struct rill_line senders, receivers;
};

/* The body of a struct for a channel of up to so many messages of a type. The slots
 * are part of it: it allocates nothing. */
#define RILL_CHANNEL(type, capacity)                                                               \
    {                                                                                              \
        struct rill_channel channel;                                                               \
        type slots[capacity];                                                                      \
    }

/* A send, a receive or a reservation on its way. */
struct rill_channel_op {
    union {
        int64_t result; /* as the function that prepared it says */
        struct rill_future future;
    };

    /* private */
    struct rill_channel *channel;
    const void *sent;
    void *received;
    struct rill_place_in_line place; /* in channel.senders or channel.receivers */
};

/* Makes an empty channel over slots, which it borrows as long as it is used. */
#define rill_channel_init(pointer)                                                                 \
    rill_channel_init_(&(pointer)->channel, (pointer)->slots,                                      \
                       sizeof(pointer)->slots / sizeof *(pointer)->slots,                          \
                       sizeof *(pointer)->slots)

/* Ends it. Panics if a task still waits in it or has a place reserved. Messages that
 * are left are forgotten. */
#define rill_channel_finish(pointer) rill_channel_finish_(&(pointer)->channel)

/* Sends a copy of *message, which it borrows until it is over, as soon as there is
 * room. The result is 0; or -EPIPE if the channel is or gets closed before that; or
 * -ECANCELED. In both cases the message was not sent. */
#define rill_channel_send(pointer, op, message)                                                    \
    rill_channel_send_(&(pointer)->channel, (op), RILL_CHANNEL_TYPED_(pointer, message))

/* Receives the oldest message into *message. The result is 1; or 0 if the channel is
 * closed and empty; or -ECANCELED, and the message stays in the channel. */
#define rill_channel_receive(pointer, op, message)                                                 \
    rill_channel_receive_(&(pointer)->channel, (op), RILL_CHANNEL_TYPED_(pointer, message))

/* Waits for room and keeps it free for one message. The result is 0, -EPIPE or
 * -ECANCELED. After 0 either rill_channel_send_reserved or rill_channel_give_up
 * has to follow. */
#define rill_channel_reserve(pointer, op) rill_channel_reserve_(&(pointer)->channel, (op))

/* Sends a copy of *message into the place that was reserved. It neither waits nor
 * fails, not even if the channel was closed since. Panics if none is reserved. */
#define rill_channel_send_reserved(pointer, message)                                               \
    rill_channel_send_reserved_(&(pointer)->channel, RILL_CHANNEL_TYPED_(pointer, message))

/* Gives the place back that was reserved. */
#define rill_channel_give_up(pointer) rill_channel_give_up_(&(pointer)->channel)

/* The same without waiting. Sending returns 0, -EAGAIN if it would have to wait, or
 * -EPIPE. Receiving returns 1, -EAGAIN, or 0 if the channel is closed and empty. */
#define rill_channel_try_send(pointer, message)                                                    \
    rill_channel_try_send_(&(pointer)->channel, RILL_CHANNEL_TYPED_(pointer, message))
#define rill_channel_try_receive(pointer, message)                                                 \
    rill_channel_try_receive_(&(pointer)->channel, RILL_CHANNEL_TYPED_(pointer, message))

/* Closes the channel, which either side may do, any number of times: nothing more
 * can be sent, those that wait to send end with -EPIPE, and what is in it can still
 * be received. */
#define rill_channel_close(pointer) rill_channel_close_(&(pointer)->channel)

/* private: what the macros above call once they have checked the type. */
#define RILL_CHANNEL_TYPED_(pointer, message) (1 ? (message) : (pointer)->slots)
void rill_channel_init_(struct rill_channel *channel, void *slots, size_t capacity, size_t size);
void rill_channel_finish_(struct rill_channel *channel);
extern const struct rill_place rill_channel_send_name_, rill_channel_receive_name_,
    rill_channel_reserve_name_;
enum rill_poll rill_channel_send_poll_(struct rill_future *self, struct rill_task *task);
enum rill_poll rill_channel_receive_poll_(struct rill_future *self, struct rill_task *task);
enum rill_poll rill_channel_reserve_poll_(struct rill_future *self, struct rill_task *task);

static inline struct rill_future *rill_channel_prepare_(struct rill_channel *channel,
                                                        struct rill_channel_op *op,
                                                        rill_poll_fn *poll,
                                                        const struct rill_place *name)
{
    rill_future_init(&op->future, poll);
    op->future.place = name;
    op->channel = channel;
    op->place.link.next = NULL;
    return &op->future;
}

static inline struct rill_future *
rill_channel_send_(struct rill_channel *channel, struct rill_channel_op *op, const void *message)
{
    op->sent = message;
    return rill_channel_prepare_(channel, op, rill_channel_send_poll_, &rill_channel_send_name_);
}

static inline struct rill_future *rill_channel_receive_(struct rill_channel *channel,
                                                        struct rill_channel_op *op, void *message)
{
    op->received = message;
    return rill_channel_prepare_(channel, op, rill_channel_receive_poll_,
                                 &rill_channel_receive_name_);
}

static inline struct rill_future *rill_channel_reserve_(struct rill_channel *channel,
                                                        struct rill_channel_op *op)
{
    return rill_channel_prepare_(channel, op, rill_channel_reserve_poll_,
                                 &rill_channel_reserve_name_);
}

void rill_channel_send_reserved_(struct rill_channel *channel, const void *message);
void rill_channel_give_up_(struct rill_channel *channel);
int rill_channel_try_send_(struct rill_channel *channel, const void *message);
int rill_channel_try_receive_(struct rill_channel *channel, void *message);
void rill_channel_close_(struct rill_channel *channel);

/* private: for channels made of several. Whether nothing will ever be received; and
 * taking the oldest message, of which there has to be one. */
bool rill_channel_has_ended_(const struct rill_channel *channel);
void rill_channel_take_(struct rill_channel *channel, void *message);

#ifdef __cplusplus
}
#endif
#endif
