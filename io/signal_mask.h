/* SPDX-License-Identifier: Apache-2.0 */
/* signal_mask.h - threads that are started on the way get none of the program's signals.
 *
 *     rill_signal_mask_fill(&before);
 *     pthread_create(...);
 *     rill_signal_mask_restore(&before);
 *
 * A thread begins with the mask of the one that starts it. A signal of the whole process goes to
 * any thread that does not block it, with the program's action or the default one, so that
 * io/signals.h would not get it. Faults are of the thread that makes them, and the kernel ends the
 * process where they are blocked (sigprocmask(2)): these stay as they are, for the program's
 * handlers. */
#ifndef RILL_IO_SIGNAL_MASK_H
#define RILL_IO_SIGNAL_MASK_H

#include <pthread.h>
#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* private: blocks all signals of this thread but faults. */
static inline void rill_signal_mask_fill(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t mask;

    sigfillset(&mask);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&mask, faults[i]);
    pthread_sigmask(SIG_BLOCK, &mask, before);
}

/* private: ends that. */
static inline void rill_signal_mask_restore(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

#ifdef __cplusplus
}
#endif
#endif
