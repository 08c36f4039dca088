/* SPDX-License-Identifier: Apache-2.0 */
/* cancel.c - asks an operation in flight to end, which it may be too late for. */
#include "tests/sim/internal.h"

#include <errno.h>

static bool matches(const struct sim_op *cancel, const struct sim_op *target)
{
    unsigned flags = cancel->sqe.cancel_flags;

    if (target->ring != cancel->ring || target->sqe.opcode == IORING_OP_ASYNC_CANCEL)
        return false;
    if (flags & IORING_ASYNC_CANCEL_ANY)
        return true;
    if (flags & IORING_ASYNC_CANCEL_FD)
        return target->object && target->object == sim_fd_object(cancel->ring->sim, cancel->sqe.fd);
    return target->sqe.user_data == cancel->sqe.addr;
}

/* The kernel is just about to try the target again: then it is on none of the lists that are
 * searched, or in the hands of a thread that does not look any more whether it is to stop. */
static int miss(struct sim *sim)
{
    return sim_random(sim, 2) ? -ENOENT : -EALREADY;
}

/* A cancel that wins leaves the target's bytes where they are. One that loses
 * interrupts the target, which then has one more look: it ends with its real
 * result if there is one by then. */
static int cancel_one(const struct sim_op *cancel, struct sim_op *target)
{
    struct sim *sim = cancel->ring->sim;

    if (target->state == SIM_OP_CANCELED)
        return 0;
    if (target->sqe.opcode == IORING_OP_CLOSE || target->interrupted)
        return -EALREADY;
    if (sim_chance(sim, sim->options.cancel_missed_per_mille))
        return miss(sim);
    if (sim_chance(sim, sim->options.cancel_lost_per_mille)) {
        target->interrupted = true;
        if (target->state == SIM_OP_WAITING) {
            target->state = SIM_OP_SCHEDULED;
            sim_op_schedule(target, sim_delay(sim));
        }
        return -EALREADY;
    }
    target->state = SIM_OP_CANCELED;
    sim_op_schedule(target, sim_delay(sim));
    return 0;
}

static const char *outcome(const struct sim_op *target, int result)
{
    if (result == 0)
        return "";
    return target->interrupted ? ", too late" : ", and misses";
}

int sim_attempt_cancel(struct sim_op *op)
{
    const unsigned all = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
    const unsigned known = all | IORING_ASYNC_CANCEL_FD;
    struct sim *sim = op->ring->sim;
    int count = 0;

    if (op->sqe.cancel_flags & ~known)
        return -EINVAL;
    if ((op->sqe.cancel_flags & IORING_ASYNC_CANCEL_FD) && !sim_fd_object(sim, op->sqe.fd)) {
        sim->bad_fds++;
        return -EBADF;
    }
    for (struct sim_link *link = sim->ops.next; link != &sim->ops; link = link->next) {
        struct sim_op *target = sim_container_of(link, struct sim_op, link);
        int result;

        if (!matches(op, target))
            continue;
        result = cancel_one(op, target);
        sim_trace(sim, "#%llu cancels #%llu %s fd %d%s", (unsigned long long)op->id,
                  (unsigned long long)target->id, sim_op_name(target), target->sqe.fd,
                  outcome(target, result));
        if (!(op->sqe.cancel_flags & all))
            return result;
        count += result != -ENOENT;
    }
    return (op->sqe.cancel_flags & all) ? count : -ENOENT;
}
