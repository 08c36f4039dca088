/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_steady.c - rdma in steady state allocates nothing, and UCX next to nothing.
 *
 * This program brings its own malloc. The sanitizers and valgrind bring theirs, and then
 * there is nothing to count. */
#include "rdma/message.h"
#include "rdma/pipeline.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "rdma/stream.h"
#include "rdma/tag.h"
#include "tests/rdma/linked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

/* After some thousand messages. UCX lets its pools for a device grow now and then. */
static void expect_none_since(unsigned long before)
{
    ck_assert_uint_le(calls - before, network()->is_verbs ? 10 : 0);
}

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
    expect_none_since(before);
    before = calls;
    for (int i = 0; i < 1000; i++)
        exchange(sizeof buffer);
    printf("3000 messages of 64 KiB: %lu calls of malloc\n", calls - before);
    duo_close();
}
END_TEST

static struct rill_rdma_rpc callers, servers;
static struct rill_rdma_rpc_client client;
static struct rill_rdma_rpc_call call;
static struct rill_rdma_rpc_request request;
static struct background calling;

static void call_once(size_t size)
{
    background_start(&calling, rill_rdma_rpc_call(&client, &call, 1, buffer, size, received, size));
    expect_eq(await(rill_rdma_rpc_recv(&servers, &request)), size);
    background_start(&sending, rill_rdma_rpc_reply(&request, 0, request.data, size));
    expect_eq(background_end(&calling), size);
    expect_eq(background_end(&sending), size);
}

static void call_in_vain(void)
{
    background_start(&calling, rill_rdma_rpc_call(&client, &call, 1, buffer, 64, received, 64));
    expect_eq(await(rill_rdma_rpc_recv(&servers, &request)), 64);
    rill_task_cancel(&calling.task);
    expect_eq(background_end(&calling), -ECANCELED);
    rill_rdma_rpc_refuse(&request, -EIO);
}

START_TEST(calls_need_no_malloc)
{
    unsigned long before;

    if (!duo_open(_i, NULL))
        return;
    expect_eq(rill_rdma_rpc_open(&callers, &duo.left, 1, 0), 0);
    expect_eq(rill_rdma_rpc_open(&servers, &duo.right, 1, 4), 0);
    rill_rdma_rpc_client_init(&client, &callers, &duo.to_right, 4);
    for (int i = 0; i < 300; i++) {
        call_once(64);
        call_in_vain();
    }
    before = calls;
    for (int i = 0; i < 1000; i++) {
        call_once(64);
        call_in_vain();
    }
    expect_none_since(before);
    rill_rdma_rpc_client_finish(&client);
    rill_rdma_rpc_close(&callers);
    rill_rdma_rpc_close(&servers);
    duo_close();
}
END_TEST

static struct rill_rdma_buffer_pool buffers;
static struct rill_rdma_buffer_take take;
static struct rill_rdma_pipeline pipeline;
static struct rill_rdma_pipeline_slot slots[4];
static struct rill_rdma_transfer transfer;

static void send_from_pool(size_t size)
{
    expect(await(rill_rdma_buffer_take(&buffers, &take, size)) > 0);
    memset(take.buffer->bytes, 1, size);
    expect_eq(await(rill_rdma_pipeline_send_buffer(&pipeline, take.buffer, size, 1)), 0);
    expect_eq(await(rill_rdma_recv(&linked.server, &transfer, received, size, 1)), size);
}

/* Heartbeats come when their time has come, and UCX allocates what it needs for the first. */
static void beat(struct rill_rdma_connection *from, const struct rill_rdma_connection *to)
{
    from->to_say |= 1u << RILL_RDMA_BEAT;
    rill_task_wake(&from->keeper);
    duo_turn_until(to->metrics.beats_received > 0);
}

START_TEST(a_pipeline_out_of_a_pool_needs_no_malloc)
{
    unsigned long before;

    if (!linked_open(_i, NULL, NULL))
        return;
    expect_eq(rill_rdma_buffer_pool_init(&buffers, &duo.left, NULL), 0);
    rill_rdma_pipeline_init(&pipeline, &linked.client, slots, 4, NULL);
    for (int i = 0; i < 300; i++)
        send_from_pool(64);
    beat(&linked.client, &linked.server);
    beat(&linked.server, &linked.client);
    before = calls;
    for (int i = 0; i < 1000; i++)
        send_from_pool(64);
    expect_none_since(before);
    expect_eq(await(rill_rdma_pipeline_drain(&pipeline)), 0);
    rill_rdma_buffer_pool_finish(&buffers);
    linked_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {short_messages_need_no_malloc, IN_TCP_AND_SHM},
        {a_pipeline_out_of_a_pool_needs_no_malloc, IN_TCP_AND_SHM},
        {calls_need_no_malloc, IN_TCP_AND_SHM},
    };

    return duo_main("rdma steady", cases, sizeof cases / sizeof *cases);
}
