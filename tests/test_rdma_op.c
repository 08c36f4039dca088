/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_op.c - operations over a UCX that answers late, in any order, within the call, wrongly,
 * or never. */
#include "rdma/op.h"

#include "rdma/tag.h"
#include "runtime/select.h"
#include "runtime/timeout.h"
#include "tests/rdma/lone.h"

#include <errno.h>
#include <string.h>

/* ---- how an operation ends ---- */

START_TEST(an_operation_that_is_over_at_once_takes_one_poll)
{
    lone_open();
    fake.mode = FAKE_AT_ONCE;
    background_start(&lone.sending, lone_send());
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    expect_eq(lone.sending.polls, 1);
    background_start(&lone.receiving, lone_recv()); /* its callback runs within the post */
    expect_eq(background_end(&lone.receiving), LONE_SIZE);
    expect_eq(lone.receiving.polls, 1);
    expect(pattern_is(lone.received, 0, LONE_SIZE));
    expect_eq(lone.recv_op.tag, 7);
    expect_eq(lone.rdma.stats.posts, 2);
    expect_eq(lone.rdma.stats.posts_inline, 2);
    lone_close();
}
END_TEST

START_TEST(an_operation_that_is_over_later_takes_two_polls)
{
    lone_open();
    background_start(&lone.sending, lone_send());
    background_start(&lone.receiving, lone_recv());
    settle();
    expect_eq(lone.rdma.ops_in_flight, 2);
    expect_eq(lone.rdma.source.pending, 2);
    fake_complete(fake_request(1), UCS_OK, 10);
    expect_eq(background_end(&lone.receiving), 10);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    expect_eq(lone.sending.polls, 2);
    expect_eq(lone.receiving.polls, 2);
    lone_close();
}
END_TEST

START_TEST(a_call_or_a_callback_that_fails_is_the_errno_of_its_status)
{
    lone_open();
    fake.mode = FAKE_FAILS;
    fake.status = UCS_ERR_NO_MEMORY;
    expect_eq(await(lone_send()), -ENOMEM);
    expect_eq(await(lone_recv()), -ENOMEM);
    fake.mode = FAKE_LATER;
    background_start(&lone.sending, lone_send());
    background_start(&lone.receiving, lone_recv());
    settle();
    fake_complete(fake_request(0), UCS_ERR_ENDPOINT_TIMEOUT, 0);
    fake_complete(fake_request(1), UCS_ERR_MESSAGE_TRUNCATED, 1000);
    expect_eq(background_end(&lone.sending), -ETIMEDOUT);
    expect_eq(background_end(&lone.receiving), -EMSGSIZE);
    expect_eq(lone.recv_op.length, 1000);
    lone_close();
}
END_TEST

START_TEST(operations_end_in_whatever_order_they_are_answered)
{
    enum { MANY = 100 };
    static struct rill_rdma_op ops[MANY];
    static struct background tasks[MANY];
    static char buffers[MANY][LONE_SIZE];

    for (uint64_t seed = 1; seed <= 20; seed++) {
        bool is_answered[MANY] = {false};
        uint64_t state = seed;

        lone_open();
        for (int i = 0; i < MANY; i++)
            background_start(
                &tasks[i],
                i % 2 ? rill_rdma_tag_send(&lone.ep, &ops[i], buffers[i], (size_t)i % LONE_SIZE, 1)
                      : rill_rdma_tag_recv(&lone.rdma, &ops[i], buffers[i], LONE_SIZE, 1, 0));
        settle();
        for (int left = MANY; left > 0;) {
            unsigned number;

            state = state * 6364136223846793005u + 1442695040888963407u;
            number = (unsigned)(state >> 33) % MANY;
            if (is_answered[number])
                continue;
            is_answered[number] = true;
            left--;
            fake_complete(fake_request(number), UCS_OK, number % LONE_SIZE);
            if (state >> 60 < 8)
                settle();
        }
        for (int i = 0; i < MANY; i++) {
            expect_eq(background_end(&tasks[i]), i % LONE_SIZE);
            expect(i % 2 || pattern_is(buffers[i], 0, (size_t)i % LONE_SIZE));
        }
        lone_close();
    }
}
END_TEST

