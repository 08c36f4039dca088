/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct rill_process child;

void expect_no_children(void)
{
    expect(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

bool no_children_here(void)
{
    if (!getenv("TEST_UNDER_VALGRIND"))
        return false;
    printf("skipped: valgrind runs a child on a copy of the memory, and knows no pidfd\n");
    return true;
}

bool child_open_world(void)
{
    return fixture_open(REAL, NULL, NULL);
}

void child_close_world(void)
{
    child_close();
    expect_no_children();
    fixture_close();
}

int child_start(const char *const *argv, struct rill_process_options options)
{
    options.argv = argv;
    return rill_process_start(&child, &options);
}

void child_start_idle(void)
{
    const struct rill_process_options options = {.in = RILL_PROCESS_PIPE};

    expect_eq(child_start(ARGUMENTS("cat"), options), 0);
}

void child_start_endless(void)
{
    expect_eq(child_start(ARGUMENTS("sleep", "3600"), NOTHING_SPECIAL), 0);
}

int64_t child_wait(void)
{
    return await(rill_process_wait(&child));
}

int64_t child_close(void)
{
    int64_t status = await(rill_process_close(&child, 0));

    expect(!child.is_running && !child.in_is_open && !child.out.is_open && !child.err.is_open);
    return status;
}

const char *child_text(struct rill_file *file)
{
    static char text[10000];
    static struct rill_op op;
    size_t size = 0;
    int64_t more;

    memset(text, 0, sizeof text);
    while ((more = await(rill_file_read(file, &op, text + size, sizeof text - 1 - size))) > 0)
        size += (size_t)more;
    expect_eq(more, 0);
    return text;
}

void child_expect_ready(void)
{
    static struct rill_op op;
    char line[] = "......";

    expect_eq(await(rill_file_read(&child.out, &op, line, 6)), 6);
    expect(strcmp(line, "ready\n") == 0);
}
