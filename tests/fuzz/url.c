/* SPDX-License-Identifier: Apache-2.0 */
/* url.c - where to listen or connect, as a user might write it. */
#include "net/url.h"

#include "tests/fixture.h"
#include "tests/fuzz/input.h"

#include <string.h>

static void check_error(int error, const char *why)
{
    expect_eq(error, -EINVAL);
    expect(why && *why);
}

/* What was read is written again as a URL of the same meaning. */
static void check_round(const struct rill_url *url)
{
    char text[sizeof url->scheme + sizeof url->host + sizeof url->path + 16];
    struct rill_url again;
    const char *why = NULL;

    if (url->host[0])
        snprintf(text, sizeof text, strchr(url->host, ':') ? "%s://[%s]:%u" : "%s://%s:%u",
                 url->scheme, url->host, url->port);
    else
        snprintf(text, sizeof text, "%s://%s", url->scheme, url->path);
    expect_eq(rill_url_parse(&again, text, &why), 0);
    expect(memcmp(&again, url, sizeof again) == 0);
}

static void check_address(const struct rill_address *address, uint16_t port)
{
    char text[RILL_ADDRESS_TEXT_MAX], host[RILL_ADDRESS_TEXT_MAX];
    struct rill_address again;
    size_t length;

    memset(text, 'x', sizeof text);
    rill_address_format(address, text);
    expect(memchr(text, '\0', sizeof text));
    expect_eq(rill_address_port(address), port);
    if (address->any.sa_family == AF_UNIX) {
        expect_eq(rill_address_set_path(&again, text), 0);
    } else {
        const char *colon = strrchr(text, ':');

        expect(colon);
        length = (size_t)(colon - text) - (text[0] == '[' ? 2 : 0);
        snprintf(host, sizeof host, "%.*s", (int)length, text + (text[0] == '['));
        expect_eq(rill_address_parse(&again, host, port), 0);
    }
    expect_eq(again.size, address->size);
    expect(memcmp(&again, address, address->size) == 0);
}

/* The kernel's: of any size, with bytes behind a path's end or without its zero. */
static void check_any_address(struct input *input)
{
    char text[RILL_ADDRESS_TEXT_MAX];
    struct rill_address address;

    input_take(input, &address, sizeof address);
    address.size = (socklen_t)input_below(input, sizeof address.local + 2);
    address.any.sa_family = (sa_family_t)(input_byte(input) % 2 ? AF_UNIX : AF_INET6);
    memset(text, 'x', sizeof text);
    rill_address_format(&address, text);
    expect(memchr(text, '\0', sizeof text));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};
    struct rill_address address;
    struct rill_url url;
    const char *why = NULL;
    char text[600];
    int error;

    input_text(&input, text, sizeof text);
    error = rill_url_parse(&url, text, &why);
    if (error) {
        check_error(error, why);
    } else {
        check_round(&url);
        error = rill_url_address(&url, &address, &why);
        if (error)
            check_error(error, why);
        else
            check_address(&address, url.port);
    }
    if (rill_address_parse(&address, text, 7000) == 0)
        check_address(&address, 7000);
    if (rill_address_set_path(&address, text) == 0)
        check_address(&address, 0);
    check_any_address(&input);
    return 0;
}
