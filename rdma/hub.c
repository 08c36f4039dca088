/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/hub.h"

#include "rdma/connection.h"
#include "rdma/control.h"
#include "rdma/tag.h"
#include "runtime/panic.h"

/* ---- who is who ---- */

static struct rill_link *bucket(struct rill_rdma_hub *hub, uint32_t id)
{
    return &hub->by_id[id % RILL_RDMA_HUB_BUCKETS];
}

static struct rill_rdma_connection *find(struct rill_rdma_hub *hub, uint32_t id)
{
    const struct rill_link *list = bucket(hub, id);

    for (struct rill_link *link = list->next; link != list; link = link->next) {
        struct rill_rdma_connection *connection =
            rill_container_of(link, struct rill_rdma_connection, by_id);

        if (connection->id == id)
            return connection;
    }
    return NULL;
}

/* The one whose endpoint was adopted and has this handle. */
static struct rill_rdma_connection *find_adopted(struct rill_rdma_hub *hub, ucp_ep_h ucp)
{
    const struct rill_rdma_ep *ep = rill_rdma_ep_find(hub->rdma, ucp);

    return ep && ep->owner && ep->owner->is_adopted ? ep->owner : NULL;
}

static bool was_lately(const struct rill_rdma_hub *hub, uint32_t id)
{
    for (int i = 0; i < RILL_RDMA_DEAD_MAX; i++)
        if (hub->dead[i] == id)
            return true;
    return false;
}

/* Ids are not used again before all others were, so that nothing of an old connection is
 * taken for something of a new one. */
void rill_rdma_hub_add(struct rill_rdma_hub *hub, struct rill_rdma_connection *connection)
{
    do
        hub->last_id++;
    while (hub->last_id == 0 || find(hub, hub->last_id) || was_lately(hub, hub->last_id));
    connection->id = hub->last_id;
    rill_list_append(bucket(hub, connection->id), &connection->by_id);
    hub->connections++;
}

/* What came too late for the next few of those that ended is found here. */
static void sweep_dead(struct rill_rdma_hub *hub, int count)
{
    for (; count > 0; count--) {
        uint32_t id = hub->dead[hub->next_swept++ % RILL_RDMA_DEAD_MAX];

        if (id != 0)
            rill_rdma_hub_sweep(hub, id, 0);
    }
}

void rill_rdma_hub_remove(struct rill_rdma_hub *hub, struct rill_rdma_connection *connection)
{
    rill_link_remove(&connection->by_id);
    hub->connections--;
    hub->dead[hub->next_dead++ % RILL_RDMA_DEAD_MAX] = connection->id;
    connection->id = 0;
    sweep_dead(hub, RILL_RDMA_SWEPT_AT_AN_END);
}

/* A message is received into nothing: that gives its memory back, or lets its sender know
 * that it may go on. */
uint64_t rill_rdma_hub_sweep(struct rill_rdma_hub *hub, uint32_t id, uint32_t eager_size)
{
    const struct rill_ucx *ucx = hub->rdma->ucx;
    const ucp_request_param_t param = {.op_attr_mask = 0};
    uint64_t cost = 0;
    ucp_tag_recv_info_t info;
    ucp_tag_message_h message;

    while ((message = ucx->tag_probe_nb(hub->rdma->worker, (uint64_t)id << 32, UINT64_MAX << 32, 1,
                                        &info)) != NULL) {
        ucs_status_ptr_t status =
            ucx->tag_msg_recv_nbx(hub->rdma->worker, NULL, 0, message, &param);

        if (UCS_PTR_IS_PTR(status))
            ucx->request_free(status);
        hub->swept++;
        cost += rill_rdma_cost(info.length, eager_size);
    }
    if (cost > 0)
        rill_event_source_touch(&hub->rdma->source);
    return cost;
}

/* ---- control messages ---- */

/* Called within progress. */
static ucs_status_t on_control(void *hub_, const void *header, size_t header_size, void *data,
                               size_t size, const ucp_am_recv_param_t *param)
{
    struct rill_rdma_hub *hub = hub_;
    struct rill_rdma_connection *connection = NULL;
    struct rill_rdma_control control = {0};

    (void)data;
    if (rill_rdma_control_read(&control, header, header_size) && size == 0) {
        if (control.kind != RILL_RDMA_HELLO)
            connection = find(hub, control.to);
        else if (param->recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP)
            connection = find_adopted(hub, param->reply_ep);
    }
    if (connection ? !rill_rdma_control_hear(connection, &control)
                   : control.to == 0 || !was_lately(hub, control.to)) /* else it came too late */
        hub->dropped++;
    return UCS_OK;
}

/* ---- its life ---- */

static void close_with_rdma(struct rill_rdma_am_number *number)
{
    rill_rdma_hub_close(rill_container_of(number, struct rill_rdma_hub, control));
}

int rill_rdma_hub_open(struct rill_rdma_hub *hub, struct rill_rdma *rdma)
{
    int error;

    rill_check(!hub->is_open, "a hub was opened that is open already");
    *hub = (struct rill_rdma_hub){
        .rdma = rdma,
        /* So that neither a process nor a hub begins where the one before it did. */
        .last_id = (uint32_t)rdma->client_id + rdma->ids_given,
        .control.close = close_with_rdma,
    };
    for (int i = 0; i < RILL_RDMA_HUB_BUCKETS; i++)
        rill_list_init(&hub->by_id[i]);
    rill_list_init(&hub->pairing);
    error = rill_rdma_inbox_open(&hub->strangers, rdma, RILL_RDMA_STRANGER_ID);
    if (error)
        return error;
    hub->strangers.held_max = RILL_RDMA_STRANGERS_MAX;
    hub->strangers.size_max = RILL_RDMA_STRANGER_SIZE_MAX;
    error = rill_rdma_am_handle(rdma, &hub->control, RILL_RDMA_CONTROL_ID, on_control, hub);
    if (error)
        rill_rdma_inbox_close(&hub->strangers);
    hub->is_open = !error;
    return error;
}

void rill_rdma_hub_close(struct rill_rdma_hub *hub)
{
    if (!hub->is_open)
        return;
    rill_check(hub->connections == 0, "a hub was closed with %zu connections open",
               hub->connections);
    sweep_dead(hub, RILL_RDMA_DEAD_MAX);
    rill_rdma_inbox_close(&hub->strangers);
    rill_rdma_am_unhandle(hub->rdma, &hub->control);
    hub->rdma->ids_given = hub->last_id - (uint32_t)hub->rdma->client_id;
    hub->is_open = false;
}

void rill_rdma_hub_metrics(const struct rill_rdma_hub *hub, struct rill_rdma_metrics *metrics)
{
    *metrics = hub->ended;
    if (!hub->is_open)
        return;
    for (int i = 0; i < RILL_RDMA_HUB_BUCKETS; i++) {
        const struct rill_link *list = &hub->by_id[i];

        for (struct rill_link *link = list->next; link != list; link = link->next)
            rill_rdma_metrics_add(
                metrics, &rill_container_of(link, struct rill_rdma_connection, by_id)->metrics);
    }
}
