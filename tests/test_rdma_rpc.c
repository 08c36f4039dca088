/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_rpc.c - calls find their replies, over the real UCX. */
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "runtime/timeout.h"
#include "tests/rdma/duo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SERVICE = 7, CALLS = 8, MANY = 100, LARGEST = 4 << 20, REQUESTS = 16 };

/* Methods of the server below. */
enum { ECHO, FAIL, REFUSE, KEEP };

static const size_t sizes[] = {0, 1, 100, 7999, 8000, 8001, 64 << 10, LARGEST};
enum { SIZES = sizeof sizes / sizeof *sizes };

static struct rill_rdma_rpc callers, servers; /* of the left worker, of the right one */
static struct rill_rdma_rpc_client client;
static struct rill_rdma_rpc_call call, calls[MANY];
static struct background calling, many[MANY];
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

START_TEST(many_calls_at_once_have_their_own_replies)
{
    static int64_t numbers[MANY], answers[MANY];

    if (!open_rpc(_i))
        return;
    start_server();
    for (int i = 0; i < MANY; i++) {
        numbers[i] = i * 1000;
        background_start(&many[i],
                         rill_rdma_rpc_call(&client, &calls[i], ECHO, &numbers[i],
                                            sizeof numbers[i], &answers[i], sizeof answers[i]));
    }
    for (int i = 0; i < MANY; i++) {
        expect_eq(background_end(&many[i]), sizeof numbers[i]);
        expect_eq(answers[i], i * 1000);
    }
    expect_eq(serve.served, MANY);
    stop_server();
    close_rpc();
}
END_TEST

START_TEST(a_server_may_call_as_well)
{
    static struct rill_rdma_rpc_client back;
    struct rill_rdma_rpc_request request = {0};

    if (!open_rpc(_i))
        return;
    rill_rdma_rpc_close(&callers);
    expect_eq(rill_rdma_rpc_open(&callers, &duo.left, SERVICE, 1), 0);
    rill_rdma_rpc_client_init(&back, &servers, &duo.to_left, 1);
    background_start(&calling, rill_rdma_rpc_call(&back, &call, KEEP, NULL, 0, received, 1));
    expect_eq(await(rill_rdma_rpc_recv(&callers, &request)), 0);
    expect_eq(await(rill_rdma_rpc_reply(&request, 0, "x", 1)), 1);
    expect_eq(background_end(&calling), 1);
    rill_rdma_rpc_client_finish(&back);
    close_rpc();
}
END_TEST

START_TEST(a_call_that_is_cancelled_at_any_moment_leaves_nothing_behind)
{
    static const size_t some[] = {100, 64 << 10, LARGEST};

    if (!open_rpc(_i))
        return;
    start_server();
    for (int i = 0; i < 120; i++) {
        int64_t result;

        memset(received, 0, some[i % 3]);
        background_start(&calling, echo(some[i % 3]));
        for (int turns = i / 3; turns > 0; turns--)
            fixture_turn();
        rill_task_cancel(&calling.task);
        result = background_end(&calling);
        expect(result == -ECANCELED || result == (int64_t)some[i % 3]);
        expect(result < 0 || pattern_is(received, 0, some[i % 3]));
        if (result < 0)
            memset(received, 'x', some[i % 3]);
        expect_eq(await(rill_rdma_rpc_call(&client, &calls[0], FAIL, NULL, 0, NULL, 0)), -ENOENT);
        if (result < 0) /* nobody writes into it any more */
            expect(received[0] == 'x' && received[some[i % 3] - 1] == 'x');
    }
    stop_server();
    close_rpc();
}
END_TEST

START_TEST(a_deadline_ends_a_call_that_nobody_takes_and_one_that_somebody_keeps)
{
    struct rill_rdma_rpc_request request = {0};
    struct rill_timeout limit;

    if (!open_rpc(_i))
        return;
    for (size_t i = 0; i < SIZES; i++) {
        expect_eq(await(rill_timeout(&limit, 5 * RILL_MILLISECOND, echo(sizes[i]))), -ETIMEDOUT);
        duo_turn_until(servers.stats.cancelled == i + 1); /* it may not even have come */
        expect_eq(servers.held_count, 0);
    }
    background_start(&calling, echo(LARGEST));
    expect_eq(await(rill_rdma_rpc_recv(&servers, &request)), LARGEST);
    rill_task_cancel(&calling.task);
    duo_turn_until(rill_rdma_rpc_is_cancelled(&request));
    expect(!rill_task_is_over(&calling.task)); /* its data are the server's to let go of */
    rill_rdma_rpc_refuse(&request, -EIO);
    expect_eq(background_end(&calling), -ECANCELED);
    close_rpc();
}
END_TEST

START_TEST(requests_beyond_the_limit_are_refused_however_long)
{
    if (!open_rpc(_i))
        return;
    rill_rdma_rpc_close(&servers);
    expect_eq(rill_rdma_rpc_open(&servers, &duo.right, SERVICE, 0), 0);
    for (size_t i = 0; i < SIZES; i++) {
        expect_eq(await(echo(sizes[i])), -EBUSY);
        expect(call.is_answered);
    }
    expect_eq(servers.stats.refused, SIZES);
    close_rpc();
}
END_TEST

START_TEST(an_endpoint_that_is_closed_ends_calls_and_requests)
{
    struct rill_rdma_rpc_request request = {0};
    struct background closing;

    for (size_t i = 0; i < SIZES; i++) {
        if (!open_rpc(_i))
            return;
        background_start(&calling, echo(sizes[i]));
        expect_eq(await(rill_rdma_rpc_recv(&servers, &request)), sizes[i]);
        background_start(&closing, rill_rdma_ep_abort(&duo.to_right));
        expect(background_end(&calling) < 0);
        expect_eq(call.result, -ESHUTDOWN);
        expect_eq(background_end(&closing), 0);
        rill_rdma_rpc_refuse(&request, -EIO);
        /* Who has not heard of the end yet answers, too late. */
        duo_turn_until(callers.stats.late == 1 || duo.to_left.error);
        close_rpc();
    }
}
END_TEST

START_TEST(a_number_out_of_range_is_EINVAL)
{
    struct rill_rdma_rpc rpc = {0};

    if (!open_rpc(_i))
        return;
    expect_eq(rill_rdma_rpc_open(&rpc, &duo.left, RILL_RDMA_AM_IDS, 1), -EINVAL);
    rill_rdma_rpc_close(&rpc);
    close_rpc();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_call_of_any_size_has_its_reply, IN_TCP_AND_SHM},
        {a_status_of_the_server_is_the_result_and_its_data_are_there, IN_TCP_AND_SHM},
        {a_reply_that_does_not_fit_tells_its_size_and_writes_nothing, IN_TCP_AND_SHM},
        {many_calls_at_once_have_their_own_replies, IN_TCP_AND_SHM},
        {a_server_may_call_as_well, IN_TCP_AND_SHM},
        {a_call_that_is_cancelled_at_any_moment_leaves_nothing_behind, IN_TCP_AND_SHM},
        {a_deadline_ends_a_call_that_nobody_takes_and_one_that_somebody_keeps, IN_TCP_AND_SHM},
        {requests_beyond_the_limit_are_refused_however_long, IN_TCP_AND_SHM},
        /* over verbs a connection ends on both sides, and no late reply comes */
        {an_endpoint_that_is_closed_ends_calls_and_requests, IN_TCP_AND_SHM | TCP_ITSELF},
        {a_number_out_of_range_is_EINVAL, IN_TCP},
    };

    return duo_main("rdma rpc", cases, sizeof cases / sizeof *cases);
}
