/* SPDX-License-Identifier: Apache-2.0 */
/* directories.c - goes through a spool: how many jobs, and how large. */
#include "io/directory.h"
#include "io/path.h"
#include "io/program.h"
#include "io/replace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const jobs[] = {"job-1", "job-2", "job-3"};

struct spool {
    struct rill_future future;
    struct rill_directory directory;
    struct rill_replace replace;
    struct rill_op op;
    struct statx status;
    size_t i;
    unsigned count;
    uint64_t size;
    char path[32];
};

/* What is left of it if a signal has ended the task half way, so without an await. */
static void remove_rest(const char *path)
{
    for (int i = 0; i < 3; i++)
        unlink(jobs[i]);
    rmdir("done");
    rmdir(path);
}

/* Removes each job, once it is known what it was. */
static enum rill_poll spool_poll(struct rill_future *self, struct rill_task *task)
{
    struct spool *spool = rill_container_of(self, struct spool, future);

    RILL_BEGIN();
    if (!mkdtemp(spool->path) || chdir(spool->path) < 0)
        RILL_RETURN(-errno);
    for (spool->i = 0; spool->i < 3; spool->i++)
        RILL_AWAIT(
            rill_path_replace(&spool->replace, jobs[spool->i], "print this", 8 + spool->i, 0600));
    RILL_AWAIT(rill_path_mkdir(&spool->op, "done", 0700));

    RILL_AWAIT(rill_directory_open(&spool->directory, "."));
    spool->op.result = spool->directory.result;
    if (spool->directory.result < 0)
        goto remove;
    for (;;) {
        RILL_AWAIT(rill_directory_read(&spool->directory));
        if (spool->directory.result <= 0)
            break;
        RILL_AWAIT(rill_path_stat_link(&spool->op, spool->directory.name, &spool->status));
        if (spool->op.result < 0)
            continue; /* somebody else took it */
        if (S_ISDIR(spool->status.stx_mode)) {
            printf("a directory: %s\n", spool->directory.name);
            continue;
        }
        spool->count++;
        spool->size += spool->status.stx_size;
        RILL_AWAIT(rill_path_unlink(&spool->op, spool->directory.name));
    }
    spool->op.result = spool->directory.result; /* 0 at its end */
    RILL_AWAIT(rill_directory_close(&spool->directory));
    if (spool->op.result < 0)
        goto remove;
    printf("%u jobs, %u bytes\n", spool->count, (unsigned)spool->size);
    RILL_AWAIT(rill_path_rmdir(&spool->op, "done"));
remove:
    remove_rest(spool->path);
    RILL_RETURN(spool->op.result);
    RILL_END();
}

int main(void)
{
    static struct spool spool = {.path = "/tmp/rill-directories-XXXXXX"};

    return rill_main(rill_future_init(&spool.future, spool_poll));
}
