/* SPDX-License-Identifier: Apache-2.0 */
/* test_unix.c - unix sockets are served and connected to like TCP, and leave no file behind. */
#include "io/file.h"
#include "io/path.h"
#include "net/server.h"
#include "net/socket_options.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rill_listener listener;
static struct rill_accept accepting;
static struct rill_connect connecting;
static struct rill_tcp client, peer;
static struct rill_op recv_op, send_op;
static struct rill_file file;
static struct rill_url url;

static char directory[] = "/tmp/rill-unix-XXXXXX";
static char path[64], text[80];

/* The path of a socket that is not there yet. The simulated disk has a root only. */
static bool open_world(int which, const struct sim_options *options)
{
    const char *why;

    if (!fixture_open(which, options, NULL))
        return false;
    if (which == REAL)
        ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/socket", which == REAL ? directory : "");
    snprintf(text, sizeof text, "unix://%s", path);
    ck_assert_int_eq(rill_url_parse(&url, text, &why), 0);
    return true;
}

static void close_world(int which)
{
    fixture_close();
    if (which == REAL)
        ck_assert_int_eq(rmdir(directory), 0); /* it is empty */
}

static int listen_at(const char *at)
{
    struct rill_address address;

    ck_assert_int_eq(rill_address_set_path(&address, at), 0);
    return rill_listener_open(&listener, &address, NULL);
}

/* What opening the path as a file says: -ENXIO for a socket, -ENOENT for nothing. */
static int64_t look(void)
{
    int64_t result = await(rill_file_open(&file, path, O_RDWR, 0));

    ck_assert_int_lt(result, 0);
    return result;
}

START_TEST(bytes_go_both_ways_through_a_unix_socket)
{
    struct rill_address address;
    char buffer[8] = {0}, name[RILL_ADDRESS_TEXT_MAX];

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(rill_listener_address(&listener, &address), 0);
    ck_assert_str_eq(rill_address_format(&address, name), path);
    ck_assert_uint_eq(rill_address_port(&address), 0);

    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
    ck_assert_int_ge(await(rill_tcp_accept(&listener, &accepting)), 0);
    rill_tcp_adopt(&peer, (int)accepting.result);
    ck_assert_int_eq(rill_tcp_peer_address(&client, &address), 0);
    ck_assert_str_eq(rill_address_format(&address, name), path);
    ck_assert_int_eq(rill_tcp_peer_address(&peer, &address), 0);
    ck_assert_str_eq(rill_address_format(&address, name), "");

    ck_assert_int_eq(await(rill_tcp_send_all(&client, &send_op, "question", 8)), 8);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&peer, &recv_op, buffer, 8)), 8);
    ck_assert_mem_eq(buffer, "question", 8);
    ck_assert_int_eq(await(rill_tcp_send_all(&peer, &send_op, "answer", 6)), 6);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&client, &recv_op, buffer, 6)), 6);
    ck_assert_mem_eq(buffer, "answer", 6);
    fixture_hang_up(&client);
    ck_assert_int_eq(await(rill_tcp_recv(&peer, &recv_op, buffer, 8)), 0);
    fixture_hang_up(&peer);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    close_world(_i);
}
END_TEST

/* On the side that connected, and on that which accepted. */
static void expect_urgent_in_its_place(struct rill_tcp *from, struct rill_tcp *to)
{
    char got[4] = ""; /* valgrind does not see what the ring writes */

    ck_assert_int_eq(send(from->fd, "a", 1, 0), 1);
    if (send(from->fd, "b", 1, MSG_OOB) < 0) /* the kernel may be made without */
        ck_assert_int_eq(send(from->fd, "b", 1, 0), 1);
    ck_assert_int_eq(send(from->fd, "c", 1, 0), 1);
    fixture_hang_up(from);
    ck_assert_int_eq(await(rill_tcp_recv_exactly(to, &recv_op, got, 4)), 3);
    ck_assert_mem_eq(got, "abc", 3);
    fixture_hang_up(to);
}

