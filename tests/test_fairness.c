/* SPDX-License-Identifier: Apache-2.0 */
/* test_fairness.c - a loop over futures that are ready at once lets other tasks run,
 * whatever they are ready with. */
#include "runtime/any.h"
#include "runtime/barrier.h"
#include "runtime/broadcast.h"
#include "runtime/channel.h"
#include "runtime/join_all.h"
#include "runtime/mutex.h"
#include "runtime/notify.h"
#include "runtime/object_pool.h"
#include "runtime/once.h"
#include "runtime/oneshot.h"
#include "runtime/priority_channel.h"
#include "runtime/race.h"
#include "runtime/rate_limit.h"
#include "runtime/retry.h"
#include "runtime/rwlock.h"
#include "runtime/scope.h"
#include "runtime/select.h"
#include "runtime/semaphore.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "runtime/watch.h"
#include "tests/fairness.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <string.h>

/* The leaf that the guide teaches, as it stands there. */
int guide_main(void);
#define main guide_main
#include "examples/guide/futures.c" // NOLINT(bugprone-suspicious-include)
#undef main

/* ---- what is looped over ---- */

static struct RILL_CHANNEL(int, 4) channel;
static struct RILL_PRIORITY_CHANNEL(int, 4) priority;
static struct RILL_WATCH(int) watched;
static struct RILL_BROADCAST(int, 4) broadcast;
static struct RILL_ONESHOT(int) oneshot;
static struct rill_subscription subscription;
static struct rill_notify notify;
static struct rill_semaphore semaphore;
static struct rill_mutex mutex;
static struct rill_rwlock rwlock;
static struct rill_barrier barrier;
static struct rill_rate_limit rate_limit;
static struct rill_scope scope;
static struct rill_scope_room room;
static struct rill_once once;
static struct rill_object_pool pool;
static struct rill_any any;
static struct box box; /* examples/guide/futures.c */
static struct latch latch, scope_latch;
static struct runner target, in_scope;
static int message = 7;

static union {
    struct rill_channel_op channel;
    struct rill_priority_receive priority;
    struct rill_watch watch;
    struct rill_oneshot_receive oneshot;
    struct rill_wait wait;
    struct rill_acquire acquire;
    struct rill_mutex_lock lock;
    struct rill_meet meet;
    struct rill_rate_limit_take take;
    struct rill_once_run run;
    struct rill_join join;
    struct rill_object_pool_take pool_take;
    struct rill_sleep sleep;
    struct rill_timeout timeout;
    struct rill_join_all all;
    struct rill_race race;
    struct rill_select select;
    struct rill_retry retry;
    struct rill_future paying;
} of;
static struct rill_rwlock_use use;
static struct rill_future *no_futures[1];

static struct rill_future *send_one(void)
{
    return rill_channel_send(&channel, &of.channel, &message);
}

static struct rill_future *reserve(void)
{
    return rill_channel_reserve(&channel, &of.channel);
}

static struct rill_future *receive(void)
{
    return rill_channel_receive(&channel, &of.channel, &message);
}

static void close_channel(void)
{
    rill_channel_close(&channel);
}

static struct rill_future *receive_by_priority(void)
{
    return rill_priority_channel_receive(&priority, &of.priority, &message);
}

static void close_priority(void)
{
    rill_priority_channel_close(&priority);
}

static struct rill_future *wait_for_change(void)
{
    return rill_watch_changed(&watched, &of.watch);
}

static void close_watched(void)
{
    rill_watch_close(&watched);
}

static struct rill_future *receive_broadcast(void)
{
    return rill_broadcast_receive(&broadcast, &subscription, &message);
}

static void close_broadcast(void)
{
    rill_broadcast_close(&broadcast);
}

static struct rill_future *receive_oneshot(void)
{
    return rill_oneshot_receive(&oneshot, &of.oneshot);
}

