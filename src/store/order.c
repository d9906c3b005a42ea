#include "store/order.h"

#include <assert.h>
#include <string.h>

#define HEAD_BYTES       4
#define LINE_BYTES       64
#define PREFETCH_ENTRIES 8

_Static_assert(sizeof(struct order_node) % 16 == 8, "what malloc hands out without waste");

/* The way to a place, by levels: nodes, and positions in them. */
struct path {
    struct order_node *nodes[ORDER_HEIGHT_MAX];
    uint8_t at[ORDER_HEIGHT_MAX];
    bool last[ORDER_HEIGHT_MAX]; /* the node is the last one at its level */
};

struct order_item {
    uint32_t id;
    struct order_node *child; /* of inner nodes */
};

/* Nodes. */

static unsigned node_capacity(const struct order_node *node)
{
    return node->level == 0 ? ORDER_LEAF_ITEMS : ORDER_INNER_ITEMS;
}

static uint32_t *node_heads(struct order_node *node)
{
    return node->level == 0 ? node->leaf.heads : node->inner.heads;
}

static uint32_t *node_ids(struct order_node *node)
{
    return node->level == 0 ? node->leaf.ids : node->inner.ids;
}

static uint32_t node_first(const struct order_node *node)
{
    return node->level == 0 ? node->leaf.ids[0] : node->inner.ids[0];
}

static struct bytes id_key(const struct slabs *slabs, uint32_t id)
{
    return entry_key_of(slabs_entry(slabs, id));
}

static unsigned common_size(const uint8_t *one, const uint8_t *other, unsigned size)
{
    unsigned i = 0;

    while (i < size && one[i] == other[i]) {
        i++;
    }
    return i;
}

