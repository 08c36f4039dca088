/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_world.c - the simulator's clock, bounds and faults do what they say. */
#include "tests/sim/world.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static struct world world;

static struct sim *open_with(const struct sim_options *options)
{
    ck_assert(world_open_or_skip(&world, 0, options, 32));
    return world.sim;
}

static int enter_until(int64_t until)
{
    return world.kernel->ops->enter(world.kernel, &world.ring, until);
}

static int accept_one(int listener)
{
    io_uring_prep_accept(world_sqe(&world, 50), listener, NULL, NULL, 0);
    return world_result(&world, 50);
}

/* ---- clock ---- */

static void note_time(struct sim *sim, void *arg)
{
    *(int64_t *)arg = sim_now(sim);
}

START_TEST(a_wait_jumps_to_the_next_event_or_to_its_end)
{
    int64_t start, seen = 0;
    struct sim *sim = open_with(NULL);

    start = sim_now(sim);
    sim_at(sim, start + 5000000, note_time, &seen);
    ck_assert_int_eq(enter_until(start + 9000000), 0);
    ck_assert_int_eq(seen, start + 5000000);
    ck_assert_int_eq(sim_now(sim), start + 9000000);
    ck_assert_uint_eq(sim_enters(sim), 1);
    world_close(&world);
}
END_TEST

START_TEST(a_look_at_the_clock_lets_time_pass_and_shows_that_entering_is_worth_it)
{
    const struct sim_options options = {.clock_step_ns = 250};
    int64_t start, seen = 0;
    struct sim *sim = open_with(&options);

    start = world.kernel->ops->now(world.kernel);
    ck_assert_int_eq(start, SIM_START_NS + 250);
    sim_at(sim, start + INT64_C(3600000000000), note_time, &seen);
    while (!(*world.ring.sq.kflags & IORING_SQ_TASKRUN))
        world.kernel->ops->now(world.kernel);
    ck_assert_int_eq(seen, 0);
    world_submit(&world);
    ck_assert_int_ge(seen, start + INT64_C(3600000000000));
    ck_assert(!(*world.ring.sq.kflags & IORING_SQ_TASKRUN));
    world_close(&world);
}
END_TEST

START_TEST(waiting_for_ever_where_nothing_can_happen_is_a_deadlock)
{
    const struct sim_options options = {.deadlock_returns = true};
    struct sim *sim = open_with(&options);
    int client, server;
    char byte;

    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, &byte, 1, 0);
    ck_assert_int_eq(enter_until(RILL_NEVER), -EDEADLK);
    ck_assert_uint_eq(sim_ops_in_flight(sim), 1);
    world_close_fd(&world, client);
    ck_assert_int_eq(world_result(&world, 1), 0);
    world_close_fd(&world, server);
    ck_assert_uint_eq(sim_fds_open(sim), 0);
    world_close(&world);
}
END_TEST

START_TEST(bytes_arrive_after_their_latency_and_before_the_end_of_the_stream)
{
    const struct sim_options options = {.latency_min_ns = 2000000, .latency_max_ns = 2000000};
    struct sim *sim = open_with(&options);
    int client, server;
    int64_t sent;
    char buffer[8];

    world_pair(&world, &client, &server);
    sent = sim_now(sim);
    ck_assert_int_eq(world_send(&world, client, "abc", 3), 3);
    ck_assert_int_lt(sim_now(sim), sent + 100000);
    world_close_fd(&world, client);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 3);
    ck_assert_int_ge(sim_now(sim), sent + 2000000);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 0);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

/* ---- bounds ---- */

START_TEST(a_full_backlog_makes_connects_wait)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int listener, clients[3], servers[3];

    open_with(NULL);
    listener = world.kernel->ops->socket(world.kernel, AF_INET, SOCK_STREAM, 0);
    world.kernel->ops->listen(world.kernel, listener, 1);
    world.kernel->ops->getsockname(world.kernel, listener, (struct sockaddr *)&address, &size);
    address = world_address(ntohs(address.sin_port));
    for (int i = 0; i < 3; i++) {
        clients[i] = world.kernel->ops->socket(world.kernel, AF_INET, SOCK_STREAM, 0);
        io_uring_prep_connect(world_sqe(&world, (uint64_t)i), clients[i],
                              (struct sockaddr *)&address, size);
    }
    ck_assert_int_eq(world_result(&world, 0), 0);
    ck_assert_int_eq(world_result(&world, 1), 0);
    ck_assert(world_is_quiet(&world));
    servers[0] = accept_one(listener);
    ck_assert_int_eq(world_result(&world, 2), 0);
    for (int i = 1; i < 3; i++)
        servers[i] = accept_one(listener);
    for (int i = 0; i < 3; i++) {
        world_close_fd(&world, clients[i]);
        world_close_fd(&world, servers[i]);
    }
    world_close_fd(&world, listener);
    world_close(&world);
}
END_TEST

