/* SPDX-License-Identifier: Apache-2.0 */
/* cancel.h - one sweep over a table of operations: whatever is cancelled, and whenever, ends
 * soon and loses nothing.
 *
 * Each operation runs in a task (the victim) in a small world of its own: it is cancelled
 * before its first poll, before the next ones, after each of the first turns and at moments
 * spread over the time that it takes when nobody disturbs it. Then what is left to do is done,
 * and everything has to be there: bytes, connections, signals, notifications. */
#ifndef RILL_TESTS_CANCEL_H
#define RILL_TESTS_CANCEL_H

#include "io/file.h"
#include "io/readiness.h"
#include "io/signals.h"
#include "net/server.h"
#include "runtime/notify.h"
#include "runtime/select.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <sys/stat.h>

struct cancel_operation {
    const char *name;
    unsigned worlds;
    void (*start)(void);
    struct rill_future *(*prepare)(void);
    void (*after)(int64_t result);
    bool endless; /* it ends by being cancelled */
};

/* Sweeps over count operations, in the worlds of each, and runs one more test unless it is
 * NULL. reset, if not NULL, prepares the file's own tasks for each run. Returns main's result. */
int cancel_main(const char *name, const struct cancel_operation *operations, int count,
                void (*reset)(void), const TTest *more);

/* ---- what operations use ---- */

enum { TOTAL = 3000 };

/* What one run of an operation needs, zeroed before each. */
struct cancel_world {
    struct rill_tcp one, other;
    struct rill_op op, rest_op;
    struct rill_borrow borrow;
    struct rill_send_vectored vectored;
    struct iovec parts[5];
    struct rill_listener listener;
    struct rill_accept accept;
    struct rill_connect connect;
    struct rill_resolve resolve;
    struct rill_server server;
    struct rill_file file;
    struct rill_read_to_end read_to_end;
    struct statx status;
    struct rill_signals signals;
    struct rill_sleep sleep;
    struct rill_join join;
    struct rill_notify notify;
    struct rill_wait wait;
    struct rill_select select;
    struct rill_future *choices[2];
    struct rill_timeout timeout;
    char bytes[TOTAL + 100];
    size_t at;     /* bytes received, in order */
    bool broken;   /* the stream was given up: who takes part sees an error */
    bool notified; /* rill_notify_one found somebody */
    int fds[2];    /* a counter, or a pipe */
    char url[40], path[100];
    uint16_t port;
};
extern struct cancel_world my;
extern char cancel_directory[]; /* for files of the real kernel */

/* Sends a pattern of TOTAL bytes, from my.other, in pieces. */
struct feeder {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    struct rill_op op;
    size_t at, size;
    char bytes[TOTAL];
};
extern struct feeder feeder;

/* Receives at my.other until the end, and looks whether the pattern is whole. */
struct drainer {
    struct rill_task task;
    struct rill_join join;
    struct rill_sleep pause;
    struct rill_op op;
    size_t at;
    char bytes[500];
};
extern struct drainer drainer;

uint64_t dice(uint64_t bound);

/* Time in which others may do something. The real kernel needs none. */
int64_t moment(void);

enum rill_poll drainer_poll(struct rill_future *self, struct rill_task *task);

/* Connect my.one with my.other, where one of the tasks takes part; or do nothing. */
void start_feeder(void);
void start_drainer(void);
void start_nothing(void);
void hang_up_both(void);

/* Notes that these bytes were received, which have to be the next ones. */
void came(const char *bytes, int64_t size);

/* Receives up to the end, which has to be there, and hangs up. */
void receive_the_rest(void);

struct rill_future *recv_borrowed(void);

#endif
