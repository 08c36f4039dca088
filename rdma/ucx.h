/* SPDX-License-Identifier: Apache-2.0 */
/* ucx.h - every call that rill makes of UCX, in a table, so that tests can replace it.
 *
 * The members have the names and the types of UCP's own functions (ucp/api/ucp.h), less
 * the prefix, and mean what the manual there says. The library itself is
 * rill_ucx_library; the tests have one that completes late, out of order, within the
 * call or never, and lets every call fail. */
#ifndef RILL_RDMA_UCX_H
#define RILL_RDMA_UCX_H

#include <stdbool.h>
#include <stdio.h>
#include <ucp/api/ucp.h>
#include <ucs/debug/log_def.h>

#ifdef __cplusplus
extern "C" {
#endif

struct rill_ucx {
    /* Configuration. print_keys prints what all parts of UCX know, a line UCX_KEY=value
     * each, as config_print does for UCP alone. */
    ucs_status_t (*config_read)(const char *env_prefix, const char *filename,
                                ucp_config_t **config);
    ucs_status_t (*config_modify)(ucp_config_t *config, const char *name, const char *value);
    void (*config_release)(ucp_config_t *config);
    void (*config_print)(const ucp_config_t *config, FILE *file, const char *title,
                         ucs_config_print_flags_t flags);
    void (*print_keys)(FILE *file);
    /* Sets a key of the whole process (ucs/config/global_opts.h): UCS_ERR_NO_ELEM where it is none,
     * UCS_ERR_UNSUPPORTED for one that is read when the library is loaded, and never again. */
    ucs_status_t (*set_global)(const char *key, const char *value);
    void (*get_version)(unsigned *major, unsigned *minor, unsigned *release);
    void (*disable_signal)(int number);
    /* What of it is logged (ucs_global_opts, ucs/config/global_opts.h). */
    ucs_log_level_t *log_level;
    /* ucs/debug/log_def.h: for good, and called by any thread. */
    void (*log_push_handler)(ucs_log_func_t handler);
    /* Whether UCX's thread looks for clients at a socket that it listens with
     * (ucs_async_modify_handler in ucs/async/async_fwd.h); UCS_ERR_NO_ELEM: it is not UCX's. */
    ucs_status_t (*set_listening)(int fd, bool listens);
    /* Has each worker that is made from now on attend to as many sockets in UCX's thread, if it is
     * fewer yet (async_max_events of ucs_global_opts, ucs/async/async.c). */
    void (*raise_sockets)(unsigned count);
    /* None of UCX's, but about the same process: whether it may open count descriptors more. */
    bool (*has_fds)(size_t count);
    /* Likewise: whether it may start a thread, which one without signals starts and awaits. */
    bool (*has_thread)(void);
    /* Likewise: whether there may be a device for RDMA here. */
    bool (*has_device)(void);

    ucs_status_t (*init)(const ucp_params_t *params, const ucp_config_t *config,
                         ucp_context_h *context);
    void (*cleanup)(ucp_context_h context);

    ucs_status_t (*worker_create)(ucp_context_h context, const ucp_worker_params_t *params,
                                  ucp_worker_h *worker);
    void (*worker_destroy)(ucp_worker_h worker);
    ucs_status_t (*worker_get_efd)(ucp_worker_h worker, int *fd);
    ucs_status_t (*worker_get_address)(ucp_worker_h worker, ucp_address_t **address, size_t *size);
    void (*worker_release_address)(ucp_worker_h worker, ucp_address_t *address);
    unsigned (*worker_progress)(ucp_worker_h worker);
    ucs_status_t (*worker_arm)(ucp_worker_h worker);
    ucs_status_t (*worker_signal)(ucp_worker_h worker);

    ucs_status_t (*ep_create)(ucp_worker_h worker, const ucp_ep_params_t *params, ucp_ep_h *ep);
    ucs_status_ptr_t (*ep_close_nbx)(ucp_ep_h ep, const ucp_request_param_t *param);
    ucs_status_ptr_t (*ep_flush_nbx)(ucp_ep_h ep, const ucp_request_param_t *param);
    ucs_status_t (*ep_query)(ucp_ep_h ep, ucp_ep_attr_t *attr);
    void (*ep_print_info)(ucp_ep_h ep, FILE *file);

    ucs_status_t (*listener_create)(ucp_worker_h worker, const ucp_listener_params_t *params,
                                    ucp_listener_h *listener);
    void (*listener_destroy)(ucp_listener_h listener);
    ucs_status_t (*listener_query)(ucp_listener_h listener, ucp_listener_attr_t *attr);
    ucs_status_t (*listener_reject)(ucp_listener_h listener, ucp_conn_request_h request);
    ucs_status_t (*conn_request_query)(ucp_conn_request_h request, ucp_conn_request_attr_t *attr);

    ucs_status_ptr_t (*tag_send_nbx)(ucp_ep_h ep, const void *buffer, size_t count, ucp_tag_t tag,
                                     const ucp_request_param_t *param);
    ucs_status_ptr_t (*tag_send_sync_nbx)(ucp_ep_h ep, const void *buffer, size_t count,
                                          ucp_tag_t tag, const ucp_request_param_t *param);
    ucs_status_ptr_t (*tag_recv_nbx)(ucp_worker_h worker, void *buffer, size_t count, ucp_tag_t tag,
                                     ucp_tag_t mask, const ucp_request_param_t *param);
    ucp_tag_message_h (*tag_probe_nb)(ucp_worker_h worker, ucp_tag_t tag, ucp_tag_t mask,
                                      int remove, ucp_tag_recv_info_t *info);
    ucs_status_ptr_t (*tag_msg_recv_nbx)(ucp_worker_h worker, void *buffer, size_t count,
                                         ucp_tag_message_h message,
                                         const ucp_request_param_t *param);

    ucs_status_ptr_t (*stream_send_nbx)(ucp_ep_h ep, const void *buffer, size_t count,
                                        const ucp_request_param_t *param);
    ucs_status_ptr_t (*stream_recv_data_nb)(ucp_ep_h ep, size_t *length);
    void (*stream_data_release)(ucp_ep_h ep, void *data);
    ssize_t (*stream_worker_poll)(ucp_worker_h worker, ucp_stream_poll_ep_t *eps, size_t max,
                                  unsigned flags);

    ucs_status_t (*worker_set_am_recv_handler)(ucp_worker_h worker,
                                               const ucp_am_handler_param_t *param);
    ucs_status_ptr_t (*am_send_nbx)(ucp_ep_h ep, unsigned id, const void *header,
                                    size_t header_length, const void *buffer, size_t count,
                                    const ucp_request_param_t *param);
    ucs_status_ptr_t (*am_recv_data_nbx)(ucp_worker_h worker, void *data_desc, void *buffer,
                                         size_t count, const ucp_request_param_t *param);
    void (*am_data_release)(ucp_worker_h worker, void *data);

    ucs_status_t (*mem_map)(ucp_context_h context, const ucp_mem_map_params_t *params,
                            ucp_mem_h *memory);
    ucs_status_t (*mem_unmap)(ucp_context_h context, ucp_mem_h memory);
    ucs_status_t (*mem_query)(ucp_mem_h memory, ucp_mem_attr_t *attr);
    ucs_status_t (*rkey_pack)(ucp_context_h context, ucp_mem_h memory, void **buffer, size_t *size);
    void (*rkey_buffer_release)(void *buffer);
    ucs_status_t (*ep_rkey_unpack)(ucp_ep_h ep, const void *buffer, ucp_rkey_h *rkey);
    void (*rkey_destroy)(ucp_rkey_h rkey);
    ucs_status_ptr_t (*put_nbx)(ucp_ep_h ep, const void *buffer, size_t count, uint64_t address,
                                ucp_rkey_h rkey, const ucp_request_param_t *param);
    ucs_status_ptr_t (*get_nbx)(ucp_ep_h ep, void *buffer, size_t count, uint64_t address,
                                ucp_rkey_h rkey, const ucp_request_param_t *param);
    ucs_status_ptr_t (*atomic_op_nbx)(ucp_ep_h ep, ucp_atomic_op_t opcode, const void *buffer,
                                      size_t count, uint64_t address, ucp_rkey_h rkey,
                                      const ucp_request_param_t *param);

    void (*request_cancel)(ucp_worker_h worker, void *request);
    void (*request_free)(void *request);
};

/* The real one. */
extern const struct rill_ucx rill_ucx_library;

#ifdef __cplusplus
}
#endif
#endif
