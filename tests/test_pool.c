/* SPDX-License-Identifier: Apache-2.0 */
/* test_pool.c - blocks are large enough, aligned, apart from each other and reused. */
#include "runtime/pool.h"
#include "tests/rig.h"

#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

/* A block that is held, and the byte that it is filled with. */
struct held {
    unsigned char *block;
    size_t size;
    unsigned char stamp;
    uint8_t size_class;
};

static struct rill_pool pool;
static struct held held[512];

static void hold(struct held *one, size_t size, unsigned char stamp)
{
    one->block = rill_pool_get(&pool, size, &one->size_class);
    if (!one->block || one->size_class >= RILL_POOL_CLASSES)
        ck_abort_msg("there is no block of %zu bytes", size);
    one->size = size;
    one->stamp = stamp;
    memset(one->block, stamp, size);
}

/* Gives a block back, on which nobody else has written. */
static void let_go(struct held *one)
{
    /* The first byte is the stamp, and each other one is as the one before. */
    if (one->block[0] != one->stamp || memcmp(one->block, one->block + 1, one->size - 1) != 0)
        ck_abort_msg("a block of %zu bytes was overwritten", one->size);
    rill_pool_put(&pool, one->block, one->size_class);
    one->block = NULL;
}

/* Each size up to 4096 (or many of them, where time counts), then around the
 * borders of all classes above. */
static size_t next_size(size_t size)
{
    if (size < 4096)
        return size + (rig_scaled(20) < 20 ? 15 : 1);

    size_t quarter = (size_t)1 << (61 - __builtin_clzll(size));

    return size % quarter == 1 ? size + quarter - 2 : size + 1;
}

START_TEST(a_block_holds_all_its_bytes_and_touches_no_neighbour)
{
    rill_pool_init(&pool);
    for (size_t size = 1; size <= RILL_POOL_BLOCK_MAX; size = next_size(size)) {
        for (unsigned char i = 0; i < 3; i++)
            hold(&held[i], size, (unsigned char)(size + i));
        ck_assert_uint_eq(pool.in_use, 3);
        for (int i = 0; i < 3; i++)
            let_go(&held[i]);
    }
    ck_assert_uint_eq(pool.in_use, 0);
    rill_pool_finish(&pool);
}
END_TEST

START_TEST(blocks_are_aligned_to_16_and_to_64_if_their_size_is_a_multiple_of_64)
{
    rill_pool_init(&pool);
    for (size_t size = 1; size <= RILL_POOL_BLOCK_MAX; size = next_size(size)) {
        for (int i = 0; i < 5; i++) {
            hold(&held[i], size, 0);
            if ((uintptr_t)held[i].block % (size % 64 == 0 ? 64 : 16) != 0)
                ck_abort_msg("a block of %zu bytes is at %p", size, (void *)held[i].block);
        }
        for (int i = 0; i < 5; i++)
            let_go(&held[i]);
    }
    rill_pool_finish(&pool);
}
END_TEST

START_TEST(the_block_given_back_last_is_given_out_first)
{
    unsigned char *blocks[8];

    rill_pool_init(&pool);
    for (size_t i = 0; i < RIG_COUNT(blocks); i++) {
        hold(&held[i], 200, (unsigned char)i);
        blocks[i] = held[i].block;
    }
    for (size_t i = 0; i < RIG_COUNT(blocks); i++)
        let_go(&held[i]);
    for (size_t i = RIG_COUNT(blocks); i-- > 0;) {
        hold(&held[i], 193, (unsigned char)i); /* of the same class */
        ck_assert_ptr_eq(held[i].block, blocks[i]);
    }
    rill_pool_finish(&pool);
}
END_TEST

START_TEST(what_is_larger_than_the_largest_block_is_NULL)
{
    uint8_t size_class;

    rill_pool_init(&pool);
    ck_assert_ptr_null(rill_pool_get(&pool, RILL_POOL_BLOCK_MAX + 1, &size_class));
    ck_assert_ptr_null(rill_pool_get(&pool, SIZE_MAX, &size_class));
    ck_assert_uint_eq(pool.in_use, 0);
    ck_assert_ptr_null(pool.slabs);
    hold(&held[0], RILL_POOL_BLOCK_MAX, 1);
    let_go(&held[0]);
    rill_pool_finish(&pool);
}
END_TEST

