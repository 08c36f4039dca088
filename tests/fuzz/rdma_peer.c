/* SPDX-License-Identifier: Apache-2.0 */
/* rdma_peer.c - a peer that says what libFuzzer says, to connections and a service that do so too.
 *
 * The peer, the villain, has plain endpoints; the other side has a listener, a hub with a few
 * connections, and a service, and uses all of that as an honest program might. What the villain
 * leaves out is what cannot be defended against: bytes that are no address of a worker. */
#include "rdma/exchange.h"
#include "rdma/note.h"
#include "rdma/parcel.h"
#include "rdma/rpc_client.h"
#include "rdma/rpc_server.h"
#include "rdma/tag.h"
#include "tests/fuzz/errand.h"
#include "tests/fuzz/input.h"
#include "tests/rdma/sim_ucx_parts.h"

#include <errno.h>
#include <string.h>

enum {
    SERVICE = 3,
    INBOX = 4,
    GUESTS = 2,
    RAWS = 2,
    SAYINGS = 3,
    SIZE = 9000,
    REQUESTS_MAX = 2,
    STEPS_MAX = 400,
    IDS = 32, /* of active messages, in tests/rdma/sim_ucx_parts.h */
};

static struct input *input;
static bool is_mute; /* UCX does not report all that has ended with an endpoint */

static uint64_t choose(uint64_t below)
{
    return input_below(input, below);
}

/* ---- the honest side ---- */

enum { CONNECTING, SENDING, SENDING_TOO, RECEIVING, FETCHING, CALLING, CLOSING, ERRANDS };

struct guest {
    struct rill_rdma_connection connection;
    struct rill_rdma_transfer sends[2], recv;
    struct rill_rdma_parcel parcel;
    struct rill_rdma_rpc_client client;
    struct rill_rdma_rpc_call call;
    struct errand errands[ERRANDS];
    char sent[SIZE], received[SIZE], answer[SIZE];
};

static struct {
    struct rill_rdma rdma;
    struct rill_rdma_hub hub;
    struct rill_rdma_rpc rpc;
    struct rill_rdma_listener listener;
    struct rill_address address;
    struct guest guests[GUESTS];
    struct rill_rdma_inbox inbox;
    struct rill_rdma_am message;
    struct rill_rdma_op fetch;
    bool has_fetched;
    struct errand accepting, welcoming, serving, reading;
    struct rill_rdma_accept accept;
    struct rill_rdma_am stranger;
    struct rill_rdma_rpc_request request;
    bool was_fetched;
    struct rill_rdma_rpc_work work;
    struct rill_sleep effort;
    char bytes[SIZE], data[SIZE];
} honest;

/* It has nothing to do with anybody, and nobody with it. */
static bool is_vacant(const struct guest *guest)
{
    for (int i = 0; i < ERRANDS; i++)
        if (guest->errands[i].is_out && !errand_is_over(&guest->errands[i]))
            return false;
    return guest->connection.state == RILL_RDMA_IDLE;
}

/* Makes it new. */
static struct guest *vacate(struct guest *guest)
{
    for (int i = 0; i < ERRANDS; i++)
        errand_end(&guest->errands[i]);
    rill_rdma_parcel_give_back(&guest->parcel);
    if (guest->client.rpc)
        rill_rdma_rpc_client_finish(&guest->client);
    memset(guest, 0, sizeof *guest);
    rill_rdma_rpc_client_init(&guest->client, &honest.rpc, &guest->connection.ep, 1);
    return guest;
}

static struct guest *find_vacant(void)
{
    for (int i = 0; i < GUESTS; i++)
        if (is_vacant(&honest.guests[i]))
            return vacate(&honest.guests[i]);
    return NULL;
}

static struct rill_rdma_connection_options draw_options(void)
{
    uint64_t how = input_byte(input);

    return (struct rill_rdma_connection_options){
        .handshake_ns = 200 * RILL_MILLISECOND,
        .close_ns = 200 * RILL_MILLISECOND,
        .silence_ns = 400 * RILL_MILLISECOND,
        .window = how % 2 ? 20000 : 0,
        .is_unprotected = how / 2 % 4 == 3,
        .reconnects = how / 8 % 4 == 3 ? 2 : 0,
        .reconnects_after_end = how / 32 % 2,
        .reconnect_first_ns = 10 * RILL_MILLISECOND,
    };
}

