/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"

#include "io/readiness.h"
#include "runtime/task.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What the future and its thread share. Either may be the last to use it. */
struct rill_lookup {
    atomic_int users;
    int done_fd; /* an eventfd that the thread writes when found and error are set */
    int error;   /* of getaddrinfo */
    int sys_error;
    struct addrinfo *found;
    char host[];
};

static atomic_int lookups_running;

static void lookup_release(struct rill_lookup *lookup)
{
    if (atomic_fetch_sub(&lookup->users, 1) > 1)
        return;
    if (lookup->found)
        freeaddrinfo(lookup->found);
    close(lookup->done_fd);
    free(lookup);
}

static void *lookup_main(void *argument)
{
    static const struct addrinfo stream = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct rill_lookup *lookup = argument;
    const uint64_t one = 1;

    lookup->error = getaddrinfo(lookup->host, NULL, &stream, &lookup->found);
    lookup->sys_error = errno;
    atomic_fetch_sub(&lookups_running, 1);
    /* An eventfd takes 2^64 - 2 of these; the write can not fail. */
    (void)!write(lookup->done_fd, &one, sizeof one);
    lookup_release(lookup);
    return NULL;
}

/* A thread of the library's must not be the one that gets the program's signals. */
static int start_thread(struct rill_lookup *lookup)
{
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    int error;

    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&thread, &attributes, lookup_main, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return -error;
}

/* Starts the thread. Returns 0 or -errno. */
static int lookup_start(struct rill_resolve *resolve)
{
    size_t size = strlen(resolve->host) + 1;
    struct rill_lookup *lookup;
    int error;

    if (atomic_fetch_add(&lookups_running, 1) >= RILL_RESOLVE_LOOKUPS_MAX) {
        error = -EAGAIN;
        goto not_running;
    }
    lookup = calloc(1, sizeof *lookup + size);
    if (!lookup) {
        error = -ENOMEM;
        goto not_running;
    }
    memcpy(lookup->host, resolve->host, size);
    lookup->done_fd = eventfd(0, EFD_CLOEXEC);
    if (lookup->done_fd < 0) {
        error = -errno;
        goto free_lookup;
    }
    atomic_init(&lookup->users, 2);
    error = start_thread(lookup);
    if (error)
        goto close_done;
    resolve->lookup = lookup;
    return 0;

close_done:
    close(lookup->done_fd);
free_lookup:
    free(lookup);
not_running:
    atomic_fetch_sub(&lookups_running, 1);
    return error;
}

static int errno_of(const struct rill_lookup *lookup)
{
    switch (lookup->error) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_FAIL:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return -lookup->sys_error;
    default:
        return -EIO;
    }
}

/* Copies the addresses that were found. Returns their number or -errno. */
static int64_t lookup_take(struct rill_resolve *resolve)
{
    int count = 0;

    if (resolve->lookup->error)
        return errno_of(resolve->lookup);
    for (struct addrinfo *info = resolve->lookup->found; info; info = info->ai_next) {
        struct rill_address *address = &resolve->addresses[count];

        if (count == RILL_RESOLVE_ADDRESSES_MAX)
            break;
        if (info->ai_addrlen > sizeof address->ip6)
            continue;
        memcpy(&address->any, info->ai_addr, info->ai_addrlen);
        address->size = info->ai_addrlen;
        rill_address_set_port(address, resolve->port);
        count++;
    }
    return count > 0 ? count : -ENOENT;
}

static enum rill_poll resolve_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_resolve *resolve = rill_container_of(self, struct rill_resolve, future);

    RILL_BEGIN();
    if (rill_address_parse(&resolve->addresses[0], resolve->host, resolve->port) == 0)
        RILL_RETURN(1);
    if (rill_task_is_cancelled(task))
        RILL_RETURN(-ECANCELED);
    resolve->result = lookup_start(resolve);
    if (resolve->result < 0)
        RILL_RETURN(resolve->result);
    RILL_AWAIT(rill_fd_wait(&resolve->wait, resolve->lookup->done_fd, POLLIN));
    resolve->result = resolve->wait.result < 0 ? resolve->wait.result : lookup_take(resolve);
    lookup_release(resolve->lookup);
    RILL_RETURN(resolve->result);
    RILL_END();
}

struct rill_future *rill_resolve(struct rill_resolve *resolve, const char *host, uint16_t port)
{
    resolve->host = host;
    resolve->port = port;
    resolve->lookup = NULL;
    return rill_future_init(&resolve->future, resolve_poll);
}
