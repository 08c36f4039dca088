/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/network.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct network found = {.tls = NULL};

static void find(void)
{
    const char *tls = getenv("TEST_RDMA_TLS"), *devices = getenv("TEST_RDMA_DEVICES");
    const char *address = getenv("TEST_RDMA_ADDRESS"), *slowness = getenv("TEST_SLOWNESS");
    const char *comma;

    found.is_verbs = tls != NULL;
    found.tls = tls ? tls : "tcp,self";
    if (!tls || !devices)
        devices = "lo";
    if (!tls)
        address = "127.0.0.1";
    comma = strchr(devices, ',');
    found.is_wire = comma != NULL;
    snprintf(found.left, sizeof found.left, "%.*s", (int)strcspn(devices, ","), devices);
    snprintf(found.right, sizeof found.right, "%s", comma ? comma + 1 : devices);
    found.has_socket_addresses = address && inet_pton(AF_INET, address, &found.address) == 1;
    found.slowness = slowness ? (int)strtol(slowness, NULL, 10) : 1;
    if (found.slowness < 1)
        found.slowness = 1;
}

const struct network *network(void)
{
    if (!found.tls)
        find();
    return &found;
}

void network_export(void)
{
    setenv("UCX_TLS", network()->tls, 1);
    setenv("UCX_NET_DEVICES", network()->right, 1);
}

/* ---- the wire ---- */

void network_run(const char *command)
{
    int status = system(command); /* NOLINT(cert-env33-c) */

    ck_assert_msg(status == 0, "%s: %d", command, status);
}

static void set_loss(int end, unsigned percent)
{
    char command[80];

    snprintf(command, sizeof command, "tc qdisc replace dev wire%d root netem loss %u%%", end,
             percent);
    network_run(command);
}

void network_lose(unsigned percent)
{
    set_loss(0, percent);
}

void network_cut(void)
{
    set_loss(0, 100);
    set_loss(1, 100);
}

void network_mend(void)
{
    set_loss(0, 0);
    set_loss(1, 0);
}
