#include "node/exchange.h"

#include "node/offer.h"
#include "node/state.h"
#include "store/digest.h"

#include <assert.h>
#include <string.h>

#define ORDERS_FIRST    8
#define ORDERS_UNACKED  8  /* more digests than this are a long way: acked */
#define STREAM_SLICE    16 /* keys of a stream turned into repairs at once */
#define LEAF_ROOM       (EXCHANGE_LEAF_KEYS_MAX * 2)
#define TRANSFER_MARKS  2048
#define ROOTS_EVERY     8  /* repairs: its ack says whether the peer has got all by now */
#define SEARCHED_ORDERS 64 /* how far back the same order is looked for */

struct exchange *exchange_find(const struct node *node, const struct peer *peer)
{
    struct exchange *exchange = node->sync.exchanges;

    while (exchange != NULL && exchange->peer != peer) {
        exchange = exchange->next;
    }
    return exchange;
}

struct exchange *exchange_obtain(struct node *node, struct moment now, struct peer *peer)
{
    struct exchange *exchange = exchange_find(node, peer);

    if (exchange == NULL) {
        exchange = mem_alloc_zeroed(node->mem, sizeof *exchange);
        if (exchange == NULL) {
            node->stats.memory_refused++;
            return NULL;
        }
        exchange->peer = peer;
        exchange->heard_us = now.mono_us;
        exchange->next = node->sync.exchanges;
        node->sync.exchanges = exchange;
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

static bool order_equal(const struct order *one, const struct order *other)
{
    return one->kind == other->kind && one->prefix.bits == other->prefix.bits
           && one->prefix.nibbles == other->prefix.nibbles && one->prefix.set == other->prefix.set;
}

void exchange_order(struct node *node, struct exchange *exchange, struct order order)
{
    const uint32_t count = exchange->count;

    for (uint32_t i = 0; i < count && i < SEARCHED_ORDERS; i++) {
        if (order_equal(&exchange->orders[count - 1 - i], &order)) {
            return;
        }
    }
    if (count == exchange->room && !orders_grow(node, exchange)) {
        return;
    }
    exchange->orders[exchange->count++] = order;
    exchange->counts[order.kind]++;
    exchange->blocked = false;
}

static void order_remove(struct exchange *exchange, uint32_t position)
{
    exchange->counts[exchange->orders[position].kind]--;
    exchange->count--;
    memmove(&exchange->orders[position], &exchange->orders[position + 1],
            (exchange->count - position) * sizeof exchange->orders[0]);
}

void exchange_repair(struct node *node, struct exchange *exchange, struct entry *entry,
                     const struct mark *mark)
{
    exchange->blocked = false;
    if (exchange->repairs.count < EXCHANGE_REPAIRS_MAX
        && !marks_add(&exchange->repairs, node->mem, entry, mark)) {
        node->stats.memory_refused++;
    }
}

bool exchange_repair_all(struct node *node, struct moment now, struct exchange *exchange,
                         struct entry *entry)
{
    const struct vector *vector = entry_vector(entry);
    const size_t count = sync_exists(node, now, entry) ? vector_blocks(vector) : 0;
    struct block_room room;
    bool any = false;

    for (size_t i = 0; i < count; i++) {
        const struct block block = vector_block(vector, i, &room);
        const struct mark mark = block_mark(&block);

        if (sync_offers(node, now, exchange->peer, entry, block.number)) {
            exchange_repair(node, exchange, entry, &mark);
            any = true;
        }
    }
    return any;
}

static bool repairs_begin_with(const struct exchange *exchange, enum table_set set)
{
    const struct marked *first = marks_first(&exchange->repairs);

    return first != NULL && entry_set(first->entry) == set;
}

static bool exchange_streams(const struct exchange *exchange, enum table_set set)
{
    for (uint32_t i = 0; exchange->counts[ORDER_STREAM] > 0 && i < exchange->count; i++) {
        if (exchange->orders[i].kind == ORDER_STREAM && exchange->orders[i].prefix.set == set) {
            return true;
        }
    }
    return false;
}

bool exchange_repairs(const struct exchange *exchange, enum table_set set)
{
    return repairs_begin_with(exchange, set) || exchange_streams(exchange, set);
}

bool exchange_transfers(const struct exchange *exchange, enum table_set set)
{
    return (repairs_begin_with(exchange, set) && exchange->repairs.count > TRANSFER_MARKS)
           || exchange_streams(exchange, set);
}

void exchange_cancel(struct node *node, struct exchange *exchange, enum table_set set)
{
    struct marks kept = { 0 };
    uint32_t count = 0;

    for (uint32_t i = 0; i < exchange->count; i++) {
        if (exchange->orders[i].prefix.set == set) {
            exchange->counts[exchange->orders[i].kind]--;
        } else {
            exchange->orders[count++] = exchange->orders[i];
        }
    }
    exchange->count = count;
    while (!marks_empty(&exchange->repairs)) {
        const struct marked marked = *marks_first(&exchange->repairs);

        if (entry_set(marked.entry) != set
            && !marks_add(&kept, node->mem, marked.entry, &marked.mark)) {
            node->stats.memory_refused++;
        }
        marks_remove(&exchange->repairs, node->mem, marked.entry, &marked.mark);
    }
    marks_clear(&exchange->repairs, node->mem);
    exchange->repairs = kept;
}

bool exchange_done(const struct exchange *exchange)
{
    return exchange->count == 0 && marks_empty(&exchange->repairs);
}

void exchange_free(struct node *node, struct exchange *exchange)
{
    struct exchange **link = &node->sync.exchanges;

    while (*link != exchange) {
        link = &(*link)->next;
    }
    *link = exchange->next;
    marks_clear(&exchange->repairs, node->mem);
    mem_free(node->mem, exchange->orders, exchange->room * sizeof exchange->orders[0]);
    mem_free(node->mem, exchange, sizeof *exchange);
}

/* Carrying out. Each returns whether the order is done; false: the datagram is full. */

static bool tree_put(struct node *node, struct writer *writer, const struct order *order,
                     uint32_t salt)
{
    struct tree_child children[WIRE_TREE_CHILDREN];
    struct wire_tree tree = { .prefix = order->prefix };

    table_children(node->table, order->prefix, children);
    for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
        tree.children[i] = digest_salted(children[i].digest, salt);
    }
    return writer_put_tree(writer, &tree);
}

static bool leaf_put(struct node *node, struct moment now, struct writer *writer,
                     struct order *order, uint32_t salt)
{
    struct wire_leaf_pair pairs[LEAF_ROOM];
    struct entry *entries[LEAF_ROOM];
    const size_t found =
        table_slice_hash(node->table, order->prefix, order->prefix.bits, entries, LEAF_ROOM);
    size_t count = 0;

