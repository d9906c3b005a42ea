#include "store/tree.h"

#include "base/search.h"
#include "store/digest.h"
#include "store/tombstone.h"

#include <assert.h>
#include <string.h>

struct tree_node {
    uint64_t digests[WIRE_TREE_CHILDREN];
    uint32_t keys[WIRE_TREE_CHILDREN];
    union tree_link links[WIRE_TREE_CHILDREN];
    uint16_t grown; /* bit i: child i is a node */
};

/* One child on the way down to a hash. */
struct step {
    struct tree_node *node;
    unsigned child;
};

/* The way to a leaf: the child of step i is the prefix of i + 1 nibbles. */
struct path {
    struct step steps[TREE_DEPTH_MAX];
    unsigned depth; /* steps */
};

static uint64_t entry_shared_hash(const struct tree *tree, const struct entry *entry)
{
    return either_hash(tree->cluster_id, entry);
}

static unsigned nibble_of(uint64_t hash, unsigned depth)
{
    return (unsigned)(hash >> (4 * (TREE_DEPTH_MAX - 1 - depth))) & (WIRE_TREE_CHILDREN - 1);
}

/* What lies below a prefix of so many nibbles. */
static uint64_t below_mask(unsigned nibbles)
{
    return nibbles == 0 ? UINT64_MAX : (UINT64_C(1) << (4 * (TREE_DEPTH_MAX - nibbles))) - 1;
}

static bool node_grown(const struct tree_node *node, unsigned child)
{
    return (node->grown >> child & 1) != 0;
}

/* The leaf of a hash. */
static struct step path_find(const struct tree *tree, uint64_t hash, struct path *path,
                             uint64_t *nodes)
{
    struct tree_node *node = tree->root;
    unsigned depth = 0;

    for (;;) {
        const unsigned child = nibble_of(hash, depth);

        path->steps[depth++] = (struct step){ node, child };
        ++*nodes;
        if (!node_grown(node, child)) {
            break;
        }
        node = node->links[child].node;
    }
    path->depth = depth;
    return path->steps[depth - 1];
}

static void path_add(struct tree *tree, const struct path *path, uint64_t contribution)
{
    for (unsigned i = 0; i < path->depth; i++) {
        path->steps[i].node->digests[path->steps[i].child] += contribution;
    }
    tree->digest += contribution;
}

/* Take a key into a leaf: tombstones first, so that one is found without a look at the entries. */
static void leaf_add(const struct slabs *slabs, uint32_t *first, uint32_t id)
{
    struct entry *entry = slabs_either(slabs, id);
    uint32_t *link = first;

    while (!entry_is_tombstone(entry) && (*link & SLAB_TOMBSTONE) != 0) {
        link = either_link(slabs_either(slabs, *link));
    }
    *either_link(entry) = *link;
    *link = id;
}

/* Make a node of a leaf at `depth` nibbles. */
static void leaf_split(const struct tree *tree, const struct slabs *slabs, struct step leaf,
                       unsigned depth, struct tree_node *node)
{
    uint32_t id = leaf.node->links[leaf.child].entry;

    memset(node, 0, sizeof *node);
    while (id != 0) {
        struct entry *entry = slabs_either(slabs, id);
        const uint64_t hash = entry_shared_hash(tree, entry);
        const unsigned child = nibble_of(hash, depth);
        const uint32_t next = either_next(entry);

        leaf_add(slabs, &node->links[child].entry, id);
        node->keys[child]++;
        node->digests[child] += digest_contribution(hash, either_digest(entry));
        id = next;
    }
    leaf.node->links[leaf.child].node = node;
    leaf.node->grown = (uint16_t)(leaf.node->grown | 1U << leaf.child);
}

bool tree_init(struct tree *tree, struct mem *mem, uint32_t cluster_id)
{
    *tree = (struct tree){ .cluster_id = cluster_id };
    tree->root = mem_alloc_zeroed(mem, sizeof *tree->root);
    return tree->root != NULL;
}

