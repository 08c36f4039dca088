/* SPDX-License-Identifier: Apache-2.0 */
/* channels.c - channels, with and without priorities, and broadcasts: sends, receives and
 * reservations in any order, cancelled and woken at any time.
 *
 * The model: each message that was sent, and no other, is received once, by each receiver in the
 * order of its sender; and at rest nobody waits for what is there. */
#include "runtime/broadcast.h"
#include "runtime/priority_channel.h"
#include "tests/fuzz/input.h"
#include "tests/rig.h"

#include <errno.h>
#include <string.h>

enum { CAPACITY = 3, SLOTS = 4, NUMBERS_MAX = 4096 };

/* A task's use of them, one after the other. */
struct user {
    struct runner runner;
    struct rill_channel_op op;
    struct rill_priority_receive receive;
    enum { IDLE, SEND, RECEIVE, RESERVE, PRIORITY_SEND, PRIORITY_RECEIVE, LISTEN } doing;
    bool has_reserved;
    enum rill_priority priority;
    uint32_t message;
    uint32_t last_of[SLOTS][1 + RILL_PRIORITIES]; /* message of each sender */
    struct rill_subscription subscription;
    uint64_t position; /* in the broadcast */
};

static struct {
    struct plain RILL_CHANNEL(uint32_t, CAPACITY) plain;
    struct urgent RILL_PRIORITY_CHANNEL(uint32_t, CAPACITY) urgent;
    struct news RILL_BROADCAST(uint64_t, CAPACITY) news;
    struct user users[SLOTS];
    uint64_t heard[SLOTS];
    uint32_t numbers;
    bool is_sent[NUMBERS_MAX], is_received[NUMBERS_MAX];
} all;

/* A message is its number, its sender, and where it went: 0, or 1 and its priority. */
static uint32_t compose(const struct user *user, unsigned where)
{
    return all.numbers++ << 8 | (uint32_t)(user - all.users) << 4 | where;
}

static void note_sent(uint32_t message)
{
    all.is_sent[message >> 8] = true;
}

static void note_received(struct user *user, uint32_t message, unsigned where)
{
    uint32_t *last = &user->last_of[message >> 4 & 0xf][where];

    ck_assert_uint_lt(message >> 8, all.numbers);
    ck_assert(!all.is_received[message >> 8] && (message & 0xf) == where);
    ck_assert(*last == 0 || message > *last);
    *last = message;
    all.is_received[message >> 8] = true;
}

/* What has become of it. */
static void finish(struct user *user)
{
    int64_t result = user->runner.task.future.result;
    const struct rill_subscription *subscription = &user->subscription;

    switch (user->doing) {
    case IDLE:
        return;
    case SEND:
    case PRIORITY_SEND:
        ck_assert(result == 0 || result == -EPIPE || result == -ECANCELED);
        if (result == 0)
            note_sent(user->message);
        break;
    case RESERVE:
        ck_assert(result == 0 || result == -EPIPE || result == -ECANCELED);
        user->has_reserved = result == 0;
        break;
    case RECEIVE:
        ck_assert(result == 1 || result == -ECANCELED ||
                  (result == 0 && all.plain.channel.is_closed));
        if (result == 1)
            note_received(user, user->message, 0);
        break;
    case PRIORITY_RECEIVE:
        ck_assert(result == 1 || result == -ECANCELED || result == 0);
        if (result == 1)
            note_received(user, user->message, 1 + user->receive.priority);
        break;
    case LISTEN:
        if (result != 1) {
            ck_assert(result == -ECANCELED ||
                      (result == 0 && user->position == all.news.broadcast.sent));
            break;
        }
        user->position += subscription->missed;
        ck_assert_uint_eq(all.heard[user - all.users], user->position++);
        break;
    }
    user->doing = IDLE;
}

static void finish_all(void)
{
    for (int i = 0; i < SLOTS; i++)
        if (all.users[i].doing != IDLE && rill_task_is_over(&all.users[i].runner.task))
            finish(&all.users[i]);
}

static bool is_waiting(int doing)
{
    for (int i = 0; i < SLOTS; i++)
        if ((int)all.users[i].doing == doing)
            return true;
    return false;
}

static void check_at_rest(void)
{
    const struct rill_channel *plain = &all.plain.channel, *level;
    unsigned urgent = 0;

    ck_assert(plain->count + plain->reserved <= CAPACITY);
    if (is_waiting(RECEIVE))
        ck_assert(plain->count == 0 && !rill_channel_has_ended_(plain));
    if (is_waiting(SEND) || is_waiting(RESERVE))
        ck_assert(plain->count + plain->reserved == CAPACITY && !plain->is_closed);
    for (int i = 0; i < RILL_PRIORITIES; i++) {
        level = &all.urgent.priority.levels[i];
        urgent += (unsigned)level->count;
        for (int k = 0; k < SLOTS; k++)
            if (all.users[k].doing == PRIORITY_SEND && (int)all.users[k].priority == i)
                ck_assert(level->count == CAPACITY && !level->is_closed);
    }
    if (is_waiting(PRIORITY_RECEIVE))
        ck_assert(urgent == 0 && !all.urgent.priority.levels[0].is_closed);
    for (int i = 0; i < SLOTS; i++)
        if (all.users[i].doing == LISTEN)
            ck_assert(all.users[i].position == all.news.broadcast.sent &&
                      !all.news.broadcast.is_closed);
}

