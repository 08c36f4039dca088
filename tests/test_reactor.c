/* SPDX-License-Identifier: Apache-2.0 */
/* test_reactor.c - full queues, failing calls and waiting slow a runtime down, and lose nothing. */
#include "io/reactor.h"

#include "io/file.h"
#include "io/program.h"
#include "runtime/task.h"
#include "tests/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 300 };

static struct rill_tcp one, other;
static struct rill_op op, recv_op;
static struct background receiving;
static char buffer[64];

static struct rill_reactor *reactor(void)
{
    return &fixture.runtime->reactor;
}

/* ---- queues ---- */

static struct background reads[MANY];
static struct rill_op read_ops[MANY];
static char read_bytes[MANY][8];

/* Reads MANY pieces of one file at the same time. */
static void read_many(void)
{
    char path[] = "/tmp/rill-reactor-XXXXXX", bytes[MANY * 8];
    struct rill_file file = {.fd = -1};

    pattern_fill(bytes, 0, sizeof bytes);
    if (fixture.sim) {
        sim_file_put(fixture.sim, path, bytes, sizeof bytes);
    } else {
        int fd = mkstemp(path);

        ck_assert_int_eq(write(fd, bytes, sizeof bytes), sizeof bytes);
        close(fd);
    }
    ck_assert_int_eq(await(rill_file_open(&file, path, O_RDONLY, 0)), 0);
    for (int i = 0; i < MANY; i++)
        background_start(&reads[i],
                         rill_file_read_at(&file, &read_ops[i], read_bytes[i], 8, (uint64_t)i * 8));
    for (int i = 0; i < MANY; i++) {
        expect_eq(background_end(&reads[i]), 8);
        expect(pattern_is(read_bytes[i], (uint64_t)i * 8, 8));
        expect_eq(reads[i].polls, 2);
    }
    ck_assert_int_eq(await(rill_file_close(&file)), 0);
    if (!fixture.sim)
        unlink(path);
}

START_TEST(hundreds_of_operations_go_through_a_queue_of_four)
{
    if (!fixture_open(_i, NULL, &(struct rill_runtime_options){.sq_entries = 4, .cq_entries = 8}))
        return;
    read_many();
    ck_assert_uint_ge(reactor()->stats.submissions, MANY);
    fixture_close();
}
END_TEST

START_TEST(hundreds_of_completions_overflow_a_queue_of_two_and_all_arrive)
{
    const struct sim_options options = {.cq_entries_max = 2, .delay_max_ns = 1000};

    if (!fixture_open(_i, &options,
                      &(struct rill_runtime_options){.sq_entries = 1, .cq_entries = 2}))
        return;
    read_many();
    if (_i == SIMULATED)
        ck_assert_uint_gt(sim_overflows(fixture.sim), 0);
    fixture_close();
}
END_TEST

START_TEST(a_kernel_that_takes_part_of_the_queue_is_asked_again)
{
    for (uint64_t seed = 1; seed < 30; seed++) {
        const struct sim_options options = {
            .seed = seed,
            .shuffle = true,
            .delay_max_ns = 10000,
            .submit_eagain_per_mille = 300,
            .submit_ebusy_per_mille = 500,
            .enter_eintr_per_mille = 300,
            .overflow_per_mille = 300,
        };

        fixture_open(SIMULATED, &options,
                     &(struct rill_runtime_options){.sq_entries = 4, .cq_entries = 4});
        read_many();
        fixture_close();
    }
}
END_TEST

/* ---- calls that fail ---- */

static void open_pair(int which, const struct rill_runtime_options *options)
{
    fixture_open(which, NULL, options);
    fixture_pair(&one, &other);
}

static void close_pair(void)
{
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    fixture_close();
}

START_TEST(an_enter_that_was_interrupted_or_refused_for_now_is_no_failure)
{
    static const int errors[] = {-EINTR, -EAGAIN, -EBUSY};

    for (size_t i = 0; i < 3; i++) {
        open_pair(_i, NULL);
        for (unsigned times = 1; times < 4; times++) {
            fixture_fail_enters(errors[i], times);
            ck_assert_int_eq(await(rill_tcp_send_all(&one, &op, "x", 1)), 1);
            fixture_fail_enters(errors[i], times);
            ck_assert_int_eq(await(rill_tcp_recv(&other, &op, buffer, 1)), 1);
        }
        close_pair();
    }
}
END_TEST

