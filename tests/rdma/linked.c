/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/linked.h"

struct linked linked;

bool linked_open_hubs(int which)
{
    if (!duo_open_workers(which, NULL))
        return false;
    expect_eq(rill_rdma_hub_open(&linked.left, &duo.left), 0);
    expect_eq(rill_rdma_hub_open(&linked.right, &duo.right), 0);
    return true;
}

void linked_close_hubs(void)
{
    expect_eq(linked.left.connections + linked.right.connections, 0);
    rill_rdma_hub_close(&linked.left);
    rill_rdma_hub_close(&linked.right);
    duo_close();
}

void linked_connect(const struct rill_rdma_connection_options *of_client,
                    const struct rill_rdma_connection_options *of_server)
{
    static struct background connecting;
    static struct rill_rdma_state_wait wait;
    struct rill_rdma_am stranger = {0};
    size_t size;

    background_start(&connecting,
                     rill_rdma_connect_worker(&linked.client, &linked.left,
                                              rill_rdma_address(&duo.right, &size), of_client));
    expect(await(rill_rdma_accept_worker(&linked.right, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&linked.server, &linked.right, &stranger, of_server), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&linked.server, &wait)), 0);
    expect_eq(background_end(&connecting), 0);
}

bool linked_open(int which, const struct rill_rdma_connection_options *of_client,
                 const struct rill_rdma_connection_options *of_server)
{
    if (!linked_open_hubs(which))
        return false;
    linked_connect(of_client, of_server);
    return true;
}

void linked_close(void)
{
    static struct background ending;

    background_start(&ending, rill_rdma_disconnect(&linked.client));
    await(rill_rdma_disconnect(&linked.server));
    background_end(&ending);
    linked_close_hubs();
}

void linked_receive(int count, uint32_t tag)
{
    static char buffer[1 << 20];
    static struct rill_rdma_transfer received;

    while (count-- > 0)
        expect(await(rill_rdma_recv(&linked.server, &received, buffer, sizeof buffer, tag)) >= 0);
}
