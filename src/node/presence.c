#include "node/presence.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/claim.h"
#include "node/clock.h"
#include "node/credit.h"
#include "node/events.h"
#include "node/outbox.h"
#include "node/peers.h"
#include "node/plain.h"
#include "node/push.h"
#include "node/spread.h"
#include "node/state.h"
#include "node/suspicion.h"
#include "node/sync.h"
#include "node/work.h"
#include "store/marks.h"

#include <assert.h>
#include <string.h>

#define US_PER_S UINT64_C(1000000)

#define OUTBID_US     (60 * US_PER_S)
#define PARTING_MS    10000
#define SINCE_AHEAD_S UINT64_C(43200) /* half of what others take element 3 ahead of their now */
#define LATE_US       (5 * US_PER_S)  /* a sweep so late: we did not listen meanwhile */
#define SWEEP_US      US_PER_S
#define SWEEP_LEAST   16 /* peers looked at in one sweep, and an eighth of all */
#define TTL           2  /* of what we begin: a plain peer may pass it on once */

#define PREFIX   "n:"
#define PREFIX_N 2

struct presence {
    uint64_t began_s; /* the first start: later ones outbid others */
    uint64_t incarnation;
    uint64_t level_word; /* elements 1, 2, 4, 5 and 6 as this process last wrote them */
    uint64_t state_word;
    uint64_t instance_word;
    uint64_t http_word;
    uint64_t version_word;
    uint64_t outbid_due_us; /* elements of a later start are outbid once a minute at most */
    bool noticed;
    uint32_t sweep; /* position of the next peer to look at for silence, forgetting */
    uint64_t sweep_due_us;
    uint64_t awake_us; /* since when we have listened without a break */
};

/* Keys and addresses. */

static bool is_self(const struct node *node, const struct address *address)
{
    return address_compare(address, &node->options.self) == 0;
}

/* Entries and records. */

/* Join a claim into an entry. False: no memory, counted. */
static bool entry_merge(struct node *node, struct entry *entry, const struct claim *claim,
                        enum change_origin origin, struct merge_result *result)
{
    struct claim_block room;
    const struct block block = claim_block(claim, &room);

    if (table_merge(node->table, entry, &block, origin, result) != STATUS_OK) {
        node->stats.memory_refused++;
        return false;
    }
    return true;
}

/* The presence entry of a peer, created where there is none; NULL: no room, counted. A new one is
 * the peer's once something was merged into it: an entry left empty ends with the turn. */
static struct entry *entry_obtain(struct node *node, const struct peer *peer)
{
    uint8_t text[NODE_PRESENCE_KEY_MAX];
    struct entry *entry = peer->presence;
    enum status status;

    if (entry != NULL) {
        return entry;
    }
    status =
        table_obtain(node->table, node_presence_key(&peer->address, text), TABLE_MEMBERS, &entry);
    if (status != STATUS_OK) {
        refused_count(node, keys, &peer->address, status == STATUS_FULL);
        node->stats.memory_refused += status == STATUS_MEMORY;
        return NULL;
    }
    return entry;
}

/* A record that may be new; NULL: there is no room for it, counted. What is stored of it already
 * becomes its presence. */
static struct peer *peer_begin(struct node *node, struct peer *peer)
{
    uint8_t text[NODE_PRESENCE_KEY_MAX];
    struct entry *entry;

    if (peer == NULL) {
        node->stats.memory_refused++;
        return NULL;
    }
    entry = table_find(node->table, node_presence_key(&peer->address, text));
    if (peer->presence == NULL && entry != NULL && vector_size(entry_vector(entry)) > 0) {
        peer->presence = entry;
    }
    return peer;
}

static struct peer *peer_obtain(struct node *node, const struct address *address)
{
    struct peer *peer = peers_find(node->peers, address);

    if (peer != NULL) {
        return peer;
    }
    return peer_begin(node, peers_obtain(node->peers, address, node_peer_id(node, address)));
}

/* A state goes nowhere without the level: who hears of a peer for the first time by it would take
 * it for a plain one, speak plain to it and vouch for it. */
static struct mark mark_with_level(const struct entry *entry, const struct mark *mark)
{
    struct mark with = *mark;

    if (mark_has(mark, PRESENCE_STATE) && vector_get(entry_vector(entry), PRESENCE_LEVEL) != 0) {
        mark_set(&with, PRESENCE_LEVEL);
    }
    return with;
}

/* Spread what rose of a presence. */
static void entry_spread(struct node *node, struct moment now, struct entry *entry,
                         const struct mark *raised, struct push_route route)
{
    const struct mark mark = mark_with_level(entry, raised);

    node_spread(node, now, entry, &mark, route);
}