/* The fifth operation finds the queue of four full twice: the kernel is short of
 * memory. Then it takes the four, of which none will ever complete without the
 * fifth. */
START_TEST(the_runtime_does_not_sleep_while_operations_wait_for_a_place)
{
    enum { WAITING = 4 };
    static struct rill_tcp left[WAITING], right[WAITING];
    static struct rill_op recvs[WAITING];
    static struct background tasks[WAITING], sending;

    if (!fixture_open(_i, NULL, &(struct rill_runtime_options){.sq_entries = 4, .cq_entries = 8}))
        return;
    for (int i = 0; i < WAITING; i++)
        fixture_pair(&left[i], &right[i]);
    for (int i = 0; i < WAITING; i++)
        background_start(&tasks[i], rill_tcp_recv(&left[i], &recvs[i], &buffer[i], 1));
    background_start(&sending, rill_tcp_send_all(&right[0], &op, "x", 1));
    fixture_fail_enters(-EAGAIN, 2);
    ck_assert_int_eq(background_end(&tasks[0]), 1);
    ck_assert_int_eq(background_end(&sending), 1);
    for (int i = 1; i < WAITING; i++) {
        ck_assert_int_eq(await(rill_tcp_send_all(&right[i], &op, "x", 1)), 1);
        ck_assert_int_eq(background_end(&tasks[i]), 1);
    }
    for (int i = 0; i < WAITING; i++) {
        fixture_hang_up(&left[i]);
        fixture_hang_up(&right[i]);
    }
    fixture_close();
}
END_TEST

static void fail_for_good(void)
{
    open_pair(SIMULATED, NULL);
    fixture_fail_enters(-EBADF, 1000);
    await(rill_tcp_send_all(&one, &op, "x", 1));
}

START_TEST(an_enter_that_fails_for_good_is_a_panic_with_its_number)
{
    fixture_expect_panic(fail_for_good, "the driver failed: error 9");
}
END_TEST

/* ---- waiting ---- */

static bool can_spin(void)
{
    return sysconf(_SC_NPROCESSORS_ONLN) > 1;
}

START_TEST(an_idle_runtime_is_silent)
{
    struct rill_sleep sleep;
    size_t enters;

    open_pair(SIMULATED, NULL);
    background_start(&receiving, rill_tcp_recv(&one, &recv_op, buffer, 1));
    await(rill_sleep(&sleep, RILL_SECOND));
    enters = sim_enters(fixture.sim);
    await(rill_sleep(&sleep, 3600 * RILL_SECOND));
    ck_assert_uint_le(sim_enters(fixture.sim) - enters, 12); /* one a level of the wheel */
    ck_assert_uint_eq(receiving.polls, 1);
    ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "x", 1)), 1);
    ck_assert_int_eq(background_end(&receiving), 1);
    close_pair();
}
END_TEST

START_TEST(looking_out_makes_no_system_call)
{
    struct rill_sleep sleep;
    size_t enters;

    open_pair(SIMULATED, &(struct rill_runtime_options){.wait_policy = RILL_WAIT_SPIN});
    enters = sim_enters(fixture.sim);
    await(rill_sleep(&sleep, 20 * RILL_MILLISECOND));
    ck_assert_uint_le(sim_enters(fixture.sim) - enters, 4);
    if (can_spin())
        ck_assert_uint_eq(reactor()->stats.sleeps, 0);
    close_pair();
}
END_TEST

static void send_byte(struct sim *sim, void *peer)
{
    (void)sim;
    sim_peer_send(peer, "x", 1);
}

static struct sim_peer *peer;

