/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - what is written as JSON is JSON in UTF-8, whatever the values and keys are. */
#include "bench/json.h"

#include "tests/fixture.h"
#include "tests/fuzz/input.h"
#include "tests/json_reader.h"

#include <stdlib.h>
#include <string.h>

enum {
    TEXT_MAX = 200,
    KEY_MAX = 16, /* tests/json_reader.c has 256 bytes for those of all levels together */
};

static void write_value(struct json *json, struct input *input, const char *key)
{
    uint64_t bits = input_number(input, 8);
    char text[TEXT_MAX];
    double number;

    switch (input_below(input, 5)) {
    case 0:
        json_string(json, key, input_byte(input) ? input_text(input, text, sizeof text) : NULL);
        break;
    case 1:
        json_bool(json, key, bits % 2);
        break;
    case 2:
        json_integer(json, key, (int64_t)bits);
        break;
    case 3:
        json_unsigned(json, key, bits);
        break;
    case 4:
        memcpy(&number, &bits, sizeof number);
        json_double(json, key, number, (int)input_below(input, 18));
        break;
    }
}

/* By the values of the characters, as RFC 3629 has it. */
static bool is_utf8(const char *text)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000}; /* with so many bytes behind */

    while (*text) {
        unsigned char lead = (unsigned char)*text++;
        int more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
        uint32_t value = more == 0 ? lead : lead & (0x3fu >> more);

        if ((lead >= 0x80 && lead < 0xc0) || lead >= 0xf8)
            return false;
        for (int i = 0; i < more; i++) {
            if (((unsigned char)*text & 0xc0) != 0x80)
                return false;
            value = value << 6 | ((unsigned char)*text++ & 0x3f);
        }
        if (value < least[more] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
            return false;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};
    bool is_array[JSON_DEPTH_MAX] = {false};
    unsigned depth = 1;
    char key[KEY_MAX], *text = NULL;
    size_t text_size;
    FILE *file = open_memstream(&text, &text_size);
    struct json json;

    json_begin(&json, file);
    while (input_has(&input)) {
        uint64_t what = input_below(&input, 5);

        if (what == 0 && depth > 1) {
            json_close(&json);
            depth--;
            continue;
        }
        input_text(&input, key, sizeof key);
        if ((what == 1 || what == 2) && depth < JSON_DEPTH_MAX) {
            (what == 1 ? json_open_array : json_open_object)(&json,
                                                             is_array[depth - 1] ? NULL : key);
            is_array[depth++] = what == 1;
        } else {
            write_value(&json, &input, is_array[depth - 1] ? NULL : key);
        }
    }
    for (; depth > 1; depth--)
        json_close(&json);
    expect_eq(json_end(&json), 0);
    fclose(file);
    expect_eq(strlen(text), text_size);
    expect(text_size > 0 && strchr(text, '\n') == text + text_size - 1);
    expect(json_is_object(text));
    expect(is_utf8(text));
    free(text);
    return 0;
}
