/* SPDX-License-Identifier: Apache-2.0 */
/* transport.h - by what messages go: the options that all programs over UCX have.
 *
 * They are those of rill_rdma_options (rdma/rdma.h), where each stands with its price. Nothing of
 * UCX is to be seen here, so that a build without it has the same programs. */
#ifndef RILL_BENCH_TRANSPORT_H
#define RILL_BENCH_TRANSPORT_H

#include "bench/cli.h"

#include <stdbool.h>

struct transport {
    bool shared_memory, long_segments, single_copy, tcp_only;
};

/* Their part of a table of cli_option. */
#define CLI_TRANSPORT(transport)                                                                   \
    CLI_FLAG(0, "shared-memory", &(transport)->shared_memory,                                      \
             "messages over shared memory too, where both sides are on this machine"),             \
        CLI_FLAG(0, "long-segments", &(transport)->long_segments,                                  \
                 "messages over shared memory in longer pieces; both sides have to say so"),       \
        CLI_FLAG(0, "single-copy", &(transport)->single_copy,                                      \
                 "messages over shared memory without the copy between the processes"),            \
        CLI_FLAG(0, "tcp-only", &(transport)->tcp_only,                                            \
                 "messages over TCP alone, which those of 8 to 60 KB gain by")

/* Exits where two of them do not go together. */
void transport_check(const struct cli *cli, const struct transport *transport);

/* Exits where one of them is asked for, or --unprotected is, and nothing goes over rdma://. */
void transport_check_unused(const struct cli *cli, const struct transport *transport,
                            bool is_unprotected);

#endif
