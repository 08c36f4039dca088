/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/fake_ucx_parts.h"

#include <stdlib.h>

static ucs_status_t mem_map(ucp_context_h c, const ucp_mem_map_params_t *params, ucp_mem_h *out)
{
    (void)c;
    if (fake_call("mem_map") != UCS_OK)
        return fake.status;
    expect(params->flags & UCP_MEM_MAP_ALLOCATE);
    fake.memories++;
    *out = malloc(params->length);
    return UCS_OK;
}

static ucs_status_t mem_query(ucp_mem_h memory, ucp_mem_attr_t *attributes)
{
    attributes->address = memory;
    return fake_call("mem_query");
}

static ucs_status_t mem_unmap(ucp_context_h c, ucp_mem_h memory)
{
    (void)c;
    fake.memories--;
    free(memory);
    return UCS_OK;
}

static ucs_status_t rkey_pack(ucp_context_h c, ucp_mem_h memory, void **out, size_t *size)
{
    (void)c;
    if (fake_call("rkey_pack") != UCS_OK)
        return fake.status;
    fake.keys++;
    *out = memory;
    *size = 1;
    return UCS_OK;
}

static void rkey_buffer_release(void *key)
{
    (void)key;
    fake.keys--;
}

void fake_memory_table(struct rill_ucx *table)
{
    table->mem_map = mem_map;
    table->mem_query = mem_query;
    table->mem_unmap = mem_unmap;
    table->rkey_pack = rkey_pack;
    table->rkey_buffer_release = rkey_buffer_release;
}
