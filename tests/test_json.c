/* SPDX-License-Identifier: Apache-2.0 */
/* test_json.c - what is written as JSON is JSON, whatever the values are. */
#include "bench/json.h"

#include "tests/json_reader.h"
#include "tests/limit.h"

#include <check.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static struct json json;
static char text[4096];
static FILE *file;

static void begin(void)
{
    memset(text, 0, sizeof text);
    file = fmemopen(text, sizeof text, "w");
    ck_assert_ptr_nonnull(file);
    json_begin(&json, file);
}

static void expect(const char *wanted)
{
    ck_assert_int_eq(json_end(&json), 0);
    fclose(file);
    ck_assert_str_eq(text, wanted);
    ck_assert(json_is_object(text));
}

/* ---- the reader that the tests use ---- */

START_TEST(the_reader_takes_JSON)
{
    const char *const right[] = {
        "{}",
        " {\n} ",
        "{\"a\":1}",
        "{\"a\":[1,2,{\"b\":null}],\"c\":\"\\u00e4\\n\"}",
        "{\"a\":-0.5e+3}",
        "{\"\":[]}",
    };

    ck_assert(json_is_object(right[_i]));
}
END_TEST

START_TEST(the_reader_takes_nothing_else)
{
    const char *const wrong[] = {
        "",
        "[]",
        "{",
        "{}}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\":01}",
        "{\"a\":.5}",
        "{\"a\":nan}",
        "{\"a\":inf}",
        "{\"a\":1.}",
        "{\"a\":+1}",
        "{\"a\":1e}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{} x",
        "{\"a\":[1,]}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"b}",
        "{\"a\":tru}",
    };

    ck_assert(!json_is_object(wrong[_i]));
}
END_TEST

START_TEST(the_reader_finds_numbers_by_their_path)
{
    const char *object = "{\"a\":1,\"b\":{\"a\":-2.5,\"c\":[3,{\"d\":4}]},\"ab\":5}";

    ck_assert_double_eq(json_number(object, "a"), 1);
    ck_assert_double_eq(json_number(object, "b.a"), -2.5);
    ck_assert_double_eq(json_number(object, "b.c.0"), 3);
    ck_assert_double_eq(json_number(object, "b.c.1.d"), 4);
    ck_assert_double_eq(json_number(object, "ab"), 5);
}
END_TEST

/* ---- the writer ---- */

START_TEST(an_object_without_values_is_two_braces)
{
    begin();
    expect("{}\n");
}
END_TEST

START_TEST(values_of_every_kind_are_written_with_commas_between)
{
    begin();
    json_string(&json, "string", "text");
    json_string(&json, "none", NULL);
    json_bool(&json, "yes", true);
    json_bool(&json, "no", false);
    json_integer(&json, "least", INT64_MIN);
    json_unsigned(&json, "most", UINT64_MAX);
    json_double(&json, "number", 27.449, 1);
    expect("{\"string\":\"text\",\"none\":null,\"yes\":true,\"no\":false,"
           "\"least\":-9223372036854775808,\"most\":18446744073709551615,\"number\":27.4}\n");
}
END_TEST

START_TEST(objects_and_arrays_nest)
{
    begin();
    json_open_object(&json, "empty");
    json_close(&json);
    json_open_array(&json, "list");
    json_integer(&json, NULL, 1);
    json_open_object(&json, NULL);
    json_integer(&json, "x", 2);
    json_close(&json);
    json_open_array(&json, NULL);
    json_close(&json);
    json_string(&json, NULL, "s");
    json_close(&json);
    json_bool(&json, "after", true);
    expect("{\"empty\":{},\"list\":[1,{\"x\":2},[],\"s\"],\"after\":true}\n");
}
END_TEST

START_TEST(levels_nest_as_deep_as_is_said)
{
    begin();
    for (int i = 1; i < JSON_DEPTH_MAX; i++)
        json_open_object(&json, "a");
    json_integer(&json, "n", 7);
    for (int i = 1; i < JSON_DEPTH_MAX; i++)
        json_close(&json);
    ck_assert_int_eq(json_end(&json), 0);
    fclose(file);
    ck_assert_double_eq(json_number(text, "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.n"), 7);
}
END_TEST

START_TEST(quotes_backslashes_and_control_characters_are_escaped)
{
    begin();
    json_string(&json, "a\"b", "\"\\/\b\f\n\r\t\x01\x1f\x7f");
    expect("{\"a\\\"b\":\"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009\\u0001\\u001f\\u007f\"}\n");
}
END_TEST

