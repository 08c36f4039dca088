/* SPDX-License-Identifier: Apache-2.0 */
/* test_cancel_process.c - cancelled while children are written to, awaited, run and ended. */
#include "io/pipe.h"
#include "io/process_run.h"
#include "tests/cancel.h"
#include "tests/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLENTY = 100000 }; /* more than a pipe holds */

static struct rill_process_run run;
static struct rill_pipe_write write_op;
static char bytes[PLENTY];

static const struct rill_process_options cat = {
    .argv = (const char *const[]){"/bin/cat", NULL},
    .in = RILL_PROCESS_PIPE,
    .out = RILL_PROCESS_PIPE,
};

static void start_child(void)
{
    expect_eq(rill_process_start(&child, &cat), 0);
}

static void close_child(int64_t wanted)
{
    expect_eq(child_close(), wanted);
    expect_no_children();
}

/* ---- its end ---- */

static void start_ending_child(void)
{
    start_child();
    rill_process_close_in(&child);
}

static struct rill_future *wait_for_child(void)
{
    return rill_process_wait(&child);
}

static void after_wait(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    expect(child.is_running == (result < 0));
    expect_eq(await(rill_process_wait(&child)), 0);
    close_child(0);
}

static struct rill_future *close_at_once(void)
{
    return rill_process_close(&child, 0);
}

static void after_close(int64_t result)
{
    expect(result == SIGKILL || result == 0);
    close_child(result);
}

static struct rill_future *close_with_grace(void)
{
    return rill_process_close(&child, 3600 * RILL_SECOND);
}

static void after_close_with_grace(int64_t result)
{
    expect(result == SIGTERM || result == 0);
    close_child(result);
}

/* ---- what goes in and comes out ---- */

static void start_feeding(void)
{
    pattern_fill(bytes, 0, sizeof bytes);
    start_child();
}

static struct rill_future *feed(void)
{
    return rill_pipe_write_all(child.in, &write_op, bytes, 60000); /* cat does not stop */
}

/* Everything that went in comes out, and not a byte more. */
static void after_feed(int64_t result)
{
    size_t at = 0;
    int64_t more;

    expect(result == 60000 || result == -ECANCELED);
    expect(result < 0 || write_op.written == 60000);
    rill_process_close_in(&child);
    while ((more = await(rill_file_read(&child.out, &my.op, my.bytes, sizeof my.bytes))) > 0) {
        expect(loaded_is(my.bytes, at, (size_t)more));
        at += (size_t)more;
    }
    expect_eq(more, 0);
    expect_eq(at, write_op.written);
    expect_eq(await(rill_process_wait(&child)), 0);
    close_child(0);
}

static void start_run(void)
{
    pattern_fill(bytes, 0, sizeof bytes);
}

static struct rill_future *run_cat(void)
{
    return rill_process_run(&run, &cat, bytes, sizeof bytes, sizeof bytes);
}

static void after_run(int64_t result)
{
    expect(result == 0 || result == -ECANCELED);
    expect(result < 0 || run.out.result == PLENTY);
    expect(run.out.result >= 0 && run.err.result == 0);
    expect(loaded_is(run.out.data, 0, (size_t)run.out.result));
    expect(result < 0 || (run.out.data && run.err.data));
    rill_process_run_finish(&run);
    expect_no_children();
}

static void reset(void)
{
    memset(&child, 0, sizeof child);
    memset(&run, 0, sizeof run);
    memset(&write_op, 0, sizeof write_op);
}

static const struct cancel_operation operations[] = {
    {"process_wait", IN_REAL, start_ending_child, wait_for_child, after_wait, false},
    {"process_close", IN_REAL, start_child, close_at_once, after_close, false},
    {"process_close_with_grace", IN_REAL, start_child, close_with_grace, after_close_with_grace,
     false},
    {"pipe_write_all", IN_REAL, start_feeding, feed, after_feed, false},
    {"process_run", IN_REAL, start_run, run_cat, after_run, false},
};

int main(void)
{
    if (no_children_here())
        return 77;
    return cancel_main("cancel_process", operations, sizeof operations / sizeof *operations, reset,
                       NULL);
}