/* Its descriptor was armed before there was anything to tell, and may stay silent. */
START_TEST(an_operation_that_is_posted_while_UCX_sleeps_is_looked_at_without_an_event)
{
    unsigned calls;

    lone_open();
    settle();
    expect(lone.rdma.source.asleep);
    calls = fake.progressed;
    background_start(&lone.sending, lone_send());
    settle();
    ck_assert_uint_gt(fake.progressed, calls);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    lone_close();
}
END_TEST

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task);

struct greedy {
    struct rill_future future;
    int rounds;
};

static enum rill_poll greedy_poll(struct rill_future *self, struct rill_task *task)
{
    struct greedy *greedy = rill_container_of(self, struct greedy, future);

    RILL_BEGIN();
    for (greedy->rounds = 0; greedy->rounds < 1000; greedy->rounds++)
        RILL_AWAIT(lone_send());
    RILL_END();
}

START_TEST(a_task_whose_operations_are_always_over_at_once_lets_others_run)
{
    static struct greedy greedy;

    lone_open();
    fake.mode = FAKE_AT_ONCE;
    background_start(&lone.sending, rill_future_init(&greedy.future, greedy_poll));
    expect_eq(background_end(&lone.sending), 0);
    expect_eq(greedy.rounds, 1000);
    ck_assert_uint_ge(lone.sending.polls, 1000 / (RILL_TASK_BUDGET + 1));
    expect_eq(fake.posted, 0);
    expect_eq(lone.rdma.stats.posts, 1000); /* none is posted twice */
    lone_close();
}
END_TEST

/* ---- receives that linger ---- */

static const struct rill_runtime_options spinning = {.wait_policy = RILL_WAIT_SPIN};

struct asker {
    struct rill_future future;
    unsigned polls;
    int64_t answer;
};

/* Receives once, and then waits for something that does not come. */
static enum rill_poll asker_poll(struct rill_future *self, struct rill_task *task)
{
    struct asker *asker = rill_container_of(self, struct asker, future);

    asker->polls++;
    RILL_BEGIN();
    RILL_AWAIT(lone_recv());
    asker->answer = lone.recv_op.result;
    fake.mode = FAKE_LATER;
    RILL_AWAIT(lone_send());
    RILL_END();
}

static struct asker asker;

/* Whose answer comes after so many calls of progress. */
static void ask(unsigned delay)
{
    lone_open_with(&spinning);
    fake.mode = FAKE_SOON;
    fake.delay = delay;
    asker = (struct asker){.answer = -1};
    background_start(&lone.receiving, rill_future_init(&asker.future, asker_poll));
    while (lone.rdma.stats.posts < 2)
        fixture_turn();
    for (int i = 0; i < 5; i++)
        fixture_turn();
    expect_eq(asker.answer, LONE_SIZE);
    expect(pattern_is(lone.received, 0, LONE_SIZE));
    fake_complete(fake_request(1), UCS_OK, 0);
    background_end(&lone.receiving);
    lone_close();
}

START_TEST(a_receive_whose_message_comes_soon_takes_one_poll_and_wakes_nobody)
{
    ask(RILL_LINGERING_MAX / 2);
    expect_eq(asker.polls, 2); /* with that of the end of the send */
    ask(RILL_LINGERING_MAX * 2);
    expect_eq(asker.polls, 3);
}
END_TEST

static enum rill_poll unanswered_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    fake.mode = FAKE_LATER;
    RILL_AWAIT(lone_recv());
    RILL_END();
}

/* It waits for two, and the other comes. */
START_TEST(a_receive_lingers_no_longer_than_until_its_task_is_woken)
{
    static struct rill_future unanswered, *both[2];
    static struct rill_select select;
    unsigned calls;

    lone_open_with(&spinning);
    fake.mode = FAKE_SOON;
    fake.delay = RILL_LINGERING_MAX / 2;
    calls = fake.progressed;
    rill_future_init(&unanswered, unanswered_poll);
    expect_eq(await(rill_select(&select, RILL_FUTURES(both, lone_send(), &unanswered))), 0);
    expect_eq(lone.recv_op.result, -ECANCELED);
    ck_assert_uint_lt(fake.progressed - calls, RILL_LINGERING_MAX / 2 + 10);
    lone_close();
}
END_TEST

