/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_deaf.c - what waits for others on a worker that does not hear its own word ends, and
 * nothing does on one that hears it. */
#include "rdma/hearing.h"

#include "rdma/message.h"
#include "rdma/rpc_server.h"
#include "rdma/tag.h"
#include "tests/rdma/duo.h"
#include "tests/rdma/fake_ucx.h"

#include <errno.h>
#include <string.h>

static struct rill_rdma rdma;
static struct rill_rdma_op recv_op;
static struct rill_rdma_message sized;
static struct rill_rdma_inbox inbox;
static struct rill_rdma_am message;
static struct rill_rdma_rpc service;
static struct rill_rdma_rpc_request request;
static struct rill_rdma_listener listener;
static struct rill_rdma_accept accept_;
static struct rill_rdma_ep ep;
static struct background receiving, looking, taking, connecting, accepting;
static struct rill_address where;
static char buffer[64];
static uint64_t word;
static unsigned words;

static bool note_word(const struct fake_am *am)
{
    ck_assert_uint_eq(am->id, RILL_RDMA_HEARING_ID);
    ck_assert_uint_eq(am->header_size, sizeof word);
    memcpy(&word, am->header, sizeof word);
    words++;
    return true;
}

static int open_rdma(uint64_t features)
{
    return rill_rdma_open(&rdma, &(struct rill_rdma_options){.shared_memory = true,
                                                             .bare_endpoints = true,
                                                             .features = features,
                                                             .ucx = &fake_ucx});
}

static void open_fake(void)
{
    fake_reset();
    fake.transport_keys = "UCX_POSIX_ERROR_HANDLING=y\nUCX_POSIX_SEG_SIZE=8256\n";
    fake.on_am = note_word;
    words = 0;
    expect(fixture_open(SIMULATED, NULL, NULL));
}

static void close_fake(void)
{
    expect_eq(rdma.source.pending, 0);
    rill_rdma_close(&rdma);
    expect_eq(fake.contexts + fake.workers + fake.eps + fake.configs + fake.requests, 0);
    fixture_close();
}

static void begin_to_wait(void)
{
    expect_eq(rill_rdma_inbox_open(&inbox, &rdma, 1), 0);
    expect_eq(rill_rdma_rpc_open(&service, &rdma, 2, 8), 0);
    expect_eq(rill_rdma_listen(&listener, &rdma, &where), 0);
    background_start(&receiving,
                     rill_rdma_tag_recv(&rdma, &recv_op, buffer, sizeof buffer, 1, UINT64_MAX));
    background_start(&looking, rill_rdma_message_recv(&rdma, &sized, 2, UINT64_MAX, 100));
    background_start(&taking, rill_rdma_am_recv(&inbox, &message));
    background_start(&connecting, rill_rdma_rpc_recv(&service, &request));
    background_start(&accepting, rill_rdma_accept(&listener, &accept_));
    settle();
}

START_TEST(what_waits_for_others_ends_where_no_word_is_heard)
{
    (void)_i;
    open_fake();
    expect_eq(open_rdma(0), 0);
    begin_to_wait();
    rill_rdma_check_hearing(&rdma);
    rill_rdma_check_hearing(&rdma); /* as it is being found out */
    pass(RILL_RDMA_HEARING_NS * 9 / 10);
    expect_eq(words, 1);
    expect(!rdma.is_deaf && !rill_task_is_over(&taking.task));
    fake_bring(1, "before", 6, NULL, 0, -1, false, NULL);
    expect_eq(background_end(&taking), 0);
    rill_rdma_am_release(&message);
    fake_bring(1, "held", 4, NULL, 0, -1, false, NULL);
    pass(RILL_RDMA_HEARING_NS / 5);
    expect(rdma.is_deaf);
    expect_eq(background_end(&receiving), -ENOTRECOVERABLE);
    expect_eq(background_end(&looking), -ENOTRECOVERABLE);
    expect_eq(background_end(&connecting), -ENOTRECOVERABLE);
    expect_eq(background_end(&accepting), -ENOTRECOVERABLE);

    expect_eq(await(rill_rdma_am_recv(&inbox, &message)), 0);
    ck_assert_mem_eq(message.header, "held", 4);
    rill_rdma_am_release(&message);
    for (int i = 0; i < 2; i++) { /* and so it stays */
        expect_eq(await(rill_rdma_am_recv(&inbox, &message)), -ENOTRECOVERABLE);
        expect_eq(await(rill_rdma_tag_recv(&rdma, &recv_op, buffer, sizeof buffer, 1, UINT64_MAX)),
                  -ENOTRECOVERABLE);
        expect_eq(await(rill_rdma_message_recv(&rdma, &sized, 2, UINT64_MAX, 100)),
                  -ENOTRECOVERABLE);
        expect_eq(await(rill_rdma_rpc_recv(&service, &request)), -ENOTRECOVERABLE);
        expect_eq(await(rill_rdma_accept(&listener, &accept_)), -ENOTRECOVERABLE);
    }
    expect_eq(rill_rdma_ep_open(&ep, &rdma, "address"), -ENOTRECOVERABLE);
    rill_rdma_listener_close(&listener);
    expect_eq(rill_rdma_listen(&listener, &rdma, &where), -ENOTRECOVERABLE);
    rill_rdma_check_hearing(&rdma);
    expect_eq(words, 1);
    close_fake();
}
END_TEST

