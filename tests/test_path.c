/* SPDX-License-Identifier: Apache-2.0 */
/* test_path.c - names are made, moved, linked and removed alike on both kernels. */
#include "io/path.h"

#include "io/file.h"
#include "tests/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rill_op op;
static struct statx status;
static char base[] = "/tmp/rill-path-XXXXXX";

/* A path within the directory of this test; some may be in use at the same time. */
static const char *at(const char *name)
{
    static char paths[8][100];
    static unsigned next;
    char *path = paths[next++ % 8];

    snprintf(path, sizeof paths[0], "%s/%s", base, name);
    return path;
}

static bool open_world(int which)
{
    if (!fixture_open(which, NULL, NULL))
        return false;
    if (!fixture.sim) {
        ck_assert_ptr_nonnull(mkdtemp(base)); /* which finds a name that is free */
        return true;
    }
    ck_assert_int_eq(await(rill_path_mkdir(&op, "/tmp", 0755)), 0);
    ck_assert_int_eq(await(rill_path_mkdir(&op, base, 0755)), 0);
    return true;
}

/* Nothing may be left in the directory. */
static void close_world(void)
{
    ck_assert_int_eq(await(rill_path_rmdir(&op, base)), 0);
    fixture_close();
}

static void make_file(const char *name, const char *text)
{
    struct rill_file file = {.fd = -1};
    int64_t size = (int64_t)strlen(text);

    ck_assert_int_eq(await(rill_file_open(&file, at(name), O_CREAT | O_EXCL | O_WRONLY, 0600)), 0);
    ck_assert_int_eq(await(rill_file_write_all(&file, &op, text, (size_t)size)), size);
    ck_assert_int_eq(await(rill_file_close(&file)), 0);
}

static void expect_file(const char *name, const char *text)
{
    struct rill_file file = {.fd = -1};
    static struct rill_read_to_end all;

    ck_assert_int_eq(await(rill_file_open(&file, at(name), O_RDONLY, 0)), 0);
    ck_assert_int_eq(await(rill_file_read_to_end(&file, &all, 100)), (int64_t)strlen(text));
    ck_assert(getenv("TEST_UNDER_VALGRIND") || strcmp(all.data, text) == 0);
    free(all.data);
    ck_assert_int_eq(await(rill_file_close(&file)), 0);
}

static void remove_file(const char *name)
{
    ck_assert_int_eq(await(rill_path_unlink(&op, at(name))), 0);
}

START_TEST(a_name_that_is_removed_is_gone)
{
    if (!open_world(_i))
        return;
    make_file("file", "abc");
    ck_assert_int_eq(await(rill_path_stat(&op, at("file"), &status)), 0);
    ck_assert_uint_eq(status.stx_size, 3);
    remove_file("file");
    ck_assert_int_eq(await(rill_path_stat(&op, at("file"), &status)), -ENOENT);
    ck_assert_int_eq(await(rill_path_unlink(&op, at("file"))), -ENOENT);
    ck_assert_int_eq(await(rill_path_unlink(&op, base)), -EISDIR);
    close_world();
}
END_TEST

START_TEST(a_file_that_is_open_outlives_its_name)
{
    struct rill_file file = {.fd = -1};
    char bytes[4] = "";

    if (!open_world(_i))
        return;
    make_file("file", "abc");
    ck_assert_int_eq(await(rill_file_open(&file, at("file"), O_RDONLY, 0)), 0);
    remove_file("file");
    ck_assert_int_eq(await(rill_file_read(&file, &op, bytes, 4)), 3);
    ck_assert_str_eq(bytes, "abc");
    ck_assert_int_eq(await(rill_file_close(&file)), 0);
    close_world();
}
END_TEST

START_TEST(renaming_replaces_keeps_or_exchanges_as_it_is_told)
{
    if (!open_world(_i))
        return;
    make_file("one", "1");
    make_file("other", "22");
    ck_assert_int_eq(await(rill_path_rename(&op, at("one"), at("other"), RENAME_NOREPLACE)),
                     -EEXIST);
    expect_file("other", "22");
    ck_assert_int_eq(await(rill_path_rename(&op, at("one"), at("other"), RENAME_EXCHANGE)), 0);
    expect_file("one", "22");
    expect_file("other", "1");
    ck_assert_int_eq(await(rill_path_rename(&op, at("one"), at("other"), 0)), 0);
    expect_file("other", "22");
    ck_assert_int_eq(await(rill_path_rename(&op, at("one"), at("other"), 0)), -ENOENT);
    ck_assert_int_eq(await(rill_path_rename(&op, at("other"), at("one"), RENAME_EXCHANGE)),
                     -ENOENT);
    ck_assert_int_eq(await(rill_path_rename(&op, at("other"), at("one"), RENAME_NOREPLACE)), 0);
    expect_file("one", "22");
    remove_file("one");
    close_world();
}
END_TEST

START_TEST(a_path_may_be_relative_in_both_places)
{
    if (!open_world(REAL))
        return;
    ck_assert_int_eq(chdir(base), 0);
    make_file("one", "1");
    ck_assert_int_eq(await(rill_path_rename(&op, "one", "other", 0)), 0);
    ck_assert_int_eq(await(rill_path_link(&op, "other", "third")), 0);
    ck_assert_int_eq(await(rill_path_symlink(&op, "third", "fourth")), 0);
    expect_file("fourth", "1");
    remove_file("other");
    remove_file("third");
    remove_file("fourth");
    close_world();
}
END_TEST

