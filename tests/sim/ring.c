/* SPDX-License-Identifier: Apache-2.0 */
/* ring.c - both queues of a ring in plain memory, and entering the kernel. */
#include "runtime/driver.h"
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Without an enter, and with nothing that could happen: a spinning deadlock. */
#define LOOKS_MAX 20000000

static struct sim *sim_of(struct rill_kernel *kernel)
{
    return sim_container_of(kernel, struct sim, kernel);
}

static struct sim_ring *ring_of(struct io_uring *ring)
{
    return ring->sq.ring_ptr;
}

static unsigned power_of_two(unsigned at_least)
{
    unsigned power = 1;

    while (power < at_least)
        power *= 2;
    return power;
}

/* Points liburing's view of a mapped ring at our own fields. */
static void lay_out(struct sim_ring *self, struct io_uring *ring)
{
    memset(ring, 0, sizeof *ring);
    ring->sq.khead = &self->sq_head;
    ring->sq.ktail = &self->sq_tail;
    ring->sq.kring_mask = &self->sq_mask;
    ring->sq.kring_entries = &self->sq_entries;
    ring->sq.kflags = &self->sq_flags;
    ring->sq.kdropped = &self->sq_dropped;
    ring->sq.array = self->sq_array;
    ring->sq.sqes = self->sqes;
    ring->sq.ring_ptr = self;
    ring->sq.ring_mask = self->sq_mask;
    ring->sq.ring_entries = self->sq_entries;
    ring->cq.khead = &self->cq_head;
    ring->cq.ktail = &self->cq_tail;
    ring->cq.kring_mask = &self->cq_mask;
    ring->cq.kring_entries = &self->cq_entries;
    ring->cq.kflags = &self->cq_flags;
    ring->cq.koverflow = &self->cq_overflow;
    ring->cq.cqes = self->cqes;
    ring->cq.ring_ptr = self;
    ring->cq.ring_mask = self->cq_mask;
    ring->cq.ring_entries = self->cq_entries;
    ring->ring_fd = ring->enter_ring_fd = -1;
    ring->features = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                     IORING_FEAT_RW_CUR_POS | IORING_FEAT_FAST_POLL | IORING_FEAT_POLL_32BITS |
                     IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
}

static int setup(struct rill_kernel *kernel, struct io_uring *ring, unsigned sq_entries,
                 unsigned cq_entries, bool pollable)
{
    struct sim *sim = sim_of(kernel);
    struct sim_ring *self;

    (void)pollable; /* it has no descriptor */
    if (sim->options.setup_error)
        return sim->options.setup_error;
    if (sq_entries == 0 || sq_entries > 32768 || cq_entries > 65536)
        return -EINVAL;
    if (sim->options.cq_entries_max && cq_entries > sim->options.cq_entries_max)
        cq_entries = sim->options.cq_entries_max;
    self = sim_allocate(sizeof *self);
    self->sim = sim;
    self->ring = ring;
    self->sq_entries = power_of_two(sq_entries);
    self->cq_entries = power_of_two(cq_entries);
    self->sq_mask = self->sq_entries - 1;
    self->cq_mask = self->cq_entries - 1;
    self->sq_array = sim_allocate(self->sq_entries * sizeof *self->sq_array);
    for (unsigned i = 0; i < self->sq_entries; i++)
        self->sq_array[i] = i;
    self->sqes = sim_allocate(self->sq_entries * sizeof *self->sqes);
    self->cqes = sim_allocate(self->cq_entries * sizeof *self->cqes);
    sim_list_init(&self->overflow);
    sim_list_init(&self->groups);
    sim_list_append(&sim->rings, &self->link);
    lay_out(self, ring);
    sim_trace(sim, "ring of %u and %u entries", self->sq_entries, self->cq_entries);
    return 0;
}

void sim_ring_destroy(struct sim_ring *self)
{
    while (!sim_list_empty(&self->overflow)) {
        struct sim_overflow *overflow =
            sim_container_of(self->overflow.next, struct sim_overflow, link);

        sim_list_remove(&overflow->link);
        free(overflow);
    }
    sim_buffers_finish(self);
    sim_list_remove(&self->link);
    free(self->sq_array);
    free(self->sqes);
    free(self->cqes);
    free(self);
}

