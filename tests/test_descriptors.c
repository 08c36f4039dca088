/* SPDX-License-Identifier: Apache-2.0 */
/* test_descriptors.c - descriptors go over a unix socket once each, with their bytes, and none is
 * lost, whoever is cancelled when. */
#include "net/descriptors.h"

#include "net/socket_options.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct rill_tcp left, right; /* the two ends of the way that descriptors go */
static struct rill_send_descriptors outgoing;
static struct rill_recv_descriptors incoming;
static struct background sending, receiving;
static struct rill_op op;
static char bytes[20000], buffer[20000];

/* ---- unix sockets in both worlds ---- */

static void pair_over(struct rill_tcp *one, struct rill_tcp *other, bool descriptors)
{
    const struct rill_listen_options options = {.descriptors = descriptors};
    static struct rill_connect connect;
    struct rill_listener listener = {0};
    struct rill_address address;
    struct rill_accept accept;
    struct background connecting;
    char name[64];

    snprintf(name, sizeof name, "@rill-test-descriptors-%d", (int)getpid());
    expect_eq(rill_address_set_path(&address, name), 0);
    expect_eq(rill_listener_open(&listener, &address, &options), 0);
    memset(one, 0, sizeof *one);
    memset(&connect, 0, sizeof connect);
    background_start(&connecting, rill_tcp_connect_address(one, &connect, &address));
    expect(await(rill_tcp_accept(&listener, &accept)) >= 0);
    rill_tcp_adopt(other, (int)accept.result);
    expect_eq(background_end(&connecting), 0);
    expect_eq(await(rill_listener_close(&listener)), 0);
}

static void pair(struct rill_tcp *one, struct rill_tcp *other)
{
    pair_over(one, other, true);
}

static bool open_world(int which, const struct sim_options *options)
{
    if (!fixture_open(which, options, NULL))
        return false;
    memset(&outgoing, 0, sizeof outgoing);
    memset(&incoming, 0, sizeof incoming);
    pair(&left, &right);
    pattern_fill(bytes, 0, sizeof bytes);
    return true;
}

static void close_world(void)
{
    fixture_hang_up(&left);
    fixture_hang_up(&right);
    fixture_close();
}

/* Sends one end of a connection away, of which only what is sent is left then. */
static void send_end(struct rill_tcp *end, const char *text, size_t size)
{
    expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, text, size, &end->fd, 1)), size);
    fixture_hang_up(end);
}

/* That bytes go from the one to the other. */
static void expect_connected(struct rill_tcp *one, struct rill_tcp *other)
{
    char byte = 0;

    expect_eq(await(rill_tcp_send_all(one, &op, "x", 1)), 1);
    expect_eq(await(rill_tcp_recv(other, &op, &byte, 1)), 1);
    expect_eq(byte, 'x');
}

static void expect_end(struct rill_tcp *tcp)
{
    char byte = 0;

    expect_eq(await(rill_tcp_recv(tcp, &op, &byte, 1)), 0);
}

/* ---- ---- */

START_TEST(a_connection_that_was_sent_away_works_where_it_came)
{
    struct rill_tcp near, far, came = {.fd = 0};

    if (!open_world(_i, NULL))
        return;
    pair(&near, &far);
    send_end(&far, "take this", 9);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, sizeof buffer)), 9);
    expect(memcmp(buffer, "take this", 9) == 0);
    expect_eq(incoming.count, 1);
    expect(!incoming.is_cut);
    if (_i == REAL)
        expect_eq(fcntl(incoming.fds[0], F_GETFD), FD_CLOEXEC);
    rill_tcp_adopt_foreign(&came, rill_descriptors_take(&incoming));
    expect_eq(incoming.count, 0);
    expect_connected(&near, &came);
    expect_connected(&came, &near);
    fixture_hang_up(&came);
    expect_end(&near);
    fixture_hang_up(&near);
    close_world();
}
END_TEST

START_TEST(what_is_not_taken_is_closed_even_in_a_cancelled_task)
{
    struct rill_tcp near[3] = {0}, far[3] = {0};
    int fds[3];

    if (!open_world(_i, NULL))
        return;
    for (int i = 0; i < 3; i++) {
        pair(&near[i], &far[i]);
        fds[i] = far[i].fd;
    }
    expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, "abc", 3, fds, 3)), 3);
    for (int i = 0; i < 3; i++)
        fixture_hang_up(&far[i]);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 3);
    expect_eq(incoming.count, 3);
    background_start(&receiving, rill_descriptors_close(&incoming));
    rill_task_cancel(&receiving.task);
    background_end(&receiving);
    expect_eq(incoming.result, 0);
    expect_eq(incoming.count, 0);
    await(rill_descriptors_close(&incoming)); /* nothing is left */
    for (int i = 0; i < 3; i++) {
        expect_end(&near[i]);
        fixture_hang_up(&near[i]);
    }
    close_world();
}
END_TEST

