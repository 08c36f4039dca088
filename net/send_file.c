/* SPDX-License-Identifier: Apache-2.0 */
#include "net/send_file.h"

#include "runtime/executor.h"

#include <errno.h>

static size_t piece_of(uint64_t size)
{
    return size < RILL_SEND_FILE_PIECE ? (size_t)size : (size_t)RILL_SEND_FILE_PIECE;
}

static bool take_piece(struct rill_send_file *send)
{
    send->piece =
        rill_pool_get(&rill_executor_here()->pool, piece_of(send->size), &send->size_class);
    return send->piece;
}

static enum rill_poll send_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_send_file *send = rill_container_of(self, struct rill_send_file, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET();          /* it may end at once */
    if (send->offset > INT64_MAX) /* one of them means "where the file stands" */
        RILL_RETURN(-EINVAL);
    if (send->size == 0)
        RILL_RETURN(0);
    if (!take_piece(send))
        RILL_RETURN(-ENOMEM);
    do {
        RILL_AWAIT(rill_file_read_at(send->file, &send->op, send->piece,
                                     piece_of(send->size - send->transferred),
                                     send->offset + send->transferred));
        if (send->op.result <= 0)
            break;
        RILL_AWAIT(rill_tcp_send_all(send->tcp, &send->op, send->piece, (size_t)send->op.result));
        send->transferred += send->op.transferred;
    } while (send->op.result >= 0 && send->transferred < send->size);
    rill_pool_put(&rill_executor_here()->pool, send->piece, send->size_class);
    RILL_RETURN(send->op.result < 0 ? send->op.result : (int64_t)send->transferred);
    RILL_END();
}

struct rill_future *rill_tcp_send_file(struct rill_tcp *tcp, struct rill_send_file *send,
                                       struct rill_file *file, uint64_t offset, uint64_t size)
{
    send->transferred = 0;
    send->tcp = tcp;
    send->file = file;
    send->offset = offset;
    send->size = size;
    return rill_future_init(&send->future, send_poll);
}
