/* SPDX-License-Identifier: Apache-2.0 */
/* test_resolve.c - look-ups that take long, are given up, or outlive who asked.
 *
 * This program has a getaddrinfo of its own, which the test holds up. */
#include "net/resolve.h"

#include "io/blocking.h"
#include "net/connect.h"
#include "tests/fixture.h"
#include "tests/threads.h"

#include <errno.h>
#include <netdb.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static struct gate gate;
static int looking_up, freed; /* atomic */

static int many;                 /* addresses of "many", the first of which is of no use */
static int broken, broken_errno; /* what is said of "broken" */

/* The others are two of IPv6 for each of IPv4. */
static struct addrinfo *find_many(void)
{
    static const struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct {
        struct addrinfo info;
        struct rill_address address;
    } *all = calloc((size_t)many, sizeof *all);

    if (!all)
        return NULL;
    for (int i = 0; i < many; i++) {
        char host[32];

        snprintf(host, sizeof host, i % 3 ? "2001:db8::%d" : "192.0.2.%d", i);
        rill_address_parse(&all[i].address, host, 0);
        all[i].info.ai_addr = i ? &all[i].address.any : (struct sockaddr *)(uintptr_t)&path;
        all[i].info.ai_addrlen = i ? all[i].address.size : sizeof path;
        all[i].info.ai_next = i + 1 < many ? &all[i + 1].info : NULL;
    }
    return &all->info;
}

/* Every name but "none", "many", "broken" and "ours" has the address 127.0.0.1, once the gate is
 * open. That of "ours" is left out if it has to be one that others could reach, as glibc does. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in address;
    } * answer;

    (void)service;
    __atomic_add_fetch(&looking_up, 1, __ATOMIC_SEQ_CST);
    gate_pass(&gate);
    if (hints->ai_socktype != SOCK_STREAM) /* each address would come once for each kind */
        return EAI_SOCKTYPE;
    if (strcmp(name, "none") == 0)
        return EAI_NONAME;
    if (strcmp(name, "ours") == 0 && (hints->ai_flags & AI_ADDRCONFIG))
        return EAI_NONAME;
    if (strcmp(name, "broken") == 0) {
        errno = broken_errno;
        return broken;
    }
    if (strcmp(name, "many") == 0) {
        *found = find_many();
        return *found ? 0 : EAI_MEMORY;
    }
    answer = calloc(1, sizeof *answer);
    if (!answer)
        return EAI_MEMORY;
    answer->address.sin_family = AF_INET;
    answer->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    answer->info.ai_addr = (struct sockaddr *)&answer->address;
    answer->info.ai_addrlen = sizeof answer->address;
    *found = &answer->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    free(info);
    __atomic_add_fetch(&freed, 1, __ATOMIC_SEQ_CST);
}

enum { MANY = RILL_RESOLVE_LOOKUPS_MAX + 10 };

static struct rill_resolve resolves[MANY];
static struct background tasks[MANY];

static bool open_runtime(void)
{
    if (!fixture_open(REAL, NULL, NULL))
        return false;
    gate_init(&gate);
    return true;
}

static void start(int i, const char *name)
{
    background_start(&tasks[i], rill_resolve(&resolves[i], name, 80));
}

static void until(const int *number, int value)
{
    while (__atomic_load_n(number, __ATOMIC_SEQ_CST) < value)
        sched_yield();
}

START_TEST(an_answer_that_comes_late_is_given_to_who_waits)
{
    if (!open_runtime())
        return;
    start(0, "localhost");
    start(1, "none");
    fixture_turn();
    until(&looking_up, 2);
    gate_open(&gate);
    ck_assert_int_eq(background_end(&tasks[0]), 1);
    ck_assert_uint_eq(rill_address_port(&resolves[0].addresses[0]), 80);
    ck_assert_int_eq(background_end(&tasks[1]), -ENOENT);
    ck_assert_int_eq(freed, 1);
    fixture.keeps_fds = true; /* for as long as the threads need to get rid of them */
    fixture_close();
}
END_TEST

