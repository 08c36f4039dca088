/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel_file.c - cancelled file operations say how far they came, and lose no descriptor. */
#include "io/vectored.h"
#include "tests/cancel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- files ---- */

static void make_file(size_t size)
{
    pattern_fill(my.bytes, 0, TOTAL);
    if (fixture.sim) {
        snprintf(my.path, sizeof my.path, "/some/file");
        sim_file_put(fixture.sim, my.path, my.bytes, size);
    } else {
        FILE *file;

        snprintf(my.path, sizeof my.path, "%s/file", cancel_directory);
        file = fopen(my.path, "w");
        expect(file && fwrite(my.bytes, 1, size, file) == size);
        fclose(file);
    }
}

static void open_file(size_t size)
{
    make_file(size);
    expect_eq(await(rill_file_open(&my.file, my.path, O_RDWR, 0)), 0);
}

static void start_empty_file(void)
{
    open_file(0);
}

static void start_full_file(void)
{
    open_file(TOTAL);
}

static void start_closed_file(void)
{
    make_file(TOTAL);
}

static void close_file(void)
{
    expect_eq(await(rill_file_close(&my.file)), 0);
}

static void expect_contents(void)
{
    static struct rill_read_to_end all;

    expect_eq(await(rill_file_close(&my.file)), 0);
    expect_eq(await(rill_file_open(&my.file, my.path, O_RDONLY, 0)), 0);
    expect_eq(await(rill_file_read_to_end(&my.file, &all, 10 * TOTAL)), TOTAL);
    expect(loaded_is(all.data, 0, TOTAL));
    free(all.data);
    close_file();
}

static struct rill_future *file_open(void)
{
    return rill_file_open(&my.file, my.path, O_RDONLY, 0);
}

static void after_file_open(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    expect_eq(my.file.is_open, result == 0);
    close_file();
    expect(!my.file.is_open);
}

static struct rill_future *file_close(void)
{
    return rill_file_close(&my.file);
}

static void after_file_close(int64_t result)
{
    expect_eq(result, 0);
    expect(!my.file.is_open);
}

static struct rill_future *file_read(void)
{
    return rill_file_read(&my.file, &my.op, my.bytes, 1000);
}

static void after_file_read(int64_t result)
{
    static struct rill_read_to_end rest;

    expect((result > 0 && result <= 1000) || result == -ECANCELED);
    if (result < 0)
        result = 0;
    expect(pattern_is(my.bytes, 0, (size_t)result));
    expect_eq(await(rill_file_read_to_end(&my.file, &rest, TOTAL)), TOTAL - result);
    expect(loaded_is(rest.data, (uint64_t)result, (size_t)(TOTAL - result)));
    free(rest.data);
    close_file();
}

static struct rill_future *file_read_at(void)
{
    memset(my.bytes, 0, sizeof my.bytes);
    return rill_file_read_at(&my.file, &my.op, my.bytes, 1000, 500);
}

static void after_file_read_at(int64_t result)
{
    expect((result > 0 && result <= 1000) || result == -ECANCELED);
    expect(result < 0 || pattern_is(my.bytes, 500, (size_t)result));
    close_file();
}

static struct rill_future *file_write(void)
{
    return rill_file_write(&my.file, &my.op, my.bytes, TOTAL);
}

static void after_file_write(int64_t result)
{
    size_t sent = result > 0 ? (size_t)result : 0;

    expect((result > 0 && result <= TOTAL) || result == -ECANCELED);
    expect_eq(await(rill_file_write_all(&my.file, &my.rest_op, my.bytes + sent, TOTAL - sent)),
              TOTAL - sent);
    expect_contents();
}

static struct rill_future *file_write_all(void)
{
    return rill_file_write_all(&my.file, &my.op, my.bytes, TOTAL);
}

static void after_file_write_all(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    after_file_write(my.op.transferred > 0 ? (int64_t)my.op.transferred : -ECANCELED);
}

static struct rill_future *file_write_all_at(void)
{
    return rill_file_write_all_at(&my.file, &my.op, my.bytes + 100, TOTAL - 100, 100);
}

static void after_file_write_all_at(int64_t result)
{
    size_t at = 100 + my.op.transferred;

    expect(result == TOTAL - 100 || result == -ECANCELED);
    expect_eq(await(rill_file_write_all_at(&my.file, &my.rest_op, my.bytes, 100, 0)), 100);
    expect_eq(await(rill_file_write_all_at(&my.file, &my.rest_op, my.bytes + at, TOTAL - at, at)),
              TOTAL - at);
    expect_contents();
}

