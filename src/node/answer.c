#include "node/answer.h"

#include "base/hash.h"
#include "node/audit.h"
#include "node/exchange.h"
#include "node/lag.h"
#include "node/offer.h"
#include "node/outbox.h"
#include "node/peers.h"
#include "node/state.h"
#include "store/digest.h"

#define MANY_DIFFERENT  8  /* children in one datagram: then leaf lists are kept short, */
#define LEAF_KEYS_SHORT 10 /* since one more level costs less than that many keys */
#define BIG_ELEMENTS    256
#define LISTED_MORE     8   /* keys of ours looked at for a leaf list beyond twice its own */
#define LEAF_LOOKED_MAX 256 /* in all: a list in a datagram of ours has 96 */
#define SETTLED_SHARE   2   /* keys may be on their way to us for one that is on its way to them, */
#define SETTLED_MORE    8   /* and so many more */
#define FINDS_AT_ONCE   1024 /* units of work, for keys and prefixes that a datagram names */
#define FRESH_BLOCKS    4 /* of a key that are looked at: one that is not fresh makes it settled */

struct answer {
    struct node *node;
    struct exchange *exchange;
    struct moment now;
    uint32_t salt;
    uint64_t begun; /* work done before */
    unsigned leaf_keys_max;
    bool streams[TABLE_SET_COUNT]; /* to this peer, before this datagram */
    uint32_t fresh;                /* keys of data that differ and changed lately */
    uint32_t settled;              /* and that did not */
    bool old;                      /* as in struct answered */
    bool audited;                  /* an audit of this datagram was added up */
};

static uint64_t prefix_mask(unsigned nibbles)
{
    return nibbles == 0 ? 0 : ~UINT64_C(0) << (64 - 4 * nibbles);
}

/* While a stream of the set goes to the peer, what it asks for is likely to be in it: once that has
 * ended, the two look again for what still differs. */
static bool is_put_off(const struct answer *answer, unsigned set)
{
    if (answer->streams[set]) {
        exchange_spill(answer->node, answer->exchange, (struct prefix){ .set = (uint8_t)set });
    }
    return answer->streams[set];
}

/* To find a key by its hash takes microseconds, and to ask for it a few bytes: beyond some, what is
 * asked is kept, and looked at while datagrams leave. */
static bool finds_allowed(const struct answer *answer)
{
    return answer->node->work_done - answer->begun < FINDS_AT_ONCE;
}

static bool peer_refuses_keys(const struct exchange *exchange)
{
    return (exchange->peer->flags_theirs & WIRE_FLAG_FULL) != 0;
}

/* Some of the first blocks of a key did not change lately, or there are many. */
static bool is_settled(const struct answer *answer, const struct entry *entry)
{
    const struct vector *vector = entry_vector(entry);
    const size_t count = vector_blocks(vector);
    struct block_room room;

    for (size_t i = 0; i < count && i < FRESH_BLOCKS; i++) {
        if (!offer_is_fresh(answer->node, answer->now, entry,
                            vector_block(vector, i, &room).number)) {
            return true;
        }
    }
    return count > FRESH_BLOCKS;
}

static void difference_note(struct answer *answer, enum table_set set, uint64_t difference,
                            bool settled)
{
    exchange_note(answer->exchange, set, !settled);
    if (set == TABLE_DATA) {
        answer->fresh += !settled;
        answer->settled += settled;
        answer->old =
            (settled && lag_is_old(answer->node, answer->now, answer->exchange->peer, difference))
            || answer->old;
    }
}

/* A key of ours differs, or they have it not: note that, and tell whether it is to be sent. */
static bool is_due(struct answer *answer, const struct entry *entry)
{
    const enum table_set set = entry_set(entry);
    const bool settled = is_settled(answer, entry);

    work_count(answer->node, 1);
    difference_note(answer, set,
                    hash_mix(entry_hash(answer->node->table, entry), entry_digest(entry)), settled);
    return settled || offer_is_behind(answer->now, answer->exchange, set)
           || answer->exchange->peer->sync_wait[set] > PATIENT_ROUNDS;
}

static struct prefix prefix_of(unsigned set, uint64_t hash)
{
    return (struct prefix){ .bits = hash, .nibbles = 16, .set = (uint8_t)set };
}

static void order_send(const struct answer *answer, struct prefix key, uint64_t first,
                       uint64_t last)
{
    exchange_order(answer->node, answer->exchange,
                   (struct order){ .prefix = key,
                                   .from = key.bits,
                                   .block = first,
                                   .block_last = last,
                                   .kind = ORDER_SEND });
}

