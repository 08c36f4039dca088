/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c - a tree of files in memory, and what would be left of it after a loss of power. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_SIZE_MAX = 255,
    LINKS_FOLLOWED_MAX = 40,
};

/* ---- names ---- */

static void release_synced(struct sim *sim, struct sim_node *node);

static void add_entry(struct sim_link *entries, struct sim_node *node, const char *name)
{
    struct sim_entry *entry = sim_allocate(sizeof *entry);

    entry->node = node;
    entry->name = strndup(name, strcspn(name, "/"));
    sim_list_append(entries, &entry->link);
}

/* Returns the node that the entry stood for. */
static struct sim_node *take_entry(struct sim_entry *entry)
{
    struct sim_node *node = entry->node;

    sim_list_remove(&entry->link);
    free(entry->name);
    free(entry);
    return node;
}

static struct sim_entry *first_entry(const struct sim_link *entries)
{
    return sim_container_of(entries->next, struct sim_entry, link);
}

static void forget_synced_entries(struct sim *sim, struct sim_node *node)
{
    while (!sim_list_empty(&node->synced_entries))
        release_synced(sim, take_entry(first_entry(&node->synced_entries)));
}

static struct sim_entry *find_entry(const struct sim_link *entries, const char *name, size_t size)
{
    for (struct sim_link *link = entries->next; link != entries; link = link->next) {
        struct sim_entry *entry = sim_container_of(link, struct sim_entry, link);

        if (strlen(entry->name) == size && memcmp(entry->name, name, size) == 0)
            return entry;
    }
    return NULL;
}

void sim_node_name(struct sim_node *node, struct sim_node *parent, const char *name)
{
    add_entry(&parent->entries, node, name);
    node->refs++;
    node->links++;
    if (S_ISDIR(node->mode))
        node->parent = parent;
}

void sim_entry_remove(struct sim *sim, struct sim_entry *entry)
{
    struct sim_node *node = take_entry(entry);

    node->links--;
    if (S_ISDIR(node->mode))
        node->parent = NULL;
    sim_node_release(sim, node);
}

/* ---- nodes ---- */

static struct sim_node *create(struct sim *sim, mode_t mode)
{
    struct sim_node *node = sim_allocate(sizeof *node);

    node->number = ++sim->node_numbers;
    node->mode = mode;
    node->modified_ns = sim->now;
    sim_list_init(&node->entries);
    sim_list_init(&node->synced_entries);
    sim_list_append(&sim->nodes, &node->link);
    return node;
}

struct sim_node *sim_node_create(struct sim *sim, struct sim_node *parent, const char *name,
                                 mode_t mode)
{
    struct sim_node *node = create(sim, mode);

    sim_node_name(node, parent, name);
    return node;
}

static void free_if_unused(struct sim *sim, struct sim_node *node)
{
    if (node->refs || node->synced_refs)
        return;
    forget_synced_entries(sim, node);
    sim_list_remove(&node->link);
    free(node->synced);
    free(node);
}

static void release_synced(struct sim *sim, struct sim_node *node)
{
    node->synced_refs--;
    free_if_unused(sim, node);
}

/* What has no name and is not open takes no room any more, though a loss of power may
 * still bring back what was synced. */
void sim_node_release(struct sim *sim, struct sim_node *node)
{
    if (--node->refs)
        return;
    while (!sim_list_empty(&node->entries))
        sim_entry_remove(sim, first_entry(&node->entries));
    sim->disk_size -= node->size;
    free(node->bytes);
    node->bytes = NULL;
    node->size = node->capacity = 0;
    free_if_unused(sim, node);
}

int sim_node_resize(struct sim *sim, struct sim_node *node, size_t size)
{
    if (size > node->size && size - node->size > sim->options.disk_size_max - sim->disk_size)
        return -ENOSPC;
    if (size > node->capacity) {
        node->capacity = size * 2;
        node->bytes = sim_grow(node->bytes, node->capacity);
    }
    if (size > node->size)
        memset(node->bytes + node->size, 0, size - node->size);
    sim->disk_size += size - node->size;
    node->size = size;
    node->modified_ns = sim->now;
    return 0;
}

void sim_node_sync(struct sim *sim, struct sim_node *node)
{
    node->synced = sim_grow(node->synced, node->size + 1);
    if (node->size)
        memcpy(node->synced, node->bytes, node->size);
    node->synced_size = node->size;
    forget_synced_entries(sim, node);
    for (struct sim_link *link = node->entries.next; link != &node->entries; link = link->next) {
        struct sim_entry *entry = sim_container_of(link, struct sim_entry, link);

        add_entry(&node->synced_entries, entry->node, entry->name);
        entry->node->synced_refs++;
    }
}

void sim_disk_init(struct sim *sim)
{
    sim_list_init(&sim->nodes);
    sim->root = create(sim, S_IFDIR | 0755);
    sim->root->refs = 1;
}

/* What a directory had when it was synced may be what it is in now: such a circle would
 * keep itself. */
