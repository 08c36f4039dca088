/* SPDX-License-Identifier: Apache-2.0 */
/* buffers.c - rings of provided buffers, and a count of where each buffer is. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum place {
    NEVER_SEEN,
    PROVIDED,
    GIVEN_OUT,
};

struct group {
    struct sim_link link;           /* sim_ring.groups */
    struct io_uring_buf_ring *ring; /* NULL: unregistered */
    int id;
    unsigned entries;
    uint16_t head;    /* the next buffer to give out */
    uint16_t scanned; /* entries before this were counted */
    size_t missing;
    unsigned char places[1 << 16]; /* enum place, by buffer id */
};

static struct group *find(struct sim_ring *ring, int id)
{
    for (struct sim_link *link = ring->groups.next; link != &ring->groups; link = link->next) {
        struct group *group = sim_container_of(link, struct group, link);

        if (group->id == id)
            return group;
    }
    return NULL;
}

static struct io_uring_buf *entry_at(const struct group *group, uint16_t at)
{
    return (struct io_uring_buf *)(void *)group->ring + (at & (group->entries - 1));
}

/* Counts what the caller has provided since the last look. A buffer that is
 * provided twice would receive two messages at once; the real kernel lets that
 * happen, we do not. */
static void scan(struct sim *sim, struct group *group)
{
    uint16_t tail = io_uring_smp_load_acquire(&group->ring->tail);

    if ((uint16_t)(tail - group->head) > group->entries)
        sim_fail(sim, "group %d: more buffers provided than its ring has places", group->id);
    while (group->scanned != tail) {
        uint16_t id = entry_at(group, group->scanned++)->bid;

        if (group->places[id] == PROVIDED)
            sim_fail(sim, "group %d: buffer %u provided twice", group->id, id);
        if (group->places[id] == GIVEN_OUT)
            group->missing--;
        group->places[id] = PROVIDED;
    }
}

int sim_buffers_register(struct sim_ring *ring, const struct io_uring_buf_reg *reg)
{
    struct group *group = find(ring, reg->bgid);
    unsigned entries = reg->ring_entries;

    if (!reg->ring_addr || entries == 0 || entries > 32768 || (entries & (entries - 1)))
        return -EINVAL;
    if (reg->ring_addr & 4095)
        return -EINVAL; /* the kernel maps whole pages */
    if (group && group->ring)
        return -EEXIST;
    if (!group) {
        group = sim_allocate(sizeof *group);
        group->id = reg->bgid;
        sim_list_append(&ring->groups, &group->link);
    }
    group->ring = (struct io_uring_buf_ring *)(uintptr_t)reg->ring_addr;
    group->entries = entries;
    group->head = group->scanned = 0;
    group->missing = 0;
    memset(group->places, NEVER_SEEN, sizeof group->places);
    sim_trace(ring->sim, "group %d of up to %u buffers", group->id, entries);
    return 0;
}

void sim_buffers_finish(struct sim_ring *ring)
{
    while (!sim_list_empty(&ring->groups)) {
        struct group *group = sim_container_of(ring->groups.next, struct group, link);

        scan(ring->sim, group);
        sim_trace(ring->sim, "group %d ends, %zu buffers missing", group->id, group->missing);
        sim_list_remove(&group->link);
        free(group);
    }
}

void sim_buffers_check(struct sim_ring *ring)
{
    for (struct sim_link *link = ring->groups.next; link != &ring->groups; link = link->next) {
        struct group *group = sim_container_of(link, struct group, link);

        if (group->ring)
            scan(ring->sim, group);
    }
}

int sim_buffer_look(struct sim_ring *ring, int id, struct iovec *buffer)
{
    struct group *group = find(ring, id);
    const struct io_uring_buf *entry;

    if (!group || !group->ring)
        return -ENOBUFS;
    scan(ring->sim, group);
    if (group->head == group->scanned ||
        sim_chance(ring->sim, ring->sim->options.enobufs_per_mille))
        return -ENOBUFS;
    entry = entry_at(group, group->head);
    buffer->iov_base = (void *)(uintptr_t)entry->addr;
    buffer->iov_len = entry->len;
    return 0;
}

unsigned sim_buffer_take(struct sim_ring *ring, int id)
{
    struct group *group = find(ring, id);
    uint16_t buffer = entry_at(group, group->head++)->bid;

    group->places[buffer] = GIVEN_OUT;
    group->missing++;
    return buffer;
}

size_t sim_buffers_missing(struct sim *sim, int id)
{
    size_t missing = 0;

    for (struct sim_link *link = sim->rings.next; link != &sim->rings; link = link->next) {
        struct group *group = find(sim_container_of(link, struct sim_ring, link), id);

        if (group && group->ring)
            scan(sim, group);
        if (group)
            missing += group->missing;
    }
    return missing;
}
