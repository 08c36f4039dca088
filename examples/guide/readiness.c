/* SPDX-License-Identifier: Apache-2.0 */
/* readiness.c - another library's descriptor, here inotify's: rill waits, the library reads. */
#include "io/readiness.h"
#include "io/file.h"
#include "io/program.h"
#include "runtime/scope.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Makes a file while the other task waits. */
struct maker {
    struct rill_task task;
    struct rill_file file;
    const char *path;
};

static enum rill_poll maker_poll(struct rill_future *self, struct rill_task *task)
{
    struct maker *maker = rill_container_of(self, struct maker, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_file_open(&maker->file, maker->path, O_WRONLY | O_CREAT, 0600));
    RILL_AWAIT(rill_file_close(&maker->file));
    RILL_END();
}

struct watcher {
    struct rill_future future;
    struct maker maker;
    struct rill_scope scope;
    struct rill_op wait;
    int fd;
    char directory[32], path[48];
    union {
        struct inotify_event event;
        char bytes[512];
    } buffer;
};

static int watcher_open(struct watcher *watcher)
{
    if (!mkdtemp(watcher->directory))
        return -errno;
    snprintf(watcher->path, sizeof watcher->path, "%s/a-new-file", watcher->directory);
    watcher->maker.path = watcher->path;
    watcher->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watcher->fd < 0 || inotify_add_watch(watcher->fd, watcher->directory, IN_CREATE) < 0)
        return -errno;
    return 0;
}

static void watcher_close(struct watcher *watcher)
{
    close(watcher->fd);
    unlink(watcher->path);
    rmdir(watcher->directory);
}

static enum rill_poll watcher_poll(struct rill_future *self, struct rill_task *task)
{
    struct watcher *watcher = rill_container_of(self, struct watcher, future);

    RILL_BEGIN();
    watcher->wait.result = watcher_open(watcher);
    if (watcher->wait.result < 0)
        goto close;
    rill_scope_init(&watcher->scope, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&watcher->scope, &watcher->maker.task, maker_poll);
    /* Readable is a hint: look first, and wait only for what is not there. */
    while (read(watcher->fd, &watcher->buffer, sizeof watcher->buffer) < 0) {
        watcher->wait.result = -errno;
        if (errno == EAGAIN) {
            printf("nothing yet\n");
            RILL_AWAIT(rill_fd_wait(watcher->fd, &watcher->wait, POLLIN));
        }
        if (watcher->wait.result < 0)
            break;
        printf("readable: %s\n", watcher->wait.result & POLLIN ? "yes" : "no");
    }
    printf("made: %s\n", watcher->wait.result < 0 ? "?" : watcher->buffer.event.name);
    RILL_AWAIT(rill_scope_join(&watcher->scope)); /* if it is cancelled, so is the maker */
close:
    watcher_close(watcher);
    RILL_RETURN(watcher->wait.result < 0 ? watcher->wait.result : 0);
    RILL_END();
}

int main(void)
{
    static struct watcher watcher = {.directory = "/tmp/rill-readiness-XXXXXX", .fd = -1};

    return rill_main(rill_future_init(&watcher.future, watcher_poll));
}