START_TEST(several_that_wait_in_a_line_all_end)
{
    static struct rill_rdma_am messages[3];
    static struct rill_rdma_accept accepts[3];
    static struct rill_rdma_rpc_request requests[3];
    static struct background waiters[9];

    (void)_i;
    open_fake();
    expect_eq(open_rdma(0), 0);
    expect_eq(rill_rdma_inbox_open(&inbox, &rdma, 1), 0);
    expect_eq(rill_rdma_rpc_open(&service, &rdma, 2, 8), 0);
    expect_eq(rill_rdma_listen(&listener, &rdma, &where), 0);
    for (int i = 0; i < 3; i++) {
        background_start(&waiters[3 * i], rill_rdma_am_recv(&inbox, &messages[i]));
        background_start(&waiters[3 * i + 1], rill_rdma_accept(&listener, &accepts[i]));
        background_start(&waiters[3 * i + 2], rill_rdma_rpc_recv(&service, &requests[i]));
    }
    settle();
    rill_rdma_check_hearing(&rdma);
    for (int i = 0; i < 9; i++)
        expect_eq(background_end(&waiters[i]), -ENOTRECOVERABLE);
    rill_rdma_listener_close(&listener);
    close_fake();
}
END_TEST

START_TEST(a_word_that_is_heard_in_time_is_enough_and_no_other_is)
{
    (void)_i;
    open_fake();
    expect_eq(open_rdma(0), 0);
    for (int i = 0; i < 2; i++) {
        uint64_t before = word, other;

        rill_rdma_check_hearing(&rdma);
        expect(word != before);
        other = word + 1;
        fake_bring(RILL_RDMA_HEARING_ID, &other, sizeof other, NULL, 0, -1, false, NULL);
        fake_bring(RILL_RDMA_HEARING_ID, &word, sizeof word - 1, NULL, 0, -1, false, NULL);
        pass(RILL_RDMA_HEARING_NS * 9 / 10);
        expect(rill_link_is_linked(&rdma.hearing.watcher.link));
        fake_bring(RILL_RDMA_HEARING_ID, &word, sizeof word, NULL, 0, -1, false, NULL);
        pass(RILL_RDMA_HEARING_NS / 20);
        expect(!rill_link_is_linked(&rdma.hearing.watcher.link));
        pass(2 * RILL_RDMA_HEARING_NS);
        expect(!rdma.is_deaf);
    }
    expect_eq(words, 2);
    close_fake();
}
END_TEST

/* As it was stopped, say: its second is over before it could have heard anything. */
START_TEST(a_thread_that_was_held_up_listens_first)
{
    unsigned before;

    (void)_i;
    open_fake();
    expect_eq(open_rdma(0), 0);
    before = fake.progressed;
    rill_rdma_check_hearing(&rdma);
    rdma.hearing.deadline_ns = 0;
    fixture_turn();
    expect(!rdma.is_deaf);
    while (!rdma.is_deaf)
        fixture_turn();
    ck_assert_uint_ge(fake.progressed - before, 1000);
    close_fake();
}
END_TEST

/* It cannot say anything: so nothing is known. */
START_TEST(a_speaker_that_has_failed_finds_nothing_out)
{
    (void)_i;
    open_fake();
    expect_eq(open_rdma(0), 0);
    fake.mode = FAKE_FAILS;
    fake.status = UCS_ERR_NO_MEMORY;
    rill_rdma_check_hearing(&rdma);
    expect_eq(rdma.source.pending, 0);
    fake.mode = FAKE_LATER;
    rill_rdma_check_hearing(&rdma);
    expect_eq(rdma.source.pending, 1);
    fake_fail_endpoint(0, UCS_ERR_ENDPOINT_TIMEOUT);
    pass(2 * RILL_RDMA_HEARING_NS);
    expect_eq(rdma.source.pending, 0);
    rill_rdma_check_hearing(&rdma);
    pass(2 * RILL_RDMA_HEARING_NS);
    expect(!rdma.is_deaf);
    close_fake();
}
END_TEST

START_TEST(it_is_closed_while_it_is_being_found_out)
{
    (void)_i;
    open_fake();
    expect_eq(open_rdma(0), 0);
    rill_rdma_check_hearing(&rdma);
    expect_eq(rdma.source.pending, 1);
    rill_rdma_close(&rdma);
    close_fake();
}
END_TEST

START_TEST(where_there_is_no_speaker_it_does_not_open)
{
    static const char *const failing[] = {"ep_create", "worker_set_am_recv_handler"};

    (void)_i;
    open_fake();
    fake.status = UCS_ERR_NO_MEMORY;
    for (int i = 0; i < 2; i++) {
        fake.failing = failing[i];
        expect_eq(open_rdma(0), -ENOMEM);
        ck_assert_msg(strstr(rdma.why.text, "UCX cannot make a second worker") != NULL, "%s",
                      rdma.why.text);
        expect_eq(fake.contexts + fake.workers + fake.eps + fake.configs + fake.requests, 0);
    }
    fake.failing = NULL;
    expect_eq(open_rdma(UCP_FEATURE_TAG), 0); /* which has no words */
    expect_eq(fake.workers, 1);
    rill_rdma_check_hearing(&rdma);
    expect_eq(rdma.source.pending, 0);
    close_fake();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {what_waits_for_others_ends_where_no_word_is_heard, IN_SHM},
        {several_that_wait_in_a_line_all_end, IN_SHM},
        {a_word_that_is_heard_in_time_is_enough_and_no_other_is, IN_SHM},
        {a_thread_that_was_held_up_listens_first, IN_SHM},
        {a_speaker_that_has_failed_finds_nothing_out, IN_SHM},
        {it_is_closed_while_it_is_being_found_out, IN_SHM},
        {where_there_is_no_speaker_it_does_not_open, IN_SHM},
    };

    return duo_main("rdma_deaf", cases, sizeof cases / sizeof *cases);
}
