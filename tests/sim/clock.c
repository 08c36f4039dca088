/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - virtual time: what will happen, kept as a heap with the next one first. */
#include "tests/sim/internal.h"

#include <stdlib.h>

static bool before(const struct sim_event *one, const struct sim_event *other)
{
    if (one->when != other->when)
        return one->when < other->when;
    if (one->order != other->order)
        return one->order < other->order;
    return one->sequence < other->sequence;
}

static void put(struct sim *sim, size_t place, struct sim_event *event)
{
    sim->events[place - 1] = event;
    event->place = place;
}

static void rise(struct sim *sim, size_t place)
{
    struct sim_event *event = sim->events[place - 1];

    while (place > 1 && before(event, sim->events[place / 2 - 1])) {
        put(sim, place, sim->events[place / 2 - 1]);
        place /= 2;
    }
    put(sim, place, event);
}

static void sink(struct sim *sim, size_t place)
{
    struct sim_event *event = sim->events[place - 1];

    for (;;) {
        size_t child = place * 2;

        if (child > sim->event_count)
            break;
        if (child < sim->event_count && before(sim->events[child], sim->events[child - 1]))
            child++;
        if (!before(sim->events[child - 1], event))
            break;
        put(sim, place, sim->events[child - 1]);
        place = child;
    }
    put(sim, place, event);
}

void sim_event_disarm(struct sim *sim, struct sim_event *event)
{
    size_t place = event->place;
    struct sim_event *last;

    if (!place)
        return;
    last = sim->events[--sim->event_count];
    event->place = 0;
    if (last == event)
        return;
    put(sim, place, last);
    rise(sim, place);
    sink(sim, last->place);
}

void sim_event_arm(struct sim *sim, struct sim_event *event, int64_t when)
{
    sim_event_disarm(sim, event);
    if (sim->event_count == sim->event_places) {
        sim->event_places = sim->event_places ? sim->event_places * 2 : 64;
        sim->events = sim_grow(sim->events, sim->event_places * sizeof(struct sim_event *));
    }
    event->when = when > sim->now ? when : sim->now;
    event->order = sim->options.shuffle ? sim_random(sim, UINT32_MAX) : 0;
    event->sequence = ++sim->event_sequence;
    put(sim, ++sim->event_count, event);
    rise(sim, event->place);
}

int64_t sim_event_next(const struct sim *sim)
{
    return sim->event_count ? sim->events[0]->when : RILL_NEVER;
}

void sim_events_run(struct sim *sim)
{
    while (sim->event_count && sim->events[0]->when <= sim->now) {
        struct sim_event *event = sim->events[0];

        sim_event_disarm(sim, event);
        event->fn(sim, event);
    }
}

void sim_jump(struct sim *sim, int64_t by_ns)
{
    sim->now += by_ns;
    sim_trace(sim, "the clock jumps by %lld", (long long)by_ns);
}

/* ---- the test's own events ---- */

struct call {
    struct sim_link link; /* sim.calls */
    struct sim_event event;
    void (*fn)(struct sim *sim, void *arg);
    void *arg;
};

static void call_due(struct sim *sim, struct sim_event *event)
{
    struct call call = *sim_container_of(event, struct call, event);
    struct call *self = sim_container_of(event, struct call, event);

    sim_list_remove(&self->link);
    free(self);
    call.fn(sim, call.arg);
}

void sim_at(struct sim *sim, int64_t when_ns, void (*fn)(struct sim *sim, void *arg), void *arg)
{
    struct call *call = sim_allocate(sizeof *call);

    call->fn = fn;
    call->arg = arg;
    call->event.fn = call_due;
    sim_list_append(&sim->calls, &call->link);
    sim_event_arm(sim, &call->event, when_ns);
}

void sim_calls_finish(struct sim *sim)
{
    while (!sim_list_empty(&sim->calls)) {
        struct call *call = sim_container_of(sim->calls.next, struct call, link);

        sim_event_disarm(sim, &call->event);
        sim_list_remove(&call->link);
        free(call);
    }
}
