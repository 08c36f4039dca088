/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - a circular list whose links lie inside its elements.
 *
 * A list is a link without an element. Adding and removing touch nothing but
 * links, so neither can fail and neither allocates. Every field of type struct
 * rill_link names, in a comment, the list that it is on. */
#ifndef RILL_RUNTIME_LIST_H
#define RILL_RUNTIME_LIST_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Recovers the struct that a member lies in. The member's type is checked. */
#ifdef __cplusplus
#define rill_container_of(pointer, type, member)                                                   \
    (reinterpret_cast<type *>(reinterpret_cast<char *>(pointer) - offsetof(type, member)))
#else
#define rill_container_of(pointer, type, member)                                                   \
    (__extension__({                                                                               \
        __typeof__(((type *)0)->member) *rill_member_ = (pointer);                                 \
        (type *)(void *)((char *)rill_member_ - offsetof(type, member));                           \
    }))
#endif

/* On no list: next is NULL. As the head of an empty list: next is itself. */
struct rill_link {
    struct rill_link *next;
    struct rill_link *prev;
};

/* Makes an empty list. */
static inline void rill_list_init(struct rill_link *list)
{
    list->next = list;
    list->prev = list;
}

static inline bool rill_list_is_empty(const struct rill_link *list)
{
    return list->next == list;
}

/* Returns whether link is on some list. A zeroed link is on none. */
static inline bool rill_link_is_linked(const struct rill_link *link)
{
    return link->next != NULL;
}

/* Adds link, which must be on no list, at the end of list. */
static inline void rill_list_append(struct rill_link *list, struct rill_link *link)
{
    struct rill_link *last = list->prev;

    link->next = list;
    link->prev = last;
    last->next = link;
    list->prev = link;
}

/* Adds link, which must be on no list, at the beginning of list. */
static inline void rill_list_prepend(struct rill_link *list, struct rill_link *link)
{
    rill_list_append(list->next, link);
}

/* Takes link off the list that it is on. */
static inline void rill_link_remove(struct rill_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = NULL;
    link->prev = NULL;
}

/* Takes the first link off list, which must not be empty, and returns it. */
static inline struct rill_link *rill_list_pop(struct rill_link *list)
{
    struct rill_link *first = list->next;

    rill_link_remove(first);
    return first;
}

/* Takes the last link off list, which must not be empty, and returns it. */
static inline struct rill_link *rill_list_pop_last(struct rill_link *list)
{
    struct rill_link *last = list->prev;

    rill_link_remove(last);
    return last;
}

/* Moves all of from's elements, in order, to the end of to. */
static inline void rill_list_append_all(struct rill_link *to, struct rill_link *from)
{
    if (rill_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    rill_list_init(from);
}

/* Moves all of from's elements, in order, into the fresh list to. */
static inline void rill_list_take(struct rill_link *to, struct rill_link *from)
{
    rill_list_init(to);
    rill_list_append_all(to, from);
}

#ifdef __cplusplus
}
#endif
#endif
