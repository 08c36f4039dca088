/* SPDX-License-Identifier: Apache-2.0 */
/* op.h - one operation of the kernel: the leaf future of everything in io and net.
 *
 * An op lives with its caller, in the struct of the task that awaits it, and is
 * used again for the next operation when it is over. The functions that prepare
 * one (rill_tcp_send, rill_file_read, ...) do nothing else; the operation starts
 * when it is first polled, which an await does at once.
 *
 * From then on until it is over, the kernel owns the op and the buffers that it
 * points to: neither may be touched or freed. Being over is the only way to get
 * them back. Cancelling asks the kernel to let go and waits until it has, so that
 * the result is -ECANCELED, or the real one if the operation won the race.
 *
 * What it can not do at once, as with files, the kernel leaves to a thread of its own, and so
 * what has to wait for a socket or a pipe, if there is no memory to wait without one. Where the
 * process may have no more of them (RLIMIT_NPROC, pids.max of its control group), the result is
 * -EAGAIN and nothing was done. */
#ifndef RILL_IO_OP_H
#define RILL_IO_OP_H

#include "runtime/future.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_op;
struct rill_receiver;

/* The largest number of bytes in one submission; more is done in several. */
#define RILL_OP_CHUNK_MAX ((uint64_t)1 << 30)

/* Called within the reactor's drain for each completion of the op. Stores and
 * wakes; runs nothing. */
typedef void rill_op_complete_fn(struct rill_op *op, int32_t answer, uint32_t cqe_flags);

enum rill_op_state {
    /* A zeroed op, or one that is over. Preparing makes it PREPARED. */
    RILL_OP_IDLE,
    /* Its first poll submits it. Becomes IN_KERNEL or QUEUED; IDLE if cancelled. */
    RILL_OP_PREPARED,
    /* In reactor.backlog, as the submission queue is full. Becomes IN_KERNEL; IDLE if cancelled. */
    RILL_OP_QUEUED,
    /* In buffers.starved, as no buffer is free. Becomes IN_KERNEL or QUEUED; IDLE if cancelled. */
    RILL_OP_STARVED,
    /* The kernel owns it. Its last completion makes it ANSWERED, a cancel CANCELLING. */
    RILL_OP_IN_KERNEL,
    /* As before, and a cancel is submitted or in reactor.backlog. Becomes ANSWERED. */
    RILL_OP_CANCELLING,
    /* The kernel has let go. Its next poll makes it IDLE, or submits what is left. */
    RILL_OP_ANSWERED,
};

enum {
    RILL_OP_EXACT = 1,     /* go on until all bytes are moved, the stream ends or an error */
    RILL_OP_AT_OFFSET = 2, /* what follows goes to the bytes that follow in the file */
    RILL_OP_SHIELDED = 4,  /* cannot be cancelled: closing */
    RILL_OP_LITERAL = 8,   /* remaining is no number of bytes: it goes to the kernel as it is */
};

/* Zeroed before its first use: preparing one that is in flight is a panic, which it is known by. */
struct rill_op {
    union {
        int64_t result; /* as the function that prepared it says */
        struct rill_future future;
    };
    uint64_t transferred; /* bytes moved, of use where a longer transfer failed on its way */

    /* private: what goes into the submission entry (io_uring_enter(2)) */
    uint64_t address;
    union {
        uint64_t offset;
        struct rill_receiver *receiver; /* of a receive that takes from it, not from the kernel */
        unsigned queue_tail; /* while in reactor.quiet: behind its place in the kernel's queue */
    };
    uint64_t remaining;
    uint32_t op_flags;
    int32_t fd;
    uint8_t opcode;
    uint8_t sqe_flags;
    uint16_t ioprio;

    /* private: its life */
    uint8_t state;            /* enum rill_op_state */
    uint8_t kind;             /* RILL_OP_EXACT ... */
    uint16_t generation;      /* counts submissions; a late cancel misses the next one */
    struct rill_task *waiter; /* woken by the last completion, or NULL */
    /* reactor.backlog or .quiet, buffers.starved, recheck.heard, or recancel.cancelling */
    struct rill_link queue;
    rill_op_complete_fn *complete;
};

/* For those who build operations of their own: prepares an op for opcode, as
 * io_uring_prep_rw(3) does, with a complete function that stores the answer. It
 * panics if the op is in flight. Borrows the memory at address until it is over. Returns
 * op->future. */
struct rill_future *rill_op_prepare(struct rill_op *op, const struct rill_place *name,
                                    uint8_t opcode, int fd, const void *address, uint64_t length,
                                    uint64_t offset);

/* Prepares an op that is over for the same operation on other memory, and leaves
 * all else as it is: for those that go on by themselves while somebody awaits. */
void rill_op_refill(struct rill_op *op, const void *address, uint64_t length);

/* Prepares closing fd. The result is 0 or what close(2) says; the descriptor is
 * gone in any case. It cannot be cancelled. */
struct rill_future *rill_op_close(struct rill_op *op, int fd);

/* The state machine itself, for futures that wrap an op. */
enum rill_poll rill_op_poll(struct rill_future *self, struct rill_task *task);

/* The complete function of an op with one completion. */
void rill_op_complete(struct rill_op *op, int32_t answer, uint32_t cqe_flags);

/* private: whether an op that is being completed was not even begun, for want of a thread. */
bool rill_op_was_refused(const struct rill_op *op, int32_t answer);

#ifdef __cplusplus
}
#endif
#endif
