#include "node/node.h"

#include "base/hash.h"
#include "node/bounds.h"
#include "node/claim.h"
#include "node/contact.h"
#include "node/credit.h"
#include "node/detect.h"
#include "node/events.h"
#include "node/exchange.h"
#include "node/expiry.h"
#include "node/extended.h"
#include "node/flights.h"
#include "node/hear.h"
#include "node/join.h"
#include "node/lag.h"
#include "node/outbox.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/plain.h"
#include "node/presence.h"
#include "node/push.h"
#include "node/spread.h"
#include "node/state.h"
#include "node/strangers.h"
#include "node/sync.h"
#include "node/work.h"

#include <assert.h>
#include <string.h>

#define SECOND_US      UINT64_C(1000000)
#define FULL_TOLD_US   (60 * SECOND_US)
#define HEARSAY_LOOKED 256            /* records looked at for one that may go */
#define DROPS_AT_ONCE  1024           /* entries that all who may name them are asked to forget */
#define BLOCKED_US     UINT64_C(5000) /* what a window holds back is looked at this often */
#define AHEAD_RUN_MAX  8              /* datagrams ahead of bulk before one of bulk may leave */
#define ACKS_UNIT      16             /* members looked at in a unit of work */
#define EMIT_BYTES     64             /* encoded in a unit of work, beside what its blocks count */

/* The parts that make datagrams of bulk, in the order in which a turn asks them at first. */
enum bulk { BULK_PUSH, BULK_PLAIN, BULK_SYNC, BULK_COUNT };

/* Options. */

/* Of these, 0 would mean never, or without a pause. */
static void options_assert(const struct node_options *options)
{
    assert(options->announce_interval_us > 0 && options->silent_after_us > 0);
    assert(options->probe_interval_us > 0 && options->bytes_per_second_max > 0);
}

/* Copy the lists into one block and let the options point there. False: no memory, nothing
 * changed. */
static bool lists_copy(struct node *node, struct node_options *options)
{
    const size_t rules_size = options->value_rules_count * sizeof *options->value_rules;
    const size_t trust_size = options->trust_count * sizeof *options->trust;
    const size_t plain_size = options->plain_peers_count * sizeof *options->plain_peers;
    const size_t size = rules_size + trust_size + plain_size;
    uint8_t *lists = NULL;

    assert(options->trust_count <= NODE_TRUST_MAX && options->plain_peers_count <= NODE_TRUST_MAX);
    assert(options->value_rules_count <= NODE_VALUES_MAX);
    if (size > 0) {
        lists = mem_alloc(node->mem, size);
        if (lists == NULL) {
            return false;
        }
        /* Rules first: they are what needs alignment. */
        if (rules_size > 0) {
            memcpy(lists, options->value_rules, rules_size);
        }
        if (trust_size > 0) {
            memcpy(lists + rules_size, options->trust, trust_size);
        }
        if (plain_size > 0) {
            memcpy(lists + rules_size + trust_size, options->plain_peers, plain_size);
        }
    }
    mem_free(node->mem, node->lists, node->lists_size);
    node->lists = lists;
    node->lists_size = size;
    options->value_rules = rules_size == 0 ? NULL : node->lists;
    options->trust = trust_size == 0 ? NULL : (const void *)(lists + rules_size);
    options->plain_peers = plain_size == 0 ? NULL : (const void *)(lists + rules_size + trust_size);
    return true;
}

/* All parts, lowest first; each may fail for want of memory, and node_free() frees those that came
 * to be. */
static bool parts_create(struct node *node, struct moment now)
{
    node->peers = peers_create(node->mem, node->secret);
    return node->peers != NULL && work_create(node) && events_create(node) && outbox_create(node)
           && pace_create(node, now) && credit_create(node, now) && strangers_create(node, now)
           && spread_create(node) && plain_create(node) && exchanges_create(node)
           && lag_create(node) && contact_create(node, now) && presence_create(node, now);
}

