/* SPDX-License-Identifier: Apache-2.0 */
/* sim.h - a simulated Linux whose rings, sockets, files and clock follow one seed.
 *
 * It stands below the reactor in the place of the real kernel (io/kernel.h).
 * Time is virtual: it passes by clock_step_ns with each look at the clock, and
 * jumps to the next thing that happens when a ring waits. Everything that real
 * life leaves open (when, in which order, how many bytes, with what failure) is
 * drawn from one random number generator, so that a seed is a run.
 *
 * One thread. The simulator keeps no pointer of a caller but those that the
 * real kernel keeps too: memory of operations until their completion, and rings
 * of provided buffers until the ring is torn down. */
#ifndef RILL_TESTS_SIM_H
#define RILL_TESTS_SIM_H

#include "io/kernel.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct sim;
struct sim_peer;

/* The lowest descriptor, far from those of the real process. */
#define SIM_FD_FIRST 1000

/* The virtual clock's first value: not zero, for code that takes zero for "no
 * time given". */
#define SIM_START_NS INT64_C(1000000000)

/* How a world behaves. All zero: no faults, everything at once and in order. */
struct sim_options {
    uint64_t seed;

    /* Sizes; zero means the value in brackets. */
    unsigned fds_max;          /* descriptors open at once [1024] */
    size_t socket_buffer_size; /* bytes under way or unread, per direction [65536] */
    size_t datagrams_max;      /* datagrams unread, per socket [64] */
    size_t disk_size_max;      /* bytes in all files, -ENOSPC beyond [1 GiB] */
    size_t trace_events;       /* events that the trace remembers [256] */
    int64_t clock_step_ns;     /* what a look at the clock or an enter costs [1000] */
    unsigned cq_entries_max;   /* makes completion queues smaller than asked for [as asked] */

    /* Time. */
    int64_t delay_max_ns;     /* work starts or ends this much later, at most */
    int64_t latency_min_ns;   /* bytes travel from socket to socket this long, */
    int64_t latency_max_ns;   /* between these two */
    int64_t oversleep_max_ns; /* a wait that times out lasts this much too long, at most */
    int64_t wake_up_ns; /* a wait that was not over at once is told of its end so much later */
    int64_t accept_forbidden_until_ns; /* a rule of the system: -EPERM, whoever waits there */
    bool shuffle;                      /* what is due at the same time comes in any order */

    /* Faults, each in so many of a thousand cases. */
    unsigned short_per_mille;         /* a read, write, receive or send moves fewer bytes */
    unsigned enobufs_per_mille;       /* a receive finds no provided buffer */
    unsigned empty_buffer_per_mille;  /* a receive that ends takes a buffer for nothing */
    unsigned multishot_end_per_mille; /* a multishot ends after a good result, without F_MORE */
    unsigned accept_per_mille;        /* an accept ends with -EMFILE or what ends no listener */
    unsigned connect_per_mille;       /* a connect ends with -ECONNREFUSED or -ETIMEDOUT */
    unsigned reset_per_mille;         /* a transfer finds its connection reset */
    unsigned reset_untold_per_mille;  /* a multishot that has received does not hear of a reset */
    unsigned datagram_per_mille;      /* a datagram is lost */
    unsigned doubled_per_mille;       /* a datagram arrives a second time */
    unsigned file_per_mille;          /* an operation on a file ends with -EIO or -ENOSPC */
    unsigned enomem_per_mille;        /* an operation ends with -ENOMEM, not a close or cancel */
    unsigned no_thread_per_mille;     /* what is left to a thread, or waits: -ECANCELED */
    unsigned cancel_lost_per_mille;   /* a cancel comes too late: -EALREADY */
    unsigned cancel_eintr_per_mille;  /* ... and what it interrupted ends with -EINTR */
    unsigned cancel_missed_per_mille; /* a cancel changes nothing: -ENOENT or -EALREADY */
    unsigned submit_eagain_per_mille; /* enter stops before an entry with -EAGAIN */
    unsigned submit_ebusy_per_mille;  /* enter takes nothing while completions overflow */
    unsigned enter_eintr_per_mille;   /* enter does not wait, -EINTR */
    unsigned overflow_per_mille;      /* a completion overflows although there was room */

    /* Behaviour. */
    int setup_error;       /* setup fails with this -errno */
    int register_error;    /* register_buffers fails with this -errno */
    unsigned register_max; /* no memory for rings of more buffers than that; 0: for any */
    bool linux_6_1;        /* a multishot receive with a length is -EINVAL, as it was; and
                            * descriptors are sent again with each part of a message */
    bool foreign_fds_wait; /* READ and POLL_ADD on a real fd wait for ever, not -EBADF */
    bool deadlock_returns; /* enter returns -EDEADLK instead of aborting */
    bool leaks_allowed;    /* sim_destroy does not abort when something was left */
};

