/* SPDX-License-Identifier: Apache-2.0 */
/* embedding.c - a loop of one's own, with poll(2), that drives a runtime. */
#include "io/embedding.h"
#include "io/runtime.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

struct ticker {
    struct rill_task task;
    struct rill_sleep sleep;
    int i;
};

static enum rill_poll ticker_poll(struct rill_future *self, struct rill_task *task)
{
    struct ticker *ticker = rill_container_of(self, struct ticker, task.future);

    RILL_BEGIN();
    for (ticker->i = 1; ticker->i <= 3; ticker->i++) {
        RILL_AWAIT(rill_sleep(&ticker->sleep, 30 * RILL_MILLISECOND));
        printf("rill: %d\n", ticker->i);
    }
    RILL_END();
}

int main(void)
{
    const struct rill_runtime_options options = {.embedded = true};
    const struct itimerspec in_300_ms = {.it_value = {.tv_nsec = 300000000}};
    struct ticker ticker = {0};
    struct rill_runtime *runtime;
    struct pollfd fds[] = {{.events = POLLIN}, {.events = POLLIN}};
    int error = rill_runtime_create(&runtime, &options), turns = 0;

    if (error) {
        fprintf(stderr, "no runtime: %s\n", rill_runtime_explain(error));
        return 1;
    }
    fds[1].fd = rill_fd(runtime);
    fds[0].fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (fds[0].fd < 0 || fds[1].fd < 0) {
        fprintf(stderr, "no descriptor: %s\n", strerror(fds[1].fd < 0 ? -fds[1].fd : errno));
        rill_runtime_destroy(runtime);
        return 1;
    }
    timerfd_settime(fds[0].fd, 0, &in_300_ms, NULL);
    rill_task_spawn(&ticker.task, ticker_poll);

    do {
        poll(fds, 2, -1);
        if (fds[1].revents) {
            rill_turn(runtime, RILL_NO_WAIT);
            turns++;
        }
    } while (!fds[0].revents);
    printf("poll: its own timer\n");
    printf("the loop slept %s\n", turns < 50 ? "in between" : "too little");
    rill_runtime_shutdown(runtime, RILL_NO_WAIT); /* no task is left, however slow the machine */
    rill_runtime_destroy(runtime);
    close(fds[0].fd);
    return 0;
}
