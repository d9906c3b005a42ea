#include "node/sync.h"

#include "base/hash.h"
#include "node/clock.h"
#include "node/exchange.h"
#include "node/offer.h"
#include "node/recent.h"
#include "node/state.h"
#include "store/digest.h"

#include <assert.h>
#include <string.h>

#define HOT_MS          500
#define HOT_MANY        100    /* changed within that: D is exchanged less often */
#define ROUND_US        900000 /* between exchanges that we begin; probes come once a second */
#define ROUND_HOT_US    5000000
#define TAKING_PART_US  300000  /* after a tree came */
#define PAUSE_US        5000000 /* of D, after more changed than can be told apart */
#define WAIT_MS         1000
#define WAIT_MS_MAX     300000
#define WAIT_EXPONENT   9  /* the first at which WAIT_MS doubled is above WAIT_MS_MAX */
#define MANY_DIFFERENT  8  /* children in one datagram: then leaf lists are kept short, */
#define LEAF_KEYS_SHORT 10 /* since one more level costs less than that many keys */
#define BIG_ELEMENTS    256
#define LISTED_SLICE    64
#define LISTED_MAX      512 /* keys of ours looked at for one leaf list; the rest is streamed */
#define TRANSFER_ITEMS  64  /* repairs in a row that make a transfer of it */
#define TRANSFER_US     500000
#define FULL_US         60000000 /* after the last key that was refused: as our `F` says */
#define STALE_US        3000000
#define LOSSES_MAX      16   /* in a row: nobody is there */
#define AUDIT_EVERY     24   /* probes: one of them carries an audit, 81 bytes */
#define AUDIT_KEYS      256  /* of the prefix that is looked at: 16 a child, a leaf list each */
#define AUDIT_KEYS_MAX  1024 /* more are not added up for somebody else's */

/* Who repairs us. While one peer sends much of a set, others are not asked for the same. */
struct transfer {
    const struct peer *from;
    uint64_t last_us;
    uint32_t items;
};

struct sync_state {
    struct transfer transfers[TABLE_SET_COUNT];
    uint64_t begin_us[TABLE_SET_COUNT]; /* no exchange of the set is begun before */
    uint64_t paused_us;                 /* no exchange of D before */
    uint32_t audit_left;                /* probes until the next audit */
    uint8_t audit_set;                  /* enum table_set, whose turn it is */
};

static struct sync_state *state_obtain(struct node *node)
{
    struct sync_state *state = node->sync.state;

    if (state == NULL) {
        state = mem_alloc_zeroed(node->mem, sizeof *state);
        if (state == NULL) {
            node->stats.memory_refused++;
            return NULL;
        }
        node->sync.hot.keep_ms = HOT_MS;
        /* Nodes that start together do not audit together. */
        state->audit_left = (uint32_t)random_below(&node->sync.random, AUDIT_EVERY);
        node->sync.state = state;
    }
    return state;
}

void sync_note(struct node *node, struct moment now, struct changes changes)
{
    struct sync_state *state;

    /* Where push has nobody to send to, nothing is under way; and a member that comes the moment
     * after was not sent it. */
    if (changes.count == 0 || !node_has_extended(node, now)) {
        return;
    }
    state = state_obtain(node);
    for (size_t i = 0; state != NULL && i < changes.count; i++) {
        const struct change *change = &changes.list[i];

        if (change->dropped || change->origin == CHANGE_FROM_DISK) {
            continue;
        }
        if (!recent_put(&node->sync.hot, node->mem,
                        offer_hash(node, change->entry, change->raised.number), 0,
                        now.mono_us / 1000)) {
            state->paused_us = now.mono_us + PAUSE_US;
        }
    }
}

static bool is_paused(const struct sync_state *state, struct moment now, enum table_set set)
{
    return set == TABLE_D && now.mono_us < state->paused_us;
}

/* Somebody else is sending us much of this set. */
static bool is_repaired_by_other(const struct sync_state *state, struct moment now,
                                 const struct peer *peer, enum table_set set)
{
    const struct transfer *transfer = &state->transfers[set];

    return transfer->items >= TRANSFER_ITEMS && transfer->from != peer
           && now.mono_us - transfer->last_us < TRANSFER_US;
}

