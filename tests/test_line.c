/* SPDX-License-Identifier: Apache-2.0 */
/* test_line.c - who waits in line is woken as the task that polled it last. */
#include "runtime/barrier.h"
#include "runtime/broadcast.h"
#include "runtime/channel.h"
#include "runtime/mutex.h"
#include "runtime/notify.h"
#include "runtime/once.h"
#include "runtime/priority_channel.h"
#include "runtime/rate_limit.h"
#include "runtime/rwlock.h"
#include "runtime/semaphore.h"
#include "runtime/watch.h"
#include "tests/latch.h"
#include "tests/rig.h"

/* A task that polls a future once, and ends though that has not. */
static struct {
    struct rill_task task;
    struct rill_future *future;
} beginner;

static enum rill_poll beginner_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    ck_assert_int_eq(beginner.future->poll(beginner.future, task), RILL_PENDING);
    RILL_END();
}

static struct runner heir, holder;

/* Lets one task begin to wait and another one go on with it. */
static void hand_on(struct rill_future *future)
{
    beginner.future = future;
    rill_task_spawn(&beginner.task, beginner_poll);
    rig_finish(&beginner.task);
    beginner.task = (struct rill_task){.state = RILL_TASK_NEW};
    runner_start(&heir, future, NULL);
    rig_settle();
    ck_assert(!rill_task_is_over(&heir.task));
}

static void expect_end(int64_t result)
{
    rig_settle();
    ck_assert(rill_task_is_over(&heir.task));
    ck_assert_int_eq(heir.task.future.result, result);
}

START_TEST(an_acquire_that_changes_its_task_wakes_the_new_one)
{
    struct rill_semaphore semaphore;
    struct rill_acquire acquire;

    rill_semaphore_init(&semaphore, 1);
    ck_assert(rill_semaphore_try_acquire(&semaphore, 1));
    hand_on(rill_semaphore_acquire(&semaphore, &acquire, 1));
    rill_semaphore_release(&semaphore, 1);
    expect_end(1);
    rill_semaphore_release(&semaphore, 1);
    rill_semaphore_finish(&semaphore);
}
END_TEST

/* Locks a mutex, waits, and unlocks it. */
static struct {
    struct rill_mutex mutex;
    struct rill_mutex_lock lock, waiting;
    struct latch latch;
} locked;

static enum rill_poll locker_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_mutex_lock(&locked.mutex, &locked.lock));
    RILL_AWAIT(latch_wait(&locked.latch));
    rill_mutex_unlock(&locked.mutex);
    RILL_END();
}

/* Goes on with the lock that waits, and unlocks. */
static enum rill_poll goes_on_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(&locked.waiting.future);
    ck_assert_ptr_eq(locked.mutex.holder, task);
    rill_mutex_unlock(&locked.mutex);
    RILL_END();
}

START_TEST(a_lock_of_a_mutex_that_changes_its_task_wakes_the_new_one_which_holds_it)
{
    struct rill_future goes_on;

    rill_mutex_init(&locked.mutex);
    rill_task_spawn(&holder.task, locker_poll);
    rig_settle();
    beginner.future = rill_mutex_lock(&locked.mutex, &locked.waiting);
    rill_task_spawn(&beginner.task, beginner_poll);
    rig_finish(&beginner.task);
    runner_start(&heir, rill_future_init(&goes_on, goes_on_poll), NULL);
    rig_settle();
    latch_open(&locked.latch, 0);
    expect_end(0);
    rill_mutex_finish(&locked.mutex);
}
END_TEST

static struct {
    struct rill_rwlock lock;
    struct rill_rwlock_use writer, reader;
} shared;

static enum rill_poll reads_on_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(&shared.reader.future);
    ck_assert_int_eq(shared.reader.held, RILL_RWLOCK_READ);
    rill_rwlock_unlock(&shared.lock, &shared.reader);
    RILL_END();
}

