/* SPDX-License-Identifier: Apache-2.0 */
/* test_combinators.c - random trees of combinators over latches, against a model.
 *
 * A node wraps a combinator or a latch. It notes when its future ended, and with
 * what; from these notes about its children follows what the result of each
 * combinator has to be. When a node has ended, no latch below it is in flight. A seed
 * that failed is run again by
 *
 *     SIM_SEED=17 SIM_SEEDS=1 make test NAME=combinators */
#include "runtime/any.h"
#include "runtime/join_all.h"
#include "runtime/object_pool.h"
#include "runtime/once.h"
#include "runtime/panic.h"
#include "runtime/race.h"
#include "runtime/retry.h"
#include "runtime/scope.h"
#include "runtime/select.h"
#include "runtime/shield.h"
#include "runtime/timeout.h"
#include "tests/fixture.h"
#include "tests/latch.h"
#include "tests/rig.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 4, CHILDREN_MAX = 3, NODES_MAX = 128, STEPS_MAX = 60, TRIES_MAX = 1000 };

enum kind {
    LATCH,
    SELECT,
    RACE,
    RACE_TO_SUCCESS,
    JOIN_ALL,
    TRY_JOIN_ALL,
    TIMEOUT,
    SHIELD,
    ANY,
    SCOPE_INDEPENDENT,
    SCOPE_TOGETHER,
    KINDS,
};

struct node {
    struct rill_future future; /* what the parent awaits */
    enum kind kind;
    struct node *children[CHILDREN_MAX];
    unsigned count;
    bool is_shielded;              /* below a shield */
    unsigned first_latch, latches; /* those at or below it */
    struct rill_future *inner;     /* what it wraps */

    unsigned ended; /* in this order, from 1 on, or 0 */
    bool cancelled_at_end;

    struct latch latch;
    struct rill_future *futures[CHILDREN_MAX];
    struct rill_select select;
    struct rill_race race;
    struct rill_join_all all;
    struct rill_shield shield;
    struct rill_timeout timeout;
    int64_t limit_ns, begun_ns;
    struct rill_future body; /* of any and of a scope */
    struct rill_any any;
    unsigned turns, turns_max;
    bool given[CHILDREN_MAX];
    struct rill_scope scope;
    struct runner tasks[CHILDREN_MAX];
    unsigned spawned, spawned_at_once;
};

static struct node nodes[NODES_MAX];
static struct latch *latches[NODES_MAX];
static struct node *latch_nodes[NODES_MAX];
static unsigned node_count, latch_count, ended_count;
static struct runner root;
static uint64_t state;

static unsigned pick(unsigned bound)
{
    return (unsigned)rig_random(&state, bound);
}

__attribute__((format(printf, 2, 3))) static void demand(bool condition, const char *format, ...)
{
    char what[200];
    va_list arguments;

    if (condition)
        return;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    ck_abort_msg("%s (seed %llu)", what, rig.seed);
}

/* ---- the model ---- */

/* The child that ended first among those that count for the node, or -1. */
static int first_of(const struct node *node, bool (*counts)(const struct node *child))
{
    int first = -1;

    for (unsigned i = 0; i < node->count; i++)
        if (node->children[i]->ended && counts(node->children[i]) &&
            (first < 0 || node->children[i]->ended < node->children[first]->ended))
            first = (int)i;
    return first;
}

static bool has_won(const struct node *child)
{
    return child->future.result != -ECANCELED || !child->cancelled_at_end;
}

static bool has_succeeded(const struct node *child)
{
    return child->future.result >= 0;
}

static bool has_not_succeeded(const struct node *child)
{
    return child->future.result < 0;
}

static bool has_failed(const struct node *child)
{
    return child->future.result < 0 && child->future.result != -ECANCELED;
}

static bool was_cut_short(const struct node *child)
{
    return child->future.result == -ECANCELED;
}

static int64_t result_of_child(const struct node *node, int child, int64_t otherwise)
{
    return child < 0 ? otherwise : node->children[child]->future.result;
}

static int64_t last_result(const struct node *node)
{
    const struct node *last = node->children[0];

    for (unsigned i = 1; i < node->count; i++)
        if (node->children[i]->ended > last->ended)
            last = node->children[i];
    return last->future.result;
}

