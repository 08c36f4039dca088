/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_memory.c - a guest book in the memory of a host, in which the guests count and write
 * without the host's doing anything. */
#include "io/program.h"
#include "rdma/exchange.h"
#include "rdma/memory.h"
#include "runtime/scope.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

enum { GUESTS = 3, KNOCKS = 100, NAME = 16 };
enum { TICKET = 1, WRITTEN = 2 }; /* tags */

/* What the host lets its guests at, all zero at first. */
struct book {
    uint64_t guests; /* who adds one to it has the page of that number */
    uint64_t knocks; /* by all of them */
    uint64_t first;  /* 1 and the page of the guest that was first, or 0 */
    char names[GUESTS][NAME];
};

/* What a guest needs in order to reach it: where it is over there, and its key. */
struct ticket {
    uint64_t address;
    unsigned char key[1024];
};

struct host {
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_rdma_hub hub;
    struct rill_rdma_memory memory; /* a struct book */
    struct rill_rdma_key key;
    uint64_t address;
    unsigned names; /* that were written */
};

/* ---- the host: a porter for each guest ---- */

struct porter {
    struct rill_task task;
    struct host *host;
    struct rill_rdma_am stranger;
    struct rill_rdma_connection connection;
    struct rill_rdma_state_wait connected;
    struct rill_rdma_transfer send, recv;
    struct iovec ticket[2];
    uint64_t page;
    int error;
};

static enum rill_poll porter_poll(struct rill_future *self, struct rill_task *task)
{
    struct porter *porter = rill_container_of(self, struct porter, task.future);
    struct host *host = porter->host;

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_accept_worker(&host->hub, &porter->stranger));
    if (porter->stranger.result < 0)
        RILL_RETURN(porter->stranger.result);
    porter->error =
        rill_rdma_adopt_worker(&porter->connection, &host->hub, &porter->stranger, NULL);
    if (porter->error)
        RILL_RETURN(porter->error);
    RILL_AWAIT(rill_rdma_wait_for_connection(&porter->connection, &porter->connected));

    porter->ticket[0] = (struct iovec){&host->address, sizeof host->address};
    porter->ticket[1] = (struct iovec){(void *)(uintptr_t)host->key.bytes, host->key.size};
    RILL_AWAIT(
        rill_rdma_send_vectored(&porter->connection, &porter->send, porter->ticket, 2, TICKET));

    /* A guest says when it has written something: nothing else tells. It may go on writing and
     * reading until it has disconnected, so that is waited for. */
    for (;;) {
        RILL_AWAIT(rill_rdma_recv(&porter->connection, &porter->recv, &porter->page,
                                  sizeof porter->page, WRITTEN));
        if (porter->recv.result != sizeof porter->page || porter->page >= GUESTS)
            break;
        host->names += ((struct book *)host->memory.address)->names[porter->page][0] != '\0';
    }
    RILL_AWAIT(rill_rdma_disconnect(&porter->connection));
    RILL_RETURN(porter->connection.result);
    RILL_END();
}

/* ---- a guest ---- */

struct guest {
    struct rill_task task;
    struct rill_future visit;
    struct rill_rdma_hub *hub;
    const void *host; /* the address of its worker */
    const char *name;
    struct rill_rdma_connection connection;
    struct rill_rdma_transfer send, recv;
    struct ticket ticket;
    struct rill_rdma_remote book;
    struct rill_rdma_op op;
    uint64_t page, before, first, knocks;
    int error, i;
};

