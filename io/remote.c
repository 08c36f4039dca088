/* SPDX-License-Identifier: Apache-2.0 */
/* remote.c - a stack that any thread pushes onto and the runtime takes as a whole.
 *
 * Whether the bell has to be rung is the classic trap: the runtime looks for posts, finds
 * none and falls asleep, while a thread posts and finds the runtime awake. With a flag
 * beside the stack each side would have to store to the one and then load the other, and
 * both orders would have to be sequentially consistent. Here there is one word, so there
 * is nothing to order. Every change of it is an atomic read-modify-write, and those have one
 * order: either the post is before the falling asleep, which then finds it and fails, or it
 * is behind it, and replaces the marker: who replaces the marker rings. The others of a burst
 * see a post there and know that somebody has rung. */
#include "io/remote.h"

#include "io/reactor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Instead of the newest post: nothing is posted, and the runtime sleeps, or is about
 * to; or it accepts no more. */
static struct rill_post asleep, closed;

int rill_remote_open(struct rill_remote **out)
{
    struct rill_reactor *reactor = rill_reactor_here();
    struct rill_remote *remote = reactor->remote;

    *out = NULL;
    if (reactor->refuses_posts)
        return -ESHUTDOWN;
    if (!remote) {
        remote = calloc(1, sizeof *remote);
        if (!remote)
            return -ENOMEM;
        remote->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (remote->bell_fd < 0) {
            int error = -errno;

            free(remote);
            return error;
        }
        remote->inbox_end = &remote->inbox;
        remote->holders = 1; /* the reactor */
        reactor->remote = remote;
    }
    rill_remote_hold(remote);
    *out = remote;
    return 0;
}

void rill_remote_hold(struct rill_remote *remote)
{
    __atomic_fetch_add(&remote->holders, 1, __ATOMIC_RELAXED);
}

void rill_remote_release(struct rill_remote *remote)
{
    if (!remote || __atomic_sub_fetch(&remote->holders, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    close(remote->bell_fd);
    free(remote);
}

int rill_post(struct rill_remote *remote, struct rill_post *post)
{
    static const uint64_t one = 1;
    struct rill_post *newest = __atomic_load_n(&remote->posts, __ATOMIC_ACQUIRE);

    /* The runtime clears it by an exchange too, so it sees what we stored before. */
    if (__atomic_exchange_n(&post->is_posted, true, __ATOMIC_ACQ_REL))
        return 0;
    do {
        if (newest == &closed) { /* and what the runtime did before it ended is seen */
            __atomic_store_n(&post->is_posted, false, __ATOMIC_RELEASE);
            return -ESHUTDOWN;
        }
        post->next = newest == &asleep ? NULL : newest;
    } while (!__atomic_compare_exchange_n(&remote->posts, &newest, post, true, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    /* From here on the post may have been run, and be gone. An eventfd takes 2^64 - 2 of
     * these before it would refuse one. */
    if (newest == &asleep)
        (void)!write(remote->bell_fd, &one, sizeof one);
    return 0;
}

static void check_thread(const struct rill_remote *remote)
{
    rill_check(rill_executor_of_thread && rill_reactor_here()->remote == remote,
               "the posts of a runtime were taken by a thread that it does not belong to");
}

/* Moves what newest leads to, which has the latest first, to the end of the inbox. */
static void collect(struct rill_remote *remote, struct rill_post *newest)
{
    struct rill_post *oldest = NULL;
    struct rill_post **end = newest ? &newest->next : remote->inbox_end;

    while (newest) {
        struct rill_post *next = newest->next;

        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    *remote->inbox_end = oldest;
    remote->inbox_end = end;
}

static void take_posts(struct rill_remote *remote)
{
    struct rill_post *newest;

    if (remote->is_closed || !__atomic_load_n(&remote->posts, __ATOMIC_RELAXED))
        return;
    newest = __atomic_exchange_n(&remote->posts, NULL, __ATOMIC_ACQUIRE);
    if (newest != &asleep)
        collect(remote, newest);
}

/* Takes the post that *link leads to out of the inbox. */
static struct rill_post *inbox_remove(struct rill_remote *remote, struct rill_post **link)
{
    struct rill_post *post = *link;

    *link = post->next;
    if (!post->next)
        remote->inbox_end = link;
    /* An exchange, so that whoever found it posted happens before what comes now. */
    (void)__atomic_exchange_n(&post->is_posted, false, __ATOMIC_ACQ_REL);
    return post;
}

static void run_first(struct rill_remote *remote)
{
    struct rill_post *post = inbox_remove(remote, &remote->inbox);

    post->run(post);
}

bool rill_post_withdraw(struct rill_remote *remote, struct rill_post *post)
{
    check_thread(remote);
    if (!__atomic_load_n(&post->is_posted, __ATOMIC_ACQUIRE))
        return false;
    take_posts(remote);
    for (struct rill_post **link = &remote->inbox; *link; link = &(*link)->next) {
        if (*link == post) {
            inbox_remove(remote, link);
            return true;
        }
    }
    return false;
}

void rill_remote_close(struct rill_remote *remote)
{
    struct rill_post *newest;

    check_thread(remote);
    if (remote->is_closed)
        return;
    remote->is_closed = true;
    newest = __atomic_exchange_n(&remote->posts, &closed, __ATOMIC_ACQ_REL);
    if (newest != &asleep)
        collect(remote, newest);
    while (remote->inbox)
        run_first(remote);
}

bool rill_remote_has_posts(const struct rill_remote *remote)
{
    struct rill_post *newest = __atomic_load_n(&remote->posts, __ATOMIC_RELAXED);

    return (newest && newest != &asleep && newest != &closed) || remote->inbox;
}

void rill_remote_run(struct rill_remote *remote)
{
    take_posts(remote);
    for (int i = 0; i < RILL_TURN_POSTS_MAX && remote->inbox; i++)
        run_first(remote);
}

bool rill_remote_fall_asleep(struct rill_remote *remote)
{
    struct rill_post *nothing = NULL;

    if (remote->inbox)
        return false;
    return __atomic_compare_exchange_n(&remote->posts, &nothing, &asleep, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_RELAXED) ||
           nothing == &asleep || nothing == &closed;
}

bool rill_remote_is_asleep(const struct rill_remote *remote)
{
    return __atomic_load_n(&remote->posts, __ATOMIC_ACQUIRE) == &asleep;
}
