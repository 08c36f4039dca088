/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_loss.c - what UCX drops for want of memory is not lost in silence. */
#include "rdma/loss.h"

#include "rdma/active_message.h"
#include "rdma/exchange.h"
#include "rdma/message.h"
#include "rdma/tag.h"
#include "tests/rdma/duo.h"
#include "tests/rdma/fake_ucx.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* Each message holds a segment of shared memory, and there are 512 of them before there have to be
 * more. */
enum { MESSAGES = 2000, SIZE = 200 };

static struct rill_rdma_hub left, right;
static struct rill_rdma_connection client, server;
static struct rill_rdma_transfer sent, received;
static struct rill_rdma_state_wait wait;
static struct rill_rdma_op send_op, recv_op;
static struct background connecting, sending, receiving;

/* ---- with UCX itself ---- */

/* Of the sanitizer, where the tests are built with it. */
extern void __lsan_disable(void) __attribute__((weak));

/* What UCX cannot destroy is no leak of ours. Returns whether that can be said. */
static bool let_workers_stay(void)
{
    if (getenv("TEST_UNDER_VALGRIND")) {
        puts("skipped: valgrind takes what UCX keeps for a leak");
        return false;
    }
    if (__lsan_disable)
        __lsan_disable();
    return true;
}

/* Shared memory is a file to the kernel, of four megabytes each time. From here on there can be no
 * such file. */
