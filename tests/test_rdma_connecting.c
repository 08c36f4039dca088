/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_connecting.c - what UCX does with the sockets of TCP when a peer dies while it
 * connects to it, and that it waits for none of them in the kernel. */
#include "rdma/tag.h"
#include "tests/rdma/duo.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

static struct rill_rdma_op send_op, recv_op;
static struct background sending, receiving;
static char buffer[100];

/* ---- in front of connect(2), for UCX as well ---- */

static int connects, blocking_connects;
static bool peer_dies; /* it takes the next connection and dies; what comes then is refused */

static int connect_really(int fd, const struct sockaddr *address, socklen_t size)
{
    static int (*next)(int, const struct sockaddr *, socklen_t);

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "connect");
    return next(fd, address, size);
}

/* Waits for a connection that is being made, and takes from it the way out, as the reset that
 * a dead peer answers with does. */
static void die_after_connecting(int fd)
{
    struct pollfd connected = {.fd = fd, .events = POLLOUT};

    expect_eq(poll(&connected, 1, 1000), 1);
    expect_eq(shutdown(fd, SHUT_WR), 0);
}

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    static bool is_dead;
    int result, error;

    if (address->sa_family != AF_INET)
        return connect_really(fd, address, size);
    connects++;
    if (!(fcntl(fd, F_GETFL) & O_NONBLOCK))
        blocking_connects++;
    if (is_dead) {
        errno = ECONNREFUSED;
        return -1;
    }
    result = connect_really(fd, address, size);
    error = errno;
    if (peer_dies) {
        die_after_connecting(fd);
        is_dead = true;
    }
    errno = error;
    return result;
}

/* ---- */

START_TEST(connecting_does_not_wait_in_the_kernel)
{
    if (!duo_open(_i, NULL))
        return;
    background_start(&sending, rill_rdma_tag_send(&duo.to_right, &send_op, "hello", 5, 1));
    expect_eq(await(rill_rdma_tag_recv(&duo.right, &recv_op, buffer, sizeof buffer, 1, 0)), 5);
    expect_eq(background_end(&sending), 5);
    expect(connects > 0);
    expect_eq(blocking_connects, 0);
    duo_close();
}
END_TEST

/* A client that is killed while it connects is a loss; the process of the server goes on. */
START_TEST(a_peer_that_dies_before_the_first_byte_is_a_loss_like_others)
{
    static struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
    struct rill_rdma_ep client = {0}, server = {0};
    struct rill_address address;
    int before;

    if (!duo_open(_i, NULL))
        return;
    address = duo_listen(&listener, &duo.right);
    expect_eq(rill_rdma_ep_connect(&client, &duo.left, &address), 0);
    expect_eq(await(rill_rdma_accept(&listener, &accept)), 0);
    before = connects;
    peer_dies = true;
    expect_eq(rill_rdma_ep_adopt(&server, &accept), 0);
    background_start(&receiving,
                     rill_rdma_tag_recv_from(&server, &recv_op, buffer, sizeof buffer, 1, ~0));
    expect(duo_is_loss(background_end(&receiving)));
    expect(connects > before); /* and once more, where it is the first write that fails */
    await(rill_rdma_ep_abort(&server));
    await(rill_rdma_ep_abort(&client));
    rill_rdma_listener_close(&listener);
    duo_close();
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {connecting_does_not_wait_in_the_kernel, IN_TCP | TCP_ITSELF},
        {a_peer_that_dies_before_the_first_byte_is_a_loss_like_others,
         IN_TCP | TCP_ITSELF | SOCKET_ADDRESSES},
    };

    return duo_main("rdma connecting", cases, sizeof cases / sizeof *cases);
}
