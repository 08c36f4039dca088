/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_peers.c - connections to another process, which is killed, stopped or started
 * anew, in each state and at any moment. */
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "rdma/memory.h"
#include "rdma/tag.h"
#include "tests/process.h"
#include "tests/rdma/duo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ADDRESS_MAX = 4096, /* bytes of the address of a worker */
    ECHOES = 8,         /* at the same time */
    UNTAKEN = 200000,   /* bytes of a message that stays with its sender */
};

/* Long enough for a machine that is busy with other things. */
#define SILENCE_NS (1 * RILL_SECOND)

/* For a peer that will be lost; and for one that is not to seem lost, however busy the machine. */
static const struct rill_rdma_connection_options watchful = {
    .silence_ns = SILENCE_NS, .bytes_per_second = 1000000, /* of an emulated device */
};
static const struct rill_rdma_connection_options patient = {.silence_ns = 30 * RILL_SECOND,
                                                            .bytes_per_second = 1000000};

static struct rill_rdma_hub hub;
static struct rill_rdma_connection connection;
static struct rill_rdma_transfer sent, received;
static struct rill_rdma_state_wait wait_for;
static struct background sending, receiving;
static char buffer[4 << 20], message[4 << 20];

/* ---- the child ---- */

/* What a child does with the one that connects. */
enum role {
    ECHO,       /* sends back what it gets */
    NEVER,      /* accepts nobody */
    LAST_WORDS, /* asked to, sends three messages, and kills itself when asked again */
    FLOOD,      /* sends flood_count messages of the size that it is told */
    DEAF,       /* receives nothing */
    LEAVE,      /* sends back one message, and ends in order */
    JAM,        /* sends messages in small pieces until no more goes, and kills itself */
    JAM_BYE,    /* stops, does the same, then says BYE by another endpoint, and stops */
    ANNOUNCE,   /* sends a message that stays with it until it is received */
};

enum { PIECED = 7900 }; /* bytes of a message that comes in pieces, and is not long */

/* As many short messages as show that nothing grows, and long ones for some windows. */
static uint32_t flood_count(uint32_t size)
{
    return size < RILL_RDMA_EAGER_SIZE ? 40000 : 2000;
}

struct address {
    struct rill_address socket;
    size_t worker_size;
    char worker[ADDRESS_MAX];
};

static void tell_address(int pipe_fd, struct rill_rdma_listener *listener, int which, uint16_t port)
{
    static struct address address;
    const void *worker = rill_rdma_address(&duo.right, &address.worker_size);

    if (!duo_is_by_worker(which)) {
        struct rill_address wanted = duo_address(port);

        expect_eq(rill_rdma_listen(listener, &duo.right, &wanted), 0);
        expect_eq(rill_rdma_listener_address(listener, &address.socket), 0);
    }
    ck_assert(address.worker_size <= ADDRESS_MAX);
    memcpy(address.worker, worker, address.worker_size);
    if (write(pipe_fd, &address, sizeof address) != sizeof address)
        _exit(1);
}

static void accept_one(struct rill_rdma_listener *listener, int which)
{
    if (!duo_is_by_worker(which)) {
        struct rill_rdma_accept accept;

        expect_eq(await(rill_rdma_accept(listener, &accept)), 0);
        expect_eq(rill_rdma_adopt(&connection, &hub, &accept, NULL), 0);
    } else {
        struct rill_rdma_am stranger = {0};

        expect(await(rill_rdma_accept_worker(&hub, &stranger)) > 0);
        expect_eq(rill_rdma_adopt_worker(&connection, &hub, &stranger, NULL), 0);
    }
}

static void echo(unsigned count)
{
    int64_t got = 0;

    for (; count > 0 && got >= 0; count--) {
        got =
            await(rill_rdma_recv(&connection, &received, buffer, sizeof buffer, RILL_RDMA_ANY_TAG));
        if (got >= 0)
            got = await(rill_rdma_send(&connection, &sent, buffer, (size_t)got, received.tag));
    }
}

static void send_in_pieces(void)
{
    setenv("UCX_TCP_TX_SEG_SIZE", "512", 1);
    setenv("UCX_POSIX_SEG_SIZE", "512", 1);
    setenv("UCX_SYSV_SEG_SIZE", "512", 1);
    setenv("UCX_ZCOPY_THRESH", "inf", 1);
}

