/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/room.h"

#include "runtime/broadcast.h"
#include "runtime/shield.h"

#include <errno.h>
#include <string.h>

enum {
    LINE_SIZE = 252, /* longer messages go in several lines */
    LINES_KEPT = 1024,
};

struct line {
    uint32_t size;
    char text[LINE_SIZE];
};

static struct room RILL_BROADCAST(struct line, LINES_KEPT) room;
static struct echo_counts *total;

/* A connection has two tasks: one that receives, and one that sends. */
struct writer {
    struct rill_task task;
    struct rill_subscription subscription;
    struct line line;
    struct rill_op send;
    struct member *member;
};

struct member {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_borrow chunk;
    struct writer writer;
    struct rill_join join;
    struct rill_shield shield; /* the writer lies in the memory of a member that may be cancelled */
};

static enum rill_poll writer_poll(struct rill_future *self, struct rill_task *task)
{
    struct writer *writer = rill_container_of(self, struct writer, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_broadcast_receive(&room, &writer->subscription, &writer->line));
        if (writer->subscription.result <= 0 || writer->subscription.missed > 0)
            break;
        RILL_AWAIT(rill_tcp_send_all(&writer->member->peer, &writer->send, writer->line.text,
                                     writer->line.size));
        if (writer->send.result < 0)
            break;
    }
    rill_task_cancel(&writer->member->task);
    RILL_END();
}

static void say(const struct rill_borrow *chunk)
{
    struct line line;

    for (size_t at = 0; at < (size_t)chunk->result; at += line.size) {
        size_t left = (size_t)chunk->result - at;

        line.size = left < LINE_SIZE ? (uint32_t)left : LINE_SIZE;
        memcpy(line.text, (const char *)chunk->data + at, line.size);
        (void)rill_broadcast_send(&room, &line); /* it is not closed before all have left */
    }
}

static enum rill_poll member_poll(struct rill_future *self, struct rill_task *task)
{
    struct member *member = rill_container_of(self, struct member, task.future);

    RILL_BEGIN();
    total->connections++;
    member->writer.member = member;
    rill_broadcast_subscribe(&room, &member->writer.subscription);
    rill_task_spawn(&member->writer.task, writer_poll);
    for (;;) {
        RILL_AWAIT(rill_tcp_recv_borrowed(&member->peer, &member->chunk));
        if (member->chunk.result <= 0)
            break;
        total->messages++;
        total->bytes += (uint64_t)member->chunk.result;
        say(&member->chunk);
        rill_borrow_give_back(&member->chunk);
    }
    if (member->chunk.result < 0 &&
        member->chunk.result != -ECANCELED) /* cancelled by its writer */
        total->errors++;
    rill_task_cancel(&member->writer.task);
    RILL_AWAIT(rill_shield(&member->shield, rill_task_join(&member->writer.task, &member->join)));
    RILL_AWAIT(rill_tcp_close(&member->peer));
    RILL_END();
}

struct rill_service room_open(struct echo_counts *counts)
{
    total = counts;
    rill_broadcast_init(&room);
    return RILL_SERVICE(struct member, peer, member_poll);
}

void room_close(void)
{
    rill_broadcast_finish(&room);
}
