/* SPDX-License-Identifier: Apache-2.0 */
/* fixture.h - a runtime over the simulated kernel or the real one, for one test.
 *
 * libcheck forks before each test, so a process has one fixture at a time, and the
 * functions here mean that one. A test that is given the world's number by its
 * loop (_i) runs on both:
 *
 *     if (!fixture_open(_i, NULL, NULL))
 *         return;
 *     fixture_pair(&one, &other);
 *     background_start(&send, rill_tcp_send_all(&one, &op, bytes, 100));
 *     ck_assert_int_eq(await(rill_tcp_recv_exactly(&other, &recv, buffer, 100)), 100);
 *     ck_assert_int_eq(background_end(&send), 100);
 *     ...
 *     fixture_close(); */
#ifndef RILL_TESTS_FIXTURE_H
#define RILL_TESTS_FIXTURE_H

#include "io/runtime.h"
#include "net/connect.h"
#include "net/listener.h"
#include "net/tcp.h"
#include "runtime/sleep.h"
#include "tests/sim/sim.h"

#include <check.h>

enum {
    SIMULATED = 0,
    REAL = 1,
};

/* In which worlds a test runs: see struct fixture_case. */
enum {
    IN_SIMULATED = 1,
    IN_REAL = 2,
    IN_BOTH = 3,
};

struct fixture {
    struct rill_runtime *runtime;
    struct sim *sim;    /* NULL: the real kernel */
    uint64_t seed;      /* what a failure asks to be replayed with, if seeded */
    bool seeded;        /* one of many runs of a test */
    bool keeps_fds;     /* real descriptors may be left: a look-up's thread has one */
    const char *replay; /* the command that replays a seed, up to it; NULL: make test */
    const char *what;   /* of a table, printed when it fails, or NULL */
    int64_t step;       /* likewise, -1: nothing */
    size_t fds_at_open; /* of the process, real kernel */
};

extern struct fixture fixture;

/* Opens the runtime of this process over world number which. options may be NULL:
 * no faults, the runtime's defaults. Returns false, saying so, where the real
 * kernel does not permit io_uring. */
bool fixture_open(int which, const struct sim_options *options,
                  const struct rill_runtime_options *runtime_options);

/* How many descriptors the process has open. */
size_t fixture_count_fds(void);

/* The real kernel for the runtimes of this program: NULL, which is the usual one, or the
 * polite one under valgrind. */
struct rill_kernel *fixture_kernel(void);

/* Ends it, and checks that nothing is left: tasks, operations, timers, shared
 * buffers, descriptors; in the simulator also that no closed one was used. */
void fixture_close(void);

/* The real time; and that without what others had of the processor while this thread could have
 * run, which is what a time that must not be longer is measured in. */
int64_t fixture_real_now(void);
int64_t fixture_own_now(void);

/* Runs future in a task of its own until it is ready. Returns its result. */
int64_t await(struct rill_future *future);

/* A future that runs beside the test. */
struct background {
    struct rill_task task;
    struct rill_future *future;
    struct rill_join join;
    unsigned polls;
};

void background_start(struct background *background, struct rill_future *future);
int64_t background_end(struct background *background); /* waits for it; its result */

/* Lets fn see, and change, each submission entry before the kernel does. */
void fixture_on_entry(void (*fn)(struct io_uring_sqe *sqe));

/* Has fn called each time that the kernel was entered, before anything of it is looked at. */
void fixture_on_return(void (*fn)(void));

/* Lets the next count enters end with that -errno before the kernel takes anything. */
void fixture_fail_enters(int error, unsigned count);

/* From now on, between the turns: wakes tasks that wait, for no reason; lets those that are
 * ready run in another order; changes how long a turn goes on with what becomes ready in it;
 * lets the clock jump. All as the seed says. A run that
 * takes more than turns_max turns is taken to turn in circles. */
void fixture_disturb(uint64_t turns_max);

/* One turn of the runtime, which does not wait. */
void fixture_turn(void);

/* Lets everything happen that will happen by itself: a second of virtual time, or
 * some milliseconds of the real one. */
void settle(void);

/* Lets that much time go by, which is virtual in the simulation. */
void pass(int64_t ns);

/* The same until condition is true, which in the simulator it has to be at once: of a real
 * kernel's machine, processors may be held up for longer than settle() waits. */
#define settle_until(condition)                                                                    \
    do {                                                                                           \
        settle();                                                                                  \
        for (int left = 3000; !fixture.sim && !(condition) && left > 0; left--)                    \
            settle();                                                                              \
        expect(condition);                                                                         \
    } while (0)

/* The address 127.0.0.1 with a port. */
struct rill_address loopback(uint16_t port);

/* Opens a listener at a free port of 127.0.0.1. Returns the port. */
uint16_t fixture_listen(struct rill_listener *listener, const struct rill_listen_options *options);

/* Two ends of one connection. */
void fixture_pair(struct rill_tcp *one, struct rill_tcp *other);

/* Has the kernel hold size bytes of what goes from one end to the other, or a few times that.
 * It would else take what it likes to, up to the tens of megabytes of tcp_wmem and tcp_rmem
 * (tcp(7)), and a test that waits for full sockets would depend on the machine. */
void fixture_bound(struct rill_tcp *from, struct rill_tcp *to, int size);

/* Closes a connection, which has to work. */
void fixture_hang_up(struct rill_tcp *tcp);

/* A byte of a stream that shows what was lost, doubled or swapped. */
static inline char pattern(uint64_t at)
{
    return (char)(at * 13 + (at >> 8) * 7 + (at >> 16) * 3);
}

void pattern_fill(char *bytes, uint64_t at, size_t size);
bool pattern_is(const char *bytes, uint64_t at, size_t size);

/* The same of memory that rill allocated and the kernel filled. Valgrind does not
 * see what the real one writes through a ring, and is not asked. */
bool loaded_is(const char *bytes, uint64_t at, size_t size);

/* The seeds of a test: `usual` many from 1 on, fewer under sanitizers and valgrind,
 * or what SIM_SEED and SIM_SEEDS say. */
void fixture_seeds(unsigned usual, uint64_t *first, uint64_t *count);

/* Every fault that delays, shortens, reorders and repeats, but breaks nothing. The
 * seed chooses which of them and how strong. */
struct sim_options sim_options_troubled(uint64_t seed);

/* Check's own assertions write to a file each time, and in seeded runs there are
 * millions. These print the seed, the end of the trace and how to replay. */
#define expect(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fixture_fail(__FILE__, __LINE__, "%s", #condition);                                    \
    } while (0)
#define expect_eq(one, other)                                                                      \
    do {                                                                                           \
        int64_t one_ = (int64_t)(one), other_ = (int64_t)(other);                                  \
                                                                                                   \
        if (one_ != other_)                                                                        \
            fixture_fail(__FILE__, __LINE__, "%s == %s: %lld == %lld", #one, #other,               \
                         (long long)one_, (long long)other_);                                      \
    } while (0)

__attribute__((noreturn, format(printf, 3, 4))) void fixture_fail(const char *file, int line,
                                                                  const char *format, ...);

/* Runs body in a process of its own, which has to abort with text on stderr. */
void fixture_expect_panic(void (*body)(void), const char *text);

struct fixture_case {
    const TTest *test;
    unsigned worlds; /* IN_SIMULATED ... */
};

/* Runs each test once for each of its worlds, whose number it finds in _i. Returns
 * main's result. */
int fixture_main(const char *name, const struct fixture_case *cases, size_t count);

#endif
