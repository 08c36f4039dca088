/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_pipeline.c - cat.c over RDMA: blocks of a file are read into registered buffers while
 * those before are on their way to the other side, which writes them to standard output. Both
 * sides are in one program here. */
#include "io/file.h"
#include "io/program.h"
#include "rdma/pipeline.h"
#include "runtime/scope.h"

#include <stdio.h>
#include <unistd.h>

enum { BLOCK = 64 << 10, IN_FLIGHT = 4, TAG = 1 };

struct writer {
    struct rill_task task;
    struct rill_rdma_hub *hub;
    struct rill_rdma_am stranger;
    struct rill_rdma_connection connection;
    struct rill_rdma_state_wait connected;
    struct rill_rdma_transfer recv;
    struct rill_file output;
    struct rill_op write;
    char block[BLOCK];
};

static enum rill_poll writer_poll(struct rill_future *self, struct rill_task *task)
{
    struct writer *writer = rill_container_of(self, struct writer, task.future);

    RILL_BEGIN();
    RILL_AWAIT(rill_rdma_accept_worker(writer->hub, &writer->stranger));
    if (writer->stranger.result < 0)
        RILL_RETURN(writer->stranger.result);
    writer->write.result =
        rill_rdma_adopt_worker(&writer->connection, writer->hub, &writer->stranger, NULL);
    if (writer->write.result < 0)
        RILL_RETURN(writer->write.result);
    rill_file_adopt(&writer->output, STDOUT_FILENO);
    RILL_AWAIT(rill_rdma_wait_for_connection(&writer->connection, &writer->connected));
    while (writer->write.result >= 0) {
        RILL_AWAIT(rill_rdma_recv(&writer->connection, &writer->recv, writer->block,
                                  sizeof writer->block, TAG));
        if (writer->recv.result < 0)
            break;
        RILL_AWAIT(rill_file_write_all(&writer->output, &writer->write, writer->block,
                                       (size_t)writer->recv.result));
    }
    rill_file_release(&writer->output);
    RILL_AWAIT(rill_rdma_disconnect(&writer->connection));
    RILL_RETURN(writer->write.result < 0 ? writer->write.result : 0);
    RILL_END();
}

struct reader {
    struct rill_future future, sending;
    struct rill_rdma here, there; /* end with the runtime */
    struct rill_rdma_hub hub, hub_there;
    struct rill_scope scope;
    struct writer writer; /* its task is in scope */
    struct rill_rdma_connection connection;
    struct rill_rdma_pipeline pipeline;
    struct rill_rdma_pipeline_slot slots[IN_FLIGHT];
    struct rill_rdma_buffer_pool buffers;
    struct rill_rdma_buffer_take block;
    struct rill_file file;
    struct rill_op read;
    const char *path;
    int64_t error;
};

static int reader_open(struct reader *reader)
{
    const struct rill_rdma_buffer_pool_options options = {.largest = BLOCK,
                                                          .bytes_max = (IN_FLIGHT + 1) * BLOCK};
    int error = rill_rdma_open(&reader->here, NULL);

    if (error) {
        fprintf(stderr, "no rdma: %s\n", reader->here.why.text);
        return error;
    }
    error = rill_rdma_open(&reader->there, NULL);
    if (!error)
        error = rill_rdma_hub_open(&reader->hub, &reader->here);
    if (!error)
        error = rill_rdma_hub_open(&reader->hub_there, &reader->there);
    if (!error)
        error = rill_rdma_buffer_pool_init(&reader->buffers, &reader->here, &options);
    return error;
}

static struct rill_future *connect_there(struct reader *reader)
{
    size_t size;

    return rill_rdma_connect_worker(&reader->connection, &reader->hub,
                                    rill_rdma_address(&reader->there, &size), NULL);
}

static void keep_error(struct reader *reader, int64_t result)
{
    if (result < 0 && reader->error == 0)
        reader->error = result;
}

/* Sends what the file has. Its result is 0, or what went wrong first. */
static enum rill_poll send_poll(struct rill_future *self, struct rill_task *task)
{
    struct reader *reader = rill_container_of(self, struct reader, sending);

    RILL_BEGIN();
    rill_rdma_pipeline_init(&reader->pipeline, &reader->connection, reader->slots, IN_FLIGHT, NULL);
    for (;;) {
        RILL_AWAIT(rill_rdma_buffer_take(&reader->buffers, &reader->block, BLOCK));
        keep_error(reader, reader->block.result);
        if (reader->error)
            break;
        RILL_AWAIT(
            rill_file_read(&reader->file, &reader->read, reader->block.buffer->bytes, BLOCK));
        keep_error(reader, reader->read.result);
        if (reader->read.result <= 0) {
            rill_rdma_buffer_give_back(reader->block.buffer);
            break;
        }
        RILL_AWAIT(rill_rdma_pipeline_send_buffer(&reader->pipeline, reader->block.buffer,
                                                  (size_t)reader->read.result, TAG));
        keep_error(reader, reader->pipeline.result);
        if (reader->error)
            break;
    }
    RILL_AWAIT(rill_rdma_pipeline_drain(&reader->pipeline));
    keep_error(reader, reader->pipeline.result);
    RILL_RETURN(reader->error);
    RILL_END();
}

static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct reader *reader = rill_container_of(self, struct reader, future);

    RILL_BEGIN();
    reader->error = reader_open(reader);
    if (reader->error)
        RILL_RETURN(reader->error);
    RILL_AWAIT(rill_file_open(&reader->file, reader->path, O_RDONLY, 0));
    if (reader->file.result < 0)
        RILL_RETURN(reader->file.result);
    rill_scope_init(&reader->scope, RILL_SCOPE_INDEPENDENT);
    reader->writer.hub = &reader->hub_there;
    rill_scope_spawn(&reader->scope, &reader->writer.task, writer_poll);
    RILL_AWAIT(connect_there(reader));
    keep_error(reader, reader->connection.result);
    if (reader->error == 0)
        RILL_AWAIT(rill_future_init(&reader->sending, send_poll));
    RILL_AWAIT(rill_rdma_disconnect(&reader->connection));
    keep_error(reader, reader->connection.result);
    if (reader->error)
        rill_scope_cancel(&reader->scope, RILL_CANCELLED);
    RILL_AWAIT(rill_scope_join(&reader->scope));
    keep_error(reader, reader->scope.result);
    RILL_AWAIT(rill_file_close(&reader->file));
    rill_rdma_buffer_pool_finish(&reader->buffers);
    RILL_RETURN(reader->error);
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct reader reader;

    if (argc != 2) {
        fprintf(stderr, "usage: rdma_pipeline FILE\n");
        return 2;
    }
    reader.path = argv[1];
    return rill_main(rill_future_init(&reader.future, reader_poll));
}
