/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/panic.h"

#include "runtime/executor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void rill_panic_at(const char *file, int line, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "rill: %s:%d: ", file, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (rill_executor_of_thread && rill_executor_of_thread->running)
        rill_task_print(rill_executor_of_thread->running, stderr);
    abort();
}
