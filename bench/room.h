/* SPDX-License-Identifier: Apache-2.0 */
/* room.h - a service that sends what one of its connections sends to all of them. */
#ifndef RILL_BENCH_ROOM_H
#define RILL_BENCH_ROOM_H

#include "bench/echo_counts.h"
#include "net/server.h"

/* The service of all servers of this process: one room. A connection that falls behind
 * by more messages than the room keeps is closed. What comes is counted in counts, which is
 * borrowed. Call it once; room_close ends it when no connection is left. */
struct rill_service room_open(struct echo_counts *counts);
void room_close(void);

#endif
