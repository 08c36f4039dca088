/* SPDX-License-Identifier: Apache-2.0 */
/* op.c - one submission entry from its first attempt to its completion. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct opcode {
    const char *name;
    bool has_fd;
    bool always; /* neither cancelled nor out of memory: the kernel does it at once */
    int (*prepare)(struct sim_op *op);
    int (*attempt)(struct sim_op *op);
};

static int attempt_nop(struct sim_op *op)
{
    (void)op;
    return 0;
}

static int attempt_timeout(struct sim_op *op)
{
    (void)op;
    return -ETIME;
}

static int attempt_unknown(struct sim_op *op)
{
    (void)op;
    return -EINVAL;
}

static const struct opcode opcodes[IORING_OP_LAST] = {
    [IORING_OP_NOP] = {"nop", false, true, NULL, attempt_nop},
    [IORING_OP_ACCEPT] = {"accept", true, false, NULL, sim_attempt_accept},
    [IORING_OP_CONNECT] = {"connect", true, false, sim_prepare_address, sim_attempt_connect},
    [IORING_OP_RECV] = {"recv", true, false, sim_prepare_buffer, sim_attempt_recv},
    [IORING_OP_SEND] = {"send", true, false, sim_prepare_buffer, sim_attempt_send},
    [IORING_OP_RECVMSG] = {"recvmsg", true, false, sim_prepare_message, sim_attempt_recv},
    [IORING_OP_SENDMSG] = {"sendmsg", true, false, sim_prepare_message, sim_attempt_send},
    [IORING_OP_SHUTDOWN] = {"shutdown", true, true, NULL, sim_attempt_shutdown},
    [IORING_OP_CLOSE] = {"close", false, true, NULL, sim_attempt_close},
    [IORING_OP_READ] = {"read", true, false, sim_prepare_buffer, sim_attempt_read},
    [IORING_OP_WRITE] = {"write", true, false, sim_prepare_buffer, sim_attempt_write},
    [IORING_OP_READV] = {"readv", true, false, sim_prepare_vector, sim_attempt_read},
    [IORING_OP_WRITEV] = {"writev", true, false, sim_prepare_vector, sim_attempt_write},
    [IORING_OP_FSYNC] = {"fsync", true, false, NULL, sim_attempt_fsync},
    [IORING_OP_FALLOCATE] = {"fallocate", true, false, NULL, sim_attempt_fallocate},
    [IORING_OP_OPENAT] = {"openat", false, false, sim_prepare_path, sim_attempt_openat},
    [IORING_OP_STATX] = {"statx", false, false, sim_prepare_path, sim_attempt_statx},
    [IORING_OP_UNLINKAT] = {"unlinkat", false, false, sim_prepare_path, sim_attempt_unlinkat},
    [IORING_OP_RENAMEAT] = {"renameat", false, false, sim_prepare_paths, sim_attempt_renameat},
    [IORING_OP_MKDIRAT] = {"mkdirat", false, false, sim_prepare_path, sim_attempt_mkdirat},
    [IORING_OP_SYMLINKAT] = {"symlinkat", false, false, sim_prepare_paths, sim_attempt_symlinkat},
    [IORING_OP_LINKAT] = {"linkat", false, false, sim_prepare_paths, sim_attempt_linkat},
    [IORING_OP_POLL_ADD] = {"poll", true, false, NULL, sim_attempt_poll},
    [IORING_OP_TIMEOUT] = {"timeout", false, true, NULL, attempt_timeout},
    [IORING_OP_ASYNC_CANCEL] = {"cancel", false, true, NULL, sim_attempt_cancel},
};

static const struct opcode *opcode_of(const struct sim_op *op)
{
    static const struct opcode unknown = {"unknown", false, true, NULL, attempt_unknown};

    if (op->sqe.opcode >= IORING_OP_LAST || !opcodes[op->sqe.opcode].attempt)
        return &unknown;
    return &opcodes[op->sqe.opcode];
}

const char *sim_op_name(const struct sim_op *op)
{
    return opcode_of(op)->name;
}

void sim_ops_print(struct sim *sim, FILE *file, size_t most)
{
    for (struct sim_link *link = sim->ops.next; link != &sim->ops && most; most--) {
        const struct sim_op *op = sim_container_of(link, struct sim_op, link);

        fprintf(file, "in flight: #%llu %s fd %d, %s\n", (unsigned long long)op->id,
                sim_op_name(op), op->sqe.fd, op->state == SIM_OP_WAITING ? "waits" : "is due");
        link = link->next;
    }
}

