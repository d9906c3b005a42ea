#ifndef NODE_AUDIT_H
#define NODE_AUDIT_H

/* The digests of an audit (node/sync.h). Private to the room. */

#include "base/moment.h"
#include "store/table.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct node;

/* A random prefix of few keys; each key is as likely under it as any other. */
struct prefix audit_choose(struct node *node, enum table_set set);

/* Digests of the children of tree->prefix, each the sum of its keys' contributions salted one by
 * one: equal sums of contributions, by chance or by somebody's making, are not equal here. Time
 * O(keys), some hundreds at most. False: there are more. */
bool audit_add_up(struct node *node, struct moment now, struct wire_tree *tree, uint32_t salt);

#endif /* NODE_AUDIT_H */