START_TEST(a_byte_that_is_sent_as_urgent_comes_in_its_place)
{
    static struct rill_listener adopted;

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(rill_listener_adopt(&adopted, fcntl(listener.fd, F_DUPFD_CLOEXEC, 0), NULL),
                     0);
    for (int i = 0; i < 3; i++) {
        struct rill_listener *from = i < 2 ? &listener : &adopted;

        ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
        ck_assert_int_ge(await(rill_tcp_accept(from, &accepting)), 0);
        rill_tcp_adopt(&peer, (int)accepting.result);
        if (i == 0)
            expect_urgent_in_its_place(&peer, &client);
        else
            expect_urgent_in_its_place(&client, &peer);
        if (i == 1)
            await(rill_listener_withdraw(from));
    }
    ck_assert_int_eq(await(rill_listener_close(&adopted)), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    close_world(_i);
}
END_TEST

START_TEST(a_successor_that_got_the_socket_is_found_when_the_first_has_left_it_the_file)
{
    static struct rill_listener successor;

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(rill_listener_adopt(&successor, fcntl(listener.fd, F_DUPFD_CLOEXEC, 0), NULL),
                     0);
    rill_listener_leave_file(&listener);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
    ck_assert_int_ge(await(rill_tcp_accept(&successor, &accepting)), 0);
    rill_tcp_adopt(&peer, (int)accepting.result);
    fixture_hang_up(&client);
    fixture_hang_up(&peer);
    ck_assert_int_eq(await(rill_listener_close(&successor)), 0);
    ck_assert_int_eq(unlink(path), 0);
    close_world(_i);
}
END_TEST

/* Hands the socket on as a server that is started anew does. */
static void hand_on(struct rill_listener *from, struct rill_listener *to)
{
    expect_eq(rill_listener_adopt(to, fcntl(from->fd, F_DUPFD_CLOEXEC, 0), NULL), 0);
    rill_listener_leave_file(from);
    expect_eq(rill_listener_take_file(to), 0);
    expect_eq(await(rill_listener_close(from)), 0);
}

START_TEST(the_last_of_some_successors_removes_the_file_that_each_has_taken)
{
    static struct rill_listener second, third;

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    hand_on(&listener, &second);
    hand_on(&second, &third);
    ck_assert_int_eq(look(), -ENXIO); /* it is there */
    ck_assert_int_eq(await(rill_listener_close(&third)), 0);
    ck_assert_int_eq(look(), -ENOENT);
    close_world(_i);
}
END_TEST

/* Which the kernel allows, and rill_address_set_path does not. */
START_TEST(the_file_of_a_path_without_a_zero_at_its_end_is_not_taken)
{
    static struct rill_listener successor;
    struct sockaddr_un long_name = {.sun_family = AF_UNIX};
    char longest[sizeof long_name.sun_path + 1];
    int fd;

    if (!open_world(_i, NULL))
        return;
    memset(longest, 'x', sizeof longest - 1);
    memcpy(longest, "/tmp/rill-test-", 15);
    longest[sizeof longest - 1] = '\0';
    memcpy(long_name.sun_path, longest, sizeof long_name.sun_path);
    (void)unlink(longest);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)&long_name, sizeof long_name), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(rill_listener_adopt(&successor, fd, NULL), 0);
    ck_assert_int_eq(rill_listener_take_file(&successor), -ENAMETOOLONG);
    ck_assert_int_eq(await(rill_listener_close(&successor)), 0);
    ck_assert_int_eq(unlink(longest), 0); /* it is there */
    close_world(_i);
}
END_TEST

