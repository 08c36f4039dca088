/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fixture.h"

#include "net/socket_options.h"
#include "runtime/random.h"
#include "runtime/scope.h"
#include "tests/limit.h"
#include "tests/polite_kernel.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct fixture fixture = {.step = -1};

struct rill_kernel *fixture_kernel(void)
{
    return getenv("TEST_UNDER_VALGRIND") ? polite_kernel() : NULL;
}

/* ---- failures ---- */

/* Also called when the process has crashed: it is at its end, and the trace is worth
 * the risk of printing it.
 * NOLINTBEGIN(bugprone-signal-handler,cert-sig30-c) */
static void tell_how(void)
{
    const char *name = program_invocation_short_name;

    if (!fixture.seeded)
        return;
    if (fixture.sim)
        sim_trace_print(fixture.sim, stderr, 40);
    if (fixture.what)
        fprintf(stderr, "in: %s, step %lld\n", fixture.what, (long long)fixture.step);
    if (fixture.replay) {
        fprintf(stderr, "seed %llu; replay it with: %s SEEDS=1 SEED=%llu\n",
                (unsigned long long)fixture.seed, fixture.replay, (unsigned long long)fixture.seed);
        fixture.seeded = false;
        return;
    }
    fprintf(stderr, "seed %llu; replay it with: SIM_SEED=%llu SIM_SEEDS=1 make test NAME=%s\n",
            (unsigned long long)fixture.seed, (unsigned long long)fixture.seed,
            strncmp(name, "test_", 5) == 0 ? name + 5 : name);
    fixture.seeded = false;
}
/* NOLINTEND(bugprone-signal-handler,cert-sig30-c) */

static void on_crash(int number)
{
    tell_how();
    signal(number, SIG_DFL);
    raise(number);
}

extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

/* The undefined behaviour sanitizer of gcc knows no callback, so it has to abort. */
const char *__ubsan_default_options(void);

const char *__ubsan_default_options(void)
{
    return "abort_on_error=1";
}

static void tell_how_in_a_crash(void)
{
    signal(SIGABRT, on_crash);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(tell_how);
    else
        signal(SIGSEGV, on_crash);
}

void fixture_fail(const char *file, int line, const char *format, ...)
{
    char message[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s:%d: %s\n", file, line, message);
    if (fixture.runtime)
        rill_executor_print(&fixture.runtime->executor, stderr);
    tell_how();
    ck_abort_msg("%s:%d: %s", file, line, message);
    abort();
}

void fixture_expect_panic(void (*body)(void), const char *text)
{
    char output[16384] = "";
    size_t size = 0;
    ssize_t more;
    int ends[2], status;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        body();
        _exit(0);
    }
    close(ends[1]);
    while ((more = read(ends[0], output + size, sizeof output - 1 - size)) > 0)
        size += (size_t)more;
    close(ends[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(output, text))
        ck_abort_msg("want an abort that says '%s', got status %#x and:\n%s", text, status, output);
}

/* ---- a runtime ---- */

size_t fixture_count_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    if (!directory)
        return 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

bool fixture_open(int which, const struct sim_options *options,
                  const struct rill_runtime_options *runtime_options)
{
    static const struct sim_options no_faults;
    struct rill_runtime_options full = {0};
    int error;

    if (runtime_options)
        full = *runtime_options;
    fixture.sim = which == SIMULATED ? sim_create(options ? options : &no_faults) : NULL;
    full.kernel = fixture.sim ? sim_kernel(fixture.sim) : fixture_kernel();
    fixture.fds_at_open = fixture.sim ? 0 : fixture_count_fds();
    error = rill_runtime_create(&fixture.runtime, &full);
    if (!fixture.sim && (error == -EPERM || error == -ENOSYS) && getenv("TEST_MAY_SKIP")) {
        printf("skipped: %s\n", rill_runtime_explain(error));
        return false;
    }
    if (error)
        fixture_fail(__FILE__, __LINE__, "%s", rill_runtime_explain(error));
    if (fixture.sim) {
        rill_random_seed(options ? options->seed : 0);
        /* so that a case can step between a wake and what it wakes */
        fixture.runtime->executor.polls_soon = 0;
    }
    return true;
}

/* ---- between the reactor and the kernel ---- */

static struct {
    const struct rill_kernel_ops *inner;
    struct rill_kernel_ops ops;
    void (*on_entry)(struct io_uring_sqe *sqe);
    void (*on_return)(void);
    unsigned seen; /* entries that on_entry was shown */
    int error;
    unsigned errors;
    uint64_t turns_max; /* 0: nothing is disturbed */
} between;

static uint64_t dice(uint64_t bound)
{
    return sim_random(fixture.sim, bound);
}

static void wake_some(struct rill_link *parked)
{
    struct rill_link *next;

    for (struct rill_link *link = parked->next; link != parked; link = next) {
        next = link->next;
        if (dice(8) == 0)
            rill_task_wake(rill_container_of(link, struct rill_task, queue));
    }
}

static void shuffle(struct rill_link *ready)
{
    struct rill_link shuffled;

    rill_list_init(&shuffled);
    while (!rill_list_is_empty(ready)) {
        struct rill_link *first = rill_list_pop(ready);

        if (dice(2))
            rill_list_append(&shuffled, first);
        else
            rill_list_prepend(&shuffled, first);
    }
    rill_list_take(ready, &shuffled);
}

static void disturb(void)
{
    struct rill_executor *executor = &fixture.runtime->executor;

    expect(executor->turns < between.turns_max);
    if (dice(4) == 0) {
        wake_some(&executor->parked);
        for (struct rill_link *link = executor->scopes.next; link != &executor->scopes;
             link = link->next)
            wake_some(&rill_container_of(link, struct rill_scope, entry)->parked);
    }
    if (dice(2))
        shuffle(&executor->ready);
    if (dice(8) == 0)
        executor->polls_soon = dice(2) ? dice(RILL_TURN_POLLS_SOON) : 0;
    if (dice(1000) == 0)
        sim_jump(fixture.sim, (int64_t)dice(10 * RILL_SECOND));
}

static int enter_between(struct rill_kernel *kernel, struct io_uring *ring, int64_t until_ns)
{
    while (between.seen != ring->sq.sqe_tail) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[between.seen++ & ring->sq.ring_mask];

        if (between.on_entry)
            between.on_entry(sqe);
    }
    if (between.errors > 0) {
        between.errors--;
        return between.error;
    }
    if (between.turns_max > 0)
        disturb();

    int result = between.inner->enter(kernel, ring, until_ns);

    if (between.on_return)
        between.on_return();
    return result;
}

