/* SPDX-License-Identifier: Apache-2.0 */
/* embedding.c - one descriptor for everything that a runtime may have to do.
 *
 * The ring is watched by its own descriptor, and is of the kind that does its work in this
 * thread whenever it enters the kernel. A ring that defers its work to the next io_uring_enter
 * (DEFER_TASKRUN), as other runtimes have it, is found readable by poll(2) if it has work at
 * that moment, but does not wake a poll that waits already.
 *
 * Such a ring does signal an eventfd that is registered with it (io_uring_register_eventfd), but
 * not reliably: that is done by whoever wakes the ring, and within the write to another eventfd (to
 * which the ring has a poll, or a poll of an epoll with it, as UCX's) no eventfd can be signalled.
 * So __io_eventfd_signal in io_uring/eventfd.c puts it off until an RCU grace period has passed,
 * some 20 ms, and notes that by IO_EVENTFD_OP_SIGNAL_BIT. io_eventfd_do_signal, which then
 * signals, leaves the bit set (since Linux 6.11; io_eventfd_ops before it took it off), and all
 * later signals of that kind are taken for put off already: they are lost. */
#include "io/embedding.h"

#include "io/runtime.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int watch(const struct rill_embedding *embedding, int fd, uint32_t how)
{
    struct epoll_event event = {.events = EPOLLIN | how};

    return epoll_ctl(embedding->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int set_timer(struct rill_embedding *embedding, int64_t when_ns)
{
    /* 0 disarms it, so a moment that has always passed is 1. */
    int64_t time_ns = when_ns == RILL_NEVER ? 0 : when_ns == RILL_NO_WAIT ? 1 : when_ns;
    struct itimerspec time = {
        .it_value = {.tv_sec = time_ns / RILL_SECOND, .tv_nsec = time_ns % RILL_SECOND},
    };

    if (embedding->timer_ns == when_ns)
        return 0;
    embedding->timer_ns = when_ns;
    return timerfd_settime(embedding->timer_fd, TFD_TIMER_ABSTIME, &time, NULL) < 0 ? -errno : 0;
}

/* Opens what is watched and puts it together. Returns 0 or -errno, with nothing open. */
static int open_embedding(struct rill_embedding *embedding, struct io_uring *ring)
{
    int error;

    *embedding = (struct rill_embedding){
        .is_open = true,
        .fd = epoll_create1(EPOLL_CLOEXEC),
        .timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
        .timer_ns = RILL_NEVER,
    };
    error = embedding->fd < 0 || embedding->timer_fd < 0 ? -errno : 0;
    if (!error)
        error = watch(embedding, ring->ring_fd, 0);
    if (!error)
        error = watch(embedding, embedding->timer_fd, 0);
    if (!error)
        error = set_timer(embedding, RILL_NO_WAIT);
    if (error)
        rill_embedding_finish(embedding);
    return error;
}

void rill_embedding_finish(struct rill_embedding *embedding)
{
    if (!embedding->is_open)
        return;
    if (embedding->fd >= 0)
        close(embedding->fd);
    if (embedding->timer_fd >= 0)
        close(embedding->timer_fd);
    embedding->is_open = false;
}

void rill_embedding_remind(struct rill_embedding *embedding)
{
    if (embedding->is_open)
        (void)set_timer(embedding, RILL_NO_WAIT);
}

static void check_caller(const struct rill_runtime *runtime)
{
    rill_check(&runtime->executor == rill_executor_of_thread,
               "a runtime was entered by another thread");
    rill_check(!runtime->executor.running, "a task takes a turn of the runtime that runs it");
}

int rill_fd(struct rill_runtime *runtime)
{
    struct rill_embedding *embedding = &runtime->embedding;
    struct io_uring *ring = &runtime->reactor.ring;
    int error = 0;

    check_caller(runtime);
    rill_check(!(ring->flags & IORING_SETUP_DEFER_TASKRUN),
               "rill_fd of a runtime that was created without rill_runtime_options.embedded");
    if (!embedding->is_open)
        error = open_embedding(embedding, ring);
    return error ? error : embedding->fd;
}

/* When the next turn is due at the latest. From then on posts ring the bell. */
static int64_t next_turn(struct rill_runtime *runtime)
{
    if (runtime->executor.ready_count > 0)
        return RILL_NO_WAIT;
    return rill_reactor_rest(&runtime->reactor, rill_wheel_next(&runtime->executor.wheel));
}

/* Sees to it that the descriptor is readable when there is something to do, and not before.
 * The order is that of every sleep: first forget what was signalled, then look. Only the bell,
 * which is edge-triggered, has to be forgotten, and that by the epoll: it is not read. */
static int be_watched(struct rill_runtime *runtime)
{
    struct rill_embedding *embedding = &runtime->embedding;
    struct epoll_event seen[3];
    int error = 0;

    if (runtime->reactor.remote && !embedding->hears_bell) {
        error = watch(embedding, runtime->reactor.remote->bell_fd, EPOLLET);
        embedding->hears_bell = !error;
    }
    if (embedding->hears_bell)
        (void)epoll_wait(embedding->fd, seen, sizeof seen / sizeof *seen, 0);
    return error ? error : set_timer(embedding, next_turn(runtime));
}

int rill_turn(struct rill_runtime *runtime, int64_t timeout_ns)
{
    struct rill_executor *executor = &runtime->executor;
    int64_t until_ns = timeout_ns < 0 ? RILL_NO_WAIT : timeout_ns;
    int error;

    check_caller(runtime);
    if (timeout_ns > 0 && timeout_ns < RILL_NEVER) {
        executor->now_is_known = false; /* time has passed since the last turn */
        until_ns = rill_time_after(rill_now(), timeout_ns);
    }
    error = rill_executor_wait(executor, until_ns);
    rill_executor_was_waited_for(executor);
    rill_executor_run(executor);
    if (!error)
        error = rill_executor_wait(executor, RILL_NO_WAIT);
    if (!error && runtime->embedding.is_open)
        error = be_watched(runtime);
    return error;
}

int64_t rill_turn_timeout(struct rill_runtime *runtime)
{
    int64_t next_ns, left_ns;

    check_caller(runtime);
    next_ns = next_turn(runtime);
    if (next_ns == RILL_NO_WAIT || next_ns == RILL_NEVER)
        return next_ns;
    runtime->executor.now_is_known = false;
    left_ns = next_ns - rill_now();
    return left_ns > 0 ? left_ns : RILL_NO_WAIT;
}
