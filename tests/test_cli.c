/* SPDX-License-Identifier: Apache-2.0 */
/* test_cli.c - command lines are read as meant, and mistakes are told in one helpful line. */
#include "bench/cli.h"

#include "tests/limit.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECOND = 1000000000 };

/* ---- a program with options of every kind ---- */

static bool verbose, quick, join;
static int64_t count, size, time_ns;
static int mode;
static const char *name, *urls[3];
static unsigned url_count;
static char message[256];

static const char *const modes[] = {"slow", "fast", "turbo", NULL};
static const struct cli_option options[] = {
    CLI_FLAG('v', "verbose", &verbose, "say more"),
    CLI_FLAG('q', "quick", &quick, "do less"),
    CLI_INTEGER('c', "connections", &count, -5, 100, "connections to open"),
    CLI_SIZE('s', "size", &size, 1, INT64_C(8) << 30, "bytes in a request"),
    CLI_DURATION('t', "time", &time_ns, 0, INT64_C(100) * 3600 * SECOND, "how long"),
    CLI_CHOICE('m', "mode", &mode, modes, "how fast"),
    CLI_FLAG(0, "join", &join, "be one"),
    CLI_STRING('n', "name", &name, "NAME", "what it is called"),
    CLI_END,
};
static const struct cli_positional positionals[] = {
    CLI_MANY("URL", urls, 1, 3, &url_count, "where to listen"),
    CLI_POSITIONAL_END,
};
static const struct cli cli = {
    .program = "tester",
    .summary = "Is tested.",
    .options = options,
    .positionals = positionals,
    .notes = "These are notes.",
};

static void reset(void)
{
    verbose = quick = false;
    count = 7;
    size = 64;
    time_ns = SECOND;
    mode = 1;
    name = NULL;
    url_count = 99;
    memset(urls, 0, sizeof urls);
}

/* Reads the words as the arguments of a program. */
static enum cli_outcome read_with(const struct cli *description, const char *const *words)
{
    char *argv[16] = {(char *)(uintptr_t) "tester"};
    int argc = 1;

    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    return cli_read(description, argc, argv, message, sizeof message);
}

#define READ(...) (reset(), read_with(&cli, (const char *const[]){__VA_ARGS__, NULL}))

/* The mistake is told in this way. */
#define EXPECT_BAD(wanted, ...)                                                                    \
    do {                                                                                           \
        ck_assert_int_eq(READ(__VA_ARGS__), CLI_BAD);                                              \
        ck_assert_str_eq(message, wanted);                                                         \
    } while (0)

/* ---- what is right ---- */

START_TEST(what_is_absent_keeps_its_default)
{
    ck_assert_int_eq(READ("u"), CLI_RUN);
    ck_assert_str_eq(message, "");
    ck_assert(!verbose && !quick);
    ck_assert_int_eq(count, 7);
    ck_assert_int_eq(size, 64);
    ck_assert_int_eq(time_ns, SECOND);
    ck_assert_int_eq(mode, 1);
    ck_assert_ptr_null(name);
    ck_assert_uint_eq(url_count, 1);
}
END_TEST

START_TEST(every_kind_is_read_in_every_form)
{
    ck_assert_int_eq(READ("--verbose", "--connections", "12", "--size=2k", "--time", "3ms",
                          "--mode=turbo", "--name", "n", "u"),
                     CLI_RUN);
    ck_assert(verbose && !quick);
    ck_assert_int_eq(count, 12);
    ck_assert_int_eq(size, 2048);
    ck_assert_int_eq(time_ns, 3000000);
    ck_assert_int_eq(mode, 2);
    ck_assert_str_eq(name, "n");

    ck_assert_int_eq(READ("-vqc12", "-s", "2k", "-t3ms", "u", "-m", "slow", "-nx=y"), CLI_RUN);
    ck_assert(verbose && quick);
    ck_assert_int_eq(count, 12);
    ck_assert_int_eq(size, 2048);
    ck_assert_int_eq(time_ns, 3000000);
    ck_assert_int_eq(mode, 0);
    ck_assert_str_eq(name, "x=y");
}
END_TEST