static void step_between(void)
{
    struct rill_kernel *kernel = fixture.runtime->reactor.kernel;

    if (kernel->ops == &between.ops)
        return;
    between.inner = kernel->ops;
    between.ops = *kernel->ops;
    between.ops.enter = enter_between;
    between.seen = fixture.runtime->reactor.ring.sq.sqe_tail;
    kernel->ops = &between.ops;
}

void fixture_on_entry(void (*fn)(struct io_uring_sqe *sqe))
{
    step_between();
    between.on_entry = fn;
}

void fixture_on_return(void (*fn)(void))
{
    step_between();
    between.on_return = fn;
}

void fixture_fail_enters(int error, unsigned count)
{
    step_between();
    between.error = error;
    between.errors = count;
}

void fixture_disturb(uint64_t turns_max)
{
    step_between();
    between.turns_max = turns_max;
}

static void step_back(void)
{
    struct rill_kernel *kernel = fixture.runtime->reactor.kernel;

    if (kernel->ops == &between.ops)
        kernel->ops = between.inner;
    memset(&between, 0, sizeof between);
}

static void check_nothing_is_left(void)
{
    struct rill_executor *executor = &fixture.runtime->executor;
    struct rill_reactor *reactor = &fixture.runtime->reactor;

    expect_eq(executor->tasks_alive, 0);
    expect_eq(executor->wheel.armed, 0);
    expect_eq(executor->pool.in_use, 0);
    expect_eq(reactor->ops_in_flight, 0);
    expect_eq(reactor->fds_open, 0);
    expect_eq(reactor->buffers.in_use, 0);
    expect_eq(reactor->buffers.private_in_use, 0);
    expect(rill_list_is_empty(&reactor->backlog));
    expect(rill_list_is_empty(&reactor->buffers.starved));
    if (!fixture.sim)
        return;
    expect_eq(sim_fds_open(fixture.sim), 0);
    expect_eq(sim_bad_fds(fixture.sim), 0);
    expect_eq(sim_buffers_missing(fixture.sim, RILL_BUFFERS_GROUP), 0);
}

void fixture_close(void)
{
    /* The completions of cancels that came too late mean nothing and may still come. */
    for (int i = 0; fixture.sim && sim_ops_in_flight(fixture.sim) > 0 && i < 100; i++)
        fixture_turn();
    check_nothing_is_left();
    step_back();
    rill_runtime_destroy(fixture.runtime);
    fixture.runtime = NULL;
    if (fixture.sim)
        expect_eq(sim_ops_in_flight(fixture.sim), 0);
    else if (!fixture.keeps_fds)
        expect_eq(fixture_count_fds(), fixture.fds_at_open);
    sim_destroy(fixture.sim);
    fixture.sim = NULL;
}

int64_t await(struct rill_future *future)
{
    return rill_block_on(fixture.runtime, future);
}

static enum rill_poll background_poll(struct rill_future *self, struct rill_task *task)
{
    struct background *background = rill_container_of(self, struct background, task.future);

    background->polls++;
    RILL_BEGIN();
    RILL_AWAIT(background->future);
    RILL_RETURN(background->future->result);
    RILL_END();
}

void background_start(struct background *background, struct rill_future *future)
{
    memset(background, 0, sizeof *background);
    background->future = future;
    rill_task_spawn(&background->task, background_poll);
}

int64_t background_end(struct background *background)
{
    return await(rill_task_join(&background->task, &background->join));
}

