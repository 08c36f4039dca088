/* SPDX-License-Identifier: Apache-2.0 */
/* join_all.c - three parts of one result, fetched at the same time. */
#include "runtime/join_all.h"
#include "io/program.h"
#include "runtime/sleep.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct part {
    struct rill_future future;
    struct rill_sleep work;
    int64_t takes_ns, answer;
};

static enum rill_poll part_poll(struct rill_future *self, struct rill_task *task)
{
    struct part *part = rill_container_of(self, struct part, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_sleep(&part->work, part->takes_ns));
    RILL_RETURN(part->work.result < 0 ? part->work.result : part->answer);
    RILL_END();
}

static struct rill_future *fetch(struct part *part)
{
    return rill_future_init(&part->future, part_poll);
}

struct page {
    struct rill_future future;
    struct part head, body, image;
    struct rill_join_all all;
    struct rill_future *parts[3];
};

static enum rill_poll page_poll(struct rill_future *self, struct rill_task *task)
{
    struct page *page = rill_container_of(self, struct page, future);

    RILL_BEGIN();
    RILL_AWAIT(rill_join_all(&page->all,
                             RILL_FUTURES(page->parts, fetch(&page->head), fetch(&page->body))));
    printf("both are there: %d and %d\n", (int)page->head.future.result,
           (int)page->body.future.result);

    RILL_AWAIT(
        rill_try_join_all(&page->all, RILL_FUTURES(page->parts, fetch(&page->head),
                                                   fetch(&page->body), fetch(&page->image))));
    printf("part %d failed: %s\n", page->all.failed, strerror((int)-page->all.result));
    printf("the head was there already: %d\n", (int)page->head.future.result);
    printf("the body was not: %s\n", strerror((int)-page->body.future.result));
    RILL_END();
}

int main(void)
{
    static struct page page = {
        .head = {.takes_ns = 5 * RILL_MILLISECOND, .answer = 1},
        .body = {.takes_ns = 150 * RILL_MILLISECOND, .answer = 2},
        .image = {.takes_ns = 20 * RILL_MILLISECOND, .answer = -EIO},
    };

    return rill_main(rill_future_init(&page.future, page_poll));
}
