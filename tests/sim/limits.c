#include "sim/limits.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/credit.h"
#include "node/extended.h"
#include "node/pace.h"
#include "node/state.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/ledger.h"
#include "sim/red.h"
#include "sim/world.h"

#define PENDING_MAX 128 /* a window and what it may be too large by, with room to see it */
#define SAVED_US    (60 * WORLD_S)
#define ROUNDED_US  (2 * WORLD_MS)   /* nodes count in milliseconds */
#define RTO_LEAST   (100 * WORLD_MS) /* nothing counts as lost before */

/* Bytes that may leave, refilled as time passes. */
struct meter {
    double tokens;
    uint64_t filled_us;
};

/* What is under way to one peer, as it is seen on the wire. */
struct window {
    struct {
        uint64_t sent_us;
        uint32_t sequence;
    } pending[PENDING_MAX];
    uint32_t count;
    uint32_t most;
    uint32_t acks;
};

struct limits {
    struct meter *rates;     /* of each machine */
    struct meter *floors;    /* of each machine, to all strangers */
    struct window **windows; /* machine, peer; NULL: nothing was sent */
    struct ledger credits;   /* machine, life, address: bytes that came and were not answered */
    struct ledger echoes;    /* the same: 1, it echoed a token */
    struct ledger networks;  /* machine, life, /24: us until which its floor is used up */
    uint64_t *lives;
    uint64_t *work;        /* of each machine: at the beginning of this turn */
    uint64_t *work_excess; /* what its largest datagram may do in this turn */
    size_t machines;
};

static void *zeroed(size_t count, size_t size)
{
    void *block = calloc(count, size);

    assert(block != NULL);
    return block;
}

struct limits *limits_create(size_t machines)
{
    struct limits *limits = zeroed(1, sizeof *limits);

    limits->machines = machines;
    limits->rates = zeroed(machines, sizeof *limits->rates);
    limits->floors = zeroed(machines, sizeof *limits->floors);
    limits->windows = zeroed(machines * machines, sizeof(struct window *));
    limits->lives = zeroed(machines, sizeof *limits->lives);
    limits->work = zeroed(machines, sizeof *limits->work);
    limits->work_excess = zeroed(machines, sizeof *limits->work_excess);
    return limits;
}

void limits_free(struct limits *limits)
{
    for (size_t i = 0; i < limits->machines * limits->machines; i++) {
        free(limits->windows[i]);
    }
    ledger_clear(&limits->credits);
    ledger_clear(&limits->echoes);
    ledger_clear(&limits->networks);
    free(limits->rates);
    free(limits->floors);
    free(limits->windows);
    free(limits->lives);
    free(limits->work);
    free(limits->work_excess);
    free(limits);
}

void limits_forget(struct limits *limits, uint32_t machine)
{
    limits->lives[machine]++;
    for (size_t i = 0; i < limits->machines; i++) {
        struct window **window = &limits->windows[machine * limits->machines + i];

        free(*window);
        *window = NULL;
    }
}

/* Rate. */

/* Take bytes out of a meter that holds `burst` and is filled by `rate` a second. */
static bool meter_take(struct meter *meter, uint64_t now_us, double rate, double burst, size_t size)
{
    if (meter->filled_us == 0) {
        meter->tokens = burst;
    }
    meter->tokens += (double)(now_us - meter->filled_us) * rate / 1e6;
    meter->tokens = meter->tokens > burst ? burst : meter->tokens;
    meter->filled_us = now_us;
    meter->tokens -= (double)size;
    return meter->tokens >= 0;
}

void limits_rate(struct world *world, struct limits *limits, uint32_t machine, const char *what,
                 size_t size)
{
    const double rate = (double)world->options.node.bytes_per_second_max;
    const double burst =
        (double)pace_burst_bytes((uint64_t)rate) + WIRE_EXTENDED_BYTES_MAX + NETWORK_HEADER_BYTES;

    if (!meter_take(&limits->rates[machine], world->now_us, rate, burst,
                    size + NETWORK_HEADER_BYTES)) {
        red("rate", "machine %u sends faster than %.0f bytes a second: %s of %zu bytes", machine,
            rate, what, size);
    }
}

/* Windows. */

static struct window *window_of(struct limits *limits, uint32_t machine, uint32_t peer, bool create)
{
    struct window **window = &limits->windows[machine * limits->machines + peer];

    if (*window == NULL && create) {
        *window = zeroed(1, sizeof **window);
        (*window)->most = PEER_WINDOW_START;
    }
    return *window;
}

