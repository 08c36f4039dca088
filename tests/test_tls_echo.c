/* SPDX-License-Identifier: Apache-2.0 */
/* test_tls_echo.c - examples/tls_echo.c beside a client of OpenSSL's own. */
#include "tests/client.h"
#include "tests/programs.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATH_SIZE = 64, PIECE = 16 * 1024 };

static char directory[] = "/tmp/rill-tls-XXXXXX";
static char certificate_path[PATH_SIZE], key_path[PATH_SIZE];
static struct process server;
static uint16_t port;
static SSL_CTX *context; /* of the clients, who trust this server only */

/* ---- a certificate that vouches for itself ---- */

static void make_certificate(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    FILE *file;

    ck_assert_ptr_nonnull(key);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(certificate, name);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);

    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(certificate_path, sizeof certificate_path, "%s/certificate", directory);
    snprintf(key_path, sizeof key_path, "%s/key", directory);
    file = fopen(certificate_path, "w");
    ck_assert_int_eq(PEM_write_X509(file, certificate), 1);
    fclose(file);
    file = fopen(key_path, "w");
    ck_assert_int_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* Both sides have read the files once the server listens. */
static void start(void)
{
    make_certificate();
    PROCESS_START(&server, "examples/tls_echo", certificate_path, key_path, LOOPBACK_URL);
    port = listening_port(&server, 0);
    context = SSL_CTX_new(TLS_client_method());
    ck_assert_int_eq(SSL_CTX_load_verify_locations(context, certificate_path, NULL), 1);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    unlink(certificate_path);
    unlink(key_path);
    rmdir(directory);
}

static void stop(void)
{
    process_signal(&server, SIGTERM);
    ck_assert_int_eq(process_wait(&server), 0);
    ck_assert_str_eq(server.err.text, "");
    SSL_CTX_free(context);
}

/* ---- clients ---- */

/* In this version of the protocol. */
static SSL *connect_tls(int fd, int version)
{
    SSL *ssl = SSL_new(context);

    SSL_set_min_proto_version(ssl, version);
    SSL_set_max_proto_version(ssl, version);
    SSL_set_fd(ssl, fd);
    ck_assert_int_eq(SSL_connect(ssl), 1);
    return ssl;
}

static void echo(SSL *ssl, size_t size, char first)
{
    static char sent[PIECE], received[PIECE];

    for (size_t i = 0; i < size; i++)
        sent[i] = (char)(first + i % 251);
    ck_assert_int_eq(SSL_write(ssl, sent, (int)size), size);
    for (size_t filled = 0; filled < size;) {
        int count = SSL_read(ssl, received + filled, (int)(size - filled));

        ck_assert_int_gt(count, 0);
        filled += (size_t)count;
    }
    ck_assert_mem_eq(received, sent, size);
}

/* Says goodbye and waits for the server's. */
static void close_tls(SSL *ssl, int fd)
{
    int result = SSL_shutdown(ssl);

    if (result == 0)
        result = SSL_shutdown(ssl);
    ck_assert_int_eq(result, 1);
    SSL_free(ssl);
    client_expect_end(fd);
    client_close(fd);
}

START_TEST(what_is_sent_comes_back_enciphered)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    start();
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        int fd = client_connect(port);
        SSL *ssl = connect_tls(fd, versions[i]);

        echo(ssl, 1, 'a');
        for (int round = 0; round < 64; round++)
            echo(ssl, PIECE, (char)round);
        close_tls(ssl, fd);
    }
    stop();
}
END_TEST

START_TEST(several_clients_have_sessions_of_their_own)
{
    enum { CLIENTS = 8 };
    int fds[CLIENTS];
    SSL *ssls[CLIENTS];

    start();
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_connect(port);
        ssls[i] = connect_tls(fds[i], TLS1_3_VERSION);
    }
    for (int round = 0; round < 16; round++)
        for (int i = 0; i < CLIENTS; i++)
            echo(ssls[i], 1000, (char)(i + round));
    for (int i = 0; i < CLIENTS; i++)
        close_tls(ssls[i], fds[i]);
    stop();
}
END_TEST

START_TEST(keys_can_be_changed_while_bytes_come_and_go)
{
    int fd;
    SSL *ssl;

    start();
    fd = client_connect(port);
    ssl = connect_tls(fd, TLS1_3_VERSION);
    for (int round = 0; round < 8; round++) {
        ck_assert_int_eq(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        echo(ssl, PIECE, (char)round);
    }
    close_tls(ssl, fd);
    stop();
}
END_TEST

START_TEST(who_speaks_no_tls_is_hung_up_on_and_the_others_go_on)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char answer[256];
    int fd, other;
    SSL *ssl;

    start();
    fd = client_connect(port);
    ssl = connect_tls(fd, TLS1_3_VERSION);
    other = client_connect(port);
    ck_assert_int_eq(send(other, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
    while (recv(other, answer, sizeof answer, 0) > 0) /* an alert, and then the end */
        echo(ssl, 100, 'x');
    client_close(other);
    echo(ssl, 100, 'y');
    close_tls(ssl, fd);
    stop();
}
END_TEST

START_TEST(a_client_that_goes_at_any_moment_leaves_nothing_behind)
{
    start();
    for (int moment = 0; moment < 4; moment++) {
        int fd = client_connect(port);
        SSL *ssl = moment > 0 ? connect_tls(fd, TLS1_3_VERSION) : NULL;

        if (moment > 1)
            echo(ssl, 100, 'a');
        if (moment > 2)
            ck_assert_int_eq(send(fd, "\x17\x03\x03", 3, MSG_NOSIGNAL), 3); /* half a record */
        SSL_free(ssl);
        if (moment % 2)
            client_reset(fd);
        else
            client_close(fd);
    }
    stop(); /* under AddressSanitizer with a look for leaks */
}
END_TEST

START_TEST(a_server_that_stops_does_not_wait_for_ever_for_its_clients)
{
    int fd;
    SSL *ssl;

    start();
    fd = client_connect(port);
    ssl = connect_tls(fd, TLS1_3_VERSION);
    echo(ssl, 100, 'a');
    stop();
    SSL_free(ssl);
    client_close(fd);
}
END_TEST

START_TEST(wrong_arguments_are_told_of)
{
    static const struct {
        const char *arguments[3];
        int status;
        const char *said;
    } wrong[] = {
        {{NULL}, 2, "usage: tls_echo CERTIFICATE KEY [URL]"},
        {{"/nowhere/certificate", "/nowhere/key", LOOPBACK_URL}, 1, "/nowhere/certificate"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct process process = {0};

        PROCESS_START(&process, "examples/tls_echo", wrong[i].arguments[0], wrong[i].arguments[1],
                      wrong[i].arguments[2]);
        ck_assert_int_eq(process_wait(&process), wrong[i].status);
        ck_assert_ptr_nonnull(strstr(process.err.text, wrong[i].said));
    }
}
END_TEST

int main(void)
{
    const struct program_test tests[] = {
        {what_is_sent_comes_back_enciphered, 1},
        {several_clients_have_sessions_of_their_own, 1},
        {keys_can_be_changed_while_bytes_come_and_go, 1},
        {who_speaks_no_tls_is_hung_up_on_and_the_others_go_on, 1},
        {a_client_that_goes_at_any_moment_leaves_nothing_behind, 1},
        {a_server_that_stops_does_not_wait_for_ever_for_its_clients, 1},
        {wrong_arguments_are_told_of, 1},
    };

    return programs_main("tls_echo", tests, sizeof tests / sizeof tests[0]);
}
