/* SPDX-License-Identifier: Apache-2.0 */
/* test_file.c - files are opened, read, written and closed alike on both kernels. */
#include "io/file.h"
#include "io/path.h"
#include "io/vectored.h"

#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

static char directory[] = "/tmp/rill-file-XXXXXX";
static char path[100];
static struct rill_file file;
static struct rill_op op;
static char bytes[100000], buffer[100000];

/* A world with a directory of its own, and the name of a file in it that is not
 * there yet. */
static bool open_world(int which, const struct sim_options *options)
{
    if (!fixture_open(which, options, NULL))
        return false;
    pattern_fill(bytes, 0, sizeof bytes);
    if (fixture.sim) {
        snprintf(path, sizeof path, "%s/other", directory);
        sim_file_put(fixture.sim, path, "", 0); /* makes the directory */
    } else {
        ck_assert_ptr_nonnull(mkdtemp(directory));
    }
    snprintf(path, sizeof path, "%s/file", directory);
    return true;
}

static void close_world(void)
{
    ck_assert_int_eq(await(rill_file_close(&file)), 0);
    if (!fixture.sim) {
        unlink(path);
        ck_assert_int_eq(rmdir(directory), 0);
    }
    fixture_close();
}

static void open_file(int flags)
{
    ck_assert_int_eq(await(rill_file_open(&file, path, flags, 0600)), 0);
    ck_assert(file.is_open);
}

static void close_file(void)
{
    ck_assert_int_eq(await(rill_file_close(&file)), 0);
    ck_assert(!file.is_open);
}

static void make_file(size_t size)
{
    open_file(O_CREAT | O_WRONLY | O_EXCL);
    expect_eq(await(rill_file_write_all(&file, &op, bytes, size)), size);
    close_file();
}

START_TEST(what_was_written_is_read)
{
    if (!open_world(_i, NULL))
        return;
    open_file(O_CREAT | O_RDWR | O_EXCL);
    ck_assert_int_eq(await(rill_file_write_all_at(&file, &op, bytes, 5000, 0)), 5000);
    ck_assert_uint_eq(op.transferred, 5000);
    ck_assert_int_eq(await(rill_file_sync(&file, &op, false)), 0);
    ck_assert_int_eq(await(rill_file_sync(&file, &op, true)), 0);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 100, 1000)), 100);
    ck_assert(pattern_is(buffer, 1000, 100));
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 100, 4950)), 50);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 100, 5000)), 0);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 100, 999999)), 0);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 0, 0)), 0);
    close_world();
}
END_TEST

static uint32_t sync_flags;

static void note_sync(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_FSYNC)
        sync_flags = sqe->fsync_flags;
}

START_TEST(a_sync_leaves_out_what_is_no_data_only_where_it_is_told_to)
{
    if (!open_world(_i, NULL))
        return;
    open_file(O_CREAT | O_RDWR | O_EXCL);
    fixture_on_entry(note_sync);
    ck_assert_int_eq(await(rill_file_sync(&file, &op, true)), 0);
    ck_assert_uint_eq(sync_flags, IORING_FSYNC_DATASYNC);
    ck_assert_int_eq(await(rill_file_sync(&file, &op, false)), 0);
    ck_assert_uint_eq(sync_flags, 0);
    close_world();
}
END_TEST

START_TEST(writing_beyond_the_end_leaves_zeros_between)
{
    if (!open_world(_i, NULL))
        return;
    open_file(O_CREAT | O_RDWR);
    ck_assert_int_eq(await(rill_file_write_at(&file, &op, bytes, 10, 100)), 10);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 200, 0)), 110);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(buffer[i], 0);
    ck_assert(pattern_is(buffer + 100, 0, 10));
    close_world();
}
END_TEST

