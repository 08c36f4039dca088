/* SPDX-License-Identifier: Apache-2.0 */
/* threads_echo.c - an echo server with a thread for each connection, blocking calls only. */
#include "bench/peers/peer.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { STACK_SIZE = 64 * 1024 };

static struct peer peer;

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);

        if (written < 0)
            return false;
        data += written;
        size -= (size_t)written;
    }
    return true;
}

static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char buffer[PEER_CHUNK_SIZE];
    ssize_t length;

    while ((length = read(fd, buffer, sizeof buffer)) > 0)
        if (!write_all(fd, buffer, (size_t)length))
            break;
    close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_attr_t attributes;

    peer_start(&peer, "threads-echo", "Echoes with a thread for each connection.", PEER_TIMEOUT,
               argc, argv);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    for (;;) {
        int fd = accept(peer.listen_fd, NULL, NULL);
        pthread_t thread;

        if (fd < 0) {
            if (errno == ECONNABORTED || errno == EINTR)
                continue;
            peer_fail("threads-echo", "accept", errno);
        }
        if (peer.timeout_ns > 0) {
            struct timeval limit = {.tv_sec = peer.timeout_ns / 1000000000,
                                    .tv_usec = peer.timeout_ns % 1000000000 / 1000};

            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        }
        int error = pthread_create(&thread, &attributes, serve, (void *)(intptr_t)fd);
        if (error)
            peer_fail("threads-echo", "pthread_create", error);
    }
}
