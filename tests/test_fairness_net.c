/* SPDX-License-Identifier: Apache-2.0 */
/* test_fairness_net.c - the same as test_fairness.c says, of files and connections. */
#include "io/directory.h"
#include "io/file.h"
#include "io/reader.h"
#include "io/replace.h"
#include "io/waker.h"
#include "net/connect.h"
#include "net/descriptors.h"
#include "net/listener.h"
#include "net/resolve.h"
#include "net/send_file.h"
#include "net/server.h"
#include "net/tcp.h"
#include "net/udp.h"
#include "tests/fairness.h"
#include "tests/fixture.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

static struct rill_tcp one, other, third;
static struct rill_listener listener, closed;
static struct rill_waker waker;
static struct rill_file file;
static struct rill_directory directory;
static struct rill_replace replace;
static struct rill_send_file send_file;
static struct rill_udp udp;
static struct rill_read_to_end read_to_end;
static struct rill_reader reader;
static struct rill_accept accepting;
static struct rill_connect connecting;
static struct rill_resolve resolving;
static struct rill_server server;
static struct rill_borrow borrow, lasting;
static struct rill_send_descriptors descriptors;
static struct rill_recv_descriptors no_descriptors;
static struct rill_op op;
static char buffer[16];

static struct rill_future *receive(void)
{
    return rill_tcp_recv(&one, &op, buffer, sizeof buffer);
}

static struct rill_future *receive_nothing(void)
{
    return rill_tcp_recv(&one, &op, buffer, 0);
}

static struct rill_future *receive_borrowed(void)
{
    return rill_tcp_recv_borrowed(&one, &borrow);
}

static void end_stream(void)
{
    ck_assert_int_eq(await(rill_tcp_finish_sending(&other, &op)), 0);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&one, &borrow)), 0);
}

static struct rill_future *send_borrowed(void)
{
    return rill_tcp_send_borrowed(&one, &borrow);
}

static void borrow_one(void)
{
    ck_assert_int_eq(await(rill_tcp_send_all(&other, &op, "abc", 3)), 3);
    ck_assert_int_eq(await(rill_tcp_recv_borrowed(&one, &borrow)), 3);
}

static struct rill_future *send_lasting(void)
{
    return rill_tcp_send_lasting(&one, &lasting, "abc", 3);
}

static struct rill_future *send_lasting_nothing(void)
{
    return rill_tcp_send_lasting(&one, &lasting, "abc", 0);
}

static struct rill_future *send_lasting_too_much(void)
{
    return rill_tcp_send_lasting(&one, &lasting, "abc", SIZE_MAX);
}

static struct rill_future *flush(void)
{
    return rill_tcp_flush(&one);
}

/* Over TCP, which carries none. */
static struct rill_future *send_descriptors(void)
{
    return rill_tcp_send_descriptors(&one, &descriptors, "abc", 3, &one.fd, 1);
}

static struct rill_future *close_no_descriptors(void)
{
    return rill_descriptors_close(&no_descriptors);
}

static struct rill_future *finish_sending(void)
{
    return rill_tcp_finish_sending(&one, &op);
}

static struct rill_future *accept_one(void)
{
    return rill_tcp_accept(&listener, &accepting);
}

static void break_listener(void)
{
    listener.error = -EBADF;
}

static struct rill_future *connect_strangely(void)
{
    static const struct rill_url url = {.scheme = "gopher", .host = "localhost"};

    return rill_tcp_connect_url(&third, &connecting, &url);
}

/* Of a family that there is not. */
static struct rill_future *connect_nowhere(void)
{
    static const struct rill_address nowhere = {.any.sa_family = AF_MAX,
                                                .size = sizeof(struct sockaddr)};

    return rill_tcp_connect_address(&third, &connecting, &nowhere);
}

static struct rill_future *resolve_number(void)
{
    return rill_resolve(&resolving, "127.0.0.1", 80);
}

static struct rill_future *resolve_name(void)
{
    return rill_resolve(&resolving, "localhost", 80);
}

static struct rill_future *serve_nowhere(void)
{
    static const struct rill_service service = {.peer_size = sizeof(struct rill_tcp)};

    return rill_serve(&server, "gopher://localhost", service);
}

static struct rill_future *wait_for_waker(void)
{
    return rill_waker_wait(&waker);
}

static struct rill_future *close_no_file(void)
{
    return rill_file_close(&file);
}

static struct rill_future *close_no_connection(void)
{
    return rill_tcp_close(&third);
}

static struct rill_future *release_no_connection(void)
{
    return rill_tcp_release(&third);
}

static struct rill_future *close_no_listener(void)
{
    return rill_listener_close(&closed);
}

/* Of which a name was read before. */
static struct rill_future *read_directory(void)
{
    struct dirent64 *entry = (void *)directory.batch;

    entry->d_reclen = sizeof *entry;
    strcpy(entry->d_name, "name");
    directory.file.is_open = true;
    directory.begin = 0;
    directory.end = sizeof *entry;
    return rill_directory_read(&directory);
}

static struct rill_future *replace_nothing(void)
{
    return rill_path_replace(&replace, "", "", 0, 0600);
}

