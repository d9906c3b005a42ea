#include "base/deadline.h"
#include "base/hash.h"
#include "node/clock.h"
#include "node/credit.h"
#include "node/outbox_private.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/state.h"
#include "store/digest.h"
#include "store/marks.h"

#include <assert.h>
#include <string.h>

#define FLIGHTS_FIRST     16
#define SLOTS_UNIT        8    /* slots of flights passed by in a unit of work */
#define HELLO_WAIT_MS     500u /* before the second hello without an answer; doubles */
#define HELLO_WAIT_MAX    30000u
#define HELLO_ASKED_MS    1000u
#define HELLO_MEMBER_MS   1000u /* of each member's turn at an address that nobody has reached */
#define HELLO_AHEAD_MAX   (2 * (HELLO_WAIT_MAX + (NODE_PEERS_MAX + 1) * HELLO_MEMBER_MS))
#define REVALIDATE_US     UINT64_C(600000000) /* a token is asked back this often, ages in 20 min */
#define IN_FLIGHT_MOST    UINT8_MAX
#define FULL_SHOWN_FOR_US UINT64_C(60000000) /* after the last key that the table refused */

_Static_assert(OUTBOX_ACKS_MAX >= PACE_WINDOW_MAX, "what is not acked is sent again");
_Static_assert((OUTBOX_FLIGHTS_MAX & (OUTBOX_FLIGHTS_MAX - 1)) == 0, "a power of two");

/* Flights. */

/* What the numbers of a peer differ by from the counter of all: whoever sees its own cannot tell
 * what others were sent, and so cannot ack for them from a forged address. */
static uint32_t sequence_offset(const struct node *node, const struct peer *peer)
{
    uint8_t id[sizeof peer->id];

    memcpy(id, &peer->id, sizeof id);
    return (uint32_t)hash_sip(node->options.token_secret, (struct bytes){ id, sizeof id });
}

static struct flight *flight_slot(const struct outbox *outbox, uint32_t sequence)
{
    return &outbox->flights[sequence & (outbox->flights_room - 1)];
}

/* Whether it takes a place in its peer's window. Probes and hellos do not: they are few, one at a
 * time, and go where nobody may be. */
static bool flight_fills_window(const struct flight *flight)
{
    return flight->kind != FLIGHT_PROBE && flight->kind != FLIGHT_HELLO;
}

static void flight_free(struct node *node, struct flight *flight)
{
    if (flight_fills_window(flight)) {
        assert(flight->peer->in_flight > 0);
        flight->peer->in_flight--;
    }
    flight->peer = NULL;
    node->outbox->flights_count--;
    marks_clear(&flight->carried, node->mem);
}

/* Two sequences that differ in some low bits differ in more of them too: nothing collides anew. */
static bool flights_grow(struct node *node)
{
    struct outbox *outbox = node->outbox;
    const uint32_t room_old = outbox->flights_room;
    const uint32_t room = room_old == 0 ? FLIGHTS_FIRST : room_old * 2;
    struct flight *flights_old = outbox->flights;
    struct flight *flights;

    if (room > OUTBOX_FLIGHTS_MAX) {
        return false;
    }
    flights = mem_alloc_zeroed(node->mem, room * sizeof *flights);
    if (flights == NULL) {
        return false;
    }
    outbox->flights = flights;
    outbox->flights_room = room;
    for (uint32_t i = 0; i < room_old; i++) {
        if (flights_old[i].peer != NULL) {
            *flight_slot(outbox, flights_old[i].sequence) = flights_old[i];
        }
    }
    mem_free(node->mem, flights_old, room_old * sizeof *flights_old);
    return true;
}

/* The slot of the next sequence. NULL: there is none, for want of memory or for good. */
static struct flight *flight_place(struct node *node)
{
    struct outbox *outbox = node->outbox;
    struct flight *slot;

    if (outbox->flights_count >= outbox->flights_room / 2) {
        (void)flights_grow(node);
    }
    slot = outbox->flights_room == 0 ? NULL : flight_slot(outbox, outbox->sequence);
    return slot == NULL || slot->peer != NULL ? NULL : slot;
}

/* Go on to a sequence whose slot is free, where there is one: what is long under way, as a probe
 * is, would else make whatever falls on it leave without being waited for. */
