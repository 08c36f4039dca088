/* SPDX-License-Identifier: Apache-2.0 */
#include "net/udp.h"

#include "io/path.h"
#include "io/reactor.h"
#include "net/socket_address.h"
#include "net/socket_options.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/task.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

/* ---- opening ---- */

static int set_multicast_interface(int fd, int family, unsigned interface)
{
    struct ip_mreqn request = {.imr_ifindex = (int)interface};
    int error;

    if (family == AF_INET6)
        return rill_socket_set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)interface);
    error = rill_socket_set_option(fd, IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request);
    /* What else it says where it says this is that an address is none of ours. */
    return error == -EADDRNOTAVAIL ? -ENODEV : error;
}

static int set_multicast_hops(int fd, int family, int hops)
{
    if (family == AF_INET6)
        return rill_socket_set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
    return rill_socket_set_int(fd, IPPROTO_IP, IP_MULTICAST_TTL, hops);
}

static int configure(int fd, int family, const struct rill_udp_options *options)
{
    int error = rill_socket_set_buffers(fd, options->send_size, options->receive_size);

    if (family == AF_UNIX)
        return error;
    if (!error && family == AF_INET6)
        error = rill_socket_set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, options->ip6_only);
    if (!error && options->reuseport)
        error = rill_socket_set_reuseport(fd, true);
    if (!error && options->reuseaddr)
        error = rill_socket_set_int(fd, SOL_SOCKET, SO_REUSEADDR, true);
    if (!error && options->broadcast)
        error = rill_socket_set_int(fd, SOL_SOCKET, SO_BROADCAST, true);
    if (!error && options->multicast_interface)
        error = set_multicast_interface(fd, family, options->multicast_interface);
    if (!error && options->multicast_hops)
        error = set_multicast_hops(fd, family, options->multicast_hops);
    return error;
}

/* What the kernel still puts into it would be lost, and the descriptor. */
static void check_closed(const struct rill_udp *udp)
{
    rill_check(!udp->is_open, "a socket was opened that is open already: close it first");
}

static void take_over(struct rill_udp *udp, int fd, const struct rill_address *address)
{
    rill_reactor_here()->fds_open++;
    *udp = (struct rill_udp){
        .fd = fd,
        .is_open = true,
        .address = *address,
        .receiver = {.has_datagrams = true},
    };
}

int rill_udp_open(struct rill_udp *udp, const struct rill_address *address,
                  const struct rill_udp_options *options)
{
    static const struct rill_udp_options defaults;
    struct rill_kernel *kernel = rill_reactor_here()->kernel;
    int family = address->any.sa_family;
    int fd, error;

    check_closed(udp);
    fd = kernel->ops->socket(kernel, family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fd;
    error = configure(fd, family, options ? options : &defaults);
    if (!error)
        error = kernel->ops->bind(kernel, fd, &address->any, address->size);
    if (error) {
        kernel->ops->close(kernel, fd);
        return error;
    }
    take_over(udp, fd, address);
    rill_socket_file_find(&udp->file, address);
    return 0;
}

int rill_udp_adopt(struct rill_udp *udp, int fd)
{
    struct rill_address address, peer;
    int type, error = rill_socket_get_int(fd, SOL_SOCKET, SO_TYPE, &type);
    sa_family_t family;

    check_closed(udp);
    if (!error)
        error = rill_socket_local_address(fd, &address);
    if (error)
        return error;
    family = address.any.sa_family;
    if (type != SOCK_DGRAM || (family != AF_INET && family != AF_INET6 && family != AF_UNIX))
        return -EPROTOTYPE;
    take_over(udp, fd, &address);
    udp->has_peer = rill_socket_peer_address(fd, &peer) == 0;
    return 0;
}

int rill_udp_local_address(const struct rill_udp *udp, struct rill_address *address)
{
    return rill_socket_local_address(rill_udp_fd(udp), address);
}

/* ---- the peer ---- */

/* NULL: nobody any more. */
static int set_peer(struct rill_udp *udp, const struct rill_address *peer)
{
    static const struct rill_address nobody = {
        .any = {.sa_family = AF_UNSPEC},
        .size = sizeof nobody.any,
    };
    struct rill_kernel *kernel = rill_reactor_here()->kernel;
    int error;

    if (!peer)
        peer = &nobody;
    error = kernel->ops->connect(kernel, rill_udp_fd(udp), &peer->any, peer->size);
    udp->has_peer = !error && peer != &nobody;
    return error;
}

/* With a peer goes a port that Linux has chosen, while others may still send to it. One that was
 * asked for stays: so the same one is asked for, once and for all. */
static int keep_port(struct rill_udp *udp)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;
    struct rill_address now;
    int error = rill_udp_local_address(udp, &now);

    if (error || rill_address_port(&now) != 0)
        return error;
    return kernel->ops->bind(kernel, udp->fd, &udp->address.any, udp->address.size);
}

