/* SPDX-License-Identifier: Apache-2.0 */
/* room.h - a service that sends what one of its connections sends to all of them. */
#ifndef RILL_BENCH_ROOM_H
#define RILL_BENCH_ROOM_H

#include "net/server.h"

/* The service of all servers of this process: one room. A connection that falls behind
 * by more messages than the room keeps is closed. Call it once; room_close ends it when
 * no connection is left. */
struct rill_service room_open(void);
void room_close(void);

#endif