static void sequence_next(struct node *node)
{
    struct outbox *outbox = node->outbox;
    uint32_t passed = 0;

    outbox->sequence++;
    while (outbox->flights_count < outbox->flights_room
           && flight_slot(outbox, outbox->sequence)->peer != NULL) {
        outbox->sequence++;
        passed++;
    }
    work_count(node, passed / SLOTS_UNIT);
}

/* Content that was sent before says nothing: which of them was acked? */
static void rtt_measure(struct node *node, struct peer *peer, const struct flight *flight,
                        struct moment now)
{
    if (flight->tries == 1) {
        pace_measured(node, peer,
                      now.mono_us > flight->sent_us ? now.mono_us - flight->sent_us : 0);
    }
}

/* Take a flight out of its slot, so that whoever is told about it may do anything. */
static struct flight flight_take(struct node *node, struct flight *slot)
{
    struct flight flight = *slot;

    slot->carried = (struct marks){ 0 };
    flight_free(node, slot);
    return flight;
}

/* Owed. */

/* What leaves whatever the rate says. */
static bool owed_urgent(const struct owed *owed)
{
    return owed->acks_count > 0 || owed->has_who || owed->refused_count > 0 || owed->has_roots
           || owed->bare;
}

/* What leaves as the rate allows. */
static bool owed_waits(const struct owed *owed)
{
    return owed->hello || !marks_empty(&owed->larger);
}

/* Roots are salted with the first `a` of a datagram without `q`: acks that they belong to do not
 * ride in other people's datagrams. */
static bool owed_rides(const struct owed *owed)
{
    return owed != NULL && !owed->has_roots && owed->acks_count > 0;
}

static struct owed_list *owed_list(struct outbox *outbox, const struct owed *owed)
{
    return owed->waits ? &outbox->owed_waits : &outbox->owed_new;
}

static void owed_move(struct outbox *outbox, struct owed *owed, bool waits)
{
    TAILQ_REMOVE(owed_list(outbox, owed), owed, link);
    owed->waits = waits;
    TAILQ_INSERT_TAIL(owed_list(outbox, owed), owed, link);
}

static void owed_free(struct node *node, struct owed *owed)
{
    TAILQ_REMOVE(owed_list(node->outbox, owed), owed, link);
    owed->peer->owed = NULL;
    marks_clear(&owed->larger, node->mem);
    mem_free(node->mem, owed, sizeof *owed);
}

static void owed_free_all(struct node *node, struct owed_list *list)
{
    struct owed *owed;

    while ((owed = TAILQ_FIRST(list)) != NULL) {
        owed_free(node, owed);
    }
}

bool outbox_create(struct node *node)
{
    struct outbox *outbox = mem_alloc_zeroed(node->mem, sizeof *outbox);

    node->outbox = outbox;
    if (outbox == NULL) {
        return false;
    }
    outbox->flights_due_us = UINT64_MAX;
    outbox->sequence = (uint32_t)random_next(&node->random[RANDOM_NODE]);
    TAILQ_INIT(&outbox->owed_new);
    TAILQ_INIT(&outbox->owed_waits);
    return true;
}

void outbox_free(struct node *node)
{
    struct outbox *outbox = node->outbox;

    if (outbox == NULL) {
        return;
    }
    for (uint32_t i = 0; i < outbox->flights_room; i++) {
        if (outbox->flights[i].peer != NULL) {
            flight_free(node, &outbox->flights[i]);
        }
    }
    mem_free(node->mem, outbox->flights, outbox->flights_room * sizeof *outbox->flights);
    owed_free_all(node, &outbox->owed_new);
    owed_free_all(node, &outbox->owed_waits);
    mem_free(node->mem, outbox, sizeof *outbox);
}

struct owed *outbox_owe(struct node *node, struct peer *peer)
{
    if (node->options.plain_only) {
        return NULL;
    }
    if (peer->owed == NULL) {
        struct owed *owed = mem_alloc_zeroed(node->mem, sizeof *owed);

        if (owed == NULL) {
            node->stats.memory_refused++;
            return NULL;
        }
        owed->peer = peer;
        peer->owed = owed;
        TAILQ_INSERT_TAIL(&node->outbox->owed_new, owed, link);
    } else if (peer->owed->waits) {
        owed_move(node->outbox, peer->owed, false);
    }
    return peer->owed;
}

