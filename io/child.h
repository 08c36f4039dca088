/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - makes a child process that runs a program: what is below io/process.h.
 *
 * There are four ways, and this is why it is the last of them:
 *
 *   fork(2)         copies the page tables, and at once all memory that is pinned for the ring or a
 *                   network card: the larger the server, the longer it stands still.
 *   vfork(2)        copies nothing, but the child runs on its parent's stack, which no compiler
 *                   has promised to bear, and there is no pidfd.
 *   posix_spawn(3)  does the right thing within. Its child is known by its number alone (before
 *                   glibc 2.39), which is another's if somebody else has reaped the child before
 *                   we could ask for a pidfd; and that second step can fail, with the program
 *                   already running.
 *   clone(2)        with the memory shared, the thread held until the child has its program, a
 *                   stack of the child's own, and a pidfd, or no child.
 *
 * As the memory is shared, the child tells why it could not begin by a store, without a pipe.
 * Other threads, UCX's too, go on meanwhile: the child calls nothing that takes a lock. */
#ifndef RILL_IO_CHILD_H
#define RILL_IO_CHILD_H

#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_process_options;

/* A stream that is what ours is. */
enum { RILL_CHILD_INHERITS = -1 };

/* Starts the program of options with these three streams, each a descriptor or the above, all
 * borrowed for the call. Returns a pidfd (close-on-exec), which the caller owns, as it does the
 * child, which it has to reap; and its number in *pid. Or the -errno of rill_process_start, and
 * there is no child. */
int rill_child_start(const struct rill_process_options *options, const int streams[3], pid_t *pid);

#ifdef __cplusplus
}
#endif
#endif
