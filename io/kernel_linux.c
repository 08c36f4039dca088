/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_linux.c - the real kernel: set-up by stepping down, and the system calls. */
#include "io/kernel.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* From the fastest way of running a ring to the plainest. A kernel that does not
 * know a flag answers EINVAL, and the next row is tried.
 *
 * IORING_SETUP_NO_SQARRAY is in no row: liburing 2.3 accepts it and then corrupts
 * the ring. */
static const unsigned setup_flags[] = {
    /* 6.1: completions are worked on only when we enter, on our own stack. What there is to be
     * worked on wakes io_uring_enter, and no poll of the ring's descriptor. */
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    /* 5.19: completions are worked on whenever the thread enters the kernel for anything, which it
     * is woken for if it sleeps there, but not interrupted for. That wakes polls too. */
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
    0,
};

/* What rill submits. A ring that lacks one of these is of no use to it. */
static const int needed_opcodes[] = {
    IORING_OP_ACCEPT,
    IORING_OP_CONNECT,
    IORING_OP_RECV,
    IORING_OP_SEND,
    IORING_OP_READ,
    IORING_OP_WRITE,
    IORING_OP_SENDMSG,
    IORING_OP_CLOSE,
    IORING_OP_OPENAT,
    IORING_OP_FSYNC,
    IORING_OP_STATX,
    IORING_OP_ASYNC_CANCEL,
    IORING_OP_POLL_ADD,
    IORING_OP_UNLINKAT,
    IORING_OP_TIMEOUT,
    IORING_OP_RENAMEAT,
    IORING_OP_MKDIRAT,
    IORING_OP_SYMLINKAT,
    IORING_OP_LINKAT,
    IORING_OP_READV,
    IORING_OP_WRITEV,
    IORING_OP_FALLOCATE,
    IORING_OP_RECVMSG,
    /* Not submitted. Accepts and receives that stay in the kernel, and buffers that it takes by
     * itself, have no bit of their own; this came with 6.1, which has them all. */
    IORING_OP_SENDMSG_ZC,
};

static int probe(struct io_uring *ring)
{
    enum { OPS_MAX = 256 }; /* as many as have a number */
    struct io_uring_probe *probe = calloc(1, sizeof *probe + OPS_MAX * sizeof probe->ops[0]);
    int error;

    if (!probe)
        return -ENOMEM;
    error = io_uring_register_probe(ring, probe, OPS_MAX);
    for (size_t i = 0; !error && i < sizeof needed_opcodes / sizeof needed_opcodes[0]; i++)
        if (!io_uring_opcode_supported(probe, needed_opcodes[i]))
            error = -ENOSYS;
    free(probe);
    if (error)
        return error;
    /* Without NODROP completions can be lost, without EXT_ARG a wait has no limit. */
    if (!(ring->features & IORING_FEAT_NODROP) || !(ring->features & IORING_FEAT_EXT_ARG))
        return -ENOSYS;
    return 0;
}

/* The fastest ring that this kernel has. All rows but the first are pollable. */
static int make_ring(struct io_uring *ring, unsigned sq_entries, unsigned cq_entries, bool pollable)
{
    int error = -EINVAL;

    for (size_t i = pollable ? 1 : 0;
         error == -EINVAL && i < sizeof setup_flags / sizeof setup_flags[0]; i++) {
        struct io_uring_params params = {
            .flags = setup_flags[i] | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE |
                     (setup_flags[i] ? IORING_SETUP_SUBMIT_ALL : 0),
            .cq_entries = cq_entries,
        };

        error = io_uring_queue_init_params(sq_entries, ring, &params);
    }
    return error;
}

/* Without privilege a ring is counted as locked memory of the user, and one that has ended stays so
 * for some 10 to 40 ms: rings that are made one after the other would find none left. */
enum { PAUSES_MAX = 20 };
static const struct timespec pause_for_memory = {.tv_nsec = 5 * RILL_MILLISECOND};

