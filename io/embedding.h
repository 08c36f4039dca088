/* SPDX-License-Identifier: Apache-2.0 */
/* embedding.h - lets another event loop drive a runtime.
 *
 *     const struct rill_runtime_options options = {.embedded = true};
 *
 *     rill_runtime_create(&runtime, &options);
 *     fd = rill_fd(runtime);
 *     ...when the other loop finds fd readable (poll, uv_poll_t, g_unix_fd_source_new)...
 *     rill_turn(runtime, RILL_NO_WAIT);
 *
 * The descriptor says all: completions, posts of other threads, timers, and tasks that
 * have yielded. What the other loop's own callbacks do to the runtime (spawn a task, wake
 * one, open a remote) is no turn, and is seen by the next one: such a callback ends with
 * rill_turn. After rill_block_on there is one due.
 *
 * All functions belong to the runtime's thread. It is also the one that waits for the descriptor,
 * as the kernel does what is left to do for a completion whenever this thread enters it, and wakes
 * it for that. Therefore epoll_wait(2) may end with EINTR there, without a signal, and has to be
 * called again. So may what else signal(7) names under "stop signals", such as semop(2) and
 * receiving with SO_RCVTIMEO; poll(2) and all others go on by themselves. */
#ifndef RILL_IO_EMBEDDING_H
#define RILL_IO_EMBEDDING_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_runtime;

/* private: how the runtime is watched, once somebody has asked for rill_fd. */
struct rill_embedding {
    bool is_open;
    bool hears_bell;  /* the remote's bell is watched */
    int fd;           /* an epoll of the ring, the timer and the remote's bell */
    int timer_fd;     /* set to timer_ns */
    int64_t timer_ns; /* when a turn is due, if nothing else happens before */
};

/* Returns a descriptor that is readable (level-triggered) while the runtime has something
 * to do, or -errno: -EMFILE, -ENFILE, -ENOMEM, or -ENOSPC where the kernel watches no more for
 * this user (epoll_ctl(2)). It belongs to the runtime, ends with it, and is only to be waited for.
 * It is readable at first, for what was done before. Panics if the runtime was not created to be
 * embedded. */
int rill_fd(struct rill_runtime *runtime);

/* Takes a turn: hands over what came, runs the tasks that are ready (rill_executor_run says
 * how long), and starts what they ask for. Where nothing is ready it first waits for up to
 * timeout_ns (RILL_NO_WAIT, as another loop wants it, or less; RILL_NEVER: until something comes).
 * Returns 0, or -errno: when the ring is broken for good, or -ENOMEM or -ENOSPC where the kernel
 * watches no more for rill_fd. Panics if it is called within a task. */
int rill_turn(struct rill_runtime *runtime, int64_t timeout_ns);

/* Returns for how long the other loop may wait for the descriptor: RILL_NO_WAIT, RILL_NEVER
 * or a time in nanoseconds. Who waits for the descriptor need not ask: it is readable then.
 * It is of use to a loop that wants to know whether it may sleep at all. */
int64_t rill_turn_timeout(struct rill_runtime *runtime);

/* private: makes the descriptor readable, if there is one: turns were taken that it does not know
 * of, and what they have left to be done is for the next. */
void rill_embedding_remind(struct rill_embedding *embedding);

/* private: closes what rill_fd has opened. */
void rill_embedding_finish(struct rill_embedding *embedding);

#ifdef __cplusplus
}
#endif
#endif
