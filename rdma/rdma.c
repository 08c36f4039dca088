/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/rdma.h"

#include "io/signal_mask.h"
#include "rdma/active_message.h"
#include "rdma/error.h"
#include "rdma/hearing.h"
#include "rdma/log.h"
#include "rdma/loss.h"
#include "rdma/note.h"
#include "rdma/shortage.h"
#include "runtime/executor.h"
#include "runtime/panic.h"
#include "runtime/random.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Without root, devices for RDMA work with this much locked memory and not with the
 * usual 8 MiB. */
static const rlim_t locked_memory_want = 64 << 20;

__attribute__((noinline)) static unsigned have_watchers_look(struct rill_rdma *rdma)
{
    struct rill_link *next;
    unsigned count = 0;

    for (struct rill_link *link = rdma->watchers.next; link != &rdma->watchers; link = next) {
        struct rill_rdma_watcher *watcher = rill_container_of(link, struct rill_rdma_watcher, link);

        next = link->next;
        count += watcher->look(watcher);
    }
    return count;
}

/* UCX does not count everything that it does: it may end the flush of a worker, and call back,
 * within a call that returns 0 (ucp_worker_flush_progress). So a task that has become ready counts
 * as well. (Watchers count those that they wake.) */
static unsigned progress(struct rill_event_source *source)
{
    struct rill_rdma *rdma = rill_container_of(source, struct rill_rdma, source);
    const struct rill_executor *executor = rill_executor_here();
    size_t ready_before = executor->ready_count;
    unsigned count;

    if (__atomic_load_n(&rdma->is_short, __ATOMIC_RELAXED))
        rill_rdma_heed_shortage(rdma);
    count = rdma->ucx->worker_progress(rdma->worker);
    if (__builtin_expect(rdma->has_lost, 0))
        rill_rdma_heed_loss(rdma);

    count += executor->ready_count > ready_before;
    return rill_list_is_empty(&rdma->watchers) ? count : count + have_watchers_look(rdma);
}

/* A transport that cannot be armed, for whatever reason, has to be asked again and
 * again; -EBUSY lets the reactor do that, with pauses. */
static int arm(struct rill_event_source *source)
{
    struct rill_rdma *rdma = rill_container_of(source, struct rill_rdma, source);

    return rdma->ucx->worker_arm(rdma->worker) == UCS_OK ? 0 : -EBUSY;
}

static void close_with_runtime(struct rill_event_source *source)
{
    rill_rdma_close(rill_container_of(source, struct rill_rdma, source));
}

/* Perhaps no event tells of what a watcher waits for; as it counts as pending, sleeping is bounded
 * meanwhile. */
void rill_rdma_watch(struct rill_rdma *rdma, struct rill_rdma_watcher *watcher)
{
    rill_list_append(&rdma->watchers, &watcher->link);
    rdma->source.pending++;
    rill_event_source_touch(&rdma->source);
}

void rill_rdma_unwatch(struct rill_rdma *rdma, struct rill_rdma_watcher *watcher)
{
    if (!rill_link_is_linked(&watcher->link))
        return;
    rill_link_remove(&watcher->link);
    rdma->source.pending--;
}

/* ---- opening ---- */

/* libucs hooks the signals of a crash in its constructor. A library that is used leaves
 * them to the program; what that has put up itself meanwhile is left alone. */
static void give_signals_back(const struct rill_ucx *ucx)
{
    static const int hooked[] = {SIGHUP, SIGILL, SIGSEGV, SIGBUS, SIGFPE};

    if (getenv("UCX_HANDLE_ERRORS"))
        return;
    for (size_t i = 0; i < sizeof hooked / sizeof *hooked; i++) {
        struct sigaction action;
        Dl_info info;

        if (sigaction(hooked[i], NULL, &action) == 0 &&
            dladdr((void *)action.sa_sigaction, &info) && strstr(info.dli_fname, "libucs"))
            ucx->disable_signal(hooked[i]);
    }
}

static int complain(struct rill_rdma *rdma, ucs_status_t status, const char *what)
{
    int error = rill_rdma_errno(status);
    struct rlimit locked;
    struct statvfs shared;

    if ((error == -EAGAIN || error == -ENOSPC) && rdma->segments.shared > 0 &&
        statvfs("/dev/shm", &shared) == 0)
        return rill_rdma_say(
            &rdma->why, error,
            "UCX cannot %s: %s (%d). Shared memory takes some 5 MiB of /dev/shm, of which %llu KiB "
            "are free (mount -o remount,size=, docker --shm-size)%s",
            what, strerror(-error), (int)status,
            (unsigned long long)shared.f_bavail * shared.f_frsize >> 10,
            access("/dev/shm", W_OK) ? "; and it may not be written to" : "");
    if ((error == -ENOMEM || error == -EIO) && getrlimit(RLIMIT_MEMLOCK, &locked) == 0 &&
        locked.rlim_cur < locked_memory_want)
        return rill_rdma_say(&rdma->why, error,
                             "UCX cannot %s: %s (%d). Locked memory is limited to %llu KiB; a "
                             "device for RDMA needs 65536 (ulimit -l, or LimitMEMLOCK= of systemd)",
                             what, strerror(-error), (int)status,
                             (unsigned long long)locked.rlim_cur >> 10);
    return rill_rdma_say(&rdma->why, error, "UCX cannot %s: %s (%d)", what, strerror(-error),
                         (int)status);
}

