/* SPDX-License-Identifier: Apache-2.0 */
/* watch.h - a value that changes, and tasks that want to know when.
 *
 *     struct settings_watch RILL_WATCH(struct settings);   // declares it
 *
 *     rill_watch_init(&server->settings);
 *     ...
 *     rill_watch_set(&server->settings, &settings);
 *     ...
 *     RILL_AWAIT(rill_watch_changed(&server->settings, &worker->watch));
 *     if (worker->watch.result == 1)
 *         use(&server->settings.value);
 *
 * Only the latest value is kept, in the open: it can be read at any time. A watcher
 * that is slow sees that there was a change, not how many. */
#ifndef RILL_RUNTIME_WATCH_H
#define RILL_RUNTIME_WATCH_H

#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_watched {
    uint64_t version; /* how often it was set */
    bool is_closed;

    /* private */
    struct rill_line watchers;
};

/* The body of a struct for a watched value of a type. */
#define RILL_WATCH(type)                                                                           \
    {                                                                                              \
        struct rill_watched watched;                                                               \
        type value;                                                                                \
    }

/* One who watches: one task at a time. Zeroed, it has seen nothing. */
struct rill_watch {
    union {
        int64_t result; /* 1, 0 or -ECANCELED */
        struct rill_future future;
    };
    uint64_t seen; /* the version that was there when it was told of a change */

    /* private */
    struct rill_watched *watched;
    struct rill_place_in_line place; /* in watched.watchers */
};

/* Makes it a value that was never set. value itself is left as it is. */
#define rill_watch_init(pointer) rill_watch_init_(&(pointer)->watched)

/* Ends it. Panics if a task still waits for a change. */
#define rill_watch_finish(pointer) rill_watch_finish_(&(pointer)->watched)

/* Sets the value to a copy of *message and wakes those that wait for a change. Panics if it
 * was closed or finished. */
#define rill_watch_set(pointer, message)                                                           \
    ((pointer)->value = *(message), rill_watch_touch_(&(pointer)->watched))

/* Says that the value will not change any more. */
#define rill_watch_close(pointer) rill_watch_close_(&(pointer)->watched)

/* Waits until the value was set since the last time that this watch was told of a
 * change: at once if it was already. The result is 1, and seen is its version; or 0
 * if it is closed and there was no change; or -ECANCELED, and the change, if there
 * is one, is still to be told. */
#define rill_watch_changed(pointer, watch) rill_watch_changed_(&(pointer)->watched, (watch))

/* private: what the macros above call. */
void rill_watch_init_(struct rill_watched *watched);
void rill_watch_finish_(struct rill_watched *watched);
void rill_watch_touch_(struct rill_watched *watched);
void rill_watch_close_(struct rill_watched *watched);
struct rill_future *rill_watch_changed_(struct rill_watched *watched, struct rill_watch *watch);

#ifdef __cplusplus
}
#endif
#endif