/* Tell the sender where ours is larger. */
static void larger_reply(struct node *node, struct marks *reply, struct entry *entry,
                         const struct mark *larger)
{
    const struct mark mark = mark_with_level(entry, larger);

    if (reply != NULL && !marks_add(reply, node->mem, entry, &mark)) {
        node->stats.memory_refused++;
    }
}

/* Our own presence. */

/* Write elements of our own and spread them. False: no memory. */
static bool self_write(struct node *node, struct moment now, const struct claim *claim)
{
    struct entry *self = node->self;
    struct merge_result result;

    if (!entry_merge(node, self, claim, CHANGE_FROM_SELF, &result)) {
        return false;
    }
    if (!mark_empty(&result.raised)) {
        entry_spread(node, now, self, &result.raised, (struct push_route){ 0 });
    }
    return true;
}

/* Elements that begin with a start, by it. */
static void self_words(const struct node *node, uint64_t start_s, struct claim *claim)
{
    const struct presence *presence = node->presence;

    if (!node->options.plain_only) {
        claim->values[PRESENCE_LEVEL] = start_s << 16 | PRESENCE_PROTOCOL_LEVEL;
    }
    claim->values[PRESENCE_INSTANCE] = start_s << 16 | (presence->instance_word & 0xffff);
    claim->values[PRESENCE_HTTP] = start_s << 16 | node->options.http_port;
    claim->values[PRESENCE_VERSION] = start_s << 16 | node->options.version;
}

static void self_wrote(struct presence *presence, const struct claim *claim)
{
    presence->level_word = claim->values[PRESENCE_LEVEL];
    presence->instance_word = claim->values[PRESENCE_INSTANCE];
    presence->http_word = claim->values[PRESENCE_HTTP];
    presence->version_word = claim->values[PRESENCE_VERSION];
}

static bool self_start(struct node *node, struct moment now, uint64_t start_s)
{
    struct presence *presence = node->presence;
    struct claim claim = { .stamp = 0 };

    self_words(node, start_s, &claim);
    claim.values[PRESENCE_STATE] = presence->state_word;
    self_wrote(presence, &claim);
    return self_write(node, now, &claim);
}

/* Somebody called us something else: take the next incarnation, which outbids them. */
static void self_refute(struct node *node, struct moment now, uint64_t state)
{
    struct presence *presence = node->presence;
    struct claim claim = { .stamp = 0 };

    presence->incarnation = claim_incarnation(state) + 1;
    presence->state_word =
        claim_state(presence->incarnation, node->leaving ? WORD_LEFT : WORD_ALIVE);
    claim.values[PRESENCE_STATE] = presence->state_word;
    node->stats.refutations++;
    trace_tell(node, TRACE_REFUTED, .number = presence->incarnation);
    (void)self_write(node, now, &claim); /* no memory is counted, and it is said to us again */
}

/* The latest start in elements of ours that we did not write; 0: there is none. */
static uint64_t start_of_others(const struct presence *presence, const struct vector *vector)
{
    const uint64_t level = vector_get(vector, PRESENCE_LEVEL);
    const uint64_t http = vector_get(vector, PRESENCE_HTTP);
    const uint64_t version = vector_get(vector, PRESENCE_VERSION);
    uint64_t latest = 0;

    if (level > presence->level_word) {
        latest = level;
    }
    if (http > presence->http_word && http > latest) {
        latest = http;
    }
    if (version > presence->version_word && version > latest) {
        latest = version;
    }
    return latest >> 16;
}

/* What is in our entry that we did not write: refute states, tell of another process, outbid what
 * an earlier run under a faster clock left behind. */
static void self_defend(struct node *node, struct moment now, const struct mark *raised)
{
    struct presence *presence = node->presence;
    const struct vector *vector = entry_vector(node->self);
    const uint64_t state = vector_get(vector, PRESENCE_STATE);
    const uint64_t instance = vector_get(vector, PRESENCE_INSTANCE);
    const uint64_t start_s = start_of_others(presence, vector);

    if (state > presence->state_word) {
        self_refute(node, now, state);
    }
    if (mark_has(raised, PRESENCE_INSTANCE) && instance != presence->instance_word) {
        node->stats.duplicate_address++;
        if (!presence->noticed) {
            presence->noticed = true;
            events_duplicate(node->events, &node->options.self);
        }
    }
    if (start_s > 0 && now.mono_us >= presence->outbid_due_us) {
        presence->outbid_due_us = now.mono_us + OUTBID_US;
        (void)self_start(node, now, start_s + 1);
    }
}

/* Something rose. By a repair (only those are not passed on): exchanges with its sender are worth
 * beginning at once again. */
