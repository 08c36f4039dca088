/* SPDX-License-Identifier: Apache-2.0 */
/* test_truncate.c - a file is made so long and no longer, on another thread. */
#include "io/truncate.h"

#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/rill-truncate-XXXXXX";
static struct rill_file file;
static struct rill_op op;
static struct rill_truncate truncating;

static bool open_world(void)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    fixture.keeps_fds = true; /* the remote's, until the pool's thread lets go of it */
    rill_file_adopt(&file, mkstemp(path));
    ck_assert_int_ge(file.fd, 0);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, "0123456789", 10)), 10);
    return true;
}

static void close_world(void)
{
    ck_assert_int_eq(await(rill_file_close(&file)), 0);
    ck_assert_int_eq(unlink(path), 0);
    fixture_close();
}

static void expect_size(uint64_t size)
{
    struct statx status = {0};

    ck_assert_int_eq(await(rill_file_stat(&file, &op, &status)), 0);
    ck_assert_uint_eq(status.stx_size, size);
}

START_TEST(a_file_becomes_shorter_and_longer)
{
    char bytes[21] = "";

    (void)_i;
    if (!open_world())
        return;
    ck_assert_int_eq(await(rill_file_truncate(&file, &truncating, 4)), 0);
    expect_size(4);
    ck_assert_int_eq(await(rill_file_truncate(&file, &truncating, 20)), 0);
    ck_assert_int_eq(await(rill_file_read_at(&file, &op, bytes, 21, 0)), 20);
    ck_assert_str_eq(bytes, "0123");
    for (int i = 4; i < 20; i++)
        ck_assert_int_eq(bytes[i], 0);
    ck_assert_int_eq(await(rill_file_truncate(&file, &truncating, 0)), 0);
    expect_size(0);
    close_world();
}
END_TEST

START_TEST(what_can_not_be_says_why_and_changes_nothing)
{
    static struct rill_file reading;

    (void)_i;
    if (!open_world())
        return;
    ck_assert_int_eq(await(rill_file_truncate(&file, &truncating, UINT64_MAX)), -EINVAL);
    ck_assert_int_eq(await(rill_file_open(&reading, path, O_RDONLY, 0)), 0);
    ck_assert_int_eq(await(rill_file_truncate(&reading, &truncating, 0)), -EINVAL);
    ck_assert_int_eq(await(rill_file_close(&reading)), 0);
    expect_size(10);
    close_world();
}
END_TEST

/* The thread that truncates has the error of the one before. */
START_TEST(what_can_be_is_done_after_what_could_not)
{
    (void)_i;
    if (!open_world())
        return;
    ck_assert_int_eq(await(rill_file_truncate(&file, &truncating, UINT64_MAX)), -EINVAL);
    ck_assert_int_eq(await(rill_file_truncate(&file, &truncating, 7)), 0);
    expect_size(7);
    close_world();
}
END_TEST

START_TEST(one_that_is_cancelled_before_a_thread_has_it_changes_nothing)
{
    static struct background task;

    (void)_i;
    if (!open_world())
        return;
    background_start(&task, rill_file_truncate(&file, &truncating, 1));
    rill_task_cancel(&task.task);
    ck_assert_int_eq(background_end(&task), -ECANCELED);

    workers_hold();
    background_start(&task, rill_file_truncate(&file, &truncating, 1));
    settle();
    rill_task_cancel(&task.task);
    ck_assert_int_eq(background_end(&task), -ECANCELED);
    workers_let_go();
    expect_size(10);
    close_world();
}
END_TEST

START_TEST(one_that_is_cancelled_is_done_or_not)
{
    static struct background task;
    unsigned done = 0;

    (void)_i;
    if (!open_world())
        return;
    for (uint64_t round = 0; round < 300; round++) {
        uint64_t size = 10 + round % 2;
        int64_t result;

        background_start(&task, rill_file_truncate(&file, &truncating, 20 + size));
        for (uint64_t turn = 0; turn < round % 5; turn++)
            fixture_turn();
        if (round % 5 < 4 && !rill_task_is_over(&task.task)) /* the others are left to end */
            rill_task_cancel(&task.task);
        result = background_end(&task);
        expect(result == 0 || result == -ECANCELED);
        done += result == 0;
        expect_size(result == 0 ? 20 + size : 10);
        expect_eq(await(rill_file_truncate(&file, &truncating, 10)), 0);
    }
    ck_assert_uint_gt(done, 0);
    ck_assert_uint_lt(done, 300);
    close_world();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_file_becomes_shorter_and_longer, IN_REAL},
        {what_can_not_be_says_why_and_changes_nothing, IN_REAL},
        {what_can_be_is_done_after_what_could_not, IN_REAL},
        {one_that_is_cancelled_before_a_thread_has_it_changes_nothing, IN_REAL},
        {one_that_is_cancelled_is_done_or_not, IN_REAL},
    };

    return fixture_main("truncate", cases, sizeof cases / sizeof *cases);
}
