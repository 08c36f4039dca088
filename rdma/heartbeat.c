/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/heartbeat.h"

#include "rdma/connection.h"
#include "rdma/control.h"
#include "runtime/executor.h"

#include <errno.h>

static bool is_up(const struct rill_rdma_connection *connection)
{
    return connection->state == RILL_RDMA_CONNECTED || connection->state == RILL_RDMA_CLOSING;
}

void rill_rdma_heartbeat_begin(struct rill_rdma_connection *connection)
{
    struct rill_rdma_heartbeat *heartbeat = &connection->heartbeat;
    int64_t now = rill_now();

    heartbeat->beat_due_ns = rill_time_after(now, heartbeat->beat_ns);
    heartbeat->check_ns = rill_rdma_control_beat_ns(connection);
    heartbeat->check_due_ns = rill_time_after(now, heartbeat->check_ns);
}

/* How long what is on its way may take. Heartbeats of this side and of the other may be behind
 * it, whichever side moves the bytes. */
static int64_t load_ns(const struct rill_rdma_connection *connection)
{
    uint64_t bytes = connection->ep.bytes_in_flight + connection->heartbeat.peer_load;
    uint64_t per_millisecond = connection->options.bytes_per_second / 1000 + 1;

    return (int64_t)(bytes / per_millisecond) * RILL_MILLISECOND;
}

static void look_for_life(struct rill_rdma_connection *connection)
{
    struct rill_rdma_heartbeat *heartbeat = &connection->heartbeat;

    if (heartbeat->heard != heartbeat->heard_before) {
        heartbeat->silent_checks = 0;
        heartbeat->laden_checks = 0;
    } else if ((heartbeat->laden_checks + 1) * heartbeat->check_ns <= load_ns(connection)) {
        heartbeat->laden_checks++;
    } else if (++heartbeat->silent_checks == RILL_RDMA_BEATS - 1) {
        rill_rdma_ep_fail(&connection->ep, -ETIMEDOUT);
    }
    heartbeat->heard_before = heartbeat->heard;
}

/* Announces a large load before it goes out: this side's heartbeats will wait behind it, and the
 * other side must not take that for silence. */
static void tell_of_load(struct rill_rdma_connection *connection)
{
    if (connection->heartbeat.beat_ns > 0 &&
        connection->ep.bytes_in_flight >= connection->ep.bytes_told + RILL_RDMA_EP_LOAD)
        connection->to_say |= 1u << RILL_RDMA_BEAT;
}

void rill_rdma_heartbeat_look(struct rill_rdma_connection *connection)
{
    struct rill_rdma_heartbeat *heartbeat = &connection->heartbeat;
    int64_t now = rill_now();

    if (!is_up(connection))
        return;
    if (heartbeat->beat_ns > 0 && now >= heartbeat->beat_due_ns) {
        heartbeat->beat_due_ns = rill_time_after(now, heartbeat->beat_ns);
        connection->to_say |= 1u << RILL_RDMA_BEAT;
    }
    tell_of_load(connection);
    if (heartbeat->check_ns == 0 || now < heartbeat->check_due_ns)
        return;
    heartbeat->check_due_ns = rill_time_after(now, heartbeat->check_ns);
    look_for_life(connection);
}

int64_t rill_rdma_heartbeat_next(const struct rill_rdma_connection *connection)
{
    const struct rill_rdma_heartbeat *heartbeat = &connection->heartbeat;
    int64_t next = RILL_NEVER;

    if (!is_up(connection))
        return RILL_NEVER;
    if (heartbeat->beat_ns > 0)
        next = heartbeat->beat_due_ns;
    if (heartbeat->check_ns > 0 && heartbeat->check_due_ns < next)
        next = heartbeat->check_due_ns;
    return next;
}