static void repair_note(struct node *node, struct moment now, struct peer *from, uint8_t depth)
{
    if (depth == WIRE_DEPTH_STOP) {
        sync_raised(node, now, from, TABLE_MEMBERS);
    }
}

/* Nothing rose. What came by push (from a level above 0, on which an introduction begins) is passed
 * on all the same: who passed it on before may have died half-way. */
static void claim_repeat(struct node *node, struct moment now, const struct peer *from,
                         struct entry *entry, const struct claim *claim, uint8_t depth)
{
    struct claim_block room;
    const struct block block = claim_block(claim, &room);
    const struct mark mark = block_mark(&block);

    if (depth > 0 && depth != WIRE_DEPTH_STOP) {
        spread_repeat(node, now, entry, &mark, depth, from);
    }
}

/* Somebody speaks of us. */
static void self_receive(struct node *node, struct moment now, struct peer *from,
                         const struct claim *claim, const struct presence_report *report)
{
    struct entry *self = node->self;
    struct merge_result result;

    if (!entry_merge(node, self, claim, CHANGE_FROM_PEER, &result)) {
        return;
    }
    if (!mark_empty(&result.raised)) {
        entry_spread(node, now, self, &result.raised,
                     (struct push_route){ .from = from, .depth = report->depth });
        repair_note(node, now, from, report->depth);
        self_defend(node, now, &result.raised);
    } else {
        claim_repeat(node, now, from, self, claim, report->depth);
    }
    larger_reply(node, report->reply, self, &result.larger);
}

/* Records for all presence that the table was loaded with. */
static bool peers_load(struct node *node, struct moment now)
{
    struct bytes prefix = { (const uint8_t *)PREFIX, PREFIX_N };
    struct entry *entries[64];
    struct bytes after = { NULL, 0 };
    size_t count;

    do {
        count =
            table_slice(node->table, prefix, after, entries, sizeof entries / sizeof entries[0]);
        for (size_t i = 0; i < count; i++) {
            struct address address;
            struct peer *peer;

            if (entry_set(entries[i]) != TABLE_MEMBERS || entries[i] == node->self
                || !presence_address(entry_key(entries[i]), &address)) {
                continue;
            }
            peer = peer_obtain(node, &address);
            if (peer == NULL) {
                return false;
            }
            credit_told(&peer->credit); /* they were known before */
            presence_update_peer(node, now, peer);
        }
        if (count > 0) {
            after = entry_key(entries[count - 1]);
        }
    } while (count == sizeof entries / sizeof entries[0]);
    return true;
}

bool presence_create(struct node *node, struct moment now)
{
    struct presence *presence = mem_alloc_zeroed(node->mem, sizeof *presence);
    uint8_t text[NODE_PRESENCE_KEY_MAX];
    const struct bytes key = node_presence_key(&node->options.self, text);
    uint64_t start_s = now.unix_s;
    uint64_t state;

    node->presence = presence;
    if (presence == NULL) {
        return false;
    }
    presence->sweep_due_us = now.mono_us + SWEEP_US;
    node->self_id = node_peer_id(node, &node->options.self);
    guard_begin(&node->guard, now);
    if (node->options.start_s_min > start_s) {
        start_s = node->options.start_s_min;
    }
    presence->instance_word = random_next(&node->random[RANDOM_NODE]) & 0xffff;
    if (table_obtain(node->table, key, TABLE_MEMBERS, &node->self) != STATUS_OK) {
        return false;
    }
    state = vector_get(entry_vector(node->self), PRESENCE_STATE);
    presence->began_s = start_s;
    presence->incarnation = start_s;
    if (state != 0 && claim_incarnation(state) >= start_s) {
        presence->incarnation = claim_incarnation(state) + 1; /* an earlier run had to refute */
    }
    presence->state_word = claim_state(presence->incarnation, WORD_ALIVE);
    return self_start(node, now, start_s) && peers_load(node, now);
}

/* States of peers. */

/* What is stored of a peer; NULL: nothing, also of nobody. */
static const struct vector *presence_vector(const struct peer *peer)
{
    return peer == NULL || peer->presence == NULL ? NULL : entry_vector(peer->presence);
}

static uint64_t peer_word(const struct peer *peer)
{
    const struct vector *vector = presence_vector(peer);

    return vector == NULL ? 0 : vector_get(vector, PRESENCE_STATE);
}

/* What a peer is to us, by its presence and by what we heard of it. */
static enum peer_state state_of(const struct node *node, struct moment now, const struct peer *peer)
{
    const uint64_t state = peer_word(peer);

