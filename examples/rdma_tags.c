/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_tags.c - messages of several types over one endpoint, told apart by their tags:
 *
 *     rdma_tags                      a station and its reader in this process
 *     rdma_tags 7000                 reads what a station sends to a port
 *     rdma_tags 127.0.0.1 7000       is a station
 *
 * A tag is a type, in the upper 32 bits, and the number of a sensor. The reader takes the
 * messages in an order of its own, whatever the order in which they were sent. */
#include "io/program.h"
#include "rdma/listener.h"
#include "rdma/message.h"
#include "rdma/tag.h"
#include "runtime/join_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { READING = 1, NOTE, ALARM, THANKS };
enum { SENSORS = 2, READINGS = 6, NOTE_MAX = 1000 };

#define TAG(type, sensor) ((uint64_t)(type) << 32 | (uint64_t)(sensor))

/* A mask for all messages of one type. */
#define OF_TYPE TAG(UINT32_MAX, 0)

/* ---- the station ---- */

struct station {
    struct rill_future future;
    struct rill_rdma_ep ep;
    struct rill_rdma_op send, recv;
    int32_t reading;
    int i;
    char nothing;
};

static struct rill_future *send_note(struct station *station, const char *text)
{
    return rill_rdma_tag_send(&station->ep, &station->send, text, strlen(text), TAG(NOTE, 0));
}

/* It waits for thanks before it closes: closing may overtake what is on its way. */
static enum rill_poll station_poll(struct rill_future *self, struct rill_task *task)
{
    struct station *station = rill_container_of(self, struct station, future);

    RILL_BEGIN();
    RILL_AWAIT(send_note(station, "all is well"));
    for (station->i = 0; station->i < READINGS; station->i++) {
        station->reading = 20 + station->i;
        RILL_AWAIT(rill_rdma_tag_send(&station->ep, &station->send, &station->reading,
                                      sizeof station->reading,
                                      TAG(READING, 1 + station->i % SENSORS)));
    }
    RILL_AWAIT(send_note(station, "it is getting warmer, and somebody should look at sensor 2"));
    RILL_AWAIT(rill_rdma_tag_send(&station->ep, &station->send, NULL, 0, TAG(ALARM, 2)));
    RILL_AWAIT(rill_rdma_tag_recv_from(&station->ep, &station->recv, &station->nothing, 1,
                                       TAG(THANKS, 0), RILL_RDMA_TAG_EXACT));
    RILL_AWAIT(rill_rdma_ep_close(&station->ep));
    RILL_RETURN(station->recv.result);
    RILL_END();
}

/* ---- its reader ---- */

struct reader {
    struct rill_future future;
    struct rill_rdma *rdma;
    struct rill_rdma_ep ep;
    struct rill_rdma_op op;
    struct rill_rdma_message note; /* whose size is not known before */
    int32_t reading;
    int i;
};

static struct rill_future *receive(struct reader *reader, uint64_t tag, uint64_t mask)
{
    return rill_rdma_tag_recv_from(&reader->ep, &reader->op, &reader->reading,
                                   sizeof reader->reading, tag, mask);
}

static void print_reading(const struct reader *reader)
{
    printf("sensor %d: %d degrees\n", (int)(uint32_t)reader->op.tag, (int)reader->reading);
}

/* First what is urgent, which was sent last; then one sensor; then the others. */
static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct reader *reader = rill_container_of(self, struct reader, future);

    RILL_BEGIN();
    RILL_AWAIT(receive(reader, TAG(ALARM, 0), OF_TYPE));
    if (reader->op.result < 0)
        goto close;
    printf("alarm of sensor %d\n", (int)(uint32_t)reader->op.tag);
    for (reader->i = 0; reader->i < READINGS; reader->i++) {
        RILL_AWAIT(receive(reader, TAG(READING, 2),
                           reader->i < READINGS / SENSORS ? RILL_RDMA_TAG_EXACT : OF_TYPE));
        if (reader->op.result < 0)
            goto close;
        print_reading(reader);
    }
    for (reader->i = 0; reader->i < 2; reader->i++) {
        RILL_AWAIT(
            rill_rdma_message_recv(reader->rdma, &reader->note, TAG(NOTE, 0), OF_TYPE, NOTE_MAX));
        if (reader->note.result < 0)
            goto close;
        printf("note: %.*s\n", (int)reader->note.result, (const char *)reader->note.data);
        rill_rdma_message_give_back(&reader->note);
    }
    RILL_AWAIT(rill_rdma_tag_send_sync(&reader->ep, &reader->op, NULL, 0, TAG(THANKS, 0)));