static bool is_repaired(const struct sync_state *state, struct moment now, enum table_set set)
{
    return is_repaired_by_other(state, now, NULL, set);
}

/* Beginning. */

/* The wait before the next exchange of this set with this peer doubles until one of them raised
 * something or they are equal: a node that refuses data would exchange for ever. */
static void wait_set(struct peer *peer, struct moment now, enum table_set set)
{
    const unsigned exponent = peer->sync_wait[set];
    const uint32_t wait_ms =
        exponent >= WAIT_EXPONENT ? WAIT_MS_MAX : (uint32_t)WAIT_MS << exponent;

    peer->sync_due_ms[set] = clock_ms(now) + wait_ms;
    if (exponent < WAIT_EXPONENT) {
        peer->sync_wait[set]++;
    }
}

static bool may_begin(const struct node *node, struct moment now, const struct peer *peer,
                      enum table_set set)
{
    const struct sync_state *state = node->sync.state;
    const struct exchange *exchange = exchange_find(node, peer);

    if (peer->sync_wait[set] > 0 && clock_is_ahead(now, peer->sync_due_ms[set], WAIT_MS_MAX)) {
        return false;
    }
    return now.mono_us >= state->begin_us[set] && !is_paused(state, now, set)
           && !is_repaired(state, now, set)
           && (exchange == NULL || !exchange_repairs(exchange, set));
}

static void begin(struct node *node, struct moment now, struct peer *peer, enum table_set set)
{
    struct sync_state *state = node->sync.state;
    const bool hot = set == TABLE_D && recent_count(&node->sync.hot, now.mono_us / 1000) > HOT_MANY;
    const struct order order = { .prefix = { .set = (uint8_t)set }, .kind = ORDER_TREE };
    struct exchange *exchange = exchange_obtain(node, now, peer);

    if (exchange == NULL) {
        return;
    }
    exchange->salted = peer->sync_wait[set] > 0;
    exchange_order(node, exchange, order);
    state->begin_us[set] = now.mono_us + (hot ? ROUND_HOT_US : ROUND_US);
    wait_set(peer, now, set);
    node->stats.sync_rounds++;
}

/* Nothing is left to be exchanged: what still waits to leave the peer got from others. */
static void set_equal(struct node *node, struct peer *peer, enum table_set set)
{
    struct exchange *exchange = exchange_find(node, peer);

    peer->sync_wait[set] = 0;
    if (exchange == NULL) {
        return;
    }
    exchange_cancel(node, exchange, set);
    if (exchange_done(exchange)) {
        exchange_free(node, exchange);
    }
}

void sync_roots_received(struct node *node, struct moment now, struct peer *from,
                         const uint32_t roots[2], uint32_t salt, bool answering)
{
    uint32_t ours[2];

    outbox_roots(node, salt, ours);
    from->converged = ours[TABLE_D] == roots[TABLE_D];
    node->was_equal = node->was_equal || from->converged;
    from->checked_us = now.mono_us;
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        if (ours[set] == roots[set]) {
            set_equal(node, from, (enum table_set)set);
        }
    }
    if (!answering || (ours[TABLE_M] == roots[TABLE_M] && ours[TABLE_D] == roots[TABLE_D])
        || state_obtain(node) == NULL) {
        return;
    }
    /* Both at once where both differ, as after a partition; membership is ordered first. */
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        if (ours[set] != roots[set] && may_begin(node, now, from, (enum table_set)set)) {
            begin(node, now, from, (enum table_set)set);
        }
    }
}

void sync_raised(struct node *node, struct moment now, struct peer *from, enum table_set set)
{
    struct sync_state *state = node->sync.state;
    struct transfer *transfer;

    if (from == NULL) {
        for (uint32_t i = 0; i < node->peers.count; i++) {
            peers_at(&node->peers, i)->sync_wait[set] = 0;
        }
        return;
    }
    from->sync_wait[set] = 0;
    if (state == NULL) {
        return;
    }
    transfer = &state->transfers[set];
    if (transfer->from != from || now.mono_us - transfer->last_us >= TRANSFER_US) {
        *transfer = (struct transfer){ .from = from };
    }
    transfer->last_us = now.mono_us;
    transfer->items++;
}

