/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_report.h - what rill-echo tells of its connections over rdma at the end. */
#ifndef RILL_BENCH_RDMA_REPORT_H
#define RILL_BENCH_RDMA_REPORT_H

#include "bench/json.h"
#include "rdma/connection.h"
#include "rdma/hub.h"

/* Connections that are told of one by one: the latest. */
enum { RDMA_REPORT_MAX = 64, RDMA_TRANSPORTS_MAX = 128 };

/* Copies what a connection has counted, and why it ended; to be called when it has. peer and
 * transports are sentences, copied as well. */
void rdma_report_add(const struct rill_rdma_connection *connection, const char *peer,
                     const char *transports);

/* Writes the object "rdma": the sum of all connections, the worker, and the latest of those
 * that were added. */
void rdma_report_print(struct json *json, const struct rill_rdma_hub *hub);

#endif
