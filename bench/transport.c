/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/transport.h"

void transport_check(const struct cli *cli, const struct transport *transport)
{
    if (transport->tcp_only && transport->shared_memory)
        cli_fail(cli, "--tcp-only: not with --shared-memory");
    if (transport->single_copy && !transport->shared_memory)
        cli_fail(cli, "--single-copy: want --shared-memory with it");
    if (transport->long_segments && !transport->shared_memory)
        cli_fail(cli, "--long-segments: want --shared-memory with it; over TCP pieces are long");
}

void transport_check_unused(const struct cli *cli, const struct transport *transport,
                            bool is_unprotected)
{
    if (transport->shared_memory || transport->long_segments || transport->single_copy ||
        transport->tcp_only || is_unprotected)
        cli_fail(cli, "--shared-memory, --long-segments, --single-copy, --tcp-only and "
                      "--unprotected: over rdma:// only");
}
