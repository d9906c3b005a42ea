#include "node/contact.h"

#include "base/hash.h"
#include "node/claim.h"
#include "node/outbox.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/plain.h"
#include "node/presence.h"
#include "node/state.h"
#include "store/marks.h"

#include <assert.h>
#include <string.h>

#define SECOND_US        UINT64_C(1000000)
#define SEEDS_WAIT_US    SECOND_US /* between rounds while alone, and at first */
#define SEEDS_WAIT_MAX   (30 * SECOND_US)
#define SWEEP_US         (SECOND_US / 5)
#define SWEEP_PEERS      64               /* looked at in one sweep */
#define STRANGER_KEPT_US (60 * SECOND_US) /* a record without presence that is not heard */
#define LEAVE_TRIES_MAX  3
#define DOUBT_TRIES      8 /* hellos without an answer: a minute and a half */
#define TURNS_BEGIN_MS   30000u
#define TURN_MS          1000u
#define LEAVE_PLAIN      8 /* plain members that are told of our leaving */

struct contact {
    struct address seeds[NODE_SEEDS_MAX]; /* configured ones, then introduced ones */
    uint32_t seeds_count;
    uint32_t seeds_configured;
    uint64_t seeds_due_us;
    uint64_t seeds_wait_us; /* back-off of the next round */
    uint64_t sweep_due_us;
    uint32_t sweep; /* position of the next peer to look at */
    uint32_t doomed_count;
    struct peer *doomed[CONTACT_DOOMED_MAX]; /* dropped when the turn ends */
    struct peer *leave[CONTACT_LEAVE_MAX];   /* to be told, NULL: done */
    uint8_t leave_tries[CONTACT_LEAVE_MAX];  /* sent so often */
    bool leave_under_way[CONTACT_LEAVE_MAX]; /* waits for its ack */
};

static bool is_live(const struct peer *peer)
{
    return peer->member && (peer->state == PEER_ALIVE || peer->state == PEER_SUSPECT);
}

/* Seeds. */

static struct peer *seed_peer(struct node *node, const struct address *address)
{
    struct peer *peer = peers_obtain(node->peers, address, node_peer_id(node, address));

    if (peer == NULL) {
        node->stats.memory_refused++;
    }
    return peer;
}

static bool seed_has(const struct contact *contact, const struct address *address)
{
    for (uint32_t i = 0; i < contact->seeds_count; i++) {
        if (address_compare(&contact->seeds[i], address) == 0) {
            return true;
        }
    }
    return false;
}

static void seed_add(struct node *node, const struct address *address)
{
    struct contact *contact = node->contact;
    struct peer *peer;

    if (contact->seeds_count == NODE_SEEDS_MAX || !address_is_peer(address)
        || address_compare(address, &node->options.self) == 0 || seed_has(contact, address)) {
        return;
    }
    contact->seeds[contact->seeds_count++] = *address;
    peer = seed_peer(node, address);
    if (peer != NULL) {
        peer->is_seed = true;
    }
}

static void seed_remove(struct node *node, uint32_t position)
{
    struct contact *contact = node->contact;
    struct peer *peer = peers_find(node->peers, &contact->seeds[position]);

    if (peer != NULL) {
        peer->is_seed = false;
    }
    contact->seeds_count--;
    if (position < contact->seeds_configured) {
        contact->seeds_configured--;
    }
    memmove(&contact->seeds[position], &contact->seeds[position + 1],
            (contact->seeds_count - position) * sizeof contact->seeds[0]);
}

static void seed_contact(struct node *node, struct moment now, struct peer *peer)
{
    /* First contact where plain messages are not taken is a hello, which tells the cluster. */
    if (!node->options.plain_only && !node_takes_plain(node, &peer->address)) {
        struct owed *owed = outbox_owe(node, peer);

        if (owed != NULL) {
            owed->hello = true;
        }
        return;
    }
    /* What it speaks is not known before it was heard; a question gets an answer from both. */
    plain_introduce(node, now, peer, peer->heard_us == 0);
    if (peer->level > 0) {
        outbox_owe_hello(node, now, peer, true);
    }
}

/* Contact every seed that is not a live member. One that looks plain is told of our level all the
 * same: its own first word may have been lost. An introduced one that became a member has been
 * introduced. */
