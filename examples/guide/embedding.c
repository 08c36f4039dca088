/* SPDX-License-Identifier: Apache-2.0 */
/* embedding.c - a loop of one's own, with poll(2), that drives a runtime. */
#include "io/embedding.h"
#include "io/runtime.h"
#include "runtime/sleep.h"

#include <poll.h>
#include <stdio.h>
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
    int timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), turns = 0;

    if (timer_fd < 0 || rill_runtime_create(&runtime, &options) < 0)
        return 1;
    timerfd_settime(timer_fd, 0, &in_300_ms, NULL);
    rill_task_spawn(&ticker.task, ticker_poll);

    struct pollfd fds[] = {{.fd = timer_fd, .events = POLLIN},
                           {.fd = rill_fd(runtime), .events = POLLIN}};

    do {
        poll(fds, 2, -1);
        if (fds[1].revents) {
            rill_turn(runtime, RILL_NO_WAIT);
            turns++;
        }
    } while (!fds[0].revents);
    printf("poll: its own timer\n");
    printf("the loop slept %s\n", turns < 50 ? "in between" : "too little");
    rill_runtime_destroy(runtime);
    close(timer_fd);
    return 0;
}
