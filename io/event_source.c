/* SPDX-License-Identifier: Apache-2.0 */
#include "io/event_source.h"

#include "io/reactor.h"
#include "io/readiness.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

static struct rill_event_source *source_of(struct rill_link *link)
{
    return rill_container_of(link, struct rill_event_source, sources);
}

/* The first call after a sleep tells what that was good for. */
__attribute__((noinline)) static void judge_sleep(struct rill_event_source *source,
                                                  bool has_progressed)
{
    source->stats.wake_ups_futile += source->was_woken && !has_progressed;
    source->stats.events_recovered += source->has_overslept && has_progressed;
    source->was_woken = false;
    source->has_overslept = false;
}

static inline unsigned progress(struct rill_event_source *source)
{
    unsigned count = source->ops->progress(source);

    source->stats.progress_calls++;
    if (count > 0)
        source->stats.progress_hits++;
    if (__builtin_expect(source->was_woken || source->has_overslept, 0))
        judge_sleep(source, count > 0);
    return count;
}

/* ---- watching the descriptor ---- */

/* A poll that was asked for earlier than the latest sleep tells of that too: it looks
 * at whether the descriptor is readable, not at what made it so. */
static void watch_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags)
{
    struct rill_event_source *source = rill_container_of(op, struct rill_event_source, watch);

    (void)cqe_flags;
    rill_check(answer >= 0 || answer == -ECANCELED || answer == -ENOMEM || answer == -EINTR,
               "the descriptor of an event source cannot be watched: error %d", -answer);
    op->state = RILL_OP_IDLE;
    if (!source->asleep)
        return;
    source->asleep = false;
    source->was_woken = answer >= 0;
    source->stats.wake_ups += answer >= 0;
}

static void watch(struct rill_reactor *reactor, struct rill_event_source *source)
{
    if (source->watch.state != RILL_OP_IDLE)
        return;
    rill_fd_wait(source->fd, &source->watch, POLLIN);
    source->watch.waiter = NULL;
    source->watch.complete = watch_complete;
    rill_reactor_submit(reactor, &source->watch);
}

/* ---- the phases of a turn ---- */

static bool has_to_wake(struct rill_reactor *reactor, struct rill_event_source *source)
{
    if (source->touched)
        return true;
    if (source->pending == 0 || rill_reactor_now(reactor) < source->awake_ns)
        return false;
    source->has_overslept = true;
    source->stats.sleeps_bounded++;
    return true;
}

/* Looks out for what comes soon. What waits to be submitted does not wait for that. */
static bool look_out(const struct rill_reactor *reactor, struct rill_event_source *source)
{
    int64_t end_ns = rill_reactor_now(reactor) + RILL_EVENT_SOURCE_LOOK_NS;

    if (io_uring_sq_ready(&reactor->ring) > 0)
        return false;
    for (int i = 0; i < RILL_EVENT_SOURCE_LOOKS_MAX && rill_reactor_now(reactor) < end_ns; i++)
        if (progress(source) > 0)
            return true;
    return false;
}

/* Gives a source that is awake its calls of this turn. A task that was woken goes first:
 * its answer does not wait for a call that finds nothing, which over TCP is a system call. */
static bool progress_in_turn(const struct rill_reactor *reactor, struct rill_event_source *source,
                             bool rests_next)
{
    const struct rill_executor *executor = rill_executor_here();
    bool slept = source->was_woken || source->has_overslept;
    bool happened = false;

    for (int i = 0; i < RILL_EVENT_SOURCE_CALLS_MAX && progress(source) > 0; i++) {
        happened = true;
        if (executor->ready_count > 0)
            break;
    }
    if (rests_next && !slept) {
        happened = happened || look_out(reactor, source);
        source->quiet_count = happened ? 0 : source->quiet_count + 1;
    }
    if (happened)
        source->busy_count = 0;
    return happened;
}

/* Arming is followed by progress, so that the call before it is in vain where it never finds
 * anything. One that was woken has something to do. */
static bool expects_nothing(const struct rill_event_source *source)
{
    return source->quiet_count >= RILL_EVENT_SOURCE_QUIET_AFTER && !source->was_woken &&
           !source->has_overslept;
}

/* What one does keeps the others from resting in this turn, and maybe in each one. */
static bool are_several(const struct rill_reactor *reactor)
{
    return reactor->sources.next != reactor->sources.prev;
}