/* Takes who has knocked, and looks for the next. */
static void attend(void)
{
    struct rill_rdma_connection_options options = draw_options();
    struct guest *guest;

    if (errand_is_over(&honest.accepting) && errand_end(&honest.accepting) == 0) {
        guest = find_vacant();
        if (guest)
            rill_rdma_adopt(&guest->connection, &honest.hub, &honest.accept, &options);
        else
            rill_rdma_reject(&honest.accept);
    }
    if (!honest.accepting.is_out)
        errand_start(&honest.accepting, rill_rdma_accept(&honest.listener, &honest.accept));
    if (errand_is_over(&honest.welcoming) && errand_end(&honest.welcoming) >= 0) {
        guest = find_vacant();
        if (guest)
            rill_rdma_adopt_worker(&guest->connection, &honest.hub, &honest.stranger, &options);
        rill_rdma_am_release(&honest.stranger);
    }
    if (!honest.welcoming.is_out)
        errand_start(&honest.welcoming, rill_rdma_accept_worker(&honest.hub, &honest.stranger));
}

static void use_guest(struct guest *guest)
{
    struct rill_rdma_connection *connection = &guest->connection;
    uint32_t tag = choose(3) ? RILL_RDMA_ANY_TAG : (uint32_t)choose(3);
    size_t size = (size_t)choose(SIZE);
    int which;

    if (!connection->hub)
        return;
    switch (choose(8)) {
    case 0:
        which = (int)choose(2);
        if (errand_is_free(guest->errands + SENDING + which))
            errand_start(guest->errands + SENDING + which,
                         (choose(2) ? rill_rdma_send_sync : rill_rdma_send)(
                             connection, &guest->sends[which], guest->sent, size, 1));
        break;
    case 1:
        if (errand_is_free(guest->errands + RECEIVING))
            errand_start(guest->errands + RECEIVING,
                         rill_rdma_recv(connection, &guest->recv, guest->received, size, tag));
        break;
    case 2:
        if (errand_is_free(guest->errands + FETCHING)) {
            rill_rdma_parcel_give_back(&guest->parcel);
            errand_start(guest->errands + FETCHING,
                         rill_rdma_parcel_recv(connection, &guest->parcel, tag, size));
        }
        break;
    case 3:
        if (errand_is_free(guest->errands + CALLING))
            errand_start(guest->errands + CALLING,
                         rill_rdma_rpc_call(&guest->client, &guest->call, 7, guest->sent, size,
                                            guest->answer, (size_t)choose(SIZE)));
        break;
    case 4:
        if (errand_is_free(guest->errands + CLOSING) && !guest->errands[CONNECTING].is_out)
            errand_start(guest->errands + CLOSING,
                         (choose(2) ? rill_rdma_cut : rill_rdma_disconnect)(connection));
        break;
    case 5:
        rill_rdma_probe(connection, tag, NULL, NULL);
        break;
    default:
        errand_cancel(&guest->errands[choose(ERRANDS)]);
        break;
    }
}

/* What is done for a request, one thing after the other. */
static void serve(void)
{
    bool is_free = errand_is_free(&honest.serving);

    if (!is_free) {
        if (choose(4) == 0)
            errand_cancel(&honest.serving);
        return;
    }
    if (!honest.request.held) {
        honest.was_fetched = false;
        errand_start(&honest.serving, rill_rdma_rpc_recv(&honest.rpc, &honest.request));
        return;
    }
    switch (choose(4)) {
    case 0:
        if (honest.request.size <= SIZE && !honest.was_fetched) {
            honest.was_fetched = true;
            errand_start(&honest.serving, rill_rdma_rpc_fetch(&honest.request, honest.bytes));
        }
        break;
    case 1:
        errand_start(&honest.serving,
                     rill_rdma_rpc_while_wanted(&honest.request, &honest.work,
                                                rill_sleep(&honest.effort, RILL_SECOND / 10)));
        break;
    case 2:
        rill_rdma_rpc_refuse(&honest.request, -EIO);
        break;
    default:
        errand_start(&honest.serving,
                     rill_rdma_rpc_reply(&honest.request, 0, honest.bytes, (size_t)choose(SIZE)));
        break;
    }
}

