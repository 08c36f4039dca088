/* SPDX-License-Identifier: Apache-2.0 */
#include "net/url.h"

#include "runtime/panic.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static int fail(const char **why, const char *reason)
{
    *why = reason;
    return -EINVAL;
}

static int parse_scheme(struct rill_url *url, const char *text, const char *end)
{
    size_t length = (size_t)(end - text);

    if (length == 0 || length >= sizeof url->scheme)
        return -EINVAL;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]))
            return -EINVAL;
        url->scheme[i] = (char)tolower((unsigned char)text[i]);
    }
    url->scheme[length] = '\0';
    return 0;
}

/* Letters, digits and what stands in names and numeric addresses; bytes above ASCII
 * belong to names in other scripts. */
static bool is_host(const char *host)
{
    for (; *host; host++)
        if (!isalnum((unsigned char)*host) && !strchr(".-_:%~", *host) &&
            (unsigned char)*host < 0x80)
            return false;
    return true;
}

static int parse_port(struct rill_url *url, const char *text)
{
    unsigned port = 0;

    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return -EINVAL;
        port = port * 10 + (unsigned)(*text - '0');
        if (port > UINT16_MAX)
            return -EINVAL;
    }
    url->port = (uint16_t)port;
    return 0;
}

/* Any path, or name, but one that would break a log line. */
static int parse_path(struct rill_url *url, const char *path, const char *missing,
                      const char *too_long, const char **why)
{
    size_t length = strlen(path);

    if (length == 0)
        return fail(why, missing);
    if (length >= sizeof url->path)
        return fail(why, too_long);
    for (const char *byte = path; *byte; byte++)
        if (iscntrl((unsigned char)*byte))
            return fail(why, "the path has a control character");
    memcpy(url->path, path, length + 1);
    return 0;
}

static const char no_path[] = "the path is missing; want unix:///path/of/the/socket";
static const char no_name[] = "the name behind @ is missing; want unix://@name";

static int parse_unix(struct rill_url *url, const char *path, const char **why)
{
    if (strcmp(path, "@") == 0)
        return fail(why, no_name);
    return parse_path(url, path, no_path,
                      "the path is longer than 107 characters, which is all that a unix socket "
                      "may have",
                      why);
}

static int parse_fd(struct rill_url *url, const char *name, const char **why)
{
    return parse_path(url, name, "the descriptor is missing; want its number, fd://3, or its name",
                      "the descriptor's name is longer than 107 characters", why);
}

int rill_url_parse(struct rill_url *url, const char *text, const char **why)
{
    const char *colon, *host, *end, *port;

    rill_check(text, "NULL is no URL; want scheme://host:port, such as tcp://127.0.0.1:7000");
    colon = strstr(text, "://");
    memset(url, 0, sizeof *url);
    if (!colon || parse_scheme(url, text, colon) < 0)
        return fail(why, "it does not begin with a scheme; want scheme://host:port, such as "
                         "tcp://127.0.0.1:7000");
    if (strcmp(url->scheme, "unix") == 0)
        return parse_unix(url, colon + 3, why);
    if (strcmp(url->scheme, "fd") == 0)
        return parse_fd(url, colon + 3, why);
    host = colon + 3;
    if (*host == '[') {
        host++;
        end = strchr(host, ']');
        if (!end || end[1] != ':')
            return fail(why, "the bracket is not followed by ]:port; want tcp://[::1]:7000");
        port = end + 2;
    } else {
        end = strrchr(host, ':');
        if (!end)
            return fail(why, "the port is missing; want scheme://host:port");
        if (memchr(host, ':', (size_t)(end - host)))
            return fail(why, "an IPv6 address stands in brackets; want tcp://[::1]:7000");
        port = end + 1;
    }
    if (end == host)
        return fail(why, "the host is missing; want scheme://host:port");
    if ((size_t)(end - host) >= sizeof url->host)
        return fail(why, "the host is longer than 253 characters");
    memcpy(url->host, host, (size_t)(end - host));
    if (!is_host(url->host))
        return fail(why, "the host has a character that no host has; want scheme://host:port");
    if (parse_port(url, port) < 0)
        return fail(why, "the port is not a number from 0 to 65535");
    return 0;
}

int rill_url_address(const struct rill_url *url, struct rill_address *address, const char **why)
{
    if (strcmp(url->scheme, "unix") == 0)
        return rill_address_set_path(address, url->path) == 0
                   ? 0
                   : fail(why, *url->path ? no_name : no_path);
    if (strcmp(url->scheme, "tcp") != 0)
        return fail(why,
                    "the scheme is neither tcp nor unix; want tcp://host:port or unix:///path");
    if (rill_address_parse(address, url->host, url->port) < 0)
        return fail(why, "the host is not a numeric address; want tcp://127.0.0.1:7000, or "
                         "tcp://[::]:7000 for all of this machine's");
    return 0;
}
