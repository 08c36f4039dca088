/* SPDX-License-Identifier: Apache-2.0 */
/* test_replace.c - a path leads to the old contents or to the new ones, whatever happens. */
#include "io/replace.h"

#include "io/path.h"
#include "tests/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    OLD_SIZE = 2000,
    NEW_SIZE = 5000,
    NEW_BEGINS = 77, /* in the pattern */
};

static char base[] = "/tmp/rill-replace-XXXXXX";
static char path[100];
static char old_bytes[OLD_SIZE], new_bytes[NEW_SIZE], bytes[NEW_SIZE + 1];
static struct rill_replace replace;
static struct rill_op op;

/* A directory with a file in it, or without. */
static bool open_world(int which, const struct sim_options *options, bool has_old)
{
    static struct rill_file file;

    if (!fixture_open(which, options, NULL))
        return false;
    memset(&replace, 0, sizeof replace);
    pattern_fill(old_bytes, 0, OLD_SIZE);
    pattern_fill(new_bytes, NEW_BEGINS, NEW_SIZE);
    if (!fixture.sim)
        ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(path, sizeof path, "%s/file", base);
    if (fixture.sim) {
        sim_file_put(fixture.sim, path, old_bytes, OLD_SIZE);
        if (!has_old)
            expect_eq(await(rill_path_unlink(&op, path)), 0);
    } else if (has_old) {
        expect_eq(await(rill_file_open(&file, path, O_CREAT | O_WRONLY, 0600)), 0);
        expect_eq(await(rill_file_write_all(&file, &op, old_bytes, OLD_SIZE)), OLD_SIZE);
        expect_eq(await(rill_file_close(&file)), 0);
    }
    return true;
}

static size_t count_names(void)
{
    size_t count = 0;
    DIR *directory;

    if (fixture.sim)
        return sim_directory_count(fixture.sim, base);
    directory = opendir(base);
    expect(directory != NULL);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count - 2; /* "." and ".." */
}

static bool is_old(const char *there, ssize_t size)
{
    return size == OLD_SIZE && pattern_is(there, 0, OLD_SIZE);
}

static bool is_new(const char *there, ssize_t size)
{
    return size == NEW_SIZE && pattern_is(there, NEW_BEGINS, NEW_SIZE);
}

static ssize_t load(const char **there)
{
    static struct rill_file file;
    ssize_t size;

    if (fixture.sim) {
        const void *memory = NULL;

        size = sim_file_get(fixture.sim, path, &memory);
        *there = memory;
        return size;
    }
    if (await(rill_file_open(&file, path, O_RDONLY, 0)) < 0)
        return -ENOENT;
    memset(bytes, 0, sizeof bytes);
    size = await(rill_file_read_at(&file, &op, bytes, sizeof bytes, 0));
    expect_eq(await(rill_file_close(&file)), 0);
    *there = bytes;
    return size;
}

static void expect_contents(bool new)
{
    const char *there = NULL;
    ssize_t size = load(&there);

    expect(new ? is_new(there, size) : is_old(there, size));
}

/* Nothing but the file is left. */
static void close_world(void)
{
    expect_eq(count_names(), 1);
    if (!fixture.sim) {
        unlink(path);
        ck_assert_int_eq(rmdir(base), 0);
        memset(base + sizeof base - 7, 'X', 6); /* for the next one */
    }
    fixture_close();
}

static struct rill_future *replace_file(void)
{
    return rill_path_replace(&replace, path, new_bytes, NEW_SIZE, 0600);
}

START_TEST(the_new_contents_take_the_place_of_the_old)
{
    if (!open_world(_i, NULL, true))
        return;
    expect_contents(false);
    expect_eq(await(replace_file()), 0);
    expect(replace.is_replaced);
    expect_contents(true);
    close_world();
}
END_TEST

START_TEST(a_file_that_was_not_there_is_made)
{
    struct statx status = {0};

    if (!open_world(_i, NULL, false))
        return;
    expect_eq(await(rill_path_replace(&replace, path, new_bytes, NEW_SIZE, 0640)), 0);
    expect_contents(true);
    expect_eq(await(rill_path_stat(&op, path, &status)), 0);
    expect_eq(status.stx_mode, S_IFREG | 0640);
    close_world();
}
END_TEST

START_TEST(no_contents_are_contents)
{
    struct statx status = {0};

    if (!open_world(_i, NULL, true))
        return;
    expect_eq(await(rill_path_replace(&replace, path, NULL, 0, 0600)), 0);
    expect_eq(await(rill_path_stat(&op, path, &status)), 0);
    expect_eq(status.stx_size, 0);
    close_world();
}
END_TEST

