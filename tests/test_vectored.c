/* SPDX-License-Identifier: Apache-2.0 */
/* test_vectored.c - bytes from several places are written as if they lay in one. */
#include "io/vectored.h"

#include "io/path.h"
#include "tests/fixture.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTS = 40,
    SIZE = 60000,
};

static char path[] = "/tmp/rill-vectored-XXXXXX";
static struct rill_file file;
static struct rill_op op;
static struct rill_write_vectored writing;
static struct iovec parts[PARTS];
static char bytes[SIZE], buffer[SIZE + 1];

static bool open_world(int which, const struct sim_options *options)
{
    if (!fixture_open(which, options, NULL))
        return false;
    pattern_fill(bytes, 0, SIZE);
    memset(buffer, 0, sizeof buffer);
    if (!fixture.sim) {
        rill_file_adopt(&file, mkstemp(path)); /* which finds a name that is free */
        expect(file.fd >= 0);
        return true;
    }
    sim_file_put(fixture.sim, path, "", 0);
    expect_eq(await(rill_file_open(&file, path, O_RDWR, 0)), 0);
    return true;
}

static void close_world(void)
{
    expect_eq(await(rill_file_close(&file)), 0);
    expect_eq(await(rill_path_unlink(&op, path)), 0);
    fixture_close();
}

/* Divides so many bytes of memory into parts, some of which are empty. Returns how many. */
static size_t divide(char *memory, size_t size)
{
    size_t at = 0, count = 0;

    while (count < PARTS - 1) {
        size_t part = count % 5 == 3 ? 0 : 1 + (count * 977) % 2000;

        if (part > size - at)
            break;
        parts[count].iov_base = memory + at;
        parts[count++].iov_len = part;
        at += part;
    }
    parts[count].iov_base = memory + at;
    parts[count++].iov_len = size - at;
    return count;
}

static void expect_file(uint64_t at, size_t size)
{
    size_t loaded = 0;
    int64_t more;

    while ((more = await(rill_file_read_at(&file, &op, buffer + loaded, sizeof buffer - loaded,
                                           loaded))) > 0)
        loaded += (size_t)more;
    expect_eq(more, 0);
    expect_eq(loaded, at + size);
    expect(pattern_is(buffer + at, 0, size));
}

START_TEST(what_was_written_from_parts_is_read_into_parts)
{
    size_t count;

    if (!open_world(_i, NULL))
        return;
    count = divide(bytes, SIZE);
    expect_eq(await(rill_file_write_vectored_at(&file, &op, parts, count, 0)), SIZE);
    expect_file(0, SIZE);
    memset(buffer, 0, sizeof buffer);
    count = divide(buffer, SIZE);
    expect_eq(await(rill_file_read_vectored_at(&file, &op, parts, count, 0)), SIZE);
    expect(pattern_is(buffer, 0, SIZE));
    expect_eq(await(rill_file_read_vectored_at(&file, &op, parts, count, SIZE)), 0);
    close_world();
}
END_TEST

START_TEST(all_is_written_at_an_offset_and_the_position_stays)
{
    if (!open_world(_i, NULL))
        return;
    expect_eq(
        await(rill_file_write_all_vectored_at(&file, &writing, parts, divide(bytes, 9000), 1000)),
        9000);
    expect_eq(writing.op.transferred, 9000);
    expect_file(1000, 9000);
    expect_eq(await(rill_file_read(&file, &op, buffer, 1)), 1);
    expect_eq(buffer[0], 0);
    close_world();
}
END_TEST

START_TEST(all_is_written_from_where_the_file_stands)
{
    if (!open_world(_i, NULL))
        return;
    expect_eq(await(rill_file_write_all_vectored(&file, &writing, parts, divide(bytes, 9000))),
              9000);
    expect_eq(
        await(rill_file_write_all_vectored(&file, &writing, parts, divide(bytes + 9000, 1000))),
        1000);
    expect_file(0, 10000);
    close_world();
}
END_TEST

START_TEST(nothing_is_written_from_no_parts_and_from_empty_ones)
{
    static struct iovec empty[3];

    if (!open_world(_i, NULL))
        return;
    expect_eq(await(rill_file_write_all_vectored(&file, &writing, empty, 0)), 0);
    memset(empty, 0, sizeof empty);
    expect_eq(await(rill_file_write_all_vectored(&file, &writing, empty, 3)), 0);
    expect_eq(await(rill_file_read_vectored_at(&file, &op, empty, 3, 0)), 0);
    expect_file(0, 0);
    close_world();
}
END_TEST

/* Of what is to be written the kernel takes nothing. */
static void take_nothing(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_WRITEV)
        sqe->len = 0;
}

