/* SPDX-License-Identifier: Apache-2.0 */
/* latch.h - a leaf future that the test opens by hand, and that counts its polls.
 *
 * It stands for an operation in the kernel: once begun it stays in flight until
 * the world lets go of it, and a cancel is only a request. */
#ifndef RILL_TESTS_LATCH_H
#define RILL_TESTS_LATCH_H

#include "runtime/task.h"

#include <stdbool.h>

/* As drain_polls: a cancelled latch stays pending until latch_open or latch_let_go. */
#define LATCH_BY_HAND (-1)

struct latch {
    union {
        int64_t result; /* what it was opened with, or -ECANCELED */
        struct rill_future future;
    };
    int drain_polls; /* for how many polls it stays pending once cancelled */
    unsigned polls;  /* all */
    unsigned cancelled_polls;
    enum rill_cancel_reason reason; /* for which it was cancelled: stays until the program ends */
    bool begun, over;

    /* private */
    bool is_open, is_let_go;
    int drained;
    int64_t value;
    struct rill_task *task; /* woken when something happens, while it is begun */
};

/* Waits until the latch is open. Keeps nothing of an earlier wait but
 * drain_polls; a latch that is opened before it was begun is ready at once. */
struct rill_future *latch_wait(struct latch *latch);

/* Opens it with a result, which wins against any cancel: stores and wakes. */
void latch_open(struct latch *latch, int64_t result);

/* Lets a cancelled latch end with -ECANCELED. */
void latch_let_go(struct latch *latch);

#endif
