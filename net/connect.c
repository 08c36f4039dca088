/* SPDX-License-Identifier: Apache-2.0 */
#include "net/connect.h"

#include "io/path.h"
#include "io/reactor.h"
#include "net/socket_address.h"
#include "net/socket_options.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const struct rill_place name_connect = {"connect", NULL, 0};

/* Binds the socket to the address to connect from. A port that the kernel chooses is
 * chosen when it connects: it must be free for that peer only, where one that is chosen
 * here would have to be free for all. */
static int bind_local(struct rill_connect *connect)
{
    const struct rill_address *local = &connect->local;
    struct rill_kernel *kernel = rill_reactor_here()->kernel;
    int error = 0;

    if (rill_address_port(local) == 0 && local->any.sa_family != AF_UNIX)
        error = rill_socket_set_int(connect->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, true);
    if (!error)
        error = kernel->ops->bind(kernel, connect->fd, &local->any, local->size);
    if (!error)
        rill_socket_file_find(&connect->file, local);
    return error;
}

/* Whatever has to be done before it is connected. Returns 0 or -errno. */
static int prepare_socket(struct rill_connect *connect, const struct rill_address *address)
{
    int error = 0;

    if (connect->set_up)
        error = connect->set_up(connect->fd, address, connect->context);
    rill_check(error <= 0, "the setup of a socket returned %d: want 0 or -errno", error);
    if (!error)
        error = rill_socket_take_urgent(connect->fd);
    if (!error && connect->local.size > 0)
        error = bind_local(connect);
    return error;
}

/* Opens a socket for the next address. Returns 0 or -errno. */
static int open_socket(struct rill_connect *connect)
{
    const struct rill_address *address = &connect->resolve.addresses[connect->next];
    struct rill_reactor *reactor = rill_reactor_here();
    struct rill_kernel *kernel = reactor->kernel;
    int error;

    connect->fd =
        kernel->ops->socket(kernel, address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect->fd < 0)
        return connect->fd;
    error = prepare_socket(connect, address);
    if (error) {
        kernel->ops->close(kernel, connect->fd);
        return error;
    }
    reactor->fds_open++;
    return 0;
}

/* IORING_OP_CONNECT takes the address's size where others take an offset. */
static struct rill_future *try_address(struct rill_connect *connect)
{
    const struct rill_address *address = &connect->resolve.addresses[connect->next];

    return rill_op_prepare(&connect->op, &name_connect, IORING_OP_CONNECT, connect->fd,
                           &address->any, 0, address->size);
}

/* Whether this machine has no way to an address. A name may have some of a family that only its
 * loopback speaks, or that it does not speak at all. */
static bool has_no_way(int64_t error)
{
    return error == -ENETUNREACH || error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT;
}

/* Such an address comes last and says nothing of the server: another one's error tells more. */
static void keep_error(struct rill_connect *connect, int64_t error)
{
    if (connect->next == 0 || !has_no_way(error))
        connect->result = error;
}

static bool is_same_host(const struct rill_address *one, const struct rill_address *other)
{
    if (one->any.sa_family == AF_INET6)
        return memcmp(&one->ip6.sin6_addr, &other->ip6.sin6_addr, sizeof one->ip6.sin6_addr) == 0;
    return one->ip4.sin_addr.s_addr == other->ip4.sin_addr.s_addr;
}

/* Whether the socket is connected to itself. The kernel may choose the very port that is connected
 * to, and where nobody listens there the socket's own question is the answer (simultaneous open,
 * RFC 9293): what is sent comes back, and the server that is to come finds its port taken. Who
 * chose that port, wanted it so. */
static bool is_own_peer(const struct rill_connect *connect)
{
    struct rill_address local, peer;
    uint16_t port = rill_address_port(&connect->resolve.addresses[connect->next]);

    if (port == 0 || (connect->local.size > 0 && rill_address_port(&connect->local) == port))
        return false;
    return rill_socket_local_address(connect->fd, &local) == 0 &&
           rill_address_port(&local) == port && rill_socket_peer_address(connect->fd, &peer) == 0 &&
           is_same_host(&local, &peer);
}

