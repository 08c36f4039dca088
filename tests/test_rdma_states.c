/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_states.c - the other process is killed, stopped, closed or started anew, in each
 * state that a connection to it can be in. */
#include "io/readiness.h"
#include "rdma/connection.h"
#include "rdma/exchange.h"
#include "tests/rdma/duo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* How far a connection has come when it happens, and what happens to the other side. */
enum moment { UNACCEPTED, UNANSWERED, CONNECTED, CLOSING, UNGREETED, MOMENTS };
enum blow { KILLED, STOPPED, CLOSED, REBOOTED, BLOWS };

static const char *const moments[] = {"before it accepts", "before it answers", "connected",
                                      "closing", "before its hello"};
static const char *const blows[] = {"killed", "stopped", "closed", "rebooted"};

/* How often a case is done again with a limit twice as long. */
enum { DOUBLINGS = 4 };

/* What a case ends with whose limit was over before the blow. */
enum { TOO_SLOW = 75 };

/* For all that has to be done in time: so long that only what hangs is late. */
static struct rill_rdma_connection_options patient;

/* Of the connection that suffers: patient as well, but for the limit that the case is to wait
 * for, which is short. */
static struct rill_rdma_connection_options options;

static void set_limits(void)
{
    patient.handshake_ns = patient.silence_ns = patient.close_ns =
        20 * network()->slowness * RILL_SECOND;
}

/* Whether nothing but a limit of this side may tell of what has happened. */
static bool is_for_a_limit(enum moment moment, enum blow blow)
{
    return (moment != CONNECTED && moment != CLOSING) || blow != CLOSED;
}

static void set_options(enum moment moment, enum blow blow, int64_t limit_ns)
{
    options = patient;
    if (!is_for_a_limit(moment, blow))
        return;
    if (moment == CONNECTED || moment == CLOSING)
        options.silence_ns = options.close_ns = limit_ns;
    else
        options.handshake_ns = limit_ns;
}

enum { ADDRESS_MAX = 4096 };

static struct rill_rdma_hub hub;
static struct rill_rdma_connection connection;
static struct rill_rdma_listener listener;
static struct rill_rdma_accept accepted;
static struct rill_rdma_am stranger;
static struct rill_rdma_state_wait wait_for;
static struct rill_rdma_transfer sent, received;
static struct rill_rdma_ep raw;

/* ---- the child ---- */

/* What a child is told at first, and tells. */
struct order {
    int which;
    enum moment moment;
    uint16_t port; /* to listen at, 0: any; of one that connects: to connect to */
};

struct address {
    struct rill_address socket;
    char worker[ADDRESS_MAX];
};

static void tell(int fd, const void *bytes, size_t size)
{
    if (write(fd, bytes, size) != (ssize_t)size)
        _exit(1);
}

static void tell_address(int fd, const struct order *order)
{
    static struct address address;
    size_t size;
    const void *worker = rill_rdma_address(&duo.right, &size);

    if (order->which == OVER_TCP) {
        struct rill_address wanted = duo_address(order->port);

        expect_eq(rill_rdma_listen(&listener, &duo.right, &wanted), 0);
        expect_eq(rill_rdma_listener_address(&listener, &address.socket), 0);
    }
    ck_assert(size <= ADDRESS_MAX);
    memcpy(address.worker, worker, size);
    tell(fd, &address, sizeof address);
}

static void adopt_one(int which)
{
    if (which == OVER_TCP) {
        expect_eq(await(rill_rdma_accept(&listener, &accepted)), 0);
        expect_eq(rill_rdma_adopt(&connection, &hub, &accepted, &patient), 0);
    } else {
        expect(await(rill_rdma_accept_worker(&hub, &stranger)) > 0);
        expect_eq(rill_rdma_adopt_worker(&connection, &hub, &stranger, &patient), 0);
    }
    expect_eq(await(rill_rdma_wait_for_connection(&connection, &wait_for)), 0);
}