START_TEST(a_name_without_a_directory_is_one_in_the_working_directory)
{
    if (!open_world(_i, NULL, true))
        return;
    ck_assert_int_eq(chdir(base), 0);
    expect_eq(await(rill_path_replace(&replace, "file", new_bytes, NEW_SIZE, 0600)), 0);
    expect_contents(true);
    close_world();
}
END_TEST

START_TEST(a_file_of_the_root_directory_is_replaced_there)
{
    open_world(_i, NULL, true);
    snprintf(path, sizeof path, "/file");
    expect_eq(await(replace_file()), 0);
    expect_contents(true);
    close_world();
}
END_TEST

START_TEST(a_symbolic_link_is_replaced_itself)
{
    struct statx status = {0};
    char elsewhere[120];

    if (!open_world(_i, NULL, true))
        return;
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", base);
    expect_eq(await(rill_path_rename(&op, path, elsewhere, 0)), 0);
    expect_eq(await(rill_path_symlink(&op, elsewhere, path)), 0);
    expect_eq(await(replace_file()), 0);
    expect_contents(true);
    expect_eq(await(rill_path_stat_link(&op, path, &status)), 0);
    expect(S_ISREG(status.stx_mode));
    expect_eq(await(rill_path_stat(&op, elsewhere, &status)), 0);
    expect_eq(status.stx_size, OLD_SIZE);
    expect_eq(await(rill_path_unlink(&op, elsewhere)), 0);
    close_world();
}
END_TEST

START_TEST(who_has_the_old_file_open_keeps_it)
{
    static struct rill_file file;

    if (!open_world(_i, NULL, true))
        return;
    expect_eq(await(rill_file_open(&file, path, O_RDONLY, 0)), 0);
    expect_eq(await(replace_file()), 0);
    expect_eq(await(rill_file_read_at(&file, &op, bytes, sizeof bytes, 0)), OLD_SIZE);
    expect(is_old(bytes, OLD_SIZE));
    expect_eq(await(rill_file_close(&file)), 0);
    close_world();
}
END_TEST

START_TEST(a_path_that_can_not_be_replaced_says_why_and_nothing_is_left)
{
    static char long_path[2 * RILL_REPLACE_PATH_MAX];
    char other[120];

    if (!open_world(_i, NULL, true))
        return;
    expect_eq(await(rill_path_replace(&replace, "", "x", 1, 0600)), -ENOENT);
    snprintf(other, sizeof other, "%s/", path);
    expect_eq(await(rill_path_replace(&replace, other, "x", 1, 0600)), -EISDIR);
    snprintf(other, sizeof other, "%s/inner", path);
    expect_eq(await(rill_path_replace(&replace, other, "x", 1, 0600)), -ENOTDIR);
    snprintf(other, sizeof other, "%s/missing/file", base);
    expect_eq(await(rill_path_replace(&replace, other, "x", 1, 0600)), -ENOENT);
    snprintf(other, sizeof other, "%s/folder", base);
    expect_eq(await(rill_path_mkdir(&op, other, 0700)), 0);
    expect_eq(await(rill_path_replace(&replace, other, "x", 1, 0600)), -EISDIR);
    expect(!replace.is_replaced);
    snprintf(long_path, sizeof long_path, "%s/.", other);
    expect_eq(await(rill_path_replace(&replace, long_path, "x", 1, 0600)), -EISDIR);
    snprintf(long_path, sizeof long_path, "%s/..", other);
    expect_eq(await(rill_path_replace(&replace, long_path, "x", 1, 0600)), -EISDIR);
    expect_eq(await(rill_path_rmdir(&op, other)), 0);
    memset(long_path, 'x', RILL_REPLACE_PATH_MAX);
    memcpy(long_path + RILL_REPLACE_PATH_MAX, "/y", 3);
    expect_eq(await(rill_path_replace(&replace, long_path, "x", 1, 0600)), -ENAMETOOLONG);
    snprintf(long_path, sizeof long_path, "%s/%0300d", base, 7);
    expect_eq(await(rill_path_replace(&replace, long_path, "x", 1, 0600)), -ENAMETOOLONG);
    expect_contents(false);
    close_world();
}
END_TEST

