/* SPDX-License-Identifier: Apache-2.0 */
/* polite_kernel.h - the real kernel, which lets other threads run under valgrind.
 *
 * Valgrind runs one thread at a time, and changes to another one where it knows that a
 * system call may wait. Of io_uring_enter(2) it does not know that (3.19), so while one
 * thread sleeps there, no other one runs, UCX's among them. This one sleeps in poll(2),
 * on the descriptor of the ring. */
#ifndef RILL_TESTS_POLITE_KERNEL_H
#define RILL_TESTS_POLITE_KERNEL_H

#include "io/kernel.h"

/* Returns it, without state, for any number of rings and threads. */
struct rill_kernel *polite_kernel(void);

#endif
