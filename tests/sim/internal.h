/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h - what the parts of the simulator know of each other. */
#ifndef RILL_TESTS_SIM_INTERNAL_H
#define RILL_TESTS_SIM_INTERNAL_H

#include "tests/sim/list.h"
#include "tests/sim/sim.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>

/* ---- clock.c: what will happen, and when ---- */

struct sim_event {
    int64_t when;
    uint64_t order;    /* among those of the same moment */
    uint64_t sequence; /* decides the rest */
    size_t place;      /* 1 + index in sim.events; 0: not armed */
    void (*fn)(struct sim *sim, struct sim_event *event);
};

void sim_event_arm(struct sim *sim, struct sim_event *event, int64_t when);
void sim_event_disarm(struct sim *sim, struct sim_event *event);
void sim_events_run(struct sim *sim);          /* all that are due */
int64_t sim_event_next(const struct sim *sim); /* RILL_NEVER: none */
void sim_calls_finish(struct sim *sim);

/* ---- address.c ---- */

struct sim_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
        struct sockaddr_storage storage;
    };
    socklen_t size; /* 0: no address */
};

int sim_address_set(struct sim_address *address, const void *from, size_t size);
void sim_address_loopback(struct sim_address *address, int domain, uint16_t port);
void sim_address_get(const struct sim_address *address, void *to, socklen_t *size);
uint16_t sim_address_port(const struct sim_address *address);
bool sim_address_is_loopback(const struct sim_address *address); /* or "any", which leads there */
void sim_address_set_port(struct sim_address *address, uint16_t port);
bool sim_address_serves(const struct sim_address *bound, const struct sim_address *wanted);
bool sim_address_clash(const struct sim_address *one, const struct sim_address *other);
bool sim_address_is_abstract(const struct sim_address *address);
const char *sim_address_path(const struct sim_address *address);

/* ---- object.c: what a descriptor refers to ---- */

enum sim_kind {
    SIM_STREAM,
    SIM_DATAGRAM,
    SIM_REGULAR, /* a file or a directory */
    SIM_COUNTER,
    SIM_FOREIGN, /* a descriptor of the real process: never ready */
};

enum sim_socket_state {
    SIM_IDLE, /* fresh, or a failed connect */
    SIM_LISTENING,
    SIM_CONNECTING,
    SIM_CONNECTED, /* and after, until it is released */
    SIM_SHUT,      /* was listening */
};

enum sim_segment_kind {
    SIM_BYTES,
    SIM_END, /* the other side sends no more */
    SIM_RESET,
};

struct sim_segment {
    struct sim_link link; /* sim_pipe.segments */
    int64_t when;
    enum sim_segment_kind kind;
    size_t size;
};

/* The way into a stream socket. The first `arrived` of `size` bytes can be
 * read, the others are under way: each segment that arrives adds its own. */
struct sim_pipe {
    char *bytes;     /* a ring; NULL until the first byte comes */
    size_t capacity; /* size <= capacity */
    size_t start;
    size_t arrived;
    size_t size;
    uint64_t taken;           /* bytes, since it began */
    struct sim_link segments; /* of sim_segment, `when` never falls */
    struct sim_link parcels;  /* see parcel.c */
    struct sim_event event;   /* the first segment arrives */
};

struct sim_datagram {
    struct sim_link link; /* sim.datagrams, then sim_socket.datagrams */
    struct sim_event event;
    struct sim_object *sender; /* while it is under way; NULL: released */
    struct sim_address from;
    struct sim_address to;
    size_t size;
    char bytes[];
};

struct sim_socket_option {
    int level, name;
    socklen_t size;
    char value[16];
};

#define SIM_SOCKET_OPTIONS 24
#define SIM_GROUPS 20 /* igmp_max_memberships */

struct sim_socket {
    enum sim_socket_state state;
    int domain, type, protocol;
    struct sim_address local, remote;
    struct sim_link bound; /* sim.bound, if bind() put it there */
    bool port_chosen;      /* by the kernel, which takes it back from datagrams without a peer */
    bool from_loopback;    /* datagrams go to a peer there */
    struct sim_socket_option options[SIM_SOCKET_OPTIONS];
    unsigned option_count;