static void send(const struct answer *answer, const struct entry *entry, uint64_t first,
                 uint64_t last)
{
    order_send(answer, prefix_of(entry_set(entry), entry_hash(answer->node->table, entry)), first,
               last);
}

static void ours_only(struct answer *answer, const struct entry *entry)
{
    if (!peer_refuses_keys(answer->exchange)
        && sync_exists_for(answer->node, answer->now, answer->exchange->peer, entry)
        && is_due(answer, entry)) {
        send(answer, entry, 0, UINT64_MAX);
    }
}

/* They have nothing under a prefix: a few keys go among others, many in a stream, which puts off
 * other answers while it lasts. */
static void prefix_offer(const struct answer *answer, struct prefix prefix, uint64_t keys)
{
    if (!peer_refuses_keys(answer->exchange)) {
        exchange_order(
            answer->node, answer->exchange,
            (struct order){ .prefix = prefix,
                            .from = prefix.bits,
                            .block_last = UINT64_MAX,
                            .kind = keys > EXCHANGE_LEAF_KEYS_MAX ? ORDER_STREAM : ORDER_SEND });
    }
}

/* How many keys of ours are to be expected under a prefix: hashes are spread evenly. */
static uint64_t keys_likely(const struct answer *answer, struct prefix prefix)
{
    const uint64_t keys = sync_keys(answer->node, prefix.set);

    return prefix.nibbles == 16 ? 1 : keys >> 4 * prefix.nibbles;
}