static struct rill_write_vectored vectored;
static struct iovec parts[3];

/* Of so many bytes of my.bytes from `at` on. */
static struct iovec *three_parts(size_t at, size_t size)
{
    parts[0] = (struct iovec){my.bytes + at, 10};
    parts[1] = (struct iovec){my.bytes + at + 10, 700};
    parts[2] = (struct iovec){my.bytes + at + 710, size - 710};
    return parts;
}

static struct rill_future *file_read_vectored_at(void)
{
    memset(my.bytes, 0, sizeof my.bytes);
    return rill_file_read_vectored_at(&my.file, &my.op, three_parts(0, 1000), 3, 500);
}

static struct rill_future *file_write_all_vectored(void)
{
    memset(&vectored, 0, sizeof vectored);
    return rill_file_write_all_vectored(&my.file, &vectored, three_parts(0, TOTAL), 3);
}

static void after_file_write_all_vectored(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    after_file_write(vectored.op.transferred > 0 ? (int64_t)vectored.op.transferred : -ECANCELED);
}

static struct rill_future *file_write_all_vectored_at(void)
{
    memset(&vectored, 0, sizeof vectored);
    return rill_file_write_all_vectored_at(&my.file, &vectored, three_parts(100, TOTAL - 100), 3,
                                           100);
}

static void after_file_write_all_vectored_at(int64_t result)
{
    my.op.transferred = vectored.op.transferred;
    after_file_write_all_at(result);
}

static struct rill_future *file_allocate(void)
{
    return rill_file_allocate(&my.file, &my.op, 0, 1000, TOTAL);
}

static void after_file_allocate(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    expect_eq(await(rill_file_stat(&my.file, &my.rest_op, &my.status)), 0);
    expect_eq(my.status.stx_size, result == 0 ? 1000 + TOTAL : TOTAL);
    close_file();
}

static struct rill_future *file_sync(void)
{
    return rill_file_sync(&my.file, &my.op, true);
}

static void after_file_sync(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    close_file();
}

static struct rill_future *file_stat(void)
{
    return rill_file_stat(&my.file, &my.op, &my.status);
}

static void after_stat(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    if (result == 0)
        expect_eq(my.status.stx_size, TOTAL);
    close_file();
}

static struct rill_future *file_read_to_end(void)
{
    return rill_file_read_to_end(&my.file, &my.read_to_end, TOTAL);
}

static void after_file_read_to_end(int64_t result)
{
    expect(result == TOTAL || result == -ECANCELED);
    expect(result < 0 ? !my.read_to_end.data : loaded_is(my.read_to_end.data, 0, TOTAL));
    free(my.read_to_end.data);
    close_file();
}

static const struct cancel_operation operations[] = {
    {"file_open", IN_BOTH, start_closed_file, file_open, after_file_open, false},
    {"file_close", IN_BOTH, start_full_file, file_close, after_file_close, false},
    {"file_read", IN_BOTH, start_full_file, file_read, after_file_read, false},
    {"file_read_at", IN_BOTH, start_full_file, file_read_at, after_file_read_at, false},
    {"file_write", IN_BOTH, start_empty_file, file_write, after_file_write, false},
    {"file_write_all", IN_BOTH, start_empty_file, file_write_all, after_file_write_all, false},
    {"file_write_all_at", IN_BOTH, start_empty_file, file_write_all_at, after_file_write_all_at,
     false},
    {"file_read_vectored_at", IN_BOTH, start_full_file, file_read_vectored_at, after_file_read_at,
     false},
    {"file_write_all_vectored", IN_BOTH, start_empty_file, file_write_all_vectored,
     after_file_write_all_vectored, false},
    {"file_write_all_vectored_at", IN_BOTH, start_empty_file, file_write_all_vectored_at,
     after_file_write_all_vectored_at, false},
    {"file_allocate", IN_BOTH, start_full_file, file_allocate, after_file_allocate, false},
    {"file_sync", IN_BOTH, start_full_file, file_sync, after_file_sync, false},
    {"file_stat", IN_BOTH, start_full_file, file_stat, after_stat, false},
    {"read_to_end", IN_BOTH, start_full_file, file_read_to_end, after_file_read_to_end, false},
};

int main(void)
{
    return cancel_main("cancel_file", operations, sizeof operations / sizeof *operations, NULL,
                       NULL);
}