    for (size_t i = 0; i < found; i++) {
        if (!sync_exists(node, now, entries[i])) {
            continue;
        }
        pairs[count++] = (struct wire_leaf_pair){
            .hash = entry_hash(node->table, entries[i]),
            .digest = digest_salted(entry_digest(entries[i]), salt),
        };
    }
    if (found == LEAF_ROOM && order->prefix.nibbles < 16) {
        return tree_put(node, writer, order, salt);
    }
    return writer_put_leaf(writer, order->prefix, pairs, count);
}

/* Block digests from a number on. The first number listed is always the one to begin with, also
 * when there is no such block (its digest is that of nothing): what is judged is all that lies
 * between the first and the last number. */
static bool blocks_put(struct node *node, struct writer *writer, struct order *order, uint32_t salt)
{
    const uint64_t hash = order->prefix.bits;
    const struct entry *entry = table_find_hash(node->table, order->prefix.set, hash);
    const struct vector *vector;
    size_t position;
    size_t count;
    bool more;

    if (entry == NULL) {
        return true;
    }
    vector = entry_vector(entry);
    count = vector_blocks(vector);
    position = vector_seek(vector, order->at);
    if (!writer_begin_blocks(writer, order->prefix.set, hash)) {
        return false;
    }
    more = !writer_put_block_digest(
        writer, order->at, digest_salted(vector_block_digest(vector, order->at, hash), salt));
    while (!more && position < count) {
        struct block_room room;
        const uint64_t number = vector_block(vector, position, &room).number;

        if (number != order->at) {
            more = !writer_put_block_digest(
                writer, number, digest_salted(vector_block_digest(vector, number, hash), salt));
            order->at = more ? number : order->at;
        }
        position += more ? 0 : 1;
    }
    writer_end_blocks(writer, more);
    return !more;
}

static bool order_put(struct node *node, struct moment now, struct writer *writer,
                      struct order *order, uint32_t salt)
{
    switch (order->kind) {
    case ORDER_TREE: return tree_put(node, writer, order, salt);
    case ORDER_LEAF: return leaf_put(node, now, writer, order, salt);
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
            room = order_put(node, now, writer, order, salt);
            if (room) {
                exchange->counts[kind]--;
                put++;
                continue;
            }
        }
        exchange->orders[kept++] = *order;
    }
    exchange->count = kept;
    return put;
}

