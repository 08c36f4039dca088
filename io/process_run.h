/* SPDX-License-Identifier: Apache-2.0 */
/* process_run.h - runs a command to its end, and collects what it prints.
 *
 *     static const char *const words[] = {"date", "+%A", NULL};
 *     static const struct rill_process_options date = {.argv = words};
 *
 *     RILL_AWAIT(rill_timeout(&today->limit, 5 * RILL_SECOND,
 *                             rill_process_run(&today->run, &date, NULL, 0, 4096)));
 *     if (today->limit.result == 0)
 *         printf("today is %s", today->run.out.data);
 *     rill_process_run_finish(&today->run);
 */
#ifndef RILL_IO_PROCESS_RUN_H
#define RILL_IO_PROCESS_RUN_H

#include "io/pipe.h"
#include "io/process.h"
#include "runtime/join_all.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed at first. Begun again only after rill_process_run_finish, which it always needs. */
struct rill_process_run {
    union {
        int64_t result; /* the command's status, as rill_process_wait has it, or -errno */
        struct rill_future future;
    };
    /* What it has printed: data, of result bytes and a zero byte behind them, or NULL. If it was
     * ended this is what came until then, where it may say why. */
    struct rill_read_to_end out, err;

    /* private */
    struct rill_process process;
    struct rill_process_options options;
    struct rill_future feed;
    struct rill_pipe_write write;
    const void *input;
    size_t input_size, limit;
    struct rill_join_all all;
    struct rill_future *parts[3];
};

/* Starts the program of options (see rill_process_start), writes input_size bytes of input to
 * it, reads what it prints and waits for its end, all at the same time, so that neither waits for
 * the other for ever. All are borrowed until it is ready.
 *
 * Standard input is input; where that is NULL it is what the options say, and /dev/null instead
 * of RILL_PROCESS_INHERIT. Output and error are collected, up to limit bytes each, where the
 * options leave them at RILL_PROCESS_INHERIT. The command leads a process group.
 *
 * It is ready when the command has ended and its pipes are closed, by whatever it has started in
 * the background too. The result is its status; a command that does not read all of its input
 * has not failed by that. Otherwise the command and its group are ended by SIGKILL and reaped,
 * and the result is -errno:
 *   -ECANCELED  it was cancelled
 *   -EFBIG      there was more than limit to collect, of which limit bytes are kept
 *   -ENOMEM, -ECHILD as of rill_process_wait, or what rill_process_start says */
struct rill_future *rill_process_run(struct rill_process_run *run,
                                     const struct rill_process_options *options, const void *input,
                                     size_t input_size, size_t limit);

/* Releases what was collected. Does nothing to one that is zeroed. */
void rill_process_run_finish(struct rill_process_run *run);

#ifdef __cplusplus
}
#endif
#endif
