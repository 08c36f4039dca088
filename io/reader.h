/* SPDX-License-Identifier: Apache-2.0 */
/* reader.h - takes what comes from a connection, a pipe or a file apart: lines, fields, frames.
 *
 *     rill_tcp_reader_init(&session->reader, &session->peer, session->text, sizeof session->text);
 *     for (;;) {
 *         RILL_AWAIT(rill_reader_until(&session->reader, '\n'));
 *         if (session->reader.result <= 0)
 *             break;
 *         ... // reader.result bytes at reader.data, the '\n' among them
 *     }
 *
 * It reads as much as there is into a buffer of the caller's, and hands it out piece by piece,
 * where it lies: no byte is copied to get it, and where many pieces have come at once they are one
 * read. What it has read and not handed out yet is its own: read from the source by it alone. */
#ifndef RILL_IO_READER_H
#define RILL_IO_READER_H

#include "io/file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads up to size bytes, as rill_tcp_recv and rill_file_read do: the result of the future that it
 * returns is their number, 0 at the end, or -errno. op is for its use, or left alone. */
typedef struct rill_future *rill_read_fn(void *source, struct rill_op *op, void *buffer,
                                         size_t size);

/* It must not move while one of its futures is awaited. */
struct rill_reader {
    union {
        int64_t result; /* bytes that were handed out; 0 at the end; or -errno */
        struct rill_future future;
    };
    char *data; /* these bytes, the caller's to read and change until the next call */

    /* private */
    rill_read_fn *read;
    void *source;
    struct rill_op op;
    struct rill_future *reading;
    char *buffer;
    size_t size;       /* of the buffer */
    size_t begin, end; /* what was read and not handed out: buffer[begin] to buffer[end - 1] */
    size_t searched;   /* of these, how many are no separator */
    int64_t (*find)(struct rill_reader *reader); /* what was asked for: its size, or -1 */
    int64_t found;
    size_t wanted;
    char separator;
    bool peeks; /* what is found is shown, and stays */
};

/* Begins reading from source by read; from a connection: rill_tcp_reader_init (net/tcp.h). source
 * and buffer, of size bytes, are borrowed for as long as the reader is used. There is nothing to be
 * ended. Panics where size is 0. */
void rill_reader_init(struct rill_reader *reader, rill_read_fn *read, void *source, void *buffer,
                      size_t size);

/* The same from where a file stands, or from a pipe. */
void rill_file_reader_init(struct rill_reader *reader, struct rill_file *file, void *buffer,
                           size_t size);

/* Of all that follow: reader->result is how many bytes are at reader->data; 0 where the source has
 * ended and nothing is left; or, and nothing was handed out or lost, -EMSGSIZE, -ECANCELED in a
 * task that is cancelled, or the source's own error. */

/* Hands out what comes up to the next separator, with it. Where the source ends before, it is what
 * was left, and the last byte is none, as of getline(3). -EMSGSIZE: the buffer is full of bytes
 * none of which is one; rill_reader_some takes them. */
struct rill_future *rill_reader_until(struct rill_reader *reader, char separator);

/* Hands out the next size bytes. Less where the source ends before: compare it with size, for 0 of
 * them are there at once. -EMSGSIZE: the buffer is smaller. */
struct rill_future *rill_reader_exactly(struct rill_reader *reader, size_t size);

/* Hands out all that is there, or waits for something: what was left by -EMSGSIZE, or whatever
 * comes before a reader is left for something else. */
struct rill_future *rill_reader_some(struct rill_reader *reader);

/* Shows the next size bytes, which the next call hands out, or shows, again: to tell protocols
 * apart by how they begin; or, of one byte, to wait until there is something, with another time
 * limit than for the rest of it. The result is that of rill_reader_exactly. */
struct rill_future *rill_reader_peek(struct rill_reader *reader, size_t size);

/* Whether rill_reader_until hands out a piece that is there already, up to a separator. Where not,
 * it has to read, and maybe to wait: who answers many pieces by one send sends before. */
bool rill_reader_has(const struct rill_reader *reader, char separator);

/* How many bytes were read and not handed out: at the next call that many may be had without
 * reading. */
static inline size_t rill_reader_held(const struct rill_reader *reader)
{
    return reader->end - reader->begin;
}

#ifdef __cplusplus
}
#endif
#endif
