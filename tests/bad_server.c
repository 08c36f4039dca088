/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bad_server.h"

#include <check.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int bad_server_listen(uint16_t *port, int backlog)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

uint16_t bad_server_absent(void)
{
    uint16_t port;

    close(bad_server_listen(&port, 1));
    return port;
}

/* Handles size bytes that came. Returns whether to go on. */
static bool answer(const struct bad_server *server, int fd, unsigned char *bytes, size_t size,
                   uint64_t *received)
{
    uint64_t before = *received;

    *received += size;
    switch (server->manner) {
    case BAD_CORRUPTS:
        if (server->position >= before && server->position < before + size)
            bytes[server->position - before] ^= 0x20;
        return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
    case BAD_SWAPS:
        if (size > 1) {
            unsigned char first = bytes[0];

            bytes[0] = bytes[1];
            bytes[1] = first;
        }
        return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
    case BAD_DUPLICATES:
        return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size &&
               send(fd, bytes + size - 1, 1, MSG_NOSIGNAL) == 1;
    case BAD_OMITS:
        return send(fd, bytes, size - 1, MSG_NOSIGNAL) == (ssize_t)size - 1;
    case BAD_CLOSES:
    case BAD_RESETS:
        if (server->position < before + size) {
            if (server->position > before)
                send(fd, bytes, server->position - before, MSG_NOSIGNAL);
            return false;
        }
        return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
    case BAD_NEVER_ANSWERS:
        return true;
    case BAD_NEVER_READS:
        return pause() == 0;
    case BAD_FALLS_SILENT:
        return *received > server->position || send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
    }
    return false;
}

static void serve(const struct bad_server *server, int listener)
{
    static unsigned char bytes[64 * 1024];
    const struct linger reset = {.l_onoff = 1};
    uint64_t received = 0;
    int fd = accept(listener, NULL, NULL);
    ssize_t size = server->manner == BAD_NEVER_READS ? 1 : recv(fd, bytes, sizeof bytes, 0);

    while (size > 0 && answer(server, fd, bytes, (size_t)size, &received))
        size = recv(fd, bytes, sizeof bytes, 0);
    if (server->manner == BAD_RESETS)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
}

void bad_server_start(struct bad_server *server)
{
    int listener = bad_server_listen(&server->port, 16);
    pid_t parent = getpid();

    server->pid = fork();
    ck_assert_int_ge(server->pid, 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            serve(server, listener);
        _exit(0);
    }
    close(listener);
}

void bad_server_stop(struct bad_server *server)
{
    kill(server->pid, SIGKILL);
    ck_assert_int_eq(waitpid(server->pid, NULL, 0), server->pid);
}
