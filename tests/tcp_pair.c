/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/tcp_pair.h"

struct rill_tcp one, other;
struct rill_op send_op, recv_op, op;
struct rill_borrow borrow;
struct background sending, receiving;
char bytes[PAIR_BYTES], buffer[PAIR_BYTES];

bool open_pair(int which, const struct sim_options *options,
               const struct rill_runtime_options *runtime_options)
{
    if (!fixture_open(which, options, runtime_options))
        return false;
    fixture_pair(&one, &other);
    pattern_fill(bytes, 0, sizeof bytes);
    return true;
}

void close_pair(void)
{
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    fixture_close();
}

int64_t send_now(struct rill_tcp *tcp, const void *data, size_t size)
{
    return await(rill_tcp_send_all(tcp, &send_op, data, size));
}

int64_t recv_now(struct rill_tcp *tcp, void *data, size_t size)
{
    return await(rill_tcp_recv(tcp, &recv_op, data, size));
}

struct rill_reactor *reactor(void)
{
    return &fixture.runtime->reactor;
}
