/* SPDX-License-Identifier: Apache-2.0 */
/* client.h - blocking clients of an echo server, well-behaved ones and others.
 *
 * They are plain sockets. Every call has a limit, and passing it fails the test. */
#ifndef RILL_TESTS_CLIENT_H
#define RILL_TESTS_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { CLIENT_LIMIT_MS = 30 * 1000 };

/* Connects to 127.0.0.1 or, of the family AF_INET6, to ::1. Returns the socket. */
int client_connect(uint16_t port);
int client_connect_family(int family, uint16_t port);

/* Whether nobody listens there. */
int client_is_refused(uint16_t port);

/* Sends size bytes, different ones for each seed. */
void client_send(int fd, size_t size, uint64_t seed);

/* Receives size bytes and checks that they are those that were sent. */
void client_receive(int fd, size_t size, uint64_t seed);

/* Sends and receives size bytes at the same time, and checks them. */
void client_echo(int fd, size_t size, uint64_t seed);

/* Sends on all of them, reading nothing, until no more fits between here and the
 * other side's program. Returns how many bytes did. */
size_t client_stuff(const int *fds, unsigned count);

void client_finish_sending(int fd);
void client_expect_end(int fd); /* the other side has finished sending, too */

void client_close(int fd);
void client_reset(int fd); /* closes with RST instead of FIN */

/* Makes a process with a connection on which it sends for ever, reading nothing.
 * client_kill ends it by SIGKILL, in the middle of that. */
pid_t client_fork(uint16_t port);
void client_kill(pid_t pid);

#endif
