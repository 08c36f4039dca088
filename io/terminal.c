/* SPDX-License-Identifier: Apache-2.0 */
#include "io/terminal.h"

#include <errno.h>
#include <liburing.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Returns 0 where nobody knows. The number stands behind the name, which may hold anything, and
 * one letter. */
static pid_t parent_of(pid_t pid)
{
    char path[40], text[256];
    const char *name_end;
    pid_t parent = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return 0;
    name_end = fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
    if (name_end && strlen(name_end) > strlen(") S "))
        parent = (pid_t)strtol(name_end + strlen(") S "), NULL, 10);
    fclose(file);
    return parent;
}

/* Whether our group has a shell that can continue it. One that has none is orphaned, and the
 * kernel neither stops it nor tells it so: it would be asked again and again. The first of our
 * ancestors that is not of the group decides. That of another member, which we do not look for,
 * might be a shell as well. */
static bool has_shell(void)
{
    pid_t group = getpgrp(), ancestor = getppid();

    while (ancestor > 0 && getpgid(ancestor) == group)
        ancestor = parent_of(ancestor);
    return ancestor > 0 && getsid(ancestor) == getsid(0);
}

/* Whether read(2) would stop us, called by this thread. */
static bool is_to_be_stopped(int fd)
{
    pid_t foreground = tcgetpgrp(fd); /* -1: this terminal does not control us */
    struct sigaction action;
    sigset_t blocked;

    if (foreground < 0 || foreground == getpgrp())
        return false;
    if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) != 0 || sigismember(&blocked, SIGTTIN))
        return false;
    if (sigaction(SIGTTIN, NULL, &action) < 0 || action.sa_handler == SIG_IGN)
        return false;
    return has_shell();
}

/* The thread that reads for us blocks all signals. The kernel takes that for a wish not to be
 * stopped in the background, and has the read fail. So we stop ourselves, and read again when we
 * are continued. */
static enum rill_poll read_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_op *op = rill_container_of(self, struct rill_op, future);

    if (rill_op_poll(self, task) == RILL_PENDING)
        return RILL_PENDING;
    if (op->result != -EIO || !is_to_be_stopped(op->fd))
        return RILL_READY;
    (void)kill(0, SIGTTIN); /* all of the group, as the kernel does */
    rill_op_refill(op, (const void *)(uintptr_t)op->address, op->remaining);
    return rill_op_poll(self, task);
}

/* The kernel writes to a terminal, and reads from it, in the call that submits that: where nobody
 * reads the other side, or has stopped the output (^S), all tasks would stand still. A thread of
 * its own is asked for. */
void rill_terminal_prepare(struct rill_op *op)
{
    op->sqe_flags = IOSQE_ASYNC;
    if (op->opcode == IORING_OP_READ || op->opcode == IORING_OP_READV)
        op->future.poll = read_poll;
}
