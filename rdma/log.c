/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/log.h"

#include "rdma/loss.h"
#include "rdma/shortage.h"

static bool is_silent; /* atomic: errors are to be heard, and not to be printed */

/* Called by any thread, within UCX. */
static ucs_log_func_rc_t on_log(const char *file, unsigned line, const char *function,
                                ucs_log_level_t level, const ucs_log_component_config_t *component,
                                const char *message, va_list arguments)
{
    va_list again;

    (void)file;
    (void)line;
    (void)function;
    (void)component;
    if (level != UCS_LOG_LEVEL_ERROR)
        return UCS_LOG_FUNC_RC_CONTINUE;
    va_copy(again, arguments);
    rill_rdma_loss_hear(message, again);
    va_end(again);
    va_copy(again, arguments);
    rill_rdma_shortage_hear(message, again);
    va_end(again);
    return __atomic_load_n(&is_silent, __ATOMIC_RELAXED) ? UCS_LOG_FUNC_RC_STOP
                                                         : UCS_LOG_FUNC_RC_CONTINUE;
}

void rill_rdma_log_listen(const struct rill_ucx *ucx)
{
    static bool listens;

    if (*ucx->log_level != UCS_LOG_LEVEL_ERROR)
        __atomic_store_n(&is_silent, *ucx->log_level < UCS_LOG_LEVEL_ERROR, __ATOMIC_RELAXED);
    if (!listens)
        ucx->log_push_handler(on_log);
    listens = true;
    if (*ucx->log_level < UCS_LOG_LEVEL_ERROR)
        *ucx->log_level = UCS_LOG_LEVEL_ERROR;
}
