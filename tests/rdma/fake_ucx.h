/* SPDX-License-Identifier: Apache-2.0 */
/* fake_ucx.h - a UCX that does what a test says: late, out of order, within the call,
 * or never. It stands below rdma in the place of libucp (rdma/ucx.h), over the simulated
 * kernel, and ends the process where rill breaks a rule of UCX's. */
#ifndef RILL_TESTS_RDMA_FAKE_UCX_H
#define RILL_TESTS_RDMA_FAKE_UCX_H

#include "rdma/rdma.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* What happens to an operation that is posted. */
enum fake_mode {
    FAKE_LATER,   /* it waits for fake_complete */
    FAKE_SOON,    /* a later progress completes it by itself */
    FAKE_AT_ONCE, /* it is over; a send has no callback, a receive has it in the call */
    FAKE_FAILS,   /* the call says why: fake.status */
};

struct fake_request {
    struct fake_request *next, *prev; /* in order of posting */
    unsigned number;                  /* of all that were posted, from 0 */
    bool is_receive, is_completed, is_freed, was_cancelled;
    void *buffer;
    size_t size;
    ucp_ep_h ep; /* NULL for a receive */
    ucp_request_param_t param;
    bool is_fetch; /* of the data of an active message */
};

/* An active message that was sent: what is lent is so until its request is over. */
struct fake_am {
    unsigned id;
    const void *header;
    size_t header_size;
    const void *data;
    size_t size;
    uint32_t flags;               /* UCP_AM_SEND_FLAG_ */
    struct fake_request *request; /* NULL: it is over */
};

struct fake {
    enum fake_mode mode; /* of what is posted from now on */
    ucs_status_t status; /* of those that fail */
    const char *failing; /* the name of a call that fails with status, or NULL */
    bool cancel_is_late; /* a receive that is cancelled was matched: it needs fake_complete */
    bool force_is_mute;  /* closing by force ends no operation */
    bool close_is_mute;  /* closing never ends */
    bool flush_is_mute;  /* nor does flushing */
    bool arm_is_busy;
    unsigned sockets;             /* that a worker has room for */
    bool fds_are_short;           /* the process has no descriptors for UCX */
    bool threads_are_short;       /* nor a thread */
    bool has_no_device;           /* for RDMA */
    bool progress_counts_nothing; /* it returns 0, whatever it has done */
    ucs_status_t flush_status;    /* that a flush of an endpoint ends with */
    /* Called when an active message is sent, if it is not NULL. Returns whether it sees to
     * the end of am->request by itself, as that of one whose data are fetched (fake_bring). */
    bool (*on_am)(const struct fake_am *am);
    unsigned delay;             /* calls of progress before what is told from now on happens */
    unsigned minor_version;     /* of major version 1 */
    ucs_log_level_t log_level;  /* up to which it logs: UCS_LOG_LEVEL_WARN */
    const char *transport_keys; /* that it knows besides its own, a line UCX_KEY=value each */
    const char *lanes;          /* what is printed of an endpoint; NULL: one of TCP */
    void (*on_worker)(void);    /* called when a worker is made, if it is not NULL */

    unsigned posted, cancelled, forced, progressed;
    unsigned contexts, workers, eps, configs; /* that exist */
    unsigned requests;                        /* that were not given back */
    unsigned rejected;                        /* connection requests */
    struct sockaddr_storage listening_at;     /* what a listener says */
    unsigned am_data;                         /* of active messages, not given back */
    unsigned memories, keys;                  /* of registered memory; that exist */
};

extern struct fake fake;

/* The table to be given to rill_rdma_open. fake_reset fills it in. */
extern struct rill_ucx fake_ucx;
void fake_reset(void);

/* What is in flight: the number of operations, and the one that was posted as number. */
unsigned fake_in_flight(void);
struct fake_request *fake_request(unsigned number);

/* Has the next progress complete a request. A receive gets size bytes of pattern(0). */
void fake_complete(struct fake_request *request, ucs_status_t status, size_t size);

/* Has the next progress bring an active message, whose header and data are copied, and whose
 * sender's endpoint is the one opened as ep (-1: it does not tell). With a sender, or as a
 * rendezvous without one (is_long), the data are to be fetched, and the sender's request
 * ends when they were, or were released. */
void fake_bring(unsigned id, const void *header, size_t header_size, const void *data, size_t size,
                int ep, bool is_long, struct fake_request *sender);

/* Has the next progress report the failure of the endpoint opened as number. */
void fake_fail_endpoint(unsigned number, ucs_status_t status);

/* Has the next progress bring a connection request. */
void fake_connect(void);

/* Says something in UCX's log, to whom has asked to hear of it. Returns whether it is printed. */
bool fake_log(ucs_log_level_t level, const char *format, ...);

#endif