START_TEST(descriptors_come_once_with_the_first_byte_of_a_send_in_many_parts)
{
    enum { SIZE = sizeof bytes };
    const struct sim_options options = {
        .short_per_mille = 500, .socket_buffer_size = 3000, .linux_6_1 = _i == SIMULATED};
    struct rill_tcp near = {0}, far = {0};
    size_t at = 0;

    if (!open_world(_i, &options))
        return;
    pair(&near, &far);
    background_start(&sending,
                     rill_tcp_send_descriptors(&left, &outgoing, bytes, SIZE, &far.fd, 1));
    while (at < SIZE) {
        int64_t got = await(rill_tcp_recv_descriptors(&right, &incoming, buffer, SIZE - at));

        expect(got > 0 && pattern_is(buffer, at, (size_t)got));
        expect_eq(incoming.count, at == 0);
        await(rill_descriptors_close(&incoming));
        at += (size_t)got;
    }
    expect_eq(background_end(&sending), SIZE);
    expect_eq(outgoing.bytes.op.transferred, SIZE);
    fixture_hang_up(&near);
    fixture_hang_up(&far);
    close_world();
}
END_TEST

START_TEST(bytes_without_descriptors_and_the_end_are_received_as_well)
{
    if (!open_world(_i, NULL))
        return;
    expect_eq(await(rill_tcp_send_all(&left, &op, "hello", 5)), 5);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 5);
    expect_eq(incoming.count, 0);
    await(rill_descriptors_close(&incoming));
    expect_eq(incoming.result, 0);
    expect_eq(await(rill_tcp_finish_sending(&left, &op)), 0);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 0);
    expect_eq(incoming.count, 0);
    close_world();
}
END_TEST

/* The kernel tells who has sent, too, where the socket asks for that: these are no descriptors. */
START_TEST(what_else_comes_with_the_bytes_is_not_taken_for_descriptors)
{
    const int yes = 1;

    if (!open_world(_i, NULL))
        return;
    expect_eq(setsockopt(right.fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes), 0);
    expect_eq(await(rill_tcp_send_all(&left, &op, "x", 1)), 1);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 1);
    expect_eq(incoming.count, 0);
    expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, "x", 1, &right.fd, 1)), 1);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 1);
    expect_eq(incoming.count, 1);
    await(rill_descriptors_close(&incoming));
    close_world();
}
END_TEST

/* A socket may have been given to us by somebody who has asked for both. */
START_TEST(who_has_sent_takes_no_room_from_descriptors_and_leaves_none_behind)
{
    static const int questions[] = {SO_PASSCRED, 76 /* SO_PASSPIDFD, since Linux 6.5 */};
    const int yes = 1;
    int fds[RILL_DESCRIPTORS_MAX];

    if (!open_world(_i, NULL))
        return;
    for (int i = 0; i < RILL_DESCRIPTORS_MAX; i++)
        fds[i] = left.fd;
    for (int i = 0; i < 2; i++) {
        size_t before = fixture_count_fds();

        if (setsockopt(right.fd, SOL_SOCKET, questions[i], &yes, sizeof yes) < 0)
            continue;
        for (unsigned count = 0; count <= RILL_DESCRIPTORS_MAX; count += RILL_DESCRIPTORS_MAX) {
            if (count > 0)
                expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, "x", 1, fds, count)),
                          1);
            else
                expect_eq(await(rill_tcp_send_all(&left, &op, "x", 1)), 1);
            expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 1);
            expect_eq(incoming.count, count);
            expect(!incoming.is_cut);
            await(rill_descriptors_close(&incoming));
        }
        expect_eq(fixture_count_fds(), before);
    }
    close_world();
}
END_TEST

/* Who receives the bytes alone loses the descriptors, and so does who closes. */
START_TEST(descriptors_that_nobody_receives_are_closed)
{
    struct rill_tcp near[2] = {0}, far[2] = {0};

    if (!open_world(_i, NULL))
        return;
    for (int i = 0; i < 2; i++) {
        pair(&near[i], &far[i]);
        send_end(&far[i], "abc", 3);
    }
    expect_eq(await(rill_tcp_recv_exactly(&right, &op, buffer, 3)), 3);
    expect_end(&near[0]);
    fixture_hang_up(&right);
    settle();
    expect_end(&near[1]);
    for (int i = 0; i < 2; i++)
        fixture_hang_up(&near[i]);
    close_world();
}
END_TEST

