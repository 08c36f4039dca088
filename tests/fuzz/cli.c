/* SPDX-License-Identifier: Apache-2.0 */
/* cli.c - the command line of a program, as a user might write it. */
#include "bench/cli.h"

#include "tests/fixture.h"
#include "tests/fuzz/input.h"

#include <ctype.h>
#include <string.h>

enum {
    WORDS_MAX = 12,
    WORD_MAX = 80,
    MANY_MAX = 3,
    MESSAGE_MAX = 100,
    UNTOUCHED = -7,
};

static const char *const choices[] = {"sleep", "adaptive", "spin", NULL};

static void check_range(int64_t value, int64_t min, int64_t max)
{
    expect(value == UNTOUCHED || (value >= min && value <= max));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};
    int64_t integer = UNTOUCHED, bytes_wanted = UNTOUCHED, signed_time = UNTOUCHED;
    int choice = UNTOUCHED;
    bool flag = false;
    const char *string = NULL, *one = NULL, *many[MANY_MAX] = {NULL};
    unsigned many_count = 0;
    const struct cli_option options[] = {
        CLI_FLAG('v', "verbose", &flag, "say more"),
        CLI_INTEGER('n', "number", &integer, -10, 100000, "so many"),
        CLI_SIZE('s', "size", &bytes_wanted, 0, INT64_MAX, "bytes"),
        CLI_DURATION('t', "time", &signed_time, INT64_MIN, INT64_MAX, "how long"),
        CLI_CHOICE('w', "wait", &choice, choices, "how it waits"),
        CLI_STRING(0, "name", &string, "NAME", "what it is called"),
        CLI_END,
    };
    const struct cli_positional positionals[] = {
        CLI_ONE("URL", &one, "where"),
        CLI_MANY("FILE", many, 0, MANY_MAX, &many_count, "what"),
        CLI_POSITIONAL_END,
    };
    const struct cli cli = {
        .program = "fuzz", .summary = "It.", .options = options, .positionals = positionals};
    char words[WORDS_MAX][WORD_MAX], *argv[WORDS_MAX + 2] = {(char[]){"fuzz"}};
    char message[MESSAGE_MAX];
    size_t message_size = 1 + (size_t)input_below(&input, sizeof message);
    enum cli_outcome outcome;
    int argc = 1;

    for (; argc <= WORDS_MAX && input_has(&input); argc++)
        argv[argc] = input_text(&input, words[argc - 1], WORD_MAX);
    memset(message, 'x', sizeof message);
    outcome = cli_read(&cli, argc, argv, message, message_size);
    expect(memchr(message, '\0', message_size));
    for (const char *byte = message; *byte; byte++)
        expect(!iscntrl((unsigned char)*byte));
    expect((outcome == CLI_BAD) == (message[0] != '\0') || message_size == 1);
    check_range(integer, -10, 100000);
    check_range(bytes_wanted, 0, INT64_MAX);
    check_range(choice, 0, 2);
    if (outcome == CLI_RUN) {
        expect(one && many_count <= MANY_MAX);
        expect(!string || *string);
    }
    return 0;
}