/* Four bytes of a key as a number that compares as they do; those it does not have count as 0. */
static uint32_t key_head(struct bytes key, unsigned from)
{
    uint8_t bytes[HEAD_BYTES] = { 0 };

    assert(from <= key.size);
    if (key.size - from >= HEAD_BYTES) {
        memcpy(bytes, key.data + from, HEAD_BYTES);
    } else if (key.size > from) {
        memcpy(bytes, key.data + from, key.size - from);
    }
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static struct order_node *node_take(struct order *order, unsigned level)
{
    struct order_node *node = order->spare;

    assert(node != NULL);
    order->spare = node->next;
    order->spare_count--;
    order->nodes++;
    node->next = NULL;
    node->level = (uint8_t)level;
    node->count = 0;
    node->skip = 0;
    return node;
}

static void node_free(struct order *order, struct mem *mem, struct order_node *node)
{
    mem_free(mem, node, sizeof *node);
    order->nodes--;
}

/* How a key compares with what all keys of the node begin with; 0: it begins so too. */
static int prefix_compare(const struct order_node *node, const struct slabs *slabs,
                          struct bytes key)
{
    const size_t size = key.size < node->skip ? key.size : node->skip;
    const uint8_t *shared =
        size <= ORDER_PREFIX_BYTES ? node->prefix : id_key(slabs, node_first(node)).data;
    int compared = 0;

    if (size > 0) {
        compared = memcmp(key.data, shared, size);
    }
    return compared == 0 && key.size < node->skip ? -1 : compared;
}

static void prefix_set(struct order_node *node, struct bytes key, unsigned skip)
{
    assert(skip <= key.size);
    node->skip = (uint8_t)skip;
    memcpy(node->prefix, key.data, skip < ORDER_PREFIX_BYTES ? skip : ORDER_PREFIX_BYTES);
}

/* A key is to come that shares less: heads begin earlier. What they gain is common to all. */
static void node_admit(struct order_node *node, const struct slabs *slabs, struct bytes key)
{
    uint32_t *heads = node_heads(node);
    struct bytes first;
    uint32_t gained;
    unsigned skip;
    unsigned lost;

    if (node->count == 0) {
        prefix_set(node, key, (unsigned)key.size);
        return;
    }
    if (prefix_compare(node, slabs, key) == 0) {
        return;
    }
    first = id_key(slabs, node_first(node));
    skip =
        common_size(first.data, key.data, key.size < node->skip ? (unsigned)key.size : node->skip);
    lost = node->skip - skip;
    gained = key_head(first, skip);
    for (unsigned i = 0; i < node->count; i++) {
        heads[i] = lost >= HEAD_BYTES ? gained
                                      : (gained & ~(UINT32_MAX >> 8 * lost)) | heads[i] >> 8 * lost;
    }
    node->skip = (uint8_t)skip;
}

/* After a split: all that is left may share more. */
static void node_tighten(struct order_node *node, const struct slabs *slabs)
{
    uint32_t *heads = node_heads(node);
    uint32_t *ids = node_ids(node);
    struct bytes first;
    struct bytes last;
    unsigned skip;

    if (node->count == 0) {
        return;
    }
    first = id_key(slabs, ids[0]);
    last = id_key(slabs, ids[node->count - 1]);
    skip = common_size(first.data, last.data,
                       (unsigned)(first.size < last.size ? first.size : last.size));
    if (skip <= node->skip) {
        return;
    }
    for (unsigned i = 0; i < node->count; i++) {
        __builtin_prefetch(id_key(slabs, ids[i]).data + skip);
    }
    for (unsigned i = 0; i < node->count; i++) {
        heads[i] = key_head(id_key(slabs, ids[i]), skip);
    }
    prefix_set(node, first, skip);
}

/* An item's id becomes another, whose key lies between the same neighbours. */
static void item_replace(struct order_node *node, const struct slabs *slabs, unsigned at,
                         uint32_t id)
{
    const struct bytes key = id_key(slabs, id);

    node_admit(node, slabs, key);
    node_heads(node)[at] = key_head(key, node->skip);
    node_ids(node)[at] = id;
}

static void item_insert(struct order_node *node, const struct slabs *slabs, unsigned at,
                        struct order_item item)
{
    uint32_t *heads = node_heads(node) + at;
    uint32_t *ids = node_ids(node) + at;
    const unsigned after = node->count - at;
    const struct bytes key = id_key(slabs, item.id);

    assert(at <= node->count && node->count < node_capacity(node));
    node_admit(node, slabs, key);
    memmove(heads + 1, heads, after * sizeof *heads);
    memmove(ids + 1, ids, after * sizeof *ids);
    *heads = key_head(key, node->skip);
    *ids = item.id;
    if (node->level > 0) {
        struct order_node **children = node->inner.children + at;

        memmove(children + 1, children, after * sizeof(struct order_node *));
        *children = item.child;
    }
    node->count++;
}

static struct order_item item_remove(struct order_node *node, unsigned at)
{
    uint32_t *heads = node_heads(node) + at;
    uint32_t *ids = node_ids(node) + at;
    struct order_item item = { .id = *ids };
    const unsigned after = node->count - at - 1;

    memmove(heads, heads + 1, after * sizeof *heads);
    memmove(ids, ids + 1, after * sizeof *ids);
    if (node->level > 0) {
        struct order_node **children = node->inner.children + at;

        item.child = *children;
        memmove(children, children + 1, after * sizeof(struct order_node *));
    }
    node->count--;
    return item;
}

/* Searching. */

/* How many of ascending heads are less: without a branch that could be mispredicted. */
static unsigned heads_below(const uint32_t *heads, unsigned count, uint32_t head)
{
    unsigned below = 0;

    while (count > 1) {
        const unsigned half = count / 2;

        below += heads[below + half - 1] < head ? half : 0;
        count -= half;
    }
    return below + (count == 1 && heads[below] < head);
}

/* How many items lie before the key: those < (ORDER_FROM) or <= (ORDER_AFTER). */
static unsigned node_rank(struct order_node *node, const struct slabs *slabs, struct bytes key,
                          enum order_bound bound, uint64_t *nodes)
{
    const uint32_t *heads = node_heads(node);
    const int compared = prefix_compare(node, slabs, key);
    unsigned from;
    unsigned to;
    uint32_t head;

    ++*nodes;
    if (compared != 0) {
        return compared < 0 ? 0 : node->count;
    }
    head = key_head(key, node->skip);
    from = heads_below(heads, node->count, head);
    if (from == node->count || heads[from] != head) {
        return from;
    }
    to = head == UINT32_MAX ? node->count : heads_below(heads, node->count, head + 1);
    while (from < to) {
        const unsigned middle = (from + to) / 2;
        const int order = entry_compare(slabs_entry(slabs, node_ids(node)[middle]), key);

        ++*nodes;
        if (order < 0 || (order == 0 && bound == ORDER_AFTER)) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/* All lines of a leaf that are searched, at once instead of one after the other. */
static void leaf_prefetch(const struct order_node *leaf)
{
    const char *at = (const char *)leaf;

    for (size_t i = 0; i < offsetof(struct order_node, leaf.ids); i += LINE_BYTES) {
        __builtin_prefetch(at + i);
    }
}

/* The way to a key's place in its leaf. There is a root. */
static void path_find(struct path *path, const struct order *order, const struct slabs *slabs,
                      struct bytes key, enum order_bound bound, uint64_t *nodes)
{
    struct order_node *node = order->root;
    bool last = true;

    for (unsigned level = order->height - 1; level > 0; level--) {
        const unsigned rank = node_rank(node, slabs, key, ORDER_AFTER, nodes);
        const unsigned at = rank == 0 ? 0 : rank - 1;

        path->nodes[level] = node;
        path->at[level] = (uint8_t)at;
        path->last[level] = last;
        last = last && at == node->count - 1U;
        node = node->inner.children[at];
        if (level == 1) {
            leaf_prefetch(node);
        }
    }
    path->nodes[0] = node;
    path->at[0] = (uint8_t)node_rank(node, slabs, key, bound, nodes);
    path->last[0] = last;
}

struct order_cursor order_seek(const struct order *order, const struct slabs *slabs,
                               struct bytes key, enum order_bound bound, uint64_t *nodes)
{
    struct path path;

    if (order->root == NULL) {
        return (struct order_cursor){ 0 };
    }
    path_find(&path, order, slabs, key, bound, nodes);
    return (struct order_cursor){ path.nodes[0], path.at[0] };
}

struct order_cursor order_begin(const struct order *order)
{
    const struct order_node *node = order->root;

    while (node != NULL && node->level > 0) {
        node = node->inner.children[0];
    }
    return (struct order_cursor){ node, 0 };
}

struct entry *order_next(struct order_cursor *cursor, const struct slabs *slabs)
{
    const struct order_node *leaf = cursor->leaf;

    if (leaf != NULL && cursor->at == leaf->count) {
        leaf = leaf->next;
        *cursor = (struct order_cursor){ leaf, 0 };
    }
    if (leaf == NULL) {
        return NULL;
    }
    if (cursor->at + PREFETCH_ENTRIES < leaf->count) {
        __builtin_prefetch(slabs_entry(slabs, leaf->leaf.ids[cursor->at + PREFETCH_ENTRIES]));
    }
    return slabs_entry(slabs, leaf->leaf.ids[cursor->at++]);
}

/* Memory. */

void order_init(struct order *order)
{
    *order = (struct order){ 0 };
}

static void nodes_free(struct order *order, struct mem *mem, struct order_node *node)
{
    while (node != NULL) {
        struct order_node *next = node->next;

        node_free(order, mem, node);
        node = next;
    }
}

void order_clear(struct order *order, struct mem *mem)
{
    order->nodes += order->spare_count;
    nodes_free(order, mem, order->spare);
    for (struct order_node *node = order->root; node != NULL;) {
        struct order_node *below = node->level == 0 ? NULL : node->inner.children[0];

        nodes_free(order, mem, node);
        node = below;
    }
    assert(order->nodes == 0);
    order_init(order);
}

bool order_ready(struct order *order, struct mem *mem)
{
    while (order->spare_count < order->height + 1) {
        struct order_node *node = mem_alloc(mem, sizeof *node);

        if (node == NULL) {
            return false;
        }
        node->next = order->spare;
        order->spare = node;
        order->spare_count++;
    }
    return true;
}

/* Insertion. */

/* Share out a full node from position `keep` on. */
static struct order_node *node_split(struct order *order, const struct slabs *slabs,
                                     struct order_node *node, unsigned keep)
{
    struct order_node *upper = node_take(order, node->level);
    const unsigned count = node->count - keep;

    upper->next = node->next;
    node->next = upper;
    upper->count = (uint8_t)count;
    upper->skip = node->skip;
    memcpy(upper->prefix, node->prefix, sizeof upper->prefix);
    memcpy(node_heads(upper), node_heads(node) + keep, count * sizeof(uint32_t));
    memcpy(node_ids(upper), node_ids(node) + keep, count * sizeof(uint32_t));
    if (node->level > 0) {
        memcpy(upper->inner.children, node->inner.children + keep,
               count * sizeof(struct order_node *));
    }
    node->count = (uint8_t)keep;
    node_tighten(node, slabs);
    node_tighten(upper, slabs);
    return upper;
}

static void root_grow(struct order *order, const struct slabs *slabs, struct order_node *upper)
{
    struct order_node *root = node_take(order, order->height);

    assert(order->height < ORDER_HEIGHT_MAX);
    item_insert(root, slabs, 0, (struct order_item){ node_first(order->root), order->root });
    item_insert(root, slabs, 1, (struct order_item){ node_first(upper), upper });
    order->root = root;
    order->height++;
}

/* Where a full node is split. At the end of the order it stays full, for keys that come ascending;
 * an inner node keeps a sibling for what is to come. */
static unsigned split_position(const struct order_node *node, unsigned at, bool last)
{
    if (last && at == node->count) {
        return node->level == 0 ? node->count : node->count - 1U;
    }
    return node_capacity(node) / 2;
}

void order_insert(struct order *order, const struct slabs *slabs, uint32_t id, uint64_t *nodes)
{
    struct order_item item = { .id = id };
    struct path path;

    order->count++;
    if (order->root == NULL) {
        order->root = node_take(order, 0);
        order->height = 1;
    }
    path_find(&path, order, slabs, id_key(slabs, id), ORDER_FROM, nodes);
    /* Nothing is before it, which the first child of each node on the way tells. */
    for (unsigned level = 1; level < order->height && path.at[0] == 0; level++) {
        assert(path.at[level] == 0);
        item_replace(path.nodes[level], slabs, 0, id);
    }
    for (unsigned level = 0;; level++) {
        struct order_node *node = path.nodes[level];
        const unsigned at = path.at[level] + (level > 0 ? 1U : 0U);
        struct order_node *upper;

        if (node->count < node_capacity(node)) {
            item_insert(node, slabs, at, item);
            return;
        }
        upper = node_split(order, slabs, node, split_position(node, at, path.last[level]));
        if (at > node->count || at == node_capacity(node)) {
            item_insert(upper, slabs, at - node->count, item);
        } else {
            item_insert(node, slabs, at, item);
        }
        item = (struct order_item){ node_first(upper), upper };
        if (level + 1 == order->height) {
            root_grow(order, slabs, upper);
            return;
        }
    }
}

/* Removal. */

static void item_move(struct order_node *from, unsigned from_at, struct order_node *to,
                      unsigned to_at, const struct slabs *slabs)
{
    item_insert(to, slabs, to_at, item_remove(from, from_at));
}

/* A child has few items left: one neighbour and it become one, or share alike. */
static void child_balance(struct order *order, const struct slabs *slabs, struct mem *mem,
                          struct order_node *parent, unsigned at)
{
    const unsigned left_at = at == 0 ? 0 : at - 1;
    struct order_node *left = parent->inner.children[left_at];
    struct order_node *right = parent->inner.children[left_at + 1];
    const unsigned sum = left->count + (unsigned)right->count;
    const bool merges = sum <= node_capacity(left) / 2;
    const unsigned wanted = merges ? sum : sum / 2;

    assert(parent->count >= 2);
    while (left->count < wanted) {
        item_move(right, 0, left, left->count, slabs);
    }
    while (left->count > wanted) {
        item_move(left, left->count - 1U, right, 0, slabs);
    }
    item_replace(parent, slabs, left_at, node_first(left));
    if (merges) {
        (void)item_remove(parent, left_at + 1);
        left->next = right->next;
        node_free(order, mem, right);
    } else {
        item_replace(parent, slabs, left_at + 1, node_first(right));
    }
}

static void root_shrink(struct order *order, struct mem *mem)
{
    while (order->height > 1 && order->root->count == 1) {
        struct order_node *root = order->root;

        order->root = root->inner.children[0];
        order->height--;
        node_free(order, mem, root);
    }
    if (order->root->count == 0) {
        node_free(order, mem, order->root);
        order->root = NULL;
        order->height = 0;
    }
}

void order_remove(struct order *order, const struct slabs *slabs, struct mem *mem,
                  const struct entry *entry, uint64_t *nodes)
{
    struct path path;

    assert(order->root != NULL);
    path_find(&path, order, slabs, entry_key_of(entry), ORDER_FROM, nodes);
    assert(path.at[0] < path.nodes[0]->count);
    assert(slabs_entry(slabs, path.nodes[0]->leaf.ids[path.at[0]]) == entry);
    (void)item_remove(path.nodes[0], path.at[0]);
    order->count--;
    for (unsigned level = 0; level + 1 < order->height; level++) {
        const struct order_node *node = path.nodes[level];
        struct order_node *parent = path.nodes[level + 1];
        const unsigned at = path.at[level + 1];

        if (node->count > 0 && node_first(node) != parent->inner.ids[at]) {
            item_replace(parent, slabs, at, node_first(node));
        }
        if (node->count < node_capacity(node) / 4) {
            child_balance(order, slabs, mem, parent, at);
        }
    }
    root_shrink(order, mem);
}

/* Audit. */

static void node_audit(struct order_node *node, const struct slabs *slabs)
{
    const struct bytes first = id_key(slabs, node_first(node));
    const unsigned kept = node->skip < ORDER_PREFIX_BYTES ? node->skip : ORDER_PREFIX_BYTES;

    assert(node->count >= 1 && node->count <= node_capacity(node));
    assert(node->skip <= first.size);
    assert(kept == 0 || memcmp(node->prefix, first.data, kept) == 0);
    for (unsigned i = 0; i < node->count; i++) {
        const struct bytes key = id_key(slabs, node_ids(node)[i]);

        assert(key.size >= node->skip);
        assert(common_size(first.data, key.data, node->skip) == node->skip);
        assert(node_heads(node)[i] == key_head(key, node->skip));
    }
}

/* One level: ascending, and the children of the inner ones are those of the level below, in their
 * order. Returns how many items it has. */
static uint64_t level_audit(struct order_node *first, const struct slabs *slabs, uint64_t *nodes)
{
    const struct order_node *below = first->level == 0 ? NULL : first->inner.children[0];
    const struct entry *before = NULL;
    uint64_t items = 0;

    for (struct order_node *node = first; node != NULL; node = node->next) {
        assert(node->level == first->level);
        node_audit(node, slabs);
        for (unsigned i = 0; i < node->count; i++) {
            const struct entry *entry = slabs_entry(slabs, node_ids(node)[i]);

            assert(before == NULL || entry_compare(before, entry_key_of(entry)) < 0);
            before = entry;
            if (node->level > 0) {
                assert(node->count >= 2);
                assert(node->inner.children[i] == below);
                assert(below->level + 1U == node->level);
                assert(node_first(below) == node->inner.ids[i]);
                below = below->next;
            }
        }
        items += node->count;
        ++*nodes;
    }
    assert(below == NULL);
    return items;
}

void order_audit(const struct order *order, const struct slabs *slabs)
{
    uint64_t nodes = 0;
    uint64_t spare = 0;
    uint64_t items = 0;
    unsigned height = 0;

    for (struct order_node *node = order->root; node != NULL;
         node = node->level == 0 ? NULL : node->inner.children[0]) {
        assert(node != order->root || node->next == NULL);
        assert(node->level + 1U + height == order->height);
        items = level_audit(node, slabs, &nodes);
        height++;
    }
    for (const struct order_node *node = order->spare; node != NULL; node = node->next) {
        spare++;
        assert(spare <= order->spare_count);
    }
    assert(height == order->height);
    assert(items == order->count);
    assert(nodes == order->nodes);
    assert(spare == order->spare_count);
}
