/* SPDX-License-Identifier: Apache-2.0 */
/* test_reader.c - what comes in any pieces is handed out in those that were asked for, and nothing
 * of it is lost. */
#include "io/reader.h"

#include "net/socket_options.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct rill_reader reader;
static char buffer[16];

/* ---- over a connection ---- */

static struct rill_tcp one, other;
static struct rill_op op;

static bool open_connection(int which)
{
    if (!fixture_open(which, NULL, NULL))
        return false;
    fixture_pair(&one, &other);
    rill_tcp_reader_init(&reader, &one, buffer, sizeof buffer);
    return true;
}

static void close_connection(void)
{
    fixture_hang_up(&one);
    if (other.is_open)
        fixture_hang_up(&other);
    fixture_close();
}

static void say(const char *text)
{
    int64_t size = (int64_t)strlen(text);

    ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, text, (size_t)size)), size);
}

static void expect_piece(struct rill_future *future, const char *text)
{
    ck_assert_int_eq(await(future), (int64_t)strlen(text));
    ck_assert_mem_eq(reader.data, text, strlen(text));
}

START_TEST(lines_are_handed_out_however_they_came)
{
    static const char text[] = "one\ntwo\n\nfour and a half";

    for (size_t size = 1; size < sizeof text; size++) {
        if (!open_connection(_i))
            return;
        for (size_t at = 0; at < sizeof text - 1; at += size) {
            size_t left = sizeof text - 1 - at;

            ck_assert_int_gt(
                await(rill_tcp_send_all(&other, &op, text + at, left < size ? left : size)), 0);
        }
        fixture_hang_up(&other);
        expect_piece(rill_reader_until(&reader, '\n'), "one\n");
        expect_piece(rill_reader_until(&reader, '\n'), "two\n");
        expect_piece(rill_reader_until(&reader, '\n'), "\n");
        expect_piece(rill_reader_until(&reader, '\n'), "four and a half");
        for (int i = 0; i < 2; i++)
            ck_assert_int_eq(await(rill_reader_until(&reader, '\n')), 0);
        close_connection();
    }
}
END_TEST

START_TEST(a_line_that_is_too_long_is_EMSGSIZE_and_can_be_taken_otherwise)
{
    if (!open_connection(_i))
        return;
    say("0123456789abcdefghi\nnext\n");
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(await(rill_reader_until(&reader, '\n')), -EMSGSIZE);
    ck_assert_uint_eq(rill_reader_held(&reader), sizeof buffer);
    expect_piece(rill_reader_some(&reader), "0123456789abcdef");
    expect_piece(rill_reader_until(&reader, '\n'), "ghi\n");
    expect_piece(rill_reader_until(&reader, '\n'), "next\n");
    close_connection();
}
END_TEST

START_TEST(a_line_that_fills_the_buffer_is_not_too_long)
{
    if (!open_connection(_i))
        return;
    say("x\n0123456789abcde\n");
    expect_piece(rill_reader_until(&reader, '\n'), "x\n");
    expect_piece(rill_reader_until(&reader, '\n'), "0123456789abcde\n");
    close_connection();
}
END_TEST

START_TEST(frames_have_the_size_that_was_asked_for_and_less_only_at_the_end)
{
    if (!open_connection(_i))
        return;
    say("\3abc\12abcdefghij");
    expect_piece(rill_reader_exactly(&reader, 1), "\3");
    expect_piece(rill_reader_exactly(&reader, 3), "abc");
    expect_piece(rill_reader_exactly(&reader, 0), "");
    expect_piece(rill_reader_exactly(&reader, 1), "\12");
    ck_assert_int_eq(await(rill_reader_exactly(&reader, sizeof buffer + 1)), -EMSGSIZE);
    expect_piece(rill_reader_exactly(&reader, 4), "abcd");
    fixture_hang_up(&other);
    expect_piece(rill_reader_exactly(&reader, sizeof buffer), "efghij");
    ck_assert_int_eq(await(rill_reader_exactly(&reader, 1)), 0);
    ck_assert_int_eq(await(rill_reader_some(&reader)), 0);
    close_connection();
}
END_TEST

