/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/heartbeat.h"

#include "rdma/control.h"
#include "runtime/executor.h"

#include <errno.h>

static bool is_up(const struct rill_rdma_connection *connection)
{
    return connection->state == RILL_RDMA_CONNECTED || connection->state == RILL_RDMA_CLOSING;
}

void rill_rdma_heartbeat_begin(struct rill_rdma_connection *connection)
{
    int64_t now = rill_now();

    connection->beat_due_ns = rill_time_after(now, connection->beat_ns);
    connection->check_ns = rill_rdma_control_beat_ns(connection);
    connection->check_due_ns = rill_time_after(now, connection->check_ns);
    connection->silent_checks = 0;
    connection->laden_checks = 0;
}

/* How long what is on its way may take. Heartbeats of this side and of the other may be behind
 * it, whichever side moves the bytes. */
static int64_t load_ns(const struct rill_rdma_connection *connection)
{
    uint64_t bytes = connection->ep.bytes_in_flight + connection->peer_load;
    uint64_t per_millisecond = connection->options.bytes_per_second / 1000 + 1;

    return (int64_t)(bytes / per_millisecond) * RILL_MILLISECOND;
}

static void look_for_life(struct rill_rdma_connection *connection)
{
    if (connection->heard != connection->heard_before) {
        connection->silent_checks = 0;
        connection->laden_checks = 0;
    } else if ((connection->laden_checks + 1) * connection->check_ns <= load_ns(connection)) {
        connection->laden_checks++;
    } else if (++connection->silent_checks == RILL_RDMA_BEATS - 1) {
        rill_rdma_ep_fail(&connection->ep, -ETIMEDOUT);
    }
    connection->heard_before = connection->heard;
}

/* Announces a large load before it goes out: this side's heartbeats will wait behind it, and the
 * other side must not take that for silence. */
static void tell_of_load(struct rill_rdma_connection *connection)
{
    if (connection->beat_ns > 0 &&
        connection->ep.bytes_in_flight >= connection->ep.bytes_told + RILL_RDMA_EP_LOAD)
        connection->to_say |= 1u << RILL_RDMA_BEAT;
}

void rill_rdma_heartbeat_look(struct rill_rdma_connection *connection)
{
    int64_t now = rill_now();

    if (!is_up(connection))
        return;
    if (connection->beat_ns > 0 && now >= connection->beat_due_ns) {
        connection->beat_due_ns = rill_time_after(now, connection->beat_ns);
        connection->to_say |= 1u << RILL_RDMA_BEAT;
    }
    tell_of_load(connection);
    if (connection->check_ns == 0 || now < connection->check_due_ns)
        return;
    connection->check_due_ns = rill_time_after(now, connection->check_ns);
    look_for_life(connection);
}

int64_t rill_rdma_heartbeat_next(const struct rill_rdma_connection *connection)
{
    int64_t next = RILL_NEVER;

    if (!is_up(connection))
        return RILL_NEVER;
    if (connection->beat_ns > 0)
        next = connection->beat_due_ns;
    if (connection->check_ns > 0 && connection->check_due_ns < next)
        next = connection->check_due_ns;
    return next;
}
