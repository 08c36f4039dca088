/* SPDX-License-Identifier: Apache-2.0 */
/* bridge.c - whoever finds another end waiting serves it, under the lock.
 *
 * A sender that finds a receiver waiting copies its message to it, and a receiver that makes
 * a place fills it with the message of the sender that waits longest. So a waiter that is
 * taken off its list has what it waited for, and cannot be overtaken by those who come
 * later. A waiter that is cancelled, or whose time is over, looks under the lock whether
 * it is still on its list: either it takes itself off, and no message has moved, or it has
 * its result and gives that. */
#include "io/bridge.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>
#include <time.h>

/* To be tried again when there is a message, or a place. */
enum { MUST_WAIT = -EAGAIN };

void rill_bridge_init(struct rill_bridge *bridge, void *messages, size_t capacity,
                      size_t message_size)
{
    rill_check(capacity > 0, "a bridge without a place for a message");
    *bridge = (struct rill_bridge){
        .messages = messages,
        .message_size = message_size,
        .capacity = capacity,
    };
    pthread_mutex_init(&bridge->lock, NULL);
    rill_list_init(&bridge->senders);
    rill_list_init(&bridge->receivers);
}

void rill_bridge_finish(struct rill_bridge *bridge)
{
    if (bridge->capacity == 0) /* it was only zeroed */
        return;
    rill_check(rill_list_is_empty(&bridge->senders) && rill_list_is_empty(&bridge->receivers),
               "a bridge was finished while somebody waits at it");
    pthread_mutex_destroy(&bridge->lock);
}

/* What was only zeroed has no lines to wait in. */
static void check_begun(const struct rill_bridge *bridge)
{
    rill_check(bridge->capacity > 0, "a bridge is used without its ..._init");
}

/* ---- the queue, under the lock ---- */

static void *place(struct rill_bridge *bridge, size_t at)
{
    size_t index = bridge->first + at;

    if (index >= bridge->capacity)
        index -= bridge->capacity;
    return bridge->messages + index * bridge->message_size;
}

static void push(struct rill_bridge *bridge, const void *message)
{
    memcpy(place(bridge, bridge->count), message, bridge->message_size);
    bridge->count++;
}

static void pop(struct rill_bridge *bridge, void *message)
{
    memcpy(message, place(bridge, 0), bridge->message_size);
    bridge->first = bridge->first + 1 == bridge->capacity ? 0 : bridge->first + 1;
    bridge->count--;
}

/* Takes the first waiter off a list, or returns NULL. */
static struct rill_bridge_waiter *take_waiter(struct rill_link *list)
{
    if (rill_list_is_empty(list))
        return NULL;
    return rill_container_of(rill_list_pop(list), struct rill_bridge_waiter, queue);
}

/* Tells a waiter, which is off its list, how it ended. A thread's may be gone once the
 * lock is given up, so it is told under it; a task's stays until its post was run. Returns
 * the post to be posted behind the lock, with *remote held. */
static struct rill_post *serve(struct rill_bridge_waiter *waiter, int result,
                               struct rill_remote **remote)
{
    waiter->result = result;
    if (!waiter->remote) {
        pthread_cond_signal(waiter->wake);
        return NULL;
    }
    *remote = waiter->remote;
    rill_remote_hold(*remote);
    return &waiter->woken;
}

/* What is still to be done when the lock was given up: it may be a system call. */
static void wake(struct rill_post *post, struct rill_remote *remote)
{
    if (!post)
        return;

    int error = rill_post(remote, post);

    rill_check(!error, "a runtime was ended while a task of its own waits at a bridge");
    rill_remote_release(remote);
}

/* Returns 0, -EPIPE or MUST_WAIT. */
static int try_send(struct rill_bridge *bridge, const void *message, struct rill_post **post,
                    struct rill_remote **remote)
{
    struct rill_bridge_waiter *receiver;

    if (bridge->is_closed)
        return -EPIPE;
    receiver = take_waiter(&bridge->receivers);
    if (receiver) {
        memcpy(receiver->message, message, bridge->message_size);
        *post = serve(receiver, 1, remote);
        return 0;
    }
    if (bridge->count == bridge->capacity)
        return MUST_WAIT;
    push(bridge, message);
    return 0;
}

