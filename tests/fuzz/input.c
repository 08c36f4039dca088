/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/input.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t input_number(struct input *input, size_t bytes_count)
{
    uint64_t number = 0;

    for (size_t i = 0; i < bytes_count; i++)
        number |= (uint64_t)input_byte(input) << 8 * i;
    return number;
}

uint64_t input_below(struct input *input, uint64_t bound)
{
    size_t count = 0;

    for (uint64_t rest = bound - 1; bound > 0 && rest > 0; rest >>= 8)
        count++;
    return bound > 0 ? input_number(input, count) % bound : 0;
}

uint64_t input_extreme(struct input *input)
{
    uint8_t how = input_byte(input);
    uint64_t power = UINT64_C(1) << how % 64;

    switch (how / 64) {
    case 0:
        return power - 1;
    case 1:
        return power;
    case 2:
        return how == 2 * 64 ? UINT64_MAX : power + 1;
    default:
        return input_number(input, 1 + how % 8);
    }
}

size_t input_take(struct input *input, void *bytes, size_t size)
{
    size_t there = (size_t)(input->end - input->next);

    if (there > size)
        there = size;
    if (there > 0)
        memcpy(bytes, input->next, there);
    memset((char *)bytes + there, 0, size - there);
    input->next += there;
    return there;
}

char *input_text(struct input *input, char *text, size_t size)
{
    size_t length = 0;

    for (uint8_t byte; (byte = input_byte(input)) != 0;)
        if (length + 1 < size)
            text[length++] = (char)byte;
    text[length] = '\0';
    return text;
}

/* ---- assertions of the fixture's and of check's ---- */

/* There is no test that check could tell of them. */
__attribute__((noreturn, format(printf, 4, 5))) void
__wrap__ck_assert_failed(const char *file, int line, const char *condition, const char *format,
                         ...);
void __wrap__mark_point(const char *file, int line);

void __wrap__ck_assert_failed(const char *file, int line, const char *condition, const char *format,
                              ...)
{
    va_list arguments;

    fprintf(stderr, "%s:%d: %s: ", file, line, condition);
    if (format) {
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
    }
    fputc('\n', stderr);
    abort();
}

void __wrap__mark_point(const char *file, int line)
{
    (void)file;
    (void)line;
}
