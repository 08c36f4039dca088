/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/future.h"

#include "runtime/panic.h"

enum rill_poll rill_future_poll_ended(struct rill_future *self, struct rill_task *task)
{
    (void)task;
    rill_panic("a future (%s) was awaited again after it had ended",
               self->place ? self->place->function : "without a name");
}

void rill_future_bad_await(const struct rill_future *future)
{
    const struct rill_place *place = future->place;

    rill_panic("%s awaits at %s:%d %s", place->function, place->file, place->line,
               future->awaits
                   ? "a future that was never prepared: want what a function of rill, or "
                     "rill_future_init, has returned"
                   : "NULL: want a future");
}

void rill_future_bad_child(const struct rill_future *child, const char *combinator)
{
    if (!child)
        rill_panic("%s was given NULL to await", combinator);
    rill_panic("%s was given itself to await: where one stands within the other each needs a "
               "struct of its own",
               combinator);
}

void rill_future_bad_resume(const struct rill_future *future)
{
    const struct rill_place *place = future->place;

    if (place->line < 0)
        rill_panic("a future was polled after it had ended: %s, at %s:%d", place->function,
                   place->file, -place->line);
    rill_panic("%s cannot go on at %s:%d: an await stands inside a switch statement",
               place->function, place->file, place->line);
}
