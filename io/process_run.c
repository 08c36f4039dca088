/* SPDX-License-Identifier: Apache-2.0 */
#include "io/process_run.h"

#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <stdlib.h>

/* Writes the input, and then the end. */
static enum rill_poll feed_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_process_run *run = rill_container_of(self, struct rill_process_run, feed);

    RILL_BEGIN();
    RILL_AWAIT(rill_pipe_write_all(run->process.in, &run->write, run->input, run->input_size));
    rill_process_close_in(&run->process);
    /* Who has read enough (head(1)) need not read the rest. */
    RILL_RETURN(run->write.result == -EPIPE ? 0 : run->write.result);
    RILL_END();
}

/* Starts the command. Returns 0 or -errno. */
static int start(struct rill_process_run *run)
{
    struct rill_process_options options = run->options;

    if (run->input)
        options.in = RILL_PROCESS_PIPE;
    else if (options.in == RILL_PROCESS_INHERIT)
        options.in = RILL_PROCESS_NULL;
    if (options.out == RILL_PROCESS_INHERIT)
        options.out = RILL_PROCESS_PIPE;
    if (options.err == RILL_PROCESS_INHERIT)
        options.err = RILL_PROCESS_PIPE;
    options.new_group = true;
    return rill_process_start(&run->process, &options);
}

static struct rill_future *collect(struct rill_process_run *run, struct rill_file *file,
                                   struct rill_read_to_end *read)
{
    struct rill_future *future = rill_file_read_to_end(file, read, run->limit);

    read->keeps = true;
    return future;
}

/* What has come is there, however it ended. */
static void complete(const struct rill_process_run *run, struct rill_read_to_end *read)
{
    if (read->result >= 0)
        return;
    if (read->size > run->limit)
        read->size = run->limit;
    if (read->data)
        read->data[read->size] = '\0';
    read->result = (int64_t)read->size;
}

/* All that has to go on while the command runs. */
static struct rill_future *exchange(struct rill_process_run *run)
{
    uint32_t count = 0;

    if (run->process.in_is_open)
        run->parts[count++] = rill_future_init(&run->feed, feed_poll);
    if (run->process.out.is_open)
        run->parts[count++] = collect(run, &run->process.out, &run->out);
    if (run->process.err.is_open)
        run->parts[count++] = collect(run, &run->process.err, &run->err);
    return rill_try_join_all(&run->all, run->parts, count);
}

/* The pipes come first and the end of the command behind them: until it is reaped its group can
 * be ended with it, those included who hold a pipe when the command has ended already. */
static enum rill_poll run_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_process_run *run = rill_container_of(self, struct rill_process_run, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* it may not begin at all */
    run->result = rill_task_is_cancelled(task) ? -ECANCELED : start(run);
    if (run->result < 0)
        RILL_RETURN(run->result);
    RILL_AWAIT(exchange(run));
    run->result = run->all.result;
    if (run->result == 0) {
        RILL_AWAIT(rill_process_wait(&run->process));
        run->result = run->process.result;
    }
    RILL_AWAIT(rill_process_close(&run->process, 0));
    complete(run, &run->out);
    complete(run, &run->err);
    RILL_RETURN(run->result);
    RILL_END();
}

struct rill_future *rill_process_run(struct rill_process_run *run,
                                     const struct rill_process_options *options, const void *input,
                                     size_t input_size, size_t limit)
{
    rill_check(!run->future.awaits, "a run of a process is used while it is pending");
    rill_check(!run->out.data && !run->err.data,
               "a run of a process is used again before it was finished");
    run->out.result = 0;
    run->err.result = 0;
    run->options = *options;
    run->input = input;
    run->input_size = input_size;
    run->limit = limit;
    return rill_future_init(&run->future, run_poll);
}

void rill_process_run_finish(struct rill_process_run *run)
{
    free(run->out.data);
    free(run->err.data);
    run->out.data = NULL;
    run->err.data = NULL;
}