START_TEST(the_streaming_functions_move_the_position_and_the_others_do_not)
{
    if (!open_world(_i, NULL))
        return;
    make_file(1000);
    open_file(O_RDWR);
    ck_assert_int_eq(await(rill_file_read(&file, &op, buffer, 10)), 10);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer + 500, 10, 700)), 10);
    ck_assert_int_eq(await(rill_file_read(&file, &op, buffer + 10, 10)), 10);
    ck_assert(pattern_is(buffer, 0, 20));
    ck_assert_int_eq(await(rill_file_write(&file, &op, "xyz", 3)), 3);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, "abc", 3)), 3);
    ck_assert_int_eq(await(rill_file_read(&file, &op, buffer, 10)), 10);
    ck_assert(pattern_is(buffer, 26, 10));
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 6, 20)), 6);
    ck_assert(memcmp(buffer, "xyzabc", 6) == 0);
    close_world();
}
END_TEST

/* Of the ring, the largest offset means "where the file stands". */
START_TEST(an_offset_out_of_range_is_EINVAL_and_writes_nothing)
{
    static const uint64_t offsets[] = {UINT64_MAX, UINT64_MAX - 1, (uint64_t)INT64_MAX + 1};
    static struct rill_write_vectored vectored;

    if (!open_world(_i, NULL))
        return;
    open_file(O_RDWR | O_CREAT);
    expect_eq(await(rill_file_write_all(&file, &op, "HEADER", 6)), 6);
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        struct iovec part = {(char[]){"xx"}, 2};

        expect_eq(await(rill_file_write_at(&file, &op, "xx", 2, offsets[i])), -EINVAL);
        expect_eq(await(rill_file_write_all_at(&file, &op, "xx", 2, offsets[i])), -EINVAL);
        expect_eq(await(rill_file_write_vectored_at(&file, &op, &part, 1, offsets[i])), -EINVAL);
        expect_eq(await(rill_file_write_all_vectored_at(&file, &vectored, &part, 1, offsets[i])),
                  -EINVAL);
        expect_eq(await(rill_file_read_at(&file, &op, buffer, 2, offsets[i])), -EINVAL);
        expect_eq(await(rill_file_read_vectored_at(&file, &op, &part, 1, offsets[i])), -EINVAL);
    }
    expect_eq(await(rill_file_read_at(&file, &op, buffer, 100, 0)), 6);
    close_world();
}
END_TEST

START_TEST(a_file_opened_to_append_is_written_at_its_end)
{
    struct rill_file second = {.fd = -1};

    if (!open_world(_i, NULL))
        return;
    make_file(100);
    open_file(O_WRONLY | O_APPEND);
    ck_assert_int_eq(await(rill_file_open(&second, path, O_WRONLY | O_APPEND, 0)), 0);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, bytes + 100, 50)), 50);
    ck_assert_int_eq(await(rill_file_write_all(&second, &op, bytes + 150, 50)), 50);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, bytes + 200, 50)), 50);
    ck_assert_int_eq(await(rill_file_close(&second)), 0);
    close_file();
    open_file(O_RDONLY);
    ck_assert_int_eq(await(rill_file_read(&file, &op, buffer, 1000)), 250);
    ck_assert(pattern_is(buffer, 0, 250));
    close_world();
}
END_TEST

START_TEST(many_operations_at_offsets_run_at_the_same_time)
{
    enum { PARTS = 50, PART = 2000 };
    static struct rill_op ops[PARTS];
    static struct background tasks[PARTS];

    if (!open_world(_i, NULL))
        return;
    open_file(O_CREAT | O_RDWR);
    for (int i = PARTS - 1; i >= 0; i--)
        background_start(&tasks[i], rill_file_write_all_at(&file, &ops[i], bytes + i * PART, PART,
                                                           (uint64_t)i * PART));
    for (int i = 0; i < PARTS; i++)
        ck_assert_int_eq(background_end(&tasks[i]), PART);
    for (int i = 0; i < PARTS; i++)
        background_start(&tasks[i], rill_file_read_at(&file, &ops[i], buffer + i * PART, PART,
                                                      (uint64_t)i * PART));
    for (int i = 0; i < PARTS; i++)
        ck_assert_int_eq(background_end(&tasks[i]), PART);
    ck_assert(pattern_is(buffer, 0, PARTS * PART));
    close_world();
}
END_TEST

