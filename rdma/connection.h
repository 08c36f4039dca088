/* SPDX-License-Identifier: Apache-2.0 */
/* connection.h - a conversation of which both sides know whether it lives.
 *
 *     RILL_AWAIT(rill_rdma_connect(&chat->connection, &chat->hub, &address, NULL));
 *     if (chat->connection.result < 0)
 *         RILL_RETURN(chat->connection.result);
 *     RILL_AWAIT(rill_rdma_send(&chat->connection, &chat->send, "hello", 5, GREETING));
 *     RILL_AWAIT(rill_rdma_recv(&chat->connection, &chat->recv, chat->line, 80, ANSWER));
 *     RILL_AWAIT(rill_rdma_disconnect(&chat->connection));
 *
 * and on the other side, where rdma/server.h does it for many
 *
 *     RILL_AWAIT(rill_rdma_accept(&server->listener, &server->accept));
 *     ...
 *     rill_rdma_adopt(&chat->connection, &server->hub, &server->accept, NULL);
 *     ...                                                      // in a task of its own:
 *     RILL_AWAIT(rill_rdma_wait_for_connection(&chat->connection, &chat->wait));
 *
 * An endpoint of UCX (endpoint.h) tells little: that it is open proves nothing, a peer that
 * is stopped, or killed where shared memory is used, is never reported, messages of all
 * endpoints of a worker mix, and a sender is never slowed down. A connection adds a hello
 * and its answer, heartbeats, a space of tags of its own (exchange.h), credit (credit.h),
 * and an end that both sides know of. It costs one small message in each direction at the
 * beginning, two at the end, one now and then between, and nothing else: data go as they
 * are. */
#ifndef RILL_RDMA_CONNECTION_H
#define RILL_RDMA_CONNECTION_H

#include "net/address.h"
#include "rdma/bye.h"
#include "rdma/credit.h"
#include "rdma/endpoint.h"
#include "rdma/heartbeat.h"
#include "rdma/hub.h"
#include "rdma/listener.h"
#include "rdma/metrics.h"
#include "runtime/backoff.h"
#include "runtime/notify.h"
#include "runtime/shield.h"
#include "runtime/task.h"
#include "runtime/timeout.h"
#include "runtime/wheel.h"

