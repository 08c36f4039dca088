/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/rdma/fake_ucx_parts.h"

static char context, config, rndv_thresh[16];

static ucs_status_t config_read(const char *prefix, const char *name, ucp_config_t **out)
{
    const char *of_environment = getenv("UCX_RNDV_THRESH");

    (void)prefix;
    (void)name;
    if (fake_call("config_read") != UCS_OK)
        return fake.status;
    fake.configs++;
    snprintf(rndv_thresh, sizeof rndv_thresh, "%s", of_environment ? of_environment : "auto");
    *out = (ucp_config_t *)(void *)&config;
    return UCS_OK;
}

static ucs_status_t config_modify(ucp_config_t *c, const char *name, const char *value)
{
    (void)c;
    if (fake_call("config_modify") != UCS_OK)
        return fake.status;
    if (strcmp(name, "RNDV_THRESH") == 0)
        snprintf(rndv_thresh, sizeof rndv_thresh, "%s", value);
    return UCS_OK;
}

static void config_release(ucp_config_t *c)
{
    (void)c;
    fake.configs--;
}

static void config_print(const ucp_config_t *c, FILE *file, const char *title,
                         ucs_config_print_flags_t flags)
{
    (void)c;
    (void)title;
    (void)flags;
    fprintf(file, "UCX_TLS=all\nUCX_RNDV_THRESH=%s\n", rndv_thresh);
}

static void print_keys(FILE *file)
{
    fputs("UCX_TLS=all\nUCX_RNDV_THRESH=auto\n", file);
    for (int i = 0; i < 300; i++) /* about as many as there are */
        fprintf(file, "UCX_SOMETHING_%d=1\n", i);
    if (fake.transport_keys)
        fputs(fake.transport_keys, file);
}

static ucs_status_t set_global(const char *key, const char *value)
{
    (void)key;
    (void)value;
    return UCS_ERR_NO_ELEM;
}

static void get_version(unsigned *major, unsigned *minor, unsigned *release)
{
    *major = 1;
    *minor = fake.minor_version;
    *release = 0;
}

static void disable_signal(int number)
{
    (void)number;
}

static ucs_status_t init(const ucp_params_t *params, const ucp_config_t *c, ucp_context_h *out)
{
    (void)params;
    (void)c;
    if (fake_call("init") != UCS_OK)
        return fake.status;
    fake.contexts++;
    *out = (ucp_context_h)(void *)&context;
    return UCS_OK;
}

static bool has_fds(size_t count)
{
    (void)count;
    return !fake.fds_are_short;
}

static void raise_sockets(unsigned count)
{
    fake.sockets = count;
}

static bool has_thread(void)
{
    return !fake.threads_are_short;
}

static bool has_device(void)
{
    return !fake.has_no_device;
}

static void cleanup(ucp_context_h c)
{
    (void)c;
    fake.contexts--;
}

void fake_context_table(struct rill_ucx *table)
{
    table->config_read = config_read;
    table->config_modify = config_modify;
    table->config_release = config_release;
    table->config_print = config_print;
    table->print_keys = print_keys;
    table->set_global = set_global;
    table->get_version = get_version;
    table->disable_signal = disable_signal;
    table->has_fds = has_fds;
    table->raise_sockets = raise_sockets;
    table->has_thread = has_thread;
    table->has_device = has_device;
    table->init = init;
    table->cleanup = cleanup;
}