START_TEST(write_all_goes_on_after_short_writes)
{
    for (uint64_t seed = 1; seed < 50; seed++) {
        const struct sim_options options = {.seed = seed, .short_per_mille = 900};
        const void *there;

        open_world(SIMULATED, &options);
        make_file(30000);
        ck_assert_int_eq(sim_file_get(fixture.sim, path, &there), 30000);
        ck_assert(pattern_is(there, 0, 30000));
        open_file(O_WRONLY);
        expect_eq(await(rill_file_write_all_at(&file, &op, bytes + 7, 20000, 15000)), 20000);
        ck_assert_int_eq(sim_file_get(fixture.sim, path, &there), 35000);
        ck_assert(pattern_is(there, 0, 15000));
        ck_assert(pattern_is((const char *)there + 15000, 7, 20000));
        close_world();
    }
}
END_TEST

static unsigned writes_seen;

/* From the second one on the file takes nothing, as a FUSE file system may have it. */
static void take_nothing_more(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_WRITE && ++writes_seen > 1)
        sqe->len = 0;
}

START_TEST(write_all_does_not_take_a_file_that_takes_nothing_for_written)
{
    const struct sim_options options = {.seed = 1, .short_per_mille = 1000};

    open_world(SIMULATED, &options);
    open_file(O_CREAT | O_WRONLY);
    writes_seen = 0;
    fixture_on_entry(take_nothing_more);
    expect_eq(await(rill_file_write_all(&file, &op, bytes, 1500)), -EIO);
    expect(op.transferred > 0 && op.transferred < 1500);
    expect_eq(await(rill_file_write_all(&file, &op, bytes, 0)), 0);
    expect_eq(await(rill_file_write(&file, &op, bytes, 10)), 0); /* it tells what it was told */
    close_world();
}
END_TEST

START_TEST(write_all_tells_how_much_was_written_before_the_disk_was_full)
{
    size_t written = 0;

    for (uint64_t seed = 1; seed < 20; seed++) {
        const struct sim_options options = {
            .disk_size_max = 1000,
            .short_per_mille = 1000,
            .seed = seed,
        };
        const void *there;

        open_world(SIMULATED, &options);
        open_file(O_CREAT | O_WRONLY);
        expect_eq(await(rill_file_write_all(&file, &op, bytes, 1500)), -ENOSPC);
        expect(op.transferred <= 1000);
        expect_eq(sim_file_get(fixture.sim, path, &there), op.transferred);
        expect(pattern_is(there, 0, op.transferred));
        written += op.transferred;
        close_world();
    }
    ck_assert_uint_gt(written, 0);
}
END_TEST

START_TEST(room_that_was_allocated_reads_as_zeros)
{
    struct statx status = {0};

    if (!open_world(_i, NULL))
        return;
    open_file(O_CREAT | O_RDWR);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, bytes, 10)), 10);
    ck_assert_int_eq(await(rill_file_allocate(&file, &op, 0, 5, 100)), 0);
    memset(buffer, 'x', 200);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 200, 0)), 105);
    ck_assert(pattern_is(buffer, 0, 10));
    for (int i = 10; i < 105; i++)
        ck_assert_int_eq(buffer[i], 0);
    ck_assert_int_eq(await(rill_file_allocate(&file, &op, FALLOC_FL_KEEP_SIZE, 0, 1000)), 0);
    ck_assert_int_eq(await(rill_file_stat(&file, &op, &status)), 0);
    ck_assert_uint_eq(status.stx_size, 105);
    close_world();
}
END_TEST