/* More than there is room for: of others, who do not keep to RILL_DESCRIPTORS_MAX. */
START_TEST(a_listener_whose_clients_send_none_has_them_refused)
{
    struct rill_tcp client = {0}, server = {0};
    int value;

    if (!open_world(_i, NULL))
        return;
    pair_over(&client, &server, false);
    if (rill_socket_get_int(server.fd, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &value) == 0) {
        expect_eq(await(rill_tcp_send_descriptors(&client, &outgoing, "x", 1, &left.fd, 1)),
                  -EPERM);
        expect_eq(rill_socket_set_descriptors(server.fd, true), 0);
    }
    expect_eq(await(rill_tcp_send_descriptors(&client, &outgoing, "x", 1, &left.fd, 1)), 1);
    fixture_hang_up(&client);
    fixture_hang_up(&server);
    close_world();
}
END_TEST

START_TEST(more_descriptors_than_there_is_room_for_are_cut_off)
{
    enum { MANY = RILL_DESCRIPTORS_MAX + 4 };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(MANY * sizeof(int))];
    } control = {{.cmsg_len = CMSG_LEN(MANY * sizeof(int)),
                  .cmsg_level = SOL_SOCKET,
                  .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {.iov_base = bytes, .iov_len = 1};
    const struct msghdr message = {.msg_iov = &part,
                                   .msg_iovlen = 1,
                                   .msg_control = &control,
                                   .msg_controllen = sizeof control};

    if (!open_world(REAL, NULL))
        return;
    for (int i = 0; i < MANY; i++)
        memcpy(CMSG_DATA(&control.header) + (size_t)i * sizeof(int), &left.fd, sizeof(int));
    expect_eq(sendmsg(left.fd, &message, 0), 1);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 1);
    expect_eq(incoming.count, RILL_DESCRIPTORS_MAX);
    expect(incoming.is_cut);
    await(rill_descriptors_close(&incoming));
    close_world();
}
END_TEST

START_TEST(descriptors_for_which_the_process_has_no_room_are_cut_off)
{
    const struct sim_options options = {.fds_max = 4};
    struct rlimit limit, low;
    int fds[6];

    if (_i == REAL && getenv("TEST_UNDER_VALGRIND"))
        return; /* valgrind keeps RLIMIT_NOFILE for itself */
    if (!open_world(_i, &options))
        return;
    for (int i = 0; i < 6; i++)
        fds[i] = left.fd;
    expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, "abc", 3, fds, 6)), 3);
    if (_i == REAL) {
        int highest = dup(0);

        close(highest);
        getrlimit(RLIMIT_NOFILE, &limit);
        low = limit;
        low.rlim_cur = (rlim_t)highest + 2;
        setrlimit(RLIMIT_NOFILE, &low);
    }
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 3);
    if (_i == REAL)
        setrlimit(RLIMIT_NOFILE, &limit);
    expect(incoming.count >= 1 && incoming.count <= 2); /* the test may have a number above */
    expect(incoming.is_cut);
    await(rill_descriptors_close(&incoming));
    expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, "abc", 3, fds, 1)), 3);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 3);
    expect_eq(incoming.count, 1);
    expect(!incoming.is_cut);
    await(rill_descriptors_close(&incoming));
    close_world();
}
END_TEST

START_TEST(a_descriptor_that_is_not_open_and_TCP_are_errors_and_nothing_is_sent)
{
    struct rill_tcp one = {0}, other = {0};
    const int nothing = 1000;

    if (!open_world(_i, NULL))
        return;
    expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, "abc", 3, &nothing, 1)), -EBADF);
    expect_eq(outgoing.bytes.op.transferred, 0);
    fixture_pair(&one, &other);
    expect_eq(await(rill_tcp_send_descriptors(&one, &outgoing, "abc", 3, &left.fd, 1)),
              -EAFNOSUPPORT);
    fixture_hang_up(&one);
    expect_end(&other);
    fixture_hang_up(&other);
    expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, "abc", 3, &left.fd, 1)), 3);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 3);
    await(rill_descriptors_close(&incoming));
    close_world();
}
END_TEST