static uint64_t features_of(const struct rill_rdma_options *options)
{
    return options->features ? options->features
                             : UCP_FEATURE_TAG | UCP_FEATURE_STREAM | UCP_FEATURE_AM |
                                   UCP_FEATURE_RMA | UCP_FEATURE_AMO32 | UCP_FEATURE_AMO64;
}

static int open_context(struct rill_rdma *rdma, const struct rill_rdma_options *options,
                        struct rill_rdma_config *config)
{
    const ucp_params_t params = {
        .field_mask = UCP_PARAM_FIELD_FEATURES | UCP_PARAM_FIELD_NAME,
        .features = UCP_FEATURE_WAKEUP | features_of(options),
        .name = "rill",
    };
    ucs_status_t status = rdma->ucx->init(&params, config->ucp, &rdma->context);
    int error;

    if (status != UCS_OK)
        return complain(rdma, status, "make a context");
    error = rill_rdma_config_check(config, rdma->ucx, options->settings, options->setting_count,
                                   &rdma->why, &rdma->remark);
    if (error)
        rdma->ucx->cleanup(rdma->context);
    rdma->segments = config->segments;
    rdma->eager_size = config->eager_size;
    return error;
}

static int open_worker(struct rill_rdma *rdma, uint64_t features)
{
    ucp_worker_params_t params = {
        .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE | UCP_WORKER_PARAM_FIELD_CLIENT_ID,
        .thread_mode = UCS_THREAD_MODE_SINGLE,
    };
    ucs_status_t status;
    int error;

    rdma->client_id = rill_random();
    params.client_id = rdma->client_id;
    status = rdma->ucx->worker_create(rdma->context, &params, &rdma->worker);
    if (status != UCS_OK)
        return complain(rdma, status, "make a worker");
    error = features & UCP_FEATURE_AM ? rill_rdma_am_prepare(rdma) : 0;
    if (error) {
        rill_rdma_say(&rdma->why, error, "UCX cannot take active messages: %s", strerror(-error));
        goto destroy_worker;
    }
    status = rdma->ucx->worker_get_efd(rdma->worker, &rdma->source.fd);
    if (status != UCS_OK) {
        error = complain(rdma, status, "wait for events");
        goto destroy_worker;
    }
    status = rdma->ucx->worker_get_address(rdma->worker, &rdma->address, &rdma->address_size);
    if (status != UCS_OK) {
        error = complain(rdma, status, "tell its address");
        goto destroy_worker;
    }
    return 0;

destroy_worker:
    rdma->ucx->worker_destroy(rdma->worker);
    return error;
}

/* Nothing but its own word goes to that worker, so that it needs little memory: room for what fits
 * into its queues. */
static int open_hearing(struct rill_rdma *rdma, struct rill_rdma_config *config)
{
    ucs_status_t status = UCS_ERR_NO_MEMORY;

    if (rill_rdma_config_lend(config, "POSIX_RX_BUFS_GROW", "80") == 0 &&
        rill_rdma_config_lend(config, "SYSV_RX_BUFS_GROW", "80") == 0)
        status = rill_rdma_hearing_open(rdma);
    if (status == UCS_OK)
        return 0;
    rdma->ucx->worker_release_address(rdma->worker, rdma->address);
    rdma->ucx->worker_destroy(rdma->worker);
    return complain(rdma, status, "make a second worker");
}

static int open_all(struct rill_rdma *rdma, const struct rill_rdma_options *options)
{
    struct rill_rdma_config config;
    unsigned wishes = (options->shared_memory ? RILL_RDMA_WISH_SHARED_MEMORY : 0) |
                      (options->long_segments ? RILL_RDMA_WISH_LONG_SEGMENTS : 0) |
                      (options->bare_endpoints ? RILL_RDMA_WISH_BARE_ENDPOINTS : 0) |
                      (options->single_copy ? RILL_RDMA_WISH_SINGLE_COPY : 0) |
                      (options->tcp_only ? RILL_RDMA_WISH_TCP_ONLY : 0);
    int error = rill_rdma_config_begin(&config, rdma->ucx, wishes, options->settings,
                                       options->setting_count, &rdma->why);

    if (error)
        return error;
    error = open_context(rdma, options, &config);
    if (!error) {
        error = open_worker(rdma, features_of(options));
        if (!error && rdma->segments.shared > 0 && features_of(options) & UCP_FEATURE_AM)
            error = open_hearing(rdma, &config);
        if (error)
            rdma->ucx->cleanup(rdma->context);
    }
    rill_rdma_config_end(&config, rdma->ucx);
    return error;
}

