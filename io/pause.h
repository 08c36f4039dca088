/* SPDX-License-Identifier: Apache-2.0 */
/* pause.h - private: how long a listener leaves off when descriptors are short: from 1 ms to 1 s,
 * twice as long each time until it has accepted again. */
#ifndef RILL_IO_PAUSE_H
#define RILL_IO_PAUSE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed at first. Zeroing length_ns has the next pause be a short one. */
struct rill_pause {
    int64_t length_ns; /* of the latest one, or 0 */
    int64_t end_ns;    /* of that */
};

/* private: begins one, longer than the one before. */
void rill_pause_begin(struct rill_pause *pause);

#ifdef __cplusplus
}
#endif
#endif
