/* SPDX-License-Identifier: Apache-2.0 */
/* test_op.c - one operation from its preparation to its end, and what must not be done with it. */
#include "io/op.h"

#include "io/path.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rill_tcp one, other;
static struct rill_op op, send_op;
static struct background receiving;
static char buffer[100];

static void open_pair(const struct sim_options *options)
{
    fixture_open(SIMULATED, options, NULL);
    fixture_pair(&one, &other);
    memset(&fixture.runtime->reactor.stats, 0, sizeof fixture.runtime->reactor.stats);
}

static void close_pair(void)
{
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    fixture_close();
}

static struct rill_reactor_stats *stats(void)
{
    return &fixture.runtime->reactor.stats;
}

static void send_bytes(const char *bytes)
{
    ck_assert_int_eq(await(rill_tcp_send_all(&other, &send_op, bytes, strlen(bytes))),
                     strlen(bytes));
}

static void start_receive(void)
{
    background_start(&receiving, rill_tcp_recv(&one, &op, buffer, sizeof buffer));
}

START_TEST(preparing_starts_nothing)
{
    uint64_t submissions;

    open_pair(NULL);
    submissions = stats()->submissions;
    for (int i = 0; i < 3; i++) {
        rill_tcp_recv(&one, &op, buffer, sizeof buffer);
        ck_assert_int_eq(op.state, RILL_OP_PREPARED);
    }
    fixture_turn();
    ck_assert_uint_eq(stats()->submissions, submissions);
    ck_assert_uint_eq(fixture.runtime->reactor.ops_in_flight, 0);
    close_pair();
}
END_TEST

START_TEST(a_cancel_before_the_first_poll_keeps_the_kernel_out_of_it)
{
    uint64_t submissions;

    open_pair(NULL);
    submissions = stats()->submissions;
    start_receive();
    rill_task_cancel(&receiving.task);
    ck_assert_int_eq(background_end(&receiving), -ECANCELED);
    ck_assert_int_eq(op.state, RILL_OP_IDLE);
    ck_assert_uint_eq(stats()->submissions, submissions);
    ck_assert_uint_eq(receiving.polls, 1);
    close_pair();
}
END_TEST

START_TEST(a_cancel_in_flight_asks_once_and_waits_for_the_answer)
{
    open_pair(&(struct sim_options){.delay_max_ns = 50000, .seed = 3});
    start_receive();
    fixture_turn();
    fixture_turn();
    ck_assert_int_eq(op.state, RILL_OP_IN_KERNEL);
    rill_task_cancel(&receiving.task);
    for (int i = 0; i < 3; i++) { /* polled in vain, it does not ask again */
        rill_task_wake(&receiving.task);
        fixture_turn();
    }
    ck_assert_int_eq(background_end(&receiving), -ECANCELED);
    ck_assert_uint_eq(stats()->cancels, 1);
    send_bytes("abc");
    ck_assert_int_eq(await(rill_tcp_recv(&one, &op, buffer, sizeof buffer)), 3);
    close_pair();
}
END_TEST

START_TEST(a_cancel_after_the_completion_changes_nothing)
{
    open_pair(NULL);
    start_receive();
    fixture_turn();
    send_bytes("abc");
    while (op.state != RILL_OP_ANSWERED && op.state != RILL_OP_IDLE)
        fixture_turn();
    rill_task_cancel(&receiving.task);
    ck_assert_int_eq(background_end(&receiving), 3);
    ck_assert_uint_eq(stats()->cancels, 0);
    close_pair();
}
END_TEST

static unsigned misses;

/* As where the kernel is about to try the target again: a cancel does not see it then. */
static void miss_target(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_ASYNC_CANCEL && misses > 0) {
        misses--;
        sqe->addr = 4; /* nobody's */
    }
}