/* The limit of the process, as far as it can be raised, is one that does not change under a worker
 * that was made before. */
static void make_room_for_sockets(const struct rill_ucx *ucx)
{
    struct rlimit limit;

    if (!getenv("UCX_ASYNC_MAX_EVENTS") && getrlimit(RLIMIT_NOFILE, &limit) == 0)
        ucx->raise_sockets(limit.rlim_max < RILL_RDMA_SOCKETS_MAX ? (unsigned)limit.rlim_max
                                                                  : RILL_RDMA_SOCKETS_MAX);
}

int rill_rdma_open(struct rill_rdma *rdma, const struct rill_rdma_options *options)
{
    static const struct rill_event_source_ops source_ops = {progress, arm, close_with_runtime};
    static const struct rill_rdma_options defaults;
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER; /* in the environment */
    sigset_t before;
    size_t fds;
    int error;

    if (!options)
        options = &defaults;
    fds = (size_t)RILL_RDMA_FDS_OF_WORKER * (options->shared_memory ? 2 : 1);
    memset(rdma, 0, sizeof *rdma);
    rdma->ucx = options->ucx ? options->ucx : &rill_ucx_library;
    rdma->has_bare_endpoints = options->bare_endpoints;
    rill_list_init(&rdma->ops);
    rill_list_init(&rdma->watchers);
    rill_list_init(&rdma->accepting);
    rill_list_init(&rdma->notes);
    rill_list_init(&rdma->numbers);
    rill_list_init(&rdma->young);
    for (int i = 0; i < RILL_RDMA_EP_BUCKETS; i++)
        rill_list_init(&rdma->eps[i]);
    if (options->tcp_only && options->shared_memory)
        return rill_rdma_say(&rdma->why, -EINVAL,
                             "tcp_only and shared_memory were asked for, want one of them");
    if (!rdma->ucx->has_fds(fds))
        return rill_rdma_say(&rdma->why, -EMFILE,
                             "UCX needs some %zu descriptors, which there are not: raise the limit "
                             "(ulimit -n, or LimitNOFILE= of systemd)",
                             fds);
    rill_signal_mask_fill(&before); /* UCX starts a thread, or ends the process if it cannot */
    pthread_mutex_lock(&one_at_a_time);
    give_signals_back(rdma->ucx);
    make_room_for_sockets(rdma->ucx);
    error = rdma->ucx->has_thread()
                ? open_all(rdma, options)
                : rill_rdma_say(&rdma->why, -EAGAIN,
                                "UCX needs a thread of its own, which there is none for: raise the "
                                "limit (ulimit -u, or TasksMax= of systemd)");
    if (!error)
        rill_rdma_log_listen(rdma->ucx);
    pthread_mutex_unlock(&one_at_a_time);
    rill_signal_mask_restore(&before);
    if (error)
        return error;
    rdma->source.ops = &source_ops;
    rill_event_source_add(&rdma->source);
    rill_rdma_loss_begin(rdma);
    rdma->is_open = true;
    return 0;
}

/* Hubs, inboxes and services: what they hold is UCX's. */
static void close_numbers(struct rill_rdma *rdma)
{
    while (!rill_list_is_empty(&rdma->numbers)) {
        struct rill_rdma_am_number *number =
            rill_container_of(rdma->numbers.next, struct rill_rdma_am_number, taken);

        number->close(number);
    }
}

void rill_rdma_close(struct rill_rdma *rdma)
{
    if (!rdma->is_open)
        return;
    rill_rdma_hearing_close(rdma);
    rill_check(rdma->endpoints == 0, "rdma was closed with %zu endpoints open", rdma->endpoints);
    rill_check(rdma->listeners == 0, "rdma was closed with %zu listeners open", rdma->listeners);
    rill_check(rdma->memories == 0,
               "rdma was closed with %zu memories registered (rill_rdma_memory_release, "
               "rill_rdma_buffer_pool_finish)",
               rdma->memories);
    rill_check(rdma->ops_in_flight == 0, "rdma was closed with %zu operations in flight",
               rdma->ops_in_flight);
    rill_check(rdma->source.pending == 0,
               "rdma was closed while %zu tasks wait for what others send", rdma->source.pending);
    rill_check(rdma->messages == 0,
               "rdma was closed with %zu messages not given back (rill_rdma_am_release)",
               rdma->messages);
    close_numbers(rdma);
    rill_rdma_loss_end(rdma);
    rill_event_source_remove(&rdma->source);
    rdma->ucx->worker_release_address(rdma->worker, rdma->address);
    rdma->address = NULL;
    rdma->address_size = 0;
    if (!rdma->is_spoiled)
        rdma->ucx->worker_destroy(rdma->worker);
    rill_rdma_notes_free(rdma); /* a worker that stays makes no progress, and looks at none */
    if (!rdma->is_spoiled)
        rdma->ucx->cleanup(rdma->context);
    rdma->is_open = false;
}
