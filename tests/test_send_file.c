/* SPDX-License-Identifier: Apache-2.0 */
/* test_send_file.c - a file arrives at the other end, and what did not is told. */
#include "net/send_file.h"

#include "io/path.h"
#include "net/socket_options.h"
#include "runtime/task.h"
#include "tests/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = RILL_SEND_FILE_PIECE };

static char template[] = "/tmp/rill-send-file-XXXXXX";
static char path[sizeof template];
static struct rill_tcp one, other;
static struct rill_file file;
static struct rill_send_file sending;
static struct rill_op op;
static char bytes[4 * PIECE];

/* ---- memory that can be refused ---- */

static bool refuses;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
void *__libc_memalign(size_t alignment, size_t size); /* what glibc has below aligned_alloc */

void *aligned_alloc(size_t alignment, size_t size)
{
    if (refuses)
        errno = ENOMEM;
    return refuses ? NULL : __libc_memalign(alignment, size);
}
#endif

static bool can_refuse(void)
{
    void *volatile memory;

    refuses = true;
    memory = aligned_alloc(64, 64);
    refuses = false;
    free(memory);
    return !memory;
}

/* ---- a connection and a file ---- */

/* Receives until the end, and expects the bytes of the file from `at` on. */
static struct receiver {
    struct rill_task task;
    struct rill_join join;
    struct rill_op op;
    uint64_t begin, at;
    bool may_break;
    char bytes[5000];
} receiver;

static enum rill_poll receiver_poll(struct rill_future *self, struct rill_task *task)
{
    struct receiver *receive = rill_container_of(self, struct receiver, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv(&other, &receive->op, receive->bytes, sizeof receive->bytes));
        if (receive->op.result <= 0)
            break;
        expect(
            pattern_is(receive->bytes, receive->begin + receive->at, (size_t)receive->op.result));
        receive->at += (uint64_t)receive->op.result;
    }
    expect(receive->op.result == 0 || receive->may_break);
    RILL_END();
}

static void receive_from(uint64_t begin)
{
    memset(&receiver, 0, sizeof receiver);
    receiver.begin = begin;
    rill_task_spawn(&receiver.task, receiver_poll);
}

/* Ends the stream and expects so many bytes of it to have arrived. */
static void expect_received(uint64_t size)
{
    expect_eq(await(rill_tcp_finish_sending(&one, &op)), 0);
    expect_eq(await(rill_task_join(&receiver.task, &receiver.join)), 0);
    expect_eq(receiver.at, size);
}

static bool open_world(int which, const struct sim_options *options, size_t size)
{
    if (!fixture_open(which, options, NULL))
        return false;
    memcpy(path, template, sizeof path);
    pattern_fill(bytes, 0, size);
    if (fixture.sim) {
        sim_file_put(fixture.sim, path, bytes, size);
    } else {
        int fd = mkstemp(path);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
        close(fd);
    }
    expect_eq(await(rill_file_open(&file, path, O_RDONLY, 0)), 0);
    fixture_pair(&one, &other);
    return true;
}

static void close_world(void)
{
    fixture_hang_up(&one);
    fixture_hang_up(&other);
    expect_eq(await(rill_file_close(&file)), 0);
    if (!fixture.sim)
        unlink(path);
    fixture_close();
}

static struct rill_future *send_file(uint64_t offset, uint64_t size)
{
    return rill_tcp_send_file(&one, &sending, &file, offset, size);
}

START_TEST(files_of_all_sizes_arrive)
{
    static const size_t sizes[] = {0, 1, 5000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (!open_world(_i, NULL, sizes[i]))
            return;
        receive_from(0);
        expect_eq(await(send_file(0, sizes[i])), sizes[i]);
        expect_eq(sending.transferred, sizes[i]);
        expect_received(sizes[i]);
        close_world();
    }
}
END_TEST

START_TEST(a_part_of_a_file_arrives)
{
    if (!open_world(_i, NULL, 2 * PIECE))
        return;
    receive_from(1000);
    expect_eq(await(send_file(1000, 100)), 100);
    expect_eq(await(send_file(1100, 0)), 0);
    expect_eq(await(send_file(1100, PIECE)), PIECE);
    expect_received(100 + PIECE);
    close_world();
}
END_TEST