START_TEST(the_last_value_counts)
{
    ck_assert_int_eq(READ("-c1", "u", "--connections=2", "-c", "3"), CLI_RUN);
    ck_assert_int_eq(count, 3);
}
END_TEST

START_TEST(values_may_begin_with_a_dash)
{
    ck_assert_int_eq(READ("-c", "-5", "u"), CLI_RUN);
    ck_assert_int_eq(count, -5);
    ck_assert_int_eq(READ("--name", "-x", "u"), CLI_RUN);
    ck_assert_str_eq(name, "-x");
    ck_assert_int_eq(READ("--name=--verbose", "u"), CLI_RUN);
    ck_assert_str_eq(name, "--verbose");
    ck_assert(!verbose);
}
END_TEST

START_TEST(behind_two_dashes_nothing_is_an_option)
{
    ck_assert_int_eq(READ("-v", "--", "-q", "--help", "--"), CLI_RUN);
    ck_assert(verbose && !quick);
    ck_assert_uint_eq(url_count, 3);
    ck_assert_str_eq(urls[0], "-q");
    ck_assert_str_eq(urls[1], "--help");
    ck_assert_str_eq(urls[2], "--");
}
END_TEST

START_TEST(a_single_dash_is_an_argument)
{
    ck_assert_int_eq(READ("-"), CLI_RUN);
    ck_assert_str_eq(urls[0], "-");
}
END_TEST

START_TEST(help_and_version_are_outcomes)
{
    ck_assert_int_eq(READ("--help"), CLI_HELP);
    ck_assert_int_eq(READ("-h"), CLI_HELP);
    ck_assert_int_eq(READ("-vh"), CLI_HELP);
    ck_assert_int_eq(READ("u", "--version"), CLI_VERSION);
}
END_TEST

START_TEST(numbers_are_exact_up_to_their_bounds)
{
    const struct {
        const char *word;
        int64_t value;
    } sizes[] = {{"1", 1},
                 {"1k", 1024},
                 {"16K", 16384},
                 {"3m", 3 << 20},
                 {"8g", INT64_C(8) << 30},
                 {"0010", 10}},
      times[] = {{"0", 0},
                 {"5", INT64_C(5) * SECOND},
                 {"2s", INT64_C(2) * SECOND},
                 {"500ms", SECOND / 2},
                 {"50us", 50000},
                 {"7ns", 7},
                 {"5m", INT64_C(300) * SECOND},
                 {"1h", INT64_C(3600) * SECOND},
                 {"1.5", INT64_C(3) * SECOND / 2},
                 {"0.25s", SECOND / 4},
                 {"1.5h", INT64_C(5400) * SECOND},
                 {"2.5MS", 2500000},
                 {"100h", INT64_C(360000) * SECOND}};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ck_assert_int_eq(READ("-s", sizes[i].word, "u"), CLI_RUN);
        ck_assert_int_eq(size, sizes[i].value);
    }
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        ck_assert_int_eq(READ("-t", times[i].word, "u"), CLI_RUN);
        ck_assert_int_eq(time_ns, times[i].value);
    }
    ck_assert_int_eq(READ("-c100", "u"), CLI_RUN);
    ck_assert_int_eq(count, 100);
}
END_TEST

/* ---- what is wrong ---- */

#define WANT_COUNT "want a number from -5 to 100"
#define WANT_SIZE "want a size from 1 to 8g, such as 64, 16k or 1m"
#define WANT_TIME "want a duration from 0ns to 100h, such as 5, 500ms or 2s"

