#include "node/exchange.h"

#include "node/clock.h"
#include "node/offer.h"
#include "node/outbox.h"
#include "node/pace.h"
#include "node/peers.h"
#include "node/state.h"
#include "node/work.h"
#include "store/digest.h"
#include "store/marks.h"

#include <assert.h>
#include <string.h>

#define BEHIND_MS       3000 /* two or three rounds more */
#define ORDERS_FIRST    8
#define ORDERS_UNACKED  8  /* more digests than this are a long way: acked */
#define SEND_AHEAD      64 /* blocks turned into repairs at once: more than a datagram holds */
#define SEND_KEYS       16 /* looked up at once */
#define LEAF_ROOM       (EXCHANGE_LEAF_KEYS_MAX * 2)
#define ROOTS_EVERY     8  /* repairs: its ack says whether the peer has got all by now */
#define SEARCHED_ORDERS 64 /* how far back the same order is looked for */
#define SPILL_REFILL    (EXCHANGE_ORDERS_MAX / 4) /* fewer orders: spilled ranges are taken up, */
#define SPILL_TREES     64                        /* so many trees at once */
#define SPILL_KEYS      16                        /* in a prefix: finer ones are not remembered */

/* A list of those with peers that took part within 3 s. */
struct exchanges {
    struct exchange *first; /* is asked first, and then goes to the end */
    struct exchange *last;
};

static void link_last(struct exchanges *all, struct exchange *exchange)
{
    exchange->next = NULL;
    exchange->previous = all->last;
    if (all->last != NULL) {
        all->last->next = exchange;
    } else {
        all->first = exchange;
    }
    all->last = exchange;
}

static void unlink_one(struct exchanges *all, struct exchange *exchange)
{
    if (exchange->previous != NULL) {
        exchange->previous->next = exchange->next;
    } else {
        all->first = exchange->next;
    }
    if (exchange->next != NULL) {
        exchange->next->previous = exchange->previous;
    } else {
        all->last = exchange->previous;
    }
}

void exchange_last(struct node *node, struct exchange *exchange)
{
    unlink_one(node->exchanges, exchange);
    link_last(node->exchanges, exchange);
}

struct exchange *exchange_obtain(struct node *node, struct moment now, struct peer *peer)
{
    struct exchange *exchange = peer->exchange;

    if (exchange == NULL) {
        exchange = mem_alloc_zeroed(node->mem, sizeof *exchange);
        if (exchange == NULL) {
            node->stats.memory_refused++;
            return NULL;
        }
        exchange->peer = peer;
        exchange->heard_us = now.mono_us;
        peer->exchange = exchange;
        link_last(node->exchanges, exchange);
        trace_tell(node, TRACE_EXCHANGE_BEGUN, .peer = peer->address);
    }
    return exchange;
}

static bool orders_grow(struct node *node, struct exchange *exchange)
{
    const uint32_t room = exchange->room == 0 ? ORDERS_FIRST : exchange->room * 2;
    struct order *orders;

    if (room > EXCHANGE_ORDERS_MAX) {
        return false;
    }
    orders = mem_grow(node->mem, exchange->orders, exchange->room * sizeof *orders,
                      room * sizeof *orders);
    if (orders == NULL) {
        node->stats.memory_refused++;
        return false;
    }
    exchange->orders = orders;
    exchange->room = room;
    return true;
}

static bool is_send(uint8_t kind)
{
    return kind == ORDER_SEND || kind == ORDER_STREAM;
}

/* Cursors apart: what is being sent already is not begun again. */
static bool order_equal(const struct order *one, const struct order *other)
{
    return one->kind == other->kind && one->prefix.bits == other->prefix.bits
           && one->prefix.nibbles == other->prefix.nibbles && one->prefix.set == other->prefix.set
           && one->block_last == other->block_last;
}

void exchange_order(struct node *node, struct exchange *exchange, struct order order)
{
    const uint32_t count = exchange->count;

    work_count(node, 1);
    for (uint32_t i = 0; i < count && i < SEARCHED_ORDERS; i++) {
        if (order_equal(&exchange->orders[count - 1 - i], &order)) {
            return;
        }
    }
    if (count == exchange->room && !orders_grow(node, exchange)) {
        exchange_spill(node, exchange, order.prefix);
        return;
    }
    exchange->orders[exchange->count++] = order;
    exchange->counts[order.kind]++;
    exchange->blocked = false;
}

