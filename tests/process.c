/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/process.h"

#include "tests/refusal.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int64_t now_ms(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void sleep_ms(int64_t ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        ;
}

/* ---- starting ---- */

/* Makes the path of a program: build/tests/test_x runs build/NAME. */
static void find_program(char *path, const char *name)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);

    ck_assert_int_gt(length, 0);
    self[length] = '\0';
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(self, '/');

        ck_assert_ptr_nonnull(slash);
        *slash = '\0';
    }
    ck_assert_int_lt(snprintf(path, PATH_MAX, "%s/%s", self, name), PATH_MAX);
}

/* The rest runs in the child, where a failure is told on stderr and by status 127. */
static void give_up(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    _exit(127);
}

static void limit_descriptors(unsigned max)
{
    const struct rlimit limit = {.rlim_cur = max, .rlim_max = max};

    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        give_up("setrlimit");
}

static void refuse(unsigned number, int error)
{
    if (error && refuse_system_call(number, error) < 0)
        give_up("seccomp");
}

static void fill_stdout(void)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    if (full < 0 || dup2(full, STDOUT_FILENO) < 0)
        give_up("/dev/full");
}

static void give_socket(int fd, const char *name)
{
    char pid[16];

    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if (dup2(fd, 3) < 0 || setenv("LISTEN_PID", pid, 1) < 0 || setenv("LISTEN_FDS", "1", 1) < 0 ||
        setenv("LISTEN_FDNAMES", name, 1) < 0)
        give_up("socket");
}

