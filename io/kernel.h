/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.h - everything below the reactor, so that tests can replace it.
 *
 * The reactor talks io_uring: it fills submission entries in memory and reads
 * completion entries from memory. Only the few calls in this table leave the
 * process. The simulated kernel of the tests lays the same rings out in plain
 * memory and implements these calls itself; the reactor, the ops and everything
 * above them are then the production code, compiled once, unaware of it. */
#ifndef RILL_IO_KERNEL_H
#define RILL_IO_KERNEL_H

#include "runtime/time.h"

#include <liburing.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_kernel;
struct stat;

struct rill_kernel_ops {
    /* Sets up ring with at least sq_entries and cq_entries places (both powers
     * of two). If it is to be pollable, ring_fd also wakes a poll(2) of this thread that waits
     * already; such a ring costs more. Returns 0 or -errno: -EPERM where io_uring is forbidden
     * (seccomp, kernel.io_uring_disabled), -ENOMEM, -EMFILE, -ENFILE, -ENOSYS. */
    int (*setup)(struct rill_kernel *kernel, struct io_uring *ring, unsigned sq_entries,
                 unsigned cq_entries, bool pollable);

    /* Ends the ring. Nothing may be in flight. */
    void (*teardown)(struct rill_kernel *kernel, struct io_uring *ring);

    /* Takes over all entries of the submission queue, lets finished work appear
     * in the completion queue, and sleeps until at least one completion is
     * there or until_ns (CLOCK_MONOTONIC) has come. RILL_NO_WAIT does not
     * sleep, RILL_NEVER sleeps without a limit. Returns >= 0, or -errno: -EINTR
     * when a signal came, -EBUSY and -EAGAIN when the kernel took over fewer
     * entries than there were; the rest is still in the queue. */
    int (*enter)(struct rill_kernel *kernel, struct io_uring *ring, int64_t until_ns);

    /* Registers a ring of provided buffers (io_uring_register_buf_ring), until the teardown.
     * The memory of the ring stays the caller's. Returns 0 or -errno. */
    int (*register_buffers)(struct rill_kernel *kernel, struct io_uring *ring,
                            struct io_uring_buf_reg *reg);

    /* The monotonic clock, in nanoseconds; and rill_driver_ops.now_coarse. */
    int64_t (*now)(struct rill_kernel *kernel);
    int64_t (*now_coarse)(struct rill_kernel *kernel);

    /* The system calls that never wait, each as its manual page in section 2
     * says, but with -errno as their result. unlinkat and close may wait for a disk,
     * and are called where the ring cannot do it; fstatat is for the name of a socket's file,
     * which the kernel keeps in memory while the socket is open. */
    int (*socket)(struct rill_kernel *kernel, int domain, int type, int protocol);
    int (*bind)(struct rill_kernel *kernel, int fd, const struct sockaddr *address, socklen_t size);
    int (*connect)(struct rill_kernel *kernel, int fd, const struct sockaddr *address,
                   socklen_t size); /* of datagrams */
    int (*listen)(struct rill_kernel *kernel, int fd, int backlog);
    int (*setsockopt)(struct rill_kernel *kernel, int fd, int level, int name, const void *value,
                      socklen_t size);
    int (*getsockopt)(struct rill_kernel *kernel, int fd, int level, int name, void *value,
                      socklen_t *size);
    int (*getsockname)(struct rill_kernel *kernel, int fd, struct sockaddr *address,
                       socklen_t *size);
    int (*getpeername)(struct rill_kernel *kernel, int fd, struct sockaddr *address,
                       socklen_t *size);
    int (*poll)(struct rill_kernel *kernel, struct pollfd *fds, unsigned count); /* looks only */
    int (*shutdown)(struct rill_kernel *kernel, int fd, int how);
    int (*fstatat)(struct rill_kernel *kernel, int directory, const char *path, struct stat *status,
                   int flags);
    int (*unlinkat)(struct rill_kernel *kernel, int directory, const char *path, int flags);
    int (*close)(struct rill_kernel *kernel, int fd);

    /* Whether it is one, as isatty(3) says. */
    bool (*is_terminal)(struct rill_kernel *kernel, int fd);
};

/* An implementation embeds this first and puts its own state behind it. */
struct rill_kernel {
    const struct rill_kernel_ops *ops;
};

/* The real one. Returns a kernel without state, for any number of rings. */
struct rill_kernel *rill_kernel_linux(void);

#ifdef __cplusplus
}
#endif
#endif
