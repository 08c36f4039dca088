/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_open.c - opening UCX: settings, their mistakes, and what it does to a process. */
#include "rdma/rdma.h"

#include "rdma/active_message.h"
#include "rdma/endpoint_info.h"
#include "rdma/listener.h"
#include "tests/rdma/duo.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static struct rill_rdma rdma;

static bool start(void)
{
    return fixture_open(REAL, NULL, NULL);
}

static int open_with(const char *key, const char *value)
{
    const struct rill_rdma_setting settings[] = {{"TLS", "tcp,self"}, {key, value}};

    return rill_rdma_open(&rdma, &(struct rill_rdma_options){.settings = settings,
                                                             .setting_count = key ? 2 : 1,
                                                             .bare_endpoints = true});
}

static void finish(void)
{
    rill_rdma_close(&rdma);
    fixture_close();
}

static void expect_why(const char *part)
{
    ck_assert_msg(strstr(rdma.why.text, part) != NULL, "want '%s' in: %s", part, rdma.why.text);
}

START_TEST(it_opens_and_closes_and_opens_again)
{
    size_t size;

    if (!start())
        return;
    for (int i = 0; i < 3; i++) {
        expect_eq(rill_rdma_open(&rdma, NULL), 0);
        ck_assert_str_eq(rdma.why.text, "");
        expect(rill_rdma_address(&rdma, &size) != NULL);
        ck_assert_uint_gt(size, 0);
        expect(rdma.client_id != 0);
        rill_rdma_close(&rdma);
        rill_rdma_close(&rdma);
    }
    fixture_close();
}
END_TEST

START_TEST(an_unknown_setting_is_an_error_that_names_the_nearest)
{
    if (!start())
        return;
    expect_eq(open_with("RNDV_TRESH", "1"), -EINVAL);
    expect_why("UCX has no setting RNDV_TRESH, or not that value for it; the nearest names are "
               "RNDV_THRESH,");
    expect_eq(open_with("UCX_TCP_KEEPIDEL", "1"), -EINVAL);
    expect_why("UCX has no setting TCP_KEEPIDEL, or not that value for it; the nearest names are "
               "TCP_KEEPIDLE");
    expect(getenv("UCX_TCP_KEEPIDEL") == NULL);
    expect_eq(open_with("", ""), -EINVAL);
    fixture_close();
}
END_TEST

START_TEST(a_value_that_a_setting_can_not_have_is_an_error)
{
    if (!start())
        return;
    expect_eq(open_with("RNDV_THRESH", "many"), -EINVAL);
    expect_why("UCX does not take RNDV_THRESH=many");
    expect_eq(open_with("TCP_RX_SEG_SIZE", "many"), -EINVAL);
    expect_why("TCP_RX_SEG_SIZE, or not that value for it");
    expect(getenv("UCX_TCP_RX_SEG_SIZE") == NULL);
    fixture_close();
}
END_TEST

START_TEST(without_active_messages_there_is_no_inbox)
{
    const struct rill_rdma_options options = {.features = UCP_FEATURE_TAG};
    struct rill_rdma_inbox inbox = {0};

    if (!start())
        return;
    expect_eq(rill_rdma_open(&rdma, &options), 0);
    expect_eq(rill_rdma_inbox_open(&inbox, &rdma, 1), -EINVAL);
    expect(!inbox.is_open);
    finish();
}
END_TEST

START_TEST(a_setting_that_is_read_as_the_process_starts_is_an_error)
{
    if (!start())
        return;
    expect_eq(open_with("LOG_FILE", "nowhere"), -EINVAL);
    expect_why("UCX reads LOG_FILE once, as the process starts: set UCX_LOG_FILE in the");
    expect_eq(open_with("LOG_LEVEL", "loud"), -EINVAL);
    expect_why("UCX does not take LOG_LEVEL=loud");
    expect_eq(open_with("LOG_LEVEL", "fatal"), 0); /* which can be set at any time */
    finish();
}
END_TEST

START_TEST(a_transport_that_is_not_there_is_ENODEV)
{
    const struct rill_rdma_setting none = {"TLS", "nonsense"};

    if (!start())
        return;
    expect_eq(
        rill_rdma_open(&rdma, &(struct rill_rdma_options){.settings = &none, .setting_count = 1}),
        -ENODEV);
    expect_why("No such device");
    fixture_close();
}
END_TEST

START_TEST(a_known_setting_is_taken_with_and_without_its_prefix)
{
    if (!start())
        return;
    setenv("UCX_TCP_KEEPINTVL", "7s", 1);
    expect_eq(open_with("UCX_TCP_KEEPINTVL", "3s"), 0);
    ck_assert_str_eq(getenv("UCX_TCP_KEEPINTVL"), "7s");
    rill_rdma_close(&rdma);
    expect_eq(open_with("TCP_KEEPIDLE", "3s"), 0);
    expect(getenv("UCX_TCP_KEEPIDLE") == NULL);
    finish();
}
END_TEST