/* The same for a message; a sender that is gone may be waited for for ever. */
static void read_inbox(void)
{
    if (!errand_is_free(&honest.reading)) {
        if (choose(4) == 0)
            errand_cancel(&honest.reading);
    } else if (!honest.message.held) {
        honest.has_fetched = false;
        errand_start(&honest.reading, rill_rdma_am_recv(&honest.inbox, &honest.message));
    } else if (honest.has_fetched || honest.message.size > SIZE ||
               (is_mute && !honest.message.data) || choose(2)) {
        rill_rdma_am_release(&honest.message);
    } else {
        honest.has_fetched = true;
        errand_start(&honest.reading,
                     rill_rdma_am_fetch(&honest.message, &honest.fetch, honest.data));
    }
}

/* ---- the villain ---- */

struct saying {
    struct errand errand;
    struct rill_rdma_op op;
    unsigned char header[RILL_RDMA_AM_HEADER_MAX];
    char data[SIZE];
};

static struct {
    struct rill_rdma rdma;
    struct rill_rdma_listener listener;
    struct rill_address address;
    struct errand accepting, receiving;
    struct rill_rdma_accept accept;
    struct rill_rdma_op recv;
    char received[SIZE];
    struct raw {
        struct rill_rdma_ep ep;
        struct saying sayings[SAYINGS];
    } raws[RAWS];
} villain;

static uint32_t draw_id(bool is_victim)
{
    const struct rill_rdma_connection *connection = &honest.guests[choose(GUESTS)].connection;
    uint64_t how = choose(8);

    if (how == 7)
        return (uint32_t)input_extreme(input);
    return is_victim ? connection->id : how < 4 ? 1 : connection->peer.id;
}

static size_t compose_control(unsigned char *bytes)
{
    struct rill_rdma_control control = rill_rdma_control_swap((struct rill_rdma_control){
        .magic = RILL_RDMA_WIRE_MAGIC,
        .version = choose(8) < 7 ? RILL_RDMA_WIRE_VERSION : input_byte(input),
        .kind = (uint8_t)(RILL_RDMA_HELLO + choose(6)),
        .to = draw_id(true),
        .from = draw_id(false),
        .received = choose(2) ? 0 : input_extreme(input),
        .window = choose(2) ? 1000 : input_extreme(input),
        .eager_size = (uint32_t)input_extreme(input),
        .beat_ms = (uint32_t)(choose(2) ? 0 : input_extreme(input)),
        .reason = (int32_t)input_extreme(input),
        .load_kib = (uint32_t)(choose(2) ? 0 : input_extreme(input)),
    });

    memcpy(bytes, &control, sizeof control);
    return sizeof control;
}

/* Of a call that waits, or any. */
static size_t compose_rpc(unsigned char *bytes)
{
    uint64_t id = choose(2) ? choose(3) : honest.rpc.next_call - choose(4);

    rill_rdma_rpc_pack(bytes, (enum rill_rdma_rpc_kind)(1 + choose(4)), id,
                       (uint32_t)input_extreme(input));
    return RILL_RDMA_RPC_HEADER_SIZE;
}

static size_t compose(unsigned char *bytes, unsigned *id)
{
    size_t size;

    memset(bytes, 0, RILL_RDMA_AM_HEADER_MAX);
    switch (choose(8)) {
    case 0:
        *id = choose(2) ? INBOX : (unsigned)choose(IDS);
        return input_take(input, bytes, (size_t)choose(RILL_RDMA_AM_HEADER_MAX + 1));
    case 1:
        *id = choose(2) ? SERVICE : RILL_RDMA_CONTROL_ID;
        size = *id == SERVICE ? compose_rpc(bytes) : compose_control(bytes);
        bytes[choose(RILL_RDMA_AM_HEADER_MAX)] ^= input_byte(input);
        return choose(2) ? size : (size_t)choose(RILL_RDMA_AM_HEADER_MAX + 1);
    case 2:
        *id = RILL_RDMA_STRANGER_ID;
        return compose_control(bytes);
    case 3:
    case 4:
        *id = SERVICE;
        return compose_rpc(bytes);
    default:
        *id = RILL_RDMA_CONTROL_ID;
        return compose_control(bytes);
    }
}

static const unsigned am_flags[] = {0, RILL_RDMA_AM_REPLY, RILL_RDMA_AM_REPLY | RILL_RDMA_AM_EAGER,
                                    RILL_RDMA_AM_REPLY | RILL_RDMA_AM_RENDEZVOUS};

