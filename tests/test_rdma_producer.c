/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_producer.c - a file through a pipeline, and producers with their consumer: the
 * examples do what their first lines say, also when one of them is stopped or killed. */
#include "tests/programs.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Writes a file of so many bytes of pattern. */
static void make_file(char *path, size_t size)
{
    static char bytes[PROCESS_TEXT_MAX];
    int fd = mkstemp(path);

    ck_assert_int_ge(fd, 0);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)('a' + i % 26);
    ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

START_TEST(a_file_comes_out_of_the_pipeline_as_it_went_in)
{
    static const size_t sizes[] = {0, 1, 10000, PROCESS_TEXT_MAX - 1};
    static struct process pipeline;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char path[] = "/tmp/rill-pipeline-XXXXXX";

        make_file(path, sizes[i]);
        memset(&pipeline, 0, sizeof pipeline);
        PROCESS_START(&pipeline, "examples/rdma_pipeline", path);
        ck_assert_int_eq(process_wait(&pipeline), 0);
        ck_assert_uint_eq(pipeline.out.size, sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++)
            ck_assert(pipeline.out.text[at] == (char)('a' + at % 26));
        ck_assert_str_eq(pipeline.err.text, "");
        unlink(path);
    }
}
END_TEST

START_TEST(a_file_that_is_not_there_is_said_so)
{
    static struct process pipeline;

    PROCESS_START(&pipeline, "examples/rdma_pipeline", "/nowhere/at/all");
    ck_assert_int_eq(process_wait(&pipeline), 1);
    ck_assert_ptr_nonnull(strstr(pipeline.err.text, "No such file or directory"));
}
END_TEST

static void start_consumer(struct process *consumer, char port[8])
{
    PROCESS_START(consumer, "examples/rdma_consumer", "0");
    snprintf(port, 8, "%ld", strtol(process_line(consumer, "listening on port ", 0), NULL, 10));
}

START_TEST(several_producers_send_to_one_consumer)
{
    static struct process consumer, producers[3];
    char port[8];

    start_consumer(&consumer, port);
    for (int i = 0; i < 3; i++)
        PROCESS_START(&producers[i], "examples/rdma_producer", "127.0.0.1", port, "50000");
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(process_wait(&producers[i]), 0);
        ck_assert_str_eq(producers[i].out.text, "connected\n50005 messages sent\n");
        ck_assert_str_eq(producers[i].err.text, "");
    }
    process_line(&consumer, "50005 numbers, their sum is 1250025000\n", 2);
    process_signal(&consumer, SIGTERM);
    ck_assert_int_eq(process_wait(&consumer), 0);
    ck_assert_str_eq(consumer.err.text, "");
}
END_TEST

START_TEST(a_producer_that_is_stopped_ends_well_and_so_does_its_consumer)
{
    static struct process consumer, producer;
    char port[8];
    int status;

    start_consumer(&consumer, port);
    PROCESS_START(&producer, "examples/rdma_producer", "127.0.0.1", port, "10000000");
    process_line(&producer, "connected", 0);
    process_signal(&producer, SIGTERM);
    status = process_wait(&producer);
    ck_assert_msg(status == 0 || status == 1, "status %d: %s", status, producer.err.text);
    process_signal(&consumer, SIGTERM);
    ck_assert_int_eq(process_wait(&consumer), 0);
}
END_TEST

START_TEST(a_consumer_that_is_killed_ends_its_producer)
{
    static struct process consumer, producer;
    char port[8];

    start_consumer(&consumer, port);
    PROCESS_START(&producer, "examples/rdma_producer", "127.0.0.1", port, "10000000");
    process_line(&producer, "connected", 0);
    process_kill(&consumer);
    ck_assert_int_eq(process_wait(&producer), 1);
    ck_assert_ptr_nonnull(strstr(producer.out.text, "messages sent"));
}
END_TEST

START_TEST(a_producer_without_a_consumer_gives_up)
{
    static struct process producer;

    PROCESS_START(&producer, "examples/rdma_producer", "127.0.0.1", "1", "10");
    ck_assert_int_eq(process_wait(&producer), 1);
    ck_assert_str_ne(producer.err.text, "");
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {a_file_comes_out_of_the_pipeline_as_it_went_in, 1},
        {a_file_that_is_not_there_is_said_so, 1},
        {several_producers_send_to_one_consumer, 1},
        {a_producer_that_is_stopped_ends_well_and_so_does_its_consumer, 1},
        {a_consumer_that_is_killed_ends_its_producer, 1},
        {a_producer_without_a_consumer_gives_up, 1},
    };

    setenv("UCX_NET_DEVICES", "lo", 1);
    return programs_main("rdma producer", tests, sizeof tests / sizeof *tests);
}