close:
    RILL_AWAIT(rill_rdma_ep_close(&reader->ep));
    RILL_RETURN(reader->op.result < 0 ? reader->op.result : reader->note.result);
    RILL_END();
}

/* ---- one of them, or both ---- */

struct program {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_address address;
    struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
    struct station station;
    struct reader reader;
    struct rill_future *sides[2];
    struct rill_join_all both;
    int error;
};

static int program_open(struct program *program)
{
    int error = rill_rdma_open(&program->rdma, &(struct rill_rdma_options){.bare_endpoints = true});

    if (error)
        fprintf(stderr, "no rdma: %s\n", program->rdma.why.text);
    program->reader.rdma = &program->rdma;
    return error;
}

static struct rill_future *read_all(struct program *program)
{
    return rill_future_init(&program->reader.future, reader_poll);
}

static struct rill_future *send_all(struct program *program)
{
    return rill_future_init(&program->station.future, station_poll);
}

static int alone_open(struct program *program)
{
    size_t size;
    int error = program_open(program);

    if (!error)
        error = rill_rdma_ep_open(&program->station.ep, &program->rdma,
                                  rill_rdma_address(&program->rdma, &size));
    if (!error)
        error = rill_rdma_ep_open(&program->reader.ep, &program->rdma,
                                  rill_rdma_address(&program->rdma, &size));
    return error;
}

static enum rill_poll alone_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->error = alone_open(program);
    if (program->error)
        RILL_RETURN(program->error);
    /* If the reader fails the station is not left waiting for its thanks. */
    RILL_AWAIT(rill_try_join_all(
        &program->both, RILL_FUTURES(program->sides, send_all(program), read_all(program))));
    RILL_RETURN(program->both.result);
    RILL_END();
}

static int reading_open(struct program *program)
{
    int error = program_open(program);

    if (!error)
        error = rill_rdma_listen(&program->listener, &program->rdma, &program->address);
    if (!error && rill_rdma_listener_address(&program->listener, &program->address) == 0) {
        printf("listening on port %d\n", rill_address_port(&program->address));
        fflush(stdout);
    }
    return error;
}

static enum rill_poll reading_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->error = reading_open(program);
    if (program->error)
        RILL_RETURN(program->error);
    RILL_AWAIT(rill_rdma_accept(&program->listener, &program->accept));
    if (program->accept.result == 0)
        program->accept.result = rill_rdma_ep_adopt(&program->reader.ep, &program->accept);
    rill_rdma_listener_close(&program->listener);
    if (program->accept.result < 0)
        RILL_RETURN(program->accept.result);
    RILL_AWAIT(read_all(program));
    RILL_RETURN(program->reader.future.result);
    RILL_END();
}

static enum rill_poll sending_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->error = program_open(program);
    if (!program->error)
        program->error =
            rill_rdma_ep_connect(&program->station.ep, &program->rdma, &program->address);
    if (program->error)
        RILL_RETURN(program->error);
    RILL_AWAIT(send_all(program));
    RILL_RETURN(program->station.future.result);
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct program program;
    rill_poll_fn *const poll[] = {alone_poll, reading_poll, sending_poll};

    if (argc > 3) {
        fprintf(stderr, "usage: rdma_tags [[ADDRESS] PORT]\n");
        return 2;
    }
    if (rill_address_parse(&program.address, argc > 2 ? argv[1] : "0.0.0.0",
                           argc > 1 ? (uint16_t)strtoul(argv[argc - 1], NULL, 10) : 0) < 0) {
        fprintf(stderr, "rdma_tags: %s is no address\n", argv[1]);
        return 2;
    }
    return rill_main(rill_future_init(&program.future, poll[argc - 1]));
}
