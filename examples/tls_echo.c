/* SPDX-License-Identifier: Apache-2.0 */
/* tls_echo.c - an echo server over TLS: OpenSSL enciphers in memory, rill moves the bytes. */
#include "io/program.h"
#include "net/server.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

static const int64_t patience_ns = 60 * RILL_SECOND;

/* ---- TLS over a connection ---- */

/* OpenSSL never sees the socket. It takes what has come from one buffer in memory, and puts what
 * is to be sent into another one. One call at a time: reading may have to send, and the reverse. */
struct tls {
    union {
        int64_t result; /* of the latest call: > 0; 0, the other side has ended; or -errno */
        struct rill_future future;
    };
    /* private */
    struct rill_tcp *peer;
    SSL *ssl;
    BIO *received, *to_send; /* of ssl */
    int (*call)(struct tls *tls);
    void *data;
    int size;
    int answer, error; /* of OpenSSL */
    struct rill_borrow recv;
    struct rill_op send;
};

static bool tls_init(struct tls *tls, SSL_CTX *context, struct rill_tcp *peer)
{
    tls->peer = peer;
    tls->ssl = SSL_new(context);
    tls->received = BIO_new(BIO_s_mem());
    tls->to_send = BIO_new(BIO_s_mem());
    if (!tls->ssl || !tls->received || !tls->to_send) {
        BIO_free(tls->received);
        BIO_free(tls->to_send);
        SSL_free(tls->ssl);
        return false;
    }
    SSL_set_bio(tls->ssl, tls->received, tls->to_send);
    SSL_set_accept_state(tls->ssl);
    return true;
}

static void tls_finish(struct tls *tls)
{
    SSL_free(tls->ssl);
}

static int call_handshake(struct tls *tls)
{
    return SSL_do_handshake(tls->ssl);
}

static int call_read(struct tls *tls)
{
    return SSL_read(tls->ssl, tls->data, tls->size);
}

static int call_write(struct tls *tls)
{
    return SSL_write(tls->ssl, tls->data, tls->size);
}

/* 0 is no failure of this one: the other side's goodbye has not come yet, and is not waited for. */
static int call_goodbye(struct tls *tls)
{
    return SSL_shutdown(tls->ssl) < 0 ? -1 : 1;
}

/* OpenSSL keeps its errors for each thread, and all tasks share one: so the list is emptied
 * before the call, and read before anybody else's. */
static void call(struct tls *tls)
{
    ERR_clear_error();
    tls->answer = tls->call(tls);
    tls->error = tls->answer > 0 ? SSL_ERROR_NONE : SSL_get_error(tls->ssl, tls->answer);
}

static struct rill_future *send_all(struct tls *tls)
{
    char *bytes;
    long size = BIO_get_mem_data(tls->to_send, &bytes);

    return rill_tcp_send_all(tls->peer, &tls->send, bytes, (size_t)size);
}

/* Calls OpenSSL again and again: what it has written is sent first, whatever it answers, and where
 * it lacks bytes some are received. */
static enum rill_poll tls_poll(struct rill_future *self, struct rill_task *task)
{
    struct tls *tls = rill_container_of(self, struct tls, future);

    RILL_BEGIN();
    for (;;) {
        call(tls);
        if (BIO_ctrl_pending(tls->to_send) > 0) {
            RILL_AWAIT(send_all(tls));
            BIO_reset(tls->to_send);
            if (tls->send.result < 0)
                RILL_RETURN(tls->send.result);
        }
        if (tls->error == SSL_ERROR_NONE)
            RILL_RETURN(tls->answer);
        if (tls->error == SSL_ERROR_ZERO_RETURN)
            RILL_RETURN(0);
        if (tls->error != SSL_ERROR_WANT_READ)
            RILL_RETURN(-EPROTO);

        RILL_AWAIT(rill_tcp_recv_borrowed(tls->peer, &tls->recv));
        if (tls->recv.result <= 0) /* an end without a goodbye may be anybody's */
            RILL_RETURN(tls->recv.result < 0 ? tls->recv.result : -ECONNRESET);
        tls->answer = BIO_write(tls->received, tls->recv.data, (int)tls->recv.result);
        rill_borrow_give_back(&tls->recv);
        if (tls->answer != tls->recv.result)
            RILL_RETURN(-ENOMEM);
    }
    RILL_END();
}

static struct rill_future *tls_start(struct tls *tls, int (*function)(struct tls *tls), void *data,
                                     size_t size)
{
    tls->call = function;
    tls->data = data;
    tls->size = (int)size;
    return rill_future_init(&tls->future, tls_poll);
}

static struct rill_future *tls_handshake(struct tls *tls)
{
    return tls_start(tls, call_handshake, NULL, 0);
}

/* The result is the number of bytes, or 0 when the other side has said goodbye. */
static struct rill_future *tls_read(struct tls *tls, char *data, size_t size)
{
    return tls_start(tls, call_read, data, size);
}

/* Sends all of it, as there is always room in memory. */
static struct rill_future *tls_write(struct tls *tls, char *data, int64_t size)
{
    return tls_start(tls, call_write, data, (size_t)size);
}

/* Says goodbye, so that the other side knows that nothing was cut off. */
static struct rill_future *tls_say_goodbye(struct tls *tls)
{
    return tls_start(tls, call_goodbye, NULL, 0);
}

/* ---- the server ---- */

struct session {
    struct rill_task task;
    struct rill_tcp peer;
    SSL_CTX *context; /* of all sessions */
    struct tls tls;
    struct rill_timeout timeout;
    char text[4096];
};

static enum rill_poll session_poll(struct rill_future *self, struct rill_task *task)
{
    struct session *session = rill_container_of(self, struct session, task.future);

    RILL_BEGIN();
    if (tls_init(&session->tls, session->context, &session->peer)) {
        RILL_AWAIT(rill_timeout(&session->timeout, patience_ns, tls_handshake(&session->tls)));
        while (session->timeout.result > 0) {
            RILL_AWAIT(rill_timeout(&session->timeout, patience_ns,
                                    tls_read(&session->tls, session->text, sizeof session->text)));
            if (session->timeout.result <= 0)
                break;
            RILL_AWAIT(
                rill_timeout(&session->timeout, patience_ns,
                             tls_write(&session->tls, session->text, session->timeout.result)));
        }
        if (session->timeout.result == 0)
            RILL_AWAIT(
                rill_timeout(&session->timeout, patience_ns, tls_say_goodbye(&session->tls)));
        tls_finish(&session->tls);
    }
    RILL_AWAIT(rill_tcp_close(&session->peer));
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct rill_server server;
    SSL_CTX *context;
    int status;

    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: tls_echo CERTIFICATE KEY [URL]\n");
        return 2;
    }
    context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_use_certificate_chain_file(context, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[2], SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "tls_echo: %s and %s are no certificate with its key, both PEM:\n", argv[1],
                argv[2]);
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(context);
        return 1;
    }
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS); /* of sessions that are idle */
    server.announce = stdout;
    server.options.nodelay = true;
    status = rill_main(
        rill_serve(&server, argc > 3 ? argv[3] : "tcp://127.0.0.1:7000",
                   RILL_SERVICE_WITH(struct session, peer, session_poll, context, context)));
    SSL_CTX_free(context);
    return status;
}
