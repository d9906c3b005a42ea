#include "node/audit.h"

#include "node/offer.h"
#include "node/state.h"
#include "store/digest.h"

#include <string.h>

#define AUDIT_KEYS     256 /* of the prefix that is looked at: 16 a child, a leaf list each */
#define AUDIT_KEYS_MAX 384 /* more are not added up for somebody else's */
#define SLICE          64

bool audit_add_up(struct node *node, struct moment now, struct wire_tree *tree, uint32_t salt)
{
    const struct table *table = node->table;
    const unsigned shift = 60 - 4 * (unsigned)tree->prefix.nibbles;
    struct entry *entries[SLICE];
    uint64_t from = tree->prefix.bits;
    size_t found = SLICE;
    size_t looked = 0;
    bool end = false; /* there is no hash after the last one */

    memset(tree->children, 0, sizeof tree->children);
    while (found == SLICE && !end && looked < AUDIT_KEYS_MAX) {
        found = sync_slice(node, tree->prefix, from, entries, SLICE);
        looked += found;
        for (size_t i = 0; i < found; i++) {
            const uint64_t hash = entry_hash(table, entries[i]);
            const uint64_t digest = digest_contribution(hash, entry_digest(entries[i]));

            if (sync_exists(node, now, entries[i])) {
                tree->children[hash >> shift & 15] += digest_salted(digest, salt);
            }
            from = hash + 1;
            end = from == 0;
        }
    }
    return found < SLICE || end;
}

struct prefix audit_choose(struct node *node, enum table_set set)
{
    const uint64_t hash = random_next(&node->random[RANDOM_SYNC]);
    struct prefix prefix = { .set = (uint8_t)set };
    uint64_t keys = sync_keys(node, set);

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