START_TEST(what_was_only_shown_comes_again)
{
    if (!open_connection(_i))
        return;
    say("GET /");
    expect_piece(rill_reader_peek(&reader, 1), "G");
    ck_assert_uint_eq(rill_reader_held(&reader), 5);
    expect_piece(rill_reader_peek(&reader, 3), "GET");
    expect_piece(rill_reader_peek(&reader, 0), "");
    ck_assert_int_eq(await(rill_reader_peek(&reader, sizeof buffer + 1)), -EMSGSIZE);
    expect_piece(rill_reader_exactly(&reader, 4), "GET ");
    say("index");
    expect_piece(rill_reader_peek(&reader, 6), "/index");
    fixture_hang_up(&other);
    expect_piece(rill_reader_peek(&reader, 7), "/index");
    expect_piece(rill_reader_some(&reader), "/index");
    ck_assert_int_eq(await(rill_reader_peek(&reader, 1)), 0);
    close_connection();
}
END_TEST

/* It says so without reading: what is in the socket does not count. */
START_TEST(whether_a_line_is_there_is_known_without_waiting_for_it)
{
    if (!open_connection(_i))
        return;
    ck_assert(!rill_reader_has(&reader, '\n'));
    say("1\n2\nhal");
    ck_assert(!rill_reader_has(&reader, '\n'));
    expect_piece(rill_reader_until(&reader, '\n'), "1\n");
    ck_assert(rill_reader_has(&reader, '\n'));
    ck_assert(rill_reader_has(&reader, 'h'));
    expect_piece(rill_reader_until(&reader, '\n'), "2\n");
    ck_assert(!rill_reader_has(&reader, '\n'));
    ck_assert_uint_eq(rill_reader_held(&reader), 3);
    close_connection();
}
END_TEST

START_TEST(a_wait_that_is_given_up_leaves_what_has_come)
{
    static struct rill_timeout timeout;
    static struct background waiting;

    if (!open_connection(_i))
        return;
    say("half");
    ck_assert_int_eq(
        await(rill_timeout(&timeout, RILL_MILLISECOND, rill_reader_until(&reader, '\n'))),
        -ETIMEDOUT);
    ck_assert_int_eq(reader.result, -ECANCELED);
    background_start(&waiting, rill_reader_until(&reader, '\n'));
    settle();
    rill_task_cancel(&waiting.task);
    ck_assert_int_eq(background_end(&waiting), -ECANCELED);
    say(" a line\nand one\n");
    expect_piece(rill_reader_until(&reader, '\n'), "half a line\n");
    expect_piece(rill_reader_until(&reader, '\n'), "and one\n");
    close_connection();
}
END_TEST

START_TEST(an_error_of_the_connection_is_told_and_what_came_before_can_be_had)
{
    if (!open_connection(_i))
        return;
    say("last words");
    ck_assert_int_eq(await(rill_reader_exactly(&reader, 1)), 1);
    ck_assert_int_eq(rill_socket_set_reset_on_close(other.fd, true), 0);
    fixture_hang_up(&other);
    settle();
    ck_assert_int_eq(await(rill_reader_until(&reader, '\n')), -ECONNRESET);
    expect_piece(rill_reader_some(&reader), "ast words");
    close_connection();
}
END_TEST

START_TEST(who_is_cancelled_gets_nothing_more_though_it_is_there)
{
    static struct background late;

    if (!open_connection(_i))
        return;
    say("one\ntwo\n");
    expect_piece(rill_reader_until(&reader, '\n'), "one\n");
    background_start(&late, rill_reader_until(&reader, '\n'));
    rill_task_cancel(&late.task);
    ck_assert_int_eq(background_end(&late), -ECANCELED);
    expect_piece(rill_reader_until(&reader, '\n'), "two\n");
    close_connection();
}
END_TEST

/* ---- over a file ---- */