START_TEST(a_cancel_that_finds_nothing_is_repeated_until_its_target_has_ended)
{
    static struct rill_timeout timeout;

    if (!fixture_open(_i, NULL, NULL))
        return;
    fixture_pair(&one, &other);
    fixture_on_entry(miss_target);
    for (int round = 0; round < 3; round++) {
        misses = 5;
        expect_eq(await(rill_timeout(&timeout, RILL_MILLISECOND,
                                     rill_tcp_recv(&one, &op, buffer, sizeof buffer))),
                  -ETIMEDOUT);
        expect_eq(misses, 0);
    }
    send_bytes("abc");
    expect_eq(await(rill_tcp_recv(&one, &op, buffer, sizeof buffer)), 3);
    close_pair();
}
END_TEST

/* Ten receives, of which a queue of four takes four while the kernel refuses. */
START_TEST(an_operation_that_waits_for_a_place_is_withdrawn_without_the_kernel)
{
    enum { PAIRS = 10 };
    static struct rill_tcp left[PAIRS], right[PAIRS];
    static struct rill_op ops[PAIRS];
    static struct background tasks[PAIRS];
    static char bytes[PAIRS];
    int queued = 0;

    fixture_open(SIMULATED, NULL,
                 &(struct rill_runtime_options){.sq_entries = 4, .cq_entries = 16});
    for (int i = 0; i < PAIRS; i++)
        fixture_pair(&left[i], &right[i]);
    fixture_fail_enters(-EAGAIN, 1000);
    for (int i = 0; i < PAIRS; i++)
        background_start(&tasks[i], rill_tcp_recv(&left[i], &ops[i], &bytes[i], 1));
    fixture_turn();
    for (int i = 0; i < PAIRS; i++)
        queued += ops[i].state == RILL_OP_QUEUED;
    ck_assert_int_eq(queued, PAIRS - 4);
    ck_assert_uint_gt(stats()->queue_full, 0);
    for (int i = 0; i < PAIRS; i++)
        rill_task_wake(&tasks[i].task); /* for no reason, which does no harm */
    fixture_turn();
    for (int i = 0; i < PAIRS; i++)
        ck_assert(!rill_task_is_over(&tasks[i].task));
    for (int i = 0; i < PAIRS; i += 2)
        rill_task_cancel(&tasks[i].task);
    fixture_turn();
    fixture_turn();
    for (int i = 4; i < PAIRS; i += 2)
        ck_assert(rill_task_is_over(&tasks[i].task)); /* those that were queued */
    fixture_fail_enters(0, 0);
    for (int i = 0; i < PAIRS; i += 2)
        ck_assert_int_eq(background_end(&tasks[i]), -ECANCELED);
    for (int i = 1; i < PAIRS; i += 2) {
        ck_assert_int_eq(await(rill_tcp_send_all(&right[i], &send_op, "x", 1)), 1);
        ck_assert_int_eq(background_end(&tasks[i]), 1);
    }
    for (int i = 0; i < PAIRS; i++) {
        fixture_hang_up(&left[i]);
        fixture_hang_up(&right[i]);
    }
    fixture_close();
}
END_TEST

/* The cancel itself finds no place, waits for one, and is not needed any more when
 * its target completes first. */
START_TEST(a_cancel_that_waits_for_a_place_is_dropped_when_its_target_ends)
{
    static struct rill_tcp left[2], right[2];
    static struct rill_op ops[2];
    static struct background tasks[2];

    fixture_open(SIMULATED, NULL, &(struct rill_runtime_options){.sq_entries = 1, .cq_entries = 8});
    for (int i = 0; i < 2; i++) {
        fixture_pair(&left[i], &right[i]);
        background_start(&tasks[i], rill_tcp_recv(&left[i], &ops[i], &buffer[i], 1));
    }
    fixture_turn();
    fixture_turn();
    ck_assert_int_eq(ops[0].state, RILL_OP_IN_KERNEL);
    ck_assert_int_eq(ops[1].state, RILL_OP_IN_KERNEL);
    fixture_fail_enters(-EAGAIN, 6);
    rill_task_cancel(&tasks[0].task);
    rill_task_cancel(&tasks[1].task);
    fixture_turn();
    ck_assert_int_eq(ops[1].state, RILL_OP_CANCELLING);
    ck_assert(rill_link_is_linked(&ops[1].queue));
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(background_end(&tasks[i]), -ECANCELED);
    for (int i = 0; i < 2; i++) {
        fixture_hang_up(&left[i]);
        fixture_hang_up(&right[i]);
    }
    fixture_close();
}
END_TEST

