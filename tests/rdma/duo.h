/* SPDX-License-Identifier: Apache-2.0 */
/* duo.h - a runtime with two UCX workers that have an endpoint to each other.
 *
 * Both are in one process and one runtime, and their tasks run beside each other. A
 * test that is given the world's number by its loop (_i) runs over TCP and over shared
 * memory; where tests/rdma/network.h tells of devices for verbs, it runs over those instead:
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
#include "tests/rdma/network.h"

enum {
    OVER_TCP = 0, /* or over verbs, in TCP's place */
    OVER_SHM = 1,
};

/* In which worlds a test runs. */
enum {
    IN_TCP = 1, /* and over verbs */
    IN_SHM = 2,
    IN_TCP_AND_SHM = 3,
    /* What a test needs besides: */
    TCP_ITSELF = 4,       /* not verbs in its place */
    SOCKET_ADDRESSES = 8, /* connecting by worker address is not the same */
    LOOPBACK = 16,        /* a device that reaches itself: not one end of a wire */
    WIRE = 32,            /* two devices, and a wire that can be cut */
};

struct duo {
    struct rill_rdma left, right;
    struct rill_rdma_ep to_right, to_left; /* of left, of right */
    /* Set before a worker is opened: what it is asked for. */
    bool has_connections_alone, has_long_segments, has_single_copy, is_tcp_only;
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

/* Checks that nothing of a worker is in flight, once it has found out that it hears, if it is about
 * to (rdma/hearing.h). */
void duo_expect_idle(struct rill_rdma *rdma);

/* Has the runtime turn until condition is true, for ten seconds at the most (of a machine
 * that is not slow). */
#define duo_turn_until(condition)                                                                  \
    do {                                                                                           \
        struct rill_sleep pause_;                                                                  \
        int turns_ = 0;                                                                            \
                                                                                                   \
        for (; !(condition) && turns_ < 10000 * network()->slowness; turns_++)                     \
            await(rill_sleep(&pause_, RILL_MILLISECOND));                                          \
        expect(condition);                                                                         \
    } while (0)

/* The socket address of the right one, with a port. Fails the test where there is none: it
 * should have said SOCKET_ADDRESSES. */
struct rill_address duo_address(uint16_t port);

/* A port of that address that nobody else is given until *fd is closed: who has a number for
 * later, as for a peer that is started anew, would find the port taken now and then. Whoever
 * listens at it has to say SO_REUSEADDR, as rdma does. */
uint16_t duo_reserve_port(int *fd);

/* Has a worker listen at a free port. Returns where. */
struct rill_address duo_listen(struct rill_rdma_listener *listener, struct rill_rdma *rdma);

/* Whether the connections of a world are made by the addresses of workers: over shared memory,
 * which has no sockets, and where socket addresses do not work. */
bool duo_is_by_worker(int which);

/* Connects an endpoint of the left worker to one of the right, by socket address or, where
 * that does not work, by those of the workers. */
void duo_connect(struct rill_rdma_ep *client, struct rill_rdma_ep *server);

/* Whether a result tells that the peer is gone: what the transport saw first decides how. */
bool duo_is_loss(int64_t result);

struct duo_case {
    const TTest *test;
    unsigned worlds; /* IN_TCP ... */
};

/* Runs each test once for each of its worlds. Returns main's result: 77, skipped, if there
 * is nothing for this network. */
int duo_main(const char *name, const struct duo_case *cases, size_t count);

#endif