/* Whether the next message cannot go out as a whole: the other side makes no progress. */
static bool is_jammed(void)
{
    background_start(&sending, rill_rdma_send(&connection, &sent, message, PIECED, 1));
    for (int turns = 0; !rill_task_is_over(&sending.task) && turns < 1000; turns++)
        fixture_turn();
    return !rill_task_is_over(&sending.task);
}

/* The address is that of the other side's worker. */
static void jam(const char *other, bool with_bye)
{
    static struct rill_rdma_ep beside;
    static struct rill_rdma_op op, bye;

    if (with_bye) {
        expect_eq(rill_rdma_ep_open(&beside, &duo.right, other), 0);
        await(rill_rdma_tag_send_sync(
            &beside, &op, NULL, 0, rill_rdma_tag_make(connection.peer.id, RILL_RDMA_KIND_DATA, 2)));
        raise(SIGSTOP);
    }
    while (!is_jammed())
        ;
    if (with_bye) {
        background_start(
            &receiving,
            rill_rdma_tag_send_sync(&beside, &bye, NULL, 0,
                                    rill_rdma_tag_make(connection.peer.id, RILL_RDMA_KIND_BYE, 0)));
        settle();
        raise(SIGSTOP);
    }
    raise(SIGKILL);
}

static void serve(int which, enum role role, uint16_t port, int pipe_fd)
{
    static struct rill_rdma_listener listener;
    struct rill_sleep pause;
    uint32_t size;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (role == JAM || role == JAM_BYE)
        send_in_pieces();
    if (!fixture_open(REAL, NULL, NULL))
        _exit(77);
    duo_open_worker(&duo.right, which);
    if (role == JAM || role == JAM_BYE)
        duo.right.segments = (struct rill_rdma_segments){0}; /* as if it were none of ours */
    expect_eq(rill_rdma_hub_open(&hub, &duo.right), 0);
    tell_address(pipe_fd, &listener, which, port);
    if (role == NEVER)
        await(rill_sleep(&pause, 3600 * RILL_SECOND));
    accept_one(&listener, which);
    expect_eq(await(rill_rdma_wait_for_connection(&connection, &wait_for)), 0);
    switch (role) {
    case ECHO:
        echo(UINT_MAX);
        break;
    case LEAVE:
        echo(1);
        break;
    case LAST_WORDS:
        await(rill_rdma_recv(&connection, &received, buffer, 1, RILL_RDMA_ANY_TAG));
        for (int i = 0; i < 3; i++)
            expect_eq(await(rill_rdma_send(&connection, &sent, "word", 4, (uint32_t)i)), 4);
        await(rill_rdma_recv(&connection, &received, buffer, 1, RILL_RDMA_ANY_TAG));
        raise(SIGKILL);
        break;
    case FLOOD:
        expect_eq(await(rill_rdma_recv(&connection, &received, &size, sizeof size, 1)),
                  sizeof size);
        for (uint32_t i = 0; i < flood_count(size); i++) {
            memcpy(message, &i, sizeof i);
            expect_eq(await(rill_rdma_send(&connection, &sent, message, size, 1)), size);
        }
        break;
    case JAM:
    case JAM_BYE:
        expect(await(rill_rdma_recv(&connection, &received, buffer, ADDRESS_MAX, 1)) > 0);
        jam(buffer, role == JAM_BYE);
        break;
    case ANNOUNCE:
        await(rill_rdma_send(&connection, &sent, message, UNTAKEN, 1));
        break;
    case DEAF:
    case NEVER:
        await(rill_rdma_wait_for_state(&connection, &wait_for,
                                       1u << RILL_RDMA_CLOSED | 1u << RILL_RDMA_FAILED));
        break;
    }
    rill_rdma_listener_close(&listener); /* first, or who comes back comes to this process */
    await(rill_rdma_disconnect(&connection));
    rill_rdma_hub_close(&hub);
    rill_rdma_close(&duo.right);
    fixture_close();
    _exit(0);
}

/* A child that begins when it is told its port: 0 for any. It has to be there before this
 * process opens a runtime. */
struct child {
    pid_t pid;
    int port_fd, address_fd;
};

static struct child fork_child(int which, enum role role)
{
    int ports[2], addresses[2];
    struct child child;
    uint16_t port;

    ck_assert_int_eq(pipe(ports) | pipe(addresses), 0);
    child = (struct child){.pid = fork(), .port_fd = ports[1], .address_fd = addresses[0]};
    ck_assert_int_ge(child.pid, 0);
    if (child.pid == 0) {
        close(ports[1]);
        close(addresses[0]);
        if (read(ports[0], &port, sizeof port) != sizeof port)
            _exit(0);
        close(ports[0]);
        serve(which, role, port, addresses[1]);
    }
    close(ports[0]);
    close(addresses[1]);
    return child;
}