/* Comes as far as it is to come. */
static void come_to(int fd, const struct order *order)
{
    struct rill_address address;

    if (order->moment == UNGREETED) {
        address = duo_address(order->port);
        expect_eq(rill_rdma_ep_connect(&raw, &duo.right, &address), 0);
        return;
    }
    tell_address(fd, order);
    if (order->moment == UNANSWERED && order->which == OVER_TCP) {
        expect_eq(await(rill_rdma_accept(&listener, &accepted)), 0);
        expect_eq(rill_rdma_ep_adopt(&raw, &accepted), 0);
    } else if (order->moment == UNANSWERED) {
        expect(await(rill_rdma_accept_worker(&hub, &stranger)) > 0);
    } else if (order->moment != UNACCEPTED) {
        adopt_one(order->which);
    }
}

/* Until it is told to close. */
static void live(int fd)
{
    static const char is_there = 1;
    struct order order;
    struct rill_op op = {0};

    if (read(fd, &order, sizeof order) != sizeof order)
        _exit(0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!fixture_open(REAL, NULL, NULL))
        _exit(77);
    duo_open_worker(&duo.right, order.which);
    expect_eq(rill_rdma_hub_open(&hub, &duo.right), 0);
    come_to(fd, &order);
    tell(fd, &is_there, 1);
    expect(await(rill_fd_wait(fd, &op, POLLIN)) > 0);
    await(rill_rdma_disconnect(&connection));
    await(rill_rdma_ep_close(&raw));
    rill_rdma_am_release(&stranger);
    rill_rdma_listener_close(&listener);
    rill_rdma_hub_close(&hub);
    rill_rdma_close(&duo.right);
    fixture_close();
    _exit(0);
}

/* It begins when it is told its order, and has to be there before this process opens a
 * runtime. */
struct child {
    pid_t pid;
    int fd;
};

static struct child child_fork(void)
{
    struct child child;
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    child = (struct child){.pid = fork(), .fd = fds[0]};
    ck_assert_int_ge(child.pid, 0);
    if (child.pid == 0) {
        close(fds[0]);
        live(fds[1]);
    }
    close(fds[1]);
    return child;
}

static void child_start(const struct child *child, int which, enum moment moment, uint16_t port)
{
    struct order order;

    memset(&order, 0, sizeof order); /* what lies between the fields is written too */
    order.which = which;
    order.moment = moment;
    order.port = port;
    tell(child->fd, &order, sizeof order);
}

static void child_read(const struct child *child, void *bytes, size_t size)
{
    ck_assert_int_eq(recv(child->fd, bytes, size, MSG_WAITALL), size);
}

/* Waits until it has come as far as it was to come. Returns whether it has. */
static bool child_wait(const struct child *child)
{
    struct rill_op op = {0};
    char is_there;

    expect(await(rill_fd_wait(child->fd, &op, POLLIN)) > 0);
    return recv(child->fd, &is_there, 1, 0) == 1;
}

static void child_end(struct child *child)
{
    if (child->pid == 0)
        return;
    kill(child->pid, SIGKILL);
    ck_assert_int_eq(waitpid(child->pid, NULL, 0), child->pid);
    child->pid = 0;
}

/* ---- the parent ---- */

static struct background connecting, disconnecting, sending, receiving;
static struct address address;
static char message[1 << 20], buffer[100];

static void begin_connect(int which, const struct rill_rdma_connection_options *with)
{
    background_start(&connecting,
                     which == OVER_TCP
                         ? rill_rdma_connect(&connection, &hub, &address.socket, with)
                         : rill_rdma_connect_worker(&connection, &hub, address.worker, with));
}

static void strike(struct child *child, enum blow blow)
{
    switch (blow) {
    case KILLED:
    case REBOOTED:
        child_end(child);
        break;
    case STOPPED:
        kill(child->pid, SIGSTOP);
        break;
    case CLOSED:
    default:
        tell(child->fd, "", 1);
        break;
    }
}

