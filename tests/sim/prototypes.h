#ifndef SIM_PROTOTYPES_H
#define SIM_PROTOTYPES_H

/* Models of the two prototypes, with what they were seen to do on the wire when they were run as
 * real peers, bugs included. Where a real one's listener would stop for ever, the model stops and
 * says so, and like the real one it goes on sending.
 *
 *  Ruby-like     a listener that dies of a missing ttl, of vectors that are none, of `*`, of
 *                broken patterns, of datagrams over 1500 bytes, of presence keys that are no IPv4
 *                address; makes up a presence for whoever sends to it and answers from that, so
 *                that a stamp above its own minute is thrown back and forth for ever; sends str8;
 *                tells one random peer of what rose; one element of `hll` every second.
 *  Clojure-like  a loop that dies of str8, bin and datagrams over 768 bytes, and falls mute at a
 *                presence key without a port; never sends a ttl, never answers; sends only after
 *                three seconds in which nothing rose; a heartbeat in milliseconds every three. */

#include "base/address.h"
#include "base/bytes.h"
#include "base/moment.h"

#include <stdbool.h>
#include <stdint.h>

struct prototype; /* opaque */

enum prototype_kind { PROTOTYPE_RUBY, PROTOTYPE_CLOJURE };

struct prototype *prototype_create(enum prototype_kind kind, const struct address *self,
                                   uint64_t seed);
void prototype_free(struct prototype *prototype);

/* Whom it contacts first. */
void prototype_seed(struct prototype *prototype, const struct address *seed);

/* Whether it tells a peer some of all it knows whenever it does something by itself, for ever. */
void prototype_repeat(struct prototype *prototype, bool repeats);

/* Returns NULL, or what would have become of the real one: "would have crashed: ...",
 * "would storm: ...". */
const char *prototype_receive(struct prototype *prototype, struct moment now,
                              const struct address *from, struct bytes datagram);

/* A client's update, and a look. */
void prototype_write(struct prototype *prototype, struct moment now, const char *key,
                     uint64_t index, uint64_t value);
uint64_t prototype_read(const struct prototype *prototype, const char *key, uint64_t index);

/* The next datagram that leaves; false: none now. Valid until the next call. */
bool prototype_emit(struct prototype *prototype, struct moment now, struct bytes *datagram,
                    struct address *to);

/* mono_us of what it does next by itself. */
uint64_t prototype_due_us(const struct prototype *prototype);

/* Its listener or its loop is dead. */
bool prototype_is_dead(const struct prototype *prototype);

#endif /* SIM_PROTOTYPES_H */
