/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_credit.c - a sender is stopped by what it may not send, and by nothing else: whoever
 * waits for credit is told of it. */
#include "rdma/credit.h"

#include "tests/limit.h"

#include <check.h>
#include <limits.h>
#include <stdlib.h>

enum { EAGER_SIZE = 44, COST_MAX = RILL_RDMA_MESSAGE_COST + EAGER_SIZE };

static struct rill_rdma_credit sender, receiver;

static void connect_with(uint64_t window)
{
    sender = (struct rill_rdma_credit){.peer_window = window};
    receiver = (struct rill_rdma_credit){.window = window};
}

/* Sends messages of that cost, at most so many, until it has to wait. Returns how many. */
static unsigned send_messages(uint64_t cost, unsigned max)
{
    unsigned count = 0;

    for (; count < max && rill_rdma_credit_allows(&sender, cost); count++)
        sender.sent += cost;
    return count;
}

/* The other side receives one of them, and says so where that is due. */
static void receive(uint64_t cost)
{
    receiver.received += cost;
    if (!rill_rdma_credit_is_owed(&receiver, EAGER_SIZE))
        return;
    receiver.told = receiver.received;
    ck_assert(rill_rdma_credit_acknowledge(&sender, receiver.told));
}

START_TEST(a_message_costs_its_bytes_and_no_more_than_are_sent_before_it_is_received)
{
    ck_assert_uint_eq(rill_rdma_cost(0, EAGER_SIZE), RILL_RDMA_MESSAGE_COST);
    ck_assert_uint_eq(rill_rdma_cost(EAGER_SIZE - 1, EAGER_SIZE), COST_MAX - 1);
    ck_assert_uint_eq(rill_rdma_cost(SIZE_MAX, EAGER_SIZE), COST_MAX);
}
END_TEST

START_TEST(as_much_is_on_its_way_as_the_window_holds_and_one_message_at_least)
{
    for (uint64_t window = 1; window <= 4 * COST_MAX; window++) {
        connect_with(window);
        ck_assert_uint_eq(send_messages(COST_MAX, UINT_MAX),
                          window < COST_MAX ? 1 : window / COST_MAX);
    }
}
END_TEST

/* A receiver that says too little, too late, stops both sides for ever. */
START_TEST(a_sender_that_waits_goes_on_when_all_was_received_whatever_the_window)
{
    for (uint64_t window = 1; window <= 4 * COST_MAX; window++) {
        for (unsigned max = 1; max <= 4; max++) {
            for (uint64_t size = 0; size <= EAGER_SIZE + 1; size += 9) {
                uint64_t cost = rill_rdma_cost(size, EAGER_SIZE);
                unsigned count;

                connect_with(window);
                count = send_messages(cost, max);
                while (count-- > 0)
                    receive(cost);
                ck_assert(rill_rdma_credit_allows(&sender, COST_MAX)); /* whatever comes next */
            }
        }
    }
}
END_TEST

START_TEST(the_other_side_is_told_when_half_a_window_has_gathered)
{
    connect_with(100 * COST_MAX);
    receiver.received = 50 * COST_MAX - 1;
    ck_assert(!rill_rdma_credit_is_owed(&receiver, EAGER_SIZE));
    receiver.received++;
    ck_assert(rill_rdma_credit_is_owed(&receiver, EAGER_SIZE));
}
END_TEST

START_TEST(without_a_window_nobody_waits_and_nobody_is_told)
{
    connect_with(0);
    for (int i = 0; i < 1000; i++) {
        ck_assert(rill_rdma_credit_allows(&sender, COST_MAX));
        sender.sent += COST_MAX;
        receive(COST_MAX);
    }
    ck_assert_uint_eq(receiver.told, 0);
}
END_TEST

START_TEST(an_older_acknowledgement_changes_nothing_and_one_of_what_was_not_sent_is_false)
{
    connect_with(1);
    sender.sent = 100;
    ck_assert(rill_rdma_credit_acknowledge(&sender, 100));
    ck_assert(rill_rdma_credit_acknowledge(&sender, 60));
    ck_assert_uint_eq(sender.acknowledged, 100);
    ck_assert(!rill_rdma_credit_acknowledge(&sender, 101));
    ck_assert_uint_eq(sender.acknowledged, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rdma credit");
    TCase *tcase = tcase_create("");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(tcase,
                   a_message_costs_its_bytes_and_no_more_than_are_sent_before_it_is_received);
    tcase_add_test(tcase, as_much_is_on_its_way_as_the_window_holds_and_one_message_at_least);
    tcase_add_test(tcase, a_sender_that_waits_goes_on_when_all_was_received_whatever_the_window);
    tcase_add_test(tcase, the_other_side_is_told_when_half_a_window_has_gathered);
    tcase_add_test(tcase, without_a_window_nobody_waits_and_nobody_is_told);
    tcase_add_test(tcase,
                   an_older_acknowledgement_changes_nothing_and_one_of_what_was_not_sent_is_false);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
