/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/unheard.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* tcpi_state, of which linux/tcp.h has no names. */
enum { STATE_LISTEN = 10 };

/* Whether a socket bound to local may belong to a listener at an address. */
static bool is_at(const struct rill_address *local, const struct rill_address *at)
{
    if (local->any.sa_family != at->any.sa_family ||
        rill_address_port(local) != rill_address_port(at))
        return false;
    if (at->any.sa_family == AF_INET) {
        in_addr_t host = at->ip4.sin_addr.s_addr;

        return host == htonl(INADDR_ANY) || host == local->ip4.sin_addr.s_addr;
    }
    return IN6_IS_ADDR_UNSPECIFIED(&at->ip6.sin6_addr) ||
           IN6_ARE_ADDR_EQUAL(&at->ip6.sin6_addr, &local->ip6.sin6_addr);
}

/* Nobody gets through to it any more; the socket itself stays as UCX knows it. */
static void shut_door(int fd)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog filter = {.len = 1, .filter = &drop};

    (void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
}

static bool is_bound_at(int fd, const struct rill_address *at)
{
    struct rill_address local = {.size = sizeof local.local}; /* the largest */

    return getsockname(fd, &local.any, &local.size) == 0 && is_at(&local, at);
}

static bool read_info(int fd, struct tcp_info *info)
{
    socklen_t size = sizeof *info;

    memset(info, 0, sizeof *info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) == 0;
}

/* Returns whether UCX has still something to do with this descriptor: it has to accept, to read
 * what came, or to see that a silent client has gone. */
static bool is_unheard(int fd, const struct rill_address *at)
{
    struct tcp_info info;
    int unread = 0;

    if (!is_bound_at(fd, at) || !read_info(fd, &info))
        return false;
    if (info.tcpi_state == STATE_LISTEN) {
        shut_door(fd);
        return info.tcpi_unacked > 0; /* of a socket that listens: who waits to be accepted */
    }
    if (info.tcpi_bytes_received > 0)
        return ioctl(fd, FIONREAD, &unread) == 0 && unread > 0;
    shutdown(fd, SHUT_RDWR);
    return true;
}

/* Under a number of its own, as UCX's thread may close the descriptor meanwhile, and another thread
 * get its number. Only sockets have one: closing another number of a file gives up its locks
 * (fcntl(2)). */
static bool is_unheard_at(int fd, const struct rill_address *at)
{
    int same = is_bound_at(fd, at) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    bool found;

    if (same < 0)
        return false;
    found = is_unheard(same, at);
    close(same);
    return found;
}

static bool listens(int fd, const struct rill_address *at)
{
    struct tcp_info info;

    (void)at;
    return read_info(fd, &info) && info.tcpi_state == STATE_LISTEN;
}

static bool listens_at(int fd, const struct rill_address *at)
{
    return is_bound_at(fd, at) && listens(fd, at);
}

/* Of how many descriptors of the process something is true; the latest of them is found, or -1. */
static size_t find(bool (*is)(int fd, const struct rill_address *at), const struct rill_address *at,
                   int *latest)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    size_t found = 0;

    *latest = -1;
    if (!directory)
        return 0;
    while ((entry = readdir(directory))) {
        int fd = entry->d_name[0] == '.' ? -1 : (int)strtol(entry->d_name, NULL, 10);

        if (fd < 0 || !is(fd, at))
            continue;
        *latest = fd;
        found++;
    }
    closedir(directory);
    return found;
}

static size_t count(bool (*is)(int fd, const struct rill_address *at),
                    const struct rill_address *at)
{
    int latest;

    return find(is, at, &latest);
}

/* The real one, as it is UCX's thread that is waited for. */
static int64_t clock_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * RILL_SECOND + time.tv_nsec;
}

size_t rill_rdma_count_listening(void)
{
    return count(listens, NULL);
}

int rill_rdma_find_listening(const struct rill_address *at)
{
    int fd;

    (void)find(listens_at, at, &fd);
    return fd;
}

void rill_rdma_end_unheard(struct rill_rdma *rdma, const struct rill_address *at)
{
    const struct timespec pause = {.tv_nsec = 100 * RILL_MICROSECOND};
    const int64_t until_ns = clock_ns() + RILL_RDMA_UNHEARD_WAIT_NS;

    if (rill_address_port(at) == 0)
        return;
    while (count(is_unheard_at, at) > 0 && clock_ns() < until_ns) {
        rill_event_source_touch(&rdma->source);   /* what was armed before is so no longer */
        rdma->ucx->worker_progress(rdma->worker); /* does what UCX's thread could not */
        nanosleep(&pause, NULL);
    }
}
