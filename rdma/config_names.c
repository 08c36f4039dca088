/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/config_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prefix[] = "UCX_";

/* ---- all of them ---- */

/* Cuts what print_keys wrote into names, in place, each with its value behind its end. Returns
 * their array, or NULL. */
static char **cut(char *text, size_t *count)
{
    char **keys = NULL, *rest;
    size_t room = 0;

    *count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *end = strchr(line, '=');

        if (!end || strncmp(line, prefix, sizeof prefix - 1) != 0)
            continue;
        *end = '\0';
        if (*count == room) {
            char **more = realloc(keys, (room = 2 * room + 256) * sizeof *keys);

            if (!more) {
                free(keys);
                *count = 0;
                return NULL;
            }
            keys = more;
        }
        keys[(*count)++] = line + sizeof prefix - 1;
    }
    return keys;
}

int rill_rdma_names_read(struct rill_rdma_names *names, const struct rill_ucx *ucx)
{
    size_t size;
    FILE *file;

    *names = (struct rill_rdma_names){0};
    file = open_memstream(&names->text, &size);
    if (!file)
        return -ENOMEM;
    ucx->print_keys(file);
    fclose(file);
    names->keys = names->text ? cut(names->text, &names->count) : NULL;
    if (names->keys)
        return 0;
    rill_rdma_names_free(names);
    return -ENOMEM;
}

void rill_rdma_names_free(struct rill_rdma_names *names)
{
    free(names->keys);
    free(names->text);
    *names = (struct rill_rdma_names){0};
}

const char *rill_rdma_names_value(const struct rill_rdma_names *names, const char *key)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->keys[i], key) == 0)
            return names->keys[i] + strlen(key) + 1;
    return NULL;
}

/* ---- those that are nearly right ---- */

enum { NEAREST = 3 };

/* How many letters have to be added, removed or changed (Levenshtein). Names longer
 * than RILL_RDMA_NAME_MAX are cut. */
static unsigned distance(const char *one, const char *other)
{
    unsigned row[RILL_RDMA_NAME_MAX + 1];
    size_t width = strnlen(other, RILL_RDMA_NAME_MAX);

    for (size_t i = 0; i <= width; i++)
        row[i] = (unsigned)i;
    for (size_t i = 0; i < RILL_RDMA_NAME_MAX && one[i]; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < width; j++) {
            unsigned above = row[j + 1];
            unsigned best = diagonal + (one[i] != other[j]);

            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (above + 1 < best)
                best = above + 1;
            row[j + 1] = best;
            diagonal = above;
        }
    }
    return row[width];
}

void rill_rdma_names_say_nearest(const struct rill_rdma_names *names, const char *key,
                                 struct rill_rdma_why *why)
{
    const char *nearest[NEAREST] = {NULL};
    unsigned distances[NEAREST] = {0};
    int used;

    for (size_t i = 0; i < names->count; i++) {
        const char *candidate = names->keys[i];
        unsigned far = distance(key, candidate);

        for (size_t k = 0; k < NEAREST; k++) { /* in order, pushing those behind on */
            const char *other = nearest[k];
            unsigned other_far = distances[k];

            if (other && strcmp(other, candidate) == 0)
                break; /* a name of several transports */
            if (other && other_far <= far)
                continue;
            nearest[k] = candidate;
            distances[k] = far;
            if (!other)
                break;
            candidate = other;
            far = other_far;
        }
    }
    used = snprintf(why->text, sizeof why->text,
                    "UCX has no setting %.*s, or not that value for it; the nearest names are",
                    RILL_RDMA_NAME_MAX, key);
    for (size_t k = 0; k < NEAREST && nearest[k] && (size_t)used < sizeof why->text; k++)
        used += snprintf(why->text + used, sizeof why->text - (size_t)used, "%s %s",
                         k > 0 ? "," : "", nearest[k]);
}
