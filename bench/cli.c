/* SPDX-License-Identifier: Apache-2.0 */
/* cli.c - the option parser: values, and mistakes in words. */
#include "bench/cli.h"

#include "bench/cli_usage.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
    NAME_MAX_LENGTH = 40,
};

void cli_add(struct cli_text *text, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text->data + text->length, text->size - text->length, format, arguments);
    va_end(arguments);
    if (length > 0)
        text->length += (size_t)length;
    if (text->length >= text->size)
        text->length = text->size - 1;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* The largest first. The empty name is the unit of a bare number. */
static const struct unit size_units[] = {
    {"g", INT64_C(1) << 30}, {"m", INT64_C(1) << 20}, {"k", INT64_C(1) << 10}, {"", 1}, {NULL, 0},
};
static const struct unit duration_units[] = {
    {"h", INT64_C(3600000000000)},
    {"m", INT64_C(60000000000)},
    {"s", 1000000000},
    {"", 1000000000},
    {"ms", 1000000},
    {"us", 1000},
    {"ns", 1},
    {NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(const struct cli_option *option)
{
    return option->kind == CLI_KIND_SIZE       ? size_units
           : option->kind == CLI_KIND_DURATION ? duration_units
                                               : no_units;
}

void cli_add_number(struct cli_text *text, const struct cli_option *option, int64_t number)
{
    const struct unit *unit = units_of(option);

    while (unit->factor > 1 && (number == 0 || number % unit->factor != 0))
        unit++;
    cli_add(text, "%" PRId64 "%s", number / unit->factor, unit->name);
}

/* Writes the words of a choice: "sleep, adaptive or spin". */
static void add_words(struct cli_text *text, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++)
        cli_add(text, "%s%s", i == 0 ? "" : words[i + 1] == NULL ? " or " : ", ", words[i]);
}

/* Writes what an option's value ought to be. */
static void add_wish(struct cli_text *text, const struct cli_option *option)
{
    switch (option->kind) {
    case CLI_KIND_INTEGER:
    case CLI_KIND_SIZE:
    case CLI_KIND_DURATION:
        cli_add(text, option->kind == CLI_KIND_INTEGER ? "a number from "
                      : option->kind == CLI_KIND_SIZE  ? "a size from "
                                                       : "a duration from ");
        cli_add_number(text, option, option->min);
        cli_add(text, " to ");
        cli_add_number(text, option, option->max);
        break;
    case CLI_KIND_CHOICE:
        add_words(text, option->words);
        break;
    case CLI_KIND_STRING:
        cli_add(text, "%s (%s)", option->value, option->help);
        break;
    case CLI_KIND_FLAG:
    case CLI_KIND_END:
        break;
    }
    if (option->kind == CLI_KIND_SIZE)
        cli_add(text, ", such as 64, 16k or 1m");
    if (option->kind == CLI_KIND_DURATION)
        cli_add(text, ", such as 5, 500ms or 2s");
}

/* Reads digits, with a fraction where units allow one, and a unit. Exact for
 * whole numbers. Returns 0, -EINVAL, or -ERANGE where it does not fit. */
static int read_number(const struct cli_option *option, const char *word, int64_t *number)
{
    bool negative = word[0] == '-';
    const char *digits = word + negative;
    char *end;

    if (!isdigit((unsigned char)digits[0]))
        return -EINVAL;
    errno = 0;
    int64_t whole = strtoll(word, &end, 10);
    if (errno == ERANGE)
        return -ERANGE;

    double fraction = 0;
    if (*end == '.' && option->kind == CLI_KIND_DURATION) {
        double scale = 0.1;
        for (end++; isdigit((unsigned char)*end); end++, scale /= 10)
            fraction += (*end - '0') * scale;
    }

    const struct unit *unit = units_of(option);
    while (unit->name != NULL && strcasecmp(unit->name, end) != 0)
        unit++;
    if (unit->name == NULL)
        return -EINVAL;
    if (__builtin_mul_overflow(whole, unit->factor, &whole))
        return -ERANGE;
    *number = whole;
    if (fraction > 0) {
        int64_t rest = (int64_t)(fraction * (double)unit->factor + 0.5);
        if (__builtin_add_overflow(whole, negative ? -rest : rest, number))
            return -ERANGE;
    }
    return 0;
}

/* Stores a value in the option's variable. Returns whether it was a good one. */
static bool store(const struct cli_option *option, const char *word)
{
    int64_t number;

    switch (option->kind) {
    case CLI_KIND_INTEGER:
    case CLI_KIND_SIZE:
    case CLI_KIND_DURATION:
        if (read_number(option, word, &number) < 0 || number < option->min || number > option->max)
            return false;
        *option->number = number;
        return true;
    case CLI_KIND_CHOICE:
        for (int i = 0; option->words[i] != NULL; i++) {
            if (strcmp(option->words[i], word) == 0) {
                *option->choice = i;
                return true;
            }
        }
        return false;
    case CLI_KIND_STRING:
        *option->string = word;
        return word[0] != '\0';
    case CLI_KIND_FLAG:
    case CLI_KIND_END:
        break;
    }
    return false;
}

/* Counts the letters to insert, remove, change or swap with their neighbour to
 * make one word of the other (edit distance with adjacent transpositions). */
static unsigned distance(const char *from, size_t from_length, const char *to)
{
    unsigned rows[NAME_MAX_LENGTH + 1][NAME_MAX_LENGTH + 1];
    size_t to_length = strlen(to);

    if (from_length > NAME_MAX_LENGTH || to_length > NAME_MAX_LENGTH)
        return NAME_MAX_LENGTH;
    for (size_t i = 0; i <= from_length; i++) {
        for (size_t j = 0; j <= to_length; j++) {
            if (i == 0 || j == 0) {
                rows[i][j] = (unsigned)(i + j);
                continue;
            }
            unsigned best = rows[i - 1][j - 1] + (from[i - 1] != to[j - 1]);
            if (rows[i - 1][j] + 1 < best)
                best = rows[i - 1][j] + 1;
            if (rows[i][j - 1] + 1 < best)
                best = rows[i][j - 1] + 1;
            if (i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] &&
                rows[i - 2][j - 2] + 1 < best)
                best = rows[i - 2][j - 2] + 1;
            rows[i][j] = best;
        }
    }
    return rows[from_length][to_length];
}

