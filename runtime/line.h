/* SPDX-License-Identifier: Apache-2.0 */
/* line.h - tasks that wait in line: what channels and locks have in common.
 *
 * Whoever has to wait joins the line and stays in it until it leaves: being woken
 * only means to look again. So, as a rule, nothing is handed to a waiter that might be
 * cancelled before it runs, and nothing can get lost on the way: a message stays
 * in its channel and a mutex unlocked until somebody who runs takes it.
 * Three rules make that fair and complete:
 *  - who comes when others are in line joins its end, however much is there;
 *  - only the first in line may take;
 *  - who leaves, served or cancelled, lets the next one look if there is more.
 *
 * Served one by one like this, a crowd that could all go on at once would need a turn each.
 * Where that matters (permits, tokens, a barrier) what is waited for is handed over:
 * the one who gives takes the waiter out of the line. A waiter that finds itself out
 * of the line has it, and one that is cancelled then gives it to the next. */
#ifndef RILL_RUNTIME_LINE_H
#define RILL_RUNTIME_LINE_H

#include "runtime/panic.h"
#include "runtime/task.h"

#ifdef __cplusplus
extern "C" {
#endif

struct rill_line {
    /* private */
    struct rill_link places; /* of rill_place_in_line.link, first come first served */
};

/* A place in a line. Zeroed, or not in line: on no list. */
struct rill_place_in_line {
    /* private */
    struct rill_link link; /* rill_line.places */
    struct rill_task *task;
    bool is_woken; /* and has not looked again yet: waking it once more is for nothing */
};

static inline void rill_line_init(struct rill_line *line)
{
    rill_list_init(&line->places);
}

static inline bool rill_line_is_empty(const struct rill_line *line)
{
    return rill_list_is_empty(&line->places);
}

/* Returns whether nobody stands before place: it is the first, or not in line and
 * the line is empty. */
static inline bool rill_line_is_first(const struct rill_line *line,
                                      const struct rill_place_in_line *place)
{
    return rill_line_is_empty(line) || line->places.next == &place->link;
}

/* Goes on waiting, to be woken as task: whoever has looked and stays calls it. */
static inline void rill_line_stay(struct rill_place_in_line *place, struct rill_task *task)
{
    place->task = task;
    place->is_woken = false;
}

/* Panics if nobody has begun it: what it belongs to was only zeroed. Asked where somebody has to
 * wait, is turned away or wakes others, which is where one that is zeroed leads; who is served at
 * once does not pay for it. */
static inline void rill_line_check(const struct rill_line *line)
{
    rill_check(rill_link_is_linked(&line->places),
               "a lock, a channel or the like is used without its ..._init");
}

/* Panics if a link that is about to be appended is what the list ends with: the struct that it is
 * in was prepared for a second wait during the first. Whoever came between the two hides that. */
static inline void rill_line_check_link(const struct rill_link *list, const struct rill_link *link)
{
    rill_check(list->prev != link, "two that wait use the same struct: each needs one of its own");
}

/* Joins the end of the line if it is not in it, and stays. */
static inline void rill_line_join(struct rill_line *line, struct rill_place_in_line *place,
                                  struct rill_task *task)
{
    if (!rill_link_is_linked(&place->link)) {
        rill_line_check(line);
        rill_line_check_link(&line->places, &place->link);
        rill_list_append(&line->places, &place->link);
    }
    rill_line_stay(place, task);
}

static inline void rill_line_leave(struct rill_place_in_line *place)
{
    if (rill_link_is_linked(&place->link))
        rill_link_remove(&place->link);
}

/* private */
static inline void rill_line_wake_(struct rill_link *link)
{
    struct rill_place_in_line *place = rill_container_of(link, struct rill_place_in_line, link);

    if (place->is_woken)
        return;
    place->is_woken = true;
    rill_task_wake(place->task);
}

/* Returns the first in line, or NULL. */
static inline struct rill_place_in_line *rill_line_first(const struct rill_line *line)
{
    return rill_line_is_empty(line)
               ? NULL
               : rill_container_of(line->places.next, struct rill_place_in_line, link);
}

/* Takes the first out of line, which must not be empty, and wakes it. */
static inline void rill_line_serve_first(struct rill_line *line)
{
    struct rill_link *first = rill_list_pop(&line->places);

    rill_task_wake(rill_container_of(first, struct rill_place_in_line, link)->task);
}

/* Lets the first in line look again. The line has to have begun. */
static inline void rill_line_wake_first(struct rill_line *line)
{
    if (!rill_line_is_empty(line))
        rill_line_wake_(line->places.next);
}

/* Lets all in line look again. */
static inline void rill_line_wake_all(struct rill_line *line)
{
    if (rill_line_is_empty(line))
        return;
    rill_line_check(line);
    for (struct rill_link *link = line->places.next; link != &line->places; link = link->next)
        rill_line_wake_(link);
}

/* Ends a line, or one that is zeroed. Panics, naming the first task in it, if somebody
 * waits for what is being finished. */
void rill_line_finish(const struct rill_line *line, const char *what);

#ifdef __cplusplus
}
#endif
#endif
