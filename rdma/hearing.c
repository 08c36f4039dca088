/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/hearing.h"

#include "rdma/active_message.h"
#include "rdma/listener.h"
#include "rdma/loss.h"
#include "runtime/executor.h"
#include "runtime/random.h"

#include <errno.h>
#include <string.h>

/* Calls of progress by which a word that was said must have been heard: UCX takes one message in
 * each at least, and there is room for 64 (UCX_POSIX_FIFO_SIZE). A thread that was held up for as
 * long as a word may take has not called it once. */
enum { LOOKS_MIN = 1000 };

/* ---- the speaker ---- */

static void on_error(void *rdma_, ucp_ep_h ep, ucs_status_t status)
{
    struct rill_rdma *rdma = rdma_;

    (void)ep;
    (void)status;
    rdma->hearing.is_mute = true;
}

static ucs_status_t open_speaker(struct rill_rdma *rdma)
{
    struct rill_rdma_hearing *hearing = &rdma->hearing;
    const ucp_worker_params_t worker = {
        .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE,
        .thread_mode = UCS_THREAD_MODE_SINGLE,
    };
    const ucp_ep_params_t ep = {
        .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER | UCP_EP_PARAM_FIELD_USER_DATA,
        .address = rdma->address,
        .err_mode = UCP_ERR_HANDLING_MODE_PEER, /* as its peers have it, and so the same queue */
        .err_handler.cb = on_error,
        .user_data = rdma,
    };
    ucs_status_t status = rdma->ucx->worker_create(rdma->context, &worker, &hearing->speaker);

    if (status != UCS_OK)
        return status;
    status = rdma->ucx->ep_create(hearing->speaker, &ep, &hearing->ep);
    if (status != UCS_OK)
        rdma->ucx->worker_destroy(hearing->speaker);
    return status;
}

/* Closing by force ends the word, if that is still on its way. */
static void close_speaker(struct rill_rdma *rdma)
{
    const ucp_request_param_t param = {
        .op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS,
        .flags = UCP_EP_CLOSE_FLAG_FORCE,
    };
    ucs_status_ptr_t status = rdma->ucx->ep_close_nbx(rdma->hearing.ep, &param);

    if (UCS_PTR_IS_PTR(status))
        rdma->ucx->request_free(status);
    rdma->ucx->worker_destroy(rdma->hearing.speaker);
}

/* ---- a word ---- */

/* Called within progress. No peer knows what the word is. */
static ucs_status_t on_word(void *rdma_, const void *header, size_t header_size, void *data,
                            size_t size, const ucp_am_recv_param_t *param)
{
    struct rill_rdma *rdma = rdma_;

    (void)data;
    (void)size;
    (void)param;
    if (header_size == sizeof rdma->hearing.word &&
        memcmp(header, &rdma->hearing.word, header_size) == 0)
        rdma->hearing.was_heard = true;
    return UCS_OK;
}

/* A request that is given back while it is pending is UCX's; the word is lent to that until it was
 * heard, and not changed before. */
static bool say_word(struct rill_rdma *rdma)
{
    struct rill_rdma_hearing *hearing = &rdma->hearing;
    const ucp_request_param_t param = {.op_attr_mask = 0};
    ucs_status_ptr_t status;

    hearing->word = rill_random();
    hearing->was_heard = false;
    status = rdma->ucx->am_send_nbx(hearing->ep, RILL_RDMA_HEARING_ID, &hearing->word,
                                    sizeof hearing->word, NULL, 0, &param);
    if (UCS_PTR_IS_PTR(status))
        rdma->ucx->request_free(status);
    return !UCS_PTR_IS_ERR(status);
}

static void become_deaf(struct rill_rdma *rdma)
{
    rdma->is_deaf = true;
    rill_rdma_fail_all(rdma, -ENOTRECOVERABLE);
    for (struct rill_link *link = rdma->accepting.next; link != &rdma->accepting; link = link->next)
        rill_line_wake_all(&rill_container_of(link, struct rill_rdma_listener, of_rdma)->line);
}

/* Called after each progress, which is asked for until there were enough. */
static unsigned listen_for_word(struct rill_rdma_watcher *watcher)
{
    struct rill_rdma_hearing *hearing =
        rill_container_of(watcher, struct rill_rdma_hearing, watcher);
    struct rill_rdma *rdma = rill_container_of(hearing, struct rill_rdma, hearing);

    rdma->ucx->worker_progress(hearing->speaker);
    if (!hearing->was_heard && !hearing->is_mute) {
        hearing->looks++;
        if (hearing->looks < LOOKS_MIN)
            rill_event_source_touch(&rdma->source);
        if (hearing->looks < LOOKS_MIN || rill_now() < hearing->deadline_ns)
            return 0;
        become_deaf(rdma);
    }
    rill_rdma_unwatch(rdma, watcher);
    return rdma->is_deaf;
}

void rill_rdma_check_hearing(struct rill_rdma *rdma)
{
    struct rill_rdma_hearing *hearing = &rdma->hearing;

    if (!rill_link_is_linked(&hearing->number.taken) || rdma->is_deaf || hearing->is_mute ||
        rill_link_is_linked(&hearing->watcher.link) || !say_word(rdma))
        return;
    hearing->looks = 0;
    hearing->deadline_ns = rill_time_after(rill_now_of_beginning(), RILL_RDMA_HEARING_NS);
    hearing->watcher.look = listen_for_word;
    rill_rdma_watch(rdma, &hearing->watcher);
}

/* ---- its life ---- */

ucs_status_t rill_rdma_hearing_open(struct rill_rdma *rdma)
{
    struct rill_rdma_hearing *hearing = &rdma->hearing;
    ucs_status_t status = open_speaker(rdma);

    if (status == UCS_OK &&
        rill_rdma_am_handle(rdma, &hearing->number, RILL_RDMA_HEARING_ID, on_word, rdma) < 0) {
        close_speaker(rdma);
        status = UCS_ERR_NO_MEMORY;
    }
    return status;
}

void rill_rdma_hearing_close(struct rill_rdma *rdma)
{
    if (!rill_link_is_linked(&rdma->hearing.number.taken))
        return;
    rill_rdma_unwatch(rdma, &rdma->hearing.watcher);
    close_speaker(rdma);
    rill_rdma_am_unhandle(rdma, &rdma->hearing.number);
}