START_TEST(a_file_that_is_shorter_is_sent_to_its_end_and_the_result_says_so)
{
    if (!open_world(_i, NULL, PIECE + 500))
        return;
    receive_from(500);
    expect_eq(await(send_file(PIECE + 500, 10)), 0);
    expect_eq(await(send_file(2 * PIECE, 10)), 0);
    expect_eq(await(send_file(500, 5 * PIECE)), PIECE);
    expect_received(PIECE);
    close_world();

    open_world(_i, NULL, PIECE + 500);
    receive_from(0);
    expect_eq(await(send_file(0, UINT64_MAX)), PIECE + 500);
    expect_received(PIECE + 500);
    close_world();
}
END_TEST

static unsigned reads;

/* When the second piece is about to be read, all but ten of its bytes go. */
static void cut_file(struct io_uring_sqe *sqe)
{
    if (sqe->opcode != IORING_OP_READ || ++reads != 2)
        return;
    if (fixture.sim)
        sim_file_put(fixture.sim, path, bytes, PIECE + 10);
    else
        ck_assert_int_eq(truncate(path, PIECE + 10), 0);
}

START_TEST(a_file_that_shrinks_meanwhile_is_sent_as_far_as_there_is_any)
{
    if (!open_world(_i, NULL, 3 * PIECE))
        return;
    reads = 0;
    fixture_on_entry(cut_file);
    receive_from(0);
    expect_eq(await(send_file(0, 3 * PIECE)), PIECE + 10);
    expect_received(PIECE + 10);
    close_world();
}
END_TEST

START_TEST(each_piece_is_one_read)
{
    const struct sim_options options = {.socket_buffer_size = 10000};

    open_world(SIMULATED, &options, 3 * PIECE);
    reads = 0;
    fixture_on_entry(cut_file);
    receive_from(0);
    expect_eq(await(send_file(0, PIECE)), PIECE);
    expect_eq(reads, 1);
    expect_received(PIECE);
    close_world();
}
END_TEST

START_TEST(a_file_that_can_not_be_read_says_why_and_nothing_is_sent)
{
    static struct rill_file writing;

    if (!open_world(_i, NULL, 100))
        return;
    receive_from(0);
    expect_eq(await(rill_file_open(&writing, path, O_WRONLY, 0)), 0);
    expect_eq(await(rill_tcp_send_file(&one, &sending, &writing, 0, 10)), -EBADF);
    expect_eq(sending.transferred, 0);
    expect_eq(await(rill_file_close(&writing)), 0);
    expect_eq(await(send_file(UINT64_MAX, 10)), -EINVAL);
    expect_eq(await(send_file((uint64_t)INT64_MAX + 1, 10)), -EINVAL);
    expect_eq(await(send_file(0, 100)), 100);
    expect_received(100);
    close_world();
}
END_TEST

START_TEST(of_a_pipe_what_comes_next_is_sent_whatever_the_offset_and_of_a_socket_nothing)
{
    struct rill_file in = {0};
    int ends[2];

    if (!open_world(_i, NULL, 5000))
        return;
    receive_from(0);
    expect_eq(pipe(ends), 0);
    rill_file_adopt(&in, ends[0]);
    expect_eq(write(ends[1], bytes, 5000), 5000);
    expect_eq(await(rill_tcp_send_file(&one, &sending, &in, 3, 2000)), 2000);
    close(ends[1]);
    expect_eq(await(rill_tcp_send_file(&one, &sending, &in, 3, UINT64_MAX)), 3000);
    expect_eq(await(rill_file_close(&in)), 0);

    expect_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    rill_file_adopt(&in, ends[0]);
    expect_eq(write(ends[1], bytes, 10), 10);
    expect_eq(await(rill_tcp_send_file(&one, &sending, &in, 3, 2)), -ESPIPE);
    expect_eq(sending.transferred, 0);
    expect_eq(await(rill_file_close(&in)), 0);
    close(ends[1]);
    expect_received(5000);
    close_world();
}
END_TEST

START_TEST(a_peer_that_vanishes_ends_it_with_an_error)
{
    static struct background task;
    int64_t result;

    if (!open_world(_i, NULL, 4 * PIECE))
        return;
    expect_eq(rill_socket_set_buffers(one.fd, 10000, 10000), 0);
    expect_eq(rill_socket_set_buffers(other.fd, 10000, 10000), 0);
    background_start(&task, send_file(0, 4 * PIECE));
    settle();
    expect(!rill_task_is_over(&task.task)); /* as nobody reads */
    expect_eq(rill_socket_set_reset_on_close(other.fd, true), 0);
    fixture_hang_up(&other);
    result = background_end(&task);
    expect(result == -ECONNRESET || result == -EPIPE);
    expect(sending.transferred < 4 * PIECE);
    close_world();
}
END_TEST

