/* SPDX-License-Identifier: Apache-2.0 */
/* oneshot.h - one message, from one task to another, once: the answer to a request.
 *
 *     struct answer RILL_ONESHOT(int64_t);                 // declares struct answer
 *
 *     rill_oneshot_init(&question->answer);
 *     ... hand it to a task that will call rill_oneshot_send(&question->answer, &value) ...
 *     RILL_AWAIT(rill_oneshot_receive(&question->answer, &question->receive));
 *     if (question->receive.result == 1)
 *         use(question->answer.value);
 *
 * The message is copied into the oneshot itself and stays there. */
#ifndef RILL_RUNTIME_ONESHOT_H
#define RILL_RUNTIME_ONESHOT_H

#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>

#ifdef __cplusplus
extern "C" {
#endif

enum rill_oneshot_state {
    RILL_ONESHOT_EMPTY,    /* may be sent into. Becomes SENT or CLOSED. */
    RILL_ONESHOT_SENT,     /* value is there. Becomes RECEIVED. */
    RILL_ONESHOT_RECEIVED, /* value was given out */
    RILL_ONESHOT_CLOSED,   /* by either side, before anything was sent */
};

struct rill_oneshot {
    enum rill_oneshot_state state;

    /* private */
    struct rill_task *receiver; /* which waits, or NULL */
};

/* The body of a struct for a oneshot of a type; its value is the message. */
#define RILL_ONESHOT(type)                                                                         \
    {                                                                                              \
        struct rill_oneshot oneshot;                                                               \
        type value;                                                                                \
    }

struct rill_oneshot_receive {
    union {
        int64_t result; /* 1, 0 or -ECANCELED */
        struct rill_future future;
    };

    /* private */
    struct rill_oneshot *oneshot;
};

/* Makes it empty. A zeroed one is empty too. */
#define rill_oneshot_init(pointer) rill_oneshot_init_(&(pointer)->oneshot)

/* Copies *message into the oneshot and wakes the receiver. It does not wait. Returns
 * 0, or -EPIPE if the receiver has closed it: the message is still the sender's.
 * Panics if something was sent before. */
#define rill_oneshot_send(pointer, message)                                                        \
    (rill_oneshot_may_send_(&(pointer)->oneshot)                                                   \
         ? ((pointer)->value = *(message), rill_oneshot_sent_(&(pointer)->oneshot))                \
         : -EPIPE)

/* Waits until the message is in pointer->value. The result is 1; or 0 if the sender
 * has closed it without sending; or -ECANCELED, and the message, if it comes, can
 * still be received later. Borrows the oneshot. One receiver. Panics if the message
 * was received before. */
#define rill_oneshot_receive(pointer, op) rill_oneshot_receive_(&(pointer)->oneshot, (op))

/* Says that there will be no message (the sender), or that it is not wanted any more
 * (the receiver). Does nothing once it was sent. Any number of times. */
#define rill_oneshot_close(pointer) rill_oneshot_close_(&(pointer)->oneshot)

/* private: what the macros above call. */
static inline void rill_oneshot_init_(struct rill_oneshot *oneshot)
{
    oneshot->state = RILL_ONESHOT_EMPTY;
    oneshot->receiver = NULL;
}

/* Returns whether it is open. */
static inline bool rill_oneshot_may_send_(const struct rill_oneshot *oneshot)
{
    rill_check(oneshot->state == RILL_ONESHOT_EMPTY || oneshot->state == RILL_ONESHOT_CLOSED,
               "a second message was sent into a oneshot");
    return oneshot->state == RILL_ONESHOT_EMPTY;
}

static inline int rill_oneshot_sent_(struct rill_oneshot *oneshot)
{
    oneshot->state = RILL_ONESHOT_SENT;
    if (oneshot->receiver)
        rill_task_wake(oneshot->receiver);
    return 0;
}

struct rill_future *rill_oneshot_receive_(struct rill_oneshot *oneshot,
                                          struct rill_oneshot_receive *op);
void rill_oneshot_close_(struct rill_oneshot *oneshot);

#ifdef __cplusplus
}
#endif
#endif
