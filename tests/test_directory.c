/* SPDX-License-Identifier: Apache-2.0 */
/* test_directory.c - each name in a directory is read once, whatever is cancelled. */
#include "io/directory.h"

#include "io/path.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NAMES = 1000, /* some four batches */
};

static char base[] = "/tmp/rill-directory-XXXXXX";
static struct rill_directory directory;
static struct rill_op op;
static unsigned seen[NAMES];

/* A directory of files that are named "n" and their number. */
static bool open_world(unsigned names)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    ck_assert_ptr_nonnull(mkdtemp(base));
    ck_assert_int_eq(chdir(base), 0);
    memset(seen, 0, sizeof seen);
    for (unsigned i = 0; i < names; i++) {
        char name[20];
        FILE *file;

        snprintf(name, sizeof name, "n%u", i);
        file = fopen(name, "w");
        ck_assert_ptr_nonnull(file);
        fclose(file);
    }
    fixture.keeps_fds = true; /* the remote's, until the pool's thread lets go of it */
    return true;
}

static void close_world(void)
{
    struct dirent *entry;
    DIR *stream = opendir(base);

    ck_assert_int_eq(await(rill_directory_close(&directory)), 0);
    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)))
        remove(entry->d_name);
    closedir(stream);
    ck_assert_int_eq(rmdir(base), 0);
    memset(base + sizeof base - 7, 'X', 6); /* for the next one */
    fixture_close();
}

static void open_directory(void)
{
    ck_assert_int_eq(await(rill_directory_open(&directory, ".")), 0);
}

static int64_t read_name(void)
{
    return await(rill_directory_read(&directory));
}

/* Notes the name that was read. */
static void note_name(void)
{
    unsigned number = (unsigned)strtoul(directory.name + 1, NULL, 10);

    expect_eq(directory.name[0], 'n');
    expect(number < NAMES);
    seen[number]++;
}

static void expect_each_once(unsigned names)
{
    for (unsigned i = 0; i < NAMES; i++)
        expect_eq(seen[i], i < names);
}

START_TEST(every_name_is_read_once_however_many_there_are)
{
    static const unsigned sizes[] = {0, 1, 2, 100, NAMES};

    (void)_i;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!open_world(sizes[i]))
            return;
        open_directory();
        for (unsigned name = 0; name < sizes[i]; name++) {
            expect_eq(read_name(), 1);
            note_name();
        }
        expect_eq(read_name(), 0);
        expect_eq(read_name(), 0);
        expect_each_once(sizes[i]);
        close_world();
    }
}
END_TEST

/* What the file system tells of a name, which may be nothing. */
static uint8_t type_told(const char *name)
{
    struct dirent *entry;
    uint8_t type = DT_UNKNOWN;
    DIR *stream = opendir(".");

    expect(stream != NULL);
    while ((entry = readdir(stream)))
        if (strcmp(entry->d_name, name) == 0)
            type = entry->d_type;
    closedir(stream);
    return type;
}

START_TEST(a_name_comes_with_its_type_where_that_is_known)
{
    struct statx status = {0};
    unsigned types = 0;

    (void)_i;
    if (!open_world(1))
        return;
    ck_assert_int_eq(mkdir("folder", 0700), 0);
    ck_assert_int_eq(symlink("nowhere", "link"), 0);
    open_directory();
    while (read_name() == 1) {
        ck_assert_int_eq(await(rill_path_stat_link(&op, directory.name, &status)), 0);
        ck_assert(directory.type == DT_UNKNOWN || directory.type == IFTODT(status.stx_mode));
        ck_assert_int_eq(directory.type, type_told(directory.name));
        types += S_ISREG(status.stx_mode) ? 1 : S_ISDIR(status.stx_mode) ? 10 : 100;
    }
    ck_assert_uint_eq(types, 111);
    close_world();
}
END_TEST

START_TEST(what_was_left_of_one_that_was_closed_is_not_read_from_the_next)
{
    if (!open_world(2))
        return;
    open_directory();
    expect_eq(read_name(), 1);
    expect_eq(await(rill_directory_close(&directory)), 0);
    open_directory();
    for (int i = 0; i < 2; i++) {
        expect_eq(read_name(), 1);
        note_name();
    }
    expect_eq(read_name(), 0);
    expect_each_once(2);
    close_world();
}
END_TEST

START_TEST(names_may_be_as_long_as_names_can_be)
{
    char name[256] = "";
    unsigned count = 0;

    (void)_i;
    if (!open_world(0))
        return;
    memset(name, 'x', sizeof name - 1);
    for (int i = 0; i < 26; i++) {
        *name = (char)('a' + i);
        ck_assert_int_eq(mkdir(name, 0700), 0);
    }
    open_directory();
    while (read_name() == 1)
        count += strlen(directory.name) == 255;
    ck_assert_uint_eq(count, 26);
    close_world();
}
END_TEST

START_TEST(what_was_read_may_be_removed_at_once)
{
    (void)_i;
    if (!open_world(NAMES))
        return;
    open_directory();
    while (read_name() == 1) {
        note_name();
        ck_assert_int_eq(await(rill_path_unlink(&op, directory.name)), 0);
    }
    expect_each_once(NAMES);
    close_world();
}
END_TEST

START_TEST(a_directory_that_is_removed_has_no_names)
{
    (void)_i;
    if (!open_world(0))
        return;
    ck_assert_int_eq(mkdir("folder", 0700), 0);
    ck_assert_int_eq(await(rill_directory_open(&directory, "folder")), 0);
    ck_assert_int_eq(rmdir("folder"), 0);
    ck_assert_int_eq(read_name(), 0);
    close_world();
}
END_TEST