START_TEST(numbers_out_of_bounds_are_told_the_bounds)
{
    EXPECT_BAD("--connections 101: " WANT_COUNT, "-c101", "u");
    EXPECT_BAD("--connections -6: " WANT_COUNT, "--connections=-6", "u");
    EXPECT_BAD("--connections 99999999999999999999: " WANT_COUNT, "-c", "99999999999999999999");
    EXPECT_BAD("--size 0: " WANT_SIZE, "-s", "0", "u");
    EXPECT_BAD("--size 9g: " WANT_SIZE, "-s9g", "u");
    EXPECT_BAD("--size 9999999999g: " WANT_SIZE, "-s9999999999g", "u");
    ck_assert_int_eq(READ("-t", "-1s", "u"), CLI_BAD);
    ck_assert_int_eq(READ("-t", "100.1h", "u"), CLI_BAD);
    ck_assert_int_eq(READ("-t", "9999999999h", "u"), CLI_BAD);
    ck_assert_int_eq(READ("-t", "-0.5s", "u"), CLI_BAD);
    ck_assert_int_eq(time_ns, SECOND);
}
END_TEST

START_TEST(what_is_no_number_is_no_number)
{
    const char *const counts[] = {"", " 1", "1 ", "x", "1x", "0x10", "1k", "1.5", "+1", "--1", "-"};
    const char *const sizes[] = {"1q", "1kb", "k", "1.5k", "1 k"};
    const char *const times[] = {"1d", "s", "1.2.3", "1e3", ".5", "1 s"};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        ck_assert_msg(READ("-c", counts[i], "u") == CLI_BAD, "'%s' was taken", counts[i]);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ck_assert_msg(READ("-s", sizes[i], "u") == CLI_BAD, "'%s' was taken", sizes[i]);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        ck_assert_msg(READ("-t", times[i], "u") == CLI_BAD, "'%s' was taken", times[i]);
    EXPECT_BAD("--connections \"\": " WANT_COUNT, "--connections=", "u");
}
END_TEST

START_TEST(a_choice_is_one_of_its_words)
{
    EXPECT_BAD("--mode Fast: want slow, fast or turbo", "--mode", "Fast", "u");
    EXPECT_BAD("--mode fas: want slow, fast or turbo", "-mfas", "u");
    ck_assert_int_eq(mode, 1);
}
END_TEST

START_TEST(an_unknown_option_names_the_one_that_was_meant)
{
    EXPECT_BAD("--conections: unknown option, did you mean --connections?", "--conections", "3");
    EXPECT_BAD("--conections: unknown option, did you mean --connections?", "--conections=3");
    EXPECT_BAD("--conn: unknown option, did you mean --connections?", "--conn", "3");
    EXPECT_BAD("--szie: unknown option, did you mean --size?", "--szie=3");
    EXPECT_BAD("--hlep: unknown option, did you mean --help?", "--hlep");
    EXPECT_BAD("--versoin: unknown option, did you mean --version?", "--versoin");
}
END_TEST

START_TEST(an_option_like_no_other_points_to_help)
{
    EXPECT_BAD("--xylophone: unknown option, --help lists all", "--xylophone");
    EXPECT_BAD("-x: unknown option, --help lists all", "-x");
}
END_TEST

START_TEST(a_long_option_with_one_dash_is_understood)
{
    EXPECT_BAD("-json: unknown option, did you mean --join?", "-json");
}
END_TEST

START_TEST(a_missing_value_says_what_is_wanted)
{
    EXPECT_BAD("--connections: the value is missing: " WANT_COUNT, "u", "--connections");
    EXPECT_BAD("--size: the value is missing: " WANT_SIZE, "u", "-s");
    EXPECT_BAD("--time: the value is missing: " WANT_TIME, "-vt");
    EXPECT_BAD("--mode: the value is missing: want slow, fast or turbo", "-m", "--verbose", "u");
    EXPECT_BAD("--name: the value is missing: want NAME (what it is called)", "--name", "-v");
}
END_TEST

START_TEST(a_string_is_not_empty)
{
    EXPECT_BAD("--name \"\": want NAME (what it is called)", "--name=", "u");
    EXPECT_BAD("--name \"\": want NAME (what it is called)", "-n", "", "u");
}
END_TEST

