/* SPDX-License-Identifier: Apache-2.0 */
/* config_names.h - private: the names that UCX has for its settings, and which of them are nearest
 * to one that it does not have. */
#ifndef RILL_RDMA_CONFIG_NAMES_H
#define RILL_RDMA_CONFIG_NAMES_H

#include "rdma/config.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RILL_RDMA_NAME_MAX = 64 }; /* longer names are cut where they are compared */

struct rill_rdma_names {
    size_t count;

    /* private */
    char *text;  /* as UCX has printed it, cut into lines */
    char **keys; /* names in it, without UCX_, each with its value behind its end */
};

/* private: reads them, which works only after UCX is open. Returns 0, to be followed by
 * rill_rdma_names_free, or -ENOMEM. */
int rill_rdma_names_read(struct rill_rdma_names *names, const struct rill_ucx *ucx);

/* private: gives their memory back. */
void rill_rdma_names_free(struct rill_rdma_names *names);

/* private: the value that a setting has, lent until they are freed, or NULL where UCX does not have
 * it. Of a name that several transports have it is that of one of them. */
const char *rill_rdma_names_value(const struct rill_rdma_names *names, const char *key);

/* private: writes a sentence with the nearest names to one that is not there. */
void rill_rdma_names_say_nearest(const struct rill_rdma_names *names, const char *key,
                                 struct rill_rdma_why *why);

#ifdef __cplusplus
}
#endif
#endif