static bool start_child(const struct child *child, uint16_t port, struct address *address)
{
    return write(child->port_fd, &port, sizeof port) == sizeof port &&
           read(child->address_fd, address, sizeof *address) == sizeof *address;
}

static void forget_child(const struct child *child)
{
    close(child->port_fd);
    close(child->address_fd);
}

static void end_child(pid_t child)
{
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}

/* ---- the parent ---- */

static struct address address;

static bool start_at(uint16_t port, int which, enum role role, pid_t *child)
{
    struct child forked = fork_child(which, role);

    bool is_there = start_child(&forked, port, &address);
    int status;

    forget_child(&forked);
    *child = forked.pid;
    if (!is_there) {
        ck_assert_int_eq(waitpid(*child, &status, 0), *child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 77, "the peer: %#x",
                      (unsigned)status);
    }
    if (!is_there || !fixture_open(REAL, NULL, NULL))
        return false;
    duo_open_worker(&duo.left, which);
    expect_eq(rill_rdma_hub_open(&hub, &duo.left), 0);
    return true;
}

static bool start(int which, enum role role, pid_t *child)
{
    return start_at(0, which, role, child);
}

static struct rill_future *connecting_to(int which,
                                         const struct rill_rdma_connection_options *options)
{
    return duo_is_by_worker(which)
               ? rill_rdma_connect_worker(&connection, &hub, address.worker, options)
               : rill_rdma_connect(&connection, &hub, &address.socket, options);
}

static int64_t connect_to(int which, const struct rill_rdma_connection_options *options)
{
    return await(connecting_to(which, options));
}

static void finish(void)
{
    expect_eq(hub.connections, 0);
    rill_rdma_hub_close(&hub);
    duo_expect_idle(&duo.left);
    rill_rdma_close(&duo.left);
    fixture_close();
}

/* A message there and back, with a receive that waits before. */
static void echo_one(size_t size)
{
    pattern_fill(message, size, size);
    background_start(&receiving, rill_rdma_recv(&connection, &received, buffer, sizeof buffer, 1));
    expect_eq(await(rill_rdma_send(&connection, &sent, message, size, 1)), (int64_t)size);
    expect_eq(background_end(&receiving), (int64_t)size);
    expect(pattern_is(buffer, size, size));
}