START_TEST(it_is_synced_as_the_file_that_it_is)
{
    (void)_i;
    if (!open_world(3))
        return;
    open_directory();
    ck_assert_int_eq(await(rill_file_sync(&directory.file, &op, false)), 0);
    ck_assert_int_eq(read_name(), 1);
    close_world();
}
END_TEST

START_TEST(what_is_no_directory_says_so_and_may_be_closed_all_the_same)
{
    if (!fixture_open(_i, NULL, NULL))
        return;
    if (fixture.sim)
        sim_file_put(fixture.sim, "/dev/null", "", 0);
    ck_assert_int_eq(await(rill_directory_open(&directory, "/dev/null")), -ENOTDIR);
    ck_assert_int_eq(await(rill_directory_close(&directory)), 0);
    ck_assert_int_eq(await(rill_directory_open(&directory, "/nowhere/at/all")), -ENOENT);
    ck_assert_int_eq(await(rill_directory_close(&directory)), 0);
    ck_assert_int_eq(await(rill_directory_open(&directory, "/dev")), 0);
    ck_assert_int_eq(await(rill_directory_close(&directory)), 0);
    ck_assert_int_eq(await(rill_directory_close(&directory)), 0);
    fixture_close();
}
END_TEST

START_TEST(an_error_of_the_system_is_told)
{
    int fd;

    (void)_i;
    if (!open_world(1))
        return;
    open_directory();
    fd = open("n0", O_RDONLY);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(dup2(fd, directory.file.fd), directory.file.fd);
    close(fd);
    ck_assert_int_eq(read_name(), -ENOTDIR);
    close_world();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(one_that_is_cancelled_before_it_starts_reads_nothing)
{
    static struct background task;

    (void)_i;
    if (!open_world(10))
        return;
    open_directory();
    for (int i = 0; i < 10; i++) { /* the first has to wait, the others need not */
        background_start(&task, rill_directory_read(&directory));
        rill_task_cancel(&task.task);
        ck_assert_int_eq(background_end(&task), -ECANCELED);
        ck_assert_int_eq(read_name(), 1);
        note_name();
    }
    expect_each_once(10);
    close_world();
}
END_TEST

START_TEST(one_that_waits_for_a_thread_is_cancelled_at_once)
{
    static struct background task;
    struct rill_timeout timeout;

    (void)_i;
    if (!open_world(10))
        return;
    open_directory();
    workers_hold();
    background_start(&task, rill_directory_read(&directory));
    settle();
    rill_task_cancel(&task.task);
    ck_assert_int_eq(background_end(&task), -ECANCELED);
    ck_assert_int_eq(await(rill_timeout(&timeout, 1, rill_directory_read(&directory))), -ETIMEDOUT);
    workers_let_go();
    ck_assert_int_eq(read_name(), 1);
    close_world();
}
END_TEST

START_TEST(whenever_reads_are_cancelled_no_name_is_lost_or_doubled)
{
    static struct background task;
    unsigned cancelled = 0;

    (void)_i;
    if (!open_world(NAMES))
        return;
    for (int round = 0; round < 20; round++) {
        int64_t result = 1;

        memset(seen, 0, sizeof seen);
        open_directory();
        for (unsigned turn = 0; result != 0; turn++) {
            background_start(&task, rill_directory_read(&directory));
            for (unsigned i = 0; i < turn % 7 && !rill_task_is_over(&task.task); i++) {
                rill_task_wake(&task.task); /* for no reason, which does no harm */
                fixture_turn();
            }
            if (!rill_task_is_over(&task.task))
                rill_task_cancel(&task.task);
            result = background_end(&task);
            expect(result >= 0 || result == -ECANCELED);
            cancelled += result < 0;
            if (result == 1)
                note_name();
        }
        expect_each_once(NAMES);
        expect_eq(await(rill_directory_close(&directory)), 0);
    }
    ck_assert_uint_gt(cancelled, 0);
    close_world();
}
END_TEST

/* ---- bad use ---- */

static void read_what_is_not_open(void)
{
    if (fixture_open(SIMULATED, NULL, NULL))
        rill_directory_read(&directory);
}

START_TEST(to_read_one_that_is_not_open_panics)
{
    (void)_i;
    fixture_expect_panic(read_what_is_not_open, "a directory is read that is not open");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {every_name_is_read_once_however_many_there_are, IN_REAL},
        {a_name_comes_with_its_type_where_that_is_known, IN_REAL},
        {what_was_left_of_one_that_was_closed_is_not_read_from_the_next, IN_REAL},
        {names_may_be_as_long_as_names_can_be, IN_REAL},
        {what_was_read_may_be_removed_at_once, IN_REAL},
        {a_directory_that_is_removed_has_no_names, IN_REAL},
        {it_is_synced_as_the_file_that_it_is, IN_REAL},
        {what_is_no_directory_says_so_and_may_be_closed_all_the_same, IN_BOTH},
        {an_error_of_the_system_is_told, IN_REAL},
        {one_that_is_cancelled_before_it_starts_reads_nothing, IN_REAL},
        {one_that_waits_for_a_thread_is_cancelled_at_once, IN_REAL},
        {whenever_reads_are_cancelled_no_name_is_lost_or_doubled, IN_REAL},
        {to_read_one_that_is_not_open_panics, IN_SIMULATED},
    };

    return fixture_main("directory", cases, sizeof cases / sizeof *cases);
}