START_TEST(a_reader_that_changes_its_task_wakes_the_new_one_which_holds_the_lock)
{
    struct rill_future reads_on;

    rill_rwlock_init(&shared.lock);
    ck_assert(rill_rwlock_try_write(&shared.lock, &shared.writer));
    beginner.future = rill_rwlock_read(&shared.lock, &shared.reader);
    rill_task_spawn(&beginner.task, beginner_poll);
    rig_finish(&beginner.task);
    runner_start(&heir, rill_future_init(&reads_on, reads_on_poll), NULL);
    rig_settle();
    rill_rwlock_unlock(&shared.lock, &shared.writer);
    expect_end(0);
    rill_rwlock_finish(&shared.lock);
}
END_TEST

START_TEST(a_meeting_that_changes_its_task_wakes_the_new_one)
{
    struct rill_barrier barrier;
    struct rill_meet first, last;

    rill_barrier_init(&barrier, 2);
    hand_on(rill_barrier_meet(&barrier, &first));
    runner_start(&holder, rill_barrier_meet(&barrier, &last), NULL);
    expect_end(0);
    rill_barrier_finish(&barrier);
}
END_TEST

START_TEST(one_that_waits_for_a_once_and_changes_its_task_wakes_the_new_one)
{
    struct rill_once once;
    struct rill_once_run running, waiting;
    struct latch latch = {.drain_polls = 0}, not_begun = {.drain_polls = 0};

    rill_once_init(&once);
    runner_start(&holder, rill_once_run(&once, &running, latch_wait(&latch)), NULL);
    rig_settle();
    hand_on(rill_once_run(&once, &waiting, latch_wait(&not_begun)));
    latch_open(&latch, 0);
    expect_end(0);
    rill_once_finish(&once);
}
END_TEST

START_TEST(a_take_of_tokens_that_changes_its_task_wakes_the_new_one)
{
    struct rill_rate_limit limit;
    struct rill_rate_limit_take take, next;

    rill_rate_limit_init(&limit, 1, RILL_SECOND, 1);
    ck_assert(rill_rate_limit_try_take(&limit, 1));
    hand_on(rill_rate_limit_take(&limit, &take, 1)); /* whose timer is armed */
    rig_advance(2 * RILL_SECOND);
    expect_end(1);

    ck_assert(!rill_rate_limit_try_take(&limit, 1));
    runner_start(&holder, rill_rate_limit_take(&limit, &next, 1), NULL);
    rig_settle();
    hand_on(rill_rate_limit_take(&limit, &take, 1)); /* which stands behind another one */
    rig_advance(RILL_SECOND + RILL_MILLISECOND);
    rig_advance(RILL_SECOND);
    expect_end(1);
    rill_rate_limit_finish(&limit);
}
END_TEST

START_TEST(a_wait_that_changes_its_task_wakes_the_new_one)
{
    struct rill_notify notify;
    struct rill_wait wait;

    rill_notify_init(&notify);
    hand_on(rill_notify_wait(&notify, &wait));
    ck_assert(rill_notify_one(&notify));
    expect_end(0);
}
END_TEST

static struct numbers RILL_CHANNEL(int, 1) numbers;
static struct rill_channel_op shared_op;
static int number;

static enum rill_poll receiver_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_channel_receive(&numbers, &shared_op, &number));
    RILL_END();
}

static void receive_twice_with_one_struct(void)
{
    static struct rill_task tasks[2];

    rill_channel_init(&numbers);
    rill_task_spawn(&tasks[0], receiver_poll);
    rill_task_spawn(&tasks[1], receiver_poll);
    rig_turn();
}

static struct rill_notify shared_notify;
static struct rill_wait shared_wait;

static enum rill_poll waiter_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_AWAIT(rill_notify_wait(&shared_notify, &shared_wait));
    RILL_END();
}

static void wait_twice_with_one_struct(void)
{
    static struct rill_task tasks[2];

    rill_notify_init(&shared_notify);
    rill_task_spawn(&tasks[0], waiter_poll);
    rill_task_spawn(&tasks[1], waiter_poll);
    rig_turn();
}

START_TEST(two_that_wait_with_one_struct_panic)
{
    rig_expect_text(rig_abort_message(receive_twice_with_one_struct),
                    "two that wait use the same struct: each needs one of its own");
    rig_expect_text(rig_abort_message(wait_twice_with_one_struct),
                    "two that wait use the same struct: each needs one of its own");
}
END_TEST

