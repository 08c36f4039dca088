/* SPDX-License-Identifier: Apache-2.0 */
/* test_rdma_config.c - what rill sets for one version of UCX and not for another, and for one
 * wish and not for another. */
#include "rdma/config.h"

#include "tests/fixture.h"
#include "tests/rdma/fake_ucx.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char keys[] = "UCX_UD_ETH_DGID_CHECK=y\nUCX_UD_VERBS_ETH_DGID_CHECK=y\n";
static const char dgid_check[] = "UCX_UD_VERBS_ETH_DGID_CHECK";
static const char *variable; /* that is looked at */
static char seen[8];         /* it, while the worker was made; "-": it was not there */

static void look(void)
{
    const char *value = getenv(variable);

    snprintf(seen, sizeof seen, "%s", value ? value : "-");
}

/* Opens a UCX of that version, and looks at what its transports are told. */
static void expect_told(const char *name, unsigned minor_version, const char *transport_keys,
                        struct rill_rdma_options options, const char *value)
{
    const char *was = getenv(name), *is;
    struct rill_rdma rdma;

    fake_reset();
    fixture_open(SIMULATED, NULL, NULL);
    fake.minor_version = minor_version;
    fake.transport_keys = transport_keys;
    fake.on_worker = look;
    variable = name;
    options.ucx = &fake_ucx;
    expect_eq(rill_rdma_open(&rdma, &options), 0);
    rill_rdma_close(&rdma);
    ck_assert_str_eq(seen, value);
    is = getenv(name);
    ck_assert_msg(is == was || (is && was && strcmp(is, was) == 0), "it was not taken back");
    fixture_close();
}

static void expect_seen(unsigned minor_version, const char *transport_keys,
                        const struct rill_rdma_setting *setting, const char *value)
{
    expect_told(dgid_check, minor_version, transport_keys,
                (struct rill_rdma_options){.settings = setting, .setting_count = setting ? 1 : 0},
                value);
}

START_TEST(addresses_that_an_old_ucx_checks_wrongly_are_not_checked)
{
    expect_seen(13, keys, NULL, "n");
    expect_seen(18, keys, NULL, "n");
}
END_TEST

START_TEST(a_new_ucx_is_left_alone)
{
    expect_seen(19, keys, NULL, "-");
    expect_seen(20, keys, NULL, "-");
}
END_TEST

START_TEST(a_ucx_that_does_not_know_the_setting_is_left_alone)
{
    expect_seen(13, NULL, NULL, "-");
    expect_seen(13, "UCX_UD_ETH_DGID_CHECK=y\n", NULL, "-");
}
END_TEST

START_TEST(what_the_user_wants_checked_is_checked)
{
    const struct rill_rdma_setting one = {"UD_VERBS_ETH_DGID_CHECK", "y"};
    const struct rill_rdma_setting all = {"UCX_UD_ETH_DGID_CHECK", "y"};

    expect_seen(13, keys, &one, "y");
    expect_seen(13, keys, &all, "-");
    setenv("UCX_UD_ETH_DGID_CHECK", "y", 1);
    expect_seen(13, keys, NULL, "-");
    unsetenv("UCX_UD_ETH_DGID_CHECK");
    setenv(dgid_check, "try", 1);
    expect_seen(13, keys, NULL, "try");
    unsetenv(dgid_check);
}
END_TEST

START_TEST(segments_are_long_over_tcp_but_for_bare_endpoints_that_do_not_ask)
{
    static const char key[] = "UCX_TCP_RX_SEG_SIZE";
    const struct rill_rdma_setting own = {"TCP_RX_SEG_SIZE", "96K"};
    struct rill_rdma_options options = {.shared_memory = true, .single_copy = true};

    expect_told(key, 13, "UCX_TCP_RX_SEG_SIZE=64K\n", options, "512K");
    options.bare_endpoints = true;
    expect_told(key, 13, "UCX_TCP_RX_SEG_SIZE=64K\n", options, "-");
    options = (struct rill_rdma_options){.long_segments = true, .bare_endpoints = true};
    expect_told(key, 13, "UCX_TCP_RX_SEG_SIZE=64K\n", options, "512K");
    options.settings = &own;
    options.setting_count = 1;
    expect_told(key, 13, "UCX_TCP_RX_SEG_SIZE=64K\n", options, "96K");
}
END_TEST