static void close_oneshot(void)
{
    rill_oneshot_close(&oneshot);
}

static struct rill_future *wait_for_notification(void)
{
    return rill_notify_wait(&notify, &of.wait);
}

static struct rill_future *acquire(void)
{
    return rill_semaphore_acquire(&semaphore, &of.acquire, 1);
}

static struct rill_future *acquire_none(void)
{
    return rill_semaphore_acquire(&semaphore, &of.acquire, 0);
}

static void close_semaphore(void)
{
    rill_semaphore_close(&semaphore);
}

static struct rill_future *lock(void)
{
    return rill_mutex_lock(&mutex, &of.lock);
}

static struct rill_future *lock_to_read(void)
{
    return rill_rwlock_read(&rwlock, &use);
}

static struct rill_future *meet(void)
{
    return rill_barrier_meet(&barrier, &of.meet);
}

static struct rill_future *take_token(void)
{
    return rill_rate_limit_take(&rate_limit, &of.take, 1);
}

static struct rill_future *take_no_token(void)
{
    return rill_rate_limit_take(&rate_limit, &of.take, 0);
}

static struct rill_future *run_once(void)
{
    return rill_once_run(&once, &of.run, &latch.future);
}

static struct rill_future *join_target(void)
{
    return rill_task_join(&target.task, &of.join);
}

static void end_target(void)
{
    latch_open(&latch, 5);
    rig_settle();
}

static struct rill_future *join_scope(void)
{
    return rill_scope_join(&scope);
}

static struct rill_future *wait_for_scope(void)
{
    return rill_scope_wait(&scope);
}

static struct rill_future *wait_for_room(void)
{
    return rill_scope_wait_for_room(&scope, &room, 1);
}

static void fill_scope(void)
{
    in_scope.first = latch_wait(&scope_latch);
    rill_scope_spawn(&scope, &in_scope.task, runner_poll);
    rig_settle();
}

/* Who has waited for it owns it. */
static struct rill_future *end_scope(void)
{
    latch_open(&scope_latch, 0);
    return rill_scope_join(&scope);
}

static struct rill_future *take_object(void)
{
    return rill_object_pool_take(&pool, &of.pool_take, &latch.future);
}

static void drain_pool(void)
{
    static struct rill_object_pool_care drain;
    static struct runner drainer;

    runner_start(&drainer, rill_object_pool_drain(&pool, &drain), NULL);
    ck_assert_int_eq(rig_finish(&drainer.task), 0);
}

static struct rill_future *sleep_now(void)
{
    return rill_sleep(&of.sleep, 0);
}

static struct rill_future *sleep_long(void)
{
    return rill_sleep(&of.sleep, RILL_SECOND);
}

static struct rill_future *sleep_below_0(void)
{
    return rill_sleep(&of.sleep, -1);
}

static struct rill_future *timeout_below_0(void)
{
    return rill_timeout(&of.timeout, -1, &latch.future);
}

static struct rill_future *join_none(void)
{
    return rill_join_all(&of.all, no_futures, 0);
}

static struct rill_future *race_of_none(void)
{
    return rill_race(&of.race, no_futures, 0);
}

static struct rill_future *select_of_none(void)
{
    return rill_select(&of.select, no_futures, 0);
}

static struct rill_future *next_of_none(void)
{
    return rill_any_next(&any);
}

static struct rill_future *drain_none(void)
{
    return rill_any_drain(&any, RILL_CANCELLED);
}

static struct rill_future *no_attempt(struct rill_retry *retry)
{
    (void)retry;
    return &latch.future;
}

static struct rill_future *retry_wrongly(void)
{
    static const struct rill_retry_policy wrong = {.attempts_max = 0};

    return rill_retry(&of.retry, &wrong, no_attempt);
}

static struct rill_future *take_letter(void)
{
    return box_take(&box);
}

static struct rill_future *take_next_letter(void)
{
    box_put(&box, 'a');
    return box_take(&box);
}