/* The audit. */

/* Digests of a prefix's children, each the sum of its keys' contributions salted one by one: equal
 * sums of contributions, by chance or by somebody's making, are not equal here. Time O(keys), at
 * most AUDIT_KEYS_MAX. False: there are more. */
static bool audit_add_up(const struct node *node, struct moment now, struct wire_tree *tree,
                         uint32_t salt)
{
    const struct table *table = node->table;
    const unsigned shift = 60 - 4 * (unsigned)tree->prefix.nibbles;
    struct entry *entries[LISTED_SLICE];
    uint64_t from = tree->prefix.bits;
    size_t found = LISTED_SLICE;
    size_t looked = 0;

    memset(tree->children, 0, sizeof tree->children);
    while (found == LISTED_SLICE && looked < AUDIT_KEYS_MAX) {
        found = table_slice_hash(table, tree->prefix, from, entries, LISTED_SLICE);
        looked += found;
        for (size_t i = 0; i < found; i++) {
            const uint64_t hash = entry_hash(table, entries[i]);
            const uint64_t digest = digest_contribution(hash, entry_digest(entries[i]));

            if (sync_exists(node, now, entries[i])) {
                tree->children[hash >> shift & 15] += digest_salted(digest, salt);
            }
            from = hash + 1;
        }
    }
    return found < LISTED_SLICE;
}

/* A random prefix of few keys; each key is as likely under it as any other. */
static struct prefix audit_choose(struct node *node, enum table_set set)
{
    const uint64_t hash = random_next(&node->sync.random);
    struct prefix prefix = { .set = (uint8_t)set };
    uint64_t keys = table_stats(node->table).keys[set];

    while (keys > AUDIT_KEYS && prefix.nibbles < 15) {
        struct tree_child children[WIRE_TREE_CHILDREN];
        const unsigned shift = 60 - 4 * (unsigned)prefix.nibbles;
        const unsigned child = hash >> shift & 15;

        table_children(node->table, prefix, children);
        keys = children[child].keys;
        prefix.bits |= (uint64_t)child << shift;
        prefix.nibbles++;
    }
    return prefix;
}

void sync_audit_put(struct node *node, struct moment now, struct writer *writer, uint32_t salt)
{
    struct sync_state *state = state_obtain(node);
    struct wire_tree tree;

    if (state == NULL || state->audit_left-- > 0) {
        return;
    }
    state->audit_left = AUDIT_EVERY - 1;
    tree.prefix = audit_choose(node, (enum table_set)state->audit_set);
    state->audit_set = state->audit_set == TABLE_M ? TABLE_D : TABLE_M;
    if (audit_add_up(node, now, &tree, salt)) {
        (void)writer_put_tree(writer, &tree);
    }
}

/* Answering. Each field is answered from what the store says now. */

struct answer {
    struct node *node;
    struct exchange *exchange;
    struct moment now;
    uint32_t salt;
    unsigned leaf_keys_max;
};

static uint64_t prefix_mask(unsigned nibbles)
{
    return nibbles == 0 ? 0 : ~UINT64_C(0) << (64 - 4 * nibbles);
}

static bool is_answered(const struct answer *answer, unsigned set)
{
    const struct sync_state *state = answer->node->sync.state;

    return set < TABLE_SET_COUNT && !is_paused(state, answer->now, (enum table_set)set)
           && !is_repaired_by_other(state, answer->now, answer->exchange->peer, (enum table_set)set)
           && !exchange_transfers(answer->exchange, (enum table_set)set);
}

static bool peer_refuses_keys(const struct exchange *exchange)
{
    return (exchange->peer->flags_theirs & WIRE_FLAG_FULL) != 0;
}

static void ours_only(const struct answer *answer, struct entry *entry)
{
    if (!peer_refuses_keys(answer->exchange)) {
        (void)exchange_repair_all(answer->node, answer->now, answer->exchange, entry);
    }
}

