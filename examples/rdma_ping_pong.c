/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_ping_pong.c - two players hit a ball to and fro, by tagged messages:
 *
 *     rdma_ping_pong                      both in this process
 *     rdma_ping_pong 7000                 waits for the other one at a port
 *     rdma_ping_pong 127.0.0.1 7000       plays with who waits there, and begins */
#include "io/program.h"
#include "rdma/listener.h"
#include "rdma/tag.h"
#include "runtime/join_all.h"

#include <stdio.h>
#include <stdlib.h>

enum { HITS = 10000, TO_LEFT = 1, TO_RIGHT = 2 };

/* One player. The ball is a message: how often it is still to be hit, which both sides
 * take to be little-endian. */
struct player {
    struct rill_future future;
    struct rill_rdma_ep ep;
    struct rill_rdma_op send, recv;
    uint64_t tag; /* of messages to it; the other's is the other one */
    uint64_t ball;
    int hits;
};

/* The last hit waits until it was received: closing may overtake what is on its way. */
static struct rill_future *hit(struct player *player)
{
    uint64_t tag = player->tag == TO_LEFT ? TO_RIGHT : TO_LEFT;

    player->ball--;
    player->hits++;
    if (player->ball == 0)
        return rill_rdma_tag_send_sync(&player->ep, &player->send, &player->ball,
                                       sizeof player->ball, tag);
    return rill_rdma_tag_send(&player->ep, &player->send, &player->ball, sizeof player->ball, tag);
}

/* Who has a ball at first begins. */
static enum rill_poll player_poll(struct rill_future *self, struct rill_task *task)
{
    struct player *player = rill_container_of(self, struct player, future);

    RILL_BEGIN();
    for (;;) {
        if (player->ball > 0)
            RILL_AWAIT(hit(player));
        if (player->send.result < 0 || (player->hits > 0 && player->ball == 0))
            break;
        RILL_AWAIT(rill_rdma_tag_recv_from(&player->ep, &player->recv, &player->ball,
                                           sizeof player->ball, player->tag, RILL_RDMA_TAG_EXACT));
        if (player->recv.result != sizeof player->ball || player->ball == 0)
            break;
    }
    RILL_AWAIT(rill_rdma_ep_close(&player->ep));
    RILL_RETURN(player->send.result < 0 ? player->send.result : player->recv.result);
    RILL_END();
}

struct game {
    struct rill_future future;
    struct rill_rdma rdma; /* ends with the runtime */
    struct rill_address address;
    struct rill_rdma_listener listener;
    struct rill_rdma_accept accept;
    struct player left, right;
    struct rill_future *players[2];
    struct rill_join_all both;
    int error;
};

static int game_open(struct game *game)
{
    int error = rill_rdma_open(&game->rdma, &(struct rill_rdma_options){.bare_endpoints = true});

    if (error)
        fprintf(stderr, "no rdma: %s\n", game->rdma.why.text);
    game->left.tag = TO_LEFT;
    game->left.ball = HITS;
    game->right.tag = TO_RIGHT;
    return error;
}

static struct rill_future *play(struct player *player)
{
    return rill_future_init(&player->future, player_poll);
}

static int64_t game_over(const struct game *game, int64_t result)
{
    if (result >= 0)
        printf("left hit the ball %d times, right %d times\n", game->left.hits, game->right.hits);
    return result < 0 ? result : 0;
}

/* ---- both in this process ---- */

static int alone_open(struct game *game)
{
    size_t size;
    int error = game_open(game);

    if (!error)
        error =
            rill_rdma_ep_open(&game->left.ep, &game->rdma, rill_rdma_address(&game->rdma, &size));
    if (!error)
        error =
            rill_rdma_ep_open(&game->right.ep, &game->rdma, rill_rdma_address(&game->rdma, &size));
    return error;
}

static enum rill_poll alone_poll(struct rill_future *self, struct rill_task *task)
{
    struct game *game = rill_container_of(self, struct game, future);

    RILL_BEGIN();
    game->error = alone_open(game);
    if (game->error)
        RILL_RETURN(game->error);
    RILL_AWAIT(rill_join_all(&game->both,
                             RILL_FUTURES(game->players, play(&game->left), play(&game->right))));
    RILL_RETURN(game_over(game, game->both.result));
    RILL_END();
}

/* ---- with another process ---- */

static int waiting_open(struct game *game)
{
    int error = game_open(game);

    if (!error)
        error = rill_rdma_listen(&game->listener, &game->rdma, &game->address);
    if (!error && rill_rdma_listener_address(&game->listener, &game->address) == 0) {
        printf("listening on port %d\n", rill_address_port(&game->address));
        fflush(stdout);
    }
    return error;
}

static enum rill_poll waiting_poll(struct rill_future *self, struct rill_task *task)
{
    struct game *game = rill_container_of(self, struct game, future);

    RILL_BEGIN();
    game->error = waiting_open(game);
    if (game->error)
        RILL_RETURN(game->error);
    RILL_AWAIT(rill_rdma_accept(&game->listener, &game->accept));
    if (game->accept.result == 0)
        game->accept.result = rill_rdma_ep_adopt(&game->right.ep, &game->accept);
    rill_rdma_listener_close(&game->listener);
    if (game->accept.result < 0)
        RILL_RETURN(game->accept.result);
    RILL_AWAIT(play(&game->right));
    RILL_RETURN(game_over(game, game->right.future.result));
    RILL_END();
}

static enum rill_poll joining_poll(struct rill_future *self, struct rill_task *task)
{
    struct game *game = rill_container_of(self, struct game, future);

    RILL_BEGIN();
    game->error = game_open(game);
    if (!game->error)
        game->error = rill_rdma_ep_connect(&game->left.ep, &game->rdma, &game->address);
    if (game->error)
        RILL_RETURN(game->error);
    RILL_AWAIT(play(&game->left));
    RILL_RETURN(game_over(game, game->left.future.result));
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct game game;
    rill_poll_fn *const poll[] = {alone_poll, waiting_poll, joining_poll};

    if (argc > 3) {
        fprintf(stderr, "usage: rdma_ping_pong [[ADDRESS] PORT]\n");
        return 2;
    }
    if (rill_address_parse(&game.address, argc > 2 ? argv[1] : "0.0.0.0",
                           argc > 1 ? (uint16_t)strtoul(argv[argc - 1], NULL, 10) : 0) < 0) {
        fprintf(stderr, "rdma_ping_pong: %s is no address\n", argv[1]);
        return 2;
    }
    return rill_main(rill_future_init(&game.future, poll[argc - 1]));
}