/* Returns 1, 0 or MUST_WAIT. */
static int try_receive(struct rill_bridge *bridge, void *message, struct rill_post **post,
                       struct rill_remote **remote)
{
    struct rill_bridge_waiter *sender;

    if (bridge->count == 0)
        return bridge->is_closed ? 0 : MUST_WAIT;
    pop(bridge, message);
    sender = take_waiter(&bridge->senders);
    if (sender) {
        push(bridge, sender->message);
        *post = serve(sender, 0, remote);
    }
    return 1;
}

/* Sends or receives; puts waiter in line if it has to wait, and one is given. */
static int try_or_wait(struct rill_bridge *bridge, bool is_send, void *message,
                       struct rill_bridge_waiter *waiter)
{
    struct rill_post *post = NULL;
    struct rill_remote *remote = NULL;
    int result;

    check_begun(bridge);
    pthread_mutex_lock(&bridge->lock);
    result = is_send ? try_send(bridge, message, &post, &remote)
                     : try_receive(bridge, message, &post, &remote);
    if (result == MUST_WAIT && waiter) {
        struct rill_link *line = is_send ? &bridge->senders : &bridge->receivers;

        rill_check(line->prev != &waiter->queue,
                   "two that wait at a bridge use the same struct: each needs one of its own");
        rill_list_append(line, &waiter->queue);
    }
    pthread_mutex_unlock(&bridge->lock);
    wake(post, remote);
    return result;
}

void rill_bridge_close(struct rill_bridge *bridge)
{
    bool is_more;

    check_begun(bridge);
    do { /* who is told last may be the one that frees the bridge: it is not touched again */
        struct rill_post *post = NULL;
        struct rill_remote *remote = NULL;
        struct rill_bridge_waiter *waiter;

        pthread_mutex_lock(&bridge->lock);
        bridge->is_closed = true;
        waiter = take_waiter(&bridge->senders);
        if (waiter)
            post = serve(waiter, -EPIPE, &remote);
        else if ((waiter = take_waiter(&bridge->receivers)) != NULL)
            post = serve(waiter, 0, &remote);
        is_more = !rill_list_is_empty(&bridge->senders) || !rill_list_is_empty(&bridge->receivers);
        pthread_mutex_unlock(&bridge->lock);
        wake(post, remote);
    } while (is_more);
}

/* ---- tasks ---- */

static void woken(struct rill_post *post)
{
    struct rill_bridge_op *op = rill_container_of(post, struct rill_bridge_op, waiter.woken);

    op->is_woken = true;
    rill_task_wake(op->task);
}

/* Ends an op that was in line. */
static enum rill_poll leave(struct rill_bridge_op *op, int result)
{
    op->task->ops--;
    rill_remote_release(op->waiter.remote);
    return rill_future_end(&op->future, result);
}

static bool withdraw(struct rill_bridge_op *op)
{
    bool was_waiting;

    pthread_mutex_lock(&op->bridge->lock);
    was_waiting = rill_link_is_linked(&op->waiter.queue);
    if (was_waiting)
        rill_link_remove(&op->waiter.queue);
    pthread_mutex_unlock(&op->bridge->lock);
    return was_waiting;
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_bridge_op *op = rill_container_of(self, struct rill_bridge_op, future);

    if (op->is_woken)
        return leave(op, op->waiter.result);
    /* One that was served already has a post on its way, and waits for that. */
    if (rill_task_is_cancelled(task) && withdraw(op))
        return leave(op, -ECANCELED);
    if (op->task != task) { /* it was handed from one task to another */
        op->task->ops--;
        task->ops++;
        op->task = task;
    }
    return RILL_PENDING;
}

/* Gets in line, unless it is served meanwhile. */
static int start_waiting(struct rill_bridge_op *op, struct rill_task *task)
{
    int result = rill_remote_open(&op->waiter.remote);

    if (result < 0)
        return result;
    op->task = task;
    op->is_woken = false;
    op->waiter.queue = (struct rill_link){NULL, NULL};
    rill_post_init(&op->waiter.woken, woken);
    result = try_or_wait(op->bridge, op->is_send, op->waiter.message, &op->waiter);
    if (result != MUST_WAIT)
        rill_remote_release(op->waiter.remote);
    return result;
}

