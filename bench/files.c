/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - rill-files: random reads of 4 KiB from a file, so many at a time. */
#include "bench/cli.h"
#include "bench/json.h"
#include "bench/wait_policy.h"
#include "io/file.h"
#include "io/runtime.h"
#include "runtime/executor.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_SIZE = 4096 };

struct reader {
    struct rill_task task;
    struct rill_op op;
    struct rill_join join;
    struct files *files;
    void *page;
    uint64_t random;
};

struct files {
    struct rill_future future;
    const char *path;
    int64_t depth, seconds_ns;
    bool direct;

    struct rill_file file;
    struct rill_sleep sleep;
    struct reader *readers;
    uint64_t pages, reads;
    int64_t begin_ns, end_ns, next, error;
    bool stopping;
};

static uint64_t next_page(struct reader *reader)
{
    reader->random = reader->random * 6364136223846793005u + 1442695040888963407u;
    return (reader->random >> 33) % reader->files->pages;
}

static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct reader *reader = rill_container_of(self, struct reader, task.future);
    struct files *files = reader->files;

    RILL_BEGIN();
    while (!files->stopping) {
        RILL_AWAIT(rill_file_read_at(&files->file, &reader->op, reader->page, PAGE_SIZE,
                                     next_page(reader) * PAGE_SIZE));
        if (reader->op.result != PAGE_SIZE) {
            files->error = reader->op.result < 0 ? reader->op.result : -ENODATA;
            break;
        }
        files->reads++;
    }
    RILL_END();
}

static enum rill_poll files_poll(struct rill_future *self, struct rill_task *task)
{
    struct files *files = rill_container_of(self, struct files, future);

    RILL_BEGIN();
    RILL_AWAIT(
        rill_file_open(&files->file, files->path, O_RDONLY | (files->direct ? O_DIRECT : 0), 0));
    if (files->file.result < 0)
        RILL_RETURN(files->file.result);
    files->begin_ns = rill_now();
    for (int64_t i = 0; i < files->depth; i++)
        rill_task_spawn(&files->readers[i].task, reader_poll);
    RILL_AWAIT(rill_sleep(&files->sleep, files->seconds_ns));
    files->stopping = true;
    for (files->next = 0; files->next < files->depth; files->next++)
        RILL_AWAIT(
            rill_task_join(&files->readers[files->next].task, &files->readers[files->next].join));
    files->end_ns = rill_now();
    RILL_AWAIT(rill_file_close(&files->file));
    RILL_RETURN(files->error);
    RILL_END();
}

static bool allocate(struct files *files)
{
    files->readers = calloc((size_t)files->depth, sizeof *files->readers);
    if (!files->readers)
        return false;
    for (int64_t i = 0; i < files->depth; i++) {
        struct reader *reader = &files->readers[i];

        reader->files = files;
        reader->random = (uint64_t)i + 1;
        reader->page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
        if (!reader->page)
            return false;
    }
    return true;
}

static void deallocate(struct files *files)
{
    for (int64_t i = 0; files->readers && i < files->depth; i++)
        free(files->readers[i].page);
    free(files->readers);
}

static void print_result(const struct files *files)
{
    struct json json;

    json_begin(&json, stdout);
    json_unsigned(&json, "reads", files->reads);
    json_double(&json, "seconds", (double)(files->end_ns - files->begin_ns) / RILL_SECOND, 3);
    json_end(&json);
}

int main(int argc, char **argv)
{
    static struct files files = {.path = "", .depth = 1, .seconds_ns = RILL_SECOND};
    struct rill_runtime *runtime;
    struct stat status;
    int64_t error;
    int wait_policy = RILL_WAIT_SLEEP;
    struct rill_runtime_options runtime_options = {0};
    const struct cli_option options[] = {
        CLI_INTEGER('d', "depth", &files.depth, 1, 1024, "reads at a time"),
        CLI_DURATION('t', "seconds", &files.seconds_ns, RILL_MILLISECOND, 3600 * RILL_SECOND,
                     "how long to read"),
        CLI_FLAG(0, "direct", &files.direct, "read past the page cache (O_DIRECT)"),
        CLI_CHOICE('w', "wait", &wait_policy, wait_words, "what to do when there is nothing to do"),
        CLI_END,
    };
    const struct cli_positional positionals[] = {
        CLI_ONE("FILE", &files.path, "the file to read, of 4 KiB at least"),
        CLI_POSITIONAL_END,
    };
    const struct cli cli = {
        .program = "rill-files",
        .summary = "Reads 4 KiB from random places of a file, again and again.",
        .options = options,
        .positionals = positionals,
        .notes = "Prints one JSON object: how many reads there were, and in which time.",
    };

    cli_parse(&cli, argc, argv);
    if (stat(files.path, &status) < 0) {
        fprintf(stderr, "rill-files: %s: %s\n", files.path, strerror(errno));
        return 1;
    }
    if (status.st_size < PAGE_SIZE)
        cli_fail(&cli, "%s: want a file of 4 KiB at least", files.path);
    files.pages = (uint64_t)status.st_size / PAGE_SIZE;
    runtime_options.wait_policy = (enum rill_wait_policy)wait_policy;
    error = rill_runtime_create(&runtime, &runtime_options);
    if (error) {
        fprintf(stderr, "rill-files: %s\n", rill_runtime_explain((int)error));
        return 1;
    }
    if (allocate(&files))
        error = rill_block_on(runtime, rill_future_init(&files.future, files_poll));
    else
        error = -ENOMEM;
    if (error)
        fprintf(stderr, "rill-files: %s: %s\n", files.path,
                error == -ENODATA ? "it ends before its size says" : strerror((int)-error));
    else
        print_result(&files);
    deallocate(&files);
    rill_runtime_destroy(runtime);
    return error ? 1 : 0;
}
