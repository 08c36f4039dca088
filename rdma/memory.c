/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/memory.h"

#include "rdma/error.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>
#include <sys/sysinfo.h>

/* ---- one's own ---- */

/* Whether it is more than the machine has. UCX would write to the shared memory that it allocates
 * until there is none left, and the kernel end whom it likes (uct_posix_test_mem). */
static bool is_too_much(size_t size)
{
    struct sysinfo info;

    return sysinfo(&info) == 0 && size / info.mem_unit > info.totalram;
}

int rill_rdma_memory_register(struct rill_rdma_memory *memory, struct rill_rdma *rdma,
                              void *address, size_t size)
{
    const ucp_mem_map_params_t params = {
        .field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH |
                      UCP_MEM_MAP_PARAM_FIELD_FLAGS,
        .address = address,
        .length = size,
        .flags = address ? 0 : UCP_MEM_MAP_ALLOCATE,
    };
    ucp_mem_attr_t attributes = {.field_mask = UCP_MEM_ATTR_FIELD_ADDRESS};
    int error;

    rill_check(!memory->ucp, "memory was registered that is registered already");
    rill_check(rdma->is_open, "memory was registered of an rdma that is not open");
    if (size == 0)
        return -EINVAL;
    if (!address && is_too_much(size))
        return -ENOMEM;
    error = rill_rdma_errno(rdma->ucx->mem_map(rdma->context, &params, &memory->ucp));
    if (error) {
        memory->ucp = NULL;
        return error;
    }
    error = rill_rdma_errno(rdma->ucx->mem_query(memory->ucp, &attributes));
    rdma->memories++;
    memory->rdma = rdma;
    memory->address = attributes.address;
    memory->size = size;
    if (error)
        rill_rdma_memory_release(memory);
    return error;
}

void rill_rdma_memory_release(struct rill_rdma_memory *memory)
{
    if (!memory->ucp)
        return;
    memory->rdma->ucx->mem_unmap(memory->rdma->context, memory->ucp);
    memory->rdma->memories--;
    memory->ucp = NULL;
}

int rill_rdma_memory_pack(struct rill_rdma_memory *memory, struct rill_rdma_key *key)
{
    struct rill_rdma *rdma = memory->rdma;
    void *bytes;
    size_t size;
    int error;

    rill_check(memory->ucp, "memory was packed that is not registered");
    *key = (struct rill_rdma_key){.rdma = rdma};
    error = rill_rdma_errno(rdma->ucx->rkey_pack(rdma->context, memory->ucp, &bytes, &size));
    if (error)
        return error;
    key->bytes = bytes;
    key->size = size;
    return 0;
}

void rill_rdma_key_release(struct rill_rdma_key *key)
{
    if (key->bytes)
        key->rdma->ucx->rkey_buffer_release((void *)(uintptr_t)key->bytes);
    key->bytes = NULL;
}

/* ---- another's ---- */

int rill_rdma_remote_open(struct rill_rdma_remote *remote, struct rill_rdma_ep *ep,
                          uint64_t address, const void *key_bytes, size_t key_size)
{
    char padded[RILL_RDMA_KEY_SIZE_MAX] = "";
    int error;

    rill_check(!remote->ucp, "remote memory was opened that is open already");
    if (ep->error)
        return ep->error;
    rill_check(ep->is_open, "remote memory was opened through an endpoint that is not open");
    if (key_size == 0 || key_size > sizeof padded)
        return -EINVAL;
    memcpy(padded, key_bytes, key_size);
    error = rill_rdma_errno(ep->rdma->ucx->ep_rkey_unpack(ep->ucp, padded, &remote->ucp));
    if (error)
        remote->ucp = NULL;
    remote->ep = ep;
    remote->serial = ep->serial;
    remote->address = address;
    return error;
}

void rill_rdma_remote_close(struct rill_rdma_remote *remote)
{
    if (!remote->ucp)
        return;
    remote->ep->rdma->ucx->rkey_destroy(remote->ucp);
    remote->ucp = NULL;
}

/* ---- moving bytes ---- */

/* Whether the endpoint is not the one any more that the key was unpacked for: a connection may
 * have been lost and made anew. The key would be taken for one of the new peer's. */