START_TEST(room_that_there_is_not_is_ENOSPC_before_it_is_written_to)
{
    const struct sim_options options = {.disk_size_max = 1000};

    open_world(SIMULATED, &options);
    open_file(O_CREAT | O_WRONLY);
    ck_assert_int_eq(await(rill_file_allocate(&file, &op, 0, 0, 1001)), -ENOSPC);
    ck_assert_int_eq(await(rill_file_allocate(&file, &op, 0, 0, 1000)), 0);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, bytes, 1000)), 1000);
    close_world();
}
END_TEST

START_TEST(a_file_that_is_removed_gives_back_its_room)
{
    const struct sim_options options = {.disk_size_max = 1000};

    open_world(SIMULATED, &options);
    sim_file_put(fixture.sim, path, bytes, 1000);
    open_file(O_RDONLY);
    ck_assert_int_eq(await(rill_path_unlink(&op, path)), 0);
    close_file(); /* the last to have it */
    open_file(O_CREAT | O_WRONLY);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, bytes, 1000)), 1000);
    close_world();
}
END_TEST

/* ---- read_to_end ---- */

static struct rill_read_to_end all;

static void expect_all(size_t size, size_t limit)
{
    struct rill_file again = {.fd = -1};

    expect_eq(await(rill_file_open(&again, path, O_RDONLY, 0)), 0);
    expect_eq(await(rill_file_read_to_end(&again, &all, limit)), size);
    expect(all.data != NULL);
    expect(loaded_is(all.data, 0, size));
    expect_eq(all.data[size], 0);
    free(all.data);
    expect_eq(await(rill_file_close(&again)), 0);
}

START_TEST(read_to_end_reads_files_of_all_sizes_up_to_its_limit)
{
    static const size_t sizes[] = {0, 1, 100, 16382, 16383, 16384, 16385, 32768, 99999};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sim_options options = {.short_per_mille = i % 2 ? 500 : 0, .seed = i};
        char template[] = "/tmp/rill-file-XXXXXX";

        memcpy(directory, template, sizeof directory);
        if (!open_world(_i, &options))
            return;
        make_file(sizes[i]);
        expect_all(sizes[i], sizes[i]);
        expect_all(sizes[i], sizes[i] + 1);
        expect_all(sizes[i], SIZE_MAX);
        if (sizes[i] > 0) {
            open_file(O_RDONLY);
            expect_eq(await(rill_file_read_to_end(&file, &all, sizes[i] - 1)), -EFBIG);
            expect(!all.data);
            close_file();
        }
        close_world();
    }
}
END_TEST

START_TEST(read_to_end_begins_where_the_file_stands)
{
    if (!open_world(_i, NULL))
        return;
    make_file(1000);
    open_file(O_RDONLY);
    ck_assert_int_eq(await(rill_file_read(&file, &op, buffer, 300)), 300);
    ck_assert_int_eq(await(rill_file_read_to_end(&file, &all, 700)), 700);
    ck_assert(loaded_is(all.data, 300, 700));
    free(all.data);
    ck_assert_int_eq(await(rill_file_read_to_end(&file, &all, 700)), 0);
    ck_assert_str_eq(all.data, "");
    free(all.data);
    close_world();
}
END_TEST

START_TEST(read_to_end_that_fails_leaves_no_memory_behind)
{
    if (!open_world(_i, NULL))
        return;
    make_file(1000);
    open_file(O_WRONLY);
    ck_assert_int_eq(await(rill_file_read_to_end(&file, &all, 2000)), -EBADF);
    ck_assert_ptr_null(all.data);
    close_world();
}
END_TEST

/* ---- stat, errors ---- */

START_TEST(stat_tells_of_an_open_file_and_of_a_path)
{
    struct statx status = {0};

    if (!open_world(_i, NULL))
        return;
    make_file(1234);
    ck_assert_int_eq(await(rill_path_stat(&op, path, &status)), 0);
    ck_assert_uint_eq(status.stx_size, 1234);
    ck_assert(S_ISREG(status.stx_mode));
    ck_assert_int_eq(await(rill_path_stat(&op, directory, &status)), 0);
    ck_assert(S_ISDIR(status.stx_mode));
    open_file(O_RDONLY);
    memset(&status, 0, sizeof status);
    ck_assert_int_eq(await(rill_file_stat(&file, &op, &status)), 0);
    ck_assert_uint_eq(status.stx_size, 1234);
    close_world();
}
END_TEST

