/* SPDX-License-Identifier: Apache-2.0 */
/* cli_usage.h - the text of --help, and what it has in common with reading the options. */
#ifndef RILL_BENCH_CLI_USAGE_H
#define RILL_BENCH_CLI_USAGE_H

#include "bench/cli.h"

/* Prints it. */
void cli_print_usage(const struct cli *cli);

/* The option with that letter, or NULL. */
const struct cli_option *cli_find_letter(const struct cli *cli, char letter);

enum { CLI_TEXT_SIZE = 256 };

/* A piece of text that grows up to its size and is cut off there. */
struct cli_text {
    char *data;
    size_t size, length;
};

void cli_add(struct cli_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Writes a number of an option as a user would: with the largest unit that divides it. */
void cli_add_number(struct cli_text *text, const struct cli_option *option, int64_t number);

#endif