/* Has the kernel end the receive with -EINTR although nobody cancelled its task:
 * a cancel request of the test's own, which comes too late. */
START_TEST(an_operation_that_a_signal_interrupted_is_submitted_again)
{
    const struct sim_options options = {
        .cancel_lost_per_mille = 1000,
        .cancel_eintr_per_mille = 1000,
    };
    struct io_uring_sqe *sqe;
    uint64_t submissions;

    open_pair(&options);
    start_receive();
    fixture_turn();
    fixture_turn();
    submissions = stats()->submissions;
    sqe = io_uring_get_sqe(&fixture.runtime->reactor.ring);
    io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)&op | (uint64_t)op.generation << 48, 0);
    sqe->user_data = 0;
    settle();
    ck_assert_uint_eq(stats()->submissions, submissions + 1);
    ck_assert(!rill_task_is_over(&receiving.task));
    send_bytes("abc");
    ck_assert_int_eq(background_end(&receiving), 3);
    close_pair();
}
END_TEST

/* What the kernel says of an operation that a signal interrupted: -EINTR, or what a system call
 * would have translated on its way out, ERESTARTSYS and its kin. */
static const int interruptions[] = {EINTR, 512, 513, 514, 516};
enum { INTERRUPTIONS = sizeof interruptions / sizeof *interruptions };

static uint8_t interrupted_opcode;
static int interruption; /* of the next of these, or 0 */

/* What Linux 6.10 and later answer as they are told, and older ones with -EINVAL. */
static void interrupt(struct io_uring_sqe *sqe)
{
    enum { INJECT_RESULT = 1 };

    if (sqe->opcode != interrupted_opcode || interruption == 0)
        return;
    sqe->opcode = IORING_OP_NOP;
    sqe->rw_flags = INJECT_RESULT;
    sqe->len = (uint32_t)-interruption;
    interruption = 0;
}

/* Its number may be another file's by then. */
START_TEST(a_close_that_a_signal_interrupted_is_not_tried_again)
{
    if (!fixture_open(REAL, NULL, NULL))
        return;
    interrupted_opcode = IORING_OP_CLOSE;
    fixture_on_entry(interrupt);
    for (int i = 0; i < INTERRUPTIONS; i++) {
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        int64_t result;

        fixture.runtime->reactor.fds_open++;
        interruption = interruptions[i];
        result = await(rill_op_close(&op, fd));
        expect(result == 0 || result == -EINVAL);
        expect_eq(fixture.runtime->reactor.fds_open, 0);
        expect_eq(close(fd), 0);
    }
    fixture_close();
}
END_TEST

START_TEST(a_stat_that_a_signal_interrupted_is_tried_again)
{
    struct statx status = {0};

    if (!fixture_open(REAL, NULL, NULL))
        return;
    interrupted_opcode = IORING_OP_STATX;
    fixture_on_entry(interrupt);
    for (int i = 0; i < INTERRUPTIONS; i++) {
        int64_t result;

        interruption = interruptions[i];
        result = await(rill_path_stat(&op, "/dev/null", &status));
        expect(result == 0 || result == -EINVAL);
    }
    fixture_close();
}
END_TEST

/* ---- want of a thread ---- */

/* The kernel leaves making a directory to a thread. Root has no limit on these, and who has become
 * somebody else can not be looked at for leaks: so in a process that ends without that. */