START_TEST(what_can_not_be_opened_says_why_and_may_be_closed_all_the_same)
{
    struct statx status;
    char deeper[120];

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(await(rill_file_open(&file, path, O_RDONLY, 0)), -ENOENT);
    ck_assert(!file.is_open);
    close_file();
    ck_assert_int_eq(await(rill_file_open(&file, directory, O_WRONLY, 0)), -EISDIR);
    ck_assert_int_eq(await(rill_path_stat(&op, path, &status)), -ENOENT);
    make_file(10);
    ck_assert_int_eq(await(rill_file_open(&file, path, O_CREAT | O_EXCL | O_WRONLY, 0600)),
                     -EEXIST);
    snprintf(deeper, sizeof deeper, "%s/more", path);
    ck_assert_int_eq(await(rill_file_open(&file, deeper, O_RDONLY, 0)), -ENOTDIR);
    ck_assert_int_eq(await(rill_file_open(&file, directory, O_RDONLY, 0)), 0);
    ck_assert_int_eq(await(rill_file_read(&file, &op, buffer, 10)), -EISDIR);
    close_world();
}
END_TEST

START_TEST(a_file_without_descriptors_left_is_EMFILE)
{
    const struct sim_options options = {.fds_max = 1};
    struct rill_file second = {.fd = -1};

    open_world(SIMULATED, &options);
    open_file(O_CREAT | O_RDWR);
    ck_assert_int_eq(await(rill_file_open(&second, path, O_RDONLY, 0)), -EMFILE);
    ck_assert_int_eq(await(rill_file_close(&second)), 0);
    close_world();
}
END_TEST

/* Whatever can be done with a file, done with one that is not open. */
static void expect_nothing_of(struct rill_file *closed)
{
    struct iovec part = {bytes, 5};
    struct statx status;

    ck_assert_int_eq(await(rill_file_read_at(closed, &op, buffer, 5, 0)), -EBADF);
    ck_assert_int_eq(await(rill_file_read_vectored_at(closed, &op, &part, 1, 0)), -EBADF);
    ck_assert_int_eq(await(rill_file_read_to_end(closed, &all, 100)), -EBADF);
    ck_assert_int_eq(await(rill_file_write_at(closed, &op, bytes, 5, 0)), -EBADF);
    ck_assert_int_eq(await(rill_file_write_all_at(closed, &op, bytes, 5, 0)), -EBADF);
    ck_assert_int_eq(await(rill_file_write_vectored_at(closed, &op, &part, 1, 0)), -EBADF);
    ck_assert_int_eq(await(rill_file_sync(closed, &op, false)), -EBADF);
    ck_assert_int_eq(await(rill_file_allocate(closed, &op, 0, 0, 5)), -EBADF);
    ck_assert_int_eq(await(rill_file_stat(closed, &op, &status)), -EBADF);
}

START_TEST(a_file_that_is_not_open_reaches_no_other_that_has_its_number)
{
    struct rill_file closed = {.fd = 0};

    if (!open_world(_i, NULL))
        return;
    make_file(3);
    open_file(O_RDWR);
    expect_nothing_of(&closed);
    closed.fd = file.fd; /* the kernel gives a number that is free to the next who opens */
    expect_nothing_of(&closed);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, buffer, 100, 0)), 3);
    close_world();
}
END_TEST

static void open_twice(void)
{
    open_world(SIMULATED, NULL);
    make_file(3);
    open_file(O_RDONLY);
    open_file(O_RDONLY);
}

static void adopt_into_what_is_open(void)
{
    open_world(SIMULATED, NULL);
    make_file(3);
    open_file(O_RDONLY);
    rill_file_adopt(&file, STDIN_FILENO);
}