static void teardown(struct rill_kernel *kernel, struct io_uring *ring)
{
    struct sim *sim = sim_of(kernel);
    struct sim_ring *self = ring_of(ring);

    for (struct sim_link *link = sim->ops.next, *next; link != &sim->ops; link = next) {
        struct sim_op *op = sim_container_of(link, struct sim_op, link);

        next = link->next;
        if (op->ring == self && op->sqe.opcode == IORING_OP_TIMEOUT)
            sim_op_drop(op);
        else if (op->ring == self)
            sim_fail(sim, "a ring ends while #%llu %s fd %d is in flight",
                     (unsigned long long)op->id, sim_op_name(op), op->sqe.fd);
    }
    sim_ring_destroy(self);
    memset(ring, 0, sizeof *ring);
}

/* ---- completions ---- */

static unsigned completions(const struct sim_ring *self)
{
    return self->cq_tail - io_uring_smp_load_acquire(self->ring->cq.khead);
}

static void put(struct sim_ring *self, const struct io_uring_cqe *cqe)
{
    self->cqes[self->cq_tail & self->cq_mask] = *cqe;
    io_uring_smp_store_release(self->ring->cq.ktail, self->cq_tail + 1);
}

/* Posts a completion where there is room. The queue can play full only while
 * something is in it, or a reactor would have nothing to do but to enter again.
 * Once one completion waits for room, all later ones wait behind it. */
bool sim_ring_try_post(struct sim_ring *self, uint64_t user_data, int result, unsigned flags)
{
    const struct io_uring_cqe cqe = {.user_data = user_data, .res = result, .flags = flags};

    if (completions(self) && sim_chance(self->sim, self->sim->options.overflow_per_mille))
        self->choked = true;
    if (!sim_list_empty(&self->overflow) || completions(self) == self->cq_entries ||
        (self->choked && completions(self)))
        return false;
    put(self, &cqe);
    return true;
}

void sim_ring_post(struct sim_ring *self, uint64_t user_data, int result, unsigned flags)
{
    struct sim_overflow *overflow;

    if (sim_ring_try_post(self, user_data, result, flags))
        return;
    overflow = sim_allocate(sizeof *overflow);
    overflow->cqe = (struct io_uring_cqe){.user_data = user_data, .res = result, .flags = flags};
    sim_list_append(&self->overflow, &overflow->link);
    self->sim->overflows++;
    self->sq_flags |= IORING_SQ_CQ_OVERFLOW;
    sim_trace(self->sim, "completion queue overflows");
}

static void flush(struct sim_ring *self)
{
    while (!sim_list_empty(&self->overflow) && completions(self) < self->cq_entries) {
        struct sim_overflow *overflow =
            sim_container_of(self->overflow.next, struct sim_overflow, link);

        put(self, &overflow->cqe);
        sim_list_remove(&overflow->link);
        free(overflow);
    }
    if (sim_list_empty(&self->overflow))
        self->sq_flags &= ~IORING_SQ_CQ_OVERFLOW;
}

/* ---- enter ---- */

/* An entry is overwritten as soon as it was read: who relies on what an older
 * one left there must not be lucky. */
static int submit(struct sim_ring *self, unsigned tail)
{
    struct sim *sim = self->sim;
    int taken = 0;

    if (tail - self->sq_head > self->sq_entries)
        sim_fail(sim, "%u entries in a submission queue of %u", tail - self->sq_head,
                 self->sq_entries);
    self->sq_tail = tail;
    while (self->sq_head != tail) {
        struct io_uring_sqe *entry = &self->sqes[self->sq_head & self->sq_mask];
        struct io_uring_sqe sqe = *entry;

        if (sim_chance(sim, sim->options.submit_eagain_per_mille)) {
            sim_trace(sim, "enter takes %d entries, %u are left", taken, tail - self->sq_head);
            return -EAGAIN;
        }
        memset(entry, 0xa5, sizeof *entry);
        io_uring_smp_store_release(self->ring->sq.khead, self->sq_head + 1);
        sim_op_start(self, &sqe);
        taken++;
    }
    return taken;
}