START_TEST(longer_segments_of_shared_memory_are_for_those_who_ask_and_share_it)
{
    static const char size[] = "UCX_POSIX_SEG_SIZE", count[] = "UCX_POSIX_RX_BUFS_GROW";
    static const char transport_keys[] = "UCX_POSIX_SEG_SIZE=8256\nUCX_POSIX_RX_BUFS_GROW=512\n"
                                         "UCX_MM_SEG_SIZE=8256\n";
    static const struct rill_rdma_setting own[] = {{"POSIX_SEG_SIZE", "16K"},
                                                   {"MM_SEG_SIZE", "16K"}};
    struct rill_rdma_options options = {.shared_memory = true};

    expect_told(size, 13, transport_keys, options, "-");
    options.long_segments = true;
    expect_told(size, 13, transport_keys, options, "32K");
    expect_told(count, 13, transport_keys, options, "128");
    expect_told(size, 13, NULL, options, "-"); /* a UCX without shared memory */
    options.setting_count = 1;
    options.settings = &own[0];
    expect_told(size, 13, transport_keys, options, "16K");
    options.settings = &own[1];
    expect_told(size, 13, transport_keys, options, "-");
    expect_told(count, 13, transport_keys, options, "-");
    options = (struct rill_rdma_options){.long_segments = true};
    expect_told(size, 13, transport_keys, options, "-");
}
END_TEST

START_TEST(without_shared_memory_it_is_told_how_much_there_is)
{
    const struct rill_rdma_options options = {.ucx = &fake_ucx, .shared_memory = true};
    struct rill_rdma rdma;

    fake_reset();
    fixture_open(SIMULATED, NULL, NULL);
    fake.failing = "worker_create";
    fake.status = UCS_ERR_NO_RESOURCE;
    fake.transport_keys = "UCX_POSIX_SEG_SIZE=8256\nUCX_POSIX_ERROR_HANDLING=y\n";
    expect_eq(rill_rdma_open(&rdma, &options), -EAGAIN);
    expect(strstr(rdma.why.text, "cannot make a worker") != NULL);
    expect(strstr(rdma.why.text, "/dev/shm") != NULL);
    fake.status = UCS_ERR_SHMEM_SEGMENT;
    expect_eq(rill_rdma_open(&rdma, &options), -ENOSPC);
    expect(strstr(rdma.why.text, "/dev/shm") != NULL);
    fake.status = UCS_ERR_NO_MEMORY;
    expect_eq(rill_rdma_open(&rdma, &options), -ENOMEM);
    expect_eq((intptr_t)strstr(rdma.why.text, "/dev/shm"), 0);
    fake.status = UCS_ERR_NO_RESOURCE;
    fake.transport_keys = "UCX_POSIX_SEG_SIZE=8256\nUCX_POSIX_ERROR_HANDLING=n\n";
    expect_eq(rill_rdma_open(&rdma, &options), -EAGAIN);
    expect_eq((intptr_t)strstr(rdma.why.text, "/dev/shm"), 0);
    fixture_close();
}
END_TEST

