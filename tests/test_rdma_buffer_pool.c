/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_buffer_pool.c - no buffer is lost and none is given out twice, whatever fails or
 * is cancelled; and the memory of one can be reached from the other side. */
#include "rdma/buffer_pool.h"

#include "tests/rdma/duo.h"
#include "tests/rdma/fake_ucx.h"
#include "tests/rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 1 << 10, SLAB = 8 << 10, SLABS = 3, TAKERS = 6 };

static const struct rill_rdma_buffer_pool_options options = {
    .smallest = SMALL, .largest = SLAB, .bytes_max = SLABS * SLAB};

static struct rill_rdma rdma;
static struct rill_rdma_buffer_pool pool;
static struct rill_rdma_buffer *buffers[64];
static struct rill_rdma_buffer_take takes[TAKERS];
static struct background taking[TAKERS];

static void open_pool(void)
{
    static const struct rill_rdma_setting setting = {"TLS", "tcp"};

    fake_reset();
    fixture_open(SIMULATED, NULL, NULL);
    expect_eq(rill_rdma_open(&rdma, &(struct rill_rdma_options){.settings = &setting,
                                                                .setting_count = 1,
                                                                .ucx = &fake_ucx}),
              0);
    expect_eq(rill_rdma_buffer_pool_init(&pool, &rdma, &options), 0);
}

static void close_pool(void)
{
    expect_eq(pool.bytes_taken, 0);
    rill_rdma_buffer_pool_finish(&pool);
    expect_eq(fake.memories, 0);
    expect_eq(fake.keys, 0);
    rill_rdma_close(&rdma);
    fixture_close();
}

static struct rill_rdma_buffer *try_take(size_t size)
{
    struct rill_rdma_buffer *buffer;

    expect_eq(rill_rdma_buffer_try_take(&pool, size, &buffer), 0);
    expect(buffer->size >= size);
    memset(buffer->bytes, 0x5a, buffer->size);
    return buffer;
}

static void take_all(size_t size)
{
    for (int i = 0; i < (int)(SLABS * SLAB / size); i++)
        buffers[i] = try_take(size);
    expect_eq(pool.bytes_taken, SLABS * SLAB);
}

static void give_back_all(size_t size)
{
    for (int i = 0; i < (int)(SLABS * SLAB / size); i++)
        rill_rdma_buffer_give_back(buffers[i]);
}

static void start(int i, size_t size)
{
    background_start(&taking[i], rill_rdma_buffer_take(&pool, &takes[i], size));
    settle();
}

static bool has(int i)
{
    return rill_task_is_over(&taking[i].task);
}

/* Gives back what a taker has got. */
static void end(int i)
{
    expect(background_end(&taking[i]) > 0);
    rill_rdma_buffer_give_back(takes[i].buffer);
}

START_TEST(sizes_are_rounded_up_to_powers_of_two)
{
    static const struct {
        size_t asked, got;
    } cases[] = {{0, SMALL},        {1, SMALL},   {SMALL, SMALL},
                 {SMALL + 1, 2048}, {3000, 4096}, {SLAB, SLAB}};
    struct rill_rdma_buffer other;

    open_pool();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_eq(await(rill_rdma_buffer_take(&pool, &takes[0], cases[i].asked)), cases[i].got);
        expect_eq(takes[0].buffer->size, cases[i].got);
        rill_rdma_buffer_give_back(takes[0].buffer);
    }
    expect_eq(await(rill_rdma_buffer_take(&pool, &takes[0], SLAB + 1)), -EMSGSIZE);
    expect(!takes[0].buffer);
    buffers[0] = &other;
    expect_eq(rill_rdma_buffer_try_take(&pool, SLAB + 1, &buffers[0]), -EMSGSIZE);
    expect(!buffers[0]);
    expect_eq(fake.memories, 1);
    close_pool();
}
END_TEST

