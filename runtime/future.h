/* SPDX-License-Identifier: Apache-2.0 */
/* future.h - what can be awaited, and the macros that await it.
 *
 * A future is a computation that is driven by polling. Its poll function runs
 * until it has to wait, answers RILL_PENDING, and is called again when the task
 * that it belongs to has been woken. When it answers RILL_READY, its result is there
 * and it is not polled again. A leaf is a future that awaits no other; it makes sure
 * by itself that its task is woken.
 *
 * A future composed of others is written with the macros below and reads like
 * blocking code:
 *
 *     struct greet {
 *         struct rill_future future;
 *         struct rill_tcp   *peer;
 *         struct rill_sleep  pause;
 *         struct rill_op     send;
 *     };
 *
 *     static enum rill_poll greet_poll(struct rill_future *self, struct rill_task *task)
 *     {
 *         struct greet *greet = rill_container_of(self, struct greet, future);
 *
 *         RILL_BEGIN();
 *         RILL_AWAIT(rill_sleep(&greet->pause, 1 * RILL_SECOND));
 *         RILL_AWAIT(rill_tcp_send_all(greet->peer, &greet->send, "hello\n", 6));
 *         RILL_RETURN(greet->send.result);
 *         RILL_END();
 *     }
 *
 * The function is left at every await that has to wait and is entered again from
 * the top, so:
 *  - what must survive an await lives in the struct, not in a local variable;
 *  - a local variable may live within a block that does not await;
 *  - an await cannot stand inside a switch statement of its own (the macros are
 *    one): the runtime notices and says so;
 *  - `return RILL_PENDING` is for leaves. A body that says so is entered again at its
 *    latest await, which is over, and not where it returned.
 *
 * Futures, tasks and all that they use belong to the thread of their runtime, which has to be
 * there: a future may be prepared before, but a task is spawned, and a socket opened, from
 * rill_runtime_create on, so in a program of rill_main within its future. What other
 * threads may call says so: io/remote.h, waker.h, bridge.h and workers.h. */
#ifndef RILL_RUNTIME_FUTURE_H
#define RILL_RUNTIME_FUTURE_H

#include "runtime/list.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_future;
struct rill_task;

enum rill_poll {
    RILL_PENDING, /* not yet: the task will be woken */
    RILL_READY,   /* done: the result is there */
};

/* Polls self on behalf of task. Called by the executor and by futures that await
 * self, never by a user. A call for no reason does no harm. */
typedef enum rill_poll rill_poll_fn(struct rill_future *self, struct rill_task *task);

/* Where a future is, for who looks at a task: in a composed one the line of its latest await (or of
 * the macro that let others run, if it did so later), 0 before the first, and minus the line of its
 * RILL_RETURN or RILL_END after the end. In a leaf the line is always 0, and function is the name
 * of the operation. */
struct rill_place {
    const char *function;
    const char *file;
    int line;
};

/* Embedded by value in whatever awaits it, so that a task and everything below
 * it is one block of memory. From its constructor to its end it must not move.
 *
 * Invariant: awaits is not NULL exactly while a composed future is pending in an
 * await; following it leads to the leaf that the task waits for. Of several that are
 * awaited together it is the one that is being polled, and after that the first that is
 * pending. */
struct rill_future {
    int64_t result;                 /* >= 0 or -errno, valid once ready */
    rill_poll_fn *poll;             /* how to go on */
    struct rill_future *awaits;     /* the future that this one waits for, or NULL; borrowed */
    const struct rill_place *place; /* where to go on, NULL before the first poll */
};

/* Makes a future that runs poll from its beginning. The constructors of composed
 * futures call it; the result is returned for use in an await. */
static inline struct rill_future *rill_future_init(struct rill_future *future, rill_poll_fn *poll)
{
    future->result = 0;
    future->poll = poll;
    future->awaits = NULL;
    future->place = NULL;
    return future;
}

/* What a leaf polls once it has ended: names it, and aborts. */
__attribute__((cold)) enum rill_poll rill_future_poll_ended(struct rill_future *self,
                                                            struct rill_task *task);

/* Ends a leaf: stores its result, and lets every later poll panic. Its constructor
 * makes it ready for use again. */
static inline enum rill_poll rill_future_end(struct rill_future *future, int64_t result)
{
    future->result = result;
    future->poll = rill_future_poll_ended;
    return RILL_READY;
}