static void lock_a_zeroed_mutex(void)
{
    static struct rill_mutex zeroed;
    static struct rill_mutex_lock lock;
    static struct runner runner;

    runner_start(&runner, rill_mutex_lock(&zeroed, &lock), NULL);
    rig_turn();
}

START_TEST(waiting_for_what_was_only_zeroed_panics)
{
    rig_expect_text(rig_abort_message(lock_a_zeroed_mutex), "without its ..._init");
    rig_expect_text(rig_abort_message(lock_a_zeroed_mutex), "lock a mutex");
}
END_TEST

/* Zeroed, each of them, and used as if it had begun. */
static struct {
    struct rill_semaphore semaphore;
    struct rill_acquire acquire;
    struct rill_mutex mutex;
    struct rill_mutex_lock mutex_lock;
    struct rill_rwlock rwlock;
    struct rill_rwlock_use use;
    struct rill_once once;
    struct rill_once_run run;
    struct rill_barrier barrier;
    struct rill_meet meet;
    struct rill_rate_limit limit;
    struct rill_rate_limit_take take;
    struct RILL_CHANNEL(int, 1) channel;
    struct rill_channel_op op;
    struct RILL_PRIORITY_CHANNEL(int, 1) priority;
    struct rill_priority_receive receive;
    struct RILL_WATCH(int) watched;
    struct rill_watch watch;
    struct RILL_BROADCAST(int, 1) broadcast;
    struct rill_subscription subscription;
    struct latch latch;
    struct runner runner;
    int message;
} zeroed;

static void await_zeroed(struct rill_future *future)
{
    runner_start(&zeroed.runner, future, NULL);
    rig_turn();
}

static void await_zeroed_cancelled(struct rill_future *future)
{
    runner_start(&zeroed.runner, future, NULL);
    rill_task_cancel(&zeroed.runner.task);
    rig_turn();
}

static void acquire(void)
{
    await_zeroed(rill_semaphore_acquire(&zeroed.semaphore, &zeroed.acquire, 1));
}

static void try_acquire(void)
{
    rill_semaphore_try_acquire(&zeroed.semaphore, 1);
}

static void close_semaphore(void)
{
    rill_semaphore_close(&zeroed.semaphore);
}

static void try_lock(void)
{
    rill_mutex_try_lock(&zeroed.mutex);
}

static void lock_cancelled(void)
{
    await_zeroed_cancelled(rill_mutex_lock(&zeroed.mutex, &zeroed.mutex_lock));
}

static void read_lock(void)
{
    await_zeroed(rill_rwlock_read(&zeroed.rwlock, &zeroed.use));
}

static void read_lock_cancelled(void)
{
    await_zeroed_cancelled(rill_rwlock_read(&zeroed.rwlock, &zeroed.use));
}

static void try_read_lock(void)
{
    rill_rwlock_try_read(&zeroed.rwlock, &zeroed.use);
}

static void run_once(void)
{
    await_zeroed(rill_once_run(&zeroed.once, &zeroed.run, latch_wait(&zeroed.latch)));
}

static void run_once_cancelled(void)
{
    await_zeroed_cancelled(rill_once_run(&zeroed.once, &zeroed.run, latch_wait(&zeroed.latch)));
}

static void meet(void)
{
    await_zeroed(rill_barrier_meet(&zeroed.barrier, &zeroed.meet));
}

static void take_tokens(void)
{
    await_zeroed(rill_rate_limit_take(&zeroed.limit, &zeroed.take, 1));
}

static void try_take_tokens(void)
{
    rill_rate_limit_try_take(&zeroed.limit, 1);
}

static void ask_for_time_until_tokens(void)
{
    rill_rate_limit_time_until(&zeroed.limit, 1);
}

static void send_into_channel(void)
{
    await_zeroed(rill_channel_send(&zeroed.channel, &zeroed.op, &zeroed.message));
}