START_TEST(a_receive_that_lingers_ends_with_its_endpoint)
{
    lone_open_with(&spinning);
    fake.delay = RILL_LINGERING_MAX / 2;
    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
    expect_eq(await(lone_recv_from()), -ECONNRESET);
    lone_close();
}
END_TEST

/* ---- spurious polls, and tasks that hand over ---- */

START_TEST(a_spurious_poll_posts_nothing_twice)
{
    lone_open();
    background_start(&lone.sending, lone_send());
    for (int i = 0; i < 10; i++) {
        fixture_turn();
        rill_task_wake(&lone.sending.task);
    }
    expect_eq(fake.posted, 1);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    lone_close();
}
END_TEST

struct relay {
    struct rill_task task;
    struct rill_future *future;
    bool is_last;
};

/* Polls once and ends, or polls until it is ready. */
static enum rill_poll relay_poll(struct rill_future *self, struct rill_task *task)
{
    struct relay *relay = rill_container_of(self, struct relay, task.future);
    enum rill_poll poll;

    if (!relay->future)
        return RILL_READY;
    poll = relay->future->poll(relay->future, task);
    if (poll == RILL_PENDING && relay->is_last)
        return RILL_PENDING;
    self->result = poll == RILL_PENDING ? -EAGAIN : relay->future->result;
    return RILL_READY;
}

START_TEST(an_operation_wakes_the_task_that_polled_it_last)
{
    static struct relay first, second;

    lone_open();
    second.is_last = true;
    second.future = first.future = lone_recv();
    rill_task_spawn(&second.task, relay_poll);
    fixture_turn();
    second.is_last = false;
    first.is_last = true;
    rill_task_spawn(&first.task, relay_poll);
    fixture_turn();
    expect_eq(second.task.ops, 0);
    expect_eq(first.task.ops, 1);
    rill_task_wake(&second.task); /* takes it back, and ends: */
    second.is_last = true;
    fixture_turn();
    expect_eq(second.task.ops, 1);
    fake_complete(fake_request(0), UCS_OK, 3);
    settle();
    expect(rill_task_is_over(&second.task));
    expect_eq(second.task.future.result, 3);
    first.future = NULL;
    rill_task_wake(&first.task);
    settle();
    lone_close();
}
END_TEST

/* ---- cancelling ---- */

START_TEST(a_cancelled_receive_ends_within_the_cancel)
{
    lone_open();
    background_start(&lone.receiving, lone_recv());
    settle();
    rill_task_cancel(&lone.receiving.task);
    fixture_turn();
    expect(rill_task_is_over(&lone.receiving.task));
    expect_eq(background_end(&lone.receiving), -ECANCELED);
    expect_eq(fake.cancelled, 1);
    lone_close();
}
END_TEST

START_TEST(a_cancelled_receive_that_was_matched_gives_its_message)
{
    lone_open();
    fake.cancel_is_late = true;
    background_start(&lone.receiving, lone_recv());
    settle();
    rill_task_cancel(&lone.receiving.task);
    settle();
    expect(!rill_task_is_over(&lone.receiving.task));
    rill_task_cancel(&lone.receiving.task); /* asks no second time */
    settle();
    expect_eq(fake.cancelled, 1);
    fake_complete(fake_request(0), UCS_OK, LONE_SIZE);
    expect_eq(background_end(&lone.receiving), LONE_SIZE);
    expect(pattern_is(lone.received, 0, LONE_SIZE));
    lone_close();
}
END_TEST

START_TEST(a_receive_that_is_answered_and_cancelled_at_once_gives_its_message)
{
    for (int order = 0; order < 2; order++) {
        lone_open();
        background_start(&lone.receiving, lone_recv());
        settle();
        fake_complete(fake_request(0), UCS_OK, LONE_SIZE);
        for (int i = 0; i < 3 && order == 0; i++) /* the callback is called */
            rill_executor_wait(&fixture.runtime->executor, RILL_NO_WAIT);
        rill_task_cancel(&lone.receiving.task);
        expect_eq(background_end(&lone.receiving), order == 0 ? LONE_SIZE : -ECANCELED);
        lone_close();
    }
}
END_TEST