START_TEST(only_the_file_of_a_socket_can_be_taken)
{
    static struct rill_listener successor;
    struct rill_address address;
    int fd;

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(rill_listener_take_file(&successor), -EBADF);
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(rill_listener_adopt(&successor, fcntl(listener.fd, F_DUPFD_CLOEXEC, 0), NULL),
                     0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    ck_assert_int_eq(rill_listener_take_file(&successor), -ENOENT);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(rill_listener_take_file(&successor), -ENOENT);
    ck_assert_int_eq(await(rill_listener_close(&successor)), 0);
    ck_assert_int_eq(unlink(path), 0); /* it is there */
    close(fd);
    ck_assert_int_eq(rill_address_parse(&address, "127.0.0.1", 0), 0);
    ck_assert_int_eq(rill_listener_open(&listener, &address, NULL), 0);
    ck_assert_int_eq(rill_listener_take_file(&listener), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    close_world(_i);
}
END_TEST

START_TEST(closing_the_listener_removes_its_file_even_in_a_cancelled_task)
{
    struct background closing;

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(look(), -ENXIO);
    background_start(&closing, rill_listener_close(&listener));
    rill_task_cancel(&closing.task);
    ck_assert_int_eq(background_end(&closing), 0);
    ck_assert_int_eq(look(), -ENOENT);
    ck_assert_int_eq(listen_at(path), 0); /* the path is free again */
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    close_world(_i);
}
END_TEST

START_TEST(a_file_that_is_there_is_EADDRINUSE_and_stays)
{
    struct rill_listener second = {0};
    struct rill_address address;

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(rill_address_set_path(&address, path), 0);
    ck_assert_int_eq(rill_listener_open(&second, &address, NULL), -EADDRINUSE);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 1);
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
    fixture_hang_up(&client);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    close_world(_i);
}
END_TEST

START_TEST(a_file_that_somebody_removed_does_not_keep_the_listener_from_closing)
{
    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    ck_assert(!listener.is_open);
    close_world(_i);
}
END_TEST

START_TEST(the_file_of_a_successor_stays_when_the_first_one_is_closed)
{
    static struct rill_listener successor;
    struct rill_address address;
    static struct rill_op unlinking;

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(await(rill_path_unlink(&unlinking, path)), 0);
    ck_assert_int_eq(rill_address_set_path(&address, path), 0);
    ck_assert_int_eq(rill_listener_open(&successor, &address, NULL), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    ck_assert_int_eq(look(), -ENXIO);
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
    ck_assert_int_ge(await(rill_tcp_accept(&successor, &accepting)), 0);
    rill_tcp_adopt(&peer, (int)accepting.result);
    fixture_hang_up(&client);
    fixture_hang_up(&peer);
    ck_assert_int_eq(await(rill_listener_close(&successor)), 0);
    ck_assert_int_eq(look(), -ENOENT);
    close_world(_i);
}
END_TEST

START_TEST(a_file_of_the_same_name_in_another_directory_stays)
{
    static struct rill_listener other;
    struct rill_address address;

    if (!open_world(REAL, NULL))
        return;
    ck_assert_int_eq(chdir(directory), 0);
    ck_assert_int_eq(mkdir("below", 0700), 0);
    ck_assert_int_eq(rill_address_set_path(&address, "socket"), 0);
    ck_assert_int_eq(rill_listener_open(&listener, &address, NULL), 0);
    ck_assert_int_eq(chdir("below"), 0);
    ck_assert_int_eq(rill_listener_open(&other, &address, NULL), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    ck_assert_int_eq(access("socket", F_OK), 0);
    ck_assert_int_eq(await(rill_listener_close(&other)), 0);
    ck_assert_int_eq(rmdir("../below"), 0);
    ck_assert_int_eq(unlink(path), 0);
    close_world(REAL);
}
END_TEST

/* The kernel leaves removing a file to a thread. Root has no limit on these, and who has become
 * somebody else can not be looked at for leaks: so in a process that ends without that. */
static void serve_without_threads(void)
{
    const struct rlimit none = {0, 0};
    enum { NOBODY = 65534 };

    if (geteuid() == 0 &&
        (chown(directory, NOBODY, NOBODY) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0))
        _exit(0);
    expect_eq(setrlimit(RLIMIT_NPROC, &none), 0);
    if (!fixture_open(REAL, NULL, NULL))
        _exit(0);
    expect_eq(listen_at(path), 0);
    expect_eq(await(rill_listener_close(&listener)), 0);
    expect_eq(access(path, F_OK), -1);
    fixture_close();
    _exit(0);
}

START_TEST(the_file_is_removed_although_the_kernel_may_start_no_thread_for_it)
{
    int status;
    pid_t process;

    if (!open_world(REAL, NULL))
        return;
    fixture_close();
    process = fork();
    if (process == 0)
        serve_without_threads();
    ck_assert_int_eq(waitpid(process, &status, 0), process);
    unlink(path);
    ck_assert_int_eq(rmdir(directory), 0);
    ck_assert_int_eq(status, 0);
}
END_TEST

static int may_not_listen(struct rill_kernel *kernel, int fd, int backlog)
{
    (void)kernel;
    (void)fd;
    (void)backlog;
    return -EACCES;
}

START_TEST(a_socket_that_may_not_listen_leaves_no_file)
{
    struct rill_reactor *reactor;
    struct rill_kernel_ops ops;
    struct rill_kernel strict = {&ops}, *usual;

    if (!open_world(REAL, NULL))
        return;
    reactor = &fixture.runtime->reactor;
    usual = reactor->kernel;
    ops = *rill_kernel_linux()->ops;
    ops.listen = may_not_listen;
    reactor->kernel = &strict;
    ck_assert_int_eq(listen_at(path), -EACCES);
    reactor->kernel = usual;
    ck_assert_int_eq(access(path, F_OK), -1);
    close_world(REAL);
}
END_TEST

START_TEST(a_path_without_a_server_and_a_path_in_no_directory_are_errors)
{
    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), -ENOENT);
    ck_assert(!client.is_open);
    ck_assert_int_eq(listen_at("/no/such/directory/socket"), -ENOENT);
    ck_assert_uint_eq(fixture.runtime->reactor.fds_open, 0);
    snprintf(url.scheme, sizeof url.scheme, "udp");
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), -EINVAL);
    close_world(_i);
}
END_TEST

