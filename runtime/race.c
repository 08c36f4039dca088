/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/race.h"

static bool wins(struct rill_future_set *set, uint32_t index, const struct rill_future *future,
                 bool has_won)
{
    struct rill_race *race = rill_container_of(set, struct rill_race, set);

    if (has_won) {
        race->winner = (int32_t)index;
        race->result = future->result;
    } else {
        race->last_error = future->result;
    }
    return has_won;
}

static bool first_decides(struct rill_future_set *set, uint32_t index,
                          const struct rill_future *future, const struct rill_task *task)
{
    return wins(set, index, future, rill_future_has_won(future, task));
}

static bool success_decides(struct rill_future_set *set, uint32_t index,
                            const struct rill_future *future, const struct rill_task *task)
{
    (void)task;
    return wins(set, index, future, future->result >= 0);
}

static enum rill_poll race_poll(struct rill_future *self, struct rill_task *task,
                                rill_future_set_decides_fn *decides)
{
    struct rill_race *race = rill_container_of(self, struct rill_race, future);

    if (rill_future_set_poll(self, &race->set, task, decides) == RILL_PENDING)
        return RILL_PENDING;
    return rill_future_end(self, race->winner < 0 ? race->last_error : race->result);
}

static enum rill_poll first_poll(struct rill_future *self, struct rill_task *task)
{
    return race_poll(self, task, first_decides);
}

static enum rill_poll success_poll(struct rill_future *self, struct rill_task *task)
{
    return race_poll(self, task, success_decides);
}

static struct rill_future *prepare(struct rill_race *race, struct rill_future **futures,
                                   uint32_t count, rill_poll_fn *poll)
{
    static const struct rill_place places[] = {RILL_FUTURE_SET_PLACES("race")};

    rill_future_init(&race->future, poll);
    race->winner = -1;
    race->last_error = -EINVAL; /* of a race of nothing */
    rill_future_set_init(&race->future, &race->set, futures, count, places);
    return &race->future;
}

struct rill_future *rill_race(struct rill_race *race, struct rill_future **futures, uint32_t count)
{
    return prepare(race, futures, count, first_poll);
}

struct rill_future *rill_race_to_success(struct rill_race *race, struct rill_future **futures,
                                         uint32_t count)
{
    return prepare(race, futures, count, success_poll);
}