START_TEST(a_cancelled_send_waits_until_UCX_lets_go)
{
    lone_open();
    background_start(&lone.sending, lone_send());
    settle();
    rill_task_cancel(&lone.sending.task);
    settle();
    expect(!rill_task_is_over(&lone.sending.task));
    expect_eq(fake.cancelled, 0);
    fake_complete(fake_request(0), UCS_OK, 0);
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    lone_close();
}
END_TEST

START_TEST(a_timeout_ends_a_receive_and_is_late_for_a_send)
{
    struct rill_timeout timeout;

    lone_open();
    expect_eq(await(rill_timeout(&timeout, RILL_SECOND, lone_recv())), -ETIMEDOUT);
    background_start(&lone.sending, rill_timeout(&timeout, RILL_SECOND, lone_send()));
    settle();
    settle();
    expect(!rill_task_is_over(&lone.sending.task));
    fake_complete(fake_request(1), UCS_OK, 0);
    expect_eq(background_end(&lone.sending), LONE_SIZE);
    lone_close();
}
END_TEST

/* UCX does not count all that it does. */
START_TEST(a_task_that_progress_has_woken_without_counting_it_goes_on_at_once)
{
    for (int is_late = 0; is_late < 2; is_late++) {
        int64_t began_ns;

        lone_open();
        fake.progress_counts_nothing = true;
        background_start(&lone.sending, rill_rdma_tag_send(&lone.ep, &lone.send_op, "hello", 5, 1));
        if (is_late)
            settle();
        else
            fixture_turn();
        began_ns = sim_now(fixture.sim);
        fake_complete(fake_request(0), UCS_OK, 5);
        expect_eq(background_end(&lone.sending), 5);
        ck_assert_int_le(sim_now(fixture.sim) - began_ns, RILL_MILLISECOND);
        lone_close();
    }
}
END_TEST

/* ---- everything at once ---- */

static uint64_t randoms;

static unsigned choose(unsigned bound)
{
    randoms = randoms * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(randoms >> 33) % bound;
}

enum { TASKS = 12, ROUNDS = 300 };

/* Posts, answers, cancels, fails and closes in any order; then everything has to end, and
 * nothing may be left or touched. */
START_TEST(whatever_happens_in_whatever_order_everything_ends)
{
    static struct rill_rdma_op ops[TASKS];
    static struct background tasks[TASKS];
    static char buffers[TASKS][LONE_SIZE];
    uint64_t seed, count;

    fixture_seeds(300, &seed, &count);
    for (; count > 0; seed++, count--) {
        bool is_closing = false;

        fixture.seed = seed;
        fixture.seeded = true;
        randoms = seed;
        memset(tasks, 0, sizeof tasks);
        memset(ops, 0, sizeof ops);
        lone_open();
        fake.force_is_mute = choose(8) == 0;
        fake.close_is_mute = choose(8) == 0;
        fake.flush_is_mute = choose(8) == 0;
        for (int round = 0; round < ROUNDS; round++) {
            unsigned i = choose(TASKS);
            bool is_idle = !tasks[i].future || rill_task_is_over(&tasks[i].task);

            fixture.step = round;
            fake.mode = (enum fake_mode)(choose(4) ? FAKE_LATER : choose(3));
            fake.status = UCS_ERR_NO_RESOURCE;
            fake.cancel_is_late = choose(3) == 0;
            switch (choose(is_closing ? 5 : 60)) {
            case 0:
            case 1:
            case 2:
                if (!is_idle)
                    rill_task_cancel(&tasks[i].task);
                break;
            case 3:
                if (!is_idle && fake_in_flight() > 0 && ops[i].request)
                    fake_complete(ops[i].request, choose(5) ? UCS_OK : UCS_ERR_IO_ERROR,
                                  choose(LONE_SIZE));
                break;
            case 4:
                fake.arm_is_busy = choose(10) == 0;
                fixture_turn();
                break;
            case 5:
                if (choose(20) == 0)
                    fake_fail_endpoint(0, UCS_ERR_CONNECTION_RESET);
                break;
            case 6:
                if (choose(20) == 0) {
                    background_start(&lone.closing, choose(2) ? rill_rdma_ep_close(&lone.ep)
                                                              : rill_rdma_ep_abort(&lone.ep));
                    is_closing = true;
                }
                break;
            default:
                if (is_idle && choose(2))
                    background_start(
                        &tasks[i],
                        choose(2) ? rill_rdma_tag_send(&lone.ep, &ops[i], buffers[i], LONE_SIZE, 1)
                                  : rill_rdma_tag_recv_from(&lone.ep, &ops[i], buffers[i],
                                                            LONE_SIZE, 1, 0));
                else if (choose(3) == 0)
                    fixture_turn();
                break;
            }
        }
        fake.arm_is_busy = false;
        if (!is_closing)
            background_start(&lone.closing, rill_rdma_ep_close(&lone.ep));
        rill_task_cancel(&lone.closing.task);
        background_end(&lone.closing);
        for (int i = 0; i < TASKS; i++)
            if (tasks[i].future)
                background_end(&tasks[i]);
        lone_close_rest();
    }
    fixture.seeded = false;
}
END_TEST