START_TEST(a_file_that_is_open_is_not_opened_again)
{
    fixture_expect_panic(open_twice, "a file was opened that is open already");
    fixture_expect_panic(adopt_into_what_is_open, "a file was made of one that is open");
}
END_TEST

START_TEST(a_file_that_was_never_opened_closes)
{
    if (!open_world(_i, NULL))
        return;
    close_file();
    close_file();
    close_world();
}
END_TEST

START_TEST(preparing_a_close_closes_nothing)
{
    struct rill_timeout timeout;

    if (!open_world(_i, NULL))
        return;
    open_file(O_CREAT | O_WRONLY);
    ck_assert_int_eq(await(rill_timeout(&timeout, -1, rill_file_close(&file))), -EINVAL);
    ck_assert(file.is_open);
    ck_assert_int_eq(await(rill_file_write(&file, &op, bytes, 10)), 10);
    close_file();
    close_world();
}
END_TEST

/* ---- descriptors of others ---- */

START_TEST(the_ends_of_a_pipe_are_adopted_and_released)
{
    struct rill_file in = {0}, out = {0};
    struct background writing;
    struct rill_op write_op = {0};
    int ends[2];

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(pipe(ends), 0);
    rill_file_adopt(&in, ends[0]);
    rill_file_adopt(&out, ends[1]);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 2);
    background_start(&writing, rill_file_write_all(&out, &write_op, bytes, sizeof bytes));
    for (size_t at = 0; at < sizeof bytes;) {
        int64_t size = await(rill_file_read(&in, &op, buffer, 5000));

        ck_assert_int_gt(size, 0);
        ck_assert(pattern_is(buffer, at, (size_t)size));
        at += (size_t)size;
    }
    ck_assert_int_eq(background_end(&writing), sizeof bytes);
    ck_assert_int_eq(rill_file_release(&in), ends[0]);
    ck_assert(!in.is_open);
    ck_assert_int_eq(await(rill_file_close(&in)), 0); /* which it does not own any more */
    ck_assert_int_eq(await(rill_file_close(&out)), 0);
    ck_assert_int_eq(read(ends[0], buffer, 1), 0);
    close(ends[0]);
    close_world();
}
END_TEST

START_TEST(what_is_not_open_has_nothing_to_be_released)
{
    struct rill_file never = {0};

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(rill_file_release(&never), -EBADF);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 0);
    close_world();
}
END_TEST

START_TEST(reading_a_pipe_to_its_end)
{
    struct rill_file in = {0};
    int ends[2];

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(pipe(ends), 0);
    rill_file_adopt(&in, ends[0]);
    ck_assert_int_eq(write(ends[1], bytes, 3000), 3000);
    close(ends[1]);
    ck_assert_int_eq(await(rill_file_read_to_end(&in, &all, 10000)), 3000);
    ck_assert(loaded_is(all.data, 0, 3000));
    free(all.data);
    ck_assert_int_eq(await(rill_file_close(&in)), 0);
    close_world();
}
END_TEST

START_TEST(a_read_of_an_empty_pipe_can_be_cancelled)
{
    struct background reading;
    struct rill_file in = {0};
    int ends[2];

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(pipe(ends), 0);
    rill_file_adopt(&in, ends[0]);
    background_start(&reading, rill_file_read(&in, &op, buffer, 10));
    settle();
    rill_task_cancel(&reading.task);
    ck_assert_int_eq(background_end(&reading), -ECANCELED);
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    ck_assert_int_eq(await(rill_file_read(&in, &op, buffer, 10)), 3);
    ck_assert_int_eq(await(rill_file_close(&in)), 0);
    close(ends[1]);
    close_world();
}
END_TEST

