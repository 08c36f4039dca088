/* SPDX-License-Identifier: Apache-2.0 */
/* rdma.h - UCX in a runtime: one context and one worker, waited for with the ring.
 *
 *     struct rill_rdma rdma;
 *     int error = rill_rdma_open(&rdma, NULL);
 *
 *     if (error) {
 *         fprintf(stderr, "no rdma: %s\n", rdma.why.text);
 *         return 1;
 *     }
 *     result = rill_block_on(runtime, &server->future);
 *     rill_rdma_close(&rdma);
 *
 * UCX chooses among the transports of the machine: InfiniBand and RoCE, TCP where
 * there is no such device, shared memory if asked for. What it does is driven by the
 * runtime's turn (io/event_source.h); its callbacks store results and wake tasks.
 *
 * All functions in rdma/ belong to the thread of the runtime. A program that forks does
 * so before it opens this, or uses no UCX in the child. */
#ifndef RILL_RDMA_RDMA_H
#define RILL_RDMA_RDMA_H

#include "io/event_source.h"
#include "rdma/config.h"
#include "rdma/ucx.h"
#include "runtime/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A zeroed field means its default, in brackets. */
struct rill_rdma_options {
    /* Shared memory too, for peers on this machine. One that is killed or stopped is then
     * not reported by UCX: for those who watch their peers themselves. And one that is killed amid
     * sending may leave a hole in the queue that all its peers share, behind which UCX reads
     * nothing that comes by shared memory any more, from whomever: then everything fails with
     * -ENOTRECOVERABLE, and the rdma has to be opened anew (hearing.h). It takes some 5
     * MiB of /dev/shm, and more for messages that nobody has received yet; where that is full, UCX
     * drops messages, and all endpoints fail with -ENOBUFS (loss.h). Naming it in
     * UCX_TLS is not enough: without this, endpoints do not use it, and where that names nothing
     * else (sm,self) opening one ends with -EHOSTUNREACH. [no] */
    bool shared_memory;
    /* Endpoints without a connection too (endpoint.h), whose other side may be any program that
     * uses UCX: rill_rdma_ep_open, _connect and _adopt are -EOPNOTSUPP without this. It has its
     * price: pieces of long messages are then as long over TCP as UCX has them, 64 KiB. Where all
     * are connections, whose two sides compare that (segments.h), they are of 512 KiB, so that
     * messages of 1 MiB go up to twice as fast; a peer whose message is read in part holds up to 1
     * MiB meanwhile, and not 128 KiB. So a connection between a worker with this and one without
     * ends with -EPROTOTYPE: a program that needs both kinds opens two workers, though not where
     * connections come and go quickly (docs/guide/rdma_endpoints.md). A TCP_RX_SEG_SIZE of the
     * user's is stronger. [no] */
    bool bare_endpoints;
    /* Long messages in longer pieces wherever they go. With shared_memory, over that, of 32 KiB and
     * not of 8 KiB: those of 1 MiB go up to twice as fast. A message of some 100 bytes or more that
     * nobody has received yet holds such a piece (credit.h). With bare_endpoints, over TCP, too, of
     * 512 KiB. Both sides have to ask for it, as a piece that is longer than its own ends UCX over
     * TCP, and over shared memory overwrites what is behind (segments.h): two sides of a connection
     * compare what is in effect (-EPROTOTYPE), and with bare endpoints the program has to make sure
     * of it. A TCP_RX_SEG_SIZE, POSIX_SEG_SIZE or MM_SEG_SIZE of the user's is stronger. [no] */
    bool long_segments;
    /* Over TCP alone, whatever devices there are. Messages of less than 60,000 bytes then go to the
     * other side at once, and not only those of less than 8,000 (RILL_RDMA_EAGER_SIZE), which other
     * transports would have to cut: from 8,000 on they take half as long. So much more of what
     * nobody has received yet lies on the receiving side, where it counts as credit (credit.h), and
     * what a peer does not read keeps 64 KiB here, and not 8. A TLS of the user's is stronger, and
     * has to be TCP alone then. -EINVAL with shared_memory. Without this it is the same where
     * there is nothing but TCP: without shared_memory and any device for RDMA, or with a TLS of the
     * user's that names TCP alone; unless the user has set how long pieces are. [no] */
    bool tcp_only;
    /* With shared memory: the kernel copies long messages once, from the sender's buffer to the
     * receiver's (CMA: process_vm_readv(2)), and not twice through memory between them, which
     * is a third faster. The price: an endpoint that is closed by force, and so a connection that
     * fails or is cut, gives the buffers of its sends back at once, while a peer that still
     * lives may be about to copy from them: it gets then as a message what was written there
     * since. UCX uses no CMA where errors are reported for this reason. For programs that leave
     * such buffers alone, or whose messages tell that they are whole. [no] */
    bool single_copy;
    /* Settings of UCX, which are stronger than the environment's UCX_ variables; but for those that
     * it reads as the process starts, such as LOG_FILE: -EINVAL. Those of the whole process that
     * can be changed, such as LOG_LEVEL, stay as they are set here. Where neither says something, a
     * few are rill's: they stand, with the reasons, at the top of config.c. */
    const struct rill_rdma_setting *settings;
    size_t setting_count;
    /* What is asked of UCX, of its UCP_FEATURE_ bits, which cannot be added later. Those that are
     * left out are closed to peers, too: see stream.h and docs/guide/rdma_memory.md for what a peer
     * can do with some. [all that rill has functions for] */
    uint64_t features;
    const struct rill_ucx *ucx; /* [&rill_ucx_library] */
};

