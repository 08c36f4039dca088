/* SPDX-License-Identifier: Apache-2.0 */
/* test_bridge.c - values cross from thread to thread once, in order, or not at all. */
#include "io/bridge.h"

#include "runtime/select.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

RILL_BRIDGE_OF(letters, char);

enum { PLACES = 2 };

static char places[PLACES];
static struct letters bridge;
static struct rill_bridge_op op, op_2, op_3;
static struct background first, second, third;

static bool open_bridge(void)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    letters_init(&bridge, places, PLACES);
    return true;
}

static void close_bridge(void)
{
    letters_finish(&bridge);
    fixture_close();
}

static int64_t send_letter(char letter)
{
    return await(letters_send(&bridge, &op, &letter));
}

/* Returns what is received, or 0 at the end, or -errno. */
static int64_t recv_letter(void)
{
    char letter = '?';
    int64_t result = await(letters_receive(&bridge, &op, &letter));

    return result == 1 ? letter : result;
}

static void expect_empty(void)
{
    char letter;

    ck_assert_int_eq(letters_receive_blocking(&bridge, &letter, RILL_NO_WAIT), -ETIMEDOUT);
}

START_TEST(what_is_sent_is_received_in_order)
{
    if (!open_bridge())
        return;
    for (int i = 0; i < 5; i++) {
        ck_assert_int_eq(send_letter('a'), 0);
        ck_assert_int_eq(send_letter('b'), 0);
        ck_assert_int_eq(recv_letter(), 'a');
        ck_assert_int_eq(send_letter('c'), 0);
        ck_assert_int_eq(recv_letter(), 'b');
        ck_assert_int_eq(recv_letter(), 'c');
    }
    ck_assert_ptr_null(fixture.runtime->reactor.remote); /* nobody had to wait */
    close_bridge();
}
END_TEST

START_TEST(a_receiver_that_waits_is_given_what_is_sent)
{
    char got = '?', sent = 'x';

    if (!open_bridge())
        return;
    background_start(&first, letters_receive(&bridge, &op, &got));
    fixture_turn();
    ck_assert_int_eq(letters_send_blocking(&bridge, &sent, RILL_NO_WAIT), 0);
    expect_empty(); /* it is the receiver's already */
    ck_assert_int_eq(background_end(&first), 1);
    ck_assert_int_eq(got, 'x');
    ck_assert_uint_le(first.polls, 2);
    close_bridge();
}
END_TEST

START_TEST(a_sender_waits_for_a_place_and_is_not_overtaken)
{
    char c = 'c', d = 'd', other = 'z';

    if (!open_bridge())
        return;
    send_letter('a');
    send_letter('b');
    background_start(&first, letters_send(&bridge, &op_2, &c));
    background_start(&second, letters_send(&bridge, &op_3, &d));
    settle();
    ck_assert(!rill_task_is_over(&first.task) && !rill_task_is_over(&second.task));
    ck_assert_int_eq(recv_letter(), 'a');
    ck_assert_int_eq(letters_send_blocking(&bridge, &other, RILL_NO_WAIT), -ETIMEDOUT);
    ck_assert_int_eq(background_end(&first), 0);
    ck_assert(!rill_task_is_over(&second.task));
    ck_assert_int_eq(recv_letter(), 'b');
    ck_assert_int_eq(background_end(&second), 0);
    ck_assert_int_eq(recv_letter(), 'c');
    ck_assert_int_eq(recv_letter(), 'd');
    expect_empty();
    close_bridge();
}
END_TEST

START_TEST(receivers_are_served_in_the_order_in_which_they_came)
{
    char got[3] = "???", letters[] = "abc";

    if (!open_bridge())
        return;
    background_start(&first, letters_receive(&bridge, &op, &got[0]));
    background_start(&second, letters_receive(&bridge, &op_2, &got[1]));
    background_start(&third, letters_receive(&bridge, &op_3, &got[2]));
    fixture_turn();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(letters_send_blocking(&bridge, &letters[i], RILL_NO_WAIT), 0);
    ck_assert_int_eq(background_end(&third), 1);
    ck_assert_int_eq(background_end(&second), 1);
    ck_assert_int_eq(background_end(&first), 1);
    ck_assert_int_eq(memcmp(got, "abc", 3), 0);
    close_bridge();
}
END_TEST

