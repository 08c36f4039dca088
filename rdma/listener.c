/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/listener.h"

#include "io/signal_mask.h"
#include "rdma/error.h"
#include "rdma/shortage.h"
#include "rdma/ucx_address.h"
#include "rdma/unheard.h"
#include "rdma/waiting.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define HELD_SIZE (RILL_RDMA_LISTENER_HELD_MAX * sizeof(ucp_conn_request_h))

/* ---- requests ---- */

static bool has_room(struct rill_rdma_listener *listener)
{
    if (listener->held_count == RILL_RDMA_LISTENER_HELD_MAX)
        return false;
    if (rill_rdma_has_fds(listener->rdma))
        return true;
    rill_rdma_listener_pause(listener);
    return false;
}

/* Called within progress. */
static void on_request(ucp_conn_request_h request, void *listener_)
{
    struct rill_rdma_listener *listener = listener_;

    if (!has_room(listener)) {
        listener->rejected++;
        listener->rdma->stats.requests_rejected++;
        listener->rdma->ucx->listener_reject(listener->ucp, request);
        return;
    }
    listener->held[(listener->first + listener->held_count) % RILL_RDMA_LISTENER_HELD_MAX] =
        request;
    listener->held_count++;
    listener->pause.length_ns = 0;
    if (listener->held_count == RILL_RDMA_LISTENER_HELD_MANY)
        rill_rdma_listener_set_full(listener, true);
    rill_line_wake_first(&listener->line);
}

static ucp_conn_request_h pop(struct rill_rdma_listener *listener)
{
    ucp_conn_request_h request = listener->held[listener->first];

    listener->first = (listener->first + 1) % RILL_RDMA_LISTENER_HELD_MAX;
    listener->held_count--;
    if (listener->held_count == RILL_RDMA_LISTENER_HELD_MANY / 2)
        rill_rdma_listener_set_full(listener, false);
    return request;
}

/* Not every connection manager knows both, and none of them is needed. */
static void ask_who(struct rill_rdma_accept *accept)
{
    const struct rill_ucx *ucx = accept->listener->rdma->ucx;
    ucp_conn_request_attr_t attributes = {.field_mask = UCP_CONN_REQUEST_ATTR_FIELD_CLIENT_ADDR};

    memset(&accept->peer, 0, sizeof accept->peer);
    accept->client_id = 0;
    if (ucx->conn_request_query(accept->request, &attributes) == UCS_OK)
        rill_rdma_address_read(&accept->peer, &attributes.client_address);
    attributes.field_mask = UCP_CONN_REQUEST_ATTR_FIELD_CLIENT_ID;
    if (ucx->conn_request_query(accept->request, &attributes) == UCS_OK)
        accept->client_id = attributes.client_id;
}

/* ---- accepting ---- */

static enum rill_poll leave(struct rill_rdma_accept *accept, int64_t result)
{
    struct rill_rdma_listener *listener = accept->listener;

    rill_rdma_line_leave(listener->rdma, &listener->line, &accept->place, listener->held_count > 0);
    return rill_future_end(&accept->future, result);
}

static enum rill_poll accept_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_rdma_accept *accept = rill_container_of(self, struct rill_rdma_accept, future);
    struct rill_rdma_listener *listener = accept->listener;

    if (rill_task_is_cancelled(task)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return leave(accept, -ECANCELED);
    }
    if (listener->rdma->is_deaf) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        return leave(accept, -ENOTRECOVERABLE);
    }
    if (listener->held_count > 0 && rill_line_is_first(&listener->line, &accept->place)) {
        if (!rill_budget_spend(rill_executor_here(), task))
            return RILL_PENDING;
        accept->request = pop(listener);
        ask_who(accept);
        return leave(accept, 0);
    }
    rill_rdma_line_join(listener->rdma, &listener->line, &accept->place, task);
    return RILL_PENDING;
}

struct rill_future *rill_rdma_accept(struct rill_rdma_listener *listener,
                                     struct rill_rdma_accept *accept)
{
    static const struct rill_place name = {"accept an endpoint", NULL, 0};

    rill_check(listener->is_open, "an endpoint is accepted from a listener that is not open");
    rill_future_init(&accept->future, accept_poll);
    accept->future.place = &name;
    accept->listener = listener;
    accept->request = NULL;
    accept->place = (struct rill_place_in_line){0};
    return &accept->future;
}

/* Of those that were accepted UCX knows no more when the listener is gone. */
static ucp_conn_request_h take_request(struct rill_rdma_accept *accept)
{
    ucp_conn_request_h request = accept->request;

    rill_check(request, "there is no connection request to be adopted or rejected");
    rill_check(accept->listener->is_open,
               "a connection request is adopted or rejected whose listener was closed");
    accept->request = NULL;
    return request;
}

static void reject(struct rill_rdma_listener *listener, ucp_conn_request_h request)
{
    listener->rdma->ucx->listener_reject(listener->ucp, request);
    rill_event_source_touch(&listener->rdma->source);
}

int rill_rdma_ep_begin_adopted(struct rill_rdma_ep *ep, struct rill_rdma_accept *accept)
{
    struct rill_rdma_listener *listener = accept->listener;
    ucp_ep_params_t params = {
        .field_mask = UCP_EP_PARAM_FIELD_CONN_REQUEST,
        .conn_request = take_request(accept),
    };
    int error = rill_rdma_ep_create(ep, listener->rdma, &params);

    if (error == -EMFILE) { /* said by rill, before UCX knew of it */
        rill_rdma_listener_pause(listener);
        reject(listener, params.conn_request);
    }
    return error;
}