    switch (claim_word(state)) {
    case WORD_SUSPECT: return peer->level > 0 ? PEER_SUSPECT : PEER_SILENT;
    case WORD_DEAD: return peer->level > 0 ? PEER_DEAD : PEER_SILENT;
    case WORD_LEFT: return PEER_LEFT;
    case WORD_ALIVE: break;
    }
    if (peer->level == 0 && !peer->is_seed && !node_trusts_address(node, &peer->address)) {
        return PEER_NEW; /* it cannot show that it is there, and nobody here says so */
    }
    if (peer->level > 0) { /* who never echoed may be any forger's invention, in `trust` too */
        return state != 0 && peer->validated_us != 0 ? PEER_ALIVE : PEER_NEW;
    }
    if (state != 0) {
        return PEER_ALIVE; /* somebody vouches for it */
    }
    if (peer->heard_us == 0 || (peer->extended_us != 0 && !node->options.plain_only)) {
        return PEER_NEW;
    }
    return now.mono_us - peer->heard_us < node->options.silent_after_us ? PEER_ALIVE : PEER_SILENT;
}

void presence_update_peer(struct node *node, struct moment now, struct peer *peer)
{
    const struct vector *vector = presence_vector(peer);
    const uint64_t state = peer_word(peer);
    const bool other_incarnation = claim_incarnation(state) != peer->incarnation;
    const bool was_plain = peer->level == 0;
    enum peer_state is;
    bool member;

    peer->level = vector == NULL || node->options.plain_only
                      ? 0
                      : (uint8_t)vector_get(vector, PRESENCE_LEVEL);
    peer->state_s = vector == NULL ? 0 : (uint32_t)vector_get(vector, PRESENCE_SINCE);
    peer->incarnation = claim_incarnation(state);
    is = state_of(node, now, peer);
    if (is != peer->state || other_incarnation) {
        peer->suspect_ms = clock_ms(now);
    }
    if (is != peer->state) {
        const enum peer_state was = (enum peer_state)peer->state;

        peers_set_state(node->peers, peer, is);
        events_state(node->events, peer, was);
        if (is == PEER_SILENT || is == PEER_DEAD || is == PEER_LEFT) {
            plain_drop_peer(node, peer); /* it gets no updates */
        }
    }
    if (was_plain && peer->level > 0) {
        plain_drop_peer(node, peer); /* anti-entropy tells it more than was asked, for less */
    }
    member = is == PEER_ALIVE || (is == PEER_SUSPECT && peer->validated_us != 0);
    if (!peers_set_member(node->peers, peer, member)) {
        node->stats.memory_refused++;
    }
}

void presence_drop(struct node *node, struct moment now, struct peer *peer)
{
    struct entry *entry = peer->presence;

    peer->presence = NULL;
    table_drop(node->table, entry);
    work_drop(node);
    presence_update_peer(node, now, peer);
}

struct peer *presence_heard(struct node *node, struct moment now, struct peer *peer,
                            const struct address *from, bool extended)
{
    if (peer == NULL) {
        peer = peer_obtain(node, from);
    }
    if (peer == NULL) {
        refused_count(node, presence, from, 1);
        return NULL;
    }
    peer->heard_us = now.mono_us;
    peers_heard(node->peers, peer);
    if (!extended) {
        return peer;
    }
    peer->extended_us = now.mono_us;
    if (peer->state == PEER_NEW) {
        presence_update_peer(node, now, peer);
    } else if (peer->state == PEER_SUSPECT || peer->state == PEER_DEAD
               || peer->state == PEER_LEFT) {
        struct owed *owed = outbox_owe(node, peer);
        struct mark mark = { .number = 0 };

        mark_set(&mark, PRESENCE_STATE);
        if (owed != NULL && !marks_add(&owed->larger, node->mem, peer->presence, &mark)) {
            node->stats.memory_refused++;
        }
    }
    return peer;
}

/* Merge a claim of our own about a peer and spread it. False: no room, counted. */
static bool peer_write(struct node *node, struct moment now, struct peer *peer,
                       const struct claim *claim, struct mark *raised)
{
    struct entry *entry = entry_obtain(node, peer);
    struct merge_result result;

    if (entry == NULL || !entry_merge(node, entry, claim, CHANGE_FROM_SELF, &result)) {
        return false;
    }
    peer->presence = entry;
    *raised = result.raised;
    if (!mark_empty(raised)) {
        presence_update_peer(node, now, peer);
        entry_spread(node, now, entry, raised, (struct push_route){ .ttl = TTL });
    }
    return true;
}

/* Whether it was heard to speak extended: whatever seems to come of it in plain messages, and
 * however little is known of it, it is no plain peer. */
