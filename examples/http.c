/* SPDX-License-Identifier: Apache-2.0 */
/* http.c - serves the files below a directory over HTTP/1.1: http_parser takes the requests apart,
 * rill moves the bytes. A client that is silent in the midst of a request, or does not read its
 * answer, for half a minute is hung up on. */
#include "io/file.h"
#include "io/program.h"
#include "net/send_file.h"
#include "net/server.h"
#include "runtime/timeout.h"

#include <ctype.h>
#include <errno.h>
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TARGET_MAX = 1024, HEAD_MAX = 512, PIECE = 1 << 20 };

static const int64_t patience_ns = 30 * RILL_SECOND; /* for a request, and for each piece sent */
static const int64_t parting_ns = 2 * RILL_SECOND;   /* for a client to hang up itself */
static const char index_name[] = "index.html";

struct client {
    struct rill_task task;
    struct rill_tcp peer;
    struct rill_op op;
    struct rill_timeout timeout;
    char bytes[4096];
    size_t begin, end; /* of those that have come and were not parsed */

    struct rill_future request; /* its result: 1; 0, the client has ended; or -errno */
    http_parser parser;
    char target[TARGET_MAX]; /* "/a%20file?query" */
    size_t target_length;    /* may be more than there is room for */
    bool keeps_alive;

    struct rill_future answer; /* its result: 0, or -errno where it was not sent whole */
    char path[TARGET_MAX + sizeof index_name];
    struct rill_file file;
    struct statx status;
    int code; /* 200, 404, ... */
    char head[HEAD_MAX];
    struct rill_send_file send;
    uint64_t sent, length;

    struct rill_future parting;
};

/* ---- the request ---- */

static int take_target(http_parser *parser, const char *at, size_t length)
{
    struct client *client = parser->data;

    if (client->target_length + length < TARGET_MAX)
        memcpy(client->target + client->target_length, at, length);
    client->target_length += length; /* less than HTTP_MAX_HEADER_SIZE, as all of the head */
    return 0;
}

/* Holds the parser up here: what follows is the next request. */
static int take_end(http_parser *parser)
{
    struct client *client = parser->data;

    client->keeps_alive = http_should_keep_alive(parser);
    http_parser_pause(parser, 1);
    return 0;
}

static const http_parser_settings on = {.on_url = take_target, .on_message_complete = take_end};

/* A body is passed over. Many requests may come in one piece, and one in many. */
static enum rill_poll request_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, request);

    RILL_BEGIN();
    client->target_length = 0;
    do {
        if (client->begin == client->end) {
            RILL_AWAIT(
                rill_tcp_recv(&client->peer, &client->op, client->bytes, sizeof client->bytes));
            if (client->op.result <= 0)
                RILL_RETURN(client->op.result);
            client->begin = 0;
            client->end = (size_t)client->op.result;
        }
        client->begin += http_parser_execute(&client->parser, &on, client->bytes + client->begin,
                                             client->end - client->begin);
    } while (HTTP_PARSER_ERRNO(&client->parser) == HPE_OK);
    if (HTTP_PARSER_ERRNO(&client->parser) != HPE_PAUSED)
        RILL_RETURN(-EBADMSG);
    http_parser_pause(&client->parser, 0);
    RILL_RETURN(1);
    RILL_END();
}

/* ---- what it asks for ---- */

/* Returns what two hexadecimal digits mean, or -1. */
static int hex(const char *digits)
{
    const char text[] = {digits[0], digits[1], '\0'};

    if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
        return -1;
    return (int)strtol(text, NULL, 16);
}

/* Writes the path that is meant by count bytes, "./a file" by "/a%20file". Returns false where
 * there is none, or where it leads out of the directory. */
static bool decode(char *path, const char *from, size_t count)
{
    const char *end = from + count;
    char *to = path;

    for (*to++ = '.'; from < end; to++) {
        int byte = (unsigned char)*from++;

        if (byte == '%') {
            if (end - from < 2)
                return false;
            byte = hex(from);
            from += 2;
        }
        if (byte <= 0)
            return false;
        *to = (char)byte;
    }
    *to = '\0';
    if (to[-1] == '/')
        memcpy(to, index_name, sizeof index_name);
    for (const char *at = strstr(path, "/.."); at; at = strstr(at + 1, "/.."))
        if (at[3] == '/' || at[3] == '\0')
            return false;
    return true;
}

/* Returns 200, and the path, or why there is none. */
static int find_path(struct client *client)
{
    struct http_parser_url url;

    if (client->parser.method != HTTP_GET && client->parser.method != HTTP_HEAD)
        return HTTP_STATUS_METHOD_NOT_ALLOWED;
    if (client->target_length >= TARGET_MAX)
        return HTTP_STATUS_URI_TOO_LONG;
    http_parser_url_init(&url);
    if (http_parser_parse_url(client->target, client->target_length, 0, &url) != 0 ||
        !(url.field_set & 1 << UF_PATH) ||
        !decode(client->path, client->target + url.field_data[UF_PATH].off,
                url.field_data[UF_PATH].len))
        return HTTP_STATUS_BAD_REQUEST;
    return HTTP_STATUS_OK;
}

/* Of a file that cannot be opened. */
static int code_of(int64_t error)
{
    switch (error) {
    case 0:
        return HTTP_STATUS_OK;
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
    case -ENXIO: /* a socket */
        return HTTP_STATUS_NOT_FOUND;
    case -EACCES:
    case -ELOOP:
        return HTTP_STATUS_FORBIDDEN;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
        return HTTP_STATUS_SERVICE_UNAVAILABLE;
    default:
        return HTTP_STATUS_INTERNAL_SERVER_ERROR;
    }
}