bool rill_event_sources_progress(struct rill_reactor *reactor, bool rests_next)
{
    bool happened = false;

    if (are_several(reactor))
        rests_next = false;
    for (struct rill_link *link = reactor->sources.next; link != &reactor->sources;
         link = link->next) {
        struct rill_event_source *source = source_of(link);

        if (source->asleep && !has_to_wake(reactor, source))
            continue;
        source->asleep = false;
        if (!rests_next || !expects_nothing(source))
            happened |= progress_in_turn(reactor, source, rests_next);
    }
    return happened;
}

bool rill_event_sources_glance(struct rill_reactor *reactor)
{
    for (struct rill_link *link = reactor->sources.next; link != &reactor->sources;
         link = link->next) {
        struct rill_event_source *source = source_of(link);

        if ((!source->asleep || source->touched) && progress(source) > 0) {
            source->busy_count = 0;
            return true;
        }
    }
    return false;
}

/* Until when the reactor may wait for a source that could not be armed. */
static int64_t back_off(struct rill_reactor *reactor, struct rill_event_source *source)
{
    source->stats.arms_busy++;
    if (progress(source) > 0) {
        source->busy_count = 0;
        return RILL_NO_WAIT;
    }
    if (source->busy_count < RILL_EVENT_SOURCE_BUSY_MAX) {
        source->busy_count++;
        return RILL_NO_WAIT;
    }
    source->stats.back_offs++;
    return rill_reactor_now(reactor) + RILL_EVENT_SOURCE_BACK_OFF_NS;
}

/* Until when the reactor may wait for a source that is awake. */
static int64_t fall_asleep(struct rill_reactor *reactor, struct rill_event_source *source)
{
    int error;

    source->touched = false;
    error = source->ops->arm(source);
    rill_check(error == 0 || error == -EBUSY, "an event source cannot be armed: error %d", -error);
    if (error)
        return back_off(reactor, source);
    source->stats.arms++;
    source->busy_count = 0;
    if (progress(source) > 0) {
        source->quiet_count = 0;
        return RILL_NO_WAIT;
    }
    if (source->touched)
        return RILL_NO_WAIT;

    watch(reactor, source);
    if (source->watch.state == RILL_OP_QUEUED) /* until there is a place, nobody watches */
        return RILL_NO_WAIT;
    source->asleep = true;
    source->awake_ns = source->pending > 0
                           ? rill_reactor_now(reactor) + RILL_EVENT_SOURCE_SLEEP_MAX_NS
                           : RILL_NEVER;
    return source->awake_ns;
}

/* Until when the reactor may wait for a source that is asleep. What was pending may have been
 * given up since it fell asleep, and then its sleep has no end. */
static int64_t stay_asleep(const struct rill_event_source *source)
{
    return source->pending > 0 ? source->awake_ns : RILL_NEVER;
}

int64_t rill_event_sources_rest(struct rill_reactor *reactor, int64_t until_ns)
{
    for (struct rill_link *link = reactor->sources.next; link != &reactor->sources;
         link = link->next) {
        struct rill_event_source *source = source_of(link);

        if (source->touched) /* by whoever embeds the runtime, after its turn */
            source->asleep = false;

        int64_t may_ns = source->asleep ? stay_asleep(source) : fall_asleep(reactor, source);

        if (may_ns < until_ns)
            until_ns = may_ns;
    }
    return until_ns;
}

/* ---- plugging in ---- */

void rill_event_source_add(struct rill_event_source *source)
{
    rill_check(!rill_link_is_linked(&source->sources), "an event source was added twice");
    rill_list_append(&rill_reactor_here()->sources, &source->sources);
}

void rill_event_source_remove(struct rill_event_source *source)
{
    struct rill_reactor *reactor = rill_reactor_here();

    if (!rill_link_is_linked(&source->sources))
        return;
    rill_link_remove(&source->sources);
    source->asleep = false;
    if (source->watch.state == RILL_OP_QUEUED)
        rill_reactor_withdraw(reactor, &source->watch);
    if (source->watch.state == RILL_OP_IN_KERNEL)
        rill_reactor_cancel(reactor, &source->watch);
    rill_reactor_await_end(reactor, &source->watch);
}

void rill_event_sources_close(struct rill_reactor *reactor)
{
    struct rill_link *next;

    for (struct rill_link *link = reactor->sources.next; link != &reactor->sources; link = next) {
        struct rill_event_source *source = source_of(link);

        next = link->next;
        if (source->ops->close)
            source->ops->close(source);
    }
}