static void child_answer(const struct answer *answer, struct prefix child,
                         const struct tree_child *ours, uint32_t theirs)
{
    struct order order = { .prefix = child, .kind = ORDER_TREE };

    if (theirs == digest_salted(0, answer->salt)) {
        prefix_offer(answer, child, ours->keys);
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

    work_count(answer->node, WIRE_TREE_CHILDREN);
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
static void audit_answer(struct answer *answer, struct wire_tree theirs)
{
    const unsigned shift = 60 - 4 * (unsigned)theirs.prefix.nibbles;
    struct wire_tree ours = { .prefix = theirs.prefix };

    if (answer->audited || !audit_add_up(answer->node, answer->now, &ours, answer->salt)) {
        return;
    }
    answer->audited = true;
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
    const uint32_t now_min = table_root_minute(answer->node->table);
    const uint32_t minute = (envelope->has & WIRE_HAS_MINUTE) != 0 ? envelope->minute : now_min;
    uint32_t ours[2];

    tree.prefix.bits &= prefix_mask(tree.prefix.nibbles);
    if ((envelope->has & WIRE_HAS_ROOTS) == 0) {
        tree_answer(answer, tree, message->tree.left);
        return;
    }
    if (tree.prefix.set == TABLE_DATA
        && ((envelope->has & WIRE_HAS_LATER) != 0 || minute != now_min)) {
        return; /* keys may have ended in between */
    }
    outbox_roots(answer->node, answer->salt, minute, ours);
    if (ours[tree.prefix.set] == envelope->roots[tree.prefix.set]) {
        audit_answer(answer, tree);
    }
}

static void want(const struct answer *answer, unsigned set, uint64_t hash)
{
    exchange_order(answer->node, answer->exchange,
                   (struct order){ .prefix = prefix_of(set, hash), .kind = ORDER_WANT });
}

/* A key of theirs that we have not. A full store asks for nothing new. */
static void theirs_only(struct answer *answer, const struct wire_leaf *leaf, uint64_t hash)
{
    const struct node *node = answer->node;

    difference_note(answer, (enum table_set)leaf->prefix.set, hash, true);
    if (!sync_is_full(node, answer->now)) {
        want(answer, leaf->prefix.set, hash);
    }
}

static void order_blocks(const struct answer *answer, unsigned set, uint64_t hash)
{
    exchange_order(answer->node, answer->exchange,
                   (struct order){ .prefix = prefix_of(set, hash), .kind = ORDER_BLOCKS });
}

/* Both have it, and differently: a small one is sent and asked for, of a big one the blocks are
 * compared first. */
static void both_differ(struct answer *answer, const struct entry *entry)
{
    const uint64_t hash = entry_hash(answer->node->table, entry);

    if (!sync_exists(answer->node, answer->now, entry)) {
        return;
    }
    if (vector_size(entry_vector(entry)) > BIG_ELEMENTS) {
        order_blocks(answer, entry_set(entry), hash);
    } else if (is_due(answer, entry)) {
        send(answer, entry, 0, UINT64_MAX);
        want(answer, entry_set(entry), hash);
    }
}

/* Where we have much more under a prefix than they listed, all of it is sent, whatever of it they
 * have: that is less than what comparing would take. Of what they listed, what is not ours is asked
 * for. */
static void leaf_answer_all(struct answer *answer, const struct wire_leaf *leaf)
{
    const size_t listed = leaf->pairs.size / WIRE_LEAF_PAIR_BYTES;

    for (size_t i = 0; i < listed; i++) {
        const struct wire_leaf_pair pair = wire_leaf_at(leaf, i);
        const struct entry *entry;

        if (!finds_allowed(answer)) {
            exchange_spill(answer->node, answer->exchange, leaf->prefix);
            break;
        }
        entry = sync_find(answer->node, (enum table_set)leaf->prefix.set, pair.hash);
        if (entry == NULL) {
            theirs_only(answer, leaf, pair.hash);
        } else if (digest_salted(entry_digest(entry), answer->salt) != pair.digest) {
            both_differ(answer, entry);
        }
    }
    prefix_offer(answer, leaf->prefix, keys_likely(answer, leaf->prefix));
}

/* How many keys of ours are looked at for a list of so many. */
static size_t leaf_looked(size_t listed)
{
    const size_t looked = 2 * listed + LISTED_MORE;

    return looked < LEAF_LOOKED_MAX ? looked : LEAF_LOOKED_MAX - 1;
}

/* Judge one key of ours beside what is left of their list, both ascending by hash. */
static void leaf_judge(struct answer *answer, const struct wire_leaf *leaf, size_t *at,
                       const struct entry *entry)
{
    const size_t listed = leaf->pairs.size / WIRE_LEAF_PAIR_BYTES;
    const uint64_t hash = entry_hash(answer->node->table, entry);
    struct wire_leaf_pair pair = { 0 };

    /* cppcheck-suppress redundantInitialization ; gcc would not see that it is set */
    while (*at < listed && (pair = wire_leaf_at(leaf, *at)).hash < hash) {
        theirs_only(answer, leaf, pair.hash);
        (*at)++;
    }
    if (*at == listed || pair.hash != hash) {
        ours_only(answer, entry);
        return;
    }
    (*at)++;
    if (digest_salted(entry_digest(entry), answer->salt) != pair.digest) {
        both_differ(answer, entry);
    }
}

static void leaf_answer(struct answer *answer, struct wire_leaf leaf)
{
    const size_t listed = leaf.pairs.size / WIRE_LEAF_PAIR_BYTES;
    struct entry *entries[LEAF_LOOKED_MAX];
    size_t found;
    size_t at = 0;

    leaf.prefix.bits &= prefix_mask(leaf.prefix.nibbles);
    if (listed == 0) {
        prefix_offer(answer, leaf.prefix, keys_likely(answer, leaf.prefix));
        return;
    }
    if (!finds_allowed(answer)) {
        exchange_spill(answer->node, answer->exchange, leaf.prefix);
        return;
    }
    found =
        sync_slice(answer->node, leaf.prefix, leaf.prefix.bits, entries, leaf_looked(listed) + 1);
    work_count(answer->node, listed);
    if (found > leaf_looked(listed)) {
        leaf_answer_all(answer, &leaf);
        return;
    }
    for (size_t i = 0; i < found; i++) {
        leaf_judge(answer, &leaf, &at, entries[i]);
    }
    for (; at < listed; at++) {
        theirs_only(answer, &leaf, wire_leaf_at(&leaf, at).hash);
    }
}

/* A block of ours: theirs differs. */
static void block_offer(const struct answer *answer, struct entry *entry, size_t position)
{
    struct block_room room;
    const struct block block = vector_block(entry_vector(entry), position, &room);
    const struct mark mark = block_mark(&block);

    if (sync_offers(answer->node, answer->now, answer->exchange, entry, block.number)) {
        exchange_repair(answer->node, answer->exchange, entry, &mark);
    }
}

/* Compare one block that they listed. Returns whether they have one that we have not. */
static bool block_judge(const struct answer *answer, struct entry *entry, uint64_t number,
                        uint32_t theirs)
{
    const struct vector *vector = entry_vector(entry);
    const size_t position = vector_seek(vector, number);
    struct block_room room;

    work_count(answer->node, 2);
    if (position == vector_blocks(vector)
        || vector_block(vector, position, &room).number != number) {
        return theirs != digest_salted(0, answer->salt);
    }
    if (theirs
        != digest_salted(
            vector_block_digest(vector, number, entry_hash(answer->node->table, entry)),
            answer->salt)) {
        block_offer(answer, entry, position);
    }
    return false;
}

/* Blocks of ours between two numbers: they have none there. */
static void gap_offer(const struct answer *answer, const struct entry *entry, uint64_t first,
                      uint64_t last)
{
    const struct vector *vector = entry_vector(entry);
    const size_t position = vector_seek(vector, first);
    struct block_room room;

    if (position < vector_blocks(vector) && vector_block(vector, position, &room).number <= last) {
        send(answer, entry, first, last);
    }
}

/* Blocks of another generation than ours, or of ours where it has none, say nothing of our blocks:
 * whoever has the lesser gets all. Returns whether it was so. */
static bool generations_differ(struct answer *answer, const struct entry *entry,
                               const struct wire_blocks *blocks)
{
    if (blocks->generation == entry_generation(entry) && !entry_deleted(entry)) {
        return false;
    }
    if (blocks->generation >= entry_generation(entry)) {
        want(answer, blocks->set, blocks->hash);
    } else if (is_due(answer, entry)) {
        send(answer, entry, 0, UINT64_MAX);
    }
    return true;
}

/* Judge all our blocks from the first number listed to the last, and to the end where there are no
 * more. Where they have blocks that we have not, our own digests make them send these. */
static void blocks_answer(struct answer *answer, struct wire_blocks blocks)
{
    struct entry *entry;
    bool lacking = false;
    bool first = true;
    uint64_t next = 0; /* the first number not judged yet; 0 after the last there can be */
    uint64_t number;
    uint32_t digest;

    if (blocks.set >= TABLE_SET_COUNT) {
        return;
    }
    if (!finds_allowed(answer)) {
        exchange_spill(answer->node, answer->exchange, prefix_of(blocks.set, blocks.hash));
        return;
    }
    entry = sync_find(answer->node, (enum table_set)blocks.set, blocks.hash);
    if (entry == NULL || !sync_exists(answer->node, answer->now, entry)
        || generations_differ(answer, entry, &blocks)) {
        return;
    }
    while (wire_blocks_next(&blocks, &number, &digest)) {
        if (!first && number > next) {
            gap_offer(answer, entry, next, number - 1);
        }
        lacking = block_judge(answer, entry, number, digest) || lacking;
        first = false;
        next = number + 1;
    }
    if (!blocks.more && !first && next != 0) {
        gap_offer(answer, entry, next, UINT64_MAX);
    }
    if (lacking) {
        order_blocks(answer, blocks.set, blocks.hash);
    }
}

/* Whoever wants much of what did not change lately is behind and gets all of it; else what may be
 * under way by push is left to that. */
static void wanted_answer(struct answer *answer, uint64_t hash)
{
    const struct entry *entry;

    if (!finds_allowed(answer)) {
        order_send(answer, prefix_of(TABLE_MEMBERS, hash), 0, UINT64_MAX);
        order_send(answer, prefix_of(TABLE_DATA, hash), 0, UINT64_MAX);
        return;
    }
    entry = sync_find(answer->node, TABLE_MEMBERS, hash);
    if (entry == NULL) {
        entry = sync_find(answer->node, TABLE_DATA, hash);
    }
    if (entry != NULL && sync_exists(answer->node, answer->now, entry) && is_due(answer, entry)) {
        send(answer, entry, 0, UINT64_MAX);
    }
}

struct answered answer_fields(struct node *node, struct moment now, struct exchange *exchange,
                              const struct message *message, uint32_t salt,
                              const bool listens[TABLE_SET_COUNT])
{
    struct answer answer = {
        .node = node, .exchange = exchange, .now = now, .salt = salt, .begun = node->work_done
    };
    struct answered answered = { .differs = false };
    struct run run;
    struct wire_tree tree;
    struct wire_leaf leaf;
    struct wire_blocks blocks;
    uint64_t hash;

    /* Once for all fields: what the first of them orders must not silence the others. */
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        answer.streams[set] = exchange_streams(exchange, (enum table_set)set);
    }
    for (run = message->tree; message_next_tree(&run, &tree);) {
        answered.any[tree.prefix.set] = true;
        if (listens[tree.prefix.set] && !is_put_off(&answer, tree.prefix.set)) {
            answered.tree[tree.prefix.set] = true;
            tree_judge(&answer, message, tree);
        }
    }
    for (run = message->leaves; message_next_leaf(&run, &leaf);) {
        answered.any[leaf.prefix.set] = true;
        if (listens[leaf.prefix.set] && !is_put_off(&answer, leaf.prefix.set)) {
            leaf_answer(&answer, leaf);
        }
    }
    answered.differs = answer.fresh > 0 || answer.settled > 0;
    answered.old = answer.old || answer.settled > SETTLED_MORE + SETTLED_SHARE * answer.fresh;
    for (run = message->block_digests; message_next_blocks(&run, &blocks);) {
        blocks_answer(&answer, blocks);
    }
    for (run = message->wanted; message_next_wanted(&run, &hash);) {
        wanted_answer(&answer, hash);
    }
    return answered;
}