void outbox_owe_ack(struct node *node, struct peer *peer, uint32_t sequence, bool roots)
{
    struct owed *owed = outbox_owe(node, peer);

    if (owed == NULL || owed->acks_count == OUTBOX_ACKS_MAX) {
        return;
    }
    if (roots && !owed->has_roots) {
        owed->has_roots = true;
        owed->roots_salt = sequence;
        owed->acks[owed->acks_count] = owed->acks[0];
        owed->acks[0] = sequence;
    } else {
        owed->acks[owed->acks_count] = sequence;
    }
    owed->acks_count++;
}

void outbox_owe_refused(struct node *node, struct peer *peer, uint32_t sequence)
{
    struct owed *owed = outbox_owe(node, peer);

    if (owed != NULL && owed->refused_count < OUTBOX_REFUSED_MAX) {
        owed->refused[owed->refused_count++] = sequence;
    }
}

/* How long the hello after this many waits. The first ones follow each other fast, since each of
 * the datagrams of a handshake may be lost and its peer is no member before; later ones do not,
 * since nobody may be there, or somebody who never asked for it. */
static uint32_t hello_wait_ms(unsigned tries)
{
    uint32_t wait_ms = HELLO_WAIT_MS;

    for (unsigned i = 1; i < tries && wait_ms < HELLO_WAIT_MAX; i++) {
        wait_ms *= 2;
    }
    return wait_ms < HELLO_WAIT_MAX ? wait_ms : HELLO_WAIT_MAX;
}

/* The wait after the next try, by who it is: see the header. */
static uint32_t hello_pause_ms(const struct node *node, struct moment now, const struct peer *peer,
                               unsigned tries)
{
    if (peer->is_seed || node_has_reached(node, peer, now) || node_is_new(node, now)) {
        return hello_wait_ms(tries);
    }
    return HELLO_WAIT_MAX + peers_members(node->peers) * HELLO_MEMBER_MS;
}

void outbox_owe_hello_later(struct moment now, struct peer *peer, uint32_t wait_ms)
{
    peer->hello_due_ms = clock_ms(now) + wait_ms;
    peer->hello_due_ms = peer->hello_due_ms == 0 ? 1 : peer->hello_due_ms; /* 0: never said */
}

/* Whether the credit of an address allows us to speak first; it is charged at once, since many may
 * be spoken to before the first of these datagrams leaves. */
static bool hello_credit(struct node *node, struct moment now, struct peer *peer)
{
    if (peer->is_seed || node_trusts(node, peer, now)) {
        return true;
    }
    if (credit_room(node, now, &peer->address, &peer->credit) < CREDIT_FLOOR_BYTES) {
        return false;
    }
    credit_spend(node, now, &peer->address, &peer->credit, CREDIT_FLOOR_BYTES);
    return true;
}

void outbox_owe_hello(struct node *node, struct moment now, struct peer *peer, bool asked)
{
    const uint32_t waits_ms = hello_pause_ms(node, now, peer, peer->hello_tries);
    const uint32_t early_ms = asked && waits_ms > HELLO_ASKED_MS ? waits_ms - HELLO_ASKED_MS : 0;
    struct owed *owed;

    if (peer->hello_due_ms != 0
        && clock_is_ahead(now, peer->hello_due_ms - early_ms, HELLO_AHEAD_MAX)) {
        peer->hello_asked = peer->hello_asked || asked;
        return;
    }
    owed = hello_credit(node, now, peer) ? outbox_owe(node, peer) : NULL;
    if (owed != NULL) {
        owed->hello = true;
        peer->hello_asked = false;
        if (peer->hello_tries < UINT8_MAX) {
            peer->hello_tries++;
        }
        outbox_owe_hello_later(now, peer, hello_pause_ms(node, now, peer, peer->hello_tries));
    }
}

void outbox_roots(const struct node *node, uint32_t salt, uint32_t minute, uint32_t roots[2])
{
    const struct table *table = node->table;

    roots[TABLE_MEMBERS] = digest_salted(table_root(table, TABLE_MEMBERS), salt);
    roots[TABLE_DATA] = digest_salted(table_root_of(table, table_root_ever(table), minute), salt);
}