void tree_clear(struct tree *tree, struct mem *mem)
{
    struct step up[TREE_DEPTH_MAX];
    unsigned depth = 0;

    if (tree->root == NULL) {
        return;
    }
    up[0] = (struct step){ tree->root, 0 };
    for (;;) {
        struct step *step = &up[depth];

        if (step->child == WIRE_TREE_CHILDREN) {
            mem_free(mem, step->node, sizeof *step->node);
            if (depth == 0) {
                break;
            }
            depth--;
        } else if (node_grown(step->node, step->child)) {
            depth++;
            assert(depth < TREE_DEPTH_MAX);
            up[depth] = (struct step){ step->node->links[step->child++].node, 0 };
        } else {
            step->child++;
        }
    }
    *tree = (struct tree){ 0 };
}

void tree_insert(struct tree *tree, const struct slabs *slabs, struct mem *mem, uint32_t id,
                 uint64_t hash, uint64_t *nodes)
{
    const struct entry *entry = slabs_either(slabs, id);
    struct tree_node *node = NULL;
    struct path path;
    const struct step leaf = path_find(tree, hash, &path, nodes);

    path_add(tree, &path, digest_contribution(hash, either_digest(entry)));
    for (unsigned i = 0; i < path.depth; i++) {
        path.steps[i].node->keys[path.steps[i].child]++;
    }
    tree->keys++;
    leaf_add(slabs, &leaf.node->links[leaf.child].entry, id);
    if (leaf.node->keys[leaf.child] > TREE_LEAF_KEYS && path.depth < TREE_DEPTH_MAX) {
        node = mem_alloc(mem, sizeof *node);
    }
    if (node != NULL) {
        leaf_split(tree, slabs, leaf, path.depth, node);
    }
}

void tree_change(struct tree *tree, uint64_t hash, uint64_t digest_before, uint64_t digest_after,
                 uint64_t *nodes)
{
    struct path path;

    (void)path_find(tree, hash, &path, nodes);
    path_add(tree, &path,
             digest_contribution(hash, digest_after) - digest_contribution(hash, digest_before));
}

uint32_t tree_remove(struct tree *tree, const struct slabs *slabs, struct mem *mem,
                     struct entry *entry, uint64_t hash, uint64_t *nodes)
{
    struct path path;
    const struct step leaf = path_find(tree, hash, &path, nodes);
    uint32_t *link = &leaf.node->links[leaf.child].entry;
    uint32_t id;

    while (slabs_either(slabs, *link) != entry) {
        link = either_link(slabs_either(slabs, *link));
        assert(*link != 0);
    }
    id = *link;
    *link = either_next(entry);
    path_add(tree, &path, 0 - digest_contribution(hash, either_digest(entry)));
    tree->keys--;
    for (unsigned i = path.depth; i-- > 0;) {
        const struct step step = path.steps[i];

        assert(step.node->keys[step.child] > 0);
        step.node->keys[step.child]--;
        if (step.node->keys[step.child] == 0 && node_grown(step.node, step.child)) {
            mem_free(mem, step.node->links[step.child].node, sizeof *step.node);
            step.node->links[step.child] = (union tree_link){ .entry = 0 };
            step.node->grown = (uint16_t)(step.node->grown & ~(1U << step.child));
        }
    }
    return id;
}

struct entry *tree_find(const struct tree *tree, const struct slabs *slabs, uint64_t hash,
                        uint64_t *nodes)
{
    struct path path;
    const struct step leaf = path_find(tree, hash, &path, nodes);

    for (uint32_t id = leaf.node->links[leaf.child].entry; id != 0;) {
        struct entry *entry = slabs_either(slabs, id);

        ++*nodes;
        if (entry_shared_hash(tree, entry) == hash) {
            return entry;
        }
        id = either_next(entry);
    }
    return NULL;
}

struct entry *tree_find_tombstone(const struct tree *tree, const struct slabs *slabs, uint64_t hash,
                                  uint64_t *nodes)
{
    struct path path;
    const struct step leaf = path_find(tree, hash, &path, nodes);
    uint32_t id = leaf.node->links[leaf.child].entry;

    while ((id & SLAB_TOMBSTONE) != 0) {
        struct entry *entry = slabs_either(slabs, id);

        if (entry_tombstone(entry)->hash == hash) {
            return entry;
        }
        id = either_next(entry);
    }
    return NULL;
}