/* Keeps name as the best if it is nearer to the given word. The beginning of a
 * name is taken for the name. */
static void consider(const char *given, size_t length, const char *name, const char **best,
                     unsigned *best_distance)
{
    unsigned found = distance(given, length, name);

    if (length >= 2 && strncmp(name, given, length) == 0 && found > 1)
        found = 1;
    if (found < *best_distance) {
        *best = name;
        *best_distance = found;
    }
}

/* Returns the name that somebody who wrote given meant, or NULL. */
static const char *nearest(const struct cli *cli, const char *given, size_t length)
{
    const char *best = NULL;
    /* Three mistakes in a long word are few, in a word of three all of it. */
    unsigned best_distance = length < 4 ? 2 : length < 7 ? 3 : 4;

    for (const struct cli_option *option = cli->options; option->kind != CLI_KIND_END; option++)
        consider(given, length, option->name, &best, &best_distance);
    consider(given, length, "help", &best, &best_distance);
    consider(given, length, "version", &best, &best_distance);
    return best;
}

static const struct cli_option *find_long(const struct cli *cli, const char *name, size_t length)
{
    for (const struct cli_option *option = cli->options; option->kind != CLI_KIND_END; option++)
        if (strlen(option->name) == length && memcmp(option->name, name, length) == 0)
            return option;
    return NULL;
}

const struct cli_option *cli_find_letter(const struct cli *cli, char letter)
{
    for (const struct cli_option *option = cli->options; option->kind != CLI_KIND_END; option++)
        if (option->letter == letter && letter != 0)
            return option;
    return NULL;
}

/* Says whether a word is one of the options, and so no value of another. */
static bool is_option(const struct cli *cli, const char *word)
{
    if (strncmp(word, "--", 2) == 0)
        return find_long(cli, word + 2, strcspn(word + 2, "=")) != NULL;
    return word[0] == '-' && word[1] != '\0' && word[2] == '\0' &&
           cli_find_letter(cli, word[1]) != NULL;
}

/* A command line while it is read. */
struct reader {
    const struct cli *cli;
    int argc, next;
    char **argv;
    struct cli_text message;
    unsigned *counts; /* of values, for each positional */
};

/* Reads the value of an option, which may have come in the same word. */
static enum cli_outcome read_value(struct reader *reader, const struct cli_option *option,
                                   const char *value)
{
    struct cli_text *message = &reader->message;

    if (value == NULL && reader->next < reader->argc &&
        !is_option(reader->cli, reader->argv[reader->next]))
        value = reader->argv[reader->next++];
    if (value != NULL && store(option, value))
        return CLI_RUN;

    cli_add(message, "--%s", option->name);
    if (value != NULL)
        cli_add(message, " %s", value[0] == '\0' ? "\"\"" : value);
    cli_add(message, value == NULL ? ": the value is missing: want " : ": want ");
    add_wish(message, option);
    return CLI_BAD;
}

static enum cli_outcome read_long(struct reader *reader, const char *word)
{
    const char *name = word + 2;
    size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    const struct cli_option *option = find_long(reader->cli, name, length);

    if (option == NULL) {
        bool help = length == 4 && memcmp(name, "help", 4) == 0;
        bool version = length == 7 && memcmp(name, "version", 7) == 0;
        if ((help || version) && value == NULL)
            return help ? CLI_HELP : CLI_VERSION;

        const char *meant = nearest(reader->cli, name, length);
        if (help || version)
            cli_add(&reader->message, "%s: want --%s alone, it takes no value", word, meant);
        else if (meant != NULL)
            cli_add(&reader->message, "--%.*s: unknown option, did you mean --%s?", (int)length,
                    name, meant);
        else
            cli_add(&reader->message, "--%.*s: unknown option, --help lists all", (int)length,
                    name);
        return CLI_BAD;
    }
    if (option->kind != CLI_KIND_FLAG)
        return read_value(reader, option, value);
    if (value != NULL) {
        cli_add(&reader->message, "%s: want --%s alone, it takes no value", word, option->name);
        return CLI_BAD;
    }
    *option->flag = true;
    return CLI_RUN;
}