START_TEST(options_that_do_not_fit_together_are_refused)
{
    static const struct rill_rdma_buffer_pool_options bad[] = {
        {.smallest = 63},  {.smallest = 100},
        {.largest = 5000}, {.smallest = 1 << 21},
        {.bytes_max = 1},  {.largest = (size_t)1 << 40},
        {.smallest = 32},  {.smallest = 64, .largest = (size_t)1 << 38, .bytes_max = SIZE_MAX},
    };
    static const struct rill_rdma_buffer_pool_options of_one_size = {
        .smallest = 64, .largest = 64, .bytes_max = 64};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_eq(rill_rdma_buffer_pool_init(&pool, &rdma, &bad[i]), -EINVAL);
    expect_eq(rill_rdma_buffer_pool_init(&pool, &rdma, &of_one_size), 0);
    expect_eq(rill_rdma_buffer_pool_init(&pool, &rdma, NULL), 0);
}
END_TEST

START_TEST(buffers_do_not_overlap)
{
    open_pool();
    for (size_t size = SMALL; size <= SLAB; size *= 2) {
        int count = (int)(SLABS * SLAB / size);

        take_all(size);
        for (int i = 0; i < count; i++)
            memset(buffers[i]->bytes, i, size);
        for (int i = 0; i < count; i++)
            for (size_t at = 0; at < size; at++)
                expect_eq(((const char *)buffers[i]->bytes)[at], i);
        give_back_all(size);
    }
    expect_eq(fake.memories, SLABS);
    close_pool();
}
END_TEST

START_TEST(it_registers_no_more_than_it_may_and_then_a_taker_waits)
{
    struct rill_rdma_buffer *none;

    open_pool();
    take_all(SMALL);
    expect_eq(rill_rdma_buffer_try_take(&pool, 1, &none), -EAGAIN);
    expect(!none);
    expect_eq(pool.bytes, SLABS * SLAB);
    start(0, SMALL);
    rill_task_wake(&taking[0].task); /* for no reason */
    settle();
    expect(!has(0));
    rill_rdma_buffer_give_back(buffers[7]);
    settle();
    expect(has(0));
    expect(takes[0].buffer == buffers[7]);
    give_back_all(SMALL);
    close_pool();
}
END_TEST

START_TEST(a_slab_whose_buffers_are_back_is_cut_for_another_size)
{
    struct rill_rdma_buffer *none;

    open_pool();
    take_all(SMALL);
    for (int i = 0; i < 7; i++)
        rill_rdma_buffer_give_back(buffers[i]);
    expect_eq(rill_rdma_buffer_try_take(&pool, SLAB, &none), -EAGAIN);
    rill_rdma_buffer_give_back(buffers[7]);
    for (int i = 0; i < 2; i++)
        buffers[i] = try_take(SLAB / 2);
    expect_eq(rill_rdma_buffer_try_take(&pool, SMALL, &none), -EAGAIN);
    for (int i = 0; i < 2; i++)
        rill_rdma_buffer_give_back(buffers[i]);
    for (int i = 8; i < 24; i++)
        rill_rdma_buffer_give_back(buffers[i]);
    expect_eq(fake.memories, SLABS);
    close_pool();
}
END_TEST

START_TEST(a_larger_buffer_is_given_rather_than_none)
{
    open_pool();
    for (int i = 0; i < 3; i++)
        buffers[i] = try_take(SLAB);
    rill_rdma_buffer_give_back(buffers[2]);
    buffers[2] = try_take(SLAB / 2);
    buffers[3] = try_take(SMALL);
    expect_eq(buffers[3]->size, SLAB / 2);
    for (int i = 0; i < 4; i++)
        rill_rdma_buffer_give_back(buffers[i]);
    close_pool();
}
END_TEST