/* What tells that a name is new in a directory. */
START_TEST(an_inotify_descriptor_is_read_as_a_file)
{
    struct background reading;
    struct rill_file watch = {0};
    union {
        struct inotify_event event;
        char bytes[512];
    } news = {.bytes = {0}};
    int fd;

    if (!open_world(_i, NULL))
        return;
    fd = inotify_init1(IN_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(inotify_add_watch(fd, directory, IN_CLOSE_WRITE), 0);
    rill_file_adopt(&watch, fd);
    background_start(&reading, rill_file_read(&watch, &op, &news, sizeof news));
    settle();
    rill_task_cancel(&reading.task);
    ck_assert_int_eq(background_end(&reading), -ECANCELED);
    background_start(&reading, rill_file_read(&watch, &op, &news, sizeof news));
    settle();
    ck_assert(!rill_task_is_over(&reading.task));
    open_file(O_CREAT | O_WRONLY);
    close_file();
    ck_assert_int_ge(background_end(&reading), (int64_t)sizeof news.event);
    ck_assert_uint_eq(news.event.mask, IN_CLOSE_WRITE);
    ck_assert_str_eq(news.event.name, strrchr(path, '/') + 1);
    ck_assert_int_eq(await(rill_file_close(&watch)), 0);
    close_world();
}
END_TEST

/* With O_CREAT the kernel opens on a thread of its own, which waits there for a reader; as it
 * may be asked to end before it has begun, not each round is the one that counts. */
START_TEST(an_opening_that_waits_can_be_cancelled)
{
    enum { ROUNDS = 100 };

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct background opening;

        background_start(&opening, rill_file_open(&file, path, O_WRONLY | O_CREAT, 0600));
        settle();
        rill_task_cancel(&opening.task);
        expect_eq(background_end(&opening), -ECANCELED);
        expect(!file.is_open);
    }
    close_world();
}
END_TEST

START_TEST(a_fifo_that_is_opened_for_both_directions_waits_for_nobody)
{
    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    open_file(O_RDWR);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, "abc", 3)), 3);
    ck_assert_int_eq(await(rill_file_read(&file, &op, buffer, 10)), 3);
    close_world();
}
END_TEST

/* Writes twice at offsets to one end, and reads from both with offsets. */
static void use_offsets(struct rill_file *out, struct rill_file *in)
{
    struct iovec parts[2] = {{buffer, 2}, {buffer + 2, 3}};

    ck_assert_int_eq(await(rill_file_write_at(out, &op, "abc", 3, 7)), 3);
    ck_assert_int_eq(await(rill_file_write_all_at(out, &op, "defgh", 5, 3)), 5);
    ck_assert_int_eq(await(rill_file_read_at(in, &op, buffer, 2, 3)), 2);
    ck_assert_mem_eq(buffer, "ab", 2);
    ck_assert_int_eq(await(rill_file_read_vectored_at(in, &op, parts, 2, 1000)), 5);
    ck_assert_mem_eq(buffer, "cdefg", 5);
    ck_assert_int_eq(await(rill_file_read_at(in, &op, buffer, 10, 0)), 1);
}

START_TEST(a_pipe_is_read_and_written_as_it_comes_whatever_the_offset)
{
    struct rill_file in = {0}, out = {0};
    int ends[2];

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(pipe(ends), 0);
    rill_file_adopt(&in, ends[0]);
    rill_file_adopt(&out, ends[1]);
    use_offsets(&out, &in);
    ck_assert_int_eq(await(rill_file_close(&in)), 0);
    ck_assert_int_eq(await(rill_file_close(&out)), 0);

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    open_file(O_RDWR);
    use_offsets(&file, &file);
    close_file();
    close_world();
}
END_TEST

