/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/network.h"

#include <arpa/inet.h>
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
