/* SPDX-License-Identifier: Apache-2.0 */
/* inherited.c - an environment that tells of descriptors, rightly or not. */
#include "net/inherited.h"

#include "tests/fixture.h"
#include "tests/fuzz/input.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 300 };

/* As the environment may have it: absent, right, or anything. */
static void set(struct input *input, const char *name, const char *right)
{
    char text[TEXT_MAX];
    uint8_t how = input_byte(input);

    if (how == 0)
        unsetenv(name);
    else
        setenv(name, how % 2 ? right : input_text(input, text, sizeof text), 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};
    char pid[32], name[TEXT_MAX];
    int count, fd;

    snprintf(pid, sizeof pid, "%d", (int)getpid());
    set(&input, "LISTEN_PID", pid);
    set(&input, "LISTEN_FDS", "2");
    set(&input, "LISTEN_FDNAMES", "http:metrics");
    input_text(&input, name, sizeof name);
    count = rill_inherited_count();
    expect(count >= 0 && count <= INT_MAX - RILL_INHERITED_FIRST);
    fd = rill_inherited_find(name);
    expect(fd >= 0 || fd == -ENOENT || fd == -EBADF || fd == -EBUSY);
    if (fd >= 0) {
        expect(fcntl(fd, F_GETFD) == FD_CLOEXEC);
        expect(rill_inherited_find(name) != fd);
        expect(fcntl(fd, F_SETFD, 0) == 0); /* for the next input */
        expect(strspn(name, "0123456789") == strlen(name) ||
               (fd >= RILL_INHERITED_FIRST && fd < RILL_INHERITED_FIRST + count));
    }
    return 0;
}
