/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - reads a program's command line from a table of its options.
 *
 *     int64_t connections = 1;
 *     const char *url = NULL;
 *     const struct cli_option options[] = {
 *         CLI_INTEGER('c', "connections", &connections, 1, 100000, "connections to open"),
 *         CLI_END,
 *     };
 *     const struct cli_positional positionals[] = {
 *         CLI_ONE("URL", &url, "where the server listens"),
 *         CLI_POSITIONAL_END,
 *     };
 *     const struct cli cli = {
 *         .program = "rill-ping",
 *         .summary = "Measures an echo server.",
 *         .options = options,
 *         .positionals = positionals,
 *     };
 *     cli_parse(&cli, argc, argv);
 *
 * A variable keeps what it held where its option is absent, and --help shows
 * that as the default. Every program also has --help and --version. */
#ifndef RILL_BENCH_CLI_H
#define RILL_BENCH_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef RILL_VERSION
#define RILL_VERSION "0.1.0"
#endif

enum cli_kind {
    CLI_KIND_END, /* the last of a table */
    CLI_KIND_FLAG,
    CLI_KIND_INTEGER,
    CLI_KIND_SIZE,     /* bytes: 64, 16k, 1m; k is 1024 */
    CLI_KIND_DURATION, /* nanoseconds: 5 (seconds), 2s, 500ms, 50us, 5m, 1h */
    CLI_KIND_CHOICE,   /* the index of a word in a list */
    CLI_KIND_STRING,
};

/* One option. Use the macros below: they check the variable's type. Everything
 * is borrowed while cli_parse runs; a string that an option receives points
 * into argv. */
struct cli_option {
    enum cli_kind kind;
    char letter;       /* of the short form, or 0 */
    const char *name;  /* of the long form, without the dashes */
    const char *value; /* how --help calls the value */
    const char *help;  /* a phrase, without a full stop */
    int64_t min, max;  /* of integers, sizes and durations */
    bool *flag;
    int64_t *number;
    int *choice;
    const char *const *words; /* of a choice, up to NULL */
    const char **string;
};

#define CLI_FLAG(letter_, name_, variable, help_)                                                  \
    {                                                                                              \
        .kind = CLI_KIND_FLAG, .letter = (letter_), .name = (name_), .help = (help_),              \
        .flag = (variable)                                                                         \
    }
#define CLI_INTEGER(letter_, name_, variable, min_, max_, help_)                                   \
    {                                                                                              \
        .kind = CLI_KIND_INTEGER, .letter = (letter_), .name = (name_), .value = "N",              \
        .help = (help_), .min = (min_), .max = (max_), .number = (variable)                        \
    }
#define CLI_SIZE(letter_, name_, variable, min_, max_, help_)                                      \
    {                                                                                              \
        .kind = CLI_KIND_SIZE, .letter = (letter_), .name = (name_), .value = "SIZE",              \
        .help = (help_), .min = (min_), .max = (max_), .number = (variable)                        \
    }
#define CLI_DURATION(letter_, name_, variable, min_, max_, help_)                                  \
    {                                                                                              \
        .kind = CLI_KIND_DURATION, .letter = (letter_), .name = (name_), .value = "TIME",          \
        .help = (help_), .min = (min_), .max = (max_), .number = (variable)                        \
    }
#define CLI_CHOICE(letter_, name_, variable, words_, help_)                                        \
    {                                                                                              \
        .kind = CLI_KIND_CHOICE, .letter = (letter_), .name = (name_), .help = (help_),            \
        .choice = (variable), .words = (words_)                                                    \
    }
#define CLI_STRING(letter_, name_, variable, value_, help_)                                        \
    {                                                                                              \
        .kind = CLI_KIND_STRING, .letter = (letter_), .name = (name_), .value = (value_),          \
        .help = (help_), .string = (variable)                                                      \
    }
#define CLI_END                                                                                    \
    {                                                                                              \
        .kind = CLI_KIND_END                                                                       \
    }

/* Arguments that are not options, in their order. A table's last entry may take
 * several. */
struct cli_positional {
    const char *name;    /* in capitals; NULL ends a table */
    const char *help;    /* a phrase, without a full stop */
    const char **values; /* room for max of them; they point into argv */
    unsigned min, max;
    unsigned *count; /* receives how many there were, or NULL */
};

#define CLI_ONE(name_, variable, help_)                                                            \
    {                                                                                              \
        .name = (name_), .help = (help_), .values = (variable), .min = 1, .max = 1                 \
    }
#define CLI_OPTIONAL(name_, variable, help_)                                                       \
    {                                                                                              \
        .name = (name_), .help = (help_), .values = (variable), .min = 0, .max = 1                 \
    }
#define CLI_MANY(name_, array, min_, max_, count_, help_)                                          \
    {                                                                                              \
        .name = (name_), .help = (help_), .values = (array), .min = (min_), .max = (max_),         \
        .count = (count_)                                                                          \
    }
#define CLI_POSITIONAL_END                                                                         \
    {                                                                                              \
        .name = NULL                                                                               \
    }

struct cli {
    const char *program;
    const char *summary; /* a sentence */
    const struct cli_option *options;
    const struct cli_positional *positionals; /* or NULL */
    const char *notes;                        /* paragraphs that end the usage, or NULL */
};

enum cli_outcome {
    CLI_RUN,
    CLI_HELP,
    CLI_VERSION,
    CLI_BAD,
};

/* Reads the command line into the variables. On --help it prints the usage, on
 * --version the version, and exits with 0; on a mistake it prints one line on
 * stderr and exits with 2. Returns only if the program shall run. From then on the
 * process exits with 1, saying so, if something that it wrote to stdout is lost. */
void cli_parse(const struct cli *cli, int argc, char **argv);

/* Does the same without printing and without exiting: CLI_BAD leaves the line,
 * without the program's name, in message, cut off at size bytes. The variables
 * of options before the mistake have been set. */
enum cli_outcome cli_read(const struct cli *cli, int argc, char **argv, char *message, size_t size);

/* Prints "program: " and the line on stderr and exits with 2: for what a table
 * cannot say, such as two options that exclude each other. */
void cli_fail(const struct cli *cli, const char *format, ...)
    __attribute__((noreturn, format(printf, 2, 3)));

#endif
