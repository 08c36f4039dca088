/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_message.c - messages of unknown size are received into memory of the runtime. */
#include "rdma/message.h"

#include "rdma/parcel.h"
#include "rdma/tag.h"
#include "runtime/timeout.h"
#include "tests/rdma/linked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const size_t sizes[] = {0, 1, 7999, 8000, 8001, 64 << 10, (256 << 10) + 1, 4 << 20};
enum { SIZES = sizeof sizes / sizeof *sizes, LARGEST = 4 << 20 };

static struct rill_rdma_op send_op, recv_op;
static struct rill_rdma_message message, second;
static struct background sending, receiving, receiving_second;
static char *sent;

/* The linker puts this before the malloc by which the library gets memory for a message. */
static size_t size_refused;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
    return size == size_refused ? NULL : __real_malloc(size);
}

static bool open_duo(int which)
{
    if (!duo_open(which, NULL))
        return false;
    sent = malloc(LARGEST);
    pattern_fill(sent, 0, LARGEST);
    memset(&message, 0, sizeof message);
    memset(&second, 0, sizeof second);
    return true;
}

static void close_duo(void)
{
    duo_close();
    free(sent);
}

static struct rill_future *tag_send(size_t size, uint64_t tag)
{
    return rill_rdma_tag_send(&duo.to_right, &send_op, sent, size, tag);
}

static struct rill_future *message_recv(struct rill_rdma_message *m, uint64_t tag)
{
    return rill_rdma_message_recv(&duo.right, m, tag, RILL_RDMA_TAG_EXACT, LARGEST);
}

START_TEST(a_message_of_any_size_is_received_whether_it_is_awaited_or_there)
{
    if (!open_duo(_i))
        return;
    for (size_t i = 0; i < SIZES; i++) {
        for (int receive_first = 0; receive_first < 2; receive_first++) {
            if (receive_first)
                background_start(&receiving, message_recv(&message, i));
            settle();
            background_start(&sending, tag_send(sizes[i], i));
            settle();
            if (!receive_first)
                background_start(&receiving, message_recv(&message, i));
            expect_eq(background_end(&receiving), sizes[i]);
            expect(message.data != NULL);
            expect(pattern_is(message.data, 0, sizes[i]));
            expect_eq(message.tag, i);
            rill_rdma_message_give_back(&message);
            rill_rdma_message_give_back(&message);
            expect_eq(background_end(&sending), sizes[i]);
        }
    }
    close_duo();
}
END_TEST

START_TEST(a_message_above_the_limit_stays_where_it_is)
{
    static char buffer[100];

    if (!open_duo(_i))
        return;
    expect_eq(await(tag_send(100, 1)), 100);
    expect_eq(await(rill_rdma_message_recv(&duo.right, &message, 1, RILL_RDMA_TAG_EXACT, 99)),
              -EMSGSIZE);
    expect_eq(message.length, 100);
    expect(message.data == NULL);
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, buffer, 100, 1, 0)), 100);
    close_duo();
}
END_TEST

START_TEST(a_cancelled_receive_leaves_the_message_to_the_next)
{
    struct rill_timeout timeout;
    int won = 0;

    if (!open_duo(_i))
        return;
    expect_eq(await(rill_timeout(&timeout, RILL_MILLISECOND, message_recv(&message, 1))),
              -ETIMEDOUT);
    for (int i = 0; i < 200; i++) {
        size_t size = sizes[1 + i % (SIZES - 2)];
        int64_t result;

        background_start(&receiving, message_recv(&message, 1));
        fixture_turn();
        background_start(&sending, tag_send(size, 1));
        for (int turns = i % 7; turns > 0; turns--)
            fixture_turn();
        rill_task_cancel(&receiving.task);
        result = background_end(&receiving);
        won += result != -ECANCELED;
        if (result == -ECANCELED) {
            expect(message.data == NULL);
            result = await(message_recv(&message, 1));
        }
        expect_eq(result, size);
        expect(pattern_is(message.data, 0, size));
        rill_rdma_message_give_back(&message);
        expect_eq(background_end(&sending), size);
    }
    printf("the message won %d of 200 races\n", won);
    close_duo();
}
END_TEST

