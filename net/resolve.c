/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"

#include "io/remote.h"
#include "io/workers.h"
#include "runtime/executor.h"
#include "runtime/panic.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

enum lookup_state {
    LOOKUP_RUNS,      /* in the pool, and somebody waits. Becomes one of the others. */
    LOOKUP_ANSWERED,  /* the thread is done, and posts it or has: the runtime frees it */
    LOOKUP_ABANDONED, /* nobody waits any more: the thread frees it */
};

/* What the future and its thread share. It is not part of the future, which a cancel
 * ends at once, while getaddrinfo cannot be stopped. */
struct rill_lookup {
    struct rill_job job;
    struct rill_post answered;
    struct rill_remote *remote; /* held */
    struct rill_task *task;     /* that waits, or NULL. The runtime's thread. */
    bool is_answered;           /* likewise */
    int state;                  /* atomic: enum lookup_state */
    int error;                  /* of getaddrinfo, and errno */
    int sys_error;
    struct addrinfo *found;
    char host[];
};

/* Look-ups have threads of their own: a name server that does not answer would take
 * those of a shared pool from all other work for minutes. */
static struct rill_workers lookups =
    RILL_WORKERS_STATIC(lookups, RILL_RESOLVE_LOOKUPS_MAX, RILL_RESOLVE_WAITING_MAX);

static void lookup_free(struct rill_lookup *lookup)
{
    if (lookup->found)
        freeaddrinfo(lookup->found);
    rill_remote_release(lookup->remote);
    free(lookup);
}

static void answered(struct rill_post *post)
{
    struct rill_lookup *lookup = rill_container_of(post, struct rill_lookup, answered);

    lookup->is_answered = true;
    if (lookup->task)
        rill_task_wake(lookup->task);
    else
        lookup_free(lookup);
}

/* On the pool's thread. */
static void look_up(struct rill_job *job)
{
    /* All families, without AI_ADDRCONFIG: that leaves out one of which only the loopback has an
     * address, and a name of ::1 would then not be found where the network speaks IPv4. */
    static const struct addrinfo stream = {.ai_socktype = SOCK_STREAM};
    struct rill_lookup *lookup = rill_container_of(job, struct rill_lookup, job);
    struct rill_remote *remote = lookup->remote;

    errno = 0;
    lookup->error = getaddrinfo(lookup->host, NULL, &stream, &lookup->found);
    lookup->sys_error = errno;
    rill_remote_hold(remote);
    if (__atomic_exchange_n(&lookup->state, LOOKUP_ANSWERED, __ATOMIC_ACQ_REL) ==
            LOOKUP_ABANDONED ||
        rill_post(remote, &lookup->answered) < 0) /* the runtime has ended meanwhile */
        lookup_free(lookup);
    rill_remote_release(remote);
}

/* Gives the look-up to a thread. Returns 0 or -errno. */
static int lookup_start(struct rill_resolve *resolve, struct rill_task *task)
{
    size_t size = strlen(resolve->host) + 1;
    struct rill_lookup *lookup = calloc(1, sizeof *lookup + size);
    int error;

    if (!lookup)
        return -ENOMEM;
    memcpy(lookup->host, resolve->host, size);
    lookup->job.run = look_up;
    lookup->task = task;
    rill_post_init(&lookup->answered, answered);
    error = rill_remote_open(&lookup->remote);
    if (!error)
        error = rill_workers_submit(&lookups, &lookup->job);
    if (error)
        lookup_free(lookup);
    else
        resolve->lookup = lookup;
    return error;
}

/* Leaves a look-up to whoever has it last. */
static void lookup_abandon(struct rill_lookup *lookup)
{
    lookup->task = NULL;
    if (rill_workers_withdraw(&lookups, &lookup->job))
        lookup_free(lookup);
    else
        (void)__atomic_exchange_n(&lookup->state, LOOKUP_ABANDONED, __ATOMIC_ACQ_REL);
}

static bool is_short(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

static int errno_of(const struct rill_lookup *lookup)
{
    switch (lookup->error) {
    case EAI_NONAME: /* glibc's answer, too, where it cannot open /etc/hosts or a socket */
        return is_short(lookup->sys_error) ? -lookup->sys_error : -ENOENT;
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
    case EAI_FAIL:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM: /* errno may say nothing: then it was a module of nsswitch.conf(5) */
        return lookup->sys_error > 0 ? -lookup->sys_error : -EIO;
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

/* Waits for the thread. */
static enum rill_poll answer_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_resolve *resolve = rill_container_of(self, struct rill_resolve, answer);
    struct rill_lookup *lookup = resolve->lookup;

    if (lookup->is_answered) {
        self->result = lookup_take(resolve);
        lookup_free(lookup);
        return RILL_READY;
    }
    if (rill_task_is_cancelled(task)) {
        lookup_abandon(lookup);
        self->result = -ECANCELED;
        return RILL_READY;
    }
    lookup->task = task;
    return RILL_PENDING;
}

static struct rill_future *wait_for_answer(struct rill_resolve *resolve)
{
    static const struct rill_place name = {"look up a name", NULL, 0};

    rill_future_init(&resolve->answer, answer_poll);
    resolve->answer.place = &name;
    return &resolve->answer;
}

static enum rill_poll resolve_poll(struct rill_future *self, struct rill_task *task)
{
    struct rill_resolve *resolve = rill_container_of(self, struct rill_resolve, future);

    RILL_BEGIN();
    RILL_SPEND_BUDGET(); /* it may end at once */
    if (rill_address_parse(&resolve->addresses[0], resolve->host, resolve->port) == 0)
        RILL_RETURN(1);
    if (rill_task_is_cancelled(task))
        RILL_RETURN(-ECANCELED);
    resolve->result = lookup_start(resolve, task);
    if (resolve->result < 0)
        RILL_RETURN(resolve->result);
    RILL_AWAIT(wait_for_answer(resolve));
    RILL_RETURN(resolve->answer.result);
    RILL_END();
}

struct rill_future *rill_resolve(struct rill_resolve *resolve, const char *host, uint16_t port)
{
    rill_check(host, "NULL is to be looked up; want a name or an address");
    resolve->host = host;
    resolve->port = port;
    resolve->lookup = NULL;
    return rill_future_init(&resolve->future, resolve_poll);
}
