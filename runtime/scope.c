/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/scope.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>

void rill_scope_init(struct rill_scope *scope, enum rill_scope_policy policy)
{
    *scope = (struct rill_scope){
        .owner = rill_executor_of_thread ? rill_executor_of_thread->running : NULL,
        .policy = (uint8_t)policy,
    };
    rill_list_init(&scope->parked);
    rill_line_init(&scope->line);
}

static void check_begun(const struct rill_scope *scope)
{
    rill_check(rill_link_is_linked(&scope->parked), "a scope is used without rill_scope_init");
}

/* A scope with tasks alive lies in its owner's memory and is written to by their
 * ends, just as an operation in flight is, and so it is counted as one. */
static void hand_over(struct rill_scope *scope, struct rill_task *owner)
{
    if (scope->alive > 0) {
        if (scope->owner)
            scope->owner->ops--;
        owner->ops++;
    }
    scope->owner = owner;
}

void rill_scope_spawn(struct rill_scope *scope, struct rill_task *task, rill_poll_fn *poll)
{
    check_begun(scope);
    rill_check(!scope->owner || !rill_task_is_over(scope->owner),
               "a task was spawned into a scope whose owner has ended");
    rill_task_spawn(task, poll);
    task->in_scope = true;
    task->scope = scope;
    if (scope->alive++ > 0)
        return;
    rill_list_append(&rill_executor_here()->scopes, &scope->entry);
    if (scope->owner)
        scope->owner->ops++;
}

void rill_scope_cancel(struct rill_scope *scope, enum rill_cancel_reason reason)
{
    struct rill_task *running = rill_executor_here()->running;

    check_begun(scope);
    rill_check(reason != RILL_NOT_CANCELLED, "a scope was cancelled for no reason");
    if (scope->reason == RILL_SHUTTING_DOWN)
        return;
    if (scope->reason != RILL_NOT_CANCELLED && reason != RILL_SHUTTING_DOWN)
        return;
    scope->reason = reason & 3u;
    /* Those that are queued see it when their turn comes. */
    while (!rill_list_is_empty(&scope->parked))
        rill_task_cancel_because(rill_container_of(scope->parked.next, struct rill_task, queue),
                                 reason);
    if (running && running->in_scope && running->scope == scope)
        rill_task_cancel_because(running, reason);
}

/* The first in line for whose max there is room, or NULL. */
static struct rill_scope_room *next_in_line(const struct rill_scope *scope)
{
    for (struct rill_link *link = scope->line.places.next; link != &scope->line.places;
         link = link->next) {
        struct rill_scope_room *room = rill_container_of(link, struct rill_scope_room, place.link);

        if (scope->alive < room->max)
            return room;
    }
    return NULL;
}

static void wake_next_in_line(const struct rill_scope *scope)
{
    struct rill_scope_room *next = next_in_line(scope);

    if (next)
        rill_line_wake_(&next->place.link);
}

void rill_scope_task_ended(struct rill_scope *scope, int64_t result)
{
    if (result == -ECANCELED) {
        scope->was_cut_short = true;
    } else if (result < 0 && scope->error == 0) {
        scope->error = result;
        if (scope->policy == RILL_SCOPE_TOGETHER)
            rill_scope_cancel(scope, RILL_CANCELLED);
    }
    scope->alive--;
    wake_next_in_line(scope);
    if (scope->alive > 0)
        return;
    rill_link_remove(&scope->entry);
    if (scope->owner)
        scope->owner->ops--;
    if (scope->waiter)
        rill_task_wake(scope->waiter);
}

const struct rill_scope *rill_scope_of_owner(const struct rill_task *owner)
{
    const struct rill_link *scopes = &rill_executor_here()->scopes;

    for (struct rill_link *link = scopes->next; link != scopes; link = link->next) {
        const struct rill_scope *scope = rill_container_of(link, struct rill_scope, entry);

        if (scope->owner == owner)
            return scope;
    }
    return NULL;
}

/* A task that waits for a scope that it is in, itself or through the scopes of its
 * owners, would wait for ever. */
