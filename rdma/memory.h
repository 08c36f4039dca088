/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - memory that others may write to and read from, and that of others.
 *
 *     error = rill_rdma_memory_register(&board, &rdma, NULL, 4096);   // one side
 *     error = rill_rdma_memory_pack(&board, &key);
 *     ...  key.bytes go to the other side, by a message, with board.address  ...
 *
 *     error = rill_rdma_remote_open(&remote, &peer, address, bytes, size);   // the other
 *     RILL_AWAIT(rill_rdma_put(&remote, &op, "hello", 5, 0));
 *     RILL_AWAIT(rill_rdma_ep_flush(&peer, &op));
 *
 * Where the network can do it, the side whose memory it is has no part in that: nobody
 * tells it, and no task of its runs. Over TCP, UCX does it there in its progress; and it ends
 * the process of that side ("unexpected error", ucp_request.inl, 1.13 to 1.19) if it comes to
 * answer a peer just when the endpoint to that has failed: after the second, the twentieth or the
 * thousandth that was killed while it put, read or added. Where peers may be killed, let them ask
 * by a message (rpc.h). */
#ifndef RILL_RDMA_MEMORY_H
#define RILL_RDMA_MEMORY_H

#include "rdma/endpoint.h"
#include "rdma/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- one's own ---- */

/* Zeroed at first. */
struct rill_rdma_memory {
    void *address;
    size_t size;

    /* private */
    struct rill_rdma *rdma;
    ucp_mem_h ucp; /* NULL: not registered */
};

/* What another side needs in order to reach the memory. */
struct rill_rdma_key {
    const void *bytes; /* UCX's, or NULL while there is none */
    size_t size;

    /* private */
    struct rill_rdma *rdma;
};

/* Registers size bytes at address, which stay the caller's and must stay mapped until they
 * are released; or, with address NULL, allocates them. It may take long: memory is pinned.
 * Returns 0 or -errno: -ENOMEM also where too little memory may be locked (ulimit -l), or where
 * more is to be allocated than the machine has; -EINVAL for size 0, or what else UCX says
 * (error.h). Borrows rdma until they are released. */
int rill_rdma_memory_register(struct rill_rdma_memory *memory, struct rill_rdma *rdma,
                              void *address, size_t size);

/* Ends that, before its rdma is closed; memory that was allocated is freed. Nobody may reach for
 * it any more. Does nothing to one that is not registered. */
void rill_rdma_memory_release(struct rill_rdma_memory *memory);

/* Makes the key of the memory: bytes that are lent until rill_rdma_key_release. Returns
 * 0; or -ENOMEM, or what UCX says (error.h) where a device makes none, and then there are none. The
 * memory stays registered. Panics if it is not. */
int rill_rdma_memory_pack(struct rill_rdma_memory *memory, struct rill_rdma_key *key);

/* Gives the bytes of a key back, before the rdma of its memory is closed; the memory may be
 * released before. Other sides that have a copy of them can reach the memory all the same. Does
 * nothing to one that has none, or is zeroed. */
void rill_rdma_key_release(struct rill_rdma_key *key);

/* ---- another's ---- */

/* Zeroed at first. */
struct rill_rdma_remote {
    struct rill_rdma_ep *ep; /* borrowed while open */
    uint64_t address;        /* of its first byte, over there */

    /* private */
    ucp_rkey_h ucp;  /* NULL: not open */
    uint64_t serial; /* of ep when it was opened */
};

/* No key is longer. UCX packs a head of 9 bytes, then for each memory domain that knows the memory,
 * of which it has 64 at the most, a length in a byte and so many bytes (ucp_rkey.c, 1.13). */
enum { RILL_RDMA_KEY_SIZE_MAX = 9 + 64 * 256 };

/* Makes the memory of the other side reachable through ep, by the address that it has
 * there and the bytes of its key, borrowed until this returns. UCX takes no size and believes the
 * lengths within the key; here it finds zeros behind the last byte, and reads no further. Returns 0
 * or -errno: why ep has failed or was closed, -EINVAL where the size is 0 or more than
 * RILL_RDMA_KEY_SIZE_MAX, or what UCX says of a key that it cannot use (error.h). */
int rill_rdma_remote_open(struct rill_rdma_remote *remote, struct rill_rdma_ep *ep,
                          uint64_t address, const void *key_bytes, size_t key_size);

/* Ends that, before its endpoint is closed; where the endpoint has ended by itself, as that of a
 * connection which was lost does, afterwards. Nothing may be in flight on it. Does nothing to one
 * that is not open. */
void rill_rdma_remote_close(struct rill_rdma_remote *remote);

/* All of these borrow remote and buffers until they are over; offset is into the remote
 * memory, and whether it is within it is known over there only. Results are -errno as of
 * rill_rdma_tag_send, or -ENOTCONN where ep was opened anew since (a connection that was lost
 * and made again), or what is said. None can be withdrawn: cancelling one that UCX has waits until
 * it is over, or its endpoint is. */

/* Writes size bytes. Over when the buffer can be used again: rill_rdma_ep_flush waits until
 * they are there. The result is size. */
struct rill_future *rill_rdma_put(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                  const void *buffer, size_t size, uint64_t offset);

/* Reads size bytes. The result is size. */
struct rill_future *rill_rdma_get(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                  void *buffer, size_t size, uint64_t offset);

/* Adds to the 64-bit number at offset, a multiple of 8, and stores in *before what was
 * there. The result is 8. */
struct rill_future *rill_rdma_fetch_add(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                        uint64_t offset, uint64_t add, uint64_t *before);

/* Where the number there is `expected`, writes *value; stores in *value what was there
 * before in either case. The result is 8. */
struct rill_future *rill_rdma_compare_swap(struct rill_rdma_remote *remote, struct rill_rdma_op *op,
                                           uint64_t offset, uint64_t expected, uint64_t *value);

#ifdef __cplusplus
}
#endif
#endif