/* Says which future was resumed where it has no code, and aborts. */
__attribute__((noreturn, cold)) void rill_future_bad_resume(const struct rill_future *future);

/* Says where a future awaits what is none, NULL or one that was never prepared, and aborts. */
__attribute__((noreturn, cold)) void rill_future_bad_await(const struct rill_future *future);

/* private: names a combinator that was given no child, or itself for one, and aborts. */
__attribute__((noreturn, cold)) void rill_future_bad_child(const struct rill_future *child,
                                                           const char *combinator);

/* Checks what a combinator of that name was given to await. One struct that is used twice, for
 * two limits one within the other, say, is its own child, and would poll itself for ever. */
static inline void rill_future_check_child(const struct rill_future *self,
                                           const struct rill_future *child, const char *combinator)
{
    if (__builtin_expect(!child || child == self, 0))
        rill_future_bad_child(child, combinator);
}

/* Begins the body of a poll function whose parameters are self and task. Nothing
 * but the line that recovers the struct stands before it. Up to the first await that
 * is the place of the future, so that a panic has its name to show. */
#define RILL_BEGIN()                                                                               \
    static const struct rill_place rill_begin_ = {__func__, __FILE__, 0};                          \
    (void)task;                                                                                    \
    switch (self->place ? self->place->line : 0) {                                                 \
    case 0:                                                                                        \
        self->place = &rill_begin_;

/* Waits until the future is ready. Its result is then in the future. The place is noted first,
 * so that a panic of a constructor names the line of its await. The comment behind the case is
 * what compilers print of the macro with their complaints about it. */
#define RILL_AWAIT(expression)                                                                     \
    do {                                                                                           \
        RILL_RESUME_HERE_();                                                                       \
        self->awaits = (expression);                                                               \
        if (__builtin_expect(!self->awaits || !self->awaits->poll, 0))                             \
            rill_future_bad_await(self);                                                           \
        __attribute__((fallthrough));                                                              \
    case __LINE__: /* one await in a line; a local variable is lost here, a field is not */        \
        if (self->awaits->poll(self->awaits, task) == RILL_PENDING)                                \
            return RILL_PENDING;                                                                   \
        self->awaits = NULL;                                                                       \
    } while (0)

/* Lets the other ready tasks run first. Needs "runtime/task.h". */
#define RILL_YIELD()                                                                               \
    do {                                                                                           \
        rill_task_wake(task);                                                                      \
        RILL_RESUME_HERE_();                                                                       \
        return RILL_PENDING;                                                                       \
    case __LINE__:;                                                                                \
    } while (0)

/* Pays as an await does that was ready at once (rill_budget_spend), and when the task has had its
 * share for now lets others run before it goes on, here. For a way through a body on which nothing
 * is awaited: a task that goes there again and again would keep the others from running. Needs
 * "runtime/executor.h". */
#define RILL_SPEND_BUDGET()                                                                        \
    do {                                                                                           \
        __attribute__((fallthrough));                                                              \
    case __LINE__: /* one in a line; a local variable is lost here, a field is not */              \
        if (!rill_budget_spend(rill_executor_here(), task)) {                                      \
            RILL_RESUME_HERE_();                                                                   \
            return RILL_PENDING;                                                                   \
        }                                                                                          \
    } while (0)

/* Ends the future with a result, >= 0 or -errno. */
#define RILL_RETURN(value)                                                                         \
    do {                                                                                           \
        static const struct rill_place rill_end_ = {__func__, __FILE__, -__LINE__};                \
        self->result = (value);                                                                    \
        self->place = &rill_end_;                                                                  \
        return RILL_READY;                                                                         \
    } while (0)

/* Ends the body. A future that comes here has the result 0. */
#define RILL_END()                                                                                 \
    RILL_RETURN(0);                                                                                \
    default:                                                                                       \
        rill_future_bad_resume(self);                                                              \
        }

/* A place is a constant of its line, so remembering it stores one pointer, and
 * a waiting task can be printed with the lines that it waits at. */
#define RILL_RESUME_HERE_()                                                                        \
    static const struct rill_place rill_here_ = {__func__, __FILE__, __LINE__};                    \
    self->place = &rill_here_

#ifdef __cplusplus
}
#endif
#endif