static void say_active(struct raw *raw, struct saying *saying)
{
    size_t size = choose(2) ? 0 : (size_t)choose(SIZE), address_size;
    unsigned id, flags = am_flags[choose(4)];
    size_t header_size = compose(saying->header, &id);

    if (id == RILL_RDMA_STRANGER_ID) { /* with an address always: UCX believes it */
        const void *address = rill_rdma_address(&villain.rdma, &address_size);

        size = address_size;
        memcpy(saying->data, address, size);
    }
    errand_start(&saying->errand, rill_rdma_am_send(&raw->ep, &saying->op, id, saying->header,
                                                    header_size, saying->data, size, flags));
}

static void say_tagged(struct raw *raw, struct saying *saying)
{
    uint64_t tag = (uint64_t)draw_id(true) << 32 | choose(3) << RILL_RDMA_USER_TAG_BITS | choose(3);
    size_t size = choose(2) ? 0 : (size_t)choose(SIZE);

    errand_start(&saying->errand, (choose(2) ? rill_rdma_tag_send_sync : rill_rdma_tag_send)(
                                      &raw->ep, &saying->op, saying->data, size, tag));
}

static void hang_up(struct raw *raw)
{
    if (raw->ep.is_open)
        await(rill_rdma_ep_abort(&raw->ep));
    for (int i = 0; i < SAYINGS; i++)
        errand_end(&raw->sayings[i].errand);
    memset(raw, 0, sizeof *raw);
}

static void begin_raw(struct raw *raw)
{
    size_t size;

    if (errand_is_over(&villain.accepting) && errand_end(&villain.accepting) == 0)
        rill_rdma_ep_adopt(&raw->ep, &villain.accept);
    else if (choose(4) == 3)
        rill_rdma_ep_open(&raw->ep, &villain.rdma, rill_rdma_address(&honest.rdma, &size));
    else
        rill_rdma_ep_connect(&raw->ep, &villain.rdma, &honest.address);
    if (!villain.accepting.is_out)
        errand_start(&villain.accepting, rill_rdma_accept(&villain.listener, &villain.accept));
}

/* Whatever was sent to one of its ids: so a BYE is taken. */
static void hear(void)
{
    if (!is_mute && errand_is_free(&villain.receiving))
        errand_start(&villain.receiving, rill_rdma_tag_recv(&villain.rdma, &villain.recv,
                                                            villain.received, SIZE, 0, 0));
}

static void act(struct raw *raw)
{
    struct saying *saying = &raw->sayings[choose(SAYINGS)];

    if (!raw->ep.is_open || raw->ep.error) {
        hang_up(raw);
        begin_raw(raw);
    } else if (choose(16) == 15) {
        hang_up(raw);
    } else if (choose(8) == 7) {
        hear();
    } else if (errand_is_free(&saying->errand)) {
        if (choose(4) == 3)
            say_tagged(raw, saying);
        else
            say_active(raw, saying);
    }
}

/* ---- one world ---- */

static void begin(void)
{
    const struct rill_address any = {.ip4.sin_family = AF_INET, .size = sizeof any.ip4};
    const uint8_t how = input_byte(input);
    const struct sim_options sim_options = {.seed = input_byte(input)};
    const struct sim_ucx_options options = {
        .latency_max_ns = how % 4 * 100 * RILL_MICROSECOND,
        .late_max_ns = 100 * RILL_MICROSECOND,
        .late_per_mille = how / 4 % 2 * 300,
        .am_overtake = how / 8 % 2,
        .pairs = how / 16 % 2,
        .mute_per_mille = how / 32 % 4 == 3 ? 300 : 0,
        .loss_per_mille = how / 128 * 300,
    };
    struct rill_rdma_options rdma_options = {.bare_endpoints = true};

    is_mute = options.mute_per_mille > 0;
    memset(&honest, 0, sizeof honest);
    memset(&villain, 0, sizeof villain);
    expect(fixture_open(SIMULATED, &sim_options, NULL));
    rdma_options.ucx = sim_ucx_begin(&options, NULL);
    expect_eq(rill_rdma_open(&honest.rdma, &rdma_options), 0);
    expect_eq(rill_rdma_hub_open(&honest.hub, &honest.rdma), 0);
    expect_eq(rill_rdma_rpc_open(&honest.rpc, &honest.rdma, SERVICE, REQUESTS_MAX), 0);
    expect_eq(rill_rdma_inbox_open(&honest.inbox, &honest.rdma, INBOX), 0);
    expect_eq(rill_rdma_listen(&honest.listener, &honest.rdma, &any), 0);
    expect_eq(rill_rdma_listener_address(&honest.listener, &honest.address), 0);
    for (int i = 0; i < GUESTS; i++)
        vacate(&honest.guests[i]);
    expect_eq(rill_rdma_open(&villain.rdma, &rdma_options), 0);
    expect_eq(rill_rdma_listen(&villain.listener, &villain.rdma, &any), 0);
    expect_eq(rill_rdma_listener_address(&villain.listener, &villain.address), 0);
    errand_start(&villain.accepting, rill_rdma_accept(&villain.listener, &villain.accept));
    if (sim_options.seed % 16 == 15) /* calls of UCX fail from now on */
        sim_ucx.options.error_per_mille = 30;
}