enum status node_create(const struct node_options *options, struct mem *mem, struct table *table,
                        struct moment now, struct node **node_out)
{
    struct node *node = mem_alloc_zeroed(mem, sizeof *node);
    struct node_options effective = *options;

    assert(address_is_peer(&options->self));
    options_assert(options);
    if (node == NULL) {
        return STATUS_MEMORY;
    }
    node->mem = mem;
    node->table = table;
    node->now = now;
    node->created_us = now.mono_us;
    if (!lists_copy(node, &effective)) {
        goto free_node;
    }
    node->options = effective;
    node->secret =
        hash_sip(node->options.token_secret, (struct bytes){ (const uint8_t *)"peers", 5 });
    for (unsigned purpose = 0; purpose < RANDOM_COUNT; purpose++) {
        random_seed(&node->random[purpose], node->options.seed, purpose + 1);
    }
    if (!parts_create(node, now)) {
        goto free_node;
    }
    expiry_note(node, now);
    *node_out = node;
    return STATUS_OK;

free_node:
    node_free(node);
    return STATUS_MEMORY;
}

void node_free(struct node *node)
{
    if (node == NULL) {
        return;
    }
    presence_free(node);
    contact_free(node);
    detect_free(node);
    push_free(node);
    sync_free(node);
    exchanges_free(node);
    lag_free(node);
    plain_free(node);
    spread_free(node);
    strangers_free(node);
    credit_free(node);
    pace_free(node);
    outbox_free(node);
    events_free(node);
    work_free(node);
    peers_free(node->peers);
    mem_free(node->mem, node->lists, node->lists_size);
    mem_free(node->mem, node, sizeof *node);
}

enum status node_configure(struct node *node, struct moment now, const struct node_options *options)
{
    struct node_options effective = *options;

    node->now = now;
    options_assert(options);
    effective.self = node->options.self;
    effective.seed = node->options.seed;
    memcpy(effective.token_secret, node->options.token_secret, sizeof effective.token_secret);
    effective.start_s_min = node->options.start_s_min;
    effective.cluster_id = node->options.cluster_id;
    effective.http_port = node->options.http_port;
    effective.version = node->options.version;
    effective.plain_only = node->options.plain_only;
    if (!lists_copy(node, &effective)) {
        return STATUS_MEMORY;
    }
    node->options = effective;
    guard_trust(&node->guard, effective.trust, effective.trust_count);
    /* What was refused may be taken now: it is asked for again. */
    node->refused_us = 0;
    node->full_us = 0;
    sync_raised(node, now, NULL, TABLE_MEMBERS);
    sync_raised(node, now, NULL, TABLE_DATA);
    return STATUS_OK;
}

void node_seeds(struct node *node, struct moment now, const struct address *addresses, size_t count)
{
    node->now = now;
    contact_seeds(node, now, addresses, count);
}

/* Receiving. */

/* Clusters that meet by accident do not merge: extended datagrams name theirs; plain ones, which
 * cannot, are taken by a named cluster only from addresses it was told of. */
static bool cluster_allows(const struct node *node, const struct address *from,
                           const struct message *message)
{
    const struct node_options *options = &node->options;

    if (message->extended && !options->plain_only) {
        return message->envelope.cluster == options->cluster_id;
    }
    return node_takes_plain(node, from);
}

/* Whether an address is spoken with as a peer: it is trusted or has shown that it receives what we
 * send, now or lately. What comes in plain words from a seed does too: a person named it, and it
 * may be a prototype, which cannot echo. */
static bool speaks_as_peer(struct node *node, struct moment now, const struct peer *peer,
                           const struct address *from, const struct message *message)
{
    if (peer == NULL ? node_trusts_address(node, from)
                     : node_trusts(node, peer, now) || (peer->is_seed && !message->extended)) {
        return true;
    }
    return strangers_echoes(node, now, from, message);
}

/* Somebody who is there found no room: one that was never heard here makes some when the turn ends.
 * Whoever told of it may have made it up, in a trusted range as well as elsewhere. */