static void give_back_twice(void)
{
    uint8_t size_class;
    void *block = rill_pool_get(&pool, 100, &size_class);

    rill_pool_put(&pool, block, size_class);
    rill_pool_put(&pool, block, size_class);
}

START_TEST(giving_back_more_than_was_given_out_panics)
{
    rill_pool_init(&pool);
    rig_expect_text(rig_abort_message(give_back_twice), "a block was given back twice");
    rill_pool_finish(&pool);
}
END_TEST

START_TEST(a_pool_does_not_grow_when_the_same_sizes_come_and_go)
{
    static const size_t sizes[] = {64, 100, 640, 1024, 1500, 9000, 70000, RILL_POOL_BLOCK_MAX};
    struct rill_pool_slab *slabs = NULL;
    unsigned rounds = rig_scaled(60);
    uint64_t random = 1;

    rill_pool_init(&pool);
    for (unsigned round = 0; round < rounds; round++) {
        size_t first = rig_random(&random, 64);

        for (size_t i = 0; i < 64; i++)
            hold(&held[(i + first) % 64], sizes[i % 8], (unsigned char)i);
        if (round == 0)
            slabs = pool.slabs;
        for (size_t i = 0; i < 64; i++)
            let_go(&held[i]);
        ck_assert_ptr_eq(pool.slabs, slabs); /* a new one would be the first */
    }
    rill_pool_finish(&pool);
}
END_TEST

START_TEST(blocks_of_all_sizes_in_use_at_once_never_overlap)
{
    unsigned rounds = rig_scaled(20000);
    uint64_t random = 42;
    size_t in_use = 0;

    memset(held, 0, sizeof held);
    rill_pool_init(&pool);
    for (unsigned round = 0; round < rounds; round++) {
        struct held *one = &held[rig_random(&random, RIG_COUNT(held))];

        if (one->block) {
            let_go(one);
            in_use--;
        } else {
            size_t size = 1 + rig_random(&random, UINT64_C(16) << rig_random(&random, 11));

            hold(one, size, (unsigned char)rig_random(&random, 256));
            in_use++;
        }
    }
    ck_assert_uint_eq(pool.in_use, in_use);
    for (size_t i = 0; i < RIG_COUNT(held); i++) {
        if (held[i].block)
            let_go(&held[i]);
    }
    ck_assert_uint_eq(pool.in_use, 0);
    rill_pool_finish(&pool);
}
END_TEST

/* The sanitizers and valgrind look at what is left. */
START_TEST(finishing_a_pool_frees_the_blocks_in_use_too)
{
    rill_pool_init(&pool);
    for (size_t size = 16; size <= RILL_POOL_BLOCK_MAX; size *= 2)
        hold(&held[0], size, 7);
    rill_pool_finish(&pool);
    ck_assert_uint_eq(pool.in_use, 0);
    rill_pool_finish(&pool); /* a zeroed one has nothing to free */
}
END_TEST

#if defined(__SANITIZE_ADDRESS__)
START_TEST(the_sanitizer_sees_the_use_of_a_block_that_was_given_back)
{
    unsigned char *block;

    rill_pool_init(&pool);
    hold(&held[0], 300, 3);
    block = held[0].block;
    ck_assert_ptr_null(__asan_region_is_poisoned(block, 300));
    let_go(&held[0]);
    ck_assert_ptr_eq(__asan_region_is_poisoned(block, 300), block);
    hold(&held[0], 300, 3);
    ck_assert_ptr_eq(held[0].block, block);
    ck_assert_ptr_null(__asan_region_is_poisoned(block, 300));
    rill_pool_finish(&pool);
}
END_TEST
#endif

int main(void)
{
    const TTest *const tests[] = {
        a_block_holds_all_its_bytes_and_touches_no_neighbour,
        blocks_are_aligned_to_16_and_to_64_if_their_size_is_a_multiple_of_64,
        the_block_given_back_last_is_given_out_first,
        what_is_larger_than_the_largest_block_is_NULL,
        giving_back_more_than_was_given_out_panics,
        a_pool_does_not_grow_when_the_same_sizes_come_and_go,
        blocks_of_all_sizes_in_use_at_once_never_overlap,
        finishing_a_pool_frees_the_blocks_in_use_too,
#if defined(__SANITIZE_ADDRESS__)
        the_sanitizer_sees_the_use_of_a_block_that_was_given_back,
#endif
    };

    return rig_main("pool", tests, RIG_COUNT(tests));
}
