/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/tag.h"

#include "runtime/panic.h"

#include <assert.h>

/* UCX has its own type for a part, with the same members in the same places. */
static_assert(sizeof(struct iovec) == sizeof(ucp_dt_iov_t) &&
                  offsetof(struct iovec, iov_base) == offsetof(ucp_dt_iov_t, buffer) &&
                  offsetof(struct iovec, iov_len) == offsetof(ucp_dt_iov_t, length),
              "parts of UCX are laid out as those of writev(2)");

/* How many elements of what type a buffer has, for UCX: bytes, or parts. */
static size_t elements(const struct rill_rdma_op *op)
{
    return op->tagged.part_count > 0 ? op->tagged.part_count : op->size;
}

static ucp_datatype_t type(const struct rill_rdma_op *op)
{
    return op->tagged.part_count > 0 ? ucp_dt_make_iov() : ucp_dt_make_contig(1);
}

static void set_parts(struct rill_rdma_op *op, const struct iovec *parts, size_t count)
{
    rill_check(count <= RILL_RDMA_PARTS_MAX, "a message of %zu parts: want %d at the most", count,
               RILL_RDMA_PARTS_MAX);
    op->buffer = (void *)(uintptr_t)parts;
    op->tagged.part_count = count;
    op->size = 0;
    for (size_t i = 0; i < count; i++)
        op->size += parts[i].iov_len;
}

static void set_buffer(struct rill_rdma_op *op, const void *buffer, size_t size)
{
    op->buffer = (void *)(uintptr_t)buffer;
    op->size = size;
    op->tagged.part_count = 0;
}

/* ---- sending ---- */

static ucs_status_ptr_t post_send(struct rill_rdma_op *op)
{
    ucp_request_param_t param;

    rill_rdma_op_set_param(op, &param);
    param.op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE;
    param.datatype = type(op);
    return op->rdma->ucx->tag_send_nbx(op->ep->ucp, op->buffer, elements(op), op->tag, &param);
}

static ucs_status_ptr_t post_send_sync(struct rill_rdma_op *op)
{
    ucp_request_param_t param;

    rill_rdma_op_set_param(op, &param);
    return op->rdma->ucx->tag_send_sync_nbx(op->ep->ucp, op->buffer, op->size, op->tag, &param);
}

static const struct rill_rdma_verb send_verb = {
    {"send a tagged message", NULL, 0}, post_send, false};

struct rill_future *rill_rdma_tag_send(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                       const void *buffer, size_t size, uint64_t tag)
{
    rill_rdma_op_prepare(op, &send_verb, ep->rdma, ep);
    set_buffer(op, buffer, size);
    op->tag = tag;
    return &op->future;
}

struct rill_future *rill_rdma_tag_send_sync(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                            const void *buffer, size_t size, uint64_t tag)
{
    static const struct rill_rdma_verb verb = {
        {"send a tagged message and wait for its receive", NULL, 0}, post_send_sync, false};

    rill_rdma_op_prepare(op, &verb, ep->rdma, ep);
    set_buffer(op, buffer, size);
    op->tag = tag;
    return &op->future;
}

struct rill_future *rill_rdma_tag_send_vectored(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                                const struct iovec *parts, size_t count,
                                                uint64_t tag)
{
    rill_rdma_op_prepare(op, &send_verb, ep->rdma, ep);
    set_parts(op, parts, count);
    op->tag = tag;
    return &op->future;
}

/* ---- receiving ---- */

void rill_rdma_tag_received(void *request, ucs_status_t status, const ucp_tag_recv_info_t *info,
                            void *op_)
{
    struct rill_rdma_op *op = op_;

    if (status == UCS_OK || status == UCS_ERR_MESSAGE_TRUNCATED) {
        op->tag = info->sender_tag;
        op->length = info->length;
    }
    rill_rdma_op_complete(op, request, status, (int64_t)op->length);
}

/* Without NO_IMM_CMPL, UCX before 1.16 does not tell the length of a message that was
 * there already. */
static ucs_status_ptr_t post_recv(struct rill_rdma_op *op)
{
    const ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA |
                        UCP_OP_ATTR_FIELD_DATATYPE | UCP_OP_ATTR_FLAG_NO_IMM_CMPL,
        .cb.recv = rill_rdma_tag_received,
        .datatype = type(op),
        .user_data = op,
    };

    return op->rdma->ucx->tag_recv_nbx(op->rdma->worker, op->buffer, elements(op), op->tag,
                                       op->tagged.mask, &param);
}

static const struct rill_rdma_verb recv_verb = {
    {"receive a tagged message", NULL, 0}, post_recv, true};

struct rill_future *rill_rdma_tag_recv(struct rill_rdma *rdma, struct rill_rdma_op *op,
                                       void *buffer, size_t size, uint64_t tag, uint64_t mask)
{
    rill_rdma_op_prepare(op, &recv_verb, rdma, NULL);
    set_buffer(op, buffer, size);
    op->tag = tag;
    op->tagged.mask = mask;
    return &op->future;
}

struct rill_future *rill_rdma_tag_recv_from(struct rill_rdma_ep *ep, struct rill_rdma_op *op,
                                            void *buffer, size_t size, uint64_t tag, uint64_t mask)
{
    rill_rdma_tag_recv(ep->rdma, op, buffer, size, tag, mask);
    op->ep = ep;
    return &op->future;
}

struct rill_future *rill_rdma_tag_recv_vectored(struct rill_rdma *rdma, struct rill_rdma_op *op,
                                                const struct iovec *parts, size_t count,
                                                uint64_t tag, uint64_t mask)
{
    rill_rdma_op_prepare(op, &recv_verb, rdma, NULL);
    set_parts(op, parts, count);
    op->tag = tag;
    op->tagged.mask = mask;
    return &op->future;
}

bool rill_rdma_tag_probe(struct rill_rdma *rdma, uint64_t tag, uint64_t mask, size_t *size,
                         uint64_t *sender_tag)
{
    ucp_tag_recv_info_t info;

    if (!rdma->is_open || !rdma->ucx->tag_probe_nb(rdma->worker, tag, mask, 0, &info))
        return false;
    if (size)
        *size = info.length;
    if (sender_tag)
        *sender_tag = info.sender_tag;
    return true;
}