START_TEST(an_unknown_variable_of_the_environment_is_told_and_no_error)
{
    setenv("UCX_TSL", "tcp", 1);
    if (!start())
        return;
    expect_eq(rill_rdma_open(&rdma, NULL), 0);
    ck_assert_msg(strstr(rdma.remark.text, "UCX has no setting TSL, or") != NULL &&
                      strstr(rdma.remark.text, "the nearest names are TLS") != NULL,
                  "%s", rdma.remark.text);
    finish();
}
END_TEST

/* ---- which transports ---- */

static void expect_transport(const struct rill_rdma_options *options, const char *name)
{
    struct rill_rdma other;
    struct rill_rdma_ep ep = {0};
    char text[256];
    size_t size;

    expect_eq(rill_rdma_open(&rdma, options), 0);
    expect_eq(rill_rdma_open(&other, options), 0);
    expect_eq(rill_rdma_ep_open(&ep, &rdma, rill_rdma_address(&other, &size)), 0);
    expect_eq(rill_rdma_ep_describe(&ep, text, sizeof text), 0);
    ck_assert_msg(strncmp(text, name, strlen(name)) == 0, "want %s, got %s", name, text);
    rill_rdma_ep_describe(&ep, text, 4); /* cut off */
    ck_assert_uint_eq(strlen(text), 3);
    expect_eq(await(rill_rdma_ep_abort(&ep)), 0);
    expect_eq(rill_rdma_ep_describe(&ep, text, sizeof text), -ENOTCONN);
    rill_rdma_close(&other);
    rill_rdma_close(&rdma);
}

START_TEST(shared_memory_is_used_when_it_is_asked_for)
{
    if (!start())
        return;
    expect_transport(&(struct rill_rdma_options){.bare_endpoints = true}, "tcp/");
    expect_transport(&(struct rill_rdma_options){.shared_memory = true, .bare_endpoints = true},
                     "posix/memory");
    setenv("UCX_TLS", "tcp", 1); /* is stronger than what rill would choose */
    expect_transport(&(struct rill_rdma_options){.shared_memory = true, .bare_endpoints = true},
                     "tcp/");
    fixture_close();
}
END_TEST

/* ---- what it does to the process ---- */

START_TEST(the_signals_that_the_library_took_are_given_back)
{
    static const int numbers[] = {SIGHUP, SIGILL, SIGSEGV, SIGBUS, SIGFPE};

    if (!start())
        return;
    expect_eq(open_with(NULL, NULL), 0);
    for (int i = 0; i < 5; i++) { /* the sanitizers have some of them */
        struct sigaction action;
        Dl_info info;

        sigaction(numbers[i], NULL, &action);
        expect(action.sa_handler == SIG_DFL || !dladdr((void *)action.sa_sigaction, &info) ||
               !strstr(info.dli_fname, "libucs"));
    }
    finish();
}
END_TEST

static sigset_t signals_blocked_by(const char *thread)
{
    char path[300], line[200];
    uint64_t bits = 0;
    sigset_t blocked;
    FILE *file;

    snprintf(path, sizeof path, "/proc/self/task/%s/status", thread);
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "SigBlk:", 7) == 0)
            bits = strtoull(line + 7, NULL, 16);
    fclose(file);
    sigemptyset(&blocked);
    for (int number = 1; number <= 64; number++)
        if (bits >> (number - 1) & 1)
            sigaddset(&blocked, number);
    return blocked;
}

/* Returns how many other threads there are. */
static unsigned expect_deaf_threads(void)
{
    DIR *threads = opendir("/proc/self/task");
    unsigned count = 0;

    ck_assert_ptr_nonnull(threads);
    for (struct dirent *entry; (entry = readdir(threads));) {
        sigset_t blocked;

        if (entry->d_name[0] == '.' || strtol(entry->d_name, NULL, 10) == getpid())
            continue;
        do { /* one that begins has all blocked, for glibc */
            sched_yield();
            blocked = signals_blocked_by(entry->d_name);
        } while (sigismember(&blocked, SIGSEGV));
        expect(sigismember(&blocked, SIGTERM) && sigismember(&blocked, SIGHUP));
        count++;
    }
    closedir(threads);
    return count;
}

