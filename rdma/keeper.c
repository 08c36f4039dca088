/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/keeper.h"

#include "rdma/control.h"
#include "rdma/exchange.h"
#include "rdma/hearing.h"
#include "rdma/heartbeat.h"
#include "rdma/pairing.h"
#include "rdma/shortage.h"
#include "runtime/executor.h"

#include <errno.h>

/* ---- an attempt ---- */

void rill_rdma_keeper_take_ep(struct rill_rdma_connection *connection)
{
    connection->ep.owner = connection;
    connection->ep.observer = &connection->keeper;
    rill_rdma_hub_add(connection->hub, connection);
    connection->credit.window = connection->options.window;
    if (connection->options.is_unprotected || connection->options.window == UINT64_MAX)
        connection->credit.window = 0;
    connection->deadline_ns =
        rill_time_after(rill_now_of_beginning(), connection->options.handshake_ns);
}

void rill_rdma_keeper_bury(struct rill_rdma_connection *connection)
{
    if (connection->id == 0)
        return;
    rill_rdma_hub_sweep(connection->hub, connection->id, 0);
    rill_rdma_hub_remove(connection->hub, connection);
}

/* Opens the endpoint of the side that connects. Returns 0 or -errno. */
static int begin_attempt(struct rill_rdma_connection *connection)
{
    int error;

    if (connection->is_adopted)
        return 0;
    connection->attempts++;
    if (connection->target_worker)
        error = rill_rdma_ep_begin_at_worker(&connection->ep, connection->hub->rdma,
                                             connection->target_worker);
    else
        error = rill_rdma_ep_begin_at(&connection->ep, connection->hub->rdma, &connection->target);
    if (error)
        return error;
    /* Up to here it is the one that was lost, whose messages may still be received. */
    rill_rdma_keeper_bury(connection);
    connection->peer = (struct rill_rdma_peer){0};
    connection->credit = (struct rill_rdma_credit){0};
    connection->heartbeat = (struct rill_rdma_heartbeat){0};
    connection->bye = (struct rill_rdma_bye){0}; /* UCX has let go of its ops with the endpoint */
    rill_rdma_keeper_take_ep(connection);
    if (connection->target_worker)
        connection->deadline_ns = connection->pairing_until_ns;
    connection->to_say = 1u << RILL_RDMA_HELLO;
    return 0;
}

static bool may_try_again(const struct rill_rdma_connection *connection)
{
    return !connection->is_adopted && !connection->is_wanted_over &&
           connection->metrics.connects > 0 &&
           connection->attempts < connection->options.reconnects && !connection->hub->rdma->is_deaf;
}

/* Connects again after a loss, and after an end that the other side has wanted where this one goes
 * on after that; but not where there never was a connection. */
static bool tries_again(const struct rill_rdma_connection *connection)
{
    return may_try_again(connection) &&
           (connection->error != -ESHUTDOWN || connection->options.reconnects_after_end);
}

bool rill_rdma_keeper_comes_back(const struct rill_rdma_connection *connection)
{
    return connection->bye.came && connection->options.reconnects_after_end &&
           may_try_again(connection);
}

/* ---- attending ---- */

/* When to look again at all that has a time. */
static int64_t next_moment(const struct rill_rdma_connection *connection)
{
    int64_t beat_ns = rill_rdma_heartbeat_next(connection);

    if (connection->state == RILL_RDMA_CONNECTED)
        return beat_ns;
    return beat_ns < connection->deadline_ns ? beat_ns : connection->deadline_ns;
}

static void set_timer(struct rill_rdma_connection *connection, int64_t when_ns)
{
    struct rill_wheel *wheel = &rill_executor_here()->wheel;

    if (rill_link_is_linked(&connection->timer.slot) && connection->timer.deadline_ns == when_ns)
        return;
    rill_wheel_disarm(wheel, &connection->timer);
    if (when_ns == RILL_NEVER)
        return;
    connection->timer.deadline_ns = when_ns;
    connection->timer.task = &connection->keeper;
    rill_wheel_arm(wheel, &connection->timer);
}

