/* SPDX-License-Identifier: Apache-2.0 */
/* futures.c - a future written by hand, and one with macros that awaits it. */
#include "io/program.h"
#include "runtime/executor.h"

#include <errno.h>
#include <stdio.h>

/* By hand: a letter box. Its future is ready when a letter lies in it. */
struct box {
    struct rill_future future; /* its result: the letter, or -ECANCELED */
    struct rill_task *waiter;  /* to be woken by a letter, or NULL */
    char letter;               /* 0 while there is none */
};

static enum rill_poll box_poll(struct rill_future *self, struct rill_task *task)
{
    struct box *box = rill_container_of(self, struct box, future);

    if (!box->letter && !rill_task_is_cancelled(task)) {
        box->waiter = task;
        return RILL_PENDING;
    }
    box->waiter = NULL;
    if (rill_end_at_once(self, task, box->letter ? box->letter : -ECANCELED) == RILL_PENDING)
        return RILL_PENDING; /* others run first: the task was woken, and asks again */
    box->letter = 0;
    return RILL_READY;
}

static struct rill_future *box_take(struct box *box)
{
    static const struct rill_place place = {"wait for a letter", NULL, 0};

    rill_future_init(&box->future, box_poll);
    box->future.place = &place; /* how a waiting task is printed; it can be left out */
    return &box->future;
}

/* Puts a letter into an empty box. */
static void box_put(struct box *box, char letter)
{
    box->letter = letter;
    if (box->waiter)
        rill_task_wake(box->waiter);
}

/* With macros: prints letters until it is cancelled. */
struct reader {
    struct rill_task task;
    struct box box;
    int count;
};

static enum rill_poll reader_poll(struct rill_future *self, struct rill_task *task)
{
    struct reader *reader = rill_container_of(self, struct reader, task.future);

    RILL_BEGIN();
    for (;; reader->count++) {
        RILL_AWAIT(box_take(&reader->box));
        if (reader->box.future.result < 0)
            break;
        printf("a letter: %c\n", (char)reader->box.future.result);
    }
    RILL_RETURN(reader->count);
    RILL_END();
}

struct writer {
    struct rill_future future;
    struct reader reader;
    struct rill_join join;
    const char *next;
};

static enum rill_poll writer_poll(struct rill_future *self, struct rill_task *task)
{
    struct writer *writer = rill_container_of(self, struct writer, future);

    RILL_BEGIN();
    rill_task_spawn(&writer->reader.task, reader_poll);
    for (writer->next = "abc"; *writer->next; writer->next++) {
        box_put(&writer->reader.box, *writer->next);
        RILL_YIELD(); /* the reader runs */
    }
    rill_task_cancel(&writer->reader.task); /* its await ends with -ECANCELED */
    RILL_AWAIT(rill_task_join(&writer->reader.task, &writer->join));
    printf("%d letters\n", (int)writer->join.result);
    RILL_END();
}

int main(void)
{
    static struct writer writer;

    return rill_main(rill_future_init(&writer.future, writer_poll));
}