/* Whether roots depend on the minute: not where no key has ended lately, and none is to. */
static bool roots_have_minute(const struct table *table, uint32_t minute)
{
    return table_keys_between(table, DEADLINE_MAX) > 0
           || (minute > TABLE_MINUTES_KEPT
               && table_keys_between(table, minute - TABLE_MINUTES_KEPT) > 0);
}

void outbox_put_roots(const struct node *node, const struct peer *peer, uint32_t salt,
                      struct envelope *envelope)
{
    const uint32_t ours = table_root_minute(node->table);
    const bool is_behind = peer->minute < ours && ours - peer->minute <= TABLE_MINUTES_KEPT;

    envelope->has |= WIRE_HAS_ROOTS;
    envelope->minute = ours;
    if (roots_have_minute(node->table, ours) || (peer->minute != 0 && peer->minute != ours)) {
        envelope->has |= WIRE_HAS_MINUTE;
    }
    if (is_behind && (envelope->has & WIRE_HAS_MINUTE) != 0) {
        envelope->has |= WIRE_HAS_LATER;
        envelope->later = ours;
        envelope->minute = peer->minute;
    }
    outbox_roots(node, salt, envelope->minute, envelope->roots);
}

/* The fields that every datagram of ours has to this peer. */
static struct envelope envelope_for(const struct node *node, struct moment now,
                                    const struct peer *peer, const struct envelope *more)
{
    struct envelope envelope = *more;

    envelope.has |= WIRE_HAS_SENDER;
    envelope.sender_id = (uint32_t)node->self_id;
    if (peer->validated_us == 0 || now.mono_us - peer->validated_us > REVALIDATE_US
        || (peer->owed != NULL && (peer->owed->has_who || peer->owed->asks_echo))) {
        envelope.has |= WIRE_HAS_TOKEN;
        node_token(node, now, &peer->address, 0, envelope.token);
    }
    if (peer->has_token) {
        envelope.has |= WIRE_HAS_ECHO;
        memcpy(envelope.echo, peer->token, sizeof envelope.echo);
    }
    /* It counts for nothing beside neither. */
    if ((envelope.has & WIRE_HAS_ECHO) != 0
        || ((envelope.has & WIRE_HAS_ROOTS) != 0 && peer->owed != NULL
            && peer->owed->acks_count > 0)) {
        envelope.has |= WIRE_HAS_CLOCK;
        envelope.clock_s = now.unix_s < UINT32_MAX ? (uint32_t)now.unix_s : UINT32_MAX;
    }
    if (node->options.cluster_id != 0) {
        envelope.has |= WIRE_HAS_CLUSTER;
        envelope.cluster = node->options.cluster_id;
    }
    if (node->refused_us != 0 && now.mono_us - node->refused_us < FULL_SHOWN_FOR_US) {
        envelope.has |= WIRE_HAS_FLAGS;
        envelope.flags |= WIRE_FLAG_FULL;
    }
    return envelope;
}

static void acks_put(struct writer *writer, const struct owed *owed)
{
    const size_t taken = writer_put_acks(writer, owed->acks, owed->acks_count);

    assert(taken == owed->acks_count);
}

void outbox_begin(struct node *node, struct moment now, struct peer *peer, struct writer *writer,
                  struct space space, const struct envelope *envelope)
{
    const struct envelope joined = envelope_for(node, now, peer, envelope);

    assert(!node->options.plain_only);
    writer_begin_ordinary(writer, space, &joined);
    if (owed_rides(peer->owed)) {
        acks_put(writer, peer->owed);
    }
}

/* Whether a hello is still to go to a peer, which may have to prove what it says by the echo of a
 * token: what leaves before it does not use that up. */
static bool hello_comes(const struct peer *peer)
{
    return peer->hello_asked || (peer->owed != NULL && peer->owed->hello);
}

/* Close, charge and count a datagram. */
static size_t datagram_end(struct node *node, struct moment now, struct peer *peer,
                           struct writer *writer, enum node_kind kind)
{
    const struct bytes datagram = writer_end(writer);

