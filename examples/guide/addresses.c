/* SPDX-License-Identifier: Apache-2.0 */
/* addresses.c - from a text to an address and back. */
#include "io/program.h"
#include "net/resolve.h"
#include "net/url.h"

#include <stdio.h>
#include <string.h>

/* Reads a URL whose host is numeric, or a path, and prints the address that it means. */
static void read_url(const char *text)
{
    char written[RILL_ADDRESS_TEXT_MAX];
    struct rill_address address;
    struct rill_url url;
    const char *why;

    if (rill_url_parse(&url, text, &why) || rill_url_address(&url, &address, &why))
        printf("%s: %s\n", text, why);
    else
        printf("%s: %s\n", text, rill_address_format(&address, written));
}

struct program {
    struct rill_future future;
    struct rill_resolve resolve;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_resolve(&program->resolve, "::1", 7000)); /* or a name, which takes longer */
    if (program->resolve.result < 0)
        RILL_RETURN(program->resolve.result);
    for (int64_t i = 0; i < program->resolve.result; i++) {
        char text[RILL_ADDRESS_TEXT_MAX];

        printf("resolved: %s\n", rill_address_format(&program->resolve.addresses[i], text));
    }
    RILL_END();
}

int main(void)
{
    static struct program program;

    read_url("tcp://127.0.0.1:7000");
    read_url("tcp://[::1]:7000");
    read_url("unix:///run/echo.sock");
    read_url("unix://@echo");
    read_url("tcp://example.net:7000");
    read_url("tcp://127.0.0.1");
    return rill_main(rill_future_init(&program.future, program_poll));
}
