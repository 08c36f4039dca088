/* SPDX-License-Identifier: Apache-2.0 */
/* refusal.h - system calls that a filter (seccomp(2)) refuses, as a container's profile does. */
#ifndef RILL_TESTS_REFUSAL_H
#define RILL_TESTS_REFUSAL_H

/* Has the system call of that number fail with error from now on, in this thread and in all that it
 * starts. Returns 0, or -errno. */
int refuse_system_call(unsigned number, int error);

#endif