static bool spoke_extended(const struct node *node, struct moment now, const struct peer *peer)
{
    return !node->options.plain_only && peer->validated_us != 0
           && now.mono_us - peer->extended_us < node_extended_us(node);
}

void presence_vouch(struct node *node, struct moment now, struct peer *peer)
{
    const uint64_t state = peer_word(peer);
    struct claim claim = { .stamp = 0 };
    struct mark raised;

    if (peer->level > 0 || is_self(node, &peer->address) || spoke_extended(node, now, peer)) {
        return;
    }
    if (state != 0 && claim_word(state) == WORD_ALIVE) {
        return;
    }
    if (peer->state == PEER_LEFT && clock_since_ms(now, peer->suspect_ms) < PARTING_MS) {
        return; /* these are its last words */
    }
    if (node_trusts(node, peer, now) || peer->is_seed) {
        claim.values[PRESENCE_STATE] = claim_state(claim_incarnation(state) + 1, WORD_ALIVE);
        if (peer_write(node, now, peer, &claim, &raised)) {
            return;
        }
    }
    presence_update_peer(node, now, peer);
}

/* Element 3 of what we declare. A wall clock that has jumped ahead since we started would write
 * what nobody else takes, and the stores would never be equal again. */
static uint64_t since_s(const struct node *node, struct moment now)
{
    const uint64_t most_s = guard_ran_s(&node->guard, now) + SINCE_AHEAD_S;
    const uint64_t now_s = presence_now_s(node, now);

    return now_s < most_s ? now_s : most_s;
}

static const char *word_label(enum presence_word word)
{
    return word == WORD_SUSPECT ? "suspect" : word == WORD_DEAD ? "dead" : "left";
}

void presence_declare(struct node *node, struct moment now, struct peer *peer,
                      enum presence_word word)
{
    struct claim claim = { .stamp = 0 };
    struct mark raised;

    claim.values[PRESENCE_STATE] = claim_state(peer->incarnation, word);
    if (word == WORD_SUSPECT) {
        claim.values[PRESENCE_CONFIRM + node->self_id % PRESENCE_CONFIRM_COUNT] = peer->incarnation;
    } else if (word != WORD_ALIVE) {
        claim.values[PRESENCE_SINCE] = since_s(node, now);
    }
    if (claim.values[PRESENCE_STATE] == 0 || !peer_write(node, now, peer, &claim, &raised)) {
        return;
    }
    if (mark_has(&raised, PRESENCE_STATE)) {
        node->stats.suspicions += word == WORD_SUSPECT;
        node->stats.deaths += word == WORD_DEAD;
        trace_tell(node, TRACE_DECLARED, .peer = peer->address, .about = word_label(word),
                   .number = peer->incarnation);
    }
}

/* What comes in. */

enum presence_source presence_source_of(const struct peer *from, const struct address *about,
                                        bool trusted, bool proved)
{
    if (address_compare(&from->address, about) == 0) {
        return proved ? SOURCE_OWNER : SOURCE_SELF_SPEAKING;
    }
    return trusted ? SOURCE_TRUSTED : SOURCE_STRANGER;
}

/* Whether a word about us is heeded although it lies beyond all clocks: a trusted node told it. */
static bool is_told_by_trusted(const struct node *node, const struct peer *from,
                               const struct address *about)
{
    return is_self(node, about) && from->level > 0 && node_trusts_address(node, &from->address);
}

/* Judge a claim, counting what is refused; returns how many. What an owner in `trust` says and
 * nobody else proved may lie as far as it likes: it outbids with it what was taken under a wrong
 * clock. Where nobody is trusted none can have been wrong, and what anybody else said of itself
 * here alone, others would refuse for ever. */
static uint64_t claim_bound(struct node *node, struct moment now, const struct peer *from,
                            const struct presence_report *report, struct claim *claim)
{
    const bool of_us = is_self(node, &report->about);
    const struct peer *peer = of_us ? NULL : peers_find(node->peers, &report->about);
    const bool of_member = peer != NULL && peer->member;
    struct claim_bounds bounds = {
        .now_s = presence_now_s(node, now),
        .stored = of_us ? entry_vector(node->self) : presence_vector(peer),
        .by = of_member ? CLAIM_RELAYED : CLAIM_WIDE,
    };
    uint64_t refused;

    if (report->source == SOURCE_OWNER && node_trusts_address(node, &from->address)) {
        bounds.by = CLAIM_OF_OWNER;
    } else if (report->proved && is_told_by_trusted(node, from, &report->about)) {
        bounds.by = CLAIM_TO_OWNER;
    }
    refused = claim_judge(claim, &bounds);
    refused_count(node, presence, &from->address, refused);
    return refused;
}

