/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/connection.h"

#include "rdma/control.h"
#include "rdma/error.h"
#include "rdma/exchange.h"
#include "rdma/keeper.h"
#include "rdma/tag.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>

/* ---- its state ---- */

const char *rill_rdma_state_name(enum rill_rdma_state state)
{
    static const char *const names[] = {"idle",    "listening", "connecting", "connected",
                                        "closing", "closed",    "failed"};

    return names[state];
}

int rill_rdma_peer_address(const struct rill_rdma_connection *connection,
                           struct rill_address *address)
{
    if (connection->state == RILL_RDMA_IDLE || connection->target.size == 0)
        return -ENOTCONN;
    *address = connection->target;
    return 0;
}

/* A connection may be waited for while it is zeroed. It has a list only once somebody waits, or it
 * has begun: a list points at itself, and what was never connected may move. */
static struct rill_notify *changes_of(struct rill_rdma_connection *connection)
{
    if (!connection->changed.waiters.next)
        rill_notify_init(&connection->changed);
    return &connection->changed;
}

void rill_rdma_connection_set_state(struct rill_rdma_connection *connection,
                                    enum rill_rdma_state state)
{
    connection->state = (uint8_t)state;
    rill_rdma_exchange_wake(connection);
    rill_notify_all(changes_of(connection));
}

int rill_rdma_connection_why(const struct rill_rdma_connection *connection)
{
    switch ((enum rill_rdma_state)connection->state) {
    case RILL_RDMA_IDLE:
    case RILL_RDMA_LISTENING:
    case RILL_RDMA_CONNECTING:
        return -ENOTCONN;
    case RILL_RDMA_CONNECTED:
        return connection->ep.error ? connection->ep.error : -ESHUTDOWN;
    case RILL_RDMA_CLOSING:
    case RILL_RDMA_CLOSED:
        return -ESHUTDOWN;
    case RILL_RDMA_FAILED:
        break;
    }
    return connection->error;
}

/* One whose endpoint has failed is connected only until its keeper has seen that, soon. */
static bool is_there(const struct rill_rdma_state_wait *wait)
{
    const struct rill_rdma_connection *connection = wait->connection;

    if (connection->state == RILL_RDMA_CONNECTED && connection->ep.error)
        return false;
    return wait->states & 1u << connection->state;
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_state_wait *wait =
        rill_container_of(self, struct rill_rdma_state_wait, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* it may end at once */
    if (rill_task_is_cancelled(task))
        RILL_RETURN(-ECANCELED);
    while (!is_there(wait)) {
        RILL_AWAIT(rill_notify_wait(changes_of(wait->connection), &wait->wait));
        if (wait->wait.result < 0)
            RILL_RETURN(wait->wait.result);
    }
    RILL_RETURN(wait->connection->state);
    RILL_END();
}

struct rill_future *rill_rdma_wait_for_state(struct rill_rdma_connection *connection,
                                             struct rill_rdma_state_wait *wait, unsigned states)
{
    wait->connection = connection;
    wait->states = states;
    return rill_future_init(&wait->future, wait_poll);
}

static enum rill_poll wait_for_connection_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_state_wait *wait =
        rill_container_of(self, struct rill_rdma_state_wait, future);
    enum rill_poll poll;

    wait->states = 1u << RILL_RDMA_CONNECTED | 1u << RILL_RDMA_CLOSED | 1u << RILL_RDMA_FAILED |
                   1u << RILL_RDMA_IDLE;
    if (!rill_rdma_keeper_comes_back(wait->connection))
        wait->states |= 1u << RILL_RDMA_CLOSING;
    poll = wait_poll(self, task);
    if (poll == RILL_READY && wait->result >= 0)
        wait->result =
            wait->result == RILL_RDMA_CONNECTED ? 0 : rill_rdma_connection_why(wait->connection);
    return poll;
}

struct rill_future *rill_rdma_wait_for_connection(struct rill_rdma_connection *connection,
                                                  struct rill_rdma_state_wait *wait)
{
    wait->connection = connection;
    return rill_future_init(&wait->future, wait_for_connection_poll);
}

/* ---- its beginning ---- */

