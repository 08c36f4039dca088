/* SPDX-License-Identifier: Apache-2.0 */
#include "net/socket_options.h"

#include "io/reactor.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

int rill_socket_set_option(int fd, int level, int name, const void *value, size_t size)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;

    return kernel->ops->setsockopt(kernel, fd, level, name, value, (socklen_t)size);
}

int rill_socket_set_int(int fd, int level, int name, int value)
{
    return rill_socket_set_option(fd, level, name, &value, sizeof value);
}

int rill_socket_take_urgent(int fd)
{
    return rill_socket_set_int(fd, SOL_SOCKET, SO_OOBINLINE, 1);
}

int rill_socket_get_int(int fd, int level, int name, int *value)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;
    socklen_t size = sizeof *value;

    return kernel->ops->getsockopt(kernel, fd, level, name, value, &size);
}

int rill_socket_set_nodelay(int fd, bool on)
{
    return rill_socket_set_int(fd, IPPROTO_TCP, TCP_NODELAY, on);
}

int rill_socket_set_keepalive(int fd, int idle_s, int interval_s, int count)
{
    int error = 0;

    if (idle_s > 0) {
        error = rill_socket_set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s);
        if (!error)
            error = rill_socket_set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s);
        if (!error)
            error = rill_socket_set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, count);
    }
    return error ? error : rill_socket_set_int(fd, SOL_SOCKET, SO_KEEPALIVE, idle_s > 0);
}

int rill_socket_set_user_timeout(int fd, int64_t limit_ns)
{
    const int64_t limit_ms = limit_ns / RILL_MILLISECOND + (limit_ns % RILL_MILLISECOND > 0);

    if (limit_ns < 0 || limit_ms > INT_MAX)
        return -EINVAL;
    return rill_socket_set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)limit_ms);
}

int rill_socket_set_buffers(int fd, int send_size, int receive_size)
{
    int error = 0;

    if (send_size)
        error = rill_socket_set_int(fd, SOL_SOCKET, SO_SNDBUF, send_size);
    if (!error && receive_size)
        error = rill_socket_set_int(fd, SOL_SOCKET, SO_RCVBUF, receive_size);
    return error;
}

int rill_socket_set_reuseport(int fd, bool on)
{
    return rill_socket_set_int(fd, SOL_SOCKET, SO_REUSEPORT, on);
}

int rill_socket_set_congestion(int fd, const char *name)
{
    return rill_socket_set_option(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name));
}

#ifndef SO_PASSRIGHTS
enum { SO_PASSRIGHTS = 83 };
#endif

int rill_socket_set_descriptors(int fd, bool on)
{
    int error = rill_socket_set_int(fd, SOL_SOCKET, SO_PASSRIGHTS, on);

    return error == -ENOPROTOOPT ? 0 : error;
}

int rill_socket_set_reset_on_close(int fd, bool on)
{
    struct linger linger = {.l_onoff = on, .l_linger = 0};

    return rill_socket_set_option(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}