static struct rill_future *send_no_file(void)
{
    return rill_tcp_send_file(&one, &send_file, &file, 0, 0);
}

static struct rill_future *close_no_socket(void)
{
    return rill_udp_close(&udp);
}

static struct rill_future *read_file_to_end(void)
{
    return rill_file_read_to_end(&file, &read_to_end, 1);
}

static void set_up(void)
{
    fixture_pair(&one, &other);
    fixture_listen(&listener, NULL);
    borrow = (struct rill_borrow){.data = NULL};
}

static void tear_down(void)
{
    rill_borrow_give_back(&borrow);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    fixture_hang_up(&one);
    fixture_hang_up(&other);
}

/* It gives as much as it is asked for, at once, and has the budget paid by the reader. */
static enum rill_poll generous_poll(struct rill_future *self, struct rill_task *task)
{
    (void)task;
    return rill_future_end(self, 16);
}

static struct rill_future *read_generously(void *source, struct rill_op *unused, void *room,
                                           size_t size)
{
    (void)unused;
    memset(room, 'x', size);
    return rill_future_init(source, generous_poll);
}

static void prepare_reader(void)
{
    static struct rill_future source;
    static char room[16];

    rill_reader_init(&reader, read_generously, &source, room, sizeof room);
}

static struct rill_future *read_piece(void)
{
    return rill_reader_exactly(&reader, 1);
}

static const struct fairness_loop loops[] = {
    {"a cancelled receive", receive, -ECANCELED, NULL, NULL},
    {"a receive of no bytes", receive_nothing, 0, NULL, NULL},
    {"a cancelled receive into a shared buffer", receive_borrowed, -ECANCELED, NULL, NULL},
    {"a receive beyond the end", receive_borrowed, 0, end_stream, NULL},
    {"a copy beyond the end", receive, 0, end_stream, NULL},
    {"a cancelled send of a shared buffer", send_borrowed, -ECANCELED, borrow_one, NULL},
    {"a cancelled send of lasting bytes", send_lasting, -ECANCELED, NULL, NULL},
    {"a send of no lasting bytes", send_lasting_nothing, 0, NULL, NULL},
    {"a send of too many lasting bytes", send_lasting_too_much, -EINVAL, NULL, NULL},
    {"a flush of nothing", flush, 0, NULL, NULL},
    {"descriptors that TCP does not carry", send_descriptors, -EAFNOSUPPORT, NULL, NULL},
    {"a close of no descriptors", close_no_descriptors, 0, NULL, NULL},
    {"a piece that was read before", read_piece, 1, prepare_reader, NULL},
    {"finishing to send", finish_sending, 0, NULL, NULL},
    {"a cancelled end of sending", finish_sending, -ECANCELED, NULL, NULL},
    {"a release of no connection", release_no_connection, -EBADF, NULL, NULL},
    {"a cancelled accept", accept_one, -ECANCELED, NULL, NULL},
    {"an accept of a broken listener", accept_one, -EBADF, break_listener, NULL},
    {"a connect that is refused", connect_strangely, -EINVAL, NULL, NULL},
    {"a connect that gets no socket", connect_nowhere, -EAFNOSUPPORT, NULL, NULL},
    {"a look-up of a number", resolve_number, 1, NULL, NULL},
    {"a cancelled look-up", resolve_name, -ECANCELED, NULL, NULL},
    {"a server at no address", serve_nowhere, -EINVAL, NULL, NULL},
    {"a close of no file", close_no_file, 0, NULL, NULL},
    {"a name that was read before", read_directory, 1, NULL, NULL},
    {"a replacement at no path", replace_nothing, -ENOENT, NULL, NULL},
    {"nothing of a file", send_no_file, 0, NULL, NULL},
    {"a close of no datagram socket", close_no_socket, 0, NULL, NULL},
    {"a close of no connection", close_no_connection, 0, NULL, NULL},
    {"a close of no listener", close_no_listener, 0, NULL, NULL},
    {"a cancelled read to the end", read_file_to_end, -ECANCELED, NULL, NULL},
};

/* What wakes it is not of the simulated kernel. */
static const struct fairness_loop loops_in_real[] = {
    {"a cancelled wait for a waker", wait_for_waker, -ECANCELED, NULL, NULL},
};

static void open_waker(void)
{
    ck_assert_int_eq(rill_waker_open(&waker), 0);
}

static void close_waker(void)
{
    rill_waker_close(&waker);
}

START_TEST(a_loop_over_what_is_ready_at_once_lets_others_run_whatever_it_is_ready_with)
{
    if (!fixture_open(_i, NULL, NULL))
        return;
    fairness_check(loops, sizeof loops / sizeof *loops, set_up, tear_down, fixture_turn);
    if (_i == REAL)
        fairness_check(loops_in_real, sizeof loops_in_real / sizeof *loops_in_real, open_waker,
                       close_waker, fixture_turn);
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_loop_over_what_is_ready_at_once_lets_others_run_whatever_it_is_ready_with, IN_BOTH},
    };

    return fixture_main("fairness_net", cases, sizeof cases / sizeof *cases);
}
