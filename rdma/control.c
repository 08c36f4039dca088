/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/control.h"

#include "rdma/exchange.h"

#include <errno.h>

/* ---- hearing ---- */

/* Returns 0, or why there can be no connection with who says so. */
static int compare(const struct rill_rdma_connection *connection,
                   const struct rill_rdma_control *control)
{
    if (control->version != RILL_RDMA_WIRE_VERSION)
        return -EPROTONOSUPPORT;
    if (!rill_rdma_segments_agree(&connection->hub->rdma->segments, &control->segments))
        return -EPROTOTYPE;
    return 0;
}

static void greet(struct rill_rdma_connection *connection, const struct rill_rdma_control *control)
{
    connection->peer.has_greeted = true;
    connection->peer.id = control->from;
    connection->peer.eager_size = control->eager_size;
    connection->credit.peer_window = control->window;
    connection->heartbeat.beat_ns = control->beat_ms * RILL_MILLISECOND;
}

static bool hear_beat(struct rill_rdma_connection *connection,
                      const struct rill_rdma_control *control)
{
    if (!connection->peer.has_greeted || control->from != connection->peer.id)
        return false;
    if (!rill_rdma_credit_acknowledge(&connection->credit, control->received)) {
        rill_rdma_ep_fail(&connection->ep, -EPROTO);
        return false;
    }
    connection->heartbeat.heard++;
    connection->heartbeat.peer_load = (uint64_t)control->load_kib << 10;
    connection->metrics.beats_received++;
    rill_rdma_exchange_wake(connection);
    return true;
}

static bool hear_done(struct rill_rdma_connection *connection,
                      const struct rill_rdma_control *control)
{
    if (!connection->peer.has_greeted || control->from != connection->peer.id)
        return false;
    connection->heartbeat.heard++;
    connection->bye.done_came = true;
    rill_task_wake(&connection->keeper);
    return true;
}

/* Those that on this side say that it was somebody's wish are none. */
static bool is_reason(int32_t reason)
{
    return reason < 0 && reason > -4096 && reason != -ESHUTDOWN && reason != -ECANCELED;
}

bool rill_rdma_control_hear(struct rill_rdma_connection *connection,
                            const struct rill_rdma_control *control)
{
    if (control->kind == RILL_RDMA_BEAT)
        return hear_beat(connection, control);
    if (control->kind == RILL_RDMA_DONE)
        return hear_done(connection, control);
    if (connection->peer.has_greeted || connection->peer.refused ||
        connection->is_adopted != (control->kind == RILL_RDMA_HELLO))
        return false;
    switch (control->kind) {
    case RILL_RDMA_HELLO:
    case RILL_RDMA_ACK:
        connection->peer.refused = compare(connection, control);
        if (!connection->peer.refused) {
            greet(connection, control);
        } else {
            connection->peer.id = control->from;
            connection->to_say = 1u << RILL_RDMA_REFUSE;
        }
        break;
    case RILL_RDMA_REFUSE:
        connection->peer.refused = is_reason(control->reason) ? control->reason : -EPROTO;
        break;
    default:
        return false;
    }
    rill_task_wake(&connection->keeper);
    return true;
}

/* ---- speaking ---- */

/* Whole milliseconds, as it is said to the other side in those, and rounded up: to be asked for
 * none is another thing, and a side that beats less often than it is looked for seems dead. */
int64_t rill_rdma_control_beat_ns(const struct rill_rdma_connection *connection)
{
    const struct rill_rdma_connection_options *options = &connection->options;
    int64_t ms;

    if (options->is_unprotected || options->silence_ns == RILL_NEVER)
        return 0;
    ms = (options->silence_ns / RILL_RDMA_BEATS + RILL_MILLISECOND - 1) / RILL_MILLISECOND;
    if (ms < 1)
        ms = 1;
    return (ms < UINT32_MAX ? ms : UINT32_MAX) * RILL_MILLISECOND;
}

static void say(struct rill_rdma_connection *connection, enum rill_rdma_control_kind kind)
{
    uint64_t load_kib = connection->ep.bytes_in_flight >> 10;
    bool is_to_stranger = kind == RILL_RDMA_HELLO && connection->target_worker;
    const void *address = NULL;
    size_t address_size = 0;

    connection->control = rill_rdma_control_swap((struct rill_rdma_control){
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = RILL_RDMA_WIRE_VERSION,
        .kind = (uint8_t)kind,
        .to = connection->peer.id,
        .from = connection->id,
        .received = connection->credit.received,
        .window = connection->credit.window,
        .eager_size = connection->hub->rdma->eager_size,
        .beat_ms = (uint32_t)(rill_rdma_control_beat_ns(connection) / RILL_MILLISECOND),
        .reason = connection->peer.refused,
        .load_kib = load_kib < UINT32_MAX ? (uint32_t)load_kib : UINT32_MAX,
        .segments = connection->hub->rdma->segments,
    });
    connection->credit.told = connection->credit.received;
    if (kind == RILL_RDMA_BEAT) {
        connection->ep.bytes_told = connection->ep.bytes_in_flight;
        connection->metrics.beats_sent++;
    }
    if (is_to_stranger)
        address = rill_rdma_address(connection->hub->rdma, &address_size);
    rill_rdma_am_send(&connection->ep, &connection->control_op,
                      is_to_stranger ? RILL_RDMA_STRANGER_ID : RILL_RDMA_CONTROL_ID,
                      &connection->control, sizeof connection->control, address, address_size,
                      is_to_stranger ? RILL_RDMA_AM_EAGER
                                     : (kind == RILL_RDMA_HELLO ? RILL_RDMA_AM_REPLY : 0));
}

/* One at a time: what is to be said meanwhile is said together. */
void rill_rdma_control_speak(struct rill_rdma_connection *connection, struct rill_task *task)
{
    rill_rdma_op_poll_if_busy(&connection->control_op, task);
    while (!rill_rdma_op_is_busy(&connection->control_op) && connection->to_say) {
        enum rill_rdma_control_kind kind =
            (enum rill_rdma_control_kind)__builtin_ctz(connection->to_say);

        connection->to_say &= (uint8_t) ~(1u << kind);
        say(connection, kind);
        if (rill_rdma_op_poll_if_busy(&connection->control_op, task) == RILL_READY &&
            connection->control_op.result < 0)
            rill_rdma_ep_fail(&connection->ep, (int)connection->control_op.result);
    }
}