/* Every fault and every delay switched on, as strong as the seed says. The
 * sizes but the socket buffer's, and the behaviour, are left zero. */
struct sim_options sim_options_hostile(uint64_t seed);

/* Returns a world that sim_destroy ends; it never fails. Borrows options until
 * it returns. */
struct sim *sim_create(const struct sim_options *options);

/* Ends the world and its peers. Rings that were not torn down, operations still
 * in flight and open descriptors are printed, and abort (see leaks_allowed).
 * Accepts NULL. */
void sim_destroy(struct sim *sim);

/* The kernel to give to the reactor; lives as long as the world. */
struct rill_kernel *sim_kernel(struct sim *sim);

/* Counters. */
size_t sim_ops_in_flight(const struct sim *sim);
size_t sim_fds_open(const struct sim *sim);
size_t sim_bad_fds(const struct sim *sim);              /* uses of closed descriptors so far */
size_t sim_enters(const struct sim *sim);               /* calls of enter so far */
size_t sim_overflows(const struct sim *sim);            /* completions that found the queue full */
size_t sim_buffers_missing(struct sim *sim, int group); /* given out and not yet back */
size_t sim_datagrams_lost(const struct sim *sim);       /* by the network, or a full socket */
size_t sim_datagrams_doubled(const struct sim *sim);    /* by the network */
int64_t sim_now(const struct sim *sim);                 /* the clock, without the step of now() */

/* Lets the clock jump: what was due meanwhile is late. */
void sim_jump(struct sim *sim, int64_t by_ns);

/* A number below bound (0 for a bound of 0) from the world's generator, for
 * tests which make choices of their own. */
uint64_t sim_random(struct sim *sim, uint64_t bound);

/* Calls fn(sim, arg) from within the enter in which the clock reaches when_ns,
 * or the next one if that has passed. The world then is one in which something
 * can still happen, so waiting for ever for it is no deadlock. */
void sim_at(struct sim *sim, int64_t when_ns, void (*fn)(struct sim *sim, void *arg), void *arg);

/* The trace: the last events as text, and a hash of all of them. */
void sim_trace(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_trace_print(const struct sim *sim, FILE *file, size_t last);
uint64_t sim_trace_hash(const struct sim *sim);

/* Files. Put writes a whole file and makes the directories on the way. Get
 * returns the size and lends the bytes until the next change of the file, or
 * returns -ENOENT or -EISDIR. Relative paths start at the root. */
void sim_file_put(struct sim *sim, const char *path, const void *bytes, size_t size);
ssize_t sim_file_get(struct sim *sim, const char *path, const void **bytes);

/* The same as it might be found if the power were lost now: what was changed in a file or
 * in a directory since it was synced is there, or is not, as the seed says, each for itself.
 * What is put there is synced. */
ssize_t sim_file_survives(struct sim *sim, const char *path, const void **bytes);

/* Returns how many names there are in a directory, 0 where there is none. */
size_t sim_directory_count(struct sim *sim, const char *path);

/* A descriptor like an eventfd, the stand-in for the event fd of another engine:
 * POLL_ADD and READ on it wait until something was added. Returns the fd or
 * -EMFILE; closed like any other. */
int sim_counter_create(struct sim *sim);
void sim_counter_add(struct sim *sim, int fd, uint64_t value);

/* Peers: the other end of a TCP connection at 127.0.0.1, without a descriptor,
 * moved by the test. A peer reads all that comes, unless it is paused. What it
 * sends waits in its own memory for room in the socket, and a shutdown or a
 * close comes after those bytes. All live until sim_destroy. */
struct sim_peer *sim_peer_connect(struct sim *sim, uint16_t port);
struct sim_peer *sim_peer_listen(struct sim *sim, uint16_t port, int backlog);
struct sim_peer *sim_peer_accept(struct sim_peer *listener); /* NULL: nobody there */

void sim_peer_send(struct sim_peer *peer, const void *bytes, size_t size);
void sim_peer_shutdown(struct sim_peer *peer);
void sim_peer_close(struct sim_peer *peer);
void sim_peer_reset(struct sim_peer *peer); /* at once, with what was not sent */
void sim_peer_pause(struct sim_peer *peer, bool paused);

/* Returns how many bytes came so far and lends them until more come. */
size_t sim_peer_received(const struct sim_peer *peer, const void **bytes);
bool sim_peer_connected(const struct sim_peer *peer); /* the handshake is over */
bool sim_peer_ended(const struct sim_peer *peer);     /* the end of the stream was read */
int sim_peer_error(const struct sim_peer *peer);      /* 0, -ECONNREFUSED, -ECONNRESET, ... */

#endif