START_TEST(the_lines_of_a_file_are_read_from_where_it_stands)
{
    static const char path[] = "/lines";
    struct rill_file file = {0};

    if (!fixture_open(_i, NULL, NULL))
        return;
    if (fixture.sim) {
        sim_file_put(fixture.sim, path, "", 0);
        ck_assert_int_eq(await(rill_file_open(&file, path, O_RDWR, 0)), 0);
    } else {
        rill_file_adopt(&file, memfd_create("lines", MFD_CLOEXEC));
    }
    ck_assert_int_eq(await(rill_file_write_all_at(&file, &op, "a\nbc\nd", 6, 0)), 6);
    ck_assert_int_eq(await(rill_file_read(&file, &op, buffer, 1)), 1);
    rill_file_reader_init(&reader, &file, buffer, sizeof buffer);
    expect_piece(rill_reader_until(&reader, '\n'), "\n");
    expect_piece(rill_reader_until(&reader, '\n'), "bc\n");
    expect_piece(rill_reader_until(&reader, '\n'), "d");
    ck_assert_int_eq(await(rill_reader_until(&reader, '\n')), 0);
    ck_assert_int_eq(await(rill_file_close(&file)), 0);
    fixture_close();
}
END_TEST

/* ---- over a source of the test's own ---- */

/* Letters and separators without end, in pieces of any size, with errors between them. */
static struct source {
    union {
        int64_t result;
        struct rill_future future;
    };
    char *room;
    size_t size;
    uint64_t at;   /* bytes that it has given */
    uint64_t ends; /* after so many */
    unsigned reads;
    unsigned short seed[3];
} source;

static char byte_at(uint64_t at)
{
    uint64_t mixed = (at + 1) * UINT64_C(0x9e3779b97f4a7c15);

    return mixed >> 61 == 0 ? '\n' : (char)('a' + at % 26);
}

static enum rill_poll source_poll(struct rill_future *self, struct rill_task *task)
{
    size_t size = source.size, most = 1 + (size_t)nrand48(source.seed) % 20;

    (void)task;
    source.reads++;
    ck_assert_uint_gt(size, 0);
    if (nrand48(source.seed) % 16 == 0)
        return rill_future_end(self, -EIO);
    if (size > most)
        size = most;
    if (size > source.ends - source.at)
        size = source.ends - source.at;
    for (size_t i = 0; i < size; i++)
        source.room[i] = byte_at(source.at + i);
    source.at += size;
    return rill_future_end(self, (int64_t)size);
}

static struct rill_future *read_source(void *from, struct rill_op *unused, void *room, size_t size)
{
    ck_assert_ptr_eq(from, &source);
    ck_assert_ptr_eq(unused, &reader.op);
    source.room = (char *)room;
    source.size = size;
    return rill_future_init(&source.future, source_poll);
}

/* What each call hands out is what comes next, as much as was asked for. */
static void read_randomly(size_t room)
{
    uint64_t at = 0; /* bytes that were handed out */

    rill_reader_init(&reader, read_source, &source, buffer, room);
    while (at < source.ends) {
        long kind = nrand48(source.seed) % 4;
        bool is_there = rill_reader_has(&reader, '\n');
        size_t wanted = (size_t)nrand48(source.seed) % (room + 2);
        int64_t result = await(kind == 0   ? rill_reader_until(&reader, '\n')
                               : kind == 1 ? rill_reader_exactly(&reader, wanted)
                               : kind == 2 ? rill_reader_some(&reader)
                                           : rill_reader_peek(&reader, wanted));
        bool at_end;

        expect(kind != 0 || !is_there || (result > 0 && reader.data[result - 1] == '\n'));
        if (result == -EMSGSIZE && (kind == 1 || kind == 3)) {
            expect(wanted > room);
            continue;
        }
        if (result == -EMSGSIZE) {
            expect(kind == 0 && rill_reader_held(&reader) == room);
            result = await(rill_reader_some(&reader));
            kind = 2;
        }
        if (result == -EIO)
            continue;
        expect(result >= 0 && (size_t)result <= room);
        for (int64_t i = 0; i < result; i++) {
            expect(reader.data[i] == byte_at(at + (uint64_t)i));
            expect(kind != 0 || i == result - 1 || reader.data[i] != '\n');
        }
        if (kind == 3) {
            expect((size_t)result == wanted || at + (uint64_t)result == source.ends);
            continue;
        }
        at += (uint64_t)result;
        at_end = at == source.ends;
        expect(kind != 0 || at_end || reader.data[result - 1] == '\n');
        expect(kind != 1 || at_end || (size_t)result == wanted);
        expect(kind != 2 || result > 0);
        expect_eq(rill_reader_held(&reader), source.at - at);
    }
    expect_eq(at, source.at);
}