START_TEST(UTF_8_stays_as_it_is)
{
    begin();
    json_string(&json, "\xc3\xa4",
                "\xc2\x80 \xe2\x82\xac \xed\x9f\xbf \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf");
    expect("{\"\xc3\xa4\":\"\xc2\x80 \xe2\x82\xac \xed\x9f\xbf \xf0\x9f\x98\x80 "
           "\xf4\x8f\xbf\xbf\"}\n");
}
END_TEST

/* Each byte that begins or continues nothing becomes one U+FFFD. */
START_TEST(bytes_that_are_no_UTF_8_are_replaced)
{
    static const struct {
        const char *bytes;
        int replaced;
    } cases[] = {
        {"\x80", 1},
        {"\xff", 1},
        {"\xc3", 1},
        {"\xc0\xaf", 2},
        {"\xe2\x82", 2},
        {"\xe0\x9f\xbf", 3},
        {"\xed\xa0\x80", 3},
        {"\xf0\x8f\xbf\xbf", 4},
        {"\xf4\x90\x80\x80", 4},
        {"\xf5\x80\x80\x80", 4},
    };
    const char *const replacements = "\\ufffd\\ufffd\\ufffd\\ufffd";
    char value[16], wanted[64];

    snprintf(value, sizeof value, "<%s>", cases[_i].bytes);
    snprintf(wanted, sizeof wanted, "{\"k\":\"<%.*s>\"}\n",
             cases[_i].replaced * (int)strlen("\\ufffd"), replacements);
    begin();
    json_string(&json, "k", value);
    expect(wanted);
}
END_TEST

START_TEST(numbers_that_are_not_finite_are_null)
{
    begin();
    json_double(&json, "nan", (double)NAN, 3);
    json_double(&json, "inf", (double)INFINITY, 3);
    json_double(&json, "minus", -(double)INFINITY, 3);
    json_double(&json, "zero", 0.0 / 3, 3);
    expect("{\"nan\":null,\"inf\":null,\"minus\":null,\"zero\":0.000}\n");
}
END_TEST

START_TEST(digits_are_as_many_as_were_asked_for)
{
    begin();
    json_double(&json, "a", 1234.5678, 0);
    json_double(&json, "b", 0.1, 17);
    json_double(&json, "c", 1e300, 0);
    ck_assert_int_eq(json_end(&json), 0);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "\"a\":1235,"));
    ck_assert_double_eq(json_number(text, "b"), 0.1);
    ck_assert_double_eq(json_number(text, "c"), 1e300);
}
END_TEST

START_TEST(an_error_of_the_file_is_told_in_the_end)
{
    file = fopen("/dev/full", "we");
    if (!file)
        return;
    json_begin(&json, file);
    json_string(&json, "k", "v");
    ck_assert_int_eq(json_end(&json), -EIO);
    fclose(file);
}
END_TEST

START_TEST(a_key_in_an_array_is_a_mistake_of_ours)
{
    begin();
    json_open_array(&json, "list");
    json_integer(&json, "key", 1);
}
END_TEST

START_TEST(a_value_without_a_key_is_a_mistake_of_ours)
{
    begin();
    json_integer(&json, NULL, 1);
}
END_TEST

START_TEST(an_end_with_open_levels_is_a_mistake_of_ours)
{
    begin();
    json_open_object(&json, "open");
    json_end(&json);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json");
    TCase *tcase = tcase_create("json");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_loop_test(tcase, the_reader_takes_JSON, 0, 6);
    tcase_add_loop_test(tcase, the_reader_takes_nothing_else, 0, 22);
    tcase_add_test(tcase, the_reader_finds_numbers_by_their_path);
    tcase_add_test(tcase, an_object_without_values_is_two_braces);
    tcase_add_test(tcase, values_of_every_kind_are_written_with_commas_between);
    tcase_add_test(tcase, objects_and_arrays_nest);
    tcase_add_test(tcase, levels_nest_as_deep_as_is_said);
    tcase_add_test(tcase, quotes_backslashes_and_control_characters_are_escaped);
    tcase_add_test(tcase, UTF_8_stays_as_it_is);
    tcase_add_loop_test(tcase, bytes_that_are_no_UTF_8_are_replaced, 0, 10);
    tcase_add_test(tcase, numbers_that_are_not_finite_are_null);
    tcase_add_test(tcase, digits_are_as_many_as_were_asked_for);
    tcase_add_test(tcase, an_error_of_the_file_is_told_in_the_end);
    tcase_add_test_raise_signal(tcase, a_key_in_an_array_is_a_mistake_of_ours, SIGABRT);
    tcase_add_test_raise_signal(tcase, a_value_without_a_key_is_a_mistake_of_ours, SIGABRT);
    tcase_add_test_raise_signal(tcase, an_end_with_open_levels_is_a_mistake_of_ours, SIGABRT);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