static void set_options(struct rill_rdma_connection *connection,
                        const struct rill_rdma_connection_options *options)
{
    struct rill_rdma_connection_options *mine = &connection->options;

    *mine = options ? *options : (struct rill_rdma_connection_options){0};
    if (mine->handshake_ns == 0)
        mine->handshake_ns = RILL_RDMA_HANDSHAKE_NS;
    if (mine->close_ns == 0)
        mine->close_ns = RILL_RDMA_CLOSE_NS;
    if (mine->silence_ns == 0)
        mine->silence_ns = RILL_RDMA_SILENCE_NS;
    if (mine->window == 0)
        mine->window = RILL_RDMA_WINDOW;
    if (mine->bytes_per_second == 0)
        mine->bytes_per_second = RILL_RDMA_BYTES_PER_SECOND;
    if (mine->reconnect_first_ns == 0)
        mine->reconnect_first_ns = RILL_RDMA_RECONNECT_FIRST_NS;
    if (mine->reconnect_max_ns == 0)
        mine->reconnect_max_ns = RILL_RDMA_RECONNECT_MAX_NS;
    rill_check(mine->handshake_ns > 0 && mine->close_ns > 0 && mine->silence_ns > 0 &&
                   mine->reconnect_first_ns > 0,
               "a connection with a time below 0 in its options");
    if (mine->reconnect_max_ns < mine->reconnect_first_ns)
        mine->reconnect_max_ns = mine->reconnect_first_ns;
}

static void begin(struct rill_rdma_connection *connection, struct rill_rdma_hub *hub,
                  const struct rill_rdma_connection_options *options)
{
    const struct rill_rdma_metrics *metrics = &connection->metrics;
    struct rill_notify changed;

    rill_check(connection->state == RILL_RDMA_IDLE,
               "a connection is made that is %s already: it is to be disconnected first",
               rill_rdma_state_name((enum rill_rdma_state)connection->state));
    rill_check(metrics->sends_in_flight + metrics->receives_in_flight == 0,
               "a connection is made anew while %llu sends and %llu receives of the former one are "
               "not over",
               (unsigned long long)metrics->sends_in_flight,
               (unsigned long long)metrics->receives_in_flight);
    rill_check(hub->is_open, "a connection is made in a hub that is not open");
    changed = connection->changed; /* somebody may wait already */
    memset(connection, 0, sizeof *connection);
    connection->hub = hub;
    connection->changed = changed;
    rill_list_init(&connection->waiting);
    rill_notify_init(&connection->nudge);
    set_options(connection, options);
    rill_backoff_init(&connection->backoff, connection->options.reconnect_first_ns,
                      connection->options.reconnect_max_ns);
}

static void start_keeper(struct rill_rdma_connection *connection, enum rill_rdma_state state)
{
    rill_rdma_connection_set_state(connection, state);
    rill_task_spawn(&connection->keeper, rill_rdma_keeper_poll);
}

/* The keeper has ended, and everything of UCX's with it. Transfers have ended too, though some
 * may not have been awaited to their end. */
static void forget(struct rill_rdma_connection *connection)
{
    struct rill_rdma_metrics *ended = &connection->hub->ended;

    rill_rdma_keeper_bury(connection);
    rill_rdma_metrics_add(ended, &connection->metrics);
    ended->sends_in_flight = 0;
    ended->receives_in_flight = 0;
    rill_rdma_connection_set_state(connection, RILL_RDMA_IDLE);
    connection->changed = (struct rill_notify){0}; /* empty; and what is idle may move */
}

static void want_over(struct rill_rdma_connection *connection)
{
    connection->is_wanted_over = true;
    rill_task_wake(&connection->keeper);
    rill_notify_all(&connection->nudge);
}

static void cut(struct rill_rdma_connection *connection)
{
    connection->is_cut = true;
    want_over(connection);
}

/* Waits until the keeper of a connection that has failed, or was cut, is over, which is soon; also
 * in a task that is cancelled, as the connection is to be forgotten then. */
static struct rill_future *join_keeper(struct rill_rdma_connection *connection)
{
    return rill_shield(&connection->shield, rill_task_join(&connection->keeper, &connection->join));
}