START_TEST(of_several_at_a_time_one_is_the_last_and_whole)
{
    enum { SEVERAL = 50 };
    static struct rill_replace replaces[SEVERAL];
    static struct background tasks[SEVERAL];
    const char *there = NULL;
    ssize_t size;

    if (!open_world(_i, NULL, true))
        return;
    for (size_t i = 0; i < SEVERAL; i++)
        background_start(&tasks[i],
                         rill_path_replace(&replaces[i], path, old_bytes, 1000 + i, 0600));
    for (size_t i = 0; i < SEVERAL; i++)
        expect_eq(background_end(&tasks[i]), 0);
    size = load(&there);
    expect(size >= 1000 && size < 1000 + SEVERAL);
    expect(pattern_is(there, 0, (size_t)size));
    close_world();
}
END_TEST

/* ---- a loss of power ---- */

static unsigned losses_seen[2]; /* with the old contents, with the new */

/* Draws what a loss of power at this moment might leave. */
static void lose_power(struct io_uring_sqe *sqe)
{
    (void)sqe;
    for (int i = 0; i < 20; i++) {
        const void *there = NULL;
        ssize_t size = sim_file_survives(fixture.sim, path, &there);

        expect(is_old(there, size) || is_new(there, size));
        losses_seen[is_new(there, size)]++;
    }
}

START_TEST(a_loss_of_power_leaves_the_old_contents_or_the_new)
{
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_options options = sim_options_troubled(seed);

        fixture.seed = seed;
        fixture.seeded = true;
        open_world(SIMULATED, &options, true);
        fixture_on_entry(lose_power);
        expect_eq(await(replace_file()), 0);
        for (int i = 0; i < 20; i++) { /* the result is told: now it is the new ones */
            const void *there = NULL;
            ssize_t size = sim_file_survives(fixture.sim, path, &there);

            expect(is_new(there, size));
        }
        close_world();
    }
    ck_assert_uint_gt(losses_seen[0], 0);
    ck_assert_uint_gt(losses_seen[1], 0);
}
END_TEST

/* ---- failures ---- */

static int entries, entry_to_fail;
static uint8_t failed_opcode;

/* Makes one entry one of an operation that the kernel does not know. Not a close, or the
 * test itself would lose the descriptor. */
static void fail_one(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_CLOSE || entries++ != entry_to_fail)
        return;
    failed_opcode = sqe->opcode;
    sqe->opcode = IORING_OP_LAST;
}

START_TEST(whichever_step_fails_the_contents_are_whole_and_nothing_is_left)
{
    for (entry_to_fail = 0;; entry_to_fail++) {
        if (!open_world(_i, NULL, true))
            return;
        entries = 0;
        fixture_on_entry(fail_one);
        expect_eq(await(replace_file()), entries > entry_to_fail ? -EINVAL : 0);
        fixture_on_entry(NULL);
        expect_contents(replace.is_replaced);
        if (entries <= entry_to_fail)
            break;
        /* The last two syncs are the file's and the directory's. */
        expect_eq(replace.is_replaced, failed_opcode == IORING_OP_FSYNC && entry_to_fail == 5);
        close_world();
    }
    ck_assert_int_eq(entry_to_fail, 6);
    close_world();
}
END_TEST

START_TEST(one_that_has_replaced_a_file_before_fails_as_a_new_one_does)
{
    if (!open_world(_i, NULL, true))
        return;
    expect_eq(await(replace_file()), 0);
    entries = 0;
    entry_to_fail = 2; /* the write */
    fixture_on_entry(fail_one);
    expect_eq(await(rill_path_replace(&replace, path, old_bytes, OLD_SIZE, 0600)), -EINVAL);
    fixture_on_entry(NULL);
    expect_eq(failed_opcode, IORING_OP_WRITE);
    expect(!replace.is_replaced);
    expect_contents(true);
    close_world();
}
END_TEST

/* Whatever fails, and cancelled at some moment. */
static void run_with_faults(uint64_t seed, unsigned tally[3])
{
    struct sim_options options = sim_options_troubled(seed);
    static struct background task;
    struct rill_sleep sleep;
    int64_t result;

    options.file_per_mille = (unsigned)(seed % 5) * 50;
    options.enomem_per_mille = (unsigned)(seed % 3) * 30;
    options.no_thread_per_mille = (unsigned)(seed % 4) * 20;
    options.disk_size_max = seed % 7 ? 0 : OLD_SIZE + NEW_SIZE / 2;
    fixture.seed = seed;
    fixture.seeded = true;
    if (!fixture_open(SIMULATED, &options, NULL))
        return;
    memset(&replace, 0, sizeof replace);
    sim_file_put(fixture.sim, path, old_bytes, OLD_SIZE);
    background_start(&task, replace_file());
    if (seed % 2) {
        await(rill_sleep(&sleep, (int64_t)sim_random(fixture.sim, 40 * RILL_MICROSECOND)));
        if (!rill_task_is_over(&task.task))
            rill_task_cancel(&task.task);
    }
    result = background_end(&task);
    expect(result != -ECANCELED || seed % 2);
    expect(!replace.is_replaced || result == 0 || result == -EIO || result == -ENOMEM ||
           result == -EAGAIN);
    expect(replace.is_replaced || result < 0);
    expect_contents(replace.is_replaced);
    /* Removing the temporary file may have failed as well, but not for a cancel, nor for want of
     * a thread. */
    bool may_fail = options.file_per_mille || options.enomem_per_mille;

    expect(count_names() <= (may_fail ? 2 : 1));
    tally[result == 0 ? 0 : result == -ECANCELED ? 1 : 2]++;
    fixture_close();
}