/* A retry would find it there, and fail for that. */
START_TEST(who_connects_from_a_path_in_vain_leaves_no_file)
{
    struct rill_address from, to;
    char own[80];

    if (!open_world(_i, NULL))
        return;
    snprintf(own, sizeof own, "%s-own", path);
    ck_assert_int_eq(rill_address_set_path(&from, own), 0);
    ck_assert_int_eq(rill_address_set_path(&to, path), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(await(rill_tcp_connect_from(&client, &connecting, &from, &to)), -ENOENT);
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(await(rill_tcp_connect_from(&client, &connecting, &from, &to)), 0);
    fixture_hang_up(&client);
    ck_assert_int_eq(await(rill_tcp_connect_from(&client, &connecting, &from, &to)), -EADDRINUSE);
    ck_assert_int_eq(await(rill_path_unlink(&recv_op, own)), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    close_world(_i);
}
END_TEST

START_TEST(the_file_of_a_socket_that_was_adopted_is_left_to_those_who_made_it)
{
    struct rill_listener adopted = {.fd = 0};

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(listen_at(path), 0);
    ck_assert_int_eq(rill_listener_adopt(&adopted, dup(listener.fd), NULL), 0);
    ck_assert_int_eq(await(rill_listener_close(&adopted)), 0);
    ck_assert_int_eq(look(), -ENXIO);
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
    fixture_hang_up(&client);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    close_world(_i);
}
END_TEST

/* A name belongs to the machine, and other runs of this test may be on it. */
static void use_abstract_name(void)
{
    const char *why;

    snprintf(path, sizeof path, "@rill-test-unix-%d", (int)getpid());
    snprintf(text, sizeof text, "unix://%s", path);
    ck_assert_int_eq(rill_url_parse(&url, text, &why), 0);
}

START_TEST(an_abstract_name_is_listened_at_connected_to_and_free_again)
{
    struct rill_listener second = {.fd = 0};
    struct rill_address address;
    char buffer[8], name[RILL_ADDRESS_TEXT_MAX];

    if (!fixture_open(_i, NULL, NULL))
        return;
    use_abstract_name();
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), -ECONNREFUSED);
    for (int round = 0; round < 2; round++) {
        ck_assert_int_eq(listen_at(path), 0);
        ck_assert_int_eq(rill_listener_address(&listener, &address), 0);
        ck_assert_str_eq(rill_address_format(&address, name), path);
        ck_assert_int_eq(rill_listener_open(&second, &address, NULL), -EADDRINUSE);
        ck_assert_str_eq(rill_address_explain_listen(&address, -EADDRINUSE),
                         "a server has that name");
        ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
        ck_assert_int_ge(await(rill_tcp_accept(&listener, &accepting)), 0);
        rill_tcp_adopt(&peer, (int)accepting.result);
        ck_assert_int_eq(rill_tcp_peer_address(&client, &address), 0);
        ck_assert_str_eq(rill_address_format(&address, name), path);
        ck_assert_int_eq(await(rill_tcp_send_all(&client, &send_op, "question", 8)), 8);
        ck_assert_int_eq(await(rill_tcp_recv_exactly(&peer, &recv_op, buffer, 8)), 8);
        fixture_hang_up(&client);
        fixture_hang_up(&peer);
        ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    }
    fixture_close();
}
END_TEST