START_TEST(of_two_that_wait_for_a_message_one_gets_it)
{
    if (!open_duo(_i))
        return;
    background_start(&receiving, message_recv(&message, 1));
    background_start(&receiving_second, message_recv(&second, 1));
    settle();
    expect_eq(await(tag_send(10, 1)), 10);
    duo_turn_until(rill_task_is_over(&receiving.task) || rill_task_is_over(&receiving_second.task));
    settle();
    expect(!rill_task_is_over(&receiving.task) || !rill_task_is_over(&receiving_second.task));
    expect_eq(await(tag_send(20, 1)), 20);
    expect_eq(background_end(&receiving) + background_end(&receiving_second), 30);
    rill_rdma_message_give_back(&message);
    rill_rdma_message_give_back(&second);
    close_duo();
}
END_TEST

enum { LONG = 300000, LONG_LIMIT = 400000 }; /* above RILL_POOL_BLOCK_MAX */

START_TEST(a_message_for_which_there_is_no_memory_stays_where_it_is)
{
    if (!open_duo(_i))
        return;
    background_start(&sending, tag_send(LONG, 1));
    size_refused = LONG;
    for (int i = 0; i < 3; i++) {
        expect_eq(await(message_recv(&message, 1)), -ENOMEM);
        expect(message.data == NULL);
    }
    size_refused = 0;
    expect_eq(await(message_recv(&message, 1)), LONG);
    expect(pattern_is(message.data, 0, LONG));
    rill_rdma_message_give_back(&message);
    expect_eq(background_end(&sending), LONG);
    close_duo();
}
END_TEST

START_TEST(a_parcel_for_which_there_is_no_memory_stays_where_it_is)
{
    static struct rill_rdma_parcel parcel;
    static struct rill_rdma_transfer send;
    static char bytes[LONG];

    if (!linked_open(_i, NULL, NULL))
        return;
    pattern_fill(bytes, 0, LONG);
    background_start(&sending, rill_rdma_send(&linked.client, &send, bytes, LONG, 1));
    size_refused = LONG;
    for (int i = 0; i < 3; i++) {
        expect_eq(await(rill_rdma_parcel_recv(&linked.server, &parcel, 1, LONG_LIMIT)), -ENOMEM);
        expect(parcel.data == NULL);
    }
    size_refused = 0;
    expect_eq(await(rill_rdma_parcel_recv(&linked.server, &parcel, 1, LONG_LIMIT)), LONG);
    expect(pattern_is(parcel.data, 0, LONG));
    rill_rdma_parcel_give_back(&parcel);
    expect_eq(background_end(&sending), LONG);
    linked_close();
}
END_TEST

/* So that what waits there can be asked for by its tag, with room for it. */
START_TEST(a_parcel_that_is_left_tells_its_tag_and_its_size)
{
    static struct rill_rdma_parcel parcel;
    static struct rill_rdma_transfer send;
    static char bytes[100];

    if (!linked_open(_i, NULL, NULL))
        return;
    for (uint32_t tag = 7; tag < 9; tag++) {
        expect_eq(await(rill_rdma_send(&linked.client, &send, bytes, 100, tag)), 100);
        expect_eq(await(rill_rdma_parcel_recv(&linked.server, &parcel, RILL_RDMA_ANY_TAG, 99)),
                  -EMSGSIZE);
        expect_eq(parcel.tag, tag);
        expect_eq(parcel.length, 100);
        expect_eq(await(rill_rdma_parcel_recv(&linked.server, &parcel, tag, 100)), 100);
        expect_eq(parcel.tag, tag);
        rill_rdma_parcel_give_back(&parcel);
    }
    linked_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_message_of_any_size_is_received_whether_it_is_awaited_or_there, IN_TCP_AND_SHM},
        {a_message_above_the_limit_stays_where_it_is, IN_TCP},
        {a_cancelled_receive_leaves_the_message_to_the_next, IN_TCP_AND_SHM},
        {of_two_that_wait_for_a_message_one_gets_it, IN_TCP_AND_SHM},
        {a_message_for_which_there_is_no_memory_stays_where_it_is, IN_TCP_AND_SHM},
        {a_parcel_for_which_there_is_no_memory_stays_where_it_is, IN_TCP_AND_SHM},
        {a_parcel_that_is_left_tells_its_tag_and_its_size, IN_TCP_AND_SHM},
    };

    return duo_main("rdma message", cases, sizeof cases / sizeof *cases);
}
