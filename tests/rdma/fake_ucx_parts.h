/* SPDX-License-Identifier: Apache-2.0 */
/* fake_ucx_parts.h - what the parts of the fake UCX know of each other. */
#ifndef RILL_TESTS_RDMA_FAKE_UCX_PARTS_H
#define RILL_TESTS_RDMA_FAKE_UCX_PARTS_H

#include "tests/fixture.h"
#include "tests/rdma/fake_ucx.h"

enum { FAKE_EVENTS_MAX = 32768, FAKE_EPS_MAX = 64, FAKE_IDS_MAX = 64 };

struct fake_ep {
    ucp_err_handler_cb_t on_error;
    void *user_data;
    bool is_closed;
};

/* An active message on its way; its data are the memory that is lent to the receiver. */
struct fake_message {
    struct fake_message *next, *prev; /* the ring of those that are not over */
    unsigned id;
    int ep; /* -1: it does not tell */
    bool is_long;
    unsigned char header[256];
    size_t header_size, size;
    struct fake_request *sender; /* whose data they are, or NULL */
    char *data;                  /* behind it */
};

/* What the next progress does. */
struct fake_event {
    enum { FAKE_NOTHING, FAKE_COMPLETION, FAKE_FAILURE, FAKE_CONNECTION, FAKE_MESSAGE } kind;
    struct fake_request *request;
    struct fake_message *message;
    struct fake_ep *ep;
    ucs_status_t status;
    size_t size;
    unsigned delay;
};

struct fake_state {
    struct fake_message messages;
    struct fake_request requests; /* the ring of those that were not given back */
    struct fake_event events[FAKE_EVENTS_MAX], batch[FAKE_EVENTS_MAX];
    unsigned event_count, batch_count, eps_made;
    struct fake_ep eps[FAKE_EPS_MAX];
    ucp_listener_conn_handler_t on_request;
    struct {
        ucp_am_recv_callback_t call;
        void *inbox;
    } inboxes[FAKE_IDS_MAX];
    bool is_armed, is_signalled, is_progressing;
    int fd;
};

extern struct fake_state fake_state;

/* Returns how a call of that name ends: as a rule with UCS_OK. */
ucs_status_t fake_call(const char *name);

/* Has the next progress do what an event says, after fake.delay more. Copies it. */
void fake_push(struct fake_event event);

/* Makes a request, and does with it what fake.mode says. Returns what a call of UCX does. */
ucs_status_ptr_t fake_post(const char *name, ucp_ep_h ep, bool is_receive, const void *buffer,
                           size_t size, const ucp_request_param_t *param);

/* Runs the callback of a request, unless UCX was told that nobody is interested. */
void fake_answer(struct fake_request *request, ucs_status_t status, size_t size);

/* Gives a message to whom its inbox belongs, and ends one that is over. */
void fake_message_arrive(struct fake_message *message);
void fake_message_end(struct fake_message *message, ucs_status_t status);

/* Fill in the calls of each part. */
void fake_context_table(struct rill_ucx *table);
void fake_ep_table(struct rill_ucx *table);
void fake_message_table(struct rill_ucx *table);
void fake_memory_table(struct rill_ucx *table);

#endif
