/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_rpc.c - calls find their replies, over the real UCX. */
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "runtime/timeout.h"
#include "tests/rdma/duo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICE = 7, CALLS = 8, LARGEST = 4 << 20, REQUESTS = 4 };

/* Methods of the server below. */
enum { ECHO, FAIL, REFUSE, KEEP };

static const size_t sizes[] = {0, 1, 100, 7999, 8000, 8001, 64 << 10, LARGEST};
enum { SIZES = sizeof sizes / sizeof *sizes };

static struct rill_rdma_rpc callers, servers; /* of the left worker, of the right one */
static struct rill_rdma_rpc_client client;
static struct rill_rdma_rpc_call call;
static char *sent, *received;

/* ---- a server ---- */

struct serve {
    struct rill_future future;
    struct rill_rdma_rpc_request request;
    char *buffer;
    const void *data;
    int served;
};

static enum rill_poll serve_poll(struct rill_future *self, struct rill_task *task)
{
    struct serve *serve = rill_container_of(self, struct serve, future);

    RILL_BEGIN();
    for (;; serve->served++) {
        RILL_AWAIT(rill_rdma_rpc_recv(&servers, &serve->request));
        if (serve->request.result < 0)
            break;
        serve->data = serve->request.data;
        if (serve->request.method == ECHO && !serve->data) {
            RILL_AWAIT(rill_rdma_rpc_fetch(&serve->request, serve->buffer));
            serve->data = serve->buffer;
        }
        if (serve->request.method == ECHO)
            RILL_AWAIT(rill_rdma_rpc_reply(&serve->request, 0, serve->data, serve->request.size));
        else if (serve->request.method == FAIL)
            RILL_AWAIT(rill_rdma_rpc_reply(&serve->request, -ENOENT, "none", 4));
        else
            rill_rdma_rpc_refuse(&serve->request, -ENOSYS);
    }
    RILL_RETURN(serve->request.result);
    RILL_END();
}

static struct serve serve;
static struct background serving;

static bool open_rpc(int which)
{
    if (!duo_open(which, NULL))
        return false;
    sent = malloc(LARGEST);
    received = calloc(1, LARGEST);
    serve.buffer = malloc(LARGEST);
    pattern_fill(sent, 0, LARGEST);
    expect_eq(rill_rdma_rpc_open(&callers, &duo.left, SERVICE, 0), 0);
    expect_eq(rill_rdma_rpc_open(&servers, &duo.right, SERVICE, REQUESTS), 0);
    rill_rdma_rpc_client_init(&client, &callers, &duo.to_right, CALLS);
    return true;
}

static void start_server(void)
{
    background_start(&serving, rill_future_init(&serve.future, serve_poll));
}

static void stop_server(void)
{
    rill_task_cancel(&serving.task);
    expect_eq(background_end(&serving), -ECANCELED);
}

static void close_rpc(void)
{
    rill_rdma_rpc_client_finish(&client);
    expect_eq(callers.stats.malformed + servers.stats.malformed, 0);
    rill_rdma_rpc_close(&callers);
    rill_rdma_rpc_close(&servers);
    rill_rdma_rpc_close(&servers);
    duo_close();
    free(sent);
    free(received);
    free(serve.buffer);
}

static struct rill_future *echo(size_t size)
{
    return rill_rdma_rpc_call(&client, &call, ECHO, sent, size, received, LARGEST);
}

/* ---- calls ---- */

START_TEST(a_call_of_any_size_has_its_reply)
{
    if (!open_rpc(_i))
        return;
    start_server();
    for (size_t i = 0; i < SIZES; i++) {
        memset(received, 0, LARGEST);
        expect_eq(await(echo(sizes[i])), sizes[i]);
        expect(call.is_answered);
        expect_eq(call.reply_size, sizes[i]);
        expect(pattern_is(received, 0, sizes[i]));
    }
    stop_server();
    close_rpc();
}
END_TEST

START_TEST(a_status_of_the_server_is_the_result_and_its_data_are_there)
{
    if (!open_rpc(_i))
        return;
    start_server();
    expect_eq(await(rill_rdma_rpc_call(&client, &call, FAIL, NULL, 0, received, 10)), -ENOENT);
    expect(call.is_answered);
    expect_eq(call.reply_size, 4);
    expect_eq(memcmp(received, "none", 4), 0);
    expect_eq(await(rill_rdma_rpc_call(&client, &call, FAIL, NULL, 0, NULL, 0)), -ENOENT);
    expect_eq(await(rill_rdma_rpc_call(&client, &call, REFUSE, sent, LARGEST, NULL, 0)), -ENOSYS);
    expect(call.is_answered);
    expect_eq(call.reply_size, 0);
    stop_server();
    close_rpc();
}
END_TEST

START_TEST(a_reply_that_does_not_fit_tells_its_size_and_writes_nothing)
{
    if (!open_rpc(_i))
        return;
    start_server();
    for (size_t i = 1; i < SIZES; i++) {
        received[sizes[i] - 1] = 'x';
        expect_eq(
            await(rill_rdma_rpc_call(&client, &call, ECHO, sent, sizes[i], received, sizes[i] - 1)),
            -EMSGSIZE);
        expect(call.is_answered);
        expect_eq(call.reply_size, sizes[i]);
        expect_eq(received[sizes[i] - 1], 'x');
    }
    expect_eq(await(echo(10)), 10);
    stop_server();
    close_rpc();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_call_of_any_size_has_its_reply, IN_TCP_AND_SHM},
        {a_status_of_the_server_is_the_result_and_its_data_are_there, IN_TCP_AND_SHM},
        {a_reply_that_does_not_fit_tells_its_size_and_writes_nothing, IN_TCP_AND_SHM},
    };

    return duo_main("rdma rpc", cases, sizeof cases / sizeof *cases);
}
