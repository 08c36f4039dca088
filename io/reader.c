/* SPDX-License-Identifier: Apache-2.0 */
#include "io/reader.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <string.h>

void rill_reader_init(struct rill_reader *reader, rill_read_fn *read, void *source, void *buffer,
                      size_t size)
{
    rill_check(size > 0, "a reader has a buffer without a byte");
    *reader = (struct rill_reader){
        .read = read,
        .source = source,
        .buffer = (char *)buffer,
        .size = size,
    };
}

/* Returns how many of the bytes that are there end with the first separator, which is none of the
 * first searched ones; or -1. */
static int64_t size_until(const struct rill_reader *reader, char separator, size_t searched)
{
    const char *first = reader->buffer + reader->begin;
    const char *found =
        (const char *)memchr(first + searched, separator, rill_reader_held(reader) - searched);

    return found ? found - first + 1 : -1;
}

/* What is there is not searched again when more has come. */
static int64_t find_separator(struct rill_reader *reader)
{
    int64_t size = size_until(reader, reader->separator, reader->searched);

    reader->searched = rill_reader_held(reader);
    return size;
}

static int64_t find_exactly(struct rill_reader *reader)
{
    return rill_reader_held(reader) >= reader->wanted ? (int64_t)reader->wanted : -1;
}

static int64_t find_some(struct rill_reader *reader)
{
    return rill_reader_held(reader) > 0 ? (int64_t)rill_reader_held(reader) : -1;
}

static bool is_too_large(const struct rill_reader *reader)
{
    return rill_reader_held(reader) == reader->size || reader->wanted > reader->size;
}

static int64_t hand_out(struct rill_reader *reader, int64_t size)
{
    reader->data = reader->buffer + reader->begin;
    if (!reader->peeks)
        reader->begin += (size_t)size;
    return size;
}

/* Reads on behind what is there, which begins the buffer then. */
static struct rill_future *read_on(struct rill_reader *reader)
{
    size_t held = rill_reader_held(reader);

    if (reader->begin > 0 && held > 0)
        memmove(reader->buffer, reader->buffer + reader->begin, held);
    reader->begin = 0;
    reader->end = held;
    reader->reading =
        reader->read(reader->source, &reader->op, reader->buffer + held, reader->size - held);
    return reader->reading;
}

static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_reader *reader = rill_container_of(self, struct rill_reader, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* what is there already is not awaited */
    if (rill_task_is_cancelled(task))
        RILL_RETURN(-ECANCELED);
    while ((reader->found = reader->find(reader)) < 0) {
        if (is_too_large(reader))
            RILL_RETURN(-EMSGSIZE);
        RILL_AWAIT(read_on(reader));
        if (reader->reading->result < 0)
            RILL_RETURN(reader->reading->result);
        if (reader->reading->result == 0)
            RILL_RETURN(hand_out(reader, (int64_t)rill_reader_held(reader)));
        reader->end += (size_t)reader->reading->result;
    }
    RILL_RETURN(hand_out(reader, reader->found));
    RILL_END();
}

static struct rill_future *prepare(struct rill_reader *reader,
                                   int64_t (*find)(struct rill_reader *reader))
{
    rill_check(reader->read, "a reader is used without its ..._init");
    reader->find = find;
    reader->wanted = 0;
    reader->searched = 0;
    reader->peeks = false;
    return rill_future_init(&reader->future, reader_poll);
}

struct rill_future *rill_reader_until(struct rill_reader *reader, char separator)
{
    reader->separator = separator;
    return prepare(reader, find_separator);
}

struct rill_future *rill_reader_exactly(struct rill_reader *reader, size_t size)
{
    struct rill_future *future = prepare(reader, find_exactly);

    reader->wanted = size;
    return future;
}

struct rill_future *rill_reader_some(struct rill_reader *reader)
{
    return prepare(reader, find_some);
}

struct rill_future *rill_reader_peek(struct rill_reader *reader, size_t size)
{
    struct rill_future *future = rill_reader_exactly(reader, size);

    reader->peeks = true;
    return future;
}

bool rill_reader_has(const struct rill_reader *reader, char separator)
{
    return rill_reader_held(reader) > 0 && size_until(reader, separator, 0) >= 0;
}

static struct rill_future *read_file(void *file, struct rill_op *op, void *buffer, size_t size)
{
    return rill_file_read((struct rill_file *)file, op, buffer, size);
}

void rill_file_reader_init(struct rill_reader *reader, struct rill_file *file, void *buffer,
                           size_t size)
{
    rill_reader_init(reader, read_file, file, buffer, size);
}