static void seeds_round(struct node *node, struct moment now)
{
    struct contact *contact = node->contact;
    uint32_t position = 0;

    while (position < contact->seeds_count) {
        struct peer *peer = seed_peer(node, &contact->seeds[position]);

        if (peer != NULL && is_live(peer) && position >= contact->seeds_configured) {
            seed_remove(node, position);
            continue;
        }
        if (peer != NULL) {
            peer->is_seed = true;
            if (!is_live(peer) || peer->level == 0) {
                seed_contact(node, now, peer);
            }
        }
        position++;
    }
}

static void seeds_tick(struct node *node, struct moment now)
{
    struct contact *contact = node->contact;
    const bool alone = peers_members(node->peers) == 0;

    if (alone) {
        contact->seeds_wait_us = SEEDS_WAIT_US;
        if (contact->seeds_due_us > now.mono_us + SEEDS_WAIT_US) {
            contact->seeds_due_us = now.mono_us;
        }
    }
    if (now.mono_us < contact->seeds_due_us) {
        return;
    }
    seeds_round(node, now);
    /* Nodes that lost each other at once do not look for each other at once. */
    contact->seeds_due_us =
        now.mono_us
        + (alone ? contact->seeds_wait_us
                 : contact->seeds_wait_us / 2
                       + random_below(&node->random[RANDOM_NODE], contact->seeds_wait_us / 2 + 1));
    if (!alone && contact->seeds_wait_us < SEEDS_WAIT_MAX) {
        contact->seeds_wait_us *= 2;
        if (contact->seeds_wait_us > SEEDS_WAIT_MAX) {
            contact->seeds_wait_us = SEEDS_WAIT_MAX;
        }
    }
}

/* Hellos and strangers. */

/* A record that nobody answered for: a client's port, a scan. What is in the store or in the list
 * of seeds is kept by others' rules. */
static bool is_forgettable(const struct peer *peer, struct moment now)
{
    return peer->presence == NULL && !peer->is_seed && !peer->member
           && now.mono_us > peer->heard_us + STRANGER_KEPT_US;
}

static bool wants_hello(const struct node *node, const struct peer *peer, struct moment now)
{
    if (peer->hello_asked) {
        return true;
    }
    if (peer->level == 0 || peer->state == PEER_DEAD || peer->state == PEER_LEFT) {
        return false;
    }
    return peer->validated_us == 0
           || now.mono_us > peer->extended_us + node_extended_us(node) / 5 * 4;
}

/* Everybody calls it alive, and to us it never answered. If that is so to all who are left, nobody
 * would ever find that it is dead: ask, less and less often. If it lives it will say so. */
static bool wants_doubt(const struct node *node, const struct peer *peer)
{
    const unsigned tries = peer->hello_tries;

    return peer->state == PEER_NEW && peer->presence != NULL && peers_members(node->peers) > 0
           && tries >= DOUBT_TRIES && (tries & (tries - 1)) == 0;
}

/* Of all members one speaks first to an address that all have heard of: the one whose hash with it
 * is the largest (rendezvous hashing; Thaler and Ravishankar, 1996). */
static bool is_chosen(struct node *node, const struct peer *peer)
{
    const uint64_t ours = hash_mix(node->self_id, peer->id);

    for (uint32_t i = 0; i < peers_members(node->peers); i++) {
        const struct peer *member = peers_member(node->peers, i);

        work_count(node, 1);
        if (member->level > 0 && hash_mix(member->id, peer->id) > ours) {
            return false;
        }
    }
    return true;
}

/* An address that others tell of, and of which nobody knows whether it exists: were each of us to
 * speak to it at once, whoever made it up would have us all send there. Who is new here has to
 * introduce itself; of the others one does, and when that has come to nothing for half a minute
 * they take turns, in an order that differs from address to address. */
static bool waits_its_turn(struct node *node, struct moment now, struct peer *peer)
{
    if (peer->hello_due_ms != 0 || peer->is_seed || node_has_reached(node, peer, now)
        || node_is_new(node, now) || is_chosen(node, peer)) {
        return false;
    }
    outbox_owe_hello_later(now, peer,
                           TURNS_BEGIN_MS
                               + TURN_MS
                                     * (uint32_t)(hash_mix(node->self_id, peer->id)
                                                  % (peers_members(node->peers) + 1)));
    return true;
}

