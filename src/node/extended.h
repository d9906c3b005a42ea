#ifndef NODE_EXTENDED_H
#define NODE_EXTENDED_H

/* Receiving extended datagrams: who speaks, whether it has shown that it receives where it sends
 * from, and which part of the node each field is for. Nothing is decided here. Private to the
 * room. Source: vignette(7), "Extended datagrams" and "Strangers".
 *
 * A sender is who its source address says, and its `i` must be the id of that address. So a node
 * whose datagrams come from another address than the one it advertises (behind a translator, say)
 * is not taken for the peer that it says it is: its `x` but for a hello's envelope is counted as
 * refused, and its presence is known by what others say. A node advertises the address that its
 * datagrams come from. */

#include "base/moment.h"
#include "node/types.h"
#include "wire/message.h"

struct node;
struct peer;

/* What a datagram is about: the first kind that applies. */
enum node_kind extended_kind(const struct message *message);

/* An extended datagram came from a peer that is trusted, or that echoes our token in it: strangers
 * are not let in here. Its cluster was checked, the peer was heard. */
void extended_receive(struct node *node, struct moment now, struct peer *from,
                      const struct message *message);

#endif /* NODE_EXTENDED_H */