/* What the transports' settings are, as UCX tells it, and which segments they mean. */
START_TEST(segments_are_those_in_effect_where_a_way_is_used)
{
    static const struct {
        const char *transport_keys;
        uint32_t tcp, shared;
    } cases[] = {
        {"", 0, 0},
        {"UCX_TCP_RX_SEG_SIZE=64K\n", 65536, 0},
        {"UCX_TCP_RX_SEG_SIZE=96000\n", 96000, 0},
        {"UCX_TCP_RX_SEG_SIZE=inf\n", UINT32_MAX, 0},
        {"UCX_POSIX_SEG_SIZE=8256\nUCX_POSIX_ERROR_HANDLING=n\n", 0, 0},
        {"UCX_POSIX_SEG_SIZE=8256\nUCX_POSIX_ERROR_HANDLING=y\n", 0, 8256},
        {"UCX_SYSV_SEG_SIZE=16K\nUCX_SYSV_ERROR_HANDLING=n\n", 0, 0},
        {"UCX_SYSV_SEG_SIZE=16K\nUCX_SYSV_ERROR_HANDLING=y\n", 0, 16384},
        {"UCX_POSIX_SEG_SIZE=8256\nUCX_POSIX_ERROR_HANDLING=y\nUCX_SYSV_SEG_SIZE=16K\n"
         "UCX_SYSV_ERROR_HANDLING=y\nUCX_TCP_RX_SEG_SIZE=512K\n",
         524288, 8256},
        {"UCX_POSIX_ERROR_HANDLING=y\n", 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rill_rdma rdma;

        fake_reset();
        fixture_open(SIMULATED, NULL, NULL);
        fake.minor_version = 13;
        fake.transport_keys = cases[i].transport_keys;
        expect_eq(rill_rdma_open(
                      &rdma, &(struct rill_rdma_options){.ucx = &fake_ucx, .bare_endpoints = true}),
                  0);
        ck_assert_uint_eq(rdma.segments.tcp, cases[i].tcp);
        ck_assert_uint_eq(rdma.segments.shared, cases[i].shared);
        rill_rdma_close(&rdma);
        fixture_close();
    }
}
END_TEST

START_TEST(longer_messages_go_at_once_where_there_is_tcp_alone)
{
    static const char key[] = "UCX_TCP_TX_SEG_SIZE";
    static const char transport_keys[] = "UCX_TCP_RX_SEG_SIZE=64K\nUCX_TCP_TX_SEG_SIZE=8K\n";
    const struct rill_rdma_setting shorter = {"TCP_RX_SEG_SIZE", "32K"};
    struct rill_rdma_options options = {.tcp_only = true, .long_segments = true};

    expect_told(key, 13, transport_keys, (struct rill_rdma_options){.long_segments = true}, "-");
    expect_told(key, 13, transport_keys, options, "64K");
    options.settings = &shorter;
    options.setting_count = 1;
    expect_told(key, 13, transport_keys, options, "-"); /* it would be longer than that */
}
END_TEST

/* Opens a UCX where there is a device or none, with one setting or none. */
static void expect_at_once(bool has_device, struct rill_rdma_options options,
                           const struct rill_rdma_setting *setting, bool is_longer)
{
    struct rill_rdma rdma;

    fake_reset();
    fake.has_no_device = !has_device;
    fake.transport_keys = "UCX_TCP_RX_SEG_SIZE=64K\nUCX_TCP_TX_SEG_SIZE=8K\n";
    fixture_open(SIMULATED, NULL, NULL);
    options.ucx = &fake_ucx;
    options.settings = setting;
    options.setting_count = setting ? 1 : 0;
    expect_eq(rill_rdma_open(&rdma, &options), 0);
    ck_assert_uint_eq(rdma.eager_size,
                      is_longer ? RILL_RDMA_EAGER_SIZE_OF_TCP : RILL_RDMA_EAGER_SIZE);
    rill_rdma_close(&rdma);
    fixture_close();
}

START_TEST(tcp_is_alone_where_there_is_no_device_and_nobody_wants_more)
{
    static const struct {
        struct rill_rdma_setting setting;
        bool is_longer;
    } cases[] = {
        {{"TLS", "tcp"}, true},
        {{"UCX_TLS", "tcp,self"}, true},
        {{"TLS", "self,tcp"}, true},
        {{"TLS", "tcp,sm"}, false},
        {{"TLS", "all"}, false},
        {{"TLS", "^sm"}, false},
        {{"TLS", "tc"}, false},
        {{"TLS", "tcp,rc"}, false},
        {{"TCP_RX_SEG_SIZE", "32K"}, false}, /* they would not fit */
        {{"TCP_TX_SEG_SIZE", "8K"}, false},
    };
    const struct rill_rdma_options plain = {0}, shared = {.shared_memory = true};

    expect_at_once(false, plain, NULL, true);
    expect_at_once(true, plain, NULL, false);
    expect_at_once(false, shared, NULL, false);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_at_once(i % 2, plain, &cases[i].setting, cases[i].is_longer);
    expect_at_once(false, shared, &cases[0].setting, false);
    setenv("UCX_TLS", "tcp,self", 1);
    expect_at_once(true, plain, NULL, true);
    expect_at_once(true, plain, &cases[3].setting, false); /* what is said in code is stronger */
    unsetenv("UCX_TLS");
}
END_TEST

START_TEST(tcp_alone_and_shared_memory_exclude_each_other)
{
    struct rill_rdma rdma;

    fake_reset();
    fixture_open(SIMULATED, NULL, NULL);
    expect_eq(rill_rdma_open(&rdma, &(struct rill_rdma_options){.ucx = &fake_ucx,
                                                                .tcp_only = true,
                                                                .shared_memory = true}),
              -EINVAL);
    expect(strstr(rdma.why.text, "tcp_only and shared_memory") != NULL);
    fixture_close();
}
END_TEST

START_TEST(no_memory_of_a_peer_is_put_to_over_tcp_unless_the_user_says_so)
{
    static const char key[] = "UCX_TCP_PUT_ENABLE";
    const struct rill_rdma_setting own = {"TCP_PUT_ENABLE", "y"};
    struct rill_rdma_options options = {.long_segments = true};

    expect_told(key, 13, "UCX_TCP_PUT_ENABLE=y\n", options, "n");
    expect_told(key, 19, "UCX_TCP_PUT_ENABLE=y\n", options, "n");
    options.settings = &own;
    options.setting_count = 1;
    expect_told(key, 13, "UCX_TCP_PUT_ENABLE=y\n", options, "y");
    setenv(key, "try", 1);
    expect_told(key, 13, "UCX_TCP_PUT_ENABLE=y\n", (struct rill_rdma_options){0}, "try");
    unsetenv(key);
}
END_TEST

START_TEST(a_single_copy_is_for_those_who_ask_and_share_memory)
{
    static const char key[] = "UCX_CMA_MEMORY_INVALIDATE";
    static const char transport_keys[] = "UCX_CMA_MEMORY_INVALIDATE=n\n";
    struct rill_rdma_options options = {.shared_memory = true, .long_segments = true};

    expect_told(key, 13, transport_keys, options, "-");
    options = (struct rill_rdma_options){.single_copy = true};
    expect_told(key, 13, transport_keys, options, "-");
    options.shared_memory = true;
    expect_told(key, 13, transport_keys, options, "y");
    expect_told(key, 13, NULL, options, "-"); /* a UCX without CMA */
}
END_TEST

/* As a line of the environment would have it, a mistake that is easily made. */
static void expect_eager(struct rill_rdma_options options, uint32_t size)
{
    struct rill_rdma rdma;

    fixture_open(SIMULATED, NULL, NULL);
    options.ucx = &fake_ucx;
    expect_eq(rill_rdma_open(&rdma, &options), 0);
    ck_assert_uint_eq(rdma.eager_size, size);
    rill_rdma_close(&rdma);
    fixture_close();
}

/* Credit counts by it, and a threshold that it does not know of would make it count too little. */
START_TEST(from_which_size_on_messages_stay_with_their_sender_is_what_ucx_is_told)
{
    static const struct {
        const char *value;
        uint32_t size;
    } cases[] = {{"64K", 64 << 10},    {"1M", 1 << 20},    {"2G", UINT32_C(2) << 30},
                 {"12345", 12345},     {"0", 0},           {"4G", UINT32_MAX},
                 {"auto", UINT32_MAX}, {"inf", UINT32_MAX}};
    struct rill_rdma_setting own = {.key = "UCX_RNDV_THRESH"};
    struct rill_rdma_options options = {.settings = &own, .setting_count = 1};

    fake_reset();
    expect_eager((struct rill_rdma_options){0}, RILL_RDMA_EAGER_SIZE);
    expect_eager((struct rill_rdma_options){.tcp_only = true}, RILL_RDMA_EAGER_SIZE_OF_TCP);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        own.value = cases[i].value;
        expect_eager(options, cases[i].size);
        setenv("UCX_RNDV_THRESH", cases[i].value, 1);
        expect_eager((struct rill_rdma_options){0}, cases[i].size);
        own.value = "100"; /* what is said in code is stronger */
        expect_eager(options, 100);
        unsetenv("UCX_RNDV_THRESH");
    }
}
END_TEST