static void open_with_slow_peer(enum rill_wait_policy policy, int64_t wake_up_ns)
{
    struct rill_listener listener = {0};
    struct rill_accept accept;
    uint16_t port;

    fixture_open(SIMULATED, &(struct sim_options){.wake_up_ns = wake_up_ns},
                 &(struct rill_runtime_options){.wait_policy = policy});
    port = fixture_listen(&listener, NULL);
    peer = sim_peer_connect(fixture.sim, port);
    ck_assert_int_ge(await(rill_tcp_accept(&listener, &accept)), 0);
    rill_tcp_adopt(&one, (int)accept.result);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    memset(&reactor()->stats, 0, sizeof reactor()->stats);
}

static void open_with_peer(enum rill_wait_policy policy)
{
    open_with_slow_peer(policy, 0);
}

static void close_with_peer(void)
{
    fixture_hang_up(&one);
    fixture_close();
}

/* Has a byte arrive delay_ns after somebody waits for it. */
static void await_byte_after(int64_t delay_ns)
{
    sim_at(fixture.sim, sim_now(fixture.sim) + delay_ns, send_byte, peer);
    ck_assert_int_eq(await(rill_tcp_recv(&one, &op, buffer, 1)), 1);
}

START_TEST(adaptive_waiting_looks_out_first_and_sleeps_when_nothing_comes)
{
    if (!can_spin())
        return;
    open_with_peer(RILL_WAIT_ADAPTIVE);
    await_byte_after(20 * RILL_MICROSECOND);
    ck_assert_uint_ge(reactor()->stats.spins_hit, 1);
    ck_assert_uint_eq(reactor()->stats.sleeps, 0);
    close_with_peer();
    open_with_peer(RILL_WAIT_ADAPTIVE);
    await_byte_after(20 * RILL_MILLISECOND);
    ck_assert_uint_eq(reactor()->stats.spins_missed, 1);
    ck_assert_uint_eq(reactor()->stats.sleeps, 1);
    close_with_peer();
    open_with_peer(RILL_WAIT_SLEEP);
    await_byte_after(20 * RILL_MICROSECOND);
    ck_assert_uint_eq(reactor()->stats.spins_hit + reactor()->stats.spins_missed, 0);
    close_with_peer();
}
END_TEST

START_TEST(adaptive_waiting_does_not_look_out_where_that_never_pays)
{
    if (!can_spin())
        return;
    open_with_peer(RILL_WAIT_ADAPTIVE);
    for (int i = 0; i < 100; i++)
        await_byte_after(RILL_MILLISECOND);
    ck_assert_uint_eq(reactor()->stats.spins_missed, RILL_SPIN_MISSES_MAX);
    ck_assert_uint_eq(reactor()->stats.spins_hit, 0);
    for (int i = 0; i < 100; i++) /* and does again where it would */
        await_byte_after(20 * RILL_MICROSECOND);
    ck_assert_uint_ge(reactor()->stats.spins_hit, 99);
    ck_assert_uint_eq(reactor()->stats.spins_missed, RILL_SPIN_MISSES_MAX);
    close_with_peer();
}
END_TEST

START_TEST(a_slow_waking_up_is_not_taken_for_a_long_wait)
{
    if (!can_spin())
        return;
    open_with_slow_peer(RILL_WAIT_ADAPTIVE, 70 * RILL_MICROSECOND);
    for (int i = 0; i < 20; i++)
        await_byte_after(RILL_MILLISECOND); /* now it sleeps at once */
    for (int i = 0; i < 100; i++)
        await_byte_after(30 * RILL_MICROSECOND);
    ck_assert_uint_ge(reactor()->stats.spins_hit, 98);
    close_with_peer();
}
END_TEST

START_TEST(trials_that_find_nothing_become_rare)
{
    enum { WAITS = 1000, REST_MAX = 1 << RILL_SPIN_DOUBLINGS_MAX };

    if (!can_spin())
        return;
    open_with_slow_peer(RILL_WAIT_ADAPTIVE, 70 * RILL_MICROSECOND);
    for (int i = 0; i < WAITS; i++)
        await_byte_after(100 * RILL_MICROSECOND); /* too long, which nobody knows who sleeps */
    ck_assert_uint_le(reactor()->stats.spins_missed,
                      RILL_SPIN_MISSES_MAX + RILL_SPIN_DOUBLINGS_MAX + 1 + WAITS / REST_MAX);
    ck_assert_uint_eq(reactor()->stats.spins_hit, 0);
    for (int i = 0; i < 100; i++)
        await_byte_after(30 * RILL_MICROSECOND);
    ck_assert_uint_ge(reactor()->stats.spins_hit, 100 - REST_MAX - 1);
    close_with_peer();
}
END_TEST