START_TEST(cancelled_before_they_begin_they_send_and_receive_nothing)
{
    if (!open_world(_i, NULL))
        return;
    background_start(&sending, rill_tcp_send_descriptors(&left, &outgoing, "abc", 3, &left.fd, 1));
    rill_task_cancel(&sending.task);
    expect_eq(background_end(&sending), -ECANCELED);
    background_start(&receiving, rill_tcp_recv_descriptors(&right, &incoming, buffer, 100));
    fixture_turn();
    rill_task_cancel(&receiving.task);
    expect_eq(background_end(&receiving), -ECANCELED);
    expect_eq(incoming.count, 0);
    expect_eq(await(rill_tcp_send_descriptors(&left, &outgoing, "abc", 3, &left.fd, 1)), 3);
    expect_eq(await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 100)), 3);
    expect_eq(incoming.count, 1);
    await(rill_descriptors_close(&incoming));
    close_world();
}
END_TEST

/* ---- at any moment ---- */

enum { MESSAGES = 12, MESSAGE = 40 };

/* Sends MESSAGES, each with two descriptors, and is not in a hurry. */
struct giver {
    struct rill_future future;
    struct rill_sleep pause;
    int sent;
    int fds[2];
};

static enum rill_poll give_poll(struct rill_future *self, struct rill_task *task)
{
    struct giver *giver = rill_container_of(self, struct giver, future);

    RILL_BEGIN();
    for (giver->sent = 0; giver->sent < MESSAGES; giver->sent++) {
        giver->fds[0] = left.fd;
        giver->fds[1] = right.fd;
        rill_tcp_send_descriptors(&left, &outgoing, bytes + (ptrdiff_t)giver->sent * MESSAGE,
                                  MESSAGE, giver->fds, 2);
        RILL_AWAIT(&outgoing.bytes.op.future);
        if (outgoing.result < 0)
            RILL_RETURN(outgoing.result);
        RILL_AWAIT(rill_sleep(&giver->pause, (int64_t)sim_random(fixture.sim, 60000)));
    }
    RILL_AWAIT(rill_tcp_finish_sending(&left, &op));
    RILL_END();
}

/* Each receive has little time, and the losers have lost nothing. */
START_TEST(receives_that_are_cancelled_at_any_moment_lose_neither_bytes_nor_descriptors)
{
    static struct giver giver;
    struct rill_timeout timeout;
    unsigned cancelled = 0;
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_options options = sim_options_troubled(seed);
        unsigned came = 0;
        size_t at = 0;

        fixture.seed = seed;
        fixture.seeded = true;
        expect(open_world(SIMULATED, &options));
        background_start(&sending, rill_future_init(&giver.future, give_poll));
        for (;;) {
            int64_t limit = (int64_t)sim_random(fixture.sim, 50) * RILL_MICROSECOND;
            int64_t got =
                await(rill_timeout(&timeout, limit,
                                   rill_tcp_recv_descriptors(&right, &incoming, buffer,
                                                             1 + sim_random(fixture.sim, 60))));

            if (got == 0)
                break;
            cancelled += got < 0;
            if (incoming.result < 0) {
                expect(incoming.result == -ECANCELED);
                expect_eq(incoming.count, 0);
                continue;
            }
            expect(pattern_is(buffer, at, (size_t)incoming.result));
            /* They come with the first byte of their message. */
            expect(incoming.count == 0 || at % MESSAGE == 0 ||
                   at / MESSAGE < (at + (size_t)incoming.result - 1) / MESSAGE);
            at += (size_t)incoming.result;
            came += incoming.count;
            if (sim_random(fixture.sim, 2) && incoming.count) {
                struct rill_tcp taken = {0};

                rill_tcp_adopt_foreign(&taken, rill_descriptors_take(&incoming));
                fixture_hang_up(&taken);
            }
            await(rill_descriptors_close(&incoming));
        }
        expect_eq(background_end(&sending), 0);
        expect_eq(at, MESSAGES * MESSAGE);
        expect_eq(came, 2 * MESSAGES);
        close_world();
    }
    if (count >= 50)
        ck_assert_uint_gt(cancelled, count);
}
END_TEST

