/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/duo.h"

#include "tests/limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct duo duo;

void duo_open_worker(struct rill_rdma *rdma, int which)
{
    const struct rill_rdma_setting net[] = {
        {"TLS", network()->tls},
        {"NET_DEVICES", rdma == &duo.right ? network()->right : network()->left},
    };
    const struct rill_rdma_setting shm[] = {{"TLS", "sm,self"}};
    struct rill_rdma_options options = {.settings = net, .setting_count = 2};

    /* The library that connects by socket address over verbs keeps its devices open. */
    fixture.keeps_fds |= network()->is_verbs && network()->has_socket_addresses;
    if (which == OVER_SHM)
        options =
            (struct rill_rdma_options){.settings = shm, .setting_count = 1, .shared_memory = true};

    options.bare_endpoints = !duo.has_connections_alone;
    options.long_segments = duo.has_long_segments;
    options.single_copy = duo.has_single_copy;
    options.tcp_only = duo.is_tcp_only;

    int error = rill_rdma_open(rdma, &options);

    if (error)
        fixture_fail(__FILE__, __LINE__, "no rdma: %s", rdma->why.text);
}

bool duo_open_workers(int which, const struct rill_runtime_options *options)
{
    if (!fixture_open(REAL, NULL, options))
        return false;
    duo_open_worker(&duo.left, which);
    duo_open_worker(&duo.right, which);
    return true;
}

static void connect_workers(struct rill_rdma_ep *client, struct rill_rdma_ep *server)
{
    size_t size;

    expect_eq(rill_rdma_ep_open(client, &duo.left, rill_rdma_address(&duo.right, &size)), 0);
    expect_eq(rill_rdma_ep_open(server, &duo.right, rill_rdma_address(&duo.left, &size)), 0);
}

bool duo_open(int which, const struct rill_runtime_options *options)
{
    if (!duo_open_workers(which, options))
        return false;
    connect_workers(&duo.to_right, &duo.to_left);
    return true;
}

void duo_expect_idle(struct rill_rdma *rdma)
{
    duo_turn_until(!rill_link_is_linked(&rdma->hearing.watcher.link));
    expect_eq(rdma->ops_in_flight, 0);
    expect_eq(rdma->source.pending, 0);
}

void duo_close(void)
{
    struct background closing;

    /* Both at the same time, as each side waits for the other. */
    background_start(&closing, rill_rdma_ep_close(&duo.to_right));
    await(rill_rdma_ep_close(&duo.to_left));
    background_end(&closing);
    duo_expect_idle(&duo.left);
    duo_expect_idle(&duo.right);
    rill_rdma_close(&duo.left);
    rill_rdma_close(&duo.right);
    fixture_close();
}

struct rill_address duo_address(uint16_t port)
{
    struct rill_address address = {
        .ip4 = {.sin_family = AF_INET, .sin_addr = network()->address},
        .size = sizeof address.ip4,
    };

    expect(network()->has_socket_addresses);
    rill_address_set_port(&address, port);
    return address;
}

uint16_t duo_reserve_port(int *fd)
{
    struct rill_address address = duo_address(0);
    const int on = 1;

    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    expect(*fd >= 0);
    expect_eq(setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    expect_eq(bind(*fd, &address.any, address.size), 0);
    expect_eq(getsockname(*fd, &address.any, &address.size), 0);
    return rill_address_port(&address);
}

struct rill_address duo_listen(struct rill_rdma_listener *listener, struct rill_rdma *rdma)
{
    struct rill_address address = duo_address(0);

    expect_eq(rill_rdma_listen(listener, rdma, &address), 0);
    expect_eq(rill_rdma_listener_address(listener, &address), 0);
    expect_eq(address.any.sa_family, AF_INET);
    return address;
}

bool duo_is_by_worker(int which)
{
    return which == OVER_SHM || !network()->has_socket_addresses;
}

void duo_connect(struct rill_rdma_ep *client, struct rill_rdma_ep *server)
{
    static struct rill_rdma_listener listener; /* large */
    struct rill_rdma_accept accept;
    struct rill_address address;

    if (!network()->has_socket_addresses) {
        connect_workers(client, server);
        return;
    }
    address = duo_listen(&listener, &duo.right);
    expect_eq(rill_rdma_ep_connect(client, &duo.left, &address), 0);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(accept.client_id, duo.left.client_id);
    expect_eq(rill_rdma_ep_adopt(server, &accept), 0);
    rill_rdma_listener_close(&listener);
}

bool duo_is_loss(int64_t result)
{
    return result == -ECONNREFUSED || result == -ECONNRESET || result == -ETIMEDOUT ||
           result == -EHOSTUNREACH || result == -ECONNABORTED || result == -ENOTCONN ||
           (network()->is_verbs && result == -EIO); /* a link that is down */
}

/* Whether the network here is what a test needs. */
static bool is_for_this_network(unsigned worlds)
{
    const struct network *here = network();

    return (!(worlds & TCP_ITSELF) || !here->is_verbs) &&
           (!(worlds & SOCKET_ADDRESSES) || here->has_socket_addresses) &&
           (!(worlds & LOOPBACK) || !here->is_wire) && (!(worlds & WIRE) || here->is_wire);
}

/* The numbers of a test's loop: those of its worlds that there are here, maybe none. */
static void find_worlds(unsigned worlds, int *first, int *end)
{
    bool over_network = worlds & IN_TCP && is_for_this_network(worlds);
    bool over_shm = worlds & IN_SHM && !network()->is_verbs;

    *first = over_network ? OVER_TCP : OVER_SHM;
    *end = over_shm ? OVER_SHM + 1 : OVER_TCP + over_network;
    if (*end < *first)
        *end = *first;
}

int duo_main(const char *name, const struct duo_case *cases, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed, first, end, added = 0;

    for (size_t i = 0; i < count; i++) {
        find_worlds(cases[i].worlds, &first, &end);
        if (first < end)
            tcase_add_loop_test(tcase, cases[i].test, first, end);
        added += end - first;
    }
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (added == 0) {
        printf("skipped: no case is for %s from %s to %s\n", network()->tls, network()->left,
               network()->right);
        return 77;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
