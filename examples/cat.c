/* SPDX-License-Identifier: Apache-2.0 */
/* cat.c - writes files to standard output: files are awaited like sockets. */
#include "io/file.h"
#include "io/program.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct cat {
    struct rill_future future;
    struct rill_file file, output;
    struct rill_op read, write;
    char **paths;
    int64_t error; /* the last one */
    char buffer[64 * 1024];
};

static enum rill_poll cat_poll(struct rill_future *self, struct rill_task *task)
{
    struct cat *cat = rill_container_of(self, struct cat, future);

    RILL_BEGIN();
    rill_file_adopt(&cat->output, STDOUT_FILENO);
    for (; *cat->paths; cat->paths++) {
        RILL_AWAIT(rill_file_open(&cat->file, *cat->paths, O_RDONLY, 0));
        if (cat->file.result < 0) {
            fprintf(stderr, "cat: %s: %s\n", *cat->paths, strerror((int)-cat->file.result));
            cat->error = cat->file.result;
            continue;
        }
        for (;;) {
            RILL_AWAIT(rill_file_read(&cat->file, &cat->read, cat->buffer, sizeof cat->buffer));
            if (cat->read.result <= 0)
                break;
            RILL_AWAIT(rill_file_write_all(&cat->output, &cat->write, cat->buffer,
                                           (size_t)cat->read.result));
            if (cat->write.result < 0)
                break;
        }
        if (cat->read.result < 0 || cat->write.result < 0)
            cat->error = cat->read.result < 0 ? cat->read.result : cat->write.result;
        RILL_AWAIT(rill_file_close(&cat->file));
    }
    rill_file_release(&cat->output);
    RILL_RETURN(cat->error);
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct cat cat;

    (void)argc;
    cat.paths = argv + 1;
    return rill_main(rill_future_init(&cat.future, cat_poll));
}
