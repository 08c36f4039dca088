/* SPDX-License-Identifier: Apache-2.0 */
/* test_fd_queue.c - descriptors leave their queue in the order in which they came, whatever their
 * numbers. */
#include "io/fd_queue.h"

#include "tests/fixture.h"

#include <sys/resource.h>

static struct rill_fd_table table;
static struct rill_fd_queue one, other;

/* The smallest table there is. */
static void open_table(void)
{
    struct rlimit few;

    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &few), 0);
    few.rlim_cur = few.rlim_max = 100;
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    ck_assert_int_eq(rill_fd_table_init(&table), 0);
    rill_fd_queue_init(&one);
    rill_fd_queue_init(&other);
}

START_TEST(two_queues_share_a_table)
{
    open_table();
    for (int fd = 0; fd < 20; fd++)
        rill_fd_queue_push(&table, fd % 2 ? &other : &one, 19 - fd);
    ck_assert_uint_eq(one.count, 10);
    for (int fd = 0; fd < 20; fd++)
        ck_assert_int_eq(rill_fd_queue_pop(&table, fd % 2 ? &other : &one), 19 - fd);
    ck_assert_uint_eq(one.count + other.count, 0);
    rill_fd_table_finish(&table);
}
END_TEST

/* Whoever may raises the limit after the runtime was made. */
START_TEST(a_descriptor_beyond_the_limit_of_the_beginning_makes_the_table_larger)
{
    const int fds[] = {3, 4096, 4095, 1 << 20, 50};

    open_table();
    ck_assert_uint_eq(table.count, 4096);
    for (int i = 0; i < 5; i++)
        rill_fd_queue_push(&table, &one, fds[i]);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(rill_fd_queue_pop(&table, &one), fds[i]);
    ck_assert_uint_eq(one.count, 0);
    rill_fd_table_finish(&table);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {two_queues_share_a_table, IN_REAL},
        {a_descriptor_beyond_the_limit_of_the_beginning_makes_the_table_larger, IN_REAL},
    };

    return fixture_main("fd queue", cases, sizeof cases / sizeof *cases);
}