static void connect_guest(void)
{
    struct rill_rdma_connection_options options = draw_options();
    struct guest *guest = choose(4) ? NULL : find_vacant();
    size_t size;

    if (!guest)
        return;
    if (choose(4))
        rill_rdma_connect(&guest->connection, &honest.hub, &villain.address, &options);
    else
        rill_rdma_connect_worker(&guest->connection, &honest.hub,
                                 rill_rdma_address(&villain.rdma, &size), &options);
    errand_start(guest->errands + CONNECTING, &guest->connection.future);
}

static void step(void)
{
    struct rill_sleep pause;

    switch (choose(8)) {
    case 0:
        await(rill_sleep(&pause, INT64_C(1000) << choose(20)));
        break;
    case 1:
        use_guest(&honest.guests[choose(GUESTS)]);
        break;
    case 2:
        if (choose(3))
            serve();
        else
            read_inbox();
        break;
    case 3:
        connect_guest();
        break;
    default:
        act(&villain.raws[choose(RAWS)]);
        break;
    }
    attend();
    fixture_turn();
}

static void check(void)
{
    for (int i = 0; i < GUESTS; i++) {
        const struct rill_rdma_credit *credit = &honest.guests[i].connection.credit;

        expect(credit->acknowledged <= credit->sent);
        expect(credit->told <= credit->received);
    }
    expect(honest.rpc.held_count <= REQUESTS_MAX);
}

static void close_guest(struct guest *guest)
{
    errand_cancel(guest->errands + CONNECTING);
    errand_end(guest->errands + CONNECTING);
    errand_end(guest->errands + CLOSING);
    if (guest->connection.hub)
        await(rill_rdma_disconnect(&guest->connection));
    expect_eq(guest->connection.state, RILL_RDMA_IDLE);
    vacate(guest);
    rill_rdma_rpc_client_finish(&guest->client);
}

static void end(void)
{
    for (int i = 0; i < RAWS; i++)
        hang_up(&villain.raws[i]);
    for (int i = 0; i < GUESTS; i++)
        close_guest(&honest.guests[i]);
    errand_cancel(&honest.accepting);
    if (errand_end(&honest.accepting) == 0)
        rill_rdma_reject(&honest.accept);
    errand_cancel(&honest.welcoming);
    errand_end(&honest.welcoming);
    rill_rdma_am_release(&honest.stranger);
    errand_cancel(&honest.serving);
    errand_end(&honest.serving);
    rill_rdma_rpc_refuse(&honest.request, -EIO);
    errand_cancel(&villain.receiving);
    errand_end(&villain.receiving);
    errand_cancel(&villain.accepting);
    if (errand_end(&villain.accepting) == 0)
        rill_rdma_reject(&villain.accept);
    errand_cancel(&honest.reading);
    errand_end(&honest.reading);
    rill_rdma_am_release(&honest.message);
    rill_rdma_inbox_close(&honest.inbox);
    rill_rdma_listener_close(&honest.listener);
    rill_rdma_listener_close(&villain.listener);
    rill_rdma_rpc_close(&honest.rpc);
    expect_eq(honest.hub.connections, 0);
    rill_rdma_hub_close(&honest.hub);
    expect_eq(honest.rdma.endpoints, 0);
    expect_eq(honest.rdma.ops_in_flight, 0);
    expect_eq(honest.rdma.source.pending, 0);
    rill_rdma_close(&honest.rdma);
    rill_rdma_close(&villain.rdma);
    sim_ucx_end();
    fixture_close();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input whole = {bytes, bytes + size};

    input = &whole;
    begin();
    for (int i = 0; i < STEPS_MAX && input_has(input); i++) {
        step();
        check();
    }
    end();
    return 0;
}
