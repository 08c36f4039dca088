/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/note.h"

#include "rdma/error.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>

static void give_back(struct rill_rdma_note *note)
{
    rill_pool_put(&rill_executor_here()->pool, note, note->size_class);
}

static void leave(struct rill_rdma_note *note)
{
    struct rill_rdma_ep *ep = note->ep;

    rill_link_remove(&note->link);
    ep->note_count--;
    ep->rdma->source.pending--;
    ep->rdma->ucx->request_free(note->request);
}

static void on_sent(void *request, ucs_status_t status, void *note_)
{
    struct rill_rdma_note *note = note_;

    (void)request;
    (void)status; /* nobody waits for it */
    leave(note);
    give_back(note);
}

void rill_rdma_note_abandon(struct rill_rdma_note *note)
{
    struct rill_rdma *rdma = note->ep->rdma;

    rdma->stats.abandoned++;
    leave(note);
    rill_list_append(&rdma->notes, &note->link);
}

void rill_rdma_notes_free(struct rill_rdma *rdma)
{
    while (!rill_list_is_empty(&rdma->notes))
        give_back(rill_container_of(rill_list_pop(&rdma->notes), struct rill_rdma_note, link));
}

static void enter(struct rill_rdma_note *note, void *request)
{
    struct rill_rdma_ep *ep = note->ep;

    note->request = request;
    rill_list_append(&ep->notes, &note->link);
    ep->note_count++;
    ep->rdma->source.pending++;
}

int rill_rdma_note_send(struct rill_rdma_ep *ep, unsigned id, const void *bytes, size_t size,
                        unsigned flags)
{
    struct rill_rdma_note *note;
    uint8_t size_class;
    ucs_status_ptr_t status;

    rill_check(size <= RILL_RDMA_AM_HEADER_MAX, "a note of %zu bytes: want %d at the most", size,
               RILL_RDMA_AM_HEADER_MAX);
    if (ep->error)
        return ep->error;
    rill_check(ep->is_open, "a note is sent through an endpoint that is not open");
    if (ep->note_count >= RILL_RDMA_NOTES_MAX)
        return -EBUSY;
    note = rill_pool_get(&rill_executor_here()->pool, sizeof *note, &size_class);
    if (!note)
        return -ENOMEM;
    *note = (struct rill_rdma_note){.ep = ep, .size_class = size_class};
    memcpy(note->bytes, bytes, size);

    const ucp_request_param_t param = {
        .op_attr_mask =
            UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS,
        .flags = rill_rdma_am_flags(flags),
        .cb.send = on_sent,
        .user_data = note,
    };

    rill_event_source_touch(&ep->rdma->source);
    status = ep->rdma->ucx->am_send_nbx(ep->ucp, id, note->bytes, size, NULL, 0, &param);
    if (UCS_PTR_IS_PTR(status)) {
        enter(note, status);
        return 0;
    }
    give_back(note);
    return rill_rdma_errno(UCS_PTR_RAW_STATUS(status));
}
