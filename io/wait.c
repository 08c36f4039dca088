/* SPDX-License-Identifier: Apache-2.0 */
#include "io/wait.h"

#include <errno.h>
#include <sched.h>

/* A signal, or the kernel being short of memory or of places for completions, is
 * no failure: what it did not take is still in the queue. */
int rill_reactor_enter(struct rill_reactor *reactor, int64_t until_ns)
{
    int result;

    reactor->stats.enters++;
    if (until_ns != RILL_NO_WAIT)
        reactor->stats.sleeps++;
    result = reactor->kernel->ops->enter(reactor->kernel, &reactor->ring, until_ns);
    if (result == -EINTR || result == -EAGAIN || result == -EBUSY)
        return 0;
    return result < 0 ? result : 0;
}

int rill_reactor_enter_in_passing(struct rill_reactor *reactor)
{
    if (io_uring_sq_ready(&reactor->ring) > 0 || rill_reactor_is_wanted(reactor))
        return rill_reactor_enter(reactor, RILL_NO_WAIT);
    return 0;
}

static bool has_posts(const struct rill_reactor *reactor)
{
    return reactor->remote && rill_remote_has_posts(reactor->remote);
}

/* Tells the core that this is a loop that waits. */
static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

enum found {
    FOUND_NOTHING,
    FOUND_IN_RING, /* or the time has come */
    FOUND_IN_SOURCE,
};

/* Looks once, without a system call. */
static inline enum found look(struct rill_reactor *reactor)
{
    if (rill_reactor_has_completions(reactor) || rill_reactor_is_wanted(reactor) ||
        has_posts(reactor))
        return FOUND_IN_RING;
    if (!rill_reactor_has_sources(reactor))
        relax();
    else if (rill_event_sources_glance(reactor)) /* which is a pause in itself */
        return FOUND_IN_SOURCE;
    return FOUND_NOTHING;
}

/* For how long to look out before sleeping. */
static int64_t patience(const struct rill_reactor *reactor)
{
    switch (reactor->wait_policy) {
    case RILL_WAIT_ADAPTIVE:
        return rill_spin_ns(&reactor->spin);
    case RILL_WAIT_SPIN:
        return RILL_NEVER;
    case RILL_WAIT_SLEEP:
    default:
        return 0;
    }
}

bool rill_reactor_sleeps_at_once(const struct rill_reactor *reactor)
{
    return patience(reactor) == 0;
}

/* What was there at once did not need looking out. */
static void note_hit(struct rill_reactor *reactor, bool was_there)
{
    reactor->stats.spins_hit++;
    if (!was_there)
        rill_spin_hit(&reactor->spin);
}

/* Whether the turn would come to looking out, if the running task waited now. */
static bool may_linger(const struct rill_reactor *reactor, const struct rill_executor *executor)
{
    return reactor->lingering_left > 0 && executor->ready_count == 0 &&
           executor->running->state != RILL_TASK_WOKEN && !reactor->in_hurry &&
           rill_list_is_empty(&reactor->backlog) && io_uring_sq_ready(&reactor->ring) == 0 &&
           patience(reactor) != 0;
}

bool rill_reactor_linger(struct rill_reactor *reactor)
{
    struct rill_executor *executor = rill_executor_here();

    if (!may_linger(reactor, executor))
        return false;
    rill_executor_time_has_passed(executor);
    for (bool is_first = true; reactor->lingering_left > 0; is_first = false) {
        enum found found = look(reactor);

        reactor->lingering_left--;
        if (found == FOUND_IN_RING)
            return false;
        if (found == FOUND_IN_SOURCE) {
            note_hit(reactor, is_first);
            reactor->lingering_pays = true;
            return true;
        }
    }
    reactor->lingering_pays = false;
    return false;
}

/* Looks out for an event for so long (or until until_ns). The clock is read after some looks, not
 * before: what comes quickly does not wait for that. */
static enum found look_out(struct rill_reactor *reactor, int64_t patience_ns, int64_t until_ns)
{
    enum { LOOKS_PER_CLOCK_READING = 16, READINGS_PER_YIELD = 32 };
    int64_t now_ns, end_ns = RILL_NEVER;
    unsigned readings = 0;

    do {
        for (int i = 0; i < LOOKS_PER_CLOCK_READING; i++) {
            enum found found = look(reactor);

            if (found != FOUND_NOTHING) {
                note_hit(reactor, i == 0 && end_ns == RILL_NEVER);
                return found;
            }
        }
        now_ns = rill_reactor_now(reactor);
        if (end_ns == RILL_NEVER) {
            end_ns = rill_time_after(now_ns, patience_ns);
            if (end_ns > until_ns)
                end_ns = until_ns;
        }
        /* Who never sleeps would keep others on the same processor, the one that is awaited among
         * them, from it for milliseconds. Where there are none this is a short system call. */
        if (patience_ns == RILL_NEVER && ++readings % READINGS_PER_YIELD == 0)
            sched_yield();
    } while (now_ns < end_ns);
    reactor->stats.spins_missed++;
    if (now_ns >= until_ns)
        return FOUND_IN_RING;
    rill_spin_missed(&reactor->spin);
    return FOUND_NOTHING;
}

static int sleep_until(struct rill_reactor *reactor, int64_t until_ns)
{
    if (rill_reactor_has_sources(reactor)) {
        until_ns = rill_event_sources_rest(reactor, until_ns);
        if (until_ns == RILL_NO_WAIT)
            return rill_reactor_enter_in_passing(reactor);
    }
    if (reactor->remote && !rill_remote_fall_asleep(reactor->remote))
        until_ns = RILL_NO_WAIT;
    return rill_reactor_enter(reactor, until_ns);
}

/* Sleeps, and learns for the next time from how long that was. */
static int sleep_and_learn(struct rill_reactor *reactor, int64_t until_ns)
{
    int64_t began_ns = rill_reactor_now(reactor);
    int error = sleep_until(reactor, until_ns);

    rill_spin_slept(&reactor->spin, rill_reactor_now(reactor) - began_ns);
    return error;
}

int rill_reactor_wait(struct rill_reactor *reactor, int64_t until_ns)
{
    int64_t patience_ns;
    int error = 0;

    if (reactor->wait_policy == RILL_WAIT_SLEEP)
        return sleep_until(reactor, until_ns);
    patience_ns = patience(reactor);
    if (patience_ns == 0)
        return sleep_and_learn(reactor, until_ns);

    if (io_uring_sq_ready(&reactor->ring) > 0)
        error = rill_reactor_enter(reactor, RILL_NO_WAIT);
    /* What the kernel did not take, for want of memory, is offered again. */
    if (error || rill_reactor_has_completions(reactor) || io_uring_sq_ready(&reactor->ring) > 0)
        return error;
    switch (look_out(reactor, patience_ns, until_ns)) {
    case FOUND_NOTHING:
        return sleep_until(reactor, until_ns);
    case FOUND_IN_RING:
        return rill_reactor_enter(reactor, RILL_NO_WAIT);
    case FOUND_IN_SOURCE:
        break;
    }
    return 0;
}
