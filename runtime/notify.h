/* SPDX-License-Identifier: Apache-2.0 */
/* notify.h - a queue of waiting futures: "look again, something has changed".
 *
 * It carries no value and remembers nothing: a notification that finds nobody
 * waiting is over. So look at the condition first, then wait, then look again: on one
 * thread nothing can come between the first two, and nothing needs to be remembered.
 * A notification that is to wait for somebody is a permit of a semaphore. */
#ifndef RILL_RUNTIME_NOTIFY_H
#define RILL_RUNTIME_NOTIFY_H

#include "runtime/future.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_notify {
    /* private */
    struct rill_link waiters; /* of rill_wait.queue, first in first out */
};

struct rill_wait {
    union {
        int64_t result; /* 0 when notified, or -ECANCELED */
        struct rill_future future;
    };

    /* private */
    struct rill_notify *notify; /* NULL once it was notified together with all others */
    struct rill_link queue;     /* rill_notify.waiters */
    struct rill_task *task;
};

/* Makes an empty queue. It owns nothing; nobody may wait on it when it goes. */
static inline void rill_notify_init(struct rill_notify *notify)
{
    rill_list_init(&notify->waiters);
}

/* Waits for the next notification, borrowing notify and wait. One that is cancelled
 * before it runs ends with -ECANCELED though it was notified, and a notification for
 * one then goes to the next that waits: so the loser of a select swallows none. */
struct rill_future *rill_notify_wait(struct rill_notify *notify, struct rill_wait *wait);

/* Wakes the one that waits longest. Returns whether there was one. */
bool rill_notify_one(struct rill_notify *notify);

/* Wakes all that wait at this moment. */
void rill_notify_all(struct rill_notify *notify);

#ifdef __cplusplus
}
#endif
#endif
