/* SPDX-License-Identifier: Apache-2.0 */
/* config.h - settings of UCX: rill's defaults, the environment, and those in code.
 *
 * UCX is configured by some 500 variables, UCX_TLS, UCX_RNDV_THRESH and so on, which
 * `ucx_info -cf` explains. UCX takes any name at all for one; here an unknown name is an
 * error that tells the nearest known ones. */
#ifndef RILL_RDMA_CONFIG_H
#define RILL_RDMA_CONFIG_H

#include "rdma/segments.h"
#include "rdma/ucx.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One variable, with or without its UCX_: {"RNDV_THRESH", "64K"}. */
struct rill_rdma_setting {
    const char *key, *value;
};

enum {
    RILL_RDMA_WHY_MAX = 256,
    /* From this size on, messages stay with their sender until they are received, unless the user
     * says otherwise: what rill sets UCX_RNDV_THRESH to, and where TCP is alone (tcp_only in
     * rdma.h). */
    RILL_RDMA_EAGER_SIZE = 8000,
    RILL_RDMA_EAGER_SIZE_OF_TCP = 60000,
};

/* A sentence that says what is wrong, with its end cut off if it is too long. */
struct rill_rdma_why {
    char text[RILL_RDMA_WHY_MAX];
};

/* Writes such a sentence, and returns error. */
__attribute__((format(printf, 3, 4))) int rill_rdma_say(struct rill_rdma_why *why, int error,
                                                        const char *format, ...);

/* What is asked for, on which some of rill's defaults depend: bits. */
enum rill_rdma_wish {
    RILL_RDMA_WISH_SHARED_MEMORY = 1,
    RILL_RDMA_WISH_LONG_SEGMENTS = 2,
    RILL_RDMA_WISH_SINGLE_COPY = 4,
    RILL_RDMA_WISH_TCP_ONLY = 8,
    RILL_RDMA_WISH_BARE_ENDPOINTS = 16,
};

/* What UCX is opened with. Those settings that belong to one of its transports, which
 * ucp_config_modify takes and then does not find, are lent to the environment while it
 * is opened: UCX has no other ear for them. */
struct rill_rdma_config {
    ucp_config_t *ucp;
    uint32_t eager_size; /* UCX_RNDV_THRESH; UINT32_MAX where UCX decides or there is no bound */
    struct rill_rdma_segments segments; /* after the check */

    /* private */
    struct rill_rdma_lent *lent; /* variables, the latest first */
};

/* Reads the environment, then sets rill's defaults where that says nothing, then the
 * settings. wishes are of enum rill_rdma_wish. Returns 0, to be followed by rill_rdma_config_end
 * when UCX is open; or -EINVAL for a value that a key cannot have, and for a key such as LOG_FILE,
 * which UCX reads when it is loaded (global_opts.h); -ENOMEM. */
int rill_rdma_config_begin(struct rill_rdma_config *config, const struct rill_ucx *ucx,
                           unsigned wishes, const struct rill_rdma_setting *settings, size_t count,
                           struct rill_rdma_why *why);

/* Sets one of a transport from here until config's end, whatever it was. Returns 0 or -ENOMEM. */
int rill_rdma_config_lend(struct rill_rdma_config *config, const char *key, const char *value);

/* Gives all of it back, and the environment its variables. */
void rill_rdma_config_end(struct rill_rdma_config *config, const struct rill_ucx *ucx);

/* Looks for keys that UCX does not have; it knows its keys only after init. Returns 0,
 * or -EINVAL for one in settings. One in the environment, which other programs and
 * versions share, is no error and is told in *remark. A default of rill's that is for
 * a transport which this UCX was built without is taken back. */
int rill_rdma_config_check(struct rill_rdma_config *config, const struct rill_ucx *ucx,
                           const struct rill_rdma_setting *settings, size_t count,
                           struct rill_rdma_why *why, struct rill_rdma_why *remark);

#ifdef __cplusplus
}
#endif
#endif