/* Nothing is awaited in it. */
static enum rill_poll paying_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_SPEND_BUDGET();
    RILL_RETURN(3);
    RILL_END();
}

static struct rill_future *pay(void)
{
    return rill_future_init(&of.paying, paying_poll);
}

static struct rill_future *end_object(struct rill_pooled *object)
{
    (void)object;
    return &latch.future;
}

static void set_up(void)
{
    static const struct rill_object_pool_options pool_options = {
        .max = 1, .idle_ns = RILL_NEVER, .end = end_object};

    rill_channel_init(&channel);
    rill_priority_channel_init(&priority);
    rill_watch_init(&watched);
    rill_broadcast_init(&broadcast);
    rill_broadcast_subscribe(&broadcast, &subscription);
    rill_oneshot_init(&oneshot);
    rill_notify_init(&notify);
    rill_semaphore_init(&semaphore, 1);
    rill_mutex_init(&mutex);
    rill_rwlock_init(&rwlock);
    rill_barrier_init(&barrier, 2);
    rill_rate_limit_init(&rate_limit, 1, RILL_SECOND, 1);
    rill_once_init(&once);
    rill_scope_init(&scope, RILL_SCOPE_INDEPENDENT);
    ck_assert_int_eq(rill_object_pool_init(&pool, &pool_options), 0);
    rill_any_init(&any, no_futures, 0);
    of.watch = (struct rill_watch){.seen = 0};
    use = (struct rill_rwlock_use){0};
    runner_start(&target, latch_wait(&latch), NULL);
    rig_settle();
}

/* Nothing may be held, and nobody be left in a line. */
static void tear_down(void)
{
    latch_open(&latch, 0);
    rig_settle();
    rill_channel_finish(&channel);
    rill_priority_channel_finish(&priority);
    rill_watch_finish(&watched);
    rill_broadcast_finish(&broadcast);
    rill_semaphore_finish(&semaphore);
    rill_mutex_finish(&mutex);
    rill_rwlock_finish(&rwlock);
    rill_barrier_finish(&barrier);
    rill_rate_limit_finish(&rate_limit);
    rill_once_finish(&once);
    rill_object_pool_finish(&pool);
    ck_assert_uint_eq(rig.executor.tasks_alive, 0);
}