/* A send that is cancelled says whether its descriptors have gone. */
START_TEST(sends_that_are_cancelled_at_any_moment_have_sent_all_or_nothing_of_their_descriptors)
{
    struct rill_timeout timeout;
    unsigned gone = 0, kept = 0;
    uint64_t first, count;

    fixture_seeds(300, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct sim_options options = sim_options_troubled(seed);
        unsigned came = 0, want;
        size_t at = 0;

        fixture.seed = seed;
        fixture.seeded = true;
        options.socket_buffer_size = 2000;
        expect(open_world(SIMULATED, &options));
        if (seed % 2) /* there is no room at first */
            await(rill_timeout(&timeout, RILL_MILLISECOND,
                               rill_tcp_send_all(&left, &op, bytes, 2000 + seed % 3)));
        at = seed % 2 ? op.transferred : 0;
        await(rill_timeout(&timeout, (int64_t)sim_random(fixture.sim, 50) * RILL_MICROSECOND,
                           rill_tcp_send_descriptors(&left, &outgoing, bytes, 3000,
                                                     (const int[]){left.fd, right.fd}, 2)));
        want = outgoing.bytes.op.transferred > 0 ? 2 : 0;
        gone += want > 0 && outgoing.result < 0;
        kept += want == 0;
        at += outgoing.bytes.op.transferred;
        expect_eq(await(rill_tcp_finish_sending(&left, &op)), 0);
        while (await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 1000)) > 0) {
            at -= (size_t)incoming.result;
            came += incoming.count;
            await(rill_descriptors_close(&incoming));
        }
        expect_eq(at, 0);
        expect_eq(came, want);
        close_world();
    }
    if (count < 50)
        return;
    ck_assert_uint_gt(gone, 0);
    ck_assert_uint_gt(kept, 0);
}
END_TEST

/* ---- mistakes ---- */

static void send_without_a_byte(void)
{
    open_world(SIMULATED, NULL);
    rill_tcp_send_descriptors(&left, &outgoing, "", 0, &left.fd, 1);
}

static void send_too_many(void)
{
    static int fds[RILL_DESCRIPTORS_MAX + 1];

    open_world(SIMULATED, NULL);
    rill_tcp_send_descriptors(&left, &outgoing, "a", 1, fds, RILL_DESCRIPTORS_MAX + 1);
}

static void receive_without_room(void)
{
    open_world(SIMULATED, NULL);
    rill_tcp_recv_descriptors(&right, &incoming, buffer, 0);
}

static void receive_over_what_came(void)
{
    open_world(SIMULATED, NULL);
    await(rill_tcp_send_descriptors(&left, &outgoing, "a", 1, &left.fd, 1));
    await(rill_tcp_recv_descriptors(&right, &incoming, buffer, 1));
    rill_tcp_recv_descriptors(&right, &incoming, buffer, 1);
}

static void receive_behind_borrowed(void)
{
    struct rill_borrow borrow = {.data = NULL};

    open_world(SIMULATED, NULL);
    await(rill_tcp_send_all(&left, &op, "a", 1));
    await(rill_tcp_recv_borrowed(&right, &borrow));
    rill_tcp_recv_descriptors(&right, &incoming, buffer, 1);
}

static void take_what_did_not_come(void)
{
    open_world(SIMULATED, NULL);
    rill_descriptors_take(&incoming);
}

START_TEST(mistakes_are_panics)
{
    fixture_expect_panic(send_without_a_byte, "without a byte to take them along");
    fixture_expect_panic(send_too_many, "17 descriptors are sent at once; want 1 to 16");
    fixture_expect_panic(receive_without_room, "without room for a byte");
    fixture_expect_panic(receive_over_what_came, "would lose 1 descriptors that came before");
    fixture_expect_panic(receive_behind_borrowed, "where shared buffers are");
    fixture_expect_panic(take_what_did_not_come, "no descriptor to be taken");
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {a_connection_that_was_sent_away_works_where_it_came, IN_BOTH},
        {what_is_not_taken_is_closed_even_in_a_cancelled_task, IN_BOTH},
        {descriptors_come_once_with_the_first_byte_of_a_send_in_many_parts, IN_BOTH},
        {bytes_without_descriptors_and_the_end_are_received_as_well, IN_BOTH},
        {what_else_comes_with_the_bytes_is_not_taken_for_descriptors, IN_REAL},
        {who_has_sent_takes_no_room_from_descriptors_and_leaves_none_behind, IN_REAL},
        {descriptors_that_nobody_receives_are_closed, IN_BOTH},
        {a_listener_whose_clients_send_none_has_them_refused, IN_BOTH},
        {more_descriptors_than_there_is_room_for_are_cut_off, IN_REAL},
        {descriptors_for_which_the_process_has_no_room_are_cut_off, IN_BOTH},
        {a_descriptor_that_is_not_open_and_TCP_are_errors_and_nothing_is_sent, IN_BOTH},
        {cancelled_before_they_begin_they_send_and_receive_nothing, IN_BOTH},
        {receives_that_are_cancelled_at_any_moment_lose_neither_bytes_nor_descriptors,
         IN_SIMULATED},
        {sends_that_are_cancelled_at_any_moment_have_sent_all_or_nothing_of_their_descriptors,
         IN_SIMULATED},
        {mistakes_are_panics, IN_SIMULATED},
    };

    return fixture_main("descriptors", cases, sizeof cases / sizeof *cases);
}
