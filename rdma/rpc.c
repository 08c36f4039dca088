/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/rpc.h"

#include "rdma/note.h"
#include "runtime/panic.h"
#include "runtime/random.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* ---- the header ---- */

static const unsigned char beginning[] = {'r', 'R', 'P', 'C', 1};

enum { AT_KIND = 5, AT_ID = 8, AT_CODE = 16 };

void rill_rdma_rpc_pack(unsigned char bytes[RILL_RDMA_RPC_HEADER_SIZE],
                        enum rill_rdma_rpc_kind kind, uint64_t id, uint32_t code)
{
    id = htole64(id);
    code = htole32(code);
    memset(bytes, 0, RILL_RDMA_RPC_HEADER_SIZE);
    memcpy(bytes, beginning, sizeof beginning);
    bytes[AT_KIND] = (unsigned char)kind;
    memcpy(bytes + AT_ID, &id, sizeof id);
    memcpy(bytes + AT_CODE, &code, sizeof code);
}

static bool unpack(struct rill_rdma_rpc_header *header, const unsigned char *bytes, size_t size)
{
    if (size != RILL_RDMA_RPC_HEADER_SIZE || memcmp(bytes, beginning, sizeof beginning) != 0)
        return false;
    header->kind = bytes[AT_KIND];
    memcpy(&header->id, bytes + AT_ID, sizeof header->id);
    memcpy(&header->code, bytes + AT_CODE, sizeof header->code);
    header->id = le64toh(header->id);
    header->code = le32toh(header->code);
    return true;
}

void rill_rdma_rpc_tell(struct rill_rdma_rpc *rpc, struct rill_rdma_ep *ep,
                        enum rill_rdma_rpc_kind kind, uint64_t id, uint32_t code)
{
    unsigned char bytes[RILL_RDMA_RPC_HEADER_SIZE];
    int error;

    rill_rdma_rpc_pack(bytes, kind, id, code);
    error = rill_rdma_note_send(ep, rpc->number.id, bytes, sizeof bytes,
                                kind == RILL_RDMA_RPC_REPLY ? 0 : RILL_RDMA_AM_REPLY);
    if (error == 0)
        return;
    rpc->stats.untold++;
    if (kind == RILL_RDMA_RPC_REPLY) /* or its caller would wait for ever */
        rill_rdma_ep_fail(ep, error == -EBUSY ? -ENOBUFS : error);
}

/* ---- what arrives ---- */

static ucs_status_t on_message(void *rpc_, const void *bytes, size_t header_size, void *data,
                               size_t size, const ucp_am_recv_param_t *param)
{
    struct rill_rdma_rpc *rpc = rpc_;
    struct rill_rdma_rpc_header header;

    if (unpack(&header, bytes, header_size)) {
        switch (header.kind) {
        case RILL_RDMA_RPC_REQUEST:
            return rill_rdma_rpc_on_request(rpc, &header, data, size, param);
        case RILL_RDMA_RPC_REPLY:
            return rill_rdma_rpc_on_reply(rpc, &header, data, size, param);
        case RILL_RDMA_RPC_CANCEL:
            rill_rdma_rpc_on_cancel(rpc, &header, param);
            return UCS_OK;
        }
    }
    rpc->stats.malformed++;
    return UCS_OK;
}

/* ---- its life ---- */

static void close_with_rdma(struct rill_rdma_am_number *number)
{
    rill_rdma_rpc_close(rill_container_of(number, struct rill_rdma_rpc, number));
}

/* Callers hear of it by their endpoints; who waits for a request, that none will come any more. */
static void lose(struct rill_rdma_am_number *number)
{
    rill_line_wake_first(&rill_container_of(number, struct rill_rdma_rpc, number)->line);
}

int rill_rdma_rpc_open(struct rill_rdma_rpc *rpc, struct rill_rdma *rdma, unsigned id,
                       size_t requests_max)
{
    int error;

    rill_check(!rpc->is_open, "a service was opened that is open already");
    rill_check(rdma->is_open, "a service was opened of an rdma that is not open");
    *rpc = (struct rill_rdma_rpc){
        .rdma = rdma,
        .requests_max = requests_max,
        .next_call = rill_random(),
        .number.close = close_with_rdma,
        .number.lose = lose,
    };
    for (int i = 0; i < RILL_RDMA_RPC_BUCKETS; i++) {
        rill_list_init(&rpc->calls[i]);
        rill_list_init(&rpc->requests[i]);
    }
    rill_list_init(&rpc->held);
    rill_line_init(&rpc->line);
    error = rill_rdma_am_handle(rdma, &rpc->number, id, on_message, rpc);
    rpc->is_open = !error;
    return error;
}

void rill_rdma_rpc_stop(struct rill_rdma_rpc *rpc)
{
    rill_check(rpc->is_open, "a service was stopped that is not open");
    rpc->is_stopped = true;
    rill_line_wake_first(&rpc->line); /* who leaves wakes the next */
}

void rill_rdma_rpc_close(struct rill_rdma_rpc *rpc)
{
    if (!rpc->is_open)
        return;
    rill_line_finish(&rpc->line, "a service");
    rill_check(rpc->waiting == 0, "a service was closed while %zu calls wait for their reply",
               rpc->waiting);
    rill_check(rpc->taken == 0, "a service was closed with %zu requests not answered", rpc->taken);
    rill_rdma_am_unhandle(rpc->rdma, &rpc->number);
    rill_rdma_rpc_refuse_held(rpc, -ESHUTDOWN);
    rpc->is_open = false;
}