static void stream_order(const struct answer *answer, struct prefix prefix, uint64_t from)
{
    if (!peer_refuses_keys(answer->exchange)) {
        exchange_order(answer->node, answer->exchange,
                       (struct order){ .prefix = prefix, .at = from, .kind = ORDER_STREAM });
    }
}

/* They have nothing under a prefix: a few keys go at once, many in a stream, which silences other
 * answers while it lasts. */
static void prefix_offer(const struct answer *answer, struct prefix prefix)
{
    struct entry *entries[EXCHANGE_LEAF_KEYS_MAX + 1];
    const size_t count = table_slice_hash(answer->node->table, prefix, prefix.bits, entries,
                                          EXCHANGE_LEAF_KEYS_MAX + 1);

    if (count > EXCHANGE_LEAF_KEYS_MAX) {
        stream_order(answer, prefix, prefix.bits);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        ours_only(answer, entries[i]);
    }
}

static void child_answer(const struct answer *answer, struct prefix child,
                         const struct tree_child *ours, uint32_t theirs)
{
    struct order order = { .prefix = child, .kind = ORDER_TREE };

    if (theirs == digest_salted(0, answer->salt)) {
        prefix_offer(answer, child);
        return;
    }
    if (ours->keys <= answer->leaf_keys_max || child.nibbles == 16) {
        order.kind = ORDER_LEAF;
    }
    exchange_order(answer->node, answer->exchange, order);
}

static unsigned tree_differences(const struct answer *answer, const struct wire_tree *tree,
                                 const struct tree_child children[WIRE_TREE_CHILDREN])
{
    unsigned count = 0;

    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        count += digest_salted(children[i].digest, answer->salt) != tree->children[i];
    }
    return count;
}

static void tree_answer(struct answer *answer, struct wire_tree tree, unsigned trees)
{
    struct tree_child children[WIRE_TREE_CHILDREN];
    const unsigned shift = 60 - 4 * (unsigned)tree.prefix.nibbles;
    unsigned different;

    table_children(answer->node->table, tree.prefix, children);
    different = tree_differences(answer, &tree, children);
    answer->leaf_keys_max = different > MANY_DIFFERENT || trees > MANY_DIFFERENT
                                ? LEAF_KEYS_SHORT
                                : EXCHANGE_LEAF_KEYS_MAX;
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        const struct prefix child = {
            .bits = tree.prefix.bits | (uint64_t)i << shift,
            .nibbles = (uint8_t)(tree.prefix.nibbles + 1),
            .set = tree.prefix.set,
        };

        if (digest_salted(children[i].digest, answer->salt) != tree.children[i]) {
            child_answer(answer, child, &children[i], tree.children[i]);
        }
    }
}

/* A tree that came beside roots that are equal: where its sums are not, leaf lists tell which keys
 * they hide. */
static void audit_answer(const struct answer *answer, struct wire_tree theirs)
{
    const unsigned shift = 60 - 4 * (unsigned)theirs.prefix.nibbles;
    struct wire_tree ours = { .prefix = theirs.prefix };

    if (!audit_add_up(answer->node, answer->now, &ours, answer->salt)) {
        return;
    }
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        const struct order order = {
            .prefix = { .bits = theirs.prefix.bits | (uint64_t)i << shift,
                        .nibbles = (uint8_t)(theirs.prefix.nibbles + 1),
                        .set = theirs.prefix.set },
            .kind = ORDER_LEAF,
        };

        if (ours.children[i] != theirs.children[i]) {
            exchange_order(answer->node, answer->exchange, order);
        }
    }
}

/* Beside roots a tree is an audit. Where these differ there is nothing hidden yet. */
static void tree_judge(struct answer *answer, const struct message *message, struct wire_tree tree)
{
    const struct envelope *envelope = &message->envelope;
    uint32_t ours[2];

    tree.prefix.bits &= prefix_mask(tree.prefix.nibbles);
    if ((envelope->has & WIRE_HAS_ROOTS) == 0) {
        tree_answer(answer, tree, message->tree.left);
        return;
    }
    outbox_roots(answer->node, answer->salt, ours);
    if (ours[tree.prefix.set] == envelope->roots[tree.prefix.set]) {
        audit_answer(answer, tree);
    }
}