static void become_connected(struct rill_rdma_connection *connection, struct rill_task *task)
{
    rill_rdma_pairing_leave(connection);
    connection->metrics.connects++;
    connection->attempts = 0;
    connection->lost = 0;
    rill_rdma_shortage_note_settled(&connection->ep);
    connection->connected_ns = rill_now();
    rill_rdma_heartbeat_begin(connection);
    if (connection->is_adopted)
        connection->to_say |= 1u << RILL_RDMA_ACK;
    rill_rdma_bye_expect(connection, task);
    rill_rdma_connection_set_state(connection, RILL_RDMA_CONNECTED);
}

/* Ends attending, and with it the connection, for that reason. An end that neither side has wanted
 * (not -ESHUTDOWN) is a failure, and the endpoint fails with it at once. */
static enum rill_poll end(struct rill_rdma_connection *connection, int error)
{
    connection->error = error;
    if (error == -ETIMEDOUT) /* it may have been heard of, but for this side's hearing */
        rill_rdma_check_hearing(connection->hub->rdma);
    if (error != -ESHUTDOWN) {
        connection->metrics.failures++;
        rill_rdma_ep_fail(&connection->ep, error);
    }
    return RILL_READY;
}

/* A step is taken whenever the keeper is woken. It does what has become possible, and returns
 * RILL_READY when the endpoint is to be closed. This one is that of LISTENING and CONNECTING. */
static enum rill_poll step_to_connected(struct rill_rdma_connection *connection,
                                        struct rill_task *task)
{
    bool is_late = rill_now() >= connection->deadline_ns;

    if (connection->peer.refused) {
        bool is_told = !connection->to_say && !rill_rdma_op_is_busy(&connection->control_op);

        return is_told || is_late || connection->is_wanted_over
                   ? end(connection, connection->peer.refused)
                   : RILL_PENDING;
    }
    if (connection->is_wanted_over)
        return end(connection, connection->lost ? connection->lost : -ESHUTDOWN);
    if (connection->peer.has_greeted)
        become_connected(connection, task);
    else if (is_late)
        return end(connection, -ETIMEDOUT);
    return RILL_PENDING;
}

/* Withdraws all receives: behind the other side's BYE nothing comes that they could match, and if
 * it is this side that disconnects, it wants nothing more. */
static void begin_closing(struct rill_rdma_connection *connection)
{
    connection->deadline_ns =
        rill_time_after(rill_now_of_beginning(), connection->options.close_ns);
    rill_rdma_ep_withdraw(&connection->ep, &connection->bye.recv);
    rill_rdma_connection_set_state(connection, RILL_RDMA_CLOSING);
}

static enum rill_poll step_to_closed(struct rill_rdma_connection *connection,
                                     struct rill_task *task)
{
    rill_rdma_bye_go_on(connection, task);
    if (rill_rdma_bye_is_done(connection))
        return end(connection, -ESHUTDOWN);
    if (rill_now() >= connection->deadline_ns)
        return end(connection, rill_rdma_bye_is_agreed(&connection->bye) ? -ESHUTDOWN : -ETIMEDOUT);
    return RILL_PENDING;
}

/* Why a connection is over whose endpoint has failed. Once both sides have taken each other's BYE
 * that is no loss; and if the other side has refused, its own reason tells more than UCX's, which
 * has a status of its own for what the kernel calls refused
 * (uct_tcp_sockcm_event_err_to_ucs_err_log in tcp_sockcm.c, 1.13). */
static int why_failed(const struct rill_rdma_connection *connection)
{
    if (rill_rdma_bye_is_agreed(&connection->bye))
        return -ESHUTDOWN;
    if (connection->peer.refused)
        return connection->peer.refused;
    return connection->ep.error == -ENOTCONN && connection->state == RILL_RDMA_CONNECTING
               ? -ECONNREFUSED
               : connection->ep.error;
}