/* What comes as soon as the reactor sleeps, and never before. */
START_TEST(who_shares_the_processor_is_not_kept_from_it)
{
    enum { WAITS = 1000, REST_MAX = 1 << RILL_SPIN_DOUBLINGS_MAX };

    if (!can_spin())
        return;
    open_with_peer(RILL_WAIT_ADAPTIVE);
    for (int i = 0; i < WAITS; i++)
        await_byte_after(rill_spin_ns(&reactor()->spin) + 20 * RILL_MICROSECOND);
    ck_assert_uint_le(reactor()->stats.spins_missed,
                      RILL_SPIN_MISSES_MAX + RILL_SPIN_DOUBLINGS_MAX + 1 + WAITS / REST_MAX);
    ck_assert_uint_eq(reactor()->stats.spins_hit, 0);
    close_with_peer();
}
END_TEST

static bool is_preempted;

/* A peer that had the processor while this side was about to return from the kernel. */
static void answer_meanwhile(void)
{
    if (!is_preempted)
        return;
    is_preempted = false;
    sim_at(fixture.sim, sim_now(fixture.sim), send_byte, peer);
    *reactor()->ring.sq.kflags |= IORING_SQ_TASKRUN;
}

START_TEST(what_is_there_at_once_is_no_reason_to_look_out)
{
    enum { WAITS = 1000, REST_MAX = 1 << RILL_SPIN_DOUBLINGS_MAX };

    if (!can_spin())
        return;
    open_with_peer(RILL_WAIT_ADAPTIVE);
    fixture_on_return(answer_meanwhile);
    for (int i = 0; i < WAITS; i++) {
        bool looks_out = rill_spin_ns(&reactor()->spin) > 0;

        is_preempted = looks_out && i % 8 > 0;
        if (is_preempted)
            ck_assert_int_eq(await(rill_tcp_recv(&one, &op, buffer, 1)), 1);
        else
            await_byte_after((looks_out ? 70 : 20) * RILL_MICROSECOND);
    }
    ck_assert_uint_le(reactor()->stats.spins_missed,
                      RILL_SPIN_MISSES_MAX + RILL_SPIN_DOUBLINGS_MAX + 1 + WAITS / REST_MAX);
    close_with_peer();
}
END_TEST

START_TEST(adaptive_waiting_puts_up_with_a_long_wait_now_and_then)
{
    if (!can_spin())
        return;
    open_with_peer(RILL_WAIT_ADAPTIVE);
    for (int i = 0; i < 100; i++)
        await_byte_after(i % 4 ? 30 * RILL_MICROSECOND : RILL_MILLISECOND);
    ck_assert_uint_ge(reactor()->stats.spins_hit, 40);
    close_with_peer();
}
END_TEST

START_TEST(every_way_of_waiting_works_on_the_real_ring)
{
    for (unsigned policy = RILL_WAIT_SLEEP; policy <= RILL_WAIT_SPIN; policy++) {
        if (!fixture_open(REAL, NULL,
                          &(struct rill_runtime_options){
                              .wait_policy = (enum rill_wait_policy)policy, .spin_ns = 1000}))
            return;
        fixture_pair(&one, &other);
        for (int i = 0; i < 100; i++) {
            background_start(&receiving, rill_tcp_recv(&one, &recv_op, buffer, 1));
            ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "x", 1)), 1);
            ck_assert_int_eq(background_end(&receiving), 1);
        }
        settle();
        close_pair();
    }
}
END_TEST