/* The address that datagrams come from was chosen for the peer, so it goes with that. */
static int leave_peer(struct rill_udp *udp)
{
    struct rill_address now;
    int error = rill_udp_local_address(udp, &now);

    if (error)
        return error;
    rill_address_set_port(&udp->address, rill_address_port(&now));
    return set_peer(udp, NULL);
}

int rill_udp_connect(struct rill_udp *udp, const struct rill_address *peer)
{
    int error = 0;

    if (udp->address.any.sa_family == AF_UNIX)
        return set_peer(udp, peer);
    if (udp->has_peer)
        error = leave_peer(udp);
    if (!error)
        error = keep_port(udp);
    return error || !peer ? error : set_peer(udp, peer);
}

/* ---- multicast ---- */

static int change_membership(const struct rill_udp *udp, int ip4_name, int ip6_name,
                             const struct rill_address *group, unsigned interface)
{
    if (group->any.sa_family == AF_INET6) {
        struct ipv6_mreq request = {
            .ipv6mr_multiaddr = group->ip6.sin6_addr,
            .ipv6mr_interface = interface,
        };

        return rill_socket_set_option(rill_udp_fd(udp), IPPROTO_IPV6, ip6_name, &request,
                                      sizeof request);
    }

    if (udp->is_open && group->any.sa_family != AF_INET)
        return -EINVAL;

    struct ip_mreqn request = {
        .imr_multiaddr = group->ip4.sin_addr,
        .imr_ifindex = (int)interface,
    };

    return rill_socket_set_option(rill_udp_fd(udp), IPPROTO_IP, ip4_name, &request, sizeof request);
}

int rill_udp_join(struct rill_udp *udp, const struct rill_address *group, unsigned interface)
{
    return change_membership(udp, IP_ADD_MEMBERSHIP, IPV6_JOIN_GROUP, group, interface);
}

int rill_udp_leave(struct rill_udp *udp, const struct rill_address *group, unsigned interface)
{
    return change_membership(udp, IP_DROP_MEMBERSHIP, IPV6_LEAVE_GROUP, group, interface);
}

/* ---- receiving ---- */

/* The size of a sender's address, of which the kernel has told. It counts a zero behind the longest
 * path of a unix socket, for which there is no room, and does not take such a size back. */
static socklen_t size_of_sender(size_t told)
{
    const size_t room = sizeof((struct rill_address *)0)->local;

    return (socklen_t)(told < room ? told : room);
}

static enum rill_poll recv_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_datagram *datagram = rill_container_of(self, struct rill_datagram, op.future);

    if (rill_op_poll(self, task) == RILL_PENDING)
        return RILL_PENDING;
    if (datagram->result < 0)
        return RILL_READY;
    datagram->peer.size = size_of_sender(datagram->message.msg_namelen);
    datagram->op.transferred = (uint64_t)datagram->result; /* MSG_TRUNC: also what did not fit */
    if (datagram->message.msg_flags & MSG_TRUNC)
        datagram->result = -EMSGSIZE;
    return RILL_READY;
}

/* More parts than the kernel takes. It would say -EMSGSIZE, which here tells of a datagram. */
static enum rill_poll refuse_poll(struct rill_future *self, struct rill_task *task)
{
    return rill_end_at_once(self, task, -EINVAL);
}

struct rill_future *rill_udp_recv_vectored(struct rill_udp *udp, struct rill_datagram *datagram,
                                           const struct iovec *parts, size_t count)
{
    static const struct rill_place name = {"receive a datagram", NULL, 0};

    rill_check(!udp->is_open || !rill_receiver_is_active(&udp->receiver),
               "a socket that lends its datagrams is received from in another way, too");
    rill_op_prepare(&datagram->op, &name, IORING_OP_RECVMSG, rill_udp_fd(udp), &datagram->message,
                    1, 0);
    datagram->op.op_flags = MSG_TRUNC;
    datagram->op.future.poll = count <= IOV_MAX ? recv_poll : refuse_poll;
    /* The kernel writes no address where the sender has none, as unix sockets may. */
    datagram->peer = (struct rill_address){.any = {.sa_family = AF_UNIX}};
    datagram->message = (struct msghdr){
        .msg_name = &datagram->peer.any,
        .msg_namelen = sizeof datagram->peer.local, /* the largest */
        .msg_iov = (struct iovec *)(uintptr_t)parts,
        .msg_iovlen = count,
    };
    return &datagram->op.future;
}

struct rill_future *rill_udp_recv(struct rill_udp *udp, struct rill_datagram *datagram,
                                  void *buffer, size_t size)
{
    datagram->part = (struct iovec){buffer, size};
    return rill_udp_recv_vectored(udp, datagram, &datagram->part, 1);
}