START_TEST(a_flag_takes_no_value)
{
    EXPECT_BAD("--verbose=1: want --verbose alone, it takes no value", "--verbose=1");
    EXPECT_BAD("--help=me: want --help alone, it takes no value", "--help=me");
    EXPECT_BAD("--version=2: want --version alone, it takes no value", "--version=2");
}
END_TEST

START_TEST(arguments_are_as_many_as_are_wanted)
{
    EXPECT_BAD("URL is missing: where to listen", "-v");
    ck_assert_int_eq(READ("a", "b", "c"), CLI_RUN);
    ck_assert_uint_eq(url_count, 3);
    EXPECT_BAD("d: one argument too many: want at most 3 URL", "a", "b", "c", "d");
}
END_TEST

START_TEST(one_and_optional_arguments_are_told_apart)
{
    const char *one = NULL, *perhaps = NULL;
    const struct cli_positional two[] = {
        CLI_ONE("FROM", &one, "where from"),
        CLI_OPTIONAL("TO", &perhaps, "where to"),
        CLI_POSITIONAL_END,
    };
    const struct cli with_two = {.program = "p", .options = options, .positionals = two};
    const struct cli with_one = {.program = "p",
                                 .options = options,
                                 .positionals = (const struct cli_positional[]){
                                     CLI_ONE("FROM", &one, "where from"), CLI_POSITIONAL_END}};
    const struct cli with_none = {.program = "p", .options = options};

    reset();
    ck_assert_int_eq(read_with(&with_two, (const char *const[]){"a", NULL}), CLI_RUN);
    ck_assert_str_eq(one, "a");
    ck_assert_ptr_null(perhaps);
    ck_assert_int_eq(read_with(&with_two, (const char *const[]){"a", "b", NULL}), CLI_RUN);
    ck_assert_str_eq(perhaps, "b");
    ck_assert_int_eq(read_with(&with_two, (const char *const[]){"a", "b", "c", NULL}), CLI_BAD);
    ck_assert_str_eq(message, "c: one argument too many: --help says which");
    ck_assert_int_eq(read_with(&with_two, (const char *const[]){NULL}), CLI_BAD);
    ck_assert_str_eq(message, "FROM is missing: where from");
    ck_assert_int_eq(read_with(&with_one, (const char *const[]){"a", "b", NULL}), CLI_BAD);
    ck_assert_str_eq(message, "b: one argument too many: want one FROM");
    ck_assert_int_eq(read_with(&with_none, (const char *const[]){NULL}), CLI_RUN);
    ck_assert_int_eq(read_with(&with_none, (const char *const[]){"a", NULL}), CLI_BAD);
    ck_assert_str_eq(message, "a: one argument too many: want options only");
}
END_TEST

START_TEST(a_message_is_one_line_and_fits)
{
    char longest[1000];

    EXPECT_BAD("--x?y??: unknown option, --help lists all", "--x\ny\r\t");
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    ck_assert_int_eq(READ("a", "b", "c", longest), CLI_BAD);
    ck_assert_uint_eq(strlen(message), sizeof message - 1);
    memcpy(longest, "--", 2);
    ck_assert_int_eq(READ(longest), CLI_BAD);
    ck_assert_uint_eq(strlen(message), sizeof message - 1);
}
END_TEST

/* ---- with printing and exiting ---- */

/* Runs cli_parse, or cli_fail, in a process and reads what it prints. Returns its
 * exit status. */