static void hearsay_drop(struct node *node, struct moment now)
{
    if (!contact_may_doom(node)) {
        return; /* there will be room enough */
    }
    for (uint32_t i = 0; i < HEARSAY_LOOKED && i < peers_count(node->peers); i++) {
        struct peer *peer;

        work_count(node, 1);
        node->hearsay = (node->hearsay + 1) % peers_count(node->peers);
        peer = peers_at(node->peers, node->hearsay);
        if (peer->heard_us != 0 || peer->is_seed) {
            continue;
        }
        if (peer->presence != NULL) {
            presence_drop(node, now, peer);
        }
        contact_doom(node, peer);
        return;
    }
}

static void received_count(struct node *node, const struct address *from,
                           const struct message *message, size_t size)
{
    const enum node_kind kind = message->extended ? extended_kind(message) : NODE_KIND_PLAIN;

    node->stats.received[kind]++;
    node->stats.received_bytes[kind] += size;
    trace_tell(node, TRACE_IN, .peer = *from, .about = node_kind_label(kind), .number = size);
}

void node_receive(struct node *node, struct moment now, const struct address *from,
                  struct bytes datagram)
{
    struct message message;
    const enum wire_drop drop = message_decode(datagram, &message);
    struct peer *peer;

    node->now = now;
    expiry_note(node, now);
    work_call_begin(node);
    work_count(node, 1 + datagram.size / EMIT_BYTES);
    if (drop != WIRE_OK) {
        node->stats.dropped[drop]++;
        trace_tell(node, TRACE_DROPPED, .peer = *from, .about = wire_drop_label(drop),
                   .number = datagram.size);
        return;
    }
    received_count(node, from, &message, datagram.size);
    /* Our own datagram come back, by whatever name, says nothing; nor does what comes from where
     * nobody can be. */
    if (address_compare(from, &node->options.self) == 0 || !address_is_peer(from)) {
        return;
    }
    if (!cluster_allows(node, from, &message)) {
        refused_count(node, cluster, from, 1);
        events_cluster(node->events, now, from);
        return;
    }
    if (contact_own_address(node, from, &message)) {
        return;
    }
    if (node->options.plain_only) {
        message.extended = false;
    }
    peer = peers_find(node->peers, from);
    if (!speaks_as_peer(node, now, peer, from, &message)) {
        strangers_receive(node, now, from, &message, datagram.size);
        return;
    }
    peer = presence_heard(node, now, peer, from, message.extended);
    if (peer == NULL) {
        hearsay_drop(node, now);
        return;
    }
    pace_received(peer, datagram.size);
    if (message.extended) {
        extended_receive(node, now, peer, &message);
    } else if (message.plain.key.size > 0) {
        plain_receive(node, now, peer, &message);
    }
}

/* Clients. */

enum status node_update_begin(const struct node *node, struct bytes key, struct node_update *update,
                              struct fault *why)
{
    return join_update_begin(node, key, update, why);
}

enum status node_update_check(const struct node_update *update, const struct block *block,
                              struct fault *why)
{
    return join_update_check(update, block, why);
}

enum status node_update_join(struct node *node, struct moment now, struct node_update *update,
                             const struct block *block, struct merge_result *merged,
                             struct fault *why)
{
    node->now = now;
    expiry_note(node, now);
    work_call_begin(node);
    return join_update(node, now, update, block, merged, why);
}

enum status node_delete(struct node *node, struct moment now, struct bytes key,
                        uint32_t *generation_out, struct fault *why)
{
    node->now = now;
    work_call_begin(node);
    return join_delete(node, now, key, generation_out, why);
}

/* Time. */

static uint64_t earlier(uint64_t one_us, uint64_t other_us)
{
    return one_us < other_us ? one_us : other_us;
}

static uint64_t later(uint64_t one_us, uint64_t other_us)
{
    return one_us > other_us ? one_us : other_us;
}

void node_tick(struct node *node, struct moment now)
{
    node->now = now;
    expiry_tick(node, now);
    flights_tick(node, now);
    presence_tick(node, now);
    contact_tick(node, now);
    detect_tick(node, now);
    sync_tick(node, now);
    push_tick(node, now);
    spread_step(node, now);
    plain_tick(node, now);
}