START_TEST(takers_are_served_in_the_order_in_which_they_came)
{
    struct rill_rdma_buffer *none;

    open_pool();
    take_all(SMALL);
    start(0, SLAB);
    start(1, SMALL);
    for (int i = 0; i < 7; i++)
        rill_rdma_buffer_give_back(buffers[i]);
    settle();
    expect(!has(0) && !has(1)); /* a small one does not overtake */
    expect_eq(rill_rdma_buffer_try_take(&pool, SMALL, &none), -EAGAIN);
    rill_rdma_buffer_give_back(buffers[7]);
    settle();
    expect(has(0) && !has(1));
    rill_rdma_buffer_give_back(buffers[8]);
    settle();
    expect(has(1));
    end(0);
    end(1);
    for (int i = 9; i < 24; i++)
        rill_rdma_buffer_give_back(buffers[i]);
    close_pool();
}
END_TEST

START_TEST(who_gives_up_first_in_line_lets_those_behind_it_go)
{
    open_pool();
    take_all(SMALL);
    start(0, SLAB);
    start(1, SMALL);
    start(2, SMALL);
    rill_rdma_buffer_give_back(buffers[0]);
    rill_rdma_buffer_give_back(buffers[1]);
    rill_task_cancel(&taking[0].task);
    expect_eq(background_end(&taking[0]), -ECANCELED);
    expect(!takes[0].buffer);
    settle();
    expect(has(1) && has(2));
    end(1);
    end(2);
    for (int i = 2; i < 24; i++)
        rill_rdma_buffer_give_back(buffers[i]);
    close_pool();
}
END_TEST

START_TEST(a_buffer_handed_to_one_that_is_cancelled_goes_to_the_next)
{
    open_pool();
    take_all(SLAB);
    start(0, SLAB);
    start(1, SLAB);
    if (_i == 0) { /* in either order */
        rill_rdma_buffer_give_back(buffers[0]);
        rill_task_cancel(&taking[0].task);
    } else {
        rill_task_cancel(&taking[0].task);
        rill_rdma_buffer_give_back(buffers[0]);
    }
    expect_eq(background_end(&taking[0]), -ECANCELED);
    expect(!takes[0].buffer);
    settle();
    expect(has(1));
    end(1);
    rill_rdma_buffer_give_back(buffers[1]);
    rill_rdma_buffer_give_back(buffers[2]);
    close_pool();
}
END_TEST

START_TEST(one_that_is_cancelled_before_it_begins_takes_nothing)
{
    open_pool();
    start(0, 1);
    end(0);
    expect_eq(rill_rdma_buffer_pool_trim(&pool), SLAB);
    background_start(&taking[0], rill_rdma_buffer_take(&pool, &takes[0], 1));
    rill_task_cancel(&taking[0].task);
    expect_eq(background_end(&taking[0]), -ECANCELED);
    expect(!takes[0].buffer);
    expect_eq(pool.bytes, 0);
    close_pool();
}
END_TEST

START_TEST(memory_that_can_not_be_had_is_an_error_and_leaves_nothing)
{
    static const char *const failing[] = {"mem_map", "mem_query", "rkey_pack"};

    open_pool();
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) {
        fake.failing = failing[i];
        fake.status = UCS_ERR_NO_MEMORY;
        expect_eq(await(rill_rdma_buffer_take(&pool, &takes[0], 1)), -ENOMEM);
        expect(!takes[0].buffer);
        expect_eq(rill_rdma_buffer_pool_reserve(&pool, SLAB), -ENOMEM);
        expect_eq(fake.memories + fake.keys, 0);
        expect_eq(pool.bytes, 0);
    }
    fake.failing = NULL;
    buffers[0] = try_take(SLAB / 2);
    fake.failing = "mem_map";
    buffers[1] = try_take(SMALL); /* there is a larger one */
    expect_eq(rill_rdma_buffer_try_take(&pool, SMALL, &buffers[2]), -ENOMEM);
    rill_rdma_buffer_give_back(buffers[0]);
    rill_rdma_buffer_give_back(buffers[1]);
    close_pool();
}
END_TEST