static bool result_is_right(const struct node *node)
{
    int64_t result = node->future.result;
    int64_t of_child = node->count > 0 ? node->children[0]->future.result : 0;
    int first;

    switch (node->kind) {
    case LATCH:
        return node->latch.over;
    case SELECT:
        first = first_of(node, has_won);
        return result == (first < 0 ? -ECANCELED : first);
    case RACE:
        first = first_of(node, has_won);
        return node->race.winner == first && result == result_of_child(node, first, -ECANCELED);
    case RACE_TO_SUCCESS:
        first = first_of(node, has_succeeded);
        return node->race.winner == first &&
               result == result_of_child(node, first, last_result(node));
    case JOIN_ALL:
    case TRY_JOIN_ALL:
        first = first_of(node, has_not_succeeded);
        return node->all.failed == first && result == result_of_child(node, first, 0);
    case TIMEOUT:
        if (result == -ETIMEDOUT && of_child == -ECANCELED)
            return rill_now() - node->begun_ns >= node->limit_ns;
        return result == of_child;
    case SHIELD:
        return result == of_child;
    case ANY:
        return result == 0;
    case SCOPE_INDEPENDENT:
    case SCOPE_TOGETHER:
        first = first_of(node, has_failed);
        if (first >= 0)
            return result == result_of_child(node, first, 0);
        return result == 0 || (result == -ECANCELED && first_of(node, was_cut_short) >= 0);
    case KINDS:
        break;
    }
    return false;
}

static enum rill_poll node_poll(struct rill_future *self, struct rill_task *task)
{
    struct node *node = rill_container_of(self, struct node, future);

    demand(!node->ended, "a node of kind %d was polled after its end", node->kind);
    if (node->begun_ns == 0)
        node->begun_ns = rill_now();
    if (node->inner->poll(node->inner, task) == RILL_PENDING)
        return RILL_PENDING;
    node->future.result = node->inner->result;
    node->cancelled_at_end = rill_task_is_cancelled(task);
    node->ended = ++ended_count;
    demand(result_is_right(node), "a node of kind %d has the result %lld", node->kind,
           (long long)node->future.result);
    for (unsigned i = node->first_latch; i < node->first_latch + node->latches; i++)
        demand(!latches[i]->begun || latches[i]->over,
               "a node of kind %d has ended, and a latch below it is in flight", node->kind);
    return RILL_READY;
}

/* ---- what is composed of awaits ---- */

static enum rill_poll any_body_poll(struct rill_future *self, struct rill_task *task)
{
    struct node *node = rill_container_of(self, struct node, body);

    RILL_BEGIN();
    rill_any_init(&node->any, node->futures, node->count);
    for (unsigned i = 0; i < node->count; i++)
        node->futures[i] = &node->children[i]->future;
    for (node->turns = 0; node->turns < node->turns_max; node->turns++) {
        RILL_AWAIT(rill_any_next(&node->any));
        if (node->any.result < 0)
            break;
        demand(!node->given[node->any.result], "a future was given out twice");
        demand(node->children[node->any.result]->ended, "a future was given out too early");
        node->given[node->any.result] = true;
    }
    for (unsigned i = 0; i < node->count; i++)
        demand(!node->children[i]->ended || node->given[i] || !has_won(node->children[i]),
               "a result was not given out");
    RILL_AWAIT(rill_any_drain(&node->any, RILL_CANCELLED));
    for (unsigned i = 0; i < node->count; i++) {
        demand(node->children[i]->ended, "a future was not drained");
        node->any.result -= !node->given[i] && node->children[i]->future.result != -ECANCELED;
    }
    RILL_RETURN(node->any.result);
    RILL_END();
}

static void spawn_next(struct node *node)
{
    struct runner *runner = &node->tasks[node->spawned];

    runner->first = &node->children[node->spawned]->future;
    node->spawned++;
    rill_scope_spawn(&node->scope, &runner->task, runner_poll);
}

static enum rill_poll scope_body_poll(struct rill_future *self, struct rill_task *task)
{
    struct node *node = rill_container_of(self, struct node, body);

