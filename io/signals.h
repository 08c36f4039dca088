/* SPDX-License-Identifier: Apache-2.0 */
/* signals.h - signals as a stream that a task awaits (signalfd(2)).
 *
 *     rill_signals_open(&serve->signals, (int[]){SIGINT, SIGTERM}, 2);
 *     RILL_AWAIT(rill_signals_next(&serve->signals));
 *     printf("%s\n", strsignal((int)serve->signals.result));
 *     rill_signals_close(&serve->signals);
 */
#ifndef RILL_IO_SIGNALS_H
#define RILL_IO_SIGNALS_H

#include "io/op.h"

#include <signal.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed, then opened, which panics where they are open. */
struct rill_signals {
    union {
        int64_t result; /* the number of the signal that came, or -errno */
        struct rill_op op;
    };

    /* private */
    bool is_open;
    int fd;
    sigset_t set; /* its signals */
};

/* Takes over count signals from the thread: they are blocked, so that they no
 * longer interrupt it or end the process, and read by rill_signals_next. Call it
 * before other threads are started, which inherit the mask. Returns 0 or -errno:
 * -EINVAL for a number that is no signal, -EMFILE, -ENFILE, -ENOMEM. */
int rill_signals_open(struct rill_signals *signals, const int *numbers, int count);

/* Waits for the next signal. Signals that come while nobody waits are kept, one
 * of each kind, as always. Cancelling leaves them for the next wait: the loser of a select
 * swallows none. A task that is cancelled as a whole still gets one that has come. Panics if they
 * are not open. */
struct rill_future *rill_signals_next(struct rill_signals *signals);

/* Unblocks the signals that rill_signals_open has blocked, but for those that others of this
 * thread have open: the last of them does. Those that were blocked before stay so. No wait may be
 * pending. Does nothing to one that is not open. */
void rill_signals_close(struct rill_signals *signals);

#ifdef __cplusplus
}
#endif
#endif