uint64_t node_due_us(const struct node *node)
{
    const uint64_t paced_us = pace_due_us(node, (struct moment){ 0 });
    const uint64_t expiry_us = expiry_due_us(node); /* it sends nothing, and no window holds it */
    uint64_t due_us = earlier(outbox_due_us(node), presence_due_us(node));
    uint64_t sending_us = earlier(push_due_us(node), sync_due_us(node));

    sending_us = earlier(sending_us, strangers_due_us(node, (struct moment){ 0 }));
    sending_us = earlier(sending_us, plain_due_us(node));
    sending_us = earlier(sending_us, detect_due_us(node));
    due_us = earlier(due_us, contact_due_us(node));
    due_us = earlier(due_us, later(sending_us, paced_us));
    if (work_is_cut(node) || spread_waits(node) || expiry_us == 0) {
        return 0;
    }
    /* What was due when node_emit() last found nothing to send is held back by a window. Its ack
     * opens it and is a turn of its own; failing that, a look now and then. */
    if (node->dry_us != 0 && due_us <= node->dry_us) {
        due_us = node->dry_us + BLOCKED_US;
    }
    return earlier(due_us, expiry_us);
}

/* What a cluster's view of itself hangs on, and answers that others wait for. */
static size_t ahead_emit(struct node *node, struct moment now, struct space space,
                         struct address *to)
{
    size_t size = strangers_emit(node, now, space, to);

    if (size == 0) {
        size = contact_emit(node, now, space, to);
    }
    if (size == 0) {
        size = push_emit(node, now, space, to, true);
    }
    if (size == 0) {
        size = detect_emit(node, now, space, to);
    }
    return size;
}

/* Updates, what plain peers wait for, anti-entropy: each in turn, so that none of them starves
 * however much there is of the others. */
static size_t bulk_emit(struct node *node, struct moment now, struct space space,
                        struct address *to)
{
    size_t size = 0;

    for (unsigned i = 0; i < BULK_COUNT && size == 0; i++) {
        const unsigned kind = (node->bulk_next + i) % BULK_COUNT;

        switch (kind) {
        case BULK_PUSH: size = push_emit(node, now, space, to, false); break;
        case BULK_PLAIN: size = plain_emit(node, now, space, to); break;
        default: size = sync_emit(node, now, space, to); break;
        }
        if (size > 0) {
            node->bulk_next = (uint8_t)((kind + 1) % BULK_COUNT);
        }
    }
    return size;
}

static size_t any_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    const bool allowed = pace_rate_allows(node, now);
    size_t size = 0;

    if (allowed && node->ahead_run >= AHEAD_RUN_MAX) {
        node->ahead_run = 0;
        size = bulk_emit(node, now, space, to);
        if (size > 0) {
            return size;
        }
    }
    size = outbox_emit(node, now, space, to);
    if (size == 0 && allowed) {
        size = ahead_emit(node, now, space, to);
    }
    if (size > 0) {
        node->ahead_run = node->ahead_run < AHEAD_RUN_MAX ? node->ahead_run + 1 : AHEAD_RUN_MAX;
        return size;
    }
    node->ahead_run = 0;
    return allowed ? bulk_emit(node, now, space, to) : 0;
}

size_t node_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    size_t size;

    assert(space.size >= WIRE_EXTENDED_BYTES_MAX);
    node->now = now;
    if (!work_emits(node)) {
        return 0;
    }
    spread_step(node, now);
    work_emit_begin(node);
    size = any_emit(node, now, space, to);
    node->dry_us = size == 0 ? now.mono_us : 0;
    work_count(node, 1 + size / EMIT_BYTES);
    work_emit_end(node);
    return size;
}

struct changes node_changes(const struct node *node)
{
    return table_changes(node->table);
}

