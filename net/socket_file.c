/* SPDX-License-Identifier: Apache-2.0 */
#include "net/socket_file.h"

#include "io/reactor.h"

#include <fcntl.h>
#include <sys/stat.h>

void rill_socket_file_find(struct rill_socket_file *file, const struct rill_address *address)
{
    struct rill_kernel *kernel = rill_reactor_here()->kernel;
    struct stat status;

    *file = (struct rill_socket_file){0};
    if (address->any.sa_family != AF_UNIX || rill_address_is_abstract(address))
        return;
    if (kernel->ops->fstatat(kernel, AT_FDCWD, address->local.sun_path, &status,
                             AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISSOCK(status.st_mode))
        *file = (struct rill_socket_file){status.st_dev, status.st_ino};
}

bool rill_socket_file_is_there(const struct rill_socket_file *file,
                               const struct rill_address *address)
{
    struct rill_socket_file now;

    if (file->number == 0)
        return false;
    rill_socket_file_find(&now, address);
    return now.device == file->device && now.number == file->number;
}
