/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/line.h"

#include "runtime/panic.h"

void rill_line_finish(const struct rill_line *line, const char *what)
{
    if (!rill_link_is_linked(&line->places) || rill_line_is_empty(line))
        return;
    rill_task_print(rill_line_first(line)->task, stderr);
    rill_panic("%s was finished while a task (above) waits for it", what);
}