static const struct fairness_loop loops[] = {
    {"a cancelled send", send_one, -ECANCELED, NULL, NULL},
    {"a send into a closed channel", send_one, -EPIPE, close_channel, NULL},
    {"a cancelled reservation", reserve, -ECANCELED, NULL, NULL},
    {"a reservation in a closed channel", reserve, -EPIPE, close_channel, NULL},
    {"a cancelled receive", receive, -ECANCELED, NULL, NULL},
    {"a receive from a closed channel", receive, 0, close_channel, NULL},
    {"a cancelled receive by priority", receive_by_priority, -ECANCELED, NULL, NULL},
    {"a receive by priority of nothing", receive_by_priority, 0, close_priority, NULL},
    {"a cancelled watch", wait_for_change, -ECANCELED, NULL, NULL},
    {"a watch of what is closed", wait_for_change, 0, close_watched, NULL},
    {"a cancelled receive of a broadcast", receive_broadcast, -ECANCELED, NULL, NULL},
    {"a receive of a closed broadcast", receive_broadcast, 0, close_broadcast, NULL},
    {"a cancelled receive of a oneshot", receive_oneshot, -ECANCELED, NULL, NULL},
    {"a receive of a closed oneshot", receive_oneshot, 0, close_oneshot, NULL},
    {"a cancelled wait", wait_for_notification, -ECANCELED, NULL, NULL},
    {"a cancelled acquire", acquire, -ECANCELED, NULL, NULL},
    {"an acquire of a closed semaphore", acquire, -EPIPE, close_semaphore, NULL},
    {"an acquire of nothing", acquire_none, -EINVAL, NULL, NULL},
    {"a cancelled lock", lock, -ECANCELED, NULL, NULL},
    {"a cancelled lock for reading", lock_to_read, -ECANCELED, NULL, NULL},
    {"a cancelled meeting", meet, -ECANCELED, NULL, NULL},
    {"a cancelled wait for tokens", take_token, -ECANCELED, NULL, NULL},
    {"a wait for no tokens", take_no_token, -EINVAL, NULL, NULL},
    {"a cancelled run", run_once, -ECANCELED, NULL, NULL},
    {"a cancelled join", join_target, -ECANCELED, NULL, NULL},
    {"a join of a task that is over", join_target, 5, end_target, NULL},
    {"a join of an empty scope", join_scope, 0, NULL, NULL},
    {"a wait for an empty scope", wait_for_scope, 0, NULL, NULL},
    {"a wait for room in an empty scope", wait_for_room, 0, NULL, NULL},
    {"a cancelled wait for room in a scope", wait_for_room, -ECANCELED, fill_scope, end_scope},
    {"a cancelled wait for a scope", wait_for_scope, -ECANCELED, fill_scope, end_scope},
    {"a take from a drained pool", take_object, -EPIPE, drain_pool, NULL},
    {"a cancelled take from a pool", take_object, -ECANCELED, NULL, NULL},
    {"a sleep for no time", sleep_now, 0, NULL, NULL},
    {"a cancelled sleep", sleep_long, -ECANCELED, NULL, NULL},
    {"a sleep for less than no time", sleep_below_0, -EINVAL, NULL, NULL},
    {"a timeout below no time", timeout_below_0, -EINVAL, NULL, NULL},
    {"a join of none", join_none, 0, NULL, NULL},
    {"a race of none", race_of_none, -EINVAL, NULL, NULL},
    {"a select of none", select_of_none, -EINVAL, NULL, NULL},
    {"the next of none", next_of_none, -ENOENT, NULL, NULL},
    {"a drain of none", drain_none, 0, NULL, NULL},
    {"a retry that is not right", retry_wrongly, -EINVAL, NULL, NULL},
    {"a body that awaits nothing and pays", pay, 3, NULL, NULL},
    {"a cancelled leaf of the guide", take_letter, -ECANCELED, NULL, NULL},
    {"a leaf of the guide whose letters are there", take_next_letter, 'a', NULL, NULL},
};

START_TEST(a_loop_over_what_is_ready_at_once_lets_others_run_whatever_it_is_ready_with)
{
    fairness_check(loops, RIG_COUNT(loops), set_up, tear_down, rig_turn);
}
END_TEST

/* ---- those that wait ---- */

enum { CROWD = 2 * RILL_TASK_BUDGET + 10 };

static struct rill_channel_op crowd[CROWD];
static struct rill_future *crowd_futures[CROWD];
static struct rill_join_all crowd_join;
static struct runner crowd_runner;
static int crowd_messages[CROWD];

static void start_crowd(void)
{
    rill_channel_init(&channel);
    for (int i = 0; i < CROWD; i++)
        crowd_futures[i] = rill_channel_receive(&channel, &crowd[i], &crowd_messages[i]);
    runner_start(&crowd_runner, rill_join_all(&crowd_join, crowd_futures, CROWD), NULL);
    rig_settle();
}

static void end_crowd(int64_t result)
{
    unsigned polls = crowd_runner.polls;

    rig_settle();
    ck_assert(rill_task_is_over(&crowd_runner.task));
    ck_assert_uint_eq(crowd_runner.polls - polls, 3);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(crowd[i].result, result);
    rill_channel_finish(&channel);
}

START_TEST(more_futures_of_one_task_than_its_share_end_in_more_than_one_turn_and_alike)
{
    start_crowd();
    rill_channel_close(&channel);
    end_crowd(0);

    start_crowd();
    rill_task_cancel(&crowd_runner.task);
    end_crowd(-ECANCELED);
}
END_TEST

