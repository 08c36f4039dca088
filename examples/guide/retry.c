/* SPDX-License-Identifier: Apache-2.0 */
/* retry.c - asks a server that is starting until it answers, and does not wait for one that
 * has gone. */
#include "runtime/retry.h"
#include "io/program.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct program {
    struct rill_future future;
    struct rill_retry retry;
    struct rill_future asking;
    struct rill_sleep network;
    unsigned refusals; /* so often the server refuses */
    bool has_answered;
};

static enum rill_poll ask_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, asking);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&program->network, RILL_MILLISECOND));
    if (program->network.result < 0)
        RILL_RETURN(program->network.result);
    if (program->retry.attempts <= program->refusals) {
        printf("attempt %u: refused\n", program->retry.attempts);
        RILL_RETURN(-ECONNREFUSED);
    }
    program->has_answered = true;
    RILL_RETURN(42);
    RILL_END();
}

static struct rill_future *ask(struct rill_retry *retry)
{
    struct program *program = rill_container_of(retry, struct program, retry);

    return rill_future_init(&program->asking, ask_poll);
}

static bool may_be_starting(struct rill_retry *retry, int64_t error)
{
    const struct program *program = rill_container_of(retry, struct program, retry);

    return error == -ECONNREFUSED && !program->has_answered;
}

static const struct rill_retry_policy policy = {
    .attempts_max = 5,
    .first_ns = 5 * RILL_MILLISECOND,
    .max_ns = 50 * RILL_MILLISECOND,
    .limit_ns = 10 * RILL_SECOND,
    .is_worth = may_be_starting,
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    program->refusals = 2;
    RILL_AWAIT(rill_retry(&program->retry, &policy, ask));
    printf("the answer is %d\n", (int)program->retry.result);
    RILL_AWAIT(rill_retry(&program->retry, &policy, ask));
    printf("given up after %u: %s\n", program->retry.attempts,
           strerror((int)-program->retry.result));
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