bool sim_op_chance(const struct sim_op *op, unsigned per_mille)
{
    return sim_chance(op->ring->sim, per_mille);
}

int sim_op_wait(struct sim_op *op, unsigned mask)
{
    op->wait = mask;
    return SIM_WAIT;
}

void sim_op_drop(struct sim_op *op)
{
    struct sim *sim = op->ring->sim;

    sim_event_disarm(sim, &op->event);
    sim_list_remove(&op->waiting);
    sim_list_remove(&op->link);
    sim->op_count--;
    if (op->object)
        sim_object_release(op->object);
    sim_op_forget(op);
    free(op);
}

static void trace_result(const struct sim_op *op, int result, const char *more)
{
    struct sim *sim = op->ring->sim;
    char buffer[24] = "";

    if (op->cqe_flags & IORING_CQE_F_BUFFER)
        snprintf(buffer, sizeof buffer, ", buffer %u", op->cqe_flags >> IORING_CQE_BUFFER_SHIFT);
    if (result < 0)
        sim_trace(sim, "#%llu %s fd %d -> %s", (unsigned long long)op->id, sim_op_name(op),
                  op->sqe.fd, strerrorname_np(-result));
    else
        sim_trace(sim, "#%llu %s fd %d -> %d%s%s", (unsigned long long)op->id, sim_op_name(op),
                  op->sqe.fd, result, buffer, more);
}

/* What IOSQE_CQE_SKIP_SUCCESS does not hide: errors, and transfers that were to be
 * whole and are not. */
static bool is_failure(const struct sim_op *op, int result)
{
    bool whole = (op->sqe.opcode == IORING_OP_SEND || op->sqe.opcode == IORING_OP_SENDMSG ||
                  op->sqe.opcode == IORING_OP_RECV) &&
                 op->sqe.msg_flags & MSG_WAITALL;

    return result < 0 || (whole && (size_t)result < op->total);
}

void sim_op_complete(struct sim_op *op, int result)
{
    sim_op_touch(op);
    trace_result(op, result, "");
    if (is_failure(op, result) || !(op->sqe.flags & IOSQE_CQE_SKIP_SUCCESS))
        sim_ring_post(op->ring, op->sqe.user_data, result, op->cqe_flags);
    sim_op_drop(op);
}

/* Posts one of many results. Where the queue is full the multishot ends instead,
 * as the kernel's does, and its caller has to complete it with that result. */
bool sim_op_more(struct sim_op *op, int result)
{
    struct sim *sim = op->ring->sim;

    if (sim_chance(sim, sim->options.multishot_end_per_mille) ||
        !sim_ring_try_post(op->ring, op->sqe.user_data, result, op->cqe_flags | IORING_CQE_F_MORE))
        return false;
    trace_result(op, result, ", more");
    op->cqe_flags = 0;
    return true;
}

static int interrupted_result(const struct sim_op *op)
{
    if (op->done)
        return (int)op->done;
    return sim_op_chance(op, op->ring->sim->options.cancel_eintr_per_mille) ? -EINTR : -ECANCELED;
}

/* What the kernel does not do at once: it looks at disks, or a file has to be flushed. */
static bool needs_thread(const struct sim_op *op)
{
    const struct sim_object *object;

    switch (op->sqe.opcode) {
    case IORING_OP_FSYNC:
    case IORING_OP_FALLOCATE:
    case IORING_OP_OPENAT:
    case IORING_OP_STATX:
    case IORING_OP_UNLINKAT:
    case IORING_OP_RENAMEAT:
    case IORING_OP_MKDIRAT:
    case IORING_OP_SYMLINKAT:
    case IORING_OP_LINKAT:
        return true;
    case IORING_OP_CLOSE:
        object = sim_fd_object(op->ring->sim, op->sqe.fd);
        return object && object->kind == SIM_REGULAR;
    default:
        return false;
    }
}

/* An operation that has to wait is polled for, without a thread; where there is no memory for that
 * it is left to one as well. A poll itself never is. */
static int wait_or_refuse(struct sim_op *op)
{
    bool has_waited = op->has_waited || op->sqe.opcode == IORING_OP_POLL_ADD;

    op->has_waited = true;
    if (has_waited || !sim_op_chance(op, op->ring->sim->options.no_thread_per_mille))
        return SIM_WAIT;
    return op->done ? (int)op->done : -ECANCELED;
}