    RILL_BEGIN();
    rill_scope_init(&node->scope,
                    node->kind == SCOPE_TOGETHER ? RILL_SCOPE_TOGETHER : RILL_SCOPE_INDEPENDENT);
    while (node->spawned < node->spawned_at_once)
        spawn_next(node);
    RILL_AWAIT(rill_scope_join(&node->scope));
    demand(node->scope.alive == 0, "a scope was left with tasks alive");
    for (unsigned i = 0; i < node->spawned; i++)
        demand(rill_task_is_over(&node->tasks[i].task), "a scope was left before its task ended");
    RILL_RETURN(node->scope.result);
    RILL_END();
}

/* ---- random trees ---- */

static struct rill_future *make_inner(struct node *node)
{
    static const int drains[] = {0, 1, 3, LATCH_BY_HAND};

    for (unsigned i = 0; i < node->count; i++)
        node->futures[i] = &node->children[i]->future;
    switch (node->kind) {
    case LATCH:
        node->latch.drain_polls = drains[pick(4)];
        return latch_wait(&node->latch);
    case SELECT:
        return rill_select(&node->select, node->futures, node->count);
    case RACE:
        return rill_race(&node->race, node->futures, node->count);
    case RACE_TO_SUCCESS:
        return rill_race_to_success(&node->race, node->futures, node->count);
    case JOIN_ALL:
        return rill_join_all(&node->all, node->futures, node->count);
    case TRY_JOIN_ALL:
        return rill_try_join_all(&node->all, node->futures, node->count);
    case TIMEOUT:
        node->limit_ns = pick(10) * RILL_MILLISECOND;
        return rill_timeout(&node->timeout, node->limit_ns, node->futures[0]);
    case SHIELD:
        return rill_shield(&node->shield, node->futures[0]);
    case ANY:
        node->turns_max = pick(CHILDREN_MAX + 2);
        return rill_future_init(&node->body, any_body_poll);
    case SCOPE_INDEPENDENT:
    case SCOPE_TOGETHER:
        node->spawned_at_once = pick(node->count + 1);
        return rill_future_init(&node->body, scope_body_poll);
    case KINDS:
        break;
    }
    rill_panic("no kind");
}

/* No cycle: depth goes down to 0, which is a latch. NOLINTNEXTLINE(misc-no-recursion) */
static struct node *build(unsigned depth, bool is_shielded)
{
    struct node *node = &nodes[node_count++];

    node->kind = depth == 0 ? LATCH : (enum kind)pick(KINDS);
    node->is_shielded = is_shielded;
    node->first_latch = latch_count;
    if (node->kind == LATCH) {
        latch_nodes[latch_count] = node;
        latches[latch_count++] = &node->latch;
    } else {
        node->count = 1 + pick(CHILDREN_MAX);
        if (node->kind == TIMEOUT || node->kind == SHIELD)
            node->count = 1;
    }
    for (unsigned i = 0; i < node->count; i++)
        node->children[i] = build(depth - 1, is_shielded || node->kind == SHIELD);
    node->latches = latch_count - node->first_latch;
    node->inner = make_inner(node);
    rill_future_init(&node->future, node_poll);
    return node;
}

/* ---- what the world does to them ---- */

static void open_one(struct latch *latch)
{
    const int64_t results[] = {0, 1, 4096, -EIO, -EPIPE, -ECANCELED};

    if (latch->reason != RILL_NOT_CANCELLED && pick(2))
        latch_let_go(latch);
    else
        latch_open(latch, results[pick(6)]);
}

static void wake_one(void)
{
    struct node *node = &nodes[pick(node_count)];

    if (node->spawned > 0)
        rill_task_wake(&node->tasks[pick(node->spawned)].task);
    else
        rill_task_wake(&root.task);
}

static void spawn_one(void)
{
    struct node *node = &nodes[pick(node_count)];

    if (node->spawned > 0 && node->spawned < node->count && node->scope.alive > 0)
        spawn_next(node);
}

static void cancel_one(void)
{
    enum rill_cancel_reason reason = (enum rill_cancel_reason)(1 + pick(3));
    struct node *node = &nodes[pick(node_count)];

    if (pick(8) == 0)
        rill_executor_cancel_all(&rig.executor, reason);
    else if (pick(3) == 0)
        rill_task_cancel_because(&root.task, reason);
    else if (node->spawned > 0 && pick(2))
        rill_scope_cancel(&node->scope, reason);
    else if (node->spawned > 0)
        rill_task_cancel_because(&node->tasks[pick(node->spawned)].task, reason);
}

