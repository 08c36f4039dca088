/* SPDX-License-Identifier: Apache-2.0 */
/* input.h - what libFuzzer brings, read as a row of choices.
 *
 * A target is one file with one function, which does what the choices say, checks what has to
 * be true, and leaves nothing behind: thousands of runs are one process.
 *
 *     int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
 *     {
 *         struct input input = {bytes, bytes + size};
 *
 *         while (input_has(&input))
 *             switch (input_below(&input, 3)) {
 *             ...
 *             }
 *         return 0;
 *     }
 *
 * A failed check aborts, which is what libFuzzer looks for. */
#ifndef RILL_TESTS_FUZZ_INPUT_H
#define RILL_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Once it is at its end, every choice is the first one: zero. */
struct input {
    const uint8_t *next, *end;
};

static inline bool input_has(const struct input *input)
{
    return input->next < input->end;
}

static inline uint8_t input_byte(struct input *input)
{
    return input_has(input) ? *input->next++ : 0;
}

/* A number of bytes_count bytes, at most eight. */
uint64_t input_number(struct input *input, size_t bytes_count);

/* A number below bound, of as few bytes as that takes. */
uint64_t input_below(struct input *input, uint64_t bound);

/* A number at which something might change: zero, a power of two, one more, one less; or any. */
uint64_t input_extreme(struct input *input);

/* Takes up to size bytes. Returns how many there were; the others are zero. */
size_t input_take(struct input *input, void *bytes, size_t size);

/* Takes what stands before the next zero, or all, as a string; what does not fit into size bytes
 * is skipped. Returns text. */
char *input_text(struct input *input, char *text, size_t size);

#endif