START_TEST(a_socket_has_no_offset_but_0)
{
    struct rill_file socket = {0};
    int ends[2];

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    rill_file_adopt(&socket, ends[0]);
    ck_assert_int_eq(write(ends[1], "abc", 3), 3);
    ck_assert_int_eq(await(rill_file_read_at(&socket, &op, buffer, 10, 3)), -ESPIPE);
    ck_assert_int_eq(await(rill_file_write_at(&socket, &op, "abc", 3, 3)), -ESPIPE);
    ck_assert_int_eq(await(rill_file_read_at(&socket, &op, buffer, 10, 0)), 3);
    ck_assert_int_eq(await(rill_file_write_at(&socket, &op, "abc", 3, 0)), 3);
    ck_assert_int_eq(await(rill_file_close(&socket)), 0);
    close(ends[1]);
    close_world();
}
END_TEST

START_TEST(a_pipe_that_nobody_reads_is_EPIPE_where_SIGPIPE_is_ignored)
{
    struct rill_file out = {0};
    int ends[2];

    if (!open_world(_i, NULL))
        return;
    ck_assert(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    ck_assert_int_eq(pipe(ends), 0);
    rill_file_adopt(&out, ends[1]);
    close(ends[0]);
    ck_assert_int_eq(await(rill_file_write(&out, &op, "abc", 3)), -EPIPE);
    ck_assert_int_eq(await(rill_file_close(&out)), 0);
    close_world();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_sync_leaves_out_what_is_no_data_only_where_it_is_told_to, IN_BOTH},
        {what_was_written_is_read, IN_BOTH},
        {writing_beyond_the_end_leaves_zeros_between, IN_BOTH},
        {the_streaming_functions_move_the_position_and_the_others_do_not, IN_BOTH},
        {an_offset_out_of_range_is_EINVAL_and_writes_nothing, IN_BOTH},
        {a_file_opened_to_append_is_written_at_its_end, IN_BOTH},
        {many_operations_at_offsets_run_at_the_same_time, IN_BOTH},
        {write_all_goes_on_after_short_writes, IN_SIMULATED},
        {write_all_does_not_take_a_file_that_takes_nothing_for_written, IN_SIMULATED},
        {write_all_tells_how_much_was_written_before_the_disk_was_full, IN_SIMULATED},
        {room_that_was_allocated_reads_as_zeros, IN_BOTH},
        {room_that_there_is_not_is_ENOSPC_before_it_is_written_to, IN_SIMULATED},
        {a_file_that_is_removed_gives_back_its_room, IN_SIMULATED},
        {read_to_end_reads_files_of_all_sizes_up_to_its_limit, IN_BOTH},
        {read_to_end_begins_where_the_file_stands, IN_BOTH},
        {read_to_end_that_fails_leaves_no_memory_behind, IN_BOTH},
        {stat_tells_of_an_open_file_and_of_a_path, IN_BOTH},
        {what_can_not_be_opened_says_why_and_may_be_closed_all_the_same, IN_BOTH},
        {a_file_without_descriptors_left_is_EMFILE, IN_SIMULATED},
        {a_file_that_is_not_open_reaches_no_other_that_has_its_number, IN_BOTH},
        {a_file_that_is_open_is_not_opened_again, IN_SIMULATED},
        {a_file_that_was_never_opened_closes, IN_BOTH},
        {preparing_a_close_closes_nothing, IN_BOTH},
        {the_ends_of_a_pipe_are_adopted_and_released, IN_REAL},
        {what_is_not_open_has_nothing_to_be_released, IN_BOTH},
        {reading_a_pipe_to_its_end, IN_REAL},
        {a_read_of_an_empty_pipe_can_be_cancelled, IN_REAL},
        {an_inotify_descriptor_is_read_as_a_file, IN_REAL},
        {an_opening_that_waits_can_be_cancelled, IN_REAL},
        {a_fifo_that_is_opened_for_both_directions_waits_for_nobody, IN_REAL},
        {a_pipe_is_read_and_written_as_it_comes_whatever_the_offset, IN_REAL},
        {a_socket_has_no_offset_but_0, IN_REAL},
        {a_pipe_that_nobody_reads_is_EPIPE_where_SIGPIPE_is_ignored, IN_REAL},
    };

    return fixture_main("file", cases, sizeof cases / sizeof *cases);
}
