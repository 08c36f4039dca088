/* SPDX-License-Identifier: Apache-2.0 */
/* waiting.h - private: tasks that wait in line for what others send: connection requests,
 * active messages, calls. */
#ifndef RILL_RDMA_WAITING_H
#define RILL_RDMA_WAITING_H

#include "rdma/rdma.h"
#include "runtime/line.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Joins the end of the line if it is not in it, counts in source.pending, and stays, to be
 * woken as task. */
static inline void rill_rdma_line_join(struct rill_rdma *rdma, struct rill_line *line,
                                       struct rill_place_in_line *place, struct rill_task *task)
{
    if (!rill_link_is_linked(&place->link)) {
        rdma->source.pending++;
        rill_event_source_touch(&rdma->source);
    }
    rill_line_join(line, place, task);
}

/* Leaves the line, if it was in it, and lets the next one look where there is more: what woke
 * this one may be enough for both. */
static inline void rill_rdma_line_leave(struct rill_rdma *rdma, struct rill_line *line,
                                        struct rill_place_in_line *place, bool is_more)
{
    if (rill_link_is_linked(&place->link)) {
        rill_line_leave(place);
        rdma->source.pending--;
    }
    if (is_more)
        rill_line_wake_first(line);
}

#ifdef __cplusplus
}
#endif
#endif
