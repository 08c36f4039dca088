/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/duo.h"

#include <arpa/inet.h>
#include <stdlib.h>

struct duo duo;

void duo_open_worker(struct rill_rdma *rdma, int which)
{
    const struct rill_rdma_setting tcp[] = {{"TLS", "tcp,self"}, {"NET_DEVICES", "lo"}};
    const struct rill_rdma_setting shm[] = {{"TLS", "sm,self"}};
    struct rill_rdma_options options = {.settings = tcp, .setting_count = 2};

    if (which == OVER_SHM)
        options =
            (struct rill_rdma_options){.settings = shm, .setting_count = 1, .shared_memory = true};

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

bool duo_open(int which, const struct rill_runtime_options *options)
{
    size_t size;

    if (!duo_open_workers(which, options))
        return false;
    expect_eq(rill_rdma_ep_open(&duo.to_right, &duo.left, rill_rdma_address(&duo.right, &size)), 0);
    expect_eq(rill_rdma_ep_open(&duo.to_left, &duo.right, rill_rdma_address(&duo.left, &size)), 0);
    return true;
}

void duo_close(void)
{
    struct background closing;

    /* Both at the same time, as each side waits for the other. */
    background_start(&closing, rill_rdma_ep_close(&duo.to_right));
    await(rill_rdma_ep_close(&duo.to_left));
    background_end(&closing);
    expect_eq(duo.left.ops_in_flight, 0);
    expect_eq(duo.right.ops_in_flight, 0);
    expect_eq(duo.left.source.pending, 0);
    expect_eq(duo.right.source.pending, 0);
    rill_rdma_close(&duo.left);
    rill_rdma_close(&duo.right);
    fixture_close();
}

struct sockaddr_in duo_address(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

struct sockaddr_in duo_listen(struct rill_rdma_listener *listener, struct rill_rdma *rdma)
{
    struct sockaddr_in address = duo_address(0);
    struct sockaddr_storage bound;

    expect_eq(rill_rdma_listen(listener, rdma, (void *)&address, sizeof address), 0);
    expect_eq(rill_rdma_listener_address(listener, &bound), 0);
    expect_eq(bound.ss_family, AF_INET);
    return *(struct sockaddr_in *)&bound;
}

void duo_connect(struct rill_rdma_ep *client, struct rill_rdma_ep *server)
{
    static struct rill_rdma_listener listener; /* large */
    struct rill_rdma_accept accept;
    struct sockaddr_in address = duo_listen(&listener, &duo.right);

    expect_eq(rill_rdma_ep_connect(client, &duo.left, (void *)&address, sizeof address), 0);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    expect_eq(accept.client_id, duo.left.client_id);
    expect_eq(rill_rdma_ep_adopt(server, &accept), 0);
    rill_rdma_listener_close(&listener);
}

int duo_main(const char *name, const struct duo_case *cases, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(tcase, cases[i].test, cases[i].worlds & IN_TCP ? OVER_TCP : OVER_SHM,
                            cases[i].worlds & IN_SHM ? OVER_SHM + 1 : OVER_TCP + 1);
    tcase_set_timeout(tcase, 60);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
