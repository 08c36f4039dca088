/* SPDX-License-Identifier: Apache-2.0 */
/* cli_usage.c - prints what a program's options and arguments are. */
#include "bench/cli_usage.h"

#include <stdio.h>
#include <string.h>

enum {
    USAGE_WIDTH = 79,
    LABEL_WIDTH_MAX = 34, /* a longer label has a line for itself */
};

/* Prints a label and, from a column on, a text broken at spaces. */
static void print_entry(const char *label, int column, const char *text)
{
    int position = printf("  %s", label);

    if (position + 2 > column) {
        printf("\n");
        position = 0;
    }
    while (*text != '\0') {
        int length = (int)strlen(text);
        int room = USAGE_WIDTH - column;

        if (length > room) {
            int cut = room;
            while (cut > 0 && text[cut] != ' ')
                cut--;
            length = cut > 0 ? cut : (int)strcspn(text, " ");
        }
        printf("%*s%.*s\n", column - position, "", length, text);
        text += length;
        text += strspn(text, " ");
        position = 0;
    }
}

static void label_option(const struct cli_option *option, struct cli_text *label)
{
    if (option->letter != 0)
        cli_add(label, "-%c, --%s", option->letter, option->name);
    else
        cli_add(label, "    --%s", option->name);
    if (option->kind == CLI_KIND_CHOICE)
        for (size_t i = 0; option->words[i] != NULL; i++)
            cli_add(label, "%c%s", i == 0 ? ' ' : '|', option->words[i]);
    else if (option->kind != CLI_KIND_FLAG)
        cli_add(label, " %s", option->value);
}

static void describe_option(const struct cli_option *option, struct cli_text *text)
{
    cli_add(text, "%s", option->help);
    switch (option->kind) {
    case CLI_KIND_INTEGER:
    case CLI_KIND_SIZE:
    case CLI_KIND_DURATION:
        cli_add(text, " [");
        cli_add_number(text, option, *option->number);
        cli_add(text, "]");
        break;
    case CLI_KIND_CHOICE:
        cli_add(text, " [%s]", option->words[*option->choice]);
        break;
    case CLI_KIND_STRING:
        if (*option->string != NULL)
            cli_add(text, " [%s]", *option->string);
        break;
    case CLI_KIND_FLAG:
    case CLI_KIND_END:
        break;
    }
}

void cli_print_usage(const struct cli *cli)
{
    const struct cli_option *option;
    const struct cli_positional *positional;
    char data[CLI_TEXT_SIZE];
    int column = (int)strlen("    --version") + 4;

    /* The texts stand in one column, right of the longest label that is not
     * too long for that. */
    for (option = cli->options; option->kind != CLI_KIND_END; option++) {
        struct cli_text label = {.data = data, .size = sizeof data};
        label_option(option, &label);
        if (label.length <= LABEL_WIDTH_MAX && (int)label.length + 4 > column)
            column = (int)label.length + 4;
    }

    printf("Usage: %s [OPTION]...", cli->program);
    for (positional = cli->positionals; positional != NULL && positional->name != NULL;
         positional++)
        printf(positional->min > 0 ? " %s%s" : " [%s]%s", positional->name,
               positional->max > 1 ? "..." : "");
    printf("\n%s\n", cli->summary);

    if (cli->positionals != NULL && cli->positionals->name != NULL)
        printf("\nArguments:\n");
    for (positional = cli->positionals; positional != NULL && positional->name != NULL;
         positional++)
        print_entry(positional->name, column, positional->help);

    printf("\nOptions:\n");
    for (option = cli->options; option->kind != CLI_KIND_END; option++) {
        char label_data[CLI_TEXT_SIZE] = "";
        struct cli_text label = {.data = label_data, .size = sizeof label_data};
        struct cli_text text = {.data = data, .size = sizeof data};

        label_option(option, &label);
        describe_option(option, &text);
        print_entry(label_data, column, data);
    }
    print_entry(cli_find_letter(cli, 'h') == NULL ? "-h, --help" : "    --help", column,
                "print this text");
    print_entry("    --version", column, "print the version");
    if (cli->notes != NULL)
        printf("\n%s\n", cli->notes);
}
