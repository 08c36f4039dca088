/* SPDX-License-Identifier: Apache-2.0 */
/* barrier.c - three players wait for each other after each round. */
#include "runtime/barrier.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/sleep.h"

#include <stdio.h>

enum { PLAYERS = 3, ROUNDS = 2 };

struct player {
    struct rill_task task;
    struct rill_meet meet;
    struct rill_sleep move;
    struct rill_barrier *round;
    int number, i;
};

static enum rill_poll player_poll(struct rill_future *self, struct rill_task *task)
{
    struct player *player = rill_container_of(self, struct player, task.future);

    RILL_BEGIN();
    for (player->i = 1; player->i <= ROUNDS; player->i++) {
        RILL_AWAIT(rill_sleep(&player->move, player->number * 10 * RILL_MILLISECOND));
        printf("round %d: player %d has moved\n", player->i, player->number);
        RILL_AWAIT(rill_barrier_meet(player->round, &player->meet));
        if (player->meet.result < 0)
            RILL_RETURN(player->meet.result);
        if (player->meet.result == 1)
            printf("round %d is over, says player %d\n", player->i, player->number);
    }
    RILL_END();
}

struct program {
    struct rill_future future;
    struct rill_barrier round;
    struct player players[PLAYERS];
    struct rill_scope scope;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    rill_barrier_init(&program->round, PLAYERS);
    rill_scope_init(&program->scope, RILL_SCOPE_TOGETHER);
    for (int i = 0; i < PLAYERS; i++) {
        program->players[i].round = &program->round;
        program->players[i].number = i + 1;
        rill_scope_spawn(&program->scope, &program->players[i].task, player_poll);
    }
    RILL_AWAIT(rill_scope_join(&program->scope)); /* if it is cancelled, so are they */
    rill_barrier_finish(&program->round);
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
