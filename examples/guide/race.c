/* SPDX-License-Identifier: Apache-2.0 */
/* race.c - asks three replicas for the same thing and takes the first good answer. */
#include "runtime/race.h"
#include "io/program.h"
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
};

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
