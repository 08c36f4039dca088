/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory.c - a runtime in steady state never calls malloc, and survives its failure.
 *
 * This program brings its own malloc. The sanitizers and valgrind bring theirs, and
 * then there is nothing to count. */
#include "runtime/notify.h"
#include "runtime/select.h"
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned long calls;
static bool fails;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* What glibc's functions of these names are really called. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static bool refuse(void)
{
    calls++;
    if (fails)
        errno = ENOMEM;
    return fails;
}

void *malloc(size_t size)
{
    return refuse() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return refuse() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    return refuse() ? NULL : __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return refuse() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    if (refuse())
        return ENOMEM;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}
#endif

/* Whether the functions above are the ones that are called. */
static bool calls_are_counted(void)
{
    unsigned long before = calls;
    void *volatile memory = aligned_alloc(64, 64);

    free(memory);
    return calls > before;
}

/* One round of everything that tasks do all day. */
struct busy {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep sleep;
    struct rill_timeout timeout;
    struct rill_select select;
    struct rill_future *futures[2];
    struct rill_wait wait;
    struct latch latch;
    struct rill_task *child;
    unsigned rounds;
};

static struct rill_notify notify;

static enum rill_poll child_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_YIELD();
    rill_notify_all(&notify);
    RILL_END();
}

static enum rill_poll busy_poll(struct rill_future *self, struct rill_task *task)
{
    struct busy *busy = rill_container_of(self, struct busy, task.future);

    RILL_BEGIN();
    for (; busy->rounds > 0; busy->rounds--) {
        /* Each size class has its turn, and each task is joined or detached. */
        busy->child = rill_task_alloc(sizeof *busy->child + busy->rounds % 50 * 100);
        rill_task_spawn(busy->child, child_poll);
        RILL_AWAIT(rill_notify_wait(&notify, &busy->wait));
        if (busy->rounds % 2)
            RILL_AWAIT(rill_task_join(busy->child, &busy->join));
        else
            rill_task_detach(busy->child);
        RILL_YIELD();
        RILL_AWAIT(rill_sleep(&busy->sleep, RILL_MILLISECOND));
        RILL_AWAIT(
            rill_timeout(&busy->timeout, RILL_MILLISECOND, rill_sleep(&busy->sleep, RILL_SECOND)));
        busy->futures[0] = rill_sleep(&busy->sleep, RILL_SECOND);
        busy->futures[1] = rill_timeout(&busy->timeout, 0, latch_wait(&busy->latch));
        RILL_AWAIT(rill_select(&busy->select, busy->futures, 2));
    }
    RILL_END();
}

/* Returns how many calls so many rounds of several tasks made. */
static unsigned long calls_of_rounds(unsigned rounds)
{
    static struct busy busy[4];
    unsigned long before = calls;

    for (size_t i = 0; i < RIG_COUNT(busy); i++) {
        busy[i].rounds = rounds;
        rill_task_spawn(&busy[i].task, busy_poll);
    }
    while (rig.executor.tasks_alive > 0) {
        rill_executor_run(&rig.executor);
        if (rig.executor.tasks_alive > 0)
            rig_wait(RILL_NEVER);
    }
    return calls - before;
}

START_TEST(in_steady_state_nothing_calls_malloc)
{
    unsigned long warm_up, steady;
    bool counted = calls_are_counted();

    rill_notify_init(&notify);
    warm_up = calls_of_rounds(100);
    steady = calls_of_rounds(rig_scaled(10000));
    if (counted)
        ck_assert_uint_gt(warm_up, 0);
    ck_assert_uint_eq(steady, 0);
}
END_TEST

START_TEST(arming_and_cancelling_ten_thousand_sleeps_calls_no_malloc_at_all)
{
    enum { COUNT = 10000 };
    static struct runner runners[COUNT];
    static struct rill_sleep sleeps[COUNT];
    unsigned long before = calls, after;

    for (int i = 0; i < COUNT; i++)
        runner_start(&runners[i], rill_sleep(&sleeps[i], i * (int64_t)RILL_MILLISECOND + 1), NULL);
    rig_settle();
    rill_executor_cancel_all(&rig.executor, RILL_CANCELLED);
    rig_settle();
    after = calls;
    ck_assert_uint_eq(rig.executor.tasks_alive, 0);
    ck_assert_uint_eq(after, before);
}
END_TEST

START_TEST(without_memory_a_task_can_not_be_allocated_and_later_it_can)
{
    struct rill_task *task;

    if (!calls_are_counted())
        return;
    fails = true;
    task = rill_task_alloc(500);
    fails = false;
    ck_assert_ptr_null(task);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
    task = rill_task_alloc(500);
    ck_assert_ptr_nonnull(task);
    rill_task_free(task);

    fails = true;
    task = rill_task_alloc(500); /* there is a block of this size */
    fails = false;
    ck_assert_ptr_nonnull(task);
    rill_task_free(task);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        in_steady_state_nothing_calls_malloc,
        arming_and_cancelling_ten_thousand_sleeps_calls_no_malloc_at_all,
        without_memory_a_task_can_not_be_allocated_and_later_it_can,
    };

    return rig_main("memory", tests, RIG_COUNT(tests));
}
