/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - writes one JSON object to a FILE, on one line.
 *
 *     struct json json;
 *     json_begin(&json, stdout);
 *     json_string(&json, "url", "tcp://127.0.0.1:7000");
 *     json_open_object(&json, "latency_us");
 *     json_double(&json, "p50", 27.4, 1);
 *     json_close(&json);
 *     json_end(&json);
 *
 * prints {"url":"tcp://127.0.0.1:7000","latency_us":{"p50":27.4}} and a line
 * end. Within an object each value has a key; within an array the key is NULL,
 * which is asserted. */
#ifndef RILL_BENCH_JSON_H
#define RILL_BENCH_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Objects and arrays within each other, the outermost object included. */
#define JSON_DEPTH_MAX 16

struct json {
    /* private */
    FILE *file;
    unsigned depth;
    char closers[JSON_DEPTH_MAX]; /* '}' or ']', for each open level */
    bool filled[JSON_DEPTH_MAX];  /* the level has a value: a comma comes next */
};

/* Begins the outermost object. Borrows file until json_end. */
void json_begin(struct json *json, FILE *file);

/* Ends the outermost object, every level below it having been closed, and the
 * line, and flushes. Returns 0, or -EIO when something could not be written. */
int json_end(struct json *json);

/* Open an object or an array below the current level; json_close ends it. */
void json_open_object(struct json *json, const char *key);
void json_open_array(struct json *json, const char *key);
void json_close(struct json *json);

/* Write one value each. Keys and strings are borrowed for the call; bytes that
 * are not UTF-8 become U+FFFD. A string that is NULL is written as null. */
void json_string(struct json *json, const char *key, const char *value);
void json_bool(struct json *json, const char *key, bool value);
void json_integer(struct json *json, const char *key, int64_t value);
void json_unsigned(struct json *json, const char *key, uint64_t value);

/* Writes value with so many digits (0 to 17) after the point, or null where it
 * is not a finite number: JSON has no word for those. */
void json_double(struct json *json, const char *key, double value, int digits);

#endif