static void attempt(struct sim_op *op)
{
    const struct opcode *opcode = opcode_of(op);
    const struct sim_options *options = &op->ring->sim->options;
    int result;

    if (!op->tried && !opcode->always && sim_op_chance(op, options->enomem_per_mille))
        result = -ENOMEM;
    else if (!op->tried && needs_thread(op) && sim_op_chance(op, options->no_thread_per_mille))
        result = -ECANCELED;
    else
        result = opcode->attempt(op);
    op->tried = true;
    if (result == SIM_WAIT && op->interrupted)
        result = interrupted_result(op);
    if (result == SIM_WAIT)
        result = wait_or_refuse(op);
    if (result != SIM_WAIT) {
        sim_op_complete(op, result);
        return;
    }
    op->state = SIM_OP_WAITING;
    sim_list_append(&op->object->waiters, &op->waiting);
}

/* A canceled transfer of which a part was done says so, as the kernel does. */
static void op_due(struct sim *sim, struct sim_event *event)
{
    struct sim_op *op = sim_container_of(event, struct sim_op, event);

    (void)sim;
    if (op->state == SIM_OP_CANCELED)
        sim_op_complete(op, op->done ? (int)op->done : -ECANCELED);
    else
        attempt(op);
}

void sim_op_schedule(struct sim_op *op, int64_t delay)
{
    struct sim *sim = op->ring->sim;

    sim_list_remove(&op->waiting);
    sim_event_arm(sim, &op->event, sim->now + delay);
}

static int prepare(struct sim_op *op)
{
    const struct opcode *opcode = opcode_of(op);
    const unsigned known = IOSQE_ASYNC | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;
    int result;

    if (op->sqe.flags & ~known)
        return -EINVAL;
    result = opcode->prepare ? opcode->prepare(op) : 0;
    if (result < 0 || !opcode->has_fd)
        return result;
    op->object = sim_fd_object(op->ring->sim, op->sqe.fd);
    if (!op->object && op->ring->sim->options.foreign_fds_wait && op->sqe.fd >= 0 &&
        op->sqe.fd < SIM_FD_FIRST &&
        (op->sqe.opcode == IORING_OP_READ || op->sqe.opcode == IORING_OP_POLL_ADD))
        op->object = op->ring->sim->foreign;
    if (!op->object) {
        op->ring->sim->bad_fds += op->sqe.fd >= 0; /* -1 is no closed one */
        return -EBADF;
    }
    sim_object_keep(op->object);
    return 0;
}

/* What the kernel is sure to have tried before it looks at the next entry: a cancel,
 * so that it cannot hit an operation that was submitted after it, and a transfer
 * that must not wait, which is over when the call that submitted it returns. */
static bool is_prompt(const struct io_uring_sqe *sqe)
{
    switch (sqe->opcode) {
    case IORING_OP_ASYNC_CANCEL:
        return true;
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_RECV:
        return sqe->msg_flags & MSG_DONTWAIT;
    default:
        return false;
    }
}

static int64_t timeout_of(const struct io_uring_sqe *sqe)
{
    const struct __kernel_timespec *timeout = (const void *)(uintptr_t)sqe->addr;

    return timeout->tv_sec * RILL_SECOND + timeout->tv_nsec;
}

/* The first attempt is made at once, later in this enter, or later still. */
void sim_op_start(struct sim_ring *ring, const struct io_uring_sqe *sqe)
{
    struct sim *sim = ring->sim;
    struct sim_op *op = sim_allocate(sizeof *op);
    int result;

    op->ring = ring;
    op->sqe = *sqe;
    op->id = ++sim->op_ids;
    op->event.fn = op_due;
    op->state = SIM_OP_SCHEDULED;
    sim_list_init(&op->waiting);
    sim_list_append(&sim->ops, &op->link);
    sim->op_count++;
    sim_trace(sim, "#%llu %s fd %d", (unsigned long long)op->id, sim_op_name(op), sqe->fd);
    result = prepare(op);
    if (result < 0)
        sim_op_complete(op, result);
    else if (sqe->opcode == IORING_OP_TIMEOUT)
        sim_op_schedule(op, timeout_of(sqe));
    else if ((sqe->flags & IOSQE_ASYNC) ||
             (sim->options.delay_max_ns > 0 && !is_prompt(sqe) && sim_random(sim, 3) == 0))
        sim_op_schedule(op, sim_delay(sim));
    else
        attempt(op);
}

int sim_attempt_poll(struct sim_op *op)
{
    unsigned wanted = op->sqe.poll32_events | POLLERR | POLLHUP | POLLRDHUP;
    unsigned ready = sim_object_ready(op->object) & wanted;

    if (op->sqe.len)
        return -EINVAL; /* multishot and updates are not simulated */
    return ready ? (int)ready : sim_op_wait(op, wanted);
}
