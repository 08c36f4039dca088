/* SPDX-License-Identifier: Apache-2.0 */
/* child.h - the child of a test: started in a line, with nothing left of it in the end.
 *
 *     if (!child_open_world())
 *         return;
 *     ck_assert_int_eq(child_start(SHELL("exit 42"), NOTHING_SPECIAL), 0);
 *     ck_assert_int_eq(child_wait(), W_EXITCODE(42, 0));
 *     child_close_world(); */
#ifndef RILL_TESTS_CHILD_H
#define RILL_TESTS_CHILD_H

#include "io/process.h"
#include "tests/fixture.h"

#include <stdbool.h>
#include <stdint.h>

extern struct rill_process child;

/* A list of arguments, up to NULL. */
#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SHELL(script) ARGUMENTS("/bin/sh", "-c", script)

#define NOTHING_SPECIAL ((struct rill_process_options){.argv = NULL})
#define PIPED_OUT ((struct rill_process_options){.out = RILL_PROCESS_PIPE})

/* A runtime over the real ring, see fixture_open; and its end, with the child's. */
bool child_open_world(void);
void child_close_world(void);

/* Starts the child with these arguments. Returns what rill_process_start does. */
int child_start(const char *const *argv, struct rill_process_options options);

/* A child that does nothing, and ends when its standard input does. */
void child_start_idle(void);

/* One that ends by a signal only. */
void child_start_endless(void);

int64_t child_wait(void);

/* With a grace of 0; there is nothing left then. Returns its status. */
int64_t child_close(void);

/* All that comes out of a pipe, as a string. Until the next call. */
const char *child_text(struct rill_file *file);

/* Reads the first line of the child's output, which has to be "ready". */
void child_expect_ready(void);

/* Checks that this process has no children, neither alive nor to be reaped. */
void expect_no_children(void);

/* Where no child can be started says so, and returns true. */
bool no_children_here(void);

#endif
