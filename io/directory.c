/* SPDX-License-Identifier: Apache-2.0 */
#include "io/directory.h"

#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

struct rill_future *rill_directory_open(struct rill_directory *directory, const char *path)
{
    directory->begin = directory->end = 0;
    return rill_file_open(&directory->file, path, O_RDONLY | O_DIRECTORY, 0);
}

struct rill_future *rill_directory_close(struct rill_directory *directory)
{
    return rill_file_close(&directory->file);
}

/* On a thread of the pool. */
static int64_t read_batch(void *argument)
{
    struct rill_directory *directory = argument;
    ssize_t size = getdents64(directory->file.fd, directory->batch, sizeof directory->batch);

    if (size >= 0)
        return size;
    return errno == ENOENT ? 0 : -errno; /* it was removed, so it has no names any more */
}

static bool is_itself_or_above(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Gives out the next name of the batch. Returns whether there was one. */
static bool take_name(struct rill_directory *directory)
{
    while (directory->begin < directory->end) {
        const struct dirent64 *entry =
            (const void *)((const char *)directory->batch + directory->begin);

        directory->begin += entry->d_reclen;
        if (is_itself_or_above(entry->d_name))
            continue;
        directory->name = entry->d_name;
        directory->type = entry->d_type;
        return true;
    }
    return false;
}

static enum rill_poll read_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_directory *directory = rill_container_of(self, struct rill_directory, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* the name may be there */
    if (rill_task_is_cancelled(task))
        RILL_RETURN(-ECANCELED);
    while (!take_name(directory)) {
        RILL_AWAIT(rill_blocking(&directory->blocking, NULL, read_batch, directory));
        if (directory->blocking.result <= 0)
            RILL_RETURN(directory->blocking.result);
        directory->begin = 0;
        directory->end = (size_t)directory->blocking.result;
    }
    RILL_RETURN(1);
    RILL_END();
}

struct rill_future *rill_directory_read(struct rill_directory *directory)
{
    rill_check(directory->file.is_open, "a directory is read that is not open");
    return rill_future_init(&directory->future, read_poll);
}