static void step(void)
{
    switch (pick(8)) {
    case 0:
        wake_one();
        break;
    case 1:
        spawn_one();
        break;
    case 2:
        if (pick(4) == 0)
            cancel_one();
        break;
    case 3:
        rig.driver.now_ns += pick(4) * RILL_MILLISECOND;
        break;
    case 4:
        rig_settle();
        break;
    case 5:
        rig_turn();
        break;
    default:
        open_one(latches[pick(latch_count)]);
        break;
    }
}

/* Once the root is cancelled and nothing is queued, all that is in flight knows it. */
static void check_that_all_know(void)
{
    for (unsigned i = 0; i < latch_count; i++)
        demand(!latches[i]->begun || latches[i]->over || latch_nodes[i]->is_shielded ||
                   latches[i]->reason != RILL_NOT_CANCELLED,
               "a cancelled tree has a latch that was not told");
}

static void run(uint64_t seed)
{
    unsigned tries = 0;

    rig.seed = seed;
    state = seed * UINT64_C(0x9e3779b97f4a7c15); /* so that neighbours differ */
    memset(nodes, 0, sizeof nodes);
    node_count = latch_count = ended_count = 0;
    runner_start(&root, &build(DEPTH_MAX, false)->future, NULL);
    for (unsigned steps = pick(STEPS_MAX); steps > 0; steps--)
        step();
    if (pick(2)) {
        rill_task_cancel_because(&root.task, RILL_SHUTTING_DOWN);
        rig_settle();
        check_that_all_know();
    }
    while (!rill_task_is_over(&root.task)) {
        demand(tries++ < TRIES_MAX, "the tree does not end");
        open_one(latches[pick(latch_count)]);
        rig_settle();
    }
    demand(rig.executor.tasks_alive == 0, "a task has outlived the tree");
    demand(rig.executor.wheel.armed == 0, "a timer has outlived the tree");
    demand(rill_list_is_empty(&rig.executor.scopes), "a scope has outlived the tree");
}

START_TEST(random_trees_end_with_the_right_results_and_leave_nothing_behind)
{
    uint64_t first, count;

    fixture_seeds(100000, &first, &count);
    for (uint64_t seed = first; seed < first + count; seed++)
        run(seed);
}
END_TEST

/* Combinators that were awaited to their end, and then once more as they are. */
static struct rill_future *again;

static void await_again(void)
{
    runner_start(&root, again, again);
    rig_settle();
}

START_TEST(a_combinator_that_is_awaited_again_after_its_end_says_so)
{
    static struct node node;
    static struct latch latch;
    struct rill_future *const futures[] = {
        rill_select(&node.select, node.futures, 0),
        rill_race(&node.race, node.futures, 0),
        rill_try_join_all(&node.all, node.futures, 0),
        rill_shield(&node.shield, latch_wait(&latch)),
        rill_timeout(&node.timeout, -1, latch_wait(&latch)),
        rill_scope_join(&node.scope),
        rill_any_next(&node.any),
    };

    latch_open(&latch, 0);
    for (size_t i = 0; i < RIG_COUNT(futures); i++) {
        again = futures[i];
        rig_expect_text(rig_abort_message(await_again), "was awaited again after it had ended");
    }
    again = rill_any_drain(&node.any, RILL_CANCELLED);
    rig_expect_text(rig_abort_message(await_again), "was awaited again after it had ended");
}
END_TEST

/* A latch, and a future whose first poll makes a mistake. */
static struct latch quiet;

enum { MISTAKE_LINE = __LINE__ + 11 };

static struct rill_future *never_prepared(void)
{
    rill_panic("not like this");
}

static enum rill_poll mistaken_poll(struct rill_future *self, struct rill_task *task)
{
    RILL_BEGIN();
    RILL_YIELD();
    RILL_AWAIT(never_prepared());
    RILL_END();
}

/* Each of those that poll several futures, over a latch and a future with that poll function. */
enum { SETS = 4 };

static struct rill_future *several(int which, rill_poll_fn *poll)
{
    static struct node node;
    static struct rill_future second;
    struct rill_future *first = latch_wait(&quiet);

