/* SPDX-License-Identifier: Apache-2.0 */
#include "io/waker.h"

#include "runtime/executor.h"

#include <errno.h>

static void run(struct rill_post *post)
{
    struct rill_waker *waker = rill_container_of(post, struct rill_waker, post);

    waker->is_woken = true;
    if (waker->task)
        rill_task_wake(waker->task);
}

int rill_waker_open(struct rill_waker *waker)
{
    waker->task = NULL;
    waker->is_woken = false;
    rill_post_init(&waker->post, run);
    return rill_remote_open(&waker->remote);
}

static enum rill_poll over(struct rill_waker *waker, int64_t result)
{
    waker->task = NULL;
    return rill_future_end(&waker->future, result);
}

static enum rill_poll wait_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_waker *waker = rill_container_of(self, struct rill_waker, future);
    bool is_cancelled = rill_task_is_cancelled(task);

    if (!waker->is_woken && !is_cancelled) {
        waker->task = task;
        return RILL_PENDING;
    }
    if (!rill_budget_spend(rill_executor_here(), task))
        return RILL_PENDING;
    if (is_cancelled) /* a wake stays: the loser of a select swallows none */
        return over(waker, -ECANCELED);
    waker->is_woken = false;
    return over(waker, 0);
}

struct rill_future *rill_waker_wait(struct rill_waker *waker)
{
    static const struct rill_place name = {"wait for another thread", NULL, 0};

    rill_check(waker->remote, "a waker was awaited that is not open");
    rill_check(!waker->task, "two tasks wait for the same waker");
    rill_future_init(&waker->future, wait_poll);
    waker->future.place = &name;
    return &waker->future;
}

int rill_waker_wake(struct rill_waker *waker)
{
    rill_check(waker->remote, "a waker was woken that is not open");
    return rill_post(waker->remote, &waker->post);
}

void rill_waker_close(struct rill_waker *waker)
{
    if (!waker->remote)
        return;
    rill_check(!waker->task, "a waker was closed while a task waits for it");
    rill_post_withdraw(waker->remote, &waker->post);
    rill_remote_release(waker->remote);
    waker->remote = NULL;
}