START_TEST(a_runtime_that_spins_submits_again_what_the_kernel_did_not_take)
{
    open_pair(SIMULATED, &(struct rill_runtime_options){.wait_policy = RILL_WAIT_SPIN});
    fixture_fail_enters(-EAGAIN, 1);
    ck_assert_int_eq(await(rill_tcp_send_all(&one, &op, "x", 1)), 1);
    close_pair();
}
END_TEST

/* ---- a runtime's life ---- */

START_TEST(options_out_of_range_are_EINVAL)
{
    static const struct rill_runtime_options wrong[] = {
        {.sq_entries = 3},
        {.sq_entries = 65536},
        {.cq_entries = 100},
        {.cq_entries = 131072},
        {.sq_entries = 64, .cq_entries = 32},
        {.buffer_count = 1000},
        {.buffer_count = 65536},
        {.buffer_size = (size_t)2 << 30},
        {.spin_ns = -1},
    };
    static const struct rill_runtime_options right[] = {
        {.sq_entries = 1, .cq_entries = 1},
        {.sq_entries = 32768, .cq_entries = 65536},
        {.sq_entries = 32768},
        {.sq_entries = 4096},
        {.cq_entries = 256},
        {.cq_entries = 1},
        {.cq_entries = 65536},
        {.buffer_count = 1, .buffer_size = 1},
        {.buffer_count = 32768, .buffer_size = 16},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct rill_runtime *runtime = (void *)1;

        expect_eq(rill_runtime_create(&runtime, &wrong[i]), -EINVAL);
        expect(!runtime);
    }
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        fixture_open(SIMULATED, NULL, &right[i]);
        fixture_close();
    }
}
END_TEST

START_TEST(a_thread_has_one_runtime)
{
    struct rill_runtime *second;

    if (!fixture_open(_i, NULL, NULL))
        return;
    ck_assert_int_eq(rill_runtime_create(&second, NULL), -EBUSY);
    fixture_close();
    if (fixture_open(_i, NULL, NULL)) /* and another one after it */
        fixture_close();
}
END_TEST

START_TEST(a_kernel_that_refuses_is_explained_with_what_to_do)
{
    static const struct {
        int error;
        const char *says;
    } cases[] = {
        {-EPERM, "kernel.io_uring_disabled"},
        {-ENOSYS, "Linux 6.1"},
        {-ENOMEM, "ulimit -l"},
        {-EMFILE, "open files"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sim *sim = sim_create(&(struct sim_options){.setup_error = cases[i].error});
        struct rill_runtime *runtime;
        int error = rill_runtime_create(&runtime,
                                        &(struct rill_runtime_options){.kernel = sim_kernel(sim)});

        ck_assert_int_eq(error, cases[i].error);
        ck_assert_ptr_null(runtime);
        ck_assert_ptr_nonnull(strstr(rill_runtime_explain(error), cases[i].says));
        sim_destroy(sim);
    }
    ck_assert_ptr_nonnull(strstr(rill_runtime_explain(-EBUSY), "already"));
    ck_assert_ptr_nonnull(strstr(rill_runtime_explain(-EINVAL), "powers of two"));
    ck_assert_ptr_nonnull(strstr(rill_runtime_explain(-EINVAL), "buffer_size is 1 GiB at most"));
    rill_runtime_destroy(NULL);
}
END_TEST

/* The linker puts this before liburing's: a kernel that knows no operation of 6.1, or tells
 * nobody. */
static bool is_old;
static int probe_error;

int __real_io_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe,
                                   unsigned count);
int __wrap_io_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe,
                                   unsigned count);

int __wrap_io_uring_register_probe(struct io_uring *ring, struct io_uring_probe *probe,
                                   unsigned count)
{
    int error = probe_error ? probe_error : __real_io_uring_register_probe(ring, probe, count);

    if (!error && is_old)
        probe->ops[IORING_OP_SENDMSG_ZC].flags = 0;
    return error;
}

