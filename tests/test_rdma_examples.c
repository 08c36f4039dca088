/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_examples.c - each example of rdma does what its first lines say, alone and with
 * another process. */
#include "tests/programs.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char readings[] =
    "alarm of sensor 2\n"
    "sensor 2: 21 degrees\nsensor 2: 23 degrees\nsensor 2: 25 degrees\n"
    "sensor 1: 20 degrees\nsensor 1: 22 degrees\nsensor 1: 24 degrees\n"
    "note: all is well\nnote: it is getting warmer, and somebody should look at sensor 2\n";

/* Runs a program that needs no other one. */
static void run_alone(const char *path, const char *says)
{
    struct process program = {0};

    PROCESS_START(&program, path);
    ck_assert_int_eq(process_wait(&program), 0);
    ck_assert_str_eq(program.out.text, says);
    ck_assert_str_eq(program.err.text, "");
}

/* Starts one that waits at a port. Returns the port. */
static const char *start_waiting(struct process *program, const char *path)
{
    static char port[8];

    PROCESS_START(program, path, "0");
    strncpy(port, process_line(program, "listening on port ", 0), sizeof port - 1);
    return port;
}

/* Runs both sides. */
static void run_both(const char *path, const char *waiting_says, const char *joining_says)
{
    struct process waiting = {0}, joining = {0};

    PROCESS_START(&joining, path, "127.0.0.1", start_waiting(&waiting, path));
    ck_assert_int_eq(process_wait(&joining), 0);
    ck_assert_int_eq(process_wait(&waiting), 0);
    ck_assert_str_eq(joining.out.text, joining_says);
    ck_assert_str_eq(strchr(waiting.out.text, '\n') + 1, waiting_says);
    ck_assert_str_eq(waiting.err.text, "");
    ck_assert_str_eq(joining.err.text, "");
}

START_TEST(ping_pong_alone_hits_the_ball_from_both_sides)
{
    run_alone("examples/rdma_ping_pong", "left hit the ball 5000 times, right 5000 times\n");
}
END_TEST

START_TEST(ping_pong_plays_with_another_process)
{
    run_both("examples/rdma_ping_pong", "left hit the ball 0 times, right 5000 times\n",
             "left hit the ball 5000 times, right 0 times\n");
}
END_TEST

START_TEST(tags_alone_takes_messages_in_its_own_order)
{
    run_alone("examples/rdma_tags", readings);
}
END_TEST

START_TEST(tags_takes_messages_of_another_process_in_its_own_order)
{
    run_both("examples/rdma_tags", readings, "");
}
END_TEST

START_TEST(who_waits_at_a_port_ends_well_when_it_is_asked_to)
{
    static const char *const paths[] = {"examples/rdma_ping_pong", "examples/rdma_tags"};

    for (int i = 0; i < 2; i++) {
        struct process waiting = {0};

        start_waiting(&waiting, paths[i]);
        process_signal(&waiting, SIGTERM);
        ck_assert_int_eq(process_wait(&waiting), 0);
        ck_assert_str_eq(waiting.err.text, "");
    }
}
END_TEST

START_TEST(nobody_at_a_port_is_an_error)
{
    static const char *const paths[] = {"examples/rdma_ping_pong", "examples/rdma_tags"};

    for (int i = 0; i < 2; i++) {
        struct process joining = {0};

        PROCESS_START(&joining, paths[i], "127.0.0.1", "1");
        ck_assert_int_eq(process_wait(&joining), 1);
        ck_assert_str_eq(joining.out.text, "");
        ck_assert_str_ne(joining.err.text, "");
    }
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {ping_pong_alone_hits_the_ball_from_both_sides, 1},
        {ping_pong_plays_with_another_process, 1},
        {tags_alone_takes_messages_in_its_own_order, 1},
        {tags_takes_messages_of_another_process_in_its_own_order, 1},
        {who_waits_at_a_port_ends_well_when_it_is_asked_to, 1},
        {nobody_at_a_port_is_an_error, 1},
    };

    setenv("UCX_NET_DEVICES", "lo", 1);
    return programs_main("rdma examples", tests, sizeof tests / sizeof tests[0]);
}
