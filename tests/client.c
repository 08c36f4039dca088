/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/client.h"

#include "tests/process.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024 };

/* Byte `position` of the stream that a seed stands for. */
static unsigned char byte_at(uint64_t position, uint64_t seed)
{
    uint64_t mixed = (position + seed * 0x10001) * UINT64_C(0x9e3779b97f4a7c15);

    return (unsigned char)(mixed >> 56);
}

static void fill(unsigned char *bytes, size_t size, uint64_t position, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_at(position + i, seed);
}

static void check_bytes(const unsigned char *bytes, size_t size, uint64_t position, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != byte_at(position + i, seed))
            ck_abort_msg("byte %llu is another one than was sent",
                         (unsigned long long)(position + i));
}

static int try_to_connect(int family, uint16_t port)
{
    const struct sockaddr_in ip4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 ip6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    const struct timeval limit = {.tv_sec = CLIENT_LIMIT_MS / 1000};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

    ck_assert_msg(fd >= 0, "socket: %s", strerror(errno));
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    if (family == AF_INET6)
        error = connect(fd, (const struct sockaddr *)&ip6, sizeof ip6);
    else
        error = connect(fd, (const struct sockaddr *)&ip4, sizeof ip4);
    if (error == 0)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

int client_connect_family(int family, uint16_t port)
{
    int fd = try_to_connect(family, port);

    ck_assert_msg(fd >= 0, "connect: %s", strerror(-fd));
    return fd;
}

int client_connect(uint16_t port)
{
    return client_connect_family(AF_INET, port);
}

int client_is_refused(uint16_t port)
{
    int fd = try_to_connect(AF_INET, port);

    if (fd >= 0)
        close(fd);
    return fd == -ECONNREFUSED;
}

void client_send(int fd, size_t size, uint64_t seed)
{
    unsigned char bytes[CHUNK];

    for (size_t sent = 0; sent < size;) {
        size_t part = size - sent < sizeof bytes ? size - sent : sizeof bytes;
        ssize_t taken;

        fill(bytes, part, sent, seed);
        taken = send(fd, bytes, part, MSG_NOSIGNAL);
        ck_assert_msg(taken > 0, "send: %s", strerror(errno));
        sent += (size_t)taken;
    }
}

void client_receive(int fd, size_t size, uint64_t seed)
{
    unsigned char bytes[CHUNK];

    for (size_t received = 0; received < size;) {
        size_t part = size - received < sizeof bytes ? size - received : sizeof bytes;
        ssize_t taken = recv(fd, bytes, part, 0);

        ck_assert_msg(taken > 0, "recv: %s", taken ? strerror(errno) : "the end came early");
        check_bytes(bytes, (size_t)taken, received, seed);
        received += (size_t)taken;
    }
}

/* One direction each: does what can be done now. Returns the number of bytes. */
static size_t send_some(int fd, size_t size, size_t position, uint64_t seed)
{
    unsigned char bytes[CHUNK];
    size_t part = size - position < sizeof bytes ? size - position : sizeof bytes;
    ssize_t taken;

    fill(bytes, part, position, seed);
    taken = send(fd, bytes, part, MSG_NOSIGNAL | MSG_DONTWAIT);
    ck_assert_msg(taken > 0 || errno == EAGAIN, "send: %s", strerror(errno));
    return taken > 0 ? (size_t)taken : 0;
}

static size_t receive_some(int fd, size_t position, uint64_t seed)
{
    unsigned char bytes[CHUNK];
    ssize_t taken = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);

    ck_assert_msg(taken > 0 || (taken < 0 && errno == EAGAIN), "recv: %s",
                  taken ? strerror(errno) : "the end came early");
    if (taken < 0)
        return 0;
    check_bytes(bytes, (size_t)taken, position, seed);
    return (size_t)taken;
}

void client_echo(int fd, size_t size, uint64_t seed)
{
    size_t sent = 0, received = 0;

    while (received < size) {
        struct pollfd ready = {.fd = fd, .events = (short)(POLLIN | (sent < size ? POLLOUT : 0))};

        ck_assert_msg(poll(&ready, 1, CLIENT_LIMIT_MS) > 0, "%zu of %zu bytes came back", received,
                      size);
        if (ready.revents & POLLOUT)
            sent += send_some(fd, size, sent, seed);
        if (ready.revents & ~POLLOUT)
            received += receive_some(fd, received, seed);
    }
    ck_assert_uint_eq(received, size);
}

/* Full is what has stayed full for a while: the other side may be at work. */
size_t client_stuff(const int *fds, unsigned count)
{
    static const char bytes[CHUNK];
    struct pollfd writable[128];
    size_t sent = 0;

    ck_assert_uint_le(count, sizeof writable / sizeof writable[0]);
    for (unsigned i = 0; i < count; i++) {
        writable[i] = (struct pollfd){.fd = fds[i], .events = POLLOUT};
        setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &(int){CHUNK}, sizeof(int));
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &(int){CHUNK}, sizeof(int));
    }
    while (poll(writable, count, 100) > 0) {
        for (unsigned i = 0; i < count; i++) {
            ssize_t taken = send(fds[i], bytes, sizeof bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

            ck_assert_msg(taken > 0 || errno == EAGAIN, "send: %s", strerror(errno));
            sent += taken > 0 ? (size_t)taken : 0;
        }
        ck_assert_uint_lt(sent, (size_t)count << 28); /* 256 MiB each: that would be no end */
    }
    return sent;
}

void client_finish_sending(int fd)
{
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
}

void client_expect_end(int fd)
{
    char byte;
    ssize_t size = recv(fd, &byte, 1, 0);

    ck_assert_msg(size == 0, "recv: %s", size < 0 ? strerror(errno) : "there are more bytes");
}

void client_close(int fd)
{
    ck_assert_int_eq(close(fd), 0);
}

void client_reset(int fd)
{
    const struct linger linger = {.l_onoff = 1};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    client_close(fd);
}

pid_t client_fork(uint16_t port)
{
    static char bytes[CHUNK];
    int fd = client_connect(port);
    pid_t parent = getpid(), pid;

    client_send(fd, 1, 0);
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        /* Other connections of the parent would stay open for as long as they are
         * open here. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent || dup2(fd, 0) < 0 ||
            close_range(3, ~0U, 0) < 0)
            _exit(1);
        while (send(0, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
            ;
        _exit(1);
    }
    client_close(fd);
    return pid;
}

void client_kill(pid_t pid)
{
    int status = 0;

    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
