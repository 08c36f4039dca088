/* SPDX-License-Identifier: Apache-2.0 */
/* rig.c - sets up the runtime of a case, moves it on, and catches its panics. */
#include "tests/rig.h"

#include "runtime/random.h"
#include "tests/limit.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TURNS_MAX = 1000000, /* after these a case is taken to turn in circles */
};

struct rig rig;

void rig_start(void)
{
    rig.seed = 0;
    manual_driver_init(&rig.driver);
    ck_assert_int_eq(rill_executor_init(&rig.executor, &rig.driver.driver), 0);
    rig.executor.polls_soon = 0;
    rill_random_seed(0);
}

void rig_end(void)
{
    ck_assert_uint_eq(rig.executor.tasks_alive, 0);
    ck_assert_uint_eq(rig.executor.pool.in_use, 0);
    ck_assert_uint_eq(rig.executor.wheel.armed, 0);
    rill_executor_finish(&rig.executor);
}

int rig_main(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *cases = tcase_create(name);
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, cases);
    tcase_set_timeout(cases, CASE_LIMIT_S);
    tcase_add_checked_fixture(cases, rig_start, rig_end);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(cases, tests[i]);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* With sanitizers a seed takes ten times as long. All seeds run without them; what sanitizers are
 * for shows in many. */
unsigned rig_scaled(unsigned count)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    enum { SLOWER = 3 };
#else
    enum { SLOWER = 1 };
#endif
    unsigned slower = getenv("TEST_UNDER_VALGRIND") ? 20 : SLOWER;

    return (count + slower - 1) / slower;
}

void rig_wait(int64_t until_ns)
{
    int error = rill_executor_wait(&rig.executor, until_ns);

    if (error)
        ck_abort_msg("the driver failed: %d", error);
}

void rig_turn(void)
{
    rill_executor_run(&rig.executor);
    rig_wait(RILL_NO_WAIT);
}

void rig_settle(void)
{
    unsigned turns = 0;

    do {
        rig_turn();
        if (++turns > TURNS_MAX)
            ck_abort_msg("the tasks do not settle");
    } while (rig.executor.ready_count > 0);
}

void rig_advance(int64_t by_ns)
{
    rig.driver.now_ns += by_ns;
    rig.executor.now_is_known = false; /* a case may have asked for it */
    rig_settle();
}

int64_t rig_finish(const struct rill_task *task)
{
    for (unsigned turns = 0;; turns++) {
        rill_executor_run(&rig.executor);
        if (rill_task_is_over(task))
            return task->future.result;
        rig_wait(RILL_NEVER);
        if (turns > TURNS_MAX)
            ck_abort_msg("the task does not end");
    }
}

const char *rig_abort_message(void (*mistake)(void))
{
    static char message[16384];
    FILE *said = tmpfile();
    int status;
    pid_t child;

    ck_assert_ptr_nonnull(said);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};

        setrlimit(RLIMIT_CORE, &no_core);
        dup2(fileno(said), STDERR_FILENO);
        mistake();
        _exit(EXIT_SUCCESS);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    rewind(said);
    message[fread(message, 1, sizeof message - 1, said)] = '\0';
    fclose(said);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT,
                  "it did not abort, its status is %#x, and it said: %s", (unsigned)status,
                  message);
    return message;
}

void rig_expect_text(const char *text, const char *part)
{
    ck_assert_msg(strstr(text, part), "there is no \"%s\" in: %s", part, text);
}

/* xorshift64*, which needs a state that is not 0. */
uint64_t rig_random(uint64_t *state, uint64_t bound)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 1) % bound;
}

void rig_disturb(uint64_t *random)
{
    struct rill_link *parked = &rig.executor.parked, *ready = &rig.executor.ready, *next;
    struct rill_link shuffled;

    for (struct rill_link *link = parked->next; link != parked; link = next) {
        next = link->next;
        if (rig_random(random, 4) == 0)
            rill_task_wake(rill_container_of(link, struct rill_task, queue));
    }
    rill_list_init(&shuffled);
    while (!rill_list_is_empty(ready)) {
        struct rill_link *first = rill_list_pop(ready);

        if (rig_random(random, 2))
            rill_list_append(&shuffled, first);
        else
            rill_list_prepend(&shuffled, first);
    }
    rill_list_take(ready, &shuffled);
    rig.executor.polls_soon = rig_random(random, 2) ? rig_random(random, RILL_TURN_POLLS_SOON) : 0;
}

enum rill_poll runner_poll(struct rill_future *self, struct rill_task *task)
{
    struct runner *runner = rill_container_of(self, struct runner, task.future);

    runner->polls++;
    RILL_BEGIN();
    RILL_AWAIT(runner->first);
    if (!runner->then)
        RILL_RETURN(runner->first->result);
    RILL_AWAIT(runner->then);
    RILL_RETURN(runner->then->result);
    RILL_END();
}

void runner_start(struct runner *runner, struct rill_future *first, struct rill_future *then)
{
    runner->first = first;
    runner->then = then;
    runner->polls = 0;
    rill_task_spawn(&runner->task, runner_poll);
}