START_TEST(a_full_socket_buffer_makes_a_send_wait_or_fall_short)
{
    const struct sim_options options = {.socket_buffer_size = 4};
    int client, server;
    char buffer[8];

    open_with(&options);
    world_pair(&world, &client, &server);
    ck_assert_int_eq(world_send(&world, client, "abcdef", 6), 4);
    io_uring_prep_send(world_sqe(&world, 1), client, "ef", 2, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_recv(world_sqe(&world, 2), server, buffer, 2, 0);
    ck_assert_int_eq(world_result(&world, 2), 2);
    ck_assert_int_eq(world_result(&world, 1), 2);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 4);
    ck_assert_mem_eq(buffer, "cdef", 4);
    world_close_fd(&world, client);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

START_TEST(a_full_disk_says_so_and_files_can_be_put_and_looked_at)
{
    const struct sim_options options = {.disk_size_max = 10};
    struct sim *sim = open_with(&options);
    const void *bytes;
    int fd;

    sim_file_put(sim, "/etc/name", "value", 5);
    io_uring_prep_openat(world_sqe(&world, 1), AT_FDCWD, "/etc/name", O_RDWR, 0);
    fd = world_result(&world, 1);
    io_uring_prep_write(world_sqe(&world, 2), fd, "0123456789A", 11, 0);
    ck_assert_int_eq(world_result(&world, 2), -ENOSPC);
    io_uring_prep_write(world_sqe(&world, 3), fd, "V", 1, 0);
    ck_assert_int_eq(world_result(&world, 3), 1);
    ck_assert_int_eq(sim_file_get(sim, "etc/name", &bytes), 5);
    ck_assert_mem_eq(bytes, "Value", 5);
    ck_assert_int_eq(sim_file_get(sim, "/etc", &bytes), -EISDIR);
    ck_assert_int_eq(sim_file_get(sim, "/etc/none", &bytes), -ENOENT);
    world_close_fd(&world, fd);
    world_close(&world);
}
END_TEST

/* ---- faults ---- */

START_TEST(an_enter_that_fails_takes_fewer_entries_and_leaves_the_rest)
{
    const struct sim_options options = {.seed = 3, .submit_eagain_per_mille = 300};
    unsigned failures = 0;

    open_with(&options);
    for (uint64_t i = 0; i < 20; i++)
        io_uring_prep_nop(world_sqe(&world, i));
    while (io_uring_sq_ready(&world.ring)) {
        int result = world_submit(&world);

        ck_assert(result == -EAGAIN || result > 0);
        ck_assert_int_eq(result == -EAGAIN, io_uring_sq_ready(&world.ring) > 0);
        failures += result == -EAGAIN;
    }
    ck_assert_uint_gt(failures, 0);
    for (uint64_t i = 0; i < 20; i++)
        ck_assert_int_eq(world_result(&world, i), 0);
    world_close(&world);
}
END_TEST

START_TEST(an_interrupted_enter_has_taken_the_entries_but_not_waited)
{
    const struct sim_options options = {.enter_eintr_per_mille = 1000};
    struct sim *sim = open_with(&options);
    int fd = sim_counter_create(sim);
    int64_t start = sim_now(sim);

    io_uring_prep_poll_add(world_sqe(&world, 1), fd, POLLIN);
    ck_assert_int_eq(enter_until(start + 1000000), -EINTR);
    ck_assert_int_lt(sim_now(sim), start + 1000000);
    ck_assert_uint_eq(sim_ops_in_flight(sim), 1);
    sim_counter_add(sim, fd, 1);
    ck_assert_int_eq(world_result(&world, 1), POLLIN);
    world_close_fd(&world, fd);
    world_close(&world);
}
END_TEST

START_TEST(an_overflow_can_be_forced_and_keeps_the_order)
{
    const struct sim_options options = {
        .seed = 5, .overflow_per_mille = 500, .submit_ebusy_per_mille = 1000, .cq_entries_max = 4};
    struct sim *sim = open_with(&options);

    ck_assert_uint_eq(world.ring.cq.ring_entries, 4);
    for (uint64_t i = 0; i < 20; i++)
        io_uring_prep_nop(world_sqe(&world, i));
    ck_assert_int_eq(world_submit(&world), 20);
    ck_assert(*world.ring.sq.kflags & IORING_SQ_CQ_OVERFLOW);
    io_uring_prep_nop(world_sqe(&world, 20));
    ck_assert_int_eq(world_submit(&world), -EBUSY);
    ck_assert_uint_eq(io_uring_sq_ready(&world.ring), 1);
    for (uint64_t i = 0; i <= 20; i++)
        ck_assert_int_eq(world_result(&world, i), 0);
    ck_assert_uint_ge(sim_overflows(sim), 16);
    world_close(&world);
}
END_TEST

START_TEST(a_cancel_that_comes_too_late_leaves_the_real_result)
{
    const struct sim_options options = {.seed = 1, .cancel_lost_per_mille = 1000};
    int client, server;
    char byte = 0;

    open_with(&options);
    world_pair(&world, &client, &server);
    io_uring_prep_recv(world_sqe(&world, 1), server, &byte, 1, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_cancel64(world_sqe(&world, 2), 1, 0);
    io_uring_prep_send(world_sqe(&world, 3), client, "x", 1, 0);
    ck_assert_int_eq(world_result(&world, 2), -EALREADY);
    ck_assert_int_eq(world_result(&world, 3), 1);
    ck_assert_int_eq(world_result(&world, 1), 1);
    /* Where nothing has come by then, it ends all the same. */
    io_uring_prep_recv(world_sqe(&world, 4), server, &byte, 1, 0);
    ck_assert(world_is_quiet(&world));
    io_uring_prep_cancel64(world_sqe(&world, 5), 4, 0);
    ck_assert_int_eq(world_result(&world, 5), -EALREADY);
    ck_assert_int_eq(world_result(&world, 4), -ECANCELED);
    world_close_fd(&world, client);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

START_TEST(a_cancel_that_misses_changes_nothing_and_says_that_it_has_failed)
{
    const struct sim_options options = {.seed = 1, .cancel_missed_per_mille = 500};
    int client, server, misses[2] = {0};
    char byte = 0;

    open_with(&options);
    world_pair(&world, &client, &server);
    for (int i = 0; i < 20; i++) {
        int result;

        io_uring_prep_recv(world_sqe(&world, 1), server, &byte, 1, 0);
        ck_assert(world_is_quiet(&world));
        for (;;) {
            io_uring_prep_cancel64(world_sqe(&world, 2), 1, 0);
            result = world_result(&world, 2);
            if (result == 0)
                break;
            ck_assert(result == -ENOENT || result == -EALREADY);
            misses[result == -ENOENT]++;
            ck_assert(world_is_quiet(&world));
        }
        ck_assert_int_eq(world_result(&world, 1), -ECANCELED);
    }
    ck_assert_int_gt(misses[0], 0);
    ck_assert_int_gt(misses[1], 0);
    world_close_fd(&world, client);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

START_TEST(a_buffer_is_missing_until_it_is_provided_again)
{
    struct sim *sim = open_with(NULL);
    struct io_uring_sqe *sqe;
    int client, server;

    world_pair(&world, &client, &server);
    world_buffers(&world, 8, 8, 2);
    ck_assert_int_eq(world_send(&world, client, "abcde", 5), 5);
    sqe = world_sqe(&world, 1);
    io_uring_prep_recv_multishot(sqe, server, NULL, 0, 0);
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = WORLD_GROUP;
    for (int i = 0; i < 3; i++)
        ck_assert_int_gt(world_result(&world, 1), 0);
    ck_assert_uint_eq(sim_buffers_missing(sim, WORLD_GROUP), 3);
    world_provide(&world, 1);
    world_provide(&world, 0);
    ck_assert_uint_eq(sim_buffers_missing(sim, WORLD_GROUP), 1);
    world_close_fd(&world, client);
    ck_assert_int_eq(world_result(&world, 1), 0);
    world_close_fd(&world, server);
    world_close(&world);
}
END_TEST

START_TEST(a_counter_wakes_who_polls_or_reads_it)
{
    struct sim *sim = open_with(NULL);
    int fd = sim_counter_create(sim);
    uint64_t value = 0;

    io_uring_prep_poll_add(world_sqe(&world, 1), fd, POLLIN);
    ck_assert(world_is_quiet(&world));
    sim_counter_add(sim, fd, 3);
    ck_assert_int_eq(world_result(&world, 1), POLLIN);
    io_uring_prep_read(world_sqe(&world, 2), fd, &value, sizeof value, 0);
    ck_assert_int_eq(world_result(&world, 2), 8);
    ck_assert_uint_eq(value, 3);
    world_close_fd(&world, fd);
    world_close(&world);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_wait_jumps_to_the_next_event_or_to_its_end,
        a_look_at_the_clock_lets_time_pass_and_shows_that_entering_is_worth_it,
        waiting_for_ever_where_nothing_can_happen_is_a_deadlock,
        bytes_arrive_after_their_latency_and_before_the_end_of_the_stream,
        a_full_backlog_makes_connects_wait,
        a_full_socket_buffer_makes_a_send_wait_or_fall_short,
        a_full_disk_says_so_and_files_can_be_put_and_looked_at,
        an_enter_that_fails_takes_fewer_entries_and_leaves_the_rest,
        an_interrupted_enter_has_taken_the_entries_but_not_waited,
        an_overflow_can_be_forced_and_keeps_the_order,
        a_cancel_that_comes_too_late_leaves_the_real_result,
        a_cancel_that_misses_changes_nothing_and_says_that_it_has_failed,
        a_buffer_is_missing_until_it_is_provided_again,
        a_counter_wakes_who_polls_or_reads_it,
    };

    return world_main("sim_world", 1, tests, sizeof tests / sizeof *tests);
}