/* The number of nibbles at which a prefix of a set holds a few keys. */
static uint8_t nibbles_of_few(const struct node *node, uint8_t set)
{
    uint64_t keys = sync_keys(node, set);
    uint8_t nibbles = 0;

    while (keys > SPILL_KEYS) {
        keys /= 16;
        nibbles++;
    }
    return nibbles;
}

void exchange_spill(const struct node *node, struct exchange *exchange, struct prefix prefix)
{
    struct spill *spill = &exchange->spills[prefix.set];
    const uint8_t few = nibbles_of_few(node, prefix.set);
    uint8_t nibbles = prefix.nibbles == 0 ? 0 : prefix.nibbles - 1;
    uint64_t below; /* hashes under a prefix of so many nibbles */

    nibbles = nibbles < few ? nibbles : few;
    nibbles = spill->any && spill->nibbles < nibbles ? spill->nibbles : nibbles;
    below = ~UINT64_C(0) >> 4 * nibbles;
    if (!spill->any || prefix.bits < spill->first) {
        spill->first = prefix.bits;
    }
    if (!spill->any || prefix.bits > spill->last) {
        spill->last = prefix.bits;
    }
    spill->first &= ~below;
    spill->last |= below;
    spill->nibbles = nibbles;
    spill->any = true;
}

/* Take up the next part of a spilled range. */
static void spill_refill(struct node *node, struct exchange *exchange, enum table_set set)
{
    struct spill *spill = &exchange->spills[set];

    for (unsigned i = 0; i < SPILL_TREES && spill->any; i++) {
        const struct order order = {
            .prefix = { .bits = spill->first, .nibbles = spill->nibbles, .set = (uint8_t)set },
            .kind = ORDER_TREE,
        };
        const uint64_t last = spill->first | ~UINT64_C(0) >> 4 * spill->nibbles;

        spill->any = last < spill->last;
        spill->first = last + 1;
        exchange_order(node, exchange, order);
    }
}

void exchange_note(struct exchange *exchange, enum table_set set, bool fresh)
{
    if (fresh) {
        exchange->fresh[set]++;
    } else {
        exchange->settled[set]++;
    }
}

void exchange_repair(struct node *node, struct exchange *exchange, struct entry *entry,
                     const struct mark *mark)
{
    struct marks *repairs = &exchange->repairs[entry_set(entry)];

    exchange->blocked = false;
    if (repairs->count >= EXCHANGE_REPAIRS_MAX) {
        exchange_spill(node, exchange,
                       (struct prefix){ .bits = entry_hash(node->table, entry),
                                        .nibbles = 16,
                                        .set = (uint8_t)entry_set(entry) });
    } else if (!marks_add(repairs, node->mem, entry, mark)) {
        node->stats.memory_refused++;
    }
}

void exchange_repair_again(struct node *node, struct exchange *exchange, struct marks *carried)
{
    while (!marks_empty(carried)) {
        const struct marked marked = marks_take(carried, node->mem);

        exchange_repair(node, exchange, marked.entry, &marked.mark);
    }
}

static uint32_t repairs_count(const struct exchange *exchange)
{
    return exchange->repairs[TABLE_MEMBERS].count + exchange->repairs[TABLE_DATA].count;
}

static bool has_order(const struct exchange *exchange, enum order_kind kind, enum table_set set)
{
    for (uint32_t i = 0; exchange->counts[kind] > 0 && i < exchange->count; i++) {
        if (exchange->orders[i].kind == kind && exchange->orders[i].prefix.set == set) {
            return true;
        }
    }
    return false;
}

bool exchange_streams(const struct exchange *exchange, enum table_set set)
{
    return has_order(exchange, ORDER_STREAM, set);
}

bool exchange_repairs(const struct exchange *exchange, enum table_set set)
{
    return !marks_empty(&exchange->repairs[set]) || exchange->spills[set].any
           || has_order(exchange, ORDER_SEND, set) || exchange_streams(exchange, set);
}

void exchange_cancel(struct node *node, struct exchange *exchange, enum table_set set)
{
    uint32_t count = 0;

    exchange->spills[set].any = false;
    marks_clear(&exchange->repairs[set], node->mem);
    for (uint32_t i = 0; i < exchange->count; i++) {
        if (exchange->orders[i].prefix.set == set) {
            exchange->counts[exchange->orders[i].kind]--;
        } else {
            exchange->orders[count++] = exchange->orders[i];
        }
    }
    exchange->count = count;
}