void sim_disk_finish(struct sim *sim)
{
    for (struct sim_link *link = sim->nodes.next; link != &sim->nodes; link = link->next)
        sim_container_of(link, struct sim_node, link)->refs++;
    for (struct sim_link *link = sim->nodes.next; link != &sim->nodes; link = link->next)
        forget_synced_entries(sim, sim_container_of(link, struct sim_node, link));
    for (struct sim_link *link = sim->nodes.next, *next; link != &sim->nodes; link = next) {
        next = link->next;
        sim_node_release(sim, sim_container_of(link, struct sim_node, link));
    }
    sim_node_release(sim, sim->root);
}

/* ---- paths ---- */

static int find(struct sim *sim, struct sim_node *base, const char *path, bool follow,
                unsigned links, struct sim_place *place)
{
    struct sim_node *at = *path == '/' || !base ? sim->root : base;

    *place = (struct sim_place){.last = ""};
    if (!*path)
        return -ENOENT;
    for (;;) {
        struct sim_entry *entry = NULL;
        struct sim_node *next;
        bool is_last;
        size_t slashes = strspn(path, "/"), size = strcspn(path + slashes, "/");

        if (!size)
            place->node = at;
        if ((slashes || size) && !S_ISDIR(at->mode))
            return -ENOTDIR;
        if (!size)
            return 0;
        path += slashes;
        if (size > NAME_SIZE_MAX)
            return -ENAMETOOLONG;
        is_last = path[size + strspn(path + size, "/")] == '\0';
        if (size == 1 && path[0] == '.')
            next = at;
        else if (size == 2 && path[0] == '.' && path[1] == '.')
            next = at->parent ? at->parent : at;
        else
            next = (entry = find_entry(&at->entries, path, size)) ? entry->node : NULL;
        *place = (struct sim_place){.parent = at, .entry = entry, .last = path};
        if (!next) {
            if (!is_last || (at != sim->root && !at->parent))
                place->parent = NULL; /* what is missing cannot be made */
            return -ENOENT;
        }
        if (S_ISLNK(next->mode) && (!is_last || follow || path[size] == '/')) {
            int result = links == LINKS_FOLLOWED_MAX
                             ? -ELOOP
                             : find(sim, at, next->bytes, true, links + 1, place);

            if (result < 0) {
                if (!is_last)
                    place->parent = place->node = NULL;
                return result;
            }
            next = place->node;
        }
        at = next;
        path += size;
    }
}

int sim_disk_find(struct sim *sim, struct sim_node *base, const char *path, bool follow,
                  struct sim_place *place)
{
    return find(sim, base, path, follow, 0, place);
}

/* ---- the test's access ---- */

static struct sim_node *make(struct sim *sim, const char *path)
{
    struct sim_node *at = sim->root;

    for (;;) {
        struct sim_entry *entry;
        struct sim_node *next;
        size_t size;

        path += strspn(path, "/");
        size = strcspn(path, "/");
        if (!size)
            return at;
        entry = find_entry(&at->entries, path, size);
        next = entry ? entry->node
                     : sim_node_create(sim, at, path, path[size] ? S_IFDIR | 0755 : S_IFREG | 0644);
        sim_node_sync(sim, at);
        at = next;
        path += size;
    }
}

void sim_file_put(struct sim *sim, const char *path, const void *bytes, size_t size)
{
    struct sim_node *node = make(sim, path);

    if (!S_ISREG(node->mode) || sim_node_resize(sim, node, size) < 0)
        sim_fail(sim, "cannot put a file of %zu bytes at %s", size, path);
    if (size)
        memcpy(node->bytes, bytes, size);
    sim_node_sync(sim, node);
}

static ssize_t lend(const struct sim_node *node, const void **bytes)
{
    if (!S_ISREG(node->mode))
        return -EISDIR;
    if (bytes)
        *bytes = node->bytes;
    return (ssize_t)node->size;
}

ssize_t sim_file_get(struct sim *sim, const char *path, const void **bytes)
{
    struct sim_place place;
    int result = sim_disk_find(sim, NULL, path, true, &place);

    return result < 0 ? result : lend(place.node, bytes);
}

ssize_t sim_file_survives(struct sim *sim, const char *path, const void **bytes)
{
    const struct sim_node *at = sim->root;

    for (;;) {
        const struct sim_entry *entry;
        size_t size;

        path += strspn(path, "/");
        size = strcspn(path, "/");
        if (!size)
            break;
        entry = find_entry(sim_random(sim, 2) ? &at->entries : &at->synced_entries, path, size);
        if (!entry)
            return -ENOENT;
        at = entry->node;
        path += size;
    }
    if (!S_ISREG(at->mode) || (at->refs && sim_random(sim, 2)))
        return lend(at, bytes);
    *bytes = at->synced;
    return (ssize_t)at->synced_size;
}

size_t sim_directory_count(struct sim *sim, const char *path)
{
    struct sim_place place;
    size_t count = 0;

    if (sim_disk_find(sim, NULL, path, true, &place) < 0)
        return 0;
    for (struct sim_link *link = place.node->entries.next; link != &place.node->entries;
         link = link->next)
        count++;
    return count;
}