/* Goes on to the state before the blow. Returns whether that is there. */
static bool advance(const struct child *child, int which, enum moment moment)
{
    if (moment == UNGREETED) {
        expect_eq(await(rill_rdma_accept(&listener, &accepted)), 0);
        expect_eq(rill_rdma_adopt(&connection, &hub, &accepted, &options), 0);
        return child_wait(child) && connection.state == RILL_RDMA_LISTENING;
    }
    begin_connect(which, &options);
    if (!child_wait(child))
        return false;
    if (moment == UNACCEPTED || moment == UNANSWERED)
        return connection.state == RILL_RDMA_CONNECTING;
    expect_eq(background_end(&connecting), 0);
    background_start(&sending, rill_rdma_send(&connection, &sent, message, sizeof message, 1));
    if (moment == CONNECTED) {
        background_start(&receiving, rill_rdma_recv(&connection, &received, buffer, 100, 1));
        return connection.state == RILL_RDMA_CONNECTED;
    }
    settle();
    background_start(&disconnecting, rill_rdma_disconnect(&connection));
    duo_turn_until(connection.state != RILL_RDMA_CONNECTED);
    return connection.state == RILL_RDMA_CLOSING; /* as long as nobody receives the message */
}

/* All that is pending ends, as it should. */
static void end_all(enum moment moment, enum blow blow)
{
    int64_t result;

    switch (moment) {
    case UNACCEPTED:
    case UNANSWERED:
        expect(background_end(&connecting) < 0);
        break;
    case UNGREETED:
        expect(await(rill_rdma_wait_for_connection(&connection, &wait_for)) < 0);
        expect_eq(connection.state, RILL_RDMA_FAILED);
        expect(await(rill_rdma_disconnect(&connection)) < 0);
        break;
    case CONNECTED:
        result = background_end(&receiving);
        expect(blow == CLOSED ? result == -ESHUTDOWN : result < 0);
        result = background_end(&sending);
        expect(blow == CLOSED ? result == sizeof message || result == -ESHUTDOWN : result < 0);
        result = await(rill_rdma_disconnect(&connection));
        expect(blow == CLOSED ? result == 0 : result < 0);
        break;
    case CLOSING:
        result = background_end(&sending);
        expect(blow == CLOSED ? result == sizeof message || result == -ESHUTDOWN : result < 0);
        result = background_end(&disconnecting);
        expect(blow == CLOSED ? result == 0 : result < 0);
        break;
    case MOMENTS:
        break;
    }
    expect_eq(connection.state, RILL_RDMA_IDLE);
}

static void connect_anew(struct child *second, int which, enum moment moment, uint16_t port)
{
    if (moment == UNGREETED)
        return;
    child_start(second, which, CONNECTED, port);
    child_read(second, &address, sizeof address);
    begin_connect(which, &patient);
    expect_eq(background_end(&connecting), 0);
    expect(child_wait(second));
    background_start(&disconnecting, rill_rdma_disconnect(&connection));
    strike(second, CLOSED);
    expect_eq(background_end(&disconnecting), 0);
}

