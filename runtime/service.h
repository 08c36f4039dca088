/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - what a server runs for each connection: a struct that begins with a task and has
 * the connection, and the poll function of the task.
 *
 *     struct session {
 *         struct rill_task task;
 *         struct rill_tcp peer;
 *         struct store *store;                        // the same for all
 *     };
 *
 *     rill_serve(&server, "tcp://127.0.0.1:7000",
 *                RILL_SERVICE_WITH(struct session, peer, session_poll, store, &store));
 *
 * The server decides which struct the connection is: net/server.h, rdma/server.h. */
#ifndef RILL_RUNTIME_SERVICE_H
#define RILL_RUNTIME_SERVICE_H

#include "runtime/scope.h"
#include "runtime/shield.h"
#include "runtime/sleep.h"
#include "runtime/task.h"

#include <stddef.h>

#ifdef __cplusplus
#include <type_traits>

extern "C" {
#endif

struct rill_service {
    size_t size;        /* of the struct */
    size_t peer_offset; /* of its connection */
    size_t peer_size;   /* so that a server finds a connection of another kind */
    rill_poll_fn *poll;
    /* What all connections share: borrowed as long as one of them lives. */
    const void *shared;
    size_t shared_offset; /* of the member that points to it; 0: there is none */
};

/* The service whose connection is the member of that name of the struct type, which begins with
 * `struct rill_task task`: what does not, does not compile. In C++ too the struct is a zeroed
 * block: no constructor is run, and no destructor, so one that has any, or a member with a default
 * value, does not compile.
 *
 * RILL_SERVICE_WITH has another member, a pointer, set in each struct to what they share. */
#ifndef __cplusplus
#define RILL_SERVICE(type, member, poll_function)                                                  \
    ((struct rill_service){RILL_SERVICE_SIZE(type), offsetof(type, member),                        \
                           sizeof(((type *)0)->member), poll_function, NULL, 0})
#define RILL_SERVICE_WITH(type, member, poll_function, shared_member, pointer)                     \
    ((struct rill_service){                                                                        \
        RILL_SERVICE_SIZE(type), offsetof(type, member), sizeof(((type *)0)->member),              \
        poll_function, (pointer), /* of the right type? */                                         \
        offsetof(type, shared_member) + 0 * sizeof((type){.shared_member = (pointer)})})
#else
#define RILL_SERVICE(type, member, poll_function)                                                  \
    (rill_service{RILL_SERVICE_SIZE(type), offsetof(type, member), sizeof(((type *)0)->member),    \
                  poll_function, NULL, 0})
#define RILL_SERVICE_WITH(type, member, poll_function, shared_member, pointer)                     \
    (rill_service{RILL_SERVICE_SIZE(type), offsetof(type, member), sizeof(((type *)0)->member),    \
                  poll_function, static_cast<decltype(((type *)nullptr)->shared_member)>(pointer), \
                  offsetof(type, shared_member)})
#endif

/* private: the size of a struct that can be a service's. A task's address is that of its block. */
#define RILL_SERVICE_BEGINS_WITH_TASK(type)                                                        \
    (offsetof(type, task) == 0 && sizeof(((type *)0)->task) == sizeof(struct rill_task))
#define RILL_SERVICE_RULE "the struct of a service begins with `struct rill_task task`"
#ifndef __cplusplus
#define RILL_SERVICE_SIZE(type)                                                                    \
    (sizeof(type) + 0 * sizeof(struct {                                                            \
                        _Static_assert(RILL_SERVICE_BEGINS_WITH_TASK(type), RILL_SERVICE_RULE);    \
                        char unused;                                                               \
                    }))
#else
#define RILL_SERVICE_SIZE(type) (rill_service_struct<type>::size)
extern "C++" {
template <typename type> struct rill_service_struct {
    static_assert(RILL_SERVICE_BEGINS_WITH_TASK(type), RILL_SERVICE_RULE);
    static_assert(std::is_trivially_default_constructible<type>::value &&
                      std::is_trivially_destructible<type>::value,
                  "the struct of a service is a zeroed block, never constructed");
    static constexpr size_t size = sizeof(type);
};
}
#endif

/* ---- for servers ---- */

/* A wait for memory. */
struct rill_service_pause {
    /* private */
    struct rill_sleep sleep;
    struct rill_shield shield;
};

/* Panics if the struct is too large for the runtime's free lists, if the connection in it has
 * another size than those of the server, or if connections are limited without a scope, which
 * counts them. */
void rill_service_check(const struct rill_service *service, size_t peer_size,
                        const struct rill_scope *scope, size_t connections_max);

/* Takes the block of a connection from the runtime's free lists: zeroed, with the shared pointer
 * set, and the caller's until it is started. Returns NULL where memory is short. */
void *rill_service_take(const struct rill_service *service);

/* Waits until it is worth trying again: others give their blocks back as they end. It cannot be
 * cancelled, as a connection that was accepted is served. */
struct rill_future *rill_service_wait(struct rill_service_pause *pause);

/* The connection in a block of the service. */
static inline void *rill_service_peer(const struct rill_service *service, void *block)
{
    return (char *)block + service->peer_offset;
}

/* Spawns the task of a block, which it takes over, into a scope, or detached where that is NULL. */
void rill_service_start(const struct rill_service *service, void *block, struct rill_scope *scope);

#ifdef __cplusplus
}
#endif
#endif
