#ifndef NODE_DETECT_H
#define NODE_DETECT_H

/* Failure detection (vignette(7), "Failure detection"): a probe a second to the next member of a
 * random permutation, three tries, then three indirect ones, then `suspect` as data; dead when the
 * suspicion's time is over. Probes carry the digests that anti-entropy lives on. Private to the
 * room.
 *
 * Source: Das, Gupta and Motivala, "SWIM" (2002); Dadgar, Phillips and Currey, "Lifeguard" (2017)
 * for the shrinking suspicion time. */

#include "base/moment.h"
#include "base/random.h"
#include "node/outbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct node;

void detect_free(struct node *node);

/* `p` came: probe that presence key for the sender, whose `q` is `sequence`. */
void detect_requested(struct node *node, struct moment now, struct peer *from, struct bytes target,
                      uint32_t sequence);
/* `n` came: the helper could not. */
void detect_refused(struct node *node, struct moment now, const struct peer *from,
                    uint32_t sequence);

void detect_acked(struct node *node, struct moment now, const struct flight *flight);

/* Probe a peer soon, out of turn. */
void detect_soon(struct node *node, struct moment now, struct peer *peer);

void detect_tick(struct node *node, struct moment now);
uint64_t detect_due_us(const struct node *node);
size_t detect_emit(struct node *node, struct moment now, struct space space, struct address *to);
void detect_drop_peer(struct node *node, const struct peer *peer);

#endif /* NODE_DETECT_H */
