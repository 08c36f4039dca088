/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - the same few calls on the simulated kernel and on the real one. */
#include "tests/sim/world.h"

#include "tests/limit.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void make_directory(struct world *world)
{
    char path[80];

    strcpy(world->directory, "/tmp/rill-sim-XXXXXX");
    if (!world->sim && !mkdtemp(world->directory))
        abort();
    if (!world->sim)
        return;
    snprintf(path, sizeof path, "%s/some file", world->directory);
    sim_file_put(world->sim, path, "", 0);
}

bool world_open_or_skip(struct world *world, int which, const struct sim_options *options,
                        unsigned entries)
{
    static const struct sim_options none;
    int result;

    memset(world, 0, sizeof *world);
    if (which == 0)
        world->sim = sim_create(options ? options : &none);
    world->kernel = world->sim ? sim_kernel(world->sim) : rill_kernel_linux();
    result = world->kernel->ops->setup(world->kernel, &world->ring, entries, entries, false);
    if (result < 0 && (world->sim || !getenv("TEST_MAY_SKIP"))) {
        fprintf(stderr, "no ring: %s\n", strerror(-result));
        abort();
    }
    if (result < 0) {
        printf("skipped: io_uring is not permitted here (%s)\n", strerror(-result));
        sim_destroy(world->sim);
        return false;
    }
    make_directory(world);
    return true;
}

void world_close(struct world *world)
{
    world->kernel->ops->teardown(world->kernel, &world->ring);
    if (!world->sim)
        rmdir(world->directory);
    sim_destroy(world->sim);
    free(world->buffers);
    free(world->buffer_memory);
}

struct io_uring_sqe *world_sqe(struct world *world, uint64_t user_data)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&world->ring);

    assert(sqe);
    /* The prep functions do not touch it, so it can be set before them. */
    sqe->user_data = user_data;
    return sqe;
}

int world_submit(struct world *world)
{
    return world->kernel->ops->enter(world->kernel, &world->ring, RILL_NO_WAIT);
}

static bool take(struct world *world, struct world_completion *taken)
{
    struct io_uring_cqe *cqe;
    unsigned head;

    io_uring_for_each_cqe (&world->ring, head, cqe) {
        taken->user_data = cqe->user_data;
        taken->result = cqe->res;
        taken->flags = cqe->flags;
        io_uring_cq_advance(&world->ring, 1);
        return true;
    }
    return false;
}

struct world_completion world_next(struct world *world)
{
    int64_t until = world->kernel->ops->now(world->kernel) + 1000000000;
    struct world_completion completion;

    world_submit(world);
    while (!take(world, &completion)) {
        int result = world->kernel->ops->enter(world->kernel, &world->ring, until);

        if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
            fprintf(stderr, "enter: %s\n", strerror(-result));
            abort();
        }
        if (world->kernel->ops->now(world->kernel) >= until) {
            fprintf(stderr, "no completion came\n");
            if (world->sim)
                sim_trace_print(world->sim, stderr, 30);
            abort();
        }
    }
    return completion;
}

int world_result(struct world *world, uint64_t user_data)
{
    struct world_completion completion = world_next(world);

    if (completion.user_data != user_data) {
        fprintf(stderr, "completion of %llu (%d) instead of %llu\n",
                (unsigned long long)completion.user_data, completion.result,
                (unsigned long long)user_data);
        abort();
    }
    return completion.result;
}

bool world_is_quiet(struct world *world)
{
    int64_t until;

    world_submit(world);
    until = world->kernel->ops->now(world->kernel) + 20000000;
    world->kernel->ops->enter(world->kernel, &world->ring, until);
    return io_uring_cq_ready(&world->ring) == 0;
}

static void expect_completion(const struct world_completion *completion, int result, unsigned flags,
                              unsigned mask)
{
    ck_assert_int_eq(completion->result, result);
    ck_assert_uint_eq(completion->flags & mask, flags);
}

void world_expect(struct world *world, uint64_t user_data, int result, unsigned flags,
                  unsigned mask)
{
    struct world_completion completion = world_next(world);

    ck_assert_uint_eq(completion.user_data, user_data);
    expect_completion(&completion, result, flags, mask);
}

void world_expect_in_any_order(struct world *world, uint64_t one, int one_result, uint64_t other,
                               int other_result)
{
    const unsigned mask = IORING_CQE_F_MORE | IORING_CQE_F_BUFFER;
    struct world_completion completion = world_next(world);

    if (completion.user_data == one) {
        expect_completion(&completion, one_result, 0, mask);
        world_expect(world, other, other_result, 0, mask);
    } else {
        ck_assert_uint_eq(completion.user_data, other);
        expect_completion(&completion, other_result, 0, mask);
        world_expect(world, one, one_result, 0, mask);
    }
}

