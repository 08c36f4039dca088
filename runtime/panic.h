/* SPDX-License-Identifier: Apache-2.0 */
/* panic.h - ends the process on a mistake in the program, naming task and place.
 *
 * The world's failures are results (-errno). A broken rule of the interface is
 * not a result that a program could go on with: it is said, and the process
 * aborts, in release builds too. */
#ifndef RILL_RUNTIME_PANIC_H
#define RILL_RUNTIME_PANIC_H

#ifdef __cplusplus
extern "C" {
#endif

/* Prints the message, the place and, if a task runs, its chain of futures on
 * stderr, then aborts. */
__attribute__((noreturn, cold, format(printf, 3, 4))) void rill_panic_at(const char *file, int line,
                                                                         const char *format, ...);

#define rill_panic(...) rill_panic_at(__FILE__, __LINE__, __VA_ARGS__)

/* Panics with the message where condition is false. */
#define rill_check(condition, ...)                                                                 \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            rill_panic_at(__FILE__, __LINE__, __VA_ARGS__);                                        \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