static void peer_drop(struct node *node, struct peer *peer)
{
    detect_drop_peer(node, peer);
    push_drop_peer(node, peer);
    spread_drop_peer(node, peer);
    sync_drop_peer(node, peer);
    plain_drop_peer(node, peer);
    contact_drop_peer(node, peer);
    outbox_drop_peer(node, peer);
    peers_drop(node->peers, peer);
}

static void entries_drop(struct node *node, struct drops drops)
{
    push_drop_entries(node, drops);
    spread_drop_entries(node, drops);
    sync_drop_entries(node, drops);
    plain_drop_entries(node, drops);
    outbox_drop_entries(node, drops);
}

/* Whatever still names an entry that was dropped or has ended forgets it. */
static void dropped_forget(struct node *node, struct changes changes)
{
    struct entry *entries[DROPS_AT_ONCE];
    size_t count = 0;

    for (size_t i = 0; i < changes.count; i++) {
        if (changes.list[i].dropped || changes.list[i].ended) {
            entries[count++] = changes.list[i].entry;
        }
        if (count == DROPS_AT_ONCE || (count > 0 && i + 1 == changes.count)) {
            entries_drop(node, (struct drops){ entries, count });
            count = 0;
        }
    }
}

void node_turn_end(struct node *node)
{
    const struct changes changes = table_changes(node->table);
    struct peer *doomed;

    work_turn_end(node, plain_queues(node));
    sync_note(node, node->now, changes);
    dropped_forget(node, changes);
    while ((doomed = contact_take_doomed(node)) != NULL) {
        if (doomed->presence == NULL) {
            peer_drop(node, doomed);
        }
    }
    node->has_extended_known = false;
    table_turn_end(node->table);
}

/* Who has it. Strictly later: a state ends in the turn in which the next one begins. */

static bool has_since(const struct peer *peer, uint64_t turn_us)
{
    return peer->has_us > turn_us;
}

uint32_t node_acks(struct node *node, uint64_t turn_us)
{
    const uint32_t members = peers_members(node->peers);
    uint32_t count = 0;

    work_count(node, 1 + members / ACKS_UNIT);
    for (uint32_t i = 0; i < members; i++) {
        count += has_since(peers_member(node->peers, i), turn_us);
    }
    return count;
}

void node_acks_ask(struct node *node, struct moment now, uint64_t turn_us, uint32_t count)
{
    const uint32_t members = peers_members(node->peers);
    const uint32_t start =
        members == 0 ? 0 : (uint32_t)random_below(&node->random[RANDOM_DETECT], members);

    node->now = now;
    work_count(node, 1 + members / ACKS_UNIT);
    for (uint32_t i = 0; i < members && count > 0; i++) {
        struct peer *peer = peers_member(node->peers, (start + i) % members);

        if (peer->state == PEER_ALIVE && peer->level > 0 && !has_since(peer, turn_us)) {
            detect_soon(node, now, peer);
            count--;
        }
    }
}

/* People. */

enum status node_introduce(struct node *node, struct moment now, const struct address *address,
                           struct fault *why)
{
    node->now = now;
    return contact_introduce(node, now, address, why);
}

enum status node_forget(struct node *node, struct moment now, const struct address *address,
                        struct fault *why)
{
    node->now = now;
    return contact_forget(node, now, address, why);
}

void node_leave(struct node *node, struct moment now)
{
    node->now = now;
    contact_leave(node, now);
}

bool node_has_left(const struct node *node)
{
    return contact_has_left(node);
}

static struct peer_view view_of(const struct peer *peer)
{
    struct peer_view view = {
        .address = peer->address,
        .last_heard_us = peer->heard_us,
        .rtt_us = peer->srtt_us,
        .level = peer->level,
        .state = peer->state,
        .is_seed = peer->is_seed,
    };

    if (peer->state == PEER_ALIVE || peer->state == PEER_SUSPECT) {
        view.checked_us = peer->checked_us;
        view.equal_us = peer->equal_us;
        view.converged =
            peer->equal_us != 0 && peer->checked_us - peer->equal_us <= NODE_CONVERGED_US;
    }