/* What a peer seems to say of itself, or a trusted one of us, lies too far ahead to be taken on a
 * forger's word. The one is asked who it is: its hello echoes the token that goes with that. The
 * other gets our own words with such a token, and echoes it where it answers what is larger. */
static void proof_ask(struct node *node, struct peer *from, bool of_us)
{
    struct owed *owed = outbox_owe(node, from);

    if (owed == NULL) {
        return;
    }
    if (!of_us) {
        owed->has_who = true;
        owed->who = (uint32_t)from->id;
    } else if (marks_add_entry(&owed->larger, node->mem, node->self)) {
        owed->asks_echo = true;
    } else {
        node->stats.memory_refused++;
    }
}

/* Merge a claim about another peer, and what follows from it. */
static void peer_receive(struct node *node, struct moment now, struct peer *from, struct peer *peer,
                         const struct claim *claim, const struct presence_report *report)
{
    struct entry *entry = entry_obtain(node, peer);
    struct merge_result result;

    if (entry == NULL || !entry_merge(node, entry, claim, CHANGE_FROM_PEER, &result)) {
        return;
    }
    peer->presence = entry;
    if (!mark_empty(&result.raised)) {
        uint8_t ttl = 0;

        if (mark_has(&result.raised, PRESENCE_STATE) && claim_word(peer_word(peer)) == WORD_ALIVE) {
            ttl = TTL; /* plain peers are told of live ones only */
            if (peer->level == 0 && peer->heard_us != 0) {
                peer->heard_us = now.mono_us; /* whoever vouches has heard it */
            }
        }
        presence_update_peer(node, now, peer);
        entry_spread(node, now, entry, &result.raised,
                     (struct push_route){ .from = from, .depth = report->depth, .ttl = ttl });
        repair_note(node, now, from, report->depth);
    } else {
        claim_repeat(node, now, from, entry, claim, report->depth);
    }
    larger_reply(node, report->reply, entry, &result.larger);
}

/* A record for an address that is not known and that a peer tells of. These do not take the last
 * places, in a trusted range neither: whoever is there and says so itself must find one. Nor does
 * one teller take the places of what others tell of. */
static struct peer *peer_told(struct node *node, const struct peer *from,
                              const struct address *about)
{
    struct peer *peer = NULL;

    if (peers_may_tell(node->peers, &from->address)) {
        peer = peer_begin(
            node, peers_tell(node->peers, about, node_peer_id(node, about), &from->address));
    } else {
        refused_count(node, presence, &from->address, 1);
    }
    if (peer != NULL) {
        credit_told(&peer->credit);
    }
    return peer;
}

/* The record that a claim is about, created where the claim is worth it; NULL: it says nothing that
 * is still of interest, or there is no room. What we have of a forgotten peer is dropped first, so
 * that it does not outweigh what somebody says who forgot it earlier. */
static struct peer *claim_peer(struct node *node, struct moment now, const struct peer *from,
                               const struct claim *claim, const struct presence_report *report)
{
    const struct address *about = &report->about;
    struct peer *peer = peers_find(node->peers, about);

    if (peer != NULL && peer->presence != NULL
        && presence_forgotten(node, now, entry_vector(peer->presence))) {
        presence_drop(node, now, peer);
    }
    if (claim_any(claim)) {
        if (claim_forgotten(claim, presence_vector(peer), presence_now_s(node, now))) {
            return NULL;
        }
        return peer != NULL ? peer : peer_told(node, from, about);
    }
    if (presence_minutes(claim->stamp) + STAMP_FRESH_MIN < now.unix_s / 60) {
        return NULL; /* an old stamp alone says nothing */
    }
    if (peer == NULL && node_trusts_address(node, about)) {
        peer = peer_told(node, from, about);
        if (peer != NULL && report->source == SOURCE_TRUSTED) {
            plain_introduce(node, now, peer, false); /* one datagram; who answers is taken */
        }
    }
    return peer;
}

/* A trusted peer says of another one what we take from that itself alone, and who is no member does
 * not come to say it: it is asked. */
static void owner_ask(struct node *node, const struct peer *from, const struct address *about)
{
    struct peer *peer = peers_find(node->peers, about);

    if (!node_trusts_address(node, &from->address) || !node_trusts_address(node, about)) {
        return;
    }
    peer = peer != NULL ? peer : peer_told(node, from, about);
    if (peer != NULL && !peer->member) {
        peer->hello_asked = true;
    }
}

