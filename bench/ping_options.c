/* SPDX-License-Identifier: Apache-2.0 */
/* ping_options.c - the command line of rill-ping. */
#include "bench/ping.h"
#include "bench/rdma_echo.h"
#include "bench/wait_policy.h"

#include <inttypes.h>
#include <string.h>

enum { IN_FLIGHT_MAX = 1 << 30 };

/* A URL that is wrong is found before anything is opened. */
static void read_url(const struct cli *cli, struct ping *ping)
{
    const char *why;

    if (rill_url_parse(&ping->url, ping->text, &why) < 0)
        cli_fail(cli, "%s: %s", ping->text, why);
    ping->is_rdma = strcmp(ping->url.scheme, "rdma") == 0;
    if (!ping->is_rdma && strcmp(ping->url.scheme, "tcp") != 0 &&
        strcmp(ping->url.scheme, "unix") != 0)
        cli_fail(cli,
                 "%s: the scheme %s is not known; want tcp://host:port, unix:///path or "
                 "rdma://host:port",
                 ping->text, ping->url.scheme);
    if (ping->is_rdma && rdma_absent)
        cli_fail(cli, "%s: %s", ping->text, rdma_absent);
}

/* What each kind of load cannot be combined with. */
static void check_mode(const struct cli *cli, const struct ping *ping)
{
    if (ping->idle + ping->churn + ping->load.broadcast > 1)
        cli_fail(cli, "--idle, --churn and --broadcast: want one of them");
    if (ping->rate > 0 && (ping->idle || ping->churn || ping->load.broadcast))
        cli_fail(cli, "--rate: it goes with none of --idle, --churn and --broadcast");
    if (ping->churn && (ping->depth > 1 || ping->size > EXCHANGE_CHUNK_MAX))
        cli_fail(cli, "--churn: want --depth 1 and a --size of at most 1m: a connection has one "
                      "request");
    if (ping->is_rdma && (ping->churn || ping->load.broadcast))
        cli_fail(cli, "--churn and --broadcast: not over rdma://");
    if (ping->congestion && strcmp(ping->url.scheme, "tcp") != 0)
        cli_fail(cli, "--congestion: want tcp:// with it");
    if (ping->is_rdma && ping->size > RDMA_MESSAGE_MAX)
        cli_fail(cli, "--size: want at most 1m over rdma://, where a request is a message");
    if (!ping->is_rdma)
        transport_check_unused(cli, &ping->transport, ping->is_unprotected);
    transport_check(cli, &ping->transport);
    if (ping->load.broadcast && ping->depth > 1)
        cli_fail(cli, "--broadcast: want --depth 1: the next message is sent when all have the "
                      "last");
    if (ping->size * ping->depth > IN_FLIGHT_MAX)
        cli_fail(cli,
                 "--size %" PRId64 " with --depth %" PRId64
                 ": want at most 1 GiB in flight on a connection",
                 ping->size, ping->depth);
}

void ping_read_command_line(struct ping *ping, int argc, char **argv)
{
    const struct cli_option options[] = {
        CLI_INTEGER('c', "connections", &ping->connections, 1, 1000000, "connections to open"),
        CLI_SIZE('s', "size", &ping->size, 1, 64 << 20, "bytes in a request"),
        CLI_INTEGER('d', "depth", &ping->depth, 1, 65536, "requests in flight on each connection"),
        CLI_DURATION('t', "seconds", &ping->seconds_ns, RILL_MILLISECOND, 86400 * RILL_SECOND,
                     "how long to measure; up to 2s longer where nothing is answered by then"),
        CLI_DURATION(0, "warmup", &ping->warmup_ns, 0, 3600 * RILL_SECOND,
                     "how long to run before measuring"),
        CLI_CHOICE('w', "wait", &ping->wait_policy, wait_words,
                   "what to do when there is nothing to do"),
        CLI_STRING(0, "congestion", &ping->congestion, "NAME", "congestion control, such as cubic"),
        CLI_INTEGER('r', "rate", &ping->rate, 0, 100000000,
                    "send so many requests a second on all connections together, answered or "
                    "not; a latency counts from the moment at which a request was due"),
        CLI_FLAG(0, "churn", &ping->churn,
                 "open a connection for each request and close it after the answer"),
        CLI_FLAG(0, "broadcast", &ping->load.broadcast,
                 "send on one connection and receive on all, from a server that broadcasts"),
        CLI_FLAG(0, "idle", &ping->idle, "open the connections and send nothing"),
        CLI_TRANSPORT(&ping->transport),
        CLI_FLAG(0, "unprotected", &ping->is_unprotected,
                 "rdma:// with neither heartbeats nor limits for what nobody has received"),
        CLI_FLAG(0, "marks", &ping->marks,
                 "print a line when measuring begins and when it has ended"),
        CLI_FLAG('j', "json", &ping->json, "print the result as one JSON object"),
        CLI_END,
    };
    const struct cli_positional positionals[] = {
        CLI_ONE("URL", &ping->text,
                "the server, such as tcp://127.0.0.1:7000, unix:///run/echo.sock or "
                "rdma://127.0.0.1:7001"),
        CLI_POSITIONAL_END,
    };
    const struct cli cli = {
        .program = "rill-ping",
        .summary = "Measures an echo server and checks every byte that comes back.",
        .options = options,
        .positionals = positionals,
    };

    cli_parse(&cli, argc, argv);
    read_url(&cli, ping);
    check_mode(&cli, ping);
}
