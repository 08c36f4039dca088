/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - writes a file, patches it, makes it durable, and reads it back as a whole. */
#include "io/file.h"
#include "io/program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char letter[] = "Dear reader,\nthis is all.\n";

struct notes {
    struct rill_future future;
    struct rill_file file;
    struct rill_op op; /* one after the other, so one op serves for all */
    struct rill_read_to_end read;
    struct statx status;
    char path[32];
    int fd;
};

static enum rill_poll notes_poll(struct rill_future *self, struct rill_task *task)
{
    struct notes *notes = rill_container_of(self, struct notes, future);

    RILL_BEGIN();
    notes->fd = mkstemp(notes->path);
    if (notes->fd < 0)
        RILL_RETURN(-errno);
    close(notes->fd);
    RILL_AWAIT(rill_file_open(&notes->file, notes->path, O_RDWR | O_TRUNC, 0));
    notes->op.result = notes->file.result;
    if (notes->file.result < 0)
        goto remove;
    RILL_AWAIT(rill_file_write_all(&notes->file, &notes->op, letter, strlen(letter)));
    if (notes->op.result < 0)
        goto close;
    RILL_AWAIT(rill_file_write_all_at(&notes->file, &notes->op, "writer", 6, 5));
    if (notes->op.result < 0)
        goto close;
    RILL_AWAIT(rill_file_sync(&notes->file, &notes->op, false));
    if (notes->op.result < 0)
        goto close;
    RILL_AWAIT(rill_file_stat(&notes->file, &notes->op, &notes->status));
    if (notes->op.result < 0)
        goto close;
    printf("%d bytes:\n", (int)notes->status.stx_size);
    RILL_AWAIT(rill_file_close(&notes->file));

    /* Reading begins where the file stands, and a new one stands at its beginning. */
    RILL_AWAIT(rill_file_open(&notes->file, notes->path, O_RDONLY, 0));
    notes->op.result = notes->file.result;
    if (notes->file.result < 0)
        goto remove;
    RILL_AWAIT(rill_file_read_to_end(&notes->file, &notes->read, 1 << 20));
    notes->op.result = notes->read.result;
    if (notes->read.result >= 0)
        fputs(notes->read.data, stdout);
    free(notes->read.data);
close:
    RILL_AWAIT(rill_file_close(&notes->file));
remove:
    unlink(notes->path); /* not awaited: it has to go even if all this was cancelled */
    RILL_RETURN(notes->op.result);
    RILL_END();
}

int main(void)
{
    static struct notes notes = {.path = "/tmp/rill-files-XXXXXX"};

    return rill_main(rill_future_init(&notes.future, notes_poll));
}
