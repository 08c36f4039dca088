// SPDX-License-Identifier: Apache-2.0
// macros.cc - every macro of the public headers, used from C++: check_headers.sh compiles it.
#include "io/bridge.h"
#include "io/workers.h"
#include "net/server.h"
#include "runtime/any.h"
#include "runtime/broadcast.h"
#include "runtime/channel.h"
#include "runtime/join_all.h"
#include "runtime/oneshot.h"
#include "runtime/panic.h"
#include "runtime/priority_channel.h"
#include "runtime/select.h"
#include "runtime/watch.h"

struct message {
    int number;
};

struct inbox RILL_CHANNEL(struct message, 16);
struct news RILL_BROADCAST(struct message, 16);
struct settings RILL_WATCH(struct message);
struct answer RILL_ONESHOT(struct message);
struct orders RILL_PRIORITY_CHANNEL(struct message, 8);
RILL_BRIDGE_OF(numbers, int64_t);
static struct rill_workers names = RILL_WORKERS_STATIC(names, 8, 1000);

struct user {
    struct rill_task task;
    struct rill_tcp peer;
    struct message message;
    struct inbox inbox;
    struct rill_channel_op send, receive;
    struct news news;
    struct rill_subscription subscription;
    struct settings settings;
    struct rill_watch watch;
    struct answer answer;
    struct rill_oneshot_receive question;
    struct orders orders;
    struct rill_priority_receive order;
    struct numbers numbers;
    int64_t places[4];
    struct rill_bridge_op over;
    struct rill_sleep short_one, long_one;
    struct rill_select select;
    struct rill_future *choices[2];
};

static enum rill_poll user_poll(struct rill_future *self, struct rill_task *task)
{
    struct user *user = rill_container_of(self, struct user, task.future);

    RILL_BEGIN();
    rill_channel_init(&user->inbox);
    RILL_AWAIT(rill_channel_send(&user->inbox, &user->send, &user->message));
    RILL_AWAIT(rill_channel_receive(&user->inbox, &user->receive, &user->message));
    RILL_AWAIT(rill_channel_reserve(&user->inbox, &user->send));
    rill_channel_send_reserved(&user->inbox, &user->message);
    RILL_AWAIT(rill_channel_reserve(&user->inbox, &user->send));
    rill_channel_give_up(&user->inbox);
    if (rill_channel_try_receive(&user->inbox, &user->message) != 1 ||
        rill_channel_try_send(&user->inbox, &user->message) != 0)
        RILL_RETURN(-1);
    rill_channel_close(&user->inbox);
    rill_channel_finish(&user->inbox);

    rill_broadcast_init(&user->news);
    rill_broadcast_subscribe(&user->news, &user->subscription);
    rill_broadcast_send(&user->news, &user->message);
    RILL_AWAIT(rill_broadcast_receive(&user->news, &user->subscription, &user->message));
    rill_broadcast_close(&user->news);
    rill_broadcast_finish(&user->news);

    rill_watch_init(&user->settings);
    rill_watch_set(&user->settings, &user->message);
    RILL_AWAIT(rill_watch_changed(&user->settings, &user->watch));
    rill_watch_close(&user->settings);
    rill_watch_finish(&user->settings);

    rill_oneshot_init(&user->answer);
    rill_check(rill_oneshot_send(&user->answer, &user->message) == 0, "a fresh oneshot is closed");
    RILL_AWAIT(rill_oneshot_receive(&user->answer, &user->question));
    rill_oneshot_close(&user->answer);

    rill_priority_channel_init(&user->orders);
    RILL_AWAIT(
        rill_priority_channel_send(&user->orders, &user->send, RILL_PRIORITY_HIGH, &user->message));
    RILL_AWAIT(rill_priority_channel_receive(&user->orders, &user->order, &user->message));
    rill_priority_channel_close(&user->orders);
    rill_priority_channel_finish(&user->orders);

    numbers_init(&user->numbers, user->places, 4);
    RILL_AWAIT(numbers_send(&user->numbers, &user->over, &user->places[0]));
    numbers_close(&user->numbers);
    numbers_finish(&user->numbers);

    RILL_YIELD();
    RILL_AWAIT(rill_select(&user->select,
                           RILL_FUTURES(user->choices, rill_sleep(&user->short_one, RILL_NO_WAIT),
                                        rill_sleep(&user->long_one, RILL_SECOND))));
    RILL_RETURN(user->select.result);
    RILL_END();
}

struct rill_workers *pool_of_names();
struct rill_service service_of_users();

struct rill_workers *pool_of_names()
{
    return &names;
}

struct rill_service service_of_users()
{
    return RILL_SERVICE(struct user, peer, user_poll);
}