/* Runs the world until a completion is there or the time is over. */
static int wait_until(struct sim_ring *self, int64_t until_ns)
{
    struct sim *sim = self->sim;

    while (!completions(self)) {
        int64_t next = sim_event_next(sim);

        if (next == RILL_NEVER && until_ns == RILL_NEVER) {
            sim_trace(sim, "deadlock: %zu operations wait, nothing will happen", sim->op_count);
            if (!sim->options.deadlock_returns)
                sim_fail(sim, "deadlock");
            return -EDEADLK;
        }
        if (next > until_ns) {
            sim->now = until_ns;
            if (sim->options.oversleep_max_ns > 0)
                sim->now += (int64_t)sim_random(sim, (uint64_t)sim->options.oversleep_max_ns + 1);
            break;
        }
        if (next > sim->now)
            sim->now = next;
        sim_events_run(sim);
        flush(self);
    }
    sim->now += sim->options.wake_up_ns;
    return 0;
}

static int enter(struct rill_kernel *kernel, struct io_uring *ring, int64_t until_ns)
{
    struct sim *sim = sim_of(kernel);
    struct sim_ring *self = ring_of(ring);
    int taken, result;

    sim->enters++;
    sim->looks = 0;
    self->sq_flags &= ~IORING_SQ_TASKRUN;
    sim->now += sim->options.clock_step_ns;
    self->choked = false;
    sim_buffers_check(self);
    flush(self);
    if (!sim_list_empty(&self->overflow) && sim_chance(sim, sim->options.submit_ebusy_per_mille))
        return -EBUSY;
    taken = submit(self, ring->sq.sqe_tail);
    sim_events_run(sim);
    if (taken < 0)
        return taken;
    if (completions(self) || until_ns <= sim->now)
        return taken;
    if (sim_chance(sim, sim->options.enter_eintr_per_mille)) {
        sim_trace(sim, "enter is interrupted");
        return -EINTR;
    }
    result = wait_until(self, until_ns);
    return result < 0 ? result : taken;
}

static int register_buffers(struct rill_kernel *kernel, struct io_uring *ring,
                            struct io_uring_buf_reg *reg)
{
    struct sim *sim = sim_of(kernel);

    if (sim->options.register_error)
        return sim->options.register_error;
    if (sim->options.register_max && reg->ring_entries > sim->options.register_max)
        return -ENOMEM;
    return sim_buffers_register(ring_of(ring), reg);
}

/* A loop that only looks at the clock has to come to its end. Its looks cost
 * more and more, up to some second, but skip nothing that happens on the way,
 * and the flag says when entering is worth it, as with DEFER_TASKRUN. */
static int64_t now(struct rill_kernel *kernel)
{
    struct sim *sim = sim_of(kernel);
    unsigned patience = sim->looks / 10000 < 20 ? sim->looks / 10000 : 20;
    int64_t next = sim_event_next(sim);
    int64_t later = sim->now + (sim->options.clock_step_ns << patience);

    if (later > next)
        later = next;
    sim->now += sim->options.clock_step_ns;
    if (sim->now < later)
        sim->now = later;
    if (++sim->looks > LOOKS_MAX && next == RILL_NEVER)
        sim_fail(sim, "%u looks at the clock, and nothing will happen", sim->looks);
    if (next <= sim->now)
        for (struct sim_link *link = sim->rings.next; link != &sim->rings; link = link->next)
            sim_container_of(link, struct sim_ring, link)->sq_flags |= IORING_SQ_TASKRUN;
    return sim->now;
}

/* It may not stand still for longer than it may be behind: that would be too late. */
static int64_t now_coarse(struct rill_kernel *kernel)
{
    struct sim *sim = sim_of(kernel);

    return sim->now - sim->now % RILL_COARSE_LAG_NS;
}

const struct rill_kernel_ops sim_kernel_ops = {
    .setup = setup,
    .teardown = teardown,
    .enter = enter,
    .register_buffers = register_buffers,
    .now = now,
    .now_coarse = now_coarse,
    .socket = sim_call_socket,
    .bind = sim_call_bind,
    .connect = sim_call_connect,
    .listen = sim_call_listen,
    .setsockopt = sim_call_setsockopt,
    .getsockopt = sim_call_getsockopt,
    .getsockname = sim_call_getsockname,
    .getpeername = sim_call_getpeername,
    .poll = sim_call_poll,
    .shutdown = sim_call_shutdown,
    .fstatat = sim_call_fstatat,
    .unlinkat = sim_call_unlinkat,
    .close = sim_call_close,
    .is_terminal = sim_call_is_terminal,
};