    peer->has_token = peer->has_token && hello_comes(peer);
    pace_sent(node, now, peer, datagram.size);
    sent_count(node, &peer->address, kind, datagram.size);
    return datagram.size;
}

size_t outbox_end(struct node *node, struct moment now, struct peer *peer, struct writer *writer,
                  enum node_kind kind)
{
    if (owed_rides(peer->owed)) {
        peer->owed->acks_count = 0;
        peer->owed->bare = false;
    }
    return datagram_end(node, now, peer, writer, kind);
}

uint32_t outbox_sequence(const struct node *node, const struct peer *peer)
{
    return node->outbox->sequence + sequence_offset(node, peer);
}

bool outbox_fly(struct node *node, struct moment now, struct peer *peer,
                const struct flight_plan *plan, struct marks *carried)
{
    struct outbox *outbox = node->outbox;
    struct flight *flight = peer->in_flight == IN_FLIGHT_MOST ? NULL : flight_place(node);

    if (flight == NULL) {
        sequence_next(node);
        node->stats.memory_refused++;
        if (carried != NULL) {
            marks_clear(carried, node->mem);
        }
        return false;
    }
    *flight = (struct flight){
        .peer = peer,
        .sent_us = now.mono_us,
        .due_us = plan->due_us,
        .tag = plan->tag,
        .sequence = outbox->sequence,
        .kind = plan->kind,
        .tries = plan->tries,
    };
    if (carried != NULL) {
        flight->carried = *carried;
        *carried = (struct marks){ 0 };
    }
    peer->in_flight += flight_fills_window(flight);
    outbox->flights_count++;
    sequence_next(node);
    if (plan->due_us < outbox->flights_due_us) {
        outbox->flights_due_us = plan->due_us;
    }
    return true;
}

bool outbox_take_acked(struct node *node, struct moment now, struct peer *peer, uint32_t sequence,
                       struct flight *flight_out)
{
    struct outbox *outbox = node->outbox;
    const uint32_t counted = sequence - sequence_offset(node, peer);
    struct flight *slot;

    if (outbox->flights_room == 0) {
        return false;
    }
    slot = flight_slot(outbox, counted);
    if (slot->peer != peer || slot->sequence != counted) {
        return false;
    }
    *flight_out = flight_take(node, slot);
    rtt_measure(node, peer, flight_out, now);
    if (flight_fills_window(flight_out)) {
        pace_acked(peer);
    }
    return true;
}

bool outbox_take_lost(struct node *node, struct moment now, uint32_t *cursor,
                      struct flight *flight_out)
{
    struct outbox *outbox = node->outbox;

    if (*cursor == 0) {
        if (now.mono_us < outbox->flights_due_us) {
            return false;
        }
        outbox->flights_due_us = UINT64_MAX;
        work_count(node, outbox->flights_room / SLOTS_UNIT);
    }
    /* Nearly in the order in which they left. Nothing is added meanwhile: only emission does. */
    while (*cursor < outbox->flights_room) {
        struct flight *slot =
            flight_slot(outbox, outbox->sequence - outbox->flights_room + (*cursor)++);

        if (slot->peer == NULL) {
            continue;
        }
        if (slot->due_us <= now.mono_us) {
            work_count(node, 1);
            *flight_out = flight_take(node, slot);
            return true;
        }
        if (slot->due_us < outbox->flights_due_us) {
            outbox->flights_due_us = slot->due_us;
        }
    }
    return false;
}

uint64_t outbox_due_us(const struct node *node)
{
    const struct outbox *outbox = node->outbox;
    uint64_t due_us = outbox->flights_count == 0 ? UINT64_MAX : outbox->flights_due_us;

    if (!TAILQ_EMPTY(&outbox->owed_new) || !TAILQ_EMPTY(&outbox->owed_waits)) {
        const uint64_t paced_us = pace_due_us(node, node->now);

        due_us = paced_us < due_us ? paced_us : due_us;
    }
    return due_us;
}

/* Our presence, and `x`. It asks for an ack as long as the peer has not echoed our token, so that
 * three datagrams make both sides sure of each other. */