static enum rill_poll step(struct rill_rdma_connection *connection, struct rill_task *task)
{
    if (rill_task_is_cancelled(task)) /* with its runtime: no other will be made */
        connection->is_cut = true;
    else if ((connection->is_cut || connection->is_wanted_over) &&
             rill_rdma_pairing_has_to_be_heard(connection))
        return RILL_PENDING;
    if (connection->is_cut)
        return end(connection, -ESHUTDOWN);
    rill_rdma_bye_look(connection, task);
    if (connection->ep.error)
        return end(connection, why_failed(connection));
    if (connection->state == RILL_RDMA_LISTENING || connection->state == RILL_RDMA_CONNECTING)
        return step_to_connected(connection, task);
    if (connection->state == RILL_RDMA_CONNECTED) {
        if (!connection->is_wanted_over && !connection->bye.came)
            return RILL_PENDING;
        begin_closing(connection);
    }
    return step_to_closed(connection, task);
}

static enum rill_poll attend_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection *connection =
        rill_container_of(self, struct rill_rdma_connection, attending);

    rill_rdma_heartbeat_look(connection);
    rill_rdma_control_speak(connection, task);
    if (step(connection, task) == RILL_READY) {
        set_timer(connection, RILL_NEVER);
        return RILL_READY;
    }
    rill_rdma_control_speak(connection, task); /* what that step wants said */
    set_timer(connection, next_moment(connection));
    return RILL_PENDING;
}

static struct rill_future *attend(struct rill_rdma_connection *connection)
{
    static const struct rill_place name = {"attend to a connection", NULL, 0};

    rill_future_init(&connection->attending, attend_poll);
    connection->attending.place = &name;
    return &connection->attending;
}

/* Closes the endpoint within the time that closing may take, or by force as soon as the connection
 * is cut. */
static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection *connection =
        rill_container_of(self, struct rill_rdma_connection, attending);

    enum rill_poll poll = connection->is_cut ? rill_poll_because(self->awaits, task, RILL_CANCELLED)
                                             : self->awaits->poll(self->awaits, task);

    if (poll == RILL_PENDING)
        return RILL_PENDING;
    self->awaits = NULL;
    return rill_future_end(self, 0);
}

/* An endpoint that was never answered is closed by force: it has nothing to flush, and might wait
 * for ever. The others have a limit too: all that was sent was taken, but the other side may have
 * stopped since, and take no part in closing. */
static struct rill_future *close_ep(struct rill_rdma_connection *connection)
{
    static const struct rill_place name = {"close the endpoint of a connection", NULL, 0};
    bool is_forced = connection->is_cut || !connection->peer.has_greeted;

    rill_rdma_bye_stop_sweeping(connection);
    if (connection->error != -ESHUTDOWN)
        rill_rdma_connection_set_state(connection, tries_again(connection) ? RILL_RDMA_CONNECTING
                                                                           : RILL_RDMA_FAILED);
    if (is_forced)
        return rill_rdma_ep_abort(&connection->ep);
    connection->ep.is_all_said = connection->bye.done_came;
    rill_future_init(&connection->attending, close_poll);
    connection->attending.place = &name;
    connection->attending.awaits = rill_deadline(&connection->limit, connection->deadline_ns,
                                                 rill_rdma_ep_close(&connection->ep));
    return &connection->attending;
}

static bool is_given_up(const struct rill_rdma_connection *connection, const struct rill_task *task)
{
    return connection->is_wanted_over || rill_task_is_cancelled(task);
}

/* Waits until what came before the other side's end is received: it was promised that this has
 * arrived, and the next attempt throws it away. After a loss nobody has promised anything. */
static enum rill_poll linger_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection *connection =
        rill_container_of(self, struct rill_rdma_connection, attending);

    if (connection->error == -ESHUTDOWN && !is_given_up(connection, task) &&
        rill_rdma_probe(connection, RILL_RDMA_ANY_TAG, NULL, NULL) &&
        rill_now() < connection->deadline_ns) {
        set_timer(connection, connection->deadline_ns);
        return RILL_PENDING;
    }
    set_timer(connection, RILL_NEVER);
    return rill_future_end(self, 0);
}

