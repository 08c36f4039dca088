/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_rpc_random.c - callers and servers at both ends of a network that delays,
 * reorders, doubles and loses, and of an endpoint that may fail: a seed chooses. */
#include "runtime/sleep.h"
#include "runtime/timeout.h"
#include "tests/rdma/fake_rpc.h"

#include <errno.h>
#include <string.h>

enum { CALLERS = 12, CALLS = 5, SERVERS = 3, ROUNDS = 30, SIZE = 200, LONG = 100 };

/* Methods: how a server goes about it. */
enum { ECHO, SLOW, REFUSE, DROP_DATA, METHODS };

static uint64_t state;

static unsigned chance(unsigned count)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % count;
}

static int64_t some_time(void)
{
    return (int64_t)chance(20) * RILL_MILLISECOND;
}

/* ---- the network ---- */

static void choose(void)
{
    static const enum fake_mode modes[] = {FAKE_AT_ONCE, FAKE_SOON};

    fake.mode = modes[chance(2)];
    fake.delay = chance(5);
}

/* What is long stays with its sender until it is fetched or dropped. */
static bool on_am(const struct fake_am *am)
{
    bool is_long = am->request && am->size >= LONG;
    int ep = am->flags & UCP_AM_SEND_FLAG_REPLY ? 0 : -1;
    unsigned copies = is_long ? 1 : chance(20) ? 1 : chance(3);

    for (unsigned i = 0; i < copies; i++) {
        fake.delay = chance(5);
        fake_bring(am->id, am->header, am->header_size, am->data, am->size, ep, false,
                   is_long ? am->request : NULL);
    }
    choose();
    return is_long;
}

/* ---- servers ---- */

struct server {
    struct rill_future future;
    struct rill_rdma_rpc_request request;
    struct rill_rdma_rpc_work work;
    struct rill_sleep sleep;
    char data[SIZE];
};

static enum rill_poll server_poll(struct rill_future *self, struct rill_task *task)
{
    struct server *server = rill_container_of(self, struct server, future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_rdma_rpc_recv(&fake_rpc.rpc, &server->request));
        choose();
        if (server->request.result < 0)
            break;
        if (server->request.method == SLOW)
            RILL_AWAIT(rill_rdma_rpc_while_wanted(&server->request, &server->work,
                                                  rill_sleep(&server->sleep, some_time())));
        if (server->request.method == REFUSE) {
            rill_rdma_rpc_refuse(&server->request, -EPERM);
            continue;
        }
        if (server->request.method == DROP_DATA) {
            RILL_AWAIT(rill_rdma_rpc_reply(&server->request, 0, NULL, 0));
            continue;
        }
        RILL_AWAIT(rill_rdma_rpc_fetch(&server->request, server->data));
        if (server->request.result < 0)
            rill_rdma_rpc_refuse(&server->request, -EIO);
        else
            RILL_AWAIT(
                rill_rdma_rpc_reply(&server->request, 0, server->data, server->request.size));
    }
    RILL_RETURN(server->request.result);
    RILL_END();
}

/* ---- callers ---- */

struct caller {
    struct rill_future future;
    struct rill_rdma_rpc_call call;
    struct rill_timeout limit;
    struct rill_sleep sleep;
    uint64_t at;
    size_t size;
    uint32_t method;
    int rounds, good;
    char request[SIZE], reply[SIZE];
};

static struct rill_rdma_rpc_client client;

/* Every outcome must be one of those that there are reasons for. */
static void check(struct caller *caller)
{
    const struct rill_rdma_rpc_call *call = &caller->call;

    if (call->result >= 0) {
        expect(call->is_answered);
        expect_eq(call->result, caller->method == DROP_DATA ? 0 : caller->size);
        if (caller->method != DROP_DATA)
            expect(pattern_is(caller->reply, caller->at, caller->size));
        caller->good++;
    } else if (call->is_answered) {
        expect(call->result == -EBUSY || call->result == -ECANCELED || call->result == -EPERM);
        expect(call->result != -EPERM || caller->method == REFUSE);
    } else {
        expect(call->result == -ECANCELED || call->result == -ECONNRESET);
    }
    memset(caller->reply, 0x55, SIZE); /* nobody writes into it from now on */
}

static bool is_untouched(const struct caller *caller)
{
    for (int i = 0; i < SIZE; i++)
        if (caller->reply[i] != 0x55)
            return false;
    return true;
}

static enum rill_poll caller_poll(struct rill_future *self, struct rill_task *task)
{
    struct caller *caller = rill_container_of(self, struct caller, future);

    RILL_BEGIN();
    memset(caller->reply, 0x55, SIZE);
    for (caller->rounds = 0; caller->rounds < ROUNDS; caller->rounds++) {
        caller->size = chance(SIZE + 1);
        caller->at = chance(1000000);
        caller->method = chance(METHODS);
        pattern_fill(caller->request, caller->at, caller->size);
        choose();
        RILL_AWAIT(
            rill_timeout(&caller->limit, 1 + some_time(),
                         rill_rdma_rpc_call(&client, &caller->call, caller->method, caller->request,
                                            caller->size, caller->reply, SIZE)));
        check(caller);
        memset(caller->request, 0xaa, SIZE);
        RILL_AWAIT(rill_sleep(&caller->sleep, some_time()));
        expect(is_untouched(caller));
    }
    RILL_END();
}

/* ---- a run ---- */

static int run(uint64_t seed)
{
    static struct caller callers[CALLERS];
    static struct server servers[SERVERS];
    static struct background calling[CALLERS], serving[SERVERS];
    int good = 0;

    memset(callers, 0, sizeof callers);
    memset(servers, 0, sizeof servers);
    state = seed * 0x9e3779b97f4a7c15u;
    fake_rpc_open();
    fixture.seed = seed;
    fixture.seeded = true;
    fake.on_am = on_am;
    choose();
    rill_rdma_rpc_client_init(&client, &fake_rpc.rpc, &fake_rpc.ep, CALLS);
    for (int i = 0; i < SERVERS; i++)
        background_start(&serving[i], rill_future_init(&servers[i].future, server_poll));
    for (int i = 0; i < CALLERS; i++)
        background_start(&calling[i], rill_future_init(&callers[i].future, caller_poll));
    fixture_disturb(1000000);
    if (chance(2)) {
        struct rill_sleep sleep;

        await(rill_sleep(&sleep, 10 * some_time()));
        if (chance(2))
            rill_task_cancel(&calling[chance(CALLERS)].task);
        if (chance(2))
            fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    }
    for (int i = 0; i < CALLERS; i++) {
        background_end(&calling[i]);
        good += callers[i].good;
    }
    for (int i = 0; i < SERVERS; i++) {
        rill_task_cancel(&serving[i].task);
        expect_eq(background_end(&serving[i]), -ECANCELED);
    }
    fake.on_am = NULL;
    settle();
    rill_rdma_rpc_client_finish(&client);
    fake_rpc_close();
    return good;
}

START_TEST(whatever_is_delayed_doubled_lost_or_cancelled_every_call_ends_well)
{
    uint64_t first, count;
    int good = 0;

    fixture_seeds(1000, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        good += run(seed);
    expect(good > 0);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {whatever_is_delayed_doubled_lost_or_cancelled_every_call_ends_well, IN_SIMULATED},
    };

    return fixture_main("rdma rpc random", cases, sizeof cases / sizeof *cases);
}