static void want(const struct answer *answer, unsigned set, uint64_t hash)
{
    exchange_order(answer->node, answer->exchange,
                   (struct order){ .prefix = { .bits = hash, .nibbles = 16, .set = (uint8_t)set },
                                   .kind = ORDER_WANT });
}

/* A key of theirs that we have not. A full store asks for nothing new. */
static void theirs_only(const struct answer *answer, const struct wire_leaf *leaf, uint64_t hash)
{
    const struct node *node = answer->node;

    if (node->refused_us == 0 || answer->now.mono_us - node->refused_us >= FULL_US) {
        want(answer, leaf->prefix.set, hash);
    }
}

/* Both have it, and differently: a small one is sent and asked for, of a big one the blocks are
 * compared first. */
static void both_differ(const struct answer *answer, struct entry *entry)
{
    const uint64_t hash = entry_hash(answer->node->table, entry);

    if (!sync_exists(answer->node, answer->now, entry)) {
        return;
    }
    if (vector_size(entry_vector(entry)) <= BIG_ELEMENTS) {
        if (exchange_repair_all(answer->node, answer->now, answer->exchange, entry)) {
            want(answer, entry_set(entry), hash);
        }
        return;
    }
    exchange_order(
        answer->node, answer->exchange,
        (struct order){ .prefix = { .bits = hash, .nibbles = 16, .set = (uint8_t)entry_set(entry) },
                        .kind = ORDER_BLOCKS });
}

/* Walk their list and our keys side by side, both ascending by hash. */
static void leaf_answer(struct answer *answer, struct wire_leaf leaf)
{
    const struct table *table = answer->node->table;
    const size_t listed = leaf.pairs.size / WIRE_LEAF_PAIR_BYTES;
    struct entry *entries[LISTED_SLICE];
    size_t found = LISTED_SLICE;
    size_t looked = 0;
    size_t at = 0;
    uint64_t from;

    leaf.prefix.bits &= prefix_mask(leaf.prefix.nibbles);
    from = leaf.prefix.bits;
    if (listed == 0) {
        prefix_offer(answer, leaf.prefix);
        return;
    }
    while (found == LISTED_SLICE && looked < LISTED_MAX) {
        found = table_slice_hash(table, leaf.prefix, from, entries, LISTED_SLICE);
        looked += found;
        for (size_t i = 0; i < found; i++) {
            const uint64_t hash = entry_hash(table, entries[i]);
            struct wire_leaf_pair pair = { 0 };

            /* cppcheck-suppress redundantInitialization ; gcc would not see that it is set */
            while (at < listed && (pair = wire_leaf_at(&leaf, at)).hash < hash) {
                theirs_only(answer, &leaf, pair.hash);
                at++;
            }
            if (at == listed || pair.hash != hash) {
                ours_only(answer, entries[i]);
                continue;
            }
            at++;
            if (digest_salted(entry_digest(entries[i]), answer->salt) != pair.digest) {
                both_differ(answer, entries[i]);
            }
        }
        from = found == 0 ? 0 : entry_hash(table, entries[found - 1]) + 1;
        if (from == 0) {
            break;
        }
    }
    if (found == LISTED_SLICE && from != 0) {
        stream_order(answer, leaf.prefix, from);
        return;
    }
    for (; at < listed; at++) {
        theirs_only(answer, &leaf, wire_leaf_at(&leaf, at).hash);
    }
}

/* A block of ours: theirs differs or is not there. */
static void block_offer(const struct answer *answer, struct entry *entry, size_t position)
{
    struct block_room room;
    const struct block block = vector_block(entry_vector(entry), position, &room);
    const struct mark mark = block_mark(&block);

    if (sync_offers(answer->node, answer->now, answer->exchange->peer, entry, block.number)) {
        exchange_repair(answer->node, answer->exchange, entry, &mark);
    }
}