/* A slice of all peers. While none is new the pass is slow: it only renews. */
static void sweep(struct node *node, struct moment now)
{
    struct contact *contact = node->contact;
    const uint32_t count =
        peers_count(node->peers) < SWEEP_PEERS ? peers_count(node->peers) : SWEEP_PEERS;

    work_count(node, count);
    /* cppcheck-suppress knownConditionTrueFalse ; it takes the choice above for 0 */
    for (uint32_t i = 0; i < count; i++) {
        struct peer *peer;

        contact->sweep = contact->sweep + 1 < peers_count(node->peers) ? contact->sweep + 1 : 0;
        peer = peers_at(node->peers, contact->sweep);
        if (wants_hello(node, peer, now)) {
            const unsigned tries = peer->hello_tries;

            if (waits_its_turn(node, now, peer)) {
                continue;
            }
            outbox_owe_hello(node, now, peer, peer->hello_asked);
            if (peer->hello_tries != tries && wants_doubt(node, peer)) {
                presence_declare(node, now, peer, WORD_SUSPECT);
            }
        } else if (is_forgettable(peer, now)) {
            contact_doom(node, peer);
        }
    }
    contact->sweep_due_us =
        now.mono_us + (peers_in_state(node->peers, PEER_NEW) > 0 ? SWEEP_US : 5 * SWEEP_US);
}

/* The good-bye. */

static void leave_choose(struct node *node)
{
    struct contact *contact = node->contact;
    uint32_t seen = 0;

    /* A sample of the members who speak extended (Vitter's algorithm R). */
    for (uint32_t i = 0; i < peers_members(node->peers); i++) {
        struct peer *peer = peers_member(node->peers, i);
        uint64_t place;

        if (!node_speaks_extended(node, peer, node->now)) {
            continue;
        }
        place =
            seen < CONTACT_LEAVE_MAX ? seen : random_below(&node->random[RANDOM_NODE], seen + 1);
        if (place < CONTACT_LEAVE_MAX) {
            contact->leave[place] = peer;
        }
        seen++;
    }
}

static size_t leave_emit(struct node *node, struct moment now, uint32_t position,
                         struct space space, struct address *to)
{
    struct contact *contact = node->contact;
    struct peer *peer = contact->leave[position];
    const struct envelope envelope = {
        .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH,
        .sequence = outbox_sequence(node, peer),
        .depth = WIRE_DEPTH_STOP,
    };
    struct marks marks = { 0 };
    struct writer writer;
    size_t size;

    if (!marks_add_entry(&marks, node->mem, node->self)) {
        node->stats.memory_refused++;
        contact->leave[position] = NULL;
        return 0;
    }
    outbox_begin(node, now, peer, &writer, space, &envelope);
    (void)marks_put_items(&marks, node->table, node->mem, &writer, NULL);
    marks_clear(&marks, node->mem);
    size = outbox_end(node, now, peer, &writer, NODE_KIND_PUSH);
    *to = peer->address;
    contact->leave_tries[position]++;
    contact->leave_under_way[position] =
        outbox_fly(node, now, peer,
                   &(struct flight_plan){ .kind = FLIGHT_LEAVE,
                                          .tag = position,
                                          .tries = contact->leave_tries[position],
                                          .due_us = now.mono_us + pace_rto_us(node, peer) },
                   NULL);
    if (!contact->leave_under_way[position]) {
        contact->leave[position] = NULL;
    }
    return size;
}

bool contact_create(struct node *node, struct moment now)
{
    node->contact = mem_alloc_zeroed(node->mem, sizeof *node->contact);
    if (node->contact == NULL) {
        return false;
    }
    node->contact->seeds_wait_us = SEEDS_WAIT_US;
    node->contact->seeds_due_us = now.mono_us;
    node->contact->sweep_due_us = now.mono_us + SWEEP_US;
    node->alone_us = now.mono_us;
    return true;
}

void contact_free(struct node *node)
{
    part_free(node, node->contact, sizeof *node->contact);
}

uint32_t contact_seeds_count(const struct node *node)
{
    return node->contact->seeds_count;
}

