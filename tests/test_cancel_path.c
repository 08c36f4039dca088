/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel_path.c - what changes names does it or, cancelled, leaves all as it was. */
#include "io/path.h"
#include "io/replace.h"
#include "tests/cancel.h"

#include <errno.h>
#include <string.h>

/* The paths of one run. */
static char base[100], one[110], other[110], link_path[110];

static struct rill_op op;

/* A directory with a file of three bytes, one, and an empty directory, other. */
static void start(void)
{
    struct rill_file file = {.fd = -1};

    snprintf(base, sizeof base, "%s/inner", fixture.sim ? "" : cancel_directory);
    snprintf(one, sizeof one, "%s/one", base);
    snprintf(other, sizeof other, "%s/other", base);
    snprintf(link_path, sizeof link_path, "%s/link", base);
    expect_eq(await(rill_path_mkdir(&op, base, 0755)), 0);
    expect_eq(await(rill_path_mkdir(&op, other, 0755)), 0);
    expect_eq(await(rill_file_open(&file, one, O_CREAT | O_WRONLY, 0644)), 0);
    expect_eq(await(rill_file_write_all(&file, &op, "abc", 3)), 3);
    expect_eq(await(rill_file_close(&file)), 0);
}

/* Whether path is there, removing it. */
static bool took_away(const char *path)
{
    struct statx status = {0};
    int64_t result = await(rill_path_stat_link(&op, path, &status));

    expect(result == 0 || result == -ENOENT);
    if (result < 0)
        return false;
    expect_eq(
        await(S_ISDIR(status.stx_mode) ? rill_path_rmdir(&op, path) : rill_path_unlink(&op, path)),
        0);
    return true;
}

/* Expects of one, other and link that they are there, or not, and removes all. */
static void expect_names(bool has_one, bool has_other, bool has_link)
{
    expect_eq(took_away(one), has_one);
    expect_eq(took_away(other), has_other);
    expect_eq(took_away(link_path), has_link);
    expect_eq(await(rill_path_rmdir(&op, base)), 0);
}

static bool is_done(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    return result == 0;
}

static struct rill_future *unlink_path(void)
{
    return rill_path_unlink(&my.op, one);
}

static void after_unlink(int64_t result)
{
    expect_names(!is_done(result), true, false);
}

static struct rill_future *remove_directory(void)
{
    return rill_path_rmdir(&my.op, other);
}

static void after_remove_directory(int64_t result)
{
    expect_names(true, !is_done(result), false);
}

static struct rill_future *rename_path(void)
{
    return rill_path_rename(&my.op, one, link_path, 0);
}

static void after_rename(int64_t result)
{
    expect_names(!is_done(result), true, is_done(result));
}

static struct rill_future *exchange_paths(void)
{
    return rill_path_rename(&my.op, one, other, RENAME_EXCHANGE);
}

static void after_exchange(int64_t result)
{
    struct statx status = {0};

    expect_eq(await(rill_path_stat(&op, one, &status)), 0);
    expect_eq(S_ISDIR(status.stx_mode), is_done(result));
    expect_names(true, true, false);
}

static struct rill_future *make_directory(void)
{
    return rill_path_mkdir(&my.op, link_path, 0700);
}

static struct rill_future *make_link(void)
{
    return rill_path_link(&my.op, one, link_path);
}

static struct rill_future *make_symbolic_link(void)
{
    return rill_path_symlink(&my.op, "one", link_path);
}

static void after_make(int64_t result)
{
    expect_names(true, true, is_done(result));
}

static struct rill_future *stat_path(void)
{
    return rill_path_stat(&my.op, one, &my.status);
}

static void after_stat(int64_t result)
{
    expect(!is_done(result) || my.status.stx_size == 3);
    expect_names(true, true, false);
}

static struct rill_replace replace;
static char contents[TOTAL];

static struct rill_future *replace_path(void)
{
    memset(&replace, 0, sizeof replace);
    pattern_fill(contents, 0, TOTAL);
    return rill_path_replace(&replace, one, contents, TOTAL, 0600);
}

/* That nothing else is left in the directory is seen when it is removed. */
static void after_replace(int64_t result)
{
    static struct rill_file file;
    static char bytes[TOTAL + 1];
    size_t at = 0;
    int64_t more;

    expect_eq(replace.is_replaced, is_done(result));
    memset(bytes, 0, sizeof bytes);
    expect_eq(await(rill_file_open(&file, one, O_RDONLY, 0)), 0);
    while ((more = await(rill_file_read(&file, &op, bytes + at, sizeof bytes - at))) > 0)
        at += (size_t)more;
    expect_eq(more, 0);
    expect_eq(await(rill_file_close(&file)), 0);
    expect(is_done(result) ? pattern_is(bytes, 0, TOTAL) : strcmp(bytes, "abc") == 0);
    expect_names(true, true, false);
}

static const struct cancel_operation operations[] = {
    {"unlink", IN_BOTH, start, unlink_path, after_unlink, false},
    {"rmdir", IN_BOTH, start, remove_directory, after_remove_directory, false},
    {"rename", IN_BOTH, start, rename_path, after_rename, false},
    {"rename, exchange", IN_BOTH, start, exchange_paths, after_exchange, false},
    {"mkdir", IN_BOTH, start, make_directory, after_make, false},
    {"link", IN_BOTH, start, make_link, after_make, false},
    {"symlink", IN_BOTH, start, make_symbolic_link, after_make, false},
    {"replace", IN_BOTH, start, replace_path, after_replace, false},
    {"path_stat", IN_BOTH, start, stat_path, after_stat, false},
};

int main(void)
{
    return cancel_main("cancel_path", operations, sizeof operations / sizeof *operations, NULL,
                       NULL);
}
