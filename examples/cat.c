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
    bool has_failed;
    char buffer[64 * 1024];
};

static void complain(struct cat *cat, const char *name, int64_t error)
{
    fprintf(stderr, "cat: %s: %s\n", name, strerror((int)-error));
    cat->has_failed = true;
}

static enum rill_poll cat_poll(struct rill_future *self, struct rill_task *task)
{
    struct cat *cat = rill_container_of(self, struct cat, future);

    RILL_BEGIN();
    rill_file_adopt(&cat->output, STDOUT_FILENO);
    for (; *cat->paths; cat->paths++) {
        RILL_AWAIT(rill_file_open(&cat->file, *cat->paths, O_RDONLY, 0));
        if (cat->file.result < 0) {
            complain(cat, *cat->paths, cat->file.result);
            continue;
        }
        do {
            RILL_AWAIT(rill_file_read(&cat->file, &cat->read, cat->buffer, sizeof cat->buffer));
            if (cat->read.result > 0)
                RILL_AWAIT(rill_file_write_all(&cat->output, &cat->write, cat->buffer,
                                               (size_t)cat->read.result));
        } while (cat->read.result > 0 && cat->write.result >= 0);
        if (cat->read.result < 0)
            complain(cat, *cat->paths, cat->read.result);
        else if (cat->read.result > 0)
            complain(cat, "standard output", cat->write.result);
        RILL_AWAIT(rill_file_close(&cat->file));
    }
    rill_file_release(&cat->output);
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct cat cat;

    (void)argc;
    cat.paths = argv + 1;
    return rill_main(rill_future_init(&cat.future, cat_poll)) || cat.has_failed;
}
