/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/endpoint_info.h"

#include "rdma/ucx_address.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int rill_rdma_ep_addresses(const struct rill_rdma_ep *ep, struct rill_address *local,
                           struct rill_address *remote)
{
    ucp_ep_attr_t attributes = {
        .field_mask = UCP_EP_ATTR_FIELD_LOCAL_SOCKADDR | UCP_EP_ATTR_FIELD_REMOTE_SOCKADDR,
    };

    if (!ep->ucp || ep->rdma->ucx->ep_query(ep->ucp, &attributes) != UCS_OK)
        return -ENOTCONN;
    if (local)
        rill_rdma_address_read(local, &attributes.local_sockaddr);
    if (remote)
        rill_rdma_address_read(remote, &attributes.remote_sockaddr);
    return 0;
}

static bool has_name(const char *list, const char *name, size_t name_size)
{
    while (*list) {
        size_t size = strcspn(list, ",");

        if (size == name_size && memcmp(list, name, size) == 0)
            return true;
        list += size;
        list += strspn(list, ", ");
    }
    return false;
}

/* Adds a name to a list of them, unless it is there. */
static void add_name(char *text, size_t size, const char *name, size_t name_size)
{
    size_t used = strlen(text);

    if (!has_name(text, name, name_size))
        snprintf(text + used, size - used, "%s%.*s", used > 0 ? ", " : "", (int)name_size, name);
}

/* Returns what stands behind the next c, or NULL. */
static char *behind(char *text, int c)
{
    char *found = text ? strchr(text, c) : NULL;

    return found ? found + 1 : NULL;
}

/* What UCX prints for each lane of an endpoint is a line such as
 * "#  lane[0]:  1:tcp/eth0.0 md[1] -> ...", which says transport/device.path. */
static void find_transports(char *printed, char *text, size_t size)
{
    char *rest;

    for (char *line = strtok_r(printed, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *number = behind(strstr(line, "lane["), ':'); /* of the resource */
        char *name = behind(number, ':');

        if (!name)
            continue;

        size_t name_size = strcspn(name, " ");
        const char *path = memrchr(name, '.', name_size);

        add_name(text, size, name, path ? (size_t)(path - name) : name_size);
    }
}

int rill_rdma_ep_describe(const struct rill_rdma_ep *ep, char *text, size_t size)
{
    char *printed = NULL;
    size_t printed_size;
    FILE *file;

    if (!ep->ucp)
        return -ENOTCONN;
    if (size == 0)
        return 0;
    file = open_memstream(&printed, &printed_size);
    if (!file)
        return -ENOMEM;
    ep->rdma->ucx->ep_print_info(ep->ucp, file);
    fclose(file);
    if (!printed)
        return -ENOMEM;
    text[0] = '\0';
    find_transports(printed, text, size);
    free(printed);
    return 0;
}
