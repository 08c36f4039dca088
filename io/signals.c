/* SPDX-License-Identifier: Apache-2.0 */
#include "io/signals.h"

#include "io/readiness.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Several may have the same signal open, and are closed in any order: it stays blocked up to the
 * last of them, or it would end the process although somebody waits for it. */
static __thread struct {
    unsigned open_count;
    bool was_blocked; /* before the first of them was opened */
} taken[NSIG];

static void take(const sigset_t *set, const sigset_t *before)
{
    for (int number = 1; number < NSIG; number++)
        if (sigismember(set, number) == 1 && taken[number].open_count++ == 0)
            taken[number].was_blocked = sigismember(before, number) == 1;
}

static void give_back(const sigset_t *set)
{
    sigset_t last;

    sigemptyset(&last);
    for (int number = 1; number < NSIG; number++)
        if (sigismember(set, number) == 1 && --taken[number].open_count == 0 &&
            !taken[number].was_blocked)
            sigaddset(&last, number);
    pthread_sigmask(SIG_UNBLOCK, &last, NULL);
}

int rill_signals_open(struct rill_signals *signals, const int *numbers, int count)
{
    sigset_t before;

    rill_check(!signals->is_open, "signals were opened that are open already: close them first");
    memset(signals, 0, sizeof *signals);
    sigemptyset(&signals->set);
    for (int i = 0; i < count; i++)
        if (sigaddset(&signals->set, numbers[i]) < 0)
            return -errno;
    signals->fd = signalfd(-1, &signals->set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0)
        return -errno;
    pthread_sigmask(SIG_BLOCK, &signals->set, &before);
    take(&signals->set, &before);
    signals->is_open = true;
    return 0;
}

/* The loser of a select, or of a timeout, swallows no signal. A task that is to end as a whole has
 * no next wait, and gets what has come: closing would else let that act, and end the process. */
static bool leaves_signals(const struct rill_task *task)
{
    return rill_task_is_cancelled(task) && task->reason == RILL_NOT_CANCELLED;
}

/* Waits for the descriptor, then reads: a read that waits within the kernel could
 * be cancelled after it had taken a signal out. A wait that was cancelled does not tell whether
 * there is something to read, as the kernel looks for the cancel first. */
static enum rill_poll next_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_signals *signals = rill_container_of(self, struct rill_signals, op.future);
    struct signalfd_siginfo info;

    if (rill_op_poll(self, task) == RILL_PENDING)
        return RILL_PENDING;
    if (signals->result >= 0 && leaves_signals(task))
        signals->result = -ECANCELED;
    if (signals->result < 0 && (signals->result != -ECANCELED || leaves_signals(task)))
        return RILL_READY;

    ssize_t size = read(signals->fd, &info, sizeof info);

    if (size > 0) {
        signals->result = info.ssi_signo;
    } else if (signals->result >= 0) {
        if (errno == EAGAIN) { /* another reader was faster */
            rill_signals_next(signals);
            return self->poll(self, task);
        }
        signals->result = -errno;
    }
    return RILL_READY;
}

struct rill_future *rill_signals_next(struct rill_signals *signals)
{
    rill_check(signals->is_open, "signals are awaited that are not open");
    rill_fd_wait(signals->fd, &signals->op, POLLIN);
    signals->op.future.poll = next_poll;
    return &signals->op.future;
}

void rill_signals_close(struct rill_signals *signals)
{
    if (!signals->is_open)
        return;
    rill_check(signals->op.state <= RILL_OP_PREPARED,
               "signals were closed while a task waits for them");
    close(signals->fd);
    give_back(&signals->set);
    signals->is_open = false;
}
