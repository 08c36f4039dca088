/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_steady.c - rdma in steady state allocates nothing, and UCX next to nothing.
 *
 * This program brings its own malloc. The sanitizers and valgrind bring theirs, and then
 * there is nothing to count. */
#include "rdma/message.h"
#include "rdma/stream.h"
#include "rdma/tag.h"
#include "tests/rdma/duo.h"

#include <stdlib.h>

static unsigned long calls;

#if !defined(__SANITIZE_ADDRESS__)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    calls++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    calls++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    calls++;
    return __libc_realloc(memory, size);
}
#endif

static struct rill_rdma_op send_op, recv_op;
static struct rill_rdma_message message;
static struct background sending;
static char buffer[64 << 10], received[64 << 10];

static void exchange(size_t size)
{
    background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send_op, buffer, size, 1));
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, received, size, 1, 0)), size);
    expect_eq(background_end(&sending), size);

    background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send_op, buffer, size, 1));
    expect_eq(await(rill_rdma_message_recv(&duo.right, &message, 1, 0, size)), size);
    rill_rdma_message_give_back(&message);
    expect_eq(background_end(&sending), size);

    background_start(&sending, rill_rdma_stream_send(&duo.to_right, &send_op, buffer, size));
    expect_eq(await(rill_rdma_stream_recv_exactly(&duo.to_left, &recv_op, received, size)), size);
    expect_eq(background_end(&sending), size);
}

/* A rendezvous makes UCX allocate some things of its own; short messages none. */
START_TEST(short_messages_need_no_malloc)
{
    unsigned long before;

    if (!duo_open(_i, NULL))
        return;
    for (int i = 0; i < 300; i++)
        exchange(64);
    before = calls;
    for (int i = 0; i < 1000; i++)
        exchange(64);
    ck_assert_uint_eq(calls - before, 0);
    before = calls;
    for (int i = 0; i < 1000; i++)
        exchange(sizeof buffer);
    printf("3000 messages of 64 KiB: %lu calls of malloc\n", calls - before);
    duo_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {short_messages_need_no_malloc, IN_TCP_AND_SHM},
    };

    return duo_main("rdma steady", cases, sizeof cases / sizeof *cases);
}
