/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/shortage.h"

#include "runtime/executor.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- how many there are ---- */

bool rill_rdma_take_fds(size_t count)
{
    int fds[512];
    size_t taken = 0;

    if (count > sizeof fds / sizeof *fds)
        count = sizeof fds / sizeof *fds;
    fds[0] = eventfd(0, EFD_CLOEXEC);
    while (taken < count && fds[taken] >= 0) {
        taken++;
        if (taken < count)
            fds[taken] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    }
    for (size_t i = 0; i < taken; i++)
        close(fds[i]);
    return taken == count;
}

void rill_rdma_shortage_note_young(struct rill_rdma_ep *ep)
{
    ep->made_ns = rill_now();
    rill_list_append(&ep->rdma->young, &ep->young);
    ep->rdma->young_count++;
}

void rill_rdma_shortage_note_settled(struct rill_rdma_ep *ep)
{
    if (!rill_link_is_linked(&ep->young))
        return;
    rill_link_remove(&ep->young);
    ep->rdma->young_count--;
}

static void settle_old_ones(struct rill_rdma *rdma)
{
    const int64_t before_ns = rill_now() - RILL_RDMA_YOUNG_NS;

    while (!rill_list_is_empty(&rdma->young)) {
        struct rill_rdma_ep *ep = rill_container_of(rdma->young.next, struct rill_rdma_ep, young);

        if (ep->made_ns > before_ns)
            return;
        rill_rdma_shortage_note_settled(ep);
    }
}

bool rill_rdma_has_fds(struct rill_rdma *rdma)
{
    settle_old_ones(rdma);
    return rdma->ucx->has_fds(RILL_RDMA_FDS_SPARE + RILL_RDMA_FDS_OF_EP * (1 + rdma->young_count));
}

/* ---- pausing ---- */

static void set_listening(struct rill_rdma_listener *listener, bool listens)
{
    if (listener->fd >= 0)
        (void)listener->rdma->ucx->set_listening(listener->fd, listens);
}

static void listen_or_pause(struct rill_rdma_listener *listener)
{
    set_listening(listener, !listener->is_full && !rill_link_is_linked(&listener->pausing.link));
}

void rill_rdma_listener_set_full(struct rill_rdma_listener *listener, bool is_full)
{
    if (!listener->is_open || is_full == listener->is_full)
        return;
    listener->is_full = is_full;
    listen_or_pause(listener);
}

static void count_shortage(struct rill_rdma_listener *listener)
{
    listener->shortages++;
    rill_pause_begin(&listener->pause);
}

/* Called within progress. */
static unsigned look_for_fds(struct rill_rdma_watcher *watcher)
{
    struct rill_rdma_listener *listener =
        rill_container_of(watcher, struct rill_rdma_listener, pausing);

    if (rill_now() < listener->pause.end_ns)
        return 0;
    if (!rill_rdma_has_fds(listener->rdma)) {
        count_shortage(listener);
        return 0;
    }
    rill_rdma_unwatch(listener->rdma, watcher);
    listen_or_pause(listener);
    return 0;
}

void rill_rdma_listener_pause(struct rill_rdma_listener *listener)
{
    if (!listener->is_open || rill_link_is_linked(&listener->pausing.link))
        return;
    count_shortage(listener);
    listener->pausing.look = look_for_fds;
    rill_rdma_watch(listener->rdma, &listener->pausing);
    listen_or_pause(listener);
}

/* ---- what UCX's thread finds ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct rill_link listeners = {&listeners, &listeners}; /* of the process, with a socket */

/* As UCX has it (ucs/sys/sock.c): of a socket that could not be made or accepted it says what the
 * limit is, of other reasons the errno. */
static bool tells_of_shortage(const char *message, va_list arguments)
{
    static const char accept_failed[] = "accept() failed";

    if (strstr(message, "maximal number of files"))
        return true;
    return strcmp(message, "%s: %m") == 0 &&
           strncmp(va_arg(arguments, const char *), accept_failed, sizeof accept_failed - 1) == 0;
}

void rill_rdma_shortage_hear(const char *message, va_list arguments)
{
    if (!tells_of_shortage(message, arguments))
        return;
    pthread_mutex_lock(&mutex);
    for (struct rill_link *link = listeners.next; link != &listeners; link = link->next) {
        struct rill_rdma_listener *listener =
            rill_container_of(link, struct rill_rdma_listener, all);
        struct rill_rdma *rdma = listener->rdma;

        set_listening(listener, false);
        __atomic_store_n(&rdma->is_short, true, __ATOMIC_RELEASE);
        rdma->ucx->worker_signal(rdma->worker);
    }
    pthread_mutex_unlock(&mutex);
}

void rill_rdma_heed_shortage(struct rill_rdma *rdma)
{
    __atomic_store_n(&rdma->is_short, false, __ATOMIC_RELAXED);
    pthread_mutex_lock(&mutex);
    for (struct rill_link *link = listeners.next; link != &listeners; link = link->next) {
        struct rill_rdma_listener *listener =
            rill_container_of(link, struct rill_rdma_listener, all);

        if (listener->rdma == rdma)
            rill_rdma_listener_pause(listener);
    }
    pthread_mutex_unlock(&mutex);
}

void rill_rdma_shortage_begin(struct rill_rdma_listener *listener)
{
    if (listener->fd < 0)
        return;
    pthread_mutex_lock(&mutex);
    rill_list_append(&listeners, &listener->all);
    pthread_mutex_unlock(&mutex);
}

void rill_rdma_shortage_end(struct rill_rdma_listener *listener)
{
    pthread_mutex_lock(&mutex);
    if (rill_link_is_linked(&listener->all))
        rill_link_remove(&listener->all);
    pthread_mutex_unlock(&mutex);
    if (!listener->is_full && !rill_link_is_linked(&listener->pausing.link))
        return;
    if (rill_link_is_linked(&listener->pausing.link))
        rill_rdma_unwatch(listener->rdma, &listener->pausing);
    if (rill_rdma_has_fds(listener->rdma)) /* those in the backlog, too, are turned away by UCX */
        set_listening(listener, true);
}