static void receive_from_channel(void)
{
    await_zeroed(rill_channel_receive(&zeroed.channel, &zeroed.op, &zeroed.message));
}

static void try_send(void)
{
    rill_channel_try_send(&zeroed.channel, &zeroed.message);
}

static void try_receive(void)
{
    rill_channel_try_receive(&zeroed.channel, &zeroed.message);
}

static void close_channel(void)
{
    rill_channel_close(&zeroed.channel);
}

static void receive_by_priority(void)
{
    await_zeroed(rill_priority_channel_receive(&zeroed.priority, &zeroed.receive, &zeroed.message));
}

static void close_priority_channel(void)
{
    rill_priority_channel_close(&zeroed.priority);
}

static void set_watched(void)
{
    rill_watch_set(&zeroed.watched, &zeroed.message);
}

static void close_watched(void)
{
    rill_watch_close(&zeroed.watched);
}

static void wait_for_change(void)
{
    await_zeroed(rill_watch_changed(&zeroed.watched, &zeroed.watch));
}

static void broadcast(void)
{
    rill_broadcast_send(&zeroed.broadcast, &zeroed.message);
}

static void close_broadcast(void)
{
    rill_broadcast_close(&zeroed.broadcast);
}

static void receive_broadcast(void)
{
    await_zeroed(rill_broadcast_receive(&zeroed.broadcast, &zeroed.subscription, &zeroed.message));
}

static void (*const uses_of_zeroed[])(void) = {
    acquire,
    try_acquire,
    close_semaphore,
    try_lock,
    lock_cancelled,
    read_lock,
    read_lock_cancelled,
    try_read_lock,
    run_once,
    run_once_cancelled,
    meet,
    take_tokens,
    try_take_tokens,
    ask_for_time_until_tokens,
    send_into_channel,
    receive_from_channel,
    try_send,
    try_receive,
    close_channel,
    receive_by_priority,
    close_priority_channel,
    set_watched,
    close_watched,
    wait_for_change,
    broadcast,
    close_broadcast,
    receive_broadcast,
};

START_TEST(every_use_of_what_was_only_zeroed_panics)
{
    for (size_t i = 0; i < RIG_COUNT(uses_of_zeroed); i++)
        rig_expect_text(rig_abort_message(uses_of_zeroed[i]), "without its ..._init");
}
END_TEST

START_TEST(finishing_what_was_only_zeroed_does_nothing)
{
    static struct rill_semaphore semaphore;
    static struct rill_mutex mutex;
    static struct rill_rwlock lock;
    static struct rill_barrier barrier;
    static struct rill_once once;
    static struct rill_rate_limit limit;
    static struct RILL_CHANNEL(int, 1) channel;
    static struct RILL_PRIORITY_CHANNEL(int, 1) priority;
    static struct RILL_WATCH(int) watched;
    static struct RILL_BROADCAST(int, 1) broadcast;

    rill_semaphore_finish(&semaphore);
    rill_mutex_finish(&mutex);
    rill_rwlock_finish(&lock);
    rill_barrier_finish(&barrier);
    rill_once_finish(&once);
    rill_rate_limit_finish(&limit);
    rill_channel_finish(&channel);
    rill_priority_channel_finish(&priority);
    rill_watch_finish(&watched);
    rill_broadcast_finish(&broadcast);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        an_acquire_that_changes_its_task_wakes_the_new_one,
        a_lock_of_a_mutex_that_changes_its_task_wakes_the_new_one_which_holds_it,
        a_reader_that_changes_its_task_wakes_the_new_one_which_holds_the_lock,
        a_meeting_that_changes_its_task_wakes_the_new_one,
        one_that_waits_for_a_once_and_changes_its_task_wakes_the_new_one,
        a_take_of_tokens_that_changes_its_task_wakes_the_new_one,
        a_wait_that_changes_its_task_wakes_the_new_one,
        two_that_wait_with_one_struct_panic,
        waiting_for_what_was_only_zeroed_panics,
        every_use_of_what_was_only_zeroed_panics,
        finishing_what_was_only_zeroed_does_nothing,
    };

    return rig_main("line", tests, RIG_COUNT(tests));
}
