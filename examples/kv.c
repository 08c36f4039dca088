/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c - a key-value store with one command a line, "set KEY VALUE" or "get KEY". A
 * line that is too long is skipped and answered; a client that is silent, or does not
 * read, for a minute is hung up on; more clients than CLIENTS_MAX wait until one is gone; a
 * signal lets go at once of those that wait. */
#include "io/program.h"
#include "io/reader.h"
#include "net/server.h"
#include "runtime/notify.h"
#include "runtime/select.h"
#include "runtime/timeout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_SIZE = 256, KEY_MAX_SIZE = 32, ENTRIES_MAX = 4096, CLIENTS_MAX = 1000 };

static const int64_t patience_ns = 60 * RILL_SECOND;

struct entry {
    char key[KEY_MAX_SIZE]; /* "" while it is free */
    char value[LINE_MAX_SIZE];
};

/* What all clients share. One thread, so no lock. A notification reaches only those that wait
 * already, so is_stopping is looked at first. */
struct store {
    struct entry entries[ENTRIES_MAX];
    struct rill_notify stop;
    bool is_stopping;
};

/* Returns the entry of the key, or a free one for it, or NULL if there is none. */
static struct entry *find(struct store *store, const char *key)
{
    unsigned hash = 5381;

    for (const char *at = key; *at; at++)
        hash = hash * 33 + (unsigned char)*at;
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        struct entry *entry = &store->entries[(hash + i) % ENTRIES_MAX];

        if (!*entry->key || strcmp(entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

/* Carries out the command in line, which it takes apart. Returns the answer. */
static const char *carry_out(struct store *store, char *line)
{
    const char *verb = strsep(&line, " "), *key = strsep(&line, " ");
    struct entry *entry;

    if (!key || !*key || strlen(key) >= KEY_MAX_SIZE)
        return "error: want a key of 1 to 31 bytes";
    entry = find(store, key);
    if (strcmp(verb, "get") == 0 && !line)
        return entry && *entry->key ? entry->value : "none";
    if (strcmp(verb, "set") != 0 || !line)
        return "error: want set KEY VALUE or get KEY";
    if (!entry)
        return "error: the store is full";
    snprintf(entry->key, sizeof entry->key, "%s", key);
    snprintf(entry->value, sizeof entry->value, "%s", line);
    return "ok";
}

struct session {
    struct rill_task task;
    struct rill_tcp peer;
    struct store *store;
    struct rill_reader reader;
    struct rill_op send;
    struct rill_wait stop;
    struct rill_future *choices[2];
    struct rill_select select;
    struct rill_timeout timeout;
    bool skips; /* the beginning of a line that is too long was dropped */
    char text[LINE_MAX_SIZE];
    char answer[LINE_MAX_SIZE + 1];
};

/* Writes the answer to the line that the reader has handed out. Returns false where that is the
 * beginning of one whose end never came. */
static bool answer_line(struct session *session)
{
    char *line = session->reader.data, *end = line + session->reader.result - 1;

    if (*end != '\n')
        return false;
    *end = '\0';
    snprintf(session->answer, sizeof session->answer, "%s\n",
             session->skips ? "error: the line is too long" : carry_out(session->store, line));
    session->skips = false;
    return true;
}

static enum rill_poll session_poll(struct rill_future *self, struct rill_task *task)
{
    struct session *session = rill_container_of(self, struct session, task.future);

    RILL_BEGIN();
    rill_tcp_reader_init(&session->reader, &session->peer, session->text, sizeof session->text);
    /* What has come before the stop is still answered. */
    while (!session->store->is_stopping || rill_reader_has(&session->reader, '\n')) {
        session->choices[0] = rill_reader_until(&session->reader, '\n');
        session->choices[1] = rill_notify_wait(&session->store->stop, &session->stop);
        RILL_AWAIT(rill_timeout(&session->timeout, patience_ns,
                                rill_select(&session->select, session->choices, 2)));
        if (session->reader.result == -EMSGSIZE) {
            RILL_AWAIT(rill_reader_some(&session->reader));
            session->skips = true;
            continue;
        }
        if (session->reader.result <= 0 || !answer_line(session))
            break; /* the end, an error, or cancelled by the stop or the timeout */
        RILL_AWAIT(rill_timeout(&session->timeout, patience_ns,
                                rill_tcp_send_all(&session->peer, &session->send, session->answer,
                                                  strlen(session->answer))));
        if (session->send.result < 0)
            break;
    }
    RILL_AWAIT(rill_tcp_close(&session->peer));
    RILL_END();
}

struct program {
    struct rill_future future;
    struct rill_server server;
    struct rill_scope clients; /* their tasks */
    struct store store;
};

static enum rill_poll program_poll(struct rill_future *self, struct rill_task *task)
{
    struct program *program = rill_container_of(self, struct program, future);

    RILL_BEGIN();
    RILL_AWAIT(&program->server.future);
    program->store.is_stopping = true;
    rill_notify_all(&program->store.stop);
    RILL_RETURN(program->server.result);
    RILL_END();
}

int main(int argc, char **argv)
{
    static struct program program;
    const char *url = argc > 1 ? argv[1] : "tcp://127.0.0.1:7000";

    program.server.announce = stdout;
    program.server.options.nodelay = true; /* answers do not wait for one another */
    program.server.scope = &program.clients;
    program.server.connections_max = CLIENTS_MAX;
    rill_scope_init(&program.clients, RILL_SCOPE_INDEPENDENT); /* here, where it is no task's */
    rill_serve(&program.server, url,
               RILL_SERVICE_WITH(struct session, peer, session_poll, store, &program.store));
    rill_notify_init(&program.store.stop);
    return rill_main(rill_future_init(&program.future, program_poll));
}