START_TEST(one_that_is_cancelled_while_it_is_looked_up_ends_at_once)
{
    if (!open_runtime())
        return;
    start(0, "localhost");
    fixture_turn();
    until(&looking_up, 1);
    rill_task_cancel(&tasks[0].task);
    fixture_turn();
    ck_assert(rill_task_is_over(&tasks[0].task));
    ck_assert_int_eq(background_end(&tasks[0]), -ECANCELED);
    gate_open(&gate);
    until(&freed, 1); /* by its thread, which has it last */
    fixture.keeps_fds = true;
    fixture_close();
}
END_TEST

START_TEST(a_look_up_may_outlive_the_runtime)
{
    size_t fds = fixture_count_fds();

    if (!open_runtime())
        return;
    start(0, "localhost");
    fixture_turn();
    until(&looking_up, 1);
    rill_task_cancel(&tasks[0].task);
    ck_assert_int_eq(background_end(&tasks[0]), -ECANCELED);
    fixture.keeps_fds = true;
    fixture_close();
    gate_open(&gate);
    until(&freed, 1);
    while (fixture_count_fds() > fds) /* the thread has one until it is done */
        sched_yield();
}
END_TEST

/* The post is on its way when the task gives up; or it is not, and comes too late. */
START_TEST(an_answer_that_crosses_a_cancel_is_freed_once)
{
    for (unsigned i = 0; i < threads_scaled(300); i++) {
        int64_t result;

        if (!open_runtime())
            return;
        freed = 0;
        looking_up = 0;
        start(0, "localhost");
        fixture_turn();
        until(&looking_up, 1);
        gate_open(&gate);
        for (unsigned turns = 0; turns < i % 30; turns++)
            sched_yield();
        rill_task_cancel(&tasks[0].task);
        result = background_end(&tasks[0]);
        ck_assert(result == 1 || result == -ECANCELED);
        fixture.keeps_fds = true;
        fixture_close();
        until(&freed, 1);
        ck_assert_int_eq(freed, 1);
    }
}
END_TEST

START_TEST(more_look_ups_than_threads_wait_in_line_and_can_leave_it)
{
    if (!open_runtime())
        return;
    for (int i = 0; i < MANY; i++)
        start(i, "localhost");
    fixture_turn();
    until(&looking_up, RILL_RESOLVE_LOOKUPS_MAX);
    rill_task_cancel(&tasks[MANY - 1].task); /* which has no thread */
    ck_assert_int_eq(background_end(&tasks[MANY - 1]), -ECANCELED);
    ck_assert_int_eq(looking_up, RILL_RESOLVE_LOOKUPS_MAX);
    gate_open(&gate);
    for (int i = 0; i < MANY - 1; i++)
        ck_assert_int_eq(background_end(&tasks[i]), 1);
    ck_assert_int_eq(looking_up, MANY - 1);
    ck_assert_int_eq(freed, MANY - 1);
    fixture.keeps_fds = true;
    fixture_close();
}
END_TEST

static int64_t five(void *unused)
{
    (void)unused;
    return 5;
}

START_TEST(names_that_are_stuck_keep_no_file_waiting)
{
    struct rill_blocking work = {0};

    if (!open_runtime())
        return;
    for (int i = 0; i < MANY; i++)
        start(i, "localhost");
    fixture_turn();
    until(&looking_up, RILL_RESOLVE_LOOKUPS_MAX);
    ck_assert_int_eq(await(rill_blocking(&work, NULL, five, NULL)), 5);
    gate_open(&gate);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(background_end(&tasks[i]), 1);
    fixture.keeps_fds = true;
    fixture_close();
}
END_TEST

START_TEST(an_error_of_the_system_that_says_nothing_is_an_error)
{
    static struct rill_connect connect;
    static struct rill_tcp peer;

    if (!open_runtime())
        return;
    gate_open(&gate);
    broken = EAI_SYSTEM; /* as glibc does where a module of its own fails */
    ck_assert_int_eq(await(rill_resolve(&resolves[0], "broken", 80)), -EIO);
    ck_assert_int_eq(await(rill_tcp_connect(&peer, &connect, "broken", 80)), -EIO);
    ck_assert(!peer.is_open);
    fixture.keeps_fds = true;
    fixture_close();
}
END_TEST