static int linux_setup(struct rill_kernel *kernel, struct io_uring *ring, unsigned sq_entries,
                       unsigned cq_entries, bool pollable)
{
    int error = make_ring(ring, sq_entries, cq_entries, pollable);

    (void)kernel;
    for (int pauses = 0; error == -ENOMEM && pauses < PAUSES_MAX; pauses++) {
        nanosleep(&pause_for_memory, NULL);
        error = make_ring(ring, sq_entries, cq_entries, pollable);
    }
    if (error)
        return error;
    error = probe(ring);
    if (!error) /* a filter of system calls may know this one alone */
        error = io_uring_enter2((unsigned)ring->ring_fd, 0, 0, 0, NULL, _NSIG / 8);
    if (error) {
        io_uring_queue_exit(ring);
        return error;
    }
    /* Saves the kernel a look-up of the descriptor at each call. An old kernel
     * refuses, and all goes on without. */
    (void)io_uring_register_ring_fd(ring);
    /* Entry i of the queue is always sqes[i], so submitting only moves the tail. liburing from 2.6
     * on asks by itself for a ring without that array, where the kernel has such. */
    for (unsigned i = 0; ring->sq.array && i < ring->sq.ring_entries; i++)
        ring->sq.array[i] = i;
    return 0;
}

static void linux_teardown(struct rill_kernel *kernel, struct io_uring *ring)
{
    (void)kernel;
    io_uring_queue_exit(ring);
}

static int64_t read_clock(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * RILL_SECOND + time.tv_nsec;
}

