/* SPDX-License-Identifier: Apache-2.0 */
#include "io/quiet.h"

void rill_quiet_settle(struct rill_reactor *reactor, unsigned taken_over, bool has_overflowed)
{
    struct rill_link settled;

    if (has_overflowed) {
        reactor->in_hurry = true;
        return;
    }
    /* A complete function may submit the next quiet op: look at those of now. */
    rill_list_take(&settled, &reactor->quiet);
    while (!rill_list_is_empty(&settled)) {
        struct rill_op *op = rill_container_of(rill_list_pop(&settled), struct rill_op, queue);
        bool still_queued = (int32_t)(taken_over - op->queue_tail) < 0;

        if (still_queued) { /* and the others are behind it */
            rill_list_prepend(&settled, &op->queue);
            break;
        }
        reactor->ops_in_flight--;
        op->complete(op, (int32_t)op->remaining, 0);
    }
    if (!rill_list_is_empty(&settled))
        reactor->in_hurry = true;
    while (!rill_list_is_empty(&settled))
        rill_list_prepend(&reactor->quiet, rill_list_pop_last(&settled));
}
