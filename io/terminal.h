/* SPDX-License-Identifier: Apache-2.0 */
/* terminal.h - what is different about terminals: they wait, and they stop who reads them from
 * the background. */
#ifndef RILL_IO_TERMINAL_H
#define RILL_IO_TERMINAL_H

#include "io/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* private, for io/file.h: an op that was prepared to move bytes moves those of a terminal. */
void rill_terminal_prepare(struct rill_op *op);

#ifdef __cplusplus
}
#endif
#endif
