/* SPDX-License-Identifier: Apache-2.0 */
#include "net/inherited.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads a number of digits alone. Returns -1 for anything else. */
static int read_number(const char *text)
{
    char *end;
    unsigned long number;

    if (!text || !isdigit((unsigned char)*text))
        return -1;
    number = strtoul(text, &end, 10);
    return *end || number > INT_MAX ? -1 : (int)number;
}

int rill_inherited_count(void)
{
    int count = read_number(getenv("LISTEN_FDS"));

    return count > 0 && count <= INT_MAX - RILL_INHERITED_FIRST &&
                   read_number(getenv("LISTEN_PID")) == getpid()
               ? count
               : 0;
}

/* Makes it the caller's. What is closed on exec cannot have come through one: it was taken before.
 */
static int take(int fd)
{
    int flags = fcntl(fd, F_GETFD);

    if (flags < 0)
        return -errno;
    if (flags & FD_CLOEXEC)
        return -EBUSY;
    return fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0 ? -errno : fd;
}

/* Several may have one name: those of a unit of systemd's do, unless it says otherwise. */
static int take_by_name(const char *name)
{
    const char *at = getenv("LISTEN_FDNAMES");
    int count = rill_inherited_count(), fd = -ENOENT;

    for (int i = 0; at && i < count && fd < 0; i++) {
        const char *end = strchrnul(at, ':');
        size_t length = (size_t)(end - at);

        if (strlen(name) == length && memcmp(at, name, length) == 0)
            fd = take(RILL_INHERITED_FIRST + i);
        at = *end ? end + 1 : NULL;
    }
    return fd;
}

int rill_inherited_find(const char *name)
{
    int fd = take_by_name(name), number = read_number(name);

    return fd == -ENOENT && number >= 0 ? take(number) : fd;
}