void contact_seeds(struct node *node, struct moment now, const struct address *addresses,
                   size_t count)
{
    struct contact *contact = node->contact;
    struct address introduced[NODE_SEEDS_MAX];
    const uint32_t introduced_count = contact->seeds_count - contact->seeds_configured;
    bool any_new = false;

    memcpy(introduced, &contact->seeds[contact->seeds_configured],
           introduced_count * sizeof introduced[0]);
    for (size_t i = 0; i < count; i++) {
        any_new = any_new || !seed_has(contact, &addresses[i]);
    }
    while (contact->seeds_count > 0) {
        seed_remove(node, contact->seeds_count - 1);
    }
    for (size_t i = 0; i < count; i++) {
        seed_add(node, &addresses[i]);
    }
    contact->seeds_configured = contact->seeds_count;
    for (uint32_t i = 0; i < introduced_count; i++) {
        seed_add(node, &introduced[i]);
    }
    if (any_new) {
        contact->seeds_wait_us = SEEDS_WAIT_US;
        contact->seeds_due_us = now.mono_us;
    }
}

enum status contact_introduce(struct node *node, struct moment now, const struct address *address,
                              struct fault *why)
{
    struct contact *contact = node->contact;

    if (!address_is_peer(address)) {
        return fault_set(why, STATUS_INVALID, "not an address that a peer may have");
    }
    if (address_compare(address, &node->options.self) == 0) {
        return fault_set(why, STATUS_INVALID, "that is our own address");
    }
    if (seed_has(contact, address)) {
        return STATUS_OK;
    }
    if (contact->seeds_count == NODE_SEEDS_MAX || seed_peer(node, address) == NULL) {
        return fault_set(why, STATUS_FULL, "no room for another address to contact");
    }
    seed_add(node, address);
    contact->seeds_wait_us = SEEDS_WAIT_US;
    contact->seeds_due_us = now.mono_us;
    return STATUS_OK;
}

enum status contact_forget(struct node *node, struct moment now, const struct address *address,
                           struct fault *why)
{
    struct contact *contact = node->contact;
    struct peer *peer = peers_find(node->peers, address);

    if (peer == NULL) {
        return fault_set(why, STATUS_INVALID, "no such peer");
    }
    for (uint32_t i = contact->seeds_configured; i < contact->seeds_count; i++) {
        if (address_compare(&contact->seeds[i], address) == 0) {
            seed_remove(node, i);
            break;
        }
    }
    if (peer->presence != NULL) {
        presence_declare(node, now, peer, WORD_LEFT);
    } else if (!peer->is_seed) {
        contact_doom(node, peer);
    }
    return STATUS_OK;
}

/* Plain members, which do not ack: some at random. */
static void leave_plain(struct node *node, struct moment now)
{
    const uint32_t members = peers_members(node->peers);
    const uint32_t start =
        members == 0 ? 0 : (uint32_t)random_below(&node->random[RANDOM_NODE], members);
    unsigned told = 0;

    for (uint32_t i = 0; i < members && told < LEAVE_PLAIN; i++) {
        struct peer *peer = peers_member(node->peers, (start + i) % members);

        if (peer->level == 0) {
            plain_leave(node, now, peer);
            told++;
        }
    }
}

void contact_leave(struct node *node, struct moment now)
{
    if (node->leaving) {
        return;
    }
    node->leaving = true;
    presence_leave(node, now);
    leave_plain(node, now);
    leave_choose(node);
}

bool contact_may_doom(const struct node *node)
{
    return node->contact->doomed_count < CONTACT_DOOMED_MAX;
}

struct peer *contact_take_doomed(struct node *node)
{
    struct contact *contact = node->contact;
    struct peer *peer = contact->doomed[0];

    if (contact->doomed_count == 0) {
        return NULL;
    }
    contact->doomed_count--;
    memmove(&contact->doomed[0], &contact->doomed[1],
            contact->doomed_count * sizeof contact->doomed[0]);
    return peer;
}

bool contact_has_left(const struct node *node)
{
    for (uint32_t i = 0; i < CONTACT_LEAVE_MAX; i++) {
        if (node->contact->leave[i] != NULL) {
            return false;
        }
    }
    return node->leaving;
}