    rill_future_init(&second, poll);
    if (which == 0)
        return rill_select(&node.select, RILL_FUTURES(node.futures, first, &second));
    if (which == 1)
        return rill_race(&node.race, RILL_FUTURES(node.futures, first, &second));
    if (which == 2)
        return rill_join_all(&node.all, RILL_FUTURES(node.futures, first, &second));
    rill_any_init(&node.any, node.futures, 2);
    node.futures[0] = first;
    node.futures[1] = &second;
    return rill_any_next(&node.any);
}

static int chosen;

static void be_mistaken(void)
{
    runner_start(&root, several(chosen, mistaken_poll), NULL);
    rig_settle();
}

START_TEST(a_panic_below_a_combinator_names_the_line_of_its_await)
{
    char place[200];

    snprintf(place, sizeof place, "mistaken_poll at %s:%d\n", __FILE__, MISTAKE_LINE);
    for (chosen = 0; chosen < SETS; chosen++)
        rig_expect_text(rig_abort_message(be_mistaken), place);
}
END_TEST

static enum rill_poll patient_poll(struct rill_future *self, struct rill_task *task)
{
    static struct latch latch;

    RILL_BEGIN();
    RILL_AWAIT(latch_wait(&latch));
    RILL_RETURN(latch.result);
    RILL_END();
}

static char *print_root(void)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    ck_assert_ptr_nonnull(out);
    rill_task_print(&root.task, out);
    fclose(out);
    return text;
}

START_TEST(a_task_that_waits_for_several_is_printed_with_the_first_that_is_pending)
{
    static const char *const names[SETS] = {"select", "race", "join of all", "next of any"};

    for (int which = 0; which < SETS; which++) {
        struct rill_future *set = several(which, patient_poll);
        char expected[100], *text;

        runner_start(&root, set, NULL);
        rig_settle();
        text = print_root();
        snprintf(expected, sizeof expected, "  %s\n  latch\n", names[which]);
        rig_expect_text(text, expected);
        free(text);

        if (which < 3) { /* any would leave the other one to be drained */
            latch_open(&quiet, 0);
            rig_settle();
        }
        if (which == 2) { /* which waits for the other as well */
            text = print_root();
            rig_expect_text(text, "  join of all\n  patient_poll at ");
            free(text);
        }
        rill_task_cancel(&root.task);
        rig_settle();
        ck_assert(rill_task_is_over(&root.task));
        ck_assert_ptr_null(set->awaits);
    }
}
END_TEST

/* One that has been told to end and does not let go. */
static struct latch stubborn = {.drain_polls = LATCH_BY_HAND};

static void expect_printed(const char *name)
{
    char expected[200], *text = print_root();

    snprintf(expected, sizeof expected, "  %s\n  latch\n", name);
    rig_expect_text(text, expected);
    free(text);
}

START_TEST(a_timeout_that_has_expired_and_waits_for_its_child_is_printed_as_such)
{
    static struct rill_timeout timeout;

    runner_start(&root, rill_timeout(&timeout, RILL_SECOND, latch_wait(&stubborn)), NULL);
    rig_settle();
    expect_printed("timeout");
    rig_advance(2 * RILL_SECOND);
    expect_printed("timeout, expired: its child was asked to end");
    latch_let_go(&stubborn);
    rig_settle();
    ck_assert_int_eq(timeout.result, -ETIMEDOUT);
}
END_TEST

START_TEST(a_set_that_is_decided_and_waits_for_the_others_is_printed_as_such)
{
    static const char *const names[] = {"select", "race", "race", "join of all"};
    static struct node node;
    static struct latch first;

    for (int which = 0; which < (int)RIG_COUNT(names); which++) {
        char expected[100];

        node.futures[0] = latch_wait(&first);
        node.futures[1] = latch_wait(&stubborn);
        runner_start(&root,
                     which == 0   ? rill_select(&node.select, node.futures, 2)
                     : which == 1 ? rill_race(&node.race, node.futures, 2)
                     : which == 2 ? rill_race_to_success(&node.race, node.futures, 2)
                                  : rill_try_join_all(&node.all, node.futures, 2),
                     NULL);
        rig_settle();
        expect_printed(names[which]);
        latch_open(&first, which == 3 ? -EIO : 0);
        rig_settle();
        snprintf(expected, sizeof expected, "%s, decided: the others were asked to end",
                 names[which]);
        expect_printed(expected);
        latch_let_go(&stubborn);
        rig_settle();
        ck_assert(rill_task_is_over(&root.task));
    }
}
END_TEST