/* Judge all our blocks from the first number listed to the last, and to the end where there are no
 * more. Where they have blocks that we have not, our own digests make them send these. */
static void blocks_answer(struct answer *answer, struct wire_blocks blocks)
{
    struct entry *entry =
        blocks.set < TABLE_SET_COUNT
            ? table_find_hash(answer->node->table, (enum table_set)blocks.set, blocks.hash)
            : NULL;
    const struct vector *vector = entry == NULL ? NULL : entry_vector(entry);
    const uint32_t nothing = digest_salted(0, answer->salt);
    bool lacking = false;
    bool first = true;
    size_t position = 0;
    uint64_t number;
    uint32_t digest;

    if (entry == NULL || !sync_exists(answer->node, answer->now, entry)) {
        return;
    }
    while (wire_blocks_next(&blocks, &number, &digest)) {
        struct block_room room;

        position = first ? vector_seek(vector, number) : position;
        first = false;
        while (position < vector_blocks(vector)
               && vector_block(vector, position, &room).number < number) {
            block_offer(answer, entry, position++);
        }
        if (position == vector_blocks(vector)
            || vector_block(vector, position, &room).number != number) {
            lacking = lacking || digest != nothing;
            continue;
        }
        if (digest_salted(vector_block_digest(vector, number, blocks.hash), answer->salt)
            != digest) {
            block_offer(answer, entry, position);
        }
        position++;
    }
    while (!blocks.more && !first && position < vector_blocks(vector)) {
        block_offer(answer, entry, position++);
    }
    if (lacking) {
        exchange_order(
            answer->node, answer->exchange,
            (struct order){ .prefix = { .bits = blocks.hash, .nibbles = 16, .set = blocks.set },
                            .kind = ORDER_BLOCKS });
    }
}

static void wanted_answer(const struct answer *answer, uint64_t hash)
{
    const struct table *table = answer->node->table;
    struct entry *entry = table_find_hash(table, TABLE_M, hash);

    if (entry == NULL) {
        entry = table_find_hash(table, TABLE_D, hash);
    }
    if (entry != NULL) {
        (void)exchange_repair_all(answer->node, answer->now, answer->exchange, entry);
    }
}

/* While we take part in somebody's exchange of a set, we do not begin one: of two with the same
 * peer at the same time, each would find all that the other finds. */
static void begin_wait(struct sync_state *state, struct moment now, enum table_set set)
{
    if (state->begin_us[set] < now.mono_us + TAKING_PART_US) {
        state->begin_us[set] = now.mono_us + TAKING_PART_US;
    }
}

void sync_receive(struct node *node, struct moment now, struct peer *from,
                  const struct message *message, uint32_t salt)
{
    struct answer answer = { .node = node, .now = now, .salt = salt };
    struct run run;
    struct wire_tree tree;
    struct wire_leaf leaf;
    struct wire_blocks blocks;
    uint64_t hash;
    bool answered[TABLE_SET_COUNT];

    if (state_obtain(node) == NULL
        || (answer.exchange = exchange_obtain(node, now, from)) == NULL) {
        return;
    }
    answer.exchange->salted = salt != 0;
    answer.exchange->heard_us = now.mono_us;
    /* Once for all fields: what the first of them orders must not silence the others. */
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        answered[set] = is_answered(&answer, set);
    }
    for (run = message->tree; message_next_tree(&run, &tree);) {
        if (answered[tree.prefix.set]) {
            begin_wait(node->sync.state, now, (enum table_set)tree.prefix.set);
            tree_judge(&answer, message, tree);
        }
    }
    for (run = message->leaves; message_next_leaf(&run, &leaf);) {
        if (answered[leaf.prefix.set]) {
            leaf_answer(&answer, leaf);
        }
    }
    for (run = message->block_digests; message_next_blocks(&run, &blocks);) {
        blocks_answer(&answer, blocks);
    }
    for (run = message->wanted; message_next_wanted(&run, &hash);) {
        wanted_answer(&answer, hash);
    }
    if (exchange_done(answer.exchange)) {
        exchange_free(node, answer.exchange);
    }
}

/* Sending. */

