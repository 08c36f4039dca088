/* SPDX-License-Identifier: Apache-2.0 */
#include "io/truncate.h"

#include <errno.h>
#include <unistd.h>

/* On a thread of the pool. A size that no file can have is negative here: -EINVAL. */
static int64_t truncate_file(void *argument)
{
    const struct rill_truncate *truncate = argument;

    return ftruncate(rill_file_fd(truncate->file), (off_t)truncate->size) < 0 ? -errno : 0;
}

struct rill_future *rill_file_truncate(struct rill_file *file, struct rill_truncate *truncate,
                                       uint64_t size)
{
    truncate->file = file;
    truncate->size = size;
    return rill_blocking(&truncate->blocking, NULL, truncate_file, truncate);
}
