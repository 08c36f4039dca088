/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_file.c - simulated files behave like real ones, on both kernels. */
#include "tests/sim/world.h"

#include <check.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static struct world world;
static char path[2][96];

static int open_file(const char *at, int flags)
{
    io_uring_prep_openat(world_sqe(&world, 10), AT_FDCWD, at, flags, 0600);
    return world_result(&world, 10);
}

static int write_at(int fd, const char *text, uint64_t offset)
{
    io_uring_prep_write(world_sqe(&world, 11), fd, text, (unsigned)strlen(text), offset);
    return world_result(&world, 11);
}

static int read_at(int fd, char *to, unsigned size, uint64_t offset)
{
    io_uring_prep_read(world_sqe(&world, 12), fd, to, size, offset);
    return world_result(&world, 12);
}

static int unlink_at(const char *at, int flags)
{
    io_uring_prep_unlink(world_sqe(&world, 13), at, flags);
    return world_result(&world, 13);
}

static bool open_disk(int which)
{
    if (!world_open_or_skip(&world, which, NULL, 64))
        return false;
    for (int i = 0; i < 2; i++)
        snprintf(path[i], sizeof path[i], "%s/file%d", world.directory, i);
    return true;
}

START_TEST(files_are_written_and_read_at_offsets_and_at_the_position)
{
    char text[16] = "";
    struct iovec pieces[2] = {{.iov_base = text, .iov_len = 2},
                              {.iov_base = text + 8, .iov_len = 8}};
    int fd;

    if (!open_disk(_i))
        return;
    ck_assert_int_eq(open_file(path[0], O_RDWR), -ENOENT);
    fd = open_file(path[0], O_RDWR | O_CREAT | O_EXCL);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(open_file(path[0], O_RDWR | O_CREAT | O_EXCL), -EEXIST);
    ck_assert_int_eq(write_at(fd, "hello", (uint64_t)-1), 5);
    ck_assert_int_eq(write_at(fd, "world", (uint64_t)-1), 5);
    ck_assert_int_eq(write_at(fd, "W", 5), 1);
    ck_assert_int_eq(read_at(fd, text, sizeof text, (uint64_t)-1), 0);
    ck_assert_int_eq(read_at(fd, text, sizeof text, 3), 7);
    ck_assert_mem_eq(text, "loWorld", 7);
    ck_assert_int_eq(write_at(fd, "!", 12), 1);
    io_uring_prep_readv(world_sqe(&world, 1), fd, pieces, 2, 9);
    ck_assert_int_eq(world_result(&world, 1), 4);
    ck_assert_mem_eq(text, "d\0", 2);
    ck_assert_mem_eq(text + 8, "\0!", 2);
    io_uring_prep_fsync(world_sqe(&world, 2), fd, 0);
    ck_assert_int_eq(world_result(&world, 2), 0);
    world_close_fd(&world, fd);
    fd = open_file(path[0], O_WRONLY | O_APPEND);
    ck_assert_int_eq(read_at(fd, text, 1, 0), -EBADF);
    ck_assert_int_eq(write_at(fd, "?", 0), 1);
    world_close_fd(&world, fd);
    fd = open_file(path[0], O_RDONLY);
    ck_assert_int_eq(write_at(fd, "?", 0), -EBADF);
    ck_assert_int_eq(read_at(fd, text, sizeof text, 12), 2);
    ck_assert_mem_eq(text, "!?", 2);
    world_close_fd(&world, fd);
    world_close_fd(&world, open_file(path[0], O_WRONLY | O_TRUNC));
    fd = open_file(path[0], O_RDONLY);
    ck_assert_int_eq(read_at(fd, text, 1, 0), 0);
    ck_assert_int_eq(unlink_at(path[0], 0), 0);
    world_close_fd(&world, fd);
    world_close(&world);
}
END_TEST

START_TEST(names_are_made_moved_and_removed)
{
    char inner[128];
    struct statx stat = {0};
    int fd;

    if (!open_disk(_i))
        return;
    snprintf(inner, sizeof inner, "%s/inner", path[1]);
    fd = open_file(path[0], O_RDWR | O_CREAT);
    ck_assert_int_eq(write_at(fd, "abc", 0), 3);
    io_uring_prep_statx(world_sqe(&world, 1), fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &stat);
    ck_assert_int_eq(world_result(&world, 1), 0);
    ck_assert_uint_eq(stat.stx_size, 3);
    ck_assert(S_ISREG(stat.stx_mode));
    world_close_fd(&world, fd);
    io_uring_prep_mkdir(world_sqe(&world, 2), path[1], 0700);
    ck_assert_int_eq(world_result(&world, 2), 0);
    io_uring_prep_mkdir(world_sqe(&world, 3), path[1], 0700);
    ck_assert_int_eq(world_result(&world, 3), -EEXIST);
    io_uring_prep_rename(world_sqe(&world, 4), path[0], path[1]);
    ck_assert_int_eq(world_result(&world, 4), -EISDIR);
    io_uring_prep_rename(world_sqe(&world, 5), path[0], inner);
    ck_assert_int_eq(world_result(&world, 5), 0);
    io_uring_prep_rename(world_sqe(&world, 6), path[1], inner);
    ck_assert_int_eq(world_result(&world, 6), -EINVAL);
    io_uring_prep_statx(world_sqe(&world, 7), AT_FDCWD, path[0], 0, STATX_BASIC_STATS, &stat);
    ck_assert_int_eq(world_result(&world, 7), -ENOENT);
    ck_assert_int_eq(open_file(path[1], O_RDWR), -EISDIR);
    fd = open_file(path[1], O_RDONLY | O_DIRECTORY);
    ck_assert_int_ge(fd, 0);
    io_uring_prep_statx(world_sqe(&world, 8), fd, "inner", 0, STATX_BASIC_STATS, &stat);
    ck_assert_int_eq(world_result(&world, 8), 0);
    ck_assert_int_eq(unlink_at(path[1], 0), -EISDIR);
    ck_assert_int_eq(unlink_at(path[1], AT_REMOVEDIR), -ENOTEMPTY);
    ck_assert_int_eq(unlink_at(inner, AT_REMOVEDIR), -ENOTDIR);
    ck_assert_int_eq(unlink_at(inner, 0), 0);
    ck_assert_int_eq(unlink_at(inner, 0), -ENOENT);
    world_close_fd(&world, fd);
    ck_assert_int_eq(unlink_at(path[1], AT_REMOVEDIR), 0);
    world_close(&world);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        files_are_written_and_read_at_offsets_and_at_the_position,
        names_are_made_moved_and_removed,
    };

    return world_main("sim_file", 2, tests, sizeof tests / sizeof *tests);
}
