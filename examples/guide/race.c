/* SPDX-License-Identifier: Apache-2.0 */
/* race.c - asks three replicas for the same thing and takes the first good answer; then two, the
 * second of them only if it has to. */
#include "runtime/race.h"
#include "io/program.h"
#include "runtime/notify.h"
#include "runtime/select.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct replica {
    struct rill_future future;
    struct rill_sleep work;
    int64_t takes_ns, answer;
};

static enum rill_poll replica_poll(struct rill_future *self, struct rill_task *task)
{
    struct replica *replica = rill_container_of(self, struct replica, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&replica->work, replica->takes_ns));
    RILL_RETURN(replica->work.result < 0 ? replica->work.result : replica->answer);
    RILL_END();
}

static struct rill_future *ask(struct replica *replica)
{
    return rill_future_init(&replica->future, replica_poll);
}

struct program {
    struct rill_future future;
    struct replica broken, near, far;
    struct rill_race race;
    struct rill_future *replicas[3];

    struct rill_future first, second;
    bool has_failed; /* the first */
    struct rill_notify failed;
    struct rill_wait wait;
    struct rill_sleep patience;
    struct rill_select either;
    struct rill_future *choices[2];
};

static enum rill_poll first_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, first);

    RILL_BEGIN();
    RILL_AWAIT(ask(&program->broken));
    program->has_failed = program->broken.future.result < 0;
    if (program->has_failed)
        rill_notify_one(&program->failed);
    RILL_RETURN(program->broken.future.result);
    RILL_END();
}

/* Begins when the first has failed, or has taken long. */
static enum rill_poll second_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, second);

    RILL_BEGIN();
    if (!program->has_failed)
        RILL_AWAIT(rill_select(&program->either,
                               RILL_FUTURES(program->choices,
                                            rill_sleep(&program->patience, 10 * RILL_SECOND),
                                            rill_notify_wait(&program->failed, &program->wait))));
    if (program->either.result < 0) /* cancelled */
        RILL_RETURN(program->either.result);
    printf("the first %s\n", program->has_failed ? "has failed" : "is slow");
    RILL_AWAIT(ask(&program->near));
    RILL_RETURN(program->near.future.result);
    RILL_END();
}

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_race_to_success(&program->race,
                                    RILL_FUTURES(program->replicas, ask(&program->broken),
                                                 ask(&program->near), ask(&program->far))));
    printf("replica %d says %d\n", program->race.winner, (int)program->race.result);
    printf("the broken one: %s\n", strerror((int)-program->broken.future.result));
    printf("the far one: %s\n", strerror((int)-program->far.future.result));

    RILL_AWAIT(rill_race(&program->race, RILL_FUTURES(program->replicas, ask(&program->broken),
                                                      ask(&program->near))));
    printf("the first of two is number %d: %s\n", program->race.winner,
           strerror((int)-program->race.result));

    rill_notify_init(&program->failed);
    RILL_AWAIT(rill_race_to_success(&program->race,
                                    RILL_FUTURES(program->replicas,
                                                 rill_future_init(&program->first, first_poll),
                                                 rill_future_init(&program->second, second_poll))));
    printf("number %d says %d\n", program->race.winner, (int)program->race.result);
    RILL_END();
}

int main(void)
{
    static struct program program = {
        .broken = {.takes_ns = 5 * RILL_MILLISECOND, .answer = -EIO},
        .near = {.takes_ns = 20 * RILL_MILLISECOND, .answer = 42},
        .far = {.takes_ns = 10 * RILL_SECOND, .answer = 42},
    };

    return rill_main(rill_future_init(&program.future, program_poll));
}
