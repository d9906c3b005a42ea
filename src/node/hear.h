#ifndef NODE_HEAR_H
#define NODE_HEAR_H

/* Receiving plain messages: which part of the node each is for. Private to the room. */

#include "base/moment.h"
#include "wire/message.h"

struct node;
struct peer;

/* A plain message with a key came from a peer. */
void plain_receive(struct node *node, struct moment now, struct peer *from,
                   const struct message *message);

#endif /* NODE_HEAR_H */