static int64_t linux_now(struct rill_kernel *kernel)
{
    (void)kernel;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t linux_now_coarse(struct rill_kernel *kernel)
{
    (void)kernel;
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

static int linux_enter(struct rill_kernel *kernel, struct io_uring *ring, int64_t until_ns)
{
    unsigned submit = ring->sq.sqe_tail - *ring->sq.khead;
    unsigned flags = IORING_ENTER_GETEVENTS;
    struct __kernel_timespec timeout;
    struct io_uring_getevents_arg argument = {0};
    int result;

    if (ring->enter_ring_fd != ring->ring_fd)
        flags |= IORING_ENTER_REGISTERED_RING;
    io_uring_smp_store_release(ring->sq.ktail, ring->sq.sqe_tail);

    if (until_ns == RILL_NO_WAIT)
        return io_uring_enter2((unsigned)ring->enter_ring_fd, submit, 0, flags, NULL, _NSIG / 8);
    if (until_ns == RILL_NEVER)
        return io_uring_enter2((unsigned)ring->enter_ring_fd, submit, 1, flags, NULL, _NSIG / 8);

    int64_t now_ns = linux_now(kernel);
    int64_t left_ns = until_ns > now_ns ? until_ns - now_ns : 0;

    timeout.tv_sec = left_ns / RILL_SECOND;
    timeout.tv_nsec = left_ns % RILL_SECOND;
    argument.ts = (uint64_t)(uintptr_t)&timeout;
    result = io_uring_enter2((unsigned)ring->enter_ring_fd, submit, 1, flags | IORING_ENTER_EXT_ARG,
                             (void *)&argument, sizeof argument);
    return result == -ETIME ? 0 : result;
}

/* It is counted as locked memory, too. Of more than a page the caller can do with less. */
static int linux_register_buffers(struct rill_kernel *kernel, struct io_uring *ring,
                                  struct io_uring_buf_reg *reg)
{
    bool is_least = reg->ring_entries * sizeof(struct io_uring_buf) <= 4096;
    int error = io_uring_register_buf_ring(ring, reg, 0);

    (void)kernel;
    for (int pauses = 0; error == -ENOMEM && is_least && pauses < PAUSES_MAX; pauses++) {
        nanosleep(&pause_for_memory, NULL);
        error = io_uring_register_buf_ring(ring, reg, 0);
    }
    return error;
}

/* The result of a system call as rill has results. */
static int result_of(int returned)
{
    return returned < 0 ? -errno : returned;
}

static int linux_socket(struct rill_kernel *kernel, int domain, int type, int protocol)
{
    (void)kernel;
    return result_of(socket(domain, type, protocol));
}

static int linux_bind(struct rill_kernel *kernel, int fd, const struct sockaddr *address,
                      socklen_t size)
{
    (void)kernel;
    return result_of(bind(fd, address, size));
}

static int linux_connect(struct rill_kernel *kernel, int fd, const struct sockaddr *address,
                         socklen_t size)
{
    (void)kernel;
    return result_of(connect(fd, address, size));
}

static int linux_listen(struct rill_kernel *kernel, int fd, int backlog)
{
    (void)kernel;
    return result_of(listen(fd, backlog));
}

static int linux_setsockopt(struct rill_kernel *kernel, int fd, int level, int name,
                            const void *value, socklen_t size)
{
    (void)kernel;
    return result_of(setsockopt(fd, level, name, value, size));
}

static int linux_getsockopt(struct rill_kernel *kernel, int fd, int level, int name, void *value,
                            socklen_t *size)
{
    (void)kernel;
    return result_of(getsockopt(fd, level, name, value, size));
}

/* The kernel may tell of one byte more than there was room for: it counts a zero behind the
 * longest path of a unix socket, and does not take such a size back. */
static int in_its_room(int result, socklen_t *size, socklen_t room)
{
    if (*size > room)
        *size = room;
    return result_of(result);
}

static int linux_getsockname(struct rill_kernel *kernel, int fd, struct sockaddr *address,
                             socklen_t *size)
{
    socklen_t room = *size;

    (void)kernel;
    return in_its_room(getsockname(fd, address, size), size, room);
}

static int linux_getpeername(struct rill_kernel *kernel, int fd, struct sockaddr *address,
                             socklen_t *size)
{
    socklen_t room = *size;

    (void)kernel;
    return in_its_room(getpeername(fd, address, size), size, room);
}

static int linux_poll(struct rill_kernel *kernel, struct pollfd *fds, unsigned count)
{
    (void)kernel;
    return result_of(poll(fds, count, 0));
}

static int linux_shutdown(struct rill_kernel *kernel, int fd, int how)
{
    (void)kernel;
    return result_of(shutdown(fd, how));
}

static int linux_fstatat(struct rill_kernel *kernel, int directory, const char *path,
                         struct stat *status, int flags)
{
    (void)kernel;
    return result_of(fstatat(directory, path, status, flags));
}

static int linux_unlinkat(struct rill_kernel *kernel, int directory, const char *path, int flags)
{
    (void)kernel;
    return result_of(unlinkat(directory, path, flags));
}

static bool linux_is_terminal(struct rill_kernel *kernel, int fd)
{
    (void)kernel;
    return isatty(fd) == 1;
}

static int linux_close(struct rill_kernel *kernel, int fd)
{
    (void)kernel;
    return result_of(close(fd));
}

struct rill_kernel *rill_kernel_linux(void)
{
    static const struct rill_kernel_ops ops = {
        .setup = linux_setup,
        .teardown = linux_teardown,
        .enter = linux_enter,
        .register_buffers = linux_register_buffers,
        .now = linux_now,
        .now_coarse = linux_now_coarse,
        .socket = linux_socket,
        .bind = linux_bind,
        .connect = linux_connect,
        .listen = linux_listen,
        .setsockopt = linux_setsockopt,
        .getsockopt = linux_getsockopt,
        .getsockname = linux_getsockname,
        .getpeername = linux_getpeername,
        .poll = linux_poll,
        .shutdown = linux_shutdown,
        .fstatat = linux_fstatat,
        .unlinkat = linux_unlinkat,
        .close = linux_close,
        .is_terminal = linux_is_terminal,
    };
    static struct rill_kernel kernel = {&ops};

    return &kernel;
}