START_TEST(directories_are_made_moved_and_removed_when_they_are_empty)
{
    if (!open_world(_i))
        return;
    ck_assert_int_eq(await(rill_path_mkdir(&op, at("inner"), 0750)), 0);
    ck_assert_int_eq(await(rill_path_mkdir(&op, at("inner"), 0750)), -EEXIST);
    ck_assert_int_eq(await(rill_path_mkdir(&op, at("missing/inner"), 0750)), -ENOENT);
    ck_assert_int_eq(await(rill_path_stat(&op, at("inner"), &status)), 0);
    ck_assert(S_ISDIR(status.stx_mode));
    ck_assert_uint_eq(status.stx_mode & 0777, 0750);
    make_file("inner/file", "abc");
    ck_assert_int_eq(await(rill_path_rmdir(&op, at("inner"))), -ENOTEMPTY);
    ck_assert_int_eq(await(rill_path_rename(&op, at("inner"), at("moved"), 0)), 0);
    ck_assert_int_eq(await(rill_path_rename(&op, at("moved"), at("moved/itself"), 0)), -EINVAL);
    ck_assert_int_eq(await(rill_path_rmdir(&op, at("moved/file"))), -ENOTDIR);
    remove_file("moved/file");
    ck_assert_int_eq(await(rill_path_rmdir(&op, at("moved"))), 0);
    close_world();
}
END_TEST

START_TEST(a_symbolic_link_leads_to_another_name)
{
    if (!open_world(_i))
        return;
    ck_assert_int_eq(await(rill_path_symlink(&op, "file", at("link"))), 0);
    ck_assert_int_eq(await(rill_path_stat(&op, at("link"), &status)), -ENOENT);
    ck_assert_int_eq(await(rill_path_stat_link(&op, at("link"), &status)), 0);
    ck_assert(S_ISLNK(status.stx_mode));
    make_file("file", "abc");
    ck_assert_int_eq(await(rill_path_stat(&op, at("link"), &status)), 0);
    ck_assert(S_ISREG(status.stx_mode));
    expect_file("link", "abc");
    ck_assert_int_eq(await(rill_path_symlink(&op, "file", at("link"))), -EEXIST);
    ck_assert_int_eq(await(rill_path_symlink(&op, "", at("more"))), -ENOENT);
    ck_assert_int_eq(await(rill_path_symlink(&op, "circle", at("circle"))), 0);
    ck_assert_int_eq(await(rill_path_stat(&op, at("circle"), &status)), -ELOOP);
    remove_file("circle");
    remove_file("link");
    expect_file("file", "abc");
    remove_file("file");
    close_world();
}
END_TEST

START_TEST(a_file_with_two_names_goes_with_the_last)
{
    if (!open_world(_i))
        return;
    make_file("one", "abc");
    ck_assert_int_eq(await(rill_path_link(&op, at("one"), at("other"))), 0);
    ck_assert_int_eq(await(rill_path_stat(&op, at("one"), &status)), 0);
    ck_assert_uint_eq(status.stx_nlink, 2);
    ck_assert_int_eq(await(rill_path_link(&op, at("one"), at("other"))), -EEXIST);
    ck_assert_int_eq(await(rill_path_link(&op, base, at("directory"))), -EPERM);
    /* Two names of one file: renaming the one to the other does nothing (rename(2)). */
    ck_assert_int_eq(await(rill_path_rename(&op, at("one"), at("other"), 0)), 0);
    remove_file("one");
    expect_file("other", "abc");
    remove_file("other");
    close_world();
}
END_TEST

START_TEST(one_that_is_cancelled_before_it_starts_changes_nothing)
{
    static struct background task;

    if (!open_world(_i))
        return;
    make_file("one", "abc");
    background_start(&task, rill_path_unlink(&op, at("one")));
    rill_task_cancel(&task.task);
    ck_assert_int_eq(background_end(&task), -ECANCELED);
    expect_file("one", "abc");
    remove_file("one");
    close_world();
}
END_TEST

static void await_twice(void)
{
    struct rill_future *unlink_it;

    if (!fixture_open(SIMULATED, NULL, NULL))
        return;
    unlink_it = rill_path_unlink(&op, "/nothing");
    await(unlink_it);
    await(unlink_it);
}

START_TEST(one_that_is_over_and_is_awaited_again_panics)
{
    (void)_i;
    fixture_expect_panic(await_twice, "an operation (unlink) was awaited that is over");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_name_that_is_removed_is_gone, IN_BOTH},
        {a_file_that_is_open_outlives_its_name, IN_BOTH},
        {renaming_replaces_keeps_or_exchanges_as_it_is_told, IN_BOTH},
        {a_path_may_be_relative_in_both_places, IN_REAL},
        {directories_are_made_moved_and_removed_when_they_are_empty, IN_BOTH},
        {a_symbolic_link_leads_to_another_name, IN_BOTH},
        {a_file_with_two_names_goes_with_the_last, IN_BOTH},
        {one_that_is_cancelled_before_it_starts_changes_nothing, IN_BOTH},
        {one_that_is_over_and_is_awaited_again_panics, IN_SIMULATED},
    };

    return fixture_main("path", cases, sizeof cases / sizeof *cases);
}
