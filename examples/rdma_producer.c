/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_producer.c - sends the numbers from 1 to COUNT to a consumer (rdma_consumer.c), and on
 * each ten thousand an urgent zero that overtakes what waits. */
#include "io/program.h"
#include "rdma/priority_sender.h"
#include "runtime/retry.h"
#include "runtime/scope.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER = 1, URGENT = 2, PLACES = 64, SLOTS = 16, URGENT_EACH = 10000 };

struct producer {
    struct rill_future future;
    struct rill_address address;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_hub hub;
    struct rill_rdma_connection connection;
    struct rill_retry connecting;
    struct rill_scope scope;
    struct rill_task sender_task; /* in scope; sends what is in the outbox */
    struct rill_rdma_priority_sender sender;
    struct rill_rdma_pipeline pipeline;
    struct rill_rdma_pipeline_slot slots[SLOTS];
    struct outbox RILL_PRIORITY_CHANNEL(struct rill_rdma_outgoing, PLACES) outbox;
    struct rill_rdma_outgoing message;
    struct rill_channel_op put;
    uint64_t *numbers; /* borrowed by the pipeline */
    uint64_t count, i;
};

static struct rill_future *attempt(struct rill_retry *retry)
{
    struct producer *producer = rill_container_of(retry, struct producer, connecting);

    return rill_rdma_connect(&producer->connection, &producer->hub, &producer->address, NULL);
}

static const struct rill_retry_policy policy = {
    .attempts_max = 5,
    .first_ns = 50 * RILL_MILLISECOND,
    .max_ns = RILL_SECOND,
    .limit_ns = 10 * RILL_SECOND,
};

static enum rill_poll sender_poll(struct rill_future *self, struct rill_task *task)
{
    struct producer *producer = rill_container_of(self, struct producer, sender_task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_send_by_priority(&producer->sender, &producer->pipeline,
                                          &producer->outbox.priority));
    RILL_RETURN(producer->sender.result);
    RILL_END();
}

static int64_t producer_open(struct producer *producer)
{
    int error = rill_rdma_open(&producer->rdma, NULL);

    if (error) {
        fprintf(stderr, "no rdma: %s\n", producer->rdma.why.text);
        return error;
    }
    return rill_rdma_hub_open(&producer->hub, &producer->rdma);
}

static struct rill_future *put(struct producer *producer, enum rill_priority priority, uint32_t tag,
                               const uint64_t *number)
{
    producer->message =
        (struct rill_rdma_outgoing){.buffer = number, .size = sizeof *number, .tag = tag};
    return rill_priority_channel_send(&producer->outbox, &producer->put, priority,
                                      &producer->message);
}

static enum rill_poll producer_poll(struct rill_future *self, struct rill_task *task)
{
    struct producer *producer = rill_container_of(self, struct producer, future);

    RILL_BEGIN();
    producer->connecting.result = producer_open(producer);
    if (producer->connecting.result < 0)
        RILL_RETURN(producer->connecting.result);
    RILL_AWAIT(rill_retry(&producer->connecting, &policy, attempt));
    if (producer->connecting.result < 0)
        RILL_RETURN(producer->connecting.result);
    printf("connected\n");
    fflush(stdout);

    rill_priority_channel_init(&producer->outbox);
    rill_rdma_pipeline_init(&producer->pipeline, &producer->connection, producer->slots, SLOTS,
                            NULL);
    rill_scope_init(&producer->scope, RILL_SCOPE_TOGETHER);
    rill_scope_spawn(&producer->scope, &producer->sender_task, sender_poll);
    for (producer->i = 1; producer->i <= producer->count; producer->i++) {
        producer->numbers[producer->i] = htole64(producer->i);
        RILL_AWAIT(put(producer, RILL_PRIORITY_NORMAL, NUMBER, &producer->numbers[producer->i]));
        if (producer->i % URGENT_EACH == 0 && producer->put.result == 0)
            RILL_AWAIT(put(producer, RILL_PRIORITY_HIGH, URGENT, &producer->numbers[0]));
        if (producer->put.result < 0) /* the connection was lost */
            break;
    }
    rill_priority_channel_close(&producer->outbox);
    RILL_AWAIT(rill_scope_join(&producer->scope));
    rill_priority_channel_finish(&producer->outbox);
    RILL_AWAIT(rill_rdma_disconnect(&producer->connection));
    printf("%llu messages sent\n", (unsigned long long)producer->pipeline.sent);
    RILL_RETURN(producer->scope.result < 0 ? producer->scope.result : producer->connection.result);
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct producer producer;
    int status;

    if (argc != 4 ||
        rill_address_parse(&producer.address, argv[1], (uint16_t)strtoul(argv[2], NULL, 10)) < 0) {
        fprintf(stderr, "usage: rdma_producer ADDRESS PORT COUNT\n");
        return 2;
    }
    producer.count = strtoull(argv[3], NULL, 10);
    producer.numbers = calloc(producer.count + 1, sizeof *producer.numbers);
    if (!producer.numbers) {
        fprintf(stderr, "rdma_producer: no memory for so many numbers\n");
        return 1;
    }
    status = rill_main(rill_future_init(&producer.future, producer_poll));
    free(producer.numbers);
    return status;
}
