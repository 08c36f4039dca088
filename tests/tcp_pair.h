/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_pair.h - the two ends of a connection, and what tests of it move and receive with. */
#ifndef RILL_TESTS_TCP_PAIR_H
#define RILL_TESTS_TCP_PAIR_H

#include "net/tcp.h"
#include "tests/fixture.h"

enum { PAIR_BYTES = 1 << 16 };

extern struct rill_tcp one, other;
extern struct rill_op send_op, recv_op, op;
extern struct rill_borrow borrow;
extern struct background sending, receiving;
extern char bytes[PAIR_BYTES], buffer[PAIR_BYTES]; /* the pattern, and room for it */

/* Opens the world (see fixture_open) and connects the two ends. */
bool open_pair(int which, const struct sim_options *options,
               const struct rill_runtime_options *runtime_options);

/* Closes both ends, if they are open, and the world. */
void close_pair(void);

int64_t send_now(struct rill_tcp *tcp, const void *data, size_t size);
int64_t recv_now(struct rill_tcp *tcp, void *data, size_t size);
struct rill_reactor *reactor(void);

#endif