static size_t hello_emit(struct node *node, struct moment now, struct owed *owed,
                         struct space space)
{
    struct peer *peer = owed->peer;
    struct entry *self = node->self;
    const size_t blocks = vector_blocks(entry_vector(self));
    struct envelope envelope = { .has = WIRE_HAS_WINDOW, .window = PACE_WINDOW_MAX };
    const bool asks = peer->validated_us == 0;
    struct block_room room;
    struct writer writer;
    size_t size;

    if (asks) {
        envelope.has |= WIRE_HAS_SEQUENCE;
        envelope.sequence = outbox_sequence(node, peer);
    }
    envelope = envelope_for(node, now, peer, &envelope);
    writer_begin_hello(&writer, space, entry_key(self));
    for (size_t i = 0; i < blocks; i++) {
        const struct block block = vector_block(entry_vector(self), i, &room);

        writer_put_block(&writer, &block, NULL);
    }
    writer_begin_x(&writer, &envelope);
    if (owed_rides(owed)) {
        acks_put(&writer, owed);
        owed->acks_count = 0;
    }
    owed->hello = false;
    owed->bare = false;
    size = datagram_end(node, now, peer, &writer, NODE_KIND_HELLO);
    if (asks) {
        const struct flight_plan plan = { .kind = FLIGHT_HELLO,
                                          .tries = 1,
                                          .due_us = now.mono_us + pace_rto_us(node, peer) };

        (void)outbox_fly(node, now, peer, &plan, NULL);
    }
    return size;
}

/* First words to an address that has not shown that it receives them: a token, and the question who
 * it is. They are harmless where they reach somebody who knows nothing of us. */
static size_t challenge_emit(struct node *node, struct moment now, struct owed *owed,
                             struct space space)
{
    struct envelope envelope = { .has = WIRE_HAS_WHO | WIRE_HAS_WINDOW,
                                 .who = (uint32_t)owed->peer->id,
                                 .window = PACE_WINDOW_MAX };
    struct writer writer;
    struct bytes datagram;

    envelope = envelope_for(node, now, owed->peer, &envelope);
    writer_begin_ordinary(&writer, space, &envelope);
    datagram = writer_end(&writer);
    assert(datagram.size <= CREDIT_FLOOR_BYTES);
    owed->hello = false;
    owed->bare = false;
    owed->peer->has_token = false;
    pace_charge(node, now, datagram.size); /* its credit was charged when it was owed */
    sent_count(node, &owed->peer->address, NODE_KIND_HELLO, datagram.size);
    return datagram.size;
}

static size_t answer_emit(struct node *node, struct moment now, struct owed *owed,
                          struct space space)
{
    /* An ack may always leave, what would ride in it only as the rate allows. */
    const bool tells = !marks_empty(&owed->larger) && pace_rate_allows(node, now);
    struct envelope envelope = { 0 };
    enum node_kind kind = NODE_KIND_ACK;
    struct writer writer;

    if (owed->has_who) {
        envelope.has |= WIRE_HAS_WHO;
        envelope.who = owed->who;
    }
    if (owed->refused_count > 0) {
        envelope.has |= WIRE_HAS_REFUSED;
        envelope.refused = owed->refused[--owed->refused_count];
        kind = NODE_KIND_PROBE;
    }
    if (owed->has_roots) {
        outbox_put_roots(node, owed->peer, owed->roots_salt, &envelope);
    }
    if (tells) {
        envelope.has |= WIRE_HAS_DEPTH;
        envelope.depth = WIRE_DEPTH_STOP;
        kind = NODE_KIND_SYNC;
    }
    envelope = envelope_for(node, now, owed->peer, &envelope);
    writer_begin_ordinary(&writer, space, &envelope);
    acks_put(&writer, owed);
    if (tells) {
        (void)marks_put_items(&owed->larger, node->table, node->mem, &writer, NULL);
    }
    owed->acks_count = 0;
    owed->has_who = false;
    owed->asks_echo = owed->asks_echo && !marks_empty(&owed->larger);
    owed->has_roots = false;
    owed->bare = false;
    return datagram_end(node, now, owed->peer, &writer, kind);
}

/* The first record with something to send now: what is urgent may always, the rest as the rate
 * allows. Each record that was added to is looked at once: it leaves, waits, or has nothing left
 * (it rode elsewhere) and is freed. */
static struct owed *owed_next(struct node *node, struct moment now)
{
    struct outbox *outbox = node->outbox;
    struct owed *owed;