/* ---- the answer ---- */

static const char *type_of(const char *path)
{
    static const struct {
        const char *suffix, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css"},
        {".js", "text/javascript"},
        {".txt", "text/plain; charset=utf-8"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".svg", "image/svg+xml"},
    };
    const char *suffix = strrchr(path, '.'); /* there is one: it begins with "./" */

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(suffix, types[i].suffix) == 0)
            return types[i].type;
    return "application/octet-stream";
}

/* What goes before a file or, with the reason for its body, instead of one. */
static void write_head(struct client *client)
{
    bool is_ok = client->code == HTTP_STATUS_OK;
    const char *reason = http_status_str((enum http_status)client->code);
    unsigned long long length = is_ok ? client->status.stx_size : strlen(reason) + 1;
    time_t now = time(NULL);
    struct tm utc;
    char date[32];
    int size;

    strftime(date, sizeof date, "%a, %d %b %Y %T GMT", gmtime_r(&now, &utc));
    size = snprintf(client->head, sizeof client->head,
                    "HTTP/1.1 %d %s\r\n"
                    "Date: %s\r\n"
                    "Content-Type: %s\r\n"
                    "Content-Length: %llu\r\n"
                    "Connection: %s\r\n"
                    "%s\r\n",
                    client->code, reason, date, is_ok ? type_of(client->path) : "text/plain",
                    length, client->keeps_alive ? "keep-alive" : "close",
                    client->code == HTTP_STATUS_METHOD_NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "");
    if (!is_ok && client->parser.method != HTTP_HEAD)
        snprintf(client->head + size, sizeof client->head - (size_t)size, "%s\n", reason);
}

static struct rill_future *send_piece(struct client *client)
{
    uint64_t left = client->length - client->sent;

    return rill_tcp_send_file(&client->peer, &client->send, &client->file, client->sent,
                              left < PIECE ? left : PIECE);
}

static enum rill_poll answer_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, answer);

    RILL_BEGIN();
    client->length = client->sent = 0;
    if (client->code == HTTP_STATUS_OK) {
        /* O_NONBLOCK: opening a FIFO does not wait for its other side. */
        RILL_AWAIT(rill_file_open(&client->file, client->path, O_RDONLY | O_NONBLOCK, 0));
        client->code = code_of(client->file.result);
    }
    if (client->code == HTTP_STATUS_OK) {
        RILL_AWAIT(rill_file_stat(&client->file, &client->op, &client->status));
        client->code = code_of(client->op.result);
        if (client->code == HTTP_STATUS_OK && !S_ISREG(client->status.stx_mode))
            client->code = HTTP_STATUS_NOT_FOUND;
    }
    write_head(client);
    RILL_AWAIT(rill_timeout(
        &client->timeout, patience_ns,
        rill_tcp_send_all(&client->peer, &client->op, client->head, strlen(client->head))));
    if (client->code == HTTP_STATUS_OK && client->parser.method == HTTP_GET)
        client->length = client->status.stx_size;
    while (client->timeout.result > 0 && client->sent < client->length) {
        RILL_AWAIT(rill_timeout(&client->timeout, patience_ns, send_piece(client)));
        client->sent += client->send.transferred;
    }
    RILL_AWAIT(rill_file_close(&client->file));
    if (client->timeout.result < 0)
        RILL_RETURN(client->timeout.result);
    RILL_RETURN(client->sent < client->length ? -EIO : 0); /* the file has become shorter */
    RILL_END();
}

/* ---- a client ---- */

/* What a client had sent beyond what was read would, on closing, reset the connection, and the
 * answer might be lost: so it is read until the client has hung up. */
static enum rill_poll parting_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, parting);

    RILL_BEGIN();
    RILL_AWAIT(rill_tcp_finish_sending(&client->peer, &client->op));
    while (client->op.result >= 0) {
        RILL_AWAIT(rill_tcp_recv(&client->peer, &client->op, client->bytes, sizeof client->bytes));
        if (client->op.result == 0)
            break;
    }
    RILL_END();
}

static enum rill_poll client_poll(struct rill_future *self, struct rill_task *task)
{
    struct client *client = rill_container_of(self, struct client, task.future);

    RILL_BEGIN();
    http_parser_init(&client->parser, HTTP_REQUEST);
    client->parser.data = client;
    do {
        RILL_AWAIT(rill_timeout(&client->timeout, patience_ns,
                                rill_future_init(&client->request, request_poll)));
        if (client->timeout.result <= 0 && client->timeout.result != -EBADMSG)
            break;
        client->code = HTTP_STATUS_BAD_REQUEST;
        if (client->timeout.result > 0)
            client->code = find_path(client);
        else
            client->keeps_alive = false;
        RILL_AWAIT(rill_future_init(&client->answer, answer_poll));
    } while (client->keeps_alive && client->answer.result == 0);
    if (client->timeout.result > 0) /* it was answered, and wants no more */
        RILL_AWAIT(rill_timeout(&client->timeout, parting_ns,
                                rill_future_init(&client->parting, parting_poll)));
    RILL_AWAIT(rill_tcp_close(&client->peer));
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct rill_server server;
    const char *directory = argc > 1 ? argv[1] : ".";

    if (chdir(directory) < 0) {
        perror(directory);
        return 1;
    }
    server.announce = stdout;
    server.options.nodelay = true; /* a small file does not wait behind its head */
    return rill_main(rill_serve(&server, argc > 2 ? argv[2] : "tcp://127.0.0.1:8000",
                                RILL_SERVICE(struct client, peer, client_poll)));
}
