/* SPDX-License-Identifier: Apache-2.0 */
/* sim_ucx_parts.h - what the parts of the simulated UCX know of each other. */
#ifndef RILL_TESTS_RDMA_SIM_UCX_PARTS_H
#define RILL_TESTS_RDMA_SIM_UCX_PARTS_H

#include "runtime/list.h"
#include "tests/fixture.h"
#include "tests/rdma/sim_ucx.h"

enum { SIM_UCX_WORKERS_MAX = 8, SIM_UCX_AM_IDS = 32 };

struct sim_ucx_ep;
struct sim_ucx_event;
struct sim_ucx_request;

/* Invariant: events are in the order in which they are due. */
struct sim_ucx_worker {
    struct rill_link events;     /* of sim_ucx_event.link */
    struct rill_link posted;     /* of sim_ucx_request.link: receives without a message */
    struct rill_link unexpected; /* of sim_ucx_message.link: messages without a receive */
    struct rill_link announced;  /* of the same: active ones that were kept, to be fetched */
    struct rill_link eps;        /* of sim_ucx_ep.link: that are not closed */
    ucp_am_handler_param_t handlers[SIM_UCX_AM_IDS];
    int64_t stopped_until_ns, dead_until_ns;
    int fd; /* -1: none */
    unsigned listeners, number;
    bool is_armed, is_signalled, is_progressing, is_destroyed;
};

/* Invariant: peer.peer is this one. requests is empty once it is closed and UCX has ended
 * all that it ends. */
struct sim_ucx_ep {
    struct rill_link link;     /* sim_ucx_worker.eps */
    struct rill_link requests; /* of sim_ucx_request.link: of it, and not completed */
    struct rill_link held;     /* of sim_ucx_event.link: until it is connected */
    struct sim_ucx_worker *worker, *peer_worker;
    struct sim_ucx_ep *peer; /* NULL: the other side has none */
    ucp_err_handler_cb_t on_error;
    void *user_data;
    int64_t last_ns[2];   /* when what was sent latest arrives: tagged, active */
    ucs_status_t failure; /* that was reported */
    bool is_connected, is_by_address, is_closed;
    bool is_severed; /* nothing that it sent arrives any more */
};

enum sim_ucx_kind {
    SIM_UCX_SEND,
    SIM_UCX_SYNC,
    SIM_UCX_RECV,
    SIM_UCX_FETCH,
    SIM_UCX_FLUSH,
    SIM_UCX_CLOSE,
};

struct sim_ucx_request {
    struct rill_link link; /* sim_ucx_worker.posted or sim_ucx_ep.requests */
    enum sim_ucx_kind kind;
    struct sim_ucx_worker *worker;
    struct sim_ucx_ep *ep; /* NULL for a receive, and for fetching */
    struct iovec *parts;
    size_t part_count, size;
    ucp_tag_t tag, mask;
    ucp_request_param_t param;
    bool is_completed, is_freed, was_cancelled, is_ending;
    bool is_held; /* ends some time after its endpoint is connected */
};

/* A tagged or active message. */
struct sim_ucx_message {
    struct rill_link link;         /* sim_ucx_worker.unexpected or announced */
    struct sim_ucx_ep *from;       /* the sender's */
    struct sim_ucx_request *send;  /* of a rendezvous or a synchronous one, or NULL */
    bool is_rendezvous, is_active; /* of a rendezvous the bytes are with the sender */
    ucp_tag_t tag;
    unsigned id;
    uint32_t flags;
    size_t size, header_size;
    char *bytes, header[128];
};

/* Something that the progress of a worker does when it is due. */
struct sim_ucx_event {
    struct rill_link link; /* sim_ucx_worker.events or sim_ucx_ep.held */
    int64_t due_ns;
    void (*happen)(struct sim_ucx_event *event);
    struct sim_ucx_worker *worker;
    struct sim_ucx_ep *ep;
    struct sim_ucx_request *request;
    struct sim_ucx_message *message;
    struct sim_ucx_listener *listener;
    ucs_status_t status;
    size_t size;
};

struct sim_ucx {
    struct sim_ucx_options options;
    void (*arrived)(const void *bytes, size_t size);
    struct sim_ucx_worker workers[SIM_UCX_WORKERS_MAX];
    unsigned worker_count, eps, requests, am_data;
};

extern struct sim_ucx sim_ucx;

/* Zeroed memory that lives until sim_ucx_end, so that what is used too late is seen. */
void *sim_ucx_allocate(size_t size);

bool sim_ucx_chance(unsigned per_mille);
int64_t sim_ucx_some(int64_t max_ns); /* 0 to max_ns */
ucs_status_t sim_ucx_fault(void);     /* of a call: as a rule UCS_OK */

/* Has the progress of a worker do what event says, at the earliest after delay_ns and when
 * it is not stopped. Copies the event. */
void sim_ucx_push(struct sim_ucx_worker *worker, int64_t delay_ns, struct sim_ucx_event event);

/* Sends an event to the other side of an endpoint, after all that was sent before. */
void sim_ucx_transmit(struct sim_ucx_ep *ep, bool is_active, struct sim_ucx_event event);

/* Ends a request, now or as an event. */
void sim_ucx_complete(struct sim_ucx_request *request, ucs_status_t status,
                      const ucp_tag_recv_info_t *info);
void sim_ucx_complete_later(struct sim_ucx_request *request, int64_t delay_ns, ucs_status_t status);

struct sim_ucx_request *sim_ucx_request(enum sim_ucx_kind kind, struct sim_ucx_worker *worker,
                                        struct sim_ucx_ep *ep, const ucp_request_param_t *param);

struct sim_ucx_worker *sim_ucx_worker_of(ucp_worker_h handle);
struct sim_ucx_ep *sim_ucx_ep_of(ucp_ep_h handle); /* which is not closed */

/* ---- what tagged and active messages have in common ---- */

int64_t sim_ucx_lateness(void); /* of what is as a rule at once */

/* Has request send from, or receive into, a buffer. Borrows the parts of a vectored one until it
 * is over. */
void sim_ucx_set_parts(struct sim_ucx_request *request, const void *buffer, size_t count);

/* Copies the bytes of a request out of its buffer. */
void sim_ucx_gather(const struct sim_ucx_request *request, char *bytes);

/* How a send ends whose bytes are on their way. Returns what the call returns. */
ucs_status_ptr_t sim_ucx_end_of_sending(struct sim_ucx_request *request);

/* Whether nothing that this sender sent arrives any more. */
bool sim_ucx_is_gone(const struct sim_ucx_ep *from);

/* Tells the sender, who may be gone, that a message was taken, or refused. */
void sim_ucx_tell_sender(struct sim_ucx_message *message, ucs_status_t status);

/* Moves a message into the buffer of receive, which hears of it late_ns later. */
void sim_ucx_match(struct sim_ucx_worker *worker, struct sim_ucx_request *receive,
                   struct sim_ucx_message *message, int64_t late_ns);

/* Fills in the calls of each part. */
void sim_ucx_ep_table(struct rill_ucx *table);
void sim_ucx_tag_table(struct rill_ucx *table);
void sim_ucx_active_message_table(struct rill_ucx *table);

#endif