bool offer_is_behind(struct moment now, const struct exchange *exchange, enum table_set set)
{
    struct peer *peer = exchange->peer;

    if (exchange_is_behind(exchange, set)) {
        peer->sync_behind_ms[set] = clock_ms(now) + BEHIND_MS;
    }
    return clock_is_ahead(now, peer->sync_behind_ms[set], BEHIND_MS);
}

/* A block that is written to all the time is under way all the time: it is sent all the same after
 * a few exchanges that ended as they began, and to who lacks so much that more than what is under
 * way must be missing. */
bool sync_offers(const struct node *node, struct moment now, const struct exchange *exchange,
                 const struct entry *entry, uint64_t number)
{
    return offer_is_behind(now, exchange, entry_set(entry))
           || exchange->peer->sync_wait[entry_set(entry)] > PATIENT_ROUNDS
           || !offer_is_fresh(node, now, entry, number);
}

bool exchange_done(const struct exchange *exchange)
{
    return exchange->count == 0 && repairs_count(exchange) == 0
           && !exchange->spills[TABLE_MEMBERS].any && !exchange->spills[TABLE_DATA].any;
}

void exchange_free(struct node *node, struct exchange *exchange)
{
    trace_tell(node, TRACE_EXCHANGE_ENDED, .peer = exchange->peer->address,
               .number = exchange->sent);
    unlink_one(node->exchanges, exchange);
    exchange->peer->exchange = NULL;
    marks_clear(&exchange->repairs[TABLE_MEMBERS], node->mem);
    marks_clear(&exchange->repairs[TABLE_DATA], node->mem);
    mem_free(node->mem, exchange->orders, exchange->room * sizeof exchange->orders[0]);
    mem_free(node->mem, exchange, sizeof *exchange);
}

bool exchanges_create(struct node *node)
{
    node->exchanges = mem_alloc_zeroed(node->mem, sizeof *node->exchanges);
    return node->exchanges != NULL;
}

struct exchange *exchanges_first(const struct node *node)
{
    return node->exchanges->first;
}

void exchanges_free(struct node *node)
{
    while (node->exchanges != NULL && node->exchanges->first != NULL) {
        exchange_free(node, node->exchanges->first);
    }
    part_free(node, node->exchanges, sizeof *node->exchanges);
}

/* Carrying out. Each returns whether the order is done; false: the datagram is full, or the order
 * has become one of another kind. */

static bool tree_put(struct node *node, struct writer *writer, const struct order *order,
                     uint32_t salt)
{
    struct tree_child children[WIRE_TREE_CHILDREN];
    struct wire_tree tree = { .prefix = order->prefix };

    work_count(node, WIRE_TREE_CHILDREN);
    table_children(node->table, order->prefix, children);
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        tree.children[i] = digest_salted(children[i].digest, salt);
    }
    return writer_put_tree(writer, &tree);
}

static bool leaf_put(struct node *node, struct moment now, const struct peer *to,
                     struct writer *writer, struct order *order, uint32_t salt)
{
    struct wire_leaf_pair pairs[LEAF_ROOM];
    struct entry *entries[LEAF_ROOM];
    const size_t found = sync_slice(node, order->prefix, order->prefix.bits, entries, LEAF_ROOM);
    size_t count = 0;

    for (size_t i = 0; i < found; i++) {
        if (!sync_exists_for(node, now, to, entries[i])) {
            continue;
        }
        pairs[count++] = (struct wire_leaf_pair){
            .hash = entry_hash(node->table, entries[i]),
            .digest = digest_salted(entry_digest(entries[i]), salt),
        };
    }
    if (found == LEAF_ROOM && order->prefix.nibbles < 16) {
        order->kind = ORDER_TREE;
        return false;
    }
    return writer_put_leaf(writer, order->prefix, pairs, count);
}

/* Block digests from a number on. The first number listed is always the one to begin with, also
 * when there is no such block (its digest is that of nothing): what is judged is all that lies
 * between the first and the last number. */
static bool blocks_put(struct node *node, struct writer *writer, struct order *order, uint32_t salt)
{
    const uint64_t hash = order->prefix.bits;
    const struct entry *entry = sync_find(node, order->prefix.set, hash);
    const struct vector *vector;
    size_t position;
    size_t count;
    bool more;

    if (entry == NULL || entry_deleted(entry)) {
        return true;
    }
    vector = entry_vector(entry);
    count = vector_blocks(vector);
    position = vector_seek(vector, order->block);
    if (!writer_begin_blocks(writer, order->prefix.set, hash, entry_generation(entry))) {
        return false;
    }
    more = !writer_put_block_digest(
        writer, order->block, digest_salted(vector_block_digest(vector, order->block, hash), salt));
    while (!more && position < count) {
        struct block_room room;
        const uint64_t number = vector_block(vector, position, &room).number;

        work_count(node, 1);
        if (number != order->block) {
            more = !writer_put_block_digest(
                writer, number, digest_salted(vector_block_digest(vector, number, hash), salt));
            order->block = more ? number : order->block;
        }
        position += more ? 0 : 1;
    }
    writer_end_blocks(writer, more);
    return !more;
}