/* True when the elements have exactly our instance word. */
static bool is_our_instance(const struct node *node, struct elements elements)
{
    const uint64_t ours = vector_get(entry_vector(node->self), PRESENCE_INSTANCE);
    struct block_room room;
    struct block block;

    while (elements_next(&elements, &room, &block)) {
        if (block.number == 0 && block_get(&block, PRESENCE_INSTANCE) == ours) {
            return ours != 0;
        }
    }
    return false;
}

bool contact_own_address(struct node *node, const struct address *from,
                         const struct message *message)
{
    const struct bytes key = entry_key(node->self);
    struct contact *contact = node->contact;
    struct peer *peer;

    /* Only nodes of our kind say both `full` and `ttl`, and nobody but the owner begins with its
     * own presence. */
    if (message->extended || !message->plain.full || !message->has_ttl
        || message->plain.key.size != key.size
        || memcmp(message->plain.key.data, key.data, key.size) != 0) {
        return false;
    }
    peer = peers_find(node->peers, from);
    if (peer == NULL || peer->heard_us != 0 || !is_our_instance(node, message->plain.elements)) {
        return false;
    }
    for (uint32_t i = 0; i < contact->seeds_count; i++) {
        if (address_compare(&contact->seeds[i], from) == 0) {
            seed_remove(node, i);
            contact_doom(node, peer);
            return true;
        }
    }
    return false;
}

void contact_doom(struct node *node, struct peer *peer)
{
    struct contact *contact = node->contact;

    for (uint32_t i = 0; i < contact->doomed_count; i++) {
        if (contact->doomed[i] == peer) {
            return;
        }
    }
    if (contact->doomed_count < CONTACT_DOOMED_MAX) {
        contact->doomed[contact->doomed_count++] = peer;
    }
}

void contact_acked(struct node *node, const struct flight *flight)
{
    node->contact->leave[flight->tag] = NULL;
    node->contact->leave_under_way[flight->tag] = false;
}

void contact_lost(struct node *node, const struct flight *flight)
{
    struct contact *contact = node->contact;

    contact->leave_under_way[flight->tag] = false;
    if (contact->leave_tries[flight->tag] == LEAVE_TRIES_MAX) {
        contact->leave[flight->tag] = NULL;
        node->stats.abandoned++;
        trace_tell(node, TRACE_ABANDONED, .peer = flight->peer->address, .about = "leave",
                   .number = contact->leave_tries[flight->tag]);
    } else {
        node->stats.retries++;
        trace_tell(node, TRACE_RETRY, .peer = flight->peer->address, .about = "leave",
                   .number = contact->leave_tries[flight->tag]);
    }
}

void contact_tick(struct node *node, struct moment now)
{
    struct contact *contact = node->contact;

    if (node->leaving) {
        return;
    }
    if (peers_members(node->peers) == 0) {
        node->alone_us = now.mono_us;
    }
    if (contact->seeds_count > 0) {
        seeds_tick(node, now);
    }
    if (now.mono_us >= contact->sweep_due_us) {
        sweep(node, now);
    }
}

uint64_t contact_due_us(const struct node *node)
{
    const struct contact *contact = node->contact;
    uint64_t due_us = UINT64_MAX;

    if (node->leaving) {
        for (uint32_t i = 0; i < CONTACT_LEAVE_MAX; i++) {
            if (contact->leave[i] != NULL && !contact->leave_under_way[i]) {
                due_us = 0;
            }
        }
        return due_us;
    }
    if (contact->seeds_count > 0) {
        due_us = contact->seeds_due_us;
    }
    if (peers_count(node->peers) > 0 && contact->sweep_due_us < due_us) {
        due_us = contact->sweep_due_us;
    }
    return due_us;
}

size_t contact_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    struct contact *contact = node->contact;

    if (!node->leaving) {
        return 0;
    }
    for (uint32_t i = 0; i < CONTACT_LEAVE_MAX; i++) {
        if (contact->leave[i] != NULL && !contact->leave_under_way[i]) {
            const size_t size = leave_emit(node, now, i, space, to);

            if (size > 0) {
                return size;
            }
        }
    }
    return 0;
}

void contact_drop_peer(struct node *node, const struct peer *peer)
{
    for (uint32_t i = 0; i < CONTACT_LEAVE_MAX; i++) {
        if (node->contact->leave[i] == peer) {
            node->contact->leave[i] = NULL;
            node->contact->leave_under_way[i] = false;
        }
    }
}
