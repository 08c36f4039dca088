/* SPDX-License-Identifier: Apache-2.0 */
/* json_reader.h - checks a JSON text by the grammar of RFC 8259, and looks values up.
 *
 * It is strict and shares nothing with bench/json.c, which it tests. */
#ifndef RILL_TESTS_JSON_READER_H
#define RILL_TESTS_JSON_READER_H

#include <stdbool.h>

/* Whether the text is one JSON object, with nothing but white space around it. */
bool json_is_object(const char *text);

/* The number at a path such as "alive.tasks" or "list.0" in a JSON object. Fails the
 * test if the text is no object or has no number there. */
double json_number(const char *text, const char *path);

#endif
