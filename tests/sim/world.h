/* SPDX-License-Identifier: Apache-2.0 */
/* world.h - lets one test body run on the simulated kernel and on the real one. */
#ifndef RILL_TESTS_SIM_WORLD_H
#define RILL_TESTS_SIM_WORLD_H

#include "tests/sim/sim.h"

#include <check.h>

#define WORLD_GROUP 7

struct world {
    struct rill_kernel *kernel;
    struct sim *sim; /* NULL: the real kernel */
    struct io_uring ring;

    /* Of world_buffers. */
    struct io_uring_buf_ring *buffers;
    unsigned buffer_entries;
    size_t buffer_size;
    char *buffer_memory;

    char directory[64]; /* for files; empty, and removed in the end */
};

struct world_completion {
    uint64_t user_data;
    int result;
    unsigned flags;
};

/* Opens world number 0, the simulated one, or 1, the real one. Returns false,
 * saying so, where io_uring is not permitted. Options may be NULL: no faults. */
bool world_open_or_skip(struct world *world, int which, const struct sim_options *options,
                        unsigned entries);
void world_close(struct world *world);

/* The next entry of the submission queue, which has room. */
struct io_uring_sqe *world_sqe(struct world *world, uint64_t user_data);
int world_submit(struct world *world); /* without waiting */

/* Submits, and takes the next completion, for which it waits a second. */
struct world_completion world_next(struct world *world);
int world_result(struct world *world, uint64_t user_data); /* ... which is this one */
bool world_is_quiet(struct world *world);                  /* no completion comes for a while */

/* Fails the test unless the next completion is of user_data, with that result and, of those
 * in mask, with these flags. */
void world_expect(struct world *world, uint64_t user_data, int result, unsigned flags,
                  unsigned mask);

/* The same for two in whichever order: the kernel does some operations on a thread of its
 * own. Neither has a buffer or will have more results. */
void world_expect_in_any_order(struct world *world, uint64_t one, int one_result, uint64_t other,
                               int other_result);

/* Connected TCP sockets at 127.0.0.1, and a listener with its port. */
int world_listen(struct world *world, uint16_t *port);
void world_pair(struct world *world, int *client, int *server);
void world_bound(struct world *world, int from, int to); /* a real kernel holds no megabytes now */
int world_connect(struct world *world, uint16_t port);
struct sockaddr_in world_address(uint16_t port);

/* Blocking for the caller: one operation, its result. */
int world_send(struct world *world, int fd, const void *bytes, size_t size);
int world_recv(struct world *world, int fd, void *bytes, size_t size);
void world_close_fd(struct world *world, int fd);
void world_close_both(struct world *world, int one, int other);

/* A ring of count provided buffers of which the first `filled` are there. */
void world_buffers(struct world *world, unsigned count, unsigned filled, size_t size);
void world_provide(struct world *world, unsigned buffer);
const char *world_buffer(const struct world *world, unsigned buffer);

/* Runs each test for each of the worlds (1: the simulated one, 2: both), whose
 * number it finds in _i. Returns main's result. */
int world_main(const char *name, int worlds, const TTest *const *tests, size_t count);

#endif