/* Lists by which an endpoint is found from UCX's handle. */
enum {
    RILL_RDMA_EP_BUCKETS = 1024,
    /* Connections over TCP that a worker may have, where there are descriptors for them (the hard
     * limit of RLIMIT_NOFILE counts). UCX by itself has room for 1,024, and 1.13 closes the
     * descriptor of the next one twice, which may be another's by then
     * (uct_tcp_listener_conn_req_handler in tcp_listener.c); with 1.13 a worker pays eight bytes
     * for each. UCX_ASYNC_MAX_EVENTS in the environment beats it. */
    RILL_RDMA_SOCKETS_MAX = 65536,
};

/* What was counted since it was opened. Those of waiting are in source.stats. */
struct rill_rdma_stats {
    uint64_t posts;             /* operations given to UCX */
    uint64_t posts_inline;      /* of those, the ones that were over at once */
    uint64_t cancels;           /* receives that UCX was asked to let go of */
    uint64_t abandoned;         /* operations that it did not let go of: see endpoint.h */
    uint64_t endpoints_failed;  /* that UCX reported */
    uint64_t requests_rejected; /* connections, for want of room in a listener */
    uint64_t losses; /* times that messages may have been dropped for want of memory: loss.h */
};

/* Something that looks at the state of UCX after each call of progress, for what no
 * callback tells. It stores and wakes and runs nothing, and may leave the list, but
 * may not make another one do so. */
struct rill_rdma_watcher {
    /* Returns how much happened: more than 0 if a task was woken. */
    unsigned (*look)(struct rill_rdma_watcher *watcher);
    struct rill_link link; /* rill_rdma.watchers */
};

/* private: the number of somebody who takes active messages, how that is closed with the rdma, and
 * how it is told that everything fails (loss.h), if it is (NULL: it is not). */
struct rill_rdma_am_number {
    void (*close)(struct rill_rdma_am_number *number);
    void (*lose)(struct rill_rdma_am_number *number);
    unsigned id;
    struct rill_link taken; /* rill_rdma.numbers; linked while somebody has the number */
};

/* private: what is said to find out whether a worker hears: hearing.h. */
struct rill_rdma_hearing {
    ucp_worker_h speaker; /* another one, whose word this one hears */
    ucp_ep_h ep;          /* from there to here */
    uint64_t word;
    bool was_heard;
    bool is_mute;   /* the endpoint has failed: nothing can be found out any more */
    unsigned looks; /* calls of progress since the word was said */
    int64_t deadline_ns;
    struct rill_rdma_watcher watcher; /* linked until it was heard, or has had its time */
    struct rill_rdma_am_number number;
};

/* Invariant: source.pending counts the operations that UCX has, the watchers, and the tasks
 * that wait for what others send. */
