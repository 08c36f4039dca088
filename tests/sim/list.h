/* SPDX-License-Identifier: Apache-2.0 */
/* list.h - lists of links that are embedded in what they link, with the head among them. */
#ifndef RILL_TESTS_SIM_LIST_H
#define RILL_TESTS_SIM_LIST_H

#include <stdbool.h>
#include <stddef.h>

#define sim_container_of(pointer, type, member)                                                    \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct sim_link {
    struct sim_link *next, *previous;
};

static inline void sim_list_init(struct sim_link *head)
{
    head->next = head->previous = head;
}

static inline bool sim_list_empty(const struct sim_link *head)
{
    return head->next == head;
}

static inline void sim_list_append(struct sim_link *head, struct sim_link *link)
{
    link->next = head;
    link->previous = head->previous;
    head->previous->next = link;
    head->previous = link;
}

/* A removed link is a list of its own, so removing twice does no harm. */
static inline void sim_list_remove(struct sim_link *link)
{
    link->previous->next = link->next;
    link->next->previous = link->previous;
    sim_list_init(link);
}

#endif