static enum rill_poll visit_poll(struct rill_future *self, struct rill_task *task)
{
    struct guest *guest = rill_container_of(self, struct guest, visit);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_recv(&guest->connection, &guest->recv, &guest->ticket,
                              sizeof guest->ticket, TICKET));
    if (guest->recv.result <= (int64_t)sizeof guest->ticket.address)
        RILL_RETURN(guest->recv.result < 0 ? guest->recv.result : -EPROTO);
    guest->error = rill_rdma_remote_open(&guest->book, &guest->connection.ep, guest->ticket.address,
                                         guest->ticket.key,
                                         (size_t)guest->recv.result - offsetof(struct ticket, key));
    if (guest->error)
        RILL_RETURN(guest->error);

    /* What was there before is a number that no other guest gets. */
    RILL_AWAIT(rill_rdma_fetch_add(&guest->book, &guest->op, offsetof(struct book, guests), 1,
                                   &guest->page));
    if (guest->op.result < 0 || guest->page >= GUESTS)
        RILL_RETURN(guest->op.result < 0 ? guest->op.result : -ENOSPC);
    for (guest->i = 0; guest->i < KNOCKS; guest->i++) {
        RILL_AWAIT(rill_rdma_fetch_add(&guest->book, &guest->op, offsetof(struct book, knocks), 1,
                                       &guest->before));
        if (guest->op.result < 0)
            RILL_RETURN(guest->op.result);
    }
    guest->first = guest->page + 1;
    RILL_AWAIT(rill_rdma_compare_swap(&guest->book, &guest->op, offsetof(struct book, first), 0,
                                      &guest->first));
    if (guest->op.result < 0)
        RILL_RETURN(guest->op.result);

    /* Nobody else writes to this page. After the put the name here is free to be changed; only
     * after the flush it is over there, and the host may be told. */
    RILL_AWAIT(rill_rdma_put(&guest->book, &guest->op, guest->name, NAME,
                             offsetof(struct book, names) + guest->page * NAME));
    if (guest->op.result < 0)
        RILL_RETURN(guest->op.result);
    RILL_AWAIT(rill_rdma_ep_flush(&guest->connection.ep, &guest->op));
    if (guest->op.result < 0)
        RILL_RETURN(guest->op.result);
    RILL_AWAIT(rill_rdma_send(&guest->connection, &guest->send, &guest->page, sizeof guest->page,
                              WRITTEN));

    RILL_AWAIT(rill_rdma_get(&guest->book, &guest->op, &guest->knocks, sizeof guest->knocks,
                             offsetof(struct book, knocks)));
    RILL_RETURN(guest->op.result);
    RILL_END();
}

static enum rill_poll guest_poll(struct rill_future *self, struct rill_task *task)
{
    struct guest *guest = rill_container_of(self, struct guest, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_connect_worker(&guest->connection, guest->hub, guest->host, NULL));
    if (guest->connection.result < 0)
        RILL_RETURN(guest->connection.result);
    RILL_AWAIT(rill_future_init(&guest->visit, visit_poll));
    rill_rdma_remote_close(&guest->book); /* before its endpoint, which disconnecting closes */
    RILL_AWAIT(rill_rdma_disconnect(&guest->connection));
    RILL_RETURN(guest->visit.result);
    RILL_END();
}

/* ---- both in one program ---- */

struct program {
    struct rill_future future;
    struct host host;
    struct porter porters[GUESTS];
    struct rill_rdma rdma; /* of the guests; ends with the runtime */
    struct rill_rdma_hub hub;
    struct guest guests[GUESTS];
    struct rill_scope scope; /* of porters and guests */
};

static int host_open(struct host *host)
{
    int error = rill_rdma_open(&host->rdma, NULL);

    if (!error)
        error = rill_rdma_hub_open(&host->hub, &host->rdma);
    if (!error)
        error = rill_rdma_memory_register(&host->memory, &host->rdma, NULL, sizeof(struct book));
    if (error)
        return error;
    *(struct book *)host->memory.address = (struct book){0};
    host->address = (uintptr_t)host->memory.address;
    return rill_rdma_memory_pack(&host->memory, &host->key);
}

/* By now nobody reaches for the memory any more: each connection has ended on this side. */
static void host_close(struct host *host)
{
    rill_rdma_key_release(&host->key);
    rill_rdma_memory_release(&host->memory);
}

static int program_open(struct program *program)
{
    int error = host_open(&program->host);

    if (!error)
        error = rill_rdma_open(&program->rdma, NULL);
    if (!error)
        error = rill_rdma_hub_open(&program->hub, &program->rdma);
    return error;
}

static void start(struct program *program)
{
    static const char names[GUESTS][NAME] = {"Ada", "Grace", "Barbara"};
    size_t size;

    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    for (int i = 0; i < GUESTS; i++) {
        struct porter *porter = &program->porters[i];
        struct guest *guest = &program->guests[i];

        porter->host = &program->host;
        guest->hub = &program->hub;
        guest->host = rill_rdma_address(&program->host.rdma, &size);
        guest->name = names[i];
        rill_scope_spawn(&program->scope, &porter->task, porter_poll);
        rill_scope_spawn(&program->scope, &guest->task, guest_poll);
    }
}

static void report(const struct program *program)
{
    const struct book *book = program->host.memory.address;
    int firsts = 0, sums = 0;

    for (int i = 0; i < GUESTS; i++) {
        firsts += program->guests[i].first == 0; /* nobody had been there before */
        sums += program->guests[i].knocks >= KNOCKS;
    }
    printf("%d guests knocked %d times, and %u wrote their names\n", (int)book->guests,
           (int)book->knocks, program->host.names);
    printf("%d of them was the first, and %d have read how often all had knocked\n", firsts, sums);
}

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->scope.result = program_open(program);
    if (program->scope.result == 0) {
        start(program);
        RILL_AWAIT(rill_scope_join(&program->scope));
    }
    if (program->scope.result == 0)
        report(program);
    host_close(&program->host);
    RILL_RETURN(program->scope.result);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