/* ---- bad use ---- */

static void use_twice(void)
{
    lone_open();
    background_start(&lone.sending, lone_send());
    settle();
    lone_send();
}

static void await_what_is_over(void)
{
    lone_open();
    fake.mode = FAKE_AT_ONCE;
    await(lone_send());
    await(&lone.send_op.future);
}

static void use_an_endpoint_that_was_never_open(void)
{
    struct rill_rdma_ep never = {.rdma = &lone.rdma};

    lone_open();
    await(rill_rdma_tag_send(&never, &lone.send_op, lone.sent, LONE_SIZE, 1));
}

static enum rill_poll leaver_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_future *future = lone_send();

    (void)self;
    future->poll(future, task);
    return RILL_READY;
}

static void leave_it_in_flight(void)
{
    static struct rill_task task;

    lone_open();
    rill_task_spawn(&task, leaver_poll);
    settle();
}

START_TEST(bad_use_is_a_panic)
{
    fixture_expect_panic(use_twice, "(send a tagged message) is used while it is in flight");
    fixture_expect_panic(await_what_is_over, "was awaited that is over or was never prepared");
    fixture_expect_panic(use_an_endpoint_that_was_never_open, "its endpoint is not open");
    fixture_expect_panic(leave_it_in_flight, "a task ended with 1 of its operations in flight");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {an_operation_that_is_over_at_once_takes_one_poll, IN_SIMULATED},
        {an_operation_that_is_over_later_takes_two_polls, IN_SIMULATED},
        {a_call_or_a_callback_that_fails_is_the_errno_of_its_status, IN_SIMULATED},
        {operations_end_in_whatever_order_they_are_answered, IN_SIMULATED},
        {an_operation_that_is_posted_while_UCX_sleeps_is_looked_at_without_an_event, IN_SIMULATED},
        {a_task_whose_operations_are_always_over_at_once_lets_others_run, IN_SIMULATED},
        {a_receive_whose_message_comes_soon_takes_one_poll_and_wakes_nobody, IN_SIMULATED},
        {a_receive_lingers_no_longer_than_until_its_task_is_woken, IN_SIMULATED},
        {a_receive_that_lingers_ends_with_its_endpoint, IN_SIMULATED},
        {a_spurious_poll_posts_nothing_twice, IN_SIMULATED},
        {an_operation_wakes_the_task_that_polled_it_last, IN_SIMULATED},
        {a_cancelled_receive_ends_within_the_cancel, IN_SIMULATED},
        {a_cancelled_receive_that_was_matched_gives_its_message, IN_SIMULATED},
        {a_receive_that_is_answered_and_cancelled_at_once_gives_its_message, IN_SIMULATED},
        {a_cancelled_send_waits_until_UCX_lets_go, IN_SIMULATED},
        {a_timeout_ends_a_receive_and_is_late_for_a_send, IN_SIMULATED},
        {a_task_that_progress_has_woken_without_counting_it_goes_on_at_once, IN_SIMULATED},
        {whatever_happens_in_whatever_order_everything_ends, IN_SIMULATED},
        {bad_use_is_a_panic, IN_SIMULATED},
    };

    return fixture_main("rdma op", cases, sizeof cases / sizeof *cases);
}
