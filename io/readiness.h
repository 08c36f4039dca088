/* SPDX-License-Identifier: Apache-2.0 */
/* readiness.h - waits until a descriptor of another library can be read or written. */
#ifndef RILL_IO_READINESS_H
#define RILL_IO_READINESS_H

#include "io/op.h"

#include <poll.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Waits until one of events (POLLIN, POLLOUT, ... of poll(2)) is there for fd,
 * which is borrowed. op->result is the set of events, or -errno: -EBADF, or
 * -ECANCELED. Nothing is read or written, so cancelling loses nothing. */
struct rill_future *rill_fd_wait(int fd, struct rill_op *op, short events);

#ifdef __cplusplus
}
#endif
#endif