START_TEST(a_kernel_that_is_too_old_is_refused)
{
    struct rill_runtime *runtime;

    if (!fixture_open(_i, NULL, NULL))
        return;
    fixture_close();
    is_old = true;
    ck_assert_int_eq(rill_runtime_create(&runtime, NULL), -ENOSYS);
    ck_assert_ptr_null(runtime);
    is_old = false;
    probe_error = -EPERM; /* of a filter */
    ck_assert_int_eq(rill_runtime_create(&runtime, NULL), -EPERM);
    probe_error = 0;
    ck_assert_int_eq(rill_runtime_create(&runtime, NULL), 0);
    rill_runtime_destroy(runtime);
}
END_TEST

static void destroy_with_a_task(void)
{
    open_pair(SIMULATED, NULL);
    background_start(&receiving, rill_tcp_recv(&one, &recv_op, buffer, 1));
    fixture_turn();
    rill_runtime_destroy(fixture.runtime);
}

START_TEST(ending_a_runtime_with_a_task_alive_is_a_panic_that_names_what_it_waits_for)
{
    fixture_expect_panic(destroy_with_a_task, "a runtime was ended with 1 tasks alive");
    fixture_expect_panic(destroy_with_a_task, "background_poll");
    fixture_expect_panic(destroy_with_a_task, "receive");
}
END_TEST

static void destroy_with_a_receive_armed(void)
{
    static struct rill_borrow borrow;

    open_pair(SIMULATED, NULL);
    background_start(&receiving, rill_tcp_recv_borrowed(&one, &borrow));
    fixture_turn();
    rill_task_cancel(&receiving.task);
    background_end(&receiving);
    rill_runtime_destroy(fixture.runtime);
}

START_TEST(ending_a_runtime_with_an_operation_in_flight_is_a_panic)
{
    fixture_expect_panic(destroy_with_a_receive_armed,
                         "1 operations in flight: a listener, or a connection or socket");
}
END_TEST

/* A task that sleeps, then ends; when it is cancelled it may take long to end, and
 * may spawn another one on its way. */
struct stubborn {
    struct rill_task task;
    struct rill_sleep sleep;
    int64_t sleeps_ns;
    int spawns;
    bool *was_cancelled;
};

static enum rill_poll stubborn_poll(struct rill_future *self, struct rill_task *task);

static void spawn_stubborn(int64_t sleeps_ns, int spawns, bool *was_cancelled)
{
    struct stubborn *stubborn = rill_task_alloc(sizeof *stubborn);

    stubborn->sleeps_ns = sleeps_ns;
    stubborn->spawns = spawns;
    stubborn->was_cancelled = was_cancelled;
    rill_task_spawn(&stubborn->task, stubborn_poll);
    rill_task_detach(&stubborn->task);
}

static enum rill_poll stubborn_poll(struct rill_future *self, struct rill_task *task)
{
    struct stubborn *stubborn = rill_container_of(self, struct stubborn, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&stubborn->sleep, stubborn->sleeps_ns));
    if (stubborn->sleep.result < 0) {
        ck_assert_int_eq(rill_task_cancel_reason(task), RILL_SHUTTING_DOWN);
        *stubborn->was_cancelled = true;
    }
    if (stubborn->spawns > 0)
        spawn_stubborn(stubborn->sleeps_ns, stubborn->spawns - 1, stubborn->was_cancelled);
    RILL_END();
}

START_TEST(a_shutdown_lets_tasks_end_by_themselves_while_the_grace_lasts)
{
    bool cancelled = false;
    int64_t begin;

    fixture_open(SIMULATED, NULL, NULL);
    begin = rill_now();
    spawn_stubborn(10 * RILL_MILLISECOND, 3, &cancelled);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    ck_assert(!cancelled);
    ck_assert_int_ge(sim_now(fixture.sim) - begin, 40 * RILL_MILLISECOND);
    ck_assert_int_lt(sim_now(fixture.sim) - begin, 50 * RILL_MILLISECOND);
    fixture_close();
}
END_TEST

static enum rill_poll clock_poll(struct rill_future *self, struct rill_task *task)
{
    (void)task;
    return rill_future_end(self, rill_now());
}

