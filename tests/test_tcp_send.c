/* SPDX-License-Identifier: Apache-2.0 */
/* test_tcp_send.c - a send moves all bytes in order, and tells how far it came. */
#include "net/socket_options.h"
#include "tests/tcp_pair.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

START_TEST(ten_megabytes_go_through_small_socket_buffers)
{
    enum { SIZE = 10 << 20 };
    const struct sim_options options = {.socket_buffer_size = 5000, .short_per_mille = 100};
    char *all = malloc(SIZE), *copy = malloc(SIZE);

    ck_assert(all && copy);
    if (open_pair(_i, &options, NULL)) {
        fixture_bound(&one, &other, 65536);
        pattern_fill(all, 0, SIZE);
        memset(copy, 0, SIZE);
        background_start(&sending, rill_tcp_send_all(&one, &send_op, all, SIZE));
        ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, copy, SIZE)), SIZE);
        ck_assert_int_eq(background_end(&sending), SIZE);
        ck_assert_uint_eq(send_op.transferred, SIZE);
        ck_assert(memcmp(all, copy, SIZE) == 0);
        close_pair();
    }
    free(all);
    free(copy);
}
END_TEST

START_TEST(a_send_says_how_much_the_kernel_took)
{
    const struct sim_options options = {.socket_buffer_size = 1000};
    int64_t size;

    if (!open_pair(_i, &options, NULL))
        return;
    size = await(rill_tcp_send(&one, &send_op, bytes, 5000));
    ck_assert_int_gt(size, 0);
    ck_assert_int_le(size, _i == SIMULATED ? 1000 : 5000);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, (size_t)size)), size);
    ck_assert(pattern_is(buffer, 0, (size_t)size));
    ck_assert_int_eq(send_now(&one, bytes, 0), 0);
    close_pair();
}
END_TEST

/* Sends parts of these sizes and looks at what arrives. */
static void send_parts(const size_t *sizes, size_t count)
{
    static struct rill_send_vectored send;
    static struct iovec parts[1024];
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){bytes + total, sizes[i]};
        total += sizes[i];
    }
    memset(buffer, 0, total);
    background_start(&sending, rill_tcp_send_all_vectored(&one, &send, parts, count));
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, total)), total);
    ck_assert_int_eq(background_end(&sending), total);
    ck_assert_int_eq(send.result, total);
    ck_assert_uint_eq(send.op.transferred, total);
    ck_assert(pattern_is(buffer, 0, total));
}

static void send_many_parts(void)
{
    static size_t sizes[1024];

    send_parts((const size_t[]){1}, 1);
    send_parts((const size_t[]){5000}, 1);
    send_parts((const size_t[]){3, 1000, 20}, 3);
    send_parts((const size_t[]){0, 7, 0, 0, 9, 0}, 6);
    for (size_t i = 0; i < 1024; i++)
        sizes[i] = i * 7 % 60; /* some of them empty */
    send_parts(sizes, 1024);
}

START_TEST(a_vectored_send_sends_its_parts_in_order)
{
    const struct sim_options options = {.socket_buffer_size = 777};

    if (!open_pair(_i, &options, NULL))
        return;
    send_many_parts();
    close_pair();
}
END_TEST

START_TEST(a_vectored_send_goes_on_after_short_results)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        const struct sim_options options = {.seed = seed, .short_per_mille = 950};

        if (!open_pair(_i, &options, NULL))
            return;
        send_many_parts();
        close_pair();
    }
}
END_TEST

START_TEST(a_vectored_send_of_nothing_is_0)
{
    static struct rill_send_vectored send;
    struct iovec parts[2] = {{bytes, 0}, {bytes, 0}};

    if (!open_pair(_i, NULL, NULL))
        return;
    ck_assert_int_eq(await(rill_tcp_send_all_vectored(&one, &send, parts, 2)), 0);
    ck_assert_int_eq(await(rill_tcp_send_all_vectored(&one, &send, parts, 0)), 0);
    close_pair();
}
END_TEST

/* Between them a call that sends nothing: all its parts are empty. */
START_TEST(a_vectored_send_has_any_number_of_parts)
{
    enum { PARTS = 4 * IOV_MAX + 1 };
    static struct rill_send_vectored send;
    static struct iovec parts[PARTS];
    int64_t size = 0;

    if (!open_pair(_i, NULL, NULL))
        return;
    for (int i = 0; i < PARTS; i++) {
        bool is_empty = i > IOV_MAX && i < 3 * IOV_MAX;

        parts[i] = (struct iovec){bytes + size, is_empty ? 0 : 1};
        size += !is_empty;
    }
    ck_assert_int_eq(await(rill_tcp_send_all_vectored(&one, &send, parts, PARTS)), size);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, (size_t)size)), size);
    ck_assert(pattern_is(buffer, 0, (size_t)size));
    close_pair();
}
END_TEST

