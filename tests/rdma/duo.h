/* SPDX-License-Identifier: Apache-2.0 */
/* duo.h - a runtime with two UCX workers that have an endpoint to each other.
 *
 * Both are in one process and one runtime, and their tasks run beside each other. A
 * test that is given the world's number by its loop (_i) runs over TCP and over shared
 * memory:
 *
 *     if (!duo_open(_i, NULL))
 *         return;
 *     background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send, bytes, 100, 1));
 *     expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv, buffer, 100, 1, ~0)), 100);
 *     ...
 *     duo_close(); */
#ifndef RILL_TESTS_RDMA_DUO_H
#define RILL_TESTS_RDMA_DUO_H

#include "rdma/endpoint.h"
#include "rdma/listener.h"
#include "rdma/rdma.h"
#include "tests/fixture.h"

enum {
    OVER_TCP = 0,
    OVER_SHM = 1,
};

/* In which worlds a test runs. */
enum {
    IN_TCP = 1,
    IN_SHM = 2,
    IN_TCP_AND_SHM = 3,
};

struct duo {
    struct rill_rdma left, right;
    struct rill_rdma_ep to_right, to_left; /* of left, of right */
};

extern struct duo duo;

/* Opens the runtime over the real kernel, the workers and the endpoints. options, of the
 * runtime, may be NULL. Returns false, saying so, where io_uring is not permitted. */
bool duo_open(int which, const struct rill_runtime_options *options);

/* The same without endpoints; and one worker of such a duo. */
bool duo_open_workers(int which, const struct rill_runtime_options *options);
void duo_open_worker(struct rill_rdma *rdma, int which);

/* Closes everything that is open, and checks that nothing is left. */
void duo_close(void);

/* Has the runtime turn until condition is true, for ten seconds at the most. */
#define duo_turn_until(condition)                                                                  \
    do {                                                                                           \
        struct rill_sleep pause_;                                                                  \
        int turns_ = 0;                                                                            \
                                                                                                   \
        for (; !(condition) && turns_ < 10000; turns_++)                                           \
            await(rill_sleep(&pause_, RILL_MILLISECOND));                                          \
        expect(condition);                                                                         \
    } while (0)

/* A socket address of this machine with a port. */
struct sockaddr_in duo_address(uint16_t port);

/* Has a worker listen at a free port. Returns where. */
struct sockaddr_in duo_listen(struct rill_rdma_listener *listener, struct rill_rdma *rdma);

/* Connects an endpoint of the left worker to one of the right, by socket address. */
void duo_connect(struct rill_rdma_ep *client, struct rill_rdma_ep *server);

struct duo_case {
    const TTest *test;
    unsigned worlds; /* IN_TCP ... */
};

/* Runs each test once for each of its worlds. Returns main's result. */
int duo_main(const char *name, const struct duo_case *cases, size_t count);

#endif