    while ((owed = TAILQ_FIRST(&outbox->owed_new)) != NULL) {
        if (owed_urgent(owed)) {
            return owed;
        }
        if (owed_waits(owed)) {
            owed_move(outbox, owed, true);
        } else {
            owed_free(node, owed);
        }
    }
    while ((owed = TAILQ_FIRST(&outbox->owed_waits)) != NULL && !owed_waits(owed)) {
        owed_free(node, owed); /* its entries were dropped */
    }
    return pace_rate_allows(node, now) ? owed : NULL;
}

size_t outbox_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    struct owed *owed = owed_next(node, now);
    size_t size;

    if (owed == NULL) {
        return 0;
    }
    assert(!node->options.plain_only);
    *to = owed->peer->address;
    if (owed->hello && pace_rate_allows(node, now)) {
        size = node_trusts(node, owed->peer, now) ? hello_emit(node, now, owed, space)
                                                  : challenge_emit(node, now, owed, space);
    } else {
        size = answer_emit(node, now, owed, space);
    }
    if (owed_urgent(owed) || owed_waits(owed)) {
        owed_move(node->outbox, owed, !owed_urgent(owed));
    } else {
        owed_free(node, owed);
    }
    return size;
}

void outbox_drop_peer(struct node *node, struct peer *peer)
{
    struct outbox *outbox = node->outbox;

    for (uint32_t i = 0; i < outbox->flights_room; i++) {
        if (outbox->flights[i].peer == peer) {
            flight_free(node, &outbox->flights[i]);
        }
    }
    work_count(node, outbox->flights_room / SLOTS_UNIT);
    if (peer->owed != NULL) {
        owed_free(node, peer->owed);
    }
}

void outbox_drop_entries(struct node *node, struct drops drops)
{
    struct outbox *outbox = node->outbox;
    struct owed *owed;

    for (uint32_t i = 0; i < outbox->flights_room; i++) {
        if (!marks_empty(&outbox->flights[i].carried)) {
            work_count(node, 1 + marks_drop(&outbox->flights[i].carried, node->mem, drops));
        }
    }
    work_count(node, outbox->flights_room / SLOTS_UNIT);
    for (owed = TAILQ_FIRST(&outbox->owed_new); owed != NULL; owed = TAILQ_NEXT(owed, link)) {
        work_count(node, 1 + marks_drop(&owed->larger, node->mem, drops));
    }
    for (owed = TAILQ_FIRST(&outbox->owed_waits); owed != NULL; owed = TAILQ_NEXT(owed, link)) {
        work_count(node, 1 + marks_drop(&owed->larger, node->mem, drops));
    }
}

static void owed_audit(const struct owed *owed, bool waits)
{
    assert(owed->peer->owed == owed);
    assert(owed->waits == waits);
    assert(!waits || !owed_urgent(owed));
    assert(owed->acks_count <= OUTBOX_ACKS_MAX && owed->refused_count <= OUTBOX_REFUSED_MAX);
    marks_audit(&owed->larger);
}

void outbox_audit(const struct node *node)
{
    const struct outbox *outbox = node->outbox;
    const struct owed *owed;
    uint32_t flights = 0;
    uint32_t filling = 0;
    uint32_t in_flight = 0;

    for (uint32_t i = 0; i < outbox->flights_room; i++) {
        const struct flight *flight = &outbox->flights[i];

        if (flight->peer != NULL) {
            flights++;
            filling += flight_fills_window(flight);
            assert(flight_slot(outbox, flight->sequence) == flight);
            assert(flight->due_us >= outbox->flights_due_us);
            marks_audit(&flight->carried);
        }
    }
    assert(flights == outbox->flights_count);
    for (uint32_t i = 0; i < peers_count(node->peers); i++) {
        in_flight += peers_at(node->peers, i)->in_flight;
    }
    assert(in_flight == filling);
    for (owed = TAILQ_FIRST(&outbox->owed_new); owed != NULL; owed = TAILQ_NEXT(owed, link)) {
        owed_audit(owed, false);
    }
    for (owed = TAILQ_FIRST(&outbox->owed_waits); owed != NULL; owed = TAILQ_NEXT(owed, link)) {
        owed_audit(owed, true);
    }
}