static enum rill_poll start_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_bridge_op *op = rill_container_of(self, struct rill_bridge_op, future);
    int result = -ECANCELED;

    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (!rill_task_is_cancelled(task)) {
        result = try_or_wait(op->bridge, op->is_send, op->waiter.message, NULL);
        if (result == MUST_WAIT)
            result = start_waiting(op, task);
    }
    if (result == MUST_WAIT) {
        task->ops++;
        self->poll = wait_poll;
        return RILL_PENDING;
    }
    return rill_future_end(self, result);
}

static struct rill_future *prepare(struct rill_bridge *bridge, struct rill_bridge_op *op,
                                   void *message, bool is_send)
{
    static const struct rill_place name_send = {"send over a bridge", NULL, 0};
    static const struct rill_place name_receive = {"receive from a bridge", NULL, 0};

    rill_future_init(&op->future, start_poll);
    op->future.place = is_send ? &name_send : &name_receive;
    op->bridge = bridge;
    op->waiter.message = message;
    op->is_send = is_send;
    return &op->future;
}

struct rill_future *rill_bridge_send(struct rill_bridge *bridge, struct rill_bridge_op *send,
                                     const void *message)
{
    union {
        const void *borrowed;
        void *message; /* which a send only reads */
    } to = {.borrowed = message};

    return prepare(bridge, send, to.message, true);
}

struct rill_future *rill_bridge_receive(struct rill_bridge *bridge, struct rill_bridge_op *receive,
                                        void *message)
{
    return prepare(bridge, receive, message, false);
}

/* ---- threads ---- */

/* Waits until the waiter was served, or until that moment. */
static void wait_here(struct rill_bridge *bridge, struct rill_bridge_waiter *waiter,
                      int64_t until_ns)
{
    const struct timespec until = {.tv_sec = until_ns / RILL_SECOND,
                                   .tv_nsec = until_ns % RILL_SECOND};
    int error = 0;

    while (rill_link_is_linked(&waiter->queue) && error != ETIMEDOUT) {
        if (until_ns == RILL_NEVER)
            pthread_cond_wait(waiter->wake, &bridge->lock);
        else
            error = pthread_cond_clockwait(waiter->wake, &bridge->lock, CLOCK_MONOTONIC, &until);
    }
}

static int64_t deadline(int64_t timeout_ns)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return rill_time_after((int64_t)now.tv_sec * RILL_SECOND + now.tv_nsec, timeout_ns);
}

static int block(struct rill_bridge *bridge, void *message, bool is_send, int64_t timeout_ns)
{
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    struct rill_bridge_waiter waiter = {.message = message, .wake = &cond, .result = -ETIMEDOUT};
    int64_t until_ns;
    int cancels, result = try_or_wait(bridge, is_send, message, NULL);

    if (result != MUST_WAIT)
        return result;
    if (timeout_ns <= 0)
        return -ETIMEDOUT;
    rill_check(!rill_executor_of_thread || !rill_executor_of_thread->running,
               "a task blocks its own thread at a bridge: await instead");
    until_ns = timeout_ns == RILL_NEVER ? RILL_NEVER : deadline(timeout_ns);

    /* A thread that pthread_cancel(3) ends in here would leave itself in line, and the lock. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancels);
    result = try_or_wait(bridge, is_send, message, &waiter);
    if (result == MUST_WAIT) {
        pthread_mutex_lock(&bridge->lock);
        wait_here(bridge, &waiter, until_ns);
        if (rill_link_is_linked(&waiter.queue))
            rill_link_remove(&waiter.queue);
        result = waiter.result;
        pthread_mutex_unlock(&bridge->lock);
    }
    pthread_setcancelstate(cancels, NULL);
    pthread_cond_destroy(&cond);
    return result;
}

int rill_bridge_send_blocking(struct rill_bridge *bridge, const void *message, int64_t timeout_ns)
{
    union {
        const void *borrowed;
        void *message; /* which a send only reads */
    } to = {.borrowed = message};

    return block(bridge, to.message, true, timeout_ns);
}

int rill_bridge_receive_blocking(struct rill_bridge *bridge, void *message, int64_t timeout_ns)
{
    return block(bridge, message, false, timeout_ns);
}
