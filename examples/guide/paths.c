/* SPDX-License-Identifier: Apache-2.0 */
/* paths.c - saves settings so that they are never half there, and keeps the ones before. */
#include "io/path.h"
#include "io/program.h"
#include "io/replace.h"

#include <errno.h>
#include <linux/fs.h> /* RENAME_EXCHANGE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const versions[] = {"color = red\n", "color = blue\n", "color = green\n"};

struct saver {
    struct rill_future future;
    struct rill_replace replace;
    struct rill_op op;
    struct statx status;
    size_t version;
    char directory[32];
};

/* What is left of it if a signal has ended the task half way, so without an await. */
static void remove_rest(const char *directory)
{
    unlink("backup/new");
    unlink("backup/settings");
    rmdir("backup");
    unlink("settings");
    rmdir(directory);
}

static enum rill_poll saver_poll(struct rill_future *self, struct rill_task *task)
{
    struct saver *saver = rill_container_of(self, struct saver, future);

    RILL_BEGIN();
    if (!mkdtemp(saver->directory) || chdir(saver->directory) < 0)
        RILL_RETURN(-errno);
    RILL_AWAIT(rill_path_mkdir(&saver->op, "backup", 0700));
    if (saver->op.result < 0)
        goto remove;
    for (saver->version = 0; saver->version < 3; saver->version++) {
        /* A second name for what is there: nothing is copied, and "settings" is never gone. */
        RILL_AWAIT(rill_path_link(&saver->op, "settings", "backup/new"));
        if (saver->op.result == 0)
            RILL_AWAIT(rill_path_rename(&saver->op, "backup/new", "backup/settings", 0));

        RILL_AWAIT(rill_path_replace(&saver->replace, "settings", versions[saver->version],
                                     strlen(versions[saver->version]), 0600));
        saver->op.result = saver->replace.result;
        if (saver->op.result < 0)
            goto remove;
    }
    RILL_AWAIT(rill_path_stat(&saver->op, "settings", &saver->status));
    printf("settings: %d bytes\n", (int)saver->status.stx_size);
    RILL_AWAIT(rill_path_stat(&saver->op, "backup/settings", &saver->status));
    printf("those before: %d bytes\n", (int)saver->status.stx_size);

    /* The two change places, in one step. */
    RILL_AWAIT(rill_path_rename(&saver->op, "settings", "backup/settings", RENAME_EXCHANGE));
    RILL_AWAIT(rill_path_stat(&saver->op, "settings", &saver->status));
    printf("back to them: %d bytes\n", (int)saver->status.stx_size);

    RILL_AWAIT(rill_path_rmdir(&saver->op, "backup"));
    printf("remove backup: %s\n", strerror((int)-saver->op.result));
    RILL_AWAIT(rill_path_unlink(&saver->op, "backup/settings"));
    RILL_AWAIT(rill_path_rmdir(&saver->op, "backup"));
    RILL_AWAIT(rill_path_unlink(&saver->op, "settings"));
remove:
    remove_rest(saver->directory);
    RILL_RETURN(saver->op.result);
    RILL_END();
}

int main(void)
{
    static struct saver saver = {.directory = "/tmp/rill-paths-XXXXXX"};

    return rill_main(rill_future_init(&saver.future, saver_poll));
}
