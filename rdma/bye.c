/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/bye.h"

#include "rdma/connection.h"
#include "rdma/control.h"
#include "rdma/tag.h"
#include "runtime/executor.h"

#include <errno.h>

/* ---- the two BYEs ---- */

/* Notes in *was_done that the other side's BYE has come, or that ours was taken, whichever op
 * is. Where one of them fails the connection has, as neither side could know any more. */
static void look_at(struct rill_rdma_connection *connection, struct rill_rdma_op *op,
                    bool *was_done, struct rill_task *task)
{
    if (rill_rdma_op_poll_if_busy(op, task) == RILL_PENDING)
        return;
    if (op->result == 0)
        *was_done = true;
    else /* a BYE has no bytes: one that does not fit is a mistake of the other side's */
        rill_rdma_ep_fail(&connection->ep, op->result == -EMSGSIZE ? -EPROTO : (int)op->result);
}

void rill_rdma_bye_look(struct rill_rdma_connection *connection, struct rill_task *task)
{
    struct rill_rdma_bye *bye = &connection->bye;

    look_at(connection, &bye->recv, &bye->came, task);
    look_at(connection, &bye->send, &bye->is_taken, task);
}

/* It may be there already: the other side may have sent all it had and disconnected before its
 * answer was read here. */
void rill_rdma_bye_expect(struct rill_rdma_connection *connection, struct rill_task *task)
{
    struct rill_rdma_bye *bye = &connection->bye;

    rill_rdma_tag_recv_from(&connection->ep, &bye->recv, NULL, 0,
                            rill_rdma_tag_make(connection->id, RILL_RDMA_KIND_BYE, 0),
                            RILL_RDMA_TAG_EXACT);
    look_at(connection, &bye->recv, &bye->came, task);
    if (bye->came)
        rill_task_wake(task);
}

static void say_bye(struct rill_rdma_connection *connection, struct rill_task *task)
{
    struct rill_rdma_bye *bye = &connection->bye;

    bye->is_said = true;
    rill_rdma_tag_send_sync(&connection->ep, &bye->send, NULL, 0,
                            rill_rdma_tag_make(connection->peer.id, RILL_RDMA_KIND_BYE, 0));
    look_at(connection, &bye->send, &bye->is_taken, task);
}

/* ---- what comes, where nobody receives ---- */

/* Takes what this side will not receive any more, and gives the credit back, so that the other
 * side's sends end, those too that wait for credit: it says BYE only after them. */
static unsigned sweep(struct rill_rdma_watcher *sweeper)
{
    struct rill_rdma_connection *connection =
        rill_container_of(sweeper, struct rill_rdma_connection, bye.sweeper);

    uint64_t cost =
        rill_rdma_hub_sweep(connection->hub, connection->id, connection->peer.eager_size);

    if (cost == 0)
        return 0;
    connection->credit.received += cost;
    rill_rdma_connection_settle(connection);
    return 1;
}

static void begin_sweeping(struct rill_rdma_connection *connection)
{
    struct rill_rdma_watcher *sweeper = &connection->bye.sweeper;

    if (rill_link_is_linked(&sweeper->link))
        return;
    connection->deadline_ns =
        rill_time_after(rill_now_of_beginning(), connection->options.close_ns);
    sweeper->look = sweep;
    rill_rdma_watch(connection->hub->rdma, sweeper);
    sweep(sweeper);
}

void rill_rdma_bye_stop_sweeping(struct rill_rdma_connection *connection)
{
    rill_rdma_unwatch(connection->hub->rdma, &connection->bye.sweeper);
}

/* ---- from BYE to DONE ---- */

static void say_done(struct rill_rdma_connection *connection, struct rill_task *task)
{
    connection->bye.is_done_said = true;
    connection->to_say |= 1u << RILL_RDMA_DONE;
    rill_rdma_control_speak(connection, task);
}

void rill_rdma_bye_go_on(struct rill_rdma_connection *connection, struct rill_task *task)
{
    struct rill_rdma_bye *bye = &connection->bye;

    if (connection->is_wanted_over)
        begin_sweeping(connection);
    if (!bye->is_said && connection->metrics.sends_in_flight == 0)
        say_bye(connection, task);
    if (rill_rdma_bye_is_agreed(bye) && !bye->is_done_said)
        say_done(connection, task);
}

bool rill_rdma_bye_is_done(const struct rill_rdma_connection *connection)
{
    return rill_rdma_bye_is_agreed(&connection->bye) && connection->bye.done_came &&
           !connection->to_say && !rill_rdma_op_is_busy(&connection->control_op);
}