START_TEST(a_vectored_send_that_is_cancelled_tells_how_much_went_out)
{
    const struct sim_options options = {.socket_buffer_size = 500};
    static struct rill_send_vectored send;
    struct iovec parts[2] = {{bytes, 300}, {bytes + 300, 700}};

    if (!open_pair(_i, &options, NULL))
        return;
    background_start(&sending, rill_tcp_send_all_vectored(&one, &send, parts, 2));
    settle();
    rill_task_cancel(&sending.task);
    ck_assert_int_eq(background_end(&sending), -ECANCELED);
    ck_assert_uint_eq(send.op.transferred, 500);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, 500)), 500);
    ck_assert(pattern_is(buffer, 0, 500));
    close_pair();
}
END_TEST

START_TEST(both_directions_move_at_the_same_time)
{
    enum { SIZE = sizeof bytes / 2 };
    static struct rill_op back_send, back_recv;
    static struct background tasks[3];
    const struct sim_options options = {.socket_buffer_size = 100};

    if (!open_pair(_i, &options, NULL))
        return;
    background_start(&tasks[0], rill_tcp_send_all(&one, &send_op, bytes, SIZE));
    background_start(&tasks[1], rill_tcp_send_all(&other, &back_send, bytes + SIZE, SIZE));
    background_start(&tasks[2], rill_tcp_recv_exactly(&one, &back_recv, buffer + SIZE, SIZE));
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, SIZE)), SIZE);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(background_end(&tasks[i]), SIZE);
    ck_assert(pattern_is(buffer, 0, sizeof bytes));
    close_pair();
}
END_TEST

/* How many threads the kernel has for operations of this process that block. */
static unsigned kernel_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *entry;
    unsigned count = 0;

    ck_assert_ptr_nonnull(tasks);
    while ((entry = readdir(tasks))) {
        char path[300], name[32] = "";
        FILE *comm;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        comm = fopen(path, "r");
        if (!comm)
            continue;
        count += fgets(name, sizeof name, comm) && strncmp(name, "iou-wrk", 7) == 0;
        fclose(comm);
    }
    closedir(tasks);
    return count;
}

/* The kernel gives what has waited 128 times to a thread, which then blocks for as long as the
 * peer likes: so a send is not to wait there for each of its parts. */
START_TEST(a_peer_that_reads_slowly_takes_no_thread_of_the_kernels)
{
    enum { SIZE = 4 << 20, PIECE = 4096 };
    static struct rill_send_vectored vectored;
    static struct rill_borrow lasting;
    struct iovec part;
    char *all = malloc(SIZE);

    ck_assert_ptr_nonnull(all);
    pattern_fill(all, 0, SIZE);
    part = (struct iovec){all, SIZE};
    for (int way = 0; way < 3 && open_pair(REAL, NULL, NULL); way++) {
        ck_assert_int_eq(rill_socket_set_buffers(one.fd, 16384, 0), 0);
        ck_assert_int_eq(rill_socket_set_buffers(other.fd, 0, 32768), 0);
        background_start(&sending, way == 0 ? rill_tcp_send_all(&one, &send_op, all, SIZE)
                                   : way == 1
                                       ? rill_tcp_send_all_vectored(&one, &vectored, &part, 1)
                                       : rill_tcp_send_lasting(&one, &lasting, all, SIZE));
        for (size_t at = 0; at < SIZE; at += PIECE) {
            ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv_op, buffer, PIECE)), PIECE);
            ck_assert(pattern_is(buffer, at, PIECE));
        }
        ck_assert_int_eq(background_end(&sending), SIZE);
        ck_assert_uint_eq(kernel_threads(), 0);
        close_pair();
    }
    free(all);
}
END_TEST

static uint32_t first_length;

static void note_length(struct io_uring_sqe *sqe)
{
    if (sqe->opcode == IORING_OP_SEND && first_length == 0)
        first_length = sqe->len;
}

/* An entry counts its bytes in 32 bits. */
START_TEST(more_than_an_entry_can_count_goes_in_parts)
{
    const struct sim_options options = {.socket_buffer_size = 1000};
    const size_t size = ((size_t)4 << 30) + 5;
    void *much = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_ptr_ne(much, MAP_FAILED);
    open_pair(_i, &options, NULL);
    fixture_on_entry(note_length);
    background_start(&sending, rill_tcp_send_all(&one, &send_op, much, size));
    settle();
    ck_assert_uint_eq(first_length, RILL_OP_CHUNK_MAX);
    ck_assert(!rill_task_is_over(&sending.task));
    rill_task_cancel(&sending.task);
    ck_assert_int_eq(background_end(&sending), -ECANCELED);
    close_pair();
    munmap(much, size);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {ten_megabytes_go_through_small_socket_buffers, IN_BOTH},
        {a_send_says_how_much_the_kernel_took, IN_BOTH},
        {a_vectored_send_sends_its_parts_in_order, IN_BOTH},
        {a_vectored_send_goes_on_after_short_results, IN_BOTH},
        {a_vectored_send_of_nothing_is_0, IN_BOTH},
        {a_vectored_send_has_any_number_of_parts, IN_BOTH},
        {a_vectored_send_that_is_cancelled_tells_how_much_went_out, IN_SIMULATED},
        {both_directions_move_at_the_same_time, IN_BOTH},
        {a_peer_that_reads_slowly_takes_no_thread_of_the_kernels, IN_REAL},
        {more_than_an_entry_can_count_goes_in_parts, IN_SIMULATED},
    };

    return fixture_main("tcp_send", cases, sizeof cases / sizeof *cases);
}
