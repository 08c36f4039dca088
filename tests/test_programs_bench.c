/* SPDX-License-Identifier: Apache-2.0 */
/* test_programs_bench.c - what the benchmarks are made of does what it says. */
#include "tests/json_reader.h"
#include "tests/programs.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct process process, ping;
static char url[URL_TEXT_MAX];

START_TEST(the_loop_written_by_hand_echoes_every_byte)
{
    static const char *const loads[][4] = {
        {"-c", "5", "-d", "16"},
        {"-s", "1m", "-d", "2"},
        {"-c", "5", "--churn", "-d1"},
        {"-c", "200", "-d", "1"},
    };
    const char *const *load = loads[_i];

    PROCESS_START(&process, "bin/uring-echo", LOOPBACK_URL, "--congestion", "reno");
    url_of(listening_port(&process, 0), url);
    PROCESS_START(&ping, "bin/rill-ping", url, "-j", "-t", "300ms", load[0], load[1], load[2],
                  load[3]);
    ck_assert_int_eq(process_wait(&ping), 0);
    ck_assert_str_eq(ping.err.text, "");
    ck_assert_double_gt(json_number(ping.out.text, "requests"), 0);
    process_signal(&process, SIGTERM);
    ck_assert_int_eq(process_wait(&process), 0);
}
END_TEST

START_TEST(marks_surround_the_measurement)
{
    PROCESS_START(&process, "bin/uring-echo", LOOPBACK_URL);
    url_of(listening_port(&process, 0), url);
    PROCESS_START(&ping, "bin/rill-ping", url, "--marks", "-j", "-t", "50ms", "--warmup", "20ms");
    ck_assert_int_eq(process_wait(&ping), 0);
    ck_assert_ptr_eq(strstr(ping.out.text, "measuring\nmeasured\n{"), ping.out.text);
    process_signal(&process, SIGTERM);
    ck_assert_int_eq(process_wait(&process), 0);
}
END_TEST

START_TEST(one_measurement_can_be_taken_alone)
{
    PROCESS_START(&process, "bin/rill-micro", "-j", "-r1", "--only", "await", "--count", "100");
    ck_assert_int_eq(process_wait(&process), 0);
    ck_assert_double_gt(json_number(process.out.text, "await.median"), 0);
    ck_assert_ptr_null(strstr(process.out.text, "yield"));

    PROCESS_START(&process, "bin/rill-micro", "--only", "everything");
    ck_assert_int_eq(process_wait(&process), 2);
    ck_assert_ptr_nonnull(strstr(process.err.text, "there is no such measurement"));

    PROCESS_START(&process, "bin/rill-micro", "--count", "5");
    ck_assert_int_eq(process_wait(&process), 2);
    ck_assert_ptr_nonnull(strstr(process.err.text, "want --only too"));
}
END_TEST

START_TEST(pages_of_a_file_are_read_so_many_at_a_time)
{
    char path[] = "/tmp/rill-files-XXXXXX";
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, 64 * 4096), 0);
    close(fd);
    PROCESS_START(&process, "bin/rill-files", path, "-t", "100ms", "-d", _i ? "32" : "1", "-w",
                  _i ? "spin" : "sleep");
    ck_assert_int_eq(process_wait(&process), 0);
    ck_assert_double_gt(json_number(process.out.text, "reads"), 0);
    ck_assert_double_ge(json_number(process.out.text, "seconds"), 0.1);

    ck_assert_int_eq(truncate(path, 100), 0);
    PROCESS_START(&process, "bin/rill-files", path);
    ck_assert_int_eq(process_wait(&process), 2);
    ck_assert_ptr_nonnull(strstr(process.err.text, "want a file of 4 KiB at least"));
    unlink(path);
    PROCESS_START(&process, "bin/rill-files", path);
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "No such file"));
}
END_TEST

/* Those of sysfs have the size of a page, and a few bytes. */
START_TEST(a_file_that_ends_before_its_size_is_no_error_of_a_device)
{
    PROCESS_START(&process, "bin/rill-files", "/sys/devices/system/cpu/online");
    ck_assert_int_eq(process_wait(&process), 1);
    ck_assert_ptr_nonnull(strstr(process.err.text, "it ends before its size says"));
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {the_loop_written_by_hand_echoes_every_byte, 4},
        {marks_surround_the_measurement, 1},
        {one_measurement_can_be_taken_alone, 1},
        {pages_of_a_file_are_read_so_many_at_a_time, 2},
        {a_file_that_ends_before_its_size_is_no_error_of_a_device, 1},
    };

    return programs_main("programs_bench", tests, sizeof tests / sizeof tests[0]);
}