static void check_waiter(const struct rill_scope *scope, const struct rill_task *task)
{
    rill_check(!scope->waiter || scope->waiter == task, "two tasks wait for the same scope");
    while (task && task->in_scope) {
        rill_check(task->scope != scope, "a task waits for the end of a scope that it is in");
        task = task->scope->owner;
    }
}

static enum rill_poll end(struct rill_scope *scope, int64_t result)
{
    scope->waiter = NULL;
    return rill_future_end(&scope->future, result);
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_scope *scope = rill_container_of(self, struct rill_scope, future);

    check_waiter(scope, task);
    hand_over(scope, task);
    if (scope->alive > 0 && !rill_task_is_cancelled(task)) {
        scope->waiter = task;
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    return end(scope, scope->alive > 0 ? -ECANCELED : scope->error);
}

static enum rill_poll join_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_scope *scope = rill_container_of(self, struct rill_scope, future);

    check_waiter(scope, task);
    hand_over(scope, task);
    if (scope->alive == 0) {
        bool abandoned = scope->was_abandoned && scope->was_cut_short;

        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return end(scope, scope->error == 0 && abandoned ? -ECANCELED : scope->error);
    }
    scope->waiter = task;
    if (rill_task_is_cancelled(task)) {
        if (scope->reason == RILL_NOT_CANCELLED)
            scope->was_abandoned = true;
        rill_scope_cancel(scope, rill_task_cancel_reason(task));
        /* Also below a combinator that gives another reason: nobody else tells them. */
        if (task->reason == RILL_SHUTTING_DOWN)
            rill_scope_cancel(scope, RILL_SHUTTING_DOWN);
    }
    return RILL_PENDING;
}

static struct rill_future *prepare(struct rill_scope *scope, const struct rill_place *place,
                                   rill_poll_fn *poll)
{
    rill_future_init(&scope->future, poll);
    scope->future.place = place;
    return &scope->future;
}

struct rill_future *rill_scope_join(struct rill_scope *scope)
{
    static const struct rill_place name = {"join of a scope", NULL, 0};

    return prepare(scope, &name, join_poll);
}

struct rill_future *rill_scope_wait(struct rill_scope *scope)
{
    static const struct rill_place name = {"wait for a scope", NULL, 0};

    return prepare(scope, &name, wait_poll);
}

/* Whether there is room, and nobody before it in line has any use for that. */
static bool is_its_turn(const struct rill_scope *scope, const struct rill_scope_room *room)
{
    const struct rill_scope_room *next;

    if (scope->alive >= room->max) /* asked first: no walk where there is no room */
        return false;
    next = next_in_line(scope);
    return !next || next == room;
}

static enum rill_poll room_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_scope_room *room = rill_container_of(self, struct rill_scope_room, future);
    struct rill_scope *scope = room->scope;
    bool is_cancelled = rill_task_is_cancelled(task), has_room;

    if (!is_cancelled && !is_its_turn(scope, room)) {
        bool was_woken = room->place.is_woken;

        rill_line_join(&scope->line, &room->place, task);
        if (was_woken) /* for room that others have taken since: one behind may want less */
            wake_next_in_line(scope);
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    /* Who gives up without having been woken keeps room from nobody. */
    has_room = !is_cancelled || room->place.is_woken;
    rill_line_leave(&room->place);
    if (has_room)
        wake_next_in_line(scope);
    return rill_future_end(self, is_cancelled ? -ECANCELED : 0);
}

struct rill_future *rill_scope_wait_for_room(struct rill_scope *scope, struct rill_scope_room *room,
                                             size_t max)
{
    static const struct rill_place name = {"wait for room in a scope", NULL, 0};

    check_begun(scope);
    rill_check(max > 0, "a scope never has fewer than 0 tasks: wait for room for 1 at least");
    rill_future_init(&room->future, room_poll);
    room->future.place = &name;
    room->scope = scope;
    room->max = max;
    room->place = (struct rill_place_in_line){0};
    return &room->future;
}
