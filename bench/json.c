/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - commas, quotes and escapes of the JSON writer. */
#include "bench/json.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>

/* Returns the size of the valid UTF-8 sequence at text, or 0. Overlong forms,
 * surrogates and values above U+10FFFF are invalid. A string's end is never
 * passed, because a NUL continues no sequence. */
static size_t utf8_size(const unsigned char *text)
{
    unsigned char lead = text[0];
    size_t size = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    if (lead > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((lead == 0xe0 && text[1] < 0xa0) || (lead == 0xed && text[1] >= 0xa0) ||
        (lead == 0xf0 && text[1] < 0x90) || (lead == 0xf4 && text[1] >= 0x90))
        return 0;
    return size;
}

static void write_string(FILE *file, const char *string)
{
    const unsigned char *text = (const unsigned char *)string;

    fputc('"', file);
    while (*text != '\0') {
        size_t size = utf8_size(text);

        if (size == 0) {
            fputs("\\ufffd", file);
            size = 1;
        } else if (*text == '"' || *text == '\\') {
            fprintf(file, "\\%c", *text);
        } else if (*text < 0x20 || *text == 0x7f) {
            fprintf(file, "\\u%04x", *text);
        } else {
            fwrite(text, 1, size, file);
        }
        text += size;
    }
    fputc('"', file);
}

/* Writes what stands before a value: the comma, and the key with its colon. */
static void write_key(struct json *json, const char *key)
{
    assert(json->depth > 0);
    unsigned level = json->depth - 1;

    assert((key != NULL) == (json->closers[level] == '}'));
    if (json->filled[level])
        fputc(',', json->file);
    json->filled[level] = true;
    if (key != NULL) {
        write_string(json->file, key);
        fputc(':', json->file);
    }
}

static void open_level(struct json *json, char opener, char closer)
{
    assert(json->depth < JSON_DEPTH_MAX);
    fputc(opener, json->file);
    json->closers[json->depth] = closer;
    json->filled[json->depth] = false;
    json->depth++;
}

void json_begin(struct json *json, FILE *file)
{
    json->file = file;
    json->depth = 0;
    open_level(json, '{', '}');
}

int json_end(struct json *json)
{
    assert(json->depth == 1);
    json_close(json);
    fputc('\n', json->file);
    return fflush(json->file) != 0 || ferror(json->file) ? -EIO : 0;
}

void json_open_object(struct json *json, const char *key)
{
    write_key(json, key);
    open_level(json, '{', '}');
}

void json_open_array(struct json *json, const char *key)
{
    write_key(json, key);
    open_level(json, '[', ']');
}

void json_close(struct json *json)
{
    assert(json->depth > 0);
    json->depth--;
    fputc(json->closers[json->depth], json->file);
}

void json_string(struct json *json, const char *key, const char *value)
{
    write_key(json, key);
    if (value == NULL)
        fputs("null", json->file);
    else
        write_string(json->file, value);
}

void json_bool(struct json *json, const char *key, bool value)
{
    write_key(json, key);
    fputs(value ? "true" : "false", json->file);
}

void json_integer(struct json *json, const char *key, int64_t value)
{
    write_key(json, key);
    fprintf(json->file, "%" PRId64, value);
}

void json_unsigned(struct json *json, const char *key, uint64_t value)
{
    write_key(json, key);
    fprintf(json->file, "%" PRIu64, value);
}

void json_double(struct json *json, const char *key, double value, int digits)
{
    assert(digits >= 0 && digits <= 17);
    write_key(json, key);
    if (isfinite(value))
        fprintf(json->file, "%.*f", digits, value);
    else
        fputs("null", json->file);
}
