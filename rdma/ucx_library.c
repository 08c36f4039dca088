/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/shortage.h"
#include "rdma/ucx.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <ucs/async/async_fwd.h>
#include <ucs/config/global_opts.h>
#include <ucs/config/parser.h>
#include <ucs/debug/debug.h>

/* As it is declared from UCX 1.19 on (ucs/config/parser.h): a name that keys have to contain, or
 * NULL, has come to it. The library's version is the same, so a program may meet either; to one
 * before that, an argument too many is nothing (in the calling conventions of all machines UCX runs
 * on). */
typedef void print_all_fn(FILE *file, const char *prefix, ucs_config_print_flags_t flags,
                          ucs_list_link_t *list, const char *filter);

/* ucp_config_print knows the keys of UCP alone; those of the transports are in the
 * list that all parts of UCX share, once ucp_init has loaded them. */
static void print_keys(FILE *file)
{
    /* volatile: gcc must not see that it is declared otherwise here, or it calls a trap instead */
    void (*volatile print_all)(void) = (void (*)(void))ucs_config_parser_print_all_opts;

    ((print_all_fn *)print_all)(file, "UCX_", UCS_CONFIG_PRINT_CONFIG, &ucs_config_global_list,
                                NULL);
}

static ucs_status_t set_global(const char *key, const char *value)
{
    ucs_status_t status = ucs_global_opts_set_value_modifiable(key, value);
    char before[512];

    if (status != UCS_ERR_NO_ELEM ||
        ucs_global_opts_get_value(key, before, sizeof before) == UCS_ERR_NO_ELEM)
        return status;
    return UCS_ERR_UNSUPPORTED;
}

/* ucp_init is an inline function. */
static ucs_status_t init(const ucp_params_t *params, const ucp_config_t *config,
                         ucp_context_h *context)
{
    return ucp_init(params, config, context);
}

static ucs_status_t set_listening(int fd, bool listens)
{
    return ucs_async_modify_handler(fd, listens ? UCS_EVENT_SET_EVREAD : 0);
}

static void raise_sockets(unsigned count)
{
    if (ucs_global_opts.async_max_events < count)
        ucs_global_opts.async_max_events = count;
}

static void *do_nothing(void *unused)
{
    return unused;
}

static bool has_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, do_nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

/* libibverbs, of which UCX has its devices, reads what it says of them there. */
static bool has_device(void)
{
    DIR *devices = opendir("/sys/class/infiniband");
    const struct dirent *entry;

    if (!devices)
        return errno != ENOENT;
    do
        entry = readdir(devices);
    while (entry && entry->d_name[0] == '.');
    closedir(devices);
    return entry != NULL;
}

/* The size of this directory is the number of descriptors, from Linux 6.2 on; before, it is 0. */
static bool has_fds(size_t count)
{
    struct rlimit limit;
    struct stat open_fds;

    if (stat("/proc/self/fd", &open_fds) || open_fds.st_size == 0 ||
        getrlimit(RLIMIT_NOFILE, &limit))
        return rill_rdma_take_fds(count);
    return (rlim_t)open_fds.st_size + count <= limit.rlim_cur;
}

const struct rill_ucx rill_ucx_library = {
    .config_read = ucp_config_read,
    .config_modify = ucp_config_modify,
    .config_release = ucp_config_release,
    .config_print = ucp_config_print,
    .print_keys = print_keys,
    .set_global = set_global,
    .get_version = ucp_get_version,
    .disable_signal = ucs_debug_disable_signal,
    .log_level = &ucs_global_opts.log_component.log_level,
    .log_push_handler = ucs_log_push_handler,
    .set_listening = set_listening,
    .raise_sockets = raise_sockets,
    .has_fds = has_fds,
    .has_thread = has_thread,
    .has_device = has_device,
    .init = init,
    .cleanup = ucp_cleanup,
    .worker_create = ucp_worker_create,
    .worker_destroy = ucp_worker_destroy,
    .worker_get_efd = ucp_worker_get_efd,
    .worker_get_address = ucp_worker_get_address,
    .worker_release_address = ucp_worker_release_address,
    .worker_progress = ucp_worker_progress,
    .worker_arm = ucp_worker_arm,
    .worker_signal = ucp_worker_signal,
    .ep_create = ucp_ep_create,
    .ep_close_nbx = ucp_ep_close_nbx,
    .ep_flush_nbx = ucp_ep_flush_nbx,
    .ep_query = ucp_ep_query,
    .ep_print_info = ucp_ep_print_info,
    .listener_create = ucp_listener_create,
    .listener_destroy = ucp_listener_destroy,
    .listener_query = ucp_listener_query,
    .listener_reject = ucp_listener_reject,
    .conn_request_query = ucp_conn_request_query,
    .tag_send_nbx = ucp_tag_send_nbx,
    .tag_send_sync_nbx = ucp_tag_send_sync_nbx,
    .tag_recv_nbx = ucp_tag_recv_nbx,
    .tag_probe_nb = ucp_tag_probe_nb,
    .tag_msg_recv_nbx = ucp_tag_msg_recv_nbx,
    .stream_send_nbx = ucp_stream_send_nbx,
    .stream_recv_data_nb = ucp_stream_recv_data_nb,
    .stream_data_release = ucp_stream_data_release,
    .stream_worker_poll = ucp_stream_worker_poll,
    .worker_set_am_recv_handler = ucp_worker_set_am_recv_handler,
    .am_send_nbx = ucp_am_send_nbx,
    .am_recv_data_nbx = ucp_am_recv_data_nbx,
    .am_data_release = ucp_am_data_release,
    .mem_map = ucp_mem_map,
    .mem_unmap = ucp_mem_unmap,
    .mem_query = ucp_mem_query,
    .rkey_pack = ucp_rkey_pack,
    .rkey_buffer_release = ucp_rkey_buffer_release,
    .ep_rkey_unpack = ucp_ep_rkey_unpack,
    .rkey_destroy = ucp_rkey_destroy,
    .put_nbx = ucp_put_nbx,
    .get_nbx = ucp_get_nbx,
    .atomic_op_nbx = ucp_atomic_op_nbx,
    .request_cancel = ucp_request_cancel,
    .request_free = ucp_request_free,
};