void tree_children(const struct tree *tree, const struct slabs *slabs, struct prefix prefix,
                   struct tree_child children[WIRE_TREE_CHILDREN], uint64_t *nodes)
{
    const uint64_t mask = below_mask(prefix.nibbles);
    const struct tree_node *node = tree->root;
    unsigned depth = 0;

    assert(prefix.nibbles < TREE_DEPTH_MAX);
    while (depth < prefix.nibbles && node_grown(node, nibble_of(prefix.bits, depth))) {
        node = node->links[nibble_of(prefix.bits, depth)].node;
        depth++;
        ++*nodes;
    }
    ++*nodes;
    memset(children, 0, WIRE_TREE_CHILDREN * sizeof *children);
    if (depth == prefix.nibbles) {
        for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
            children[i] = (struct tree_child){ node->digests[i], node->keys[i] };
        }
        return;
    }
    for (uint32_t id = node->links[nibble_of(prefix.bits, depth)].entry; id != 0;) {
        const struct entry *entry = slabs_either(slabs, id);
        const uint64_t hash = entry_shared_hash(tree, entry);

        if (((hash ^ prefix.bits) & ~mask) == 0) {
            struct tree_child *child = &children[nibble_of(hash, prefix.nibbles)];

            child->digest += digest_contribution(hash, either_digest(entry));
            child->keys++;
        }
        id = either_next(entry);
    }
}

/* The first leaf with keys at or after a hash: the path to it, and the first hash that lies under
 * it. False: there is none. */
static bool leaf_seek(const struct tree *tree, uint64_t *hash, struct path *path, uint64_t *nodes)
{
    struct tree_node *node = tree->root;
    unsigned child = nibble_of(*hash, 0);
    unsigned depth = 0;

    for (;;) {
        /* Whatever lies further on is asked for from its beginning: with all lower bits 0. The
         * upper ones are the path, and are put in front at the end. */
        while (child < WIRE_TREE_CHILDREN && node->keys[child] == 0) {
            child++;
            *hash = 0;
        }
        ++*nodes;
        if (child == WIRE_TREE_CHILDREN) {
            if (depth == 0) {
                return false;
            }
            depth--;
            node = path->steps[depth].node;
            child = path->steps[depth].child + 1;
            continue;
        }
        path->steps[depth++] = (struct step){ node, child };
        if (!node_grown(node, child)) {
            break;
        }
        node = node->links[child].node;
        child = nibble_of(*hash, depth);
    }
    path->depth = depth;
    *hash &= below_mask(depth);
    for (unsigned i = 0; i < depth; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): both are unsigned */
        *hash |= (uint64_t)path->steps[i].child << (4 * (TREE_DEPTH_MAX - 1 - i));
    }
    return true;
}

#define SLICE_HASHES (TREE_LEAF_KEYS + 1)

/* Entries being collected, ascending by hash: the `room` lowest of those seen. */
struct slice {
    const struct tree *tree;
    struct entry **entries;
    size_t room;
    size_t count;
    size_t sorted;                 /* of leaves before: lower than all that come */
    uint64_t hashes[SLICE_HASHES]; /* of those behind them, as far as this reaches */
};

/* A leaf that there was no memory to split may be longer. */
static uint64_t slice_hash(const struct slice *slice, size_t position)
{
    return position - slice->sorted < SLICE_HASHES
               ? slice->hashes[position - slice->sorted]
               : entry_shared_hash(slice->tree, slice->entries[position]);
}

static void slice_put_hash(struct slice *slice, size_t position, uint64_t hash)
{
    const size_t at = position - slice->sorted;

    if (at < SLICE_HASHES) {
        memmove(&slice->hashes[at + 1], &slice->hashes[at],
                (SLICE_HASHES - 1 - at) * sizeof slice->hashes[0]);
        slice->hashes[at] = hash;
    }
}

static void slice_add(struct slice *slice, struct entry *entry, uint64_t hash)
{
    size_t from = slice->sorted;
    size_t to = slice->count;

    SEARCH_FIRST(from, to, at, slice_hash(slice, at) <= hash);
    if (from == slice->room) {
        return;
    }
    if (slice->count < slice->room) {
        slice->count++;
    }
    memmove(&slice->entries[from + 1], &slice->entries[from],
            (slice->count - 1 - from) * sizeof(struct entry *));
    slice->entries[from] = entry;
    slice_put_hash(slice, from, hash);
}