static int run(const char *word, char *out, char *err, size_t room)
{
    FILE *outputs[] = {tmpfile(), tmpfile()};
    char *texts[] = {out, err};
    int status = 0;
    pid_t pid;

    ck_assert(outputs[0] && outputs[1]);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        char *argv[] = {(char *)(uintptr_t) "tester", (char *)(uintptr_t)word, NULL};

        dup2(fileno(outputs[0]), STDOUT_FILENO);
        dup2(fileno(outputs[1]), STDERR_FILENO);
        cli_parse(&cli, 2, argv);
        cli_fail(&cli, "%s and\n%d", word, 3);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    for (int i = 0; i < 2; i++) {
        rewind(outputs[i]);
        texts[i][fread(texts[i], 1, room - 1, outputs[i])] = '\0';
        fclose(outputs[i]);
    }
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(help_shows_every_option_with_its_default_in_79_columns)
{
    char out[4096], err[4096];

    reset();
    name = "nobody";
    ck_assert_int_eq(run("--help", out, err, sizeof err), 0);
    ck_assert_str_eq(err, "");
    ck_assert_ptr_nonnull(strstr(out, "Usage: tester [OPTION]... URL...\nIs tested.\n"));
    ck_assert_ptr_nonnull(strstr(out, "where to listen"));
    ck_assert_ptr_nonnull(strstr(out, "connections to open [7]"));
    ck_assert_ptr_nonnull(strstr(out, "bytes in a request [64]"));
    ck_assert_ptr_nonnull(strstr(out, "how long [1s]"));
    ck_assert_ptr_nonnull(strstr(out, "slow|fast|turbo"));
    ck_assert_ptr_nonnull(strstr(out, "[fast]"));
    ck_assert_ptr_nonnull(strstr(out, "[nobody]"));
    ck_assert_ptr_nonnull(strstr(out, "--help"));
    ck_assert_ptr_nonnull(strstr(out, "--version"));
    ck_assert_ptr_nonnull(strstr(out, "\nThese are notes.\n"));
    for (const char *line = out; *line; line += strcspn(line, "\n") + 1)
        ck_assert_uint_le(strcspn(line, "\n"), 79);
}
END_TEST

START_TEST(the_version_is_a_line_on_stdout)
{
    char out[1024], err[1024];

    ck_assert_int_eq(run("--version", out, err, sizeof err), 0);
    ck_assert_str_eq(out, "tester " RILL_VERSION "\n");
    ck_assert_str_eq(err, "");
}
END_TEST

START_TEST(a_mistake_is_a_line_on_stderr_and_status_2)
{
    char out[1024], err[1024];

    ck_assert_int_eq(run("--sizee=3", out, err, sizeof err), 2);
    ck_assert_str_eq(out, "");
    ck_assert_str_eq(err, "tester: --sizee: unknown option, did you mean --size?\n");
}
END_TEST

START_TEST(what_a_program_finds_wrong_itself_is_a_line_too)
{
    char out[1024], err[1024];

    ck_assert_int_eq(run("this\nline", out, err, sizeof err), 2);
    ck_assert_str_eq(out, "");
    ck_assert_str_eq(err, "tester: this?line and?3\n");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        what_is_absent_keeps_its_default,
        every_kind_is_read_in_every_form,
        the_last_value_counts,
        values_may_begin_with_a_dash,
        behind_two_dashes_nothing_is_an_option,
        a_single_dash_is_an_argument,
        help_and_version_are_outcomes,
        numbers_are_exact_up_to_their_bounds,
        numbers_out_of_bounds_are_told_the_bounds,
        what_is_no_number_is_no_number,
        a_choice_is_one_of_its_words,
        an_unknown_option_names_the_one_that_was_meant,
        an_option_like_no_other_points_to_help,
        a_long_option_with_one_dash_is_understood,
        a_missing_value_says_what_is_wanted,
        a_string_is_not_empty,
        a_flag_takes_no_value,
        arguments_are_as_many_as_are_wanted,
        one_and_optional_arguments_are_told_apart,
        a_message_is_one_line_and_fits,
        help_shows_every_option_with_its_default_in_79_columns,
        the_version_is_a_line_on_stdout,
        a_mistake_is_a_line_on_stderr_and_status_2,
        what_a_program_finds_wrong_itself_is_a_line_too,
    };
    Suite *suite = suite_create("cli");
    TCase *tcase = tcase_create("cli");
    SRunner *runner = srunner_create(suite);
    int failed;

    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