/* Each takes a child, and is given itself or NULL. */
static struct {
    struct rill_timeout timeout;
    struct rill_shield shield;
    struct rill_once once;
    struct rill_once_run run;
    struct rill_retry retry;
    struct rill_select select;
    struct rill_race race;
    struct rill_join_all all;
    struct rill_any any;
    struct rill_future *futures[2];
    struct rill_object_pool pool;
    struct rill_object_pool_take take;
} given;

static bool is_given_itself;

static struct rill_future *itself_or_null(struct rill_future *itself)
{
    return is_given_itself ? itself : NULL;
}

static struct rill_future **one_and(struct rill_future *itself)
{
    given.futures[0] = latch_wait(&quiet);
    given.futures[1] = itself_or_null(itself);
    return given.futures;
}

static struct rill_future *attempt_itself(struct rill_retry *retry)
{
    return itself_or_null(&retry->future);
}

static void limit_itself(void)
{
    rill_timeout(&given.timeout, 1, itself_or_null(&given.timeout.future));
}

static void give_itself_a_deadline(void)
{
    rill_deadline(&given.timeout, 1, itself_or_null(&given.timeout.future));
}

static void shield_itself(void)
{
    rill_shield(&given.shield, itself_or_null(&given.shield.future));
}

static void run_itself_once(void)
{
    rill_once_run(&given.once, &given.run, itself_or_null(&given.run.future));
}

static void retry_itself(void)
{
    static const struct rill_retry_policy policy = {.attempts_max = 1, .first_ns = 1, .max_ns = 1};

    runner_start(&root, rill_retry(&given.retry, &policy, attempt_itself), NULL);
    rig_turn();
}

static void take_itself(void)
{
    rill_object_pool_take(&given.pool, &given.take, itself_or_null(&given.take.future));
}

static void select_itself(void)
{
    rill_select(&given.select, one_and(&given.select.future), 2);
}

static void race_itself(void)
{
    rill_race(&given.race, one_and(&given.race.future), 2);
}

static void join_itself(void)
{
    rill_join_all(&given.all, one_and(&given.all.future), 2);
}

START_TEST(a_combinator_that_is_given_itself_or_nothing_panics)
{
    static void (*const mistakes[])(void) = {
        limit_itself, give_itself_a_deadline, shield_itself, run_itself_once, retry_itself,
        take_itself,  select_itself,          race_itself,   join_itself,
    };

    for (size_t i = 0; i < RIG_COUNT(mistakes); i++) {
        is_given_itself = true;
        rig_expect_text(rig_abort_message(mistakes[i]), "given itself");
        is_given_itself = false;
        rig_expect_text(rig_abort_message(mistakes[i]), "NULL");
    }
}
END_TEST

static void wait_for_any_of_itself(void)
{
    rill_any_init(&given.any, given.futures, 2);
    given.futures[1] = rill_any_next(&given.any);
    runner_start(&root, given.futures[1], NULL);
    rig_turn();
}

static void drain_itself(void)
{
    rill_any_init(&given.any, given.futures, 2);
    given.futures[1] = rill_any_drain(&given.any, RILL_CANCELLED);
    runner_start(&root, given.futures[1], NULL);
    rig_turn();
}

START_TEST(any_that_is_one_of_its_own_futures_panics)
{
    rig_expect_text(rig_abort_message(wait_for_any_of_itself), "given itself");
    rig_expect_text(rig_abort_message(drain_itself), "given itself");
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        random_trees_end_with_the_right_results_and_leave_nothing_behind,
        a_combinator_that_is_awaited_again_after_its_end_says_so,
        a_panic_below_a_combinator_names_the_line_of_its_await,
        a_task_that_waits_for_several_is_printed_with_the_first_that_is_pending,
        a_timeout_that_has_expired_and_waits_for_its_child_is_printed_as_such,
        a_set_that_is_decided_and_waits_for_the_others_is_printed_as_such,
        a_combinator_that_is_given_itself_or_nothing_panics,
        any_that_is_one_of_its_own_futures_panics,
    };

    return rig_main("combinators", tests, RIG_COUNT(tests));
}
