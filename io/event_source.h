/* SPDX-License-Identifier: Apache-2.0 */
/* event_source.h - plugs an engine with events of its own into the reactor.
 *
 * UCX, and others like it, do their work when they are called (progress) and can be
 * asked to make a descriptor readable at their next event (arm). The reactor waits
 * for such an engine and for the ring together. A source is
 *
 *  - awake: each turn calls progress, until a call does nothing or has woken a task;
 *    with the adaptive policy also while the reactor looks out. When nothing is ready to
 *    run, the source is armed. If that finds events (-EBUSY), or if one more call of progress
 *    does something, it stays awake; else it falls asleep.
 *  - asleep: it is armed, and its descriptor is watched by one poll in the ring. It costs
 *    nothing, whatever else the runtime does, until the descriptor is readable or an
 *    operation is posted (rill_event_source_touch).
 *
 * Each step is there for an event that some engine lost without it: progress after arming,
 * for what came in between; the touch, for operations that are posted after arming and
 * never make the descriptor readable; and an end to the sleep while operations are pending,
 * for all that is not known yet.
 *
 * Where the reactor does not look out by itself (the sleeping policy, or the adaptive one while
 * that does not pay), a source that is the only one is looked at for
 * RILL_EVENT_SOURCE_LOOK_NS before it is armed. Where looking goes on finding nothing
 * (RILL_EVENT_SOURCE_QUIET_AFTER), progress is called after arming only.
 *
 *     engine->source = (struct rill_event_source){.ops = &engine_ops, .fd = fd};
 *     rill_event_source_add(&engine->source);
 *     ...
 *     engine_post(engine, operation);            // in a task
 *     engine->source.pending++;                  // until it is over
 *     rill_event_source_touch(&engine->source);
 */
#ifndef RILL_IO_EVENT_SOURCE_H
#define RILL_IO_EVENT_SOURCE_H

#include "io/op.h"
#include "runtime/list.h"
#include "runtime/time.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* Calls of progress in one turn, so that the ring has its turn too. */
    RILL_EVENT_SOURCE_CALLS_MAX = 16,
    /* Calls of progress while it is looked at before it is armed, in RILL_EVENT_SOURCE_LOOK_NS:
     * more than there are, unless the clock stands still. */
    RILL_EVENT_SOURCE_LOOKS_MAX = 1000,
    /* How often in a row arming may find events and progress nothing to do, before the
     * reactor sleeps for RILL_EVENT_SOURCE_BACK_OFF_NS instead of trying again. */
    RILL_EVENT_SOURCE_BUSY_MAX = 4,
    /* Sleeps in a row before which progress had nothing to do, until it is called only
     * after arming: over TCP each of its calls is a system call. */
    RILL_EVENT_SOURCE_QUIET_AFTER = 16,
};

/* How long a source is looked at for events before it is armed. To look for as long as arming
 * takes, one or two microseconds, never costs more than twice what would have been best ("Empirical
 * Studies of Competitive Spinning for a Shared-Memory Multiprocessor", Karlin, Li, Manasse and
 * Owicki, 1991). But who is awaited may be arming, too: then it answers later by just that. Two
 * that look for so long fall into step, each of which looks in vain while the other one arms, and
 * arms then. So it is twice as long. */
#define RILL_EVENT_SOURCE_LOOK_NS (4 * RILL_MICROSECOND)

#define RILL_EVENT_SOURCE_BACK_OFF_NS (50 * RILL_MICROSECOND)

/* How long a source with operations pending is asleep at the most. */
#define RILL_EVENT_SOURCE_SLEEP_MAX_NS (100 * RILL_MILLISECOND)

struct rill_event_source;
struct rill_reactor;

struct rill_event_source_ops {
    /* Does what can be done now: stores results and wakes tasks, but runs none, and
     * neither adds nor removes a source. Returns how much happened; 0 for nothing, and
     * then no task was woken. */
    unsigned (*progress)(struct rill_event_source *source);

    /* Sees to it that fd becomes readable at the next event. Returns 0; or -EBUSY when
     * there are events, so that progress has to come first. */
    int (*arm)(struct rill_event_source *source);

    /* Ends the engine, removing its source: called when the runtime is destroyed while it
     * is plugged in. NULL: that is a mistake of the program's. */
    void (*close)(struct rill_event_source *source);
};

/* What a source has counted since it was added. */
struct rill_event_source_stats {
    uint64_t progress_calls;
    uint64_t progress_hits;    /* of those, the ones that did something */
    uint64_t arms;             /* arming that worked */
    uint64_t arms_busy;        /* and that found events */
    uint64_t back_offs;        /* short sleeps because it went on finding them */
    uint64_t wake_ups;         /* times that fd became readable while asleep */
    uint64_t wake_ups_futile;  /* of those, the ones without anything to do */
    uint64_t sleeps_bounded;   /* times that sleeping came to its longest */
    uint64_t events_recovered; /* of those, the ones that found an event that fd had not told */
};

/* Invariant: while asleep it is armed, nothing was posted since, and watch is on its
 * way into the kernel or there; there is never more than one watch. */
struct rill_event_source {
    const struct rill_event_source_ops *ops; /* borrowed */
    int fd;                                  /* to be watched for POLLIN; borrowed */
    size_t pending; /* operations that tasks wait for: kept by the engine */
    struct rill_event_source_stats stats;

    /* private */
    struct rill_link sources; /* reactor.sources */
    struct rill_op watch;     /* the poll of fd */
    int64_t awake_ns;         /* the latest end of being asleep */
    unsigned busy_count;      /* times in a row that arming found events */
    unsigned quiet_count;     /* sleeps in a row before which there was nothing to do */
    bool asleep;
    bool touched;       /* since it was armed */
    bool was_woken;     /* and progress was not called since */
    bool has_overslept; /* likewise */
};

/* Plugs a source into the runtime of this thread, which borrows it until it is
 * removed. ops and fd are set, everything else is zero. */
void rill_event_source_add(struct rill_event_source *source);

/* Unplugs a source, after which its fd may be closed. It waits for the kernel to let
 * go of the descriptor, which is a matter of microseconds. Does nothing to one that is
 * not plugged in. */
void rill_event_source_remove(struct rill_event_source *source);

/* Says that an operation was posted to the engine: the source is not asleep, or no
 * longer. */
static inline void rill_event_source_touch(struct rill_event_source *source)
{
    source->touched = true;
}

/* private, for the runtime's end: closes those that can be closed. */
void rill_event_sources_close(struct rill_reactor *reactor);

/* private, for the reactor: gives every source that is awake, or has to be, its
 * progress of this turn. Where rests_next says that rill_event_sources_rest is next unless
 * something happens, one that is expected to have nothing to do is left to that. Returns
 * whether anything happened. */
bool rill_event_sources_progress(struct rill_reactor *reactor, bool rests_next);

/* private: calls progress once for each that is awake, until one did something. */
bool rill_event_sources_glance(struct rill_reactor *reactor);

/* private: puts to sleep what is awake. Returns until when the reactor may wait,
 * until_ns at the latest; RILL_NO_WAIT if something happened meanwhile. */
int64_t rill_event_sources_rest(struct rill_reactor *reactor, int64_t until_ns);

#ifdef __cplusplus
}
#endif
#endif
