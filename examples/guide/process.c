/* SPDX-License-Identifier: Apache-2.0 */
/* process.c - runs commands: one for what it prints, one that takes too long, and one that is
 * written to and read from at the same time. */
#include "io/pipe.h"
#include "io/process_run.h"
#include "io/program.h"
#include "runtime/scope.h"
#include "runtime/timeout.h"

#include <stdio.h>
#include <string.h>

static const struct rill_process_options sort = {
    .argv = (const char *const[]){"sort", "-n", NULL},
};
static const struct rill_process_options endless = {
    .argv = (const char *const[]){"tail", "-f", "/dev/null", NULL},
};
static const struct rill_process_options filter = {
    .argv = (const char *const[]){"tr", "a-z", "A-Z", NULL},
    .in = RILL_PROCESS_PIPE,
    .out = RILL_PROCESS_PIPE,
};

/* Writes to the filter. A pipe holds 64 KiB: if one task first wrote all and then read, it would
 * wait for the filter to read on, and the filter for the task to read what it has written. */
struct writer {
    struct rill_task task;
    struct rill_pipe_write write;
    struct rill_process *process;
    char text[1000 * 1000];
};

struct program {
    struct rill_future future;
    struct rill_process_run run;
    struct rill_timeout limit;
    struct rill_process process;
    struct rill_scope scope;
    struct writer writer;
    struct rill_op read;
    char buffer[4096];
    int count;
};

static enum rill_poll writer_poll(struct rill_future *self, struct rill_task *task)
{
    struct writer *writer = rill_container_of(self, struct writer, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_pipe_write_all(writer->process->in, &writer->write, writer->text,
                                   sizeof writer->text));
    rill_process_close_in(writer->process); /* or the filter would wait for more */
    RILL_RETURN(writer->write.result);
    RILL_END();
}

static int count_of(const char *bytes, int64_t size, char wanted)
{
    int count = 0;

    for (int64_t i = 0; i < size; i++)
        count += bytes[i] == wanted;
    return count;
}

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    /* All at once: start, write, read, wait. */
    RILL_AWAIT(rill_process_run(&program->run, &sort, "10\n9\n1\n", 7, 4096));
    if (program->run.result < 0)
        RILL_RETURN(program->run.result);
    printf("sort exits with %d and says:\n%s", WEXITSTATUS((int)program->run.result),
           program->run.out.data);
    rill_process_run_finish(&program->run);

    /* With a limit: what is cancelled is killed, and reaped. */
    RILL_AWAIT(rill_timeout(&program->limit, 50 * RILL_MILLISECOND,
                            rill_process_run(&program->run, &endless, NULL, 0, 4096)));
    printf("tail: %s\n", strerror((int)-program->limit.result));
    rill_process_run_finish(&program->run);

    /* Step by step. */
    self->result = rill_process_start(&program->process, &filter);
    if (self->result < 0)
        RILL_RETURN(self->result);
    rill_scope_init(&program->scope, RILL_SCOPE_INDEPENDENT);
    program->writer.process = &program->process;
    memset(program->writer.text, 'x', sizeof program->writer.text);
    rill_scope_spawn(&program->scope, &program->writer.task, writer_poll);
    do {
        RILL_AWAIT(rill_file_read(&program->process.out, &program->read, program->buffer,
                                  sizeof program->buffer));
        program->count += count_of(program->buffer, program->read.result, 'X');
    } while (program->read.result > 0);
    RILL_AWAIT(rill_scope_join(&program->scope));
    RILL_AWAIT(rill_process_wait(&program->process));
    printf("tr has written %d times X, and exits with %d\n", program->count,
           WEXITSTATUS((int)program->process.result));

    /* Nothing is left to be ended here. In a cancelled task it is what ends the child. */
    RILL_AWAIT(rill_process_close(&program->process, 2 * RILL_SECOND));
    RILL_END();
}

int main(void)
{
    static struct program program;

    return rill_main(rill_future_init(&program.future, program_poll));
}
