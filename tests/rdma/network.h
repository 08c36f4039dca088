/* SPDX-License-Identifier: Apache-2.0 */
/* network.h - what the tests of rdma are connected by: TCP, or devices that speak verbs.
 *
 * As a rule it is TCP over the loopback device. tests/check_vm.sh, which has a machine with
 * emulated devices, says so in the environment:
 *
 *     TEST_RDMA_TLS      the transports: "rc_v,self" or "ud_verbs,self"
 *     TEST_RDMA_DEVICES  "rxe0:1", or "rxe0:1,rxe1:1": the left one's and the right one's
 *     TEST_RDMA_ADDRESS  the right one's IPv4 address, where connecting by socket address
 *                        works; absent where it does not
 *     TEST_SLOWNESS      how much longer than on a plain machine everything may take */
#ifndef RILL_TESTS_RDMA_NETWORK_H
#define RILL_TESTS_RDMA_NETWORK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct network {
    const char *tls;
    char left[32], right[32];  /* devices, as UCX_NET_DEVICES names them */
    struct in_addr address;    /* of the right one */
    bool is_verbs;             /* not TCP */
    bool is_wire;              /* two devices, whose packets cross a wire that can be cut */
    bool has_socket_addresses; /* else connections are by worker address */
    int slowness;              /* 1 or more; time limits are multiplied by it */
};

const struct network *network(void);

/* Lets another program of UCX use the same, as far as its settings can say it. */
void network_export(void);

/* Runs a command, which has to work: only in a machine that was made for it. */
void network_run(const char *command);

/* Has the wire lose so many of a hundred packets that come from the left one. */
void network_lose(unsigned percent);

/* Has it lose everything, in both directions; and nothing again. */
void network_cut(void);
void network_mend(void);

#endif