static bool order_put(struct node *node, struct moment now, const struct peer *to,
                      struct writer *writer, struct order *order, uint32_t salt)
{
    switch (order->kind) {
    case ORDER_TREE: return tree_put(node, writer, order, salt);
    case ORDER_LEAF: return leaf_put(node, now, to, writer, order, salt);
    case ORDER_BLOCKS: return blocks_put(node, writer, order, salt);
    case ORDER_WANT: return writer_put_wanted(writer, &order->prefix.bits, 1) == 1;
    default: return false;
    }
}

/* Put all orders of a kind that fit, oldest first. Returns how many. */
static uint32_t orders_put(struct node *node, struct moment now, struct writer *writer,
                           struct exchange *exchange, enum order_kind kind, uint32_t salt)
{
    uint32_t put = 0;
    uint32_t kept = 0;
    bool room = exchange->counts[kind] > 0;

    if (!room) {
        return 0;
    }
    for (uint32_t i = 0; i < exchange->count; i++) {
        struct order *order = &exchange->orders[i];

        if (room && order->kind == kind) {
            const bool done = order_put(node, now, exchange->peer, writer, order, salt);

            /* A list that has grown too long is a tree of the next datagram: in this one trees are
             * past. */
            room = done || order->kind != kind;
            exchange->counts[kind] -= room;
            exchange->counts[order->kind] += room && !done;
            if (done) {
                put++;
                continue;
            }
        }
        exchange->orders[kept++] = *order;
    }
    exchange->count = kept;
    return put;
}

static uint32_t sends_count(const struct exchange *exchange)
{
    return exchange->counts[ORDER_SEND] + exchange->counts[ORDER_STREAM];
}

static uint32_t digests_count(const struct exchange *exchange)
{
    return exchange->counts[ORDER_TREE] + exchange->counts[ORDER_LEAF]
           + exchange->counts[ORDER_WANT]
           + (repairs_count(exchange) == 0 ? exchange->counts[ORDER_BLOCKS] : 0);
}

/* Note that the datagram just encoded waits for its ack. */
static void exchange_fly(struct node *node, struct moment now, struct peer *peer,
                         struct marks *carried)
{
    const struct flight_plan plan = { .kind = FLIGHT_SYNC,
                                      .tries = 1,
                                      .due_us = now.mono_us + pace_rto_us(node, peer) };

    (void)outbox_fly(node, now, peer, &plan, carried);
}

/* Digests are salted by the datagram's sequence number, where it has one: then two that are equal
 * by chance under one salt are not under the next. */
static size_t digests_emit(struct node *node, struct moment now, struct space space,
                           struct exchange *exchange)
{
    const bool acked = digests_count(exchange) > ORDERS_UNACKED || exchange->salted;
    struct peer *peer = exchange->peer;
    struct envelope envelope = { 0 };
    struct writer writer;
    size_t size;

    exchange->blocked = acked && !pace_window_allows(peer);
    if (exchange->blocked) {
        return 0;
    }
    if (acked) {
        envelope.has = WIRE_HAS_SEQUENCE;
        envelope.sequence = outbox_sequence(node, peer);
    }
    outbox_begin(node, now, peer, &writer, space, &envelope);
    (void)orders_put(node, now, &writer, exchange, ORDER_TREE, envelope.sequence);
    (void)orders_put(node, now, &writer, exchange, ORDER_LEAF, envelope.sequence);
    if (repairs_count(exchange) == 0) {
        (void)orders_put(node, now, &writer, exchange, ORDER_BLOCKS, envelope.sequence);
    }
    (void)orders_put(node, now, &writer, exchange, ORDER_WANT, envelope.sequence);
    size = outbox_end(node, now, peer, &writer, NODE_KIND_SYNC);
    if (acked) {
        exchange_fly(node, now, peer, NULL);
    }
    return size;
}

/* Turn the next blocks of a key into repairs, as many as there is room and work for. False: some
 * are left, and the order's cursor stands before them. */
