/* SPDX-License-Identifier: Apache-2.0 */
/* test_sim_peer.c - scripted peers die, stop sending, stop reading and reset when told to. */
#include "tests/sim/world.h"

#include <check.h>
#include <errno.h>

static struct world world;

static struct sim *open_with(const struct sim_options *options)
{
    ck_assert(world_open_or_skip(&world, 0, options, 32));
    return world.sim;
}

static int accept_one(int listener)
{
    io_uring_prep_accept(world_sqe(&world, 50), listener, NULL, NULL, 0);
    return world_result(&world, 50);
}

START_TEST(a_peer_that_dies_in_the_middle_of_a_message_leaves_its_half)
{
    struct sim *sim = open_with(NULL);
    struct sim_peer *peer;
    uint16_t port;
    int listener = world_listen(&world, &port), server;
    char buffer[8];

    peer = sim_peer_connect(sim, port);
    sim_peer_send(peer, "half", 4);
    sim_peer_close(peer);
    server = accept_one(listener);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 4);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 0);
    ck_assert(sim_peer_connected(peer));
    world_close_fd(&world, server);
    world_close_fd(&world, listener);
    world_close(&world);
}
END_TEST

START_TEST(a_peer_can_be_half_closed_then_reset)
{
    struct sim *sim = open_with(NULL);
    struct sim_peer *peer;
    const void *bytes;
    uint16_t port;
    int listener = world_listen(&world, &port), server;
    char buffer[8];

    peer = sim_peer_connect(sim, port);
    sim_peer_shutdown(peer);
    server = accept_one(listener);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), 0);
    ck_assert_int_eq(world_send(&world, server, "abc", 3), 3);
    ck_assert(world_is_quiet(&world));
    ck_assert_uint_eq(sim_peer_received(peer, &bytes), 3);
    ck_assert_mem_eq(bytes, "abc", 3);
    sim_peer_reset(peer);
    ck_assert_int_eq(world_send(&world, server, "abc", 3), -EPIPE);
    world_close_fd(&world, server);
    /* Who has not seen the end before sees the reset. */
    peer = sim_peer_connect(sim, port);
    server = accept_one(listener);
    sim_peer_reset(peer);
    ck_assert_int_eq(world_recv(&world, server, buffer, 8), -ECONNRESET);
    world_close_fd(&world, server);
    world_close_fd(&world, listener);
    ck_assert_int_eq(sim_peer_error(sim_peer_connect(sim, port)), 0);
    peer = sim_peer_connect(sim, port);
    ck_assert(world_is_quiet(&world));
    ck_assert_int_eq(sim_peer_error(peer), -ECONNREFUSED);
    world_close(&world);
}
END_TEST

START_TEST(a_paused_peer_makes_its_sender_wait)
{
    const struct sim_options options = {.socket_buffer_size = 16};
    struct sim *sim = open_with(&options);
    struct sim_peer *listener = sim_peer_listen(sim, 4000, 4), *peer;
    int client = world_connect(&world, 4000);
    char message[40] = "message";

    peer = sim_peer_accept(listener);
    ck_assert_ptr_nonnull(peer);
    ck_assert_ptr_null(sim_peer_accept(listener));
    sim_peer_pause(peer, true);
    io_uring_prep_send(world_sqe(&world, 1), client, message, sizeof message, MSG_WAITALL);
    ck_assert(world_is_quiet(&world));
    sim_peer_pause(peer, false);
    ck_assert_int_eq(world_result(&world, 1), sizeof message);
    world_close_fd(&world, client);
    ck_assert(world_is_quiet(&world));
    ck_assert(sim_peer_ended(peer));
    ck_assert_uint_eq(sim_peer_received(peer, NULL), sizeof message);
    world_close(&world);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_peer_that_dies_in_the_middle_of_a_message_leaves_its_half,
        a_peer_can_be_half_closed_then_reset,
        a_paused_peer_makes_its_sender_wait,
    };

    return world_main("sim_peer", 1, tests, sizeof tests / sizeof *tests);
}