/* ---- sockets ---- */

struct sockaddr_in world_address(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };

    return address;
}

int world_listen(struct world *world, uint16_t *port)
{
    const struct rill_kernel_ops *ops = world->kernel->ops;
    struct sockaddr_in address = world_address(0);
    socklen_t size = sizeof address;
    int fd = ops->socket(world->kernel, AF_INET, SOCK_STREAM, 0);
    int result = ops->bind(world->kernel, fd, (struct sockaddr *)&address, size);

    if (result == 0)
        result = ops->listen(world->kernel, fd, 16);
    if (result == 0)
        result = ops->getsockname(world->kernel, fd, (struct sockaddr *)&address, &size);
    assert(result == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

int world_connect(struct world *world, uint16_t port)
{
    struct sockaddr_in address = world_address(port);
    int fd = world->kernel->ops->socket(world->kernel, AF_INET, SOCK_STREAM, 0);
    int result;

    io_uring_prep_connect(world_sqe(world, 1000), fd, (struct sockaddr *)&address, sizeof address);
    result = world_result(world, 1000);
    if (result == 0)
        return fd;
    world_close_fd(world, fd);
    return result;
}

void world_pair(struct world *world, int *client, int *server)
{
    uint16_t port;
    int listener = world_listen(world, &port);

    *client = world_connect(world, port);
    assert(*client >= 0);
    io_uring_prep_accept(world_sqe(world, 1001), listener, NULL, NULL, 0);
    *server = world_result(world, 1001);
    assert(*server >= 0);
    world_close_fd(world, listener);
}

void world_bound(struct world *world, int from, int to)
{
    const struct rill_kernel_ops *ops = world->kernel->ops;
    const int size = 65536;
    int error = ops->setsockopt(world->kernel, from, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);

    assert(!error);
    error = ops->setsockopt(world->kernel, to, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    assert(!error);
    (void)error;
}

int world_send(struct world *world, int fd, const void *bytes, size_t size)
{
    io_uring_prep_send(world_sqe(world, 1002), fd, bytes, size, 0);
    return world_result(world, 1002);
}

int world_recv(struct world *world, int fd, void *bytes, size_t size)
{
    io_uring_prep_recv(world_sqe(world, 1003), fd, bytes, size, 0);
    return world_result(world, 1003);
}

void world_close_fd(struct world *world, int fd)
{
    int result = world->kernel->ops->close(world->kernel, fd);

    assert(result == 0);
    (void)result;
}

void world_close_both(struct world *world, int one, int other)
{
    world_close_fd(world, one);
    world_close_fd(world, other);
}

/* ---- provided buffers ---- */

void world_buffers(struct world *world, unsigned count, unsigned filled, size_t size)
{
    struct io_uring_buf_reg reg = {.ring_entries = count, .bgid = WORLD_GROUP};
    size_t size_of_ring = (count * sizeof(struct io_uring_buf) + 4095) / 4096 * 4096;
    int result;

    world->buffer_entries = count;
    world->buffer_size = size;
    world->buffer_memory = calloc(count, size);
    world->buffers = aligned_alloc(4096, size_of_ring);
    assert(world->buffers && world->buffer_memory);
    memset(world->buffers, 0, size_of_ring);
    io_uring_buf_ring_init(world->buffers);
    reg.ring_addr = (uint64_t)(uintptr_t)world->buffers;
    result = world->kernel->ops->register_buffers(world->kernel, &world->ring, &reg);
    assert(result == 0);
    (void)result;
    for (unsigned i = 0; i < filled; i++)
        world_provide(world, i);
}

void world_provide(struct world *world, unsigned buffer)
{
    io_uring_buf_ring_add(world->buffers, world->buffer_memory + buffer * world->buffer_size,
                          (unsigned)world->buffer_size, (unsigned short)buffer,
                          io_uring_buf_ring_mask(world->buffer_entries), 0);
    io_uring_buf_ring_advance(world->buffers, 1);
}

const char *world_buffer(const struct world *world, unsigned buffer)
{
    return world->buffer_memory + buffer * world->buffer_size;
}

/* ---- tests ---- */

int world_main(const char *name, int worlds, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(tcase, tests[i], 0, worlds);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