static struct rill_future *linger(struct rill_rdma_connection *connection)
{
    static const struct rill_place name = {"wait until what has come is received", NULL, 0};

    rill_future_init(&connection->attending, linger_poll);
    connection->attending.place = &name;
    return &connection->attending;
}

/* Waits until it is the first in line, or not wanted any more, or its time is over. */
static enum rill_poll line_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection *connection =
        rill_container_of(self, struct rill_rdma_connection, attending);

    if (!rill_rdma_pairing_is_first(connection) && !is_given_up(connection, task) &&
        rill_now() < connection->pairing_until_ns) {
        set_timer(connection, connection->pairing_until_ns);
        return RILL_PENDING;
    }
    set_timer(connection, RILL_NEVER);
    return rill_future_end(self, 0);
}

static struct rill_future *stand_in_line(struct rill_rdma_connection *connection)
{
    static const struct rill_place name = {"wait for those that connect to the same worker", NULL,
                                           0};

    rill_rdma_pairing_join(connection);
    connection->pairing_until_ns =
        rill_time_after(rill_now_of_beginning(), connection->options.handshake_ns);
    rill_future_init(&connection->attending, line_poll);
    connection->attending.place = &name;
    return &connection->attending;
}

/* What is given up by then has no endpoint that the other side would have to hear of. */
static bool may_attempt(const struct rill_rdma_connection *connection, const struct rill_task *task)
{
    return !connection->target_worker ||
           (rill_rdma_pairing_is_first(connection) && !is_given_up(connection, task));
}

/* Why one has left the line without an attempt. */
static int why_no_attempt(struct rill_rdma_connection *connection, const struct rill_task *task)
{
    if (rill_task_is_cancelled(task))
        connection->is_cut = true;
    if (!is_given_up(connection, task))
        return -ETIMEDOUT;
    return connection->lost && !connection->is_cut ? connection->lost : -ESHUTDOWN;
}

/* Whether there was a connection, and for long enough that the next one is not expected to end as
 * soon as it is made. */
static bool has_lasted(const struct rill_rdma_connection *connection)
{
    return connection->attempts == 0 &&
           rill_now() - connection->connected_ns >= connection->options.reconnect_max_ns;
}

/* The pause before the next attempt. It ends early when the connection is not wanted any more. */
static struct rill_future *pause(struct rill_rdma_connection *connection)
{
    if (has_lasted(connection))
        rill_backoff_reset(&connection->backoff);
    return rill_timeout(&connection->pause, rill_backoff_next(&connection->backoff),
                        rill_notify_wait(&connection->nudge, &connection->nudged));
}

enum rill_poll rill_rdma_keeper_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_connection *connection =
        rill_container_of(self, struct rill_rdma_connection, keeper.future);

    RILL_BEGIN();
    for (;;) {
        if (connection->target_worker)
            RILL_AWAIT(stand_in_line(connection));
        connection->error = may_attempt(connection, task) ? begin_attempt(connection)
                                                          : why_no_attempt(connection, task);
        if (connection->error == 0) {
            RILL_AWAIT(attend(connection));
            rill_rdma_pairing_leave(connection);
            RILL_AWAIT(close_ep(connection));
        } else {
            rill_rdma_pairing_leave(connection);
            connection->metrics.failures += connection->error != -ESHUTDOWN;
        }
        if (!tries_again(connection) || rill_task_is_cancelled(task))
            break;
        if (!connection->lost)
            connection->lost = connection->error;
        RILL_AWAIT(linger(connection));
        if (!is_given_up(connection, task)) {
            rill_rdma_connection_set_state(connection, RILL_RDMA_CONNECTING);
            RILL_AWAIT(pause(connection));
        }
        if (is_given_up(connection, task)) {
            connection->error = connection->lost; /* and not why an attempt failed */
            break;
        }
    }
    rill_rdma_connection_set_state(connection, connection->error == -ESHUTDOWN ? RILL_RDMA_CLOSED
                                                                               : RILL_RDMA_FAILED);
    RILL_END();
}