    /* Of a connection. `other` is NULL when the other side was released. */
    struct sim_object *other;
    struct sim_pipe in;
    bool ended; /* the other side's end has arrived */
    bool shut_in, shut_out;
    bool reset;
    int error; /* SO_ERROR, positive, cleared by who reads it */

    /* Of a listener. */
    unsigned backlog, queue_count;
    struct sim_link queue; /* of connections: sim_socket.queued */
    struct sim_link crowd; /* of clients who found the queue full: sim_socket.queued */

    /* Of who stands in one of these. */
    struct sim_link queued; /* listener's queue or crowd */
    struct sim_event handshake;

    struct sim_link datagrams;
    size_t datagram_count;
    size_t sending; /* bytes under way, which fill the send buffer */
    struct sim_address groups[SIM_GROUPS];
    unsigned group_count;
};

struct sim_object {
    struct sim *sim;
    struct sim_link link; /* sim.objects */
    enum sim_kind kind;
    unsigned refs;           /* the descriptor, operations, a queue, a peer */
    int fd;                  /* the last descriptor, for the trace; -1 */
    struct sim_link waiters; /* of sim_op.waiting */
    struct sim_peer *peer;   /* told of each wake; NULL: none */

    struct sim_socket socket;
    struct sim_node *node; /* of SIM_REGULAR */
    int open_flags;
    uint64_t position;
    uint64_t counter;
};

struct sim_object *sim_object_create(struct sim *sim, enum sim_kind kind);
struct sim_object *sim_object_keep(struct sim_object *object);
void sim_object_release(struct sim_object *object);
void sim_object_wake(struct sim_object *object, unsigned mask);
unsigned sim_object_ready(struct sim_object *object); /* POLL* */

/* Takes over the caller's reference; -EMFILE leaves it with the caller. */
int sim_fd_open(struct sim *sim, struct sim_object *object);
bool sim_fd_left(const struct sim *sim);
struct sim_object *sim_fd_object(struct sim *sim, int fd); /* borrowed; NULL: not open */
int sim_fd_close(struct sim *sim, int fd);

/* ---- op.c: one submission entry on its way to its completion ---- */

/* What an attempt answers that cannot go on: op->wait says for what. */
#define SIM_WAIT INT32_MIN

enum sim_op_state {
    SIM_OP_SCHEDULED, /* an attempt is due with op->event */
    SIM_OP_WAITING,   /* among its object's waiters */
    SIM_OP_CANCELED,  /* -ECANCELED is due with op->event */
};

struct sim_op {
    struct sim_link link;    /* sim.ops, in the order of submission */
    struct sim_link waiting; /* sim_object.waiters */
    struct sim_event event;
    struct sim_ring *ring;
    struct sim_object *object; /* NULL: the opcode has none */
    struct io_uring_sqe sqe;
    uint64_t id;
    enum sim_op_state state;
    bool tried;       /* not the first attempt any more */
    bool has_waited;  /* or was to */
    bool interrupted; /* a cancel lost: the next attempt is the last */
    bool is_deaf;     /* to a reset, which the kernel forgets to tell a multishot */
    unsigned wait;    /* POLL* */
    unsigned cqe_flags;

    /* The caller's memory, copied as the kernel copies it: the list when the
     * entry is taken over, the bytes when they move. */
    struct iovec *iov;
    struct iovec iov_one;
    size_t iov_count, total, done;
    size_t done_before; /* the latest wait, */
    unsigned waits;     /* of so many that a part came before */
    struct msghdr *message;
    size_t control_size; /* of what was put into message->msg_control, and its MSG_CTRUNC */
    int control_flags;
    struct sim_address address;
    char *path, *path_to;
};

void sim_op_start(struct sim_ring *ring, const struct io_uring_sqe *sqe);
void sim_op_schedule(struct sim_op *op, int64_t delay);
void sim_op_complete(struct sim_op *op, int result);
void sim_op_drop(struct sim_op *op);             /* without a completion */
bool sim_op_more(struct sim_op *op, int result); /* false: the multishot ends here */
int sim_op_wait(struct sim_op *op, unsigned mask);
const char *sim_op_name(const struct sim_op *op);
void sim_ops_print(struct sim *sim, FILE *file, size_t most);
bool sim_op_chance(const struct sim_op *op, unsigned per_mille);