static void begin(struct user *user, struct input *input)
{
    struct rill_future *future = NULL;
    uint64_t next;

    user->doing = 1 + (unsigned)input_below(input, LISTEN);
    if (all.numbers == NUMBERS_MAX - 1 && (user->doing == SEND || user->doing == PRIORITY_SEND))
        user->doing = RECEIVE;
    switch (user->doing) {
    case IDLE:
        return;
    case SEND:
        user->message = compose(user, 0);
        future = rill_channel_send(&all.plain, &user->op, &user->message);
        break;
    case RECEIVE:
        future = rill_channel_receive(&all.plain, &user->op, &user->message);
        break;
    case RESERVE:
        if (user->has_reserved) {
            user->has_reserved = false;
            user->doing = IDLE;
            user->message = compose(user, 0);
            if (input_byte(input) % 2) {
                rill_channel_give_up(&all.plain);
            } else {
                rill_channel_send_reserved(&all.plain, &user->message);
                note_sent(user->message);
            }
            return;
        }
        future = rill_channel_reserve(&all.plain, &user->op);
        break;
    case PRIORITY_SEND:
        user->priority = (enum rill_priority)input_below(input, RILL_PRIORITIES);
        user->message = compose(user, 1 + user->priority);
        future = rill_priority_channel_send(&all.urgent, &user->op, user->priority, &user->message);
        break;
    case PRIORITY_RECEIVE:
        future = rill_priority_channel_receive(&all.urgent, &user->receive, &user->message);
        break;
    case LISTEN:
        next = input_byte(input);
        if (next == 1) { /* anew */
            rill_broadcast_subscribe(&all.news, &user->subscription);
            user->position = all.news.broadcast.sent;
        }
        future =
            rill_broadcast_receive(&all.news, &user->subscription, &all.heard[user - all.users]);
        break;
    }
    runner_start(&user->runner, future, NULL);
}

static void try_at_once(struct user *user, struct input *input)
{
    int result;

    if (user->doing != IDLE || all.numbers == NUMBERS_MAX - 1)
        return;
    if (input_byte(input) % 2) {
        user->message = compose(user, 0);
        result = rill_channel_try_send(&all.plain, &user->message);
        if (result == 0)
            note_sent(user->message);
    } else {
        result = rill_channel_try_receive(&all.plain, &user->message);
        if (result == 1)
            note_received(user, user->message, 0);
    }
}

static void step(struct input *input)
{
    struct user *user = &all.users[input_below(input, SLOTS)];

    switch (input_below(input, 16)) {
    case 0:
        rig_settle();
        finish_all();
        check_at_rest();
        break;
    case 1:
    case 2:
        if (user->doing != IDLE && !rill_task_is_over(&user->runner.task))
            rill_task_cancel(&user->runner.task);
        break;
    case 3:
        if (user->doing != IDLE && !rill_task_is_over(&user->runner.task))
            rill_task_wake(&user->runner.task); /* for no reason */
        break;
    case 4:
        if (input_byte(input) == 1)
            rill_channel_close(&all.plain);
        else if (input_byte(input) == 1)
            rill_priority_channel_close(&all.urgent);
        else if (input_byte(input) == 1)
            rill_broadcast_close(&all.news);
        break;
    case 5:
    case 6:
        rill_broadcast_send(&all.news, &all.news.broadcast.sent);
        break;
    case 7:
        try_at_once(user, input);
        break;
    case 8:
    case 9:
        rig_turn();
        finish_all();
        break;
    default:
        if (user->doing == IDLE)
            begin(user, input);
        break;
    }
}

/* Nobody comes any more; what is left is there. */
static void end(void)
{
    struct user *last = &all.users[0];

    for (int i = 0; i < SLOTS; i++)
        if (all.users[i].doing != IDLE && !rill_task_is_over(&all.users[i].runner.task))
            rill_task_cancel(&all.users[i].runner.task);
    rig_settle();
    finish_all();
    for (int i = 0; i < SLOTS; i++) {
        ck_assert(all.users[i].doing == IDLE);
        if (all.users[i].has_reserved)
            rill_channel_give_up(&all.plain);
    }
    while (rill_channel_try_receive(&all.plain, &last->message) == 1)
        note_received(last, last->message, 0);
    rill_priority_channel_close(&all.urgent);
    do {
        last->doing = PRIORITY_RECEIVE;
        runner_start(&last->runner,
                     rill_priority_channel_receive(&all.urgent, &last->receive, &last->message),
                     NULL);
        rig_finish(&last->runner.task);
        finish(last);
    } while (last->receive.result == 1);
    for (uint32_t i = 0; i < all.numbers; i++)
        ck_assert(all.is_sent[i] == all.is_received[i]);
    rill_channel_finish(&all.plain);
    rill_priority_channel_finish(&all.urgent);
    rill_broadcast_finish(&all.news);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};

    memset(&all, 0, sizeof all);
    rig_start();
    rill_channel_init(&all.plain);
    rill_priority_channel_init(&all.urgent);
    rill_broadcast_init(&all.news);
    for (int i = 0; i < SLOTS; i++)
        rill_broadcast_subscribe(&all.news, &all.users[i].subscription);
    while (input_has(&input))
        step(&input);
    end();
    rig_end();
    return 0;
}
