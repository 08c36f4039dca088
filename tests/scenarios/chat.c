/* SPDX-License-Identifier: Apache-2.0 */
/* chat.c - members send lines into a channel, a room numbers them and sends them to all
 * who are there: each line once and in order, and who is slow knows what he missed. */
#include "runtime/broadcast.h"
#include "runtime/channel.h"
#include "runtime/select.h"
#include "runtime/timeout.h"
#include "runtime/watch.h"
#include "tests/scenarios/scenario.h"

#include <errno.h>
#include <string.h>

enum { MEMBERS = 5, LINES = 12 };

struct line {
    int64_t member, number; /* the member's own */
    int64_t place;          /* in the room */
};

struct inbox RILL_CHANNEL(struct line, 3);
struct room RILL_BROADCAST(struct line, 4);
struct count RILL_WATCH(int64_t);

static struct inbox inbox;
static struct room room;
static struct count count; /* lines so far */
static int64_t sent[MEMBERS];
static int64_t placed[MEMBERS];

/* ---- the room ---- */

static struct host {
    struct rill_task task;
    struct rill_join join;
    struct rill_channel_op receive;
    struct line line;
    int64_t lines;
} host;

static enum rill_poll host_poll(struct rill_future *self, struct rill_task *task)
{
    struct host *me = rill_container_of(self, struct host, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_channel_receive(&inbox, &me->receive, &me->line));
        if (me->receive.result <= 0)
            break;
        expect_eq(me->line.number, placed[me->line.member]);
        placed[me->line.member]++;
        me->line.place = me->lines++;
        expect_eq(rill_broadcast_send(&room, &me->line), 0);
        rill_watch_set(&count, &me->lines);
    }
    rill_broadcast_close(&room);
    rill_watch_close(&count);
    RILL_END();
}

/* ---- members, each of which talks and listens ---- */

struct talker {
    struct rill_task task;
    struct rill_join join;
    struct rill_channel_op send;
    struct rill_timeout timeout;
    struct rill_sleep pause;
    struct line line;
    int64_t member;
};

struct listener {
    struct rill_task task;
    struct rill_join join;
    struct rill_subscription subscription;
    struct rill_watch watch;
    struct rill_select select;
    struct rill_future *choices[2];
    struct line line;
    int64_t next, heard, missed;
    int64_t numbers[MEMBERS];
};

static struct talker talkers[MEMBERS];
static struct listener listeners[MEMBERS];

static enum rill_poll talker_poll(struct rill_future *self, struct rill_task *task)
{
    struct talker *talker = rill_container_of(self, struct talker, task.future);

    RILL_BEGIN();
    while (sent[talker->member] < LINES) {
        talker->line.member = talker->member;
        talker->line.number = sent[talker->member];
        RILL_AWAIT(rill_timeout(&talker->timeout, 1 + dice_ns(RILL_MILLISECOND),
                                rill_channel_send(&inbox, &talker->send, &talker->line)));
        if (talker->send.result == 0)
            sent[talker->member]++; /* else the line is still to be said */
        if (rill_task_is_cancelled(task))
            break;
        RILL_AWAIT(rill_sleep(&talker->pause, dice_ns(RILL_MILLISECOND)));
    }
    RILL_END();
}

static void hear(struct listener *listener)
{
    const struct line *line = &listener->line;

    listener->missed += (int64_t)listener->subscription.missed;
    expect_eq(line->place, listener->next + (int64_t)listener->subscription.missed);
    expect(line->number >= listener->numbers[line->member]);
    listener->numbers[line->member] = line->number + 1;
    listener->next = line->place + 1;
    listener->heard++;
}

static enum rill_poll listener_poll(struct rill_future *self, struct rill_task *task)
{
    struct listener *listener = rill_container_of(self, struct listener, task.future);

    RILL_BEGIN();
    for (;;) {
        listener->choices[0] =
            rill_broadcast_receive(&room, &listener->subscription, &listener->line);
        listener->choices[1] = rill_watch_changed(&count, &listener->watch);
        RILL_AWAIT(rill_select(&listener->select, listener->choices, 2));
        if (listener->subscription.result == 1)
            hear(listener);
        if (listener->watch.result == 1)
            expect(count.value >= listener->next);
        if (listener->subscription.result == 0 || rill_task_is_cancelled(task))
            break;
        if (listener->watch.result == 0) { /* nothing new: what is kept is still to be heard */
            RILL_AWAIT(rill_broadcast_receive(&room, &listener->subscription, &listener->line));
            if (listener->subscription.result != 1)
                break;
            hear(listener);
        }
    }
    RILL_RETURN(rill_task_is_cancelled(task) ? -ECANCELED : 0);
    RILL_END();
}

static struct rill_task *victims[2 * MEMBERS];
static struct saboteur saboteur;

static void run(void)
{
    int64_t lines = 0;

    memset(sent, 0, sizeof sent);
    memset(placed, 0, sizeof placed);
    memset(talkers, 0, sizeof talkers);
    memset(listeners, 0, sizeof listeners);
    memset(&host, 0, sizeof host);
    rill_channel_init(&inbox);
    rill_broadcast_init(&room);
    rill_watch_init(&count);
    rill_task_spawn(&host.task, host_poll);
    for (int64_t i = 0; i < MEMBERS; i++) {
        talkers[i].member = i;
        rill_broadcast_subscribe(&room, &listeners[i].subscription);
        rill_task_spawn(&talkers[i].task, talker_poll);
        rill_task_spawn(&listeners[i].task, listener_poll);
        victims[2 * i] = &talkers[i].task;
        victims[2 * i + 1] = &listeners[i].task;
    }
    saboteur_start(&saboteur, victims, 2 * MEMBERS, (unsigned)dice(5), 5 * RILL_MILLISECOND);
    saboteur_end(&saboteur);
    for (int i = 0; i < MEMBERS; i++)
        await(rill_task_join(&talkers[i].task, &talkers[i].join));
    rill_channel_close(&inbox);
    await(rill_task_join(&host.task, &host.join));
    for (int i = 0; i < MEMBERS; i++) {
        expect_eq(placed[i], sent[i]);
        lines += sent[i];
    }
    expect_eq(host.lines, lines);
    scenario_count(MEMBERS * LINES, (size_t)lines);
    for (int i = 0; i < MEMBERS; i++) {
        struct listener *listener = &listeners[i];

        if (await(rill_task_join(&listener->task, &listener->join)) == 0)
            expect_eq(listener->heard + listener->missed, lines);
    }
    rill_channel_finish(&inbox);
    rill_broadcast_finish(&room);
    rill_watch_finish(&count);
}

const struct scenario scenario_chat = {"chat", run, 75};