/* ---- parcel.c: descriptors that go with bytes ---- */

int sim_parcel_check(struct sim_op *op); /* -EBADF: one is not open */
void sim_parcel_send(struct sim_op *op, size_t size);
size_t sim_parcel_limit(struct sim_object *object, size_t size); /* that one receive may take */
void sim_parcel_receive(struct sim_op *op, size_t size);
void sim_parcels_trim(struct sim_object *object);

/* The opcodes. Prepare copies what the kernel copies at submission; attempt
 * returns a result or SIM_WAIT. */
int sim_prepare_buffer(struct sim_op *op);
int sim_prepare_vector(struct sim_op *op);
int sim_prepare_message(struct sim_op *op);
int sim_prepare_address(struct sim_op *op);
int sim_prepare_path(struct sim_op *op);
int sim_prepare_paths(struct sim_op *op);
int sim_attempt_accept(struct sim_op *op);
int sim_attempt_connect(struct sim_op *op);
int sim_attempt_recv(struct sim_op *op);
int sim_attempt_send(struct sim_op *op);
int sim_attempt_shutdown(struct sim_op *op);
int sim_socket_shutdown(struct sim_object *object, unsigned how);
int sim_attempt_close(struct sim_op *op);
int sim_attempt_read(struct sim_op *op);
int sim_attempt_write(struct sim_op *op);
int sim_attempt_openat(struct sim_op *op);
int sim_attempt_fsync(struct sim_op *op);
int sim_attempt_fallocate(struct sim_op *op);
int sim_attempt_statx(struct sim_op *op);
int sim_attempt_unlinkat(struct sim_op *op);
int sim_attempt_renameat(struct sim_op *op);
int sim_attempt_mkdirat(struct sim_op *op);
int sim_attempt_symlinkat(struct sim_op *op);
int sim_attempt_linkat(struct sim_op *op);
int sim_attempt_poll(struct sim_op *op);
int sim_attempt_cancel(struct sim_op *op);

/* ---- memory.c: the caller's bytes ---- */

/* The piece of memory at an offset; returns its size, at most `want`. */
size_t sim_op_memory(const struct sim_op *op, size_t offset, size_t want, char **piece);
void sim_op_scatter(const struct sim_op *op, const char *bytes, size_t size);
void sim_op_touch(const struct sim_op *op);
void sim_op_forget(struct sim_op *op);

/* ---- buffers.c: rings of provided buffers ---- */

int sim_buffers_register(struct sim_ring *ring, const struct io_uring_buf_reg *reg);
void sim_buffers_finish(struct sim_ring *ring);
void sim_buffers_check(struct sim_ring *ring);
/* The next buffer, which sim_buffer_take takes out; -ENOBUFS: none. */
int sim_buffer_look(struct sim_ring *ring, int group, struct iovec *buffer);
unsigned sim_buffer_take(struct sim_ring *ring, int group);

/* ---- stream.c ---- */

/* Returns how many bytes can be sent, 0: wait, or -errno. */
int sim_stream_room(struct sim_object *object);
void sim_stream_put(struct sim_object *object, const char *bytes, size_t size);
void sim_stream_push(struct sim_object *object, size_t size); /* sends what was put */
/* Returns how many bytes can be read, 0: the end, SIM_WAIT, or -errno. */
int sim_stream_available(struct sim_object *object);
void sim_stream_get(struct sim_object *object, size_t offset, char *bytes, size_t size);
void sim_stream_taken(struct sim_object *object, size_t size);
void sim_stream_shut_out(struct sim_object *object);
void sim_stream_abort(struct sim_object *object); /* both sides see a reset */
void sim_stream_init(struct sim_object *object);
void sim_stream_release(struct sim_object *object);
unsigned sim_stream_ready(struct sim_object *object);

/* ---- connect.c ---- */

int sim_connect_start(struct sim_object *object, const struct sim_address *to);
struct sim_object *sim_listener_take(struct sim_object *listener); /* returns its reference */
void sim_listener_shut(struct sim_object *listener);
void sim_connect_stop(struct sim_object *object);
void sim_connect_init(struct sim_object *object);