static bool is_stale(const struct rill_rdma_op *op)
{
    return op->remote.memory->serial != op->ep->serial;
}

static ucs_status_ptr_t post_put(struct rill_rdma_op *op)
{
    ucp_request_param_t param;

    rill_rdma_op_set_param(op, &param);
    if (is_stale(op))
        return UCS_STATUS_PTR(UCS_ERR_NOT_CONNECTED);
    return op->rdma->ucx->put_nbx(op->ep->ucp, op->buffer, op->size, op->remote.address,
                                  op->remote.memory->ucp, &param);
}

static ucs_status_ptr_t post_get(struct rill_rdma_op *op)
{
    ucp_request_param_t param;

    rill_rdma_op_set_param(op, &param);
    if (is_stale(op))
        return UCS_STATUS_PTR(UCS_ERR_NOT_CONNECTED);
    return op->rdma->ucx->get_nbx(op->ep->ucp, op->buffer, op->size, op->remote.address,
                                  op->remote.memory->ucp, &param);
}

static struct rill_future *prepare(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                   const struct rill_rdma_verb *verb, const void *buffer,
                                   size_t size, uint64_t offset)
{
    rill_check(remote->ucp, "%s: it is not open", verb->name.function);
    rill_rdma_op_prepare(op, verb, remote->ep->rdma, remote->ep);
    op->buffer = (void *)(uintptr_t)buffer;
    op->size = size;
    op->remote.memory = remote;
    op->remote.address = remote->address + offset;
    return &op->future;
}

struct rill_future *rill_rdma_put(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                  const void *buffer, size_t size, uint64_t offset)
{
    static const struct rill_rdma_verb verb = {
        {"write to remote memory", NULL, 0}, post_put, false};

    return prepare(remote, op, &verb, buffer, size, offset);
}

struct rill_future *rill_rdma_get(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                  void *buffer, size_t size, uint64_t offset)
{
    static const struct rill_rdma_verb verb = {{"read remote memory", NULL, 0}, post_get, false};

    return prepare(remote, op, &verb, buffer, size, offset);
}

/* ---- numbers ---- */

/* The operand is the op's, and lives as long as that; the reply goes to its buffer. */
static ucs_status_ptr_t post_atomic(struct rill_rdma_op *op, ucp_atomic_op_t opcode)
{
    ucp_request_param_t param;

    rill_rdma_op_set_param(op, &param);
    param.op_attr_mask |= UCP_OP_ATTR_FIELD_DATATYPE | UCP_OP_ATTR_FIELD_REPLY_BUFFER;
    param.datatype = ucp_dt_make_contig(sizeof(uint64_t));
    param.reply_buffer = op->buffer;
    if (is_stale(op))
        return UCS_STATUS_PTR(UCS_ERR_NOT_CONNECTED);
    return op->rdma->ucx->atomic_op_nbx(op->ep->ucp, opcode, &op->remote.operand, 1,
                                        op->remote.address, op->remote.memory->ucp, &param);
}

static ucs_status_ptr_t post_fetch_add(struct rill_rdma_op *op)
{
    return post_atomic(op, UCP_ATOMIC_OP_ADD);
}

static ucs_status_ptr_t post_compare_swap(struct rill_rdma_op *op)
{
    return post_atomic(op, UCP_ATOMIC_OP_CSWAP);
}

struct rill_future *rill_rdma_fetch_add(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                        uint64_t offset, uint64_t add, uint64_t *before)
{
    static const struct rill_rdma_verb verb = {
        {"add to remote memory", NULL, 0}, post_fetch_add, false};

    prepare(remote, op, &verb, before, sizeof *before, offset);
    op->remote.operand = add;
    return &op->future;
}

struct rill_future *rill_rdma_compare_swap(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                           uint64_t offset, uint64_t expected, uint64_t *value)
{
    static const struct rill_rdma_verb verb = {
        {"compare and swap remote memory", NULL, 0}, post_compare_swap, false};

    prepare(remote, op, &verb, value, sizeof *value, offset);
    op->remote.operand = expected;
    return &op->future;
}
