/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_endpoints.c - two ways from one side of an endpoint to the other: a tagged message and an
 * active message. */
#include "io/program.h"
#include "rdma/active_message.h"
#include "rdma/tag.h"

#include <stdio.h>

enum { APPLES = 1, PEARS = 2 }; /* tags */
enum { ORDERS = 7 };            /* number of an inbox */

struct program {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_ep ep;
    struct rill_rdma_op send, recv;
    struct rill_rdma_inbox inbox;
    struct rill_rdma_am order;
    char text[32];
    int error;
};

/* The worker is its own peer here, which is why no result is looked at below. Elsewhere its
 * address comes from another machine; or there is a listener (rill_rdma_ep_connect,
 * rill_rdma_ep_adopt). */
static int program_open(struct program *program)
{
    size_t size;
    int error = rill_rdma_open(&program->rdma, &(struct rill_rdma_options){.bare_endpoints = true});

    if (!error)
        error = rill_rdma_ep_open(&program->ep, &program->rdma,
                                  rill_rdma_address(&program->rdma, &size));
    if (!error)
        error = rill_rdma_inbox_open(&program->inbox, &program->rdma, ORDERS);
    return error;
}

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->error = program_open(program);
    if (program->error)
        RILL_RETURN(program->error);

    /* Tagged messages: the receiver chooses by the tag. */
    RILL_AWAIT(rill_rdma_tag_send(&program->ep, &program->send, "three apples", 12, APPLES));
    RILL_AWAIT(rill_rdma_tag_send(&program->ep, &program->send, "two pears", 9, PEARS));
    RILL_AWAIT(rill_rdma_tag_recv(&program->rdma, &program->recv, program->text,
                                  sizeof program->text, PEARS, RILL_RDMA_TAG_EXACT));
    printf("by its tag: %.*s\n", (int)program->recv.result, program->text);
    RILL_AWAIT(rill_rdma_tag_recv(&program->rdma, &program->recv, program->text,
                                  sizeof program->text, APPLES, RILL_RDMA_TAG_EXACT));
    printf("and what came before: %.*s\n", (int)program->recv.result, program->text);

    /* Active messages: they come to an inbox, with a header. */
    RILL_AWAIT(
        rill_rdma_am_send(&program->ep, &program->send, ORDERS, "urgent", 6, "a melon", 7, 0));
    RILL_AWAIT(rill_rdma_am_recv(&program->inbox, &program->order));
    printf("in the inbox: %.*s, %.*s\n", (int)program->order.header_size,
           (const char *)program->order.header, (int)program->order.result,
           (const char *)program->order.data);
    rill_rdma_am_release(&program->order);

    rill_rdma_inbox_close(&program->inbox);
    RILL_AWAIT(rill_rdma_ep_close(&program->ep));
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
