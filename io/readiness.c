/* SPDX-License-Identifier: Apache-2.0 */
#include "io/readiness.h"

#include <endian.h>
#include <liburing.h>

struct rill_future *rill_fd_wait(int fd, struct rill_op *op, short events)
{
    static const struct rill_place name = {"wait for a descriptor", NULL, 0};
    uint32_t mask = (uint16_t)events;

    rill_op_prepare(op, &name, IORING_OP_POLL_ADD, fd, NULL, 0, 0);
#if __BYTE_ORDER == __BIG_ENDIAN
    mask = mask << 16 | mask >> 16; /* the kernel reads the two halves swapped */
#endif
    op->op_flags = mask;
    return &op->future;
}