static void become(const char *path, const char *const *argv, const struct process_limits *limits,
                   pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        give_up("the test is gone");
    if (limits && limits->socket_name)
        give_socket(limits->socket_fd, limits->socket_name);
    if (close_range(limits && limits->socket_name ? 4 : 3, ~0U, 0) <
        0) /* what the test has inherited is not the program's */
        give_up("close_range");
    if (limits && limits->descriptors_max)
        limit_descriptors(limits->descriptors_max);
    if (limits && limits->stdout_is_full)
        fill_stdout();
    if (limits) {
        refuse(__NR_io_uring_setup, limits->io_uring_errno);
        refuse(__NR_io_uring_enter, limits->enter_errno);
        refuse(__NR_clone3, limits->threads_errno);
    }
    if (limits && limits->is_traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        give_up("ptrace");
    execv(path, (char *const *)(uintptr_t)argv);
    give_up(path);
}

void process_start(struct process *process, const struct process_limits *limits,
                   const char *const *argv)
{
    char path[PATH_MAX];
    int out[2], err[2], in;
    pid_t parent = getpid();

    find_program(path, argv[0]);
    memset(process, 0, sizeof *process);
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
    in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(in, 0);
    process->pid = fork();
    ck_assert_int_ge(process->pid, 0);
    if (process->pid == 0) {
        dup2(in, STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        become(path, argv, limits, parent);
    }
    close(in);
    close(out[1]);
    close(err[1]);
    process->out.fd = out[0];
    process->err.fd = err[0];
    process->running = true;
}

/* ---- watching ---- */

/* Shows what the program said before the test fails. */
static void fail_with(struct process *process, const char *what)
{
    process_kill(process);
    ck_abort_msg("%s\nstdout: %s\nstderr: %s", what, process->out.text, process->err.text);
}

static void read_some(struct process_output *output)
{
    char rest[4096];
    size_t room = sizeof output->text - 1 - output->size;
    ssize_t size =
        read(output->fd, room ? output->text + output->size : rest, room ? room : sizeof rest);

    if (size < 0 && errno == EINTR)
        return;
    ck_assert_int_ge(size, 0);
    if (size == 0) {
        close(output->fd);
        output->fd = -1;
    } else if (room) {
        output->size += (size_t)size;
    }
}

/* Reads what there is, or waits for it. Returns false at the end of both outputs,
 * or when the time has come. */
static bool read_both(struct process *process, int64_t deadline_ms)
{
    struct pollfd fds[] = {{.fd = process->out.fd, .events = POLLIN},
                           {.fd = process->err.fd, .events = POLLIN}};
    int64_t left_ms = deadline_ms - now_ms();

    if (left_ms <= 0 || (process->out.fd < 0 && process->err.fd < 0))
        return false;
    if (poll(fds, 2, (int)left_ms) < 0)
        return errno == EINTR;
    if (fds[0].revents)
        read_some(&process->out);
    if (fds[1].revents)
        read_some(&process->err);
    return true;
}

/* Returns what stands behind the beginning, if the whole line is there. */
static const char *find_line(const char *text, const char *beginning, unsigned number)
{
    const char *end;

    for (; (end = strchr(text, '\n')); text = end + 1)
        if (strncmp(text, beginning, strlen(beginning)) == 0 && number-- == 0)
            return text + strlen(beginning);
    return NULL;
}

const char *process_line(struct process *process, const char *beginning, unsigned number)
{
    int64_t deadline_ms = now_ms() + PROCESS_LIMIT_MS;
    const char *found;

    while (!(found = find_line(process->out.text, beginning, number)))
        if (!read_both(process, deadline_ms))
            fail_with(process, "the line did not come");
    return found;
}

void process_signal(const struct process *process, int number)
{
    ck_assert(process->running);
    ck_assert_int_eq(kill(process->pid, number), 0);
}

int process_wait(struct process *process)
{
    return process_wait_within(process, PROCESS_LIMIT_MS);
}

int process_wait_within(struct process *process, int64_t limit_ms)
{
    int64_t deadline_ms = now_ms() + limit_ms;
    pid_t ended;
    int status = 0;

    while (read_both(process, deadline_ms))
        ;
    if (process->out.fd >= 0 || process->err.fd >= 0)
        fail_with(process, "its outputs did not end in time: it runs, or who has inherited them");
    /* Its outputs end as it does, so this is no long wait. */
    while ((ended = waitpid(process->pid, &status, WNOHANG)) == 0 && now_ms() < deadline_ms)
        sleep_ms(1);
    if (ended != process->pid)
        fail_with(process, "the program did not end in time");
    process->running = false;
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void process_kill(struct process *process)
{
    if (!process->running)
        return;
    kill(process->pid, SIGKILL);
    waitpid(process->pid, NULL, 0);
    process->running = false;
}

/* ---- what the system knows of a process ---- */

unsigned process_descriptors(pid_t pid)
{
    char path[64];
    unsigned count = 0;
    DIR *directory;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    directory = opendir(path);
    ck_assert_ptr_nonnull(directory);
    /* cppcheck-suppress readdirCalled ; this directory has one reader */
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

/* Writes the line of /proc/net/tcp about the socket of this link, if it has one. */
static void describe_tcp(FILE *out, const char *link)
{
    static const char beginning[] = "socket:[";
    char inode[32], line[512];
    FILE *file;

    if (strncmp(link, beginning, strlen(beginning)) != 0)
        return;
    snprintf(inode, sizeof inode, " %lu ", strtoul(link + strlen(beginning), NULL, 10));
    file = fopen("/proc/net/tcp", "re");
    while (file && fgets(line, sizeof line, file))
        if (strstr(line, inode))
            fprintf(out, "   %s", line);
    if (file)
        fclose(file);
}

const char *process_describe_descriptors(pid_t pid)
{
    static char text[8192];
    FILE *out = fmemopen(text, sizeof text, "w");

    ck_assert_ptr_nonnull(out);
    for (unsigned fd = 0; fd < 1024; fd++) {
        char path[64], link[256];
        ssize_t length;

        snprintf(path, sizeof path, "/proc/%d/fd/%u", (int)pid, fd);
        length = readlink(path, link, sizeof link - 1);
        if (length < 0)
            continue;
        link[length] = '\0';
        fprintf(out, "%u -> %s\n", fd, link);
        describe_tcp(out, link);
    }
    fclose(out);
    return text;
}

/* Reads the number behind a word that begins a line of /proc/PID/NAME; without a
 * word the numbers of the first line. Returns how many there were. */
static int read_numbers(pid_t pid, const char *name, const char *word, int base,
                        uint64_t numbers[3])
{
    char path[64], line[512];
    int count = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    file = fopen(path, "re");
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    while (count == 0 && fgets(line, sizeof line, file)) {
        char *text = line + strlen(word), *end;

        if (strncmp(line, word, strlen(word)) != 0)
            continue;
        for (; count < 3; count++, text = end) {
            numbers[count] = strtoull(text, &end, base);
            if (end == text)
                break;
        }
    }
    fclose(file);
    return count;
}

void process_expect_watch(pid_t pid, int number)
{
    int64_t deadline_ms = now_ms() + PROCESS_LIMIT_MS;
    uint64_t blocked[3] = {0};

    while (!(blocked[0] >> (number - 1) & 1)) {
        ck_assert_msg(now_ms() < deadline_ms, "it does not watch for signal %d", number);
        sleep_ms(1);
        ck_assert_int_ge(read_numbers(pid, "status", "SigBlk:", 16, blocked), 1);
    }
}

size_t process_dirty_bytes(pid_t pid)
{
    uint64_t numbers[3] = {0};

    ck_assert_int_ge(read_numbers(pid, "smaps_rollup", "Private_Dirty:", 10, numbers), 1);
    return (size_t)numbers[0] * 1024;
}

struct process_activity process_activity(pid_t pid)
{
    struct process_activity activity;
    uint64_t numbers[3] = {0};

    ck_assert_int_ge(read_numbers(pid, "status", "voluntary_ctxt_switches:", 10, numbers), 1);
    activity.switches = numbers[0];
    ck_assert_int_eq(read_numbers(pid, "schedstat", "", 10, numbers), 3);
    activity.run_ns = numbers[0];
    activity.slices = numbers[2];
    return activity;
}