START_TEST(each_error_of_a_look_up_has_its_errno)
{
    const struct {
        int error, result;
    } cases[] = {
        {EAI_NONAME, -EMFILE}, {EAI_NODATA, -ENOENT}, {EAI_ADDRFAMILY, -ENOENT},
        {EAI_FAIL, -ENOENT},   {EAI_AGAIN, -EAGAIN},  {EAI_MEMORY, -ENOMEM},
        {EAI_FAMILY, -EIO},    {EAI_SYSTEM, -EMFILE},
    };

    if (!open_runtime())
        return;
    gate_open(&gate);
    broken_errno = EMFILE;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        broken = cases[i].error;
        ck_assert_int_eq(await(rill_resolve(&resolves[0], "broken", 80)), cases[i].result);
    }
    broken = EAI_NONAME;
    broken_errno = ENOENT; /* of a file that need not be there */
    ck_assert_int_eq(await(rill_resolve(&resolves[0], "broken", 80)), -ENOENT);
    fixture.keeps_fds = true;
    fixture_close();
}
END_TEST

START_TEST(an_address_that_only_this_machine_reaches_is_found)
{
    if (!open_runtime())
        return;
    gate_open(&gate);
    ck_assert_int_eq(await(rill_resolve(&resolves[0], "ours", 80)), 1);
    fixture.keeps_fds = true;
    fixture_close();
}
END_TEST

START_TEST(all_addresses_of_a_name_are_found_in_order_as_far_as_there_is_room)
{
    if (!open_runtime())
        return;
    gate_open(&gate);
    many = 1;
    ck_assert_int_eq(await(rill_resolve(&resolves[0], "many", 80)), -ENOENT);
    many = RILL_RESOLVE_ADDRESSES_MAX + 4;
    ck_assert_int_eq(await(rill_resolve(&resolves[0], "many", 80)), RILL_RESOLVE_ADDRESSES_MAX);
    for (int i = 1; i <= RILL_RESOLVE_ADDRESSES_MAX; i++) {
        const struct rill_address *found = &resolves[0].addresses[i - 1];
        char want[64], text[RILL_ADDRESS_TEXT_MAX];

        snprintf(want, sizeof want, i % 3 ? "[2001:db8::%d]:80" : "192.0.2.%d:80", i);
        ck_assert_str_eq(rill_address_format(found, text), want);
        ck_assert_uint_eq(found->size, i % 3 ? sizeof found->ip6 : sizeof found->ip4);
    }
    fixture.keeps_fds = true;
    fixture_close();
}
END_TEST

START_TEST(a_number_needs_no_thread)
{
    if (!open_runtime())
        return;
    ck_assert_int_eq(await(rill_resolve(&resolves[0], "127.0.0.1", 80)), 1);
    ck_assert_int_eq(looking_up, 0);
    ck_assert_ptr_null(fixture.runtime->reactor.remote);
    fixture_close();
}
END_TEST

int main(void)
{
    const struct fixture_case cases[] = {
        {an_answer_that_comes_late_is_given_to_who_waits, IN_REAL},
        {one_that_is_cancelled_while_it_is_looked_up_ends_at_once, IN_REAL},
        {a_look_up_may_outlive_the_runtime, IN_REAL},
        {an_answer_that_crosses_a_cancel_is_freed_once, IN_REAL},
        {more_look_ups_than_threads_wait_in_line_and_can_leave_it, IN_REAL},
        {names_that_are_stuck_keep_no_file_waiting, IN_REAL},
        {an_error_of_the_system_that_says_nothing_is_an_error, IN_REAL},
        {each_error_of_a_look_up_has_its_errno, IN_REAL},
        {an_address_that_only_this_machine_reaches_is_found, IN_REAL},
        {all_addresses_of_a_name_are_found_in_order_as_far_as_there_is_room, IN_REAL},
        {a_number_needs_no_thread, IN_REAL},
    };

    return fixture_main("resolve", cases, sizeof cases / sizeof *cases);
}
