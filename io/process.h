/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - child processes: start a program, feed it, read it, await its end.
 *
 *     static const char *const sort[] = {"sort", "-n", NULL};
 *
 *     error = rill_process_start(&job->process, &(struct rill_process_options){
 *                                                   .argv = sort,
 *                                                   .in = RILL_PROCESS_PIPE,
 *                                                   .out = RILL_PROCESS_PIPE,
 *                                               });
 *     ...rill_pipe_write_all(job->process.in, &job->write, ...), rill_process_close_in,
 *        and at the same time rill_file_read(&job->process.out, ...)...
 *     RILL_AWAIT(rill_process_wait(&job->process));
 *     if (job->process.result == 0)
 *         printf("it went well\n");
 *     RILL_AWAIT(rill_process_close(&job->process, 2 * RILL_SECOND));
 *
 * rill_process_run (io/process_run.h) does all of that for a command that is run to its end.
 *
 * A child is known by a pidfd from its birth on, so a signal never reaches another process that
 * has got its number, and its end is awaited like that of any operation. rill handles no SIGCHLD,
 * and does not touch the process's other children. */
#ifndef RILL_IO_PROCESS_H
#define RILL_IO_PROCESS_H

#include "io/file.h"
#include "io/op.h"
#include "runtime/shield.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"

#include <stdbool.h>
#include <sys/types.h>
#include <sys/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a child's standard input, output or error is. */
enum rill_process_stream {
    RILL_PROCESS_INHERIT,  /* what ours is */
    RILL_PROCESS_NULL,     /* /dev/null: nothing to read, and what is written is dropped */
    RILL_PROCESS_PIPE,     /* a pipe, whose other end is in struct rill_process */
    RILL_PROCESS_FD,       /* a descriptor of the caller's, borrowed until the child has begun */
    RILL_PROCESS_LIKE_OUT, /* only err: goes where out goes, as the shell's 2>&1 */
};

/* A zeroed field means its default, in brackets. */
struct rill_process_options {
    const char *const *argv;               /* the program's name and its arguments, up to NULL */
    const char *const *environment;        /* NAME=VALUE each, up to NULL [ours] */
    const char *directory;                 /* in which it begins [ours] */
    enum rill_process_stream in, out, err; /* [RILL_PROCESS_INHERIT] */
    int in_fd, out_fd, err_fd;             /* for RILL_PROCESS_FD */
    bool new_group;   /* it leads a process group, which is ended as a whole; a terminal's ^C
                         does not reach it [false] */
    bool new_session; /* the same, and it has no terminal (setsid(2)) [false] */
    bool ends_group;  /* its own end is the end of its group: what it has left behind there gets
                         SIGKILL before it is reaped; with one of the two above [false] */
};

/* Zeroed before it is started. */
struct rill_process {
    union {
        int64_t result; /* as the function that prepared it says */
        struct rill_future future;
    };
    pid_t pid;                 /* for messages; it may be another's once the end was awaited */
    bool is_running;           /* its end was not awaited yet: it owns the pidfd, and the child */
    bool in_is_open;           /* owns in */
    int in;                    /* the pipe's writing end, in non-blocking mode (io/pipe.h) */
    struct rill_file out, err; /* the pipes' reading ends, if open */

    /* private */
    bool leads_group, ends_group;
    int pidfd;
    int64_t status; /* the result of waiting, once it is not running */
    int64_t grace_ns, grace_end_ns;
    struct rill_op op;
    struct rill_sleep pause;
    struct rill_timeout timeout;
    struct rill_shield shield;
};

/* How long until an end is looked for again that was announced, but is not to be had: while a
 * debugger, to which the child's end belongs first, does not let go; or for want of memory. */
#define RILL_PROCESS_RETRY_NS (10 * RILL_MILLISECOND)

/* Starts the program argv[0], which is looked for in our PATH unless it has a slash (from
 * options->directory, then, if it is relative). Borrows the options and all that they point to
 * for the call. The child has
 *  - three descriptors and no other one, whatever libraries have forgotten to close;
 *  - no blocked signal, and for each the default action, whatever ours are: those that
 *    rill_main takes over, SIGPIPE if we ignore it, and SIGHUP under nohup(1) as well.
 * It blocks the thread until the kernel has loaded the program; how much memory we have does not
 * matter.
 *
 * Returns 0, with pipes where the options ask for them; from then on the process is to be closed
 * by rill_process_close. Or, with nothing left behind, -errno:
 *   -ENOENT   there is no such program or directory; or the program's interpreter is missing
 *   -EACCES   it may not be run, or the directory not be entered
 *   -ENOEXEC  it has a format that the kernel does not know (a script without #!)
 *   -ENOTDIR, -ELOOP, -ENAMETOOLONG, -ETXTBSY, -E2BIG (arguments and environment), -EIO
 *   -EMFILE, -ENFILE (while it begins it takes some ten descriptors), -ENOMEM
 *   -EAGAIN   the limit of processes is reached
 *   -EBADF    a descriptor of the options is none
 *   -EINVAL   there is no argv[0], a stream is not one of the above, or there is no group to be
 *             ended */
int rill_process_start(struct rill_process *process, const struct rill_process_options *options);

/* Waits for the child's end, and reaps it: then is_running is false. The result is its status
 * as waitpid(2) has it, of which 0 means that the program has returned 0, and for which there are
 * WIFEXITED, WEXITSTATUS, WIFSIGNALED and WTERMSIG of <sys/wait.h>; each later wait has the
 * same. Or -errno:
 *   -ECANCELED  it was cancelled: the child goes on, and can be waited for again
 *   -ECHILD     somebody else has reaped it, or SIGCHLD is ignored: its status is not known
 *   -ENOMEM
 * The pipes are not looked at: a child that writes more than a pipe holds, 64 KiB, does not end
 * before it is read. One at a time. */
struct rill_future *rill_process_wait(struct rill_process *process);

/* Sends a signal to the child. Returns 0, also if it has just ended, or -errno: -ESRCH once its
 * end was awaited, -EPERM, -EINVAL for a number that is no signal. */
int rill_process_kill(const struct rill_process *process, int signal);

/* The same to the group that it leads, so to its own children as well. Panics if it was started
 * without new_group and new_session. */
int rill_process_kill_group(const struct rill_process *process, int signal);

/* Closes the writing end of its standard input, so that the child reads the end. Nothing may be
 * in flight on it. Does nothing if it is not open. */
void rill_process_close_in(struct rill_process *process);

/* Ends what is left: closes in; asks a child that is running to end by SIGTERM, and by SIGCONT to
 * go on for that if it is stopped, and ends it by SIGKILL after grace_ns, or at once with 0; a
 * group that it leads is ended with it, unless its own end was awaited before (ends_group is for
 * that). Then reaps it, and
 * closes out and err: what it says until then goes nowhere, and one that says more than a pipe
 * holds, 64 KiB, stands still until its grace is over. No wait may be pending, and nothing in
 * flight on the pipes. It cannot be cancelled: with a grace of 0 it takes as long as the kernel
 * needs to end a process, and a child that we may not signal (-EPERM) as long as that likes. The
 * result is that of rill_process_wait, 0 if there is no child. Then the process may be started
 * again. */
struct rill_future *rill_process_close(struct rill_process *process, int64_t grace_ns);

/* Returns the pidfd to the caller, who owns it and the child from then on, and has to reap it
 * (waitid(2) with P_PIDFD), unless we end before it: for a child that is to outlive us. The pipes
 * stay. Panics if it is not running. */
int rill_process_release(struct rill_process *process);

#ifdef __cplusplus
}
#endif
#endif
