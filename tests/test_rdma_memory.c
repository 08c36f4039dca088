/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_memory.c - reading, writing and counting in the memory of another worker. */
#include "rdma/memory.h"

#include "tests/rdma/duo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 4 << 20 };
static const size_t sizes[] = {0, 1, 8, 8000, 64 << 10, SIZE};
enum { SIZES = sizeof sizes / sizeof *sizes };

static struct rill_rdma_memory memory; /* of the right worker */
static struct rill_rdma_remote remote; /* the same, of the left one */
static struct rill_rdma_op op;
static char *sent, *received;

static bool open_duo(int which, bool is_allocated)
{
    struct rill_rdma_key key;

    if (!duo_open(which, NULL))
        return false;
    sent = malloc(SIZE);
    received = calloc(1, SIZE);
    pattern_fill(sent, 0, SIZE);
    expect_eq(
        rill_rdma_memory_register(&memory, &duo.right, is_allocated ? NULL : malloc(SIZE), SIZE),
        0);
    memset(memory.address, 0, SIZE);
    expect_eq(rill_rdma_memory_pack(&memory, &key), 0);
    expect(key.size > 0);
    expect_eq(rill_rdma_remote_open(&remote, &duo.to_right, (uintptr_t)memory.address, key.bytes,
                                    key.size),
              0);
    rill_rdma_key_release(&key);
    return true;
}

static void close_duo(bool is_allocated)
{
    rill_rdma_remote_close(&remote);
    rill_rdma_remote_close(&remote);
    duo_close();
    if (!is_allocated)
        free(memory.address);
    free(sent);
    free(received);
}

/* Unlike the others it has to go before its worker. */
static void release(void)
{
    rill_rdma_memory_release(&memory);
    rill_rdma_memory_release(&memory);
}

START_TEST(what_is_put_is_there_after_a_flush_and_can_be_got)
{
    for (int is_allocated = 0; is_allocated < 2; is_allocated++) {
        if (!open_duo(_i, is_allocated))
            return;
        for (size_t i = 0; i < SIZES; i++) {
            uint64_t offset = (SIZE - sizes[i]) / 2;
            const char *there = (const char *)memory.address + offset;

            expect_eq(await(rill_rdma_put(&remote, &op, sent, sizes[i], offset)), sizes[i]);
            expect_eq(await(rill_rdma_ep_flush(&duo.to_right, &op)), 0);
            expect(pattern_is(there, 0, sizes[i]));
            memset(received, 0, sizes[i]);
            expect_eq(await(rill_rdma_get(&remote, &op, received, sizes[i], offset)), sizes[i]);
            expect(pattern_is(received, 0, sizes[i]));
        }
        release();
        close_duo(is_allocated);
    }
}
END_TEST

START_TEST(numbers_are_added_to_and_swapped)
{
    uint64_t *number, before = 99;

    if (!open_duo(_i, true))
        return;
    number = memory.address;
    for (uint64_t i = 0; i < 10; i++) {
        expect_eq(await(rill_rdma_fetch_add(&remote, &op, 8, 5, &before)), 8);
        expect_eq(before, i * 5);
    }
    expect_eq(number[1], 50);
    before = 7;
    expect_eq(await(rill_rdma_compare_swap(&remote, &op, 8, 51, &before)), 8);
    expect_eq(before, 50);
    expect_eq(number[1], 50);
    before = 7;
    expect_eq(await(rill_rdma_compare_swap(&remote, &op, 8, 50, &before)), 8);
    expect_eq(before, 50);
    expect_eq(number[1], 7);
    expect_eq(number[0] + number[2], 0);
    release();
    close_duo(true);
}
END_TEST

START_TEST(nothing_can_not_be_registered_and_an_ended_endpoint_reaches_nothing)
{
    struct rill_rdma_memory nothing = {0};
    struct rill_rdma_key key;

    if (!open_duo(_i, true))
        return;
    expect_eq(rill_rdma_memory_register(&nothing, &duo.right, NULL, 0), -EINVAL);
    expect_eq(rill_rdma_memory_register(&nothing, &duo.right, NULL, (size_t)1 << 62), -ENOMEM);
    expect_eq(rill_rdma_memory_register(&nothing, &duo.right, NULL, SIZE_MAX), -ENOMEM);
    rill_rdma_memory_release(&nothing);
    expect_eq(rill_rdma_memory_pack(&memory, &key), 0);
    rill_rdma_remote_close(&remote);
    duo.to_right.error = -ECONNRESET;
    expect_eq(rill_rdma_remote_open(&remote, &duo.to_right, 0, key.bytes, key.size), -ECONNRESET);
    duo.to_right.error = 0;
    rill_rdma_key_release(&key);
    release();
    close_duo(true);
}
END_TEST

/* In a block of just that size, so that a byte too far is seen. */
START_TEST(of_a_key_that_was_cut_short_nothing_behind_its_end_is_read)
{
    struct rill_rdma_key key;

    if (!open_duo(_i, true))
        return;
    rill_rdma_remote_close(&remote);
    expect_eq(rill_rdma_memory_pack(&memory, &key), 0);
    expect(key.size <= RILL_RDMA_KEY_SIZE_MAX);
    for (size_t size = 1; size < key.size; size++) {
        void *part = memcpy(malloc(size), key.bytes, size);

        (void)rill_rdma_remote_open(&remote, &duo.to_right, (uintptr_t)memory.address, part, size);
        rill_rdma_remote_close(&remote);
        free(part);
    }
    expect_eq(rill_rdma_remote_open(&remote, &duo.to_right, 0, key.bytes, 0), -EINVAL);
    expect_eq(
        rill_rdma_remote_open(&remote, &duo.to_right, 0, key.bytes, RILL_RDMA_KEY_SIZE_MAX + 1),
        -EINVAL);
    rill_rdma_key_release(&key);
    release();
    close_duo(true);
}
END_TEST

/* As the keeper of a connection does it that is lost. */
START_TEST(an_endpoint_that_was_opened_anew_does_not_take_the_keys_of_the_old_one)
{
    uint64_t number = 1;
    size_t size;

    if (!open_duo(_i, true))
        return;
    await(rill_rdma_ep_abort(&duo.to_right));
    expect_eq(rill_rdma_ep_open(&duo.to_right, &duo.left, rill_rdma_address(&duo.right, &size)), 0);
    expect_eq(await(rill_rdma_put(&remote, &op, sent, 8, 0)), -ENOTCONN);
    expect_eq(await(rill_rdma_get(&remote, &op, received, 8, 0)), -ENOTCONN);
    expect_eq(await(rill_rdma_fetch_add(&remote, &op, 0, 1, &number)), -ENOTCONN);
    expect_eq(await(rill_rdma_compare_swap(&remote, &op, 0, 1, &number)), -ENOTCONN);
    release();
    close_duo(true);
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {what_is_put_is_there_after_a_flush_and_can_be_got, IN_TCP_AND_SHM},
        {numbers_are_added_to_and_swapped, IN_TCP_AND_SHM},
        {nothing_can_not_be_registered_and_an_ended_endpoint_reaches_nothing, IN_TCP},
        {of_a_key_that_was_cut_short_nothing_behind_its_end_is_read, IN_TCP},
        {an_endpoint_that_was_opened_anew_does_not_take_the_keys_of_the_old_one,
         IN_TCP | TCP_ITSELF},
    };

    return duo_main("rdma memory", cases, sizeof cases / sizeof *cases);
}
