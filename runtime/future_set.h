/* SPDX-License-Identifier: Apache-2.0 */
/* future_set.h - several futures that are polled together, in one task.
 *
 * What select, race and join have in common: they begin all of them; each that has
 * ended may decide the matter; once it is decided the others are cancelled; and the
 * set is over when none is pending, so nothing is in flight behind it.
 *
 * A wake does not say which future it is for, so all that are pending are polled.
 * For a handful that costs nothing to speak of; for hundreds, spawn tasks. */
#ifndef RILL_RUNTIME_FUTURE_SET_H
#define RILL_RUNTIME_FUTURE_SET_H

#include "runtime/future.h"
#include "runtime/task.h"

#include <errno.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fills the beginning of an array, a field of whatever awaits them, with futures and
 * stands for two arguments, the array and their count:
 *
 *     RILL_AWAIT(rill_select(&chat->select, RILL_FUTURES(chat->choices,
 *                                                        rill_tcp_recv(...),
 *                                                        rill_notify_wait(...))));
 */
#define RILL_FUTURES(array, ...)                                                                   \
    rill_futures_fill((array), sizeof(array) / sizeof(array)[0], RILL_FUTURES_LIST_(__VA_ARGS__),  \
                      RILL_FUTURES_COUNT_(__VA_ARGS__)),                                           \
        RILL_FUTURES_COUNT_(__VA_ARGS__)

/* private: the futures as an array, and how many there are. C++ has no compound literals. */
#ifndef __cplusplus
#define RILL_FUTURES_LIST_(...) ((struct rill_future *const[]){__VA_ARGS__})
#define RILL_FUTURES_COUNT_(...)                                                                   \
    ((uint32_t)(sizeof((struct rill_future *[]){__VA_ARGS__}) / sizeof(struct rill_future *)))
#else
extern "C++" {
template <unsigned count> struct rill_futures_ {
    rill_future *list[count];
};
template <typename... futures> rill_futures_<sizeof...(futures)> rill_futures_of_(futures... each)
{
    return {{each...}};
}
}
#define RILL_FUTURES_LIST_(...) (rill_futures_of_(__VA_ARGS__).list)
#define RILL_FUTURES_COUNT_(...)                                                                   \
    (uint32_t(sizeof(rill_futures_of_(__VA_ARGS__)) / sizeof(rill_future *)))
#endif

/* private: of RILL_FUTURES. */
struct rill_future **rill_futures_fill(struct rill_future **array, size_t size,
                                       struct rill_future *const *futures, uint32_t count);

/* Invariant: pending is the number of entries that are not NULL. */
struct rill_future_set {
    struct rill_future **futures; /* borrowed; an entry is NULL once it has ended */
    uint32_t count, pending;
    int32_t decided; /* the index of the one that has decided, or -1 */
    uint8_t reason;  /* enum rill_cancel_reason of the others, once it is decided */
};

/* Returns whether the future at index, which has just ended, decides. Called for
 * each that ends until one does. */
typedef bool rill_future_set_decides_fn(struct rill_future_set *set, uint32_t index,
                                        const struct rill_future *future,
                                        const struct rill_task *task);

/* The places of a combinator of that name, as rill_task_print shows them: before it is decided,
 * and after, while it waits for those that do not let go. */
#define RILL_FUTURE_SET_PLACES(name)                                                               \
    {name, NULL, 0},                                                                               \
    {                                                                                              \
        name ", decided: the others were asked to end", NULL, 0                                    \
    }

/* Makes a set of count futures, which it borrows with their array, for the combinator self
 * with those two places. Panics if one of them is NULL, or self. */
void rill_future_set_init(struct rill_future *self, struct rill_future_set *set,
                          struct rill_future **futures, uint32_t count,
                          const struct rill_place places[2]);

/* Polls, for the combinator self, those that are pending, in order. Ready when there is none.
 * self awaits the one that is being polled, and then the first that is pending: what a panic
 * below it, and a print of the task, show of them. */
enum rill_poll rill_future_set_poll(struct rill_future *self, struct rill_future_set *set,
                                    struct rill_task *task, rill_future_set_decides_fn *decides);

/* Whether a future ended by itself, or with its real result in spite of a cancel. One
 * that ended because everything around it is cancelled has won nothing. */
static inline bool rill_future_has_won(const struct rill_future *future,
                                       const struct rill_task *task)
{
    return future->result != -ECANCELED || !rill_task_is_cancelled(task);
}

#ifdef __cplusplus
}
#endif
#endif
