/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/churn.h"

#include "net/socket_options.h"
#include "runtime/executor.h"

#include <errno.h>
#include <string.h>

static const int64_t connect_limit_ns = 10 * RILL_SECOND;

static void configure(struct churn *churn)
{
    (void)rill_socket_set_nodelay(churn->peer.fd, true);
    if (churn->congestion)
        (void)rill_socket_set_congestion(churn->peer.fd, churn->congestion);
}

/* A port rests for a minute after its connection (TIME_WAIT), and a second passes before it
 * is used again to the same address at least. With one address for all clients they run out,
 * and half of the load's time goes into the kernel's search for a port. */
static struct rill_future *connect_to_server(struct churn *churn)
{
    enum { FIRST = 0x7f010001, COUNT = 0xfffe }; /* from 127.1.0.1 on */
    const char *why;
    struct rill_address server;
    struct rill_address own = {
        .ip4 = {.sin_family = AF_INET,
                .sin_addr.s_addr = htonl(FIRST + (uint32_t)(churn->index % COUNT))},
        .size = sizeof own.ip4,
    };

    if (rill_url_address(churn->url, &server, &why) == 0 && server.any.sa_family == AF_INET &&
        ntohl(server.ip4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
        return rill_tcp_connect_from(&churn->peer, &churn->connect, &own, &server);
    return rill_tcp_connect_url(&churn->peer, &churn->connect, churn->url);
}

/* Takes account of what came back. Returns 0, or -errno where that is no answer. */
static int64_t check(struct churn *churn)
{
    uint64_t length = (uint64_t)churn->chunk.result;
    int64_t error = -EBADMSG;

    if (churn->chunk.result <= 0)
        return churn->chunk.result < 0 ? churn->chunk.result : -ECONNRESET;
    if (length <= churn->load->size - churn->received)
        error = exchange_check(churn->chunk.data, churn->index,
                               churn->sent_before + churn->received, length);
    rill_borrow_give_back(&churn->chunk);
    churn->received += length;
    churn->load->heard++;
    return error;
}

/* One connection, but for closing it. */
static enum rill_poll visit_poll(struct rill_future *self, struct rill_task *task)
{
    struct churn *churn = rill_container_of(self, struct churn, visit);

    RILL_BEGIN();
    RILL_AWAIT(rill_timeout(&churn->timeout, connect_limit_ns, connect_to_server(churn)));
    if (churn->timeout.result < 0)
        RILL_RETURN(churn->timeout.result);
    configure(churn);
    RILL_AWAIT(rill_tcp_send_lasting(&churn->peer, &churn->send,
                                     exchange_bytes(churn->index, churn->sent_before),
                                     churn->load->size));
    if (churn->send.result < 0)
        RILL_RETURN(churn->send.result);
    for (churn->received = 0; churn->received < churn->load->size;) {
        RILL_AWAIT(rill_tcp_recv_borrowed(&churn->peer, &churn->chunk));
        self->result = check(churn);
        if (self->result < 0)
            RILL_RETURN(self->result);
    }
    RILL_AWAIT(rill_tcp_flush(&churn->peer));
    RILL_AWAIT(rill_tcp_finish_sending(&churn->peer, &churn->finish));
    RILL_AWAIT(rill_tcp_recv_borrowed(&churn->peer, &churn->chunk));
    rill_borrow_give_back(&churn->chunk);
    RILL_RETURN(churn->chunk.result > 0 ? -EBADMSG : churn->chunk.result);
    RILL_END();
}

static enum rill_poll churn_poll(struct rill_future *self, struct rill_task *task)
{
    struct churn *churn = rill_container_of(self, struct churn, future);

    RILL_BEGIN();
    while (!churn->load->stopping) {
        churn->begin_ns = rill_now();
        RILL_AWAIT(rill_future_init(&churn->visit, visit_poll));
        RILL_AWAIT(rill_tcp_close(&churn->peer));
        if (churn->visit.result < 0)
            RILL_RETURN(churn->visit.result);
        load_answered(churn->load, churn->begin_ns);
        churn->sent_before += churn->load->size;
    }
    RILL_END();
}

struct rill_future *churn_run(struct churn *churn, struct load *load, const struct rill_url *url,
                              const char *congestion, uint64_t index)
{
    memset(churn, 0, sizeof *churn);
    churn->load = load;
    churn->url = url;
    churn->congestion = congestion;
    churn->index = index;
    return rill_future_init(&churn->future, churn_poll);
}
