/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c - a protocol of lines and bytes: "put 5" says that five bytes follow the line. */
#include "io/reader.h"
#include "io/program.h"
#include "net/tcp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct mailbox {
    struct rill_future future;
    int fd;
    struct rill_tcp peer;
    struct rill_reader reader;
    char buffer[64];
    size_t size; /* that was announced */
};

/* Reads "put SIZE\n". Returns false where the line is another one. */
static bool read_line(struct mailbox *mailbox)
{
    char *end, *line = mailbox->reader.data;

    if (line[mailbox->reader.result - 1] != '\n' || strncmp(line, "put ", 4) != 0)
        return false;
    mailbox->size = strtoul(line + 4, &end, 10);
    return *end == '\n';
}

static enum rill_poll mailbox_poll(struct rill_future *self, struct rill_task *task)
{
    struct mailbox *mailbox = rill_container_of(self, struct mailbox, future);

    RILL_BEGIN();
    rill_tcp_adopt_foreign(&mailbox->peer, mailbox->fd);
    rill_tcp_reader_init(&mailbox->reader, &mailbox->peer, mailbox->buffer, sizeof mailbox->buffer);
    for (;;) {
        RILL_AWAIT(rill_reader_until(&mailbox->reader, '\n'));
        if (mailbox->reader.result <= 0)
            break;
        if (!read_line(mailbox)) {
            printf("that is no command\n");
            break;
        }
        RILL_AWAIT(rill_reader_exactly(&mailbox->reader, mailbox->size));
        if (mailbox->reader.result != (int64_t)mailbox->size) {
            printf("%zu bytes were promised: %s\n", mailbox->size,
                   mailbox->reader.result == -EMSGSIZE ? "too many" : "they did not come");
            break;
        }
        printf("%zu bytes: %.*s\n", mailbox->size, (int)mailbox->size, mailbox->reader.data);
    }
    RILL_AWAIT(rill_tcp_close(&mailbox->peer));
    RILL_RETURN(mailbox->reader.result < 0 ? mailbox->reader.result : 0);
    RILL_END();
}

int main(void)
{
    static const char text[] = "put 5\nhelloput 11\nhello\nworldput 3\nno";
    static struct mailbox mailbox;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
        write(fds[1], text, sizeof text - 1) != sizeof text - 1) { /* what a peer would send */
        perror("socketpair");
        return 1;
    }
    close(fds[1]);
    mailbox.fd = fds[0];
    return rill_main(rill_future_init(&mailbox.future, mailbox_poll));
}