/* What the program does between two turns takes time as well. */
START_TEST(the_grace_of_a_shutdown_begins_with_it)
{
    bool cancelled = false;
    struct rill_future clock;

    fixture_open(SIMULATED, NULL, NULL);
    expect(await(rill_future_init(&clock, clock_poll)) > 0);
    sim_jump(fixture.sim, 3 * RILL_SECOND);
    spawn_stubborn(RILL_SECOND, 0, &cancelled);
    rill_runtime_shutdown(fixture.runtime, 2 * RILL_SECOND);
    expect(!cancelled);
    fixture_close();
}
END_TEST

/* A task that keeps the thread for long, and then waits for a delay. */
struct busy {
    struct rill_future future;
    struct rill_sleep sleep;
    int64_t begun_ns;
};

static enum rill_poll busy_poll(struct rill_future *self, struct rill_task *task)
{
    struct busy *busy = rill_container_of(self, struct busy, future);

    RILL_BEGIN();
    expect(rill_now() > 0);
    sim_jump(fixture.sim, 50 * RILL_MILLISECOND);
    busy->begun_ns = sim_now(fixture.sim);
    RILL_AWAIT(rill_sleep(&busy->sleep, 20 * RILL_MILLISECOND));
    RILL_RETURN(sim_now(fixture.sim) - busy->begun_ns);
    RILL_END();
}

START_TEST(a_delay_does_not_count_from_the_beginning_of_a_long_turn)
{
    struct busy busy;

    fixture_open(SIMULATED, NULL, NULL);
    expect(await(rill_future_init(&busy.future, busy_poll)) >= 20 * RILL_MILLISECOND);
    fixture_close();
}
END_TEST

/* What is spawned may begin in the turn of its spawner, or in the next one. */
START_TEST(a_shutdown_cancels_what_does_not_end_and_what_that_spawns)
{
    for (size_t polls_soon = 0; polls_soon < 20; polls_soon++) {
        bool cancelled = false;
        int64_t begin;

        fixture_open(SIMULATED, NULL, NULL);
        fixture.runtime->executor.polls_soon = polls_soon;
        begin = rill_now();
        for (int i = 0; i < 5; i++)
            spawn_stubborn(3600 * RILL_SECOND, i, &cancelled);
        rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
        ck_assert(cancelled);
        ck_assert_int_ge(sim_now(fixture.sim) - begin, RILL_SECOND);
        ck_assert_int_lt(sim_now(fixture.sim) - begin, 2 * RILL_SECOND);
        fixture_close();
    }
}
END_TEST

static unsigned cancels_of_all;

void __real_rill_executor_cancel_all(struct rill_executor *executor,
                                     enum rill_cancel_reason reason);
void __wrap_rill_executor_cancel_all(struct rill_executor *executor,
                                     enum rill_cancel_reason reason);

void __wrap_rill_executor_cancel_all(struct rill_executor *executor, enum rill_cancel_reason reason)
{
    cancels_of_all++;
    __real_rill_executor_cancel_all(executor, reason);
}

/* Which is a walk over all of them; their ends take many turns. */
START_TEST(a_shutdown_cancels_all_tasks_once_if_they_spawn_no_others)
{
    enum { CROWD = 20 * RILL_TURN_POLLS_MAX };
    bool cancelled = false;

    fixture_open(SIMULATED, NULL, NULL);
    for (int i = 0; i < CROWD; i++)
        spawn_stubborn(3600 * RILL_SECOND, 0, &cancelled);
    cancels_of_all = 0;
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND);
    ck_assert(cancelled);
    ck_assert_uint_eq(cancels_of_all, 1);
    fixture_close();
}
END_TEST

START_TEST(a_shutdown_without_grace_cancels_at_once_and_one_without_limit_never_does)
{
    bool cancelled = false;

    fixture_open(SIMULATED, NULL, NULL);
    spawn_stubborn(RILL_SECOND, 0, &cancelled);
    rill_runtime_shutdown(fixture.runtime, 0);
    ck_assert(cancelled);
    cancelled = false;
    spawn_stubborn(RILL_SECOND, 0, &cancelled);
    rill_runtime_shutdown(fixture.runtime, RILL_NEVER);
    ck_assert(!cancelled);
    rill_runtime_shutdown(fixture.runtime, RILL_SECOND); /* nothing is left to do */
    fixture_close();
}
END_TEST