void presence_receive(struct node *node, struct moment now, struct peer *from,
                      const struct presence_report *report)
{
    const bool speaks_of_itself =
        report->source == SOURCE_SELF_SPEAKING || report->source == SOURCE_OWNER;
    const bool of_us = is_self(node, &report->about);
    struct claim claim;
    struct peer *peer;
    bool says_level;
    bool is_refused;

    refused_count(node, presence, &from->address, claim_read(&claim, report->elements));
    if (report->source == SOURCE_STRANGER) {
        refused_count(node, presence, &from->address, 1);
        return;
    }
    if (report->source != SOURCE_OWNER && from->level == 0) {
        presence_stamp_told(now, from, claim.stamp);
    }
    says_level = (claim.values[PRESENCE_LEVEL] & 255) != 0;
    is_refused = claim_bound(node, now, from, report, &claim) > 0;
    if (is_refused && !report->proved
        && (speaks_of_itself ? says_level : is_told_by_trusted(node, from, &report->about))) {
        proof_ask(node, from, of_us);
    }
    if (is_refused && says_level && !speaks_of_itself && !of_us) {
        owner_ask(node, from, &report->about);
    }
    if (of_us) {
        if (claim_any(&claim)) {
            self_receive(node, now, from, &claim, report);
        }
        return;
    }
    peer = claim_peer(node, now, from, &claim, report);
    if (peer == NULL) {
        return;
    }
    presence_stamp_receive(now, peer, claim.stamp);
    if (claim_any(&claim)) {
        peer_receive(node, now, from, peer, &claim, report);
    }
    /* A plain peer does not know in which incarnation others have vouched for it. */
    if (speaks_of_itself && peer->level == 0 && peer->state != PEER_LEFT
        && claim_word(claim.values[PRESENCE_STATE]) == WORD_LEFT) {
        presence_declare(node, now, peer, WORD_LEFT);
    }
}

/* Time. */

/* Others vouched for a plain peer that we never heard, and nobody has said so anew for long: it is
 * to be seen whether anybody hears it still. Who does vouches again. Nodes do not ask all at once,
 * so that mostly one of them asks for all. */
static bool vouching_is_old(const struct node *node, struct moment now, const struct peer *peer)
{
    const uint64_t silent_ms = node->options.silent_after_us / 1000;
    const uint64_t apart_ms = hash_mix(node->self_id, peer->id) % (silent_ms + 1);

    return peer->state == PEER_ALIVE && peer->heard_us == 0 && peer_word(peer) != 0
           && clock_since_ms(now, peer->suspect_ms) >= 2 * silent_ms + apart_ms;
}

/* A plain peer that cannot be heard: suspect first, dead when nobody vouches for it in time. */
static void plain_peer_sweep(struct node *node, struct moment now, struct peer *peer)
{
    const uint64_t state = peer_word(peer);
    const uint64_t awake_us = node->presence->awake_us;

    if (peer->state == PEER_ALIVE && peer->heard_us != 0
        && now.mono_us - awake_us >= node->options.silent_after_us
        && now.mono_us - peer->heard_us >= node->options.silent_after_us) {
        if (state != 0) {
            presence_declare(node, now, peer, WORD_SUSPECT);
        }
        presence_update_peer(node, now, peer);
    } else if (vouching_is_old(node, now, peer)) {
        presence_declare(node, now, peer, WORD_SUSPECT);
    } else if (peer->state == PEER_SILENT && state != 0 && claim_word(state) == WORD_SUSPECT
               && clock_since_ms(now, peer->suspect_ms)
                      >= suspicion_us(peer, (uint64_t)peers_members(node->peers) + 1) / 1000) {
        presence_declare(node, now, peer, WORD_DEAD);
    }
}

/* What is stored of a presence, as far as it is within bounds; false: all of it is. */
static bool stored_bound(const struct node *node, const struct entry *entry,
                         const struct claim_bounds *bounds, struct claim *claim)
{
    claim_of_stored(claim, entry_vector(entry));
    /* Where an earlier run of ours was later, it is our clock that is behind. */
    return node->presence->began_s <= bounds->now_s && claim_judge(claim, bounds) > 0;
}

/* What was taken under a clock that proved wrong does not exist: others refuse it, so that it would
 * stand here for ever, or until its owner meets it. The own words of an owner in `trust` stay as
 * long as it lives, however far: whoever lacks them gets them from itself. Of its end stays what
 * others take. */
static void entry_bound(struct node *node, struct moment now, struct peer *peer)
{
    const bool far =
        peer->member && peer->validated_us != 0 && node_trusts_address(node, &peer->address);
    const struct claim_bounds bounds = { .now_s = presence_now_s(node, now),
                                         .by = far ? CLAIM_OF_OWNER : CLAIM_WIDE };
    struct claim claim;
    struct merge_result result;
    struct entry *entry;

    if (!stored_bound(node, peer->presence, &bounds, &claim)) {
        return;
    }
    claim_keep_end(&claim, &bounds, entry_vector(peer->presence));
    presence_drop(node, now, peer);
    entry = claim_any(&claim) ? entry_obtain(node, peer) : NULL;
    if (entry != NULL && entry_merge(node, entry, &claim, CHANGE_FROM_PEER, &result)) {
        peer->presence = entry;
        presence_update_peer(node, now, peer);
    }
}