static bool key_advance(struct node *node, struct moment now, struct exchange *exchange,
                        struct entry *entry, struct order *order)
{
    const struct vector *vector = entry_vector(entry);
    const size_t count =
        sync_exists_for(node, now, exchange->peer, entry) ? vector_blocks(vector) : 0;
    struct block_room room;

    for (size_t i = vector_seek(vector, order->block); i < count; i++) {
        const struct block block = vector_block(vector, i, &room);
        const struct mark mark = block_mark(&block);

        if (block.number > order->block_last) {
            break;
        }
        if (repairs_count(exchange) >= SEND_AHEAD || !work_emit_allows(node)) {
            order->block = block.number;
            return false;
        }
        work_count(node, 1);
        if (sync_offers(node, now, exchange, entry, block.number)) {
            exchange_repair(node, exchange, entry, &mark);
        }
    }
    order->block = 0;
    return true;
}

/* Turn the next keys of an order into repairs. True: the order is done. */
static bool send_advance(struct node *node, struct moment now, struct exchange *exchange,
                         struct order *order)
{
    struct entry *entries[SEND_KEYS];
    size_t count = SEND_KEYS;

    while (count == SEND_KEYS) {
        if (!work_emit_allows(node)) {
            return false;
        }
        count = sync_slice(node, order->prefix, order->from, entries, SEND_KEYS);
        for (size_t i = 0; i < count; i++) {
            const uint64_t hash = entry_hash(node->table, entries[i]);

            if (hash != order->from) {
                order->from = hash;
                order->block = 0;
            }
            if (key_advance(node, now, exchange, entries[i], order)) {
                continue;
            }
            /* The cursor cannot tell keys of equal hash apart: of the later ones the rest is
             * missed. */
            if (i > 0 && entry_hash(node->table, entries[i - 1]) == hash) {
                order->from = hash + 1;
                order->block = 0;
            }
            return order->from == 0;
        }
        order->from += count > 0;
        count = order->from == 0 ? 0 : count;
    }
    return true;
}

/* Turn the oldest orders to send into repairs, until these are enough. */
static void sends_advance(struct node *node, struct moment now, struct exchange *exchange)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < exchange->count; i++) {
        struct order *order = &exchange->orders[i];

        if (is_send(order->kind) && repairs_count(exchange) < SEND_AHEAD && work_emit_allows(node)
            && send_advance(node, now, exchange, order)) {
            exchange->counts[order->kind]--;
            continue;
        }
        exchange->orders[kept++] = *order;
    }
    exchange->count = kept;
}

static size_t repairs_emit(struct node *node, struct moment now, struct space space,
                           struct exchange *exchange)
{
    struct envelope envelope = {
        .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH,
        .sequence = outbox_sequence(node, exchange->peer),
        .depth = WIRE_DEPTH_STOP,
    };
    struct peer *peer = exchange->peer;
    struct marks carried = { 0 };
    struct writer writer;
    size_t size;

    exchange->blocked = !pace_window_allows(peer);
    if (exchange->blocked) {
        return 0;
    }
    if (repairs_count(exchange) < SEND_AHEAD && sends_count(exchange) > 0) {
        sends_advance(node, now, exchange);
    }
    if (repairs_count(exchange) == 0) {
        return 0;
    }
    exchange->sent++;
    if (exchange->sent % ROOTS_EVERY == 0) {
        outbox_put_roots(node, peer, envelope.sequence, &envelope);
    }
    outbox_begin(node, now, peer, &writer, space, &envelope);
    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        node->stats.sync_keys_sent +=
            marks_put_items(&exchange->repairs[set], node->table, node->mem, &writer, &carried);
    }
    size = outbox_end(node, now, peer, &writer, NODE_KIND_SYNC);
    exchange_fly(node, now, peer, &carried);
    return size;
}

size_t exchange_emit(struct node *node, struct moment now, struct space space,
                     struct exchange *exchange)
{
    size_t size = 0;

    for (unsigned set = 0; set < TABLE_SET_COUNT; set++) {
        if (exchange->spills[set].any && exchange->count < SPILL_REFILL
            && !exchange_streams(exchange, (enum table_set)set)) {
            spill_refill(node, exchange, (enum table_set)set);
        }
    }
    if (digests_count(exchange) > 0) {
        size = digests_emit(node, now, space, exchange);
    }
    if (size == 0 && (repairs_count(exchange) > 0 || sends_count(exchange) > 0)) {
        size = repairs_emit(node, now, space, exchange);
    }
    return size;
}