START_TEST(another_process_echoes_over_a_connection)
{
    pid_t child;
    int status;

    if (!start(_i, ECHO, &child))
        return;
    expect_eq(connect_to(_i, &patient), 0);
    for (size_t size = 1; size <= sizeof message; size *= 4)
        echo_one(size);
    expect_eq(await(rill_rdma_disconnect(&connection)), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    finish();
}
END_TEST

/* What is pending ends with the reason of the loss, soon after the signal. */
static void lose(int which, int signal_number)
{
    struct rill_rdma_transfer waiting = {0};
    struct background background_waiting;
    int64_t began_ns;
    pid_t child;

    if (!start(which, DEAF, &child))
        return;
    expect_eq(connect_to(which, &watchful), 0);
    background_start(&receiving, rill_rdma_recv(&connection, &received, buffer, 100, 1));
    background_start(&sending, rill_rdma_send(&connection, &sent, message, UNTAKEN, 1));
    background_start(&background_waiting,
                     rill_rdma_send_sync(&connection, &waiting, message, 1, 1));
    settle();
    began_ns = fixture_own_now();
    kill(child, signal_number);
    expect_eq(await(rill_rdma_wait_for_state(&connection, &wait_for, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    ck_assert_int_le(fixture_own_now() - began_ns, 2 * SILENCE_NS);
    expect_eq(background_end(&receiving), connection.error);
    expect_eq(background_end(&sending), connection.error);
    expect_eq(background_end(&background_waiting), connection.error);
    ck_assert_int_le(fixture_own_now() - began_ns, 2 * SILENCE_NS + RILL_RDMA_DRAIN_NS);
    expect_eq(await(rill_rdma_send(&connection, &sent, "x", 1, 1)), connection.error);
    expect_eq(await(rill_rdma_recv(&connection, &received, buffer, 1, 1)), connection.error);
    expect(await(rill_rdma_disconnect(&connection)) < 0);
    end_child(child);
    finish();
}

START_TEST(a_killed_peer_is_noticed)
{
    lose(_i, SIGKILL);
}
END_TEST

START_TEST(a_stopped_peer_is_noticed)
{
    lose(_i, SIGSTOP);
}
END_TEST

/* A receive into which a long message is moved cannot be withdrawn: it ends with the connection,
 * or well, where the memory of the peer can be reached without it. */
static void lose_amid_a_message(int which, int signal_number)
{
    struct rill_timeout limit;
    int64_t began_ns;
    size_t size;
    pid_t child;

    if (!start(which, ANNOUNCE, &child))
        return;
    expect_eq(connect_to(which, &watchful), 0);
    duo_turn_until(rill_rdma_probe(&connection, 1, &size, NULL));
    expect_eq(size, UNTAKEN);
    kill(child, signal_number);
    began_ns = fixture_own_now();
    await(rill_timeout(&limit, SILENCE_NS / 10,
                       rill_rdma_recv(&connection, &received, buffer, sizeof buffer, 1)));
    ck_assert_int_le(fixture_own_now() - began_ns, 3 * SILENCE_NS + RILL_RDMA_DRAIN_NS);
    if (received.result != UNTAKEN) {
        /* The loss may be noticed sooner, as by UCX over a device. */
        expect(limit.result == -ETIMEDOUT || limit.result == connection.error);
        expect(received.result == -ECANCELED || received.result == connection.error);
        expect_eq(connection.state, RILL_RDMA_FAILED);
    }
    expect(await(rill_rdma_disconnect(&connection)) < 0);
    end_child(child);
    finish();
}

START_TEST(a_receive_amid_a_message_of_a_peer_that_is_killed_ends)
{
    lose_amid_a_message(_i, SIGKILL);
}
END_TEST

START_TEST(a_receive_amid_a_message_of_a_peer_that_is_stopped_ends)
{
    lose_amid_a_message(_i, SIGSTOP);
}
END_TEST

/* Reaching for memory can not be withdrawn, and whose owner does not answer ends as late as the
 * connection. Over TCP, UCX does not ask whose memory the key is. */
static void lose_owner(int which, int signal_number)
{
    static struct rill_rdma_memory memory;
    static struct rill_rdma_remote remote;
    struct rill_rdma_op get = {0}, add = {0}, put = {0}, flush = {0};
    struct background getting, adding, flushing;
    uint64_t before = 0;
    struct rill_rdma_key key;
    pid_t child;

    if (!start(which, DEAF, &child))
        return;
    expect_eq(connect_to(which, &watchful), 0);
    expect_eq(rill_rdma_memory_register(&memory, &duo.left, NULL, 4096), 0);
    expect_eq(rill_rdma_memory_pack(&memory, &key), 0);
    expect_eq(rill_rdma_remote_open(&remote, &connection.ep, (uintptr_t)memory.address, key.bytes,
                                    key.size),
              0);
    rill_rdma_key_release(&key);
    kill(child, SIGSTOP);
    background_start(&getting, rill_rdma_get(&remote, &get, buffer, 100, 0));
    background_start(&adding, rill_rdma_fetch_add(&remote, &add, 0, 1, &before));
    expect_eq(await(rill_rdma_put(&remote, &put, message, 100, 0)), 100);
    background_start(&flushing, rill_rdma_ep_flush(&connection.ep, &flush));
    settle();
    rill_task_cancel(&getting.task);
    settle();
    expect(!rill_task_is_over(&getting.task));
    kill(child, signal_number);
    expect_eq(await(rill_rdma_wait_for_state(&connection, &wait_for, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    expect_eq(background_end(&getting), connection.error);
    expect_eq(background_end(&adding), connection.error);
    expect(duo_is_loss(background_end(&flushing))); /* UCX has a reason of its own */
    expect_eq(await(rill_rdma_put(&remote, &put, message, 100, 0)), connection.error);
    expect(await(rill_rdma_disconnect(&connection)) < 0);
    rill_rdma_remote_close(&remote);
    rill_rdma_memory_release(&memory);
    end_child(child);
    finish();
}

START_TEST(what_reaches_for_the_memory_of_a_peer_that_is_killed_ends)
{
    lose_owner(_i, SIGKILL);
}
END_TEST

START_TEST(what_reaches_for_the_memory_of_a_peer_that_is_stopped_ends)
{
    lose_owner(_i, SIGSTOP);
}
END_TEST

START_TEST(a_peer_that_is_killed_before_it_accepts_is_an_error)
{
    const struct rill_rdma_connection_options options = {.handshake_ns = SILENCE_NS};
    struct background connecting;
    pid_t child;

    if (!start(_i, NEVER, &child))
        return;
    background_start(&connecting, connecting_to(_i, &options));
    settle();
    end_child(child);
    expect(background_end(&connecting) < 0);
    expect_eq(connection.state, RILL_RDMA_IDLE);
    finish();
}
END_TEST

START_TEST(a_peer_that_is_stopped_can_not_hold_up_disconnecting)
{
    const struct rill_rdma_connection_options options = {.close_ns = RILL_SECOND / 5};
    int64_t began_ns;
    pid_t child;

    if (!start(_i, ECHO, &child))
        return;
    expect_eq(connect_to(_i, &options), 0);
    echo_one(100);
    kill(child, SIGSTOP);
    began_ns = fixture_own_now();
    expect_eq(await(rill_rdma_disconnect(&connection)), -ETIMEDOUT);
    ck_assert_int_le(fixture_own_now() - began_ns, 2 * RILL_SECOND);
    end_child(child);
    finish();
}
END_TEST

START_TEST(what_arrived_before_the_peer_died_is_received)
{
    pid_t child;

    if (!start(_i, LAST_WORDS, &child))
        return;
    expect_eq(connect_to(_i, &watchful), 0);
    expect_eq(await(rill_rdma_send(&connection, &sent, "?", 1, 0)), 1);
    duo_turn_until(rill_rdma_probe(&connection, 2, NULL, NULL));
    expect_eq(await(rill_rdma_send(&connection, &sent, "!", 1, 0)), 1);
    expect_eq(await(rill_rdma_wait_for_state(&connection, &wait_for, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    for (uint32_t i = 0; i < 3; i++) {
        expect_eq(await(rill_rdma_recv(&connection, &received, buffer, 100, RILL_RDMA_ANY_TAG)), 4);
        expect_eq(received.tag, i);
    }
    expect(await(rill_rdma_recv(&connection, &received, buffer, 100, 1)) < 0);
    expect(await(rill_rdma_disconnect(&connection)) < 0);
    end_child(child);
    finish();
}
END_TEST

/* Lets a peer send until nothing more goes, amid a message, and end or stop there. One that is
 * to say BYE first stops until this side reads nothing any more: it would else be answered. */
static bool start_jammed(int which, enum role role, pid_t *child)
{
    static const struct rill_rdma_connection_options options = {
        .silence_ns = SILENCE_NS,
        .close_ns = SILENCE_NS,
        .window = UINT64_MAX,
    };
    const void *own;
    siginfo_t ended;
    size_t size;

    if (!start(which, role, child))
        return false;
    own = rill_rdma_address(&duo.left, &size);
    expect_eq(connect_to(which, &options), 0);
    expect_eq(await(rill_rdma_send(&connection, &sent, own, size, 1)), (int64_t)size);
    if (role == JAM_BYE)
        expect_eq(await(rill_rdma_recv(&connection, &received, buffer, 0, 2)), 0);
    settle();
    if (role == JAM_BYE) {
        ck_assert_int_eq(waitid(P_PID, (id_t)*child, &ended, WEXITED | WSTOPPED), 0);
        ck_assert_int_eq(ended.si_code, CLD_STOPPED);
        kill(*child, SIGCONT);
    }
    ck_assert_int_eq(waitid(P_PID, (id_t)*child, &ended, WEXITED | WSTOPPED | WNOWAIT), 0);
    return true;
}

/* Takes all that came as a whole. */
static void take_what_is_left(void)
{
    const int64_t began_ns = fixture_own_now();
    int64_t got = 0;

    while (got >= 0) {
        got = await(rill_rdma_recv(&connection, &received, buffer, sizeof buffer, 1));
        expect(got == PIECED || got < 0);
    }
    ck_assert_int_le(fixture_own_now() - began_ns, 4 * SILENCE_NS + RILL_RDMA_DRAIN_NS);
    expect(await(rill_rdma_disconnect(&connection)) < 0);
}

START_TEST(a_message_of_which_the_rest_never_comes_is_given_up_after_a_loss)
{
    pid_t child;

    if (!start_jammed(_i, JAM, &child))
        return;
    expect_eq(await(rill_rdma_wait_for_state(&connection, &wait_for, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    take_what_is_left();
    end_child(child);
    finish();
}
END_TEST

START_TEST(a_message_of_which_the_rest_never_comes_is_given_up_as_the_endpoint_fails)
{
    pid_t child;

    if (!start_jammed(_i, JAM, &child))
        return;
    while (!connection.ep.error)
        fixture_turn();
    take_what_is_left();
    end_child(child);
    finish();
}
END_TEST

START_TEST(a_message_of_which_the_rest_never_comes_is_given_up_after_a_bye)
{
    pid_t child;

    if (!start_jammed(_i, JAM_BYE, &child))
        return;
    expect_eq(await(rill_rdma_wait_for_state(&connection, &wait_for, 1u << RILL_RDMA_CLOSING)),
              RILL_RDMA_CLOSING);
    for (int i = 0; i < 20; i++)
        settle(); /* all pieces come that will ever do */
    take_what_is_left();
    end_child(child);
    finish();
}
END_TEST

START_TEST(a_peer_that_is_started_anew_is_connected_anew)
{
    const struct rill_rdma_connection_options options = {
        .silence_ns = SILENCE_NS,
        .reconnects = 50,
        .reconnect_first_ns = 10 * RILL_MILLISECOND,
        .reconnect_max_ns = 100 * RILL_MILLISECOND,
    };
    uint32_t first_id;
    int reserved;
    uint16_t port = duo_reserve_port(&reserved);
    struct child second = fork_child(_i, ECHO);
    pid_t child;

    if (!start_at(port, _i, ECHO, &child))
        return;
    expect_eq(connect_to(_i, &options), 0);
    first_id = connection.id;
    echo_one(1000);
    end_child(child);
    expect_eq(await(rill_rdma_wait_for_state(&connection, &wait_for, 1u << RILL_RDMA_CONNECTING)),
              RILL_RDMA_CONNECTING);
    expect_eq(await(rill_rdma_send(&connection, &sent, "x", 1, 1)), -ENOTCONN);
    expect(start_child(&second, port, &address));
    expect_eq(await(rill_rdma_wait_for_connection(&connection, &wait_for)), 0);
    expect(connection.id != first_id);
    expect_eq(connection.metrics.connects, 2);
    echo_one(1000);
    expect_eq(await(rill_rdma_disconnect(&connection)), 0);
    end_child(second.pid);
    finish();
    forget_child(&second);
    close(reserved);
}
END_TEST

START_TEST(a_peer_that_ends_in_order_and_is_started_anew_is_connected_anew)
{
    const struct rill_rdma_connection_options options = {
        .silence_ns = SILENCE_NS,
        .reconnects = UINT_MAX,
        .reconnects_after_end = true,
        .reconnect_first_ns = 10 * RILL_MILLISECOND,
        .reconnect_max_ns = 100 * RILL_MILLISECOND,
    };
    struct child second = fork_child(_i, ECHO);
    int status;
    pid_t child;

    if (!start(_i, LEAVE, &child))
        return;
    expect_eq(connect_to(_i, &options), 0);
    echo_one(1000);
    expect(await(rill_rdma_recv(&connection, &received, buffer, sizeof buffer, 1)) < 0);
    background_start(&receiving, rill_rdma_wait_for_connection(&connection, &wait_for));
    duo_turn_until(connection.attempts >= 2); /* nobody listens there */
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    expect(start_child(&second, rill_address_port(&address.socket), &address));
    expect_eq(background_end(&receiving), 0);
    expect_eq(connection.metrics.connects, 2);
    echo_one(1000);
    expect_eq(await(rill_rdma_disconnect(&connection)), 0);
    end_child(second.pid);
    finish();
    forget_child(&second);
}
END_TEST

START_TEST(a_peer_that_does_not_come_back_is_given_up)
{
    const struct rill_rdma_connection_options options = {
        .silence_ns = SILENCE_NS,
        .handshake_ns = SILENCE_NS,
        .reconnects = 3,
        .reconnect_first_ns = RILL_MILLISECOND,
        .reconnect_max_ns = 10 * RILL_MILLISECOND,
    };
    pid_t child;

    if (!start(_i, ECHO, &child))
        return;
    expect_eq(connect_to(_i, &options), 0);
    end_child(child);
    expect_eq(await(rill_rdma_wait_for_state(&connection, &wait_for, 1u << RILL_RDMA_FAILED)),
              RILL_RDMA_FAILED);
    expect_eq(connection.attempts, 3);
    expect(await(rill_rdma_wait_for_connection(&connection, &wait_for)) < 0);
    expect(await(rill_rdma_disconnect(&connection)) < 0);
    finish();
}
END_TEST

/* ---- under load ---- */

static struct rill_rdma_transfer out[ECHOES], in[ECHOES];
static struct background sending_out[ECHOES], receiving_in[ECHOES];
static char inbox[ECHOES][20000];

static void kill_at_some_moment(int which, unsigned seed)
{
    struct rill_sleep pause;
    unsigned rounds = 0;
    pid_t child;

    if (!start(which, ECHO, &child))
        return;
    expect_eq(connect_to(which, &watchful), 0);
    for (int64_t result = 0; result >= 0; rounds++) {
        size_t size = (seed * 7919 + rounds * 104729) % sizeof inbox[0];

        for (uint32_t i = 0; i < ECHOES; i++) {
            background_start(&receiving_in[i],
                             rill_rdma_recv(&connection, &in[i], inbox[i], sizeof inbox[i], i));
            background_start(&sending_out[i],
                             rill_rdma_send(&connection, &out[i], message, size, i));
        }
        if (rounds == seed % 40) {
            await(rill_sleep(&pause, seed * 37 % 300 * RILL_MICROSECOND));
            kill(child, SIGKILL);
        }
        for (int i = 0; i < ECHOES; i++) {
            int64_t sent_result = background_end(&sending_out[i]);
            int64_t received_result = background_end(&receiving_in[i]);

            expect(sent_result == (int64_t)size || sent_result < 0);
            expect(received_result == (int64_t)size || received_result < 0);
            result = received_result;
        }
    }
    expect(rounds > seed % 40);
    await(rill_rdma_disconnect(&connection));
    end_child(child);
    finish();
}

static void kill_at_many_moments(int which)
{
    uint64_t first, count;

    fixture_seeds(12, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++) { /* a fixture is one a process */
        int status;
        pid_t run = fork();

        if (run == 0) {
            kill_at_some_moment(which, (unsigned)seed);
            _exit(0);
        }
        ck_assert_int_eq(waitpid(run, &status, 0), run);
        ck_assert_msg(status == 0, "seed %u: status %d", (unsigned)seed, status);
    }
}

START_TEST(a_peer_may_be_killed_at_any_moment_under_load)
{
    duo.has_connections_alone = true;
    kill_at_many_moments(_i);
}
END_TEST

START_TEST(a_peer_may_be_killed_at_any_moment_over_tcp_alone)
{
    duo.is_tcp_only = true;
    kill_at_many_moments(_i);
}
END_TEST

START_TEST(a_peer_may_be_killed_at_any_moment_with_long_segments)
{
    duo.has_long_segments = true;
    kill_at_many_moments(_i);
}
END_TEST

START_TEST(a_peer_may_be_killed_at_any_moment_with_single_copies)
{
    duo.has_long_segments = duo.has_single_copy = true;
    kill_at_many_moments(_i);
}
END_TEST

/* Until no more comes. */
static void await_flood(void)
{
    size_t before, after = 0;

    do {
        before = after;
        for (int i = 0; i < 20; i++)
            settle();
        after = process_dirty_bytes(getpid());
    } while (after > before + (100 << 10));
}

static void flood(int which, uint32_t size)
{
    enum { WINDOW = 8 << 20, SEGMENT = 8400 /* of shared memory, with UCX's own */ };
    static const struct rill_rdma_connection_options roomy = {.window = WINDOW};
    size_t before, bound;
    pid_t child;

    if (!start(which, FLOOD, &child))
        return;
    expect_eq(connect_to(which, &roomy), 0);
    before = process_dirty_bytes(getpid());
    bound = before + (4 << 20); /* as pools grow in larger steps */
    if (which == OVER_SHM)
        bound += (size_t)WINDOW / rill_rdma_cost(size, RILL_RDMA_EAGER_SIZE) * SEGMENT;
    else
        bound += (size_t)2 * WINDOW;
    expect_eq(await(rill_rdma_send(&connection, &sent, &size, sizeof size, 1)), sizeof size);
    await_flood();
    printf("of %u bytes: %zu KiB before, %zu after\n", size, before >> 10,
           process_dirty_bytes(getpid()) >> 10);
    ck_assert_uint_le(process_dirty_bytes(getpid()), bound);
    for (uint32_t i = 0; i < flood_count(size); i++) {
        uint32_t number;

        expect_eq(await(rill_rdma_recv(&connection, &received, buffer, size, 1)), size);
        memcpy(&number, buffer, sizeof number);
        expect_eq(number, i);
    }
    ck_assert_uint_le(process_dirty_bytes(getpid()), bound);
    await(rill_rdma_disconnect(&connection));
    end_child(child);
    finish();
}

/* Sizes for which a buffer of UCX's is just too short, where its sizes are its own or rill's. */
START_TEST(messages_that_nobody_receives_take_no_more_than_the_window)
{
    static const uint32_t sizes[] = {4, 100, 1024, 2040, 4090};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        flood(_i, sizes[i]);
}
END_TEST

START_TEST(nor_do_longer_ones_over_tcp_alone)
{
    static const uint32_t sizes[] = {8010, 16400, 33000, 59999, 60000};

    duo.is_tcp_only = true;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        flood(_i, sizes[i]);
}
END_TEST

START_TEST(an_idle_connection_sends_heartbeats_and_nothing_else)
{
    static const struct rill_rdma_connection_options beating = {.silence_ns = 2 * RILL_SECOND};
    const struct rill_rdma_metrics *metrics = &connection.metrics;
    int64_t began_ns = fixture_real_now(), passed_ns;
    pid_t child;

    if (!start(_i, ECHO, &child))
        return;
    expect_eq(connect_to(_i, &beating), 0);
    duo_turn_until(metrics->beats_received >= 2 && metrics->beats_sent >= 1);
    expect_eq(connection.state, RILL_RDMA_CONNECTED);
    passed_ns = fixture_real_now() - began_ns;
    ck_assert_uint_le(metrics->beats_received,
                      passed_ns / (beating.silence_ns / RILL_RDMA_BEATS) + 1);
    ck_assert_uint_le(metrics->beats_sent,
                      passed_ns / (RILL_RDMA_SILENCE_NS / RILL_RDMA_BEATS) + 1);
    expect_eq(await(rill_rdma_disconnect(&connection)), 0);
    end_child(child);
    finish();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {another_process_echoes_over_a_connection, IN_TCP_AND_SHM},
        {a_killed_peer_is_noticed, IN_TCP_AND_SHM},
        {a_stopped_peer_is_noticed, IN_TCP_AND_SHM},
        {a_receive_amid_a_message_of_a_peer_that_is_killed_ends, IN_TCP_AND_SHM},
        {a_receive_amid_a_message_of_a_peer_that_is_stopped_ends, IN_TCP_AND_SHM},
        {what_reaches_for_the_memory_of_a_peer_that_is_killed_ends, IN_TCP | TCP_ITSELF},
        {what_reaches_for_the_memory_of_a_peer_that_is_stopped_ends, IN_TCP | TCP_ITSELF},
        {a_peer_that_is_killed_before_it_accepts_is_an_error, IN_TCP_AND_SHM},
        {a_peer_that_is_stopped_can_not_hold_up_disconnecting, IN_TCP_AND_SHM},
        {what_arrived_before_the_peer_died_is_received, IN_TCP_AND_SHM},
        {a_message_of_which_the_rest_never_comes_is_given_up_after_a_loss,
         IN_TCP_AND_SHM | TCP_ITSELF},
        {a_message_of_which_the_rest_never_comes_is_given_up_as_the_endpoint_fails,
         IN_TCP_AND_SHM | TCP_ITSELF},
        {a_message_of_which_the_rest_never_comes_is_given_up_after_a_bye, IN_TCP | TCP_ITSELF},
        {a_peer_that_is_started_anew_is_connected_anew, IN_TCP | SOCKET_ADDRESSES},
        {a_peer_that_ends_in_order_and_is_started_anew_is_connected_anew,
         IN_TCP | SOCKET_ADDRESSES},
        /* UCX 1.13 leaks memory each time that it cannot map that of a process that is gone. */
        {a_peer_that_does_not_come_back_is_given_up, IN_TCP | TCP_ITSELF},
        {a_peer_may_be_killed_at_any_moment_under_load, IN_TCP_AND_SHM},
        {a_peer_may_be_killed_at_any_moment_over_tcp_alone, IN_TCP | TCP_ITSELF},
        {a_peer_may_be_killed_at_any_moment_with_long_segments, IN_SHM},
        {a_peer_may_be_killed_at_any_moment_with_single_copies, IN_SHM},
        {messages_that_nobody_receives_take_no_more_than_the_window, IN_TCP_AND_SHM | TCP_ITSELF},
        {nor_do_longer_ones_over_tcp_alone, IN_TCP | TCP_ITSELF},
        {an_idle_connection_sends_heartbeats_and_nothing_else, IN_TCP_AND_SHM},
    };

    return duo_main("rdma peers", cases, sizeof cases / sizeof *cases);
}
