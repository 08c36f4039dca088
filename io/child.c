/* SPDX-License-Identifier: Apache-2.0 */
#include "io/child.h"

#include "io/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    STREAMS = 3,
    STACK_SIZE = 32 * 1024, /* as posix_spawn(3) has it; a dozen shallow calls */
    FAILED = 127,           /* the exit status of a child without a program: nobody sees it */
};

/* On the parent's stack, and shared with the child until that has its program. */
struct birth {
    const struct rill_process_options *options;
    const int *streams;
    const char *search; /* directories, as PATH has them */
    char **environment;
    char path[PATH_MAX];
    int error; /* stored by the child: why it has no program, or 0 */
};

/* ---- the child, which has its parent's memory: no locks, no allocation ---- */

/* Every signal acts as if nobody had touched it: handlers are the parent's, and exec(2) would
 * keep what the parent ignores. All are blocked until then, so no handler runs here. The system
 * call itself, as sigaction(3) takes a lock for SIGABRT, and sanitizers note what it says: zeros
 * are the default action, whatever the machine has behind it. Two signals cannot be changed. */
static void reset_signals(void)
{
    static const uint64_t standard[8];

    for (int number = 1; number < NSIG; number++)
        (void)syscall(SYS_rt_sigaction, number, standard, NULL, NSIG / 8);
}

/* Puts the streams where they belong. What is to become one may lie where another belongs (the
 * two swapped, or a pipe of a parent without standard input): so all are lifted out first. */
static int arrange_streams(const int *streams)
{
    int lifted[STREAMS];

    for (int i = 0; i < STREAMS; i++) {
        lifted[i] = RILL_CHILD_INHERITS;
        if (streams[i] == RILL_CHILD_INHERITS)
            continue;
        lifted[i] = fcntl(streams[i], F_DUPFD_CLOEXEC, STREAMS);
        if (lifted[i] < 0)
            return -errno;
    }
    for (int i = 0; i < STREAMS; i++)
        if (lifted[i] >= 0 && dup2(lifted[i], i) < 0)
            return -errno;
    /* All others are closed by exec(2), also those of a library that has forgotten to say so. */
    return close_range(STREAMS, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

/* Becomes the program at birth->path. Returns only if that fails. */
static int become(struct birth *birth)
{
    execve(birth->path, (char *const *)(uintptr_t)birth->options->argv, birth->environment);
    return -errno;
}

/* Writes directory/name to birth->path; no directory is the current one, as ever. */
static int join_path(struct birth *birth, const char *directory, size_t directory_len,
                     const char *name)
{
    size_t name_len = strlen(name), slash = directory_len > 0;

    if (directory_len + slash + name_len >= sizeof birth->path)
        return -ENAMETOOLONG;
    memcpy(birth->path, directory, directory_len);
    memcpy(birth->path + directory_len, "/", slash);
    memcpy(birth->path + directory_len + slash, name, name_len + 1);
    return 0;
}

/* Looks for the program as execvp(3) does, except that a file without a format is not taken for
 * a shell script. */
static int find_and_become(struct birth *birth)
{
    const char *name = birth->options->argv[0], *directory = birth->search;
    int error = join_path(birth, "", 0, name), found = -ENOENT;

    if (error || strchr(name, '/') || !*name)
        return error ? error : become(birth);
    for (;;) {
        size_t len = strcspn(directory, ":");

        error = join_path(birth, directory, len, name);
        if (!error)
            error = become(birth);
        if (error == -EACCES) /* there may be another that we may run */
            found = error;
        else if (error != -ENOENT && error != -ENOTDIR && error != -ENAMETOOLONG)
            return error;
        if (!directory[len])
            return found;
        directory += len + 1;
    }
}

static int be_born(struct birth *birth)
{
    const struct rill_process_options *options = birth->options;
    sigset_t none;
    int error;

    reset_signals();
    if (options->new_session && setsid() < 0)
        return -errno;
    if (options->new_group && !options->new_session && setpgid(0, 0) < 0)
        return -errno;
    error = arrange_streams(birth->streams);
    if (error)
        return error;
    if (options->directory && chdir(options->directory) < 0)
        return -errno;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return find_and_become(birth);
}

static int child_main(void *argument)
{
    struct birth *birth = (struct birth *)argument;

    birth->error = be_born(birth);
    return FAILED;
}

/* ---- the parent ---- */

/* Takes away a child that is on its way out. */
static void bury(int pidfd)
{
    siginfo_t info;

    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
        ;
    close(pidfd);
}

/* Returns a pidfd or -errno. Called with all signals blocked. */
static int give_birth(struct birth *birth, pid_t *pid)
{
    _Alignas(max_align_t) char stack[STACK_SIZE];
    int pidfd = -1;

    *pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                 birth, &pidfd);
    if (*pid < 0) {
        *pid = 0;
        return -errno;
    }
    if (birth->error == 0)
        return pidfd;
    bury(pidfd);
    *pid = 0;
    return birth->error;
}

int rill_child_start(const struct rill_process_options *options, const int streams[3], pid_t *pid)
{
    const char *search = getenv("PATH");
    struct birth birth = {
        .options = options,
        .streams = streams,
        .search = search ? search : "/bin:/usr/bin",
        .environment = options->environment ? (char **)(uintptr_t)options->environment : environ,
    };
    sigset_t all, before;
    int pidfd;

    *pid = 0;
    if (!options->argv || !options->argv[0])
        return -EINVAL;
    /* The child inherits the mask, and must not run our handlers in our memory. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pidfd = give_birth(&birth, pid);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pidfd;
}