/* What the kernel said, or that nobody is there. The port of a reset connection is free at once. */
static int64_t outcome(const struct rill_connect *connect)
{
    if (connect->op.result < 0 || !is_own_peer(connect))
        return connect->op.result;
    (void)rill_socket_set_reset_on_close(connect->fd, true);
    return -ECONNREFUSED;
}

static enum rill_poll connect_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_connect *connect = rill_container_of(self, struct rill_connect, future);

    RILL_BEGIN();
    /* Here, and not where it is prepared: it may be a child that is not begun (runtime/once.h). */
    rill_check(!connect->tcp->is_open,
               "a connection is connected that is open already: close it first");
    RILL_SPEND_BUDGET(); /* without descriptors it ends at once */
    if (connect->count == 0) {
        RILL_AWAIT(&connect->resolve.future);
        if (connect->resolve.result < 0)
            RILL_RETURN(connect->resolve.result);
        connect->count = connect->resolve.result;
    }
    for (; connect->next < connect->count; connect->next++) {
        connect->op.result = open_socket(connect);
        if (connect->op.result < 0) {
            keep_error(connect, connect->op.result);
            continue;
        }
        RILL_AWAIT(try_address(connect));
        connect->op.result = outcome(connect);
        if (connect->op.result == 0) {
            rill_tcp_adopt(connect->tcp, connect->fd);
            RILL_RETURN(0);
        }
        keep_error(connect, connect->op.result);
        if (rill_socket_file_is_there(&connect->file, &connect->local))
            RILL_AWAIT(
                rill_path_clean_up(&connect->closing, AT_FDCWD, connect->local.local.sun_path));
        RILL_AWAIT(rill_op_close(&connect->closing, connect->fd));
        if (rill_task_is_cancelled(task))
            RILL_RETURN(-ECANCELED);
    }
    RILL_RETURN(connect->result);
    RILL_END();
}

static struct rill_future *prepare(struct rill_tcp *tcp, struct rill_connect *connect)
{
    connect->tcp = tcp;
    connect->count = 0;
    connect->next = 0;
    connect->local.size = 0;
    connect->file = (struct rill_socket_file){0};
    connect->set_up = NULL;
    return rill_future_init(&connect->future, connect_poll);
}

struct rill_future *rill_tcp_connect(struct rill_tcp *tcp, struct rill_connect *connect,
                                     const char *host, uint16_t port)
{
    rill_resolve(&connect->resolve, host, port);
    return prepare(tcp, connect);
}

struct rill_future *rill_tcp_connect_address(struct rill_tcp *tcp, struct rill_connect *connect,
                                             const struct rill_address *address)
{
    struct rill_future *future = prepare(tcp, connect);

    connect->resolve.addresses[0] = *address;
    connect->count = 1;
    return future;
}

struct rill_future *rill_tcp_connect_from(struct rill_tcp *tcp, struct rill_connect *connect,
                                          const struct rill_address *local,
                                          const struct rill_address *address)
{
    struct rill_future *future = rill_tcp_connect_address(tcp, connect, address);

    connect->local = *local;
    return future;
}

struct rill_future *rill_connect_with(struct rill_connect *connect, rill_connect_setup_fn *set_up,
                                      void *context)
{
    connect->set_up = set_up;
    connect->context = context;
    return &connect->future;
}

/* Ready at once, with the result that it was given. */
static enum rill_poll refused_poll(struct rill_future *self, struct rill_task *task)
{
    (void)self;
    return rill_budget_spend(rill_executor_here(), task) ? RILL_READY : RILL_PENDING;
}

struct rill_future *rill_tcp_connect_url(struct rill_tcp *tcp, struct rill_connect *connect,
                                         const struct rill_url *url)
{
    struct rill_address address;

    if (strcmp(url->scheme, "tcp") == 0)
        return rill_tcp_connect(tcp, connect, url->host, url->port);
    if (strcmp(url->scheme, "unix") == 0 && rill_address_set_path(&address, url->path) == 0)
        return rill_tcp_connect_address(tcp, connect, &address);
    rill_future_init(&connect->future, refused_poll);
    connect->result = -EINVAL;
    return &connect->future;
}