static void pending_remove(struct window *window, uint32_t position)
{
    window->pending[position] = window->pending[--window->count];
}

void limits_window_sent(struct world *world, struct limits *limits, uint32_t machine,
                        const struct address *to, const struct message *message)
{
    const uint32_t peer = world_machine_of(world, to);
    const enum node_kind kind = extended_kind(message);
    struct window *window;

    if (peer == WORLD_NOBODY || world->machines[peer].kind == MACHINE_STRANGER
        || (message->envelope.has & WIRE_HAS_SEQUENCE) == 0
        || (kind != NODE_KIND_PUSH && kind != NODE_KIND_SYNC)) {
        return;
    }
    window = window_of(limits, machine, peer, true);
    for (uint32_t i = 0; i < window->count;) {
        if (world->now_us - window->pending[i].sent_us >= RTO_LEAST) {
            pending_remove(window, i); /* may have been given up */
        } else {
            i++;
        }
    }
    assert(window->count < PENDING_MAX);
    window->pending[window->count].sequence = message->envelope.sequence;
    window->pending[window->count++].sent_us = world->now_us;
    /* One more: a window that shrank meanwhile counts its acks from elsewhere. */
    if (window->count > window->most + 1) {
        red("window", "machine %u has %u datagrams under way to machine %u, whose window is %u",
            machine, window->count, peer, window->most);
    }
}

/* Any ack counts, also of what needs no place in the window: so it never falls short of the real
 * one. */
void limits_window_taken(struct world *world, struct limits *limits, uint32_t machine,
                         const struct address *from, const struct message *message)
{
    const uint32_t peer = world_machine_of(world, from);
    struct window *window = peer == WORLD_NOBODY ? NULL : window_of(limits, machine, peer, false);
    struct run acks = message->acks;
    uint32_t sequence;

    while (window != NULL && message_next_ack(&acks, &sequence)) {
        for (uint32_t i = 0; i < window->count; i++) {
            if (window->pending[i].sequence == sequence) {
                pending_remove(window, i);
                break;
            }
        }
        if (++window->acks >= window->most) {
            window->acks = 0;
            window->most += window->most < PACE_WINDOW_MAX;
        }
    }
}

/* Credit. */

static uint64_t address_name(const struct limits *limits, uint32_t machine,
                             const struct address *address, unsigned bytes)
{
    static const uint8_t secret[16] = { 11 };
    uint8_t text[18] = { 0 };
    uint64_t hash;

    memcpy(text, address->ip, bytes);
    if (bytes == sizeof address->ip) {
        text[16] = (uint8_t)(address->port >> 8);
        text[17] = (uint8_t)address->port;
    }
    hash = hash_sip(secret, (struct bytes){ text, sizeof text });
    return hash_mix(hash_mix(hash, machine), limits->lives[machine]);
}

/* Members are not: who is one was introduced by a person or by another, and an address that one of
 * them left is still called for a while. */
static bool is_judged(const struct world *world, const struct limits *limits, uint32_t machine,
                      const struct address *address)
{
    const uint32_t other = world_machine_of(world, address);
    const bool strange = other == WORLD_NOBODY ? !address_in_range(address, &world_network)
                                               : world->machines[other].kind == MACHINE_STRANGER;
    const uint64_t name = address_name(limits, machine, address, sizeof address->ip);

    return strange && !world_is_trusted(world, address) && ledger_get(&limits->echoes, name) == 0;
}

/* Take what came off what leaves. Returns the rest: the least that the floor must have given,
 * whichever of its datagrams the node paid so. */
static size_t credit_take(struct limits *limits, uint64_t name, size_t bytes)
{
    const uint64_t credit = ledger_get(&limits->credits, name);
    const size_t paid = credit < bytes ? (size_t)credit : bytes;

    ledger_set(&limits->credits, name, credit - paid);
    return bytes - paid;
}

static void credit_add(struct limits *limits, uint64_t name, size_t bytes)
{
    ledger_set(&limits->credits, name, ledger_get(&limits->credits, name) + bytes);
}

void limits_credit_told(struct limits *limits, uint32_t machine, const struct address *about)
{
    credit_add(limits, address_name(limits, machine, about, sizeof about->ip), LIMITS_FLOOR_BYTES);
}

/* What those who may say so say of others. */
static void told_note(const struct world *world, struct limits *limits, uint32_t machine,
                      const struct address *from, const struct message *message)
{
    struct run items = message->items;
    struct address about;
    struct item item;

    if (is_judged(world, limits, machine, from)) {
        return;
    }
    if (presence_address(message->plain.key, &about)) {
        limits_credit_told(limits, machine, &about);
    }
    while (message_next_item(&items, &item)) {
        if (presence_address(item.key, &about)) {
            limits_credit_told(limits, machine, &about);
        }
    }
}

