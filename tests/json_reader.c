/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/json_reader.h"

#include <check.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 64,
    PATH_MAX_LENGTH = 256,
};

struct reader {
    const char *text; /* what is left */
    const char *path; /* what is looked for, or NULL */
    double found;     /* NaN until then */
    char here[PATH_MAX_LENGTH];
    unsigned depth;
};

static bool read_value(struct reader *reader);

static void skip_space(struct reader *reader)
{
    reader->text += strspn(reader->text, " \t\r\n");
}

static bool take(struct reader *reader, const char *word)
{
    size_t length = strlen(word);

    if (strncmp(reader->text, word, length) != 0)
        return false;
    reader->text += length;
    return true;
}

static bool take_hex(struct reader *reader)
{
    for (int i = 0; i < 4; i++)
        if (!isxdigit((unsigned char)*reader->text++))
            return false;
    return true;
}

/* The bytes of a string are not decoded, apart from simple escapes: the keys that
 * tests look up are plain. */
static bool read_string(struct reader *reader, char *copy, size_t size)
{
    size_t length = 0;

    if (!take(reader, "\""))
        return false;
    while (*reader->text != '"') {
        unsigned char byte = (unsigned char)*reader->text++;

        if (byte < 0x20)
            return false;
        if (byte == '\\') {
            byte = (unsigned char)*reader->text++;
            if (byte == '\0' || !strchr("\"\\/bfnrtu", byte))
                return false;
            if (byte == 'u' && !take_hex(reader))
                return false;
        }
        if (length + 1 < size)
            copy[length++] = (char)byte;
    }
    reader->text++;
    if (size > 0)
        copy[length] = '\0';
    return true;
}

static bool read_digits(struct reader *reader)
{
    size_t count = strspn(reader->text, "0123456789");

    reader->text += count;
    return count > 0;
}

static bool read_number(struct reader *reader)
{
    const char *begin = reader->text;

    take(reader, "-");
    if (!take(reader, "0") && !read_digits(reader))
        return false;
    if (take(reader, ".") && !read_digits(reader))
        return false;
    if (take(reader, "e") || take(reader, "E")) {
        if (!take(reader, "+"))
            take(reader, "-");
        if (!read_digits(reader))
            return false;
    }
    if (reader->path && strcmp(reader->path, reader->here) == 0)
        reader->found = strtod(begin, NULL);
    return true;
}

/* Reads the members of an object, or the elements of an array. */
static bool read_members(struct reader *reader, bool keyed, const char *closer)
{
    size_t length = strlen(reader->here);
    char key[64];

    if (++reader->depth > DEPTH_MAX)
        return false;
    skip_space(reader);
    if (!take(reader, closer)) {
        unsigned index = 0;

        do {
            skip_space(reader);
            snprintf(key, sizeof key, "%u", index++);
            if (keyed && !read_string(reader, key, sizeof key))
                return false;
            skip_space(reader);
            if (keyed && !take(reader, ":"))
                return false;
            if (snprintf(reader->here + length, sizeof reader->here - length, "%s%s",
                         length ? "." : "", key) >= (int)(sizeof reader->here - length))
                return false;
            if (!read_value(reader))
                return false;
            reader->here[length] = '\0';
            skip_space(reader);
        } while (take(reader, ","));
        if (!take(reader, closer))
            return false;
    }
    reader->depth--;
    return true;
}

static bool read_value(struct reader *reader)
{
    skip_space(reader);
    if (take(reader, "{"))
        return read_members(reader, true, "}");
    if (take(reader, "["))
        return read_members(reader, false, "]");
    if (*reader->text == '"')
        return read_string(reader, NULL, 0);
    if (take(reader, "true") || take(reader, "false") || take(reader, "null"))
        return true;
    return read_number(reader);
}

static bool read_object(struct reader *reader)
{
    skip_space(reader);
    if (*reader->text != '{' || !read_value(reader))
        return false;
    skip_space(reader);
    return *reader->text == '\0';
}

bool json_is_object(const char *text)
{
    struct reader reader = {.text = text, .found = NAN};

    return read_object(&reader);
}

double json_number(const char *text, const char *path)
{
    struct reader reader = {.text = text, .path = path, .found = NAN};

    ck_assert_msg(read_object(&reader), "this is no JSON object: %s", text);
    ck_assert_msg(!isnan(reader.found), "%s is no number in %s", path, text);
    return reader.found;
}