static enum rill_poll connect_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection *connection =
        rill_container_of(self, struct rill_rdma_connection, future);

    RILL_BEGIN();
    if (rill_task_is_cancelled(task)) {
        RILL_SPEND_BUDGET();
        RILL_RETURN(-ECANCELED);
    }
    start_keeper(connection, RILL_RDMA_CONNECTING);
    while (connection->state == RILL_RDMA_CONNECTING && !rill_task_is_over(&connection->keeper)) {
        RILL_AWAIT(rill_notify_wait(&connection->changed, &connection->wait));
        if (connection->wait.result == -ECANCELED)
            break;
    }
    if (connection->metrics.connects > 0 && connection->state != RILL_RDMA_CONNECTING &&
        connection->state != RILL_RDMA_FAILED)
        RILL_RETURN(0);
    if (connection->state == RILL_RDMA_CONNECTING)
        cut(connection);
    RILL_AWAIT(join_keeper(connection));
    forget(connection);
    RILL_RETURN(connection->is_cut ? -ECANCELED : connection->error);
    RILL_END();
}

static struct rill_future *prepare_connect(struct rill_rdma_connection *connection)
{
    return rill_future_init(&connection->future, connect_poll);
}

struct rill_future *rill_rdma_connect(struct rill_rdma_connection *connection,
                                      struct rill_rdma_hub *hub, const struct rill_address *address,
                                      const struct rill_rdma_connection_options *options)
{
    begin(connection, hub, options);
    connection->target = *address;
    return prepare_connect(connection);
}

struct rill_future *rill_rdma_connect_worker(struct rill_rdma_connection *connection,
                                             struct rill_rdma_hub *hub, const void *address,
                                             const struct rill_rdma_connection_options *options)
{
    begin(connection, hub, options);
    connection->target_worker = address;
    return prepare_connect(connection);
}

int rill_rdma_adopt(struct rill_rdma_connection *connection, struct rill_rdma_hub *hub,
                    struct rill_rdma_accept *accept,
                    const struct rill_rdma_connection_options *options)
{
    int error;

    begin(connection, hub, options);
    connection->is_adopted = true;
    connection->target = accept->peer;
    error = rill_rdma_ep_begin_adopted(&connection->ep, accept);
    if (error)
        return error;
    rill_rdma_keeper_take_ep(connection);
    start_keeper(connection, RILL_RDMA_LISTENING);
    return 0;
}

int rill_rdma_adopt_worker(struct rill_rdma_connection *connection, struct rill_rdma_hub *hub,
                           struct rill_rdma_am *stranger,
                           const struct rill_rdma_connection_options *options)
{
    struct rill_rdma_control hello;
    int error = -EPROTO;

    begin(connection, hub, options);
    connection->is_adopted = true;
    if (rill_rdma_control_read(&hello, stranger->header, stranger->header_size) &&
        hello.kind == RILL_RDMA_HELLO && stranger->data)
        error = rill_rdma_ep_begin_at_worker(&connection->ep, hub->rdma, stranger->data);
    rill_rdma_am_release(stranger);
    if (error)
        return error;
    rill_rdma_keeper_take_ep(connection);
    start_keeper(connection, RILL_RDMA_LISTENING);
    rill_rdma_control_hear(connection, &hello);
    return 0;
}

/* ---- its end ---- */

static enum rill_poll disconnect_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection *connection =
        rill_container_of(self, struct rill_rdma_connection, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* it may end at once */
    if (connection->state == RILL_RDMA_IDLE)
        RILL_RETURN(0);
    want_over(connection);
    if (!rill_task_is_cancelled(task) && !connection->is_cut)
        RILL_AWAIT(rill_task_join(&connection->keeper, &connection->join));
    if (!rill_task_is_over(&connection->keeper)) {
        cut(connection);
        RILL_AWAIT(join_keeper(connection));
    }
    if (connection->is_cut) /* here, or by its keeper, which was cancelled with the runtime */
        connection->error = -ECANCELED;
    forget(connection);
    RILL_RETURN(connection->error == -ESHUTDOWN ? 0 : connection->error);
    RILL_END();
}

struct rill_future *rill_rdma_disconnect(struct rill_rdma_connection *connection)
{
    return rill_future_init(&connection->future, disconnect_poll);
}

static enum rill_poll cut_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection *connection =
        rill_container_of(self, struct rill_rdma_connection, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* it may end at once */
    if (connection->state == RILL_RDMA_IDLE)
        RILL_RETURN(0);
    cut(connection);
    RILL_AWAIT(join_keeper(connection));
    forget(connection);
    RILL_END();
}

struct rill_future *rill_rdma_cut(struct rill_rdma_connection *connection)
{
    return rill_future_init(&connection->future, cut_poll);
}