/* Returns the status of a process: 0, or TOO_SLOW. */
static int suffer(int which, enum moment moment, enum blow blow, int64_t limit_ns)
{
    struct child first = child_fork(), second = child_fork();
    int reserved = -1;
    uint16_t port = which == OVER_TCP ? duo_reserve_port(&reserved) : 0; /* of both */
    int64_t began_ns;

    fixture.what = blows[blow];
    if (!fixture_open(REAL, NULL, NULL))
        return 0;
    set_options(moment, blow, limit_ns);
    duo_open_worker(&duo.left, which);
    expect_eq(rill_rdma_hub_open(&hub, &duo.left), 0);
    if (moment == UNGREETED) {
        struct rill_address where = duo_listen(&listener, &duo.left);

        child_start(&first, which, moment, rill_address_port(&where));
    } else {
        child_start(&first, which, moment, port);
        child_read(&first, &address, sizeof address);
    }
    began_ns = fixture_real_now();
    if (!advance(&first, which, moment)) { /* only because its limit is over */
        expect(is_for_a_limit(moment, blow));
        ck_assert_int_ge(fixture_real_now() - began_ns, limit_ns * 3 / 4);
        child_end(&first);
        child_end(&second);
        return TOO_SLOW;
    }
    strike(&first, blow);
    began_ns = fixture_own_now();
    end_all(moment, blow);
    if (is_for_a_limit(moment, blow))
        ck_assert_int_le(fixture_own_now() - began_ns,
                         2 * limit_ns + RILL_RDMA_DRAIN_NS * network()->slowness);
    if (blow == REBOOTED)
        connect_anew(&second, which, moment, port);
    child_end(&first);
    child_end(&second);
    rill_rdma_listener_close(&listener);
    rill_rdma_hub_close(&hub);
    duo_expect_idle(&duo.left);
    rill_rdma_close(&duo.left);
    fixture_close();
    close(first.fd);
    close(second.fd);
    if (reserved >= 0)
        close(reserved);
    return 0;
}

static pid_t suffer_alone(int which, enum moment moment, enum blow blow, int64_t limit_ns)
{
    pid_t run = fork();

    ck_assert_int_ge(run, 0);
    if (run == 0)
        _exit(suffer(which, moment, blow, limit_ns));
    return run;
}

/* Those of one moment at once, each in a process of its own: they mostly wait. One that did not
 * come as far as the blow within its limit, as others had the processors, has more time. */
static void suffer_all(int which, enum moment moment)
{
    int64_t limit_ns = network()->slowness * RILL_SECOND;
    pid_t runs[BLOWS];

    for (int blow = 0; blow < BLOWS; blow++)
        runs[blow] = suffer_alone(which, moment, (enum blow)blow, limit_ns);
    for (int blow = 0; blow < BLOWS; blow++) {
        int status, doublings = 0;

        for (;;) {
            ck_assert_int_eq(waitpid(runs[blow], &status, 0), runs[blow]);
            if (!WIFEXITED(status) || WEXITSTATUS(status) != TOO_SLOW || doublings == DOUBLINGS)
                break;
            runs[blow] = suffer_alone(which, moment, (enum blow)blow, limit_ns << ++doublings);
        }
        ck_assert_msg(status == 0, "%s %s: status %d", blows[blow], moments[moment], status);
    }
}

START_TEST(a_peer_may_be_lost_before_it_accepts)
{
    suffer_all(_i, UNACCEPTED);
}
END_TEST

START_TEST(a_peer_may_be_lost_before_it_answers)
{
    suffer_all(_i, UNANSWERED);
}
END_TEST

START_TEST(a_peer_may_be_lost_before_its_hello)
{
    suffer_all(_i, UNGREETED);
}
END_TEST

START_TEST(a_peer_may_be_lost_while_connected)
{
    suffer_all(_i, CONNECTED);
}
END_TEST

START_TEST(a_peer_may_be_lost_while_closing)
{
    suffer_all(_i, CLOSING);
}
END_TEST

int main(void)
{
    /* A device's connection manager tells of some of it sooner, or takes a second to connect:
     * there, test_rdma_peers and test_rdma_wire are for lost peers. */
    const struct duo_case cases[] = {
        {a_peer_may_be_lost_before_it_accepts, IN_TCP_AND_SHM | TCP_ITSELF},
        {a_peer_may_be_lost_before_it_answers, IN_TCP_AND_SHM | TCP_ITSELF},
        {a_peer_may_be_lost_before_its_hello, IN_TCP | TCP_ITSELF},
        {a_peer_may_be_lost_while_connected, IN_TCP_AND_SHM | TCP_ITSELF},
        {a_peer_may_be_lost_while_closing, IN_TCP_AND_SHM | TCP_ITSELF},
    };

    set_limits();
    return duo_main("rdma states", cases, sizeof cases / sizeof *cases);
}