static uint32_t digests_count(const struct exchange *exchange)
{
    return exchange->counts[ORDER_TREE] + exchange->counts[ORDER_LEAF]
           + exchange->counts[ORDER_WANT]
           + (marks_empty(&exchange->repairs) ? exchange->counts[ORDER_BLOCKS] : 0);
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
        envelope.sequence = outbox_sequence(node);
    }
    outbox_begin(node, now, peer, &writer, space, &envelope);
    (void)orders_put(node, now, &writer, exchange, ORDER_TREE, envelope.sequence);
    (void)orders_put(node, now, &writer, exchange, ORDER_LEAF, envelope.sequence);
    if (marks_empty(&exchange->repairs)) {
        (void)orders_put(node, now, &writer, exchange, ORDER_BLOCKS, envelope.sequence);
    }
    (void)orders_put(node, now, &writer, exchange, ORDER_WANT, envelope.sequence);
    size = outbox_end(node, now, peer, &writer, NODE_KIND_SYNC);
    if (acked) {
        exchange_fly(node, now, peer, NULL);
    }
    return size;
}

/* Turn the next keys of the oldest stream into repairs. */
static void stream_advance(struct node *node, struct moment now, struct exchange *exchange)
{
    struct entry *entries[STREAM_SLICE];
    struct order *order;
    uint32_t position = 0;
    size_t count;

    while (exchange->orders[position].kind != ORDER_STREAM) {
        position++;
    }
    order = &exchange->orders[position];
    count = table_slice_hash(node->table, order->prefix, order->at, entries, STREAM_SLICE);
    for (size_t i = 0; i < count; i++) {
        (void)exchange_repair_all(node, now, exchange, entries[i]);
    }
    if (count == STREAM_SLICE) {
        order->at = entry_hash(node->table, entries[count - 1]) + 1;
    }
    if (count < STREAM_SLICE || order->at == 0) {
        order_remove(exchange, position);
    }
}

static size_t repairs_emit(struct node *node, struct moment now, struct space space,
                           struct exchange *exchange)
{
    struct envelope envelope = {
        .has = WIRE_HAS_SEQUENCE | WIRE_HAS_DEPTH,
        .sequence = outbox_sequence(node),
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
    while (exchange->repairs.count < STREAM_SLICE && exchange->counts[ORDER_STREAM] > 0) {
        stream_advance(node, now, exchange);
    }
    if (marks_empty(&exchange->repairs)) {
        return 0;
    }
    exchange->sent++;
    if (exchange->sent % ROOTS_EVERY == 0) {
        envelope.has |= WIRE_HAS_ROOTS;
        outbox_roots(node, envelope.sequence, envelope.roots);
    }
    outbox_begin(node, now, peer, &writer, space, &envelope);
    node->stats.sync_keys_sent += marks_put_items(&exchange->repairs, node->mem, &writer, &carried);
    size = outbox_end(node, now, peer, &writer, NODE_KIND_SYNC);
    exchange_fly(node, now, peer, &carried);
    return size;
}

size_t exchange_emit(struct node *node, struct moment now, struct space space,
                     struct exchange *exchange)
{
    size_t size = 0;

    if (digests_count(exchange) > 0) {
        size = digests_emit(node, now, space, exchange);
    }
    if (size == 0 && (!marks_empty(&exchange->repairs) || exchange->counts[ORDER_STREAM] > 0)) {
        size = repairs_emit(node, now, space, exchange);
    }
    return size;
}