/* NOLINTNEXTLINE(readability-function-size): as tree_insert() */
size_t tree_slice(const struct tree *tree, const struct slabs *slabs, struct prefix prefix,
                  uint64_t from, struct entry **entries, size_t room, uint64_t *nodes)
{
    const uint64_t last = prefix.bits | below_mask(prefix.nibbles);
    struct slice slice = { .tree = tree, .entries = entries, .room = room, .sorted = 0 };
    struct path path;
    uint64_t at = from > prefix.bits ? from : prefix.bits;

    assert(prefix.nibbles <= TREE_DEPTH_MAX);
    while (slice.count < room && at <= last && leaf_seek(tree, &at, &path, nodes) && at <= last) {
        const struct step leaf = path.steps[path.depth - 1];
        const uint64_t below = below_mask(path.depth);

        for (uint32_t id = leaf.node->links[leaf.child].entry; id != 0;) {
            struct entry *entry = slabs_either(slabs, id);
            const uint64_t hash = entry_shared_hash(tree, entry);

            ++*nodes;
            if (hash >= at && hash <= last) {
                slice_add(&slice, entry, hash);
            }
            id = either_next(entry);
        }
        slice.sorted = slice.count;
        if ((at | below) == UINT64_MAX) {
            break;
        }
        at = (at | below) + 1;
    }
    return slice.count;
}

/* One child of the node on top: its sum and its number of keys, from below; tombstones are counted
 * in a leaf. */
static struct tree_child child_measure(const struct tree *tree, const struct slabs *slabs,
                                       const struct path *path, struct tree_tombstones *tombstones)
{
    const struct step top = path->steps[path->depth - 1];
    struct tree_child sum = { 0 };

    if (node_grown(top.node, top.child)) {
        const struct tree_node *node = top.node->links[top.child].node;

        for (unsigned i = 0; i < WIRE_TREE_CHILDREN; i++) {
            sum.digest += node->digests[i];
            sum.keys += node->keys[i];
        }
        assert(sum.keys > 0);
        return sum;
    }
    for (uint32_t id = top.node->links[top.child].entry; id != 0;) {
        const struct entry *entry = slabs_either(slabs, id);
        const uint64_t hash = entry_shared_hash(tree, entry);

        assert(entry_is_tombstone(entry) || (either_next(entry) & SLAB_TOMBSTONE) == 0);
        for (unsigned i = 0; i < path->depth; i++) {
            assert(nibble_of(hash, i) == path->steps[i].child);
        }
        sum.digest += digest_contribution(hash, either_digest(entry));
        sum.keys++;
        tombstones->all += entry_is_tombstone(entry);
        tombstones->dated += entry_is_tombstone(entry) && entry_tombstone_dated(entry) != NULL;
        id = either_next(entry);
    }
    return sum;
}

struct tree_tombstones tree_audit(const struct tree *tree, const struct slabs *slabs)
{
    struct path path = { .depth = 1 };
    uint64_t digest = 0;
    uint64_t keys = 0;
    struct tree_tombstones tombstones = { 0 };

    path.steps[0] = (struct step){ tree->root, 0 };
    while (path.depth > 0) {
        struct step *top = &path.steps[path.depth - 1];
        struct tree_child sum;

        if (top->child == WIRE_TREE_CHILDREN) {
            path.depth--;
            if (path.depth > 0) {
                path.steps[path.depth - 1].child++;
            }
            continue;
        }
        sum = child_measure(tree, slabs, &path, &tombstones);
        assert(sum.digest == top->node->digests[top->child]);
        assert(sum.keys == top->node->keys[top->child]);
        if (node_grown(top->node, top->child)) {
            assert(path.depth < TREE_DEPTH_MAX);
            path.steps[path.depth++] = (struct step){ top->node->links[top->child].node, 0 };
            continue;
        }
        digest += sum.digest;
        keys += sum.keys;
        top->child++;
    }
    assert(digest == tree->digest);
    assert(keys == tree->keys);
    return tombstones;
}