    if (peer->presence != NULL) {
        view.http_port = (uint16_t)vector_get(entry_vector(peer->presence), PRESENCE_HTTP);
        view.version = (uint16_t)vector_get(entry_vector(peer->presence), PRESENCE_VERSION);
    }
    return view;
}

size_t node_peers(const struct node *node, const struct address *after, struct peer_view *peers,
                  size_t room)
{
    uint32_t position = after == NULL ? 0 : peers_after(node->peers, after);
    size_t count = 0;

    while (count < room && position < peers_count(node->peers)) {
        peers[count++] = view_of(peers_at(node->peers, position++));
    }
    return count;
}

bool node_peer(const struct node *node, const struct address *address, struct peer_view *peer)
{
    const struct peer *found = peers_find(node->peers, address);

    if (found != NULL) {
        *peer = view_of(found);
    }
    return found != NULL;
}

const char *node_peer_state_label(enum peer_state state)
{
    switch (state) {
    case PEER_NEW: return "new";
    case PEER_ALIVE: return "alive";
    case PEER_SUSPECT: return "suspect";
    case PEER_DEAD: return "dead";
    case PEER_LEFT: return "left";
    case PEER_SILENT: return "silent";
    default: break;
    }
    assert(state < PEER_STATE_COUNT);
    return "";
}

void node_peer_counts(const struct node *node, uint64_t counts[PEER_STATE_COUNT])
{
    for (unsigned state = 0; state < PEER_STATE_COUNT; state++) {
        counts[state] = peers_in_state(node->peers, state);
    }
}

enum node_readiness node_readiness(const struct node *node, struct moment now)
{
    if (node->was_equal) {
        return NODE_READY_EQUAL;
    }
    if (peers_members(node->peers) == 0 && contact_seeds_count(node) == 0) {
        return NODE_READY_ALONE;
    }
    return now.mono_us - node->created_us >= node->options.ready_after_us ? NODE_READY_LATE
                                                                          : NODE_READY_NOT;
}

bool node_is_full(const struct node *node, struct moment now)
{
    return node->full_us != 0 && now.mono_us - node->full_us < FULL_TOLD_US;
}

uint64_t node_stamp(const struct node *node, struct bytes key)
{
    struct address address;
    const struct peer *peer;

    if (!presence_address(key, &address)) {
        return 0;
    }
    if (address_compare(&address, &node->options.self) == 0) {
        return node->now.unix_s / 60;
    }
    peer = peers_find(node->peers, &address);
    return peer == NULL ? 0 : peer->stamp;
}

bool node_is_reserved(struct bytes key)
{
    struct address address;

    return presence_address(key, &address);
}

uint64_t node_now_s(const struct node *node, struct moment now)
{
    return guard_now_s(&node->guard, now);
}

bool node_take_event(struct node *node, struct node_event *event_out)
{
    return events_take(node->events, event_out);
}

uint64_t node_work(const struct node *node)
{
    return node->work_done;
}

uint64_t node_datagram_work_max(size_t size)
{
    return NODE_DATAGRAM_WORK + NODE_DATAGRAM_WORK_BYTE * (uint64_t)size;
}

bool node_work_allows(const struct node *node)
{
    return work_of_turn(node) < NODE_TURN_WORK_MAX / 2;
}

const struct node_stats *node_stats(const struct node *node)
{
    return &node->stats;
}

void node_audit(const struct node *node)
{
    peers_audit(node->peers);
    outbox_audit(node);
    strangers_audit(node);
    assert(node->self != NULL);
    for (uint32_t i = 0; i < peers_count(node->peers); i++) {
        const struct peer *peer = peers_at(node->peers, i);
        struct address address;

        assert(peer->id == node_peer_id(node, &peer->address));
        if (peer->presence != NULL) {
            assert(entry_set(peer->presence) == TABLE_MEMBERS);
            assert(presence_address(entry_key(peer->presence), &address));
            assert(address_compare(&address, &peer->address) == 0);
        }
    }
}
