#ifndef NODE_ANSWER_H
#define NODE_ANSWER_H

/* What follows from the digests, leaf lists, block digests and wants of a peer: orders to be sent
 * to it (node/exchange.h), each from what the store says now. What a field costs is bounded by its
 * own size, whatever the store holds. Private to the room; used by sync. */

#include "base/moment.h"
#include "store/table.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct node;
struct exchange;

/* Which sets the fields were about. */
struct answered {
    bool any[TABLE_SET_COUNT];
    bool tree[TABLE_SET_COUNT]; /* a tree was, and it was looked at */
    bool differs;               /* keys of data were listed that differ; */
    bool old; /* more of them than what is on its way, or such as had differed before */
};

/* Answer all fields of a datagram. `listens`: trees and leaf lists of the set are looked at. */
struct answered answer_fields(struct node *node, struct moment now, struct exchange *exchange,
                              const struct message *message, uint32_t salt,
                              const bool listens[TABLE_SET_COUNT]);

#endif /* NODE_ANSWER_H */
