/* SPDX-License-Identifier: Apache-2.0 */
/* test_udp_steady.c - datagrams in steady state call no malloc.
 *
 * This program brings its own malloc. The sanitizers and valgrind bring theirs, and
 * then there is nothing to count. */
#include "net/udp.h"
#include "tests/fixture.h"

#include <stdlib.h>

static unsigned long calls;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* What glibc's functions of these names are really called. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);

void *malloc(size_t size)
{
    calls++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    calls++;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    calls++;
    return __libc_realloc(memory, size);
}
#endif

/* Whether the functions above are the ones that are called. */
static bool calls_are_counted(void)
{
    unsigned long before = calls;
    void *volatile memory = malloc(64);

    free(memory);
    return calls > before;
}

static struct rill_udp one, other;
static struct rill_address at_other;
static struct rill_datagram sent, got;
static struct rill_udp_borrow borrow;
static char buffer[100];

static unsigned long calls_of(struct rill_future *(*receive)(void), int count)
{
    unsigned long before = calls;

    for (int i = 0; i < count; i++) {
        expect_eq(await(rill_udp_send(&one, &sent, buffer, 64, &at_other)), 64);
        expect_eq(await(receive()), 64);
        rill_udp_borrow_give_back(&borrow);
    }
    return calls - before;
}

static struct rill_future *recv_copy(void)
{
    return rill_udp_recv(&other, &got, buffer, sizeof buffer);
}

static struct rill_future *recv_borrowed(void)
{
    return rill_udp_recv_borrowed(&other, &borrow);
}

START_TEST(sending_and_receiving_call_no_malloc)
{
    struct rill_address any = loopback(0);

    if (!calls_are_counted() || !fixture_open(_i, NULL, NULL))
        return;
    expect_eq(rill_udp_open(&one, &any, NULL), 0);
    expect_eq(rill_udp_open(&other, &any, NULL), 0);
    expect_eq(rill_udp_local_address(&other, &at_other), 0);
    calls_of(recv_copy, 1);
    ck_assert_uint_eq(calls_of(recv_copy, 1000), 0);
    calls_of(recv_borrowed, 1);
    ck_assert_uint_eq(calls_of(recv_borrowed, 1000), 0);
    expect_eq(await(rill_udp_close(&one)), 0);
    expect_eq(await(rill_udp_close(&other)), 0);
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {sending_and_receiving_call_no_malloc, IN_REAL},
    };

    return fixture_main("udp_steady", cases, sizeof cases / sizeof *cases);
}