START_TEST(a_key_with_an_equals_sign_is_no_key)
{
    const struct rill_rdma_setting setting = {"SOMETHING_1=2", "3"};
    const struct rill_rdma_options options = {
        .ucx = &fake_ucx, .settings = &setting, .setting_count = 1};
    struct rill_rdma rdma;

    fake_reset();
    fixture_open(SIMULATED, NULL, NULL);
    expect_eq(rill_rdma_open(&rdma, &options), -EINVAL);
    expect(strstr(rdma.why.text, "SOMETHING_1=2") != NULL);
    expect_eq(fake.contexts + fake.workers + fake.configs, 0);
    fixture_close();
}
END_TEST

/* The call of open_memstream or of rill's own realloc that fails, from 1; 0: none. */
static unsigned failing_call, calls;

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_realloc(void *memory, size_t size)
{
    return ++calls == failing_call ? NULL : __real_realloc(memory, size);
}

FILE *open_memstream(char **text, size_t *size)
{
    static FILE *(*real)(char **, size_t *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "open_memstream");
    if (++calls == failing_call) {
        errno = ENOMEM;
        return NULL;
    }
    return real(text, size);
}

/* A default that was not set for want of memory would be missed by nobody. */
START_TEST(opening_for_which_there_is_no_memory_fails)
{
    const struct rill_rdma_options options = {.ucx = &fake_ucx};
    struct rill_rdma rdma;
    unsigned needed;

    fake_reset();
    fixture_open(SIMULATED, NULL, NULL);
    calls = 0;
    expect_eq(rill_rdma_open(&rdma, &options), 0);
    rill_rdma_close(&rdma);
    needed = calls;
    expect(needed > 1);
    for (failing_call = 1; failing_call <= needed; failing_call++) {
        calls = 0;
        expect_eq(rill_rdma_open(&rdma, &options), -ENOMEM);
        expect(strstr(rdma.why.text, "no memory") != NULL);
        expect_eq(fake.contexts + fake.workers + fake.configs, 0);
    }
    failing_call = 0;
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {opening_for_which_there_is_no_memory_fails, IN_SIMULATED},
        {addresses_that_an_old_ucx_checks_wrongly_are_not_checked, IN_SIMULATED},
        {a_new_ucx_is_left_alone, IN_SIMULATED},
        {a_ucx_that_does_not_know_the_setting_is_left_alone, IN_SIMULATED},
        {what_the_user_wants_checked_is_checked, IN_SIMULATED},
        {segments_are_long_over_tcp_but_for_bare_endpoints_that_do_not_ask, IN_SIMULATED},
        {longer_segments_of_shared_memory_are_for_those_who_ask_and_share_it, IN_SIMULATED},
        {segments_are_those_in_effect_where_a_way_is_used, IN_SIMULATED},
        {without_shared_memory_it_is_told_how_much_there_is, IN_SIMULATED},
        {longer_messages_go_at_once_where_there_is_tcp_alone, IN_SIMULATED},
        {tcp_is_alone_where_there_is_no_device_and_nobody_wants_more, IN_SIMULATED},
        {tcp_alone_and_shared_memory_exclude_each_other, IN_SIMULATED},
        {no_memory_of_a_peer_is_put_to_over_tcp_unless_the_user_says_so, IN_SIMULATED},
        {a_single_copy_is_for_those_who_ask_and_share_memory, IN_SIMULATED},
        {from_which_size_on_messages_stay_with_their_sender_is_what_ucx_is_told, IN_SIMULATED},
        {a_key_with_an_equals_sign_is_no_key, IN_SIMULATED},
    };

    return fixture_main("rdma config", cases, sizeof cases / sizeof *cases);
}