struct rill_rdma {
    struct rill_rdma_why why;    /* after a failed open: why */
    struct rill_rdma_why remark; /* after one that worked: an unknown UCX_ variable, or "" */
    struct rill_rdma_stats stats;
    struct rill_event_source source;
    size_t ops_in_flight; /* of this worker and its endpoints */
    size_t endpoints;     /* open */
    size_t listeners;     /* open */
    size_t memories;      /* registered, those of pools of buffers too */
    size_t messages;      /* active ones that were received and not given back */
    bool is_deaf;         /* to shared memory, and has to be opened anew: hearing.h */
    uint64_t client_id;   /* random; what the other side may see of a connection request */
    uint32_t eager_size;  /* from this size on messages stay with this side until they are received:
                             UCX_RNDV_THRESH; where that leaves it to UCX (auto): UINT32_MAX */

    /* private */
    const struct rill_ucx *ucx;
    ucp_context_h context;
    ucp_worker_h worker;
    ucp_address_t *address;
    size_t address_size;
    struct rill_link ops;       /* of rill_rdma_op.in_flight: those of no endpoint */
    struct rill_link numbers;   /* of rill_rdma_am_number.taken */
    struct rill_link watchers;  /* of rill_rdma_watcher.link */
    struct rill_link accepting; /* of rill_rdma_listener.of_rdma */
    struct rill_link notes;     /* of rill_rdma_note.link: those that were abandoned */
    struct rill_link eps[RILL_RDMA_EP_BUCKETS]; /* of rill_rdma_ep.all */
    uint64_t last_serial;                       /* of endpoints */
    uint32_t ids_given;                         /* to connections, by hubs that were closed */
    struct rill_rdma_segments segments;
    bool is_open;
    bool has_bare_endpoints; /* they may be opened */
    bool is_short;           /* of descriptors, UCX says; set by any thread: shortage.c */
    bool has_lost;           /* a message, UCX says; within its progress: loss.c */
    bool is_spoiled;         /* UCX could not destroy the worker: loss.c */
    int common_error;        /* why everything failed: loss.c */
    struct rill_rdma_hearing hearing;
    struct rill_link opened; /* loss.c: those of this thread */
    size_t young_count;      /* endpoints that are about to open descriptors */
    struct rill_link young;  /* of rill_rdma_ep.young, in the order in which they were made */
    size_t stream_readers;   /* that wait: see stream.c */
    struct rill_rdma_watcher stream; /* linked while there are some */
};

/* Opens UCX in the runtime of this thread. options may be NULL, and are borrowed until
 * this returns. The signal handlers that the library put up before main began are given
 * back, unless UCX_HANDLE_ERRORS asks for them. The environment is changed meanwhile, as UCX
 * takes settings of single transports from there alone: no other thread may read it then; where
 * several open, each in its runtime, they take turns. Threads that UCX starts, here and later, get
 * none of the program's signals.
 * Returns 0, or -errno with a sentence in rdma->why:
 *   -EINVAL  a setting that UCX does not have, or does not take; options that exclude each other
 *   -EMFILE  there are no 32 descriptors left for it, or 64 with shared_memory
 *   -EAGAIN, -ENOSPC  there is no thread left for it, or no room in /dev/shm for shared memory
 *   -ENODEV  none of the transports of the setting TLS is there
 *   -ENOMEM, -EIO, ... what UCX says; as a rule it has printed more on stdout */
int rill_rdma_open(struct rill_rdma *rdma, const struct rill_rdma_options *options);

/* Closes it, with its hubs, inboxes and services; rill_runtime_destroy does so by itself. Panics if
 * an endpoint or a listener is open, memory registered, an active message not given back, a request
 * not answered, an operation in flight, or if a task waits for a message. Does nothing to one that
 * is closed, or zeroed. */
void rill_rdma_close(struct rill_rdma *rdma);

/* The address of the worker, which a peer needs for rill_rdma_ep_open: bytes to be
 * carried there by other means. Lends them until the rdma is closed: of one that is not open it is
 * NULL, and *size 0. */
static inline const void *rill_rdma_address(const struct rill_rdma *rdma, size_t *size)
{
    *size = rdma->address_size;
    return rdma->address;
}

/* private: joins the watchers, and leaves them if it is one of them. */
void rill_rdma_watch(struct rill_rdma *rdma, struct rill_rdma_watcher *watcher);
void rill_rdma_unwatch(struct rill_rdma *rdma, struct rill_rdma_watcher *watcher);

#ifdef __cplusplus
}
#endif
#endif
