/* SPDX-License-Identifier: Apache-2.0 */
/* remote.h - how other threads reach a runtime: they post it something to run.
 *
 *     struct rill_remote *remote;              // on the runtime's thread, once
 *     int error = rill_remote_open(&remote);
 *
 *     rill_post(remote, &order->post);         // on any thread
 *
 *     static void order_arrives(struct rill_post *post)    // on the runtime's thread
 *     {
 *         struct order *order = rill_container_of(post, struct order, post);
 *         ...
 *     }
 *
 * A post is a field of what it is about, so posting allocates nothing; it takes no
 * lock either, and no system call unless the runtime sleeps. To wake a task there is
 * "io/waker.h", to pass messages along "io/bridge.h". */
#ifndef RILL_IO_REMOTE_H
#define RILL_IO_REMOTE_H

#include "runtime/list.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_post;

/* Called once for a post, on the runtime's thread, between two polls of tasks: it may
 * wake, spawn and cancel tasks, but not wait. The post is its caller's again: it may be
 * posted once more, or freed. */
typedef void rill_post_fn(struct rill_post *post);

struct rill_post {
    rill_post_fn *run;

    /* private */
    struct rill_post *next; /* remote.posts, newest first, then remote.inbox, oldest first */
    bool is_posted;         /* atomic: cleared just before it is run */
};

/* Makes a post that is not posted. */
static inline void rill_post_init(struct rill_post *post, rill_post_fn *run)
{
    post->run = run;
    post->next = NULL;
    post->is_posted = false;
}

/* A runtime as other threads see it. It lives as long as somebody holds it, which may be
 * longer than the runtime: that accepts posts until it has been shut down or destroyed,
 * which runs those that it has accepted. What such a last post spawns, rill_runtime_shutdown
 * waits for; rill_runtime_destroy does not.
 *
 * Invariant: posts is NULL while the runtime is awake and nothing is posted, a marker
 * (see remote.c) while it sleeps or has ended, and otherwise the newest post. */
struct rill_remote {
    /* private: of any thread */
    struct rill_post *posts; /* atomic */
    unsigned holders;        /* atomic */
    int bell_fd;             /* an eventfd: rung by who posts to a runtime that sleeps */

    /* private: of the runtime's thread */
    struct rill_post *inbox; /* taken out of posts, oldest first */
    struct rill_post **inbox_end;
    bool is_closed;
};

/* Returns the remote of this thread's runtime in *remote, and holds it for the caller,
 * who releases it. The first call makes it. Returns 0, -ENOMEM, -EMFILE, -ENFILE, or
 * -ESHUTDOWN after rill_runtime_shutdown. */
int rill_remote_open(struct rill_remote **remote);

/* Holds the remote once more, for another thread; ends such a hold. Any thread. */
void rill_remote_hold(struct rill_remote *remote);
void rill_remote_release(struct rill_remote *remote);

/* How many posts a turn runs at the most, so that a storm of them leaves room for all else. */
enum { RILL_TURN_POSTS_MAX = 1024 };

/* Has post run on the runtime's thread in its next turn, which comes at once even if it
 * sleeps, or in a later one behind RILL_TURN_POSTS_MAX others; in the order in which they were
 * posted. Borrows the post until it is run. One that is posted already and has not begun to run
 * is run once, as with wakes: what the caller stored before either call is seen. Returns 0, or
 * -ESHUTDOWN: the runtime has ended, and the post remains its caller's. Where another thread is
 * about to post the same one, 0 says no more than what that thread is told. Any thread that holds
 * the remote, and signal handlers too. */
int rill_post(struct rill_remote *remote, struct rill_post *post);

/* Takes back a post that has not begun to run. Returns whether there was one. No other
 * thread may be about to post it. The runtime's thread. */
bool rill_post_withdraw(struct rill_remote *remote, struct rill_post *post);

/* private: refuses all posts from now on, then runs those that were accepted. It is done
 * when no task is alive, which might wait for one. */
void rill_remote_close(struct rill_remote *remote);

/* private: what the reactor needs. Whether there is something to run; runs a turn's share of it;
 * and whether there is nothing, in which case the next post rings the bell. */
bool rill_remote_has_posts(const struct rill_remote *remote);
void rill_remote_run(struct rill_remote *remote);
bool rill_remote_fall_asleep(struct rill_remote *remote);

/* private: whether the next post rings the bell. Any thread. */
bool rill_remote_is_asleep(const struct rill_remote *remote);

#ifdef __cplusplus
}
#endif
#endif