START_TEST(memory_can_be_registered_ahead_and_released_again)
{
    open_pool();
    expect_eq(rill_rdma_buffer_pool_reserve(&pool, 2 * SLAB - 1), 0);
    expect_eq(rill_rdma_buffer_pool_reserve(&pool, 2 * SLAB), 0);
    expect_eq(fake.memories, 2);
    expect_eq(rill_rdma_buffer_pool_reserve(&pool, SLABS * SLAB + 1), -EINVAL);
    buffers[0] = try_take(1);
    expect_eq(fake.memories, 2);
    expect_eq(rill_rdma_buffer_pool_trim(&pool), SLAB);
    expect_eq(fake.memories, 1);
    rill_rdma_buffer_give_back(buffers[0]);
    expect_eq(rill_rdma_buffer_pool_trim(&pool), SLAB);
    expect_eq(pool.bytes, 0);
    expect_eq(rill_rdma_buffer_pool_reserve(&pool, SLABS * SLAB), 0);
    expect_eq(fake.memories, SLABS);
    close_pool();
}
END_TEST

START_TEST(what_no_whole_slabs_are_left_for_can_not_be_reserved)
{
    struct rill_rdma_buffer_pool_options odd = options;

    odd.bytes_max = SLAB + SLAB / 2;
    open_pool();
    expect_eq(rill_rdma_buffer_pool_init(&pool, &rdma, &odd), 0);
    expect_eq(rill_rdma_buffer_pool_reserve(&pool, SLAB + 1), -EINVAL);
    fake.failing = "mem_map";
    fake.status = UCS_ERR_NO_MEMORY;
    rill_rdma_buffer_pool_trim(&pool);
    expect_eq(rill_rdma_buffer_pool_reserve(&pool, SLAB), -ENOMEM);
    close_pool();
}
END_TEST

/* What a model says: buffers that are taken do not overlap, and at the end all are back. */
static void random_run(uint64_t seed)
{
    uint64_t random = seed;

    open_pool();
    memset(takes, 0, sizeof takes);
    memset(taking, 0, sizeof taking);
    for (int step = 0; step < 400; step++) {
        int i = (int)rig_random(&random, TAKERS);

        if (taking[i].task.state == RILL_TASK_NEW) {
            background_start(
                &taking[i], rill_rdma_buffer_take(&pool, &takes[i], rig_random(&random, SLAB) + 1));
        } else if (has(i)) {
            if (background_end(&taking[i]) > 0) {
                for (size_t at = 0; at < takes[i].buffer->size; at += 64)
                    expect_eq(((char *)takes[i].buffer->bytes)[at], i);
                rill_rdma_buffer_give_back(takes[i].buffer);
            }
            taking[i].task.state = RILL_TASK_NEW;
        } else if (rig_random(&random, 4) == 0) {
            rill_task_cancel(&taking[i].task);
        }
        if (rig_random(&random, 2))
            fixture_turn();
        for (i = 0; i < TAKERS; i++)
            if (taking[i].task.state == RILL_TASK_OVER && takes[i].result > 0)
                memset(takes[i].buffer->bytes, i, takes[i].buffer->size);
    }
    for (int round = 0; round < TAKERS; round++)
        for (int i = 0; i < TAKERS; i++) {
            settle();
            if (taking[i].task.state == RILL_TASK_OVER && takes[i].result > 0)
                rill_rdma_buffer_give_back(takes[i].buffer);
            if (taking[i].task.state == RILL_TASK_OVER)
                taking[i].task.state = RILL_TASK_NEW;
        }
    for (int i = 0; i < TAKERS; i++)
        expect_eq(taking[i].task.state, RILL_TASK_NEW);
    close_pool();
}

