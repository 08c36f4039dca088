/* SPDX-License-Identifier: Apache-2.0 */
#include "io/pipe.h"

#include "io/readiness.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static bool is_pending(int signal)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, signal);
}

/* write(2), with -errno as its result and without SIGPIPE. */
static int64_t write_quietly(int fd, const char *bytes, size_t size)
{
    static const struct timespec at_once;
    sigset_t broken_pipe, before;
    bool was_blocked, was_pending;
    int64_t result;

    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    was_blocked = sigismember(&before, SIGPIPE);
    was_pending = was_blocked && is_pending(SIGPIPE);
    result = write(fd, bytes, size);
    if (result < 0)
        result = -errno;
    /* One that was pending before is the program's: the two are one then, and stay. */
    while (result == -EPIPE && !was_pending && sigtimedwait(&broken_pipe, NULL, &at_once) < 0 &&
           errno == EINTR)
        ;
    if (!was_blocked)
        pthread_sigmask(SIG_UNBLOCK, &broken_pipe, NULL);
    return result;
}

/* Writes what the pipe has room for. Returns whether that was the end, with the result set. */
static bool advance(struct rill_pipe_write *write)
{
    int64_t result =
        write_quietly(write->fd, write->bytes + write->written, write->size - write->written);

    if (result >= 0) {
        write->written += (size_t)result;
        result = (int64_t)write->written;
    }
    if (result == -EAGAIN || result == -EINTR || (result >= 0 && write->written < write->size))
        return false;
    write->result = result;
    return true;
}

static enum rill_poll write_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_pipe_write *write = rill_container_of(self, struct rill_pipe_write, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* it may end at once */
    if (rill_task_is_cancelled(task))
        RILL_RETURN(-ECANCELED);
    while (!advance(write)) {
        RILL_AWAIT(rill_fd_wait(write->fd, &write->op, POLLOUT));
        if (write->op.result < 0)
            RILL_RETURN(write->op.result);
    }
    RILL_RETURN(write->result);
    RILL_END();
}

struct rill_future *rill_pipe_write_all(int fd, struct rill_pipe_write *write, const void *bytes,
                                        size_t size)
{
    rill_check(!write->future.awaits, "a write to a pipe is used while it is pending");
    write->written = 0;
    write->fd = fd;
    write->bytes = (const char *)bytes;
    write->size = size;
    return rill_future_init(&write->future, write_poll);
}
