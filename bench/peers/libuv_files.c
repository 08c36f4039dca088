/* SPDX-License-Identifier: Apache-2.0 */
/* libuv_files.c - random reads of 4 KiB by libuv's file operations, which its threads do:
 * see bench/files.c for what is measured. */
#include "bench/cli.h"
#include "bench/json.h"
#include "bench/peers/peer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

enum { PAGE_SIZE = 4096 };

struct reader {
    uv_fs_t request;
    uv_buf_t page;
    uint64_t random;
};

static uv_loop_t loop;
static uv_file file;
static uint64_t pages, reads;
static bool stopping;

static void check(const char *what, int status)
{
    if (status < 0)
        peer_fail("libuv-files", what, -status);
}

static void start_read(struct reader *reader);

static void on_read(uv_fs_t *request)
{
    check("read", (int)request->result);
    uv_fs_req_cleanup(request);
    reads++;
    if (!stopping)
        start_read(request->data);
}

static void start_read(struct reader *reader)
{
    reader->random = reader->random * 6364136223846793005u + 1442695040888963407u;
    reader->request.data = reader;
    check("read", uv_fs_read(&loop, &reader->request, file, &reader->page, 1,
                             (int64_t)((reader->random >> 33) % pages * PAGE_SIZE), on_read));
}

static void on_end(uv_timer_t *timer)
{
    (void)timer;
    stopping = true;
}

int main(int argc, char **argv)
{
    const char *path;
    int64_t depth = 1, seconds_ns = 1000000000;
    bool direct = false;
    const struct cli_option options[] = {
        CLI_INTEGER('d', "depth", &depth, 1, 1024, "reads at a time"),
        CLI_DURATION('t', "seconds", &seconds_ns, 1000000, INT64_C(3600) * 1000000000,
                     "how long to read"),
        CLI_FLAG(0, "direct", &direct, "read past the page cache (O_DIRECT)"),
        CLI_END,
    };
    const struct cli_positional positionals[] = {
        CLI_ONE("FILE", &path, "the file to read, of 4 KiB at least"),
        CLI_POSITIONAL_END,
    };
    const struct cli cli = {
        .program = "libuv-files",
        .summary = "Reads 4 KiB from random places of a file by libuv.",
        .options = options,
        .positionals = positionals,
    };
    uv_fs_t request;
    uv_timer_t timer;
    struct json json;

    cli_parse(&cli, argc, argv);
    check("loop", uv_loop_init(&loop));
    file = uv_fs_open(&loop, &request, path, O_RDONLY | (direct ? O_DIRECT : 0), 0, NULL);
    check(path, file);
    check(path, uv_fs_fstat(&loop, &request, file, NULL));
    pages = request.statbuf.st_size / PAGE_SIZE;
    if (pages == 0)
        cli_fail(&cli, "%s: want a file of 4 KiB at least", path);

    struct reader *readers = calloc((size_t)depth, sizeof *readers);
    uint64_t begin_ns = uv_hrtime();
    for (int64_t i = 0; i < depth; i++) {
        readers[i].random = (uint64_t)i + 1;
        readers[i].page = uv_buf_init(aligned_alloc(PAGE_SIZE, PAGE_SIZE), PAGE_SIZE);
        start_read(&readers[i]);
    }
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_end, (uint64_t)seconds_ns / 1000000, 0);
    uv_run(&loop, UV_RUN_DEFAULT);

    json_begin(&json, stdout);
    json_unsigned(&json, "reads", reads);
    json_double(&json, "seconds", (double)(uv_hrtime() - begin_ns) / 1e9, 3);
    json_end(&json);
    for (int64_t i = 0; i < depth; i++)
        free(readers[i].page.base);
    free(readers);
    return 0;
}