static void let_no_memory_be_shared(void)
{
    const struct rlimit limit = {1 << 20, 1 << 20};

    fixture.keeps_fds = true; /* those of a worker that UCX cannot destroy */
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static enum rill_poll send_all(struct rill_future *self, struct rill_task *task)
{
    static unsigned number;
    static unsigned char bytes[SIZE];

    (void)self;
    RILL_BEGIN();
    for (number = 0; number < MESSAGES; number++) {
        memcpy(bytes, &number, sizeof number);
        RILL_AWAIT(rill_rdma_send(&client, &sent, bytes, SIZE, 1));
        if (sent.result < 0)
            break;
    }
    RILL_END();
}

START_TEST(a_connection_ends_with_an_error_and_without_a_gap)
{
    const struct rill_rdma_connection_options any = {.window = UINT64_MAX};
    static struct rill_future all;
    struct rill_rdma_am stranger = {0};
    unsigned number, count = 0;
    char bytes[SIZE];
    size_t size;

    if (!let_workers_stay() || !duo_open_workers(_i, NULL))
        return;
    expect_eq(rill_rdma_hub_open(&left, &duo.left), 0);
    expect_eq(rill_rdma_hub_open(&right, &duo.right), 0);
    background_start(&connecting, rill_rdma_connect_worker(
                                      &client, &left, rill_rdma_address(&duo.right, &size), NULL));
    expect(await(rill_rdma_accept_worker(&right, &stranger)) > 0);
    expect_eq(rill_rdma_adopt_worker(&server, &right, &stranger, &any), 0);
    expect_eq(await(rill_rdma_wait_for_connection(&server, &wait)), 0);
    expect_eq(background_end(&connecting), 0);
    let_no_memory_be_shared();
    background_start(&sending, rill_future_init(&all, send_all));
    duo_turn_until(rill_task_is_over(&sending.task) || server.state == RILL_RDMA_FAILED);
    while (await(rill_rdma_recv(&server, &received, bytes, SIZE, 1)) == SIZE) {
        memcpy(&number, bytes, sizeof number);
        ck_assert_uint_eq(number, count++);
    }
    expect_eq(received.result, -ENOBUFS);
    expect_eq(server.error, -ENOBUFS);
    expect(duo.right.stats.losses > 0);
    background_end(&sending);
    expect_eq(await(rill_rdma_disconnect(&server)), -ENOBUFS);
    await(rill_rdma_disconnect(&client));
    left.dropped = right.dropped = 0;
    rill_rdma_hub_close(&left);
    rill_rdma_hub_close(&right);
    duo_close();
}
END_TEST

/* It waits for a message of another tag, which may have been among them. */
START_TEST(a_receive_of_the_worker_and_the_endpoints_fail)
{
    char bytes[SIZE] = {0};

    expect_eq(rill_ucx_library.set_global("LOG_LEVEL", "fatal"), UCS_OK); /* heard all the same */
    if (!let_workers_stay() || !duo_open(_i, NULL))
        return;
    let_no_memory_be_shared();
    background_start(&receiving,
                     rill_rdma_tag_recv(&duo.right, &recv_op, bytes, SIZE, 2, UINT64_MAX));
    for (int i = 0; i < MESSAGES && duo.to_left.state == RILL_RDMA_EP_OPEN; i++)
        if (await(rill_rdma_tag_send(&duo.to_right, &send_op, bytes, SIZE, 1)) < 0)
            break;
    duo_turn_until(rill_task_is_over(&receiving.task));
    expect_eq(background_end(&receiving), -ENOBUFS);
    expect_eq(duo.to_left.error, -ENOBUFS);
    duo_close();
}
END_TEST

/* ---- what UCX says ---- */

static struct rill_rdma rdma;
static struct rill_rdma_ep ep;

static const char of_pool[] = "Failed to allocate memory pool (name=%s) chunk: %s";

static void open_rdma(void)
{
    fake_reset();
    expect(fixture_open(SIMULATED, NULL, NULL));
    expect_eq(rill_rdma_open(&rdma,
                             &(struct rill_rdma_options){.ucx = &fake_ucx, .bare_endpoints = true}),
              0);
    expect_eq(rill_rdma_ep_open(&ep, &rdma, "address"), 0);
}

static void let_it_be_heard(void)
{
    rill_event_source_touch(&rdma.source);
    settle();
}

/* Returns whether the worker was left to the end of the process, and sees to it. */
static bool is_left_when_closed(void)
{
    bool is_left;

    await(rill_rdma_ep_abort(&ep));
    rill_rdma_close(&rdma);
    is_left = fake.workers == 1 && fake.contexts == 1;
    if (is_left) {
        fake_ucx.worker_destroy(rdma.worker);
        fake_ucx.cleanup(rdma.context);
    }
    expect_eq(fake.workers + fake.contexts, 0);
    fixture_close();
    return is_left;
}

static void *complain(void *unused)
{
    fake_log(UCS_LOG_LEVEL_ERROR, of_pool, "mm_recv_desc", "Out of memory");
    return unused;
}

START_TEST(other_complaints_are_none_of_a_loss)
{
    pthread_t thread;

    (void)_i;
    open_rdma();
    fake_log(UCS_LOG_LEVEL_ERROR, of_pool, "ucp_rkeys", "Out of memory");
    fake_log(UCS_LOG_LEVEL_ERROR, "Failed to allocate memory pool (name=rc_recv_desc) chunk");
    fake_log(UCS_LOG_LEVEL_ERROR, "%s: %m", "mm_recv_desc");
    fake_log(UCS_LOG_LEVEL_WARN, of_pool, "mm_recv_desc", "Out of memory");
    fake_log(UCS_LOG_LEVEL_WARN, "ucp recv descriptor is not allocated");
    ck_assert_int_eq(pthread_create(&thread, NULL, complain, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    let_it_be_heard();
    expect_eq(ep.state, RILL_RDMA_EP_OPEN);
    expect_eq(rdma.stats.losses, 0);
    expect(!is_left_when_closed());
}
END_TEST

static void expect_loss(const char *complaint)
{
    char byte;

    open_rdma();
    background_start(&sending, rill_rdma_tag_send(&ep, &send_op, "", 1, 1));
    background_start(&receiving, rill_rdma_tag_recv(&rdma, &recv_op, &byte, 1, 1, UINT64_MAX));
    settle();
    fake_log(UCS_LOG_LEVEL_ERROR, complaint, (void *)&rdma, 1);
    let_it_be_heard();
    expect_eq(ep.error, -ENOBUFS);
    expect_eq(background_end(&receiving), -ENOBUFS);
    expect_eq(background_end(&sending), -ENOBUFS);
    expect_eq(rdma.stats.losses, 1);
    let_it_be_heard();
    expect_eq(rdma.stats.losses, 1);
    expect(!is_left_when_closed());
}

START_TEST(a_message_for_which_there_is_no_memory_is_a_loss)
{
    (void)_i;
    expect_loss("ucp recv descriptor is not allocated");
    expect_loss("worker %p could not allocate descriptor for active message on callback : %u");
    expect_loss("worker %p could not allocate desc for assembling AM");
    expect_loss("worker %p could not allocate descriptor for active message RTS on callback %u");
    expect_loss("failed to allocate buffer for assembling UCP AM (id %u)");
}
END_TEST

/* It would be the end of the process. */
START_TEST(a_worker_without_a_segment_is_not_destroyed)
{
    (void)_i;
    open_rdma();
    complain(NULL);
    let_it_be_heard();
    expect_eq(ep.error, -ENOBUFS);
    expect(is_left_when_closed());
}
END_TEST

START_TEST(one_that_is_opened_anew_is_as_if_nothing_had_been)
{
    (void)_i;
    open_rdma();
    complain(NULL);
    expect(is_left_when_closed());
    open_rdma();
    let_it_be_heard();
    expect_eq(ep.state, RILL_RDMA_EP_OPEN);
    expect(!is_left_when_closed());
}
END_TEST

static struct rill_rdma_inbox inbox;
static struct rill_rdma_am message, second;

/* Whoever is next hears of it, once; the inbox is received from on. */
/* UCX has no receive of it that could be withdrawn. */
START_TEST(who_waits_for_a_message_of_any_size_is_told_once)
{
    struct rill_rdma_message any = {0};

    (void)_i;
    open_rdma();
    background_start(&receiving, rill_rdma_message_recv(&rdma, &any, 1, UINT64_MAX, 100));
    settle();
    complain(NULL);
    let_it_be_heard();
    expect_eq(background_end(&receiving), -ENOBUFS);
    background_start(&receiving, rill_rdma_message_recv(&rdma, &any, 1, UINT64_MAX, 100));
    let_it_be_heard();
    expect(!rill_task_is_over(&receiving.task));
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    expect(is_left_when_closed());
}
END_TEST

START_TEST(an_inbox_tells_of_a_loss_once)
{
    (void)_i;
    open_rdma();
    expect_eq(rill_rdma_inbox_open(&inbox, &rdma, 7), 0);
    background_start(&receiving, rill_rdma_am_recv(&inbox, &message));
    background_start(&sending, rill_rdma_am_recv(&inbox, &second));
    settle();
    complain(NULL);
    let_it_be_heard();
    expect_eq(background_end(&receiving), -ENOBUFS);
    expect(!rill_task_is_over(&sending.task));
    fake_bring(7, "h", 1, NULL, 0, -1, false, NULL);
    let_it_be_heard();
    expect_eq(background_end(&sending), 0);
    rill_rdma_am_release(&second);

    fake_bring(7, "h", 1, NULL, 0, -1, false, NULL);
    let_it_be_heard();
    complain(NULL);
    let_it_be_heard();
    expect_eq(await(rill_rdma_am_recv(&inbox, &message)), -ENOBUFS);
    expect_eq(await(rill_rdma_am_recv(&inbox, &message)), 0);
    rill_rdma_am_release(&message);
    rill_rdma_inbox_close(&inbox);
    expect(is_left_when_closed());
}
END_TEST

/* UCX then does not even make its errors up. */
START_TEST(one_that_is_to_print_no_errors_is_heard_and_prints_none)
{
    (void)_i;
    fake_reset();
    fake.log_level = UCS_LOG_LEVEL_FATAL;
    expect(fixture_open(SIMULATED, NULL, NULL));
    expect_eq(rill_rdma_open(&rdma,
                             &(struct rill_rdma_options){.ucx = &fake_ucx, .bare_endpoints = true}),
              0);
    expect_eq(rill_rdma_ep_open(&ep, &rdma, "address"), 0);
    expect(!fake_log(UCS_LOG_LEVEL_ERROR, "%s", "something else"));
    expect(!fake_log(UCS_LOG_LEVEL_ERROR, of_pool, "mm_recv_desc", "Out of memory"));
    expect(fake_log(UCS_LOG_LEVEL_FATAL, "%s", "the end"));
    let_it_be_heard();
    expect_eq(ep.error, -ENOBUFS);
    expect(is_left_when_closed());

    open_rdma(); /* as if its settings had it print warnings from here on */
    expect(fake_log(UCS_LOG_LEVEL_ERROR, "%s", "something else"));
    expect_eq(fake.log_level, UCS_LOG_LEVEL_WARN);
    expect(!is_left_when_closed());
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {a_connection_ends_with_an_error_and_without_a_gap, IN_SHM},
        {a_receive_of_the_worker_and_the_endpoints_fail, IN_SHM},
        {other_complaints_are_none_of_a_loss, IN_SHM},
        {a_message_for_which_there_is_no_memory_is_a_loss, IN_SHM},
        {a_worker_without_a_segment_is_not_destroyed, IN_SHM},
        {one_that_is_opened_anew_is_as_if_nothing_had_been, IN_SHM},
        {who_waits_for_a_message_of_any_size_is_told_once, IN_SHM},
        {an_inbox_tells_of_a_loss_once, IN_SHM},
        {one_that_is_to_print_no_errors_is_heard_and_prints_none, IN_SHM},
    };

    return duo_main("rdma_loss", cases, sizeof cases / sizeof *cases);
}