static enum rill_poll block_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_sleep sleep;

    RILL_BEGIN();
    await(rill_sleep(&sleep, 1));
    RILL_END();
}

static void block_in_a_task(void)
{
    struct rill_future future;

    fixture_open(SIMULATED, NULL, NULL);
    await(rill_future_init(&future, block_poll));
}

static void run_nothing(void)
{
    fixture_open(SIMULATED, NULL, NULL);
    rill_block_on(fixture.runtime, NULL);
}

static void be_a_program_of_nothing(void)
{
    rill_main(NULL);
}

START_TEST(a_runtime_that_is_given_NULL_to_run_is_a_panic)
{
    fixture_expect_panic(run_nothing, "a runtime was given NULL to run");
    fixture_expect_panic(be_a_program_of_nothing, "a program was given NULL to run");
}
END_TEST

START_TEST(a_task_that_blocks_its_own_thread_is_a_panic)
{
    fixture_expect_panic(block_in_a_task, "await instead");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {hundreds_of_operations_go_through_a_queue_of_four, IN_BOTH},
        {hundreds_of_completions_overflow_a_queue_of_two_and_all_arrive, IN_BOTH},
        {a_kernel_that_takes_part_of_the_queue_is_asked_again, IN_SIMULATED},
        {an_enter_that_was_interrupted_or_refused_for_now_is_no_failure, IN_SIMULATED},
        {the_runtime_does_not_sleep_while_operations_wait_for_a_place, IN_SIMULATED},
        {an_enter_that_fails_for_good_is_a_panic_with_its_number, IN_SIMULATED},
        {an_idle_runtime_is_silent, IN_SIMULATED},
        {looking_out_makes_no_system_call, IN_SIMULATED},
        {adaptive_waiting_looks_out_first_and_sleeps_when_nothing_comes, IN_SIMULATED},
        {adaptive_waiting_does_not_look_out_where_that_never_pays, IN_SIMULATED},
        {a_slow_waking_up_is_not_taken_for_a_long_wait, IN_SIMULATED},
        {trials_that_find_nothing_become_rare, IN_SIMULATED},
        {who_shares_the_processor_is_not_kept_from_it, IN_SIMULATED},
        {what_is_there_at_once_is_no_reason_to_look_out, IN_SIMULATED},
        {adaptive_waiting_puts_up_with_a_long_wait_now_and_then, IN_SIMULATED},
        {every_way_of_waiting_works_on_the_real_ring, IN_REAL},
        {a_runtime_that_spins_submits_again_what_the_kernel_did_not_take, IN_SIMULATED},
        {options_out_of_range_are_EINVAL, IN_SIMULATED},
        {a_thread_has_one_runtime, IN_BOTH},
        {a_kernel_that_is_too_old_is_refused, IN_REAL},
        {a_kernel_that_refuses_is_explained_with_what_to_do, IN_SIMULATED},
        {ending_a_runtime_with_a_task_alive_is_a_panic_that_names_what_it_waits_for, IN_SIMULATED},
        {ending_a_runtime_with_an_operation_in_flight_is_a_panic, IN_SIMULATED},
        {a_shutdown_lets_tasks_end_by_themselves_while_the_grace_lasts, IN_SIMULATED},
        {the_grace_of_a_shutdown_begins_with_it, IN_SIMULATED},
        {a_delay_does_not_count_from_the_beginning_of_a_long_turn, IN_SIMULATED},
        {a_shutdown_cancels_what_does_not_end_and_what_that_spawns, IN_SIMULATED},
        {a_shutdown_cancels_all_tasks_once_if_they_spawn_no_others, IN_SIMULATED},
        {a_shutdown_without_grace_cancels_at_once_and_one_without_limit_never_does, IN_SIMULATED},
        {a_runtime_that_is_given_NULL_to_run_is_a_panic, IN_SIMULATED},
        {a_task_that_blocks_its_own_thread_is_a_panic, IN_SIMULATED},
    };

    return fixture_main("reactor", cases, sizeof cases / sizeof *cases);
}
