/* SPDX-License-Identifier: Apache-2.0 */
#include "io/recheck.h"

#include "io/reactor.h"

#include <poll.h>

void rill_recheck_init(struct rill_recheck *recheck)
{
    *recheck = (struct rill_recheck){.timeout = {.tv_nsec = RILL_RECHECK_NS}};
    rill_list_init(&recheck->heard);
}

void rill_recheck_begin(struct rill_recheck *recheck)
{
    rill_list_append(&recheck->heard, &recheck->mark);
}

/* Looks at receives that have been silent, which are on no list. */
static void look_at(struct rill_reactor *reactor, struct rill_op **silent, unsigned count)
{
    struct pollfd descriptors[RILL_RECHECK_BATCH];
    int ready;

    for (unsigned i = 0; i < count; i++)
        descriptors[i] = (struct pollfd){.fd = silent[i]->fd, .events = POLLIN | POLLRDHUP};
    ready = reactor->kernel->ops->poll(reactor->kernel, descriptors, count);
    for (unsigned i = 0; i < count; i++) {
        if (ready < 0) { /* the kernel was short of memory: in the next round */
            rill_list_append(&reactor->recheck.heard, &silent[i]->queue);
        } else if (descriptors[i].revents) {
            reactor->stats.receives_recovered++;
            rill_reactor_cancel(reactor, silent[i]);
        }
    }
}

void rill_recheck_go_on(struct rill_reactor *reactor)
{
    struct rill_recheck *recheck = &reactor->recheck;
    struct rill_op *silent[RILL_RECHECK_BATCH];
    unsigned count = 0;

    for (unsigned i = 0; i < RILL_RECHECK_BATCH; i++) {
        struct rill_link *link = rill_list_pop(&recheck->heard);
        struct rill_receiver *receiver;

        if (link == &recheck->mark) {
            recheck->is_timed = false;
            break;
        }
        receiver = rill_container_of(link, struct rill_receiver, op.queue);
        if (receiver->heard)
            rill_list_append(&recheck->heard, link);
        else
            silent[count++] = &receiver->op;
        receiver->heard = false;
    }
    if (count > 0)
        look_at(reactor, silent, count);
    if (rill_recheck_is_going_on(recheck))
        rill_reactor_hurry(reactor);
}
