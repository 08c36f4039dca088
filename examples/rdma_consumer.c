/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_consumer.c - adds up the numbers that its producers (rdma_producer.c) send. */
#include "io/program.h"
#include "rdma/exchange.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One producer. It cannot be faster than we are: what we have not received is credit that
 * it has not got (rdma/credit.h). */
struct intake {
    struct rill_task task;
    struct rill_rdma_connection connection;
    struct rill_rdma_state_wait connected;
    struct rill_rdma_transfer recv;
    uint64_t number, count, sum;
};

static enum rill_poll intake_poll(struct rill_future *self, struct rill_task *task)
{
    struct intake *intake = rill_container_of(self, struct intake, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_wait_for_connection(&intake->connection, &intake->connected));
    for (;;) {
        RILL_AWAIT(rill_rdma_recv(&intake->connection, &intake->recv, &intake->number,
                                  sizeof intake->number, RILL_RDMA_ANY_TAG));
        if (intake->recv.result != sizeof intake->number)
            break;
        intake->count++;
        intake->sum += le64toh(intake->number);
    }
    RILL_AWAIT(rill_rdma_disconnect(&intake->connection));
    printf("%llu numbers, their sum is %llu%s%s\n", (unsigned long long)intake->count,
           (unsigned long long)intake->sum, intake->connection.result < 0 ? "; then: " : "",
           intake->connection.result < 0 ? strerror((int)-intake->connection.result) : "");
    fflush(stdout);
    RILL_END();
}

struct consumer {
    struct rill_future future;
    struct rill_address address;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_hub hub;
    struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
};

static int consumer_open(struct consumer *consumer)
{
    int error = rill_rdma_open(&consumer->rdma, NULL);

    if (error) {
        fprintf(stderr, "no rdma: %s\n", consumer->rdma.why.text);
        return error;
    }
    error = rill_rdma_hub_open(&consumer->hub, &consumer->rdma);
    if (!error)
        error = rill_rdma_listen(&consumer->listener, &consumer->rdma, &consumer->address);
    if (!error && rill_rdma_listener_address(&consumer->listener, &consumer->address) == 0) {
        printf("listening on port %d\n", rill_address_port(&consumer->address));
        fflush(stdout);
    }
    return error;
}

/* Gives the producer a task of its own, or turns it away. */
static void consumer_start_intake(struct consumer *consumer)
{
    struct intake *intake = rill_task_alloc(sizeof *intake);

    if (!intake) {
        rill_rdma_reject(&consumer->accept);
    } else if (rill_rdma_adopt(&intake->connection, &consumer->hub, &consumer->accept, NULL) < 0) {
        rill_task_free(intake);
    } else {
        rill_task_spawn(&intake->task, intake_poll);
        rill_task_detach(&intake->task);
    }
}

static enum rill_poll consumer_poll(struct rill_future *self, struct rill_task *task)
{
    struct consumer *consumer = rill_container_of(self, struct consumer, future);

    RILL_BEGIN();
    consumer->accept.result = consumer_open(consumer);
    while (consumer->accept.result == 0) {
        RILL_AWAIT(rill_rdma_accept(&consumer->listener, &consumer->accept));
        if (consumer->accept.result == 0)
            consumer_start_intake(consumer);
    }
    rill_rdma_listener_close(&consumer->listener);
    RILL_RETURN(consumer->accept.result);
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct consumer consumer;

    rill_address_parse(&consumer.address, "0.0.0.0",
                       argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000);
    return rill_main(rill_future_init(&consumer.future, consumer_poll));
}
