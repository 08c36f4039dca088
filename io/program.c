/* SPDX-License-Identifier: Apache-2.0 */
#include "io/program.h"

#include "io/signals.h"
#include "runtime/any.h"
#include "runtime/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAIN, SIGNAL, FUTURES, SIGNALS = 2 };

static const int numbers[SIGNALS] = {SIGINT, SIGTERM};

/* The program's future, and the signals that end it. */
struct program {
    struct rill_future future;
    struct rill_any any;
    struct rill_future *futures[FUTURES];
    struct rill_signals signals;
    struct rill_future *main;
    sigset_t mask;  /* before the signals were opened */
    int64_t deaf;   /* -errno: signals could not be waited for */
    bool is_ending; /* there was a signal, and before it this: */
    struct sigaction actions[SIGNALS];
};

static int64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now); /* which a signal handler may call (signal-safety(7)) */
    return now.tv_sec * RILL_SECOND + now.tv_nsec;
}

static int64_t first_signal_ns;

/* Of the second signal, which comes when the task that was told by the first may be stuck. What
 * this raises is delivered when it returns. */
static void end_process(int number)
{
    if (clock_ns() - first_signal_ns < RILL_PROGRAM_SAME_NS)
        return;
    signal(number, SIG_DFL);
    raise(number);
}

/* From here on a signal ends the process, also while the program's future is on its way out,
 * or stuck there; and also where it was ignored or blocked when the program began. */
static void let_signals_end_the_process(struct program *program)
{
    struct sigaction action = {.sa_handler = end_process, .sa_flags = SA_RESTART};
    sigset_t set;

    program->is_ending = true;
    first_signal_ns = clock_ns();
    sigemptyset(&set);
    for (int i = 0; i < SIGNALS; i++) {
        sigaction(numbers[i], &action, &program->actions[i]);
        sigaddset(&set, numbers[i]);
    }
    rill_signals_close(&program->signals);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void give_signals_back(const struct program *program)
{
    sigset_t blocked;

    if (!program->is_ending)
        return;
    sigemptyset(&blocked);
    for (int i = 0; i < SIGNALS; i++) {
        sigaction(numbers[i], &program->actions[i], NULL);
        if (sigismember(&program->mask, numbers[i]))
            sigaddset(&blocked, numbers[i]);
    }
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
}

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_any_init(&program->any, program->futures, FUTURES);
    program->futures[MAIN] = program->main;
    program->futures[SIGNAL] = rill_signals_next(&program->signals);
    RILL_AWAIT(rill_any_next(&program->any));
    if (program->any.result == SIGNAL) {
        program->deaf = program->signals.result < 0 ? program->signals.result : 0;
        let_signals_end_the_process(program);
    }
    /* All below, whatever it was told; or, where that has ended, the wait for a signal, with what
     * has just come. */
    rill_task_cancel_because(task, RILL_SHUTTING_DOWN);
    RILL_AWAIT(rill_any_drain(&program->any, RILL_SHUTTING_DOWN));
    RILL_RETURN(program->main->result);
    RILL_END();
}

static int run(struct rill_runtime *runtime, struct rill_future *future)
{
    struct program program = {.main = future};
    int64_t result;

    pthread_sigmask(SIG_BLOCK, NULL, &program.mask);
    result = rill_signals_open(&program.signals, numbers, SIGNALS);
    if (result == 0) {
        result = rill_block_on(runtime, rill_future_init(&program.future, program_poll));
        rill_signals_close(&program.signals);
        rill_runtime_shutdown(runtime, RILL_PROGRAM_GRACE_NS);
        give_signals_back(&program);
    }
    if (program.deaf) {
        fprintf(stderr, "%s: it has ended, as it could not wait for signals: %s\n",
                program_invocation_short_name, strerror((int)-program.deaf));
        return 1;
    }
    if (result >= 0 || result == -ECANCELED)
        return 0;
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, strerror((int)-result));
    return 1;
}

/* The next descriptor that is opened, the ring's or a connection's, would take the number, and get
 * what the program or a library prints. Each is put where it was missing: open(2) takes the lowest.
 */
static void open_standard_streams(void)
{
    int opened = 0;

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && opened >= 0; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            opened = open("/dev/null", O_RDWR);
}

int rill_main_with(const struct rill_runtime_options *options, struct rill_future *future)
{
    struct rill_runtime *runtime;
    int error, status;

    rill_check(future, "a program was given NULL to run");
    open_standard_streams();
    error = rill_runtime_create(&runtime, options);
    if (error) {
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, rill_runtime_explain(error));
        return 1;
    }
    status = run(runtime, future);
    rill_runtime_destroy(runtime);
    return status;
}

int rill_main(struct rill_future *future)
{
    return rill_main_with(NULL, future);
}
