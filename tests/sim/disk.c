/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c - a tree of files in memory. */
#include "tests/sim/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME_SIZE_MAX 255

struct sim_node *sim_node_create(struct sim *sim, struct sim_node *parent, const char *name,
                                 mode_t mode)
{
    struct sim_node *node = sim_allocate(sizeof *node);

    node->refs = 1;
    node->number = ++sim->node_numbers;
    node->mode = mode;
    node->modified_ns = sim->now;
    node->name = strndup(name, strcspn(name, "/"));
    node->parent = parent;
    sim_list_init(&node->children);
    sim_list_init(&node->siblings);
    if (parent)
        sim_list_append(&parent->children, &node->siblings);
    return node;
}

void sim_node_release(struct sim *sim, struct sim_node *node)
{
    if (--node->refs)
        return;
    while (!sim_list_empty(&node->children))
        sim_node_unlink(sim, sim_container_of(node->children.next, struct sim_node, siblings));
    sim->disk_size -= node->size;
    free(node->bytes);
    free(node->name);
    free(node);
}

void sim_node_unlink(struct sim *sim, struct sim_node *node)
{
    sim_list_remove(&node->siblings);
    node->parent = NULL;
    sim_node_release(sim, node);
}

void sim_node_move(struct sim *sim, struct sim_node *node, struct sim_node *parent,
                   const char *name)
{
    (void)sim;
    free(node->name);
    node->name = strndup(name, strcspn(name, "/"));
    sim_list_remove(&node->siblings);
    sim_list_append(&parent->children, &node->siblings);
    node->parent = parent;
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

void sim_disk_init(struct sim *sim)
{
    sim->root = sim_node_create(sim, NULL, "", S_IFDIR | 0755);
}

void sim_disk_finish(struct sim *sim)
{
    sim_node_release(sim, sim->root);
}

static struct sim_node *child(const struct sim_node *parent, const char *name, size_t size)
{
    for (struct sim_link *link = parent->children.next; link != &parent->children;
         link = link->next) {
        struct sim_node *node = sim_container_of(link, struct sim_node, siblings);

        if (strlen(node->name) == size && memcmp(node->name, name, size) == 0)
            return node;
    }
    return NULL;
}

int sim_disk_find(struct sim *sim, struct sim_node *base, const char *path,
                  struct sim_node **parent, struct sim_node **node, const char **last)
{
    struct sim_node *at = *path == '/' || !base ? sim->root : base;

    *parent = *node = NULL;
    *last = "";
    if (!*path)
        return -ENOENT;
    for (;;) {
        struct sim_node *next;
        size_t size;

        path += strspn(path, "/");
        size = strcspn(path, "/");
        if (!size)
            break;
        if (!S_ISDIR(at->mode))
            return -ENOTDIR;
        if (size > NAME_SIZE_MAX)
            return -ENAMETOOLONG;
        if (size == 1 && path[0] == '.')
            next = at;
        else if (size == 2 && path[0] == '.' && path[1] == '.')
            next = at->parent ? at->parent : at;
        else
            next = child(at, path, size);
        if (!next) {
            bool is_last = path[size + strspn(path + size, "/")] == '\0';

            if (is_last && (at == sim->root || at->parent)) {
                *parent = at;
                *last = path;
            }
            return -ENOENT;
        }
        at = next;
        path += size;
    }
    *node = at;
    *parent = at->parent;
    return 0;
}

/* ---- the test's access ---- */

static struct sim_node *make(struct sim *sim, const char *path)
{
    struct sim_node *at = sim->root;

    for (;;) {
        struct sim_node *next;
        size_t size;

        path += strspn(path, "/");
        size = strcspn(path, "/");
        if (!size)
            return at;
        next = child(at, path, size);
        if (!next)
            next = sim_node_create(sim, at, path, path[size] ? S_IFDIR | 0755 : S_IFREG | 0644);
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
}

ssize_t sim_file_get(struct sim *sim, const char *path, const void **bytes)
{
    struct sim_node *parent, *node;
    const char *last;
    int result = sim_disk_find(sim, NULL, path, &parent, &node, &last);

    if (result < 0)
        return result;
    if (!S_ISREG(node->mode))
        return -EISDIR;
    if (bytes)
        *bytes = node->bytes;
    return (ssize_t)node->size;
}
