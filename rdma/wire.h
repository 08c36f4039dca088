/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - what two sides of a connection say to each other, byte by byte.
 *
 * Data go as tagged messages. The 64 bits of their tag are
 *
 *     63                 32 31      28 27                    0
 *     | connection id of   | kind     | tag of the user's     |
 *     | the receiver       | 0 or 1   |                       |
 *
 * so two connections of a worker never mix. Kind 0 is a message of the user's; kind 1,
 * without a byte, is the last message of its side (BYE): as a tagged message it cannot
 * overtake those before it, and sent synchronously it tells its sender that it was taken.
 * UCX may report that the other side has closed its endpoint before it reads what was sent
 * before. So whoever has taken the other's BYE, and whose own was taken, says DONE, and
 * closes its endpoint only when the other has said so too: nothing that matters is on its
 * way then. So it is closed by force, of which nothing stays in UCX. That may take back this
 * side's DONE; who sees the endpoint fail after both BYEs knows the same.
 *
 * All else goes as active messages to one inbox, RILL_RDMA_CONTROL_ID, each with a header
 * of this struct in little-endian order and nothing else, but for the address of the
 * sender's worker behind a HELLO to one that could not know it. What they say about credit
 * is absolute, so that a later one replaces those before it. */
#ifndef RILL_RDMA_WIRE_H
#define RILL_RDMA_WIRE_H

#include "rdma/segments.h"

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    RILL_RDMA_CONTROL_ID = 30, /* of active messages; taken where there is a hub */
    RILL_RDMA_WIRE_VERSION = 2,
    RILL_RDMA_USER_TAG_BITS = 28,
    RILL_RDMA_USER_TAG_MAX = (1 << RILL_RDMA_USER_TAG_BITS) - 1,
};

#define RILL_RDMA_WIRE_MAGIC UINT32_C(0x6c6c6972) /* "rill" */

enum rill_rdma_message_kind {
    RILL_RDMA_KIND_DATA = 0,
    RILL_RDMA_KIND_BYE = 1,
};

enum rill_rdma_control_kind {
    RILL_RDMA_HELLO = 1, /* the connecting side: here I am */
    RILL_RDMA_ACK,       /* the accepting side: and here am I */
    RILL_RDMA_BEAT,      /* I live; and what I have received */
    RILL_RDMA_REFUSE,    /* reason: why this will be no connection */
    RILL_RDMA_DONE,      /* I have all that you sent, and you have all that I did */
};

struct rill_rdma_control {
    uint32_t magic;
    uint8_t version;
    uint8_t kind; /* enum rill_rdma_control_kind */
    uint16_t reserved;
    uint32_t to, from;   /* connection ids of receiver and sender; to is 0 in a HELLO */
    uint64_t received;   /* cost of all messages that the sender has taken: see credit.h */
    uint64_t window;     /* cost that may be on its way to the sender; 0: any */
    uint32_t eager_size; /* bytes of a message that go with it, before it is received */
    uint32_t beat_ms;    /* how often the sender wants to hear a BEAT; 0: never */
    int32_t reason;      /* an -errno */
    uint32_t load_kib;   /* that is on its way from the sender, or waits to be: a BEAT that
                          * comes later may have to wait behind it */
    struct rill_rdma_segments segments; /* the sender's: looked at in HELLO and ACK */
};

static inline uint64_t rill_rdma_tag_make(uint32_t id, enum rill_rdma_message_kind kind,
                                          uint32_t user_tag)
{
    return (uint64_t)id << 32 | (uint64_t)kind << RILL_RDMA_USER_TAG_BITS |
           (user_tag & RILL_RDMA_USER_TAG_MAX);
}

/* The mask of a receive of one connection that looks at some bits of the user's tag. */
static inline uint64_t rill_rdma_mask_make(uint32_t user_mask)
{
    return UINT64_MAX << RILL_RDMA_USER_TAG_BITS | (user_mask & RILL_RDMA_USER_TAG_MAX);
}

/* Between the order of this machine and that of the wire: the same in both directions. */
static inline struct rill_rdma_control rill_rdma_control_swap(struct rill_rdma_control control)
{
    control.magic = htole32(control.magic);
    control.to = htole32(control.to);
    control.from = htole32(control.from);
    control.received = htole64(control.received);
    control.window = htole64(control.window);
    control.eager_size = htole32(control.eager_size);
    control.beat_ms = htole32(control.beat_ms);
    control.reason = (int32_t)htole32((uint32_t)control.reason);
    control.load_kib = htole32(control.load_kib);
    control.segments.tcp = htole32(control.segments.tcp);
    control.segments.shared = htole32(control.segments.shared);
    return control;
}

/* Reads what came. Returns whether it is a message of this version, or a HELLO of any: its
 * sender is owed a REFUSE. Those of another one may be longer, and begin like this. */
static inline bool rill_rdma_control_read(struct rill_rdma_control *control, const void *bytes,
                                          size_t size)
{
    if (size < sizeof *control)
        return false;
    memcpy(control, bytes, sizeof *control);
    *control = rill_rdma_control_swap(*control);
    if (control->magic != RILL_RDMA_WIRE_MAGIC || control->from == 0)
        return false;
    if (control->version == RILL_RDMA_WIRE_VERSION)
        return size == sizeof *control;
    return control->kind == RILL_RDMA_HELLO || control->kind == RILL_RDMA_REFUSE;
}

#ifdef __cplusplus
}
#endif
#endif
