/* SPDX-License-Identifier: Apache-2.0 */
/* process.h - runs a program of this build as a process of its own and watches it.
 *
 *     struct process echo;
 *
 *     PROCESS_START(&echo, "bin/rill-echo", "tcp://127.0.0.1:0");
 *     line = process_line(&echo, "listening on ", 0);
 *     process_signal(&echo, SIGTERM);
 *     ck_assert_int_eq(process_wait(&echo), 0);
 *     ck_assert_str_eq(echo.err.text, "");
 *
 * Every wait has a limit, and passing it fails the test. A program does not outlive
 * the test that started it, whatever becomes of that. */
#ifndef RILL_TESTS_PROCESS_H
#define RILL_TESTS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    PROCESS_TEXT_MAX = 16 * 1024,
    PROCESS_LIMIT_MS = 30 * 1000, /* of a wait; nothing that works takes a tenth of it */
};

/* What a process has printed, with a zero behind it. More than fits is dropped. */
struct process_output {
    char text[PROCESS_TEXT_MAX];
    size_t size;

    /* private */
    int fd; /* -1 once the end was read */
};

/* A zeroed process may be given to process_kill. */
struct process {
    pid_t pid;
    struct process_output out, err;

    /* private */
    bool running; /* not waited for yet */
};

/* What is taken from a program before it begins. A zeroed field takes nothing. */
struct process_limits {
    unsigned descriptors_max; /* RLIMIT_NOFILE, soft and hard */
    int io_uring_errno;       /* what io_uring_setup(2) fails with, by a seccomp filter */
    int enter_errno;          /* and io_uring_enter(2) */
    int threads_errno;        /* what clone3(2) fails with, in the same way */
    bool stdout_is_full;      /* every write to it fails with ENOSPC (full(4)) */
    bool is_traced;           /* by the test (ptrace(2)), for which it stops as it begins */
    /* A socket that the program is given as systemd does it: as descriptor 3, of which the
     * environment tells with this name; NULL: none. */
    const char *socket_name;
    int socket_fd;
};

/* Starts argv[0], a path below the directory of this build (the test program is
 * in its tests/, so a test with sanitizers runs programs with sanitizers), with
 * the arguments up to NULL. limits may be NULL. */
void process_start(struct process *process, const struct process_limits *limits,
                   const char *const *argv);

#define PROCESS_START(process, ...)                                                                \
    process_start(process, NULL, (const char *const[]){__VA_ARGS__, NULL})

/* Waits for the line on stdout, counted from 0, that begins in this way, and
 * returns what stands behind the beginning, up to the end of all text. */
const char *process_line(struct process *process, const char *beginning, unsigned number);

void process_signal(const struct process *process, int number);

/* Reads all that the program prints and waits for its end. Returns its exit status,
 * or -N when signal N ended it. The second one fails the test after limit_ms. */
int process_wait(struct process *process);
int process_wait_within(struct process *process, int64_t limit_ms);

/* Ends it by force, if it runs. */
void process_kill(struct process *process);

/* ---- what the system knows of a process ---- */

/* Open descriptors. */
unsigned process_descriptors(pid_t pid);

/* Waits until it takes a signal from a descriptor; before, it would die of it. */
void process_expect_watch(pid_t pid, int number);

/* What each of them is, with the kernel's line about it where it is a TCP socket: for
 * the message of a test that has found one too many. Until the next call. */
const char *process_describe_descriptors(pid_t pid);

/* Memory that only this process has, and has written to. */
size_t process_dirty_bytes(pid_t pid);

/* How often it was on a processor and for how long: equal, if it slept meanwhile. */
struct process_activity {
    uint64_t run_ns, slices, switches;
};

struct process_activity process_activity(pid_t pid);

/* ---- time ---- */

int64_t now_ms(void); /* monotonic */
void sleep_ms(int64_t ms);

#endif