/* ---- socket.c ---- */

int sim_socket_create(struct sim *sim, int domain, int type, int protocol,
                      struct sim_object **object);
int sim_socket_bind(struct sim_object *object, const struct sim_address *address);
int sim_socket_listen(struct sim_object *object, int backlog);
void sim_socket_name(struct sim_object *object);   /* gives it a free port if it has none */
void sim_socket_unname(struct sim_object *object); /* takes a port that was chosen back */
int sim_socket_find(struct rill_kernel *kernel, int fd, struct sim_object **object);
int sim_socket_option(struct sim_object *object, int level, int name);
bool sim_socket_lingers_not(struct sim_object *object);
void sim_socket_linger_not(struct sim_object *object);
extern const struct rill_kernel_ops sim_kernel_ops; /* in ring.c */
int sim_call_socket(struct rill_kernel *kernel, int domain, int type, int protocol);
int sim_call_bind(struct rill_kernel *kernel, int fd, const struct sockaddr *address,
                  socklen_t size);
int sim_call_connect(struct rill_kernel *kernel, int fd, const struct sockaddr *address,
                     socklen_t size);
int sim_call_listen(struct rill_kernel *kernel, int fd, int backlog);
int sim_call_setsockopt(struct rill_kernel *kernel, int fd, int level, int name, const void *value,
                        socklen_t size);
int sim_call_getsockopt(struct rill_kernel *kernel, int fd, int level, int name, void *value,
                        socklen_t *size);
int sim_call_getsockname(struct rill_kernel *kernel, int fd, struct sockaddr *address,
                         socklen_t *size);
int sim_call_getpeername(struct rill_kernel *kernel, int fd, struct sockaddr *address,
                         socklen_t *size);
int sim_call_poll(struct rill_kernel *kernel, struct pollfd *fds, unsigned count);
int sim_call_shutdown(struct rill_kernel *kernel, int fd, int how);
bool sim_call_is_terminal(struct rill_kernel *kernel, int fd);
int sim_call_fstatat(struct rill_kernel *kernel, int directory, const char *path,
                     struct stat *status, int flags);
int sim_call_unlinkat(struct rill_kernel *kernel, int directory, const char *path, int flags);
int sim_call_close(struct rill_kernel *kernel, int fd);

/* ---- datagram.c ---- */

int sim_datagram_connect(struct sim_object *object, const struct sockaddr *to, socklen_t size);
int sim_datagram_group(struct sim_object *object, const void *group, size_t size, bool joins);
int sim_datagram_send(struct sim_op *op);          /* SIM_WAIT: the send buffer is full */
int sim_datagram_ready(struct sim_object *object); /* 1, SIM_WAIT or -errno */
bool sim_datagram_has_room(struct sim_object *object);
int sim_datagram_recv(struct sim_op *op);
size_t sim_datagram_overhead(const struct sim_op *op); /* before the payload, in a shared buffer */
void sim_datagrams_drop(struct sim *sim, struct sim_link *list);
void sim_datagram_release(struct sim_object *object);

/* ---- disk.c: a tree of files ---- */

/* A name in a directory. */
struct sim_entry {
    struct sim_link link;  /* sim_node.entries or synced_entries of the directory */
    struct sim_node *node; /* kept, by its refs or synced_refs */
    char *name;
};

struct sim_node {
    struct sim_link link;           /* sim.nodes */
    struct sim_link entries;        /* of a directory: sim_entry.link */
    struct sim_link synced_entries; /* ... those that a loss of power leaves */
    struct sim_node *parent;        /* of a directory; NULL: the root, or removed */
    unsigned refs;                  /* entries, and open descriptions */
    unsigned links;                 /* entries alone */
    unsigned synced_refs;           /* synced entries */
    unsigned number;
    mode_t mode; /* S_IFREG, S_IFDIR, S_IFLNK or S_IFSOCK, and permissions */
    int64_t modified_ns;
    size_t size, capacity;
    char *bytes;  /* of a symbolic link: where it leads, with a zero behind */
    char *synced; /* what a loss of power leaves */
    size_t synced_size;
};

