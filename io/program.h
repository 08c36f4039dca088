/* SPDX-License-Identifier: Apache-2.0 */
/* program.h - the main function of a program that is one future.
 *
 *     static const struct rill_runtime_options options = {.wait_policy = RILL_WAIT_ADAPTIVE};
 *
 *     return rill_main_with(&options, rill_serve(&server, url, service));
 */
#ifndef RILL_IO_PROGRAM_H
#define RILL_IO_PROGRAM_H

#include "io/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How long tasks may take to end by themselves after a signal. */
#define RILL_PROGRAM_GRACE_NS (5 * RILL_SECOND)

/* What comes so soon after a signal is no second one: timeout(1) signals the process, and then its
 * group, which it belongs to. */
#define RILL_PROGRAM_SAME_NS (100 * RILL_MILLISECOND)

/* Creates a runtime and runs future until it is ready, or until SIGINT or SIGTERM, which cancels
 * it (RILL_SHUTTING_DOWN); then lets the other tasks end by themselves for RILL_PROGRAM_GRACE_NS,
 * cancels those that have not, and ends the runtime. A second signal, RILL_PROGRAM_SAME_NS later or
 * more, ends the process at once.
 * Both are meant also where the process began with SIGINT ignored, as shells do for what a script
 * runs in the background, or with either of them blocked: so Ctrl-C ends a server together with
 * the script that has started it. What was there is given back in the end. A standard stream that
 * was closed when the process began is /dev/null from here on, so that nothing else gets its number
 * and what is printed to it.
 * In another thread than the first, or where threads were started before: have both blocked before
 * the first of these is started (pthread_sigmask(3)), as the kernel gives a signal to any thread
 * that has not blocked it, and then the process ends at once.
 * Before this call there is no runtime: sockets and listeners are opened, and tasks spawned, within
 * the future. Borrows the future. Returns the exit status of the process: 0, also where the result
 * is -ECANCELED; or 1, after printing why on stderr, when there is no runtime, the future's result
 * is another error, or signals can no longer be waited for, which ends it like one. */
int rill_main(struct rill_future *future);

/* The same with a runtime of these options, which it borrows; NULL is the defaults. */
int rill_main_with(const struct rill_runtime_options *options, struct rill_future *future);

#ifdef __cplusplus
}
#endif
#endif