void rill_rdma_reject(struct rill_rdma_accept *accept)
{
    reject(accept->listener, take_request(accept));
}

int rill_rdma_ep_adopt(struct rill_rdma_ep *ep, struct rill_rdma_accept *accept)
{
    if (accept->listener->rdma->has_bare_endpoints)
        return rill_rdma_ep_begin_adopted(ep, accept);
    rill_rdma_reject(accept);
    return -EOPNOTSUPP;
}

/* ---- its life ---- */

static int ask_where(const struct rill_rdma_listener *listener, struct rill_address *address)
{
    ucp_listener_attr_t attributes = {.field_mask = UCP_LISTENER_ATTR_FIELD_SOCKADDR};
    int error = rill_rdma_errno(listener->rdma->ucx->listener_query(listener->ucp, &attributes));

    if (error)
        return error;
    rill_rdma_address_read(address, &attributes.sockaddr);
    return 0;
}

/* What the kernel says of a socket of TCP at that address, which stands for all devices: none has
 * an address that the machine has not. 0 or -errno. */
static int try_address(struct rill_address address, uint16_t port)
{
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    rill_address_set_port(&address, port);
    error = fd >= 0 && bind(fd, &address.any, address.size) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

/* UCX 1.13 is not to be asked for an address that is another machine's: with port 0 it looks for a
 * free one of it for ever where a device for RDMA has the say (ucp_listen of an rdmacm). */
static bool is_foreign(const struct rill_address *address)
{
    return address->any.sa_family != AF_UNIX && try_address(*address, 0) == -EADDRNOTAVAIL;
}

/* UCX says no more than UCS_ERR_IO_ERROR of an address that cannot be bound to, but for a port that
 * is taken. */
static int why_not(const struct rill_address *address)
{
    int error = try_address(*address, rill_address_port(address));

    return error ? error : -EIO;
}

static bool reserve_held(struct rill_rdma_listener *listener)
{
    void *memory = mmap(NULL, HELD_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    listener->held = memory == MAP_FAILED ? NULL : memory;
    return listener->held;
}

static void release_held(struct rill_rdma_listener *listener)
{
    munmap(listener->held, HELD_SIZE);
    listener->held = NULL;
}

int rill_rdma_listen(struct rill_rdma_listener *listener, struct rill_rdma *rdma,
                     const struct rill_address *address)
{
    const ucp_listener_params_t params = {
        .field_mask = UCP_LISTENER_PARAM_FIELD_SOCK_ADDR | UCP_LISTENER_PARAM_FIELD_CONN_HANDLER,
        .sockaddr = {.addr = &address->any, .addrlen = address->size},
        .conn_handler = {.cb = on_request, .arg = listener},
    };
    struct rill_address bound;
    size_t sockets_before;
    sigset_t before;
    int error;

    rill_check(!listener->is_open, "a listener was opened that is open already");
    rill_check(rdma->is_open, "a listener was opened of an rdma that is not open");
    memset(listener, 0, sizeof *listener);
    listener->rdma = rdma;
    listener->fd = -1;
    rill_line_init(&listener->line);
    if (rdma->is_deaf)
        return -ENOTRECOVERABLE;
    if (!rill_rdma_has_fds(rdma))
        return -EMFILE;
    if (is_foreign(address))
        return -EADDRNOTAVAIL;
    if (!reserve_held(listener))
        return -ENOMEM;
    sockets_before = rill_rdma_count_listening();
    rill_signal_mask_fill(&before); /* UCX may start a thread */
    error = rill_rdma_errno(rdma->ucx->listener_create(rdma->worker, &params, &listener->ucp));
    rill_signal_mask_restore(&before);
    if (error) {
        release_held(listener);
        return error == -EIO ? why_not(address) : error;
    }
    if (rill_rdma_count_listening() > sockets_before && ask_where(listener, &bound) == 0)
        listener->fd = rill_rdma_find_listening(&bound);
    rill_rdma_shortage_begin(listener);
    rill_event_source_touch(&rdma->source);
    listener->is_open = true;
    rdma->listeners++;
    rill_list_append(&rdma->accepting, &listener->of_rdma);
    return 0;
}

int rill_rdma_listener_address(const struct rill_rdma_listener *listener,
                               struct rill_address *address)
{
    return listener->is_open ? ask_where(listener, address) : -EBADF;
}

void rill_rdma_listener_close(struct rill_rdma_listener *listener)
{
    struct rill_address address;

    if (!listener->is_open)
        return;
    rill_line_finish(&listener->line, "a listener");
    listener->is_open = false; /* who comes from now on does not make it pause */
    rill_rdma_shortage_end(listener);
    if (listener->fd >= 0 && ask_where(listener, &address) == 0)
        rill_rdma_end_unheard(listener->rdma, &address);
    while (listener->held_count > 0)
        listener->rdma->ucx->listener_reject(listener->ucp, pop(listener));
    listener->rdma->ucx->listener_destroy(listener->ucp);
    release_held(listener);
    listener->rdma->listeners--;
    rill_link_remove(&listener->of_rdma);
}