void sync_acked(struct node *node, struct moment now, const struct flight *flight)
{
    struct exchange *exchange = exchange_find(node, flight->peer);

    if (exchange != NULL) {
        exchange->heard_us = now.mono_us;
        exchange->losses = 0;
        exchange->blocked = false;
    }
}

/* Repairs are sent again; digests are not: the next probe begins anew. */
void sync_lost(struct node *node, struct moment now, struct flight *flight)
{
    struct exchange *exchange;

    if (marks_empty(&flight->carried)) {
        return;
    }
    exchange = exchange_obtain(node, now, flight->peer);
    if (exchange == NULL) {
        return;
    }
    exchange->losses++;
    exchange->blocked = false;
    if (exchange->losses > LOSSES_MAX || !flight->peer->member) {
        node->stats.abandoned++;
        exchange_free(node, exchange);
        return;
    }
    node->stats.retries++;
    if (!marks_add_all(&exchange->repairs, node->mem, &flight->carried)) {
        node->stats.memory_refused++;
    }
}

/* The list goes round: who was sent to waits until all others were asked. */
static void exchange_last(struct node *node, struct exchange *exchange)
{
    struct exchange **link = &node->sync.exchanges;

    while (*link != NULL) {
        if (*link == exchange) {
            *link = exchange->next;
        } else {
            link = &(*link)->next;
        }
    }
    exchange->next = NULL;
    *link = exchange;
}

/* Whether the peer still waits for it. One that has not taken part for a while, since others were
 * served before it, has had other probes meanwhile. */
static bool exchange_fresh(const struct node *node, struct moment now,
                           const struct exchange *exchange)
{
    return exchange->peer->level > 0 && node_speaks_extended(node, exchange->peer, now)
           && now.mono_us - exchange->heard_us < STALE_US;
}

size_t sync_emit(struct node *node, struct moment now, struct space space, struct address *to)
{
    struct exchange *exchange = node->sync.exchanges;
    size_t size = 0;

    while (exchange != NULL && size == 0) {
        struct exchange *next = exchange->next;
        struct peer *peer = exchange->peer;

        if (exchange_fresh(node, now, exchange)) {
            size = exchange_emit(node, now, space, exchange);
        }
        if (size > 0) {
            *to = peer->address;
            exchange_last(node, exchange);
        }
        if (exchange_done(exchange) || !exchange_fresh(node, now, exchange)) {
            exchange_free(node, exchange);
        }
        exchange = next;
    }
    return size;
}

void sync_tick(struct node *node, struct moment now)
{
    if (node->sync.state != NULL) {
        recent_tick(&node->sync.hot, node->mem, now.mono_us / 1000);
    }
}

/* Exchanges begin with a probe's ack and go on with answers: nothing here has a time of its own
 * but what may leave at once. */
uint64_t sync_due_us(const struct node *node)
{
    for (const struct exchange *e = node->sync.exchanges; e != NULL; e = e->next) {
        if (!e->blocked) {
            return 0;
        }
    }
    return UINT64_MAX;
}

void sync_drop_peer(struct node *node, struct peer *peer)
{
    struct exchange *exchange = exchange_find(node, peer);

    if (exchange != NULL) {
        exchange_free(node, exchange);
    }
    for (unsigned set = 0; node->sync.state != NULL && set < TABLE_SET_COUNT; set++) {
        struct transfer *transfer = &node->sync.state->transfers[set];

        transfer->from = transfer->from == peer ? NULL : transfer->from;
    }
}

void sync_drop_entry(struct node *node, const struct entry *entry)
{
    for (struct exchange *e = node->sync.exchanges; e != NULL; e = e->next) {
        marks_drop(&e->repairs, node->mem, entry);
    }
}

void sync_clear(struct node *node)
{
    while (node->sync.exchanges != NULL) {
        exchange_free(node, node->sync.exchanges);
    }
    if (node->sync.state != NULL) {
        recent_clear(&node->sync.hot, node->mem);
        mem_free(node->mem, node->sync.state, sizeof *node->sync.state);
        node->sync.state = NULL;
    }
}