static void peer_sweep(struct node *node, struct moment now, struct peer *peer)
{
    if (peer->presence != NULL && presence_forgotten(node, now, entry_vector(peer->presence))) {
        presence_drop(node, now, peer);
    }
    if (peer->presence != NULL) {
        entry_bound(node, now, peer);
    }
    if (peer->level == 0) {
        plain_peer_sweep(node, now, peer);
    }
    presence_update_peer(node, now, peer); /* time changes it too, and memory may be there now */
}

/* Whether a member may tell us what lies beyond all clocks. */
static bool trusts_some_member(struct node *node)
{
    for (uint32_t i = 0; i < peers_members(node->peers); i++) {
        work_count(node, 1);
        if (node_trusts_address(node, &peers_member(node->peers, i)->address)) {
            return true;
        }
    }
    return false;
}

/* Our presence begins anew, with what else is to be said of us. Where there is no room, it does the
 * next time. */
static void self_renew(struct node *node, struct moment now, const struct claim *rest)
{
    struct presence *presence = node->presence;
    const uint64_t state = claim_state(presence->began_s, node->leaving ? WORD_LEFT : WORD_ALIVE);
    struct claim own = { .stamp = 0 };
    struct claim all = *rest;
    struct claim_block room;
    struct merge_result result;
    struct block block;

    self_words(node, presence->began_s, &own);
    own.values[PRESENCE_STATE] = state;
    for (unsigned i = PRESENCE_LEVEL; i < CLAIM_ELEMENTS; i++) {
        all.values[i] = own.values[i] > all.values[i] ? own.values[i] : all.values[i];
    }
    block = claim_block(&all, &room);
    if (table_renew(node->table, &node->self, 0, &block, CHANGE_FROM_SELF, &result) != STATUS_OK) {
        node->stats.memory_refused++;
        return;
    }
    presence->incarnation = presence->began_s;
    presence->state_word = state;
    presence->outbid_due_us = now.mono_us;
    self_wrote(presence, &own);
    entry_spread(node, now, node->self, &result.raised, (struct push_route){ 0 });
    self_defend(node, now, &result.raised);
}

/* The same of our own presence: slander that we took under a wrong clock, and what we refuted it
 * by. Where nobody is trusted no other takes what lies so far ahead, so that we would be dead to
 * them for ever. */
static void self_bound(struct node *node, struct moment now)
{
    struct claim_bounds bounds = { .now_s = presence_now_s(node, now), .by = CLAIM_WIDE };
    struct claim rest;
    bool is_far = stored_bound(node, node->self, &bounds, &rest);

    if (is_far && trusts_some_member(node)) {
        bounds.by = CLAIM_TO_OWNER;
        is_far = stored_bound(node, node->self, &bounds, &rest);
    }
    if (is_far) {
        self_renew(node, now, &rest);
    }
}

void presence_tick(struct node *node, struct moment now)
{
    struct presence *presence = node->presence;
    uint32_t left;

    if (now.mono_us < presence->sweep_due_us) {
        return;
    }
    if (now.mono_us - presence->sweep_due_us > LATE_US) {
        presence->awake_us = now.mono_us;
    }
    presence->sweep_due_us = now.mono_us + SWEEP_US;
    self_bound(node, now);
    left = SWEEP_LEAST + peers_count(node->peers) / 8;
    if (left > peers_count(node->peers)) {
        left = peers_count(node->peers);
    }
    work_count(node, left);
    for (; left > 0; left--) {
        presence->sweep = presence->sweep + 1 < peers_count(node->peers) ? presence->sweep + 1 : 0;
        peer_sweep(node, now, peers_at(node->peers, presence->sweep));
    }
}

uint64_t presence_due_us(const struct node *node)
{
    return node->presence->sweep_due_us;
}

void presence_free(struct node *node)
{
    part_free(node, node->presence, sizeof *node->presence);
}

void presence_leave(struct node *node, struct moment now)
{
    struct presence *presence = node->presence;
    struct claim claim = { .stamp = 0 };

    presence->state_word = claim_state(presence->incarnation, WORD_LEFT);
    claim.values[PRESENCE_STATE] = presence->state_word;
    claim.values[PRESENCE_SINCE] = since_s(node, now);
    (void)self_write(node, now, &claim); /* spread and acked like any change */
}