START_TEST(whatever_is_asked_for_in_any_order_is_what_comes_next)
{
    uint64_t first, count;

    fixture_seeds(500, &first, &count);
    expect(fixture_open(SIMULATED, NULL, NULL));
    for (uint64_t seed = first; seed < first + count; seed++) {
        fixture.seed = seed;
        fixture.seeded = true;
        source = (struct source){
            .ends = 1000 + seed % 7,
            .seed = {(unsigned short)seed, (unsigned short)(seed >> 16), 1},
        };
        read_randomly(1 + seed % sizeof buffer);
    }
    fixture_close();
}
END_TEST

/* They come in one piece of 16 bytes: none of the others is another read. */
START_TEST(what_came_at_once_is_one_read)
{
    expect(fixture_open(SIMULATED, NULL, NULL));
    fixture_pair(&one, &other);
    rill_tcp_reader_init(&reader, &one, buffer, sizeof buffer);
    say("1\n2\n3\n4\n5\n6\n7\n8\n");
    for (int i = 0; i < 8; i++) {
        int64_t result = await(rill_reader_until(&reader, '\n'));

        ck_assert_int_eq(result, 2);
        ck_assert_ptr_eq(reader.data, buffer + 2 * i); /* where it came: not copied */
        ck_assert_uint_eq(rill_reader_held(&reader), 14 - 2 * (size_t)i);
    }
    close_connection();
}
END_TEST

static void begin_without_room(void)
{
    rill_reader_init(&reader, read_source, &source, buffer, 0);
}

START_TEST(a_reader_without_room_is_a_panic)
{
    fixture_expect_panic(begin_without_room, "a reader has a buffer without a byte");
}
END_TEST

static void read_without_a_beginning(void)
{
    static struct rill_reader zeroed;

    rill_reader_until(&zeroed, '\n');
}

START_TEST(a_reader_that_was_never_begun_is_a_panic)
{
    fixture_expect_panic(read_without_a_beginning, "a reader is used without its ..._init");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {lines_are_handed_out_however_they_came, IN_BOTH},
        {a_line_that_is_too_long_is_EMSGSIZE_and_can_be_taken_otherwise, IN_BOTH},
        {a_line_that_fills_the_buffer_is_not_too_long, IN_BOTH},
        {frames_have_the_size_that_was_asked_for_and_less_only_at_the_end, IN_BOTH},
        {what_was_only_shown_comes_again, IN_BOTH},
        {whether_a_line_is_there_is_known_without_waiting_for_it, IN_BOTH},
        {a_wait_that_is_given_up_leaves_what_has_come, IN_BOTH},
        {an_error_of_the_connection_is_told_and_what_came_before_can_be_had, IN_BOTH},
        {who_is_cancelled_gets_nothing_more_though_it_is_there, IN_BOTH},
        {the_lines_of_a_file_are_read_from_where_it_stands, IN_BOTH},
        {whatever_is_asked_for_in_any_order_is_what_comes_next, IN_SIMULATED},
        {what_came_at_once_is_one_read, IN_SIMULATED},
        {a_reader_without_room_is_a_panic, IN_SIMULATED},
        {a_reader_that_was_never_begun_is_a_panic, IN_SIMULATED},
    };

    return fixture_main("reader", cases, sizeof cases / sizeof *cases);
}