/* ---- handing over ---- */

static bool is_taken;

/* Polls the receive until another task does. */
static enum rill_poll give_poll(struct rill_future *self, struct rill_task *task)
{
    if (is_taken)
        return rill_future_end(self, 0);
    ck_assert_int_eq(op.future.poll(&op.future, task), RILL_PENDING);
    return RILL_PENDING;
}

START_TEST(a_receive_that_is_handed_to_another_task_wakes_that)
{
    char got = '?', sent = 'x';
    struct rill_future give;

    if (!open_bridge())
        return;
    letters_receive(&bridge, &op, &got);
    background_start(&first, rill_future_init(&give, give_poll));
    settle();
    background_start(&second, &op.future);
    settle();
    is_taken = true;
    rill_task_wake(&first.task);
    ck_assert_int_eq(background_end(&first), 0); /* it may end: it is not its receive any more */
    ck_assert_int_eq(letters_send_blocking(&bridge, &sent, RILL_NO_WAIT), 0);
    ck_assert_int_eq(background_end(&second), 1);
    ck_assert_int_eq(got, 'x');
    close_bridge();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(a_cancelled_receive_leaves_the_value_or_has_it)
{
    for (int turns = 0; turns < 4; turns++) {
        for (int send_first = 0; send_first < 2; send_first++) {
            char got = '?', sent = 'x';
            int64_t result;

            if (!open_bridge())
                return;
            background_start(&first, letters_receive(&bridge, &op_2, &got));
            for (int i = 0; i < turns; i++)
                fixture_turn();
            if (send_first)
                letters_send_blocking(&bridge, &sent, RILL_NO_WAIT);
            rill_task_cancel(&first.task);
            if (!send_first) {
                fixture_turn();
                letters_send_blocking(&bridge, &sent, RILL_NO_WAIT);
            }
            result = background_end(&first);
            if (turns > 0)
                ck_assert_int_eq(result, send_first ? 1 : -ECANCELED);
            if (result == 1)
                ck_assert_int_eq(got, 'x');
            else
                ck_assert_int_eq(recv_letter(), 'x');
            expect_empty();
            close_bridge();
        }
    }
}
END_TEST

START_TEST(a_cancelled_send_keeps_its_value_or_has_sent_it)
{
    for (int recv_first = 0; recv_first < 2; recv_first++) {
        char c = 'c';

        if (!open_bridge())
            return;
        send_letter('a');
        send_letter('b');
        background_start(&first, letters_send(&bridge, &op_2, &c));
        fixture_turn();
        if (recv_first)
            ck_assert_int_eq(recv_letter(), 'a');
        rill_task_cancel(&first.task);
        ck_assert_int_eq(background_end(&first), recv_first ? 0 : -ECANCELED);
        if (!recv_first)
            ck_assert_int_eq(recv_letter(), 'a');
        ck_assert_int_eq(recv_letter(), 'b');
        if (recv_first)
            ck_assert_int_eq(recv_letter(), 'c');
        expect_empty();
        close_bridge();
    }
}
END_TEST

START_TEST(one_that_is_cancelled_before_it_starts_moves_nothing)
{
    char got = '?';

    if (!open_bridge())
        return;
    send_letter('a');
    background_start(&first, letters_receive(&bridge, &op, &got));
    rill_task_cancel(&first.task);
    ck_assert_int_eq(background_end(&first), -ECANCELED);
    ck_assert_int_eq(recv_letter(), 'a');
    close_bridge();
}
END_TEST

START_TEST(one_that_would_wait_without_a_descriptor_for_the_bell_is_EMFILE_and_not_in_line)
{
    struct rlimit limit, none;
    int64_t result;

    if (getenv("TEST_UNDER_VALGRIND"))
        return; /* valgrind keeps RLIMIT_NOFILE for itself */
    if (!open_bridge())
        return;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    result = recv_letter();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(result, -EMFILE);
    ck_assert_int_eq(send_letter('a'), 0);
    ck_assert_int_eq(recv_letter(), 'a');
    close_bridge();
}
END_TEST

START_TEST(a_timeout_and_a_select_take_a_waiter_out_of_line)
{
    struct rill_timeout timeout;
    struct rill_select select;
    struct rill_sleep sleep;
    struct rill_future *choices[2];
    char got = '?';

    if (!open_bridge())
        return;
    ck_assert_int_eq(await(rill_timeout(&timeout, 1, letters_receive(&bridge, &op, &got))),
                     -ETIMEDOUT);
    choices[0] = letters_receive(&bridge, &op, &got);
    choices[1] = rill_sleep(&sleep, 1);
    ck_assert_int_eq(await(rill_select(&select, choices, 2)), 1);
    ck_assert_int_eq(op.result, -ECANCELED);
    send_letter('a');
    ck_assert_int_eq(got, '?');
    ck_assert_int_eq(recv_letter(), 'a');
    close_bridge();
}
END_TEST

/* ---- closing ---- */

START_TEST(a_closed_bridge_gives_what_is_in_it_and_then_the_end)
{
    char z = 'z';

    if (!open_bridge())
        return;
    send_letter('a');
    send_letter('b');
    letters_close(&bridge);
    letters_close(&bridge);
    ck_assert_int_eq(send_letter('c'), -EPIPE);
    ck_assert_int_eq(letters_send_blocking(&bridge, &z, RILL_NEVER), -EPIPE);
    ck_assert_int_eq(recv_letter(), 'a');
    ck_assert_int_eq(recv_letter(), 'b');
    ck_assert_int_eq(recv_letter(), 0);
    ck_assert_int_eq(letters_receive_blocking(&bridge, &z, RILL_NEVER), 0);
    close_bridge();
}
END_TEST

START_TEST(closing_ends_all_who_wait)
{
    char c = 'c', got = '?';

    if (!open_bridge())
        return;
    background_start(&first, letters_receive(&bridge, &op_2, &got));
    background_start(&second, letters_receive(&bridge, &op_3, &got));
    fixture_turn();
    letters_close(&bridge);
    ck_assert_int_eq(background_end(&first), 0);
    ck_assert_int_eq(background_end(&second), 0);
    letters_finish(&bridge);

    letters_init(&bridge, places, PLACES);
    send_letter('a');
    send_letter('b');
    background_start(&first, letters_send(&bridge, &op_2, &c));
    background_start(&second, letters_send(&bridge, &op_3, &c));
    fixture_turn();
    letters_close(&bridge);
    ck_assert_int_eq(background_end(&first), -EPIPE);
    ck_assert_int_eq(background_end(&second), -EPIPE);
    ck_assert_int_eq(recv_letter(), 'a');
    ck_assert_int_eq(recv_letter(), 'b');
    ck_assert_int_eq(recv_letter(), 0);
    close_bridge();
}
END_TEST

/* ---- threads without a runtime ---- */

static int thread_result;
static char thread_letter;

static void *recv_here(void *unused)
{
    (void)unused;
    thread_result = letters_receive_blocking(&bridge, &thread_letter, RILL_NEVER);
    return NULL;
}

static void *send_here(void *letter)
{
    thread_result = letters_send_blocking(&bridge, letter, 1000 * RILL_SECOND);
    return NULL;
}

static void until_waits(struct rill_link *list)
{
    bool waits = false;

    while (!waits) {
        pthread_mutex_lock(&bridge.bridge.lock);
        waits = !rill_list_is_empty(list);
        pthread_mutex_unlock(&bridge.bridge.lock);
    }
}

START_TEST(a_thread_waits_for_a_value_of_a_task)
{
    pthread_t thread;

    if (!open_bridge())
        return;
    thread = thread_start(recv_here, NULL);
    until_waits(&bridge.bridge.receivers);
    ck_assert_int_eq(send_letter('x'), 0);
    thread_join(thread);
    ck_assert_int_eq(thread_result, 1);
    ck_assert_int_eq(thread_letter, 'x');
    close_bridge();
}
END_TEST

START_TEST(a_thread_waits_for_a_place_that_a_task_makes)
{
    pthread_t thread;
    char c = 'c';

    if (!open_bridge())
        return;
    send_letter('a');
    send_letter('b');
    thread = thread_start(send_here, &c);
    until_waits(&bridge.bridge.senders);
    ck_assert_int_eq(recv_letter(), 'a');
    thread_join(thread);
    ck_assert_int_eq(thread_result, 0);
    ck_assert_int_eq(recv_letter(), 'b');
    ck_assert_int_eq(recv_letter(), 'c');
    close_bridge();
}
END_TEST

START_TEST(a_thread_that_waits_is_ended_by_closing)
{
    pthread_t thread;

    if (!open_bridge())
        return;
    thread = thread_start(recv_here, NULL);
    until_waits(&bridge.bridge.receivers);
    letters_close(&bridge);
    thread_join(thread);
    ck_assert_int_eq(thread_result, 0);
    close_bridge();
}
END_TEST

START_TEST(a_thread_that_waits_is_not_ended_by_pthread_cancel)
{
    pthread_t thread;

    if (!open_bridge())
        return;
    thread = thread_start(recv_here, NULL);
    until_waits(&bridge.bridge.receivers);
    pthread_cancel(thread);
    ck_assert_int_eq(send_letter('x'), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(thread_result, 1);
    ck_assert_int_eq(thread_letter, 'x');
    close_bridge();
}
END_TEST

START_TEST(a_thread_waits_no_longer_than_it_wants_and_leaves_no_trace)
{
    char letter = '?';

    if (!open_bridge())
        return;
    ck_assert_int_eq(letters_receive_blocking(&bridge, &letter, 1), -ETIMEDOUT);
    ck_assert_int_eq(letters_receive_blocking(&bridge, &letter, RILL_MILLISECOND), -ETIMEDOUT);
    ck_assert_int_eq(send_letter('a'), 0);
    ck_assert_int_eq(send_letter('b'), 0);
    ck_assert_int_eq(letters_send_blocking(&bridge, &letter, RILL_MILLISECOND), -ETIMEDOUT);
    ck_assert_int_eq(recv_letter(), 'a');
    ck_assert_int_eq(recv_letter(), 'b');
    expect_empty();
    close_bridge();
}
END_TEST

/* ---- mistakes ---- */

static enum rill_poll block_in_task(struct rill_future *self, struct rill_task *of)
{
    char letter;

    (void)self;
    (void)of;
    letters_receive_blocking(&bridge, &letter, RILL_NEVER);
    return RILL_READY;
}

static void block_within_a_task(void)
{
    struct rill_future future;

    await(rill_future_init(&future, block_in_task));
}

static void finish_awaited(void)
{
    letters_finish(&bridge);
}

static void bridge_without_places(void)
{
    struct rill_bridge none;

    rill_bridge_init(&none, NULL, 0, 1);
}

START_TEST(finishing_one_that_was_only_zeroed_does_nothing)
{
    static struct letters zeroed;

    letters_finish(&zeroed);
}
END_TEST

static struct letters never_begun;

static void send_into_one_that_is_not_begun(void)
{
    letters_send_blocking(&never_begun, "a", RILL_NO_WAIT);
}

static void close_one_that_is_not_begun(void)
{
    letters_close(&never_begun);
}

static void wait_twice_with_one_struct(void)
{
    static struct background waiting[2];
    static char got[2];

    for (int i = 0; i < 2; i++) {
        background_start(&waiting[i], letters_receive(&bridge, &op, &got[i]));
        fixture_turn();
    }
}

static void await_sent_again(void)
{
    (void)await(&op.future);
}

START_TEST(misuse_panics)
{
    const char value = 'a';
    char got;

    if (!open_bridge())
        return;
    fixture_expect_panic(wait_twice_with_one_struct,
                         "two that wait at a bridge use the same struct");
    fixture_expect_panic(block_within_a_task, "a task blocks its own thread at a bridge");
    fixture_expect_panic(bridge_without_places, "a bridge without a place for a message");
    fixture_expect_panic(send_into_one_that_is_not_begun, "a bridge is used without its ..._init");
    fixture_expect_panic(close_one_that_is_not_begun, "a bridge is used without its ..._init");
    ck_assert_int_eq(await(letters_send(&bridge, &op, &value)), 0);
    fixture_expect_panic(await_sent_again, "was awaited again after it had ended");
    ck_assert_int_eq(await(letters_receive(&bridge, &op, &got)), 1);
    fixture_expect_panic(await_sent_again, "was awaited again after it had ended");
    background_start(&first, letters_receive(&bridge, &op, &got));
    fixture_turn();
    fixture_expect_panic(finish_awaited, "a bridge was finished while somebody waits at it");
    letters_close(&bridge);
    background_end(&first);
    close_bridge();
}
END_TEST

/* ---- many runtimes and threads ----
 *
 * Everybody sends numbered messages to the others' bridges, and each receiver checks that
 * those of each sender come in order. At a bridge with one receiver, none may be missing. */
enum {
    RUNTIMES = 4,
    THREADS = 2,
    PARTIES = RUNTIMES + THREADS,
    ON_THE_WAY = 16,
};

struct message {
    uint32_t sender, number;
};

RILL_BRIDGE_OF(mailbox, struct message);

static struct party {
    struct mailbox mailbox;
    struct message places[ON_THE_WAY];
    unsigned next[PARTIES]; /* the number that comes next of each sender */
    unsigned received;
} parties[PARTIES];

static unsigned messages_each; /* of each sender to each receiver */

static void check_message(struct party *party, struct message message)
{
    expect(message.sender < PARTIES);
    expect_eq(message.number, party->next[message.sender]);
    party->next[message.sender]++;
    party->received++;
}

/* The last message closes nothing: a party knows how many it gets. */
static unsigned messages_expected(void)
{
    return PARTIES * messages_each;
}

struct sending {
    struct rill_task task;
    struct rill_bridge_op op;
    struct message message;
    struct party *to;
};

static enum rill_poll sending_poll(struct rill_future *self, struct rill_task *task)
{
    struct sending *sending = rill_container_of(self, struct sending, task.future);

    RILL_BEGIN();
    for (; sending->message.number < messages_each; sending->message.number++) {
        RILL_AWAIT(mailbox_send(&sending->to->mailbox, &sending->op, &sending->message));
        expect_eq(sending->op.result, 0);
    }
    RILL_END();
}

struct receiving {
    struct rill_task task;
    struct rill_bridge_op op;
    struct rill_timeout impatience;
    struct message message;
    struct party *party;
    unsigned cancelled;
};

/* Gives up again and again, so that cancels meet messages that arrive. */
static enum rill_poll receiving_poll(struct rill_future *self, struct rill_task *task)
{
    struct receiving *receiving = rill_container_of(self, struct receiving, task.future);

    RILL_BEGIN();
    while (receiving->party->received < messages_expected()) {
        RILL_AWAIT(rill_timeout(
            &receiving->impatience, 20 * RILL_MICROSECOND,
            mailbox_receive(&receiving->party->mailbox, &receiving->op, &receiving->message)));
        if (receiving->impatience.result == 1)
            check_message(receiving->party, receiving->message);
        else
            receiving->cancelled++;
    }
    RILL_END();
}

static void *runtime_main(void *argument)
{
    struct party *party = argument;
    uint32_t number = (uint32_t)(party - parties);
    struct sending sendings[PARTIES] = {0};
    struct receiving receiving = {.party = party};
    const struct rill_runtime_options options = {.kernel = fixture_kernel()};
    struct rill_runtime *runtime;

    expect_eq(rill_runtime_create(&runtime, &options), 0);
    for (uint32_t i = 0; i < PARTIES; i++) {
        sendings[i].message.sender = number;
        sendings[i].to = &parties[i];
        rill_task_spawn(&sendings[i].task, sending_poll);
    }
    rill_task_spawn(&receiving.task, receiving_poll);
    rill_runtime_shutdown(runtime, RILL_NEVER);
    rill_runtime_destroy(runtime);
    return NULL;
}

/* A thread sends to everybody in turn, and receives when there is no place. */
static void *thread_main(void *argument)
{
    struct party *party = argument;
    struct message got, message = {.sender = (uint32_t)(party - parties)};

    for (; message.number < messages_each; message.number++)
        for (int i = 0; i < PARTIES; i++)
            while (mailbox_send_blocking(&parties[i].mailbox, &message, 20 * RILL_MICROSECOND) != 0)
                while (mailbox_receive_blocking(&party->mailbox, &got, RILL_NO_WAIT) == 1)
                    check_message(party, got);
    while (party->received < messages_expected())
        if (mailbox_receive_blocking(&party->mailbox, &got, 20 * RILL_MICROSECOND) == 1)
            check_message(party, got);
    return NULL;
}

START_TEST(four_runtimes_and_two_threads_get_each_message_once_and_in_order)
{
    pthread_t threads[PARTIES];

    if (!fixture_open(REAL, NULL, NULL)) /* is there io_uring? */
        return;
    messages_each = threads_scaled(10000);
    for (int i = 0; i < PARTIES; i++)
        mailbox_init(&parties[i].mailbox, parties[i].places, ON_THE_WAY);
    for (int i = 0; i < PARTIES; i++)
        threads[i] = thread_start(i < RUNTIMES ? runtime_main : thread_main, &parties[i]);
    for (int i = 0; i < PARTIES; i++)
        thread_join(threads[i]);
    for (int i = 0; i < PARTIES; i++) {
        ck_assert_uint_eq(parties[i].received, messages_expected());
        for (int k = 0; k < PARTIES; k++)
            ck_assert_uint_eq(parties[i].next[k], messages_each);
        mailbox_finish(&parties[i].mailbox);
    }
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {what_is_sent_is_received_in_order, IN_REAL},
        {a_receiver_that_waits_is_given_what_is_sent, IN_REAL},
        {a_sender_waits_for_a_place_and_is_not_overtaken, IN_REAL},
        {receivers_are_served_in_the_order_in_which_they_came, IN_REAL},
        {a_receive_that_is_handed_to_another_task_wakes_that, IN_REAL},
        {a_cancelled_receive_leaves_the_value_or_has_it, IN_REAL},
        {a_cancelled_send_keeps_its_value_or_has_sent_it, IN_REAL},
        {one_that_is_cancelled_before_it_starts_moves_nothing, IN_REAL},
        {one_that_would_wait_without_a_descriptor_for_the_bell_is_EMFILE_and_not_in_line, IN_REAL},
        {a_timeout_and_a_select_take_a_waiter_out_of_line, IN_REAL},
        {a_closed_bridge_gives_what_is_in_it_and_then_the_end, IN_REAL},
        {closing_ends_all_who_wait, IN_REAL},
        {a_thread_waits_for_a_value_of_a_task, IN_REAL},
        {a_thread_waits_for_a_place_that_a_task_makes, IN_REAL},
        {a_thread_that_waits_is_ended_by_closing, IN_REAL},
        {a_thread_that_waits_is_not_ended_by_pthread_cancel, IN_REAL},
        {a_thread_waits_no_longer_than_it_wants_and_leaves_no_trace, IN_REAL},
        {finishing_one_that_was_only_zeroed_does_nothing, IN_REAL},
        {misuse_panics, IN_REAL},
        {four_runtimes_and_two_threads_get_each_message_once_and_in_order, IN_REAL},
    };

    return fixture_main("bridge", cases, sizeof cases / sizeof *cases);
}