/* What a network did not need it may get later: a node that pays out of the floor what we think
 * paid by what came keeps that for another time. */
static bool floor_take(const struct world *world, struct limits *limits, uint64_t network,
                       size_t bytes)
{
    uint64_t used_us = ledger_get(&limits->networks, network);

    used_us = used_us == 0 ? world->now_us : used_us;
    used_us = used_us + SAVED_US < world->now_us ? world->now_us - SAVED_US : used_us;
    used_us += bytes * (WORLD_S / LIMITS_FLOOR_BYTES);
    ledger_set(&limits->networks, network, used_us);
    return used_us <= world->now_us + WORLD_S + ROUNDED_US;
}

void limits_credit_sent(struct world *world, struct limits *limits, uint32_t machine,
                        const struct address *to, size_t size)
{
    char text[ADDRESS_TEXT_MAX];
    size_t unpaid;

    if (!is_judged(world, limits, machine, to)) {
        return;
    }
    unpaid = credit_take(limits, address_name(limits, machine, to, sizeof to->ip),
                         size + NETWORK_HEADER_BYTES);
    if (unpaid > 0 && !floor_take(world, limits, address_name(limits, machine, to, 15), unpaid)) {
        red("credit", "machine %u sends %zu bytes to %.*s, %zu of them beyond %u a second", machine,
            size, (int)address_to_text(to, text), text, unpaid, LIMITS_FLOOR_BYTES);
    }
    if (!meter_take(&limits->floors[machine], world->now_us, LIMITS_FLOOR_ALL_BYTES,
                    LIMITS_FLOOR_ALL_BYTES, unpaid)) {
        red("credit", "machine %u sends more than %u unpaid bytes a second to strangers", machine,
            LIMITS_FLOOR_ALL_BYTES);
    }
}

static bool is_echo(const struct world *world, uint32_t machine, const struct address *from,
                    const struct message *message)
{
    const struct machine *at = &world->machines[machine];
    uint8_t token[WIRE_TOKEN_BYTES];

    for (unsigned epoch = 0; epoch < 2; epoch++) {
        node_token(at->node, world_moment(world, at), from, epoch, token);
        if (memcmp(token, message->envelope.echo, sizeof token) == 0) {
            return true;
        }
    }
    return false;
}

void limits_credit_taken(struct world *world, struct limits *limits, uint32_t machine,
                         const struct address *from, struct bytes datagram)
{
    const uint64_t name = address_name(limits, machine, from, sizeof from->ip);
    struct message message;
    const bool is_message = message_decode(datagram, &message) == WIRE_OK;

    if (!is_judged(world, limits, machine, from)) {
        if (is_message) {
            told_note(world, limits, machine, from, &message);
        }
        return;
    }
    credit_add(limits, name, datagram.size + NETWORK_HEADER_BYTES);
    if (is_message && message.extended && (message.envelope.has & WIRE_HAS_ECHO) != 0
        && is_echo(world, machine, from, &message)) {
        ledger_set(&limits->echoes, name, 1);
        told_note(world, limits, machine, from, &message);
    }
}

/* Work. */

void limits_work_begin(struct world *world, struct limits *limits, uint32_t machine)
{
    limits->work[machine] = node_work(world->machines[machine].node);
    limits->work_excess[machine] = 0;
}

void limits_work_datagram(struct limits *limits, uint32_t machine, size_t size, uint64_t work)
{
    const uint64_t most = node_datagram_work_max(size);

    if (work > most) {
        red("work", "machine %u does %llu units for a datagram of %zu bytes, not %llu", machine,
            (unsigned long long)work, size, (unsigned long long)most);
    }
    if (work > limits->work_excess[machine]) {
        limits->work_excess[machine] = work;
    }
}

/* What was begun is ended: a turn may take one datagram more than its budget, or one step. */
void limits_work_end(struct world *world, struct limits *limits, uint32_t machine)
{
    const uint64_t work = node_work(world->machines[machine].node) - limits->work[machine];
    const uint64_t step = node_datagram_work_max(WIRE_EXTENDED_BYTES_MAX);
    const uint64_t most =
        NODE_TURN_WORK_MAX + NODE_EMIT_WORK_MIN + step + limits->work_excess[machine];

    if (work > most) {
        red("work", "machine %u does %llu units in a turn, not %llu", machine,
            (unsigned long long)work, (unsigned long long)most);
    }
}