START_TEST(whatever_fails_and_is_cancelled_the_contents_are_whole)
{
    unsigned tally[3] = {0};
    uint64_t first, count;

    pattern_fill(old_bytes, 0, OLD_SIZE);
    pattern_fill(new_bytes, NEW_BEGINS, NEW_SIZE);
    snprintf(path, sizeof path, "%s/file", base);
    fixture_seeds(2000, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        run_with_faults(seed, tally);
    if (count >= 500)
        expect(tally[0] > 0 && tally[1] > 0 && tally[2] > 0);
}
END_TEST

/* It is removed by a call then. */
START_TEST(want_of_threads_leaves_no_temporary_file)
{
    uint64_t first, count;

    (void)_i;
    fixture_seeds(100, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const struct sim_options options = {
            .seed = seed,
            .no_thread_per_mille = 300,
            .disk_size_max = OLD_SIZE + NEW_SIZE / 2,
        };
        int64_t result;

        fixture.seed = seed;
        fixture.seeded = true;
        if (!open_world(SIMULATED, &options, true))
            return;
        result = await(replace_file());
        expect(result == -ENOSPC || result == -EAGAIN);
        expect_contents(false);
        close_world();
    }
}
END_TEST

/* ---- the name of the new file ---- */

static unsigned names_taken, names_to_take;

/* Takes the name first that the new file is about to get. */
static void take_name(struct io_uring_sqe *sqe)
{
    char taken[200];

    if (sqe->opcode != IORING_OP_OPENAT || !(sqe->open_flags & O_EXCL) ||
        names_taken == names_to_take)
        return;
    snprintf(taken, sizeof taken, "%s/%s", base, (const char *)(uintptr_t)sqe->addr);
    sim_file_put(fixture.sim, taken, "", 0);
    names_taken++;
}

static void expect_with_names_taken(unsigned count, int64_t result)
{
    names_taken = 0;
    names_to_take = count;
    open_world(SIMULATED, NULL, true);
    fixture_on_entry(take_name);
    expect_eq(await(replace_file()), result);
    expect_contents(result == 0);
    expect_eq(names_taken, count);
    expect_eq(count_names(), 1 + count);
    fixture_close();
}

START_TEST(a_name_that_is_taken_is_left_alone_and_another_one_is_tried)
{
    (void)_i;
    expect_with_names_taken(1, 0);
    expect_with_names_taken(RILL_REPLACE_NAMES_MAX - 1, 0);
    expect_with_names_taken(RILL_REPLACE_NAMES_MAX, -EEXIST);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {the_new_contents_take_the_place_of_the_old, IN_BOTH},
        {a_file_that_was_not_there_is_made, IN_BOTH},
        {no_contents_are_contents, IN_BOTH},
        {a_name_without_a_directory_is_one_in_the_working_directory, IN_REAL},
        {a_file_of_the_root_directory_is_replaced_there, IN_SIMULATED},
        {a_symbolic_link_is_replaced_itself, IN_BOTH},
        {who_has_the_old_file_open_keeps_it, IN_BOTH},
        {a_path_that_can_not_be_replaced_says_why_and_nothing_is_left, IN_BOTH},
        {of_several_at_a_time_one_is_the_last_and_whole, IN_BOTH},
        {a_loss_of_power_leaves_the_old_contents_or_the_new, IN_SIMULATED},
        {whichever_step_fails_the_contents_are_whole_and_nothing_is_left, IN_BOTH},
        {one_that_has_replaced_a_file_before_fails_as_a_new_one_does, IN_BOTH},
        {whatever_fails_and_is_cancelled_the_contents_are_whole, IN_SIMULATED},
        {want_of_threads_leaves_no_temporary_file, IN_SIMULATED},
        {a_name_that_is_taken_is_left_alone_and_another_one_is_tried, IN_SIMULATED},
    };

    return fixture_main("replace", cases, sizeof cases / sizeof *cases);
}