START_TEST(a_write_of_which_nothing_is_taken_is_EIO_and_one_that_is_taken_whole_is_not_repeated)
{
    uint64_t submissions;

    if (!open_world(_i, NULL))
        return;
    submissions = fixture.runtime->reactor.stats.submissions;
    expect_eq(await(rill_file_write_all_vectored(&file, &writing, parts, divide(bytes, 900))), 900);
    expect_eq(fixture.runtime->reactor.stats.submissions - submissions, 1);
    fixture_on_entry(take_nothing);
    expect_eq(await(rill_file_write_all_vectored(&file, &writing, parts, divide(bytes, 900))),
              -EIO);
    expect_eq(writing.op.transferred, 0);
    fixture_on_entry(NULL);
    expect_file(0, 900);
    close_world();
}
END_TEST

START_TEST(too_many_parts_are_EINVAL)
{
    static struct iovec many[IOV_MAX + 1];

    if (!open_world(_i, NULL))
        return;
    for (size_t i = 0; i < IOV_MAX + 1; i++)
        many[i] = (struct iovec){bytes + i, 1};
    expect_eq(await(rill_file_write_all_vectored(&file, &writing, many, IOV_MAX + 1)), -EINVAL);
    expect_eq(await(rill_file_write_all_vectored(&file, &writing, many, IOV_MAX)), IOV_MAX);
    expect_file(0, IOV_MAX);
    close_world();
}
END_TEST

START_TEST(all_is_written_though_each_write_is_short)
{
    uint64_t first, count;

    fixture_seeds(200, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = {.seed = seed, .short_per_mille = 900};
        bool moves = seed % 2;

        fixture.seed = seed;
        fixture.seeded = true;
        open_world(SIMULATED, &options);
        expect_eq(
            await(moves ? rill_file_write_all_vectored(&file, &writing, parts, divide(bytes, SIZE))
                        : rill_file_write_all_vectored_at(&file, &writing, parts,
                                                          divide(bytes, SIZE - 77), 77)),
            moves ? SIZE : SIZE - 77);
        expect_file(moves ? 0 : 77, moves ? SIZE : SIZE - 77);
        close_world();
    }
}
END_TEST

START_TEST(a_write_that_fails_on_its_way_tells_how_far_it_came)
{
    uint64_t first, count, written = 0;

    fixture_seeds(50, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = {
            .seed = seed,
            .short_per_mille = 1000,
            .disk_size_max = 1000,
        };

        fixture.seed = seed;
        fixture.seeded = true;
        open_world(SIMULATED, &options);
        expect_eq(await(rill_file_write_all_vectored(&file, &writing, parts, divide(bytes, 1500))),
                  -ENOSPC);
        expect_file(0, writing.op.transferred);
        written += writing.op.transferred;
        close_world();
    }
    ck_assert_uint_gt(written, 0);
}
END_TEST

/* ---- the parts themselves ---- */

START_TEST(parts_are_skipped_whole_and_in_part)
{
    struct iovec three[] = {{bytes, 10}, {bytes + 10, 0}, {bytes + 10, 5}}, *left = three;
    size_t count = 3;

    (void)_i;
    rill_parts_skip(&left, &count, 0);
    ck_assert_uint_eq(count, 3);
    rill_parts_skip(&left, &count, 4);
    ck_assert_uint_eq(count, 3);
    ck_assert_ptr_eq(left->iov_base, bytes + 4);
    ck_assert_uint_eq(left->iov_len, 6);
    rill_parts_skip(&left, &count, 6);
    ck_assert_uint_eq(count, 1);
    ck_assert_ptr_eq(left->iov_base, bytes + 10);
    rill_parts_skip(&left, &count, 5);
    ck_assert_uint_eq(count, 0);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {what_was_written_from_parts_is_read_into_parts, IN_BOTH},
        {all_is_written_at_an_offset_and_the_position_stays, IN_BOTH},
        {all_is_written_from_where_the_file_stands, IN_BOTH},
        {nothing_is_written_from_no_parts_and_from_empty_ones, IN_BOTH},
        {a_write_of_which_nothing_is_taken_is_EIO_and_one_that_is_taken_whole_is_not_repeated,
         IN_BOTH},
        {too_many_parts_are_EINVAL, IN_BOTH},
        {all_is_written_though_each_write_is_short, IN_SIMULATED},
        {a_write_that_fails_on_its_way_tells_how_far_it_came, IN_SIMULATED},
        {parts_are_skipped_whole_and_in_part, IN_SIMULATED},
    };

    return fixture_main("vectored", cases, sizeof cases / sizeof *cases);
}