#ifdef __cplusplus
extern "C" {
#endif

enum rill_rdma_state {
    RILL_RDMA_IDLE,       /* zeroed */
    RILL_RDMA_LISTENING,  /* adopted, waits for the other side's hello */
    RILL_RDMA_CONNECTING, /* waits for the other side's answer, or for the next attempt */
    RILL_RDMA_CONNECTED,  /* each side has heard the other */
    RILL_RDMA_CLOSING,    /* one side has said that it will send no more */
    RILL_RDMA_CLOSED,     /* over, with everything said */
    RILL_RDMA_FAILED,     /* over: error says why */
};

/* A zeroed field means its default, in brackets. */
struct rill_rdma_connection_options {
    /* From the beginning until the other side's answer. RILL_NEVER: any time. [5 s] */
    int64_t handshake_ns;
    /* That closing may take before it is done by force. RILL_NEVER: any time. [5 s] */
    int64_t close_ns;
    /* How long the other side may be silent at the most before it is taken for dead; three
     * quarters of it at the least. It is asked for a heartbeat four times in that time.
     * RILL_NEVER: for ever. [3 s] */
    int64_t silence_ns;
    /* How fast the network carries a long message at the least. Heartbeats wait behind it, so
     * silence counts only after the time that what is on its way, in either direction, takes
     * at this speed. [10 MB] */
    uint64_t bytes_per_second;
    /* The cost (credit.h) of messages that may lie here unreceived. UINT64_MAX: any number.
     * [1 MiB] */
    uint64_t window;
    /* Neither heartbeats nor credit on this side: for peers that are watched, and slowed
     * down, by other means. */
    bool is_unprotected;
    /* How often in a row connecting is tried anew after the connection was lost; only on the
     * side that connected. Where nobody listens an attempt fails at once, so that all of them
     * take about as long as the pauses: 10 take some 13 s, each further one 2.5 s. UINT_MAX: for
     * years. It is not tried where this side's worker is deaf (hearing.h). [0] */
    unsigned reconnects;
    /* The same also after the other side has disconnected, as a server does that is restarted
     * in order; never after an end that this side wanted. The state goes from CLOSING, in which
     * what waits ends as without this, to CONNECTING. Before that, what had come can be received,
     * for which connecting anew waits until close_ns after the other side's word; what is left
     * then is dropped, as after a loss. By worker address it helps only where that worker is
     * still there: a process that is started anew has another one. */
    bool reconnects_after_end;
    /* Bounds of the pause before each attempt: it is random, and the bound of it doubles from the
     * one to the other. It begins with the first again after a connection that has lasted for
     * reconnect_max_ns, so that a side which ends each one at once is not hammered.
     * [100 ms, 5 s] */
    int64_t reconnect_first_ns, reconnect_max_ns;
};

#define RILL_RDMA_HANDSHAKE_NS (5 * RILL_SECOND)
#define RILL_RDMA_CLOSE_NS (5 * RILL_SECOND)
#define RILL_RDMA_SILENCE_NS (3 * RILL_SECOND)
#define RILL_RDMA_BYTES_PER_SECOND UINT64_C(10000000)
#define RILL_RDMA_WINDOW (UINT64_C(1) << 20)
#define RILL_RDMA_RECONNECT_FIRST_NS (100 * RILL_MILLISECOND)
#define RILL_RDMA_RECONNECT_MAX_NS (5 * RILL_SECOND)

/* How long a connection by worker address that is given up while it connects waits for the other
 * side to hear of it (rill_rdma_connect_worker). */
#define RILL_RDMA_HELLO_NS RILL_SECOND

/* Parts of the time of silence: how often the other side is to send, and is looked for. */
enum { RILL_RDMA_BEATS = 4 };

/* private: what is known of the other side, from its HELLO or ACK on. Zeroed with each attempt to
 * connect. */
struct rill_rdma_peer {
    uint32_t id; /* 0: not known yet */
    uint32_t eager_size;
    bool has_greeted; /* its HELLO or ACK came */
    int refused;      /* why there can be no connection with it, as it says or this side; or 0 */
};

/* Zeroed, then connected or adopted, then disconnected. It must not move meanwhile.
 *
 * It has a task of its own, the keeper, which opens the endpoint, speaks with the other
 * side, watches the time, and closes the endpoint. Everything else changes what the keeper
 * looks at, and wakes it.
 *
 * Invariant: it is in hub.by_id, with an id that no other has, from opening the endpoint to
 * the end of disconnecting. waiting is empty unless CONNECTED or CLOSING, but for those that
 * were woken to leave it. */
struct rill_rdma_connection {
    union {
        int64_t result; /* of connecting and disconnecting */
        struct rill_future future;
    };
    struct rill_rdma_hub *hub; /* borrowed */
    /* For all that rdma/ has beside messages: active messages, remote memory, streams. Not
     * to be closed by others. */
    struct rill_rdma_ep ep;
    uint8_t state; /* enum rill_rdma_state; rill_rdma_wait_for_state waits for it */
    int error;     /* why it is FAILED; -ESHUTDOWN when it was closed by either side */
    struct rill_rdma_metrics metrics;
    struct rill_rdma_connection_options options;

    /* private */
    uint32_t id; /* 0: none */
    struct rill_rdma_peer peer;
    struct rill_rdma_credit credit;
    struct rill_rdma_heartbeat heartbeat;
    struct rill_link by_id;     /* rill_rdma_hub.by_id */
    struct rill_link waiting;   /* of rill_rdma_transfer.queue, first in first out */
    struct rill_notify changed; /* its state */

    /* private: where to, or where from */
    struct rill_address target; /* its size is 0 where it is not known */
    const void *target_worker;  /* or NULL */
    struct rill_link pairing;   /* rill_rdma_hub.pairing, of one by worker that is not answered */
    int64_t pairing_until_ns;

    /* private: of the keeper */
    struct rill_task keeper;
    struct rill_future attending;
    struct rill_rdma_control control; /* that is being sent */
    struct rill_rdma_op control_op;
    struct rill_rdma_bye bye;
    struct rill_timer timer;
    struct rill_timeout limit; /* of closing the endpoint */
    int64_t deadline_ns;       /* of hello, or of closing */
    uint8_t to_say;            /* bits, by enum rill_rdma_control_kind */
    bool is_wanted_over;       /* by this side */
    bool is_cut;               /* without another word */
    bool is_adopted;
    int lost;             /* why the one was lost that is being made anew, or 0 */
    unsigned attempts;    /* since it was connected */
    int64_t connected_ns; /* when it was, at the last time */
    struct rill_backoff backoff;
    struct rill_notify nudge; /* ends the pause before the next attempt */
    struct rill_wait nudged;
    struct rill_timeout pause;

    /* private: of connecting and disconnecting */
    struct rill_join join;
    struct rill_shield shield;
    struct rill_wait wait;
};

/* ---- its beginning ---- */

/* Connects to what listens at a socket address; copies the address, and the options, which
 * may be NULL; borrows the hub until it is over. The result is 0 when the other side has
 * answered, or -errno, and then the connection is idle again:
 *   -ETIMEDOUT     no answer in options.handshake_ns: nobody there, or nobody who accepts
 *   -ECONNREFUSED  nobody listens there, or the other side has no room or no descriptors for more
 *   -ECONNRESET, -EHOSTUNREACH ... as of UCX (error.h)
 *   -EMFILE        there may be too few descriptors for one more (rill_rdma_ep_open)
 *   -EINVAL        the address is that of a unix socket
 *   -EPROTONOSUPPORT  the other side speaks another version of this protocol
 *   -EPROTOTYPE       the segments of the two sides differ: bare_endpoints or long_segments of
 *                     rill_rdma_options
 *   -ENOTRECOVERABLE  this side's worker is deaf, and has to be opened anew (hearing.h)
 *   -ECANCELED     it was cancelled, and everything was taken back
 * Panics if the connection is not idle, or if sends or receives of a former one, which have
 * ended with it, were not awaited to their end. */
struct rill_future *rill_rdma_connect(struct rill_rdma_connection *connection,
                                      struct rill_rdma_hub *hub, const struct rill_address *address,
                                      const struct rill_rdma_connection_options *options);

/* The same to the worker of that address (rill_rdma_address), which is borrowed until the
 * connection is over. Those of a hub that go to the same worker are made one after the other: UCX
 * pairs their endpoints by their order. The wait counts in options.handshake_ns. For the same
 * reason one that is cancelled ends when the other side has answered or, if that takes longer,
 * after RILL_RDMA_HELLO_NS; at once where the runtime is shut down. If the other side has not heard
 * of it by then, as it was stopped or is far away, the two are out of step for good: those that are
 * made after it between the same two workers disconnect with -ETIMEDOUT, after close_ns. -EINVAL
 * for NULL, and at best for bytes that are no address, over which UCX may end the process; over
 * shared memory -ENOSPC for that of a process which has ended (rill_rdma_ep_open). */
struct rill_future *rill_rdma_connect_worker(struct rill_rdma_connection *connection,
                                             struct rill_rdma_hub *hub, const void *address,
                                             const struct rill_rdma_connection_options *options);

/* Makes a connection of a request that was accepted (listener.h), which it takes over in
 * any case; it is LISTENING, and CONNECTED once the other side's hello has come and was
 * answered. One whose hello does not come in time is FAILED with -ETIMEDOUT. Copies the
 * options, which may be NULL. Returns 0, or -errno of rill_rdma_ep_adopt, and then the
 * connection is idle. */
int rill_rdma_adopt(struct rill_rdma_connection *connection, struct rill_rdma_hub *hub,
                    struct rill_rdma_accept *accept,
                    const struct rill_rdma_connection_options *options);

/* The same of a connection by worker address (rill_rdma_accept_worker), with -errno of
 * rill_rdma_ep_open. -EPROTO: what came is no hello. */
int rill_rdma_adopt_worker(struct rill_rdma_connection *connection, struct rill_rdma_hub *hub,
                           struct rill_rdma_am *stranger,
                           const struct rill_rdma_connection_options *options);

/* ---- its state ---- */

struct rill_rdma_state_wait {
    union {
        int64_t result;
        struct rill_future future;
    };

    /* private */
    struct rill_rdma_connection *connection;
    unsigned states;
    struct rill_wait wait;
};

/* Waits until the connection is in one of the states of a mask, 1 << RILL_RDMA_CONNECTED |
 * 1 << RILL_RDMA_FAILED for example; also of one that is zeroed as yet, or made anew meanwhile.
 * The result is the state; or -ECANCELED, in a task that is cancelled also where it would have
 * been there at once, so that a loop which waits again and again ends. */
struct rill_future *rill_rdma_wait_for_state(struct rill_rdma_connection *connection,
                                             struct rill_rdma_state_wait *wait, unsigned states);

/* Waits until the connection is CONNECTED; also after it was lost, or ended by the other side, and
 * while it is connected anew. The result is 0; or connection->error, where that will not happen, or
 * -ENOTCONN of one that is idle; or -ECANCELED, as of rill_rdma_wait_for_state. */
struct rill_future *rill_rdma_wait_for_connection(struct rill_rdma_connection *connection,
                                                  struct rill_rdma_state_wait *wait);

/* Reads the socket address of the other side. Returns 0, or -ENOTCONN where there is none: of an
 * idle connection, of one by worker address, and where the transport does not tell. */
int rill_rdma_peer_address(const struct rill_rdma_connection *connection,
                           struct rill_address *address);

/* "idle", "listening", ... */
const char *rill_rdma_state_name(enum rill_rdma_state state);

/* ---- its end ---- */

/* Ends the connection: its receives end with -ESHUTDOWN, its sends are waited for, the
 * other side is told and answers, and the endpoint is closed. Messages of the other side
 * that were not received are dropped. That takes options.close_ns at the most, and the end by
 * force, where it is not enough, up to RILL_RDMA_DRAIN_NS more; in a task that is cancelled, at
 * first or later, what is left of it is done by force. The result
 * is 0 when all that was sent has arrived there, in the memory of the other side; -ETIMEDOUT
 * or -ECANCELED where that is not known; or why the connection had failed. It is over in any
 * case, and idle again. One that is idle ends with 0. */
struct rill_future *rill_rdma_disconnect(struct rill_rdma_connection *connection);

/* The same by force at once: the other side sees a loss. The result is 0. Cancelling changes
 * nothing. */
struct rill_future *rill_rdma_cut(struct rill_rdma_connection *connection);

/* private: changes the state, and wakes all that it concerns. */
void rill_rdma_connection_set_state(struct rill_rdma_connection *connection,
                                    enum rill_rdma_state state);

/* private: why a send, or a receive, cannot be begun, or ended without its connection. */
int rill_rdma_connection_why(const struct rill_rdma_connection *connection);

/* private: has the keeper say what the other side should know, when there is enough of it. */
static inline void rill_rdma_connection_settle(struct rill_rdma_connection *connection)
{
    if (rill_rdma_credit_is_owed(&connection->credit, connection->peer.eager_size)) {
        connection->to_say |= 1u << RILL_RDMA_BEAT;
        rill_task_wake(&connection->keeper);
    }
}

#ifdef __cplusplus
}
#endif
#endif