/* The zero behind a name is not part of it, and neither is the one that a longer one begins with.
 */
START_TEST(abstract_names_are_told_apart)
{
    struct rill_listener others[2] = {{.fd = 0}, {.fd = 0}};
    struct rill_address address;

    if (!fixture_open(_i, NULL, NULL))
        return;
    use_abstract_name();
    ck_assert_int_eq(listen_at(path), 0);
    snprintf(path, sizeof path, "@rill-test-unix-%db", (int)getpid());
    ck_assert_int_eq(rill_address_set_path(&address, path), 0);
    ck_assert_int_eq(rill_listener_open(&others[0], &address, NULL), 0);
    address.local.sun_path[address.size++ - offsetof(struct sockaddr_un, sun_path)] = '\0';
    ck_assert_int_eq(rill_listener_open(&others[1], &address, NULL), 0);
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
    ck_assert_int_ge(await(rill_tcp_accept(&listener, &accepting)), 0);
    rill_tcp_adopt(&peer, (int)accepting.result);
    fixture_hang_up(&client);
    fixture_hang_up(&peer);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(await(rill_listener_close(&others[i])), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    fixture_close();
}
END_TEST

/* None of these means anything to a unix socket, and a server has one set of options. */
START_TEST(the_options_of_TCP_are_passed_over)
{
    const struct rill_listen_options options = {
        .reuseport = true, .nodelay = true, .ip6_only = true, .congestion = "no such"};
    struct rill_address address;

    if (!open_world(_i, NULL))
        return;
    ck_assert_int_eq(rill_address_set_path(&address, path), 0);
    ck_assert_int_eq(rill_listener_open(&listener, &address, &options), 0);
    ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
    close_world(_i);
}
END_TEST

/* ---- a server ---- */

struct echo {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_borrow chunk;
};

static enum rill_poll echo_poll(struct rill_future *self, struct rill_task *task)
{
    struct echo *echo = rill_container_of(self, struct echo, task.future);

    RILL_BEGIN();
    for (;;) {
        RILL_AWAIT(rill_tcp_recv_borrowed(&echo->peer, &echo->chunk));
        if (echo->chunk.result <= 0)
            break;
        RILL_AWAIT(rill_tcp_send_borrowed(&echo->peer, &echo->chunk));
        if (echo->chunk.result < 0)
            break;
    }
    rill_borrow_give_back(&echo->chunk);
    RILL_AWAIT(rill_tcp_close(&echo->peer));
    RILL_END();
}

START_TEST(a_server_serves_a_unix_url_and_is_found_by_it)
{
    enum { SIZE = 100000 };
    static char sent[SIZE], received[SIZE];
    struct rill_server server = {0};
    struct background serving, sending;

    if (!open_world(_i, NULL))
        return;
    pattern_fill(sent, 0, SIZE);
    background_start(&serving,
                     rill_serve(&server, text, RILL_SERVICE(struct echo, peer, echo_poll)));
    settle();
    ck_assert_int_eq(await(rill_tcp_connect_url(&client, &connecting, &url)), 0);
    background_start(&sending, rill_tcp_send_all(&client, &send_op, sent, SIZE));
    ck_assert_int_eq(await(rill_tcp_recv_exactly(&client, &recv_op, received, SIZE)), SIZE);
    ck_assert_int_eq(background_end(&sending), SIZE);
    ck_assert(loaded_is(received, 0, SIZE));
    fixture_hang_up(&client);
    settle();
    rill_task_cancel(&serving.task);
    ck_assert_int_eq(background_end(&serving), -ECANCELED);
    ck_assert_uint_eq(server.accepted, 1);
    ck_assert_int_eq(look(), -ENOENT);
    close_world(_i);
}
END_TEST

START_TEST(connecting_and_closing_in_a_hostile_world_leaves_nothing_behind)
{
    struct rill_timeout timeout;
    uint64_t first, count;

    fixture_seeds(200, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_options options = sim_options_hostile(seed);

        fixture.seed = seed;
        fixture.seeded = true;
        options.fds_max = 2 + seed % 3;
        open_world(SIMULATED, &options);
        expect_eq(listen_at(path), 0);
        for (int i = 0; i < 10; i++) {
            int64_t result = await(
                rill_timeout(&timeout, (int64_t)sim_random(fixture.sim, 3000) * RILL_MICROSECOND,
                             rill_tcp_connect_url(&client, &connecting, &url)));

            expect_eq(client.is_open, result == 0);
            fixture_hang_up(&client);
            expect_eq(fixture.runtime->reactor.fds_open, 1);
        }
        ck_assert_int_eq(await(rill_listener_close(&listener)), 0);
        close_world(SIMULATED);
    }
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {bytes_go_both_ways_through_a_unix_socket, IN_BOTH},
        {a_byte_that_is_sent_as_urgent_comes_in_its_place, IN_REAL},
        {a_successor_that_got_the_socket_is_found_when_the_first_has_left_it_the_file, IN_REAL},
        {the_last_of_some_successors_removes_the_file_that_each_has_taken, IN_REAL},
        {only_the_file_of_a_socket_can_be_taken, IN_REAL},
        {the_file_of_a_path_without_a_zero_at_its_end_is_not_taken, IN_REAL},
        {closing_the_listener_removes_its_file_even_in_a_cancelled_task, IN_BOTH},
        {a_file_that_is_there_is_EADDRINUSE_and_stays, IN_BOTH},
        {a_file_that_somebody_removed_does_not_keep_the_listener_from_closing, IN_REAL},
        {the_file_of_a_successor_stays_when_the_first_one_is_closed, IN_BOTH},
        {a_file_of_the_same_name_in_another_directory_stays, IN_REAL},
        {the_file_is_removed_although_the_kernel_may_start_no_thread_for_it, IN_REAL},
        {a_socket_that_may_not_listen_leaves_no_file, IN_REAL},
        {a_path_without_a_server_and_a_path_in_no_directory_are_errors, IN_BOTH},
        {who_connects_from_a_path_in_vain_leaves_no_file, IN_BOTH},
        {the_file_of_a_socket_that_was_adopted_is_left_to_those_who_made_it, IN_REAL},
        {an_abstract_name_is_listened_at_connected_to_and_free_again, IN_BOTH},
        {abstract_names_are_told_apart, IN_BOTH},
        {the_options_of_TCP_are_passed_over, IN_BOTH},
        {a_server_serves_a_unix_url_and_is_found_by_it, IN_BOTH},
        {connecting_and_closing_in_a_hostile_world_leaves_nothing_behind, IN_SIMULATED},
    };

    return fixture_main("unix", cases, sizeof cases / sizeof *cases);
}