/* Whoever waits for what somebody else has, and what comes behind them in one task. */
static union {
    struct rill_mutex_lock lock;
    struct rill_rwlock_use use;
    struct rill_once_run run;
    struct rill_acquire acquire;
} waiting[CROWD];
static struct rill_future *waiting_futures[CROWD + 1];

static struct {
    struct rill_task task;
    struct rill_mutex_lock lock;
} owner;

static enum rill_poll owner_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_mutex_lock(&mutex, &owner.lock));
    RILL_AWAIT(latch_wait(&latch));
    rill_mutex_unlock(&mutex);
    RILL_END();
}

static struct rill_future *wait_for_mutex(int i)
{
    return rill_mutex_lock(&mutex, &waiting[i].lock);
}

static struct rill_future *wait_to_read(int i)
{
    return rill_rwlock_read(&rwlock, &waiting[i].use);
}

static struct rill_future *wait_to_write(int i)
{
    return rill_rwlock_write(&rwlock, &waiting[i].use);
}

static struct rill_future *wait_for_once(int i)
{
    return rill_once_run(&once, &waiting[i].run, &latch.future);
}

static struct rill_future *wait_for_permit(int i)
{
    return rill_semaphore_acquire(&semaphore, &waiting[i].acquire, 1);
}

START_TEST(a_crowd_that_waits_keeps_nobody_behind_it_waiting)
{
    static struct rill_future *(*const wait_for[])(int i) = {
        wait_for_mutex, wait_to_read, wait_to_write, wait_for_once, wait_for_permit,
    };

    for (size_t kind = 0; kind < RIG_COUNT(wait_for); kind++) {
        struct rill_rwlock_use writing = {0};
        struct latch once_latch = {0};
        struct rill_once_run running;

        memset(waiting, 0, sizeof waiting);
        memset(&owner, 0, sizeof owner);
        rill_mutex_init(&mutex);
        rill_rwlock_init(&rwlock);
        rill_once_init(&once);
        rill_semaphore_init(&semaphore, 1);
        rill_channel_init(&channel);
        rill_task_spawn(&owner.task, owner_poll);
        ck_assert(rill_rwlock_try_write(&rwlock, &writing));
        runner_start(&target, rill_once_run(&once, &running, latch_wait(&once_latch)), NULL);
        ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
        rig_settle();

        for (int i = 0; i < CROWD; i++)
            waiting_futures[i] = wait_for[kind](i);
        waiting_futures[CROWD] = send_one();
        runner_start(&crowd_runner, rill_join_all(&crowd_join, waiting_futures, CROWD + 1), NULL);
        for (int i = 0; i < 10; i++)
            rig_turn();
        ck_assert_msg(channel.channel.count == 1, "kind %zu: what is behind waits", kind);
        ck_assert_msg(crowd_runner.task.state == RILL_TASK_PARKED, "kind %zu: it spins", kind);

        rill_task_cancel(&crowd_runner.task);
        ck_assert_int_eq(rig_finish(&crowd_runner.task), -ECANCELED);
        latch_open(&latch, 0);
        latch_open(&once_latch, 0);
        rill_rwlock_unlock(&rwlock, &writing);
        rill_semaphore_release(&semaphore, 1);
        rig_settle();
        rill_mutex_finish(&mutex);
        rill_rwlock_finish(&rwlock);
        rill_once_finish(&once);
        rill_semaphore_finish(&semaphore);
        rill_channel_finish(&channel);
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        a_loop_over_what_is_ready_at_once_lets_others_run_whatever_it_is_ready_with,
        more_futures_of_one_task_than_its_share_end_in_more_than_one_turn_and_alike,
        a_crowd_that_waits_keeps_nobody_behind_it_waiting,
    };

    return rig_main("fairness", tests, RIG_COUNT(tests));
}