/* Reads a word of letters: flags, of which the last may be an option whose value
 * follows in the same word or in the next. */
static enum cli_outcome read_letters(struct reader *reader, const char *word)
{
    for (const char *letter = word + 1; *letter != '\0'; letter++) {
        const struct cli_option *option = cli_find_letter(reader->cli, *letter);

        if (option == NULL && *letter == 'h')
            return CLI_HELP;
        if (option == NULL) {
            const char *meant = nearest(reader->cli, word + 1, strcspn(word + 1, "="));

            cli_add(&reader->message, "%s: unknown option", word);
            /* One letter is near to everything; more were meant for a name. */
            if (word[2] != '\0' && meant != NULL)
                cli_add(&reader->message, ", did you mean --%s?", meant);
            else
                cli_add(&reader->message, ", --help lists all");
            return CLI_BAD;
        }
        if (option->kind != CLI_KIND_FLAG)
            return read_value(reader, option, letter[1] != '\0' ? letter + 1 : NULL);
        *option->flag = true;
    }
    return CLI_RUN;
}

static enum cli_outcome read_positional(struct reader *reader, const char *word)
{
    const struct cli_positional *positional = reader->cli->positionals;
    unsigned i = 0, max = 0;

    for (; positional != NULL && positional[i].name != NULL; i++) {
        max = positional[i].max;
        if (reader->counts[i] < max) {
            positional[i].values[reader->counts[i]++] = word;
            return CLI_RUN;
        }
    }
    cli_add(&reader->message, "%s: one argument too many: ", word);
    if (i == 0)
        cli_add(&reader->message, "want options only");
    else if (i > 1)
        cli_add(&reader->message, "--help says which");
    else if (max == 1)
        cli_add(&reader->message, "want one %s", positional[0].name);
    else
        cli_add(&reader->message, "want at most %u %s", max, positional[0].name);
    return CLI_BAD;
}

static enum cli_outcome finish_positionals(struct reader *reader)
{
    const struct cli_positional *positional = reader->cli->positionals;

    for (unsigned i = 0; positional != NULL && positional[i].name != NULL; i++) {
        if (reader->counts[i] < positional[i].min) {
            cli_add(&reader->message, "%s is missing: %s", positional[i].name, positional[i].help);
            return CLI_BAD;
        }
        if (positional[i].count != NULL)
            *positional[i].count = reader->counts[i];
    }
    return CLI_RUN;
}

/* What the user typed is in the message, and the message is one line. */
static void make_printable(char *message)
{
    for (char *byte = message; *byte != '\0'; byte++)
        if (iscntrl((unsigned char)*byte))
            *byte = '?';
}

enum cli_outcome cli_read(const struct cli *cli, int argc, char **argv, char *message, size_t size)
{
    unsigned counts[8] = {0};
    bool only_positionals = false;
    struct reader reader = {
        .cli = cli,
        .argc = argc,
        .next = 1,
        .argv = argv,
        .message = {.data = message, .size = size},
        .counts = counts,
    };

    assert(size > 0);
    message[0] = '\0';
    for (unsigned i = 0; cli->positionals != NULL && cli->positionals[i].name != NULL; i++)
        assert(i < sizeof counts / sizeof *counts);

    enum cli_outcome outcome = CLI_RUN;
    while (outcome == CLI_RUN && reader.next < argc) {
        const char *word = argv[reader.next++];

        if (!only_positionals && strcmp(word, "--") == 0) {
            only_positionals = true;
            continue;
        }
        if (only_positionals || word[0] != '-' || word[1] == '\0')
            outcome = read_positional(&reader, word);
        else if (word[1] == '-')
            outcome = read_long(&reader, word);
        else
            outcome = read_letters(&reader, word);
    }
    if (outcome == CLI_RUN)
        outcome = finish_positionals(&reader);

    make_printable(message);
    return outcome;
}

static const char *program; /* for finish_output, which has no argument */

/* A result that is lost is a failure. What is buffered is written only now. */
static void finish_output(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return;
    fprintf(stderr, "%s: cannot write to stdout: %s\n", program,
            errno ? strerror(errno) : "a part was lost");
    _exit(1);
}

void cli_parse(const struct cli *cli, int argc, char **argv)
{
    char message[CLI_TEXT_SIZE];

    program = cli->program;
    atexit(finish_output);
    switch (cli_read(cli, argc, argv, message, sizeof message)) {
    case CLI_RUN:
        return;
    case CLI_HELP:
        cli_print_usage(cli);
        exit(0);
    case CLI_VERSION:
        printf("%s %s\n", cli->program, RILL_VERSION);
        exit(0);
    case CLI_BAD:
        break;
    }
    cli_fail(cli, "%s", message);
}

void cli_fail(const struct cli *cli, const char *format, ...)
{
    char message[2 * CLI_TEXT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    make_printable(message);
    fprintf(stderr, "%s: %s\n", cli->program, message);
    exit(2);
}