START_TEST(random_takers_lose_nothing)
{
    uint64_t first, count;

    fixture_seeds(200, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        random_run(seed);
}
END_TEST

static void give_back_twice(void)
{
    open_pool();
    buffers[0] = try_take(1);
    rill_rdma_buffer_give_back(buffers[0]);
    rill_rdma_buffer_give_back(buffers[0]);
}

static void finish_early(void)
{
    open_pool();
    buffers[0] = try_take(1);
    rill_rdma_buffer_pool_finish(&pool);
}

static void finish_while_one_waits(void)
{
    open_pool();
    take_all(SLAB);
    start(0, 1);
    rill_rdma_buffer_pool_finish(&pool);
}

START_TEST(bad_use_panics)
{
    fixture_expect_panic(give_back_twice, "a buffer was given back to its pool that is not taken");
    fixture_expect_panic(finish_early, "while 1024 bytes are taken");
    fixture_expect_panic(finish_while_one_waits, "while a task (above) waits for it");
}
END_TEST

START_TEST(a_buffer_is_written_and_read_from_the_other_side)
{
    static struct rill_rdma_remote remote;
    static struct rill_rdma_op op;
    static char read[100];

    if (!duo_open(_i, NULL))
        return;
    expect_eq(rill_rdma_buffer_pool_init(&pool, &duo.right, NULL), 0);
    buffers[0] = try_take(100); /* the second is not at the beginning of its slab */
    buffers[1] = try_take(100);
    memset(buffers[1]->bytes, 0, 100);
    expect_eq(rill_rdma_remote_open(&remote, &duo.to_right, (uintptr_t)buffers[1]->bytes,
                                    rill_rdma_buffer_key(buffers[1])->bytes,
                                    rill_rdma_buffer_key(buffers[1])->size),
              0);
    expect_eq(await(rill_rdma_put(&remote, &op, "hello", 6, 10)), 6);
    expect_eq(await(rill_rdma_ep_flush(&duo.to_right, &op)), 0);
    expect_eq(memcmp((char *)buffers[1]->bytes + 10, "hello", 6), 0);
    expect_eq(await(rill_rdma_get(&remote, &op, read, 100, 0)), 100);
    expect_eq(memcmp(read, buffers[1]->bytes, 100), 0);
    rill_rdma_remote_close(&remote);
    rill_rdma_buffer_give_back(buffers[0]);
    rill_rdma_buffer_give_back(buffers[1]);
    rill_rdma_buffer_pool_finish(&pool);
    rill_rdma_buffer_pool_finish(&pool);
    duo_close();
}
END_TEST

int main(void)
{
    enum { ONCE = IN_TCP };
    const struct duo_case cases[] = {
        {sizes_are_rounded_up_to_powers_of_two, ONCE},
        {options_that_do_not_fit_together_are_refused, ONCE},
        {buffers_do_not_overlap, ONCE},
        {it_registers_no_more_than_it_may_and_then_a_taker_waits, ONCE},
        {a_slab_whose_buffers_are_back_is_cut_for_another_size, ONCE},
        {a_larger_buffer_is_given_rather_than_none, ONCE},
        {takers_are_served_in_the_order_in_which_they_came, ONCE},
        {who_gives_up_first_in_line_lets_those_behind_it_go, ONCE},
        {a_buffer_handed_to_one_that_is_cancelled_goes_to_the_next, IN_TCP_AND_SHM},
        {one_that_is_cancelled_before_it_begins_takes_nothing, ONCE},
        {memory_that_can_not_be_had_is_an_error_and_leaves_nothing, ONCE},
        {memory_can_be_registered_ahead_and_released_again, ONCE},
        {what_no_whole_slabs_are_left_for_can_not_be_reserved, ONCE},
        {random_takers_lose_nothing, ONCE},
        {bad_use_panics, ONCE},
        {a_buffer_is_written_and_read_from_the_other_side, IN_TCP_AND_SHM},
    };

    return duo_main("rdma buffer pool", cases, sizeof cases / sizeof *cases);
}
