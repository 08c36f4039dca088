/* SPDX-License-Identifier: Apache-2.0 */
#include "io/process.h"

#include "io/child.h"
#include "io/reactor.h"
#include "io/readiness.h"
#include "runtime/panic.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the beginning ---- */

enum { IN, OUT, ERR, STREAMS };

/* A child's three streams. */
struct streams {
    int theirs[STREAMS]; /* as rill_child_start wants them */
    int made[STREAMS];   /* those of them that are to be closed once the child has its own, or -1 */
    int ours[STREAMS];   /* the other ends of the pipes among them, or -1 */
};

static void close_all(const int *fds)
{
    for (int i = 0; i < STREAMS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

static int make_null(struct streams *streams, int number)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    streams->theirs[number] = streams->made[number] = fd;
    return fd < 0 ? -errno : 0;
}

static int make_pipe(struct streams *streams, int number)
{
    int ends[2], ours = number == IN; /* 0 is the reading end, and 1 the writing one */

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    streams->theirs[number] = streams->made[number] = ends[!ours];
    streams->ours[number] = ends[ours];
    /* The two ends have a mode each: the child's waits, as programs want it. */
    return number == IN && fcntl(ends[ours], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int make_stream(struct streams *streams, int number, enum rill_process_stream kind, int fd)
{
    switch (kind) {
    case RILL_PROCESS_INHERIT:
        streams->theirs[number] = RILL_CHILD_INHERITS;
        return 0;
    case RILL_PROCESS_NULL:
        return make_null(streams, number);
    case RILL_PROCESS_PIPE:
        return make_pipe(streams, number);
    case RILL_PROCESS_FD:
        streams->theirs[number] = fd;
        return fd < 0 ? -EBADF : 0;
    case RILL_PROCESS_LIKE_OUT:
        if (number != ERR)
            return -EINVAL;
        fd = streams->theirs[OUT];
        streams->theirs[ERR] = fd == RILL_CHILD_INHERITS ? STDOUT_FILENO : fd;
        return 0;
    }
    return -EINVAL;
}

static int make_streams(struct streams *streams, const struct rill_process_options *options)
{
    int error = make_stream(streams, IN, options->in, options->in_fd);

    if (!error)
        error = make_stream(streams, OUT, options->out, options->out_fd);
    if (!error)
        error = make_stream(streams, ERR, options->err, options->err_fd);
    return error;
}

static void adopt_pipes(struct rill_process *process, const struct streams *streams)
{
    if (streams->ours[IN] >= 0) {
        process->in = streams->ours[IN];
        process->in_is_open = true;
        rill_reactor_here()->fds_open++;
    }
    if (streams->ours[OUT] >= 0)
        rill_file_adopt(&process->out, streams->ours[OUT]);
    if (streams->ours[ERR] >= 0)
        rill_file_adopt(&process->err, streams->ours[ERR]);
}

int rill_process_start(struct rill_process *process, const struct rill_process_options *options)
{
    struct streams streams = {.made = {-1, -1, -1}, .ours = {-1, -1, -1}};
    struct rill_reactor *reactor = rill_reactor_here();
    bool leads_group = options->new_group || options->new_session;
    int error, pidfd;

    rill_check(!process->is_running && !process->in_is_open && !process->out.is_open &&
                   !process->err.is_open,
               "a process was started again that was not closed");
    memset(process, 0, sizeof *process);
    error = options->ends_group && !leads_group ? -EINVAL : make_streams(&streams, options);
    pidfd = error ? error : rill_child_start(options, streams.theirs, &process->pid);
    close_all(streams.made);
    if (pidfd < 0) {
        close_all(streams.ours);
        return pidfd;
    }
    process->pidfd = pidfd;
    process->is_running = true;
    process->leads_group = leads_group;
    process->ends_group = options->ends_group;
    reactor->fds_open++;
    adopt_pipes(process, &streams);
    return 0;
}

/* ---- the end ---- */

static void let_go(struct rill_process *process)
{
    process->is_running = false;
    rill_reactor_here()->fds_open--;
}

/* What waitpid(2) would have said. */
static int64_t status_of(const siginfo_t *info)
{
    switch (info->si_code) {
    case CLD_EXITED:
        return (int64_t)(info->si_status & 0xff) << 8;
    case CLD_DUMPED:
        return info->si_status | 0x80;
    default:
        return info->si_status;
    }
}

/* Whether it has ended. Until it is reaped its number, and so its group's, is nobody else's. */
static bool has_ended(const struct rill_process *process)
{
    siginfo_t info = {0};

    return waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
}

/* Returns whether the child has ended, and is reaped. */
static bool reap(struct rill_process *process)
{
    siginfo_t info = {0};

    if (process->ends_group && has_ended(process))
        (void)rill_process_kill_group(process, SIGKILL);
    if (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG) < 0)
        process->status = -errno;
    else if (info.si_pid == 0)
        return false;
    else
        process->status = status_of(&info);
    close(process->pidfd);
    let_go(process);
    return true;
}

/* A pidfd can be read from when the process has ended. */
static struct rill_future *end_of(struct rill_process *process)
{
    return rill_fd_wait(process->pidfd, &process->op, POLLIN);
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_process *process = rill_container_of(self, struct rill_process, future);

    RILL_BEGIN();
    if (!process->is_running)
        RILL_SPEND_BUDGET();
    while (process->is_running) {
        RILL_AWAIT(end_of(process));
        if (process->op.result < 0)
            RILL_RETURN(process->op.result);
        if (!reap(process))
            RILL_AWAIT(rill_sleep(&process->pause, RILL_PROCESS_RETRY_NS));
    }
    RILL_RETURN(process->status);
    RILL_END();
}

struct rill_future *rill_process_wait(struct rill_process *process)
{
    rill_check(process->pid, "a process was awaited that was not started");
    rill_check(!process->future.awaits, "two tasks wait for the same process");
    return rill_future_init(&process->future, wait_poll);
}

static int send_signal(const struct rill_process *process, int signal, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, process->pidfd, signal, NULL, flags) < 0 ? -errno : 0;
}

/* To a process or, negative, to a group. The child's number is not given to another one before we
 * have reaped it. Somebody else might have done that. */
static int send_by_number(const struct rill_process *process, pid_t number, int signal)
{
    siginfo_t info;

    if (waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
        return -ESRCH;
    return kill(number, signal) < 0 ? -errno : 0;
}

/* A filter that was written before Linux 5.1 refuses all signals by pidfd, in one of two ways. */
static bool may_be_filtered(int error)
{
    return error == -EPERM || error == -ENOSYS;
}

int rill_process_kill(const struct rill_process *process, int signal)
{
    int error;

    if (!process->is_running)
        return -ESRCH;
    error = send_signal(process, signal, 0);
    return may_be_filtered(error) ? send_by_number(process, process->pid, signal) : error;
}

int rill_process_kill_group(const struct rill_process *process, int signal)
{
    enum { TO_GROUP = 1 << 2 }; /* PIDFD_SIGNAL_PROCESS_GROUP, since Linux 6.9 */
    int error;

    rill_check(process->leads_group, "a signal was sent to the group of a process without one");
    if (!process->is_running)
        return -ESRCH;
    error = send_signal(process, signal, TO_GROUP);
    return error == -EINVAL || may_be_filtered(error)
               ? send_by_number(process, -process->pid, signal)
               : error;
}

/* To the child, and to the group that it leads: a leader may have gone over to another one. */
static void kill_all(const struct rill_process *process, int signal)
{
    if (process->leads_group)
        (void)rill_process_kill_group(process, signal);
    if (!process->leads_group || getpgid(process->pid) != process->pid)
        (void)rill_process_kill(process, signal);
}

void rill_process_close_in(struct rill_process *process)
{
    if (!process->in_is_open)
        return;
    close(process->in);
    process->in_is_open = false;
    rill_reactor_here()->fds_open--;
}

/* Whether a child that was asked to end has time left, and could not be waited for. */
static bool has_grace_left(const struct rill_process *process)
{
    return process->timeout.result < 0 && rill_now() < process->grace_end_ns;
}

/* Cannot be cancelled. */
static struct rill_future *pause_before_retry(struct rill_process *process)
{
    return rill_shield(&process->shield, rill_sleep(&process->pause, RILL_PROCESS_RETRY_NS));
}

static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_process *process = rill_container_of(self, struct rill_process, future);

    RILL_BEGIN();
    rill_process_close_in(process);
    if (process->is_running && process->grace_ns > 0) {
        kill_all(process, SIGTERM);
        kill_all(process, SIGCONT); /* one that is stopped hears of it when it goes on */
        process->grace_end_ns = rill_time_after(rill_now_of_beginning(), process->grace_ns);
        do {
            RILL_AWAIT(rill_shield(
                &process->shield,
                rill_deadline(&process->timeout, process->grace_end_ns, end_of(process))));
            if (has_grace_left(process))
                RILL_AWAIT(pause_before_retry(process));
        } while (has_grace_left(process));
    }
    /* A child that has just ended is not reaped yet, and this is for the others of its group. */
    if (process->is_running)
        kill_all(process, SIGKILL);
    while (process->is_running) {
        RILL_AWAIT(rill_shield(&process->shield, end_of(process)));
        if (!reap(process))
            RILL_AWAIT(pause_before_retry(process));
    }
    /* Not before: who tidies up may say so, and is not to end by SIGPIPE on the way. */
    RILL_AWAIT(rill_file_close(&process->out));
    RILL_AWAIT(rill_file_close(&process->err));
    RILL_RETURN(process->status);
    RILL_END();
}

struct rill_future *rill_process_close(struct rill_process *process, int64_t grace_ns)
{
    rill_check(!process->future.awaits, "a process was closed while a task waits for it");
    process->grace_ns = grace_ns;
    return rill_future_init(&process->future, close_poll);
}

int rill_process_release(struct rill_process *process)
{
    rill_check(process->is_running, "a process was released that is not running");
    rill_check(!process->future.awaits, "a process was released while a task waits for it");
    process->pid = 0;
    let_go(process);
    return process->pidfd;
}
