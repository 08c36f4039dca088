/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - a plain echo server for scenarios that need somebody to talk to. */
#ifndef RILL_TESTS_SERVICE_H
#define RILL_TESTS_SERVICE_H

#include "net/server.h"
#include "tests/fixture.h"

struct service {
    struct rill_server server;
    struct background serving;
};

/* Connections of echo services that did not end with an end of stream, since the last
 * one was started. */
extern size_t service_errors;

void service_start(struct service *service, const char *url, struct rill_service what);
void service_start_echo(struct service *service, const char *url);

/* Stops accepting; those that are connected go on. */
void service_stop(struct service *service);

#endif