/* Reads what the kernel has put before the datagram: how long it is and who has sent it. */
static void unpack(struct rill_udp_borrow *borrow)
{
    struct rill_buffers *buffers = &rill_reactor_here()->buffers;
    char *head = rill_buffers_data(buffers, borrow->buffer);
    struct io_uring_recvmsg_out out;

    memcpy(&out, head, sizeof out);
    borrow->size = out.payloadlen;
    borrow->peer.any.sa_family = AF_UNIX;
    borrow->peer.size = size_of_sender(out.namelen);
    memcpy(&borrow->peer.any, head + sizeof out, borrow->peer.size);
    if (out.flags & MSG_TRUNC) {
        rill_buffers_give_back(buffers, borrow->buffer);
        borrow->result = -EMSGSIZE;
    } else {
        borrow->data = head + RILL_RECEIVER_HEAD;
        borrow->result = (int64_t)borrow->size;
    }
}

static enum rill_poll borrow_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_udp_borrow *borrow = rill_container_of(self, struct rill_udp_borrow, future);
    struct rill_udp *udp = borrow->udp;

    if (!udp->is_open)
        return rill_end_at_once(self, task, -EBADF);
    if (rill_receiver_take(&udp->receiver, udp->fd, task, &borrow->buffer, &borrow->result) ==
        RILL_PENDING)
        return RILL_PENDING;
    if (borrow->result > 0)
        unpack(borrow);
    return rill_future_end(self, borrow->result);
}

struct rill_future *rill_udp_recv_borrowed(struct rill_udp *udp, struct rill_udp_borrow *borrow)
{
    static const struct rill_place name = {"receive a datagram into a shared buffer", NULL, 0};

    rill_check(!borrow->data, "a receive would lose the buffer that is borrowed: give it back");
    rill_future_init(&borrow->future, borrow_poll);
    borrow->future.place = &name;
    borrow->udp = udp;
    return &borrow->future;
}

void rill_udp_borrow_give_back(struct rill_udp_borrow *borrow)
{
    if (!borrow->data)
        return;
    borrow->data = NULL;
    rill_buffers_give_back(&rill_reactor_here()->buffers, borrow->buffer);
}

/* ---- sending ---- */

struct rill_future *rill_udp_send_vectored(struct rill_udp *udp, struct rill_datagram *datagram,
                                           const struct iovec *parts, size_t count,
                                           const struct rill_address *to)
{
    static const struct rill_place name = {"send a datagram", NULL, 0};

    rill_op_prepare(&datagram->op, &name, IORING_OP_SENDMSG, rill_udp_fd(udp), &datagram->message,
                    1, 0);
    datagram->op.op_flags = MSG_NOSIGNAL;
    if (count > IOV_MAX)
        datagram->op.future.poll = refuse_poll;
    /* Linux 6.18 takes the bytes of a datagram before it sees that a unix socket is full; a
     * send that then waits goes on without them, and sends an empty one. */
    if (udp->address.any.sa_family == AF_UNIX)
        datagram->op.op_flags |= MSG_DONTWAIT;
    if (!to)
        datagram->peer.size = 0;
    else if (to != &datagram->peer)
        datagram->peer = *to;
    datagram->message = (struct msghdr){
        .msg_name = to ? &datagram->peer.any : NULL,
        .msg_namelen = datagram->peer.size,
        .msg_iov = (struct iovec *)(uintptr_t)parts,
        .msg_iovlen = count,
    };
    return &datagram->op.future;
}

struct rill_future *rill_udp_send(struct rill_udp *udp, struct rill_datagram *datagram,
                                  const void *data, size_t size, const struct rill_address *to)
{
    datagram->part = (struct iovec){(void *)(uintptr_t)data, size};
    return rill_udp_send_vectored(udp, datagram, &datagram->part, 1, to);
}

/* ---- the end ---- */

static enum rill_poll close_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_udp *udp = rill_container_of(self, struct rill_udp, future);

    RILL_BEGIN();
    if (!udp->is_open) {
        RILL_SPEND_BUDGET();
        RILL_RETURN(0);
    }
    /* From here on: the number may be another's before the close is over. */
    udp->is_open = false;
    RILL_AWAIT(rill_receiver_stop(&udp->receiver));
    /* Others find a unix socket by its file, so that goes before the socket does. */
    if (rill_socket_file_is_there(&udp->file, &udp->address))
        RILL_AWAIT(rill_path_clean_up(&udp->receiver.op, AT_FDCWD, udp->address.local.sun_path));
    RILL_AWAIT(rill_op_close(&udp->receiver.op, udp->fd));
    RILL_RETURN(udp->receiver.op.result);
    RILL_END();
}

struct rill_future *rill_udp_close(struct rill_udp *udp)
{
    rill_check(!udp->future.awaits, "a socket is closed while a task closes it");
    return rill_future_init(&udp->future, close_poll);
}
