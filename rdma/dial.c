/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/dial.h"

#include "runtime/executor.h"

#include <errno.h>
#include <string.h>

static int parse(struct rill_rdma_dial *dial)
{
    int error = rill_url_parse(&dial->url, dial->text, &dial->why);

    if (error)
        return error;
    if (strcmp(dial->url.scheme, "rdma") == 0)
        return 0;
    dial->why = "want rdma://host:port";
    return -EINVAL;
}

static struct rill_future *try_next(struct rill_rdma_dial *dial)
{
    return rill_rdma_connect(dial->connection, dial->hub, &dial->resolve.addresses[dial->next++],
                             dial->options);
}

/* Those whose names say nothing of what is to be done about them. */
static const char *explain(int64_t error)
{
    switch (error) {
    case -ECONNREFUSED:
        return "nobody listens there, or the server takes no more";
    case -ETIMEDOUT:
        return "nobody answered in time";
    case -EMFILE:
        return "too few descriptors are left for UCX: raise the limit (ulimit -n)";
    case -EPROTONOSUPPORT:
        return "the other side speaks another version of the protocol";
    case -EPROTOTYPE:
        return "the segments of the two sides differ (bare_endpoints and long_segments of "
               "rill_rdma_options, UCX_TCP_RX_SEG_SIZE, UCX_POSIX_SEG_SIZE)";
    default:
        return strerror((int)-error);
    }
}

static enum rill_poll dial_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_dial *dial = rill_container_of(self, struct rill_rdma_dial, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* it may end at once */
    dial->connection->result = parse(dial);
    if (dial->connection->result < 0)
        RILL_RETURN(dial->connection->result);
    RILL_AWAIT(rill_resolve(&dial->resolve, dial->url.host, dial->url.port));
    if (dial->resolve.result < 0) {
        dial->why = dial->resolve.result == -ENOENT ? "the name has no address"
                                                    : strerror((int)-dial->resolve.result);
        RILL_RETURN(dial->resolve.result);
    }
    do
        RILL_AWAIT(try_next(dial));
    while (dial->connection->result < 0 && dial->connection->result != -ECANCELED &&
           dial->next < dial->resolve.result);
    if (dial->connection->result < 0)
        dial->why = explain(dial->connection->result);
    RILL_RETURN(dial->connection->result);
    RILL_END();
}

struct rill_future *rill_rdma_dial(struct rill_rdma_connection *connection,
                                   struct rill_rdma_dial *dial, struct rill_rdma_hub *hub,
                                   const char *url,
                                   const struct rill_rdma_connection_options *options)
{
    dial->connection = connection;
    dial->hub = hub;
    dial->options = options;
    dial->text = url;
    dial->why = NULL;
    dial->next = 0;
    return rill_future_init(&dial->future, dial_poll);
}