/* What a path leads to. */
struct sim_place {
    struct sim_node *parent, *node;
    struct sim_entry *entry; /* NULL: nothing, or the root, ".", ".." */
    const char *last;        /* the name that is missing */
};

void sim_disk_init(struct sim *sim);
void sim_disk_finish(struct sim *sim);
/* Finds what a path names, from base (NULL: the root). Returns 0 or -errno;
 * -ENOENT with place->parent set means that only the last name is missing, -ENOTDIR
 * with place->node set that only a slash behind it is wrong. */
int sim_disk_find(struct sim *sim, struct sim_node *base, const char *path, bool follow,
                  struct sim_place *place);
struct sim_node *sim_node_create(struct sim *sim, struct sim_node *parent, const char *name,
                                 mode_t mode);
void sim_node_name(struct sim_node *node, struct sim_node *parent, const char *name);
void sim_entry_remove(struct sim *sim, struct sim_entry *entry);
void sim_node_release(struct sim *sim, struct sim_node *node);
int sim_node_resize(struct sim *sim, struct sim_node *node, size_t size);
void sim_node_sync(struct sim *sim, struct sim_node *node);

/* ---- file.c ---- */

int sim_file_fault(struct sim_op *op); /* 0, or -EIO as often as the options say */

/* ---- peer.c ---- */

void sim_peer_wake(struct sim_peer *peer);
void sim_peers_finish(struct sim *sim);

/* ---- ring.c ---- */

struct sim_overflow {
    struct sim_link link; /* sim_ring.overflow */
    struct io_uring_cqe cqe;
};

struct sim_ring {
    struct sim_link link; /* sim.rings */
    struct sim *sim;
    struct io_uring *ring;
    struct sim_link overflow; /* completions that wait for room, oldest first */
    struct sim_link groups;   /* buffers.c */
    bool choked;              /* the queue plays full until the next enter */
    unsigned sq_head, sq_tail, sq_mask, sq_entries, sq_flags, sq_dropped;
    unsigned cq_head, cq_tail, cq_mask, cq_entries, cq_flags, cq_overflow;
    unsigned *sq_array;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
};

bool sim_ring_try_post(struct sim_ring *ring, uint64_t user_data, int result, unsigned flags);
void sim_ring_destroy(struct sim_ring *ring);
void sim_ring_post(struct sim_ring *ring, uint64_t user_data, int result, unsigned flags);

/* ---- sim.c ---- */

struct sim_trace_event;

struct sim {
    struct rill_kernel kernel;
    struct sim_options options; /* zeros replaced by their meaning */
    uint64_t random[4];
    int64_t now;

    struct sim_event **events; /* a heap: the next one first */
    size_t event_count, event_places;
    uint64_t event_sequence;
    struct sim_link calls; /* of sim_at, clock.c */

    struct sim_link rings;
    struct sim_link ops;
    size_t op_count;
    uint64_t op_ids;

    struct sim_link objects;
    struct sim_object **fds;
    size_t fd_count;
    struct sim_object *foreign;
    struct sim_link bound;     /* of sim_socket.bound */
    struct sim_link datagrams; /* under way: of sim_datagram.link */
    size_t datagrams_lost, datagrams_doubled;
    uint16_t port_next;

    struct sim_node *root;
    struct sim_link nodes; /* all, of sim_node.link */
    size_t disk_size;
    unsigned node_numbers;

    struct sim_link peers;

    size_t bad_fds, enters, overflows;
    unsigned looks; /* at the clock, since the last enter */

    struct sim_trace_event *trace;
    size_t trace_count; /* all that ever happened */
    uint64_t trace_hash;
};

void sim_trace_init(struct sim *sim);
bool sim_chance(struct sim *sim, unsigned per_mille);
size_t sim_shorten(struct sim *sim, size_t size); /* now and then a smaller one, never 0 */
int64_t sim_delay(struct sim *sim);               /* 0 in half of the cases */
int64_t sim_latency(struct sim *sim);
void *sim_allocate(size_t size); /* zeroed; never fails */
void *sim_grow(void *memory, size_t size);

/* Prints why and the end of the trace, and aborts: the world was misused. */
void sim_fail(struct sim *sim, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

#endif