static void make_directory_without_threads(void)
{
    const struct rlimit none = {0, 0};
    enum { NOBODY = 65534 };

    if (geteuid() == 0 && (setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
        _exit(0);
    expect_eq(setrlimit(RLIMIT_NPROC, &none), 0);
    if (!fixture_open(REAL, NULL, NULL))
        _exit(0);
    expect_eq(await(rill_path_mkdir(&op, "/tmp/rill-test-op", 0700)), -EAGAIN);
    expect_eq(access("/tmp/rill-test-op", F_OK), -1);
    fixture_close();
    _exit(0);
}

START_TEST(what_the_kernel_may_start_no_thread_for_is_EAGAIN)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        make_directory_without_threads();
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* Closing what has to be flushed is left to one too. */
START_TEST(a_close_that_the_kernel_may_start_no_thread_for_is_done_all_the_same)
{
    int64_t result;
    int fd;

    if (!fixture_open(REAL, NULL, NULL))
        return;
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    fixture.runtime->reactor.fds_open++;
    interrupted_opcode = IORING_OP_CLOSE;
    interruption = ECANCELED;
    fixture_on_entry(interrupt);
    result = await(rill_op_close(&op, fd));
    expect(result == 0 || result == -EINVAL);
    expect_eq(close(fd), result == 0 ? -1 : 0);
    fixture_close();
}
END_TEST

/* One op, one life after the other, each with a timeout that is often too short. A
 * cancel that comes late must not hit the next life. */
START_TEST(a_late_cancel_does_not_hit_the_next_life_of_its_operation)
{
    uint64_t first, count;

    fixture_seeds(100, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_options options = sim_options_troubled(seed);
        struct rill_timeout timeout;
        uint64_t sent = 0, received = 0;

        options.cancel_lost_per_mille = 500;
        options.latency_max_ns = options.latency_min_ns = 0;
        options.delay_max_ns = 10 * RILL_MICROSECOND;
        fixture.seed = seed;
        fixture.seeded = true;
        open_pair(&options);
        for (int life = 0; life < 60; life++) {
            char byte;

            if (sim_random(fixture.sim, 2)) {
                byte = pattern(sent++);
                expect_eq(await(rill_tcp_send_all(&other, &send_op, &byte, 1)), 1);
            }
            await(rill_timeout(&timeout, (int64_t)sim_random(fixture.sim, 30) * RILL_MICROSECOND,
                               rill_tcp_recv(&one, &op, &byte, 1)));
            expect(op.result == 1 || op.result == -ECANCELED);
            expect_eq(timeout.result, op.result == 1 ? 1 : -ETIMEDOUT);
            if (op.result == 1)
                expect_eq(byte, pattern(received++));
        }
        /* Without a timeout nothing cancels: a stray request would show here. */
        for (; received < sent; received++) {
            char byte;

            expect_eq(await(rill_tcp_recv(&one, &op, &byte, 1)), 1);
            expect_eq(byte, pattern(received));
        }
        close_pair();
    }
}
END_TEST

START_TEST(an_operation_can_be_used_again_at_once)
{
    uint16_t generation;

    open_pair(NULL);
    generation = op.generation;
    for (int i = 0; i < 1000; i++) {
        expect_eq(await(rill_tcp_send(&other, &op, "x", 1)), 1);
        expect_eq(await(rill_tcp_recv(&one, &op, buffer, 1)), 1);
    }
    ck_assert_uint_eq((uint16_t)(op.generation - generation), 2000);
    close_pair();
}
END_TEST

/* Two tasks, one op: the first begins to wait, the second takes it over. */
struct handed {
    struct rill_task task;
    struct rill_join join;
    bool polls, stops;
};

static enum rill_poll handed_poll(struct rill_future *self, struct rill_task *task)
{
    struct handed *handed = rill_container_of(self, struct handed, task.future);

    if (handed->stops)
        return RILL_READY;
    return op.future.poll(&op.future, task);
}

START_TEST(an_operation_can_be_handed_from_one_task_to_another_while_it_waits)
{
    struct handed first = {.polls = true}, second = {.polls = true};

    open_pair(NULL);
    rill_tcp_recv(&one, &op, buffer, sizeof buffer);
    rill_task_spawn(&first.task, handed_poll);
    fixture_turn();
    ck_assert_uint_eq(first.task.ops, 1);
    rill_task_spawn(&second.task, handed_poll);
    fixture_turn();
    ck_assert_uint_eq(first.task.ops, 0);
    ck_assert_uint_eq(second.task.ops, 1);
    first.stops = true;
    rill_task_wake(&first.task);
    await(rill_task_join(&first.task, &first.join));
    send_bytes("abc");
    await(rill_task_join(&second.task, &second.join));
    ck_assert_int_eq(op.result, 3);
    close_pair();
}
END_TEST

/* ---- mistakes ---- */

static void use_in_flight(void)
{
    open_pair(NULL);
    start_receive();
    fixture_turn();
    rill_tcp_recv(&one, &op, buffer, sizeof buffer);
}

static void await_nothing(void)
{
    struct rill_op fresh;

    open_pair(NULL);
    memset(&fresh, 0, sizeof fresh);
    fresh.future.poll = rill_op_poll;
    await(&fresh.future);
}

static void await_twice(void)
{
    open_pair(NULL);
    await(rill_tcp_send(&one, &op, "x", 1));
    await(&op.future);
}

static enum rill_poll leaver_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_task *me = rill_container_of(self, struct rill_task, future);

    ck_assert_ptr_eq(me, task);
    rill_tcp_recv(&one, &op, buffer, sizeof buffer);
    op.future.poll(&op.future, task);
    self->result = 0;
    return RILL_READY;
}

static void leave_in_flight(void)
{
    static struct rill_task task;

    open_pair(NULL);
    rill_task_spawn(&task, leaver_poll);
    fixture_turn();
}

/* What may be on the stack, or in memory of malloc's. */
static void use_garbage(void)
{
    struct rill_op garbage;

    memset(&garbage, 0x55, sizeof garbage);
    open_pair(NULL);
    rill_tcp_recv(&one, &garbage, buffer, sizeof buffer);
}

START_TEST(misusing_an_operation_is_a_panic_that_says_how)
{
    fixture_expect_panic(use_garbage,
                         "an operation (receive) is used while it is in flight, or was "
                         "not zeroed before its first use");
    fixture_expect_panic(use_in_flight, "an operation (receive) is used while it is in flight");
    fixture_expect_panic(await_nothing, "over or was never prepared");
    fixture_expect_panic(await_twice, "an operation (send) was awaited that is over");
    fixture_expect_panic(leave_in_flight, "a task ended with 1 of its operations in flight");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {preparing_starts_nothing, IN_SIMULATED},
        {a_cancel_before_the_first_poll_keeps_the_kernel_out_of_it, IN_SIMULATED},
        {a_cancel_in_flight_asks_once_and_waits_for_the_answer, IN_SIMULATED},
        {a_cancel_after_the_completion_changes_nothing, IN_SIMULATED},
        {a_cancel_that_finds_nothing_is_repeated_until_its_target_has_ended, IN_BOTH},
        {an_operation_that_waits_for_a_place_is_withdrawn_without_the_kernel, IN_SIMULATED},
        {a_cancel_that_waits_for_a_place_is_dropped_when_its_target_ends, IN_SIMULATED},
        {an_operation_that_a_signal_interrupted_is_submitted_again, IN_SIMULATED},
        {a_stat_that_a_signal_interrupted_is_tried_again, IN_REAL},
        {a_close_that_a_signal_interrupted_is_not_tried_again, IN_REAL},
        {what_the_kernel_may_start_no_thread_for_is_EAGAIN, IN_REAL},
        {a_close_that_the_kernel_may_start_no_thread_for_is_done_all_the_same, IN_REAL},
        {a_late_cancel_does_not_hit_the_next_life_of_its_operation, IN_SIMULATED},
        {an_operation_can_be_used_again_at_once, IN_SIMULATED},
        {an_operation_can_be_handed_from_one_task_to_another_while_it_waits, IN_SIMULATED},
        {misusing_an_operation_is_a_panic_that_says_how, IN_SIMULATED},
    };

    return fixture_main("op", cases, sizeof cases / sizeof *cases);
}
