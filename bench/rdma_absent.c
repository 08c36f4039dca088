/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_absent.c - what the programs have for rdma:// where UCX was not there to be built with. */
#include "bench/rdma_echo.h"
#include "bench/rdma_load.h"

#include "runtime/panic.h"

const char *const rdma_absent =
    "rdma:// is not built in: it needs UCX (as root, apt-get install libucx-dev; then make again)";

int rdma_echo_open(const struct rdma_echo_options *options, struct echo_counts *counts)
{
    (void)options;
    (void)counts;
    rill_panic("%s", rdma_absent);
}

struct rill_future *rdma_echo_serve(unsigned number, const char *url)
{
    (void)number;
    (void)url;
    rill_panic("%s", rdma_absent);
}

void rdma_echo_close(void)
{
}

void rdma_echo_print(struct json *json)
{
    (void)json;
}

int rdma_load_open(const struct rdma_load_options *options, struct load *load,
                   const struct rill_url *url)
{
    (void)options;
    (void)load;
    (void)url;
    rill_panic("%s", rdma_absent);
}

struct rill_future *rdma_load_connect(uint64_t index)
{
    (void)index;
    rill_panic("%s", rdma_absent);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): as in rdma_load.h */
struct rill_future *rdma_load_run(uint64_t index, int64_t *times_ns)
{
    (void)index;
    (void)times_ns;
    rill_panic("%s", rdma_absent);
}

struct rill_future *rdma_load_close(uint64_t index)
{
    (void)index;
    rill_panic("%s", rdma_absent);
}

void rdma_load_free(void)
{
}