START_TEST(what_was_sent_before_a_cancel_is_told)
{
    static struct background task;

    if (!open_world(_i, NULL, 4 * PIECE))
        return;
    expect_eq(rill_socket_set_buffers(one.fd, 10000, 10000), 0);
    expect_eq(rill_socket_set_buffers(other.fd, 10000, 10000), 0);
    background_start(&task, send_file(0, 4 * PIECE));
    settle();
    rill_task_cancel(&task.task);
    expect_eq(background_end(&task), -ECANCELED);
    expect(sending.transferred > 0 && sending.transferred < 4 * PIECE);
    receive_from(0);
    expect_received(sending.transferred);
    close_world();
}
END_TEST

START_TEST(without_memory_it_is_ENOMEM_and_nothing_is_sent)
{
    if (!can_refuse() || !open_world(_i, NULL, 100))
        return;
    receive_from(0);
    refuses = true;
    expect_eq(await(send_file(0, UINT64_MAX)), -ENOMEM);
    refuses = false;
    expect_eq(await(send_file(0, UINT64_MAX)), 100);
    expect_received(100);
    close_world();
}
END_TEST

/* Whatever fails, and cancelled at some moment: what is said to have gone has gone. */
static void run_with_faults(uint64_t seed, unsigned tally[3])
{
    struct sim_options options = sim_options_troubled(seed);
    static struct background task;
    struct rill_sleep sleep;
    uint64_t size;
    int64_t result;

    fixture.seed = seed;
    fixture.seeded = true;
    options.socket_buffer_size = 20000;
    open_world(SIMULATED, &options, 2 * PIECE + 100);
    size = sim_random(fixture.sim, 3 * PIECE);
    receive_from(0);
    background_start(&task, send_file(0, size));
    if (seed % 3 == 0) {
        await(rill_sleep(&sleep, (int64_t)sim_random(fixture.sim, 3 * RILL_MILLISECOND)));
        if (!rill_task_is_over(&task.task))
            rill_task_cancel(&task.task);
    } else if (seed % 3 == 1) {
        await(rill_sleep(&sleep, (int64_t)sim_random(fixture.sim, RILL_MILLISECOND)));
        sim_file_put(fixture.sim, path, bytes, sim_random(fixture.sim, 2 * PIECE));
    }
    result = background_end(&task);
    expect(result >= 0 || (result == -ECANCELED && seed % 3 == 0));
    expect(result < 0 || (uint64_t)result == sending.transferred);
    expect(sending.transferred <= size);
    expect_received(sending.transferred);
    tally[result < 0 ? 0 : (uint64_t)result < size ? 1 : 2]++;
    close_world();
}

START_TEST(whatever_is_short_late_or_cancelled_what_is_told_to_be_sent_arrives)
{
    unsigned tally[3] = {0};
    uint64_t first, count;

    fixture_seeds(200, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        run_with_faults(seed, tally);
    if (count >= 50)
        expect(tally[0] > 0 && tally[1] > 0 && tally[2] > 0);
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {files_of_all_sizes_arrive, IN_BOTH},
        {a_part_of_a_file_arrives, IN_BOTH},
        {a_file_that_is_shorter_is_sent_to_its_end_and_the_result_says_so, IN_BOTH},
        {a_file_that_shrinks_meanwhile_is_sent_as_far_as_there_is_any, IN_BOTH},
        {each_piece_is_one_read, IN_SIMULATED},
        {a_file_that_can_not_be_read_says_why_and_nothing_is_sent, IN_BOTH},
        {of_a_pipe_what_comes_next_is_sent_whatever_the_offset_and_of_a_socket_nothing, IN_REAL},
        {a_peer_that_vanishes_ends_it_with_an_error, IN_BOTH},
        {what_was_sent_before_a_cancel_is_told, IN_BOTH},
        {without_memory_it_is_ENOMEM_and_nothing_is_sent, IN_BOTH},
        {whatever_is_short_late_or_cancelled_what_is_told_to_be_sent_arrives, IN_SIMULATED},
    };

    return fixture_main("send_file", cases, sizeof cases / sizeof *cases);
}