START_TEST(the_threads_that_it_starts_get_no_signals)
{
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    struct rill_rdma_listener listener = {0};
    sigset_t before, after;

    if (!start())
        return;
    sigprocmask(SIG_BLOCK, NULL, &before);
    expect_eq(open_with(NULL, NULL), 0);
    expect_eq(rill_rdma_listen(&listener, &rdma, &any), 0);
    ck_assert_uint_gt(expect_deaf_threads(), 0);
    sigprocmask(SIG_BLOCK, NULL, &after);
    for (int number = 1; number <= 64; number++)
        expect_eq(sigismember(&after, number), sigismember(&before, number));
    rill_rdma_listener_close(&listener);
    finish();
}
END_TEST

enum { OPENERS = 4, OPENINGS = 30 };
static pthread_barrier_t all_together;

static void *open_many_times(void *argument)
{
    struct rill_rdma mine = {0};
    struct rill_runtime *runtime;

    (void)argument;
    for (int i = 0; i < OPENINGS; i++) {
        ck_assert_int_eq(rill_runtime_create(&runtime, NULL), 0);
        pthread_barrier_wait(&all_together);
        ck_assert_int_eq(rill_rdma_open(&mine, NULL), 0);
        rill_rdma_close(&mine);
        rill_runtime_destroy(runtime);
    }
    return NULL;
}

static unsigned count_variables(void)
{
    unsigned count = 0;

    for (char **variable = environ; *variable; variable++)
        count += strncmp(*variable, "UCX_", 4) == 0;
    return count;
}

START_TEST(opening_in_several_threads_leaves_the_environment_as_it_was)
{
    pthread_t openers[OPENERS];
    unsigned variables = count_variables();

    if (!start())
        return;
    fixture_close();
    ck_assert_int_eq(pthread_barrier_init(&all_together, NULL, OPENERS), 0);
    for (int i = 0; i < OPENERS; i++)
        ck_assert_int_eq(pthread_create(&openers[i], NULL, open_many_times, NULL), 0);
    for (int i = 0; i < OPENERS; i++)
        ck_assert_int_eq(pthread_join(openers[i], NULL), 0);
    pthread_barrier_destroy(&all_together);
    ck_assert_uint_eq(count_variables(), variables);
}
END_TEST

static int64_t cpu_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * RILL_SECOND +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * RILL_MICROSECOND;
}

START_TEST(an_idle_runtime_with_rdma_uses_no_cpu)
{
    struct rill_sleep sleep;
    uint64_t calls;
    int64_t before_ns;

    if (!start())
        return;
    expect_eq(rill_rdma_open(&rdma, NULL), 0);
    settle();
    calls = rdma.source.stats.progress_calls;
    before_ns = cpu_ns();
    await(rill_sleep(&sleep, RILL_SECOND / 2));
    /* Who looks out all the time uses 500 ms, and who sleeps 1, or 5 beside busy neighbours. */
    ck_assert_int_le(cpu_ns() - before_ns, 20 * RILL_MILLISECOND * network()->slowness);
    ck_assert_uint_le(rdma.source.stats.progress_calls - calls, 4);
    finish();
}
END_TEST

static void close_with_endpoint(void)
{
    static struct rill_rdma_ep ep;
    size_t size;

    start();
    open_with(NULL, NULL);
    rill_rdma_ep_open(&ep, &rdma, rill_rdma_address(&rdma, &size));
    rill_rdma_close(&rdma);
}

START_TEST(closing_with_something_open_is_a_panic)
{
    fixture_expect_panic(close_with_endpoint, "rdma was closed with 1 endpoints open");
}
END_TEST

int main(void)
{
    const struct duo_case cases[] = {
        {it_opens_and_closes_and_opens_again, IN_TCP},
        {an_unknown_setting_is_an_error_that_names_the_nearest, IN_TCP},
        {a_value_that_a_setting_can_not_have_is_an_error, IN_TCP},
        {without_active_messages_there_is_no_inbox, IN_TCP},
        {a_setting_that_is_read_as_the_process_starts_is_an_error, IN_TCP},
        {a_transport_that_is_not_there_is_ENODEV, IN_TCP},
        {a_known_setting_is_taken_with_and_without_its_prefix, IN_TCP},
        {an_unknown_variable_of_the_environment_is_told_and_no_error, IN_TCP},
        {shared_memory_is_used_when_it_is_asked_for, IN_TCP | TCP_ITSELF},
        {the_signals_that_the_library_took_are_given_back, IN_TCP},
        {the_threads_that_it_starts_get_no_signals, IN_TCP},
        {opening_in_several_threads_leaves_the_environment_as_it_was, IN_TCP},
        {an_idle_runtime_with_rdma_uses_no_cpu, IN_TCP},
        {closing_with_something_open_is_a_panic, IN_TCP},
    };

    return duo_main("rdma open", cases, sizeof cases / sizeof *cases);
}
