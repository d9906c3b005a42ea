#ifndef NODE_MAY_H
#define NODE_MAY_H

/* What may be said to whom on the plain level. Private to the room. */

#include "node/peers.h"

#include <stdbool.h>

struct node;

/* Whether a key may go to a plain peer at all: no presence that its kind cannot take or that is not
 * alive, nothing that looks like presence and is none, no control characters. */
bool plain_may_get(const struct node *node, const struct peer *to, const struct entry *entry);

#endif /* NODE_MAY_H */