void fixture_turn(void)
{
    rill_executor_run(&fixture.runtime->executor);
    expect_eq(rill_executor_wait(&fixture.runtime->executor, RILL_NO_WAIT), 0);
}

void settle(void)
{
    /* tests/check_vm.sh says that everything is slow */
    bool is_slow = getenv("TEST_UNDER_VALGRIND") || getenv("TEST_SLOWNESS");
    const int64_t real_ns = (is_slow ? 30 : 3) * RILL_MILLISECOND;

    pass(fixture.sim ? 1 * RILL_SECOND : real_ns);
}

void pass(int64_t ns)
{
    struct rill_sleep sleep;

    await(rill_sleep(&sleep, ns));
}

/* ---- real time ---- */

int64_t fixture_real_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * RILL_SECOND + now.tv_nsec;
}

int64_t fixture_own_now(void)
{
    FILE *file = fopen("/proc/thread-self/schedstat", "r"); /* not every kernel has it */
    char text[80], *after_run;
    long long waited_ns = 0;

    if (file && fgets(text, sizeof text, file)) {
        strtoll(text, &after_run, 10);
        waited_ns = strtoll(after_run, NULL, 10);
    }
    if (file)
        fclose(file);
    return fixture_real_now() - waited_ns;
}

/* ---- connections ---- */

struct rill_address loopback(uint16_t port)
{
    struct rill_address address;

    expect_eq(rill_address_parse(&address, "127.0.0.1", port), 0);
    return address;
}

uint16_t fixture_listen(struct rill_listener *listener, const struct rill_listen_options *options)
{
    struct rill_address address = loopback(0);

    expect_eq(rill_listener_open(listener, &address, options), 0);
    expect_eq(rill_listener_address(listener, &address), 0);
    return rill_address_port(&address);
}

void fixture_pair(struct rill_tcp *one, struct rill_tcp *other)
{
    struct rill_listener listener = {0};
    static struct rill_connect connect; /* large */
    struct background connecting;
    struct rill_accept accept;
    struct rill_address address = loopback(fixture_listen(&listener, NULL));

    memset(one, 0, sizeof *one);
    memset(&connect, 0, sizeof connect);
    background_start(&connecting, rill_tcp_connect_address(one, &connect, &address));
    expect(await(rill_tcp_accept(&listener, &accept)) >= 0);
    rill_tcp_adopt(other, (int)accept.result);
    expect_eq(background_end(&connecting), 0);
    expect_eq(await(rill_listener_close(&listener)), 0);
}

void fixture_bound(struct rill_tcp *from, struct rill_tcp *to, int size)
{
    expect_eq(rill_socket_set_buffers(from->fd, size, 0), 0);
    expect_eq(rill_socket_set_buffers(to->fd, 0, size), 0);
}

void fixture_hang_up(struct rill_tcp *tcp)
{
    expect_eq(await(rill_tcp_close(tcp)), 0);
}

void pattern_fill(char *bytes, uint64_t at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = pattern(at + i);
}

bool pattern_is(const char *bytes, uint64_t at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != pattern(at + i))
            return false;
    return true;
}

bool loaded_is(const char *bytes, uint64_t at, size_t size)
{
    return (!fixture.sim && getenv("TEST_UNDER_VALGRIND")) || pattern_is(bytes, at, size);
}

/* ---- seeds ---- */

void fixture_seeds(unsigned usual, uint64_t *first, uint64_t *count)
{
    const char *seed = getenv("SIM_SEED"), *seeds = getenv("SIM_SEEDS");

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    usual = usual / 4 + 1;
#endif
    if (getenv("TEST_UNDER_VALGRIND"))
        usual = usual / 50 + 1;
    *first = seed ? strtoull(seed, NULL, 0) : 1;
    *count = seeds ? strtoull(seeds, NULL, 0) : usual;
    tell_how_in_a_crash();
}

struct sim_options sim_options_troubled(uint64_t seed)
{
    struct sim_options options = sim_options_hostile(seed);

    options.accept_per_mille = 0;
    options.connect_per_mille = 0;
    options.reset_per_mille = 0;
    options.file_per_mille = 0;
    options.enomem_per_mille = 0;
    options.no_thread_per_mille = 0;
    if (seed % 4 == 0) { /* nothing but time and order */
        options.short_per_mille = 0;
        options.enobufs_per_mille = 0;
        options.multishot_end_per_mille = 0;
        options.submit_eagain_per_mille = 0;
        options.submit_ebusy_per_mille = 0;
        options.enter_eintr_per_mille = 0;
        options.overflow_per_mille = 0;
    }
    return options;
}

/* ---- the main function of a test program ---- */

int fixture_main(const char *name, const struct fixture_case *cases, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    for (size_t i = 0; i < count; i++)
        tcase_add_loop_test(tcase, cases[i].test, cases[i].worlds & IN_SIMULATED ? SIMULATED : REAL,
                            cases[i].worlds & IN_REAL ? REAL + 1 : SIMULATED + 1);
    tcase_set_timeout(tcase, CASE_LIMIT_S);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
