/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peers/peer.h"

#include "bench/cli.h"
#include "bench/descriptors.h"
#include "net/url.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BACKLOG = 4096 };

void peer_fail(const char *program, const char *what, int error)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, strerror(error));
    exit(1);
}

int64_t peer_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int peer_listen(const char *program, const char *url_text, const char *congestion, bool *is_unix)
{
    const int on = 1;
    char text[RILL_ADDRESS_TEXT_MAX];
    struct rill_address address;
    struct rill_url url;
    const char *why;

    if (rill_url_parse(&url, url_text, &why) < 0 || rill_url_address(&url, &address, &why) < 0) {
        fprintf(stderr, "%s: %s: %s\n", program, url_text, why);
        exit(2);
    }
    *is_unix = address.any.sa_family == AF_UNIX;

    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        peer_fail(program, "socket", errno);
    if (!*is_unix) { /* connections inherit these */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0)
            peer_fail(program, "setsockopt", errno);
        if (congestion && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
                                     (socklen_t)strlen(congestion)) < 0)
            peer_fail(program, congestion, errno);
    }
    if (bind(fd, &address.any, address.size) < 0 || listen(fd, BACKLOG) < 0)
        peer_fail(program, url_text, errno);
    address.size = sizeof address.local;
    if (getsockname(fd, &address.any, &address.size) < 0)
        peer_fail(program, "getsockname", errno);
    printf("listening on %s://%s\n", url.scheme, rill_address_format(&address, text));
    fflush(stdout);
    return fd;
}

void peer_start(struct peer *peer, const char *program, const char *summary, unsigned abilities,
                int argc, char **argv)
{
    const char *url, *congestion = NULL;
    const struct cli_option options[] = {
        CLI_STRING(0, "congestion", &congestion, "NAME", "congestion control, such as cubic"),
        CLI_DURATION(0, "timeout", &peer->timeout_ns, 0, INT64_C(3600) * 1000000000,
                     "close a connection that is silent for so long"),
        CLI_FLAG(0, "broadcast", &peer->broadcast, "send what one connection sends to all of them"),
        CLI_END,
    };
    const struct cli_positional positionals[] = {
        CLI_ONE("URL", &url, "where to listen: tcp://127.0.0.1:7000, or unix:///run/echo.sock"),
        CLI_POSITIONAL_END,
    };
    const struct cli cli = {
        .program = program,
        .summary = summary,
        .options = options,
        .positionals = positionals,
    };

    *peer = (struct peer){0};
    cli_parse(&cli, argc, argv);
    if (peer->timeout_ns > 0 && !(abilities & PEER_TIMEOUT))
        cli_fail(&cli, "--timeout: this server has none");
    if (peer->broadcast && !(abilities & PEER_BROADCAST))
        cli_fail(&cli, "--broadcast: this server cannot");
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    peer->listen_fd = peer_listen(program, url, congestion, &peer->is_unix);
}
